"""Event tables as the behaviour coding software BORIS exports them.

Written: "aggregated events", one row per interval (behaviour = emotion, category = type, comment =
note). Read: aggregated events, and "tabular events" with a START and a STOP row per interval.
"""

import csv
import re
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import UNKNOWN, Cells, cells_of, restored, span_frames, span_ms, written
from fedet.annotations.cells import as_number, as_text, csv_grid, find_header, header_key, table_of
from fedet.annotations.repairs import empty_repairs, join_repairs, repair
from fedet.annotations.spellings import type_label
from fedet.annotations.table import validate
from fedet.annotations.video_names import names_of, stem
from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.intervals import COLUMNS

HEADER = ["Observation id", "Observation date", "Description", "Media file", "Total length", "FPS",
          "Subject", "Behavior", "Behavioral category", "Modifiers", "Behavior type", "Start (s)",
          "Stop (s)", "Duration (s)", "Comment start", "Comment stop"]  # fmt: skip
_NO_SUBJECT = "No focal subject"
_KEYS = {header_key(name): name for name in HEADER} | {
    "mediafilename": "Media file", "mediafilepath": "Media file",
    "mediafilenameatstart": "Media file", "mediafilenameatstop": "Stop file", "timeoffsets": "Offset",
    "fpsframesecond": "FPS", "fpsframes": "FPS", "starttime": "Start (s)", "stoptime": "Stop (s)",
    "comment": "Comment start", "time": "Time", "status": "Behavior type",
}  # fmt: skip


def is_boris(path: str | Path) -> bool:
    """Whether a CSV file has the header of BORIS."""
    grid = csv_grid(Path(path))
    return find_header(grid, {"behavior", "subject"}) is not None


def write_boris(table: pd.DataFrame, path: str | Path, *, fps: float | None = None) -> None:
    """Writes aggregated events, times in seconds to the millisecond; the file appears whole.

    A video is an observation; one whose name people share is called `subject_video`.

    Raises:
        InputError: No frame rate, or one too high for milliseconds.
    """
    rows = []
    for name, cells in zip(names_of(table), cells_of(table, fps), strict=True):
        start, end = span_ms(cells)
        emotion = cells["emotion"] or UNKNOWN  # a score would make each row a behaviour of its own
        base = _base(name, cells["subject"], cells)
        text, details = written(cells, base, emotion)
        rows.append({
            "Observation id": name, "FPS": cells["fps"],
            "Subject": cells["subject"] or _NO_SUBJECT, "Behavior": text,
            "Behavioral category": cells["expression_type"], "Behavior type": "STATE",
            "Modifiers": cells["action_units"], "Start (s)": f"{start / 1000:.3f}",
            "Stop (s)": f"{end / 1000:.3f}", "Duration (s)": f"{(end - start) / 1000:.3f}",
            "Comment start": cells["note"], "Comment stop": details,
        })  # fmt: skip
    with atomic_write(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _base(video: str, subject: str, cells: dict) -> Cells:
    """The cells that the columns of BORIS tell."""
    told = ("fps", "note", "action_units", "expression_type")
    return {"video": video, "subject": subject} | {c: cells[c] for c in told}


def read_boris(
    path: str | Path, *, fps: float | None = None, emotion_map=None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads exported events of BORIS, aggregated or tabular.

    Args:
        path: The CSV or TSV file.
        fps: Frames per second where the file has none.
        emotion_map: As for `annotations.validate`.

    Raises:
        InputError: A column is missing, or no frame rate is known.
    """
    path = Path(path)
    grid = csv_grid(path)
    at = find_header(grid, {"behavior", "subject"})
    if at is None:
        raise InputError(f"{path}: no header row of BORIS with Subject and Behavior")
    table, unread = _columns(table_of(grid, at), path.name)
    events, lines = _paired(table, path) if "Start (s)" not in table else (table, [])
    events, more = _first_files(events, path.name)
    lines += [*more, *unread, _offset(table, path.name)]
    rows, numbers = [], []
    for number, event in events.iterrows():
        cells, problems = _interval(event, path, fps)
        lines += [repair(path.name, p, "kept" if cells else "left out", row=int(number),
                         column="Behavior", value=event["Behavior"]) for p in problems]  # fmt: skip
        if cells:
            rows.append(cells)
            numbers.append(int(number))
    columns = [*COLUMNS, *(c for c in ("note", "confidence") if any(r.get(c) for r in rows))]
    checked, report = validate(
        pd.DataFrame(rows, columns=columns),
        source_name=path.name,
        rows=numbers,
        emotion_map=emotion_map,
    )
    return checked, join_repairs(*lines, report)


def _columns(table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The table under the names of HEADER, its numbered modifiers as one column, and a line for
    each filled column that is not read."""
    parts = [c for c in table if re.fullmatch(r"modifiers?\d*", header_key(c))]
    if parts:
        joined = ["|".join(filter(None, cells)) for cells in table[parts].itertuples(index=False)]
        table = table.drop(columns=parts).assign(Modifiers=joined)
    if "Stop file" not in map(_KEYS.get, map(header_key, table)):
        table = table.assign(**{"Media file name at stop": ""})
    names = pd.Series([_KEYS.get(header_key(c)) for c in table], index=table.columns, dtype=object)
    known = names.notna() & ~names.duplicated()
    unread = [repair(file, "no column that fedet reads of BORIS", "left out", column=str(c))
              for c in table.columns[~known] if table[c].astype(bool).any()]  # fmt: skip
    return table.loc[:, known].set_axis(names[known].tolist(), axis=1), unread


def _offset(table: pd.DataFrame, file: str) -> pd.DataFrame:
    """A line on observations whose times BORIS was told to shift."""
    told = [cell for cell in table.get("Offset", []) if cell and cell.strip("0:.,")]
    problem = "times are taken as they stand: check that they are those of the video"
    return repair(file, problem, "kept", column="Time offset (s)", value=told[0]) if told else empty_repairs()


def _first_files(events: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The events without those that do not lie in the first video of their observation, since the times
    of further videos count on from there."""
    if not len(events) or not {"Media file", "Observation id"} <= set(events):
        return events, []
    start = pd.to_numeric(events["Start (s)"].str.replace(",", "."), errors="coerce")
    films = events[["Media file", "Stop file"]].map(lambda cell: stem(cell.split(";")[0]))
    ordered = films.loc[start.sort_values(kind="stable").index, "Media file"]
    first = ordered[ordered != ""].groupby(events["Observation id"]).first()
    starts = (films["Media file"] == "") | (films["Media file"] == events["Observation id"].map(first))
    ends = films["Stop file"].isin(["", "NA"]) | (films["Stop file"] == films["Media file"])
    problem = "not in the first video of its observation, from which times count: observe each by itself"
    lines = [repair(file, problem, "left out", row=int(row), column="Behavior", value=events["Behavior"][row])
             for row in events.index[~(starts & ends)]]  # fmt: skip
    return events[starts & ends], lines


def _interval(event: pd.Series, path: Path, fps: float | None) -> tuple[Cells | None, list[str]]:
    """The cells of one aggregated event; None, and why, where there is no interval."""
    get = lambda name: str(event.get(name, "") or "")  # noqa: E731
    if get("Behavior type").upper() == "POINT":
        return None, ["a point event has no duration"]
    try:
        start, end = as_number(get("Start (s)")), as_number(get("Stop (s)"))
        rate = as_number(get("FPS")) or fps
    except ValueError:
        return None, ["start, stop or FPS is not a number"]
    if start is None or end is None:
        return None, ["no start or no stop"]
    if end <= start:
        return None, [f"stop {end:g} is not after start {start:g}"]
    if not rate:
        raise InputError(f"{path}: no FPS known: give fps")
    subject = "" if get("Subject") == _NO_SUBJECT else get("Subject")
    video = stem(get("Media file").split(";")[0]) if get("Media file") else get("Observation id")
    told = {"fps": as_text(rate), "note": get("Comment start"), "action_units": get("Modifiers"),
            "expression_type": type_label(get("Behavioral category")) or ""}  # fmt: skip
    details = get("Comment stop")
    if details and not details.startswith("{"):  # a person's comment, not ours
        told["note"], details = f"{told['note']} {details}".strip(), ""
    cells, problems = restored(get("Behavior"), details, _base(video, subject, told))
    return cells | span_frames(start * 1000, end * 1000, rate), problems


def _paired(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Tabular events (START and STOP rows) as aggregated ones; unpaired rows are reported."""
    needed = [c for c in ("Time", "Behavior type") if c not in table]
    if needed:
        raise InputError(f"{path}: neither Start (s) and Stop (s) nor {' and '.join(needed)}")
    open_rows: dict[tuple, tuple[int, pd.Series]] = {}
    events, lines = {}, []

    def unpaired(number: int, row: pd.Series, problem: str) -> None:
        lines.append(repair(path.name, problem, "left out", row=number, column="Behavior",
                            value=row["Behavior"]))  # fmt: skip

    for number, row in table.iterrows():
        key = tuple(row.get(c, "") for c in ("Observation id", "Subject", "Behavior", "Modifiers"))
        kind = row["Behavior type"].upper()
        if kind == "START":
            if key in open_rows:
                unpaired(*open_rows[key], "START without STOP")
            open_rows[key] = (int(number), row)
        elif kind == "STOP" and key in open_rows:
            first, start = open_rows.pop(key)
            times = {"Start (s)": start["Time"], "Stop (s)": row["Time"], "Behavior type": "STATE"}
            times["Stop file"] = row.get("Media file", "")
            events[first] = start.to_dict() | times
        else:
            text = "a point event has no duration" if kind == "POINT" else f"{kind} without START"
            unpaired(int(number), row, text)
    for number, row in open_rows.values():
        unpaired(number, row, "START without STOP")
    frame = pd.DataFrame(list(events.values()), index=list(events), dtype=object)
    return frame.sort_index(), lines

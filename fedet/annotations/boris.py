"""Event tables of the behaviour coding software BORIS; its projects are in `boris_project`.

Written: "aggregated events", one row per interval (behaviour = emotion, category = type, comment =
note). Read: aggregated events, and "tabular events" with a START and a STOP row per interval. Times of an
observation run on through the successive videos of its first player; observations of pictures have picture
numbers instead.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import (
    UNKNOWN,
    Cells,
    caption_and_details,
    cells_from,
    cells_of,
    parse_caption,
    span_frames,
    span_ms,
    validate_cells,
)
from fedet.annotations.cells import (
    Grid,
    as_fps,
    as_seconds,
    as_text,
    csv_grid,
    find_header,
    header_key,
    table_of,
    without_formula,
)
from fedet.annotations.limits import MAX_FRAME
from fedet.annotations.repairs import Line, join_repairs, repair, unread_columns
from fedet.annotations.spellings import type_label
from fedet.annotations.table import (
    EMOTION_WORDS,
    EmotionMap,
    LabelFile,
    listed_videos,
    people_in,
    video_facts,
    words_for,
)
from fedet.annotations.video_names import distinct_names, link_path, names_of
from fedet.errors import InputError
from fedet.files import atomic_write

HEADER = ["Observation id", "Observation date", "Description", "Media file", "Total length", "FPS",
          "Subject", "Behavior", "Behavioral category", "Modifiers", "Behavior type", "Start (s)",
          "Stop (s)", "Duration (s)", "Comment start", "Comment stop"]  # fmt: skip
_NO_SUBJECT = "No focal subject"
_EXPRESSION = re.compile(r"emotion|expression|affect|unknown|\bAUs?\b|\bAU ?\d|FACS|action units?", re.I)
_NOTHING = ("", "na", "none", "not found", "not defined", "nan")  # how BORIS writes an unknown value
_KEYS = {header_key(name): name for name in HEADER} | {
    "mediafilename": "Media file", "mediafilepath": "Media file",
    "mediafilenameatstart": "Media file", "mediafilenameatstop": "Stop file", "timeoffsets": "Offset",
    "fpsframesecond": "FPS", "fpsframes": "FPS", "starttime": "Start (s)", "stoptime": "Stop (s)",
    "comment": "Comment start", "time": "Time", "status": "Behavior type", "source": "Source",
    "mediadurations": "Durations", "imageindex": "Image", "imageindexstart": "Image",
    "imageindexstop": "Stop image", "imagefilepath": "Image path", "imagefilepathstart": "Image path",
    "observationtype": "Type",
}  # fmt: skip
# Columns without information of their own.
_DULL = ("observationduration", "codingduration", "observationdurationbysubjectbyobservation",
         "imagefilepathstop")  # fmt: skip
EVENT_COLUMNS = ("Observation id", "Media file", "Stop file", "Type", "Image", "Stop image", "Start (s)",
                 "Stop (s)", "Source", "FPS", "Durations", "Subject", "Behavior", "Behavioral category",
                 "Modifiers", "Behavior type", "Comment start", "Comment stop")  # fmt: skip
_AFTER_FIRST = "not in the first video of its observation, from which times count: observe each by itself"


@dataclass
class Observation:
    """The videos of the first player, in order; rate and length (s) of all videos, where known; and the head
    that fedet wrote."""

    films: list[str] = field(default_factory=list)
    rates: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, str] = field(default_factory=dict)
    head: dict = field(default_factory=dict)


def boris_header(grid: Grid) -> int | None:
    """Position of the header of BORIS in a grid, None without one."""
    return find_header(grid, {"behavior", "subject"})


def write_boris(
    table: pd.DataFrame, path: str | Path, *, fps: float | None = None, shared: Collection[str] = ()
) -> None:
    """Writes aggregated events, times in seconds to the millisecond; the file appears whole.

    A video is an observation; one whose name people share is called `subject_video`, unless it shows them
    at once (`shared`): then it is one observation with several subjects.

    Raises:
        InputError: No frame rate, or one too high for milliseconds.
    """
    rows = []
    for name, cells in zip(names_of(table, shared), cells_of(table, fps), strict=True):
        start, end = span_ms(cells)
        emotion = cells["emotion"] or UNKNOWN  # with a score each row would be a separate behaviour
        base = _base(name, cells["subject"], cells)
        text, details = caption_and_details(cells, base, emotion)
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
        writer.writerows({name: without_formula(cell) for name, cell in row.items()} for row in rows)


def _base(video: str, subject: str, cells: Mapping[str, str]) -> Cells:
    """The cells that have columns in BORIS."""
    return {"video": video, "subject": subject} | {
        c: cells[c] for c in ("fps", "note", "action_units", "expression_type")
    }


def read_boris(path: str | Path, *, fps: float | None = None, emotion_map: EmotionMap = None) -> LabelFile:
    """Reads exported events of BORIS, aggregated or tabular.

    Args:
        path: The CSV or TSV file.
        fps: Frames per second where the file has none.
        emotion_map: As for `annotations.validate`.

    Raises:
        InputError: A column is missing, or no frame rate is known.
    """
    return labels_of_grid(csv_grid(Path(path)), Path(path), fps=fps, emotion_map=emotion_map)


def labels_of_grid(
    grid: Grid, path: Path, *, fps: float | None = None, emotion_map: EmotionMap = None
) -> LabelFile:
    """As `read_boris`, of the cells of a file or sheet; `path` is its name in the report."""
    at = boris_header(grid)
    if at is None:
        raise InputError(f"{path}: no header row of BORIS with Subject and Behavior")
    table, unread = _columns(table_of(grid, at))
    lines = [*unread_columns(path.name, unread), *offset_line(table.get("Offset", []), path.name)]
    if "Start (s)" not in table:
        table, more = pair_events(table, path)
        lines += more
    events = table.reindex(columns=[*table, *(c for c in EVENT_COLUMNS if c not in table)], fill_value="")
    return labels_of(path, events, _observations(events), lines, fps, emotion_map)


def labels_of(
    path: Path,
    events: pd.DataFrame,
    observations: Mapping[str, Observation],
    lines: list[Line],
    fps: float | None,
    emotion_map: EmotionMap,
) -> LabelFile:
    """The labels in aggregated events (EVENT_COLUMNS, text; index = row numbers).

    Args:
        lines: The report so far.
    """
    emotion_map, words = words_for(path, emotion_map)
    rows: dict[int, Cells] = {}
    films: dict[int, str] = {}
    all_films = [film for o in observations.values() for film in o.films] + list(events["Media file"])
    names = distinct_names(link_path(film) for film in all_films if _known_value(film))
    others = _other_behaviours(events, words)
    lines += [
        repair(
            path.name,
            f"behaviour {name!r} names no emotion or type: {len(numbers)} events not read (name it in "
            f"{EMOTION_WORDS} to have them read)",
            "left out", row=numbers[0], column="Behavior", value=name,
        )
        for name, numbers in others.items()
    ]  # fmt: skip
    n_others = sum(map(len, others.values()))
    events = events.drop(index=[number for numbers in others.values() for number in numbers])
    n_left_out = (
        n_others - len(others) + sum(line.action == "left out" and line.row is not None for line in lines)
    )
    for number, event in zip(map(int, events.index), events.to_dict("records"), strict=True):
        observation = observations[event["Observation id"]]
        try:
            film = _film(event, observation)
            rate = _rate(event, observation, film, fps)
            frames, problems = _interval(event, observation, film, rate, path)
        except ValueError as error:
            lines.append(_line(path, event, number, str(error), "left out"))
            n_left_out += 1
            continue
        name = as_text(observation.head.get("video")) or names.get(link_path(film)) or event["Observation id"]
        cells_of_event = _event_cells(event, as_text(rate), name, words)
        details = event["Comment stop"] if event["Comment stop"].startswith("{") else ""
        cells, more = cells_from(_label(event, details, words), details, cells_of_event, words)
        lines += [_line(path, event, number, problem, "kept") for problem in [*problems, *more]]
        rows[number], films[number] = cells | frames, film
    for name, observation in observations.items():
        rates = sorted({text for text in observation.rates.values() if _known_value(text)})
        if len(rates) > 1:
            problem = f"several rates ({', '.join(rates)}): frames are those of {_leaf(observation.films[0])}"
            lines.append(repair(path.name, problem, "kept", value=name))
    valid_events, report = validate_cells(rows.items(), path.name, emotion_map)
    keys = {film: (rows[n]["subject"], rows[n]["video"]) for n, film in films.items()}
    videos = _video_table(observations, names, keys, fps)
    return LabelFile(valid_events, join_repairs(*lines, report), videos, len(rows) + n_left_out)


def _other_behaviours(events: pd.DataFrame, words: Collection[str]) -> dict[str, list[int]]:
    """Behaviours, like gaze or speech, that are no expressions -> their rows.

    An expression names an emotion, type or action unit, itself or in its modifiers, or is called so, in its
    category too; all that fedet wrote are.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    expressions = set()
    for number, event in zip(map(int, events.index), events.to_dict("records"), strict=True):
        if event["Behavior type"].upper() == "POINT":
            continue  # reported as such
        behaviour, category = event["Behavior"], event["Behavioral category"]
        text = f"{behaviour} {event['Modifiers']}"
        if (
            event["Comment stop"].startswith("{")
            or _EXPRESSION.search(f"{behaviour} {category}")
            or type_label(category)
            or parse_caption(text, words)[0]
        ):
            expressions.add(behaviour)
        rows[behaviour].append(number)
    return {name: numbers for name, numbers in rows.items() if name not in expressions}


def _line(path: Path, event: Mapping, number: int, problem: str, action: str) -> Line:
    return repair(path.name, problem, action, row=number, column="Behavior", value=event["Behavior"])


def _video_table(
    observations: Mapping[str, Observation],
    names: Mapping[str, str],
    keys: Mapping[str, tuple[str, str]],
    fps: float | None,
) -> pd.DataFrame:
    """The videos of all observations; `keys` has (subject, video) of those with events."""
    rows = []
    for observation in observations.values():
        for film in observation.films:
            name = names[link_path(film)]
            subject, video = keys.get(film, (name, name))
            head = observation.head
            values = {"subject": subject or video, "video": video} | head
            rate = _number(as_fps, observation.rates.get(film, "")) or fps
            length = _number(as_seconds, observation.lengths.get(film, ""))
            facts = video_facts({"duration_s": length} | head)
            for name_of_person in people_in(head) or [as_text(values["subject"])]:
                cells = {"subject": name_of_person, "video": as_text(values["video"])}
                rows.append(cells | {"fps": rate, "link": film} | facts)
    return listed_videos(rows).drop_duplicates(["subject", "video"], ignore_index=True)


def _number(parse: Callable[[str], float | None], text: str) -> float | None:
    try:
        return parse(_known_value(text))
    except ValueError:
        return None


def _film(event: Mapping[str, str], observation: Observation) -> str:
    """The video in which an event begins, "" where the observation has none.

    Raises:
        ValueError: It ends in another one.
    """
    start, stop = (_known_value(event[c].split(";")[0]) for c in ("Media file", "Stop file"))
    if not (start or stop):
        start, stop = (_film_at(event[f"{end} (s)"], observation, end == "Stop") for end in ("Start", "Stop"))
    start = start or stop
    if stop and _leaf(stop) != _leaf(start):
        raise ValueError(_AFTER_FIRST)
    return next((f for f in observation.films if f == start or _leaf(f) == _leaf(start)), start)


def _film_at(cell: str, observation: Observation, is_end: bool) -> str:
    """The video shown at a time of the observation, whose videos follow each other; the first one where their
    lengths are unknown, "" without videos."""
    end_s, time_s = 0.0, _number(as_seconds, cell) or 0.0
    for film in observation.films:
        length = _number(as_seconds, observation.lengths.get(film, ""))
        end_s += length or float("inf")
        if time_s < end_s or (is_end and time_s <= end_s):
            return film
    return observation.films[-1] if observation.films else ""


def _leaf(film: str) -> str:
    return link_path(film).rsplit("/", 1)[-1]


def _known_value(cell: str) -> str:
    """A cell, "" for an unknown value of BORIS."""
    return "" if cell.strip().lower() in _NOTHING else cell.strip()


def _rate(event: Mapping[str, str], observation: Observation, film: str, fps: float | None) -> float | None:
    """The frame rate of a video.

    Raises:
        ValueError: The cell holds no frame rate.
    """
    rates = {text for text in observation.rates.values() if _known_value(text)}
    text = observation.rates.get(film) if film else event["FPS"]
    text = _known_value(text or (rates.pop() if len(rates) == 1 else ""))
    try:
        return as_fps(text) or fps
    except ValueError as error:
        raise ValueError(f"start, stop or FPS is not a number ({text!r})") from error


def _interval(
    event: Mapping[str, str], observation: Observation, film: str, rate: float | None, path: Path
) -> tuple[Cells, list[str]]:
    """Onset and offset of one aggregated event, and problems to report.

    Raises:
        ValueError: The event is no interval.
    """
    if event["Behavior type"].upper() == "POINT":
        raise ValueError("a point event has no duration")
    start, end = _known_value(event["Start (s)"]), _known_value(event["Stop (s)"])
    if re.search("picture|image", event["Type"], re.I) and _known_value(event["Image"]):
        return _picture_numbers(event, observation, film)
    try:
        start_s, end_s = as_seconds(start), as_seconds(end)
    except ValueError as error:
        raise ValueError(f"start, stop or FPS is not a number ({error})") from error
    if start_s is None or end_s is None:
        raise ValueError("no start or no stop")
    if end_s <= start_s:
        raise ValueError(f"stop {end_s:g} is not after start {start_s:g}")
    if not rate:
        raise InputError(f"{path}: no FPS known: give fps")
    before = _seconds_before(observation, film)
    frames = span_frames((start_s - before) * 1000, (end_s - before) * 1000, rate)
    return frames, []


def _picture_numbers(
    event: Mapping[str, str], observation: Observation, film: str
) -> tuple[Cells, list[str]]:
    """The interval from the first picture of an event to the one before its stop.

    Raises:
        ValueError: There are no such numbers, or those of a further folder.
    """
    try:
        first, last = (int(event[c]) for c in ("Image", "Stop image"))
    except ValueError as error:
        raise ValueError(f"no numbers of pictures: {event['Image']!r}, {event['Stop image']!r}") from error
    if not 1 <= first <= last <= MAX_FRAME or film not in (observation.films[:1] or [film]):
        raise ValueError(f"no numbers of pictures in its first folder: {first} to {last}")
    frames = {"onset": str(first - 1), "offset": str(max(first, last - 1) - 1)}
    return frames, ["frames are the numbers of the pictures, counted from 0"]


def _seconds_before(observation: Observation, film: str) -> float:
    """Total seconds of the videos shown before this one.

    Raises:
        ValueError: Their length is unknown.
    """
    at = observation.films.index(film) if film in observation.films else 0
    lengths = [
        _number(as_seconds, _known_value(observation.lengths.get(f, ""))) for f in observation.films[:at]
    ]
    if not all(lengths):
        raise ValueError(_AFTER_FIRST)
    return sum(length or 0.0 for length in lengths)


def _label(event: Mapping[str, str], details: str, words: Collection[str]) -> str:
    """The behaviour, with its modifiers where only these name an emotion: Expression, happy."""
    behaviour, modifiers = event["Behavior"], event["Modifiers"]
    if details or parse_caption(behaviour, words)[0].get("emotion"):
        return behaviour
    named = [m for m in modifiers.split("|") if parse_caption(m, words)[0].get("emotion")]
    return " ".join([behaviour, *named[:1]])


def _names_label(modifier: str, words: Collection[str]) -> bool:
    """Whether a modifier is an emotion or type and nothing else."""
    cells, rest = parse_caption(modifier, words)
    return bool({"emotion", "expression_type"} & set(cells)) and not rest and not modifier.strip().isdigit()


def _event_cells(event: Mapping[str, str], rate: str, video: str, words: Collection[str]) -> Cells:
    subject = "" if event["Subject"] == _NO_SUBJECT else event["Subject"]
    note, details, units = event["Comment start"], event["Comment stop"], event["Modifiers"]
    written_by_fedet = details.startswith("{")
    if not written_by_fedet:  # BORIS writes None for a modifier that nobody chose
        chosen = [m for m in units.split("|") if m.strip().lower() != "none" and not _names_label(m, words)]
        units = "|".join(chosen).strip("|")
    if details and not written_by_fedet:  # a person's comment
        note = f"{note} {details}".strip()
    kind = type_label(event["Behavioral category"]) or ""
    cells = {"fps": rate, "note": note, "action_units": units, "expression_type": kind}
    return _base(video, subject, cells)


def _columns(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table under the names of HEADER, its numbered modifiers as one column, and the filled columns
    that are not read."""
    modifiers = [c for c in table if re.fullmatch(r"modifiers?\d*", header_key(c))]
    if modifiers:
        modifier_cells = ["|".join(filter(None, cells)) for cells in table[modifiers].itertuples(index=False)]
        table = table.drop(columns=modifiers).copy().assign(Modifiers=modifier_cells)
    names = pd.Series([_KEYS.get(header_key(c)) for c in table], index=table.columns, dtype=object)
    is_read = names.notna() & ~names.duplicated()
    unread = [str(c) for c in table.columns[~is_read]
              if table[c].astype(bool).any() and header_key(c) not in _DULL]  # fmt: skip
    return table.loc[:, is_read].set_axis(names[is_read].tolist(), axis=1), unread


def offset_line(offsets: Iterable[str], file: str) -> list[Line]:
    """A line on observations with a time offset."""
    offsets_set = [cell for cell in offsets if cell and cell.strip("-0:.,")]
    problem = "times are taken as they stand: check that they are those of the video"
    return [repair(file, problem, "kept", column="Time offset (s)", value=c) for c in offsets_set[:1]]


def _observations(events: pd.DataFrame) -> dict[str, Observation]:
    """The videos of each observation, from Source, FPS and Media duration, or else in the order of its
    events."""
    observations: dict[str, Observation] = defaultdict(Observation)
    order = events["Start (s)"].map(lambda cell: _number(as_seconds, cell) or 0.0).argsort(kind="stable")
    about_videos = ["Observation id", "Source", "Media file", "FPS", "Durations"]
    for event in events.iloc[order][about_videos].drop_duplicates().to_dict("records"):
        observation = observations[event["Observation id"]]
        source = event["Source"]
        if "player #" in source:
            players = [
                re.sub(r"^player #\d+:", "", p).split(";") for p in re.split(r"\|(?=player #)", source)
            ]
        else:
            players = [[*source.split(";"), event["Media file"].split(";")[0]]]
        players = [[film.strip() for film in player if _known_value(film)] for player in players]
        leaves = {_leaf(film) for film in observation.films}
        observation.films += [film for film in dict.fromkeys(players[0]) if _leaf(film) not in leaves]
        for column, facts in (("FPS", observation.rates), ("Durations", observation.lengths)):
            for player, cell in zip(players, event[column].split("|"), strict=False):
                values = cell.split(";") * (len(player) if ";" not in cell else 1)
                facts |= {f: v.strip() for f, v in zip(player, values, strict=False) if f not in facts}
    return dict(observations)


def pair_events(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Line]]:
    """Tabular events (START and STOP rows) as aggregated ones; unpaired rows are reported."""
    missing = [c for c in ("Time", "Behavior type") if c not in table]
    if missing:
        raise InputError(f"{path}: neither Start (s) and Stop (s) nor {' and '.join(missing)}")
    open_rows: dict[tuple, tuple[int, dict]] = {}
    events, lines = {}, []
    for number, row in zip(map(int, table.index), table.to_dict("records"), strict=True):
        key = tuple(row.get(c, "") for c in ("Observation id", "Subject", "Behavior", "Modifiers"))
        kind = row["Behavior type"].upper()
        if kind == "START":
            if key in open_rows:
                before, start = open_rows[key]
                lines.append(_line(path, start, before, "START without STOP", "left out"))
            open_rows[key] = (number, row)
        elif kind == "STOP" and key in open_rows:
            first, start = open_rows.pop(key)
            events[first] = start | {
                "Start (s)": start["Time"], "Stop (s)": row["Time"], "Behavior type": "STATE",
                "Stop file": row.get("Media file", ""), "Stop image": row.get("Image", ""),
                "Comment stop": row.get("Comment start", ""),
            }  # fmt: skip
        else:
            problem = "a point event has no duration" if kind == "POINT" else f"{kind} without START"
            lines.append(_line(path, row, number, problem, "left out"))
    for number, row in open_rows.values():
        lines.append(_line(path, row, number, "START without STOP", "left out"))
    frame = pd.DataFrame(list(events.values()), index=list(events), dtype=object).fillna("")
    return (frame if len(frame) else table.iloc[:0]).sort_index(), lines

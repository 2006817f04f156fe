"""The interval table: one row per facial expression, checked, with a report of every repair.

Frames are 0-based and INCLUSIVE, so an interval lasts `offset - onset + 1` frames; in seconds it
runs from `start_s = onset / fps` to `end_s = (offset + 1) / fps`. Unknown values are empty.
A plain validator rather than a schema library: schema libraries refuse a table, while here each bad
cell gets a repair and a line in the report with the row that the user sees.
"""

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.cells import (
    Grid,
    as_fps,
    as_score,
    as_seconds,
    as_text,
    header_key,
    label_key,
    table_of,
    timecode_frame,
    without_formula,
)
from fedet.annotations.limits import MAX_FPS, MAX_FRAME, MAX_ROWS, MIN_FPS, refuse_more
from fedet.annotations.repairs import Check, join_repairs, left_out, repair
from fedet.annotations.sheets import sheets_of
from fedet.annotations.spellings import AS_WRITTEN, FINE_TO_COARSE, columns_of, type_label
from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.intervals import (
    COLUMNS,
    EMOTIONS,
    EXTRA_COLUMNS,
    FRAMES,
    MICRO_MAX_S,
    SCHEMA_VERSION,
    SECONDS,
    dtype_of,
    expression_type_of,
)

MISSING_OFFSETS = ("apex_mirror", "apex", "drop")

EMOTION_WORDS = "emotions.csv"  # next to the labels: label,emotion for the user's own words
EmotionMap = Mapping[str, str] | str | None

VIDEO_FACTS = ("duration_s", "n_frames", "subset")  # what a file may hold about a video besides its events
PEOPLE = "people"  # ... and whom it shows, where it shows several
_CLOCKS = {  # headers that mean a time where their cells are like 00:01:02.500
    "onset": {"start", "begin", "starttime", "begintime", "anfang", "beginn", "début", "開始", "开始"},
    "offset": {"end", "stop", "endtime", "stoptime", "ende", "fin", "終了", "结束"},
}
_VIDEO_DTYPES = {"subject": "string", "video": "string", "fps": "Float64", "duration_s": "Float64",
           "n_frames": "Int64", "subset": "string", "link": "string"}  # fmt: skip


@dataclass(frozen=True)
class LabelFile:
    """The content of a label file.

    Attributes:
        events: The canonical table.
        repairs: The report of what was repaired, left out or kept.
        videos: One row for each video, also for those without events: subject, video, fps, duration_s,
            n_frames, subset, and link, the video file that an ELAN file names; missing where unknown.
        n_annotations: Number of annotations in the file, including those left out.
    """

    events: pd.DataFrame
    repairs: pd.DataFrame
    videos: pd.DataFrame
    n_annotations: int

    def refuse_if_nothing_is_left(self, path: object) -> None:
        """Raises InputError, with the reasons, if all annotations were left out."""
        if len(self.events) or not self.n_annotations:
            return
        lines = left_out(self.repairs)
        counts = lines["problem"].value_counts()
        first = lines.drop_duplicates("problem").head(3)
        reasons = [
            f"{line.problem}"
            + ("" if pd.isna(line.row) else f" (row {line.row})")
            + (f", and {counts[line.problem] - 1} more such lines" if counts[line.problem] > 1 else "")
            + ("" if pd.isna(line.video) else f", video {line.video!r}")
            for line in first.itertuples()
        ]
        n = self.n_annotations
        raise InputError(f"{path}: none of its {n} annotations can be read: {'; '.join(reasons)}")

    def n_read(self) -> str:
        """How many of the annotations are among the events, like `9 of 10 read`."""
        return f"{len(self.events)} of {max(self.n_annotations, len(self.events))} read"

    def silent(self) -> pd.DataFrame:
        """The rows of `videos` without events; an unknown subject matches any."""
        with_events = set(zip(self.events["subject"], self.events["video"], strict=True))
        names = {video for _, video in with_events}
        keys = zip(self.videos["subject"], self.videos["video"], strict=True)
        silent = [not ((s, v) in with_events or (s == v and v in names)) for s, v in keys]
        return self.videos[np.array(silent, dtype=bool)]


def listed_videos(rows: Iterable[Mapping[str, object]] = ()) -> pd.DataFrame:
    """The table `LabelFile.videos` from rows with some of its columns."""
    return pd.DataFrame(list(rows), columns=list(_VIDEO_DTYPES), dtype=object).astype(_VIDEO_DTYPES)


def all_videos(events: pd.DataFrame, videos: pd.DataFrame | None = None) -> pd.DataFrame:
    """The listed videos and those with events, each once, as `LabelFile.videos`.

    A listed video without subject stands for the videos of this name of all subjects.
    """
    rows: dict[tuple, dict] = {}
    with_events = videos_of(events)
    subjects = with_events.groupby("video")["subject"].apply(list).to_dict()
    for row in [] if videos is None else videos.to_dict("records"):
        subject, video = as_text(row["subject"]) or row["video"], row["video"]
        for name in subjects.get(video, [subject]) if subject == video else [subject]:
            rows.setdefault((name, video), row | {"subject": name})
    for row in with_events.to_dict("records"):
        row["subject"] = as_text(row["subject"]) or row["video"]
        listed = rows.setdefault((row["subject"], row["video"]), row)
        listed["fps"] = row["fps"] if pd.isna(listed["fps"]) else listed["fps"]
    return listed_videos(rows.values())


def known_video(
    base: Mapping[str, str], head: Mapping[str, object], events: pd.DataFrame, link: str | None = None
) -> pd.DataFrame:
    """The rows of `LabelFile.videos` for a file of one video: one, or one for each person it shows.

    Args:
        base: The cells video, fps and subject.
        head: VIDEO_FACTS and PEOPLE in the file; invalid ones are dropped.
        events: The canonical table.
    """
    subject = base["subject"] or next(iter(events["subject"].dropna()), base["video"])
    row = {"subject": subject, "video": base["video"], "fps": float(base["fps"]) if base["fps"] else None}
    row |= video_facts(head) | {"link": link}
    return listed_videos([row | {"subject": name} for name in people_in(head) or [subject]])


def people_in(head: Mapping[str, object]) -> list[str]:
    """The people whom the head of a file names, each once; none where its video shows one."""
    names = head.get(PEOPLE)
    return list(dict.fromkeys(as_text(name) for name in names)) if isinstance(names, list) else []


def video_facts(values: Mapping[str, object]) -> dict[str, object]:
    """VIDEO_FACTS in a file, None for invalid ones."""
    facts: dict[str, object] = {}
    for fact, kind in (("duration_s", float), ("n_frames", int)):
        value = values.get(fact)
        valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_FRAME
        facts[fact] = kind(value) if valid else None  # type: ignore[arg-type, call-overload]
    subset = values.get("subset")
    return facts | {"subset": as_text(subset) or None if isinstance(subset, str) else None}


def videos_of(events: pd.DataFrame) -> pd.DataFrame:
    """The videos that have events, as `LabelFile.videos`."""
    return listed_videos(events.drop_duplicates(["subject", "video"]).to_dict("records"))


def validate(
    table: pd.DataFrame,
    n_frames: Mapping[str, int | None] | None = None,
    *,
    missing_offset: str = "apex_mirror",
    source_name: str = "table",
    rows: Sequence[int] | None = None,
    fps: float | Mapping[str, float] | None = None,
    first_number: int = 0,
    zero_is_missing: Sequence[str] = (),
    emotion_map: EmotionMap = None,
    missing_frames: Mapping[str, Collection[int]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turns any interval table into a canonical one and reports every repair.

    Needs `video`, `onset` (or `start_s`) and `offset` (or `end_s`), in any case and punctuation.

    Args:
        table: Intervals; cells may be numbers or text.
        n_frames: Number of frames of each video, for the check against its end; None: unknown.
        missing_offset: Offset of an event that has none: "apex_mirror" puts the onset-apex span
            after the apex, "apex" ends at the apex, "drop" leaves the event out.
        source_name: Name of the file for the report.
        rows: Row number of each row in the file; by default the header is row 1.
        fps: Frames per second where the table has none, one for all or by video.
        first_number: Number of a video's first frame in the file.
        zero_is_missing: Of onset, apex, offset, those in which 0 means "not annotated".
        emotion_map: Label -> emotion, over FINE_TO_COARSE; AS_WRITTEN merges and refuses none.
        missing_frames: Frames that a video lacks; events with them are reported and kept.

    Returns:
        The canonical table (COLUMNS, then EXTRA_COLUMNS of the input) and the report
        (REPAIR_COLUMNS; `value` as in the file).

    Raises:
        InputError: A required column is missing, or an option has an invalid value.
    """
    if missing_offset not in MISSING_OFFSETS:
        raise InputError(f"missing_offset={missing_offset!r}: one of {', '.join(MISSING_OFFSETS)}")
    refuse_more(len(table), MAX_ROWS, "rows", source_name)
    rows = range(2, len(table) + 2) if rows is None else rows
    check = Check(*_canonical_columns(table, source_name), rows, source_name, SECONDS)
    _names_and_fps(check, fps)
    _unread_cells(check)
    _intervals(check, first_number, zero_is_missing)
    _missing_offsets(check, missing_offset)
    _order_and_ends(check, n_frames or {})
    _missing_frames(check, missing_frames or {})
    _labels(check, emotion_map)
    _duplicates(check)
    out = check.out[[*COLUMNS, *(c for c in EXTRA_COLUMNS if c in check.out)]]
    out = out.astype({c: dtype_of(c) for c in out.columns})
    return out[check.alive].reset_index(drop=True), check.repairs()


def _canonical_columns(table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table as text under canonical names, and its other columns."""
    names = columns_of(table.columns)
    for column, headers in _CLOCKS.items():
        if column not in names and SECONDS[column] not in names:
            clocks = [c for c in table if header_key(c) in headers and ":" in "".join(map(str, table[c]))]
            names |= dict.fromkeys([SECONDS[column]], clocks[0]) if clocks else {}
    missing = [n for n in ("onset", "offset") if n not in names and SECONDS[n] not in names]
    if "video" not in names or missing:
        missing = ["video"] * ("video" not in names) + missing
        columns = ", ".join(map(str, table.columns[:20])) or "none"
        raise InputError(
            f"{file}: no column {', '.join(missing)}; found {columns}; needed: video, onset, offset (frames "
            "from 0, inclusive) or video, start_s, end_s (seconds)"
        )
    cells = {name: [as_text(v) for v in table[column]] for name, column in names.items()}
    others = table[[c for c in table.columns if c not in names.values()]].map(as_text)
    return pd.DataFrame(cells, dtype=object, index=range(len(table))), others.reset_index(drop=True)


def _unread_cells(check: Check) -> None:
    for column in check.others:
        filled = check.others[column].astype(bool)
        if re.fullmatch(r"column \d+", str(column)):
            text = "a cell without a header is not read (a comma in text without quotes?)"
            check.report(filled, column, text, "kept")
        elif filled.any():
            check.unread.append(str(column))
    for column in [c for c in EXTRA_COLUMNS if c in check.raw]:
        check.once(column, "", "not part of the interval table; stays at its right", "kept")
        check.out[column] = check.text(column)


def _names_and_fps(check: Check, fps: float | Mapping[str, float] | None) -> None:
    written = check.text("schema_version").dropna().str.removesuffix(".0")  # tables joined by pandas
    versions = set(written) - {SCHEMA_VERSION}
    if versions:
        raise InputError(
            f"{check.file}: schema_version {sorted(versions)[0]!r}, this fedet reads "
            f"{SCHEMA_VERSION!r}; read it with the version that wrote it"
        )
    check.out["schema_version"] = SCHEMA_VERSION
    check.out["video"] = check.text("video")
    check.report(check.out["video"].isna(), "video", "no video named", "left out")
    check.out["subject"] = check.text("subject").fillna(check.out["video"])
    if "subject" in check.raw and (check.text("subject").notna().any() or not len(check.raw)):
        check.report(check.text("subject").isna(), "subject", "empty: the video's name", "repaired")
    else:
        problem = "all empty" if "subject" in check.raw else "no such column"
        check.once("subject", "", f"{problem}: each video is its own subject", "repaired")
    problem = f"no frame rate from {MIN_FPS:g} to {MAX_FPS:g}"
    rate = check.number("fps", "repaired", parse=as_fps, problem=problem)
    if isinstance(fps, (int, float)) and not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"{check.file}: fps is {fps!r}; {problem}")
    default = check.out["video"].map(fps) if isinstance(fps, Mapping) else fps
    if default is not None:
        rate = rate.fillna(pd.Series(default, index=check.raw.index, dtype="Float64"))
    check.out["fps"] = rate


def _intervals(check: Check, first_number: int, zero_is_missing: Sequence[str]) -> None:
    """Fills in the frames, from 0: from frame numbers, or else from seconds."""
    _clocks_as_seconds(check)
    _timecodes_as_seconds(check)
    for column in FRAMES:
        action = "repaired" if column == "apex" else "left out"
        number = check.number(column, action)
        number[(number == 0).fillna(False) & (column in zero_is_missing)] = pd.NA
        invalid = ((number % 1 != 0) | (number.abs() > MAX_FRAME)).fillna(False)
        problem = "not a whole frame (seconds belong in start_s, apex_s, end_s)"
        check.report(invalid, column, problem, action)
        number[invalid] = pd.NA
        frame = (number - first_number).astype("Int64")
        if SECONDS[column] in check.raw:
            by_time = _from_seconds(check, column, frame.isna())
            _compare(check, column, frame, by_time)
            frame = frame.fillna(by_time)
        check.out[column] = frame
    check.report(check.out["onset"].isna(), "onset", "no onset", "left out")


def _clocks_as_seconds(check: Check) -> None:
    """Moves cells like 00:01:02.500 from the columns of frames to those of seconds."""
    for column in FRAMES:
        clocks = check.text(column).str.contains(":", regex=False).fillna(False).to_numpy(bool)
        if clocks.any():
            seconds = SECONDS[column]
            if seconds not in check.raw:
                check.raw[seconds] = ""
            check.raw.loc[clocks, seconds] = check.raw.loc[clocks, column]
            check.raw.loc[clocks, column] = ""


def _timecodes_as_seconds(check: Check) -> None:
    """Replaces cells like 00:01:02:12 by the seconds of their frame, where a frame rate is known."""
    for seconds in SECONDS.values():
        if seconds in check.raw:
            cells = zip(check.raw[seconds], check.out["fps"], strict=True)
            frames = [None if pd.isna(fps) else timecode_frame(cell, fps) for cell, fps in cells]
            check.raw[seconds] = [
                cell if frame is None else repr(frame / float(fps))
                for cell, frame, fps in zip(check.raw[seconds], frames, check.out["fps"], strict=True)
            ]


def _compare(check: Check, column: str, frame: pd.Series, by_time: pd.Series) -> None:
    """Reports frame columns that disagree with the seconds columns."""
    differs = ((frame - by_time).abs() > 1).fillna(False) & check.alive
    if differs.any():
        at = int(differs.to_numpy().argmax())
        problem = (
            f"{differs.sum()} rows: not the time of the frame in {column}, which counts; in row "
            f"{check.rows[at]} frame {frame[at]}, by time {by_time[at]} (another fps?)"
        )
        check.once(SECONDS[column], check.raw[SECONDS[column]].iloc[at], problem, "kept")


def _from_seconds(check: Check, column: str, needed: pd.Series) -> pd.Series:
    """Frames of a column of seconds; an offset is the last frame before `end_s`. Errors are reported
    only where the frames are `needed`."""
    action = "repaired" if column == "apex" else "left out"
    seconds = check.number(SECONDS[column], action, needed, as_seconds, "no time in a video, in seconds")
    if needed.any() and check.out["fps"].isna().all():
        raise InputError(
            f"{check.file}: {SECONDS[column]} is in seconds, and no fps is known: add a column fps"
        )
    no_fps = needed & seconds.notna() & check.out["fps"].isna()
    check.report(no_fps, SECONDS[column], "seconds, but no fps is known", "left out")
    too_late = (seconds.abs() * check.out["fps"] > MAX_FRAME).fillna(False)
    check.report(too_late & needed, SECONDS[column], "no time in a video, in seconds", "left out")
    seconds[too_late] = pd.NA
    frames = ((seconds * check.out["fps"] + 0.5) // 1).astype("Int64")  # halves up
    return frames - 1 if column == "offset" else frames


def _missing_offsets(check: Check, policy: str) -> None:
    out = check.out
    missing = out["offset"].isna()
    if policy == "drop":
        check.report(missing, "offset", "no offset (missing_offset=drop)", "left out")
        return
    check.report(missing & out["apex"].isna(), "offset", "no offset and no apex", "left out")
    too_early = missing & (out["apex"] < out["onset"]).fillna(False)
    check.report(too_early, "offset", "no offset, and the apex is before the onset", "left out")
    guess = out["apex"] if policy == "apex" else 2 * out["apex"] - out["onset"]
    problem = "no offset: frame " + guess.astype("string").fillna("") + f" (missing_offset={policy})"
    check.report(missing, "offset", problem, "repaired")
    out["offset"] = out["offset"].fillna(guess)


def _order_and_ends(check: Check, n_frames: Mapping[str, int | None]) -> None:
    out = check.out
    backward = (out["offset"] < out["onset"]).fillna(False)
    check.report(backward, "offset", "offset before onset", "left out")
    check.report((out["offset"] < 0).fillna(False), "offset", "before the first frame", "left out")
    before = (out["onset"] < 0).fillna(False)
    check.report(before, "onset", "before the first frame: starts there", "repaired")
    out.loc[before, "onset"] = 0
    last = pd.Series([n_frames.get(v) for v in out["video"]], index=out.index, dtype="Int64") - 1
    beyond = (out["onset"] > last).fillna(False)
    text = "beyond the video's end (last frame " + last.astype("string").fillna("") + ", from 0)"
    check.report(beyond, "onset", text, "left out")
    beyond = (out["offset"] > last).fillna(False)
    check.report(beyond, "offset", text + ": ends there", "repaired")
    out["offset"] = out["offset"].mask(beyond, last)
    outside = ((out["apex"] < out["onset"]) | (out["apex"] > out["offset"])).fillna(False)
    check.report(outside, "apex", "apex outside onset and offset: emptied", "repaired")
    out.loc[outside, "apex"] = pd.NA


def _missing_frames(check: Check, missing_frames: Mapping[str, Collection[int]]) -> None:
    for column in FRAMES:
        cells = zip(check.out["video"], check.out[column], strict=True)
        is_missing = [not pd.isna(f) and f in missing_frames.get(v, ()) for v, f in cells]
        check.report(is_missing, column, "the video lacks this frame", "kept")


def _labels(check: Check, emotion_map: EmotionMap) -> None:
    out = check.out
    written = check.text("expression_type")
    kind = pd.Series([pd.NA if pd.isna(t) else type_label(t) or pd.NA for t in written])
    kind = kind.astype("string")
    derived = expression_type_of(out["onset"], out["offset"], out["fps"])
    unknown = written.notna() & kind.isna()
    check.report(unknown, "expression_type", "unknown type: taken from the duration", "repaired")
    for rows, text, action in (
        (derived.notna(), f"taken from the duration (micro: <= {MICRO_MAX_S} s)", "repaired"),
        (derived.isna(), "stays so, since no fps is known", "kept"),
    ):
        empty = int((written.isna() & rows & check.alive).sum())
        if empty:
            check.once("expression_type", "", f"empty in {empty} rows: {text}", action)
    too_long = (kind == "micro").fillna(False) & (derived == "macro").fillna(False)
    check.report(too_long, "expression_type", f"micro, but longer than {MICRO_MAX_S} s", "kept")
    out["expression_type"] = kind.fillna(derived)
    for column in ("emotion", "emotion_self_report"):
        out[column] = _emotions(check, column, emotion_map)
    out["action_units"], out["source"] = check.text("action_units"), check.text("source")
    out["score"] = check.number("score", "repaired", parse=as_score)


def _emotions(check: Check, column: str, emotion_map: EmotionMap) -> pd.Series:
    """The labels of a column mapped; an unknown one is reported and left empty."""
    written = check.text(column)
    if emotion_map == AS_WRITTEN:
        return written.map(lambda t: t.lower() if t.lower() in EMOTIONS else t, na_action="ignore")
    if isinstance(emotion_map, str):
        raise InputError(f"emotion_map={emotion_map!r}: a mapping of labels, or {AS_WRITTEN!r}")
    mapping = {label_key(k): v for k, v in (FINE_TO_COARSE | dict(emotion_map or {})).items()}
    label = written.map(lambda t: mapping.get(label_key(t), pd.NA), na_action="ignore")
    label = label.astype("string")
    unknown = written.notna() & label.isna()
    check.report(unknown, column, f"unknown label: left empty ({EMOTION_WORDS} can name it)", "repaired")
    changed = written.notna() & label.notna() & (written.str.lower() != label) & check.alive
    pairs = pd.DataFrame({"written": written, "label": label})[changed].value_counts(sort=False)
    for (text, emotion), n in pairs.items():  # type: ignore[misc]
        check.once(column, text, f"read as {emotion} ({n} rows)", "kept")
    return label


def _duplicates(check: Check) -> None:
    """An exact repetition is left out; the same interval with other details stays, reported."""
    same_event = ["subject", "video", *FRAMES[::2], "expression_type", "emotion", "score", "source"]
    same_event += [c for c in ("coder",) if c in check.out]  # who both see it are two coders
    for keys, action in ((list(check.out), "left out"), (same_event, "kept")):
        cells = check.out.loc[check.alive, keys].astype("string").fillna("")
        again = cells.duplicated().reindex(check.raw.index, fill_value=False)
        if not again.any():
            continue
        rows = pd.Series(check.rows, index=check.raw.index)[cells.index]
        first = rows.groupby([cells[k] for k in keys]).transform("first")
        text = "same event as row " + first.astype("string").reindex(check.raw.index).fillna("")
        check.report(again, "onset", text + ", other details differ" * (action == "kept"), action)


def read_csv(path: str | Path, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads an interval table, CSV of any dialect or xlsx: (canonical table, report of repairs).

    Args:
        path: A file with a header row.
        options: As for `validate`.

    Raises:
        InputError: The file cannot be read, is empty, or misses a column.
    """
    labels = read_csv_labels(path, **options)
    return labels.events, labels.repairs


def read_csv_labels(path: str | Path, **options) -> LabelFile:
    """As `read_csv`; a row with only a video stands for a video without events."""
    return labels_of_table(label_table(Path(path)), Path(path).name, **options)


def labels_of_table(table: pd.DataFrame, file: str, **options) -> LabelFile:
    """The labels in a table of text cells; index = row numbers."""
    silent = _has_no_interval(table)
    defaults = {"source_name": file, "rows": list(table.index[~silent])}
    events, report = validate(table[~silent], **defaults | options)
    columns = columns_of(table.columns)
    listed, lines = [], []
    for row, cells in table[silent].iterrows():
        subject, video, fps = (cells.get(columns.get(c)) or None for c in ("subject", "video", "fps"))
        with suppress(ValueError):
            listed.append({"subject": subject or video, "video": video, "fps": as_fps(fps or "")})
        problem = "no interval in this row: a video without events"
        lines.append(repair(file, problem, "kept", row=int(str(row)), video=video))
    videos = pd.concat([videos_of(events), listed_videos(listed)], ignore_index=True)
    videos = videos.drop_duplicates(["subject", "video"])
    return LabelFile(events, join_repairs(report, *lines), videos, int((~silent).sum()))


def _has_no_interval(table: pd.DataFrame) -> pd.Series:
    """Mask of the rows that name a video and hold neither times nor labels."""
    columns = columns_of(table.columns)
    if "video" not in columns:
        return pd.Series(False, index=table.index)
    about_video = {columns.get(c) for c in ("schema_version", "subject", "video", "fps", "source")}
    others = table[[c for c in table.columns if c not in about_video]]
    return (table[columns["video"]] != "") & ~others.astype(bool).any(axis=1)


def label_table(path: Path) -> pd.DataFrame:
    """The cells of a CSV file, or of the one sheet of a workbook that holds intervals, as text below its
    header; index = row numbers.

    The header is the first row with a video and an onset, or else the first filled one. Of a workbook the
    sheet with such a row is read, or else the first filled one.

    Raises:
        InputError: The file cannot be read, is empty, or several sheets hold intervals.
    """
    sheets = [sheet for sheet in sheets_of(path) if any(any(cells) for _, cells in sheet.grid)]
    if not sheets:
        raise InputError(f"{path}: empty; needs a header: video,onset,offset,emotion")
    tables = [(sheet.grid, at) for sheet in sheets if (at := interval_header(sheet.grid)) is not None]
    if len(tables) > 1:
        names = ", ".join(repr(sheet.title) for sheet in sheets)
        raise InputError(f"{path}: several sheets hold intervals ({names}); put all rows into one of them")
    first = sheets[0].grid
    return table_of(*(tables or [(first, next(i for i, (_, cells) in enumerate(first) if any(cells)))])[0])


def interval_header(grid: Grid) -> int | None:
    """Position of the first row that names a video and an onset, None if there is none."""
    for at, (_, cells) in enumerate(grid[:40]):
        columns = columns_of(cells)
        clocks = {header_key(cell) for cell in cells} & _CLOCKS["onset"]
        if "video" in columns and ({"onset", "start_s"} & set(columns) or clocks):
            return at
    return None


def emotion_words(folder_or_file: Path) -> dict[str, str]:
    """Label -> emotion from `emotions.csv` in this folder or next to this file; {} without one.

    It has a header `label,emotion`; other columns are not read.

    Raises:
        InputError: A column is missing, an emotion is not in EMOTIONS, or a label has two.
    """
    path = (folder_or_file if folder_or_file.is_dir() else folder_or_file.parent) / EMOTION_WORDS
    if not path.is_file() or path == folder_or_file:
        return {}
    table = label_table(path)
    headers = {header_key(h): h for h in table.columns}
    if not {"label", "emotion"} <= set(headers):
        raise InputError(f"{path}: has the columns {', '.join(table.columns)}; needs a header: label,emotion")
    words: dict[str, str] = {}
    for row in table.index:
        label, emotion = table.at[row, headers["label"]], table.at[row, headers["emotion"]].lower()
        if not label and not emotion:
            continue
        if not label or emotion not in EMOTIONS:
            raise InputError(
                f"{path}: row {row}: {label!r} is {emotion!r}; an emotion is one of {', '.join(EMOTIONS)}"
            )
        if (previous := words.setdefault(label_key(label), emotion)) != emotion:
            raise InputError(f"{path}: row {row}: {label!r} is {emotion!r}, and {previous!r} above; keep one")
    return words


def words_for(path: Path, emotion_map: EmotionMap) -> tuple[EmotionMap, set[str]]:
    """The emotion map of a file for `validate`, and the keys of all its words for emotions, those of
    `emotions.csv` included.

    Args:
        path: The file.
        emotion_map: As for `validate`; None takes that of `emotion_words`.
    """
    words = emotion_words(path)
    if isinstance(emotion_map, Mapping):
        words = {label_key(label): emotion for label, emotion in emotion_map.items()}
    return words if emotion_map is None else emotion_map, {*map(label_key, FINE_TO_COARSE), *words}


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Writes a canonical table as UTF-8 CSV, missing values empty; the file appears whole.

    Text that a spreadsheet would run as a formula is written with an apostrophe (`cells.without_formula`).
    """
    columns = [*COLUMNS, *[c for c in EXTRA_COLUMNS if c in table]]
    # A lone carriage return within a text ends a row on reading unless its cell is quoted.
    returns = any(isinstance(c, str) and "\r" in c for name in columns for c in table[name])
    quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
    with atomic_write(Path(path)) as part:
        cells = table[columns].map(without_formula)
        cells.to_csv(part, index=False, lineterminator="\n", quoting=quoting, errors="replace")


def write_megc(table: pd.DataFrame, path: str | Path) -> None:
    """Writes results in the format of the Facial Micro-Expression Grand Challenge: vid, pred_onset,
    pred_offset, type (mae or me), and emotion; the file appears whole. Subjects are not written."""
    kinds = table["expression_type"].map({"macro": "mae", "micro": "me"})
    columns = {"vid": table["video"], "pred_onset": table["onset"], "pred_offset": table["offset"]}
    results = pd.DataFrame(columns | {"type": kinds, "emotion": table["emotion"]}).map(without_formula)
    with atomic_write(Path(path)) as part:
        results.to_csv(part, index=False, lineterminator="\n", errors="replace")

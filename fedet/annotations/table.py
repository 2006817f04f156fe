"""The interval table: one row per facial expression, checked, with a report of every repair.

Frames are 0-based and INCLUSIVE, so an interval lasts `offset - onset + 1` frames; in seconds it
runs from `start_s = onset / fps` to `end_s = (offset + 1) / fps`. Unknown values are empty.
A plain validator rather than a schema library: what is needed is one line per bad cell with the
row the user sees, and a repair, and schema libraries give only the refusal.
"""

import csv
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import as_text, csv_grid, header_key, table_of
from fedet.annotations.repairs import Check
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

OWN_WORDS = "emotions.csv"  # beside the labels: label,emotion for words that nobody else uses

_LAST_FRAME = 10**9  # a larger number is no frame


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
    emotion_map: Mapping[str, str] | str | None = None,
    missing_frames: Mapping[str, Collection[int]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turns any interval table into a canonical one and reports what it had to repair.

    Needs `video`, `onset` (or `start_s`) and `offset` (or `end_s`), in any case and punctuation.

    Args:
        table: Intervals; cells may be numbers or text.
        n_frames: Number of frames of each video, for the check against its end; None: unknown.
        missing_offset: Offset of an event that has none: "apex_mirror" puts the onset-apex span
            behind the apex, "apex" ends at the apex, "drop" leaves the event out.
        source_name: Name of the file for the report.
        rows: Row number of each row in the file; by default the header is row 1.
        fps: Frames per second where the table has none, one for all or by video.
        first_number: The number that the file gives to the first frame of a video.
        zero_is_missing: Of onset, apex, offset, those in which 0 means "not annotated".
        emotion_map: Label -> emotion, over FINE_TO_COARSE; AS_WRITTEN merges and refuses none.
        missing_frames: Frames that a video lacks; events that name them are reported and kept.

    Returns:
        The canonical table (COLUMNS, then those of EXTRA_COLUMNS that were there) and the report
        (REPAIR_COLUMNS; `value` as it stood in the file).

    Raises:
        InputError: A column that is needed is missing, or an option has no such value.
    """
    if missing_offset not in MISSING_OFFSETS:
        raise InputError(f"missing_offset={missing_offset!r}: one of {', '.join(MISSING_OFFSETS)}")
    rows = range(2, len(table) + 2) if rows is None else rows
    check = Check(_named(table, source_name), rows, source_name, SECONDS)
    _names_and_fps(check, fps)
    _ignored(check)
    _intervals(check, first_number, zero_is_missing)
    _missing_offsets(check, missing_offset)
    _order_and_ends(check, n_frames or {})
    _absent(check, missing_frames or {})
    _labels(check, emotion_map)
    _duplicates(check)
    out = check.out[[*COLUMNS, *(c for c in EXTRA_COLUMNS if c in check.out)]]
    out = out.astype({c: dtype_of(c) for c in out.columns})
    return out[check.alive].reset_index(drop=True), check.repairs()


def _named(table: pd.DataFrame, file: str) -> pd.DataFrame:
    """The table as text under canonical names, other columns marked as ignored."""
    found = columns_of(table.columns)
    needed = [n for n in ("onset", "offset") if n not in found and SECONDS[n] not in found]
    if "video" not in found or needed:
        missing = [n for n in ("video",) if n not in found] + needed
        there = ", ".join(map(str, table.columns)) or "none"
        raise InputError(
            f"{file}: no column {', '.join(missing)}; found {there}; needed: video, onset, offset "
            "(frames from 0, inclusive) or video, start_s, end_s (seconds)"
        )
    cells = {name: [as_text(v) for v in table[column]] for name, column in found.items()}
    rest = [c for c in table.columns if c not in found.values()]
    cells |= {f"ignored: {c}": [as_text(v) for v in table[c]] for c in rest}
    return pd.DataFrame(cells, dtype=object, index=range(len(table)))


def _ignored(check: Check) -> None:
    for column in [c for c in check.raw if c.startswith("ignored: ")]:
        name = column.removeprefix("ignored: ")
        filled = check.raw[column].astype(bool)
        if re.fullmatch(r"column \d+", name):
            text = "a cell without a header is not read (a comma in text without quotes?)"
            check.report(filled, column, text, "kept")
        elif filled.any():
            check.once(name, "", "no column of the interval table", "left out")
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
    if "subject" in check.raw:
        check.report(check.text("subject").isna(), "subject", "empty: the video's name", "repaired")
    else:
        check.once("subject", "", "no such column: each video is its own subject", "repaired")
    rate = check.number("fps", "repaired")
    wrong = (rate <= 0).fillna(False)
    check.report(wrong, "fps", "not above 0", "repaired")
    rate[wrong] = pd.NA
    if isinstance(fps, (int, float)) and not 0 < fps < math.inf:
        raise InputError(f"{check.file}: fps is {fps!r}; frames a second are a number above 0")
    given = check.out["video"].map(fps) if isinstance(fps, Mapping) else fps
    if given is not None:
        rate = rate.fillna(pd.Series(given, index=check.raw.index, dtype="Float64"))
    check.out["fps"] = rate


def _intervals(check: Check, first_number: int, zero_is_missing: Sequence[str]) -> None:
    """Frames from 0, out of frame numbers or else out of seconds."""
    for column in FRAMES:
        action = "repaired" if column == "apex" else "left out"
        number = check.number(column, action)
        number[(number == 0).fillna(False) & (column in zero_is_missing)] = pd.NA
        broken = ((number % 1 != 0) | (number.abs() > _LAST_FRAME)).fillna(False)
        problem = "not a whole frame (seconds belong in start_s, apex_s, end_s)"
        check.report(broken, column, problem, action)
        number[broken] = pd.NA
        frame = (number - first_number).astype("Int64")
        if SECONDS[column] in check.raw:
            by_time = _from_seconds(check, column, frame.isna())
            _compare(check, column, frame, by_time)
            frame = frame.fillna(by_time)
        check.out[column] = frame
    check.report(check.out["onset"].isna(), "onset", "no onset", "left out")


def _compare(check: Check, column: str, frame: pd.Series, by_time: pd.Series) -> None:
    """Tells of frames that are others than those of the seconds beside them."""
    apart = ((frame - by_time).abs() > 1).fillna(False) & check.alive
    if apart.any():
        at = int(apart.to_numpy().argmax())
        problem = f"{apart.sum()} rows: not the time of the frame in {column}, which counts; in row "
        problem += f"{check.rows[at]} frame {frame[at]}, by time {by_time[at]} (another fps?)"
        check.once(SECONDS[column], check.raw[SECONDS[column]].iloc[at], problem, "kept")


def _from_seconds(check: Check, column: str, needed: pd.Series) -> pd.Series:
    """Frames of a column of seconds; an offset is the last frame before `end_s`. What is wrong with them
    matters where they are `needed`."""
    seconds = check.number(SECONDS[column], "repaired" if column == "apex" else "left out", needed)
    if needed.any() and check.out["fps"].isna().all():
        raise InputError(
            f"{check.file}: {SECONDS[column]} is in seconds, and no fps is known: add a column fps"
        )
    lost = needed & seconds.notna() & check.out["fps"].isna()
    check.report(lost, SECONDS[column], "seconds, but no fps is known", "left out")
    far = (seconds.abs() * check.out["fps"] > _LAST_FRAME).fillna(False)
    check.report(far & needed, SECONDS[column], "no time in a video, in seconds", "left out")
    seconds[far] = pd.NA
    frames = ((seconds * check.out["fps"] + 0.5) // 1).astype("Int64")  # halves up
    return frames - 1 if column == "offset" else frames


def _missing_offsets(check: Check, policy: str) -> None:
    out = check.out
    lost = out["offset"].isna()
    if policy == "drop":
        check.report(lost, "offset", "no offset (missing_offset=drop)", "left out")
        return
    check.report(lost & out["apex"].isna(), "offset", "no offset and no apex", "left out")
    early = lost & (out["apex"] < out["onset"]).fillna(False)
    check.report(early, "offset", "no offset, and the apex is before the onset", "left out")
    guess = out["apex"] if policy == "apex" else 2 * out["apex"] - out["onset"]
    shown = guess.astype("string")
    problem = "no offset: frame " + shown.fillna("") + f" (missing_offset={policy})"
    check.report(lost, "offset", problem, "repaired")
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
    aside = ((out["apex"] < out["onset"]) | (out["apex"] > out["offset"])).fillna(False)
    check.report(aside, "apex", "apex outside onset and offset: emptied", "repaired")
    out.loc[aside, "apex"] = pd.NA


def _absent(check: Check, missing_frames: Mapping[str, Collection[int]]) -> None:
    for column in FRAMES:
        cells = zip(check.out["video"], check.out[column], strict=True)
        lacking = [not pd.isna(f) and f in missing_frames.get(v, ()) for v, f in cells]
        check.report(lacking, column, "the video lacks this frame", "kept")


def _labels(check: Check, emotion_map: Mapping[str, str] | str | None) -> None:
    out = check.out
    written = check.text("expression_type")
    kind = pd.Series([pd.NA if pd.isna(t) else type_label(t) or pd.NA for t in written])
    kind = kind.astype("string")
    derived = expression_type_of(out["onset"], out["offset"], out["fps"])
    unknown = written.notna() & kind.isna()
    check.report(unknown, "expression_type", "unknown type: taken from the duration", "repaired")
    for told, text, action in (
        (derived.notna(), f"taken from the duration (micro: <= {MICRO_MAX_S} s)", "repaired"),
        (derived.isna(), "stays so, since no fps is known", "kept"),
    ):
        empty = int((written.isna() & told & check.alive).sum())
        if empty:
            check.once("expression_type", "", f"empty in {empty} rows: {text}", action)
    long = (kind == "micro").fillna(False) & (derived == "macro").fillna(False)
    check.report(long, "expression_type", f"micro, but longer than {MICRO_MAX_S} s", "kept")
    out["expression_type"] = kind.fillna(derived)
    for column in ("emotion", "emotion_self_report"):
        out[column] = _emotions(check, column, emotion_map)
    out["action_units"], out["source"] = check.text("action_units"), check.text("source")
    out["score"] = check.number("score", "repaired")


def _emotions(check: Check, column: str, emotion_map: Mapping[str, str] | str | None) -> pd.Series:
    """The labels of a column mapped; an unknown one is reported and left empty."""
    written = check.text(column)
    if emotion_map == AS_WRITTEN:
        return written.map(lambda t: t.lower() if t.lower() in EMOTIONS else t, na_action="ignore")
    if isinstance(emotion_map, str):
        raise InputError(f"emotion_map={emotion_map!r}: a mapping of labels, or {AS_WRITTEN!r}")
    mapping = {header_key(k): v for k, v in (FINE_TO_COARSE | dict(emotion_map or {})).items()}
    label = written.map(lambda t: mapping.get(header_key(t), pd.NA), na_action="ignore")
    label = label.astype("string")
    unknown = written.notna() & label.isna()
    check.report(unknown, column, f"unknown label: left empty ({OWN_WORDS} can name it)", "repaired")
    changed = written.notna() & label.notna() & (written.str.lower() != label) & check.alive
    pairs = pd.DataFrame({"written": written, "label": label})[changed].value_counts(sort=False)
    for (text, emotion), n in pairs.items():  # type: ignore[misc]
        check.once(column, text, f"read as {emotion} ({n} rows)", "kept")
    return label


def _duplicates(check: Check) -> None:
    """An exact repetition is left out; the same interval with other details stays, reported."""
    same_event = [
        "subject",
        "video",
        *FRAMES[::2],
        "expression_type",
        "emotion",
        "score",
        "source",
    ]
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
    """Reads an interval table of any CSV dialect: (canonical table, report of repairs).

    Args:
        path: A CSV file with a header row.
        options: As for `validate`.

    Raises:
        InputError: The file cannot be read, is empty, or misses a column.
    """
    path = Path(path)
    table = csv_table(path)
    options.setdefault("source_name", path.name)
    return validate(table, rows=list(table.index), **options)


def csv_table(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as text, below its header; index = row numbers.

    The header is the first row with a video and an onset, or else the first filled one.

    Raises:
        InputError: The file cannot be read or is empty.
    """
    grid = csv_grid(path)
    filled = [i for i, (_, cells) in enumerate(grid[:40]) if any(cells)]
    if not filled:
        raise InputError(f"{path}: empty; needs a header: video,onset,offset,emotion")
    found = {i: columns_of(grid[i][1]) for i in filled}
    fits = (i for i in filled if "video" in found[i] and {"onset", "start_s"} & set(found[i]))
    return table_of(grid, next(fits, filled[0]))


def own_words(place: Path) -> dict[str, str]:
    """Label -> emotion as `emotions.csv` says, in this folder or beside this file; {} without one.

    It has a header `label,emotion`; other columns are not read.

    Raises:
        InputError: A column is missing, an emotion is none of ours, or a label has two.
    """
    path = (place if place.is_dir() else place.parent) / OWN_WORDS
    if not path.is_file() or path == place:
        return {}
    table = csv_table(path)
    headers = {header_key(h): h for h in table.columns}
    if not {"label", "emotion"} <= set(headers):
        raise InputError(f"{path}: has the columns {', '.join(table.columns)}; needs a header: label,emotion")
    words: dict[str, str] = {}
    for row in table.index:
        label, emotion = table.at[row, headers["label"]], table.at[row, headers["emotion"]].lower()
        where = f"{path}: row {row}: {label!r} is {emotion!r}"
        if not label and not emotion:
            continue
        if not label or emotion not in EMOTIONS:
            raise InputError(f"{where}; an emotion is one of {', '.join(EMOTIONS)}")
        if (before := words.setdefault(header_key(label), emotion)) != emotion:
            raise InputError(f"{where}, and {before!r} above; keep one")
    return words


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Writes a canonical table as UTF-8 CSV, missing values empty; the file appears whole."""
    columns = [*COLUMNS, *[c for c in EXTRA_COLUMNS if c in table]]
    # A lone carriage return within a text ends a row on reading unless its cell is quoted.
    returns = any(isinstance(c, str) and "\r" in c for name in columns for c in table[name])
    quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
    with atomic_write(Path(path)) as part:
        table[columns].to_csv(part, index=False, lineterminator="\n", quoting=quoting)

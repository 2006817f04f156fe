"""The data that the explorer shows of one video, checked and in one frame rate.

Interval tables, score curves and spans become one `Lanes`, and that the data for the browser
(`payload`), in which positions are frames and intervals are half-open: `s` = onset, `e` = offset + 1.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.spellings import AS_WRITTEN, FINE_TO_COARSE
from fedet.annotations.table import validate
from fedet.annotations.video_names import stem
from fedet.errors import InputError
from fedet.files import shortened
from fedet.intervals import (
    EMOTION_COLOURS,
    EMOTIONS,
    MICRO_MAX_S,
    RATE_TOLERANCE,
    empty_table,
    expression_type_of,
    nominal_fps,
    round_half_up,
    table_at_rate,
    table_of,
)

MISSING = 65535  # no score; the others are 0 ... 65534
_SPANS = (("start_s", "end_s"), ("start_frame", "end_frame"), ("onset", "offset"))


@dataclass(frozen=True)
class Lanes:
    """One video's intervals, curves and spans, all counted in `fps`.

    Attributes:
        predictions: (name, canonical table) of each seed; the first one is reviewed.
        truth: Canonical table or None.
        curves: (names, values (T, C) in 0 ... 1, NaN for no score) or None.
        missing: (onset, offset), inclusive, of the spans without a face.
        labels: All emotions that occur or may be given.
        notices: Repairs and conversions, one sentence each.
    """

    name: str
    fps: float
    n_frames: int
    predictions: list[tuple[str, pd.DataFrame]]
    truth: pd.DataFrame | None
    curves: tuple[list[str], np.ndarray] | None
    missing: list[tuple[int, int]]
    labels: tuple[str, ...]
    notices: list[str] = field(default_factory=list)


def prepare(
    predictions,
    truth: pd.DataFrame | None = None,
    scores=None,
    missing=None,
    *,
    video=None,
    name: str | None = None,
    fps: float | None = None,
    duration_s: float | None = None,
) -> Lanes:
    """Checks everything and brings it to one frame rate.

    Args:
        predictions: A canonical table or a `Detections`; or several (dict by name, or a list), of which the
            first is reviewed and the others are other seeds.
        truth: A canonical table.
        scores: Score curves, one row per frame at the predictions' rate: a DataFrame with a column
            per emotion (columns frame and time_s are not curves), a dict of arrays, or an array
            (T, C) in the order of EMOTIONS. 0 ... 1, NaN for no score.
        missing: Spans without a face: a DataFrame or dicts (start_s, end_s; start_frame, end_frame;
            or onset, offset), or pairs (onset, offset) of inclusive frames.
        video: A `fedet.video.reader.Video`, for its name, rate and length.
        name: The video's name in the tables; default: the file's name without its suffix.
        fps, duration_s: If neither tables nor video state them.

    Raises:
        InputError: No row of a table belongs to the video, rates are mixed or unknown, a curve
            leaves 0 ... 1, or a span ends before its start.
    """
    notices: list[str] = []
    seeds = _named(predictions)
    name = name or (Path(video.path).stem if video is not None else _only_name(seeds, truth))
    default_fps = fps or (float(video.fps) if video is not None else None)
    checked = [(n, _of_video(t, name, n, default_fps, notices)) for n, t in seeds]
    events = None if truth is None else _of_video(truth, name, "truth", default_fps, notices)
    _check_people([*checked, ("truth", events)], name)
    rate = _rate(checked, events, default_fps, name)
    checked = [(n, _typed(convert_rate(t, rate, n, notices))) for n, t in checked]
    events = None if events is None else convert_rate(events, rate, "truth", notices)
    curves = None if scores is None else _curves(scores)
    spans = [] if missing is None else _spans(missing, rate)
    tables = [t for _, t in checked] + ([] if events is None else [events])
    length = _length(tables, curves, spans, rate, video, duration_s, notices)
    labels = _labels(tables, curves)
    return Lanes(name, rate, length, checked, events, curves, spans, labels, notices)


def payload(lanes: Lanes) -> dict:
    """The lanes for the browser, without review, pictures and the values of the curves."""
    colours = [colour_of(label) for label in lanes.labels]
    curves = lanes.curves
    return {
        "name": lanes.name,
        "fps": lanes.fps,
        "n_frames": lanes.n_frames,
        "micro_s": MICRO_MAX_S * nominal_fps(lanes.fps) / lanes.fps,
        "classes": list(lanes.labels),
        "colours": colours,
        "unknown": EMOTION_COLOURS["unknown"],
        "predictions": [
            {"name": name, "rows": columns(table, prefix="p" if i == 0 else f"q{i}_")}
            for i, (name, table) in enumerate(lanes.predictions)
        ],
        "truth": None if lanes.truth is None else columns(lanes.truth, prefix="t"),
        "missing": [[onset, offset + 1] for onset, offset in lanes.missing],
        "scores": None if curves is None else {"classes": curves[0], "length": len(curves[1])},
    }


def curve_bytes(lanes: Lanes) -> bytes:
    """The score curves, one after the other, as little-endian uint16."""
    if lanes.curves is None:
        return b""
    values = lanes.curves[1].T
    whole = np.rint(np.nan_to_num(values) * (MISSING - 1))
    return np.where(np.isnan(values), MISSING, whole).astype("<u2").tobytes()


def curve_text(lanes: Lanes) -> str:
    """The same for a page: base64."""
    return base64.b64encode(curve_bytes(lanes)).decode()


def columns(table: pd.DataFrame, prefix: str) -> dict[str, list]:
    """A canonical table as columns of plain values."""
    optional = {name: name for name in ("emotion", "score", "apex", "subject")}
    cells = {name: _cells(table[column]) for name, column in optional.items()}
    return {
        "id": [f"{prefix}{i}" for i in range(len(table))],
        "s": table["onset"].tolist(),
        "e": (table["offset"] + 1).tolist(),
        "type": _cells(table["expression_type"]),
        "note": _cells(table["note"]) if "note" in table else [""] * len(table),
        **cells,
    }


def colour_of(label: str) -> str:
    """The emotion's colour; a finer label has that of the emotion it belongs to."""
    coarse = label if label in EMOTION_COLOURS else FINE_TO_COARSE.get(label, "unknown")
    return EMOTION_COLOURS[coarse]


def _cells(column: pd.Series) -> list:
    return [None if pd.isna(value) else value for value in column.tolist()]


def _named(predictions) -> list[tuple[str, pd.DataFrame]]:
    predictions = table_of(predictions)
    if isinstance(predictions, pd.DataFrame):
        return [("Prediction", predictions)]
    if isinstance(predictions, dict):
        named = [(name, table_of(table)) for name, table in predictions.items()]
    elif isinstance(predictions, list | tuple):
        named = [(f"Seed {i}", table_of(table)) for i, table in enumerate(predictions)]
    else:
        named = []
    if not named or not all(isinstance(table, pd.DataFrame) for _, table in named):
        raise InputError(
            f"predictions={type(predictions).__name__}: give a DataFrame of intervals, or several "
            "in a dict or list"
        )
    return [(str(n), table) for n, table in named]


def _only_name(seeds, truth) -> str:
    tables = [t for _, t in seeds] + ([] if truth is None else [truth])
    names = sorted({str(v) for t in tables if "video" in t for v in t["video"].dropna()})
    if len(names) > 1:
        raise InputError(f"the tables hold {len(names)} videos ({shortened(names)}): name one, name=")
    return names[0] if names else "video"


def _of_video(table, name: str, what: str, fps: float | None, notices: list[str]) -> pd.DataFrame:
    """The table's rows of this video, checked; a table without a column video is all of it."""
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{what}: {type(table).__name__}, not a DataFrame of intervals")
    if table.empty:
        return empty_table()
    table = table if "video" in table else table.assign(video=name)
    names = sorted({str(v) for v in table["video"].dropna()})
    of_video = [stem(str(v)) == stem(name) for v in table["video"]]
    if not any(of_video):
        raise InputError(f"{what}: no interval of video {name!r}; found {shortened(names)}")
    rows = table[of_video]
    checked, repairs = validate(rows, fps=fps, source_name=what, emotion_map=AS_WRITTEN)
    for problem, group in repairs[repairs["action"] != "kept"].groupby("problem", sort=False):
        if group["row"].notna().any():
            notices.append(f"{what}: {len(group)} rows {group['action'].iloc[0]}: {problem}")
    return checked


def _check_people(tables: list[tuple[str, pd.DataFrame | None]], name: str) -> None:
    """Raises InputError where several people would be compared with each other."""
    people = {what: sorted(set(t["subject"].dropna())) for what, t in tables if t is not None}
    for what, subjects in people.items():
        if len(subjects) > 1 and len(people) > 1:
            raise InputError(
                f"{what}: video {name!r} of {len(subjects)} subjects ({shortened(subjects)}); several people "
                "are shown alone, without truth or other seeds: give the rows of one"
            )


def _rate(checked, truth, default_fps: float | None, name: str) -> float:
    """The rate of the reviewed table, else of any other."""
    for what, table in [*checked, ("truth", truth)]:
        rates = [] if table is None else sorted(set(table["fps"].dropna()))
        if len(rates) > 1:
            raise InputError(f"{what}: video {name!r} at {rates[0]:g} and {rates[-1]:g} fps")
        if rates:
            return float(rates[0])
    if not default_fps or not default_fps > 0:
        raise InputError(f"video {name!r}: no fps known; add a column fps, or give fps=")
    return float(default_fps)


def convert_rate(table: pd.DataFrame, fps: float, what: str, notices: list[str]) -> pd.DataFrame:
    """The table counted in `fps`; frames of another rate are converted by time."""
    rate = table["fps"].dropna()
    if not len(rate) or abs(rate.iloc[0] - fps) <= RATE_TOLERANCE * fps:
        return table.assign(fps=pd.array([fps] * len(table), "Float64"))
    notices.append(f"{what}: converted by time from {rate.iloc[0]:g} to {fps:g} fps")
    return table_at_rate(table, fps)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """A prediction is macro or micro by its duration, as in the protocol."""
    kind = expression_type_of(table["onset"], table["offset"], table["fps"])
    return table.assign(expression_type=kind) if len(table) else table


def _curves(scores) -> tuple[list[str], np.ndarray]:
    if isinstance(scores, np.ndarray):
        if scores.ndim != 2 or scores.shape[1] > len(EMOTIONS):
            raise InputError(f"scores of shape {scores.shape}: (frames, emotions) is needed")
        table = pd.DataFrame(scores, columns=list(EMOTIONS[: scores.shape[1]]))
    else:
        try:
            table = pd.DataFrame(scores)
        except ValueError as error:
            raise InputError(f"scores: {error}; one column of values per emotion") from None
        table = table.drop(columns=["frame", "time_s"], errors="ignore")
    names = [str(name) for name in table.columns]
    try:
        values = table.astype("Float64").to_numpy(np.float32, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"scores: not all numbers ({error})") from None
    known = values[~np.isnan(values)]
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise InputError(f"scores from {known.min():g} to {known.max():g}: they must lie in 0 ... 1")
    return names, values


def _spans(missing, fps: float) -> list[tuple[int, int]]:
    """Spans as inclusive frames."""
    if not isinstance(missing, pd.DataFrame):
        named = len(missing) and isinstance(missing[0], Mapping)
        missing = pd.DataFrame(list(missing), columns=None if named else ["onset", "offset"])
    for first, last in _SPANS:
        if first in missing and last in missing:
            start, end = missing[first].to_numpy(float), missing[last].to_numpy(float)
            break
    else:
        names = ", ".join(map(str, missing.columns))
        raise InputError(f"missing: needs start_s and end_s, or onset and offset; found {names}")
    if first == "start_s":
        start, end = round_half_up(start * fps), round_half_up(end * fps) - 1
    wrong = ~((start >= 0) & (end >= start))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise InputError(f"missing: span {missing.iloc[at].tolist()} does not end after its start")
    return [(int(a), int(b)) for a, b in zip(start, end, strict=True)]


def _length(tables, curves, spans, fps, video, duration_s, notices) -> int:
    """Frames of the video: what it states, but at least up to the last row or score."""
    stated_s = duration_s or (video.duration_s if video is not None else None)
    frames = round(stated_s * fps) if stated_s else 0
    if not frames and video is not None and video.n_frames_estimate:
        frames = round(video.n_frames_estimate / video.fps * fps)
    ends = [int(t["offset"].max()) + 1 for t in tables if len(t)]
    ends += [end + 1 for _, end in spans] + ([len(curves[1])] if curves else [])
    furthest = max(ends, default=0)
    if frames and furthest > frames + fps:
        notices.append(f"tables or curves reach to frame {furthest - 1}, the video has {frames} frames")
    return max(frames, furthest, 1)


def _labels(tables, curves) -> tuple[str, ...]:
    labels = {label for table in tables for label in table["emotion"].dropna()}
    labels |= set(curves[0]) if curves else set()
    return (*EMOTIONS, *sorted(labels - set(EMOTIONS)))

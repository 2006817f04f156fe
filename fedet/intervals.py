"""The interval table and its arithmetic: constants of the field, dtypes, macro and micro, tIoU, frame rates.

An interval is written in two ways. Tables count 0-based INCLUSIVE frames, onset and offset; the detector
and its losses count continuous [start, end) in frames, with end = offset + 1. Frame i lasts from i / fps to
(i + 1) / fps seconds.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

# --- constants of the field

EMOTIONS = ("positive", "negative", "surprise", "others")
EMOTION_COLOURS = {
    "positive": "#E69F00",
    "negative": "#0072B2",
    "surprise": "#009E73",
    "others": "#CC79A7",
    "unknown": "#777777",
}
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 24, 25, 26, 43)
AU_INDEX = {au: i for i, au in enumerate(AUS)}
MICRO_MAX_S = 0.5  # a micro-expression lasts at most this long, seconds
RATE_TOLERANCE = 0.005  # 29.97 and 30 are one nominal rate: frame numbers mean the same frames

SCHEMA_VERSION = "1"
COLUMNS = [
    "schema_version", "subject", "video", "fps", "onset", "apex", "offset", "expression_type",
    "emotion", "emotion_self_report", "action_units", "score", "source",
]  # fmt: skip
EXTRA_COLUMNS = ["confidence", "note", "coder"]  # a coder's own; they stay at the right of the table
FRAMES = ("onset", "apex", "offset")
SECONDS = {"onset": "start_s", "apex": "apex_s", "offset": "end_s"}
_DTYPES = dict.fromkeys(FRAMES, "Int64") | {"fps": "Float64", "score": "Float64"}

# --- tables and their types


def dtype_of(column: str) -> str:
    """The dtype of a column of the table."""
    return _DTYPES.get(column, "string")


def empty_table() -> pd.DataFrame:
    """A canonical table without rows, every column with its dtype."""
    return pd.DataFrame({c: pd.Series(dtype=dtype_of(c)) for c in COLUMNS})


def table_of(source: Any) -> Any:
    """The table of a `fedet.detection.Detections`; anything else as it is."""
    return source if isinstance(source, pd.DataFrame) else getattr(source, "table", source)


def expression_type_of(onset: ArrayLike, offset: ArrayLike, fps: ArrayLike) -> Any:
    """ "micro" if `offset - onset + 1` frames last at most MICRO_MAX_S seconds, else "macro".

    Args:
        onset, offset: 0-based inclusive frames, scalars or arrays of one length.
        fps: frames per second, a scalar or an array of that length, read as their nominal rate: 15
            frames at 29.97 are micro.

    Returns:
        A str for scalars, else a `string` Series (with the index of `onset` if it has one);
        missing where anything is missing.

    >>> expression_type_of(10, 24, 30.0)
    'micro'
    """
    single = all(np.ndim(x) == 0 for x in (onset, offset, fps))
    size = 1 if single else next(np.size(x) for x in (onset, offset, fps) if np.ndim(x))
    columns = [np.broadcast_to(np.asarray(x, object), size) for x in (onset, offset, fps)]
    start, end, rate = (pd.array(list(c), "Float64") for c in columns)
    index = onset.index if isinstance(onset, pd.Series) else range(size)
    rate = pd.array(nominal_fps(rate.to_numpy(float, na_value=np.nan)), "Float64")
    duration_s = pd.Series((end - start + 1) / rate, index=index)
    types = pd.Series("macro", index=index, dtype="string")
    # 1e-9: 15 frames at 30 fps are exactly the border, whatever the rounding of a division
    types[(duration_s <= MICRO_MAX_S + 1e-9).fillna(False)] = "micro"
    types[duration_s.isna()] = pd.NA
    return types.iloc[0] if single else types


# --- overlap


def intervals_of(events: pd.DataFrame) -> np.ndarray:
    """(E, 2) float, continuous [onset, offset + 1) of a table's inclusive frames."""
    ends = [events["onset"], events["offset"] + 1]
    return np.stack([end.to_numpy(dtype=np.float64) for end in ends], axis=1)


def intersection_and_union(
    onset_a: ArrayLike, offset_a: ArrayLike, onset_b: ArrayLike, offset_b: ArrayLike, inclusive: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Frames in both intervals and in either; arrays of frames that broadcast, as integers."""
    one = 1 if inclusive else 0
    start_a, end_a, start_b, end_b = map(np.asarray, (onset_a, offset_a, onset_b, offset_b))
    shared = np.maximum(np.minimum(end_a, end_b) - np.maximum(start_a, start_b) + one, 0)
    return shared, (end_a - start_a + one) + (end_b - start_b + one) - shared


def tiou(
    onset_a: ArrayLike, offset_a: ArrayLike, onset_b: ArrayLike, offset_b: ArrayLike, inclusive: bool = True
) -> np.ndarray:
    """Temporal intersection over union, counted in frames; inputs broadcast.

    Without the +1 two intervals of length 0 have no union; their tIoU is 0.

    >>> float(tiou(10, 19, 15, 24))
    0.3333333333333333
    """
    shared, union = intersection_and_union(onset_a, offset_a, onset_b, offset_b, inclusive)
    return shared / np.maximum(union, 1)


def interval_tiou(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """tIoU of one continuous interval (2,) with (N, 2) others -> (N,); 0 if both are empty.

    >>> interval_tiou(np.array([10.0, 20.0]), np.array([[15.0, 25.0]])).round(3).tolist()
    [0.333]
    """
    shared = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    shared = np.clip(shared, 0, None)
    union = (one[1] - one[0]) + (others[:, 1] - others[:, 0]) - shared
    return shared / np.maximum(union, 1e-9)


# --- frame rates


def nominal_fps(fps: ArrayLike) -> Any:
    """The rate by which durations are judged: 29.97 counts as 30, 59.94 as 60; a number or an array.

    A rate within `RATE_TOLERANCE` of a whole number is that number, any other stays as it is.

    >>> nominal_fps(29.97)
    30.0
    """
    given = np.asarray(fps, dtype=float)
    whole = round_half_up(given)
    rates = np.where(np.abs(given - whole) <= RATE_TOLERANCE * given, whole, given)
    return rates if rates.ndim else float(rates)


def round_half_up(values: ArrayLike) -> np.ndarray:
    """The nearest whole numbers, halves up, as floats; NaN stays NaN."""
    return np.floor(np.asarray(values, dtype=float) + 0.5)


def frame_at_rate(frame: ArrayLike, fps: float, new_fps: float) -> pd.Series:
    """The beginnings of frames, counted at another rate: the nearest frame border, halves up.

    Computed in whole numbers; a rate is read as the nearest fraction with a denominator up to 10,000, so
    that 59.94 is twice 29.97.

    Args:
        frame: (N,) whole numbers, missing where unknown. fps, new_fps: frames a second, above 0.

    Returns:
        (N,) Int64 with the index of `frame`; missing stays missing.

    >>> frame_at_rate([1, 3, 10], 60, 30).tolist()
    [1, 2, 5]
    """
    old, new = (Fraction(rate).limit_denominator(10_000) for rate in (fps, new_fps))
    ratio = new / old
    top, bottom = 2 * ratio.numerator, 2 * ratio.denominator
    frames = frame if isinstance(frame, pd.Series) else pd.Series(frame)
    moved = [pd.NA if pd.isna(f) else (int(f) * top + bottom // 2) // bottom for f in frames]
    return pd.Series(moved, index=frames.index, dtype="Int64")


def at_rate(onset: ArrayLike, offset: ArrayLike, fps: float, new_fps: float) -> tuple[pd.Series, pd.Series]:
    """Inclusive frames counted at another rate: the same span of time, halves up, at least one frame.

    The one place that decides how frames are rounded.

    >>> [ends.tolist() for ends in at_rate([1, 5, 9], [11, 21, 40], 60, 30)]
    [[1, 3, 5], [5, 10, 20]]
    """
    first = frame_at_rate(onset, fps, new_fps)
    last = frame_at_rate(pd.Series(offset) + 1, fps, new_fps) - 1
    return first, last.clip(lower=first)


def table_at_rate(table: pd.DataFrame, new_fps: float) -> pd.DataFrame:
    """A table of one frame rate counted at another; the apex stays inside its interval."""
    if not len(table):
        return table.assign(fps=pd.Series(dtype="Float64"))
    fps = float(table["fps"].iloc[0])
    onset, offset = at_rate(table["onset"], table["offset"], fps, new_fps)
    apex = frame_at_rate(table["apex"], fps, new_fps).clip(onset, offset)
    rate = pd.array([new_fps] * len(table), "Float64")
    return table.assign(onset=onset, offset=offset, apex=apex, fps=rate)

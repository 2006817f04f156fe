"""From a video to windows: its features, cutting, the positions of a window and what they learn.

Inside this module intervals are continuous, [start, end) in frames, as in `fedet.losses`; tables
have 0-based INCLUSIVE onset and offset. T frames, N windows, P positions, E events, K emotions.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.losses import Targets
from fedet.model import FEDNConfig


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """One video as the detector reads it.

    Raises InputError if the shapes do not fit each other, a visible frame has a value that is not
    finite, or an event has no end, is outside the video or is counted at another fps.
    """

    subject: str
    video: str
    fps: float
    vectors: np.ndarray  # (T, C) float16 or float32, change from the person's rest
    mask: np.ndarray  # (T,) bool, True where there is a face
    events: pd.DataFrame  # canonical table of this video at this fps
    # (T, 4) confidences in EMOTIONS by a second network; `fedet.postprocess.predict` fuses them with scores
    opinion: np.ndarray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = f"{self.subject}/{self.video}"
        t = len(self.vectors)
        if self.vectors.ndim != 2 or self.mask.shape != (t,) or self.mask.dtype != bool:
            raise InputError(
                f"{name}: vectors {self.vectors.shape} and {self.mask.dtype} mask {self.mask.shape} "
                "must be (T, C) and bool (T,)"
            )
        if self.opinion is not None and len(self.opinion) != t:
            raise InputError(f"{name}: an opinion on {len(self.opinion)} frames, and {t} vectors")
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(1) & self.mask)
        if len(bad):
            raise InputError(f"{name}: the vector of frame {bad[0]} is not finite; mask the frame")
        for row in self.events.itertuples():
            event = f"{name}: event {row.Index}"
            if pd.isna(row.onset) or pd.isna(row.offset):
                raise InputError(
                    f"{event} has no onset or offset; choose a missing_offset policy when reading"
                )
            if not 0 <= row.onset <= row.offset < t:
                raise InputError(f"{event} has frames {row.onset}-{row.offset}, outside the video's {t}")
            if pd.notna(row.fps) and not math.isclose(row.fps, self.fps, rel_tol=1e-3):
                raise InputError(f"{event} counts at {row.fps} fps, the vectors at {self.fps}; resample one")


def classes_of(events: pd.DataFrame, config: FEDNConfig) -> np.ndarray:
    """(E,) int, the index in `config.emotions`, -1 where the emotion is unknown.

    With a single emotion (a spotter) every event is of it. Raises InputError on another label.
    """
    if len(config.emotions) == 1:
        return np.zeros(len(events), dtype=np.int64)
    index = {name: i for i, name in enumerate(config.emotions)}
    known = events["emotion"].dropna()
    if unknown := sorted(set(known) - set(index)):
        raise InputError(f"emotion {unknown[0]!r} is none of {', '.join(config.emotions)}; map it")
    return events["emotion"].map(index).fillna(-1).to_numpy(dtype=np.int64)


# --- cutting


def window_starts(n_frames: int, config: FEDNConfig) -> np.ndarray:
    """(N,) first frames of the windows that cover a video; the last may reach beyond its end."""
    n = 1 + max(0, math.ceil((n_frames - config.window) / config.window_stride))
    return np.arange(n) * config.window_stride


def cut_window(
    vectors: np.ndarray, mask: np.ndarray, start: int, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """One window, (window, C) and (window,); beyond the video zeros and False."""
    x = np.zeros((window, vectors.shape[1]), dtype=np.float32)
    m = np.zeros(window, dtype=bool)
    first, last = max(start, 0), min(start + window, len(vectors))
    if first < last:
        x[first - start : last - start] = vectors[first:last]
        m[first - start : last - start] = mask[first:last]
    return x, m


# --- positions and their targets


class Points(NamedTuple):
    """The positions of a window in the order of the model's P axis; each (P,) float."""

    centre: np.ndarray  # frames from the window's start
    stride: np.ndarray  # frames
    low: np.ndarray  # shortest duration that the position learns, frames, inclusive
    high: np.ndarray  # longest, exclusive


@lru_cache
def points(config: FEDNConfig) -> Points:
    """The positions of every level, in one place for targets and merging."""
    rows = []
    last = config.pyramid_levels - 1
    for level, stride in enumerate(config.strides):
        low = 0.0 if level == 0 else config.duration_per_stride * stride / 2
        high = math.inf if level == last else config.duration_per_stride * stride
        centres = (np.arange(config.window // stride) + 0.5) * stride
        rows += [(centre, stride, low, high) for centre in centres]
    table = np.array(rows, dtype=np.float64).T
    table.flags.writeable = False  # every caller gets the same arrays
    return Points(*table)


def visible_share(intervals: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(E,) share of each interval's frames that the (T,) mask shows; frames beyond it are hidden."""
    before = np.concatenate([[0], np.cumsum(mask)])  # (T + 1,) visible frames before each
    ends = np.clip(np.rint(intervals).astype(int), 0, len(mask))  # (E, 2)
    return (before[ends[:, 1]] - before[ends[:, 0]]) / (intervals[:, 1] - intervals[:, 0])


def match_positions(intervals: np.ndarray, valid: np.ndarray, config: FEDNConfig) -> np.ndarray:
    """(E, P) bool: the positions that learn each event. valid: (P,) positions with a face."""
    at = points(config)
    start, end = intervals[:, :1], intervals[:, 1:]  # (E, 1)
    length, distance = end - start, np.abs(at.centre - (start + end) / 2)
    of_level = (at.low <= length) & (length < at.high) & valid
    inside = (start <= at.centre) & (at.centre < end)
    match = of_level & inside & (distance <= config.centre_radius * at.stride)
    # An event that reaches no position takes the nearest one of its level (our choice).
    nearest = np.where(of_level & (distance <= at.stride), distance, np.inf)
    unmatched = ~match.any(1) & np.isfinite(nearest.min(1))
    match[unmatched, nearest[unmatched].argmin(1)] = True
    return match


def assign_targets(
    intervals: np.ndarray, classes: np.ndarray, mask: np.ndarray, config: FEDNConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What each position of one window learns (our choices, after ActionFormer).

    A position learns an event if it lies inside it, within `centre_radius` strides of its centre,
    at the level of its duration. The shortest event wins a contested position; with `every_event` one
    that thereby has none takes the nearest of those it wanted, if the winner keeps another. An event of
    which less than `min_visible` is visible (border, no face) teaches nothing, and positions inside it are
    not punished either.

    Args:
        intervals: (E, 2) [start, end) in frames of the window, may reach beyond it.
        classes: (E,) index of the emotion, -1 unknown. mask: (window,) bool.
    Returns:
        classes (P, K), intervals (P, 2), positive (P,), labelled (P,), as in `Targets`.
    """
    at = points(config)
    n = len(at.centre)
    class_targets = np.zeros((n, len(config.emotions)), dtype=np.float32)
    interval_targets = np.zeros((n, 2), dtype=np.float32)
    valid = np.concatenate([mask.reshape(-1, stride).any(1) for stride in config.strides])  # (P,)
    if not len(intervals):
        return class_targets, interval_targets, np.zeros(n, dtype=bool), valid
    visible = visible_share(intervals, mask) >= config.min_visible  # (E,)
    match = match_positions(intervals, valid, config) & visible[:, None]
    durations = np.where(match, intervals[:, 1:] - intervals[:, :1], np.inf)  # (E, P)
    positive = np.any(match, axis=0)  # (P,)
    event = durations.argmin(0)  # (P,)
    if config.every_event:
        event = _share_positions(event, match, intervals, positive, config)
    start, end = intervals[~visible, :1], intervals[~visible, 1:]
    hidden = np.any((start <= at.centre) & (at.centre < end), axis=0)  # (P,)
    labelled = valid & ~(hidden & ~positive) & ~(positive & (classes[event] < 0))
    interval_targets[positive] = intervals[event[positive]]
    with_class = positive & labelled
    class_targets[with_class, classes[event[with_class]]] = 1
    return class_targets, interval_targets, positive, labelled


def _share_positions(
    event: np.ndarray, match: np.ndarray, intervals: np.ndarray, positive: np.ndarray, config: FEDNConfig
) -> np.ndarray:
    """The winners (P,) of the positions, each event that wanted some (E, P) with one where that is possible.

    An event without a position, the shortest first, takes the nearest of an event that keeps another.
    """
    event, at = event.copy(), points(config)
    held = np.bincount(event[positive], minlength=len(intervals))
    length = intervals[:, 1] - intervals[:, 0]
    for e in np.argsort(length, kind="stable"):
        if held[e] or not match[e].any():
            continue
        wanted = np.flatnonzero(match[e] & (held[event] > 1))
        if len(wanted):
            distance = np.abs(at.centre[wanted] - intervals[e].mean())
            taken = wanted[distance.argmin()]
            held[event[taken]] -= 1
            held[e] += 1
            event[taken] = e
    return event


def stack_targets(windows: list[tuple[np.ndarray, ...]]) -> Targets:
    """The targets of B windows as tensors."""
    return Targets(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*windows, strict=True)))

"""From a video to windows and back: cutting, positions, targets, and merging in video time.

Inside this module intervals are continuous, [start, end) in frames, like `fedet.losses`; tables
have 0-based INCLUSIVE onset and offset. T frames, N windows, P positions, E events, K emotions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fedet.annotations.table import SCHEMA_VERSION, empty_table, expression_type_of
from fedet.errors import InputError
from fedet.intervals import iou_of
from fedet.losses import Targets
from fedet.model import FEDNConfig, FEDNOutput

LONGEST = 0.75  # of its window: longer intervals are left to a slower scale
JOINED = 0.5  # tIoU from which intervals of two scales are one


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """One video as the detector reads it.

    Raises InputError if the parts do not fit each other, or a visible frame has a value that is
    not finite, or an event has no end, lies outside the video or is counted at another fps.
    """

    subject: str
    video: str
    fps: float
    vectors: np.ndarray  # (T, C) float16 or float32, change against the person's own baseline
    mask: np.ndarray  # (T,) bool, True where there is a face
    events: pd.DataFrame  # canonical table of this video at this fps

    def __post_init__(self) -> None:
        where = f"{self.subject}/{self.video}"
        t = len(self.vectors)
        if self.vectors.ndim != 2 or self.mask.shape != (t,) or self.mask.dtype != bool:
            shapes = f"vectors {self.vectors.shape} and {self.mask.dtype} mask {self.mask.shape}"
            raise InputError(f"{where}: {shapes} must be (T, C) and bool (T,)")
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(1) & self.mask)
        if len(bad):
            raise InputError(f"{where}: the vector of frame {bad[0]} is not finite; mask the frame")
        for row in self.events.itertuples():
            if pd.isna(row.onset) or pd.isna(row.offset):
                text = f"{where}: event {row.Index} has no onset or offset"
                raise InputError(f"{text}; choose a missing_offset policy when reading")
            if not 0 <= row.onset <= row.offset < t:
                text = f"{where}: event {row.Index} has frames {row.onset}-{row.offset}"
                raise InputError(f"{text}, outside the video's {t}")
            if pd.notna(row.fps) and not math.isclose(row.fps, self.fps, rel_tol=1e-3):
                text = f"{where}: event {row.Index} counts at {row.fps} fps"
                raise InputError(f"{text}, the vectors at {self.fps}; resample one")


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


def cut(vectors: np.ndarray, mask: np.ndarray, start: int, window: int) -> tuple[np.ndarray, np.ndarray]:
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
    low: np.ndarray  # shortest duration the position answers for, frames, inclusive
    high: np.ndarray  # longest, exclusive


@lru_cache
def points(config: FEDNConfig) -> Points:
    """Position, stride and durations of every level, from one place for targets and merging."""
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
    """(E,) share of each interval's frames that the (T,) mask shows; what lies beyond is unseen."""
    seen = np.concatenate([[0], np.cumsum(mask)])  # (T + 1,) visible frames before each
    ends = np.clip(np.rint(intervals).astype(int), 0, len(mask))  # (E, 2)
    return (seen[ends[:, 1]] - seen[ends[:, 0]]) / (intervals[:, 1] - intervals[:, 0])


def match_positions(intervals: np.ndarray, valid: np.ndarray, config: FEDNConfig) -> np.ndarray:
    """(E, P) bool: the positions that each event reaches. valid: (P,) positions with a face."""
    at = points(config)
    start, end = intervals[:, :1], intervals[:, 1:]  # (E, 1)
    length, off = end - start, np.abs(at.centre - (start + end) / 2)
    of_level = (at.low <= length) & (length < at.high) & valid
    inside = (start <= at.centre) & (at.centre < end)
    match = of_level & inside & (off <= config.centre_radius * at.stride)
    # Our choice: who reaches none so takes the nearest position of the level.
    nearest = np.where(of_level & (off <= at.stride), off, np.inf)
    alone = ~match.any(1) & np.isfinite(nearest.min(1))
    match[alone, nearest[alone].argmin(1)] = True
    return match


def assign(
    intervals: np.ndarray, classes: np.ndarray, mask: np.ndarray, config: FEDNConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What each position of one window should say (our choices, after ActionFormer).

    A position learns an event if it lies inside it, within `centre_radius` strides of its centre,
    at the level of its duration. Where several events want a position the shortest has it. An event
    of which less than `min_visible` can be seen (border, no face) teaches nothing, and positions
    inside it are not punished either.

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
    kept = visible_share(intervals, mask) >= config.min_visible  # (E,)
    match = match_positions(intervals, valid, config) & kept[:, None]
    cost = np.where(match, intervals[:, 1:] - intervals[:, :1], np.inf)  # (E, P) durations
    positive, owner = match.any(0), cost.argmin(0)  # (P,)
    hidden = (intervals[~kept, :1] <= at.centre) & (at.centre < intervals[~kept, 1:])
    labelled = valid & ~(hidden.any(0) & ~positive) & ~(positive & (classes[owner] < 0))
    interval_targets[positive] = intervals[owner[positive]]
    taught = positive & labelled
    class_targets[taught, classes[owner[taught]]] = 1
    return class_targets, interval_targets, positive, labelled


def stack_targets(parts: list[tuple[np.ndarray, ...]]) -> Targets:
    """The targets of B windows as tensors."""
    return Targets(*(torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)))


# --- back to the video


class Candidates(NamedTuple):
    """Intervals of one video before they are merged."""

    intervals: np.ndarray  # (N, 2) [start, end) in frames of the video
    scores: np.ndarray  # (N,)
    classes: np.ndarray  # (N,) int


def owned(starts: np.ndarray, n_windows: int, config: FEDNConfig) -> np.ndarray:
    """(B, P) bool: the positions that the windows at `starts` (B,) have the word on.

    Only a position near the middle of its window is heard: within (window - window_stride) / 2
    frames of a border the neighbour, which sees more around it, has the word; at the ends of the
    video there is none. Each place of the video belongs to exactly one window.
    """
    at = points(config)
    margin = (config.window - config.window_stride) / 2
    first = (starts == 0)[:, None]
    last = (starts == (n_windows - 1) * config.window_stride)[:, None]
    return (first | (at.centre >= margin)) & (last | (at.centre < config.window - margin))


def decode(output: FEDNOutput, starts: np.ndarray, n_windows: int, config: FEDNConfig) -> Candidates:
    """What the windows at `starts` say, in video time.

    Positions are owned (see `owned`), not intervals, so that nothing falls between two windows.

    Args:
        output: of B windows. starts: (B,). n_windows: how many the whole video has.
    """
    at, own = points(config), owned(starts, n_windows, config)
    scores = output.scores().numpy(force=True).astype(np.float64)  # (B, P, K)
    window, position, label = np.nonzero((scores >= config.min_score) & own[..., None])
    distances = output.distances.numpy(force=True).astype(np.float64)[window, position]  # (N, 2)
    centre = at.centre[position] + starts[window]
    intervals = np.stack([centre - distances[:, 0], centre + distances[:, 1]], axis=1)
    return Candidates(intervals, scores[window, position, label], label)


def soft_nms(candidates: Candidates, config: FEDNConfig) -> Candidates:
    """Gaussian soft-NMS (Bodla et al., 2017) in one dimension.

    The strongest candidate is kept as it is and every other decays by exp(-tIoU^2 / sigma), and so
    on with the next strongest. Our choice: candidates of ANOTHER emotion decay too, by
    `cross_class_sigma`, or one expression would be reported once for every emotion it resembles.

    Returns: the candidates that end at `min_score` or more, strongest first, with their new scores.
    """
    order = np.argsort(candidates.intervals[:, 0], kind="stable")  # by start: neighbours are a slice
    intervals, scores, classes = (part[order] for part in candidates)
    starts = intervals[:, 0]
    longest = (intervals[:, 1] - starts).max(initial=0.0)
    left = scores.copy()
    final = np.zeros_like(scores)
    picked = []
    while len(left) and left.max() >= config.min_score:
        best = int(left.argmax())
        picked.append(best)
        final[best] = left[best]
        a = np.searchsorted(starts, intervals[best, 0] - longest, side="left")
        b = np.searchsorted(starts, intervals[best, 1], side="right")
        same = classes[a:b] == classes[best]
        sigma = np.where(same, config.nms_sigma, config.cross_class_sigma or np.inf)
        left[a:b] *= np.exp(-(iou_of(intervals[best], intervals[a:b]) ** 2) / sigma)
        left[best] = -1.0
    return Candidates(intervals[picked], final[picked], classes[picked])


def pooled(vectors: np.ndarray, mask: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every n frames as one, the mean of those that are visible: (ceil(T / n), C), (ceil(T / n),)."""
    if n == 1:
        return vectors, mask
    lacking = -len(mask) % n
    mask = np.pad(mask, (0, lacking)).reshape(-1, n)
    parts = np.pad(vectors.astype(np.float32), ((0, lacking), (0, 0))).reshape(*mask.shape, -1)
    seen = mask.sum(1)  # (T / n,)
    sums = np.where(mask[..., None], parts, 0).sum(1)
    return sums / np.maximum(seen, 1)[:, None], seen > 0


def judges(duration: float, config: FEDNConfig) -> tuple[int, ...]:
    """The scales that have a say on an interval of so many frames: the two finest it fits into."""
    last = config.scales[-1]
    fitting = [n for n in config.scales if n == last or duration <= LONGEST * config.window * n]
    return tuple(fitting[:2])


def fuse(found: dict[int, Candidates], config: FEDNConfig) -> Candidates:
    """What several scales found, each already merged, as one (our choice).

    After weighted boxes fusion (Solovyev, Wang and Gabruseva, 2021): from the strongest on, an
    interval joins the one of the other scale that overlaps it best by tIoU 0.5 or more, of whatever
    emotion. Its ends are their mean, weighted by score / scale^2, as errors in frames grow with the
    scale; the emotion is the stronger one's; the score is the mean over the scales that `judges`
    names, so that what only one of them sees loses half. One scale alone stays as it is.

    Returns: those of `min_score` or more, strongest first.
    """
    if len(found) == 1:
        return next(iter(found.values()))
    free = {scale: np.ones(len(c.scores), dtype=bool) for scale, c in found.items()}
    order = sorted((-s, scale, i) for scale, c in found.items() for i, s in enumerate(c.scores))
    fused = []
    for minus, scale, i in order:
        interval, label = found[scale].intervals[i], found[scale].classes[i]
        heard = judges(interval[1] - interval[0], config)
        if scale not in heard or not free[scale][i]:
            continue
        free[scale][i] = False
        scores, ends, shares = [-minus], [interval], [-minus / scale**2]
        for other in (n for n in heard if n != scale):
            overlap = iou_of(interval, found[other].intervals)
            worth = np.where(free[other] & (overlap >= JOINED), overlap * found[other].scores, 0.0)
            if worth.any():
                best = int(worth.argmax())
                free[other][best] = False
                scores.append(found[other].scores[best])
                ends.append(found[other].intervals[best])
                shares.append(scores[-1] / other**2)
        fused.append((np.average(ends, axis=0, weights=shares), sum(scores) / len(heard), label))
    fused = sorted((row for row in fused if row[1] >= config.min_score), key=lambda row: -row[1])
    intervals, scores, classes = zip(*fused, strict=True) if fused else ((), (), ())
    intervals = np.array(intervals, dtype=np.float64).reshape(-1, 2)
    return Candidates(intervals, np.array(scores), np.array(classes, dtype=np.int64))


def to_frames(candidates: Candidates, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inclusive frames (N, 2) int, each end drawn in to the nearest frame with a face.

    Also (N,) kept: False for an interval without any frame with a face.
    """
    t = len(mask)
    onset = np.clip(np.floor(candidates.intervals[:, 0] + 0.5).astype(int), 0, t - 1)
    offset = np.floor(candidates.intervals[:, 1] + 0.5).astype(int) - 1
    offset = np.clip(offset, onset, t - 1)
    frames = np.arange(t)
    following = np.minimum.accumulate(np.where(mask, frames, t)[::-1])[::-1]
    previous = np.maximum.accumulate(np.where(mask, frames, -1))
    onset, offset = following[onset], previous[offset]
    return np.stack([onset, offset], axis=1), onset <= offset


Network = Callable[[torch.Tensor, torch.Tensor], FEDNOutput]


def detections(
    network: Network,
    config: FEDNConfig,
    vectors: np.ndarray,
    mask: np.ndarray,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    listener: Callable[[FEDNOutput, np.ndarray, int, int], None] | None = None,
) -> pd.DataFrame:
    """What the network finds in one video, strongest first: onset, offset, emotion, score.

    Args:
        network: the model in evaluation mode, or anything that answers like it.
        vectors: (T, C). mask: (T,) bool. batch_size: windows at once; changes no result.
        listener: hears each batch's output with its starts (B,), the number of all windows and the
            scale.
    Returns:
        inclusive frames of the video; scores at or above `config.min_score`.
    """
    columns = ["onset", "offset", "emotion", "score"]
    if not mask.any():
        return pd.DataFrame(columns=columns)
    found = {}
    for scale in config.scales:
        x, m = pooled(vectors, mask, scale)
        heard = listener and partial(listener, scale=scale)
        candidates = _at_one_scale(network, config, x, m, batch_size, device, heard)
        found[scale] = candidates._replace(intervals=candidates.intervals * scale)
    merged = fuse(found, config)
    frames, kept = to_frames(merged, mask)
    emotions = np.array(config.emotions, dtype=object)[merged.classes]
    table = zip(frames[:, 0], frames[:, 1], emotions, merged.scores, strict=True)
    return pd.DataFrame(table, columns=columns)[kept].reset_index(drop=True)


def _at_one_scale(network, config, vectors, mask, batch_size, device, listener) -> Candidates:
    """The merged candidates of all windows, in frames of these vectors; as for `detections`."""
    starts = window_starts(len(vectors), config)
    parts = []
    for i in range(0, len(starts), batch_size):
        batch = starts[i : i + batch_size]
        windows = [cut(vectors, mask, int(start), config.window) for start in batch]
        x, m = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*windows, strict=True))
        with torch.inference_mode():
            output = network(x, m)
        parts.append(decode(output, batch, len(starts), config))
        if listener is not None:
            listener(output, batch, len(starts))
    return soft_nms(Candidates(*(np.concatenate(p) for p in zip(*parts, strict=True))), config)


def predict(network: Network, config: FEDNConfig, record: VideoFeatures, **options) -> pd.DataFrame:
    """`detections` of a record as a canonical table; options: batch_size, device."""
    if not math.isclose(record.fps, config.fps, rel_tol=1e-3):
        text = f"{record.subject}/{record.video}: {record.fps} frames a second"
        raise InputError(f"{text}, the detector reads {config.fps}; resample")
    found = detections(network, config, record.vectors, record.mask, **options)
    table = empty_table().reindex(range(len(found)))
    for column in found:
        table[column] = found[column].astype(table[column].dtype)
    table = table.assign(subject=record.subject, video=record.video, fps=record.fps)
    table["expression_type"] = expression_type_of(found["onset"], found["offset"], record.fps)
    return table.assign(schema_version=SCHEMA_VERSION, source="fedet")

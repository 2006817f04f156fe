"""From the network's output to intervals: decode, soft-NMS, fusion of scales, score curves, tables.

Intervals are continuous, [start, end) in frames, up to `to_frames`. B windows, P positions, K emotions,
N candidates.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.intervals import SCHEMA_VERSION, empty_table, expression_type_of, interval_tiou
from fedet.model import FEDNConfig, FEDNOutput
from fedet.second_opinion.fusion import fuse
from fedet.windows import VideoFeatures, cut_window, points, window_starts

LONGEST_SHARE = 0.75  # of its window: longer intervals are left to a slower scale
FUSION_TIOU = 0.5  # overlap from which intervals of two scales are one

Network = Callable[[torch.Tensor, torch.Tensor], FEDNOutput]
# Called with each batch's output, its starts (B,), the number of all windows and the scale.
Listener = Callable[[FEDNOutput, np.ndarray, int, int], None]


class Candidates(NamedTuple):
    """Intervals of one video before they are merged."""

    intervals: np.ndarray  # (N, 2) [start, end) in frames of the video
    scores: np.ndarray  # (N,)
    classes: np.ndarray  # (N,) int


# --- decode


def position_owner_mask(starts: np.ndarray, n_windows: int, config: FEDNConfig) -> np.ndarray:
    """(B, P) bool: which positions each of the windows at `starts` (B,) decides (our choice).

    A window decides the positions near its middle. Those within (window - window_stride) / 2 frames of
    a border are decided by the neighbour, which sees more around them; at the ends of the video there
    is none. So each position in the video belongs to exactly one window.
    """
    at = points(config)
    margin = (config.window - config.window_stride) / 2
    first = (starts == 0)[:, None]
    last = (starts == (n_windows - 1) * config.window_stride)[:, None]
    return (first | (at.centre >= margin)) & (last | (at.centre < config.window - margin))


def decode(output: FEDNOutput, starts: np.ndarray, n_windows: int, config: FEDNConfig) -> Candidates:
    """The intervals of the windows at `starts`, in video time.

    Positions have an owner (see `position_owner_mask`), not intervals, so that none is lost between
    two windows.

    Args:
        output: of B windows. starts: (B,). n_windows: how many the whole video has.
    """
    at, owned = points(config), position_owner_mask(starts, n_windows, config)
    scores = output.scores().numpy(force=True).astype(np.float64)  # (B, P, K)
    window, position, label = np.nonzero((scores >= config.min_score) & owned[..., None])
    distances = output.distances.numpy(force=True).astype(np.float64)[window, position]  # (N, 2)
    centre = at.centre[position] + starts[window]
    intervals = np.stack([centre - distances[:, 0], centre + distances[:, 1]], axis=1)
    return Candidates(intervals, scores[window, position, label], label)


def to_frames(candidates: Candidates, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inclusive frames (N, 2) int, each end moved inwards to the nearest frame with a face.

    Also (N,) visible: False for an interval without any frame with a face.
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


# --- soft-NMS


def soft_nms(candidates: Candidates, config: FEDNConfig) -> Candidates:
    """Gaussian soft-NMS (Bodla et al., 2017) in one dimension.

    The strongest candidate stays as it is and every other decays by exp(-tIoU^2 / sigma), and so
    on with the next strongest; of equal ones the earlier start, end, then class goes first, whatever the
    order of the rows. Our choice: candidates of ANOTHER emotion decay too, by
    `cross_class_sigma`, or one expression would be reported once for every emotion it resembles.

    Returns: the candidates that end at `min_score` or more, strongest first, with their new scores.
    """
    start, end = candidates.intervals.T
    order = np.lexsort((-candidates.scores, candidates.classes, end, start))  # neighbours are a slice
    intervals, scores, classes = (array[order] for array in candidates)
    starts = intervals[:, 0]
    longest = (intervals[:, 1] - starts).max(initial=0.0)
    remaining = scores.copy()
    final = np.zeros_like(scores)
    picked = []
    while len(remaining) and remaining.max() >= config.min_score:
        best = int(remaining.argmax())
        picked.append(best)
        final[best] = remaining[best]
        a = np.searchsorted(starts, intervals[best, 0] - longest, side="left")
        b = np.searchsorted(starts, intervals[best, 1], side="right")
        same = classes[a:b] == classes[best]
        sigma = np.where(same, config.nms_sigma, config.cross_class_sigma or np.inf)
        remaining[a:b] *= np.exp(-(interval_tiou(intervals[best], intervals[a:b]) ** 2) / sigma)
        remaining[best] = -1.0
    return Candidates(intervals[picked], final[picked], classes[picked])


# --- scales


def downsample(vectors: np.ndarray, mask: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every n frames as one, the mean of those that are visible: (ceil(T / n), C), (ceil(T / n),)."""
    if n == 1:
        return vectors, mask
    lacking = -len(mask) % n
    mask = np.pad(mask, (0, lacking)).reshape(-1, n)
    groups = np.pad(vectors.astype(np.float32), ((0, lacking), (0, 0))).reshape(*mask.shape, -1)
    visible = mask.sum(1)  # (T / n,)
    sums = np.where(mask[..., None], groups, 0).sum(1)
    return sums / np.maximum(visible, 1)[:, None], visible > 0


def voting_scales(duration: float, config: FEDNConfig) -> tuple[int, ...]:
    """The scales that decide on an interval of so many frames: the two finest that it fits into."""
    last = config.scales[-1]
    fitting = [n for n in config.scales if n == last or duration <= LONGEST_SHARE * config.window * n]
    return tuple(fitting[:2])


def weighted_interval_fusion(by_scale: dict[int, Candidates], config: FEDNConfig) -> Candidates:
    """The candidates of several scales, merged within each, as one (our choice).

    After weighted boxes fusion (Solovyev, Wang and Gabruseva, 2021): from the strongest on, an
    interval joins the one of the other scale that overlaps it best by tIoU 0.5 or more, of whatever
    emotion. Its ends are their mean, weighted by score / scale^2, as errors in frames grow with the
    scale; the emotion is the stronger one's; the score is the mean over the `voting_scales`, so that
    what only one of them detects loses half. One scale alone stays as it is.

    Returns: those of `min_score` or more, strongest first.
    """
    if len(by_scale) == 1:
        return next(iter(by_scale.values()))
    free = {scale: np.ones(len(c.scores), dtype=bool) for scale, c in by_scale.items()}
    order = sorted((-s, scale, i) for scale, c in by_scale.items() for i, s in enumerate(c.scores))
    fused = []
    for _, scale, i in order:
        start, end = by_scale[scale].intervals[i]
        voting = voting_scales(end - start, config)
        if scale not in voting or not free[scale][i]:
            continue
        free[scale][i] = False
        members = [(scale, i)]
        for other in (n for n in voting if n != scale):
            best = _best_overlap(by_scale[scale].intervals[i], by_scale[other], free[other])
            if best is not None:
                free[other][best] = False
                members.append((other, best))
        fused.append(_mean_of(members, by_scale, len(voting)))
    strong = sorted((row for row in fused if row[1] >= config.min_score), key=lambda row: -row[1])
    return Candidates(
        np.array([interval for interval, _, _ in strong], dtype=np.float64).reshape(-1, 2),
        np.array([score for _, score, _ in strong], dtype=np.float64),
        np.array([label for _, _, label in strong], dtype=np.int64),
    )


def _best_overlap(interval: np.ndarray, others: Candidates, free: np.ndarray) -> int | None:
    """The free candidate with the highest tIoU times score, None if none reaches `FUSION_TIOU`."""
    overlap = interval_tiou(interval, others.intervals)
    worth = np.where(free & (overlap >= FUSION_TIOU), overlap * others.scores, 0.0)
    return int(worth.argmax()) if worth.any() else None


def _mean_of(
    members: list[tuple[int, int]], by_scale: dict[int, Candidates], n_voting: int
) -> tuple[np.ndarray, float, int]:
    """Interval, score and class of candidates (scale, index) that are one; the first is the strongest."""
    ends = [by_scale[scale].intervals[i] for scale, i in members]
    scores = [by_scale[scale].scores[i] for scale, i in members]
    weights = [score / scale**2 for score, (scale, _) in zip(scores, members, strict=True)]
    scale, strongest = members[0]
    label = by_scale[scale].classes[strongest]
    return np.average(ends, axis=0, weights=weights), sum(scores) / n_voting, label


# --- score curves


class ScoreCurves:
    """Collects the class scores of a video's windows.

    Each pyramid level is a line through its positions, flat for the frame on either side of each,
    so that a peak keeps its height; the curve is the highest of the levels. Where the detector
    reads at several scales it is the mean of the two finest, as a detection's score is. Memory:
    about a float per frame and emotion.

    Args:
        n_frames: length of the video at the detector's rate.
    """

    def __init__(self, n_frames: int, config: FEDNConfig) -> None:
        self.config = config
        self.levels: dict[int, list[np.ndarray]] = {}  # by scale
        for scale in config.scales[:2]:
            n_windows = len(window_starts(math.ceil(n_frames / scale), config))
            length = (n_windows - 1) * config.window_stride + config.window
            shapes = [(length // stride, len(config.emotions)) for stride in config.strides]
            self.levels[scale] = [np.zeros(shape, np.float32) for shape in shapes]

    def add(self, output: FEDNOutput, starts: np.ndarray, n_windows: int, scale: int) -> None:
        """Takes the windows that begin at `starts` (B,), each position from the window that owns it."""
        if scale not in self.levels:
            return
        at, owned = points(self.config), position_owner_mask(starts, n_windows, self.config)  # (B, P)
        scores = output.scores().numpy(force=True)  # (B, P, K)
        for level, stride in zip(self.levels[scale], self.config.strides, strict=True):
            window, position = np.nonzero(owned & (at.stride == stride))
            row = (starts[window] + at.centre[position]) // stride
            level[row.astype(int)] = scores[window, position]

    def at(self, frames: np.ndarray) -> np.ndarray:
        """(N, K) scores at continuous frames (N,) of the detector's rate; frame i spans [i, i + 1)."""
        return np.mean([self._at_scale(scale, frames / scale) for scale in self.levels], axis=0)

    def _at_scale(self, scale: int, frames: np.ndarray) -> np.ndarray:
        best = np.zeros((len(frames), len(self.config.emotions)), np.float32)
        for level, stride in zip(self.levels[scale], self.config.strides, strict=True):
            centre = (np.arange(len(level)) + 0.5) * stride
            knots = np.stack([centre - 0.5, centre + 0.5], axis=1).ravel()
            for k in range(best.shape[1]):
                line = np.interp(frames, knots, np.repeat(level[:, k], 2))
                np.maximum(best[:, k], line, out=best[:, k])
        return best

    def table(self, mask: np.ndarray, fps: float) -> pd.DataFrame:
        """The curves, one row per frame of a video at `fps`; NaN without a face.

        Args:
            mask: (T,) frames with a face, at the detector's rate.
            fps: the video's own frames per second.
        """
        rate = self.config.fps
        middles = (np.arange(max(1, int(len(mask) / rate * fps + 1e-6))) + 0.5) / fps * rate
        values = self.at(middles)
        values[~mask[np.minimum(middles.astype(int), len(mask) - 1)]] = np.nan
        return pd.DataFrame(values, columns=list(self.config.emotions))


# --- predict


def detect_intervals(
    network: Network,
    config: FEDNConfig,
    vectors: np.ndarray,
    mask: np.ndarray,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    listener: Listener | None = None,
) -> pd.DataFrame:
    """The intervals in one video, strongest first: onset, offset, emotion, score.

    Args:
        network: the model in evaluation mode, or any function with its inputs and output.
        vectors: (T, C). mask: (T,) bool. batch_size: windows at once; changes no result.
        listener: called with every batch's output, e.g. `ScoreCurves.add`.
    Returns:
        inclusive frames of the video; scores at or above `config.min_score`.
    """
    columns = ["onset", "offset", "emotion", "score"]
    if not mask.any():
        return pd.DataFrame(columns=columns)
    by_scale = {
        scale: _candidates_at_scale(network, config, vectors, mask, scale, batch_size, device, listener)
        for scale in config.scales
    }
    merged = weighted_interval_fusion(by_scale, config)
    frames, visible = to_frames(merged, mask)
    emotions = np.array(config.emotions, dtype=object)[merged.classes]
    rows = zip(frames[:, 0], frames[:, 1], emotions, merged.scores, strict=True)
    return pd.DataFrame(rows, columns=columns)[visible].reset_index(drop=True)


def _candidates_at_scale(
    network: Network,
    config: FEDNConfig,
    vectors: np.ndarray,
    mask: np.ndarray,
    scale: int,
    batch_size: int,
    device: torch.device | str,
    listener: Listener | None,
) -> Candidates:
    """The merged candidates of a video in which every `scale` frames are read as one, in its frames."""
    vectors, mask = downsample(vectors, mask, scale)
    starts = window_starts(len(vectors), config)
    batches = []
    for i in range(0, len(starts), batch_size):
        batch = starts[i : i + batch_size]
        windows = [cut_window(vectors, mask, int(start), config.window) for start in batch]
        x, m = (torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*windows, strict=True))
        with torch.inference_mode():
            output = network(x, m)
        batches.append(decode(output, batch, len(starts), config))
        if listener is not None:
            listener(output, batch, len(starts), scale)
    merged = soft_nms(Candidates(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True))), config)
    return merged._replace(intervals=merged.intervals * scale)


def predict(
    network: Network,
    config: FEDNConfig,
    record: VideoFeatures,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """`detect_intervals` of a record as a canonical table, fused with its second opinion if it has one.

    Raises InputError if the record is at another rate than the detector.
    """
    if not math.isclose(record.fps, config.fps, rel_tol=1e-3):
        raise InputError(
            f"{record.subject}/{record.video}: {record.fps} frames a second, the detector reads "
            f"{config.fps}; resample"
        )
    found = detect_intervals(network, config, record.vectors, record.mask, batch_size, device)
    table = empty_table().reindex(range(len(found)))
    for column in found:
        table[column] = found[column].astype(table[column].dtype)
    table = table.assign(subject=record.subject, video=record.video, fps=record.fps)
    table["expression_type"] = expression_type_of(found["onset"], found["offset"], record.fps)
    table = table.assign(schema_version=SCHEMA_VERSION, source="fedet")
    return table if record.opinion is None else fuse(table, record.opinion)[0]

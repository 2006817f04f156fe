"""From the network's output to intervals: decode, soft-NMS, scales, score curves."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.intervals import SCHEMA_VERSION, empty_table, expression_type_of, interval_tiou
from fedet.model import FEDNConfig, FEDNOutput
from fedet.windows import VideoFeatures, cut_window, points, window_starts

LONGEST = 0.75  # of its window: longer intervals are left to a slower scale
JOINED = 0.5  # tIoU from which intervals of two scales are one


class Candidates(NamedTuple):
    """Intervals of one video before they are merged."""

    intervals: np.ndarray  # (N, 2) [start, end) in frames of the video
    scores: np.ndarray  # (N,)
    classes: np.ndarray  # (N,) int


def position_owner_mask(starts: np.ndarray, n_windows: int, config: FEDNConfig) -> np.ndarray:
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

    Positions are owned (see `position_owner_mask`), not intervals, so that nothing falls between two windows.

    Args:
        output: of B windows. starts: (B,). n_windows: how many the whole video has.
    """
    at, own = points(config), position_owner_mask(starts, n_windows, config)
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
        left[a:b] *= np.exp(-(interval_tiou(intervals[best], intervals[a:b]) ** 2) / sigma)
        left[best] = -1.0
    return Candidates(intervals[picked], final[picked], classes[picked])


def downsample(vectors: np.ndarray, mask: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every n frames as one, the mean of those that are visible: (ceil(T / n), C), (ceil(T / n),)."""
    if n == 1:
        return vectors, mask
    lacking = -len(mask) % n
    mask = np.pad(mask, (0, lacking)).reshape(-1, n)
    parts = np.pad(vectors.astype(np.float32), ((0, lacking), (0, 0))).reshape(*mask.shape, -1)
    seen = mask.sum(1)  # (T / n,)
    sums = np.where(mask[..., None], parts, 0).sum(1)
    return sums / np.maximum(seen, 1)[:, None], seen > 0


def voting_scales(duration: float, config: FEDNConfig) -> tuple[int, ...]:
    """The scales that have a say on an interval of so many frames: the two finest it fits into."""
    last = config.scales[-1]
    fitting = [n for n in config.scales if n == last or duration <= LONGEST * config.window * n]
    return tuple(fitting[:2])


def weighted_interval_fusion(found: dict[int, Candidates], config: FEDNConfig) -> Candidates:
    """What several scales found, each already merged, as one (our choice).

    After weighted boxes fusion (Solovyev, Wang and Gabruseva, 2021): from the strongest on, an
    interval joins the one of the other scale that overlaps it best by tIoU 0.5 or more, of whatever
    emotion. Its ends are their mean, weighted by score / scale^2, as errors in frames grow with the
    scale; the emotion is the stronger one's; the score is the mean over the scales that `voting_scales`
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
        heard = voting_scales(interval[1] - interval[0], config)
        if scale not in heard or not free[scale][i]:
            continue
        free[scale][i] = False
        scores, ends, shares = [-minus], [interval], [-minus / scale**2]
        for other in (n for n in heard if n != scale):
            overlap = interval_tiou(interval, found[other].intervals)
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


def detect_intervals(
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
        x, m = downsample(vectors, mask, scale)
        heard = listener and partial(listener, scale=scale)
        candidates = _at_one_scale(network, config, x, m, batch_size, device, heard)
        found[scale] = candidates._replace(intervals=candidates.intervals * scale)
    merged = weighted_interval_fusion(found, config)
    frames, kept = to_frames(merged, mask)
    emotions = np.array(config.emotions, dtype=object)[merged.classes]
    table = zip(frames[:, 0], frames[:, 1], emotions, merged.scores, strict=True)
    return pd.DataFrame(table, columns=columns)[kept].reset_index(drop=True)


def _at_one_scale(network, config, vectors, mask, batch_size, device, listener) -> Candidates:
    """The merged candidates of all windows, in frames of these vectors; as for `detect_intervals`."""
    starts = window_starts(len(vectors), config)
    parts = []
    for i in range(0, len(starts), batch_size):
        batch = starts[i : i + batch_size]
        windows = [cut_window(vectors, mask, int(start), config.window) for start in batch]
        x, m = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*windows, strict=True))
        with torch.inference_mode():
            output = network(x, m)
        parts.append(decode(output, batch, len(starts), config))
        if listener is not None:
            listener(output, batch, len(starts))
    return soft_nms(Candidates(*(np.concatenate(p) for p in zip(*parts, strict=True))), config)


def predict(network: Network, config: FEDNConfig, record: VideoFeatures, **options) -> pd.DataFrame:
    """`detect_intervals` of a record as a canonical table; options: batch_size, device."""
    if not math.isclose(record.fps, config.fps, rel_tol=1e-3):
        text = f"{record.subject}/{record.video}: {record.fps} frames a second"
        raise InputError(f"{text}, the detector reads {config.fps}; resample")
    found = detect_intervals(network, config, record.vectors, record.mask, **options)
    table = empty_table().reindex(range(len(found)))
    for column in found:
        table[column] = found[column].astype(table[column].dtype)
    table = table.assign(subject=record.subject, video=record.video, fps=record.fps)
    table["expression_type"] = expression_type_of(found["onset"], found["offset"], record.fps)
    return table.assign(schema_version=SCHEMA_VERSION, source="fedet")


class ScoreCurves:
    """Collects the class confidences of a video's windows.

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
        at, own = points(self.config), position_owner_mask(starts, n_windows, self.config)  # own (B, P)
        scores = output.scores().numpy(force=True)  # (B, P, K)
        for level, stride in zip(self.levels[scale], self.config.strides, strict=True):
            window, position = np.nonzero(own & (at.stride == stride))
            place = (starts[window] + at.centre[position]) // stride
            level[place.astype(int)] = scores[window, position]

    def at(self, frames: np.ndarray) -> np.ndarray:
        """(N, K) scores at continuous frames (N,) of the detector's rate; frame i spans [i, i + 1)."""
        return np.mean([self._of_scale(scale, frames / scale) for scale in self.levels], axis=0)

    def _of_scale(self, scale: int, frames: np.ndarray) -> np.ndarray:
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

"""Training windows: drawn at random places of the videos, varied in time and in feature space.

Every draw depends on (seed, epoch, number of the window) only, not on what was drawn before, on
how windows are batched or on how many processes share them; so a resumed or a distributed run
has the same windows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.intervals import intervals_of
from fedet.losses import Targets
from fedet.model import FEDNConfig
from fedet.training.config import Augmentation
from fedet.windows import VideoFeatures, assign_targets, classes_of, stack_targets


class Draw(NamedTuple):
    """One window of an epoch: of which record, from which frame (may be negative), and its seed."""

    record: int
    start: int
    seed: tuple[int, ...]


class EventArrays(NamedTuple):
    """The events of one video as arrays; made once, since every window needs them."""

    intervals: np.ndarray  # (E, 2) [onset, offset + 1) in frames of the video
    classes: np.ndarray  # (E,) index of the emotion, -1 unknown


class Batch(NamedTuple):
    """B windows and their targets."""

    x: torch.Tensor  # (B, T, C)
    mask: torch.Tensor  # (B, T)
    targets: Targets


def event_arrays(records: Sequence[VideoFeatures], config: FEDNConfig) -> list[EventArrays]:
    """The events of each record. Raises InputError for an emotion that is not in the config."""
    return [EventArrays(intervals_of(r.events), classes_of(r.events, config)) for r in records]


def feature_scale(records: Sequence[VideoFeatures]) -> np.ndarray:
    """(C,) root mean square of each feature over all visible frames; never 0."""
    total, count = 0.0, 0
    for record in records:
        visible = record.vectors[record.mask].astype(np.float64)
        total, count = total + (visible**2).sum(0), count + len(visible)
    if count == 0:
        raise InputError("no frame with a face in the training videos; nothing can be learned from them")
    rms = np.sqrt(np.asarray(total) / count)
    # Else the noise of a feature that hardly ever moves would be amplified.
    return np.maximum(rms, max(0.05 * float(np.median(rms)), 1e-6)).astype(np.float32)


def draw_epoch(
    records: Sequence[VideoFeatures],
    window: int,
    coverage: float,
    seed: int,
    epoch: int,
    least: int = 1,
) -> list[Draw]:
    """The windows of an epoch in random order; their number is the same in every epoch.

    Each video is cut into equal strata and one window starts anywhere in each; a window may hang
    over the video's ends by half. Away from these each frame is shown `coverage` times on average,
    or as often as it takes for about `least` windows.
    """
    rng = np.random.default_rng((seed, epoch))
    windows = sum(max(1, round(coverage * len(record.vectors) / window)) for record in records)
    coverage *= max(1.0, least / windows)
    draws: list[tuple[int, int]] = []
    for i, record in enumerate(records):
        t = len(record.vectors)
        n = max(1, round(coverage * t / window))
        starts = -window / 2 + (np.arange(n) + rng.random(n)) * t / n
        draws += [(i, int(start)) for start in np.floor(starts)]
    return [Draw(*draws[i], (seed, epoch, int(i))) for i in rng.permutation(len(draws))]


# --- time


def frame_weights(
    mask: np.ndarray, start: int, speed: float, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two frames between which each frame of a window lies if time runs `speed` times as fast.

    Args:
        mask: (T,) of the video.
    Returns:
        frames (2, window) of the video, weights (2, window) of their vectors, 0 where there is
        nothing to read, and the window's mask (window,): both frames are visible.
    """
    time = start + (np.arange(window) + 0.5) * speed - 0.5  # frame i is centred at i + 0.5
    before = np.floor(time).astype(int)
    share = (time - before).astype(np.float32)
    frames, weights = np.stack([before, before + 1]), np.stack([1 - share, share])
    visible = (frames >= 0) & (frames < len(mask))
    visible[visible] = mask[frames[visible]]
    return frames, weights * visible, (visible | (weights == 0)).all(0)


def interpolate(vectors: np.ndarray, frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of two weighted frames: vectors (T, C), frames and weights (2, W) -> (W, C) float32."""
    x = np.zeros((frames.shape[1], vectors.shape[1]), dtype=np.float32)
    for frame, weight in zip(frames, weights, strict=True):
        used = weight > 0  # masked vectors may hold anything
        x[used] += weight[used, None] * vectors[frame[used]]
    return x


class WindowPlan(NamedTuple):
    """All that is random about one window's time, before any vector is read."""

    frames: np.ndarray  # (2, W), see `frame_weights`
    weights: np.ndarray  # (2, W)
    mask: np.ndarray  # (W,)
    intervals: np.ndarray  # (E, 2) of the events near it, in its frames
    classes: np.ndarray  # (E,)


def plan_window(
    mask: np.ndarray,
    events: EventArrays,
    draw: Draw,
    window: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> WindowPlan:
    """Draws speed and direction of a window of the video with this mask (T,)."""
    spread = np.log(augmentation.speed)
    speed = float(np.exp(rng.uniform(-spread, spread)))
    frames, weights, visible = frame_weights(mask, draw.start, speed, window)
    intervals = (events.intervals - draw.start) / speed  # (E, 2)
    if rng.random() < augmentation.reverse:
        frames, weights, visible = frames[:, ::-1], weights[:, ::-1], visible[::-1].copy()
        intervals = window - intervals[:, ::-1]
    near = (intervals[:, 1] > 0) & (intervals[:, 0] < window)
    return WindowPlan(frames, weights, visible, intervals[near], events.classes[near])


# --- feature space


class Variation(NamedTuple):
    """How a window is varied in feature space: (x @ blend * gain + shift + noise) * keep."""

    blend: np.ndarray | None  # (C, C) what each feature gives to each
    gain: np.float32
    shift: np.ndarray | None  # (C,) another baseline
    noise: np.ndarray | None  # (W, C)
    keep: np.ndarray | None  # (C,) bool; False: a missing feature


def draw_variation(
    window: int, scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> Variation:
    """Another intensity, another baseline, noise, missing features; scale (C,)."""
    blend = draw_blend(scale, augmentation, rng)
    spread = np.log(augmentation.intensity)
    gain = np.float32(np.exp(rng.uniform(-spread, spread)))
    shift = noise = keep = None
    if augmentation.baseline:
        shift = augmentation.baseline * scale * rng.standard_normal(len(scale), dtype=np.float32)
    if augmentation.noise:
        noise = augmentation.noise * scale * rng.standard_normal((window, len(scale)), dtype=np.float32)
    if augmentation.feature_dropout:
        keep = rng.random(len(scale)) >= augmentation.feature_dropout
    return Variation(blend, gain, shift, noise, keep)


def draw_blend(scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray | None:
    """(C, C) another face's features from those of this one, scale (C,); None: as they are."""
    if augmentation.features == 1 and not augmentation.mixing:
        return None
    n, spread = len(scale), np.log(augmentation.features)
    gains = np.exp(rng.uniform(-spread, spread, n))
    leak = augmentation.mixing * rng.standard_normal((n, n)) / np.sqrt(n)
    return ((gains / scale)[:, None] * (np.eye(n) + leak) * scale).astype(np.float32)


def vary(
    x: np.ndarray, scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """The window (W, C) varied in feature space, see `draw_variation`."""
    blend, gain, shift, noise, keep = draw_variation(len(x), scale, augmentation, rng)
    x = (x if blend is None else x @ blend) * gain
    x = x if shift is None else x + shift
    x = x if noise is None else x + noise
    return (x if keep is None else x * keep).astype(np.float32)


# --- windows


def augmented_window(
    record: VideoFeatures,
    events: EventArrays,
    draw: Draw,
    scale: np.ndarray,
    window: int,
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One varied window: x (T, C), mask (T,), and the events near it, (E, 2) in its frames, (E,)."""
    rng = np.random.default_rng(draw.seed)
    plan = plan_window(record.mask, events, draw, window, augmentation, rng)
    x = interpolate(record.vectors, plan.frames, plan.weights) * plan.mask[:, None]
    x = vary(x, scale, augmentation, rng) * plan.mask[:, None]
    return x, plan.mask, plan.intervals, plan.classes


def training_window(
    record: VideoFeatures,
    events: EventArrays,
    draw: Draw,
    scale: np.ndarray,
    config: FEDNConfig,
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """One training window: x (T, C), mask (T,), and its targets as `fedet.windows.assign_targets` gives."""
    x, mask, *near = augmented_window(record, events, draw, scale, config.window, augmentation)
    return x, mask, assign_targets(*near, mask, config)


def make_batch(
    records: Sequence[VideoFeatures],
    events: Sequence[EventArrays],
    draws: Sequence[Draw],
    scale: np.ndarray,
    config: FEDNConfig,
    augmentation: Augmentation,
) -> Batch:
    """The windows of these draws as tensors."""
    windows = [
        training_window(records[d.record], events[d.record], d, scale, config, augmentation) for d in draws
    ]
    x, mask, targets = zip(*windows, strict=True)
    return Batch(
        torch.from_numpy(np.stack(x)),
        torch.from_numpy(np.stack(mask)),
        stack_targets(list(targets)),
    )


def positives_per_window(
    records: Sequence[VideoFeatures], events: Sequence[EventArrays], config: FEDNConfig
) -> float:
    """Mean number of positive positions in a window. Raises InputError if there is none at all."""
    count, windows = 0, 0
    for record, (intervals, classes) in zip(records, events, strict=True):
        for start in range(0, len(record.vectors), config.window):
            mask = np.zeros(config.window, dtype=bool)
            visible = record.mask[start : start + config.window]
            mask[: len(visible)] = visible
            count += int(assign_targets(intervals - start, classes, mask, config)[2].sum())
            windows += 1
    if count == 0:
        raise InputError("the training videos have no visible event; there is nothing to learn")
    return count / windows

"""Training windows: drawn at random places of the videos, varied in time and in feature space.

Every draw depends on (seed, epoch, number of the window) only, not on what was drawn before, on
how windows are batched or on how many processes share them; so a resumed or a distributed run
sees the same windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.intervals import intervals_of
from fedet.losses import Targets
from fedet.model import FEDNConfig
from fedet.windows import VideoFeatures, assign_targets, classes_of, stack_targets


@dataclass(frozen=True)
class Augmentation:
    """How training windows are varied; all our choice. `Augmentation.none()` leaves them alone.

    Strengths in feature space are in units of each feature's spread over the training frames.
    """

    speed: float = 1.25  # time runs slower or faster by up to this factor; 1: never
    reverse: float = 0.0  # share of windows that run backwards; faces rise faster than they fall
    intensity: float = 2.0  # the change vectors are scaled by up to this factor, up or down; 1: never
    features: float = 1.0  # the same for each feature by itself: other faces are not read alike; 1: never
    mixing: float = 0.0  # how much of the other features leaks into each, by chance
    noise: float = 0.2  # white noise on every frame
    baseline: float = 0.2  # a constant shift of a whole window: the baseline is an estimate
    feature_dropout: float = 0.0  # share of features set to 0 in a window

    def __post_init__(self) -> None:
        for name in ("speed", "intensity", "features"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        for name in ("mixing", "reverse", "noise", "baseline", "feature_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be between 0 and 1")

    @classmethod
    def none(cls) -> "Augmentation":
        """Every window as it is in the video."""
        return cls(speed=1.0, intensity=1.0, noise=0.0, baseline=0.0)


class Draw(NamedTuple):
    """One window of an epoch: of which record, from which frame (may be negative), and its seed."""

    record: int
    start: int
    seed: tuple[int, ...]


class EventArrays(NamedTuple):
    """The events of one video as arrays; made once, since every window asks."""

    intervals: np.ndarray  # (E, 2) [onset, offset + 1) in frames of the video
    classes: np.ndarray  # (E,) index of the emotion, -1 unknown


class Batch(NamedTuple):
    """B windows with what they should say."""

    x: torch.Tensor  # (B, T, C)
    mask: torch.Tensor  # (B, T)
    targets: Targets


def told(records: Sequence[VideoFeatures], config: FEDNConfig) -> list[EventArrays]:
    """The events of each record. Raises InputError on an emotion that the config does not know."""
    return [EventArrays(intervals_of(r.events), classes_of(r.events, config)) for r in records]


def feature_scale(records: Sequence[VideoFeatures]) -> np.ndarray:
    """(C,) root mean square of each feature over all visible frames; never 0."""
    total, count = 0.0, 0
    for record in records:
        seen = record.vectors[record.mask].astype(np.float64)
        total, count = total + (seen**2).sum(0), count + len(seen)
    if count == 0:
        raise InputError("no frame with a face in the training videos")
    rms = np.sqrt(np.asarray(total) / count)
    # A feature that hardly ever moves would be blown up, noise and all.
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
    over the video's ends by half. Away from these each frame is seen `coverage` times on average,
    or as often as it takes for about `least` windows.
    """
    rng = np.random.default_rng((seed, epoch))
    windows = sum(max(1, round(coverage * len(record.vectors) / window)) for record in records)
    coverage *= max(1.0, least / windows)
    draws: list[tuple[int, int]] = []
    for i, record in enumerate(records):
        t = len(record.vectors)
        n = max(1, round(coverage * t / window))
        places = -window / 2 + (np.arange(n) + rng.random(n)) * t / n
        draws += [(i, int(start)) for start in np.floor(places)]
    return [Draw(*draws[i], (seed, epoch, int(i))) for i in rng.permutation(len(draws))]


def reading(mask: np.ndarray, start: int, speed: float, window: int) -> tuple[np.ndarray, ...]:
    """Which frames a window is made of if time runs `speed` times as fast in it.

    Args:
        mask: (T,) of the video.
    Returns:
        frames (2, window) of the video, weights (2, window) of their vectors, 0 where there is
        nothing to read, and the window's mask (window,): both frames it is made of are visible.
    """
    place = start + (np.arange(window) + 0.5) * speed - 0.5  # frame i is centred at i + 0.5
    before = np.floor(place).astype(int)
    share = (place - before).astype(np.float32)
    frames, weights = np.stack([before, before + 1]), np.stack([1 - share, share])
    there = (frames >= 0) & (frames < len(mask))
    there[there] = mask[frames[there]]
    return frames, weights * there, (there | (weights == 0)).all(0)


def warp(record: VideoFeatures, start: int, speed: float, window: int) -> tuple[np.ndarray, np.ndarray]:
    """A window in which time runs `speed` times as fast, interpolated between frames.

    Returns x (window, C) and mask (window,); a frame is visible if both it is made of are.
    """
    frames, weights, mask = reading(record.mask, start, speed, window)
    return read(record.vectors, frames, weights) * mask[:, None], mask


def read(vectors: np.ndarray, frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of two weighted frames: vectors (T, C), frames and weights (2, W) -> (W, C) float32."""
    x = np.zeros((frames.shape[1], vectors.shape[1]), dtype=np.float32)
    for frame, weight in zip(frames, weights, strict=True):
        there = weight > 0  # what lies under the mask may be anything
        x[there] += weight[there, None] * vectors[frame[there]]
    return x


class Variation(NamedTuple):
    """How a window is varied in feature space: (x @ blend * gain + shift + noise) * kept."""

    blend: np.ndarray | None  # (C, C) what each feature gives to each
    gain: np.float32
    shift: np.ndarray | None  # (C,) another baseline
    noise: np.ndarray | None  # (W, C)
    kept: np.ndarray | None  # (C,) bool; False: a missing feature


def draw_variation(
    window: int, scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> Variation:
    """Another intensity, another baseline, noise, missing features; scale (C,)."""
    blend = draw_blend(scale, augmentation, rng)
    spread = np.log(augmentation.intensity)
    gain = np.float32(np.exp(rng.uniform(-spread, spread)))
    shift = noise = kept = None
    if augmentation.baseline:
        shift = augmentation.baseline * scale * rng.standard_normal(len(scale), dtype=np.float32)
    if augmentation.noise:
        noise = augmentation.noise * scale * rng.standard_normal((window, len(scale)), dtype=np.float32)
    if augmentation.feature_dropout:
        kept = rng.random(len(scale)) >= augmentation.feature_dropout
    return Variation(blend, gain, shift, noise, kept)


def draw_blend(scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray | None:
    """(C, C) another face's read-outs from those of this one, scale (C,); None: as they are."""
    if augmentation.features == 1 and not augmentation.mixing:
        return None
    n, spread = len(scale), np.log(augmentation.features)
    own = np.exp(rng.uniform(-spread, spread, n))
    leak = augmentation.mixing * rng.standard_normal((n, n)) / np.sqrt(n)
    return ((own / scale)[:, None] * (np.eye(n) + leak) * scale).astype(np.float32)


def vary(
    x: np.ndarray, scale: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """The window (W, C) varied in feature space, see `draw_variation`."""
    blend, gain, shift, noise, kept = draw_variation(len(x), scale, augmentation, rng)
    x = (x if blend is None else x @ blend) * gain
    x = x if shift is None else x + shift
    x = x if noise is None else x + noise
    return (x if kept is None else x * kept).astype(np.float32)


class Plan(NamedTuple):
    """All that is random about one window, before any vector is read."""

    frames: np.ndarray  # (2, W), see `reading`
    weights: np.ndarray  # (2, W)
    mask: np.ndarray  # (W,)
    intervals: np.ndarray  # (E, 2) of the events near it, in its frames
    classes: np.ndarray  # (E,)


def plan(
    mask: np.ndarray,
    events: EventArrays,
    draw: Draw,
    window: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Plan:
    """Speed and direction of a window of the video with this mask (T,)."""
    spread = np.log(augmentation.speed)
    speed = float(np.exp(rng.uniform(-spread, spread)))
    frames, weights, seen = reading(mask, draw.start, speed, window)
    intervals = (events.intervals - draw.start) / speed  # (E, 2)
    if rng.random() < augmentation.reverse:
        frames, weights, seen = frames[:, ::-1], weights[:, ::-1], seen[::-1].copy()
        intervals = window - intervals[:, ::-1]
    near = (intervals[:, 1] > 0) & (intervals[:, 0] < window)
    return Plan(frames, weights, seen, intervals[near], events.classes[near])


def view(
    record: VideoFeatures,
    events: EventArrays,
    draw: Draw,
    scale: np.ndarray,
    window: int,
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One varied window: x (T, C), mask (T,), and the events near it, (E, 2) in its frames, (E,)."""
    rng = np.random.default_rng(draw.seed)
    made = plan(record.mask, events, draw, window, augmentation, rng)
    x = read(record.vectors, made.frames, made.weights) * made.mask[:, None]
    x = vary(x, scale, augmentation, rng) * made.mask[:, None]
    return x, made.mask, made.intervals, made.classes


def sample(
    record: VideoFeatures,
    events: EventArrays,
    draw: Draw,
    scale: np.ndarray,
    config: FEDNConfig,
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """One training window: x (T, C), mask (T,), and its targets as `fedet.windows.assign_targets` gives."""
    x, mask, *near = view(record, events, draw, scale, config.window, augmentation)
    return x, mask, assign_targets(*near, mask, config)


def batch_of(
    records: Sequence[VideoFeatures],
    events: Sequence[EventArrays],
    draws: Sequence[Draw],
    scale: np.ndarray,
    config: FEDNConfig,
    augmentation: Augmentation,
) -> Batch:
    """The windows of these draws as tensors."""
    windows = [sample(records[d.record], events[d.record], d, scale, config, augmentation) for d in draws]
    x, mask, targets = zip(*windows, strict=True)
    return Batch(
        torch.from_numpy(np.stack(x)),
        torch.from_numpy(np.stack(mask)),
        stack_targets(list(targets)),
    )


def positives_per_window(
    records: Sequence[VideoFeatures], events: Sequence[EventArrays], config: FEDNConfig
) -> float:
    """Mean number of positive positions in a window; raises InputError if there is none at all."""
    count, windows = 0, 0
    for record, (intervals, classes) in zip(records, events, strict=True):
        for start in range(0, len(record.vectors), config.window):
            mask = np.zeros(config.window, dtype=bool)
            shown = record.mask[start : start + config.window]
            mask[: len(shown)] = shown
            count += int(assign_targets(intervals - start, classes, mask, config)[2].sum())
            windows += 1
    if count == 0:
        raise InputError("the training videos have no visible event; there is nothing to learn")
    return count / windows

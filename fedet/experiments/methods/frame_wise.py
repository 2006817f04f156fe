"""Classify every frame, alone or with those around it, smooth the probabilities, cut them into intervals.

The classifier has the inputs of FEDN (scaled vectors, the same augmentation, the same budget). Runs of
frames above a level become intervals. Smoothing, level and score rule are chosen on the validation
subjects; one of the choices uses all levels at once, merged by FEDN's soft-NMS, after
the temporal actionness grouping of Zhao et al., "Temporal Action Detection with Structured Segment
Networks" (ICCV 2017).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedet.experiments.methods.base import RULES, Fitted, detector_config, name_intervals, nms_table
from fedet.experiments.methods.fitting import Fit, fit_on_windows
from fedet.model import FEDNConfig, FrameEmbedding
from fedet.postprocess import Candidates
from fedet.training.config import TrainConfig
from fedet.training.model_selection import monitored_value, table_metrics
from fedet.training.sampling import feature_scale
from fedet.training.trainer import torch_seed
from fedet.windows import VideoFeatures

FRAMES_AT_ONCE = 4096  # bounds the memory of a long video
IGNORED = -100  # targets that torch's cross-entropy ignores
ALL_LEVELS = tuple(np.round(np.arange(0.1, 0.91, 0.1), 2).tolist())
LEVELS = (ALL_LEVELS, (0.3,), (0.4,), (0.5,), (0.6,))
WIDTHS = (0.0, 1.0, 2.0, 4.0)  # standard deviation of the smoothing, frames


class FrameNet(nn.Module):
    """A frame's vector -> logits of (nothing, each emotion): two layers between three."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.embedding = FrameEmbedding(config)
        self.hidden = nn.Linear(c, c)
        self.dropout = nn.Dropout(config.dropout)
        self.classes = nn.Linear(c, 1 + len(config.emotions))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C_in), (B, T) -> (B, T, 1 + K)
        x = F.gelu(self.embedding(x, mask))
        return self.classes(self.dropout(F.gelu(self.hidden(x))))


class DilatedBlock(nn.Module):
    """1D convolution over frames `dilation` apart, LayerNorm over channels, GELU, a residual; after the
    dilated layers of Farha and Gall, "MS-TCN" (CVPR 2019)."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C), (B, T) -> (B, T, C)
        visible = self.norm(x) * mask[..., None]
        change = F.gelu(self.conv(visible.transpose(1, 2)).transpose(1, 2))  # convolutions want (B, C, T)
        return (x + self.dropout(self.mix(change))) * mask[..., None]


class ConvNet(nn.Module):
    """A 1D CNN over frames, about as many weights as FEDN, that sees `reach` frames to both sides."""

    DILATIONS = (1, 2, 4, 8, 16, 32, 64) * 2

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.embedding = FrameEmbedding(config)
        self.blocks = nn.ModuleList([DilatedBlock(c, d, config.dropout) for d in self.DILATIONS])
        self.classes = nn.Linear(c, 1 + len(config.emotions))
        self.reach = sum(self.DILATIONS) + config.motion

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C_in), (B, T) -> (B, T, 1 + K)
        x = self.embedding(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        return self.classes(x)


def frame_targets(intervals: np.ndarray, classes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(T,) 0 for nothing, 1 + emotion inside an event (the shorter where two overlap), or IGNORED.

    Args:
        intervals: (E, 2) [start, end) in frames. classes: (E,), -1 unknown. mask: (T,) bool.
    """
    target = np.zeros(len(mask), dtype=np.int64)
    centres = np.arange(len(mask)) + 0.5
    for e in np.argsort(intervals[:, 0] - intervals[:, 1], kind="stable"):  # the longest first
        inside = (intervals[e, 0] <= centres) & (centres < intervals[e, 1])
        target[inside] = classes[e] + 1 if classes[e] >= 0 else IGNORED
    target[~mask] = IGNORED
    return target


def smooth(curves: np.ndarray, width: float) -> np.ndarray:
    """Gaussian smoothing of curves (T, K), sigma `width` frames; the end values are repeated outward."""
    if width == 0 or not len(curves):
        return curves
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(curves, width, axis=0, mode="nearest")


def true_runs(mask: np.ndarray) -> np.ndarray:
    """(N, 2) [start, end) of the runs in which `mask` (T,) is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)


def candidates_of(curves: np.ndarray, width: float, levels: Sequence[float], rule: str) -> Candidates:
    """Intervals of per-frame probabilities.

    Args:
        curves: (T, 1 + K), nothing first. width: of the smoothing, frames.
        levels: an interval is a run of frames in which the probability of any expression is at
            least that. rule: as for `name_intervals`; the strength is the mean over the run.
    """
    p = smooth(curves, width)
    shown = 1 - p[:, 0]
    intervals = np.unique(np.concatenate([true_runs(shown >= level) for level in levels]), axis=0)
    total = np.concatenate([np.zeros((1, p.shape[1])), np.cumsum(p, axis=0)])
    start, end = intervals.T
    mean = (total[end] - total[start]) / np.maximum(end - start, 1)[:, None]
    strength, classes = 1 - mean[:, 0], mean[:, 1:]
    classes = classes / np.maximum(classes.sum(1, keepdims=True), 1e-9)
    return Candidates(*name_intervals(intervals.astype(float), np.clip(strength, 0, 1), classes, rule))


@torch.inference_mode()
def curves_of(network: nn.Module, record: VideoFeatures) -> np.ndarray:
    """(T, 1 + K) probabilities; frames without a face have probability 1 of no expression."""
    chunks, reach = [], int(getattr(network, "reach", 0))
    for start in range(0, len(record.vectors), FRAMES_AT_ONCE):
        seen = slice(max(0, start - reach), start + FRAMES_AT_ONCE + reach)  # what decides on these frames
        x = torch.from_numpy(np.array(record.vectors[seen], dtype=np.float32))
        mask = torch.from_numpy(np.array(record.mask[seen]))
        first = start - seen.start
        chunks.append(network(x[None], mask[None])[0, first : first + FRAMES_AT_ONCE].softmax(-1).numpy())
    curves = np.concatenate(chunks).astype(np.float64)
    curves[~record.mask] = np.eye(curves.shape[1])[0]
    return curves


@dataclass(frozen=True)
class FrameWise:
    """Classification of every frame, smoothed and cut into intervals."""

    name: str = "frame-wise"
    config: FEDNConfig | None = None  # of its embedding, windows and merging
    training: TrainConfig = field(default_factory=TrainConfig)
    network: ClassVar[Callable[[FEDNConfig], nn.Module]] = FrameNet

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        config = detector_config(self.config, train)
        trained = train_frames(train, validation, config, replace(self.training, seed=seed), self.network)
        curves = [curves_of(trained.network, record) for record in validation]

        def figures(choice: tuple) -> dict[str, float]:
            tables = [
                nms_table(record, candidates_of(curve, *choice), config, self.name)
                for record, curve in zip(validation, curves, strict=True)
            ]
            return table_metrics(tables, validation, config.default_threshold)

        scores_of = {choice: figures(choice) for choice in product(WIDTHS, LEVELS, RULES[:1])}
        best = max(scores_of, key=lambda c: monitored_value(scores_of[c], self.training.monitor))
        scores_of |= {(*best[:2], rule): figures((*best[:2], rule)) for rule in RULES[1:]}
        best = max(scores_of, key=lambda c: monitored_value(scores_of[c], self.training.monitor))
        choices: dict = dict(zip(("smoothing", "levels", "rule"), best, strict=True))
        choices["epoch"] = trained.best_epoch

        def predict(record: VideoFeatures):
            candidates = candidates_of(curves_of(trained.network, record), *best)
            return nms_table(record, candidates, config, self.name)

        return Fitted(predict, scores_of[best]["threshold"], choices, trained.history)


@dataclass(frozen=True)
class ConvolutionalFrameWise(FrameWise):
    """The same with a classifier that sees the frames around: a 1D CNN of FEDN's size."""

    name: str = "cnn"
    network: ClassVar[Callable[[FEDNConfig], nn.Module]] = ConvNet


def train_frames(
    train,
    validation,
    config: FEDNConfig,
    training: TrainConfig,
    make: Callable[[FEDNConfig], nn.Module] = FrameNet,
) -> Fit:
    """The classifier, trained on the windows that FEDN is trained on."""
    with torch_seed(training.seed, 0):
        network = make(config)
    scale = feature_scale(train)
    network.embedding.scale.copy_(torch.from_numpy(scale))  # type: ignore[union-attr, operator]

    def loss_of(network: nn.Module, windows) -> Tensor:
        targets = [frame_targets(intervals, classes, mask) for _, mask, intervals, classes in windows]
        stacks = ([x for x, *_ in windows], [mask for _, mask, *_ in windows], targets)
        x, mask, target = (torch.from_numpy(np.stack(arrays)) for arrays in stacks)
        logits = network(x, mask)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED)

    def tables_of(network: nn.Module) -> list[pd.DataFrame]:
        found = (candidates_of(curves_of(network, r), 2.0, ALL_LEVELS, "strength") for r in validation)
        return [nms_table(r, c, config, "frame-wise") for r, c in zip(validation, found, strict=True)]

    return fit_on_windows(network, train, validation, config, scale, training, loss_of, tables_of)

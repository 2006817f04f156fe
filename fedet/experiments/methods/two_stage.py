"""The two-stage baseline of the paper: FEDN with one class spots, a second network names the emotion.

The second network learns from annotated intervals only, as in published two-stage work, so it
has never seen the spotter's errors. It is not weakened on purpose: it has attention and convolutions of the
same width, is trained on intervals with shifted ends, and has a whole budget of epochs for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedet.experiments.methods.base import (
    LOW_SCORE,
    RULES,
    FEDNMethod,
    Fitted,
    detector_config,
    name_intervals,
    to_table,
)
from fedet.experiments.methods.fitting import Fit, fit_network, in_batches
from fedet.intervals import intervals_of
from fedet.metrics import uf1
from fedet.model import Attention, ConvBlock, FEDNConfig, FrameEmbedding
from fedet.training.config import Augmentation, TrainConfig
from fedet.training.model_selection import monitored_value, table_metrics
from fedet.training.sampling import feature_scale, vary
from fedet.training.trainer import torch_seed
from fedet.windows import VideoFeatures, classes_of

LENGTH = 32  # frames to which every interval is stretched
MARGIN = 0.25  # of its duration, added on both sides: our choice
JITTER = 0.15  # of its duration, by which each end is moved in training: our choice
TURNS = 3  # repeats of each event in an epoch, at least: more than in FEDN, since it helps the recogniser


class SegmentNet(nn.Module):
    """A stretched interval -> logits of its emotions."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.embedding = FrameEmbedding(config)
        self.attention = Attention(c, config.attention_heads, config.dropout)
        self.blocks = nn.ModuleList([ConvBlock(c) for _ in range(config.head_layers)])
        self.dropout = nn.Dropout(config.dropout)
        self.classes = nn.Linear(2 * c, len(config.emotions))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C_in), (B, T) -> (B, K)
        x = self.attention(self.embedding(x, mask), mask)
        for block in self.blocks:
            x = block(x, mask)
        mean = x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # (B, C) over visible frames
        most = x.masked_fill(~mask[..., None], -1e4).amax(1) * mask.any(1, keepdim=True)
        return self.classes(self.dropout(torch.cat([mean, most], dim=-1)))


def resample_interval(record: VideoFeatures, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """(LENGTH, C) and (LENGTH,): the interval [start, end) with its margins at a fixed length.

    The nearest frame is taken, so that a masked one stays masked; beyond the video all is masked.
    """
    margin = MARGIN * (end - start)
    step = (end - start + 2 * margin) / LENGTH
    frames = np.floor(start - margin + (np.arange(LENGTH) + 0.5) * step).astype(int)
    inside = (frames >= 0) & (frames < len(record.vectors))
    x = np.zeros((LENGTH, record.vectors.shape[1]), dtype=np.float32)
    mask = np.zeros(LENGTH, dtype=bool)
    mask[inside] = record.mask[frames[inside]]
    x[mask] = record.vectors[frames[mask]]
    return x, mask


@torch.inference_mode()
def emotions_of(network: nn.Module, record: VideoFeatures, intervals: np.ndarray) -> np.ndarray:
    """(N, K) probabilities of the emotions of intervals (N, 2) [start, end)."""
    if not len(intervals):
        return np.zeros((0, network.classes.out_features))  # type: ignore[union-attr]
    chunks = []
    for i in range(0, len(intervals), 256):
        cuts = [resample_interval(record, a, b) for a, b in intervals[i : i + 256]]
        x, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*cuts, strict=True))
        chunks.append(network(x, mask).softmax(-1).numpy())
    return np.concatenate(chunks).astype(np.float64)


@dataclass(frozen=True)
class TwoStage:
    """A spotter, then a recogniser."""

    name: str = "two-stage"
    config: FEDNConfig | None = None  # the spotter's; its emotions are the recogniser's
    training: TrainConfig = field(default_factory=TrainConfig)  # of each stage
    accelerator: str = "auto"  # of the spotter; the recogniser runs on the CPU

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        config = detector_config(self.config, train)
        training = replace(self.training, seed=seed)
        one_class = replace(config, emotions=("expression",))
        method = FEDNMethod("spotter", one_class, self.training, accelerator=self.accelerator)
        spotter = method.fit(train, validation, seed, folder)
        recogniser = train_segments(train, validation, config, training)

        def predict(record: VideoFeatures, rule: str):
            table = spotter.predict(record)
            classes = emotions_of(recogniser.network, record, intervals_of(table))
            return with_emotions(record, table, classes, rule, config, self.name)

        figures_of = {
            rule: table_metrics([predict(r, rule) for r in validation], validation, spotter.threshold)
            for rule in RULES
        }
        best = max(figures_of, key=lambda rule: monitored_value(figures_of[rule], self.training.monitor))
        choices = {"epoch": spotter.choices["epoch"], "epoch_recogniser": recogniser.best_epoch, "rule": best}
        history = spotter.history.merge(
            recogniser.history.rename(columns=lambda c: c if c == "epoch" else f"recogniser_{c}"),
            on="epoch", how="outer",
        )  # fmt: skip
        return Fitted(lambda r: predict(r, best), figures_of[best]["threshold"], choices, history)


def with_emotions(
    record: VideoFeatures,
    spotted: pd.DataFrame,
    classes: np.ndarray,
    rule: str,
    config: FEDNConfig,
    source: str,
) -> pd.DataFrame:
    """The spotter's table (N rows), with every interval repeated for every emotion.

    The spotter has suppressed overlaps already; the less likely emotions of an interval decay as FEDN's do
    between classes, at full overlap, so that one expression is not reported once for every emotion.
    """
    ends = spotted[["onset", "offset"]].to_numpy(int)
    frames, scores, codes = name_intervals(ends, spotted["score"].to_numpy(float), classes, rule)
    decay = np.exp(-1 / config.cross_class_sigma) if config.cross_class_sigma else 1.0
    scores = np.where(codes == np.repeat(classes.argmax(1), classes.shape[1]), scores, decay * scores)
    valid = scores >= LOW_SCORE
    names = np.array(config.emotions, dtype=object)[codes[valid]]
    return to_table(record, frames[valid], scores[valid], list(names), source)


def labelled_events(
    records: Sequence[VideoFeatures], config: FEDNConfig
) -> list[tuple[int, float, float, int]]:
    """(record, start, end, emotion) of every event whose emotion is known."""
    events = []
    for i, record in enumerate(records):
        ends, classes = intervals_of(record.events), classes_of(record.events, config)
        events += [(i, a, b, int(k)) for (a, b), k in zip(ends, classes, strict=True) if k >= 0]
    return events


def train_segments(train, validation, config: FEDNConfig, training: TrainConfig) -> Fit:
    """The recogniser, trained on annotated intervals; the epoch by UF1 on those of validation."""
    with torch_seed(training.seed, 2):
        network = SegmentNet(config)
    scale = feature_scale(train)
    network.embedding.scale.copy_(torch.from_numpy(scale))
    train_events, validation_events = labelled_events(train, config), labelled_events(validation, config)

    def batches(epoch: int):
        rng = np.random.default_rng((training.seed, epoch))
        turns = max(TURNS, round(training.least_steps * training.batch_size / len(train_events)))
        order = np.concatenate([rng.permutation(len(train_events)) for _ in range(turns)])
        draws = [((epoch, turn), int(i)) for turn, i in enumerate(order)]
        return in_batches(draws, training.batch_size)

    def loss_of(network: nn.Module, batch) -> Tensor:
        cuts = [
            augmented_segment(train, train_events[i], scale, training.augmentation, (training.seed, *at))
            for at, i in batch
        ]
        x, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*cuts, strict=True))
        target = torch.tensor([train_events[i][3] for _, i in batch])
        return F.cross_entropy(network(x, mask), target)

    def judge(network: nn.Module) -> dict[str, float]:
        k = len(config.emotions)
        confusion = np.zeros((k, k))
        for i, start, end, emotion in validation_events:
            p = emotions_of(network, validation[i], np.array([[start, end]]))
            confusion[emotion, p[0].argmax()] += 1
        value = float(np.nan_to_num(uf1(confusion)))
        return {"uf1": value, "monitored": value}

    return fit_network(network, batches, loss_of, judge, training)


def augmented_segment(
    records, event: tuple[int, float, float, int], scale, augmentation: Augmentation, seed: tuple[int, ...]
):
    """An interval with shifted ends, augmented as the windows of FEDN are."""
    record, start, end, _ = event
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-JITTER, JITTER, 2) * (end - start)
    x, mask = resample_interval(records[record], start + shift[0], end + shift[1])
    return vary(x, scale, augmentation, rng) * mask[:, None], mask

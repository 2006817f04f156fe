"""ActionFormer (Zhang, Wu and Li, ECCV 2022) as a rival, from the PyPI package `actionformer`.

The network and its targets, losses and decoding are the package's; vectors, windows, augmentation, budget,
choices on validation subjects and soft-NMS are those of all methods here. The package is optional and not
installed with fedet: it is a fork of the authors' release, builds an extension in C++ and needs h5py, which
it does not name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedet.errors import InputError
from fedet.experiments.methods.base import LOW_SCORE, Fitted, detector_config, nms_table
from fedet.experiments.methods.fitting import Fit, fit_on_windows
from fedet.model import FEDNConfig
from fedet.postprocess import Candidates
from fedet.training.config import TrainConfig
from fedet.training.model_selection import table_metrics
from fedet.training.sampling import feature_scale
from fedet.training.trainer import torch_seed
from fedet.windows import VideoFeatures

LEVELS = 6  # strides 1 to 32, the package's default
LONGEST = 2**18  # frames of a video, for the package's table of positions
LONG: dict = {"epochs": 35, "learning_rate": 1e-4, "patience": 0}  # the schedule of its authors


def make_network(config: FEDNConfig) -> nn.Module:
    """The package's network at FEDN's width. Raises InputError where the package is not installed."""
    try:
        make = import_module("actionformer.modeling").make_meta_arch
    except ImportError as error:
        raise InputError(
            f"method 'actionformer' needs the package of this name ({error}); pip install --no-deps "
            "actionformer, then pip install h5py tensorboard"
        ) from error
    c = config.channels
    return make(
        "LocPointTransformer",
        backbone_type="convTransformer", fpn_type="identity", backbone_arch=(2, 2, LEVELS - 1),
        scale_factor=2, input_dim=config.input_features * (2 if config.motion else 1),
        max_seq_len=config.window, max_buffer_len_factor=LONGEST / config.window,
        n_head=config.attention_heads, n_mha_win_size=config.window // 2 ** (LEVELS - 1) + 1,
        embd_kernel_size=3, embd_dim=c, embd_with_ln=True, fpn_dim=c, fpn_with_ln=True, fpn_start_level=0,
        head_dim=c, head_num_layers=3, head_kernel_size=3, head_with_ln=True, use_abs_pe=False,
        use_rel_pe=False, num_classes=len(config.emotions),
        regression_range=[(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10_000)],
        train_cfg={
            "center_sample": "radius", "center_sample_radius": 1.5, "loss_weight": 1.0, "init_loss_norm": 100,
            "cls_prior_prob": 0.01, "head_empty_cls": [], "dropout": 0.0, "droppath": 0.1,
            "label_smoothing": 0.0,
        },
        test_cfg={
            "pre_nms_thresh": LOW_SCORE, "pre_nms_topk": 5000, "iou_threshold": 0.1, "min_score": LOW_SCORE,
            "max_seg_num": 5000, "nms_method": "none", "duration_thresh": 0.05, "multiclass_nms": True,
            "nms_sigma": 0.5, "voting_thresh": 0.0,
        },
    )  # fmt: skip


def inputs_of(x: Tensor, mask: Tensor, motion: int) -> Tensor:
    """What FEDN reads, as the package wants it: scaled vectors (T, C) and their change, (2 C, T)."""
    x = torch.where(mask[:, None], x, 0)
    if motion:
        both = (mask[motion:] & mask[:-motion])[:, None]
        x = torch.cat([x, F.pad((x[motion:] - x[:-motion]) * both, (0, 0, motion, 0))], dim=1)
    return x.T.contiguous()


def as_video(x: Tensor, **labels: Tensor) -> dict:
    """A video of the package, one feature a frame; its positions are the middles of frames."""
    frames = x.shape[1]
    return {
        "video_id": "", "feats": x, "fps": 1.0, "duration": float(frames), "feat_stride": 1,
        "feat_num_frames": 1, **labels,
    }  # fmt: skip


@torch.inference_mode()
def candidates_of(network: nn.Module, record: VideoFeatures, scale: np.ndarray, motion: int) -> Candidates:
    """The intervals of a video before soft-NMS, down to LOW_SCORE."""
    x = torch.from_numpy(np.array(record.vectors, dtype=np.float32) / scale)
    found = network([as_video(inputs_of(x, torch.from_numpy(record.mask), motion))])[0]
    intervals, scores, labels = (found[name].double().numpy() for name in ("segments", "scores", "labels"))
    longer = intervals[:, 1] > intervals[:, 0]
    return Candidates(intervals[longer], scores[longer], labels[longer].astype(np.int64))


@dataclass(frozen=True)
class ActionFormer:
    """The package's network, trained and chosen as the other methods are."""

    name: str = "actionformer"
    config: FEDNConfig | None = None  # of its windows, width and merging
    training: TrainConfig = field(default_factory=TrainConfig)

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        config = detector_config(self.config, train)
        scale = feature_scale(train)
        trained = train_network(
            train, validation, config, scale, replace(self.training, seed=seed), self.name
        )

        def predict(record: VideoFeatures):
            found = candidates_of(trained.network, record, scale, config.motion)
            return nms_table(record, found, config, self.name)

        figures = table_metrics([predict(r) for r in validation], validation, config.default_threshold)
        return Fitted(predict, figures["threshold"], {"epoch": trained.best_epoch}, trained.history)


def train_network(
    train: Sequence[VideoFeatures],
    validation: Sequence[VideoFeatures],
    config: FEDNConfig,
    scale: np.ndarray,
    training: TrainConfig,
    name: str,
) -> Fit:
    """On the windows that FEDN is trained on; events of unknown emotion are left out."""
    with torch_seed(training.seed, 0):
        network = make_network(config)

    def loss_of(network: nn.Module, windows) -> Tensor:
        videos = []
        for x, mask, intervals, classes in windows:
            ends = np.clip(intervals, 0, config.window)
            kept = (classes >= 0) & (ends[:, 1] - ends[:, 0] >= config.min_visible * np.diff(intervals)[:, 0])
            known = torch.from_numpy(ends[kept].astype(np.float32)) - 0.5
            scaled = torch.from_numpy((x / scale).astype(np.float32))
            seen = inputs_of(scaled, torch.from_numpy(mask), config.motion)
            videos.append(as_video(seen, segments=known, labels=torch.from_numpy(classes[kept])))
        return network(videos)["final_loss"]

    def tables_of(network: nn.Module) -> list[pd.DataFrame]:
        found = (candidates_of(network, r, scale, config.motion) for r in validation)
        return [nms_table(r, c, config, name) for r, c in zip(validation, found, strict=True)]

    return fit_on_windows(network, train, validation, config, scale, training, loss_of, tables_of)

"""Training end to end: the ResNet18 that reads the faces is tuned together with the detector.

A training window is its face crops and a few of the same person's at rest, varied by one camera.
The difference of its vectors to the frozen network's is added to the frozen change from rest, so that
tuning begins exactly where training on cached vectors ends. BatchNorm keeps its statistics; for a
detector that adapts to each video, they are those of the frozen network in that video. The read-outs
of AUs and emotions stay as they are: the vectors that they read are tuned.
"""

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from fedet.detection import TUNED, Detector, Inputs, load_detector, save_inputs
from fedet.errors import InputError
from fedet.faces.adaptation import statistics_of
from fedet.faces.extraction import CROP
from fedet.faces.network import (
    WIDTH,
    FaceNet,
    adapted_net,
    fingerprint,
    pretraining_of,
    save_facenet,
    shipped,
    tensors_of,
)
from fedet.features import change_from_rest
from fedet.files import locked
from fedet.model import FEDN, FEDNConfig, FEDNOutput, FrameEmbedding
from fedet.training.config import TrainConfig, TuningConfig
from fedet.training.crop_augmentation import apply_camera
from fedet.training.crop_windows import FaceWindow, FaceWindowBatch, draw_face_window
from fedet.training.face_crops import FaceVideo, features_with
from fedet.training.model_selection import validation_metrics
from fedet.training.sampling import Draw, draw_epoch, plan_window
from fedet.training.trainer import Run, make_optimizer
from fedet.training.training import (
    RunSpec,
    check_records,
    check_validation,
    finished_run,
    launch,
    split,
    training_settings,
    write_finished,
)
from fedet.windows import assign_targets, stack_targets

# Each step costs as much as detecting in minutes of video: few, small ones, from a detector that works.
TUNING = TrainConfig(epochs=4, learning_rate=2e-4, batch_size=4, least_steps=1, ema=0.9)


@dataclass(frozen=True, eq=False)
class TuneResult:
    """A tuned detector and how it came about."""

    detector: Detector  # on the CPU; its model's config holds the chosen threshold
    history: pd.DataFrame  # as of `TrainResult`
    best_epoch: int
    finished: bool  # False: stopped by max_steps


# ---------------------------------------------------------------- the network


class EndToEnd(nn.Module):
    """Face network and detector as one: `forward(batch, mask (B, W)) -> FEDNOutput`."""

    def __init__(self, face: FaceNet, detector: FEDN, reads: str, tuning: TuningConfig) -> None:
        super().__init__()
        self.face, self.detector = face, detector
        self.reads, self.tuning = reads, tuning
        self.face.requires_grad_(False).body.requires_grad_(tuning.backbone > 0)

    @property
    def config(self) -> FEDNConfig:
        return self.detector.config

    @property
    def embedding(self) -> FrameEmbedding:
        return self.detector.embedding

    def train(self, mode: bool = True) -> "EndToEnd":
        super().train(mode)
        self.face.eval()  # BatchNorm: few people in a batch, all of them alike
        return self

    def forward(self, batch: FaceWindowBatch, mask: Tensor) -> FEDNOutput:
        x = torch.stack([self.features(window) for window in batch.windows])  # (B, W, C)
        return self.detector(x * mask[..., None], mask)

    def features(self, window: FaceWindow) -> Tensor:
        """What the detector reads of a window, (W, C)."""
        vectors = self.vectors(window)
        # In full precision: a change is a small difference of large numbers.
        with torch.autocast(window.mix.device.type, enabled=False):
            change = window.base + window.mix @ vectors
            channels = [change] if self.reads in ("vectors", "both") else []
            if self.reads != "vectors":
                channels.append(change @ self.face.change_read_outs().T)
            x = torch.cat([*channels, window.side], dim=1)
            x = x if window.blend is None else x @ window.blend
            return (x * window.gain + window.added) * window.keep

    def vectors(self, window: FaceWindow) -> Tensor:
        """(F, 512) float32, a chunk at a time: activations of a chunk are computed again for its gradient."""
        with_gradient = window.with_gradient & (self.tuning.backbone > 0)
        order, n = torch.argsort(~with_gradient, stable=True), int(with_gradient.sum())
        vectors = [torch.zeros(0, WIDTH, device=order.device)]
        for pictures, learns in ((order[:n], True), (order[n:], False)):
            for chunk in pictures.split(self.tuning.chunk) if len(pictures) else ():
                faces = apply_camera(window.camera, window.crops[chunk], self.tuning.size)
                call = functional_call, self.face, window.statistics, faces
                if learns and torch.is_grad_enabled():
                    out = checkpoint(*call, use_reentrant=False, preserve_rng_state=False)
                else:
                    with torch.no_grad():
                        out = functional_call(*call[1:])
                vectors.append(out.float())
        return torch.cat(vectors)[torch.argsort(order)]


class TuneRun(Run):
    """A `Run` whose windows are pictures."""

    def __init__(self, *args: Any, inputs: Inputs, frozen: FaceNet) -> None:
        self.inputs = inputs
        super().__init__(*args)
        self.changes = [change_from_rest(r.faces, inputs.reference, inputs.context_s) for r in self.records]
        adapted_nets = (adapted_net(frozen, record.spread, inputs.adapt) for record in self.records)
        self.statistics = [statistics_of(net) if inputs.adapt else {} for net in adapted_nets]

    def make_optimizer(self, model: EndToEnd) -> torch.optim.Optimizer:
        optimizer = make_optimizer(model.detector, self.config)
        if model.tuning.backbone > 0:
            body = {"params": list(model.face.body.parameters()), "weight_decay": 0.0}
            optimizer.add_param_group(body | {"rate": model.tuning.backbone})
        return optimizer

    def make_batch(self, draws: Sequence[Draw]) -> tuple:
        windows, masks, targets = zip(*(self.window(draw) for draw in draws), strict=True)
        return FaceWindowBatch(windows), torch.from_numpy(np.stack(masks)), stack_targets(list(targets))

    def window(self, draw: Draw) -> tuple[FaceWindow, np.ndarray, tuple]:
        """A training window, its mask and its targets."""
        config, record, i = self.model.config, self.records[draw.record], draw.record
        rng = np.random.default_rng(draw.seed)
        plan = plan_window(record.mask, self.events[i], draw, config.window, self.config.augmentation, rng)
        window = draw_face_window(
            record, self.changes[i], self.statistics[i], plan, self.scale, self.config, self.model.tuning,
            self.inputs, rng,
        )  # fmt: skip
        return window, plan.mask, assign_targets(plan.intervals, plan.classes, plan.mask, config)

    def validate(self) -> dict[str, float]:
        records = [features_with(record, self.average.face, self.inputs) for record in self.validation]
        return validation_metrics(
            self.average.detector, self.model.config, records, device=self.fabric.device
        )


# ---------------------------------------------------------------- a run


def train_end_to_end(
    records: Sequence[FaceVideo],
    start: Detector,
    config: TrainConfig = TUNING,
    tuning: TuningConfig = TuningConfig(),
    *,
    validation: Sequence[FaceVideo] | float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    accelerator: str = "auto",
    devices: int | str = 1,
    strategy: str = "auto",
    max_steps: int | None = None,
    on_epoch: Callable[[int, EndToEnd], None] | None = None,
) -> TuneResult:
    """Tunes a detector and the face network that it reads; epoch and threshold as in `training.train`.

    Args:
        records: of `fedet.training.face_crops.face_videos_of` with the network and the inputs of `start`.
        start: what to begin with; it is left as it is.
        out: folder of the detector, as `load_detector` reads it, the face weights inside; it may be
            moved. A killed run resumes there, see `training.train`; a checkpoint takes about 250 MB.
        validation, progress, accelerator, devices, strategy, max_steps: as for `training.train`.
        on_epoch: called with (epochs done, the averaged network).
    Raises:
        InputError: settings, records or the folder do not fit; a subject is in both parts.
    """
    records, validation = split(records, validation, config.seed)
    _check_crops([*records, *(validation or ())], start)
    check_validation(records, validation, start.model.config)
    model = EndToEnd(copy.deepcopy(start.net), copy.deepcopy(start.model), start.inputs.reads, tuning)
    settings = training_settings(model, config, records, validation, init=start)
    settings |= {"tuning": asdict(tuning), "inputs": asdict(replace(start.inputs, weights=""))}
    settings = json.loads(json.dumps(settings))
    out = None if out is None else Path(out)
    make_run = partial(TuneRun, inputs=start.inputs, frozen=start.net)
    spec = RunSpec(make_run, model, records, validation, config, out, settings, progress, max_steps, on_epoch)
    with locked(out):
        if out is not None and (finished := finished_run(out, settings)) is not None:
            return TuneResult(load_detector(out, start.faces), *finished, True)
        outcome = launch(spec, accelerator, devices, strategy)
        detector = _detector_in(model, outcome.threshold, start, out)
        if out is not None and outcome.finished and outcome.is_main:
            card = {"tuned_from": start.net.name, "tuning": settings["tuning"]}
            save_detector(out, detector, card | {"pretraining": _pretraining(start.inputs.weights)})
            write_finished(out, settings, outcome.history, outcome.best_epoch)
    return TuneResult(detector, outcome.history, outcome.best_epoch, outcome.finished)


def _check_crops(records: Sequence[FaceVideo], start: Detector) -> None:
    for record in records:
        name = f"{record.subject}/{record.video}"
        if not hasattr(record, "crops"):
            raise InputError(
                f"{name}: vectors without pictures; read it with fedet.training.face_crops.face_videos_of"
            )
        if record.faces.weights != start.net.name:
            raise InputError(
                f"{name}: vectors of the face weights {record.faces.weights!r}, but tuning starts from "
                f"{start.net.name!r}; read it again"
            )
    check_records(records, start.model.config)


def _detector_in(model: EndToEnd, threshold: float, start: Detector, out: Path | None) -> Detector:
    """The detector in a trained network, named after its weights: cached vectors go by that name."""
    detector, net = model.detector, model.face.requires_grad_(False).eval()
    detector.config = replace(detector.config, default_threshold=threshold)
    net.name = net.digest = fingerprint(tensors_of(net))
    # Its threshold was chosen without a second opinion.
    weights = TUNED if out is None else str(out / TUNED)
    inputs = replace(start.inputs, weights=weights, second_opinion=None)
    return Detector(detector.eval(), net, inputs, start.faces)


def _pretraining(weights: str) -> dict:
    """How face weights were trained, if they say; what is reported of unfamiliar faces depends on it."""
    return pretraining_of(shipped("faces") if weights == "faces" else Path(weights))


def save_detector(folder: str | Path, detector: Detector, card: dict) -> None:
    """Writes a detector and its face weights, in full precision: tuning may move them by less than half."""
    folder = Path(folder)
    detector.model.save_pretrained(folder)
    save_facenet(folder / TUNED, detector.net, card, torch.float32)
    save_inputs(folder, replace(detector.inputs, weights=str(folder / TUNED)))


def estimate_minutes(
    records: Sequence[FaceVideo],
    validation: Sequence[FaceVideo],
    start: Detector,
    config: TrainConfig,
    tuning: TuningConfig,
) -> float:
    """Duration of a run on this machine's CPU without early stop, from the time of one chunk."""
    net = copy.deepcopy(start.net)
    net.body.requires_grad_(True)
    seconds = {}
    for side in (tuning.size, CROP):
        faces = torch.zeros(8, 3, side, side).contiguous(memory_format=torch.channels_last)
        for _ in (False, True):  # the first time is slower
            started = time.perf_counter()
            with torch.set_grad_enabled(side == tuning.size):
                net(faces)
            seconds[side] = (time.perf_counter() - started) / 8
    window = start.model.config.window
    draws = draw_epoch(
        records, window, config.coverage, config.seed, 0, config.least_steps * config.batch_size
    )
    # One pass forward; with a gradient three more: forward again, and backward, which costs two.
    pictures = len(draws) * (window + tuning.rest) * (1 + 3 * tuning.through * (tuning.backbone > 0))
    validated = sum(len(record.mask) for record in validation) / config.evaluate_every
    return config.epochs * (pictures * seconds[tuning.size] + validated * seconds[CROP]) / 60

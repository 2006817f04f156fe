"""Training end to end: the ResNet18 that reads the faces is tuned together with the detector.

A training window is its face crops and a few of the same person's at rest, varied by one camera.
What the tuned network moves them by is added to the frozen network's change from rest, so that
tuning begins exactly where training on kept vectors ends. BatchNorm keeps its statistics; for a
detector that reads with those of each video, they are what the frozen network found there. The
read-outs of AUs and emotions stay as they are: what they read is what is tuned.
"""

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

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
from fedet.model import FEDN, FEDNOutput
from fedet.training.crop_augmentation import seen_by
from fedet.training.crop_windows import FaceWindow, Tuning, Windows, face_window
from fedet.training.face_crops import FaceVideo, seen_with
from fedet.training.model_selection import figures_of, hold_out
from fedet.training.sampling import Draw, draw_epoch, plan
from fedet.training.trainer import Run, TrainConfig, make_optimizer
from fedet.training.training import (
    check_records,
    check_validation,
    finished_run,
    launch,
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

    def __init__(self, face: FaceNet, detector: FEDN, reads: str, tuning: Tuning) -> None:
        super().__init__()
        self.face, self.detector = face, detector
        self.reads, self.tuning = reads, tuning
        self.face.requires_grad_(False).body.requires_grad_(tuning.backbone > 0)

    @property
    def config(self):
        return self.detector.config

    @property
    def embedding(self):
        return self.detector.embedding

    def train(self, mode: bool = True) -> "EndToEnd":
        super().train(mode)
        self.face.eval()  # BatchNorm: few people in a batch, all of them alike
        return self

    def forward(self, batch: Windows, mask: Tensor) -> FEDNOutput:
        x = torch.stack([self.features(window) for window in batch.windows])  # (B, W, C)
        return self.detector(x * mask[..., None], mask)

    def features(self, window: FaceWindow) -> Tensor:
        """What the detector reads of a window, (W, C)."""
        vectors = self.vectors(window)
        # In full precision: a change is a small difference of large numbers.
        with torch.autocast(window.mix.device.type, enabled=False):
            change = window.base + window.mix @ vectors
            parts = [change] if self.reads in ("vectors", "both") else []
            if self.reads != "vectors":
                parts.append(change @ self.face.change_read_outs().T)
            x = torch.cat([*parts, window.side], dim=1)
            x = x if window.blend is None else x @ window.blend
            return (x * window.gain + window.added) * window.kept

    def vectors(self, window: FaceWindow) -> Tensor:
        """(F, 512) float32, a chunk at a time: what a chunk needs is computed again for its gradient."""
        teach = window.teach & (self.tuning.backbone > 0)
        order, taught = torch.argsort(~teach, stable=True), int(teach.sum())
        found = [torch.zeros(0, WIDTH, device=teach.device)]
        for part, with_gradient in ((order[:taught], True), (order[taught:], False)):
            for some in part.split(self.tuning.chunk) if len(part) else ():
                faces = seen_by(window.camera, window.crops[some], self.tuning.size)
                if with_gradient and torch.is_grad_enabled():
                    call = functional_call, self.face, window.statistics, faces
                    seen = checkpoint(*call, use_reentrant=False, preserve_rng_state=False)
                else:
                    with torch.no_grad():
                        seen = functional_call(self.face, window.statistics, faces)
                found.append(seen.float())
        return torch.cat(found)[torch.argsort(order)]


class TuneRun(Run):
    """A `Run` whose windows are pictures."""

    def __init__(self, *args, inputs: Inputs, frozen: FaceNet, **options) -> None:
        self.inputs = inputs
        super().__init__(*args, **options)
        where = inputs.reference, inputs.context_s
        self.changes = [change_from_rest(record.faces, *where) for record in self.records]
        knowing_each = (adapted_net(frozen, record.spread, inputs.adapt) for record in self.records)
        self.statistics = [statistics_of(net) if inputs.adapt else {} for net in knowing_each]

    def make_optimizer(self, model: EndToEnd) -> torch.optim.Optimizer:
        optimizer = make_optimizer(model.detector, self.config)
        if model.tuning.backbone > 0:
            body = {"params": list(model.face.body.parameters()), "weight_decay": 0.0}
            optimizer.add_param_group(body | {"rate": model.tuning.backbone})
        return optimizer

    def batch(self, draws: Sequence[Draw]) -> tuple:
        parts = [self.window(draw) for draw in draws]
        windows, masks, targets = zip(*parts, strict=True)
        return Windows(windows), torch.from_numpy(np.stack(masks)), stack_targets(list(targets))

    def window(self, draw: Draw) -> tuple[FaceWindow, np.ndarray, tuple]:
        config, record = self.raw.config, self.records[draw.record]
        rng = np.random.default_rng(draw.seed)
        made = plan(record.mask, self.events[draw.record], draw, config.window, self.config.augmentation, rng)
        where = self.scale, self.config, self.raw.tuning, self.inputs, rng
        kept = self.changes[draw.record], self.statistics[draw.record]
        window = face_window(record, *kept, made, *where)
        return window, made.mask, assign_targets(made.intervals, made.classes, made.mask, config)

    def figures(self) -> dict[str, float]:
        seen = [seen_with(record, self.average.face, self.inputs) for record in self.validation]
        options = {"device": self.fabric.device}
        return figures_of(self.average.detector, self.raw.config, seen, **options)


# ---------------------------------------------------------------- a run


def train_end_to_end(
    records: Sequence[FaceVideo],
    start: Detector,
    config: TrainConfig = TUNING,
    tuning: Tuning = Tuning(),
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
            moved. A killed run goes on there, see `training.train`; a checkpoint takes about 250 MB.
        validation, progress, accelerator, devices, strategy, max_steps: as for `training.train`.
        on_epoch: called with (epochs done, the averaged network).
    Raises:
        InputError: settings, records or the folder do not fit; a subject is in both parts.
    """
    records = list(records)
    if not records:
        raise InputError("no training videos")
    if isinstance(validation, (int, float)):
        records, validation = hold_out(records, validation, config.seed)
    _check(records, start)
    if validation is not None:
        _check(validation, start)
        check_validation(records, validation, start.model.config)
    model = EndToEnd(copy.deepcopy(start.net), copy.deepcopy(start.model), start.inputs.reads, tuning)
    settings = training_settings(model, config, records, validation, init=start)
    settings |= {"tuning": asdict(tuning), "inputs": asdict(replace(start.inputs, weights=""))}
    settings = json.loads(json.dumps(settings))
    out = None if out is None else Path(out)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        if (finished := finished_run(out, settings)) is not None:
            return TuneResult(load_detector(out, start.faces), *finished, True)
    run = partial(TuneRun, inputs=start.inputs, frozen=start.net)
    values, main = launch(
        run, model, records, validation, config, out, settings,
        progress=progress, max_steps=max_steps, on_epoch=on_epoch,
        accelerator=accelerator, devices=devices, strategy=strategy,
    )  # fmt: skip
    detector, history = _tuned(model, values["threshold"], start, out), pd.DataFrame(values["history"])
    if out is not None and values["finished"] and main:
        card = {"tuned_from": start.net.name, "tuning": settings["tuning"]}
        save_detector(out, detector, card | {"pretraining": _pretraining(start.inputs.weights)})
        write_finished(out, settings, history, values["best_epoch"])
    return TuneResult(detector, history, values["best_epoch"], values["finished"])


def _check(records: Sequence[FaceVideo], start: Detector) -> None:
    for record in records:
        where = f"{record.subject}/{record.video}"
        if not hasattr(record, "crops"):
            raise InputError(
                f"{where}: vectors without pictures; read it with fedet.training.face_crops.face_videos_of"
            )
        if record.faces.weights != start.net.name:
            made = f"vectors of the face weights {record.faces.weights!r}"
            raise InputError(f"{where}: {made}, but tuning starts from {start.net.name!r}; read it again")
    check_records(records, start.model.config)


def _tuned(model: EndToEnd, threshold: float, start: Detector, out: Path | None) -> Detector:
    """The detector in a trained network, named after its own weights: kept vectors go by that name."""
    detector, net = model.detector, model.face.requires_grad_(False).eval()
    detector.config = replace(detector.config, default_threshold=threshold)
    net.name = net.digest = fingerprint(tensors_of(net))
    inputs = replace(start.inputs, weights=TUNED if out is None else str(out / TUNED))
    return Detector(detector.eval(), net, inputs, start.faces)


def _pretraining(weights: str) -> dict:
    """How face weights came about, if they say; what is told of unfamiliar faces depends on it."""
    return pretraining_of(shipped("faces") if weights == "faces" else Path(weights))


def save_detector(folder: str | Path, detector: Detector, card: dict) -> None:
    """Writes a detector and its face weights, in full precision: tuning may move them by less than half."""
    folder = Path(folder)
    detector.model.save_pretrained(folder)
    save_facenet(folder / TUNED, detector.net, card, torch.float32)
    save_inputs(folder, replace(detector.inputs, weights=str(folder / TUNED)))


def estimated_minutes(
    records: Sequence[FaceVideo], validation: Sequence[FaceVideo], start: Detector, config: TrainConfig,
    tuning: Tuning,
) -> float:  # fmt: skip
    """What a run would take on this machine's CPU, from the time of one chunk; no early stop."""
    net = copy.deepcopy(start.net)
    net.body.requires_grad_(True)
    seconds = {}
    for side in (tuning.size, CROP):
        faces = torch.zeros(8, 3, side, side).contiguous(memory_format=torch.channels_last)
        for _ in (False, True):  # the first time is slower
            began = time.perf_counter()
            with torch.set_grad_enabled(side == tuning.size):
                net(faces)
            seconds[side] = (time.perf_counter() - began) / 8
    window = start.model.config.window
    draws = draw_epoch(
        records, window, config.coverage, config.seed, 0, config.least_steps * config.batch_size
    )
    # A step forward, and three more for what is taught: again, and backward, which costs two.
    pictures = len(draws) * (window + tuning.rest) * (1 + 3 * tuning.through * (tuning.backbone > 0))
    judged = sum(len(record.mask) for record in validation) / config.evaluate_every
    return config.epochs * (pictures * seconds[tuning.size] + judged * seconds[CROP]) / 60

"""The training loop of one process: steps, epochs, the average of the weights, what to keep."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedet.errors import InputError
from fedet.losses import detection_loss
from fedet.model import FEDN, load_weights
from fedet.training.checkpoints import optimizer_tensors, restore_optimizer, write_checkpoint
from fedet.training.model_selection import MONITORS, figures_of, monitored
from fedet.training.sampling import Augmentation, batch_of, draw_epoch, positives_per_window, told
from fedet.windows import points

# What a checkpoint holds beside tensors.
SCALARS = ("epoch", "step", "history", "best_value", "best_epoch", "threshold")


@dataclass(frozen=True)
class TrainConfig:
    """How a detector is trained; all defaults are our choice."""

    epochs: int = 15  # each shows every frame `coverage` times
    coverage: float = 1.0
    batch_size: int = 16  # windows, over all devices together
    least_steps: int = 20  # of an epoch, about: a small set is shown more often in each
    learning_rate: float = 1e-3  # its highest: linear warm-up, then a cosine down to a hundredth
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.05  # AdamW, on matrices only
    clip_norm: float = 1.0  # of the gradient
    ema: float = 0.99  # keep an exponential average of the weights over the steps; 0: the last
    monitor: str = "both"  # selects the epoch: spotting F1, detection mAP, or "both": their mean
    evaluate_every: int = 1  # epochs
    patience: int = 6  # evaluations without improvement before it stops; 0: never stops early
    seed: int = 0
    precision: str = "32-true"  # of Fabric; "bf16-mixed" is quicker where the CPU or GPU knows it
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "least_steps", "evaluate_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("coverage", "learning_rate", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("warmup", "ema"):
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in ("weight_decay", "patience", "seed"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("monitor", self.monitor in MONITORS, f"one of {', '.join(MONITORS)}")

    def _require(self, name: str, true: bool, what: str) -> None:
        if not true:
            raise InputError(f"{name} is {getattr(self, name)!r}; it must be {what}")

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "training config") -> "TrainConfig":
        """The config of a dict, e.g. of YAML. Raises InputError on a key that is no field."""
        values = dict(values)
        nested = values.pop("augmentation", {})
        for kind, given in ((cls, values), (Augmentation, nested)):
            known = [f.name for f in fields(kind)]
            if unknown := sorted(set(given) - set(known)):
                text = f"{source}: unknown {', '.join(unknown)}; known are {', '.join(known)}"
                raise InputError(text)
        return cls(**values, augmentation=Augmentation(**nested))


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Seeds torch's global generator inside the block and puts it back as it was behind it.

    Weight initialisation and dropout read the global generator and accept no other.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
        yield


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Of step 0 ... steps - 1: linear warm-up, then half a cosine down to a hundredth."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(model: FEDN, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that shrinks matrices and leaves biases, norms and scales alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


class Run:
    """One training run on one process: the state that a checkpoint keeps, and the steps."""

    def __init__(self, fabric, model: FEDN, records, validation, config: TrainConfig) -> None:
        self.fabric, self.config = fabric, config
        self.records, self.validation = records, validation
        self.raw = model  # as it is saved; `network` is what Fabric makes of it
        self.optimizer = self.make_optimizer(model)
        self.network, self.optimizer = fabric.setup(model, self.optimizer)
        self.average = copy.deepcopy(self.raw).eval()  # EMA of the weights, and what is kept
        self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
        self.best_value, self.best_epoch, self.threshold = (
            -math.inf,
            0,
            model.config.default_threshold,
        )
        self.epoch, self.step = 0, 0  # done so far
        self.history: list[dict[str, float]] = []
        self.scale = model.embedding.scale.numpy(force=True)
        self.events = told(records, model.config)
        self.positives = positives_per_window(records, self.events, model.config)
        self.centres = torch.tensor(points(model.config).centre, dtype=torch.float32).to(fabric.device)
        draws = len(self.draws(0))
        self.batch_size = min(config.batch_size, draws - draws % fabric.world_size)
        if self.batch_size < 1 or self.batch_size % fabric.world_size:
            text = f"batch_size is {config.batch_size} for {draws} windows"
            raise InputError(f"{text}; it must be a multiple of the {fabric.world_size} devices")
        self.batches = draws // self.batch_size  # the rest comes in other epochs: order is random

    def draws(self, epoch: int):
        window, config = self.raw.config.window, self.config
        wanted = config.least_steps * config.batch_size
        return draw_epoch(self.records, window, config.coverage, config.seed, epoch, wanted)

    def make_optimizer(self, model) -> torch.optim.Optimizer:
        return make_optimizer(model, self.config)

    def batch(self, draws) -> tuple:
        """What the network is given, and the targets behind it."""
        where = self.records, self.events, draws
        return tuple(batch_of(*where, self.scale, self.raw.config, self.config.augmentation))

    def figures(self) -> dict[str, float]:
        """Of the averaged weights, on the validation subjects."""
        options = {"device": self.fabric.device}
        return figures_of(self.average, self.raw.config, self.validation, **options)

    def train_step(self, draws) -> dict[str, float]:
        config, fabric = self.config, self.fabric
        rate = learning_rate(self.step, self.batches * config.epochs, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        mine = draws[fabric.global_rank :: fabric.world_size]
        *seen, targets = fabric.to_device(self.batch(mine))
        with seeded(config.seed, 1, self.step, fabric.global_rank):
            output = self.network(*seen)
            losses = detection_loss(output, targets, self.centres, self.raw.config, self.positives)
            self.optimizer.zero_grad()
            fabric.backward(losses.total)
        fabric.clip_gradients(self.network, self.optimizer, max_norm=config.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        return {f"loss_{name}": value.item() for name, value in losses._asdict().items()}

    @torch.no_grad()
    def update_average(self) -> None:
        # In the first steps the average follows closely, or it would remember the random start.
        decay = min(self.config.ema, self.step / (self.step + 10))
        for mean, value in zip(self.average.parameters(), self.raw.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def train_epoch(self, bar, max_steps: int | None) -> bool:
        """False: stopped in the middle by max_steps, as if killed."""
        self.raw.train()
        draws, rows = self.draws(self.epoch), []
        for i in range(self.batches):
            if max_steps is not None and self.step >= max_steps:
                return False
            rows.append(self.train_step(draws[i * self.batch_size : (i + 1) * self.batch_size]))
            bar.update()
        self.epoch += 1
        row = {"epoch": self.epoch, "learning_rate": self.optimizer.param_groups[0]["lr"]}
        means = torch.tensor([[r[name] for name in rows[0]] for r in rows], dtype=torch.float64)
        means = self.fabric.all_reduce(means.mean(0), reduce_op="mean")  # over the processes
        row |= dict(zip(rows[0], means.tolist(), strict=True))
        self.select(row)
        self.history.append(row)
        bar.set_postfix({k: f"{row[k]:.3f}" for k in ("loss_total", "spotting_f1") if k in row})
        return True

    def select(self, row: dict[str, float]) -> None:
        """Keeps this epoch's weights if validation finds them the best; without it, always."""
        last = self.epoch == self.config.epochs
        if self.validation and (last or self.epoch % self.config.evaluate_every == 0):
            figures = self.fabric.broadcast(self.figures())  # all processes must decide alike
            value = monitored(figures, self.config.monitor)
            row |= figures | {"monitored": value}
            if value <= self.best_value:
                return
            self.best_value, self.threshold = value, figures["threshold"]
        elif self.validation:
            return
        self.best_epoch = self.epoch
        self.best = {name: value.clone() for name, value in self.average.state_dict().items()}

    @property
    def done(self) -> bool:
        waited = (self.epoch - self.best_epoch) // self.config.evaluate_every
        early = self.validation and 0 < self.config.patience <= waited
        return self.epoch >= self.config.epochs or bool(early)

    def save(self, folder: Path, settings: dict[str, Any]) -> None:
        values = {name: getattr(self, name) for name in SCALARS} | {"settings": settings}
        states = {"model": self.raw, "average": self.average}
        tensors = {k: {n: v.cpu() for n, v in m.state_dict().items()} for k, m in states.items()}
        best = {name: value.cpu() for name, value in self.best.items()}
        optimizer = optimizer_tensors(self.optimizer)
        write_checkpoint(folder, values, **tensors, best=best, optimizer=optimizer)

    def restore(self, values: dict[str, Any], tensors: dict[str, Any], source: str) -> None:
        for name in SCALARS:
            setattr(self, name, values[name])
        load_weights(self.raw, tensors["model"], source)
        load_weights(self.average, tensors["average"], source)
        self.best = {n: v.to(self.fabric.device) for n, v in tensors["best"].items()}
        restore_optimizer(self.optimizer, tensors["optimizer"])

"""The training loop of one process: steps, epochs, the average of the weights, which epoch is best."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.losses import detection_loss
from fedet.model import FEDN, load_weights
from fedet.training.checkpoints import Tensors, optimizer_tensors, restore_optimizer, write_checkpoint
from fedet.training.config import TrainConfig
from fedet.training.model_selection import monitored_value, validation_metrics
from fedet.training.sampling import Draw, draw_epoch, event_arrays, make_batch, positives_per_window
from fedet.windows import VideoFeatures, points

if TYPE_CHECKING:
    from lightning.fabric import Fabric

# What a checkpoint holds besides tensors.
SCALARS = ("epoch", "step", "history", "best_value", "best_epoch", "threshold")


@contextmanager
def torch_seed(*seed: int) -> Iterator[None]:
    """Seeds torch's global generator inside the block and restores its state after it.

    Weight initialisation and dropout read the global generator and accept no other.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
        yield


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Of step 0 ... steps - 1: linear warm-up, then half a cosine down to a hundredth.

    A function of the step alone: a resumed run has no schedule to restore.
    """
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices, none on biases, norms and scales."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, config: TrainConfig) -> None:
    """Exponential moving average of the weights after `step` steps.

    In the first steps it follows closely; else the random start would remain in it.
    """
    decay = min(config.ema, step / (step + 10))
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


class Run:
    """One training run on one process: the state that a checkpoint holds, and the steps."""

    def __init__(
        self,
        fabric: "Fabric",
        model: FEDN,
        records: Sequence[VideoFeatures],
        validation: Sequence[VideoFeatures] | None,
        config: TrainConfig,
    ) -> None:
        self.fabric, self.config = fabric, config
        self.records, self.validation = records, validation
        self.model = model  # as it is saved; `network` is what Fabric makes of it
        self.optimizer = self.make_optimizer(model)
        self.network, self.optimizer = fabric.setup(model, self.optimizer)
        self.average = copy.deepcopy(self.model).eval()
        self.best = copy_of(self.average.state_dict())
        self.best_value, self.best_epoch, self.threshold = -math.inf, 0, model.config.default_threshold
        self.epoch, self.step = 0, 0  # done so far
        self.history: list[dict[str, float]] = []
        self.scale = model.embedding.scale.numpy(force=True)
        self.events = event_arrays(records, model.config)
        self.positives = positives_per_window(records, self.events, model.config)
        self.centres = torch.tensor(points(model.config).centre, dtype=torch.float32).to(fabric.device)
        draws = len(self.draws(0))
        self.batch_size = min(config.batch_size, draws - draws % fabric.world_size)
        if self.batch_size < 1 or self.batch_size % fabric.world_size:
            raise InputError(
                f"batch_size is {config.batch_size} for {draws} windows; it must be a multiple of the "
                f"{fabric.world_size} devices"
            )
        self.batches = draws // self.batch_size  # the rest comes in other epochs: order is random

    def draws(self, epoch: int) -> list[Draw]:
        """The windows of an epoch."""
        window, config = self.model.config.window, self.config
        least = config.least_steps * config.batch_size
        return draw_epoch(self.records, window, config.coverage, config.seed, epoch, least)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(model, self.config)

    def make_batch(self, draws: Sequence[Draw]) -> tuple:
        """The network's inputs, then the targets."""
        return make_batch(
            self.records, self.events, draws, self.scale, self.model.config, self.config.augmentation
        )

    def validate(self) -> dict[str, float]:
        """Metrics of the averaged weights on the validation subjects."""
        return validation_metrics(self.average, self.model.config, self.validation, device=self.fabric.device)

    def train_step(self, draws: Sequence[Draw]) -> dict[str, float]:
        """One optimizer step on these windows; returns the losses."""
        config, fabric = self.config, self.fabric
        rate = learning_rate(self.step, self.batches * config.epochs, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        of_this_process = draws[fabric.global_rank :: fabric.world_size]
        *inputs, targets = fabric.to_device(tuple(self.make_batch(of_this_process)))
        with torch_seed(config.seed, 1, self.step, fabric.global_rank):
            output = self.network(*inputs)
            losses = detection_loss(output, targets, self.centres, self.model.config, self.positives)
            self.optimizer.zero_grad()
            fabric.backward(losses.total)
        fabric.clip_gradients(self.network, self.optimizer, max_norm=config.clip_norm)
        self.optimizer.step()
        self.step += 1
        update_average(self.average, self.model, self.step, config)
        return {f"loss_{name}": value.item() for name, value in losses._asdict().items()}

    def train_epoch(self, bar: tqdm, max_steps: int | None) -> bool:
        """False: stopped in the middle by max_steps, as if killed."""
        self.model.train()
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
        """Takes this epoch's weights if they are the best on validation; without validation, always."""
        last = self.epoch == self.config.epochs
        if self.validation and (last or self.epoch % self.config.evaluate_every == 0):
            metrics = self.fabric.broadcast(self.validate())  # all processes must decide alike
            value = monitored_value(metrics, self.config.monitor)
            row |= metrics | {"monitored": value}
            if value <= self.best_value:
                return
            self.best_value, self.threshold = value, metrics["threshold"]
        elif self.validation:
            return
        self.best_epoch = self.epoch
        self.best = copy_of(self.average.state_dict())

    @property
    def done(self) -> bool:
        waited = (self.epoch - self.best_epoch) // self.config.evaluate_every
        early = self.validation and 0 < self.config.patience <= waited
        return self.epoch >= self.config.epochs or bool(early)

    def scalars(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SCALARS}

    def save(self, folder: Path, settings: dict[str, Any]) -> None:
        write_checkpoint(
            folder,
            self.scalars() | {"settings": settings},
            model=self.model.state_dict(),
            average=self.average.state_dict(),
            best=self.best,
            optimizer=optimizer_tensors(self.optimizer),
        )

    def restore(self, scalars: dict[str, Any], tensors: dict[str, Tensors], source: str) -> None:
        for name in SCALARS:
            setattr(self, name, scalars[name])
        load_weights(self.model, tensors["model"], source)
        load_weights(self.average, tensors["average"], source)
        self.best = {name: value.to(self.fabric.device) for name, value in tensors["best"].items()}
        restore_optimizer(self.optimizer, tensors["optimizer"])


def copy_of(state: Tensors) -> Tensors:
    """A copy of a state dict, which itself changes with the weights."""
    return {name: value.clone() for name, value in state.items()}

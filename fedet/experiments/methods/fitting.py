"""Trains the small networks of the other methods with the schedule, weight average and choices of FEDN.

`two_stage`, `frame_wise` and `actionformer` use it: the same vectors, the same augmentation, the same budget
of epochs and steps, the same validation subjects.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fedet.model import FEDNConfig
from fedet.training.config import TrainConfig
from fedet.training.model_selection import monitored_value, table_metrics
from fedet.training.sampling import augmented_window, draw_epoch, event_arrays
from fedet.training.trainer import learning_rate, make_optimizer, torch_seed, update_average
from fedet.windows import VideoFeatures


class Fit(NamedTuple):
    """A trained network with its history."""

    network: nn.Module  # of the best epoch, in evaluation mode
    history: pd.DataFrame  # a row per epoch
    best_epoch: int


def fit_network(
    network: nn.Module,
    batches: Callable[[int], Sequence],
    loss_of: Callable[[nn.Module, object], Tensor],
    judge: Callable[[nn.Module], dict[str, float]],
    config: TrainConfig,
) -> Fit:
    """Trains with AdamW, warm-up and cosine; keeps the averaged weights of the best epoch.

    Args:
        batches: the batches of an epoch, the same number in each. loss_of: of a batch, a scalar.
        judge: figures on the validation subjects; "monitored" selects the epoch.
    """
    optimizer, average = make_optimizer(network, config), copy.deepcopy(network).eval()  # type: ignore
    best, best_value, best_epoch, step = copy.deepcopy(average.state_dict()), -math.inf, 0, 0
    history = []
    for epoch in range(1, config.epochs + 1):
        losses, epoch_batches = [], batches(epoch - 1)
        network.train()
        for batch in epoch_batches:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, len(epoch_batches) * config.epochs, config)
            with torch_seed(config.seed, 1, step):
                loss = loss_of(network, batch)
                optimizer.zero_grad()
                loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimizer.step()
            step += 1
            update_average(average, network, step, config)
            losses.append(loss.item())
        row: dict[str, float] = {"epoch": epoch, "loss_total": float(np.mean(losses))}
        if epoch == config.epochs or epoch % config.evaluate_every == 0:
            row |= judge(average)
            if row["monitored"] > best_value:
                best, best_value, best_epoch = copy.deepcopy(average.state_dict()), row["monitored"], epoch
        history.append(row)
        if config.patience and (epoch - best_epoch) // config.evaluate_every >= config.patience:
            break
    average.load_state_dict(best)
    return Fit(average, pd.DataFrame(history), best_epoch)


def fit_on_windows(
    network: nn.Module,
    train: Sequence[VideoFeatures],
    validation: Sequence[VideoFeatures],
    config: FEDNConfig,
    scale: np.ndarray,
    training: TrainConfig,
    loss_of: Callable[[nn.Module, list], Tensor],
    tables_of: Callable[[nn.Module], list[pd.DataFrame]],
) -> Fit:
    """Trains on the windows that FEDN is trained on.

    Args:
        loss_of: of windows as `augmented_window` returns them, a scalar.
        tables_of: the intervals of each validation video; their figures select the epoch.
    """
    events = event_arrays(train, config)

    def batches(epoch: int):
        windows = training.least_steps * training.batch_size
        draws = draw_epoch(train, config.window, training.coverage, training.seed, epoch, windows)
        return in_batches(draws, training.batch_size)

    def loss(network: nn.Module, draws) -> Tensor:
        cut = [
            augmented_window(
                train[d.record], events[d.record], d, scale, config.window, training.augmentation
            )
            for d in draws
        ]
        return loss_of(network, cut)

    def judge(network: nn.Module) -> dict[str, float]:
        figures = table_metrics(tables_of(network), validation, config.default_threshold)
        return figures | {"monitored": monitored_value(figures, training.monitor)}

    return fit_network(network, batches, loss, judge, training)


def in_batches(items: Sequence, size: int) -> list[Sequence]:
    """Whole batches; the remainder is used in other epochs, which have another order."""
    size = min(size, len(items))
    return [items[i : i + size] for i in range(0, len(items) - size + 1, size)]

"""Training FEDN on the features of whole videos, through Lightning Fabric.

`train` is what the command line, the notebooks and the folds call. The engine is imported when a
run starts, not with this module.
"""

import copy
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.files import atomic_write, locked, read_json_object
from fedet.model import FEDN, FEDNConfig, load_weights
from fedet.training.checkpoints import (
    Tensors,
    fingerprint,
    read_checkpoint,
    remove_checkpoint,
    weights_fingerprint,
    write_checkpoint,
)
from fedet.training.config import TrainConfig
from fedet.training.model_selection import hold_out
from fedet.training.sampling import feature_scale
from fedet.training.trainer import Run, torch_seed
from fedet.windows import VideoFeatures

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained detector and how it came about."""

    model: FEDN  # evaluation mode, on the CPU; its config holds the chosen `default_threshold`
    history: pd.DataFrame  # a row an epoch: losses, learning rate, validation metrics (NaN: none)
    best_epoch: int  # the epoch whose weights these are
    finished: bool  # False: stopped by max_steps; the same call with the same `out` resumes


def train(
    records: Sequence[VideoFeatures],
    config: FEDNConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    validation: Sequence[VideoFeatures] | float | None = None,
    out: str | Path | None = None,
    init: str | Path | FEDN | None = None,
    progress: bool = True,
    accelerator: str = "auto",
    devices: int | str = 1,
    strategy: str = "auto",
    max_steps: int | None = None,
    on_epoch: Callable[[int, FEDN], None] | None = None,
) -> TrainResult:
    """Trains a detector; with validation, epoch and score threshold are chosen on its subjects.

    Args:
        records: training videos, all at `config.fps`.
        config: of the detector; None: that of `init`, else the defaults.
        validation: records of OTHER subjects, or the share of subjects to hold out, or None: all
            epochs are run, the last weights are taken, and the config's threshold stays.
        out: folder of the model: `config.json`, `model.safetensors`, `history.csv`,
            `training.json` (settings). While the run lasts it holds `checkpoint/`, and the same
            call resumes after its last whole epoch, to the same result (bit by bit on a CPU with
            as many threads). A finished run is read, not run again.
        init: a model, or a model folder, whose weights to start from.
        accelerator, devices, strategy: of Lightning Fabric, e.g. devices=2, strategy="ddp_spawn".
        max_steps: stop there as if killed, with the checkpoints of the epochs so far.
        on_epoch: called on the main process with (epochs done, the averaged model) after each; for
            looking only, it must not change the model. Not called for epochs of an earlier run.
    Raises:
        InputError: settings, records or the folder do not fit; a subject is in both parts.
    """
    train_config = train_config or TrainConfig()
    records, validation = split(records, validation, train_config.seed)
    model = _initial_model(config, train_config, init, records)
    check_validation(records, validation, model.config)
    settings = training_settings(model, train_config, records, validation, init)
    out = None if out is None else Path(out)
    spec = RunSpec(
        Run, model, records, validation, train_config, out, settings, progress, max_steps, on_epoch
    )
    with locked(out):
        if out is not None and (finished := finished_run(out, settings)) is not None:
            return TrainResult(FEDN.from_pretrained(out), *finished, True)
        outcome = launch(spec, accelerator, devices, strategy)
        model.config = replace(model.config, default_threshold=outcome.threshold)
        if out is not None and outcome.finished and outcome.is_main:
            model.save_pretrained(out)
            write_finished(out, settings, outcome.history, outcome.best_epoch)
    return TrainResult(model.eval(), outcome.history, outcome.best_epoch, outcome.finished)


# --- what a run starts from


def split(
    records: Sequence[VideoFeatures], validation: Sequence[VideoFeatures] | float | None, seed: int
) -> tuple[list[VideoFeatures], list[VideoFeatures] | None]:
    """Training and validation records; a share holds that share of the subjects out."""
    if not records:
        raise InputError("no training videos; the dataset has none, or all of them were left out")
    if isinstance(validation, (int, float)):
        return hold_out(records, validation, seed)
    return list(records), None if validation is None else list(validation)


def _initial_model(
    config: FEDNConfig | None,
    train_config: TrainConfig,
    init: str | Path | FEDN | None,
    records: Sequence[VideoFeatures],
) -> FEDN:
    """Random weights with the scale of these features, or the weights of `init`."""
    if init is None:
        with torch_seed(train_config.seed, 0):
            model = FEDN(config or FEDNConfig(input_features=records[0].vectors.shape[1]))
        check_records(records, model.config)
        model.embedding.scale.copy_(torch.from_numpy(feature_scale(records)))
        return model
    start = init if isinstance(init, FEDN) else FEDN.from_pretrained(init)
    model = FEDN(config or start.config)
    load_weights(model, start.state_dict(), "init" if isinstance(init, FEDN) else str(init))
    check_records(records, model.config)
    return model


def check_records(records: Sequence[VideoFeatures], config: FEDNConfig) -> None:
    """Raises InputError for vectors that a detector with this config does not read."""
    for record in records:
        name, features = f"{record.subject}/{record.video}", record.vectors.shape[1]
        if features != config.input_features:
            raise InputError(
                f"{name}: vectors of {features} features, the detector reads {config.input_features}; "
                "extract them with its face weights and signals"
            )
        if not math.isclose(record.fps, config.fps, rel_tol=1e-3):
            raise InputError(
                f"{name}: {record.fps} frames a second, the detector reads {config.fps}; resample"
            )


def check_validation(
    records: Sequence[VideoFeatures], validation: Sequence[VideoFeatures] | None, config: FEDNConfig
) -> None:
    """Raises InputError for validation records on which nothing can be chosen."""
    if validation is None:
        return
    check_records(validation, config)
    if not validation:
        raise InputError("validation is an empty list; give records, or None for no validation")
    if both := {r.subject for r in records} & {r.subject for r in validation}:
        raise InputError(
            f"subject {min(both)!r} is in training and in validation; no subject may be in two parts"
        )
    if not any(len(record.events) for record in validation):
        raise InputError("the validation videos have no event; nothing can be chosen on them")


def training_settings(
    model: torch.nn.Module,
    train_config: TrainConfig,
    records: Sequence[VideoFeatures],
    validation: Sequence[VideoFeatures] | None,
    init: object,
) -> dict[str, Any]:
    """All that makes a run what it is, as JSON gives it back."""
    settings = {
        "config": asdict(model.config),
        "training": asdict(train_config),
        "records": fingerprint(records),
        "validation": None if validation is None else fingerprint(validation),
        "init": None if init is None else weights_fingerprint(model),
    }
    return json.loads(json.dumps(settings))


# --- on one device or several


@dataclass(frozen=True, eq=False)
class RunSpec:
    """A run that is ready to start, on however many devices."""

    make_run: Callable[..., Run]  # called with (fabric, model, records, validation, config)
    model: torch.nn.Module
    records: Sequence[VideoFeatures]
    validation: Sequence[VideoFeatures] | None
    config: TrainConfig
    out: Path | None = None  # for `checkpoint/` and `history.csv`
    settings: dict[str, Any] | None = None  # as noted in the checkpoint
    progress: bool = False
    max_steps: int | None = None
    on_epoch: Callable[[int, Any], None] | None = None


class Outcome(NamedTuple):
    """How a run ended."""

    history: pd.DataFrame
    best_epoch: int
    threshold: float
    finished: bool  # False: stopped by max_steps
    is_main: bool  # this process writes the files


def launch(
    spec: RunSpec, accelerator: str = "auto", devices: int | str = 1, strategy: str = "auto"
) -> Outcome:
    """Trains on all devices; `spec.model` is given the weights of the best epoch."""
    from lightning.fabric import Fabric  # takes seconds to import

    fabric = Fabric(
        accelerator=accelerator, devices=devices, strategy=strategy, precision=spec.config.precision
    )
    with TemporaryDirectory() as folder:
        # A partial, because Fabric looks into arguments and does not accept frozen dataclasses there.
        result = fabric.launch(partial(_train, spec=spec, launcher=os.getpid(), folder=Path(folder)))
        if result is None:  # trained in processes that Fabric spawned
            scalars, tensors = read_checkpoint(Path(folder) / "result")
            result = scalars, tensors["best"]
    scalars, best = result
    load_weights(spec.model.cpu(), best, "the trained weights")
    history, is_main = pd.DataFrame(scalars["history"]), fabric.is_global_zero
    return Outcome(history, scalars["best_epoch"], scalars["threshold"], scalars["finished"], is_main)


def _train(
    fabric: "Fabric", spec: RunSpec, launcher: int, folder: Path
) -> tuple[dict[str, Any], Tensors] | None:
    """What each process does: scalars and best weights, which a spawned process writes to `folder`."""
    # A copy, because spawned processes share the memory of their arguments: all would step on one model.
    run = spec.make_run(fabric, copy.deepcopy(spec.model), spec.records, spec.validation, spec.config)
    if spec.out is not None and (saved := read_checkpoint(spec.out / "checkpoint")) is not None:
        _check_same_run(saved[0]["settings"], spec.settings, spec.out / "checkpoint")
        run.restore(*saved, str(spec.out / "checkpoint"))
    finished = _run_epochs(run, spec)
    scalars = run.scalars() | {"finished": finished}
    if os.getpid() == launcher:
        return scalars, run.best
    # Fabric reads what a spawned process returns after its end, which waits until that has been read.
    if fabric.global_rank == 0:
        write_checkpoint(folder / "result", scalars, best=run.best)
    return None


def _run_epochs(run: Run, spec: RunSpec) -> bool:
    """Trains to the end, with a checkpoint after each epoch; False: stopped by max_steps."""
    is_main, total = run.fabric.global_rank == 0, run.batches * spec.config.epochs
    hidden = not (spec.progress and is_main)
    with tqdm(total=total, initial=run.step, unit="step", disable=hidden) as bar:
        while not run.done:
            if not run.train_epoch(bar, spec.max_steps):
                return False
            if is_main and spec.on_epoch is not None:
                spec.on_epoch(run.epoch, run.average)
            if is_main and spec.out is not None:
                run.save(spec.out / "checkpoint", spec.settings)
                _write_history(spec.out, pd.DataFrame(run.history))
            run.fabric.barrier()
    return True


# --- a folder of a run


def _write_history(out: Path, history: pd.DataFrame) -> None:
    with atomic_write(out / "history.csv") as part:
        history.to_csv(part, index=False)


def write_finished(out: Path, settings: dict[str, Any], history: pd.DataFrame, best_epoch: int) -> None:
    """Marks the run in a folder, whose model is written, as finished."""
    _write_history(out, history)
    with atomic_write(out / "training.json") as part:
        part.write_text(json.dumps({"settings": settings, "best_epoch": best_epoch}, indent=1) + "\n")
    remove_checkpoint(out / "checkpoint")


def finished_run(out: Path, settings: dict[str, Any]) -> tuple[pd.DataFrame, int] | None:
    """History and best epoch of this very run if it was finished in the folder; else None."""
    path = out / "training.json"
    if not path.is_file():
        return None
    values = read_json_object(path, "settings", "best_epoch")
    _check_same_run(values["settings"], settings, out)
    return read_history(out / "history.csv"), values["best_epoch"]


def _check_same_run(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Raises InputError naming what differs between the run in a folder and the requested one.

    Settings that are younger than the run had their default then.
    """
    changes = []
    defaults = {"config": asdict(FEDNConfig()), "training": asdict(TrainConfig())}
    old = old | {name: defaults[name] | values for name, values in old.items() if name in defaults}
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
            changes += [f"{key} {was.get(key)!r}, now {now.get(key)!r}" for key in keys]
        elif was != now:
            changes.append(f"other {name}")
    if changes:
        raise InputError(
            f"{folder}: holds a run with other settings ({'; '.join(changes[:4])}); name another folder "
            "or delete this one"
        )


def read_history(path: Path) -> pd.DataFrame:
    """A table of numbers as it was written, to the last bit.

    By way of text: pandas 2 rounds by default, and pandas 3 warns of the argument that prevents it.
    """
    table, text = pd.read_csv(path), pd.read_csv(path, dtype=str)
    floats = table.select_dtypes("float64").columns
    return table.assign(**text[floats].astype(float))

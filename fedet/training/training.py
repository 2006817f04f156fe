"""Training FEDN on the features of whole videos, through Lightning Fabric.

`train` is what the command line, the notebooks and the folds call. The engine is imported when a
run starts, not with this module.
"""

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.files import read_json_object
from fedet.model import FEDN, FEDNConfig, load_weights
from fedet.training.checkpoints import (
    fingerprint,
    read_checkpoint,
    remove_checkpoint,
    weights_fingerprint,
    write_checkpoint,
)
from fedet.training.model_selection import hold_out
from fedet.training.sampling import feature_scale
from fedet.training.trainer import SCALARS, Run, TrainConfig, seeded
from fedet.windows import VideoFeatures


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained detector and how it came about."""

    model: FEDN  # evaluation mode, on the CPU; its config holds the chosen `default_threshold`
    history: pd.DataFrame  # a row an epoch: losses, learning rate, validation figures (NaN: none)
    best_epoch: int  # the epoch whose weights these are
    finished: bool  # False: stopped by max_steps; the same call with the same `out` goes on


def _work(
    fabric, make_run, model, records, validation, config, out, settings, progress, max_steps, answer, on_epoch
):
    """What each process does; it writes its result below the folder `answer`."""
    # A copy, because spawned processes get their arguments in memory that they share: each would
    # step on the weights of all.
    run = make_run(fabric, copy.deepcopy(model), records, validation, config)
    folder = None if out is None else out / "checkpoint"
    saved = None if folder is None else read_checkpoint(folder)
    if saved is not None:
        _same_run(saved[0]["settings"], settings, folder)
        run.restore(*saved, str(folder))
    silent = not progress or fabric.global_rank > 0
    total = run.batches * config.epochs
    finished = True
    with tqdm(total=total, initial=run.step, unit="step", disable=silent) as bar:
        while finished and not run.done:
            finished = run.train_epoch(bar, max_steps)
            if on_epoch is not None and finished and fabric.global_rank == 0:
                on_epoch(run.epoch, run.average)
            if out is not None and finished and fabric.global_rank == 0:
                run.save(folder, settings)
                pd.DataFrame(run.history).to_csv(out / "history.csv", index=False)
            fabric.barrier()
    # Through a file: Fabric reads what a spawned process returns only after it has ended, and it
    # cannot end before more than a pipe holds has been read.
    values = {name: getattr(run, name) for name in SCALARS} | {"finished": finished}
    best = {name: value.cpu() for name, value in run.best.items()}
    write_checkpoint(answer / str(fabric.global_rank), values, best=best)


def _same_run(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Raises InputError naming what differs between the run in a folder and the one asked for."""
    changed = []
    for part in sorted(old.keys() | new.keys()):
        was, now = old.get(part), new.get(part)
        if isinstance(was, dict) and isinstance(now, dict):
            keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
            changed += [f"{key} {was.get(key)!r}, now {now.get(key)!r}" for key in keys]
        elif was != now:
            changed.append(f"other {part}")
    if changed:
        text = f"{folder}: holds a run with other settings ({'; '.join(changed[:4])})"
        raise InputError(f"{text}; name another folder or delete this one")


def _initial(config: FEDNConfig | None, train_config: TrainConfig, init, records) -> FEDN:
    """The model at the start: random with the scale of these features, or the weights of `init`."""
    if init is None:
        with seeded(train_config.seed, 0):
            model = FEDN(config or FEDNConfig(input_features=records[0].vectors.shape[1]))
        check_records(records, model.config)
        model.embedding.scale.copy_(torch.from_numpy(feature_scale(records)))
        return model
    start = init if isinstance(init, FEDN) else FEDN.from_pretrained(init)
    model = FEDN(config or start.config)
    source = "init" if isinstance(init, FEDN) else str(init)
    load_weights(model, start.state_dict(), source)
    check_records(records, model.config)
    return model


def check_records(records: Sequence[VideoFeatures], config: FEDNConfig) -> None:
    for record in records:
        if record.vectors.shape[1] != config.input_features:
            text = f"{record.subject}/{record.video}: vectors of {record.vectors.shape[1]} features"
            raise InputError(f"{text}, the detector reads {config.input_features}")
        if not math.isclose(record.fps, config.fps, rel_tol=1e-3):
            text = f"{record.subject}/{record.video}: {record.fps} frames a second"
            raise InputError(f"{text}, the detector reads {config.fps}; resample")


def check_validation(records, validation, config: FEDNConfig) -> None:
    check_records(validation, config)
    if not validation:
        raise InputError("validation is an empty list; give records, or None for no validation")
    if both := {r.subject for r in records} & {r.subject for r in validation}:
        text = f"subject {sorted(both)[0]!r} is in training and in validation"
        raise InputError(f"{text}; no subject may be in two parts")
    if not any(len(record.events) for record in validation):
        raise InputError("the validation videos have no event; nothing can be chosen on them")


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
            epochs are run, the last weights kept, and the config's threshold stays.
        out: folder of the model: `config.json`, `model.safetensors`, `history.csv`,
            `training.json` (settings). While the run lasts it holds `checkpoint/`, and the same
            call goes on from its last whole epoch, to the same result (bit by bit on a CPU with
            as many threads). A finished run is read, not run again.
        init: a model, or a model folder, whose weights to start from.
        accelerator, devices, strategy: of Lightning Fabric, e.g. devices=2, strategy="ddp_spawn".
        max_steps: stop there as if killed, keeping the checkpoints made so far.
        on_epoch: called on the main process with (epochs done, the averaged model) after each; for
            looking only, it must not change the model. Not called for epochs of an earlier run.
    Raises:
        InputError: settings, records or the folder do not fit; a subject is in both parts.
    """
    train_config = train_config or TrainConfig()
    records = list(records)
    if not records:
        raise InputError("no training videos")
    if isinstance(validation, (int, float)):
        records, validation = hold_out(records, validation, train_config.seed)
    model = _initial(config, train_config, init, records)
    if validation is not None:
        check_validation(records, validation, model.config)
    out = None if out is None else Path(out)
    settings = training_settings(model, train_config, records, validation, init)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        if (finished := finished_run(out, settings)) is not None:
            return TrainResult(FEDN.from_pretrained(out), *finished, True)
    values, main = launch(
        Run, model, records, validation, train_config, out, settings,
        progress=progress, max_steps=max_steps, on_epoch=on_epoch,
        accelerator=accelerator, devices=devices, strategy=strategy,
    )  # fmt: skip
    model.config = replace(model.config, default_threshold=values["threshold"])
    history = pd.DataFrame(values["history"])
    if out is not None and values["finished"] and main:
        model.save_pretrained(out)
        write_finished(out, settings, history, values["best_epoch"])
    return TrainResult(model.eval(), history, values["best_epoch"], values["finished"])


def launch(
    make_run, model, records, validation, config, out, settings, *, accelerator, devices, strategy, **options
) -> tuple[dict[str, Any], bool]:
    """Runs `make_run(fabric, model, records, validation, config)` on all devices to its end.

    The model is given the weights that were kept.

    Returns: `loop.SCALARS` and `finished`, and whether this is the main process.
    """
    from lightning.fabric import Fabric  # takes seconds to import

    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        precision=config.precision,
    )
    # A partial, because Fabric looks into arguments and does not take frozen dataclasses there.
    work = partial(_work, make_run=make_run, model=model, records=records, validation=validation, out=out)
    work = partial(work, config=config, settings=settings, **options)
    with TemporaryDirectory() as answer:
        fabric.launch(partial(work, answer=Path(answer)))
        values, tensors = read_checkpoint(Path(answer) / str(fabric.global_rank))
    load_weights(model.cpu(), tensors["best"], "the trained weights")
    return values, fabric.is_global_zero


def training_settings(model, train_config, records, validation, init) -> dict[str, Any]:
    """All that makes a run what it is, as JSON gives it back."""
    settings = {
        "config": asdict(model.config),
        "training": asdict(train_config),
        "records": fingerprint(records),
        "validation": None if validation is None else fingerprint(validation),
        "init": None if init is None else weights_fingerprint(model),
    }
    return json.loads(json.dumps(settings))


def write_finished(out: Path, settings: dict[str, Any], history: pd.DataFrame, best_epoch: int) -> None:
    """Notes that the run in a folder, whose model is there, is over."""
    history.to_csv(out / "history.csv", index=False)
    values = {"settings": settings, "best_epoch": best_epoch}
    (out / "training.json").write_text(json.dumps(values, indent=1) + "\n")
    remove_checkpoint(out / "checkpoint")


def finished_run(out: Path, settings: dict[str, Any]) -> tuple[pd.DataFrame, int] | None:
    """History and best epoch of a folder in which this very run was finished; None if none was."""
    path = out / "training.json"
    if not path.is_file():
        return None
    values = read_json_object(path, "settings", "best_epoch")
    _same_run(values["settings"], settings, out)
    return read_history(out / "history.csv"), values["best_epoch"]


def read_history(path: Path) -> pd.DataFrame:
    """A table of numbers as it was written, to the last bit.

    By way of text: pandas 2 rounds by default, and pandas 3 warns of the argument that prevents it.
    """
    table, text = pd.read_csv(path), pd.read_csv(path, dtype=str)
    floats = table.select_dtypes("float64").columns
    return table.assign(**text[floats].astype(float))

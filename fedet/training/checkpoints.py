"""Checkpoints of a training run without pickle: tensors as safetensors, the rest as JSON.

A checkpoint is a folder; a new one replaces the old one only when it is complete, so that a run
killed at any moment leaves one that can be read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fedet.errors import InputError
from fedet.windows import VideoFeatures

Tensors = dict[str, torch.Tensor]


def fingerprint(records: Sequence[VideoFeatures]) -> str:
    """Hex digest of the records: a resumed run must read what the killed one read."""
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        digest.update(f"{record.subject}\0{record.video}\0{record.fps}\0".encode())
        digest.update(record.vectors.tobytes())
        digest.update(record.mask.tobytes())
        events = record.events[["onset", "offset", "emotion"]].astype("string").fillna("")
        digest.update(pd.util.hash_pandas_object(events, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def weights_fingerprint(model: torch.nn.Module) -> str:
    """Hex digest of a model's weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.numpy(force=True).tobytes())
    return digest.hexdigest()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state as flat named tensors: `<parameter number>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach().cpu().contiguous().clone()
        for number, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Puts `optimizer_tensors` back; the settings of the groups stay those of the optimizer."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def write_checkpoint(folder: Path, values: dict[str, Any], **tensors: Tensors) -> None:
    """Writes `state.json` and one `<name>.safetensors` for each dict of tensors; replaces the old.

    Args:
        folder: of the checkpoint. values: anything JSON can hold (NaN as it is in Python's JSON).
    """
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        for name, state in tensors.items():
            save_file({k: v.cpu().contiguous() for k, v in state.items()}, new / f"{name}.safetensors")
        (new / "state.json").write_text(json.dumps(values, indent=1) + "\n")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise InputError(
            f"{folder}: cannot be written ({error}); free some space; the same call then resumes"
        ) from error
    # A folder cannot replace a full one in one step; `read_checkpoint` reads the old one in between.
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensors]] | None:
    """What `write_checkpoint` wrote last: values and tensors by name; None if there is nothing.

    Raises InputError if a file of it cannot be read.
    """
    old = folder.with_name(folder.name + ".old")
    path = folder if folder.exists() else old
    if not path.exists():
        return None
    try:
        values = json.loads((path / "state.json").read_text())
        tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable checkpoint ({error}); delete it") from error
    return values, tensors


def remove_checkpoint(folder: Path) -> None:
    """Deletes it; nothing happens if there is none."""
    for path in (folder, folder.with_name(folder.name + ".old")):
        shutil.rmtree(path, ignore_errors=True)

"""A detector's folder from somebody else: every value is checked, and none makes fedet use the network."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fedet.detection import load_detector
from fedet.errors import InputError
from fedet.faces.network import load_facenet, shipped
from fedet.faces.vectors import FaceTrack, load_track, save_cached
from fedet.model import FEDNConfig


@pytest.fixture
def given(tmp_path) -> Path:
    folder = tmp_path / "given"
    shutil.copytree(shipped("detector"), folder)
    return folder


def change(path: Path, name: str, tensor) -> None:
    tensors = load_file(path)
    save_file(tensors | {name: tensor(tensors[name])}, path)


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    spoilt = tensor.clone()
    spoilt.view(-1)[-1] = float("nan")
    return spoilt


@pytest.mark.parametrize("name", ["embedding.scale", "embedding.project.weight"])
@pytest.mark.parametrize(
    "tensor, words",
    [(with_nan, "not finite"), (lambda t: t.int(), "type torch.int32"), (lambda t: t[:1], "shape")],
)
def test_a_spoilt_tensor_of_a_detector_is_named(given, name, tensor, words):
    change(given / "model.safetensors", name, tensor)
    with pytest.raises(InputError, match=f"model.safetensors .*{name} has .*{words}"):
        load_detector(given)


@pytest.mark.parametrize("name", ["bn1.running_var", "layer4.1.conv2.weight", "heads.aus.weight"])
@pytest.mark.parametrize("tensor, words", [(with_nan, "not finite"), (lambda t: t[:1], "shape")])
def test_a_spoilt_tensor_of_face_weights_is_named(tmp_path, name, tensor, words):
    shutil.copytree(shipped("faces"), tmp_path / "faces")
    change(tmp_path / "faces" / "model.safetensors", name, tensor)
    with pytest.raises(InputError, match=f"faces.* {name.removeprefix('heads.')} has .*{words}"):
        load_facenet(tmp_path / "faces")


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 400_000_000, "attention_heads": 4},
        {"window": 10**12},
        {"scales": [1, 10**30]},
        {"pyramid_levels": 1_000_000},
        {"head_layers": 10**9},
        {"motion": 10**12},
        {"fps": 1e300},
        {"nms_sigma": 1e-300},
    ],
)
def test_a_config_without_measure_is_refused_with_its_bounds(given, changes):
    values = json.loads((given / "config.json").read_text()) | changes
    (given / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=rf"config.json: {next(iter(changes))} is .*must be .*\d"):
        load_detector(given)


def test_the_largest_numbers_that_are_allowed_are_a_config():
    FEDNConfig(input_features=16384, channels=2048, attention_heads=256, window=16384, window_stride=8192)


def test_no_file_makes_a_detector_use_the_network(given, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (given / "inputs.json").write_text(json.dumps({"weights": "imagenet"}))
    with pytest.raises(InputError, match="'imagenet': no .*downloads nothing"):
        load_detector(given)


@pytest.mark.parametrize("name", ["vectors", "rest", "state", "track"])
def test_cached_vectors_that_are_not_finite_or_do_not_fit_are_refused(tmp_path, name):
    n, path = 5000, tmp_path / "v.f16"
    vectors = np.zeros((n, 512), np.float16)
    arrays = {
        "state": np.zeros(n, np.uint8), "track": np.zeros(n, np.int32), "rest": np.zeros(n, np.float32),
        "stored": np.zeros((0, 512), np.float16), "stored_at": np.zeros(0, np.int32),
    }  # fmt: skip
    notes = {"fps": 30.0, "problems": [], "weights": "faces"}

    def write() -> None:
        vectors.tofile(path)
        save_cached(path, arrays, notes)

    write()
    assert isinstance(load_track(path), FaceTrack)
    if name == "vectors":
        vectors[4500, 3] = np.nan
    elif name == "rest":
        arrays["rest"][-1] = np.inf
    elif name == "state":
        arrays["state"][7] = 9
    else:
        arrays["track"] = np.zeros(n - 1, np.int32)
    write()
    with pytest.raises(InputError, match="v.f16 .*damaged"):
        load_track(path)

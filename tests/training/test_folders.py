"""Folders of training runs: full disks, two processes, kills at any moment, and what is checked before."""

import errno
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ramp_videos import CONFIG, people
from safetensors import SafetensorError

from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.files import locked
from fedet.training import checkpoints
from fedet.training.config import TrainConfig
from fedet.training.pretraining import PretrainConfig, check_device
from fedet.training.records import check_source_files, check_trainable
from fedet.training.training import train

QUICK = TrainConfig(epochs=3, batch_size=4, least_steps=1, seed=5)
CPU = {"accelerator": "cpu", "progress": False}
FEW = people(0, 3, n_frames=300)
FILES = ["config.json", "history.csv", "model.safetensors", "training.json"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_names_the_folder_and_the_run_goes_on_later(tmp_path, monkeypatch, error):
    whole = train(FEW, CONFIG, QUICK, out=tmp_path / "whole", **CPU)
    train(FEW, CONFIG, QUICK, out=tmp_path / "a", max_steps=len(whole.history) + 5, **CPU)

    def full(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", full)
        with pytest.raises(InputError, match=r"a/checkpoint: cannot be written .*No space left"):
            train(FEW, CONFIG, QUICK, out=tmp_path / "a", **CPU)
    train(FEW, CONFIG, QUICK, out=tmp_path / "a", **CPU)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_in_which_another_process_writes_is_refused(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another process writes there"):
        train(FEW, CONFIG, QUICK, out=tmp_path, **CPU)
    train(FEW, CONFIG, replace(QUICK, epochs=1), out=tmp_path, **CPU)
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


RUN = """
import sys
sys.path.insert(0, {tests!r})
from ramp_videos import CONFIG, people
from fedet.training.config import TrainConfig
from fedet.training.training import train
config = TrainConfig(epochs=3, batch_size=4, least_steps=1, seed=5)
train(people(0, 3, n_frames=300), CONFIG, config, out={out!r}, accelerator="cpu", progress=False,
      on_epoch=lambda epoch, model: print(epoch, flush=True))
"""


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(tmp_path):
    train(FEW, CONFIG, QUICK, out=tmp_path / "whole", **CPU)
    code = RUN.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "a"))
    for delay in (0.0, 0.003, 0.01, 0.03):  # seconds after an epoch, while its checkpoint is written
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    train(FEW, CONFIG, QUICK, out=tmp_path / "a", **CPU)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


# --- before anything is read


def test_missing_files_of_a_signal_are_named_before_a_video_is_read(small_set, tmp_path):
    dataset = read_dataset(small_set)
    stems = [Path(path).stem for path in dataset.videos["path"]]
    for stem in stems[:-1]:
        (tmp_path / f"{stem}.csv").touch()
    with pytest.raises(InputError, match=rf"{stems[-1]}.csv: no such file \(1 of {len(stems)} missing\)"):
        check_source_files(dataset, ("openface",), {"openface": tmp_path})
    (tmp_path / f"{stems[-1]}.csv").touch()
    check_source_files(dataset, ("openface",), {"openface": tmp_path})


def test_a_set_without_videos_or_events_is_refused(small_set):
    dataset = read_dataset(small_set)
    check_trainable([dataset])
    with pytest.raises(InputError, match="no video"):
        check_trainable([replace(dataset, videos=dataset.videos.iloc[:0])])
    with pytest.raises(InputError, match="no annotated event"):
        check_trainable([replace(dataset, annotations=dataset.annotations.iloc[:0])])


def test_settings_of_pretraining_are_checked():
    for changes in ({"batch": 0}, {"people": -1}, {"lr": float("nan")}, {"sizes": (96, 4096)}, {"seed": -1}):
        with pytest.raises(InputError, match=f"{next(iter(changes))} is .*must be between"):
            PretrainConfig(**changes)
    check_device("cpu")
    with pytest.raises(InputError, match="device 'foo' cannot be used .*'cpu' always can"):
        check_device("foo")

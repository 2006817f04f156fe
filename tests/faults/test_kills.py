"""Runs that are killed at random moments: what follows is the same as if nothing had happened.

Journals of reviews are killed in `tests/review`, workers of `synth` in `tests/synthetic`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedet.synthetic.generator import SynthConfig, synthesize

ROOT = Path(__file__).parents[2]
RUNS = {  # the command, and the files that it leaves
    "synth": ("synth {out} --subjects 2 --seconds 2 --size 48 --seed 5 --jobs 1", "videos/*.mp4 *.csv"),
    "detect": ("detect {three}/videos --out {out} --cache {out}/kept", "*.csv kept/*.f16"),
    "train": ("train {three} --out {out} --cache {vectors} --epochs 3 --seed 2", "model.safetensors *.json"),
    "crossval": ("crossval {three} --out {out} --cache {vectors} --seeds 1 --method flow", "*/*.csv"),
}


@pytest.fixture(scope="module")
def three(once) -> Path:
    config = SynthConfig(subjects=3, seconds=4, seed=3, size=112, events_per_minute=30, silent_share=0)
    return once("three_people", lambda folder: synthesize(folder, config, jobs=1, progress=False))


def start(words: str, log: Path) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fedet", *words.split()]
    with log.open("w") as file:
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=file, stderr=file)


def contents(folder: Path, patterns: str) -> dict[str, bytes]:
    files = (path for pattern in patterns.split() for path in sorted(folder.glob(pattern)))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_after_kills_at_random_moments_a_rerun_gives_the_same(name, three, tmp_path):
    words, patterns = RUNS[name]
    places, log = {"three": three, "vectors": tmp_path / "vectors"}, tmp_path / "log.txt"
    begun = time.monotonic()
    assert start(words.format(out=tmp_path / "whole", **places), log).wait() == 0, log.read_text()
    lasts_s, drawn = time.monotonic() - begun, random.Random(name)
    call = words.format(out=tmp_path / "killed", **places)
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        run = start(call, log)
        time.sleep(drawn.uniform(0.2, 1.0) * lasts_s)
        run.send_signal(how)
        assert run.wait() in (0, -how, 128 + how), log.read_text()
    assert start(call, log).wait() == 0, log.read_text()
    expected = contents(tmp_path / "whole", patterns)
    assert expected and contents(tmp_path / "killed", patterns) == expected
    assert not list((tmp_path / "killed").rglob(".*.part*"))

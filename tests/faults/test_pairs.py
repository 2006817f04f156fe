"""Two processes at once on one folder of results: nothing of either is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedet.synthetic.generator import SynthConfig, synthesize

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def three(once) -> Path:
    config = SynthConfig(subjects=3, seconds=4, seed=3, size=112, events_per_minute=30, silent_share=0)
    return once("three_people", lambda folder: synthesize(folder, config, jobs=1, progress=False))


def run_all(commands: list[list[str]], folder: Path) -> list[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    runs = []
    for number, words in enumerate(commands):
        with (folder / f"{number}.log").open("w") as log:
            runs.append(
                subprocess.Popen([sys.executable, "-m", "fedet", *words], env=env, stdout=log, stderr=log)
            )
    codes = [run.wait() for run in runs]
    said = [(folder / f"{number}.log").read_text() for number in range(len(runs))]
    assert codes == [0] * len(runs), said
    return said


@pytest.mark.slow
def test_two_runs_of_detect_into_one_folder_keep_the_rows_of_both(three, tmp_path):
    videos = sorted((three / "videos").glob("*.mp4"))
    common = ["--out", str(tmp_path / "both"), "--cache", str(tmp_path / "cache")]
    halves = [["detect", *map(str, part), *common] for part in (videos[:2], videos[1:])]
    run_all(halves, tmp_path)
    run_all([["detect", *map(str, videos), "--out", str(tmp_path / "alone")]], tmp_path)
    for name in ("detections.csv", "missing_faces.csv"):
        both, alone = (pd.read_csv(tmp_path / folder / name) for folder in ("both", "alone"))
        assert sorted(map(str, both.values.tolist())) == sorted(map(str, alone.values.tolist()))
    assert not list(tmp_path.rglob(".*.part*"))

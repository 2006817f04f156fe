"""Commands whose target is on a full disk: one line that names the place, and what was there stays as it was.

The disk is a small tmpfs; where it cannot be mounted, the tests are left out.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedet.synthetic.generator import SynthConfig, synthesize

ROOT = Path(__file__).parents[2]
TABLE = "subject,video,fps,onset,offset,emotion\n" + "".join(
    f"s{i},v{i},25,{10 * i},{10 * i + 5},positive\n" for i in range(2000)
)
COMMANDS = {
    "convert": "convert {labels} {disk}/out.json",
    "convert to ELAN": "convert {labels} {disk}/{{video}}.eaf",
    "synth": "synth {disk}/set --subjects 1 --seconds 2 --size 48 --jobs 1",
    "detect": "detect {three}/videos --out {disk}/found --cache {vectors}",
    "detect, cache": "detect {three}/videos --out {out}/found --cache {disk}/vectors",
    "train": "train {three} --out {disk}/trained --cache {vectors} --epochs 1",
    "crossval": "crossval {three} --out {disk}/cv --cache {vectors} --seeds 1 --method flow",
    "report": "report --out {disk}/report --only 00",
}


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 40 kB with one file and no room."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted")
    try:
        (place / "kept.csv").write_text("of somebody else\n")
        with (place / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(scope="module")
def three(once) -> Path:
    config = SynthConfig(subjects=3, seconds=4, seed=3, size=112, events_per_minute=30, silent_share=0)
    return once("three_people", lambda folder: synthesize(folder, config, jobs=1, progress=False))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_and_nothing_there_is_lost(name, disk, three, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(TABLE)
    places = {
        "labels": labels,
        "disk": disk,
        "three": three,
        "out": tmp_path,
        "vectors": tmp_path / "vectors",
    }
    words = COMMANDS[name].format(**places).split()
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "fedet", *words],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 2, said
    assert "Traceback" not in said and str(disk) in said and "No space left" in said, said
    assert (disk / "kept.csv").read_text() == "of somebody else\n"
    assert not [path for path in disk.rglob(".*.part*") if path.stat().st_size]

"""The package as it is installed: a wheel in an empty environment, next to its requirements alone."""

import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: list[str], extra: str = "") -> set[str]:
    """The names of the distributions that requirements need, and those that these need.

    An extra of our own is looked up in pyproject.toml, because the installed metadata may be older.
    """
    found: set[str] = set()
    waiting = [(Requirement(line), extra) for line in requirements]
    while waiting:
        requirement, wanted = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
            continue
        name, extras = plain(requirement.name), sorted(requirement.extras) or [""]
        if name == "fedet":
            own = [line for e in extras for line in PROJECT["optional-dependencies"][e]]
            waiting += [(Requirement(line), "") for line in own]
        elif name not in found:
            found.add(name)
            lines = metadata.requires(name) or []
            waiting += [(Requirement(line), e) for line in lines for e in {"", *extras}]
    return found


def link(names: set[str], site: Path) -> None:
    """Links the files of installed distributions into an environment; nothing is fetched."""
    for name in names:
        distribution = metadata.distribution(name)
        here = Path(str(distribution.locate_file("")))
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "/")}:
            if not (site / top).exists():
                (site / top).symlink_to(here / top)


class Installed:
    """An environment that holds the wheel, the standard library, and what was linked."""

    def __init__(self, folder: Path) -> None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        (self.wheel,) = folder.glob("fedet-*.whl")
        self.bin = folder / "env" / "bin"
        venv.create(folder / "env", with_pip=True)
        (self.site,) = (folder / "env" / "lib").glob("python*/site-packages")
        pip = [self.bin / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", self.wheel]
        subprocess.run(list(map(str, pip)), check=True, capture_output=True)
        self.folder = folder / "work"
        self.folder.mkdir()

    def run(self, program: str, *words: object) -> subprocess.CompletedProcess:
        variables = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        command = [str(self.bin / program), *map(str, words)]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    pytest.importorskip("hatchling")
    environment = Installed(tmp_path_factory.mktemp("wheel"))
    link(needed(PROJECT["dependencies"]), environment.site)
    return environment


@pytest.mark.slow
def test_detect_runs_from_the_wheel_with_its_own_requirements_alone(installed, small_set):
    shown = installed.run("fedet", "--version")
    assert shown.returncode == 0 and shown.stdout.split()[1] == metadata.version("fedet"), shown.stderr
    video = small_set / "videos" / "s01_01.mp4"
    found = installed.run("fedet", "detect", video, "--out", "found", "--threshold", 0.05, "--thumbnails")
    assert found.returncode == 0, found.stderr
    table = (installed.folder / "found" / "detections.csv").read_text()
    assert "onset" in table.splitlines()[0]
    scored = installed.run("fedet", "evaluate", "found/detections.csv", small_set)
    assert scored.returncode == 0 and "F1" in scored.stdout, scored.stderr
    elan = installed.run("fedet", "convert", "found/detections.csv", "one.eaf", "--video", video)
    assert elan.returncode == 0 and (installed.folder / "one.eaf").is_file(), elan.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("report", "--out", "r"), "report"),
        (("train", "SET", "--out", "d", "--epochs", "1"), "train"),
        (("detect", "SET", "--scheduler", "tcp://127.0.0.1:1"), "cluster"),
    ],
)
def test_a_command_that_needs_more_says_what_to_install(installed, small_set, words, extra):
    refused = installed.run("fedet", *[small_set if word == "SET" else word for word in words])
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert f"pip install 'fedet[{extra}]'" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_the_explorer_and_a_report_come_with_the_extras(installed):
    code = "import fedet; fedet.Explorer"
    missing = installed.run("python", "-c", code)
    assert "pip install 'fedet[notebooks]'" in missing.stderr
    link(needed(["fedet[report]"]), installed.site)
    shown = installed.run("python", "-c", code)
    assert shown.returncode == 0, shown.stderr
    words = ("--only", "01", "-p", "n_resamples=20", "--out", "report")
    made = installed.run("fedet", "report", *words)
    assert made.returncode == 0, made.stdout + made.stderr
    assert (installed.folder / "report" / "report.html").stat().st_size > 100_000
    assert (installed.folder / "report" / "data").is_dir(), "what notebooks keep lies next to the report"
    assert not (installed.site / "fedet" / "data").exists()

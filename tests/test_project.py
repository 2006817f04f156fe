"""The project as it is installed: one set of requirements, a light import."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}

LEFT_OUT = ("docs", "test", "onnx")  # extras that only tools and the one command `export` import


def requirements() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in extras[extra] if extra not in LEFT_OUT),
    ]
    return dict(
        re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in lines if not line.startswith("fedet[")
    )


def test_environment_yml_names_the_same_requirements():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    named = [e for e in listed if isinstance(e, str)] + [e for e in by_pip if not e.startswith("-e")]
    pairs = dict(re.fullmatch(r"([\w.-]+)(.*)", entry).groups() for entry in named)
    python, pip = pairs.pop("python"), pairs.pop("pip")
    wanted = {CONDA_NAMES.get(name, name): limits for name, limits in requirements().items()}
    installed_by_pip = {"opencv-python-headless"}
    assert pairs == wanted and pip == ""
    assert {re.match(r"[\w.-]+", e).group() for e in by_pip if not e.startswith("-e")} == installed_by_pip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python == project["requires-python"]


def test_environment_yml_has_the_grammar_of_conda():
    rattler = pytest.importorskip("rattler")
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    for entry in listed:
        if isinstance(entry, str):
            rattler.MatchSpec(entry)


def test_the_lock_pins_every_requirement_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==", lock, re.M))
    assert "://" not in lock and "--hash" not in lock
    assert set(requirements()) <= pinned


MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn",
           "pympi-ling": "pympi"}  # fmt: skip
PROGRAMS = {"jupyterlab"}  # started by `make lab`


def test_every_requirement_is_imported_somewhere():
    paths = [*(ROOT / "fedet").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    lines = r'^\s*"?(?:from|import) (\w+)'
    imported = set(re.findall(lines, "\n".join(path.read_text() for path in paths), re.M))
    unused = {name for name in requirements() if MODULES.get(name, name) not in imported}
    assert unused <= PROGRAMS


def test_importing_the_package_is_light():
    code = "import fedet, sys; print([m for m in ('torch', 'cv2', 'pandas') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

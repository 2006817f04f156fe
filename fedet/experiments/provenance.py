"""Where a result comes from: version, commit, libraries, machine; without paths and host names."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

LIBRARIES = ("torch", "torchvision", "lightning", "numpy", "pandas", "matplotlib", "opencv-python-headless")


def provenance() -> dict:
    """Version and commit of the package, libraries, Python, system, processors, device, date."""
    import fedet

    return {
        "fedet": fedet.__version__,
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "device": device(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def commit(folder: Path = Path(__file__).parent) -> str:
    """The commit of the package's files, with "+ changes" if they differ; "unknown" outside git."""
    try:
        head = _git(folder, "rev-parse", "--short=10", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" + changes" if changed else "")


def _git(folder: Path, *words: str) -> str:
    process = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return process.stdout.strip()


def device() -> str:
    """The accelerator's name, or "cpu"."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

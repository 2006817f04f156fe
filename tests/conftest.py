"""What all tests share: how much hypothesis draws, and one small generated set with its vectors.

They are made once for all processes of a run, by whoever needs them first.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# A busy machine is no mistake: nothing that is drawn has to end in a given time. What is drawn is the same
# each time, so that a failure is of the change that one looks at; `make test-drawn` looks for new ones.
settings.register_profile("fast", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("drawn", deadline=None, max_examples=300)
settings.load_profile("fast")


def pytest_collection_modifyitems(config, items):
    """Where processes share the work, what takes longest is begun first: none is left alone at the end."""
    if hasattr(config, "workerinput"):
        items.sort(
            key=lambda item: (not item.get_closest_marker("slow"), "test_long_notebooks" not in item.nodeid)
        )


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: the folder that `make(folder)` filled, in this or another process of the run."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def detector():
    """The shipped detector. Not to be changed."""
    from fedet.detection import load_detector

    return load_detector()


@pytest.fixture(scope="session")
def small_set(once) -> Path:
    """A dataset of two generated people, s01 and s02, with a video of 6 s each. Not to be changed."""
    from fedet.synthetic.generator import SynthConfig, synthesize

    config = SynthConfig(subjects=2, seconds=6, seed=3, size=112, events_per_minute=25, silent_share=0)
    return once("small_set", lambda folder: synthesize(folder, config, jobs=1, progress=False))


@pytest.fixture(scope="session")
def small_vectors(once, small_set, detector) -> Path:
    """The frames' vectors of the small set, as the shipped detector reads them and as training does."""
    from fedet.faces.extraction import extract

    def make(folder: Path) -> None:
        for video in sorted((small_set / "videos").iterdir()):
            for adapt in {0.0, detector.inputs.adapt}:
                extract(video, detector.net, adapt=adapt, cache=folder)

    return once("small_vectors", make)

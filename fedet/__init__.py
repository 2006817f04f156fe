"""fedet: facial expressions in long videos, when each starts and ends and which emotion it is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedet.detection import detect, load_detector
    from fedet.evaluation.evaluation import evaluate
    from fedet.explorer.widget import Explorer

__version__ = "0.1.0"
__all__ = ["Explorer", "detect", "evaluate", "load_detector"]

_HOMES = {
    "Explorer": "fedet.explorer.widget",
    "detect": "fedet.detection",
    "evaluate": "fedet.evaluation.evaluation",
    "load_detector": "fedet.detection",
}


def __getattr__(name: str):
    """Imports a public name when it is first used: torch alone takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fedet' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

"""fedet: facial expressions in long videos, when each starts and ends and which emotion it is."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedet.errors import missing_library

if TYPE_CHECKING:
    from fedet.detection import detect, load_detector
    from fedet.evaluation.evaluation import evaluate
    from fedet.explorer.widget import Explorer

__version__ = "0.1.0"
__all__ = ["Explorer", "detect", "evaluate", "load_detector"]


def hand_on(package: str, homes: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that hands on names of its modules.

    A name is imported when it is first used: torch alone takes seconds.

    Args:
        package: the package's `__name__`.
        homes: name -> the module of the package that defines it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            if (hint := missing_library(error)) is None:
                raise
            raise ModuleNotFoundError(hint, name=error.name) from error

    return get, lambda: sorted({*homes, *vars(import_module(package))})


__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Explorer": "explorer.widget",
        "detect": "detection",
        "evaluate": "evaluation.evaluation",
        "load_detector": "detection",
    },
)

"""The families of generated faces: renderers that share no drawing code and no appearance parameters.

Training on some and testing on another measures transfer without a photograph of anybody: `shapes`
(soft shapes in the plane), `relief` (heads seen along rays) and `mesh` (polygons, as games draw people).
`splats` (clouds of points) is held out: no network of ours may learn from it, so that its people stay
the ones that none has seen.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from fedet.errors import InputError

MODULES = {
    "shapes": "fedet.synthetic.shapes",
    "relief": "fedet.synthetic.relief.render",
    "mesh": "fedet.synthetic.mesh.render",
    "splats": "fedet.synthetic.splats.render",
}
HELD_OUT = ("splats",)  # for tests alone: a figure on it means nothing once a network has learned from it
RENDERERS = tuple(MODULES)  # all that draw
FAMILIES = tuple(name for name in RENDERERS if name not in HELD_OUT)  # those that networks learn from


class Family(NamedTuple):
    """How one family draws people and pictures; see `fedet.synthetic.shapes` for the arguments."""

    sample_looks: Callable[[int, torch.Generator], dict[str, Tensor]]
    render: Callable[[dict[str, Tensor], Tensor, dict[str, Tensor], int], Tensor]


def family(name: str) -> Family:
    """The renderer called `name`. Raises InputError if there is none."""
    if name not in MODULES:
        raise InputError(f"renderer is {name!r}; choose one of {', '.join(RENDERERS)}")
    module = import_module(MODULES[name])
    return Family(module.sample_looks, module.render)


def check_teaches(names: tuple[str, ...]) -> None:
    """Raises InputError if a network would learn from a family that is there to test it."""
    if held := [name for name in names if name in HELD_OUT]:
        raise InputError(
            f"families has {held[0]!r}, which is kept for tests: no network may learn from it; "
            f"choose among {', '.join(FAMILIES)}"
        )

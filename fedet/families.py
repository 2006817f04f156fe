"""The families of generated faces: renderers that share no drawing code and no appearance parameters.

Training on some and testing on another measures transfer without a photograph of anybody: `shapes`
(soft shapes in the plane), `relief` (heads seen along rays) and `mesh` (polygons, as games draw people).
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from fedet.errors import InputError

MODULES = {"shapes": "fedet.render", "relief": "fedet.relief", "mesh": "fedet.mesh"}
FAMILIES = tuple(MODULES)


class Family(NamedTuple):
    """How one family draws people and pictures; see `fedet.render` for the arguments."""

    sample_looks: Callable[[int, torch.Generator], dict[str, Tensor]]
    render: Callable[[dict[str, Tensor], Tensor, dict[str, Tensor], int], Tensor]


def family(name: str) -> Family:
    """The renderer called `name`. Raises InputError if there is none."""
    if name not in MODULES:
        raise InputError(f"renderer is {name!r}; choose one of {', '.join(FAMILIES)}")
    module = import_module(MODULES[name])
    return Family(module.sample_looks, module.render)

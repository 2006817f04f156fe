"""Where on brows, lids and lips the points are that every family can give (`fedet.faces.points`)."""

import torch
from torch import Tensor

from fedet.faces.points import POINTS

SIDES = (("left", -1), ("right", 1))  # name, sign of x
BROW = (0.05, 0.275, 0.5, 0.725, 0.95)  # along a brow, 0 its inner end
LID = (-0.5, 0.0, 0.5)  # along an eye's opening, -1 its inner corner, 1 the outer one
LIP_OUTER = (-0.65, -0.28, 0.0, 0.28, 0.65)  # along the mouth, -1 and 1 its corners
LIP_INNER = (-0.45, 0.0, 0.45)


def stack_points(points: dict[str, Tensor]) -> Tensor:
    """Points {name: (B, D)} of all `POINTS` as (B, len(POINTS), D)."""
    return torch.stack([points[name] for name in POINTS], 1)


def numbered(name: str, points: Tensor) -> dict[str, Tensor]:
    """Points (B, N, D) as {"name_1": (B, D), ...}; a "*" in the name stands for the number."""
    name = name if "*" in name else f"{name}_*"
    return {name.replace("*", str(i + 1)): points[:, i] for i in range(points.shape[1])}

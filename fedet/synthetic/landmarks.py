"""Names of the points of a face that every family can give, and where on brows, lids and lips they are.

`left` and `right` are sides of the picture. Points of one side are numbered from the middle of the face
outwards, those of the lips from the picture's left to its right.
"""

import torch
from torch import Tensor

SIDES = (("left", -1), ("right", 1))  # name, sign of x
BROW = (0.05, 0.275, 0.5, 0.725, 0.95)  # along a brow, 0 its inner end
LID = (-0.5, 0.0, 0.5)  # along an eye's opening, -1 its inner corner, 1 the outer one
LIP_OUTER = (-0.65, -0.28, 0.0, 0.28, 0.65)  # along the mouth, -1 and 1 its corners
LIP_INNER = (-0.45, 0.0, 0.45)


def _of_one_side(side: str) -> list[str]:
    numbered = [f"{part}_{i + 1}" for part, n in (("brow", 5), ("upper_lid", 3), ("lower_lid", 3), ("jaw", 4))
                for i in range(n)]  # fmt: skip
    single = ["eye_inner", "eye_outer", "pupil", "nose_wing", "nostril", "mouth_corner"]
    return [f"{name}_{side}" for name in numbered + single]


POINTS = (
    *_of_one_side("left"), *_of_one_side("right"), *(f"nose_{i}" for i in range(1, 5)), "nose_base",
    *(f"upper_lip_{i}" for i in range(1, 6)), *(f"lower_lip_{i}" for i in range(1, 6)),
    *(f"upper_lip_inner_{i}" for i in range(1, 4)), *(f"lower_lip_inner_{i}" for i in range(1, 4)),
    "under_lip", "chin",
)  # fmt: skip
POINT_INDEX = {name: i for i, name in enumerate(POINTS)}


def stack_points(points: dict[str, Tensor]) -> Tensor:
    """Points {name: (B, D)} of all `POINTS` as (B, len(POINTS), D)."""
    return torch.stack([points[name] for name in POINTS], 1)


def numbered(name: str, points: Tensor) -> dict[str, Tensor]:
    """Points (B, N, D) as {"name_1": (B, D), ...}; a "*" in the name stands for the number."""
    name = name if "*" in name else f"{name}_*"
    return {name.replace("*", str(i + 1)): points[:, i] for i in range(points.shape[1])}

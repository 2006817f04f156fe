"""Distances of a face from its points: brows, lids, nose, lips and chin, in distances between the eyes.

Points are first turned, moved and scaled so that the eyes' centres lie at (-0.5, 0) and (0.5, 0). Then
each distance is a weighted sum of coordinates, so its uncertainty follows from those of the points.
"""

import numpy as np

from fedet.faces.points import POINT_INDEX, POINTS
from fedet.faces.tracking import CROP_DOWN, CROP_SCALE

Parts = dict[str, float]  # point -> weight; y points down, x to the picture's right


def _mean(*names: str) -> Parts:
    return {name: 1 / len(names) for name in names}


def _minus(one: Parts, other: Parts) -> Parts:
    return {name: one.get(name, 0) - other.get(name, 0) for name in {**one, **other}}


def _eye(side: str) -> Parts:
    return _mean(f"eye_inner_{side}", f"eye_outer_{side}")


def _distances() -> dict[str, tuple[int, Parts]]:
    """Name -> axis (0 x, 1 y) and the weights."""
    named: dict[str, tuple[int, Parts]] = {}
    for side, sign in (("left", -1), ("right", 1)):
        brow = [f"brow_{i}_{side}" for i in range(1, 6)]
        corner = {f"mouth_corner_{side}": 1.0}
        middle = _mean("upper_lip_inner_2", "lower_lip_inner_2")
        upper, lower = ([f"{lid}_lid_{i}_{side}" for i in (1, 2, 3)] for lid in ("upper", "lower"))
        out = {name: sign * weight for name, weight in _minus(corner, {"nose_base": 1.0}).items()}
        named |= {
            f"brow_inner_{side}": (1, _minus(_eye(side), _mean(*brow[:2]))),
            f"brow_outer_{side}": (1, _minus(_eye(side), _mean(*brow[3:]))),
            f"lid_opening_{side}": (1, _minus(_mean(*lower), _mean(*upper))),
            f"nose_wing_{side}": (1, _minus({f"nose_wing_{side}": 1.0}, _eye(side))),
            f"corner_up_{side}": (1, _minus(middle, corner)),
            f"corner_out_{side}": (0, out),
        }
    upper_lip, lower_lip = ([f"{lip}_lip_{i}" for i in (2, 3, 4)] for lip in ("upper", "lower"))
    upper_in, lower_in = ([f"{lip}_lip_inner_{i}" for i in (1, 2, 3)] for lip in ("upper", "lower"))
    eyes = _mean("eye_inner_left", "eye_outer_left", "eye_inner_right", "eye_outer_right")
    return named | {
        "brow_gap": (0, _minus({"brow_1_right": 1.0}, {"brow_1_left": 1.0})),
        "upper_lip": (1, _minus(_mean(*upper_in), _mean(*upper_lip))),
        "lower_lip": (1, _minus(_mean(*lower_lip), _mean(*lower_in))),
        "mouth_opening": (1, _minus(_mean(*lower_in), _mean(*upper_in))),
        "nose_to_lip": (1, _minus(_mean(*upper_lip), {"nose_base": 1.0})),
        "lip_to_chin": (1, _minus({"chin": 1.0}, _mean(*lower_lip))),
        "chin_down": (1, _minus({"chin": 1.0}, eyes)),
        "under_lip": (1, _minus({"under_lip": 1.0}, _mean(*lower_lip))),
    }


_TABLE = _distances()
DISTANCES = tuple(_TABLE)
_WEIGHTS = np.zeros((len(DISTANCES), len(POINTS), 2), np.float32)
for _row, (_axis, _parts) in enumerate(_TABLE.values()):
    for _name, _weight in _parts.items():
        _WEIGHTS[_row, POINT_INDEX[_name], _axis] = _weight


def upright(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (..., P, 2) with the eyes' centres at (-0.5, 0) and (0.5, 0), and how far they were apart."""
    left, right = (
        points[..., [POINT_INDEX[f"eye_{c}_{side}"] for c in ("inner", "outer")], :].mean(-2)
        for side in ("left", "right")
    )
    across = right - left
    apart = np.linalg.norm(across, axis=-1)
    along = across / np.maximum(apart, 1e-9)[..., None]
    down = np.stack([-along[..., 1], along[..., 0]], -1)
    centred = points - ((left + right) / 2)[..., None, :]
    turned = np.stack([(centred * along[..., None, :]).sum(-1), (centred * down[..., None, :]).sum(-1)], -1)
    return turned / np.maximum(apart, 1e-9)[..., None, None], apart


def distances(points: np.ndarray, spread: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The `DISTANCES` of faces, and their standard deviations, in distances between the eyes.

    Args:
        points: (..., P, 2) as `POINTS`, in any unit.
        spread: (..., P) standard deviation of the points, in the same unit; None: 0.

    Returns: values and deviations, (..., len(DISTANCES)) each.
    """
    placed, apart = upright(points)
    values = np.einsum("...pd,fpd->...f", placed, _WEIGHTS)
    if spread is None:
        return values, np.zeros_like(values)
    relative = spread / np.maximum(apart, 1e-9)[..., None]
    return values, np.sqrt(np.einsum("...p,fpd->...f", relative**2, _WEIGHTS**2))


def in_pictures(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Points of crops in the pictures that `fedet.faces.tracking.crop` cut them from.

    Args:
        points: (N, P, 2) from the middle of the crop, in shares of its side, as of `KeptPoints`.
        boxes: (N, 4) left, upper edge and side of the face's box in pixels, and its tilt in degrees.

    Returns:
        (N, P, 2) x right and y down, in pixels of the picture.
    """
    left, top, side, roll = np.asarray(boxes, float).T
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    turn = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)  # as in `crop`
    down = np.stack([np.zeros_like(side), CROP_DOWN * side], 1)
    within = points * (CROP_SCALE * side)[:, None, None] + down[:, None]
    centre = np.stack([left + side / 2, top + side / 2], 1)
    return np.einsum("npj,nij->npi", within, turn) + centre[:, None]

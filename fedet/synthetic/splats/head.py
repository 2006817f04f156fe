"""The skin of the heads drawn as splats: three sheets of points, split where the eyes and lips open.

Units: half the width of the face (about 70 mm), x to the right of the picture, y down, z to the
viewer, the origin between the eyes. Proportions are those of anthropometry (Farkas 1994): pupils
63 mm apart, eye slits 30 mm long, the nose 50 mm, the mouth 52 mm wide, from pupil to chin 118 mm.
All that varies - people, muscles, wrinkles - is a sum of fixed fields on the sheets times numbers,
so that a batch of heads is one product of matrices. In the template, eyes and mouth are shut.
"""

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from fedet.synthetic.device_tables import device_table

EYE = (0.45, -0.09)  # |x| and y of the middle of an eye's slit
SLIT = 0.215  # half its length
BALL = 0.2  # radius of an eyeball
BALL_Z = 0.745  # its centre
SEAM = 0.9  # y of the line between the lips
MOUTH = 0.37  # half its length
COLUMNS = 164
TURN = 1.95  # radians, how far the sheets reach around the head on either side

# y -> half width, and y -> depth of the midline without the nose
WIDTH = {-1.74: 0.05, -1.68: 0.36, -1.5: 0.7, -1.3: 0.89, -1.1: 0.99, -0.9: 1.04, -0.6: 1.06, -0.3: 1.04,
         0.0: 1.01, 0.2: 0.99, 0.5: 0.93, 0.8: 0.84, 1.0: 0.76, 1.2: 0.63, 1.36: 0.48, 1.48: 0.33, 1.56: 0.22,
         1.6: 0.2}  # fmt: skip
DEPTH = {-1.74: 0.05, -1.68: 0.36, -1.5: 0.74, -1.3: 0.95, -1.1: 1.07, -0.9: 1.14, -0.7: 1.18, -0.5: 1.2,
         -0.38: 1.19, -0.2: 1.14, 0.0: 1.12, 0.3: 1.12, 0.6: 1.13, 0.9: 1.16, 1.1: 1.12, 1.3: 1.13,
         1.45: 1.07, 1.54: 0.92, 1.58: 0.7, 1.6: 0.45}  # fmt: skip
# y -> height of the nose's ridge over the face, and half its thickness
RIDGE = {-0.5: 0.0, -0.32: 0.01, -0.18: 0.05, 0.0: 0.11, 0.2: 0.19, 0.34: 0.255, 0.43: 0.29, 0.5: 0.275,
         0.56: 0.17, 0.61: 0.06, 0.68: 0.0}  # fmt: skip
THICK = {-0.5: 0.13, -0.2: 0.09, 0.0: 0.095, 0.2: 0.115, 0.4: 0.14, 0.55: 0.14, 0.7: 0.12}


def along(nodes: dict[float, float], at: np.ndarray) -> np.ndarray:
    """A smooth curve through the nodes, level beyond them."""
    x = np.array(list(nodes))
    return PchipInterpolator(x, list(nodes.values()))(np.clip(at, x[0], x[-1]))


class Template(NamedTuple):
    """Points (R, C) of the sheets; `splits` are the first rows of the second and the third."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    front: np.ndarray  # 1 on the face, 0 on the back of the head
    splits: tuple[int, int]

    def hill(self, at: tuple[float, float], size: tuple[float, float], both: bool = True) -> np.ndarray:
        """1 at a point of the face, falling off as a bell; on both sides, or only where x has its sign."""
        x = np.abs(self.x) if both else self.x
        return self.front * np.exp(-(((x - at[0]) / size[0]) ** 2) - ((self.y - at[1]) / size[1]) ** 2)

    def line(self, points: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
        """Distance to a smooth line of the right side, and the position along it, 0 to 1; mirrored."""
        knots = np.array(points, float)
        if len(knots) > 2:
            t = np.linspace(0, len(knots) - 1, 5 * len(knots))
            knots = PchipInterpolator(np.arange(len(knots)), knots)(t)
        spot = np.stack([np.abs(self.x), self.y], -1)
        best, position = np.full(self.x.shape, 9.0), np.zeros(self.x.shape)
        for i, (p, q) in enumerate(itertools.pairwise(knots)):
            step = q - p
            share = np.clip(((spot - p) @ step) / (step @ step), 0, 1)
            gap = np.hypot(*np.moveaxis(spot - p - share[..., None] * step, -1, 0))
            position = np.where(gap < best, (i + share) / (len(knots) - 1), position)
            best = np.minimum(best, gap)
        return best, position

    def fold(self, points: list[tuple[float, float]], width: float = 0.03, bulge: float = 0.4) -> np.ndarray:
        """A furrow of depth 1 with bulges along it, fading at its ends; outwards is positive."""
        gap, position = self.line(points)
        fade = np.clip(np.minimum(position, 1 - position) * 5 + 0.25, 0, 1) * self.front
        return fade * (
            bulge * np.exp(-(((gap - 2 * width) / (1.2 * width)) ** 2)) - np.exp(-((gap / width) ** 2))
        )

    @property
    def upper(self) -> np.ndarray:
        """1 above the slits of the eyes."""
        return np.repeat(np.arange(len(self.y)) < self.splits[0], COLUMNS).reshape(self.x.shape) * 1.0

    @property
    def jaw(self) -> np.ndarray:
        """1 below the line between the lips."""
        return np.repeat(np.arange(len(self.y)) >= self.splits[1], COLUMNS).reshape(self.x.shape) * 1.0

    @property
    def slit(self) -> np.ndarray:
        """1 in the middle of an eye, 0 from its corners on: how far its lids open."""
        return np.clip(1 - ((np.abs(self.x) - EYE[0]) / SLIT) ** 2, 0, 1) ** 0.7 * self.front

    @property
    def lips(self) -> np.ndarray:
        """1 in the middle of the mouth, 0 from its corners on: how far the lips open."""
        return np.clip(1 - (self.x / MOUTH) ** 2, 0, 1) ** 0.65 * self.front


def spaced(start: float, end: float, step: float, fine: float, near: tuple[float, ...]) -> np.ndarray:
    """Rows from start to end, `fine` apart near some heights and `step` apart elsewhere."""
    at = np.linspace(start, end, 4000)
    close = np.max([np.exp(-(((at - n) / 0.13) ** 2)) for n in near], axis=0)
    count = np.cumsum(1 / (step + (fine - step) * close)) * (end - start) / len(at)
    return np.interp(np.linspace(count[0], count[-1], round(count[-1])), count, at)


@device_table
def template() -> Template:
    """The average head without the features of the face."""
    rows = [
        spaced(-1.73, EYE[1], 0.0185, 0.0105, (EYE[1],)),
        spaced(EYE[1], SEAM, 0.015, 0.01, (EYE[1], SEAM)),
        spaced(SEAM, 1.6, 0.0155, 0.01, (SEAM, 1.6)),
    ]
    y = np.concatenate(rows)[:, None]
    a = np.linspace(-1, 1, COLUMNS)
    angle = TURN * (0.58 * a + 0.42 * a**3)
    x, z = along(WIDTH, y) * np.sin(angle), along(DEPTH, y) * np.cos(angle)
    y = np.broadcast_to(y, x.shape)
    front = np.clip((np.cos(angle) - 0.02) / 0.25, 0, 1) * np.ones_like(y)
    return Template(x, y, z, front * front * (3 - 2 * front), (len(rows[0]), len(rows[0]) + len(rows[1])))


def vermilion(t: Template) -> tuple[np.ndarray, np.ndarray]:
    """Position across the red of the lips: 0 at the line between them, 1 at its border; and along them."""
    side = np.clip(1 - (np.abs(t.x) / MOUTH) ** 1.9, 1e-4, 1)
    bow = 1 - 0.2 * np.exp(-((t.x / 0.05) ** 2)) + 0.08 * np.exp(-(((np.abs(t.x) - 0.09) / 0.06) ** 2))
    high = np.where(t.jaw > 0, 0.145 * side**0.62, 0.115 * side**0.75 * bow)
    return np.abs(t.y - SEAM) / (high + 0.004), side * t.front


def features(t: Template) -> np.ndarray:
    """How far the features of the average face stand out, (R, C), towards the viewer."""
    h, x = t.hill, np.abs(t.x)
    nose = along(RIDGE, t.y) * np.exp(-((x / along(THICK, t.y)) ** 2.4)) * t.front
    out = nose + 0.1 * h((0.17, 0.47), (0.07, 0.085)) + 0.02 * h((0, 0.45), (0.12, 0.1))
    out += 0.05 * h((0.33, -0.4), (0.36, 0.11)) - 0.15 * h((0.42, -0.12), (0.25, 0.15))
    out += -0.07 * h((0.2, -0.12), (0.1, 0.13)) + 0.06 * h((0.64, 0.1), (0.24, 0.16))
    out += 0.06 * h((0.42, 0.42), (0.24, 0.28)) - 0.05 * h((0.72, 0.72), (0.2, 0.25))
    out += 0.07 * h((0, 0.86), (0.36, 0.24)) - 0.015 * h((0, 0.72), (0.035, 0.08))
    out += 0.012 * h((0.06, 0.72), (0.03, 0.09)) - 0.055 * h((0, 1.12), (0.28, 0.06))
    out += 0.07 * h((0, 1.36), (0.22, 0.14)) - 0.04 * h((0.9, -0.5), (0.16, 0.25))
    out += 0.03 * h((0.3, -0.85), (0.3, 0.22)) + 0.045 * t.fold(
        [(0.2, 0.37), (0.26, 0.47), (0.2, 0.575)], 0.022, 0
    )
    out += 0.018 * t.fold([(0.27, 0.48), (0.4, 0.7), (0.46, 0.92)], 0.05)
    across, side = vermilion(t)
    rolled = 0.085 * np.clip(1 - (across / 1.15) ** 2, 0, 1) ** 0.7 * side**0.6
    dip = 0.075 * np.exp(-((across / 0.22) ** 2)) * side**0.3
    out += np.where(across < 1.15, rolled, 0) - dip - 0.05 * h((MOUTH, SEAM), (0.07, 0.05))
    return out + 0.012 * np.exp(-(((across - 1.05) / 0.12) ** 2)) * side


def traits(t: Template) -> dict[str, np.ndarray]:
    """Fields (R, C, 3) by which people differ; each for a person one deviation from the average."""
    h, x, y = t.hill, np.abs(t.x), t.y
    right = np.sign(t.x)
    low, high = np.clip((y - 0.2) / 0.9, 0, 1), np.clip((-0.35 - y) / 0.8, 0, 1)
    lip, side = vermilion(t)
    border = (
        np.exp(-(((lip - 1) / 0.9) ** 2)) * np.where(lip > 1, np.exp(-(((lip - 1) / 1.3) ** 2)), 1) * side
    )
    around = h(EYE, (0.3, 0.2))
    nose = (
        np.exp(-((x / 0.2) ** 2))
        * t.front
        * np.clip((y + 0.3) / 0.3, 0, 1)
        * np.clip((0.72 - y) / 0.12, 0, 1)
    )
    mouth = h((0, SEAM), (0.5, 0.25))
    zero = np.zeros_like(x)
    fields = {
        "jaw": (0.06 * t.x * low, zero, zero), "width": (0.03 * t.x, zero, zero),
        "long": (zero, 0.07 * np.clip((y - 0.05) / 1.4, 0, 1.1), zero),
        "brow_bone": (zero, zero, 0.03 * h((0.33, -0.42), (0.33, 0.1))),
        "forehead": (zero, -0.07 * high, 0.04 * h((0, -0.8), (0.6, 0.3))),
        "cheekbone": (0.02 * right * h((0.75, 0.1), (0.3, 0.25)), zero, 0.03 * h((0.62, 0.1), (0.22, 0.17))),
        "full": (0.045 * right * h((0.75, 0.75), (0.4, 0.4)), zero, 0.04 * h((0.55, 0.65), (0.3, 0.35))),
        "nose_wide": (0.035 * right * h((0.2, 0.46), (0.12, 0.14)), zero, zero),
        "nose_bridge": (zero, zero, 0.03 * h((0, 0.02), (0.1, 0.22))),
        "nose_out": (zero, zero, 0.035 * nose * np.clip((y + 0.1) / 0.5, 0, 1)),
        "nose_long": (zero, 0.04 * h((0, 0.5), (0.3, 0.22)), zero),
        "nose_tip": (zero, -0.025 * h((0, 0.44), (0.14, 0.1)), 0.02 * h((0, 0.42), (0.1, 0.1))),
        "lip_up": (zero, -0.03 * border * (1 - t.jaw), 0.02 * border * (1 - t.jaw)),
        "lip_low": (zero, 0.034 * border * t.jaw, 0.02 * border * t.jaw),
        "mouth_wide": (0.035 * right * h((MOUTH, SEAM), (0.2, 0.16)), zero, zero),
        "mouth_y": (zero, 0.03 * mouth, zero),
        "corners": (zero, 0.022 * h((MOUTH, SEAM), (0.14, 0.12)), zero),
        "muzzle": (zero, zero, 0.035 * h((0, 0.86), (0.36, 0.26))),
        "eyes_apart": (0.022 * right * around, zero, zero),
        "eye_long": (0.06 * (x - EYE[0]) * right * around, zero, zero),
        "eye_tilt": (zero, -0.13 * (x - EYE[0]) * around, zero),
        "eye_y": (zero, 0.025 * h(EYE, (0.4, 0.25)), zero),
        "eye_deep": (zero, zero, -0.03 * h((0.43, -0.24), (0.26, 0.1))),
        "chin_long": (zero, 0.05 * h((0, 1.5), (0.6, 0.3)), zero),
        "chin_out": (zero, zero, 0.05 * h((0, 1.36), (0.28, 0.2))),
        "chin_wide": (0.1 * t.x * h((0, 1.45), (0.5, 0.22)), zero, zero),
        "crooked_mouth": (zero, 0.015 * right * h((MOUTH, SEAM), (0.2, 0.2)), zero),
        "crooked_eyes": (zero, 0.012 * right * h(EYE, (0.3, 0.3)), zero),
        "crooked_nose": (0.014 * h((0, 0.4), (0.2, 0.3)), zero, zero),
        "jowl": (0.02 * right * h((0.55, 1.25), (0.2, 0.2)), 0.03 * h((0.5, 1.2), (0.2, 0.2)), zero),
    }  # fmt: skip
    return {name: np.stack(field, -1) for name, field in fields.items()}


@lru_cache(maxsize=1)
def names() -> list[str]:
    """The traits in the order of a look's `shape`."""
    return list(traits(template()))


def normals(points: Tensor, splits: tuple[int, ...] = ()) -> Tensor:
    """Unit normals (B, R, C, 3) of sheets of points (B, R, C, 3), outwards; each part for itself."""
    edges = [0, *splits, points.shape[1]]
    down = torch.cat([_slope(points[:, a:b], 1) for a, b in itertools.pairwise(edges)], 1)
    across = _slope(points, 2)
    ax, ay, az = across.unbind(-1)
    bx, by, bz = down.unbind(-1)
    n = torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
    return n * (n.square().sum(-1, keepdim=True) + 1e-18).rsqrt()


def _slope(points: Tensor, dim: int) -> Tensor:
    """Differences of neighbours along rows or columns: central, one-sided at the ends."""
    n = points.shape[dim]
    step = points.diff(dim=dim)
    inner = points.narrow(dim, 2, n - 2) - points.narrow(dim, 0, n - 2)
    return torch.cat([2 * step.narrow(dim, 0, 1), inner, 2 * step.narrow(dim, n - 2, 1)], dim)

"""The polygonal head: a skin lofted through three outlines, and the ways in which people differ.

Units and axes are the scene's: x right, y down, z to the viewer, 1 half the width of a face. All
heads share one grid of vertices, so that shapes add up; the grid is slit along the eyes and the mouth.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.mesh.raster import grid_faces

# outlines from the crown to the base of the neck: front y, z; side y, x, z; back y, z
OUTLINES = torch.tensor([
    [-1.55, -0.45, -1.55, 0.01, -0.45, -1.55, -0.50], [-1.50, -0.15, -1.48, 0.40, -0.50, -1.50, -0.90],
    [-1.35, 0.10, -1.33, 0.63, -0.50, -1.30, -1.20], [-1.10, 0.27, -1.05, 0.81, -0.48, -1.00, -1.42],
    [-0.80, 0.36, -0.75, 0.91, -0.45, -0.60, -1.50], [-0.45, 0.40, -0.42, 0.97, -0.40, -0.20, -1.45],
    [-0.20, 0.37, -0.20, 0.98, -0.36, 0.10, -1.35], [0.10, 0.40, 0.05, 0.97, -0.35, 0.35, -1.20],
    [0.40, 0.45, 0.30, 0.94, -0.34, 0.50, -1.10], [0.70, 0.47, 0.64, 0.87, -0.32, 0.65, -1.05],
    [1.00, 0.44, 0.82, 0.77, -0.28, 0.80, -1.00], [1.19, 0.39, 0.94, 0.65, -0.26, 0.95, -0.98],
    [1.29, 0.27, 1.02, 0.57, -0.29, 1.10, -0.97], [1.33, 0.05, 1.12, 0.52, -0.36, 1.25, -0.97],
    [1.42, -0.12, 1.26, 0.51, -0.43, 1.40, -0.98], [1.75, -0.14, 1.65, 0.54, -0.48, 1.65, -1.00],
    [2.30, -0.05, 2.30, 0.66, -0.50, 2.30, -1.10],
])  # fmt: skip
ROWS = (3, 3, 5, 6, 11, 14, 14, 13, 16, 16, 9, 5, 4, 4, 4, 4)  # steps between the outlines
COLUMNS = 113
EYE_ROW, MOUTH_ROW = 6, 9  # outlines along which the skin is slit
EYE = (0.43, -0.2)  # middle of the right eye, the picture's right
EYE_HALF, MOUTH_HALF = 0.215, 0.36
HINGE = (0.02, -0.3)  # y and z of the jaw's axis
BALL = 0.235  # radius of an eyeball
SIDES = (("left", -1), ("right", 1))  # of the picture, and the sign of x there
# how far the nose stands out along the middle, from between the brows down
RIDGE_FROM, RIDGE_STEP = -0.5, 0.06
RIDGE = torch.tensor([0, 0.008, 0.02, 0.035, 0.047, 0.065, 0.09, 0.118, 0.147, 0.178, 0.215, 0.255, 0.29,
0.31,
                      0.26, 0.08, 0, 0])  # fmt: skip


class Template(NamedTuple):
    """The head that all others are made from."""

    points: Tensor  # (V, 3)
    faces: Tensor  # (F, 3)
    from_eye: Tensor  # (V,) distance below the slit of the eyes, on the chart
    from_mouth: Tensor  # (V,) distance below the slit of the mouth
    angle: Tensor  # (V,) about the vertical axis, 0 in front, +-pi at the back
    below_eye: Tensor  # (V,) -1 on the rows above the slit of the eyes, 1 below
    below_mouth: Tensor  # (V,)
    shape: tuple[int, int]  # rows and columns of the grid


def bell(x: Tensor, y: Tensor, at: tuple[float, float], wide: float, high: float) -> Tensor:
    return torch.exp(-(((x - at[0]) / wide) ** 2) - ((y - at[1]) / high) ** 2)


def pair(x: Tensor, y: Tensor, at: tuple[float, float], wide: float, high: float) -> Tensor:
    """Two bells, one on each side."""
    return bell(x.abs(), y, at, wide, high)


def ramp(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def arch(x: Tensor, half: float) -> Tensor:
    """1 in the middle, 0 at +-half and beyond; a half ellipse."""
    return (1 - (x / half) ** 2).clamp(min=0).sqrt()


def _rows() -> tuple[Tensor, int, int]:
    """Position of each row among the outlines, the slit rows twice; numbers of the rows above the slits."""
    steps_along, slits = [], {}
    for i, steps in enumerate(ROWS):
        if i in (EYE_ROW, MOUTH_ROW):
            slits[i] = sum(map(len, steps_along))
            steps_along.append(torch.tensor([float(i)]))
        steps_along.append(i + torch.arange(steps) / steps)
    steps_along.append(torch.tensor([float(len(ROWS))]))
    return torch.cat(steps_along), slits[EYE_ROW], slits[MOUTH_ROW]


def curve(table: Tensor, at: Tensor) -> Tensor:
    """Catmull-Rom curves through the rows of a table."""
    i = at.long().clamp(max=len(table) - 2)
    t = (at - i)[:, None]
    values = table.to(at.device)
    p = [values[(i + k).clamp(0, len(table) - 1)] for k in (-1, 0, 1, 2)]
    m0, m1 = (p[2] - p[0]) / 2, (p[3] - p[1]) / 2
    a, b = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
    return a * p[1] + b * m0 + (1 - a) * p[2] + (t**3 - t**2) * m1


@device_table
def template() -> Template:
    position, eye, mouth = _rows()
    u = torch.linspace(-1, 1, COLUMNS)
    angle = torch.pi * (0.36 * u + 0.64 * u**5)
    o = curve(OUTLINES, position)[:, :, None]
    cos, sin = torch.cos(angle)[None], torch.sin(angle)[None]
    front = cos > 0
    x = o[:, 3] * sin
    y = o[:, 2] + torch.where(front, o[:, 0] - o[:, 2], o[:, 5] - o[:, 2]) * cos.abs()
    z = o[:, 4] + torch.where(front, o[:, 1] - o[:, 4], o[:, 6] - o[:, 4]) * cos.abs()
    below = torch.arange(len(position))[:, None]
    from_eye, from_mouth = y - y[eye], y - y[mouth]
    z = z + features(x, y, from_mouth) * ramp(cos, 0.1, 0.45)
    every = torch.ones_like(x)
    return Template(
        torch.stack([x, y, z], -1).view(-1, 3), _faces(x, eye, mouth), from_eye.flatten(),
        from_mouth.flatten(), (angle * every).flatten(), (torch.where(below <= eye, -1, 1) * every).flatten(),
        (torch.where(below <= mouth, -1, 1) * every).flatten(), tuple(x.shape),
    )  # fmt: skip


def _faces(x: Tensor, eye: int, mouth: int) -> Tensor:
    """Triangles of the grid; outside the slits both of a slit's rows are merged."""
    columns = x.shape[1]
    faces = grid_faces(*x.shape)
    same = torch.arange(x.numel())
    for row, closed in (
        (eye, (x[eye].abs() - EYE[0]).abs() >= EYE_HALF),
        (mouth, x[mouth].abs() >= MOUTH_HALF),
    ):
        closed |= torch.arange(columns).eq(0)
        at = torch.nonzero(closed)[:, 0]
        same[(row + 1) * columns + at] = row * columns + at
        lies = (faces // columns).amin(1).eq(row) & (faces // columns).amax(1).eq(row + 1)
        faces = faces[~lies]
    return same[faces]


def features(x: Tensor, y: Tensor, lips: Tensor) -> Tensor:
    """How far the features stand out of the loft; lips is the distance below the line of the mouth."""
    ridge = curve(RIDGE[:, None], ((y - RIDGE_FROM) / RIDGE_STEP).clamp(0, len(RIDGE) - 1).flatten()).view_as(
        y
    )
    wide = 0.085 + 0.055 * ramp(y, -0.1, 0.28)
    z = ridge * torch.exp(-((x.abs() / wide) ** 2.4))
    z = z + 0.11 * pair(x, y, (0.145, 0.29), 0.06, 0.075)
    z = z - 0.1 * pair(x, y, (0.4, -0.2), 0.24, 0.15) + 0.035 * pair(x, y, (0.4, -0.44), 0.34, 0.08)
    z = z + 0.05 * pair(x, y, (0.52, 0.1), 0.26, 0.17) - 0.05 * pair(x, y, (0.66, 0.6), 0.24, 0.26)
    z = z + 0.09 * bell(x, y, (0.0, 0.68), 0.36, 0.24)
    middle = arch(x, MOUTH_HALF * 1.05)
    z = z + middle * 0.05 * torch.exp(-(((lips + 0.045) / 0.035) ** 2))
    z = z + middle * 0.06 * torch.exp(-(((lips - 0.06) / 0.045) ** 2))
    z = z - 0.045 * torch.exp(-((lips / 0.016) ** 2)) * ramp(MOUTH_HALF * 1.2 - x.abs(), 0, 0.1)
    z = z - 0.015 * bell(x, y, (0.0, 0.52), 0.035, 0.08)
    return z - 0.055 * bell(x, y, (0.0, 0.885), 0.26, 0.055) + 0.07 * bell(x, y, (0.0, 1.08), 0.2, 0.12)


# ---------------------------------------------------------------- who it is

MODES = (
    "face_wide", "jaw_wide", "chin_wide", "chin_long", "chin_out", "forehead_out", "brow_ridge", "brow_high",
    "eyes_apart", "eyes_high", "eyes_large", "eyes_tilt", "nose_long", "nose_wide", "nose_out", "bridge",
    "tip_up", "mouth_wide", "mouth_high", "lips_full", "muzzle", "cheekbone", "cheeks_full", "sag", "neck",
    "skew_nose", "skew_mouth", "mouth_curve", "skew_eyes", "skew_jaw",
)  # fmt: skip


@device_table
def modes() -> Tensor:
    """Displacements (len(MODES), V, 3) of the template, one standard deviation of each mode."""
    x, y, _z = template().points.unbind(1)
    front = ramp(torch.cos(template().angle), 0.0, 0.5)
    sign, nothing = torch.tanh(x / 0.08), torch.zeros_like(x)
    eyes = pair(x, y, EYE, 0.34, 0.22) * front
    nose = bell(x, y, (0.0, 0.27), 0.22, 0.16) * front
    lips = bell(x, y, (0.0, 0.7), 0.5, 0.24) * front
    low = ramp(y, 0.72, 1.2) * (1 - ramp(y, 1.4, 1.9))

    def move(dx: Tensor | None = None, dy: Tensor | None = None, dz: Tensor | None = None) -> Tensor:
        return torch.stack([nothing if d is None else d for d in (dx, dy, dz)], -1)

    fields = {
        "face_wide": move(0.04 * x), "jaw_wide": move(0.07 * x * ramp(y, 0.2, 0.9) * (1 - ramp(y, 1.2, 1.5))),
        "chin_wide": move(0.16 * x * bell(x, y, (0.0, 1.15), 0.45, 0.2) * front),
        "chin_long": move(dy=0.06 * low), "chin_out": move(dz=0.055 * bell(x, y, (0.0, 1.15), 0.3, 0.2)),
        "forehead_out": move(dz=0.06 * bell(x, y, (0.0, -0.9), 0.8, 0.35)),
        "brow_ridge": move(dz=0.03 * pair(x, y, (0.35, -0.42), 0.4, 0.1) * front),
        "brow_high": move(dy=-0.028 * pair(x, y, (0.4, -0.45), 0.45, 0.12) * front),
        "eyes_apart": move(0.024 * sign * eyes), "eyes_high": move(dy=-0.03 * eyes),
        "eyes_large": move(0.07 * (x - sign * EYE[0]) * eyes, 0.07 * (y - EYE[1]) * eyes),
        "eyes_tilt": move(dy=-0.09 * (x.abs() - EYE[0]) * eyes),
        "nose_long": move(dy=0.035 * nose), "nose_wide": move(0.13 * x * nose),
        "nose_out": move(dz=0.045 * nose), "bridge": move(dz=0.035 * bell(x, y, (0.0, -0.05), 0.1, 0.17)),
        "tip_up": move(dy=-0.03 * bell(x, y, (0.0, 0.28), 0.1, 0.09) * front),
        "mouth_wide": move(0.09 * x * lips), "mouth_high": move(dy=-0.03 * lips),
        "lips_full": move(dz=0.022 * bell(x, y, (0.0, 0.71), 0.3, 0.12) * front),
        "muzzle": move(dz=0.045 * bell(x, y, (0.0, 0.7), 0.42, 0.3) * front),
        "cheekbone": move(0.03 * sign * pair(x, y, (0.75, 0.05), 0.35, 0.2),
                          dz=0.035 * pair(x, y, (0.55, 0.08), 0.22, 0.16) * front),
        "cheeks_full": move(0.05 * sign * pair(x, y, (0.8, 0.55), 0.35, 0.3),
                            dz=0.05 * pair(x, y, (0.5, 0.5), 0.3, 0.3) * front),
        "sag": move(0.02 * sign * pair(x, y, (0.6, 0.95), 0.25, 0.2),
                    0.035 * pair(x, y, (0.55, 0.8), 0.35, 0.35) * front),
        "neck": move(0.1 * x * ramp(y, 1.15, 1.5)), "skew_nose": move(0.018 * nose),
        "skew_mouth": move(dy=0.03 * x * lips), "mouth_curve": move(dy=0.025 * pair(x, y, (0.36, 0.7), 0.16,
        0.2) * front),
        "skew_eyes": move(dy=0.01 * torch.tanh(x / 0.2) * eyes),
        "skew_jaw": move(0.02 * ramp(y, 0.4, 1.1) * (1 - ramp(y, 1.3, 1.7))),
    }  # fmt: skip
    return torch.stack([fields[name] for name in MODES])


@device_table
def marks() -> dict[str, Tensor]:
    """Numbers of vertices that others hang on: corners of eyes and mouth, brows, chin, nose."""
    t = template()
    x, y, z = t.points.unbind(1)

    def nearest(px: float, py: float, rows: Tensor | None = None) -> int:
        distance = (x - px) ** 2 + (y - py) ** 2 + 10 * (z < 0.0)
        return int((distance if rows is None else distance + 10 * ~rows).argmin())

    upper_eye, upper_mouth = t.below_eye < 0, t.below_mouth < 0
    vertices = {"nose": nearest(0, 0.27), "chin": nearest(0, 1.15), "upper_lip": nearest(0, 0.7, upper_mouth),
             "lower_lip": nearest(0, 0.7, ~upper_mouth)}  # fmt: skip
    for name, s in (("left", -1), ("right", 1)):
        vertices |= {
            f"inner_eye_{name}": nearest(s * (EYE[0] - EYE_HALF), EYE[1], upper_eye),
            f"outer_eye_{name}": nearest(s * (EYE[0] + EYE_HALF), EYE[1], upper_eye),
            f"upper_lid_{name}": nearest(s * EYE[0], EYE[1], upper_eye),
            f"lower_lid_{name}": nearest(s * EYE[0], EYE[1], ~upper_eye),
            f"inner_brow_{name}": nearest(s * 0.16, -0.46), f"outer_brow_{name}": nearest(s * 0.66, -0.44),
            f"mouth_{name}": nearest(s * MOUTH_HALF, 0.68), f"cheek_{name}": nearest(s * 0.5, 0.15),
            f"jaw_{name}": nearest(s * 0.7, 0.75),
        }  # fmt: skip
    return {name: torch.tensor(i) for name, i in vertices.items()}

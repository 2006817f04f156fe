"""The shape of a head in relief: a height over an ellipsoid, moved by identity and action units.

A point of the skin has canonical coordinates (x, y), the same for everybody: x to the right of the
picture, y downwards, the origin on the bridge of the nose, 1 about half a face's width; the eyes lie
at (+-0.44, -0.2), the mouth's slit on y = 0.745. A mode moves such points along the surface (dx, dy)
or outwards (dh). All modes are fields on fixed grids, so a head is one product of coefficients and
fields; the grid is finer in front than at the sides.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.relief.muscles import ACTIONS, TRAITS, Bump

AXES = (1.0, 1.34, 1.15)  # half axes of the ellipsoid: across, up and down, front and back
CENTRE = (0.0, -0.06, -1.0)  # its centre; the skin of the nose's bridge lies about at z = 0
REACH, PACK = 1.3, 0.45  # stereographic radius at the grid's edge; how much denser the front is
GAIN = (1 + PACK * REACH**2) / REACH
COARSE, FINE, SURFACE = 64, 176, 128  # nodes a side: displacements, heights, the deformed surface
SLIT, MOUTH = 0.745, 0.37  # the mouth's slit: y, and half its width
EYE = (0.44, -0.2)
RANDOM_MODES = 28

# creases (dh) that come with age and, more, with an action: see `crease_fields`
CREASES = (
    "forehead_in",
    "forehead_out",
    "glabella",
    "feet",
    "nose",
    "nasolabial",
    "chin",
    "bag",
    "marionette",
)


# ---------------------------------------------------------------- grids


def packed(s: Tensor) -> Tensor:
    """Stereographic coordinate to grid coordinate -1..1."""
    return GAIN * s / (1 + PACK * s * s)


def unpacked(w: Tensor) -> Tensor:
    safe = torch.where(w.abs() < 1e-6, torch.full_like(w, 1e-6), w)
    return (GAIN - (GAIN**2 - 4 * PACK * safe**2).clamp(min=0).sqrt()) / (2 * PACK * safe)


def canonical_to_grid(xy: Tensor) -> Tensor:
    """(B, 2, ...) canonical coordinates to (B, ..., 2) coordinates for grid_sample."""
    x = packed((xy[:, 0] / (2 * AXES[0])).clamp(-REACH, REACH))
    y = packed(((xy[:, 1] - CENTRE[1]) / (2 * AXES[1])).clamp(-REACH, REACH))
    return torch.stack([x, y], -1)


@lru_cache(maxsize=8)
def nodes(n: int, device: torch.device | str = "cpu") -> Tensor:
    """Canonical coordinates (2, n, n) of a grid's nodes (align_corners=True)."""
    s = unpacked(torch.linspace(-1, 1, n, dtype=torch.float64)).float()
    y, x = torch.meshgrid(2 * AXES[1] * s + CENTRE[1], 2 * AXES[0] * s, indexing="ij")
    return torch.stack([x, y]).to(device)


@lru_cache(maxsize=4)
def directions(n: int, device: torch.device | str = "cpu") -> Tensor:
    """Unit vectors (3, n, n) from the ellipsoid's centre through a grid's nodes."""
    x, y = nodes(n, device)
    s, t = x / (2 * AXES[0]), (y - CENTRE[1]) / (2 * AXES[1])
    below = 1 + s * s + t * t
    return torch.stack([2 * s / below, 2 * t / below, (2 - below) / below])


def unit(v: Tensor) -> Tensor:
    """Vectors (B, 3, ...) of length 1; much quicker than the library's norm over a middle dimension."""
    return v * ((v * v).sum(1, keepdim=True) + 1e-12).rsqrt()


def sample(fields: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(fields, grid, padding_mode="border", align_corners=True)


# ---------------------------------------------------------------- the fields


def gauss(x: Tensor, y: Tensor, cx: float, cy: float, rx: float, ry: float) -> Tensor:
    return torch.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def base_height(x: Tensor, y: Tensor) -> Tensor:
    """The average head: heights over the ellipsoid as a share of its radius."""
    ax = x.abs()
    knots = [-2.7, 0.2, 0.6, 0.8, 0.95, 1.12, 1.27, 1.42, 1.6, 1.9, 2.7]
    levels = [0.0, 0.0, 0.04, 0.095, 0.16, 0.235, 0.25, 0.15, -0.04, -0.2, -0.3]
    h = profile(y, knots, levels) * torch.exp(-((ax / 0.95) ** 2))
    h = h - 0.06 * gauss(ax, y, 1.35, 1.1, 0.55, 0.4)
    for amount, cx, cy, rx, ry in (
        (0.034, 0.34, -0.43, 0.34, 0.1), (-0.085, 0.42, -0.2, 0.26, 0.15), (-0.05, 0.17, -0.16, 0.08, 0.13),
        (0.05, 0.44, -0.2, 0.18, 0.1), (0.045, 0.64, 0.16, 0.25, 0.2), (-0.03, 0.66, 0.66, 0.2, 0.22),
        (0.07, 0.15, 0.35, 0.065, 0.07), (-0.05, 0.27, 0.36, 0.05, 0.1), (-0.05, 0.98, -0.35, 0.25, 0.3),
        (-0.045, 0.42, 0.76, 0.06, 0.07),
    ):  # fmt: skip
        h = h + amount * gauss(ax, y, cx, cy, rx, ry)
    nose = profile(y, [-0.45, -0.2, 0.0, 0.3, 0.36], [0.0, 0.04, 0.105, 0.205, 0.2])
    wide = profile(y, [-0.3, 0.0, 0.3], [0.11, 0.1, 0.135])
    h = h + nose * torch.exp(-((ax / wide) ** 2)) * torch.sigmoid((0.415 - 0.25 * ax - y) / 0.018)
    h = h + 0.04 * gauss(ax, y, 0, 0.31, 0.1, 0.085) - 0.07 * gauss(ax, y, 0.085, 0.405, 0.045, 0.025)
    h = h + 0.03 * gauss(ax, y, 0, 0.7, 0.36, 0.24) - 0.014 * gauss(ax, y, 0, 0.56, 0.035, 0.09)
    h = h + 0.032 * gauss(ax, y, 0.06, 0.695, 0.24, 0.045) + 0.045 * gauss(ax, y, 0, 0.815, 0.22, 0.055)
    h = h - 0.05 * torch.exp(-(((y - SLIT) / 0.018) ** 2)) * torch.sigmoid((MOUTH - ax) / 0.02)
    h = h - 0.05 * gauss(ax, y, 0, 0.94, 0.22, 0.055) + 0.035 * gauss(ax, y, 0, 1.11, 0.17, 0.12)
    return h + 0.12 * gauss(ax, y, 2.0, -0.1, 0.16, 0.28) * (1 - 0.6 * gauss(ax, y, 1.95, -0.1, 0.08, 0.18))


def profile(y: Tensor, knots: list[float], levels: list[float]) -> Tensor:
    """A smooth curve through a few levels (a cubic Hermite spline, flat at its ends)."""
    p, v = torch.tensor(knots), torch.tensor(levels)
    slope = torch.zeros_like(v)
    slope[1:-1] = (v[2:] - v[:-2]) / (p[2:] - p[:-2])
    i = (torch.bucketize(y, p) - 1).clamp(0, len(p) - 2)
    wide = p[i + 1] - p[i]
    t = ((y - p[i]) / wide).clamp(0, 1)
    rest = 1 - t
    bent = rest * slope[i] * wide * t * rest - t * slope[i + 1] * wide * t * rest
    return v[i] * (1 + 2 * t) * rest**2 + v[i + 1] * t**2 * (3 - 2 * t) + bent


def opening(x: Tensor) -> Tensor:
    """How far the lips come apart along the slit: 1 in the middle, 0 at the corners."""
    return (1 - (x / MOUTH) ** 2).clamp(min=0) ** 0.65


def sum_bumps(bumps: list[Bump], x: Tensor, y: Tensor, side: int, upper: bool) -> Tensor:
    """(3, n, n) dx, dy, dh of some bumps on one side (-1 left, 1 right, 0 both)."""
    total = torch.zeros(3, *x.shape)
    own_half = torch.sigmoid(side * x / 0.05) if side else torch.ones_like(x)
    for dx, dy, dh, cx, cy, rx, ry, tag in bumps:
        field = own_half * gauss(x.abs(), y, cx, cy, rx, ry)
        if tag and upper != (tag == "U"):
            field = field * (1 - opening(x))
        total += (
            torch.stack([dx * torch.tanh(x / 0.05), torch.full_like(x, dy), torch.full_like(x, dh)]) * field
        )
    return total


def jaw_fields(x: Tensor, y: Tensor, upper: bool) -> tuple[Tensor, Tensor]:
    """Displacements of parted lips (AU25), and of the dropped jaw with all that hangs on it (AU26)."""
    bow = opening(x)
    near = torch.exp(-(((y - SLIT) / 0.16) ** 2))
    parting = (-0.035 if upper else 0.075) * bow * near
    weight = torch.sigmoid((y - 0.8) / 0.11) * torch.exp(-((x / 1.15) ** 4))
    weight = weight * (1 - bow) if upper else weight + (1 - weight) * bow
    narrow = -0.05 * torch.tanh(x / 0.2) * gauss(x.abs(), y, 0.36, 0.78, 0.2, 0.25)
    back = -0.05 * torch.sigmoid((y - 0.95) / 0.1) * torch.exp(-((x / 1.15) ** 4))
    zero = torch.zeros_like(x)
    return torch.stack([zero, parting, zero]), torch.stack([narrow, 0.33 * weight, back])


def crease_fields(x: Tensor, y: Tensor, side: int) -> Tensor:
    """Heights (len(CREASES), n, n) of folds on one side of the face."""
    ax, own_half = x.abs(), torch.sigmoid(side * x / 0.05)
    wave = torch.sin(2 * math.pi * (y + 0.05 * torch.cos(x * 2.2)) / 0.125 + 0.6 * torch.sin(3 * x))
    band = torch.sigmoid((-0.58 - y) / 0.03) * torch.sigmoid((y + 1.02) / 0.06)
    inner = torch.exp(-((ax / 0.38) ** 4))
    outer = torch.exp(-(((ax - 0.6) / 0.26) ** 4))
    lines = -0.011 * (wave.clamp(min=0) ** 2 - 0.3) * band
    knit = (-0.032 * gauss(ax, y, 0.075, -0.4, 0.022, 0.12) + 0.02 * gauss(ax, y, 0.13, -0.42, 0.04, 0.1)
            + 0.012 * gauss(ax, y, 0, -0.42, 0.035, 0.12))  # fmt: skip
    angle = torch.atan2(y + 0.17, ax - 0.6)
    away = ((ax - 0.6) ** 2 + (y + 0.17) ** 2).sqrt()
    feet = -0.016 * torch.cos(angle * 9).clamp(min=0) * torch.exp(-(((away - 0.17) / 0.08) ** 2)) * (ax > 0.6)
    rows = -0.016 * torch.cos((y + 0.12) * 2 * math.pi / 0.085) * gauss(ax, y, 0.03, -0.1, 0.13, 0.13)
    t = ((y - 0.34) / 0.42).clamp(-0.5, 1.5)
    across = ax - (0.21 + 0.24 * t + 0.07 * t * (1 - t) * 4 * 0.6)
    along = torch.sigmoid((t - 0.02) / 0.06) * torch.sigmoid((1.05 - t) / 0.08)
    fold = (
        -0.03 * torch.exp(-((across / 0.032) ** 2)) + 0.02 * torch.exp(-(((across - 0.1) / 0.08) ** 2))
    ) * along
    dots = 0.022 * torch.sin(x * 41 + 3 * torch.sin(y * 29)) * torch.sin(y * 47 + 2 * torch.sin(x * 23))
    chin = dots * gauss(ax, y, 0, 1.07, 0.2, 0.12)
    sag = (y - (0.02 - 0.35 * (ax - 0.42) ** 2)) / 0.028
    bag = (-0.02 * torch.exp(-(sag**2)) + 0.016 * torch.exp(-((sag + 2.4) ** 2) / 2)) * torch.exp(
        -(((ax - 0.42) / 0.22) ** 4)
    )
    hang = (
        -0.012
        * torch.exp(-(((ax - 0.42 - 0.05 * (y - 0.8)) / 0.025) ** 2))
        * gauss(ax, y, 0.42, 0.92, 1, 0.12)
    )
    hang = hang + 0.008 * gauss(ax, y, 0.5, 0.95, 0.06, 0.12)
    return torch.stack([lines * inner, lines * outer, knit, feet, rows, fold, chin, bag, hang]) * own_half


def random_fields(x: Tensor, y: Tensor) -> Tensor:
    """(RANDOM_MODES, 3, n, n) smooth changes without a name, two in three of them symmetric."""
    g = torch.Generator().manual_seed(77)
    fields = []
    for i in range(RANDOM_MODES):
        total = torch.zeros(3, *x.shape)
        for _ in range(5):
            cx, cy, r, *amount = (torch.rand(6, generator=g) * 2 - 1).tolist()
            px = x.abs() if i % 3 else x
            bell = gauss(px, y, abs(cx) if i % 3 else cx, 0.2 + 1.1 * cy, 0.38 + 0.16 * r, 0.36 + 0.16 * r)
            swing = torch.tensor([0.012, 0.014, 0.013]) * torch.tensor(amount)
            total += (
                swing[:, None, None]
                * bell
                * torch.stack(
                    [
                        torch.tanh(x / 0.2) if i % 3 else torch.ones_like(x),
                        torch.ones_like(x),
                        torch.ones_like(x),
                    ]
                )
            )
        fields.append(total)
    return torch.stack(fields)


def crooked_fields(x: Tensor, y: Tensor) -> Tensor:
    """(3, 3, n, n): a nose, a mouth and brows that are not quite symmetric."""
    zero = torch.zeros_like(x)
    side = torch.tanh(x / 0.15)
    return torch.stack([
        torch.stack([0.018 * gauss(x, y, 0, 0.25, 0.2, 0.25), zero, zero]),
        torch.stack([zero, 0.018 * side * gauss(x.abs(), y, 0.36, 0.75, 0.2, 0.2), zero]),
        torch.stack([zero, 0.015 * side * gauss(x.abs(), y, 0.4, -0.48, 0.35, 0.18), zero]),
    ])  # fmt: skip


def all_fields(n: int, upper: bool) -> Tensor:
    """(K, 3, n, n) in the order of `coefficients`."""
    x, y = nodes(n)
    # lines of equal y rise towards the sides of an ellipsoid; a face's mouth and eyes do not
    bend = 0.25 * x**2 / (1 + 0.25 * x**2) * torch.exp(-((x / 0.8) ** 4)) * (y - CENTRE[1])
    # a camera at eye level looks down on the mouth
    bend = bend + 0.075 * gauss(x.abs(), y, 0.42, 0.76, 0.24, 0.22)
    rows = [torch.stack([torch.zeros_like(x), bend, base_height(x, y)])]
    rows += [sum_bumps(bumps, x, y, 0, upper) for bumps in list(TRAITS.values())[:-3]]
    rows += [*crooked_fields(x, y), *random_fields(x, y)]
    for side in (-1, 1):
        rows += [sum_bumps(ACTIONS[au], x, y, side, upper) for au in AUS]
    rows += jaw_fields(x, y, upper)
    for side in (-1, 1):
        rows += [
            torch.stack([torch.zeros_like(h), torch.zeros_like(h), h]) for h in crease_fields(x, y, side)
        ]
    return torch.stack(rows)


class Basis(NamedTuple):
    slide: Tensor  # (K, 2 branches x 2, COARSE, COARSE) tangential displacement above, below the slit
    height: Tensor  # (K, FINE, FINE)
    points: Tensor  # (K, 2, 2) displacement of an eye and of the middle of the mouth


@lru_cache(maxsize=4)
def basis(device: torch.device | str = "cpu") -> Basis:
    above, below = all_fields(COARSE, True), all_fields(COARSE, False)
    slide = torch.cat([above[:, :2], below[:, :2]], 1)
    _x, y = nodes(FINE)
    height = torch.where((y < SLIT), all_fields(FINE, True)[:, 2], all_fields(FINE, False)[:, 2])
    where = canonical_to_grid(torch.tensor([[EYE[0], 0.0], [EYE[1], SLIT]])[None])
    points = sample(above[:, :2], where[:, None].expand(len(above), -1, -1, -1))[:, :, 0].transpose(1, 2)
    return Basis(slide.to(device), height.to(device), points.to(device))


# ---------------------------------------------------------------- one head


def coefficients(look: dict[str, Tensor], aus: Tensor) -> tuple[Tensor, int]:
    """(B, K) weights of the fields, and how many of the first ones describe the person."""
    n = len(aus)
    person = torch.cat([torch.ones_like(aus[:, 0, :1]), look["traits"], look["modes"]], 1)
    parting, jaw = aus[:, :, AU_INDEX[25]].mean(1), aus[:, :, AU_INDEX[26]].mean(1)
    smile = aus[:, :, AU_INDEX[12]].mean(1)
    mouth = torch.stack(
        [parting * (1 + 0.9 * smile) + 0.25 * jaw * (1 - parting), jaw * (0.55 + 0.45 * parting)], 1
    )

    def a(au: int) -> Tensor:
        return aus[:, :, AU_INDEX[au]]

    frown = torch.maximum(a(4), 0.7 * a(9))
    lift = (a(1) * (1 - 0.2 * a(4)), a(2))
    squeeze = (0.8 * a(6) + 0.3 * a(12) * a(6)).clamp(max=1)
    folds = (0.75 * a(12) + 0.65 * a(10) + 0.65 * a(9) + 0.3 * a(14) + 0.15 * a(6)).clamp(max=1.2)
    strain = torch.stack([*lift, frown, squeeze, a(9), folds, a(17), 0.7 * a(6) + 0.4 * a(7), a(15)], 2)
    creases = strain * look["crease_gain"][:, None] + look["crease_rest"][:, None]
    return torch.cat([person, aus.reshape(n, -1), mouth, creases.reshape(n, -1)], 1), person.shape[1]


class Surface(NamedTuple):
    """What a point of the deformed surface shows; a grid in directions, packed as `packed` does."""

    height: Tensor  # (B, 1, S, S) over the ellipsoid, as a share of its radius
    maps: Tensor  # (B, 8, S, S): canonical point above (2) and below (2) the slit, normal (3), hollow (1)
    eye: Tensor  # (B, 2) where this person's eye is (right one; the left mirrors it)
    mouth: Tensor  # (B, 2)


def shape_head(look: dict[str, Tensor], aus: Tensor, hair: Tensor) -> Surface:
    """Deforms the head and finds, for every direction, the canonical point that lies there.

    Args:
        hair: (B, FINE, FINE) thickness of hair and beard on the canonical grid.
    """
    device, n = aus.device, len(aus)
    fields = basis(device)
    weights, who = coefficients(look, aus)
    slide = (weights @ fields.slide.flatten(1)).view(n * 2, 2, COARSE, COARSE)
    position = nodes(COARSE, device).expand(n * 2, -1, -1, -1)
    point = position - slide
    for _ in range(5):  # fixed point of: canonical point + its displacement = this position
        point = position - sample(slide, canonical_to_grid(point))
    shift = (point - position).view(n, 4, COARSE, COARSE)
    shift = F.interpolate(shift, size=(SURFACE, SURFACE), mode="bilinear", align_corners=True)
    points = nodes(SURFACE, device).repeat(2, 1, 1) + shift
    height = (weights @ fields.height.flatten(1)).view(n, 1, FINE, FINE) + hair[:, None]
    above = (points[:, 1:2] < SLIT).float()
    here = above * points[:, :2] + (1 - above) * points[:, 2:]
    h = sample(height, canonical_to_grid(here))
    normal = normals(h, look["long"])
    fixed = weights[:, :who] @ fields.points[:who].flatten(1)
    where = fixed.view(n, 2, 2) + torch.tensor([EYE, (0.0, SLIT)], device=device)
    return Surface(h, torch.cat([points, normal, hollow(h)], 1), where[:, 0], where[:, 1])


def normals(h: Tensor, long: Tensor) -> Tensor:
    """Unit normals (B, 3, S, S) of the surface, in the head's frame."""
    axes = torch.stack([torch.full_like(long, AXES[0]), AXES[1] * long, torch.full_like(long, AXES[2])], 1)
    p = (1 + h) * directions(h.shape[-1], h.device) * axes[:, :, None, None]
    wide = F.pad(p, (1, 1, 1, 1), mode="replicate")
    right, down = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2], wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    return unit(torch.linalg.cross(right, down, dim=1))


def hollow(h: Tensor) -> Tensor:
    """How much of the light from all around a hollow loses, (B, 1, S, S): its depth below its blur."""
    fine = blurred(h, 5)
    small = fine[:, :, ::2, ::2]
    wide = blurred(small, 7)
    low = 4.0 * (wide - small) + 2.2 * (blurred(wide, 11) - small)
    low = F.interpolate(low, size=h.shape[-2:], mode="bilinear", align_corners=False)
    return (6.0 * (fine - h) + low).clamp(-0.25, 0.75)


def blurred(h: Tensor, width: int) -> Tensor:
    """The mean over squares; first along the rows, then along the columns."""
    h = F.avg_pool2d(h, (1, width), 1, (0, width // 2), count_include_pad=False)
    return F.avg_pool2d(h, (width, 1), 1, (width // 2, 0), count_include_pad=False)

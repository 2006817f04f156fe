"""What action units do to the polygonal head: landmarks that move, lids and lips that open, creases.

Directions follow the descriptions of the Facial Action Coding System (Ekman, Friesen and Hager 2002);
distances are our choice. Each side has its own fields; what lies in the middle moves half with each.
"""

import torch
from torch import Tensor

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.device_tables import device_table
from fedet.synthetic.mesh.head import EYE, EYE_HALF, HINGE, MOUTH_HALF, arch, bell, pair, ramp, template

# landmarks of the right side and the middle on the chart of the template (x, y)
LANDMARKS = {
    "brow_in": (0.15, -0.45), "brow_mid": (0.4, -0.48), "brow_out": (0.67, -0.43), "glabella": (0.0, -0.4),
    "forehead_mid": (0.0, -0.8), "forehead_in": (0.3, -0.82), "forehead_out": (0.65, -0.75),
    "temple": (0.88, -0.3), "root": (0.0, -0.15), "tip": (0.0, 0.27), "wing": (0.18, 0.29),
    "nose_side": (0.15, 0.07), "eye_in": (0.215, -0.2), "eye_out": (0.645, -0.2), "lid": (0.43, -0.29),
    "bag": (0.43, -0.06), "crow": (0.78, -0.17), "cheek": (0.5, 0.14), "cheek_out": (0.8, 0.15),
    "cheek_low": (0.64, 0.5), "fold": (0.36, 0.45), "under_nose": (0.0, 0.43), "lip_up": (0.0, 0.63),
    "lip_up_side": (0.18, 0.635), "corner": (0.36, 0.7), "corner_out": (0.5, 0.7), "lip_low": (0.0, 0.79),
    "lip_low_side": (0.18, 0.785), "under_lip": (0.0, 0.89), "under_side": (0.26, 0.9), "chin": (0.0, 1.08),
    "chin_side": (0.26, 1.08), "jaw": (0.56, 0.95), "jaw_low": (0.45, 1.18), "jaw_angle": (0.8, 0.7),
    "throat": (0.0, 1.36),
}  # fmt: skip
REACH = 0.5  # of a landmark
# action unit -> landmark: shift to the side, down and forward at full strength
SHIFTS: dict[int, dict[str, tuple[float, float, float]]] = {
    1: {"brow_in": (0, -0.17, 0.02), "brow_mid": (0, -0.07, 0.01), "glabella": (0, -0.1, 0),
        "forehead_mid": (0, -0.05, 0), "forehead_in": (0, -0.05, 0), "lid": (0, -0.02, 0)},
    2: {"brow_out": (0, -0.17, 0.01), "brow_mid": (0, -0.13, 0.01), "forehead_out": (0, -0.06, 0),
        "forehead_in": (0, -0.03, 0), "lid": (0, -0.025, 0), "crow": (0, -0.03, 0)},
    4: {"brow_in": (-0.065, 0.135, 0.05), "brow_mid": (-0.035, 0.12, 0.03), "brow_out": (-0.015, 0.045, 0),
        "glabella": (0, 0.08, 0.025), "lid": (0, 0.03, 0), "forehead_mid": (0, 0.02, 0), "root": (0, 0.01,
        0.01)},
    5: {"lid": (0, -0.03, -0.01), "brow_mid": (0, -0.01, 0)},
    6: {"cheek": (0.01, -0.1, 0.06), "cheek_out": (0, -0.08, 0.03), "bag": (0, -0.05, 0.035),
        "crow": (-0.03, -0.02, 0.02), "brow_out": (0, 0.03, 0), "eye_out": (-0.015, 0, 0), "fold": (0.02,
        -0.03, 0.01)},
    7: {"bag": (0, -0.03, 0.01), "lid": (0, 0.015, 0.005), "eye_out": (-0.01, 0, 0)},
    9: {"wing": (0.03, -0.075, 0.015), "nose_side": (-0.01, -0.06, 0.035), "root": (0, 0.02, 0.025),
        "tip": (0, -0.035, 0), "brow_in": (-0.03, 0.07, 0.02), "glabella": (0, 0.05, 0.02), "bag": (0,
        -0.03, 0.02),
        "fold": (0.01, -0.06, 0.03), "lip_up_side": (0, -0.05, 0.01), "lip_up": (0, -0.03, 0.01),
        "under_nose": (0, -0.035, 0), "cheek": (-0.01, -0.05, 0.02)},
    10: {"lip_up_side": (0.02, -0.1, 0.025), "lip_up": (0, -0.08, 0.02), "fold": (0.035, -0.06, 0.045),
         "wing": (0.025, -0.03, 0.01), "under_nose": (0, -0.02, 0), "corner": (0.01, -0.02, 0)},
    12: {"corner": (0.13, -0.14, -0.05), "corner_out": (0.1, -0.12, 0), "lip_up_side": (0.07, -0.035, -0.02),
         "lip_low_side": (0.07, -0.035, -0.02), "lip_up": (0, 0.01, -0.015), "cheek": (0.03, -0.06, 0.06),
         "cheek_low": (0.06, -0.07, 0.05), "fold": (0.08, -0.05, 0.03), "wing": (0.03, -0.01, 0),
         "bag": (0, -0.02, 0.01), "under_side": (0.04, -0.03, -0.01), "jaw": (0.02, -0.03, 0)},
    14: {"corner": (0.02, -0.01, -0.11), "corner_out": (-0.045, -0.005, -0.03), "cheek_low": (-0.01, 0.01,
    0.07),
         "lip_up_side": (0.01, 0.022, -0.03), "lip_low_side": (0.01, -0.028, -0.03)},
    15: {"corner": (0.03, 0.125, -0.02), "corner_out": (0.02, 0.1, 0.02), "lip_low_side": (0.02, 0.035, 0),
         "lip_up_side": (0.02, 0.02, 0), "under_side": (0.01, 0.05, 0.035), "fold": (0.0, 0.03, 0)},
    17: {"chin": (0, -0.1, 0.055), "chin_side": (-0.02, -0.07, 0.02), "under_lip": (0, -0.085, 0.01),
         "lip_low": (0, -0.05, 0.045), "lip_low_side": (0, -0.05, 0.03), "lip_up": (0, -0.03, 0.02),
         "lip_up_side": (0, -0.02, 0.01), "corner": (0, 0.035, 0), "under_side": (0, -0.06, 0.01),
         "throat": (0, -0.03, 0)},
    18: {"corner": (-0.15, 0, 0.06), "corner_out": (-0.11, 0, 0.01), "lip_up_side": (-0.06, -0.015, 0.08),
         "lip_low_side": (-0.06, 0.015, 0.08), "lip_up": (0, -0.02, 0.09), "lip_low": (0, 0.025, 0.09),
         "fold": (-0.04, 0, 0.01), "under_side": (-0.04, 0, 0.02), "cheek_low": (-0.03, 0, -0.03)},
    20: {"corner": (0.15, 0.035, -0.05), "corner_out": (0.11, 0.03, -0.01), "lip_up_side": (0.07, 0.015,
    -0.035),
         "lip_low_side": (0.08, 0.0, -0.035), "lip_up": (0, 0.015, -0.03), "lip_low": (0, -0.015, -0.03),
         "cheek_low": (0.05, 0.02, 0.03), "under_side": (0.07, 0.03, 0), "jaw": (0.03, 0.03, 0),
         "fold": (0.05, 0.01, 0)},
    24: {"lip_up": (0, 0.05, -0.045), "lip_up_side": (-0.02, 0.05, -0.04), "lip_low": (0, -0.065, -0.05),
         "lip_low_side": (-0.02, -0.06, -0.045), "corner": (-0.035, 0, -0.01), "under_lip": (0, -0.015,
         0.035),
         "under_nose": (0, 0.01, 0.025)},
    25: {"lip_low": (0, 0.01, 0.01)}, 26: {}, 43: {"lid": (0, 0.02, 0)},
}  # fmt: skip
JAW = 0.3  # radians that action unit 26 drops the jaw
CREASES = ("forehead_in", "forehead_out", "glabella", "root", "crow", "bag", "bunny", "fold", "bracket",
"dimple",
           "marionette", "chin", "sulcus", "pucker", "press", "stretch")  # fmt: skip
# how much of each crease an action unit draws
DRAWS = {
    1: {"forehead_in": 1.0}, 2: {"forehead_out": 1.0}, 4: {"glabella": 1.0, "root": 0.4},
    6: {"crow": 1.0, "bag": 0.8, "fold": 0.2}, 7: {"bag": 0.7, "crow": 0.25},
    9: {"bunny": 1.0, "root": 0.9, "glabella": 0.4, "fold": 0.6, "bag": 0.3}, 10: {"fold": 0.9},
    12: {"fold": 0.9, "bracket": 0.7, "dimple": 0.15, "crow": 0.2}, 14: {"dimple": 1.3, "bracket": 0.1},
    15: {"marionette": 1.0, "sulcus": 0.5}, 17: {"chin": 1.0, "sulcus": 0.9, "marionette": 0.25},
    18: {"pucker": 1.0}, 20: {"stretch": 1.0, "marionette": 0.3}, 24: {"press": 1.0, "dimple": 0.3},
}  # fmt: skip
TEXELS = 192
CHART = (-1.15, 1.15, -1.3, 1.45)  # left, right, top and bottom of the chart that textures cover


def _reach(distance: Tensor) -> Tensor:
    """Wendland's C2 function: smooth, positive definite and 0 beyond `REACH`."""
    r = (distance / REACH).clamp(max=1)
    return (1 - r) ** 4 * (4 * r + 1)


@device_table
def fields() -> Tensor:
    """Displacements (2, len(AUS), V, 3) of the template by landmarks, left and right side."""
    t = template()
    names = list(LANDMARKS)
    right = torch.tensor([LANDMARKS[name] for name in names])
    left = right[right[:, 0] > 0] * torch.tensor([-1.0, 1.0])
    every = torch.cat([right, left])
    shifts = torch.zeros(len(every), len(AUS), 3)
    for au, moves in SHIFTS.items():
        for name, shift in moves.items():
            half = 0.5 if LANDMARKS[name][0] == 0 else 1.0
            shifts[names.index(name), AU_INDEX[au]] = half * torch.tensor(shift)
    solved = torch.linalg.solve(_reach(torch.cdist(every, every)), shifts.flatten(1))
    front = ramp(torch.cos(t.angle), 0.05, 0.4)[:, None]
    sides = []
    for mirror in (torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3)):
        spread = _reach(torch.cdist(t.points[:, :2] * mirror[:2], every)) * front
        sides.append((spread @ solved).view(-1, len(AUS), 3).transpose(0, 1) * mirror)
    return torch.stack(sides)


@device_table
def openings() -> dict[str, Tensor]:
    """Weights (2, V) of the left and right lids, and (V,) of the lips and the jaw."""
    t = template()
    x, y, _ = t.points.unbind(1)
    front = torch.cos(t.angle) > 0
    lids = torch.stack([((s * x - EYE[0]) / EYE_HALF) for s in (-1, 1)])
    bow = (1 - lids**2).clamp(min=0) ** 0.75 * front
    far_eye, far_mouth = t.from_eye.abs(), t.from_mouth.abs()
    lips = arch(x, MOUTH_HALF) * front
    beyond = (x.abs() - MOUTH_HALF).clamp(min=0)
    jaw = 0.5 + 0.5 * t.below_mouth * torch.maximum(lips, ramp(far_mouth, 0, 0.3 + 0.9 * beyond))
    return {
        "upper_lid": bow * (1 - ramp(far_eye, 0.04, 0.24)) * (t.below_eye < 0),
        "lower_lid": bow * (1 - ramp(far_eye, 0.02, 0.16)) * (t.below_eye > 0),
        "upper_lip": lips * (1 - ramp(far_mouth, 0.07, 0.25)) * (t.below_mouth < 0),
        "lower_lip": lips * (1 - ramp(far_mouth, 0.08, 0.32)) * (t.below_mouth > 0),
        "jaw": jaw * ramp(torch.cos(t.angle), -0.2, 0.2) * (1 - ramp(y, 1.3, 1.75)),
    }


def drop_jaw(points: Tensor, angle: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Points (B, V, 3) turned about the hinge by angles (B,), as far as the weight (V,) of each says."""
    y, z = points[..., 1] - HINGE[0], points[..., 2] - HINGE[1]
    turn = angle[:, None] * weight
    c, s = torch.cos(turn), torch.sin(turn)
    return torch.stack([points[..., 0], HINGE[0] + c * y + s * z, HINGE[1] + c * z - s * y], -1)


# ---------------------------------------------------------------- creases


@device_table
def creases() -> Tensor:
    """Heights (2, len(CREASES), TEXELS, TEXELS) on the chart, left and right; about 0.01 units deep."""
    left, right, top, bottom = CHART
    x, y = torch.meshgrid(
        torch.linspace(left, right, TEXELS), torch.linspace(top, bottom, TEXELS), indexing="xy"
    )
    return torch.stack([_creases(s * x, y) * torch.sigmoid(s * x * 40) for s in (-1, 1)])


def _line(distance: Tensor, width: float) -> Tensor:
    """A furrow with banks."""
    return 0.55 * torch.exp(-(((distance.abs() - 2 * width) / width) ** 2)) - torch.exp(
        -((distance / width) ** 2)
    )


def _creases(x: Tensor, y: Tensor) -> Tensor:
    noise = torch.nn.functional.interpolate(
        torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(3)), size=x.shape, mode="bicubic"
    )[0, 0]
    high = (-0.6 - y + 0.05 * x**2) / 0.115
    rows = (
        (torch.cos(2 * torch.pi * high) - 0.3).clamp(min=-0.4)
        * ramp(high, -0.3, 0.1)
        * (1 - ramp(high, 2.3, 2.8))
    )
    inner = 1 - ramp(x.abs(), 0.22, 0.48)
    outer = ramp(x.abs(), 0.15, 0.4) * (1 - ramp(x.abs(), 0.68, 0.9))
    rx, ry = x - EYE[0] - EYE_HALF + 0.05, y - EYE[1]
    rays = torch.cos(8.5 * torch.atan2(ry, rx.clamp(min=0.02)) + 1.2) * bell(rx, ry, (0.19, 0.02), 0.1, 0.13)
    under = _line(ry - 0.075 - 0.075 * (1 - ((x - EYE[0]) / 0.28) ** 2).clamp(min=0), 0.016)
    t = (y - 0.27) / 0.5
    fold = (
        _line(x - (0.215 + 0.24 * t + 0.3 * t * (1 - t)), 0.026)
        * ramp(t, -0.1, 0.12)
        * (1 - ramp(t, 0.8, 1.15))
    )
    bracket = _line(x - 0.6 + 0.25 * (y - 0.62) ** 2, 0.03) * bell(x, y, (0.6, 0.6), 9, 0.17)
    corner = x - MOUTH_HALF - 0.02
    sulcus = _line(y - 0.9 - 0.5 * x**2, 0.025) * (1 - ramp(x.abs(), 0.12, 0.32))
    lips = bell(x, y, (0.0, 0.71), 0.26, 0.13)
    bulge = bell(x, y, (0.0, 0.57), 0.33, 0.045) + bell(x, y, (0.0, 0.85), 0.3, 0.04)
    return torch.stack([
        0.012 * rows * inner, 0.012 * rows * outer,
        0.02 * _line(x.abs() - 0.065, 0.02) * bell(x, y, (0.0, -0.42), 9, 0.12),
        0.014 * _line(y + 0.24 + 0.3 * x**2, 0.022) * (1 - ramp(x.abs(), 0.06, 0.14)),
        0.014 * rays, 0.012 * under * (1 - ramp((x - EYE[0]).abs(), 0.15, 0.27)),
        0.011 * torch.cos((y + 0.9 * x.abs()) * 85) * pair(x, y, (0.1, -0.07), 0.055, 0.1),
        0.026 * fold, 0.012 * bracket,
        -0.045 * bell(x, y, (MOUTH_HALF + 0.08, 0.69), 0.04, 0.1) + 0.02 * bell(x, y, (MOUTH_HALF + 0.17,
        0.69), 0.05, 0.13),
        0.018 * _line(corner - 0.2 * (y - 0.76), 0.024) * bell(x, y, (0.4, 0.9), 9, 0.1),
        0.007 * noise * bell(x, y, (0.0, 1.07), 0.2, 0.12), 0.018 * sulcus,
        0.006 * torch.cos(x * 110) * lips, 0.02 * bulge,
        0.01 * _line(x - 0.68 + 0.3 * (y - 0.75) ** 2, 0.03) * bell(x, y, (0.66, 0.75), 9, 0.2),
    ])  # fmt: skip


@device_table
def draws() -> Tensor:
    """Weights (len(AUS), len(CREASES))."""
    table = torch.zeros(len(AUS), len(CREASES))
    for au, named in DRAWS.items():
        for name, gain in named.items():
            table[AU_INDEX[au], CREASES.index(name)] = gain
    return table


def relief(aus: Tensor, gain: Tensor, rest: Tensor) -> Tensor:
    """The skin's creases (B, 3, TEXELS, TEXELS): slope to the right, slope down, height; units of the face.

    Args:
        aus: (B, 2, 18); gain, rest: (B, len(CREASES)) strength of the creases of each person.
    """
    depth = (aus @ draws()).clamp(max=1.4) * gain[:, None] + rest[:, None]
    height = (depth.flatten(1) @ creases().flatten(2).flatten(0, 1)).view(-1, TEXELS, TEXELS)
    down, along = torch.gradient(height, dim=(1, 2))
    left, right, top, bottom = CHART
    return torch.stack(
        [along * (TEXELS - 1) / (right - left), down * (TEXELS - 1) / (bottom - top), height], 1
    )


def pose(points: Tensor, aus: Tensor) -> Tensor:
    """Heads at rest (B, V, 3) as landmarks of their action units (B, 2, 18) move them."""
    moved = torch.einsum("bsa,sav->bv", aus, fields().flatten(2))
    return points + moved.view_as(points)

"""Who the polygonal people are: proportions, ages, hair, and colours in CIELAB."""

import torch
from torch import Tensor

from fedet.synthetic.mesh.head import MODES
from fedet.synthetic.mesh.muscles import CREASES
from fedet.synthetic.scene import Look, chance, uniform


def sample_looks(n: int, generator: torch.Generator) -> Look:
    """n people who do not exist, of all skin tones, ages and both sexes.

    Returns a dict of tensors whose first dimension is n; colours in 0..1.
    """

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    def p(share: float) -> Tensor:
        return chance(n, share, generator)

    age, woman, tone = u(0, 1), p(0.5), u(0, 1)
    man = 1 - woman
    long_hair = (woman * p(0.65) + man * p(0.06)).clamp(max=1)
    look = {
        "age": age, "woman": woman, "tone": tone, "distance": u(6, 14), "strength": u(0.85, 1.15),
        "seed_x": u(0, 1), "seed_y": u(0, 1), "rough": u(0.3, 1.3) * (0.6 + 0.6 * age), "flush": u(0, 1),
        "freckles": p(0.2) * u(0.3, 1), "tired": u(0, 1) * (0.3 + 0.7 * age), "shine": u(0.1, 1),
        "eye_open": u(0.05, 0.088), "eye_low": u(0.028, 0.052), "iris_size": u(0.36, 0.43), "pupil": u(0.3,
        0.5),
        "lid_fold": u(0, 1), "lashes": u(0, 0.5) + 0.5 * woman * u(0, 1), "make_up": woman * p(0.4) * u(0.2,
        1),
        "brow_in": u(0.12, 0.19), "brow_out": u(0.64, 0.76), "brow_slope": u(-0.04, 0.09),
        "brow_arch": u(0.0, 0.05) + 0.015 * woman, "brow_thick": u(0.022, 0.042) + 0.012 * man,
        "brow_dense": u(0.6, 1), "lip_up": u(0.05, 0.09) + 0.01 * woman, "lip_low": u(0.075, 0.13),
        "lip_gloss": u(0, 1.5), "teeth_high": u(0.1, 0.15), "teeth_low": u(-0.02, 0.03),
        "stubble": man * p(0.5) * u(0.1, 0.8), "beard": man * p(0.22) * u(0.6, 1),
        "moustache": man * p(0.2) * u(0.6, 1), "hairline": u(-1.12, -0.8) + 0.3 * p(0.2) * u(0.3, 1),
        "recede": man * p(0.4) * u(0, 1), "hair_end": torch.lerp(u(-0.25, 0.15), u(0.9, 2.2), long_hair),
        "hair_back": torch.lerp(u(0.35, 0.8), u(1.6, 2.2), long_hair), "hair_thick": u(0.06, 0.24),
        "hair_side": u(0.03, 0.14) + 0.06 * long_hair, "parting": u(-1, 1), "curl": p(0.35) * u(0.3, 1),
        "hair_phase": u(0, 6.28), "bald": man * p(0.13), "ears": u(0.8, 1.15), "collar": u(-0.05, 0.35),
        "stripes": p(0.25), "glasses": p(0.22), "lens_w": u(0.24, 0.33), "lens_h": u(0.17, 0.27),
        "lens_square": u(2, 4.5), "rim": u(0.012, 0.032), "clutter": p(0.6) * u(0.3, 1),
        "room": torch.rand(n, 3, 6, 6, generator=generator),
    }  # fmt: skip
    look["moustache"] = torch.maximum(look["moustache"], look["beard"])
    spread = 0.5 + torch.rand(n, len(CREASES), generator=generator)
    look["crease_gain"] = (0.7 + 0.7 * age)[:, None] * spread
    old = (age[:, None] ** 2) * torch.rand(n, len(CREASES), generator=generator)
    quiet = torch.tensor(
        [0.5 if c in ("pucker", "press", "stretch", "dimple", "bunny", "chin") else 1 for c in CREASES]
    )
    look["crease_rest"] = 0.8 * old * (quiet - 0.4 * (quiet < 1))
    look["traits"] = sample_traits(torch.randn(n, len(MODES), generator=generator).clamp(-2, 2), woman, age)
    return look | sample_colours(n, look, generator)


def sample_traits(spread: Tensor, woman: Tensor, age: Tensor) -> Tensor:
    """Weights (n, len(MODES)) of the ways in which heads differ, shifted between sexes and ages."""
    man = 1 - 2 * woman
    mean = {"jaw_wide": 0.6 * man, "chin_wide": 0.4 * man, "chin_long": 0.4 * man, "brow_ridge": 0.9 * man,
            "brow_high": -0.4 * man, "lips_full": -0.4 * man, "nose_wide": 0.3 * man, "nose_out": 0.2 * man,
            "eyes_large": -0.3 * man, "neck": 0.8 * man, "nose_long": 0.6 * (age - 0.4),
            "mouth_curve": 0.3 + 0 * age, "sag": 1.6 * (age - 0.45), "cheeks_full": 0.5 - age}  # fmt: skip
    traits = 0.85 * spread
    for name, shift in mean.items():
        traits[:, MODES.index(name)] += shift
    return traits


def sample_colours(n: int, look: Look, generator: torch.Generator) -> Look:
    """Colours (n, 3) in 0..1; skin along the lightness of CIELAB, which spreads tones evenly."""

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    tone, woman = look["tone"], look["woman"]
    middle = 1 - (2 * tone - 0.9) ** 2
    skin = from_lab(torch.stack([84 - 56 * tone, u(9, 14) + 5 * middle, u(9, 15) + 8 * middle], 1))
    dark = (u(0, 1) ** 0.8 * 60 * (1 - tone).clamp(0.05, 1)).clamp(max=70) + 6
    hair = from_lab(torch.stack([dark, 3 + u(0, 14) * (dark / 45).clamp(max=1), 4 + dark * u(0.2, 0.5)], 1))
    grey = (((look["age"] - 0.6) * 3).clamp(0, 1) * u(0, 1))[:, None]
    hair = torch.lerp(hair, u(0.4, 0.85)[:, None].expand(n, 3), grey)
    lip = skin * torch.tensor([0.9, 0.68, 0.7])
    stick = from_lab(torch.stack([u(25, 60), u(25, 60), u(0, 25)], 1))
    painted = (look["make_up"] * u(0, 1))[:, None]
    return {
        "skin": skin, "hair": hair, "lip": torch.lerp(lip, stick, painted),
        "brow": hair * u(0.35, 0.8)[:, None],
        "lash": hair * 0.15 + 0.03, "lid": from_lab(torch.stack([u(20, 60), u(-10, 25), u(-25, 20)], 1)),
        "iris": from_lab(torch.stack([u(15, 55) * (1.1 - 0.7 * tone), u(-8, 12), u(-25,
        30) * (1 - tone) + 18 * tone], 1)),
        "ivory": from_lab(torch.stack([u(78, 92), u(-1, 2), u(4, 16)], 1)),
        "frame": torch.rand(n, 3, generator=generator) * u(0, 0.6)[:, None] + 0.02 * woman[:, None],
        "cloth": from_lab(torch.stack([u(8, 88), u(-40, 40), u(-40, 40)], 1)),
        "cloth_2": from_lab(torch.stack([u(8, 88), u(-40, 40), u(-40, 40)], 1)),
    }  # fmt: skip


def from_lab(lab: Tensor) -> Tensor:
    """CIELAB (n, 3) under D65 to sRGB 0..1, clipped (IEC 61966-2-1)."""
    y = (lab[:, 0] + 16) / 116
    f = torch.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], 1)
    xyz = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * torch.tensor([0.9505, 1.0, 1.089])
    to_rgb = torch.tensor([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.204, 1.057]])
    rgb = (xyz @ to_rgb.T).clamp(0, 1)
    return torch.where(rgb > 0.0031308, 1.055 * rgb ** (1 / 2.4) - 0.055, 12.92 * rgb).clamp(0.01, 1)

"""People of the splat family: what they look like, drawn at random; everybody equally often.

Skin follows Beer and Lambert: light passes through melanin and blood, and how much of it comes back
falls exponentially with their amounts (Anderson and Parrish 1981); `tone` is the melanin, uniform
from the lightest to the darkest skin.
"""

import torch
from torch import Tensor

from fedet.synthetic.scene import Look, chance, uniform
from fedet.synthetic.splats.head import names

PALE = (0.86, 0.60, 0.47)  # linear colour of skin without melanin
MELANIN = (2.35, 2.95, 3.3)  # absorbance of the darkest skin's, red to blue
BLOOD = (0.12, 1.0, 0.85)  # absorbance of one part of blood
FIBRES = {  # linear colours of hair
    "black": (0.012, 0.010, 0.010), "dark": (0.03, 0.018, 0.012), "brown": (0.085, 0.045, 0.024),
    "auburn": (0.16, 0.055, 0.022), "red": (0.32, 0.11, 0.035), "blond": (0.42, 0.28, 0.13),
    "pale": (0.62, 0.48, 0.29),
}  # fmt: skip
# how a trait differs between the average man (+) and woman (-), in deviations
MALE = {"jaw": 0.7, "brow_bone": 1.0, "nose_out": 0.4, "nose_wide": 0.3, "lip_up": -0.4, "lip_low": -0.3,
        "chin_wide": 0.8, "chin_long": 0.4, "cheekbone": -0.2, "long": 0.3, "width": 0.2}  # fmt: skip
REST = {"corners": -0.6}  # mouths at rest do not turn down
OLD = {"jowl": 1.6, "lip_up": -0.8, "lip_low": -0.5, "nose_long": 0.6, "corners": 0.7, "full": -0.5}


def skin_colour(melanin: Tensor, blood: Tensor | float = 0.0) -> Tensor:
    """Linear colours (..., 3) of skin with melanin (...), 0 none and 1 most, and more or less blood."""
    a, b = (torch.tensor(v, device=melanin.device) for v in (MELANIN, BLOOD))
    pale = torch.tensor(PALE, device=melanin.device)
    more = b * (blood[..., None] if isinstance(blood, Tensor) else blood)
    return pale * torch.exp(-melanin[..., None] * a - more)


def sample_looks(n: int, generator: torch.Generator) -> Look:
    """n people who do not exist. Skin tones are uniform from very light to very dark.

    Returns a dict of tensors, (n,), (n, 3) for colours or (n, K); `skin` as a screen shows it, 0..1,
    the other colours linear.
    """

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    def p(share: float | Tensor) -> Tensor:
        return (torch.rand(n, generator=generator) < share).float()

    tone, age, woman = u(0, 1), u(0, 1), chance(n, 0.5, generator)
    old = ((age - 0.45) / 0.55).clamp(min=0)
    man = 1 - woman
    shape = torch.randn(n, len(names()), generator=generator).clamp(-2.2, 2.2)
    for i, name in enumerate(names()):
        shape[:, i] += REST.get(name, 0.0) + (2 * man - 1) * MALE.get(name, 0.0) + old * OLD.get(name, 0.0)
    blood = u(-0.06, 0.22)
    skin = skin_colour(tone, blood)
    hair = fibre_colour(n, tone, old, woman, generator)
    covered = p(torch.where(woman > 0, 0.14, 0.08))
    bald = man * p(0.1 + 0.25 * old) * (1 - covered)
    long = woman * p(0.7) + man * p(0.06) * (1 - bald)
    beard = man * p(0.22)
    stick = torch.stack([u(0.25, 0.6), u(0.02, 0.12), u(0.03, 0.16)], 1)
    return {
        "tone": tone, "age": age, "woman": woman, "melanin": tone, "blood": blood,
        "skin": skin.clamp(0, 1) ** (1 / 2.2), "shape": shape,
        "grain": torch.randn(n, 12, generator=generator),
        "lens": u(6.5, 12), "open": (u(0.8, 1.15) - 0.12 * old), "gloss": u(0.3, 1) ** 2,
        "freckles": p(0.3) * u(0.2, 1) * (1 - 0.7 * tone), "mottle": u(0.3, 1), "flush": u(0.1, 1),
        "rough": u(0.2, 0.7) + 0.6 * old, "creases": u(0.7, 1.1) + 0.35 * age,
        "aged": (torch.rand(n, 6, generator=generator) * 0.75 * old[:, None] + 0.1 * torch.rand(n, 6,
                 generator=generator)),
        "lip_blood": u(0.35, 0.75), "stick": stick, "painted": woman * p(0.4) * u(0.4, 0.95),
        "shadow": woman * p(0.35) * u(0.3, 0.9),
        "shadow_colour": 0.35 * torch.rand(n, 3, generator=generator),
        "liner": woman * p(0.5) * u(0.4, 1), "lash": u(0.15, 0.5) + 0.45 * woman * u(0, 1), "bags": u(0, 0.5),
        "iris": iris_colour(n, tone, generator), "iris_size": u(0.92, 1.06), "pupil": u(0.34, 0.5),
        "ivory": u(0.55, 0.8)[:, None] * torch.stack([u(0.98, 1.02), u(0.9, 0.96), u(0.74, 0.9)], 1),
        "teeth_long": u(-0.01, 0.025),
        "hair": hair, "bald": bald, "covered": covered,
        "cloth": torch.rand(n, 3, generator=generator) ** 2 * 0.7,
        "scarf": (torch.rand(n, 3, generator=generator) ** 1.6 * 0.6 + 0.01),
        "hairline": u(-0.06, 0.06) - 0.1 * man * old * u(0, 1), "recede": man * u(0, 0.8) * (0.2 + old),
        "fringe": (1 - bald) * p(0.22 + 0.13 * woman) * u(0.5, 0.85), "fall": long * u(0.5, 1.7),
        "volume": (u(0.03, 0.13) + 0.08 * long * u(0, 1)) * (1 - 0.75 * bald),
        "curl": p(0.25 + 0.35 * tone) * u(0.4, 1) * (1 - 0.7 * bald),
        "sheen": u(0.2, 1), "strands": u(0.5, 1), "parting": u(-1, 1), "wave": u(0, 1),
        "brow_y": u(-0.03, 0.04) - 0.012 * woman, "brow_arch": u(0.0, 0.07) + 0.025 * woman,
        "brow_slope": u(-0.05, 0.04),
        "brow_thick": u(0.026, 0.05) + 0.014 * man * u(0, 1) - 0.006 * woman, "brow_in": u(0.13, 0.2),
        "brow_out": u(0.7, 0.84), "brow_dense": u(0.25, 1) * (1 - 0.3 * old), "brow_wild": u(0.2, 1),
        "brow_light": u(0, 0.25) + p(0.2) * u(0, 0.5),
        "stubble": man * p(0.5) * u(0.1, 0.8), "beard": beard * u(0.5, 1), "beard_length": u(0.02, 0.14),
        "moustache": (man * torch.maximum(beard * p(0.85), p(0.07))) * u(0.5, 1),
        "glasses": p(0.25),
        "frame": (u(0, 0.4)[:, None] ** 2) * torch.rand(n, 3, generator=generator) + 0.004,
        "lens_w": u(0.25, 0.33), "lens_h": u(0.17, 0.28), "lens_square": u(2, 5), "rim": u(0.007, 0.022),
        "tint": p(0.12) * u(0.1, 0.35), "glare": p(0.5) * u(0.2, 1), "glare_at": u(-1, 1),
        "ears": u(0.0, 1), "neckline": u(0, 1), "stripes": p(0.25) * u(0.2, 0.7),
        "neck": u(-0.04, 0.04) + 0.08 * man,
        "seed": torch.randint(0, 100_000, (n,), generator=generator).float(),
    }  # fmt: skip


def fibre_colour(n: int, tone: Tensor, old: Tensor, woman: Tensor, generator: torch.Generator) -> Tensor:
    """Linear hair colours (n, 3): mostly dark with dark skin, grey with age unless dyed."""
    table = torch.tensor(list(FIBRES.values()))
    light = torch.tensor([0.16, 0.22, 0.24, 0.08, 0.06, 0.16, 0.08])
    dark = torch.tensor([0.62, 0.26, 0.07, 0.02, 0.0, 0.02, 0.01])
    share = torch.lerp(light, dark, (1.6 * tone[:, None]).clamp(max=1))
    colour = table[torch.multinomial(share, 1, generator=generator)[:, 0]]
    colour = colour * (0.75 + 0.5 * torch.rand(n, 1, generator=generator))
    grey = (
        1.5 * old * torch.rand(n, generator=generator) * 1.4 * (1 - 0.5 * woman * chance(n, 0.6, generator))
    )
    silver = torch.tensor([0.42, 0.41, 0.4]) * (0.5 + 0.7 * torch.rand(n, 1, generator=generator))
    return torch.lerp(colour, silver, grey.clamp(0, 0.95)[:, None])


def iris_colour(n: int, tone: Tensor, generator: torch.Generator) -> Tensor:
    """Linear colours (n, 3): brown, hazel, green, blue or grey; mostly brown with dark skin."""
    table = torch.tensor([(0.03, 0.014, 0.008), (0.09, 0.04, 0.015), (0.13, 0.09, 0.03), (0.09, 0.13, 0.06),
                          (0.1, 0.17, 0.26), (0.16, 0.19, 0.2)])  # fmt: skip
    light = torch.tensor([0.15, 0.25, 0.15, 0.1, 0.25, 0.1])
    dark = torch.tensor([0.7, 0.26, 0.03, 0.01, 0.0, 0.0])
    share = torch.lerp(light, dark, (1.8 * tone[:, None]).clamp(max=1))
    colour = table[torch.multinomial(share, 1, generator=generator)[:, 0]]
    return colour * (0.7 + 0.6 * torch.rand(n, 1, generator=generator))

"""What the action units do to the skin of the splat heads, after their descriptions in FACS.

Each of the 18 units is a field of shifts (Ekman, Friesen and Hager 2002: which muscle, from where it
pulls to where) and a field of furrows with the bulges next to them. Both are drawn for the right side
and mirrored; a side's intensity moves its own half. The lids are moved on their own, since what a
blink leaves to do depends on how wide the eye is open.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.device_tables import device_table
from fedet.synthetic.splats.head import EYE, MOUTH, SEAM, Template, features, template, traits, vermilion

BLEND = 0.02  # width of the band about the midline where both sides' muscles act
AGES = ("forehead", "frown", "crow", "bags", "smile", "corner")  # furrows that stay with the years


def shifts(t: Template) -> dict[int, np.ndarray]:
    """AU -> shifts (R, C, 3) of the right side at intensity 1; x grows away from the midline."""
    h, jaw = t.hill, t.jaw
    lip, side = vermilion(t)
    border = (
        np.exp(-(((lip - 1) / 0.8) ** 2)) * np.where(lip > 1, np.exp(-(((lip - 1) / 1.2) ** 2)), 1) * side
    )
    above, below = (1 - jaw) * t.lips, jaw * t.lips
    up_lip = np.exp(-((np.clip(SEAM - t.y, 0, None) / 0.2) ** 2))
    low_lip = np.exp(-((np.clip(t.y - SEAM, 0, None) / 0.24) ** 2))
    thin_up, thin_low = border * (1 - jaw), border * jaw
    wing = h((0.19, 0.46), (0.1, 0.12))
    corner, cheek = h((MOUTH, SEAM), (0.17, 0.15)), h((0.5, 0.3), (0.3, 0.26))
    brow_in, brow_out = h((0.2, -0.46), (0.24, 0.24)), h((0.64, -0.44), (0.27, 0.25))
    drop = (
        np.clip(t.lips + (t.y - SEAM) / 0.42, 0, 1)
        * jaw
        * np.clip((0.98 - np.abs(t.x)) / 0.4, 0, 1)
        * t.front
    )
    drop = drop * drop * (3 - 2 * drop)

    def move(dx=0.0, dy=0.0, dz=0.0) -> np.ndarray:
        zero = np.zeros_like(t.x)
        return np.stack([zero + dx, zero + dy, zero + dz], -1)

    return {
        1: move(-0.015 * brow_in, -0.19 * brow_in, 0.01 * brow_in) + move(0, -0.05
            * h((0.2, -0.8), (0.3, 0.2))),
        2: move(0.01 * brow_out, -0.19 * brow_out) + move(0, -0.05 * h((0.6, -0.8), (0.3, 0.2))),
        4: move(-0.09 * h((0.26, -0.44), (0.24, 0.2)), 0.13 * h((0.25, -0.44), (0.3, 0.2)),
                0.03 * h((0.2, -0.38), (0.16, 0.1))) + move(0, 0.05 * h((0.6, -0.44), (0.25, 0.18))),
        5: move(0, -0.02 * h((0.45, -0.3), (0.3, 0.1))),
        6: move(-0.02 * cheek, -0.1 * cheek, 0.06 * cheek) + move(-0.03 * h((0.8, -0.05), (0.18, 0.2)), 0,
                0.03 * h((0.45, 0.14), (0.28, 0.09))),
        7: move(-0.01 * h((0.66, -0.09), (0.12, 0.1)), -0.03 * h((0.45, 0.05), (0.26, 0.08)),
                0.02 * h((0.45, 0.05), (0.26, 0.07))),
        9: move(0.02 * wing, -0.1 * wing, 0.03 * wing) + move(-0.03 * brow_in, 0.09
            * h((0.2, -0.4), (0.26, 0.18)))
           + move(0, -0.06 * h((0.14, 0.2), (0.16, 0.22)), 0.03 * h((0.14, 0.12), (0.1, 0.14)))
           + move(0, -0.05 * up_lip * (1 - jaw) * h((0.12, SEAM), (0.2, 0.4)))
           + move(0, -0.06 * h((0.34, 0.32), (0.2, 0.2)), 0.04 * h((0.34, 0.3), (0.18, 0.18))),
        10: move(0, -0.15 * up_lip * (1 - jaw) * h((0.17, SEAM), (0.17, 0.5)) * t.lips, 0.03 * thin_up)
            + move(0.015 * wing, -0.04 * wing) + move(0, -0.08 * h((0.34, 0.52), (0.18, 0.2)),
                   0.05 * h((0.36, 0.45), (0.18, 0.18))) + move(0, -0.05 * below * low_lip),
        12: move(0.14 * corner, -0.15 * corner, -0.07 * corner)
            + move(0.03 * cheek, -0.06 * h((0.48, 0.45), (0.26, 0.26)), 0.07 * h((0.5, 0.42), (0.22, 0.2)))
            + move(0, 0.02 * thin_up - 0.02 * thin_low, -0.02 * border) + move(0.02 * wing),
        14: move(0.07 * corner, 0.01 * corner, -0.1 * h((MOUTH + 0.03, SEAM), (0.1, 0.1)))
            + move(0, 0.035 * thin_up - 0.035 * thin_low, 0.04 * h((0.53, 0.88), (0.09, 0.16))),
        15: move(0.02 * corner, 0.14 * corner, 0.0) + move(0, 0.04 * h((0.42, 1.15), (0.16, 0.16)),
                 0.035 * h((0.44, 1.12), (0.12, 0.12))) + move(0, 0.02 * thin_up - 0.02 * thin_low),
        17: move(0, -0.11 * jaw * h((0, 1.24), (0.3, 0.2)), 0.05 * jaw * h((0, 1.28), (0.2, 0.14)))
            + move(0, -0.075 * below * low_lip, 0.06 * thin_low) + move(0, -0.075 * above * up_lip, 0.03
                * thin_up)
            + move(0, 0.02 * corner),
        18: move(-0.36 * np.abs(t.x) * h((0, SEAM), (0.6, 0.32)), 0, 0.14 * h((0, SEAM), (0.42, 0.28)))
            + move(0, -0.05 * thin_up + 0.05 * thin_low, 0.05 * border),
        20: move(0.16 * corner, 0.04 * corner, -0.06 * corner) + move(0.06 * h((0.6, 1.0), (0.2, 0.25)))
            + move(0, 0.03 * thin_up - 0.035 * thin_low, -0.03 * border) + move(0, 0.03
                * h((0.3, 1.1), (0.3, 0.2))),
        24: move(0, 0.075 * thin_up - 0.09 * thin_low, -0.07 * border)
            + move(-0.02 * corner, 0, 0.035 * h((0.0, 0.76), (0.26, 0.06)) + 0.04
                * h((0, 1.06), (0.26, 0.07))),
        25: move(0, -0.05 * above * up_lip) + move(0, 0.12 * below * low_lip, -0.01 * below),
        26: move(-0.02 * h((0.5, 0.85), (0.25, 0.3)), 0.06 * h((MOUTH, SEAM), (0.2, 0.25))
                 - 0.015 * above * up_lip) + move(0, 0.27 * drop, -0.07 * drop),
        43: move(0, 0.02 * h((0.45, -0.3), (0.3, 0.1))),
    }  # fmt: skip


def furrows(t: Template) -> dict[int, np.ndarray]:
    """AU -> how far the skin is folded outwards (R, C), negative in a furrow, at intensity 1."""
    fold, h = t.fold, t.hill
    inner = [fold([(-0.05, y), (0.2, y - 0.01), (0.42, y + 0.03)], 0.034) for y in (-0.7, -0.84, -0.98)]
    outer = [fold([(0.3, y + 0.02), (0.55, y), (0.8, y + 0.08)], 0.034) for y in (-0.7, -0.84, -0.98)]
    crow = [fold([(0.72, -0.09), (0.84, y), (0.94, 2 * y - 0.0)], 0.024) for y in (-0.16, -0.06, 0.05)]
    nose = [fold([(0.03, y), (0.12, y - 0.02), (0.2, y + 0.1)], 0.024) for y in (-0.06, 0.05, 0.15)]
    smile = fold([(0.25, 0.43), (0.36, 0.56), (0.47, 0.74), (0.52, 0.95)], 0.04)
    lips = sum(fold([(x, 0.72), (x * 0.9, 0.8)], 0.02) for x in (0.03, 0.1, 0.17))
    rng = np.random.default_rng(17)
    at = rng.uniform((0.0, 1.17), (0.2, 1.44), (14, 2))
    pits = sum(h((x, y), (0.028, 0.028)) for x, y in at)
    return {
        1: 0.05 * sum(inner) + 0.012 * h((0.22, -0.5), (0.16, 0.06)),
        2: 0.045 * sum(outer),
        4: 0.085 * fold([(0.075, -0.66), (0.06, -0.5), (0.085, -0.34)], 0.03)
           + 0.03 * h((0.2, -0.42), (0.1, 0.08)) + 0.03
               * fold([(0.0, -0.2), (0.1, -0.2), (0.14, -0.18)], 0.03),
        5: 0 * t.x,
        6: 0.045 * sum(crow) + 0.04 * fold([(0.22, 0.02), (0.42, 0.1), (0.64, 0.05)], 0.028)
           + 0.02 * fold([(0.3, 0.2), (0.5, 0.26), (0.7, 0.18)], 0.035),
        7: 0.03 * fold([(0.24, 0.0), (0.44, 0.06), (0.62, 0.01)], 0.022),
        9: 0.05 * sum(nose) + 0.05 * fold([(0.0, -0.17), (0.08, -0.18), (0.13, -0.15)], 0.028)
           + 0.05 * fold([(0.24, 0.28), (0.29, 0.42), (0.33, 0.58)], 0.032) + 0.025 * fold(
            [(0.2, 0.0), (0.35, 0.1), (0.5, 0.13)], 0.026),
        10: 0.065 * fold([(0.24, 0.34), (0.33, 0.46), (0.43, 0.66), (0.46, 0.86)], 0.036),
        12: 0.075 * smile + 0.02 * fold([(0.24, 0.03), (0.44, 0.1), (0.62, 0.06)], 0.026),
        14: 0.1 * fold([(0.465, 0.78), (0.49, 0.9), (0.465, 1.02)], 0.034),
        15: 0.06 * fold([(0.4, 0.94), (0.45, 1.08), (0.46, 1.24)], 0.036) + 0.02 * fold(
            [(-0.05, 1.1), (0.15, 1.1), (0.3, 1.06)], 0.03),
        17: -0.03 * pits + 0.06 * fold([(-0.05, 1.1), (0.1, 1.1), (0.25, 1.15)], 0.034)
            + 0.03 * h((0, 1.28), (0.2, 0.14)),
        18: 0.025 * lips,
        20: 0.03 * fold([(0.58, 0.8), (0.62, 0.95), (0.58, 1.12)], 0.035) + 0.035 * fold(
            [(-0.05, 1.1), (0.15, 1.11), (0.32, 1.06)], 0.032),
        24: 0.03 * fold([(-0.05, 0.78), (0.15, 0.785), (0.3, 0.84)], 0.028) + 0.04 * fold(
            [(-0.05, 1.06), (0.15, 1.05), (0.3, 0.98)], 0.03) + 0.03 * fold(
            [(0.42, 0.84), (0.43, 0.9), (0.42, 0.97)], 0.025),
        25: 0 * t.x,
        26: 0.03 * fold([(0.5, 0.75), (0.57, 0.95), (0.56, 1.15)], 0.04),
        43: 0.01 * fold([(0.26, -0.12), (0.45, -0.19), (0.64, -0.12)], 0.02),
    }  # fmt: skip


def years(t: Template, au: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Furrows (R, C) of a resting face, `AGES`; `au` are the `furrows` of the action units."""
    fold = t.fold
    return {
        "forehead": 0.3 * (au[1] + au[2]), "frown": 0.35 * au[4], "crow": 0.4 * au[6],
        "bags": 0.03 * fold([(0.24, 0.05), (0.42, 0.15), (0.62, 0.1)], 0.035)
                + 0.02 * t.hill((0.43, 0.05), (0.17, 0.05)),
        "smile": 0.045 * fold([(0.25, 0.48), (0.38, 0.66), (0.46, 0.88)], 0.04),
        "corner": 0.025 * fold([(0.41, 0.95), (0.46, 1.08), (0.47, 1.25)], 0.04),
    }  # fmt: skip


class Muscles(NamedTuple):
    """Tables of all fields on the N points of the sheets."""

    rest: Tensor  # (N, 3) the average face
    people: Tensor  # (traits, N 3), in the order of `names`
    moves: Tensor  # (2 18, N 3)
    folds: Tensor  # (2 18 + AGES, N)
    out: Tensor  # (N, 3) where a fold or bulge stands out to
    lids: Tensor  # (4, N) shifts down of the upper lids left and right, the lower lids left and right


@device_table
def muscles() -> Muscles:
    t = template()
    right = 1 / (1 + np.exp(-np.clip(t.x / BLEND, -40, 40)))
    sides = np.stack([1 - right, right])  # (2, R, C)
    outwards = np.sign(t.x)[..., None] * np.array([1, 0, 0]) + np.array([0, 1, 1])
    au_shifts, au_furrows = shifts(t), furrows(t)
    moved = np.stack([au_shifts[au] for au in AUS]) * outwards
    folded = np.stack([au_furrows[au] for au in AUS])
    resting = years(t, au_furrows)
    aged = np.stack([resting[name] for name in AGES])
    people, out = traits(t), outward(t)
    rest = np.stack([t.x, t.y, t.z], -1) + features(t)[..., None] * np.array([0, 0, 1.0])
    # What a lid's edge moves by, the skin up to the brow moves by less and less.
    high, low = np.clip(1 - (EYE[1] - t.y) / 0.27, 0, 1) ** 2, np.clip(1 - (t.y - EYE[1]) / 0.2, 0, 1) ** 2
    lids = [s * t.slit * edge for edge in (t.upper * high, (1 - t.upper) * low) for s in sides]
    lids = np.where(np.abs(t.y - EYE[1]) < 0.3, np.stack(lids), 0)

    def flat(values: np.ndarray, last: int) -> Tensor:
        return torch.tensor(values.reshape(-1, t.x.size * last), dtype=torch.float32)

    return Muscles(
        flat(rest, 3).view(-1, 3), flat(np.stack(list(people.values())), 3),
        flat(sides[:, None, ..., None] * moved, 3),
        torch.cat([flat(sides[:, None] * folded, 1), flat(aged, 1)]), flat(out, 3).view(-1, 3), flat(lids, 1),
    )  # fmt: skip


def outward(t: Template) -> np.ndarray:
    """Unit vectors (R, C, 3) away from the axis of the head, a little flattened."""
    v = np.stack([0.8 * t.x, np.zeros_like(t.x), np.maximum(t.z, 0) + 0.15], -1)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def lid_shifts(open_: Tensor, aus: Tensor, gaze_y: Tensor) -> tuple[Tensor, Tensor]:
    """How far the edges of the upper and the lower lids (B, 2) lie below the closed slit.

    Args:
        open_: (B,) how wide the resting eye is open, about 1.
        aus: (B, 2, 18); gaze_y: (B,) looking down is positive.
    """
    au = {n: aus[:, :, AU_INDEX[n]] for n in (5, 6, 7, 9, 12, 43)}
    low = 0.05 - 0.03 * au[6] - 0.045 * au[7] - 0.02 * au[9] - 0.012 * au[12]
    wide = 0.12 * open_[:, None] + 0.065 * au[5] - 0.012 * au[7] - 0.012 * au[6] - 0.015 * au[9]
    high = (0.028 - wide + 0.025 * gaze_y[:, None]).minimum(low - 0.035)
    shut = 0.042 - 0.02 * au[6] - 0.025 * au[7]
    return torch.lerp(high, shut, au[43]), torch.lerp(low, shut, (au[43] * 1.6 - 0.6).clamp(min=0))

"""Heads of the splat family at one moment: the displaced skin and its paint.

A `Cloud` is what everything becomes: points with a normal, a colour and a gloss.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.scene import Look
from fedet.synthetic.splats.head import BALL, BALL_Z, EYE, MOUTH, SEAM, names, normals, template, vermilion
from fedet.synthetic.splats.looks import skin_colour
from fedet.synthetic.splats.muscles import lid_shifts, muscles


class Cloud(NamedTuple):
    """N splats in each of B pictures."""

    at: Tensor  # (B, N, 3)
    normal: Tensor  # (B, N, 3), unit length
    paint: Tensor  # (B, N, 3) linear albedo
    weight: Tensor  # (B, N) among splats at the same depth; 0 is nothing
    open: Tensor  # (B, N) 0..1, how much of the room's light gets there
    gloss: Tensor  # (B, N) strength of the highlight


def cloud(at: Tensor, normal: Tensor, paint: Tensor, weight=1.0, open_=1.0, gloss=0.0) -> Cloud:
    """Points (B, ..., 3) with paint (B, ..., 3) or broadcast; single numbers stand for all points."""
    b = len(at)

    def all_(value) -> Tensor:
        return torch.as_tensor(value, device=at.device, dtype=at.dtype).expand(at.shape[:-1]).reshape(b, -1)

    flat = at.reshape(b, -1, 3)
    return Cloud(flat, normal.expand_as(at).reshape(b, -1, 3), paint.expand_as(at).reshape(b, -1, 3),
                 all_(weight), all_(open_), all_(gloss))  # fmt: skip


def per(value: Tensor, points: int) -> Tensor:
    """A look's values (B,) against points with that many dimensions after the first."""
    return value.view(-1, *([1] * points))


class Skin(NamedTuple):
    at: Tensor  # (B, R, C, 3)
    folds: Tensor  # (B, R, C) how far folds stand out, negative in a furrow
    high: Tensor  # (B, 2) edges of the upper lids below the closed slit
    low: Tensor  # (B, 2) edges of the lower lids
    eyes: Tensor  # (B, 2, 3) middles of the eyeballs, left and right


def displace(look: Look, aus: Tensor, gaze_y: Tensor) -> Skin:
    """Where the skin lies, for aus (B, 2, 18)."""
    m, t, b = muscles(), template(), len(aus)
    shift = look["shape"] @ m.people + aus.reshape(b, -1) @ m.moves
    at = m.rest + shift.view(b, -1, 3)
    strength = torch.cat([0.55 * aus.reshape(b, -1) * per(look["creases"], 1), look["aged"]], 1)
    folds = strength @ m.folds
    at = at + folds[..., None] * m.out
    high, low = lid_shifts(look["open"], aus, gaze_y)
    eyes = eyeballs(look)
    y = at[..., 1] + torch.cat([high, low], 1) @ m.lids
    # Lids rest on the balls beneath them.
    z = at[..., 2]
    for side in (0, 1):
        ball = eyes[:, side]
        away = (at[..., 0] - ball[:, None, 0]).square() + (y - ball[:, None, 1]).square()
        over = ball[:, None, 2] + (BALL**2 + 0.008 - away).clamp(min=0).sqrt()
        z = z + 0.02 * torch.nn.functional.softplus((over - z) / 0.02) * (away < 0.08)
    at = torch.stack([at[..., 0], y, z], -1)
    return Skin(at.view(b, *t.x.shape, 3), folds.view(b, *t.x.shape), high, low, eyes)


def eyeballs(look: Look) -> Tensor:
    """Middles of the eyeballs (B, 2, 3): they go where the traits move the eyes."""
    value = {
        name: look["shape"][:, names().index(name)]
        for name in ("eyes_apart", "eye_y", "crooked_eyes", "width")
    }
    x = EYE[0] + 0.022 * value["eyes_apart"] + 0.012 * value["width"]
    y = EYE[1] + 0.01 + 0.025 * value["eye_y"]
    y = torch.stack([y - 0.012 * value["crooked_eyes"], y + 0.012 * value["crooked_eyes"]], 1)
    return torch.stack([torch.stack([-x, x], 1), y, torch.full_like(y, BALL_Z)], -1)


class Stains(NamedTuple):
    """Tables of the skin's paint, all (N,) or (K, N)."""

    noise: Tensor  # (12, N) unit noise, coarse to fine
    freckles: Tensor  # (4, N) spots
    pores: Tensor  # (N,) fine noise, always there
    cheeks: Tensor  # where blood shows
    red: Tensor  # the lips
    mid: Tensor  # 1 near the line between the lips
    lid: Tensor  # upper lids, where shadow is painted
    edge: Tensor  # the edges of the lids, where lashes grow and liner is painted; upper
    rim: Tensor  # the wet edge of the lower lids
    bags: Tensor
    beard: Tensor  # where a beard grows
    lip_hair: Tensor  # where a moustache grows
    dots: Tensor  # stubble
    hollow: Tensor  # light lost in the hollows of the resting face, 0..1
    nostril: Tensor


@device_table
def stains() -> Stains:
    t = template()
    h, rng = t.hill, np.random.default_rng(5)

    def noise(size: float) -> np.ndarray:
        raw = gaussian_filter(rng.standard_normal(t.x.shape), size)
        return raw / raw.std()

    across, side = vermilion(t)
    red = 1 / (1 + np.exp(np.clip((across - 1) / 0.06, -40, 40))) * np.clip(side / 0.12, 0, 1)
    slit = np.clip(t.slit / 0.5, 0, 1)
    above, below = np.clip(EYE[1] - t.y, 0, 1), np.clip(t.y - EYE[1], 0, 1)
    spots = np.stack([np.clip(noise(1.3) - 1.7, 0, 1) for _ in range(4)])
    spread = h((0.45, 0.25), (0.4, 0.3)) + h((0, 0.3), (0.25, 0.3)) + 0.25 * t.front
    x = np.abs(t.x)
    line = along_jaw(x)
    chin = 1 / (1 + np.exp(-np.clip((t.y - line) / 0.035, -40, 40)))
    chin = chin * np.clip((np.hypot(x / 0.4, (t.y - 0.96) / 0.2) - 0.95) * 6, 0, 1)
    lip_hair = h((0.0, 0.735), (0.46, 0.085)) * (t.jaw == 0) * (1 - red) * np.clip((t.y - 0.61) / 0.03, 0, 1)
    lip_hair = np.maximum(lip_hair, h((0.42, 0.9), (0.06, 0.16)) * (1 - red))
    hollow = (
        0.3 * h((0.22, -0.13), (0.1, 0.1))
        + 0.18 * h((0.44, -0.24), (0.22, 0.06))
        + 0.5 * h((0.0, 0.6), (0.2, 0.035))
        + 0.3 * h((0, 1.09), (0.22, 0.05))
        + 0.35 * np.clip((t.y - 1.5) / 0.08, 0, 1)
    )
    hollow = hollow + 0.25 * h((0.27, 0.5), (0.03, 0.08)) + 0.15 * h((MOUTH, SEAM), (0.06, 0.05))
    flat = {
        "noise": np.stack([noise(s) for s in (14, 14, 14, 7, 7, 7, 3.5, 3.5, 3.5, 1.6, 1.6, 1.6)]),
        "freckles": spots * np.clip(spread, 0, 1), "pores": noise(0.8),
        "cheeks": h((0.55, 0.35), (0.26, 0.24)) + 0.7 * h((0, 0.42), (0.17, 0.14)) + 0.3
        * h((0, 1.38), (0.2, 0.12)),
        "red": red, "mid": np.exp(-((across / 0.13) ** 2)) * np.clip(side / 0.1, 0, 1),
        "lid": t.upper * slit * np.clip(1 - above / 0.17, 0, 1),
        "edge": t.upper * slit * np.exp(-((above / 0.016) ** 2)),
        "rim": (1 - t.upper) * slit * np.exp(-((below / 0.014) ** 2)), "bags": h((0.4, 0.06), (0.2, 0.07)),
        "beard": chin * t.front, "lip_hair": lip_hair, "dots": np.clip(noise(0.7) + 0.4, 0, 2),
        "hollow": hollow, "nostril": h((0.085, 0.575), (0.045, 0.02)),
    }  # fmt: skip
    return Stains(**{k: torch.tensor(np.ascontiguousarray(v.reshape(*v.shape[:-2], -1)), dtype=torch.float32)
                     for k, v in flat.items()})  # fmt: skip


def along_jaw(x: np.ndarray) -> np.ndarray:
    """The upper border of a beard: from the sideburns down over the cheeks to the corners of the mouth."""
    return np.interp(x, [0, 0.3, 0.45, 0.6, 0.75, 0.85, 0.93], [1.02, 0.98, 0.86, 0.72, 0.5, 0.2, -0.2])


def skin_cloud(look: Look, skin: Skin) -> Cloud:
    """The painted sheets."""
    s, t = stains(), template()
    b = len(skin.at)
    grain = look["grain"]
    scale = torch.tensor([1, 1, 1, 0.8, 0.8, 0.8, 0.6, 0.6, 0.6, 0.5, 0.5, 0.5], device=grain.device)
    mottle = (grain * scale) @ s.noise / 3.2
    freckles = (grain[:, :4].abs() * per(look["freckles"], 1)) @ s.freckles
    old = per(((look["age"] - 0.55) / 0.45).clamp(min=0), 1)
    melanin = per(look["melanin"], 1) * (1 + 0.035 * per(look["mottle"], 1) * mottle) + 0.28 * freckles
    melanin = melanin + 0.05 * old * (grain[:, 4:8].abs() @ s.freckles) + 0.07 * per(look["bags"], 1) * s.bags
    blood = per(look["blood"], 1) + 0.03 * mottle.roll(997, 1) + 0.3 * per(look["flush"], 1) * s.cheeks
    blood = blood + per(look["lip_blood"], 1) * s.red + 0.25 * s.rim + 0.12 * s.bags
    melanin = melanin + 0.09 * s.red
    paint = skin_colour(melanin, blood)
    paint = paint * (1 + 0.05 * per(look["rough"], 1) * s.pores)[..., None]
    painted = (per(look["painted"], 1) * s.red)[..., None]
    paint = torch.lerp(paint, look["stick"][:, None], painted)
    paint = torch.lerp(
        paint, look["shadow_colour"][:, None], (0.7 * per(look["shadow"], 1) * s.lid)[..., None]
    )
    stubble = per(look["stubble"], 1) * torch.maximum(s.beard, 0.8 * s.lip_hair) * (0.25 + 0.4 * s.dots)
    paint = torch.lerp(paint, 0.4 * look["hair"][:, None] + 0.12 * paint, stubble.clamp(0, 0.75)[..., None])
    whiskers = torch.maximum(per(look["beard"], 1) * s.beard, per(look["moustache"], 1) * s.lip_hair)
    paint = torch.lerp(paint, 0.6 * look["hair"][:, None], (0.7 * whiskers).clamp(max=0.8)[..., None])
    dark = (per(torch.maximum(look["lash"], look["liner"]), 1) * s.edge).clamp(0, 0.93)
    paint = paint * (1 - dark)[..., None]
    folds = skin.folds.reshape(b, -1)
    furrow = torch.exp(8 * folds.clamp(-0.09, 0.02))
    open_ = (1 - s.hollow) * furrow * (1 - 0.75 * s.nostril) * (1 - 0.72 * s.mid)
    gloss = (
        per(look["gloss"], 1) * (0.55 + 0.5 * s.cheeks) + 0.5 * s.red * per(0.4 + look["painted"], 1) + s.rim
    )
    normal = normals(skin.at, t.splits)
    return cloud(skin.at.flatten(1, 2), normal.flatten(1, 2), paint, 1.0, open_, gloss * open_)

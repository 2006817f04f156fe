"""What else belongs to a head: ears, neck and clothes, glasses, and a hand in front of the face."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.scene import Look, Scene
from fedet.synthetic.splats.hair import on_skin
from fedet.synthetic.splats.head import along, names, normals
from fedet.synthetic.splats.looks import skin_colour
from fedet.synthetic.splats.skin import Cloud, cloud, per

# y -> half width of the neck, then the shoulders
NECK = {1.1: 0.6, 1.5: 0.6, 1.9: 0.64, 2.15: 0.85, 2.3: 1.35, 2.5: 1.95, 2.9: 2.3, 4.0: 2.4}
NECK_DEPTH = {1.1: 0.3, 1.5: 0.42, 1.9: 0.42, 2.2: 0.5, 2.6: 0.75, 4.0: 0.85}


@device_table
def ear_patch() -> Tensor:
    """Positions (28, 18, 2): up to down -1..1, from the head to the rim 0..1."""
    v, u = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(0, 1, 18), indexing="ij")
    return torch.stack([v, u], -1)


def ear_cloud(look: Look, side: int) -> Cloud:
    """One ear: a bowl with a rim, the lobe below."""
    v, u = ear_patch().unbind(-1)
    sign, out = 2 * side - 1, per(look["ears"], 2)
    wide = (1 - v.abs() ** 2.6).clamp(min=0.02) ** 0.5 * (1 - 0.18 * v)
    rim = torch.exp(-(((u - 0.86) / 0.1) ** 2)) - 0.9 * torch.exp(-(((u - 0.5) / 0.2) ** 2)) * (v < 0.6)
    width = 1.0 + 0.03 * per(look["shape"][:, names().index("width")], 2)
    x = sign * (width - 0.12 + wide * u * (0.19 + 0.1 * out) + 0.03 * rim * (1 - v.abs() ** 3))
    y = 0.1 + 0.37 * v - 0.06 * u * wide + 0 * out
    z = 0.05 - 0.3 * wide * u - 0.06 * v + 0.05 * rim + 0 * out
    at = torch.stack([x, y, z], -1)
    normal = normals(at) * -sign
    paint = skin_colour(per(look["melanin"], 2) + 0 * u, per(look["blood"] + 0.18, 2) + 0 * u)
    open_ = (0.85 + 0.35 * rim).clamp(0.3, 1) * (0.4 + 0.6 * u)
    return cloud(at, normal, paint, 1.3, open_, 0.3)


@device_table
def bust() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Angles (C,), heights (R, 1), half widths and depths (R, 1) of neck and shoulders."""
    y = np.linspace(1.1, 3.3, 72)[:, None]
    arrays = (np.linspace(-1.65, 1.65, 150), y, along(NECK, y), along(NECK_DEPTH, y))
    return tuple(torch.tensor(v, dtype=torch.float32) for v in arrays)


def body_cloud(look: Look) -> Cloud:
    """Neck and shoulders, which stay when the head turns."""
    angle, y, width, depth = bust()
    slim = per(look["neck"], 2) * (y < 2.1)
    x = (width + slim) * angle.sin()
    z = (
        (depth + slim) * angle.cos().clamp(min=-0.2)
        - 0.1
        - 0.25 * ((y - 1.9) / 0.6).clamp(0, 1) * x.abs() / 2
    )
    # Tendons run from behind the ears to the notch between the collar bones.
    tendon = torch.exp(-(((x.abs() - (0.08 + 0.5 * (2.1 - y))) / 0.08) ** 2)) * (y < 2.15)
    z = z + 0.03 * tendon
    at = torch.stack([x, y.expand_as(x), z], -1)
    edge = (
        2.02
        + 0.3 * per(look["neckline"], 2) * (1 - (x.abs() / 0.75)).clamp(min=0)
        - 0.1 * (x.abs() / 0.6).clamp(max=1)
    )
    dressed = torch.sigmoid((y - edge) / 0.012)
    at = at + torch.stack([0 * x, 0 * x, 0.03 * dressed], -1)
    skin = skin_colour(per(look["melanin"] + 0.02, 2) + 0 * x, per(look["blood"], 2) + 0 * x)
    stripe = 1 - per(look["stripes"], 2) * (torch.sin(24 * y + 0 * x) > 0)
    weave = (
        stripe
        * (1 + 0.05 * torch.sin(90 * x) * torch.sin(100 * y))
        * (1 - 0.3 * torch.exp(-(((y - edge - 0.05) / 0.012) ** 2)))
    )
    cloth = torch.where(per(look["covered"], 1) > 0, look["scarf"], look["cloth"])
    paint = torch.lerp(skin, cloth[:, None, None] * weave[..., None], dressed[..., None])
    under = ((y - 1.45) / 0.55).clamp(0, 1)
    return cloud(at, normals(at), paint, 2.0, 0.45 + 0.55 * under + 0 * x, 0.25 * (1 - dressed))


@device_table
def lens_rim() -> tuple[Tensor, Tensor]:
    """Angles (220,) around a lens, and offsets (5,) across its rim, -1..1."""
    return torch.linspace(0, 2 * math.pi, 220), torch.linspace(-1, 1, 5)


def outline(look: Look, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Points (B, A) around the middle of a lens: an oval to a rounded rectangle."""
    power, c, s = per(look["lens_square"], 1), angle.cos(), angle.sin()
    wide, high = per(look["lens_w"], 1), per(look["lens_h"], 1)
    reach = ((c / wide).abs() ** power + (s / high).abs() ** power) ** (-1 / power)
    return reach * c, reach * s


def glasses_cloud(look: Look, sheet: Tensor) -> Cloud:
    """Rims, bridge and the arms to the ears; they sit on the nose."""
    angle, across = lens_rim()
    b, worn = len(sheet), look["glasses"]
    bridge = on_skin(
        sheet, torch.zeros(b, 1, device=sheet.device), torch.full((b, 1), 0.02, device=sheet.device)
    )[:, 0]
    x, y = outline(look, angle)
    grow = 1 + per(look["rim"], 2) * across / per(look["lens_h"], 2)
    x, y = x[..., None] * grow, y[..., None] * grow  # (B, A, 5)
    parts = []
    for sign in (-1, 1):
        px = sign * (0.455 + x)
        parts.append(
            torch.stack(
                [px, y + per(bridge[:, 1], 2) + 0.0, per(bridge[:, 2], 2) + 0.1 - 0.22 * px**2 + 0 * y], -1
            )
        )
    step = torch.linspace(-1, 1, 60, device=x.device)
    gap = per(0.47 - look["lens_w"], 1) * step
    span = torch.stack(
        [
            gap,
            per(bridge[:, 1] - 0.06, 1) - 0.05 * (1 - step**2) + 0 * gap,
            per(bridge[:, 2] + 0.1, 1) + 0 * gap,
        ],
        -1,
    )
    parts.append(thick(span, look["rim"]))
    back = torch.linspace(0, 1, 90, device=x.device)
    for sign in (-1, 1):
        start = per(0.455 + look["lens_w"], 1)
        arm = torch.stack([sign * (start + (1.06 - start) * back.clamp(max=0.35) / 0.35 + 0 * back),
                           per(bridge[:, 1], 1) - 0.06 - 0.02 * back + 0 * start,
                           per(bridge[:, 2], 1) + 0.1 - 0.22 * start**2 - (0.95) * back], -1)  # fmt: skip
        parts.append(thick(arm, look["rim"]))
    at = torch.cat([p.flatten(1, 2) for p in parts], 1)
    turn = torch.cat([across.expand(len(angle), -1).flatten()] * 2, 0)
    normal = torch.zeros(at.shape[1], 3, device=at.device)
    normal[:, 2] = 1
    normal[: len(turn), 1] = -0.6 * turn
    return cloud(at, F.normalize(normal, dim=-1), look["frame"][:, None], 3 * per(worn, 1), 0.9, 1.2)


def thick(line: Tensor, rim: Tensor) -> Tensor:
    """A line (B, N, 3) as a band (B, N, 5, 3), as broad as the rims."""
    across = torch.linspace(-1, 1, 5, device=line.device)
    up = torch.tensor([0.0, 1.0, 0.0], device=line.device)
    return line[:, :, None] + (per(rim, 3) * across[:, None]) * up


def through_lenses(look: Look, c: Cloud, bridge_y: float = 0.0) -> Cloud:
    """The splats of the face as tinted and glaring lenses show them."""
    x, y = c.at[..., 0].abs() - 0.455, c.at[..., 1] - bridge_y
    power = per(look["lens_square"], 1)
    inside = (x / per(look["lens_w"], 1)).abs() ** power + (y / per(look["lens_h"], 1)).abs() ** power
    glass = torch.sigmoid((1 - inside) * 12) * (c.at[..., 2] > 0.6) * per(look["glasses"], 1)
    streak = torch.exp(-(((x + 0.7 * y - 0.2 * per(look["glare_at"], 1)) / 0.06) ** 2)) * per(
        look["glare"], 1
    )
    dark = 1 - per(look["tint"], 1) * glass
    return c._replace(paint=c.paint * dark[..., None] + (0.1 * streak * glass)[..., None])


@device_table
def palm() -> tuple[Tensor, Tensor]:
    """Points (N, 3) of a hand with its fingers up, and their normals; the middle of the palm is 0."""
    parts, outs = [], []

    def tube(p: tuple[float, float], q: tuple[float, float], r: float, deep: float, n: int, m: int) -> None:
        t, a = np.meshgrid(np.linspace(-0.12, 1.08, n), np.linspace(-1.5, 1.5, m), indexing="ij")
        p_, q_ = np.array(p), np.array(q)
        axis = (q_ - p_) / np.linalg.norm(q_ - p_)
        side = np.array([-axis[1], axis[0]])
        end = np.sqrt(np.clip(1 - (np.clip(np.abs(t - 0.48) - 0.5, 0, 1) / 0.1) ** 2, 0.05, 1))
        spot = p_ + t[..., None] * (q_ - p_) + (r * end * np.sin(a))[..., None] * side
        parts.append(np.concatenate([spot, (deep * end * np.cos(a))[..., None]], -1).reshape(-1, 3))
        out = np.concatenate([np.sin(a)[..., None] * side, np.cos(a)[..., None]], -1)
        outs.append((out / np.linalg.norm(out, axis=-1, keepdims=True)).reshape(-1, 3))

    tube((0.0, 0.55), (0.0, -0.2), 0.46, 0.2, 90, 80)
    for x, top in ((-0.33, -0.95), (-0.11, -1.12), (0.11, -1.06), (0.33, -0.8)):
        tube((x, -0.2), (1.15 * x, top), 0.12, 0.12, 80, 26)
    tube((0.4, 0.35), (0.85, -0.3), 0.14, 0.13, 70, 28)
    tube((0.0, 0.7), (0.1, 2.2), 0.36, 0.25, 120, 64)
    return (torch.tensor(np.concatenate(parts), dtype=torch.float32),
            torch.tensor(np.concatenate(outs), dtype=torch.float32))  # fmt: skip


def hand_cloud(look: Look, scene: Scene) -> Cloud:
    """A hand before the face, at the scene's `hand_x`, `hand_y`; `hand` says whether it is there."""
    at, normal = palm()
    position = torch.stack([scene["hand_x"], scene["hand_y"], torch.full_like(scene["hand_x"], 1.55)], -1)
    paint = skin_colour(
        look["melanin"][:, None] * 0.95 + 0 * at[:, 0], look["blood"][:, None] + 0.1 + 0 * at[:, 0]
    )
    return cloud(0.85 * at + position[:, None], normal, paint, 2.0 * per(scene["hand"], 1), 0.9, 0.25)

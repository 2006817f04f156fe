"""The family `shapes`, faces of nobody: soft shapes, moved by action units, on batched pixel grids.

Face coordinates: the origin lies on the bridge of the nose a little below the eyes, x grows to the
right of the picture, y downwards, and 1 is half the width of the face. Every shape has a depth z,
so that a turn of the head shifts near shapes more than far ones.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fedet.intervals import AU_INDEX
from fedet.synthetic.landmarks import BROW, LID, LIP_INNER, LIP_OUTER, SIDES, numbered, stack_points
from fedet.synthetic.scene import Look, Scene, chance, expose, uniform

# ---------------------------------------------------------------- who it is


def sample_looks(n: int, generator: torch.Generator) -> Look:
    """n people who do not exist. Skin tones are uniform from very light to very dark.

    Returns a dict of tensors, (n,) or (n, 3) for colours in 0..1.
    """

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    def p(share: float) -> Tensor:
        return chance(n, share, generator)

    age = u(0, 1)
    woman = p(0.5)
    beardy = (1 - woman) * (0.1 + 0.9 * (age > 0.15))
    look = {
        "tone": u(0, 1), "age": age, "freckles": p(0.2) * u(0, 0.5), "blush": u(0, 1),
        "jaw": u(0.02, 0.42), "roundness": u(1.9, 2.9), "chin": u(1.12, 1.5),
        "forehead": u(1.05, 1.3), "shine": u(0, 0.22),
        "eye_x": u(0.37, 0.46), "eye_y": u(-0.3, -0.14), "eye_w": u(0.15, 0.225),
        "eye_open": u(0.045, 0.105), "eye_low": u(0.025, 0.055), "eye_tilt": u(-0.06, 0.05),
        "eye_bag": u(0, 1) * (0.35 + 0.65 * age), "crease": u(0, 1), "socket": u(0, 0.22),
        "iris": u(0.075, 0.1), "lash": u(0.15, 1),
        "brow_y": u(-0.6, -0.4), "brow_in": u(0.1, 0.2), "brow_out": u(0.68, 0.86),
        "brow_arch": u(-0.01, 0.11), "brow_slope": u(-0.09, 0.1), "brow_thick": u(0.02, 0.072),
        "brow_density": u(0.25, 1), "brow_dark": u(0, 0.6),
        "nose_y": u(0.24, 0.4), "nose_w": u(0.13, 0.24), "nostril": u(0.3, 1),
        "ridge": u(0, 0.2), "nose_line": u(0, 1),
        "mouth_y": u(0.6, 0.84), "mouth_w": u(0.27, 0.42), "lip_up": u(0.02, 0.075),
        "lip_low": u(0.035, 0.105), "mouth_curve": u(-0.05, 0.05), "lip_red": u(0, 1),
        "lip_line": u(0.3, 1), "teeth": u(0.55, 1), "teeth_h": u(0.07, 0.13),
        "fold": u(0, 1) * (0.15 + 0.85 * age), "fold_gain": u(0.4, 1.2),
        "lines": u(0, 1) * age**2, "wrinkle_gain": u(0.25, 1) * (0.4 + 0.6 * age),
        "cheek": u(0, 0.12), "texture": u(0, 0.06),
        "hairline": u(-1.12, -0.72), "fringe": p(0.25) * u(0.1, 0.42), "hair_side": u(0, 0.3),
        "hair_long": (woman * p(0.7) + (1 - woman) * p(0.12)).clamp(max=1), "bald": (1 - woman) * p(0.14),
        "hair_volume": u(1.04, 1.3), "hair_phase": u(0, 6.28), "hair_waves": u(6, 30),
        "parting": u(-0.8, 0.8),
        "stubble": beardy * p(0.45) * u(0.1, 0.6), "beard": beardy * p(0.2) * u(0.5, 1),
        "moustache": beardy * p(0.2) * u(0.4, 1), "ears": u(0, 1),
        "glasses": p(0.25), "glass_r": u(0.25, 0.34), "glass_thick": u(0.008, 0.035),
        "glass_square": u(2, 5), "glass_tint": u(0, 0.22), "glare": p(0.35) * u(0, 0.6),
        "asym_brow": u(-0.04, 0.04), "asym_mouth": u(-0.035, 0.035), "asym_eye": u(-0.012, 0.012),
        "seed_x": u(-1, 1), "seed_y": u(-1, 1),
    }  # fmt: skip
    look["skin"] = skin_colour(look["tone"], u(-1, 1))
    look["hair"] = hair_colour(age, u(0, 1), look["tone"])
    look["lip"] = lip_colour(look["skin"], look["lip_red"], woman * p(0.35))
    look["eye"] = torch.stack([u(0.05, 0.5), u(0.08, 0.45), u(0.06, 0.5)], 1)
    look["frame"] = u(0, 0.5)[:, None] * torch.rand(n, 3, generator=generator)
    look["cloth"] = torch.rand(n, 3, generator=generator) * 0.9
    return look


def skin_colour(tone: Tensor, warmth: Tensor) -> Tensor:
    """Colours (n, 3) along a line of tones, 0 very light and 1 very dark, a little warmer or cooler."""
    stops = torch.tensor([
        [0.97, 0.83, 0.75], [0.91, 0.74, 0.62], [0.80, 0.61, 0.47],
        [0.64, 0.45, 0.32], [0.44, 0.29, 0.20], [0.25, 0.16, 0.12],
    ])  # fmt: skip
    position = tone * (len(stops) - 1)
    low = position.long().clamp(max=len(stops) - 2)
    colour = torch.lerp(stops[low], stops[low + 1], (position - low)[:, None])
    return (colour + warmth[:, None] * torch.tensor([0.02, 0.0, -0.025])).clamp(0.05, 1)


def hair_colour(age: Tensor, pick: Tensor, tone: Tensor) -> Tensor:
    """Colours (n, 3): black, brown, blond or red, greyer with age, darker with dark skin."""
    stops = torch.tensor([[0.05, 0.04, 0.04], [0.18, 0.11, 0.07], [0.4, 0.26, 0.15], [0.75, 0.6, 0.38]])
    position = pick * (1.15 - tone).clamp(0.1, 1) * (len(stops) - 1)
    low = position.long().clamp(max=len(stops) - 2)
    colour = torch.lerp(stops[low], stops[low + 1], (position - low)[:, None])
    grey = ((age - 0.6) * 2.4).clamp(0, 1)[:, None] * pick[:, None].sqrt()
    return torch.lerp(colour, torch.full_like(colour, 0.75), grey)


def lip_colour(skin: Tensor, red: Tensor, paint: Tensor) -> Tensor:
    natural = skin * torch.tensor([0.86, 0.62, 0.62]) + red[:, None] * torch.tensor([0.06, -0.07, -0.05])
    painted = torch.tensor([0.62, 0.12, 0.18]).expand_as(skin)
    return torch.lerp(natural, painted, (paint * (0.3 + 0.6 * red))[:, None]).clamp(0.02, 1)


# ---------------------------------------------------------------- soft shapes


def inside(distance: Tensor, soft: Tensor | float) -> Tensor:
    """Opacity of a shape from its signed distance (negative inside) and the width of its edge."""
    return torch.sigmoid(distance / -soft)


def blob(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    return torch.exp(-((x / rx) ** 2) - (y / ry) ** 2)


def ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Approximate signed distance to an ellipse around the origin."""
    return (((x / rx) ** 2 + (y / ry) ** 2).sqrt() - 1) * (rx if isinstance(rx, float) else rx.clamp(max=1))


def crease(distance: Tensor, width: Tensor | float) -> Tensor:
    """Profile of a fold in the skin: a dark line, and light on the bulge next to it."""
    t = distance / width
    return 0.45 * torch.exp(-((t - 1.8) ** 2) / 1.5) - torch.exp(-(t**2))


@lru_cache(maxsize=4)
def noise_texture(size: int = 256) -> Tensor:
    """Band-limited noise (1, 1, size, size) that tiles, about -1..1: skin, hair and walls."""
    generator = torch.Generator().manual_seed(20)
    total = torch.zeros(1, 1, size, size)
    for cells, weight in ((8, 0.5), (32, 0.7), (128, 1.0)):
        coarse = torch.randn(1, 1, cells, cells, generator=generator)
        total += weight * torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return total / total.std() / 2


def noise_at(x: Tensor, y: Tensor, look: Look, zoom: float) -> Tensor:
    """Noise (B, H, W) fixed to the face coordinates x, y, a different excerpt for each person."""
    sx, sy = look["seed_x"][:, None, None], look["seed_y"][:, None, None]
    grid = torch.stack([x * zoom + sx, y * zoom + sy], -1).remainder(2) - 1
    texture = noise_texture().to(x.device).expand(len(x), -1, -1, -1)
    return torch.nn.functional.grid_sample(texture, grid, align_corners=False)[:, 0]


class Canvas:
    """Pictures (B, 3, S, S) with the face coordinates of each pixel, or a window cut out of them."""

    def __init__(self, rgb: Tensor, px: Tensor, py: Tensor, scene: Scene):
        self.rgb, self.scene = rgb, scene
        self.px, self.py = px, py  # (B, H, W) picture coordinates, 0..1
        value = {k: scene[k][:, None, None] for k in ("cx", "cy", "scale", "yaw", "pitch", "roll")}
        dx, dy = (px - value["cx"]) / value["scale"], (py - value["cy"]) / value["scale"]
        c, s = torch.cos(value["roll"]), torch.sin(value["roll"])
        self.x0, self.y0 = c * dx + s * dy, c * dy - s * dx
        self.sin = torch.sin(value["yaw"]), torch.sin(value["pitch"])
        self.cos = torch.cos(value["yaw"]), torch.cos(value["pitch"])
        self.soft = 0.55 / rgb.shape[-1] / value["scale"]  # half a pixel, in face units

    def at(self, z: float) -> tuple[Tensor, Tensor]:
        """Face coordinates (B, H, W) on the plane of depth z."""
        return (self.x0 - z * self.sin[0]) / self.cos[0], (self.y0 - z * self.sin[1]) / self.cos[1]

    def paint(self, alpha: Tensor, colour: Tensor) -> None:
        """Lays a colour (B, 3) or picture (B, 3, H, W) over the canvas with opacity (B, H, W)."""
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        self.rgb += alpha[:, None] * (colour - self.rgb)

    def shade(self, amount: Tensor) -> None:
        """Makes pixels lighter (positive) or darker (negative), amount (B, H, W)."""
        self.rgb *= (1 + amount).clamp_(0.15, 1.8)[:, None]


def full_canvas(n: int, size: int, scene: Scene, device: torch.device) -> Canvas:
    axis = (torch.arange(size, device=device) + 0.5) / size
    px = axis.view(1, 1, size).expand(n, size, size)
    return Canvas(torch.empty(n, 3, size, size, device=device), px, px.transpose(1, 2), scene)


def draw_in(canvas: Canvas, box: tuple[float, float, float, float], z: float, draw) -> None:
    """Runs `draw(window)` on the part of each picture around box = (x0, x1, y0, y1), face units.

    Small shapes cost little this way; the window has one size in a batch and its own position in each
    picture.
    """
    n, _, size, _ = canvas.rgb.shape
    scene = canvas.scene
    x0, x1, y0, y1 = box
    mid_x = (x0 + x1) / 2 * torch.cos(scene["yaw"]) + z * torch.sin(scene["yaw"])
    mid_y = (y0 + y1) / 2 * torch.cos(scene["pitch"]) + z * torch.sin(scene["pitch"])
    c, s = torch.cos(scene["roll"]), torch.sin(scene["roll"])
    u = (scene["cx"] + scene["scale"] * (c * mid_x - s * mid_y)) * size
    v = (scene["cy"] + scene["scale"] * (s * mid_x + c * mid_y)) * size
    scale = float(scene["scale"].max()) * size
    tilt = float(scene["roll"].abs().max().clamp(max=0.6))
    w = min(size, math.ceil(((x1 - x0) + tilt * (y1 - y0)) * scale) + 2)
    h = min(size, math.ceil(((y1 - y0) + tilt * (x1 - x0)) * scale) + 2)
    left = (u - w / 2).round().long().clamp(0, size - w)
    top = (v - h / 2).round().long().clamp(0, size - h)
    rows = top[:, None] + torch.arange(h, device=left.device)
    cols = left[:, None] + torch.arange(w, device=left.device)
    flat = (rows[:, :, None] * size + cols[:, None, :]).view(n, 1, h * w).expand(n, 3, h * w)
    pixels = canvas.rgb.view(n, 3, size * size)
    px = ((cols + 0.5) / size)[:, None, :].expand(n, h, w)
    py = ((rows + 0.5) / size)[:, :, None].expand(n, h, w)
    window = Canvas(pixels.gather(2, flat).view(n, 3, h, w), px, py, scene)
    window.soft = 0.55 / size / scene["scale"][:, None, None]
    draw(window)
    pixels.scatter_(2, flat, window.rgb.reshape(n, 3, h * w))


class Shape:
    """Look values and action units as (B, 1, 1) tensors: `f.mouth_w`, `f.au(12)`, `f.au(12, side)`."""

    def __init__(self, look: Look, aus: Tensor):
        self._look, self._aus = look, aus

    def __getattr__(self, name: str) -> Tensor:
        return self._look[name][:, None, None]

    def au(self, au: int, side: int | None = None) -> Tensor:
        values = self._aus[:, :, AU_INDEX[au]]
        value = values.mean(1) if side is None else values[:, 0 if side < 0 else 1]
        return value[:, None, None]

    def across(self, au: int, x: Tensor) -> Tensor:
        """An action unit at positions x, from the left side's value to the right side's."""
        return torch.lerp(self.au(au, -1), self.au(au, 1), torch.sigmoid(x * 12))

    def frown(self, side: int) -> Tensor:
        return torch.maximum(self.au(4, side), 0.6 * self.au(9, side))


# ---------------------------------------------------------------- the parts of a face


def draw_background(c: Canvas, look: Look) -> None:
    s = {k: v[:, None, None] for k, v in c.scene.items() if v.ndim == 1}
    across = (c.px - 0.5) * torch.cos(s["back_angle"]) + (c.py - 0.5) * torch.sin(s["back_angle"])
    blend = torch.sigmoid(across * s["back_edge"])
    back, back_2 = c.scene["back"][:, :, None, None], c.scene["back_2"][:, :, None, None]
    c.rgb[:] = back + blend[:, None] * (back_2 - back)
    c.shade(s["back_texture"] * noise_at(c.px * 2, c.py * 2, look, 0.5))


def draw_head(c: Canvas, f: Shape, look: Look) -> None:
    """Neck, clothes, hair at the back, ears, the face with its large shading, hair in front."""
    x, y = c.at(-0.25)
    volume = f.hair_volume
    streaks = 0.22 * torch.sin(x * f.hair_waves + f.hair_phase + 2 * y) * noise_at(x, y, look, 0.2)
    back_hair = inside(ellipse(x, y + 0.12, volume, volume * 1.16), 0.05) * (1 - f.bald)
    long_hair = f.hair_long * inside(x.abs() - volume, 0.05) * torch.sigmoid((y + 0.1) * 12)
    hair = look["hair"][:, :, None, None] * (1 + streaks)[:, None]
    c.paint(torch.maximum(back_hair * torch.sigmoid((0.5 - y) * 12), long_hair), hair)
    neck = inside(torch.maximum(x.abs() - 0.6 - 0.1 * (y - 1), 0.7 - y), 0.03)
    c.paint(neck, look["skin"] * 0.78)
    c.paint(
        inside(1.62 - 0.2 * torch.exp(-(((x.abs() - 0.75) / 0.3) ** 2)) + 0.08 * x**2 - y, 0.03),
        look["cloth"],
    )
    ear = f.ears * inside(ellipse(x.abs() - 1.0, y + 0.02, 0.13, 0.26), 0.03) * (1 - f.hair_long)
    c.paint(ear, look["skin"] * 0.85)

    x, y = c.at(0.0)
    drop = 0.17 * f.au(26) - 0.03 * f.au(17)
    low = torch.sigmoid(y * 6)
    height = torch.lerp(f.forehead, f.chin + drop, low)
    width = 1 - f.jaw * (y / f.chin).clamp(0, 1.2) ** 2 + 0.02 * f.au(12) * low
    power = f.roundness
    radius = ((x / width).abs() ** power + (y / height).abs() ** power) ** (1 / power)
    face = inside((radius - 1) * 0.9, 0.02 + c.soft)

    s = {k: v[:, None, None] for k, v in c.scene.items() if v.ndim == 1}
    nx = (x / width * 0.8).clamp(-0.95, 0.95)
    ny = (y / height * 0.6).clamp(-0.9, 0.9)
    nz = (1 - nx**2 - ny**2).clamp(min=0.05).sqrt()
    facing = nx * s["light_x"] + ny * s["light_y"] + nz * 0.75
    lit = torch.lerp(facing.clamp(min=0), torch.sigmoid(facing * 8 - 2), s["hardness"] * 0.6)
    light = s["ambient"] + s["diffuse"] * lit - 0.18 * (radius - 0.75).clamp(0, 0.4) / 0.4
    grain = (
        noise_at(x, y, look, 0.8) * f.texture + (noise_at(x, y, look, 0.31) - 0.9).clamp(min=0) * -f.freckles
    )
    skin = look["skin"][:, :, None, None] * (light + grain)[:, None]
    c.paint(face, skin)
    stubble = f.stubble * torch.sigmoid((y - 0.42 - 0.28 * (1 - x.abs())) * 9) * face
    beard = f.beard * torch.sigmoid((y - 0.5 - 0.35 * (1 - x.abs() * 1.1)) * 11) * inside(radius - 1.03, 0.03)
    speckle = 0.75 + 0.5 * noise_at(x, y, look, 1.3)
    c.paint((0.55 * stubble * speckle).clamp(0, 1), look["hair"] * 0.6 + look["skin"] * 0.2)
    c.paint((beard * (0.6 + 0.4 * speckle)).clamp(0, 1), look["hair"])

    x, y = c.at(0.08)
    line = (f.hairline + f.fringe * 1.2).clamp(max=-0.55) + 0.35 * (
        x - f.parting * (1 - f.fringe)
    ).abs() ** 2 * (1 - f.fringe)
    top = inside(y - line - 0.05 * streaks, 0.04) * inside(ellipse(x, y + 0.12, volume, volume * 1.16), 0.05)
    side = inside(torch.maximum(1.02 - f.hair_side * 0.5 - x.abs(), x.abs() - volume), 0.04) * torch.sigmoid(
        (0.3 + f.hair_long * 2 - y) * 12
    )
    c.paint(
        torch.maximum(top, side * torch.sigmoid((volume - x.abs()) * 30)) * (1 - f.bald),
        hair * (0.7 + 0.3 * light)[:, None],
    )


def lid_curves(f: Shape, side: int, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edges of the upper and lower lid below the eye's middle, and how far the eye is squeezed.

    Args:
        e: along the opening, -1 its inner corner and 1 the outer one.
    """
    au5, au6, au7, au12, au43 = (f.au(a, side) for a in (5, 6, 7, 12, 43))
    squeeze = (0.45 * au6 + 0.6 * au7 + 0.25 * au12 * au6 + 0.2 * f.frown(side)).clamp(max=0.85)
    opening = f.eye_open * (1 - 0.5 * squeeze) * (1 + side * f.asym_eye * 6) + 0.075 * au5
    lower = f.eye_low * (1 - 1.15 * squeeze)
    bow = (1 - e**2).clamp(min=0)
    upper_lid = -bow * (1 - 0.15 * e) * torch.lerp(opening, -lower * 0.9, au43.clamp(0, 1))
    return upper_lid, bow * lower, squeeze


def brow_curve(f: Shape, side: int, t: Tensor) -> Tensor:
    """The y of the middle of a brow at shares t of its length, 0 its inner end."""
    au1, au2, au5, au6 = (f.au(a, side) for a in (1, 2, 5, 6))
    lift = -0.19 * au1 * (1 - t).clamp(0, 1) - 0.19 * au2 * t.clamp(0, 1) - 0.04 * au5
    drop = f.frown(side) * (0.13 * (1 - t).clamp(0, 1) + 0.05) + 0.02 * au6 * t.clamp(0, 1)
    arch = -(f.brow_arch + 0.03 * au2) * 4 * t * (1 - t)
    return f.brow_y + f.brow_slope * (t - 0.5) + arch + lift + drop + side * f.asym_brow * 0.5


def brow_and_eye(c: Canvas, f: Shape, look: Look, side: int) -> None:
    """One eye with lids, iris, bag and crow's feet, and its brow; side -1 is the picture's left."""
    x, y = c.at(0.2)
    x = x * side
    au1, au2, au6, au7 = (f.au(a, side) for a in (1, 2, 6, 7))
    frown = f.frown(side)
    e = (x - f.eye_x) / f.eye_w
    bow = (1 - e**2).clamp(min=0)
    ey = y - f.eye_y - f.eye_tilt * e
    upper_lid, lower_lid, squeeze = lid_curves(f, side, e)
    # the hollow, the fold above the lid and the bag below are changes of light on the skin
    brow_low = 0.09 * frown - 0.05 * (au1 + au2)
    raised = 0.5 * (au1 + au2)
    light = -f.socket * blob(x - f.eye_x + 0.05, ey + 0.1, 0.26, 0.13)
    light += 0.16 * raised * blob(x - f.eye_x, ey + 0.2, 0.26, 0.1)  # skin unfolds under a raised brow
    light += (
        -(0.1 + 0.25 * f.crease)
        * torch.exp(-(((ey - upper_lid + 0.05 - 0.02 * squeeze) / 0.02) ** 2))
        * bow.sqrt()
    )
    bag = 0.05 + 0.14 * f.eye_bag + 0.3 * torch.maximum(au6, 0.5 * au7) * f.wrinkle_gain
    light += bag * crease(-(ey - lower_lid - 0.07 + 0.02 * au6), 0.03) * (1 - e**2 * 0.7).clamp(min=0)
    spread = ((x - f.eye_x - f.eye_w - 0.04) / 0.16).clamp(0, 1)
    feet = torch.cos((ey / (0.03 + 0.1 * spread)).clamp(-4, 4) * 2.2) * blob(spread - 0.45, ey, 0.45, 0.12)
    light += -(0.28 * au6 * f.wrinkle_gain + 0.07 * f.lines) * feet.clamp(min=0) * (spread > 0)
    c.shade(light)

    ball = inside(torch.maximum(upper_lid - ey, ey - lower_lid), c.soft) * (e.abs() < 1)
    gx, gy = c.scene["gaze_x"][:, None, None] * side, c.scene["gaze_y"][:, None, None]
    ix, iy = x - f.eye_x - gx * 0.1, ey - gy * 0.05 + 0.012
    radius = (ix**2 + iy**2).sqrt()
    white = (0.86 - 1.3 * (lower_lid - ey - 0.03).clamp(min=0))[:, None] * torch.ones_like(c.rgb)
    light_on_eye = c.scene["ambient"][:, None, None, None] * 0.75 + 0.2
    iris = inside(radius - f.iris, c.soft)[:, None]
    pupil = inside(radius - f.iris * 0.45, c.soft)[:, None]
    ring = look["eye"][:, :, None, None] * (0.55 + 0.7 * (radius / f.iris)[:, None].clamp(max=1))
    eye = white + iris * (ring - white)
    eye = eye * (1 - 0.92 * pupil) * light_on_eye
    eye += 0.55 * inside(((ix - 0.03) ** 2 + (iy + 0.03) ** 2).sqrt() - 0.016, c.soft)[:, None]
    c.paint(ball, eye)
    lash_line = torch.exp(-(((ey - upper_lid) / (0.012 + 0.012 * f.lash)) ** 2)) * (e.abs() < 1.04)
    c.paint(lash_line * (0.45 + 0.5 * f.lash), look["hair"] * 0.3)
    c.shade(-0.25 * torch.exp(-(((ey - lower_lid) / 0.012) ** 2)) * (e.abs() < 1))

    # brow: inner end moved by AU1 and AU4, outer end by AU2
    x2, y2 = c.at(0.26)
    x2 = x2 * side
    inner = f.brow_in - 0.055 * frown + 0.01 * au1
    t = ((x2 - inner) / (f.brow_out - inner)).clamp(-0.3, 1.3)
    centre = brow_curve(f, side, t)
    thick = f.brow_thick * (1.1 - 0.65 * t.clamp(0, 1))
    hairs = 0.8 + 0.35 * noise_at(x2, y2, look, 1.1)
    brow = inside((y2 - centre).abs() - thick, 0.014 + c.soft) * inside((t - 0.5).abs() - 0.5, 0.04)
    c.shade(-0.12 * blob(x2 - f.eye_x, y2 - centre - 0.09 + brow_low, 0.3, 0.05) * (frown + f.socket * 2))
    c.paint((brow * f.brow_density * hairs).clamp(0, 1), look["hair"] * (1 - f.brow_dark[:, :, 0]))


def draw_forehead(c: Canvas, f: Shape) -> None:
    """Lines across the forehead with raised brows, between the brows with lowered ones."""
    x, y = c.at(0.15)
    raised = torch.maximum(f.au(1), f.au(2))
    across = (f.brow_y - 0.14 - y - 0.06 * raised) / 0.11
    wave = torch.cos(2 * math.pi * (across + 0.12 * x**2)).clamp(min=0) ** 3
    band = torch.sigmoid(across * 8) * torch.sigmoid((3.1 - across) * 8) * torch.exp(-((x / 0.55) ** 4))
    lines = -(0.05 * f.lines + 0.3 * raised * f.wrinkle_gain) * wave * band
    frown = torch.maximum(f.au(4), 0.7 * f.au(9))
    between = torch.exp(-(((x.abs() - 0.065) / 0.022) ** 2)) * torch.exp(
        -(((y - f.brow_y - 0.05) / 0.13) ** 2)
    )
    lines += -(0.06 * f.lines + 0.42 * frown * f.wrinkle_gain) * between
    lines += 0.1 * frown * blob(x, y - f.brow_y - 0.02, 0.05, 0.12) - 0.1 * frown * blob(
        x, y - f.brow_y - 0.1, 0.25, 0.12
    )
    c.shade(lines)


def draw_nose(c: Canvas, f: Shape) -> None:
    x, y = c.at(0.45)
    up = 0.035 * f.au(9) + 0.015 * f.au(10)
    ny = y - f.nose_y + up
    bridge = torch.sigmoid((y - f.eye_y + 0.05) * 12) * torch.sigmoid((f.nose_y - y) * 10)
    lamp = c.scene["light_x"][:, None, None] * c.scene["diffuse"][:, None, None]
    light = (0.05 + f.ridge) * torch.exp(-((x / (0.05 + 0.1 * f.nose_w)) ** 2)) * bridge
    light += 0.5 * lamp * torch.tanh(x / 0.06) * torch.exp(-((x / 0.15) ** 2)) * bridge
    light += -0.1 * f.nose_line * torch.exp(-(((x.abs() - 0.1) / 0.035) ** 2)) * bridge
    wide = f.nose_w * (1 + 0.08 * f.au(12) + 0.12 * f.au(9) + 0.06 * f.au(10))
    light += f.shine * blob(x, ny + 0.03, 0.06, 0.06)
    light += (
        -0.22
        * torch.exp(-((((x**2 / wide**2 + (ny / 0.11) ** 2).sqrt() - 1) / 0.16) ** 2))
        * (x.abs() > 0.4 * wide)
    )
    light += -0.2 * blob(x, ny - 0.12, wide * 0.9, 0.035)
    light += -(0.25 + 0.4 * f.nostril) * blob(x.abs() - wide * 0.5, ny - 0.075, wide * 0.3, 0.028)
    rows = torch.cos(((y - f.eye_y) / 0.045 + 3 * x.abs()).clamp(-6, 9) * 1.6).clamp(min=0)
    light += -0.38 * f.au(9) * f.wrinkle_gain * rows * blob(x, y - f.eye_y - 0.08, 0.14, 0.13)
    c.shade(light)


def draw_cheeks(c: Canvas, f: Shape, side: int) -> None:
    """The cheek, raised by AU6 and AU12, and the fold from the nose to the corner of the mouth."""
    x, y = c.at(0.25)
    x = x * side
    au6, au9, au10, au12, au14, au15 = (f.au(a, side) for a in (6, 9, 10, 12, 14, 15))
    raised = (0.55 * au6 + 0.7 * au12).clamp(max=1)
    ball = blob(x - 0.56, y - 0.3 + 0.1 * raised, 0.25, 0.19)
    light = (f.cheek + 0.16 * raised) * ball - 0.1 * raised * blob(x - 0.62, y - 0.62, 0.2, 0.16)
    corner = f.mouth_w + 0.13 * au12
    start_x, start_y = f.nose_w + 0.03, f.nose_y - 0.03 - 0.05 * au9
    end_y = f.mouth_y + 0.1 - 0.1 * au12
    t = (y - start_y) / (end_y - start_y)
    path = start_x + (corner + 0.09 - start_x) * t + 0.07 * (0.4 + au12) * 4 * t * (1 - t)
    deep = 0.05 + 0.3 * f.fold + f.fold_gain * (0.5 * au12 + 0.35 * au10 + 0.4 * au9 + 0.12 * au14)
    along = torch.sigmoid(t * 14) * torch.sigmoid((1.08 - t) * (12 - 4 * au12))
    light += 0.4 * deep * crease(x - path, 0.05 + 0.03 * au12) * along
    light += -0.42 * au14 * blob(x - corner - 0.06, y - f.mouth_y, 0.04, 0.1)
    light += 0.15 * au14 * blob(x - corner - 0.16, y - f.mouth_y, 0.06, 0.12)
    light += (
        -0.2
        * au15
        * torch.exp(-(((x - corner - 0.25 * (y - f.mouth_y)) / 0.03) ** 2))
        * blob(x - corner, y - f.mouth_y - 0.17, 1, 0.12)
    )
    c.shade(light)


class Mouth(NamedTuple):
    """Curves of the mouth by x; y grows downwards."""

    half: Tensor  # its half width
    m: Tensor  # x as a share of it
    bow: Tensor  # 1 in the middle, 0 at the corners
    centre: Tensor  # y of the line between closed lips
    gap: Tensor  # how far the lips are apart
    upper: Tensor  # y of the inner edge of the upper lip
    lower: Tensor  # y of the inner edge of the lower lip
    lip_up: Tensor  # height of the upper lip
    lip_low: Tensor  # height of the lower lip


def mouth_curves(f: Shape, x: Tensor) -> Mouth:
    """The mouth at positions x (B, H, W) from the middle of the face."""
    right = (x > 0).float()

    def au(a: int) -> Tensor:
        return f.across(a, x)

    smile, press, pucker, chin = au(12), f.au(24), f.au(18), f.au(17)
    jaw, parting = f.au(26), f.au(25)
    half = (f.mouth_w + 0.14 * smile + 0.12 * au(20) - 0.18 * pucker - 0.05 * press + 0.04 * au(14)
            - 0.05 * jaw * (1 - f.au(12)))  # fmt: skip
    m = (x / half).clamp(-1.3, 1.3)
    bow = (1 - m**2).clamp(min=0)
    corner = (
        -0.155 * smile
        + 0.15 * au(15)
        - 0.025 * au(14)
        + 0.02 * au(20)
        + f.mouth_curve
        + (2 * right - 1) * f.asym_mouth
        - 0.02 * au(10)
    )
    centre = f.mouth_y + corner * m**2 - 0.09 * chin * bow - 0.02 * f.au(10) + 0.015 * f.au(12)
    gap = (
        0.06 * parting
        + 0.11 * parting * f.au(12)
        + 0.36 * jaw * (0.35 + 0.65 * parting)
        + 0.03 * f.au(10) * parting
    )
    upper = (
        centre
        - bow.sqrt() * bow.clamp(min=0.02).sqrt() * gap * (0.28 + 0.1 * f.au(12))
        - 0.055 * au(10) * bow
    )
    lower = centre + bow**0.75 * gap * (0.72 - 0.1 * f.au(12))
    thin = 1 - 0.8 * press - 0.28 * f.au(12) + 0.5 * pucker - 0.3 * f.au(20) - 0.25 * au(14)
    lip_up = f.lip_up * thin * bow * (1 + 0.25 * torch.cos(m * 5) - 0.35 * torch.exp(-((m / 0.13) ** 2)))
    lip_low = f.lip_low * thin * (1 - 0.25 * chin) * bow**0.8
    return Mouth(half, m, bow, centre, gap, upper, lower, lip_up, lip_low)


def draw_mouth(c: Canvas, f: Shape, look: Look) -> None:
    """Lips as curves between their corners, the gap with teeth and tongue, chin and moustache."""
    x, y = c.at(0.35)

    def au(a: int) -> Tensor:
        return f.across(a, x)

    smile, press, pucker, chin, jaw = au(12), f.au(24), f.au(18), f.au(17), f.au(26)
    half, m, bow, centre, gap, upper, lower, lip_up, lip_low = mouth_curves(f, x)
    light = -0.16 * blob(x, y - lower - f.lip_low - 0.055 - 0.03 * jaw, half * 0.7, 0.04) * (1 + chin)
    light += 0.07 * blob(x, y - lower - f.lip_low - 0.19 + 0.05 * chin, 0.2, 0.1) * (1 + 1.2 * chin)
    dots = noise_at(x, y, look, 1.9)
    light += -0.4 * chin * (0.4 + 0.6 * f.wrinkle_gain) * dots.abs() * blob(x, y - lower - 0.24, 0.22, 0.12)
    light += -(0.12 + 0.25 * smile + 0.25 * au(14) + 0.3 * press) * blob(
        x.abs() - half - 0.015, y - centre, 0.045, 0.05 + 0.03 * au(14)
    )
    bulge = blob(x, y - centre + 0.1, half, 0.045) + blob(x, y - centre - 0.11, half, 0.05)
    light += 0.14 * press * bulge - 0.12 * pucker * blob(x.abs() - half - 0.05, y - centre, 0.05, 0.13)
    light += -0.08 * blob(x, y - f.nose_y - 0.17, 0.035, 0.07)
    c.shade(light)
    moustache = f.moustache * blob(x / 1.25, y - upper + f.lip_up + 0.065 - 0.05 * m**2, 0.32, 0.065) * 1.5
    c.paint((moustache * (0.7 + 0.4 * dots)).clamp(0, 1), look["hair"])

    lit = (c.scene["ambient"] * 0.75 + c.scene["diffuse"] * 0.4 + 0.15)[:, None]
    within = inside((x.abs() - half), c.soft)
    c.paint(
        inside(torch.maximum(upper - lip_up - y, y - upper), c.soft) * within,
        look["lip"] * 0.88 * lit,
    )
    c.paint(inside(torch.maximum(lower - y, y - lower - lip_low), c.soft) * within, look["lip"] * lit)
    c.shade((0.14 * blob(x, y - lower - lip_low * 0.45, half * 0.5, 0.02)) * within)
    hole = inside(torch.maximum(upper - y, y - lower), c.soft) * within
    c.paint(hole, torch.tensor([[0.13, 0.04, 0.04]], device=x.device).expand(len(x), 3))
    tongue = hole * inside(lower - 0.09 - 0.05 * bow - y, 0.02) * torch.sigmoid((gap - 0.1) * 40)
    c.paint(tongue * 0.8, torch.tensor([[0.5, 0.2, 0.2]], device=x.device).expand(len(x), 3) * lit)
    show = (0.35 + 1.2 * f.au(12) + 0.8 * f.au(10)).clamp(max=1)
    teeth = (
        hole
        * inside(y - upper - f.teeth_h * (1 + 0.4 * f.au(12)) * show, 0.008)
        * torch.sigmoid((gap - 0.025) * 200)
    )
    white = torch.stack([f.teeth, f.teeth * 0.95, f.teeth * 0.86], 1)[:, :, 0, 0]
    c.paint(teeth * (1 - 0.5 * m.abs() ** 3), white * lit)
    low_teeth = (
        hole
        * inside(lower - 0.05 - y, 0.01)
        * torch.maximum(f.au(20), 0.8 * f.au(12) * (1 - jaw))
        * torch.sigmoid((gap - 0.08) * 60)
    )
    c.paint(low_teeth * 0.8, white * 0.8 * lit)
    closed = torch.exp(-(((y - centre) / (0.01 + 0.008 * f.lip_line)) ** 2)) * inside(
        x.abs() - half - 0.02, 0.02
    )
    c.shade(-(0.35 + 0.3 * f.lip_line) * closed * torch.sigmoid((0.03 - gap) * 150))


def draw_glasses(c: Canvas, f: Shape, look: Look) -> None:
    x, y = c.at(0.38)
    n = f.glass_square
    ring = (
        ((x.abs() - f.eye_x) / f.glass_r).abs() ** n + ((y - f.eye_y - 0.02) / f.glass_r / 0.82).abs() ** n
    ) ** (1 / n)
    distance = (ring - 1) * f.glass_r
    lens = inside(distance, c.soft) * f.glasses
    c.paint(lens * f.glass_tint, look["frame"] * 0.5)
    glare = (
        lens * f.glare * blob(x.abs() - f.eye_x - 0.08 - 0.3 * (y - f.eye_y), y - f.eye_y + 0.02, 0.05, 0.3)
    )
    c.paint(glare.clamp(0, 1), torch.full_like(look["frame"], 0.95))
    bridge = (
        (y - f.eye_y + 0.03 - 0.3 * x**2).abs()
        - f.glass_thick * 0.7
        + 5 * (x.abs() - f.eye_x + f.glass_r).clamp(min=0)
    )
    arm = (
        (y - f.eye_y + 0.03).abs()
        - f.glass_thick
        + 5 * (f.eye_x + f.glass_r - x.abs()).clamp(min=0)
        + 5 * (x.abs() - 1).clamp(min=0)
    )
    rim = torch.minimum(torch.minimum(distance.abs() - f.glass_thick * 0.5, bridge), arm)
    c.paint(inside(rim, c.soft) * f.glasses * 0.92, look["frame"])


def draw_hand(c: Canvas, f: Shape, look: Look) -> None:
    """A hand that covers part of the face; `hand` is its opacity, `hand_x`, `hand_y` its position."""
    s = {k: c.scene[k][:, None, None] for k in ("hand", "hand_x", "hand_y")}
    x, y = c.at(0.8)
    x, y = x - s["hand_x"], y - s["hand_y"]
    fingers = (x.abs() - 0.42).clamp(min=-0.2) + 0.02 * torch.cos(x * 30)
    palm = torch.maximum(fingers, torch.maximum(-y - 0.3 + 0.15 * x**2, y - 1.5))
    shade = 0.8 + 0.1 * torch.cos(x * 30) * torch.sigmoid((0.3 - y) * 8)
    c.paint(inside(palm, 0.02) * s["hand"], look["skin"][:, :, None, None] * shade[:, None])


# ---------------------------------------------------------------- the whole picture


def render(look: Look, aus: Tensor, scene: Scene, size: int = 112) -> Tensor:
    """Draws one face per row, (B, 3, size, size) float, 0..1; the arguments are those of every family, see
    `fedet.synthetic.families`.
    """
    n = len(aus)
    zero = torch.zeros(n, device=aus.device)
    scene = {"gaze_x": zero, "gaze_y": zero, "hand": zero, "hand_x": zero, "hand_y": zero, **scene}
    c, f = full_canvas(n, size, scene, aus.device), Shape(look, aus)
    draw_background(c, look)
    draw_head(c, f, look)
    draw_in(c, (-0.7, 0.7, -1.05, -0.25), 0.15, lambda w: draw_forehead(w, f))
    draw_in(c, (-0.4, 0.4, -0.5, 0.6), 0.45, lambda w: draw_nose(w, f))
    for side in (-1, 1):
        box = (0.1, 0.95, 0.05, 0.95) if side > 0 else (-0.95, -0.1, 0.05, 0.95)
        draw_in(c, box, 0.25, lambda w, side=side: draw_cheeks(w, f, side))
        box = (0.02, 0.92, -0.86, 0.05) if side > 0 else (-0.92, -0.02, -0.86, 0.05)
        draw_in(c, box, 0.2, lambda w, side=side: brow_and_eye(w, f, look, side))
    draw_in(c, (-0.66, 0.66, 0.32, 1.4), 0.35, lambda w: draw_mouth(w, f, look))
    if look["glasses"].any():
        draw_in(c, (-1.02, 1.02, -0.7, 0.25), 0.38, lambda w: draw_glasses(w, f, look))
    if scene["hand"].any():
        draw_hand(c, f, look)
    return expose(c.rgb, scene)


# ---------------------------------------------------------------- named points


@torch.inference_mode()
def landmarks(look: Look, aus: Tensor, scene: Scene) -> Tensor:
    """Where the points `fedet.faces.points.POINTS` are, (B, P, 2): x right, y down, shares of the
    picture's side. The arguments are those of `render`.
    """
    zero = torch.zeros(len(aus), device=aus.device)
    f, scene = Shape(look, aus), {"gaze_x": zero, "gaze_y": zero, **scene}
    points = _points_of_middle(f) | _points_of_mouth(f)
    for side, s in SIDES:
        points |= _points_of_side(f, side, s, scene)
    x, y, z = stack_points(points).unbind(-1)
    v = {k: scene[k][:, None] for k in ("cx", "cy", "scale", "yaw", "pitch", "roll")}
    x0 = x * torch.cos(v["yaw"]) + z * torch.sin(v["yaw"])
    y0 = y * torch.cos(v["pitch"]) + z * torch.sin(v["pitch"])
    c, s = torch.cos(v["roll"]), torch.sin(v["roll"])
    return torch.stack(
        [v["cx"] + v["scale"] * (c * x0 - s * y0), v["cy"] + v["scale"] * (s * x0 + c * y0)], -1
    )


def _at_depth(x: Tensor | float, y: Tensor, z: float) -> Tensor:
    """Points (B, N, 3) of x and y, (B, 1, N) each or broadcast, on the plane of depth z."""
    x, y = torch.broadcast_tensors(torch.as_tensor(x, device=y.device, dtype=y.dtype), y)
    return torch.stack([x, y, torch.full_like(y, z)], -1)[:, 0]


def _points_of_middle(f: Shape) -> dict[str, Tensor]:
    up = 0.035 * f.au(9) + 0.015 * f.au(10)
    tip = f.nose_y - up
    points = {
        f"nose_{i + 1}": _at_depth(0.0, torch.lerp(f.eye_y + 0.05, tip, i / 3), 0.45)[:, 0] for i in range(4)
    }
    points["nose_base"] = _at_depth(0.0, tip + 0.12, 0.45)[:, 0]
    mouth = mouth_curves(f, torch.zeros_like(tip))
    under = mouth.lower + f.lip_low + 0.055 + 0.03 * f.au(26)
    points["under_lip"] = _at_depth(0.0, under, 0.35)[:, 0]
    points["chin"] = _at_depth(0.0, _chin(f), 0.0)[:, 0]
    return points


def _chin(f: Shape) -> Tensor:
    return f.chin + 0.17 * f.au(26) - 0.03 * f.au(17)


def _points_of_mouth(f: Shape) -> dict[str, Tensor]:
    shares = torch.tensor([*LIP_OUTER, *LIP_INNER, -1.0, 1.0], device=f.mouth_w.device)[None, None]
    x = shares * 0.35
    for _ in range(3):  # the width of the mouth depends on the side
        x = shares * mouth_curves(f, x).half
    mouth, n = mouth_curves(f, x), len(LIP_OUTER)
    inner = slice(n, n + len(LIP_INNER))
    top = _at_depth(x, mouth.upper - mouth.lip_up, 0.35), _at_depth(x, mouth.upper, 0.35)
    bottom = _at_depth(x, mouth.lower + mouth.lip_low, 0.35), _at_depth(x, mouth.lower, 0.35)
    points = {"mouth_corner_left": top[1][:, -2], "mouth_corner_right": top[1][:, -1]}
    for name, (outside, inside_) in (("upper_lip", top), ("lower_lip", bottom)):
        points |= numbered(name, outside[:, :n]) | numbered(f"{name}_inner", inside_[:, inner])
    return points


def _points_of_side(f: Shape, side: str, s: int, scene: Scene) -> dict[str, Tensor]:
    def row(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=f.eye_x.device)[None, None]

    inner = f.brow_in - 0.055 * f.frown(s) + 0.01 * f.au(1, s)
    t = row(BROW)
    points = numbered(
        f"brow_*_{side}", _at_depth(s * (inner + (f.brow_out - inner) * t), brow_curve(f, s, t), 0.26)
    )
    e = row((*LID, -1.0, 1.0))
    upper, lower, _ = lid_curves(f, s, e)
    x, y = s * (f.eye_x + f.eye_w * e), f.eye_y + f.eye_tilt * e
    up, low = _at_depth(x, y + upper, 0.2), _at_depth(x, y + lower, 0.2)
    points |= numbered(f"upper_lid_*_{side}", up[:, :3]) | numbered(f"lower_lid_*_{side}", low[:, :3])
    points |= {f"eye_inner_{side}": up[:, 3], f"eye_outer_{side}": up[:, 4]}
    gaze_x, gaze_y = scene["gaze_x"][:, None, None] * s, scene["gaze_y"][:, None, None]
    pupil_y = f.eye_y + f.eye_tilt * 0.1 * gaze_x / f.eye_w + 0.05 * gaze_y - 0.012
    points[f"pupil_{side}"] = _at_depth(s * (f.eye_x + 0.1 * gaze_x), pupil_y, 0.2)[:, 0]
    wide = f.nose_w * (1 + 0.08 * f.au(12) + 0.12 * f.au(9) + 0.06 * f.au(10))
    tip = f.nose_y - 0.035 * f.au(9) - 0.015 * f.au(10)
    points[f"nose_wing_{side}"] = _at_depth(s * wide, tip + 0.04, 0.45)[:, 0]
    points[f"nostril_{side}"] = _at_depth(s * 0.5 * wide, tip + 0.075, 0.45)[:, 0]
    share = row((0.94, 0.8, 0.6, 0.35))  # of the way down to the chin, on the outline of the face
    width = 1 - f.jaw * share**2 + 0.02 * f.au(12)
    outline = width * (1 - share**f.roundness) ** (1 / f.roundness)
    return points | numbered(f"jaw_*_{side}", _at_depth(s * outline, _chin(f) * share, 0.0))

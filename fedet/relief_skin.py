"""What the head in relief looks like: skin, lips, brows, eyes, mouth, hair, and the lamps on them.

Everything is painted where the canonical coordinates of a pixel say, so it moves with the skin.
Values of one face have the shape (B, 1, 1), pictures (B, H, W), colours (B, 3, 1, 1).
"""

from functools import lru_cache
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.relief_head import MOUTH, SLIT, gauss, unit
from fedet.render import INDEX


def soft(distance: Tensor, width: Tensor | float) -> Tensor:
    """Opacity, 1 where the distance is positive."""
    return torch.sigmoid(distance / width)


def mix(base: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    return base + alpha[:, None] * (colour - base)


@lru_cache(maxsize=4)
def noise_tile(device: torch.device | str = "cpu") -> Tensor:
    """(1, 4, 128, 128) tiling noise of unit spread: pores, blotches, spots, strands along y."""
    g = torch.Generator().manual_seed(5)
    fy, fx = torch.fft.fftfreq(128)[:, None] * 128, torch.fft.fftfreq(128)[None] * 128
    f = (fx**2 + fy**2).sqrt()
    bands = (
        torch.exp(-(((f - 34) / 14) ** 2)),
        torch.exp(-((f / 6) ** 2)) * (f > 0),
        torch.exp(-(((f - 12) / 6) ** 2)),
        torch.exp(-((fy / 3) ** 2)) * torch.exp(-(((fx.abs() - 16) / 14) ** 2)),
    )
    tiles = []
    for band in bands:
        white = torch.fft.fft2(torch.randn(128, 128, generator=g))
        tile = torch.fft.ifft2(white * band).real
        tiles.append((tile - tile.mean()) / tile.std())
    return torch.stack(tiles)[None].to(device)


def noise(x: Tensor, y: Tensor, seed: Tensor, period: float, channels: slice = slice(0, 4)) -> Tensor:
    """Noise (B, C, H, W) at coordinates (B, H, W), another part of it for each seed (B, 2)."""
    place = torch.stack([x / period + seed[:, :1, None], y / period + seed[:, 1:, None]], -1)
    wrapped = (place.remainder(1) * 2 - 1) * (127 / 128)
    tile = noise_tile(x.device)[:, channels].expand(len(x), -1, -1, -1)
    return F.grid_sample(tile, wrapped, padding_mode="border", align_corners=False)


# ---------------------------------------------------------------- light


def lamps(scene: dict[str, Tensor]) -> SimpleNamespace:
    """A key lamp, a second one on the other side, and light from all around, in the camera's frame."""
    x, y = scene["light_x"], scene["light_y"]
    key = unit(torch.stack([1.15 * x, 1.1 * y - 0.15, 0.95 - 0.25 * x.abs()], 1))
    fill = unit(torch.stack([-1.2 * torch.sign(x), -0.2 + 0.3 * y, 0.3 * torch.ones_like(x)], 1))
    wall = 0.5 * (scene["back"] + scene["back_2"])
    tint = wall / wall.mean(1, keepdim=True).clamp(min=0.05)
    return SimpleNamespace(
        key=key, fill=fill, hard=scene["hardness"][:, None, None],
        key_colour=1 + 0.1 * (1 - tint) * torch.tensor([1.0, 0.5, 1.0], device=x.device),
        fill_colour=0.5 + 0.5 * tint.clamp(max=2),
        around=0.56 * scene["ambient"][:, None, None], power=0.38 + 1.05 * scene["diffuse"][:, None, None],
        fill_power=0.12 + 0.35 * scene["diffuse"][:, None, None] * (1 - scene["hardness"][:, None, None]),
    )  # fmt: skip


def dot(normal: Tensor, direction: Tensor) -> Tensor:
    return (normal * direction[:, :, None, None]).sum(1)


def lit(normal: Tensor, lamp: SimpleNamespace, hollow: Tensor, shade: Tensor, red: float = 0.0) -> Tensor:
    """Light (B, 3, H, W) on a surface. `red` lets red light bleed around the edge, as in skin."""
    wrap = 0.55 - 0.45 * lamp.hard
    facing = dot(normal, lamp.key)
    bleed = [wrap + red, wrap + 0.3 * red, wrap]
    key = torch.stack([((facing + w) / (1 + w)).clamp(min=0) for w in bleed], 1)
    key = key * (lamp.power * shade)[:, None] * lamp.key_colour[:, :, None, None]
    fill = dot(normal, lamp.fill).clamp(min=0) * lamp.fill_power
    open_sky = (lamp.around * (0.85 - 0.25 * normal[:, 1]) * (1 - hollow)).clamp(min=0)
    return (
        key * (1 - 0.6 * hollow)[:, None]
        + open_sky[:, None]
        + fill[:, None] * lamp.fill_colour[:, :, None, None]
    )


def gleam(normal: Tensor, lamp: SimpleNamespace, power: float) -> Tensor:
    """Soft highlight (B, H, W) of the key lamp for a viewer straight ahead."""
    half = unit(lamp.key + torch.tensor([0.0, 0.0, 1.0], device=normal.device))
    return dot(normal, half).clamp(min=0) ** power


# ---------------------------------------------------------------- the parts


class Face:
    """A look's values and the action units as (B, 1, 1), by side too: `f.eye_w`, `f.au(12, 1)`."""

    def __init__(self, look: dict[str, Tensor], aus: Tensor):
        self.look, self.aus = look, aus

    def __getattr__(self, name: str) -> Tensor:
        return self.look[name][:, None, None]

    def colour(self, name: str) -> Tensor:
        return self.look[name][:, :, None, None]

    def au(self, au: int, side: int = 0) -> Tensor:
        values = self.aus[:, :, INDEX[au]]
        return (values.mean(1) if side == 0 else values[:, 0 if side < 0 else 1])[:, None, None]


def hairline(x: Tensor, f: Face) -> Tensor:
    """The y above which hair grows."""
    ax = x.abs()
    top = (
        f.hairline
        + f.recede * (ax / 0.6 - 0.2).clamp(0, 1) * (ax < 0.95) * -0.22
        + 0.25 * (ax - 0.25).clamp(min=0) ** 2
    )
    parted = f.fringe * (
        0.5 + 0.12 * torch.sin(x * 3 * f.side + f.wave * 6) + 0.25 * torch.tanh((x * f.side) / 0.5)
    )
    top = top + parted
    return torch.lerp(top, f.burn, soft(ax - f.temple + 0.1 * f.fringe, 0.06))


def beard_area(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where a beard and where a moustache grows, 0..1."""
    ax = x.abs()
    cheek = soft(y - 0.78 + 0.62 * (ax - 0.45), 0.05) * soft(1.6 - ax, 0.08)
    below = soft(y - 0.93 + 0.1 * soft(0.06 - ax, 0.02), 0.025)
    around = soft(ax - 0.45, 0.03)
    beard = torch.maximum(cheek * around, below)
    top = gauss(ax, y, 0.2, 0.585 + 0.0, 0.26, 0.075) * 1.4
    side = gauss(ax, y, 0.45, 0.76, 0.07, 0.17)
    return beard, torch.maximum(top, side).clamp(max=1) * soft(y - 0.46, 0.015)


def hair_relief(x: Tensor, y: Tensor, f: Face) -> Tensor:
    """Thickness (B, H, W) of hair and beard on the canonical grid, as a share of the radius."""
    grown = soft(hairline(x, f) - 0.05 - y, 0.05)
    thick = f.hair_thick * (1 + 0.6 * soft(-0.8 - y, 0.2)) * (1 - f.bald)
    locks = 1 + 0.09 * torch.sin(f.curl * (x + 0.25 * torch.sin(3 * y + f.wave))) * (0.4 + 1.2 * f.curly)
    beard, moustache = beard_area(x, y)
    return grown * thick * locks + 0.05 * f.beard * beard + 0.015 * f.moustache * moustache


def paint_skin(x: Tensor, y: Tensor, f: Face, grain: Tensor) -> Tensor:
    """Bare skin (B, 3, H, W) with pores, blotches, freckles, redness, stubble and make-up."""
    ax = x.abs()
    device = x.device
    pores, blotch, spots = grain[:, 0], grain[:, 1], grain[:, 2]
    tone = 1 + f.rough * (0.016 * pores + 0.035 * blotch)
    skin = f.colour("skin") * tone[:, None]
    red = (
        0.5 * gauss(ax, y, 0.6, 0.28, 0.28, 0.22)
        + 0.6 * gauss(ax, y, 0, 0.33, 0.16, 0.12)
        + 0.3 * gauss(ax, y, 0, 1.1, 0.2, 0.14)
    )
    red = f.flush * (red * (1 + 0.3 * blotch) + 0.12 * blotch)
    skin = skin * (1 + red[:, None] * torch.tensor([0.03, -0.16, -0.12], device=device).view(1, 3, 1, 1))
    dark = 0.16 * f.rings * gauss(ax, y, 0.4, -0.06, 0.2, 0.08) + 0.08 * gauss(ax, y, 0.42, -0.3, 0.22, 0.06)
    dark = dark + f.freckles * 0.3 * soft(spots - 1.1, 0.12) * gauss(ax, y, 0.35, 0.15, 0.55, 0.35)
    dark = dark + 0.35 * f.moles * soft(spots - 2.6, 0.08) + 0.08 * f.age * soft(blotch - 1.1, 0.2)
    skin = skin * (1 - dark[:, None] * torch.tensor([0.75, 1.0, 1.05], device=device).view(1, 3, 1, 1))
    shadow = f.make_up * gauss(ax, y, 0.47, -0.3, 0.2, 0.08)
    skin = mix(skin, f.colour("shadow"), 0.55 * shadow)
    skin = mix(skin, f.colour("rouge"), 0.25 * f.make_up * gauss(ax, y, 0.68, 0.25, 0.22, 0.16))
    beard, moustache = beard_area(x, y)
    shade = f.stubble * torch.maximum(beard, moustache) * (0.7 + 0.2 * pores).clamp(0, 1)
    return mix(
        skin,
        0.35 * f.colour("hair")
        + 0.25 * f.colour("skin") * torch.tensor([0.8, 1, 1.1], device=device).view(1, 3, 1, 1),
        0.6 * shade,
    )


def lips_area(x: Tensor, y: Tensor, f: Face, px: Tensor) -> Tensor:
    """Opacity of the red of the lips."""
    e = (x / MOUTH).clamp(-1, 1)
    bow = (1 - e**2).clamp(min=0)
    top = f.lip_up * bow**0.8 * (1 + 0.22 * torch.cos(e * 5.2) - 0.3 * torch.exp(-((e / 0.13) ** 2)))
    low = f.lip_low * bow**0.65
    edge = 0.008 + 0.5 * px
    return soft(y - SLIT + top, edge) * soft(SLIT + low - y, edge) * soft(MOUTH - x.abs(), 0.015)


def brow_area(x: Tensor, y: Tensor, f: Face, strand: Tensor, px: Tensor) -> Tensor:
    """Opacity of the brows: two tapering bands with ragged edges and visible hairs."""
    t = (x.abs() - f.brow_in) / (f.brow_out - f.brow_in)
    inside = t.clamp(0, 1)
    curve = f.brow_arch * 4 * inside**1.4 * (1 - inside) + f.brow_slope * (inside - 0.5)
    middle = -0.455 + 0.6 * f.brow_thick - curve
    thick = f.brow_thick * (0.75 + 0.5 * inside - 1.05 * inside**2).clamp(min=0.1)
    edge = 0.012 + 0.5 * px
    band = soft(thick - (y - middle).abs() + 0.012 * strand, edge)
    return (
        band
        * soft(t + 0.02 * strand, 0.05)
        * soft(1 - t, 0.04)
        * (0.9 + 0.16 * strand).clamp(0, 1)
        * f.brow_dense
    )


def paint_eye(
    rgb: Tensor,
    x: Tensor,
    y: Tensor,
    f: Face,
    side: int,
    scene: dict,
    lamp: SimpleNamespace,
    px: Tensor,
    strand: Tensor,
) -> Tensor:
    """One eye between its lids. x, y: place on the deformed skin, from the eye's centre, x outwards."""
    au5, au6, au7, au9, au12, au43 = (f.au(a, side) for a in (5, 6, 7, 9, 12, 43))
    au4 = f.au(4, side)
    gx, gy = scene["gaze_x"][:, None, None] * side, scene["gaze_y"][:, None, None]
    e = x / f.eye_w
    tilt = f.eye_tilt * e
    bow = (1 - e.clamp(-1, 1) ** 2).clamp(min=0)
    squeeze = (0.3 * au6 + 0.55 * au7 + 0.15 * au12 + 0.25 * au9 + 0.12 * au4).clamp(max=0.9)
    height = f.eye_open * (1 - 0.42 * squeeze) + 0.05 * au5 + 0.02 * gy * (gy < 0)
    low = f.eye_low * (1 - 1.15 * squeeze) + 0.006 * au5
    height = torch.lerp(height, -0.75 * f.eye_low, au43.clamp(0, 1))
    shape = bow**0.75 * (1 - 0.18 * e * (e < 0.3))
    upper = tilt - height * shape
    lower = tilt + low * bow**0.85
    edge = 0.35 * px + 0.004
    open_ = soft(torch.minimum(y - upper, lower - y), edge) * (e.abs() < 1)

    # the fold above the lid, and the thickness of the lids' rims
    fold = upper - f.fold_gap - 0.035 * au43 * bow + 0.02 * squeeze - 0.02 * (e + 0.3) * f.hooded
    rgb = (
        rgb
        * (
            1
            - f.fold_deep * torch.exp(-(((y - fold) / (0.012 + 0.35 * px)) ** 2)) * bow**0.4 * (e.abs() < 1.1)
        )[:, None]
    )
    rim = torch.exp(-(((y - lower - 0.014) / 0.014) ** 2)) * bow**0.3 * (e.abs() < 1)
    rgb = rgb * (1 + rim[:, None] * torch.tensor([0.1, -0.02, 0.0], device=x.device).view(1, 3, 1, 1))

    ball = 0.2
    nx, ny = (x / ball).clamp(-0.95, 0.95), (y / ball).clamp(-0.95, 0.95)
    nz = (1 - nx**2 - ny**2).clamp(min=0.05).sqrt()
    normal = torch.stack([nx * side, ny, nz], 1)
    zero = torch.zeros_like(x)
    cover = 0.45 * torch.exp(-((y - upper).clamp(min=0) / 0.022)) + 0.15 * (e**2)
    light = lit(unit(normal), lamp, cover.clamp(max=0.9), 1 - 0.5 * cover.clamp(0, 1))
    veins = (0.16 * e.abs() + 0.25 * (e < -0.75)).clamp(max=0.4)
    white = 0.78 - veins[:, None] * torch.tensor([0.1, 0.75, 0.7], device=x.device).view(1, 3, 1, 1)
    ix, iy = x - 0.095 * gx, y + 0.008 - 0.05 * gy
    r = ((ix / (1 - 0.1 * gx.abs())) ** 2 + iy**2).sqrt() / f.iris
    rays = 0.8 + 0.15 * torch.cos(torch.atan2(iy, ix) * 17 + 9 * f.wave) + 0.35 * (r - 0.5).clamp(0, 0.4)
    iris = f.colour("iris_colour") * rays[:, None] * (1 - 0.6 * soft(r - 0.9, 0.06))[:, None]
    eye = mix(white * torch.ones_like(light), iris, soft(1 - r, edge / f.iris))
    eye = eye * (1 - 0.94 * soft(f.pupil - r, edge / f.iris))[:, None] * (light * 0.9 + 0.1)
    kx, ky = 0.5 * lamp.key[:, 0, None, None] * side, 0.5 * lamp.key[:, 1, None, None]
    spark = torch.exp(-(((ix / f.iris - kx) / 0.22) ** 2) - ((iy / f.iris - ky) / 0.22) ** 2)
    tear = torch.exp(-(((y - lower + 0.008) / 0.008) ** 2)) * (1 - e**2).clamp(min=0)
    eye = eye + (0.75 * spark * lamp.power.clamp(max=0.8) + 0.12 * tear * lamp.power)[:, None]
    rgb = mix(rgb, eye, open_)
    # lashes: a dark rim that grows outwards, ragged at its edge
    out = (0.5 + 0.5 * e).clamp(0, 1)
    long = (0.008 + f.lash * (0.008 + 0.022 * out)) * (1 + 0.25 * strand)
    above = (upper - y) + 0.0 * zero
    lash = (
        soft(above + 0.01, edge)
        * soft(long - above, edge + 0.005)
        * (e.abs() < 1.06)
        * soft(bow - 0.02, 0.03)
    )
    below = torch.exp(-(((y - lower - 0.004) / 0.01) ** 2)) * bow.sqrt() * 0.35 * f.lash
    return mix(
        rgb,
        f.colour("lash_colour").expand_as(rgb),
        torch.maximum(lash * (0.55 + 0.4 * f.lash), below).clamp(0, 1),
    )


def paint_mouth(
    rgb: Tensor, x: Tensor, y: Tensor, gap: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor
) -> Tensor:
    """Teeth, tongue and darkness between parted lips. x, y: from the middle of the closed slit."""
    jaw = f.au(26) * (0.55 + 0.45 * f.au(25))
    light = (0.6 * lamp.around + 0.55 * lamp.power)[:, None]
    deep = torch.tensor([0.16, 0.05, 0.05], device=x.device).view(1, 3, 1, 1) * (0.5 + light)
    inner = deep * torch.ones_like(rgb)
    tongue = soft(y - 0.07 - 0.24 * jaw - 0.6 * x**2, 0.02) * soft(0.26 - x.abs(), 0.03)
    inner = mix(
        inner, torch.tensor([0.62, 0.28, 0.27], device=x.device).view(1, 3, 1, 1) * light, 0.85 * tongue
    )
    edge = 0.006 + 0.4 * px
    fade = torch.exp(-((x / 0.32) ** 4))
    ivory = f.colour("ivory")
    cracks = torch.exp(-((torch.sin(x * 46) / 0.22) ** 2)) * 0.22 * (px < 0.04)
    row = soft(0.035 + 0.015 * f.teeth_long - 0.12 * x**2 - 0.01 * cracks - y, edge)
    gum = soft(-0.13 - y + 0.015 * torch.cos(x * 46), 0.01)
    tooth = ivory * (1 - cracks)[:, None] * (0.35 + 0.65 * fade)[:, None] * light
    tooth = mix(tooth, torch.tensor([0.72, 0.36, 0.35], device=x.device).view(1, 3, 1, 1) * light, gum)
    low_row = soft(y - 0.05 - 0.31 * jaw - 0.3 * x**2, edge) * f.low_teeth
    inner = mix(
        inner, ivory * 0.75 * (0.3 + 0.7 * fade)[:, None] * light, low_row * soft(0.3 - x.abs(), 0.03)
    )
    inner = mix(inner, tooth, row * soft(0.34 - x.abs(), 0.03))
    return mix(rgb, inner, gap)


def paint_head(s: SimpleNamespace, f: Face, scene: dict[str, Tensor], lamp: SimpleNamespace) -> Tensor:
    """The head (B, 3, H, W) in its light.

    Args:
        s: of each pixel: `x`, `y` canonical point, `qx`, `qy` place on the deformed skin, `above`,
            `below` the canonical y according to either lip, `normal` in the camera's frame, `hollow`,
            `shade` (1 in the key lamp's light), `px` (B, 1, 1) a pixel's width, `eye`, `mouth` (B, 2).
    """
    grain = noise(s.x, s.y, f.look["seed"], 2.0)
    strand = grain[:, 3]
    skin = paint_skin(s.x, s.y, f, grain)
    lips = lips_area(s.x, s.y, f, s.px)
    lip = f.colour("lip") * (1 + 0.06 * strand)[:, None]
    albedo = mix(skin, lip, lips * 0.9)
    line = torch.exp(-(((s.y - SLIT) / (0.012 + 0.4 * s.px)) ** 2)) * soft(MOUTH + 0.015 - s.x.abs(), 0.02)
    albedo = albedo * (1 - 0.55 * line)[:, None]
    nostril = gauss(s.x.abs(), s.y, 0.085, 0.41, 0.045, 0.02)
    albedo = albedo * (1 - 0.6 * nostril)[:, None]
    light = lit(s.normal, lamp, s.hollow, s.shade, red=0.18)
    shine = (
        f.shine
        * (0.5 * gleam(s.normal, lamp, 12) + 0.9 * gleam(s.normal, lamp, 40))
        * (1 + 0.12 * grain[:, 0])
    )
    shine = shine * (1.6 * s.normal[:, 2] - 0.4).clamp(0, 1) * (1 - nostril)
    wet = lips * f.gloss * gleam(s.normal, lamp, 30)
    rgb = albedo * light + ((shine + wet) * lamp.power * s.shade * (1 - s.hollow).clamp(0, 1))[:, None]

    hair_light = lit(s.normal, lamp, 0.5 * s.hollow, s.shade)
    hairs = noise(s.x * 1.0, s.y * 0.4, f.look["seed"], 1.3, slice(3, 4))[:, 0]
    fine = noise(s.x + 0.6 * s.y * s.x.sign(), s.y * 0.5, f.look["seed"], 0.9, slice(3, 4))[:, 0]
    brow = brow_area(s.x, s.y, f, fine, s.px)
    rgb = mix(rgb, f.colour("brow_colour") * hair_light, brow)
    beard, moustache = beard_area(s.x, s.y)
    bearded = torch.maximum(f.beard * beard, f.moustache * moustache) * (1 - lips) * (0.92 + 0.12 * hairs)
    rgb = mix(rgb, f.colour("hair") * (1 + 0.3 * grain[:, 0])[:, None] * hair_light, bearded.clamp(0, 1))
    for side in (-1, 1):
        half = slice(None)
        x = (s.qx * side - s.eye[:, 0, None, None])[:, :, half]
        rgb = paint_eye(rgb, x, s.qy - s.eye[:, 1, None, None], f, side, scene, lamp, s.px, strand)
    gap = soft(torch.minimum(s.above - SLIT, SLIT - s.below) - 0.004, 0.3 * s.px + 0.003)
    gap = gap * soft(MOUTH - s.x.abs(), 0.01)
    rgb = paint_mouth(
        rgb, s.qx - s.mouth[:, 0, None, None], s.qy - s.mouth[:, 1, None, None], gap, f, lamp, s.px
    )
    grown = soft(hairline(s.x, f) - s.y + 0.03 * hairs + 0.012 * strand, 0.02 + 0.4 * s.px)
    sheen = (0.5 + 0.5 * torch.tanh(hairs)) * gleam(s.normal, lamp, 8) * f.hair_shine
    hair = f.colour("hair") * (1 + 0.2 * hairs)[:, None] * hair_light + (sheen * lamp.power * s.shade)[
        :, None
    ] * (0.15 + f.colour("hair"))
    return mix(rgb, hair, (grown * (1 - f.bald * 0.93)).clamp(0, 1))

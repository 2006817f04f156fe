"""What the head in relief looks like: its skin, where lips, brows and hair are, and the lamps on it.

Everything is painted where the canonical coordinates of a pixel say, so it moves with the skin.
Values of one face have the shape (B, 1, 1), pictures (B, H, W), colours (B, 3, 1, 1).
"""

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.intervals import AU_INDEX
from fedet.synthetic.relief.head import MOUTH, SLIT, gauss, unit


def soft(distance: Tensor, width: Tensor | float) -> Tensor:
    """Opacity, 1 where the distance is positive."""
    return torch.sigmoid(distance / width)


def mix(base: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    return base + alpha[:, None] * (colour - base)


def pick(maps: Tensor, at: Tensor) -> Tensor:
    """Maps (..., H, W) at some pixels (P,) by number, as maps (..., 1, P)."""
    flat = maps.flatten(-2)
    return flat.gather(-1, at.expand(*flat.shape[:-1], -1)).unsqueeze(-2)


def put(maps: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """The maps (..., H, W) with other values (..., 1, P) at some pixels (P,)."""
    values = values.flatten(-2)
    return maps.flatten(-2).scatter(-1, at.expand_as(values), values).view_as(maps)


def numbers(near: Tensor) -> Tensor:
    """Numbers (P,) of the pixels that are `near` (B, H, W) in any picture."""
    return torch.nonzero(near.any(0).flatten())[:, 0]


def paint_near(rgb: Tensor, near: Tensor, paint: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Paints only the pixels that are `near` (B, H, W) in any picture; elsewhere it would not show.

    Args:
        paint: makes colours (B, 3, 1, P) of those before and of the maps (B, 1, P) at these pixels.
    """
    at = numbers(near)
    if not len(at):
        return rgb
    return put(rgb, at, paint(pick(rgb, at), *(pick(values, at) for values in maps)))


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
    """Noise (B, C, H, W) at coordinates (B, H, W), a different excerpt for each seed (B, 2)."""
    at = torch.stack([x / period + seed[:, :1, None], y / period + seed[:, 1:, None]], -1)
    wrapped = (at.remainder(1) * 2 - 1) * (127 / 128)
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
    x, y, z = direction[:, :, None, None].unbind(1)
    return normal[:, 0] * x + normal[:, 1] * y + normal[:, 2] * z


def lit(normal: Tensor, lamp: SimpleNamespace, hollow: Tensor, shade: Tensor, red: float = 0.0) -> Tensor:
    """Light (B, 3, H, W) on a surface. `red` lets red light bleed around the edge, as in skin."""
    wrap = (0.55 - 0.45 * lamp.hard)[:, None]
    if red:
        wrap = wrap + red * torch.tensor([1.0, 0.3, 0.0], device=normal.device).view(1, 3, 1, 1)
    key = ((dot(normal, lamp.key)[:, None] + wrap) / (1 + wrap)).clamp_(min=0)
    key = key * (lamp.power * shade * (1 - 0.6 * hollow))[:, None] * lamp.key_colour[:, :, None, None]
    fill = dot(normal, lamp.fill).clamp_(min=0) * lamp.fill_power
    open_sky = (lamp.around * (0.85 - 0.25 * normal[:, 1]) * (1 - hollow)).clamp_(min=0)
    return key + open_sky[:, None] + fill[:, None] * lamp.fill_colour[:, :, None, None]


def gleam(normal: Tensor, lamp: SimpleNamespace) -> Tensor:
    """How nearly the key lamp is mirrored to a viewer straight ahead (B, H, W); its powers are highlights."""
    half = unit(lamp.key + torch.tensor([0.0, 0.0, 1.0], device=normal.device))
    return dot(normal, half).clamp_(min=0)


def power(x: Tensor, n: int) -> Tensor:
    """x to a whole power by squares, much quicker than the library's."""
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        x = x * x if n else x
    return result


# ---------------------------------------------------------------- features on the skin


class Face:
    """A look's values and the action units as (B, 1, 1), by side too: `f.eye_w`, `f.au(12, 1)`."""

    def __init__(self, look: dict[str, Tensor], aus: Tensor):
        self.look, self.aus = look, aus

    def __getattr__(self, name: str) -> Tensor:
        return self.look[name][:, None, None]

    def colour(self, name: str) -> Tensor:
        return self.look[name][:, :, None, None]

    def au(self, au: int, side: int = 0) -> Tensor:
        values = self.aus[:, :, AU_INDEX[au]]
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
    if not (f.beard.any() or f.moustache.any()):
        return grown * thick * locks
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
    if f.freckles.any():
        dark = dark + f.freckles * 0.3 * soft(spots - 1.1, 0.12) * gauss(ax, y, 0.35, 0.15, 0.55, 0.35)
    dark = dark + 0.35 * f.moles * soft(spots - 2.6, 0.08) + 0.08 * f.age * soft(blotch - 1.1, 0.2)
    skin = skin * (1 - dark[:, None] * torch.tensor([0.75, 1.0, 1.05], device=device).view(1, 3, 1, 1))
    if f.make_up.any():
        shadow = f.make_up * gauss(ax, y, 0.47, -0.3, 0.2, 0.08)
        skin = mix(skin, f.colour("shadow"), 0.55 * shadow)
        skin = mix(skin, f.colour("rouge"), 0.25 * f.make_up * gauss(ax, y, 0.68, 0.25, 0.22, 0.16))
    if not f.stubble.any():
        return skin
    beard, moustache = beard_area(x, y)
    shade = f.stubble * torch.maximum(beard, moustache) * (0.7 + 0.2 * pores).clamp(0, 1)
    return mix(
        skin,
        0.35 * f.colour("hair")
        + 0.25 * f.colour("skin") * torch.tensor([0.8, 1, 1.1], device=device).view(1, 3, 1, 1),
        0.6 * shade,
    )


def lip_heights(x: Tensor, f: Face) -> tuple[Tensor, Tensor]:
    """How high the red of the upper and of the lower lip is, by x."""
    e = (x / MOUTH).clamp(-1, 1)
    bow = (1 - e**2).clamp(min=0)
    top = f.lip_up * bow**0.8 * (1 + 0.22 * torch.cos(e * 5.2) - 0.3 * torch.exp(-((e / 0.13) ** 2)))
    return top, f.lip_low * bow**0.65


def lips_area(x: Tensor, y: Tensor, f: Face, px: Tensor) -> Tensor:
    """Opacity of the red of the lips."""
    top, low = lip_heights(x, f)
    edge = 0.008 + 0.5 * px
    return soft(y - SLIT + top, edge) * soft(SLIT + low - y, edge) * soft(MOUTH - x.abs(), 0.015)


def brow_middle(inside: Tensor, f: Face) -> Tensor:
    """The y of the middle of a brow at shares 0..1 of its length."""
    curve = f.brow_arch * 4 * inside**1.4 * (1 - inside) + f.brow_slope * (inside - 0.5)
    return -0.455 + 0.6 * f.brow_thick - curve


def brow_area(x: Tensor, y: Tensor, f: Face, strand: Tensor, px: Tensor) -> Tensor:
    """Opacity of the brows: two tapering bands with ragged edges and visible hairs."""
    t = (x.abs() - f.brow_in) / (f.brow_out - f.brow_in)
    inside = t.clamp(0, 1)
    middle = brow_middle(inside, f)
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

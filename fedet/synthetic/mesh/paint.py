"""Colours of the mesh's pixels in linear light: skin, lips, brows, eyes, teeth, hair, cloth."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.mesh.head import EYE, EYE_HALF, MOUTH_HALF, bell, pair, ramp


@device_table
def grain() -> Tensor:
    """Smoothed noise (2, 257, 257) that tiles, standard deviation 1: fine and coarse.

    The last row and column are the first ones again.
    """
    generator = torch.Generator().manual_seed(11)
    wave = torch.fft.fftfreq(256)
    power = torch.exp(-(wave[:, None] ** 2 + wave[None] ** 2) * torch.tensor([160.0, 2600.0])[:, None, None])
    noise = torch.fft.ifft2(torch.fft.fft2(torch.randn(2, 256, 256, generator=generator)) * power).real
    return torch.nn.functional.pad(noise / noise.std((1, 2), keepdim=True), (0, 1, 0, 1), mode="circular")


def noise_at(x: Tensor, y: Tensor, kind: int) -> Tensor:
    """Noise (N,) at texture coordinates, one period a unit; read between the texels."""
    u, v = (x - x.floor()) * 256, (y - y.floor()) * 256
    i, j = u.int(), v.int()
    fu, fv = u - i, v - j
    at = (j & 255) * 257 + (i & 255)
    near, right, below, across = (
        grain()[kind].flatten().index_select(0, at + step) for step in (0, 1, 257, 258)
    )
    return torch.lerp(torch.lerp(near, right, fu), torch.lerp(below, across, fu), fv)


class Who:
    """Look values of N pixels: `w.age` (N,), `w.colour("skin")` (3, N) in linear light.

    Where all show one picture, N is 1, and the values serve for all pixels.
    """

    def __init__(self, look: dict[str, Tensor], picture: Tensor):
        self._look, self.picture = look, picture

    def at(self, pixels: Tensor) -> Self:
        """Those of some of the pixels, by number."""
        return type(self)(self._look, self.picture.index_select(0, pixels))

    def of(self, value: Tensor) -> Tensor:
        """Values (B, ...) of the pictures as values (..., N) of the pixels."""
        return (value if value.shape[0] == 1 else value[self.picture]).movedim(0, -1)

    def __getattr__(self, name: str) -> Tensor:
        return self.of(self._look[name])

    def colour(self, name: str) -> Tensor:
        return self.of(self._look[name].clamp(0, 1) ** 2.2)


def column(*values: float) -> Tensor:
    """A colour or a vector (3, 1)."""
    return torch.tensor(values)[:, None]


def read_map(maps: Tensor, w: Who, u: Tensor, v: Tensor) -> Tensor:
    """Values (C, N) of maps (B, C, T, T) at u (right) and v (down), 0..1, of the pixels' pictures."""
    _b, c, t, _ = maps.shape
    flat = maps.transpose(0, 1).reshape(c, -1)
    x, y = u.clamp(0, 1) * (t - 1), v.clamp(0, 1) * (t - 1)
    i, j = x.long().clamp_(max=t - 2), y.long().clamp_(max=t - 2)
    fx, fy = x - i, y - j
    at = w.picture * t * t + j * t + i
    near, right, below, across = (flat.gather(1, (at + step).expand(c, -1)) for step in (0, 1, t, t + 1))
    return torch.lerp(torch.lerp(near, right, fx), torch.lerp(below, across, fx), fy)


def over(base: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    return base + alpha.clamp(0, 1) * (colour - base)


def fourth(x: Tensor) -> Tensor:
    """The fourth power; twice the square is much quicker."""
    return (x**2) ** 2


def paint_skin(chart: Tensor, w: Who, height: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (3, N) and gloss (N,) of skin at chart positions (3, N); height of the creases (N,)."""
    x, y, angle = chart
    front = ramp(torch.cos(angle), -0.1, 0.3)
    sx, sy = x + w.seed_x, y + w.seed_y
    fine, coarse = noise_at(sx * 1.7, sy * 1.7, 0), noise_at(sx * 0.8, sy * 0.8, 1)
    skin = w.colour("skin") * (1 + 0.035 * w.rough * fine + 0.04 * coarse)
    red = 0.7 * pair(x, y, (0.55, 0.22), 0.25, 0.2) + 0.6 * bell(x, y, (0.0, 0.28), 0.16, 0.12)
    red = (red + 0.25 * coarse * 0.4) * w.flush * front
    skin = skin * (1 + red * column(0.12, -0.16, -0.12))
    if w.freckles.any():
        spots = (noise_at(sx * 2.3, sy * 2.3, 0) - 1.3).clamp(0, 1) * w.freckles
        skin = skin * (1 - spots * 0.5 * pair(x, y, (0.3, 0.15), 0.5, 0.3))
    tired = w.tired * pair(x, y, (0.41, -0.08), 0.2, 0.06)
    skin = skin * (1 - tired * column(0.3, 0.38, 0.3))
    skin = skin * (1 + 14 * height.clamp(-0.03, 0.012))
    skin, positions = torch.cat([skin, torch.full_like(skin[:1], 0.6)]), torch.stack([x, y, front])
    side = x.abs()
    _paint_near(skin, _lips, positions, w, (side < 0.8) & (y > 0.2) & (y < 1.2))
    _paint_near(skin, _brows, positions, w, (side < 0.85) & ((y + 0.47).abs() < 0.35))
    skin[:3] = _face_hair(skin[:3], x, y, angle, w, fine, front)
    _paint_near(skin, _eye_edges, positions, w, (side < 1.3) & ((y - EYE[1]).abs() < 0.3))
    return skin[:3], skin[3]


def _paint_near(skin: Tensor, paint: Callable[..., Tensor], positions: Tensor, w: Who, near: Tensor) -> None:
    """Paints only the pixels `near` (N,) of the skin (4, N), elsewhere nothing of it would show.

    Args:
        paint: makes colour and gloss (4, M) of those before, of the positions (3, M) and of their people.
    """
    at = torch.nonzero(near)[:, 0]
    rows = at.expand(4, -1)
    skin.scatter_(1, rows, paint(skin.gather(1, rows), *positions.gather(1, rows[:3]), w.at(at)))


def _lip_bow(x: Tensor) -> Tensor:
    return (1 - (x / (MOUTH_HALF * 1.01)) ** 2).clamp(min=0)


def lip_borders(x: Tensor, lip_up: Tensor, lip_low: Tensor) -> tuple[Tensor, Tensor]:
    """How far the borders of the upper and the lower lip lie below the line of the mouth, by x."""
    bow = _lip_bow(x)
    peaks = 0.9 + 0.14 * torch.exp(-(((x.abs() - 0.075) / 0.06) ** 2)) - 0.14 * torch.exp(-((x / 0.03) ** 2))
    return -lip_up * bow**0.7 * peaks, lip_low * bow**0.8


def brow_middle(t: Tensor, look: dict[str, Tensor]) -> Tensor:
    """The y (B, N) of the middle of people's brows, at shares t (B, N) of their length."""
    slope, arch = look["brow_slope"][:, None], look["brow_arch"][:, None]
    return -0.45 + slope * (t - 0.5) - arch * 4 * (t * (1 - t)).clamp(min=-0.1)


def _lips(skin: Tensor, x: Tensor, y: Tensor, front: Tensor, w: Who) -> Tensor:
    """Lips, nostrils and the seam of the mouth: colour and gloss (4, N) of those before."""
    skin, gloss = skin[:3], skin[3:]
    d = y - 0.7 + 0.04 * x**2
    top, bottom = lip_borders(x, w.lip_up, w.lip_low)
    bow = _lip_bow(x)
    mask = torch.sigmoid((d - top) / 0.008) * torch.sigmoid((bottom - d) / 0.011) * ramp(bow, 0, 0.05) * front
    shade = 1 + 0.05 * torch.sin(x * 95 + 3 * w.seed_x) * w.rough
    skin = over(skin, w.colour("lip") * torch.where(d < 0, 0.82, 1.0) * shade, mask * 0.92)
    seam = torch.exp(-((d / 0.011) ** 2)) * ramp(MOUTH_HALF * 1.06 - x.abs(), 0, 0.05) * front
    nostril = pair(x, y, (0.075, 0.372), 0.042, 0.021) * front
    dark = 0.62 * seam + 0.85 * nostril + 0.12 * bell(x, y, (0.0, 0.43), 0.2, 0.03) * front
    return torch.cat([over(skin, skin * column(0.25, 0.14, 0.13), dark), gloss + w.lip_gloss * mask])


def _brows(skin: Tensor, x: Tensor, y: Tensor, front: Tensor, w: Who) -> Tensor:
    """Brows, as hair grows on the chart: colour and gloss (4, N) of those before."""
    skin, gloss = skin[:3], skin[3:]
    t = (x.abs() - w.brow_in) / (w.brow_out - w.brow_in)
    middle = -0.45 + w.brow_slope * (t - 0.5) - w.brow_arch * 4 * (t * (1 - t)).clamp(min=-0.1)
    half = w.brow_thick * (0.75 + 0.5 * ramp(t, -0.05, 0.3)) * (1.05 - 0.75 * ramp(t, 0.45, 1.05))
    strands = noise_at(x * 2.2 - 1.5 * y + w.seed_x, y * 0.9 + w.seed_y, 0)
    edge = half - (y - middle).abs() + 0.004 * strands
    brow = torch.sigmoid(edge / 0.009) * ramp(t, -0.06, 0.06) * (1 - ramp(t, 0.94, 1.06)) * front
    brow = brow * w.brow_dense * (0.85 + 0.15 * strands)
    return torch.cat([over(skin, w.colour("brow"), brow), gloss])


def _face_hair(
    skin: Tensor, x: Tensor, y: Tensor, angle: Tensor, w: Who, fine: Tensor, front: Tensor
) -> Tensor:
    """Beard and stubble, as hair grows on the chart."""
    line = 0.74 - 0.75 * ramp(x.abs(), 0.42, 0.92)
    jaw = ramp(y, line - 0.07, line + 0.1) * (1 - ramp(y, 1.25, 1.42)) * ramp(torch.cos(angle), -0.05, 0.2)
    lip = bell(x, y, (0.0, 0.72), 0.36, 0.12)
    jaw = jaw * (1 - 1.3 * lip).clamp(min=0)
    moustache = torch.exp(-fourth((y - 0.54 - 0.25 * x**2) / 0.075)) * (1 - ramp(x.abs(), 0.26, 0.44)) * front
    shadow = torch.maximum(jaw, moustache) * w.stubble
    beard = torch.maximum(jaw * w.beard, moustache * w.moustache)
    if not (shadow.any() or beard.any()):
        return skin
    skin = over(skin, torch.lerp(skin, w.colour("brow"), 0.5), shadow * (0.6 + 0.25 * fine))
    hair = w.colour("hair") * (0.75 + 0.18 * noise_at(x * 3 + w.seed_x, y * 0.8, 0))
    return over(skin, hair, beard * (0.9 + 0.15 * fine))


def _eye_edges(skin: Tensor, x: Tensor, y: Tensor, front: Tensor, w: Who) -> Tensor:
    """Lashes along the slit, and the fold and colour of the upper lid; colour and gloss (4, N)."""
    skin, gloss = skin[:3], skin[3:]
    d, e = y - EYE[1], (x.abs() - EYE[0]) / EYE_HALF
    near = (1 - ramp(e.abs(), 0.93, 1.12)) * front
    lid = bell(x.abs() - EYE[0], d, (0.0, -0.06), 0.2, 0.05)
    skin = over(skin, w.colour("lid"), lid * w.make_up * 0.6)
    thick = 0.016 + 0.014 * w.lashes
    upper = torch.sigmoid((d + thick * (1 + 0.3 * e)) / 0.005) * (d <= 0)
    lower = torch.exp(-(((d - 0.004) / 0.012) ** 2)) * (d > 0) * (0.15 + 0.35 * w.lashes * w.woman)
    fold = 0.4 * torch.exp(-(((d + 0.105) / 0.014) ** 2)) * w.lid_fold * (1 - ramp(e.abs(), 0.8, 1.1))
    skin = skin * (1 - fold * front)
    lashes = torch.maximum(upper * (0.6 + 0.4 * w.lashes), lower) * near
    return torch.cat([over(skin, w.colour("lash"), lashes), gloss])


def paint_eye(ball: Tensor, w: Who) -> Tensor:
    """Colour of an eyeball in the direction `ball` (3, N), forward is the middle of the pupil."""
    x, y, z = ball
    r = (x**2 + y**2).sqrt() + (z < 0)
    spoke = noise_at(torch.atan2(y, x) * 0.8 + w.seed_x, r * 0.5, 0)
    white = torch.stack([0.6 - 0.04 * r, 0.57 - 0.12 * r, 0.55 - 0.14 * r])
    iris = w.colour("iris") * (1.25 + 0.35 * spoke - 0.9 * ((r / w.iris_size) ** 2) ** 3).clamp(min=0.1)
    eye = over(white, iris, torch.sigmoid((w.iris_size - r) / 0.025))
    return over(eye, torch.full_like(eye, 0.004), torch.sigmoid((w.iris_size * w.pupil - r) / 0.018))


def paint_teeth(chart: Tensor, w: Who) -> Tensor:
    u, v, lower = chart
    along = (u / 5).abs()
    gap = torch.exp(-((((u.remainder(1) - 0.5).abs() - 0.5) / 0.07) ** 2))
    root = torch.where(lower > 0.5, 1 - v, v)
    white = w.colour("ivory") * (1 - 0.3 * gap - 0.45 * along**2)
    gum = torch.sigmoid((0.16 + 0.1 * gap - root) / 0.04)
    return over(white, column(0.35, 0.1, 0.1), gum)


def paint_hair(chart: Tensor, w: Who) -> tuple[Tensor, Tensor]:
    """Colour (3, N) and brightness of the strands (N,), by which the normals tilt."""
    angle, y, _ = chart
    strand = noise_at(angle * 2.5 + 0.12 * torch.sin(6 * y) * w.curl + w.seed_x, y * (0.25 + 1.2 * w.curl), 0)
    return w.colour("hair") * (1 + 0.17 * strand).clamp(min=0.2), strand


def paint_cloth(chart: Tensor, w: Who) -> Tensor:
    x, y, _ = chart
    weave = 1 + 0.1 * noise_at(x * 0.5 + w.seed_x, y * 0.5, 1)
    stripe = ramp(torch.sin(y * 26), -0.15, 0.15) * w.stripes
    return over(w.colour("cloth") * weave, w.colour("cloth_2"), stripe)

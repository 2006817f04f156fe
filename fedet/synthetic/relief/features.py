"""The features of the heads in relief: eyes, mouth, brows, beard and hair on the skin."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.synthetic.relief.head import MOUTH, SLIT, gauss, unit
from fedet.synthetic.relief.skin import (
    Face,
    beard_area,
    brow_area,
    gleam,
    hairline,
    lips_area,
    lit,
    mix,
    noise,
    paint_near,
    paint_skin,
    power,
    soft,
)

SEEN = 1e-6  # opacities below leave a colour as it is


def colour_of(red: float, green: float, blue: float, like: Tensor) -> Tensor:
    return torch.tensor([red, green, blue], device=like.device).view(1, 3, 1, 1)


def paint_eyes(
    rgb: Tensor,
    qx: Tensor,
    qy: Tensor,
    eye_position: Tensor,
    f: Face,
    scene: dict,
    lamp: SimpleNamespace,
    px: Tensor,
    strand: Tensor,
) -> Tensor:
    """Both eyes between their lids: each pixel belongs to the eye of its side.

    qx, qy: position on the deformed skin; eye_position: (B, 2) of the right eye, mirrored for the left.
    """
    right = (qx > 0).float()
    side = 2 * right - 1

    def au(number: int) -> Tensor:
        return torch.lerp(f.au(number, -1), f.au(number, 1), right)

    x, y = qx.abs() - eye_position[:, 0, None, None], qy - eye_position[:, 1, None, None]
    e, edge = x / f.eye_w, 0.35 * px + 0.004
    bow = (1 - e.clamp(-1, 1) ** 2).clamp(min=0)
    gaze = scene["gaze_x"][:, None, None], scene["gaze_y"][:, None, None]
    upper, lower, squeeze, closed = lid_edges(e, f, au, gaze[1])
    within = (e.abs() < 1).float()

    # the fold above the lid, and the thickness of the lower lid's rim
    fold = upper - f.fold_gap - 0.035 * closed * bow + 0.02 * squeeze - 0.02 * (e + 0.3) * f.hooded
    crease = torch.exp(-(((y - fold) / (0.012 + 0.35 * px)) ** 2)) * bow**0.4
    rim = torch.exp(-(((y - lower - 0.014) / 0.014) ** 2)) * bow**0.3 * within
    rgb = rgb * (1 - f.fold_deep * crease)[:, None] * (1 + rim[:, None] * colour_of(0.1, -0.02, 0.0, x))
    between = soft(torch.minimum(y - upper, lower - y), edge) * within

    def ball(
        rgb: Tensor, x: Tensor, y: Tensor, upper: Tensor, lower: Tensor, side: Tensor, alpha: Tensor
    ) -> Tensor:
        return mix(rgb, eyeball(x, y, upper, lower, side, gaze, f, lamp, edge), alpha)

    rgb = paint_near(rgb, between > SEEN, ball, x, y, upper, lower, side, between)

    # lashes: a dark rim that grows outwards, ragged at its edge
    long = (0.008 + f.lash * (0.019 + 0.011 * e.clamp(-1, 1))) * (1 + 0.25 * strand)
    lash = soft(upper - y + 0.01, edge) * soft(long - upper + y, edge + 0.005) * soft(bow - 0.02, 0.03)
    below = torch.exp(-(((y - lower - 0.004) / 0.01) ** 2)) * bow.sqrt() * 0.35 * f.lash
    dark = torch.maximum(lash * (0.55 + 0.4 * f.lash), below).clamp(0, 1)
    return mix(rgb, f.colour("lash_colour").expand_as(rgb), dark)


def lid_edges(
    e: Tensor, f: Face, au: Callable[[int], Tensor], gaze_y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The edges of the upper and lower lid below the middle of the eye, by e: -1 the inner corner, 1 the
    outer; with them how far the eye is squeezed and closed, 0..1.
    """
    bow = (1 - e.clamp(-1, 1) ** 2).clamp(min=0)
    squeeze = 0.3 * au(6) + 0.55 * au(7) + 0.15 * au(12) + 0.25 * au(9) + 0.12 * au(4)
    squeeze, closed = squeeze.clamp(max=0.9), au(43).clamp(0, 1)
    height = f.eye_open * (1 - 0.42 * squeeze) + 0.05 * au(5) + 0.02 * gaze_y.clamp(max=0)
    low = f.eye_low * (1 - 1.15 * squeeze) + 0.006 * au(5)
    height = torch.lerp(height, -0.75 * f.eye_low, closed)
    upper = f.eye_tilt * e - height * bow**0.75 * (1 - 0.18 * e * (e < 0.3))
    lower = f.eye_tilt * e + low * bow**0.85
    return upper, lower, squeeze, closed


def eyeball(
    x: Tensor,
    y: Tensor,
    upper: Tensor,
    lower: Tensor,
    side: Tensor,
    gaze: tuple[Tensor, Tensor],
    f: Face,
    lamp: SimpleNamespace,
    edge: Tensor,
) -> Tensor:
    """White, iris, pupil, the lamp's reflection and the tear line (B, 3, H, W); x points outwards."""
    e = (x / f.eye_w).clamp(-1, 1)
    nx, ny = (x / 0.2).clamp(-0.95, 0.95), (y / 0.2).clamp(-0.95, 0.95)
    normal = torch.stack([nx * side, ny, (1 - nx**2 - ny**2).clamp(min=0.05).sqrt()], 1)
    cover = (0.45 * torch.exp(-((y - upper).clamp(min=0) / 0.022)) + 0.15 * e**2).clamp(max=0.9)
    light = lit(unit(normal), lamp, cover, 1 - 0.5 * cover)
    veins = (0.16 * e.abs() + 0.25 * (e < -0.75)).clamp(max=0.4)
    white = 0.78 - veins[:, None] * colour_of(0.1, 0.75, 0.7, x)
    gx, gy = gaze[0] * side, gaze[1]
    ix, iy = (x - 0.095 * gx) / (1 - 0.1 * gx.abs()), y + 0.008 - 0.05 * gy
    r = (ix**2 + iy**2).sqrt() / f.iris
    rays = 0.8 + 0.15 * torch.cos(torch.atan2(iy, ix) * 17 + 9 * f.wave) + 0.35 * (r - 0.5).clamp(0, 0.4)
    iris = f.colour("iris_colour") * (rays * (1 - 0.6 * soft(r - 0.9, 0.06)))[:, None]
    eye = mix(white, iris, soft(1 - r, edge / f.iris))
    eye = eye * (1 - 0.94 * soft(f.pupil - r, edge / f.iris))[:, None] * (light * 0.9 + 0.1)
    kx, ky = 0.5 * lamp.key[:, 0, None, None] * side, 0.5 * lamp.key[:, 1, None, None]
    spark = torch.exp(-(((ix / f.iris - kx) / 0.22) ** 2) - ((iy / f.iris - ky) / 0.22) ** 2)
    tear = torch.exp(-(((y - lower + 0.008) / 0.008) ** 2)) * (1 - e**2)
    return eye + (0.75 * spark * lamp.power.clamp(max=0.8) + 0.12 * tear * lamp.power)[:, None]


def paint_mouth(
    rgb: Tensor, x: Tensor, y: Tensor, gap: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor
) -> Tensor:
    """Teeth, tongue and darkness between parted lips. x, y: from the middle of the closed slit."""
    jaw = f.au(26) * (0.55 + 0.45 * f.au(25))
    light = (0.6 * lamp.around + 0.55 * lamp.power)[:, None]
    deep = colour_of(0.16, 0.05, 0.05, x) * (0.5 + light)
    inner = deep * torch.ones_like(rgb)
    tongue = soft(y - 0.07 - 0.24 * jaw - 0.6 * x**2, 0.02) * soft(0.26 - x.abs(), 0.03)
    inner = mix(inner, colour_of(0.62, 0.28, 0.27, x) * light, 0.85 * tongue)
    edge = 0.006 + 0.4 * px
    fade = torch.exp(-power(x / 0.32, 4))
    ivory = f.colour("ivory")
    cracks = torch.exp(-((torch.sin(x * 46) / 0.22) ** 2)) * 0.22 * (px < 0.04)
    row = soft(0.035 + 0.015 * f.teeth_long - 0.12 * x**2 - 0.01 * cracks - y, edge)
    gum = soft(-0.13 - y + 0.015 * torch.cos(x * 46), 0.01)
    tooth = ivory * (1 - cracks)[:, None] * (0.35 + 0.65 * fade)[:, None] * light
    tooth = mix(tooth, colour_of(0.72, 0.36, 0.35, x) * light, gum)
    low_row = soft(y - 0.05 - 0.31 * jaw - 0.3 * x**2, edge) * f.low_teeth
    inner = mix(
        inner, ivory * 0.75 * (0.3 + 0.7 * fade)[:, None] * light, low_row * soft(0.3 - x.abs(), 0.03)
    )
    inner = mix(inner, tooth, row * soft(0.34 - x.abs(), 0.03))
    return mix(rgb, inner, gap)


def paint_head(s: SimpleNamespace, f: Face, scene: dict[str, Tensor], lamp: SimpleNamespace) -> Tensor:
    """The head (B, 3, H, W) in its light.

    Args:
        s: of each pixel: `x`, `y` canonical point, `qx`, `qy` position on the deformed skin, `above`,
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
    nostril = gauss(s.x.abs(), s.y, 0.085, 0.41, 0.045, 0.02)
    albedo = albedo * ((1 - 0.55 * line) * (1 - 0.6 * nostril))[:, None]
    light, mirrored = lit(s.normal, lamp, s.hollow, s.shade, red=0.18), gleam(s.normal, lamp)
    shine = f.shine * (0.5 * power(mirrored, 12) + 0.9 * power(mirrored, 40)) * (1 + 0.12 * grain[:, 0])
    shine = shine * (1.6 * s.normal[:, 2] - 0.4).clamp(0, 1) * (1 - nostril)
    wet = lips * f.gloss * power(mirrored, 30)
    rgb = albedo * light + ((shine + wet) * lamp.power * s.shade * (1 - s.hollow).clamp(0, 1))[:, None]
    return paint_features(rgb, s, f, scene, lamp, grain, lips, mirrored)


def paint_features(
    rgb: Tensor,
    s: SimpleNamespace,
    f: Face,
    scene: dict[str, Tensor],
    lamp: SimpleNamespace,
    grain: Tensor,
    lips: Tensor,
    mirrored: Tensor,
) -> Tensor:
    """Brows, beard, eyes, mouth and hair on the skin; `lips` and `mirrored` are maps (B, H, W)."""
    strand = grain[:, 3]
    hair_light = lit(s.normal, lamp, 0.5 * s.hollow, s.shade)
    hairs = noise(s.x * 1.0, s.y * 0.4, f.look["seed"], 1.3, slice(3, 4))[:, 0]
    fine = noise(s.x + 0.6 * s.y * s.x.sign(), s.y * 0.5, f.look["seed"], 0.9, slice(3, 4))[:, 0]
    brow = brow_area(s.x, s.y, f, fine, s.px)
    rgb = mix(rgb, f.colour("brow_colour") * hair_light, brow)
    if f.beard.any() or f.moustache.any():
        beard, moustache = beard_area(s.x, s.y)
        bearded = torch.maximum(f.beard * beard, f.moustache * moustache) * (1 - lips) * (0.92 + 0.12 * hairs)
        rgb = mix(rgb, f.colour("hair") * (1 + 0.3 * grain[:, 0])[:, None] * hair_light, bearded.clamp(0, 1))

    def eyes(rgb: Tensor, qx: Tensor, qy: Tensor, strand: Tensor) -> Tensor:
        return paint_eyes(rgb, qx, qy, s.eye, f, scene, lamp, s.px, strand)

    def mouth(rgb: Tensor, qx: Tensor, qy: Tensor, gap: Tensor) -> Tensor:
        x, y = qx - s.mouth[:, 0, None, None], qy - s.mouth[:, 1, None, None]
        return paint_mouth(rgb, x, y, gap, f, lamp, s.px)

    tilt = f.eye_tilt / f.eye_w * (s.qx.abs() - s.eye[:, 0, None, None])
    off_eye = (s.qy - s.eye[:, 1, None, None] - tilt).abs()
    rgb = paint_near(rgb, off_eye < 0.35 + 3.5 * s.px, eyes, s.qx, s.qy, strand)
    gap = soft(torch.minimum(s.above - SLIT, SLIT - s.below) - 0.004, 0.3 * s.px + 0.003)
    gap = gap * soft(MOUTH - s.x.abs(), 0.01)
    rgb = paint_near(rgb, gap > SEEN, mouth, s.qx, s.qy, gap)
    grown = soft(hairline(s.x, f) - s.y + 0.03 * hairs + 0.012 * strand, 0.02 + 0.4 * s.px)
    grown = (grown * (1 - f.bald * 0.93)).clamp(0, 1)
    sheen = (0.5 + 0.5 * torch.tanh(hairs)) * power(mirrored, 8) * f.hair_shine * lamp.power * s.shade
    hair = f.colour("hair") * (1 + 0.2 * hairs)[:, None] * hair_light
    return mix(rgb, hair + sheen[:, None] * (0.15 + f.colour("hair")), grown)

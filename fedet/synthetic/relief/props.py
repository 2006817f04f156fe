"""What stands around the head in relief: the room, neck, clothes, long hair, glasses, a hand."""

from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.synthetic.relief.head import unit
from fedet.synthetic.relief.skin import Face, lit, mix, noise, paint_near, soft


def paint_room(px: Tensor, py: Tensor, scene: dict[str, Tensor], f: Face) -> Tensor:
    """A blurred room (B, 3, H, W): a wall in changing light, and things in front of it."""
    angle, edge = scene["back_angle"][:, None, None], scene["back_edge"][:, None, None]
    t = soft((px - 0.5) * torch.cos(angle) + (py - 0.5) * torch.sin(angle), 1 / edge)
    rgb = torch.lerp(scene["back"][:, :, None, None], scene["back_2"][:, :, None, None], t[:, None])
    things = f.look["things"]  # (B, 6, 8): position, size, roundness, softness, colour
    for i in range(things.shape[1] if f.clutter.any() else 0):
        x, y, w, h, blur, *_ = (things[:, i, j, None, None] for j in range(8))
        across = soft(0.05 + 0.25 * w - (px[:, :1] - x).abs(), 0.004 + 0.03 * blur)
        box = across * soft(0.05 + 0.35 * h - (py[:, :, :1] - y).abs(), 0.004 + 0.03 * blur)
        rgb = mix(rgb, things[:, i, 5:, None, None].expand_as(rgb), box * f.clutter)
    grain = noise(px, py, f.look["seed"], 0.8, slice(1, 2))[:, 0]
    return rgb * (1 + scene["back_texture"][:, None, None] * 0.5 * grain)[:, None]


def paint_body(rgb: Tensor, x: Tensor, y: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor) -> Tensor:
    """Long hair in the background, neck, shoulders in clothes. x, y: on the plane through the neck."""
    if f.long_hair.any():
        rgb = paint_mane(rgb, x, y, f, lamp, px)

    def paint(rgb: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return paint_trunk(rgb, x, y, f, lamp, px)

    return paint_near(rgb, y > -0.4, paint, x, y)


def paint_mane(rgb: Tensor, x: Tensor, y: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor) -> Tensor:
    """Long hair that hangs behind the neck."""
    edge = 0.02 + 0.5 * px
    strands = noise(x, y * 0.25, f.look["seed"], 1.1, slice(3, 4))[:, 0]
    flat = torch.stack([(x / 1.6).clamp(-0.9, 0.9), torch.zeros_like(x), torch.ones_like(x)], 1)
    light = lit(unit(flat), lamp, torch.full_like(x, 0.3), torch.ones_like(x))
    wide = f.mane * (1.0 + 0.1 * torch.sin(y * 3 + 6 * f.wave)) + 0.2 * f.curly * soft(y - 0.3, 0.2)
    wide = wide * (1 - ((y + 0.05).clamp(max=0) / 1.35) ** 2).clamp(min=0.05).sqrt()
    mane = (
        soft(wide - x.abs() + 0.02 * strands, edge)
        * soft(f.mane_end - y, 0.08)
        * f.long_hair
        * soft(y + 1.2, 0.04)
    )
    return mix(rgb, f.colour("hair") * (0.7 + 0.25 * strands)[:, None] * light, mane)


def paint_trunk(rgb: Tensor, x: Tensor, y: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor) -> Tensor:
    """Neck and shoulders in clothes; above y = -0.4 there is nothing of them."""
    edge = 0.02 + 0.5 * px
    half = f.neck * (1 + 0.25 * (y - 1.3).clamp(min=0) ** 2)
    n = (x / half).clamp(-1, 1)
    normal = unit(torch.stack([n, torch.zeros_like(x) + 0.1, (1.05 - n**2).sqrt()], 1))
    under = soft(1.55 - y, 0.16)
    light = lit(normal, lamp, 0.15 + 0.5 * under, 1 - 0.6 * under, red=0.15)
    tendon = 1 - 0.08 * torch.exp(-(((x.abs() - 0.35 + 0.15 * (y - 1)) / 0.07) ** 2))
    rgb = mix(
        rgb,
        f.colour("skin") * 0.95 * tendon[:, None] * light,
        soft(half - x.abs(), edge) * soft(y - 0.5, 0.05),
    )
    line = (
        f.collar - 0.35 * torch.exp(-((x / 0.5) ** 2)) * f.v_neck * -1 + 0.28 * (x.abs() - 0.55).clamp(min=0)
    )
    line = line - 0.16 * torch.exp(-(((x.abs() - 0.62) / 0.2) ** 2))
    folds = noise(x, y, f.look["seed"], 3.1, slice(1, 2))[:, 0]
    wave = torch.stack([(x / 2.4).clamp(-0.9, 0.9) + 0.2 * folds, -0.3 + 0.2 * folds, torch.ones_like(x)], 1)
    light = lit(unit(wave), lamp, torch.full_like(x, 0.15), torch.ones_like(x))
    stripes = 1 + f.stripes * 0.3 * torch.sign(torch.sin(y * 24))
    return mix(rgb, f.colour("cloth") * stripes[:, None] * light, soft(y - line, edge))


def paint_locks(rgb: Tensor, x: Tensor, y: Tensor, f: Face, lamp: SimpleNamespace, px: Tensor) -> Tensor:
    """Long hair that falls in front of the shoulders, next to the face."""
    strands = noise(x, y * 0.25, f.look["seed"], 0.9, slice(3, 4))[:, 0]
    inner = 0.86 + 0.1 * torch.sin(2.5 * y + 6 * f.wave) - 0.12 * (y - 0.6).clamp(0, 1)
    lock = soft(x.abs() - inner + 0.02 * strands, 0.03) * soft(f.mane - x.abs() + 0.02 * strands, 0.03)
    lock = lock * soft(y - 0.1, 0.2) * soft(f.mane_end - y, 0.08) * f.long_hair * f.locks
    normal = torch.stack(
        [torch.sin(6 * (x.abs() - inner)) * x.sign() * 0.7, torch.zeros_like(x), torch.ones_like(x)], 1
    )
    light = lit(unit(normal), lamp, torch.full_like(x, 0.1), torch.ones_like(x))
    return mix(rgb, f.colour("hair") * (0.95 + 0.3 * strands)[:, None] * light, lock)


def paint_glasses(
    rgb: Tensor, x: Tensor, y: Tensor, f: Face, eye: Tensor, lamp: SimpleNamespace, px: Tensor
) -> Tensor:
    """Frames with lenses; x, y: on a bent plane just in front of the eyes."""
    ex, ey = eye[:, 0, None, None] + 0.01, eye[:, 1, None, None] + 0.04
    ax, edge = x.abs(), 0.5 * px
    u, v = (ax - ex) / f.lens_w, (y - ey) / f.lens_h
    ring = ((u.abs() ** f.lens_power + v.abs() ** f.lens_power + 1e-6) ** (1 / f.lens_power) - 1) * f.lens_h
    inside = soft(-ring, edge) * f.glasses
    rgb = mix(rgb, f.colour("frame").expand_as(rgb), inside * f.tint)
    slant = torch.exp(-(((u + 0.6 * v - f.glare_at) / 0.22) ** 2))
    rgb = rgb + (inside * f.glare * slant * lamp.power)[:, None]
    bar = f.rim - (y - ey + 0.35 * f.lens_h + 0.35 * ((0.12 - ax).clamp(min=0) ** 2)).abs()
    bridge = torch.minimum(bar, ex - f.lens_w - ax + 0.02)
    arm = torch.minimum(f.rim * 1.3 - (y - ey + 0.4 * f.lens_h).abs(), ax - ex - f.lens_w * 0.97)
    frame = torch.maximum(torch.maximum(f.rim - ring.abs(), bridge), torch.minimum(arm, 0.96 - ax))
    glint = 0.7 + 0.5 * soft(-v - 0.4, 0.2)
    colour = f.colour("frame") * (glint * (lamp.around + 0.7 * lamp.power))[:, None]
    return mix(rgb, colour, soft(frame, edge + 0.004) * f.glasses)


def paint_hand(
    rgb: Tensor, x: Tensor, y: Tensor, scene: dict, f: Face, lamp: SimpleNamespace, px: Tensor
) -> Tensor:
    """A hand of four round fingers and a palm, whose fingertips lie at `hand_x`, `hand_y`."""
    x, y = x - scene["hand_x"][:, None, None], y - scene["hand_y"][:, None, None]
    x = x + 0.15 * y
    finger = ((x + 0.44) / 0.22).clamp(0, 3.999)
    u = (
        (finger - finger.floor() - 0.5) * 2.1
        + (x + 0.44).clamp(max=0) / 0.11
        + (x - 0.44).clamp(min=0) / 0.11
    )
    tip = -0.3 + 0.07 * (finger.floor() - 1.4) ** 2
    long = soft(1 - u**2 - 6 * (tip + 0.1 - y).clamp(min=0) ** 1.5, 0.15) * soft(y - tip, 0.03)
    palm = soft(0.46 - x.abs(), 0.03) * soft(y - 0.45, 0.04)
    arm = soft(0.34 - x.abs(), 0.03) * soft(y - 1.1, 0.1)
    hand = torch.maximum(torch.maximum(long * soft(0.6 - y, 0.05), palm * soft(1.4 - y, 0.1)), arm)
    round_ = u.clamp(-1, 1) * soft(0.5 - y, 0.06)
    normal = unit(torch.stack([0.8 * round_ + 0.3 * x, torch.zeros_like(x) - 0.1, torch.ones_like(x)], 1))
    joints = 0.12 * torch.exp(-(((y - tip - 0.32) / 0.02) ** 2)) + 0.35 * round_.abs() ** 6
    light = lit(normal, lamp, joints, torch.ones_like(x), red=0.15)
    return mix(rgb, f.colour("skin") * light, hand.clamp(0, 1) * scene["hand"][:, None, None])

"""What shows through the openings of the splat heads: eyeballs, teeth, tongue, and the dark of the mouth."""

import torch
from torch import Tensor

from fedet.intervals import AU_INDEX
from fedet.synthetic.device_tables import device_table
from fedet.synthetic.scene import Look
from fedet.synthetic.splats.head import BALL, EYE, SEAM, SLIT, normals
from fedet.synthetic.splats.skin import Cloud, Skin, cloud, per

IRIS = 0.086  # radius of an iris
SUNK = 0.12  # the balls are drawn farther back than they are, clear of the lids
TEETH_Z = 0.98  # of the middle incisors


@device_table
def dome() -> Tensor:
    """Points (46, 66, 3) on the front of a ball of radius 1."""
    y, x = torch.meshgrid(torch.linspace(-0.72, 0.72, 46), torch.linspace(-0.985, 0.985, 66), indexing="ij")
    y = y * (1 - 0.45 * x**2)
    return torch.stack([x, y, (1 - x**2 - y**2).clamp(min=0).sqrt()], -1)


def eyeball_cloud(look: Look, skin: Skin, gaze_x: Tensor, gaze_y: Tensor, side: int) -> Cloud:
    """One eye, side 0 the picture's left: the white with its veins, iris, pupil, the shade of the lid."""
    ball, b = dome(), len(gaze_x)
    turn, dip = 0.5 * gaze_x - 0.035 * (2 * side - 1), 0.45 * gaze_y
    aim = torch.stack([turn.sin() * dip.cos(), dip.sin(), turn.cos() * dip.cos()], -1)
    off = torch.linalg.vector_norm(ball - aim.view(b, 1, 1, 3), dim=-1) * BALL  # from the pupil, units
    radius = per(look["iris_size"], 2) * IRIS
    distance = off / radius
    angle = torch.atan2(ball[..., 1] - per(aim[:, 1], 2), ball[..., 0] - per(aim[:, 0], 2))
    spokes = 1 + 0.3 * torch.sin(23 * angle + per(look["seed"], 2)) * torch.sin(9 * angle)
    white = torch.tensor([0.6, 0.56, 0.53], device=ball.device)
    vein = torch.tensor([0.5, 0.29, 0.26], device=ball.device)
    corner = (ball[..., 0].abs() ** 3)[..., None]
    paint = torch.lerp(white, vein, 0.8 * corner).expand(b, *ball.shape)
    # The iris is lighter towards the pupil and has a dark ring around it.
    shade = (spokes * (1.35 - 0.5 * distance))[..., None].clamp(min=0.2)
    iris = look["iris"][:, None, None] * shade * (1 - 0.75 * ((distance - 0.8) / 0.2).clamp(0, 1))[..., None]
    paint = torch.lerp(paint, iris, ((1 - distance) / 0.12 + 0.5).clamp(0, 1)[..., None])
    pupil = ((per(look["pupil"], 2) - distance) / 0.12 + 0.5).clamp(0, 1)
    paint = paint * (1 - 0.97 * pupil)[..., None]
    at = skin.eyes[:, side, None, None] + BALL * ball - torch.tensor([0.0, 0.0, SUNK], device=ball.device)
    # The upper lid and its lashes keep the light off.
    x = (at[..., 0].abs() - EYE[0]) / SLIT
    edge = EYE[1] + per(skin.high[:, side], 2) * (1 - x**2).clamp(min=0) ** 0.7
    open_ = 0.45 + 0.55 * ((at[..., 1] - edge - 0.01) / 0.07).clamp(0, 1)
    open_ = open_ * (1 - 0.35 * corner[..., 0])
    return cloud(at, ball, paint, 1.2, open_, 2.2)


@device_table
def arch() -> Tensor:
    """Positions (20, 90, 2) on a row of teeth: from the middle outwards -1..1, from gum 0 to edge 1."""
    down, across = torch.meshgrid(torch.linspace(0, 1, 20), torch.linspace(-1, 1, 90), indexing="ij")
    return torch.stack([across, down], -1)


def teeth_cloud(look: Look, aus: Tensor, upper: bool) -> Cloud:
    """One row of teeth with the gum at their roots; the lower goes with the jaw."""
    row = arch()
    x, v = 0.31 * row[..., 0], row[..., 1]
    drop = aus[:, :, AU_INDEX[26]].mean(1)
    # Teeth are as wide as they are: incisors, canines, molars; between them lies a line.
    bounds = torch.tensor([0.0, 0.06, 0.108, 0.157, 0.2, 0.24, 0.28, 0.33] if upper else
                          [0.0, 0.038, 0.078, 0.122, 0.165, 0.21, 0.26, 0.33], device=x.device)  # fmt: skip
    gap = (x.abs()[..., None] - bounds).abs().amin(-1)
    line = 1 - 0.55 * torch.exp(-((gap / 0.006) ** 2))
    rounded = 0.02 * torch.exp(-((gap / 0.012) ** 2))
    z = TEETH_Z - 2.2 * x**2 - 0.4 * rounded - (0 if upper else 0.1)
    if upper:
        y = SEAM - 0.2 + (0.215 + per(look["teeth_long"], 2) - rounded - 0.14 * x.abs() ** 1.5) * v
    else:
        y = SEAM + 0.185 - (0.125 - rounded) * v + 0.27 * per(drop, 2)
        z = z - 0.07 * per(drop, 2)
    at = torch.stack([x.expand_as(y), y, z.expand_as(y)], -1)
    gum = ((0.42 - v) / 0.06 + 0.5 + 2 * (gap < 0.01)).clamp(0, 1) * (v < 0.5)
    pink = torch.tensor([0.4, 0.13, 0.12], device=x.device)
    paint = torch.lerp(1.15 * look["ivory"][:, None, None] * line[..., None], pink, gum[..., None])
    deep = (1 - 1.6 * x.abs()).clamp(min=0.25) * (0.95 if upper else 0.75)
    return cloud(at, normals(at), paint, 1.0, deep, 0.8 * (1 - gum))


@device_table
def patch() -> Tensor:
    """Positions (30, 50, 2) in a square, -1..1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 30), torch.linspace(-1, 1, 50), indexing="ij")
    return torch.stack([x, y], -1)


def mouth_clouds(aus: Tensor) -> list[Cloud]:
    """The dark at the back of the mouth, and the tongue."""
    p, drop = patch(), per(aus[:, :, AU_INDEX[26]].mean(1), 2)
    x, y = p.unbind(-1)
    back = torch.stack(
        [0.4 * x * (1 - 0.3 * y) + 0 * drop, 0.95 + 0.28 * y + 0.22 * drop, 0.7 - 0.1 * drop + 0 * x], -1
    )
    dark = torch.tensor([0.05, 0.012, 0.01], device=p.device)
    round_ = (1 - p.square().sum(-1)).clamp(min=0).sqrt()
    tongue = torch.stack(
        [0.24 * x + 0 * drop, 1.13 + 0.12 * y + 0.25 * drop, 0.74 + 0.2 * round_ - 0.05 * drop], -1
    )
    flesh = torch.tensor([0.3, 0.09, 0.08], device=p.device)
    ahead = torch.tensor([0.0, 0.0, 1.0], device=p.device)
    return [
        cloud(back, ahead, dark, 1.5, 0.25),
        cloud(tongue, normals(tongue), flesh, (round_ > 0) * 1.0, 0.4, 0.5),
    ]


def gaze_of(scene: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Where the eyes look, (B,) each; straight ahead if the scene does not say."""
    zero = torch.zeros_like(scene["yaw"])
    return scene.get("gaze_x", zero), scene.get("gaze_y", zero)


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Matrices (B, 3, 3): positive yaw turns the nose to the right of the picture, pitch down."""
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def stack(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).view(-1, 3, 3)

    turn = stack(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    nod = stack(one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos())
    tilt = stack(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return tilt @ nod @ turn

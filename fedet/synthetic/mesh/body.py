"""Builds one mesh a person: skin in its momentary pose, eyeballs, mouth, and what `extras` adds."""

from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.intervals import AU_INDEX
from fedet.synthetic.mesh.extras import add_coat, add_ears, add_glasses, add_hair
from fedet.synthetic.mesh.head import BALL, EYE_HALF, MOUTH_HALF, SIDES, marks, modes, ramp, template
from fedet.synthetic.mesh.muscles import JAW, drop_jaw, openings, pose
from fedet.synthetic.mesh.raster import Mesh, grid_faces
from fedet.synthetic.scene import Look, Scene


def build(look: Look, aus: Tensor, scene: Scene) -> SimpleNamespace:
    """All vertices (B, V, 3) in the head's frame, with `chart`, `faces`, `part` and `turns`."""
    rest = template().points + torch.einsum("bm,mvc->bvc", look["traits"], modes())
    at = anchors(rest)
    mesh = Mesh(len(aus))
    skin = shape_skin(rest, at, look, aus)
    y = template().points[:, 1]
    mesh.add("skin", skin, _skin_chart(), template().faces, 1 - ramp(y, 1.25, 2.1))
    add_eyes(mesh, at, scene)
    add_mouth(mesh, at, look, aus)
    add_ears(mesh, rest, look)
    add_hair(mesh, skin, look)
    add_coat(mesh, look)
    if look["glasses"].any():
        add_glasses(mesh, at, look)
    return mesh.done()


def _skin_chart() -> Tensor:
    t = template()
    return torch.stack([t.points[:, 0], t.points[:, 1], t.angle], -1)


def anchors(rest: Tensor) -> SimpleNamespace:
    """Where the eyeballs and the mouth sit in a head at rest: points (B, 3) and sizes (B,)."""
    m = {name: rest[:, i] for name, i in marks().items()}
    eyes, sizes = [], []
    for side, _ in SIDES:
        inner, outer = m[f"inner_eye_{side}"], m[f"outer_eye_{side}"]
        size = (outer[:, 0] - inner[:, 0]).abs() / (2 * EYE_HALF)
        middle = (inner + outer) / 2
        eyes.append(middle - torch.tensor([0.0, 0.0, 0.165]) * size[:, None])
        sizes.append(size)
    corners = m["mouth_left"], m["mouth_right"]
    lip = m["upper_lip"]
    mouth = torch.stack([(corners[0] + corners[1])[:, 0] / 2, lip[:, 1], lip[:, 2]], -1)
    return SimpleNamespace(
        eye=torch.stack(eyes, 1), eye_size=torch.stack(sizes, 1), mouth=mouth,
        mouth_size=(corners[1] - corners[0])[:, 0] / (2 * MOUTH_HALF), nose=m["nose"],
    )  # fmt: skip


# ---------------------------------------------------------------- the skin


def shape_skin(rest: Tensor, at: SimpleNamespace, look: Look, aus: Tensor) -> Tensor:
    """The skin (B, V, 3) as the action units (B, 2, 18) move it."""
    points = pose(rest, aus * look["strength"][:, None, None])
    points = points + _lids(at, look, aus) + _lips(look, aus)
    points = drop_jaw(points, JAW * _mean(aus, 26), openings()["jaw"])
    return _over_eyeballs(points, at)


def _au(aus: Tensor, au: int) -> Tensor:
    return aus[:, :, AU_INDEX[au]]


def _mean(aus: Tensor, au: int) -> Tensor:
    return _au(aus, au).mean(1)


def _lids(at: SimpleNamespace, look: Look, aus: Tensor) -> Tensor:
    weight = openings()
    squeeze = (
        0.4 * _au(aus, 6) + 0.65 * _au(aus, 7) + 0.15 * _au(aus, 4) + 0.2 * _au(aus, 9) + 0.1 * _au(aus, 12)
    )
    squeeze = squeeze.clamp(max=0.85)
    up = look["eye_open"][:, None] * (1 - 0.4 * squeeze) + 0.06 * _au(aus, 5)
    low = look["eye_low"][:, None] * (1 - 1.1 * squeeze) + 0.008 * _au(aus, 5)
    closed = _au(aus, 43)
    meet = closed * 0.5 * low
    upper = (meet - (1 - closed) * up) * at.eye_size
    lower = (meet + (1 - closed) * low) * at.eye_size
    dy = upper @ weight["upper_lid"] + lower @ weight["lower_lid"]
    return torch.stack([torch.zeros_like(dy), dy, torch.zeros_like(dy)], -1)


def _lips(look: Look, aus: Tensor) -> Tensor:
    """How far the lips open without the jaw; a dropped jaw alone leaves them nearly closed."""
    weight = openings()
    parting, jaw, smile, sneer = (_mean(aus, au) for au in (25, 26, 12, 10))
    lift = parting * (0.028 + 0.03 * smile + 0.02 * sneer)
    drop = parting * (0.055 + 0.02 * smile) - 0.07 * jaw * (1 - parting)
    dy = -lift[:, None] * weight["upper_lip"] + drop[:, None] * weight["lower_lip"]
    x, y, _ = template().points.unbind(1)
    near = torch.exp(-((x / 0.5) ** 2) - ((y - 0.7) / 0.2) ** 2) * (torch.cos(template().angle) > 0)
    dx = -(0.16 * jaw * (1 - smile) * parting)[:, None] * x * near
    return torch.stack([dx, dy, torch.zeros_like(dy)], -1)


def _over_eyeballs(points: Tensor, at: SimpleNamespace) -> Tensor:
    """The skin lies on the eyeballs, never in them."""
    z = points[..., 2]
    front = torch.cos(template().angle) > 0.2
    for i in range(2):
        from_centre = points - at.eye[:, i, None]
        radius = (BALL * at.eye_size[:, i] + 0.014)[:, None]
        over = (radius**2 - from_centre[..., 0] ** 2 - from_centre[..., 1] ** 2).clamp(min=0).sqrt()
        on = at.eye[:, i, 2:] + over
        z = torch.where(front & (over > 0), torch.maximum(z, on), z)
    return torch.cat([points[..., :2], z[..., None]], -1)


# ---------------------------------------------------------------- eyes and mouth


def add_eyes(mesh: Mesh, at: SimpleNamespace, scene: Scene, rows: int = 10, columns: int = 20) -> None:
    """Caps of spheres, turned to where the eyes look; the chart is the direction in the eyeball."""
    away = torch.linspace(0.0, 1.75, rows)[:, None]
    about = torch.linspace(0, 2 * torch.pi, columns)[None]
    every = torch.ones(rows, columns)
    ball = torch.stack(
        [torch.sin(away) * torch.cos(about), torch.sin(away) * torch.sin(about), torch.cos(away) * every], -1
    ).view(-1, 3)
    b = 0.24 * scene["gaze_y"][:, None]
    for i, (_, side) in enumerate(SIDES):
        a = 0.42 * scene["gaze_x"][:, None] - 0.06 * side  # both look at something near
        x, y, z = ball.unbind(1)
        y, z = torch.cos(b) * y + torch.sin(b) * z, torch.cos(b) * z - torch.sin(b) * y
        turned = torch.stack(
            [torch.cos(a) * x + torch.sin(a) * z, y, torch.cos(a) * z - torch.sin(a) * x], -1
        )
        points = at.eye[:, i, None] + BALL * at.eye_size[:, i, None, None] * turned
        mesh.add("eye", points, ball, grid_faces(rows, columns).flip(1))


def add_mouth(mesh: Mesh, at: SimpleNamespace, look: Look, aus: Tensor) -> None:
    """Two rows of teeth, a tongue and the dark cavity; the lower ones move with the jaw."""
    turn = JAW * _mean(aus, 26)
    size = at.mouth_size[:, None, None]
    along = torch.linspace(-1.25, 1.25, 17)[None]
    for lower in (0, 1):
        v = torch.linspace(0, 1, 4)[:, None]
        every = torch.ones(4, 17)
        high = (look["teeth_high"] * (0.8 if lower else 1))[:, None, None]
        y = (0.035 + (v - 1) * high) if not lower else (0.045 + v * high)
        y = y * every + look["teeth_low"][:, None, None] * (1 - lower)
        x = 0.33 * torch.sin(along) * every
        z = -0.33 + 0.235 * torch.cos(along) * every - 0.02 * lower
        points = torch.stack([x.expand_as(y), y, z.expand_as(y)], -1).view(mesh.n, -1, 3)
        points = points * torch.cat([size, torch.ones_like(size), size], -1) + at.mouth[:, None]
        chart = torch.stack([along * every * 4, v * every, lower * every], -1).view(-1, 3)
        mesh.add("teeth", drop_jaw(points, turn) if lower else points, chart, grid_faces(4, 17))
    a, b = torch.linspace(-1.4, 1.4, 9)[:, None], torch.linspace(-1.4, 1.4, 9)[None]
    tongue = torch.stack([
        0.2 * torch.sin(b) * torch.cos(a), 0.15 + 0.09 * torch.sin(a) * torch.ones_like(b),
        -0.34 + 0.18 * torch.cos(a) * torch.cos(b),
    ], -1).view(-1, 3)  # fmt: skip
    points = drop_jaw(tongue * size + at.mouth[:, None], turn)
    mesh.add("tongue", points, tongue, grid_faces(9, 9))
    high = torch.tensor([-0.14, 0.22])[:, None].expand(2, 9)
    about = torch.linspace(-1.4, 1.4, 9)
    bag = torch.stack(
        [(0.6 * torch.sin(about)).expand(2, 9), high, (0.35 * torch.cos(about) - 0.55).expand(2, 9)], -1
    )
    wall = bag.view(-1, 3) * size + at.mouth[:, None]
    mesh.add("cavity", torch.cat([wall[:, :9], drop_jaw(wall[:, 9:], turn)], 1), wall, grid_faces(2, 9))

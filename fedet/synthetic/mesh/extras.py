"""What a head wears and what is in front of it: ears, hair, clothes, glasses, a hand."""

from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.synthetic.mesh.head import SIDES, curve, ramp, template
from fedet.synthetic.mesh.raster import Mesh, grid_faces
from fedet.synthetic.scene import Look, Scene

# clothes from the collar down: front y, z; side y, x, z (the back is never seen)
COAT = torch.tensor([
    [1.62, 0.06, 1.5, 0.56, -0.45, 0, 0], [1.74, 0.1, 1.6, 0.66, -0.45, 0, 0], [1.9, 0.16, 1.72, 1.1, -0.45,
    0, 0],
    [2.2, 0.3, 2.0, 1.75, -0.45, 0, 0], [3.6, 0.45, 3.4, 2.1, -0.45, 0, 0],
])  # fmt: skip


def add_ears(mesh: Mesh, rest: Tensor, look: Look) -> None:
    r, a = torch.linspace(0, 1.15, 8)[:, None], torch.linspace(0, 2 * torch.pi, 20)[None]
    rim = torch.exp(-(((r - 0.82) / 0.16) ** 2)) - 0.5 * torch.exp(-((r / 0.45) ** 2))
    back = -r * torch.cos(a)
    high = r * torch.sin(a) * (1 + 0.12 * torch.cos(a))
    out = 0.05 + 0.05 * back + 0.05 * rim - 0.25 * ramp(r, 0.95, 1.15)
    ear = torch.stack([out, 0.25 * high, -0.15 * back], -1).view(-1, 3)
    chart = torch.stack([r.expand_as(out), a.expand_as(out), rim.expand_as(out)], -1).view(-1, 3)
    t = template()
    off_ear = (t.angle.abs() - 1.6).abs() + (t.points[:, 1] + 0.02).abs()
    for _, s in SIDES:
        base = rest[:, int((off_ear + 10 * (s * t.angle < 0)).argmin())]
        grown = ear * (look["ears"] * (1 - 0.9 * (look["hair_end"] > 0.4).float()))[:, None, None]
        points = (
            base[:, None] + grown * torch.tensor([float(s), 1, 1]) + torch.tensor([-0.02 * s, 0.03, -0.06])
        )
        faces = grid_faces(8, 20)
        mesh.add("ear", points, chart, faces if s > 0 else faces.flip(1))


def add_hair(mesh: Mesh, skin: Tensor, look: Look) -> None:
    """A shell around the skull; where it ends it dives below the skin."""
    t = template()
    rows, columns = t.shape
    pick = torch.arange(rows * columns).view(rows, columns)[::2, ::2]
    shape = pick.shape
    pick = pick.flatten()
    p, angle, high = skin[:, pick], t.angle[pick].abs(), t.points[pick, 1]
    v = {k: look[k][:, None] for k in ("hairline", "recede", "hair_end", "hair_back", "hair_thick",
    "hair_side",
                                       "parting", "curl", "hair_phase", "bald")}  # fmt: skip
    skew = v["parting"] * torch.sin(t.angle[pick]) * ramp(torch.cos(angle), 0.3, 0.9)
    line = (
        v["hairline"]
        + 0.18 * skew
        - v["recede"] * 0.25 * ramp(angle, 0.25, 0.75) * (1 - ramp(angle, 0.8, 1.1))
    )
    line = line + ramp(angle, 0.9, 1.4) * (v["hair_end"] - line)
    line = line + ramp(angle, 1.6, 2.2) * (v["hair_back"] - line)
    ragged = 0.02 * torch.sin(9 * t.angle[pick] + v["hair_phase"]) + 0.012 * torch.sin(25 * t.angle[pick])
    inside = ramp(line + ragged - high, 0.0, 0.16) * (1 - v["bald"])
    side = ramp(angle, 0.7, 1.3) * ramp(high, -1.1, -0.6)
    wave = 1 + 0.13 * v["curl"] * torch.sin(9 * high + v["hair_phase"]) * torch.sin(7 * t.angle[pick])
    thick = (v["hair_thick"] + side * (v["hair_side"] - v["hair_thick"])) * wave
    direction = torch.nn.functional.normalize(
        torch.stack([p[..., 0], (p[..., 1] + 0.3).clamp(max=0), p[..., 2] + 0.5], -1), dim=-1
    )
    hang = (
        ramp(high, 0.05, 0.6)
        * ramp(angle, 0.75, 1.3)
        * (1 - ramp(angle, 2.2, 2.8))
        * inside
        * (v["hair_end"] > 0.4)
    )
    wide = torch.sign(p[..., 0]) * (0.97 + 0.1 * ramp(high, 0.5, 1.8))
    x = torch.lerp(p[..., 0], wide, hang * (wide.abs() > p[..., 0].abs()))
    p = torch.stack([x, p[..., 1], p[..., 2] + 0.1 * hang], -1)
    p = p + direction * (inside * (thick + 0.12) - 0.12)[..., None]
    chart = torch.stack([t.angle[pick].expand_as(inside), high.expand_as(inside), inside], -1)
    faces = grid_faces(*shape)
    free = (high < -0.46) | (angle > 0.78)  # the rest is never covered
    mesh.add("hair", p, chart, faces[free[faces].all(1)], 1 - 0.7 * ramp(high, 1.2, 2.2))


def add_coat(mesh: Mesh, look: Look) -> None:
    at = torch.linspace(0, len(COAT) - 1, 17)
    o = curve(COAT, at)[:, :, None]
    angle = torch.linspace(-1.9, 1.9, 33)[None]
    sin, cos = torch.sin(angle), torch.cos(angle)
    neck = look["collar"][:, None, None] * (1 - ramp(at, 0, 2))[:, None] * cos.clamp(min=0) ** 4
    y = o[:, 2] + (o[:, 0] - o[:, 2]) * cos + neck
    x = (o[:, 3] * sin).expand_as(y)
    z = (o[:, 4] + (o[:, 1] - o[:, 4]) * cos).expand_as(y)
    chart = torch.stack([x[0], o[:, 0].expand_as(x[0]), angle.expand_as(x[0])], -1).view(-1, 3)
    mesh.add("cloth", torch.stack([x, y, z], -1).view(mesh.n, -1, 3), chart, grid_faces(17, 33), 0.0)


def tube(path: Tensor, across: Tensor, outward: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Half a tube along paths (B, P, 3): points (B, 5 P, 3) and faces; the half towards `outward`."""
    a = torch.linspace(-torch.pi / 2, torch.pi / 2, 5)
    offset = torch.sin(a)[:, None, None, None] * across + torch.cos(a)[:, None, None, None] * outward
    points = path[None] + offset * radius[:, None, None]
    return points.transpose(0, 1).flatten(1, 2), grid_faces(5, path.shape[1])


def add_glasses(mesh: Mesh, at: SimpleNamespace, look: Look) -> None:
    """Frames in front of the eyes; people without have theirs shrunk to a point."""
    worn = look["glasses"][:, None, None]
    radius, up, ahead = look["rim"], torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    a = torch.linspace(0, 2 * torch.pi, 33)
    power = 2 / look["lens_square"][:, None]
    cx = torch.sign(torch.cos(a)) * torch.cos(a).abs() ** power
    cy = torch.sign(torch.sin(a)) * torch.sin(a).abs() ** power
    level = at.eye[:, :, 1].mean(1)
    front = at.eye[:, :, 2].mean(1) + 0.41
    ends = []
    for i, (_, s) in enumerate(SIDES):
        middle = torch.stack([at.eye[:, i, 0] + 0.02 * s, level + 0.04, front], -1)
        flat = torch.stack(
            [cx * look["lens_w"][:, None], cy * look["lens_h"][:, None], torch.zeros_like(cx)], -1
        )
        path = middle[:, None] + flat
        path = path - ahead * (0.25 * (path[..., :1] ** 2))
        away = torch.nn.functional.normalize(flat, dim=-1)
        points, faces = tube(path, away, ahead, radius)
        mesh.add("rim", points * worn, torch.zeros(1, 1, 3), faces.flip(1))
        ends.append((path[:, 16 if s > 0 else 0], path[:, 0 if s > 0 else 16]))
        temple = torch.stack(
            [torch.full_like(level, s * 1.02), level - 0.02, torch.full_like(level, -0.4)], -1
        )
        arm = torch.lerp(ends[-1][1][:, None], temple[:, None], torch.linspace(0, 1, 4)[None, :, None])
        points, faces = tube(arm, up * s, torch.tensor([float(s), 0, 0.3]), radius * 0.9)
        mesh.add("rim", points * worn, torch.zeros(1, 1, 3), faces)
    step = torch.linspace(0, 1, 6)[None, :, None]
    bridge = torch.lerp(ends[0][0][:, None], ends[1][0][:, None], step) - up * 0.06 * torch.sin(
        torch.pi * step
    )
    points, faces = tube(bridge, up, ahead, radius)
    mesh.add("rim", points * worn, torch.zeros(1, 1, 3), faces)


def build_hand(look: Look, scene: Scene) -> SimpleNamespace:
    """A palm with four fingers in front of the head, at `hand_x`, `hand_y`."""
    mesh = Mesh(len(scene["hand_x"]))
    along, about = torch.linspace(0, 1, 12)[:, None], torch.linspace(-torch.pi / 2, torch.pi / 2, 9)[None]
    position = torch.stack([scene["hand_x"], scene["hand_y"], torch.full_like(scene["hand_x"], 0.85)], -1)[
        :, None
    ]
    fingers = [(-0.31, -0.12, 0.1), (-0.1, -0.28, 0.11), (0.11, -0.26, 0.11), (0.31, -0.1, 0.1)]
    for x, top, radius in [*fingers, (0.0, 0.3, 0.42)]:
        bottom = 1.7 if radius > 0.2 else 0.6
        width = radius * (1 - (1 - along / 0.15).clamp(min=0) ** 2).clamp(min=0).sqrt()
        y = (top + (bottom - top) * along).expand(12, 9)
        points = torch.stack([x + width * torch.sin(about), y, 0.4 * width * torch.cos(about)], -1).view(
            1, -1, 3
        )
        mesh.add("hand", points + position, torch.zeros(1, 1, 3), grid_faces(12, 9), 0.0)
    return mesh.done()

"""Hair of the splat heads: a shell on the skull, and strokes that grow from the moving skin."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.scene import Look
from fedet.synthetic.splats.head import COLUMNS, EYE, TURN, WIDTH, along, names, normals, template
from fedet.synthetic.splats.skin import Cloud, along_jaw, cloud, per

SKULL = (0.0, -0.6, -0.1)  # middle of the ellipsoid that the hair lies on, and its radii
RADII = (1.08, 1.16, 1.3)
AROUND = 2.95  # radians, how far the shell reaches to either side
LOWEST = 4.1  # where hair leaves every picture
ROWS, STRANDS = 96, 190
# |radians from the front| -> distance from the crown to where short hair ends, radians on the skull
ENDS = {0.0: 1.04, 0.35: 1.06, 0.62: 1.16, 0.85: 1.36, 1.02: 1.62, 1.2: 1.86, 1.36: 2.12, 1.5: 2.2,
        1.62: 1.95, 1.9: 2.25, 2.25: 2.6, 3.0: 2.6}  # fmt: skip


class Shell(NamedTuple):
    """Tables of the shell: rows run from the crown down, a column is a strand."""

    angle: Tensor  # (STRANDS,) from the front
    down: Tensor  # (ROWS, 1) 0 at the crown, 1 at the end
    end: Tensor  # (STRANDS,) of short hair
    noise: Tensor  # (6, ROWS, STRANDS) long along the strands
    lumps: Tensor  # (4, ROWS, STRANDS) for curls
    ragged: Tensor  # (6, STRANDS)


@device_table
def shell() -> Shell:
    rng = np.random.default_rng(31)
    t = np.linspace(-1, 1, STRANDS)
    angle = AROUND * (t + 0.7 * t**3) / 1.7  # finer in front
    down = np.linspace(0.02, 1, ROWS)[:, None] ** 0.85

    def unit(raw: np.ndarray) -> np.ndarray:
        return raw / raw.std()

    noise = [
        unit(gaussian_filter(rng.standard_normal((ROWS, STRANDS)), (14, s)))
        for s in (0.6, 0.6, 0.9, 1.5, 3, 6)
    ]
    lumps = [unit(gaussian_filter(rng.standard_normal((ROWS, STRANDS)), s)) for s in (1.6, 1.6, 3, 3)]
    ragged = [unit(gaussian_filter1d(rng.standard_normal(STRANDS), s)) for s in (0.7, 0.7, 2, 2, 6, 6)]
    arrays = (angle, down, along(ENDS, np.abs(angle)), np.stack(noise), np.stack(lumps), np.stack(ragged))
    return Shell(*(torch.tensor(v, dtype=torch.float32) for v in arrays))


def hair_cloud(look: Look) -> Cloud:
    """The hair of the head, or the scarf that covers it."""
    s, grain = shell(), look["grain"]
    b = len(grain)
    side = s.angle.abs()
    ragged = (grain[:, :6] @ s.ragged) / 2.5  # (B, STRANDS)
    covered, fall = per(look["covered"], 1), per(look["fall"], 1)
    front = torch.sigmoid((0.72 - side) / 0.07)
    parted = (s.angle * per(look["parting"].sign(), 1)).clamp(-1, 1)
    fringe = per(look["fringe"], 1) * (0.55 + 0.07 * ragged + 0.08 * parted)
    recede = per(look["recede"], 1) * 0.28 * torch.exp(-(((side - 0.6) / 0.25) ** 2))
    end = s.end - per(look["hairline"], 1) * front - recede + fringe * front
    hanging = torch.sigmoid((side - 0.98) / 0.05) * (fall > 0)
    end = end + hanging * (fall + 0.35 + 0.08 * ragged + 0.7 * (side - 1).clamp(0, 0.4))
    end = end + 0.03 * ragged * (1 - front)
    wrapped = 1.1 + 0.5 * torch.sigmoid((side - 0.75) / 0.1) + 2.6 * torch.sigmoid((side - 0.98) / 0.05)
    end = torch.lerp(end, wrapped.expand_as(end), covered)
    end = end.clamp(max=LOWEST)
    arc = 0.02 + s.down * end[:, None]  # (B, ROWS, STRANDS)
    over = arc.clamp(max=math.pi / 2)
    beyond = arc - over
    free = 1 - covered[..., None]
    lumps = (grain[:, :4] @ s.lumps.flatten(1)).view(b, ROWS, STRANDS) / 2
    fluff = per(look["volume"], 2) * (0.4 + 0.6 * (over / 1.1).clamp(max=1)) + 0.05 * per(look["curl"], 2) * (
        1.5 + lumps
    )
    # Hair is thin where it starts to grow, unless it falls over the brow.
    root = ((1 - s.down) * end[:, None] / 0.35).clamp(max=1)
    loose = (fringe * front + hanging).clamp(max=1)[:, None]
    fluff = (
        0.012
        + fluff * free * torch.maximum(root, 0.75 * loose)
        + 0.07 * covered[..., None]
        + 0.03 * loose * free
    )
    tuck = 1 - 0.3 * beyond.clamp(max=0.9) ** 1.4 * (1 - loose) * free - 0.06 * beyond * covered[..., None]
    bend = (
        0.05
        * per(look["wave"], 2)
        * torch.sin(5 * arc + 6 * per(look["parting"], 2))
        * beyond.clamp(max=1)
        * free
    )
    ring = over.sin() * (1 + fluff) * tuck + bend
    x = RADII[0] * ring * s.angle.sin()
    z = RADII[2] * ring * s.angle.cos()
    y = -RADII[1] * over.cos() * (1 + fluff) + 1.1 * beyond
    # A high forehead lifts the skull.
    y = y - 0.07 * per(look["shape"][:, names().index("forehead")], 2) * ((0.25 - y) / 0.8).clamp(0, 1)
    at = torch.stack([x, y, z], -1) + torch.tensor(SKULL, device=x.device)
    strand = (grain[:, :6] @ s.noise.flatten(1)).view(b, ROWS, STRANDS) / 2.4
    strand = torch.lerp(strand, lumps, per(look["curl"], 2) * 0.7)
    tangent = F.normalize(at.diff(dim=2, append=2 * at[:, :, -1:] - at[:, :, -2:-1]), dim=-1)
    normal = normals(at)
    rough = (0.35 * strand * free)[..., None]
    normal = F.normalize(normal + rough * tangent, dim=-1)
    paint = look["hair"][:, None, None] * (1 + 0.28 * per(look["strands"], 3) * strand[..., None]).clamp(
        min=0.25
    )
    cloth = look["scarf"][:, None, None] * (1 + 0.12 * torch.sin(13 * arc + lumps))[..., None]
    paint = torch.lerp(paint, cloth, covered[..., None, None])
    crown = per(look["bald"], 2) * (1 - torch.sigmoid((side - 1.25) / 0.03) * (arc > 1.45))
    edge = ((1 - s.down) * 14 + 0.15 + 0.9 * (ragged[:, None] - 0.2) * free).clamp(0, 1)
    weight = 1.6 * torch.lerp(edge, torch.ones_like(edge), covered[..., None]) * (1 - crown)
    open_ = (0.72 + 0.22 * strand.clamp(-1, 1) * free) * (1 - 0.35 * beyond.clamp(max=1) * free)
    gloss = 0.6 * per(look["sheen"], 2) * free * (0.6 + 0.4 * strand.clamp(-1, 1))
    return cloud(at, normal, paint, (weight > 0.35) * weight, open_, gloss)


# ---------------------------------------------------------------- strokes on the skin


@device_table
def finder() -> tuple[Tensor, Tensor, Tensor]:
    """Lookups from points on the template to rows and columns: widths by y, rows by y, columns by angle."""
    t = template()
    y = np.linspace(-1.7, 1.58, 512)
    a = np.linspace(-1, 1, COLUMNS)
    angle = TURN * (0.58 * a + 0.42 * a**3)
    column = np.interp(np.linspace(-1.55, 1.55, 512), angle, np.arange(COLUMNS))
    arrays = (along(WIDTH, y), np.interp(y, t.y[:, 0], np.arange(len(t.y))), column)
    return tuple(torch.tensor(v, dtype=torch.float32) for v in arrays)


def looked_up(values: Tensor, at: Tensor) -> Tensor:
    """Values of a table at positions 0..1 along it."""
    at = at.clamp(0, 1) * (len(values) - 1)
    low = at.long().clamp(max=len(values) - 2)
    return torch.lerp(values[low], values[low + 1], at - low)


def on_skin(sheet: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Where points (B, M) of the template lie on the displaced skin (B, R, C, 3): (B, M, 3)."""
    width, rows, columns = finder()
    v = (y + 1.7) / 3.28
    angle = torch.asin((x / looked_up(width, v)).clamp(-0.999, 0.999))
    row = looked_up(rows, v) * 2 / (sheet.shape[1] - 1) - 1
    column = looked_up(columns, (angle + 1.55) / 3.1) * 2 / (sheet.shape[2] - 1) - 1
    grid = torch.stack([column, row], -1)[:, None]
    return F.grid_sample(sheet.permute(0, 3, 1, 2), grid, align_corners=True)[:, :, 0].transpose(1, 2)


@device_table
def roots() -> tuple[Tensor, Tensor, Tensor]:
    """Random numbers for strokes: brows (5, 300), whiskers' positions (2, 2200) and numbers (4, 2200)."""
    rng = np.random.default_rng(41)
    brow = rng.random((5, 300))
    brow[0] = (np.arange(300) + brow[0]) / 300
    x, y = rng.uniform(-0.93, 0.93, 9000), rng.uniform(-0.2, 1.56, 9000)
    beard = (y > along_jaw(np.abs(x)) + 0.03 * rng.standard_normal(9000)) & (
        np.abs(x) < 0.97 * along(WIDTH, y)
    )
    beard &= np.hypot(x / 0.4, (y - 0.97) / 0.21) > 1
    tash = (np.abs(y - 0.735 - 0.25 * np.clip(np.abs(x) - 0.25, 0, 1)) < 0.085) & (np.abs(x) < 0.45)
    tash &= y < 0.8 + 0.3 * np.clip(np.abs(x) - 0.2, 0, 1)
    chosen = np.flatnonzero(beard | tash)[:2200]
    kind = np.where(tash[chosen], 1.0, 0.0)
    arrays = (brow, np.stack([x, y])[:, chosen], np.concatenate([rng.random((3, len(chosen))), kind[None]]))
    return tuple(torch.tensor(v, dtype=torch.float32) for v in arrays)


def stroke_cloud(
    look: Look, sheet: Tensor, x: Tensor, y: Tensor, lift: Tensor, colour: Tensor, weight: Tensor
) -> Cloud:
    """Hairs (B, M, steps) along points of the template, `lift` (B, M, steps) off the skin."""
    b = len(x)
    at = on_skin(sheet, x.reshape(b, -1), y.reshape(b, -1)).view(*x.shape, 3)
    out = F.normalize(at * torch.tensor([0.9, 0.0, 1.0], device=at.device), dim=-1)
    at = at + lift[..., None] * out
    normal = F.normalize(out + torch.tensor([0.0, -0.25, 0.0], device=at.device), dim=-1)
    return cloud(at, normal, colour, weight, 0.85, 0.25)


def brow_line(look: Look, u: Tensor) -> tuple[Tensor, Tensor]:
    """|x| and y (B, N) on the template of the middle of a brow, at shares u (N,) of its length."""
    inner, outer = per(look["brow_in"], 1), per(look["brow_out"], 1)
    bow = 4 * (u - 0.12).clamp(min=0) * (1 - u) * (0.5 + 0.8 * u)
    mid = (
        -0.41
        + per(look["brow_y"], 1)
        - per(look["brow_arch"], 1) * bow
        + per(look["brow_slope"], 1) * (u - 0.5)
    )
    return inner + (outer - inner) * u, mid + 0.05 * (u - 0.8).clamp(min=0) / 0.2


def brow_cloud(look: Look, sheet: Tensor, side: int) -> Cloud:
    """One eyebrow: hairs that rise at its inner end and lie flat towards its tail."""
    u, v, r, s, c = roots()[0]
    sign = 2 * side - 1
    if side:
        v, r, s = v.flip(0), s.flip(0), r.flip(0)
    x, mid = brow_line(look, u)
    thick = (
        per(look["brow_thick"], 1) * (0.75 + 0.5 * u).minimum(3.2 * (1.04 - u)) * (0.55 + 3 * u).clamp(max=1)
    )
    y = mid + thick * (2 * v - 1)
    lean = torch.lerp(torch.full_like(u, 1.15), torch.full_like(u, 0.12), (u / 0.35).clamp(max=1) ** 0.7)
    lean = lean + 0.5 * (v - 0.5) * -1 + 0.5 * (r - 0.5) * per(look["brow_wild"], 1)
    length = (0.055 + 0.04 * s) * (0.7 + 0.6 * per(look["brow_wild"], 1))
    step = torch.linspace(0, 1, 5, device=x.device)
    px = x[..., None] + (length * lean.cos())[..., None] * step
    py = y[..., None] - (length * lean.sin())[..., None] * step
    skin, light = look["skin"] ** 2.2, look["brow_light"][:, None]
    fibre = look["hair"].minimum(0.6 * skin)
    colour = (
        torch.lerp(0.5 * fibre, 0.55 * fibre + 0.25 * skin, light)[:, None, None]
        * (0.7 + 0.6 * c)[:, None, None]
    )
    drawn = (c < per(look["brow_dense"], 1)) * torch.ones_like(x)
    weight = drawn[..., None] * (3.2 - 2.4 * step)
    lift = 0.012 + 0.012 * step.expand_as(px)
    return stroke_cloud(look, sheet, sign * px, py, lift, colour, weight)


def whisker_cloud(look: Look, sheet: Tensor) -> Cloud:
    """Beard and moustache."""
    (x, y), (r, s, c, tash) = roots()[1], roots()[2]
    length = torch.lerp(
        0.6 * per(look["beard_length"], 1) + 0 * x, 0.05 + 0.25 * per(look["beard_length"], 1), tash
    ) * (0.6 + 0.8 * s)
    there = torch.lerp(per(look["beard"], 1) + 0 * x, per(look["moustache"], 1) + 0 * x, tash)
    step = torch.linspace(0, 1, 5, device=x.device)
    aside = torch.lerp(0.3 * x, 0.9 * x.sign() * (0.3 + x.abs()).clamp(max=1), tash) + 0.8 * (r - 0.5)
    px = x[:, None] + (length * aside)[..., None] * 0.4 * step
    py = y[:, None] + length[..., None] * 0.5 * step
    py = py.clamp(max=1.57)
    px = px.expand_as(py)
    lift = 0.012 + (per(look["beard_length"], 1) * (0.35 + 0.7 * s) * (1 - 0.75 * tash))[..., None] * step
    colour = look["hair"][:, None, None] * (0.55 + 0.8 * c)[:, None, None]
    weight = (4.0 * there * (c < 0.35 + 0.65 * there))[..., None] * (1.1 - 0.5 * step)
    return stroke_cloud(look, sheet, px, py, lift, colour, weight)


def lash_cloud(look: Look, sheet: Tensor, side: int) -> Cloud:
    """The lashes of one upper lid."""
    sign = 2 * side - 1
    u = torch.linspace(-0.97, 0.97, 34, device=sheet.device)
    step = torch.linspace(0, 1, 6, device=sheet.device)
    x = (EYE[0] + 0.21 * u)[:, None] + 0 * step
    y = torch.full_like(x, EYE[1] - 0.004)
    b = len(sheet)
    at = on_skin(sheet, sign * x.expand(b, -1, -1).flatten(1), y.expand(b, -1, -1).flatten(1)).view(
        b, *x.shape, 3
    )
    long = 0.075 * (0.45 + per(look["lash"], 2))
    curl = torch.stack(
        [sign * (0.45 * u + 0.2)[:, None] * step, 0.12 * step - 0.75 * step**2 + 0 * x, 0.9 * step + 0 * x],
        -1,
    )
    at = at + long[..., None] * curl
    dark = torch.tensor([0.012, 0.01, 0.009], device=at.device)
    weight = 1.4 * per(look["lash"], 2) * (1.1 - step)
    return cloud(at, torch.tensor([0.0, -0.3, 0.95], device=at.device), dark, weight.expand(b, *x.shape), 0.8)


def stroke_clouds(look: Look, sheet: Tensor) -> list[Cloud]:
    """All hairs that grow from the face."""
    clouds = [draw(look, sheet, side) for draw in (brow_cloud, lash_cloud) for side in (0, 1)]
    if bool(((look["beard"] + look["moustache"]) > 0).any()):
        clouds.append(whisker_cloud(look, sheet))
    return clouds

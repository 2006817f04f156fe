"""A third family of faces of nobody: polygons with textures and normal maps, as games draw people.

Called as every family (`fedet.synthetic.families`), it shares neither shapes, muscles nor colours with
the other families, so that networks trained on those can be tested on it. A head is a lofted mesh
(`head`) that landmarks move (`muscles`), completed by eyeballs, teeth, hair and the like
(`body`), drawn by a z-buffer (`raster`) and shaded pixel by pixel (`paint`).
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.synthetic.mesh.body import build
from fedet.synthetic.mesh.extras import build_hand
from fedet.synthetic.mesh.head import ramp
from fedet.synthetic.mesh.looks import sample_looks
from fedet.synthetic.mesh.muscles import CHART, relief
from fedet.synthetic.mesh.paint import (
    Who,
    column,
    paint_cloth,
    paint_eye,
    paint_hair,
    paint_skin,
    paint_teeth,
    read_map,
)
from fedet.synthetic.mesh.raster import PARTS, normals, rasterise, unit
from fedet.synthetic.scene import Look, Scene, expose, take

__all__ = ["render", "sample_looks"]
PIVOT = -0.4  # depth of the point that the head turns about
TOGETHER = {"cpu": 4}  # pictures at a time: more do not fit the processor's cache
MANY = 128  # on other devices
FINE = 2  # pixels drawn for each of the picture, along each axis


# ---------------------------------------------------------------- the camera


def rotation(scene: Scene) -> Tensor:
    """Matrices (B, 3, 3) that turn the head: yaw to the picture's right, pitch down, roll clockwise."""
    zero, one = torch.zeros_like(scene["yaw"]), torch.ones_like(scene["yaw"])
    (cy, sy), (cp, sp), (cr, sr) = (
        (torch.cos(scene[k]), torch.sin(scene[k])) for k in ("yaw", "pitch", "roll")
    )

    def matrix(*rows: list[Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    yaw = matrix([cy, zero, sy], [zero, one, zero], [-sy, zero, cy])
    pitch = matrix([one, zero, zero], [zero, cp, sp], [zero, -sp, cp])
    return matrix([cr, -sr, zero], [sr, cr, zero], [zero, zero, one]) @ pitch @ yaw


def project(points: Tensor, turns: Tensor, look: Look, scene: Scene, side: int) -> tuple[Tensor, Tensor]:
    """Points (B, V, 3) of the head in the camera's frame, and as pixels with nearness, both (B, V, 3)."""
    pivot = torch.tensor([0.0, 0.0, PIVOT])
    still = points - pivot
    roll = rotation(
        {
            k: v if k == "roll" else torch.zeros_like(v)
            for k, v in scene.items()
            if k in ("yaw", "pitch", "roll")
        }
    )
    turned = torch.lerp(still @ roll.mT, still @ rotation(scene).mT, turns[:, None])
    far = look["distance"][:, None]
    zoom = scene["scale"][:, None] * far / (far - turned[..., 2]).clamp(min=1)
    px = (scene["cx"][:, None] + zoom * turned[..., 0]) * side
    py = (scene["cy"][:, None] + zoom * turned[..., 1]) * side
    return turned, torch.stack([px, py, turned[..., 2]], -1)


# ---------------------------------------------------------------- light


def lights(scene: Scene) -> dict[str, Tensor]:
    """Directions (B, 3) to the lamp and halfway from there to the viewer, and strengths (B,)."""
    toward = torch.stack(
        [scene["light_x"], scene["light_y"] - 0.1, torch.full_like(scene["light_x"], 0.85)], 1
    )
    toward = torch.nn.functional.normalize(toward, dim=1)
    half = torch.nn.functional.normalize(toward + torch.tensor([0.0, 0.0, 1.0]), dim=1)
    strengths = {name: scene[name] for name in ("ambient", "diffuse", "hardness")}
    return {"toward": toward, "half": half, **strengths}


class Lamp(Who):
    """Light of the scene at N pixels, from what `lights` gives; vectors are (3, N)."""

    def lit(self, normal: Tensor, open_: Tensor, soft: Tensor | float = 0.0) -> Tensor:
        """Light (3 or 1, N) on surfaces; open_ (N,) is 1 where nothing hides the sky."""
        facing = (normal * self.toward).sum(0)
        wrap = 0.5 - 0.4 * self.hardness + soft
        key = ((facing + wrap) / (1 + wrap)).clamp_(min=0)
        sky = self.ambient * (0.72 - 0.22 * normal[1] + 0.1 * normal[2]) * 0.8
        return (sky + 1.9 * self.diffuse * (0.5 + 0.5 * open_) * key) * open_

    def shine(self, normal: Tensor, power: float) -> Tensor:
        """Highlight (N,)."""
        return (normal * self.half).sum(0).clamp_(min=0) ** power * (0.25 + self.diffuse)


def openness(near: Tensor, shown: Tensor, side: int) -> Tensor:
    """How open to the light pixels are, (B, side, side) 0..1, by how far those around stand out.

    near: nearness (B, side, side) where `shown`, else 0.
    """
    total = torch.ones_like(near)
    both = torch.stack([near, shown])
    for share, depth, amount in ((0.035, 0.05, 0.45), (0.11, 0.18, 0.4)):
        k = max(3, round(share * side)) | 1
        mean, many = sums(sums(both, k, 3), k, 2)
        above = mean / many.clamp_(min=1) - near
        total *= 1 - amount * (above / depth).clamp_(0, 1)
    return total


def sums(values: Tensor, width: int, dim: int) -> Tensor:
    """Sums of `width` neighbours along a dimension, width odd: of 1, 2, 4, 8 ... of them."""
    size, reach, first = values.shape[dim], 1, 1
    rim = values.new_zeros([width // 2 if i == dim else n for i, n in enumerate(values.shape)])
    window = torch.cat([rim, values, rim], dim)
    total = window.narrow(dim, 0, size)
    while first < width:
        left = window.shape[dim] - reach
        window = window.narrow(dim, 0, left) + window.narrow(dim, reach, left)
        reach *= 2
        if width & reach:
            total = total + window.narrow(dim, first, size)
            first += reach
    return total


# ---------------------------------------------------------------- the picture


def render(look: Look, aus: Tensor, scene: Scene, size: int = 112) -> Tensor:
    """Draws one face per row, (B, 3, size, size) float, 0..1; the arguments are those of every family, see
    `fedet.synthetic.families`.
    """
    together = TOGETHER.get(aus.device.type, MANY)
    if len(aus) > together:
        rows = torch.arange(len(aus), device=aus.device).split(together)
        return torch.cat([render(take(look, i), aus[i], take(scene, i), size) for i in rows])
    if aus.device != torch.empty(0).device:
        with aus.device:  # new tensors are created on the arguments' device
            return render(look, aus, scene, size)
    zero = torch.zeros(len(aus))
    scene = {"gaze_x": zero, "gaze_y": zero, "hand": zero, "hand_x": zero, "hand_y": zero, **scene}
    slopes = relief(aus, look["crease_gain"], look["crease_rest"])
    rgb = layer(build(look, aus, scene), slopes, look, scene, size)
    picture = paint_room(look, scene, size)
    picture = picture + rgb[:, 3:] * (rgb[:, :3] / rgb[:, 3:].clamp(min=1e-6) - picture)
    if scene["hand"].any():
        rgb = layer(build_hand(look, scene), slopes, look, scene, size)
        alpha = rgb[:, 3:] * scene["hand"][:, None, None, None]
        picture = picture + alpha * (rgb[:, :3] / rgb[:, 3:].clamp(min=1e-6) - picture)
    return expose(picture, scene)


def layer(mesh: SimpleNamespace, slopes: Tensor, look: Look, scene: Scene, size: int) -> Tensor:
    """A mesh shaded: colour times coverage and coverage (B, 4, size, size)."""
    side, n = size * FINE, len(mesh.points)
    turned, pixels = project(mesh.points, mesh.turns, look, scene, side)
    fragments = rasterise(pixels, mesh.faces, side)
    surface = fragments.read(torch.cat([normals(turned, mesh.faces), mesh.chart, turned[..., 2:]], -1))
    near, rgb = torch.zeros(n, side, side), torch.zeros(4, n * side**2)
    near.view(-1)[fragments.pixel], rgb[3, fragments.pixel] = surface[6], 1.0
    open_ = openness(near, rgb[3].view_as(near), side).view(-1).index_select(0, fragments.pixel)
    open_ = 1 - (1 - open_) * (0.1 + 1.6 * surface[2]).clamp(0, 1)  # no dark rims where the skin turns away
    part, picture = mesh.part.index_select(0, fragments.face), fragments.pixel // side**2
    light, axes = lights(scene), rotation(scene)
    # one by one, values of a picture need no copy for each pixel; other devices rather have few, long steps
    alone = picture.device.type in TOGETHER
    counts = torch.bincount(picture, minlength=n).tolist() if alone else [len(picture)]
    shares = zip(*(value.split(counts, -1) for value in (surface, part, open_, picture)), strict=True)
    colours = [
        shade(
            values,
            number,
            sky,
            Who(take(look, i), which - i[0]),
            Lamp(take(light, i), which - i[0]),
            axes[i],
            slopes[i],
        )
        for (values, number, sky, which), i in zip(
            shares, torch.arange(n).split(1 if alone else n), strict=True
        )
    ]
    rgb[:3].scatter_(1, fragments.pixel.expand(3, -1), torch.cat(colours, 1))
    return torch.nn.functional.avg_pool2d(rgb.view(4, n, side, side), FINE).transpose(0, 1)


def shade(
    surface: Tensor, part: Tensor, open_: Tensor, w: Who, lamp: Lamp, axes: Tensor, slopes: Tensor
) -> Tensor:
    """Colours (3, N) of the pixels as shown on a screen, before the camera's gain.

    Args:
        surface: (7, N) normal, chart and nearness.
        part: (N,) number of the part in `PARTS`.
        open_: (N,) as `openness` gives it.
        w, lamp: of the pixels' pictures.
        axes: (B, 3, 3) as `rotation` gives them for these pictures; slopes: as `relief` does.
    """
    out = torch.zeros(3, surface.shape[1])
    for number, name in enumerate(PARTS):
        at = torch.nonzero(part == number)[:, 0]
        if not len(at):
            continue
        every = at.expand(6, -1)
        here = surface[:6].gather(1, every)
        n = unit(here[:3])
        there = open_.index_select(0, at), w.at(at), lamp.at(at)
        colour = _shade_part(name, n, here[3:], *there, axes, slopes)
        out.scatter_(1, every[:3], colour)
    return out.clamp_(min=1e-5) ** (1 / 2.2)


def _shade_part(
    name: str, n: Tensor, chart: Tensor, open_: Tensor, w: Who, lamp: Lamp, axes: Tensor, slopes: Tensor
) -> Tensor:
    if name in ("skin", "ear", "hand"):
        blood = column(0.22, 0.06, 0.02)  # light that goes through skin comes out red
        if name != "skin":
            red = column(1.05, 0.85, 0.82)
            return w.colour("skin") * red * lamp.lit(n, open_, blood) + 0.03 * lamp.shine(n, 12)
        left, right, top, bottom = CHART
        u, v = (chart[0] - left) / (right - left), (chart[1] - top) / (bottom - top)
        sx, sy, height = read_map(slopes, w, u, v) * ramp(torch.cos(chart[2]), 0.05, 0.35)
        across, down, _ = w.of(axes.mT)
        n = unit(n - across * sx - down * sy)
        colour, gloss = paint_skin(chart, w, height)
        shine = (0.05 * lamp.shine(n, 14) + 0.07 * lamp.shine(n, 50)) * w.shine * gloss
        return colour * lamp.lit(n, open_, blood) + shine
    if name == "eye":
        return paint_eye(chart, w) * lamp.lit(n, open_**1.5, 0.3) + 0.9 * lamp.shine(n, 160)
    if name == "teeth":
        return paint_teeth(chart, w) * lamp.lit(n, open_**1.6, 0.2) + 0.15 * lamp.shine(n, 40)
    if name == "tongue":
        return column(0.4, 0.12, 0.12) * lamp.lit(n, 0.75 * open_**2)
    if name == "cavity":
        return column(0.07, 0.015, 0.015) * lamp.lit(n, open_)
    if name == "hair":
        colour, strand = paint_hair(chart, w)
        band = (1 - (lamp.half[1] + 0.35 + 0.12 * strand + 0.8 * (n[1] - 0.1)) ** 2).clamp(min=0) ** 12
        return colour * (lamp.lit(n, open_, 0.1) + 0.5 * band * lamp.diffuse)
    if name == "cloth":
        return paint_cloth(chart, w) * lamp.lit(n, open_)
    return w.colour("frame") * lamp.lit(n, open_) + 0.3 * lamp.shine(n, 30)


def paint_room(look: Look, scene: Scene, size: int) -> Tensor:
    """Walls (B, 3, size, size): plain, shaded from one side, or things far out of focus."""
    axis = (torch.arange(size) + 0.5) / size - 0.5
    angle, edge = scene["back_angle"][:, None, None], scene["back_edge"][:, None, None]
    across = torch.cos(angle) * axis[None, None] + torch.sin(angle) * axis[None, :, None]
    t = ((across * edge.clamp(max=6)).clamp(-1, 1) * 0.5 + 0.5)[:, None]
    wall = torch.lerp(scene["back"][:, :, None, None], scene["back_2"][:, :, None, None], t)
    grey = look["room"].mean(1, keepdim=True)
    things = torch.lerp(grey, look["room"], 0.15 + 0.4 * grey[:, :, :1, :1])
    blur = torch.nn.functional.interpolate(things, size=(size, size), mode="bicubic", align_corners=False)
    clutter = look["clutter"][:, None, None, None]
    return (wall * (1 - 0.6 * clutter) + 0.6 * clutter * blur).clamp(0.01, 1)

"""A second family of faces of nobody: small heads in relief, moved as skin and drawn in perspective.

Called as every family (`fedet.synthetic.families`), it shares neither shapes nor colours with it, so a
network trained on one family can be tested on the other. A head is a height over an ellipsoid
(`head`, `muscles`), found by marching along the ray of each pixel, and painted in the canonical
coordinates of the skin (`skin`, `features`); the rest of the picture is `props`.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from fedet.synthetic.relief import head
from fedet.synthetic.relief.features import paint_head
from fedet.synthetic.relief.props import paint_body, paint_glasses, paint_hand, paint_locks, paint_room
from fedet.synthetic.relief.skin import Face, hair_relief, lamps, mix, numbers, paint_near, pick, put
from fedet.synthetic.scene import Look, Scene, chance, expose, take, uniform

STEPS = 9  # of a ray's march to the skin
PIVOT = -0.45  # depth of the point the head turns about
TOGETHER = {"cpu": 4}  # pictures at a time: more do not fit the processor's cache


def sample_looks(n: int, generator: torch.Generator) -> Look:
    """n people who do not exist, of all skin tones, ages and both sexes.

    Returns a dict of tensors whose first dimension is n; colours in 0..1.
    """

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    def p(share: float) -> Tensor:
        return chance(n, share, generator)

    def z(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator).clamp(-2.2, 2.2)

    age, woman, tone = u(0, 1), p(0.5), u(0, 1)
    man = 1 - woman
    look = {
        "age": age, "woman": woman, "tone": tone, "distance": u(5.5, 13), "long": u(0.92, 1.06) + 0.02 * man,
        "modes": z(head.RANDOM_MODES), "seed": torch.rand(n, 2, generator=generator), "wave": u(0, 1),
        "rough": u(0.2, 1.2), "flush": u(0, 1.3), "rings": u(0, 1.2), "freckles": p(0.2) * u(0.2, 1),
        "moles": p(0.3), "shine": u(0.02, 0.3), "gloss": u(0, 0.35),
        "eye_w": u(0.17, 0.23), "eye_open": u(0.05, 0.09), "eye_low": u(0.035, 0.06),
        "eye_tilt": u(-0.03, 0.015),
        "iris": u(0.082, 0.1), "pupil": u(0.3, 0.55), "fold_gap": u(0.012, 0.055), "fold_deep": u(0.05, 0.45),
        "hooded": u(0, 1), "lash": u(0.1, 0.6) + 0.5 * woman * u(0, 1),
        "brow_in": u(0.1, 0.19), "brow_out": u(0.68, 0.82), "brow_arch": u(0, 0.055) + 0.02 * woman,
        "brow_slope": u(-0.05, 0.08), "brow_thick": u(0.02, 0.048) + 0.012 * man, "brow_dense": u(0.55, 1.05),
        "lip_up": u(0.03, 0.085), "lip_low": u(0.055, 0.125), "teeth_long": u(-0.5, 1),
        "low_teeth": u(0.3, 1),
        "hairline": u(-1.12, -0.86), "recede": man * p(0.4) * u(0, 1), "fringe": (p(0.3) * u(0, 0.45)),
        "side": 2 * p(0.5) - 1, "temple": u(0.9, 1.12), "burn": u(-0.25, 0.25), "hair_thick": u(0.03, 0.15),
        "curl": u(4, 26), "curly": p(0.35), "hair_shine": u(0, 0.5), "bald": man * p(0.12) * (age > 0.3),
        "long_hair": (woman * p(0.7) + man * p(0.08)).clamp(max=1), "mane": u(1.02, 1.25),
        "mane_end": u(1.0, 2.6),
        "locks": p(0.6), "neck": u(0.5, 0.6) + 0.08 * man, "collar": u(1.55, 1.85),
        "v_neck": p(0.5) * u(0, 1),
        "stripes": p(0.25), "clutter": p(0.75), "make_up": woman * p(0.4) * u(0.2, 1),
        "stubble": man * p(0.5) * u(0.1, 0.9), "beard": man * p(0.22) * u(0.6, 1),
        "moustache": man * p(0.25) * u(0.5, 1),
        "glasses": p(0.22), "lens_w": u(0.25, 0.33), "lens_h": u(0.17, 0.27), "lens_power": u(2, 5),
        "rim": u(0.008, 0.028), "tint": p(0.3) * u(0, 0.3), "glare": p(0.4) * u(0, 0.5),
        "glare_at": u(-0.6, 0.6),
        "things": torch.rand(n, 6, 8, generator=generator),
    }  # fmt: skip
    look["moustache"] = torch.maximum(look["moustache"], look["beard"])
    look["burn"] = torch.lerp(look["burn"], torch.full((n,), 1.3), look["long_hair"])
    look["crease_gain"] = (0.3 + 0.5 * age + 0.3 * u(0, 1))[:, None] * (
        0.5 + torch.rand(n, len(head.CREASES), generator=generator)
    )
    rest = age[:, None] ** 2 * torch.rand(n, len(head.CREASES), generator=generator)
    look["crease_rest"] = rest * torch.tensor([0.35, 0.35, 0.35, 0.4, 0.15, 0.55, 0.15, 0.7, 0.5])
    look["traits"] = sample_traits(z(len(head.TRAITS)), woman, age)
    return look | sample_colours(n, tone, age, look, generator)


def sample_traits(spread: Tensor, woman: Tensor, age: Tensor) -> Tensor:
    """Named proportions (n, len(TRAITS)), shifted as they are on average between sexes and ages."""
    shift = {"jaw": -0.7, "brow_ridge": -1.0, "chin_long": -0.5, "nose_high": -0.4, "brow_height": -0.5,
             "lips": 0.4, "eye_height": 0.0, "nose_wide": -0.3}  # fmt: skip
    names = list(head.TRAITS)
    traits = spread.clone()
    for name, amount in shift.items():
        traits[:, names.index(name)] += amount * (2 * woman - 1) * 0.6
    traits[:, names.index("nose_long")] += 0.8 * (age - 0.4)
    traits[:, names.index("cheek")] += 0.5 - 1.0 * age
    return traits * 0.85


def sample_colours(n: int, tone: Tensor, age: Tensor, look: Look, generator: torch.Generator) -> Look:
    """Colours (n, 3): pigments take away light, so skin and hair of all tones have natural hues."""

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    def pigment(amount: Tensor, red: Tensor, dark: list[float], warm: list[float]) -> Tensor:
        return torch.exp(-amount[:, None] * torch.tensor(dark) - red[:, None] * torch.tensor(warm))

    skin = pigment(0.04 + 1.75 * tone**1.3, u(0.25, 0.75), [0.58, 0.8, 1.0], [0.05, 0.42, 0.52])
    hair = pigment(u(0.0, 1) * 2.2 + 1.6 * tone + 0.55, u(0, 0.9) ** 2, [0.85, 1.1, 1.5], [0.1, 0.7, 1.5])
    grey = ((age - 0.55) * 2.6).clamp(0, 1) * u(0, 1)
    hair = torch.lerp(hair, u(0.45, 0.85)[:, None].expand(n, 3), grey[:, None])
    paint = look["make_up"] * u(0, 1)
    lip = skin * torch.tensor([0.88, 0.66, 0.68]) + u(-0.03, 0.05)[:, None] * torch.tensor([1.0, 0.2, 0.3])
    stick = torch.tensor([0.6, 0.12, 0.2]) + 0.15 * torch.randn(n, 3, generator=generator)
    return {
        "skin": skin, "hair": hair,
        "lip": torch.lerp(lip, stick.clamp(0.05, 0.9), paint[:, None]).clamp(0.02, 1),
        "brow_colour": hair * u(0.25, 0.9)[:, None],
        "lash_colour": torch.minimum(hair * 0.3, torch.tensor(0.12)),
        "iris_colour": pigment(u(0, 1) * 1.6 + tone * 1.2, u(0, 1), [0.9, 1.2, 1.7], [0.3, 0.1, 0.1]) * 0.62,
        "ivory": torch.tensor([0.93, 0.89, 0.8]) * u(0.8, 1.05)[:, None],
        "frame": u(0, 0.6)[:, None] * torch.rand(n, 3, generator=generator),
        "cloth": torch.rand(n, 3, generator=generator) ** 1.5, "shadow": torch.rand(n, 3,
        generator=generator) * 0.6,
        "rouge": skin * torch.tensor([1.0, 0.6, 0.62]),
    }  # fmt: skip


# ---------------------------------------------------------------- the camera


def turned(v: tuple[Tensor, Tensor, Tensor], scene: Scene, back: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Turns vectors from the head's frame to the camera's, or back; the roll is the picture's."""
    x, y, z = v
    shape = (-1,) + (1,) * (x.ndim - 1)
    cy, sy = (fn(scene["yaw"]).view(shape) for fn in (torch.cos, torch.sin))
    cp, sp = (fn(scene["pitch"]).view(shape) for fn in (torch.cos, torch.sin))
    if back:
        y, z = cp * y - sp * z, sp * y + cp * z
        return cy * x - sy * z, y, sy * x + cy * z
    x, z = cy * x + sy * z, -sy * x + cy * z
    return x, cp * y + sp * z, -sp * y + cp * z


class Rays:
    """A ray a pixel, in the head's frame: origin (B, 1, 1) and direction (B, H, W) by coordinate."""

    def __init__(self, look: Look, scene: Scene, size: int):
        device, n = scene["cx"].device, len(scene["cx"])
        axis = (torch.arange(size, device=device) + 0.5) / size
        self.px = axis.view(1, 1, size).expand(n, size, size)
        self.py = self.px.transpose(1, 2)
        v = {k: scene[k][:, None, None] for k in ("cx", "cy", "scale", "roll")}
        dx, dy = (self.px - v["cx"]) / v["scale"], (self.py - v["cy"]) / v["scale"]
        c, s = torch.cos(v["roll"]), torch.sin(v["roll"])
        self.x, self.y = c * dx + s * dy, c * dy - s * dx  # on the plane through the pivot
        self.far = look["distance"][:, None, None]
        zero = torch.zeros_like(self.far)
        o = turned((zero, zero, self.far), scene, back=True)
        self.o = (o[0], o[1], o[2] + PIVOT)
        self.d = turned((self.x / self.far, self.y / self.far, -torch.ones_like(self.x)), scene, back=True)
        self.width = 1 / size / v["scale"]  # of a pixel, in units of the face

    def on_plane(self, z: Tensor | float) -> tuple[Tensor, Tensor]:
        """Where the rays meet the head's plane of depth z."""
        t = (z - self.o[2]) / self.d[2]
        return self.o[0] + t * self.d[0], self.o[1] + t * self.d[1]


def march(rays: Rays, height: Tensor, long: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Follows the rays to the skin.

    Returns: numbers (P,) of the pixels whose rays come near it in any picture; of these, where they
        end, as the surface's grid coordinates (B, 1, P, 2), and how far from the skin they stay at the
        nearest (B, 1, P), units of the face, about 0 where they meet it.
    """
    axes = (head.AXES[0], head.AXES[1] * long[:, None, None], head.AXES[2])
    o = [(rays.o[i] - head.CENTRE[i]) / axes[i] for i in range(3)]
    d = [rays.d[i] / axes[i] for i in range(3)]
    dd = d[0] ** 2 + d[1] ** 2 + d[2] ** 2
    od = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    oo = o[0] ** 2 + o[1] ** 2 + o[2] ** 2
    highest = 1 + height.amax((1, 2, 3))[:, None, None]
    at = numbers(oo - od**2 / dd < (highest + 1.2 * rays.width) ** 2)
    d, dd, od = [pick(v, at) for v in d], pick(dd, at), pick(od, at)
    nearest = -od / dd
    t = nearest - ((od**2 - dd * (oo - 1.45**2)).clamp(min=0)).sqrt() / dd
    pace = dd.rsqrt()
    gap = torch.full_like(t, 9.0)
    for step in range(STEPS + 1):
        p = [o[i] + t * d[i] for i in range(3)]
        rho = (p[0] ** 2 + p[1] ** 2 + p[2] ** 2).sqrt()
        grid = head.packed(torch.stack([p[0], p[1]], -1) / (rho + p[2]).clamp(min=1e-3)[..., None])
        above = rho - 1 - head.sample(height, grid)[:, 0]
        gap = torch.minimum(gap, above)
        if step < STEPS:
            t = torch.minimum(t + (0.8 if step < 5 else 0.65) * pace * above, nearest + 0.3 * pace)
    return at, grid, gap


def key_shadow(surface: head.Surface, toward: Tensor, long: Tensor, soft: Tensor) -> Tensor:
    """Light of the key lamp (B, 1, S, S), 0..1, where brow, nose, lips or chin do not stand in it.

    toward: (B, 3) direction of the lamp in the head's frame.
    """
    h = torch.nn.functional.avg_pool2d(surface.height, 2)
    p = (1 + h) * head.directions(head.SURFACE, h.device)[:, ::2, ::2]
    axes = torch.stack(
        [torch.full_like(long, head.AXES[0]), head.AXES[1] * long, torch.full_like(long, head.AXES[2])], 1
    )
    step = (toward / axes)[:, :, None, None]
    dark = torch.zeros_like(h)
    for far in (0.07, 0.15, 0.26, 0.42):
        q = p + far * step
        rho = (q * q).sum(1, keepdim=True).sqrt()
        grid = head.packed(q[:, :2] / (rho + q[:, 2:]).clamp(min=1e-3)).permute(0, 2, 3, 1)
        dark = torch.maximum(dark, (head.sample(surface.height, grid) + 1 - rho) / (0.03 + 0.25 * soft * far))
    return 1 - dark.clamp(0, 1)


# ---------------------------------------------------------------- the picture


def render(look: Look, aus: Tensor, scene: Scene, size: int = 112) -> Tensor:
    """Draws one face per row, (B, 3, size, size) float, 0..1; the arguments are those of every family, see
    `fedet.synthetic.families`.
    """
    together = TOGETHER.get(aus.device.type, len(aus))
    if len(aus) > together:
        rows = torch.arange(len(aus), device=aus.device).split(together)
        return torch.cat([render(take(look, i), aus[i], take(scene, i), size) for i in rows])
    zero = torch.zeros(len(aus), device=aus.device)
    scene = {"gaze_x": zero, "gaze_y": zero, "hand": zero, "hand_x": zero, "hand_y": zero, **scene}
    f, rays, lamp = Face(look, aus), Rays(look, scene, size), lamps(scene)
    x, y = head.nodes(head.FINE, aus.device)
    surface = head.shape_head(look, aus, hair_relief(x, y, f))
    at, grid, gap = march(rays, surface.height, look["long"])
    alpha = (1.15 - gap / (0.9 * rays.width)).clamp(0, 1)
    shown = numbers(alpha > 0)
    at, grid, alpha = at[shown], grid[:, :, shown], pick(alpha, shown)
    toward = torch.stack(turned(lamp.key.unbind(1), scene, back=True), 1)
    shade = key_shadow(surface, toward, look["long"], 1 - lamp.hard[:, None])
    shade = torch.nn.functional.interpolate(shade, size=(head.SURFACE, head.SURFACE), mode="bilinear")
    pixels = read_surface(surface, shade, grid, scene, lamp, rays.width)

    rgb = paint_room(rays.px, rays.py, scene, f)
    bx = rays.x + 0.5 * torch.sin(scene["yaw"])[:, None, None]
    by = rays.y + 0.35 * torch.sin(scene["pitch"])[:, None, None]

    def body(rgb: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return paint_body(rgb, x, y, f, lamp, rays.width)

    rgb = paint_near(rgb, put(torch.zeros_like(bx), at, alpha) < 1, body, bx, by)
    rgb = put(rgb, at, mix(pick(rgb, at), paint_head(pixels, f, scene, lamp), alpha))
    if look["long_hair"].any():
        rgb = paint_locks(rgb, bx, by, f, lamp, rays.width)
    if look["glasses"].any():
        gx, _ = rays.on_plane(0.1)
        gx, gy = rays.on_plane(0.12 - 0.45 * gx**2)
        rgb = paint_glasses(rgb, gx, gy / look["long"][:, None, None], f, surface.eye, lamp, rays.width)
    if scene["hand"].any():
        rgb = paint_hand(rgb, rays.x, rays.y, scene, f, lamp, rays.width)
    return expose(rgb.clamp(min=0), scene)


def read_surface(
    surface: head.Surface, shade: Tensor, grid: Tensor, scene: Scene, lamp: SimpleNamespace, width: Tensor
) -> SimpleNamespace:
    """What the pixels show of the surface; see `paint_head`."""
    device = grid.device
    n = len(grid)
    canonical = head.nodes(head.SURFACE, device).expand(n, -1, -1, -1)
    read = head.sample(torch.cat([surface.maps, shade, canonical], 1), grid)
    upper = read[:, 1] < head.SLIT
    s = lamp.hard
    normal = torch.stack(turned((read[:, 4], read[:, 5], read[:, 6]), scene, back=False), 1)
    return SimpleNamespace(
        x=torch.where(upper, read[:, 0], read[:, 2]),
        y=torch.where(upper, read[:, 1], read[:, 3].clamp(min=head.SLIT)),
        above=read[:, 1], below=read[:, 3], normal=head.unit(normal),
        hollow=read[:, 7].clamp(-0.2, 0.8), shade=1 - (0.35 + 0.5 * s) * (1 - read[:, 8]),
        qx=read[:, 9], qy=read[:, 10], px=width, eye=surface.eye, mouth=surface.mouth,
    )  # fmt: skip

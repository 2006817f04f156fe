"""Light on the splats: the room's from all around, a lamp with its shadows, and the camera."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.synthetic.device_tables import device_table
from fedet.synthetic.scene import Scene
from fedet.synthetic.splats.skin import Cloud, per

SHADOWS = 72  # side of the lamp's screen
REACH = 2.2  # what it sees, units around the face
SCREEN = 2.2  # a screen shows linear light to the power of 1 / SCREEN


def lamp_of(scene: Scene) -> Tensor:
    """Unit vectors (B, 3) to the lamp."""
    x, y = scene["light_x"], scene["light_y"]
    return F.normalize(torch.stack([1.1 * x, 0.9 * y, torch.ones_like(x)], -1), dim=-1)


def lit(c: Cloud, shade: Tensor, scene: Scene) -> Tensor:
    """Colours (B, N, 3), linear, of what the camera would see of each splat."""
    lamp, hard = lamp_of(scene), per(scene["hardness"], 1)
    facing = (c.normal * lamp[:, None]).sum(-1)
    wrap = 0.45 * (1 - hard)
    direct = ((facing + wrap) / (1 + wrap)).clamp(min=0)
    free = 1 - (0.35 + 0.6 * hard) * in_shadow(c, shade, scene)
    sky = 0.78 - 0.2 * c.normal[..., 1] + 0.12 * c.normal[..., 2]
    room = per(scene["ambient"], 1) * sky * c.open
    key = 1.35 * per(scene["diffuse"], 1) * direct * free
    key = key * (0.35 + 0.65 * c.open)
    # Light from the side reddens where skin turns away from it, since it comes out elsewhere.
    half = F.normalize(lamp + torch.tensor([0.0, 0.0, 1.0], device=lamp.device), dim=-1)
    shine = (c.normal * half[:, None]).sum(-1).clamp(min=0)
    tight = shine.square().square().square()
    tight = tight.square()
    shine = c.gloss * (0.05 * tight + 0.1 * tight.square().square()) * (0.25 + key)
    rim = 0.05 * c.gloss * (1 - c.normal[..., 2].clamp(0, 1)).square().square() * room
    light = room + key
    light = light * light.sqrt()
    return c.paint * light[..., None] + (shine + rim)[..., None]


def shadows(clouds: list[Cloud], scene: Scene) -> Tensor:
    """How near the nearest splats come to the lamp, (B, 1, SHADOWS, SHADOWS): a depth picture from there."""
    tops = []
    for c in clouds:
        grid, height = from_lamp(c.at, scene)
        cell = ((grid + 1) * SHADOWS / 2).long()
        row = torch.arange(len(height), device=height.device)[:, None] * SHADOWS**2
        index = (row + cell[..., 1] * SHADOWS + cell[..., 0]).flatten()
        height = torch.where(c.weight > 0, height, -1.0).flatten()
        top = height.new_full((len(c.at) * SHADOWS**2,), -1.0)
        tops.append(top.scatter_reduce(0, index, height, "amax").view(-1, 1, SHADOWS, SHADOWS))
    return F.avg_pool2d(torch.stack(tops).amax(0), 3, 1, 1, count_include_pad=False)


def from_lamp(at: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
    """Points as the lamp sees them: positions -1..1 (B, N, 2) and heights (B, N)."""
    lamp = lamp_of(scene)
    up = torch.tensor([0.0, 1.0, 0.0], device=lamp.device).expand_as(lamp)
    right = F.normalize(torch.linalg.cross(up, lamp), dim=-1)
    rotated = at @ torch.stack([right, torch.linalg.cross(lamp, right), lamp], -1)
    return (rotated[..., :2] / REACH).clamp(-0.98, 0.98), rotated[..., 2]


def in_shadow(c: Cloud, shade: Tensor, scene: Scene) -> Tensor:
    """How much of the lamp nearer splats hide, (B, N)."""
    grid, height = from_lamp(c.at, scene)
    top = F.grid_sample(shade, grid[:, None], padding_mode="border", align_corners=False)[:, 0, 0]
    return ((top - height - 0.07) / 0.12).clamp(0, 1)


@device_table
def plaster() -> Tensor:
    """Soft noise (1, 1, 64, 64)."""
    raw = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(23))
    return F.avg_pool2d(F.pad(raw, (2, 2, 2, 2), mode="circular"), 5, 1) * 2


def wall(scene: Scene, side: int) -> Tensor:
    """The background (B, 3, side, side), linear: two colours that meet at an edge, and its texture."""
    step = torch.linspace(-1, 1, side, device=scene["yaw"].device)
    y, x = torch.meshgrid(step, step, indexing="ij")
    angle = per(scene["back_angle"], 2)
    across = torch.sigmoid(per(scene["back_edge"], 2) * (x * angle.cos() + y * angle.sin()))[:, None]
    colour = torch.lerp(scene["back"][..., None, None], scene["back_2"][..., None, None], across)
    rough = F.interpolate(plaster(), size=(side, side), mode="bicubic", align_corners=False)
    light = per(scene["ambient"] + 0.35 * scene["diffuse"], 3)
    return (colour * (1 + per(scene["back_texture"], 3) * rough) * light).clamp(min=0.002) ** SCREEN


def develop(picture: Tensor, scene: Scene) -> Tensor:
    """The camera: linear light to what a screen shows, gain, cast and gamma; bright parts roll off."""
    shown = (
        picture.clamp(min=1e-5) ** (1 / SCREEN) * (scene["gain"][:, None] * scene["cast"])[..., None, None]
    )
    shown = torch.where(shown > 0.8, 0.8 + 0.2 * torch.tanh((shown - 0.8) / 0.2), shown)
    return shown.clamp(1e-4, 1) ** per(scene["gamma"], 3)

"""Heads of splats: clouds of painted points on a skin that muscles move, held out for tests.

No network here is ever trained on this family (see `fedet.synthetic.families`). It shares no drawing code
and no appearance parameters with the others: surfaces are points with normals (Pfister et al. 2000,
"Surfels"), blended on a screen with a soft depth test (Botsch et al. 2005), the skin's colour is that
of melanin and blood, and faces move by fields written down after FACS.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.synthetic.scene import Look, Scene, take
from fedet.synthetic.splats.body import body_cloud, ear_cloud, glasses_cloud, hand_cloud, through_lenses
from fedet.synthetic.splats.eyes import eyeball_cloud, gaze_of, mouth_clouds, rotation, teeth_cloud
from fedet.synthetic.splats.hair import hair_cloud, stroke_clouds
from fedet.synthetic.splats.light import develop, lit, shadows, wall
from fedet.synthetic.splats.looks import sample_looks
from fedet.synthetic.splats.screen import Splats, splat
from fedet.synthetic.splats.skin import Cloud, Skin, displace, skin_cloud

__all__ = ["render", "sample_looks"]

PIVOT = (0.0, 0.45, -0.1)  # heads turn about it
EYES_Z = 1.0  # depth that the scene's `scale` is meant for
FINER = 1.5  # pixels of the screen to one of the picture
AWAY = -0.25  # depth of a unit normal from which a splat faces away
MOST = 320  # side of the largest screen, pixels
DENSE = 74  # pixels to a unit, at most: the points would lie too far apart


def render(look: Look, aus: Tensor, scene: Scene, size: int = 112) -> Tensor:
    """Draws one face per row, (B, 3, size, size) float, 0..1; the arguments are those of every family, see
    `fedet.synthetic.families`.
    """
    skin, pictures = displace(look, aus, gaze_of(scene)[1]), []
    with one_thread():
        for i in range(len(aus)):  # one by one: its numbers stay in the processor's cache
            row = torch.tensor([i], device=aus.device)
            one = Skin(*(value[row] for value in skin))
            pictures.append(draw(take(look, row), one, aus[row], take(scene, row), size))
    return torch.cat(pictures)


@contextmanager
def one_thread() -> Iterator[None]:
    """Many small steps: on a busy machine threads would wait for each other far longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def draw(look: Look, skin: Skin, aus: Tensor, scene: Scene, size: int) -> Tensor:
    """As `render`, for one face whose skin has been displaced."""
    side = 2 * int(min(FINER * size, MOST, DENSE / float(scene["scale"])) / 2)
    gaze = gaze_of(scene)
    head = [skin_cloud(look, skin)]
    head += [*(teeth_cloud(look, aus, upper) for upper in (True, False)), *stroke_clouds(look, skin.at)]
    head += [eyeball_cloud(look, skin, *gaze, s) for s in (0, 1)]
    if bool(look["glasses"].any()):
        head = [through_lenses(look, together(head)), glasses_cloud(look, skin.at)]
    turn = rotation(scene["yaw"], scene["pitch"], scene["roll"])
    fine = turned(together(head), turn)
    shell = turned(
        together([hair_cloud(look), *mouth_clouds(aus), *(ear_cloud(look, s) for s in (0, 1))]), turn
    )
    broad = [shell, body_cloud(look)]
    if "hand" in scene and bool(scene["hand"].any()):
        broad.append(hand_cloud(look, scene))
    # Hair and ears are thin: their inner sides show too.
    fine, broad = visible(fine, AWAY), visible(together(broad), -1.0)
    shade = shadows([fine, broad], scene)
    colour, alpha = splat(project(fine, shade, look, scene), project(broad, shade, look, scene), side)
    picture = wall(scene, side) * (1 - alpha) + colour * alpha
    picture = F.interpolate(picture, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return develop(picture, scene)


def together(clouds: list[Cloud]) -> Cloud:
    return Cloud(*(torch.cat(parts, 1) for parts in zip(*clouds, strict=True)))


def turned(c: Cloud, turn: Tensor) -> Cloud:
    """The head's points as the head is turned."""
    pivot = torch.tensor(PIVOT, device=turn.device)
    back = turn.transpose(1, 2)
    return c._replace(at=(c.at - pivot) @ back + pivot, normal=c.normal @ back)


def visible(c: Cloud, away: float) -> Cloud:
    """The points of one picture's cloud that are drawn at all and whose normals are not beyond `away`."""
    drawn = ((c.weight[0] > 0) & (c.normal[0, :, 2] >= away)).nonzero()[:, 0]
    return Cloud(*(value[:, drawn] for value in c))


def project(c: Cloud, shade: Tensor, look: Look, scene: Scene) -> Splats:
    """The points as the camera sees them, `lens` units away from the eyes."""
    away = look["lens"][:, None]
    near = scene["scale"][:, None] * away / (away + EYES_Z - c.at[..., 2])
    middle = torch.stack([scene["cx"], scene["cy"]], -1)[:, None]
    return Splats(middle + near[..., None] * c.at[..., :2], c.at[..., 2], lit(c, shade, scene), c.weight)

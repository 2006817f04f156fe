"""The named points of the faces of splats in the picture; for tests, as the whole family."""

import torch
from torch import Tensor

from fedet.synthetic.landmarks import BROW, LID, LIP_INNER, LIP_OUTER, SIDES, numbered, stack_points
from fedet.synthetic.scene import Look, Scene
from fedet.synthetic.splats.eyes import SUNK, gaze_of, rotation
from fedet.synthetic.splats.hair import brow_line, finder, looked_up, on_skin
from fedet.synthetic.splats.head import BALL, EYE, MOUTH, SEAM, SLIT, template
from fedet.synthetic.splats.render import EYES_Z, PIVOT
from fedet.synthetic.splats.skin import Skin, displace

# points of the template, of the right side or the middle
SINGLE = {"nose_wing": (0.2, 0.47), "nostril": (0.085, 0.575)}
JAW = ((0.3, 1.45), (0.5, 1.25), (0.72, 0.9), (0.88, 0.4))
MIDDLE = {"nose_1": -0.05, "nose_2": 0.1, "nose_3": 0.25, "nose_4": 0.43, "nose_base": 0.62,
          "under_lip": 1.1, "chin": 1.4}  # fmt: skip


@torch.inference_mode()
def landmarks(look: Look, aus: Tensor, scene: Scene) -> Tensor:
    """Where the points `fedet.faces.points.POINTS` are, (B, P, 2): x right, y down, shares of the
    picture's side. The arguments are those of `render`.
    """
    skin = displace(look, aus, gaze_of(scene)[1])
    points = stack_points(_on_skin(look, skin) | _pupils(skin, scene))
    pivot = torch.tensor(PIVOT, device=aus.device)
    turn = rotation(scene["yaw"], scene["pitch"], scene["roll"])
    points = (points - pivot) @ turn.transpose(1, 2) + pivot
    away = look["lens"][:, None]
    near = scene["scale"][:, None] * away / (away + EYES_Z - points[..., 2])
    return torch.stack([scene["cx"], scene["cy"]], -1)[:, None] + near[..., None] * points[..., :2]


def _on_skin(look: Look, skin: Skin) -> dict[str, Tensor]:
    """Points (B, 3) of the displaced skin."""
    b, device = len(skin.at), skin.at.device
    eyes, seam = template().splits

    def line(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=device)[None].expand(b, -1)

    def on_row(x: Tensor, y: float, row: int) -> Tensor:
        """Points (B, N, 3) of one row of the sheets, the edge of a lid or lip."""
        width, _, columns = finder()
        angle = torch.asin((x / looked_up(width, torch.full_like(x, (y + 1.7) / 3.28))).clamp(-0.999, 0.999))
        column = looked_up(columns, (angle + 1.55) / 3.1)[0]
        low = column.long()
        return torch.lerp(skin.at[:, row, low], skin.at[:, row, low + 1], (column - low)[:, None])

    points = {name: on_skin(skin.at, line((0.0,)), line((y,)))[:, 0] for name, y in MIDDLE.items()}
    for side, s in SIDES:
        x, y = brow_line(look, torch.tensor(BROW, device=device))
        points |= numbered(f"brow_*_{side}", on_skin(skin.at, s * x, y))
        lid = s * (EYE[0] + SLIT * line((*LID, -1.0, 1.0)))
        up, low = on_row(lid, EYE[1], eyes - 1), on_row(lid, EYE[1], eyes)
        points |= numbered(f"upper_lid_*_{side}", up[:, :3]) | numbered(f"lower_lid_*_{side}", low[:, :3])
        points |= {f"eye_inner_{side}": up[:, 3], f"eye_outer_{side}": up[:, 4]}
        for name, (px, py) in SINGLE.items():
            points[f"{name}_{side}"] = on_skin(skin.at, line((s * px,)), line((py,)))[:, 0]
        jaw = line(tuple(s * x for x, _ in JAW)), line(tuple(y for _, y in JAW))
        points |= numbered(f"jaw_*_{side}", on_skin(skin.at, *jaw))
        points[f"mouth_corner_{side}"] = on_row(line((s * MOUTH,)), SEAM, seam - 1)[:, 0]
    x, inner = MOUTH * line(LIP_OUTER), MOUTH * line(LIP_INNER)
    high, low = _lip_heights(x)
    for name, y, row in (("upper_lip", SEAM - high, seam - 1), ("lower_lip", SEAM + low, seam)):
        points |= numbered(name, on_skin(skin.at, x, y))
        points |= numbered(f"{name}_inner", on_row(inner, SEAM, row))
    return points


def _lip_heights(x: Tensor) -> tuple[Tensor, Tensor]:
    """How high the red of the upper and the lower lip is on the template, as in `head.vermilion`."""
    side = (1 - (x.abs() / MOUTH) ** 1.9).clamp(1e-4, 1)
    bow = 1 - 0.2 * torch.exp(-((x / 0.05) ** 2)) + 0.08 * torch.exp(-(((x.abs() - 0.09) / 0.06) ** 2))
    return 0.115 * side**0.75 * bow, 0.145 * side**0.62


def _pupils(skin: Skin, scene: Scene) -> dict[str, Tensor]:
    """The middles (B, 3) of the pupils, turned as `eyes.eyeball_cloud` turns the eyeballs."""
    gaze_x, gaze_y = gaze_of(scene)
    points = {}
    for i, (side, s) in enumerate(SIDES):
        turn, dip = 0.5 * gaze_x - 0.035 * s, 0.45 * gaze_y
        aim = torch.stack([turn.sin() * dip.cos(), dip.sin(), turn.cos() * dip.cos()], -1)
        sunk = torch.tensor([0.0, 0.0, SUNK], device=aim.device)
        points[f"pupil_{side}"] = skin.eyes[:, i] + BALL * aim - sunk
    return points

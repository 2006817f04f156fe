"""The named points of the polygonal faces in the picture."""

import torch
from torch import Tensor

from fedet.synthetic.landmarks import BROW, LID, LIP_INNER, LIP_OUTER, SIDES, numbered, stack_points
from fedet.synthetic.mesh.body import anchors, shape_skin
from fedet.synthetic.mesh.head import BALL, EYE, EYE_HALF, MOUTH_HALF, modes, template
from fedet.synthetic.mesh.paint import brow_middle, lip_borders
from fedet.synthetic.mesh.render import project
from fedet.synthetic.scene import Look, Scene

NEAR = 0.016  # units of the chart within which vertices count for a point
# on the chart, for the right side
SINGLE = {"nose_wing": (0.19, 0.29), "nostril": (0.075, 0.372)}
JAW = ((0.35, 1.13), (0.58, 0.95), (0.76, 0.65), (0.88, 0.25))
MIDDLE = {"nose_1": -0.2, "nose_2": -0.05, "nose_3": 0.1, "nose_4": 0.27, "nose_base": 0.43,
          "under_lip": 0.885, "chin": 1.12}  # fmt: skip


@torch.inference_mode()
def landmarks(look: Look, aus: Tensor, scene: Scene) -> Tensor:
    """Where the points `fedet.faces.points.POINTS` are, (B, P, 2): x right, y down, shares of the
    picture's side. The arguments are those of `render`.
    """
    zero = torch.zeros(len(aus))
    scene = {"gaze_x": zero, "gaze_y": zero, **scene}
    rest = template().points + torch.einsum("bm,mvc->bvc", look["traits"], modes())
    at = anchors(rest)
    skin = shape_skin(rest, at, look, aus)
    points = stack_points(_on_head(look, skin, at, scene))
    every = torch.ones(points.shape[1])
    return project(points, every, look, scene, 1)[1][..., :2]


def _on_head(look: Look, skin: Tensor, at: object, scene: Scene) -> dict[str, Tensor]:
    """The points (B, 3) on skin (B, V, 3) and eyeballs."""
    t = template()
    b = len(skin)

    def read(x: Tensor, y: Tensor, below: Tensor | None = None, row: Tensor | None = None) -> Tensor:
        """Skin at chart points (B or 1, N); `row`: distances (V,) from a slit in place of y."""
        dx = t.points[:, 0] - x[..., None]
        dy = t.points[:, 1] - y[..., None] if row is None else 4 * row.expand_as(dx)
        far = (dx**2 + dy**2) / NEAR**2 + 60 * (torch.cos(t.angle) < 0)
        if below is not None:
            far = far + 60 * ~below
        weight = torch.softmax(-far, -1).expand(b, -1, -1)
        return weight @ skin

    def line(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values)[None]

    points = {name: read(line((0.0,)), line((y,)))[:, 0] for name, y in MIDDLE.items()}
    for i, (side, s) in enumerate(SIDES):
        along = line(BROW).expand(b, -1)
        inner, outer = look["brow_in"][:, None], look["brow_out"][:, None]
        brow = read(s * (inner + (outer - inner) * along), brow_middle(along, look))
        points |= numbered(f"brow_*_{side}", brow)
        x = s * (EYE[0] + EYE_HALF * line(LID))
        for name, below in (("upper_lid", t.below_eye < 0), ("lower_lid", t.below_eye > 0)):
            points |= numbered(f"{name}_*_{side}", read(x, x, below, t.from_eye))
        corners = read(s * (EYE[0] + EYE_HALF * line((-1.0, 1.0))), line((0.0, 0.0)), None, t.from_eye)
        points |= {f"eye_inner_{side}": corners[:, 0], f"eye_outer_{side}": corners[:, 1]}
        points[f"pupil_{side}"] = _pupil(at, scene, i, s)
        for name, (px, py) in SINGLE.items():
            points[f"{name}_{side}"] = read(line((s * px,)), line((py,)))[:, 0]
        points |= numbered(
            f"jaw_*_{side}", read(*(line(v) for v in zip(*((s * x, y) for x, y in JAW), strict=True)))
        )
        corner = read(line((s * MOUTH_HALF,)), line((0.0,)), None, t.from_mouth)
        points[f"mouth_corner_{side}"] = corner[:, 0]
    x = MOUTH_HALF * line(LIP_OUTER)
    top, bottom = (
        0.7 - 0.04 * x**2 + border
        for border in lip_borders(x, look["lip_up"][:, None], look["lip_low"][:, None])
    )
    for name, y, below in (("upper_lip", top, t.below_mouth < 0), ("lower_lip", bottom, t.below_mouth > 0)):
        points |= numbered(name, read(x, y, below))
        inner = MOUTH_HALF * line(LIP_INNER)
        points |= numbered(f"{name}_inner", read(inner, inner, below, t.from_mouth))
    return points


def _pupil(at: object, scene: Scene, i: int, s: int) -> Tensor:
    """The middle of a pupil (B, 3), turned as `body.add_eyes` turns the eyeballs."""
    a, b = 0.42 * scene["gaze_x"] - 0.06 * s, 0.24 * scene["gaze_y"]
    forward = torch.stack([torch.sin(a) * torch.cos(b), torch.sin(b), torch.cos(a) * torch.cos(b)], -1)
    return at.eye[:, i] + BALL * at.eye_size[:, i, None] * forward

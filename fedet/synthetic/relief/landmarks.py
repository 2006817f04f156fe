"""The named points of the faces in relief in the picture."""

import torch
from torch import Tensor

from fedet.synthetic.landmarks import BROW, LID, LIP_INNER, LIP_OUTER, SIDES, numbered, stack_points
from fedet.synthetic.relief import head
from fedet.synthetic.relief.features import lid_edges
from fedet.synthetic.relief.render import PIVOT, turned
from fedet.synthetic.relief.skin import Face, brow_middle, hair_relief, lip_heights
from fedet.synthetic.scene import Look, Scene

# canonical points, of the right side or the middle
SINGLE = {"nose_wing": (0.2, 0.36), "nostril": (0.085, 0.41), "mouth_corner": (head.MOUTH, head.SLIT)}
JAW = ((0.35, 1.2), (0.62, 1.05), (0.85, 0.75), (0.98, 0.3))
MIDDLE = {"nose_1": -0.2, "nose_2": -0.05, "nose_3": 0.1, "nose_4": 0.32, "nose_base": 0.47,
          "under_lip": 0.94, "chin": 1.15}  # fmt: skip


@torch.inference_mode()
def landmarks(look: Look, aus: Tensor, scene: Scene) -> Tensor:
    """Where the points `fedet.faces.points.POINTS` are, (B, P, 2): x right, y down, shares of the
    picture's side. The arguments are those of `render`.
    """
    zero = torch.zeros(len(aus), device=aus.device)
    scene = {"gaze_x": zero, "gaze_y": zero, **scene}
    f = Face(look, aus)
    x, y = head.nodes(head.FINE, aus.device)
    surface = head.shape_head(look, aus, hair_relief(x, y, f))
    points = stack_points(_on_skin(look, aus, scene, f) | _on_eyes(surface.eye, scene, f))
    h = head.sample(surface.height, _grid(points))[:, 0, 0]
    return _project(_outwards(points, h, look["long"]), look, scene)


def _grid(points: Tensor) -> Tensor:
    """Points (B, N, 2) as coordinates (B, 1, N, 2) for `head.sample`."""
    return head.canonical_to_grid(points.transpose(1, 2)[:, :, None])


def _outwards(points: Tensor, h: Tensor, long: Tensor) -> Tensor:
    """Points (B, N, 2) of the deformed skin at heights (B, N) over the ellipsoid, in the head's frame."""
    s, t = points[..., 0] / (2 * head.AXES[0]), (points[..., 1] - head.CENTRE[1]) / (2 * head.AXES[1])
    below = 1 + s * s + t * t
    direction = torch.stack([2 * s / below, 2 * t / below, (2 - below) / below], -1)
    axes = torch.stack(
        [torch.full_like(long, head.AXES[0]), head.AXES[1] * long, torch.full_like(long, head.AXES[2])], -1
    )
    return torch.tensor(head.CENTRE, device=h.device) + axes[:, None] * (1 + h)[..., None] * direction


def _project(points: Tensor, look: Look, scene: Scene) -> Tensor:
    """Points (B, N, 3) of the head's frame in the picture (B, N, 2), as `render.Rays` sees them."""
    x, y, z = turned((points[..., 0], points[..., 1], points[..., 2] - PIVOT), scene, back=False)
    far = look["distance"][:, None]
    x, y = x * far / (far - z), y * far / (far - z)
    c, s = torch.cos(scene["roll"])[:, None], torch.sin(scene["roll"])[:, None]
    dx, dy = c * x - s * y, s * x + c * y
    centre = torch.stack([scene["cx"], scene["cy"]], -1)[:, None]
    return centre + scene["scale"][:, None, None] * torch.stack([dx, dy], -1)


def _on_skin(look: Look, aus: Tensor, scene: Scene, f: Face) -> dict[str, Tensor]:
    """Points (B, 2) of the deformed skin."""
    n, device = len(aus), aus.device
    weights, _ = head.coefficients(look, aus)
    slide = (weights @ head.basis(device).slide.flatten(1)).view(n, 2, 2, head.COARSE, head.COARSE)

    def move(x: Tensor, y: Tensor, below: int) -> Tensor:
        """Canonical points (B or 1, N) where they are now, (B, N, 2); below: 1 for the lower lip's side."""
        point = torch.stack([x.expand(n, -1), y.expand(n, -1)], -1)
        return point + head.sample(slide[:, below], _grid(point))[:, :, 0].transpose(1, 2)

    def line(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=device)[None]

    points = {name: move(line((0.0,)), line((y,)), int(y > head.SLIT))[:, 0] for name, y in MIDDLE.items()}
    for side, s in SIDES:
        along = line(BROW)
        x = s * (look["brow_in"][:, None] + (look["brow_out"] - look["brow_in"])[:, None] * along)
        points |= numbered(f"brow_*_{side}", move(x, brow_middle(along[:, None], f)[:, 0], 0))
        for name, (px, py) in SINGLE.items():
            points[f"{name}_{side}"] = move(line((s * px,)), line((py,)), 0)[:, 0]
        points |= numbered(
            f"jaw_*_{side}", move(line(tuple(s * x for x, _ in JAW)), line(tuple(y for _, y in JAW)), 1)
        )
    x, inner = head.MOUTH * line(LIP_OUTER), head.MOUTH * line(LIP_INNER)
    high, low = lip_heights(x[:, None], f)
    for name, y, below in (("upper_lip", head.SLIT - high, 0), ("lower_lip", head.SLIT + low, 1)):
        points |= numbered(name, move(x, y[:, 0], below))
        points |= numbered(f"{name}_inner", move(inner, torch.full_like(inner, head.SLIT), below))
    return points


def _on_eyes(eye: Tensor, scene: Scene, f: Face) -> dict[str, Tensor]:
    """Points (B, 2) of the deformed skin on lids and eyeballs; eye (B, 2) is the right one's middle."""
    points: dict[str, Tensor] = {}
    gaze_x, gaze_y = scene["gaze_x"][:, None, None], scene["gaze_y"][:, None, None]
    e = torch.tensor([*LID, -1.0, 1.0], device=eye.device)[None, None]
    for side, s in SIDES:
        upper, lower, *_ = lid_edges(e, f, lambda au, s=s: f.au(au, s), gaze_y)
        x = s * (eye[:, :1] + (e * f.eye_w)[:, 0])
        up, low = (torch.stack([x, eye[:, 1:] + edge[:, 0]], -1) for edge in (upper, lower))
        points |= numbered(f"upper_lid_*_{side}", up[:, :3]) | numbered(f"lower_lid_*_{side}", low[:, :3])
        points |= {f"eye_inner_{side}": up[:, 3], f"eye_outer_{side}": up[:, 4]}
        middle = eye[:, 0] * s + 0.095 * gaze_x[:, 0, 0], eye[:, 1] - 0.008 + 0.05 * gaze_y[:, 0, 0]
        points[f"pupil_{side}"] = torch.stack(middle, -1)
    return points

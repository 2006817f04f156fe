"""The polygonal heads: muscles move their landmarks, and triangles become pixels as they should."""

import pytest
import torch

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.mesh.body import build
from fedet.synthetic.mesh.head import marks, template
from fedet.synthetic.mesh.looks import sample_looks
from fedet.synthetic.mesh.muscles import LANDMARKS, SHIFTS, fields
from fedet.synthetic.mesh.raster import grid_faces, normals, rasterise
from fedet.synthetic.mesh.render import PIVOT, project, rotation
from fedet.synthetic.scene import auto_exposure, sample_scenes


def people(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    look, scene = sample_looks(n, generator), sample_scenes(n, generator)
    scene["scale"] = torch.full((n,), 0.33)
    return look, auto_exposure(look, scene)


def shown(au, n, sides=(0, 1), strength=1.0):
    aus = torch.zeros(n, 2, len(AUS))
    aus[:, list(sides), AU_INDEX[au]] = strength
    return aus


def landmarks(look, scene, aus):
    """Projected marks of the skin {name: (n, 2)}, in units of the face."""
    zero = torch.zeros(len(aus))
    mesh = build(look, aus, scene | {"gaze_x": zero, "gaze_y": zero})
    pixels = project(mesh.points, mesh.turns, look, scene, 1)[1]
    return {name: pixels[:, i, :2] / scene["scale"][:, None] for name, i in marks().items()}


def moved(au, sides=(0, 1), n=4):
    look, scene = people(n)
    before, after = (
        landmarks(look, scene, aus) for aus in (torch.zeros(n, 2, len(AUS)), shown(au, n, sides))
    )
    return {name: after[name] - before[name] for name in before}


# landmark -> the least shift (to the side, down) that the coding system's description asks for; None: any
DIRECTIONS = {
    1: ("inner_brow", None, -0.08), 2: ("outer_brow", None, -0.08), 4: ("inner_brow", -0.02, 0.06),
    6: ("cheek", None, -0.04), 9: ("inner_brow", None, 0.03), 12: ("mouth", 0.06, -0.08), 15: ("mouth",
    None, 0.06),
    18: ("mouth", -0.08, None), 20: ("mouth", 0.08, None), 5: ("upper_lid", None, -0.03), 43: ("upper_lid",
    None, 0.03),
}  # fmt: skip


@pytest.mark.parametrize("au", DIRECTIONS)
def test_landmarks_move_as_the_coding_system_says(au):
    name, along, down = DIRECTIONS[au]
    shift = moved(au)
    for side, sign in (("left", -1), ("right", 1)):
        x, y = (shift[f"{name}_{side}"] * torch.tensor([sign, 1])).unbind(1)
        for value, least in ((x, along), (y, down)):
            if least is not None:
                assert (value * (1 if least > 0 else -1) > abs(least)).all()


def test_the_lips_part_with_25_and_the_jaw_drops_with_26():
    part, jaw = moved(25), moved(26)
    assert (part["lower_lip"] - part["upper_lip"])[:, 1].gt(0.04).all()
    assert part["chin"].abs().max() < 0.02 and jaw["chin"][:, 1].gt(0.12).all()
    assert jaw["nose"].abs().max() < 0.02


def test_a_smile_on_one_side_leaves_the_other_corner():
    for side, name, other in ((0, "mouth_left", "mouth_right"), (1, "mouth_right", "mouth_left")):
        shift = moved(12, sides=(side,))
        assert (shift[name].norm(dim=1) > 8 * shift[other].norm(dim=1)).all()


def test_fields_pass_through_their_landmarks():
    points = template().points[:, :2]
    for au, name in ((12, "corner_out"), (1, "brow_in"), (17, "chin_side"), (6, "cheek")):
        at = (
            (points - torch.tensor(LANDMARKS[name])).norm(dim=1) + 10 * (template().points[:, 2] < 0)
        ).argmin()
        torch.testing.assert_close(
            fields()[1, AU_INDEX[au], at], torch.tensor(SHIFTS[au][name]) * 1.0, atol=0.02, rtol=0
        )


def test_a_turn_moves_near_points_as_an_independent_rotation_does():
    look, scene = people(2)
    aus = torch.zeros(2, 2, len(AUS))
    for name, column in (("yaw", 0), ("pitch", 1)):
        straight = landmarks(look, scene, aus)["nose"]
        turned = landmarks(look, scene | {name: torch.full((2,), 0.3)}, aus)["nose"]
        assert ((turned - straight)[:, column] > 0.2).all()
    matrix = rotation({k: torch.tensor([v]) for k, v in (("yaw", 0.3), ("pitch", -0.2), ("roll", 0.1))})[0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=1e-6, rtol=0)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1) and PIVOT < 0


def test_triangles_are_drawn_as_a_slow_loop_draws_them():
    generator = torch.Generator().manual_seed(4)
    points = torch.rand(2, 12, 3, generator=generator) * torch.tensor([16.0, 16.0, 2.0])
    faces = torch.randint(12, (9, 3), generator=generator)
    found = rasterise(points, faces, 16)
    drawn = torch.full((2 * 256,), -1).scatter(0, found.pixel, found.face).view(2, 16, 16)
    for b in range(2):
        for row in range(16):
            for column in range(16):
                nearest, best = -1, -1e9
                for i, face in enumerate(faces):
                    p, q, r = points[b, face].double()
                    sides = torch.stack([q[:2] - p[:2], r[:2] - p[:2]], 1)
                    if torch.linalg.det(sides) <= 1e-6:
                        continue
                    at = torch.tensor([column + 0.5, row + 0.5]).double() - p[:2]
                    v, w = torch.linalg.solve(sides, at)
                    depth = float(p[2] + v * (q[2] - p[2]) + w * (r[2] - p[2]))
                    if min(v, w, 1 - v - w) >= 0 and depth > best:
                        nearest, best = i, depth
                assert drawn[b, row, column] == nearest
    weight = found.weight.sum(1)
    torch.testing.assert_close(weight, torch.ones_like(weight))


def test_normals_of_a_plane_point_to_the_viewer():
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    points = torch.stack([x, y, 0 * x], -1).view(1, -1, 3)
    torch.testing.assert_close(normals(points, grid_faces(4, 5)), torch.tensor([0.0, 0, 1]).expand(1, 20, 3))

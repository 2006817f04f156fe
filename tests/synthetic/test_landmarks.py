"""The named points of all families: they move as the coding system says, and with the head."""

import math

import pytest
import torch

from fedet.faces.points import POINT_INDEX, POINTS
from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.families import RENDERERS, family
from fedet.synthetic.scene import sample_scenes, take

N = 5
pytestmark = pytest.mark.parametrize("name", RENDERERS)


def points_of(name, aus=None, sides=(0, 1), **scene_values):
    """Points {name: (N, 2)} in units of the face, without what the people's heads are turned by."""
    generator = torch.Generator().manual_seed(5)
    look, scene = family(name).sample_looks(N, generator), sample_scenes(N, generator)
    scene |= {key: torch.full((N,), float(value)) for key, value in scene_values.items()}
    values = torch.zeros(N, 2, len(AUS))
    for au, value in (aus or {}).items():
        values[:, list(sides), AU_INDEX[au]] = value
    points = family(name).landmarks(look, values, scene)
    assert points.shape == (N, len(POINTS), 2) and bool(torch.isfinite(points).all())
    points = (points - torch.stack([scene["cx"], scene["cy"]], -1)[:, None]) / scene["scale"][:, None, None]
    return dict(zip(POINTS, points.unbind(1), strict=True))


def shift(name, au, **options):
    before, after = points_of(name), points_of(name, {au: 1.0}, **options)
    return {point: after[point] - before[point] for point in POINTS}


# AU -> points of a side, and the least shift outwards and down that the coding system describes; None: any
DIRECTIONS = {
    1: (["brow_1"], None, -0.08), 2: (["brow_4", "brow_5"], None, -0.05),
    4: (["brow_1", "brow_2"], -0.02, 0.05),
    5: (["upper_lid_2"], None, -0.015), 7: (["lower_lid_2"], None, -0.005), 43: (["upper_lid_2"], None, 0.03),
    12: (["mouth_corner"], 0.06, -0.06), 15: (["mouth_corner"], None, 0.05),
    18: (["mouth_corner"], -0.06, None), 20: (["mouth_corner"], 0.06, None), 9: (["nose_wing"], None, -0.02),
}  # fmt: skip


@pytest.mark.parametrize("au", DIRECTIONS)
def test_points_move_as_the_coding_system_says(name, au):
    names, out, down = DIRECTIONS[au]
    moved = shift(name, au)
    for side, sign in (("left", -1), ("right", 1)):
        for point in names:
            x, y = (moved[f"{point}_{side}"] * torch.tensor([sign, 1])).unbind(1)
            for value, least in ((x, out), (y, down)):
                if least is not None:
                    assert (value * math.copysign(1, least) > abs(least)).all(), (point, value)


def test_lips_open_with_25_and_26_and_close_on_each_other_with_24(name):
    for au, opens in ((25, 0.03), (26, 0.03)):
        moved = shift(name, au)
        gap = moved["lower_lip_inner_2"] - moved["upper_lip_inner_2"]
        assert (gap[:, 1] > opens).all()
    assert (shift(name, 26)["chin"][:, 1] > 0.05).all() and (shift(name, 25)["chin"].abs() < 0.03).all()
    pressed = shift(name, 24)
    assert ((pressed["lower_lip_3"] - pressed["upper_lip_3"])[:, 1] < -0.02).all()


def test_points_of_a_resting_face_are_where_they_belong(name):
    p = points_of(name)
    for side, sign in (("left", -1), ("right", 1)):
        brows, jaw = ([p[f"{part}_{i}_{side}"] for i in range(1, n)] for part, n in (("brow", 6), ("jaw", 5)))
        for row in (brows, jaw, [p[f"eye_{corner}_{side}"] for corner in ("inner", "outer")]):
            x = torch.stack(row)[..., 0] * sign
            assert (x.diff(dim=0) > 0).all() and (x > 0).all()
        down = [p[f"{point}_{side}"][:, 1] for point in
                ("brow_3", "upper_lid_2", "lower_lid_2", "nose_wing", "mouth_corner")]  # fmt: skip
        assert (torch.stack([*down, p["chin"][:, 1]]).diff(dim=0) > 0).all()
    middle = ["nose_1", "nose_4", "nose_base", "upper_lip_3", "lower_lip_3", "under_lip", "chin"]
    assert (torch.stack([p[point][:, 1] for point in middle]).diff(dim=0) > 0).all()


def test_one_side_moves_that_side_alone(name):
    for side, moving, still in ((0, "left", "right"), (1, "right", "left")):
        for au, point in ((12, "mouth_corner"), (2, "brow_5"), (43, "upper_lid_2")):
            moved = shift(name, au, sides=(side,))
            assert (moved[f"{point}_{moving}"].norm(dim=1) > 4 * moved[f"{point}_{still}"].norm(dim=1)).all()


def test_pupils_follow_the_gaze_and_points_the_head(name):
    ahead, aside, turned = points_of(name), points_of(name, gaze_x=0.8), points_of(name, yaw=0.3)
    for side in ("left", "right"):
        assert (aside[f"pupil_{side}"] - ahead[f"pupil_{side}"])[:, 0].gt(0.03).all()
    assert torch.equal(aside["chin"], ahead["chin"])
    assert (turned["nose_4"] - ahead["nose_4"])[:, 0].gt(0.08).all()
    rolled = points_of(name, roll=0.4)  # about a point that families choose for themselves
    c, s = math.cos(0.4), math.sin(0.4)
    for point in ("brow_5_left", "mouth_corner_right", "chin"):
        x, y = (ahead[point] - ahead["nose_base"]).unbind(1)
        expected = torch.stack([c * x - s * y, s * x + c * y], 1)
        torch.testing.assert_close(rolled[point] - rolled["nose_base"], expected, atol=0.05, rtol=0)


def test_a_row_does_not_depend_on_the_rest_of_the_batch(name):
    generator = torch.Generator().manual_seed(1)
    look, scene = family(name).sample_looks(N, generator), sample_scenes(N, generator)
    aus = torch.rand(N, 2, len(AUS), generator=generator)
    together, row = family(name).landmarks(look, aus, scene), torch.tensor([3])
    alone = family(name).landmarks(take(look, row), aus[row], take(scene, row))
    torch.testing.assert_close(alone[0], together[3], atol=1e-4, rtol=0)


def test_the_mouth_is_drawn_between_its_points(name):
    """What parted lips change in the picture is centred on the points of the lips."""
    generator = torch.Generator().manual_seed(5)
    look, scene = family(name).sample_looks(N, generator), sample_scenes(N, generator)
    rest = torch.zeros(N, 2, len(AUS))
    parted = rest.clone()
    parted[:, :, AU_INDEX[25]] = 1
    before, after = (family(name).render(look, aus, scene, 96) for aus in (rest, parted))
    change, axis = (after - before).abs().sum(1), (torch.arange(96) + 0.5) / 96
    centre = torch.stack([(change.sum(row) * axis).sum(1) for row in (1, 2)], 1) / change.sum((1, 2))[:, None]
    lips = [POINT_INDEX[f"{lip}_lip_{i}"] for lip in ("upper", "lower") for i in (2, 3, 4)]
    points = family(name).landmarks(look, parted, scene)[:, lips]
    assert ((centre - points.mean(1)).norm(dim=1) < 0.05).all()

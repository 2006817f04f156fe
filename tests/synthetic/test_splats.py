"""The heads of splats: the skin moves as it should, and points become pixels as they should."""

import pytest
import torch

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.scene import auto_exposure, sample_scenes, take
from fedet.synthetic.splats.eyes import rotation
from fedet.synthetic.splats.head import COLUMNS, EYE, MOUTH, SEAM, normals, template
from fedet.synthetic.splats.looks import sample_looks, skin_colour
from fedet.synthetic.splats.muscles import lid_shifts
from fedet.synthetic.splats.render import render
from fedet.synthetic.splats.screen import FAR, Splats, nearest, splat, spread
from fedet.synthetic.splats.skin import displace


def people(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    look, scene = sample_looks(n, generator), sample_scenes(n, generator)
    scene["scale"] = torch.full((n,), 0.33)
    return look, auto_exposure(look, scene)


def shown(au, n, sides=(0, 1), strength=1.0):
    aus = torch.zeros(n, 2, len(AUS))
    aus[:, list(sides), AU_INDEX[au]] = strength
    return aus


def moved(au, sides=(0, 1), n=4):
    """Shifts (n, 3) of places of the skin, {(x, y, below the slit): ...}, by an action unit."""
    look, _ = people(n)
    gaze = torch.zeros(n)
    shift = displace(look, shown(au, n, sides), gaze).at - displace(look, shown(au, n, ()), gaze).at

    def at(x, y, below=False):
        t = template()
        gap = (t.x - x) ** 2 + (t.y - y) ** 2 + (t.jaw * (y == SEAM) + (1 - t.upper) * (y == EYE[1]) != below)
        return shift.flatten(1, 2)[:, int(gap.argmin())]

    return at


# AU -> a place of the skin and the least shift (outwards, down) that the coding system's description
# asks for; None: any
DIRECTIONS = {
    1: ((0.2, -0.45), None, -0.1), 2: ((0.64, -0.45), None, -0.1), 4: ((0.25, -0.42), -0.04, 0.08),
    6: ((0.5, 0.3), None, -0.06), 9: ((0.19, 0.46), None, -0.06), 10: ((0.17, 0.8), None, -0.06),
    12: ((MOUTH, SEAM), 0.08, -0.08), 15: ((MOUTH, SEAM), None, 0.08), 17: ((0.0, 1.26), None, -0.06),
    18: ((MOUTH, SEAM), -0.08, None), 20: ((MOUTH, SEAM), 0.1, None), 26: ((0.0, 1.4), None, 0.15),
}  # fmt: skip


@pytest.mark.parametrize("au", DIRECTIONS)
def test_the_skin_moves_as_the_coding_system_says(au):
    (x, y), along, down = DIRECTIONS[au]
    at = moved(au)
    for sign in (-1, 1):
        shift = at(sign * x, y)
        for value, least in ((sign * shift[:, 0], along), (shift[:, 1], down)):
            if least is not None:
                assert (value * (1 if least > 0 else -1) > abs(least)).all()


def test_the_lips_part_with_25_and_are_pressed_with_24():
    at = moved(25)
    assert (at(0.0, SEAM, True) - at(0.0, SEAM))[:, 1].gt(0.1).all()
    assert at(0.0, 1.45)[:, 1].abs().max() < 0.03
    at = moved(24)
    assert (at(0.1, 0.8)[:, 1] > 0.03).all() and (at(0.1, 1.03, True)[:, 1] < -0.03).all()


def test_lids_open_wide_narrow_and_shut():
    open_, zero = torch.ones(1), torch.zeros(1)
    gap = {au: float(torch.sub(*lid_shifts(open_, shown(au, 1), zero))[0, 0]) for au in (5, 6, 7, 12, 43)}
    rest = float(torch.sub(*lid_shifts(open_, shown(1, 1), zero))[0, 0])
    assert gap[5] < 1.4 * rest < 0 and gap[43] == pytest.approx(0, abs=1e-6)
    assert rest < gap[6] < -0.02 and rest < gap[7] < -0.02  # above is negative


def test_a_turn_is_a_rotation_towards_where_it_is_meant():
    matrix = rotation(torch.tensor([0.3]), torch.tensor([-0.2]), torch.tensor([0.1]))[0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=1e-6, rtol=0)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1)
    zero, some, ahead = torch.zeros(1), torch.tensor([0.3]), torch.tensor([0.0, 0.0, 1.0])
    assert (rotation(some, zero, zero)[0] @ ahead)[0] > 0.2 < (rotation(zero, some, zero)[0] @ ahead)[1]


def test_more_melanin_is_a_darker_skin_and_a_darker_picture():
    assert (skin_colour(torch.linspace(0, 1, 20)).diff(dim=0) < 0).all()
    look, scene = people(1)
    index = torch.zeros(5, dtype=torch.long)
    look, scene = take(look, index), take(scene, index)
    look["melanin"] = torch.linspace(0, 1, 5)
    cheeks = render(look, torch.zeros(5, 2, len(AUS)), scene, 64)[:, :, 36:44, 24:40].mean((1, 2, 3))
    assert (cheeks.diff() < -0.01).all()


def test_points_are_drawn_as_a_slow_loop_draws_them():
    generator = torch.Generator().manual_seed(4)
    xy, depth = (
        torch.rand(1, 30, 2, generator=generator) * 0.6 + 0.2,
        torch.rand(1, 30, generator=generator),
    )
    fine = Splats(xy, depth, torch.rand(1, 30, 3, generator=generator), torch.ones(1, 30))
    found = nearest(spread(fine, 8), 1, 8)[0, 0]
    slow = torch.full((8, 8), FAR)
    for (x, y), z in zip((xy[0] * 8).tolist(), depth[0].tolist(), strict=True):
        slow[int(y), int(x)] = max(float(slow[int(y), int(x)]), z)
    torch.testing.assert_close(found, slow)
    one = Splats(
        torch.tensor([[[0.5, 0.5]]]),
        torch.ones(1, 1),
        torch.tensor([[[0.2, 0.4, 0.6]]]),
        torch.full((1, 1), 9.0),
    )
    none = Splats(one.xy, one.depth, one.paint, torch.zeros(1, 1))
    for fine, broad in ((one, none), (none, one)):
        colour, alpha = splat(fine, broad, 8)
        assert float(alpha.max()) == 1 and float(alpha[0, 0, 0, 0]) == 0
        torch.testing.assert_close(colour[0, :, 3, 3], torch.tensor([0.2, 0.4, 0.6]))


def test_normals_of_a_plane_point_to_the_viewer():
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    points = torch.stack([x, y, 0 * x], -1)[None]
    torch.testing.assert_close(normals(points, (2,)), torch.tensor([0.0, 0, 1]).expand(1, 4, 5, 3))
    assert template().x.shape[1] == COLUMNS

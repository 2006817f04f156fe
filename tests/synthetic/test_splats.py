"""The heads of splats: muscles move what they should, nothing else decides the pixels, no network learns."""

import ast
from pathlib import Path

import pytest
import torch

import fedet
from fedet.analysis.fairness import ATTRIBUTES
from fedet.errors import InputError
from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.families import FAMILIES, HELD_OUT, RENDERERS, check_teaches, family
from fedet.synthetic.scene import auto_exposure, sample_scenes, take
from fedet.synthetic.splats.eyes import rotation
from fedet.synthetic.splats.head import COLUMNS, EYE, MOUTH, SEAM, normals, template
from fedet.synthetic.splats.looks import sample_looks, skin_colour
from fedet.synthetic.splats.muscles import lid_shifts
from fedet.synthetic.splats.render import render
from fedet.synthetic.splats.screen import FAR, Splats, nearest, splat, spread
from fedet.synthetic.splats.skin import displace
from fedet.training.pretraining import PretrainConfig, pretrain

PACKAGE = Path(fedet.__file__).parent
OTHERS = ("relief", "mesh")


def people(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    look, scene = sample_looks(n, generator), sample_scenes(n, generator)
    scene["scale"] = torch.full((n,), 0.33)
    return look, auto_exposure(look, scene)


def shown(au, n, sides=(0, 1), strength=1.0):
    aus = torch.zeros(n, 2, len(AUS))
    aus[:, list(sides), AU_INDEX[au]] = strength
    return aus


@torch.inference_mode()
def change(au, sides=(0, 1), size=72, n=4, seed=0):
    """How much an action unit changes the pixels of n people, (n, size, size)."""
    look, scene = people(n, seed)
    rest = render(look, torch.zeros(n, 2, len(AUS)), scene, size)
    return (render(look, shown(au, n, sides), scene, size) - rest).abs().sum(1)


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


def test_pictures_are_sound_with_and_without_the_optional_part_of_a_scene():
    look, scene = people(5)
    aus = torch.rand(5, 2, len(AUS), generator=torch.Generator().manual_seed(1))
    plain = render(look, aus, scene, 64)
    assert plain.shape == (5, 3, 64, 64) and plain.dtype == torch.float32
    assert bool(torch.isfinite(plain).all()) and float(plain.std()) > 0.05
    assert float(plain.min()) >= 0 and float(plain.max()) <= 1
    zero = torch.zeros(5)
    named = scene | {"gaze_x": zero, "gaze_y": zero, "hand": zero, "hand_x": zero, "hand_y": zero}
    torch.testing.assert_close(render(look, aus, named, 64), plain)
    hidden = named | {"hand": torch.ones(5), "hand_y": torch.full((5,), 0.7)}
    assert ((render(look, aus, hidden, 64) - plain).abs().mean((1, 2, 3)) > 0.005).all()
    aside = named | {"gaze_x": torch.full((5,), 0.8)}
    assert (
        (render(look, aus * 0, aside, 64) - render(look, aus * 0, named, 64)).abs().amax((1, 2, 3)) > 0.02
    ).all()


def test_the_same_seed_gives_the_same_people_and_pixels():
    (look, scene), (again, _) = people(3), people(3)
    aus = torch.full((3, 2, len(AUS)), 0.3)
    assert all(torch.equal(look[k], again[k]) for k in look)
    assert torch.equal(render(look, aus, scene, 48), render(again, aus, scene, 48))
    other, _ = people(3, seed=1)
    assert not torch.equal(look["skin"], other["skin"])


def test_a_face_looks_the_same_in_any_batch():
    look, scene = people(4)
    aus = torch.rand(4, 2, len(AUS), generator=torch.Generator().manual_seed(2))
    together = render(look, aus, scene, 64)
    for i in range(4):
        row = torch.tensor([i])
        alone = render(take(look, row), aus[row], take(scene, row), 64)[0]
        assert float((alone - together[i]).abs().mean()) < 1e-4


# rows and columns of the picture (0 top or left, 1 bottom or right) where an action unit shows most
PLACES = {
    1: ((0.05, 0.5), (0.15, 0.85)), 2: ((0.05, 0.5), (0, 1)), 4: ((0.15, 0.55), (0.15, 0.85)),
    5: ((0.25, 0.5), (0.2, 0.8)), 6: ((0.25, 0.75), (0.1, 0.9)), 7: ((0.25, 0.55), (0.15, 0.85)),
    9: ((0.25, 0.85), (0.2, 0.8)), 10: ((0.45, 0.85), (0.25, 0.75)), 12: ((0.4, 0.9), (0.15, 0.85)),
    14: ((0.55, 0.9), (0.2, 0.8)), 15: ((0.55, 0.95), (0.2, 0.8)), 17: ((0.6, 1), (0.2, 0.8)),
    18: ((0.55, 0.95), (0.15, 0.85)), 20: ((0.55, 0.95), (0.15, 0.85)), 24: ((0.55, 0.9), (0.2, 0.8)),
    25: ((0.6, 0.9), (0.3, 0.7)), 26: ((0.6, 1), (0.1, 0.9)), 43: ((0.25, 0.5), (0.2, 0.8)),
}  # fmt: skip


@pytest.mark.parametrize("au", AUS)
def test_an_action_unit_changes_its_part_of_the_face(au):
    where = change(au)
    assert (where.mean((1, 2)) > 4e-4).all()
    where = where.mean(0)
    (top, bottom), (left, right) = ([round(v * len(where)) for v in pair] for pair in PLACES[au])
    assert where[top:bottom, left:right].sum() > 0.75 * where.sum()


@pytest.mark.parametrize("au", [2, 4, 6, 12, 14, 43])
def test_one_side_moves_mostly_that_side(au):
    for side in (0, 1):
        halves = change(au, sides=(side,)).sum((0, 1)).view(2, -1).sum(1)
        assert halves[side] > 4 * halves[1 - side]


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


def test_intensity_grows_and_motion_is_smooth_in_time():
    look, scene = people(1)
    index, steps = torch.zeros(21, dtype=torch.long), torch.linspace(0, 1, 21)
    aus = torch.zeros(21, 2, len(AUS))
    for au in (1, 2, 12, 25, 26):
        aus[:, :, AU_INDEX[au]] = steps[:, None]
    frames = render(take(look, index), aus, take(scene, index), 64)
    jumps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    far = (frames - frames[0]).abs().mean((1, 2, 3))
    assert far[20] > far[10] > far[5] > 0
    assert jumps.max() < 3 * jumps.median()


def test_a_turning_head_does_not_flicker():
    look, scene = people(2, seed=3)
    index = torch.arange(2).repeat_interleave(21)
    still = take(scene, index) | {"yaw": torch.linspace(-0.2, 0.2, 21).repeat(2)}
    frames = render(take(look, index), torch.zeros(42, 2, len(AUS)), still, 64).view(2, 21, 3, 64, 64)
    jumps = (frames[:, 1:] - frames[:, :-1]).abs().mean((2, 3, 4))
    assert (jumps.amax(1) < 2.5 * jumps.median(1).values).all()


def test_a_turn_is_a_rotation_towards_where_it_is_meant():
    matrix = rotation(torch.tensor([0.3]), torch.tensor([-0.2]), torch.tensor([0.1]))[0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=1e-6, rtol=0)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1)
    zero, some, ahead = torch.zeros(1), torch.tensor([0.3]), torch.tensor([0.0, 0.0, 1.0])
    assert (rotation(some, zero, zero)[0] @ ahead)[0] > 0.2 < (rotation(zero, some, zero)[0] @ ahead)[1]


def test_skin_tones_are_spread_from_light_to_dark_and_groups_are_known():
    look = sample_looks(400, torch.Generator().manual_seed(0))
    light = look["skin"].mean(1)
    assert light.quantile(0.95) > 0.7 and light.quantile(0.05) < 0.3
    assert all(len(v) == 400 and bool(torch.isfinite(v).all()) for v in look.values())
    tones = skin_colour(torch.linspace(0, 1, 20))
    assert (tones.diff(dim=0) < 0).all()
    for name, group in ATTRIBUTES.items():
        found = {group(take(look, torch.tensor([i]))) for i in range(400)}
        assert len(found) == (3 if name in ("skin tone", "age") else 2)


def test_a_darker_skin_is_a_darker_picture():
    look, scene = people(1)
    index = torch.zeros(5, dtype=torch.long)
    look, scene = take(look, index), take(scene, index)
    look["melanin"] = torch.linspace(0, 1, 5)
    cheeks = render(look, torch.zeros(5, 2, len(AUS)), scene, 64)[:, :, 36:44, 24:40].mean((1, 2, 3))
    assert (cheeks.diff() < -0.01).all()


def test_points_are_drawn_as_a_slow_loop_draws_them():
    generator = torch.Generator().manual_seed(4)
    place, depth = (
        torch.rand(1, 30, 2, generator=generator) * 0.6 + 0.2,
        torch.rand(1, 30, generator=generator),
    )
    fine = Splats(place, depth, torch.rand(1, 30, 3, generator=generator), torch.ones(1, 30))
    found = nearest(spread(fine, 8), 1, 8)[0, 0]
    slow = torch.full((8, 8), FAR)
    for (x, y), z in zip((place[0] * 8).tolist(), depth[0].tolist(), strict=True):
        slow[int(y), int(x)] = max(float(slow[int(y), int(x)]), z)
    torch.testing.assert_close(found, slow)
    one = Splats(
        torch.tensor([[[0.5, 0.5]]]),
        torch.ones(1, 1),
        torch.tensor([[[0.2, 0.4, 0.6]]]),
        torch.full((1, 1), 9.0),
    )
    none = Splats(one.place, one.depth, one.paint, torch.zeros(1, 1))
    for fine, broad in ((one, none), (none, one)):
        colour, alpha = splat(fine, broad, 8)
        assert float(alpha.max()) == 1 and float(alpha[0, 0, 0, 0]) == 0
        torch.testing.assert_close(colour[0, :, 3, 3], torch.tensor([0.2, 0.4, 0.6]))


def test_normals_of_a_plane_point_to_the_viewer():
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    points = torch.stack([x, y, 0 * x], -1)[None]
    torch.testing.assert_close(normals(points, (2,)), torch.tensor([0.0, 0, 1]).expand(1, 4, 5, 3))
    assert template().x.shape[1] == COLUMNS


def test_it_shares_no_drawing_code_with_the_families_that_teach():
    lent = {"AUS", "AU_INDEX", "Look", "Scene", "take", "uniform", "chance"}  # the contract, and dice
    for path in PACKAGE.glob("splats*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fedet."):
                name = node.module.removeprefix("fedet.")
                assert not name.startswith(OTHERS)
                assert name != "render" or {a.name for a in node.names} <= lent
    for path in PACKAGE.glob("*.py"):
        if path.name.startswith((*OTHERS, "render")):
            assert "splats" not in path.read_text()


def test_no_network_may_learn_from_it(tmp_path):
    assert HELD_OUT == ("splats",) and set(RENDERERS) == set(FAMILIES) | set(HELD_OUT)
    assert not set(PretrainConfig().families) & set(HELD_OUT)
    assert family("splats").render is render
    with pytest.raises(InputError, match="'splats', which is kept for tests"):
        check_teaches(("shapes", "splats"))
    with pytest.raises(InputError, match="kept for tests"):
        pretrain(tmp_path / "none", PretrainConfig(families=("splats",)))
    assert not (tmp_path / "none").exists()

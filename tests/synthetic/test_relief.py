"""The heads in relief: muscles move what they should, and nothing else decides the pixels."""

import pytest
import torch

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.relief.head import REACH, nodes, packed, unpacked
from fedet.synthetic.relief.render import render, sample_looks
from fedet.synthetic.scene import auto_exposure, sample_scenes, take


def people(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    look, scene = sample_looks(n, generator), sample_scenes(n, generator)
    scene["scale"] = torch.full((n,), 0.33)
    return look, auto_exposure(look, scene)


@torch.inference_mode()
def change(au, sides=(0, 1), size=72, n=6, seed=0):
    """How much an action unit changes the pixels of n people, (n, size, size)."""
    look, scene = people(n, seed)
    rest = torch.zeros(n, 2, len(AUS))
    aus = rest.clone()
    aus[:, list(sides), AU_INDEX[au]] = 1
    return (render(look, aus, scene, size) - render(look, rest, scene, size)).abs().sum(1)


def test_pictures_are_sound_with_and_without_the_optional_part_of_a_scene():
    look, scene = people(5)
    aus = torch.rand(5, 2, len(AUS), generator=torch.Generator().manual_seed(1))
    plain = render(look, aus, scene, 64)
    assert plain.shape == (5, 3, 64, 64)
    assert float(plain.min()) >= 0 and float(plain.max()) <= 1 and float(plain.std()) > 0.05
    zero = torch.zeros(5)
    named = scene | {"gaze_x": zero, "gaze_y": zero, "hand": zero, "hand_x": zero, "hand_y": zero}
    torch.testing.assert_close(render(look, aus, named, 64), plain)
    hidden = named | {"hand": torch.ones(5), "hand_y": torch.full((5,), 0.7)}
    assert ((render(look, aus, hidden, 64) - plain).abs().mean((1, 2, 3)) > 0.005).all()


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
    all_ = render(look, aus, scene, 64)
    for i in range(4):
        row = torch.tensor([i])
        torch.testing.assert_close(
            render(take(look, row), aus[row], take(scene, row), 64)[0], all_[i], atol=2e-3, rtol=0
        )


# rows and columns of the picture (0 top or left, 1 bottom or right) where an action unit shows most
PLACES = {
    1: ((0.05, 0.5), (0.15, 0.85)), 2: ((0.05, 0.5), (0, 1)), 4: ((0.15, 0.55), (0.15, 0.85)),
    5: ((0.25, 0.5), (0.2, 0.8)), 6: ((0.25, 0.75), (0.1, 0.9)), 7: ((0.25, 0.55), (0.15, 0.85)),
    9: ((0.25, 0.85), (0.2, 0.8)), 10: ((0.45, 0.85), (0.25, 0.75)), 12: ((0.45, 0.9), (0.15, 0.85)),
    14: ((0.55, 0.9), (0.2, 0.8)), 15: ((0.55, 0.95), (0.2, 0.8)), 17: ((0.6, 1), (0.25, 0.75)),
    18: ((0.55, 0.95), (0.2, 0.8)), 20: ((0.55, 0.95), (0.15, 0.85)), 24: ((0.55, 0.9), (0.2, 0.8)),
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


def test_intensity_grows_and_motion_is_smooth_in_time():
    look, scene = people(1)
    index, steps = torch.zeros(41, dtype=torch.long), torch.linspace(0, 1, 41)
    aus = torch.zeros(41, 2, len(AUS))
    for au in (1, 2, 12, 25, 26):
        aus[:, :, AU_INDEX[au]] = steps[:, None]
    frames = render(take(look, index), aus, take(scene, index), 64)
    jumps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    far = (frames - frames[0]).abs().mean((1, 2, 3))
    assert far[40] > far[20] > far[10] > 0
    assert jumps.max() < 3 * jumps.median()


def test_a_turning_head_does_not_flicker():
    look, scene = people(2, seed=3)
    index = torch.arange(2).repeat_interleave(21)
    still = take(scene, index) | {"yaw": torch.linspace(-0.2, 0.2, 21).repeat(2)}
    frames = render(take(look, index), torch.zeros(42, 2, len(AUS)), still, 64).view(2, 21, 3, 64, 64)
    jumps = (frames[:, 1:] - frames[:, :-1]).abs().mean((2, 3, 4))
    assert (jumps.amax(1) < 2.5 * jumps.median(1).values).all()


def test_packing_of_the_grid_can_be_undone():
    s = torch.linspace(-REACH, REACH, 101)
    torch.testing.assert_close(unpacked(packed(s)), s, atol=1e-4, rtol=1e-4)
    assert nodes(33).shape == (2, 33, 33)
    assert (nodes(33)[0].diff(dim=1) > 0).all() and (nodes(33)[1].diff(dim=0) > 0).all()


def test_skin_tones_are_spread_from_light_to_dark():
    look = sample_looks(400, torch.Generator().manual_seed(0))
    light = look["skin"].mean(1)
    assert light.quantile(0.95) > 0.7 and light.quantile(0.05) < 0.3
    assert all(len(v) == 400 and bool(torch.isfinite(v).all()) for v in look.values())

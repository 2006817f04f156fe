"""What every family of faces keeps to, on small pictures; see `fedet.synthetic.families`."""

from functools import cache

import pytest
import torch
from torch import Tensor

from fedet.analysis.fairness import ATTRIBUTES
from fedet.errors import InputError
from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.families import FAMILIES, HELD_OUT, RENDERERS, check_teaches, family
from fedet.synthetic.scene import auto_exposure, sample_scenes, take
from fedet.training.pretraining import PretrainConfig, pretrain

SIZE = 24
ONE_SIDED = (2, 4, 6, 12, 14, 43)
PEOPLE = 4
# rows and columns of the picture (0 top or left, 1 bottom or right) where an action unit shows most
REGIONS = {
    1: ((0.05, 0.5), (0.12, 0.88)), 2: ((0.05, 0.5), (0, 1)), 4: ((0.1, 0.55), (0.12, 0.88)),
    5: ((0.2, 0.55), (0.15, 0.85)), 6: ((0.2, 0.8), (0.05, 0.95)), 7: ((0.2, 0.6), (0.1, 0.9)),
    9: ((0.2, 0.88), (0.15, 0.85)), 10: ((0.4, 0.9), (0.2, 0.8)), 12: ((0.4, 0.92), (0.1, 0.9)),
    14: ((0.5, 0.92), (0.15, 0.85)), 15: ((0.5, 0.98), (0.15, 0.85)), 17: ((0.55, 1), (0.15, 0.85)),
    18: ((0.5, 0.95), (0.15, 0.85)), 20: ((0.5, 0.95), (0.1, 0.9)), 24: ((0.5, 0.92), (0.15, 0.85)),
    25: ((0.55, 0.95), (0.2, 0.8)), 26: ((0.55, 1), (0.05, 0.95)), 43: ((0.2, 0.55), (0.12, 0.88)),
}  # fmt: skip

pytestmark = pytest.mark.parametrize("name", RENDERERS)


def people(name: str, n: int = PEOPLE, seed: int = 0) -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(seed)
    look, scene = family(name).sample_looks(n, generator), sample_scenes(n, generator)
    return look, auto_exposure(look, scene | {"scale": torch.full((n,), 0.33)})


def showing(au: int | None, sides: tuple[int, ...] = (0, 1), n: int = PEOPLE) -> Tensor:
    aus = torch.zeros(n, 2, len(AUS))
    if au is not None:
        aus[:, list(sides), AU_INDEX[au]] = 1
    return aus


def mixture(n: int = PEOPLE, seed: int = 1) -> Tensor:
    return torch.rand(n, 2, len(AUS), generator=torch.Generator().manual_seed(seed))


@cache
@torch.inference_mode()
def change(name: str, au: int, sides: tuple[int, ...] = (0, 1)) -> Tensor:
    """How much an action unit changes the pixels of each person, (PEOPLE, SIZE, SIZE)."""
    look, scene = people(name)
    before, after = (family(name).render(look, showing(a, sides), scene, SIZE) for a in (None, au))
    return (after - before).abs().sum(1)


def test_pictures_have_their_shape_and_range_for_extreme_input(name):
    look, scene = people(name, 6)
    scene |= {"yaw": torch.linspace(-0.6, 0.6, 6), "pitch": torch.linspace(0.4, -0.4, 6)}
    scene |= {"roll": torch.linspace(-0.2, 0.2, 6), "scale": torch.linspace(0.2, 0.6, 6)}
    for aus in (showing(None, n=6), mixture(6), torch.ones(6, 2, len(AUS))):
        pictures = family(name).render(look, aus, scene, SIZE)
        assert pictures.shape == (6, 3, SIZE, SIZE) and pictures.dtype == torch.float32
        assert bool(torch.isfinite(pictures).all()) and float(pictures.std()) > 0.05
        assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1


def test_gaze_and_hand_may_be_left_out_and_show_where_they_are_given(name):
    look, scene = people(name, 2)
    render, rest, zero = family(name).render, showing(None, n=2), torch.zeros(2)
    without = render(look, rest, scene, 96)
    explicit = scene | dict.fromkeys(("gaze_x", "gaze_y", "hand", "hand_x", "hand_y"), zero)
    torch.testing.assert_close(render(look, rest, explicit, 96), without)
    hidden = explicit | {"hand": torch.ones(2), "hand_y": torch.full((2,), 0.7)}
    assert ((render(look, rest, hidden, 96) - without).abs().mean((1, 2, 3)) > 0.005).all()
    aside = explicit | {"gaze_x": torch.full((2,), 0.8)}
    assert ((render(look, rest, aside, 96) - without).abs().amax((1, 2, 3)) > 0.02).all()


def test_the_seed_decides_the_people_and_no_other_random_number_the_pixels(name):
    (look, scene), (again, _), (other, _) = people(name), people(name), people(name, seed=1)
    assert all(torch.equal(look[key], again[key]) for key in look)
    assert not torch.equal(look["skin"], other["skin"])
    torch.manual_seed(0)
    first = family(name).render(look, mixture(), scene, SIZE)
    torch.manual_seed(1)
    assert torch.equal(first, family(name).render(again, mixture(), scene, SIZE))


def test_a_picture_does_not_depend_on_the_rest_of_the_batch(name):
    look, scene = people(name)
    scene["roll"] = torch.linspace(-0.2, 0.2, PEOPLE)
    together = family(name).render(look, mixture(), scene, 48)
    for i in range(PEOPLE):
        row = torch.tensor([i])
        alone = family(name).render(take(look, row), mixture()[row], take(scene, row), 48)[0]
        assert float((alone - together[i]).abs().mean()) < 2e-3


@pytest.mark.parametrize("au", AUS)
def test_an_action_unit_changes_its_part_of_the_face(name, au):
    pixels = change(name, au)
    assert (pixels.mean((1, 2)) > 2e-4).all()
    pixels = pixels.mean(0)
    (top, bottom), (left, right) = ([round(v * SIZE) for v in pair] for pair in REGIONS[au])
    assert pixels[top:bottom, left:right].sum() > 0.75 * pixels.sum()


@pytest.mark.parametrize("au", ONE_SIDED)
def test_one_side_moves_mostly_that_side(name, au):
    for side in (0, 1):
        halves = change(name, au, (side,)).sum((0, 1)).view(2, -1).sum(1)
        assert halves[side] > 4 * halves[1 - side]


def test_intensity_grows_and_motion_is_smooth_in_time(name):
    look, scene = people(name, 1)
    index = torch.zeros(21, dtype=torch.long)
    full = sum(showing(au, n=1) for au in (1, 2, 12, 25, 26))
    aus = full * torch.linspace(0, 1, 21)[:, None, None]
    frames = family(name).render(take(look, index), aus, take(scene, index), 48)
    jumps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    far = (frames - frames[0]).abs().mean((1, 2, 3))
    assert far[20] > far[10] > far[5] > 0
    assert jumps.max() < 3 * jumps.median()


def test_a_turning_head_does_not_flicker(name):
    look, scene = people(name, 1, seed=3)
    index = torch.zeros(21, dtype=torch.long)
    turning = take(scene, index) | {"yaw": torch.linspace(-0.2, 0.2, 21)}
    frames = family(name).render(take(look, index), showing(None, n=21), turning, 48)
    jumps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    assert jumps.max() < 2.5 * jumps.median()


def test_people_differ_in_skin_tone_age_glasses_and_beards(name):
    look = family(name).sample_looks(400, torch.Generator().manual_seed(0))
    assert all(len(value) == 400 and bool(torch.isfinite(value).all()) for value in look.values())
    light = look["skin"].mean(1)
    assert light.quantile(0.95) > 0.7 and light.quantile(0.05) < 0.3
    assert (torch.histc(look["tone"], 5, 0, 1) / 400 - 0.2).abs().max() < 0.08
    for attribute, group in ATTRIBUTES.items():
        groups = {group(take(look, torch.tensor([i]))) for i in range(400)}
        assert len(groups) == (3 if attribute in ("skin tone", "age") else 2)


def test_networks_learn_from_all_but_those_held_out(name, tmp_path):
    if name in FAMILIES:
        check_teaches((name,))
        assert name in PretrainConfig().families and name not in HELD_OUT
        return
    with pytest.raises(InputError, match=f"{name!r}, which is kept for tests"):
        check_teaches(("shapes", name))
    with pytest.raises(InputError, match="kept for tests"):
        pretrain(tmp_path / "none", PretrainConfig(families=(name,)))
    assert not (tmp_path / "none").exists() and name not in PretrainConfig().families

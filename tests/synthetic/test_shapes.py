"""The faces: action units move what they should, and nothing else decides the pixels."""

import pytest
import torch

from fedet.intervals import AU_INDEX, AUS
from fedet.synthetic.scene import auto_exposure, sample_scenes, take
from fedet.synthetic.shapes import render, sample_looks


def people(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    look, scene = sample_looks(n, generator), sample_scenes(n, generator)
    return look, auto_exposure(look, scene)


def face(aus: dict[int, float], seed=0, size=96, **scene_values):
    look, scene = people(1, seed)
    vector = torch.zeros(1, 2, len(AUS))
    for au, value in aus.items():
        vector[:, :, AU_INDEX[au]] = value
    scene |= {k: torch.full((1,), float(v)) for k, v in scene_values.items()}
    return render(look, vector, scene, size)[0]


# rows of the picture (0 top, 1 bottom) that an AU moves most: brows, eyes, nose or mouth
PLACES = {
    1: (0.15, 0.45), 2: (0.15, 0.45), 4: (0.15, 0.5), 5: (0.2, 0.5), 43: (0.3, 0.5),
    9: (0.2, 0.85), 12: (0.5, 0.9), 15: (0.55, 0.95),
    17: (0.6, 0.98), 24: (0.6, 0.9), 25: (0.6, 0.9), 26: (0.6, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("au", PLACES)
def test_an_action_unit_changes_its_part_of_the_face(au):
    change = torch.stack([(face({au: 1.0}, seed) - face({}, seed)).abs().mean((0, 2)) for seed in range(6)])
    profile = change.mean(0)
    low, high = (round(p * len(profile)) for p in PLACES[au])
    assert profile.sum() > 0.02
    assert profile[low:high].sum() > 0.75 * profile.sum()


def test_every_action_unit_is_visible():
    for au in AUS:
        change = max(float((face({au: 1.0}, seed) - face({}, seed)).abs().mean()) for seed in range(4))
        assert change > 3e-4, au


def test_intensity_grows_with_the_change():
    steps = [face({12: v}) for v in (0.0, 0.25, 0.5, 1.0)]
    changes = [float((s - steps[0]).abs().mean()) for s in steps]
    assert changes == sorted(changes)


def test_left_side_alone_changes_the_left_half():
    look, scene = people(1)
    aus = torch.zeros(1, 2, len(AUS))
    rest = render(look, aus, scene, 96)
    aus[:, 0, AU_INDEX[6]] = 1
    change = (render(look, aus, scene, 96) - rest).abs().sum((0, 1, 2))
    assert change[:44].sum() > 10 * change[52:].sum()


def test_same_seed_same_pixels_and_other_seed_other_person():
    assert torch.equal(face({12: 0.5}, 3), face({12: 0.5}, 3))
    assert float((face({}, 3) - face({}, 4)).abs().mean()) > 0.02


def test_a_row_does_not_depend_on_the_rest_of_the_batch():
    look, scene = people(5)
    aus = torch.rand(5, 2, len(AUS), generator=torch.Generator().manual_seed(1))
    scene["roll"] = torch.linspace(-0.2, 0.2, 5)
    together = render(look, aus, scene, 80)
    for i in range(5):
        row = torch.tensor([i])
        alone = render(take(look, row), aus[row], take(scene, row), 80)
        assert float((alone[0] - together[i]).abs().mean()) < 2e-3


def test_values_are_pictures_for_extreme_input():
    look, scene = people(8)
    scene |= {"yaw": torch.linspace(-0.6, 0.6, 8), "scale": torch.linspace(0.2, 0.6, 8)}
    image = render(look, torch.ones(8, 2, len(AUS)), scene, 64)
    assert torch.isfinite(image).all() and image.min() >= 0 and image.max() <= 1


def test_skin_tones_are_spread_evenly():
    look, _ = people(4000)
    bright = look["skin"].mean(1)
    assert bright.min() < 0.25 and bright.max() > 0.8
    share = torch.histc(look["tone"], 5, 0, 1) / 4000
    assert (share - 0.2).abs().max() < 0.03

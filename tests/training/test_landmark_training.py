"""The landmark network: its people, where points go in a crop, a short training, its files."""

import numpy as np
import pytest
import torch

from fedet.errors import InputError
from fedet.faces.landmarks import LandmarkNet, load_landmarks, save_landmarks
from fedet.faces.points import POINTS
from fedet.training.landmarks import learning
from fedet.training.landmarks.learning import LandmarkConfig, draw_batches, fit, landmark_losses, place_points
from fedet.training.landmarks.people import FRAMES, draw_further, open_bank
from fedet.training.pretraining import cut_turned, sample_turns


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    bank = open_bank(tmp_path_factory.mktemp("bank"), 5, 4)
    draw_further(bank, 5, "shapes", 4)
    return bank


def test_the_first_picture_of_a_person_shows_nothing_and_points_lie_in_the_picture(bank):
    assert not bank["labels"][:, 0].any() and not bank["spoken"][:, 0].any()
    assert bank["shown"].any() and bank["spoken"].any()
    assert ((bank["points"] > -0.1) & (bank["points"] < 1.1)).all()


def test_drawing_goes_on_where_it_stopped(bank, tmp_path, monkeypatch):
    monkeypatch.setattr("fedet.training.landmarks.people.STEP", 2)
    once, parts = open_bank(tmp_path / "once", 5, 4), open_bank(tmp_path / "parts", 5, 4)
    draw_further(once, 5, "shapes", 4)
    draw_further(parts, 5, "shapes", 2)
    assert parts["drawn"][0] == 2 and not parts["images"][2:].any()
    draw_further(open_bank(tmp_path / "parts", 5, 4), 5, "shapes", 4)
    for name in once:
        np.testing.assert_array_equal(once[name], parts[name])


def test_points_go_where_the_crop_shows_them():
    """A bright dot in the picture is in the crop where its point is."""
    side, m = 64, 8
    points = torch.rand(m, len(POINTS), 2, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.35
    dot = torch.tensor([0.55, 0.4])
    middle = POINTS.index("nose_2")  # its own mirror image
    points[:, middle] = dot
    grid = (torch.arange(side) + 0.5) / side
    picture = torch.exp(-((grid[None] - dot[0]) ** 2 + (grid[:, None] - dot[1]) ** 2) / (2 * 0.03**2))
    images = (255 * picture).to(torch.uint8).expand(m, 3, side, side)
    theta = sample_turns(m // 4, 4, torch.Generator().manual_seed(2), (0.8, 1.05), 0.3, 0.2)
    assert (torch.linalg.det(theta[:, :, :2]) < 0).any()  # some are mirrored
    crops = cut_turned(images, theta, side)[:, 0]
    found = torch.stack([(crops.sum(1) * grid).sum(1), (crops.sum(2) * grid).sum(1)], 1)
    found = found / crops.sum((1, 2))[:, None]
    torch.testing.assert_close(place_points(points, theta)[:, middle], found, atol=0.02, rtol=0)


def test_a_sure_network_loses_more_by_being_wrong(bank):
    truth = next(draw_batches([bank], 2, torch.Generator().manual_seed(1)))
    net, state = LandmarkNet(), torch.zeros(2 * FRAMES, 256)
    off = truth["points"] + 0.1

    def loss(points, spread):
        spreads = torch.full(points.shape[:2], spread)
        return float(landmark_losses(net, (points, spreads, state), truth)["points"])

    assert loss(truth["points"], 0.01) < loss(truth["points"], 0.1)
    assert loss(off, 0.01) > loss(off, 0.1)


def test_a_training_stores_what_it_learned_and_goes_on_from_there(bank, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "evaluate_landmarks", lambda net, bank: {"error": 0.0})
    config = LandmarkConfig(people=4, families=("shapes",), passes=2, batch=2)
    fit(tmp_path, config, [bank], {"shapes": bank}, None)
    first = load_landmarks(tmp_path)
    fit(tmp_path, config, [bank], {"shapes": bank}, None)  # nothing is left to learn
    again = load_landmarks(tmp_path)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    learning.add_geometry(tmp_path, config, [bank])
    wiser = load_landmarks(tmp_path)
    assert torch.equal(wiser.change.weight, first.change.weight)
    assert not torch.equal(wiser.geometry[0].weight, first.geometry[0].weight)
    points, spread, state = first(torch.randn(3, 3, 96, 96))
    assert points.shape == (3, len(POINTS), 2) and spread.shape == (3, len(POINTS)) and len(state) == 3
    assert (spread > 0).all()


def test_held_out_families_and_other_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="splats"):
        LandmarkConfig(families=("splats",))
    save_landmarks(tmp_path, LandmarkNet(), {})
    from safetensors.torch import load_file, save_file

    state = load_file(tmp_path / "model.safetensors")
    state["speech.weight"] = state["speech.weight"] * float("nan")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="landmark network"):
        load_landmarks(tmp_path)


@pytest.mark.slow
def test_the_shipped_weights_find_points_in_a_family_that_taught_nothing(tmp_path):
    bank = open_bank(tmp_path, 7, 16)
    draw_further(bank, 7, "splats", 16)
    figures = learning.evaluate_landmarks(load_landmarks(), bank)
    assert figures["error"] < 0.15  # of the distance between the pupils; a mean face has 0.3 and more
    assert 0.4 < figures["spread"] / figures["error"] < 2

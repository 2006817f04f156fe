"""Explanations agree with the network that they explain."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch

import fedet.analysis.explanation
from fedet.analysis.explanation import au_curves, evidence_map, reasons, sentence, smooth_map
from fedet.detection import detect_in, load_detector
from fedet.errors import InputError
from fedet.faces.network import WIDTH, vectors_of
from fedet.faces.vectors import STATES, FaceTrack
from fedet.intervals import AUS
from fedet.synthetic.expressions import pattern
from fedet.synthetic.scene import sample_scenes
from fedet.synthetic.shapes import render, sample_looks


@pytest.fixture(scope="module")
def detector():
    return load_detector()


@pytest.fixture(scope="module")
def smile(detector):
    """Crops of one generated face, at rest and smiling."""
    generator = torch.Generator().manual_seed(8)
    look, scene = sample_looks(1, generator), sample_scenes(1, generator)
    aus = torch.stack([pattern({}), pattern({12: 1.0, 6: 0.8, 25: 0.6})])[:, None].expand(2, 2, 18)
    two = {name: value.expand(2, *value.shape[1:]) for name, value in look.items()}
    scene = {name: value.expand(2, *value.shape[1:]) for name, value in scene.items()}
    pictures = (render(two, aus, scene, 112) * 255).clamp(0, 255).to(torch.uint8)
    return pictures.permute(0, 2, 3, 1).numpy()


# ---------------------------------------------------------------- evidence on the face


@pytest.mark.parametrize("target", [12, 4, "positive", "surprise"])
def test_the_last_layers_map_adds_up_to_the_change_of_the_read_out(detector, smile, target):
    rest, face = smile
    heads, v = detector.net.heads, vectors_of(detector.net, np.stack([face, rest]))
    change = v[0] - v[1]
    if isinstance(target, int):
        told = heads["aus"].weight[AUS.index(target)] @ change
    else:
        told = (
            heads["change"].weight[1 + ("positive", "negative", "surprise", "others").index(target)] @ change
        )
    assert evidence_map(detector.net, face, rest, target).sum() == pytest.approx(float(told), abs=2e-3)


def test_without_a_change_there_is_no_evidence(detector, smile):
    flat = evidence_map(detector.net, smile[0], smile[0], 12, "layer3")
    assert np.abs(flat).max() < 1e-4 and flat.shape == (7, 7)
    assert smooth_map(np.zeros((4, 4), np.float32), 8).tolist() == np.zeros((8, 8)).tolist()


def test_unknown_targets_and_layers_are_quoted(detector, smile):
    with pytest.raises(InputError, match="99"):
        evidence_map(detector.net, *smile, 99)
    with pytest.raises(InputError, match="joy"):
        evidence_map(detector.net, *smile, "joy")
    with pytest.raises(InputError, match="layer9"):
        evidence_map(detector.net, *smile, 12, "layer9")


# ---------------------------------------------------------------- reasons


@pytest.fixture(scope="module")
def staged(detector):
    """Vectors that rest, then move along the read-outs of AU12 and AU6 from second 4.0 to 6.0."""
    rng = np.random.default_rng(0)
    rows = detector.net.heads["aus"].weight.numpy()[[AUS.index(12), AUS.index(6)]]
    step = rows.T @ np.linalg.solve(rows @ rows.T, [1.0, 0.7])  # nothing moves but what these two read
    course = np.zeros(300)
    course[120:180] = np.sin(np.linspace(0, np.pi, 60))
    vectors = 1 + course[:, None] * step + 0.001 * rng.standard_normal((300, WIDTH))
    state = np.full(300, STATES.index("found"), np.uint8)
    rest = (-course).astype(np.float32)
    return FaceTrack(vectors.astype(np.float16), rest, state, np.zeros(300, np.int32), 30.0, (), "faces")


def test_the_aus_that_rose_are_named_with_the_time_they_began(detector, staged):
    table = pd.DataFrame(
        {"onset": [123], "offset": [175], "fps": [30.0], "emotion": ["positive"], "score": [0.9]}
    )
    why = reasons(staged, detector, table).iloc[0]
    assert why["aus"] == ["AU12", "AU6"] and why["since_s"] == pytest.approx(4.0, abs=0.25)
    assert "AU12 and AU6 rose from" in why["sentence"] and 0 <= why["without"] <= 1
    curves = au_curves(staged, detector)
    assert curves["AU12"].idxmax() == pytest.approx(5.0, abs=0.2) and abs(curves["AU4"]).max() < 0.1


def test_taking_away_the_only_thing_that_moves_takes_the_detection_away(detector, staged):
    found = detect_in(staged, detector, 0.0)
    near = found[(found["onset"] < 180) & (found["offset"] > 120)].nlargest(1, "score")
    why = reasons(staged, detector, near).iloc[0]
    assert len(near) and why["aus"] and why["without"] < 0.5 * why["score"]


def test_a_still_face_gives_no_reason(detector, staged):
    table = pd.DataFrame(
        {"onset": [10], "offset": [60], "fps": [30.0], "emotion": ["others"], "score": [0.4]}
    )
    why = reasons(staged, detector, table).iloc[0]
    assert why["aus"] == [] and np.isnan(why["since_s"]) and "look at the frames" in why["sentence"]


def test_a_rise_that_hardly_matters_is_not_called_a_reason():
    told = {"emotion": "negative", "aus": ["AU4"], "since_s": 2.0, "score": 0.6, "without": 0.58}
    assert "because" not in sentence(told) and "hardly changes" in sentence(told)


def test_the_docstrings_examples_run():
    assert doctest.testmod(fedet.analysis.explanation).failed == 0

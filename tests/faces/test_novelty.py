"""What is out of what the face network knows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedet.errors import InputError
from fedet.faces.network import load_facenet, shipped, vectors_of
from fedet.faces.novelty import (
    FILE,
    SHARE,
    UNFAMILIAR_KINDS,
    distribution_for,
    load_distribution,
    save_distribution,
    unfamiliar_share,
)
from fedet.faces.vectors import STATES, FaceTrack
from fedet.training.novelty import (
    cartoon_crops,
    face_vectors,
    fit_distribution,
    network_distribution,
    strange_crops,
)


@pytest.fixture(scope="module")
def net():
    return load_facenet()


@pytest.fixture(scope="module")
def known(net):
    return network_distribution(net, people=112, seed=3)


@pytest.fixture(scope="module")
def others(net):
    """Faces of people who took no part in the description."""
    return face_vectors(net, 32, seed=900)


def flagged(known, vectors) -> float:
    return float((known.distance(vectors) > known.threshold).mean())


def test_few_faces_of_other_people_are_flagged(known, others):
    assert flagged(known, others) < 0.15


@pytest.mark.parametrize("kind", UNFAMILIAR_KINDS)
def test_what_is_no_plain_face_is_flagged_also_with_other_people_behind_it(known, others, net, kind):
    odd = vectors_of(net, strange_crops(kind, 24, seed=901)).numpy()
    assert flagged(known, odd) > 0.5 > 3 * flagged(known, others)


def test_cartoons_are_flagged_though_none_was_ever_shown(known, net):
    assert flagged(known, vectors_of(net, cartoon_crops(12)).numpy()) > 0.9


def normal(n, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, 512)).astype(np.float32) * 0.3 + 1 + shift


def test_the_threshold_lets_the_share_of_held_out_vectors_pass():
    held = normal(400, 2)
    known = fit_distribution(normal(300, 1), [normal(50, 3, 0.5)], held, "x")
    assert (known.distance(held) <= known.threshold).mean() == pytest.approx(SHARE, abs=0.006)
    assert (known.distance(normal(50, 4, 0.5)) > known.threshold).all()
    assert (known.distance(normal(50, 5, -1.0)) > known.threshold).all()  # far on no known side
    with pytest.raises(InputError, match="20 vectors"):
        fit_distribution(normal(20, 1), [normal(9, 2)], held, "x")


def test_the_distance_agrees_with_a_full_covariance():
    known = fit_distribution(normal(300, 1), [normal(50, 3, 0.5)], normal(99, 2), "x")
    extra = 512 - len(known.directions)
    assert known.directions.shape == (64, 512) and extra == 448
    cov = known.directions.T * (known.variances - known.rest) @ known.directions + known.rest * np.eye(512)
    away = normal(5, 7) - known.mean
    slow = np.sqrt(np.einsum("ti,ij,tj->t", away, np.linalg.inv(cov), away) / 512)
    np.testing.assert_allclose(known.deviations(normal(5, 7))[:, 0], slow, rtol=1e-3)


def test_statistics_are_small_and_say_the_same_after_saving(known, others, tmp_path):
    save_distribution(tmp_path, known)
    again = load_distribution(tmp_path)
    assert (tmp_path / FILE).stat().st_size < 200_000 and again.digest == known.digest
    assert np.abs(again.distance(others) - known.distance(others)).max() < 0.1
    assert load_distribution(tmp_path / "nowhere") is None
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(InputError, match="fedet.training.novelty"):
        load_distribution(tmp_path)


def test_statistics_of_other_weights_are_not_used(known, net, tmp_path):
    save_distribution(tmp_path, replace(known, digest="other"))
    assert (
        distribution_for(net, tmp_path)[0] is None
        and "python -m fedet.training.novelty" in distribution_for(net, tmp_path)[1]
    )
    save_distribution(tmp_path, known)
    assert distribution_for(net, tmp_path)[0] is not None and distribution_for(net, tmp_path)[1] == ""


def test_the_shipped_statistics_belong_to_the_shipped_weights(net):
    """Fails after the weights were replaced: run python -m fedet.training.novelty."""
    assert (shipped("faces") / FILE).stat().st_size < 200_000
    assert distribution_for(net, "faces")[1] == ""


def test_a_detections_share_counts_its_own_frames_with_a_face(known):
    plain, odd = normal(1, 0)[0] * 0 + known.mean, known.mean + 100
    vectors = np.stack([plain] * 60 + [odd] * 60).astype(np.float16)
    state = np.zeros(120, np.uint8)
    state[90:] = STATES.index("missing")
    faces = FaceTrack(vectors, np.zeros(120, np.float32), state, np.where(state == 2, -1, 0).astype(np.int32),
                      60.0, (), "faces")  # fmt: skip
    table = pd.DataFrame({"onset": [0, 100, 60, 200], "offset": [99, 139, 179, 238]})
    np.testing.assert_allclose(unfamiliar_share(table, faces, known), [0, 0.5, 0.5, 0], atol=0.06)

"""Distances of a face: what moves nothing, what moves what, and their uncertainty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.faces.geometry import DISTANCES, distances
from fedet.faces.points import MIRRORED, POINT_INDEX, POINTS

RNG = np.random.default_rng(1)
SPREAD = RNG.uniform(0.004, 0.01, len(POINTS))


@pytest.fixture
def face():
    """Points of a generated face at rest, (P, 2) in shares of the picture's side."""
    import torch

    from fedet.intervals import AUS
    from fedet.synthetic.families import family
    from fedet.synthetic.scene import sample_scenes

    generator = torch.Generator().manual_seed(2)
    look = family("relief").sample_looks(1, generator)
    scene = sample_scenes(1, generator)
    return family("relief").landmarks(look, torch.zeros(1, 2, len(AUS)), scene)[0].numpy()


def test_mirroring_twice_changes_nothing_and_sides_swap():
    assert [MIRRORED[i] for i in MIRRORED] == list(range(len(POINTS)))
    assert POINTS[MIRRORED[POINT_INDEX["brow_2_left"]]] == "brow_2_right"
    assert POINTS[MIRRORED[POINT_INDEX["upper_lip_inner_1"]]] == "upper_lip_inner_3"
    assert POINTS[MIRRORED[POINT_INDEX["upper_lid_1_left"]]] == "upper_lid_1_right"


@given(turn=st.floats(-0.7, 0.7), scale=st.floats(0.1, 500), x=st.floats(-99, 99), y=st.floats(-99, 99))
def test_where_how_large_and_how_tilted_the_face_is_does_not_count(turn, scale, x, y):
    points = np.random.default_rng(3).uniform(0, 1, (len(POINTS), 2))
    for side, at in (("left", 0.3), ("right", 0.7)):
        for corner in ("inner", "outer"):
            points[POINT_INDEX[f"eye_{corner}_{side}"]] = at, 0.4
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    moved = scale * points @ rotation + (x, y)
    one, deviation = distances(points, SPREAD)
    other, scaled = distances(moved, SPREAD * scale)
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(deviation, scaled, rtol=1e-6)


def test_a_mirrored_face_has_the_distances_of_the_other_side(face):
    mirrored = (face * (-1, 1))[list(MIRRORED)]
    one, other = (dict(zip(DISTANCES, distances(p)[0], strict=True)) for p in (face, mirrored))
    for name, value in one.items():
        swapped = name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert other[swapped] == pytest.approx(value, abs=1e-6)


def test_deviations_are_those_of_points_that_vary(face):
    spread = SPREAD.copy()
    spread[[i for i, name in enumerate(POINTS) if name.startswith(("eye_inner", "eye_outer"))]] = 0
    varied = face + RNG.normal(0, 1, (4000, len(POINTS), 2)) * spread[:, None] * 0.1
    _, expected = distances(face, spread * 0.1)
    np.testing.assert_allclose(distances(varied)[0].std(0), expected, rtol=0.1)


def test_raised_corners_and_lowered_brows_are_read_as_such(face):
    moved = face.copy()
    moved[POINT_INDEX["mouth_corner_left"]] += (-0.01, -0.02)
    for i in range(1, 6):
        moved[POINT_INDEX[f"brow_{i}_right"]] += (0, 0.02)
    change = dict(zip(DISTANCES, distances(moved)[0] - distances(face)[0], strict=True))
    assert change["corner_up_left"] > 0 and change["corner_out_left"] > 0
    assert change["brow_inner_right"] < 0 and change["brow_outer_right"] < 0
    assert change["brow_inner_left"] == change["corner_up_right"] == 0

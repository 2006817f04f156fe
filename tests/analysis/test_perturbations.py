"""Perturbed videos, and F1 along their strength."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.analysis.perturbations import PERTURBATIONS, generated_config, perturb, write_perturbed
from fedet.analysis.robustness import (
    at_rates,
    busiest_subjects,
    half_point,
    half_points,
    measure_robustness,
    some_strengths,
)
from fedet.datasets.dataset import read_dataset
from fedet.detection import detect, load_detector
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate
from fedet.synthetic.generator import SynthConfig, synthesize, write_script
from fedet.video.reader import open_video

PICTURES = [name for name, p in PERTURBATIONS.items() if p.images]
SCENES = [name for name, p in PERTURBATIONS.items() if p.scene]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    config = SynthConfig(subjects=2, seconds=2, seed=12, events_per_minute=30, silent_share=0, size=96)
    return synthesize(tmp_path_factory.mktemp("made"), config, jobs=1, progress=False)


@pytest.fixture(scope="module")
def pictures(made):
    return [f.image for f in open_video(made / "videos" / "s01_01.mp4").frames(end_s=0.8)]


def away(one, two) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(one, two, strict=True)]))


@pytest.mark.parametrize("name", PICTURES)
def test_the_first_strength_changes_nothing_and_more_changes_more(name, pictures):
    how = PERTURBATIONS[name]
    same = list(perturb(iter(pictures), name, how.first))
    assert all(np.array_equal(a, b) for a, b in zip(pictures, same, strict=True))
    steps = [away(pictures, list(perturb(iter(pictures), name, s))) for s in how.strengths]
    assert steps[0] > 0 and all(a < b for a, b in itertools.pairwise(steps))


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_seed_gives_the_same_pictures(name, pictures):
    one, two = (list(perturb(iter(pictures), name, PERTURBATIONS[name].strengths[1], seed=3)) for _ in "ab")
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_dropped_frames_repeat_the_one_before(pictures):
    numbered = [np.full((20, 20, 3), k, np.uint8) for k in range(200)]
    shown = [int(f[0, 0, 0]) for f in perturb(iter(numbered), "dropped frames", 40)]
    assert shown[0] == 0 and all(b in (a, k) for k, (a, b) in enumerate(itertools.pairwise(shown), 1))
    assert 0.3 < np.mean([s != k for k, s in enumerate(shown)]) < 0.5


@pytest.mark.parametrize("name", ["compression", "frame rate", "darkness", "head turned"])
def test_a_perturbed_file_lasts_as_long_as_its_source(name, made, tmp_path):
    source = made / "videos" / "s01_01.mp4"
    target = write_perturbed(tmp_path / "x" / source.name, source, name, PERTURBATIONS[name].strengths[1])
    video = open_video(target)
    count = sum(1 for _ in video.frames())
    rate = 10 if name == "frame rate" else 30
    assert video.fps == pytest.approx(rate) and abs(count / rate - 2) <= 1 / rate
    before = target.stat().st_mtime_ns
    write_perturbed(target, source, name, PERTURBATIONS[name].strengths[1])
    assert target.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_drawn_anew_at_the_first_strength_is_the_same_video(name, made, tmp_path):
    source = made / "videos" / "s02_01.mp4"
    again = write_perturbed(tmp_path / source.name, source, name, PERTURBATIONS[name].first, root=made)
    pairs = zip(open_video(source).frames(), open_video(again).frames(), strict=True)
    assert max(np.abs(a.image.astype(int) - b.image).max() for a, b in pairs) == 0


def test_scenes_keep_all_but_their_own_part():
    scene = write_script(SynthConfig(seconds=1), 0, 0).scene
    for name, part in (("head turned", "yaw"), ("head bent", "pitch"), ("face size", "scale")):
        changed = PERTURBATIONS[name].scene(scene, PERTURBATIONS[name].strengths[0])
        assert not changed[part].equal(scene[part])
        assert all(changed[key] is scene[key] for key in scene if key != part)


def test_unknown_names_and_real_videos_are_refused_in_words(made, tmp_path, pictures):
    with pytest.raises(InputError, match="fog"):
        perturb(iter(pictures), "fog", 1)
    with pytest.raises(InputError, match="single pictures"):
        perturb(iter(pictures), "compression", 30)
    with pytest.raises(InputError, match=r"synthetic\.json"):
        generated_config(tmp_path)
    assert generated_config(made).seed == 12


# ---------------------------------------------------------------- half points


@given(st.floats(0.05, 1), st.floats(0.1, 5), st.floats(0.1, 3))
def test_a_straight_fall_halves_in_its_middle_whatever_the_units(first, step, unit):
    strengths = [unit * step * k for k in range(6)]
    falling = [first * (1 - k / 5) for k in range(6)]
    assert half_point(strengths, falling) == pytest.approx(2.5 * unit * step)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_half_lies_where_the_line_crosses_it_first_or_nowhere(f1):
    at = half_point(list(range(len(f1))), f1)
    if at is None:
        assert not f1[0] > 0 or min(f1) > f1[0] / 2
    else:
        assert np.interp(at, range(len(f1)), f1) == pytest.approx(f1[0] / 2, abs=1e-9)
        assert min(f1[: int(np.ceil(at))]) > f1[0] / 2


def test_a_falling_axis_and_what_is_not_reached():
    assert half_point([30, 15, 5], [0.8, 0.8, 0.0]) == pytest.approx(10)
    assert half_point([0, 1], [0.0, 0.0]) is None and half_point([0, 1], [float("nan"), 0.2]) is None
    rows = [("noise", 0, "grey levels", 0.6), ("noise", 9, "grey levels", 0.5)]
    table = half_points(pd.DataFrame(rows, columns=["perturbation", "strength", "unit", "f1"]))
    assert table.loc["noise", "finding"] == "not reached up to noise of 9 grey levels"
    assert np.isnan(table.loc["noise", "half_at"])


# ---------------------------------------------------------------- the whole way


@pytest.mark.slow
def test_robustness_begins_with_the_plain_result_and_ends_in_the_dark(made, tmp_path):
    detector, dataset = load_detector(), read_dataset(made)
    worse = {"darkness": [20.0], "frame rate": [15.0]}
    table = measure_robustness(dataset, detector, tmp_path, worse, n_resamples=50, progress=False)
    found = [detect(row.path, detector, subject=row.subject).table for row in dataset.videos.itertuples()]
    plain = evaluate(pd.concat(found), dataset.annotations, dataset.videos, n_resamples=0).spotting
    for name in ("darkness", "frame rate"):
        first = table[table["perturbation"] == name].iloc[0]
        assert [first[c] for c in ("tp", "fp", "fn")] == [plain.loc["overall", c] for c in ("tp", "fp", "fn")]
    dark, slow = table.iloc[1], table.iloc[3]
    assert dark["missing"] == 1 and dark["tp"] == dark["fp"] == 0 and dark["f1"] == 0
    assert dark["fn"] == len(dataset.annotations) and slow["strength"] == 15 and slow["missing"] < 0.5


def test_detections_are_carried_to_the_rate_of_the_truth():
    found = pd.DataFrame({"video": ["a"], "onset": [10], "apex": [12], "offset": [19], "fps": [10.0]})
    moved = at_rates(found, pd.DataFrame({"video": ["a"], "fps": [30.0]})).iloc[0]
    assert (moved["onset"], moved["offset"], moved["fps"]) == (30, 59, 30.0)


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 9])
def test_a_choice_of_strengths_is_spread_and_keeps_the_severest(levels):
    for name, chosen in some_strengths(levels).items():
        known = PERTURBATIONS[name].strengths
        assert len(set(chosen)) == min(levels, len(known)) and chosen[-1] == known[-1]
        assert [s for s in known if s in chosen] == list(chosen)


def test_the_busiest_subjects_keep_their_events_and_nobody_elses(made):
    dataset = read_dataset(made)
    part = busiest_subjects(dataset, 1)
    assert len(part.videos) == 1 and set(part.annotations["subject"]) == set(part.videos["subject"])
    assert len(part.annotations) == dataset.annotations["subject"].value_counts().max()
    assert len(busiest_subjects(dataset, 9).videos) == 2

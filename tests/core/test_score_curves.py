"""Score curves: what they show must be what the detector said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.model import FEDN, FEDNConfig
from fedet.postprocess import ScoreCurves, detect_intervals, downsample
from fedet.windows import cut_window, points, window_starts

CONFIG = FEDNConfig(input_features=5, channels=8, attention_heads=2, window=64, window_stride=32,
                    segment=4, first_stride=4, pyramid_levels=3, head_layers=1)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    made = FEDN(CONFIG).eval()
    with torch.no_grad():  # untrained scores are all alike: spread them
        for value in made.parameters():
            if value.ndim > 1:
                value.mul_(3)
    return made


def heard(model, length: int, seed: int = 0, batch_size: int = 16, config: FEDNConfig = CONFIG):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((length, 5)).astype(np.float32)
    mask = rng.random(length) > 0.1
    curves = ScoreCurves(length, config)
    found = detect_intervals(model, config, x, mask, batch_size, listener=curves.add)
    return x, mask, curves, found


@settings(max_examples=10)
@given(st.integers(20, 400), st.integers(0, 9))
def test_the_highest_point_is_the_best_detections_score(model, length, seed):
    _, _mask, curves, found = heard(model, length, seed)
    # The middle of a coarse position may lie beyond the last frame.
    values = curves.at(np.arange(length + CONFIG.window) + 0.5)
    if len(found):
        assert values.max() >= found["score"].max() - 1e-6
        assert ((values >= 0) & (values <= 1)).all()


def test_every_frame_has_the_highest_score_of_the_positions_above_it(model):
    """Against a slow reference: each window by itself, each position where it lies."""
    length = 150
    x, mask, curves, _ = heard(model, length)
    starts, at = window_starts(length, CONFIG), points(CONFIG)
    margin = (CONFIG.window - CONFIG.window_stride) / 2
    for frame in range(2, length - 2):
        expected = np.zeros(4)
        for start in starts:
            part = [torch.from_numpy(p)[None] for p in cut_window(x, mask, int(start), CONFIG.window)]
            with torch.inference_mode():
                scores = model(*part).scores()[0].numpy()
            for p, centre in enumerate(at.centre):
                first, last = start == 0, start == starts[-1]
                own = (first or centre >= margin) and (last or centre < CONFIG.window - margin)
                if own and abs(start + centre - (frame + 0.5)) <= 0.5:
                    expected = np.maximum(expected, scores[p])
        assert (curves.at(np.array([frame + 0.5]))[0] >= expected - 1e-6).all()


def test_listening_changes_nothing_and_batches_do_not_matter(model):
    x, mask, one, found = heard(model, 300)
    _, _, two, _ = heard(model, 300, batch_size=1)
    alone = detect_intervals(model, CONFIG, x, mask)
    assert alone.equals(found)
    np.testing.assert_allclose(one.at(np.arange(300.0)), two.at(np.arange(300.0)), atol=1e-5)


def test_the_curve_is_the_mean_of_the_two_finest_scales(model):
    config = replace(CONFIG, scales=(1, 2, 4))
    x, mask, both, _ = heard(model, 250, config=config)
    _, _, fine, _ = heard(model, 250)
    slow = ScoreCurves(125, CONFIG)
    detect_intervals(model, CONFIG, *downsample(x, mask, 2), listener=slow.add)
    frames = np.arange(250) + 0.5
    np.testing.assert_allclose(both.at(frames), (fine.at(frames) + slow.at(frames / 2)) / 2, atol=1e-6)


def test_frames_without_a_face_have_no_score_at_any_rate(model):
    _, mask, curves, _ = heard(model, 300)
    same = curves.table(mask, 30.0)
    assert (same.isna().all(axis=1).to_numpy() == ~mask).all()
    assert same.columns.tolist() == list(CONFIG.emotions)
    for fps in (15.0, 25.0, 200.0):
        table = curves.table(mask, fps)
        assert len(table) == int(300 / 30 * fps)
        middles = ((np.arange(len(table)) + 0.5) / fps * 30).astype(int)
        assert (table.isna().all(axis=1).to_numpy() == ~mask[middles]).all()

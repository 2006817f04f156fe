"""The lesson of notebook 05: what its functions claim holds, against the package and by hand."""

import io
import math
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedet.analysis import attention as traces
from fedet.errors import InputError
from fedet.explorer.widget import IN_REPORT
from fedet.intervals import tiou
from fedet.losses import INTERVAL_LOSSES
from fedet.model import FEDN, FEDNConfig
from fedet.postprocess import Candidates, soft_nms
from fedet.teaching import widgets as live
from fedet.teaching.exercises import EXERCISES, check, verdict
from fedet.teaching.plots import (
    animate_fits,
    plot_attention,
    plot_fits,
    plot_leak,
    plot_objectness,
    plot_rounds,
    plot_segments,
    plot_slide,
    plot_stages,
)
from fedet.windows import points

TARGET = (40.0, 70.0)


def functions_of_the_lesson() -> SimpleNamespace:
    """What the cells of notebook 05 define."""
    path = Path(__file__).parents[2] / "notebooks" / "05_learn_the_ideas.ipynb"
    names = {"np": np, "pd": pd, "torch": torch}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and re.search(r"^def ", cell.source, re.M):
            exec(cell.source, names)
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("_")})


lesson = functions_of_the_lesson()


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


# ---------------------------------------------------------------- losses


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4))
@settings(max_examples=30)
def test_tiou_and_losses_are_those_of_the_package(frames):
    a, b = sorted(frames[:2]), sorted(frames[2:])
    one, other = (a[0], a[1] + 1), (b[0], b[1] + 1)
    assert lesson.tiou(one, other) == pytest.approx(float(tiou(*a, *b)))
    for name, loss in INTERVAL_LOSSES.items():
        expected = float(
            loss(torch.tensor(one, dtype=torch.float64), torch.tensor(other, dtype=torch.float64))
        )
        assert lesson.losses(*one, other)[name] == pytest.approx(expected)


def test_apart_only_the_iou_loss_has_no_pull():
    table = lesson.slide(TARGET, 20.0, np.array([0.0, 20.0, 95.0, 130.0]))
    assert (table["tiou"] == 0).all() and (table["iou_pull"] == 0).all()
    for name in ("diou", "l1"):
        towards = np.sign(55.0 - table["centre"])
        assert (np.sign(table[f"{name}_pull"]) == towards).all()


@given(st.floats(0, 130), st.floats(4, 60))
@settings(max_examples=30)
def test_a_pull_is_minus_the_slope_of_its_loss(centre, length):
    step = 1e-5
    table = lesson.slide(TARGET, length, np.array([centre - step, centre, centre + step]))
    for name in INTERVAL_LOSSES:
        left, right = np.diff(table[name]) / step
        if abs(left - right) < 1e-3:  # not at a corner of the loss
            assert table[f"{name}_pull"][1] == pytest.approx(-(left + right) / 2, abs=1e-3)


def test_gradient_descent_finds_the_target_under_diou_and_never_moves_under_iou():
    fits = {name: lesson.fit((95.0, 105.0), TARGET, name) for name in INTERVAL_LOSSES}
    assert fits["iou"]["tiou"].iloc[-1] == 0 and fits["iou"]["start"].nunique() == 1
    assert fits["diou"]["tiou"].iloc[-1] > 0.9 and fits["diou"]["loss"].iloc[-1] < fits["diou"]["loss"][0]
    assert lesson.fit((45.0, 60.0), TARGET, "iou")["tiou"].iloc[-1] > 0.9  # touching, it learns


# ---------------------------------------------------------------- soft-NMS


@given(st.integers(0, 2**31), st.integers(1, 8), st.floats(0.05, 2))
@settings(max_examples=30)
def test_soft_nms_by_hand_gives_the_packages_scores(seed, n, sigma):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 60, n)
    intervals = np.stack([start, start + rng.uniform(5, 40, n)], 1)
    scores = rng.uniform(0.1, 1, n)
    rounds, order = lesson.soft_nms(intervals, scores, sigma)
    config = FEDNConfig(nms_sigma=sigma, min_score=0.0)
    kept = soft_nms(Candidates(intervals, scores, np.zeros(n, int)), config)
    assert sorted(rounds[-1]) == pytest.approx(sorted(kept.scores))
    assert sorted(order) == list(range(n))
    assert rounds[0].tolist() == scores.tolist()


# ---------------------------------------------------------------- two stages, a leak


def test_shares_multiply_where_ends_do_not_matter_and_fall_below_where_they_do():
    same = lesson.two_stages(0.6, 0.7, 0.7, n=200_000)
    assert same["both"] == pytest.approx(0.42, abs=0.01)
    worse = lesson.two_stages(0.6, 0.7, 0.4, n=200_000)
    assert (
        worse["both"] == pytest.approx(0.6 * (0.7 + 0.4) / 2, abs=0.01) and worse["both"] < worse["product"]
    )


def test_a_leak_lifts_the_one_who_leaked_and_nobody_else():
    draws = [lesson.compare(seed) for seed in range(4)]
    for table, _ in draws:
        assert table["honest"][1:].equals(table["leaked"][1:])
    gain = np.mean([table["leaked"].iloc[0] - table["honest"].iloc[0] for table, _ in draws])
    assert gain > 0.1 and np.mean([f1["leaked"] - f1["honest"] for _, f1 in draws]) > 0


# ---------------------------------------------------------------- exercises


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_tells_right_from_wrong(name, capsys, monkeypatch):
    exercise = EXERCISES[name]
    check(name, exercise.answer)
    assert capsys.readouterr().out == "Right.\n"
    wrong = "z" if isinstance(exercise.answer, str) else exercise.answer + 0.1
    check(name, wrong)
    assert capsys.readouterr().out.startswith("Not yet: ")
    check(name, None)
    assert "Not answered yet" in capsys.readouterr().out
    monkeypatch.setenv(IN_REPORT, "1")  # whose reader cannot answer
    check(name, None)
    assert capsys.readouterr().out == ""


def test_odd_answers_are_told_and_unknown_exercises_refused():
    assert "not a number" in verdict(EXERCISES["tiou"], "half")
    assert verdict(EXERCISES["tiou"], "0.43") == "Right."
    with pytest.raises(InputError, match="there are tiou"):
        check("tIoU?", 1)


# ---------------------------------------------------------------- inside the detector

CONFIG = FEDNConfig(input_features=6, channels=16, attention_heads=2, window=64, window_stride=64,
                    pyramid_levels=3)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return FEDN(CONFIG).eval()


@pytest.fixture(scope="module")
def window():
    rng = np.random.default_rng(0)
    mask = np.ones(64, bool)
    mask[20:25] = False
    mask[48:] = False
    return rng.normal(size=(64, 6)).astype(np.float32), mask


def test_looking_inside_changes_nothing_and_finds_what_the_model_says(model, window):
    found = traces.trace_window(model, *window)
    with torch.inference_mode():
        output = model(torch.from_numpy(window[0])[None], torch.from_numpy(window[1])[None])
    assert np.allclose(found.scores, output.scores()[0].numpy())
    assert found.objectness.shape == (len(points(CONFIG).centre),)
    assert not model.window.conv._forward_hooks and not model.segments.attention._forward_pre_hooks


def test_attention_weights_are_those_that_the_layer_uses(model, window):
    """The layer's own output, rebuilt from the weights of each head."""
    attention = model.segments.attention
    x = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[1, 5:] = False
    with torch.inference_mode():
        weights = traces.attention_weights(attention, x, mask)
        one_head = (
            FEDN(FEDNConfig(input_features=6, channels=16, attention_heads=1)).eval().segments.attention
        )
        w = traces.attention_weights(one_head, x, mask)
        v = one_head.qkv(one_head.norm(x))[..., 32:]
        rebuilt = (x + one_head.out(w @ v)) * mask[..., None]
        assert torch.allclose(rebuilt[mask], one_head(x, mask)[mask], atol=1e-5)
    assert torch.allclose(weights.sum(-1)[mask], torch.ones(int(mask.sum())))
    assert (weights[1, :, 5:] == 0).all()


def test_window_weights_average_one_and_leave_masked_frames_out(model, window):
    found = traces.trace_window(model, *window)
    assert (
        found.window[window[1]].mean() == pytest.approx(1, abs=1e-5) and (found.window[~window[1]] == 0).all()
    )
    shares = traces.received_weights(found)
    full = window[1].reshape(-1, 8).all(1).repeat(8)
    assert shares[full].reshape(-1, 8).mean(1) == pytest.approx(np.ones(full.sum() // 8), abs=1e-5)
    events = pd.DataFrame({"onset": [0], "offset": [9], "fps": [30.0], "emotion": ["positive"]})
    going_on = traces.event_mask(found, events)
    assert going_on.sum() == 10
    assert traces.weight_ratio(np.where(going_on, 2.0, 1.0), window[1], going_on) == pytest.approx(2)
    assert traces.weight_ratio(found.window, window[1], np.zeros(64, bool)) is None


def test_the_busiest_place_has_the_most_annotated_time():
    events = pd.DataFrame({"onset": [0, 900, 960], "offset": [30, 930, 1000], "fps": 30.0})
    assert 30 <= traces.busiest_second(events) <= 34
    assert traces.busiest_second(None) == traces.busiest_second(events.iloc[:0]) == 0.0


def test_the_best_positions_are_sorted_and_name_the_class_that_is_highest(model, window):
    found = traces.trace_window(model, *window, start_s=2.0)
    table = traces.best_positions(found, 7)
    assert table["objectness"].is_monotonic_decreasing and len(table) == 7
    highest = table[list(CONFIG.emotions)].max(axis=1)
    assert np.allclose(highest, table["objectness"])
    assert (table[list(CONFIG.emotions)].idxmax(axis=1) == table["emotion"]).all()


def test_pictures_are_drawn_also_without_events_or_attention(window):
    torch.manual_seed(0)
    plain = FEDN(FEDNConfig(**{**vars(CONFIG), "segment_attention": False, "window_attention": False})).eval()
    found = traces.trace_window(plain, *window)
    assert found.segments is None and found.window is None
    with pytest.raises(InputError, match="segment attention"):
        traces.received_weights(found)
    plot_attention(found, None)
    plot_objectness(found, None, 0.5)
    plot_segments(found, None)


def test_pictures_say_what_they_show(model, window):
    found = traces.trace_window(model, *window)
    events = pd.DataFrame({"onset": [0, 900], "offset": [9, 950], "fps": 30.0, "emotion": ["positive", None]})
    assert "times the even weight" in plot_attention(found, events)[0].get_title("left")
    assert len(plot_segments(found, events)) == 6
    fits = {name: lesson.fit((95.0, 105.0), TARGET, name, 12) for name in INTERVAL_LOSSES}
    assert "IoU 0.00" in plot_fits(fits).get_title("left")
    assert "100 %" in plot_slide(lesson.slide(TARGET, 20, np.arange(0, 120, 5.0)), TARGET)[2].get_title(
        "left"
    )
    stages = pd.DataFrame([lesson.two_stages(s, 0.7, 0.5) for s in (0.2, 0.6, 1.0)])
    assert "60 % spotted" in plot_stages(stages).get_title("left") or "% spotted" in plot_stages(
        stages
    ).get_title("left")
    assert "s01 leaked" in plot_leak(*lesson.compare(0)).get_title("left")
    intervals = [[0, 10], [2, 12]]
    panels = plot_rounds(intervals, *lesson.soft_nms(intervals, [0.9, 0.8], 0.3))
    assert [ax.get_title("left") for ax in panels] == ["before", "A is taken, the others decay"]
    moving = Image.open(io.BytesIO(animate_fits(fits, TARGET, every=4)))
    assert moving.format == "GIF" and moving.n_frames == 4


# ---------------------------------------------------------------- widgets


def test_a_widget_draws_what_its_sliders_say_and_carries_a_still_picture():
    widget = live.overlap(lesson.slide, TARGET)
    before = bytes(widget.image.value)
    assert before.startswith(b"\x89PNG")
    widget.controls["centre"].value = 55.0
    assert bytes(widget.image.value) != before
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["image/png"] and "application/vnd.jupyter.widget-view+json" in data


def test_the_playground_moves_the_face_and_presets_move_the_sliders():
    widget = live.playground(2, "shapes")
    assert widget.controls["au12"].value == live.preset_values("positive")[12]
    smiling = bytes(widget.image.value)
    widget.presets.value = "nothing"
    assert all(widget.controls[f"au{au}"].value == 0 for au in live.AU_NAMES)
    resting = bytes(widget.image.value)
    widget.controls["au4"].value = 1.0
    assert len({smiling, resting, bytes(widget.image.value)}) == 3


def test_action_units_are_all_named_and_limited():
    from fedet.intervals import AUS

    assert set(live.AU_NAMES) == set(AUS)
    assert (live.face({12: 5.0}, 2, "shapes", 48) == live.face({12: 1.0}, 2, "shapes", 48)).all()
    assert not math.isclose(
        live.face({12: 1.0}, 2, "shapes", 48).mean(), live.face({}, 2, "shapes", 48).mean()
    )
    for name in live.preset_names():
        assert live.preset_values(name)

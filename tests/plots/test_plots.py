import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fedet.errors import InputError
from fedet.evaluation.evaluation import compare, evaluate
from fedet.intervals import EMOTION_COLOURS, empty_table
from fedet.metrics import calibration_sums, reliability
from fedet.plots.annotations import (
    plot_durations,
    plot_events_per_subject,
    plot_onset_apex_offset,
    plot_timeline,
)
from fedet.plots.evaluation import (
    plot_confusion,
    plot_error_breakdown,
    plot_forest,
    plot_pr_curves,
    plot_reliability,
    plot_subject_strip,
)
from fedet.plots.style import EXTRA_COLOURS, emotion_colours


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def events(*made, **columns) -> pd.DataFrame:
    frame = pd.DataFrame(made, columns=["subject", "video", "onset", "offset", "emotion"])
    return frame.assign(**({"fps": 30.0, "score": 0.5} | columns))


TRUTH = events(
    ("s1", "a", 30, 59, "positive"),
    ("s1", "a", 90, 101, "negative"),
    ("s1", "a", 95, 140, "surprise"),
    ("s2", "b", 0, 11, "positive"),
)
GUESS = events(("s1", "a", 33, 59, "positive"), ("s1", "a", 300, 329, "others"), ("s2", "b", 0, 11, "others"))


def title(ax) -> str:
    return ax.get_title(loc="left")


def written(ax) -> str:
    return "\n".join([title(ax), *(text.get_text() for text in ax.texts)])


def drawn(ax) -> None:
    ax.figure.canvas.draw()


@pytest.fixture(scope="module")
def result():
    return evaluate(GUESS, TRUTH, n_resamples=50)


def test_every_figure_takes_empty_input_and_says_so():
    table = empty_table()
    nothing = evaluate(table, table)
    figures = [
        plot_reliability(nothing.calibration.get("spotting")),
        plot_error_breakdown(nothing.errors),
        plot_confusion(nothing.confusion),
        plot_subject_strip(nothing.subjects),
        plot_forest(nothing.figures),
        plot_pr_curves(nothing.curves),
        plot_timeline(table, table),
        plot_timeline(table),
        plot_durations(table),
        plot_events_per_subject(table),
        plot_onset_apex_offset(table),
    ]
    for ax in figures:
        drawn(ax)
        assert "no" in title(ax).lower().split() or "defined for no subject" in title(ax)


def test_figures_draw_into_the_axes_given(result):
    _, ax = plt.subplots()
    assert plot_durations(TRUTH, ax=ax) is ax
    assert plot_pr_curves(result.curves, ax=ax) is ax
    assert len(plt.get_fignums()) == 1


def test_reliability_says_how_far_off_the_scores_are():
    high = reliability(calibration_sums([0.9] * 10, [True] * 5 + [False] * 5, [0] * 10, 1)[0])
    ax = plot_reliability(high)
    assert "0.40 too high" in title(ax) and "error 0.40" in title(ax)
    assert "10" in written(ax)
    right = reliability(calibration_sums([0.5] * 10, [True] * 5 + [False] * 5, [0] * 10, 1)[0])
    assert "right on average" in title(plot_reliability(right))
    low = reliability(calibration_sums([0.1] * 10, [True] * 10, [0] * 10, 1)[0])
    assert "0.90 too low" in title(plot_reliability(low))


def test_error_breakdown_names_the_costliest_kind(result):
    ax = plot_error_breakdown(result.errors)
    best = result.errors.loc[result.errors["gain"].idxmax()]
    assert f"{best['gain']:+.2f}" in title(ax)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == pytest.approx(result.errors["gain"].tolist())
    perfect = evaluate(TRUTH, TRUTH, n_resamples=0)
    assert title(plot_error_breakdown(perfect.errors)) == "No errors"


def test_confusion_shows_every_count_and_the_worst_mistake(result):
    ax = plot_confusion(result.confusion)
    assert "50 % of 2 events" in title(ax) and "“positive” becomes “others” (1)" in title(ax)
    assert len(ax.texts) == result.confusion.size
    tied = plot_confusion(pd.DataFrame([[3, 1], [1, 2]], index=["a", "b"], columns=["a", "b"]))
    assert title(tied).endswith("2 confusions tie as most frequent (1 each)")
    perfect = plot_confusion(pd.DataFrame([[3]], index=["a"], columns=["a"]), "expert", "self")
    assert title(perfect) == "Expert and self agree on 100 % of 3 events"


def test_subject_strip_has_a_dot_per_subject_and_method(result):
    other = evaluate(GUESS.iloc[:0], TRUTH, n_resamples=0)
    ax = plot_subject_strip({"ours": result.subjects, "silent": other.subjects})
    dots = [len(c.get_offsets()) for c in ax.collections]
    assert dots == [2, 2]
    values = sorted(ax.collections[0].get_offsets()[:, 0])
    assert values == pytest.approx(sorted(result.subjects["f1"]))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ours", "silent"]
    undefined = result.subjects.assign(f1=[0.5, math.nan])
    assert "1 subject\nundefined" in written(plot_subject_strip(undefined))


def test_forest_counts_the_intervals_that_exclude_the_reference(result):
    effects = pd.DataFrame(
        {"difference": [0.2, -0.3, 0.1], "low": [0.1, -0.4, -0.1], "high": [0.3, -0.2, 0.3]},
        index=["a", "b", "c"],
    )
    ax = plot_forest(effects)
    assert title(ax).startswith("2 of 3 intervals exclude 0")
    lines = ax.collections[0].get_segments()
    assert [segment[:, 0].tolist() for segment in lines] == effects[["low", "high"]].values.tolist()
    assert title(plot_forest(effects, reference=-0.3)).startswith("2 of 3 intervals exclude -0.3")
    assert "spotting F1" in [t.get_text() for t in plot_forest(result.figures).get_yticklabels()]
    same = compare(result, result)
    assert title(plot_forest(same)).startswith("0 of")


def test_pr_curves_have_the_area_of_the_ap(result):
    ax = plot_pr_curves(result.curves)
    for line in ax.lines:
        recall, best = line.get_data()
        area = float((np.diff(recall) * best[1:]).sum())
        stated = float(line.get_label().split("AP ")[1])
        assert area == pytest.approx(stated, abs=0.005)
    kinds = result.curves.dropna(subset="ap")["kind"].unique()
    assert len(ax.lines) == len(kinds)
    assert len({line.get_linestyle() for line in ax.lines}) == len(kinds)


def test_timeline_is_in_seconds_and_tells_truth_and_prediction_apart():
    ax = plot_timeline(TRUTH, GUESS, video="a", missing=[(2.0, 2.5)])
    drawn(ax)
    assert title(ax) == "a: 1 of 3 events found (tIoU 0.5), 1 false alarm"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["truth", "predicted"]
    boxes = [c for c in ax.collections if c.get_facecolor().size and c.get_facecolor()[0, 3]]
    truth = [c for c in boxes if c.get_hatch()]
    guess = [c for c in boxes if not c.get_hatch()]
    assert len(truth) == 3 and len(guess) == 2
    spans = [c.get_paths()[0].get_extents() for c in truth]
    assert [s.x0 for s in spans] == pytest.approx([1.0, 3.0, 95 / 30])
    assert [s.x1 for s in spans] == pytest.approx([2.0, 102 / 30, 141 / 30])
    assert spans[1].y1 <= spans[2].y0 or spans[2].y1 <= spans[1].y0  # they overlap in time
    assert "no face" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_timeline_draws_scores_at_their_frames():
    scores = pd.DataFrame({"positive": np.linspace(0, 1, 60), "wrath": np.zeros(60)})
    ax = plot_timeline(TRUTH, GUESS, scores=scores, video="b")
    lines = [line for line in ax.lines if len(line.get_xdata()) == 60]
    assert lines[0].get_xdata()[[0, -1]].tolist() == pytest.approx([0.5 / 30, 59.5 / 30])
    height = lines[0].get_ydata()
    assert height[0] - height[-1] == pytest.approx(0.8)
    assert "wrath" in [t.get_text() for t in ax.get_legend().get_texts()]
    alone = plot_timeline(None, None, scores=np.zeros(30), fps=10)
    assert alone.get_yticklabels()[0].get_text() == "scores"


def test_timeline_of_several_videos_or_without_a_rate_is_refused():
    with pytest.raises(InputError, match="several videos"):
        plot_timeline(TRUTH, GUESS)
    with pytest.raises(InputError, match="fps"):
        plot_timeline(TRUTH.assign(fps=None), video="a")
    assert title(plot_timeline(TRUTH.assign(fps=None), video="a", fps=25)) == "a: 3 events"


def test_durations_without_a_rate_are_refused_not_left_out():
    for table in (
        TRUTH.drop(columns="fps"),
        TRUTH.assign(fps=None),
        TRUTH.assign(fps=[30.0, *[None] * (len(TRUTH) - 1)]),
    ):
        for plot in (plot_durations, plot_events_per_subject, plot_onset_apex_offset):
            with pytest.raises(InputError, match="no fps"):
                plot(table)


def test_a_timeline_begins_where_the_video_does():
    assert plot_timeline(TRUTH, video="a").get_xlim()[0] == 0
    twins = pd.concat([TRUTH, TRUTH.assign(subject="s9")])
    assert title(plot_timeline(twins, video="a", subject="s9")) == "a: 3 events"


def test_durations_count_every_event_and_the_border():
    table = events(
        ("s", "a", 0, 14, "positive"), ("s", "a", 0, 15, "positive"), ("s", "a", 0, 59, "others"),
        expression_type=["micro", "micro", "macro"],
    )  # fmt: skip
    ax = plot_durations(table)
    drawn(ax)
    assert "2 of 3 events are micro" in title(ax) and "1 contradicts the border" in title(ax)
    assert sum(bar.get_height() for bar in ax.patches) == 3
    # 15 frames at 30 fps are 0.5 s and stand left of the border, 16 frames right of it.
    below = [b for b in ax.patches if b.get_height() and b.get_x() + b.get_width() <= 0.5 + 1e-6]
    assert sum(b.get_height() for b in below) == 1


def test_events_per_subject_lists_the_silent_ones_too():
    ax = plot_events_per_subject(TRUTH, subjects=["s3"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["s1", "s2", "s3"]
    assert title(ax) == "0 to 3 events per subject; half of all 4 come from 1 of 3"
    assert sum(bar.get_height() for bar in ax.patches) == 4


def test_apex_places_each_event_and_counts_those_without():
    table = TRUTH.assign(apex=pd.array([39, 95, None, 5], "Int64"))
    ax = plot_onset_apex_offset(table)
    places = np.concatenate([c.get_offsets() for c in ax.collections])
    assert sorted(places[:, 0]) == pytest.approx([5 / 30, 5 / 30, 9 / 30])
    assert places.sum() == pytest.approx((30 + 12 + 12) / 30)
    assert "median of 3" in title(ax) and "1 event without an apex" in title(ax)


def test_colours_are_ours_for_our_emotions_and_differ_for_others():
    found = emotion_colours(["positive", "wrath", "unknown", "bliss", "wrath"])
    assert found["positive"] == EMOTION_COLOURS["positive"]
    assert found["unknown"] == EMOTION_COLOURS["unknown"]
    assert [found["wrath"], found["bliss"]] == list(EXTRA_COLOURS[:2])

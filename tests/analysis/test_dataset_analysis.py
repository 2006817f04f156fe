"""What the exploration tables say about small sets with known answers, and about sets that lack things."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fedet.analysis import dataset as ex
from fedet.analysis import dataset_plots as pictures
from fedet.annotations.table import validate
from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.intervals import empty_table

ROWS = pd.DataFrame(
    [  # subject, video, onset, apex, offset, emotion, self-report, action units
        ("s1", "a", 0, 3, 9, "positive", "positive", "6+L12"),
        ("s1", "a", 10, 15, 29, "negative", "positive", "4"),
        ("s1", "a", 20, 25, 39, "surprise", "surprise", "1+2"),
        ("s2", "b", 100, 120, 139, "negative", "negative", "AU4 or 7"),
    ],
    columns=[
        "subject",
        "video",
        "onset",
        "apex",
        "offset",
        "emotion",
        "emotion_self_report",
        "action_units",
    ],
)


@pytest.fixture
def table():
    return validate(ROWS, fps=20.0)[0]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def lacking(table, *columns):
    return table.assign(**{c: pd.Series(pd.NA, table.index, dtype=table[c].dtype) for c in columns})


@pytest.fixture
def own(tmp_path, table):
    """A folder of one's own with frame folders whose grey value is the frame's number."""
    import cv2

    table.to_csv(tmp_path / "annotations.csv", index=False)
    for name, numbers in {"a": range(60), "quiet": range(5)}.items():
        (tmp_path / "videos" / name).mkdir(parents=True)
        for n in numbers:
            cv2.imwrite(str(tmp_path / "videos" / name / f"{n}.png"), np.full((40, 40, 3), 4 * n, np.uint8))
    return read_dataset(tmp_path)


def test_overlaps_and_gaps_of_a_known_table(table):
    pairs = ex.overlaps(table)
    assert pairs[["onset", "other_onset", "shared_s"]].values.tolist() == [[10, 20, 0.5]]
    silence = ex.gaps(table)
    assert silence[["from_s", "gap_s"]].values.tolist() == [[0.5, 0.0]]


def test_gap_counts_from_the_longest_event_so_far():
    rows = ROWS.iloc[[0, 1, 2]].assign(onset=[0, 2, 50], apex=pd.NA, offset=[39, 5, 59])
    table, _ = validate(rows, fps=20.0)
    assert ex.gaps(table)["gap_s"].tolist() == [0.5]
    assert len(ex.overlaps(table)) == 1


def test_every_pair_that_shares_frames_is_found_whatever_the_order():
    rng = np.random.default_rng(0)
    onset = rng.integers(0, 60, 25)
    rows = pd.DataFrame({"video": "v", "onset": onset, "offset": onset + rng.integers(0, 20, 25)})
    table, _ = validate(rows.drop_duplicates(), fps=10.0)
    spans = [set(range(o, e + 1)) for o, e in zip(table["onset"], table["offset"], strict=True)]
    shared = [len(a & b) for i, a in enumerate(spans) for b in spans[:i] if a & b]
    for some in (table, table.sample(frac=1, random_state=1)):
        assert sorted((ex.overlaps(some)["shared_s"] * 10).round()) == sorted(shared)


def test_durations_by_type_and_contradictions_of_the_border(table):
    told = ex.duration_summary(table.assign(expression_type=["micro", "micro", "macro", "macro"]))
    assert told.loc["micro", ["events", "contradict"]].tolist() == [2, 1]
    assert told.loc["micro", ["shortest_s", "longest_s"]].tolist() == [0.5, 1.0]
    assert told.loc["macro", ["median_s", "contradict"]].tolist() == [1.5, 0]
    derived = ex.duration_summary(lacking(table, "expression_type"))
    assert derived["events"].to_dict() == {"macro": 3, "micro": 1}


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ("4+L10", [4, 10]),
        ("AU12 or 14", [12, 14]),
        ("R6B+6", [6]),
        ("?", []),
        (pd.NA, []),
        (None, []),
    ],
)
def test_action_units_in_the_spellings_of_the_sets(cell, numbers):
    assert ex.action_units(cell) == numbers


def test_counts_of_units_and_emotions(table):
    units = ex.action_unit_counts(table)
    assert units.index[0] == 4 and units.loc[4].to_dict() == {
        "positive": 0, "negative": 2, "surprise": 0, "all": 2,
    }  # fmt: skip
    assert ex.emotion_counts(table).sum(axis=1).to_dict() == {
        "positive": 1, "negative": 2, "surprise": 1,
    }  # fmt: skip
    unknown = ex.emotion_counts(table.assign(emotion=[pd.NA, "zeal", "surprise", "negative"]))
    assert list(unknown.index) == ["negative", "surprise", "zeal", "unknown"]
    assert unknown.to_numpy().sum() == len(table)


def test_agreement_of_expert_and_person(table):
    rows = ex.agreement_by_group(table, n_resamples=50)
    # 3 of 4 agree; by chance 1*2 + 2*1 + 1*1 of 16: (12/16 - 5/16) / (1 - 5/16)
    assert rows.loc["all", "value"] == pytest.approx(7 / 11)
    assert rows.loc["all", ["n", "share"]].tolist() == [4, 0.75]
    assert rows.loc["negative", ["n", "share"]].tolist() == [2, 0.5]
    assert rows.loc["surprise", "value"] == 1
    assert rows.loc["micro", "n"] == 1 and np.isnan(rows.loc["micro", "value"])


def test_no_answers_at_all_exceed_the_bound(table):
    agreed = ex.self_agreement(table, 0)
    bounds = ex.disagreement_bounds(agreed)["value"].tolist()
    assert bounds[0] == 0.75 and bounds[2] == 0.875
    # Exhaustively: any answers to these events, scored on both labels.
    names = ["positive", "negative", "surprise"]
    expert, own = (table[c].to_numpy() for c in ("emotion", "emotion_self_report"))
    answers = np.array(np.meshgrid(*[names] * 4)).reshape(4, -1).T
    means = ((answers == expert).mean(1) + (answers == own).mean(1)) / 2
    assert means.max() == bounds[2]


def test_events_per_video_counts_silent_and_label_only_videos(own):
    told = ex.events_per_video(own).set_index("video")
    assert told["events"].to_dict() == {"a": 3, "quiet": 0, "b": 1}
    assert told.loc["a", "per_minute"] == pytest.approx(60.0)
    assert pd.isna(told.loc["b", "per_minute"])
    assert told["macro"].sum() + told["micro"].sum() == len(own.annotations)


def test_frames_shown_are_those_of_the_event(own):
    picked = pictures.pick_events(own, 10)
    assert set(picked["video"]) == {"a"}
    some = pictures.plot_event_frames(own, picked.iloc[:1])
    shown = [int(ax.images[0].get_array()[0, 0, 0]) for ax in some]
    assert shown == (4 * pictures.moments(picked.iloc[0])).tolist()


def test_events_are_picked_from_each_emotion_before_a_second_of_one(own):
    assert pictures.pick_events(own, 3)["emotion"].nunique() == 3
    own.annotations.loc[own.annotations["emotion"] == "negative", "emotion"] = pd.NA
    assert pictures.pick_events(own, 2)["emotion"].notna().all()


@pytest.mark.parametrize("missing", [[], ["emotion_self_report"], ["action_units", "apex"], ["emotion"]])
def test_figures_and_tables_of_sets_that_lack_something(table, missing):
    for some in (lacking(table, *missing), empty_table()):
        for plot in (pictures.plot_emotions, pictures.plot_action_units, pictures.plot_gaps):
            assert plot(some).get_title(loc="left")
        rows = ex.agreement_by_group(some, n_resamples=10)
        assert rows.loc["all", "n"] == (0 if missing and "emo" in missing[0] else len(some))
        assert ex.duration_summary(some)["events"].sum() == len(some)
        ex.disagreement_bounds(ex.self_agreement(some, 0))


def test_empty_set_of_action_units_is_said_in_words(table):
    ax = pictures.plot_action_units(lacking(table, "action_units"))
    assert ax.get_title(loc="left") == "No event has action units"


def test_each_defect_that_is_put_in_is_reported(table):
    text = table.astype("string")
    for n in range(ex.DEFECTS + 1):
        bad = ex.add_defects(pd.concat([text] * 3).assign(video=list("abcdefghijkl")), n)
        read, repairs = validate(bad, dict.fromkeys("abcdefghijkl", 500))
        assert len(repairs) == n
        assert ex.repair_counts(repairs).to_numpy().sum() == n
        assert len(read) == 12 - (n >= 2)


def test_wrong_options_are_refused(table, tmp_path):
    with pytest.raises(InputError, match="defects=6"):
        ex.add_defects(table, 6)
    with pytest.raises(InputError, match="only 4 rows"):
        ex.add_defects(table, 5)
    with pytest.raises(InputError, match="no such file"):
        ex.open_dataset(tmp_path / "nowhere")


def test_own_data_is_read_and_not_called_generated(own):
    source = ex.open_dataset(own.root)
    assert not source.synthetic and source.label == own.root.name
    pd.testing.assert_frame_equal(source.dataset.annotations, own.annotations)


def test_a_set_without_frame_rate_asks_for_one(tmp_path, table):
    table.drop(columns="fps").to_csv(tmp_path / "annotations.csv", index=False)
    with pytest.raises(InputError, match="4 events, the first in a, have no frame rate.*fps=30"):
        ex.open_dataset(tmp_path)
    assert set(ex.open_dataset(tmp_path, fps=25).dataset.annotations["fps"]) == {25.0}

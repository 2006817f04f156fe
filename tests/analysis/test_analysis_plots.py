"""Figures of stress and reasons: their titles say what the numbers say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fedet.analysis.explanation import sentence
from fedet.analysis.fairness import f1_by_group
from fedet.analysis.plots import (
    interpolate_index,
    plot_arms,
    plot_groups,
    plot_rise,
    plot_robustness,
    plot_transfer,
    region,
)
from fedet.analysis.robustness import COLUMNS, read_transfer
from fedet.errors import InputError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def curve(name, unit, strengths, f1):
    columns = {"perturbation": name, "unit": unit, "strength": strengths, "f1": f1, "missing": 0.0}
    return pd.DataFrame(columns).assign(low=lambda t: t["f1"] - 0.1, high=lambda t: t["f1"] + 0.1)


def test_each_panel_tells_where_f1_halves_or_that_it_does_not():
    table = pd.concat([
        curve("noise", "grey levels", [0.0, 20.0, 40.0], [0.8, 0.6, 0.2]),
        curve("frame rate", "frames/s", [30.0, 15.0, 5.0], [0.8, 0.7, 0.6]),
    ])  # fmt: skip
    one, two = plot_robustness(table)
    assert "halves at noise of 30 grey levels" in one.get_title("left").replace("\n", " ")
    assert "not reached up to 5 frames a second" in two.get_title("left").replace("\n", " ")
    assert "1 of 2" in one.figure.get_suptitle()
    assert [t.get_text() for t in two.get_xticklabels()] == ["30", "15", "5"]


@pytest.mark.parametrize("strengths", [[0, 10, 40], [30, 15, 5]])
def test_the_mark_lies_between_the_strengths_around_it(strengths):
    strengths = np.array(strengths, float)
    assert interpolate_index(strengths, strengths[1]) == pytest.approx(1)
    assert interpolate_index(strengths, strengths[1:].mean()) == pytest.approx(1.5)


def people(worse: int):
    names = [f"s{k:02d}" for k in range(10)]
    tp = np.where(np.arange(10) % 2, 6 - worse, 6)
    groups = pd.DataFrame({"glasses": ["none", "glasses"] * 5}, index=names)
    return f1_by_group(pd.DataFrame({"subject": names, "tp": tp, "fp": 6 - tp, "fn": 6 - tp}), groups)


def test_the_title_of_groups_names_a_gap_only_where_there_is_one():
    assert "glasses" in plot_groups(*people(4)).get_title("left")
    assert "No gap" in plot_groups(*people(0)).get_title("left")


@pytest.mark.parametrize("row, where", [(0, "brows and eyes"), (3, "middle"), (6, "mouth")])
def test_a_map_is_named_by_the_part_that_speaks_for_the_target(row, where):
    values = -np.ones((7, 7))
    values[row] = 2.0
    assert region(values) == where and region(-np.abs(values)) == "no evidence"


def test_the_rise_is_drawn_with_its_sentence():
    reason = {"start_s": 2.0, "end_s": 3.0, "emotion": "positive", "score": 0.8, "aus": ["AU12"],
              "since_s": 1.9, "without": 0.1}  # fmt: skip
    reason["sentence"] = sentence(reason)
    index = pd.Index(np.arange(150) / 30, name="seconds")
    curves = pd.DataFrame({"AU4": 0.0, "AU12": np.sin(index), "AU43": 0.5}, index=index)
    ax = plot_rise(curves, pd.Series(reason))
    assert "because AU12 rose from 1.9 s" in ax.get_title("left")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["AU12"]


@pytest.mark.parametrize("ends, told", [((-3, -1), "fewer"), ((-1, 2), "no clear change"), ((1, 3), "more")])
def test_the_effect_of_hearing_is_called_by_its_interval(ends, told):
    names = ["f1", "alarms_talking", "alarms_else"]
    arm = pd.DataFrame({"value": 2.0, "low": 1.0, "high": 3.0}, index=names)
    figures = pd.concat({"as it is": arm, "without": arm, "with": arm})
    gaps = pd.DataFrame({"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}, index=names)
    assert told in plot_arms(figures, gaps).get_title("left")


def test_transfer_counts_where_the_last_weights_are_ahead():
    rows = [
        ("shapes", "splats", kind, metric, value, value - 0.1, value + 0.1, weights)
        for weights, values in (("first", (0.2, 0.4, 0.3)), ("shipped", (0.5, 0.4, 0.6)))
        for kind, metric, value in zip(("all", "micro", "positive"), ("F1", "F1", "AP"), values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    ax = plot_transfer(table)
    assert ax.get_title(loc="left") == "shipped is ahead in 2 of 3 figures, people of splats (generated)"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["all, F1", "micro, F1", "positive, AP"]
    assert [line.get_label() for line in ax.lines] == ["first", "shipped"]
    alone = plot_transfer(table[table["weights"] == "shipped"])
    assert alone.get_title(loc="left") == "shipped, people of splats (generated)"
    assert plot_transfer(table[:0]).get_title(loc="left") == "Not measured"


def test_a_transfer_table_is_read_missing_or_refused_in_words(tmp_path):
    place = tmp_path / "transfer.csv"
    assert read_transfer(place) is None
    row = ["shapes", "relief", "positive", "ap", 0.5, 0.4, 0.6, "v2"]
    pd.DataFrame([row], columns=COLUMNS).to_csv(place, index=False)
    assert read_transfer(place)["value"].tolist() == [0.5]
    pd.DataFrame([row], columns=COLUMNS).assign(low="high?").to_csv(place, index=False)
    with pytest.raises(InputError, match="line 2, column 'low'"):
        read_transfer(place)
    pd.DataFrame([row], columns=COLUMNS).drop(columns="metric").to_csv(place, index=False)
    with pytest.raises(InputError, match="metric"):
        read_transfer(place)

"""F1 by groups of generated people."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.analysis.fairness import (
    ATTRIBUTES,
    balanced_subjects,
    f1_by_group,
    gap_in_words,
    groups_of,
    synthesize_balanced,
)
from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.synthetic.generator import SynthConfig, write_script

CONFIG = SynthConfig(subjects=16, seconds=1, seed=3)
NAMES = [f"s{k:02d}" for k in range(1, 13)]


def people(tp, fp, fn) -> pd.DataFrame:
    return pd.DataFrame({"subject": NAMES[: len(tp)], "tp": tp, "fp": fp, "fn": fn})


def halves() -> pd.DataFrame:
    return pd.DataFrame({"glasses": ["none", "glasses"] * 6}, index=pd.Index(NAMES, name="subject"))


def test_groups_are_those_of_the_faces_that_are_drawn():
    groups = groups_of(CONFIG, [0, 5])
    for name, number in (("s01", 0), ("s06", 5)):
        look = write_script(CONFIG, number, 0).look
        assert groups.loc[name, "glasses"] == ("glasses" if look["glasses"] > 0.5 else "none")
        tone = float(look["tone"])
        assert groups.loc[name, "skin tone"] == (
            "light" if tone < 1 / 3 else "medium" if tone < 2 / 3 else "dark"
        )
    assert list(groups) == list(ATTRIBUTES)


def test_a_balanced_choice_has_more_of_the_rare_and_is_always_the_same():
    chosen = balanced_subjects(CONFIG, 8)
    assert len(set(chosen)) == 8
    groups = groups_of(CONFIG)
    counts = [groups.iloc[chosen][a].value_counts().reindex(groups[a].unique(), fill_value=0) for a in groups]
    assert min(min(c) for c in counts) >= 2
    spread = [abs(groups.iloc[p]["glasses"].eq("glasses").mean() - 0.5) for p in (chosen, range(16))]
    assert spread[0] < spread[1]
    with pytest.raises(InputError, match="17 subjects of 16"):
        balanced_subjects(CONFIG, 17)


def test_only_the_chosen_people_are_generated(tmp_path):
    config = SynthConfig(subjects=6, seconds=1, seed=3, size=32)
    out = synthesize_balanced(tmp_path / "set", config, 2, progress=False)
    dataset = read_dataset(out)
    wanted = [f"s{s + 1:02d}" for s in balanced_subjects(config, 2)]
    assert sorted(dataset.videos["subject"]) == wanted and dataset.videos["path"].notna().all()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=12, max_size=12))
def test_group_figures_are_sums_over_their_people(counts):
    tp, fp, fn = np.array(counts).T
    table, gaps = f1_by_group(people(tp, fp, fn), halves(), n_resamples=30)
    for k, group in enumerate(("none", "glasses")):
        row = table[table["group"] == group].iloc[0]
        a, b, c = (x[k::2].sum() for x in (tp, fp, fn))
        assert (row["tp"], row["fp"], row["fn"], row["events"]) == (a, b, c, a + c) and row["subjects"] == 6
        assert np.isnan(row["f1"]) if a + b + c == 0 else row["f1"] == pytest.approx(2 * a / (2 * a + b + c))
    if not table["f1"].isna().any():
        assert gaps.loc["glasses", "gap"] == pytest.approx(abs(table["f1"].iloc[0] - table["f1"].iloc[1]))


def test_a_planted_gap_is_called_one_and_equal_people_are_not():
    tp = np.array([5, 1] * 6)
    fn = 6 - tp
    gaps = f1_by_group(people(tp, fn, fn), halves())[1]
    assert gaps.loc["glasses", ["best", "worst"]].tolist() == ["none", "glasses"]
    assert gaps.loc["glasses", "low"] > 0.3 and "glasses: a gap" in gap_in_words(gaps)[0]
    mixed = np.array([5, 5, 1, 1] * 3)
    same = f1_by_group(people(mixed, 6 - mixed, 6 - mixed), halves())[1]
    assert same.loc["glasses", "gap"] == 0 and "no gap" in gap_in_words(same)[0]


def test_the_order_of_people_does_not_matter():
    tp = np.arange(12) % 5
    table = people(tp, tp[::-1], 5 - tp)
    one = f1_by_group(table, halves(), n_resamples=0 + 20)[0].set_index("group")["f1"]
    two = f1_by_group(table.sample(frac=1, random_state=1), halves(), n_resamples=20)[0].set_index("group")[
        "f1"
    ]
    pd.testing.assert_series_equal(one.sort_index(), two.sort_index())


def test_few_people_have_no_interval_and_strangers_are_refused():
    groups = halves().iloc[:2]
    table, gaps = f1_by_group(people([3, 1], [0, 0], [1, 3]), groups)
    assert table["low"].isna().all() and "1 subject in the smaller group" in gap_in_words(gaps)[0]
    with pytest.raises(InputError, match="s03"):
        f1_by_group(people([1] * 3, [0] * 3, [0] * 3), groups)

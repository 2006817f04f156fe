"""Two coders of one video stay two coders, and how far they agree."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fedet.annotations.formats import read_intervals, write_intervals
from fedet.annotations.table import validate, write_csv
from fedet.cli.main import app
from fedet.errors import InputError
from fedet.evaluation.coders import coder_of, coders_agreement

N = 300
events = st.lists(
    st.tuples(st.integers(0, N - 20), st.integers(3, 19), st.sampled_from(["positive", "negative"])),
    min_size=1, max_size=6,
)  # fmt: skip


def coded(rows, fps=30.0, **columns) -> pd.DataFrame:
    table = pd.DataFrame([{"onset": a, "offset": a + n, "emotion": e} for a, n, e in rows])
    return validate(table.assign(video="clip", subject="s1", fps=fps, **columns))[0]


def slow_alpha(tables) -> float | None:
    """Krippendorff's nominal alpha by his coincidence matrix, frame by frame."""
    columns = []
    for table in tables.values():
        column = ["none"] * N
        for row in table.sort_values("onset", kind="stable").itertuples():
            column[row.onset : row.offset + 1] = [row.emotion] * (row.offset + 1 - row.onset)
        columns.append(column)
    together, single = {}, {}
    for unit in zip(*columns, strict=True):
        for i, a in enumerate(unit):
            single[a] = single.get(a, 0) + 1
            for j, b in enumerate(unit):
                if i != j:
                    together[a, b] = together.get((a, b), 0) + 1 / (len(unit) - 1)
    n = sum(single.values())
    seen = sum(v for (a, b), v in together.items() if a != b)
    chance = sum(single[a] * single[b] for a in single for b in single if a != b) / (n - 1)
    return None if chance == 0 else 1 - seen / chance


@settings(max_examples=30, deadline=None)
@given(st.lists(events, min_size=2, max_size=4))
def test_alpha_against_the_slow_reference(coders):
    tables = {f"c{i}": coded(rows) for i, rows in enumerate(coders)}
    found = coders_agreement(tables, n_frames={"clip": N})
    assert found.alpha == pytest.approx(slow_alpha(tables))
    assert len(found.pairs) == len(tables) * (len(tables) - 1) / 2
    assert found.coders == {name: len(table) for name, table in tables.items()}


def test_kappa_of_frames_is_that_of_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    one, other = (
        coded([(10, 19, "positive"), (100, 9, "negative")]),
        coded([(15, 19, "positive"), (200, 9, "others")]),
    )
    labels = []
    for table in (one, other):
        column = np.full(N, "none", object)
        for row in table.itertuples():
            column[row.onset : row.offset + 1] = row.emotion
        labels.append(column.astype(str))
    pairs = coders_agreement({"Ann": one, "Ben": other}, n_frames={"clip": N}).pairs
    assert pairs.loc[0, "kappa_frames"] == pytest.approx(cohen_kappa_score(*labels), abs=5e-4)


def test_coders_at_other_rates_are_compared_by_time():
    one, other = coded([(30, 29, "positive")]), coded([(60, 59, "positive")], fps=60.0)
    assert coders_agreement({"Ann": one, "Ben": other}, n_frames={"clip": N}).alpha == pytest.approx(1)


def test_people_of_one_video_do_not_hide_each_other():
    left, right = coded([(30, 29, "positive")]), coded([(40, 29, "negative")]).assign(subject="s2")
    both = pd.concat([left, right], ignore_index=True)
    assert coders_agreement(
        {"Ann": both, "Ben": both.iloc[::-1]}, n_frames={"clip": N}
    ).alpha == pytest.approx(1)
    swapped = both.assign(subject=["s2", "s1"])
    assert coders_agreement({"Ann": both, "Ben": swapped}, n_frames={"clip": N}).alpha < 0.5


def test_a_video_that_one_of_them_did_not_code_is_no_error():
    one = coded([(30, 29, "positive")])
    more = pd.concat([one, coded([(3, 9, "negative")]).assign(video="other")], ignore_index=True)
    found = coders_agreement({"Ann": one, "Ben": more}, n_frames={"clip": N, "elsewhere": 9})
    assert found.pairs.loc[0, "matched"] == 1 and found.alpha is not None


def test_one_coder_is_no_agreement():
    with pytest.raises(InputError, match="agreement needs two coders or more, and here is Ann"):
        coders_agreement({"Ann": coded([(1, 5, "others")])})


@pytest.mark.parametrize("suffix", [".csv", ".eaf", ".json", ".vtt"])
def test_the_same_event_of_two_coders_is_two_rows_in_every_file(tmp_path, suffix):
    rows = [(30, 20, "positive"), (30, 20, "positive"), (90, 20, "others")]
    table = coded(rows, coder=["Ann", "Ben", "Ben"])
    assert len(table) == 3 and coder_of(table).tolist() == ["Ann", "Ben", "Ben"]
    write_intervals(table, tmp_path / f"clip{suffix}")
    got, _ = read_intervals(tmp_path / f"clip{suffix}")
    assert sorted(coder_of(got)) == ["Ann", "Ben", "Ben"]


def test_who_coded_is_the_coder_or_the_tier_but_never_an_emotion():
    sources = ["Anna", "happy", None, "review by Ben at 2026-01-01: accepted", "fedet"]
    table = coded([(1, 5, "others")] * 5, source=sources,
                  score=[None, None, None, None, 0.5], note=list("abcde"))  # fmt: skip
    assert coder_of(table).tolist() == ["Anna", "truth", "truth", "Ben", "fedet"]


def test_the_command_takes_a_file_for_each_or_one_for_all(tmp_path):
    one, other = (
        coded([(10, 19, "positive"), (100, 9, "negative")]),
        coded([(12, 19, "positive"), (200, 9, "others")]),
    )
    write_csv(one, tmp_path / "ann.csv")
    write_csv(other, tmp_path / "ben.csv")
    both = pd.concat([one.assign(coder="ann"), other.assign(coder="ben")], ignore_index=True)
    write_csv(both, tmp_path / "both.csv")
    out = ["--out", str(tmp_path / "o.csv")]
    shown = [CliRunner().invoke(app, ["agree", *(str(tmp_path / name) for name in names), *out])
             for names in (["ann.csv", "ben.csv"], ["both.csv"])]  # fmt: skip
    assert [result.exit_code for result in shown] == [0, 0], shown[0].output + shown[1].output
    tails = [result.output[result.output.index("ann: 2 events") :] for result in shown]
    assert tails[0] == tails[1] and "Krippendorff's alpha: 0." in tails[0]
    assert {"first", "second", "matched", "kappa_frames", "alpha"} <= set(
        pd.read_csv(tmp_path / "o.csv").columns
    )

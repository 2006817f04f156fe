import math
from fractions import Fraction

import numpy as np
import pytest
from event_tables import THRESHOLDS, aligned, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_reference import drawn, slow_ap, slow_counts, slow_f1

from fedet import metrics
from fedet.errors import InputError
from fedet.evaluation.bootstrap import (
    bootstrap,
    paired_difference,
    resampled_ap,
    resampled_sums,
    subject_weights,
    t_interval,
)
from fedet.matching import match, match_emotions, overlap_pairs

SLOW = settings(max_examples=40)
weights_of_three = st.sampled_from([(1, 1, 1), (3, 0, 0), (0, 2, 1), (1, 0, 2)])


def f1_of(sums):
    return metrics.f1(*np.moveaxis(sums, -1, 0))


def test_weights_are_draws_with_replacement():
    weights = subject_weights(7, 500, seed=3)
    assert weights.shape == (500, 7) and (weights.sum(axis=1) == 7).all()
    assert (weights == np.rint(weights)).all() and weights.min() == 0 and weights.max() > 1
    np.testing.assert_array_equal(weights, subject_weights(7, 500, seed=3))
    assert (weights != subject_weights(7, 500, seed=4)).any()
    # Over many draws every subject is as likely as any other: mean 1, variance 6 / 7.
    np.testing.assert_allclose(subject_weights(7, 20_000).mean(axis=0), 1, atol=0.05)
    np.testing.assert_allclose(subject_weights(7, 20_000).var(axis=0), 6 / 7, atol=0.05)


def test_sums_over_the_drawn_subjects():
    rng = np.random.default_rng(0)
    per_subject = rng.integers(0, 9, (4, 2, 3))
    draws = rng.integers(0, 4, (50, 4))
    weights = np.stack([np.bincount(d, minlength=4) for d in draws]).astype(float)
    expected = np.stack([sum(per_subject[s] for s in d) for d in draws])
    np.testing.assert_array_equal(resampled_sums(weights, per_subject), expected)


@SLOW
@given(
    rows(predicted=True, max_size=12),
    rows(predicted=False),
    st.sampled_from(THRESHOLDS),
    weights_of_three,
)
def test_resampled_figures_are_those_of_the_resampled_data(predictions, truths, tiou, times):
    a = aligned(predictions, truths)
    pairs = overlap_pairs(a.predictions, a.truths, tiou)
    spotted, found = match(pairs, tiou), match_emotions(pairs, a.predictions, a.truths, tiou)
    by_subject = dict(zip(a.subjects, times, strict=True))
    copies = drawn(predictions, by_subject), drawn(truths, by_subject)
    exact, classes = Fraction(tiou).limit_denominator(100), list(a.classes)
    weights = np.array([times, times], float)

    counts = metrics.spotting_counts(a, spotted)[:, 0]
    value = f1_of(resampled_sums(weights, counts))
    expected = slow_f1(*slow_counts(*copies, exact, classes, 10))
    assert math.isnan(value[0]) if expected is None else value[0] == pytest.approx(expected)

    rankings = {"spotting": metrics.rank_predictions(a, spotted)}
    rankings |= {name: metrics.rank_predictions(a, found, i) for i, name in enumerate(classes)}
    for name, ranking in rankings.items():
        values = resampled_ap(weights, ranking)
        expected = slow_ap(*copies, name, exact, classes)
        assert values[0] == values[1] or math.isnan(values[0])
        assert math.isnan(values[0]) if expected is None else values[0] == pytest.approx(expected)


def random_ranking(rng, n=2000, subjects=12, rate=0.1):
    hits = (rng.random(n) < rate).astype(int)
    events = rng.integers(20, 40, subjects)
    who = rng.integers(0, subjects, n)
    return metrics.Ranking(hits, 1 - hits, who, np.linspace(1, 0, n), events)


def test_resampled_ap_of_everyone_once_is_the_ap_in_parts_as_at_once(monkeypatch):
    ranking = random_ranking(np.random.default_rng(0))
    weights = np.vstack([np.ones(12), subject_weights(12, 40)])
    whole = resampled_ap(weights, ranking)
    assert whole[0] == pytest.approx(metrics.average_precision(ranking))
    monkeypatch.setattr("fedet.evaluation.bootstrap.CELLS_AT_ONCE", 1000)
    np.testing.assert_allclose(resampled_ap(weights, ranking), whole)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        skill = rng.beta(6, 4, 30)  # subjects differ; the mean skill is 0.6
        tp = rng.binomial(20, skill)
        counts = np.stack([tp, np.zeros(30), 20 - tp], axis=-1)
        found = bootstrap(lambda s: s[..., 0] / s.sum(-1), counts, 300, seed)
        covered += found.low <= 0.6 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_one_subject_has_no_interval():
    found = bootstrap(f1_of, np.array([[3, 1, 2]]))
    assert math.isnan(found.low) and math.isnan(found.high)


def test_resamples_without_a_value_are_counted():
    found = bootstrap(f1_of, np.array([[3, 1, 2], [0, 0, 0]]), 400)
    assert 50 < found.undefined < 150  # both draws are the silent subject: 1 in 4
    assert found.low == found.high == f1_of(np.array([3, 1, 2]))


def test_paired_differences_are_narrower_than_unpaired_ones():
    rng = np.random.default_rng(0)
    hard = rng.integers(0, 20, 15)  # how many of 20 events of a subject can be found at all
    first = np.stack([hard, 20 - hard, 20 - hard], axis=-1)
    second = np.stack([np.maximum(hard - 1, 0), 21 - hard, 21 - hard], axis=-1)
    weights = subject_weights(15)
    a, b = (f1_of(resampled_sums(weights, counts)) for counts in (first, second))
    gap = float(f1_of(first.sum(0)) - f1_of(second.sum(0)))
    paired, share = paired_difference(a, b)
    unpaired, _ = paired_difference(a, b[::-1])
    assert t_interval(gap, paired, 15).low > 0 and share == 1
    far = t_interval(gap, unpaired, 15)
    assert far.low < 0 < far.high
    assert paired_difference(a, a)[1] == 0.5
    np.testing.assert_allclose(paired_difference(b, a)[0], -paired)


def test_unlike_resamples_are_refused():
    with pytest.raises(InputError, match="10 and 20"):
        paired_difference(np.zeros(10), np.zeros(20))

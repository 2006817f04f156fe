"""How often intervals of nominal 95 % hold the true value, with few subjects and seeds: a simulation.

People differ in how many events they show, how well these are found and how many false alarms they cause; a
training run shifts how well a method does on everybody, and each person's share by some more.
"""

import numpy as np
import pytest
from scipy.stats import norm

from fedet.evaluation.bootstrap import resampled_sums, subject_weights, t_interval
from fedet.metrics import f1

ADVANTAGE, RUNS = 0.04, 0.05  # of the first method on average; standard deviation of a run's luck


def people(rng, n):
    """Events, skill and false alarms of n people."""
    return 1 + rng.poisson(9 * rng.gamma(2, 0.5, n)), rng.beta(4, 3, n), rng.gamma(1, 3, n)


def counts_of(rng, subjects, shift):
    """(n, 3) tp, fp, fn of one method."""
    events, skill, alarms = subjects
    tp = rng.binomial(events, np.clip(skill + shift, 0, 1))
    return np.stack([tp, rng.poisson(alarms), events - tp], axis=-1).astype(float)


def f1_of(sums):
    return f1(*np.moveaxis(sums, -1, 0))


def bca(value, samples, jackknife):
    """The bias-corrected and accelerated interval of Efron (1987)."""
    share = np.mean(samples < value) + 0.5 * np.mean(samples == value)
    z0 = norm.ppf(np.clip(share, 0.001, 0.999))
    u = jackknife.mean() - jackknife
    a = (u**3).sum() / (6 * max((u**2).sum(), 1e-12) ** 1.5)
    z = z0 + norm.ppf([0.025, 0.975])
    return np.quantile(samples, norm.cdf(z0 + z / (1 - a * z)))


def coverage(n, times, seed=0):
    """Share of simulated studies of n subjects whose interval of a paired difference holds the true one:
    percentile, BCa and t."""
    rng = np.random.default_rng(seed)

    def study(size):
        subjects = people(rng, size)
        return counts_of(rng, subjects, ADVANTAGE), counts_of(rng, subjects, 0)

    many = study(400_000)
    true = f1_of(many[0].sum(0)) - f1_of(many[1].sum(0))
    held = np.zeros(3)
    for k in range(times):
        pair = study(n)
        weights = subject_weights(n, 400, seed=k)
        value = f1_of(pair[0].sum(0)) - f1_of(pair[1].sum(0))
        samples = np.subtract(*(f1_of(resampled_sums(weights, c)) for c in pair))
        left_out = np.subtract(*(f1_of(c.sum(0) - c) for c in pair))
        t = t_interval(float(value), samples, n)
        limits = np.percentile(samples, [2.5, 97.5]), bca(value, samples, left_out), (t.low, t.high)
        held += [low <= true <= high for low, high in limits]
    return held / times


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20, 30])
def test_t_intervals_cover_where_percentile_and_bca_intervals_do_not(n):
    percentile, corrected, t = coverage(n, 1500)
    assert 0.93 <= t <= 0.975
    if n <= 10:
        assert percentile < 0.92 and corrected < 0.92 and t > max(percentile, corrected)


def test_t_intervals_of_few_subjects_cover():
    percentile, _, t = coverage(8, 250)
    assert t >= 0.91 and t > percentile


def seed_coverage(n, runs, times, seed=1):
    """Coverage of a difference of two methods with `runs` training runs each: seeds left out, and in."""
    rng = np.random.default_rng(seed)
    subjects = people(rng, 20_000)
    luck = RUNS * norm.ppf((np.arange(40) + 0.5) / 40)
    of_run = [f1_of(counts_of(rng, subjects, shift).sum(0)) for shift in luck]
    ahead = [f1_of(counts_of(rng, subjects, ADVANTAGE + shift).sum(0)) for shift in luck]
    true = np.mean(ahead) - np.mean(of_run)
    held = np.zeros(2)
    for k in range(times):
        subjects, weights = people(rng, n), subject_weights(n, 200, seed=k)
        first = [counts_of(rng, subjects, ADVANTAGE + rng.normal(0, RUNS)) for _ in range(runs)]
        second = [counts_of(rng, subjects, rng.normal(0, RUNS)) for _ in range(runs)]
        by_seed = np.array([f1_of(a.sum(0)) - f1_of(b.sum(0)) for a, b in zip(first, second, strict=True)])
        pairs = zip(first, second, strict=True)
        samples = np.mean(
            [f1_of(resampled_sums(weights, a)) - f1_of(resampled_sums(weights, b)) for a, b in pairs], axis=0
        )
        for i, values in enumerate(((), by_seed)):
            found = t_interval(float(by_seed.mean()), samples, n, by_seed=values)
            held[i] += found.low <= true <= found.high
    return held / times


def test_intervals_that_leave_the_seeds_out_are_too_short():
    without, with_seeds = seed_coverage(20, 3, 200)
    assert without < 0.9 <= with_seeds


@pytest.mark.slow
@pytest.mark.parametrize(("n", "runs"), [(8, 5), (20, 5), (20, 3)])
def test_intervals_over_subjects_and_seeds_cover(n, runs):
    without, with_seeds = seed_coverage(n, runs, 800)
    assert 0.93 <= with_seeds <= 0.99 and without < with_seeds


def test_the_seeds_widen_an_interval_by_their_variance():
    samples = np.random.default_rng(0).normal(0.5, 0.05, 1000)
    alone = t_interval(0.5, samples, 20)
    same = t_interval(0.5, samples, 20, by_seed=[0.5, 0.5, 0.5])
    apart = t_interval(0.5, samples, 20, by_seed=[0.4, 0.5, 0.6])
    assert (same.low, same.high) == pytest.approx((alone.low, alone.high))
    assert apart.high - apart.low > same.high - same.low
    one = t_interval(0.5, samples, 20, by_seed=[0.4])
    assert (one.low, one.high) == (alone.low, alone.high)

"""Intervals over subjects and training seeds; subjects are resampled, since a person's events are alike.

A resample draws as many subjects as there are, with replacement; here it is a row of weights, how
often each subject was drawn. Sums of counts over 1,000 resamples are then one matrix product.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedet.errors import InputError
from fedet.metrics import Ranking, mean_at_recall_points

N_RESAMPLES = 1_000
LEVEL = 0.95
CLAIM_SEEDS = 5  # training runs without which no difference between methods is called a fact
CELLS_AT_ONCE = 4_000_000  # bounds the memory of resampled curves


@dataclass(frozen=True)
class Interval:
    """Interval of a figure: `low`, `high`, and the number of resamples in which the figure was
    `undefined`, which are left out. NaN where no interval can be given."""

    low: float
    high: float
    undefined: int


def subject_weights(n_subjects: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each subject is drawn, (n_resamples, n_subjects); each row sums to n_subjects.

    The same arguments give the same resamples, which is what makes differences paired.
    """
    if n_subjects == 0:
        return np.zeros((n_resamples, 0))
    drawn = np.random.default_rng(seed).integers(0, n_subjects, (n_resamples, n_subjects))
    cells = np.arange(n_resamples)[:, None] * n_subjects + drawn
    counts = np.bincount(cells.ravel(), minlength=n_resamples * n_subjects)
    return counts.reshape(n_resamples, n_subjects).astype(float)


def resampled_sums(weights: np.ndarray, per_subject: np.ndarray) -> np.ndarray:
    """Sums over the drawn subjects, (R, ...), of statistics (S, ...) per subject."""
    flat = np.reshape(per_subject, (weights.shape[1], -1)).astype(float)
    return (weights @ flat).reshape(len(weights), *np.shape(per_subject)[1:])


def resampled_ap(weights: np.ndarray, ranking: Ranking, recall_points: bool = False) -> np.ndarray:
    """Average precision of each resample, (R,), NaN where no event of the class was drawn.

    Which prediction finds which event does not depend on who is drawn, so only the counts along
    the ranking are weighted; between two hits nothing but their sum matters.
    """
    at = np.flatnonzero(ranking.true_positives)
    n_events = weights @ ranking.events
    if not len(at):
        return np.where(n_events > 0, 0.0, np.nan)
    # Row k: what each subject adds after hit k - 1 up to and including hit k.
    block = np.searchsorted(at, np.arange(at[-1] + 1))
    counted, size = (ranking.true_positives + ranking.false_positives)[: at[-1] + 1], weights.shape[1]
    cell = block * size + ranking.subject[: at[-1] + 1]
    per_block = np.bincount(cell, counted, minlength=len(at) * size).reshape(len(at), size)
    along = np.cumsum(per_block, axis=0)
    result = np.empty(len(weights))
    step = max(1, CELLS_AT_ONCE // len(at))
    for start in range(0, len(weights), step):
        chunk = weights[start : start + step]
        gained = chunk[:, ranking.subject[at]] * ranking.true_positives[at]  # (r, K)
        hits, total = np.cumsum(gained, axis=1), chunk @ along.T
        reached = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
        best = np.maximum.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
        there = np.maximum(n_events[start : start + step], 1)
        area = (gained * best).sum(axis=1) / there
        result[start : start + step] = mean_at_recall_points(hits, best, there) if recall_points else area
    return np.where(n_events > 0, result, np.nan)


def t_interval(
    value: float, samples: np.ndarray, subjects: int, level: float = LEVEL, by_seed: ArrayLike = ()
) -> Interval:
    """The interval of a figure, over subjects and training seeds.

    Student's t times a standard error. Its square is the variance of the resampled values times
    n / (n - 1), which is what a bootstrap of n subjects leaves out, plus the variance of the mean over the
    seeds; the degrees of freedom follow Satterthwaite (1946). With few subjects a percentile or a BCa
    interval is too short; tests/evaluation/test_coverage.py has the simulation.

    Args:
        value: of the data. samples: (R,) values of resamples of subjects, NaN where undefined.
        subjects: how many there are.
        by_seed: (K,) the figure of each training run, or of each pair of runs; fewer than two: the
            interval is over subjects alone.
    """
    samples = np.asarray(samples, float)
    defined = samples[~np.isnan(samples)]
    undefined = len(samples) - len(defined)
    if len(defined) < 2 or subjects < 2 or math.isnan(value):
        return Interval(float("nan"), float("nan"), undefined)
    seeds = np.asarray(by_seed, float)
    seeds = seeds[~np.isnan(seeds)]
    parts = [(float(defined.var()) * subjects / (subjects - 1), subjects - 1)]
    if len(seeds) > 1:
        parts.append((float(seeds.var(ddof=1)) / len(seeds), len(seeds) - 1))
    variance = sum(part for part, _ in parts)
    # Resamples of one value differ by rounding at most: then nothing is known to vary.
    if variance < 1e-24:
        return Interval(float(value), float(value), undefined)
    from scipy.stats import t as student_t  # not at the top: the metrics alone do without scipy

    freedom = variance**2 / sum(part**2 / n for part, n in parts)
    half = float(student_t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Interval(float(value) - half, float(value) + half, undefined)


def bootstrap(
    figure: Callable[[np.ndarray], np.ndarray],
    per_subject: np.ndarray,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Interval of a figure that is a function of sums over subjects.

    Args:
        figure: maps sums (..., K) to values (...), like `lambda c: f1(c[..., 0], ...)`.
        per_subject: (S, K) counts by subject.

    With fewer than two subjects nothing varies: the interval is undefined.
    """
    if len(per_subject) < 2:
        return Interval(float("nan"), float("nan"), 0)
    weights = subject_weights(len(per_subject), n_resamples, seed)
    value = float(figure(np.sum(per_subject, axis=0)))
    return t_interval(value, figure(resampled_sums(weights, per_subject)), len(per_subject), level)


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """Differences first - second of the same resamples, (R,), and the share of them above 0.

    Args:
        first, second: (R,) resampled values of one figure for two methods, from the same
            `subject_weights`. A draw of 0 difference counts half in the share.
    """
    if np.shape(first) != np.shape(second):
        raise InputError(f"{len(first)} and {len(second)} resamples: evaluate both with the same number")
    gap = np.asarray(first, float) - np.asarray(second, float)
    defined = gap[~np.isnan(gap)]
    share = float(np.mean((defined > 0) + 0.5 * (defined == 0))) if len(defined) else float("nan")
    return gap, share

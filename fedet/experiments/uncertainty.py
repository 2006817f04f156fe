"""What an interval leaves out, on simulated people: the luck of training, one look too many (notebook 06).

The people exist as counts only: how many expressions each shows, how well these are found, how many false
alarms each causes. All methods are equally good, so whatever puts one ahead is luck.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedet.evaluation.bootstrap import resampled_sums, subject_weights, t_interval
from fedet.metrics import f1

SKILL = (4, 3)  # of the beta distribution of the share of a person's events that is found


def simulate_counts(rng: np.random.Generator, people: int, runs: int, luck: float) -> np.ndarray:
    """(runs, people, 3) counts tp, fp, fn of training runs of equally good methods on the same people.

    Args:
        luck: standard deviation of how much better or worse a run is on everybody.
    """
    events = 1 + rng.poisson(9 * rng.gamma(2, 0.5, people))
    skill, alarms = rng.beta(*SKILL, people), rng.gamma(1, 3, people)
    found = np.clip(skill + rng.normal(0, luck, (runs, 1)), 0, 1)
    tp = rng.binomial(events, found)
    return np.stack([tp, rng.poisson(alarms, tp.shape), events - tp], axis=-1)


def seeds_in_and_out(
    people: int = 20, seeds: Sequence[int] = (1, 3, 5), luck: float = 0.05, studies: int = 200, seed: int = 0
) -> pd.DataFrame:
    """How often two equally good methods seem different, by what the interval of their difference holds.

    Returns: index: training runs of each method; the share of studies whose nominal 95 % interval leaves 0
        out, over subjects alone and over subjects and seeds, and the mean width of both.
    """
    rows = {}
    for n in seeds:
        rng, away, width = np.random.default_rng((seed, n)), np.zeros(2), np.zeros(2)
        for study in range(studies):
            counts = simulate_counts(rng, people, 2 * n, luck).astype(float)
            weights = subject_weights(people, 200, seed=study)
            by_run = f1(*np.moveaxis(counts.sum(1), -1, 0))
            drawn = np.stack([f1(*np.moveaxis(resampled_sums(weights, c), -1, 0)) for c in counts])
            gap, samples = by_run[:n] - by_run[n:], drawn[:n].mean(0) - drawn[n:].mean(0)
            for i, by_seed in enumerate(((), gap)):
                found = t_interval(float(gap.mean()), samples, people, by_seed=by_seed)
                away[i] += not found.low <= 0 <= found.high
                width[i] += found.high - found.low
        rows[n] = [*away / studies, *width / studies]
    columns = ["leaves 0 out, seeds out", "leaves 0 out, seeds in", "width, seeds out", "width, seeds in"]
    if 1 in rows:
        rows[1][1] = rows[1][3] = np.nan  # one run has no spread
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("seeds")


def looks_at_a_test_set(
    people: int = 20,
    looks: Sequence[int] = (1, 3, 10, 30),
    luck: float = 0.02,
    studies: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """What choosing by the figures of the test people adds: the best of so many equally good variants.

    Returns: index: looks; mean F1 of the chosen variant on the people that it was chosen on and on as many
        new ones, and the difference, by which a headline would be too high.
    """
    rows = {}
    for n in looks:
        rng, values = np.random.default_rng((seed, n)), np.zeros(2)
        for _ in range(studies):
            seen = f1(*np.moveaxis(simulate_counts(rng, people, n, luck).sum(1), -1, 0))
            fresh = f1(*np.moveaxis(simulate_counts(rng, people, 1, luck).sum(1), -1, 0))
            values += [seen.max(), fresh[0]]
        rows[n] = [*values / studies, (values[0] - values[1]) / studies]
    columns = ["on the people chosen on", "on new people", "too high by"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("looks")

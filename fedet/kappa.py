"""Cohen's kappa with an interval over subjects, for two labels of the same events.

For expert against self-reported emotion (two columns of one table), and for two people who
annotated the same videos, whose events are first matched by overlap.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fedet.alignment import align
from fedet.annotations import EMOTIONS
from fedet.bootstrap import LEVEL, N_RESAMPLES, Interval, bootstrap
from fedet.errors import InputError
from fedet.matching import STRICT, Conventions, match_closest, overlap_pairs
from fedet.metrics import accuracy, f1


@dataclass(frozen=True)
class LabelAgreement:
    """Two labels of `n` events.

    Attributes:
        n: events with both labels.
        kappa, share: Cohen's kappa and the share of equal labels, with percentile intervals over
            subjects in `kappa_interval` and `share_interval`.
        confusion: counts; rows the first labels, columns the second.
        unlabelled: events that lack one of the labels; they are left out.
        only_first, only_second: events that one annotator alone has; 0 for labels of one table.
        f1: how far two annotators agree on the events; NaN for labels of one table.
    """

    n: int
    kappa: float
    kappa_interval: Interval
    share: float
    share_interval: Interval
    confusion: pd.DataFrame
    unlabelled: int = 0
    only_first: int = 0
    only_second: int = 0
    f1: float = float("nan")


def cohen_kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e), of confusion matrices (..., K, K) of counts.

    Undefined without events, and where chance alone would always agree (one label throughout).

    >>> float(cohen_kappa([[20, 5], [10, 15]]).round(2))
    0.4
    """
    confusion = np.asarray(confusion, float)
    total = confusion.sum((-1, -2))
    chance = (confusion.sum(-1) * confusion.sum(-2)).sum(-1)  # total**2 * p_e, a whole number
    observed = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1) * total
    below = total**2 - chance
    return np.divide(observed - chance, below, out=np.full(below.shape, np.nan), where=below > 0)


def label_agreement(
    first: pd.Series,
    second: pd.Series,
    subject: pd.Series,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> LabelAgreement:
    """Agreement of two labels of the same events, like emotion and emotion_self_report.

    Args:
        first, second: (N,) labels; a missing or empty one is unlabelled.
        subject: (N,) whose event it is.

    >>> said = pd.Series(["positive", "negative"])
    >>> label_agreement(said, said, pd.Series(["s1", "s2"])).kappa
    1.0
    """
    if not len(first) == len(second) == len(subject):
        raise InputError(f"{len(first)}, {len(second)} labels, {len(subject)} subjects: one each")
    columns = [x.reset_index(drop=True).astype("string").fillna("") for x in (first, second)]
    labels = _labels(*columns)
    both = ((columns[0] != "") & (columns[1] != "")).to_numpy(bool)
    code = {name: i for i, name in enumerate(labels)}
    a, b = (x[both].map(code).to_numpy(np.int64) for x in columns)
    who, names = pd.factorize(subject.reset_index(drop=True).astype("string").fillna("")[both])
    k, size = len(labels), len(names)
    cells = np.bincount((who * k + a) * k + b, minlength=size * k * k)
    by_subject = cells.reshape(size, k, k)
    total = by_subject.sum(axis=0)
    return LabelAgreement(
        n=len(a),
        kappa=float(cohen_kappa(total)),
        kappa_interval=bootstrap(cohen_kappa, by_subject, n_resamples, seed, level),
        share=float(accuracy(total)),
        share_interval=bootstrap(accuracy, by_subject, n_resamples, seed, level),
        confusion=pd.DataFrame(total, index=labels, columns=labels),
        unlabelled=int((~both).sum()),
    )


def _labels(*columns: pd.Series) -> list[str]:
    seen = {str(x) for column in columns for x in column} - {""}
    return [e for e in EMOTIONS if e in seen] + sorted(seen - set(EMOTIONS))


def matched_agreement(
    first: pd.DataFrame,
    second: pd.DataFrame,
    label: str = "emotion",
    tiou: float = 0.5,
    conventions: Conventions = STRICT,
    **options,
) -> LabelAgreement:
    """Agreement of two annotators of the same videos, from their canonical tables.

    Their events are matched one to one, the closest pairs first, if they overlap by `tiou`; the
    labels of the matched events are compared. `options` are those of `label_agreement`.
    """
    for table in (first, second):
        if label not in table:
            raise InputError(f"no column {label}; found {', '.join(map(str, table.columns))}")
    common = align(second.drop(columns="score", errors="ignore"), first, score=1.0)
    pairs = overlap_pairs(common.predictions, common.truths, tiou, conventions)
    found = match_closest(pairs, tiou, conventions).found_by
    t = np.flatnonzero(found >= 0)
    names = np.array(common.subjects, dtype=object)[common.truths.subject[t]]
    columns = first[label].iloc[t], second[label].iloc[found[t]]
    result = label_agreement(*columns, pd.Series(names, dtype=object), **options)
    only = len(first) - len(t), len(second) - len(t)
    agreed = float(f1(len(t), only[1], only[0]))
    return replace(result, only_first=only[0], only_second=only[1], f1=agreed)

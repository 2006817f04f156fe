"""The metrics: spotting, recognition, STRS, detection, average precision, calibration.

Pure functions of counts and arrays; only numpy and pandas are needed. A value that is not
defined (no event and no prediction, say) is NaN here, "-" in print and null in JSON.
Counts and confusion matrices may have leading axes (subjects, resamples), which are kept.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fedet.errors import InputError
from fedet.matching import STRICT, Aligned, Conventions, Matching

TYPES = ("overall", "macro", "micro")
MAP_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
AP_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def precision(tp: ArrayLike, fp: ArrayLike) -> np.ndarray:
    """tp / (tp + fp); undefined without predictions."""
    return _ratio(tp, np.add(tp, fp))


def recall(tp: ArrayLike, fn: ArrayLike) -> np.ndarray:
    """tp / (tp + fn); undefined without events."""
    return _ratio(tp, np.add(tp, fn))


def f1(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> np.ndarray:
    """2 tp / (2 tp + fp + fn): 0 with events and no prediction, undefined with neither.

    >>> float(f1(3, 1, 2))
    0.6666666666666666
    """
    return _ratio(np.multiply(2, tp), 2 * np.asarray(tp) + np.asarray(fp) + np.asarray(fn))


def spotting_counts(aligned: Aligned, matching: Matching, conventions: Conventions = STRICT) -> np.ndarray:
    """Counts (S, 3, 3): subjects; overall, macro, micro; tp, fp, fn.

    An event, found or missed, belongs to its annotated type, an unmatched prediction to the type
    of its duration.
    """
    predictions, truths = aligned.predictions, aligned.truths
    found, wrong = matching.found_by >= 0, matching.false_positives()
    size = len(aligned.subjects)
    counts = np.zeros((size, 3, 3), dtype=np.int64)
    for row, micro in enumerate((None, False, True)):
        of_t = (truths.micro == micro) | (micro is None)
        of_p = (predictions.micro == micro) | (micro is None)
        counts[:, row, 0] = np.bincount(truths.subject[found & of_t], minlength=size)
        counts[:, row, 1] = np.bincount(predictions.subject[wrong & of_p], minlength=size)
        counts[:, row, 2] = np.bincount(truths.subject[~found & of_t], minlength=size)
    if conventions.dummy_false_positive:
        empty = ~np.isin(np.arange(len(aligned.videos)), predictions.video)
        if conventions.skip_videos_without_events:
            empty &= np.isin(np.arange(len(aligned.videos)), truths.video)
        dummies = np.bincount(aligned.video_subjects()[empty], minlength=size)
        counts[:, (0, 2), 1] += dummies[:, None]  # [0, 0] lasts one frame: micro
    return counts


def detection_counts(aligned: Aligned, matching: Matching) -> np.ndarray:
    """Counts (S, 3) of tp, fp, fn of a matching that requires the emotion; events whose emotion
    is unknown are not counted."""
    truths, size = aligned.truths, len(aligned.subjects)
    found, labelled = matching.found_by >= 0, truths.emotion >= 0
    wrong = aligned.predictions.subject[matching.false_positives()]
    tp = np.bincount(truths.subject[found], minlength=size)
    fn = np.bincount(truths.subject[~found & labelled], minlength=size)
    return np.stack([tp, np.bincount(wrong, minlength=size), fn], axis=-1)


def recognition_confusion(aligned: Aligned, matching: Matching) -> np.ndarray:
    """Confusion matrices (S, C + 1, C + 1) of the spotted true positives, by subject.

    Rows are the events' emotions, columns the predicted ones, in the order of `aligned.classes`;
    the last column counts predictions without an emotion. Events without one are left out.
    """
    size, n = len(aligned.subjects), len(aligned.classes) + 1
    t = np.flatnonzero((matching.found_by >= 0) & (aligned.truths.emotion >= 0))
    predicted = aligned.predictions.emotion[matching.found_by[t]]
    cell = (aligned.truths.subject[t] * n + aligned.truths.emotion[t]) * n + predicted % n
    return np.bincount(cell, minlength=size * n * n).reshape(size, n, n)


def _margins(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right answers, events and predictions of each class, (..., K)."""
    confusion = np.asarray(confusion, float)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return right, confusion.sum(-1), confusion.sum(-2)


Present = np.ndarray | None  # (K,) bool, the classes of a mean; None: those with an event


def _mean_over(values: np.ndarray, events: np.ndarray, present: Present) -> np.ndarray:
    """Unweighted mean over the present classes; undefined without any event."""
    counted = np.broadcast_to((events > 0) if present is None else present, events.shape)
    mean = _ratio(np.where(counted, values, 0.0).sum(-1), counted.sum(-1))
    return np.where(events.sum(-1) > 0, mean, np.nan)


def uf1(confusion: np.ndarray, present: Present = None) -> np.ndarray:
    """Unweighted F1: mean of the per-class F1 over the classes present in the ground truth.

    Args:
        confusion: (..., K, K) counts, rows true, columns predicted. The present classes are those
            with an event among the counted ones: over spotted events, a class of which nothing
            was spotted has no F1.
        present: other classes to average over; one without an event then counts 0.
    """
    right, events, predicted = _margins(confusion)
    return _mean_over(np.nan_to_num(_ratio(2 * right, events + predicted)), events, present)


def uar(confusion: np.ndarray, present: Present = None) -> np.ndarray:
    """Unweighted average recall over the classes present in the ground truth; as `uf1`."""
    right, events, _ = _margins(confusion)
    return _mean_over(np.nan_to_num(_ratio(right, events)), events, present)


def macro_precision(confusion: np.ndarray, present: Present = None) -> np.ndarray:
    """Mean precision over the classes present in the ground truth; 0 for one never predicted."""
    right, events, predicted = _margins(confusion)
    return _mean_over(np.nan_to_num(_ratio(right, predicted)), events, present)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of right answers, (...)."""
    right, events, _ = _margins(confusion)
    return _ratio(right.sum(-1), events.sum(-1))


def recognition_f1(confusion: np.ndarray, present: Present = None) -> np.ndarray:
    """F1 of macro-averaged precision and recall (Liong, See and Chan 2023); 0 if both are 0."""
    p, r = macro_precision(confusion, present), uar(confusion, present)
    return np.where((p + r) == 0, 0.0, _ratio(2 * p * r, p + r))


def strs(spotting_f1: ArrayLike, recognition: ArrayLike) -> np.ndarray:
    """Spot-then-recognise score: spotting F1 x recognition F1 (`recognition_f1`).

    Where nothing is spotted there is nothing to recognise, and the product is 0.
    """
    product = np.asarray(spotting_f1, float) * np.asarray(recognition, float)
    return np.where(np.asarray(spotting_f1) == 0, 0.0, product)


@dataclass(frozen=True)
class Ranking:
    """The predictions of one class, pooled over videos, in descending score.

    A prediction that is neither a true nor a false positive is ignored.
    """

    true_positives: np.ndarray  # (N,) events that each prediction finds
    false_positives: np.ndarray  # (N,) bool
    subject: np.ndarray  # (N,) codes
    score: np.ndarray  # (N,)
    events: np.ndarray  # (S,) events of the class by subject


def rank_predictions(
    aligned: Aligned, matching: Matching, emotion: int | None = None, best: int | None = None
) -> Ranking:
    """The ranking from which an average precision is taken; of all classes if `emotion` is None.

    `best` keeps so many of each video, the strongest ones.
    """
    predictions, truths = aligned.predictions, aligned.truths
    order = predictions.order
    of_class = truths.emotion == emotion if emotion is not None else truths.onset >= 0
    if emotion is not None:
        order = order[predictions.emotion[order] == emotion]
    if best is not None:
        order = order[pd.Series(order).groupby(predictions.video[order]).cumcount().to_numpy() < best]
    return Ranking(
        matching.true_positives()[order],
        matching.false_positives()[order],
        predictions.subject[order],
        predictions.score[order],
        np.bincount(truths.subject[of_class], minlength=len(aligned.subjects)),
    )


def average_precision(ranking: Ranking, recall_points: bool = False) -> float:
    """Area under the interpolated precision-recall curve, as ActivityNet's evaluation takes it:
    at every recall the best precision at that recall or beyond. NaN without events.

    `recall_points`: the mean of these precisions at the recalls 0, 0.01 ... 1, as COCO takes it.
    """
    n_events = int(ranking.events.sum())
    if not n_events:
        return float("nan")
    hits = np.flatnonzero(ranking.true_positives)
    found = np.cumsum(ranking.true_positives)
    counted = found + np.cumsum(ranking.false_positives)
    best = np.maximum.accumulate((found[hits] / counted[hits])[::-1])[::-1]
    if recall_points:
        return float(mean_at_recall_points(found[hits], best, np.array(n_events)))
    return float((ranking.true_positives[hits] * best).sum() / n_events)


def mean_at_recall_points(found: np.ndarray, best: np.ndarray, n_events: np.ndarray) -> np.ndarray:
    """Mean (...) of the interpolated precision at the recalls 0, 0.01 ... 1.

    Args:
        found: (..., K) events found up to each hit. best: (..., K) precision there or beyond.
        n_events: (...), above 0.
    """
    # A recall j / 100 is reached with the first hit for which j n <= 100 found: whole numbers, no rounding.
    reached = np.floor_divide(100 * found, n_events[..., None])
    gained = np.diff(reached, axis=-1, prepend=0.0)
    at_recall_0 = best.max(-1, initial=0.0)
    return (at_recall_0 + (gained * best).sum(-1)) / 101


def precision_recall_curve(ranking: Ranking) -> pd.DataFrame:
    """The curve whose area is `average_precision`: score, precision, recall and the interpolated
    precision after each true positive; empty without any."""
    hits = np.flatnonzero(ranking.true_positives)
    found = np.cumsum(ranking.true_positives)
    precisions = found[hits] / (found + np.cumsum(ranking.false_positives))[hits]
    return pd.DataFrame(
        {
            "score": ranking.score[hits],
            "precision": precisions,
            "recall": _ratio(found[hits], ranking.events.sum()),
            "interpolated": np.maximum.accumulate(precisions[::-1])[::-1],
        }
    )


def mean_defined(values: ArrayLike, axis: int | None = None) -> np.ndarray:
    """Mean of the defined values; NaN where none is."""
    numbers = np.asarray(values, float)
    defined = ~np.isnan(numbers)
    return _ratio(np.where(defined, numbers, 0.0).sum(axis), defined.sum(axis))


def calibration_sums(
    scores: ArrayLike, right: ArrayLike, group: ArrayLike, n_groups: int, bins: int = 10
) -> np.ndarray:
    """Sums (n_groups, bins, 3) by bin of score: predictions, their scores, the right ones.

    Args:
        scores: (N,) in [0, 1].
        right: (N,) true for true positives.
        group: (N,) codes, of the subjects say.
        bins: number of bins of equal width; a score on a border belongs to the upper bin.
    """
    values = np.asarray(scores, float)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise InputError(
            f"score {values[outside][0]:g} is no probability: calibration needs scores in [0, 1]"
        )
    edges = np.arange(bins + 1) / bins
    bin_of = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    cell = np.asarray(group) * bins + bin_of
    sums = [np.bincount(cell, w, n_groups * bins) for w in (None, values, np.asarray(right, float))]
    return np.stack(sums, axis=-1).reshape(n_groups, bins, 3)


def reliability(sums: np.ndarray) -> pd.DataFrame:
    """Reliability table of calibration sums (bins, 3): are predictions with score 0.7 right 7
    times in 10? One row per bin: low, high, n, mean_score, fraction_right (NaN if empty)."""
    n, scores, right = np.moveaxis(sums, -1, 0)
    edges = np.arange(len(n) + 1) / len(n)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": n.astype(np.int64),
            "mean_score": _ratio(scores, n),
            "fraction_right": _ratio(right, n),
        }
    )


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """Expected calibration error of sums (..., bins, 3): the mean gap between score and fraction
    right over the bins, weighted by their size (Guo et al. 2017); NaN without predictions."""
    n, scores, right = np.moveaxis(np.asarray(sums, float), -1, 0)
    return _ratio(np.abs(scores - right).sum(-1), n.sum(-1))

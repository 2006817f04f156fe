"""From aligned intervals to every figure, once for the data and once for each resample."""

from dataclasses import dataclass, replace

import numpy as np

from fedet import metrics
from fedet.evaluation.agreement import cohen_kappa
from fedet.evaluation.bootstrap import resampled_ap
from fedet.evaluation.diagnosis import BACKGROUND_TIOU, Diagnosis, diagnose
from fedet.matching import (
    Aligned,
    Conventions,
    Matching,
    Pairs,
    match,
    match_emotions,
    overlap_pairs,
    same_type,
    select_pairs,
)
from fedet.metrics import AP_THRESHOLDS, MAP_THRESHOLDS, TYPES

ALL_THRESHOLDS = tuple(sorted({*MAP_THRESHOLDS, *AP_THRESHOLDS}))
BEST = 100  # predictions of a video and class that COCO's average precision knows
Sums = dict[str, np.ndarray]  # statistics (S, ...) whose sums over subjects give the figures
Rankings = dict[tuple[str, float], metrics.Ranking]  # by emotion, or "spotting", and tIoU
Figures = dict[str, np.ndarray]  # name -> value () or values (R,) of R resamples; NaN where undefined


@dataclass(frozen=True)
class Scored:
    """Everything the figures are computed from: the matchings at the main threshold, the rankings at all
    thresholds, the statistics by subject. `has_emotions`: both sides name any emotion."""

    aligned: Aligned
    spotted: Matching
    detected: Matching
    rankings: Rankings
    diagnosis: Diagnosis | None
    sums: Sums
    conventions: Conventions
    tiou: float
    has_emotions: bool


def score(aligned: Aligned, tiou: float, conventions: Conventions) -> Scored:
    """Matches at `tiou` and at all thresholds of average precision, and counts by subject."""
    p, t = aligned.predictions, aligned.truths
    pairs = overlap_pairs(p, t, min(BACKGROUND_TIOU, tiou), conventions)
    of_type = same_type(pairs, p, t)
    typed = match(of_type, tiou, conventions=conventions)
    pairs = of_type if conventions.typed else pairs
    spotted = match(pairs, tiou, conventions=conventions)
    detected = _detect(aligned, pairs, tiou, conventions)
    has_emotions = all(not len(side) or bool((side.emotion >= 0).any()) for side in (p, t))
    diagnosis = None
    if has_emotions and tiou >= BACKGROUND_TIOU:
        diagnosis = diagnose(aligned, pairs, detected, tiou, conventions)
    # Without emotions the statistics of detection stay 0, so that its figures are undefined.
    sums = {
        "spotting": metrics.spotting_counts(aligned, spotted, conventions),
        "detection": metrics.detection_counts(aligned, detected) * has_emotions,
        "confusion": metrics.recognition_confusion(aligned, spotted) * has_emotions,
        "typed": metrics.spotting_counts(aligned, typed, conventions),
        "typed_confusion": metrics.recognition_confusion(aligned, typed) * has_emotions,
    }
    for name, matching in (("spotting", spotted), ("detection", detected)):
        if probabilities(aligned) and (has_emotions or name == "spotting"):
            sums[f"{name}_calibration"] = _calibration_sums(aligned, matching)
    rankings = _rankings(aligned, pairs, conventions, has_emotions)
    return Scored(aligned, spotted, detected, rankings, diagnosis, sums, conventions, tiou, has_emotions)


def _detect(aligned: Aligned, pairs: Pairs, tiou: float, conventions: Conventions) -> Matching:
    """The matching that requires the emotion; predictions of uncounted emotions count neither way."""
    p, t = aligned.predictions, aligned.truths
    uncounted = np.isin(p.emotion, aligned.uncounted)
    found = match_emotions(select_pairs(pairs, ~uncounted[pairs.prediction]), p, t, tiou, conventions)
    return replace(found, ignored=found.ignored | uncounted)


def probabilities(aligned: Aligned) -> bool:
    """Whether all scores lie in [0, 1], as calibration needs."""
    scores = aligned.predictions.score
    return bool(((scores >= 0) & (scores <= 1)).all())


def _calibration_sums(aligned: Aligned, matching: Matching) -> np.ndarray:
    p, counted = aligned.predictions, ~matching.ignored
    right = matching.truth_of[counted] >= 0
    size = len(aligned.subjects)
    return metrics.calibration_sums(p.score[counted], right, p.subject[counted], size)


def _rankings(aligned: Aligned, pairs: Pairs, conventions: Conventions, has_emotions: bool) -> Rankings:
    rankings: Rankings = {}
    best = BEST if conventions.best_100 else None
    for tiou in ALL_THRESHOLDS:
        spotted = match(pairs, tiou, conventions=conventions)
        rankings["spotting", tiou] = metrics.rank_predictions(aligned, spotted, best=best)
        if not has_emotions:
            continue
        detected = _detect(aligned, pairs, tiou, conventions)
        for code, name in enumerate(aligned.classes):
            if code not in aligned.uncounted:
                rankings[name, tiou] = metrics.rank_predictions(aligned, detected, code, best)
    return rankings


def figures(sums: Sums, scored: Scored, weights: np.ndarray | None) -> Figures:
    """All headline figures.

    Args:
        sums: statistics (...), summed over all subjects, or (R, ...), over those of R resamples.
        weights: None, or the resamples (R, S) behind `sums`.

    Returns:
        Name -> value, or (R,) values. NaN where a figure is undefined.
    """
    result: Figures = {}
    counted = {"detection": sums["detection"]}
    for i, kind in enumerate(("spotting", *TYPES[1:])):
        counted |= {kind: sums["spotting"][..., i, :], f"typed_{kind}": sums["typed"][..., i, :]}
    for name, counts in counted.items():
        tp, fp, fn = np.moveaxis(counts, -1, 0)
        result[f"{name}_precision"] = metrics.precision(tp, fp)
        result[f"{name}_recall"] = metrics.recall(tp, fn)
        result[f"{name}_f1"] = metrics.f1(tp, fp, fn)
    result |= _recognition_figures(sums["confusion"], result["spotting_f1"], scored)
    typed = _recognition_figures(sums["typed_confusion"], result["typed_spotting_f1"], scored)
    result["typed_strs"] = typed["strs"]
    result |= _ap_figures(scored, weights)
    for name in ("spotting_calibration", "detection_calibration"):
        if name in sums:
            result[f"{name}_error"] = metrics.calibration_error(sums[name])
    return result


def _recognition_figures(confusion: np.ndarray, spotting_f1: np.ndarray, scored: Scored) -> Figures:
    mean_precision = scored.conventions.uar_is_mean_precision
    present = None
    if scored.conventions.mean_over_all_classes:
        codes = np.arange(len(scored.aligned.classes) + 1)  # as in the matrix, the last for no emotion
        present = np.isin(codes, scored.aligned.truths.emotion)
    recognition = metrics.recognition_f1(confusion, present)
    undefined = np.full(np.shape(spotting_f1), np.nan)
    return {
        "uf1": metrics.uf1(confusion, present),
        "uar": (metrics.macro_precision if mean_precision else metrics.uar)(confusion, present),
        "accuracy": metrics.accuracy(confusion),
        "recognition_f1": recognition,
        "kappa": cohen_kappa(confusion),
        "strs": metrics.strs(spotting_f1, recognition) if scored.has_emotions else undefined,
    }


def _ap_figures(scored: Scored, weights: np.ndarray | None) -> Figures:
    """Mean APs; a class without events has no AP and is left out of the means."""
    spotting: dict[float, np.ndarray] = {}
    by_class: dict[float, list[np.ndarray]] = {tiou: [] for tiou in ALL_THRESHOLDS}
    points = scored.conventions.recall_points
    for (name, tiou), ranking in scored.rankings.items():
        if weights is None:
            ap = np.asarray(metrics.average_precision(ranking, points))
        else:
            ap = resampled_ap(weights, ranking, points)
        if name == "spotting":
            spotting[tiou] = ap
        else:
            by_class[tiou].append(ap)
    undefined = np.full(() if weights is None else len(weights), np.nan)
    means = {t: metrics.mean_defined(aps or [undefined], axis=0) for t, aps in by_class.items()}
    result = {f"map_{tiou:g}": means[tiou] for tiou in MAP_THRESHOLDS}
    for name, values, wanted in (
        ("map", means, AP_THRESHOLDS if scored.conventions.wide_map else MAP_THRESHOLDS),
        ("ap_50_95", means, AP_THRESHOLDS),
        ("spotting_ap_50_95", spotting, AP_THRESHOLDS),
    ):
        result[name] = metrics.mean_defined([values[tiou] for tiou in wanted], axis=0)
    return result

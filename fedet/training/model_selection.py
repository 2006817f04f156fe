"""What validation subjects decide: score threshold and epoch. No metric here is a result."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.matching import Aligned, match, match_emotions, overlap_pairs
from fedet.metrics import Ranking, average_precision, mean_defined, rank_predictions
from fedet.model import FEDNConfig
from fedet.postprocess import Network, predict
from fedet.windows import VideoFeatures


def hold_out(
    records: Sequence[VideoFeatures], share: float, seed: int = 0
) -> tuple[list[VideoFeatures], list[VideoFeatures]]:
    """Splits by SUBJECT into a training part and a validation part of about `share` of them.

    Raises InputError with fewer than two subjects or a share outside 0..1.
    """
    subjects = sorted({record.subject for record in records})
    if not 0 < share < 1 or len(subjects) < 2:
        raise InputError(
            f"validation share {share} of {len(subjects)} subjects: it must be between 0 and 1, of two "
            "subjects or more"
        )
    n = min(max(1, round(share * len(subjects))), len(subjects) - 1)
    chosen = set(np.random.default_rng(seed).permutation(subjects)[:n].tolist())
    return [r for r in records if r.subject not in chosen], [r for r in records if r.subject in chosen]


def f1_curve(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """F1 when everything down to each score is reported: (N,) F1 and the (N,) scores.

    One matching serves all thresholds: predictions take events in descending score, so that weaker
    ones never change what stronger ones took. Of equal scores only the last counts.
    """
    hits, reported = np.cumsum(ranking.true_positives), np.arange(1, len(ranking.true_positives) + 1)
    curve = 2 * hits / np.maximum(reported + ranking.events.sum(), 1)
    last = np.append(np.diff(ranking.score) != 0, True)[: len(curve)]
    return curve[last], ranking.score[last]


def choose_threshold(ranking: Ranking, otherwise: float) -> tuple[float, float]:
    """The score threshold with the highest F1, half-way down to the next score; and that F1.

    Args:
        otherwise: the threshold if nothing was predicted.
    """
    curve, scores = f1_curve(ranking)
    if not len(curve):
        return otherwise, 0.0
    best = int(curve.argmax())
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return float((scores[best] + below) / 2), float(curve[best])


def validation_metrics(
    network: Network,
    config: FEDNConfig,
    records: Sequence[VideoFeatures],
    tiou: float = 0.5,
    **options: Any,
) -> dict[str, float]:
    """Threshold chosen on these records, and spotting_f1 (at it), spotting_ap, detection_map there.

    They select among epochs and are too good to report, since the threshold is chosen on the same
    subjects. options: batch_size, device. detection_map is NaN for a spotter.
    """
    tables = [predict(network, config, record, **options) for record in records]
    return table_metrics(tables, records, config.default_threshold, len(config.emotions) > 1, tiou)


def table_metrics(
    tables: Sequence[pd.DataFrame],
    records: Sequence[VideoFeatures],
    otherwise: float,
    named: bool = True,
    tiou: float = 0.5,
) -> dict[str, float]:
    """As `validation_metrics`, from predictions; `named` if they have emotions."""
    aligned = _aligned(tables, records)
    pairs = overlap_pairs(aligned.predictions, aligned.truths, tiou)
    spotting = rank_predictions(aligned, match(pairs, tiou))
    threshold, f1 = choose_threshold(spotting, otherwise)
    detection_map = math.nan
    if named:
        matching = match_emotions(pairs, aligned.predictions, aligned.truths, tiou)
        codes = range(len(aligned.classes))
        ap = [average_precision(rank_predictions(aligned, matching, code)) for code in codes]
        detection_map = float(mean_defined(ap))
    metrics = {"threshold": threshold, "spotting_f1": f1, "spotting_ap": average_precision(spotting)}
    return metrics | {"detection_map": detection_map}


def rank_tables(
    tables: Sequence[pd.DataFrame], records: Sequence[VideoFeatures], tiou: float = 0.5
) -> Ranking:
    """All predictions in the order of their scores, and whether each matches an event."""
    aligned = _aligned(tables, records)
    return rank_predictions(aligned, match(overlap_pairs(aligned.predictions, aligned.truths, tiou), tiou))


def _aligned(tables: Sequence[pd.DataFrame], records: Sequence[VideoFeatures]) -> Aligned:
    videos = pd.DataFrame([(r.subject, r.video, r.fps) for r in records])
    videos.columns = ["subject", "video", "fps"]
    truth = pd.concat([r.events.assign(subject=r.subject, video=r.video) for r in records])
    return align(pd.concat(tables, ignore_index=True), truth.reset_index(drop=True), videos)


def monitored_value(metrics: dict[str, float], monitor: str) -> float:
    """The number that selects the epoch."""
    if monitor != "both":
        return metrics[monitor]
    return float(mean_defined([metrics["spotting_f1"], metrics["detection_map"]]))

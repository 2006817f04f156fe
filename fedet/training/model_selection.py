"""What validation subjects decide: score threshold and epoch. No figure here is a result."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.matching import Aligned, match, match_emotions, overlap_pairs
from fedet.metrics import Ranking, average_precision, mean_defined, rank_predictions
from fedet.model import FEDNConfig
from fedet.postprocess import Network, predict
from fedet.windows import VideoFeatures

MONITORS = ("spotting_f1", "detection_map", "both")


def hold_out(
    records: Sequence[VideoFeatures], share: float, seed: int = 0
) -> tuple[list[VideoFeatures], list[VideoFeatures]]:
    """Splits by SUBJECT into a training part and a validation part of about `share` of them.

    Raises InputError with fewer than two subjects or a share outside 0..1.
    """
    subjects = sorted({record.subject for record in records})
    if not 0 < share < 1 or len(subjects) < 2:
        text = f"validation share {share} of {len(subjects)} subjects"
        raise InputError(f"{text}: it must be between 0 and 1, of two subjects or more")
    n = min(max(1, round(share * len(subjects))), len(subjects) - 1)
    chosen = set(np.random.default_rng(seed).permutation(subjects)[:n].tolist())
    parts: tuple[list[VideoFeatures], list[VideoFeatures]] = ([], [])
    for record in records:
        parts[record.subject in chosen].append(record)
    return parts


def f1_curve(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """F1 when everything down to each score is reported: (N,) F1 and the (N,) scores.

    One matching serves all thresholds: predictions take events in descending score, so that what
    is cut off below never changes what was taken above. Of equal scores only the last counts.
    """
    found, shown = np.cumsum(ranking.true_positives), np.arange(1, len(ranking.true_positives) + 1)
    curve = 2 * found / np.maximum(shown + ranking.events.sum(), 1)
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


def figures_of(
    network: Network,
    config: FEDNConfig,
    records: Sequence[VideoFeatures],
    tiou: float = 0.5,
    **options,
) -> dict[str, float]:
    """Threshold chosen on these records, and spotting_f1 (at it), spotting_ap, detection_map there.

    The figures select among epochs; they are too good to report, since the threshold is chosen on
    the same subjects. options: batch_size, device. detection_map is NaN for a spotter.
    """
    tables = [predict(network, config, record, **options) for record in records]
    return figures_of_tables(tables, records, config.default_threshold, len(config.emotions) > 1, tiou)


def figures_of_tables(
    tables: Sequence[pd.DataFrame],
    records: Sequence[VideoFeatures],
    otherwise: float,
    named: bool = True,
    tiou: float = 0.5,
) -> dict[str, float]:
    """As `figures_of`, from predictions that are there; named: they name emotions."""
    aligned = _aligned(tables, records)
    pairs = overlap_pairs(aligned.predictions, aligned.truths, tiou)
    spotted = rank_predictions(aligned, match(pairs, tiou))
    threshold, f1 = choose_threshold(spotted, otherwise)
    detection_map = math.nan
    if named:
        matching = match_emotions(pairs, aligned.predictions, aligned.truths, tiou)
        codes = range(len(aligned.classes))
        ap = [average_precision(rank_predictions(aligned, matching, code)) for code in codes]
        detection_map = float(mean_defined(ap))
    figures = {"threshold": threshold, "spotting_f1": f1, "spotting_ap": average_precision(spotted)}
    return figures | {"detection_map": detection_map}


def spotting_of_tables(
    tables: Sequence[pd.DataFrame], records: Sequence[VideoFeatures], tiou: float = 0.5
) -> Ranking:
    """All predictions in the order of their scores, and whether each finds an event."""
    aligned = _aligned(tables, records)
    return rank_predictions(aligned, match(overlap_pairs(aligned.predictions, aligned.truths, tiou), tiou))


def _aligned(tables: Sequence[pd.DataFrame], records: Sequence[VideoFeatures]) -> Aligned:
    videos = pd.DataFrame([(r.subject, r.video, r.fps) for r in records])
    videos.columns = ["subject", "video", "fps"]
    truth = pd.concat([r.events.assign(subject=r.subject, video=r.video) for r in records])
    return align(pd.concat(tables, ignore_index=True), truth.reset_index(drop=True), videos)


def monitored(figures: dict[str, float], monitor: str) -> float:
    """The number that selects the epoch."""
    if monitor != "both":
        return figures[monitor]
    return float(mean_defined([figures["spotting_f1"], figures["detection_map"]]))

"""Which kind of error costs how much: the error kinds of DETAD, and F1 if each were corrected.

Kinds after Alwassel, Caba Heilbron, Escorcia and Ghanem, "Diagnosing Error in Temporal Action
Detectors" (ECCV 2018): a false positive is judged by the event that it overlaps most. How an
error is corrected follows Bolya et al., "TIDE" (ECCV 2020): a label or an interval is corrected, the
rest is removed. The gains do not add up: correcting one kind changes the gain of another.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.matching import Aligned, Conventions, Matching, Pairs, reaches
from fedet.metrics import detection_counts, f1

BACKGROUND_TIOU = 0.1  # less overlap than this is none
KINDS = ("double", "wrong label", "localisation", "both", "background", "missed")


@dataclass(frozen=True)
class Diagnosis:
    """`kind` (P,) is "right", "ignored" or one of KINDS for each prediction; `event` (P,)
    is the event it overlaps most, -1 in the background; `missed` (T,) marks the events that no
    prediction was near. `table` has a row per kind: n, f1_if_mended, gain."""

    kind: np.ndarray
    event: np.ndarray
    missed: np.ndarray
    table: pd.DataFrame


def diagnose(
    aligned: Aligned, pairs: Pairs, matching: Matching, tiou: float, conventions: Conventions
) -> Diagnosis:
    """Breaks the errors of a matching that requires the emotion into kinds.

    Args:
        pairs: from `overlap_pairs` at BACKGROUND_TIOU or below.
        matching: from `match_emotions` at `tiou`.

    The kinds, by the event of known emotion with the highest tIoU (equal ones: of the same
    emotion first): `double` reaches `tiou` with the right emotion, so a better one has it already;
    `wrong label` reaches it with another; `localisation` and `both` overlap by 0.1 at least, with
    the right and another emotion; `background` overlaps none. `missed` events are not found, and
    no prediction of kind `wrong label` or `localisation` points at them.
    """
    if tiou < BACKGROUND_TIOU:
        raise InputError(f"tIoU {tiou:g}: an error breakdown needs at least {BACKGROUND_TIOU}")
    event, near, same = _closest(aligned, pairs, tiou, conventions)
    has = event >= 0
    kind = np.full(len(event), "background", dtype=object)
    kind[has & near & same] = "double"
    kind[has & near & ~same] = "wrong label"
    kind[has & ~near & same] = "localisation"
    kind[has & ~near & ~same] = "both"
    kind[matching.truth_of >= 0] = "right"
    kind[matching.ignored] = "ignored"
    labelled = aligned.truths.emotion >= 0
    missed = (matching.found_by < 0) & labelled
    missed[event[np.isin(kind, ("wrong label", "localisation"))]] = False
    return Diagnosis(kind, event, missed, _gains(aligned, matching, kind, event, missed))


def _closest(
    aligned: Aligned, pairs: Pairs, tiou: float, conventions: Conventions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each prediction the event it overlaps most (-1: none), whether it reaches the
    threshold, and whether the emotions are the same."""
    strict = conventions.strict_greater
    emotion = aligned.truths.emotion[pairs.truth]
    far = reaches(pairs.shared, pairs.union, BACKGROUND_TIOU, strict) & (emotion >= 0)
    alike = aligned.predictions.emotion[pairs.prediction] == emotion
    order = np.lexsort((~alike, -pairs.tiou(), pairs.prediction))
    order = order[far[order]]
    with_event, first = np.unique(pairs.prediction[order], return_index=True)
    top = order[first]
    event = np.full(pairs.n_predictions, -1, dtype=np.int64)
    near, same = np.zeros(len(event), dtype=bool), np.zeros(len(event), dtype=bool)
    event[with_event] = pairs.truth[top]
    near[with_event] = reaches(pairs.shared[top], pairs.union[top], tiou, strict)
    same[with_event] = alike[top]
    return event, near, same


def _gains(
    aligned: Aligned, matching: Matching, kind: np.ndarray, event: np.ndarray, missed: np.ndarray
) -> pd.DataFrame:
    tp, fp, fn = detection_counts(aligned, matching).sum(axis=0)
    base = float(f1(tp, fp, fn))
    rows = []
    for name in KINDS:
        n, gained, removed = int((kind == name).sum()), 0, int((kind == name).sum())
        if name == "missed":
            n = gained = int(missed.sum())
        if name in ("wrong label", "localisation"):
            # Corrected, each hits its event, unless that is found already or two point at it.
            target = np.unique(event[kind == name])
            gained = int((matching.found_by[target] < 0).sum())
        corrected = float(f1(tp + gained, fp - removed, fn - gained))
        rows.append((name, n, corrected, corrected - base))
    return pd.DataFrame(rows, columns=["kind", "n", "f1_if_mended", "gain"])

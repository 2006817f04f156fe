"""The explorer's settings applied to tables: suppression of duplicates, metrics of the rest.

The browser does the same in `js/intervals.js`, so that a slider responds at once; a test compares
the two.
"""

import numpy as np
import pandas as pd

from fedet.evaluation.alignment import align
from fedet.intervals import tiou
from fedet.matching import match, match_emotions, overlap_pairs
from fedet.metrics import detection_counts, f1, precision, recall, spotting_counts


def suppressed_rows(table: pd.DataFrame, strength: float) -> set[int]:
    """Index labels of rows that a better one of the same person and emotion overlaps by over `strength`.

    Hard non-maximum suppression: a row that is itself suppressed suppresses nothing. Better means
    the protocol's order: higher score (none: sure), earlier onset, earlier offset.
    """
    out: set[int] = set()
    if strength >= 1 or not len(table):
        return out
    groups = [table[column].fillna("") for column in ("subject", "emotion") if column in table]
    for _, rows in table.groupby(groups, sort=False):
        out |= _suppressed_of_emotion(rows, strength)
    return out


def _suppressed_of_emotion(rows: pd.DataFrame, strength: float) -> set[int]:
    rows = rows.sort_values(["onset", "offset"], kind="stable")
    onset, offset = (rows[c].to_numpy(np.int64) for c in ("onset", "offset"))
    reach = np.maximum.accumulate(offset)
    order = np.lexsort((offset, onset, -rows["score"].fillna(1.0).to_numpy(float)))
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows))
    suppressed = np.zeros(len(rows), dtype=bool)
    for i in order:
        if suppressed[i]:
            continue
        near = slice(np.searchsorted(reach, onset[i]), np.searchsorted(onset, offset[i], "right"))
        overlap = tiou(onset[i], offset[i], onset[near], offset[near])
        suppressed[near] |= (overlap > strength + 1e-9) & (rank[near] > rank[i])
    return set(rows.index[suppressed])


def metrics_table(
    predictions: pd.DataFrame, truth: pd.DataFrame, threshold: float, emotion: bool
) -> pd.DataFrame:
    """Precision, recall and F1 by `fedet.metrics`; NaN where undefined.

    Args:
        predictions, truth: Canonical tables of one video in one frame rate.
        threshold: tIoU from which a prediction is right.
        emotion: The labels must agree too.

    Returns:
        Rows all, macro, micro; columns tp, fp, fn, precision, recall, f1. With `emotion` only the
        row all: the protocol defines types for spotting.
    """
    videos = pd.concat([predictions, truth])[["subject", "video", "fps"]].drop_duplicates("video")
    if not len(videos):
        return _table(np.zeros((1 if emotion else 3, 3)))
    subject = videos["subject"].iloc[0]
    guess, coded = (side.assign(subject=subject) for side in (predictions, truth))
    aligned = align(guess, coded, videos.assign(subject=subject), score=1.0)
    pairs = overlap_pairs(aligned.predictions, aligned.truths, min(threshold, 0.1))
    if emotion:
        matching = match_emotions(pairs, aligned.predictions, aligned.truths, threshold)
        return _table(detection_counts(aligned, matching).sum(axis=0)[None])
    return _table(spotting_counts(aligned, match(pairs, threshold)).sum(axis=0))


def _table(counts: np.ndarray) -> pd.DataFrame:
    tp, fp, fn = counts.T
    ratios = {"precision": precision(tp, fp), "recall": recall(tp, fn), "f1": f1(tp, fp, fn)}
    whole = {"tp": tp.astype(int), "fp": fp.astype(int), "fn": fn.astype(int)}
    return pd.DataFrame(whole | ratios, index=["all", "macro", "micro"][: len(counts)])

"""Fuses detections with the emotion curves of a second opinion; nothing is learned."""

import numpy as np
import pandas as pd

from fedet.intervals import EMOTIONS, at_rate, interval_tiou, intervals_of

WEIGHT = 0.5  # of the second opinion in the geometric mean of both scores
AT_REST = 0.4  # its score for an emotion that it sees no more than usual
LEAST = 0.02  # its lowest score
SURE = 0.5  # it changes the emotion where another one rises by this much and fedet's own does not rise
MIDDLE = 0.6  # share of a detection, around its middle, that is compared
SMOOTH = 5  # frames of the moving average over its curves
SAME = 0.5  # tIoU from which two detections of one emotion are one
FPS = 30.0  # of the curves


def fuse(table: pd.DataFrame, curves: np.ndarray) -> tuple[pd.DataFrame, list[str]]:
    """Computes new scores of detections, and renames some, from a second opinion's curves.

    A network that classifies frames answers to how a person looks at rest, so its RISE over that
    person's median counts (our choice). A detection's score becomes sqrt(score * opinion), where
    opinion = AT_REST + rise of its emotion. An emotion that the other does not know, such as `others`,
    gains where none of the known ones rises. Where another emotion rises by SURE and the detection's does
    not, the detection takes that name. Of two detections of one emotion that overlap by SAME or more
    the stronger one stays.

    Args:
        table: canonical table of one video, all candidates and not only those above the threshold.
        curves: (T, 4) at 30 frames a second, confidence in each of EMOTIONS; NaN where unknown.

    Returns:
        The table with new scores and emotions in the order it had, and notes on what was changed.
        Without a single frame that the other judged it is returned as it is, with a note.
    """
    judged = np.isfinite(curves).any(0) if len(curves) else np.zeros(len(EMOTIONS), bool)
    if not judged.any() or not len(table):
        lacking = [] if judged.any() else ["the second opinion saw no face: scores are fedet's own"]
        return table, lacking
    rises = _rises(table, curves, judged)  # (N, 4)
    emotions, renamed = _renamed(table["emotion"].to_numpy(object), rises)
    at = np.array([EMOTIONS.index(e) for e in emotions])
    own = rises[np.arange(len(at)), at]
    unknown = ~judged[at]
    own[unknown] = 2 * (0.5 - AT_REST) - np.nanmax(rises[unknown], axis=1, initial=-np.inf)
    opinion = np.clip(AT_REST + own, LEAST, 1.0)
    score = table["score"].to_numpy(float) ** (1 - WEIGHT) * opinion**WEIGHT
    fused = table.assign(emotion=pd.array(emotions, "string"), score=score.round(4))
    notes = [f"second opinion: {renamed} detections got another emotion"] if renamed else []
    return _once(fused).reset_index(drop=True), notes


def _rises(table: pd.DataFrame, curves: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """(N, 4) mean over the middle of each detection minus the person's median; NaN if not judged."""
    visible = np.isfinite(curves[:, judged]).all(1)
    known = np.where(visible[:, None], np.nan_to_num(curves), 0.0)
    known = np.apply_along_axis(np.convolve, 0, known, np.ones(SMOOTH) / SMOOTH, mode="same")
    median = np.median(known[visible], axis=0) if visible.any() else np.zeros(len(EMOTIONS))
    fps = float(table["fps"].iloc[0])
    onset, offset = at_rate(table["onset"], table["offset"], fps, FPS)
    rises = np.zeros((len(table), len(EMOTIONS)))
    for i, (first, last) in enumerate(zip(onset, offset, strict=True)):
        border = int((last + 1 - first) * (1 - MIDDLE) / 2)
        frames = slice(first + border, last + 1 - border)
        part = known[frames][visible[frames]]
        rises[i] = part.mean(0) - median if len(part) else 0.0
    return np.where(judged, rises, np.nan)


def _renamed(emotions: np.ndarray, rises: np.ndarray) -> tuple[list[str], int]:
    """The emotions, and how many of them are the second opinion's."""
    names, renamed = [], 0
    for emotion, rise in zip(emotions, rises, strict=True):
        own, best = rise[EMOTIONS.index(emotion)], int(np.nanargmax(rise))
        if rise[best] >= SURE and not own > 0:
            emotion, renamed = EMOTIONS[best], renamed + 1
        names.append(emotion)
    return names, renamed


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Without detections that overlap a stronger one of the same emotion."""
    scores, ends = table["score"].to_numpy(float), intervals_of(table)
    kept = np.ones(len(table), bool)
    for emotion in set(table["emotion"]):
        own = np.flatnonzero((table["emotion"] == emotion).to_numpy(bool))
        own = own[np.argsort(ends[own, 0], kind="stable")]  # neighbours are a slice
        starts, longest = ends[own, 0], (ends[own, 1] - ends[own, 0]).max()
        for i in np.lexsort((own, -scores[own])):
            if kept[own[i]]:
                start, end = ends[own[i]]
                near = own[np.searchsorted(starts, start - longest) : np.searchsorted(starts, end, "right")]
                kept[near[interval_tiou(ends[own[i]], ends[near]) >= SAME]] = False
                kept[own[i]] = True
    return table.iloc[np.flatnonzero(kept)]

"""Predictions and events as arrays, the pairs that overlap, and their greedy one-to-one matching.

Frames are 0-based and inclusive. Thresholds are compared in whole numbers, so that an overlap of
5 frames in 10 reaches 0.5 always, and one of 3 in 10 reaches 0.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import intersection_and_union

PAIRS_AT_ONCE = 4_000_000  # bounds the memory of the overlap search


@dataclass(frozen=True)
class Conventions:
    """How intervals are counted. The defaults are ours; each other value is a habit of published
    code, there so that a user can compare with it. NAMED_CONVENTIONS has those that belong together.

    Args:
        inclusive: False leaves out the +1: [10, 19] then has length 9.
        strict_greater: an overlap must exceed the threshold; reaching it is not enough.
        one_to_one: False lets one prediction match every free event that it reaches; an event is
            still matched once. True positives are then the matched events.
        dummy_false_positive: a video in which nothing is predicted counts one false positive, the
            interval [0, 0], which is micro by its duration.
        skip_videos_without_events: predictions in videos without events are left out.
        skip_subjects_without_predictions: so are the events of subjects without any prediction.
        uar_is_mean_precision: the value called UAR is the mean of the precisions.
        mean_over_all_classes: means of recognition run over all annotated emotions; one of which
            nothing was spotted counts 0.
        typed: a prediction of macro duration can find macro-expressions only, one of micro duration
            micro-expressions only.
        megc_border: the longest micro-expression has the frames of MEGC_BORDERS, not half a second.
        file_order: predictions match in the order of the file's rows, whatever their scores.
        wide_map: the mean AP called mAP is that over tIoU 0.5 to 0.95 instead of 0.3 to 0.7.
        recall_points: an average precision is the mean of the precisions at 101 recalls.
        best_100: average precision knows the 100 strongest predictions of a video and emotion.
    """

    inclusive: bool = True
    strict_greater: bool = False
    one_to_one: bool = True
    dummy_false_positive: bool = False
    skip_videos_without_events: bool = False
    uar_is_mean_precision: bool = False
    typed: bool = False
    megc_border: bool = False
    file_order: bool = False
    skip_subjects_without_predictions: bool = False
    mean_over_all_classes: bool = False
    wide_map: bool = False
    recall_points: bool = False
    best_100: bool = False

    @classmethod
    def parse(cls, text: str) -> "Conventions":
        """Of a comma-separated list: names of NAMED_CONVENTIONS, and fields to set against their default.

        >>> Conventions.parse("megc,strict_greater").changed()
        ['strict_greater', 'typed', 'megc_border']
        """
        defaults = {field.name: field.default for field in fields(cls)}
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in defaults and name not in NAMED_CONVENTIONS:
                raise InputError(
                    f"Unknown convention {name!r}: use {', '.join(NAMED_CONVENTIONS)}, or any of "
                    f"{', '.join(defaults)}"
                )
        changed = {field for name in names for field in NAMED_CONVENTIONS.get(name, (name,))}
        return cls(**{name: not defaults[name] for name in changed})

    def changed(self) -> list[str]:
        """The fields that differ from the default, in order; empty for the strict definitions."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]

    def __str__(self) -> str:
        """The name, if it has one, and what it changes."""
        changed = ", ".join(self.changed())
        name = next((n for n, names in NAMED_CONVENTIONS.items() if set(names) == set(self.changed())), "")
        return f"{name} ({changed})" if name and name != changed and changed else name or changed


# What each table of the field changes against the definitions of the protocol.
NAMED_CONVENTIONS: dict[str, tuple[str, ...]] = {
    "strict": (),
    "typed": ("typed",),
    # The Facial Micro-Expression Grand Challenge
    "megc": ("typed", "megc_border"),
    # The program of Liong, See and Chan (2023)
    "strs-metric": (
        "one_to_one", "skip_videos_without_events", "uar_is_mean_precision", "file_order",
        "skip_subjects_without_predictions", "mean_over_all_classes",
    ),
    "activitynet": ("wide_map",),
    "coco": ("wide_map", "recall_points", "best_100"),
}  # fmt: skip
MEGC_BORDERS = {30.0: 16, 200.0: 105}  # frames of the longest micro-expression, by nominal rate
STRICT = Conventions()


@dataclass(frozen=True)
class Events:
    """N intervals as arrays of length N.

    `video`, `subject` and `emotion` are codes (>= 0); an unknown emotion is -1. `onset` and
    `offset` are frames, inclusive. `micro` is true for micro-expressions. `score` is NaN in truth.
    """

    video: np.ndarray
    subject: np.ndarray
    onset: np.ndarray
    offset: np.ndarray
    emotion: np.ndarray
    micro: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.onset)

    def take(self, index: np.ndarray) -> "Events":
        """The intervals at `index` (positions or a mask)."""
        return Events(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @cached_property
    def order(self) -> np.ndarray:
        """Positions in the order of the protocol: descending score, earlier onset, earlier offset.

        What the protocol leaves open is settled by subject, video, emotion and type, so that the
        order of the rows in a file never matters. Truth has no score and sorts by the rest.
        """
        falling = -np.nan_to_num(self.score, nan=0.0)
        keys = (self.micro, self.emotion, self.video, self.subject, self.offset, self.onset)
        return np.lexsort((*keys, falling))


@dataclass(frozen=True)
class Pairs:
    """Pairs (prediction, truth) of one video that overlap enough, in the order of the matching:
    predictions in the order of `Events.order`, and for each the truths by falling tIoU (equal
    ones: earlier onset, earlier offset, then emotion and type)."""

    prediction: np.ndarray
    truth: np.ndarray
    shared: np.ndarray  # frames in both
    union: np.ndarray  # frames in either
    n_predictions: int
    n_truths: int

    def tiou(self) -> np.ndarray:
        return self.shared / np.maximum(self.union, 1)


@dataclass(frozen=True)
class Matching:
    """Which prediction matches which event. In a one-to-one matching `truth_of` and `found_by` are
    each other's inverse."""

    truth_of: np.ndarray  # (P,) the event that a prediction matches, or -1
    found_by: np.ndarray  # (T,) the prediction that matches an event, or -1
    ignored: np.ndarray  # (P,) bool, predictions that count neither way

    def true_positives(self) -> np.ndarray:
        """Events matched by each prediction, (P,) counts: 0 or 1 when the matching is one to one."""
        return np.bincount(self.found_by[self.found_by >= 0], minlength=len(self.truth_of))

    def false_positives(self) -> np.ndarray:
        """Mask (P,) of the predictions that are false positives."""
        return (self.truth_of < 0) & ~self.ignored


def threshold_fraction(tiou: float) -> Fraction:
    """A tIoU threshold as the fraction that was meant: 0.3, or 0.1 * 3, is 3/10."""
    if not 0 < tiou <= 1:
        raise InputError(f"tIoU threshold {tiou!r}: give a number above 0 and at most 1")
    return Fraction(tiou).limit_denominator(10_000)


def reaches(
    shared: np.ndarray, union: np.ndarray, threshold: float, strict_greater: bool = False
) -> np.ndarray:
    """Whether shared / union >= threshold (or >), decided in whole numbers."""
    fraction = threshold_fraction(threshold)
    left, right = shared * fraction.denominator, union * fraction.numerator
    return (left > right if strict_greater else left >= right) & (shared > 0)


def overlap_pairs(
    predictions: Events, truths: Events, tiou: float = 0.1, conventions: Conventions = STRICT
) -> Pairs:
    """All pairs of one video with a tIoU of at least `tiou`, by a search in the sorted onsets.

    A truth that reaches the threshold t with a prediction of length L starts at most L (1 - t) / t
    frames before it and at most L (1 - t) frames after its onset, so no dense matrix is needed.
    """
    by_onset = np.lexsort((truths.onset, truths.video))
    first, last = _onset_windows(predictions, truths.take(by_onset), tiou)
    ends = np.cumsum(last - first)
    chunks = [(np.empty(0, dtype=np.int64),) * 4]
    start = 0
    while start < len(predictions):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")))
        p, position = _expand_ranges(first, last, start, stop)
        t = by_onset[position]
        shared, union = intersection_and_union(
            predictions.onset[p],
            predictions.offset[p],
            truths.onset[t],
            truths.offset[t],
            conventions.inclusive,
        )
        keep = reaches(shared, union, tiou, conventions.strict_greater)
        chunks.append((p[keep], t[keep], shared[keep], union[keep]))
        start = stop
    p, t, shared, union = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
    return _sort_pairs(Pairs(p, t, shared, union, len(predictions), len(truths)), predictions, truths)


def _expand_ranges(
    first: np.ndarray, last: np.ndarray, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ranges [first, last) of the rows start ... stop written out: rows, and positions."""
    counts = (last - first)[start:stop]
    rows = np.repeat(np.arange(start, stop), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, np.repeat(first[start:stop], counts) + within


def _onset_windows(predictions: Events, truths: Events, tiou: float) -> tuple[np.ndarray, np.ndarray]:
    """For each prediction the range [first, last) of truths, sorted by video and onset, that can
    reach the threshold. One frame of slack on each side covers the rounding."""
    t = float(threshold_fraction(tiou))
    length = predictions.offset - predictions.onset + 1
    earliest = predictions.onset - np.ceil(length * (1 - t) / t).astype(np.int64) - 1
    latest = predictions.onset + np.ceil(length * (1 - t)).astype(np.int64) + 1
    span = 1 + max((int(e.onset.max()) for e in (predictions, truths) if len(e)), default=0)
    # One sorted key for all videos: a window never leaves the stretch of its own video.
    key = truths.video * span + truths.onset
    base = predictions.video * span
    first = np.searchsorted(key, base + np.maximum(earliest, 0), side="left")
    last = np.searchsorted(key, base + np.minimum(latest, span - 1), side="right")
    return first, np.maximum(first, last)


def _ranks(events: Events) -> np.ndarray:
    rank = np.empty(len(events), dtype=np.int64)
    rank[events.order] = np.arange(len(events))
    return rank


def _sort_pairs(pairs: Pairs, predictions: Events, truths: Events) -> Pairs:
    """The pairs in the order of the matching."""
    # Dividing keeps the order and the ties of fractions exact up to 2**26 frames.
    order = np.lexsort((_ranks(truths)[pairs.truth], -pairs.tiou(), _ranks(predictions)[pairs.prediction]))
    return select_pairs(pairs, order)


def select_pairs(pairs: Pairs, index: np.ndarray) -> Pairs:
    """The pairs at `index` (positions or a mask), in order."""
    return Pairs(
        pairs.prediction[index],
        pairs.truth[index],
        pairs.shared[index],
        pairs.union[index],
        pairs.n_predictions,
        pairs.n_truths,
    )


def match(
    pairs: Pairs,
    tiou: float = 0.5,
    allowed: np.ndarray | None = None,
    conventions: Conventions = STRICT,
) -> Matching:
    """Greedy matching: predictions in descending score, each takes the free truth with the highest
    tIoU, if that reaches the threshold.

    Args:
        pairs: from `overlap_pairs` at a threshold of at most `tiou`.
        tiou: the threshold, above 0 and at most 1.
        allowed: (len(pairs),) mask of the pairs that may match (the same emotion, say).
        conventions: `strict_greater` and `one_to_one` are read here.
    """
    keep = reaches(pairs.shared, pairs.union, tiou, conventions.strict_greater)
    if allowed is not None:
        keep &= allowed
    truth_of, found_by = [-1] * pairs.n_predictions, [-1] * pairs.n_truths
    one_to_one = conventions.one_to_one
    # Each choice depends on those before it; the pairs are few, so a plain loop is quickest.
    for p, t in zip(pairs.prediction[keep].tolist(), pairs.truth[keep].tolist(), strict=True):
        if found_by[t] < 0 and (truth_of[p] < 0 or not one_to_one):
            found_by[t] = p
            if truth_of[p] < 0:
                truth_of[p] = t
    return Matching(
        np.array(truth_of, dtype=np.int64),
        np.array(found_by, dtype=np.int64),
        np.zeros(pairs.n_predictions, dtype=bool),
    )


def match_emotions(
    pairs: Pairs,
    predictions: Events,
    truths: Events,
    tiou: float = 0.5,
    conventions: Conventions = STRICT,
) -> Matching:
    """Matching that requires the emotion, as detection does.

    An event whose emotion is unknown cannot be found and is not missed: of the predictions left
    over, those that match such an event are ignored, one each.
    """
    emotion = truths.emotion[pairs.truth]
    same = (predictions.emotion[pairs.prediction] == emotion) & (emotion >= 0)
    labelled = match(pairs, tiou, same, conventions)
    free = (labelled.truth_of[pairs.prediction] < 0) & (emotion < 0)
    unknown = match(pairs, tiou, free, conventions)
    return replace(labelled, ignored=unknown.truth_of >= 0)


def same_type(pairs: Pairs, predictions: Events, truths: Events) -> Pairs:
    """The pairs of typed counting: the prediction's duration is of the event's annotated type."""
    alike = predictions.micro[pairs.prediction] == truths.micro[pairs.truth]
    return select_pairs(pairs, alike)


def match_closest(pairs: Pairs, tiou: float = 0.5, conventions: Conventions = STRICT) -> Matching:
    """Matching of two annotators, neither of whom has scores: the closest pairs first."""
    order = np.argsort(-pairs.tiou(), kind="stable")
    return match(select_pairs(pairs, order), tiou, conventions=conventions)


@dataclass(frozen=True)
class Aligned:
    """Predictions and truth as arrays, ready for matching.

    `videos` has the columns subject, video, fps in code order; `subjects` and `classes` are the
    names of the codes; `notes` says in plain words what was repaired or assumed.
    """

    predictions: Events
    truths: Events
    videos: pd.DataFrame
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    uncounted: tuple[int, ...] = ()  # codes of emotions that recognition and detection leave out

    def video_subjects(self) -> np.ndarray:
        """Subject code of each video, (V,)."""
        code = {name: i for i, name in enumerate(self.subjects)}
        return np.array([code[name] for name in self.videos["subject"]], dtype=np.int64)

    def without_eventless_videos(self) -> "Aligned":
        """The same without the predictions of videos in which nothing is annotated."""
        keep = np.isin(self.predictions.video, self.truths.video)
        note = f"predictions in videos without events: {(~keep).sum()}, left out (convention)"
        return replace(self, predictions=self.predictions.take(keep), notes=(*self.notes, note))

    def without_unpredicted_subjects(self) -> "Aligned":
        """The same without the events of subjects for whom nothing is predicted."""
        keep = np.isin(self.truths.subject, self.predictions.subject)
        note = f"events of subjects without predictions: {(~keep).sum()}, left out (convention)"
        return replace(self, truths=self.truths.take(keep), notes=(*self.notes, note))

    def only_emotions(self, emotions: Sequence[str]) -> "Aligned":
        """The same, with recognition and detection of these emotions only; spotting stays as it is.

        Events of other emotions count as of unknown emotion; a prediction of another emotion is no
        false alarm of detection. Raises InputError where one is neither annotated nor predicted.
        """
        if unknown := [name for name in emotions if name not in self.classes]:
            known = ", ".join(self.classes) or "none is named"
            raise InputError(f"emotion {unknown[0]!r}: neither annotated nor predicted; there are: {known}")
        other = tuple(code for code, name in enumerate(self.classes) if name not in emotions)
        left_out = np.isin(self.truths.emotion, other)
        truths = replace(self.truths, emotion=np.where(left_out, -1, self.truths.emotion))
        note = f"recognition and detection of {', '.join(emotions)} only: {left_out.sum()} events of others"
        return replace(self, truths=truths, uncounted=other, notes=(*self.notes, note))

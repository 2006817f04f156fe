"""Agreement by Cohen's kappa: of two labels of the same events, and of two coders of the same videos.

`label_agreement` compares two columns of one table (expert against self-reported emotion), with
intervals over subjects; `coder_agreement` first matches the events of two coders by overlap.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.evaluation.bootstrap import LEVEL, N_RESAMPLES, Interval, bootstrap
from fedet.intervals import EMOTIONS
from fedet.matching import Events, match_closest, overlap_pairs
from fedet.metrics import accuracy


@dataclass(frozen=True)
class LabelAgreement:
    """Two labels of `n` events.

    Attributes:
        n: events with both labels.
        kappa, share: Cohen's kappa and the share of equal labels, with intervals over subjects
            in `kappa_interval` and `share_interval`.
        confusion: counts; rows the first labels, columns the second.
        unlabelled: events that lack one of the labels; they are left out.
    """

    n: int
    kappa: float
    kappa_interval: Interval
    share: float
    share_interval: Interval
    confusion: pd.DataFrame
    unlabelled: int = 0


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

    >>> labels = pd.Series(["positive", "negative"])
    >>> label_agreement(labels, labels, pd.Series(["s1", "s2"])).kappa
    1.0
    """
    if not len(first) == len(second) == len(subject):
        raise InputError(f"{len(first)}, {len(second)} labels, {len(subject)} subjects: give one each")
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
    present = {str(x) for column in columns for x in column} - {""}
    return [e for e in EMOTIONS if e in present] + sorted(present - set(EMOTIONS))


NONE = "none"  # the category of "no expression here"
UNKNOWN = "unknown"  # an event whose emotion a coder left open


@dataclass(frozen=True)
class Agreement:
    """Agreement of two coders. A figure that is not defined is None, never 0.

    Attributes:
        table: Counts, rows: categories of the first coder, columns: of the second. Events of one
            coder without a match are in the row or column "none".
        matched: Matched pairs of events.
        f1: 2 matched / (events of one + events of the other).
        kappa_emotions: Cohen's kappa over the matched pairs: do both coders give them the same emotion?
        kappa_events: Cohen's kappa over all events, "none" being a category. No pair is
            "none"/"none", so silent stretches earn nothing: it is the strictest of the three.
        kappa_frames: Cohen's kappa over the frames, silent ones included; None if the length of a
            video is unknown.
        onset_frames, offset_frames: Median distance of the matched onsets and offsets, frames.
    """

    table: pd.DataFrame
    matched: int
    f1: float | None
    kappa_emotions: float | None
    kappa_events: float | None
    kappa_frames: float | None
    onset_frames: float | None
    offset_frames: float | None

    def summary(self) -> pd.Series:
        """The figures as one column, "-" where undefined."""
        names = ["matched", "f1", "kappa_emotions", "kappa_events", "kappa_frames",
                 "onset_frames", "offset_frames"]  # fmt: skip
        values = {name: getattr(self, name) for name in names}
        shown = {k: "-" if v is None else round(v, 3) for k, v in values.items()}  # counts stay whole
        return pd.Series(shown, name="agreement", dtype=object)


def coder_agreement(
    first: pd.DataFrame,
    second: pd.DataFrame,
    tiou: float = 0.5,
    n_frames: dict[str, int] | None = None,
) -> Agreement:
    """Compares two tables of the same videos, counted in the same frame rate.

    Args:
        first, second: Canonical tables of one coder each; other frame rates are converted by time.
        tiou: Least overlap of two events that match; the closest pairs are matched first, each event
            once, so that the order of the coders does not matter.
        n_frames: Frames of each video in the rate of `first`, for `kappa_frames`.

    Raises:
        InputError: No video in common, or a table that cannot be read.
    """
    common = align(second.drop(columns="score", errors="ignore"), first, score=1.0)
    labels = [*common.classes, UNKNOWN, NONE]
    a, b = (_with_unknown(side, len(common.classes)) for side in (common.truths, common.predictions))
    found_by = match_closest(overlap_pairs(b, a, tiou=tiou), tiou).found_by
    hit, partner = found_by >= 0, found_by[found_by >= 0]
    counts = np.zeros((len(labels),) * 2, dtype=int)
    np.add.at(counts, (a.emotion[hit], b.emotion[partner]), 1)
    named = counts[:-2, :-2].copy()  # as for any two labels, those without one are left out
    counts[:, -1] += np.bincount(a.emotion[~hit], minlength=len(labels))
    counts[-1] += np.bincount(np.delete(b.emotion, partner), minlength=len(labels))
    events = len(a) + len(b)
    return Agreement(
        table=_used(pd.DataFrame(counts, index=labels, columns=labels)),
        matched=len(partner),
        f1=2 * len(partner) / events if events else None,
        kappa_emotions=_defined(cohen_kappa(named)),
        kappa_events=_defined(cohen_kappa(counts)),
        kappa_frames=_frame_kappa(a, b, common.videos["video"], labels, n_frames),
        onset_frames=_median(a.onset[hit] - b.onset[partner]),
        offset_frames=_median(a.offset[hit] - b.offset[partner]),
    )


def _with_unknown(events: Events, unknown: int) -> Events:
    return replace(events, emotion=np.where(events.emotion < 0, unknown, events.emotion))


def _used(counts: pd.DataFrame) -> pd.DataFrame:
    """Drops the category `unknown` if unused."""
    unused = counts.loc[UNKNOWN].sum() + counts[UNKNOWN].sum() == 0
    return counts.drop(index=UNKNOWN, columns=UNKNOWN) if unused else counts


def _frame_kappa(
    a: Events, b: Events, videos: pd.Series, labels: list[str], n_frames: dict[str, int] | None
) -> float | None:
    if not n_frames or any(video not in n_frames for video in videos):
        return None
    size = len(labels)
    counts = np.zeros(size * size, dtype=np.int64)
    for code, video in enumerate(videos):
        one, other = (_frames(e.take(e.video == code), n_frames[video], size - 1) for e in (a, b))
        counts += np.bincount(one * size + other, minlength=size * size)
    return _defined(cohen_kappa(counts.reshape(size, size)))


def _frames(events: Events, length: int, none: int) -> np.ndarray:
    """The category of each frame (length,); of overlapping events the later onset counts."""
    frames = np.full(length, none, dtype=np.int64)
    for i in np.argsort(events.onset, kind="stable"):
        frames[events.onset[i] : events.offset[i] + 1] = events.emotion[i]
    return frames


def _median(distance: np.ndarray) -> float | None:
    return float(np.median(np.abs(distance))) if len(distance) else None


def _defined(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)

"""How far two reviewers agree: on the events, on their emotions, and frame by frame."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fedet.alignment import align
from fedet.kappa import cohen_kappa
from fedet.matching import Events, match_closest, overlap_pairs

NONE = "none"  # the category of "no expression here"
UNKNOWN = "unknown"  # an event whose emotion a coder left open


@dataclass(frozen=True)
class Agreement:
    """Agreement of two coders. A figure that is not defined is None, never 0.

    Attributes:
        table: Counts, rows: categories of the first coder, columns: of the second. Events of one
            coder that match none of the other's stand in the row or column "none".
        matched: Pairs of events that found each other.
        f1: 2 matched / (events of one + events of the other).
        kappa_emotions: Cohen's kappa over the matched pairs: do they name what both saw alike?
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


def agreement(
    first: pd.DataFrame,
    second: pd.DataFrame,
    tiou: float = 0.5,
    n_frames: dict[str, int] | None = None,
) -> Agreement:
    """Compares two tables of the same videos, counted in the same frame rate.

    Args:
        first, second: Canonical tables of one coder each; other frame rates are converted by time.
        tiou: Events with at least this overlap can be the same one; the closest pairs are joined
            first, each event once, so that the order of the coders does not matter.
        n_frames: Frames of each video in the rate of `first`, for `kappa_frames`.

    Raises:
        InputError: No video in common, or a table that cannot be read.
    """
    common = align(second.drop(columns="score", errors="ignore"), first, score=1.0)
    labels = [*common.classes, UNKNOWN, NONE]
    a, b = (_named(side, len(common.classes)) for side in (common.truths, common.predictions))
    found = match_closest(overlap_pairs(b, a, tiou=tiou), tiou).found_by
    hit, partner = found >= 0, found[found >= 0]
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


def _named(events: Events, unknown: int) -> Events:
    return replace(events, emotion=np.where(events.emotion < 0, unknown, events.emotion))


def _used(counts: pd.DataFrame) -> pd.DataFrame:
    """Without an "unknown" that nobody used."""
    lost = counts.loc[UNKNOWN].sum() + counts[UNKNOWN].sum() == 0
    return counts.drop(index=UNKNOWN, columns=UNKNOWN) if lost else counts


def _frame_kappa(a: Events, b: Events, videos, labels, n_frames) -> float | None:
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


def _defined(value) -> float | None:
    return None if np.isnan(value) else float(value)

"""The review queue, ordered by expected corrected mistakes per minute of a person's time.

The model:

- The chance p that a predicted interval is right grows with its score around the threshold t,
  p = 1 / (1 + exp(-(score - t) / spread)). A threshold chosen for F1 is where keeping and dropping
  are about equally good, so p = 1/2 there. With several predictions (other seeds), p is the mean
  over them; a seed without such an interval (tIoU >= 0.5, same emotion) votes with score 0.
- Without a review, intervals at or above t are kept and others dropped. The chance of a mistake is
  therefore 1 - p or p, and a review corrects it.
- A dropped interval of which half or more is inside a kept, decided or stronger one is a duplicate
  and not in the queue.
- A stretch without any kept interval may hold missed events: the rate of true kept events times
  `missed / (1 - missed)`, `missed` being the share of events without a kept interval.
- An interval costs `decide_s` plus `watch` times its length with `context_s` on both sides; a
  stretch costs its length at `scan_speed`, plus `decide_s` for each event expected there.

The gain is counted in corrected mistakes, and in F1 = 2 TP / (2 TP + FP + FN) of expected counts.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import tiou
from fedet.review.edits import DECIDED

QUEUE_COLUMNS = ["kind", "row_id", "onset", "offset", "p", "mistakes", "minutes",
                 "per_minute", "f1_after", "why"]  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """Assumptions of the queue; set them to fit the reviewers."""

    spread: float = 0.1  # of scores: how fast p grows around the threshold
    missed: float = 0.2  # share of all events without a kept interval
    decide_s: float = 4.0  # seconds to judge and answer
    watch: float = 2.0  # times an interval is watched
    context_s: float = 1.0  # seconds watched before and after it
    scan_speed: float = 2.0  # speed at which an empty stretch is watched
    min_gap_s: float = 20.0  # shorter empty stretches are not worth an entry

    def __post_init__(self):
        for name in ("spread", "scan_speed", "min_gap_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)!r}: must be above 0")
        if not 0 <= self.missed < 1:
            raise InputError(f"missed={self.missed!r}: must be a share from 0 to below 1")

    def sentence(self) -> str:
        """The assumptions in words, for the reader of the queue."""
        values = ", ".join(f"{f.name} {getattr(self, f.name):g}" for f in fields(self))
        return (
            "Expected mistakes corrected per minute. p(right) = 1 / (1 + exp(-(score - threshold) / "
            f"spread)), averaged over seeds. Assumed: {values}."
        )


def queue(
    rows: pd.DataFrame,
    threshold: float,
    fps: float,
    n_frames: int,
    *,
    others: tuple[pd.DataFrame, ...] = (),
    covered: tuple[tuple[int, int], ...] = (),
    effort: Effort = Effort(),
) -> pd.DataFrame:
    """The open intervals and empty stretches of one video, most gain per minute first.

    Args:
        rows: All rows of a review (`Review.table("all")`): row_id, onset, offset, emotion, score,
            status.
        threshold: Scores from here on are kept without a review.
        fps, n_frames: Frames per second; length of the video in frames.
        others: Predictions of other seeds for the same video.
        covered: Spans (onset, offset), inclusive, that need no search: already watched, or without
            a face.
        effort: The assumptions.

    Returns:
        QUEUE_COLUMNS: `kind` "interval" or "stretch"; `p` chance to be right (missing for a
        stretch); `mistakes` expected; `f1_after` expected F1 after this and all earlier entries;
        `attrs["f1_now"]` the expected F1 without a review (None if nothing is expected at all),
        `attrs["assumptions"]` the model in words.
    """
    open_ = rows[rows["status"] == "open"].reset_index(drop=True)
    open_ = open_[~_duplicates(open_, rows, threshold)].reset_index(drop=True)
    above = (open_["score"].fillna(np.inf) >= threshold).to_numpy(bool)
    chances = _chances(open_, others, threshold, effort)
    p = chances.mean(axis=0)
    decided = rows[rows["status"].isin(DECIDED)]
    n_true = len(decided) + float(p[above].sum())
    occupied = pd.concat([open_[above], decided])[["onset", "offset"]].to_numpy(np.int64)
    items = _intervals(open_, chances, above, fps, effort)
    stretches = _stretches(occupied, covered, n_true, fps, n_frames, effort)
    entries = pd.concat([t for t in (items, stretches) if len(t)] or [items], ignore_index=True)
    entries["per_minute"] = entries["mistakes"] / entries["minutes"]
    entries = entries.sort_values(["per_minute", "onset"], ascending=[False, True], kind="stable")
    entries = _with_f1(entries.reset_index(drop=True), n_true)
    entries.attrs["assumptions"] = effort.sentence()
    return entries


def _duplicates(open_: pd.DataFrame, rows: pd.DataFrame, threshold: float) -> np.ndarray:
    """(N,) bool: dropped intervals of which a better one covers half or more."""
    decided = rows[rows["status"].isin([*DECIDED, "rejected"])]
    intervals = pd.concat([open_, decided.assign(score=np.inf)], ignore_index=True)
    strength = intervals["score"].fillna(np.inf).to_numpy(float)
    onset, offset = (intervals[c].to_numpy(np.int64) for c in ("onset", "offset"))
    order = np.argsort(onset, kind="stable")
    starts, longest = onset[order], int((offset - onset + 1).max(initial=0))
    duplicate = np.zeros(len(open_), dtype=bool)
    for i in np.flatnonzero(strength[: len(open_)] < threshold):
        first, last = np.searchsorted(starts, [onset[i] - longest, offset[i] + 1])
        nearby = order[first:last]
        better = nearby[(strength[nearby] > strength[i]) | ((strength[nearby] == strength[i]) & (nearby < i))]
        n_common = np.minimum(offset[better], offset[i]) - np.maximum(onset[better], onset[i]) + 1
        duplicate[i] = bool((2 * n_common >= offset[i] - onset[i] + 1).any())
    return duplicate


def _chances(open_: pd.DataFrame, others, threshold: float, effort: Effort) -> np.ndarray:
    """p of each open interval by each seed, (1 + seeds, N); no score counts as undecided."""
    score = open_["score"].fillna(threshold).to_numpy(float)
    votes = [score] + [_votes(open_, other) for other in others]
    return 1 / (1 + np.exp(-(np.array(votes) - threshold) / effort.spread))


def _votes(open_: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """The score of each interval by another seed, 0 where that has no such interval."""
    other = other.sort_values("onset", kind="stable")
    onset, offset = (other[c].to_numpy(np.int64) for c in ("onset", "offset"))
    score, emotion = other["score"].fillna(1.0).to_numpy(float), other["emotion"].to_numpy(object)
    longest = int((offset - onset + 1).max()) if len(other) else 0
    votes = np.zeros(len(open_))
    intervals = zip(open_["onset"], open_["offset"], open_["emotion"], strict=True)
    for i, (start, end, label) in enumerate(intervals):
        near = slice(*np.searchsorted(onset, [start - longest, end + 1]))
        overlap = tiou(start, end, onset[near], offset[near])
        same = (overlap >= 0.5) & (emotion[near] == label)
        votes[i] = score[near][same].max(initial=0.0)
    return votes


def _intervals(open_: pd.DataFrame, chances, kept, fps: float, effort: Effort) -> pd.DataFrame:
    length_s = (open_["offset"] - open_["onset"] + 1).to_numpy(float) / fps
    watched_s = effort.watch * (length_s + 2 * effort.context_s)
    p = chances.mean(axis=0)
    return pd.DataFrame(
        {
            "kind": pd.Series("interval", index=open_.index, dtype=object),
            "row_id": open_["row_id"],
            "onset": open_["onset"].to_numpy(np.int64),
            "offset": open_["offset"].to_numpy(np.int64),
            "p": p,
            "mistakes": np.where(kept, 1 - p, p),
            "minutes": (effort.decide_s + watched_s) / 60,
            "kept": kept,
            "why": _why(chances, p, kept),
        }
    )


def _why(chances: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The reason in words, (N,); of `chances` (seeds, N)."""
    yes, seeds = (chances >= 0.5).sum(axis=0), len(chances)
    split = np.array([f"{n} of {seeds} seeds say so" for n in range(seeds + 1)], dtype=object)[yes]
    near = np.where(kept, "doubtful, kept", "doubtful, dropped")
    sure = np.where(kept, "kept, likely right", "dropped, likely wrong")
    alone = np.where(np.abs(p - 0.5) < 0.25, near, sure)
    return np.where((yes > 0) & (yes < seeds), split, alone)


def _stretches(occupied, covered, n_true: float, fps: float, n_frames: int, effort) -> pd.DataFrame:
    spans = sorted([*map(tuple, occupied.tolist()), *covered, (-1, -1), (n_frames, n_frames)])
    ends = np.maximum.accumulate([end for _, end in spans]).tolist()
    gaps = [
        (end + 1, start - 1)
        for end, (start, _) in zip(ends, spans[1:], strict=False)
        if (start - 1 - end) / fps >= effort.min_gap_s
    ]
    onset, offset = (np.array([gap[i] for gap in gaps], dtype=np.int64) for i in (0, 1))
    length = offset - onset + 1
    per_frame = n_true / max(n_frames, 1) * effort.missed / (1 - effort.missed)
    mistakes = per_frame * length
    texts = zip(length / fps, mistakes, strict=True)
    return pd.DataFrame(
        {
            "kind": pd.Series("stretch", index=range(len(gaps)), dtype=object),
            "row_id": pd.Series(pd.NA, index=range(len(gaps)), dtype="string"),
            "onset": onset,
            "offset": offset,
            "p": np.nan,
            "mistakes": mistakes,
            "minutes": (length / fps / effort.scan_speed + mistakes * effort.decide_s) / 60,
            "kept": False,
            "why": [f"nothing for {s:.0f} s, {m:.1f} missed expected" for s, m in texts],
        }
    )


def _with_f1(entries: pd.DataFrame, sure: float) -> pd.DataFrame:
    """Adds the expected F1 after each entry and all earlier ones."""
    mistakes, kept = entries["mistakes"].to_numpy(float), entries["kept"].to_numpy(bool)
    alarms, misses = np.where(kept, mistakes, 0.0), np.where(kept, 0.0, mistakes)
    total = sure + alarms.sum() + misses.sum()
    entries.attrs["f1_now"] = float(_f1(sure, alarms.sum(), misses.sum())) if total else None
    false = np.maximum(alarms.sum() - alarms.cumsum(), 0.0)
    lost = np.maximum(misses.sum() - misses.cumsum(), 0.0)
    entries["f1_after"] = _f1(sure + misses.cumsum(), false, lost)
    return entries[QUEUE_COLUMNS]


def _f1(tp, fp, fn):
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1e-12)

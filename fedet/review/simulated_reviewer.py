"""A simulated reviewer: decides according to annotations, for demonstrations, tests and experiments.

It makes the edits of a careful person in the explorer, so that journals, exports and training get
realistic input. Results that use it must say so.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.intervals import expression_type_of
from fedet.matching import match_closest, overlap_pairs
from fedet.review.review import Review

NEAR = 0.2  # tIoU from which a person would correct an interval rather than add another


def simulate_review(
    review: Review,
    truth: pd.DataFrame,
    threshold: float = 0.0,
    *,
    tolerance: int = 0,
    jitter: float = 0.0,
    slips: float = 0.0,
    seed: int = 0,
    by: str | None = None,
) -> pd.Series:
    """Decides every open interval of a review according to the annotations of its video.

    Intervals near an event (tIoU >= NEAR, the closest pairs first) are accepted, or moved and
    relabelled where they differ; the others are rejected; unmatched events are added.

    Args:
        review: edited in place, each decision by its own edit.
        truth: canonical annotations of the same video, counted in the review's frame rate.
        threshold: open intervals with a lower score stay open, as if hidden.
        tolerance: edges that are off by up to so many frames are accepted.
        jitter: standard deviation, in frames, of how a person places onsets and offsets.
        slips: share of the events that get another emotion than the annotated one.
        seed: of jitter and slips.
        by: the reviewer's name; default: that of the review.

    Returns:
        The number of edits of each kind: accept, move, relabel, reject, add.

    Raises:
        InputError: truth is of another video or frame rate.

    >>> review = Review(pd.DataFrame(), video="v", fps=30.0, reviewer="nobody")
    >>> event = {"video": "v", "fps": 30.0, "onset": 3, "offset": 9, "emotion": "positive"}
    >>> int(simulate_review(review, pd.DataFrame([event]))["add"])
    1
    """
    if not 0 <= slips <= 1 or jitter < 0:
        raise InputError(f"slips={slips!r}, jitter={jitter!r}: a share of 0 ... 1, frames of 0 or more")
    events = _with_errors(_events_of(truth, review), review, jitter, slips, np.random.default_rng(seed))
    rows = review.table("open")
    rows = rows[~(rows["score"] < threshold)].reset_index(drop=True)
    counts = dict.fromkeys(("accept", "move", "relabel", "reject", "add"), 0)

    def apply(op: str, **values) -> None:
        review.apply(op, by=by, **values)
        counts[op] += 1

    event_of = _match(rows, events)
    for at, row in rows.iterrows():
        if at not in event_of:
            apply("reject", row=row["row_id"])
            continue
        event = events.loc[event_of[at]]
        frames = {name: int(event[name]) for name in ("onset", "offset")}
        if any(abs(frames[name] - int(row[name])) > tolerance for name in frames):
            apply("move", row=row["row_id"], apex=_int_or_none(event["apex"]), **frames)
        if pd.notna(event["emotion"]) and event["emotion"] != row["emotion"]:
            apply("relabel", row=row["row_id"], emotion=event["emotion"])
        if review.rows[row["row_id"]]["status"] == "open":
            apply("accept", row=row["row_id"])
    for _, event in events.drop(index=list(event_of.values())).iterrows():
        emotion = event["emotion"] if pd.notna(event["emotion"]) else None
        frames = {name: int(event[name]) for name in ("onset", "offset")}
        apply("add", apex=_int_or_none(event["apex"]), emotion=emotion, **frames)
    return pd.Series(counts, name="edits")


def stretch_intervals(events: pd.DataFrame, factor: float, n_frames: Mapping[str, int]) -> pd.DataFrame:
    """Annotations by another laboratory's convention: every interval longer by `factor`.

    Where an expression begins and ends is a convention (first trace, or clearly visible); a detector
    learns the convention of its training set. Middles stay; intervals end at the video's ends.

    Args:
        events: canonical table.
        factor: above 1 longer, below 1 shorter; at least one frame is left.
        n_frames: frames of each video, counted at the table's rate.

    Raises:
        InputError: a factor that is not above 0, or a video of unknown length.
    """
    if not factor > 0:
        raise InputError(f"stretch={factor!r}: it must be above 0")
    if unknown := sorted(set(events["video"]) - set(n_frames)):
        raise InputError(f"the length of video {unknown[0]!r} is not known; add it to n_frames")
    start, end = events["onset"].to_numpy(float), events["offset"].to_numpy(float) + 1
    middle, half = (start + end) / 2, (end - start) / 2 * factor
    last = events["video"].map(n_frames).to_numpy(float) - 1
    onset = np.clip(np.rint(middle - half), 0, last)
    offset = np.clip(np.rint(middle + half) - 1, onset, last)
    kinds = expression_type_of(onset, offset, events["fps"].to_numpy(float))
    table = events.assign(onset=onset.astype(int), offset=offset.astype(int))
    table["apex"] = events["apex"].astype("Float64").clip(onset, offset)
    table["expression_type"] = list(kinds)
    return table.astype(events.dtypes)


def _events_of(truth: pd.DataFrame, review: Review) -> pd.DataFrame:
    clip = review.clip
    names = set(truth["video"].dropna()) if "video" in truth else set()
    rates = set(truth["fps"].dropna()) if "fps" in truth else set()
    if names - {clip.video} or any(abs(rate - clip.fps) > 1e-3 * clip.fps for rate in rates):
        raise InputError(
            f"truth of {', '.join(map(str, sorted(names)))} at {', '.join(f'{r:g}' for r in rates)} "
            f"fps: the review is of {clip.video} at {clip.fps:g}"
        )
    return truth.reindex(columns=["onset", "apex", "offset", "emotion"]).reset_index(drop=True)


def _with_errors(events, review: Review, jitter: float, slips: float, rng) -> pd.DataFrame:
    """The events with this reviewer's errors: edges off by some frames, some emotions wrong."""
    last = np.inf if review.clip.n_frames is None else review.clip.n_frames - 1
    shift = np.rint(rng.normal(0, jitter, (len(events), 2))) if jitter else np.zeros((len(events), 2))
    onset = np.clip(events["onset"].to_numpy(float) + shift[:, 0], 0, last)
    offset = np.clip(events["offset"].to_numpy(float) + shift[:, 1], onset, last)
    wrong = rng.random(len(events)) < slips
    other = rng.integers(1, max(2, len(review.clip.labels)), len(events))
    labels = list(review.clip.labels)
    emotion = [
        labels[(labels.index(e) + o) % len(labels)] if w and pd.notna(e) else e
        for e, w, o in zip(events["emotion"], wrong, other, strict=True)
    ]
    apex = events["apex"].astype("Float64").clip(onset, offset)
    return events.assign(onset=onset.astype(int), offset=offset.astype(int), apex=apex, emotion=emotion)


def _match(rows: pd.DataFrame, events: pd.DataFrame) -> dict[int, int]:
    """Index of an open row -> index of its event."""
    if rows.empty or events.empty:
        return {}
    frames = [
        t[["onset", "offset"]].astype(int).assign(subject="", video="v", fps=30.0, expression_type="macro")
        for t in (rows, events)
    ]
    sides = align(*frames, score=1.0)
    truth_of = match_closest(overlap_pairs(sides.predictions, sides.truths, NEAR), NEAR).truth_of
    return {int(row): int(event) for row, event in enumerate(truth_of) if event >= 0}


def _int_or_none(value) -> int | None:
    return None if pd.isna(value) else int(value)

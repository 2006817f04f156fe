"""A review out to other tools and back: which rows go, and what an edited file changes."""

import uuid
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.elan.reader import is_undecided
from fedet.annotations.elan.tiers import tier_of
from fedet.annotations.formats import format_of, read_intervals, write_intervals
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.video_names import names_of, stem
from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.explorer.timeline import Lanes, convert_rate
from fedet.matching import match_closest, overlap_pairs
from fedet.review.edits import DECIDED, EMPTY, Changes, Row, frames_of
from fedet.review.review import REVIEW_COLUMNS, Review, read_review

TAIL_S = 0.5  # an edge this far after the video's end means the end
SAME_EVENT_TIOU = 0.5  # tIoU from which an interval of a file and one of the review are the same


def write_review(path: Path, rows: pd.DataFrame, predictions, lanes: Lanes, video) -> Path:
    """Writes a review's rows in the format of the suffix; ELAN gets truth and prediction as well.

    Args:
        path: .csv, .json, .eaf, .vtt or .boris.csv.
        rows: From `Review.table`.
        predictions: Canonical table for ELAN's tier `fedet`.
        lanes: The video's name, rate, length and truth.
        video: A `fedet.video.reader.Video` for ELAN to open, or None.
    """
    kind = format_of(path)
    reviewed = rows["source"].fillna("").str.startswith("review")
    rows = rows.assign(source=rows["source"].where(reviewed, "review: " + rows["status"]))
    rows = rows.drop(columns=[c for c in REVIEW_COLUMNS if c != "note"])
    if kind == ".eaf":
        truth = [] if lanes.truth is None else [lanes.truth.assign(source=pd.NA, score=pd.NA)]
        detections = predictions.assign(source=predictions["source"].fillna("fedet"))
        rows = pd.concat([*truth, detections, rows], ignore_index=True)
    durations = dict.fromkeys(
        [lanes.name, *names_of(rows)], lanes.n_frames / lanes.fps
    )  # JSON: of each person
    media = video.path if video is not None and Path(video.path).is_file() else None
    write_intervals(rows, path, fps=lanes.fps, media=media, durations=durations, shared=(lanes.name,))
    return path


def read_reviewed(path: Path, lanes: Lanes, notices: list[str]) -> pd.DataFrame:
    """The reviewed intervals of this video in a file, in the rate of `lanes`.

    A journal (.jsonl) gives the intervals that its reviewer confirmed. Of a file with a tier or source
    "review" only that is read; of other files everything. Repairs and rows left out are appended to
    `notices`, one sentence each.
    """
    if path.suffix == ".jsonl":
        table = read_review(path)
    else:
        table, report = read_intervals(path, fps=lanes.fps, video=lanes.name, emotion_map=AS_WRITTEN)
        for line in report[report["row"].notna() | report["action"].eq("left out")].itertuples():
            row = "" if pd.isna(line.row) else f", row {line.row}"
            value = "" if pd.isna(line.value) or str(line.value) in line.problem else f" {line.value!r}"
            notices.append(f"{path.name}{row}: {line.column}{value}: {line.problem} ({line.action})")
    table = table[[stem(str(v)) == stem(lanes.name) for v in table["video"]]]
    cells = table.astype("string").fillna("").to_dict("records")
    reviewed = [tier_of(row) == "review" for row in cells]
    if path.suffix.lower() == ".eaf" or any(reviewed):
        table = table[reviewed]
    if table.empty:
        raise InputError(f"{path}: no reviewed interval of video {lanes.name!r} (tier review)")
    table = convert_rate(table.reset_index(drop=True), lanes.fps, path.name, notices)
    return _clip_to_video(table, lanes, path)


def _clip_to_video(table: pd.DataFrame, lanes: Lanes, path: Path) -> pd.DataFrame:
    """The table without the few frames by which an interval may exceed the video's end."""
    last = lanes.n_frames - 1
    late = table[(table["offset"] > last + TAIL_S * lanes.fps) | (table["onset"] > last)]
    if len(late):
        start, end = late["onset"].iloc[0] / lanes.fps, (late["offset"].iloc[0] + 1) / lanes.fps
        raise InputError(
            f"{path}: the interval from {start:.2f} to {end:.2f} s ends after the video "
            f"({lanes.n_frames / lanes.fps:.2f} s); shorten it there, or delete it"
        )
    return table.assign(offset=table["offset"].clip(upper=last), apex=table["apex"].clip(upper=last))


def decided_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The intervals without open and rejected ones."""
    return table[~table["source"].fillna("").map(is_undecided).astype(bool)]


def changes_from(table: pd.DataFrame, review: Review) -> Changes:
    """The changes that make a review's decided rows equal to a table.

    Intervals of the table are matched with decided rows, then with open ones, the closest first.
    An open row that the table repeats becomes accepted, one that it moves or renames corrected;
    intervals without a match are added; decided rows that the table lacks are deleted. Rejected rows
    stay, and so do rows that the table calls open or rejected.
    """
    rest = decided_rows(table.reset_index(drop=True))
    changes: Changes = {}
    undecided_rows = table.reset_index(drop=True).drop(index=rest.index)
    for statuses in (DECIDED, ("open",)):
        rows = {i: r for i, r in review.rows.items() if r["status"] in statuses}
        matches = _match(rest, rows, review)
        for at, row_id in matches.items():
            new = _new_row(rest.loc[at].to_dict(), rows[row_id], review)
            if new != rows[row_id]:
                changes[row_id] = new
        if statuses is DECIDED:
            absent = {i: r for i, r in rows.items() if i not in matches.values()}
            changes |= dict.fromkeys(absent.keys() - _match(undecided_rows, absent, review).values())
        rest = rest.drop(index=list(matches))
    for record in rest.to_dict("records"):
        changes[f"a{uuid.uuid4().hex[:12]}"] = _new_row(record, None, review)
    return changes


def _match(table: pd.DataFrame, rows: dict[str, Row], review: Review) -> dict[int, str]:
    """Index in the table -> id of the row that is the same interval."""
    if not rows or table.empty:
        return {}
    clip = review.clip
    several = len(review.people) > 1  # else a file may call the one person otherwise
    ours = pd.DataFrame({
        "subject": [(r["subject"] or "") if several else "" for r in rows.values()],
        "video": clip.video, "fps": clip.fps, "expression_type": "macro",
        "onset": [r["onset"] for r in rows.values()], "offset": [r["offset"] for r in rows.values()],
    })  # fmt: skip
    theirs = ours.iloc[:0].reindex(range(len(table))).assign(
        subject=table["subject"].fillna("").to_numpy() if several else "",
        video=clip.video, fps=clip.fps, expression_type="macro",
        onset=table["onset"].to_numpy(np.int64), offset=table["offset"].to_numpy(np.int64),
    )  # fmt: skip
    sides = align(theirs, ours, score=1.0)
    pairs = overlap_pairs(sides.predictions, sides.truths, SAME_EVENT_TIOU)
    truth_of = match_closest(pairs, SAME_EVENT_TIOU).truth_of
    ids = list(rows)
    return {int(table.index[at]): ids[row] for at, row in enumerate(truth_of) if row >= 0}


def _new_row(record: dict, old: Row | None, review: Review) -> Row:
    """A review's row of an interval of a table; with `old`, that row changed to match."""
    apex = record["apex"] if pd.notna(record["apex"]) else None
    new = frames_of(review.clip, int(record["onset"]), int(record["offset"]), apex)
    new["emotion"] = record["emotion"] if pd.notna(record["emotion"]) else None
    note = record.get("note")
    if note is not None and pd.notna(note):
        new["note"] = str(note)
    if old is None:
        if len(review.people) > 1:
            new["subject"] = str(record["subject"])
        return EMPTY | new | {"status": "added"}
    same = all(old[k] == new[k] for k in ("onset", "apex", "offset", "emotion"))
    confirmed = old["status"] in DECIDED
    status = old["status"] if same and confirmed else "accepted" if same else "corrected"
    return old | new | {"status": "added" if old["status"] == "added" else status}

"""The intervals that reviewers confirmed, collected from their files into a training dataset.

A review is a journal (`*.review.jsonl`), or what the explorer exported: canonical CSV, ELAN,
ActivityNet JSON, WebVTT, BORIS. Only reviewed videos are in the dataset: a video
without a review may hold expressions. In a reviewed video, undecided intervals count as no expression;
those that look forgotten are reported.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import csv_grid, table_of
from fedet.annotations.elan.reader import is_undecided
from fedet.annotations.elan.tiers import tier_of
from fedet.annotations.formats import read_intervals
from fedet.annotations.repairs import empty_repairs, join_repairs, repair, without_unread
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import EMOTION_WORDS, emotion_words, validate
from fedet.annotations.video_names import stem
from fedet.datasets.dataset import VIDEO_COLUMNS, Dataset, frame_files
from fedet.datasets.own_folder import find_videos
from fedet.errors import InputError
from fedet.intervals import empty_table
from fedet.review.edits import DECIDED
from fedet.review.journal import read_journal
from fedet.review.review import REVIEW_COLUMNS, read_review
from fedet.video.reader import open_video

SUFFIXES = (".review.jsonl", ".eaf", ".csv", ".json", ".vtt")
_COMPARED = ["onset", "offset", "emotion"]
_INTERNAL = [c for c in REVIEW_COLUMNS if c != "note"]  # fedet's own columns, no loss if dropped


def reviewed_dataset(videos: str | Path, reviews: Iterable[str | Path]) -> Dataset:
    """The reviewed videos and the intervals that their reviewers confirmed.

    Args:
        videos: folder of the videos, or one video. A `videos.csv` (video, subject) in it names the
            subjects; without it, subjects are those of the reviews, else each video is a subject.
            An `emotions.csv` there or next to the reviews is read as by `annotations.emotion_words`.
        reviews: files, or folders of files with SUFFIXES. Open and rejected rows are left out; a table
            without review columns is read in full.

    Returns:
        The dataset. A review that looks half finished (`undecided_notice`) is a line of its report of
        repairs; its open rows count as no expression. Exports hold open rows only on request.

    Raises:
        InputError: no review, a review of a video that is not there, a file other than a journal without
            a decided row, or two files that differ about the same video.
    """
    videos = Path(videos)
    if not videos.exists():
        raise InputError(f"{videos}: no such file or folder")
    in_folder = find_videos(videos) if videos.is_dir() else {}
    paths = {stem(name): path for name, path in (in_folder or {videos.stem: videos}).items()}
    reviews = [Path(source) for source in reviews]
    files = [file for source in reviews for file in _files(source)]
    reviewed: dict[str, tuple[Path, pd.DataFrame, float]] = {}
    reports: list[pd.DataFrame] = []
    for file in files:
        decided, rows, report = _read_reviewed(file, paths)
        reports.append(report)
        if notice := undecided_notice(rows):
            reports.append(repair(file.name, notice, "kept"))
        for video, (table, fps) in decided.items():
            if video not in paths:
                names = ", ".join(sorted(paths)[:5])
                raise InputError(f"{file}: a review of {video!r}, but {videos} holds {names}")
            if video in reviewed and not _same_events(reviewed[video], (table, fps)):
                raise InputError(
                    f"{reviewed[video][0]} and {file} differ about {video!r}: name the one to learn from"
                )
            reviewed.setdefault(video, (file, table, fps))
    if not reviewed:
        raise InputError("no review: name journals (*.review.jsonl), exports, or folders of them")
    emotions: dict[str, str] = {}
    for path in (videos, *reviews):
        emotions |= emotion_words(path)
    dataset = _dataset(videos, paths, reviewed, emotions)
    return replace(dataset, repairs=join_repairs(*reports, dataset.repairs))


def undecided_notice(rows: pd.DataFrame) -> str:
    """A sentence about intervals that look forgotten in a review; "" if none do.

    A detector also reports intervals of very low scores, which nobody decides. So an open row counts
    only if its score reaches that of some accepted, corrected or rejected row; without such rows, every
    open row counts.

    Args:
        rows: all rows of a review with their status and score.
    """
    score = pd.to_numeric(rows["score"], errors="coerce")
    decided = score[rows["status"].isin((*DECIDED, "rejected"))].min()
    open_rows = rows["status"].eq("open")
    forgotten = score[open_rows & (score.ge(decided) | score.isna() if pd.notna(decided) else True)]
    if forgotten.empty:
        return ""
    highest = "" if forgotten.isna().all() else f", the highest scores {forgotten.max():.2f}"
    comparison = (
        "nothing that was predicted was" if pd.isna(decided) else f"others from {decided:.2f} on were"
    )
    return (
        f"{len(forgotten)} of {len(rows)} intervals were never decided{highest}, while {comparison}: they "
        "count as no expression; finish the review, or leave this video out"
    )


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise InputError(f"{source}: no such review")
    if not source.is_dir():
        return [source]
    candidates = sorted(p for p in source.iterdir() if p.name[0] != "." and p.name.lower().endswith(SUFFIXES))
    excluded = ("videos.csv", "missing_faces.csv", "detections.csv", EMOTION_WORDS)
    return [p for p in candidates if p.name not in excluded]


def _read_reviewed(file: Path, paths: dict[str, Path]) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Video -> (decided rows, frames per second); all rows with status and score; the report."""
    if file.name.endswith(".jsonl"):
        table, all_rows = read_review(file, DECIDED), read_review(file, "all")[["status", "score"]]
        head = read_journal(file)[0]
        video = stem(table["video"].iloc[0] if len(table) else head["video"])
        return {video: (table, float(head["fps"]))}, all_rows, empty_repairs()
    video = _video_of(file, paths)
    fps = _fps_of(paths[video]) if video in paths else None
    table, report = read_intervals(file, fps=fps, video=video, emotion_map=AS_WRITTEN)
    report = without_unread(report, _INTERNAL)
    cells = table.astype("string").fillna("").to_dict("records")
    reviewed_rows = [row for row in cells if tier_of(row) == "review"]
    status = [row["source"].rpartition(": ")[2] for row in reviewed_rows]
    rows = pd.DataFrame({"status": status, "score": [row["score"] for row in reviewed_rows]}, dtype=object)
    way_out = "if that is the result, give the journal"
    if reviewed_rows:
        table = table[[_is_decided(row) for row in cells]]
    elif file.name.lower().endswith(".eaf"):  # its tier fedet holds detections, decided or not
        is_detection = [tier_of(row) == "fedet" for row in cells]
        table = table[[not flag for flag in is_detection]]
        if n := sum(is_detection):
            way_out = f"put what is right in the tier fedet into the tier review; {way_out}"
            line = repair(file.name, f"{n} detections that nobody decided", "left out", column="fedet")
            report = join_repairs(report, line)
    names = table["video"].map(lambda v: stem(str(v)))
    if table.empty:
        raise InputError(f"{file}: nothing in it is reviewed; {way_out}")
    decided = {}
    for name, rows_of_video in table.groupby(names, sort=False):
        rates = rows_of_video["fps"].dropna()
        rate = rates.iloc[0] if len(rates) else _fps_of(paths[name]) if name in paths else None
        if name in paths and rate is None:
            raise InputError(f"{file}: no fps is known for {name!r}: add a column fps")
        decided[str(name)] = (rows_of_video.assign(fps=rows_of_video["fps"].fillna(rate)), float(rate or 0))
    return decided, rows, report


def _video_of(file: Path, paths: dict[str, Path]) -> str:
    """The video that a file is named after: the longest prefix of its name, up to a dot, that is a video."""
    parts = file.name.split(".")
    names = [stem(".".join(parts[:n])) for n in range(len(parts) - 1, 0, -1)]
    return next((name for name in names if name in paths), names[-1])


def _fps_of(path: Path) -> float | None:
    """The rate of a video file; a folder of images has none."""
    return None if path.is_dir() else open_video(path).fps


def _is_decided(row: dict[str, str]) -> bool:
    """Whether a row of an export is reviewed and neither open nor rejected."""
    return tier_of(row) == "review" and not is_undecided(row["source"])


def _same_events(one: tuple[Path, pd.DataFrame, float], other: tuple[pd.DataFrame, float]) -> bool:
    a, b = (
        sorted(map(tuple, t[_COMPARED].astype("string").fillna("").to_numpy())) for t in (one[1], other[0])
    )
    return a == b and abs(one[2] - other[1]) < 1e-3 * one[2]


def _dataset(root: Path, paths: dict[str, Path], reviewed: dict, emotions: dict[str, str]) -> Dataset:
    subject_of = _subjects(root / "videos.csv") if root.is_dir() else {}
    rows, tables, ends = [], [empty_table()], {}
    for video, (_, table, fps) in reviewed.items():
        subjects = table["subject"].dropna()
        subject = subject_of.get(video) or (subjects.iloc[0] if len(subjects) else video)
        path = paths[video]
        row = {"subject": subject, "video": video, "path": str(path), "fps": fps, "n_missing": None}
        if path.is_dir():
            row["first_frame_number"] = min(1, *frame_files(path, 0))
        elif length := open_video(path).duration_s:
            ends[video] = math.ceil(length * fps - 1e-6)
        rows.append(row)
        tables.append(table.assign(subject=subject, video=video))
    kinds = {"fps": "Float64", "n_frames": "Int64", "first_frame_number": "Int64", "n_missing": "Int64"}
    videos = pd.DataFrame(rows, columns=VIDEO_COLUMNS, dtype=object)
    videos = videos.astype({c: kinds.get(c, "string") for c in VIDEO_COLUMNS})
    events = pd.concat(tables, ignore_index=True).drop(columns=_INTERNAL, errors="ignore")
    options = {"source_name": "reviews", "missing_offset": "drop", "emotion_map": emotions}
    annotations, repairs = validate(events, ends, **options)
    return Dataset("reviewed", root, videos, annotations, repairs, "drop")


def _subjects(path: Path) -> dict[str, str]:
    """Video -> subject, of a videos.csv; empty without one."""
    if not path.is_file():
        return {}
    table = table_of(csv_grid(path), 0)
    if not {"video", "subject"} <= set(table.columns):
        raise InputError(f"{path}: needs the columns video and subject, has {', '.join(table.columns)}")
    return {stem(v): s for v, s in zip(table["video"], table["subject"], strict=True) if v and s}

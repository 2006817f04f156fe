"""ActivityNet-style JSON, which OpenTAD and ActionFormer read: seconds, one entry per video."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import UNKNOWN, Cells, cells_of
from fedet.annotations.cells import as_fps, as_seconds, as_text, read_text
from fedet.annotations.limits import MAX_ROWS, MAX_TREE_BYTES, refuse_more
from fedet.annotations.repairs import Line, join_repairs, repair
from fedet.annotations.table import (
    EmotionMap,
    LabelFile,
    all_videos,
    listed_videos,
    validate,
    video_facts,
    words_for,
)
from fedet.annotations.video_names import names_of
from fedet.errors import InputError
from fedet.files import atomic_write, parse_json
from fedet.intervals import COLUMNS, EXTRA_COLUMNS

_FRAMES = ("onset", "offset")  # the segment holds them


def write_json(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    durations: Mapping[str, float] | None = None,
    subset: str = "training",
    videos: pd.DataFrame | None = None,
) -> None:
    """Writes ActivityNet-style JSON as OpenTAD and ActionFormer read it; the file appears whole.

    Per video: subset, duration (s), fps, frame (number of frames), annotations with `segment`
    (s, the end that of the last frame) and `label`; further keys keep the rest of the table. A video
    whose name people share is called `subject_video`.

    Args:
        table: Canonical table.
        path: The .json file.
        fps: Frames per second where the table has none.
        durations: Seconds of each video (by `names_of`); one that is missing counts to its last event's end.
        subset: Of videos for which `videos` has none.
        videos: As `table.LabelFile.videos`: also those without events are written.
    """
    listed = all_videos(table, videos)
    names = dict(zip(zip(listed["subject"], listed["video"], strict=True), names_of(listed), strict=True))
    database = {names[row["subject"], row["video"]]: _entry(row, subset) for row in listed.to_dict("records")}
    for cells in cells_of(table, fps):
        name, rate = names[cells["subject"] or cells["video"], cells["video"]], float(cells["fps"])
        entry = database[name]
        entry["fps"] = entry["fps"] or rate
        segment = [int(cells["onset"]) / rate, (int(cells["offset"]) + 1) / rate]
        label = cells["emotion"] or UNKNOWN
        entry["annotations"].append({"segment": segment, "label": label} | _more(cells, entry))
    for name, entry in database.items():
        ends = [a["segment"][1] for a in entry["annotations"]]
        entry["duration"] = entry["duration"] or max([*ends, (durations or {}).get(name, 0.0)])
        entry["frame"] = entry["frame"] or math.ceil(entry["duration"] * (entry["fps"] or 0.0) - 1e-6)
        if entry["video"] == name:
            del entry["video"]
    with atomic_write(Path(path)) as part:
        document = {"version": "fedet 1", "database": database}
        part.write_text(
            json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8", errors="replace"
        )


def _entry(row: Mapping[str, object], subset: str) -> dict:
    """The entry of a video, without its annotations."""
    known = {key: None if pd.isna(value) else value for key, value in row.items()}  # type: ignore[call-overload]
    return {
        "subset": known["subset"] or subset,
        "duration": known["duration_s"] or 0.0,
        "fps": known["fps"],
        "frame": known["n_frames"] or 0,
        "annotations": [],
        "subject": known["subject"],
        "video": known["video"],
    }


def _more(cells: Cells, entry: dict) -> dict:
    """The cells that neither segment and label nor the video's entry hold."""
    known = {"subject": entry["subject"], "fps": as_text(entry["fps"]), "video": cells["video"]}
    left = {c: cells[c] for c in [*COLUMNS[1:], *EXTRA_COLUMNS] if cells.get(c)}
    left = {c: v for c, v in left.items() if c not in (*_FRAMES, "emotion")}
    numbers = {"apex": int, "score": float, "fps": float}
    more = {c: numbers.get(c, str)(v) for c, v in left.items() if known.get(c) != v}
    return more | {"row": int(cells["row"])}


def read_json(
    path: str | Path,
    *,
    fps: float | None = None,
    emotion_map: EmotionMap = None,
) -> LabelFile:
    """Reads ActivityNet-style JSON: `database` (annotations) or `results` (predictions).

    Args:
        path: The .json file.
        fps: Frames per second of videos for which the file has none.
        emotion_map: As for `annotations.validate`.

    Returns:
        The events (a row number of the report is the rank of an annotation in its video) and all videos. An
        annotation that ends after its video is kept and reported. A video that stands there twice has the
        annotations of both.

    Raises:
        InputError: Not such a file, or no frame rate known.
    """
    path = Path(path)
    emotion_map, _ = words_for(path, emotion_map)
    entries, lines = _entries(path)
    rows: list[dict] = []
    listed = []
    for name, entry in entries:
        rate, problem = _rate(entry, fps)
        facts: dict = video_facts(
            {"duration_s": entry.get("duration"), "n_frames": entry.get("frame"), **entry}
        )
        video = {"video": as_text(entry.get("video")) or name, "fps": rate}
        video["subject"] = as_text(entry.get("subject")) or video["video"]
        listed.append(video | facts)
        if problem:
            lines.append(repair(path.name, problem, "repaired", video=name, value=as_text(entry.get("fps"))))
        annotations = entry.get("annotations")
        refuse_more(len(annotations) if isinstance(annotations, list) else 0, MAX_ROWS, "annotations", path)
        for rank, annotation in enumerate(annotations if isinstance(annotations, list) else [], start=1):
            try:
                rows.append(_row(annotation, video | {"fps": rate}) | {"rank": rank})
            except ValueError as error:
                value = as_text(annotation)[:60]
                lines.append(repair(path.name, str(error), "left out", row=rank, video=name, value=value))
                continue
            if facts["duration_s"] and rows[-1]["end_s"] > facts["duration_s"] + 1e-3:
                problem = f"ends after its video, which lasts {facts['duration_s']:g} s"
                value = f"{rows[-1]['end_s']:g}"
                lines.append(repair(path.name, problem, "kept", row=rank, video=name, value=value))
    n_annotations = len(rows) + sum(line.action == "left out" for line in lines)
    rows.sort(key=lambda row: row["row"] if isinstance(row.get("row"), int) else math.inf)
    columns = ["start_s", "end_s", *(c for c in COLUMNS if c not in _FRAMES), *EXTRA_COLUMNS]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    table = table.drop(columns=[c for c in EXTRA_COLUMNS if table[c].isna().all()])
    numbers = [row["rank"] for row in rows]
    events, report = validate(table, source_name=path.name, rows=numbers, fps=fps, emotion_map=emotion_map)
    videos = listed_videos(listed).drop_duplicates(["subject", "video"], ignore_index=True)
    return LabelFile(events, join_repairs(*lines, report), videos, n_annotations)


class _JoinedPairs(dict):
    """A JSON object that keeps the values of a name which stands in it again."""

    def __init__(self, pairs: list[tuple[str, object]]):
        super().__init__(reversed(pairs))  # the first value of a name
        firsts = {name: i for i, (name, _) in reversed(list(enumerate(pairs)))}
        self.repeated = [pair for i, pair in enumerate(pairs) if firsts[pair[0]] != i]


def _entries(path: Path) -> tuple[list[tuple[str, dict]], list[Line]]:
    """(video, its entry) of a file, and a line for each invalid entry."""
    try:
        document = parse_json(read_text(path, MAX_TREE_BYTES), _JoinedPairs)
    except ValueError as error:
        raise InputError(f"{path}: not ActivityNet-style JSON ({error})") from error
    if not isinstance(document, dict) or not {"database", "results"} & set(document):
        raise InputError(f"{path}: not ActivityNet-style JSON: neither database nor results")
    videos = document.get("database") or document.get("results") or {}
    if not isinstance(videos, dict):
        raise InputError(f"{path}: not ActivityNet-style JSON: its videos are no object, but {videos!r:.60}")
    entries, lines = [], []
    for name, entry in [*videos.items(), *getattr(videos, "repeated", [])]:
        for key, _ in getattr(entry, "repeated", []):
            lines.append(
                repair(path.name, f"{key!r} stands in it twice: the first is read", "left out", video=name)
            )
        if isinstance(entry, dict | list):
            entries.append((as_text(name), entry if isinstance(entry, dict) else {"annotations": entry}))
        else:
            problem = "no entry of a video: an object with annotations is needed"
            lines.append(
                repair(path.name, problem, "left out", video=as_text(name), value=as_text(entry)[:60])
            )
    return entries, lines


def _rate(entry: dict, fps: float | None) -> tuple[float | None, str]:
    try:
        return as_fps(as_text(entry.get("fps"))) or fps, ""
    except ValueError as error:
        return fps, f"{error}: not used"


def _row(annotation: object, video: Mapping[str, object]) -> dict:
    """The cells of an annotation.

    Raises:
        ValueError: It has no segment.
    """
    if not isinstance(annotation, dict):
        raise ValueError("no annotation: an object with segment and label is needed")
    segment: list = annotation.get("segment")  # type: ignore[assignment]
    if not isinstance(segment, list) or len(segment) != 2 or any(isinstance(x, bool | list) for x in segment):
        raise ValueError("no segment of two numbers, [start, end] in seconds")
    start_s, end_s = (as_seconds(as_text(x)) for x in segment)
    if start_s is None or end_s is None:
        raise ValueError("no time in a video, in seconds")
    label = annotation.get("label")
    cells = dict(video) | {"start_s": start_s, "end_s": end_s}
    cells |= {"emotion": None if label == UNKNOWN else label}
    columns = [c for c in [*COLUMNS, *EXTRA_COLUMNS, "row"] if c not in _FRAMES]
    return cells | {c: annotation[c] for c in columns if c in annotation}

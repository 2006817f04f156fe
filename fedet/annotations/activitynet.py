"""ActivityNet-style JSON, which OpenTAD and ActionFormer read: seconds, one entry per video."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import UNKNOWN, cells_of
from fedet.annotations.cells import as_text, decode
from fedet.annotations.table import validate
from fedet.annotations.video_names import names_of
from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.intervals import COLUMNS, EXTRA_COLUMNS

_FRAMES = ("onset", "offset")  # told by the segment


def write_json(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    durations: Mapping[str, float] | None = None,
    subset: str = "training",
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
        subset: The part that these videos belong to.
    """
    database: dict[str, dict] = {}
    for name, cells in zip(names_of(table), cells_of(table, fps), strict=True):
        rate = float(cells["fps"])
        entry = database.setdefault(
            name,
            {"subset": subset, "duration": 0.0, "fps": rate, "frame": 0, "annotations": [],
             "subject": cells["subject"]} | ({"video": cells["video"]} if name != cells["video"] else {}),
        )  # fmt: skip
        end = (int(cells["offset"]) + 1) / rate
        entry["duration"] = max(entry["duration"], end)
        segment = [int(cells["onset"]) / rate, end]
        label = cells["emotion"] or UNKNOWN
        entry["annotations"].append({"segment": segment, "label": label} | _more(cells, entry))
    for name, entry in database.items():
        entry["duration"] = max(entry["duration"], (durations or {}).get(name, 0.0))
        entry["frame"] = math.ceil(entry["duration"] * entry["fps"] - 1e-6)
    with atomic_write(Path(path)) as part:
        document = {"version": "fedet 1", "database": database}
        part.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def _more(cells: dict[str, str], entry: dict) -> dict:
    """What segment, label and the video's entry do not tell."""
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
    emotion_map: Mapping[str, str] | str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads ActivityNet-style JSON: `database` (annotations) or `results` (predictions).

    Args:
        path: The .json file.
        fps: Frames per second of videos for which the file tells none.
        emotion_map: As for `annotations.validate`.

    Returns:
        Canonical table and report; a row number is the rank of an annotation in its file.

    Raises:
        InputError: Not such a file, or no frame rate known.
    """
    path = Path(path)
    try:
        document = json.loads(decode(path))
        videos = document.get("database") or document.get("results") or {}
        entries = [(v, e if isinstance(e, dict) else {"annotations": e}) for v, e in videos.items()]
        rows = [_from_json(v, e, a) for v, e in entries for a in e.get("annotations") or []]
    except (ValueError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{path}: not ActivityNet-style JSON ({error!r})") from error
    if "database" not in document and "results" not in document:
        raise InputError(f"{path}: not ActivityNet-style JSON: neither database nor results")
    order = sorted(range(len(rows)), key=lambda i: _rank(rows[i]))
    columns = ["start_s", "end_s", *(c for c in COLUMNS if c not in _FRAMES), *EXTRA_COLUMNS]
    table = pd.DataFrame([rows[i] for i in order], columns=columns, dtype=object)
    table = table.drop(columns=[c for c in EXTRA_COLUMNS if table[c].isna().all()])
    numbers = [i + 1 for i in order]
    return validate(table, source_name=path.name, rows=numbers, fps=fps, emotion_map=emotion_map)


def _rank(row: dict) -> float:
    rank = row.get("row")
    return rank if isinstance(rank, int) else math.inf


def _from_json(video: str, entry: dict, annotation: dict) -> dict:
    start, end = annotation["segment"]
    label = annotation.get("label")
    told = {"video": entry.get("video") or video, "subject": entry.get("subject"), "fps": entry.get("fps")}
    told |= {"start_s": start, "end_s": end, "emotion": None if label == UNKNOWN else label}
    known = [c for c in [*COLUMNS, *EXTRA_COLUMNS, "row"] if c not in _FRAMES]
    return told | {c: annotation[c] for c in known if c in annotation}

"""Projects of BORIS (.boris): from one, BORIS imports the observations that fedet wrote.

Format: JSON with `observations`, each with its videos and events [time in s, subject, behaviour, modifiers,
comment, frame], and `behaviors_conf`, which says whether a behaviour is a state with starts and stops.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.boris import EVENT_COLUMNS, Observation, labels_of, offset_line, pair_events
from fedet.annotations.captions import UNKNOWN, Cells, caption_and_details, cells_of, span_ms
from fedet.annotations.cells import as_seconds, as_text, read_text
from fedet.annotations.limits import MAX_ROWS, MAX_TREE_BYTES, refuse_more
from fedet.annotations.repairs import repair
from fedet.annotations.table import PEOPLE, VIDEO_FACTS, EmotionMap, LabelFile, all_videos
from fedet.annotations.video_names import names_of
from fedet.errors import InputError
from fedet.files import atomic_write, parse_json

_MARK = "fedet "  # begins a description with the head that fedet wrote


def write_boris_project(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    videos: pd.DataFrame | None = None,
    media: Mapping[str, Path | None] | None = None,
    shared: Collection[str] = (),
) -> None:
    """Writes a project of BORIS, from which it imports observations; the file appears whole.

    A video is an observation, also one without events. Each emotion is a state event of the ethogram; what
    else the table holds stands in the comments. Intervals of one person and emotion that overlap have a
    modifier each, since BORIS pairs starts and stops in the order of time.

    Args:
        videos: As `table.LabelFile.videos`.
        media: Name of a video (`video_names.names_of`) -> its file.
        shared: As for `video_names.names_of`.
    """
    listed = all_videos(table, videos)
    names = dict(
        zip(zip(listed["subject"], listed["video"], strict=True), names_of(listed, shared), strict=True)
    )
    rows: dict[str, list[Cells]] = {name: [] for name in names.values()}
    for cells in cells_of(table, fps):
        rows[names[cells["subject"] or cells["video"], cells["video"]]].append(cells)
    observations: dict[str, dict] = {}
    codes: list[tuple[str, int]] = []
    for name, of_name in listed.groupby(pd.Series(list(names.values()), listed.index), sort=False):
        row = of_name.to_dict("records")[0]
        head = {c: row[c] for c in ("subject", "video", *VIDEO_FACTS) if as_text(row[c])}
        if len(of_name) > 1:
            head = {c: head[c] for c in head if c != "subject"} | {PEOPLE: of_name["subject"].tolist()}
        rate = rows[name][0]["fps"] if rows[name] else as_text(row["fps"]) or as_text(fps)
        events, most = _project_events(name, rows[name])
        codes += [(event[2], most) for event in events]
        film = str((media or {}).get(name) or name)
        observations[name] = _project_observation(film, rate, head, events)
    subjects = dict.fromkeys(event[1] for o in observations.values() for event in o["events"])
    project = {
        "time_format": "hh:mm:ss", "project_date": "", "project_name": Path(path).stem,
        "project_description": "", "project_format_version": "7.0",
        "subjects_conf": {str(i): {"key": "", "name": s, "description": ""}
                          for i, s in enumerate(filter(None, subjects))},
        "behaviors_conf": _ethogram(codes), "observations": observations, "behavioral_categories": [],
        "behavioral_categories_config": {}, "independent_variables": {}, "coding_map": {},
        "behaviors_coding_map": [], "converters": {},
    }  # fmt: skip
    with atomic_write(Path(path)) as part:
        part.write_text(json.dumps(project, ensure_ascii=False, indent=1), encoding="utf-8", errors="replace")


def _project_events(name: str, rows: list[Cells]) -> tuple[list[list], int]:
    """START and STOP of each interval as BORIS lists them, and how many overlap at most."""
    events: list[list] = []
    ends: dict[tuple[str, str, int], int] = {}
    most = 1
    for cells in sorted(rows, key=span_ms):
        start, end = span_ms(cells)
        code, subject = cells["emotion"] or UNKNOWN, cells["subject"]
        n = next(n for n in range(1, len(rows) + 1) if ends.get((code, subject, n), 0) <= start)
        ends[code, subject, n], most = end, max(most, n)
        modifier = f"overlap {n}" if n > 1 else ""
        base = {"video": name, "subject": subject, "fps": cells["fps"], "note": cells["note"]}
        _, details = caption_and_details(cells, base | {"action_units": modifier}, code)
        frames = int(cells["onset"]), int(cells["offset"]) + 1
        for ms, comment, frame in zip((start, end), (cells["note"], details), frames, strict=True):
            events.append([ms / 1000, subject, code, modifier, comment, frame])
    return sorted(events, key=lambda event: event[0]), most


def _project_observation(film: str, rate: str, head: dict, events: list[list]) -> dict:
    """An observation of one video; `head` is saved as its description."""
    players: dict[str, list[str]] = {str(i): [] for i in range(1, 9)}
    length = {film: head["duration_s"]} if "duration_s" in head else {}
    info = {"fps": {film: float(rate)} if rate else {}, "length": length, "hasVideo": {film: True},
            "hasAudio": {film: False}, "offset": {"1": 0.0}}  # fmt: skip
    return {
        "file": players | {"1": [film]}, "type": "MEDIA", "date": "", "time offset": 0.0,
        "description": _MARK + json.dumps(head, ensure_ascii=False),
        "events": events, "observation time interval": [0, 0], "independent_variables": {},
        "visualize_spectrogram": False, "visualize_waveform": False,
        "media_creation_date_as_offset": False, "media_scan_sampling_duration": 0,
        "image_display_duration": 1, "close_behaviors_between_videos": False, "media_info": info,
    }  # fmt: skip


def _ethogram(codes: Iterable[tuple[str, int]]) -> dict[str, dict]:
    """The behaviours of a project: each emotion, with a modifier for each overlapping interval."""
    most: dict[str, int] = {}
    for code, n in codes:
        most[code] = max(n, most.get(code, 1))
    keys = "abcdefghijklmnopqrstuvwxyz"
    return {
        str(i): {
            "type": "State event", "key": keys[i % len(keys)], "code": code, "description": "", "color": "",
            "category": "", "excluded": "", "coding map": "",
            "modifiers": {"0": {"name": "", "description": "", "type": 0, "ask at stop": False,
                                "values": [f"overlap {k}" for k in range(2, n + 1)]}} if n > 1 else "",
        }
        for i, (code, n) in enumerate(most.items())
    }  # fmt: skip


def read_boris_project(
    path: str | Path, *, fps: float | None = None, emotion_map: EmotionMap = None
) -> LabelFile:
    """Reads all observations of a project; state events are paired in the order of time, as BORIS does.

    Args:
        path: The .boris file.
        fps: Frames per second where the project has none.
        emotion_map: As for `annotations.validate`.

    Raises:
        InputError: Not a project, or no frame rate is known.
    """
    path = Path(path)
    try:
        project = parse_json(read_text(path, MAX_TREE_BYTES))
        listed, ethogram = project["observations"].items(), project["behaviors_conf"].values()
        kinds = {as_text(b.get("code")): b for b in ethogram}
        events = [(as_text(name), o, list(o.get("events") or [])) for name, o in listed]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a project of BORIS ({type(error).__name__}: {error})") from error
    rows: list[dict] = []
    observations, lines = {}, []
    for name, observation, entries in events:
        observations[name] = _videos(observation)
        valid = [event for event in entries if isinstance(event, list) and len(event) >= 3]
        rows += _tabular(name, as_text(observation.get("type")).upper(), valid, kinds)
        if n := len(entries) - len(valid):
            problem = f"{n} events are no lists of time, subject and behaviour"
            lines.append(repair(path.name, problem, "left out", value=name))
        lines += offset_line([as_text(observation.get("time offset"))], path.name)
    refuse_more(len(rows), MAX_ROWS, "events", path)
    columns = [*EVENT_COLUMNS, "Time"]
    table = pd.DataFrame(rows, index=range(1, len(rows) + 1), columns=columns, dtype=object).fillna("")
    aggregated, more = pair_events(table, path)
    return labels_of(path, aggregated, observations, lines + more, fps, emotion_map)


def _tabular(name: str, kind: str, events: list[list], kinds: Mapping[str, Mapping]) -> list[dict]:
    """The events of an observation as rows with a status START, STOP or POINT, in the order of time."""
    rows = []
    counts: dict[tuple, int] = defaultdict(int)
    pictures = kind == "IMAGES"
    for event in sorted(events, key=_time):
        time, subject, code, modifiers, comment, number = ([*map(as_text, event)] + [""] * 3)[:6]
        behaviour = kinds.get(code, {})
        counts[subject, code, modifiers] += 1
        status = "START" if counts[subject, code, modifiers] % 2 else "STOP"
        if as_text(behaviour.get("type")).lower().startswith("point"):
            status = "POINT"
        rows.append({
            "Observation id": name, "Subject": subject, "Behavior": code, "Modifiers": modifiers,
            "Behavioral category": as_text(behaviour.get("category")), "Behavior type": status,
            "Time": time, "Comment start": comment, "Image": number if pictures else "",
            "Type": "pictures" if pictures else kind,
        })  # fmt: skip
    return rows


def _time(event: list) -> float:
    try:
        return as_seconds(as_text(event[0])) or 0.0
    except ValueError:
        return 0.0


def _videos(observation: Mapping) -> Observation:
    """The videos of an observation; where it has none, its folders of pictures."""
    players, info = observation.get("file"), observation.get("media_info")
    films = players.get("1") if isinstance(players, dict) else None
    films = films or observation.get("directories_list") or []
    facts = [info.get(key) if isinstance(info, dict) else None for key in ("fps", "length")]
    rates, lengths = (
        {str(film): as_text(value) for film, value in fact.items()} if isinstance(fact, dict) else {}
        for fact in facts
    )
    text = as_text(observation.get("description"))
    try:
        head = parse_json(text.removeprefix(_MARK)) if text.startswith(_MARK) else {}
    except ValueError:
        head = {}
    loaded = head if isinstance(head, dict) else {}
    head = {key: value for key, value in loaded.items() if key in ("subject", "video", PEOPLE, *VIDEO_FACTS)}
    return Observation([as_text(film) for film in films if as_text(film)], rates, lengths, head)

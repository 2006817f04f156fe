"""WebVTT subtitles: labels for any video player, one cue per interval.

After each cue a NOTE holds the other cells as JSON (see `fedet.annotations.captions`); players skip
notes. Overlapping cues are allowed. Where a video shows several people, each speaks with the own voice,
`<v Ann>`; voices of other programs are read as subjects, too. Format: https://www.w3.org/TR/webvtt1/
"""

import html
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fedet.annotations.captions import (
    Cells,
    are_captions,
    caption_and_details,
    cells_from,
    cells_of,
    fps_of_file,
    one_video,
    row_rank,
    span_frames,
    span_ms,
    validate_cells,
)
from fedet.annotations.cells import as_text, read_text
from fedet.annotations.elan.writer import people_of
from fedet.annotations.limits import MAX_ROWS, MAX_TREE_BYTES, refuse_more
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.table import EmotionMap, LabelFile, known_video, words_for
from fedet.annotations.video_names import subtitle_stem
from fedet.errors import InputError
from fedet.files import atomic_write, parse_json

_STAMP = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
_MARK = "NOTE fedet "
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^<>]*)>")
_SPEAKER = re.compile(r"\s*([^:]{1,60}):\s+(.+)", re.S)  # how SubRip says who speaks


class _Cue(NamedTuple):
    times: str
    text: str
    details: str  # JSON of the note after it
    voice: str  # "" without one


def write_vtt(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Writes the intervals of one video as WebVTT; the file appears whole.

    Args:
        facts: VIDEO_FACTS and the subject of the video, kept for reading the file again.

    Raises:
        InputError: Several videos, no frame rate, or one too high for milliseconds.
    """
    rows = cells_of(table, fps)
    base, head = one_video(rows, Path(path), fps, video, facts)
    people = people_of(rows, base)
    blocks = ["WEBVTT", _MARK + _json(head)]
    for cells in sorted(rows, key=lambda r: (span_ms(r), int(r["row"]))):
        start, end = span_ms(cells)
        voice = people[cells["subject"]].removeprefix("@")
        text, details = caption_and_details(cells, base | {"subject": voice or base["subject"]})
        line = html.escape(" ".join(text.split()), quote=False)
        if voice:
            line = f"<v {html.escape(voice, quote=False)}>{line}</v>"
        blocks.append(f"{_stamp(start)} --> {_stamp(end)}\n{line}")
        blocks.append(_MARK + _json(json.loads(details)))
    with atomic_write(Path(path)) as partial:
        partial.write_text("\n\n".join(blocks) + "\n", encoding="utf-8", newline="\n")


def _json(values: dict) -> str:
    """JSON on one line; escaped so that no arrow `-->` can end the note early."""
    text = json.dumps(values, ensure_ascii=False).replace(">", "\\u003e")
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")


def _stamp(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"


def _span(times: str) -> tuple[int, int]:
    """Start and end in ms of the line of times of a cue.

    Raises:
        ValueError: It has none that can be read, or the end is not after the start.
    """
    match = _TIMES.fullmatch(times)
    if not match:
        raise ValueError("times cannot be read: needs 00:00:01.000 --> 00:00:02.500")
    numbers = [int(text or 0) for text in match.groups()]
    start, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (numbers[:4], numbers[4:]))
    if end <= start:
        raise ValueError(f"end {_stamp(end)} is not after the start {_stamp(start)}")
    return start, end


def read_vtt(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: EmotionMap = None,
) -> LabelFile:
    """Reads WebVTT, fedet's own or any whose cues name emotions, and SubRip (.srt).

    Args:
        path: The .vtt or .srt file.
        fps: Frames per second where the file does not say.
        video: Name of the video where the file does not say; None: the name of the file, without the
            language, as in talk.en.vtt.
        emotion_map: As for `annotations.validate`.

    Returns:
        The events (a row number of the report is the rank of a cue in its file) and the video. If most cues
        name no emotion or type, they are speech, and none of them is an event.

    Raises:
        InputError: Not a WebVTT file, or no frame rate known.
    """
    path = Path(path)
    text = read_text(path, MAX_TREE_BYTES).replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("WEBVTT") and path.suffix.lower() != ".srt":
        raise InputError(
            f"{path}: not a WebVTT file, its first line is not WEBVTT; if it is SubRip, call it .srt"
        )
    emotion_map, words = words_for(path, emotion_map)
    head, cues = _cues([b for b in re.split(r"\n[ \t]*(?:\n[ \t]*)+", text.strip()) if b])
    if path.suffix.lower() == ".srt":
        cues = [_with_speaker(cue, words) for cue in cues]
    n_cues, lines = len(cues), []
    refuse_more(n_cues, MAX_ROWS, "cues", path)
    if head is None and cues and not are_captions([cue.text for cue in cues], words):
        problem = f"most of its {n_cues} cues name no emotion or type: subtitles of speech"
        lines.append(repair(path.name, problem, "left out"))
        cues = []
    head = head or {}
    rate = fps_of_file(head.get("fps"), fps, path)
    if cues and not rate:
        raise InputError(f"{path}: the file tells no fps: give fps, or the video")
    base = {"video": as_text(head.get("video")) or video or subtitle_stem(path.name), "fps": rate,
            "subject": as_text(head.get("subject"))}  # fmt: skip
    rows: list[tuple[int, Cells]] = []
    for number, (times, line, details, voice) in enumerate(cues, start=1):
        cells, problems = cells_from(line, details, base | ({"subject": voice} if voice else {}), words)
        try:
            cells |= span_frames(*_span(times), float(cells["fps"]))  # rows may differ in fps
        except ValueError as error:
            lines.append(repair(path.name, str(error), "left out", row=number, value=times.strip()))
            continue
        rows.append((number, cells))
        lines += [repair(path.name, p, "kept", row=number, value=line) for p in problems]
    rows.sort(key=lambda r: row_rank(r[1]))
    events, report = validate_cells(rows, path.name, emotion_map)
    return LabelFile(events, join_repairs(*lines, report), known_video(base, head, events), n_cues)


def _cues(blocks: list[str]) -> tuple[dict | None, list[_Cue]]:
    """The head note, None without one, and the cues."""
    head: dict | None = None
    cues: list[_Cue] = []
    for block in blocks:
        lines = block.split("\n")
        if block.startswith(_MARK):
            note = block.removeprefix(_MARK)
            if cues:
                cues[-1] = cues[-1]._replace(details=note)
            else:
                head = _parse_head(note)
            continue
        starts = [i for i, line in enumerate(lines) if "-->" in line]  # also without a blank line between
        for at, end in zip(starts, [*starts[1:], None], strict=False):
            text_lines = lines[at + 1 : end]
            if end is not None and text_lines and text_lines[-1].strip().isdigit():
                text_lines.pop()  # the number of the next cue
            joined = " ".join(text_lines)
            voice = _VOICE.search(joined)
            line_text = re.sub(r"<[^<>]*>|\{\\[^{}]*\}", "", joined)
            who = " ".join(html.unescape(voice[1]).split()) if voice else ""
            cues.append(_Cue(lines[at], html.unescape(line_text), "", who))
    return head, cues


def _with_speaker(cue: _Cue, words: Collection[str]) -> _Cue:
    """The cue with the name before its colon as voice, where a caption follows: `Ann: happy`."""
    match = _SPEAKER.fullmatch(cue.text)
    if cue.voice or not match or not are_captions([match[2]], words) or are_captions([match[1]], words):
        return cue
    return cue._replace(text=match[2], voice=match[1].strip())


def _parse_head(note: str) -> dict:
    try:
        head = parse_json(note)
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}

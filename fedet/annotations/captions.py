"""An interval as a line of text that a person reads and edits, and back.

An example is `positive macro 0.83`. The other cells (apex, full score, action units ...) are saved next to
it as JSON, together with the line itself: if the line is unchanged on reading, every cell is restored; if
a person changed it, emotion, type and score are read from the new line.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import as_fps, as_score, as_text, header_key, label_key
from fedet.annotations.limits import MAX_SECONDS
from fedet.annotations.spellings import FINE_TO_COARSE, type_label
from fedet.annotations.table import PEOPLE, VIDEO_FACTS, EmotionMap, validate
from fedet.errors import InputError
from fedet.files import parse_json, shortened
from fedet.intervals import COLUMNS, EXTRA_COLUMNS

Cells = dict[str, str]  # column -> text, an empty text where unknown

MAX_MS_FPS = 900.0  # above it, milliseconds cannot tell two neighbouring frames apart
UNKNOWN = "unknown"  # the label of an unknown emotion
# Characters that XML cannot hold, and the carriage return, which it would change.
NOT_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LABELS = ("emotion", "expression_type", "score")
_COLUMNS = [c for c in [*COLUMNS, *EXTRA_COLUMNS] if c not in ("schema_version", "onset", "offset")]
_MOST_WORDS = 8  # of one label
# A whole number is no score: coders number intensities and segments. fedet writes 0.83 and 1.00.
_SCORE = re.compile(r"0?[.,]\d+|1[.,]0+|\d{1,3}([.,]\d+)?%")
_INTENSITY = re.compile(r"[\d.,/%+-]*|[a-e]", re.I)


def cells_of(table: pd.DataFrame, fps: float | None = None) -> list[Cells]:
    """The rows of a canonical table as text, with their rank as "row".

    Raises:
        InputError: An interval without frames or frame rate, or at a rate too high for time stamps in
            milliseconds.
    """
    missing = [c for c in ("video", "onset", "offset", "fps") if c not in table]
    if missing:
        raise InputError(f"no column {', '.join(missing)} in the table; read it with read_csv")
    rows = []
    columns = [c for c in [*COLUMNS, *EXTRA_COLUMNS] if c in table]
    for rank, values in enumerate(zip(*(table[c] for c in columns), strict=True)):
        cells = dict.fromkeys(_COLUMNS, "") | dict(zip(columns, map(as_text, values), strict=True))
        cells["fps"] = cells["fps"] or as_text(fps)
        where = f"row {rank + 1} (video {cells['video']!r})"
        if not (cells["onset"] and cells["offset"] and cells["fps"]):
            raise InputError(f"{where}: onset, offset and fps are needed; give fps")
        if float(cells["fps"]) > MAX_MS_FPS:
            raise InputError(f"{where}: fps={cells['fps']} is above {MAX_MS_FPS:g}, too fine for ms")
        rows.append(cells | {"row": str(rank)})
    return rows


def validate_cells(
    rows: Collection[tuple[int, Cells]], file: str, emotion_map: EmotionMap
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The canonical table of (row number, cells), and the report, by `table.validate`."""
    numbers, intervals = [n for n, _ in rows], [cells for _, cells in rows]
    columns = [*COLUMNS, *(c for c in ("note", "confidence", "coder") if any(r.get(c) for r in intervals))]
    table = pd.DataFrame(intervals, columns=columns)
    return validate(table, source_name=file, rows=numbers, emotion_map=emotion_map)


def one_video(
    rows: list[Cells], path: Path, fps: float | None, video: str | None, facts: Mapping[str, object] | None
) -> tuple[Cells, dict]:
    """The cells video, fps and subject of a file of one video; and its head, these and VIDEO_FACTS where
    known.

    Raises:
        InputError: The rows are of several videos or frame rates.
    """
    videos = list(dict.fromkeys(r["video"] for r in rows)) or [video or path.stem]
    if len(videos) > 1:
        raise InputError(
            f"{path}: a {path.suffix} file holds one video, the table has {len(videos)} "
            f"({shortened(videos)}): write one file per video, as in {{video}}{path.suffix}"
        )
    rates = list(dict.fromkeys(r["fps"] for r in rows)) or [as_text(fps)]
    if len(rates) > 1 and path.suffix == ".eaf":
        raise InputError(f"{path}: {videos[0]!r} has rows at several fps ({', '.join(rates)})")
    known = {name: value for name, value in (facts or {}).items() if as_text(value)}
    subject = (rows[0]["subject"] if rows else "") or as_text(known.get("subject"))
    base = {"video": videos[0], "fps": rates[0], "subject": subject}
    people = known.get(PEOPLE) if isinstance(known.get(PEOPLE), list) else None
    head = base | {f: known.get(f) for f in VIDEO_FACTS} | {PEOPLE: people}
    return base, {k: v for k, v in head.items() if v}


def to_ms(frame: float, fps: float) -> int:
    """Start of a frame in milliseconds; `to_frame` is its exact inverse."""
    return math.floor(frame * 1000 / fps + 0.5)


def to_frame(ms: float, fps: float) -> int:
    """The frame whose start is nearest to a time in milliseconds."""
    return math.floor(ms * fps / 1000 + 0.5)


def span_ms(cells: Cells) -> tuple[int, int]:
    """Start and end of an interval in milliseconds; the end is the end of its last frame."""
    fps = float(cells["fps"])
    return to_ms(int(cells["onset"]), fps), to_ms(int(cells["offset"]) + 1, fps)


def span_frames(start_ms: float, end_ms: float, fps: float) -> Cells:
    """Onset and offset of an interval in milliseconds; it has one frame at least.

    Raises:
        ValueError: No video can have such times.
    """
    if not (abs(start_ms) <= 1000 * MAX_SECONDS and abs(end_ms) <= 1000 * MAX_SECONDS):
        raise ValueError(f"{start_ms / 1000:g} to {end_ms / 1000:g} s: no time in a video")
    onset = to_frame(start_ms, fps)
    return {"onset": str(onset), "offset": str(max(onset, to_frame(end_ms, fps) - 1))}


def fps_of_file(cell: object, default: float | None, path: object) -> str:
    """The frame rate that a file holds, else the given one, "" without either.

    Raises:
        InputError: They differ by more than 0.5 % (29.97 and 30 do not), or the file holds no rate.
    """
    text = as_text(cell)
    try:
        fps = as_fps(text)
    except ValueError as error:
        raise InputError(f"{path}: tells fps={text!r}, not a number above 0; correct it there") from error
    if fps and default and abs(fps / default - 1) > 0.005:
        raise InputError(f"{path}: written at fps={text}, not fps={default:g}; leave fps out")
    return as_text(fps) or as_text(default)


def row_rank(cells: Cells) -> float:
    """The rank of an interval in the written table; infinite without one."""
    text = cells.get("row", "")
    return float(text) if re.fullmatch(r"\d{1,12}", text) else math.inf


def caption(cells: Cells) -> str:
    """`positive macro 0.83`; type and score are left out if unknown."""
    score = f"{float(cells['score']):.2f}" if cells.get("score") else ""
    words = [cells.get("emotion") or UNKNOWN, cells.get("expression_type", ""), score]
    return " ".join(NOT_XML.sub("?", " ".join(words)).split())


def parse_caption(text: str, words: Collection[str] = FINE_TO_COARSE) -> tuple[Cells, str]:
    """Emotion, type and score in a line that a person may have typed, and the remaining words.

    Args:
        text: The line.
        words: Keys (`cells.label_key`) of the words that name an emotion.

    >>> parse_caption("Happy, micro (0.7) doubtful")
    ({'emotion': 'happy', 'expression_type': 'micro', 'score': '0.7'}, 'doubtful')
    """
    cells: Cells = {}
    rest = []
    line = re.sub(r"(?<=\d)\s+%", "%", text)
    tokens = [t for t in re.split(r"[\s;:|()\[\]]+|(?<!\d),|,(?!\d)", line) if t]
    if not header_key(text) and label_key(text) in words:  # signs, like :-)
        tokens = [text.strip()]
    i = 0
    while i < len(tokens):
        token, n_tokens = tokens[i], 1
        key = header_key(token)
        label = "" if "emotion" in cells else _label_at(tokens, i, words)
        if "score" not in cells and _SCORE.fullmatch(token):
            cells["score"] = as_text(as_score(token))
        elif "expression_type" not in cells and key and not key.isdigit() and type_label(key):
            cells["expression_type"] = type_label(key) or ""
        elif label:
            cells["emotion"] = header_key(label) if header_key(label) in FINE_TO_COARSE else label
            n_tokens = len(label.split(" "))
        elif (key or not token.isascii()) and key not in (UNKNOWN, "expression"):
            rest.append(token)
        i += n_tokens
    if not cells and header_key(text) != UNKNOWN:
        return cells, text.strip()  # nothing recognised: the line unchanged
    return cells, " ".join(rest)


def _label_at(tokens: list[str], at: int, words: Collection[str]) -> str:
    """The longest label that begins at this token, "" if none does."""
    for end in range(min(len(tokens), at + _MOST_WORDS), at, -1):
        if label_key("".join(tokens[at:end])) in words:
            return " ".join(tokens[at:end])
    return ""


def are_captions(texts: list[str], words: Collection[str] = FINE_TO_COARSE) -> bool:
    """Whether at least half of the nonempty lines are captions and nothing else, and any names emotion or
    type; the number or letter of an intensity may follow.

    >>> are_captions(["happy 3", "micro 0.7", "unknown"]), are_captions(["I was so happy", "hello"])
    (True, False)
    """
    parsed = [parse_caption(text, words) for text in texts if text.strip()]
    has_label = [bool(c.get("emotion") or c.get("expression_type")) for c, _ in parsed]
    is_caption = [
        not rest or (label and all(_INTENSITY.fullmatch(word) for word in rest.split()))
        for label, (_, rest) in zip(has_label, parsed, strict=True)
    ]
    both = any(a and b for a, b in zip(has_label, is_caption, strict=True))
    return both and 2 * sum(is_caption) >= len(parsed)


def caption_and_details(cells: Cells, base: Cells, text: str | None = None) -> tuple[str, str]:
    """The line of an interval (its caption unless `text`) and the JSON of the cells that neither it nor
    `base` holds."""
    text = caption(cells) if text is None else text
    derivable = base | parse_caption(text)[0]
    rest = {c: cells[c] for c in [*_COLUMNS, "row"] if cells.get(c, "") != derivable.get(c, "")}
    details = json.dumps({"value": text} | rest, ensure_ascii=False)
    return text, NOT_XML.sub(lambda match: f"\\u{ord(match.group()):04x}", details)


def cells_from(
    text: str, details: str, base: Cells, words: Collection[str] = FINE_TO_COARSE
) -> tuple[Cells, list[str]]:
    """The cells of an interval, from its line, the JSON saved with it and the cells `base`.

    Returns:
        The cells, and a sentence for each thing that could not be read.
    """
    rest, problems = _details(details)
    fields, unread = parse_caption(text, words)
    if rest.get("value") == text:
        unread = ""
    else:
        rest = {c: v for c, v in rest.items() if c not in _LABELS}
    cells = dict.fromkeys(_LABELS, "") | base | fields | rest
    cells["note"] = base.get("note") or rest.get("note", "")
    if unread:
        problems.append(f"unknown text {unread!r}: kept as a note")
        cells["note"] = f"{cells['note']} {unread}".strip()
    cells.pop("value", None)
    return cells, problems


def _details(text: str) -> tuple[Cells, list[str]]:
    """The cells in the JSON that is saved with a line, and what could not be read in it."""
    if not text.strip():
        return {}, []
    try:
        loaded = parse_json(text)
        cells = {c: as_text(v) for c, v in loaded.items() if c in _COLUMNS}
        as_fps(cells.get("fps", ""))
        return cells | {c: str(loaded[c]) for c in ("row", "value") if c in loaded}, []
    except (ValueError, AttributeError):
        return {}, [f"details cannot be read and are left out: {text[:60]!r}"]

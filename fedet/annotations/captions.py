"""An interval as a line of text that a person reads and edits, and the way back.

The line is such as `positive macro 0.83`. What it does not tell (apex, full score, action units
...) travels beside it as JSON, together with the line itself: if the line comes back unchanged,
every cell does too; if a person changed it, emotion, type and score are read from the new line.
"""

import json
import math
import re

import pandas as pd

from fedet.annotations.cells import as_number, as_text, header_key
from fedet.annotations.spellings import FINE_TO_COARSE, type_label
from fedet.errors import InputError
from fedet.intervals import COLUMNS, EXTRA_COLUMNS

Cells = dict[str, str]  # column -> text, an empty text where unknown

MAX_FPS = 900.0  # above it, milliseconds cannot tell two neighbouring frames apart
UNKNOWN = "unknown"  # stands for an emotion that is not known
# Characters that XML cannot hold; a carriage return, which it would change, among them.
NOT_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LABELS = ("emotion", "expression_type", "score")
_KEPT = [c for c in [*COLUMNS, *EXTRA_COLUMNS] if c not in ("schema_version", "onset", "offset")]


def cells_of(table: pd.DataFrame, fps: float | None = None) -> list[Cells]:
    """The rows of a canonical table as text, with their rank as "row".

    Raises:
        InputError: An interval without frames or frame rate, or one that time stamps in
            milliseconds cannot keep.
    """
    missing = [c for c in ("video", "onset", "offset", "fps") if c not in table]
    if missing:
        raise InputError(f"no column {', '.join(missing)} in the table; read it with read_csv")
    rows = []
    columns = [c for c in [*COLUMNS, *EXTRA_COLUMNS] if c in table]
    for rank, values in enumerate(zip(*(table[c] for c in columns), strict=True)):
        cells = dict.fromkeys(_KEPT, "") | dict(zip(columns, map(as_text, values), strict=True))
        cells["fps"] = cells["fps"] or as_text(fps)
        where = f"row {rank + 1} (video {cells['video']!r})"
        if not (cells["onset"] and cells["offset"] and cells["fps"]):
            raise InputError(f"{where}: onset, offset and fps are needed; give fps")
        if float(cells["fps"]) > MAX_FPS:
            raise InputError(f"{where}: fps={cells['fps']} is above {MAX_FPS:g}, too fine for ms")
        rows.append(cells | {"row": str(rank)})
    return rows


def to_ms(frame: float, fps: float) -> int:
    """Milliseconds of the beginning of a frame; `to_frame` gives the frame back exactly."""
    return math.floor(frame * 1000 / fps + 0.5)


def to_frame(ms: float, fps: float) -> int:
    """The frame whose beginning is nearest to a time in milliseconds."""
    return math.floor(ms * fps / 1000 + 0.5)


def span_ms(cells: Cells) -> tuple[int, int]:
    """Start and end of an interval in milliseconds; the end is that of its last frame."""
    fps = float(cells["fps"])
    return to_ms(int(cells["onset"]), fps), to_ms(int(cells["offset"]) + 1, fps)


def span_frames(start_ms: float, end_ms: float, fps: float) -> Cells:
    """Onset and offset of an interval in milliseconds; it has one frame at least."""
    onset = to_frame(start_ms, fps)
    return {"onset": str(onset), "offset": str(max(onset, to_frame(end_ms, fps) - 1))}


def agreed_fps(stored: object, given: float | None, path: object) -> str:
    """The frame rate that a file tells, else the given one, "" without either.

    Raises:
        InputError: They differ by more than 0.5 % (29.97 and 30 do not), or the file tells no number.
    """
    told = as_text(stored)
    if told and not re.fullmatch(r"0*[1-9]\d*(\.\d*)?|0*\.0*[1-9]\d*", told):
        raise InputError(f"{path}: tells fps={told!r}, not a number above 0; correct it there")
    if told and given and abs(float(told) / given - 1) > 0.005:
        raise InputError(f"{path}: written at fps={told}, not fps={given:g}; leave fps out")
    return told or as_text(given)


def caption(cells: Cells) -> str:
    """`positive macro 0.83`; parts that are not known are left out, save the emotion."""
    score = f"{float(cells['score']):.2f}" if cells.get("score") else ""
    parts = [cells.get("emotion") or UNKNOWN, cells.get("expression_type", ""), score]
    return " ".join(NOT_XML.sub("?", " ".join(parts)).split())


def parse_caption(text: str) -> tuple[Cells, str]:
    """Emotion, type and score in a line as a person may type it, and the words left over.

    >>> parse_caption("Happy, micro (0.7) doubtful")
    ({'emotion': 'happy', 'expression_type': 'micro', 'score': '0.7'}, 'doubtful')
    """
    cells: Cells = {}
    rest = []
    for word in re.split(r"[\s,;:|()\[\]]+", text):
        key = header_key(word)
        if "score" not in cells and re.fullmatch(r"[01]|[01]?\.\d+", word):
            cells["score"] = as_text(as_number(word))
        elif "expression_type" not in cells and key and not key.isdigit() and type_label(key):
            cells["expression_type"] = type_label(key) or ""
        elif "emotion" not in cells and key in FINE_TO_COARSE:
            cells["emotion"] = key
        elif key and key not in (UNKNOWN, "expression"):
            rest.append(word)
    if not cells and header_key(text) != UNKNOWN:
        return cells, text.strip()  # nothing understood: the line as it stands
    return cells, " ".join(rest)


def are_captions(texts: list[str]) -> bool:
    """Whether most of the filled lines are captions as a whole, and any names emotion or type.

    >>> are_captions(["happy", "micro 0.7", "unknown"]), are_captions(["I was so happy", "hello"])
    (True, False)
    """
    parsed = [parse_caption(text) for text in texts if text.strip()]
    named = any(c.get("emotion") or c.get("expression_type") for c, rest in parsed if not rest)
    return named and 2 * sum(not rest for _, rest in parsed) > len(parsed)


def written(cells: Cells, base: Cells, text: str | None = None) -> tuple[str, str]:
    """The line of an interval (its caption unless `text`) and the JSON of what neither it nor
    `base` tells."""
    text = caption(cells) if text is None else text
    known = base | parse_caption(text)[0]
    rest = {c: cells[c] for c in [*_KEPT, "row"] if cells.get(c, "") != known.get(c, "")}
    details = json.dumps({"value": text} | rest, ensure_ascii=False)
    return text, NOT_XML.sub(lambda match: f"\\u{ord(match.group()):04x}", details)


def restored(text: str, details: str, base: Cells) -> tuple[Cells, list[str]]:
    """The cells of an interval out of its line, the JSON beside it and what else is known.

    Returns:
        The cells, and a sentence for each thing that could not be read.
    """
    problems = []
    rest: Cells = {}
    if details.strip():
        try:
            loaded = json.loads(details)
            rest = {c: str(v) for c, v in loaded.items() if c in [*_KEPT, "row", "value"]}
        except (ValueError, AttributeError):
            problems.append(f"details cannot be read and are left out: {details[:60]!r}")
    fields, unread = parse_caption(text)
    if rest.get("value") == text:
        unread = ""
    else:
        rest = {c: v for c, v in rest.items() if c not in _LABELS}
    cells = dict.fromkeys(_LABELS, "") | base | fields | rest
    cells["note"] = base.get("note") or rest.get("note", "")
    if unread:
        problems.append(f"unknown text {unread!r}: no emotion or type, kept as a note")
        cells["note"] = f"{cells['note']} {unread}".strip()
    cells.pop("value", None)
    return cells, problems

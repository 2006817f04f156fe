"""The edits of a review as pure functions: rows in, changed rows out.

A row is a dict of plain JSON values; `status` is one of STATUSES. An edit returns whole new rows, and
raises InputError, before anything changes, if the result is no interval.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from fedet.errors import InputError
from fedet.intervals import EMOTIONS, expression_type_of

DECIDED = ("accepted", "corrected", "added")  # confirmed by a person
STATUSES = ("open", *DECIDED, "rejected", "seen")  # "seen": a stretch watched in full

Row = dict
Rows = Mapping[str, Row]
Changes = dict[str, Row | None]  # row id -> new row, None: deleted

EMPTY: Row = dict.fromkeys(
    ["subject", "onset", "apex", "offset", "expression_type", "emotion", "emotion_self_report",
     "action_units", "score", "source", "reviewer", "reviewed_at"]
) | {"status": "open", "note": ""}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """The bounds on the rows of a review: the video's length and the allowed emotions."""

    video: str
    fps: float
    n_frames: int | None = None  # None: unknown, no upper bound
    labels: tuple[str, ...] = EMOTIONS  # allowed emotions


def edit(op: str, rows: Rows, clip: Clip, new_id: str, values: dict) -> Changes:
    """The rows that one edit changes.

    Args:
        op: One of OPS.
        rows: The review's rows by id.
        clip: The bounds on frames and labels.
        new_id: Id of the row that the edit may create.
        values: Arguments of the edit (see the functions below).

    Raises:
        InputError: An unknown edit, arguments that do not fit it, or a result that is no interval.
    """
    if op not in OPS:
        raise InputError(f"no edit {op!r}: one of {', '.join(OPS)}, undo, redo")
    parameters = inspect.signature(OPS[op]).parameters
    context = {"rows": rows, "clip": clip, "new_id": new_id}
    arguments = {name: (values | context)[name] for name in parameters if name in values or name in context}
    unknown = sorted(name for name in values if name not in parameters or name in context)
    missing = [n for n, p in parameters.items() if n not in arguments and p.default is p.empty]
    if unknown or missing:
        raise InputError(f"edit {op!r}: missing {missing}, unknown {unknown}")
    return OPS[op](**arguments)


def accept(rows: Rows, row: str) -> Changes:
    """Confirms the interval."""
    old = _row(rows, row)
    return {row: old | {"status": old["status"] if old["status"] in DECIDED else "accepted"}}


def reject(rows: Rows, row: str) -> Changes:
    """Rejects the interval; the row stays, as a known false alarm."""
    return {row: _row(rows, row) | {"status": "rejected"}}


def reopen(rows: Rows, row: str) -> Changes:
    """Makes the interval undecided again."""
    return {row: _row(rows, row) | {"status": "open"}}


def move(rows: Rows, clip: Clip, row: str, onset=None, offset=None, apex=None) -> Changes:
    """Sets new frames, None keeps the old one; an old apex is clipped to the new edges."""
    old = _row(rows, row)
    new = {"onset": onset, "offset": offset, "apex": apex}
    new = {k: v if v is not None else old[k] for k, v in new.items()}
    if apex is None and new["apex"] is not None:
        new["apex"] = min(max(new["apex"], new["onset"]), new["offset"])
    return {row: old | frames_of(clip, **new) | {"status": _status_after_change(old)}}


def relabel(rows: Rows, clip: Clip, row: str, emotion: str) -> Changes:
    """Sets another emotion."""
    old = _row(rows, row)
    return {row: old | {"emotion": _label(clip, emotion), "status": _status_after_change(old)}}


def note(rows: Rows, row: str, text: str) -> Changes:
    """Sets a remark; the status stays."""
    return {row: _row(rows, row) | {"note": str(text)}}


def add(
    rows: Rows, clip: Clip, new_id: str, onset, offset, emotion=None, apex=None, person: str | None = None
) -> Changes:
    """Adds an interval that was not predicted; of `person` where the video shows several."""
    there = people_of(rows)
    if len(there) > 1 and person not in there:
        raise InputError(f"person {person!r}: whose interval is it? one of {', '.join(there)}")
    cells = frames_of(clip, onset, offset, apex) | {"emotion": _label(clip, emotion), "subject": person}
    return {f"a{new_id}": EMPTY | cells | {"status": "added"}}


def seen(clip: Clip, new_id: str, onset, offset) -> Changes:
    """Marks a stretch as watched: every expression in it is in the review."""
    return {f"g{new_id}": EMPTY | frames_of(clip, onset, offset, None) | {"status": "seen"}}


def split(rows: Rows, clip: Clip, new_id: str, row: str, frame: int) -> Changes:
    """Splits an interval in two: the second starts at `frame`."""
    old = _row(rows, row)
    if not old["onset"] < _frame_number(frame, "frame") <= old["offset"]:
        raise InputError(
            f"cannot split {old['onset']}-{old['offset']} at frame {frame}: it must be inside, "
            "after the first frame"
        )
    apex, status = old["apex"], _status_after_change(old)
    first, second = (apex, None) if apex is None or apex < frame else (None, apex)
    left = frames_of(clip, old["onset"], frame - 1, first) | {"status": status}
    right = frames_of(clip, frame, old["offset"], second) | {"status": status}
    return {row: old | left, f"s{new_id}": old | right}


def delete(rows: Rows, row: str) -> Changes:
    """Removes the row from the review."""
    _row(rows, row)
    return {row: None}


def give(rows: Rows, row: str, person: str) -> Changes:
    """Gives the interval to another person of the video."""
    return {row: _row(rows, row) | {"subject": _person_name(person)}}


def name_person(rows: Rows, person: str, name: str) -> Changes:
    """Gives a person another name; where somebody has it already, both become one person."""
    return {i: row | {"subject": _person_name(name)} for i, row in _rows_of(rows, person).items()}


def leave_out(rows: Rows, person: str) -> Changes:
    """Removes all intervals of a person, say of a picture on the wall, from the review."""
    return dict.fromkeys(_rows_of(rows, person))


def people_of(rows: Rows) -> list[str]:
    """Whose intervals a review holds, by name."""
    return sorted({row["subject"] for row in rows.values() if row["subject"]})


def _rows_of(rows: Rows, person: str) -> dict[str, Row]:
    own = {i: row for i, row in rows.items() if row["subject"] == person}
    if not own:
        raise InputError(f"person {person!r}: nobody has this name; there are {', '.join(people_of(rows))}")
    return own


def _person_name(name: str) -> str:
    text = " ".join(str(name).split())
    if not text:
        raise InputError(f"name {name!r}: a person needs one")
    return text


def replace(changes: Changes) -> Changes:
    """Replaces several rows at once, as an import does."""
    return {row: None if new is None else EMPTY | new for row, new in changes.items()}


OPS = {f.__name__: f for f in (accept, reject, reopen, move, relabel, note, add, seen, split,
                               delete, give, name_person, leave_out, replace)}  # fmt: skip


def frames_of(clip: Clip, onset, offset, apex) -> Row:
    """The checked cells onset, apex and offset, and the expression type they imply."""
    onset, offset = _frame_number(onset, "onset"), _frame_number(offset, "offset")
    apex = None if apex is None else _frame_number(apex, "apex")
    last = float("inf") if clip.n_frames is None else clip.n_frames - 1
    if not 0 <= onset <= offset <= last:
        end = "" if clip.n_frames is None else f" <= {last}"
        raise InputError(f"onset {onset}, offset {offset}: must be 0 <= onset <= offset{end}")
    if apex is not None and not onset <= apex <= offset:
        raise InputError(f"apex {apex}: must be inside {onset}-{offset}")
    kind = expression_type_of(onset, offset, clip.fps)
    return {"onset": onset, "apex": apex, "offset": offset, "expression_type": kind}


def row_of(record: Mapping) -> Row:
    """A row of a canonical table as plain JSON values, status `open`."""
    row = {key: _json_value(record.get(key)) for key in EMPTY}
    for frame in ("onset", "apex", "offset"):
        row[frame] = None if row[frame] is None else int(row[frame])
    return row | {"status": "open", "note": row["note"] or ""}


def _json_value(value):
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _row(rows: Rows, row: str) -> Row:
    if not isinstance(row, str) or row not in rows:
        raise InputError(f"no interval {row!r} in this review")
    return rows[row]


def _label(clip: Clip, emotion: str | None) -> str | None:
    if emotion is not None and emotion not in clip.labels:
        raise InputError(f"emotion {emotion!r}: one of {', '.join(clip.labels)}")
    return emotion


def _frame_number(value, name: str) -> int:
    is_number = isinstance(value, int | float) or hasattr(value, "__index__")
    if not is_number or isinstance(value, bool) or value != value or value % 1:
        raise InputError(f"{name} {value!r}: must be a whole frame number")
    return int(value)


def _status_after_change(row: Row) -> str:
    """An added interval stays `added` whatever is corrected in it."""
    return "added" if row["status"] == "added" else "corrected"

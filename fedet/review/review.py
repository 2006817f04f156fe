"""The review of one video: what was decided about each interval, by whom and when.

A review starts from the predicted intervals (status `open`). Every edit replaces whole rows, is
written to the journal before it counts, and can be undone; undoing is itself an entry, so
the file is the whole history, and replaying its entries gives the state.
"""

import getpass
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from fedet.errors import InputError
from fedet.intervals import COLUMNS, EMOTIONS, SCHEMA_VERSION
from fedet.review.edits import DECIDED, EMPTY, STATUSES, Changes, Clip, Row, edit, people_of, row_of
from fedet.review.journal import Journal, read_journal

REVIEW_COLUMNS = ["row_id", "status", "reviewer", "reviewed_at", "note"]
_HEAD = {"video", "fps", "by", "labels", "base"}  # of a journal's first line
PAUSE_S = 90  # a longer gap between two decisions counts as a pause


class Review:
    """Rows of intervals with edits, undo, redo and a journal.

    Args:
        table: Canonical intervals to start from, of one video; may be empty.
        video: Name of the video.
        fps: Frames per second in which the rows are counted.
        n_frames: Frames of the video; None: unknown, no upper bound.
        reviewer: Name on every edit; default: the login name.
        journal: File to write every edit to, and to continue if it exists. The first edit
            creates it. None: nothing is saved.
        labels: Allowed emotions.

    Attributes:
        rows: row id -> {onset, apex, offset, emotion, status, note, reviewer, reviewed_at, ...}.
        key: Id of this review, the same in every process: hash of the journal's path and the video.
        notices: What happened on opening, one sentence each.
        listeners: Called after every edit with its id, its name and the rows that changed.

    Raises:
        InputError: The journal belongs to another video or frame rate, or cannot be used.

    >>> import pandas as pd
    >>> review = Review(pd.DataFrame(), video="v", fps=30.0, reviewer="Ann")
    >>> review.table("all").empty
    True
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        video: str,
        fps: float,
        n_frames: int | None = None,
        reviewer: str | None = None,
        journal: str | Path | None = None,
        labels: tuple[str, ...] = EMOTIONS,
    ):
        self.clip = Clip(video, float(fps), n_frames, tuple(labels))
        self.reviewer = reviewer if reviewer else _login()
        self.notices: list[str] = []
        self.listeners: list[Callable[[str, str, Changes], None]] = []
        records = table.to_dict("records")
        self._base = {f"p{rank}": row_of(record) for rank, record in enumerate(records)}
        self._reset()
        self._journal = Journal(journal) if journal is not None else None
        path = str(self._journal.path.absolute()) if self._journal else uuid.uuid4().hex
        self.key = hashlib.sha256(f"{path}\n{video}".encode()).hexdigest()[:16]
        if self._journal is not None and self._journal.started:
            self.notices += self._journal.notices
            self._resume(self._journal.entries)

    @property
    def path(self) -> Path | None:
        """The journal's file, None if nothing is saved."""
        return self._journal.path if self._journal else None

    @property
    def depth(self) -> tuple[int, int]:
        """How many edits can be undone and redone."""
        return len(self._done), len(self._undone)

    @property
    def edits(self) -> int:
        """The number of edits, with undone ones and undoing itself."""
        return len(self._ids)

    def applied(self, ids: Iterable[str]) -> list[str]:
        """The ids of edits that were already applied."""
        return [id for id in ids if id in self._ids]

    @property
    def pace_s(self) -> float | None:
        """Median seconds between two decisions, without pauses; None below five of them."""
        times = [datetime.fromisoformat(at) for at in self._times]
        gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
        gaps = [gap for gap in gaps if 0 < gap <= PAUSE_S]
        return float(pd.Series(gaps).median()) if len(gaps) >= 5 else None

    def apply(self, op: str, *, id: str | None = None, by: str | None = None, **values) -> Changes:
        """Applies one edit; the same `id` again changes nothing.

        Args:
            op: One of `fedet.review.edits.OPS`, "undo" or "redo".
            id: Name of the edit; default: a fresh one.
            by: The reviewer; default: that of the review.
            values: Arguments of the edit, e.g. row, onset, apex, offset, emotion, frame, text.

        Returns:
            Row id -> new row, None if deleted.

        Raises:
            InputError: No such edit or row, or values that make no interval; nothing has changed.
            OSError: The journal could not be written; nothing has changed.
        """
        id = id or uuid.uuid4().hex[:12]
        if id in self._ids:
            return {}
        by, at = by or self.reviewer, _now()
        if op in ("undo", "redo"):
            changes = self._step(op, {"op": op, "id": id, "by": by, "at": at})
        else:
            changes = self._edit(op, id, by, at, values)
        for listener in self.listeners:
            listener(id, op, changes)
        return changes

    def _edit(self, op: str, id: str, by: str, at: str, values: dict) -> Changes:
        after = edit(op, self.rows, self.clip, id, values)
        changes: Changes = {
            row: None if new is None else new | {"reviewer": by, "reviewed_at": at}
            for row, new in after.items()
        }
        self._write({"op": op, "id": id, "by": by, "at": at, "rows": changes})
        self._do(changes)
        self._ids.add(id)
        self._times.append(at)
        return changes

    def accept(self, row: str) -> Changes:
        """Confirms the interval."""
        return self.apply("accept", row=row)

    def reject(self, row: str) -> Changes:
        """Rejects the interval; the row stays, as a known false alarm."""
        return self.apply("reject", row=row)

    def move(self, row: str, onset=None, offset=None, apex=None) -> Changes:
        """Sets new frames; None keeps the old one."""
        return self.apply("move", row=row, onset=onset, offset=offset, apex=apex)

    def relabel(self, row: str, emotion: str) -> Changes:
        """Sets another emotion."""
        return self.apply("relabel", row=row, emotion=emotion)

    def note(self, row: str, text: str) -> Changes:
        """Sets a remark; the status stays."""
        return self.apply("note", row=row, text=text)

    def add(self, onset, offset, emotion=None, apex=None, person: str | None = None) -> Changes:
        """Adds an interval that was not predicted; of `person` where the video shows several."""
        return self.apply("add", onset=onset, offset=offset, emotion=emotion, apex=apex, person=person)

    @property
    def people(self) -> list[str]:
        """Whose intervals the review holds."""
        return people_of(self.rows)

    def new_names(self) -> dict[str, str]:
        """The names that people had at first -> those that all their remaining intervals have now."""
        now: dict[str, set[str]] = {}
        for id, row in self._base.items():
            if row["subject"] and id in self.rows:
                now.setdefault(row["subject"], set()).add(self.rows[id]["subject"])
        return {old: new for old, (new, *others) in now.items() if not others and new != old}

    def give(self, row: str, person: str) -> Changes:
        """Gives an interval to another person of the video."""
        return self.apply("give", row=row, person=person)

    def name_person(self, person: str, name: str) -> Changes:
        """Gives a person another name; where somebody has it already, both become one person."""
        return self.apply("name_person", person=person, name=name)

    def leave_out(self, person: str) -> Changes:
        """Removes all intervals of a person from the review; the journal keeps them."""
        return self.apply("leave_out", person=person)

    def split(self, row: str, frame: int) -> Changes:
        """Splits an interval in two: the second starts at `frame`."""
        return self.apply("split", row=row, frame=frame)

    def delete(self, row: str) -> Changes:
        """Removes the row from the review; the journal keeps it."""
        return self.apply("delete", row=row)

    def undo(self) -> Changes:
        """Undoes the last edit; {} if there is none."""
        return self.apply("undo")

    def redo(self) -> Changes:
        """Applies the last undone edit again; {} if there is none."""
        return self.apply("redo")

    def table(self, include: str | tuple[str, ...] = DECIDED) -> pd.DataFrame:
        """The intervals as a canonical table, then REVIEW_COLUMNS; sorted by onset.

        Args:
            include: Statuses to return, or "all" (every row except "seen" stretches).
                `source` says "review by NAME at UTC: STATUS" for rows that a person edited.
        """
        statuses = {include} if isinstance(include, str) else set(include)
        statuses = set(STATUSES) - {"seen"} if include == "all" else statuses
        if statuses - set(STATUSES):
            unknown = ", ".join(map(repr, sorted(statuses - set(STATUSES))))
            raise InputError(f"include={unknown}: of {', '.join(STATUSES)}, or all")
        rows = [self._record(i, r) for i, r in self.rows.items() if r["status"] in statuses]
        rows.sort(key=lambda r: (r["onset"], r["offset"], r["row_id"]))
        table = pd.DataFrame(rows, columns=[*COLUMNS, *REVIEW_COLUMNS], dtype=object)
        kinds = dict.fromkeys(table.columns, "string")
        kinds |= dict.fromkeys(("onset", "apex", "offset"), "Int64")
        return table.astype(kinds | {"fps": "Float64", "score": "Float64"})

    def close(self) -> None:
        """Closes the journal."""
        if self._journal:
            self._journal.close()

    def _record(self, id: str, row: Row) -> Row:
        by = f"review by {row['reviewer']} at {row['reviewed_at']}: {row['status']}"
        columns: dict = {"row_id": id, "schema_version": SCHEMA_VERSION, "video": self.clip.video}
        columns |= {"fps": self.clip.fps, "subject": row["subject"] or self._subject}
        return row | columns | {"source": row["source"] if row["reviewer"] is None else by}

    def _step(self, op: str, entry: dict) -> Changes:
        if not (self._done if op == "undo" else self._undone):
            return {}
        self._write(entry)
        self._ids.add(entry["id"])
        return self._move_between_stacks(op)

    def _move_between_stacks(self, op: str) -> Changes:
        """Moves one edit from the done to the undone ones, or back."""
        source, target = (self._done, self._undone)[:: 1 if op == "undo" else -1]
        before, after = source.pop()
        target.append((before, after))
        rows = before if op == "undo" else after
        self._put(rows)
        return rows

    def _do(self, after: Changes) -> None:
        self._done.append(({row: self.rows.get(row) for row in after}, after))
        self._undone.clear()
        self._put(after)

    def _put(self, rows: Changes) -> None:
        for id, row in rows.items():
            if row is None:
                self.rows.pop(id, None)
            else:
                self.rows[id] = row

    def _write(self, entry: dict) -> None:
        if self._journal is None:
            return
        if not self._journal.started:
            clip = self.clip
            header: dict = {"fedet_review": 1, "video": clip.video, "fps": clip.fps}
            header |= {"n_frames": clip.n_frames, "labels": list(clip.labels)}
            header |= {"by": entry["by"], "at": entry["at"], "base": self._base}
            self._journal.start(header)
        self._journal.append(entry)

    def _reset(self) -> None:
        self.rows: dict[str, Row] = dict(self._base)
        subjects = [row["subject"] for row in self._base.values() if row["subject"]]
        self._subject = subjects[0] if subjects else self.clip.video
        self._done: list[tuple[Changes, Changes]] = []
        self._undone: list[tuple[Changes, Changes]] = []
        self._ids: set[str] = set()
        self._times: list[str] = []

    def _resume(self, entries: list[dict]) -> None:
        """Continues a journal; it starts from the rows in its header, not from the current predictions."""
        head = _check_header(entries, self.path)
        for key, value in (("video", self.clip.video), ("fps", self.clip.fps)):
            if head[key] != value:
                raise InputError(
                    f"{self.path}: a review of {key} {head[key]!r}, not {value!r}; name another "
                    "file with autosave="
                )
        labels = tuple(dict.fromkeys([*self.clip.labels, *head["labels"]]))
        self.clip = Clip(self.clip.video, self.clip.fps, self.clip.n_frames, labels)
        predictions_changed = head["base"] != self._base
        self._replay(entries, self.path)
        self.notices.append(f"{self.path}: the review goes on after {len(entries) - 1} edits")
        if predictions_changed:
            self.notices.append("The predictions have changed since; the review keeps its rows")

    def _replay(self, entries: list[dict], path) -> None:
        self._base = {id: EMPTY | row for id, row in entries[0]["base"].items()}
        self._reset()
        for number, entry in enumerate(entries[1:], start=2):
            self._ids.add(entry["id"])
            if entry["op"] in ("undo", "redo"):
                if not (self._done if entry["op"] == "undo" else self._undone):
                    raise InputError(
                        f"{path}: line {number}: nothing is left to {entry['op']}; "
                        "was the journal changed by hand? restore it"
                    )
                self._move_between_stacks(entry["op"])
            else:
                self._do(entry["rows"])
                self._times.append(entry["at"])


def read_review(path: str | Path, include: str | tuple[str, ...] = DECIDED) -> pd.DataFrame:
    """The table of a journal, as `Review.table`, without opening it for review."""
    entries = read_journal(path)
    head = _check_header(entries, path)
    review = Review(pd.DataFrame(), video=head["video"], fps=head["fps"], reviewer=head["by"])
    review._replay(entries, path)
    return review.table(include)


def _check_header(entries: list[dict], path) -> dict:
    if not entries:
        raise InputError(f"{path}: line 1: no review in this file; delete it or name another")
    head = entries[0]
    if head.get("fedet_review") != 1:
        raise InputError(f"{path}: line 1: not a review of this version of fedet; name another file")
    keys_of_op = {"undo": {"id", "op"}, "redo": {"id", "op"}}
    for number, entry in enumerate(entries, start=1):
        keys = _HEAD if number == 1 else keys_of_op.get(entry.get("op"), {"id", "op", "rows", "at"})
        if missing := keys - set(entry):
            raise InputError(
                f"{path}: line {number} has no {sorted(missing)[0]!r}; was the journal changed by hand? "
                "restore it"
            )
    return head


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

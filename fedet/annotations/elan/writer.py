"""Writes ELAN files, and loses nothing that people put into one before or after fedet wrote it."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from fedet.annotations.captions import (
    NOT_XML,
    UNKNOWN,
    Cells,
    caption_and_details,
    cells_of,
    fps_of_file,
    one_video,
    span_ms,
)
from fedet.annotations.cells import header_key
from fedet.annotations.elan.eaf import Annotation, Document, Tier, read_document
from fedet.annotations.elan.reader import (
    HEAD_PROPERTY,
    Interval,
    TierReader,
    interval_of,
    join_line,
    media_of,
    read_head,
    written_in,
)
from fedet.annotations.elan.tiers import (
    DEPENDENT,
    TIERS,
    base_tier,
    dependent_tier,
    group_of,
    owner_of,
    source_of_tier,
    tier_of,
)
from fedet.annotations.elan.update import known_annotations, last_number, write_document
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.spellings import FINE_TO_COARSE
from fedet.annotations.video_names import link_path, media_stem, stem
from fedet.errors import InputError
from fedet.intervals import at_rate

_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
         ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".webm": "video/webm",
         ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}  # fmt: skip
NEAR_FRAMES = 2  # up to which an end may differ from that of a detection that somebody deleted
_WAY_OUT = "name another file or move it away"


def write_eaf(
    table: pd.DataFrame,
    path: str | Path,
    *,
    media: str | Path | None = None,
    fps: float | None = None,
    video: str | None = None,
    facts: Mapping[str, object] | None = None,
    deleted: Mapping[str, list[Interval]] | None = None,
    template: str | Path | None = None,
) -> pd.DataFrame:
    """Writes the intervals of one video as an ELAN file: a tier of emotions with a controlled vocabulary for
    each kind of interval and each person, and what depends on it; none of them empty.

    Args:
        table: Canonical table of one video (or none: then give `video` and `fps`).
        path: The .eaf file; it appears whole. What somebody else put into an existing file stays.
        media: The video file that ELAN opens.
        fps: Frames per second where the table has none.
        video: Name of the video for an empty table.
        facts: VIDEO_FACTS and the subject of the video, kept for reading the file again.
        deleted: Detections that are not to come back, as `check_replaceable` gives them.
        template: An .etf or .eaf file whose tiers, types and vocabularies a new file begins with.

    Returns:
        The report of what was left out.

    Raises:
        InputError: Several videos, no frame rate, or one too high for milliseconds.
    """
    path = Path(path)
    rows = cells_of(table, fps)
    base, head = one_video(rows, path, fps, video, facts)
    rows, report = _without_deleted(rows, deleted or {}, path)
    people = people_of(rows, base)
    start = path if path.is_file() else template
    root = None if start is None else read_document(Path(start)).root
    document = Document(media=_links(path, media), root=root)
    writer = _TierWriter(document, base, people)
    for tier, members in without_overlaps(rows, people).items():
        writer.add(tier, members)
    written: dict[str, list[Interval]] = defaultdict(list)
    for cells in rows:
        written[_tier_with_person(cells, people)].append(interval_of(cells))
    head |= {"written": written, "details": writer.details}
    head |= {"deleted": deleted} if deleted else {}
    document.properties = {
        "lastUsedAnnotationId": str(writer.last),  # else ELAN reuses ids
        HEAD_PROPERTY: json.dumps(head),
    }
    write_document(document, path)
    return report


def people_of(rows: list[Cells], base: Cells) -> dict[str, str]:
    """Subject -> the end of the names of its tiers; "" where the video shows one person."""
    subjects = list(dict.fromkeys(cells["subject"] for cells in rows))
    if len(subjects) < 2:
        return dict.fromkeys(subjects, "")
    ends: dict[str, str] = {}
    for subject in subjects:
        name = end = "@" + (as_participant(subject) or base["video"])
        n = 1
        while end in ends.values():
            n += 1
            end = f"{name} {n}"
        ends[subject] = end
    return ends


def as_participant(subject: str) -> str:
    """A subject as XML can hold it, on one line."""
    return " ".join(NOT_XML.sub("?", subject).split())


def _tier_with_person(cells: Cells, people: Mapping[str, str]) -> str:
    return tier_of(cells) + people[cells["subject"]]


def _links(path: Path, media: str | Path | None) -> list[dict[str, str]]:
    """The link to the video, absolute and relative, and the other links of an existing file."""
    links = []
    if media is not None:
        film = Path(media).resolve()
        relative = quote(Path(os.path.relpath(film, path.resolve().parent)).as_posix())
        mime = _MIME.get(film.suffix.lower(), "video/*")
        links.append({"MEDIA_URL": film.as_uri(), "RELATIVE_MEDIA_URL": f"./{relative}", "MIME_TYPE": mime})
    names = {media_stem(link_path(link["MEDIA_URL"])) for link in links}
    old = read_document(path).media if path.is_file() else []
    return links + [m for m in old if media_stem(link_path(m.get("MEDIA_URL", ""))) not in names]


def without_overlaps(rows: list[Cells], people: Mapping[str, str]) -> dict[str, list[Cells]]:
    """Tier -> its rows in time; overlapping ones go to the first further tier with room."""
    tiers: dict[str, list[Cells]] = {}
    for cells in sorted(rows, key=lambda r: (span_ms(r), r["row"])):
        name, person, n = tier_of(cells), people[cells["subject"]], 1
        while (tier := name + f"-{n}" * (n > 1) + person) in tiers:
            if span_ms(tiers[tier][-1])[1] <= span_ms(cells)[0]:
                break
            n += 1
        tiers.setdefault(tier, []).append(cells)
    people_in_order = list(people.values())
    order = {
        t: (people_in_order.index(people[r[0]["subject"]]), TIERS.index(base_tier(t)), t)
        for t, r in tiers.items()
    }
    return dict(sorted(tiers.items(), key=lambda t: order[t[0]]))


class _TierWriter:
    """Adds tiers to a document, and collects what no tier holds.

    Attributes:
        details: [tier, id, start, end in ms, cells] of each annotation.
        last: The highest number of an id.
    """

    def __init__(self, document: Document, base: Cells, people: Mapping[str, str]):
        self.document, self.base, self.people = document, base, people
        self.known = known_annotations(document.root)
        self.details: list[list] = []
        self.last = last_number(document.root)

    def add(self, name: str, rows: list[Cells]) -> None:
        """Adds the tier of these rows and the tiers that depend on it, those without annotations left out."""
        participant = as_participant(rows[0]["subject"] if "@" in name else self.base["subject"])
        tier = Tier(name, participant=participant)
        dependent = {kind: Tier(dependent_tier(name, kind), name, participant) for kind in DEPENDENT}
        base = self.base | {"source": source_of_tier(name)}
        base |= {"subject": participant} if "@" in name else {}
        for cells in rows:
            remarks = _remarks(cells, name)
            text = as_participant(cells["emotion"]) or UNKNOWN
            line = join_line(text, remarks.get("type", ""), remarks.get("score", ""))
            shown = {"note": remarks.get("note", ""), "action_units": remarks.get("AU", "")}
            _, rest = caption_and_details(cells, base | shown, line)
            annotation = self._annotation(name, cells, text)
            tier.annotations.append(annotation)
            self.details.append([name, annotation.id, *span_ms(cells), json.loads(rest)])
            for kind, value in remarks.items():
                dependent[kind].annotations.append(Annotation(self._id(), value, parent=annotation.id))
        self.document.tiers |= {t.name: t for t in (tier, *dependent.values()) if t.annotations}

    def _annotation(self, tier: str, cells: Cells, text: str) -> Annotation:
        start, end = span_ms(cells)
        annotation = self.known.get((tier, start, end))
        if annotation is None:
            annotation = Annotation(self._id(), "", *(f"ts{self._number()}" for _ in range(2)))
        self.document.slots |= {annotation.start: start, annotation.end: end}
        return replace(annotation, text=text)

    def _number(self) -> int:
        self.last += 1
        return self.last

    def _id(self) -> str:
        return f"a{self._number()}"


def _remarks(cells: Cells, tier: str) -> dict[str, str]:
    """What the tiers that depend on `tier` show of a row; a score only of what fedet found."""
    score = f"{float(cells['score']):.2f}" if cells["score"] and base_tier(tier) == "fedet" else ""
    remarks = {"type": as_participant(cells["expression_type"]), "score": score,
               "AU": cells["action_units"], "note": cells["note"]}  # fmt: skip
    return {kind: text for kind, text in remarks.items() if text and not NOT_XML.search(text)}


def _without_deleted(
    rows: list[Cells], deleted: Mapping[str, list[Interval]], path: Path
) -> tuple[list[Cells], pd.DataFrame]:
    """The rows without detections that somebody deleted, and a line for each of these."""
    people = people_of(rows, {"video": ""})
    kept, lines = [], []
    for cells in rows:
        if any(
            _is_same(interval_of(cells), old) for old in deleted.get(_tier_with_person(cells, people), [])
        ):
            fps = float(cells["fps"])
            span = f"{int(cells['onset']) / fps:.2f} to {(int(cells['offset']) + 1) / fps:.2f} s"
            problem = f"the detection from {span} was deleted in this file: not written again"
            lines.append(repair(path.name, problem, "left out", video=cells["video"], value=cells["emotion"]))
        else:
            kept.append(cells)
    return kept, join_repairs(*lines)


def _is_same(one: Interval, other: Interval) -> bool:
    """Whether two detections are the same: same emotion, and the same frames but for rounding."""
    ends = abs(one.onset - other.onset), abs(one.offset - other.offset)
    return max(ends) <= NEAR_FRAMES and _coarse(one) == _coarse(other)


def check_replaceable(
    table: pd.DataFrame,
    path: str | Path,
    fps: float | None = None,
    durations: Mapping[str, float] | None = None,
) -> dict[str, list[Interval]]:
    """Raises InputError if writing `table` into an .eaf file would lose a person's edits.

    That is: truth or review where the table has none; intervals that were added, moved or changed after
    fedet wrote the file, unless the table has them so, too; intervals of truth or review that were deleted,
    if the table brings them back; videos that were synchronised; a file of another video. Tiers,
    vocabularies and whatever else is not fedet's stay as they are.

    Args:
        table: Canonical table that is to be written.
        path: The .eaf file that may be there.
        fps: Frames per second where the table has none.
        durations: Seconds of each video, where known: later ends are clipped to it.

    Returns:
        Tier -> the detections in it that somebody deleted.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    document, rows = read_document(path), cells_of(table, fps)
    people = people_of(rows, {"video": ""})
    head = read_head(document)
    _check_video(document, head, rows, path)
    tiers = _own_tiers(document, path, {tier_of(row) for row in rows})
    rate = float(fps_of_file(head.get("fps"), None, path) or (rows[0]["fps"] if rows else fps or 1000))
    length = (durations or {}).get(rows[0]["video"] if rows else "")
    last = round(length * rate) - 1 if length else None
    near = 0 if all(float(row["fps"]) == rate for row in rows) else 1
    reader = TierReader(document, base={"video": "", "fps": str(rate), "subject": ""}, head=head)
    gone: dict[str, list[Interval]] = {}
    for group in dict.fromkeys([*map(group_of, tiers), *head.get("written", {})]):
        kind, person = base_tier(group), group.partition("@")[2]
        new = _at_rate(
            [r for r in rows if kind in ("fedet", tier_of(r)) and people[r["subject"]][1:] in ("", person)],
            rate,
        )
        before = Counter(written_in(head, group))
        rows_of_tiers = [reader.rows(t, 0)[0] for t in tiers if group_of(t) == group]
        now = Counter(interval_of(cells) for rows_of_tier in rows_of_tiers for _, cells in rows_of_tier)
        for interval in (now - before).elements():
            clipped = interval if last is None else interval._replace(offset=min(interval.offset, last))
            if not any(_holds(other, clipped, kind, near) for other in new):
                raise InputError(_message(path, interval, rate, kind, "added or changed"))
        if kind == "fedet":
            absent = [*(before - now).elements(), *written_in(head, group, "deleted")]
            gone[group] = [old for old in dict.fromkeys(absent) if not any(_is_same(old, i) for i in now)]
            continue
        deleted = {interval[:4] for interval in before - now} - {interval[:4] for interval in now}
        restored = deleted & {interval[:4] for interval in new}
        if restored:
            raise InputError(_message(path, Interval(*min(restored), ""), rate, kind, "deleted or changed"))
    return {group: intervals for group, intervals in gone.items() if intervals}


def _check_video(document: Document, head: Mapping, rows: list[Cells], path: Path) -> None:
    """Raises InputError if a file is about another video than the rows."""
    known = {str(head.get("video") or "")} - {""}
    known = known or {media_stem(m.path) for m in media_of(document, path) if not m.sound}
    names = {row["video"] for row in rows}
    if (
        known
        and names
        and not names & {*known, *map(media_stem, known)}
        and not {stem(n) for n in names} & known
    ):
        raise InputError(
            f"{path}: is about the video {min(known)!r}, and what is to be written about {min(names)!r}; "
            f"{_WAY_OUT}"
        )


def _own_tiers(document: Document, path: Path, kinds: set[str]) -> list[str]:
    """The nonempty tiers of fedet's names in a file; `kinds` are the tiers to be written."""
    own = [t for t in document.tiers if base_tier(owner_of(t) or t) in TIERS]
    nonempty = [tier for tier in own if document.tiers[tier].annotations]
    if lost := {base_tier(owner_of(t) or t) for t in nonempty} & {"truth", "review"} - kinds:
        raise InputError(
            f"{path}: holds intervals in the tier {min(lost)}, and what is to be written has none; {_WAY_OUT}"
        )
    if any(media.origin for media in media_of(document, path)):
        raise InputError(f"{path}: its videos were synchronised in ELAN (an offset); {_WAY_OUT}")
    return [tier for tier in nonempty if not owner_of(tier)]


def _at_rate(rows: Iterable[Cells], rate: float) -> list[Interval]:
    """Intervals in frames of another rate."""
    intervals = []
    for cells in rows:
        interval = interval_of(cells)
        onset, offset = at_rate([interval.onset], [interval.offset], float(cells["fps"]), rate)
        intervals.append(interval._replace(onset=int(onset[0]), offset=int(offset[0])))
    return intervals


def _holds(new: Interval, old: Interval, tier: str, near: int) -> bool:
    """Whether an interval to be written equals one of the file, to `near` frames, and holds its note. The
    type of a reviewed one follows from its duration."""
    same_type = tier == "review" or old.expression_type in ("", new.expression_type)
    ends = abs(new.onset - old.onset), abs(new.offset - old.offset)
    return same_type and max(ends) <= near and _coarse(new) == _coarse(old) and old.note.strip() in new.note


def _coarse(interval: Interval) -> str:
    key = header_key(interval.emotion)
    return FINE_TO_COARSE.get(key, key)


def _message(path: Path, interval: Interval, rate: float, tier: str, change: str) -> str:
    span = f"{interval.onset / rate:.2f} to {(interval.offset + 1) / rate:.2f} s"
    way_out = f"import it first, or {_WAY_OUT}" if tier == "review" else _WAY_OUT
    return f"{path}: the interval from {span} of the tier {tier} was {change} by somebody; {way_out}"

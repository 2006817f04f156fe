"""ELAN files: tiers `truth`, `fedet` and `review`, milliseconds, one file per video.

ELAN allows no overlaps in a tier, so overlapping intervals go to `truth-2`, `truth-3` ...; the names are in
`tiers`. What no coder reads, like the rank of a row, is in a property of the file, which ELAN keeps and
does not show: for each annotation the cells that its tiers lack (see `fedet.annotations.captions`), and all
intervals as they were written, so that later edits can be recognised (see `writer`). Earlier versions
wrote the cells as annotations of tiers called `<tier>-details`; these are still read.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fedet.annotations.captions import (
    Cells,
    are_captions,
    cells_from,
    fps_of_file,
    parse_caption,
    row_rank,
    span_frames,
    to_frame,
    validate_cells,
)
from fedet.annotations.cells import as_number, as_text, header_key
from fedet.annotations.elan.eaf import Annotation, Document, Span, Tier, read_document
from fedet.annotations.elan.tiers import (
    TIERS,
    base_tier,
    dependent_tier,
    group_of,
    owner_of,
    source_of_tier,
)
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.spellings import FINE_TO_COARSE
from fedet.annotations.table import EmotionMap, LabelFile, known_video, words_for
from fedet.annotations.video_names import is_sound, link_path, media_stem
from fedet.errors import InputError
from fedet.files import parse_json, shortened

HEAD_PROPERTY = "fedet"  # header property: video, fps, subject and the written intervals, as JSON
_PARTS_OF_SPEECH = ("pos", "neg")  # names of tiers in linguistics
_GENERAL_WORDS = ("emotion", "emotions", "emo", "expression", "expr", "affect", "face", "facial", "gesicht")
_ACTION_UNITS = re.compile(r"(aus?|actionunits?|facs|facsaus?|au\d+[lr]?)", re.I)
_ONE_UNIT = re.compile(r"au[\s_.-]*0*(\d{1,2})", re.I)


class Interval(NamedTuple):
    """What a person can change of an interval in ELAN; frames as in the table."""

    onset: int
    offset: int
    emotion: str
    expression_type: str
    note: str


class Media(NamedTuple):
    """A linked file: its path as a name, the file, the time (ms) in it at which the annotations' time
    starts, and whether it is sound only."""

    path: str
    file: Path
    origin: float
    sound: bool


def interval_of(cells: Cells) -> Interval:
    """The part of a row that a person can change."""
    labels = [cells.get(c) or "" for c in Interval._fields[2:]]
    return Interval(int(cells["onset"]), int(cells["offset"]), *labels)


def is_undecided(source: str) -> bool:
    """Whether a review says that an interval is open or rejected."""
    return source.startswith("review") and source.endswith((": open", ": rejected"))


def read_eaf(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: EmotionMap = None,
) -> LabelFile:
    """Reads an ELAN file, fedet's own (edited or not) or any with tiers of emotions.

    A tier of another name is read if most of its intervals hold an emotion or type and nothing else, if it
    is named after an emotion, or if a tier that depends on it, at any depth, names emotions or types of its
    intervals. Action units are read from dependent tiers called AU, FACS or action units. Speech, in which
    somebody says "happy", is left out; every tier that is not read is reported. Where ELAN lets the video
    begin later than the annotations' time, frames are those of the video.

    Args:
        path: The .eaf file.
        fps: Frames per second where neither the file nor its video says.
        video: Name of the video where the file does not say.
        emotion_map: As for `annotations.validate`.

    Returns:
        The events (a row number of the report is the rank of an annotation in its file) and the video.

    Raises:
        InputError: Not an ELAN file, one whose times are no milliseconds, or no frame rate known.
    """
    path = Path(path)
    emotion_map, words = words_for(path, emotion_map)
    document = read_document(path)
    return labels_of(document, path, fps=fps, video=video, emotion_map=emotion_map, words=words)


def labels_of(
    document: Document,
    path: Path,
    *,
    fps: float | None,
    video: str | None,
    emotion_map: EmotionMap,
    words: Collection[str],
) -> LabelFile:
    """The labels of a document; `words` are the keys of the words that name an emotion."""
    base, media, reports = _video(document, path, fps, video)
    head = read_head(document)
    reader = TierReader(document, words, base, path.name, media.origin if media else 0.0, head)
    rows: list[tuple[int, Cells]] = []
    for tier in reader.event_tiers():
        tier_rows, report = reader.rows(tier, len(rows))
        _mark_reviewed([cells for _, cells in tier_rows], written_in(head, group_of(tier)))
        rows += tier_rows
        reports.append(report)
    reports += reader.unread()
    rows.sort(key=lambda r: (row_rank(r[1]), float(r[1]["onset"])))
    events, report = validate_cells(rows, path.name, emotion_map)
    videos = known_video(base, head, events, media.path if media else None)
    is_ours = any(base_tier(tier) in TIERS for tier in document.tiers)
    n_annotations = reader.n_annotations(reader.event_tiers() if is_ours else reader.timed)
    return LabelFile(events, join_repairs(*reports, report), videos, n_annotations)


def _mark_reviewed(rows: list[Cells], original: list[Interval]) -> None:
    """Marks open or rejected intervals that a person has changed as reviewed, in place."""
    for cells in rows:
        if is_undecided(cells["source"]) and original and interval_of(cells) not in original:
            cells["source"] = "review"


class TierReader:
    """Which tiers of a document hold expressions, and their rows.

    Args:
        words: Keys of the words that name an emotion.
        base: The cells video, fps and subject.
        file: Name of the file, for reports.
        origin: Time (ms) in the video at which the file's time begins.
        head: As `read_head` gives it.
    """

    def __init__(
        self,
        document: Document,
        words: Collection[str] = FINE_TO_COARSE,
        base: Cells | None = None,
        file: str = "",
        origin: float = 0.0,
        head: Mapping | None = None,
    ):
        self.document, self.words, self.file, self.origin = document, words, file, origin
        self.base = base or {"video": "", "fps": "1000", "subject": ""}
        self.spans, self.tiers = document.spans(), document.tiers
        self.details = Details(head or {})
        texts = {name: [a.text for a in tier.annotations] for name, tier in self.tiers.items()}
        self.labels = {name for name in self.tiers if are_captions(texts[name], words)}
        self.timed = {name for name in self.tiers if self._has_intervals(name)}
        self.parents = {a.id: a.parent for t in self.tiers.values() for a in t.annotations}
        self.owners = {a.id: name for name, t in self.tiers.items() for a in t.annotations}
        self.remarks = {name: self._remarks(name) for name in self.tiers if name not in self.timed}
        self.labelling: dict[str, list[str]] = defaultdict(list)  # timed tier -> tiers with its labels
        for name in self.remarks:
            if not _is_ours(name, self.tiers) and (name in self.labels or are_action_units(name)):
                labelled = next((t for t in document.ancestors(name) if t in self.timed), "")
                self.labelling[labelled].append(name)

    def _has_intervals(self, name: str) -> bool:
        """Whether the annotations of a tier have times of their own."""
        tier = self.tiers[name]
        if not tier.parent or tier.constraint in ("Time_Subdivision", "Included_In"):
            return True
        is_divided = tier.constraint == "Symbolic_Subdivision" and name in self.labels
        return is_divided and not self.labels & set(self.document.ancestors(name))

    def _remarks(self, name: str) -> dict[str, str]:
        """Annotation with times -> text of those that depend on it in a tier, joined."""
        separator = "+" if are_action_units(name) else " "
        remarks: dict[str, list[str]] = defaultdict(list)
        for annotation in self.tiers[name].annotations:
            root = annotation.parent
            for _ in self.tiers:  # no chain is longer
                if self.owners.get(root, root) in self.timed or root not in self.parents:
                    break
                root = self.parents[root]
            remarks[root].append(_unit_of(name, annotation.text))
        return {root: separator.join(filter(None, texts)) for root, texts in remarks.items()}

    def _emotion_of_name(self, tier: str) -> str:
        """The emotion in the name of a tier, like `happy`, `emotion_happy` or `happy@Anna`; "" if its
        annotations are sentences, for example of a person called Joy."""
        parts = re.split(r"[\s_:./-]+", tier.partition("@")[0].strip())
        while len(parts) > 1 and header_key(parts[0]) in _GENERAL_WORDS:
            parts = parts[1:]
        name = " ".join(parts)
        texts = [a.text.split() for a in self.tiers[tier].annotations]
        sentences = sum(len(words) > 2 for words in texts)
        unclear = FINE_TO_COARSE.get(header_key(name)) == "others" or header_key(name) in _PARTS_OF_SPEECH
        return name if header_key(name) in self.words and not unclear and 2 * sentences < len(texts) else ""

    def event_tiers(self) -> list[str]:
        """The tiers whose annotations are expressions, in the order of the file."""
        return [
            name
            for name, tier in self.tiers.items()
            if tier.annotations
            and name in self.timed
            and (
                base_tier(name) in TIERS
                or name in self.labels
                or self._emotion_of_name(name)
                or any(not are_action_units(label) for label in self.labelling.get(name, []))
            )
        ]

    def unread(self) -> list[pd.DataFrame]:
        """A line for each tier with annotations that is not read."""
        events = set(self.event_tiers())
        read_tiers = events | {label for tier in events for label in self.labelling.get(tier, [])}
        lines = []
        for name, tier in self.tiers.items():
            n = len(tier.annotations)
            if not n or name in read_tiers or _is_ours(name, self.tiers):
                continue
            if name not in self.timed:
                problem = f"tier {name!r} depends on another: {n} annotations not read"
            else:
                problem = (
                    f"tier {name!r} names no emotion or type in most intervals: {n} intervals not read (call "
                    "the tier truth to have them read, or name its words in emotions.csv)"
                )
            lines.append(repair(self.file, problem, "left out", column=name))
        return lines

    def n_annotations(self, tiers: Collection[str]) -> int:
        """The number of annotations of these tiers."""
        return sum(len(self.tiers[name].annotations) for name in tiers)

    def rows(self, tier: str, before: int) -> tuple[list[tuple[int, Cells]], pd.DataFrame]:
        """(running number, cells) of a tier's annotations, and the report.

        Args:
            before: Number of rows of earlier tiers.
        """
        rows: list[tuple[int, Cells]] = []
        lines = []
        for annotation in self.tiers[tier].annotations:
            number = before + len(rows) + 1
            span = self.spans.get(annotation.id)
            cells, problems = self._cells(tier, annotation)
            where: dict = {"column": tier, "value": annotation.text}
            try:
                cells |= self._frames(span, problems)
            except ValueError as error:
                lines.append(repair(self.file, str(error), "left out", **where))
                continue
            if span and span.spread:
                text = f"{span.start / 1000:.3f} to {span.end / 1000:.3f} s: without a time, spread evenly"
                lines.append(repair(self.file, text, "repaired", row=number, video=cells["video"], **where))
            for problem in problems:
                lines.append(repair(self.file, problem, "kept", row=number, video=cells["video"], **where))
            rows.append((number, cells))
        return rows, join_repairs(*lines)

    def _frames(self, span: Span | None, problems: list[str]) -> Cells:
        if span is None or span.end < span.start:
            raise ValueError("an annotation without times" if span is None else "ends before it begins")
        fps = float(self.base["fps"])
        start, end = span.start + self.origin, span.end + self.origin
        frames = span_frames(start, end, fps)
        if to_frame(end, fps) - 1 < int(frames["onset"]):
            problems.append("shorter than a frame: lasts one")
        return frames

    def _cells(self, tier: str, annotation: Annotation) -> tuple[Cells, list[str]]:
        ours, text_of_annotation = base_tier(tier) in TIERS, annotation.text.strip()
        notes, details, units, kind, score = (
            self._remark(dependent_tier(tier, kind), annotation)
            for kind in ("note", "details", "AU", "type", "score")
        )
        labelling = self.labelling.get(tier, [])
        texts = {t: text for t in labelling if (text := self._remark(t, annotation))}
        labels = [text for t, text in texts.items() if not are_action_units(t)]
        participant = self.tiers[tier].participant
        base = self.base | {
            "subject": (participant if "@" in tier else "") or self.base["subject"] or participant,
            "source": source_of_tier(tier) if ours else tier,
            "note": notes,
            "coder": self.tiers[tier].annotator,
            "action_units": "+".join(
                filter(None, [units, *(texts[t] for t in texts if are_action_units(t))])
            ),
        }
        if not ours and tier not in self.labels:  # numbered segments, or a tier called after an emotion
            base["note"] = " ".join(filter(None, [notes, text_of_annotation]))
            text_of_annotation = "" if labels else self._emotion_of_name(tier)
        line = join_line(text_of_annotation, kind, score) if ours else text_of_annotation
        details = details or self.details.of(tier, annotation.id, self.spans.get(annotation.id))
        return cells_from(" ".join(filter(None, [line, *labels])), details, base, self.words)

    def _remark(self, tier: str, annotation: Annotation) -> str:
        return self.remarks.get(tier, {}).get(annotation.id, "").strip()


class Details:
    """The cells that the head keeps for annotations: JSON as of `captions.caption_and_details`.

    They belong to the annotation of the same id and tier if it still overlaps the span that was written,
    else to one of exactly that span: ELAN keeps ids, other programs may number anew.
    """

    def __init__(self, head: Mapping):
        kept = head.get("details")
        self.by_id: dict[tuple[str, str], tuple[list, str]] = {}
        self.by_span: dict[tuple, str] = {}
        for row in kept if isinstance(kept, list) else ():
            if isinstance(row, list) and [type(x) for x in row] == [str, str, int, int, dict]:
                tier, key, start, end, cells = row
                text = json.dumps(cells, ensure_ascii=False)
                self.by_id[tier, key] = [start, end], text
                self.by_span[tier, start, end] = text

    def of(self, tier: str, key: str, span: Span | None) -> str:
        """The JSON for an annotation, "" if there is none."""
        if span is None:
            return ""
        (start, end), text = self.by_id.get((tier, key), ([0, 0], ""))
        if span.start < end and start < span.end:
            return text
        return self.by_span.get((tier, round(span.start), round(span.end)), "")


def join_line(emotion: str, kind: str, score: str) -> str:
    """The line of an interval from its tiers; type and score where a person typed them next to the emotion
    count.

    >>> join_line("positive", "macro", "0.83"), join_line("positive micro", "macro", "")
    ('positive macro 0.83', 'positive micro')
    """
    typed = parse_caption(emotion)[0]
    rest = [kind * ("expression_type" not in typed), score * ("score" not in typed)]
    return " ".join(" ".join([emotion, *rest]).split())


def _is_ours(name: str, tiers: Mapping[str, Tier]) -> bool:
    """Whether a dependent tier holds fedet's notes, types and the like."""
    owner = owner_of(name)
    if not owner:
        return False
    alone = name.partition("@")[0].endswith(("-note", "-details"))  # also without its tier
    return tiers[name].parent == owner or (alone and not tiers[name].parent)


def _unit_of(tier: str, text: str) -> str:
    """An annotation in a tier of one action unit, like AU12, as that unit with its intensity, 1 to 5 or
    A to E; else the text.

    >>> _unit_of("emo-AU06", "3"), _unit_of("AU12", ""), _unit_of("AU", "4+7")
    ('AU6C', 'AU12', '4+7')
    """
    match, intensity = _ONE_UNIT.search(tier), text.strip().upper()
    if not match or not re.fullmatch("[A-EX0-5]?", intensity):
        return text
    letter = " ABCDE"[int(intensity)].strip() if intensity.isdigit() else intensity
    return "" if intensity == "0" else f"AU{match[1]}{letter}"  # 0: not there


def are_action_units(tier: str) -> bool:
    """Whether a tier is named AU, FACS, action units or similar."""
    return any(_ACTION_UNITS.fullmatch(header_key(word)) for word in [tier, *re.split(r"[@\s_.-]+", tier)])


def _video(
    document: Document, path: Path, fps: float | None, video: str | None
) -> tuple[Cells, Media | None, list[pd.DataFrame]]:
    """Video, fps and subject: from the head that fedet wrote, or else the arguments or the linked video; the
    link of this video; and lines of the report."""
    head = read_head(document)
    media = sorted(media_of(document, path), key=lambda m: m.sound)
    rate = fps_of_file(head.get("fps"), fps, path) or next((r for m in media if (r := _film_fps(m.file))), "")
    if not rate and any(a.start for tier in document.tiers.values() for a in tier.annotations):
        raise InputError(f"{path}: no fps known (its video is not there): give fps, or the video")
    name = as_text(head.get("video")) or video or (media_stem(media[0].path) if media else path.stem)
    own_media = next((m for m in media if media_stem(m.path) == name), media[0] if media else None)
    lines = []
    if own_media and own_media.origin:
        problem = f"the video begins {own_media.origin / 1000:g} s late: frames are those of the video"
        lines.append(repair(path.name, problem, "repaired", value=f"{own_media.origin:g}", video=name))
    others = [m.path for m in media if not m.sound and m is not own_media]
    if others and not head and not video:
        lines.append(repair(path.name, f"several videos are linked: taken for those of {name}", "kept",
                            video=name, value=shortened(others)))  # fmt: skip
    return {"video": name, "fps": rate, "subject": as_text(head.get("subject"))}, own_media, lines


def read_head(document: Document) -> dict:
    """The head that fedet wrote: video, fps, subject, written; {} without one."""
    try:
        head = parse_json(document.properties.get(HEAD_PROPERTY) or "{}")
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}


def written_in(head: Mapping, tier: str, what: str = "written") -> list[Interval]:
    """The intervals that fedet wrote into a tier, or of `what` "deleted" those that somebody had deleted
    there; none without a head."""
    written = head.get(what)
    rows = written.get(tier) if isinstance(written, dict) else None
    rows = [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    valid = [row for row in rows if [type(x) for x in row] == [int, int, str, str, str]]
    return [Interval(*row) for row in valid]


def media_of(document: Document, path: Path) -> list[Media]:
    """The linked files: by the relative address if that file exists, else by the absolute one.

    Raises:
        InputError: The start time of one is no number.
    """
    media = []
    for link in document.media:
        absolute, relative = link.get("MEDIA_URL", ""), link.get("RELATIVE_MEDIA_URL", "")
        candidates = [path.parent / form for form in (link_path(relative), relative) if relative]
        file = next((f for f in candidates if _is_file(f)), Path(link_path(absolute)))
        name = file.resolve().as_posix() if _is_file(file) else link_path(absolute or relative)
        try:
            origin = as_number(link.get("TIME_ORIGIN", "")) or 0.0
        except ValueError as error:
            raise InputError(
                f"{path}: its video {name} begins at {link['TIME_ORIGIN']!r}, not a number of milliseconds; "
                "correct TIME_ORIGIN there"
            ) from error
        if name:
            media.append(Media(name, file, origin, is_sound(name, link.get("MIME_TYPE", ""))))
    return media


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False


def _film_fps(film: Path) -> str:
    from fedet.video.reader import open_video

    try:
        return as_text(open_video(film).fps) if _is_file(film) else ""
    except InputError:
        return ""

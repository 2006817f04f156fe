"""Writes ELAN files, and refuses to overwrite what people edited in one after fedet wrote it."""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from fedet.annotations.captions import (
    NOT_XML,
    Cells,
    caption_and_details,
    cells_of,
    fps_of_file,
    one_video,
    span_ms,
)
from fedet.annotations.cells import header_key
from fedet.annotations.elan.eaf import Annotation, Document, Tier, read_document, write_document
from fedet.annotations.elan.reader import (
    HEAD_PROPERTY,
    TIERS,
    Interval,
    TierReader,
    base_tier,
    interval_of,
    media_of,
    read_head,
    source_of_tier,
    tier_of,
    written_in,
)
from fedet.annotations.spellings import FINE_TO_COARSE
from fedet.annotations.video_names import link_path, media_stem
from fedet.errors import InputError
from fedet.intervals import at_rate

_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
         ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".webm": "video/webm",
         ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}  # fmt: skip
_WAY_OUT = "name another file or move it away"


def write_eaf(
    table: pd.DataFrame,
    path: str | Path,
    *,
    media: str | Path | None = None,
    fps: float | None = None,
    video: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Writes the intervals of one video as an ELAN file.

    Args:
        table: Canonical table of one video (or none: then give `video` and `fps`).
        path: The .eaf file; it appears whole. Other links of an existing file are kept.
        media: The video file that ELAN shall open.
        fps: Frames per second where the table has none.
        video: Name of the video for an empty table.
        facts: VIDEO_FACTS and the subject of the video, kept for reading the file again.

    Raises:
        InputError: Several videos, no frame rate, or one too high for milliseconds.
    """
    rows = cells_of(table, fps)
    base, head = one_video(rows, Path(path), fps, video, facts)
    written: dict[str, list[Interval]] = defaultdict(list)
    for cells in rows:
        written[tier_of(cells)].append(interval_of(cells))
    document = Document(media=_links(Path(path), media))
    ids = _Ids()
    for tier, members in _without_overlaps(rows).items():
        _add_tier(document, ids, tier, members, base)
    _sort_times(document)
    document.properties = {
        "lastUsedAnnotationId": str(ids.last),  # else ELAN reuses ids
        HEAD_PROPERTY: json.dumps(head | {"written": written}),
    }
    write_document(document, Path(path))


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


def _without_overlaps(rows: list[Cells]) -> dict[str, list[Cells]]:
    """Tier -> its rows in time; overlapping ones go to the first further tier with room."""
    tiers: dict[str, list[Cells]] = {name: [] for name in TIERS}
    for cells in sorted(rows, key=lambda r: (span_ms(r), r["row"])):
        name, n = tier_of(cells), 1
        while (tier := name if n == 1 else f"{name}-{n}") in tiers and tiers[tier]:
            if span_ms(tiers[tier][-1])[1] <= span_ms(cells)[0]:
                break
            n += 1
        tiers.setdefault(tier, []).append(cells)
    return dict(sorted(tiers.items(), key=lambda t: (TIERS.index(base_tier(t[0])), t[0])))


class _Ids:
    """Ids of annotations: a1, a2 ..."""

    last = 0

    def new(self) -> str:
        self.last += 1
        return f"a{self.last}"


def _add_tier(document: Document, ids: _Ids, name: str, rows: list[Cells], base: Cells) -> None:
    subject = " ".join(NOT_XML.sub("?", base["subject"]).split())
    tier = Tier(name, participant=subject)
    notes, details = (Tier(f"{name}-{kind}", name, subject) for kind in ("note", "details"))
    document.tiers |= {t.name: t for t in (tier, notes, details)}
    for cells in rows:
        base_cells = base | {"source": source_of_tier(name)}
        if not NOT_XML.search(cells["note"]):
            base_cells["note"] = cells["note"]
        text, rest = caption_and_details(cells, base_cells)
        slots = [f"ts{len(document.slots) + i}" for i in (1, 2)]
        document.slots |= dict(zip(slots, span_ms(cells), strict=True))
        tier.annotations.append(Annotation(ids.new(), text, *slots))
        for child, value in ((notes, base_cells.get("note", "")), (details, rest)):
            if value:
                child.annotations.append(Annotation(ids.new(), value, parent=tier.annotations[-1].id))


def _sort_times(document: Document) -> None:
    """Numbers the time slots in the order of time, as EAF asks of its TIME_ORDER."""
    slots = sorted(document.slots, key=lambda slot: (document.slots[slot], int(slot[2:])))
    new = {old: f"ts{i}" for i, old in enumerate(slots, start=1)}
    document.slots = {new[old]: document.slots[old] for old in slots}
    for tier in document.tiers.values():
        for annotation in tier.annotations:
            annotation.start = new.get(annotation.start, "")
            annotation.end = new.get(annotation.end, "")


def check_replaceable(
    table: pd.DataFrame,
    path: str | Path,
    fps: float | None = None,
    durations: Mapping[str, float] | None = None,
) -> None:
    """Raises InputError if writing `table` over an .eaf file would lose a person's edits.

    That is: tiers that are not fedet's, empty ones too, vocabularies and the like; truth or review where the
    table has none; intervals that were added, moved or changed after fedet wrote the file, unless the table
    has them so, too; intervals that were deleted, if the table brings them back; videos that were
    synchronised.

    Args:
        table: Canonical table that is to be written.
        path: The .eaf file that may be there.
        fps: Frames per second where the table has none.
        durations: Seconds of each video, where known: later ends are clipped to it.
    """
    path = Path(path)
    if not path.is_file():
        return
    document, rows = read_document(path), cells_of(table, fps)
    tiers = _own_tiers(document, path, {tier_of(row) for row in rows})
    head = read_head(document)
    rate = float(fps_of_file(head.get("fps"), None, path) or (rows[0]["fps"] if rows else fps or 1000))
    length = (durations or {}).get(rows[0]["video"] if rows else "")
    last = round(length * rate) - 1 if length else None
    near = 0 if all(float(row["fps"]) == rate for row in rows) else 1
    reader = TierReader(document, base={"video": "", "fps": str(rate), "subject": ""})
    for tier in TIERS:
        new = _at_rate([row for row in rows if tier in ("fedet", tier_of(row))], rate)
        before = Counter(written_in(head, tier))
        rows_of_tiers = [reader.rows(t, 0)[0] for t in tiers if base_tier(t) == tier]
        now = Counter(interval_of(cells) for rows_of_tier in rows_of_tiers for _, cells in rows_of_tier)
        for interval in (now - before).elements():
            clipped = interval if last is None else interval._replace(offset=min(interval.offset, last))
            if not any(_holds(other, clipped, tier, near) for other in new):
                raise InputError(_message(path, interval, rate, tier, "added or changed"))
        deleted = {interval[:4] for interval in before - now} - {interval[:4] for interval in now}
        restored = deleted & {interval[:4] for interval in new}
        if restored:
            raise InputError(_message(path, Interval(*min(restored), ""), rate, tier, "deleted or changed"))


def _own_tiers(document: Document, path: Path, kinds: set[str]) -> list[str]:
    """The nonempty tiers of a file, all of them fedet's; `kinds` are the tiers to be written."""
    own = [t for t in document.tiers if base_tier(re.sub("-(note|details)$", "", t)) in TIERS]
    foreign = [tier for tier in document.tiers if tier not in own]
    if foreign or document.foreign:
        raise InputError(
            f"{path}: holds tiers that are not fedet's ({', '.join(foreign + document.foreign)}); {_WAY_OUT}"
        )
    nonempty = [tier for tier in own if document.tiers[tier].annotations]
    if lost := {t for t in map(base_tier, nonempty) if t in ("truth", "review")} - kinds:
        raise InputError(
            f"{path}: holds intervals in the tier {min(lost)}, and what is to be written has none; {_WAY_OUT}"
        )
    if any(media.origin for media in media_of(document, path)):
        raise InputError(f"{path}: its videos were synchronised in ELAN (an offset); {_WAY_OUT}")
    return [tier for tier in nonempty if tier in TIERS or re.search(r"-\d+$", tier)]


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

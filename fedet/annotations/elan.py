"""ELAN files: tiers `truth`, `fedet` and `review`, milliseconds, one file per video.

Intervals of one tier must not overlap in ELAN, so those that do go to `truth-2`, `truth-3` ...
Each tier has two dependent ones: `<tier>-note`, free text, and `<tier>-details`, what the line
itself does not tell (see `fedet.annotations.captions`). A property of the file keeps what was written, so
that what
people do afterwards can be told (see `fedet.annotations.elan_merge`). Format: EAF 3.0,
EAF_Annotation_Format_3.0_and_ELAN.
"""

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import pandas as pd

from fedet.annotations.captions import (
    NOT_XML,
    Cells,
    agreed_fps,
    are_captions,
    cells_of,
    restored,
    span_frames,
    span_ms,
    to_frame,
    written,
)
from fedet.annotations.cells import as_number, as_text
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.table import validate
from fedet.errors import InputError
from fedet.files import atomic_write, shortened
from fedet.intervals import COLUMNS

TIERS = ("truth", "fedet", "review")
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
         ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".webm": "video/webm",
         ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}  # fmt: skip
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_PROPERTY = "fedet"  # header property with video, fps, subject and what was written as JSON


class Interval(NamedTuple):
    """What a person can change of an interval in ELAN; frames as in the table."""

    onset: int
    offset: int
    emotion: str
    expression_type: str
    note: str


def interval_of(cells: Cells) -> Interval:
    """The part of a row that a person can change."""
    told = [cells.get(c) or "" for c in Interval._fields[2:]]
    return Interval(int(cells["onset"]), int(cells["offset"]), *told)


def tier_of(cells: Cells) -> str:
    """`review` and `fedet` by source, `fedet` also for whatever has a score, else `truth`."""
    source = cells.get("source", "").lower()
    if source.startswith("review"):
        return "review"
    return "fedet" if source.startswith("fedet") or cells.get("score") else "truth"


def undecided(source: str) -> bool:
    """Whether a review tells that nobody stands behind an interval."""
    return source.startswith("review") and source.endswith((": open", ": rejected"))


def write_eaf(
    table: pd.DataFrame,
    path: str | Path,
    *,
    media: str | Path | None = None,
    fps: float | None = None,
    video: str | None = None,
) -> None:
    """Writes the intervals of one video as an ELAN file.

    Args:
        table: Canonical table of one video (or none: then give `video` and `fps`).
        path: The .eaf file; it appears whole. What one that is there links besides `media` stays linked.
        media: The video file that ELAN shall open.
        fps: Frames per second where the table has none.
        video: Name of the video if the table is empty.

    Raises:
        InputError: Several videos, no frame rate, or one too high for milliseconds.
    """
    rows = cells_of(table, fps)
    videos = list(dict.fromkeys(r["video"] for r in rows)) or [video or Path(path).stem]
    if len(videos) > 1:
        raise InputError(
            f"{path}: an .eaf file holds one video, the table has {len(videos)} "
            f"({shortened(videos)}): write one file per video, as in {{video}}.eaf"
        )
    rates = list(dict.fromkeys(r["fps"] for r in rows)) or [as_text(fps)]
    if len(rates) > 1:
        raise InputError(f"{path}: {videos[0]!r} has rows at several fps ({', '.join(rates)})")
    base = {"video": videos[0], "fps": rates[0], "subject": rows[0]["subject"] if rows else ""}
    told: dict[str, list[Interval]] = {}
    for cells in rows:
        told.setdefault(tier_of(cells), []).append(interval_of(cells))
    head = {k: v for k, v in base.items() if v} | {"written": told}
    eaf = _document(head, Path(path), media)
    for tier, members in _without_overlaps(rows).items():
        _add_tier(eaf, tier, members, base)
    _sort_times(eaf)
    eaf.properties.insert(0, ("lastUsedAnnotationId", str(eaf.maxaid)))  # else ELAN reuses ids
    with atomic_write(Path(path)) as part:
        eaf.to_file(part)


def _document(head: dict, path: Path, media: str | Path | None):
    """An empty document with its types; the link to the video both absolute and relative."""
    from pympi.Elan import Eaf

    eaf = Eaf(author="fedet")
    eaf.adocument |= {
        "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "xsi:noNamespaceSchemaLocation": _SCHEMA,
    }
    eaf.header |= {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    eaf.remove_tier("default", clean=False)
    eaf.maxaid = 0
    eaf.linguistic_types.clear()
    eaf.add_linguistic_type("interval")
    eaf.add_linguistic_type("remark", "Symbolic_Association", timealignable=False)
    eaf.properties = [(_PROPERTY, json.dumps(head))]
    if media is not None:
        film = Path(media).resolve()
        relative = quote(Path(os.path.relpath(film, path.resolve().parent)).as_posix())
        mime = _MIME.get(film.suffix.lower(), "video/*")
        eaf.add_linked_file(film.as_uri(), f"./{relative}", mime)
    ours = {unquote(m["MEDIA_URL"]).rpartition("/")[2] for m in eaf.media_descriptors}
    for old in parsed(path).media_descriptors if path.is_file() else ():
        if unquote(old.get("MEDIA_URL") or "").rpartition("/")[2] not in ours:
            eaf.media_descriptors.append(old)
    return eaf


def _without_overlaps(rows: list[Cells]) -> dict[str, list[Cells]]:
    """Tier -> its rows in time; what overlaps goes to the first further tier with room."""
    tiers: dict[str, list[Cells]] = {name: [] for name in TIERS}
    for cells in sorted(rows, key=lambda r: (span_ms(r), r["row"])):
        name, n = tier_of(cells), 1
        while (tier := name if n == 1 else f"{name}-{n}") in tiers and tiers[tier]:
            if span_ms(tiers[tier][-1])[1] <= span_ms(cells)[0]:
                break
            n += 1
        tiers.setdefault(tier, []).append(cells)
    return dict(sorted(tiers.items(), key=lambda t: (TIERS.index(base_tier(t[0])), t[0])))


def base_tier(tier: str) -> str:
    """`truth` for truth, truth-2 and Truth."""
    return re.sub(r"-\d+$", "", tier).lower()


def _add_tier(eaf, tier: str, rows: list[Cells], base: Cells) -> None:
    note, details = f"{tier}-note", f"{tier}-details"
    subject = " ".join(NOT_XML.sub("?", base["subject"]).split()) or None
    eaf.add_tier(tier, "interval", part=subject)
    eaf.add_tier(note, "remark", parent=tier, part=subject)
    eaf.add_tier(details, "remark", parent=tier, part=subject)
    for cells in rows:
        told = base | {"source": _source(tier)}
        if not NOT_XML.search(cells["note"]):
            told["note"] = cells["note"]
        text, rest = written(cells, told)
        start, end = span_ms(cells)
        eaf.add_annotation(tier, start, end, text)
        parent = f"a{eaf.maxaid}"
        for child, value in ((note, told.get("note", "")), (details, rest)):
            if value:
                own = eaf.generate_annotation_id()
                eaf.annotations[own] = child
                eaf.tiers[child][1][own] = (parent, value, None, None)


def _source(tier: str) -> str:
    """The source of an interval that a person adds to a tier."""
    return "" if base_tier(tier) == "truth" else base_tier(tier)


def _sort_times(eaf) -> None:
    """Numbers the time slots in the order of time, as EAF asks of its TIME_ORDER."""
    ordered = sorted(eaf.timeslots, key=lambda slot: (eaf.timeslots[slot], int(slot[2:])))
    new = {old: f"ts{i}" for i, old in enumerate(ordered, start=1)}
    eaf.timeslots = {new[old]: eaf.timeslots[old] for old in ordered}
    for aligned, *_ in eaf.tiers.values():
        for key, (start, end, value, svg) in aligned.items():
            aligned[key] = (new[start], new[end], value, svg)
    eaf.maxts = len(ordered)


def read_eaf(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map=None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads an ELAN file, fedet's own (edited or not) or any with tiers of emotions.

    A tier of another name is read if most of its intervals hold an emotion or type and nothing
    else; speech, in which somebody says "happy", is left out and reported. Of the tiers that depend on
    one, those that hold emotions or types are read with it. Where ELAN lets the video begin later than
    the annotations' time, frames are those of the video.

    Args:
        path: The .eaf file.
        fps: Frames per second where neither the file nor its video says.
        video: Name of the video where the file does not say.
        emotion_map: As for `annotations.validate`.

    Returns:
        Canonical table and report; a row number is the rank of an annotation in its file.

    Raises:
        InputError: Not an ELAN file, one whose times are no milliseconds, or no frame rate known.
    """
    path = Path(path)
    eaf = parsed(path)
    base, origin = _known(eaf, path, fps, video)
    rows: list[tuple[str, Cells]] = []
    reports = []
    if origin:
        problem = f"the video begins {origin / 1000:g} s late: frames are those of the video"
        reports.append(repair(path.name, problem, "repaired", value=f"{origin:g}", video=base["video"]))
    for tier in sorted(eaf.tiers, key=lambda t: eaf.tiers[t][3]):
        problem = _unread(eaf, tier)
        if problem:
            reports.append(repair(path.name, problem, "left out", column=tier))
        elif eaf.tiers[tier][0]:
            found, report = tier_rows(eaf, tier, base, path.name, len(rows), origin)
            _decide_changed([cells for _, cells in found], written_in(head_of(eaf), base_tier(tier)))
            rows += found
            reports.append(report)
    rows.sort(key=lambda r: (float(r[1].get("row") or "inf"), float(r[1]["onset"])))
    table = pd.DataFrame([cells for _, cells in rows], columns=[*COLUMNS, "note", "confidence"])
    table = table.drop(columns=[c for c in ("note", "confidence") if not _filled(table[c])])
    numbers = [int(n) for n, _ in rows]
    checked, report = validate(table, source_name=path.name, rows=numbers, emotion_map=emotion_map)
    return checked, join_repairs(*reports, report)


def _decide_changed(rows: list[Cells], was: list[Interval]) -> None:
    """Takes the mark of an open or rejected interval off those that a person has changed, in place."""
    for cells in rows:
        if undecided(cells["source"]) and was and interval_of(cells) not in was:
            cells["source"] = "review"


def _unread(eaf, tier: str) -> str:
    """Why a tier with annotations is not read; empty if it is, or if it is read with its parent."""
    aligned, remarks, *_ = eaf.tiers[tier]
    parent = eaf.tiers[tier][2].get("PARENT_REF", "")
    if remarks and not re.search("-(note|details)$", tier) and tier not in _labelling(eaf, parent):
        return f"tier {tier!r} depends on another: {len(remarks)} annotations not read"
    named = are_captions([value for _, _, value, _ in aligned.values()]) or _labelling(eaf, tier)
    if aligned and base_tier(tier) not in TIERS and not named:
        return (
            f"tier {tier!r} names no emotion or type in most intervals: {len(aligned)} intervals "
            "not read (call the tier truth to have them read)"
        )
    return ""


def _labelling(eaf, parent: str) -> list[str]:
    """The tiers that hold emotions or types of the intervals of another."""
    tiers = [t for t in eaf.tiers if eaf.tiers[t][2].get("PARENT_REF") == parent and eaf.tiers[t][1]]
    tiers = [t for t in tiers if not re.search("-(note|details)$", t)]
    return [t for t in tiers if are_captions([remark[1] for remark in eaf.tiers[t][1].values()])]


def _filled(column: pd.Series) -> bool:
    return any(isinstance(cell, str) and cell for cell in column)


def parsed(path: Path):
    """The document as pympi reads it; whatever pympi trips over is one input error."""
    from pympi.Elan import Eaf

    try:
        eaf = Eaf(path, suppress_version_warning=True)
        if (units := eaf.header.get("TIME_UNITS") or "milliseconds") != "milliseconds":
            raise InputError(f"{path}: its times are {units}; save it anew in a current ELAN")
        return eaf
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # pympi raises bare Exception, KeyError, ValueError for bad files
        raise InputError(f"{path}: not an ELAN file ({type(error).__name__}: {error})") from error


def _known(eaf, path: Path, fps: float | None, video: str | None) -> tuple[Cells, float]:
    """Video, fps and subject: as fedet wrote them, else from the arguments or the linked video; and the
    time (ms) in the video at which the file's time begins."""
    told = head_of(eaf)
    rate = agreed_fps(told.get("fps"), fps, path)
    media = sorted(media_of(eaf, path), key=lambda m: m[0].suffix.lower() not in _MIME)  # sound is last
    rate = rate or next((r for film, _ in media if (r := _film_fps(film))), "")
    if not rate and any(aligned for aligned, *_ in eaf.tiers.values()):
        raise InputError(f"{path}: no fps known (its video is not there): give fps, or the video")
    name = told.get("video") or video or (media[0][0].stem if media else path.stem)
    origin = next((o for film, o in media if film.stem == name), media[0][1] if media else 0.0)
    return {"video": as_text(name), "fps": rate, "subject": as_text(told.get("subject"))}, origin


def head_of(eaf) -> dict:
    """What fedet wrote about the file as a whole: video, fps, subject, written; {} if it did not."""
    try:
        told = json.loads(dict(eaf.properties).get(_PROPERTY) or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def written_in(head: dict, tier: str) -> list[Interval]:
    """The intervals that fedet wrote into a tier; none if the file does not tell."""
    told = head.get("written")
    rows = told.get(tier) if isinstance(told, dict) else None
    return [Interval(*row) for row in rows or () if len(row) == len(Interval._fields)]


def media_of(eaf, path: Path) -> list[tuple[Path, float]]:
    """The linked files, each with the time (ms) in it at which the file's time begins."""
    told = [(m, as_number(m.get("TIME_ORIGIN") or "") or 0.0) for m in eaf.media_descriptors]
    return [(_media_path(media, path), origin) for media, origin in told]


def _media_path(media: dict, path: Path) -> Path:
    """The linked file: beside the .eaf by the relative address, else the absolute one."""
    relative = unquote(media.get("RELATIVE_MEDIA_URL") or "")
    beside = path.parent / relative.removeprefix("file:")
    absolute = Path(unquote(urlsplit(media.get("MEDIA_URL") or "").path))
    return beside if relative and beside.is_file() else absolute


def _film_fps(film: Path) -> str:
    from fedet.video.reader import open_video

    try:
        return as_text(open_video(film).fps) if film.is_file() else ""
    except InputError:
        return ""


def tier_rows(
    eaf, tier: str, base: Cells, file: str, before: int, origin: float = 0.0
) -> tuple[list[tuple[str, Cells]], pd.DataFrame]:
    """(running number, cells) of a tier's annotations, and what could not be read in them.

    Args:
        base: The cells video, fps and subject. before: How many rows other tiers gave.
        origin: Time (ms) in the video at which the file's time begins.
    """
    notes, details = (_remarks(eaf, f"{tier}-{kind}") for kind in ("note", "details"))
    labels = [_remarks(eaf, labelling) for labelling in _labelling(eaf, tier)]
    fps = float(base["fps"])
    source = _source(tier) if base_tier(tier) in TIERS else tier
    subject = base["subject"] or eaf.tiers[tier][2].get("PARTICIPANT") or ""
    rows: list[tuple[str, Cells]] = []
    lines = []
    for key, (start, end, text, _) in eaf.tiers[tier][0].items():
        number = before + len(rows) + 1
        span = eaf.timeslots.get(start), eaf.timeslots.get(end)
        if None in span or span[1] < span[0]:
            problem = "an annotation without times" if None in span else "ends before it begins"
            lines.append(repair(file, problem, "left out", column=tier, value=text))
            continue
        span = span[0] + origin, span[1] + origin
        text = " ".join([text, *(found[key] for found in labels if key in found)]).strip()
        told = base | {"subject": subject, "source": source, "note": notes.get(key, "")}
        cells, problems = restored(text, details.get(key, ""), told)
        cells |= span_frames(*span, fps)
        if to_frame(span[1], fps) - 1 < int(cells["onset"]):
            problems.append("shorter than a frame: lasts one")
        lines += [repair(file, p, "kept", row=number, video=cells["video"], column=tier, value=text)
                  for p in problems]  # fmt: skip
        rows.append((str(number), cells))
    return rows, join_repairs(*lines)


def _remarks(eaf, tier: str) -> dict[str, str]:
    """Annotation id -> text of a dependent tier; several texts of one are joined."""
    remarks: dict[str, str] = {}
    for parent, text, *_ in eaf.tiers.get(tier, ({}, {}))[1].values():
        remarks[parent] = f"{remarks[parent]} {text}" if parent in remarks else text
    return remarks

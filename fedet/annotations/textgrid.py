"""Praat TextGrids and SubRip subtitles: written for other programs, with what these can show.

A TextGrid has an interval tier for each kind of interval and person, named as in ELAN (`fedet@left`);
overlapping intervals go to further tiers. Format: the long text format of Praat's manual, "TextGrid file
formats". Neither format has room for apex, action units and notes.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import Cells, caption, cells_of, one_video, span_ms
from fedet.annotations.elan.writer import people_of, without_overlaps
from fedet.files import atomic_write

WRITTEN_ONLY = (".srt", ".textgrid")


def write_text(text: str, path: Path) -> None:
    """Writes a text file; it appears whole."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def text_of(
    table: pd.DataFrame,
    path: Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> str:
    """The text of a .srt or .TextGrid file of one video.

    Raises:
        InputError: Several videos, no frame rate, or one too high for milliseconds.
    """
    rows = cells_of(table, fps)
    base, head = one_video(rows, path, fps, video, facts)
    people = people_of(rows, base)
    if path.suffix.lower() == ".srt":
        return _subrip(rows, people)
    length_ms = 1000 * float(head.get("duration_s") or 0)
    return _textgrid(without_overlaps(rows, people), length_ms)


def _subrip(rows: list[Cells], people: Mapping[str, str]) -> str:
    """SubRip: cues with a line like `positive macro 0.83`, of several people after their names."""
    blocks: list[str] = []
    for cells in sorted(rows, key=lambda r: (span_ms(r), int(r["row"]))):
        person = people[cells["subject"]].removeprefix("@")
        line = f"{person}: {caption(cells)}" if person else caption(cells)
        start, end = (_stamp(ms) for ms in span_ms(cells))
        blocks.append(f"{len(blocks) + 1}\n{start} --> {end}\n{line}\n")
    return "\n".join(blocks)


def _stamp(ms: int) -> str:
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def _textgrid(tiers: Mapping[str, list[Cells]], length_ms: float) -> str:
    end_ms = max([length_ms, *(span_ms(cells)[1] for rows in tiers.values() for cells in rows)], default=0)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0",
             f"xmax = {_seconds(end_ms)}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]  # fmt: skip
    for number, (name, rows) in enumerate(tiers.items(), 1):
        parts = _without_gaps(rows, end_ms)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"',
                  f"        name = {_quoted(name)}", "        xmin = 0", f"        xmax = {_seconds(end_ms)}",
                  f"        intervals: size = {len(parts)}"]  # fmt: skip
        for k, (start, end, text) in enumerate(parts, 1):
            lines += [f"        intervals [{k}]:", f"            xmin = {_seconds(start)}",
                      f"            xmax = {_seconds(end)}",
                      f"            text = {_quoted(text)}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _without_gaps(rows: list[Cells], end_ms: float) -> list[tuple[float, float, str]]:
    """Intervals that fill a tier from 0 to its end, as Praat wants them: empty ones between the others."""
    parts: list[tuple[float, float, str]] = []
    at = 0.0
    for cells in rows:
        start, end = span_ms(cells)
        if start > at:
            parts.append((at, start, ""))
        parts.append((start, end, caption(cells)))
        at = end
    return parts if at >= end_ms else [*parts, (at, end_ms, "")]


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.6f}".rstrip("0").rstrip(".") or "0"


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', '""') + '"'

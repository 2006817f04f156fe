"""The tab-delimited text that ELAN exports: one row per annotation, or a column for each tier.

Columns of times are recognised by their unit (`hh:mm:ss.ms`, `ss.msec`, `msec`), since the rest of a header
depends on ELAN's language; without a header by their cells. The columns before them are tier and
participant; without those, each column after them is a tier. An export of several files has a last column
with the name of each, which then is a video of its own.
"""

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fedet.annotations.captions import are_captions, parse_caption
from fedet.annotations.cells import as_seconds, as_text, read_text, timecode_frame
from fedet.annotations.elan.eaf import Annotation, Document, Tier
from fedet.annotations.elan.reader import are_action_units, labels_of
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.table import EmotionMap, LabelFile, words_for
from fedet.annotations.video_names import distinct_names, link_path

_UNIT = re.compile(r"(.*?)\s*-\s*(hh:mm:ss[.:]ms|hh:mm:ss[:;]ff.*|ss\.msec|msec|pal(?:-?50)?|ntsc)", re.I)
_CLOCK = re.compile(r"\d+:\d\d:\d\d(?:[.,]\d{3}|[:;]\d\d)")
_NUMBER = re.compile(r"\d{1,12}(?:[.,]\d+)?")
# A comment that names a linked file, like "#file:///C:/talk.mp4 -- offset: 40"
_LINK = re.compile(r'^"?#\s*(\S*[/\\].*?\.\w{2,4})(?:\s+--\s+offset:\s*(\d{1,12}))?"?\s*$', re.M)
_MAX_HEADER_ROWS = 30  # rows searched for a header or times


class _Row(NamedTuple):
    file: str  # of an export of several
    number: int
    tier: str
    participant: str
    start_s: float
    end_s: float
    text: str


def is_elan_text(path: str | Path) -> bool:
    """Whether a text file is ELAN's tab-delimited export."""
    lines = _lines(read_text(Path(path)))[:_MAX_HEADER_ROWS]
    if any(_times_in_header(cells) for _, cells in lines):
        return True
    return bool(lines) and bool(_times_in_cells(lines[0][1]))


def _times_in_cells(cells: list[str]) -> dict[str, list[tuple[int, str]]]:
    """As `_times_in_header`, by the cells of a first row: two clocks, or begin, end and their difference."""
    if len(cells) < 3:
        return {}
    clocks = [i for i, cell in enumerate(cells) if _CLOCK.fullmatch(cell.strip())]
    numbers = [i for i, cell in enumerate(cells) if _NUMBER.fullmatch(cell.strip())]
    if len(clocks) >= 2:
        times = {"begin": [(clocks[0], "")], "end": [(clocks[1], "")]}
        return times | {f"{i}": [(i, "")] for i in [*clocks[2:], *numbers] if clocks[0] < i < len(cells) - 1}
    for at in [i for i in numbers if i and {i + 1, i + 2} <= set(numbers)]:
        texts = [cell.strip() for cell in cells[at : at + 3]]
        begin, end, length = (float(text.replace(",", ".")) for text in texts)
        if length > 0 and abs(end - begin - length) < 0.0015:
            unit = "ss.msec" if any(re.search("[.,]", text) for text in texts) else "msec"
            return {name: [(at + i, unit)] for i, name in enumerate(("begin", "end", "duration"))}
    return {}


def read_elan_text(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: EmotionMap = None,
) -> LabelFile:
    """Reads the export like `elan.read_eaf` its ELAN file.

    Types and action units label the intervals of the same times in the tiers of emotions.

    Args:
        path: The .txt, .tsv or .csv file.
        fps: Frames per second; the export has none.
        video: Name of the video; None: that of a linked file, or of the export.
        emotion_map: As for `annotations.validate`.

    Raises:
        InputError: No frame rate is known.
    """
    path = Path(path)
    emotion_map, words = words_for(path, emotion_map)
    text = read_text(path)
    rows, problems = _rows(_lines(text), fps)
    lines = [repair(path.name, p, "left out", row=n, value=value) for n, p, value in problems]
    files = list(dict.fromkeys(row.file for row in rows)) or [""]
    parts = []
    for file, name in zip(files, _names_of_files(files), strict=True):
        document, unmatched = _document([row for row in rows if row.file == file], words)
        lines += [
            repair(
                path.name,
                f"tier {tier!r}: {n} annotations have the times of no emotion",
                "left out",
                column=tier,
            )
            for tier, n in unmatched.items()
        ]
        if len(files) == 1:
            links = [
                (link, origin) for link, origin in _LINK.findall(text) if not link.lower().endswith(".eaf")
            ]
            document.media += [{"MEDIA_URL": link, "TIME_ORIGIN": origin} for link, origin in links]
        known = video if len(files) == 1 and video else name
        labels = labels_of(document, path, fps=fps, video=known, emotion_map=emotion_map, words=words)
        parts.append(labels)
    return LabelFile(
        pd.concat([part.events for part in parts], ignore_index=True),
        join_repairs(*lines, *(part.repairs for part in parts)),
        pd.concat([part.videos for part in parts], ignore_index=True),
        sum(part.n_annotations for part in parts) + len(problems),
    )


def _names_of_files(files: list[str]) -> list[str | None]:
    """The video of each ELAN file, as the file is called; None where the export does not say."""
    names = distinct_names(link_path(re.sub(r"\.eaf$", "", file, flags=re.I)) for file in files if file)
    return [names[link_path(re.sub(r"\.eaf$", "", file, flags=re.I))] if file else None for file in files]


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """(number, cells) of the filled lines that are no comments."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = [(n, line) for n, line in lines if not re.match(r'"?#', line)]
    if any("\t" in line for _, line in lines[:_MAX_HEADER_ROWS]):
        return [(n, line.split("\t")) for n, line in lines]
    delimiter = ";" if any(line.count(";") > line.count(",") for _, line in lines[:1]) else ","
    return [(n, next(csv.reader([line], delimiter=delimiter))) for n, line in lines]


def _times_in_header(cells: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Name of a time -> (column, unit), in order: begin, end, duration; {} if there are none."""
    times: dict[str, list[tuple[int, str]]] = {}
    for i, cell in enumerate(cells):
        if match := _UNIT.fullmatch(as_text(cell)):
            times.setdefault(match[1], []).append((i, match[2].lower()))
    return times if len(times) >= 2 else {}


def _rows(
    lines: list[tuple[int, list[str]]], fps: float | None
) -> tuple[list[_Row], list[tuple[int, str, str]]]:
    """The annotations, and (row, problem, value) of those without times."""
    at = next((i for i, (_, cells) in enumerate(lines[:_MAX_HEADER_ROWS]) if _times_in_header(cells)), None)
    header = [] if at is None else [as_text(cell) for cell in lines[at][1]]
    columns = _times_in_cells(lines[0][1]) if at is None and lines else _times_in_header(header)
    body = lines[0 if at is None else at + 1 :]
    if not columns or not body:
        return [], []
    times = list(columns.values())
    begin, end = times[0][0], times[1][0]
    used = [i for group in times for i, _ in group]
    file_column = _file_column([cells for _, cells in body], max(used) + 1)
    rows, problems = [], []
    for number, raw_cells in body:
        cells = [as_text(c) for c in raw_cells] + [""] * (max(used) + 2 - len(raw_cells))
        file = cells.pop(file_column) if file_column and file_column < len(cells) else ""
        before, after = cells[: min(used)], cells[max(used) + 1 :]
        try:
            start_s, end_s = (_seconds(cells[i], unit, fps) for i, unit in (begin, end))
        except ValueError as error:
            problems.append((number, f"no times: {error}", " ".join(after).strip()))
            continue
        if before:
            names = [(before[0], after[0])]
        else:
            names = list(zip(header[max(used) + 1 :] or [""] * len(after), after, strict=False))
        participant = before[1] if len(before) > 1 else ""
        rows += [_Row(file, number, tier, participant, start_s, end_s, text) for tier, text in names if text]
    return rows, problems


def _file_column(rows: list[list[str]], first: int) -> int | None:
    """The column, after the annotations, that names an ELAN file in each row; None if there is none."""
    for column in range(first + 1, max(map(len, rows))):
        if all(len(cells) > column and cells[column].strip().lower().endswith(".eaf") for cells in rows):
            return column
    return None


def _seconds(cell: str, unit: str, fps: float | None) -> float:
    """The time in a cell; frames in a time code are PAL or NTSC where the unit says so."""
    rates = {"pal-50": 50.0, "pal50": 50.0, "pal": 25.0, "ntsc": 30000 / 1001}
    rate = next((rate for name, rate in rates.items() if name in unit), fps)
    if re.fullmatch(r"\d+:\d\d:\d\d[:;]\d\d", cell):
        if not rate:
            raise ValueError(f"{cell} counts frames: give fps")
        text = f"{cell[:-3]};{cell[-2:]}" if "ntsc" in unit else cell  # ELAN drops frames there
        if (frame := timecode_frame(text, rate)) is None:
            raise ValueError(f"{cell}: no frame {cell[-2:]} in a second at {rate:g} fps")
        return frame / rate
    seconds = as_seconds(cell)
    if seconds is None:
        raise ValueError("an empty cell")
    return seconds / 1000 if unit == "msec" else seconds


def _document(rows: list[_Row], words: set[str]) -> tuple[Document, dict[str, int]]:
    """The rows as a document, in which types and action units depend on the emotions of the same times; and
    how many of these, by tier, have the times of no emotion."""
    tiers: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        tiers[row.tier].append(row)
    texts = {name: [row.text for row in members] for name, members in tiers.items()}
    labels = {name for name in tiers if are_captions(texts[name], words)}
    emotions = {n for n in labels if any(parse_caption(text, words)[0].get("emotion") for text in texts[n])}
    further = (
        [name for name in tiers if name in labels - emotions or are_action_units(name)] if emotions else []
    )
    document, matched = Document(), set()
    for name in (n for n in tiers if n not in further):
        document.tiers[name] = tier = Tier(name, participant=tiers[name][0].participant)
        for row in tiers[name]:
            slots = [f"{row.number}-{len(document.slots) + i}" for i in (0, 1)]
            document.slots |= dict(zip(slots, (1000 * row.start_s, 1000 * row.end_s), strict=True))
            tier.annotations.append(Annotation(f"{name}/{row.number}", row.text, *slots))
        parents = {(row.start_s, row.end_s): f"{name}/{row.number}" for row in tiers[name]}
        for other in further if name in emotions else ():
            child = Tier(f"{name} {other}", name, constraint="Symbolic_Association")
            for row in tiers[other]:
                if parent := parents.get((row.start_s, row.end_s)):
                    key = f"{child.name}/{row.number}"
                    child.annotations.append(Annotation(key, row.text, parent=parent))
                    matched.add((other, row.number))
            document.tiers[child.name] = child
    unmatched = {t: sum((t, row.number) not in matched for row in tiers[t]) for t in further}
    return document, {tier: n for tier, n in unmatched.items() if n}

"""CAS(ME)^2 and CAS(ME)^3 as they are released, 30 frames per second."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import Grid, as_number, header_key
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.spellings import columns_of
from fedet.datasets.layout import Labels, Release, grids_of, label_files, newest_of, table_with, walk
from fedet.errors import InputError
from fedet.intervals import FRAMES


def read_casme2(root: Path) -> Release | None:
    """CAS(ME)^2: `*code_final*.xlsx` with three sheets, frames `rawpic/s15/15_0101.../img1.jpg`."""
    files = label_files(root, r"code_?final")
    if not files:
        return None
    path, repairs = newest_of(files)
    sheets, reports = zip(*grids_of(path), strict=True)
    if len(sheets) < 3:
        raise InputError(f"{path}: has {len(sheets)} sheets, needs 3 (events, naming rule 1, naming rule 2)")
    events, subjects, codes = _casme2_sheets(sheets, path)
    folders = _casme2_folders(root if root.is_dir() else root.parent)
    by_code = {_casme2_code(v): v for _, v in folders}
    subject_folders = set(subjects.values())
    rows, lines = [], [repairs, *reports]
    for row, cells in events:
        cells = [*cells, *[""] * 9][:9]
        name = re.sub(r"_\d+$", "", cells[1])
        if not (cells[0] and name):
            problem = f"no {'video' if cells[0] else 'subject'} named"
            lines.append(repair(path.name, problem, "left out", row=row, value=cells[0] or name))
            continue
        person = _plain(cells[0])
        subject = subjects.get(person, person.lower() if person.lower() in subject_folders else None)
        code = codes.get(header_key(name))
        for value, match, rule in ((cells[0], subject, 1), (name, code, 2)):
            if not match:
                problem = f"not in the sheet of naming rule {rule}: stays as it is"
                lines.append(repair(path.name, problem, "kept", row=row, value=value))
        subject = subject or cells[0]
        number = re.sub(r"\D", "", subject)
        video = by_code.get((number, code or ""), f"{number}_{code}" if code else name)
        rows.append((row, subject, video, *cells[2:]))
    names = ["row", "subject", "video", "onset", "apex", "offset", "action_units", "emotion",
             "expression_type", "emotion_self_report"]  # fmt: skip
    table = pd.DataFrame(rows, columns=names, dtype=object).set_index("row")
    return Release([Labels(path.name, table)], folders, 30.0, 1, repairs=join_repairs(*lines))


def _plain(text: str) -> str:
    """A number without leading zeros and without the .0 that some programs append."""
    return re.sub(r"^0+(?=\d)|\.0+$", "", text)


def _is_number(cell: str) -> bool:
    try:
        return as_number(cell) is not None
    except ValueError:
        return False


def _casme2_sheets(sheets: Sequence[Grid], path: Path) -> tuple[Grid, dict[str, str], dict[str, str]]:
    """Event rows, subject number -> folder (`s15`), video name -> four-digit code (`0101`)."""
    events = [(n, c) for n, c in sheets[0] if any(c)]
    if events and not any(map(_is_number, events[0][1][2:5])):
        events = events[1:]  # a copy with a header added
    subjects: dict[str, str] = {}
    codes: dict[str, str] = {}
    for grid in sheets[1:]:
        for _, cells in grid:
            cells = [*cells, "", "", ""]
            if re.fullmatch(r"s\d+", cells[1], re.I):
                subjects[_plain(cells[2])] = cells[1].lower()
            elif re.fullmatch(r"\d{1,4}", cells[0]) and cells[1]:
                codes[header_key(cells[1])] = cells[0].zfill(4)  # a number cell drops leading zeros
    if not subjects or not codes:
        missing = "s15 in the second column" if not subjects else "codes like 0101 in the first"
        raise InputError(f"{path}: no naming rule sheet with {missing}")
    return events, subjects, codes


def _casme2_folders(root: Path) -> dict[tuple[str, str], Path]:
    rawpic = next((d for d in walk(root, 2) if d.name.lower() == "rawpic"), None)
    if rawpic is None:
        return {}
    return {
        (d.parent.name.lower(), d.name): d
        for d in walk(rawpic, 2)
        if d.parent.parent == rawpic and re.match(r"\d+_\d{4}", d.name)
    }


def _casme2_code(folder: str) -> tuple[str, str]:
    """`15_0101disgustingteeth` -> ("15", "0101")."""
    subject, code = re.match(r"(\d+)_(\d{4})", folder).groups()  # type: ignore[union-attr]
    return subject, code


def read_casme3(root: Path) -> Release | None:
    """CAS(ME)^3: parts A (micro, macro) and C, frames `data/spNO.1/a/color/12.jpg`."""
    files_of = {
        "micro": label_files(root, r"part[ _]?A.*[ _]ME[ _.]"),
        "macro": label_files(root, r"part[ _]?A.*MaE"),
        "C": label_files(root, r"part[ _]?C"),
    }
    if not any(files_of.values()):
        return None
    labels, lines = [], []
    for subset, files in files_of.items():
        if files:
            path, versions = newest_of(files)
            lines.append(versions)
            table, repairs = _casme3_table(path, subset)
            lines.append(repairs)
            labels.append(Labels(path.name, table))
        elif subset != "C" and not files_of["C"]:
            lines.append(repair(root.name, f"no file with the {subset} labels of part A", "kept"))
    folders = _casme3_folders(root if root.is_dir() else root.parent)
    # The labels are "JpgIndex" numbers, some from 0, so a number is the frame index itself.
    return Release(labels, folders, 30.0, 0, repairs=join_repairs(*lines))


_IMAGE = re.compile(r"\D*(\d+)\.jpe?g", re.I)


def _casme3_table(path: Path, subset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    needed = {"subject": "sub", "onset": "onsetframe", "offset": "offsetframe"}
    if subset == "C":
        table, repairs = table_with(path, needed)
        table = table.rename(columns=lambda c: "event" if c == "count" else c)
        keys = [(_casme3_subject(s).replace("spNO.", "C"), "a") for s in table["subject"]]
        names = [c for c in table if header_key(c) in ("filename", "seq", "event", "phy")]
        table = table.drop(columns=names)
    else:
        table, repairs = table_with(path, needed | {"filename": "seq file video"})
        keys = [
            (_casme3_subject(s), f.strip().lower())
            for s, f in zip(table["subject"], table["filename"], strict=True)
        ]
        table = table.drop(columns="filename")
    frames = [c for c in table if columns_of([c]).keys() & set(FRAMES)]
    are_image_names = table[frames].apply(lambda cells: cells.str.fullmatch(_IMAGE))
    table[frames] = table[frames].replace(_IMAGE, r"\1", regex=True)
    if are_image_names.to_numpy().any():
        first = int(table.index[are_image_names.any(axis=1)][0])
        line = repair(path.name, "image names read as their numbers", "repaired", row=first)
        repairs = join_repairs(repairs, line)
    table["subject"] = [s for s, _ in keys]
    table["video"] = [f"{s}_{f}" if s and f else "" for s, f in keys]
    table["expression_type"] = "macro" if subset == "macro" else "micro"
    return table, repairs


def _casme3_subject(text: str) -> str:
    """`spNo.1`, `SPNO. 1`, `1` -> `spNO.1`: labels and folders spell it in several ways."""
    number = re.search(r"\d+", text)
    return f"spNO.{int(number.group())}" if number else text


def _casme3_folders(root: Path) -> dict[tuple[str, str], Path]:
    folders = {}
    image_folders = {"color", "rgb", "depth"}
    is_video = re.compile(r"[a-z]$", re.I)
    for d in walk(root, 7, lambda p: p.name.lower() in image_folders):
        parent, clip = d.parent.name, d.name.lower()
        if not is_video.match(d.name) or d == root:
            continue
        if re.match(r"sp\s*no[\W_]*\d+$", parent, re.I):
            subject = _casme3_subject(parent)
        elif parent.isdigit():
            subject = f"C{int(parent)}"
        else:
            continue
        subfolders = {e.name.lower(): Path(e.path) for e in os.scandir(d) if e.is_dir()}
        folders[subject, f"{subject}_{clip}"] = subfolders.get("color", subfolders.get("rgb", d))
    return folders

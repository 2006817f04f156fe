"""What the reader of a layout returns: the label tables, and the folder of each video's frames.

Columns have names that `fedet.annotations.table` reads; frame numbers stay those of the files;
`fedet.datasets.dataset` interprets them.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import Grid, header_key, natural_key, table_of
from fedet.annotations.repairs import empty_repairs, join_repairs, merged_cells_line, repair
from fedet.annotations.sheets import WORKBOOKS, sheets_of
from fedet.errors import InputError

LABEL_SUFFIXES = (*WORKBOOKS, ".csv")


@dataclass
class Labels:
    """One table of labels: `table` has the file's row numbers as index."""

    file: str
    table: pd.DataFrame


@dataclass
class Release:
    """What a layout holds.

    Attributes:
        labels: Tables with the columns subject, video, onset, apex, offset and more.
        folders: (subject, video) -> folder of its frames.
        fps: Frames per second of all its videos, None if the layout does not say.
        first_number: File number of a video's first frame; None: 0 if it has an image 0, else 1.
        labels_from: Number of a video's first frame in the labels; None: the same.
        rates: Frames per second by video, where the labels say.
        zero_is_missing: Columns in which 0 stands for "not annotated".
        faces: (subject, video) -> which face is whose, where a video shows several people.
        repairs: The report of the layout reader.
    """

    labels: list[Labels]
    folders: dict[tuple[str, str], Path]
    fps: float | None
    first_number: int | None
    labels_from: int | None = None
    rates: dict[str, float] = field(default_factory=dict)
    zero_is_missing: tuple[str, ...] = ("apex", "offset")
    faces: dict[tuple[str, str], str] = field(default_factory=dict)
    repairs: pd.DataFrame = field(default_factory=empty_repairs)


def walk(root: Path, depth: int, stop: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """Folders below `root` (itself first) in natural order, to `depth`; not below folders with `stop`."""
    yield root
    if depth == 0 or stop(root):
        return
    try:
        children = [Path(e.path) for e in os.scandir(root) if e.is_dir() and e.name[0] != "."]
    except OSError:
        return
    for child in sorted(children, key=lambda p: natural_key(p.name)):
        yield from walk(child, depth - 1, stop)


# Folders of frames: label files are next to them, and listing them takes long.
_FRAME_FOLDERS = re.compile(
    r"rawpic|rawvideo|selectedpic|cropped|colou?r|rgb|depth|videos|samm_?longvideos|\d{3}_\d+|sp\s*no.*",
    re.I,
)


def label_files(root: Path, pattern: str, depth: int = 2) -> list[Path]:
    """Label files whose name matches, in `root` and `depth` levels below, newest version first.

    Raises:
        InputError: The only such file is in the old .xls format.
    """
    matches = [root] if root.is_file() and re.search(pattern, root.name, re.I) else []
    for folder in (
        walk(root, depth, lambda p: bool(_FRAME_FOLDERS.fullmatch(p.name))) if root.is_dir() else ()
    ):
        if folder == root or not _FRAME_FOLDERS.fullmatch(folder.name):
            names = [e.name for e in os.scandir(folder) if re.search(pattern, e.name, re.I)]
            matches += [folder / n for n in names if n[0] not in "~." and (folder / n).is_file()]
    readable = [f for f in matches if f.suffix.lower() in LABEL_SUFFIXES]
    old = [f for f in matches if f.suffix.lower() == ".xls"]
    if old and not readable:
        raise InputError(f"{old[0]}: the old .xls format is not read; save it as .xlsx")
    readable.sort(key=lambda f: natural_key(f.name), reverse=True)
    return sorted(readable, key=lambda f: (f.suffix.lower() == ".csv", "updated" not in f.name.lower()))


def grids_of(path: Path) -> list[tuple[Grid, pd.DataFrame]]:
    """The sheets of a label file, whether xlsx or CSV, and the report of each."""
    return [
        (sheet.grid, join_repairs(*(merged_cells_line(path.name, *merged) for merged in sheet.merged)))
        for sheet in sheets_of(path)
    ]


def table_with(path: Path, needed: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first sheet with a header row that has all of `needed` (key -> other spellings), and the
    report of it.

    Raises:
        InputError: No sheet has them.
    """
    for grid, report in grids_of(path):
        for at in range(min(len(grid), 40)):
            keys = {header_key(c): c for c in grid[at][1] if c}
            header_of = {k: next((s for s in [k, *needed[k].split()] if s in keys), None) for k in needed}
            if all(header_of.values()):
                table = table_of(grid, at)
                names = {header_key(c): c for c in table.columns}
                return table.rename(columns={names[s]: k for k, s in header_of.items() if s}), report
    raise InputError(f"{path}: no sheet has a header row with {', '.join(needed)}")


def newest_of(files: list[Path]) -> tuple[Path, pd.DataFrame]:
    """The newest of several versions of a file; the others are reported."""
    lines = [repair(f.name, f"another version of {files[0].name}: not read", "left out") for f in files[1:]]
    return files[0], join_repairs(*lines)

"""The report of repairs: one line per cell that a reader could not take as it stood."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fedet.annotations.cells import as_number
from fedet.intervals import FRAMES

REPAIR_COLUMNS = ["file", "row", "video", "column", "value", "problem", "action"]
ACTIONS = ("repaired", "left out", "kept")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.]\d{3})+")  # as a frame, 1,000 is 1000 or else 1


def _report(lines: Sequence[tuple]) -> pd.DataFrame:
    report = pd.DataFrame(list(lines), columns=REPAIR_COLUMNS, dtype=object)
    return report.astype({c: "Int64" if c == "row" else "string" for c in REPAIR_COLUMNS})


def empty_repairs() -> pd.DataFrame:
    """A report without lines."""
    return _report([])


def repair(
    file: str,
    problem: str,
    action: str,
    *,
    row: int | None = None,
    video: str | None = None,
    column: str | None = None,
    value: str | None = None,
) -> pd.DataFrame:
    """A report of one line.

    Args:
        file: Name of the file, as the user knows it.
        problem: What is wrong, and what was done about it.
        action: One of ACTIONS.
        row: Row as a spreadsheet shows it, from 1; None for the whole file.
        video, column, value: Where in the row, and the cell as it stood.
    """
    line = (file, row, video, column, value, problem, action)
    return _report([tuple(pd.NA if x is None else x for x in line)])


def join_repairs(*reports: pd.DataFrame) -> pd.DataFrame:
    """Reports one below the other."""
    filled = [r for r in reports if len(r)]
    return pd.concat(filled, ignore_index=True) if filled else empty_repairs()


class Check:
    """The text cells of a table, the clean table that is made of them, and the report.

    Attributes:
        raw: Cells as text, one column per name.
        out: The clean columns, same rows.
        alive: Mask of the rows that are not left out.
        lines: Lines of the report so far.
        instead: Column -> the one that stands for it where it is not there itself.
    """

    def __init__(self, raw: pd.DataFrame, rows: Sequence[int], file: str, instead: Mapping[str, str]):
        self.raw = raw.reset_index(drop=True)
        self.rows, self.file, self.instead = [int(r) for r in rows], file, instead
        self.out = pd.DataFrame(index=self.raw.index)
        self.alive = np.ones(len(raw), bool)
        self.lines: list[tuple] = []

    def report(self, where, column: str, problem: str | pd.Series, action: str) -> None:
        """One line for each row of the mask `where` that is still in the table."""
        where = np.asarray(where, bool) & self.alive
        if column not in self.raw and self.instead.get(column) in self.raw:
            column = self.instead[column]
        cells = self.raw.get(column)
        videos = self.out.get("video")
        for i in np.flatnonzero(where):
            value = pd.NA if cells is None else cells.iloc[i]
            video = pd.NA if videos is None else videos.iloc[i]
            text = problem if isinstance(problem, str) else problem.iloc[i]
            name = column.removeprefix("ignored: ")
            self.lines.append((self.file, self.rows[i], video, name, value, text, action))
        if action == "left out":
            self.alive &= ~where

    def once(self, column: str, value: str, problem: str, action: str) -> None:
        """One line for the whole file."""
        self.lines.append((self.file, pd.NA, pd.NA, column, value, problem, action))

    def text(self, column: str) -> pd.Series:
        """The cells of a column as `string`, empty ones missing."""
        if column not in self.raw:
            return pd.Series(pd.NA, index=self.raw.index, dtype="string")
        return self.raw[column].astype("string").replace("", pd.NA)

    def number(self, column: str, bad_action: str, where: pd.Series | bool = True) -> pd.Series:
        """The cells of a column as Float64; what is no number, or in a column of frames may be
        one of thousands or decimals, is left empty, and reported in the rows `where`."""
        cells = self.text(column)
        values: list[float | None] = []
        bad = np.zeros(len(self.raw), bool)
        unclear = cells.str.fullmatch(_THOUSANDS).fillna(False) & (column in FRAMES)
        problem = "thousands or decimals? write 1000 (seconds belong in start_s, apex_s, end_s)"
        self.report(unclear, column, problem, bad_action)
        for i, cell in enumerate(cells.mask(unclear)):
            try:
                values.append(None if cell is pd.NA else as_number(cell))
            except ValueError:
                values.append(None)
                bad[i] = True
        self.report(bad & where, column, "not a number", bad_action)
        return pd.Series(values, index=self.raw.index, dtype="Float64")

    def repairs(self) -> pd.DataFrame:
        """The report, lines of the whole file first, then row by row."""
        return _report(sorted(self.lines, key=lambda line: 0 if line[1] is pd.NA else line[1]))

"""The report of repairs: one line for each cell or annotation that a reader changed, left out or doubted.

Lines on what was left out come first, then those on what was repaired or kept, and at the end one line
per file for all columns that are not read.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedet.annotations.cells import as_number
from fedet.intervals import FRAMES


class Line(NamedTuple):
    """One line of a report, None where it has no such cell: `row` as a spreadsheet shows it, from 1; `column`
    and `value`, where in the row and the original cell; `action`, one of ACTIONS."""

    file: str
    row: int | None
    video: str | None
    column: str | None
    value: str | None
    problem: str
    action: str


REPAIR_COLUMNS = list(Line._fields)
ACTIONS = ("repaired", "left out", "kept")
UNREAD_COLUMNS = "columns that are not part of the interval table"
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.]\d{3})+")  # 1,000 may be frame 1000 or frame 1


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
) -> Line:
    """A line of a report; `problem` says what is wrong and how it was handled."""
    return Line(file, row, video, column, value, problem, action)


def merged_cells_line(file: str, first: int, last: int, value: str) -> Line:
    """A line on cells of a workbook that were merged downwards."""
    return repair(file, f"merged cells: taken for all rows to {last}", "repaired", row=first, value=value)


def unread_columns(file: str, names: Sequence[str]) -> list[Line]:
    """One line for all columns of a file that are not read; none without such columns."""
    return [repair(file, UNREAD_COLUMNS, "left out", value=", ".join(names))] if names else []


def without_unread(report: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """The report without these columns in the lines on columns that are not read."""
    report = report.copy()
    for at in report.index[report["problem"] == UNREAD_COLUMNS]:
        rest = [name for name in str(report.at[at, "value"]).split(", ") if name not in names]
        report.at[at, "value"] = ", ".join(rest)
    return report[~((report["problem"] == UNREAD_COLUMNS) & (report["value"] == ""))].reset_index(drop=True)


def join_repairs(*parts: pd.DataFrame | Line) -> pd.DataFrame:
    """Joins reports and lines: what was left out first, columns that are not read last."""
    runs = [(kind, list(run)) for kind, run in groupby(parts, key=lambda part: isinstance(part, Line))]
    reports = [r for is_lines, run in runs for r in ([_report(run)] if is_lines else run)]
    nonempty = [r for r in reports if len(r)]
    if not nonempty:
        return empty_repairs()
    joined = pd.concat(nonempty, ignore_index=True)
    return joined.iloc[np.argsort(_ranks(joined), kind="stable")].reset_index(drop=True)


def _ranks(report: pd.DataFrame) -> np.ndarray:
    """The sort key of each line in `join_repairs`."""
    ranks = report["action"].map({"left out": 0, "repaired": 1, "kept": 1}).to_numpy(int, copy=True)
    ranks[(report["problem"] == UNREAD_COLUMNS).to_numpy(bool)] = 2
    return ranks


def left_out(report: pd.DataFrame) -> pd.DataFrame:
    """The lines of a report on rows and annotations that were left out."""
    return report[(report["action"] == "left out") & (report["problem"] != UNREAD_COLUMNS)]


def as_lines(report: pd.DataFrame) -> list[str]:
    """The lines of a report as sentences, like `left out: truth.csv, row 3 (v1): offset 5: offset before
    onset`."""
    return [_sentence(*line) for line in report[REPAIR_COLUMNS].itertuples(index=False, name=None)]


def _sentence(file, row, video, column, value, problem, action) -> str:
    position = file + ("" if row is pd.NA else f", row {row}") + ("" if video is pd.NA else f" ({video})")
    cell = " ".join(str(x) for x in (column, value) if x is not pd.NA and str(x))
    return " ".join(f"{action}: {position}: {cell + ': ' if cell else ''}{problem}".split())


class Check:
    """The text cells of a table, the clean table made from them, and the report.

    Attributes:
        raw: Cells as text, one column per name.
        others: Cells of the columns that are not part of the interval table.
        out: The clean columns, same rows.
        alive: Mask of the rows still in the table.
        lines: Lines of the report so far.
        unread: Names of filled columns that are not read.
        instead: Column -> the one to report where it is missing.
    """

    def __init__(
        self,
        raw: pd.DataFrame,
        others: pd.DataFrame,
        rows: Sequence[int],
        file: str,
        instead: Mapping[str, str],
    ):
        self.raw, self.others = raw.reset_index(drop=True), others
        self.rows, self.file, self.instead = [int(r) for r in rows], file, instead
        self.out = pd.DataFrame(index=self.raw.index)
        self.alive = np.ones(len(raw), bool)
        self.lines: list[tuple] = []
        self.unread: list[str] = []

    def report(self, where, column: str, problem: str | pd.Series, action: str) -> None:
        """One line for each row of the mask `where` that is still in the table."""
        where = np.asarray(where, bool) & self.alive
        if column not in self.raw and self.instead.get(column) in self.raw:
            column = self.instead[column]
        cells = self.raw.get(column, self.others.get(column))
        videos = self.out.get("video")
        for i in np.flatnonzero(where):
            value = pd.NA if cells is None else cells.iloc[i]
            video = pd.NA if videos is None else videos.iloc[i]
            text = problem if isinstance(problem, str) else problem.iloc[i]
            self.lines.append((self.file, self.rows[i], video, column, value, text, action))
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

    def number(
        self,
        column: str,
        bad_action: str,
        where: pd.Series | bool = True,
        parse: Callable[[str], float | None] = as_number,
        problem: str = "not a number",
    ) -> pd.Series:
        """The cells of a column as Float64, by `parse`. Cells that it refuses, and frames that may be
        thousands or decimals, are left empty, and reported in the rows `where`."""
        cells = self.text(column)
        values: list[float | None] = []
        bad = np.zeros(len(self.raw), bool)
        unclear = cells.str.fullmatch(_THOUSANDS).fillna(False) & (column in FRAMES)
        text = "thousands or decimals? write 1000 (seconds belong in start_s, apex_s, end_s)"
        self.report(unclear, column, text, bad_action)
        for i, cell in enumerate(cells.mask(unclear)):
            try:
                values.append(None if cell is pd.NA else parse(cell))
            except ValueError:
                values.append(None)
                bad[i] = True
        self.report(bad & where, column, problem, bad_action)
        return pd.Series(values, index=self.raw.index, dtype="Float64")

    def repairs(self) -> pd.DataFrame:
        """The report by `join_repairs`, each group in the order of rows, lines on the whole file first."""
        lines = sorted(self.lines, key=lambda line: 0 if line[1] is pd.NA else line[1])
        return join_repairs(_report(lines), *unread_columns(self.file, self.unread))

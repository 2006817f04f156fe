"""Workbooks of Excel and other programs (.xlsx) as grids, one for each sheet (`cells.Grid`)."""

import re
import zipfile
from bisect import bisect_right
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from fedet.annotations.cells import Grid, as_text, csv_grid
from fedet.annotations.limits import MAX_ROWS, MAX_WORKBOOK_BYTES, MAX_WORKBOOK_CELLS
from fedet.errors import InputError

WORKBOOKS = (".xlsx", ".xlsm")
MergedCells = tuple[int, int, str]  # first and last row of merged cells, and what they hold


class Sheet(NamedTuple):
    """A sheet: its title ("" of a CSV file), cells, and the cells that were merged downwards."""

    title: str
    grid: Grid
    merged: list[MergedCells]


def sheets_of(path: Path) -> list[Sheet]:
    """The sheets of a workbook, or the one grid of a CSV file.

    Raises:
        InputError: The file cannot be read.
    """
    return xlsx_sheets(path) if path.suffix.lower() in WORKBOOKS else [Sheet("", csv_grid(path), [])]


def xlsx_sheets(path: Path) -> list[Sheet]:
    """The sheets of an xlsx file; numbers shown with leading zeros keep them.

    Cells merged downwards all get the first one's value.

    Raises:
        InputError: The file is no workbook, has no sheets, or is too large.
    """
    import openpyxl

    sheets = []
    try:
        merged = _checked_workbook(path)
        book = openpyxl.load_workbook(path, data_only=True, read_only=True)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some programs write a wrong size
            grid = [
                (n, [_displayed_text(c) for c in row]) for n, row in enumerate(sheet.iter_rows(), 1) if row
            ]
            first = min((i for _, cells in grid for i, c in enumerate(cells) if c), default=0)
            grid = [(n, cells[first:]) for n, cells in grid]
            filled = _fill_down(grid, merged.get(sheet._worksheet_path, []), first)
            sheets.append(Sheet(sheet.title, grid, filled))
        book.close()
    except InputError:
        raise
    except Exception as error:  # openpyxl raises zip, XML and key errors for broken files
        raise InputError(f"{path}: not a readable xlsx file ({error})") from error
    if not sheets:
        raise InputError(f"{path}: a workbook without sheets; save the table as CSV")
    return sheets


def _checked_workbook(path: Path) -> dict[str, list[str]]:
    """Entry of a workbook -> its merged cells, like "A2:A5"; checks the size first."""
    merged: dict[str, list[str]] = {}
    n_rows = n_cells = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size > MAX_WORKBOOK_BYTES:
                raise InputError(
                    f"{path}: {entry.filename} in it is {entry.file_size:,} bytes, at most "
                    f"{MAX_WORKBOOK_BYTES:,} are read; save the table as CSV"
                )
            if not entry.filename.endswith(".xml") or re.search(
                "sharedStrings|styles|calcChain", entry.filename
            ):
                continue
            with archive.open(entry) as sheet:
                for rows, cells, ranges in _count_cells(sheet):
                    n_rows, n_cells = n_rows + rows, n_cells + cells
                    merged.setdefault(entry.filename, []).extend(ranges)
                    if n_rows > MAX_ROWS or n_cells > MAX_WORKBOOK_CELLS:
                        raise InputError(
                            f"{path}: more than {MAX_ROWS:,} rows or {MAX_WORKBOOK_CELLS:,} cells, "
                            "empty ones with a format among them; delete those, or save the table as CSV"
                        )
    return merged


def _count_cells(sheet: IO[bytes], step: int = 1 << 20) -> Iterable[tuple[int, int, list[str]]]:
    """Rows, cells and merged cells of the XML of a sheet, chunk by chunk, each cut before a tag."""
    rest = b""
    while chunk := sheet.read(step):
        text, cut, tag = (rest + chunk).rpartition(b"<")
        rest = cut + tag
        merged = re.findall(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z0-9:]+)"', text)
        yield (
            len(re.findall(rb"<(?:\w+:)?row\b", text)),
            len(re.findall(rb"<(?:\w+:)?c\b", text)),
            [m.decode() for m in merged],
        )


def _fill_down(grid: Grid, merged: list[str], first: int) -> list[MergedCells]:
    """Fills merged cells of one column, in place; wider merged cells are titles and remarks."""
    from openpyxl.utils.cell import range_boundaries

    rows, filled = dict(grid), []
    filled_rows = [n for n, cells in grid if any(cells)]
    for left, top, right, bottom in sorted(map(range_boundaries, merged), key=lambda r: (r[1], r[0])):
        column = left - 1 - first
        cells = rows.get(top, [])
        rows_below = filled_rows[bisect_right(filled_rows, top) : bisect_right(filled_rows, bottom)]
        if left == right and 0 <= column < len(cells) and cells[column] and rows_below:
            for n in rows_below:
                rows[n] += [""] * (column + 1 - len(rows[n]))
                rows[n][column] = cells[column]
            filled.append((top, rows_below[-1], cells[column]))
    return filled


def _displayed_text(cell: Any) -> str:
    """The text a spreadsheet shows for a cell of zeros or of a time of day, else its value."""
    value = cell.value
    if isinstance(value, timedelta):
        minutes, seconds = divmod(value.total_seconds(), 60)
        return f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{seconds:06.3f}"
    shape = getattr(cell, "number_format", "") or ""
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch(r"0{2,}", shape):
        return str(value).zfill(len(shape))
    return as_text(value)

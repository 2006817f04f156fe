"""Cells of label files as text: CSV of any dialect and xlsx, each row with its number in the file.

Everything is read as text first, because label files hold numbers as text, text as numbers
(`0101` becomes 101) and headers in any spelling. A grid is a list of (row number, cells); row
numbers are those a spreadsheet shows, from 1, blank rows counted.
"""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fedet.errors import InputError

Grid = list[tuple[int, list[str]]]
Filled = tuple[int, int, str]  # first and last row of merged cells, and what they hold

_EMPTY_TEXT = {"", "nan", "n/a", "#n/a", "<na>"}
_EMPTY_NUMBER = _EMPTY_TEXT | {"na", "none", "null", "-", "--", "/", "\\", "?"}


def as_text(value: object) -> str:
    """One cell as stripped text: 12.0 -> "12", None and NaN -> "", no-break spaces removed."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float) or type(value).__name__.startswith("float"):
        number = float(value)  # type: ignore[arg-type]
        if number != number:
            return ""
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    text = str(value).replace("\u00a0", " ").replace("\ufeff", "").strip()
    return "" if text.lower() in _EMPTY_TEXT else text


def as_number(text: str) -> float | None:
    """The number in a cell, None for an empty one; a decimal comma is read as a point.

    Raises:
        ValueError: The text is no finite number.
    """
    text = text.strip()
    if text.lower() in _EMPTY_NUMBER:
        return None
    if re.fullmatch(r"[+-]?\d+,\d+", text):
        text = text.replace(",", ".")
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"not finite: {text}")
    return number


def header_key(header: object) -> str:
    """A header without case, spaces and punctuation: " Start_Frame " -> "startframe"."""
    return re.sub(r"[\W_]+", "", as_text(header).lower())


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key in which img2 comes before img10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts if p]


def decode(path: Path) -> str:
    """The text of a file in UTF-8 (with or without BOM), UTF-16 with BOM, or else cp1252.

    Raises:
        InputError: The file cannot be read, or is in an encoding that would give wrong letters.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: ends within a character; the file seems to be cut off") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # In cp1252 letters beyond ASCII stand alone or in pairs; in other scripts they are all there is.
        runs = re.findall(rb"[\x80-\xff]+", data)
        if 2 * sum(len(run) > 2 for run in runs) > len(runs):
            raise InputError(f"{path}: in an encoding that is not known; save it as UTF-8") from None
        return data.decode("cp1252", errors="replace")


def csv_grid(path: Path) -> Grid:
    """Rows of a CSV file; comma, semicolon or tab, whichever its first full line has most of.

    Raises:
        InputError: The file cannot be read, is not text, or has a quote that is not closed.
    """
    text = decode(path)
    if "\x00" in text:
        raise InputError(f"{path}: not a text file; save the table as CSV")
    unquoted = (re.sub(r'"[^"]*"', "", line) for line in text.splitlines() if line[:1] != "#")
    first = next((line for line in unquoted if re.search(r"[,;\t]", line)), "")
    delimiter = max(";,\t", key=first.count)
    csv.field_size_limit(10_000_000)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records, line = [], 1  # the line on which a record begins: an open quote swallows all below it
    try:
        for record in reader:
            records.append(record)
            line = reader.line_num + 1
    except csv.Error as error:
        quote = re.search("unexpected end|expected after", str(error))
        problem = 'a quote (") is not closed, or text follows it' if quote else "not a CSV file"
        raise InputError(f"{path}: line {line}: {problem} ({error})") from error
    return [(i, [as_text(c) for c in cells]) for i, cells in enumerate(records, start=1)]


def xlsx_grids(path: Path) -> list[tuple[Grid, list[Filled]]]:
    """One grid per sheet of an xlsx file; numbers shown with leading zeros keep them.

    Cells that are merged downwards all hold what the first one does; beside each grid, which these are.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except Exception as error:  # openpyxl raises zip, XML and key errors for a broken file
        raise InputError(f"{path}: not a readable xlsx file ({error})") from error
    grids = []
    for sheet in book.worksheets:
        grid = [(r[0].row, [_shown(c) for c in r]) for r in sheet.iter_rows() if r]
        grids.append((grid, _fill_down(grid, sheet)))
    book.close()
    return grids


def _fill_down(grid: Grid, sheet) -> list[Filled]:
    """Fills merged cells of one column, in place; wider ones are titles and remarks."""
    rows, filled = dict(grid), []
    used = {n for n, cells in grid if any(cells)}
    for cells in sorted(sheet.merged_cells.ranges, key=lambda r: (r.min_row, r.min_col)):
        below = used & set(range(cells.min_row + 1, cells.max_row + 1))
        column = cells.min_col - sheet.min_column
        value = rows[cells.min_row][column]
        if cells.min_col == cells.max_col and value and below:
            for n in below:
                rows[n][column] = value
            filled.append((cells.min_row, max(below), value))
    return filled


def _shown(cell: object) -> str:
    """The text a spreadsheet shows for a cell whose format is all zeros, else its value."""
    value, shape = cell.value, getattr(cell, "number_format", "") or ""  # type: ignore[attr-defined]
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch(r"0{2,}", shape):
        return str(value).zfill(len(shape))
    return as_text(value)


def table_of(grid: Grid, header_at: int) -> pd.DataFrame:
    """Table (dtype str cells, index = row numbers) of the rows below position `header_at`.

    Blank rows are passed over; a column without a header is named "column N" when it holds a value.
    """
    headers = list(grid[header_at][1])
    body = [(n, cells) for n, cells in grid[header_at + 1 :] if any(cells)]
    width = max([len(headers), *(len(cells) for _, cells in body)])
    names: list[str] = []
    for i in range(width):
        name = headers[i] if i < len(headers) and headers[i] else f"column {i + 1}"
        names.append(name if name not in names else f"{name} (column {i + 1})")
    rows = [cells + [""] * (width - len(cells)) for _, cells in body]
    table = pd.DataFrame(rows, columns=names, index=[n for n, _ in body], dtype=object)
    unused = [n for i, n in enumerate(names) if not (i < len(headers) and headers[i])]
    return table.drop(columns=[n for n in unused if not table[n].astype(bool).any()])


def find_header(grid: Grid, needed: Iterable[str], within: int = 40) -> int | None:
    """Position of the first row that has every header key of `needed`, None if there is none."""
    wanted = set(needed)
    for position, (_, cells) in enumerate(grid[:within]):
        if wanted <= {header_key(c) for c in cells}:
            return position
    return None

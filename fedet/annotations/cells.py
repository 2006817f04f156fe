"""Cells of label files as text: CSV of any dialect and xlsx, each row with its number in the file.

Everything is read as text first, because label files hold numbers as text, text as numbers
(`0101` becomes 101) and headers in any spelling. A grid is a list of (row number, cells); row
numbers are those a spreadsheet shows, from 1, blank rows counted.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fedet.annotations.limits import (
    MAX_BYTES,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_FPS,
    MAX_ROWS,
    MAX_SECONDS,
    MAX_TEXT,
    MIN_FPS,
    checked_size,
)
from fedet.errors import InputError

Grid = list[tuple[int, list[str]]]

_EMPTY_TEXT = {"", "nan", "n/a", "#n/a", "<na>"}
_EMPTY_NUMBER = _EMPTY_TEXT | {"na", "none", "null", "-", "--", "/", "\\", "?"}
_NO_CHARACTER = re.compile("[\ud800-\udfff]")  # halves of characters, which no file can hold
_FORMULA = re.compile(r"'*[=+@\-\t].")
_RATE_UNIT = re.compile(
    r"\s*(fps|hz|[pi]|((frames?|pictures?|images?|bilder|f)\s*(/|per|a|pro|par)\s*(s|sec|second|sekunde|seconde)))$",
    re.I,
)
_TIME_UNIT = re.compile(r"(?<=[\d.,])\s*(?:(m|min)(?:s|sec|\.|utes?)?|(?:s|sec|secs|seconds?|sek)\.?)$", re.I)


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
    return "" if text.lower() in _EMPTY_TEXT else _NO_CHARACTER.sub("\ufffd", text)


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
    if number in (float("inf"), float("-inf")) or "_" in text:
        raise ValueError(f"no finite number: {text}")
    return number


def as_fps(text: str) -> float | None:
    """The frames a second in a cell, None for an empty one; a unit may follow.

    >>> as_fps("25 fps"), as_fps("50p"), round(as_fps("30000/1001"), 3)
    (25.0, 50.0, 29.97)

    Raises:
        ValueError: The text is no rate from MIN_FPS to MAX_FPS.
    """
    if text.strip().lower() in _EMPTY_NUMBER:
        return None
    above, slash, below = _RATE_UNIT.sub("", text.strip()).partition("/")
    rate = as_number(above) or 0.0
    if slash:
        rate /= as_number(below) or float("nan")
    if not MIN_FPS <= rate <= MAX_FPS:
        raise ValueError(f"no frame rate: {text}")
    return rate


def as_score(text: str) -> float | None:
    """The score in a cell, None for an empty one; per cent as a share.

    >>> as_score("0,83"), as_score("83 %")
    (0.83, 0.83)

    Raises:
        ValueError: The text is no finite number.
    """
    number, is_share = re.subn(r"\s*[%\uff05]$", "", text.strip())
    score = as_number(number)
    return score / 100 if is_share and score is not None else score


def as_seconds(text: str) -> float | None:
    """The time in a cell, seconds, None for an empty one: a number, alone or in s, ms or min, or hh:mm:ss.ms
    or mm:ss.

    >>> as_seconds("1,5"), as_seconds("1500 ms"), as_seconds("00:01:02.500")
    (1.5, 1.5, 62.5)

    Raises:
        ValueError: The text is no time up to MAX_SECONDS.
    """
    clock = re.fullmatch(r"([+-]?)(?:(\d{1,6}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d*)?)", text.strip())
    if clock:
        sign, hours, minutes, rest = clock.groups()
        total = int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
        seconds: float | None = -total if sign == "-" else total
    else:
        unit = _TIME_UNIT.search(text.strip())
        seconds = as_number(text.strip()[: unit.start()] if unit else text)
        if unit and seconds is not None:
            seconds *= {"m": 0.001, "min": 60.0}.get((unit[1] or "").lower(), 1.0)
    if seconds is not None and abs(seconds) > MAX_SECONDS:
        raise ValueError(f"no time in a video: {text}")
    return seconds


def timecode_frame(text: str, fps: float) -> int | None:
    """The frame, from 0, of a timecode hh:mm:ss:ff; None for other text, or where a second has no such frame.

    Timecodes count whole frames a second (30 at 29.97). With a semicolon in front of the frames they leave
    out two numbers a minute, but for every tenth, as SMPTE 12M has it for 29.97, and four for 59.94.

    >>> timecode_frame("00:00:01:12", 25.0), timecode_frame("00:01:00;02", 30000 / 1001)
    (37, 1800)
    """
    match = re.fullmatch(r"(\d{1,6}):(\d{1,2}):(\d{1,2})([:;])(\d{1,3})", text.strip())
    nominal = round(fps)
    if not match or int(match[5]) >= nominal:
        return None
    hours, minutes, seconds, frame = (int(match[i]) for i in (1, 2, 3, 5))
    minutes += 60 * hours
    left_out = nominal // 15 * (minutes - minutes // 10) if match[4] == ";" else 0
    return (60 * minutes + seconds) * nominal + frame - left_out


def header_key(header: object) -> str:
    """A header without case, width, spaces and punctuation: " Start_Frame " -> "startframe"."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", as_text(header)).lower())


def label_key(label: object) -> str:
    """The `header_key` of a label; of one of signs only, the signs.

    >>> label_key("Happy!"), label_key(" :-) "), label_key("\N{WHITE SMILING FACE}\ufe0f")
    ('happy', ':-)', '☺')
    """
    return header_key(label) or re.sub("[\\s\ufe0f]+", "", as_text(label))


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key in which img2 comes before img10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts if p]


def without_formula(cell: object) -> object:
    """A cell for a CSV file: a text that begins with = + - or @ gets an apostrophe in front, so that no
    spreadsheet runs it as a formula; `with_formula` removes it on reading."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def with_formula(cell: str) -> str:
    """The text that `without_formula` wrote.

    >>> with_formula("'=x"), with_formula("'tis")
    ('=x', "'tis")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: It cannot be read, is no regular file, or has more bytes than `most`.
    """
    path = Path(path)
    try:
        checked_size(path, most)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


# In cp1252 letters beyond ASCII come alone or in pairs of letters; other scripts consist of runs of them, or
# have bytes that are rare signs in cp1252.
_RARE_SIGN = re.compile(rb"[\x81-\x84\x86-\x89\x8b\x8d\x8f\x90\x98\x9b\x9d]")
_SIGN = re.compile(rb"[\xa2-\xaa\xac-\xaf\xb1-\xb9\xbc-\xbe]")


def _is_other_script(run: bytes) -> bool:
    """Whether a run of bytes beyond ASCII is no text in cp1252."""
    return len(run) > 2 or bool(_RARE_SIGN.search(run)) or (len(run) == 2 and bool(_SIGN.search(run)))


def _is_utf_16(data: bytes) -> str:
    """The kind of UTF-16, without a mark, of a text that is mostly ASCII; "" if it is in none."""
    start = data[: min(len(data), 2000) // 2 * 2]
    zeros = [start[i::2].count(0) for i in (0, 1)]
    if 4 * max(zeros) < len(start) or min(zeros):
        return ""
    return "utf-16-be" if zeros[0] else "utf-16-le"


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8 (with or without BOM), UTF-16, or else cp1252.

    Raises:
        InputError: The file cannot be read, is too large, or in an encoding that would give wrong letters.
    """
    data = read_bytes(path, most)
    if wide := "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else _is_utf_16(data):
        try:
            return data.decode(wide)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: ends within a character; the file seems to be cut off") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        runs = re.findall(rb"[\x80-\xff]+", data)
        if 2 * sum(map(_is_other_script, runs)) >= len(runs):
            raise InputError(f"{path}: in an encoding that is not known; save it as UTF-8") from None
        return data.decode("cp1252", errors="replace")


def csv_grid(path: Path) -> Grid:
    """Rows of a CSV file; comma, semicolon, tab or |, the most frequent in its first line with any.

    Raises:
        InputError: The file cannot be read, is not text, is too large, or has a quote that is not closed.
    """
    text = read_text(path)
    if "\x00" in text:
        raise InputError(f"{path}: not a text file; save the table as CSV")
    unquoted = (re.sub(r'"[^"]*"', "", line) for line in io.StringIO(text, newline=None) if line[:1] != "#")
    first = next((line for line in unquoted if re.search(r"[,;\t|]", line)), "")
    delimiter = max(";,\t|", key=first.count)
    csv.field_size_limit(MAX_TEXT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    line, n_cells = 1, 0  # line: where a record begins; an open quote swallows all below
    try:
        for record in reader:
            n_cells += len(record)
            if len(record) > MAX_COLUMNS or n_cells > MAX_CELLS or len(records) >= MAX_ROWS:
                raise InputError(
                    f"{path}: line {line}: more than {MAX_COLUMNS:,} columns, {MAX_ROWS:,} rows or "
                    f"{MAX_CELLS:,} cells; is this the table of intervals? split the file"
                )
            records.append(record)
            line = reader.line_num + 1
    except csv.Error as error:
        quote = re.search("unexpected end|expected after", str(error))
        problem = 'a quote (") is not closed, or text follows it' if quote else "not a CSV file"
        raise InputError(f"{path}: line {line}: {problem} ({error})") from error
    return [(i, [with_formula(as_text(c)) for c in cells]) for i, cells in enumerate(records, start=1)]


def table_of(grid: Grid, header_at: int) -> pd.DataFrame:
    """Table (dtype str cells, index = row numbers) of the rows below position `header_at`.

    Blank rows are skipped; a column without a header is named "column N" when it holds a value.
    """
    headers = dict(enumerate(grid[header_at][1]))
    body = [(n, cells) for n, cells in grid[header_at + 1 :] if any(cells)]
    used = {i for i, header in headers.items() if header}
    used |= {i for _, cells in body for i, cell in enumerate(cells) if cell}
    columns: dict[str, int] = {}
    for i in sorted(used):
        name = headers.get(i) or f"column {i + 1}"
        columns[name if name not in columns else f"{name} (column {i + 1})"] = i
    rows = [[cells[i] if i < len(cells) else "" for i in columns.values()] for _, cells in body]
    return pd.DataFrame(rows, columns=list(columns), index=[n for n, _ in body], dtype=object)


def find_header(grid: Grid, needed: Iterable[str], within: int = 40) -> int | None:
    """Position of the first row that has every header key of `needed`, None if there is none."""
    keys = set(needed)
    for position, (_, cells) in enumerate(grid[:within]):
        if keys <= {header_key(c) for c in cells}:
            return position
    return None

"""What a label file may hold at most; what is beyond is refused or left out, with the reason.

The largest released set has 4,600 events of 15 columns. SECURITY.md shows these limits.
"""

from pathlib import Path

from fedet.errors import InputError

MAX_BYTES = 100_000_000  # of a CSV or text file
MAX_TREE_BYTES = 20_000_000  # of JSON, XML and subtitles, which take up to 100 times as much memory
MAX_ROWS = 200_000  # rows of a table or sheet, annotations of any other file
MAX_COLUMNS = 16_384  # those of a spreadsheet
MAX_CELLS = 4_000_000  # of a CSV file
MAX_TEXT = 1_000_000  # characters of a cell
MAX_TIERS = 1_000  # of an ELAN file
MAX_WORKBOOK_BYTES = 40_000_000  # of any part of an xlsx file, unpacked
MAX_WORKBOOK_CELLS = 400_000
MIN_FPS, MAX_FPS = 1e-3, 1e6
MAX_SECONDS = 1e8  # no video lasts three years
MAX_FRAME = 10**9  # larger numbers are no frames


def refuse_more(n: int, most: int, things: str, path: object) -> None:
    """Raises InputError if a file holds more than `most` things."""
    if n > most:
        raise InputError(f"{path}: {n:,} {things}, at most {most:,} are read; split the file")


def checked_size(path: Path, most: int = MAX_BYTES) -> None:
    """Raises InputError, or OSError, if this is no regular file or a larger one."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a regular file; name a file that was saved")
    refuse_more(path.stat().st_size, most, "bytes", path)

"""An append-only file of JSON lines that survives a dying process.

The file is created atomically with its first line (the header); every further line is on the disk
before `append` returns. A line that a crash cut off is removed on reopening, with a
notice; a broken line anywhere else is an error, because the state depends on every line.
"""

import json
import os
import tempfile
import weakref
from pathlib import Path

from fedet.errors import InputError
from fedet.files import parse_json

try:
    import fcntl
except ImportError:  # missing on Windows, where two kernels on one journal go undetected
    fcntl = None  # type: ignore[assignment]

_OPEN_JOURNALS: "weakref.WeakValueDictionary[Path, Journal]" = weakref.WeakValueDictionary()


class Journal:
    """One journal file, open for appending in one process at a time.

    Args:
        path: The file; it is created by `start`, not before.

    Attributes:
        entries: What the file held when it was opened, header first; empty if there is no file.
        notices: Repairs made while opening, one sentence each.

    Raises:
        InputError: Not a journal, a broken line, or open in another process.

    A second `Journal` on the same file in the same process takes over from the first one, so that
    running a notebook cell again works.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.notices: list[str] = []
        self.entries: list[dict] = []
        self._fd: int | None = None
        key = self._key = self.path.absolute()
        if (older := _OPEN_JOURNALS.get(key)) is not None:
            older.close()
        if self.path.exists():
            self._open()
            self._recover()
        _OPEN_JOURNALS[key] = self

    @property
    def started(self) -> bool:
        return bool(self.entries)

    def start(self, header: dict) -> None:
        """Creates the file with its header, atomically."""
        self._check_current()
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd, temporary = tempfile.mkstemp(dir=folder, prefix=f".{self.path.name}.")
        except OSError as error:
            raise InputError(f"{self.path}: cannot write the review there: {error}") from error
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(_line(header))
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            _publish(temporary, self.path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        self._open()
        self.entries.append(header)

    def append(self, entry: dict) -> None:
        """Writes one line; when this returns, it is on the disk."""
        self._check_current()
        if self._fd is None:
            raise InputError(f"{self.path}: the review is closed; open it again to go on")
        end = os.lseek(self._fd, 0, os.SEEK_END)
        data = _line(entry)
        try:
            n_bytes = os.write(self._fd, data)
            if n_bytes != len(data):
                raise OSError("the disk wrote only part of a line")
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)  # half a line would make the file unreadable
            raise
        self.entries.append(entry)

    def close(self) -> None:
        """Closes the file; further appends are refused."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if _OPEN_JOURNALS.get(self._key) is self:
            del _OPEN_JOURNALS[self._key]

    def __del__(self):
        if getattr(self, "_fd", None) is not None:
            os.close(self._fd)

    def _check_current(self) -> None:
        if _OPEN_JOURNALS.get(self._key) is not self:
            raise InputError(
                f"{self.path}: this review was opened again by a newer explorer; go on in that one"
            )

    def _open(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise InputError(f"{self.path}: cannot open the review: {error}") from error
        if fcntl is None:
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            self._fd = None
            raise InputError(
                f"{self.path}: another kernel is reviewing in this file; shut it down, or give "
                "another autosave="
            ) from None
        except OSError as error:  # some network disks have no locks
            self.notices.append(f"{self.path.name}: no lock on this disk ({error.strerror})")

    def _recover(self) -> None:
        """Reads the entries and removes a line that was cut off."""
        data = self.path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        try:
            self.entries = _parse(complete, self.path)
        except InputError:
            self.close()
            raise
        incomplete = data[len(complete) :]
        if incomplete and self._fd is not None:
            os.ftruncate(self._fd, len(complete))
            os.fsync(self._fd)
            excerpt = incomplete[:60].decode("utf-8", "replace")
            self.notices.append(
                f"{self.path.name}: the last line was cut off during writing and is left out: {excerpt!r}"
            )
        if not self.entries:
            self.close()
            raise InputError(f"{self.path}: no review in this file; delete it or name another")


def read_journal(path: str | Path) -> list[dict]:
    """The entries of a journal, header first, without opening it for review."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the review: {error.strerror}") from error
    return _parse(data[: data.rfind(b"\n") + 1], path)


def _parse(data: bytes, path: Path) -> list[dict]:
    entries = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            entry = parse_json(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise InputError(
                f"{path}: line {number} is no journal line: {line[:40]!r}; restore the file or "
                "name another one with autosave="
            )
        entries.append(entry)
    return entries


def _line(entry: dict) -> bytes:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _publish(temporary: str, path: Path) -> None:
    """Renames the finished file to `path`, unless another process has created that meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise InputError(
            f"{path}: another explorer has just started a review in this file; run the cell again"
        ) from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"{path}: exists; run the cell again") from None
        os.replace(temporary, path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

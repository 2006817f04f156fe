"""Files written whole or not at all, JSON objects and the dataclasses made of them."""

import errno
import json
import math
import os
import platform
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from filelock import FileLock, Timeout

from fedet.errors import InputError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def named_when_full(place: Path) -> Iterator[None]:
    """Raises InputError with the place where the block meets a full disk, and the library that writes there
    does not say which."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL_DISK:
            raise InputError(f"{place}: cannot be written ({error.strerror}); name another place") from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path next to `path` that replaces it when the block ends without an error.

    A file that is replaced keeps its permissions, a new one has those of the umask; a link stays a link
    to the file that is written.

    Raises InputError where nothing can be written there.
    """
    path = Path(path)
    try:
        path = path.resolve() if path.is_symlink() else path
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"{path}: is protected against writing; name another file")
        part = part_of(path)
    except (OSError, RuntimeError) as error:  # a link to itself
        raise InputError(f"{path}: cannot be written ({error}); name another place") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean_once(path.parent.resolve())
        yield part
        if path.is_file():
            old = path.stat()
            with suppress(OSError):  # whoever may not give files away keeps them
                os.chown(part, old.st_uid, old.st_gid)
            part.chmod(stat.S_IMODE(old.st_mode))
        os.replace(part, path)
    except OSError as error:
        full = error.filename is None and error.errno in FULL_DISK
        if not full and (not error.filename or Path(error.filename) not in (part, path, *path.parents)):
            raise  # of something else that the block does
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another place") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def save_tensors(path: Path, tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors as a safetensors file. Raises InputError where it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_write(path) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata)
        except SafetensorError as error:  # the library's own kind also for a full disk
            raise InputError(f"{path}: cannot be written ({error}); name another place") from error


def part_of(path: Path) -> Path:
    """A hidden name next to a file, of this process alone; names have a limit."""
    unique = f"{zlib.crc32(path.name.encode(errors='replace')):08x}.{_this_machine()}.{os.getpid()}"
    return path.with_name(f".{path.name[:40]}.{unique}.part{path.suffix[:16]}")


def _this_machine() -> str:
    """A short name of this machine: processes of others may write into a shared folder."""
    return f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"


def remove_unfinished(folder: Path) -> None:
    """Removes the parts that processes of this machine left in a folder when they were killed."""
    pattern = re.compile(rf"\..*\.{_this_machine()}\.(\d+)\.part(\..*)?", re.DOTALL)
    with suppress(OSError):
        for name in os.listdir(folder):
            if (match := pattern.fullmatch(name)) and not is_running(int(match[1])):
                with suppress(OSError):
                    (folder / name).unlink()


_clean_once = lru_cache(remove_unfinished)


def is_running(process: int) -> bool:
    """Whether there is a process with this number; on Windows, where that is not checked, True."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def refuse_other_file(path: Path | None, begins: str, what: str) -> None:
    """Raises InputError if a file is in the place of `what` that does not begin like one."""
    if path is None or not path.exists():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(begins)) if path.is_file() else b"?"
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another file") from error
    if start and start.decode("utf-8", "replace") != begins:
        raise InputError(f"{path}: exists and is no {what}; name another file, or move it away")


def check_writable(folder: Path) -> None:
    """Makes the folder. Raises InputError where no file can be written in it, before hours of work."""
    folder, test = Path(folder), Path(folder) / f".{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        test.write_bytes(b"0" * 4096)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name another place") from error
    finally:
        with suppress(OSError):
            test.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Makes the folder and holds it for this process; None: nothing.

    Raises InputError where another process holds it. Of a distributed run the first process holds it.
    """
    if folder is None or os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    check_writable(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{folder}: another process writes there; wait, or name another place") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / ".lock").unlink(missing_ok=True)
        lock.release()


def shortened(names: list[str], most: int = 5) -> str:
    """The first few of several names, for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def parse_json(text: str | bytes, objects: Callable[[list], Any] | None = None) -> Any:
    """The value of a JSON text; `objects` makes an object of its pairs of name and value.

    Raises:
        ValueError: It is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error


T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


def read_json_object(path: Path, *needs: str) -> dict[str, Any]:
    """The JSON object of a file, with at least the keys in `needs`.

    Raises:
        InputError: The file is damaged or holds something else.
    """
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{values!r:.60} instead of an object")
        if lacking := [key for key in needs if key not in values]:
            raise ValueError(f"no {', '.join(lacking)} in it")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); put it back, or delete it to begin anew") from error
    return values


def dataclass_from(kind: type[T], values: object, source: str) -> T:
    """The dataclass `kind` with these values; fields that are not given keep their defaults.

    Args:
        kind: A dataclass whose fields are int, float, str, bool, tuples of one of them, or may be None.
        values: A JSON object, as Python reads it.
        source: The file, for messages.

    Raises:
        InputError: No object, a key that is no field, or a value of another type or out of range.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise InputError(f"{source}: a JSON object like {{{names[0]!r}: ...}} is needed, not {values!r:.60}")
    if unknown := sorted(set(values) - set(names)):
        raise InputError(f"{source}: unknown {', '.join(unknown)}; known are {', '.join(names)}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise InputError(f"{source}: {name} is {value!r:.60}; it must be {_type_in_words(hints[name])}")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def tensor_faults(tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Which tensors with an expected name have another shape or type, or values that are not finite."""
    faults = []
    for name in sorted(tensors.keys() & expected.keys()):
        tensor, other = tensors[name], expected[name]
        if tensor.shape != other.shape:
            faults.append(f"{name} has shape {tuple(tensor.shape)}, not {tuple(other.shape)}")
        elif tensor.is_floating_point() != other.is_floating_point():
            faults.append(f"{name} has type {tensor.dtype}, not {other.dtype}")
        elif not tensor.float().isfinite().all():
            faults.append(f"{name} has values that are not finite")
    return faults


def check_range(config: object, low: float, high: float, *names: str) -> None:
    """Raises InputError for the first of these fields that is not a number from `low` to `high`."""
    for name in names:
        if not low <= getattr(config, name) <= high:
            raise InputError(f"{name} is {getattr(config, name)!r}; it must be between {low:,} and {high:,}")


def _fits(value: Any, hint: Any) -> bool:
    inner = get_args(hint)
    if ... in inner:
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
    if inner:
        return any(_fits(value, one) for one in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _type_in_words(hint: Any) -> str:
    inner = get_args(hint)
    if ... in inner:
        return f"a list, each {_WORDS[inner[0]]}"
    return " or ".join(_WORDS[one] for one in inner or (hint,))

"""Detection in many videos, in processes or on a cluster, and the result folder that runs add to."""

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedet.errors import InputError
from fedet.files import atomic_write, read_json_object

if TYPE_CHECKING:
    import pandas as pd

    from fedet.detection import Detections


class ResultFolder:
    """`detections.csv` and `missing_faces.csv` of a folder; rows of other videos are never touched.

    `videos.json` records the video and the settings of each row, so that a later run does only what is
    missing. Several runs may write into one folder at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, folder / "videos.json"
        for name in ("detections.csv", "missing_faces.csv"):
            _read_text_table(folder / name)  # raises now, not after hours of work
        self.known: dict[str, dict] = read_json_object(self.index) if self.index.is_file() else {}

    def subject_of(self, video: Path) -> str | None:
        """The name of this video's rows in the folder; None if there are none."""
        return self.known.get(path_digest(video), {}).get("subject")

    def taken_names(self, videos: Iterable[Path]) -> set[str]:
        """Names of the folder's other videos."""
        keys = {path_digest(video) for video in videos}
        return {entry["subject"] for key, entry in self.known.items() if key not in keys}

    def is_current(self, video: Path, signature: str) -> bool:
        """Whether the folder has the detections of this video, unchanged, with the same settings."""
        recorded = self.known.get(path_digest(video), {}).get("signature")
        return bool(signature) and recorded == signature

    def add(self, video: Path, subject: str, detections: "Detections", signature: str) -> None:
        """Writes the detections of one video; they replace earlier ones of the same video.

        Raises InputError if the folder cannot be written, naming it.
        """
        from fedet.annotations.table import write_csv

        missing = detections.missing.assign(video=detections.video)
        if "subject" not in missing:
            missing["subject"] = subject
        people = [one.name for one in detections.people if one.name != subject]
        entry = {"subject": subject, "signature": signature, "expressions": len(detections)}
        entry |= {"people": people} if people else {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder):
                self.known = read_json_object(self.index) if self.index.is_file() else {}
                before = self.known.get(path_digest(video), {})
                own = {subject, *people, *before.get("people", ())}
                with atomic_write(self.folder / "detections.csv") as draft:
                    write_csv(detections.table, draft)
                    _merge(self.folder / "detections.csv", draft, detections.video, own)
                with atomic_write(self.folder / "missing_faces.csv") as draft:
                    missing.to_csv(draft, index=False)
                    _merge(self.folder / "missing_faces.csv", draft, detections.video, own)
                self.known[path_digest(video)] = entry
                with atomic_write(self.index) as draft:
                    text = json.dumps(self.known, indent=1, ensure_ascii=False, sort_keys=True)
                    draft.write_text(text + "\n", "utf-8")
        except OSError as error:
            raise InputError(f"--out {self.folder}: {error.strerror or error}; name another place") from error


def _read_text_table(path: Path) -> "pd.DataFrame | None":
    """A CSV table with all cells as text; None if there is no file."""
    import pandas as pd

    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise InputError(f"{path}: not a table that can be added to ({error}); name another --out") from error
    if "video" not in table:
        raise InputError(f"{path}: no column 'video', so rows cannot be added; name another --out")
    return table


def _merge(path: Path, draft: Path, video: str | None, own: set[str]) -> None:
    """Prepends the rows of other videos in `path` to the new rows in `draft`; `own` are this one's people."""
    import pandas as pd

    existing, new = _read_text_table(path), _read_text_table(draft)
    if existing is None:
        return
    subjects = existing["subject"] if "subject" in existing else existing["video"]
    others = existing[(existing["video"] != video) | ~subjects.isin(own)]
    table = pd.concat([others, new], ignore_index=True).fillna("")
    quoted = table.map(lambda cell: "\r" in cell).any(axis=None)  # as in `write_csv`
    table.to_csv(draft, index=False, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; waits while another process writes there."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def path_digest(video: Path) -> str:
    """A digest of the video's absolute path for `videos.json`, which may be shared with others."""
    return blake2b(str(video.resolve()).encode(), digest_size=12).hexdigest()


def run_signature(video: Path, detector: Path, **settings: Any) -> str:
    """A digest of what the detections of a video depend on: its file, the detector, the settings."""
    import fedet

    state = video.stat()
    facts = [state.st_size, state.st_mtime_ns, len(os.listdir(video)) if video.is_dir() else 0]
    facts += [fedet.__version__, _folder_digest(detector), json.dumps(settings, default=str, sort_keys=True)]
    return blake2b(repr(facts).encode(), digest_size=12).hexdigest()


@lru_cache
def _folder_digest(folder: Path) -> str:
    digest = blake2b(digest_size=12)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- running


def detect_or_explain(
    video: Path, subject: str | None, detector: Any, options: dict[str, Any]
) -> "Detections | str":
    """The detections in a video, or why there are none, in one line that names the file."""
    from fedet import detection

    try:
        return detection.detect(video, detector, subject=subject, **options).without_vectors()
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{video}: {error.strerror or error}{_path_hint(error, options.get('cache'))}"
    except Exception as error:  # whatever it is, the other videos go on
        return f"{video}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _path_hint(error: OSError, cache: Path | None) -> str:
    """The file or folder of an error of the operating system, as a hint."""
    if error.filename is not None:
        return f" ({error.filename}); name another place"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    folders = [Path(tempfile.gettempdir()), *([cache] if cache is not None and cache.exists() else [])]
    return f" ({min(folders, key=lambda folder: shutil.disk_usage(folder).free)}); name another place"


@lru_cache(maxsize=1)
def _detector_of_process(weights: Path | None) -> Any:
    from fedet.detection import load_detector

    return load_detector(weights)


def _work(
    number: int, video: Path, subject: str | None, weights: Path | None, options: dict[str, Any]
) -> "tuple[int, Detections | str]":
    """Detects in one video in a worker process; every error is returned as text."""
    try:
        return number, detect_or_explain(video, subject, _detector_of_process(weights), options)
    except Exception as error:  # the other videos go on
        return number, f"{video}: {type(error).__name__}: {error}"


def detect_many(
    videos: list[tuple[Path, str | None]],
    weights: Path | None,
    options: dict[str, Any],
    jobs: int = 1,
    scheduler: str | None = None,
) -> "Iterator[tuple[int, Detections | str]]":
    """Yields each video's number with its detections, or an error as text, as they finish.

    Args:
        videos: with the subject of each; None: the video's name.
        weights: a detector's folder; None: the shipped one.
        options: of `fedet.detection.detect`.
        jobs: processes; -1: one for each core; 1: this one.
        scheduler: address of a Dask scheduler, whose workers see the same files.
    """
    if scheduler:
        yield from _on_cluster(videos, weights, options, scheduler)
    elif jobs == 1:
        from fedet.detection import load_detector

        detector = load_detector(weights)
        for number, (video, subject) in enumerate(videos):
            yield number, detect_or_explain(video, subject, detector, options | {"progress": True})
    else:
        yield from _in_processes(videos, weights, options, jobs)


def _in_processes(
    videos: list[tuple[Path, str | None]], weights: Path | None, options: dict[str, Any], jobs: int
) -> "Iterator[tuple[int, Detections | str]]":
    """If a process is killed, for instance because memory ran out, the rest is done one after the other."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left = dict(enumerate(videos))
    work = delayed(_work)
    try:
        tasks = (work(number, *video, weights, options) for number, video in left.copy().items())
        for number, found in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
            del left[number]
            yield number, found
    except BrokenProcessPool:
        for number, video in left.items():
            try:
                alone = Parallel(n_jobs=2, return_as="generator_unordered")  # 1 would be this process
                yield from alone([work(number, *video, weights, options)])
            except BrokenProcessPool:
                yield number, f"{video[0]}: its process was killed, perhaps for lack of memory"


def _on_cluster(
    videos: list[tuple[Path, str | None]], weights: Path | None, options: dict[str, Any], scheduler: str
) -> "Iterator[tuple[int, Detections | str]]":
    from distributed import Client, as_completed

    try:
        client = Client(scheduler, timeout="20s")
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r} ({type(error).__name__}); start one with "
            "'dask scheduler' and give its address"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise InputError(f"{scheduler}: the scheduler has no workers; start some with 'dask worker'")
        options = {k: v.resolve() if isinstance(v, Path) else v for k, v in options.items()}
        options["sources"] = {name: folder.resolve() for name, folder in options["sources"].items()}
        weights = None if weights is None else weights.resolve()  # workers run in other folders
        numbers = {
            client.submit(_work, i, video.resolve(), name, weights, options, pure=False): i
            for i, (video, name) in enumerate(videos)
        }
        for future in as_completed(numbers):
            error = future.exception()
            number = numbers[future]
            yield future.result() if error is None else (number, f"{videos[number][0]}: {error}")

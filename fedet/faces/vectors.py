"""The face vectors of one video at 30 frames a second, and the three files that cache them.

`<name>.f16` holds the vectors, 1 kB a frame, mapped into memory when read; `.npz` the arrays with one value
a frame, and the points of the face if they were read; `.json` the rest. The file's name depends on
everything that the vectors depend on.
"""

import hashlib
import json
import mmap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedet.errors import InputError
from fedet.faces.detectors import FaceDetector
from fedet.faces.network import WIDTH, FaceNet
from fedet.files import atomic_write
from fedet.video.reader import IMAGE_SUFFIXES, MAX_SIDE, Video

FPS = 30.0  # frames a second of every vector sequence; videos are resampled by time
STATES = ("found", "bridged", "missing")
FACE_SEARCH = 3  # raised where faces are found or cropped differently, so that older caches are not used
CACHE_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)  # of a damaged cache
MAX_STEM = 200  # bytes of a video's name in that of its cache: file systems allow 255 in all
ARRAYS = (
    "state",
    "track",
    "rest",
    "stored",
    "stored_at",
    "boxes",
    "damaged",
)  # of a `FaceTrack`, in the .npz
LATER_ARRAYS = ARRAYS[3:]  # which caches of earlier releases lack
POINTS_EVERY = 3  # frames: the points of a face are read 10 times a second; more change no figure


class KeptPoints(NamedTuple):
    """What the landmark network read of one face, N = ceil(T / `POINTS_EVERY`) times; 0 without a face."""

    points: np.ndarray  # (N, P, 2) float16, from the middle of the crop, in shares of its side
    state: np.ndarray  # (N, 256) float16, see `fedet.faces.landmarks.LandmarkNet`
    digest: str  # of the network's weights

    @property
    def visible(self) -> np.ndarray:
        """(N,) bool: there is a face."""
        return self.state.any(1)


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The vectors of one video at 30 frames a second; frames without a face are zero and masked."""

    vectors: np.ndarray  # (T, 512) float16, perhaps mapped from a file
    rest: np.ndarray  # (T,) float32 log-probability that nothing is expressed; 0 if unknown
    state: np.ndarray  # (T,) uint8, index into STATES
    track: np.ndarray  # (T,) int32, number of the face; -1 where there is none
    fps: float  # nominal rate of the video itself, for counting its frames
    problems: tuple[str, ...]  # what the reader could not read or had to repair
    weights: str  # name of the network that computed the vectors
    # Where the network was adapted to the video: some frames as the unadapted network reads them.
    stored: np.ndarray = field(default_factory=lambda: np.zeros((0, WIDTH), np.float16))  # (N, 512)
    stored_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # (N,) which frames
    # (T, 4) float32: left, upper edge and side of the face's box in pixels of the video, and the tilt in
    # degrees counter-clockwise; 0 without a face. None: unknown.
    boxes: np.ndarray | None = None
    damaged: np.ndarray | None = None  # (T,) bool, the picture is broken; None: unknown
    points: KeptPoints | None = None  # read in the same pass; None: not asked for

    @property
    def mask(self) -> np.ndarray:
        """(T,) bool, True where there is a face."""
        return self.state != STATES.index("missing")


def empty_track(frames: int, fps: float, problems: tuple[str, ...], weights: str) -> FaceTrack:
    """The track of a video in which nobody is seen."""
    missing = np.full(frames, STATES.index("missing"), np.uint8)
    vectors = np.broadcast_to(np.zeros(1, np.float16), (frames, WIDTH))
    number = np.full(frames, -1, np.int32)
    return FaceTrack(vectors, np.zeros(frames, np.float32), missing, number, fps, problems, weights)


def cache_file(
    folder: Path,
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None,
    fps: float,
    search: str = str(FACE_SEARCH),
    adapt: float = 0.0,
) -> Path:
    """The cache's .f16 file for a video, named after the file, its size and time, and the networks.

    Args:
        search: `search_version` of the video; the default is that of pictures up to `MAX_SIDE`.
        adapt: as for `fedet.faces.extraction.extract`.

    Raises InputError where there is no such video.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    facts = f"{file_identity(path)} {net.name} {net.digest}"
    facts += f" {type(detector).__name__} {fps} {search}" + (f" adapt {adapt}" if adapt else "")
    folder.mkdir(parents=True, exist_ok=True)
    stem = path.stem.encode()[:MAX_STEM].decode(errors="ignore")
    return folder / f"{stem}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.f16"


def search_version(video: Video, precision: str = "fp32") -> str:
    """How faces are searched, cropped and read in a video, for the names of cached files."""
    version = f"{FACE_SEARCH} {MAX_SIDE}" if max(video.width, video.height) > MAX_SIDE else str(FACE_SEARCH)
    version += " repeats" if video.fps < 0.98 * FPS else ""  # a repeated picture is read once
    return version if precision == "fp32" else f"{version} {precision}"


def file_identity(path: Path) -> str:
    """Path, size and time of a video; of a folder also those of its images, which may change in it."""
    stat = path.stat()
    facts = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        stats = [(p.name, s.st_size, s.st_mtime_ns) for p in images if (s := p.stat())]
        facts += " " + hashlib.sha256(repr(stats).encode()).hexdigest()
    return facts


def save_cached(path: Path, arrays: dict[str, np.ndarray], notes: dict) -> None:
    """Writes the .npz and the .json file next to the vectors' .f16 file."""
    save_arrays(path, arrays)
    with atomic_write(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(notes) + "\n")


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the .npz file alone."""
    with atomic_write(path.with_suffix(".npz")) as part:
        np.savez(part, **arrays)


def read_cached(path: str | Path, net: FaceNet, adapt: float = 0.0) -> FaceTrack:
    """The vectors in a cache's .f16 file; the video itself may have been deleted since.

    Vectors computed with another `adapt` can be read: a line in `problems` says so.
    Raises InputError if one of the three files is missing or damaged, or weights other than those of `net`
    computed the vectors.
    """
    path = Path(path)
    files = (path.with_suffix(suffix) for suffix in (".f16", ".json", ".npz"))
    if missing := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{path}: cached vectors are three files in one folder; no {', '.join(missing)}")
    track = load_track(path)
    notes = json.loads(path.with_suffix(".json").read_text())
    if notes.get("digest", net.digest) != net.digest:
        raise InputError(
            f"{path}: computed with the face weights {notes['weights']!r} ({notes['digest']}), "
            f"not {net.name!r} ({net.digest})"
        )
    if (share := notes.get("adapt", 0.0)) != adapt:
        problem = (
            f"cached with {share:.0%} of the video's own statistics, this detector reads with {adapt:.0%}: "
            "read the video again if you still have it"
        )
        track = replace(track, problems=(*track.problems, problem))
    return track


def load_track(path: Path) -> FaceTrack:
    """The cached vectors of one video. Raises InputError where one of the three files is damaged."""
    try:
        notes = json.loads(path.with_suffix(".json").read_text())
        with np.load(path.with_suffix(".npz")) as file:
            arrays = {name: file[name] for name in ARRAYS if name in file or name not in LATER_ARRAYS}
            points = _points_in(file)
        n = len(arrays["state"])
        check_file_size(path, n, 2 * WIDTH)
        vectors = map_vectors(path, n)
        check_arrays(vectors, arrays)
        notes = {"fps": notes["fps"], "problems": tuple(notes["problems"]), "weights": notes["weights"]}
        return FaceTrack(vectors, **arrays, **notes, points=points)
    except CACHE_ERRORS as error:
        raise damaged_cache(path, error) from error


def arrays_of(points: KeptPoints | None) -> dict[str, np.ndarray]:
    """The arrays that keep them in the .npz file."""
    if points is None:
        return {}
    named = points._replace(digest=np.array(points.digest))._asdict()
    return {f"points_{name}": values for name, values in named.items()}


def _points_in(file: Mapping[str, np.ndarray]) -> KeptPoints | None:
    """The points in an .npz file, of which those of earlier releases have none.

    Raises ValueError where they do not fit its frames or have values that are not finite.
    """
    if "points_digest" not in file:
        return None
    points, state = file["points_points"], file["points_state"]
    n = -(-len(file["state"]) // POINTS_EVERY)
    if points.ndim != 3 or state.ndim != 2 or not len(points) == len(state) == n:
        raise ValueError(f"points have shapes {points.shape} and {state.shape}, not one row for each {n}")
    if not (np.isfinite(points).all() and np.isfinite(state).all()):
        raise ValueError("points have values that are not finite")
    return KeptPoints(points, state, str(file["points_digest"]))


def map_vectors(file: Path, n: int) -> np.ndarray:
    """(n, 512) float16, mapped from a file."""
    return np.memmap(file, np.float16, "r", shape=(n, WIDTH)) if n else np.zeros((0, WIDTH), np.float16)


def forget_pages(vectors: np.ndarray) -> None:
    """What was read of mapped vectors no longer counts as memory of the process; it can be read again."""
    mapped = getattr(vectors, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def check_arrays(vectors: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError for cached arrays that do not fit each other or have values that are not finite."""
    n = len(vectors)
    for name, array in arrays.items():
        shape = (n, 4) if name == "boxes" else (n,)
        if "stored" not in name and array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, not {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are not finite")
    if n and arrays["state"].max() >= len(STATES):
        raise ValueError(f"state has the value {arrays['state'].max()}, not one below {len(STATES)}")
    for start in range(0, n, 4096):
        if not np.isfinite(vectors[start : start + 4096]).all():
            raise ValueError(f"a vector among frames {start} to {min(n, start + 4096) - 1} is not finite")
        forget_pages(vectors)


def check_file_size(path: Path, n: int, frame_bytes: int) -> None:
    """Raises ValueError where a file does not hold exactly `n` frames."""
    if (size := path.stat().st_size) != n * frame_bytes:
        raise ValueError(f"{size} bytes, not {n * frame_bytes} for {n} frames")


def damaged_cache(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} or the .json or .npz next to it is damaged ({type(error).__name__}: {error}); "
        "delete the three and run again with the video"
    )

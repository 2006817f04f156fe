"""A video's face vectors: read once, kept in a cache, memory flat in the length."""

import hashlib
import json
import os
import queue
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedet.errors import InputError
from fedet.faces.adaptation import check_share, spread_faces
from fedet.faces.detectors import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, FaceDetector, HaarDetector
from fedet.faces.network import WIDTH, FaceNet, adapted_net, folded, vectors_of
from fedet.faces.tracking import Counted, crop, track_faces
from fedet.video.reader import IMAGE_SUFFIXES, MOST_SIDE, Video, open_video

FPS = 30.0  # frames a second of every vector sequence; videos are resampled by time
CROP = 112  # side of the face crops, pixels
STATES = ("found", "bridged", "missing")
DAMAGES = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)  # reading what was kept
FACE_SEARCH = 3  # raised where faces are found or cut out differently: vectors kept before are not used


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The vectors of one video at 30 frames a second; frames without a face are zero and masked."""

    vectors: np.ndarray  # (T, 512) float16, perhaps mapped from a file
    rest: np.ndarray  # (T,) float32 log-probability that nothing is expressed; NaN-free, 0 if unknown
    state: np.ndarray  # (T,) uint8, index into STATES
    track: np.ndarray  # (T,) int32, which face; -1 where none
    fps: float  # nominal rate of the video itself, for counting its frames
    problems: tuple[str, ...]  # what the video's reader had to say
    weights: str  # name of the network that made the vectors
    # Some of the frames as the network reads them without the video's own statistics, where it has those.
    stored: np.ndarray = field(default_factory=lambda: np.zeros((0, WIDTH), np.float16))  # (N, 512)
    stored_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # (N,) which frames

    @property
    def mask(self) -> np.ndarray:
        """(T,) bool, True where there is a face."""
        return self.state != STATES.index("missing")


def extract(
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None = None,
    batch_size: int = 32,
    progress: bool = False,
    cache: str | Path | None = None,
    opened: Video | None = None,
    adapt: float = 0.0,
) -> FaceTrack:
    """Reads a video, follows its face and turns every frame at 30 fps into a vector.

    Args:
        path: a video file or a folder of numbered images.
        detector: finds faces; None: OpenCV's Haar cascades, once more for small faces in a video in
            which they see none.
        batch_size: crops at once; changes results by rounding only.
        cache: folder in which the vectors are kept for the next time; damaged ones are made anew.
        opened: the video as `Dataset.open` gives it, where a frame folder has a rate and numbering
            of its own; None opens `path`.
        adapt: share of the video's own statistics in the network's batch norms, see `adapted_net`.

    Memory stays flat: vectors go to a file (1 kB a frame) and are mapped from there, and pictures whose
    longer side is above `MOST_SIDE` are reduced to it as they are decoded.
    Raises InputError where the video cannot be read at all, or `adapt` is no share.
    """
    check_share(adapt)
    video = opened or open_video(path)
    facts = path, net, detector, video.fps, search_of(video), adapt
    place = cache_file(Path(cache), *facts) if cache else None
    if place and place.with_suffix(".json").exists():
        with suppress(InputError):
            return read_track(place)
    handle, name = tempfile.mkstemp(dir=place.parent if place else None, suffix=".f16")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            into = partial(_extract_into, file, video, net, adapt, batch_size, progress)
            found, problems = extract_with_retry(into, detector)
        fps, problems = float(video.fps or FPS), [*video.problems, *problems]
        notes = {"fps": fps, "problems": problems, "weights": net.name, "digest": net.digest}
        notes["adapt"] = adapt
        if place:
            os.replace(part, place)
            np.savez(place.with_suffix(".npz"), **found._asdict())
            place.with_suffix(".json").write_text(json.dumps(notes) + "\n")
            return read_track(place)
        vectors, told = map_vectors(part, len(found.state)), tuple(problems)
        return FaceTrack(vectors, fps=fps, problems=told, weights=net.name, **found._asdict())
    finally:
        part.unlink(missing_ok=True)  # a mapped file lives until the mapping is dropped


class _Read(NamedTuple):
    """All that is kept of a video beside its vectors; see `FaceTrack`."""

    state: np.ndarray
    track: np.ndarray
    rest: np.ndarray
    stored: np.ndarray
    stored_at: np.ndarray


def _extract_into(file, video, net, adapt, batch_size, progress, detector: FaceDetector) -> _Read:
    """Writes the vectors to `file`."""
    from tqdm.auto import tqdm

    file.seek(0)
    net, *stored = _adapted_to(video, net, detector, adapt)
    total = round(video.duration_s * FPS) if video.duration_s else None
    rest, state, track = [], [], []
    frames = tqdm(
        in_background(crops_of(video, detector)),
        total=total,
        unit="frame",
        disable=not progress,
        desc=Path(video.path).name,
    )
    batch: list[np.ndarray | None] = []
    for face, status, number in frames:
        batch.append(face)
        state.append(STATES.index(status))
        track.append(number)
        if len(batch) == batch_size:
            rest.append(_append(file, net, batch))
            batch = []
    if batch:
        rest.append(_append(file, net, batch))
    joined = np.concatenate(rest) if rest else np.zeros(0, np.float32)
    return _Read(np.array(state, np.uint8), np.array(track, np.int32), joined, *stored)


def extract_with_retry(read: Callable[[FaceDetector], tuple], detector: FaceDetector | None) -> tuple:
    """What `read(detector)` makes of a video, and a list of problems.

    Where no detector is given it is OpenCV's cascades, and once more for small faces if they see none.
    That somebody else is in the picture is one of the problems.

    Args:
        read: reads the video from its beginning and returns a tuple, first the states of its frames
            as indices into `STATES`.
    """
    seen = Counted(detector or HaarDetector())
    found = read(seen)
    if detector is not None or not len(found[0]) or (found[0] != STATES.index("missing")).any():
        return found, seen.problems()
    searched = f"no face of {MIN_FACE:.0%} of the picture's shorter side or more"
    small = HaarDetector(SURE_NEIGHBORS, min_face=SMALL_FACE)
    return read(small), [f"{searched}: looked for ones from {SMALL_FACE:.0%} on"]


def crops_of(video, detector: FaceDetector) -> Iterator[tuple[np.ndarray | None, str, int]]:
    """Face crop (112, 112, 3) uint8 or None, state and face number of each frame at 30 fps."""
    for f in track_faces(video.frames(fps=FPS, max_side=MOST_SIDE), detector):
        yield (crop(f.image, f.box, CROP) if f.box is not None else None), f.state, f.track


def _append(file, net: FaceNet, batch: list[np.ndarray | None]) -> np.ndarray:
    """Writes the vectors of a batch of crops to `file`; zeros where there is none."""
    seen = [i for i, face in enumerate(batch) if face is not None]
    vectors, rest = np.zeros((len(batch), WIDTH), np.float16), np.zeros(len(batch), np.float32)
    if seen:
        out = vectors_of(net, np.stack([batch[i] for i in seen]))
        vectors[seen] = out.half().numpy()
        if net.heads is not None:
            rest[seen] = net.rest(out).numpy()
    file.write(vectors.tobytes())
    return rest


def _adapted_to(video: Video, net: FaceNet, detector: FaceDetector, adapt: float):
    """The network to read a video with, folded, and what the stored statistics make of some frames."""
    if not adapt:
        return folded(net), np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int32)
    crops, times_s = spread_faces(video, detector, CROP)
    stored = vectors_of(net, crops).half().numpy() if len(crops) else np.zeros((0, WIDTH), np.float16)
    return folded(adapted_net(net, crops, adapt)), stored, np.round(times_s * FPS).astype(np.int32)


def in_background(items: Iterable, ahead: int = 128) -> Iterator:
    """The same items, made in a thread: decoding and face search overlap with the network."""
    line: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                while not stop.is_set():
                    try:
                        line.put((item, None), timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
            line.put((None, StopIteration()))
        except BaseException as error:  # handed to the consumer, who raises it
            line.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, end = line.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item
    finally:
        stop.set()


def map_vectors(file: Path, n: int) -> np.ndarray:
    return np.memmap(file, np.float16, "r", shape=(n, WIDTH)) if n else np.zeros((0, WIDTH), np.float16)


def search_of(video: Video) -> str:
    """What the name of anything kept of a video says of how its faces were found."""
    return f"{FACE_SEARCH} {MOST_SIDE}" if max(video.width, video.height) > MOST_SIDE else str(FACE_SEARCH)


def cache_file(
    folder: Path,
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None,
    fps: float,
    search: str = str(FACE_SEARCH),
    adapt: float = 0.0,
) -> Path:
    """Where a video's vectors are kept: named after the file, its size and time, and the networks.

    `search` is that of `search_of`; larger pictures have another one than the default. `adapt` as for
    `extract`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    facts = f"{state_of(path)} {net.name} {net.digest}"
    facts += f" {type(detector).__name__} {fps} {search}" + (f" adapt {adapt}" if adapt else "")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.stem}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.f16"


def state_of(path: Path) -> str:
    """Place, size and time of a video; of a folder also those of its images, which may change in it."""
    stat = path.stat()
    facts = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        stats = [(p.name, s.st_size, s.st_mtime_ns) for p in images if (s := p.stat())]
        facts += " " + hashlib.sha256(repr(stats).encode()).hexdigest()
    return facts


def read_kept(place: str | Path, net: FaceNet, adapt: float = 0.0) -> FaceTrack:
    """The vectors of a cache's .f16 file: a video whose frames may have been deleted since.

    That they were made with another `adapt` is one of the problems: they can still be read.
    Raises InputError if a part is missing, or other weights than `net` made them.
    """
    place = Path(place)
    parts = (place.with_suffix(suffix) for suffix in (".f16", ".json", ".npz"))
    if absent := [part.name for part in parts if not part.is_file()]:
        raise InputError(f"{place}: kept vectors are three files side by side; no {', '.join(absent)}")
    kept = read_track(place)
    notes = json.loads(place.with_suffix(".json").read_text())
    if notes.get("digest", net.digest) != net.digest:
        made = f"{notes['weights']!r} ({notes['digest']})"
        raise InputError(f"{place}: made with the face weights {made}, not {net.name!r} ({net.digest})")
    if (made := notes.get("adapt", 0.0)) != adapt:
        told = f"kept with {made:.0%} of the video's own statistics, this detector reads with {adapt:.0%}"
        kept = replace(kept, problems=(*kept.problems, f"{told}: read the video again if you still have it"))
    return kept


def read_track(place: Path) -> FaceTrack:
    """What `extract` kept. Raises InputError where one of its three files is damaged."""
    try:
        notes = json.loads(place.with_suffix(".json").read_text())
        with np.load(place.with_suffix(".npz")) as parts:
            # Vectors kept by earlier releases know no `stored`.
            kept = {name: parts[name] for name in _Read._fields if name in parts or "stored" not in name}
        n = len(kept["state"])
        check_bytes(place, n, 2 * WIDTH)
        notes = {"fps": notes["fps"], "problems": tuple(notes["problems"]), "weights": notes["weights"]}
        return FaceTrack(map_vectors(place, n), **kept, **notes)
    except DAMAGES as error:
        raise damaged(place, error) from error


def check_bytes(place: Path, n: int, each: int) -> None:
    """Raises ValueError where a file does not hold just `n` frames of `each` bytes."""
    if (size := place.stat().st_size) != n * each:
        raise ValueError(f"{size} bytes, not {n * each} for {n} frames")


def damaged(place: Path, error: Exception) -> InputError:
    kept = f"{place} or the .json or .npz beside it is damaged ({type(error).__name__}: {error})"
    return InputError(f"{kept}; delete the three and run again with the video")

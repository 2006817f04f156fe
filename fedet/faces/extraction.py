"""From a video to its face vectors: decode, track the face, crop, and run the network; memory stays flat."""

import errno
import mmap
import queue
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.adaptation import check_share, spread_faces
from fedet.faces.detectors import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, FaceDetector, HaarDetector
from fedet.faces.network import WIDTH, FaceNet, adapted_net, fold_batch_norms, vectors_of
from fedet.faces.tracking import CountingDetector, Tracked, crop, track_boxes
from fedet.faces.vectors import (
    FPS,
    STATES,
    FaceTrack,
    cache_file,
    load_track,
    save_cached,
    search_version,
)
from fedet.files import atomic_write
from fedet.video.reader import MAX_SIDE, Video, open_video

CROP = 112  # side of the face crops, pixels
READ_AT_ONCE = 32  # crops in one forward pass
MIN_FPS = 10.0  # of a video; in slower ones an expression of half a second has fewer than five frames


def extract(
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None = None,
    batch_size: int = READ_AT_ONCE,
    progress: bool = False,
    cache: str | Path | None = None,
    opened: Video | None = None,
    adapt: float = 0.0,
) -> FaceTrack:
    """Reads a video, tracks its face and turns every frame at 30 fps into a vector.

    Args:
        path: a video file or a folder of numbered images.
        detector: finds faces; None: OpenCV's Haar cascades, and a second pass for small faces in a
            video in which they find none.
        batch_size: crops in one forward pass; changes results by rounding only.
        cache: folder in which the vectors are cached; damaged ones are computed anew.
        opened: the video as `Dataset.open` gives it, where a frame folder has a rate and numbering
            of its own; None opens `path`.
        adapt: share of the video's own statistics in the network's batch norms, see `adapted_net`.

    Memory stays flat: vectors go to a file (1 kB a frame) and are mapped from there, and pictures whose
    longer side is above `MAX_SIDE` are reduced to it as they are decoded.
    Raises InputError where the video cannot be read at all, or `adapt` is no share.
    """
    check_share(adapt)
    video = opened or open_video(path)
    facts = path, net, detector, video.fps, search_version(video), adapt
    target = cache_file(Path(cache), *facts) if cache else None
    if target and target.with_suffix(".json").exists():
        with suppress(InputError):
            return load_track(target)
    read = partial(_read_video, video, net, detector, adapt, batch_size, progress)
    if target is None:
        with private_file() as file:
            arrays, notes = read(file)
            vectors = map_private(file, len(arrays.state))
        return FaceTrack(vectors, **arrays._asdict(), **notes)
    with atomic_write(target) as part, part.open("wb") as file:
        arrays, notes = read(file)
    save_cached(target, arrays._asdict(), notes | {"digest": net.digest, "adapt": adapt})
    return load_track(target)


@contextmanager
def private_file() -> Iterator[BinaryIO]:
    """A file for the vectors of a face that nobody else can open, and that is gone however the process ends.

    Raises InputError where the folder for such files is full or cannot be written.
    """
    try:
        with tempfile.TemporaryFile() as file:  # has no name
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise InputError(
            f"{tempfile.gettempdir()}: vectors cannot be written there ({error.strerror}); "
            "set TMPDIR to another folder, or name one with --cache"
        ) from error


def map_private(file: BinaryIO, n: int) -> np.ndarray:
    """(n, 512) float16 of the file, mapped; the mapping lives on when the file is closed."""
    file.flush()
    if not n:
        return np.zeros((0, WIDTH), np.float16)
    mapped = mmap.mmap(file.fileno(), n * WIDTH * 2, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.float16).reshape(n, WIDTH)


def _read_video(
    video: Video,
    net: FaceNet,
    detector: FaceDetector | None,
    adapt: float,
    batch_size: int,
    progress: bool,
    file: BinaryIO,
) -> tuple["_Arrays", dict[str, Any]]:
    """Writes the vectors to `file`; returns the other arrays, and the other fields of a `FaceTrack`."""
    read = partial(_extract_to, file, video, net, adapt, batch_size, progress)
    arrays, problems = extract_with_retry(read, detector)
    fps, problems = float(video.fps or FPS), [*video.problems, *problems]
    if fps < MIN_FPS:
        problems.append(f"{fps:.3g} frames a second: an expression needs {MIN_FPS:g} or more to show")
    return arrays, {"fps": fps, "problems": tuple(problems), "weights": net.name}


def extract_with_retry(
    read: Callable[[FaceDetector], tuple], detector: FaceDetector | None
) -> tuple[tuple, list[str]]:
    """The result of `read(detector)`, and a list of problems.

    Without a detector OpenCV's cascades are used, and once more for small faces if they find none.
    A second person in the picture is one of the problems.

    Args:
        read: reads the video from its beginning and returns a tuple, first the states of its frames
            as indices into `STATES`.
    """
    counting = CountingDetector(detector or HaarDetector())
    result = read(counting)
    if (result[0] != STATES.index("missing")).any() or not len(result[0]):
        return result, counting.problems()
    if detector is not None:
        return result, [f"nobody seen: {counting.why_nobody()}"]
    small = CountingDetector(HaarDetector(SURE_NEIGHBORS, min_face=SMALL_FACE))
    result = read(small)
    nobody = (result[0] == STATES.index("missing")).all()
    return result, [
        f"no face of {MIN_FACE:.0%} of the picture's shorter side or more: looked for ones from "
        f"{SMALL_FACE:.0%} on",
        *([f"nobody seen: {small.why_nobody()}"] if nobody else []),
    ]


class _Arrays(NamedTuple):
    """All arrays of a `FaceTrack` but its vectors."""

    state: np.ndarray
    track: np.ndarray
    rest: np.ndarray
    stored: np.ndarray
    stored_at: np.ndarray
    boxes: np.ndarray
    damaged: np.ndarray


def _extract_to(
    file: BinaryIO,
    video: Video,
    net: FaceNet,
    adapt: float,
    batch_size: int,
    progress: bool,
    detector: FaceDetector,
) -> _Arrays:
    """Writes the vectors to `file`, from its beginning on."""
    from tqdm.auto import tqdm

    file.seek(0)
    net, stored, stored_at = _adapt_to(video, net, detector, adapt)
    tracked = tqdm(
        prefetch(track_boxes(prefetch(video.lazy_frames(FPS, MAX_SIDE), 16), detector), 32),
        total=round(video.duration_s * FPS) if video.duration_s else None,
        unit="frame",
        disable=not progress,
        desc=Path(video.path).name,
    )
    states, tracks, rests = [np.zeros(0, np.uint8)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    boxes, damaged = [np.zeros((0, 4), np.float32)], [np.zeros(0, bool)]
    scale = MAX_SIDE / max(MAX_SIDE, video.width, video.height)  # of the pictures that are searched
    last = np.zeros(WIDTH, np.float16), np.float32(0)  # of the frame before
    for chunk, new, out, rest in _forward(_chunks(tracked, batch_size), net):
        # A frame that repeats the one before has its vector; row 0 is that of the chunk before.
        out, rest = np.concatenate([[last[0]], out]), np.concatenate([[last[1]], rest])
        row = np.cumsum(new)
        hidden = np.array([face.box is None for face in chunk])
        last = out[-1], rest[-1]
        vectors, rest = out[row], rest[row]
        vectors[hidden], rest[hidden] = 0, 0
        file.write(vectors.tobytes())
        states.append(np.array([STATES.index(face.state) for face in chunk], np.uint8))
        tracks.append(np.array([face.track for face in chunk], np.int32))
        rests.append(rest)
        places = [(0, 0, 0, 0) if (b := face.box) is None else (b.x, b.y, b.size, b.roll) for face in chunk]
        boxes.append(np.array(places, np.float32) / np.array([scale, scale, scale, 1], np.float32))
        damaged.append(np.array([face.frame.damaged for face in chunk], bool))
    state, track, rest, box, broken = map(np.concatenate, (states, tracks, rests, boxes, damaged))
    return _Arrays(state, track, rest, stored, stored_at, box, broken)


def _adapt_to(
    video: Video, net: FaceNet, detector: FaceDetector, adapt: float
) -> tuple[FaceNet, np.ndarray, np.ndarray]:
    """The folded network to read a video with, and `stored` and `stored_at` of its `FaceTrack`."""
    if not adapt:
        return fold_batch_norms(net), np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int32)
    crops, times_s = spread_faces(video, detector, CROP)
    with _one_core_each() as pool:
        adapted = pool.submit(adapted_net, net, crops, adapt)
        plain = fold_batch_norms(net)
        parts = [crops[i : i + READ_AT_ONCE] for i in range(0, len(crops), READ_AT_ONCE)]
        vectors = [part.half().numpy(force=True) for part in pool.map(partial(vectors_of, plain), parts)]
        stored = np.concatenate([np.zeros((0, WIDTH), np.float16), *vectors])
        return fold_batch_norms(adapted.result()), stored, np.round(times_s * FPS).astype(np.int32)


def crops_of(video: Video, detector: FaceDetector) -> Iterator[tuple[np.ndarray | None, str, int]]:
    """Face crop (112, 112, 3) uint8 or None, state and face number of each frame at 30 fps."""
    face = None
    for chunk in _chunks(track_boxes(video.lazy_frames(FPS, MAX_SIDE), detector), 1):
        ((tracked, new),) = chunk
        if new:
            face = crop(tracked.frame.image, tracked.box, CROP)
        yield (None if tracked.box is None else face), tracked.state, tracked.track


def _chunks(tracked: Iterable[Tracked], size: int) -> Iterator[list[tuple[Tracked, bool]]]:
    """Lists of `size` frames; with each whether it has a face to be read.

    A picture shown again is not: it has the crop and the vector of its first frame with that face.
    """
    chunk: list[tuple[Tracked, bool]] = []
    picture, number = None, -1
    for face in tracked:
        new = face.box is not None and (face.frame.picture is not picture or face.track != number)
        if new:
            picture, number = face.frame.picture, face.track
        chunk.append((face, new))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _forward(
    chunks: Iterable[list[tuple[Tracked, bool]]], net: FaceNet
) -> Iterator[tuple[list[Tracked], np.ndarray, np.ndarray, np.ndarray]]:
    """Crops and reads chunks of frames, several at a time.

    Yields:
        In order, the frames (B), which of them were read (B,) bool, and the vectors (N, 512) float16
        and `rest` (N,) of those.
    """
    ahead = torch.get_num_threads() + 1
    with _one_core_each() as pool:
        waiting: deque[Future] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_read_chunk, net, chunk))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _one_core_each() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch has, in each of which it takes one processor core.

    Results are therefore the same with any number of threads.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def _read_chunk(
    net: FaceNet, chunk: list[tuple[Tracked, bool]]
) -> tuple[list[Tracked], np.ndarray, np.ndarray, np.ndarray]:
    faces = [crop(face.frame.image, face.box, CROP) for face, new in chunk if new]
    vectors, rest = np.zeros((len(faces), WIDTH), np.float16), np.zeros(len(faces), np.float32)
    if faces:
        out = vectors_of(net, np.stack(faces))
        vectors = out.half().numpy(force=True)
        if net.heads is not None:
            rest = net.rest(out).numpy(force=True)
    return [face for face, _ in chunk], np.array([new for _, new in chunk]), vectors, rest


def prefetch(items: Iterable, ahead: int = 128) -> Iterator:
    """The same items, computed in a thread: decoding and face search overlap with the network."""
    ready: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                while not stop.is_set():
                    try:
                        ready.put((item, None), timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
            ready.put((None, StopIteration()))
        except BaseException as error:  # handed to the consumer, who raises it
            ready.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, end = ready.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item
    finally:
        stop.set()

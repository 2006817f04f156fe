"""From a video to its face vectors: decode, track the face, crop, and run the network; memory stays flat."""

import errno
import queue
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.adaptation import check_share, spread_faces
from fedet.faces.detectors import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, FaceDetector, HaarDetector
from fedet.faces.landmarks import HIDDEN, SIZE, LandmarkNet, placed, read_crops
from fedet.faces.network import WIDTH, FaceNet, adapted_net, fold_batch_norms, vectors_of
from fedet.faces.points import POINTS
from fedet.faces.tracking import CountingDetector, Tracked, crop, track_boxes
from fedet.faces.vectors import (
    ARRAYS,
    FPS,
    POINTS_EVERY,
    STATES,
    FaceTrack,
    KeptPoints,
    arrays_of,
    cache_file,
    load_track,
    save_arrays,
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
    landmarks: LandmarkNet | None = None,
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
        landmarks: also reads the points of the face, in the same pass.

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
            return _with_points(load_track(target), target, video, landmarks, progress)
    read = partial(_read_video, video, _Networks(net, landmarks), detector, adapt, batch_size, progress)
    if target is None:
        with private_file() as file:
            arrays, notes = read(file)
            vectors = map_private(file, len(arrays.state))
        return FaceTrack(vectors, **arrays._asdict(), **notes)
    with atomic_write(target) as part, part.open("wb") as file:
        arrays, notes = read(file)
    kept = {name: values for name, values in arrays._asdict().items() if name in ARRAYS}
    kept |= arrays_of(arrays.points)
    save_cached(target, kept, notes | {"digest": net.digest, "adapt": adapt})
    return load_track(target)


def _with_points(
    track: FaceTrack, target: Path, video: Video, net: LandmarkNet | None, progress: bool
) -> FaceTrack:
    """The cached track with the points of its face; read from the video, and kept, if they are not there."""
    if net is None or points_by(net, track) is not None:
        return track
    points = read_points(video, net, track.boxes, progress)
    arrays = {name: values for name in ARRAYS if (values := getattr(track, name)) is not None}
    save_arrays(target, arrays | arrays_of(points))
    return replace(track, points=points)


def points_by(net: LandmarkNet, track: FaceTrack) -> KeptPoints | None:
    """The points that this very network read of a face; None where it did not."""
    return track.points if track.points is not None and track.points.digest == net.digest else None


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
    return np.memmap(file, np.float16, "r", shape=(n, WIDTH))


class _Networks(NamedTuple):
    """What reads the faces of one video; None: not asked for."""

    vectors: FaceNet | None
    points: LandmarkNet | None


def _read_video(
    video: Video,
    nets: _Networks,
    detector: FaceDetector | None,
    adapt: float,
    batch_size: int,
    progress: bool,
    file: BinaryIO,
) -> tuple["_Arrays", dict[str, Any]]:
    """Writes the vectors to `file`; returns the other arrays, and the other fields of a `FaceTrack`."""
    folded = nets.points and fold_batch_norms(nets.points)
    read = partial(_extract_to, file, video, nets._replace(points=folded), adapt, batch_size, progress)
    arrays, problems = extract_with_retry(read, detector)
    fps, problems = float(video.fps or FPS), [*video.problems, *problems]
    if fps < MIN_FPS:
        problems.append(f"{fps:.3g} frames a second: an expression needs {MIN_FPS:g} or more to show")
    return arrays, {"fps": fps, "problems": tuple(problems), "weights": nets.vectors.name}


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
    boxes: np.ndarray
    damaged: np.ndarray
    stored: np.ndarray
    stored_at: np.ndarray
    points: KeptPoints | None


def _extract_to(
    file: BinaryIO,
    video: Video,
    nets: _Networks,
    adapt: float,
    batch_size: int,
    progress: bool,
    detector: FaceDetector,
) -> _Arrays:
    """Writes the vectors to `file`, from its beginning on."""
    file.seek(0)
    adapted, stored, stored_at = _adapt_to(video, nets.vectors, detector, adapt)
    tracked = prefetch(track_boxes(prefetch(video.lazy_frames(FPS, MAX_SIDE), 16), detector), 32)
    tracked = _with_progress(tracked, video, progress)
    scale = MAX_SIDE / max(MAX_SIDE, video.width, video.height)  # of the pictures that are searched
    rows = [_row_arrays([], np.zeros(0, np.float32), scale)]
    points = _PointRows(nets.points)
    carried = _Carried(np.zeros(WIDTH, np.float16), np.float32(0))
    for chunk, vectors, rest, *read in _forward(_chunks(tracked, batch_size), nets._replace(vectors=adapted)):
        vectors, rest = carried.rows([(s.face, s.vector) for s in chunk], vectors, rest)
        file.write(vectors.tobytes())
        rows.append(_row_arrays([seen.face for seen in chunk], rest, scale))
        points.add(chunk, *read)
    arrays = map(np.concatenate, zip(*rows, strict=True))
    return _Arrays(*arrays, stored, stored_at, points.kept())


def _with_progress(tracked: Iterable[Tracked], video: Video, progress: bool) -> Iterable[Tracked]:
    from tqdm.auto import tqdm

    total = round(video.duration_s * FPS) if video.duration_s else None
    return tqdm(tracked, total=total, unit="frame", disable=not progress, desc=Path(video.path).name)


def _row_arrays(faces: list[Tracked], rest: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """The first five of `_Arrays`, for some frames; `scale` is that of the pictures with the boxes."""
    places = [(0, 0, 0, 0) if (b := face.box) is None else (b.x, b.y, b.size, b.roll) for face in faces]
    boxes = np.array(places, np.float32).reshape(-1, 4) / np.array([scale, scale, scale, 1], np.float32)
    return (
        np.array([STATES.index(face.state) for face in faces], np.uint8),
        np.array([face.track for face in faces], np.int32),
        rest, boxes, np.array([face.frame.damaged for face in faces], bool),
    )  # fmt: skip


class _Carried:
    """What was read of faces, spread over the frames: a picture shown again has the row of its first."""

    def __init__(self, *none: np.ndarray | np.generic) -> None:
        self.last = none  # of the frame before

    def rows(self, faces: list[tuple[Tracked, bool]], *read: np.ndarray) -> list[np.ndarray]:
        """A row for each face, which was read or not, from one for each that was; 0 without a box."""
        filled = [np.concatenate([[last], values]) for last, values in zip(self.last, read, strict=True)]
        self.last = tuple(values[-1] for values in filled)
        row = np.cumsum([new for _, new in faces], dtype=int)
        hidden = np.array([face.box is None for face, _ in faces], bool)
        out = [values[row] for values in filled]
        for values in out:
            values[hidden] = 0
        return out


class _PointRows:
    """Collects what the landmark network reads, at every `POINTS_EVERY`th frame."""

    def __init__(self, net: LandmarkNet | None) -> None:
        self.digest = None if net is None else net.digest
        none = np.zeros((len(POINTS), 2), np.float16), np.zeros(HIDDEN, np.float16)
        self.carried, self.parts = _Carried(*none), [tuple(values[None][:0] for values in none)]

    def add(self, chunk: "list[_Seen]", points: np.ndarray, state: np.ndarray) -> None:
        due = [(s.face, s.points) for s in chunk if s.face.frame.index % POINTS_EVERY == 0]
        if self.digest is not None and due:
            self.parts.append(tuple(self.carried.rows(due, points, state)))

    def kept(self) -> KeptPoints | None:
        if self.digest is None:
            return None
        return KeptPoints(*map(np.concatenate, zip(*self.parts, strict=True)), self.digest)


def read_points(
    video: Video, net: LandmarkNet, boxes: np.ndarray | None = None, progress: bool = False
) -> KeptPoints:
    """The points of the face along a video whose vectors were read before; `extract` reads both at once.

    Args:
        boxes: (T, 4) as of a `FaceTrack`; None: the face is searched and followed.

    Raises InputError where the video cannot be read.
    """
    frames = video.lazy_frames(FPS, MAX_SIDE)
    scale = MAX_SIDE / max(MAX_SIDE, video.width, video.height)
    found = track_boxes(frames, HaarDetector()) if boxes is None else placed(frames, boxes, scale)
    tracked = _with_progress(prefetch(found, 32), video, progress)
    rows, nets = _PointRows(net), _Networks(None, fold_batch_norms(net))
    for chunk, _, _, *read in _forward(_chunks(tracked, 3 * READ_AT_ONCE), nets):
        rows.add(chunk, *read)
    kept = rows.kept()
    assert kept is not None  # there is a network
    return kept


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


class _Seen(NamedTuple):
    """A frame, and which networks are to read its face."""

    face: Tracked
    vector: bool
    points: bool


class _Unread:
    """Says which faces are to be read: a picture shown again was, with the same face."""

    def __init__(self) -> None:
        self.picture: object = None
        self.track = -1

    def __call__(self, face: Tracked) -> bool:
        new = face.box is not None and (face.frame.picture is not self.picture or face.track != self.track)
        if new:
            self.picture, self.track = face.frame.picture, face.track
        return new


def crops_of(video: Video, detector: FaceDetector) -> Iterator[tuple[np.ndarray | None, str, int]]:
    """Face crop (112, 112, 3) uint8 or None, state and face number of each frame at 30 fps."""
    cut, unread = None, _Unread()
    for face in track_boxes(video.lazy_frames(FPS, MAX_SIDE), detector):
        if unread(face):
            cut = crop(face.frame.image, face.box, CROP)
        yield (None if face.box is None else cut), face.state, face.track


def _chunks(tracked: Iterable[Tracked], size: int) -> Iterator[list[_Seen]]:
    """Lists of `size` frames, each with what is to be read of it."""
    chunk: list[_Seen] = []
    for_vectors, for_points = _Unread(), _Unread()
    for face in tracked:
        due = face.frame.index % POINTS_EVERY == 0
        chunk.append(_Seen(face, for_vectors(face), due and for_points(face)))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


_Read = tuple[list[_Seen], np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `_forward`


def _forward(chunks: Iterable[list[_Seen]], nets: _Networks) -> Iterator[_Read]:
    """Crops and reads chunks of frames, several at a time.

    Yields:
        In order, the frames, the vectors (N, 512) float16 and `rest` (N,) of those that were read, and
        points (M, P, 2) and state (M, 256) float16, as `KeptPoints` has them, of those whose points were.
    """
    ahead = torch.get_num_threads() + 1
    with _one_core_each() as pool:
        waiting: deque[Future] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_read_chunk, nets, chunk))
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


def _read_chunk(nets: _Networks, chunk: list[_Seen]) -> _Read:
    faces, smaller = [], []
    for face, to_vector, to_points in chunk:
        to_vector, to_points = to_vector and nets.vectors is not None, to_points and nets.points is not None
        image = face.frame.image if to_vector or to_points else None  # converted once
        if to_vector:
            faces.append(crop(image, face.box, CROP))
        if to_points:
            smaller.append(crop(image, face.box, SIZE))
    vectors, rest = np.zeros((len(faces), WIDTH), np.float16), np.zeros(len(faces), np.float32)
    if faces:
        out = vectors_of(nets.vectors, np.stack(faces))
        vectors = out.half().numpy(force=True)
        if nets.vectors.heads is not None:
            rest = nets.vectors.rest(out).numpy(force=True)
    points, state = np.zeros((0, len(POINTS), 2), np.float16), np.zeros((0, HIDDEN), np.float16)
    if smaller:
        found, _, seen = read_crops(nets.points, smaller)
        points, state = (found - 0.5).astype(np.float16), seen.astype(np.float16)
    return chunk, vectors, rest, points, state


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

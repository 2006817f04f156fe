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
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.adaptation import check_share, spread_faces
from fedet.faces.detectors import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, Box, FaceDetector, HaarDetector
from fedet.faces.landmarks import HIDDEN, SIZE, LandmarkNet, placed, read_crops
from fedet.faces.network import (
    WIDTH,
    FaceNet,
    adapted_net,
    check_precision,
    fold_batch_norms,
    for_inference,
    vectors_of,
)
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
AHEAD = 512  # frames whose crops wait for the network, 23 MB; meanwhile it is adapted to the video
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
    precision: str = "fp32",
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
        precision: "fp32", "bf16" or "auto", see `check_precision`; in bf16 some 1.7 times as fast.

    Memory stays flat: vectors go to a file (1 kB a frame) and are mapped from there, and pictures whose
    longer side is above `MAX_SIDE` are reduced to it as they are decoded.
    Raises InputError where the video cannot be read at all, or `adapt` is no share.
    """
    check_share(adapt)
    precision = check_precision(precision)
    video = opened or open_video(path)
    facts = path, net, detector, video.fps, search_version(video, precision), adapt
    target = cache_file(Path(cache), *facts) if cache else None
    if target and target.with_suffix(".json").exists():
        with suppress(InputError):
            return _with_points(load_track(target), target, video, landmarks, progress)
    nets = _Networks(net, landmarks, precision)
    read = partial(_read_video, video, nets, detector, adapt, batch_size, progress)
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
    precision: str = "fp32"  # of the first


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


class _Seen(NamedTuple):
    """A frame without its picture: where the face is, and what is cut out of it to be read."""

    index: int
    damaged: bool
    box: Box | None
    state: str
    track: int
    face: np.ndarray | None  # (112, 112, 3); None without a face, or where it was read before
    smaller: np.ndarray | None  # (96, 96, 3) for the landmark network


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
    adapted = _in_thread(_adapt_to, video, nets, detector, adapt, torch.get_num_threads())
    tracked = prefetch(track_boxes(prefetch(video.lazy_frames(FPS, MAX_SIDE), 16), detector), 8)
    seen = _with_progress(prefetch(_cut(tracked, nets), AHEAD), video, progress)
    scale = MAX_SIDE / max(MAX_SIDE, video.width, video.height)  # of the pictures that are searched
    rows = [_row_arrays([], np.zeros(0, np.float32), scale)]
    points = _PointRows(nets.points)
    carried = _Carried(np.zeros(WIDTH, np.float16), np.float32(0))
    for chunk, vectors, rest, *read in _forward(_chunks(seen, batch_size), adapted, nets.points):
        vectors, rest = carried.rows([(s.box, s.face) for s in chunk], vectors, rest)
        file.write(vectors.tobytes())
        rows.append(_row_arrays(chunk, rest, scale))
        points.add(chunk, *read)
    arrays = map(np.concatenate, zip(*rows, strict=True))
    _, stored, stored_at = adapted.result()
    return _Arrays(*arrays, stored, stored_at, points.kept())


def _in_thread(call: Callable, *arguments: Any) -> Future:
    """The result of `call`, or its exception, as a future. A process that is stopped waits for the thread:
    Python would abort if it ended while the network runs in it."""
    future: Future = Future()

    def work() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=work).start()
    return future


def _with_progress(seen: Iterable[_Seen], video: Video, progress: bool) -> Iterable[_Seen]:
    from tqdm.auto import tqdm

    total = round(video.duration_s * FPS) if video.duration_s else None
    return tqdm(seen, total=total, unit="frame", disable=not progress, desc=Path(video.path).name)


def _row_arrays(chunk: list[_Seen], rest: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """The first five of `_Arrays`, for some frames; `scale` is that of the pictures with the boxes."""
    places = [(0, 0, 0, 0) if (b := seen.box) is None else (b.x, b.y, b.size, b.roll) for seen in chunk]
    boxes = np.array(places, np.float32).reshape(-1, 4) / np.array([scale, scale, scale, 1], np.float32)
    return (
        np.array([STATES.index(seen.state) for seen in chunk], np.uint8),
        np.array([seen.track for seen in chunk], np.int32),
        rest, boxes, np.array([seen.damaged for seen in chunk], bool),
    )  # fmt: skip


class _Carried:
    """What was read of faces, spread over the frames: a picture shown again has the row of its first."""

    def __init__(self, *none: np.ndarray | np.generic) -> None:
        self.last = none  # of the frame before

    def rows(self, faces: list[tuple[Box | None, np.ndarray | None]], *read: np.ndarray) -> list[np.ndarray]:
        """A row for each box and crop, from one for each crop that was read; 0 without a box."""
        filled = [np.concatenate([[last], values]) for last, values in zip(self.last, read, strict=True)]
        self.last = tuple(values[-1] for values in filled)
        row = np.cumsum([cut is not None for _, cut in faces], dtype=int)
        hidden = np.array([box is None for box, _ in faces], bool)
        out = [values[row] for values in filled]
        for values in out:
            values[hidden] = 0
        return out


class _PointRows:
    """Collects what the landmark network reads, at every `POINTS_EVERY`th frame."""

    def __init__(self, net: LandmarkNet | None) -> None:
        self.digest = None if net is None else net.digest
        self.carried = _Carried(*(values[0] for values in no_points(1, "")[:2]))
        self.parts = [no_points(0, "")[:2]]

    def add(self, chunk: list[_Seen], points: np.ndarray, state: np.ndarray) -> None:
        due = [(s.box, s.smaller) for s in chunk if s.index % POINTS_EVERY == 0]
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
    seen = _with_progress(prefetch(_cut(found, _Networks(None, net)), AHEAD), video, progress)
    rows = _PointRows(net)
    for chunk, _, _, *read in _forward(_chunks(seen, 3 * READ_AT_ONCE), None, fold_batch_norms(net)):
        rows.add(chunk, *read)
    kept = rows.kept()
    assert kept is not None  # there is a network
    return kept


class _Adapted(NamedTuple):
    """The network to read a video with, and the same fields of its `FaceTrack`."""

    net: FaceNet
    stored: np.ndarray
    stored_at: np.ndarray


def _adapt_to(video: Video, nets: _Networks, detector: FaceDetector, adapt: float, threads: int) -> _Adapted:
    """The network adapted to the video, for inference."""
    net, _, precision = nets
    assert net is not None
    if not adapt:
        return _Adapted(
            for_inference(net, precision), np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int32)
        )
    crops, times_s = spread_faces(video, detector, CROP)
    with one_core_each(threads) as pool:
        adapted = pool.submit(adapted_net, net, crops, adapt)
        plain = for_inference(net, precision)
        parts = [crops[i : i + READ_AT_ONCE] for i in range(0, len(crops), READ_AT_ONCE)]
        vectors = [part.half().numpy(force=True) for part in pool.map(partial(vectors_of, plain), parts)]
        stored = np.concatenate([np.zeros((0, WIDTH), np.float16), *vectors])
        at = np.round(times_s * FPS).astype(np.int32)
        return _Adapted(for_inference(adapted.result(), precision), stored, at)


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


def _cut(tracked: Iterable[Tracked], nets: _Networks) -> Iterator[_Seen]:
    """The frames with what is to be read of each; its picture is converted once and then let go."""
    for_vectors, for_points = _Unread(), _Unread()
    for tracked_face in tracked:
        frame, box, state, track = tracked_face
        face = smaller = None
        to_vector = nets.vectors is not None and for_vectors(tracked_face)
        to_points = nets.points is not None and frame.index % POINTS_EVERY == 0 and for_points(tracked_face)
        if to_vector or to_points:
            image = frame.image
            face = crop(image, box, CROP) if to_vector else None
            smaller = crop(image, box, SIZE) if to_points else None
        yield _Seen(frame.index, frame.damaged, box, state, track, face, smaller)


def _chunks(seen: Iterable[_Seen], size: int) -> Iterator[list[_Seen]]:
    """Lists of `size` frames."""
    rest = iter(seen)
    while chunk := list(islice(rest, size)):
        yield chunk


_Read = tuple[list[_Seen], np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `_forward`


def _forward(
    chunks: Iterable[list[_Seen]], adapted: "Future[_Adapted] | None", points: LandmarkNet | None
) -> Iterator[_Read]:
    """Reads chunks of frames, several at a time.

    Yields:
        In order, the frames, the vectors (N, 512) float16 and `rest` (N,) of those that were read, and
        points (M, P, 2) and state (M, 256) float16, as `KeptPoints` has them, of those whose points were.
    """
    threads = torch.get_num_threads()
    with one_core_each(threads) as pool:
        waiting: deque[Future] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_read_chunk, chunk, adapted, points))
            if len(waiting) > threads + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def one_core_each(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch takes one processor core.

    Results are therefore the same with any number of threads.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=_take_one_core) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _take_one_core() -> None:
    torch.get_num_threads()  # else this thread's number becomes that of all when it is first needed
    torch.set_num_threads(1)


def _read_chunk(
    chunk: list[_Seen], adapted: "Future[_Adapted] | None", points_net: LandmarkNet | None
) -> _Read:
    faces = [seen.face for seen in chunk if seen.face is not None]
    vectors, rest = np.zeros((len(faces), WIDTH), np.float16), np.zeros(len(faces), np.float32)
    if faces and adapted is not None:
        net = adapted.result().net
        out = vectors_of(net, np.stack(faces))
        vectors = out.half().numpy(force=True)
        if net.heads is not None:
            rest = net.rest(out).numpy(force=True)
    smaller = [seen.smaller for seen in chunk if seen.smaller is not None]
    return chunk, vectors, rest, *points_in(smaller, points_net)


def points_in(crops: list[np.ndarray], net: LandmarkNet | None) -> tuple[np.ndarray, np.ndarray]:
    """Points and state as of `KeptPoints`, a row for each of the crops (96, 96, 3) uint8."""
    if net is None or not crops:
        return no_points(0, "")[:2]
    found, _, state = read_crops(net, crops)
    return (found - 0.5).astype(np.float16), state.astype(np.float16)


def no_points(rows: int, digest: str) -> KeptPoints:
    """Those of frames without a face."""
    points, state = np.zeros((rows, len(POINTS), 2), np.float16), np.zeros((rows, HIDDEN), np.float16)
    return KeptPoints(points, state, digest)


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

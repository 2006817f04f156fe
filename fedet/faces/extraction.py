"""From a video to its face vectors: decode, track the face, crop, and run the network; memory stays flat."""

import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from fedet.errors import InputError
from fedet.faces.adaptation import check_share, spread_faces
from fedet.faces.detectors import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, FaceDetector, HaarDetector
from fedet.faces.network import WIDTH, FaceNet, adapted_net, fold_batch_norms, vectors_of
from fedet.faces.tracking import CountingDetector, crop, track_faces
from fedet.faces.vectors import (
    FPS,
    STATES,
    FaceTrack,
    cache_file,
    load_track,
    map_vectors,
    save_cached,
    search_version,
)
from fedet.video.reader import MAX_SIDE, Video, open_video

CROP = 112  # side of the face crops, pixels


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
    handle, name = tempfile.mkstemp(dir=target.parent if target else None, suffix=".f16")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            read = partial(_extract_to, file, video, net, adapt, batch_size, progress)
            arrays, problems = extract_with_retry(read, detector)
        fps, problems = float(video.fps or FPS), [*video.problems, *problems]
        if target:
            os.replace(temporary, target)
            notes = {"fps": fps, "problems": problems, "weights": net.name, "digest": net.digest}
            save_cached(target, arrays._asdict(), notes | {"adapt": adapt})
            return load_track(target)
        vectors = map_vectors(temporary, len(arrays.state))
        return FaceTrack(vectors, fps=fps, problems=tuple(problems), weights=net.name, **arrays._asdict())
    finally:
        temporary.unlink(missing_ok=True)  # a mapped file lives until the mapping is dropped


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
    if detector is not None or not len(result[0]) or (result[0] != STATES.index("missing")).any():
        return result, counting.problems()
    small = HaarDetector(SURE_NEIGHBORS, min_face=SMALL_FACE)
    return read(small), [
        f"no face of {MIN_FACE:.0%} of the picture's shorter side or more: looked for ones from "
        f"{SMALL_FACE:.0%} on"
    ]


class _Arrays(NamedTuple):
    """All arrays of a `FaceTrack` but its vectors."""

    state: np.ndarray
    track: np.ndarray
    rest: np.ndarray
    stored: np.ndarray
    stored_at: np.ndarray


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
    frames = tqdm(
        prefetch(crops_of(video, detector)),
        total=round(video.duration_s * FPS) if video.duration_s else None,
        unit="frame",
        disable=not progress,
        desc=Path(video.path).name,
    )
    rest, states, tracks = [np.zeros(0, np.float32)], [], []
    batch: list[np.ndarray | None] = []
    for face, state, track in frames:
        batch.append(face)
        states.append(STATES.index(state))
        tracks.append(track)
        if len(batch) == batch_size:
            rest.append(_write_vectors(file, net, batch))
            batch = []
    if batch:
        rest.append(_write_vectors(file, net, batch))
    state, track = np.array(states, np.uint8), np.array(tracks, np.int32)
    return _Arrays(state, track, np.concatenate(rest), stored, stored_at)


def _adapt_to(
    video: Video, net: FaceNet, detector: FaceDetector, adapt: float
) -> tuple[FaceNet, np.ndarray, np.ndarray]:
    """The folded network to read a video with, and `stored` and `stored_at` of its `FaceTrack`."""
    if not adapt:
        return fold_batch_norms(net), np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int32)
    crops, times_s = spread_faces(video, detector, CROP)
    stored = vectors_of(net, crops).half().numpy() if len(crops) else np.zeros((0, WIDTH), np.float16)
    adapted = fold_batch_norms(adapted_net(net, crops, adapt))
    return adapted, stored, np.round(times_s * FPS).astype(np.int32)


def crops_of(video: Video, detector: FaceDetector) -> Iterator[tuple[np.ndarray | None, str, int]]:
    """Face crop (112, 112, 3) uint8 or None, state and face number of each frame at 30 fps."""
    for frame in track_faces(video.frames(fps=FPS, max_side=MAX_SIDE), detector):
        face = crop(frame.image, frame.box, CROP) if frame.box is not None else None
        yield face, frame.state, frame.track


def _write_vectors(file: BinaryIO, net: FaceNet, batch: list[np.ndarray | None]) -> np.ndarray:
    """Writes the vectors of a batch of crops, zeros where there is none; returns `rest` (B,)."""
    visible = [i for i, face in enumerate(batch) if face is not None]
    vectors, rest = np.zeros((len(batch), WIDTH), np.float16), np.zeros(len(batch), np.float32)
    if visible:
        out = vectors_of(net, np.stack([batch[i] for i in visible]))
        vectors[visible] = out.half().numpy()
        if net.heads is not None:
            rest[visible] = net.rest(out).numpy()
    file.write(vectors.tobytes())
    return rest


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

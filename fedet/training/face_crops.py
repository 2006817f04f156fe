"""The face crops of whole videos, cut once and cached: what a network is tuned on end to end.

They are personal data as the videos are: `cache` is a folder of pictures of faces.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fedet.datasets.dataset import Dataset
from fedet.detection import Inputs, concat_signals
from fedet.errors import InputError
from fedet.faces.adaptation import spread_faces
from fedet.faces.detectors import FaceDetector
from fedet.faces.extraction import CROP, crops_of, extract_with_retry, prefetch
from fedet.faces.network import WIDTH, FaceNet, adapted_net, fold_batch_norms, vectors_of
from fedet.faces.vectors import (
    CACHE_ERRORS,
    FPS,
    STATES,
    FaceTrack,
    check_file_size,
    damaged_cache,
    file_identity,
    save_cached,
    search_version,
)
from fedet.features import change_from_rest, face_channels
from fedet.files import atomic_write
from fedet.intervals import empty_table
from fedet.training.records import record_of, videos_of
from fedet.video.reader import Video, open_video
from fedet.video.side_signals import training_signals
from fedet.windows import VideoFeatures


@dataclass(frozen=True, eq=False)
class FaceVideo(VideoFeatures):
    """A video as the detector reads it, and its face crops."""

    crops: np.ndarray  # (T, 112, 112, 3) uint8, mapped from a file; black where there is no face
    faces: FaceTrack  # vectors of the network whose changes from rest `vectors` are
    spread: np.ndarray  # (N, 112, 112, 3) uint8, as of `Crops`


@dataclass(frozen=True, eq=False)
class Crops:
    """The face of one video at 30 frames a second, before any network reads it."""

    images: np.ndarray  # (T, 112, 112, 3) uint8
    state: np.ndarray  # (T,) uint8, index into STATES
    track: np.ndarray  # (T,) int32, which face; -1 where none
    fps: float  # nominal rate of the video itself
    problems: tuple[str, ...]
    spread: np.ndarray  # (N, 112, 112, 3) uint8, of `fedet.faces.adaptation.spread_faces`


def cut_crops(
    path: str | Path,
    cache: str | Path,
    detector: FaceDetector | None = None,
    opened: Video | None = None,
) -> Crops:
    """The crops that `fedet.faces.extraction.extract` gives to its network, in a file of `cache`.

    A frame takes 38 kB there. `detector` is as for `extract`: None looks for small faces where there
    are no larger ones.

    Raises InputError where the video cannot be read at all.
    """
    video = opened or open_video(path)
    cached = _cache_path(Path(cache), Path(path), detector, video)
    if cached.with_suffix(".json").exists():
        with suppress(InputError):  # damaged: cut anew
            return _read_crops(cached)
    with atomic_write(cached) as part, part.open("wb") as file:
        (state, track, spread), problems = extract_with_retry(partial(_cut_into, file, video), detector)
    notes = {"fps": float(video.fps or FPS), "problems": [*video.problems, *problems]}
    save_cached(cached, {"state": state, "track": track, "spread": spread}, notes)
    return _read_crops(cached)


def _cut_into(
    file: BinaryIO, video: Video, detector: FaceDetector
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Writes the crops to `file`; returns states (T,) uint8, face numbers (T,) int32 and `Crops.spread`."""
    state, track, spread = [], [], spread_faces(video, detector, CROP).crops
    file.seek(0)
    for face, status, number in prefetch(crops_of(video, detector)):
        picture = np.zeros((CROP, CROP, 3), np.uint8) if face is None else face
        file.write(np.ascontiguousarray(picture).tobytes())
        state.append(STATES.index(status))
        track.append(number)
    return np.array(state, np.uint8), np.array(track, np.int32), spread


def _read_crops(path: Path) -> Crops:
    try:
        notes = json.loads(path.with_suffix(".json").read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            state, track, spread = arrays["state"], arrays["track"], arrays["spread"]
        shape = (len(state), CROP, CROP, 3)
        check_file_size(path, len(state), CROP * CROP * 3)
        images = np.memmap(path, np.uint8, "r", shape=shape) if len(state) else np.zeros(shape, np.uint8)
        return Crops(images, state, track, notes["fps"], tuple(notes["problems"]), spread)
    except CACHE_ERRORS as error:
        raise damaged_cache(path, error) from error


def _cache_path(folder: Path, path: Path, detector: FaceDetector | None, video: Video) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; name a video, or a folder of numbered images")
    facts = f"{file_identity(path)} {type(detector).__name__} {video.fps} {CROP} {search_version(video)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.stem}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.crops"


def track_from_crops(
    crops: Crops | FaceTrack, images: np.ndarray, net: FaceNet, batch_size: int = 32
) -> FaceTrack:
    """The vectors of the crops; equal to `extract` of the video.

    Where `extract` is given a share `adapt`, so is `net`: see `fedet.faces.network.adapted_net`.

    Args:
        crops: for states, tracks and rate. images: (T, 112, 112, 3) uint8.
    """
    n = len(images)
    vectors, rest = np.zeros((n, WIDTH), np.float16), np.zeros(n, np.float32)
    visible = crops.state != STATES.index("missing")
    folded_net = fold_batch_norms(net)
    for start in range(0, n, batch_size):
        frames = start + np.flatnonzero(visible[start : start + batch_size])
        if len(frames):
            out = vectors_of(folded_net, np.asarray(images[frames]))
            vectors[frames] = out.half().numpy(force=True)
            if net.heads is not None:
                rest[frames] = net.rest(out).numpy(force=True)
    return FaceTrack(vectors, rest, crops.state, crops.track, crops.fps, crops.problems, net.name)


def features_with(video: FaceVideo, net: FaceNet, inputs: Inputs, labels: bool = True) -> VideoFeatures:
    """The video's features with another face network; without its events if not `labels`."""
    faces = track_from_crops(video.faces, video.crops, adapted_net(net, video.spread, inputs.adapt))
    change = face_channels(change_from_rest(faces, inputs.reference, inputs.context_s), net, inputs.reads)
    side = np.asarray(video.vectors[:, change.shape[1] :]) if inputs.signals else None
    events = video.events if labels else empty_table()
    vectors = concat_signals(change, inputs, side)
    return VideoFeatures(video.subject, video.video, video.fps, vectors, video.mask, events)


def face_videos_of(
    dataset: Dataset,
    net: FaceNet,
    inputs: Inputs,
    cache: str | Path,
    progress: bool = True,
    videos: Sequence[str] | None = None,
    sources: Mapping[str, str | Path] | None = None,
    detector: FaceDetector | None = None,
) -> list[FaceVideo]:
    """As `fedet.training.records.records_of`, with the crops; `cache` is their folder."""
    records = []
    if "face" in dataset.videos and dataset.videos["face"].notna().any():
        video = dataset.videos.loc[dataset.videos["face"].notna(), "video"].iloc[0]
        raise InputError(
            f"{dataset.root}: video {video!r} shows several people; the face network learns from videos "
            "of one: take it out of the table, or train without it"
        )
    for row, events in videos_of(dataset, videos, progress, "cutting faces"):
        crops = cut_crops(row.path, cache, detector, dataset.open(row.video))
        faces = track_from_crops(crops, crops.images, adapted_net(net, crops.spread, inputs.adapt))
        side = training_signals(row.path, inputs.signals, len(faces.state), FPS, sources)
        record = record_of(row.subject, row.video, faces, events, float(row.fps), net, inputs, side)
        records.append(FaceVideo(**vars(record), crops=crops.images, faces=faces, spread=crops.spread))
    return records

"""Emotion curves of another classifier, run over a video, or of the files of py-feat and OpenFace."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.faces.detectors import Box, FaceDetector, HaarDetector
from fedet.faces.extraction import points_by, read_points
from fedet.faces.geometry import distances
from fedet.faces.landmarks import LandmarkNet, Landmarks, load_landmarks
from fedet.faces.tracking import track_faces
from fedet.faces.vectors import POINTS_EVERY, FaceTrack, KeptPoints
from fedet.intervals import EMOTIONS
from fedet.second_opinion.classifier import Classifier, Run, open_classifier
from fedet.video.reader import MAX_SIDE, Frame, Video, open_video
from fedet.video.side_signals import (
    OPENFACE_AUS,
    FaceBoxes,
    csv_of,
    on_grid,
    own_face,
    pyfeat_centres,
    read_openface,
)

FPS = 30.0  # frames a second of all curves, those that the detector reads
PICTURES = 32  # run at once
CHUNK = 4096  # readings of a face in single precision at once
SHARED = 0.5  # of its `negative` also counts as `others`
# py-feat's columns, after its Emotion_Columns; `neutral` counts as none.
PYFEAT_EMOTIONS = {
    "anger": "negative", "disgust": "negative", "fear": "negative", "happiness": "positive",
    "sadness": "negative", "surprise": "surprise",
}  # fmt: skip
# What AUs of OpenFace count as; the strongest decides (our choice, after the prototypes of EMFACS).
OPENFACE_EMOTIONS = {
    "positive": ("AU12_r",),
    "negative": ("AU04_r", "AU09_r", "AU10_r", "AU15_r"),
    "surprise": ("AU01_r", "AU02_r", "AU05_r"),
    "others": ("AU14_r", "AU17_r", "AU20_r", "AU23_r"),
}


def emotion_curves(
    video: str | Path | Video,
    classifier: Classifier,
    run: Run,
    detector: FaceDetector | None = None,
    progress: bool = False,
    where: FaceBoxes | None = None,
) -> np.ndarray:
    """What a frame-wise classifier says along a video; `where`: about the face there.

    Returns:
        (T, 4) float32 at 30 frames a second: confidence in each of EMOTIONS, 0 to 1; NaN in frames
        without a face, and throughout for emotions that no class counts as.

    Raises InputError where the video cannot be read or the model does not fit its description.
    """
    from tqdm.auto import tqdm

    opened = video if isinstance(video, Video) else open_video(video)
    total = round(opened.duration_s * FPS) if opened.duration_s else None
    frames = opened.frames(fps=FPS, max_side=MAX_SIDE)
    if where is None:
        tracked = ((f.image, f.box) for f in track_faces(frames, detector or HaarDetector()))
    else:
        tracked = ((f.image, _box_at(where, f)) for f in frames)
    curves, pictures, at = [], [], []
    for image, box in tqdm(tracked, total=total, unit="frame", disable=not progress, desc="second opinion"):
        curves.append(np.full(len(EMOTIONS), np.nan, np.float32))
        if box is not None:
            pictures.append(classifier.picture(image, box))
            at.append(len(curves) - 1)
        if len(pictures) == PICTURES:
            _answer(curves, pictures, at, classifier, run)
    _answer(curves, pictures, at, classifier, run)
    return np.stack(curves) if curves else np.zeros((0, len(EMOTIONS)), np.float32)


def _box_at(where: FaceBoxes, frame: Frame) -> Box | None:
    """The box in the picture of a frame at 30 a second, None without a face."""
    if frame.index >= len(where.boxes) or not np.isfinite(where.boxes[frame.index, 2]):
        return None
    scale = frame.image.shape[1] / where.width
    cx, cy, size = (where.boxes[frame.index, :3] * scale).tolist()
    return Box(cx - size / 2, cy - size / 2, size, size, roll=float(where.boxes[frame.index, 3]))


def _answer(curves: list, pictures: list, at: list[int], classifier: Classifier, run: Run) -> None:
    """Runs the model on the waiting pictures and fills in their rows."""
    if pictures:
        for row, values in zip(at, classifier.emotions(run(np.stack(pictures))), strict=True):
            curves[row] = values
        pictures.clear()
        at.clear()


def landmark_curves(landmarks: Landmarks | KeptPoints, net: LandmarkNet) -> np.ndarray:
    """(T, 4) at the rate of the landmarks: the emotion of the change from the person's median state.

    Pressed lips and raised chins are in recipes of `negative` and of `others` alike, so half of what
    the network gives to the first also supports the second (our choice).
    """
    curves = np.full((len(landmarks.visible), len(EMOTIONS)), np.nan, np.float32)
    if landmarks.visible.any():
        state, points = landmarks.state[landmarks.visible], landmarks.points[landmarks.visible]
        chunks = [slice(i, i + CHUNK) for i in range(0, len(state), CHUNK)]
        measured = _smoothed(np.concatenate([distances(points[c].astype(np.float32))[0] for c in chunks]))
        measured -= np.median(measured, axis=0)
        rest = np.array([np.median(column.astype(np.float32)) for column in state.T])
        read = np.concatenate([net.emotions(state[c] - rest, measured[c]) for c in chunks])
        read[:, EMOTIONS.index("others")] += SHARED * read[:, EMOTIONS.index("negative")]
        curves[landmarks.visible] = read
    return curves


def _smoothed(values: np.ndarray) -> np.ndarray:
    """(T, D) the mean of three neighbours each; at the ends the first and the last row are repeated."""
    padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def _landmark_opinion(points: KeptPoints, net: LandmarkNet, n_frames: int) -> np.ndarray:
    """The same at 30 frames a second."""
    curves = landmark_curves(points, net)
    known = np.isfinite(curves).all(1)
    # What was read at a time stands for the frames on both sides of it, not only for the later ones.
    time_s = np.maximum(np.arange(len(curves)) * POINTS_EVERY - POINTS_EVERY // 2, 0) / FPS
    grid = on_grid(time_s[known], curves[known], n_frames, FPS)
    return np.where(grid[:, -1:] > 0, grid[:, :-1], np.nan).astype(np.float32)


def openface_curves(path: str | Path, n_frames: int, where: FaceBoxes | None = None) -> np.ndarray:
    """(n_frames, 4) at 30 fps from the CSV of OpenFace's FeatureExtraction: AU intensities as shares of 5."""
    time, values = read_openface(path, where)
    grid = on_grid(time, values / 5, n_frames, FPS)
    column = {name: i for i, name in enumerate(OPENFACE_AUS)}
    curves = [grid[:, [column[au] for au in OPENFACE_EMOTIONS[e]]].max(1) for e in EMOTIONS]
    return np.where(grid[:, -1:] > 0, np.stack(curves, 1), np.nan).astype(np.float32)


def pyfeat_curves(path: str | Path, n_frames: int, fps: float, where: FaceBoxes | None = None) -> np.ndarray:
    """(n_frames, 4) at 30 fps from py-feat's Fex as CSV; `fps` is the video's, as py-feat counts frames."""
    path = Path(path)
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if lacking := [c for c in ("frame", *PYFEAT_EMOTIONS) if c not in table]:
        raise InputError(f"{path}: no column {lacking[0]!r}; py-feat's detect_video writes it")
    numbers = table[["frame", *PYFEAT_EMOTIONS]].apply(pd.to_numeric, errors="coerce")
    if where is not None:
        time = numbers["frame"].to_numpy(float) / fps
        centres = pyfeat_centres(table.astype(str), path)
        numbers = numbers[own_face(np.nan_to_num(time, nan=-1.0), centres, where, path)]
    known = numbers[np.isfinite(numbers).all(axis=1)]
    if known["frame"].duplicated().any():
        frame = known["frame"][known["frame"].duplicated()].iloc[0]
        raise InputError(f"{path}: frame {frame:g} has several faces; keep the rows of one")
    known = known.sort_values("frame")
    curves = np.full((len(known), len(EMOTIONS)), np.nan)
    for i, emotion in enumerate(EMOTIONS):
        if columns := [c for c, e in PYFEAT_EMOTIONS.items() if e == emotion]:
            curves[:, i] = known[columns].sum(axis=1)
    judged = np.isfinite(curves).all(0) if len(curves) else np.zeros(len(EMOTIONS), bool)
    grid = on_grid(known["frame"].to_numpy() / fps, np.nan_to_num(curves), n_frames, FPS)
    shown = np.where((grid[:, -1:] > 0) & judged, grid[:, :-1], np.nan)
    return shown.astype(np.float32)


def opinion_on(
    video: str | Path,
    name: str | Path,
    n_frames: int,
    sources: Mapping[str, str | Path] | None = None,
    folder_fps: float | None = None,
    progress: bool = False,
    faces: FaceTrack | None = None,
    where: FaceBoxes | None = None,
) -> np.ndarray:
    """The emotion curves that a second opinion named by the user gives of a video.

    Args:
        name: "landmarks", "fer", the YAML file of a classifier's description, "openface" or "pyfeat".
        n_frames: of the video at 30 frames a second.
        sources: for "openface" and "pyfeat", the folder with `<video's stem>.csv`.
        folder_fps: rate of a folder of images; None: 30.
        faces: what was read of the face; without its points "landmarks" opens the video again.
        where: whose face, if the video shows several.

    Returns:
        (n_frames, 4) float32 as for `emotion_curves`.

    Raises InputError where it is not to be had.
    """
    name = str(name)
    if name in ("openface", "pyfeat"):
        path = csv_of(video, name, sources)
        if name == "openface":
            return openface_curves(path, n_frames, where)
        fps = float(open_video(video, folder_fps=folder_fps or FPS).fps)
        return pyfeat_curves(path, n_frames, fps, where)
    net = load_landmarks() if name == "landmarks" else None
    if net and faces and (points := points_by(net, faces)):
        return _landmark_opinion(points, net, n_frames)
    if Path(video).suffix == ".f16":
        raise InputError(f"{video}: kept vectors hold no pictures; a second opinion needs the video")
    opened = open_video(video, folder_fps=folder_fps or FPS)
    if net is not None:
        boxes = None if faces is None else faces.boxes
        return _landmark_opinion(read_points(opened, net, boxes, progress), net, n_frames)
    classifier, run = open_classifier(name)
    curves = emotion_curves(opened, classifier, run, progress=progress, where=where)[:n_frames]
    unseen = np.full((n_frames - len(curves), len(EMOTIONS)), np.nan, np.float32)
    return np.concatenate([curves, unseen])

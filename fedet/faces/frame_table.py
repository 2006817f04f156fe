"""What is known of every frame of a video, one row a frame and person: the table of `fedet detect --frames`.

| column | what it holds |
| --- | --- |
| `schema_version` | version of these columns, "1" |
| `video`, `subject` | as in the table of intervals |
| `frame`, `timestamp` | frame from 0 at the video's nominal rate, as `onset`; and its seconds |
| `face_id` | number of the face that is followed, another one after it was lost; empty without a face |
| `success` | 1 with a face, else 0 |
| `state` | found; bridged, a short gap; missing; damaged, a broken picture |
| `FaceRectX`, `FaceRectY`, `FaceRectWidth`, `FaceRectHeight` | the face's box, pixels of the video |
| `Roll` | tilt of the head in the picture, degrees counter-clockwise |
| `AU01` ... `AU43` | how far each action unit rose above this person's rest |
| `positive`, `negative`, `surprise`, `others` | highest score of an expression there, 0 to 1 |
| `novelty` | how unlike the faces of training, around 0 for those, unfamiliar above 1 |
| `x_NAME`, `y_NAME` | on demand: the 65 points `fedet.faces.points.POINTS`, pixels of the video, y down |

Frame, timestamp, success and face_id are OpenFace's names; FaceRect..., Roll and AU01 are py-feat's. The AUs
are not called AU01_r, because OpenFace's intensities run from 0 to 5: these run from 0, rest, to about 1 as
py-feat's do, but are changes and may lie a little below 0. A cell is empty where nothing is known, never 0.
Faces are read 30 times a second; in a video of more frames a second neighbours share a reading. Points are
read ten times a second and lie on a line in between. They have names, `x_chin` and not OpenFace's `x_8`,
since neither their number nor their order is that of its 68.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.faces.geometry import in_pictures
from fedet.faces.points import POINTS
from fedet.faces.vectors import FPS, POINTS_EVERY, STATES, FaceTrack
from fedet.files import atomic_write
from fedet.intervals import AUS, EMOTIONS

FRAMES_VERSION = "1"
FORMATS = ("csv", "parquet")
AU_COLUMNS = tuple(f"AU{au:02d}" for au in AUS)
RECT_COLUMNS = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight")
FRAME_COLUMNS = ("schema_version", "video", "subject", "frame", "timestamp", "face_id", "success", "state",
                 *RECT_COLUMNS, "Roll", *AU_COLUMNS, *EMOTIONS, "novelty")  # fmt: skip
POINT_COLUMNS = tuple(f"{axis}_{name}" for axis in "xy" for name in POINTS)
_DECIMALS = {"timestamp": 3, "Roll": 2, "novelty": 3} | dict.fromkeys((*RECT_COLUMNS, *POINT_COLUMNS), 1)
_REPEATED = ("schema_version", "video", "subject", "state")  # the same text in many rows
_CHUNK = 4096  # rows in memory as text


@dataclass(frozen=True, eq=False)
class FrameReadings:
    """What was read of one face, T values at 30 frames a second; about 60 bytes each, 150 with points."""

    state: np.ndarray  # (T,) uint8, index into STATES
    track: np.ndarray  # (T,) int32
    fps: float  # of the video
    boxes: np.ndarray | None = None  # (T, 4) as of `FaceTrack`
    damaged: np.ndarray | None = None  # (T,) bool
    aus: np.ndarray | None = None  # (T, 18) float16 change from rest
    novelty: np.ndarray | None = None  # (T,) float16, 1 is the border of the unfamiliar
    # (N, P, 2) float16 as of `KeptPoints`, NaN without a face; None: the landmark network did not read it
    points: np.ndarray | None = None

    def with_novelty(self, distance: np.ndarray, threshold: float) -> "FrameReadings":
        """The same with each frame's distance from the faces of training."""
        return replace(self, novelty=(distance / threshold).astype(np.float16))


def frame_readings(faces: FaceTrack, aus: np.ndarray | None) -> FrameReadings:
    """The readings of a face and its AUs' change from rest, (T, 18) if the weights read them."""
    aus = None if aus is None else aus.astype(np.float16)
    points = None
    if faces.points is not None:
        points = np.where(faces.points.visible[:, None, None], faces.points.points, np.float16(np.nan))
    return FrameReadings(faces.state, faces.track, faces.fps, faces.boxes, faces.damaged, aus, points=points)


def points_at(readings: FrameReadings, frames: np.ndarray, video: str) -> np.ndarray:
    """(N, P, 2) the points of the face in frames of the video, in its pixels; NaN where nothing is known.

    A frame between two readings of the same face lies on the line between them, and in its own box.

    Raises InputError if the points were not read.
    """
    if readings.points is None or readings.boxes is None:
        raise InputError(
            f"{video}: the points of the face were not read; detect in the video itself, with the second "
            "opinion landmarks"
        )
    at = _ticks(readings, frames)
    here = at // POINTS_EVERY
    pair = np.stack([here, np.minimum(here + 1, len(readings.points) - 1)])
    own = readings.track[pair * POINTS_EVERY] == readings.track[at]
    known = own & np.isfinite(readings.points[:, 0, 0])[pair] & (readings.track[at] >= 0)
    share = np.where(known.all(0), at % POINTS_EVERY / POINTS_EVERY, known[1])[:, None, None]
    before, after = np.nan_to_num(readings.points[pair].astype(np.float32))
    found = in_pictures(before + share * (after - before), readings.boxes[at])
    found[~known.any(0)] = np.nan
    return found


def apex_points(detections: Any) -> np.ndarray:
    """(N, P, 2) the points of the face at the apex of each row of a `Detections`, see `points_at`."""
    table, people = detections.table, [one.detections for one in detections.people]
    apex = table["apex"].fillna((table["onset"] + table["offset"]) // 2).to_numpy(int)
    found = np.full((len(apex), len(POINTS), 2), np.nan)
    for own in people if len(people) > 1 else [detections]:
        rows = (table["subject"] == own.subject).to_numpy(bool)
        if rows.any():
            found[rows] = points_at(own.readings, apex[rows], detections.video or "")
    return found


def _ticks(readings: FrameReadings, frames: np.ndarray) -> np.ndarray:
    """Which of the readings belongs to each frame of the video."""
    last = max(len(readings.state) - 1, 0)
    return np.minimum(((np.asarray(frames) + 0.5) / readings.fps * FPS).astype(int), last)


def frame_table(
    readings: FrameReadings,
    video: str,
    subject: str,
    curves: pd.DataFrame | None = None,
    last: int | None = None,
    landmarks: bool = False,
) -> pd.DataFrame:
    """The table of one person, a row for each frame of the video; the columns are `FRAME_COLUMNS`.

    Args:
        curves: The score curves, a row per frame; the emotions' columns are empty without.
        last: The video's last frame; None: that of the curves, or of what was read.
        landmarks: Also `POINT_COLUMNS`.

    Raises InputError if landmarks are asked for that were not read.
    """
    ticks = len(readings.state)
    count = len(curves) if curves is not None else int(ticks / FPS * readings.fps + 1e-6)
    count = count if last is None else min(count, last + 1)
    frame = np.arange(count)
    at = _ticks(readings, frame)
    visible = readings.state[at] != STATES.index("missing")
    state = np.array(STATES, object)[readings.state[at]]
    if readings.damaged is not None:
        state[readings.damaged[at]] = "damaged"
    columns: dict[str, object] = {
        "schema_version": FRAMES_VERSION, "video": video, "subject": subject, "frame": frame,
        "timestamp": np.round(frame / readings.fps, 6), "success": visible.astype(np.int8), "state": state,
        "face_id": pd.array(readings.track[at], "Int32").astype("Int32"),
    }  # fmt: skip
    empty = np.full(count, np.nan, np.float32)
    boxes = np.full((count, 4), np.nan, np.float32) if readings.boxes is None else readings.boxes[at].copy()
    columns |= dict(zip((*RECT_COLUMNS[:3], "Roll"), boxes.T, strict=True))
    columns["FaceRectHeight"] = columns["FaceRectWidth"]
    aus = None if readings.aus is None else readings.aus[at].astype(np.float32)
    columns |= {name: empty if aus is None else aus[:, i] for i, name in enumerate(AU_COLUMNS)}
    for name in EMOTIONS:
        known = curves is not None and name in curves
        columns[name] = curves[name].to_numpy(np.float32)[:count] if known else empty  # type: ignore[index]
    columns["novelty"] = empty if readings.novelty is None else readings.novelty[at].astype(np.float32)
    table = pd.DataFrame(columns, index=range(count))[list(FRAME_COLUMNS)]
    unseen = ["face_id", *RECT_COLUMNS, "Roll", *AU_COLUMNS, *EMOTIONS, "novelty"]
    table.loc[~visible, unseen] = pd.NA
    if landmarks:
        x, y = points_at(readings, frame, video).astype(np.float32).T  # (P, N) each
        table = pd.concat([table, pd.DataFrame(np.concatenate([x, y]).T, columns=POINT_COLUMNS)], axis=1)
    return table.astype(dict.fromkeys(_REPEATED, "category"))


def frames_of(detections: Any, landmarks: bool = False) -> pd.DataFrame:
    """The table of a `fedet.detection.Detections`; of several people one after the other.

    Raises InputError for detections that were kept without readings of their frames, or without the
    points of the face if `landmarks` are asked for.
    """
    people = getattr(detections, "people", ())
    if len(people) > 1:
        table = pd.concat([frames_of(one.detections, landmarks) for one in people], ignore_index=True)
        return table.astype(dict.fromkeys(_REPEATED, "category"))
    if detections.readings is None:
        raise InputError(
            f"{detections.video}: kept without readings of its frames; detect in the video again"
        )
    video = detections.video or ""
    who = detections.subject or video
    return frame_table(detections.readings, video, who, detections.curves, landmarks=landmarks)


def write_frames(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as CSV or Parquet by the suffix; the file appears whole.

    Raises:
        InputError: Parquet without the package pyarrow, or another suffix.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"{path}: no format of a table of frames; one of {', '.join(FORMATS)}")
    with atomic_write(path) as draft:
        if kind == "csv":
            _write_csv(table, draft)
            return
        try:
            table.to_parquet(draft, engine="pyarrow", index=False)
        except ImportError as error:
            raise InputError(
                f"{path}: Parquet needs the package pyarrow; pip install pyarrow, or csv"
            ) from error


def check_format(kind: str) -> None:
    """Raises InputError, before any video is read, if a table of frames cannot be written as `kind`."""
    from importlib.util import find_spec

    if kind not in FORMATS:
        raise InputError(f"--frames {kind}: one of {', '.join(FORMATS)}")
    if kind == "parquet" and find_spec("pyarrow") is None:
        raise InputError("--frames parquet: needs the package pyarrow; pip install pyarrow, or --frames csv")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    from fedet.annotations.cells import without_formula

    names = {c: {v: without_formula(v) for v in table[c].cat.categories} for c in ("video", "subject")}
    for start in range(0, max(1, len(table)), _CHUNK):
        rows = table.iloc[start : start + _CHUNK]
        rows = rows.assign(**{c: rows[c].map(known) for c, known in names.items()})
        numbers = rows.select_dtypes("floating").columns
        rows = rows.assign(**{c: rows[c].astype(float).round(_DECIMALS.get(c, 4)) for c in numbers})
        rows.to_csv(path, mode="a" if start else "w", header=not start, index=False, lineterminator="\n",
                    errors="replace")  # fmt: skip

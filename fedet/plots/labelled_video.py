"""A video with what was found in it: box, name, current expression, and a timeline that moves along.

Pictures keep their times, also where these are irregular; the sound goes along (mono) where the file has one.
Below the picture each person has a row: the intervals of the last and the next seconds, in the emotions'
colours, with the present in the middle.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import EMOTION_COLOURS, table_of
from fedet.plots.thumbnails import mosaic
from fedet.video.reader import MAX_SIDE, Frame, Video, open_video
from fedet.video.writer import write_timed_video

SPAN_S = 8.0  # of the timeline to either side of the present
LOOK_S = 0.2  # between two searches for faces that are to be blurred
BLUR_S = 1.0  # a face that was seen is blurred this long before and after
MOST_ROWS = 6  # of the timeline; further people are named, but have none
MOST_LETTERS = 24  # of a name in the picture
_INK, _PAPER, _LINE, _PRESENT = (20, 24, 29), (255, 255, 255), (214, 219, 226), (194, 24, 91)


def write_labelled_video(
    video: str | Path,
    detections: Any,
    path: str | Path,
    blur: bool = False,
    progress: bool = False,
    fps: float = 30.0,
) -> Path:
    """Writes a copy of a video in which one sees what was found; pictures above `MAX_SIDE` are reduced.

    Args:
        video: What was searched, a file or a folder of images.
        detections: What `fedet.detect` returned; of a table alone there are no boxes.
        path: An .mp4, .mov or .mkv file; it appears whole.
        blur: Makes faces unrecognisable. Every face is covered that a detector finds, five times a second,
            and the followed one throughout; a picture without any is covered whole. A face that no detector
            finds next to one that is found stays: check before you share.
        fps: Rate of a folder of images.

    Raises:
        InputError: The video cannot be read, `path` is the video itself, or has no such suffix.
    """
    video, path = Path(video), Path(path)
    if path.suffix.lower() not in (".mp4", ".mov", ".mkv"):
        raise InputError(f"{path}: a labelled video is an .mp4, .mov or .mkv file; name one of these")
    if path.exists() and path.samefile(video):
        raise InputError(f"{path}: is the video itself; name another file")
    opened = open_video(video, fps)
    people = _people_of(detections)
    frames = _labelled(opened, people, blur, progress)
    write_timed_video(path, frames, opened.fps, sound=None if video.is_dir() else video)
    return path


@dataclass
class _Person:
    """What is drawn of one person."""

    name: str
    starts_s: np.ndarray
    ends_s: np.ndarray
    emotions: list[str]
    boxes: np.ndarray  # (F, 4) left, upper edge, side, roll in pixels of the video; NaN without a face
    fps: float

    def box_at(self, time_s: float) -> np.ndarray | None:
        at = int(time_s * self.fps + 0.5 + 1e-6)
        if not len(self.boxes) or at > len(self.boxes) + self.fps:
            return None
        box = self.boxes[min(at, len(self.boxes) - 1)]
        return None if np.isnan(box).any() else box

    def emotion_at(self, time_s: float) -> str:
        """The expression that is shown; of overlapping ones that which began last."""
        now = np.flatnonzero((self.starts_s <= time_s + 1e-6) & (time_s + 1e-6 < self.ends_s))
        return self.emotions[now[np.argmax(self.starts_s[now])]] if len(now) else ""


def _people_of(detections: Any) -> list[_Person]:
    table: pd.DataFrame = table_of(detections)
    frames = None if isinstance(detections, pd.DataFrame) else detections.frames()
    names = list(dict.fromkeys(table["subject"].dropna()))
    if frames is not None:
        names = list(dict.fromkeys([*frames["subject"].unique(), *names]))
    people = []
    for name in names or [""]:
        rows = table[table["subject"].fillna("") == name].sort_values("onset")
        own = None if frames is None else frames[frames["subject"] == name]
        columns = ["FaceRectX", "FaceRectY", "FaceRectWidth", "Roll"]
        boxes = np.zeros((0, 4)) if own is None else own[columns].to_numpy(float, na_value=np.nan)
        fps = rows["fps"].to_numpy(float)
        starts = rows["onset"].to_numpy(float) / fps
        ends = (rows["offset"].to_numpy(float) + 1) / fps
        rate = 30.0 if own is None or len(own) < 2 else (len(own) - 1) / float(own["timestamp"].iloc[-1])
        emotions = rows["emotion"].fillna("unknown").astype(str).tolist()
        people.append(_Person(str(name), starts, ends, emotions, boxes, rate))
    return people


def _labelled(
    video: Video, people: list[_Person], blur: bool, progress: bool
) -> Iterator[tuple[float, np.ndarray]]:
    """The pictures with their times."""
    from tqdm.auto import tqdm

    frames = tqdm(
        video.frames(max_side=MAX_SIDE),
        total=video.n_frames_estimate, unit="frame", desc="labelled video", disable=not progress,
    )  # fmt: skip
    placed = ((frame, [_scaled(p.box_at(frame.time_s), frame.scale) for p in people]) for frame in frames)
    for frame, boxes, image in _covered(placed) if blur else ((f, b, f.image.copy()) for f, b in placed):
        _draw_people(image, people, boxes, frame.time_s)
        strip = _timeline(image.shape[1], image.shape[0], people, frame.time_s)
        yield frame.time_s, np.vstack([image, strip])


def _scaled(box: np.ndarray | None, scale: float) -> np.ndarray | None:
    """Left, upper edge and side of a box in a picture that was reduced."""
    return None if box is None else box[:3] * scale


# --- faces that nobody should recognise

_Placed = tuple[Frame, list[np.ndarray | None]]


def _covered(placed: Iterator[_Placed]) -> Iterator[tuple[Frame, list[np.ndarray | None], np.ndarray]]:
    """The pictures with their faces covered; they are held until the next search for faces, so that a face
    is covered before it was found."""
    from fedet.faces.detectors import SMALL_FACE, HaarDetector

    detectors = (HaarDetector(), HaarDetector(min_face=SMALL_FACE))
    held: list[_Placed] = []
    seen: deque[tuple[float, list[np.ndarray]]] = deque()  # when, and the boxes
    for frame, boxes in placed:
        if not seen or frame.time_s - seen[-1][0] >= LOOK_S:
            found = [box for detector in detectors for box in detector.detect(frame.image)]
            seen.append((frame.time_s, [np.array([box.x, box.y, box.size]) for box in found]))
            yield from _release(held, seen)
            held = []
            while len(seen) > 1 and frame.time_s - seen[0][0] > BLUR_S:
                seen.popleft()
        held.append((frame, boxes))
    yield from _release(held, seen)


def _release(
    held: list[_Placed], seen: deque[tuple[float, list[np.ndarray]]]
) -> Iterator[tuple[Frame, list[np.ndarray | None], np.ndarray]]:
    known = [box for _, found in seen for box in found]
    for frame, boxes in held:
        image = frame.image.copy()
        faces = [*known, *(box for box in boxes if box is not None)]
        if not faces:
            image = mosaic(image, 12, 12)
        for x, y, side in faces:
            left, top = int(max(0, x - 0.2 * side)), int(max(0, y - 0.3 * side))
            face = image[top : int(y + 1.35 * side), left : int(x + 1.2 * side)]
            if face.size:
                face[:] = mosaic(face, 8, 8)
        yield frame, boxes, image


# --- drawing


def _draw_people(
    image: np.ndarray, people: list[_Person], boxes: list[np.ndarray | None], time_s: float
) -> None:
    """Boxes, names and current expressions, in place."""
    import cv2

    height, width = image.shape[:2]
    line = max(1, round(min(height, width) / 240))
    for person, box in zip(people, boxes, strict=True):
        if box is None:
            continue
        x, y, side = (round(float(v)) for v in box)
        emotion = person.emotion_at(time_s)
        colour = _colour(emotion) if emotion else _LINE
        cv2.rectangle(image, (x, y), (x + side, y + side), colour, 2 * line if emotion else line)
        name = person.name if len(person.name) <= MOST_LETTERS else person.name[: MOST_LETTERS - 1] + "…"
        text = f"{name}: {emotion}" if emotion and name else emotion or name
        label = _label(text, _font_size(width, height), max(24, width - 4), colour if emotion else _PAPER)
        top = y - label.shape[0] if y >= label.shape[0] else min(y + side, height - label.shape[0])
        _paste(image, label, min(max(0, x), width - label.shape[1]), max(0, top))


def _timeline(width: int, height: int, people: list[_Person], time_s: float) -> np.ndarray:
    """The strip below a picture (h, width, 3)."""
    import cv2

    size = _font_size(width, height)
    row, axis = size + 8, size + 6
    rows = people[:MOST_ROWS]
    strip = np.full((row * len(rows) + axis, width, 3), _PAPER, np.uint8)
    per_s = width / (2 * SPAN_S)

    def at(seconds: float) -> int:
        return round(width / 2 + (seconds - time_s) * per_s)

    step = 1 if per_s >= 3 * size else 2 if per_s >= 1.5 * size else 4
    first = int(np.floor((time_s - SPAN_S) / step)) * step
    for second in range(max(0, first), int(time_s + SPAN_S) + step, step):
        cv2.line(strip, (at(second), 0), (at(second), len(strip) - axis), _LINE, 1)
        label = _label(f"{second // 60}:{second % 60:02d}", round(0.8 * size), width, _PAPER)
        _paste(strip, label, at(second) - label.shape[1] // 2, len(strip) - label.shape[0])
    for i, person in enumerate(rows):
        top = i * row + 2
        near = np.flatnonzero((person.ends_s > time_s - SPAN_S) & (person.starts_s < time_s + SPAN_S))
        for k in near:
            left, right = max(0, at(person.starts_s[k])), min(width, at(person.ends_s[k]))
            emotion = person.emotions[k]
            strip[top : top + row - 4, left : max(right, left + 2)] = _colour(emotion)
            label = _label(emotion, size, width, _colour(emotion))
            if label.shape[1] <= right - left:
                _paste(strip, label, left, top)
        if len(people) > 1:
            _paste(strip, _label(person.name, round(0.8 * size), width // 4, _PAPER), 0, top)
    cv2.line(strip, (width // 2, 0), (width // 2, len(strip)), _PRESENT, max(1, size // 7))
    return strip


def _font_size(width: int, height: int) -> int:
    return int(np.clip(min(width / 32, height / 18), 9, 32))


def _colour(emotion: str) -> tuple[int, int, int]:
    code = EMOTION_COLOURS.get(emotion, EMOTION_COLOURS["unknown"])
    return tuple(int(code[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


def _paste(image: np.ndarray, label: np.ndarray, x: int, y: int) -> None:
    """Puts a label into a picture, cut off where it would leave it."""
    left, right = max(0, x), min(image.shape[1], x + label.shape[1])
    top, bottom = max(0, y), min(image.shape[0], y + label.shape[0])
    if left < right and top < bottom:
        image[top:bottom, left:right] = label[top - y : bottom - y, left - x : right - x]


@lru_cache(maxsize=512)
def _label(text: str, size: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A text on its ground (h, w, 3), shortened until it fits into a width."""
    from PIL import Image, ImageDraw

    font = _font(size)
    fits = text
    while len(fits) > 1 and font.getlength(fits) + 6 > width:
        fits = fits.removesuffix("…")[:-1] + "…"
    shape = (min(width, int(font.getlength(fits)) + 6), size + 4)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
    picture = Image.new("RGB", shape, colour)
    ImageDraw.Draw(picture).text((3, 2), fits, font=font, fill=_PAPER if dark else _INK, anchor="lt")
    return np.asarray(picture)


@lru_cache
def _font(size: int):
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont(FontProperties(family=["DejaVu Sans"])), size)

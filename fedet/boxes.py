"""Face boxes in single images: the box, and the detectors that find it.

All detectors answer in one geometry, that of OpenCV's frontal Haar cascade: a square whose side is
about 1.25 times the width of the face at the cheekbones, the eyes at 46 % of its height, the chin
a little below its lower edge. `fedet.faces.crop` is defined on that square.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from fedet.errors import InputError

REDUCED_SIDE_PX = 180  # Haar search: the image's shorter side is reduced to this
MIN_FACE = 0.15  # the smallest face that is looked for, as part of the image's shorter side
NEAR_REACH = 0.6  # a search near a known face covers this many face sizes on every side


class Box(NamedTuple):
    """A square around a face, in pixels of the image it was found in."""

    x: float  # left edge
    y: float  # upper edge
    w: float
    h: float
    score: float = 0.0  # the detector's own scale; higher is surer

    @property
    def cx(self) -> float:
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        return self.y + self.h / 2

    @property
    def size(self) -> float:
        return (self.w * self.h) ** 0.5


class FaceDetector(Protocol):
    """Anything that finds faces; detectors keep nothing from one image to the next."""

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        """Faces in `image`, (H, W, 3) uint8 RGB, in no particular order.

        `near` is where the followed face was: a detector may then look only around it, for faces
        of about its size, and leave out all others.
        """
        ...


class HaarDetector:
    """OpenCV's shipped Haar cascades on a reduced, equalised grey image.

    The frontal cascade answers; near a known face, where it finds nothing, the profile cascade
    and its mirror image are asked as well. Boxes jitter by 1-2 % of their size from call to call.
    OpenCV's number of threads is left alone; in worker processes call `cv2.setNumThreads(1)`.
    """

    def __init__(self, min_neighbors: int = 4, scale_factor: float = 1.1) -> None:
        self.min_neighbors = min_neighbors
        self.scale_factor = scale_factor

    @cached_property
    def _frontal(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_frontalface_alt2.xml")

    @cached_property
    def _profile(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_profileface.xml")

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        scale = min(1.0, REDUCED_SIDE_PX / min(image.shape[:2]))
        if near is None:
            smallest = round(MIN_FACE * min(image.shape[:2]) * scale)
            return self._search(self._frontal, _reduced(image, scale), scale, (0, 0), smallest, 0)
        # A face of unusual size is searched at the scale at which it has half the reduced side.
        scale = min(1.0, REDUCED_SIDE_PX / 2 / near.size)
        reach = near.size * NEAR_REACH
        left, top = max(0, int(near.x - reach)), max(0, int(near.y - reach))
        right, bottom = int(near.x + near.w + reach), int(near.y + near.h + reach)
        patch = image[top:bottom, left:right]
        if min(patch.shape[:2]) < 2:
            return []
        patch = _reduced(patch, scale)
        limits = round(near.size * scale / 1.4), round(near.size * scale * 1.4)
        found = self._search(self._frontal, patch, scale, (left, top), *limits)
        if found:
            return found
        found = self._search(self._profile, patch, scale, (left, top), *limits)
        width = patch.shape[1] / scale
        for box in self._search(self._profile, patch[:, ::-1], scale, (0, top), *limits):
            found.append(box._replace(x=left + width - box.x - box.w))
        return found

    def _search(self, cascade, grey, scale, corner, smallest, largest) -> list[Box]:
        """Boxes in the coordinates of the full image; `largest` 0 means any size."""
        boxes, _, scores = cascade.detectMultiScale3(
            np.ascontiguousarray(grey),
            self.scale_factor,
            self.min_neighbors,
            0,
            (smallest, smallest),
            (largest, largest),
            outputRejectLevels=True,
        )
        left, top = corner
        return [
            Box(x / scale + left, y / scale + top, w / scale, h / scale, float(score))
            for (x, y, w, h), score in zip(np.reshape(boxes, (-1, 4)).tolist(), scores, strict=True)
        ]


class YuNetDetector:
    """OpenCV's YuNet network; needs its model file, which is not part of this package.

    YuNet's boxes span hairline to chin, those of the cascade brow to lip with sides to spare; the
    answer is converted by fixed proportions.
    """

    def __init__(self, model_path: str | Path, min_score: float = 0.7) -> None:
        path = Path(model_path)
        if not path.is_file():
            raise InputError(
                f"{path}: no such YuNet model; download face_detection_yunet_2023mar.onnx from "
                "OpenCV's model zoo (github.com/opencv/opencv_zoo) and give its path"
            )
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score)
        except cv2.error as error:
            raise InputError(f"{path}: not a YuNet model in ONNX format ({error.err})") from error

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        # A row: x, y, w, h, five landmarks, score.
        return [] if faces is None else [_from_tight(*row[:4], row[14]) for row in faces]


def _from_tight(x: float, y: float, w: float, h: float, score: float) -> Box:
    """A box from hairline to chin in the cascade's geometry."""
    size, cx, cy = 0.9 * float(h), float(x + w / 2), float(y + 0.42 * h)
    return Box(cx - size / 2, cy - size / 2, size, size, float(score))


def _cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + name)
    if cascade.empty():
        raise InputError(f"{name}: missing from this OpenCV; install opencv-python-headless 4.x")
    return cascade


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """Grey, equalised, sides times `scale`."""
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.equalizeHist(grey)

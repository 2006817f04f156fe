"""Face boxes in single images: the box, and the detectors that find it.

All detectors return boxes in the geometry of OpenCV's frontal Haar cascade: a square whose side is
about 1.25 times the width of the face at the cheekbones, the eyes at 46 % of its height, the chin
a little below its lower edge. `fedet.faces.tracking.crop` is defined on that square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from fedet.errors import InputError

REDUCED_SIDE_PX = 180  # Haar search: the image's shorter side is reduced to this
MIN_FACE = 0.15  # the smallest face that is looked for, as a share of the image's shorter side
SMALL_FACE = 0.06  # ... where there is no larger one in the whole video
NEAR_REACH = 0.6  # a search near a known face covers this many face sizes on every side
# The frontal cascade finds faces tilted by up to about 15 degrees; for others the image is rotated.
TILTS = (15, -15, 30, -30, 45, -45)  # degrees, near a face that was upright
TILT_STEP = 15  # degrees to both sides of the tilt of a face that was not
WIDE_TILTS = (20, -20, 40, -40)  # degrees, in the whole image
UPRIGHT = 5  # degrees; a smaller tilt counts as none
# Overlapping detections that make a face, in a rotated image or where small ones are looked for: the
# larger the search, the more false alarms.
SURE_NEIGHBORS = 8

Corner = tuple[int, int]  # left and upper edge of a searched patch, in pixels of the image
Limits = tuple[int, int]  # least and largest side of a face, in pixels of the reduced image; 0 is no limit
Sight = tuple[float, float, float, float, float]  # centre x and y, size, tilt, score


class Box(NamedTuple):
    """A square around a face, in pixels of its image."""

    x: float  # left edge
    y: float  # upper edge
    w: float
    h: float
    score: float = 0.0  # on the detector's own scale; higher is more certain
    # Tilt of the head in the picture's plane about the box's centre, degrees, counter-clockwise; the sides
    # of the box stay level.
    roll: float = 0.0

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
    """Anything that finds faces; detectors have no memory from one image to the next."""

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        """Faces in `image`, (H, W, 3) uint8 RGB, in no particular order.

        `near` is the latest box of the tracked face: a detector may then look only around it, for
        faces of about its size, and leave out all others.
        """
        ...


class HaarDetector:
    """OpenCV's shipped Haar cascades on a reduced, equalised grey image.

    Where the frontal cascade finds nothing, it searches the rotated image (tilted heads), then the red
    channel alone (dark skin, faces against the light); near a tracked face the profile cascade and its
    mirror image come last. Boxes jitter by 1-2 % of their size from call to call; a tilt is right
    within some 10 degrees.
    OpenCV's number of threads is left alone; in worker processes call `cv2.setNumThreads(1)`.

    Args:
        min_face: the smallest box that is looked for, as a share of the image's shorter side; below
            `MIN_FACE` a larger image is searched, several times as long, and upright faces only.
    """

    def __init__(self, min_neighbors: int = 4, scale_factor: float = 1.1, min_face: float = MIN_FACE) -> None:
        self.min_neighbors = min_neighbors
        self.scale_factor = scale_factor
        self.min_face = min_face
        self.reduced_px = round(REDUCED_SIDE_PX * max(1.0, MIN_FACE / min_face))

    @cached_property
    def _frontal(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_frontalface_alt2.xml")

    @cached_property
    def _profile(self) -> cv2.CascadeClassifier:
        return _cascade("haarcascade_profileface.xml")

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        if near is None:
            scale = min(1.0, self.reduced_px / min(image.shape[:2]))
            grey, smallest = _reduced(image, scale), round(self.min_face * min(image.shape[:2]) * scale)
            limits = (smallest, 0)
            boxes = self._search(self._frontal, grey, scale, (0, 0), *limits)
            if self.min_face >= MIN_FACE:  # rotating larger images would take too long
                boxes = boxes or self._tilted(grey, scale, (0, 0), limits, WIDE_TILTS)
            return boxes or self._search(self._frontal, _reduced_red(image, scale), scale, (0, 0), *limits)
        # A face of unusual size is searched at the scale at which it has half the reduced side.
        scale = min(1.0, REDUCED_SIDE_PX / 2 / near.size)
        reach = near.size * NEAR_REACH
        corner = max(0, int(near.x - reach)), max(0, int(near.y - reach))
        right, bottom = int(near.x + near.w + reach), int(near.y + near.h + reach)
        patch = image[corner[1] : bottom, corner[0] : right]
        if min(patch.shape[:2]) < 2:
            return []
        grey = _reduced(patch, scale)
        limits = round(near.size * scale / 1.4), round(near.size * scale * 1.4)
        if near.roll:
            tilts = (near.roll - TILT_STEP, near.roll, near.roll + TILT_STEP)
            if boxes := self._tilted(grey, scale, corner, limits, tilts):
                return boxes
        return (
            self._search(self._frontal, grey, scale, corner, *limits)
            or self._tilted(grey, scale, corner, limits, TILTS)
            or self._search(self._frontal, _reduced_red(patch, scale), scale, corner, *limits)
            or self._profiles(grey, scale, corner, limits)
        )

    def detect_all(self, image: np.ndarray) -> list[Box]:
        """The boxes of all searches, where `detect` ends with the first that finds a face.

        For hiding faces: the boxes overlap, and many hold no face.
        """
        scale = min(1.0, self.reduced_px / min(image.shape[:2]))
        grey, smallest = _reduced(image, scale), round(self.min_face * min(image.shape[:2]) * scale)
        limits = (smallest, 0)
        boxes = self._search(self._frontal, grey, scale, (0, 0), *limits)
        boxes += self._search(self._frontal, _reduced_red(image, scale), scale, (0, 0), *limits)
        boxes += self._profiles(grey, scale, (0, 0), limits)
        for cx, cy, size, tilt, score in self._rotated(grey, limits, sorted({*TILTS, *WIDE_TILTS})):
            cx, cy, size = cx / scale, cy / scale, size / scale
            boxes.append(Box(cx - size / 2, cy - size / 2, size, size, score, tilt))
        return boxes + [box for near in boxes for box in self.detect(image, near)]

    def _profiles(self, grey: np.ndarray, scale: float, corner: Corner, limits: Limits) -> list[Box]:
        """Faces that look to one side, left or right."""
        boxes = self._search(self._profile, grey, scale, corner, *limits)
        left, width = corner[0], grey.shape[1] / scale
        for box in self._search(self._profile, grey[:, ::-1], scale, (0, corner[1]), *limits):
            boxes.append(box._replace(x=left + width - box.x - box.w))
        return boxes

    def _tilted(
        self, grey: np.ndarray, scale: float, corner: Corner, limits: Limits, tilts: Sequence[float]
    ) -> list[Box]:
        """None or one face tilted by about one of `tilts`, degrees: the mean of its detections."""
        boxes = self._rotated(grey, limits, tilts)
        if not boxes:
            return []
        best = max(boxes, key=lambda box: box[4])
        away = [math.hypot(b[0] - best[0], b[1] - best[1]) / best[2] for b in boxes]
        same = [b for b, a in zip(boxes, away, strict=True) if a < 0.25 and abs(b[3] - best[3]) <= TILT_STEP]
        cx, cy, size, tilt, score = np.mean(same, axis=0).tolist()
        size, cx, cy = size / scale, cx / scale + corner[0], cy / scale + corner[1]
        tilt = 0.0 if abs(tilt) < UPRIGHT else tilt
        return [Box(cx - size / 2, cy - size / 2, size, size, score, tilt)]

    def _rotated(self, grey: np.ndarray, limits: Limits, tilts: Sequence[float]) -> list[Sight]:
        """Centre x and y, size, tilt and score of every face found in the image rotated by `tilts`."""
        height, width = grey.shape
        boxes = []
        neighbors = max(self.min_neighbors, SURE_NEIGHBORS)
        for tilt in tilts:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), -tilt, 1)
            rotated = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            back = cv2.invertAffineTransform(turn)
            for box in self._search(self._frontal, rotated, 1.0, (0, 0), *limits, neighbors):
                cx, cy = back @ (box.cx, box.cy, 1)
                boxes.append((cx, cy, box.size, tilt, box.score))
        return boxes

    def _search(
        self,
        cascade: cv2.CascadeClassifier,
        grey: np.ndarray,
        scale: float,
        corner: Corner,
        smallest: int,
        largest: int,
        neighbors: int = 0,
    ) -> list[Box]:
        """Boxes in the coordinates of the full image; `largest` 0 means any size."""
        boxes, _, scores = cascade.detectMultiScale3(
            np.ascontiguousarray(grey),
            self.scale_factor,
            neighbors or self.min_neighbors,
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


def _cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + name)
    if cascade.empty():
        raise InputError(f"{name}: missing from this OpenCV; install opencv-python-headless 4.x")
    return cascade


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """Grey, equalised, sides times `scale`."""
    return cv2.equalizeHist(cv2.cvtColor(_resized(image, scale), cv2.COLOR_RGB2GRAY))


def _reduced_red(image: np.ndarray, scale: float) -> np.ndarray:
    """The red channel, equalised region by region, sides times `scale`.

    Skin of every colour reflects red, and eyes, brows and nostrils do not; regions, because a bright
    background leaves a dark face few steps of grey.
    """
    red = np.ascontiguousarray(_resized(image, scale)[..., 0])
    return cv2.createCLAHE(3.0, (4, 4)).apply(red)


def _resized(image: np.ndarray, scale: float) -> np.ndarray:
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

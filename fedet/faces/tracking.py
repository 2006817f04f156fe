"""The face of a video: found now and then, followed, and cut out without jitter.

A detector looks at a frame about six times a second. Its boxes jitter by more than a
micro-expression moves the skin, so the path of the box is smoothed over two seconds, in both
directions of time: a frame is given out when the detections after it are known. At most
`Following.lookahead_s` of frames are held, whatever the length of the video.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from fedet.faces.detectors import Box, FaceDetector, HaarDetector, YuNetDetector
from fedet.faces.smoothing import Smoothing, smooth_path
from fedet.video.reader import TICK_TOLERANCE_S, Frame

__all__ = [
    "CROP_DOWN",
    "CROP_SCALE",
    "Box",
    "Counted",
    "FaceDetector",
    "FaceFrame",
    "Following",
    "HaarDetector",
    "YuNetDetector",
    "crop",
    "missing_spans",
    "track_faces",
]

# The crop is a square of CROP_SCALE box sizes whose centre lies CROP_DOWN box sizes below the
# box's. On the crop's own scale (0 top, 1 bottom) a person who looks ahead has the brows at 0.22,
# the eyes at 0.33, the mouth at 0.68 and the chin at 0.85, and a face 0.63 wide. The room below
# is for the dropped jaw.
CROP_SCALE = 1.2
CROP_DOWN = 0.12


class FaceFrame(NamedTuple):
    """A frame with the face's box, or None where there is none."""

    index: int
    time_s: float
    image: np.ndarray  # (H, W, 3) uint8 RGB, the whole frame
    box: Box | None  # in pixels of `image`
    state: str  # "found", "bridged" (a short gap, interpolated) or "missing"
    track: int  # which face: changes when another one is followed; -1 where missing


@dataclass(frozen=True)
class Following:
    """How a face is followed. Times in seconds, distances in box sizes."""

    every_s: float = 1 / 6  # a look around the known face; every 5 frames at 30 fps
    wide_every_s: float = 1.0  # a look at the whole image, for a larger face
    max_gap_s: float = 1.0  # a longer gap is "missing"
    takeover_s: float = 1.0  # a larger face takes over after this long
    takeover_ratio: float = 1.3  # ... if it is larger by this
    max_step: float = 0.5  # a face moves at most this far from look to look, ...
    max_speed: float = 1.0  # ... plus this many sizes a second since it was seen
    max_growth: float = 1.5  # and changes its size at most by this factor
    away_s: float = 20.0  # who was unseen for no longer, with nobody else in between, ...
    back_within: float = 0.8  # ... and is seen again within so many sizes of the old place, is the same
    smoothing: Smoothing = Smoothing()

    @property
    def lookahead_s(self) -> float:
        """Frames are held for this long: the window, and the median's reach beyond it."""
        return max(self.smoothing.size_s, self.max_gap_s) + 3 * self.every_s


@dataclass
class _Look:
    time_s: float
    box: Box | None = None  # the followed face, if it was seen
    path: int = -1  # boxes of one path are smoothed together: it ends with a long gap
    track: int = -1  # whose face it is


@dataclass
class _Follower:
    """Decides which of the boxes of each look is the followed face."""

    config: Following
    looks: list[_Look] = field(default_factory=list)
    path: int = -1  # the latest path's and track's numbers
    track: int = -1
    last: _Look | None = None  # the latest sight of the followed face, None if it is given up
    lost: _Look | None = None  # the latest sight of the face that was given up
    seen_s: float = -math.inf  # when that face was seen before the look at hand
    rival: list[tuple[_Look, Box]] = field(default_factory=list)
    wide_s: float = -math.inf  # when the whole image was last searched

    def look(self, frame: Frame, detector: FaceDetector) -> None:
        look = _Look(frame.time_s)
        self.looks.append(look)
        if self.last:
            self.seen_s = self.last.time_s
            if look.time_s - self.seen_s > self.config.max_gap_s + TICK_TOLERANCE_S:
                self.lost, self.last = self.last, None
        boxes: list[Box] = []
        match = None
        if self.last:
            boxes = detector.detect(frame.image, near=self.last.box)
            match = self._match(boxes, self.last, look.time_s)
        wide = match is None or look.time_s - self.wide_s > self.config.wide_every_s - 0.01
        if wide:
            self.wide_s = look.time_s
            boxes = boxes + detector.detect(frame.image)
            match = match or (self.last and self._match(boxes, self.last, look.time_s))
        if match:
            look.box, look.path, look.track, self.last = match, self.path, self.track, look
        if wide:
            self._consider_rival(look, boxes, match)

    def _match(self, boxes: list[Box], last: _Look, time_s: float) -> Box | None:
        likely = [b for b in boxes if self._continues(b, last.box, time_s - last.time_s)]
        return max(likely, key=lambda b: _iou(b, last.box), default=None)

    def _continues(self, box: Box, before: Box, after_s: float) -> bool:
        reach = before.size * (self.config.max_step + self.config.max_speed * after_s)
        growth = self.config.max_growth
        return (
            math.hypot(box.cx - before.cx, box.cy - before.cy) <= reach
            and 1 / growth <= box.size / before.size <= growth
        )

    def _consider_rival(self, look: _Look, boxes: list[Box], match: Box | None) -> None:
        """Another face takes over when the followed one is given up, or if it is clearly larger
        for long enough. A single sight may be a false alarm and does not count."""
        if match:
            least = match.size * self.config.takeover_ratio
            boxes = [b for b in boxes if b.size >= least and _iou(b, match) < 0.3]
        box = max(boxes, key=lambda b: b.size, default=None)
        if box is None:
            self.rival = []
            return
        if self.rival:
            before, before_box = self.rival[-1]
            if not self._continues(box, before_box, look.time_s - before.time_s):
                self.rival = []
        self.rival.append((look, box))
        if match:
            ready = look.time_s - self.rival[0][0].time_s >= self.config.takeover_s - 0.01
        else:
            ready = self.last is None and len(self.rival) >= 2
        if ready:
            self._follow_rival(only_last=match is not None)

    def _follow_rival(self, only_last: bool) -> None:
        self.path += 1
        self.track += not self._is_back(only_last)
        for look, box in self.rival[-1:] if only_last else self.rival:
            if only_last or look.time_s > self.seen_s:  # after a cut: from its first sight on
                look.box, look.path, look.track = box, self.path, self.track
        self.last, self.rival = self.rival[-1][0], []

    def _is_back(self, taken_over: bool) -> bool:
        """Whether the rival is the face that was followed before and unseen for a while.

        After a cut another face is there at once, so a gap is asked for.
        """
        if taken_over or self.lost is None:
            return False
        (first, box), config = self.rival[0], self.config
        unseen = first.time_s - self.lost.time_s
        moved = math.hypot(box.cx - self.lost.box.cx, box.cy - self.lost.box.cy) / self.lost.box.size
        growth = box.size / self.lost.box.size
        return (
            config.max_gap_s + TICK_TOLERANCE_S < unseen <= config.away_s
            and moved <= config.back_within
            and 1 / config.max_growth <= growth <= config.max_growth
        )

    def finish(self) -> None:
        """A video of a single look has nothing that could confirm its face."""
        if len(self.looks) == 1 and self.rival:
            self._follow_rival(only_last=True)

    def forget(self, before_s: float) -> None:
        while len(self.looks) > 1 and self.looks[1].time_s < before_s:
            del self.looks[0]


def track_faces(
    frames: Iterable[Frame], detector: FaceDetector, config: Following | None = None
) -> Iterator[FaceFrame]:
    """Follow one face through a video.

    The largest face is followed until it is lost or a larger one persists. A face counts from its
    second sight in a row, so that single false alarms are left out. Gaps of up to
    `config.max_gap_s` are bridged; in longer ones a frame has a box if the look next to it had. A face
    that comes back to its place after such a gap keeps its track.

    Args:
        frames: in order of time, e.g. `open_video(path).frames(fps=30, max_side=1280)`; reducing
            very large frames keeps the held ones small.
        detector: asked every `config.every_s`, and at the first and last frame.

    Yields:
        One FaceFrame for each frame, in order, `config.lookahead_s` behind the input.
    """
    config = config or Following()
    follower = _Follower(config)
    waiting: deque[Frame] = deque()
    due_s = -math.inf
    for frame in frames:
        waiting.append(frame)
        if frame.time_s < due_s - TICK_TOLERANCE_S:
            continue
        follower.look(frame, detector)
        late = frame.time_s - due_s > config.every_s
        due_s = (frame.time_s if late else due_s) + config.every_s
        while waiting[0].time_s < frame.time_s - config.lookahead_s:
            yield _placed(waiting.popleft(), follower.looks, config)
            follower.forget(waiting[0].time_s - config.lookahead_s)
    if waiting and follower.looks[-1].time_s < waiting[-1].time_s:
        follower.look(waiting[-1], detector)
    follower.finish()
    while waiting:
        yield _placed(waiting.popleft(), follower.looks, config)


def _placed(frame: Frame, looks: list[_Look], config: Following) -> FaceFrame:
    """The frame with its smoothed box and state, from the looks around it."""
    times = [look.time_s for look in looks]
    seen = [i for i, look in enumerate(looks) if look.box]
    before = max((i for i in seen if times[i] <= frame.time_s), default=None)
    after = min((i for i in seen if times[i] >= frame.time_s), default=None)
    state, path, track = "missing", -1, -1
    if before is not None and after is not None:
        same = looks[before].path == looks[after].path
        if same and times[after] - times[before] <= config.max_gap_s + TICK_TOLERANCE_S:
            state = "found" if after - before <= 1 else "bridged"
            path, track = looks[before].path, looks[before].track
    if track < 0:
        nearest = min(range(len(looks)), key=lambda i: abs(times[i] - frame.time_s))
        if looks[nearest].box:
            state, path, track = "found", looks[nearest].path, looks[nearest].track
    if track < 0:
        return FaceFrame(frame.index, frame.time_s, frame.image, None, state, track)
    near = [look for look in looks if look.path == path]
    path = np.array([[b.cx, b.cy, math.log(b.size), b.roll, b.score] for b in (k.box for k in near)])
    times = np.array([look.time_s for look in near]) - frame.time_s
    cx, cy, log_size, roll = smooth_path(times, path[:, :4], config.smoothing).tolist()
    size = math.exp(log_size)
    score = float(np.interp(0.0, times, path[:, 4]))
    box = Box(cx - size / 2, cy - size / 2, size, size, score, roll)
    return FaceFrame(frame.index, frame.time_s, frame.image, box, state, track)


class Counted:
    """A detector, and in how many of its looks at the whole picture somebody else was as near.

    One face is followed, and whose is not always plain: two people at a table are told of.
    """

    AS_NEAR = 0.6  # size of the second face, of the first; a passer-by or a picture on the wall is smaller
    OFTEN = 0.3  # share of the looks from which on it is told, at least
    LEAST = 3  # so many looks: a single one may be a false alarm

    def __init__(self, detector: FaceDetector):
        self.detector, self.looks, self.several = detector, 0, 0

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        boxes = self.detector.detect(image, near=near)
        if near is None:
            self.looks += 1
            self.several += self._several(boxes)
        return boxes

    def _several(self, boxes: list[Box]) -> bool:
        first = max(boxes, key=lambda b: b.size, default=None)
        return any(b.size >= self.AS_NEAR * first.size and _iou(b, first) < 0.1 for b in boxes if b != first)

    def problems(self) -> list[str]:
        """One line if there was often another face, else none."""
        if self.several < max(self.LEAST, self.OFTEN * self.looks):
            return []
        share = f"{self.several / self.looks:.0%} of the looks at the whole picture"
        return [f"another face about as large in {share}: only one is followed; --thumbnails shows whose"]


def _iou(a: Box, b: Box) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    both = max(0.0, width) * max(0.0, height)
    return both / (a.w * a.h + b.w * b.h - both)


def crop(
    image: np.ndarray,
    box: Box,
    size: int = 112,
    scale: float = CROP_SCALE,
    down: float = CROP_DOWN,
) -> np.ndarray:
    """Cut the face out: a square of `scale` box sizes, `down` box sizes below the box's centre.

    A tilted head comes out upright: the square turns with it. Exact to fractions of a pixel,
    averaged over areas where it shrinks; beyond the image's edge the outermost pixels are repeated.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        size: side of the answer in pixels.

    Returns:
        (size, size, 3) or (size, size) uint8.
    """
    side = box.size * scale
    # Sampled `fine` times as densely as needed, then averaged: an area filter at any position.
    fine = max(1, math.ceil(side / size))
    step = side / (size * fine)  # source pixels from sample to sample; pixel centres are at .5
    cos, sin = math.cos(math.radians(box.roll)), math.sin(math.radians(box.roll))
    turn = np.array([[cos, sin], [-sin, cos]])  # of the face; y points down
    first = turn @ (step / 2 - side / 2, step / 2 - side / 2 + down * box.size)
    corner = np.array([[box.cx], [box.cy]]) + first[:, None] - 0.5
    matrix = np.hstack([step * turn, corner])
    samples = cv2.warpAffine(
        image,
        matrix,
        (size * fine, size * fine),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(samples, (size, size), interpolation=cv2.INTER_AREA) if fine > 1 else samples


def missing_spans(states: Iterable[str], fps: float) -> pd.DataFrame:
    """Where no face was: one row for each run of "missing" in the states of all frames.

    Returns:
        start_frame, end_frame (0-based, inclusive), start_s, end_s = (end_frame + 1) / fps.
    """
    missing = np.array([state == "missing" for state in states], dtype=np.int8)
    edges = np.flatnonzero(np.diff(missing, prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    return pd.DataFrame(
        {
            "start_frame": starts,
            "end_frame": ends - 1,
            "start_s": starts / fps,
            "end_s": ends / fps,
        }
    )

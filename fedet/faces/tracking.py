"""The face of a video: detected a few times a second, tracked, and cropped without jitter.

A detector looks at a frame about six times a second. Its boxes jitter by more than a
micro-expression moves the skin, so the path of the box is smoothed over two seconds, in both
directions of time: a frame is returned once the detections after it are known. At most
`TrackingConfig.lookahead_s` of frames are held, whatever the length of the video.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from fedet.faces.detectors import Box, FaceDetector
from fedet.faces.smoothing import Smoothing, smooth_path
from fedet.video.reader import TICK_TOLERANCE_S, Frame, LazyFrame

# The crop is a square of CROP_SCALE box sizes whose centre lies CROP_DOWN box sizes below the
# box's. On the crop's own scale (0 top, 1 bottom) a person who looks ahead has the brows at 0.22,
# the eyes at 0.33, the mouth at 0.68 and the chin at 0.85, and a face 0.63 wide. The space below
# is for a dropped jaw.
CROP_SCALE = 1.2
CROP_DOWN = 0.12


class FaceFrame(NamedTuple):
    """A frame with the face's box, or None where there is none."""

    index: int
    time_s: float
    image: np.ndarray  # (H, W, 3) uint8 RGB, the whole frame
    box: Box | None  # in pixels of `image`
    state: str  # "found", "bridged" (a short gap, interpolated) or "missing"
    track: int  # number of the face: changes when another one is tracked; -1 where missing


@dataclass(frozen=True)
class TrackingConfig:
    """How a face is tracked. Times in seconds, distances in box sizes."""

    every_s: float = 1 / 6  # between searches near the tracked face; every 5 frames at 30 fps
    wide_every_s: float = 1.0  # between searches of the whole image, for a larger face
    max_gap_s: float = 1.0  # a longer gap is "missing"
    takeover_s: float = 1.0  # a larger face takes over after this long
    takeover_ratio: float = 1.3  # ... if it is larger by this
    max_step: float = 0.5  # a face moves at most this far from one search to the next, ...
    max_speed: float = 1.0  # ... plus this many sizes for each second since it was detected
    max_growth: float = 1.5  # and its size changes at most by this factor
    # A face that returns after at most `away_s`, with no other face in between, within `back_within` sizes
    # of its old position is the same one.
    away_s: float = 20.0
    back_within: float = 0.8
    smoothing: Smoothing = Smoothing()

    @property
    def lookahead_s(self) -> float:
        """Frames are held for this long: the window, and the median's reach beyond it."""
        return max(self.smoothing.size_s, self.max_gap_s) + 3 * self.every_s

    def continues(self, box: Box, before: Box, after_s: float) -> bool:
        """Whether a face at `before` can be at `box` so many seconds later."""
        reach = before.size * (self.max_step + self.max_speed * after_s)
        return (
            math.hypot(box.cx - before.cx, box.cy - before.cy) <= reach
            and 1 / self.max_growth <= box.size / before.size <= self.max_growth
        )


@dataclass
class _Look:
    """A frame in which the detector searched."""

    time_s: float
    box: Box | None = None  # the tracked face, if it was detected
    path: int = -1  # boxes of one path are smoothed together: a long gap ends it
    track: int = -1  # number of the face


@dataclass
class _Tracker:
    """Decides which of the boxes of each look is the tracked face."""

    config: TrackingConfig
    looks: list[_Look] = field(default_factory=list)
    path: int = -1  # numbers of the latest path and track
    track: int = -1
    last: _Look | None = None  # the latest detection of the tracked face, None if it is lost
    lost: _Look | None = None  # the latest detection of the face that was lost
    last_s: float = -math.inf  # time of the tracked face's detection before the present look
    rival: list[tuple[_Look, Box]] = field(default_factory=list)
    wide_s: float = -math.inf  # when the whole image was last searched
    picture: object = None  # of the latest look
    image: np.ndarray | None = None  # the same as RGB
    found: dict[bool, list[Box]] = field(default_factory=dict)  # faces in it: near the last one, everywhere

    def look(self, frame: Frame | LazyFrame, detector: FaceDetector) -> None:
        """Searches the frame for the tracked face; a picture shown again is not searched again."""
        if frame.picture is not self.picture:
            self.picture, self.image, self.found = frame.picture, frame.image, {}
        look = _Look(frame.time_s)
        self.looks.append(look)
        if self.last:
            self.last_s = self.last.time_s
            if look.time_s - self.last_s > self.config.max_gap_s + TICK_TOLERANCE_S:
                self.lost, self.last = self.last, None
        boxes: list[Box] = []
        match = None
        if self.last:
            boxes = self._detect(detector, self.last.box)
            match = self._match(boxes, self.last, look.time_s)
        wide = match is None or look.time_s - self.wide_s > self.config.wide_every_s - 0.01
        if wide:
            self.wide_s = look.time_s
            boxes = boxes + self._detect(detector)
            match = match or (self.last and self._match(boxes, self.last, look.time_s))
        if match:
            look.box, look.path, look.track, self.last = match, self.path, self.track, look
        if wide:
            self._consider_rival(look, boxes, match)

    def _detect(self, detector: FaceDetector, near: Box | None = None) -> list[Box]:
        key = near is None
        if key not in self.found:
            self.found[key] = detector.detect(self.image, near=near)
        return self.found[key]

    def _match(self, boxes: list[Box], last: _Look, time_s: float) -> Box | None:
        candidates = [b for b in boxes if self.config.continues(b, last.box, time_s - last.time_s)]
        return max(candidates, key=lambda b: _iou(b, last.box), default=None)

    def _consider_rival(self, look: _Look, boxes: list[Box], match: Box | None) -> None:
        """Another face takes over when the tracked one is lost, or if it is clearly larger for long
        enough. A single detection may be a false alarm and does not count."""
        if match:
            least = match.size * self.config.takeover_ratio
            boxes = [b for b in boxes if b.size >= least and _iou(b, match) < 0.3]
        box = max(boxes, key=lambda b: b.size, default=None)
        if box is None:
            self.rival = []
            return
        if self.rival:
            before, before_box = self.rival[-1]
            if not self.config.continues(box, before_box, look.time_s - before.time_s):
                self.rival = []
        self.rival.append((look, box))
        if match:
            ready = look.time_s - self.rival[0][0].time_s >= self.config.takeover_s - 0.01
        else:
            ready = self.last is None and len(self.rival) >= 2
        if ready:
            self._switch_to_rival(only_last=match is not None)

    def _switch_to_rival(self, only_last: bool) -> None:
        self.path += 1
        self.track += not self._is_back(only_last)
        for look, box in self.rival[-1:] if only_last else self.rival:
            if only_last or look.time_s > self.last_s:  # after a cut: from its first detection on
                look.box, look.path, look.track = box, self.path, self.track
        self.last, self.rival = self.rival[-1][0], []

    def _is_back(self, taken_over: bool) -> bool:
        """Whether the rival is the face that was tracked before and lost for a while.

        After a cut another face is there at once, so a gap is required.
        """
        if taken_over or self.lost is None:
            return False
        (first, box), config = self.rival[0], self.config
        gap_s = first.time_s - self.lost.time_s
        moved = math.hypot(box.cx - self.lost.box.cx, box.cy - self.lost.box.cy) / self.lost.box.size
        growth = box.size / self.lost.box.size
        return (
            config.max_gap_s + TICK_TOLERANCE_S < gap_s <= config.away_s
            and moved <= config.back_within
            and 1 / config.max_growth <= growth <= config.max_growth
        )

    def finish(self) -> None:
        """In a video with a single look nothing could confirm its face: it counts."""
        if len(self.looks) == 1 and self.rival:
            self._switch_to_rival(only_last=True)

    def looked_until(self) -> float:
        """Time of the latest look; minus infinity before the first."""
        return self.looks[-1].time_s if self.looks else -math.inf

    def forget(self, before_s: float) -> None:
        """Drops the looks before `before_s` but the latest of them."""
        while len(self.looks) > 1 and self.looks[1].time_s < before_s:
            del self.looks[0]


def track_faces(
    frames: Iterable[Frame], detector: FaceDetector, config: TrackingConfig | None = None
) -> Iterator[FaceFrame]:
    """Track one face through a video.

    The largest face is tracked until it is lost or a larger one persists. A face counts from its
    second detection in a row, so that single false alarms are left out. Gaps of up to
    `config.max_gap_s` are bridged; in longer ones a frame has a box if the look next to it had one. A
    face that returns to its position after such a gap keeps its track.

    Args:
        frames: in order of time, e.g. `open_video(path).frames(fps=30, max_side=1280)`; reducing
            very large frames keeps the held ones small. In damaged ones there is no face.
        detector: called every `config.every_s`, and at the first and last frame.

    Yields:
        One FaceFrame for each frame, in order, `config.lookahead_s` after it was read.
    """
    for frame, box, state, track in track_boxes(frames, detector, config):
        yield FaceFrame(frame.index, frame.time_s, frame.image, box, state, track)


class Tracked(NamedTuple):
    """A frame, perhaps not converted to RGB yet, with its face; see `FaceFrame`."""

    frame: Frame | LazyFrame
    box: Box | None
    state: str
    track: int


def track_boxes(
    frames: Iterable[Frame | LazyFrame], detector: FaceDetector, config: TrackingConfig | None = None
) -> Iterator[Tracked]:
    """As `track_faces`; only frames in which the detector searches are converted to RGB."""
    config = config or TrackingConfig()
    tracker = _Tracker(config)
    waiting: deque[Frame | LazyFrame] = deque()
    due_s = -math.inf
    for frame in frames:
        waiting.append(frame)
        if frame.time_s < due_s - TICK_TOLERANCE_S:
            continue
        if not frame.damaged:
            tracker.look(frame, detector)
        late = frame.time_s - due_s > config.every_s
        due_s = (frame.time_s if late else due_s) + config.every_s
        ready = []
        while waiting[0].time_s < frame.time_s - config.lookahead_s:
            ready.append(waiting.popleft())
        yield from _with_boxes(ready, tracker.looks, config)
        tracker.forget(waiting[0].time_s - config.lookahead_s)
    if waiting and not waiting[-1].damaged and tracker.looked_until() < waiting[-1].time_s:
        tracker.look(waiting[-1], detector)
    tracker.finish()
    yield from _with_boxes(list(waiting), tracker.looks, config)


def _with_boxes(
    frames: list[Frame | LazyFrame], looks: list[_Look], config: TrackingConfig
) -> Iterator[Tracked]:
    """The frames with smoothed boxes and states, from the looks around them."""
    faces = [
        ("missing", -1, -1) if frame.damaged or not looks else _face_at(frame.time_s, looks, config)
        for frame in frames
    ]
    boxes: dict[int, Box] = {}
    for path in {path for _, path, _ in faces} - {-1}:
        numbers = [i for i, face in enumerate(faces) if face[1] == path]
        near = [look for look in looks if look.path == path]
        values = np.array([[b.cx, b.cy, math.log(b.size), b.roll, b.score] for b in (k.box for k in near)])
        times, at = np.array([look.time_s for look in near]), np.array([frames[i].time_s for i in numbers])
        smooth = smooth_path(at, times, values[:, :4], config.smoothing).tolist()
        scores = np.interp(at, times, values[:, 4]).tolist()
        for i, (cx, cy, log_size, roll), score in zip(numbers, smooth, scores, strict=True):
            size = math.exp(log_size)
            boxes[i] = Box(cx - size / 2, cy - size / 2, size, size, score, roll)
    for i, (frame, (state, _, track)) in enumerate(zip(frames, faces, strict=True)):
        yield Tracked(frame, boxes.get(i), state, track)


def _face_at(time_s: float, looks: list[_Look], config: TrackingConfig) -> tuple[str, int, int]:
    """State, path and track at a time; -1 where there is no face."""
    times = [look.time_s for look in looks]
    detected = [i for i, look in enumerate(looks) if look.box]
    before = max((i for i in detected if times[i] <= time_s), default=None)
    after = min((i for i in detected if times[i] >= time_s), default=None)
    if before is not None and after is not None:
        same = looks[before].path == looks[after].path
        if same and times[after] - times[before] <= config.max_gap_s + TICK_TOLERANCE_S:
            state = "found" if after - before <= 1 else "bridged"
            return state, looks[before].path, looks[before].track
    nearest = min(range(len(looks)), key=lambda i: abs(times[i] - time_s))
    if looks[nearest].box:
        return "found", looks[nearest].path, looks[nearest].track
    return "missing", -1, -1


class CountingDetector:
    """A detector that counts the searches of the whole picture with a second face about as large.

    Only one face is tracked: a video of two people at a table is reported.
    """

    AS_LARGE = 0.6  # least size of a second face, of the first's; a passer-by is smaller
    OFTEN = 0.3  # share of the searches from which on it is reported, ...
    LEAST = 3  # ... and least number of them: a single one may be a false alarm

    DARK = 30.0  # mean brightness, of 255, below which faces are not seen
    SMALL_PX = 120  # shorter side of a picture below which they are too small

    def __init__(self, detector: FaceDetector):
        self.detector, self.searches, self.several = detector, 0, 0
        self.seen, self.brightness, self.side = 0, 0.0, 0  # searches with a face; sum; shorter side
        self._alone = threading.Lock()  # cascades serve one thread at a time

    def detect(self, image: np.ndarray, near: Box | None = None) -> list[Box]:
        with self._alone:
            boxes = self.detector.detect(image, near=near)
            if near is None:
                self.searches += 1
                self.several += self._several(boxes)
                self.seen += bool(boxes)
                self.brightness += float(image[::8, ::8].mean())
                self.side = min(image.shape[:2])
            return boxes

    def why_nobody(self) -> str:
        """The likely reason why no face was tracked, for a sentence."""
        if not self.searches:
            return "every picture is damaged"
        if self.brightness < self.DARK * self.searches:
            return f"the picture is dark, {self.brightness / self.searches:.0f} of 255 on average"
        if self.seen:
            return f"something like a face in {self.seen} of {self.searches} searches, never twice in a row"
        if self.side < self.SMALL_PX:
            return f"the picture is tiny, {self.side} pixels on its shorter side"
        return "no face that is upright, seen from the front and uncovered"

    def _several(self, boxes: list[Box]) -> bool:
        first = max(boxes, key=lambda b: b.size, default=None)
        return any(b.size >= self.AS_LARGE * first.size and _iou(b, first) < 0.1 for b in boxes if b != first)

    def problems(self) -> list[str]:
        """One line if there was often another face, else none."""
        if self.several < max(self.LEAST, self.OFTEN * self.searches):
            return []
        return [
            f"another face about as large in {self.several / self.searches:.0%} of the searches of the whole "
            "picture: only one is tracked; --thumbnails shows whose"
        ]


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
    """Crop the face: a square of `scale` box sizes, `down` box sizes below the box's centre.

    A tilted head comes out upright: the square turns with it. Exact to fractions of a pixel,
    averaged over areas where it shrinks; beyond the image's edge the outermost pixels are repeated.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        size: side of the crop in pixels.

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
    """The spans without a face: one row for each run of "missing" in the states of all frames.

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

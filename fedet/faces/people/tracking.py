"""All faces of a video, each followed as long as it can be followed without doubt.

What comes out are fragments: unbroken stretches of one face. A fragment ends where the face is lost for
longer than a short gap, at a cut of the picture, and where two faces that touched part again, since a
tracker may have swapped them there. Who is who across fragments is decided afterwards, from the faces
themselves, see `fedet.faces.people.identity`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from fedet.faces.detectors import SMALL_FACE, SURE_NEIGHBORS, Box, FaceDetector, HaarDetector
from fedet.faces.tracking import TrackingConfig, _iou, _Look, _with_boxes
from fedet.video.reader import TICK_TOLERANCE_S, Frame, LazyFrame

OVERLAP = 0.3  # boxes that overlap by more (IoU) hold the same face
TOUCH = 0.05  # faces whose boxes overlap by more touch: a tracker may swap them
CUT = 28.0  # mean change of a small grey picture, of 255, from one search to the next; more is a cut
THUMB = (32, 18)  # size of that picture


class Sighting(NamedTuple):
    """A face in one frame."""

    fragment: int  # number of the stretch in which this face is followed without a break
    box: Box  # in pixels of the frame
    state: str  # "found", or "bridged" in a short gap


class FacesAt(NamedTuple):
    """A frame, perhaps not converted to RGB yet, with all its faces."""

    frame: Frame | LazyFrame
    faces: list[Sighting]
    view: int = 0  # number of the camera's view: changes at a cut, and is the same again when it returns


def default_searches() -> tuple[FaceDetector, ...]:
    """OpenCV's cascades for faces of usual size, then for small ones: groups stand further away."""
    return HaarDetector(), HaarDetector(SURE_NEIGHBORS, min_face=SMALL_FACE)


def find_all(searches: Sequence[FaceDetector], image: np.ndarray) -> list[Box]:
    """Every face in a picture.

    Detectors search a second way (tilted, dark) only where the first found nobody. So the faces that were
    found are painted over, and the search goes on: next to a person who looks ahead another may lean.
    """
    found: list[Box] = []
    rest = image
    for number, detector in enumerate((searches[0], *searches)):
        boxes = [b for b in detector.detect(rest) if all(_iou(b, other) <= OVERLAP for other in found)]
        for box in sorted(boxes, key=lambda b: -b.size):
            if all(_iou(box, other) <= OVERLAP and not _inside(box, other) for other in found):
                found.append(box)
        if boxes and number < len(searches):
            rest = _painted_over(rest, boxes)
    return found


def _inside(box: Box, other: Box) -> bool:
    """Whether the centre of a box lies within the other: a mouth or an eye taken for a face."""
    return other.x < box.cx < other.x + other.w and other.y < box.cy < other.y + other.h


def _painted_over(image: np.ndarray, boxes: Iterable[Box]) -> np.ndarray:
    out = image.copy()
    for box in boxes:
        left, top = max(0, int(box.x)), max(0, int(box.y))
        face = out[top : int(box.y + box.h) + 1, left : int(box.x + box.w) + 1]
        if face.size:
            face[:] = face.mean((0, 1)).astype(np.uint8)
    return out


@dataclass
class _Fragment:
    """A face that is being followed."""

    number: int = -1  # below 0 while nothing has confirmed it
    looks: list[_Look] = field(default_factory=list)
    last: _Look | None = None  # the latest detection
    from_s: float = -math.inf  # frames before this and from `until_s` on belong to others
    until_s: float = math.inf
    touching: bool = False
    alive: bool = True

    def see(self, time_s: float, box: Box | None) -> None:
        look = _Look(time_s, box, 0 if box else -1, self.number if box else -1)
        self.looks.append(look)
        if box:
            self.last = look


@dataclass
class _GroupTracker:
    """Decides which box of each search belongs to whom."""

    config: TrackingConfig
    searches: Sequence[FaceDetector]
    fragments: list[_Fragment] = field(default_factory=list)
    count: int = 0
    wide_s: float = -math.inf  # when the whole picture was last searched
    picture: object = None
    image: np.ndarray | None = None
    found: dict[int | None, list[Box]] = field(default_factory=dict)
    thumb: np.ndarray | None = None
    previous_s: float | None = None  # time of the search before
    views: list[tuple[float, int]] = field(default_factory=lambda: [(-math.inf, 0)])  # since when which
    view_thumbs: list[np.ndarray] = field(default_factory=list)  # the latest picture of each view

    @property
    def live(self) -> list[_Fragment]:
        return [f for f in self.fragments if f.alive]

    def look(self, frame: Frame | LazyFrame, since: Sequence[Frame | LazyFrame]) -> None:
        """Searches a frame; `since`: the frames after the search before, this one included."""
        if frame.picture is not self.picture:
            self.picture, self.image, self.found = frame.picture, frame.image, {}
        cut_s = self._cut(since)
        for fragment in self.live:
            lost = frame.time_s - fragment.last.time_s > self.config.max_gap_s + TICK_TOLERANCE_S
            if cut_s is not None or lost or fragment.number < 0 and fragment.looks[-1].box is None:
                fragment.alive = False
                fragment.until_s = math.inf if cut_s is None else cut_s
        followed = [f for f in self.live if f.number >= 0]
        pairs = [(f, box) for f in followed for box in self._near(f)]
        taken = self._assign(pairs, frame.time_s, {})
        wide = len(taken) < len(self.live) or not followed
        if wide or frame.time_s - self.wide_s > self.config.wide_every_s - 0.01:
            self.wide_s = frame.time_s
            boxes = self._everywhere()
            pairs = [(f, box) for f in self.live if id(f) not in taken for box in boxes]
            taken = self._assign(pairs, frame.time_s, taken)
            new = [b for b in boxes if not self._known(b, taken)]
        else:
            new = []
        self._note(frame.time_s, taken, new, cut_s)

    def _near(self, fragment: _Fragment) -> list[Box]:
        if fragment.number not in self.found:
            near = fragment.last.box
            self.found[fragment.number] = self.searches[0].detect(self.image, near=near)
        return self.found[fragment.number]

    def _everywhere(self) -> list[Box]:
        if None not in self.found:
            self.found[None] = find_all(self.searches, self.image)
        return self.found[None]

    def _assign(
        self, pairs: list[tuple[_Fragment, Box]], time_s: float, taken: dict[int, Box]
    ) -> dict[int, Box]:
        """Box by the identity of its fragment, one to one: the largest overlap with the last box first."""
        possible = [(f, b) for f, b in pairs if self.config.continues(b, f.last.box, time_s - f.last.time_s)]
        taken = dict(taken)
        for fragment, box in sorted(possible, key=lambda p: -_iou(p[1], p[0].last.box)):
            if id(fragment) not in taken and all(_iou(box, other) <= OVERLAP for other in taken.values()):
                taken[id(fragment)] = box
        return taken

    def _known(self, box: Box, taken: dict[int, Box]) -> bool:
        return any(_iou(box, other) > 0.1 or _inside(box, other) for other in taken.values())

    def _note(self, time_s: float, taken: dict[int, Box], new: list[Box], cut_s: float | None) -> None:
        """The search's result: faces go on, are confirmed, part, or begin."""
        here = {id(f): taken.get(id(f), f.last.box) for f in self.live}
        for fragment in self.live:
            box = taken.get(id(fragment))
            others = [other for key, other in here.items() if key != id(fragment)]
            touches = any(_iou(here[id(fragment)], other) > TOUCH for other in others)
            interrupted = fragment.looks[-1].box is None
            if box and fragment.number >= 0 and fragment.touching and (not touches or interrupted):
                fragment.alive, fragment.until_s = False, time_s
                fragment = self._begin(time_s, box, time_s)
                self._confirm(fragment)
            else:
                fragment.see(time_s, box)
            fragment.touching = touches or fragment.touching and box is None
            if box and fragment.number < 0:
                self._confirm(fragment)
        for box in new:
            self._begin(time_s, box, -math.inf if cut_s is None else cut_s)

    def _begin(self, time_s: float, box: Box, from_s: float) -> _Fragment:
        fragment = _Fragment(from_s=from_s)
        if from_s == -math.inf and self.previous_s is not None:
            fragment.see(self.previous_s, None)
        fragment.see(time_s, box)
        self.fragments.append(fragment)
        return fragment

    def _confirm(self, fragment: _Fragment) -> None:
        fragment.number, self.count = self.count, self.count + 1

    def _cut(self, since: Sequence[Frame | LazyFrame]) -> float | None:
        """The time of the first frame after a cut since the search before; None without one."""
        before, self.thumb = self.thumb, _thumb(self.image)
        cut_s = None
        if before is not None and _change(before, self.thumb) >= CUT:
            thumbs = [before, *(_thumb(frame.image) for frame in since)]
            changes = [_change(a, b) for a, b in pairwise(thumbs)]
            if max(changes) >= CUT / 2:
                cut_s = since[int(np.argmax(changes))].time_s
        if cut_s is not None:
            same = [i for i, thumb in enumerate(self.view_thumbs) if _change(thumb, self.thumb) < CUT / 2]
            self.views.append((cut_s, same[0] if same else len(self.view_thumbs)))
        view = self.views[-1][1]
        self.view_thumbs[view : view + 1] = [self.thumb]
        return cut_s

    def finish(self) -> None:
        """In a video with a single search nothing could confirm a face: all count."""
        if self.previous_s is None:
            for fragment in self.live:
                self._confirm(fragment)

    def forget(self, before_s: float) -> None:
        """Drops what lies before `before_s`: fragments that ended, and searches but the latest of them."""
        self.fragments = [f for f in self.fragments if f.alive or f.looks[-1].time_s >= before_s]
        for fragment in self.fragments:
            while len(fragment.looks) > 1 and fragment.looks[1].time_s < before_s:
                del fragment.looks[0]


def _thumb(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, THUMB, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def track_all(
    frames: Iterable[Frame | LazyFrame],
    searches: Sequence[FaceDetector] | None = None,
    config: TrackingConfig | None = None,
) -> Iterator[FacesAt]:
    """Follows every face through a video, in one pass.

    A face counts from its second detection in a row. Near each face the first detector of `searches`
    searches every `config.every_s`; the whole picture is searched once a second, and while a face is
    missing.

    Yields:
        One `FacesAt` for each frame, in order, `config.lookahead_s` after it was read.
    """
    config = config or TrackingConfig()
    tracker = _GroupTracker(config, searches or default_searches())
    waiting: deque[Frame | LazyFrame] = deque()
    since: list[Frame | LazyFrame] = []
    due_s = -math.inf
    for frame in frames:
        waiting.append(frame)
        since.append(frame)
        if frame.time_s < due_s - TICK_TOLERANCE_S:
            continue
        if not frame.damaged:
            tracker.look(frame, [f for f in since if not f.damaged])
            tracker.previous_s, since = frame.time_s, []
        late = frame.time_s - due_s > config.every_s
        due_s = (frame.time_s if late else due_s) + config.every_s
        ready = []
        while waiting[0].time_s < frame.time_s - config.lookahead_s:
            ready.append(waiting.popleft())
        yield from _with_faces(ready, tracker, config)
        tracker.forget(waiting[0].time_s - config.lookahead_s)
    if since and not since[-1].damaged:
        tracker.look(since[-1], [f for f in since if not f.damaged])
    else:
        tracker.previous_s = tracker.previous_s if len(waiting) > 1 else None
    tracker.finish()
    yield from _with_faces(list(waiting), tracker, config)


def _with_faces(
    frames: list[Frame | LazyFrame], tracker: _GroupTracker, config: TrackingConfig
) -> Iterator[FacesAt]:
    """The frames with all confirmed faces, their boxes smoothed along each fragment."""
    faces: list[list[Sighting]] = [[] for _ in frames]
    for fragment in tracker.fragments:
        if fragment.number < 0 or not frames:
            continue
        for at, tracked in zip(faces, _with_boxes(frames, fragment.looks, config), strict=True):
            if tracked.box and fragment.from_s <= tracked.frame.time_s < fragment.until_s:
                at.append(Sighting(fragment.number, tracked.box, tracked.state))
    for frame, at in zip(frames, faces, strict=True):
        while len(tracker.views) > 1 and tracker.views[1][0] <= frame.time_s:
            del tracker.views[0]
        yield FacesAt(frame, at, tracker.views[0][1])

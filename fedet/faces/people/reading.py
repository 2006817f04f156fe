"""Everybody in a video: the vectors of each person's face, read in one pass.

`tracking` follows all faces, `identity` says which belong to one person. Time grows with the faces seen, not
with people times frames; memory stays flat, vectors go to files.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.adaptation import FACES, _spread, check_share
from fedet.faces.detectors import Box, FaceDetector
from fedet.faces.extraction import (
    CROP,
    MIN_FPS,
    map_private,
    no_points,
    one_core_each,
    points_in,
    prefetch,
    private_file,
)
from fedet.faces.landmarks import SIZE, LandmarkNet
from fedet.faces.network import (
    WIDTH,
    FaceNet,
    adapted_net,
    check_precision,
    fold_batch_norms,
    for_inference,
    vectors_of,
)
from fedet.faces.novelty import FeatureDistribution, distribution_for
from fedet.faces.people.identity import GROWTH, NEAR, Stretch, join_stretches, look_alikes, whitened
from fedet.faces.people.tracking import FacesAt, Sighting, default_searches, find_all, track_all
from fedet.faces.tracking import crop
from fedet.faces.vectors import (
    ARRAYS,
    CACHE_ERRORS,
    FPS,
    POINTS_EVERY,
    STATES,
    FaceTrack,
    KeptPoints,
    arrays_of,
    cache_file,
    load_track,
    save_cached,
    search_version,
)
from fedet.files import atomic_write
from fedet.video.reader import MAX_SIDE, Video, open_video

SAMPLE_S = 0.5  # a face is compared with others once in this time
LEAST_S = 1.0  # people seen for less are left out, and reported
STILL = 1.0  # mean change of a face from sample to sample, grey steps of 255; a picture on a wall has less
STILL_S = 5.0  # ... seen for this long
KNOWN = 0.5  # likeness and place from which on a face is read by the network of someone met before


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a video."""

    faces: FaceTrack  # with its boxes
    thumb: np.ndarray  # (112, 112, 3) uint8 RGB, the face at its calmest
    change: float  # mean change of the face from sample to sample, grey steps

    @cached_property
    def centres(self) -> np.ndarray:
        """(T, 4) float32 centre x and y, size, tilt; pixels of the video, degrees, NaN without a face."""
        left, top, size, roll = np.asarray(self.faces.boxes).T
        out = np.stack([left + size / 2, top + size / 2, size, roll], 1)
        return np.where(self.faces.mask[:, None], out, np.nan)

    @property
    def seconds(self) -> float:
        """How long the face is seen."""
        return float(self.faces.mask.sum()) / FPS

    @property
    def seems_still(self) -> bool:
        """Whether it never moves: a picture on a wall, or a frozen image."""
        return self.change < STILL and self.seconds >= STILL_S


@dataclass(frozen=True, eq=False)
class People:
    """Everybody in one video, in order of appearance."""

    persons: tuple[Person, ...]
    frames: int  # T, at 30 a second
    fps: float  # nominal rate of the video itself
    size: tuple[int, int]  # width and height of the video as displayed, pixels
    problems: tuple[str, ...]  # what could not be read, was left out, or is doubtful
    alike: tuple[tuple[int, int], ...] = ()  # numbers of people whom the network can hardly tell apart


class _Item(NamedTuple):
    """A face to be read."""

    frame: int
    sighting: Sighting
    crop: np.ndarray | None  # None: the picture is that of the frame before
    net: int
    sample: bool  # whether the unadapted network reads it too
    smaller: np.ndarray | None = None  # the crop for the landmark network


@dataclass
class _Known:
    """Someone seen in the sparse first look at the video, with the network adapted to the own face."""

    direction: np.ndarray  # sum of whitened vectors
    box: Box
    crops: list[np.ndarray] = field(default_factory=list)


class _Rows(NamedTuple):
    """What was read, a row a face and frame, in order of time."""

    frame: np.ndarray
    fragment: np.ndarray
    state: np.ndarray
    rest: np.ndarray
    box: np.ndarray  # (R, 4) left, upper edge, side and tilt, as in `FaceTrack.boxes`


def read_people(
    path: str | Path,
    net: FaceNet,
    weights: str | Path = "faces",
    searches: Sequence[FaceDetector] | None = None,
    batch_size: int = 32,
    progress: bool = False,
    cache: str | Path | None = None,
    opened: Video | None = None,
    adapt: float = 0.0,
    landmarks: LandmarkNet | None = None,
    precision: str = "fp32",
) -> People:
    """Reads a video, follows every face and turns each into vectors at 30 fps.

    Args:
        path: a video file or a folder of numbered images.
        weights: of `net`, to find what its training faces look like.
        searches: find faces, the first near known ones; None: OpenCV's cascades, also for small faces.
        cache, opened, adapt, batch_size, landmarks, precision: as for `fedet.faces.extraction.extract`; each
            person's network has the statistics of the own face.

    Raises InputError where the video cannot be read at all, or `adapt` is no share.
    """
    check_share(adapt)
    video = opened or open_video(path)
    precision = check_precision(precision)
    search = f"people {search_version(video, precision)}"
    detector = None if searches is None else searches[0]
    target = cache_file(Path(cache), path, net, detector, video.fps, search, adapt) if cache else None
    if target and target.with_suffix(".people.json").exists():
        with suppress(InputError, *CACHE_ERRORS):
            return _load(target)
    known = distribution_for(net, weights)[0]
    reader = _Reader(net, known, searches or default_searches(), adapt, landmarks, precision)
    reader.meet(video)
    with private_file() as file:
        people = reader.people(reader.read(file, video, batch_size, progress), file, video)
    if target is None:
        return people
    _save(people, target, net, adapt)
    return _load(target)


class _Reader:
    """The reading of one video."""

    def __init__(
        self,
        net: FaceNet,
        known: FeatureDistribution | None,
        searches: Sequence[FaceDetector],
        adapt: float,
        landmarks: LandmarkNet | None = None,
        precision: str = "fp32",
    ) -> None:
        self.precision = precision
        self.landmarks = landmarks and fold_batch_norms(landmarks)
        self.points: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = defaultdict(list)  # by fragment
        self.net, self.known, self.searches, self.adapt = net, known, searches, adapt
        self.plain = for_inference(net, precision)
        self.nets: list[FaceNet] = [self.plain]
        self.met: list[_Known] = []
        self.net_of: dict[int, int] = {}  # by fragment
        self.samples: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)  # frame and vector
        self.thumbs: dict[int, tuple[float, np.ndarray]] = {}  # how calm, and the crop
        self.small: dict[int, np.ndarray] = {}  # the last sample, small and grey
        self.changes: dict[int, list[float]] = defaultdict(list)
        self.view_of: dict[int, int] = {}  # by fragment
        self.damaged: list[bool] = []  # of each frame

    # ---- the first, sparse look: networks with the statistics of each face

    def meet(self, video: Video) -> None:
        """Adapts a network to each face seen in pictures spread over the video."""
        if not self.adapt:
            return
        for _, image in _spread(video, FACES):
            boxes = self._boxes_near_known(image)
            crops = [crop(image, box, CROP) for box in boxes]
            vectors = vectors_of(self.plain, np.stack(crops)).numpy(force=True) if crops else []
            self._greet(boxes, crops, vectors)
        for person in self.met:
            adapted = adapted_net(self.net, np.stack(person.crops), self.adapt)
            self.nets.append(for_inference(adapted, self.precision))
            person.crops = []

    def _boxes_near_known(self, image: np.ndarray) -> list[Box]:
        near = [b for p in self.met for b in self.searches[0].detect(image, near=p.box)[:1]]
        boxes: list[Box] = []
        for box in [*near, *find_all(self.searches, image)]:
            if all(abs(box.cx - b.cx) + abs(box.cy - b.cy) > 0.5 * b.size for b in boxes):
                boxes.append(box)
        return boxes

    def _greet(self, boxes: list[Box], crops: list[np.ndarray], vectors: Iterable[np.ndarray]) -> None:
        """Each face to whom it fits best, one to one; to a new person where it fits nobody."""
        units = [whitened(vector, self.known) for vector in vectors]
        fits = {
            (i, n): self._fit(unit, box, person)
            for i, (unit, box) in enumerate(zip(units, boxes, strict=True))
            for n, person in enumerate(self.met)
        }
        chosen: dict[int, int] = {}
        for (i, n), fit in sorted(fits.items(), key=lambda pair: -pair[1]):
            if fit >= KNOWN and i not in chosen and n not in chosen.values():
                chosen[i] = n
        for i, (unit, box, picture) in enumerate(zip(units, boxes, crops, strict=True)):
            if i in chosen:
                person = self.met[chosen[i]]
                person.direction, person.box = person.direction + unit, box
            else:
                person = _Known(unit, box)
                self.met.append(person)
            person.crops.append(picture)

    def _fit(self, unit: np.ndarray, box: Box, person: _Known) -> float:
        like = float(unit @ person.direction / max(np.linalg.norm(person.direction), 1e-9))
        return like + 0.35 * _same_place(box, person.box)

    # ---- the pass through the video

    def read(self, file: BinaryIO, video: Video, batch_size: int, progress: bool) -> _Rows:
        """Writes the vectors of all faces to `file`, frame by frame."""
        from tqdm.auto import tqdm

        tracked = tqdm(
            prefetch(track_all(prefetch(video.lazy_frames(FPS, MAX_SIDE), 16), self.searches), 32),
            total=round(video.duration_s * FPS) if video.duration_s else None,
            unit="frame",
            disable=not progress,
            desc=Path(video.path).name,
        )
        scale = MAX_SIDE / max(MAX_SIDE, video.width, video.height)  # of the pictures that are searched
        last: dict[int, tuple[np.ndarray, float]] = {}
        rows = [np.zeros((0, 8))]
        for items, vectors, rests, plain, *read in self._forward(self._batches(tracked, batch_size)):
            done = iter(zip(vectors, rests, plain, strict=True))
            self._note_points(items, *read)
            new = np.empty((len(items), 8))
            for row, item in zip(new, items, strict=True):
                if item.crop is not None:
                    vector, rest, sample = next(done)
                    last[item.sighting.fragment] = vector, rest
                    if item.sample:
                        self._note_sample(item, sample, rest)
                vector, rest = last[item.sighting.fragment]
                file.write(vector.tobytes())
                box, state = item.sighting.box, STATES.index(item.sighting.state)
                row[:4] = item.frame, item.sighting.fragment, state, rest
                row[4:] = box.x / scale, box.y / scale, box.size / scale, box.roll
            rows.append(new)
        table = np.concatenate(rows)
        return _Rows(
            table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].astype(np.uint8),
            table[:, 3].astype(np.float32), table[:, 4:].astype(np.float32),
        )  # fmt: skip

    def _batches(self, tracked: Iterable[FacesAt], size: int) -> Iterator[list[_Item]]:
        items: list[_Item] = []
        pictures: dict[int, object] = {}  # the latest of each fragment
        pointed: dict[int, object] = {}  # and of which the landmark network read it
        sampled: dict[int, int] = {}  # its frame
        for number, (frame, faces, view) in enumerate(tracked):
            self.damaged.append(frame.damaged)
            image = None
            for face in faces:
                fresh = pictures.get(face.fragment) is not frame.picture
                pictures[face.fragment] = frame.picture
                picture = smaller = None
                to_points = self.landmarks is not None and number % POINTS_EVERY == 0
                if to_points and pointed.get(face.fragment) is not frame.picture:
                    pointed[face.fragment] = frame.picture
                    image = frame.image if image is None else image
                    smaller = crop(image, face.box, SIZE)
                if fresh:
                    image = frame.image if image is None else image
                    picture = crop(image, face.box, CROP)
                if face.fragment not in self.net_of:
                    self.view_of[face.fragment] = view
                    self.net_of[face.fragment] = self._choose_net(picture, face.box)
                due = number - sampled.get(face.fragment, -(10**9)) >= SAMPLE_S * FPS
                if fresh and due:
                    sampled[face.fragment] = number
                net = self.net_of[face.fragment]
                items.append(_Item(number, face, picture, net, fresh and due, smaller))
            if len(items) >= size:
                yield items
                items = []
        if items:
            yield items

    def _choose_net(self, picture: np.ndarray | None, box: Box) -> int:
        """The network of the person whom this face fits best, 0 (not adapted) where it fits nobody."""
        if not self.met or picture is None:
            return 0
        unit = whitened(vectors_of(self.plain, picture[None])[0].numpy(force=True), self.known)
        fits = [self._fit(unit, box, person) for person in self.met]
        best = int(np.argmax(fits))
        return best + 1 if fits[best] >= KNOWN else 0

    def _forward(
        self, batches: Iterable[list[_Item]]
    ) -> Iterator[tuple[list[_Item], *tuple[np.ndarray, ...]]]:
        """As `fedet.faces.extraction`: as many threads as torch has, each on one processor core."""
        threads = torch.get_num_threads()
        with one_core_each(threads) as pool:
            waiting: deque[Future] = deque()
            for batch in batches:
                waiting.append(pool.submit(self._read_batch, batch))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _read_batch(self, items: list[_Item]) -> tuple[list[_Item], *tuple[np.ndarray, ...]]:
        """Vectors (N, 512) float16, rest (N,), vectors of the plain network (0 where none was asked), and
        points and state as of `KeptPoints`."""
        new = [item for item in items if item.crop is not None]
        vectors, rest = np.zeros((len(new), WIDTH), np.float16), np.zeros(len(new), np.float32)
        plain = np.zeros((len(new), WIDTH), np.float32)
        for number in sorted({item.net for item in new}):
            which = [i for i, item in enumerate(new) if item.net == number]
            out = vectors_of(self.nets[number], np.stack([new[i].crop for i in which]))
            vectors[which] = out.half().numpy(force=True)
            if self.net.heads is not None:
                rest[which] = self.net.rest(out).numpy(force=True)
            if number == 0:
                plain[which] = out.numpy(force=True)
        which = [i for i, item in enumerate(new) if item.sample and item.net]
        if which:
            plain[which] = vectors_of(self.plain, np.stack([new[i].crop for i in which])).numpy(force=True)
        smaller = [item.smaller for item in items if item.smaller is not None]
        return items, vectors, rest, plain, *points_in(smaller, self.landmarks)

    def _note_points(self, items: list[_Item], points: np.ndarray, state: np.ndarray) -> None:
        """Keeps what the landmark network read; of a picture shown again what it read the first time."""
        read = iter(zip(points, state, strict=True))
        for item in items:
            own = self.points[item.sighting.fragment]
            if item.smaller is not None:
                own.append((item.frame, *next(read)))
            elif self.landmarks is not None and item.frame % POINTS_EVERY == 0:
                own.append((item.frame, *own[-1][1:]))

    def _note_sample(self, item: _Item, vector: np.ndarray, rest: float) -> None:
        number = item.sighting.fragment
        self.samples[number].append((item.frame, vector))
        calm = rest if item.sighting.state == "found" else rest - 10
        if number not in self.thumbs or calm > self.thumbs[number][0]:
            self.thumbs[number] = calm, item.crop
        grey = cv2.cvtColor(item.crop, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (28, 28), interpolation=cv2.INTER_AREA).astype(np.float32)
        if number in self.small:
            self.changes[number].append(float(np.abs(small - self.small[number]).mean()))
        self.small[number] = small

    # ---- people

    def people(self, rows: _Rows, file: BinaryIO, video: Video) -> People:
        """Joins the fragments into people and writes the vectors of each into a file of the own."""
        numbers = np.unique(rows.fragment)
        stretches = [self._stretch(rows, int(n)) for n in numbers]
        joined = join_stretches(stretches, self.known)
        problems = [*video.problems, *joined.doubts]
        fps = float(video.fps or FPS)
        if fps < MIN_FPS:
            problems.append(f"{fps:.3g} frames a second: an expression needs {MIN_FPS:g} or more to show")
        vectors = map_private(file, len(rows.frame))
        persons, means = [], []
        for number in range(joined.person.max(initial=-1) + 1):
            own = numbers[joined.person == number]
            parts = [s for s, p in zip(stretches, joined.person, strict=True) if p == number]
            seconds = np.isin(rows.fragment, own).sum() / FPS
            if seconds < LEAST_S and len(self.damaged) >= LEAST_S * FPS:
                first = parts[0].first / FPS
                problems.append(f"a face seen for {seconds:.2f} s from {first:.1f} s on was left out")
                continue
            persons.append(self._person(rows, vectors, own, parts, fps))
            means.append(np.mean([v for s in parts for v in s.vectors], axis=0))
        alike = tuple(look_alikes(means, self.known))
        if not persons:
            problems.append("nobody seen")
        size = int(video.width), int(video.height)
        return People(tuple(persons), len(self.damaged), fps, size, tuple(problems), alike)

    def _stretch(self, rows: _Rows, number: int) -> Stretch:
        own = np.flatnonzero(rows.fragment == number)
        first, last = own[0], own[-1]
        boxes = [Box(x, y, side, side) for x, y, side in rows.box[[first, last], :3].tolist()]
        vectors = [vector for _, vector in self.samples[number]]
        return Stretch(int(rows.frame[first]), int(rows.frame[last]), *boxes, vectors, self.view_of[number])

    def _person(
        self, rows: _Rows, vectors: np.ndarray, own: np.ndarray, parts: list[Stretch], fps: float
    ) -> Person:
        n = len(self.damaged)
        which = np.flatnonzero(np.isin(rows.fragment, own))
        at = rows.frame[which]
        state = np.full(n, STATES.index("missing"), np.uint8)
        rest, boxes = np.zeros(n, np.float32), np.zeros((n, 4), np.float32)
        track = np.full(n, -1, np.int32)
        views = _views(own, parts, self.net_of)
        state[at], rest[at], boxes[at] = rows.state[which], rows.rest[which], rows.box[which]
        track[at] = [views[number] for number in rows.fragment[which].tolist()]
        samples = sorted((s for number in own.tolist() for s in self.samples[number]), key=lambda s: s[0])
        samples = samples if self.adapt else []
        points = None if self.landmarks is None else self._points_of(own, n, self.landmarks.digest)
        faces = FaceTrack(
            _spread_rows(vectors, which, at, n), rest, state, track, fps, (), self.net.name,
            np.array([v for _, v in samples], np.float16).reshape(-1, WIDTH),
            np.array([f for f, _ in samples], np.int32), boxes, np.array(self.damaged, bool), points,
        )  # fmt: skip
        thumb = max((self.thumbs[number] for number in own.tolist()), key=lambda t: t[0])[1]
        changes = [c for number in own.tolist() for c in self.changes[number]]
        return Person(faces, thumb, float(np.mean(changes)) if changes else np.inf)

    def _points_of(self, own: np.ndarray, n: int, digest: str) -> KeptPoints:
        kept = no_points(-(-n // POINTS_EVERY), digest)
        for number in own.tolist():
            for frame, points, state in self.points[number]:
                kept.points[frame // POINTS_EVERY], kept.state[frame // POINTS_EVERY] = points, state
        return kept


def _spread_rows(vectors: np.ndarray, which: np.ndarray, at: np.ndarray, n: int) -> np.ndarray:
    """(n, 512) mapped from a file without a name: the rows `which` at the frames `at`, else 0."""
    with private_file() as file:
        file.truncate(n * WIDTH * 2)  # frames without a face take no room
        for chunk in np.array_split(np.arange(len(which)), max(1, len(which) // 4096)):
            for row, frame in zip(which[chunk].tolist(), at[chunk].tolist(), strict=True):
                file.seek(frame * WIDTH * 2)
                file.write(vectors[row].tobytes())
        return map_private(file, n)


def _same_place(box: Box, other: Box) -> bool:
    away = np.hypot(box.cx - other.cx, box.cy - other.cy) / other.size
    return bool(away <= NEAR and 1 / GROWTH <= box.size / other.size <= GROWTH)


def _views(own: np.ndarray, parts: list[Stretch], net_of: dict[int, int]) -> dict[int, int]:
    """Number of the view of each fragment: those of one view share a resting face.

    A person seen from elsewhere, or read by another network, has another resting vector.
    """
    views: list[tuple[tuple[int, int], Box]] = []
    out: dict[int, int] = {}
    for number, part in sorted(zip(own.tolist(), parts, strict=True), key=lambda p: p[1].first):
        kind = net_of[number], part.view
        fits = [i for i, (k, box) in enumerate(views) if k == kind and _same_place(part.first_box, box)]
        if fits:
            out[number] = fits[-1]
            views[fits[-1]] = kind, part.last_box
        else:
            out[number] = len(views)
            views.append((kind, part.last_box))
    return out


# ---------------------------------------------------------------- files


def _save(people: People, target: Path, net: FaceNet, adapt: float) -> None:
    """The files of each person, and last the list of them, so that a broken run leaves no list."""
    notes = {"fps": people.fps, "problems": [], "weights": net.name, "digest": net.digest, "adapt": adapt}
    for number, person in enumerate(people.persons):
        path = target.with_name(f"{target.stem}-p{number}.f16")
        with atomic_write(path) as part, part.open("wb") as file:
            for start in range(0, people.frames, 4096):
                file.write(person.faces.vectors[start : start + 4096].tobytes())
        arrays = {name: getattr(person.faces, name) for name in ARRAYS} | arrays_of(person.faces.points)
        save_cached(path, arrays | {"thumb": person.thumb}, notes)
    facts = {
        "frames": people.frames, "fps": people.fps, "size": people.size, "alike": people.alike,
        "problems": list(people.problems), "changes": [p.change for p in people.persons],
    }  # fmt: skip
    with atomic_write(target.with_suffix(".people.json")) as part:
        part.write_text(json.dumps(facts) + "\n")


def _load(target: Path) -> People:
    """Raises InputError or one of `CACHE_ERRORS` where a file is missing or damaged."""
    facts = json.loads(target.with_suffix(".people.json").read_text())
    persons = []
    for number, change in enumerate(facts["changes"]):
        path = target.with_name(f"{target.stem}-p{number}.f16")
        with np.load(path.with_suffix(".npz")) as file:
            thumb = file["thumb"]
        persons.append(Person(load_track(path), thumb, float(change)))
    width, height = facts["size"]
    alike = tuple((int(a), int(b)) for a, b in facts["alike"])
    problems = tuple(facts["problems"])
    return People(tuple(persons), facts["frames"], facts["fps"], (width, height), problems, alike)

"""Frames of a video file or of a folder of numbered images, by presentation time.

Time zero is the first frame that can be shown, whatever its time stamp, or a broken one before it. A
frame's time is its own time stamp, never index / frame rate: files of variable rate are common, and
headers lie. `Video.frames` yields one frame after the other and holds none. `Video.problems` reports what
had to be repaired or left out.

Images are RGB, uint8, H x W x 3, as displayed: rotation and mirroring from the file's display
matrix are applied, non-square pixels are stretched to square ones, a frame whose size differs from
the first one's is scaled to it. Alpha is ignored, higher bit depths are reduced to 8 bits,
interlaced video is reported and not deinterlaced.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedet.errors import InputError

TICK_TOLERANCE_S = 0.0011  # containers round time stamps, also the first, to milliseconds
MIN_SIDE_PX = 16  # in smaller pictures no face is visible
MAX_SIDE = 1920  # longer side of pictures of which many are in memory; larger ones are reduced to it
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class Frame(NamedTuple):
    """One shown frame. Treat `image` as read-only: repeated frames share it."""

    index: int  # 0-based number of the frame, or of the tick when resampled
    time_s: float  # seconds since the first frame, or tick / fps when resampled
    image: np.ndarray  # (H, W, 3) uint8 RGB
    scale: float = 1.0  # pixels of `image` per displayed pixel, below 1 when reduced
    damaged: bool = False  # the picture shown at this time is broken, `image` is another one

    @property
    def picture(self) -> object:
        """The same object for all frames that show the same picture."""
        return self.image


class LazyFrame(NamedTuple):
    """A frame that is converted to RGB when its image is asked for, see `Video.lazy_frames`."""

    index: int
    time_s: float
    picture: Callable[[], np.ndarray]  # the same object for all frames that show the same picture
    damaged: bool = False  # as in `Frame`

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, converted at every access; may be called from any thread."""
        return self.picture()


class _Source(NamedTuple):
    """A frame of the file that is not converted to RGB yet, so that skipped frames cost no conversion."""

    index: int
    time_s: float
    lasts_s: float
    load: Callable[[], np.ndarray]
    damaged: bool = False  # `load` gives another frame's picture


class Video:
    """A video opened by `open_video`; every call of `frames` reads it anew.

    Attributes: path; width, height (pixels, as displayed); fps (nominal, frames per second);
    duration_s (None if the file does not say); n_frames_estimate (None if unknown).
    """

    path: Path
    width: int
    height: int
    fps: float
    duration_s: float | None
    n_frames_estimate: int | None

    @property
    def problems(self) -> list[str]:
        """What was broken, missing or repaired in the passes so far, one sentence each."""
        raise NotImplementedError

    def frames(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        fps: float | None = None,
        max_side: int | None = None,
    ) -> Iterator[Frame]:
        """Yields the frames with start_s <= time < end_s, within `TICK_TOLERANCE_S`.

        Args:
            start_s, end_s: seconds since the first frame; None reads to the end.
            fps: None yields every frame once. A number resamples by time: tick k stands for
                k / fps seconds and shows the latest frame at or before it, up to the end of the last
                frame. Sources of a lower rate repeat frames, sources of a higher
                rate lose some. `index` is k.
            max_side: reduce each frame while it is converted, so that its longer side has at most
                this many pixels; `Frame.scale` is the factor.

        Frames that are broken, or lean on a broken one, are left out; at a rate they are `damaged`, and
        the good frame before stands in.

        Raises:
            InputError: a negative start, or a rate or size that is not positive.
        """
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise InputError(f"fps={fps!r} must be a positive number of frames per second")
        scale = self._scale(max_side)
        _check_time("start_s", start_s)
        end_s = math.inf if end_s is None else end_s
        if fps is None:
            return self._every(start_s, end_s, scale)
        return self._resampled(start_s, end_s, fps, scale)

    def lazy_frames(self, fps: float, max_side: int | None = None) -> Iterator[Frame | LazyFrame]:
        """As `frames` at a rate, from the beginning to the end; frames are decoded, but not converted."""
        return (
            LazyFrame(tick, tick / fps, source.load, source.damaged)
            for tick, source in self._ticks(0.0, math.inf, fps, self._scale(max_side))
        )

    def frame_at(self, time_s: float, max_side: int | None = None) -> Frame:
        """The frame shown at `time_s` (seconds), with its own time; InputError beyond the end.

        `max_side` is that of `frames`.
        """
        scale = self._scale(max_side)
        _check_time("time_s", time_s)
        shown = self._sources(time_s, scale)
        first = next(shown, None)
        if first is None or (
            time_s >= first.time_s + first.lasts_s + TICK_TOLERANCE_S and next(shown, None) is None
        ):
            raise InputError(f"{self.path}: no frame at {time_s:g} s, the video ends before that")
        return Frame(first.index, first.time_s, first.load(), scale, first.damaged)

    def _scale(self, max_side: int | None) -> float:
        if max_side is None:
            return 1.0
        if max_side < 1:
            raise InputError(f"max_side={max_side!r} must be a positive number of pixels")
        return min(1.0, max_side / max(self.width, self.height))

    def _every(self, start_s: float, end_s: float, scale: float) -> Iterator[Frame]:
        for shown in self._sources(start_s, scale):
            if shown.time_s >= end_s - TICK_TOLERANCE_S:
                return
            if shown.time_s >= start_s - TICK_TOLERANCE_S and not shown.damaged:
                yield Frame(shown.index, shown.time_s, shown.load(), scale)

    def _resampled(self, start_s: float, end_s: float, fps: float, scale: float) -> Iterator[Frame]:
        load, image = None, None
        for tick, source in self._ticks(start_s, end_s, fps, scale):
            if source.load is not load:
                load, image = source.load, source.load()
            yield Frame(tick, tick / fps, image, scale, source.damaged or self._is_broken(source))

    def _is_broken(self, source: _Source) -> bool:
        """Whether it turned out as the frame was loaded that it cannot be read."""
        return False

    def _ticks(self, start_s: float, end_s: float, fps: float, scale: float) -> Iterator[tuple[int, _Source]]:
        """Numbers of the ticks, and the frame that each shows."""

        def ticks_until(time_s: float) -> float:
            """The first tick at or after `time_s`."""
            exact = (time_s - TICK_TOLERANCE_S) * fps
            return exact if math.isinf(exact) else math.ceil(exact)

        tick, last = max(0, ticks_until(start_s)), ticks_until(end_s)
        current: _Source | None = None
        for following in _with_end(self._sources(start_s, scale)):
            if current is not None:
                ends_s = following.time_s if following else current.time_s + current.lasts_s
                stop = min(ticks_until(ends_s), last)
                while tick < stop:
                    yield tick, current
                    tick += 1
            if tick >= last:
                return
            current = following

    def _sources(self, start_s: float, scale: float) -> Iterator[_Source]:
        """Frames in order of time, beginning with the one shown at `start_s`."""
        raise NotImplementedError


def _with_end(frames: Iterator[_Source]) -> Iterator[_Source | None]:
    yield from frames
    yield None


def _check_time(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{name}={value!r} must be zero or a positive number of seconds")


class VideoFile(Video):
    """A video in a container that FFmpeg reads, e.g. mp4, mov, avi, mkv, webm."""

    def __init__(self, path: Path) -> None:
        from fedet.video.decoder import Decoder

        self.path = path
        self._decoder = decoder = Decoder(path)
        self.width, self.height, self.fps = decoder.width, decoder.height, decoder.fps
        self.duration_s = decoder.duration_s
        guess = round(decoder.duration_s * decoder.fps) if decoder.duration_s else None
        self.n_frames_estimate = decoder.n_frames or guess
        _check_size(path, *decoder.coded_size)

    @property
    def problems(self) -> list[str]:
        return list(self._decoder.problems.values())

    def _sources(self, start_s: float, scale: float) -> Iterator[_Source]:
        previous: _Source | None = None
        for source in self._pictured(start_s, scale):
            if previous is not None and source.time_s > start_s + TICK_TOLERANCE_S:
                yield previous
            previous = source
        if previous is not None:
            yield previous

    def _pictured(self, start_s: float, scale: float) -> Iterator[_Source]:
        """The decoder's frames; for a damaged one stands the good one before, at the beginning the first."""
        from fedet.video.decoder import same_picture

        convert = self._decoder.converter(scale)
        good: partial | None = None
        unseen: list[tuple[int, float]] = []  # number and time of damaged frames before the first good one
        for index, time_s, frame in self._decoder.frames_from(start_s):
            if frame is None:
                if good is None:
                    unseen.append((index, time_s))
                else:
                    yield _Source(index, time_s, 1 / self.fps, good, damaged=True)
                continue
            if good is None:
                good = partial(convert, frame)
                if not unseen and start_s <= 0 and time_s > TICK_TOLERANCE_S:
                    unseen = [(0, 0.0)]
                yield from (_Source(*place, 1 / self.fps, good, damaged=True) for place in unseen)
            elif not same_picture(frame, good.args[0]):
                good = partial(convert, frame)
            yield _Source(index, time_s, self._decoder.lasts_s(frame), good)


class ImageFolder(Video):
    """A folder of numbered images: the last number in a file's name is the frame's number.

    Numbers count from `first_number`; None takes 0 if there is an image 0, else 1. A missing
    number repeats the image before it (at the beginning, the first image) and is reported in
    `problems`, as is an image that cannot be read. Numbers with a hundred times more gaps than
    images are refused.
    """

    def __init__(self, path: Path, fps: float, first_number: int | None) -> None:
        self.path, self.fps = path, float(fps)
        self._problems: dict[str, str] = {}
        files, irregular = _numbered_images(path)
        if irregular:
            self._problems["irregular"] = (
                f"{len(irregular)} images are folders, pipes, or links to files that are not here, e.g. "
                f"{path / irregular[0]}; left out"
            )
        base = min(1, min(files)) if first_number is None else first_number
        self._files = {number - base: file for number, file in files.items() if number >= base}
        if not self._files:
            raise InputError(f"{path}: no image has the number {base} or a higher one")
        if len(self._files) < len(files):
            dropped = len(files) - len(self._files)
            self._problems["before"] = f"{dropped} images with numbers below {base} left out"
        count = max(self._files) + 1
        if count > 100 * len(self._files) + 1000:
            raise InputError(
                f"{path}: {len(self._files)} images are numbered up to {max(files)}, e.g. "
                f"{files[max(files)].name}; the numbers look like time stamps; rename 1, 2, 3 ..."
            )
        if missing := count - len(self._files):
            self._problems["gaps"] = f"{missing} of {count} frames have no image; the image before stands in"
        self.n_frames_estimate, self.duration_s = count, count / self.fps
        readable = ((f, i) for f, i in _read_images(self._files.values()) if i is not None)
        self._broken: set[Path] = set()  # files that turned out to be unreadable
        self._first, image = next(readable, (None, None))
        if image is None:
            raise InputError(f"{path}: none of its {len(self._files)} images can be read")
        self.height, self.width = image.shape[:2]
        _check_size(path, self.width, self.height)

    @property
    def problems(self) -> list[str]:
        return list(self._problems.values())

    def lazy_frames(self, fps: float, max_side: int | None = None) -> Iterator[Frame]:
        """As `frames`: an image that cannot be read repeats the one before, so they are read in order."""
        return self.frames(fps=fps, max_side=max_side)

    def _sources(self, start_s: float, scale: float) -> Iterator[_Source]:
        start = max(0, math.floor((start_s + TICK_TOLERANCE_S) * self.fps))
        before = [number for number in self._files if number <= start]
        load = self._loader(scale)
        file = self._files[max(before) if before else min(self._files)]
        for index in range(start, self.n_frames_estimate or 0):
            file = self._files.get(index, file)
            yield _Source(index, index / self.fps, 1 / self.fps, lambda file=file: load(file))

    def _is_broken(self, source: _Source) -> bool:
        return self._files.get(source.index) in self._broken

    def _loader(self, scale: float) -> Callable[[Path], np.ndarray]:
        """Reads image files at a scale; repeats the last one for those that cannot be read."""
        import cv2

        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        last_file: Path | None = None
        last_image: np.ndarray | None = None

        def load(file: Path) -> np.ndarray:
            nonlocal last_file, last_image
            if file == last_file and last_image is not None:
                return last_image
            image = _read_image(file)
            if image is None:
                self._broken.add(file)
                self._problems["broken"] = (
                    f"{len(self._broken)} images cannot be read, e.g. {file.name}; the image before stands "
                    "in, and nothing is found there"
                )
                image = _read_image(self._first) if last_image is None else last_image
            elif image.shape[:2] != (self.height, self.width):
                self._problems["size"] = (
                    f"images differ in size, e.g. {file.name}; scaled to {self.width}x{self.height}"
                )
            if image.shape[1::-1] != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            last_file, last_image = file, image
            return image

        return load


def open_video(path: str | os.PathLike, folder_fps: float = 30.0, first_number: int | None = None) -> Video:
    """Open a video file or a folder of numbered images (jpg, png, bmp, webp, tiff).

    Args:
        path: the file or folder.
        folder_fps: the frame rate of a folder; files carry their own times.
        first_number: the number of a folder's first frame, see `ImageFolder`.

    Raises:
        InputError: no such file, no permission, not a video, sound only, no readable frame,
            frames below `MIN_SIDE_PX`, an empty folder or one without numbered images.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: a link to a file that is not here; fetch it")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: a pipe or device, not a file; give a video or a folder of images")
    try:
        if path.is_dir():
            if not (math.isfinite(folder_fps) and folder_fps > 0):
                raise InputError(f"{path}: folder_fps={folder_fps!r} must be a positive number")
            return ImageFolder(path, folder_fps, first_number)
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty (0 bytes)")
        return VideoFile(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(
            f"{path}: frames of {width}x{height} pixels are too small to show a face; "
            f"at least {MIN_SIDE_PX}x{MIN_SIDE_PX} are needed"
        )


def _numbered_images(path: Path) -> tuple[dict[int, Path], list[str]]:
    """Image files by the last number in their names, ascending; names of images that are no files."""
    entries = sorted(path.iterdir())
    if not entries:
        raise InputError(f"{path}: an empty folder; give a video or a folder of numbered images")
    images = [e for e in entries if e.suffix.lower() in IMAGE_SUFFIXES and e.name[0] != "."]
    irregular = [e.name for e in images if not e.is_file()]
    images = [e for e in images if e.is_file()]
    files: dict[int, Path] = {}
    for image in images:
        if numbers := re.findall(r"\d+", image.stem):
            number = int(numbers[-1])
            if number in files:
                raise InputError(
                    f"{path}: {files[number].name} and {image.name} have the same number {number}"
                )
            files[number] = image
    if irregular and not files:
        raise InputError(
            f"{path}: {irregular[0]} is no file but a folder, a pipe, or a link to a file that is not here"
        )
    if not files:
        raise InputError(f"{path}: a folder without numbered images ({', '.join(IMAGE_SUFFIXES)})")
    return dict(sorted(files.items())), irregular


def _read_image(file: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, turned as its EXIF data say; None if it cannot be read."""
    import cv2

    data = np.fromfile(file, np.uint8)  # unlike cv2.imread, works for any file name
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_images(files: Iterable[Path]) -> Iterator[tuple[Path, np.ndarray | None]]:
    return ((file, _read_image(file)) for file in files)


def has_images(folder: Path) -> bool:
    """Whether a folder holds numbered images; the pictures of apexes that `detect` writes do not count."""
    with os.scandir(folder) as entries:
        names = [e.name.lower() for e in entries if e.name[0] != "."]
    images = [n for n in names if n.endswith(IMAGE_SUFFIXES) and not n.endswith("_apexes.png")]
    return any(re.search(r"\d", n.rsplit(".", 1)[0]) for n in images)

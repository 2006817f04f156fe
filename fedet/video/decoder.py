"""Decoding a video file with PyAV: frames with trustworthy times, errors counted, exact seeking.

`fedet.video.reader` is the interface to use; this module handles the quirks of containers.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from fedet.errors import InputError
from fedet.video.damage import Damage, Decoded

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Matroska and WebM round time stamps to milliseconds, so 2/30 s is stored as 0.067, and the first
# frame's stamp is rounded too: a frame counts as shown at a time if it is at most this much later.
TICK_TOLERANCE_S = 0.0011
KINDS = ("streams", "interlaced", "size", "broken", "damage", "stamps", "gaps", "start", "rate", "end")
MOST_SPANS = 5  # that a sentence about damage lists
GAP_S = 0.5  # a still picture for longer is reported: an expression could hide in it
MAX_LAST_S = 60.0  # the last frame is shown for no longer, whatever the header says
MAX_PIXELS = 2**26  # of a picture, 8192 x 8192: it takes 100 MB as it is decoded
MAX_HOURS = 48  # of a video; longer ones are to be cut
SPARSE_S = 60.0  # seconds a picture on average, over an hour or more, above which a file is no video
MAX_STILL_S = 600.0  # a longer jump between two stamps is a broken stamp, not a still picture
# Containers in which seeking to a key frame is reliable; others are decoded from their start.
PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]")  # how such files begin
SEEKABLE = {"mov", "mp4", "matroska", "webm", "avi"}


class Decoder:
    """One video stream of one file; every pass reopens the file and holds one frame.

    Attributes: width, height (pixels, as displayed: rotated, square pixels); fps (nominal);
    duration_s and n_frames (as the file says; None if it does not); problems (sentence by kind).

    Raises InputError if the file holds no video that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: dict[str, str] = {}
        self._alone = threading.Lock()
        with _open(path) as container:
            self._formats = set(container.format.name.split(","))
            stream = _picture_stream(container, path)
            if (choice := _describe_choice(container)) is not None:
                self.problems["streams"] = choice
            self._time_base = stream.time_base  # frames drained at the end do not carry it
            self._spacing_s = self._nominal_spacing(container, stream)
        with _open(path) as container:
            stream = _picture_stream(container, path)
            clock = _Clock(self._spacing_s, 0.0)
            decoded = _decode(container, stream, clock)
            first = next((item.frame for item in decoded if item.frame and not item.damaged), None)
            if first is None:
                raise InputError(f"{path}: no frame can be read; the file is empty or broken")
            self._t0 = self._stamp(first) or 0.0
            if clock.damage.broken and self._earliest is not None and "avi" not in self._formats:
                self._t0 = min(self._t0, self._earliest)  # count from the first frame, even if broken
            self._turn = _orientation(first)
            self.duration_s = _claimed_duration(container, stream, self._t0)
            self.n_frames = self._frame_count(stream.frames)
            self.coded_size = (first.width, first.height)
            ratio = float(stream.sample_aspect_ratio or 1)
        ratio = ratio if 0.1 <= ratio <= 10 else 1.0
        self._flat = (max(1, round(first.width * ratio)), first.height)  # before turning
        self.width, self.height = self._flat[::-1] if self._turn[0] else self._flat
        self.fps = 1.0 / self._spacing_s
        self._stamps: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which has a lock of its own."""
        return {name: value for name, value in vars(self).items() if name != "_alone"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _alone=threading.Lock())

    def frames_from(self, start_s: float) -> Iterator[tuple[int, float, av.VideoFrame | None]]:
        """Yields (rank, seconds since the first frame, frame) from the frame at or before `start_s` on.

        None stands for a frame that is broken or leans on a broken one. If there is none before `start_s`,
        the first frame comes first.
        """
        for back_s in (0.0, 1.0, 5.0):
            if start_s <= back_s or not self._formats & SEEKABLE:
                break
            timed = self._timed(start_s - back_s)
            first = next(timed, None)
            if first is not None and first[0] <= start_s + TICK_TOLERANCE_S:
                yield from self._numbered(chain([first], timed), self._rank(first[0]))
                return
        yield from self._numbered(self._timed(0.0), 0)

    def _numbered(
        self, timed: Iterator[tuple[float, av.VideoFrame | None]], rank: int
    ) -> Iterator[tuple[int, float, av.VideoFrame | None]]:
        """With the number of each frame, the first of which is `rank`; after damage counted anew."""
        before: av.VideoFrame | None = None
        for time_s, frame in timed:
            if before is None and frame is not None and time_s > TICK_TOLERANCE_S:
                rank = self._rank(time_s)  # some frames of the damage may have left no trace
            yield rank, time_s, frame
            rank, before = rank + 1, frame

    def converter(self, scale: float) -> Callable[[av.VideoFrame], np.ndarray]:
        """A function from frame to (H, W, 3) uint8 RGB as displayed, sides times `scale`."""
        local = threading.local()  # a reformatter for each thread, whose tables are built once
        width, height = (max(1, round(side * scale)) for side in self._flat)
        transpose, flip_x, flip_y = self._turn

        def convert(frame: av.VideoFrame) -> np.ndarray:
            if not hasattr(local, "reformatter"):
                local.reformatter = VideoReformatter()
            options = {"interpolation": "AREA", "threads": 1}
            picture = local.reformatter.reformat(frame, width, height, "rgb24", **options)
            image = picture.to_ndarray()
            image = image.swapaxes(0, 1) if transpose else image
            image = image[:, ::-1] if flip_x else image
            image = image[::-1] if flip_y else image
            return np.ascontiguousarray(image)

        return convert

    def lasts_s(self, frame: av.VideoFrame) -> float:
        """Seconds for which the frame is shown: as the file says, else the nominal spacing."""
        duration = frame.duration * self._time_base if frame.duration else 0
        return min(float(duration) or self._spacing_s, MAX_LAST_S)

    def _nominal_spacing(self, container: InputContainer, stream: VideoStream) -> float:
        """Seconds from frame to frame: the header's where the first time stamps agree, else theirs."""
        packets = list(islice(_packets(container, stream), 60))
        stamps = np.sort([t for p in packets if (t := self._ticks(p)) is not None])
        shown = [t for p in packets if not p.is_discard and (t := self._ticks(p)) is not None]
        self._earliest = float(min(shown) * self._time_base) if shown else None
        gaps = np.diff(stamps.astype(float)) * float(self._time_base)
        spacing_s = float(np.median(gaps)) if gaps.size else 0.0
        if 0 < spacing_s < 10 * self._time_base:  # coarse stamps: GIF counts in hundredths of a second
            spacing_s = float(np.mean(gaps))
        for rate in (stream.average_rate, stream.guessed_rate):
            if rate and 0.1 <= rate <= 1000 and (spacing_s <= 0 or 0.9 < spacing_s * rate < 1.1):
                return float(1 / rate)
        return spacing_s if 0 < spacing_s <= MAX_STILL_S else 1 / 30

    def _frame_count(self, claimed: int) -> int | None:
        """Number of shown frames; an mp4's own number includes those that an edit list cuts off."""
        shown = round(self.duration_s / self._spacing_s) if self.duration_s else claimed
        return (shown if claimed > shown + 1 else claimed) or None

    def _ticks(self, item: av.Packet | av.VideoFrame) -> int | None:
        """The time stamp of a packet or frame, in the stream's time base."""
        # AVI stores no presentation times: those that FFmpeg guesses follow the decoding order. The
        # decoding stamps are evenly spaced, and frames come out in presentation order.
        return item.dts if "avi" in self._formats or item.pts is None else item.pts

    def _stamp(self, frame: av.VideoFrame) -> float | None:
        ticks = self._ticks(frame)
        return None if ticks is None else float(ticks * self._time_base)

    def _timed(self, seek_s: float) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """Decodes from the key frame before `seek_s` on: (seconds since the first frame, frame or None)."""
        clock = _Clock(self._spacing_s, self._t0)
        complete = False
        try:
            with _open(self.path) as container:
                stream = _picture_stream(container, self.path)
                if seek_s > 0 and not _seek(container, stream, self._t0 + seek_s):
                    return  # the caller then seeks further back, at last to the beginning
                for frame, pts, damaged in _decode(container, stream, clock):
                    ticks = pts if frame is None else self._ticks(frame)
                    stamp = None if ticks is None else float(ticks * self._time_base)
                    if stamp is None and seek_s > 0 and clock.now is None:
                        return  # without a time stamp the position after the seek is unknown
                    time_s = clock.advance(stamp, damaged)
                    self._check_length(time_s, time_s - seek_s, clock.count)
                    if frame is not None and not damaged:
                        self._check(frame, time_s)
                    yield time_s, None if damaged else frame
                complete = clock.now is not None
        finally:
            self._report(clock, complete, seek_s <= 0)

    def _check_length(self, time_s: float, read_s: float, count: int) -> None:
        """Refuses a file whose stamps claim far more time than its pictures fill."""
        if time_s > 3600 * MAX_HOURS or read_s > max(3600, SPARSE_S * count):
            raise InputError(
                f"{self.path}: {count} pictures reach to {time_s / 3600:.1f} h; at most {MAX_HOURS} h and "
                f"{SPARSE_S:g} s a picture are read: cut it"
            )

    def _check(self, frame: av.VideoFrame, time_s: float) -> None:
        if frame.interlaced_frame:
            self._note(
                "interlaced",
                "marked as interlaced: both halves of a frame are shown at once; deinterlace it first "
                "if moving edges look like combs",
            )
        if (frame.width, frame.height) != self.coded_size:
            self._note(
                "size",
                f"at {time_s:.2f} s the frame size changes to {frame.width}x{frame.height}; "
                f"scaled to {self.coded_size[0]}x{self.coded_size[1]}, the first frame's",
            )

    def _note(self, kind: str, problem: str) -> None:
        with self._alone:
            self.problems.setdefault(kind, problem)

    def _report(self, clock: _Clock, complete: bool, from_start: bool) -> None:
        """Adds the problems of a pass; only a complete pass shows where the video ends."""
        problems = {}
        if clock.damage.broken:
            problems["broken"] = f"{clock.damage.broken} broken frames or packets skipped"
        if clock.damaged:
            problems["damage"] = _describe_damage(clock.damaged)
        if clock.repaired and "avi" not in self._formats:  # whose last stamps are always missing
            problems["stamps"] = f"{clock.repaired} frames without a usable time stamp; times guessed"
        if clock.gaps:
            problems["gaps"] = (
                f"{clock.gaps} gaps without a new frame, the longest {clock.gap_s:.2f} s from "
                f"{clock.gap_at_s:.2f} s on"
            )
        end_s = (clock.now or 0.0) + self._spacing_s
        if complete and from_start:
            problems |= self._problems_of_whole(clock, end_s)
        claimed = self.duration_s or 0.0
        if complete and end_s < claimed - max(0.5, 2 * self._spacing_s):
            problems["end"] = f"ends at {end_s:.2f} s, although its header says {claimed:.2f} s"
        elif complete and clock.error:
            problems["end"] = f"cannot be read beyond {end_s:.2f} s ({clock.error})"
        with self._alone:  # passes may run side by side
            known = self.problems | problems if complete else problems | self.problems
            self.problems = {kind: known[kind] for kind in sorted(known, key=KINDS.index)}

    def _problems_of_whole(self, clock: _Clock, end_s: float) -> dict[str, str]:
        """Problems that only a pass over the whole video shows."""
        problems = {}
        if clock.good is not None and clock.good > TICK_TOLERANCE_S:
            problems["start"] = f"no frame before {clock.good:.2f} s can be read; the one there stands in"
        if not clock.damage.broken and abs(clock.count - end_s * self.fps) > max(2, 0.02 * clock.count):
            problems["rate"] = (
                f"frames come unevenly, {clock.count} in {end_s:.2f} s; frame numbers are counted by "
                f"time, {self.fps:.2f} a second"
            )
        return problems

    def _rank(self, time_s: float) -> int:
        """Number of frames before `time_s`, counted in the packets without decoding them."""
        if self._stamps is None:
            with _open(self.path) as container:
                stream = _picture_stream(container, self.path)
                packets = (p for p in _packets(container, stream) if not p.is_discard)
                ticks = [self._ticks(packet) for packet in packets]
                stamps = np.sort([float(t * self._time_base) for t in ticks if t is not None])
            self._stamps = stamps - stamps[:1]
        return int(np.searchsorted(self._stamps, time_s - min(self._spacing_s / 4, 0.0005)))


class _Clock:
    """Turns time stamps into seconds since the first frame that never decrease, and counts faults."""

    def __init__(self, spacing_s: float, t0: float) -> None:
        self.spacing_s = spacing_s
        self.shift = -t0
        self.now: float | None = None
        self.good: float | None = None  # time of the first good frame: above 0 after broken ones
        self.count = 0  # frames
        self.repaired = 0
        self.damage = Damage("", True)
        self.damaged: list[list[float]] = []  # spans, (start, end) in seconds, in which no frame is good
        self._was_good = True
        self.gaps, self.gap_s, self.gap_at_s = 0, 0.0, 0.0  # number, length and time of the longest
        self.error: str | None = None  # that ended the reading before the end of the file

    def advance(self, stamp: float | None, damaged: bool) -> float:
        """The time of a frame with this stamp; also notes from when to when frames are damaged."""
        time_s = self._advance(stamp)
        if not damaged and self.good is None:
            self.good = time_s
        if self.damaged and not self._was_good:
            self.damaged[-1][1] = time_s
        if damaged and self._was_good:
            self.damaged.append([time_s, time_s + self.spacing_s])
        self._was_good = not damaged
        return time_s

    def _advance(self, stamp: float | None) -> float:
        time_s = None if stamp is None else stamp + self.shift
        self.count += 1
        if self.now is None:
            self.now = time_s or 0.0
            return self.now
        following = self.now + self.spacing_s
        if time_s is None:
            self.repaired += 1
            time_s = following
        elif not -2.5 * self.spacing_s <= time_s - self.now <= MAX_STILL_S:
            # The stamps start anew: continue from here.
            self.repaired += 1
            self.shift += following - time_s
            time_s = following
        elif time_s < self.now:
            self.repaired += 1
            time_s = self.now
        elif time_s - self.now > max(GAP_S, 2.5 * self.spacing_s):
            self.gaps += 1
            if time_s - self.now > self.gap_s:
                self.gap_s, self.gap_at_s = time_s - self.now, self.now
        self.now = time_s
        return time_s


def refuse_playlist(path: Path) -> None:
    """Raises InputError for a file that names other media files: these would be read in its place."""
    with path.open("rb") as file:
        head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(PLAYLISTS) or any(tag in head for tag in (b"<mpd", b"<compositionplaylist")):
        raise InputError(f"{path}: a playlist of other files, not a video; give the video itself")


def open_container(path: Path) -> InputContainer:
    """The media file, and no other. Raises FFmpegError, and InputError for a playlist."""
    refuse_playlist(path)
    # A relative path with a colon would be taken for an address; tags in another encoding than UTF-8 do not
    # matter here.
    return av.open(str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace")


def _open(path: Path) -> InputContainer:
    try:
        container = open_container(path)
    except EOFError as error:
        raise InputError(f"{path}: the file ends before its first frame") from error
    except FFmpegError as error:
        raise InputError(
            f"{path}: not a video that can be read, or its header is cut off ({error.strerror})"
        ) from error
    return container


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream with moving pictures, ready to decode.

    Raises InputError if there is none, or it cannot be decoded.
    """
    name = container.format.name
    if name.endswith("_pipe") or name == "image2":
        raise InputError(f"{path}: a single image; give a video or a folder of numbered images")
    if name == "tty":  # FFmpeg shows any text file as a video of a terminal
        raise InputError(f"{path}: a text file, not a video")
    streams = _by_preference(container)
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams}))
        raise InputError(
            f"{path}: holds no pictures, {f'only {kinds}' if kinds else 'nor anything else'}; give a video"
        )
    if streams[0].codec_context is None:
        raise InputError(f"{path}: no decoder for this kind of video; convert it to H.264 first")
    width, height = streams[0].width, streams[0].height
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: pictures of {width}x{height}; at most {MAX_PIXELS / 1e6:.0f} million pixels are read, "
            "save it smaller"
        )
    streams[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # whatever the header says
    streams[0].thread_type = "AUTO"
    return streams[0]


def _by_preference(container: InputContainer) -> list[VideoStream]:
    """The streams with moving pictures, the one to read first: marked as default, larger, earlier.

    A cover, a thumbnail or a single still is none where anything else moves.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & still]
    default = av.stream.Disposition.default
    return sorted(
        streams,
        key=lambda s: (
            s.codec_context is None,  # no decoder
            s.frames == 1,
            not s.disposition & default,
            -math.prod(_size_of(s)),
            s.index,
        ),
    )


def _size_of(stream: VideoStream) -> tuple[int, int]:
    """Width and height as the header says; 0, 0 for a stream without a decoder."""
    return (0, 0) if stream.codec_context is None else (stream.width, stream.height)


def _describe_choice(container: InputContainer) -> str | None:
    """Which of several streams is read, in a sentence; None if there is one."""
    streams = _by_preference(container)
    if len(streams) < 2:
        return None
    sizes = [f"stream {s.index} of {w}x{h}" for s in streams for w, h in [_size_of(s)]]
    return (
        f"{len(streams)} videos in one file: read is {sizes[0]}, not {', '.join(sizes[1:4])}; "
        "save another one as a file of its own to read it"
    )


def _seek(container: InputContainer, stream: VideoStream, time_s: float) -> bool:
    """Whether the container could seek to the key frame before `time_s`."""
    try:
        offset = math.floor(time_s / stream.time_base)
        container.seek(offset, stream=stream, backward=True)
    except FFmpegError:
        return False
    return True


def _packets(
    container: InputContainer, stream: VideoStream, clock: _Clock | None = None
) -> Iterator[av.Packet]:
    """The stream's packets up to the end, or up to an error."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except FFmpegError as error:
        if clock is not None:
            clock.error = error.strerror
    except IndexError:
        pass  # at the end PyAV drains all streams and fails on those that appeared within the file


def _decode(container: InputContainer, stream: VideoStream, clock: _Clock) -> Iterator[Decoded]:
    """Frames in presentation order, and the places of lost ones."""
    # AVI does not say when its packets are shown, see `Decoder._ticks`.
    damage = clock.damage = Damage(stream.codec_context.name, container.format.name != "avi")
    stream.codec_context.copy_opaque = True  # frames bear the numbers that `damage` gives to packets
    for packet in chain(_packets(container, stream, clock), [None]):
        if packet is not None:
            damage.send(packet)
        try:
            frames = stream.decode(packet)  # None drains the frames that the decoder holds back
        except EOFError:
            frames = []
        except FFmpegError:
            damage.refuse()
            frames = []
        for frame in frames:
            yield from damage.receive(frame)
    yield from damage.flush()


def _describe_damage(spans: list[list[float]]) -> str:
    """A sentence about the spans, (start, end) in seconds, in which no picture can be trusted."""
    shown = ", ".join(f"{start:.2f}-{end:.2f} s" for start, end in spans[:MOST_SPANS])
    more = f" and {len(spans) - MOST_SPANS} more" if len(spans) > MOST_SPANS else ""
    total = sum(end - start for start, end in spans)
    return (
        f"damaged for {total:.2f} s, from broken frames to the next key frame: {shown}{more}; "
        "nothing is found there"
    )


def _claimed_duration(container: InputContainer, stream: VideoStream, t0: float) -> float | None:
    """Seconds from the first frame to the end, as the file says; None if it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        # Matroska: the end of this stream; that of the whole file may be the sound's
        hours, minutes, seconds = map(float, match.groups())
        return max(0.0, 3600 * hours + 60 * minutes + seconds - t0)
    if container.duration and container.duration > 0:
        # The length of the whole file counts from time zero; the first frame may come later.
        return max(0.0, container.duration / av.time_base - t0)
    return None


def same_picture(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    """Whether two frames hold the same pixels, as in a frozen stream."""
    if (one.width, one.height, one.format.name) != (other.width, other.height, other.format.name):
        return False
    planes = [
        (np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8))
        for a, b in zip(one.planes, other.planes, strict=True)
    ]
    # Most frames differ already in a few of their pixels.
    return all(
        np.array_equal(a[step::97] if step else a, b[step::97] if step else b)
        for step in (5, 0)
        for a, b in planes
    )


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, then mirror left-right, then top-bottom) from the display matrix.

    The matrix (a b u; c d v; x y w) shows the point (p, q) at (a p + c q + x, b p + d q + y), as
    libavutil/display.h says; turns other than by right angles are rounded to them.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), "<i4")[:5].astype(np.int64)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, bool(c < 0), bool(b < 0)
    return False, bool(a < 0), bool(d < 0)

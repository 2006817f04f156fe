"""Writing H.264 videos: atomic, reproducible, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedet.errors import InputError
from fedet.files import atomic_write

TICKS = 90_000  # a second of time stamps, as MPEG has
SOUND_RATE = 48_000  # hertz of sound that goes along

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: float,
    size: tuple[int, int] | None = None,
    crf: int = 23,
    preset: str = "veryfast",
    threads: int = 1,
    sound: tuple[np.ndarray, int] | None = None,
) -> int:
    """Write RGB frames (H, W, 3) uint8 as H.264 (yuv420p, a key frame every two seconds).

    Args:
        path: ends in .mp4, .mov, .mkv or .avi; appears only when complete.
        size: (width, height) to scale to; None: the first frame's. H.264 needs even sides: an odd
            one grows by one pixel.
        threads: the encoder's; a fixed number keeps the file the same on every machine.
        sound: samples (N,) float32 within -1..1 and their rate in hertz; written as AAC.

    Returns:
        The number of frames written. Raises InputError for none, or for frames that differ.
    """
    path = Path(path)
    with atomic_write(path) as temporary:
        return _encode(temporary, path, frames, fps, size, crf, preset, threads, sound)


def write_timed_video(
    path: str | os.PathLike,
    frames: Iterable[tuple[float, np.ndarray]],
    fps: float,
    sound: str | os.PathLike | None = None,
    crf: int = 21,
) -> int:
    """Writes pictures at times of their own as H.264, with the sound of another video in step.

    Args:
        path: ends in .mp4, .mov or .mkv; appears only when complete.
        frames: seconds, ascending, and RGB pictures (H, W, 3) uint8 of one size; odd sides grow by a pixel.
        fps: nominal rate, for key frames and the length of the last picture.
        sound: the video whose sound is kept, from the first picture to the end of the last, mono AAC.

    Returns:
        The number of pictures. Raises InputError for none.
    """
    import av

    path = Path(path)
    options = {"crf": str(crf), "preset": "veryfast", "g": str(max(1, round(2 * fps)))}
    muxer = {"movflags": "+faststart"} if path.suffix.lower() in (".mp4", ".mov") else {}
    with atomic_write(path) as temporary, av.open(str(temporary.absolute()), "w", options=muxer) as container:
        count, last, stream, track = 0, -1, None, None
        for time_s, image in frames:
            count += 1
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
                )
                stream.height, stream.width = (side + side % 2 for side in image.shape[:2])
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, TICKS)
                track = None if sound is None else _SoundTrack(container, Path(sound))
            padded = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded))
            frame.time_base = Fraction(1, TICKS)
            frame.pts = last = max(last + 1, round(time_s * TICKS))
            container.mux(stream.encode(frame))
            if track is not None:
                track.write_until(time_s)
        if stream is None:
            raise InputError(f"{path}: no frame to write")
        container.mux(stream.encode(None))
        if track is not None:
            track.finish(last / TICKS + 1 / fps)
    return count


class _SoundTrack:
    """The sound of a video, written into another as its pictures are."""

    def __init__(self, container: OutputContainer, source: Path):
        from fedet.video.audio import has_sound, sound_pieces

        self.container, self.position, self.ended = container, 0, not has_sound(source)
        self.pieces = sound_pieces(source, SOUND_RATE)
        if not self.ended:
            self.stream = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
            self.stream.bit_rate = 128_000

    def write_until(self, time_s: float) -> None:
        """Writes the sound up to a second, and a little more."""
        while not self.ended and self.position < time_s * SOUND_RATE:
            piece = next(self.pieces, None)
            if piece is None:
                self.ended = True
            else:
                self._write(*piece)

    def finish(self, end_s: float) -> None:
        """Writes the rest of the sound, up to the end of the pictures."""
        if not hasattr(self, "stream"):
            return
        while not self.ended and (piece := next(self.pieces, None)) is not None:
            at_s, samples = piece
            if at_s >= end_s:
                break
            self._write(at_s, samples[: max(0, round((end_s - at_s) * SOUND_RATE))])
        self.container.mux(self.stream.encode(None))

    def _write(self, at_s: float, samples: np.ndarray) -> None:
        """Writes samples; gaps before them are silence, and what would overlap is left out."""
        import av

        gap = round(at_s * SOUND_RATE) - self.position
        samples = samples[-gap:] if gap < 0 else samples
        for chunk in (*_silence(gap), samples):
            if len(chunk):
                values = np.ascontiguousarray(chunk, np.float32)[None]
                frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
                frame.pts = self.position
                self.position += len(chunk)
                self.container.mux(self.stream.encode(frame))


def _silence(samples: int, block: int = 1 << 16) -> Iterator[np.ndarray]:
    for start in range(0, samples, block):
        yield np.zeros(min(block, samples - start), np.float32)


def _encode(
    target: Path,
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    size: tuple[int, int] | None,
    crf: int,
    preset: str,
    threads: int,
    sound: tuple[np.ndarray, int] | None,
) -> int:
    """Encodes to `target`; `path` is its final name, for messages."""
    import av
    from av.video.reformatter import VideoReformatter

    rate = Fraction(fps).limit_denominator(1001)
    options = {"crf": str(crf), "preset": preset, "g": str(max(1, round(2 * fps)))}
    # With macroblock-tree rate control x264 gives another file now and then for the same frames.
    options["x264-params"] = "mbtree=0"
    muxer = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    reformatter, stream, shape, count = VideoReformatter(), None, None, 0
    with av.open(str(target.absolute()), "w", options=muxer) as container:
        for count, image in enumerate(frames, 1):
            if stream is None:
                shape = image.shape
                width, height = size or (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2)
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.thread_count = threads
                packets = _sound_packets(container, *sound) if sound else iter(())
                sound_s = 0.0
            if image.shape != shape or image.dtype != np.uint8:
                raise InputError(
                    f"{path}: frame {count - 1} is {image.shape} {image.dtype}, "
                    f"the first one {shape}; all must be (H, W, 3) uint8"
                )
            if size is None and (shape[0] % 2 or shape[1] % 2):
                image = np.pad(image, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), "edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
            frame = reformatter.reformat(frame, width, height, "yuv420p", interpolation="AREA", threads=1)
            frame.pts, frame.time_base = count - 1, 1 / rate
            container.mux(stream.encode(frame))
            while sound_s * fps < count and (piece := next(packets, None)) is not None:
                sound_s, encoded = piece
                container.mux(encoded)
        if stream is None:
            raise InputError(f"{path}: no frame to write")
        container.mux(stream.encode(None))
        for _, encoded in packets:
            container.mux(encoded)
    return count


def _sound_packets(
    container: OutputContainer, samples: np.ndarray, rate: int, block: int = 1024
) -> Iterator[tuple[float, list[Packet]]]:
    """Encodes sound in blocks: (seconds written so far, packets)."""
    import av

    stream = container.add_stream("aac", rate=rate, layout="mono")
    stream.bit_rate = 64_000

    def encode() -> Iterator[tuple[float, list[Packet]]]:
        for start in range(0, len(samples), block):
            chunk = np.ascontiguousarray(samples[start : start + block], np.float32)
            frame = av.AudioFrame.from_ndarray(chunk[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            yield (start + len(chunk)) / rate, stream.encode(frame)
        yield len(samples) / rate, stream.encode(None)

    return encode()

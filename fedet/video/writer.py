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

"""Loudness and speech activity of a video's own sound track, decoded by PyAV; no model is loaded.

Speech activity follows Rabiner and Sambur (1975), voicing Boersma (1993): a stretch counts if it is
clearly louder than the quiet moments around it AND has a pitch between 60 and 400 Hz. Singing, music and
barking have one too: it detects voices, not words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fedet.errors import InputError

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

RATE = 16_000  # hertz, after resampling
WINDOW, HOP = 640, 160  # samples: 40 ms, every 10 ms
FLOOR_DB = -80.0  # digital silence
ABOVE_DB = 9.0  # speech is this much louder than the quietest tenth of the 20 s around it, ...
LEAST_DB = -60.0  # ... and than this
VOICED = 0.5  # least peak of the normalised autocorrelation
GAP_S, LEAST_S = 0.3, 0.1  # shorter gaps are closed, shorter stretches left out
HOLE_S = 0.02  # tolerance of time stamps
MAX_JUMP_S = 1.0, 600.0  # back, ahead: stamps that jump farther are ignored, the sound simply continues

Listener = Callable[[float, np.ndarray], None]  # gets a second and the samples (M,) from there on


class Sound(NamedTuple):
    """The sound of a video: a value every 10 ms, none where the track has a gap."""

    time: np.ndarray  # (N,) seconds of the video, ascending
    level: np.ndarray  # (N,) loudness, dB of full scale
    speech: np.ndarray  # (N,) 0 or 1
    problems: tuple[str, ...]  # what was lost


def has_sound(path: str | Path) -> bool:
    """Whether a video has a sound track; its content is not read."""
    from av.error import FFmpegError

    from fedet.video.decoder import open_container

    if not Path(path).is_file():
        return False
    try:
        with open_container(Path(path)) as container:
            return bool(container.streams.audio)
    except (FFmpegError, IndexError, InputError):
        return False


def read_sound(path: str | Path, on_samples: Listener | None = None) -> Sound | None:
    """The sound of a video; None if the file has none (a folder of images never has).

    A packet that cannot be decoded leaves a gap of its length. Memory: 24 bytes a value.

    Args:
        path: The video.
        on_samples: Called with all sound while it is decoded: the second at which it begins, ascending, and
            mono samples (M,) float32 at `RATE`.

    Raises InputError if more of the sound is broken than can be decoded.
    """
    times, levels, voices = [], [], []
    track = _Track(Path(path))
    for start_s, samples in _stretches(track, on_samples):
        level, voicing = analyse(samples)
        times.append(start_s + (np.arange(len(level)) * HOP + WINDOW / 2) / RATE)
        levels.append(level)
        voices.append(voicing)
    problems = track.problems()
    if not sum(map(len, times)):
        return None
    time, level, voicing = (np.concatenate(pieces) for pieces in (times, levels, voices))
    return Sound(time, level, speech_of(time, level, voicing), problems)


def sound_pieces(path: str | Path, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """The sound of a video: the second at which each piece begins, ascending, and its mono samples (M,)
    float32 at `rate` hertz. What cannot be decoded is a gap; a video without sound has no piece."""
    return _Track(Path(path), rate).pieces()


def analyse(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loudness (N,) in dB and voicing (N,) 0..1 of the windows in samples (M,) float32."""
    count = max(0, 1 + (len(samples) - WINDOW) // HOP)
    if not count:
        return np.zeros(0), np.zeros(0)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:count]  # (N, WINDOW)
    power = np.mean(windows.astype(np.float64) ** 2, axis=1)
    level = np.maximum(10 * np.log10(np.maximum(power, 1e-12)), FLOOR_DB)
    centred = windows - windows.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * WINDOW, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :WINDOW]  # (N, lags), the autocorrelation
    lags = np.arange(RATE // 400, RATE // 60)
    # A lag of l leaves WINDOW - l products: without this factor high pitches would look more voiced.
    peak = (correlation[:, lags] * (WINDOW / (WINDOW - lags))).max(axis=1)
    return level, np.clip(peak / np.maximum(correlation[:, 0], 1e-9), 0, 1)


def speech_of(time: np.ndarray, level: np.ndarray, voicing: np.ndarray) -> np.ndarray:
    """(N,) float 0 or 1: louder than the quiet around it and voiced, gaps closed, clicks left out."""
    knots = np.arange(time[0], time[-1] + 1, 1.0)
    near = [np.searchsorted(time, [k - 10, k + 10]) for k in knots]
    quiet = np.array([np.percentile(level[a:b], 10) if b > a else FLOOR_DB for a, b in near])
    limit = np.maximum(np.interp(time, knots, quiet) + ABOVE_DB, LEAST_DB)
    active = (level > limit) & (voicing > VOICED)
    active = _without_runs(active, False, round(GAP_S * RATE / HOP))
    return _without_runs(active, True, round(LEAST_S * RATE / HOP)).astype(float)


def _without_runs(active: np.ndarray, value: bool, shorter: int) -> np.ndarray:
    """Turns runs of `value` that are shorter than that; those at the ends stay unless `value`."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8))) + 1
    out = active.copy()
    for a, b in zip([0, *edges], [*edges, len(active)], strict=True):
        inner = a > 0 and b < len(active)
        if active[a] == value and b - a < shorter and (inner or value):
            out[a:b] = not value
    return out


def _stretches(
    track: _Track, on_samples: Listener | None = None, seconds: float = 10.0
) -> Iterator[tuple[float, np.ndarray]]:
    """Pieces of the sound track: the second at which each begins, and its samples (M,) float32.

    Consecutive pieces overlap so that every window lies in exactly one of them.
    """
    start_s, buffer, count = 0.0, [], 0
    for at_s, samples in track.pieces():
        if on_samples is not None:
            on_samples(at_s, samples)
        if buffer and abs(at_s - (start_s + count / RATE)) > HOLE_S:
            yield start_s, np.concatenate(buffer)
            buffer, count = [], 0
        if not buffer:
            start_s = at_s
        buffer.append(samples)
        count += len(samples)
        if count >= seconds * RATE:
            joined = np.concatenate(buffer)
            whole = 1 + (len(joined) - WINDOW) // HOP
            yield start_s, joined[: (whole - 1) * HOP + WINDOW]
            rest = joined[whole * HOP :]
            start_s, buffer, count = start_s + whole * HOP / RATE, [rest], len(rest)
    if buffer:
        yield start_s, np.concatenate(buffer)


@dataclass
class _Track:
    """The sound track of a file, read once; counts packets that cannot be decoded."""

    path: Path
    rate: int = RATE  # hertz of the samples
    end_s: float | None = None  # of the sound read so far, seconds of the video
    shift_s: float = 0.0  # added to time stamps after they jumped
    decoded_s: float = 0.0
    broken: int = 0  # packets
    lost_s: float = 0.0  # length of all broken packets
    lost_at_s: float = 0.0  # time of the first of them
    error: str = ""  # of the first
    stopped: str = ""  # the error that ended the reading before the end of the file

    def pieces(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds since the first video frame, ascending, and mono samples (M,) float32 at `rate`."""
        import av
        from av.error import FFmpegError

        from fedet.video.decoder import open_container

        if self.path.is_dir():
            return
        try:
            with open_container(self.path) as container:
                if not container.streams.audio:
                    return
                zero_s, resampler, kind = _first_picture_s(container), None, None
                for frame in self._frames(container, container.streams.audio[0], zero_s):
                    if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                        resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
                    for piece in resampler.resample(frame):
                        stamp_s = _seconds(piece.pts, piece.time_base)
                        at_s = None if stamp_s is None else stamp_s - zero_s
                        at_s, samples = self._position(at_s, piece.to_ndarray().reshape(-1))
                        if len(samples):
                            yield at_s, samples
        except FFmpegError as error:
            if not self.decoded_s:
                raise self._refused(error) from error
            self.stopped = str(error)
        except IndexError:
            pass  # as in `fedet.video.decoder`: streams that appeared within the file, at its end

    def problems(self) -> tuple[str, ...]:
        """What was lost, one sentence each; InputError if that is more than what was decoded."""
        if self.broken and self.lost_s >= self.decoded_s:
            raise self._refused(f"{self.broken} broken packets, {self.decoded_s:.1f} s decoded; {self.error}")
        problems, name = [], self.path.name
        if self.broken:
            problems.append(
                f"{name}: {self.lost_s:.2f} s of sound in {self.broken} broken packets are missing, from "
                f"{self.lost_at_s:.2f} s on"
            )
        if self.stopped:
            problems.append(f"{name}: its sound cannot be read beyond {self.end_s:.2f} s ({self.stopped})")
        return tuple(problems)

    def _refused(self, reason: Exception | str) -> InputError:
        return InputError(f"{self.path}: its sound cannot be decoded ({reason}); detect without it")

    def _frames(self, container: InputContainer, stream: AudioStream, zero_s: float) -> Iterator[AudioFrame]:
        """Decoded frames; broken packets are counted and left out."""
        from av.error import FFmpegError

        for packet in container.demux(stream):  # the last one is empty: it drains the decoder
            try:
                yield from stream.decode(packet)
            except EOFError:
                return
            except FFmpegError as error:
                stamp_s = _seconds(packet.pts, packet.time_base)
                at_s = (self.end_s or 0.0) if stamp_s is None else stamp_s - zero_s + self.shift_s
                lasts_s = _seconds(packet.duration, packet.time_base) or 0.0
                self.lost_at_s = self.lost_at_s if self.broken else at_s
                self.error = self.error or str(error)
                self.broken, self.lost_s = self.broken + 1, self.lost_s + lasts_s
                if self.end_s is not None and stamp_s is None:
                    self.end_s += lasts_s

    def _position(self, at_s: float | None, samples: np.ndarray) -> tuple[float, np.ndarray]:
        """The time of samples, and those of them that do not overlap the sound before them."""
        end_s = self.end_s
        at_s = (end_s or 0.0) if at_s is None else at_s + self.shift_s
        if end_s is not None and not -MAX_JUMP_S[0] <= at_s - end_s <= MAX_JUMP_S[1]:
            self.shift_s += end_s - at_s
            at_s = end_s
        if end_s is not None and at_s < end_s - HOLE_S:  # a broken packet that made too much sound
            overlap = round((end_s - at_s) * self.rate)
            at_s, samples = at_s + overlap / self.rate, samples[overlap:]
        if len(samples):
            self.end_s = at_s + len(samples) / self.rate
            self.decoded_s += len(samples) / self.rate
        return at_s, samples


def _seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    return None if ticks is None or not time_base else float(ticks * time_base)


def _first_picture_s(container: InputContainer) -> float:
    """Time stamp of the first picture, seconds."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return (_seconds(streams[0].start_time, streams[0].time_base) or 0.0) if streams else 0.0

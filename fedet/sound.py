"""Loudness and speech activity of a video's own sound track, decoded by PyAV; no model is loaded.

Speech activity follows the oldest recipe there is (Rabiner and Sambur 1975; voicing as in Boersma
1993): a stretch counts if it is clearly louder than the quiet moments around it AND has a pitch
between 60 and 400 Hz. Singing, music and barking have one too: it hears voices, not words.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from fedet.errors import InputError

RATE = 16_000  # hertz, after resampling
WINDOW, HOP = 640, 160  # samples: 40 ms, every 10 ms
FLOOR_DB = -80.0  # digital silence
ABOVE_DB = 9.0  # speech is this much louder than the quietest tenth of the 20 s around it, ...
LEAST_DB = -60.0  # ... and than this
VOICED = 0.5  # least peak of the normalised autocorrelation
GAP_S, LEAST_S = 0.3, 0.1  # shorter gaps are closed, shorter stretches left out


def listen(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Times (N,) in seconds of the video, loudness (N,) in dB of full scale, speech (N,) 0 or 1.

    A value every 10 ms, none where the track has a hole. None if the file has no sound (a folder
    of images never has). Memory: 24 bytes a value.

    Raises InputError if the sound cannot be decoded at all.
    """
    times, levels, voices = [], [], []
    for start_s, samples in _stretches(Path(path)):
        level, voicing = analyse(samples)
        times.append(start_s + (np.arange(len(level)) * HOP + WINDOW / 2) / RATE)
        levels.append(level)
        voices.append(voicing)
    if not times:
        return None
    time, level, voicing = (np.concatenate(part) for part in (times, levels, voices))
    return time, level, speech_of(time, level, voicing)


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
    alike = np.fft.irfft(spectrum, axis=1)[:, :WINDOW]  # (N, lags), the autocorrelation
    lags = np.arange(RATE // 400, RATE // 60)
    # A lag of l leaves WINDOW - l products: without this factor high pitches would look voiced more.
    peak = (alike[:, lags] * (WINDOW / (WINDOW - lags))).max(axis=1)
    return level, np.clip(peak / np.maximum(alike[:, 0], 1e-9), 0, 1)


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


def _stretches(path: Path, seconds: float = 10.0) -> Iterator[tuple[float, np.ndarray]]:
    """Pieces of the sound track: the second at which each begins, and its samples (M,) float32.

    Consecutive pieces overlap so that every window lies in exactly one of them.
    """
    start_s, held, count = 0.0, [], 0
    for at_s, part in _decoded(path):
        if held and abs(at_s - (start_s + count / RATE)) > 0.02:  # a hole, or stamps that jump
            yield start_s, np.concatenate(held)
            held, count = [], 0
        if not held:
            start_s = at_s
        held.append(part)
        count += len(part)
        if count >= seconds * RATE:
            joined = np.concatenate(held)
            whole = 1 + (len(joined) - WINDOW) // HOP
            yield start_s, joined[: (whole - 1) * HOP + WINDOW]
            rest = joined[whole * HOP :]
            start_s, held, count = start_s + whole * HOP / RATE, [rest], len(rest)
    if held:
        yield start_s, np.concatenate(held)


def _decoded(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds since the first video frame, and mono samples (M,) float32 at `RATE`."""
    import av
    from av.error import FFmpegError

    if path.is_dir():
        return
    try:
        with av.open(str(path.absolute())) as container:
            if not container.streams.audio:
                return
            zero = _first_picture_s(container)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in container.decode(container.streams.audio[0]):
                for piece in resampler.resample(frame):
                    stamp = (piece.pts or 0) * (piece.time_base or Fraction(1, RATE))
                    yield float(stamp) - zero, piece.to_ndarray().reshape(-1)
    except FFmpegError as error:
        raise InputError(f"{path}: its sound cannot be decoded ({error}); detect without it") from error


def _first_picture_s(container) -> float:
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0

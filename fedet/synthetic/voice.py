"""The sound track of a generated video: a buzzing voice while the mouth talks, others off camera, hiss.

It is no speech, but it has what a detector of speech looks for: a pitch and syllables.
"""

import math

import numpy as np
import torch
from torch import Tensor

RATE = 16_000  # samples a second
HISS = 0.002  # root mean square of the microphone's noise; full scale is 1
STRANGER_EVERY_S = 20.0  # mean pause until somebody off camera speaks


def voice_track(speech: Tensor, fps: float, generator: torch.Generator) -> np.ndarray:
    """The samples (N,) float32 of a video at `RATE`, -1..1.

    Args:
        speech: (T,) how far speech opens the mouth in each frame, 0 where the person is silent.
        fps: frames a second.

    Somebody off camera speaks now and then too, or a detector could take every voice for a moving
    mouth.
    """
    n = math.ceil(len(speech) / fps * RATE)
    speaker = harmonics(resampled(speech, fps, n), 90 + 140 * uniform(generator), generator)
    loudness = stranger(len(speech), fps, generator)
    other = harmonics(resampled(loudness, fps, n), 90 + 140 * uniform(generator), generator)
    hiss = HISS * torch.randn(n, generator=generator)
    return (0.5 * speaker + 0.2 * other + hiss).clamp(-1, 1).numpy()


def uniform(generator: torch.Generator) -> float:
    return float(torch.rand(1, generator=generator))


def resampled(track: Tensor, fps: float, n: int) -> Tensor:
    """A track (T,) with a value a frame as (n,) samples, on straight lines between the frames' middles."""
    times = (torch.arange(n) / RATE * fps - 0.5).clamp(0, len(track) - 1)
    low = times.long().clamp(max=max(len(track) - 2, 0))
    high = (low + 1).clamp(max=len(track) - 1)
    return torch.lerp(track[low], track[high], times - low)


def stranger(n: int, fps: float, generator: torch.Generator) -> Tensor:
    """Loudness (n,) of a voice without a face: spells of one to four seconds."""
    track = torch.zeros(n)
    frame = 0.0
    while True:
        frame += -math.log(1 - 0.999 * uniform(generator)) * STRANGER_EVERY_S * fps
        if frame >= n:
            return track
        length = (1 + 3 * uniform(generator)) * fps
        t = torch.arange(n) - frame
        syllables = 0.55 + 0.45 * torch.sin(2 * math.pi * 4.5 * t / fps)
        track = torch.where((t >= 0) & (t < length), syllables, track)
        frame += length


def harmonics(loudness: Tensor, pitch: float, generator: torch.Generator) -> Tensor:
    """A voice (n,) of this loudness: harmonics of a wandering pitch (hertz), falling by 12 dB an octave."""
    t = torch.arange(len(loudness), dtype=torch.float64) / RATE
    bend = 1 + 0.06 * torch.sin(2 * math.pi * (0.7 * t + uniform(generator)))
    phase = 2 * math.pi * torch.cumsum(pitch * bend / RATE, 0)
    tone = sum(torch.sin(k * phase) / k**2 for k in range(1, 9))
    return loudness * tone.float() / 1.5

"""The sound of a video for the explorer: a waveform, speech, and samples in chunks to play.

The track is decoded once, in a thread, when a view first asks. Samples go into a temporary file (32 kB a
second), of which a view gets chunks of CHUNK_S; those of more than MAX_S are not stored, so a longer video
is silent from there on, while its waveform and speech are complete. Memory: 30 bytes per 10 ms.
"""

import base64
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fedet.errors import InputError
from fedet.video.audio import RATE, Sound, read_sound

CHUNK_S = 5
MAX_S = 2 * 3600
PEAKS_PER_S = 50
SAMPLE_BYTES = 2  # int16

Sender = Callable[[dict, list[bytes]], None]  # message, buffers


class SoundServer:
    """Serves the sound of one video.

    Args:
        path: The video.
        fps: The rate in which frames are counted.
        send: Called with messages, also in the server's thread.
    """

    def __init__(self, path: str | Path, fps: float, send: Sender):
        self.path, self.fps, self.send = Path(path), fps, send
        self._samples = tempfile.TemporaryFile()  # noqa: SIM115, closed by `close`
        self._stored_s, self._complete, self._closed = 0.0, False, False
        self._peaks = np.zeros(0, np.uint16)
        self._waiting: set[int] = set()
        self._summary: tuple[dict, list[bytes]] | None = None
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def request(self, chunks: list[int] | None = None) -> None:
        """Asks for chunks, or (None) for waveform and speech; each is sent once it is decoded."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._decode, name="sound", daemon=True)
                self._thread.start()
            if chunks is None and self._summary:
                self.send(*self._summary)
            self._waiting |= set(chunks or [])
            self._send_waiting()

    def close(self) -> None:
        """Stops decoding and drops the samples."""
        with self._lock:
            self._closed = True
            self._samples.close()

    def whole(self, most_s: float) -> dict:
        """The summary, and samples of the first `most_s` seconds, for a page without kernel.

        Returns:
            The content of the message soundtrack with its peaks, and samples as 8-bit mu-law, in base64.
        """
        sent: list[tuple[dict, list[bytes]]] = []
        own = SoundServer(self.path, self.fps, lambda content, buffers: sent.append((content, buffers)))
        own._decode()
        own._samples.seek(0)
        samples = np.frombuffer(own._samples.read(int(most_s * RATE) * SAMPLE_BYTES), "<i2")
        notice = sent[-1][0]["notice"]
        if own._stored_s > most_s + 1:
            notice = "; ".join(filter(None, [notice, f"this page has the sound of the first {most_s:g} s"]))
        own.close()
        peaks, sound = (base64.b64encode(data).decode() for data in (sent[-1][1][0], companded(samples)))
        return sent[-1][0] | {"notice": notice, "peaks": peaks, "samples": sound}

    def _send_waiting(self) -> None:
        for chunk in sorted(self._waiting):
            if self._complete or (chunk + 1) * CHUNK_S <= self._stored_s:
                self._waiting.discard(chunk)
                self._samples.seek(chunk * CHUNK_S * RATE * SAMPLE_BYTES)
                data = self._samples.read(CHUNK_S * RATE * SAMPLE_BYTES)
                self.send({"kind": "sound", "chunk": chunk}, [data])

    def _decode(self) -> None:
        sound, error = None, ""
        try:
            sound = read_sound(self.path, on_samples=self._store)
        except _ClosedError:
            return
        except (InputError, OSError) as failure:
            error = str(failure)
        with self._lock:
            if self._closed:
                return
            self._complete = True
            self._summary = self._summarise(sound, error)
            self.send(*self._summary)
            self._send_waiting()

    def _store(self, start_s: float, samples: np.ndarray) -> None:
        """Takes samples (M,) float32 that begin at a second of the video, ascending."""
        first = round(start_s * RATE)
        samples, first = samples[max(0, -first) :], max(0, first)
        slots = (first + np.arange(len(samples))) * PEAKS_PER_S // RATE
        with self._lock:
            if self._closed:
                raise _ClosedError
            if len(slots) and slots[-1] >= len(self._peaks):
                self._peaks = np.pad(self._peaks, (0, slots[-1] + 60 * PEAKS_PER_S - len(self._peaks)))
            level = np.clip(np.abs(samples), 0, 1) * 65534
            np.maximum.at(self._peaks, slots, level.astype(np.uint16))
            if first + len(samples) <= MAX_S * RATE:
                self._samples.seek(first * SAMPLE_BYTES)
                self._samples.write((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            self._stored_s = (first + len(samples)) / RATE
            self._send_waiting()

    def _summarise(self, sound: Sound | None, error: str) -> tuple[dict, list[bytes]]:
        notices = [error] if error else []
        if self._stored_s > MAX_S:
            notices.append(f"sound is played in the first {MAX_S // 3600} hours only")
        spans = []
        if sound is not None:
            notices += sound.problems
            edges = np.flatnonzero(np.diff(np.r_[0, sound.speech, 0]))
            times = np.r_[sound.time, sound.time[-1:]] * self.fps
            spans = [[float(times[a]), float(times[b])] for a, b in edges.reshape(-1, 2)]
        peaks = self._peaks[: int(np.ceil(self._stored_s * PEAKS_PER_S))]
        content = {"kind": "soundtrack", "speech": spans, "notice": "; ".join(notices), "per_s": PEAKS_PER_S}
        return content, [peaks.astype("<u2").tobytes()]


def companded(samples: np.ndarray) -> bytes:
    """Samples (M,) int16 as 8-bit mu-law (ITU-T G.711, the continuous curve): half the bytes."""
    values = samples.astype(np.float32) / 32768
    curve = np.sign(values) * np.log1p(255 * np.abs(values)) / np.log(256)
    return np.round(127.5 * (curve + 1)).astype(np.uint8).tobytes()


class _ClosedError(Exception):
    """Ends the decoding of a closed explorer."""

"""Media files with faults, drawn from a seed, and what becomes of each: `python tests/faults/media.py`.

The script tries all and writes the counts to `media_counts.json` next to it, which `SECURITY.md` shows.
"""

import json
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from fedet.errors import InputError
from fedet.video.reader import open_video

HERE = Path(__file__).parent
N, RATE = 40, 30
KINDS = [
    ("a.mp4", "libx264", "yuv420p"), ("a.mkv", "libx264", "yuv420p"), ("a.ts", "libx264", "yuv420p"),
    ("a.mov", "mjpeg", "yuvj420p"), ("a.avi", "mpeg4", "yuv420p"), ("b.avi", "mjpeg", "yuvj420p"),
    ("a.webm", "libvpx", "yuv420p"), ("a.y4m", "rawvideo", "yuv420p"), ("a.mpg", "mpeg2video", "yuv420p"),
    ("a.flv", "flv", "yuv420p"), ("a.gif", "gif", "rgb8"),
]  # fmt: skip
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MOST_TICKS = 3600 * RATE + 60 * RATE * 2 * N  # an hour, or a minute a picture: what the reader allows


def picture(number: int) -> np.ndarray:
    ramp = np.add.outer(np.arange(48), np.arange(64)) * 2
    return np.stack([ramp, ramp[::-1], np.roll(ramp, 3 * number, 1)], -1).astype(np.uint8)


def make(folder: Path, kind: tuple[str, str, str]) -> Path:
    """A sound file of a kind: `N` pictures, a key frame every ten."""
    name, codec, pixels = kind
    path = folder / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"g": "10"} if codec != "gif" else {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(N):
            frame = av.VideoFrame.from_ndarray(picture(number)).reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def spoil(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One fault: its name and the bytes with it."""
    size, spoilt = len(data), bytearray(data)
    at, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
    fault = str(rng.choice(["flip", "header", "field", "zero", "cut", "drop", "insert", "twice", "tail"]))
    if fault == "flip":
        for place in rng.integers(size, size=int(rng.integers(1, 20))):
            spoilt[place] ^= 1 << int(rng.integers(8))
    elif fault in ("header", "field"):  # a number that claims anything, in either order of bytes
        place = int(rng.integers(min(size, 1500) if fault == "header" else size))
        value = struct.pack(str(rng.choice([">I", "<I"])), int(rng.choice(EXTREMES)))
        spoilt[place : place + 4] = value
    elif fault == "zero":
        spoilt[at : at + length] = bytes(len(spoilt[at : at + length]))
    elif fault == "cut":
        del spoilt[at:]
    elif fault == "drop":
        del spoilt[at : at + length]
    elif fault == "insert":
        spoilt[at:at] = rng.bytes(length)
    elif fault == "twice":
        spoilt[at:at] = spoilt[at : at + length]
    else:
        spoilt += rng.bytes(length)
    return fault, bytes(spoilt)


def variants(folder: Path, seed: int, each: int) -> Iterator[tuple[Path, str, list[np.ndarray]]]:
    """`each` faulty files of every kind, one after the other at the same place, and the sound pictures."""
    for kind in KINDS:
        sound = make(folder, kind)
        data, whole = sound.read_bytes(), [f.image for f in open_video(sound).frames(fps=RATE)]
        for number in range(each):
            rng = np.random.default_rng([seed, KINDS.index(kind), number])
            fault, spoilt = spoil(data, rng)
            path = folder / f"faulty{sound.suffix}"
            path.write_bytes(spoilt)
            yield path, f"{kind[0]} {kind[1]} {fault} {number}", whole


def outcome(path: Path, whole: list[np.ndarray]) -> str:
    """What reading a faulty file comes to: "as before", "reported", "refused" or "unnoticed".

    Unnoticed are pictures that changed although the decoder saw no fault. Raises whatever should not be.
    """
    try:
        video, worst, ticks = open_video(path), 0.0, 0
        for frame in video.lazy_frames(RATE):
            ticks += 1
            assert ticks <= MOST_TICKS, "more time than the file can hold"
            if ticks <= len(whole) and not frame.damaged:
                image = frame.image
                same = image.shape == whole[ticks - 1].shape
                worst = max(worst, np.abs(image.astype(int) - whole[ticks - 1]).mean() if same else 255.0)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error), str(error)
        return "refused"
    if video.problems:
        return "reported"
    return "as before" if worst < 2 and ticks == len(whole) else "unnoticed"


def count(seed: int, each: int) -> dict:
    """Tries all; "lost" lists those that ended in any other way."""
    counts: Counter = Counter()
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        for path, name, whole in variants(Path(folder), seed, each):
            try:
                counts[outcome(path, whole)] += 1
            except Exception as error:
                lost.append(f"{name}: {type(error).__name__}: {error}"[:300])
    tried = each * len(KINDS)
    return {
        "seed": seed,
        "tried": tried,
        "survived": tried - len(lost),
        **sorted_counts(counts),
        "lost": lost,
    }


def sorted_counts(counts: Counter) -> dict[str, int]:
    return {name: counts[name] for name in ("as before", "reported", "refused", "unnoticed")}


if __name__ == "__main__":
    found = count(int(sys.argv[1]) if len(sys.argv) > 1 else 0, 32)
    (HERE / "media_counts.json").write_text(json.dumps(found, indent=1) + "\n")
    print(found)

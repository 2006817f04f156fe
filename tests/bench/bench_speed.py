"""How fast faces are drawn and videos read: `python tests/bench/bench_speed.py [MINUTES]`.

Prints frames a second as ratios to real time, and the memory along a long video. A long 640x360
video is made by repeating 20 generated seconds; nothing here is a test.
"""

import sys
import tempfile
import threading
import time
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import torch

from fedet import detect, load_detector
from fedet.synthetic.generator import SynthConfig, draw_frames, write_script
from fedet.synthetic.scene import auto_exposure, sample_scenes, take
from fedet.synthetic.shapes import render, sample_looks
from fedet.video.writer import write_video


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def bench_render(size: int = 112, seconds: float = 6.0) -> None:
    generator = torch.Generator().manual_seed(0)
    who = torch.zeros(32, dtype=torch.long)
    look, scene = take(sample_looks(1, generator), who), take(sample_scenes(1, generator), who)
    scene, aus = auto_exposure(look, scene), torch.rand(32, 2, 18, generator=generator) * 0.5
    with torch.inference_mode():
        render(look, aus, scene, size)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            render(look, aus, scene, size)
            count += 32
    rate = count / (time.perf_counter() - start)
    print(f"drawing at {size} px, {torch.get_num_threads()} threads: {rate:.0f} frames/s")


def bench_encoding(folder: Path) -> None:
    config = SynthConfig(seconds=10)
    script = write_script(config, 0, 0)
    start = time.perf_counter()
    frames = list(draw_frames(script, config, 0))
    drawn = time.perf_counter()
    write_video(folder / "short.mp4", iter(frames), 30)
    encoded = time.perf_counter()
    share = (encoded - drawn) / (encoded - start)
    rate = 300 / (encoded - start)
    print(f"a 144 px video: {rate:.0f} frames/s with encoding, which takes {share:.0%} of the time")


def long_video(folder: Path, minutes: float) -> Path:
    """640x360: a generated face of 360 px between two grey bars, 20 s repeated."""
    config = SynthConfig(seconds=20, size=360, events_per_minute=12)
    bars = np.full((360, 140, 3), 110, np.uint8)
    frames = [np.concatenate([bars, f, bars], 1) for f in draw_frames(write_script(config, 0, 0), config, 0)]
    path = folder / f"long_{minutes:g}.mp4"
    write_video(path, chain.from_iterable(repeat(frames, round(minutes * 3))), 30)
    return path


def bench_detect(folder: Path, minutes: float) -> None:
    path = long_video(folder, minutes)
    detector = load_detector()
    samples: list[tuple[float, float]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            samples.append((time.perf_counter(), resident_mb()))

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    table = detect(path, detector)
    took = time.perf_counter() - start
    done.set()
    times = minutes * 60 / took
    print(f"detecting in {minutes:g} min at 640x360: {times:.1f} x real time, {len(table)} events")
    marks = [samples[round(q * (len(samples) - 1))][1] for q in (0.1, 0.25, 0.5, 0.75, 1.0)]
    print("memory at 10, 25, 50, 75, 100 % of the run: " + ", ".join(f"{m:.0f}" for m in marks) + " MiB")


def bench_own_statistics(folder: Path) -> None:
    path, detector = long_video(folder, 1), load_detector()
    plain = replace(detector, inputs=replace(detector.inputs, adapt=0.0))
    took = {}
    for name, reader in (("warm-up", plain), ("without", plain), ("with", detector)):
        start = time.perf_counter()
        reader.read(path)
        took[name] = time.perf_counter() - start
    more = took["with"] - took["without"]
    share = more / took["without"]
    print(f"the video's own statistics: {more:.1f} s a video, {share:.0%} of reading one minute")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        bench_render()
        bench_encoding(Path(name))
        bench_own_statistics(Path(name))
        bench_detect(Path(name), float(sys.argv[1]) if len(sys.argv) > 1 else 10)

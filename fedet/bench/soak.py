"""A soak: thousands of short videos in a folder, then one of hours, with memory and open files along the way.

`python -m fedet.bench.soak OUT` writes `OUT/soak.json`, anew at each sample: a soak that is stopped has said
how far it got. Linux only: memory is read from /proc.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer

from fedet.bench.processes import python
from fedet.files import atomic_write
from fedet.synthetic.generator import SynthConfig, draw_frames, write_script
from fedet.video.writer import write_video

LOOP_S = 20  # that are drawn; everything else repeats their packets


def draw_loop(folder: Path, fps: float, side: int = 128) -> Path:
    """Twenty seconds of a generated face, `side` pixels high and wide."""
    path = folder / "loop.mp4"
    if not path.exists():
        config = SynthConfig(seconds=LOOP_S, size=side, fps=fps, events_per_minute=12)
        write_video(path, draw_frames(write_script(config, 0, 0), config, 0), fps)
    return path


def repeat(source: Path, target: Path, seconds: float, title: str = "") -> None:
    """Writes `seconds` of a video, repeated as needed; packets are copied, not encoded again."""
    with av.open(str(source)) as container, atomic_write(target) as part, av.open(str(part), "w") as out:
        video = container.streams.video[0]
        packets = [
            (p.pts, p.dts, p.duration, p.is_keyframe, bytes(p)) for p in container.demux(video) if p.size
        ]
        length = sum(packet[2] for packet in packets)
        stream = out.add_stream_from_template(video)
        out.metadata["title"] = title  # so that no two files are the same
        for number in range(max(1, round(seconds / LOOP_S * len(packets)))):
            turn, at = divmod(number, len(packets))
            pts, dts, duration, key, data = packets[at]
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = pts + turn * length, dts + turn * length, duration
            packet.is_keyframe, packet.stream, packet.time_base = key, stream, video.time_base
            out.mux(packet)


def usage(process: int) -> dict[str, float]:
    """Resident and own memory of a process in MiB, and its open files."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = {key: line.split()[1] for line in lines for key in [line.split(":")[0]] if key.startswith("Rss")}
    values |= {"VmRSS": next(line.split()[1] for line in lines if line.startswith("VmRSS"))}
    n_files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return {"rss_mb": int(values["VmRSS"]) / 1024, "own_mb": int(values["RssAnon"]) / 1024, "files": n_files}


def watch(words: list[str], out: Path, facts: dict, every_s: float) -> dict:
    """Runs a command; writes memory, open files and videos done along the way. Returns all of it."""
    facts |= {"command": " ".join(words[1:]), "samples": []}
    start = time.monotonic()
    log = out / f"{facts['part']}.log"
    with log.open("w") as said, subprocess.Popen(words, stdout=said, stderr=said) as child:
        while child.poll() is None:
            time.sleep(every_s)
            try:
                sample = usage(child.pid) | {"at_s": round(time.monotonic() - start, 1)}
            except (OSError, StopIteration, KeyError):  # it has just ended
                break
            index = out / facts["part"] / "videos.json"
            sample["done"] = len(json.loads(index.read_text())) if index.is_file() else 0
            facts["samples"].append(sample)
            with atomic_write(out / f"{facts['part']}.json") as draft:
                draft.write_text(json.dumps(facts, indent=1) + "\n")
        facts["exit"] = child.wait()
    facts["seconds"] = round(time.monotonic() - start, 1)
    return facts


def main(
    out: Annotated[Path, typer.Argument(help="Folder for videos and figures.")],
    videos: Annotated[int, typer.Option(help="Short videos.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 1.0,
    minutes: Annotated[float, typer.Option(help="Length of the long one.")] = 120.0,
    fps: Annotated[float, typer.Option(help="Pictures a second; time is counted at 30 in any case.")] = 30.0,
    every: Annotated[float, typer.Option(help="Seconds between samples.")] = 10.0,
) -> None:
    """Detects in many short videos, then in a long one."""
    loop = draw_loop(out, fps)
    for number in range(videos):
        target = out / "short" / f"v{number:05d}.mp4"
        if not target.exists():
            repeat(loop, target, seconds, str(number))
    long = out / "long.mp4"
    if not long.exists():
        repeat(loop, long, 60 * minutes)
    results = {}
    for part, source in (("many", out / "short"), ("one", long)):
        if source == long or videos:
            words = python("-m", "fedet", "detect", str(source), "--out", str(out / part))
            results[part] = watch(words, out, {"part": part, "fps": fps}, every)
            print(part, results[part]["exit"], results[part]["seconds"], "s", flush=True)
    peaks = {
        part: float(np.max([s["own_mb"] for s in r["samples"]], initial=0)) for part, r in results.items()
    }
    with atomic_write(out / "soak.json") as draft:
        draft.write_text(json.dumps(results | {"peak_own_mb": peaks}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

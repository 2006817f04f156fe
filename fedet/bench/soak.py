"""A soak: thousands of short videos in a folder, then one of hours, with memory on the way.

`python -m fedet.bench.soak OUT` shows its progress and writes `OUT/soak.json` anew at each sample; after a
stop it resumes where it was. `--minutes 0` leaves out the long video, `--videos 0` the short ones.
Linux only: memory is read from /proc.
"""

import json
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import av
import typer
from tqdm import tqdm

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


def n_done(found: Path) -> int:
    """Videos whose results are in a folder of detections."""
    index = found / "videos.json"
    return len(json.loads(index.read_text())) if index.is_file() else 0


def watch(part: str, source: Path, n_videos: int, out: Path, every_s: float) -> dict:
    """Runs `detect` on a video or folder; writes memory, open files and videos done along the way.

    Returns:
        All of it: tried, done, lost (what a finished run has no results of), exit, seconds and peak_own_mb;
        an earlier run's samples come first.
    """
    page, found = out / "soak.json", out / part
    facts = json.loads(page.read_text()) if page.is_file() else {}
    mine = facts.setdefault(part, {"tried": n_videos, "samples": []})
    words = python("-m", "fedet", "detect", str(source), "--out", str(found))
    before_s, start = mine.get("seconds", 0.0), time.monotonic()
    progress = tqdm(total=n_videos, desc=part, unit="video")
    with (out / f"{part}.log").open("a") as said, subprocess.Popen(words, stdout=said, stderr=said) as child:
        running = True
        while running:
            time.sleep(every_s)
            running = child.poll() is None
            done, seconds = n_done(found), round(before_s + time.monotonic() - start, 1)
            with suppress(OSError, StopIteration, KeyError):  # it has just ended
                mine["samples"].append(usage(child.pid) | {"at_s": seconds, "done": done})
            peak = max((sample["own_mb"] for sample in mine["samples"]), default=0.0)
            mine |= {"done": done, "seconds": seconds, "peak_own_mb": peak, "exit": child.poll()}
            mine["lost"] = None if running else n_videos - done
            with atomic_write(page) as draft:
                draft.write_text(json.dumps(facts, indent=1) + "\n")
            progress.update(done - progress.n)
    progress.close()
    return mine


def main(
    out: Annotated[Path, typer.Argument(help="Folder for videos and figures.")],
    videos: Annotated[int, typer.Option(help="Short videos.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 1.0,
    minutes: Annotated[float, typer.Option(help="Length of the long one.")] = 120.0,
    fps: Annotated[float, typer.Option(help="Pictures a second; time is counted at 30 in any case.")] = 30.0,
    every: Annotated[float, typer.Option(help="Seconds between samples.")] = 10.0,
) -> None:
    """Detects in many short videos, then in a long one; exit 1 where a video has no results."""
    loop = draw_loop(out, fps)
    for number in range(videos):
        target = out / "short" / f"v{number:05d}.mp4"
        if not target.exists():
            repeat(loop, target, seconds, str(number))
    long = out / "long.mp4"
    if minutes and not long.exists():
        repeat(loop, long, 60 * minutes)
    parts = [("many", out / "short", videos)] * bool(videos) + [("one", long, 1)] * bool(minutes)
    lost = 0
    for part, source, n_videos in parts:
        result = watch(part, source, n_videos, out, every)
        print(part, {name: value for name, value in result.items() if name != "samples"}, flush=True)
        lost += result["lost"]
    raise typer.Exit(int(bool(lost)))


if __name__ == "__main__":
    typer.run(main)

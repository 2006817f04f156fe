"""Videos to measure with: one generated face at 640 x 360, as long as wanted."""

from pathlib import Path

import av
import numpy as np

from fedet.synthetic.generator import SynthConfig, draw_frames, write_script
from fedet.video.writer import write_video

SECONDS = 20.0  # that are drawn; a longer video repeats them


def short_video(folder: Path) -> Path:
    """20 seconds: a face of 360 pixels between two grey bars; kept in `folder`."""
    path = folder / "short.mp4"
    if not path.exists():
        config = SynthConfig(seconds=SECONDS, size=360, events_per_minute=12)
        bar = np.full((360, 140, 3), 110, np.uint8)
        faces = draw_frames(write_script(config, 0, 0), config, 0)
        write_video(path, (np.concatenate([bar, face, bar], axis=1) for face in faces), config.fps)
    return path


def long_video(folder: Path, minutes: float) -> Path:
    """The short video over and over, its packets copied, not encoded again; kept in `folder`."""
    path = folder / f"minutes_{minutes:g}.mp4"
    if path.exists():
        return path
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as target:
        stream, shift = None, 0
        for _ in range(max(1, round(minutes * 60 / SECONDS))):
            with av.open(str(short_video(folder))) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                last = 0
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    last = max(last, packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
                shift += last
    part.replace(path)
    return path

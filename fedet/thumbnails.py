"""Small pictures of a video's frames: a strip over the whole length, or the apex of each event."""

from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.palette import EMOTION_COLOURS
from fedet.video import open_video

MOST = 24  # pictures in a strip


def frames_near(video: str | Path, times_s: list[float]) -> list[np.ndarray]:
    """The frames shown at these seconds, (H, W, 3) uint8 each, in the order asked for.

    Raises InputError where the video cannot be read, or a time is not a number.
    """
    if not np.isfinite(times_s).all():
        raise InputError(f"times {times_s} of {video}: every one must be a number of seconds")
    source = open_video(video)
    return [source.frame_at(max(0.0, float(t))).image for t in times_s]


def plot_strip(video: str | Path, times_s: list[float], titles: list[str] | None = None, colours=None):
    """Frames side by side with their second above; returns the figure's axes, (N,) array.

    Args:
        times_s: at most 24 seconds of the video.
        titles: instead of the seconds. colours: of the pictures' frames.
    """
    import matplotlib.pyplot as plt

    times_s = list(times_s)[:MOST]
    pictures = frames_near(video, times_s)
    across = min(len(pictures), 8) or 1
    down = -(-len(pictures) // across) or 1
    fig, axes = plt.subplots(down, across, figsize=(1.35 * across, 1.6 * down), squeeze=False)
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[], visible=i < len(pictures))
        if i < len(pictures):
            ax.imshow(pictures[i])
            ax.set_title(titles[i] if titles else f"{times_s[i]:.1f} s", fontsize=8)
            for side in ax.spines.values():
                side.set(color=colours[i] if colours else "0.6", linewidth=3 if colours else 0.8)
    fig.tight_layout(pad=0.4)
    return axes.ravel()


def plot_apexes(video: str | Path, table: pd.DataFrame):
    """The apex of each detected or annotated event, framed in its emotion's colour."""
    table = table.sort_values("onset").head(MOST)
    frame = table["apex"].fillna((table["onset"] + table["offset"]) // 2).astype(float)
    times = ((frame + 0.5) / table["fps"].astype(float)).tolist()
    known = table["emotion"].fillna("unknown").astype(str)
    titles = [f"{t:.1f} s {e}" for t, e in zip(times, known, strict=True)]
    if "score" in table and table["score"].notna().any():
        titles = [f"{t}\n{s:.2f}" for t, s in zip(titles, table["score"].astype(float), strict=True)]
    colours = [EMOTION_COLOURS.get(e, EMOTION_COLOURS["unknown"]) for e in known]
    return plot_strip(video, times, titles, colours)

"""Thumbnails of a video's frames: a strip over the whole length, or the apex of each event."""

from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import EMOTION_COLOURS
from fedet.video.reader import MAX_SIDE, open_video

MAX_PICTURES = 24  # in a strip
TILES = 40  # of a blurred picture's shorter side


def frames_near(video: str | Path, times_s: list[float], folder_fps: float = 30.0) -> list[np.ndarray]:
    """The frames shown at these seconds, (H, W, 3) uint8 each, in the given order.

    Larger ones than `MAX_SIDE` are reduced to it.
    `folder_fps` is the rate of a folder of images; video files tell theirs.

    Raises InputError where the video cannot be read, or a time is not a number.
    """
    if not np.isfinite(times_s).all():
        raise InputError(f"times {times_s} of {video}: every one must be a number of seconds")
    source = open_video(video, folder_fps)
    return [source.frame_at(max(0.0, float(t)), MAX_SIDE).image for t in times_s]


def blur_faces(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 as a mosaic, with the faces in it as eight by eight tiles.

    Guaranteed: no tile is smaller than a fortieth of the picture's shorter side, and every box that a
    detector reports (upright, tilted, in profile, small, dark) has coarser ones, an eighth of its side.
    Without any box the whole picture has twelve by twelve tiles. Not guaranteed: that every face is
    detected; a large one without a box keeps the fine tiles, so check before sharing. Tiles, unlike a
    blur, cannot be sharpened again; clothes and surroundings remain, roughly.
    """
    from fedet.faces.detectors import SMALL_FACE, HaarDetector

    detectors = (HaarDetector(), HaarDetector(min_face=SMALL_FACE))
    boxes = [box for detector in detectors for box in detector.detect_all(image)]
    if not boxes:
        return mosaic(image, 12, 12)
    side = max(1.0, min(image.shape[:2]) / TILES)
    out = mosaic(image, int(image.shape[1] // side), int(image.shape[0] // side))
    for box in sorted(boxes, key=lambda box: box.size):
        left, top = int(max(0, box.x - 0.2 * box.w)), int(max(0, box.y - 0.3 * box.h))
        right, bottom = int(box.x + 1.2 * box.w), int(box.y + 1.35 * box.h)
        face = out[top:bottom, left:right]
        if face.size:
            face[:] = mosaic(face, 8, 8)
    return out


def mosaic(image: np.ndarray, across: int, down: int) -> np.ndarray:
    """A picture (H, W, 3) in so many tiles."""
    import cv2

    tiles = cv2.resize(image, (across, down), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiles, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def plot_strip(
    video: str | Path,
    times_s: list[float],
    titles: list[str] | None = None,
    colours: list[str] | None = None,
    blur: bool = False,
    label: str = "",
    folder_fps: float = 30.0,
    points: np.ndarray | None = None,
):
    """Frames side by side with their second above; returns the figure's axes, (N,) array.

    Args:
        times_s: seconds of the video, at most 24 of them.
        titles: instead of the seconds. colours: of the pictures' frames.
        blur: makes the faces unrecognisable.
        label: at the top right: the origin of the pictures.
        folder_fps: as for `frames_near`.
        points: (N, P, 2) of the face in each, in pixels of the video; NaN: none.
    """
    import matplotlib.pyplot as plt

    times_s = list(times_s)[:MAX_PICTURES]
    pictures = [blur_faces(p) if blur else p for p in frames_near(video, times_s, folder_fps)]
    titles = titles or [f"{t:.1f} s" for t in times_s]
    across = min(len(pictures), 8) or 1
    down = -(-len(pictures) // across) or 1
    wide, tall = 1.3, 1.3 * max((p.shape[0] / p.shape[1] for p in pictures), default=1.0)  # inches
    lines = max((title.count("\n") + 1 for title in titles), default=1)
    height = down * (tall + 0.14 * lines + 0.12) + (0.22 if label else 0.0)
    size = {"figsize": (across * (wide + 0.06), height), "layout": "constrained"}
    fig, axes = plt.subplots(down, across, squeeze=False, **size)
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[], visible=i < len(pictures))
        if i < len(pictures):
            ax.imshow(pictures[i])
            if points is not None:
                share = pictures[i].shape[1] / open_video(video, folder_fps).width
                x, y = points[i].T * share - 0.5  # the centre of the first pixel is at 0
                ax.scatter(x, y, s=0.5, c="#ffd60a", linewidths=0)
            ax.set_title(titles[i], fontsize=8, pad=3)
            for side in ax.spines.values():
                side.set(color=colours[i] if colours else "0.6", linewidth=3 if colours else 0.8)
    if label:
        fig.suptitle(label, x=0.99, ha="right", fontsize="small")
    return axes.ravel()


def plot_apexes(
    video: str | Path,
    table: pd.DataFrame,
    blur: bool = False,
    label: str = "",
    points: np.ndarray | None = None,
):
    """The apex of each detected or annotated event, framed in its emotion's colour.

    `points`: (N, P, 2) of the face at the apex of each row, see `fedet.faces.frame_table.apex_points`.
    """
    order = np.argsort(table["onset"].to_numpy(float), kind="stable")[:MAX_PICTURES]
    table, points = table.iloc[order], None if points is None else points[order]
    frame = table["apex"].fillna((table["onset"] + table["offset"]) // 2).astype(float)
    times = ((frame + 0.5) / table["fps"].astype(float)).tolist()
    known = table["emotion"].fillna("unknown").astype(str)
    titles = [f"{t:.1f} s {e}" for t, e in zip(times, known, strict=True)]
    if "score" in table and table["score"].notna().any():
        titles = [f"{t}\n{s:.2f}" for t, s in zip(titles, table["score"].astype(float), strict=True)]
    colours = [EMOTION_COLOURS.get(e, EMOTION_COLOURS["unknown"]) for e in known]
    rate = {"folder_fps": float(table["fps"].iloc[0])} if len(table) else {}
    return plot_strip(video, times, titles, colours, blur, label, **rate, points=points)

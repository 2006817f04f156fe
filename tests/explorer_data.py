"""A small video whose frames carry their number, and intervals for it, for the explorer's tests."""

import numpy as np
import pandas as pd

from fedet.annotations.table import validate
from fedet.intervals import EMOTIONS
from fedet.video.writer import write_video

FPS, N_FRAMES = 30.0, 600
BITS, BLOCK = 10, 16  # a frame's number in black and white blocks

# (onset, apex, offset, emotion); a micro-expression, two that overlap
TRUTH = [
    (60, 75, 100, "positive"),
    (150, 155, 161, "negative"),
    (300, 320, 350, "surprise"),
    (340, 350, 365, "others"),
    (500, None, 540, "negative"),
]
# (onset, offset, emotion, score)
PREDICTED = [
    (58, 95, "positive", 0.92),
    (62, 99, "positive", 0.55),
    (152, 162, "negative", 0.48),
    (210, 240, "negative", 0.61),
    (305, 352, "surprise", 0.74),
    (400, 410, "others", 0.31),
    (505, 545, "positive", 0.83),
]


def truth(**columns) -> pd.DataFrame:
    table = pd.DataFrame(TRUTH, columns=["onset", "apex", "offset", "emotion"])
    fixed = {"video": "clip", "subject": "s01", "fps": FPS} | columns
    return validate(table.assign(**fixed))[0]


def predicted(rows=PREDICTED, **columns) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["onset", "offset", "emotion", "score"])
    fixed = {"video": "clip", "subject": "s01", "fps": FPS, "source": "fedet"} | columns
    return validate(table.assign(**fixed))[0]


def curves() -> pd.DataFrame:
    """A bump for each prediction; no score in frames 400-419."""
    values = pd.DataFrame(0.05, index=range(N_FRAMES), columns=list(EMOTIONS))
    for onset, offset, emotion, score in PREDICTED:
        values.loc[onset:offset, emotion] = score
    values.loc[400:419] = np.nan
    return values


def frames(count: int = N_FRAMES, width: int = 192, height: int = 108):
    """Grey frames with their number in the top row of blocks, and a disc that moves."""
    y, x = np.mgrid[:height, :width]
    for k in range(count):
        frame = np.full((height, width, 3), 90, np.uint8)
        frame[(x - width / 2 - 30 * np.sin(k / 20)) ** 2 + (y - 70) ** 2 < 700] = (205, 160, 140)
        for bit in range(BITS):
            frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 if k >> bit & 1 else 0
        yield frame


def write_clip(path, count: int = N_FRAMES) -> None:
    write_video(path, frames(count), FPS)


def number_of(image: np.ndarray) -> int:
    """The number that a picture (H, W, 3) of such a frame carries."""
    block = image.shape[1] / 192 * BLOCK
    centres = [(int(block / 2), int((bit + 0.5) * block)) for bit in range(BITS)]
    return sum(int(image[y, x].mean() > 127) << bit for bit, (y, x) in enumerate(centres))

"""Generated people for the landmark network: pictures, points and what the face does, drawn once."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedet.faces.points import POINTS
from fedet.files import atomic_write
from fedet.intervals import AUS
from fedet.synthetic.expressions import sample_mouths
from fedet.synthetic.families import family
from fedet.synthetic.scene import chance, uniform
from fedet.training.pretraining import sample_people

FRAMES = 4  # pictures of a person; the first shows no expression
SIDE = 112  # of the stored pictures, pixels
STEP = 16  # people drawn at once
SPEAKING = 0.45  # share of the pictures in which the person speaks, expression or not
ONE_SIDED = 0.25  # share in which one side does less than the other
Bank = dict[str, np.ndarray]


def open_bank(folder: Path, seed: int, people: int) -> Bank:
    """The memory-mapped files for `people` x `FRAMES` pictures of one family, made where they are missing.

    Returns: `images` (people, frames, 3, side, side) uint8; `points` (people, frames, P, 2) x and y as
    shares of the side; `shown` and `spoken` (people, frames, 2, 18) change of the AUs from rest by
    expressions and by speech, left and right; `labels` (people, frames) 0 nothing, 1..4 the emotion, -1
    a mixture; `drawn` (1,) people drawn so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    both = (people, FRAMES, 2, len(AUS))
    shapes = {
        "images": ((people, FRAMES, 3, SIDE, SIDE), np.uint8), "labels": ((people, FRAMES), np.int8),
        "points": ((people, FRAMES, len(POINTS), 2), np.float32),
        "shown": (both, np.float16), "spoken": (both, np.float16), "drawn": ((1,), np.int64),
    }  # fmt: skip
    bank = {}
    for name, (shape, dtype) in shapes.items():
        path = folder / f"{name}-{seed}-{people}.npy"
        if not path.exists():
            with atomic_write(path) as new:
                np.lib.format.open_memmap(new, "w+", dtype, shape).flush()
        bank[name] = np.lib.format.open_memmap(path, "r+")
    return bank


def draw_further(bank: Bank, seed: int, kind: str, until: int) -> None:
    """Draws people of one family until there are `until`, or the bank is full."""
    until = min(until, len(bank["labels"]))
    for start in range(int(bank["drawn"][0]), until, STEP):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
        rows = slice(start, min(start + STEP, len(bank["labels"])))
        for name, values in draw(rows.stop - start, generator, kind).items():
            bank[name][rows] = values.view(rows.stop - start, FRAMES, *values.shape[1:]).numpy()
        bank["drawn"][0] = rows.stop


@torch.inference_mode()
def draw(n: int, generator: torch.Generator, kind: str) -> dict[str, Tensor]:
    """`FRAMES` pictures of each of n new people, a row a picture, by the names of `draw_bank`."""
    m = n * FRAMES
    look, rest, shown, scene, labels = sample_people(n, FRAMES, generator, kind)
    weaker = chance(m, ONE_SIDED, generator) * uniform(m, 0.2, 0.9, generator)
    side = torch.randint(2, (m,), generator=generator)
    shown[torch.arange(m), side] *= 1 - weaker[:, None]
    speaking = chance(m, SPEAKING, generator)
    speaking[::FRAMES] = 0  # the first is at rest
    spoken = sample_mouths(m, generator) * speaking[:, None, None]
    scene["yaw"] = (scene["yaw"] + 0.12 * torch.randn(m, generator=generator)).clamp(-0.6, 0.6)
    scene["scale"] = scene["scale"] * uniform(m, 0.9, 1.05, generator)
    change = torch.maximum(shown, spoken)
    aus = (rest + change * (1 - 0.5 * rest)).clamp(0, 1)
    images = family(kind).render(look, aus, scene, SIDE)
    return {
        "images": (images * 255 + 0.5).to(torch.uint8), "labels": labels.to(torch.int8),
        "points": family(kind).landmarks(look, aus, scene), "shown": shown.half(), "spoken": spoken.half(),
    }  # fmt: skip

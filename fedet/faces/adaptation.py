"""Batch norms adapted to a video's own face, for a network trained on other kinds of pictures.

A batch normalisation subtracts a mean and divides by a deviation that were measured in training. On
pictures of another kind both are a little off, in every layer. Here they are blended with those of
faces of the present video, without any label and without a step of training (Schneider et al.,
"Improving robustness against common corruptions by covariate shift adaptation", NeurIPS 2020).
"""

import copy
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from fedet.errors import InputError
from fedet.faces.detectors import FaceDetector
from fedet.faces.tracking import crop
from fedet.video.reader import MAX_SIDE, Video

FACES = 64  # pictures of a video: the statistics of its face change little with more
MAX_FPS = 30.0  # of a video so short that it has fewer than `FACES` pictures at this rate, all count
SEEK_S = 4.0  # pictures further apart are reached by seeking; nearer ones by reading on
SLOW_S = 1.0  # where one seek takes longer, the rest is read without seeking

Net = TypeVar("Net", bound=nn.Module)


def check_share(share: float) -> None:
    """Raises InputError unless the share of a video's own statistics is from 0 to 1."""
    if not 0 <= share <= 1:
        raise InputError(f"adapt is {share!r}; the share of a video's own statistics, from 0 to 1")


class SpreadFaces(NamedTuple):
    """Faces at equal distances over a video."""

    crops: np.ndarray  # (N, S, S, 3) uint8 RGB
    times_s: np.ndarray  # (N,) seconds


def spread_faces(video: Video, detector: FaceDetector, size: int, count: int = FACES) -> SpreadFaces:
    """Face crops from pictures spread evenly over a video, at most `count` of `size` pixels.

    The face is searched near its position in the picture before, else in all of it, where the largest
    one counts. A picture without a face gives none.
    """
    crops, times_s, box = [], [], None
    for time_s, image in _spread(video, count):
        near = detector.detect(image, near=box) if box else []
        box = max(near or detector.detect(image), key=lambda b: b.size, default=None)
        if box is not None:
            crops.append(crop(image, box, size))
            times_s.append(time_s)
    stacked = np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)
    return SpreadFaces(stacked, np.array(times_s))


def _spread(video: Video, count: int) -> Iterator[tuple[float, np.ndarray]]:
    """Times and pictures of about `count` frames at equal distances; fewer where the video ends early.

    Reached by seeking where they lie far apart, unless that takes long in this file, as where it has to
    be read from its beginning each time. The pictures are the same either way.
    """
    seconds = video.duration_s or (video.n_frames_estimate or 0) / (video.fps or MAX_FPS)
    rate, slow = min(MAX_FPS, count / seconds) if seconds else 1.0, False
    for number in range(count):
        if slow or 1 / rate < SEEK_S:
            frames = video.frames(start_s=number / rate, fps=rate, max_side=MAX_SIDE)
            yield from ((frame.time_s, frame.image) for frame in islice(frames, count - number))
            return
        start = time.perf_counter()
        image = None
        with suppress(InputError):  # after the true end, or damaged
            image = video.frame_at(number / rate, MAX_SIDE).image
        slow = time.perf_counter() - start > SLOW_S
        if image is not None:
            yield number / rate, image


@torch.no_grad()
def adapt_batch_norms(net: Net, faces: Tensor, share: float) -> Net:
    """A copy of a network in evaluation mode with batch norms adapted to these faces.

    Layer by layer, in one pass: the statistics of each become (1 - a) times the stored ones plus a times
    those of its input, which comes from the adapted layers before it. a is `share` for `FACES` faces and
    less, in proportion, for fewer: a few represent the whole video poorly.

    Args:
        faces: (N, 3, S, S), as the network reads them; N may be 0.
        share: of the video's own statistics, from 0 (an exact copy) to 1.
    """
    check_share(share)
    adapted = copy.deepcopy(net).eval()
    weight = share * min(1.0, len(faces) / FACES)
    if weight == 0:
        return adapted

    def blend(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        # What is returned is thrown away: this is the quickest way to blend the statistics.
        batch_norm(inputs[0], norm.running_mean, norm.running_var, training=True, momentum=weight)

    norms = [module for module in adapted.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(blend) for norm in norms]
    try:
        adapted(faces)
    finally:
        for hook in hooks:
            hook.remove()
    return adapted


def statistics_of(net: nn.Module) -> dict[str, Tensor]:
    """Means and variances of all batch norms, by their names in the network."""
    return {name: values for name, values in net.named_buffers() if "running" in name}

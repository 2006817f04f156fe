"""What the detector reads of a face: the change of its vectors from the same person's rest.

A vector shows an expression and, far more strongly, whose face it is. The detector therefore reads the
difference from the same person's vectors at rest nearby: see `change_from_rest`.
"""

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.network import WIDTH, FaceNet
from fedet.faces.vectors import FPS, FaceTrack

REFERENCES = ("rest", "median", "none")
REST_RECURS_S = 15.0  # length of a video from which on rest is expected to recur, seconds
READS = ("vectors", "readouts", "both")
CHUNK = 4096  # frames in memory at once


def change_from_rest(
    faces: FaceTrack,
    reference: str = "rest",
    context_s: float = 20.0,
    share: float = 0.2,
    step_s: float = 1.0,
) -> np.ndarray:
    """Vectors minus the same person's resting vector in the neighbourhood: (T, 512) float16.

    Every `step_s` the frames of the same face within `context_s` to both sides are taken; the
    resting vector is the mean of the `share` of them that look most like rest ("rest", see
    `rest_order`; unlike the median it also holds in a clip that is mostly expression), or the
    median of all ("median", for weights without read-outs). "none" subtracts nothing. Between the
    steps it is interpolated. Our choice; the paper reads the vectors as they are.

    Raises InputError on another `reference`.
    """
    if reference not in REFERENCES:
        raise InputError(f"reference is {reference!r}; one of {', '.join(REFERENCES)}")
    mask, step = faces.mask, step_s * FPS
    if reference == "none" or not mask.any():
        return np.array(faces.vectors)
    out = np.zeros((len(faces.state), WIDTH), np.float16)
    for number in np.unique(faces.track[mask]):
        frames = np.flatnonzero(mask & (faces.track == number))
        knots = np.arange(frames[0], frames[-1] + step, step)
        rest = np.stack([_resting_vector(faces, frames, k, reference, context_s, share) for k in knots])
        for chunk in np.array_split(frames, max(1, len(frames) // CHUNK)):
            position = (chunk - frames[0]) / step
            before = np.minimum(position.astype(int), len(knots) - 1)
            after = np.minimum(before + 1, len(knots) - 1)
            weight = (position - before)[:, None]
            between = rest[before] * (1 - weight) + rest[after] * weight
            out[chunk] = faces.vectors[chunk].astype(np.float32) - between
    return out


def _resting_vector(
    faces: FaceTrack, frames: np.ndarray, knot: float, reference: str, context_s: float, share: float
) -> np.ndarray:
    chosen = rest_frames(faces, frames, knot, reference, context_s, share)
    near = faces.vectors[chosen].astype(np.float32)
    return near.mean(0) if reference == "rest" else np.median(near, axis=0)


def rest_frames(
    faces: FaceTrack, frames: np.ndarray, knot: float, reference: str, context_s: float, share: float = 0.2
) -> np.ndarray:
    """The frames around `knot`, out of the `frames` of one face, from which its resting vector is taken."""
    reach = context_s * FPS
    first, last = np.searchsorted(frames, [knot - reach, knot + reach])
    near = frames[first:last]
    if not len(near):  # a gap wider than the context: the nearest frames of the same face
        near = frames[max(0, first - 30) : first + 30]
    near = near[:: max(1, len(near) // 400)]
    if reference == "median":
        return near
    count = max(1, round(share * len(near)))
    if len(faces.state) < REST_RECURS_S * FPS:
        return near[np.argpartition(-faces.rest[near], count - 1)[:count]]
    return near[rest_order(faces.vectors[near], faces.rest[near])[:count]]


def rest_order(vectors: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Frames (N,) from the most to the least like a face at rest (our choice).

    A resting face looks as if nothing is expressed, and a person comes back to it. So two ranks are
    added: by how likely nothing is expressed, `rest` (N,), and by the distance of a vector (N, C) to
    the quarter of the others that is nearest. The first alone fails on a face whose rest looks sad,
    the second alone in a clip that is mostly expression; so in a video shorter than `REST_RECURS_S` the
    first alone decides.
    """
    x = vectors.astype(np.float64)
    x = x - x.mean(0)
    squares = (x**2).sum(1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))  # (N, N)
    nearest = len(x) // 4
    isolation = np.partition(distance, nearest, axis=1)[:, : nearest + 1].mean(1)
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (-rest, isolation)]
    return np.argsort(ranks[0] + ranks[1], kind="stable")


@torch.inference_mode()
def face_channels(change: np.ndarray, net: FaceNet, reads: str = "vectors") -> np.ndarray:
    """The channels of the face that the detector reads, (T, 512) change -> (T, C) of the same dtype.

    Args:
        change: from rest, as `change_from_rest` gives it.
        reads: "vectors" all 512 numbers; "readouts" the 23 that the network's heads make of them
            (18 AUs and the emotion from change, without its softmax); "both" one after the other.
            Read-outs drop what a vector says about its own kind of pictures: our choice where
            videos look unlike the training set.

    Raises InputError on another `reads`, or where the weights have no heads.
    """
    if reads not in READS:
        raise InputError(f"reads is {reads!r}; one of {', '.join(READS)}")
    if reads == "vectors":
        return change
    # In double precision: the last bits of a product in single precision depend on the number of
    # threads, and training would carry them on.
    weights = net.change_read_outs().numpy(force=True).T.astype(np.float64)
    out = np.empty((len(change), weights.shape[1]), change.dtype)
    for start in range(0, len(change), CHUNK):
        chunk = slice(start, start + CHUNK)
        out[chunk] = change[chunk].astype(np.float64) @ weights
    return out if reads == "readouts" else np.concatenate([change, out], axis=1)

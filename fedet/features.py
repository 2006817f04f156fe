"""What the detector reads of a face: the change of its vectors from the same person's rest.

A vector shows an expression and, far more strongly, whose face it is. The detector therefore reads the
difference from the same person's vectors at rest nearby: see `change_from_rest`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.network import WIDTH, FaceNet
from fedet.faces.vectors import FPS, FaceTrack, forget_pages

REFERENCES = ("rest", "median", "none")
REST_RECURS_S = 15.0  # length of a video from which on rest is expected to recur, seconds
READS = ("vectors", "readouts", "both")
CHUNK = 4096  # frames in memory at once


class Change:
    """The change of one face's vectors from rest: (T, 512) float16, of which a slice is computed on access.

    An hour of it has 110 MB, and most of those who read it need some frames at a time.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, faces: FaceTrack, parts: "list[_Rest]", step: float) -> None:
        self.faces, self.parts, self.step = faces, parts, step

    def __len__(self) -> int:
        return len(self.faces.state)

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, stop, _ = frames.indices(len(self))
        out = np.zeros((max(0, stop - start), WIDTH), np.float16)
        for part in self.parts:
            first, last = np.searchsorted(part.frames, [start, stop])
            for at in np.array_split(part.frames[first:last], max(1, (last - first) // CHUNK)):
                between = part.at((at - part.frames[0]) / self.step)
                out[at - start] = self.faces.vectors[at].astype(np.float32) - between
        forget_pages(self.faces.vectors)
        return out


class _Rest(NamedTuple):
    """The resting vectors of one face."""

    frames: np.ndarray  # (N,) in which it is seen, ascending
    knots: np.ndarray  # (K, 512) float32, a step apart

    def at(self, position: np.ndarray) -> np.ndarray:
        """Interpolated at (N,) positions, in steps."""
        before = np.minimum(position.astype(int), len(self.knots) - 1)
        after = np.minimum(before + 1, len(self.knots) - 1)
        weight = (position - before)[:, None]
        return self.knots[before] * (1 - weight) + self.knots[after] * weight


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
    return lazy_change(faces, reference, context_s, share, step_s)[:]


def lazy_change(
    faces: FaceTrack,
    reference: str = "rest",
    context_s: float = 20.0,
    share: float = 0.2,
    step_s: float = 1.0,
) -> Change | np.ndarray:
    """As `change_from_rest`, (T, 512) float16, of which only slices are in memory."""
    if reference not in REFERENCES:
        raise InputError(f"reference is {reference!r}; one of {', '.join(REFERENCES)}")
    mask, step = faces.mask, step_s * FPS
    if reference == "none" or not mask.any():
        return np.array(faces.vectors)
    parts = []
    for number in np.unique(faces.track[mask]):
        frames = np.flatnonzero(mask & (faces.track == number))
        around = [_frames_around(frames, k, context_s) for k in np.arange(frames[0], frames[-1] + step, step)]
        if reference == "median":
            knots = [np.median(faces.vectors[near].astype(np.float32), axis=0) for near in around]
        else:
            knots = [
                faces.vectors[chosen].astype(np.float32).mean(0)
                for chosen in _calmest_of_each(faces, around, share)
            ]
        parts.append(_Rest(frames, np.stack(knots)))
    return Change(faces, parts, step)


def rest_frames(
    faces: FaceTrack, frames: np.ndarray, knot: float, reference: str, context_s: float, share: float = 0.2
) -> np.ndarray:
    """The frames around `knot`, out of the `frames` of one face, from which its resting vector is taken."""
    near = _frames_around(frames, knot, context_s)
    return near if reference == "median" else next(_calmest_of_each(faces, [near], share))


def _frames_around(frames: np.ndarray, knot: float, context_s: float) -> np.ndarray:
    """Some 400 of the `frames` of one face, evenly spaced, within `context_s` of `knot`."""
    reach = context_s * FPS
    first, last = np.searchsorted(frames, [knot - reach, knot + reach])
    near = frames[first:last]
    if not len(near):  # a gap wider than the context: the nearest frames of the same face
        near = frames[max(0, first - 30) : first + 30]
    return near[:: max(1, len(near) // 400)]


def _calmest_of_each(faces: FaceTrack, around: list[np.ndarray], share: float) -> Iterator[np.ndarray]:
    """Of each set of frames the `share` that looks most like rest.

    Neighbouring sets share most of their frames, so distances are computed for several sets at once.
    """
    short = len(faces.state) < REST_RECURS_S * FPS
    for together in _groups(around):
        every = np.unique(np.concatenate(together))
        distance = None if short else _distances(faces.vectors[every])
        forget_pages(faces.vectors)
        for near in together:
            count, rest = max(1, round(share * len(near))), faces.rest[near]
            if distance is None:
                yield near[np.argpartition(-rest, count - 1)[:count]]
                continue
            at = np.searchsorted(every, near)
            own = slice(at[0], at[-1] + 1) if at[-1] - at[0] == len(at) - 1 else None
            between = distance[own, own] if own else distance[np.ix_(at, at)]
            yield near[_rest_order(between, rest)[:count]]


def _groups(around: list[np.ndarray], most: int = 1200) -> Iterator[list[np.ndarray]]:
    """Neighbouring sets of ascending frames, with at most about `most` different frames in each group."""
    group: list[np.ndarray] = []
    count = 0
    for near in around:
        new = len(near) - (np.searchsorted(near, group[-1][-1], "right") if group else 0)
        if group and count + new > most:
            yield group
            group, count, new = [], 0, len(near)
        group, count = [*group, near], count + new
    if group:
        yield group


def rest_order(vectors: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Frames (N,) from the most to the least like a face at rest (our choice).

    A resting face looks as if nothing is expressed, and a person comes back to it. So two ranks are
    added: by how likely nothing is expressed, `rest` (N,), and by the distance of a vector (N, C) to
    the quarter of the others that is nearest. The first alone fails on a face whose rest looks sad,
    the second alone in a clip that is mostly expression; so in a video shorter than `REST_RECURS_S` the
    first alone decides.
    """
    return _rest_order(_distances(vectors), rest)


def _distances(vectors: np.ndarray) -> np.ndarray:
    """(N, N) between vectors (N, C)."""
    x = vectors.astype(np.float64)
    x -= x.mean(0)
    squares = (x**2).sum(1)
    between = x @ x.T
    between *= -2
    between += squares
    between += squares[:, None]
    return np.sqrt(np.maximum(between, 0, out=between), out=between)


def _rest_order(distance: np.ndarray, rest: np.ndarray) -> np.ndarray:
    nearest = len(distance) // 4
    isolation = np.partition(distance, nearest, axis=1)[:, : nearest + 1].mean(1)
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (-rest, isolation)]
    return np.argsort(ranks[0] + ranks[1], kind="stable")


@torch.inference_mode()
def face_channels(change: Change | np.ndarray, net: FaceNet, reads: str = "vectors") -> np.ndarray:
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
        return change[:]
    # In double precision: the last bits of a product in single precision depend on the number of
    # threads, and training would carry them on.
    weights = net.change_read_outs().numpy(force=True).T.astype(np.float64)
    out = np.empty((len(change), weights.shape[1]), change.dtype)
    for start in range(0, len(change), CHUNK):
        chunk = slice(start, start + CHUNK)
        out[chunk] = change[chunk].astype(np.float64) @ weights
    return out if reads == "readouts" else np.concatenate([change[:], out], axis=1)

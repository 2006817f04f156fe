"""The path of a box through time, smoothed without lag.

Detections jitter; a head nods, turns and leans. A wide window makes a still head's box stand
still, but smears a nod. So looks that do not lie on the motion of the moment weigh less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FEW = 5  # looks, the least for a fit
REACH_S = 0.25  # the speed of the moment is taken over twice this


@dataclass(frozen=True)
class Smoothing:
    """Times in seconds, distances in box sizes. Chosen by simulated jitter, nods and turns."""

    place_s: float = 0.6  # half width of the window for the place
    size_s: float = 1.0  # ... for the size; in gaps and at the ends for the place as well
    same_place: float = 0.025  # looks this far off the motion count 60 %, farther ones less
    still_speed: float = 0.08  # sizes a second; slower motion is taken for standing still


def smooth_path(times: np.ndarray, path: np.ndarray, config: Smoothing) -> np.ndarray:
    """The path at time 0: a running median of three against outliers, then a local fit.

    At the ends and in gaps the window grows until it holds `FEW` looks, up to `size_s`.

    Args:
        times: (N,) seconds relative to the time asked for, ascending.
        path: (N, 4) centre x, centre y, log of the size, tilt.

    Returns:
        (4,) the same at time 0.
    """
    path = _without_outliers(path)
    few_s = np.sort(np.abs(times))[: FEW + 1][-1]
    window_s = min(max(config.place_s, few_s), max(config.place_s, config.size_s))
    off = _off_course(times, path, config.still_speed)
    place = _local_fit(times, path[:, :2], window_s, np.exp(-0.5 * (off / config.same_place) ** 2))
    size, tilt = (_local_fit(times, path[:, i : i + 1], config.size_s, np.ones(len(path))) for i in (2, 3))
    return np.concatenate([place, size, tilt])


def _off_course(times: np.ndarray, path: np.ndarray, still_speed: float) -> np.ndarray:
    """How far each look (N,) lies off the motion at time 0, in box sizes."""
    here, before, after = (
        np.array([np.interp(at, times, column) for column in path.T]) for at in (0, -REACH_S, REACH_S)
    )
    places = (path[:, :2] - here[:2]) / math.exp(here[2])
    velocity = (after - before)[:2] / (2 * REACH_S) / math.exp(here[2])
    speed = max(math.hypot(*velocity), 1e-9)
    velocity = velocity * max(0.0, 1 - still_speed / speed)
    return np.hypot(*(places - np.outer(times, velocity)).T)


def _without_outliers(path: np.ndarray) -> np.ndarray:
    """Running medians of three in time, (N, C); the ends by the rule of Tukey (1977)."""
    if len(path) < 3:
        return path
    out = path.copy()
    out[1:-1] = np.median([path[:-2], path[1:-1], path[2:]], axis=0)
    for end, next_, after in ((0, 1, 2), (-1, -2, -3)):
        out[end] = np.median([path[end], out[next_], 3 * out[next_] - 2 * out[after]], axis=0)
    return out


def _local_fit(times: np.ndarray, values: np.ndarray, half_s: float, weight: np.ndarray):
    """Local linear regression (Cleveland 1979) of values (N, C) at time 0, biweights in time.

    The slope is held back by a small ridge: a few looks close together would not fix it.
    """
    near = np.clip(1 - (times / half_s) ** 2, 0, None) ** 2
    weight = weight * near + 1e-9
    weight /= weight.sum()
    middle = weight @ times
    spread = weight @ (times - middle) ** 2
    slope = (weight * (times - middle)) @ values / (spread + 0.001)
    return weight @ values - slope * middle

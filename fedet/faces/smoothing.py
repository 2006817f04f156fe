"""The path of a box through time, smoothed without lag.

Detections jitter; a head nods, turns and leans. A wide window steadies the box of a still head, but
smears a nod. So detections that do not lie on the momentary motion weigh less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEW = 5  # least number of detections for a fit
REACH_S = 0.25  # the momentary speed is measured over twice this


@dataclass(frozen=True)
class Smoothing:
    """Times in seconds, distances in box sizes. Chosen by simulated jitter, nods and turns."""

    position_s: float = 0.6  # half width of the window for the position
    size_s: float = 1.0  # ... for the size; in gaps and at the ends for the position as well
    off_course: float = 0.025  # detections this far off the motion weigh 60 %, farther ones less
    still_speed: float = 0.08  # sizes a second; slower motion counts as standing still


def smooth_path(at: np.ndarray, times: np.ndarray, path: np.ndarray, config: Smoothing) -> np.ndarray:
    """The path at the times `at`: a running median of three against outliers, then a local fit.

    At the ends and in gaps the window grows until it holds `FEW` detections, up to `size_s`.

    Args:
        at: (F,) seconds. times: (N,) seconds of the detections, ascending.
        path: (N, 4) centre x, centre y, log of the size, tilt.

    Returns:
        (F, 4) the same at the times `at`.
    """
    path, times = _without_outliers(path), times - at[:, None]  # (F, N) from here on
    few_s = np.sort(np.abs(times), axis=1)[:, : FEW + 1][:, -1:]
    window_s = np.clip(few_s, config.position_s, max(config.position_s, config.size_s))
    away = _off_course(times, path, config.still_speed)
    position = _local_fit(times, path[:, :2], window_s, np.exp(-0.5 * (away / config.off_course) ** 2))
    rest = _local_fit(times, path[:, 2:], config.size_s, np.ones(times.shape))
    return np.concatenate([position, rest], axis=1)


def _off_course(times: np.ndarray, path: np.ndarray, still_speed: float) -> np.ndarray:
    """How far each detection lies off the momentary motion, (F, N) in box sizes."""
    now = times[:, :1]  # minus the time of the first detection
    here, before, after = (
        np.concatenate([np.interp(s - now, times[0] - times[0, 0], column) for column in path[:, :3].T], 1)
        for s in (0, -REACH_S, REACH_S)
    )  # (F, 3) each
    size = np.exp(here[:, 2:])
    positions = (path[:, :2] - here[:, None, :2]) / size[:, None]  # (F, N, 2)
    velocity = (after - before)[:, :2] / (2 * REACH_S) / size
    speed = np.maximum(np.hypot(*velocity.T), 1e-9)[:, None]
    velocity = velocity * np.maximum(0.0, 1 - still_speed / speed)
    away = positions - times[..., None] * velocity[:, None]
    return np.hypot(away[..., 0], away[..., 1])


def _without_outliers(path: np.ndarray) -> np.ndarray:
    """Running medians of three in time, (N, C); the ends by the rule of Tukey (1977)."""
    if len(path) < 3:
        return path
    out = path.copy()
    out[1:-1] = np.median([path[:-2], path[1:-1], path[2:]], axis=0)
    for end, next_, after in ((0, 1, 2), (-1, -2, -3)):
        out[end] = np.median([path[end], out[next_], 3 * out[next_] - 2 * out[after]], axis=0)
    return out


def _local_fit(
    times: np.ndarray, values: np.ndarray, half_s: np.ndarray | float, weight: np.ndarray
) -> np.ndarray:
    """Local linear regression (Cleveland 1979) of values (N, C) at times 0, (F, C); biweights in time.

    A small ridge keeps the slope down: a few detections close together do not determine it.
    """
    near = np.clip(1 - (times / half_s) ** 2, 0, None) ** 2
    weight = weight * near + 1e-9
    weight /= weight.sum(axis=1, keepdims=True)
    middle = (weight * times).sum(axis=1, keepdims=True)
    spread = (weight * (times - middle) ** 2).sum(axis=1, keepdims=True)
    slope = (weight * (times - middle)) @ values / (spread + 0.001)
    return weight @ values - slope * middle

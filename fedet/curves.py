"""How sure the detector is along a video: one score per frame and emotion, for looking at.

A detection is the best of many positions; the curve shows what all of them said, also where
nothing was reported. It takes no part in detecting.
"""

import math

import numpy as np
import pandas as pd

from fedet.model import FEDNConfig, FEDNOutput
from fedet.windows import owned, points, window_starts


class Curves:
    """Collects the class confidences of a video's windows.

    Each pyramid level is a line through its positions, flat for the frame on either side of each,
    so that a peak keeps its height; the curve is the highest of the levels. Where the detector
    reads at several scales it is the mean of the two finest, as a detection's score is. Memory:
    about a float per frame and emotion.

    Args:
        n_frames: length of the video at the detector's rate.
    """

    def __init__(self, n_frames: int, config: FEDNConfig) -> None:
        self.config = config
        self.levels: dict[int, list[np.ndarray]] = {}  # by scale
        for scale in config.scales[:2]:
            n_windows = len(window_starts(math.ceil(n_frames / scale), config))
            length = (n_windows - 1) * config.window_stride + config.window
            shapes = [(length // stride, len(config.emotions)) for stride in config.strides]
            self.levels[scale] = [np.zeros(shape, np.float32) for shape in shapes]

    def add(self, output: FEDNOutput, starts: np.ndarray, n_windows: int, scale: int) -> None:
        """Takes the windows that begin at `starts` (B,), each position from the window that owns it."""
        if scale not in self.levels:
            return
        at, own = points(self.config), owned(starts, n_windows, self.config)  # own (B, P)
        scores = output.scores().numpy(force=True)  # (B, P, K)
        for level, stride in zip(self.levels[scale], self.config.strides, strict=True):
            window, position = np.nonzero(own & (at.stride == stride))
            place = (starts[window] + at.centre[position]) // stride
            level[place.astype(int)] = scores[window, position]

    def at(self, frames: np.ndarray) -> np.ndarray:
        """(N, K) scores at continuous frames (N,) of the detector's rate; frame i spans [i, i + 1)."""
        return np.mean([self._of_scale(scale, frames / scale) for scale in self.levels], axis=0)

    def _of_scale(self, scale: int, frames: np.ndarray) -> np.ndarray:
        best = np.zeros((len(frames), len(self.config.emotions)), np.float32)
        for level, stride in zip(self.levels[scale], self.config.strides, strict=True):
            centre = (np.arange(len(level)) + 0.5) * stride
            knots = np.stack([centre - 0.5, centre + 0.5], axis=1).ravel()
            for k in range(best.shape[1]):
                line = np.interp(frames, knots, np.repeat(level[:, k], 2))
                np.maximum(best[:, k], line, out=best[:, k])
        return best


def curve_table(curves: Curves, mask: np.ndarray, fps: float) -> pd.DataFrame:
    """The curves, one row per frame of a video at `fps`; NaN without a face.

    Args:
        mask: (T,) frames with a face, at the detector's rate.
        fps: the video's own frames per second.
    """
    rate = curves.config.fps
    middles = (np.arange(max(1, int(len(mask) / rate * fps + 1e-6))) + 0.5) / fps * rate
    values = curves.at(middles)
    values[~mask[np.minimum(middles.astype(int), len(mask) - 1)]] = np.nan
    return pd.DataFrame(values, columns=list(curves.config.emotions))

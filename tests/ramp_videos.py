"""Records of made-up vectors in which events are ramps, for tests that train."""

import numpy as np
import pandas as pd

from fedet.intervals import COLUMNS, EMOTIONS, expression_type_of
from fedet.model import FEDNConfig
from fedet.windows import VideoFeatures

C = 16
CONFIG = FEDNConfig(
    input_features=C, channels=32, attention_heads=2, window=128, window_stride=64, dropout=0.1
)


def ramp_video(subject: str, video: str, seed: int, n_frames: int = 600) -> VideoFeatures:
    """Events are ramps along the direction of their emotion, among confounders and noise."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(C, C)))[0] * 4  # for all alike
    activity = np.zeros((n_frames, C))
    rows, onset = [], int(rng.integers(5, 40))
    while onset < n_frames - 70:
        length = int(rng.integers(9, 16) if rng.random() < 0.4 else rng.integers(18, 60))
        emotion = int(rng.integers(4))
        up = (np.arange(length) + 0.5) / length
        activity[onset : onset + length, emotion] += 1 - np.abs(2 * up - 1) ** 2
        rows.append((subject, video, 30.0, onset, onset + length - 1, EMOTIONS[emotion]))
        onset += length + int(rng.integers(20, 70))
    for _ in range(12):  # confounders: blinks and bursts of other movement
        start, length = int(rng.integers(n_frames - 40)), int(rng.integers(4, 40))
        activity[start : start + length, rng.integers(4, 8)] += 1
    vectors = activity @ directions + 0.3 * rng.normal(size=(n_frames, C))
    columns = ["subject", "video", "fps", "onset", "offset", "emotion"]
    table = pd.DataFrame(rows, columns=columns).reindex(columns=COLUMNS)
    table["expression_type"] = expression_type_of(table["onset"], table["offset"], 30.0)
    mask = np.ones(n_frames, dtype=bool)
    return VideoFeatures(subject, video, 30.0, vectors.astype(np.float16), mask, table)


def people(first: int, n: int, videos: int = 2, **options) -> list[VideoFeatures]:
    return [
        ramp_video(f"p{i}", f"p{i}_{v}", 100 * i + v, **options)
        for i in range(first, first + n)
        for v in range(videos)
    ]

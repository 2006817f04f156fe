"""The baseline without learning: peaks in the movement of facial regions by optical flow.

Dense flow (OpenCV's DIS) between neighbouring face crops; an affine fit to the regions that no expression
moves (forehead, bridge of the nose, temples) removes head motion; the rest, summed over time, is the
displacement of each region from its median position nearby. After He, "Research on
Micro-Expression Spotting Method Based on Optical Flow Features" (ACM MM 2021), whose method led the
spotting challenge of that year; regions and details are our choice.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.table import validate
from fedet.datasets.dataset import Dataset
from fedet.errors import InputError
from fedet.experiments.methods.base import LOW_SCORE, Fitted, to_table
from fedet.experiments.methods.frame_wise import smooth
from fedet.faces.extraction import CROP, crops_of, extract_with_retry
from fedet.faces.vectors import FPS, STATES, FaceTrack, search_version
from fedet.files import atomic_write
from fedet.intervals import table_at_rate
from fedet.training.model_selection import table_metrics
from fedet.video.reader import Video
from fedet.windows import VideoFeatures

# x0, x1, y0, y1 on the scale of the crop (see `fedet.faces.tracking`): brows 0.22, eyes 0.33, mouth 0.68,
# chin 0.85.
# The eyes are left out, since every blink moves them.
REGIONS = {
    "brow outer left": (0.22, 0.36, 0.15, 0.28), "brow inner left": (0.36, 0.49, 0.15, 0.28),
    "brow inner right": (0.51, 0.64, 0.15, 0.28), "brow outer right": (0.64, 0.78, 0.15, 0.28),
    "cheek left": (0.24, 0.38, 0.44, 0.58), "cheek right": (0.62, 0.76, 0.44, 0.58),
    "nose left": (0.38, 0.48, 0.48, 0.58), "nose right": (0.52, 0.62, 0.48, 0.58),
    "mouth corner left": (0.30, 0.43, 0.60, 0.75), "mouth corner right": (0.57, 0.70, 0.60, 0.75),
    "lip upper": (0.43, 0.57, 0.60, 0.68), "lip lower": (0.43, 0.57, 0.68, 0.78),
    "chin": (0.40, 0.60, 0.80, 0.90),
}  # fmt: skip
RIGID = (
    (0.30, 0.70, 0.04, 0.14),
    (0.45, 0.55, 0.28, 0.46),
    (0.17, 0.24, 0.25, 0.42),
    (0.76, 0.83, 0.25, 0.42),
)
VERSION = "2"  # of the flow's cache


# --- from a video to movements


def _pixels(box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Rows and columns of a box in the crop."""
    x0, x1, y0, y1 = (round(CROP * v) for v in box)
    return slice(y0, y1), slice(x0, x1)


def _rigid_fit() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask of the rigid pixels, the matrix that fits 3 affine terms to them, and the terms (S S, 3)."""
    mask = np.zeros((CROP, CROP), dtype=bool)
    for box in RIGID:
        mask[_pixels(box)] = True
    y, x = (axis / CROP - 0.5 for axis in np.mgrid[:CROP, :CROP])
    terms = np.stack([np.ones_like(x), x, y], axis=-1).reshape(-1, 3)
    return mask, np.linalg.pinv(terms[mask.ravel()]), terms


def movements(
    crops: Iterable[tuple[np.ndarray | None, str, int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Movement of each region since the previous frame, without head motion.

    Args:
        crops: face crop (112, 112, 3) or None, state, and face number of each frame.
    Returns:
        States (T,) uint8; face numbers (T,) int32; movements (T, 2 R) float32 pixels a frame, x and y of
        one region next to each other, 0 where there is nothing to compare with.
    """
    import cv2

    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    mask, fit, terms = _rigid_fit()
    boxes = [_pixels(box) for box in REGIONS.values()]
    rows, states, numbers = [], [], []
    previous, person = None, -1
    for face, state, number in crops:
        states.append(STATES.index(state))
        numbers.append(number)
        row = np.zeros(2 * len(boxes), np.float32)
        grey = None if face is None else cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
        if grey is not None and previous is not None and number == person:
            moved = flow.calc(previous, grey, None)  # (S, S, 2)
            head = terms @ (fit @ moved[mask])  # (S S, 2)
            local = moved - head.reshape(moved.shape)
            row[:] = np.concatenate([local[box].mean((0, 1)) for box in boxes])
        rows.append(row)
        previous, person = grey, number
    table = np.stack(rows) if rows else np.zeros((0, 2 * len(boxes)), np.float32)
    return np.array(states, np.uint8), np.array(numbers, np.int32), table


def flow_track(path: str | Path, opened: Video, cache: str | Path | None = None, faces=None) -> FaceTrack:
    """The movements of a video at 30 fps, as a track of face vectors; cached in `cache`."""
    cached_path = None
    if cache is not None:
        stat = Path(path).stat()
        facts = f"{Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns} {opened.fps} "
        facts += f"{search_version(opened)} {VERSION}"
        name = hashlib.sha256((facts + json.dumps(REGIONS)).encode()).hexdigest()[:12]
        cached_path = Path(cache) / f"{Path(path).stem}-{name}.flow.npz"
        if cached_path.is_file():
            with np.load(cached_path) as arrays:
                moved, state, track = arrays["moved"], arrays["state"], arrays["track"]
            return _track(moved, state, track, opened)
    (state, track, moved), _ = extract_with_retry(
        lambda detector: movements(crops_of(opened, detector)), faces
    )
    if cached_path is not None:
        with atomic_write(cached_path) as draft:
            np.savez(draft, moved=moved, state=state, track=track)
    return _track(moved, state, track, opened)


def _track(moved: np.ndarray, state: np.ndarray, track: np.ndarray, opened: Video) -> FaceTrack:
    rest = np.zeros(len(moved), np.float32)
    problems = tuple(opened.problems)
    return FaceTrack(moved, rest, state, track, float(opened.fps or 30.0), problems, "flow")


def flow_records_of(
    dataset: Dataset, cache: str | Path | None = None, progress: bool = True, jobs: int = 1
) -> list[VideoFeatures]:
    """As `fedet.training.records.records_of`, with the movements of regions as vectors.

    `jobs` are processes.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    absent = dataset.videos[dataset.videos["path"].isna()]
    if len(absent):
        name = absent["video"].iloc[0]
        raise InputError(f"{dataset.root}: no frames of {len(absent)} videos, e.g. {name!r}")
    records, table = [], dataset.annotations
    rows = list(dataset.videos.itertuples())
    work = (delayed(flow_track)(row.path, dataset.open(row.video), cache) for row in rows)
    tracks = Parallel(jobs, return_as="generator")(work)
    bar = tqdm(rows, desc="optical flow", unit="video", disable=not progress)
    for row, track in zip(bar, tracks, strict=True):
        events = table[(table["video"] == row.video) & (table["subject"] == row.subject)]
        events = events_at(events, float(row.fps), len(track.state), row.video)
        records.append(VideoFeatures(row.subject, row.video, FPS, track.vectors, track.mask, events))
    return records


def events_at(events: pd.DataFrame, fps: float, n_frames: int, video: str) -> pd.DataFrame:
    """Events at `fps` converted to 30 by time; clipped to the video's `n_frames` at 30."""
    events = table_at_rate(events.assign(fps=fps, apex=pd.NA), FPS)
    events["offset"] = events["offset"].clip(upper=n_frames - 1)
    return validate(events, {video: n_frames}, source_name=video)[0]


# --- from movements to intervals


@dataclass(frozen=True)
class Peaks:
    """How intervals are found in the movements; chosen on training and validation subjects."""

    context_s: float  # displacement from the median within this time to both sides
    smoothing: float  # standard deviation, frames
    width: float  # above 1: fixed, frames; up to 1: where the curve falls by this share of the peak
    relative: bool  # the curve in units of the video's own noise, not in pixels


CHOICES = [
    Peaks(*values) for values in product((1.5, 3.0), (1.0, 3.0), (0.5, 0.7, 0.9, 13.0, 30.0), (False, True))
]


def displacement(record: VideoFeatures, context_s: float, step: int = 8) -> np.ndarray:
    """(T,) displacement of the regions from their median position, root mean square over regions, pixels.

    The median is taken within `context_s` to both sides, every `step` frames, interpolated.
    """
    path = np.cumsum(np.asarray(record.vectors, dtype=np.float64), axis=0)  # (T, 2 R)
    if not len(path):
        return np.zeros(0)
    reach, knots = round(context_s * record.fps), np.arange(0, len(path) + step, step)
    nearby = [path[max(0, min(k, len(path) - 1) - reach) : k + reach + 1] for k in knots]
    median = np.stack([np.median(window, axis=0) for window in nearby])  # (K, 2 R)
    at = np.arange(len(path)) / step
    low = at.astype(int)
    share = (at - low)[:, None]
    offset = path - (median[low] * (1 - share) + median[low + 1] * share)
    return np.sqrt((offset**2).mean(1)) * record.mask


def peaks_of(curve: np.ndarray, settings: Peaks) -> tuple[np.ndarray, np.ndarray]:
    """Inclusive frames (N, 2) and prominences (N,) of the peaks of a curve (T,)."""
    from scipy.signal import find_peaks, peak_widths

    s = smooth(curve[:, None], settings.smoothing)[:, 0]
    if settings.relative:
        s = s / max(float(np.median(s)), 1e-6)
    at, properties = find_peaks(s, prominence=1e-6)
    if not len(at):
        return np.zeros((0, 2), int), np.zeros(0)
    if settings.width > 1:
        ends = np.stack([at - settings.width / 2, at + settings.width / 2], axis=1)
    else:
        ends = np.stack(peak_widths(s, at, rel_height=settings.width)[2:], axis=1)
    frames = np.clip(np.rint(ends).astype(int), 0, len(s) - 1)
    return frames, properties["prominences"]


def suppress_overlaps(frames: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Indices of the strongest intervals that share at most half of the shorter with a stronger one."""
    selected: list[int] = []
    for i in np.argsort(-strength, kind="stable"):
        a, b = frames[selected, 0], frames[selected, 1]
        shared = np.minimum(b, frames[i, 1]) - np.maximum(a, frames[i, 0]) + 1
        shorter = np.minimum(b - a, frames[i, 1] - frames[i, 0]) + 1
        if not (shared > 0.5 * shorter).any():
            selected.append(int(i))
    return np.array(selected, dtype=int)


@dataclass(frozen=True)
class Flow:
    """Peaks of movement, not trained: choices use training and validation subjects; no emotion is named."""

    name: str = "flow"

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        records = [*train, *validation]
        contexts = {settings.context_s for settings in CHOICES}
        curves = {c: [displacement(r, c) for r in records] for c in contexts}
        figures_of = {}
        for settings in CHOICES:
            peaks = [peaks_of(curve, settings) for curve in curves[settings.context_s]]
            unit = self._unit([strength for _, strength in peaks])
            tables = [self._table(r, *p, unit) for r, p in zip(records, peaks, strict=True)]
            figures_of[settings] = table_metrics(tables, records, 0.5, named=False) | {"unit": unit}
        best = max(figures_of, key=lambda settings: figures_of[settings]["spotting_f1"])
        figures = figures_of[best]

        def predict(record: VideoFeatures) -> pd.DataFrame:
            peaks = peaks_of(displacement(record, best.context_s), best)
            return self._table(record, *peaks, figures["unit"])

        choices = {name: getattr(best, name) for name in Peaks.__dataclass_fields__}
        return Fitted(predict, figures["threshold"], choices, pd.DataFrame())

    @staticmethod
    def _unit(strengths: Sequence[np.ndarray]) -> float:
        """The strength that has the score 0.5."""
        pooled = np.concatenate(strengths)
        return float(np.quantile(pooled, 0.9)) if len(pooled) else 1.0

    def _table(self, record: VideoFeatures, frames: np.ndarray, strength: np.ndarray, unit: float):
        score = strength / (strength + max(unit, 1e-9))
        selected = suppress_overlaps(frames, strength)
        selected = selected[score[selected] >= LOW_SCORE]
        return to_table(record, frames[selected], score[selected], [None] * len(selected), self.name)

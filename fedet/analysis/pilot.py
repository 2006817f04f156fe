"""A pilot for a decision maker: detections in a folder of videos, their reliability, costs; for notebook 09.

Every assumption of the time model is a field of `TimeModel`. The defaults are ours and not measured on
anybody; put your own numbers in.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import empty_table
from fedet.review.triage import Effort

if TYPE_CHECKING:
    from fedet.detection import Detections

CLEAR = 0.2  # a score this far above the threshold is called clear


@dataclass(frozen=True)
class TimeModel:
    """Assumptions on people's time; adjust them all.

    What a review takes is assumed once, in the review's queue (`Effort`). For coding by hand Donato et al.
    (1999) state about an hour a minute of video for all action units; marking emotions alone is quicker.
    """

    manual_speed: float = 10.0  # minutes that a trained coder needs for a minute of video, unaided
    decide_s: float = Effort.decide_s  # seconds to judge one detection and answer
    watch: float = Effort.watch  # times a detection is watched
    context_s: float = Effort.context_s  # seconds watched before and after it
    scan_speed: float = Effort.scan_speed  # speed at which the rest is scanned for missed events
    hourly_cost: float = 40.0  # of a coder
    currency: str = "EUR"

    def __post_init__(self) -> None:
        for name in ("manual_speed", "scan_speed"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name}={getattr(self, name)!r}: must be above 0")
        for name in ("decide_s", "watch", "context_s", "hourly_cost"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}={getattr(self, name)!r}: must be 0 or more")

    def hours(self, seconds: float, lengths_s: Sequence[float] | np.ndarray) -> pd.DataFrame:
        """A person's hours by workflow, without the computer's.

        Args:
            seconds: of video.
            lengths_s: of the detections.

        Returns:
            Index `by_hand`, `detections` (only detections are judged), `with_scan` (and the rest is
            scanned); columns hours, cost.
        """
        lengths = np.asarray(lengths_s, float)
        judged = (self.decide_s + self.watch * (lengths + 2 * self.context_s)).sum()
        rest = max(0.0, seconds - lengths.sum()) / self.scan_speed
        hours = np.array([self.manual_speed * seconds, judged, judged + rest]) / 3600
        return pd.DataFrame(
            {"hours": hours, "cost": hours * self.hourly_cost},
            index=pd.Index(["by_hand", "detections", "with_scan"], name="way"),
        )

    def assumptions(self) -> dict[str, float | str]:
        """All of them, for the reader."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, eq=False)
class Survey:
    """Detections in some videos."""

    videos: pd.DataFrame  # video, path, seconds, missing_s, took_s, macro, micro, problems
    detections: pd.DataFrame  # canonical, at or above the threshold
    failed: pd.DataFrame  # video, reason: could not be read
    threshold: float
    synthetic: bool
    truth: pd.DataFrame | None = None  # annotations of these videos, if there are any
    totals: dict = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return float(self.videos["seconds"].sum())

    @property
    def lengths_s(self) -> np.ndarray:
        """(N,) seconds of each detection."""
        d = self.detections
        return ((d["offset"] - d["onset"] + 1) / d["fps"]).to_numpy(float)

    @property
    def clear(self) -> int:
        """Detections whose score is well above the threshold."""
        return int((self.detections["score"] >= self.threshold + CLEAR).sum())


def open_folder(
    videos: str | Path = "", folder: str | Path = "../data/pilot", seconds: float = 20.0, seed: int = 11
) -> tuple[list[Path], pd.DataFrame | None, bool]:
    """The videos of a folder (or one file) and their annotations; empty generates three.

    Returns:
        Paths; canonical annotations or None; whether the faces are generated.

    Raises:
        InputError: there is no such folder, or no video in it.
    """
    from fedet.datasets.own_folder import videos_in
    from fedet.video.reader import has_images

    if not str(videos):
        from fedet.datasets.dataset import read_dataset
        from fedet.synthetic.generator import GENERATOR_VERSION, SynthConfig, synthesize

        config = SynthConfig(subjects=3, seconds=seconds, seed=seed, events_per_minute=12)
        name = f"generated_v{GENERATOR_VERSION}_{seed}_{seconds:g}s"
        root = synthesize(Path(folder) / name, config, jobs=1, progress=False)
        return videos_in(root), read_dataset(root).annotations, True
    path = Path(videos)
    if not path.exists():
        raise InputError(f"videos {videos!r}: no such file or folder")
    paths = videos_in(path)
    if paths == [path] and path.is_dir() and not has_images(path):
        raise InputError(f"videos {videos!r}: no video in this folder")
    return paths, _annotations(path), False


def _annotations(folder: Path) -> pd.DataFrame | None:
    """The annotations next to a folder's videos, if it is a dataset."""
    if not (folder / "annotations.csv").is_file():
        return None
    from fedet.datasets.dataset import read_dataset

    return read_dataset(folder).annotations


def survey(
    paths: Sequence[Path],
    weights=None,
    threshold: float | None = None,
    truth: pd.DataFrame | None = None,
    synthetic: bool = False,
    progress: bool = True,
    cache: str | Path | None = None,
) -> Survey:
    """Runs the detector over videos; unreadable ones are reported and the others are done.

    Args:
        weights: a detector's folder or a `Detector`; None: the shipped one.
        threshold: lowest score; None: the detector's own.

    Raises:
        InputError: none of the videos can be read.
    """
    from tqdm.auto import tqdm

    from fedet.detection import Detector, detect, load_detector

    detector = weights if isinstance(weights, Detector) else load_detector(weights)
    tables, rows, failed = [], [], []
    for path in tqdm(list(paths), desc="detecting", unit="video", disable=not progress):
        start = time.perf_counter()
        try:
            found = detect(path, detector, threshold, cache=cache)
        except InputError as error:
            failed.append((path.name, " ".join(str(error).split())))
            continue
        tables.append(found.table)
        rows.append(_row(path, found, time.perf_counter() - start))
    if not rows:
        raise InputError(f"none of {len(list(paths))} videos could be read; the first: {failed[0][1]}")
    detections = pd.concat([t for t in tables if len(t)] or [empty_table()], ignore_index=True)
    limit = detector.model.config.default_threshold if threshold is None else threshold
    failures = pd.DataFrame(failed, columns=["video", "reason"])
    return Survey(pd.DataFrame(rows), detections, failures, limit, synthetic, truth)


def _row(path: Path, found: "Detections", took_s: float) -> dict:
    kinds = found.table["expression_type"]
    return {
        "video": found.video,
        "seconds": found.seconds,
        "macro": int((kinds == "macro").sum()),
        "micro": int((kinds == "micro").sum()),
        "missing_s": found.missing_s,
        "took_s": took_s,
        "problems": len(found.notes),
        "path": str(path),
    }


# ---------------------------------------------------------------- reliability


@dataclass(frozen=True)
class Reliability:
    """Precision and recall of the detections; None: not known."""

    events: int | None  # annotated
    correct: int | None  # detections that match one, tIoU 0.5
    precision: tuple[float, float, float] | None  # value, 95 % interval (Wilson, over detections)
    recall: tuple[float, float, float] | None  # over events
    to_check: int  # detections that must be judged to know precision within 10 points


def reliability(survey: Survey) -> Reliability:
    """Precision and recall if the videos are annotated, else the number of detections to judge.

    The intervals treat detections and events as independent, which those of one person are not: with
    few people they are too narrow.
    """
    needed = min(wilson_size(0.10), len(survey.detections))
    if survey.truth is None:
        return Reliability(None, None, None, None, needed)
    from fedet.evaluation.evaluation import evaluate

    truth = survey.truth[survey.truth["video"].isin(set(survey.videos["video"]))]
    result = evaluate(survey.detections, truth, n_resamples=0)
    counts = result.spotting.loc["overall"]
    tp, fp, fn = (int(counts[c]) for c in ("tp", "fp", "fn"))
    precision = wilson(tp, tp + fp) if tp + fp else None
    recall = wilson(tp, tp + fn) if tp + fn else None
    return Reliability(tp + fn, tp, precision, recall, needed)


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float, float]:
    """The share k / n with its 95 % interval (Wilson 1927): value, low, high.

    >>> tuple(round(x, 3) for x in wilson(8, 10))
    (0.8, 0.49, 0.943)
    """
    if not 0 <= k <= n or n == 0:
        raise InputError(f"{k} of {n}: no share")
    p = k / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def wilson_size(half: float, z: float = 1.96) -> int:
    """Sample size for a 95 % interval of +- `half` in the worst case, a share of one half."""
    return math.ceil(z**2 / (4 * half**2) - z**2)

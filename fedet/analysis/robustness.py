"""How much a detector bears: its F1 along the strength of each perturbation, and where it halves."""

import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.analysis.perturbations import PERTURBATIONS, perturbation, write_perturbed
from fedet.datasets.dataset import Dataset
from fedet.detection import Detector, detect
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate
from fedet.intervals import table_at_rate

NONE = "none"  # the videos as they are


def robustness(
    dataset: Dataset,
    detector: Detector,
    folder: str | Path,
    strengths: Mapping[str, Sequence[float]] | None = None,
    jobs: int = 1,
    seed: int = 0,
    n_resamples: int = 1000,
    progress: bool = True,
) -> pd.DataFrame:
    """Spotting F1 of a detector, at its own threshold, on ever worse copies of a set's videos.

    Args:
        folder: where the copies and their vectors are kept; what is there is not made again.
        strengths: by name of the perturbation; None: all of `PERTURBATIONS` at all strengths.
        jobs: processes.

    Returns:
        A row each: perturbation, strength, unit, tp, fp, fn, f1, low, high (over subjects), and
        missing, the share of frames without a face. Each perturbation begins with the untouched
        videos.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    chosen = strengths or {name: p.strengths for name, p in PERTURBATIONS.items()}
    settings = [(NONE, 0.0)] + [(n, float(s)) for n in chosen for s in chosen[n] if perturbation(n)]
    videos = dataset.videos[dataset.videos["path"].notna()]
    todo = [(name, s, row) for name, s in settings for row in videos.itertuples()]
    work = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_detect_one)(Path(row.path), row.subject, name, s, Path(folder), dataset.root, detector, seed)
        for name, s, row in todo
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # joblib renews a process that has grown
        found = list(tqdm(work, total=len(todo), desc="perturbed videos", unit="video", disable=not progress))
    rows = []
    for k, (name, strength) in enumerate(settings):
        part = found[k * len(videos) : (k + 1) * len(videos)]
        rows.append({"perturbation": name, "strength": strength} | _score(part, dataset, videos, n_resamples))
    return _with_first(pd.DataFrame(rows), chosen)


def some_strengths(levels: int) -> dict[str, tuple[float, ...]]:
    """`levels` of each perturbation's strengths, evenly spread, the severest among them."""
    chosen = {}
    for name, how in PERTURBATIONS.items():
        n = len(how.strengths)
        at = np.linspace(max(n / levels - 1, 0), n - 1, min(levels, n))
        chosen[name] = tuple(how.strengths[round(float(k))] for k in at)
    return chosen


def busiest_subjects(dataset: Dataset, n: int) -> Dataset:
    """The set with only the n subjects that have most annotated events: F1 needs events to fall."""
    videos, events = dataset.videos, dataset.annotations
    counts = events["subject"].value_counts().reindex(videos["subject"].unique(), fill_value=0)
    kept = counts.sort_values(ascending=False, kind="stable").index[:n]
    videos, events = (part[part["subject"].isin(kept)].reset_index(drop=True) for part in (videos, events))
    return replace(dataset, videos=videos, annotations=events)


def perturbed_file(folder: str | Path, name: str, strength: float, video: str) -> Path:
    """Where `robustness` keeps the copy of a video."""
    return Path(folder) / f"{name.replace(' ', '_')}_{strength:g}" / video


def _detect_one(source, subject, name, strength, folder, root, detector, seed) -> tuple[pd.DataFrame, float]:
    place = source
    if name != NONE:
        place = perturbed_file(folder, name, strength, source.name)
        write_perturbed(place, source, name, strength, seed + zlib.crc32(source.stem.encode()), root)
    found = detect(place, detector, subject=subject, cache=folder / "vectors")
    lost = min(1.0, found.missing_s / found.seconds) if found.seconds else 1.0
    return found.table.assign(video=source.stem), lost


def _score(part: list, dataset: Dataset, videos: pd.DataFrame, n_resamples: int) -> dict:
    tables = [table for table, _ in part]
    found = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    truth = dataset.annotations[dataset.annotations["video"].isin(videos["video"])]
    found = at_rates(found, videos)
    result = evaluate(found, truth, videos, n_resamples=n_resamples)
    counts = result.spotting.loc["overall"]
    low, high = result.figures.loc["spotting_f1", ["low", "high"]]
    return {
        "tp": int(counts["tp"]), "fp": int(counts["fp"]), "fn": int(counts["fn"]),
        "f1": float(counts["f1"]), "low": low, "high": high,
        "missing": float(np.mean([share for _, share in part])),
    }  # fmt: skip


def at_rates(found: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """Detections counted at the frame rate that the set's truth has, by time."""
    rates = found["video"].map(dict(zip(videos["video"], videos["fps"].astype(float), strict=True)))
    parts = []
    for old, new in {(o, n) for o, n in zip(found["fps"], rates, strict=True)}:
        part = found[(found["fps"] == old) & (rates == new)]
        same = math.isclose(old, new, rel_tol=1e-3)
        parts.append(part.assign(fps=new) if same else table_at_rate(part, new))
    return pd.concat(parts, ignore_index=True) if parts else found


def _with_first(rows: pd.DataFrame, chosen: Mapping) -> pd.DataFrame:
    """The untouched videos as the first point of each perturbation."""
    plain, parts = rows.iloc[:1], []
    for name in chosen:
        how = perturbation(name)
        begin = plain.assign(perturbation=name, strength=how.first)
        part = pd.concat([begin, rows[rows["perturbation"] == name]])
        parts.append(part.assign(unit=how.unit))
    return pd.concat(parts, ignore_index=True)


def half_point(strengths: Sequence[float], f1: Sequence[float]) -> float | None:
    """The strength at which F1 first falls to half of its first value; None if it does not.

    On straight lines between the points, in their order. An undefined F1 (NaN) breaks the line; a
    first value of 0 or NaN has no half.

    >>> half_point([0, 10, 20], [0.8, 0.6, 0.2])
    15.0
    """
    limit = f1[0] / 2 if len(f1) else math.nan
    if not limit > 0:
        return None
    for (s0, f0), (s1, f) in zip(
        zip(strengths, f1, strict=True), zip(strengths[1:], f1[1:], strict=True), strict=False
    ):
        if f0 > limit >= f:
            return float(s0 + (s1 - s0) * (f0 - limit) / (f0 - f))
    return None


def phrased(name: str, strength: float, unit: str) -> str:
    """A strength as a sentence names it.

    >>> phrased("compression", 37.5, "H.264 crf"), phrased("my own", 3, "mm")
    ('a compression of crf 38', '3 mm')
    """
    phrase = PERTURBATIONS[name].phrase if name in PERTURBATIONS else f"{{}} {unit}"
    return phrase.format(f"{strength:.2g}" if abs(strength) < 100 else f"{strength:.0f}")


def half_points(table: pd.DataFrame) -> pd.DataFrame:
    """For each perturbation: where F1 halves (missing: not reached), and the same in words."""
    rows = []
    for name, part in table.groupby("perturbation", sort=False):
        half = half_point(part["strength"].tolist(), part["f1"].tolist())
        unit, last = part["unit"].iloc[0], part["strength"].iloc[-1]
        if half is not None:
            words = f"F1 halves at {phrased(name, half, unit)}"
        elif not part["f1"].iloc[0] > 0:
            words = "F1 is 0 or undefined from the start"
        else:
            words = f"not reached up to {phrased(name, last, unit)}"
        rows.append((name, part["f1"].iloc[0], part["f1"].iloc[-1], half, unit, words))
    columns = ["perturbation", "first_f1", "last_f1", "half_at", "unit", "finding"]
    return pd.DataFrame(rows, columns=columns).set_index("perturbation").astype({"half_at": float})


COLUMNS = ["family_trained", "family_tested", "emotion_or_type", "metric", "value", "low", "high", "weights"]


def read_transfer(path: str | Path | None = None) -> pd.DataFrame | None:
    """The table `COLUMNS`, the shipped one if None; None if there is none.

    Raises InputError if a column is missing or a value is no number.
    """
    path = Path(__file__).parents[1] / "weights" / "transfer.csv" if path is None else Path(path)
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    if missing := [c for c in COLUMNS if c not in table]:
        raise InputError(f"{path}: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
    for column in ("value", "low", "high"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = table.index[numbers.isna() & table[column].notna()]
        if len(bad):
            cell = table.loc[bad[0], column]
            raise InputError(f"{path}: line {bad[0] + 2}, column {column!r}: {cell!r} is no number")
        table[column] = numbers
    return table[COLUMNS]

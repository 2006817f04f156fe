"""F1 of a detector along the strength of each perturbation, and where it halves; for notebook 10."""

import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.analysis.perturbations import PERTURBATIONS, perturbation_named, write_perturbed
from fedet.datasets.dataset import Dataset
from fedet.detection import Detector, detect
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate
from fedet.intervals import table_at_rate

NONE = "none"  # unperturbed videos


def measure_robustness(
    dataset: Dataset,
    detector: Detector,
    folder: str | Path,
    strengths: Mapping[str, Sequence[float]] | None = None,
    jobs: int = 1,
    seed: int = 0,
    n_resamples: int = 1000,
    progress: bool = True,
) -> pd.DataFrame:
    """Spotting F1 of a detector, at its own threshold, on increasingly perturbed copies of a set's videos.

    Args:
        folder: of the copies and their vectors; existing ones are used again.
        strengths: by name of the perturbation; None: all of `PERTURBATIONS` at all strengths.
        jobs: processes.

    Returns:
        One row for each strength: perturbation, strength, unit, tp, fp, fn, f1, low, high (over subjects),
        and missing, the share of frames without a face. The first row of each perturbation is of the
        unperturbed videos.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    chosen = strengths or {name: p.strengths for name, p in PERTURBATIONS.items()}
    settings = [(NONE, 0.0)] + [(n, float(s)) for n in chosen for s in chosen[n] if perturbation_named(n)]
    videos = dataset.videos[dataset.videos["path"].notna()]
    todo = [(name, s, row) for name, s in settings for row in videos.itertuples()]
    work = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_detect_one)(Path(row.path), row.subject, name, s, Path(folder), dataset.root, detector, seed)
        for name, s, row in todo
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "A worker stopped"
        )  # joblib restarts a process whose memory has grown
        results = list(
            tqdm(work, total=len(todo), desc="perturbed videos", unit="video", disable=not progress)
        )
    rows = []
    for k, (name, strength) in enumerate(settings):
        of_setting = results[k * len(videos) : (k + 1) * len(videos)]
        scores = _score(of_setting, dataset, videos, n_resamples)
        rows.append({"perturbation": name, "strength": strength} | scores)
    return _with_first(pd.DataFrame(rows), chosen)


def some_strengths(levels: int) -> dict[str, tuple[float, ...]]:
    """`levels` strengths of each perturbation, evenly spread, the severest included."""
    chosen = {}
    for name, how in PERTURBATIONS.items():
        n = len(how.strengths)
        at = np.linspace(max(n / levels - 1, 0), n - 1, min(levels, n))
        chosen[name] = tuple(how.strengths[round(float(k))] for k in at)
    return chosen


def busiest_subjects(dataset: Dataset, n: int) -> Dataset:
    """The set with only the n subjects that have most annotated events: F1 is defined by events."""
    videos, events = dataset.videos, dataset.annotations
    counts = events["subject"].value_counts().reindex(videos["subject"].unique(), fill_value=0)
    chosen = counts.sort_values(ascending=False, kind="stable").index[:n]
    videos, events = (t[t["subject"].isin(chosen)].reset_index(drop=True) for t in (videos, events))
    return replace(dataset, videos=videos, annotations=events)


def perturbed_file(folder: str | Path, name: str, strength: float, video: str) -> Path:
    """The file of the copy of a video that `measure_robustness` writes."""
    return Path(folder) / f"{name.replace(' ', '_')}_{strength:g}" / video


def _detect_one(
    source: Path,
    subject: str,
    name: str,
    strength: float,
    folder: Path,
    root: Path,
    detector: Detector,
    seed: int,
) -> tuple[pd.DataFrame, float]:
    """Detections in a perturbed copy of a video, and its share of time without a face."""
    path = source
    if name != NONE:
        path = perturbed_file(folder, name, strength, source.name)
        write_perturbed(path, source, name, strength, seed + zlib.crc32(source.stem.encode()), root)
    found = detect(path, detector, subject=subject, cache=folder / "vectors")
    lost = min(1.0, found.missing_s / found.seconds) if found.seconds else 1.0
    return found.table.assign(video=source.stem), lost


def _score(
    results: list[tuple[pd.DataFrame, float]], dataset: Dataset, videos: pd.DataFrame, n_resamples: int
) -> dict:
    tables = [table for table, _ in results]
    detected = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    truth = dataset.annotations[dataset.annotations["video"].isin(videos["video"])]
    result = evaluate(at_rates(detected, videos), truth, videos, n_resamples=n_resamples)
    counts = result.spotting.loc["overall"]
    low, high = result.figures.loc["spotting_f1", ["low", "high"]]
    return {
        "tp": int(counts["tp"]), "fp": int(counts["fp"]), "fn": int(counts["fn"]),
        "f1": float(counts["f1"]), "low": low, "high": high,
        "missing": float(np.mean([share for _, share in results])),
    }  # fmt: skip


def at_rates(detected: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """Detections in frames of the rate that their video has in `videos` (columns video, fps)."""
    rates = detected["video"].map(dict(zip(videos["video"], videos["fps"].astype(float), strict=True)))
    tables = []
    for old, new in {(o, n) for o, n in zip(detected["fps"], rates, strict=True)}:
        table = detected[(detected["fps"] == old) & (rates == new)]
        same = math.isclose(old, new, rel_tol=1e-3)
        tables.append(table.assign(fps=new) if same else table_at_rate(table, new))
    return pd.concat(tables, ignore_index=True) if tables else detected


def _with_first(rows: pd.DataFrame, chosen: Mapping[str, object]) -> pd.DataFrame:
    """The table with the unperturbed videos as the first row of each perturbation."""
    plain, tables = rows.iloc[:1], []
    for name in chosen:
        how = perturbation_named(name)
        first = plain.assign(perturbation=name, strength=how.first)
        table = pd.concat([first, rows[rows["perturbation"] == name]])
        tables.append(table.assign(unit=how.unit))
    return pd.concat(tables, ignore_index=True)


def half_point(strengths: Sequence[float], f1: Sequence[float]) -> float | None:
    """The strength at which F1 first falls to half of its first value; None if it does not.

    Linear between the points, in their order. An undefined F1 (NaN) interrupts the line; a
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


def strength_text(name: str, strength: float, unit: str) -> str:
    """A strength in words.

    >>> strength_text("compression", 37.5, "H.264 crf"), strength_text("my own", 3, "mm")
    ('a compression of crf 38', '3 mm')
    """
    phrase = PERTURBATIONS[name].phrase if name in PERTURBATIONS else f"{{}} {unit}"
    return phrase.format(f"{strength:.2g}" if abs(strength) < 100 else f"{strength:.0f}")


def half_points(table: pd.DataFrame) -> pd.DataFrame:
    """For each perturbation the strength at which F1 halves (missing: not reached), also in words."""
    rows = []
    for name, rows_of in table.groupby("perturbation", sort=False):
        half = half_point(rows_of["strength"].tolist(), rows_of["f1"].tolist())
        unit, last = rows_of["unit"].iloc[0], rows_of["strength"].iloc[-1]
        if half is not None:
            words = f"F1 halves at {strength_text(name, half, unit)}"
        elif not rows_of["f1"].iloc[0] > 0:
            words = "F1 is 0 or undefined from the start"
        else:
            words = f"not reached up to {strength_text(name, last, unit)}"
        rows.append((name, rows_of["f1"].iloc[0], rows_of["f1"].iloc[-1], half, unit, words))
    columns = ["perturbation", "first_f1", "last_f1", "half_at", "unit", "finding"]
    return pd.DataFrame(rows, columns=columns).set_index("perturbation").astype({"half_at": float})


COLUMNS = ["family_trained", "family_tested", "emotion_or_type", "metric", "value", "low", "high", "weights"]


def read_transfer(path: str | Path | None = None) -> pd.DataFrame | None:
    """The stored table of transfer between families of faces, with `COLUMNS`; None if there is none.

    Args:
        path: None: the table shipped with the weights.

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
            raise InputError(
                f"{path}: line {bad[0] + 2}, column {column!r}: {cell!r} is no number; correct it"
            )
        table[column] = numbers
    return table[COLUMNS]

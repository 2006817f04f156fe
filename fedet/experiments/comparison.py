"""Figures of cross-validation: pooled over folds, averaged over seeds, compared in pairs, saved.

Spotting, recognition, STRS and detection F1 count the predictions at or above the threshold of
each fold; average precision and calibration use all predictions.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedet.annotations.cells import as_text
from fedet.annotations.table import LabelFile, all_videos
from fedet.annotations.video_names import resolve
from fedet.errors import InputError
from fedet.evaluation.bootstrap import t_interval
from fedet.evaluation.evaluation import Evaluation, compare, evaluate, within_range
from fedet.evaluation.tables import to_plain
from fedet.experiments.cross_validation import CrossValidation
from fedet.experiments.provenance import provenance
from fedet.experiments.results_page import OVER_SEEDS, section
from fedet.files import atomic_write, shortened
from fedet.metrics import mean_defined

FROM_ALL = ("map", "ap_50_95", "spotting_ap_50_95", "calibration_error")  # figures of the whole ranking
RESULTS_VERSION = 1


def evaluate_folds(run: CrossValidation, seed: int, **options) -> Evaluation:
    """The figures of one seed, pooled over its folds; options as for `fedet.evaluation.evaluation.evaluate`.

    Raises InputError if a fold of this seed is missing, since its subjects would count as missed.
    """
    failed = [result.job.fold.name for result in run.failed if result.job.seed == seed]
    if failed or not run.of_seed(seed):
        raise InputError(
            f"{run.method}, seed {seed}: folds {', '.join(failed) or '(all)'} have no result; run the sweep "
            "again, finished folds are not repeated"
        )
    return evaluate_pooled(run.predictions(seed), run.truth, run.videos, **options)


def evaluate_pooled(
    predictions: pd.DataFrame, truth: pd.DataFrame, videos: pd.DataFrame | None, **options
) -> Evaluation:
    """As `evaluate_folds`, from a table of predictions with a column threshold."""
    below = predictions["score"] < predictions["threshold"]
    counted = predictions[~below.fillna(False)]  # also without a score, so that it is reported missing
    at_threshold, ranking = (evaluate(t, truth, videos, **options) for t in (counted, predictions))
    ranked = [name for name in ranking.figures.index if _of_ranking(name)]
    figures = at_threshold.figures.copy()
    figures.loc[ranked] = ranking.figures.loc[ranked]
    samples = {name: ranking.samples[name] for name in ranked if name in ranking.samples}
    replaced = {name: getattr(ranking, name) for name in ("ap", "curves", "calibration")}
    return replace(at_threshold, figures=figures, samples=at_threshold.samples | samples, **replaced)


def listed_truth(
    predictions: pd.DataFrame, labels: LabelFile, path: Path, subset: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Predictions, truth and videos of one subset of a truth file, or of all that it lists.

    Args:
        labels: What the file holds.
        path: The file, for errors.
        subset: As the file names it; "" takes all videos.

    Returns:
        The videos are None, as for `align`, if all that the file lists have events.

    Raises:
        InputError: No video is of this subset, or a prediction is of a video that is not listed.
    """
    listed = all_videos(labels.events, labels.videos)
    if not subset:
        return predictions, labels.events, listed if len(labels.silent()) else None
    chosen = listed[listed["subset"].eq(subset).fillna(False)]
    if not len(chosen):
        known = shortened(list(listed["subset"].dropna().unique())) or "none"
        raise InputError(f"--subset {subset}: {path} has no video of this subset; its subsets: {known}")
    predicted, true = _keys(predictions), _keys(labels.events)
    names = resolve(predicted, true, _keys(listed))
    keys = {key for one in _keys(chosen) for key in names.listed[one]}
    predictions = predictions[[names.predicted[key] in keys for key in predicted]]
    return predictions, labels.events[[names.true[key] in keys for key in true]], chosen


def _keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(subject, video) of each row."""
    return [(as_text(s), as_text(v)) for s, v in zip(table["subject"], table["video"], strict=True)]


def _of_ranking(name: str) -> bool:
    return name.startswith("map") or name.endswith(FROM_ALL[1:])


def summarise(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Index: figure; columns mean and sd over seeds, and low and high of the mean's interval.

    The interval is over subjects and seeds, see `t_interval`; with one seed over subjects alone.
    """
    rows = []
    for name in evaluations[0].figures.index:
        values = np.array([e.value(name) for e in evaluations])
        resampled = mean_defined([e.samples.get(name, np.empty(0)) for e in evaluations], axis=0)
        mean, first = float(mean_defined(values)), evaluations[0]
        bounds = t_interval(mean, resampled, first.data["subjects"], first.settings["level"], values)
        defined = values[~np.isnan(values)]
        spread = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
        rows.append((name, mean, spread, *within_range(name, bounds.low, bounds.high)))
    return pd.DataFrame(rows, columns=["figure", "mean", "sd", "low", "high"]).set_index("figure")


def counts(evaluations: Sequence[Evaluation], typed: bool = False) -> pd.DataFrame:
    """TP, FP, FN of overall, macro and micro, also by typed counting; means over the seeds."""
    tables = [(e.typed if typed else e.spotting)[["tp", "fp", "fn"]].astype(float) for e in evaluations]
    return sum(tables[1:], tables[0]) / len(tables)


def failures(runs: Mapping[str, CrossValidation]) -> list[str]:
    """A line for every fold that failed."""
    return [
        f"{name} {result.job.name}: {result.error.strip().splitlines()[-1]}"
        for name, run in runs.items()
        for result in run.failed
    ]


# --- results files


def results_of(
    runs: Mapping[str, CrossValidation], data: Mapping[str, Any], reference: str = "fedn", **options
) -> dict[str, Any]:
    """Everything a results table needs, as plain values.

    Args:
        runs: by the name of the method; all on the same records.
        data: name, synthetic (bool), summary, and the command that makes the figures.
        reference: the method whose paired differences to the others are reported.
        options: as for `evaluate`.
    """
    evaluations = {name: [evaluate_folds(run, s, **options) for s in run.seeds] for name, run in runs.items()}
    methods = {}
    for name, run in runs.items():
        table = summarise(evaluations[name])
        methods[name] = {
            "figures": to_plain(table.to_dict("index")),
            "counts": to_plain(counts(evaluations[name]).to_dict("index")),
            "typed_counts": to_plain(counts(evaluations[name], typed=True).to_dict("index")),
            "by_seed": {str(s): _of_seed(e) for s, e in zip(run.seeds, evaluations[name], strict=True)},
            "seeds": run.seeds,
            "seconds": sum(result.seconds for result in run.results),
            "settings": to_plain(run.settings),
        }
    differences = {}
    for name in runs:
        if reference in runs and name != reference:
            difference = compare(evaluations[reference], evaluations[name])
            differences[f"{reference} - {name}"] = to_plain(difference.to_dict("index"))
    first = next(iter(runs.values()))
    return {
        "schema_version": RESULTS_VERSION,
        "data": dict(data),
        "protocol": {
            "folds": first.settings["folds"],
            "validation": first.settings["validation"],
            "intervals": OVER_SEEDS,
        },
        "counts": to_plain(next(iter(evaluations.values()))[0].data),
        "methods": methods,
        "differences": differences,
        "made_by": made_by(),
    }


def _of_seed(evaluation: Evaluation) -> dict[str, Any]:
    table = evaluation.spotting[["tp", "fp", "fn"]]
    values = evaluation.figures["value"].to_dict()
    return {"figures": to_plain(values), "counts": to_plain(table.to_dict("index"))}


def made_by() -> dict[str, Any]:
    """Version, commit, date and machine of a measurement."""
    return provenance() | {"processor": processor()}


def processor() -> str:
    """The name of the processor."""
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        for line in cpus.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_results(results: Mapping[str, Any], path: str | Path) -> Path:
    """The results as JSON; the file appears whole."""
    path = Path(path)
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_results(path: str | Path) -> dict[str, Any]:
    """Results that `write_results` wrote. Raises InputError if it is no such file."""
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no results file ({error})") from error
    if not isinstance(results, dict) or results.get("schema_version") != RESULTS_VERSION:
        raise InputError(f"{path}: no results of schema_version {RESULTS_VERSION}")
    try:
        section(results)  # what every reader needs
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: results that are incomplete ({type(error).__name__}: {error}); run the command that "
            "wrote them again"
        ) from error
    return results

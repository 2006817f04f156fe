"""How much a figure changes with choices on test subjects, and with how intervals are counted.

The choices on test subjects are made here on purpose and after the fact, from stored predictions, to show
how much they inflate a figure. No result is taken from them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fedet.annotations.table import MISSING_OFFSETS, validate
from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.evaluation.evaluation import Evaluation, compare
from fedet.experiments.comparison import evaluate_pooled
from fedet.experiments.cross_validation import CrossValidation
from fedet.experiments.jobs import JobResult
from fedet.matching import NAMED_CONVENTIONS, Conventions, match, overlap_pairs
from fedet.metrics import Ranking, mean_defined, rank_predictions
from fedet.training.model_selection import choose_threshold

HONEST = "on validation subjects"
CHEATS = {
    "threshold": "threshold on each test part",
    "shared": "one threshold on all test parts",
    "epoch": "epoch on each test part",
    "both": "epoch and threshold on each test part",
}
HABITS = (  # that move a spotting or recognition figure by themselves
    "inclusive", "strict_greater", "one_to_one", "dummy_false_positive", "skip_videos_without_events",
    "uar_is_mean_precision",
)  # fmt: skip
ABOVE_ALL = 1.01  # a threshold that nothing reaches


def ranking_of(predictions: pd.DataFrame, run: CrossValidation, subjects: Sequence[str]) -> Ranking:
    """The spotting ranking of the videos of these subjects, tIoU 0.5."""
    truth, videos = (t[t["subject"].isin(subjects)] for t in (run.truth, run.videos))
    aligned = align(predictions, truth, videos)
    return rank_predictions(aligned, match(overlap_pairs(aligned.predictions, aligned.truths, 0.5)))


def f1_at(ranking: Ranking, threshold: float) -> float:
    """Spotting F1 of predictions at or above the threshold; NaN with neither events nor predictions."""
    shown = ranking.score >= threshold
    total = shown.sum() + ranking.events.sum()
    return float(2 * ranking.true_positives[shown].sum() / total) if total else float("nan")


def best_threshold(ranking: Ranking) -> float:
    """The threshold with the highest F1 on these subjects; with no events it predicts nothing."""
    if not ranking.events.sum():
        return ABOVE_ALL
    return choose_threshold(ranking, ABOVE_ALL)[0]


def choose_on_test(result: JobResult, run: CrossValidation, choose: str) -> pd.DataFrame:
    """The predictions of a fold with a column threshold, `choose` (of CHEATS) made on its test part.

    Raises InputError if the epochs were not kept (`FEDNMethod(snapshots=True)`).
    """
    if choose not in ("threshold", "epoch", "both"):
        raise InputError(f"choose={choose!r}: threshold, epoch or both")
    subjects = result.job.fold.test
    if choose == "threshold":
        ranking = ranking_of(result.predictions, run, subjects)
        return result.predictions.assign(threshold=best_threshold(ranking))
    if result.epochs.empty:
        raise InputError(f"{result.job.name}: the epochs were not kept; use FEDNMethod(snapshots=True)")
    chosen = result.history.set_index("epoch")["threshold"]
    options = []
    for epoch, table in result.epochs.groupby("epoch"):
        ranking = ranking_of(table.drop(columns="epoch"), run, subjects)
        recorded = chosen.get(epoch, np.nan)
        threshold = best_threshold(ranking) if choose == "both" or np.isnan(recorded) else float(recorded)
        value = f1_at(ranking, threshold)
        # Nothing predicted for a subject without events is perfect.
        options.append((1.0 if np.isnan(value) else value, table.assign(threshold=threshold)))
    return max(options, key=lambda option: option[0])[1].drop(columns="epoch")


def choices(run: CrossValidation, **options) -> dict[str, list[Evaluation]]:
    """The evaluations of all seeds, by which choice was made on test subjects; options as for `evaluate`.

    Choices of epoch are left out if the epochs were not kept.
    """
    evaluations: dict[str, list[Evaluation]] = {HONEST: []}
    has_epochs = all(len(result.epochs) for result in run.results)
    wanted = [c for c in CHEATS if has_epochs or c in ("threshold", "shared")]
    evaluations |= {CHEATS[c]: [] for c in wanted}
    for seed in run.seeds:
        pooled = run.predictions(seed)
        tables = {HONEST: pooled}
        for choose in wanted:
            if choose == "shared":
                subjects = list(run.videos["subject"].unique())
                shared = best_threshold(ranking_of(pooled, run, subjects))
                tables[CHEATS[choose]] = pooled.assign(threshold=shared)
            else:
                folds = [choose_on_test(result, run, choose) for result in run.of_seed(seed)]
                tables[CHEATS[choose]] = pd.concat(folds, ignore_index=True)
        for name, table in tables.items():
            evaluations[name].append(evaluate_pooled(table, run.truth, run.videos, **options))
    return evaluations


def gains(evaluations: Mapping[str, Sequence[Evaluation]], figure: str = "spotting_f1") -> pd.DataFrame:
    """What each choice on test subjects adds to the honest figure: difference with paired interval."""
    rows = {
        name: compare(cheat, evaluations[HONEST]).loc[figure, ["first", "difference", "low", "high"]]
        for name, cheat in evaluations.items()
        if name != HONEST
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename(columns={"first": "value"})


def thresholds(run: CrossValidation) -> pd.DataFrame:
    """A row per fold and seed: the threshold that was used, and the best one in hindsight."""
    rows = []
    for result in run.results:
        ranking = ranking_of(result.predictions, run, result.job.fold.test)
        best = best_threshold(ranking)
        rows.append({
            "fold": result.job.fold.name, "seed": result.job.seed, "events": int(ranking.events.sum()),
            "used": result.threshold, "best": best if best <= 1 else np.nan,
            "f1": f1_at(ranking, result.threshold), "f1_best": f1_at(ranking, best),
        })  # fmt: skip
    return pd.DataFrame(rows)


# --- how intervals are counted


def by_convention(run: CrossValidation, figures: Sequence[str], **options) -> pd.DataFrame:
    """The same predictions under each convention of published code, means over seeds.

    Returns: index: convention; a column per figure, and its change against the strict definitions.
    """
    cases = {name: Conventions.parse(name) for name in ("strict", *HABITS, *NAMED_CONVENTIONS)}
    return _table(
        {name: _means(run, figures, conventions=c, **options) for name, c in cases.items()}, figures
    )


def by_tiou(run: CrossValidation, figures: Sequence[str], tious=(0.3, 0.4, 0.5, 0.6, 0.7), **options):
    """The same predictions at other overlaps, means over seeds; index: tIoU."""
    return pd.DataFrame({f"{t:g}": _means(run, figures, tiou=t, **options) for t in tious}).T


def by_missing_offset(
    run: CrossValidation, figures: Sequence[str], share: float = 0.15, seed: int = 0, **options
) -> pd.DataFrame:
    """The same predictions against a truth without some offsets, filled in by each policy.

    Args:
        share: of the macro-expressions with an apex whose offset is removed, drawn with `seed`
            (CAS(ME)^2 lacks 44 of 300). An unknown apex is taken at 40 % of the duration.
    Returns: index: policy, first the whole truth; figures, and their change against it.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share!r}: between 0 and 1")
    rows = {"all offsets known": _means(run, figures, **options)}
    incomplete = drop_offsets(run.truth, share, seed)
    for policy in MISSING_OFFSETS:
        truth, _ = validate(incomplete, missing_offset=policy)
        rows[policy] = _means(run, figures, truth=truth, **options)
    return _table(rows, figures)


def drop_offsets(truth: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """A copy in which a share of the macro-expressions have no offset; all have an apex."""
    out = truth.reset_index(drop=True).copy()
    length = (out["offset"] - out["onset"]).astype(float)
    middle = (out["onset"].astype(float) + 0.4 * length).round().astype("Int64")
    out["apex"] = out["apex"].fillna(middle)
    macro = np.flatnonzero((out["expression_type"] == "macro").fillna(False))
    dropped = np.random.default_rng(seed).permutation(macro)[: round(share * len(macro))]
    out.loc[dropped, "offset"] = pd.NA
    return out


def _means(run: CrossValidation, figures, truth: pd.DataFrame | None = None, **options) -> dict[str, float]:
    truth = run.truth if truth is None else truth
    evaluations = [
        evaluate_pooled(run.predictions(s), truth, run.videos, **{"n_resamples": 0} | options)
        for s in run.seeds
    ]
    return {name: float(mean_defined([e.value(name) for e in evaluations])) for name in figures}


def _table(rows: Mapping[str, dict[str, float]], figures: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index")
    for name in figures:
        table[f"{name} change"] = table[name] - table[name].iloc[0]
    return table

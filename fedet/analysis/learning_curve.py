"""Gain by reviewed minutes, measured on people left out; for notebook 08."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedet.errors import InputError
from fedet.evaluation.bootstrap import N_RESAMPLES
from fedet.evaluation.evaluation import Evaluation, compare, evaluate
from fedet.evaluation.tables import HEADLINE, short_number
from fedet.model import FEDN
from fedet.plots.style import INK, LINE_STYLES, MARKERS, axes, finish
from fedet.postprocess import predict
from fedet.training.config import TrainConfig
from fedet.training.fine_tuning import FINE_TUNING, LearnResult, learn, minutes_of
from fedet.windows import VideoFeatures

AT_THRESHOLD = ("spotting_f1", "macro_f1", "micro_f1", "detection_f1")
RANKED = ("map_0.5", "map")  # over all candidates, whatever the threshold
FIGURES = AT_THRESHOLD + RANKED


@dataclass(frozen=True, eq=False)
class Stage:
    """A detector and its evaluation on the people left out."""

    name: str
    minutes: float  # reviewed
    lesson: LearnResult | None  # None: not trained
    model: FEDN
    at_threshold: Evaluation  # of the candidates that reach the model's threshold
    ranked: Evaluation  # of all candidates

    def figures(self) -> pd.DataFrame:
        """Index: FIGURES; columns value, low, high, undefined."""
        counted = self.at_threshold.figures.loc[list(AT_THRESHOLD)]
        return pd.concat([counted, self.ranked.figures.loc[list(RANKED)]])


def evaluate_stage(
    name: str,
    model: FEDN,
    left_out: Sequence[VideoFeatures],
    minutes: float = 0.0,
    lesson: LearnResult | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Stage:
    """Evaluates a detector on people left out, at its own threshold and over all candidates."""
    candidates = pd.concat([predict(model.eval(), model.config, r) for r in left_out], ignore_index=True)
    events = [r.events.assign(subject=r.subject, video=r.video) for r in left_out]
    truth = pd.concat(events, ignore_index=True)
    videos = pd.DataFrame(
        {"subject": [r.subject for r in left_out], "video": [r.video for r in left_out],
         "fps": [r.fps for r in left_out]}
    )  # fmt: skip
    reported = candidates[candidates["score"] >= model.config.default_threshold]
    options = {"n_resamples": n_resamples, "seed": seed}
    evaluations = [evaluate(table, truth, videos, **options) for table in (reported, candidates)]
    return Stage(name, minutes, lesson, model, *evaluations)


def measure_learning_curve(
    reviewed: Sequence[VideoFeatures],
    left_out: Sequence[VideoFeatures],
    start: FEDN | str | Path,
    minutes: Sequence[float],
    config: TrainConfig = FINE_TUNING,
    *,
    folds: int = 3,
    n_resamples: int = N_RESAMPLES,
    progress: bool = True,
) -> list[Stage]:
    """The detector unchanged, with another threshold only, and tuned on more and more reviewed minutes.

    Args:
        reviewed: videos in the order in which they were reviewed.
        left_out: videos of other subjects, used for evaluation only.
        minutes: how much of `reviewed` to learn from, ascending; whole videos, at least two.

    Raises:
        InputError: a subject is both reviewed and left out, or `minutes` exceeds the reviewed minutes.
    """
    if both := {r.subject for r in reviewed} & {r.subject for r in left_out}:
        raise InputError(f"subject {sorted(both)[0]!r} is reviewed and left out; no one may be in both")
    have = minutes_of(reviewed)
    if not minutes or max(minutes) > have + 0.05:
        raise InputError(f"minutes {list(minutes)}: only {have:.1f} minutes are reviewed")
    model = start if isinstance(start, FEDN) else FEDN.from_pretrained(start)
    options = {"n_resamples": n_resamples}
    stages = [evaluate_stage("as it was", model, left_out, **options)]
    for wanted in sorted(minutes):
        records = _first(reviewed, wanted)
        lesson = learn(records, model, config, folds=folds, progress=progress)
        length = minutes_of(records)
        name = f"{length:.0f} min"
        stages.append(evaluate_stage(name, lesson.model, left_out, length, lesson, **options))
    history = stages[-1].lesson.history if stages[-1].lesson else pd.DataFrame()
    if len(history):
        limit = float(history["threshold"].iloc[0])
        same_weights = FEDN(replace(model.config, default_threshold=limit))
        same_weights.load_state_dict(model.state_dict())
        length = stages[-1].minutes
        stages.insert(1, evaluate_stage("threshold alone", same_weights, left_out, length, **options))
    return stages


def _first(records: Sequence[VideoFeatures], minutes: float) -> list[VideoFeatures]:
    ends = np.cumsum([len(r.mask) / r.fps / 60 for r in records])
    return list(records[: max(2, int(np.searchsorted(ends, minutes - 0.05)) + 1)])


def curve_table(stages: Sequence[Stage]) -> pd.DataFrame:
    """A row per stage: minutes, passes, threshold and each of FIGURES as "value [low, high]"."""
    rows = {}
    for stage in stages:
        row = {"minutes": round(stage.minutes, 1), "passes": stage.lesson.epochs if stage.lesson else 0}
        row["threshold"] = round(stage.model.config.default_threshold, 3)
        for name, f in stage.figures().iterrows():
            row[HEADLINE[name]] = _with_interval(f["value"], f["low"], f["high"])
        rows[stage.name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _with_interval(value: float, low: float, high: float) -> str:
    text = "-" if np.isnan(value) else f"{value:.2f}"
    return text if np.isnan(low) else f"{text} [{low:.2f}, {high:.2f}]"


def gains(after: Stage, before: Stage) -> pd.DataFrame:
    """Paired differences after - before over the same resamples of the people left out; FIGURES."""
    counted = compare(after.at_threshold, before.at_threshold).loc[list(AT_THRESHOLD)]
    ranked = compare(after.ranked, before.ranked).loc[list(RANKED)]
    return pd.concat([counted, ranked]).rename(columns={"first": "after", "second": "before"})


def gain_text(gain: pd.Series) -> str:
    """One row of `gains` in words, with its verdict.

    >>> gain_text(pd.Series({"before": 0.4, "after": 0.5, "difference": 0.1, "low": 0.02, "high": 0.2}))
    '0.400 -> 0.500, gain 0.100 [0.020, 0.200]: better'
    """
    low, high = gain["low"], gain["high"]
    if np.isnan(gain["difference"]):
        return f"{short_number(gain['before'])} -> {short_number(gain['after'])}: not defined on both sides"
    if gain["difference"] == low == high == 0:
        return f"{gain['before']:.3f}, unchanged"
    verdict = "better" if low > 0 else "worse" if high < 0 else "could be chance"
    verdict = "no interval" if np.isnan(low) else verdict
    return (
        f"{gain['before']:.3f} -> {gain['after']:.3f}, gain {gain['difference']:.3f} "
        f"[{low:.3f}, {high:.3f}]: {verdict}"
    )


def plot_learning_curve(
    stages: Sequence[Stage], names: Sequence[str] = ("spotting_f1", "map_0.5"), ax: Axes | None = None
) -> Axes:
    """Figures against reviewed minutes, with their intervals over the people left out.

    Args:
        names: of FIGURES.
    """
    ax = axes(ax, (7.0, 4.0))
    shown = [s for s in stages if s.lesson is not None or s.minutes == 0]
    for i, name in enumerate(names):
        f = pd.DataFrame([s.figures().loc[name] for s in shown]).astype(float)
        at = np.array([s.minutes for s in shown])
        ends = np.abs(np.stack([f["value"] - f["low"], f["high"] - f["value"]]))
        at = at + 0.012 * (i - (len(names) - 1) / 2) * max(at.max(), 1)  # bars side by side
        ax.errorbar(at, f["value"], ends, color=("#0072B2", "#D55E00", "#009E73", INK)[i % 4], capsize=3,
                    marker=MARKERS[i], linestyle=LINE_STYLES[i], label=HEADLINE[name])  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_xticks([s.minutes for s in shown])
    ax.legend(frameon=False, loc="best")
    row = gains(shown[-1], shown[0]).loc[names[0]]
    title = f"{HEADLINE[names[0]]} on people left out: {gain_text(row)}"
    return finish(ax, fill(title, 72), "reviewed minutes", "value with its 95 % interval")

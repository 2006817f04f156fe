"""Figures of cross-validation: learning curves, thresholds, and frames of what went wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedet.datasets.dataset import Dataset
from fedet.evaluation.evaluation import Evaluation
from fedet.evaluation.tables import HEADLINE
from fedet.experiments.jobs import JobResult
from fedet.plots.style import INK, MARKERS, axes, count, emotion_colours, empty_axes, finish

LINE = "#56B4E9"
MOMENTS = ("before", "onset", "middle", "offset", "after")
NAMES = {"loss_total": "loss on training windows", "monitored": "figure that selects the epoch"} | HEADLINE


def plot_learning(results: Sequence[JobResult], column: str = "monitored", ax: Axes | None = None) -> Axes:
    """A curve per fold over the epochs; a dot at the epoch that was kept.

    Args:
        results: of one or more seeds.
        column: of the histories, e.g. loss_total, monitored, spotting_f1.
    """
    ax = axes(ax, (6.4, 3.8))
    shown = [r for r in results if column in r.history]
    if not shown:
        return empty_axes(ax, f"No {NAMES.get(column, column)} was noted")
    kept = []
    for result in shown:
        table = result.history.set_index("epoch")[column].dropna()
        ax.plot(table.index, table, color=LINE, linewidth=1.2, alpha=0.8)
        epoch = result.choices.get("epoch")
        if epoch in table.index:
            ax.plot(epoch, table[epoch], "o", color=INK, markersize=4, zorder=3)
            kept.append(int(epoch))
    name = NAMES.get(column, column.replace("_", " "))
    epochs = max(int(r.history["epoch"].max()) for r in shown)
    title = f"{name[0].upper()}{name[1:]} over {count(epochs, 'epoch')}, {count(len(shown), 'run')}"
    if kept:
        title += f";\nkept (dots): epoch {min(kept)} to {max(kept)}, median {np.median(kept):g}"
    return finish(ax, title, "epoch", name)


def plot_thresholds(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The threshold that was used against the best in hindsight, a mark per fold and seed.

    Args:
        table: of `fedet.experiments.leakage.thresholds`.
    """
    ax = axes(ax, (5.2, 4.8))
    known = table[table["best"].notna()]
    if known.empty:
        return empty_axes(ax, "No test subject has an event")
    ax.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="the same")
    for i, (seed, part) in enumerate(known.groupby("seed")):
        style = {"marker": MARKERS[i % len(MARKERS)], "edgecolor": INK, "color": LINE}
        ax.scatter(part["used"], part["best"], label=f"seed {seed}", **style)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.legend(frameon=False, fontsize=8)
    gap = (known["best"] - known["used"]).abs().median()
    title = f"The best threshold of a test part is {gap:.2f} off\nthe one chosen without it (median)"
    return finish(ax, title, "threshold chosen on validation subjects", "best on the test subjects")


def failures(result: Evaluation, n: int = 3) -> pd.DataFrame:
    """The most telling mistakes: n sure false alarms, n missed events, n wrong emotions.

    Returns: subject, video, start_s, end_s, emotion, case: what happened, in words, and truth: the
    emotion of the event that was called something else. Of missed events the longest come first.
    """
    wrong = result.predictions[~result.predictions["spotted"]]
    wrong = wrong.sort_values("score", ascending=False, kind="stable").head(n)
    lost = result.events[~result.events["spotted"]]
    lost = lost.assign(length=lost["end_s"] - lost["start_s"])
    lost = lost.sort_values("length", ascending=False, kind="stable").head(n)
    named = result.predictions
    named = named[(named["kind"] == "wrong label") & named["spotted"]].sort_values(
        "score", ascending=False, kind="stable"
    )
    parts = []
    for table, case in ((wrong, "false alarm"), (lost, "missed"), (named.head(n), "wrong emotion")):
        score = [f" {s:.2f}" for s in table["score"]] if "score" in table else [""] * len(table)
        said = [f"{case}{s}" for s in score]
        part = table[["subject", "video", "start_s", "end_s", "emotion"]].assign(case=said)
        wrong_name = case == "wrong emotion"
        truth = [_meant(row, result.events) if wrong_name else "" for row in part.itertuples()]
        parts.append(part.assign(truth=truth))
    return pd.concat(parts, ignore_index=True)


def _meant(row, events: pd.DataFrame) -> str:
    """The emotion of the event that shares most time with a detection."""
    own = events[(events["video"] == row.video) & (events["subject"] == row.subject)]
    shared = own["end_s"].clip(upper=row.end_s) - own["start_s"].clip(lower=row.start_s)
    union = own["end_s"].clip(lower=row.end_s) - own["start_s"].clip(upper=row.start_s)
    return str(own.loc[(shared / union).idxmax(), "emotion"])


def plot_failures(dataset: Dataset, table: pd.DataFrame) -> list[Axes]:
    """One row of frames for each mistake, from half a second before to half a second after it.

    Args:
        table: of `failures`.
    """
    import matplotlib.pyplot as plt

    if not len(table):
        return [empty_axes(axes(None, (6.0, 1.0)), "No mistakes")]
    size = (1.5 * len(MOMENTS) + 1.2, 1.7 * len(table))
    _, grid = plt.subplots(len(table), len(MOMENTS), figsize=size, squeeze=False)
    for row, case in zip(grid, table.itertuples(), strict=True):
        video = dataset.open(case.video)
        label = "unknown" if pd.isna(case.emotion) else str(case.emotion)
        colour = emotion_colours([label])[label]
        start, end = float(case.start_s), float(case.end_s)
        times = (start - 0.5, start, (start + end) / 2, end, end + 0.5)
        last = (video.duration_s or np.inf) - 1e-3
        for ax, name, seconds in zip(row, MOMENTS, times, strict=True):
            seconds = float(np.clip(seconds, 0, last))
            ax.imshow(video.frame_at(seconds).image)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{name} {seconds:.2f} s", fontsize=7)
            inside = name not in ("before", "after")
            ax.spines[:].set(color=colour if inside else "0.8", linewidth=3 if inside else 1)
        named = f"{label}, truth {case.truth}" if case.truth else label
        row[0].set_ylabel(f"{case.case}\n{named}\n{case.video}", fontsize=8)
    grid[0, 0].figure.tight_layout(pad=0.4)
    return list(grid.ravel())

"""Figures of cross-validation: learning curves, thresholds, and frames of mistakes."""

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
    """A curve per fold over the epochs; a dot at the selected epoch.

    Args:
        results: of one or more seeds.
        column: of the histories, e.g. loss_total, monitored, spotting_f1.
    """
    ax = axes(ax, (6.4, 3.8))
    shown = [r for r in results if column in r.history]
    if not shown:
        return empty_axes(ax, f"No {NAMES.get(column, column)} was recorded")
    selected = []
    for result in shown:
        table = result.history.set_index("epoch")[column].dropna()
        ax.plot(table.index, table, color=LINE, linewidth=1.2, alpha=0.8)
        epoch = result.choices.get("epoch")
        if epoch in table.index:
            ax.plot(epoch, table[epoch], "o", color=INK, markersize=4, zorder=3)
            selected.append(int(epoch))
    name = NAMES.get(column, column.replace("_", " "))
    epochs = max(int(r.history["epoch"].max()) for r in shown)
    title = f"{name[0].upper()}{name[1:]} over {count(epochs, 'epoch')}, {count(len(shown), 'run')}"
    if selected:
        span = f"{min(selected)} to {max(selected)}, median {np.median(selected):g}"
        title += f";\nselected (dots): epoch {span}"
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
    """The clearest mistakes: n confident false alarms, n missed events, n wrong emotions.

    Returns: subject, video, start_s, end_s, emotion, case: what happened, in words, and truth: the
    event's emotion where it was named wrongly. Of missed events the longest come first.
    """
    wrong = result.predictions[~result.predictions["spotted"]]
    wrong = wrong.sort_values("score", ascending=False, kind="stable").head(n)
    missed = result.events[~result.events["spotted"]]
    missed = missed.assign(length=missed["end_s"] - missed["start_s"])
    missed = missed.sort_values("length", ascending=False, kind="stable").head(n)
    mislabelled = result.predictions
    mislabelled = mislabelled[(mislabelled["kind"] == "wrong label") & mislabelled["spotted"]].sort_values(
        "score", ascending=False, kind="stable"
    )
    tables = []
    for table, case in ((wrong, "false alarm"), (missed, "missed"), (mislabelled.head(n), "wrong emotion")):
        score = [f" {s:.2f}" for s in table["score"]] if "score" in table else [""] * len(table)
        captions = [f"{case}{s}" for s in score]
        rows = table[["subject", "video", "start_s", "end_s", "emotion"]].assign(case=captions)
        wrong_emotion = case == "wrong emotion"
        truth = [_true_emotion(row, result.events) if wrong_emotion else "" for row in rows.itertuples()]
        tables.append(rows.assign(truth=truth))
    return pd.concat(tables, ignore_index=True)


def _true_emotion(row, events: pd.DataFrame) -> str:
    """The emotion of the event that shares most time with a detection."""
    same_video = events[(events["video"] == row.video) & (events["subject"] == row.subject)]
    shared = same_video["end_s"].clip(upper=row.end_s) - same_video["start_s"].clip(lower=row.start_s)
    union = same_video["end_s"].clip(lower=row.end_s) - same_video["start_s"].clip(upper=row.start_s)
    return str(same_video.loc[(shared / union).idxmax(), "emotion"])


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
        emotion = f"{label}, truth {case.truth}" if case.truth else label
        row[0].set_ylabel(f"{case.case}\n{emotion}\n{case.video}", fontsize=8)
    grid[0, 0].figure.tight_layout(pad=0.4)
    return list(grid.ravel())

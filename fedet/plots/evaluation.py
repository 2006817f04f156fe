"""Figures of an evaluation. Each takes a table of it and returns Axes; the title says the finding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from fedet.evaluation.tables import HEADLINE
from fedet.plots.style import INK, LINE_STYLES, MARKERS, axes, count, emotion_colours, empty_axes, finish

BAR = "#56B4E9"
LABELS_OF_KINDS = {
    "double": "found twice",
    "wrong label": "wrong emotion",
    "localisation": "wrong interval",
    "both": "wrong emotion\nand interval",
    "background": "nothing there",
    "missed": "missed",
}


def plot_reliability(table: pd.DataFrame | None, ax: Axes | None = None) -> Axes:
    """Fraction right against mean score.

    Args:
        table: of `fedet.metrics.reliability`, like `result.calibration.get("spotting")`.
    """
    ax = axes(ax, (5.0, 4.6))
    shown = table[table["n"] > 0] if table is not None else None
    if shown is None or shown.empty:
        return empty_axes(ax, "No scores to calibrate")
    ax.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="score = fraction right")
    sizes = 30 + 220 * shown["n"] / shown["n"].max()
    ax.plot(shown["mean_score"], shown["fraction_right"], color=BAR, zorder=1)
    ax.scatter(shown["mean_score"], shown["fraction_right"], s=sizes, color=BAR, edgecolor=INK, zorder=2)
    for row in shown.itertuples():
        ax.annotate(
            str(row.n),
            (row.mean_score, row.fraction_right),
            (0, 10),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    total = shown["n"].sum()
    gap = ((shown["mean_score"] - shown["fraction_right"]) * shown["n"]).sum() / total
    error = ((shown["mean_score"] - shown["fraction_right"]).abs() * shown["n"]).sum() / total
    ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.12))
    ax.legend(frameon=False, loc="best")  # high scores are often below the line, low ones above
    side = "high" if gap > 0 else "low"
    title = f"Scores are {abs(gap):.2f} too {side} on average;\ncalibration error {error:.2f}"
    if abs(gap) < 0.02:
        title = f"Scores are right on average;\ncalibration error {error:.2f}"
    return finish(ax, title, "mean score of the bin (number of predictions)", "fraction right")


def plot_error_breakdown(errors: pd.DataFrame | None, ax: Axes | None = None) -> Axes:
    """The cost of each kind of error.

    Args:
        errors: kind, n, f1_if_mended, gain; that is `result.errors`.
    """
    ax = axes(ax, (7.0, 3.6))
    if errors is None or errors["gain"].isna().all():
        return empty_axes(ax, "No errors to break down")
    gains = errors["gain"].to_numpy(float)
    y = np.arange(len(errors))[::-1]
    ax.barh(y, gains, color=BAR, edgecolor=INK)
    for at, row in zip(y, errors.itertuples(), strict=True):
        ax.annotate(
            f"{row.gain:+.3f}  ({row.n})",
            (row.gain, at),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    names = [LABELS_OF_KINDS.get(kind, kind) for kind in errors["kind"]]
    ax.set_yticks(y, names)
    ax.set_xlim(0, max(gains.max() * 1.25, 0.01))
    best = int(gains.argmax())
    worst = names[best].replace("\n", " ")
    title = f"Most to gain: “{worst}”, F1 {gains[best]:+.2f} if corrected"
    if not errors["n"].sum():
        title = "No errors"
    return finish(ax, title, "gain in detection F1 if corrected (number of errors)")


def plot_confusion(
    confusion: pd.DataFrame | None,
    rows: str = "truth",
    columns: str = "predicted",
    ax: Axes | None = None,
) -> Axes:
    """Counts, shaded by the share of their row.

    Args:
        confusion: `result.confusion`, or the `confusion` of `fedet.evaluation.agreement.label_agreement`.
        rows, columns: names of its two sides.
    """
    ax = axes(ax, (5.4, 4.6))
    if confusion is None or not confusion.to_numpy().sum():
        return empty_axes(ax, "No labels to compare")
    counts = confusion.to_numpy(int)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    texts = np.full(counts.shape, "-", dtype=object)
    for i, j in np.argwhere(np.broadcast_to(total > 0, counts.shape)):
        texts[i, j] = f"{counts[i, j]}\n{100 * share[i, j]:.0f} %"
    cells = {"cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False, "square": True, "ax": ax}
    names = {"xticklabels": list(confusion.columns), "yticklabels": list(confusion.index)}
    sns.heatmap(share, annot=texts, fmt="", annot_kws={"fontsize": 9}, **names, **cells)
    ax.tick_params(axis="y", rotation=0)
    off = [
        (counts[i, j], str(a), str(b))
        for i, a in enumerate(confusion.index)
        for j, b in enumerate(confusion.columns)
        if a != b
    ]
    agreed = counts.sum() - sum(n for n, *_ in off)
    share_text = f"{100 * agreed / counts.sum():.0f} % of {count(int(counts.sum()), 'event')}"
    title = f"{rows} and {columns} agree on {share_text}"
    most, a, b = max(off, default=(0, "", ""))
    alike = sum(n == most for n, *_ in off)
    if most and alike == 1:
        title += f";\nmost often “{a}” becomes “{b}” ({most})"
    elif most:
        title += f";\n{alike} confusions tie as most frequent ({most} each)"
    return finish(ax, title[0].upper() + title[1:], columns, rows)


def _title_of(figure: str) -> str:
    return HEADLINE.get(figure, figure.replace("_", " ").replace("f1", "F1"))


def plot_subject_strip(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], figure: str = "f1", ax: Axes | None = None
) -> Axes:
    """One dot per subject, a row per method, a bar at the median.

    Args:
        tables: `result.subjects`, or several by the method's name.
        figure: the column to show; subjects for whom it is undefined are counted.
    """
    named = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    ax = axes(ax, (7.0, 1.6 + 0.7 * max(len(named), 1)))
    if not any(table[figure].notna().any() for table in named.values()):
        return empty_axes(ax, f"{_title_of(figure)} is defined for no subject")
    for row, table in enumerate(named.values()):
        values = table[figure].to_numpy(float)
        defined = ~np.isnan(values)
        dots = {
            "size": 6,
            "color": BAR,
            "edgecolor": INK,
            "linewidth": 1,
            "marker": MARKERS[row % len(MARKERS)],
        }
        place = {"orient": "h", "native_scale": True, "warn_thresh": 1, "ax": ax}
        sns.swarmplot(x=values[defined], y=np.full(defined.sum(), row), **dots, **place)
        notes = []
        if defined.any():
            median = np.median(values[defined])
            ax.plot([median] * 2, [row - 0.34, row + 0.34], color=INK, linewidth=2)
            notes.append(f"median {median:.2f}")
        if (~defined).any():
            notes.append(f"{count(int((~defined).sum()), 'subject')}\nundefined")
        ax.annotate("\n".join(notes), (1.03, row), va="center", fontsize=8, color=INK, annotation_clip=False)
    ax.set_yticks(range(len(named)) if any(named) else [], list(named) if any(named) else [])
    ax.set_ylim(len(named) - 0.45, -0.55)
    ax.set_xlim(-0.03, 1.03)
    first = next(iter(named.values()))
    values = first[figure].dropna()
    low = first.loc[first[figure].idxmin(), "subject"] if len(values) else ""
    title = f"{_title_of(figure)} from {values.min():.2f} ({low}) to {values.max():.2f} over "
    title += count(len(values), "subject") + (f" ({next(iter(named))})" if len(named) > 1 else "")
    return finish(ax, title, f"{_title_of(figure)} of a subject (bar: median)")


def plot_forest(effects: pd.DataFrame, reference: float | None = None, ax: Axes | None = None) -> Axes:
    """Values with their intervals, one below the other.

    Args:
        effects: index: names; columns value (or difference), low, high: rows of
            `result.figures` or of `fedet.evaluation.evaluation.compare`.
        reference: a line, 0 for differences.
    """
    column = "difference" if "difference" in effects else "value"
    reference = 0.0 if reference is None and column == "difference" else reference
    shown = effects[effects[column].notna()]
    ax = axes(ax, (5.8, 1.4 + 0.34 * max(len(shown), 2)))  # read in full on a phone, too
    if shown.empty:
        return empty_axes(ax, "No defined values")
    y = np.arange(len(shown))[::-1]
    value = shown[column].to_numpy(float)
    low, high = (shown[c].fillna(shown[column]).to_numpy(float) for c in ("low", "high"))
    clear = np.zeros(len(shown), dtype=bool)
    if reference is not None:
        ax.axvline(reference, color=INK, linestyle=":", linewidth=1)
        clear = ((low > reference) | (high < reference)) & shown["low"].notna().to_numpy()
    ax.hlines(y, low, high, color=BAR, linewidth=3)
    for filled in (True, False):
        at = clear == filled if reference is not None else np.full(len(shown), filled)
        face = INK if filled else "white"
        ax.scatter(value[at], y[at], marker="s", s=34, color=face, edgecolor=INK, zorder=3)
    names = [_title_of(str(name)) for name in shown.index]
    ax.set_yticks(y, names)
    ax.set_ylim(-0.7, len(shown) - 0.3)
    if reference is None:
        worst, best = int(value.argmin()), int(value.argmax())
        title = f"From {value[worst]:.2f} ({names[worst]}) to {value[best]:.2f} ({names[best]})"
        return finish(ax, title, "value with its interval over subjects")
    verb = "excludes" if clear.sum() == 1 else "exclude"
    title = f"{clear.sum()} of {count(len(shown), 'interval')} {verb} {reference:g} (filled)"
    return finish(ax, title, f"{column} with its interval over subjects")


def plot_pr_curves(curves: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Interpolated precision against recall, by emotion, and of spotting in grey.

    Args:
        curves: kind, recall, interpolated, ap; that is `result.curves`.
    """
    ax = axes(ax, (6.2, 4.4))
    shown = curves[curves["ap"].notna()]
    if shown.empty:
        return empty_axes(ax, "No events found, no curve")
    aps = shown.groupby("kind", sort=False)["ap"].first()
    colours = emotion_colours([kind for kind in aps.index if kind != "spotting"])
    for i, (kind, ap) in enumerate(aps.items()):
        curve = shown[shown["kind"] == kind]
        recall = np.concatenate([[0.0], curve["recall"], curve["recall"].tail(1)])
        best = np.concatenate([curve["interpolated"].head(1), curve["interpolated"], [0.0]])
        style: dict[str, Any] = {
            "color": colours.get(str(kind), INK),
            "linestyle": LINE_STYLES[i % len(LINE_STYLES)],
        }
        width = 2.5 if kind == "spotting" else 1.8
        name = "any emotion (spotting)" if kind == "spotting" else kind
        ax.step(recall, best, where="pre", label=f"{name}, AP {ap:.2f}", linewidth=width, **style)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.05))
    # The curves fill the whole square: their names stand below it.
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.13), ncols=2)
    aps_of_emotions = aps.drop("spotting", errors="ignore")
    title = f"AP of spotting {aps.get('spotting', np.nan):.2f}"
    if len(aps_of_emotions):
        low, high = aps_of_emotions.idxmin(), aps_of_emotions.idxmax()
        title = f"AP from {aps[low]:.2f} ({low}) to {aps[high]:.2f} ({high})"
    return finish(ax, title, "recall", "precision (best at that recall or beyond)")

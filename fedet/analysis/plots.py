"""Figures of robustness, fairness and explanations, each with its finding in the title; for notebook 10."""

from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedet.analysis.robustness import half_points, perturbed_file, strength_text
from fedet.faces.network import FaceNet
from fedet.intervals import EMOTION_COLOURS
from fedet.plots.style import INK, LINE_STYLES, MARKERS, axes, count, empty_axes, finish
from fedet.plots.thumbnails import frames_near

LINE, WARN = EMOTION_COLOURS["negative"], "#D55E00"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def plot_robustness(table: pd.DataFrame, across: int = 4) -> np.ndarray:
    """F1 along each perturbation's strength, with its interval, and where it halves.

    Args:
        table: of `fedet.analysis.robustness.measure_robustness`.

    Returns:
        The axes, (N,).
    """
    halves = half_points(table)
    down = -(-len(halves) // across)
    fig, grid = plt.subplots(
        down, across, figsize=(2.9 * across, 2.5 * down), squeeze=False, sharey=True, layout="constrained"
    )
    for ax in grid.flat[len(halves) :]:
        ax.set_visible(False)
    for ax, (name, row) in zip(grid.flat, halves.iterrows(), strict=False):
        rows = table[table["perturbation"] == name]
        x = np.arange(len(rows))  # in order of severity, whether strengths rise or fall
        ax.fill_between(x, rows["low"], rows["high"], color=LINE, alpha=0.15, linewidth=0)
        ax.plot(x, rows["f1"], color=LINE, marker="o", markersize=4)
        ax.plot(x, rows["missing"], color=INK, linestyle=":", linewidth=1)
        ax.axhline(row["first_f1"] / 2, color=WARN, linestyle="--", linewidth=0.9)
        if not np.isnan(row["half_at"]):
            at = interpolate_index(rows["strength"].to_numpy(), row["half_at"])
            ax.plot(at, row["first_f1"] / 2, marker="X", color=WARN, markersize=8)
        ax.set(xticks=x, xticklabels=[f"{s:g}" for s in rows["strength"]], ylim=(-0.03, 1.03))
        finish(ax, f"{name}\n{fill(row['finding'], 32)}", row["unit"], "")  # no wider than its panel
        ax.title.set_fontsize(9)
    for ax in grid[:, 0]:
        ax.set_ylabel("F1, or share", fontsize=8)
    reached = halves["half_at"].notna().sum()
    fig.suptitle(
        f"F1 halves under {reached} of {len(halves)} perturbations "
        "(line and band: spotting F1, 95 % interval; dotted: share of frames without a face)",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    return grid.ravel()[: len(halves)]


def plot_gallery(
    folder: str | Path, table: pd.DataFrame, video: str, at_s: float, across: int = 6
) -> np.ndarray:
    """The same moment of a video under each perturbation of a `measure_robustness` table, the severest."""
    worst = table.groupby("perturbation", sort=False).last()
    down = -(-len(worst) // across)
    fig, grid = plt.subplots(
        down, across, figsize=(1.7 * across, 2.0 * down), squeeze=False, layout="constrained"
    )
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, (name, row) in zip(grid.flat, worst.iterrows(), strict=False):
        ax.imshow(frames_near(perturbed_file(folder, name, row["strength"], video), [at_s])[0])
        ax.set_title(f"{name}\n{strength_text(name, row['strength'], row['unit'])}", fontsize=8)
    fig.suptitle("The severest strengths (a generated face)", fontsize=10, x=0.01, ha="left")
    return grid.ravel()[: len(worst)]


def interpolate_index(strengths: np.ndarray, at: float) -> float:
    """The index of a strength among these, linear between them."""
    order = np.argsort(strengths)
    return float(np.interp(at, strengths[order], order))


def plot_groups(groups: pd.DataFrame, gaps: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """F1 of each group with its interval, grouped by attribute.

    Args:
        groups, gaps: of `fedet.analysis.fairness.f1_by_group`.
    """
    ax = axes(ax, (7.0, 0.36 * len(groups) + 1.4))
    for k, (attribute, rows) in enumerate(groups.groupby("attribute", sort=False)):
        for row in rows.itertuples():
            y = -(row.Index + 0.6 * k)
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            ax.plot([row.low, row.high], [y, y], color=colour, linewidth=1.5)
            ax.plot(row.f1, y, marker=marker, color=colour, markersize=6, clip_on=False)
            people = "1 person" if row.subjects == 1 else f"{row.subjects} people"
            name = f"{attribute}: {row.group}  ({people}, {count(row.events, 'event')})"
            ax.text(-0.02, y, name, ha="right", va="center", fontsize=8, transform=ax.get_yaxis_transform())
    ax.set(xlim=(0, 1), yticks=[], ylim=(y - 0.7, 0.7))
    ax.spines["left"].set_visible(False)
    above = gaps.index[gaps["low"] > 0].tolist()
    if above:
        title = f"A gap with an interval above 0: {', '.join(above)}"
    else:
        title = "No gap stands out" if gaps["low"].notna().any() else "Too few people for any interval"
    return finish(ax, f"{title} (generated people)", "spotting F1, 95 % interval over subjects")


def plot_transfer(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Figures of several weights on one family of faces, each with its interval, side by side.

    Args:
        table: rows of `fedet.analysis.robustness.read_transfer`; the title is about the last weights.
    """
    table = table.assign(row=table["emotion_or_type"] + ", " + table["metric"])
    rows, all_weights = list(dict.fromkeys(table["row"])), list(dict.fromkeys(table["weights"]))
    ax = axes(ax, (7.0, 0.5 * len(rows) + 1.4))
    if not rows:
        return empty_axes(ax, "Not measured")
    for k, weights in enumerate(all_weights):
        of_weights = table[table["weights"] == weights].set_index("row")
        y = np.array([-rows.index(row) for row in of_weights.index]) - 0.3 * (k - (len(all_weights) - 1) / 2)
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        ax.hlines(y, of_weights["low"], of_weights["high"], color=colour, linewidth=1.5)
        ax.plot(of_weights["value"], y, marker, color=colour, label=weights, clip_on=False)
    ax.set(xlim=(0, 1), yticks=-np.arange(len(rows)), yticklabels=rows, ylim=(0.6 - len(rows), 0.6))
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    last = table[table["weights"] == all_weights[-1]].set_index("row")["value"]
    others = table[table["weights"] != all_weights[-1]].groupby("row")["value"].max()
    ahead = int((last.reindex(others.index) > others).sum())
    title = f"{all_weights[-1]} is ahead in {ahead} of {count(len(others), 'figure')}"
    title = title if len(others) else all_weights[-1]
    people = " and ".join(dict.fromkeys(table["family_tested"]))
    return finish(ax, f"{title}, people of {people} (generated)", "95 % interval over subjects")


def plot_evidence(net: FaceNet, face: np.ndarray, rest: np.ndarray, targets: list, layer: str = "layer3"):
    """The face at rest, at the apex, and evidence maps of each read-out's change; axes (2 + N,).

    Warm: evidence for the target; cold: against it. Maps of `layer3` have 7 x 7 cells.
    """
    from fedet.analysis.explanation import evidence_map, smooth_map

    _fig, row = plt.subplots(
        1, 2 + len(targets), figsize=(1.9 * (2 + len(targets)), 2.3), layout="constrained"
    )
    for ax in row:
        ax.set_axis_off()
    row[0].imshow(rest)
    row[0].set_title("at rest", fontsize=9)
    row[1].imshow(face)
    row[1].set_title("at the apex", fontsize=9)
    for ax, target in zip(row[2:], targets, strict=True):
        values = evidence_map(net, face, rest, target, layer)
        ax.imshow(face.mean(axis=2), cmap="gray")
        ax.imshow(smooth_map(values, face.shape[0]), cmap="PuOr_r", alpha=0.6, vmin=-1, vmax=1)
        name = f"AU{target}" if not isinstance(target, str) else target
        ax.set_title(f"{name}: {region(values)}", fontsize=9)
    return row


def region(values: np.ndarray) -> str:
    """The third of the crop with most evidence for a target: "brows and eyes", "middle" or "mouth"."""
    support = np.maximum(values, 0).sum(1)  # by row
    if support.sum() <= 0:
        return "no evidence"
    height = (np.arange(len(support)) + 0.5) / len(support)
    centre = float((support * height).sum() / support.sum())
    return "brows and eyes" if centre < 0.43 else "middle" if centre < 0.57 else "mouth"


def plot_rise(curves: pd.DataFrame, reason, around_s: float = 1.5, ax: Axes | None = None) -> Axes:
    """The AUs' read-outs around a detection; those named in its sentence are highlighted.

    Args:
        curves: of `fedet.analysis.explanation.au_curves`.
        reason: a row of `fedet.analysis.explanation.reasons`.
    """
    ax = axes(ax, (7.0, 2.9))
    near = curves.loc[max(0, reason["start_s"] - around_s) : reason["end_s"] + around_s]
    for name in near.columns.difference([*reason["aus"], "AU43"]):
        ax.plot(near.index, near[name], color="0.8", linewidth=0.8, zorder=1)
    for k, name in enumerate(reason["aus"]):
        style = LINE_STYLES[k % len(LINE_STYLES)]
        ax.plot(near.index, near[name], color=COLOURS[k % 4], linestyle=style, linewidth=2, label=name)
    colour = EMOTION_COLOURS.get(reason["emotion"], EMOTION_COLOURS["unknown"])
    ax.axvspan(reason["start_s"], reason["end_s"], color=colour, alpha=0.15)
    if reason["aus"]:
        ax.axvline(reason["since_s"], color=INK, linestyle=":", linewidth=1)
        ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax = finish(ax, reason["sentence"], "seconds", "rise above rest")
    ax.title.set_fontsize(9)
    return ax


def plot_arms(figures: pd.DataFrame, differences: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """False alarms a minute of each arm of `fedet.analysis.talking.ablate`, while talking and else."""
    ax = axes(ax, (6.4, 3.2))
    arms = list(dict.fromkeys(figures.index.get_level_values(0)))
    for k, (name, shift) in enumerate((("alarms_talking", -0.12), ("alarms_else", 0.12))):
        values = figures.xs(name, level=1).loc[arms]
        x = np.arange(len(arms)) + shift
        ax.vlines(x, values["low"], values["high"], color=COLOURS[k])
        label = "while talking" if name.endswith("talking") else "else"
        ax.plot(x, values["value"], MARKERS[k], color=COLOURS[k], label=label)
    ax.set(xticks=range(len(arms)), xticklabels=[a if a == "as it is" else f"{a} speech" for a in arms])
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    gap = differences.loc["alarms_talking"]
    if np.isnan(gap["value"]):
        return empty_axes(ax, "Nobody talked in these videos")
    change = "fewer" if gap["high"] < 0 else "more" if gap["low"] > 0 else "no clear change in"
    title = f"With sound: {change} false alarms while talking ({gap['value']:+.1f} a minute)"
    return finish(ax, title, "", "false alarms a minute")


def plot_distances(known, sets: dict[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Novelty of each set of vectors; the first set is of plain faces.

    Args:
        known: the distribution of the training faces, of `fedet.faces.novelty.known_of`.
    """
    ax = axes(ax, (7.0, 0.45 * len(sets) + 1.3))
    shares = {}
    for k, (name, vectors) in enumerate(sets.items()):
        distances = known.distance(vectors)
        shares[name] = float((distances > known.threshold).mean())
        jitter = np.random.default_rng(k).uniform(-0.25, 0.25, len(distances))
        ax.plot(np.clip(distances, None, 8), -k + jitter, ".", color=COLOURS[0 if not k else 1], alpha=0.5)
        ax.text(8.3, -k, f"{shares[name]:.0%} flagged", va="center", fontsize=8)
    ax.axvline(known.threshold, color=INK, linestyle="--", linewidth=1)
    ax.set(yticks=[-k for k in range(len(sets))], yticklabels=list(sets), xlim=(-1, 10))
    (plain, share), *rest = shares.items()
    worst = min(rest, key=lambda item: item[1])
    title = f"Flagged: {share:.0%} of {plain}; {worst[1]:.0%} or more of anything else ({worst[0]})"
    return finish(ax, title, "distance from the training faces (dashed: threshold; 8 and more at the edge)")

"""Figures of speed: ratios as bars, and how time and memory grow with a video's length."""

import pandas as pd
from matplotlib.axes import Axes

from fedet.bench.suite import OVER_LIMIT
from fedet.plots.style import INK, axes, empty_axes, finish

COLOURS = ("#0072B2", "#E69F00")


def plot_speed(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The ratios of `fedet.bench.suite.measure` as bars on a logarithmic axis; whiskers are the turns."""
    ax = axes(ax, (8.0, 4.2))
    ratios = table[(table["unit"] == "ratio") & (table["part"] != "growth")].iloc[::-1]
    if not len(ratios):
        return empty_axes(ax, "No ratios")
    spread = [ratios["value"] - ratios["low"], ratios["high"] - ratios["value"]]
    ax.barh(ratios["name"], ratios["value"], xerr=spread, color=COLOURS[0], ecolor=INK, capsize=3)
    ax.axvline(1, color=INK, linestyle="--", linewidth=1)
    ax.set_xscale("log")
    for name, value, high in zip(ratios["name"], ratios["value"], ratios["high"], strict=True):
        ax.annotate(f"{value:.2g}", (high, name), (4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.margins(x=0.15)
    limit = ratios[ratios["name"] == OVER_LIMIT]
    title = "Ratios in one run; 1 is the dashed line"
    if len(limit):
        title = f"detect takes {limit['value'].iloc[0]:.2f} x decoding and one forward pass"
    return finish(ax, title, "ratio")


def plot_growth(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Seconds and peak memory of whole `fedet detect` processes along the length of the video."""
    ax = axes(ax, (7.0, 3.6))
    rows = table[table["part"] == "growth"]
    if not len(rows):
        return empty_axes(ax, "No lengths")
    twin = ax.twinx()
    shown = (("detect ", "s", ax, "o-"), ("peak memory ", "MiB", twin, "s--"))
    marks = []
    for (prefix, unit, side, style), colour in zip(shown, COLOURS, strict=True):
        part = rows[(rows["unit"] == unit) & rows["name"].str.startswith(prefix)]
        minutes = part["name"].str.extract(r"([\d.]+) min")[0].astype(float)
        marks += side.plot(minutes, part["value"], style, color=colour, label=f"{prefix.strip()} ({unit})")
        side.set_ylim(bottom=0)
    twin.set_ylabel("peak memory (MiB)")
    twin.spines["top"].set_visible(False)
    ax.legend(handles=marks, frameon=False, loc="lower right")
    memory = rows[rows["unit"] == "MiB"]["value"]
    title = (
        f"Memory grows by {memory.iloc[-1] - memory.iloc[0]:.0f} MiB from the shortest to the longest video"
    )
    return finish(ax, title, "length of the video (min)", "whole process (s)")

"""What all figures share: axes, seconds, marks that differ without colour."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fedet.intervals import EMOTION_COLOURS

TYPE_COLOURS = {"macro": "#56B4E9", "micro": "#D55E00"}  # Okabe and Ito's two left over
TYPE_HATCHES = {"macro": "", "micro": "////"}
EXTRA_COLOURS = ("#D55E00", "#56B4E9", "#F0E442", "#000000")  # for labels outside fedet's emotions
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
INK = "#333333"
EDGE = "#FFFFFF"


def axes(ax: Axes | None, size: tuple[float, float] = (7.0, 4.0)) -> Axes:
    """The axes given, or new ones of `size` inches in a figure of their own."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def finish(ax: Axes, title: str, x: str = "", y: str = "") -> Axes:
    """Title, labels, and no frame but the two lines that carry a scale."""
    ax.set_title(title, loc="left", fontsize=11, wrap=True)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def empty_axes(ax: Axes, what: str) -> Axes:
    """Axes with a note that there is nothing to show, instead of an empty frame."""
    ax.text(0.5, 0.5, what, ha="center", va="center", transform=ax.transAxes, color=INK)
    ax.set_axis_off()
    ax.set_title(what, loc="left", fontsize=11)
    return ax


def emotion_colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label: fedet's for its emotions, others in order, grey for no label."""
    colours: dict[str, str] = {}
    for label in labels:
        if label in EMOTION_COLOURS:
            colours[label] = EMOTION_COLOURS[label]
        elif label not in colours:
            used = sum(name not in EMOTION_COLOURS for name in colours)
            colours[label] = EXTRA_COLOURS[used % len(EXTRA_COLOURS)]
    return colours


def stacked_bars(ax: Axes, counts: pd.DataFrame, colours: dict, hatches: dict | None = None) -> np.ndarray:
    """One bar for each row of `counts`, its columns on top of each other; returns the heights (N,).

    Args:
        ax: where to draw, at 0, 1, 2, ...
        counts: (N, K) numbers.
        colours: of each column: one, or one for each row.
        hatches: of each column; none for those that are not in it.
    """
    height = np.zeros(len(counts))
    for column in counts:
        hatch = (hatches or {}).get(column, "")
        bars = {"color": colours[column], "hatch": hatch, "edgecolor": EDGE, "label": str(column)}
        ax.bar(range(len(counts)), counts[column], bottom=height, **bars)
        height += counts[column].to_numpy()
    return height


def type_patches() -> list[Patch]:
    """Legend entries of macro and micro."""
    return [
        Patch(facecolor=TYPE_COLOURS[k], hatch=TYPE_HATCHES[k], edgecolor=EDGE, label=k) for k in TYPE_COLOURS
    ]


def count(n: int, noun: str) -> str:
    """ "1 event", "2 events"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"

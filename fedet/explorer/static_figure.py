"""The explorer's lanes as a static figure, for print and for pages without scripts."""

import io

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from fedet.explorer.timeline import Lanes, colour_of
from fedet.review.edits import DECIDED

GREY = "#555555"
LETTER = 0.012  # an interval of this share of the width has room for its emotion's letter


class StaticFigure(Figure):
    """A Figure that notebooks show wherever they run, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def draw_figure(
    lanes: Lanes,
    predictions: pd.DataFrame,
    review: pd.DataFrame,
    threshold: float,
    start_s: float = 0.0,
    end_s: float | None = None,
    width: float = 10.0,
) -> StaticFigure:
    """Truth (hatched), prediction (filled), review (outlined), curves and face-missing spans.

    Args:
        lanes: From `fedet.explorer.timeline.prepare`.
        predictions: Predictions above the threshold.
        review: The review's rows, canonical columns and `status`.
        threshold: Drawn into the curves.
        start_s, end_s: Range to show, seconds; default: the whole video.
        width: Of the figure, inches.
    """
    end_s = lanes.n_frames / lanes.fps if end_s is None else end_s
    rows = [("Truth", lanes.truth), ("Prediction", predictions), ("Review", _decided(review))]
    rows = [(name, table) for name, table in rows if table is not None]
    heights = [0.45 * len(rows) + 0.2] + ([1.3] if lanes.curves else [])
    figure = StaticFigure(figsize=(width, sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    top: Axes = axes[0, 0]
    for rank, (name, table) in enumerate(rows):
        for row in table.itertuples():
            _bar(top, name, row, -rank, lanes.fps, LETTER * (end_s - start_s))
    top.set_yticks([-i for i in range(len(rows))], [name for name, _ in rows])
    top.set_ylim(-len(rows) + 0.4, 0.6)
    top.spines[["top", "right", "left"]].set_visible(False)
    top.tick_params(axis="y", length=0)
    if lanes.curves:
        _curves(axes[1, 0], lanes, threshold, start_s, end_s)
    for axis in axes[:, 0]:
        for onset, offset in lanes.missing:
            axis.axvspan(onset / lanes.fps, (offset + 1) / lanes.fps, color=GREY, alpha=0.18, lw=0)
    axes[-1, 0].set_xlim(start_s, end_s)
    axes[-1, 0].set_xlabel("seconds")
    top.legend(handles=_legend(lanes, rows), ncols=8, loc="lower left", bbox_to_anchor=(0, 1.0),
               frameon=False, fontsize="small", borderaxespad=0.2)  # fmt: skip
    return figure


def _decided(review: pd.DataFrame) -> pd.DataFrame | None:
    decided = review[review["status"].isin([*DECIDED, "rejected"])]
    return decided if len(decided) else None


def _bar(axis: Axes, name: str, row, y: float, fps: float, least_s: float) -> None:
    start, length = row.onset / fps, (row.offset + 1 - row.onset) / fps
    colour = colour_of(row.emotion if isinstance(row.emotion, str) else "unknown")
    style: dict = {
        "Truth": {"facecolor": "white", "edgecolor": colour, "hatch": "////", "lw": 1.2},
        "Prediction": {"facecolor": colour, "edgecolor": colour, "lw": 0.4},
        "Review": {"facecolor": "white", "edgecolor": colour, "lw": 2},
    }[name]
    if getattr(row, "status", None) == "rejected":
        style |= {"ls": (0, (2, 2)), "lw": 1}
    axis.add_patch(Rectangle((start, y - 0.33), length, 0.66, **style))
    if length > least_s and isinstance(row.emotion, str):
        ink = "white" if name == "Prediction" and row.emotion == "negative" else "black"
        axis.text(start + length / 2, y, row.emotion[:1].upper(), ha="center", va="center",
                  fontsize=7, color=ink, clip_on=True,
                  bbox={"facecolor": "white", "lw": 0, "pad": 0.8} if name == "Truth" else None)  # fmt: skip


def _curves(axis: Axes, lanes: Lanes, threshold: float, start_s: float, end_s: float) -> None:
    if lanes.curves is None:
        return
    names, values = lanes.curves
    first, last = int(start_s * lanes.fps), int(np.ceil(end_s * lanes.fps))
    visible = values[first:last]
    step = max(1, len(visible) // 4000)  # the highest of each run, so that no peak is lost
    runs = visible[: len(visible) // step * step].reshape(-1, step, len(names))
    peaks = np.where(np.isnan(runs), -1, runs).max(axis=1)
    peaks[peaks < 0] = np.nan
    times = (first + (np.arange(len(peaks)) + 0.5) * step) / lanes.fps
    for name, curve in zip(names, peaks.T, strict=True):
        axis.plot(times, curve, color=colour_of(name), lw=1)
        _name_peak(axis, times, curve, name)
    axis.axhline(threshold, color="black", lw=0.8, ls=(0, (5, 4)))
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("score")
    axis.spines[["top", "right"]].set_visible(False)


def _name_peak(axis: Axes, times: np.ndarray, curve: np.ndarray, name: str) -> None:
    """The emotion's letter, as in the boxes, at the curve's highest point, if it rises at all."""
    if not (np.nan_to_num(curve) >= 0.15).any():
        return
    at = int(np.nanargmax(curve))
    letter = axis.annotate(name[:1].upper().replace("$", r"\$"), (times[at], curve[at]), (4, -1),
                           textcoords="offset points", fontsize=7, va="center")  # fmt: skip
    letter.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _legend(lanes: Lanes, rows) -> list[Patch]:
    used = {label for _, table in rows for label in table["emotion"].dropna()}
    used |= set(lanes.curves[0]) if lanes.curves else set()
    shown = [label for label in lanes.labels if label in used]
    # A dollar sign would be read as mathematics.
    names = {label: label.replace("$", r"\$") for label in shown}
    handles = [Patch(color=colour_of(label), label=names[label]) for label in shown]
    if lanes.missing:
        handles.append(Patch(color=GREY, alpha=0.18, lw=0, label="no face"))
    return handles

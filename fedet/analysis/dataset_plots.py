"""Figures of an annotated set; those of any table of events are in `fedet.plots.annotations`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from fedet.analysis.dataset import UNKNOWN, action_unit_counts, emotion_counts, gaps, overlaps
from fedet.datasets.dataset import Dataset
from fedet.plots.style import (
    EDGE,
    INK,
    TYPE_COLOURS,
    TYPE_HATCHES,
    axes,
    count,
    emotion_colours,
    empty_axes,
    finish,
    stacked_bars,
    type_patches,
)

MOMENTS = ("before", "onset", "rising", "apex", "falling", "offset", "after")
_MOST_UNITS = 20  # bars of action units


def plot_emotions(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Events by emotion, in its colour, micro-expressions hatched."""
    ax = axes(ax, (6.4, 3.6))
    counts = emotion_counts(table)
    if counts.empty:
        return empty_axes(ax, "No events")
    if list(counts.index) == [UNKNOWN]:
        return empty_axes(ax, "No event has an emotion")
    colours = list(emotion_colours(counts.index).values())
    hatches = {kind: TYPE_HATCHES.get(kind, "..") for kind in counts}
    below = stacked_bars(ax, counts, dict.fromkeys(counts, colours), hatches)
    ax.set_xticks(range(len(counts)), counts.index)
    handles = type_patches()
    for handle in handles:
        handle.set_facecolor("#777777")
    ax.legend(handles=handles, frameon=False)
    top = int(below.argmax())
    title = f"Most frequent: {counts.index[top]}, {100 * below[top] / below.sum():.0f} %"
    return finish(ax, f"{title} of {count(int(below.sum()), 'event')}", "", "events")


def plot_action_units(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Events in which each action unit is annotated, by emotion; the 20 most frequent."""
    counts = action_unit_counts(table).head(_MOST_UNITS)
    ax = axes(ax, (8.0, 3.8))
    if counts.empty:
        return empty_axes(ax, "No event has action units")
    emotions = counts.columns.drop("all")
    stacked_bars(ax, counts[emotions], emotion_colours(emotions))
    ax.set_xticks(range(len(counts)), [f"AU{n}" for n in counts.index], rotation=90)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    first = counts.index[0]
    main = counts.loc[first, emotions].idxmax()
    title = f"AU{first} is the most frequent ({counts['all'].iloc[0]} events, mostly {main})"
    return finish(ax, title, "", "events")


def plot_gaps(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Time between events of one video, in seconds; the title counts overlapping ones."""
    ax = axes(ax, (6.4, 3.6))
    seconds = gaps(table)["gap_s"].dropna().astype(float)
    pairs = count(len(overlaps(table)), "pair")
    if seconds.empty:
        return empty_axes(ax, f"No two events follow each other in a video; {pairs} overlap")
    bins = min(30, max(5, len(seconds) // 2))
    sns.histplot(x=seconds, bins=bins, color="#56B4E9", alpha=1, edgecolor=EDGE, ax=ax)
    ax.axvline(seconds.median(), color=INK, linestyle="--", linewidth=1)
    title = f"Half of the gaps are shorter than {seconds.median():.1f} s (dashed); {pairs} overlap"
    return finish(ax, title, "time between two events (s)", "gaps")


def plot_events_per_video(per_video: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Events of each video by type, in the order of `fedet.analysis.dataset.events_per_video`."""
    shown = per_video.reset_index(drop=True)
    ax = axes(ax, (max(5.0, min(14.0, 0.28 * len(shown) + 1.5)), 4.0))
    if shown.empty:
        return empty_axes(ax, "No videos")
    below = stacked_bars(ax, shown[list(TYPE_COLOURS)], TYPE_COLOURS, TYPE_HATCHES)
    if len(shown) <= 45:
        ax.set_xticks(range(len(shown)), list(shown["video"]), rotation=90)
    else:
        ax.set_xticks([])
    silent = int((shown["events"] == 0).sum())
    ax.legend(handles=type_patches(), frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    title = f"{count(len(shown), 'video')}, {silent} without an event; most: {below.max():.0f}"
    return finish(ax, title, "video", "events")


def pick_events(dataset: Dataset, n: int = 4) -> pd.DataFrame:
    """Up to n events with frames on the disk, near the median length, each emotion in turn, unknown last."""
    on_disk = dataset.videos.loc[dataset.videos["path"].notna(), "video"]
    table = dataset.annotations
    table = table[table["video"].isin(on_disk) & table["fps"].notna()]
    length = (table["offset"] - table["onset"] + 1).astype(float)
    label = table["emotion"].fillna(UNKNOWN).astype(object)
    distance = (length - length.groupby(label).transform("median")).abs()
    rank = distance.groupby(label).rank(method="first")
    order = rank.where(label != UNKNOWN, np.inf).sort_values(kind="stable").index
    return table.loc[order].head(n).reset_index(drop=True)


def moments(event: pd.Series) -> np.ndarray:
    """Frames (7,) of MOMENTS: half a second outside on either side, onset, apex, offset, between.

    An event without an apex gets its middle; a frame before the video's begin is its first.
    """
    onset, offset = float(event["onset"]), float(event["offset"])
    apex = (onset + offset) // 2 if pd.isna(event["apex"]) else float(event["apex"])
    half = float(event["fps"]) / 2
    frames = [
        onset - half,
        onset,
        (onset + apex) // 2,
        apex,
        (apex + offset) // 2,
        offset,
        offset + half,
    ]
    return np.maximum(0, np.floor(frames))


def plot_event_frames(dataset: Dataset, events: pd.DataFrame) -> Sequence[Axes]:
    """One row of frames for each event, from half a second before to half a second after it.

    Args:
        dataset: opened through `Dataset.open`, so that folders with missing images show the right frames.
        events: rows of its annotations, like those of `pick_events`; none: a note.
    """
    import matplotlib.pyplot as plt

    if not len(events):
        return [empty_axes(axes(None, (6.0, 1.0)), "No frames on the disk: labels only")]
    size = (1.25 * len(MOMENTS), 1.75 * len(events))
    _, grid = plt.subplots(len(events), len(MOMENTS), figsize=size, squeeze=False)
    for row, (_, event) in zip(grid, events.iterrows(), strict=True):
        video, label = dataset.open(event["video"]), event["emotion"]
        label = UNKNOWN if pd.isna(label) else str(label)
        colour = emotion_colours([label])[label]
        for ax, name, frame in zip(row, MOMENTS, moments(event), strict=True):
            # The middle of the frame: its start may be rounded into the frame before.
            seconds = (frame + 0.5) / float(event["fps"])
            ax.imshow(video.frame_at(min(seconds, (video.duration_s or np.inf) - 1e-3)).image)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{name}\n{frame / float(event['fps']):.2f} s", fontsize=7)
            inside = name not in ("before", "after")
            ax.spines[:].set(color=colour if inside else "0.8", linewidth=3 if inside else 1)
        row[0].set_ylabel(f"{event['video']}\n{label}\n{event['expression_type']}", fontsize=7)
    grid[0, 0].figure.tight_layout(pad=0.4)
    return list(grid.ravel())

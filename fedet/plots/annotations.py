"""Figures of the data: a video's timeline, durations, events per subject, where the apex lies."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.intervals import MICRO_MAX_S, expression_type_of
from fedet.matching import match, overlap_pairs
from fedet.plots.style import (
    EDGE,
    INK,
    MARKERS,
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

LANE = 0.8  # height of a lane, of 1
NO_FPS = "no fps, so frames have no time: add the column fps"


def plot_timeline(
    truth: pd.DataFrame | None,
    predictions: pd.DataFrame | None = None,
    scores: np.ndarray | pd.DataFrame | None = None,
    missing: Iterable[tuple[float, float]] | None = None,
    video: str | None = None,
    subject: str | None = None,
    fps: float | None = None,
    tiou: float = 0.5,
    ax: Axes | None = None,
) -> Axes:
    """One video: annotated events above (hatched), predictions below, in seconds.

    Args:
        truth, predictions: canonical tables; None leaves a lane out.
        scores: (T,) or (T, K) scores per frame in [0, 1], drawn as lines below; a DataFrame names
            its columns by emotion.
        missing: stretches (start_s, end_s) without a face, shaded.
        video, subject: which video; needed if the tables hold several.
        fps: frames per second where the tables have none, and of `scores`.
        tiou: from which an event counts as found, in the title.
    """
    ax = axes(ax, (10.0, 3.2))
    tables = {"truth": truth, "predicted": predictions}
    lanes = {name: _of_video(table, video, subject, fps) for name, table in tables.items()}
    shown = {name: lane for name, lane in lanes.items() if lane is not None}
    if not any(len(lane) for lane in shown.values()) and scores is None:
        return empty_axes(ax, f"No events{f' in {video}' if video else ''}")
    labels = dict.fromkeys(x for lane in shown.values() for x in lane["label"])
    colours = emotion_colours(labels)
    for row, (name, lane) in enumerate(shown.items()):
        _draw_lane(ax, lane, row, "////" if name == "truth" else "", colours)
    names, bottom = list(shown), len(shown)
    if scores is not None:
        rate = fps or _rate(shown.values())
        colours = _draw_scores(ax, scores, bottom, rate, colours)
        names, bottom = [*names, "scores"], bottom + 1
    for start, end in missing or ():
        ax.axvspan(start, end, color="#DDDDDD", zorder=0, linewidth=0)
    ax.set_yticks([i + LANE / 2 for i in range(bottom)], names)
    ax.set_ylim(bottom, -0.1)
    ax.set_xlim(left=0)
    _legend(ax, colours, bool(missing))
    return finish(ax, _timeline_title(lanes, video, tiou), "seconds")


def _of_video(table: pd.DataFrame | None, video: str | None, subject: str | None, fps):
    """The rows of the video with their times and labels, by onset; None for no table."""
    if table is None:
        return None
    for column, wanted in (("video", video), ("subject", subject)):
        table = table if wanted is None else table[table[column] == wanted]
    keys = [c for c in ("subject", "video") if c in table and table[c].notna().any()]
    if keys and len(table[keys].drop_duplicates()) > 1:
        names = ", ".join(map(str, table[keys[-1]].unique()[:3]))
        raise InputError(f"several videos ({names}, ...): name one, video=... and subject=...")
    rate = pd.to_numeric(table.get("fps", pd.Series(pd.NA, table.index, dtype="Float64")))
    rate = rate.astype("Float64").fillna(pd.NA if fps is None else fps)
    if rate.isna().any():
        raise InputError(NO_FPS + ", or give fps=30")
    label = table.get("emotion", pd.Series(pd.NA, table.index)).astype("string")
    lane = table.reindex(columns=["onset", "apex", "offset", "score"]).astype("Float64")
    lane = lane.assign(fps=rate).astype(float).assign(label=label.fillna("unknown").astype(object))
    lane["start_s"], lane["end_s"] = lane["onset"] / lane["fps"], (lane["offset"] + 1) / lane["fps"]
    lane["apex_s"] = (lane["apex"] + 0.5) / lane["fps"]
    return lane.sort_values(["start_s", "end_s"], kind="stable")


def _rate(lanes: Iterable[pd.DataFrame]) -> float:
    rates = [float(lane["fps"].iloc[0]) for lane in lanes if len(lane)]
    return rates[0] if rates else 1.0


def _rows_without_overlap(lane: pd.DataFrame) -> np.ndarray:
    """A row for each interval, so that those that overlap lie below each other."""
    ends: list[float] = []
    rows = []
    for start, end in zip(lane["start_s"], lane["end_s"], strict=True):
        row = next((i for i, last in enumerate(ends) if last <= start), len(ends))
        ends[row : row + 1] = [end]
        rows.append(row)
    return np.array(rows, dtype=int)


def _draw_lane(ax: Axes, lane: pd.DataFrame, top: int, hatch: str, colours: dict) -> None:
    rows = _rows_without_overlap(lane)
    height = LANE / (rows.max() + 1 if len(rows) else 1)
    for row, event in zip(rows, lane.itertuples(), strict=True):
        left, width = event.start_s, event.end_s - event.start_s
        box: dict[str, Any] = {"facecolor": colours[event.label], "hatch": hatch, "edgecolor": EDGE}
        ax.broken_barh([(left, width)], (top + row * height, height * 0.94), linewidth=0.8, **box)
        if event.apex_s == event.apex_s:
            ax.plot([event.apex_s], [top + (row + 0.5) * height], "|", color=INK, markersize=7)
        outline: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.0}
        ax.broken_barh([(left, width)], (top + row * height, height * 0.94), **outline)


def _draw_scores(ax: Axes, scores, top: int, fps: float, colours: dict) -> dict:
    table = scores if isinstance(scores, pd.DataFrame) else pd.DataFrame(np.asarray(scores))
    if not isinstance(scores, pd.DataFrame):
        table.columns = ["score"] if table.shape[1] == 1 else [f"score {c}" for c in table]
    colours = colours | emotion_colours([*colours, *map(str, table.columns)])
    seconds = (np.arange(len(table)) + 0.5) / fps
    for name in table:
        height = top + LANE - LANE * np.clip(table[name].to_numpy(float), 0, 1)
        ax.plot(seconds, height, color=colours[str(name)], linewidth=1.2)
    ax.axhline(top + LANE, color=INK, linewidth=0.5)
    return colours


def _legend(ax: Axes, colours: dict, missing: bool) -> None:
    patches = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    if missing:
        patches.append(Patch(facecolor="#DDDDDD", label="no face"))
    if patches:
        ax.legend(handles=patches, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _timeline_title(lanes: dict, video: str | None, tiou: float) -> str:
    truth, guess = lanes["truth"], lanes["predicted"]
    where = f"{video}: " if video else ""
    if truth is None or guess is None:
        lane = truth if truth is not None else guess
        n = 0 if lane is None else len(lane)
        return where + count(n, "event" if truth is not None else "prediction")
    columns = ["video", "onset", "offset", "fps", "score"]
    tables = [lane.assign(video="v", score=lane["score"].fillna(1.0))[columns] for lane in (guess, truth)]
    aligned = align(*tables)
    matching = match(overlap_pairs(aligned.predictions, aligned.truths, tiou), tiou)
    hits = int((matching.found_by >= 0).sum())
    wrong = count(int(matching.false_positives().sum()), "false alarm")
    return f"{where}{hits} of {count(len(truth), 'event')} found (tIoU {tiou:g}), {wrong}"


def _with_durations(truth: pd.DataFrame) -> pd.DataFrame:
    """Duration in seconds and type of each event; rows without frames are left out.

    Raises InputError if an event has frames but no rate.
    """
    numbers = truth.reindex(columns=["onset", "offset", "fps"]).astype("Float64")
    if (numbers["fps"].isna() & numbers[["onset", "offset"]].notna().all(axis=1)).any():
        raise InputError(NO_FPS)
    table = pd.DataFrame({"duration_s": (numbers["offset"] - numbers["onset"] + 1) / numbers["fps"]})
    derived = expression_type_of(numbers["onset"], numbers["offset"], numbers["fps"])
    kind = truth.get("expression_type", derived)
    table["kind"] = kind.astype("string").fillna(derived)
    table["contradicts"] = table["kind"] != derived
    table["apex_s"] = np.nan
    if "apex" in truth:
        table["apex_s"] = (truth["apex"].astype("Float64") - numbers["onset"]) / numbers["fps"]
    table["subject"] = truth.get("subject", "")
    return table[table["duration_s"].notna()].astype({"duration_s": float, "apex_s": float})


def plot_durations(truth: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Durations of the events, by type, with the border at 0.5 s.

    Args:
        truth: canonical table.
    """
    ax = axes(ax)
    table = _with_durations(truth)
    if table.empty:
        return empty_axes(ax, "No events")
    longest = max(table["duration_s"].max() * 1.001, 2 * MICRO_MAX_S)
    step = 0.1 if longest <= 6 else longest / 60
    edges = np.arange(0, longest + step, step) + 1e-9  # a border belongs to the bin below
    stack = {
        "hue": "kind",
        "hue_order": list(TYPE_COLOURS)[::-1],
        "palette": TYPE_COLOURS,
        "multiple": "stack",
    }
    bars = {"alpha": 1, "edgecolor": EDGE, "linewidth": 0.4, "legend": False}
    sns.histplot(table, x="duration_s", bins=edges, ax=ax, **stack, **bars)
    for container, kind in zip(ax.containers, TYPE_COLOURS, strict=False):
        for bar in container:
            bar.set_hatch(TYPE_HATCHES[kind])
    ax.axvline(MICRO_MAX_S, color=INK, linestyle="--", linewidth=1)
    ax.annotate(
        f"{MICRO_MAX_S:g} s",
        (MICRO_MAX_S, 1),
        (3, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize=9,
    )
    ax.legend(handles=type_patches(), frameon=False)
    micro = table["kind"] == "micro"
    odd = int(table["contradicts"].sum())
    title = f"{micro.sum()} of {count(len(table), 'event')} are micro; "
    title += f"median {table['duration_s'].median():.2f} s"
    if odd:
        title += f"; {odd} {'contradicts' if odd == 1 else 'contradict'} the border"
    return finish(ax, title, "duration (s)", "events")


def plot_events_per_subject(
    truth: pd.DataFrame, subjects: Iterable[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Events of each subject, by type, most first.

    Args:
        truth: canonical table.
        subjects: all subjects, those without events too; None: those of the table.
    """
    table = _with_durations(truth)
    everyone = list(dict.fromkeys([*table["subject"], *(() if subjects is None else subjects)]))
    ax = axes(ax, (max(5.0, 0.28 * len(everyone) + 1.5), 4.0))
    if not everyone:
        return empty_axes(ax, "No subjects")
    counts = pd.crosstab(table["subject"], table["kind"]) if len(table) else pd.DataFrame()
    counts = counts.reindex(index=everyone, columns=list(TYPE_COLOURS), fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    events = stacked_bars(ax, counts, TYPE_COLOURS, TYPE_HATCHES)
    ax.set_xticks(range(len(counts)), list(counts.index), rotation=90 if len(counts) > 8 else 0)
    ax.legend(handles=type_patches(), frameon=False)
    total = events.sum()
    half = int(np.searchsorted(np.cumsum(events), total / 2)) + 1
    title = f"{events.min():.0f} to {events.max():.0f} events per subject"
    if total:
        title += f"; half of all {total:.0f} come from {half} of {len(counts)}"
    return finish(ax, title, "subject", "events")


def plot_onset_apex_offset(truth: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Time from onset to apex against time from apex to offset.

    Args:
        truth: canonical table; events without an apex are counted in the title.
    """
    ax = axes(ax, (5.4, 4.6))
    table = _with_durations(truth)
    known = table[table["apex_s"].notna()]
    if known.empty:
        return empty_axes(ax, "No event has an apex")
    rise, fall = known["apex_s"], known["duration_s"] - known["apex_s"]
    for (kind, colour), marker in zip(TYPE_COLOURS.items(), MARKERS, strict=False):
        at = known["kind"] == kind
        ax.scatter(rise[at], fall[at], s=24, color=colour, marker=marker, edgecolor=INK, alpha=0.8)
    longest = max(rise.max(), fall.max()) * 1.05
    ax.plot([0, longest], [0, longest], color=INK, linestyle=":", linewidth=1)
    ax.set(xlim=(0, longest), ylim=(0, longest))
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="", markeredgecolor=INK, label=k)
        for (k, c), m in zip(TYPE_COLOURS.items(), MARKERS, strict=False)
    ]
    handles.append(Line2D([], [], color=INK, linestyle=":", label="apex in the middle"))
    ax.legend(handles=handles, frameon=False)
    share = float((rise / known["duration_s"]).median())
    title = f"The apex comes after {100 * share:.0f} % of an event (median of {len(known)})"
    if len(known) < len(table):
        title += f";\n{count(len(table) - len(known), 'event')} without an apex"
    return finish(ax, title, "onset to apex (s)", "apex to offset (s)")

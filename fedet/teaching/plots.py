"""Pictures of notebook 05; each returns Axes, or the bytes of an animation."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fedet.analysis.attention import WindowTrace, event_mask, received_weights
from fedet.plots.style import EDGE, INK, LINE_STYLES, axes, emotion_colours, finish

LOSS_COLOURS = {"iou": "#D55E00", "diou": "#0072B2", "l1": "#777777"}
LOSS_NAMES = {"iou": "IoU", "diou": "DIoU", "l1": "L1"}
TRUTH = "#009E73"


def plot_slide(table: pd.DataFrame, target: tuple[float, float]) -> np.ndarray:
    """tIoU, the losses, and their pull, against the position of the interval; returns three Axes.

    Args:
        table: a row a position: `centre`, `tiou` and, for each of `LOSS_NAMES`, its value `<name>` and
            `<name>_pull`, minus its derivative by the centre.
        target: start and end in frames.
    """
    _, rows = plt.subplots(3, 1, figsize=(8, 6.4), sharex=True, layout="constrained")
    rows[0].plot(table["centre"], table["tiou"], color=INK)
    for (name, colour), style in zip(LOSS_COLOURS.items(), LINE_STYLES, strict=False):
        line = {"color": colour, "linestyle": style, "label": LOSS_NAMES[name]}
        rows[1].plot(table["centre"], table[name], **line)
        rows[2].plot(table["centre"], table[f"{name}_pull"], **line)
    for ax in rows:
        ax.axvspan(*target, color=TRUTH, alpha=0.15, linewidth=0)
    rows[1].legend(frameon=False, ncols=3)
    apart = table["tiou"] == 0
    flat = float((table.loc[apart, "iou_pull"].abs() < 1e-9).mean()) if apart.any() else np.nan
    finish(rows[0], "tIoU is zero as soon as the intervals do not touch", "", "tIoU")
    finish(rows[1], "All losses are lowest on the target (green)", "", "loss")
    title = f"Apart, the IoU loss pulls nowhere at {100 * flat:.0f} % of the positions; DIoU always pulls"
    finish(rows[2], title, "centre of the interval (frames)", "pull")
    return rows


def plot_fits(fits: dict[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """tIoU against the step, of each loss.

    Args:
        fits: by loss, a table with a row a step: start, end, tiou, loss.
    """
    ax = axes(ax, (7.0, 3.4))
    for (name, table), style in zip(fits.items(), LINE_STYLES, strict=False):
        ax.plot(table.index, table["tiou"], style, color=LOSS_COLOURS[name], label=LOSS_NAMES[name])
    ends = {name: table["tiou"].iloc[-1] for name, table in fits.items()}
    text = ", ".join(f"{LOSS_NAMES[name]} {value:.2f}" for name, value in ends.items())
    ax.legend(frameon=False)
    ax.set_ylim(-0.03, 1.05)
    return finish(ax, f"tIoU after {len(next(iter(fits.values()))) - 1} steps: {text}", "step", "tIoU")


def draw_step(ax: Axes, fits: dict[str, pd.DataFrame], target: tuple[float, float], step: int) -> Axes:
    """The target and the interval of each loss at one step."""
    ax.clear()
    names = ["target", *fits]
    ax.barh(0, target[1] - target[0], 0.6, target[0], color=TRUTH, edgecolor=EDGE)
    for row, (name, table) in enumerate(fits.items(), 1):
        now = table.iloc[min(step, len(table) - 1)]
        width = now["end"] - now["start"]
        ax.barh(row, width, 0.6, now["start"], color=LOSS_COLOURS[name], edgecolor=EDGE, hatch="////")
        ax.text(1.01, row, f"{now['tiou']:.2f}", transform=ax.get_yaxis_transform(), va="center")
    everything = pd.concat([table[["start", "end"]] for table in fits.values()]).to_numpy()
    low, high = min(everything.min(), target[0]), max(everything.max(), target[1])
    ax.set_xlim(low - 5, high + 5)
    ax.set_yticks(range(len(names)), ["target", *(LOSS_NAMES[n] for n in fits)])
    ax.invert_yaxis()
    return finish(ax, f"Step {step}: the interval under each loss; its tIoU on the right", "frames")


def animate_fits(
    fits: dict[str, pd.DataFrame], target: tuple[float, float], every: int = 4, ms: int = 90
) -> bytes:
    """A GIF of the fits, which moves in any viewer: every `every`-th step, `ms` milliseconds each."""
    from PIL import Image

    last = max(len(table) for table in fits.values()) - 1
    figure, ax = plt.subplots(figsize=(7.0, 2.4), dpi=90, layout="constrained")
    frames = []
    for step in [*range(0, last, every), last]:
        draw_step(ax, fits, target, step)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        frames.append(Image.open(buffer).convert("RGB").quantize(64))
    plt.close(figure)
    buffer = io.BytesIO()
    times = [ms] * (len(frames) - 1) + [2500]  # the end is held
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return buffer.getvalue()


def plot_rounds(intervals: np.ndarray, rounds: np.ndarray, order: list[int]) -> np.ndarray:
    """Candidates and their scores after each round of soft-NMS; returns Axes.

    Args:
        intervals: (N, 2) in frames. rounds: (N + 1, N) scores, first before any round.
        order: candidates in the order in which they were taken. The last round changes nothing and is
            left out.
    """
    names = [chr(ord("A") + i) for i in range(len(intervals))]
    _, panels = plt.subplots(
        len(intervals), 1, figsize=(8, 1.25 * len(intervals)), sharex=True, sharey=True, layout="constrained"
    )
    for number, (ax, scores) in enumerate(zip(np.atleast_1d(panels), rounds, strict=False)):
        for i, ((start, end), score) in enumerate(zip(intervals, scores, strict=True)):
            colour = "#0072B2" if i in order[:number] else "#BBBBBB"
            style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.6, "alpha": 0.75}
            ax.bar(start, score, end - start, align="edge", **style)
            at, side = (start, "left") if i % 2 == 0 else (end, "right")
            ax.text(at, score + 0.03, f"{names[i]} {score:.2f}", fontsize=8, ha=side)
        title = "before" if number == 0 else f"{names[order[number - 1]]} is taken, the others decay"
        finish(ax, title, "", "score")
        ax.set_ylim(0, 1.15)
    np.atleast_1d(panels)[-1].set_xlabel("frames")
    return np.atleast_1d(panels)


def plot_attention(window: WindowTrace, events: pd.DataFrame | None, label: str = "") -> np.ndarray:
    """What segment and window attention weigh along the window, events shaded; returns Axes."""
    seconds = window.start_s + (np.arange(len(window.mask)) + 0.5) / window.fps
    lines = {"segment attention": received_weights(window)} if window.segments is not None else {}
    lines |= {"window attention": window.window} if window.window is not None else {}
    _, rows = plt.subplots(
        max(len(lines), 1), 1, figsize=(9, 2.3 * max(len(lines), 1)), sharex=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    colours = _colours_of(window, events)
    for ax, (name, weights) in zip(rows[:, 0], lines.items(), strict=False):
        ax.plot(seconds, np.where(window.mask, weights, np.nan), color=INK, linewidth=1.2)
        ax.axhline(1, color=INK, linestyle=":", linewidth=0.8)
        _shade(ax, window, events, colours)
        top, low = (float(f(weights[window.mask])) for f in (np.max, np.min))
        finish(ax, f"{name.capitalize()}: from {low:.2f} to {top:.2f} times the even weight", "", "weight")
    handles = [Patch(facecolor=c, alpha=0.35, label=e) for e, c in colours.items()]
    if handles:
        rows[0, 0].legend(handles=handles, frameon=False, ncols=4, fontsize=8)
    rows[-1, 0].set_xlabel("seconds")
    rows[0, 0].figure.suptitle(label, x=0.99, ha="right", fontsize="small")
    return rows[:, 0]


def _colours_of(window: WindowTrace, events: pd.DataFrame | None) -> dict[str, str]:
    """Colours of the events in the window."""
    if events is None:
        return {}
    begin, end = window.start_s, window.start_s + len(window.mask) / window.fps
    within = (events["onset"] / events["fps"] < end) & ((events["offset"] + 1) / events["fps"] > begin)
    return emotion_colours(events.loc[within, "emotion"].fillna("unknown").astype(str))


def _shade(ax: Axes, window: WindowTrace, events: pd.DataFrame | None, colours: dict) -> None:
    """The annotated events in the window, in their colours."""
    begin, end = window.start_s, window.start_s + len(window.mask) / window.fps
    for row in () if events is None else events.itertuples():
        left, right = max(row.onset / row.fps, begin), min((row.offset + 1) / row.fps, end)
        if left < right:
            name = "unknown" if pd.isna(row.emotion) else str(row.emotion)
            ax.axvspan(left, right, color=colours[name], alpha=0.3, linewidth=0)
    ax.set_xlim(begin, end)


def plot_segments(
    window: WindowTrace, events: pd.DataFrame | None, n: int = 6, label: str = ""
) -> np.ndarray:
    """The attention matrices of the segments with the most uneven weights; returns Axes."""
    if window.segments is None:
        return np.array([axes(None)])
    uneven = window.segments.std(axis=(1, 2))
    chosen = np.sort(np.argsort(-uneven, kind="stable")[:n])
    going_on = event_mask(window, events)
    figure, panels = plt.subplots(1, len(chosen), figsize=(1.75 * len(chosen), 2.3), layout="constrained")
    top = window.segments[chosen].max()
    for ax, i in zip(np.atleast_1d(panels), chosen, strict=True):
        image = ax.imshow(window.segments[i], cmap="cividis", vmin=0, vmax=top)
        at = window.start_s + i * window.segment / window.fps
        what = "event" if going_on[i * window.segment : (i + 1) * window.segment].any() else "no event"
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{at:.1f} s, {what}", fontsize=8)
    figure.colorbar(image, ax=panels, shrink=0.8)
    title = "Rows ask, columns are weighed: the most uneven segments"
    figure.suptitle(f"{title} ({label})" if label else title, x=0.01, ha="left", fontsize=10)
    return np.atleast_1d(panels)


def plot_objectness(
    window: WindowTrace, events: pd.DataFrame | None, threshold: float, label: str = ""
) -> np.ndarray:
    """Confidence in each emotion at the positions of the finest levels, and the highest; returns Axes."""
    colours = emotion_colours(window.emotions)
    strides = np.unique(window.strides)[:3]
    _, rows = plt.subplots(
        len(strides), 1, figsize=(9, 1.9 * len(strides)), sharex=True, sharey=True, layout="constrained"
    )
    shades = _colours_of(window, events)
    for ax, stride in zip(np.atleast_1d(rows), strides, strict=True):
        at = window.strides == stride
        seconds = window.start_s + window.centres[at] / window.fps
        for k, emotion in enumerate(window.emotions):
            style = {"color": colours[emotion], "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}
            ax.plot(seconds, window.scores[at, k], linewidth=1, label=emotion, **style)
        ax.plot(seconds, window.objectness[at], "k.", markersize=3, label="highest = objectness")
        ax.axhline(threshold, color=INK, linestyle="--", linewidth=0.8)
        _shade(ax, window, events, shades)
        above = int((window.objectness[at] >= threshold).sum())
        finish(
            ax, f"Stride {stride:.0f}: {above} of {at.sum()} positions above the threshold", "", "confidence"
        )
    np.atleast_1d(rows)[0].legend(frameon=False, ncols=5, fontsize=8)
    np.atleast_1d(rows)[-1].set_xlabel("seconds")
    np.atleast_1d(rows)[0].figure.suptitle(label, x=0.99, ha="right", fontsize="small")
    return np.atleast_1d(rows)


def plot_stages(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What a pipeline gets right in the end, against how good its spotter is.

    Args:
        points: a row a spotter, shares of all events: `spotted`; `alone`, what the recogniser scores on
            exact intervals; `both`, spotted and named; `product`, spotted x alone.
    """
    ax = axes(ax, (7.0, 3.8))
    ax.plot(
        points["spotted"], points["alone"], "--", color="#777777", label="recogniser alone, exact intervals"
    )
    ax.plot(points["spotted"], points["product"], ":", color=INK, label="spotted x alone")
    ax.plot(points["spotted"], points["both"], "o-", color="#0072B2", label="spotted and named (simulated)")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    row = points.iloc[(points["spotted"] - 0.6).abs().argmin()]
    title = f"With {100 * row['spotted']:.0f} % spotted, {100 * row['both']:.0f} % come out right"
    title += f", not {100 * row['alone']:.0f} %"
    return finish(ax, title, "share of events that are spotted", "share that comes out right")


def plot_leak(subjects: pd.DataFrame, overall: dict[str, float], ax: Axes | None = None) -> Axes:
    """F1 of each subject without and with a leak of the first one, and the F1 over all.

    Args:
        subjects: F1, index: subject; columns `honest`, `leaked`. overall: F1 over all, by column.
    """
    ax = axes(ax, (8.0, 3.6))
    position = np.arange(len(subjects))
    for shift, name, colour, hatch in ((-0.2, "honest", "#0072B2", ""), (0.2, "leaked", "#E69F00", "////")):
        style = {"color": colour, "hatch": hatch, "edgecolor": EDGE, "label": name}
        ax.bar(position + shift, subjects[name], 0.4, **style)
        ax.axhline(overall[name], color=colour, linestyle="--", linewidth=1.2)
    ax.set_xticks(position, list(subjects.index))
    ax.set_ylim(0, 1.12)
    ax.legend(frameon=False, ncols=2, loc="upper right")
    first = subjects.iloc[0]
    title = f"{first.name} leaked: its F1 {first['honest']:.2f} -> {first['leaked']:.2f}, "
    title += f"overall {overall['honest']:.2f} -> {overall['leaked']:.2f} (dashed)"
    return finish(ax, title, "subject", "F1 (simulated)")

"""Pictures of the walkthrough; each returns Axes, or the bytes of an animation."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fedet.analysis.attention import WindowTrace, event_mask, received_weights
from fedet.plots.style import EDGE, INK, LINE_STYLES, axes, emotion_colours, finish
from fedet.teaching.ideas import Leak

LOSS_COLOURS = {"iou": "#D55E00", "diou": "#0072B2", "l1": "#777777"}
LOSS_NAMES = {"iou": "IoU", "diou": "DIoU", "l1": "L1"}
TRUTH = "#009E73"


def plot_slide(table: pd.DataFrame, target: tuple[float, float]) -> np.ndarray:
    """tIoU, the losses, and their pull, against the place of the interval; returns three Axes.

    Args:
        table: of `fedet.teaching.ideas.slide`.
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
    title = f"Apart, the IoU loss pulls nowhere at {100 * flat:.0f} % of the places; DIoU always pulls"
    finish(rows[2], title, "centre of the interval (frames)", "pull")
    return rows


def plot_fits(fits: dict[str, pd.DataFrame], target: tuple[float, float], ax: Axes | None = None) -> Axes:
    """tIoU against the step, of each loss.

    Args:
        fits: tables of `fedet.teaching.ideas.fit` by loss.
    """
    ax = axes(ax, (7.0, 3.4))
    for (name, table), style in zip(fits.items(), LINE_STYLES, strict=False):
        ax.plot(table.index, table["tiou"], style, color=LOSS_COLOURS[name], label=LOSS_NAMES[name])
    ends = {name: table["tiou"].iloc[-1] for name, table in fits.items()}
    told = ", ".join(f"{LOSS_NAMES[name]} {value:.2f}" for name, value in ends.items())
    ax.legend(frameon=False)
    ax.set_ylim(-0.03, 1.05)
    return finish(ax, f"tIoU after {len(next(iter(fits.values()))) - 1} steps: {told}", "step", "tIoU")


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


def plot_rounds(table: pd.DataFrame, names: list[str] | None = None) -> np.ndarray:
    """Candidates and their scores, round by round of `fedet.teaching.ideas.soft_nms_rounds`; returns Axes."""
    rounds = ["score", *[c for c in table if c.startswith("round")][:-1]]
    names = names or [chr(ord("A") + i) for i in range(len(table))]
    _, panels = plt.subplots(
        len(rounds), 1, figsize=(8, 1.25 * len(rounds)), sharex=True, sharey=True, layout="constrained"
    )
    kept = table.attrs["kept"]
    for number, (ax, column) in enumerate(zip(np.atleast_1d(panels), rounds, strict=True)):
        for i, row in table.iterrows():
            colour = "#0072B2" if i in kept[:number] else "#BBBBBB"
            style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.6, "alpha": 0.75}
            ax.bar(row["start"], row[column], row["end"] - row["start"], align="edge", **style)
            at, side = (row["start"], "left") if i % 2 == 0 else (row["end"], "right")
            ax.text(at, row[column] + 0.03, f"{names[i]} {row[column]:.2f}", fontsize=8, ha=side)
        said = "before" if number == 0 else f"{names[kept[number - 1]]} is kept, the others decay"
        finish(ax, said, "", "score")
        ax.set_ylim(0, 1.15)
    np.atleast_1d(panels)[-1].set_xlabel("frames")
    return np.atleast_1d(panels)


def plot_attention(found: WindowTrace, events: pd.DataFrame | None, label: str = "") -> np.ndarray:
    """What segment and window attention weigh along the window, events shaded; returns Axes."""
    seconds = found.start_s + (np.arange(len(found.mask)) + 0.5) / found.fps
    lines = {"segment attention": received_weights(found)} if found.segments is not None else {}
    lines |= {"window attention": found.window} if found.window is not None else {}
    _, rows = plt.subplots(
        max(len(lines), 1), 1, figsize=(9, 2.3 * max(len(lines), 1)), sharex=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    colours = _colours_of(found, events)
    for ax, (name, weights) in zip(rows[:, 0], lines.items(), strict=False):
        ax.plot(seconds, np.where(found.mask, weights, np.nan), color=INK, linewidth=1.2)
        ax.axhline(1, color=INK, linestyle=":", linewidth=0.8)
        _shade(ax, found, events, colours)
        top, low = (float(f(weights[found.mask])) for f in (np.max, np.min))
        finish(ax, f"{name.capitalize()}: from {low:.2f} to {top:.2f} times the even weight", "", "weight")
    handles = [Patch(facecolor=c, alpha=0.35, label=e) for e, c in colours.items()]
    if handles:
        rows[0, 0].legend(handles=handles, frameon=False, ncols=4, fontsize=8)
    rows[-1, 0].set_xlabel("seconds")
    rows[0, 0].figure.suptitle(label, x=0.99, ha="right", fontsize="small")
    return rows[:, 0]


def _colours_of(found: WindowTrace, events: pd.DataFrame | None) -> dict[str, str]:
    """Colours of the events that lie in the window."""
    if events is None:
        return {}
    begin, end = found.start_s, found.start_s + len(found.mask) / found.fps
    seen = (events["onset"] / events["fps"] < end) & ((events["offset"] + 1) / events["fps"] > begin)
    return emotion_colours(events.loc[seen, "emotion"].fillna("unknown").astype(str))


def _shade(ax: Axes, found: WindowTrace, events: pd.DataFrame | None, colours: dict) -> None:
    """The annotated events that lie in the window, in their colours."""
    begin, end = found.start_s, found.start_s + len(found.mask) / found.fps
    for row in () if events is None else events.itertuples():
        left, right = max(row.onset / row.fps, begin), min((row.offset + 1) / row.fps, end)
        if left < right:
            name = "unknown" if pd.isna(row.emotion) else str(row.emotion)
            ax.axvspan(left, right, color=colours[name], alpha=0.3, linewidth=0)
    ax.set_xlim(begin, end)


def plot_segments(found: WindowTrace, events: pd.DataFrame | None, n: int = 6, label: str = "") -> np.ndarray:
    """The attention matrices of the segments with the most uneven weights; returns Axes."""
    if found.segments is None:
        return np.array([axes(None)])
    uneven = found.segments.std(axis=(1, 2))
    chosen = np.sort(np.argsort(-uneven, kind="stable")[:n])
    going_on = event_mask(found, events)
    figure, panels = plt.subplots(1, len(chosen), figsize=(1.75 * len(chosen), 2.3), layout="constrained")
    top = found.segments[chosen].max()
    for ax, i in zip(np.atleast_1d(panels), chosen, strict=True):
        image = ax.imshow(found.segments[i], cmap="cividis", vmin=0, vmax=top)
        at = found.start_s + i * found.segment / found.fps
        what = "event" if going_on[i * found.segment : (i + 1) * found.segment].any() else "no event"
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{at:.1f} s, {what}", fontsize=8)
    figure.colorbar(image, ax=panels, shrink=0.8)
    said = "Rows ask, columns are weighed: the most uneven segments"
    figure.suptitle(f"{said} ({label})" if label else said, x=0.01, ha="left", fontsize=10)
    return np.atleast_1d(panels)


def plot_objectness(
    found: WindowTrace, events: pd.DataFrame | None, threshold: float, label: str = ""
) -> np.ndarray:
    """Confidence in each emotion at the positions of the finest levels, and the highest; returns Axes."""
    colours = emotion_colours(found.emotions)
    strides = np.unique(found.strides)[:3]
    _, rows = plt.subplots(
        len(strides), 1, figsize=(9, 1.9 * len(strides)), sharex=True, sharey=True, layout="constrained"
    )
    shades = _colours_of(found, events)
    for ax, stride in zip(np.atleast_1d(rows), strides, strict=True):
        at = found.strides == stride
        seconds = found.start_s + found.centres[at] / found.fps
        for k, emotion in enumerate(found.emotions):
            style = {"color": colours[emotion], "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}
            ax.plot(seconds, found.scores[at, k], linewidth=1, label=emotion, **style)
        ax.plot(seconds, found.objectness[at], "k.", markersize=3, label="highest = objectness")
        ax.axhline(threshold, color=INK, linestyle="--", linewidth=0.8)
        _shade(ax, found, events, shades)
        above = int((found.objectness[at] >= threshold).sum())
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
        points: spotted, alone, both, product: rows of `fedet.teaching.ideas.two_stages`.
    """
    ax = axes(ax, (7.0, 3.8))
    ax.plot(
        points["spotted"], points["alone"], "--", color="#777777", label="recogniser alone, exact intervals"
    )
    ax.plot(points["spotted"], points["product"], ":", color=INK, label="spotted x alone")
    ax.plot(points["spotted"], points["both"], "o-", color="#0072B2", label="spotted and named (simulated)")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    told = points.iloc[(points["spotted"] - 0.6).abs().argmin()]
    title = f"With {100 * told['spotted']:.0f} % spotted, {100 * told['both']:.0f} % come out right"
    title += f", not {100 * told['alone']:.0f} %"
    return finish(ax, title, "share of events that are spotted", "share that comes out right")


def plot_leak(found: Leak, ax: Axes | None = None) -> Axes:
    """F1 of each subject without and with the leak, and the F1 over all."""
    ax = axes(ax, (8.0, 3.6))
    place = np.arange(len(found.subjects))
    for shift, name, colour, hatch in ((-0.2, "honest", "#0072B2", ""), (0.2, "leaked", "#E69F00", "////")):
        style = {"color": colour, "hatch": hatch, "edgecolor": EDGE, "label": name}
        ax.bar(place + shift, found.subjects[name], 0.4, **style)
        ax.axhline(getattr(found, name), color=colour, linestyle="--", linewidth=1.2)
    ax.set_xticks(place, list(found.subjects.index))
    ax.set_ylim(0, 1.12)
    ax.legend(frameon=False, ncols=2, loc="upper right")
    own = found.subjects.loc[found.subject]
    title = f"{found.subject} leaked: its F1 {own['honest']:.2f} -> {own['leaked']:.2f}, "
    title += f"overall {found.honest:.2f} -> {found.leaked:.2f} (dashed)"
    return finish(ax, title, "subject", "F1 (simulated)")

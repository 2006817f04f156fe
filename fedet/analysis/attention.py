"""A look inside the detector at one window of a video: what its attentions weigh, what its positions say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fedet.detection import Detector, concat_signals
from fedet.errors import InputError
from fedet.faces.vectors import FPS
from fedet.features import change_from_rest, face_channels
from fedet.model import FEDN, Attention
from fedet.video.side_signals import side_signals
from fedet.windows import cut_window, points, window_starts


@dataclass(frozen=True, eq=False)
class Inside:
    """What happens between a window's vectors and its answers. T frames, P positions, K emotions."""

    start_s: float  # where the window begins in the video
    fps: float
    mask: np.ndarray  # (T,) True where there is a face
    segment: int  # frames a segment
    segments: np.ndarray | None  # (T / segment, segment, segment): row asks, column is weighed
    window: np.ndarray | None  # (T,) weights with mean 1 over the valid frames
    logits: np.ndarray  # (P, K)
    scores: np.ndarray  # (P, K)
    intervals: np.ndarray  # (P, 2) [start, end) in frames of the window
    strides: np.ndarray  # (P,) frames a position
    centres: np.ndarray  # (P,) frames of the window
    emotions: tuple[str, ...]

    @property
    def objectness(self) -> np.ndarray:
        """(P,) the highest class confidence of each position."""
        return self.scores.max(1)


def look_inside(
    video: str | Path, detector: Detector, at_s: float = 0.0, cache: str | Path | None = None
) -> Inside:
    """Runs the detector on the window of a video that holds the second `at_s` nearest to its middle.

    Raises InputError if the video cannot be read or ends before `at_s`.
    """
    faces = detector.read(video, cache=cache)
    inputs, config = detector.inputs, detector.model.config
    if not 0 <= at_s < len(faces.state) / FPS:
        raise InputError(f"{video}: {at_s:g} s lies outside its {len(faces.state) / FPS:.1f} s")
    change = change_from_rest(faces, inputs.reference, inputs.context_s)
    side = side_signals(video, inputs.signals, len(faces.state), FPS, None).values
    seen = concat_signals(face_channels(change, detector.net, inputs.reads), inputs, side)
    starts = window_starts(len(seen), config)
    start = int(starts[np.abs(starts + config.window / 2 - at_s * FPS).argmin()])
    return inside(detector.model, *cut_window(seen, faces.mask, start, config.window), start / FPS)


def busiest(events: pd.DataFrame | None, reach_s: float = 4.0) -> float:
    """The second around which the most annotated time lies; 0 without annotations.

    Args:
        events: canonical table of one video. reach_s: seconds to both sides that count.
    """
    if events is None or not len(events):
        return 0.0
    start, end = events["onset"] / events["fps"], (events["offset"] + 1) / events["fps"]
    middles = ((start + end) / 2).astype(float)
    covered = [
        (end.clip(upper=m + reach_s) - start.clip(lower=m - reach_s)).clip(lower=0).sum() for m in middles
    ]
    return float(middles.iloc[int(np.argmax(covered))])


@torch.inference_mode()
def inside(model: FEDN, vectors: np.ndarray, mask: np.ndarray, start_s: float = 0.0) -> Inside:
    """The same for a window's vectors (T, C) and mask (T,), T being the detector's window."""
    caught: dict[str, torch.Tensor] = {}
    hooks = []
    if model.segments is not None:
        attention = model.segments.attention
        hooks.append(attention.register_forward_pre_hook(_catcher(caught, "segments")))
    if model.window is not None:
        hooks.append(model.window.conv.register_forward_hook(_catch_output(caught, "window")))
    try:
        output = model(torch.from_numpy(vectors)[None].float(), torch.from_numpy(mask)[None])
    finally:
        for hook in hooks:
            hook.remove()
    config, at = model.config, points(model.config)
    frames, valid = caught.get("segments", (None, None))
    logits = caught.get("window")
    sign = np.array([-1.0, 1.0])
    return Inside(
        start_s=start_s,
        fps=config.fps,
        mask=mask,
        segment=config.segment,
        segments=None if frames is None else attention_weights(attention, frames, valid).numpy(),
        window=None if logits is None else _window_weights(logits[0, 0], torch.from_numpy(mask)).numpy(),
        logits=output.class_logits[0].numpy(),
        scores=output.scores()[0].numpy(),
        intervals=at.centre[:, None] + sign * output.distances[0].numpy(),
        strides=at.stride,
        centres=at.centre,
        emotions=config.emotions,
    )


def _catcher(caught: dict, name: str):
    def hook(_, arguments) -> None:
        caught[name] = arguments

    return hook


def _catch_output(caught: dict, name: str):
    def hook(_, __, output) -> None:
        caught[name] = output

    return hook


def attention_weights(attention: Attention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What each element weighs the others by, mean over the heads; 0 to and from masked ones.

    Args:
        attention: of the model. x: (N, T, C). mask: (N, T).
    Returns:
        (N, T, T): rows ask and sum to 1, columns are weighed. That of `Attention.forward`, which
        computes the same inside `scaled_dot_product_attention` and does not keep it.
    """
    n, t, c = x.shape
    qkv = attention.qkv(attention.norm(x)).view(n, t, 3, attention.heads, c // attention.heads)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, C / heads)
    logits = q @ k.transpose(-1, -2) / (c // attention.heads) ** 0.5  # (N, heads, T, T)
    logits = logits.masked_fill(~mask[:, None, None, :], torch.finfo(logits.dtype).min)
    weights = logits.softmax(-1).mean(1)
    return weights * mask[:, :, None] * mask[:, None, :]


def _window_weights(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The weights (T,) of the window attention, as `WindowAttention.forward` has them; mean 1."""
    weights = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min).softmax(-1)
    return weights * mask.sum() * mask


def during(found: Inside, events: pd.DataFrame | None) -> np.ndarray:
    """(T,) True where an annotated event (canonical table, at any rate) is going on in the window."""
    times = found.start_s + (np.arange(len(found.mask)) + 0.5) / found.fps
    inside_any = np.zeros(len(times), bool)
    for row in () if events is None else events.itertuples():
        inside_any |= (times >= row.onset / row.fps) & (times < (row.offset + 1) / row.fps)
    return inside_any


def weight_ratio(weights: np.ndarray, mask: np.ndarray, events: np.ndarray) -> float | None:
    """Mean weight of frames in events over that of the other valid frames; None without both."""
    inner, outer = weights[mask & events], weights[mask & ~events]
    return float(inner.mean() / outer.mean()) if len(inner) and len(outer) and outer.mean() > 0 else None


def received(found: Inside) -> np.ndarray:
    """(T,) how much weight a frame gets from its segment, 1 if all its frames get the same."""
    if found.segments is None:
        raise InputError("this detector has no segment attention")
    total = found.segments.sum(1)  # (S, segment): over those who ask
    asking = np.maximum((found.segments.sum(2) > 0).sum(1, keepdims=True), 1)
    valid = np.maximum(found.mask.reshape(-1, found.segment)[: len(total)].sum(1, keepdims=True), 1)
    return (total / asking * valid).reshape(-1)[: len(found.mask)]


def best_positions(found: Inside, n: int = 5) -> pd.DataFrame:
    """The positions with the highest objectness: where, what each class says, what comes out."""
    order = np.argsort(-found.objectness, kind="stable")[:n]
    table = pd.DataFrame(found.scores[order], columns=list(found.emotions))
    table.insert(0, "stride", found.strides[order].astype(int))
    table.insert(0, "end_s", found.start_s + found.intervals[order, 1] / found.fps)
    table.insert(0, "start_s", found.start_s + found.intervals[order, 0] / found.fps)
    table["objectness"] = found.objectness[order]
    table["emotion"] = [found.emotions[i] for i in found.scores[order].argmax(1)]
    return table

"""Attention weights and per-position outputs of one window of a video; for notebooks 05 and 10."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class WindowTrace:
    """Attention weights and outputs of one window. T frames, P positions, K emotions."""

    start_s: float  # start of the window in the video
    fps: float
    mask: np.ndarray  # (T,) True where there is a face
    segment: int  # frames a segment
    segments: np.ndarray | None  # (T / segment, segment, segment): row attends to column
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


def trace_video(
    video: str | Path, detector: Detector, at_s: float = 0.0, cache: str | Path | None = None
) -> WindowTrace:
    """Runs the detector on the window of a video whose middle is nearest to the second `at_s`.

    Raises InputError if the video cannot be read or ends before `at_s`.
    """
    faces = detector.read(video, cache=cache)
    inputs, config = detector.inputs, detector.model.config
    if not 0 <= at_s < len(faces.state) / FPS:
        raise InputError(f"{video}: {at_s:g} s is outside its {len(faces.state) / FPS:.1f} s")
    change = change_from_rest(faces, inputs.reference, inputs.context_s)
    side = side_signals(video, inputs.signals, len(faces.state), FPS, None).values
    vectors = concat_signals(face_channels(change, detector.net, inputs.reads), inputs, side)
    starts = window_starts(len(vectors), config)
    start = int(starts[np.abs(starts + config.window / 2 - at_s * FPS).argmin()])
    return trace_window(detector.model, *cut_window(vectors, faces.mask, start, config.window), start / FPS)


def busiest_second(events: pd.DataFrame | None, reach_s: float = 4.0) -> float:
    """The middle of the event around which the most time is annotated, in seconds; 0 without annotations.

    Args:
        events: canonical table of one video.
        reach_s: seconds that count on both sides.
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
def trace_window(model: FEDN, vectors: np.ndarray, mask: np.ndarray, start_s: float = 0.0) -> WindowTrace:
    """The same for a window's vectors (T, C) and mask (T,), T being the detector's window."""
    captured: dict[str, Any] = {}
    hooks = []
    if model.segments is not None:
        attention = model.segments.attention
        hooks.append(attention.register_forward_pre_hook(_capture_inputs(captured, "segments")))
    if model.window is not None:
        hooks.append(model.window.conv.register_forward_hook(_capture_output(captured, "window")))
    try:
        output = model(torch.from_numpy(vectors)[None].float(), torch.from_numpy(mask)[None])
    finally:
        for hook in hooks:
            hook.remove()
    config, at = model.config, points(model.config)
    frames, valid = captured.get("segments", (None, None))
    logits = captured.get("window")
    sign = np.array([-1.0, 1.0])
    return WindowTrace(
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


def _capture_inputs(captured: dict, name: str):
    def hook(_, arguments) -> None:
        captured[name] = arguments

    return hook


def _capture_output(captured: dict, name: str):
    def hook(_, __, output) -> None:
        captured[name] = output

    return hook


def attention_weights(attention: Attention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The attention of each element to the others, mean over the heads; 0 to and from masked ones.

    `Attention.forward` computes the same inside `scaled_dot_product_attention`, which does not return it.

    Args:
        attention: of the model.
        x: (N, T, C).
        mask: (N, T).

    Returns:
        (N, T, T): rows attend to columns and sum to 1.
    """
    n, t, c = x.shape
    qkv = attention.qkv(attention.norm(x)).view(n, t, 3, attention.heads, c // attention.heads)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, C / heads)
    logits = q @ k.transpose(-1, -2) / (c // attention.heads) ** 0.5  # (N, heads, T, T)
    logits = logits.masked_fill(~mask[:, None, None, :], torch.finfo(logits.dtype).min)
    weights = logits.softmax(-1).mean(1)
    return weights * mask[:, :, None] * mask[:, None, :]


def _window_weights(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The weights (T,) of the window attention, as `WindowAttention.forward` computes them; mean 1."""
    weights = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min).softmax(-1)
    return weights * mask.sum() * mask


def event_mask(trace: WindowTrace, events: pd.DataFrame | None) -> np.ndarray:
    """(T,) True in the frames of annotated events (canonical table, any frame rate)."""
    times = trace.start_s + (np.arange(len(trace.mask)) + 0.5) / trace.fps
    in_event = np.zeros(len(times), bool)
    for row in () if events is None else events.itertuples():
        in_event |= (times >= row.onset / row.fps) & (times < (row.offset + 1) / row.fps)
    return in_event


def weight_ratio(weights: np.ndarray, mask: np.ndarray, events: np.ndarray) -> float | None:
    """Mean weight of frames in events over that of the other valid frames; None without both."""
    inner, outer = weights[mask & events], weights[mask & ~events]
    return float(inner.mean() / outer.mean()) if len(inner) and len(outer) and outer.mean() > 0 else None


def received_weights(trace: WindowTrace) -> np.ndarray:
    """(T,) the weight that each frame gets from its segment, 1 if all frames of it get the same."""
    if trace.segments is None:
        raise InputError("this detector has no segment attention")
    total = trace.segments.sum(1)  # (S, segment): over the attending frames
    attending = np.maximum((trace.segments.sum(2) > 0).sum(1, keepdims=True), 1)
    valid = np.maximum(trace.mask.reshape(-1, trace.segment)[: len(total)].sum(1, keepdims=True), 1)
    return (total / attending * valid).reshape(-1)[: len(trace.mask)]


def best_positions(trace: WindowTrace, n: int = 5) -> pd.DataFrame:
    """The positions with the highest objectness: interval, stride, score of each class, emotion."""
    order = np.argsort(-trace.objectness, kind="stable")[:n]
    table = pd.DataFrame(trace.scores[order], columns=list(trace.emotions))
    table.insert(0, "stride", trace.strides[order].astype(int))
    table.insert(0, "end_s", trace.start_s + trace.intervals[order, 1] / trace.fps)
    table.insert(0, "start_s", trace.start_s + trace.intervals[order, 0] / trace.fps)
    table["objectness"] = trace.objectness[order]
    table["emotion"] = [trace.emotions[i] for i in trace.scores[order].argmax(1)]
    return table

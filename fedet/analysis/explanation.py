"""Why a detector answers as it does: where on the face, and by which action units; for notebook 10.

Evidence maps on the face for the change of a read-out (after Grad-CAM: Selvaraju et al. 2017), and
the AUs whose rise explains a detection, tested by removing that rise. For the attention weights within a
window see `fedet.analysis.attention`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.detection import ACTIVE_AU, BLINK, Detector, concat_signals
from fedet.errors import InputError
from fedet.faces.adaptation import spread_faces
from fedet.faces.detectors import FaceDetector
from fedet.faces.extraction import CROP, crops_of, extract_with_retry
from fedet.faces.network import MEAN, STD, FaceNet, adapted_net
from fedet.faces.vectors import FPS, STATES, FaceTrack
from fedet.features import change_from_rest, face_channels
from fedet.intervals import AUS, EMOTIONS, at_rate, interval_tiou
from fedet.postprocess import detect_intervals
from fedet.video.reader import open_video

LAYERS = ("layer1", "layer2", "layer3", "layer4")
MAX_NAMED = 3  # AUs in a sentence
RISE_START = 0.25  # an AU's rise starts where it exceeds this share of its rise at the apex


# ---------------------------------------------------------------- where on the face


def evidence_map(
    net: FaceNet, face: np.ndarray, rest: np.ndarray, target: int | str, layer: str = "layer4"
) -> np.ndarray:
    """Where on the face the change of a read-out between two crops comes from, (H, W) signed.

    Grad-CAM's weights (the mean gradient of the read-out at each channel) on the DIFFERENCE of the
    activations of `face` and `rest`, without Grad-CAM's clipping of negative values. After "layer4"
    everything is linear, so there the map's sum is exactly the change of the read-out; earlier layers
    are finer and approximate.

    Args:
        face, rest: crops (S, S, 3) uint8 of one person, as `fedet.faces.tracking.crop` cuts them.
        target: an AU's number, or an emotion.

    Raises InputError on an unknown target or layer, or weights without read-outs.
    """
    if layer not in LAYERS:
        raise InputError(f"layer is {layer!r}; one of {', '.join(LAYERS)}")
    weight = _read_out(net, target)
    outputs: list[Tensor] = []
    hook = getattr(net.body, layer).register_forward_hook(lambda _m, _i, out: outputs.append(out))
    pictures = torch.from_numpy(np.stack([face, rest])).permute(0, 3, 1, 2).float().div(255)
    pictures = (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    try:
        with torch.enable_grad():
            read_outs = net(pictures.requires_grad_()) @ weight  # (2,)
            activations = outputs[0]  # (2, C, H, W)
            (gradient,) = torch.autograd.grad(read_outs[0], activations)
    finally:
        hook.remove()
    importance = gradient[0].mean(dim=(1, 2))  # (C,)
    change = (activations[0] - activations[1]).detach()
    return torch.einsum("c,chw->hw", importance, change).numpy()


def _read_out(net: FaceNet, target: int | str) -> Tensor:
    """(512,) the weights that read an AU or an emotion from the change of a vector."""
    heads = net._heads()
    if target in AUS:
        return heads["aus"].weight[AUS.index(target)].detach()
    if target in EMOTIONS:
        return heads["change"].weight[1 + EMOTIONS.index(target)].detach()
    raise InputError(f"target is {target!r}; an AU of {AUS} or one of {', '.join(EMOTIONS)}")


def crops_at(video: str | Path, frames: list[int], detector: Detector) -> list[np.ndarray]:
    """The face crops that the network reads at these frames (30 a second), (112, 112, 3) uint8 each.

    Raises InputError where there is no face. Reads the video up to the last of them.
    """

    def read(faces: FaceDetector) -> tuple[np.ndarray, dict[int, np.ndarray | None]]:
        states, crops, any_face = [], {}, False
        for number, (face, state, _) in enumerate(crops_of(open_video(video), faces)):
            states.append(STATES.index(state))
            if number in frames:
                crops[number] = face
            any_face = any_face or face is not None
            if any_face and number >= max(frames):  # without any face, smaller ones are searched for next
                break
        return np.array(states), crops

    (_, crops), _ = extract_with_retry(read, detector.faces)
    for frame in frames:
        if frame not in crops:
            raise InputError(f"{video}: ends before frame {frame} at 30 frames a second")
        if crops[frame] is None:
            raise InputError(f"{video}: no face in frame {frame} at 30 frames a second")
    return [crops[frame] for frame in frames]


def net_for(video: str | Path, detector: Detector) -> FaceNet:
    """The face network as `detect` uses it for this video, see `fedet.faces.network.adapted_net`."""

    def read(faces: FaceDetector) -> tuple[np.ndarray, np.ndarray]:
        crops = spread_faces(open_video(video), faces, CROP).crops
        return np.full(max(1, len(crops)), STATES.index("found" if len(crops) else "missing")), crops

    (_, crops), _ = extract_with_retry(read, detector.faces)
    return adapted_net(detector.net, crops, detector.inputs.adapt)


def rest_frame(faces: FaceTrack) -> int:
    """The frame (30 a second) that looks most like the resting face."""
    if not faces.mask.any():
        raise InputError("no frame of this video shows a face")
    return int(np.where(faces.mask, faces.rest, -np.inf).argmax())


def smooth_map(values: np.ndarray, side: int) -> np.ndarray:
    """A map (H, W) enlarged to (side, side) and scaled to -1..1; all 0 stays all 0."""
    large = F.interpolate(torch.from_numpy(values)[None, None], size=side, mode="bicubic")[0, 0].numpy()
    return large / max(float(np.abs(large).max()), 1e-9)


# ---------------------------------------------------------------- by which action units


def au_curves(faces: FaceTrack, detector: Detector) -> pd.DataFrame:
    """Rise of each AU's read-out above the person's rest: index seconds, columns like "AU12".

    A row a frame at 30 fps; NaN without a face.
    """
    change = _change(faces, detector)
    rise = change.astype(np.float32) @ detector.net._heads()["aus"].weight.numpy().T  # (T, 18)
    rise[~faces.mask] = np.nan
    index = pd.Index(np.arange(len(rise)) / FPS, name="seconds")
    return pd.DataFrame(rise, index=index, columns=[f"AU{au}" for au in AUS])


def _change(faces: FaceTrack, detector: Detector) -> np.ndarray:
    return change_from_rest(faces, detector.inputs.reference, detector.inputs.context_s)


def reasons(
    faces: FaceTrack, detector: Detector, table: pd.DataFrame, side: np.ndarray | None = None
) -> pd.DataFrame:
    """For each detection the AUs that rose most, since when, and its score without their rise.

    Args:
        table: of `detect_in` or `detect` on the same faces.
        side: as for `detect_in`.

    Returns:
        One row a detection: start_s, end_s, emotion, score, aus (list, strongest first), since_s
        (NaN without any), without (score of the best overlapping detection of that emotion when
        the rise of these AUs is removed from the vectors; NaN without AUs) and sentence.
    """
    curves, change = au_curves(faces, detector), _change(faces, detector)
    rows = []
    for row in table.itertuples():
        first, last = (int(ends[0]) for ends in at_rate([row.onset], [row.offset], row.fps, FPS))
        interval = curves.iloc[first : last + 1].drop(columns=f"AU{BLINK}")
        aus, since = _rising_aus(curves, interval, first)
        without = np.nan
        if aus:
            without = _score_without(faces, detector, change, (first, last + 1), row.emotion, aus, side)
        entry = {
            "start_s": first / FPS, "end_s": (last + 1) / FPS, "emotion": row.emotion, "score": row.score,
            "aus": aus, "since_s": since, "without": without,
        }  # fmt: skip
        rows.append(entry | {"sentence": sentence(entry)})
    columns = ["start_s", "end_s", "emotion", "score", "aus", "since_s", "without", "sentence"]
    return pd.DataFrame(rows, columns=columns)


def _rising_aus(curves: pd.DataFrame, interval: pd.DataFrame, first: int) -> tuple[list[str], float]:
    """The AUs that rise by `ACTIVE_AU` or more within an interval, and the second of the first rise."""
    smooth = interval.rolling(3, center=True, min_periods=1).mean()
    if smooth.isna().all(axis=None):
        return [], float("nan")
    peak = smooth.max().sort_values(ascending=False)  # of each AU: they need not peak together
    aus = list(peak[peak >= ACTIVE_AU].index[:MAX_NAMED])
    begin = max(0, first - round(0.5 * FPS))  # an interval often begins a little late
    starts = []
    for au in aus:
        at = smooth[au].fillna(-np.inf).to_numpy().argmax()
        values = curves[au].iloc[begin : first + at + 1].to_numpy()
        below = np.flatnonzero(~(values > RISE_START * peak[au]))
        starts.append(begin + (below[-1] + 1 if len(below) else 0))
    return aus, (min(starts) / FPS if aus else float("nan"))


def _score_without(
    faces: FaceTrack,
    detector: Detector,
    change: np.ndarray,
    span: tuple[int, int],
    emotion: str,
    aus: list[str],
    side: np.ndarray | None,
) -> float:
    """The best score of an overlapping detection of `emotion` when the AUs do not change in `span`.

    The change (T, C) of these frames is projected onto the complement of the AUs' read-out directions.
    """
    rows = [AUS.index(int(au[2:])) for au in aus]
    directions = detector.net._heads()["aus"].weight[rows].numpy()  # (A, 512)
    basis = np.linalg.qr(directions.T)[0]  # (512, A), orthonormal
    projected = np.array(change)
    rows_in_span = projected[slice(*span)].astype(np.float32)
    projected[slice(*span)] = rows_in_span - rows_in_span @ basis @ basis.T
    vectors = face_channels(projected, detector.net, detector.inputs.reads)
    vectors = concat_signals(vectors, detector.inputs, side)
    table = detect_intervals(detector.model, detector.model.config, vectors, faces.mask)
    table = table[table["emotion"] == emotion]
    spans = np.stack([table["onset"], table["offset"] + 1], axis=1).astype(float).reshape(-1, 2)
    overlapping = interval_tiou(np.array(span, float), spans) >= 0.3
    return float(table["score"][overlapping].max()) if overlapping.any() else 0.0


def sentence(reason: dict) -> str:
    """A detection's reason in words.

    >>> smile = {"emotion": "positive", "aus": ["AU12", "AU6"], "since_s": 1.2}
    >>> sentence(smile | {"score": 0.8, "without": 0.3})
    'positive because AU12 and AU6 rose from 1.2 s; without that rise the score falls from 0.80 to 0.30'
    """
    if not reason["aus"]:
        return f"{reason['emotion']}, but no action unit's read-out rose by {ACTIVE_AU}: look at the frames"
    names = reason["aus"]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    before, after = reason["score"], reason["without"]
    falls = after < before - 0.05
    effect = f"falls from {before:.2f} to {after:.2f}" if falls else "hardly changes"
    rise = f"{'because' if falls else 'while'} {listed} rose from {reason['since_s']:.1f} s"
    return f"{reason['emotion']} {rise}; without that rise the score {effect}"

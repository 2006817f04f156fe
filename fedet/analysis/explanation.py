"""Why a detector said so: where on the face, and by which action units.

Evidence maps on the face for the change of a read-out (after Grad-CAM: Selvaraju et al. 2017), and
the AUs whose rise a detection rests on, checked by taking that rise away. What the detector weighs
within a window is shown by `fedet.analysis.attention`.
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
MOST = 3  # AUs named in a sentence
RISEN = 0.25  # an AU's rise begins where it exceeds this share of its rise at the apex


# ---------------------------------------------------------------- where on the face


def evidence_map(
    net: FaceNet, face: np.ndarray, rest: np.ndarray, target: int | str, layer: str = "layer4"
) -> np.ndarray:
    """Where the change of a read-out from one crop to another comes from, (H, W) signed.

    Grad-CAM's weights (the mean gradient of the read-out at each channel) on the DIFFERENCE of the
    activations of `face` and `rest`, before Grad-CAM cuts off what is negative. In "layer4", behind
    which everything is linear, the map's sum is exactly the change of the read-out; earlier layers
    are finer and approximate.

    Args:
        face, rest: crops (S, S, 3) uint8 of one person, as `fedet.faces.tracking.crop` cuts them.
        target: an AU's number, or an emotion.

    Raises InputError on an unknown target or layer, or weights without read-outs.
    """
    if layer not in LAYERS:
        raise InputError(f"layer is {layer!r}; one of {', '.join(LAYERS)}")
    weight = _read_out(net, target)
    kept: list[Tensor] = []
    hook = getattr(net.body, layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    pictures = torch.from_numpy(np.stack([face, rest])).permute(0, 3, 1, 2).float().div(255)
    pictures = (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    try:
        with torch.enable_grad():
            answer = net(pictures.requires_grad_()) @ weight  # (2,)
            active = kept[0]  # (2, C, H, W)
            (gradient,) = torch.autograd.grad(answer[0], active)
    finally:
        hook.remove()
    share = gradient[0].mean(dim=(1, 2))  # (C,)
    change = (active[0] - active[1]).detach()
    return torch.einsum("c,chw->hw", share, change).numpy()


def _read_out(net: FaceNet, target: int | str) -> Tensor:
    """(512,) the direction of a vector's change that an AU or an emotion is read from."""
    heads = net._heads()
    if target in AUS:
        return heads["aus"].weight[AUS.index(target)].detach()
    if target in EMOTIONS:
        return heads["change"].weight[1 + EMOTIONS.index(target)].detach()
    raise InputError(f"target is {target!r}; an AU of {AUS} or one of {', '.join(EMOTIONS)}")


def crops_at(video: str | Path, frames: list[int], detector: Detector) -> list[np.ndarray]:
    """The face crops that the network saw at these frames of 30 a second, (112, 112, 3) uint8 each.

    Raises InputError where there is no face. Reads the video up to the last of them.
    """

    def read(faces: FaceDetector) -> tuple[np.ndarray, dict[int, np.ndarray | None]]:
        states, found, seen = [], {}, False
        for number, (face, state, _) in enumerate(crops_of(open_video(video), faces)):
            states.append(STATES.index(state))
            if number in frames:
                found[number] = face
            seen = seen or face is not None
            if seen and number >= max(frames):  # without any face smaller ones will be looked for
                break
        return np.array(states), found

    (_, found), _ = extract_with_retry(read, detector.faces)
    for frame in frames:
        if frame not in found:
            raise InputError(f"{video}: ends before frame {frame} at 30 frames a second")
        if found[frame] is None:
            raise InputError(f"{video}: no face in frame {frame} at 30 frames a second")
    return [found[frame] for frame in frames]


def net_for(video: str | Path, detector: Detector) -> FaceNet:
    """The face network as it read this video, see `fedet.faces.network.adapted_net`."""

    def read(faces: FaceDetector) -> tuple[np.ndarray, np.ndarray]:
        crops = spread_faces(open_video(video), faces, CROP).crops
        return np.full(max(1, len(crops)), STATES.index("found" if len(crops) else "missing")), crops

    (_, crops), _ = extract_with_retry(read, detector.faces)
    return adapted_net(detector.net, crops, detector.inputs.adapt)


def rest_frame(faces: FaceTrack) -> int:
    """The frame, of 30 a second, that most looks as if nothing is expressed."""
    if not faces.mask.any():
        raise InputError("no frame of this video shows a face")
    return int(np.where(faces.mask, faces.rest, -np.inf).argmax())


def smooth_map(values: np.ndarray, side: int) -> np.ndarray:
    """A map (H, W) as (side, side) for showing, scaled to -1..1; all 0 stays all 0."""
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
    """For each detection the AUs that rose most, since when, and what its score is without them.

    Args:
        table: of `detect_in` or `detect` on the same faces. side: as for `detect_in`.

    Returns:
        One row a detection: start_s, end_s, emotion, score, aus (list, strongest first), since_s
        (NaN without any), without (score of the best overlapping detection of that emotion when
        the rise of these AUs is taken out of the vectors; NaN without AUs) and sentence.
    """
    curves, change = au_curves(faces, detector), _change(faces, detector)
    rows = []
    for row in table.itertuples():
        first, last = (int(ends[0]) for ends in at_rate([row.onset], [row.offset], row.fps, FPS))
        part = curves.iloc[first : last + 1].drop(columns=f"AU{BLINK}")
        aus, since = _risen(curves, part, first)
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


def _risen(curves: pd.DataFrame, part: pd.DataFrame, first: int) -> tuple[list[str], float]:
    """The AUs that rose by `ACTIVE_AU` or more within an interval, and the second of the first rise."""
    smooth = part.rolling(3, center=True, min_periods=1).mean()
    if smooth.isna().all(axis=None):
        return [], float("nan")
    peak = smooth.max().sort_values(ascending=False)  # each AU's own: they need not peak together
    aus = list(peak[peak >= ACTIVE_AU].index[:MOST])
    begin = max(0, first - round(0.5 * FPS))  # an interval often begins a little late
    starts = []
    for au in aus:
        at = smooth[au].fillna(-np.inf).to_numpy().argmax()
        course = curves[au].iloc[begin : first + at + 1].to_numpy()
        below = np.flatnonzero(~(course > RISEN * peak[au]))
        starts.append(begin + (below[-1] + 1 if len(below) else 0))
    return aus, (min(starts) / FPS if aus else float("nan"))


def _score_without(faces, detector, change, span, emotion, aus, side) -> float:
    """The best score of an overlapping detection of `emotion` when the AUs do not change in `span`.

    The change's part within the read-outs' directions is taken out of the vectors of these frames.
    """
    rows = [AUS.index(int(au[2:])) for au in aus]
    directions = detector.net._heads()["aus"].weight[rows].numpy()  # (A, 512)
    basis = np.linalg.qr(directions.T)[0]  # (512, A), orthonormal
    quiet = np.array(change)
    part = quiet[slice(*span)].astype(np.float32)
    quiet[slice(*span)] = part - part @ basis @ basis.T
    seen = concat_signals(face_channels(quiet, detector.net, detector.inputs.reads), detector.inputs, side)
    found = detect_intervals(detector.model, detector.model.config, seen, faces.mask)
    found = found[found["emotion"] == emotion]
    spans = np.stack([found["onset"], found["offset"] + 1], axis=1).astype(float).reshape(-1, 2)
    near = interval_tiou(np.array(span, float), spans) >= 0.3
    return float(found["score"][near].max()) if near.any() else 0.0


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
    what = f"falls from {before:.2f} to {after:.2f}" if after < before - 0.05 else "hardly changes"
    joined = "because" if after < before - 0.05 else "while"
    rise = f"{reason['emotion']} {joined} {listed} rose from {reason['since_s']:.1f} s"
    return f"{rise}; without that rise the score {what}"

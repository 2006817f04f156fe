"""Training windows as pictures: all that is random about one, before a network reads it.

A window is its face crops and a few of the same person's at rest, varied by one camera. How vectors
of pictures become the change from rest of frames is linear, and stored as a matrix.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedet.detection import Inputs
from fedet.features import rest_frames
from fedet.training.config import TrainConfig, TuningConfig
from fedet.training.crop_augmentation import Camera, draw_camera
from fedet.training.face_crops import FaceVideo
from fedet.training.sampling import WindowPlan, draw_variation, interpolate
from fedet.video.side_signals import channels_of


class FaceWindow(NamedTuple):
    """A training window before the network reads it; W frames made of F pictures, C features."""

    crops: Tensor  # (F, 112, 112, 3) uint8: those of the window, then those at rest
    camera: Camera
    with_gradient: Tensor  # (F,) bool: the gradient flows through these
    mix: Tensor  # (W, F): from vectors of pictures to changes from rest of frames
    base: Tensor  # (W, 512): the frozen network's change, less `mix` of the frozen network's vectors
    side: Tensor  # (W, S): further channels
    gain: Tensor  # ()
    added: Tensor  # (W, C) baseline shift and noise
    keep: Tensor  # (C,)
    blend: Tensor | None  # (C, C)
    statistics: dict[str, Tensor]  # of the face network's batch norms in this video; {}: its own


class FaceWindowBatch:
    """Fabric moves it to a device, but does not round it to half precision as it does tensors."""

    def __init__(self, windows: Sequence[FaceWindow]) -> None:
        self.windows = list(windows)

    def to(self, device: torch.device) -> "FaceWindowBatch":
        from lightning.fabric.utilities import move_data_to_device

        return FaceWindowBatch(move_data_to_device(self.windows, device))


def draw_face_window(
    video: FaceVideo,
    change: np.ndarray,
    statistics: dict[str, Tensor],
    plan: WindowPlan,
    scale: np.ndarray,
    config: TrainConfig,
    tuning: TuningConfig,
    inputs: Inputs,
    rng: np.random.Generator,
) -> FaceWindow:
    """A planned window with all that is random about its looks; change (T, 512) is the frozen network's.

    The variation in feature space comes first out of `rng`: the same as of `sampling.augmented_window`.
    """
    blend, gain, shift, noise, keep = draw_variation(len(plan.mask), scale, config.augmentation, rng)
    added = np.zeros((len(plan.mask), len(scale)), np.float32)
    for term in (shift, noise):
        added = added if term is None else added + term
    weights = plan.weights * plan.mask
    shown = np.unique(plan.frames[weights > 0])
    resting, mix = _mixing(video, shown, plan.frames, weights, tuning.rest, inputs, rng)
    used = np.concatenate([shown, resting])
    frozen = np.asarray(video.faces.vectors[used], np.float32)
    side = video.vectors[:, len(scale) - len(channels_of(inputs.signals)) :]
    with_gradient = rng.random(len(used)) < tuning.through
    return FaceWindow(
        crops=torch.from_numpy(np.asarray(video.crops[used])),
        camera=draw_camera(tuning.appearance, rng),
        with_gradient=torch.from_numpy(with_gradient),
        mix=torch.from_numpy(mix),
        base=torch.from_numpy(interpolate(change, plan.frames, weights) - mix @ frozen),
        side=torch.from_numpy(interpolate(side, plan.frames, weights)),
        gain=torch.as_tensor(np.float32(gain)),
        added=torch.from_numpy(added.astype(np.float32)),
        keep=torch.from_numpy(np.ones(len(scale), bool) if keep is None else keep),
        blend=None if blend is None else torch.from_numpy(blend),
        statistics=statistics,
    )


def _mixing(
    video: FaceVideo,
    shown: np.ndarray,
    frames: np.ndarray,
    weights: np.ndarray,
    n: int,
    inputs: Inputs,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames at rest (R,), and (W, F + R): each of the W frames less its person's mean at rest."""
    mix = np.zeros((frames.shape[1], len(shown)), np.float32)
    for frame, weight in zip(frames, weights, strict=True):
        used = np.flatnonzero(weight > 0)
        mix[used, np.searchsorted(shown, frame[used])] += weight[used]
    resting, columns = [np.zeros(0, int)], [mix]
    for number in np.unique(video.faces.track[shown]) if inputs.reference != "none" else ():
        of_face = video.faces.track[shown] == number
        track = np.flatnonzero(video.faces.mask & (video.faces.track == number))
        near = rest_frames(video.faces, track, shown[of_face].mean(), inputs.reference, inputs.context_s)
        chosen = np.sort(rng.choice(near, min(n, len(near)), replace=False))
        share = mix[:, of_face].sum(1, keepdims=True) / len(chosen)
        columns.append(np.repeat(-share, len(chosen), axis=1))
        resting.append(chosen)
    return np.concatenate(resting), np.concatenate(columns, axis=1).astype(np.float32)

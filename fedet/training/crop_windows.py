"""Training windows as pictures: all that is random about one, before a network has seen it.

A window is its face crops and a few of the same person's at rest, varied by one camera. How vectors
of pictures become the change from rest of frames is linear, and kept as a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedet.detection import Inputs
from fedet.errors import InputError
from fedet.faces.extraction import CROP
from fedet.features import rest_frames
from fedet.training.crop_augmentation import Appearance, Camera, draw_camera
from fedet.training.face_crops import FaceVideo
from fedet.training.sampling import Plan, draw_variation, read
from fedet.training.trainer import TrainConfig
from fedet.video.side_signals import channels_of


@dataclass(frozen=True)
class Tuning:
    """How the face network is tuned; all defaults are our choice."""

    backbone: float = 0.1  # its learning rate, as a share of the detector's; 0: it stays frozen
    # Side of the pictures in training, pixels. Detection and validation use 112: at 64, though quicker,
    # the network reads vectors that are clearly other ones.
    size: int = 96
    rest: int = 8  # pictures at rest in a window
    through: float = 0.5  # share of a window's pictures that teach the network; the others are only read
    chunk: int = 32  # pictures at once: memory against speed
    appearance: Appearance = Appearance()

    def __post_init__(self) -> None:
        for name, least, most in (("backbone", 0, 1), ("through", 0, 1), ("size", 32, CROP),
                                  ("rest", 1, 400), ("chunk", 1, 4096)):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be between {least} and {most}")


class FaceWindow(NamedTuple):
    """A training window before the network has seen it; W frames made of F pictures, C features."""

    crops: Tensor  # (F, 112, 112, 3) uint8: those of the window, then those at rest
    camera: Camera
    teach: Tensor  # (F,) bool: the gradient flows through these
    mix: Tensor  # (W, F): from vectors of pictures to changes from rest of frames
    base: Tensor  # (W, 512): the frozen network's change, less `mix` of the frozen network's vectors
    side: Tensor  # (W, S): further channels
    gain: Tensor  # ()
    added: Tensor  # (W, C)
    kept: Tensor  # (C,)
    blend: Tensor | None  # (C, C)
    statistics: dict[str, Tensor]  # of the face network's batch norms in this video; else its own


class Windows:
    """A batch; Fabric moves it to a device, but does not round it to half precision as it does tensors."""

    def __init__(self, windows: Sequence[FaceWindow]) -> None:
        self.windows = list(windows)

    def to(self, device) -> "Windows":
        from lightning.fabric.utilities import move_data_to_device

        return Windows(move_data_to_device(self.windows, device))


def face_window(
    video: FaceVideo, change: np.ndarray, statistics: dict[str, Tensor], made: Plan, scale: np.ndarray,
    config: TrainConfig, tuning: Tuning, inputs: Inputs, rng: np.random.Generator,
) -> FaceWindow:  # fmt: skip
    """A planned window with all that is random about its looks; change (T, 512) is the frozen one.

    The variation in feature space comes first out of `rng`: the same as of `sampling.view`.
    """
    blend, gain, shift, noise, kept = draw_variation(len(made.mask), scale, config.augmentation, rng)
    added = np.zeros((len(made.mask), len(scale)), np.float32)
    for part in (shift, noise):
        added = added if part is None else added + part
    weights = made.weights * made.mask
    shown = np.unique(made.frames[weights > 0])
    resting, mix = _mixing(video, shown, made.frames, weights, tuning.rest, inputs, rng)
    used = np.concatenate([shown, resting])
    frozen = np.asarray(video.faces.vectors[used], np.float32)
    base = read(change, made.frames, weights) - mix @ frozen
    side = read(video.vectors[:, len(scale) - len(channels_of(inputs.signals)) :], made.frames, weights)
    teach = rng.random(len(used)) < tuning.through
    camera = draw_camera(tuning.appearance, rng)
    crops = torch.from_numpy(np.asarray(video.crops[used]))
    kept = np.ones(len(scale), bool) if kept is None else kept
    arrays = (teach, mix, base, side, np.float32(gain), added.astype(np.float32), kept)
    tensors = (torch.as_tensor(a) for a in arrays)
    blend = None if blend is None else torch.from_numpy(blend)
    return FaceWindow(crops, camera, *tensors, blend, statistics)


def _mixing(video, shown, frames, weights, n: int, inputs: Inputs, rng) -> tuple[np.ndarray, np.ndarray]:
    """Frames at rest (R,), and (W, F + R): each of the W frames less its person's mean at rest."""
    mix = np.zeros((frames.shape[1], len(shown)), np.float32)
    for frame, weight in zip(frames, weights, strict=True):
        there = np.flatnonzero(weight > 0)
        mix[there, np.searchsorted(shown, frame[there])] += weight[there]
    resting, columns = [np.zeros(0, int)], [mix]
    for number in np.unique(video.faces.track[shown]) if inputs.reference != "none" else ():
        of_face = video.faces.track[shown] == number
        own = np.flatnonzero(video.faces.mask & (video.faces.track == number))
        near = rest_frames(video.faces, own, shown[of_face].mean(), inputs.reference, inputs.context_s)
        chosen = np.sort(rng.choice(near, min(n, len(near)), replace=False))
        share = mix[:, of_face].sum(1, keepdims=True) / len(chosen)
        columns.append(np.repeat(-share, len(chosen), axis=1))
        resting.append(chosen)
    return np.concatenate(resting), np.concatenate(columns, axis=1).astype(np.float32)

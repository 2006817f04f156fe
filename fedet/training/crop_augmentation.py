"""How face crops are varied in training: one camera for all frames of a window."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.faces.network import normalise
from fedet.training.config import CropAugmentation


class Camera(NamedTuple):
    """One draw of a `CropAugmentation`."""

    affine: Tensor  # (2, 3) from the new picture's coordinates, -1..1, to those of the crop
    gain: Tensor  # (3,) of red, green, blue, about the middle grey
    light: Tensor  # () added


def draw_camera(augmentation: CropAugmentation, rng: np.random.Generator) -> Camera:
    """The result depends on the state of `rng` alone."""
    a = augmentation
    zoom, turn = 1 + rng.uniform(-a.zoom, a.zoom), rng.uniform(-a.turn, a.turn)
    mirror = -1.0 if rng.random() < a.flip else 1.0
    rotation = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = np.concatenate([rotation * [[mirror, 1.0]], rng.uniform(-a.shift, a.shift, (2, 1))], axis=1)
    gain = (1 + rng.uniform(-a.contrast, a.contrast)) * (1 + rng.uniform(-a.colour, a.colour, 3))
    light = rng.uniform(-a.brightness, a.brightness)
    return Camera(*(torch.tensor(v, dtype=torch.float32) for v in (affine, gain, light)))


def apply_camera(camera: Camera, crops: Tensor, size: int) -> Tensor:
    """Crops (B, S, S, 3) uint8 through this camera: (B, 3, size, size), normalised."""
    faces = crops.permute(0, 3, 1, 2).float().div(255)
    if size != faces.shape[-1] or not torch.equal(camera.affine, torch.eye(2, 3).to(camera.affine)):
        if size < faces.shape[-1]:
            faces = F.interpolate(faces, size=size, mode="bilinear", antialias=True)
        affine = camera.affine.expand(len(faces), 2, 3)
        grid = F.affine_grid(affine, [len(faces), 3, size, size], align_corners=False)
        faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    if not torch.equal(camera.gain, torch.ones_like(camera.gain)) or camera.light != 0:
        faces = (faces - 0.5) * camera.gain[:, None, None] + 0.5 + camera.light
        faces = faces.clamp(0, 1)
    return normalise(faces).contiguous(memory_format=torch.channels_last)

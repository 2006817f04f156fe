"""How a face's pictures are varied in training: one camera for all frames of a window."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.errors import InputError
from fedet.faces.network import normalise


@dataclass(frozen=True)
class Appearance:
    """Largest changes of a window's pictures; all our choice. `Appearance.none()` leaves them alone."""

    brightness: float = 0.08  # added, of 1
    contrast: float = 0.2  # factor, up or down
    colour: float = 0.1  # factor of each of red, green, blue
    shift: float = 0.05  # of the half side: the box is never quite where it was
    zoom: float = 0.06  # factor
    turn: float = 0.08  # radians, in the plane of the picture
    flip: float = 0.5  # share of windows seen in a mirror

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; it must be between 0 and 1")

    @classmethod
    def none(cls) -> "Appearance":
        """Every picture as it was cut."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Camera(NamedTuple):
    """One draw of an `Appearance`."""

    place: Tensor  # (2, 3) from the new picture's coordinates, -1..1, to those of the crop
    gain: Tensor  # (3,) of red, green, blue, about the middle grey
    light: Tensor  # () added


def draw_camera(appearance: Appearance, rng: np.random.Generator) -> Camera:
    """Deterministic in the state of `rng`."""
    a = appearance
    zoom, turn = 1 + rng.uniform(-a.zoom, a.zoom), rng.uniform(-a.turn, a.turn)
    mirror = -1.0 if rng.random() < a.flip else 1.0
    turned = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    place = np.concatenate([turned * [[mirror, 1.0]], rng.uniform(-a.shift, a.shift, (2, 1))], axis=1)
    gain = (1 + rng.uniform(-a.contrast, a.contrast)) * (1 + rng.uniform(-a.colour, a.colour, 3))
    light = rng.uniform(-a.brightness, a.brightness)
    return Camera(*(torch.tensor(v, dtype=torch.float32) for v in (place, gain, light)))


def seen_by(camera: Camera, crops: Tensor, size: int) -> Tensor:
    """Crops (B, S, S, 3) uint8 as this camera sees them: (B, 3, size, size), normalised."""
    faces = crops.permute(0, 3, 1, 2).float().div(255)
    if size != faces.shape[-1] or not torch.equal(camera.place, torch.eye(2, 3).to(camera.place)):
        if size < faces.shape[-1]:
            faces = F.interpolate(faces, size=size, mode="bilinear", antialias=True)
        place = camera.place.expand(len(faces), 2, 3)
        grid = F.affine_grid(place, [len(faces), 3, size, size], align_corners=False)
        faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    if not torch.equal(camera.gain, torch.ones_like(camera.gain)) or camera.light != 0:
        faces = (faces - 0.5) * camera.gain[:, None, None] + 0.5 + camera.light
        faces = faces.clamp(0, 1)
    return normalise(faces).contiguous(memory_format=torch.channels_last)

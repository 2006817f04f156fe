"""What every family of faces shares: a person's look, the camera, the lamp, random numbers, exposure."""

import torch
from torch import Tensor

Look = dict[str, Tensor]  # one value (B,) or colour (B, 3) a face: who it is
Scene = dict[str, Tensor]  # one value (B,) or colour (B, 3) a frame: pose, light, camera


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def chance(n: int, p: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) < p).float()


def sample_scenes(n: int, generator: torch.Generator) -> Scene:
    """n camera set-ups with the face straight ahead and filling most of a square picture.

    `cx`, `cy` (the face's centre) and `scale` (half its width) are fractions of the picture's side;
    `yaw`, `pitch`, `roll` radians; `light_x`, `light_y` point to the lamp.
    """

    def u(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)

    return {
        "cx": torch.full((n,), 0.5), "cy": torch.full((n,), 0.47), "scale": torch.full((n,), 0.36),
        "yaw": torch.zeros(n), "pitch": torch.zeros(n), "roll": torch.zeros(n),
        "light_x": u(-1, 1), "light_y": u(-0.9, 0.35), "ambient": u(0.45, 0.95),
        "diffuse": u(0.1, 0.65), "hardness": u(0, 1), "gain": u(0.75, 1.15), "gamma": u(0.75, 1.35),
        "cast": 1 + 0.12 * (torch.rand(n, 3, generator=generator) - 0.5),
        "back": wall_colour(n, generator), "back_2": wall_colour(n, generator),
        "back_angle": u(0, 6.28), "back_edge": u(0.3, 14), "back_texture": u(0, 0.5) ** 2,
    }  # fmt: skip


def wall_colour(n: int, generator: torch.Generator) -> Tensor:
    """Colours (n, 3), more often greyish than bright."""
    grey = torch.rand(n, 1, generator=generator)
    vivid = torch.rand(n, 1, generator=generator) ** 2
    return (grey + vivid * (torch.rand(n, 3, generator=generator) - 0.5)).clamp(0.01, 1)


def take(values: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """The same looks or scenes, row by row in another order or number."""
    return {name: value[index] for name, value in values.items()}


def auto_exposure(look: Look, scene: Scene) -> Scene:
    """The scene with the gain turned up where the skin would be too dark to see, as cameras do."""
    bright = look["skin"].mean(1) * (scene["ambient"] + 0.5 * scene["diffuse"])
    return scene | {"gain": torch.maximum(scene["gain"], 0.27 / bright).clamp(max=3.5)}


def expose(rgb: Tensor, scene: Scene) -> Tensor:
    """The camera's gain, colour cast and gamma, (B, 3, H, W) to 0..1."""
    gain = (scene["gain"][:, None] * scene["cast"])[:, :, None, None]
    return (rgb * gain).clamp_(1e-4, 1).pow_(scene["gamma"][:, None, None, None])

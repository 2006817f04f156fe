"""The families of generated faces: renderers that share no drawing code and no appearance parameters.

Training on some and testing on another measures transfer without a photograph of anybody: `shapes`
(soft shapes in the plane), `relief` (heads seen along rays) and `mesh` (polygons, as games draw people).
`splats` (clouds of points) is held out: no network here may learn from it, so that its people stay
unseen.

A new family is a module, or a folder with modules, named in `MODULES` and `LANDMARKS`, with three functions.

    sample_looks(n, generator) -> look
    render(look, aus, scene, size=112) -> pictures
    landmarks(look, aus, scene) -> points

- `generator`: a torch.Generator; all random numbers come from it, so a seed fixes the people.
- `look`: dict of tensors whose first dimension is n, one row a person. Everything that tells people apart
  is in it; the family names its entries. Required: `skin` (n, 3), the skin's colour as a screen shows it,
  0..1 (`scene.auto_exposure` reads it); and, for the groups of `fedet.analysis.fairness`, (n,) each:
  `tone` (0 lightest to 1 darkest skin), `age` 0..1, `glasses`, `stubble`, `beard`, `moustache` (0 none).
- `aus`: (B, 2, 18) intensities 0..1 of the action units `fedet.intervals.AUS`; first the left side, then
  the right side of the picture. `look` has B rows too.
- `scene`: dict of tensors (B,) or (B, 3), pose, light and camera, as `scene.sample_scenes` gives them with
  their units. It may also have `gaze_x`, `gaze_y` (-1..1, to the right and down; absent: straight ahead),
  `hand` (1: a hand covers a part of the face; absent: none) and its centre `hand_x`, `hand_y` (units of
  the face, half its width, from the face's centre).
- `size`: side of the square pictures in pixels.
- `pictures`: (B, 3, size, size) float, RGB 0..1 after exposure (`scene.expose` or the family's camera),
  on the device of `aus`. A row depends on its row of the arguments alone, on no random number, and on
  each action unit smoothly.
- `points`: (B, P, 2) where the points named in `fedet.faces.points.POINTS` are in those pictures,
  hidden or not: x right, y down, as shares of the picture's side.

A family imports nothing from another one (`tests/test_architecture.py`), and
`tests/synthetic/test_families.py` and `test_landmarks.py` run all this on every family.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from fedet.errors import InputError

MODULES = {
    "shapes": "fedet.synthetic.shapes",
    "relief": "fedet.synthetic.relief.render",
    "mesh": "fedet.synthetic.mesh.render",
    "splats": "fedet.synthetic.splats.render",
}
LANDMARKS = MODULES | {name: f"fedet.synthetic.{name}.landmarks" for name in ("relief", "mesh", "splats")}
HELD_OUT = ("splats",)  # for tests alone: a figure on it means nothing once a network has learned from it
RENDERERS = tuple(MODULES)  # all that draw
FAMILIES = tuple(name for name in RENDERERS if name not in HELD_OUT)  # those that networks learn from


class Family(NamedTuple):
    """The functions of a family, see above."""

    sample_looks: Callable[[int, torch.Generator], dict[str, Tensor]]
    render: Callable[[dict[str, Tensor], Tensor, dict[str, Tensor], int], Tensor]
    landmarks: Callable[[dict[str, Tensor], Tensor, dict[str, Tensor]], Tensor]


def family(name: str) -> Family:
    """The renderer called `name`. Raises InputError if there is none."""
    if name not in MODULES:
        raise InputError(f"renderer is {name!r}; choose one of {', '.join(RENDERERS)}")
    module = import_module(MODULES[name])
    return Family(module.sample_looks, module.render, import_module(LANDMARKS[name]).landmarks)


def check_teaches(names: tuple[str, ...]) -> None:
    """Raises InputError if a network would learn from a family that is held out."""
    if held := [name for name in names if name in HELD_OUT]:
        raise InputError(
            f"families has {held[0]!r}, which is kept for tests: no network may learn from it; "
            f"choose among {', '.join(FAMILIES)}"
        )

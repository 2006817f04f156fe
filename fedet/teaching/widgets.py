"""Widgets of notebook 05: sliders over one picture that is redrawn, never a new figure."""

from collections.abc import Callable

import ipywidgets as w
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from fedet.intervals import AUS
from fedet.plots.live_figure import LiveFigure, png, png_painter, slider
from fedet.synthetic.expressions import RECIPES, pattern
from fedet.synthetic.families import RENDERERS, family
from fedet.synthetic.scene import Look, Scene, auto_exposure, sample_scenes
from fedet.teaching import plots as lesson_plots

AU_NAMES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser",
    6: "cheek raiser", 7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser",
    12: "lip corner puller", 14: "dimpler", 15: "lip corner depressor", 17: "chin raiser",
    18: "lip pucker", 20: "lip stretcher", 24: "lip pressor", 25: "lips part", 26: "jaw drop",
    43: "eyes closed",
}  # fmt: skip
FACE_PX = 224


def overlap(slide: Callable[..., pd.DataFrame], target: tuple[float, float] = (40.0, 70.0)) -> LiveFigure:
    """Moves one interval along another: tIoU, and where each loss pulls.

    Args:
        slide: `slide(target, length, centres)` gives the table of `fedet.teaching.plots.plot_slide`.
    """

    def draw(ax, centre: float, length: float) -> None:
        row = slide(target, length, [centre]).iloc[0]
        ax.barh(1, target[1] - target[0], 0.5, target[0], color=lesson_plots.TRUTH)
        ax.barh(0, length, 0.5, centre - length / 2, color="#BBBBBB", edgecolor="#333333", hatch="////")
        ax.set_yticks([0, 1], ["yours", "target"])
        ax.set(xlim=(-10, 140), ylim=(-0.6, 1.6), xlabel="frames")
        pulls = ", ".join(f"{n} {row[f'{k}_pull'] + 0.0:+.3f}" for k, n in lesson_plots.LOSS_NAMES.items())
        ax.set_title(f"tIoU {row['tiou']:.2f}; pull along the axis: {pulls}", loc="left", fontsize=10)

    controls = {"centre": slider("centre", 110, 0, 130), "length": slider("length", 20, 4, 60)}
    return LiveFigure(png_painter((8, 1.9), draw), controls)


def fitting(fits: dict, target: tuple[float, float], step: int = 30) -> LiveFigure:
    """The tables of `fedet.teaching.plots.plot_fits`, step by step under a slider that can also play."""
    last = max(len(table) for table in fits.values()) - 1
    position = w.IntSlider(step, min=0, max=last, description="step", layout=w.Layout(width="400px"))
    play = w.Play(value=step, min=0, max=last, interval=100, step=1)
    w.jslink((play, "value"), (position, "value"))

    def draw(ax, step: int) -> None:
        lesson_plots.draw_step(ax, fits, target, step)

    live = LiveFigure(png_painter((8, 2.3), draw), {"step": position})
    live.children = (w.HBox([play, position]), live.image)
    return live


def staging(two_stages: Callable[..., dict[str, float]]) -> LiveFigure:
    """Two stages: how good the spotter and the recogniser are, and what comes out right.

    Args:
        two_stages: `two_stages(spotted, named, named_loose)` gives a row of
            `fedet.teaching.plots.plot_stages`.
    """

    def draw(ax, named: float, named_loose: float) -> None:
        shares = np.linspace(0, 1, 11)
        rows = [two_stages(s, named, named_loose) for s in shares]
        lesson_plots.plot_stages(pd.DataFrame(rows), ax)

    controls = {
        "named": slider("named, exact ends", 0.7, 0, 1, 0.05),
        "named_loose": slider("named, loose ends", 0.5, 0, 1, 0.05),
    }
    return LiveFigure(png_painter((7, 3.6), draw), controls)


# ---------------------------------------------------------------- the AU playground


def person(seed: int, renderer: str = "shapes") -> tuple[Look, Scene]:
    """A generated person in even light, looking straight ahead, on a plain wall."""
    generator = torch.Generator().manual_seed(seed)
    look = family(renderer).sample_looks(1, generator)
    scene = sample_scenes(1, generator)
    even = {"light_x": -0.2, "light_y": -0.4, "ambient": 0.8, "diffuse": 0.3, "hardness": 0.3, "gamma": 1.0}
    scene |= {name: torch.full((1,), value) for name, value in even.items()}
    scene |= {"gain": torch.ones(1), "cast": torch.ones(1, 3), "back_texture": torch.zeros(1)}
    scene |= {name: torch.full((1, 3), 0.82) for name in ("back", "back_2")}
    return look, auto_exposure(look, scene)


@torch.inference_mode()
def face(aus: dict[int, float], seed: int = 2, renderer: str = "relief", size: int = FACE_PX) -> np.ndarray:
    """A picture (size, size, 3) uint8 of a generated person with action units at intensities 0..1."""
    look, scene = person(seed, renderer)
    values = pattern({au: min(max(value, 0.0), 1.0) for au, value in aus.items()})
    drawn = family(renderer).render(look, values.expand(1, 2, len(AUS)).clone(), scene, size)[0]
    return (drawn.permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def playground(seed: int = 2, renderer: str = "relief") -> LiveFigure:
    """Sliders for the action units drive a generated face; a preset sets those of an emotion."""
    sliders = {}
    for au in AUS:
        sliders[f"au{au}"] = slider(f"AU{au} {AU_NAMES[au]}", 0.0, 0.0, 1.0, 0.05)
        sliders[f"au{au}"].style.description_width = "170px"
    who = w.BoundedIntText(seed, min=0, max=9999, description="person", layout=w.Layout(width="180px"))
    drawer = w.Dropdown(options=list(RENDERERS), value=renderer, description="drawn by")

    def draw(who: int, drawer: str, **units: float) -> bytes:
        return png(face({int(name[2:]): value for name, value in units.items()}, who, drawer))

    live = LiveFigure(draw, {"who": who, "drawer": drawer, **sliders})
    presets = w.Dropdown(options=["nothing", *preset_names()], value="nothing", description="preset")

    def preset(change: dict) -> None:
        intensities = preset_values(change["new"])
        for control in sliders.values():
            control.unobserve(live._changed, "value")
        for au in AUS:
            sliders[f"au{au}"].value = intensities.get(au, 0.0)
        for control in sliders.values():
            control.observe(live._changed, "value")
        live._changed()

    presets.observe(preset, "value")
    live.presets = presets
    units = w.VBox(list(sliders.values()))
    live.children = (w.HBox([presets, who, drawer], layout=w.Layout(flex_flow="row wrap")),
                     w.HBox([live.image, units], layout=w.Layout(flex_flow="row wrap")))  # fmt: skip
    presets.value = "positive"
    return live


def preset_names() -> list[str]:
    """Emotions, each with its most frequent recipe that shows most."""
    return list(RECIPES)


def preset_values(name: str) -> dict[int, float]:
    """AU intensities of a preset: of an emotion's recipes of the largest weight the richest."""
    if name not in RECIPES:
        return {}
    weight = max(weight for weight, _ in RECIPES[name])
    return max((aus for w_, aus in RECIPES[name] if w_ == weight), key=len)


def plot_units(seed: int = 2, renderer: str = "relief", size: int = 128) -> np.ndarray:
    """A still of the playground: the face at rest, each action unit alone at full strength, the presets;
    returns Axes.
    """
    shown = [("rest", {})] + [(f"AU{au} {AU_NAMES[au]}", {au: 1.0}) for au in AUS]
    shown += [(name, preset_values(name)) for name in preset_names()]
    across = 8
    down = -(-len(shown) // across)
    _figure, panels = plt.subplots(down, across, figsize=(1.35 * across, 1.65 * down), layout="constrained")
    for ax in panels.flat:
        ax.set_axis_off()
    for ax, (name, aus) in zip(panels.flat, shown, strict=False):
        ax.imshow(face(aus, seed, renderer, size))
        ax.set_title(name, fontsize=7)
    return panels

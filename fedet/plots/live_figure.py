"""Controls above one picture that is redrawn in place."""

import base64
import io
from collections.abc import Callable

import ipywidgets as w
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


class LiveFigure(w.VBox):
    """Controls and one picture that follows them.

    Args:
        draw: called with the controls' values by name; returns the picture as PNG bytes.
        controls: widgets with a `value`, by name.

    Viewers without widgets show the picture of the last values.
    """

    def __init__(self, draw: Callable[..., bytes], controls: dict[str, w.Widget]):
        self.draw, self.controls = draw, controls
        self.image = w.Image(format="png", layout=w.Layout(max_width="100%", object_fit="contain"))
        for control in controls.values():
            control.observe(self._changed, "value")
        row = w.Layout(flex_flow="row wrap")
        super().__init__([w.HBox(list(controls.values()), layout=row), self.image])
        self._changed()

    @property
    def values(self) -> dict:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def _changed(self, _=None) -> None:
        self.image.value = self.draw(**self.values)

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        image = {"image/png": base64.b64encode(self.image.value).decode()}
        return bundle if bundle is None else bundle | image


def slider(label: str, value: float, low: float, high: float, step: float = 1.0) -> w.FloatSlider:
    """A slider that reports its value while it moves."""
    layout = w.Layout(width="330px")
    wide = {"description_width": "130px"}
    return w.FloatSlider(value, min=low, max=high, step=step, description=label, layout=layout, style=wide)


def png_painter(size: tuple[float, float], draw: Callable) -> Callable[..., bytes]:
    """Turns `draw(ax, **values)` into a function that returns PNG bytes, on one figure of `size` inches."""
    figure = Figure(figsize=size, layout="constrained", dpi=90)
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()

    def png(**values) -> bytes:
        ax.clear()
        draw(ax, **values)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        return buffer.getvalue()

    return png


def png(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()

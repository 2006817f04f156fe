"""The explorer's controls as ipywidgets, linked in the browser, so that no kernel slows them."""

import ipywidgets as w

TICKS = {"readout_format": ".2f", "continuous_update": True, "step": 0.01}
WIDE = w.Layout(width="300px")


class Controls(w.VBox):
    """Sliders, filters and the reviewer's name; `panel` is all of it with the explorer below."""

    panel: w.VBox


def controls(explorer, colours: list[str]) -> Controls:
    """Controls for an explorer's traits.

    Args:
        explorer: The widget.
        colours: Of its emotions, "#rrggbb".
    """
    sliders = [
        _slider(explorer, "threshold", "Threshold", "scores from here on are kept"),
        _slider(explorer, "nms", "NMS tIoU", "more overlap with a better one of its emotion: out"),
        _slider(explorer, "tiou", "Match tIoU", "overlap from which a prediction is right"),
    ]
    match = w.ToggleButtons(
        options=[("spotting", False), ("detection", True)],
        tooltips=["the emotion does not matter", "the emotion must be right"],
        value=explorer.emotion,
        style={"button_width": "84px"},
    )
    _both_ways(explorer, "emotion", match)
    name = w.Text(explorer.reviewer, description="Reviewer", layout=w.Layout(width="220px"))
    _both_ways(explorer, "reviewer", name)
    filters = [
        _filter(explorer, "classes", label, colour)
        for label, colour in zip(explorer.classes, colours, strict=True)
    ] + [_filter(explorer, "types", kind, None) for kind in ("macro", "micro")]
    rows = [sliders, [*filters, *([] if explorer.lanes.truth is None else [match]), name]]
    box = Controls([w.HBox(row, layout=w.Layout(flex_flow="row wrap")) for row in rows])
    box.panel = w.VBox([box, explorer])
    return box


def _slider(explorer, trait: str, label: str, tooltip: str) -> w.FloatSlider:
    low = 0.01 if trait == "tiou" else 0.0
    slider = w.FloatSlider(
        getattr(explorer, trait), min=low, max=1.0, description=label, tooltip=tooltip,
        layout=WIDE, **TICKS,
    )  # fmt: skip
    w.jslink((slider, "value"), (explorer, trait))
    return slider


def _both_ways(explorer, trait: str, widget) -> None:
    widget.observe(lambda change: setattr(explorer, trait, change["new"]), "value")
    explorer.observe(lambda change: setattr(widget, "value", change["new"]), trait)


def _filter(explorer, trait: str, value: str, colour: str | None) -> w.Widget:
    """A toggle that takes one value out of a list trait and back in, in the list's own order."""
    order = list(getattr(explorer, trait))
    button = w.ToggleButton(
        value in order, description=value, layout=w.Layout(width="auto"), tooltip=f"show {value}"
    )

    def toggled(change) -> None:
        now = set(getattr(explorer, trait))
        now = now | {value} if change["new"] else now - {value}
        setattr(explorer, trait, [x for x in order if x in now])

    button.observe(toggled, "value")
    explorer.observe(lambda change: setattr(button, "value", value in change["new"]), trait)
    if colour is None:
        return button
    swatch = w.Box(layout=w.Layout(width="6px", height="28px", margin="2px 0 2px 6px"))
    swatch.layout.border_left = f"6px solid {colour}"
    return w.HBox([swatch, button])

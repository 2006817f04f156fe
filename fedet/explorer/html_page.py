"""The explorer as one HTML file: lanes, hover, zoom and threshold without a kernel or network."""

import base64
import html
import io
import json
import uuid
from pathlib import Path

JS = Path(__file__).parent / "js"
# Joined in this order they are one module, without a build step.
CHAPTERS = (
    *(
        "text",
        "intervals",
        "scene",
        "curves",
        "tracks",
        "axis",
        "minimap",
        "timeline",
        "frames",
        "sound",
        "help",
    ),
    *("panels", "figures", "transport", "outbox", "player", "selection", "editor", "keys", "pointer"),
    *("explorer", "mount"),
)
# Nothing may be fetched, whatever the data hold.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def script() -> str:
    """The explorer's JavaScript as one module; it exports `render` to anywidget and defines `mount`."""
    return "\n".join((JS / f"{name}.js").read_text("utf-8") for name in CHAPTERS)


def style() -> str:
    """The explorer's CSS."""
    return (JS / "explorer.css").read_text("utf-8")


def fragment(data: dict, figure=None) -> str:
    """The explorer as a piece of HTML, to be put into a page.

    Args:
        data: What `fedet.explorer.widget.Explorer.page_data` returns.
        figure: A matplotlib Figure for browsers without scripts.
    """
    element = f"fedet-{uuid.uuid4().hex[:8]}"
    image = "" if figure is None else f'<noscript><img alt="Intervals" src="{_png(figure)}"></noscript>'
    return (
        f"<style>{style()}</style>\n"
        f'<div id="{element}"></div>{image}\n'
        f'<script type="application/json" id="{element}-data">{embedded(data)}</script>\n'
        f'<script type="module">\n{script()}\n'
        f'mount(document.getElementById("{element}"), '
        f'JSON.parse(document.getElementById("{element}-data").textContent));\n'
        "</script>\n"
    )


def whole_page(data: dict, title: str, figure=None) -> str:
    """A whole page around `fragment`."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n"
        f'<body class="fx-page">\n<h1>{html.escape(title)}</h1>\n'
        f"{fragment(data, figure)}</body>\n</html>\n"
    )


def embedded(data: dict) -> str:
    """JSON that can stand in a script element: no text in it can end the element.

    >>> embedded({"note": "</script>"})
    '{"note": "\\\\u003c/script>"}'
    """
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _png(figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

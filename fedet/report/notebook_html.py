"""An executed notebook as HTML that needs no network: prose, folded code, outputs."""

import base64
import html
import io
import json
from uuid import uuid4

from nbformat import NotebookNode
from PIL import Image

from fedet.report.html_tables import tidy_tables
from fedet.report.images import KINDS
from fedet.report.markdown import ANSI, final_text, highlight_code, mathml, remove_external, render_markdown
from fedet.report.recorded import MIME

EXPLORER = "application/vnd.fedet.explorer+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
ASIDE = "aside"  # tag of cells that are shown on the screen and not printed
WIDE = 640  # pixels; in wider pictures words would get too small on a phone
SKIPPED = {"parameters", "injected-parameters"}  # the page shows one table for both


def render_notebook(notebook: NotebookNode, prefix: str, values: dict, defaults: dict) -> str:
    """The cells of a notebook, one after the other.

    Args:
        notebook: executed.
        prefix: of the ids.
        values: of the parameters, by name.
        defaults: (default, comment) of each parameter, by name.
    """
    rendered = []
    for i, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if "parameters" in tags:
            text = _parameter_table(values, defaults)
        elif cell.cell_type == "markdown":
            text = f'<div class="prose">{render_markdown(cell.source, prefix)}</div>'
        elif cell.cell_type == "code" and not tags & SKIPPED and cell.source.strip():
            text = render_cell(cell, f"{prefix}cell-{i}")
        else:
            continue
        rendered.append(f'<div class="aside">{text}</div>' if ASIDE in tags else text)
    return "\n".join(rendered)


def _parameter_table(values: dict, defaults: dict) -> str:
    rows = []
    for name, value in values.items():
        default, comment = defaults.get(name, (value, ""))
        changed = "" if value == default else f" <small>(default {html.escape(repr(default))})</small>"
        cells = (f"<code>{html.escape(name)}</code>", f"<code>{html.escape(repr(value))}</code>{changed}")
        rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in (*cells, html.escape(comment))) + "</tr>")
    head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
    return f'<table class="parameters">{head}{"".join(rows)}</table>'


def render_cell(cell: NotebookNode, anchor: str) -> str:
    """A code cell: its source, folded, and its outputs."""
    source = highlight_code(cell.source)
    code = f'<details class="code"><summary>code</summary>{source}</details>'
    outputs = "".join(map(render_output, _join_streams(cell.outputs)))
    return f'<div class="cell" id="{anchor}">{code}{outputs}</div>'


def _join_streams(outputs: list[dict]) -> list[dict]:
    """Outputs with the chunks of a stream put together, as they were printed."""
    joined: list = []
    for item in outputs:
        last = joined[-1] if joined else {}
        same = item["output_type"] == last.get("output_type") == "stream" and item["name"] == last["name"]
        if same:
            joined[-1] = {**last, "text": last["text"] + item["text"]}
        else:
            joined.append(dict(item))
    return joined


def render_output(item: dict) -> str:
    """One output as HTML; the richest form that needs neither kernel nor network."""
    kind = item["output_type"]
    if kind == "stream":
        text = final_text(item["text"])
        if not text.strip():
            return ""
        shown = f"<pre>{html.escape(text)}</pre>"
        if item["name"] == "stderr":
            return f'<details class="messages"><summary>messages</summary>{shown}</details>'
        return f'<div class="text">{shown}</div>'
    if kind == "error":
        trace = html.escape(ANSI.sub("", "\n".join(item["traceback"])))
        name = html.escape(f"{item['ename']}: {item['evalue']}")
        return f'<div class="error"><strong>{name}</strong><details><pre>{trace}</pre></details></div>'
    return _data(item.get("data", {}))


def _data(data: dict) -> str:
    if EXPLORER in data:
        return f'<div class="widget">{timeline(data[EXPLORER], image_tag(data))}</div>'
    if MIME in data and data[MIME]["kind"] == "figure":
        return f'<p class="recorded">{html.escape(data["text/plain"])}</p>'
    if shown := image_tag(data):
        note = '<p class="note">Interactive in JupyterLab; here as a picture.</p>' if WIDGET in data else ""
        return f"<figure>{shown}{note}</figure>"
    if WIDGET in data:
        bar = "0%|" in data.get("text/plain", "")  # a progress bar says nothing afterwards
        return "" if bar else '<p class="note">Interactive in JupyterLab; see the picture next to it.</p>'
    if "text/html" in data:
        return f'<div class="scroll html">{tidy_tables(remove_external(data["text/html"]))}</div>'
    if "text/markdown" in data:
        return f'<div class="prose">{render_markdown(data["text/markdown"])}</div>'
    if "text/latex" in data:
        return f"<p>{mathml(data['text/latex'].strip(' $'), 'block')}</p>"
    text = data.get("text/plain", "")
    return f'<div class="text"><pre>{html.escape(ANSI.sub("", text))}</pre></div>' if text else ""


def image_tag(data: dict) -> str:
    """The picture of an output, given its data by MIME type, as an <img> or <svg>; "" without any."""
    if "image/svg+xml" in data:
        return remove_external(data["image/svg+xml"]).replace('xmlns="http://www.w3.org/2000/svg"', "")
    for kind in KINDS:
        if kind in data:
            content = "".join(data[kind].split())
            wide = " class=wide" if _width(content) > WIDE else ""
            return f'<img{wide} alt="{alt_text(data)}" src="data:{kind};base64,{content}">'
    return ""


def _width(content: str) -> int:
    """Width in pixels of a picture in base64; 0 if it cannot be read."""
    try:
        return Image.open(io.BytesIO(base64.b64decode(content))).width
    except (OSError, ValueError):
        return 0


def alt_text(data: dict) -> str:
    """Text for those who do not see the picture."""
    text = " ".join(str(data.get("text/plain", "")).split())
    return html.escape(text if text and not text.startswith(("<", "VBox", "HBox")) else "figure")


def timeline(data: dict, picture: str) -> str:
    """A timeline that works without a kernel; the page holds its script once (`timeline_script`).

    Args:
        data: of `fedet.explorer.messages.page_data`.
        picture: tag of the picture that is printed instead.
    """
    anchor = f"fedet-{uuid4().hex[:8]}"
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<div class="explorer"><div id="{anchor}"></div></div><figure class="printed">{picture}</figure>\n'
        f'<script type="application/json" data-explorer="{anchor}">{text}</script>'
    )


def timeline_script() -> str:
    """Style and script of the timelines, once for a page with any number of them."""
    from fedet.explorer.html_page import script, style

    start = (
        'for (const data of document.querySelectorAll("[data-explorer]"))\n'
        "  mount(document.getElementById(data.dataset.explorer), JSON.parse(data.textContent));\n"
    )
    return f'<style>{style()}</style>\n<script type="module">\n{script()}\n{start}</script>\n'

"""An executed notebook as a piece of HTML: prose, folded code, outputs, no network."""

import base64
import html
import io
import json
from uuid import uuid4

from PIL import Image

from fedet.report.html_tables import tidy
from fedet.report.images import KINDS
from fedet.report.markdown import ANSI, highlighted, markdown, mathml, plain, without_foreign
from fedet.report.recorded import MIME

EXPLORER = "application/vnd.fedet.explorer+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
ASIDE = "aside"  # tag of what helps on the screen and is not printed
WIDE = 640  # pixels of a picture whose words get too small where it is made to fit a phone
SKIPPED = {"parameters", "injected-parameters"}  # the page shows one table for both


def chapter(notebook, place: str, parameters: dict, defaults: dict) -> str:
    """The cells of a notebook, one after the other.

    Args:
        notebook: executed.
        place: prefix of ids.
        parameters: values used, by name.
        defaults: (default, comment) of each parameter, by name.
    """
    parts = []
    for i, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if "parameters" in tags:
            text = _parameter_table(parameters, defaults)
        elif cell.cell_type == "markdown":
            text = f'<div class="prose">{markdown(cell.source, place)}</div>'
        elif cell.cell_type == "code" and not tags & SKIPPED and cell.source.strip():
            text = code_cell(cell, f"{place}cell-{i}")
        else:
            continue
        parts.append(f'<div class="aside">{text}</div>' if ASIDE in tags else text)
    return "\n".join(parts)


def _parameter_table(parameters: dict, defaults: dict) -> str:
    rows = []
    for name, value in parameters.items():
        default, comment = defaults.get(name, (value, ""))
        changed = "" if value == default else f" <small>(default {html.escape(repr(default))})</small>"
        cells = (f"<code>{html.escape(name)}</code>", f"<code>{html.escape(repr(value))}</code>{changed}")
        rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in (*cells, html.escape(comment))) + "</tr>")
    head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
    return f'<table class="parameters">{head}{"".join(rows)}</table>'


def code_cell(cell, place: str) -> str:
    """One cell: its source folded, then what it gave."""
    source = highlighted(cell.source)
    code = f'<details class="code"><summary>code</summary>{source}</details>'
    shown = [output(o) for o in _joined(cell.outputs)]
    return f'<div class="cell" id="{place}">{code}{"".join(shown)}</div>'


def _joined(outputs: list) -> list:
    """Outputs with the pieces of a stream put together, as they were printed."""
    joined: list = []
    for item in outputs:
        last = joined[-1] if joined else {}
        same = item["output_type"] == last.get("output_type") == "stream" and item["name"] == last["name"]
        if same:
            joined[-1] = {**last, "text": last["text"] + item["text"]}
        else:
            joined.append(dict(item))
    return joined


def output(item: dict) -> str:
    """One output as HTML; the richest form that needs neither kernel nor network."""
    kind = item["output_type"]
    if kind == "stream":
        text = plain(item["text"])
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
        return f'<div class="widget">{explorer(data[EXPLORER], picture(data))}</div>'
    if MIME in data and data[MIME]["kind"] == "figure":
        return f'<p class="recorded">{html.escape(data["text/plain"])}</p>'
    if shown := picture(data):
        note = '<p class="note">Interactive in JupyterLab; here as a picture.</p>' if WIDGET in data else ""
        return f"<figure>{shown}{note}</figure>"
    if WIDGET in data:
        bar = "0%|" in data.get("text/plain", "")  # a progress bar says nothing afterwards
        return "" if bar else '<p class="note">Interactive in JupyterLab; see the picture beside it.</p>'
    if "text/html" in data:
        return f'<div class="scroll html">{tidy(without_foreign(data["text/html"]))}</div>'
    if "text/markdown" in data:
        return f'<div class="prose">{markdown(data["text/markdown"])}</div>'
    if "text/latex" in data:
        return f"<p>{mathml(data['text/latex'].strip(' $'), 'block')}</p>"
    text = data.get("text/plain", "")
    return f'<div class="text"><pre>{html.escape(ANSI.sub("", text))}</pre></div>' if text else ""


def picture(data: dict) -> str:
    """The picture among an output's forms as an <img>, or ""."""
    if "image/svg+xml" in data:
        return without_foreign(data["image/svg+xml"]).replace('xmlns="http://www.w3.org/2000/svg"', "")
    for kind in KINDS:
        if kind in data:
            content = "".join(data[kind].split())
            wide = " class=wide" if _width(content) > WIDE else ""
            return f'<img{wide} alt="{alternative(data)}" src="data:{kind};base64,{content}">'
    return ""


def _width(content: str) -> int:
    """Pixels from left to right of a picture in base64; 0 where it cannot be told."""
    try:
        return Image.open(io.BytesIO(base64.b64decode(content))).width
    except (OSError, ValueError):
        return 0


def alternative(data: dict) -> str:
    """What stands for a picture where it cannot be seen."""
    text = " ".join(str(data.get("text/plain", "")).split())
    return html.escape(text if text and not text.startswith(("<", "VBox", "HBox")) else "figure")


def explorer(data: dict, still: str) -> str:
    """A timeline that answers without a kernel; the page holds its script once (`explorer_script`)."""
    place = f"fedet-{uuid4().hex[:8]}"
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<div class="explorer"><div id="{place}"></div></div><figure class="printed">{still}</figure>\n'
        f'<script type="application/json" data-explorer="{place}">{text}</script>'
    )


def explorer_script() -> str:
    """Style and script of the timelines, once for a page with any number of them."""
    from fedet.explorer.html_page import STATIC

    script = (STATIC / "explorer.js").read_text("utf-8")
    style = (STATIC / "explorer.css").read_text("utf-8")
    start = (
        'for (const data of document.querySelectorAll("[data-explorer]"))\n'
        "  mount(document.getElementById(data.dataset.explorer), JSON.parse(data.textContent));\n"
    )
    return f'<style>{style}</style>\n<script type="module">\n{script}\n{start}</script>\n'

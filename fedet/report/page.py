"""`report.html`: one file with a first page of headlines and a chapter for each notebook."""

import base64
import html
import re
from pathlib import Path

import nbformat

from fedet.evaluation.tables import short_number
from fedet.explorer.html_page import POLICY
from fedet.report.executed import GENERATED, ExecutedNotebook
from fedet.report.html_tables import tidy_tables
from fedet.report.images import pictures_of, thumbnail
from fedet.report.markdown import code_styles, render_markdown
from fedet.report.notebook_html import render_notebook, timeline_script

STATIC = Path(__file__).parent / "static"
LONG = 15  # rows of a table that the first page folds
DARK = ":root[data-theme=dark]"
AUTO = ":root:not([data-theme=light])"


def render_page(notebooks: list[ExecutedNotebook], origin: dict, missing: dict[str, str]) -> str:
    """The whole page.

    Args:
        notebooks: in the order of their chapters.
        origin: of `provenance`, with profile, data, notebooks_s.
        missing: notebooks of the suite that are not shown, and why.
    """
    chapters = [_chapter(notebook) for notebook in notebooks]
    script = (STATIC / "report.js").read_text("utf-8")
    timelines = timeline_script() if any("data-explorer" in text for text in chapters) else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fedet report</title>\n<style>\n{styles()}</style>\n"
        "<noscript><style>.printed { display: block; } .buttons { display: none; }</style></noscript>\n"
        "</head>\n<body>\n"
        f"{_navigation(notebooks)}<main>\n{_overview(notebooks, origin, missing)}\n"
        f"{''.join(chapters)}</main>\n<script>\n{script}</script>\n{timelines}</body>\n</html>\n"
    )


def styles() -> str:
    """The style sheet, light and dark; code colours included."""
    light, dark = code_styles()
    sheet = (STATIC / "report.css").read_text("utf-8")
    return (
        f"{sheet}\n{light}\n{DARK} {{\n{dark}\n}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n{AUTO} {{\n{dark}\n}}\n}}\n"
    )


def _anchor(notebook: ExecutedNotebook) -> str:
    return f"c-{notebook.name}"


def _navigation(notebooks: list[ExecutedNotebook]) -> str:
    links = [
        f'<a href="#{_anchor(n)}"><span>{n.name.split("_")[0]}</span> {html.escape(n.title)}</a>'
        for n in notebooks
    ]
    return (
        '<nav><details open><summary>Contents</summary><a href="#overview">Overview</a>'
        f'{"".join(links)}<a href="#all">All on one page</a></details>'
        '<div class="buttons"><button type="button" id="theme">Light or dark</button>'
        '<button type="button" id="code">Show all code</button></div></nav>\n'
    )


# ---------------------------------------------------------------- the first page


def _overview(notebooks: list[ExecutedNotebook], origin: dict, missing: dict[str, str]) -> str:
    sources = list(dict.fromkeys(notebook.source for notebook in notebooks))
    facts = {
        "Data": ", ".join(f"{s} (synthetic)" if s == GENERATED else s for s in sources),
        "Profile": origin["profile"],
        "Made": origin["date"],
        "Version": f"{origin['fedet']}, commit {origin['commit']}",
    }
    shown = "".join(f"<div><dt>{k}</dt><dd>{html.escape(str(v))}</dd></div>" for k, v in facts.items())
    synthetic = (
        '<p class="caution">The faces are generated; nobody was filmed. Figures on them tell how well the '
        "machinery works, not how well it works on real people.</p>"
    )
    return (
        '<section class="view" id="overview">\n<h1>Facial expressions in long videos</h1>\n'
        f"<p>When each expression starts and ends, and which emotion it is.</p><dl class=facts>{shown}</dl>\n"
        f"{synthetic if GENERATED in sources else ''}{_failures(notebooks)}{_missing(missing)}"
        f"{_headlines(notebooks)}"
        f'<h2>Chapters</h2>\n<div class="cards">{"".join(map(_card, notebooks))}</div>\n'
        f"{_origin(notebooks, origin)}</section>\n"
    )


def _failures(notebooks: list[ExecutedNotebook]) -> str:
    lines = [
        f'<li><a href="#{_anchor(n)}">{n.name}</a>: {html.escape(str(n.note.get("error")))}</li>'
        for n in notebooks
        if not n.note.get("complete")
    ]
    if not lines:
        return ""
    many = "One notebook" if len(lines) == 1 else f"{len(lines)} notebooks"
    return f'<div class="error"><strong>{many} did not finish.</strong><ul>{"".join(lines)}</ul></div>'


def _missing(missing: dict[str, str]) -> str:
    """Which notebooks of the suite are not in the report, and why."""
    if not missing:
        return ""
    reasons = dict.fromkeys(missing.values())
    lists = "; ".join(f"{', '.join(n for n in missing if missing[n] == why)} ({why})" for why in reasons)
    kind = "omitted" if set(reasons) == {"not run yet"} else "caution"  # a choice is no warning
    return (
        f'<p class="{kind}"><strong>Not in this report:</strong> {html.escape(lists)}. The command that '
        "made it, given again without <code>--only</code>, runs these and keeps what is finished.</p>"
    )


def _headlines(notebooks: list[ExecutedNotebook]) -> str:
    """The recorded figures; a notebook marked as the headline comes first, then those with a table."""

    def order(notebook: ExecutedNotebook) -> tuple[bool, bool]:
        tables = any(entry["kind"] == "table" for entry in notebook.entries)
        return not notebook.options.get("headline", False), not tables

    return "".join(map(_recorded, sorted((n for n in notebooks if n.entries), key=order)))


def _recorded(notebook: ExecutedNotebook) -> str:
    tiles = "".join(_tile(e) for e in notebook.entries if e["kind"] == "figure")
    tables = "".join(_table(e) for e in notebook.entries if e["kind"] == "table")
    link = f'<a href="#{_anchor(notebook)}">{html.escape(notebook.title)}</a>'
    title = f"{link} <small>{html.escape(notebook.source)}</small>"
    state = "" if notebook.note.get("complete") else '<p class="error">This notebook did not finish.</p>'
    return f'<h2>{title}</h2>\n{state}<div class="tiles">{tiles}</div>{tables}\n'


def _table(entry: dict) -> str:
    """A recorded table; a long one is folded, because it would hide what follows."""
    label = html.escape(entry["label"])
    rows = f'<div class="scroll html">{tidy_tables(entry["html"])}</div>'
    if len(entry["index"]) > LONG:
        return f"<details class=rows><summary>{label} ({len(entry['index'])} rows)</summary>{rows}</details>"
    return f'<figure class="rows"><figcaption>{label}</figcaption>{rows}</figure>'


def _tile(entry: dict) -> str:
    unit = f" <small>{html.escape(entry['unit'])}</small>" if entry.get("unit") else ""
    ends = ""
    if entry.get("interval"):
        low, high = (short_number(end) for end in entry["interval"])
        ends = f'<span class="ends">95 % interval {low} to {high}</span>'
    value = html.escape(short_number(entry["value"]))
    long = " long" if len(value) > 12 else ""
    return (
        f'<div class="tile{long}"><span class="label">{html.escape(entry["label"])}</span>'
        f'<span class="value">{value}{unit}</span>{ends}</div>'
    )


def _card(notebook: ExecutedNotebook) -> str:
    note = notebook.note
    state = f"{note.get('seconds', 0):.0f} s" if note.get("complete") else "did not finish"
    picture = _thumbnail(notebook)
    image = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else '<div class="blank"></div>'
    return (
        f'<a class="card" href="#{_anchor(notebook)}">{image}<h3>{html.escape(notebook.title)}</h3>'
        f"<p>{_inline(notebook.question)}</p><small>{html.escape(notebook.source)}, {state}</small></a>\n"
    )


def _inline(text: str) -> str:
    """One line of Markdown without its paragraph and links, because it goes inside a link."""
    return re.sub(r"</?(?:p|a)\b[^>]*>", "", render_markdown(text)).strip()


def _thumbnail(notebook: ExecutedNotebook) -> str:
    """The first picture, or that of a cell tagged `thumbnail`, small, in base64; "" without any."""
    everything = notebook.content.cells
    tagged = [cell for cell in everything if "thumbnail" in cell.metadata.get("tags", [])]
    for cells in (tagged, everything):
        pictures = pictures_of(nbformat.from_dict({"cells": cells}))
        if pictures:
            return base64.b64encode(thumbnail(pictures[0][1])).decode()
    return ""


def _origin(notebooks: list[ExecutedNotebook], origin: dict) -> str:
    seeds = {n.name: n.values["seed"] for n in notebooks if "seed" in n.values}
    rows = {
        "fedet": f"{origin['fedet']}, commit {origin['commit']}",
        "Date": origin["date"],
        "Profile": origin["profile"],
        "Seeds": ", ".join(f"{n.split('_')[0]}: {s}" for n, s in seeds.items()) or "-",
        "Device": f"{origin['device']}, {origin['processors']} processors, {origin['system']}",
        "Wall time": f"{origin['notebooks_s'] / 60:.1f} min in notebooks",
        "Python": origin["python"],
        "Libraries": ", ".join(f"{n} {v}" for n, v in origin["libraries"].items()),
    }
    cells = "".join(f"<tr><th>{k}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    return (
        f'<h2>How this was made</h2>\n<div class="scroll"><table class="made">{cells}</table></div>\n'
        "<p>All figures are in <code>results.json</code>, all parameters in <code>parameters.yaml</code>, "
        "the executed notebooks and every picture in the folders beside this file.</p>\n"
    )


# ---------------------------------------------------------------- the chapters


def _chapter(executed: ExecutedNotebook) -> str:
    defaults = {p.name: (p.default, p.comment) for p in executed.parameters.values()}
    error = executed.note.get("error")
    banner = f'<p class="error">Did not finish: {html.escape(error)}</p>' if error else ""
    cells = render_notebook(executed.content, f"{_anchor(executed)}-", executed.values, defaults)
    style = html.escape(executed.options.get("print", ""))
    language = html.escape(str(executed.values.get("language") or "en"))
    return (
        f'<section class="view chapter {style}" id="{_anchor(executed)}" lang="{language}">'
        f"\n{banner}{cells}\n"
        '<p class="back"><a href="#overview">Back to the overview</a></p></section>\n'
    )

"""`report.html`: one file with a first page and a chapter for each notebook."""

import html
import re
from pathlib import Path

from nbformat import NotebookNode

from fedet.explorer.html_page import POLICY
from fedet.report.executed import ExecutedNotebook
from fedet.report.first_page import anchor, overview
from fedet.report.markdown import code_styles
from fedet.report.notebook_html import render_notebook, timeline_script

STATIC = Path(__file__).parent / "static"
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
        f"{_navigation(notebooks)}<main>\n{overview(notebooks, origin, missing)}\n"
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


def _navigation(notebooks: list[ExecutedNotebook]) -> str:
    links = [
        f'<a href="#{anchor(n)}"><span>{n.name.split("_")[0]}</span> {html.escape(n.title)}</a>'
        for n in notebooks
    ]
    return (
        '<nav><details open><summary>Contents</summary><a href="#overview">Overview</a>'
        f'{"".join(links)}<a href="#all">All on one page</a></details>'
        '<div class="buttons"><button type="button" id="theme">Light or dark</button>'
        '<button type="button" id="code">Show all code</button></div></nav>\n'
    )


def _chapter(executed: ExecutedNotebook) -> str:
    defaults = {p.name: (p.default, p.comment) for p in executed.parameters.values()}
    error = executed.note.get("error")
    banner = f'<p class="error">Did not finish: {html.escape(error)}</p>' if error else ""
    content = executed.content.copy()
    content.cells = [_in_language(cell, executed) for cell in content.cells]
    cells = render_notebook(content, f"{anchor(executed)}-", executed.values, defaults)
    style = html.escape(executed.options.get("print", ""))
    language = html.escape(str(executed.values.get("language") or "en"))
    return (
        f'<section class="view chapter {style}" id="{anchor(executed)}" lang="{language}">'
        f"\n{banner}{cells}\n"
        '<p class="back"><a href="#overview">Back to the overview</a></p></section>\n'
    )


def _in_language(cell: NotebookNode, executed: ExecutedNotebook) -> NotebookNode:
    """A cell with its headings in the language of the run, where the notebook's metadata have them."""
    headings = executed.translated("headings") or {}
    if cell.cell_type != "markdown" or not (headings or executed.translated("titles")):
        return cell

    def heading(found: re.Match) -> str:
        title = executed.title if found[1] == "#" else headings.get(found[2], found[2])
        return f"{found[1]} {title}"

    return NotebookNode(cell | {"source": re.sub(r"^(#+) (.+)$", heading, cell.source, flags=re.M)})

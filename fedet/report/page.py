"""`report.html`: one file with a first page of headlines and a chapter for each notebook."""

import base64
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from fedet.evaluation.tables import short_number
from fedet.explorer.html_page import POLICY
from fedet.report.html_tables import tidy
from fedet.report.images import pictures_of, thumbnail
from fedet.report.markdown import code_styles, markdown
from fedet.report.notebook_html import chapter, explorer_script
from fedet.report.parameters import parameters_of
from fedet.report.plan import DONE
from fedet.report.recorded import collect

STATIC = Path(__file__).parent / "static"

SOURCES = ("data", "video", "videos")  # parameters that name a user's own data
GENERATED = "generated faces"
LONG = 15  # rows of a table that the first page folds
DARK = ":root[data-theme=dark]"
AUTO = ":root:not([data-theme=light])"


@dataclass(frozen=True, eq=False)
class Part:
    """One executed notebook, as the page shows it."""

    name: str
    notebook: nbformat.NotebookNode
    values: dict
    entries: list[dict]

    @property
    def title(self) -> str:
        first = next((c.source for c in self.notebook.cells if c.cell_type == "markdown"), "")
        match = re.search(r"^# (.+)$", first, re.M)
        return match.group(1) if match else self.name

    @property
    def question(self) -> str:
        text = "\n".join(c.source for c in self.notebook.cells if c.cell_type == "markdown")
        match = re.search(r"\*\*Question\.\*\*\s*(.+)", text)
        return match.group(1) if match else ""

    @property
    def note(self) -> dict:
        return self.notebook.metadata.get(DONE, {})

    @property
    def source(self) -> str:
        named = [str(self.values[key]) for key in SOURCES if self.values.get(key)]
        return Path(named[0]).name if named else GENERATED


def page(folder: Path) -> str:
    """The whole page of a report's folder, from its notebooks, results.json and parameters.yaml."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    values = yaml.safe_load((folder / "parameters.yaml").read_text("utf-8"))["notebooks"]
    parts = []
    for name in results["notebooks"]:
        notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        parts.append(Part(name, notebook, values[name], collect(notebook)))
    chapters = [_chapter(part) for part in parts]
    script = (STATIC / "report.js").read_text("utf-8")
    timelines = explorer_script() if any("data-explorer" in text for text in chapters) else ""
    title = "fedet report"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{styles()}</style>\n"
        "<noscript><style>.printed { display: block; } .buttons { display: none; }</style></noscript>\n"
        "</head>\n<body>\n"
        f"{_navigation(parts)}<main>\n{_overview(parts, results['made'], results.get('missing', {}))}\n"
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


def _anchor(part: Part) -> str:
    return f"c-{part.name}"


def _navigation(parts: list[Part]) -> str:
    links = [
        f'<a href="#{_anchor(p)}"><span>{p.name.split("_")[0]}</span> {html.escape(p.title)}</a>'
        for p in parts
    ]
    return (
        '<nav><details open><summary>Contents</summary><a href="#overview">Overview</a>'
        f'{"".join(links)}<a href="#all">All on one page</a></details>'
        '<div class="buttons"><button type="button" id="theme">Light or dark</button>'
        '<button type="button" id="code">Show all code</button></div></nav>\n'
    )


# ---------------------------------------------------------------- the first page


def _overview(parts: list[Part], made: dict, missing: dict[str, str]) -> str:
    sources = list(dict.fromkeys(part.source for part in parts))
    facts = {
        "Data": ", ".join(f"{s} (synthetic)" if s == GENERATED else s for s in sources),
        "Profile": made["profile"],
        "Made": made["date"],
        "Version": f"{made['fedet']}, commit {made['commit']}",
    }
    shown = "".join(f"<div><dt>{k}</dt><dd>{html.escape(str(v))}</dd></div>" for k, v in facts.items())
    synthetic = (
        '<p class="caution">The faces are generated; nobody was filmed. Figures on them tell how well the '
        "machinery works, not how well it works on real people.</p>"
    )
    return (
        '<section class="view" id="overview">\n<h1>Facial expressions in long videos</h1>\n'
        f"<p>When each expression starts and ends, and which emotion it is.</p><dl class=facts>{shown}</dl>\n"
        f"{synthetic if GENERATED in sources else ''}{_failures(parts)}{_missing(missing)}{_headlines(parts)}"
        f'<h2>Chapters</h2>\n<div class="cards">{"".join(map(_card, parts))}</div>\n'
        f"{_making(parts, made)}</section>\n"
    )


def _failures(parts: list[Part]) -> str:
    failed = [p for p in parts if not p.note.get("complete")]
    lines = [
        f'<li><a href="#{_anchor(p)}">{p.name}</a>: {html.escape(str(p.note.get("error")))}</li>'
        for p in failed
    ]
    if not lines:
        return ""
    many = "One notebook" if len(lines) == 1 else f"{len(lines)} notebooks"
    return f'<div class="error"><strong>{many} did not finish.</strong><ul>{"".join(lines)}</ul></div>'


def _missing(missing: dict[str, str]) -> str:
    """What of the suite is not in the report, and why."""
    if not missing:
        return ""
    whys = dict.fromkeys(missing.values())
    lists = "; ".join(f"{', '.join(n for n, w in missing.items() if w == why)} ({why})" for why in whys)
    kind = "omitted" if set(whys) == {"not run yet"} else "caution"  # a choice is no warning
    return (
        f'<p class="{kind}"><strong>Not in this report:</strong> {html.escape(lists)}. The command that '
        "made it, given again without <code>--only</code>, runs these and keeps what is finished.</p>"
    )


def _headlines(parts: list[Part]) -> str:
    """What the notebooks recorded; the one that is marked as the headline, or compares, comes first."""
    telling = [p for p in parts if p.entries]
    telling.sort(key=lambda p: (not p.notebook.metadata.get("fedet", {}).get("headline", False),
                                not any(e["kind"] == "table" for e in p.entries)))  # fmt: skip
    return "".join(map(_recorded, telling))


def _recorded(part: Part) -> str:
    tiles = "".join(_tile(e) for e in part.entries if e["kind"] == "figure")
    tables = "".join(map(_table, (e for e in part.entries if e["kind"] == "table")))
    title = (
        f'<a href="#{_anchor(part)}">{html.escape(part.title)}</a> <small>{html.escape(part.source)}</small>'
    )
    state = "" if part.note.get("complete") else '<p class="error">This notebook did not finish.</p>'
    return f'<h2>{title}</h2>\n{state}<div class="tiles">{tiles}</div>{tables}\n'


def _table(entry: dict) -> str:
    """A recorded table; a long one is folded, for it would bury what follows."""
    label, rows = html.escape(entry["label"]), f'<div class="scroll html">{tidy(entry["html"])}</div>'
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


def _card(part: Part) -> str:
    state = f"{part.note.get('seconds', 0):.0f} s" if part.note.get("complete") else "did not finish"
    picture = _thumbnail(part)
    image = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else '<div class="blank"></div>'
    return (
        f'<a class="card" href="#{_anchor(part)}">{image}<h3>{html.escape(part.title)}</h3>'
        f"<p>{_inline(part.question)}</p><small>{html.escape(part.source)}, {state}</small></a>\n"
    )


def _inline(text: str) -> str:
    """Markdown of a line, without its paragraph and links: it stands inside a link."""
    return re.sub(r"</?(?:p|a)\b[^>]*>", "", markdown(text)).strip()


def _thumbnail(part: Part) -> str:
    """The first picture, or that of a cell tagged `thumbnail`, small."""
    marked = [c for c in part.notebook.cells if "thumbnail" in c.metadata.get("tags", [])]
    for cells in (marked, part.notebook.cells):
        pictures = pictures_of(nbformat.from_dict({"cells": cells}))
        if pictures:
            return base64.b64encode(thumbnail(pictures[0][1])).decode()
    return ""


def _making(parts: list[Part], made: dict) -> str:
    seeds = {p.name: p.values["seed"] for p in parts if "seed" in p.values}
    rows = {
        "fedet": f"{made['fedet']}, commit {made['commit']}",
        "Date": made["date"],
        "Profile": made["profile"],
        "Seeds": ", ".join(f"{n.split('_')[0]}: {s}" for n, s in seeds.items()) or "-",
        "Device": f"{made['device']}, {made['processors']} processors, {made['system']}",
        "Wall time": f"{made['notebooks_s'] / 60:.1f} min in notebooks",
        "Python": made["python"],
        "Libraries": ", ".join(f"{n} {v}" for n, v in made["libraries"].items()),
    }
    cells = "".join(f"<tr><th>{k}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    return (
        f'<h2>How this was made</h2>\n<div class="scroll"><table class="made">{cells}</table></div>\n'
        "<p>All figures are in <code>results.json</code>, all parameters in <code>parameters.yaml</code>, "
        "the executed notebooks and every picture in the folders beside this file.</p>\n"
    )


# ---------------------------------------------------------------- the chapters


def _chapter(part: Part) -> str:
    known = parameters_of(part.notebook, part.name)
    defaults = {p.name: (p.default, p.comment) for p in known.values()}
    error = part.note.get("error")
    banner = f'<p class="error">Did not finish: {html.escape(error)}</p>' if error else ""
    cells = chapter(part.notebook, f"{_anchor(part)}-", part.values, defaults)
    print_style = part.notebook.metadata.get("fedet", {}).get("print", "")
    language = html.escape(str(part.values.get("language") or "en"))
    return (
        f'<section class="view chapter {html.escape(print_style)}" id="{_anchor(part)}" lang="{language}">'
        f"\n{banner}{cells}\n"
        '<p class="back"><a href="#overview">Back to the overview</a></p></section>\n'
    )

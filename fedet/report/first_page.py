"""The first page of a report: a picture, what was found, how sure that is, and what to do next."""

import base64
import html
import math
import re

import nbformat

from fedet.evaluation.tables import short_number
from fedet.report.executed import GENERATED, ExecutedNotebook
from fedet.report.html_tables import tidy_tables
from fedet.report.images import pictures_of, thumbnail
from fedet.report.markdown import render_markdown
from fedet.report.notebook_html import image_tag

LONG = 15  # rows of a table that are folded
FEW = 10  # generated people, below which a figure is no headline
COUNTED = (
    "On people whom the detector never saw: 1 is perfect, 0 finds nothing. An expression counts as found if "
    "interval and detection share at least half of the frames that either covers; mAP also requires the "
    "right emotion."
)


def anchor(notebook: ExecutedNotebook) -> str:
    return f"c-{notebook.name}"


def overview(notebooks: list[ExecutedNotebook], origin: dict, missing: dict[str, str]) -> str:
    """The first page: a picture, what was found, how sure that is, what next; then everything recorded.

    Args:
        notebooks: in the order of their chapters.
        origin: of `provenance`, with profile, data, notebooks_s.
        missing: notebooks of the suite that are not shown, and why.
    """
    sources = list(dict.fromkeys(notebook.source for notebook in notebooks))
    data = ", ".join(f"{s} (synthetic)" if s == GENERATED else s for s in sources)
    synthetic = (
        '<p class="caution">The faces are generated; nobody was filmed. Figures on them show how well the '
        "machinery works, not how well it works on real people.</p>"
    )
    private = (
        '<p class="caution">This page holds pictures of the people in your videos: keep it as safe as the '
        "videos.</p>"
    )
    return (
        '<section class="view" id="overview">\n<h1>Facial expressions in long videos</h1>\n'
        f"<p>Videos: {html.escape(data)}, {html.escape(origin['date'])}. "
        "Found: when each expression starts and ends, and which emotion it shows.</p>"
        f"{_failures(notebooks)}{_missing(missing)}{_pictures(notebooks)}"
        f"{synthetic if GENERATED in sources else ''}{private if set(sources) - {GENERATED} else ''}"
        f"{_answer('What was found', 'found', notebooks)}"
        f"{_answer('How sure is that', 'sure', notebooks, COUNTED)}{_next_steps(notebooks)}"
        f'<h2>Chapters</h2>\n<div class="cards">{"".join(map(_card, notebooks))}</div>\n'
        f"{_everything(notebooks)}{_origin(notebooks, origin)}</section>\n"
    )


def _pictures(notebooks: list[ExecutedNotebook]) -> str:
    """What the first notebook with cells tagged `first-page` shows there: the video at a glance."""
    for notebook in notebooks:
        tagged = [c for c in notebook.content.cells if "first-page" in c.metadata.get("tags", [])]
        data = [o["data"] for cell in tagged for o in cell.get("outputs", []) if "data" in o]
        if pictures := [f"<figure>{shown}</figure>" for d in data if (shown := image_tag(d))]:
            return f'<div class="glance">{"".join(pictures)}</div>\n'
    return ""


def _answer(title: str, key: str, notebooks: list[ExecutedNotebook], meaning: str = "") -> str:
    """The figures that notebooks name in their metadata, `first_page: {"found": [name, ...]}`, as tiles."""
    tiles = "".join(_tile(e) for n in notebooks for e in _chosen(n, n.first_page.get(key, [])))
    few = [_few(n) for n in notebooks if n.first_page.get(key) and not _chosen(n, n.first_page[key])]
    note = f'<p class="omitted">{" ".join(few)}</p>' if few else ""
    lead = f"<p>{meaning}</p>" if tiles and meaning else ""
    return f'<h2>{title}</h2>\n{lead}<div class="tiles">{tiles}</div>{note}\n' if tiles or note else ""


def _chosen(notebook: ExecutedNotebook, names: list[str]) -> list[dict]:
    """The recorded figures of these names; a stored benchmark's instead of a quick run's where there is one.

    Figures of fewer than FEW generated people are no headline.
    """
    entries = {entry["name"]: entry for entry in notebook.entries if entry["kind"] == "figure"}
    stored = [entries[f"stored_{name}"] for name in names if f"stored_{name}" in entries]
    own = [entries[name] for name in names if name in entries]
    return stored or ([] if _people(notebook) < FEW else own)


def _people(notebook: ExecutedNotebook) -> float:
    """How many generated people a notebook's figures rest on; inf where it does not name the number."""
    parameter = notebook.first_page.get("people")
    return math.inf if parameter is None or notebook.source != GENERATED else notebook.values[parameter]


def _few(notebook: ExecutedNotebook) -> str:
    link = f'<a href="#{anchor(notebook)}">{html.escape(notebook.title)}</a>'
    return f"{link} has figures of {_people(notebook)} people, too few for a headline."


def _next_steps(notebooks: list[ExecutedNotebook]) -> str:
    """One line for each notebook whose metadata say what to do with it."""
    steps = [(n, n.first_page["next"]) for n in notebooks if n.first_page.get("next")]
    lines = "".join(f'<li><a href="#{anchor(n)}">{html.escape(text)}</a></li>' for n, text in steps)
    return f"<h2>What next</h2>\n<ul>{lines}</ul>\n" if lines else ""


def _everything(notebooks: list[ExecutedNotebook]) -> str:
    """All recorded figures and tables; those of the suite are folded, because each is in its chapter."""
    own = "".join(_recorded(n) for n in notebooks if n.entries and "first_page" not in n.options)
    suite = "".join(_recorded(n) for n in notebooks if n.entries and "first_page" in n.options)
    folded = f"<details><summary>All recorded figures</summary>{suite}</details>\n" if suite else ""
    return own + folded


def _failures(notebooks: list[ExecutedNotebook]) -> str:
    lines = [
        f'<li><a href="#{anchor(n)}">{n.name}</a>: {html.escape(str(n.note.get("error")))}</li>'
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


def _recorded(notebook: ExecutedNotebook) -> str:
    tiles = "".join(_tile(e) for e in notebook.entries if e["kind"] == "figure")
    tables = "".join(_table(e) for e in notebook.entries if e["kind"] == "table")
    link = f'<a href="#{anchor(notebook)}">{html.escape(notebook.title)}</a>'
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
        f'<a class="card" href="#{anchor(notebook)}">{image}<h3>{html.escape(notebook.title)}</h3>'
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
        "Run time": f"{origin['notebooks_s'] / 60:.1f} min of notebooks; finished folds that they found were "
        "trained before",
        "Python": origin["python"],
        "Libraries": ", ".join(f"{n} {v}" for n, v in origin["libraries"].items()),
    }
    cells = "".join(f"<tr><th>{k}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    return (
        f'<h2>How this was made</h2>\n<div class="scroll"><table class="made">{cells}</table></div>\n'
        "<p>All figures are in <code>results.json</code>, all parameters in <code>parameters.yaml</code>, "
        "the executed notebooks and every picture in the folders next to this file.</p>\n"
    )

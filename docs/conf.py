"""The documentation site: the repository's own pages and notebooks, and the API from the docstrings.

`make docs` builds it into docs/build. No text is written here twice: the source folder is the repository,
and what is generated (an API page for each folder of the package) stays out of it. The site works without
a network, search and formulas included.
"""

import re
from pathlib import Path

from docutils.nodes import SkipNode, literal

import fedet
from fedet.report.markdown import mathml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fedet"
API = ROOT / "docs" / "api"

project, author, release = "fedet", "fedet developers", fedet.__version__
copyright = "fedet developers, MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = [
    "*.md", "fedet/README.md", "fedet/weights/README.md", "notebooks/*", "reports/*.md", "tests/README.md",
    "docs/api/*",
]  # fmt: skip
exclude_patterns = ["**/.ipynb_checkpoints", "docs/build"]
templates_path = ["templates"]

html_theme, html_title = "furo", f"fedet {release}"
html_additional_pages = {"index": "to_readme.html"}
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False

default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring, napoleon_numpy_docstring = True, False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the stored outputs are the page
nb_ipywidgets_js: dict = {}  # widgets need a kernel; their still pictures do not
nb_mime_priority_overrides = [("html", "image/png", 0), ("html", "image/jpeg", 1)]
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure", "myst.header"]

CONTENTS = """

```{toctree}
:hidden:
:caption: Notebooks
:glob:

notebooks/README
notebooks/[0-9]*
```

```{toctree}
:hidden:
:caption: Results

reports/README
reports/RESULTS
fedet/weights/README
```

```{toctree}
:hidden:
:caption: The package

fedet/README
docs/api/core
%s
CONTRIBUTING
tests/README
CHANGELOG
```
"""


def wings() -> list[str]:
    """The folders of the package that hold modules."""
    return sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))


def modules(folder: Path) -> list[str]:
    """The dotted names of the modules in a folder of the package and below it."""
    files = sorted(folder.rglob("*.py")) if folder != PACKAGE else sorted(folder.glob("*.py"))
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files if f.name != "__main__.py"]
    return [name.removesuffix(".__init__") for name in names]


def write_api(app) -> None:
    """A page for each folder of the package; one that is unchanged is not touched."""
    API.mkdir(exist_ok=True)
    for wing in ("core", *wings()):
        folder = PACKAGE if wing == "core" else PACKAGE / wing
        parts = [f"{wing}\n{'=' * len(wing)}\n"]
        for name in modules(folder):
            parts.append(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}\n   :members:\n")
        text, page = "\n".join(parts), API / f"{wing}.rst"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def adapt_page(app, name: str, source: list[str]) -> None:
    """What differs between the repository's pages and the site: contents, folders, the drawn map."""
    if name == "README":
        source[0] += CONTENTS % "\n".join(f"docs/api/{wing}" for wing in wings())
    if name == "fedet/README":
        source[0] = re.sub(r"```mermaid\nblock-beta\n(.*?)```", draw_floors, source[0], flags=re.S)
        source[0] = re.sub(r"\]\((\w+)\)", r"](../docs/api/\1.rst)", source[0])
        source[0] = source[0].replace("../docs/api/weights.rst", "weights/README.md")


def draw_floors(match: re.Match) -> str:
    """The map's blocks, `name:width` in twelve columns, as a grid that needs no script."""
    core = set(re.search(r"class ([\w,]+) core", match[1])[1].split(","))
    cells = []
    for name, width in re.findall(r"(\w+):(\d+)", match[1].split("classDef")[0]):
        shade = "background: #f4c58f; color: #000;" if name in core else ""
        style = f"grid-column: span {width}; border: 1px solid #8888; padding: .3em; {shade}"
        cells.append(f'<span style="{style}">{name}</span>')
    grid = "display: grid; grid-template-columns: repeat(12, 1fr); gap: .3em; text-align: center"
    return f'<div style="{grid}; overflow-x: auto">{"".join(cells)}</div>\n'


def adapt_docstring(app, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Docstrings are written to be read as they are: bars stay bars, indented examples are code."""
    shown: list[str] = []
    for line in lines:
        text = [part for part in shown if part.strip()]
        if line.startswith("    ") and text and not shown[-1].strip() and not text[-1].startswith(" "):
            shown += ["::", ""]
        shown.append(re.sub(r"(`[^`]*`)|([|]|(?<=/)\*|(?<=\w)_(?!\w))", lambda m: m[1] or f"\\{m[2]}", line))
    lines[:] = shown


def visit_formula(self, node) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def visit_block_formula(self, node) -> None:
    self.body.append(f"<p>{mathml(node.astext(), 'block')}</p>")
    raise SkipNode


def setup(app) -> None:
    app.connect("builder-inited", write_api)
    app.connect("source-read", adapt_page)
    app.connect("autodoc-process-docstring", adapt_docstring, priority=400)  # before napoleon reads them
    app.add_generic_role("mpltype", literal)  # in what is inherited from matplotlib
    app.add_html_math_renderer("mathml", (visit_formula, None), (visit_block_formula, None))

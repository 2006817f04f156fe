"""Text of notebooks as HTML that loads nothing from the network: Markdown, maths as MathML, code."""

import html
import re
from collections import Counter
from functools import lru_cache
from html.parser import HTMLParser

import mistune
from latex2mathml import converter, exceptions
from mistune.renderers.html import HTMLRenderer
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_ERRORS = (e for e in vars(exceptions).values() if isinstance(e, type) and issubclass(e, Exception))
UNREADABLE = (*_ERRORS, ValueError, KeyError, IndexError)  # raised by the converter on bad TeX
EXTERNAL = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*(?:https?|ftp|file):", re.I)
LOADING = {"src", "srcset", "poster", "data", "background", "xlink:href", "action", "formaction"}
IN_CSS = re.compile(r"""url\(\s*["']?\s*(?:https?:)?//[^)]*\)|@import[^;]*;""", re.I)
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Renderer(HTMLRenderer):
    """Headings one level down and with ids, maths as MathML, code highlighted."""

    def __init__(self, prefix: str):
        super().__init__(escape=False)
        self.prefix, self.uses = prefix, Counter()

    def heading(self, text: str, level: int, **attrs) -> str:
        name = re.sub(r"\W+", "-", re.sub(r"<[^>]+>", "", text).lower()).strip("-") or "part"
        self.uses[name] += 1
        name = f"{self.prefix}{name}" + (f"-{self.uses[name]}" if self.uses[name] > 1 else "")
        return f'<h{level + 1} id="{html.escape(name)}">{text}</h{level + 1}>\n'

    def block_code(self, code: str, info: str | None = None) -> str:
        return highlight_code(code, info or "text")


def render_markdown(text: str, prefix: str = "") -> str:
    """Markdown as HTML that loads nothing from the network.

    Args:
        text: with maths between dollar signs.
        prefix: of the headings' ids.
    """
    plugins = ["table", "strikethrough", "math", "footnotes", "task_lists"]
    render = mistune.create_markdown(renderer=_Renderer(prefix), plugins=plugins)
    render.renderer.register("inline_math", lambda _, tex: mathml(tex))
    render.renderer.register("block_math", lambda _, tex: mathml(tex, "block"))
    return remove_external(str(render(text)))


def mathml(tex: str, display: str = "inline") -> str:
    """TeX as MathML, which browsers draw without a script; as code if the converter fails."""
    try:
        text = converter.convert(tex.strip(), display=display)
    except UNREADABLE:
        return f"<code>{html.escape(tex)}</code>"
    return re.sub(r' xmlns="[^"]*"', "", text)


def highlight_code(code: str, language: str = "python") -> str:
    """Source text as HTML with its tokens marked for the style sheet of `code_styles`."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return highlight(code, lexer, HtmlFormatter(cssclass="hl"))


@lru_cache
def code_styles() -> tuple[str, str]:
    """Style rules for `highlight_code`, light and dark, each to be nested in a selector."""
    styles = ("friendly", "github-dark")
    light, dark = (HtmlFormatter(style=name).get_style_defs(".hl") for name in styles)
    return tuple("\n".join(r for r in s.splitlines() if r.startswith(".hl .")) for s in (light, dark))


def final_text(text: str) -> str:
    """A stream's text as a terminal ends up showing it, without colours: the last state of each line."""
    lines = ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


# ---------------------------------------------------------------- no network


def _loads(tag: str, name: str, value: str) -> bool:
    """Whether an attribute makes the browser fetch something from the network."""
    if name == "srcset":
        return any(EXTERNAL.match(url) for url in value.split(","))
    if name in LOADING or (name == "href" and tag in ("link", "base", "image", "use")):
        return bool(EXTERNAL.match(value))
    if tag == "meta" and name == "content":
        return bool(re.search(r"url\s*=", value, re.I))
    return name == "style" and bool(IN_CSS.search(value))


class _References(HTMLParser):
    """Collects what a browser would load from the network by itself; links to click on do not count."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.references: list[str] = []
        self._style = False

    def handle_starttag(self, tag, attrs):
        self._style = tag == "style"
        for name, value in attrs:
            if _loads(tag, name, value or ""):
                self.references.append(f"<{tag} {name}={(value or '')[:80]!r}>")

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        if self._style:
            self.references += [m.group()[:80] for m in IN_CSS.finditer(data)]


def external_references(page: str) -> list[str]:
    """What a page would load from the network: sources, style sheets, imports; links do not count.

    >>> external_references('<a href="https://x.org">x</a><img src="//x.org/a.png">')
    ["<img src='//x.org/a.png'>"]
    """
    reader = _References()
    reader.feed(page)
    reader.close()
    return reader.references


class _Cleaner(HTMLParser):
    """Copies HTML and drops the tags that load from the network."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.chunks: list[str] = []

    def handle_starttag(self, tag, attrs):
        text = self.get_starttag_text()
        removed = f"<!-- left out: {tag} from the network -->"
        self.chunks.append(removed if external_references(text) else text)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        self.chunks.append(f"</{tag}>")

    def handle_data(self, data):
        self.chunks.append(IN_CSS.sub("", data))

    def handle_entityref(self, name):
        self.chunks.append(f"&{name};")

    def handle_charref(self, name):
        self.chunks.append(f"&#{name};")


def remove_external(fragment: str) -> str:
    """The same HTML without what would be loaded from the network; unchanged if there is nothing."""
    if not external_references(fragment):
        return fragment
    cleaner = _Cleaner()
    cleaner.feed(fragment)
    cleaner.close()
    return "".join(cleaner.chunks)

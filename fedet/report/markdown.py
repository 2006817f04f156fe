"""Text of notebooks as HTML that asks for nothing from elsewhere: Markdown, maths as MathML, code."""

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

_OWN = (e for e in vars(exceptions).values() if isinstance(e, type) and issubclass(e, Exception))
UNREADABLE = (*_OWN, ValueError, KeyError, IndexError)  # what the converter raises on bad TeX
FOREIGN = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*(?:https?|ftp|file):", re.I)
LOADING = {"src", "srcset", "poster", "data", "background", "xlink:href", "action", "formaction"}
IN_CSS = re.compile(r"""url\(\s*["']?\s*(?:https?:)?//[^)]*\)|@import[^;]*;""", re.I)
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Prose(HTMLRenderer):
    """Headings one level down and with ids, maths as MathML, code highlighted."""

    def __init__(self, place: str):
        super().__init__(escape=False)
        self.place, self.seen = place, Counter()

    def heading(self, text: str, level: int, **attrs) -> str:
        name = re.sub(r"\W+", "-", re.sub(r"<[^>]+>", "", text).lower()).strip("-") or "part"
        self.seen[name] += 1
        name = f"{self.place}{name}" + (f"-{self.seen[name]}" if self.seen[name] > 1 else "")
        return f'<h{level + 1} id="{html.escape(name)}">{text}</h{level + 1}>\n'

    def block_code(self, code: str, info: str | None = None) -> str:
        return highlighted(code, info or "text")


def markdown(text: str, place: str = "") -> str:
    """Markdown as HTML that loads nothing from elsewhere.

    Args:
        text: with maths between dollar signs.
        place: prefix of the headings' ids.
    """
    plugins = ["table", "strikethrough", "math", "footnotes", "task_lists"]
    render = mistune.create_markdown(renderer=_Prose(place), plugins=plugins)
    render.renderer.register("inline_math", lambda _, tex: mathml(tex))
    render.renderer.register("block_math", lambda _, tex: mathml(tex, "block"))
    return without_foreign(str(render(text)))


def mathml(tex: str, display: str = "inline") -> str:
    """TeX as MathML, which browsers draw by themselves; as code where it cannot be read."""
    try:
        text = converter.convert(tex.strip(), display=display)
    except UNREADABLE:
        return f"<code>{html.escape(tex)}</code>"
    return re.sub(r' xmlns="[^"]*"', "", text)


def highlighted(code: str, language: str = "python") -> str:
    """Source text with its parts marked for the style sheet of `code_styles`."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return highlight(code, lexer, HtmlFormatter(cssclass="hl"))


@lru_cache
def code_styles() -> tuple[str, str]:
    """Style rules for `highlighted` in light and in dark, each to be nested in a selector."""
    styles = ("friendly", "github-dark")
    light, dark = (HtmlFormatter(style=name).get_style_defs(".hl") for name in styles)
    return tuple("\n".join(r for r in s.splitlines() if r.startswith(".hl .")) for s in (light, dark))


def plain(text: str) -> str:
    """A stream's text: without colours, of a line that was overwritten the last state."""
    lines = ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


# ---------------------------------------------------------------- nothing from elsewhere


def _loads(tag: str, name: str, value: str) -> bool:
    """Whether an attribute makes the browser fetch something from another address."""
    if name == "srcset":
        return any(FOREIGN.match(part) for part in value.split(","))
    if name in LOADING or (name == "href" and tag in ("link", "base", "image", "use")):
        return bool(FOREIGN.match(value))
    if tag == "meta" and name == "content":
        return bool(re.search(r"url\s*=", value, re.I))
    return name == "style" and bool(IN_CSS.search(value))


class _References(HTMLParser):
    """Collects what a browser would load from another address; links to click on are no such thing."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag, attrs):
        self._style = tag == "style"
        for name, value in attrs:
            if _loads(tag, name, value or ""):
                self.found.append(f"<{tag} {name}={(value or '')[:80]!r}>")

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        if self._style:
            self.found += [m.group()[:80] for m in IN_CSS.finditer(data)]


def references(page: str) -> list[str]:
    """What a page would load from elsewhere: sources, style sheets, imports; links do not count.

    >>> references('<a href="https://x.org">x</a><img src="//x.org/a.png">')
    ["<img src='//x.org/a.png'>"]
    """
    reader = _References()
    reader.feed(page)
    reader.close()
    return reader.found


class _Cleaner(HTMLParser):
    """Copies HTML and drops the tags that load from elsewhere."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []

    def handle_starttag(self, tag, attrs):
        text = self.get_starttag_text()
        bad = references(text)
        self.parts.append(f"<!-- left out: {tag} from elsewhere -->" if bad else text)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        self.parts.append(f"</{tag}>")

    def handle_data(self, data):
        self.parts.append(IN_CSS.sub("", data))

    def handle_entityref(self, name):
        self.parts.append(f"&{name};")

    def handle_charref(self, name):
        self.parts.append(f"&#{name};")


def without_foreign(fragment: str) -> str:
    """The same HTML without what would be loaded from elsewhere; untouched if there is no such thing."""
    if not references(fragment):
        return fragment
    cleaner = _Cleaner()
    cleaner.feed(fragment)
    cleaner.close()
    return "".join(cleaner.parts)

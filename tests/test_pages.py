"""Pages, notebooks and Makefile: what they link to, name and tell the reader to type is there."""

import json
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import typer
from command import fedet

from fedet.cli.main import app

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_command(app).commands
LEFT_OUT = {
    "sample",
    "standard",
    "before_the_move",
}  # folders whose pages are results or of an earlier version
QUICK = ("fedet detect ", "fedet convert ", "fedet evaluate ")


def pages() -> list[Path]:
    """All Markdown pages and notebooks."""
    folders = [ROOT / name for name in ("docs", "fedet", "notebooks", "reports", "tests")]
    found = [*ROOT.glob("*.md"), *(p for f in folders for k in ("*.md", "*.ipynb") for p in f.rglob(k))]
    return [page for page in found if not set(page.relative_to(ROOT).parts) & {*LEFT_OUT, "build", "api"}]


EACH_PAGE = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """A page's Markdown; of a notebook that of its cells, without code."""
    if page.suffix == ".md":
        return page.read_text("utf-8")
    cells = json.loads(page.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchors(page: Path) -> set[str]:
    """What links may name behind #: the headings as a repository's web page spells them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", prose(page), flags=re.S), re.M)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", h)).strip().lower() for h in headings)
    return {heading.replace(" ", "-") for heading in plain}


@EACH_PAGE
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", prose(page), flags=re.S)
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    named = re.findall(r"`((?:fedet|tests|notebooks|reports)/[\w/.]+\.\w+)`", prose(page))
    lost += [path for path in named if not (ROOT / path).exists()]
    assert not lost


@EACH_PAGE
def test_functions_are_there(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it has the names of before, too")
    for name in re.findall(r"`(fedet(?:\.\w+)+)", prose(page)):
        pkgutil.resolve_name(name)


def blocks(page: Path) -> list[str]:
    """The lines of a page's shell blocks that a reader would type, without their comments."""
    text = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", prose(page), re.S)).replace("\\\n", " ")
    for name, value in re.findall(r'^(\w+)="(.*)"$', text, re.M):
        text = text.replace(f"${name}", value)
    lines = (re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


@EACH_PAGE
def test_commands_in_blocks_are_understood(page):
    """Every option and every value is parsed as the command parses it; nothing is run."""
    for line in blocks(page):
        program, *words = shlex.split(line)
        if program == "fedet":
            with COMMANDS[words[0]].make_context(words[0], words[1:]) as context:
                assert context.params, line
        elif program == "make" and words:
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M), line


@EACH_PAGE
def test_commands_in_sentences_have_these_options(page):
    for code in re.findall(r"`(fedet [a-z][^`]*)`", prose(page)):
        _, name, *words = code.split()
        known = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)}
        assert {w.partition("=")[0] for w in words if w.startswith("-")} <= known | {"-h", "--help"}, code
    for target in re.findall(r"`make ([\w-]+)", prose(page)):
        assert re.search(rf"^(\.PHONY:.* )?{target}\b", (ROOT / "Makefile").read_text(), re.M), target


def test_every_command_has_help():
    for name in COMMANDS:
        shown = fedet(name, "-h")
        assert shown.returncode == 0 and f"Usage: fedet {name}" in shown.stdout


@pytest.mark.slow
def test_what_the_readme_tells_to_do_with_a_video_works(small_set, tmp_path, monkeypatch):
    """Its lines are run one after another; only the names of the files are those of a generated set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "interviews").symlink_to(small_set / "videos")
    (tmp_path / "interview.mp4").symlink_to(small_set / "videos" / "s01_01.mp4")
    (tmp_path / "pair.mp4").symlink_to(small_set / "videos" / "s02_01.mp4")
    (tmp_path / "my_data").symlink_to(small_set)
    quick = [line for line in blocks(ROOT / "README.md") if line.startswith(QUICK) and "new.mp4" not in line]
    assert len(quick) >= 4
    for line in quick:
        shown = fedet(*shlex.split(line)[1:])
        assert shown.returncode == 0, (line, shown.stderr)
    assert (tmp_path / "interview.eaf").is_file() and (tmp_path / "results.json").is_file()

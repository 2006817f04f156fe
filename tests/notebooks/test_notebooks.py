"""The conventions of all notebooks: parameters, prose before code, short cells, stored outputs."""

import ast
import pkgutil
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXECUTED = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path, kind=None):
    return [c for c in nbformat.read(path, as_version=4).cells if kind in (None, c.cell_type)]


def test_there_are_notebooks():
    assert NOTEBOOKS


@EXECUTED
def test_file_is_valid_and_named_by_number_verb_noun(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    number, *words = path.stem.split("_")
    assert number.isdigit() and len(number) == 2 and words


@EXECUTED
def test_one_cell_of_typed_commented_parameters(path):
    tagged = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        name, _, rest = line.partition(":")
        assert name.isidentifier() and "#" in rest, line
        assert line.count("=") == 1, "papermill cannot read a line with more, not even in text"


LESSON = "05_learn_the_ideas"  # its functions are the ideas it teaches


@EXECUTED
def test_cells_are_short_and_only_the_lesson_defines_functions(path):
    for cell in cells(path, "code"):
        lines = cell.source.splitlines()
        assert len(lines) <= 15, cell.source
        assert not any(line.startswith(("class ", "async def ", "@")) for line in lines)
        assert path.stem == LESSON or not any(line.startswith("def ") for line in lines)


@EXECUTED
def test_prose_comes_before_code_and_tells_question_and_end(path):
    text = "\n".join(c.source for c in cells(path, "markdown"))
    for needed in ("**Question.**", "**You will learn**", "**Run time**", "## Takeaways", "## Try next"):
        assert needed in text
    assert cells(path)[0].cell_type == "markdown" and cells(path)[0].source.startswith("# ")


def is_checked(cell) -> bool:
    """Whether a rerun compares the cell's output with the stored one."""
    return "nbval-check-output" in cell.metadata.get("tags", [])


@EXECUTED
def test_cells_hold_no_test_code_and_hide_no_warning(path):
    source = "\n".join(c.source for c in cells(path, "code"))
    assert not re.search(r"NBVAL|^\s*assert |warnings", source, re.M)


@EXECUTED
def test_outputs_show_no_warning_and_no_undefined_number(path):
    for cell in cells(path, "code"):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text[:200]
            shown = [str(output.get("text", "")), *map(str, output.get("data", {}).values())]
            assert not any(re.search(r"\b(?:nan|NaN)\b|<NA>", text) for text in shown)


@EXECUTED
def test_outputs_are_stored_and_free_of_errors_and_of_this_machine(path):
    code = [c for c in cells(path, "code") if c.source.strip()]
    assert all(c.execution_count for c in code)
    assert any(map(is_checked, code))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error"
            shown = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            assert str(ROOT) not in shown and "/tmp/" not in shown and " at 0x" not in shown
        assert not is_checked(cell) or cell.outputs, "a checked cell without output is compared with nothing"


@EXECUTED
def test_a_widget_has_a_still_picture_beside_it(path):
    shown = [o.get("data", {}) for c in cells(path, "code") for o in c.outputs]
    widgets = any("application/vnd.jupyter.widget-view+json" in data for data in shown)
    if widgets:
        assert any("image/png" in data for data in shown)


@EXECUTED
def test_figures_are_handed_to_the_first_page_of_a_report(path):
    assert any(re.search(r"^\s*record(_table)?\(", c.source, re.M) for c in cells(path, "code"))


@EXECUTED
def test_what_cells_import_is_there(path):
    for cell in cells(path, "code"):
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!")))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fedet":
                for alias in node.names:
                    pkgutil.resolve_name(f"{node.module}.{alias.name}")


def test_the_index_lists_every_notebook_with_its_title_and_time():
    page = (ROOT / "notebooks" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(.+?)\]\((\S+)\) \| .+\? \| (.+) \|$", page, re.M)
    assert [name for _, name, _ in rows] == [path.name for path in NOTEBOOKS]
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02}" for i in range(len(NOTEBOOKS))]
    for (title, _, time), path in zip(rows, NOTEBOOKS, strict=True):
        first = cells(path)[0].source
        assert first.startswith(f"# {title}:") and f"**Run time** {time}" in first, path.stem
    paths = re.search(r"read, in this order.*?\n\n", page, re.S)[0]
    assert set(re.findall(r"\d\d", paths)) == {path.stem[:2] for path in NOTEBOOKS}

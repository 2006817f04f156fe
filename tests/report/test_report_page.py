"""The report's page in a browser without a network: views, timelines, light and dark, widths, paper."""

import base64
import io
import json

import nbformat
import pytest
import yaml
from explorer_data import N_FRAMES, curves, predicted, truth
from lab import new_page, open_browser
from PIL import Image

from fedet.explorer.messages import page_data
from fedet.explorer.widget import PAGE_MIME, Explorer
from fedet.report.make import build_page
from fedet.report.notebook_html import EXPLORER
from fedet.report.plan import RUN_NOTE
from fedet.report.recorded import MIME

pytestmark = pytest.mark.browser
PARAMETERS = 'seed: int = 1  # of all\nvideo: str = ""  # a video'


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (900, 300), "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def cell(source, *bundles):
    new = nbformat.v4.new_code_cell(source, execution_count=1)
    new.outputs = [nbformat.v4.new_output("display_data", data=data) for data in bundles]
    return new


def executed(title, *cells, **fedet):
    tagged = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    aside = nbformat.v4.new_markdown_cell("An aside with $x^2$.", metadata={"tags": ["aside"]})
    first = nbformat.v4.new_markdown_cell(f"# {title}\n\n**Question.** What?\n\n## Part\n\nText.")
    note = {"complete": True, "fingerprint": "x", "error": None, "seconds": 1.0}
    return nbformat.v4.new_notebook(
        cells=[first, tagged, aside, *cells], metadata={RUN_NOTE: note, "fedet": fedet}
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A folder as the runner leaves it: a chapter with a timeline, and a brief one."""
    out = tmp_path_factory.mktemp("report")
    (out / "notebooks").mkdir()
    explorer = Explorer(None, predicted(), truth(), curves(), name="clip", duration_s=N_FRAMES / 30,
                        autosave=False)  # fmt: skip
    assert PAGE_MIME == EXPLORER
    figure = {"kind": "figure", "name": "f1", "label": "Spotting F1", "value": 0.5, "interval": [0.4, 0.6],
              "unit": None}  # fmt: skip
    rows = [[str(i)] for i in range(40)]
    long = {"kind": "table", "name": "t", "label": "Many rows", "columns": ["a"], "rows": rows,
            "index": [str(i) for i in range(40)],
            "html": "<table>" + "<tr><td>1</td></tr>" * 40 + "</table>"}  # fmt: skip
    prose = {"text/markdown": "|" + "a_long_heading|" * 12 + "\n|" + "---|" * 12 + "\n|" + "x|" * 12}
    wide = {"text/html": "<table class=dataframe><tr>" + "<td>a long cell of it</td>" * 30 + "</tr></table>"}
    timeline = cell("explorer", {EXPLORER: page_data(explorer, 0), "image/png": picture()})
    others = (
        cell("f1", {MIME: figure, "text/plain": "F1"}),
        cell("x", wide, prose, {MIME: long, "text/html": "t"}),
    )
    chapters = {
        "00_first": executed("First", timeline),
        "01_second": executed("Second", *others, print="brief"),
    }
    for name, notebook in chapters.items():
        nbformat.write(notebook, out / "notebooks" / f"{name}.ipynb")
    made = {"fedet": "0", "commit": "c", "date": "d", "profile": "quick", "python": "3", "system": "s",
            "processors": 2, "device": "cpu", "libraries": {}, "notebooks_s": 2.0}  # fmt: skip
    (out / "results.json").write_text(json.dumps({"made": made, "notebooks": dict.fromkeys(chapters, {})}))
    values = dict.fromkeys(chapters, {"seed": 1, "video": ""})
    values["01_second"] = {"seed": 1, "video": "a_long_name_of_a_file", "language": "ja"}
    (out / "parameters.yaml").write_text(yaml.safe_dump({"notebooks": values}))
    return build_page(out)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


def opened(browser, report, place="", **options):
    page = new_page(browser, offline=True, **options)
    page.problems, page.requests = [], []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    page.on("request", lambda r: page.requests.append(r.url))
    page.goto(report.as_uri() + (f"#{place}" if place else ""))
    return page


def shown(page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.view')].filter(v => v.offsetParent).map(v => v.id)")


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(browser, report):
    page = opened(browser, report, "c-00_first")
    page.locator(".fx-figures tbody tr").first.wait_for()
    assert [u for u in page.requests if not u.startswith(("file:", "data:"))] == []
    assert page.problems == []


def test_one_view_at_a_time_by_link_and_all_on_demand(browser, report):
    page = opened(browser, report)
    assert shown(page) == ["overview"]
    page.locator("a.card", has_text="Second").click()
    page.locator("#c-01_second.shown").wait_for()  # the page hears of its new address a little later
    assert shown(page) == ["c-01_second"]
    page.go_back()
    page.locator("#overview.shown").wait_for()
    assert shown(page) == ["overview"]
    page.get_by_role("link", name="All on one page").click()
    page.locator("#c-01_second").wait_for()
    assert shown(page) == ["overview", "c-00_first", "c-01_second"]


def test_a_timeline_that_was_hidden_at_first_answers_to_its_threshold(browser, report):
    page = opened(browser, report)
    page.locator("nav a", has_text="First").click()
    rows = page.locator(".fx-figures tbody tr").first
    rows.wait_for()
    before = rows.inner_text()
    page.get_by_role("slider", name="Threshold").fill("0.9")
    page.wait_for_function("t => document.querySelector('.fx-figures tbody tr').innerText !== t", arg=before)
    assert page.evaluate("document.querySelector('.explorer').clientWidth") > 300


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(browser, report, width):
    page = opened(browser, report, "all", viewport={"width": width, "height": 800})
    page.locator(".fx-figures tbody tr").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_long_table_is_folded_on_the_first_page(browser, report):
    page = opened(browser, report)
    table = page.locator("#overview details.rows table")
    assert table.count() == 1 and not table.is_visible()
    page.get_by_text("Many rows (40 rows)").click()
    assert table.is_visible()


def test_a_chapter_in_japanese_says_so_and_names_fonts_for_it(browser, report):
    page = opened(browser, report, "c-01_second")
    assert page.get_attribute("#c-01_second", "lang") == "ja"
    assert page.get_attribute("#c-00_first", "lang") == "en"
    fonts = page.evaluate("getComputedStyle(document.querySelector('#c-01_second')).fontFamily")
    for font in ("system-ui", "Hiragino Sans", "Yu Gothic", "Meiryo", "Noto Sans CJK JP"):
        assert font in fonts


def test_light_and_dark_follow_the_system_and_the_button(browser, report):
    page = opened(browser, report, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(colour) == "rgb(255, 255, 255)" != dark


def test_code_is_folded_and_unfolds(browser, report):
    page = opened(browser, report, "all")
    assert page.locator("details.code[open]").count() == 0
    page.get_by_role("button", name="Show all code").click()
    assert page.locator("details.code[open]").count() == page.locator("details.code").count() > 0


def test_paper_shows_the_picture_of_a_timeline_and_no_asides(browser, report):
    page = opened(browser, report, "c-00_first")
    page.emulate_media(media="print")
    assert page.locator("#c-00_first .printed img").is_visible()
    assert not page.locator("#c-00_first .explorer").is_visible()
    assert not page.locator("#c-00_first .aside").is_visible() and not page.locator("nav").is_visible()


def test_without_scripts_everything_is_there(browser, report):
    page = opened(browser, report, java_script_enabled=False)
    assert page.get_by_role("heading", name="Second").first.is_visible()
    assert page.locator("math").first.is_visible()

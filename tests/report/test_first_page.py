"""The first page of a report: which figures are headlines, and what stands in their place."""

import nbformat
import pytest

from fedet.report.executed import ExecutedNotebook
from fedet.report.first_page import FEW, overview

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def figure(name: str, value: float) -> dict:
    return {"kind": "figure", "name": name, "label": f"The {name}", "value": value, "unit": None}


def chapter(name: str, entries: list[dict], n: int = 6, video: str = "", **first_page) -> ExecutedNotebook:
    cell = nbformat.v4.new_code_cell("plot()", metadata={"tags": ["first-page"]})
    cell.outputs = [nbformat.v4.new_output("display_data", data={"image/png": PIXEL})]
    metadata = {"fedet": {"first_page": first_page}} if first_page else {}
    content = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(f"# {name}"), cell], metadata=metadata
    )
    return ExecutedNotebook(name, content, {"people": n, "video": video}, {}, entries)


def page(*notebooks: ExecutedNotebook) -> str:
    made = {"fedet": "1", "commit": "c", "date": "today", "profile": "quick", "python": "3", "libraries": {}}
    made |= {"device": "cpu", "processors": 2, "system": "x", "notebooks_s": 60.0}
    return overview(list(notebooks), made, {}).split("<details><summary>All recorded")[0]


COUNTED = {"sure": ["f1"], "people": "people"}


@pytest.mark.parametrize(
    ("people", "video", "shown"), [(FEW - 1, "", False), (FEW, "", True), (2, "mine.mp4", True)]
)
def test_a_figure_of_few_generated_people_is_no_headline(people, video, shown):
    text = page(chapter("02_train", [figure("f1", 0.123)], people, video, **COUNTED))
    assert ("0.123" in text) == shown
    assert (f"figures of {people} people, too few" in text) == (not shown)


def test_the_stored_benchmark_stands_in_for_a_quick_run():
    entries = [figure("f1", 0.123), figure("stored_f1", 0.876), figure("other", 0.555)]
    text = page(chapter("02_train", entries, 50, **COUNTED))
    assert "0.876" in text and "0.123" not in text and "0.555" not in text


def test_the_picture_comes_before_every_figure_and_the_answers_in_the_order_of_the_questions():
    first = chapter("00_look", [figure("events", 7.0)], found=["events"])
    text = page(
        first, chapter("02_train", [figure("f1", 0.5)], 20, **COUNTED), chapter("04", [], next="Review <it>.")
    )
    places = [text.index(part) for part in ("<img", "What was found", "How sure", "What next", "Chapters")]
    assert places == sorted(places) and text.index("7.000") > places[0]
    assert "Review &lt;it&gt;." in text


def test_a_notebook_that_chooses_nothing_shows_all_its_figures():
    assert "0.321" in page(chapter("20_mine", [figure("mine", 0.321)], 1))


def test_a_notebook_that_ran_in_another_language_has_its_title_in_it():
    from fedet.report.page import render_page

    pilot = chapter("09_pilot", [], next="Go.")
    pilot.content.metadata["fedet"]["titles"] = {"ja": "パイロット調査"}
    pilot.content.metadata["fedet"]["headings"] = {"ja": {"The brief": "報告書"}}
    pilot.content.cells.append(nbformat.v4.new_markdown_cell("## The brief\n\nText.\n\n## Other"))
    made = {"fedet": "1", "commit": "c", "date": "today", "profile": "quick", "python": "3", "libraries": {}}
    made |= {"device": "cpu", "processors": 2, "system": "x", "notebooks_s": 60.0}
    assert pilot.title == "09_pilot" and "パイロット" not in render_page([pilot], made, {})
    pilot.values["language"] = "ja"
    shown = render_page([pilot], made, {})
    assert (
        pilot.title == "パイロット調査"
        and shown.count("パイロット調査") >= 3
        and "09_pilot</h2>" not in shown
    )
    assert "報告書</h3>" in shown and "The brief" not in shown and "Other</h3>" in shown


def test_a_page_of_own_videos_says_that_it_shows_people():
    own, generated = "pictures of the people in your videos", "The faces are generated"
    text = page(chapter("00_look", [], video="mine.mp4"))
    assert own in text and generated not in text
    text = page(chapter("00_look", []))
    assert own not in text and generated in text

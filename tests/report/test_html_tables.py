"""The report's tables hold what the notebook's did, with one row of headings."""

from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.report.html_tables import tidy_tables

WORDS = st.text("abc <&>|.5-", max_size=6)
FIGURES = st.floats(-9, 9).map(lambda v: round(v, 3))


class Cells(HTMLParser):
    """The text of each cell, in order."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        self.inside = tag in ("th", "td")
        if self.inside:
            self.found.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("th", "td")

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def cells(text):
    reader = Cells()
    reader.feed(text)
    return reader.found


@settings(max_examples=30)
@given(st.lists(st.tuples(FIGURES, WORDS), min_size=1, max_size=5), st.booleans())
def test_no_cell_is_lost_or_moved(rows, named):
    table = pd.DataFrame(rows, columns=["value", "note"])
    table.index = pd.Index([f"row {i % 2}" for i in range(len(rows))], name="kind" if named else None)
    text = tidy_tables(table.to_html())
    read, before = cells(text), cells(table.to_html())
    assert read[-3 * len(rows) :] == before[-3 * len(rows) :]
    assert text.count("<tr") == len(rows) + 1
    assert (">kind<" in text) == named


def test_only_columns_with_words_are_marked():
    table = pd.DataFrame(
        {"f1": ["0.52", "-"], "share": ["0.5 [0.1, 1.0]", "12 %"], "told": ["7", "not shown"]}
    )
    text = tidy_tables(table.to_html())
    assert "<th class=words>told</th>" in text and "<td class=words>7</td>" in text
    assert text.count("words") == 3


@pytest.mark.parametrize(
    "text",
    [
        "<p>a</p>",
        "<table><tr><td>a</td></tr></table>",
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", "y"), ("x", "z")])).to_html(),
    ],
)
def test_other_html_stays_as_it_is(text):
    assert tidy_tables(text) == text


def test_figures_have_the_names_of_the_drawings():
    text = tidy_tables(
        pd.DataFrame({"spotting_f1": [0.5], "uar change": [0.1], "own_f1": [1]}, index=["map_0.5"]).to_html()
    )
    assert cells(text)[1:5] == ["spotting F1", "recognition UAR change", "own_f1", "mAP at tIoU 0.5"]


def test_columns_of_the_api_have_words_in_headings_and_index_but_cells_stay():
    table = pd.DataFrame({"per_minute": ["row_id"], "row_id": ["12"]}, index=["kappa_events"])
    assert cells(tidy_tables(table.to_html()).replace("<wbr>", ""))[1:] == [
        "per minute",
        "row",
        "kappa of all events, unmatched ones included",
        "row_id",
        "12",
    ]


def test_long_words_may_break_at_a_joint_and_read_the_same():
    table = pd.DataFrame(
        {"name": ["shapes+relief_1", "<b>+c"], "share": ["1/2", "0.5"]}, index=["s01_01", "7"]
    )
    text = tidy_tables(table.to_html())
    assert "shapes+<wbr>relief_<wbr>1" in text and "s01_<wbr>01" in text
    assert cells(text.replace("<wbr>", "")) == cells(table.to_html())

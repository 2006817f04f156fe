"""Cells as spreadsheets and editing programs write them: workbooks, timecodes, percentages."""

from fractions import Fraction

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.annotations.cells import as_score, timecode_frame
from fedet.annotations.formats import convert, read_intervals
from fedet.annotations.table import label_table
from fedet.errors import InputError

HEADER = ["video", "onset", "offset", "emotion", "fps"]


def slow_timecodes(fps, drop, minutes):
    """All timecodes of so many minutes in their order, as an editing program shows them."""
    nominal, mark = round(fps), ";" if drop else ":"
    skipped = nominal // 15
    for minute in range(minutes):
        for second in range(60):
            for frame in range(nominal):
                if not (drop and minute % 10 and second == 0 and frame < skipped):
                    yield f"{minute // 60:02d}:{minute % 60:02d}:{second:02d}{mark}{frame:02d}"


@pytest.mark.parametrize(("fps", "drop"), [(25.0, False), (29.97, False), (29.97, True), (59.94, True)])
def test_timecodes_count_every_frame_once(fps, drop):
    codes = list(slow_timecodes(fps, drop, 12))
    assert [timecode_frame(code, fps) for code in codes] == list(range(len(codes)))


@given(st.integers(0, 20 * 60 * 25), st.integers(1, 500), st.sampled_from([24.0, 25.0, 30.0, 50.0]))
def test_a_table_of_timecodes_has_the_frames_of_its_times(tmp_path_factory, onset, length, fps):
    rate = int(fps)

    def code(frame):
        seconds, rest = divmod(frame, rate)
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"

    path = tmp_path_factory.mktemp("codes") / "a.csv"
    row = f"a,{code(onset)},{code(onset + length)},joy,{fps}\n"
    path.write_text("video,start,end,emotion,fps\n" + row)
    table, _ = read_intervals(path)
    assert table[["onset", "offset"]].values.tolist() == [[onset, onset + length - 1]]


def test_a_timecode_without_a_rate_or_with_a_frame_too_many_is_no_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "video,start,end,emotion,fps\na,00:00:01:00,00:00:02:25,joy,25\na,00:00:03:00,00:00:04:00,joy,25\n"
    )
    table, report = read_intervals(path)
    assert table["onset"].tolist() == [75] and report["problem"].str.contains("no time in a video").any()
    path.write_text("video,start,end,emotion\na,00:00:01:00,00:00:02:20,joy\n")
    with pytest.raises(InputError, match="no fps is known"):
        read_intervals(path)


@pytest.mark.parametrize(
    ("text", "score"),
    [("87%", Fraction(87, 100)), ("0,5 %", Fraction(1, 200)), (".3", Fraction(3, 10)), ("", None)],
)
def test_a_percentage_is_a_share(text, score):
    assert as_score(text) == (None if score is None else pytest.approx(float(score)))


def workbook(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_as_the_csv_of_its_sheet(tmp_path):
    rows = [["0101", 3, 9, "joy", 25], ["a", 12, 40, "Ärger", 25.0], ["silent", None, None, None, 25]]
    remarks = [["coded by two people"], [], ["see the manual"]]
    book = workbook(tmp_path / "labels.xlsx", remarks, [["Labels of the study"], [], HEADER, *rows])
    (tmp_path / "labels.csv").write_text(
        "\n".join(",".join("" if c is None else str(c) for c in row) for row in [HEADER, *rows])
    )
    table, report = read_intervals(book)
    expected, _ = read_intervals(tmp_path / "labels.csv")
    pd.testing.assert_frame_equal(table, expected)
    assert report["row"].dropna().max() <= 6  # as the spreadsheet shows them
    convert(book, tmp_path / "out.json")
    assert len(read_intervals(tmp_path / "out.json")[0]) == len(table)
    with pytest.raises(InputError, match="read, not written"):
        convert(tmp_path / "labels.csv", tmp_path / "new.xlsx")


def test_times_of_a_workbook_are_times_of_the_video(tmp_path):
    import datetime

    rows = [["a", datetime.time(0, 0, 1, 500_000), datetime.timedelta(seconds=4), "joy", 25]]
    book = workbook(tmp_path / "a.xlsx", [["video", "start", "end", "emotion", "fps"], *rows])
    assert read_intervals(book)[0][["onset", "offset"]].values.tolist() == [[38, 99]]


def test_the_sheets_of_a_workbook_are_read_together_and_one_without_a_table_is_reported(tmp_path):
    sheets = ([HEADER, ["a", 3, 9, "joy", 25]], [["happy", "= corners up"]], [HEADER, ["b", 5, 9, "sad", 30]])
    table, report = read_intervals(workbook(tmp_path / "a.xlsx", *sheets))
    assert table[["video", "onset"]].values.tolist() == [["a", 3], ["b", 5]]
    assert report["problem"].str.contains("1 rows not read").sum() == 1
    with pytest.raises(InputError, match="several sheets hold intervals"):
        label_table(tmp_path / "a.xlsx")


def test_a_workbook_without_a_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="empty; needs a header"):
        read_intervals(workbook(tmp_path / "b.xlsx", []))
    (tmp_path / "c.xlsx").write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(InputError, match="not a readable xlsx"):
        read_intervals(tmp_path / "c.xlsx")

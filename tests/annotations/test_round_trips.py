"""Every format into every other and back: what both have room for is the same afterwards."""

import itertools

import pandas as pd
import pytest

from fedet.annotations.formats import convert_labels, read_labels, write_intervals
from fedet.annotations.table import validate

MANY = ["a.csv", "a.megc.csv", "a.boris.csv", "a.boris", "a.json"]  # of many videos
ONE = ["{video}.eaf", "{video}.vtt"]
CORE = ["video", "onset", "offset", "expression_type", "emotion"]
EXTRA = ["subject", "score", "action_units", "source", "note"]  # which MEGC has no column for


def table():
    """Two videos with overlaps, neighbours, one frame, an unknown emotion, odd names and text."""
    rows = [
        ("s1", "a #1", 0, 11, "macro", "positive", 0.123456, "AU6+AU12", "fedet", ""),
        ("s1", "a #1", 12, 12, "micro", "negative", None, "", "", '=1+1, "quoted"; semicolon'),
        ("s1", "a #1", 5, 30, "macro", "positive", 1.0, "AU4", "fedet", "ein Wort: Grüße 笑"),
        ("s2", "b 100%", 70, 99, "macro", None, 0.5, "", "review", "two\nlines"),
        ("s2", "b 100%", 70, 99, "macro", "surprise", 0.25, "", "", "-- > ]]>"),
        ("s2", "b 100%", 200, 203, "micro", "others", None, "4", "", ""),
    ]
    names = [
        "subject",
        "video",
        "onset",
        "offset",
        "expression_type",
        "emotion",
        "score",
        "action_units",
        "source",
        "note",
    ]
    return validate(pd.DataFrame(rows, columns=names), fps=30000 / 1001)[0]


def core(events, columns):
    cells = events.reindex(columns=columns).astype("string").fillna("")
    return cells.sort_values(list(cells), ignore_index=True)


def read_all(folder, name, fps=None):
    """The events of the files that were written as `name`."""
    files = sorted(folder.glob(name.replace("{video}", "*")))
    return pd.concat([read_labels(file, fps=fps).events for file in files], ignore_index=True)


def put(events, folder, name):
    folder.mkdir()
    if "{video}" not in name:
        write_intervals(events, folder / name)
    else:
        for video, rows in events.groupby("video"):
            write_intervals(rows, folder / name.format(video=video))


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations([*MANY, *ONE], 2)))
def test_a_table_survives_two_formats(tmp_path, first, second):
    events = table()
    put(events, tmp_path / "first", first)
    source = tmp_path / "first" if first in ONE else tmp_path / "first" / first
    fps = 30000 / 1001 if "megc" in first + second else None
    (tmp_path / "second").mkdir()
    labels = convert_labels(source, tmp_path / "second" / second, fps)
    assert labels.n_annotations == len(events)
    found = read_all(tmp_path / "second", second, fps)
    columns = CORE if "megc" in first + second else CORE + EXTRA
    pd.testing.assert_frame_equal(core(found, columns), core(events, columns))
    assert found["fps"].astype(float).tolist() == pytest.approx([30000 / 1001] * len(events))

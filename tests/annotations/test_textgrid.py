"""What fedet writes for Praat and for subtitles of any player."""

import re
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedet.annotations.formats import convert, read_intervals, write_intervals
from fedet.annotations.table import validate, write_csv
from fedet.errors import InputError

rows_of = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 60), st.sampled_from(["left", 'ri"ght'])), max_size=8
)


def table_of(rows, **columns):
    frame = pd.DataFrame([{"onset": a, "offset": a + n, "subject": s} for a, n, s in rows],
                         columns=["onset", "offset", "subject"])  # fmt: skip
    return validate(
        frame.assign(video="clip", fps=25.0, emotion="positive", score=0.5, source="fedet", **columns)
    )[0]


def parse(text):
    """Tier -> [(from, to, text)] of a TextGrid, by Praat's own grammar of it."""
    tiers = {}
    for item in re.split(r"\n    item \[\d+\]:\n", text)[1:]:
        name = re.search(r'name = "((?:[^"]|"")*)"\n', item)[1].replace('""', '"')
        parts = re.findall(r'xmin = (\S+)\n\s+xmax = (\S+)\n\s+text = "((?:[^"]|"")*)"', item)
        assert int(re.search(r"intervals: size = (\d+)", item)[1]) == len(parts)
        tiers[name] = [(float(a), float(b), c) for a, b, c in parts]
    assert int(re.search(r"\nsize = (\d+)", text)[1]) == len(tiers)
    return tiers


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of)
def test_a_textgrid_fills_its_tiers_and_holds_every_interval(tmp_path, rows):
    table = table_of(rows)
    path = tmp_path / "clip.TextGrid"
    write_intervals(table, path)
    tiers = parse(path.read_text("utf-8"))
    end = float(re.search(r"\nxmax = (\S+)", path.read_text("utf-8"))[1])
    for parts in tiers.values():  # Praat refuses gaps and overlaps
        assert parts[0][0] == 0 and parts[-1][1] == end
        assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise(parts))
    written = sorted(
        (round(a * 25), round(b * 25) - 1) for parts in tiers.values() for a, b, text in parts if text
    )
    assert written == sorted(zip(table["onset"], table["offset"], strict=True))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of.map(lambda rows: [(a, n, "left") for a, n, _ in rows]))
def test_subtitles_come_back(tmp_path, rows):
    table = table_of(rows)
    write_intervals(table, tmp_path / "clip.srt")
    got, _ = read_intervals(tmp_path / "clip.srt", fps=25.0)
    key = ["onset", "offset", "emotion", "expression_type"]
    assert got[key].sort_values(key).values.tolist() == table[key].sort_values(key).values.tolist()


def test_subtitles_name_the_people(tmp_path):
    write_intervals(table_of([(0, 9, "left"), (25, 9, "right")]), tmp_path / "clip.srt")
    assert (tmp_path / "clip.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:00,400\nleft: positive micro 0.50\n\n"
        "2\n00:00:01,000 --> 00:00:01,400\nright: positive micro 0.50\n"
    )


@pytest.mark.parametrize("suffix", [".srt", ".TextGrid"])
def test_what_has_no_room_is_reported_and_nothing_is_written_over(tmp_path, suffix):
    write_csv(table_of([(0, 9, "left")], note="hand", action_units="12"), tmp_path / "in.csv")
    report = convert(tmp_path / "in.csv", tmp_path / f"out{suffix}")
    line = f"a {suffix.lower()} file does not keep action_units, source, note: lost"
    assert line in report["problem"].tolist()
    with pytest.raises(InputError, match="is there; name another file"):
        convert(tmp_path / "in.csv", tmp_path / f"out{suffix}")
    convert(tmp_path / "in.csv", tmp_path / f"out{suffix}", overwrite=True)
    if suffix == ".TextGrid":
        with pytest.raises(InputError, match="writes this format and does not read it"):
            read_intervals(tmp_path / "out.TextGrid")

"""Names, numbers and tables as other tools write them."""

import os
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.annotations.captions import are_captions, parse_caption
from fedet.annotations.cells import as_fps, as_seconds, csv_grid, with_formula, without_formula
from fedet.annotations.elan.eaf import Annotation, Document, Tier
from fedet.annotations.limits import MAX_COLUMNS
from fedet.annotations.video_names import distinct_names, link_path, media_stem
from fedet.errors import InputError
from fedet.files import atomic_write

names = st.text(
    st.characters(codec="ascii", exclude_characters="/\\\x00%", exclude_categories=["Cc"]), min_size=1
)
names = names.map(str.strip).filter(lambda name: name.strip(".") and not name.endswith("."))


@given(names)
def test_a_link_names_its_video_whether_it_is_escaped_or_not(name):
    for address in (f"file:///C:/d/{name}.mp4", f"C:\\d\\{name}.mp4", f"file:///d/{quote(name)}.mp4"):
        assert media_stem(link_path(address)) == name


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab"), st.sampled_from("xy")), unique=True))
def test_videos_in_different_folders_never_share_a_name(places):
    paths = ["/".join(place) + ".mp4" for place in places]
    assert len(set(distinct_names(paths).values())) == len(paths)


@given(st.integers(0, 8), st.integers(0, 1000), st.integers(1, 1000))
def test_slots_without_times_lie_evenly_between_those_with_times(n, start, length):
    names = [f"slot {chr(97 + i)}" for i in range(n + 2)]
    slots = dict.fromkeys(names) | {names[0]: float(start), names[-1]: float(start + length)}
    parts = [Annotation(f"x{a}", "", a, b) for a, b in pairwise(names)]
    spans = Document(slots=slots, tiers={"t": Tier("t", annotations=parts)}).spans()
    assert all(s.end - s.start == pytest.approx(length / (n + 1)) for s in spans.values())


@given(st.integers(0, 10**6))
def test_a_whole_number_is_no_score_and_does_not_hide_an_emotion(number):
    assert "score" not in parse_caption(f"sad {number}")[0] and are_captions([f"sad {number}"])


@given(st.text(max_size=9))
def test_no_text_is_a_formula_and_all_come_back(text):
    assert str(without_formula(text))[:1] not in "=+@" or len(text) < 2 or "\n" in text[:2]
    assert with_formula(str(without_formula(text))) == text


@pytest.mark.parametrize("text", ["1e308", "0", "-1", "1/0", "x", "nan/1", "25/"])
def test_what_is_no_rate(text):
    with pytest.raises(ValueError):
        as_fps(text)


def test_clocks_and_fractions():
    assert as_seconds("01:02:03.5") == 3723.5 and as_fps("30000/1001") == pytest.approx(29.97, abs=1e-3)


def test_a_table_that_is_too_wide_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("video," * (MAX_COLUMNS + 1) + "\n")
    with pytest.raises(InputError, match="columns"):
        csv_grid(tmp_path / "x.csv")


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    (tmp_path / "x.csv").write_text("old")
    os.chmod(tmp_path / "x.csv", 0o600)
    with atomic_write(tmp_path / "x.csv") as part:
        part.write_text("new")
    assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o600 and (tmp_path / "x.csv").read_text() == "new"

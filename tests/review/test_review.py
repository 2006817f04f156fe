"""The review model: edits, undo, the journal, agreement and the queue."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fedet.annotations.table import validate
from fedet.errors import InputError
from fedet.evaluation.agreement import coder_agreement
from fedet.intervals import EMOTIONS
from fedet.review.edits import DECIDED
from fedet.review.review import Review, read_review
from fedet.review.triage import Effort, queue

N_FRAMES = 3000


def intervals(rows, **columns) -> pd.DataFrame:
    """A canonical table of (onset, offset, emotion, score)."""
    cells = pd.DataFrame(rows, columns=["onset", "offset", "emotion", "score"])
    fixed = {"video": "v", "subject": "s", "fps": 30.0, "source": "fedet"} | columns
    return validate(cells.assign(**fixed))[0]


PREDICTED = intervals([(10, 40, "positive", 0.9), (100, 110, "negative", 0.45), (300, 360, "surprise", 0.6)])


def start(journal=None, table=PREDICTED, **options) -> Review:
    options = {"video": "v", "fps": 30.0, "n_frames": N_FRAMES, "reviewer": "Ann"} | options
    return Review(table, journal=journal, **options)


def state(review: Review):
    return review.rows, review.depth


# ---- edits


def test_each_edit_does_what_it_says_and_signs_the_row():
    review = start()
    review.accept("p0")
    review.move("p1", onset=95, offset=130, apex=99)
    review.relabel("p2", "others")
    review.add(500, 520, "negative", apex=505)
    review.note("p0", "a clear smile")
    table = review.table().set_index("row_id")
    assert table.loc["p0", "status"] == "accepted"
    moved = table.loc["p1", ["onset", "apex", "offset", "expression_type", "status"]]
    assert moved.tolist() == [95, 99, 130, "macro", "corrected"]
    assert table.loc["p2", "emotion"] == "others"
    assert table["status"].tolist() == ["accepted", "corrected", "corrected", "added"]
    assert table.loc["p0", "note"] == "a clear smile"
    assert set(table["reviewer"]) == {"Ann"}
    assert pd.to_datetime(table["reviewed_at"], utc=True).notna().all()
    assert table["source"].str.startswith("review by Ann at 20").all()
    assert table["subject"].tolist() == ["s"] * 4


def test_only_what_a_person_decided_is_in_the_table():
    review = start()
    review.reject("p0")
    review.accept("p2")
    review.delete("p1")
    assert review.table()["row_id"].tolist() == ["p2"]
    assert review.table("all")["row_id"].tolist() == ["p0", "p2"]
    assert review.table("rejected")["row_id"].tolist() == ["p0"]
    with pytest.raises(InputError, match="'done'"):
        review.table("done")


def test_a_split_keeps_every_frame_and_puts_the_apex_where_it_was():
    review = start(table=intervals([(10, 40, "positive", 0.9)]).assign(apex=[30]))
    review.split("p0", 25)
    parts = review.table()
    assert parts[["onset", "offset"]].to_numpy().tolist() == [[10, 24], [25, 40]]
    assert parts["apex"].tolist() == [pd.NA, 30]


def test_an_apex_follows_the_edges_inwards():
    review = start(table=intervals([(10, 40, "positive", 0.9)]).assign(apex=[30]))
    review.move("p0", offset=20)
    assert review.rows["p0"]["apex"] == 20


@pytest.mark.parametrize(
    ("op", "values", "message"),
    [
        ("accept", {"row": "p9"}, "no interval 'p9'"),
        ("accept", {"row": ["p0"]}, "no interval"),
        ("accept", {}, r"missing \['row'\]"),
        ("accept", {"row": "p0", "rows": {}}, r"unknown \['rows'\]"),
        ("erase", {"row": "p0"}, "no edit 'erase'"),
        ("__class__", {}, "no edit"),
        ("move", {"row": "p0", "onset": 41}, "0 <= onset <= offset"),
        ("move", {"row": "p0", "offset": N_FRAMES}, str(N_FRAMES - 1)),
        ("move", {"row": "p0", "onset": -1}, "onset -1"),
        ("move", {"row": "p0", "onset": 1.5}, "whole frame"),
        ("move", {"row": "p0", "onset": float("nan")}, "whole frame"),
        ("move", {"row": "p0", "onset": True}, "whole frame"),
        ("move", {"row": "p0", "onset": "7"}, "whole frame"),
        ("move", {"row": "p0", "apex": 50}, "apex 50"),
        ("relabel", {"row": "p0", "emotion": "<b>joy</b>"}, "<b>joy</b>"),
        ("split", {"row": "p0", "frame": 10}, "cannot split"),
        ("split", {"row": "p0", "frame": 41}, "cannot split"),
        ("add", {"onset": 5, "offset": 4, "emotion": "others"}, "onset 5"),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(tmp_path, op, values, message):
    path = tmp_path / "v.jsonl"
    review = start(path)
    review.accept("p2")
    before = json.dumps(review.rows), path.read_bytes()
    with pytest.raises(InputError, match=message):
        review.apply(op, **values)
    assert (json.dumps(review.rows), path.read_bytes()) == before


def test_the_same_edit_sent_twice_is_done_once():
    review = start()
    review.apply("add", id="x", onset=1, offset=2, emotion="others")
    assert review.apply("add", id="x", onset=1, offset=2, emotion="others") == {}
    assert len(review.table()) == 1
    review.apply("undo", id="y")
    review.apply("undo", id="y")
    assert review.depth == (0, 1)


EDIT = st.one_of(
    st.tuples(st.just("accept"), st.integers(0, 5)),
    st.tuples(st.just("reject"), st.integers(0, 5)),
    st.tuples(st.just("move"), st.integers(0, 5), st.integers(-5, 400), st.integers(-5, 400)),
    st.tuples(st.just("relabel"), st.integers(0, 5), st.sampled_from(EMOTIONS)),
    st.tuples(st.just("add"), st.integers(0, 400), st.integers(0, 60)),
    st.tuples(st.just("split"), st.integers(0, 5), st.integers(0, 400)),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("note"), st.integers(0, 5), st.text(max_size=8)),
    st.tuples(st.sampled_from(["undo", "redo"])),
)


def play(review: Review, edits) -> None:
    """Does what can be done of a list of edits."""
    for op, *values in edits:
        ids = list(review.rows)
        row = {"row": ids[values[0] % len(ids)]} if ids and values else {"row": "none"}
        arguments = {
            "move": lambda v, row: row | {"onset": v[1], "offset": v[2]},
            "relabel": lambda v, row: row | {"emotion": v[1]},
            "add": lambda v, row: {"onset": v[0], "offset": v[0] + v[1], "emotion": "others"},
            "split": lambda v, row: row | {"frame": v[1]},
            "note": lambda v, row: row | {"text": v[1]},
            "undo": lambda v, row: {},
            "redo": lambda v, row: {},
        }.get(op, lambda v, row: row)(values, row)
        try:
            review.apply(op, **arguments)
        except InputError:
            continue


@settings(max_examples=60)
@given(st.lists(EDIT, max_size=25))
def test_undo_leads_back_to_the_start_and_redo_to_the_end(edits):
    review, untouched = start(), start()
    play(review, edits)
    while review.redo():
        pass
    end = dict(review.rows)
    while review.undo():
        pass
    assert review.rows == untouched.rows
    while review.redo():
        pass
    assert review.rows == end


@settings(max_examples=25)
@given(st.lists(EDIT, max_size=15), st.lists(EDIT, max_size=5))
def test_a_journal_read_again_is_the_review(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("journal") / "v.jsonl"
    review = start(path)
    play(review, first)
    again = start(path)
    assert state(again) == state(review)
    play(again, second)
    assert state(start(path)) == state(again)


# ---- the journal


def test_nothing_is_written_before_the_first_edit(tmp_path):
    path = tmp_path / "deep" / "v.jsonl"
    review = start(path)
    assert not path.parent.exists()
    review.accept("p0")
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("lost", [1, 2, 30])
def test_a_line_cut_off_by_a_crash_costs_that_edit_only_and_is_told(tmp_path, lost):
    path = tmp_path / "v.jsonl"
    review = start(path)
    review.accept("p0")
    expected = dict(review.rows)
    review.reject("p1")
    review.close()
    path.write_bytes(path.read_bytes()[:-lost])
    again = start(path)
    assert again.rows == expected
    assert any("cut off" in notice for notice in again.notices)
    again.accept("p2")
    assert start(path).rows == again.rows


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "v.jsonl"
    review = start(path)
    review.accept("p0")
    review.accept("p1")
    review.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"#" + lines[1] + lines[2])
    with pytest.raises(InputError, match="line 2"):
        start(path)


def test_every_edit_that_was_answered_survives_a_killed_process(tmp_path):
    path = tmp_path / "v.jsonl"
    code = """
        import os, sys, pandas as pd
        from fedet.review import Review
        review = Review(pd.DataFrame(), video="v", fps=30.0, reviewer="Ann", journal=sys.argv[1])
        for k in range(1000):
            review.apply("add", id=str(k), onset=k, offset=k + 9, emotion="others")
            print(k, flush=True)
            if k == 20:
                os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True
    )
    answered = [int(k) for k in done.stdout.split()]
    assert answered[-1] == 20
    assert read_review(path)["onset"].tolist() == answered


def test_two_kernels_cannot_review_in_one_file(tmp_path):
    path = tmp_path / "v.jsonl"
    start(path).accept("p0")
    review = start(path)  # holds the file
    code = f"""
        import pandas as pd
        from fedet.review import Review
        Review(pd.DataFrame(), video="v", fps=30.0, journal={str(path)!r})
    """
    other = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert "another kernel is reviewing" in other.stderr
    review.accept("p1")


def test_running_the_cell_again_takes_the_review_over(tmp_path):
    path = tmp_path / "v.jsonl"
    old = start(path)
    old.accept("p0")
    new = start(path)
    new.accept("p1")
    with pytest.raises(InputError, match="newer explorer"):
        old.accept("p2")
    assert start(path).table()["row_id"].tolist() == ["p0", "p1"]


def test_an_edit_that_cannot_be_saved_is_not_done(tmp_path, monkeypatch):
    path = tmp_path / "v.jsonl"
    review = start(path)
    review.accept("p0")
    before = dict(review.rows), review.depth, path.read_bytes()

    def full(fd, data):
        os.pwrite(fd, data[:5], os.lseek(fd, 0, os.SEEK_END))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedet.review.journal.os.write", full)
    for edit in (lambda: review.accept("p1"), review.undo):
        with pytest.raises(OSError, match="No space"):
            edit()
    assert (dict(review.rows), review.depth, path.read_bytes()) == before
    monkeypatch.undo()
    review.accept("p1")
    assert start(path).rows == review.rows


@pytest.mark.parametrize(("what", "value"), [("video", "w"), ("fps", 25.0)])
def test_a_journal_of_something_else_is_refused(tmp_path, what, value):
    path = tmp_path / "v.jsonl"
    start(path).accept("p0")
    with pytest.raises(InputError, match=what):
        start(path, **{what: value})


def test_other_predictions_do_not_touch_a_review_that_was_begun(tmp_path):
    path = tmp_path / "v.jsonl"
    review = start(path)
    review.accept("p0")
    again = start(path, table=intervals([(700, 710, "others", 0.8)]))
    assert again.rows == review.rows
    assert any("predictions have changed" in notice for notice in again.notices)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b'{"a": 1}\n', b"onset,offset\n1,2\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="notes.txt"):
        start(path)
    assert path.read_bytes() == content


# ---- agreement


@st.composite
def coded(draw):
    count = draw(st.integers(0, 12))
    rows = []
    for _ in range(count):
        onset = draw(st.integers(0, 180))
        rows.append((onset, onset + draw(st.integers(0, 15)), draw(st.sampled_from(EMOTIONS)), None))
    return intervals(rows) if rows else intervals([(0, 5, "others", None)])


@settings(max_examples=20)
@given(coded(), coded())
def test_agreement_does_not_depend_on_who_is_first(first, second):
    ab, ba = (coder_agreement(*pair, n_frames={"v": 200}) for pair in ((first, second), (second, first)))
    pd.testing.assert_series_equal(ab.summary(), ba.summary())


@settings(max_examples=20)
@given(coded(), coded())
def test_frame_kappa_is_that_of_the_library(first, second):
    def frames(table):
        labels = np.full(200, "none", dtype=object)
        for row in table.sort_values("onset", kind="stable").itertuples():
            labels[row.onset : row.offset + 1] = row.emotion
        return labels

    ours = coder_agreement(first, second, n_frames={"v": 200}).kappa_frames
    assert ours == pytest.approx(cohen_kappa_score(frames(first), frames(second)))


def test_agreement_by_hand():
    first = intervals([(0, 9, "positive", None), (50, 59, "negative", None),
                       (100, 109, "surprise", None)])  # fmt: skip
    second = intervals([(2, 9, "positive", None), (50, 61, "others", None),
                        (150, 159, "surprise", None)])  # fmt: skip
    found = coder_agreement(first, second)
    assert (found.matched, found.f1) == (2, pytest.approx(2 / 3))
    assert (found.onset_frames, found.offset_frames) == (1.0, 1.0)
    assert found.table.loc["negative", "others"] == 1
    assert found.table.loc["surprise", "none"] == found.table.loc["none", "surprise"] == 1
    # Two pairs, one equal: p_o = 1/2; p_e = 1/2 * 1/2 (positive), the rest has one empty margin.
    assert found.kappa_emotions == pytest.approx((1 / 2 - 1 / 4) / (1 - 1 / 4))
    assert found.kappa_frames is None


# ---- the queue


def ranked(table, threshold=0.5, **options) -> pd.DataFrame:
    review = start(table=table)
    return queue(review.table("all"), threshold, 30.0, N_FRAMES, **options)


def test_doubtful_intervals_come_before_sure_ones():
    table = intervals([(10 + 100 * i, 40 + 100 * i, "positive", s)
                       for i, s in enumerate([0.99, 0.52, 0.0, 0.7, 0.45])])  # fmt: skip
    found = ranked(table, effort=Effort(missed=0.0))
    order = found.loc[found["kind"] == "interval", "row_id"].tolist()
    assert order == ["p1", "p4", "p3", "p0", "p2"]


def test_seeds_that_disagree_make_an_interval_doubtful():
    table = intervals([(10, 40, "positive", 0.9), (200, 230, "negative", 0.9)])
    other = intervals([(12, 41, "positive", 0.9), (200, 230, "surprise", 0.9)])
    found = ranked(table, others=(other, other)).set_index("row_id")
    assert found.loc["p1", "mistakes"] > 0.5 > found.loc["p0", "mistakes"]
    assert "1 of 3 seeds" in found.loc["p1", "why"]


def test_a_short_interval_is_worth_more_a_minute_than_a_long_one():
    found = ranked(intervals([(0, 10, "positive", 0.5), (500, 900, "positive", 0.5)]))
    assert found["row_id"].tolist()[:2] == ["p0", "p1"]


def test_a_second_guess_at_a_better_interval_is_not_asked_about():
    table = intervals([(10, 40, "positive", 0.9), (12, 30, "others", 0.1), (35, 60, "others", 0.2),
                       (36, 55, "negative", 0.1), (12, 42, "negative", 0.7)])  # fmt: skip
    found = ranked(table)["row_id"].dropna().tolist()
    # p1 lies in p0, p3 in p2; p2 only touches p0; p4 is kept, and two kept ones stay two questions.
    assert sorted(found) == ["p0", "p2", "p4"]
    review = start(table=table)
    review.reject("p2")
    found = queue(review.table("all"), 0.5, 30.0, N_FRAMES)["row_id"].dropna().tolist()
    assert sorted(found) == ["p0", "p4"], "where somebody said no, a weaker guess is answered too"


def test_what_was_reviewed_leaves_the_queue():
    review = start()
    review.accept("p0")
    review.reject("p1")
    found = queue(review.table("all"), 0.5, 30.0, N_FRAMES)
    assert found["row_id"].dropna().tolist() == ["p2"]


def test_long_stretches_are_offered_until_they_were_seen():
    table = intervals([(0, 9, "positive", 0.9), (2000, 2009, "positive", 0.2)])
    found = ranked(table)
    stretch = found[found["kind"] == "stretch"]
    # A dropped prediction does not end a stretch.
    assert stretch[["onset", "offset"]].to_numpy().tolist() == [[10, N_FRAMES - 1]]
    found = ranked(table, covered=((10, 2500),))
    assert "stretch" not in set(found["kind"])
    # Twice as many events in the video: twice as many are missed in the rest.
    more = intervals([(0, 9, "positive", 0.9), (0, 9, "negative", 0.9)])
    ratio = ranked(more)["mistakes"].max() / stretch["mistakes"].max()
    assert ratio == pytest.approx(2)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2900), st.integers(0, 90), st.floats(0, 1)), min_size=1,
                max_size=20), st.floats(0.05, 0.95))  # fmt: skip
def test_the_expected_f1_rises_to_one(rows, threshold):
    table = intervals([(a, a + n, "positive", s) for a, n, s in rows])
    found = ranked(table, threshold)
    curve = np.r_[found.attrs["f1_now"], found["f1_after"]]
    assert (np.diff(curve) >= -1e-9).all()
    assert curve[-1] == pytest.approx(1)
    assert (np.diff(found["per_minute"]) <= 1e-12).all()


@pytest.mark.parametrize("values", [{"spread": 0}, {"scan_speed": -1}, {"missed": 1.0}])
def test_assumptions_that_make_no_sense_are_refused(values):
    with pytest.raises(InputError, match=next(iter(values))):
        Effort(**values)


def test_decided_statuses_are_those_of_the_table():
    review = start()
    review.accept("p0")
    review.move("p1", onset=90)
    review.add(1, 2)
    assert set(review.table()["status"]) == set(DECIDED)


COUPLE = pd.concat(
    [PREDICTED.assign(subject="left"), PREDICTED[:2].assign(subject="right")], ignore_index=True
)


def whose(review: Review) -> list[str]:
    return review.table("all").sort_values("row_id")["subject"].tolist()


def test_people_are_renamed_merged_split_and_left_out_and_the_journal_keeps_it(tmp_path):
    review = start(tmp_path / "r.jsonl", COUPLE)
    review.name_person("left", "Ann")
    assert whose(review) == ["Ann", "Ann", "Ann", "right", "right"]
    review.give("p2", "Cy")
    review.name_person("right", "Ann")  # both are one person
    assert whose(review) == ["Ann", "Ann", "Cy", "Ann", "Ann"]
    review.leave_out("Ann")
    assert whose(review) == ["Cy"]
    review.undo()
    review.close()
    again = start(tmp_path / "r.jsonl", COUPLE)
    assert whose(again) == ["Ann", "Ann", "Cy", "Ann", "Ann"] and again.people == ["Ann", "Cy"]
    assert read_review(tmp_path / "r.jsonl", "all")["subject"].nunique() == 2


def test_a_new_interval_among_several_people_needs_its_person():
    review = start(table=COUPLE)
    with pytest.raises(InputError, match="whose interval is it"):
        review.add(500, 520, "positive")
    review.add(500, 520, "positive", person="right")
    assert review.table("added")["subject"].tolist() == ["right"]
    for edit in (lambda: review.leave_out("nobody"), lambda: review.name_person("left", " ")):
        with pytest.raises(InputError, match="person|name"):
            edit()

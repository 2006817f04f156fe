"""The stand-in for a reviewer: its decisions must lead exactly to the annotations."""

import pandas as pd
import pytest
from explorer_data import FPS, N_FRAMES, predicted, truth
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.errors import InputError
from fedet.review.review import Review
from fedet.review.simulated_reviewer import simulate_review, stretch_intervals

FRAMES = ["onset", "offset", "emotion"]


def review_of(table) -> Review:
    return Review(table, video="clip", fps=FPS, n_frames=N_FRAMES, reviewer="stand-in")


def spans(table) -> list:
    return sorted(map(tuple, table[FRAMES].astype(object).to_numpy().tolist()))


def test_afterwards_the_review_is_the_truth():
    review = review_of(predicted())
    edits = simulate_review(review, truth())
    assert spans(review.table()) == spans(truth())
    assert review.table("open").empty
    assert edits["reject"] == len(review.table("rejected")) > 0
    assert edits["add"] == (review.table()["status"] == "added").sum()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 560), st.integers(0, 39), st.floats(0, 1)), max_size=12))
def test_afterwards_the_review_is_the_truth_whatever_was_predicted(drawn):
    rows = [(on, on + length, "others", round(score, 3)) for on, length, score in drawn]
    rows = list({row[:2]: row for row in rows}.values())
    review = review_of(predicted(rows) if rows else pd.DataFrame())
    simulate_review(review, truth())
    assert spans(review.table()) == spans(truth())


def test_hidden_intervals_are_left_alone():
    review = review_of(predicted())
    simulate_review(review, truth(), threshold=0.5)
    assert (review.table("open")["score"] < 0.5).all() and len(review.table("open"))
    assert spans(review.table()) == spans(truth())


def test_all_of_it_can_be_undone_edit_by_edit():
    review = review_of(predicted())
    before = dict(review.rows)
    for _ in range(int(simulate_review(review, truth()).sum())):
        review.undo()
    assert review.rows == before


def test_edges_within_the_tolerance_are_let_pass():
    """Of the two intervals on 60-100 the closer one is its event's; it is off by 5 frames at most."""
    strict, lenient = review_of(predicted()), review_of(predicted())
    assert simulate_review(strict, truth())["move"] > simulate_review(lenient, truth(), tolerance=5)["move"]
    found = lenient.table()
    assert len(found) == len(truth()) and (found["status"] == "accepted").any()
    off = found["onset"].astype(int).to_numpy() - truth().sort_values("onset")["onset"].astype(int).to_numpy()
    assert 0 < abs(off).max() <= 5


def test_slips_and_jitter_depend_on_the_seed_and_stay_in_the_video():
    tables = []
    for seed in (1, 1, 2):
        review = review_of(predicted())
        simulate_review(review, truth(), jitter=40, slips=0.5, seed=seed)
        tables.append(review.table())
    assert spans(tables[0]) == spans(tables[1]) != spans(tables[2])
    assert tables[0]["onset"].min() >= 0 and tables[0]["offset"].max() < N_FRAMES
    assert len(tables[0]) == len(truth())


def test_truth_of_another_video_is_refused():
    with pytest.raises(InputError, match="another|clip"):
        simulate_review(review_of(predicted()), truth(video="other"))
    with pytest.raises(InputError, match="25 fps"):
        simulate_review(review_of(predicted()), truth(fps=25.0))


def test_stretching_keeps_middles_and_the_video_and_goes_back():
    longer = stretch_intervals(truth(), 2.0, {"clip": N_FRAMES})
    for old, new in zip(truth().itertuples(), longer.itertuples(), strict=True):
        assert abs((old.onset + old.offset) - (new.onset + new.offset)) <= 1
        assert new.offset - new.onset + 1 == 2 * (old.offset - old.onset + 1)
        assert (new.expression_type == "micro") == (new.offset - new.onset + 1 <= FPS / 2)
    assert stretch_intervals(truth(), 1.0, {"clip": N_FRAMES}).equals(truth())
    back = stretch_intervals(longer, 0.5, {"clip": N_FRAMES})  # halves of frames are rounded
    assert abs(back[["onset", "offset"]] - truth()[["onset", "offset"]]).to_numpy().max() <= 1
    whole = stretch_intervals(truth(), 100, {"clip": N_FRAMES})
    assert (whole["onset"] == 0).all() and (whole["offset"] == N_FRAMES - 1).all()
    with pytest.raises(InputError, match="above 0"):
        stretch_intervals(truth(), 0, {"clip": N_FRAMES})
    with pytest.raises(InputError, match="clip"):
        stretch_intervals(truth(), 2.0, {})

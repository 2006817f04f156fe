"""Frame rates: one function, exact against fractions, and its neighbours."""

import math
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.annotations.captions import to_frame, to_ms
from fedet.evaluation.evaluation import evaluate
from fedet.explorer.timeline import prepare
from fedet.intervals import (
    at_rate,
    empty_table,
    expression_type_of,
    frame_at_rate,
    nominal_fps,
    table_at_rate,
)

RATES = {
    12.5: Fraction(25, 2), 15.0: Fraction(15), 24.0: Fraction(24), 25.0: Fraction(25),
    29.97: Fraction(2997, 100), 30000 / 1001: Fraction(30000, 1001), 30.0: Fraction(30),
    50.0: Fraction(50), 59.94: Fraction(5994, 100), 60.0: Fraction(60), 200.0: Fraction(200),
}  # fmt: skip
RATE = st.sampled_from(sorted(RATES))


def exactly(frame: int, fps: float, new_fps: float) -> int:
    return math.floor(Fraction(frame) * RATES[new_fps] / RATES[fps] + Fraction(1, 2))


@given(st.integers(0, 10**7), st.integers(1, 10**5), RATE, RATE)
def test_the_same_span_at_another_rate_is_exact(onset, frames, fps, new_fps):
    first, last = at_rate([onset], [onset + frames - 1], fps, new_fps)
    assert first[0] == exactly(onset, fps, new_fps)
    assert last[0] == max(first[0], exactly(onset + frames, fps, new_fps) - 1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), RATE, RATE)
def test_a_finer_rate_and_back_is_where_it_was(frames, fps, new_fps):
    finer, coarser = max(fps, new_fps), min(fps, new_fps)
    there = frame_at_rate(frames, coarser, finer)
    assert frame_at_rate(there, finer, coarser).tolist() == frames


def test_sixty_frames_a_second_are_the_same_events_everywhere():
    onset, offset = [1, 5, 9], [11, 21, 40]
    table = empty_table().reindex(range(3)).assign(
        video="v", subject="s", fps=60.0, onset=onset, offset=offset, emotion="positive", score=0.9
    )  # fmt: skip
    wanted = list(zip([1, 3, 5], [5, 10, 20], strict=True))
    moved = table_at_rate(table, 30.0)
    assert list(zip(moved["onset"], moved["offset"], strict=True)) == wanted
    truth = moved.assign(score=float("nan"), expression_type="macro")
    shown = prepare(truth, table, video=None, name="v", fps=30.0).truth
    assert list(zip(shown["onset"], shown["offset"], strict=True)) == wanted
    assert evaluate(table, truth, n_resamples=0, tiou=0.999).figures.loc["spotting_f1", "value"] == 1.0


def test_what_is_unknown_stays_unknown():
    assert frame_at_rate(pd.Series([3, pd.NA], index=[7, 9], dtype="Int64"), 60, 30).isna().tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize("fps, nominal", [(29.97, 30), (59.94, 60), (23.976, 24), (12.5, 12.5), (200, 200)])
def test_types_are_decided_at_the_nominal_rate(fps, nominal):
    assert nominal_fps(fps) == nominal
    border = int(nominal / 2)
    assert expression_type_of(0, border - 1, fps) == "micro"
    assert expression_type_of(0, border, fps) == "macro"


@given(st.integers(0, 10**6), st.sampled_from([12.5, 16.0, 24.0, 25.0, 29.97, 30.0, 48.0, 60.0, 200.0]))
def test_milliseconds_give_the_frame_back(frame, fps):
    assert to_frame(to_ms(frame, fps), fps) == frame

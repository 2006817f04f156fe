from fractions import Fraction

import numpy as np
import pytest
from event_tables import aligned, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_reference import slow_detection_counts, slow_diagnosis, slow_f1

from fedet.errors import InputError
from fedet.evaluation.diagnosis import KINDS, diagnose
from fedet.matching import STRICT, match_emotions, overlap_pairs


def diagnosed(predictions, truths, tiou=0.5):
    a = aligned(predictions, truths)
    pairs = overlap_pairs(a.predictions, a.truths, 0.1)
    found = match_emotions(pairs, a.predictions, a.truths, tiou)
    return a, diagnose(a, pairs, found, tiou, STRICT)


def row(onset, offset, emotion="positive", score=None, video="a"):
    made = {"subject": "s1", "video": video, "onset": onset, "offset": offset}
    return made | {"emotion": emotion, "type": "macro", "score": score}


@settings(max_examples=100)
@given(rows(predicted=True), rows(predicted=False), st.sampled_from([0.1, 0.3, 1 / 3, 0.5, 0.7, 1.0]))
def test_kinds_against_the_slow_reference(predictions, truths, tiou):
    a, found = diagnosed(predictions, truths, tiou)
    exact, classes = Fraction(tiou).limit_denominator(100), list(a.classes)
    kinds, missed = slow_diagnosis(predictions, truths, exact, classes)
    assert found.kind.tolist() == kinds
    assert np.flatnonzero(found.missed).tolist() == missed
    n = found.table.set_index("kind")["n"]
    tp, fp, fn = slow_detection_counts(predictions, truths, exact, classes)
    assert n.drop("missed").sum() == fp and n["missed"] <= fn
    assert kinds.count("right") == tp


@settings(max_examples=60)
@given(rows(predicted=True, unknown=False), rows(predicted=False, unknown=False))
def test_gains_are_never_negative_and_follow_from_the_counts(predictions, truths):
    a, found = diagnosed(predictions, truths)
    base = slow_detection_counts(predictions, truths, Fraction(1, 2), list(a.classes))
    table = found.table.set_index("kind")
    assert list(table.index) == list(KINDS)
    tp, fp, fn = base
    for kind in ("double", "both", "background"):
        mended = slow_f1(tp, fp - table["n"][kind], fn)
        assert mended is None or table["f1_if_mended"][kind] == pytest.approx(mended)
    missed = table["n"]["missed"]
    mended = slow_f1(tp + missed, fp, fn - missed)
    assert mended is None or table["f1_if_mended"]["missed"] == pytest.approx(mended)
    assert (table["gain"].dropna() >= 0).all()
    assert (table["f1_if_mended"].dropna() <= 1).all()


def test_a_corrected_label_is_worth_what_evaluating_it_says():
    truths = [row(0, 9), row(20, 29), row(40, 49, "surprise")]
    predictions = [row(0, 9, "surprise", 0.9), row(20, 29, "positive", 0.8)]
    _, found = diagnosed(predictions, truths)
    assert found.kind.tolist() == ["wrong label", "right"]
    relabelled = [row(0, 9, "positive", 0.9), predictions[1]]
    counts = slow_detection_counts(relabelled, truths, Fraction(1, 2), ["positive", "surprise"])
    table = found.table.set_index("kind")
    assert table["f1_if_mended"]["wrong label"] == pytest.approx(slow_f1(*counts))
    assert table["gain"]["wrong label"] == pytest.approx(slow_f1(*counts) - slow_f1(1, 1, 2))
    assert table["n"]["missed"] == 1  # the surprise; the first event is only mislabelled


def test_one_of_each_kind():
    truths = [row(0, 9), row(20, 29), row(40, 49), row(60, 69), row(80, 89)]
    predictions = [
        row(0, 9, score=0.9),
        row(1, 9, score=0.8),  # the event has a better one already
        row(20, 29, "surprise", 0.7),
        row(47, 56, score=0.6),  # 3 of 17 frames
        row(67, 76, "surprise", 0.5),
        row(100, 109, score=0.4),
    ]
    _, found = diagnosed(predictions, truths)
    expected = ["right", "double", "wrong label", "localisation", "both", "background"]
    assert found.kind.tolist() == expected
    assert found.event.tolist() == [0, 0, 1, 2, 3, -1]
    assert np.flatnonzero(found.missed).tolist() == [3, 4]


def test_two_that_point_at_one_event_mend_it_once():
    truths = [row(0, 9), row(20, 29)]
    predictions = [row(7, 16, score=0.9), row(6, 15, score=0.8)]
    _, found = diagnosed(predictions, truths)
    table = found.table.set_index("kind")
    assert table["n"]["localisation"] == 2
    assert table["f1_if_mended"]["localisation"] == pytest.approx(slow_f1(1, 0, 1))


def test_a_threshold_below_the_background_is_refused():
    with pytest.raises(InputError, match="at least 0.1"):
        diagnosed([row(0, 9, score=1.0)], [row(0, 9)], tiou=0.05)

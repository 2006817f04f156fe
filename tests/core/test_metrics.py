import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from event_tables import FPS, THRESHOLDS, aligned, rows, table, videos
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_reference import (
    slow_ap,
    slow_counts,
    slow_detect,
    slow_detection_counts,
    slow_f1,
    slow_match,
    slow_recognition,
    slow_tiou,
)

from fedet import metrics
from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.intervals import tiou
from fedet.matching import Conventions, match, match_emotions, overlap_pairs, reaches

SLOW = settings(max_examples=100)
QUICK = settings(max_examples=30)
thresholds = st.sampled_from(THRESHOLDS)


def fraction(threshold):
    return Fraction(threshold).limit_denominator(100)


def matched(predictions, truths, threshold, conventions=Conventions(), emotions=False):
    a = aligned(predictions, truths)
    pairs = overlap_pairs(a.predictions, a.truths, threshold, conventions)
    if emotions:
        return a, match_emotions(pairs, a.predictions, a.truths, threshold, conventions)
    return a, match(pairs, threshold, conventions=conventions)


def same(value, reference):
    """Equal, NaN standing for None."""
    if reference is None:
        return math.isnan(value)
    return value == pytest.approx(reference, abs=1e-12)


def test_tiou_of_the_protocol():
    assert tiou(10, 19, 15, 24) == 5 / 15
    assert tiou(10, 19, 20, 24) == 0
    assert tiou(7, 7, 7, 7) == 1
    assert tiou(10, 19, 15, 24, inclusive=False) == 4 / 14


@QUICK
@given(*[st.integers(0, 40)] * 4)
def test_tiou_counts_frames(a, b, c, d):
    one, other = {"onset": a, "offset": a + b}, {"onset": c, "offset": c + d}
    for inclusive in (True, False):
        value = tiou(a, a + b, c, c + d, inclusive)
        assert value == float(slow_tiou(one, other, inclusive))
        assert value == tiou(c, c + d, a, a + b, inclusive)


@QUICK
@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_thresholds_are_exact(shared, extra):
    union = shared + extra
    for threshold in (0.1, 0.3, 0.1 * 3, 0.5, 0.55, 0.7, *np.arange(0.5, 0.96, 0.05)):
        exact = Fraction(shared, union) >= Fraction(round(threshold * 100), 100)
        assert reaches(np.array(shared), np.array(union), threshold) == exact
    assert reaches(np.array(3 * union), np.array(10 * union), 0.1 * 3)
    assert not reaches(np.array(3 * union), np.array(10 * union), 0.3, strict_greater=True)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_impossible_thresholds_are_refused(threshold):
    with pytest.raises(InputError, match="threshold"):
        reaches(np.array(1), np.array(2), threshold)


@QUICK
@given(rows(predicted=True), rows(predicted=False))
def test_the_arrays_of_the_tests_are_those_of_the_package(predictions, truths):
    ours, theirs = aligned(predictions, truths), align(table(predictions), table(truths), videos())
    assert ours.classes == theirs.classes and ours.subjects == theirs.subjects
    for one, other in ((ours.predictions, theirs.predictions), (ours.truths, theirs.truths)):
        for name, array in vars(one).items():
            np.testing.assert_array_equal(array, getattr(other, name), name)


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds)
def test_matching_is_the_greedy_one(predictions, truths, threshold):
    a, found = matched(predictions, truths, threshold)
    pairs = slow_match(predictions, truths, fraction(threshold), list(a.classes))
    assert {(p, t) for t, p in enumerate(found.found_by) if p >= 0} == set(pairs)
    assert {(p, t) for p, t in enumerate(found.truth_of) if t >= 0} == set(pairs)
    assert len(pairs) <= min(len(predictions), len(truths))


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds)
def test_detection_requires_the_emotion(predictions, truths, threshold):
    a, found = matched(predictions, truths, threshold, emotions=True)
    classes = list(a.classes)
    pairs, ignored = slow_detect(predictions, truths, fraction(threshold), classes)
    assert {(p, t) for p, t in enumerate(found.truth_of) if t >= 0} == set(pairs)
    assert set(np.flatnonzero(found.ignored)) == ignored
    counts = metrics.detection_counts(a, found).sum(axis=0)
    expected = slow_detection_counts(predictions, truths, fraction(threshold), classes)
    assert tuple(counts) == expected
    assert same(metrics.f1(*counts), slow_f1(*expected))


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds)
def test_spotting_counts(predictions, truths, threshold):
    a, found = matched(predictions, truths, threshold)
    counts = metrics.spotting_counts(a, found)
    assert counts.shape == (3, 3, 3)
    for kind, name in enumerate((None, "macro", "micro")):
        expected = slow_counts(predictions, truths, fraction(threshold), list(a.classes), FPS, name)
        assert tuple(counts.sum(axis=0)[kind]) == expected
        assert same(metrics.f1(*counts.sum(axis=0)[kind]), slow_f1(*expected))
    assert (counts[:, 0] == counts[:, 1] + counts[:, 2]).all()
    for code, subject in enumerate(a.subjects):
        alone = [[r for r in side if r["subject"] == subject] for side in (predictions, truths)]
        expected = slow_counts(*alone, fraction(threshold), list(a.classes), FPS)
        assert tuple(counts[code, 0]) == expected


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds, st.randoms())
def test_the_order_of_rows_never_matters(predictions, truths, threshold, random):
    shuffled = [random.sample(side, len(side)) for side in (predictions, truths)]
    results = []
    for p, t in ((predictions, truths), shuffled):
        a, found = matched(p, t, threshold)
        a, detected = matched(p, t, threshold, emotions=True)
        aps = [
            metrics.average_precision(metrics.rank_predictions(a, detected, code))
            for code in range(len(a.classes))
        ]
        confusion = metrics.recognition_confusion(a, found)
        results.append((metrics.spotting_counts(a, found), confusion, np.array(aps)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds)
def test_recognition_over_the_spotted(predictions, truths, threshold):
    a, found = matched(predictions, truths, threshold)
    pairs = slow_match(predictions, truths, fraction(threshold), list(a.classes))
    answers = [(truths[j]["emotion"], predictions[i]["emotion"]) for i, j in pairs]
    expected = slow_recognition([(t, p) for t, p in answers if t is not None])
    confusion = metrics.recognition_confusion(a, found).sum(axis=0)
    values = {
        "uf1": metrics.uf1(confusion),
        "uar": metrics.uar(confusion),
        "accuracy": metrics.accuracy(confusion),
        "precision": metrics.macro_precision(confusion),
        "recognition_f1": metrics.recognition_f1(confusion),
    }
    for name, value in values.items():
        assert same(value, expected and expected[name]), name
    counts = metrics.spotting_counts(a, found).sum(axis=0)[0]
    spotting = metrics.f1(*counts)
    score = metrics.strs(spotting, values["recognition_f1"])
    if slow_f1(*counts) == 0:
        assert score == 0
    elif expected and spotting:
        assert score == pytest.approx(slow_f1(*counts) * expected["recognition_f1"])
    else:
        assert math.isnan(score)


def test_recognition_by_sklearn():
    from sklearn.metrics import f1_score, recall_score

    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (true, predicted), 1)
    present = {"labels": [0, 1, 2], "average": "macro"}
    assert metrics.uf1(confusion) == pytest.approx(f1_score(true, predicted, **present))
    assert metrics.uar(confusion) == pytest.approx(recall_score(true, predicted, **present))


@SLOW
@given(rows(predicted=True), rows(predicted=False), thresholds)
def test_average_precision(predictions, truths, threshold):
    a, found = matched(predictions, truths, threshold)
    classes = list(a.classes)
    ap = metrics.average_precision(metrics.rank_predictions(a, found))
    assert same(ap, slow_ap(predictions, truths, "spotting", fraction(threshold), classes))
    a, found = matched(predictions, truths, threshold, emotions=True)
    for code, name in enumerate(classes):
        ranking = metrics.rank_predictions(a, found, code)
        ap = metrics.average_precision(ranking)
        assert same(ap, slow_ap(predictions, truths, name, fraction(threshold), classes))
        curve = metrics.precision_recall_curve(ranking)
        steps = np.diff(curve["recall"], prepend=0.0)
        assert math.isnan(ap) or ap == pytest.approx((steps * curve["interpolated"]).sum())


def test_average_precision_by_hand():
    hits, misses = np.array([1, 0, 1, 0, 1]), np.array([0, 1, 0, 1, 0])
    ranking = metrics.Ranking(hits, misses, np.zeros(5, int), np.linspace(1, 0, 5), np.array([4]))
    assert metrics.average_precision(ranking) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    nothing = metrics.Ranking(*[np.zeros(0, int)] * 4, np.array([0]))
    assert math.isnan(metrics.average_precision(nothing))


def test_undefined_figures_are_nan_and_a_silent_method_has_f1_0():
    assert math.isnan(metrics.f1(0, 0, 0))
    assert metrics.f1(0, 0, 5) == 0
    assert metrics.f1(0, 5, 0) == 0
    assert math.isnan(metrics.precision(0, 0)) and math.isnan(metrics.recall(0, 0))
    assert math.isnan(metrics.uf1(np.zeros((3, 3))))
    assert metrics.mean_defined([0.2, np.nan, 0.4]) == pytest.approx(0.3)


@SLOW
@given(
    rows(predicted=True),
    rows(predicted=False),
    thresholds,
    st.sampled_from(["inclusive", "strict_greater", "one_to_one"]),
)
def test_each_convention_of_matching(predictions, truths, threshold, name):
    conventions = Conventions.parse(name)
    switch = {name: getattr(conventions, name)}
    a, found = matched(predictions, truths, threshold, conventions)
    exact, classes = fraction(threshold), list(a.classes)
    pairs = slow_match(predictions, truths, exact, classes, **switch)
    assert {(p, t) for t, p in enumerate(found.found_by) if p >= 0} == set(pairs)
    expected = slow_counts(predictions, truths, exact, classes, FPS, **switch)
    assert tuple(metrics.spotting_counts(a, found, conventions).sum(axis=0)[0]) == expected
    ap = metrics.average_precision(metrics.rank_predictions(a, found))
    assert same(ap, slow_ap(predictions, truths, "spotting", exact, classes, **switch))


def row(onset, offset, video="a", subject="s1", emotion="positive", score=None, type="macro"):
    made = {"subject": subject, "video": video, "onset": onset, "offset": offset}
    return made | {"emotion": emotion, "type": type, "score": score}


def test_conventions_by_hand():
    truth = [row(0, 9), row(10, 19, type="micro")]
    wide = [row(0, 19, score=1.0)]
    assert Conventions().changed() == []
    _, strict = matched(wide, truth, 0.5)
    assert list(strict.found_by) == [0, -1]  # 10 / 20 reaches 0.5; the earlier onset of two
    _, more = matched(wide, truth, 0.5, Conventions(strict_greater=True))
    assert list(more.found_by) == [-1, -1]
    _, several = matched(wide, truth, 0.5, Conventions(one_to_one=False))
    assert list(several.found_by) == [0, 0] and list(several.true_positives()) == [2]
    assert list(several.truth_of) == [0]
    _, without = matched(wide, truth, 0.5, Conventions(inclusive=False))
    assert list(without.found_by) == [-1, -1]  # 9 / 19


def test_dummy_false_positives_are_micro_and_one_per_silent_video():
    a, found = matched([row(0, 9, score=1.0)], [row(0, 9)], 0.5)
    counts = metrics.spotting_counts(a, found, Conventions(dummy_false_positive=True))
    assert counts.sum(axis=0).tolist() == [[1, 5, 0], [1, 0, 0], [0, 5, 0]]
    both = Conventions(dummy_false_positive=True, skip_videos_without_events=True)
    assert metrics.spotting_counts(a, found, both).sum(axis=0)[0].tolist() == [1, 0, 0]


def test_conventions_are_parsed_and_refused():
    assert Conventions.parse("strict") == Conventions()
    assert Conventions.parse(" inclusive , one_to_one") == Conventions(False, one_to_one=False)
    with pytest.raises(InputError, match="'megk'"):
        Conventions.parse("megk")


def test_the_higher_score_takes_the_event_and_falls_back_to_the_next():
    truth = [row(0, 9), row(4, 13)]
    predictions = [row(0, 9, score=0.4), row(1, 9, score=0.9), row(2, 9, score=0.8)]
    _, found = matched(predictions, truth, 0.4)
    # 0.9 takes [0, 9]; 0.8 would prefer it too, and takes [4, 13] (6 / 12); nothing is left.
    assert found.truth_of.tolist() == [-1, 0, 1]


def test_an_event_of_unknown_emotion_excuses_one_prediction_that_found_nothing_else():
    truth = [row(0, 9), row(0, 9, emotion=None)]
    predictions = [row(0, 9, score=s, emotion=e) for s, e in ((0.9, "positive"), (0.5, "others"))]
    predictions.append(row(0, 9, score=0.4, emotion="others"))
    a, found = matched(predictions, truth, 0.5, emotions=True)
    assert found.truth_of.tolist() == [0, -1, -1] and found.ignored.tolist() == [False, True, False]
    assert metrics.detection_counts(a, found).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_type_of_matched_and_unmatched_predictions():
    # A short prediction that finds a macro event is no micro false positive, and the reverse.
    truth = [row(0, 9, type="macro"), row(20, 24, type="micro")]
    predictions = [row(0, 4, score=1.0), row(20, 29, score=1.0), row(40, 44, score=1.0)]
    a, found = matched(predictions, truth, 0.5)
    counts = metrics.spotting_counts(a, found).sum(axis=0)
    assert counts.tolist() == [[2, 1, 0], [1, 0, 0], [1, 1, 0]]


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.integers(0, 2)), max_size=40))
@QUICK
def test_reliability(made):
    scores = np.array([s / 100 for s, _, _ in made])
    right = np.array([r for _, r, _ in made], bool)
    who = np.array([w for _, _, w in made], int)
    sums = metrics.calibration_sums(scores, right, who, 3)
    shown = metrics.reliability(sums.sum(axis=0))
    gaps = 0.0
    for k in range(10):
        inside = [i for i, (s, _, _) in enumerate(made) if min(s // 10, 9) == k]
        assert shown["n"][k] == len(inside)
        if inside:
            assert shown["mean_score"][k] == pytest.approx(np.mean(scores[inside]))
            assert shown["fraction_right"][k] == pytest.approx(np.mean(right[inside]))
            gaps += abs(np.mean(scores[inside]) - np.mean(right[inside])) * len(inside)
        else:
            assert math.isnan(shown["mean_score"][k])
    error = metrics.calibration_error(sums.sum(axis=0))
    assert math.isnan(error) if not made else error == pytest.approx(gaps / len(made))


def test_scores_that_are_no_probabilities_have_no_calibration():
    with pytest.raises(InputError, match="1.5"):
        metrics.calibration_sums([0.2, 1.5], [True, False], [0, 0], 1)


def test_importing_the_metrics_needs_no_heavy_library():
    code = (
        "import sys, fedet.metrics, fedet.evaluation.evaluation;"
        "print([m for m in ('torch', 'torchmetrics', 'lightning', 'sklearn', 'scipy', 'cv2',"
        "'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_windowed_search_finds_every_pair_of_a_dense_one():
    rng = np.random.default_rng(0)
    made = []
    for predicted in (True, False):
        onset, length = rng.integers(0, 400, 300), rng.choice([1, 3, 20, 150], 300)
        frame = pd.DataFrame({"subject": "s1", "video": rng.choice(["a", "b"], 300)})
        frame = frame.assign(onset=onset, offset=onset + length - 1, fps=FPS)
        made.append(frame.assign(score=1.0) if predicted else frame)
    a = align(*made)
    p, t = a.predictions, a.truths
    dense = tiou(p.onset[:, None], p.offset[:, None], t.onset, t.offset)
    dense *= p.video[:, None] == t.video
    for threshold in (0.05, 0.5, 1.0):
        pairs = overlap_pairs(p, t, threshold)
        expected = set(zip(*np.nonzero(dense >= threshold), strict=True))
        assert set(zip(pairs.prediction, pairs.truth, strict=True)) == expected
        assert len(expected) > 0


def test_the_search_in_parts_is_the_search_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    onset = rng.integers(0, 100, 50)
    frame = pd.DataFrame({"subject": "s", "video": "a", "onset": onset, "offset": onset + 9})
    a = align(frame.assign(score=rng.random(50), fps=FPS), frame.assign(fps=FPS))
    whole = overlap_pairs(a.predictions, a.truths, 0.3)
    monkeypatch.setattr("fedet.matching.PAIRS_AT_ONCE", 7)
    parts = overlap_pairs(a.predictions, a.truths, 0.3)
    np.testing.assert_array_equal(whole.prediction, parts.prediction)
    np.testing.assert_array_equal(whole.truth, parts.truth)


def test_classes_are_those_of_the_truth_then_the_others():
    truth = [row(0, 1, emotion="wrath"), row(0, 1, emotion="surprise"), row(0, 1)]
    predictions = [row(0, 1, emotion="bliss", score=1.0), row(0, 1, score=1.0)]
    a = align(table(predictions), table(truth), videos())
    assert a.classes == ("positive", "surprise", "wrath", "bliss")

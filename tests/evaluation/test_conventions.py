"""Conventions of counting, each against a reading of its definition in plain loops."""

import json
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from command import fedet
from event_tables import FPS, aligned, rows, table, videos
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slow_reference import slow_ap, slow_f1, slow_strs_metric, slow_typed_counts

from fedet import metrics
from fedet.annotations.formats import read_intervals, write_intervals
from fedet.errors import InputError
from fedet.evaluation.bootstrap import resampled_ap
from fedet.evaluation.evaluation import evaluate
from fedet.matching import NAMED_CONVENTIONS, Conventions, match_emotions, overlap_pairs

HALF = Fraction(1, 2)
FEW = settings(max_examples=15)
KINDS = ((None, "overall"), ("macro", "macro"), ("micro", "micro"))


def scored(predictions, truths, convention="strict", **options):
    options = {"n_resamples": 0, "conventions": convention} | options
    return evaluate(table(predictions), table(truths), videos(), **options)


def same(value, reference):
    return math.isnan(value) if reference is None else value == pytest.approx(reference)


@FEW
@given(rows(predicted=True), rows(predicted=False))
def test_typed_counting_stands_next_to_the_strict_one_and_in_its_place(predictions, truths):
    classes = list(aligned(predictions, truths).classes)
    strict, typed = scored(predictions, truths), scored(predictions, truths, "typed")
    for kind, name in KINDS:
        counts = slow_typed_counts(predictions, truths, HALF, classes, FPS, kind)
        assert tuple(strict.typed.loc[name, ["tp", "fp", "fn"]]) == counts
        assert tuple(typed.spotting.loc[name, ["tp", "fp", "fn"]]) == counts
        figure = "typed_" + ("spotting" if kind is None else name) + "_f1"
        assert same(strict.value(figure), slow_f1(*counts))
    total = strict.typed[["tp", "fp", "fn"]]
    assert (total.loc["overall"] == total.loc["macro"] + total.loc["micro"]).all()
    assert same(strict.value("typed_strs"), None if math.isnan(v := typed.value("strs")) else v)


def test_a_prediction_of_the_wrong_length_finds_nothing_where_counting_is_typed():
    truth = pd.DataFrame({"video": ["a"], "onset": [0], "offset": [11], "fps": 30.0, "emotion": "positive"})
    guess = truth.assign(offset=19, score=1.0)  # 20 frames for 12: overlap 0.6, macro for micro
    result = evaluate(guess, truth, n_resamples=0)
    assert result.value("spotting_f1") == 1 and result.value("typed_spotting_f1") == 0
    assert result.typed.loc["macro", ["tp", "fp", "fn"]].tolist() == [0, 1, 0]
    assert result.typed.loc["micro", ["tp", "fp", "fn"]].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("fps", "longest"), [(30.0, 16), (29.97, 16), (200.0, 105)])
def test_megc_has_its_own_border_between_micro_and_macro(fps, longest):
    lengths = np.array([longest, longest + 1])
    truth = pd.DataFrame({"video": "a", "onset": [0, 1000], "fps": fps, "emotion": "others", "score": 0.5})
    truth["offset"] = truth["onset"] + lengths - 1
    megc, typed = (evaluate(truth, truth, conventions=name, n_resamples=0) for name in ("megc", "typed"))
    assert megc.events["expression_type"].tolist() == ["micro", "macro"]
    assert typed.events["expression_type"].tolist() == ["macro", "macro"]
    other = evaluate(truth.assign(fps=25.0), truth.assign(fps=25.0), conventions="megc", n_resamples=0)
    assert other.events["expression_type"].tolist() == ["macro" if n > 12 else "micro" for n in lengths]


ONE = {"subject": "s1", "onset": 0, "offset": 0, "emotion": "positive", "type": "macro"}


@FEW
@given(rows(predicted=True, unknown=False), rows(predicted=False, unknown=False))
@example([ONE | {"video": "b", "score": 0.0}], [ONE | {"video": "a"}])  # predicted where nothing is annotated
def test_strs_metric_is_the_program_of_its_authors(predictions, truths):
    counts, recognition = slow_strs_metric(predictions, truths)
    unscored = table(predictions).drop(columns="score")
    result = evaluate(unscored, table(truths), videos(), conventions="strs-metric", n_resamples=0)
    assert tuple(result.spotting.loc["overall", ["tp", "fp", "fn"]]) == counts
    for name in ("uf1", "uar", "recognition_f1"):
        assert same(result.value(name), recognition and recognition[name])
    if recognition and slow_f1(*counts):
        assert result.value("strs") == pytest.approx(slow_f1(*counts) * recognition["recognition_f1"])


@FEW
@given(rows(predicted=True), rows(predicted=False), st.sampled_from([0.5, 0.75]))
def test_average_precision_of_coco(predictions, truths, tiou):
    a = aligned(predictions, truths)
    found = match_emotions(overlap_pairs(a.predictions, a.truths, tiou), a.predictions, a.truths, tiou)
    classes = list(a.classes)
    weights = np.ones((2, 3))
    for code, name in enumerate(classes):
        ranking = metrics.rank_predictions(a, found, code, best=2)
        expected = slow_ap(
            predictions, truths, name, Fraction(tiou).limit_denominator(100), classes, points=True, best=2
        )
        assert same(metrics.average_precision(ranking, recall_points=True), expected)
        drawn = resampled_ap(weights, ranking, recall_points=True)
        assert drawn[0] == drawn[1] or math.isnan(drawn[0])
        assert same(drawn[0], expected)


def test_average_precision_of_coco_by_hand():
    ranking = metrics.Ranking(*map(np.array, ([1, 0, 1], [0, 1, 0], [0, 0, 0], [0.9, 0.8, 0.7], [3])))
    # Recalls 0 to 33 have precision 1, 34 to 66 have 2/3, the rest was not reached.
    assert metrics.average_precision(ranking, recall_points=True) == pytest.approx((34 + 33 * 2 / 3) / 101)


@FEW
@given(rows(predicted=True), rows(predicted=False))
def test_mean_average_precision_of_activitynet(predictions, truths):
    classes = list(aligned(predictions, truths).classes)
    unnamed = any(side and all(r["emotion"] is None for r in side) for side in (predictions, truths))
    result = scored(predictions, truths, "activitynet")
    means = []
    for hundredths in range(50, 100, 5):
        aps = [slow_ap(predictions, truths, c, Fraction(hundredths, 100), classes) for c in classes]
        means += [np.mean([ap for ap in aps if ap is not None])] if any(ap is not None for ap in aps) else []
    assert same(result.value("map"), None if unnamed or not means else np.mean(means))
    assert "mAP, mean of 0.5 to 0.95" in result.format()


@FEW
@given(rows(predicted=True, unknown=False), rows(predicted=False, unknown=False))
def test_only_some_emotions_are_recognised_and_detected(predictions, truths):
    asked = ["positive", "surprise"]
    named = {r["emotion"] for r in [*predictions, *truths]}
    if not set(asked) <= named:
        return
    result = scored(predictions, truths, emotions=asked)
    whole = scored(predictions, truths)
    assert result.value("spotting_f1") == whole.value("spotting_f1") or not truths or not predictions
    unknown = [r | {"emotion": r["emotion"] if r["emotion"] in asked else None} for r in truths]
    kept = [r for r in predictions if r["emotion"] in asked]
    detected = scored(kept, unknown)
    if any(r["emotion"] for r in unknown) and kept:
        assert result.value("map") == pytest.approx(detected.value("map"))
        assert result.detection.loc["overall"].equals(detected.detection.loc["overall"])
    assert result.confusion.to_numpy().sum() <= whole.confusion.to_numpy().sum()


def test_an_emotion_that_is_nowhere_is_refused():
    truth = table(
        [{"subject": "s1", "video": "a", "onset": 0, "offset": 9, "emotion": "positive", "score": 1}]
    )
    with pytest.raises(InputError, match="'joy': neither annotated nor predicted; there are: positive"):
        evaluate(truth, truth, emotions=["joy"])


# --- the command and the function


@pytest.fixture
def pair(tmp_path):
    """Labels of one's own in two CSV files: five words, onsets before the first frame, no type, no score."""
    rng = np.random.default_rng(7)
    onset = np.tile(np.arange(6) * 90, 8) + rng.integers(0, 20, 48)
    truth = pd.DataFrame({"subject": np.repeat(np.arange(8), 6), "video": "film", "onset": onset})
    truth["offset"] = onset + rng.integers(5, 40, 48)
    truth["emotion"] = rng.choice(["joy", "grief", "awe", "rage", "shame"], 48)
    guess = truth.assign(
        onset=onset + rng.integers(-25, 9, 48), offset=truth["offset"] + rng.integers(-3, 9, 48)
    )
    guess["emotion"] = np.where(rng.random(48) < 0.6, truth["emotion"], rng.permutation(truth["emotion"]))
    guess["offset"] = guess[["onset", "offset"]].max(axis=1)
    assert (guess["onset"] < 0).any()
    for name, made in (("truth", truth), ("guess", guess)):
        made.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path / "guess.csv", tmp_path / "truth.csv"


@pytest.mark.parametrize("convention", NAMED_CONVENTIONS)
def test_the_command_and_the_function_give_the_same_figures(pair, tmp_path, convention):
    out = tmp_path / "out.json"
    options = [*map(str, pair), "--as-written", "--fps", "30", "--score", "1", "--resamples", "20"]
    assert fedet("evaluate", *options, "--convention", convention, "--out", str(out)).returncode == 0
    by_command = json.loads(out.read_text())["figures"]
    guess, truth = map(pd.read_csv, pair)
    result = evaluate(guess, truth, fps=30, score=1.0, conventions=convention, n_resamples=20)
    for name, row in result.figures.iterrows():
        for column in ("value", "low", "high"):
            assert same(row[column], by_command[name][column]), (name, column)
    assert any("start before the first frame" in note for note in result.notes)


def test_the_command_takes_emotions_and_names_conventions_that_there_are(pair):
    files = [*map(str, pair), "--as-written", "--fps", "30", "--score", "1", "--resamples", "0"]
    found = fedet("evaluate", *files, "--emotions", "joy, awe", "--convention", "megc")
    assert found.returncode == 0 and "emotions: joy, awe" in found.stdout
    assert "megc (typed, megc_border)" in found.stdout
    wrong = fedet("evaluate", *files, "--convention", "megk")
    assert wrong.returncode != 0 and "'megk'" in wrong.stderr and "megc" in wrong.stderr
    assert "'calm'" in fedet("evaluate", *files, "--emotions", "calm").stderr


def test_result_files_of_megc_are_written_and_scored(tmp_path):
    truth = table([
        {"subject": "film", "video": "film", "onset": n * 40, "offset": n * 40 + 3 + n, "emotion": "positive",
         "type": "micro" if n < 2 else "macro", "score": 1.0} for n in range(5)
    ])  # fmt: skip
    write_intervals(truth, tmp_path / "cas_pred.megc.csv", fps=10)
    header = (tmp_path / "cas_pred.megc.csv").read_text().splitlines()[0]
    assert header.startswith("vid,pred_onset,pred_offset,type")
    back, _ = read_intervals(tmp_path / "cas_pred.megc.csv", fps=10)
    result = evaluate(back.assign(fps=10.0), truth, score=1.0, conventions="megc", n_resamples=0)
    assert result.value("typed_spotting_f1") == result.value("spotting_f1") == 1


def test_conventions_are_read_by_name_and_by_field():
    assert Conventions.parse("strict") == Conventions.parse("") == Conventions()
    assert str(Conventions.parse("megc")) == "megc (typed, megc_border)"
    assert str(Conventions.parse("typed")) == "typed" and str(Conventions()) == "strict"
    assert str(Conventions.parse("megc,inclusive")) == "inclusive, typed, megc_border"

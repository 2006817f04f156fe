import json
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from event_tables import CLASSES, FPS, aligned, rows, table, videos
from hypothesis import given, settings
from slow_reference import slow_ap, slow_counts, slow_detection_counts, slow_f1

from fedet.errors import InputError
from fedet.evaluation.bootstrap import subject_weights
from fedet.evaluation.evaluation import compare, evaluate
from fedet.evaluation.tables import HEADLINE
from fedet.matching import Conventions
from fedet.metrics import MAP_THRESHOLDS


def example(seed=0, n=60, wrong=0.2, jitter=3):
    """Truth of n events of four subjects, and predictions that are mostly near it."""
    rng = np.random.default_rng(seed)
    onset = np.arange(n) * 50 + rng.integers(0, 20, n)
    truth = pd.DataFrame({"subject": [f"s{i % 4}" for i in range(n)], "video": "a", "fps": 30.0})
    truth = truth.assign(onset=onset, offset=onset + rng.integers(8, 28, n))
    truth["emotion"] = rng.choice(["positive", "negative", "surprise", "others"], n)
    truth["expression_type"] = np.where(truth["offset"] - onset < 15, "micro", "macro")
    guess = truth.sample(frac=0.8, random_state=seed).drop(columns="expression_type")
    guess["onset"] = (guess["onset"] + rng.integers(-jitter, jitter + 1, len(guess))).clip(0)
    guess["score"] = rng.permutation(len(guess)) / len(guess)
    other = rng.random(len(guess)) < wrong
    guess.loc[other, "emotion"] = rng.choice(CLASSES, other.sum())
    return guess, truth


def read(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=12)
@given(rows(predicted=True), rows(predicted=False))
def test_evaluation_against_the_slow_reference(predictions, truths):
    result = evaluate(table(predictions), table(truths), videos(), n_resamples=0)
    classes = list(aligned(predictions, truths).classes)
    half = Fraction(1, 2)
    for kind, name in ((None, "overall"), ("macro", "macro"), ("micro", "micro")):
        counts = slow_counts(predictions, truths, half, classes, FPS, kind)
        assert tuple(result.spotting.loc[name, ["tp", "fp", "fn"]]) == counts
    unnamed = any(side and all(r["emotion"] is None for r in side) for side in (predictions, truths))
    if unnamed:
        assert math.isnan(result.value("detection_f1")) and math.isnan(result.value("map"))
        return
    expected = slow_f1(*slow_detection_counts(predictions, truths, half, classes))
    value = result.value("detection_f1")
    assert math.isnan(value) if expected is None else value == pytest.approx(expected)
    means = []
    for tiou in MAP_THRESHOLDS:
        exact = Fraction(tiou).limit_denominator(100)
        aps = [slow_ap(predictions, truths, name, exact, classes) for name in classes]
        aps = [ap for ap in aps if ap is not None]
        value = result.value(f"map_{tiou:g}")
        assert math.isnan(value) if not aps else value == pytest.approx(np.mean(aps))
        means += [np.mean(aps)] if aps else []
    value = result.value("map")
    assert math.isnan(value) if not means else value == pytest.approx(np.mean(means))


def test_the_truth_scores_1_against_itself():
    _, truth = example()
    result = evaluate(truth.assign(score=0.9), truth, n_resamples=50)
    errors = {"spotting_calibration_error", "detection_calibration_error"}
    for name in set(HEADLINE) - errors:
        assert result.figures.loc[name, ["value", "low", "high"]].tolist() == [1, 1, 1], name
    assert result.value("spotting_calibration_error") == pytest.approx(0.1)
    assert (result.errors["n"] == 0).all()


def test_nothing_against_nothing_is_undefined_everywhere():
    empty = table([])
    result = evaluate(empty, empty)
    assert result.figures["value"].isna().all()
    plain = read(result.to_json())
    assert plain["figures"]["spotting_f1"] == {
        "value": None, "low": None, "high": None, "undefined": 0
    }  # fmt: skip
    page = result.format()
    assert "nan" not in page.lower() and " -\n" in page


def test_no_prediction_has_f1_0_and_no_event_too():
    guess, truth = example()
    nothing = evaluate(guess.iloc[:0], truth, n_resamples=50)
    assert nothing.value("spotting_f1") == nothing.value("detection_f1") == 0
    assert nothing.value("strs") == nothing.value("map") == 0
    assert math.isnan(nothing.value("uf1")) and math.isnan(nothing.value("spotting_precision"))
    assert nothing.data["videos_without_predictions"] == 4
    for text in (nothing.format(), nothing.to_json()):
        assert "nan" not in text.lower()
    silent = evaluate(guess, truth.iloc[:0], n_resamples=50)
    assert silent.value("spotting_f1") == 0 and math.isnan(silent.value("map"))
    assert silent.data["videos_without_events"] == silent.data["subjects_without_events"] == 4
    read(silent.to_json())


def test_listed_silent_videos_count_as_videos_and_subjects():
    guess, truth = example()
    listed = truth[["subject", "video"]].drop_duplicates()
    listed = pd.concat([listed, pd.DataFrame({"subject": ["s9", "s0"], "video": ["a", "b"]})])
    result = evaluate(guess, truth, listed)
    assert result.data["videos"] == 6 and result.data["videos_without_events"] == 2
    assert result.data["subjects"] == 5 and result.data["subjects_without_events"] == 1
    assert result.value("spotting_f1") == evaluate(guess, truth).value("spotting_f1")
    assert result.subjects["subject"].tolist() == ["s0", "s1", "s2", "s3", "s9"]
    assert math.isnan(result.subjects.set_index("subject").at["s9", "f1"])


def test_the_tables_add_up():
    guess, truth = example()
    result = evaluate(guess, truth)
    total = result.subjects[["tp", "fp", "fn", "events", "predictions"]].sum()
    assert total[["tp", "fp", "fn"]].tolist() == result.spotting.loc["overall", ["tp", "fp", "fn"]].tolist()
    assert total["events"] == result.data["events"] == len(truth)
    assert total["predictions"] == result.data["predictions"] == len(guess)
    counts = ["tp", "fp", "fn"]
    detection = result.detection[counts]
    assert detection.loc["overall"].tolist() == detection.drop("overall").sum().tolist()
    spotting = result.spotting[counts]
    assert (spotting.loc["overall"] == spotting.loc["macro"] + spotting.loc["micro"]).all()
    assert result.confusion.to_numpy().sum() == result.spotting.at["overall", "tp"]
    assert result.events["spotted"].sum() == result.spotting.at["overall", "tp"]
    assert result.predictions["detected"].sum() == result.detection.at["overall", "tp"]
    assert result.events["missed"].sum() == result.errors.set_index("kind").at["missed", "n"]
    by_class = result.ap.drop("spotting")["0.5"].mean()
    assert result.value("map_0.5") == pytest.approx(by_class)
    reliability = result.calibration["spotting"]
    assert reliability["n"].sum() == len(guess)
    right = (reliability["n"] * reliability["fraction_right"]).sum()
    assert right == pytest.approx(result.spotting.at["overall", "tp"])


def test_figures_do_not_depend_on_what_does_not_matter():
    guess, truth = example()
    base = evaluate(guess, truth, n_resamples=0).figures["value"]
    moved = [t.assign(onset=t["onset"] + 700, offset=t["offset"] + 700) for t in (guess, truth)]
    shuffled = [t.sample(frac=1, random_state=1) for t in (guess, truth)]
    renamed = [t.assign(subject="x" + t["subject"], video="film") for t in (guess, truth)]
    for other in (moved, shuffled, renamed):
        pd.testing.assert_series_equal(evaluate(*other, n_resamples=0).figures["value"], base)
    squashed = guess.assign(score=guess["score"] ** 3 / 2)  # same order
    rest = [name for name in base.index if "calibration" not in name]
    other = evaluate(squashed, truth, n_resamples=0).figures["value"]
    pd.testing.assert_series_equal(other[rest], base[rest])


def test_intervals_are_seeded_and_those_of_the_subjects():
    guess, truth = example()
    result = evaluate(guess, truth, n_resamples=200, seed=7)
    again = evaluate(guess, truth, n_resamples=200, seed=7)
    pd.testing.assert_frame_equal(result.figures, again.figures)
    other = evaluate(guess, truth, n_resamples=200, seed=8)
    assert (result.figures["low"] != other.figures["low"]).any()
    assert (result.figures["value"] == other.figures["value"]).all()
    # By hand: draw the subjects' rows as often as the weights say, and count again.
    weights = subject_weights(4, 200, seed=7)
    counts = result.subjects[["tp", "fp", "fn"]].to_numpy()
    f1s = [slow_f1(*sum(w * c for w, c in zip(row, counts, strict=True))) for row in weights]
    half = 3.182446 * np.std(f1s) * math.sqrt(4 / 3)  # Student's t of 3 degrees
    value = result.value("spotting_f1")
    assert result.figures.at["spotting_f1", "low"] == pytest.approx(value - half)
    assert result.figures.at["spotting_f1", "high"] == pytest.approx(min(1, value + half))
    assert (result.figures["low"] <= result.figures["high"]).all()
    assert set(result.samples) == set(result.figures.index)


def test_one_subject_or_no_resamples_give_no_interval():
    guess, truth = (t.assign(subject="s1") for t in example())
    result = evaluate(guess, truth)
    assert result.figures["low"].isna().all()
    assert any("one subject" in note for note in result.notes)
    assert evaluate(*example(), n_resamples=0).figures["low"].isna().all()


def test_json_and_page_say_the_same(tmp_path):
    guess, truth = example()
    result = evaluate(guess, truth)
    text = result.to_json(tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text() == text
    plain = read(text)
    page = result.format()
    for name, shown in HEADLINE.items():
        line = next(x for x in page.splitlines() if x.startswith(shown + "  "))
        figure = plain["figures"][name]
        assert line.split()[-3:] == [f"{figure[k]:.3f}" for k in ("value", "low", "high")]
        assert figure["value"] == pytest.approx(result.value(name))
    overall = next(x for x in page.splitlines() if x.startswith("overall")).split()
    assert [int(x) for x in overall[1:4]] == [plain["spotting"][0][k] for k in ("tp", "fp", "fn")]
    assert plain["settings"]["conventions"] == "strict" and "conventions: strict" in page
    assert {s["subject"] for s in plain["subjects"]} == {"s0", "s1", "s2", "s3"}


def test_conventions_change_the_figures_and_are_printed():
    guess, truth = example(jitter=8)
    strict = evaluate(guess, truth, n_resamples=0)
    loose = evaluate(guess, truth, n_resamples=0, conventions=Conventions.parse("inclusive,strict_greater"))
    assert loose.value("spotting_f1") < strict.value("spotting_f1")
    assert "conventions: inclusive, strict_greater" in loose.format()
    precise = evaluate(guess, truth, conventions=Conventions(uar_is_mean_precision=True))
    assert precise.value("uar") == pytest.approx(precise.recognition["precision"].mean())
    assert strict.value("uar") == pytest.approx(strict.recognition["recall"].mean())
    extra = pd.concat([guess, guess.head(3).assign(video="empty")])
    kept = evaluate(extra, truth, n_resamples=0)
    skipped = Conventions(skip_videos_without_events=True)
    left_out = evaluate(extra, truth, n_resamples=0, conventions=skipped)
    assert kept.spotting.at["overall", "fp"] == strict.spotting.at["overall", "fp"] + 3
    assert left_out.spotting.at["overall", "fp"] == strict.spotting.at["overall", "fp"]
    assert any("videos without events: 3, left out" in n for n in left_out.notes)


def test_self_reported_labels_can_be_the_truth():
    guess, truth = example()
    reported = truth.assign(emotion_self_report="surprise")
    result = evaluate(guess, reported, label="emotion_self_report", n_resamples=0)
    assert next(iter(result.confusion.index)) == "surprise"
    right = (guess["emotion"] == "surprise").mean()
    assert result.value("accuracy") == pytest.approx(right)
    with pytest.raises(InputError, match="emotion_self_report"):
        evaluate(guess, truth, label="emotion_self_report")


def test_events_without_emotion_are_left_out_of_recognition_and_detection():
    guess, truth = example(wrong=0, jitter=1)
    some = truth.copy()
    some.loc[::3, "emotion"] = None
    result = evaluate(guess, some, n_resamples=0)
    assert result.value("accuracy") == 1 and result.value("detection_precision") == 1
    assert result.detection.loc["overall", ["tp", "fn"]].sum() == some["emotion"].notna().sum()
    assert "events without emotion: 20 of 60" in " ".join(result.notes)


def test_a_spotter_without_emotions_is_scored_as_a_spotter():
    guess, truth = example()
    result = evaluate(guess.drop(columns="emotion"), truth, n_resamples=20)
    assert result.value("spotting_f1") == evaluate(guess, truth).value("spotting_f1")
    for name in ("detection_f1", "map", "uf1", "strs"):
        assert math.isnan(result.value(name))
    assert result.errors is None and any("names an emotion" in n for n in result.notes)
    read(result.to_json())
    assert "nan" not in result.format().lower()
    far = guess.assign(onset=guess["onset"] + 9000, offset=guess["offset"] + 9000)
    lost = evaluate(far.drop(columns="emotion"), truth, n_resamples=0)
    assert lost.value("spotting_f1") == 0 and math.isnan(lost.value("strs"))


def test_every_interval_comes_with_its_time_and_what_became_of_it():
    guess, truth = example()
    result = evaluate(guess, truth, n_resamples=0)
    for found, known in ((result.events, truth), (result.predictions, guess)):
        assert found["onset"].tolist() == known["onset"].tolist()
        assert found["start_s"].tolist() == (known["onset"] / 30).tolist()
        assert found["end_s"].tolist() == ((known["offset"] + 1) / 30).tolist()
        assert found["emotion"].tolist() == known["emotion"].tolist()
    right = result.predictions["kind"] == "right"
    assert right.tolist() == result.predictions["detected"].tolist()


def test_comparison_is_paired_and_needs_like_evaluations():
    guess, truth = example()
    worse = guess.copy()
    worse.loc[worse.index[::4], "emotion"] = "others"
    a, b = evaluate(guess, truth), evaluate(worse, truth)
    table_ = compare(a, b)
    gap = table_.loc["detection_f1"]
    assert gap["difference"] == pytest.approx(a.value("detection_f1") - b.value("detection_f1"))
    samples = a.samples["detection_f1"] - b.samples["detection_f1"]
    half = 3.182446 * np.std(samples) * math.sqrt(4 / 3)
    assert gap["low"] == pytest.approx(gap["difference"] - half)
    assert table_.loc["spotting_f1", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    mirrored = compare(b, a)
    np.testing.assert_allclose(mirrored["low"], -table_["high"], atol=1e-12)
    with pytest.raises(InputError, match="seed is 0 and 1"):
        compare(a, evaluate(guess, truth, seed=1))
    with pytest.raises(InputError, match="different events"):
        compare(a, evaluate(guess, truth.assign(offset=truth["offset"] + 1)))
    with pytest.raises(InputError, match="subjects"):
        compare(a, evaluate(guess[guess.subject != "s0"], truth[truth.subject != "s0"]))


def test_several_training_seeds_are_averaged():
    guess, truth = example()
    runs = [evaluate(example(seed=0, jitter=j)[0], truth) for j in (1, 3, 6)]
    other = [evaluate(guess, truth)]
    row = compare(runs, other).loc["spotting_f1"]
    assert row["first"] == pytest.approx(np.mean([r.value("spotting_f1") for r in runs]))
    assert row["second"] == other[0].value("spotting_f1")


def test_unknown_figures_and_impossible_options_are_refused():
    guess, truth = example()
    result = evaluate(guess, truth, n_resamples=0)
    with pytest.raises(InputError, match="spotting_f1"):
        result.value("spoting_f1")
    for options in ({"tiou": 0}, {"tiou": 2}, {"n_resamples": -1}, {"level": 1.0}):
        with pytest.raises(InputError):
            evaluate(guess, truth, **options)


def test_a_low_threshold_has_no_breakdown_but_everything_else():
    guess, truth = example()
    result = evaluate(guess, truth, tiou=0.05, n_resamples=0)
    assert result.errors is None
    assert result.value("spotting_f1") >= evaluate(guess, truth).value("spotting_f1")

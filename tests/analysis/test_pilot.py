"""The pilot: time model, reliability, both languages, and a folder with a broken video."""

import re
import string
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.analysis import pilot, pilot_brief
from fedet.analysis.pilot_brief import (
    LANGUAGES,
    Brief,
    calculator,
    has_glyphs,
    plot_detections,
    plot_hours,
    texts,
)
from fedet.annotations.table import validate
from fedet.errors import InputError
from fedet.report.markdown import render_markdown


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def detections(rows, video="a"):
    table = pd.DataFrame(rows, columns=["onset", "offset", "emotion", "score"])
    return validate(table.assign(video=video, subject=video, fps=30.0, source="fedet"))[0]


def surveyed(
    truth=None, rows=((30, 59, "positive", 0.9), (90, 99, "negative", 0.4)), synthetic=False, failed=()
):
    found = detections(list(rows))
    kinds = found["expression_type"]
    row = {"video": "a", "seconds": 600.0, "macro": int((kinds == "macro").sum()),
           "micro": int((kinds == "micro").sum()), "missing_s": 3.0, "took_s": 6.0, "problems": 0,
           "path": "a.mp4"}  # fmt: skip
    lost = pd.DataFrame(list(failed), columns=["video", "reason"])
    return pilot.Survey(pd.DataFrame([row]), found, lost, 0.33, synthetic, truth)


# ---------------------------------------------------------------- time


def test_hours_by_hand_of_a_case_reckoned_on_paper():
    model = pilot.TimeModel(manual_speed=10, decide_s=10, watch=2, context_s=1, scan_speed=2, hourly_cost=36)
    # 100 s of video, two detections of 3 s: 2 x (10 + 2 x 5) = 40 s; the other 94 s at double speed: 47 s
    hours = model.hours(100, [3.0, 3.0])
    assert (hours["hours"] * 3600).tolist() == pytest.approx([1000, 40, 87])
    assert hours["cost"].tolist() == pytest.approx([10.0, 0.4, 0.87])


@given(st.floats(0, 1e5), st.lists(st.floats(0.1, 5), max_size=20), st.floats(0.5, 50), st.floats(1, 8))
def test_skimming_costs_more_than_judging_alone_and_nothing_is_negative(seconds, lengths, manual, scan):
    hours = pilot.TimeModel(manual_speed=manual, scan_speed=scan).hours(seconds, lengths)["hours"]
    assert (hours >= 0).all() and hours["with_scan"] >= hours["detections"]


@pytest.mark.parametrize("wrong", [{"manual_speed": 0}, {"decide_s": -1}, {"scan_speed": float("nan")}])
def test_impossible_assumptions_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        pilot.TimeModel(**wrong)


# ---------------------------------------------------------------- reliability


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_solves_its_equation(counts):
    right, n = counts
    value, low, high = pilot.wilson(right, n)
    assert 0 <= low <= value <= high <= 1
    for end in (low, high):
        if 0 < end < 1:  # the ends are where the share lies 1.96 standard errors away
            assert abs(value - end) == pytest.approx(1.96 * np.sqrt(end * (1 - end) / n), abs=1e-9)


def test_the_number_to_judge_gives_the_width_it_promises():
    n = pilot.wilson_size(0.10)
    _, low, high = pilot.wilson(n // 2, n)
    assert (high - low) / 2 == pytest.approx(0.10, abs=0.003)


def test_annotated_videos_tell_precision_and_recall_others_tell_nothing():
    truth = detections([(31, 58, "positive", 1.0), (300, 330, "negative", 1.0)])
    sure = pilot.reliability(surveyed(truth))
    assert (sure.correct, sure.events) == (1, 2)
    assert sure.precision[0] == 0.5 and sure.recall[0] == 0.5
    assert pilot.reliability(surveyed()).precision is None
    none = pilot.reliability(surveyed(truth, rows=()))
    assert none.precision is None and none.recall[0] == 0


# ---------------------------------------------------------------- words


def fields(words) -> set:
    if isinstance(words, dict):
        return set().union(*map(fields, words.values()))
    if isinstance(words, list):
        return set().union(*map(fields, words))
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def test_the_languages_say_the_same_with_the_same_figures():
    english, japanese = (texts(language) for language in LANGUAGES)
    assert english.keys() == japanese.keys()
    for key in english:
        assert fields(english[key]) == fields(japanese[key]), key
        assert type(english[key]) is type(japanese[key])
        assert not isinstance(english[key], list) or len(english[key]) == len(japanese[key])
    with pytest.raises(InputError, match="en or ja"):
        texts("de")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rows", [(), ((30, 59, "positive", 0.9),)])
@pytest.mark.parametrize("known", [False, True])
def test_a_brief_has_no_gaps_whatever_was_found(language, rows, known):
    truth = detections([(31, 58, "positive", 1.0)]) if known else None
    found = surveyed(truth, rows, synthetic=True, failed=[("b|<b>.mp4", "broken")])
    text = Brief(found, pilot.TimeModel(), language).whole()
    assert "{" not in text and "nan" not in text.lower()
    page = render_markdown(text)
    assert "**" not in page and "<b>.mp4" not in page and "broken" in page
    assert page.count("<table>") == 2
    kana = re.search(r"[\u3040-\u30ff]", text)
    assert bool(kana) == (language == "ja")


def test_a_name_that_no_font_can_write_becomes_its_number_in_the_table():
    found = surveyed()
    found.videos["video"] = "\U0001f3ac.mp4"  # no font of matplotlib's has it
    (label,) = [text.get_text() for text in plot_detections(found).get_yticklabels()]
    assert label == "video 1" and "1. \U0001f3ac.mp4" in Brief(found, pilot.TimeModel()).videos()


def test_times_are_told_in_units_that_can_be_read():
    brief = Brief(surveyed(), pilot.TimeModel())
    short, long = brief.hours.assign(hours=[0.167, 0.071, 1.5]), brief.hours.assign(hours=[30.0, 4.25, 6.0])
    told = [[text.get_text().strip() for text in plot_hours(hours).texts] for hours in (short, long)]
    assert told == [["10 min", "4.3 min", "90 min"], ["30 h", "4.2 h", "6.0 h"]]
    assert [plot_hours(hours).get_xlabel().split()[0] for hours in (short, long)] == ["minutes", "hours"]
    brief.hours = short
    assert "**4.3 min**" in brief.cost() and "| 10 min |" in brief.cost()


def test_figures_follow_the_survey():
    found = surveyed()
    brief = Brief(found, pilot.TimeModel(), project_h=10)
    assert found.clear == 1 and found.lengths_s.tolist() == pytest.approx([1.0, 1 / 3])
    assert "**Expressions: 2**, 1 longer and 1 micro" in brief.detections()
    hours = brief.hours["hours"]
    assert f"{10 * 3600 / 600 * hours['by_hand']:,.0f} h" in brief.cost()
    with pytest.raises(InputError, match="project_h"):
        Brief(found, pilot.TimeModel(), project_h=0)
    assert len(plot_detections(found).patches) == 3  # the video's length, two detections
    found.videos["seconds"] = 40.0
    assert [text.get_text() for text in plot_detections(found).texts] == ["P"]  # the micro one is too narrow
    covered = surveyed(rows=[(30, 119, "positive", 0.9), (40, 119, "negative", 0.8)])
    covered.videos["seconds"] = 40.0
    assert [text.get_text() for text in plot_detections(covered).texts] == ["N"]
    assert plot_hours(brief.hours, brief.workflow_names()).get_xlim()[0] == 0
    assert has_glyphs("hours") and isinstance(has_glyphs("時間"), bool)
    widget = calculator(found, pilot.TimeModel())
    before = bytes(widget.image.value)
    widget.controls["manual_speed"].value = 60
    assert bytes(widget.image.value) != before


# ---------------------------------------------------------------- folders


def test_a_folder_without_videos_or_that_is_not_there_is_refused(tmp_path):
    for wrong in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="videos"):
            pilot.open_folder(wrong)
    (tmp_path / "1.jpeg").write_bytes(b"x")
    assert pilot.open_folder(tmp_path)[0] == [tmp_path]


def test_a_broken_video_is_reported_and_the_rest_is_done(tmp_path, monkeypatch):
    from fedet.detection import Detections
    from fedet.faces.tracking import missing_spans

    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "b.mp4").write_bytes(b"x")

    def detect(path, *_, **__):
        if path.stem == "b":
            raise InputError("b.mp4:\n broken")
        table = detections([(30, 59, "positive", 0.9)])
        return Detections(table, missing_spans(["face"] * 9, 30.0), 20.0, 0.5, video="a")

    monkeypatch.setattr("fedet.detection.detect", detect)
    paths, truth, synthetic = pilot.open_folder(tmp_path)
    assert [p.name for p in paths] == ["a.mp4", "b.mp4"] and truth is None and not synthetic
    found = pilot.survey(paths, progress=False)
    assert found.failed.to_dict("records") == [{"video": "b.mp4", "reason": "b.mp4: broken"}]
    assert found.videos["macro"].tolist() == [1] and found.seconds == 20
    with pytest.raises(InputError, match="none of 1 videos"):
        pilot.survey(paths[1:], progress=False)


@pytest.mark.parametrize("installed", [False, True])
def test_figures_never_show_boxes(monkeypatch, installed):
    """Japanese where a font has it, English where none does: the letters that are missing warn."""
    if not installed:
        monkeypatch.setattr(pilot_brief, "JAPANESE", ())
    found = surveyed(synthetic=True)
    brief = Brief(found, pilot.TimeModel(), "ja")
    words = brief.figure_words()
    drawn = plot_detections(found, words=words), plot_hours(brief.hours, brief.workflow_names(), words=words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ax in drawn:
            ax.figure.canvas.draw()
    assert drawn[0].get_xlabel() == texts("ja" if has_glyphs("秒") else "en")["drawn"]["seconds"]
    assert installed or words == texts("en")["drawn"]

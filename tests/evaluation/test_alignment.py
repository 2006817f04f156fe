import pandas as pd
import pytest

from fedet.annotations.video_names import stem
from fedet.errors import InputError
from fedet.evaluation.alignment import align


def events(*made, **columns) -> pd.DataFrame:
    """Rows of (subject, video, onset, offset)."""
    frame = pd.DataFrame(made, columns=["subject", "video", "onset", "offset"])
    usual = {"fps": 30.0, "emotion": "positive", "expression_type": "macro", "score": 0.5}
    return frame.assign(**(usual | columns))


def keys(aligned, side="predictions"):
    video = getattr(aligned, side).video
    return list(aligned.videos[["subject", "video"]].iloc[video].itertuples(index=False, name=None))


def test_videos_of_one_name_are_kept_apart_by_subject():
    truth = events(("s1", "a", 0, 9), ("s2", "a", 0, 9))
    aligned = align(events(("s2", "a", 0, 9)), truth)
    assert keys(aligned) == [("s2", "a")]
    assert keys(aligned, "truths") == [("s1", "a"), ("s2", "a")]


@pytest.mark.parametrize("subject", [None, "", "a"])
def test_a_missing_subject_is_found_by_the_video(subject):
    """The reader of tables puts the video's name where a subject is missing."""
    aligned = align(events((subject, "a", 0, 9)), events(("s1", "a", 0, 9), ("s1", "b", 0, 9)))
    assert keys(aligned) == [("s1", "a")]
    dropped = align(events((subject, "a", 0, 9)).drop(columns="subject"), events(("s1", "a", 0, 9)))
    assert keys(dropped) == [("s1", "a")]


def test_a_missing_subject_is_refused_where_two_have_such_a_video():
    truth = events(("s1", "a", 0, 9), ("s2", "a", 0, 9))
    with pytest.raises(InputError, match="'a' can be any of 's1/a', 's2/a'.*subject"):
        align(events((None, "a", 0, 9)), truth)


def test_a_truth_without_subjects_takes_them_from_the_predictions_or_the_videos():
    truth = events((None, "a", 0, 9), (None, "b", 0, 9))
    assert align(events(("s1", "a", 0, 9)), truth).subjects == ("b", "s1")
    assert align(events((None, "a", 0, 9)), truth).subjects == ("a", "b")
    with pytest.raises(InputError, match="truth names no subject for video 'a'"):
        align(events(("s1", "a", 0, 9), ("s2", "a", 0, 9)), truth)


@pytest.mark.parametrize("written", ["a.mp4", "clips/a", "clips\\a.MOV", "a"])
def test_folders_and_suffixes_of_a_name_do_not_matter(written):
    truth = events(("s1", "a", 0, 9))
    aligned = align(events(("s1", written, 0, 9)), truth)
    assert keys(aligned) == [("s1", "a")]
    assert (written == "a") == (not aligned.notes)
    turned = align(truth.assign(score=1.0), events(("s1", written, 0, 9)))
    assert keys(turned) == keys(turned, "truths")


@pytest.mark.parametrize("subject", [None, "s1"])
def test_an_umlaut_is_the_same_however_it_is_written(subject):
    truth = events((subject, "M\u00fcller", 0, 9))
    aligned = align(events(("s1", "Mu\u0308ller", 0, 9)), truth)
    assert keys(aligned) == keys(aligned, "truths") and len(aligned.videos) == 1


def test_stem_leaves_other_dots_alone():
    assert stem("spNO.1/color") == "color" and stem("spNO.1") == "spNO.1"
    assert stem(".mp4") == ".mp4" and stem("a.b.mkv") == "a.b"


def test_one_video_under_two_names_is_refused():
    with pytest.raises(InputError, match="one video under two names, 's1/a', 's1/a.mp4'"):
        align(events(("s1", "a", 0, 9)), events(("s1", "a", 0, 9), ("s1", "a.mp4", 20, 29)))
    two = events(("s1", "a.mp4", 0, 9), ("s1", "a.avi", 0, 9))
    assert len(align(two, two).videos) == 2
    assert keys(align(events((None, "a.avi", 0, 9)), two)) == [("s1", "a.avi")]
    with pytest.raises(InputError, match="can be any of"):
        align(events(("s1", "a", 0, 9)), two)


def test_predictions_for_unknown_videos():
    truth = events(("s1", "a", 0, 9))
    guess = events(("s1", "a", 0, 9), ("s1", "b", 0, 9))
    aligned = align(guess, truth)
    assert keys(aligned) == [("s1", "a"), ("s1", "b")]
    assert any("'s1/b'" in note and "without events" in note for note in aligned.notes)
    with pytest.raises(InputError, match="predictions: 's1/b' not in the list of videos"):
        align(guess, truth, pd.DataFrame({"subject": ["s1"], "video": ["a"]}))
    with pytest.raises(InputError, match="truth: 's1/a' not in the list of videos"):
        align(guess, truth, pd.DataFrame({"subject": ["s1"], "video": ["b"]}))
    with pytest.raises(InputError, match="no video in common"):
        align(events(("s1", "b", 0, 9)), truth)


def test_a_list_of_video_names_alone_is_enough():
    listed = pd.DataFrame({"video": ["a", "b", "c"], "fps": [30.0, 25.0, 50.0]})
    truth = events(("s1", "a", 0, 9), ("s2", "a", 0, 9))
    aligned = align(events(("s2", "b", 0, 9), fps=None), truth, listed)
    names = list(aligned.videos.itertuples(index=False, name=None))
    assert names == [("c", "c", 50.0), ("s1", "a", 30.0), ("s2", "a", 30.0), ("s2", "b", 25.0)]


def test_other_frame_rates_are_converted_by_time():
    truth = events(("s1", "a", 200, 399), fps=200.0)  # 1 s to 2 s
    aligned = align(events(("s1", "a", 30, 59)), truth)
    p = aligned.predictions
    assert (p.onset.tolist(), p.offset.tolist()) == ([200], [399])
    assert any("30 fps" in note and "200" in note for note in aligned.notes)
    back = align(events(("s1", "a", 200, 399), fps=200.0), events(("s1", "a", 30, 59)))
    assert (back.predictions.onset.tolist(), back.predictions.offset.tolist()) == ([30], [59])
    one_frame = align(events(("s1", "a", 0, 0), fps=200.0), events(("s1", "a", 30, 59)))
    assert one_frame.predictions.offset.tolist() == [0]


def test_nominal_frame_rates_mean_the_same_frames():
    aligned = align(events(("s1", "a", 3000, 3014), fps=29.97), events(("s1", "a", 3000, 3014)))
    assert aligned.predictions.onset.tolist() == [3000]
    assert aligned.predictions.micro.tolist() == [True] and len(aligned.notes) > 0


def test_a_missing_frame_rate_comes_from_the_other_table_or_is_asked_for():
    aligned = align(events(("s1", "a", 0, 12), fps=None), events(("s1", "a", 0, 12), fps=25.0))
    assert aligned.predictions.micro.tolist() == [False] and aligned.videos.fps.tolist() == [25.0]
    bare = events(("s1", "a", 0, 12), fps=None)
    with pytest.raises(InputError, match="fps"):
        align(bare, bare)
    assert align(bare, bare, fps=30.0).predictions.micro.tolist() == [True]
    with pytest.raises(InputError, match="25 and 30"):
        align(bare, events(("s1", "a", 0, 9), ("s1", "a", 20, 29), fps=[25.0, 30.0]))


def test_half_a_second_is_micro():
    guess = events(("s1", "a", 0, 14), ("s1", "a", 0, 15), ("s1", "b", 0, 99), ("s1", "b", 0, 100))
    guess["fps"] = [30.0, 30.0, 200.0, 200.0]
    truth = guess.drop(columns="score")
    assert align(guess, truth).predictions.micro.tolist() == [True, False, True, False]


def test_the_annotated_type_stands_and_a_missing_one_is_noted():
    truth = events(("s1", "a", 0, 9), ("s1", "a", 20, 29), expression_type=["macro", None])
    aligned = align(events(("s1", "a", 0, 9)), truth)
    assert aligned.truths.micro.tolist() == [False, True]
    assert any("without a type: 1" in note for note in aligned.notes)
    with pytest.raises(InputError, match="'tiny'"):
        align(truth.assign(expression_type=None), truth.assign(expression_type="tiny"))


def test_scores_are_needed_or_given():
    truth = events(("s1", "a", 0, 9))
    bare = truth.assign(score=[None])
    for table in (bare, truth.drop(columns="score")):
        with pytest.raises(InputError, match="no score"):
            align(table, truth)
        assert align(table, truth, score=0.7).predictions.score.tolist() == [0.7]
    with pytest.raises(InputError, match="finite"):
        align(truth.assign(score=float("inf")), truth)


@pytest.mark.parametrize(
    ("onset", "offset", "says"),
    [(5, 3, "onset <= offset"), (0, None, "empty"), (0.5, 3, "whole")],
)
def test_impossible_frames_are_refused_with_their_row(onset, offset, says):
    truth = events(("s1", "a", 0, 9))
    bad = pd.concat([truth, events(("s1", "a", onset, offset))])
    for tables in ((bad, truth), (truth, bad)):
        with pytest.raises(InputError, match=f"row 1 .*{says}"):
            align(*tables)


def test_missing_columns_are_named():
    truth = events(("s1", "a", 0, 9))
    with pytest.raises(InputError, match="predictions: no column offset; found subject, video"):
        align(truth.drop(columns="offset"), truth)
    with pytest.raises(InputError, match="videos: no column video"):
        align(truth, truth, pd.DataFrame({"name": ["a"]}))
    with pytest.raises(InputError, match="no video named"):
        align(truth, truth.assign(video=""))
    with pytest.raises(InputError, match="onset is not all numbers"):
        align(truth.assign(onset="first"), truth)


def test_the_tables_are_not_changed():
    truth = events(("s1", "a", 0, 9), expression_type=None)
    guess = events((None, "a.mp4", 0, 9), fps=25.0)
    copies = truth.copy(), guess.copy()
    align(guess, truth)
    pd.testing.assert_frame_equal(truth, copies[0])
    pd.testing.assert_frame_equal(guess, copies[1])

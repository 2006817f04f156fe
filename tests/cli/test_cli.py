"""The command as a user meets it: what it prints, what it writes, and how it refuses bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from command import fedet

from fedet.annotations.table import read_csv
from fedet.cli.app import OLD_NAMES
from fedet.cli.main import app
from fedet.video.writer import write_video


def refused(result) -> str:
    """The single line with which bad input ends."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("fedet: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_help_names_every_command():
    shown = fedet("--help")
    assert shown.returncode == 0
    for command in ("synth", "detect", "train", "evaluate", "convert", "pretrain"):
        assert command in shown.stdout


def test_synth_says_what_it_wrote(tmp_path):
    words = (
        "--subjects",
        2,
        "--seconds",
        1,
        "--size",
        48,
        "--seed",
        3,
        "--events-per-minute",
        30,
        "--jobs",
        1,
    )
    made = fedet("synth", tmp_path / "set", *words)
    assert made.returncode == 0 and "2 videos and annotations.csv are in" in made.stdout
    assert sorted(p.name for p in (tmp_path / "set" / "videos").iterdir()) == ["s01_01.mp4", "s02_01.mp4"]
    table, repairs = read_csv(tmp_path / "set" / "annotations.csv")
    assert not len(repairs) and set(table["video"]) <= {"s01_01", "s02_01"}


def test_detect_writes_what_it_prints_and_evaluate_reads_it(small_set, small_vectors, tmp_path):
    out = tmp_path / "out"
    found = fedet("detect", small_set, "--out", out, "--threshold", 0.05, "--cache", small_vectors)
    assert found.returncode == 0, found.stderr
    table, repairs = read_csv(out / "detections.csv")
    assert not len(repairs)
    assert (out / "missing_faces.csv").exists()
    for video, count in table["video"].value_counts().items():
        assert f"{video}.mp4: {count} expression" in found.stdout
    scored = fedet("evaluate", out / "detections.csv", small_set, "--out", out / "results.json")
    assert scored.returncode == 0, scored.stderr
    assert (out / "results.json").stat().st_size > 500


def test_what_was_detected_before_a_crash_is_kept_and_no_file_is_written_twice(tmp_path, monkeypatch):
    from fedet.cli.detect import plain_name
    from fedet.detection import Detections
    from fedet.faces.tracking import missing_spans
    from fedet.intervals import empty_table

    def detect(video, detector, subject, **options):
        name = plain_name(video)
        if video.stem == "last":
            raise RuntimeError("a crash")
        table = empty_table().reindex(range(1)).assign(video=name, onset=1, offset=9, fps=30.0)
        table = table.assign(subject=subject or name, emotion="positive", score=0.5)
        return Detections(table.astype(empty_table().dtypes), missing_spans([], 30), 2.0, 0.5, video=name)

    def picture(target, *_):
        assert not target.exists()
        target.write_text("a picture")

    monkeypatch.setattr("fedet.detection.detect", detect)
    monkeypatch.setattr("fedet.detection.load_detector", lambda _: None)
    monkeypatch.setattr("fedet.cli.detect.save_thumbnails", picture)
    names = ["x/a.mp4", "y/a.mp4", "y/a.avi", "x_a.mp4", "b.mp4", "last.mp4"]
    files = [tmp_path / name for name in names]
    for folder in ("rec.1", "rec.2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"x")
    folders = [tmp_path / "rec.1", tmp_path / "rec.2"]
    ended = fedet("detect", *folders, *files, "--out", tmp_path / "out", "--thumbnails")
    assert "last.mp4" in refused(ended) and "a crash" in ended.stderr
    table, _ = read_csv(tmp_path / "out" / "detections.csv")
    assert len(table) == 7 == table["subject"].nunique()
    pictures = {p.name for p in (tmp_path / "out").glob("*.png")}
    assert len(pictures) == 7 and {"b_apexes.png", "rec.1_apexes.png", "rec.2_apexes.png"} <= pictures


def test_train_writes_a_detector_that_detects(small_set, small_vectors, tmp_path):
    words = ("--out", tmp_path / "mine", "--epochs", 2, "--validation", 0.5, "--cache", small_vectors)
    trained = fedet("train", small_set, *words)
    assert trained.returncode == 0 and f"detector in {tmp_path / 'mine'}: epoch" in trained.stdout, (
        trained.stderr
    )
    words = ("--weights", tmp_path / "mine", "--threshold", 0, "--out", tmp_path, "--cache", small_vectors)
    assert fedet("detect", small_set, *words).returncode == 0
    assert len(read_csv(tmp_path / "detections.csv")[0])


def test_a_threshold_leaves_only_surer_detections(small_set, small_vectors, detector):
    from fedet import detect

    video = small_set / "videos" / "s01_01.mp4"
    everything, some = (detect(video, detector, t, cache=small_vectors) for t in (0.0, 0.3))
    kept = everything[everything["score"] >= 0.3].reset_index(drop=True)
    assert some[["onset", "offset", "emotion", "score"]].equals(kept[["onset", "offset", "emotion", "score"]])


def test_convert_keeps_frames(small_set, tmp_path):
    table, _ = read_csv(small_set / "annotations.csv")
    one = table[table["video"] == table["video"].iloc[0]]
    one.to_csv(tmp_path / "one.csv", index=False)
    assert fedet("convert", tmp_path / "one.csv", tmp_path / "one.eaf").returncode == 0
    assert fedet("convert", tmp_path / "one.eaf", tmp_path / "back.csv").returncode == 0
    back, _ = read_csv(tmp_path / "back.csv")
    columns = ["onset", "offset", "emotion"]
    one, back = (t.sort_values(columns).reset_index(drop=True)[columns] for t in (one, back))
    pd.testing.assert_frame_equal(one, back, check_dtype=False)


# ---------------------------------------------------------------- bad input


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder of things that are no usable video."""
    import av

    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("this is no video")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "folder").mkdir()
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate, frame.pts = 44100, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    write_video(folder / "dot.mkv", (np.zeros((2, 2, 3), np.uint8) for _ in range(5)), 30, size=(2, 2))
    write_video(folder / "wall.mp4", (np.full((96, 96, 3), 90, np.uint8) for _ in range(40)), 30)
    noise = np.random.default_rng(0)
    write_video(folder / "whole.mkv", (noise.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(90)), 30)
    content = (folder / "whole.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(content[: len(content) // 2])
    return folder


@pytest.mark.parametrize("name", ["absent.mp4", "text.mp4", "empty.mp4", "folder", "sound.mp4"])
def test_what_is_no_video_is_refused_in_one_line(bad, name):
    assert name in refused(fedet("detect", bad / name))


def test_tiny_pictures_are_refused_or_have_no_face(bad):
    result = fedet("detect", bad / "dot.mkv")
    assert "Traceback" not in result.stderr
    assert result.returncode == 2 or "no face" in result.stdout


def test_a_video_without_a_face_gives_an_empty_table_and_says_so(bad, tmp_path):
    result = fedet("detect", bad / "wall.mp4", "--out", tmp_path)
    assert result.returncode == 0 and "no face" in result.stdout
    table, _ = read_csv(tmp_path / "detections.csv")
    assert not len(table)


def test_a_truncated_video_says_where_it_ends(bad):
    result = fedet("detect", bad / "cut.mkv")
    assert result.returncode == 0, result.stderr
    assert "note:" in result.stderr and " s" in result.stderr


def test_among_several_videos_a_bad_one_is_reported_and_the_others_are_done(bad, tmp_path):
    result = fedet("detect", bad / "text.mp4", bad / "wall.mp4", "--out", tmp_path)
    assert "text.mp4" in refused(result)
    assert "wall.mp4: 0 expressions" in result.stdout and (tmp_path / "detections.csv").exists()


def test_weights_that_do_not_fit_are_refused(bad, tmp_path):
    assert "config.json" in refused(fedet("detect", bad / "wall.mp4", "--weights", tmp_path))
    assert "threshold" in refused(fedet("detect", bad / "wall.mp4", "--threshold", 7))


def test_other_commands_refuse_in_one_line(bad, tmp_path):
    assert "seconds" in refused(fedet("synth", tmp_path / "s", "--seconds", -1))
    assert "talk" in refused(fedet("synth", tmp_path / "s", "--confounders", "talk=1"))
    assert "none.csv" in refused(fedet("evaluate", tmp_path / "none.csv", tmp_path / "none.csv"))
    assert "none.csv" in refused(fedet("convert", tmp_path / "none.csv", tmp_path / "x.eaf"))
    assert refused(fedet("train", bad / "folder", "--out", tmp_path / "m"))


def test_a_misspelt_option_is_refused():
    result = fedet("detect", "x.mp4", "--treshold", "0.2")
    assert result.returncode == 2 and "--treshold" in result.stderr and "Traceback" not in result.stderr


def test_a_process_of_its_own_ends_with_the_same_line_and_code(tmp_path):
    words = ["convert", str(tmp_path / "none.csv"), str(tmp_path / "x.eaf")]
    program = Path(sys.executable).parent / "fedet"
    done = subprocess.run([program, *words], capture_output=True, text=True)
    inside = fedet(*words)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr == inside.stderr


def test_a_reader_that_goes_away_ends_the_command_in_silence():
    code = "from fedet.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1


def test_predictions_without_a_score_are_never_left_out_in_silence(tmp_path):
    table = "subject,video,fps,onset,offset,emotion\ns1,a,30,10,40,positive\ns2,b,30,5,60,surprise\n"
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "p.csv").write_text(table)
    line = refused(fedet("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", "--resamples", 10))
    assert "no score" in line and "--score" in line
    known = fedet("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", "--resamples", 10, "--score", 1)
    assert known.returncode == 0 and "), 2 predictions" in known.stdout
    wrong = fedet("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", "--threshold", "nan")
    assert "threshold" in refused(wrong)
    (tmp_path / "out.json").mkdir()
    options = ("--resamples", 10, "--score", 1, "--out", tmp_path / "out.json")
    assert "cannot be written" in refused(fedet("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", *options))


def test_a_subset_and_videos_without_events_of_a_truth_file_count(tmp_path):
    note = {"segment": [1, 2], "label": "happy"}
    entry = {"fps": 25, "duration": 60, "subset": "validation", "annotations": [note]}
    videos = {"a": entry, "b": entry | {"annotations": []}, "c": entry | {"subset": "test"}, "d": entry}
    (tmp_path / "t.json").write_text(json.dumps({"database": videos}))
    rows = [f"{video},25,25,49,positive,0.9" for video in ("a", "c", "d")]
    (tmp_path / "p.csv").write_text("\n".join(["video,fps,onset,offset,emotion,score", *rows]))
    files = ("evaluate", tmp_path / "p.csv", tmp_path / "t.json", "--resamples", 0)
    whole, part, test = (
        fedet(*files, *more) for more in ((), ("--subset", "validation"), ("--subset", "test"))
    )
    assert "4 videos (1 without events" in whole.stdout and "3 predictions" in whole.stdout, whole.stderr
    assert "3 videos (1 without events" in part.stdout and "2 predictions" in part.stdout, part.stderr
    assert "1 videos (0 without events" in test.stdout and "1 predictions" in test.stdout, test.stderr
    wrong = refused(fedet(*files, "--subset", "train"))
    assert "--subset train" in wrong and "validation, test" in wrong


def test_a_threshold_counts_from_there_on_and_ranks_everything(tmp_path):
    truth = "subject,video,fps,onset,offset,emotion\ns1,a,30,10,40,positive\ns2,b,30,5,60,surprise\n"
    (tmp_path / "t.csv").write_text(truth)
    head, first, second = truth.splitlines()
    (tmp_path / "p.csv").write_text(f"{head},score\n{first},0.9\n{second},0.2\n")
    options = ("--threshold", 0.5, "--resamples", 0, "--out", tmp_path / "out.json")
    scored = fedet("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", *options)
    assert scored.returncode == 0, scored.stderr
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert figures["spotting_f1"]["value"] == pytest.approx(2 / 3)  # one of two events, no false alarm
    assert figures["map"]["value"] == 1  # the second one is found further down the ranking


@pytest.mark.parametrize("line, told", [
    ("synth {0}/s --jobs 0", "--jobs 0"),
    ("crossval {0} --out {0}/o --jobs 0", "--jobs 0"),
    ("crossval {0} --out {0}/o --epochs 0", "--epochs 0"),
    ("evaluate {0}/p.csv {0}/t.csv --seed -1", "--seed -1"),
    ("train {0} --out {0}/o --validation 1.5", "--validation 1.5"),
    ("train {0} --out {0}/o --epochs 0", "--epochs 0"),
    ("train {0} --out {0}/o --init foo", "--init foo"),
    ("train {0} --out {0}/o --adapt 2", "--adapt 2"),
    ("crossval {0} --out {0}/o --adapt -1", "--adapt -1"),
    ("learn {0} {0} --out {0}/o --folds 1", "--folds 1"),
    ("learn {0} {0} --out {0}/o --epochs 0", "--epochs 0"),
])  # fmt: skip
def test_numbers_out_of_range_are_refused_before_any_video_is_read(tmp_path, line, told):
    assert told in refused(fedet(*line.format(tmp_path).split()))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told_in_one_line(bad, tmp_path):
    (tmp_path / "file").write_text("x")
    for option in ("--cache", "--out"):
        line = refused(fedet("detect", bad / "wall.mp4", option, tmp_path / "file" / "deeper"))
        assert "file" in line and "name another place" in line
    assert "name another place" in refused(fedet("detect", bad / "wall.mp4", "--cache", tmp_path / "file"))


def test_labels_are_compared_as_they_are_written(tmp_path):
    head, row = "subject,video,fps,onset,offset,emotion,score", "s1,a,30000/1001,10,40"
    (tmp_path / "t.csv").write_text(f"{head}\n{row},disgust,\n")
    (tmp_path / "p.csv").write_text(f"{head}\n{row},repression,0.9\n")
    files = ("evaluate", tmp_path / "p.csv", tmp_path / "t.csv", "--resamples", 0)
    for options, accuracy in (((), 1), (("--as-written",), 0)):  # both are negative, mapped to four emotions
        assert fedet(*files, "--out", tmp_path / "o.json", *options).returncode == 0
        assert json.loads((tmp_path / "o.json").read_text())["figures"]["accuracy"]["value"] == accuracy
    assert "name another file" in refused(fedet(*files, "--out", tmp_path / "t.csv"))
    wrong = fedet(*files, "--fps", "x")
    assert wrong.returncode == 2 and "30000/1001" in wrong.stderr and "Traceback" not in wrong.stderr


def every_option():
    """(command, option) of the whole program."""
    commands = typer.main.get_command(app).commands
    return [(name, p) for name, c in commands.items() for p in c.params if p.param_type_name == "option"]


def test_every_switch_has_its_opposite():
    for name, option in every_option():
        if option.is_flag and option.name != "help":
            assert f"--no-{option.opts[0].removeprefix('--')}" in option.secondary_opts, (name, option.opts)


def test_one_thing_has_one_name_and_old_names_still_work():
    shown = {o for _, option in every_option() for o in option.opts}
    assert not shown & {f"--{old}" for old in OLD_NAMES}
    for old, new in OLD_NAMES.items():
        assert f"--{new}" in shown
        name = next(name for name, option in every_option() if f"--{new}" in option.opts)
        refused = fedet(name, f"--{old}")
        assert refused.returncode == 2 and "No such option" not in refused.stderr
    refused = fedet("pretrain", "--out", "x", "--batch", "many")
    assert refused.returncode == 2 and "Invalid value for '--batch-size'" in refused.stderr


def test_the_shell_completes_commands():
    environment = {
        **os.environ,
        "_FEDET_COMPLETE": "complete_bash",
        "COMP_WORDS": "fedet de",
        "COMP_CWORD": "1",
    }
    code = "from fedet.cli.main import main; main()"
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert shown.stdout.split() == ["detect"], shown.stderr

"""Generated videos: exact annotations, the same for the same seed, resumed and never mixed."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fedet.annotations.table import read_csv
from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.files import is_running, part_of
from fedet.intervals import AU_INDEX, AUS, MICRO_MAX_S
from fedet.synthetic.benchmark import name_of
from fedet.synthetic.expressions import RECIPES, pick
from fedet.synthetic.generator import (
    Confounders,
    SynthConfig,
    add_events,
    claim,
    counted,
    frame_bar,
    generator_for,
    parse_confounders,
    synthesize,
    write_script,
)
from fedet.video.reader import open_video

CALM = parse_confounders("all=0")


def scripts(n=12, **options):
    config = SynthConfig(**{"subjects": n, "seconds": 40, "events_per_minute": 10, **options})
    return [write_script(config, s, 0) for s in range(n)]


def events_of(n, **options):
    """The events of n people without all else that happens in their videos."""
    config = SynthConfig(**{"subjects": n, "seconds": 40, "events_per_minute": 10, **options})
    for subject in range(n):
        aus = torch.zeros(config.n_frames, 2, len(AUS))
        yield add_events(aus, config, f"s{subject}", generator_for(config.seed, subject, 0))


def test_events_lie_in_the_video_and_have_their_types_durations():
    events = pd.concat(events_of(30))
    duration = events["offset"] - events["onset"] + 1
    micro = events["expression_type"] == "micro"
    assert (events["onset"] >= 0).all() and (events["offset"] < 1200).all()
    assert (events["onset"] <= events["apex"]).all() and (events["apex"] <= events["offset"]).all()
    assert (duration[micro] / 30 <= MICRO_MAX_S).all() and (duration[~micro] / 30 > MICRO_MAX_S).all()
    assert 25 < duration[~micro].median() < 42 and duration.max() <= 118
    assert 0.15 < micro.mean() < 0.45


def test_fidgets_are_small_unannotated_and_leave_everything_else_as_it_is():
    still, lively = scripts(6), scripts(6, confounders=Confounders(fidgets=1))
    for one, other in zip(still, lively, strict=True):
        pd.testing.assert_frame_equal(one.events, other.events)
        added = other.aus - one.aus
        assert added.min() >= 0 and added.max() < 0.5 and added.amax((1, 2)).gt(0).float().mean() > 0.5
        assert torch.equal(one.speech, other.speech) and torch.equal(one.scene["yaw"], other.scene["yaw"])


def test_a_set_made_before_a_confounder_existed_goes_on(tmp_path):
    synthesize(tmp_path, SynthConfig(subjects=1, seconds=1), jobs=1, progress=False)
    note = json.loads((tmp_path / "synthetic.json").read_text())
    del note["confounders"]["fidgets"], note["held_share"]
    (tmp_path / "synthetic.json").write_text(json.dumps(note))
    synthesize(tmp_path, SynthConfig(subjects=1, seconds=1), jobs=1, progress=False)
    with pytest.raises(InputError, match="fidgets"):
        other = SynthConfig(subjects=1, seconds=1, confounders=Confounders(fidgets=1))
        synthesize(tmp_path, other, jobs=1, progress=False)


@pytest.mark.parametrize("fps", [25, 30, 60, 200])
def test_micro_and_macro_hold_at_any_rate(fps):
    events = pd.concat(events_of(6, fps=fps, seconds=20))
    seconds = (events["offset"] - events["onset"] + 1) / fps
    assert ((seconds <= MICRO_MAX_S) == (events["expression_type"] == "micro")).all()


def test_without_confounders_the_face_moves_exactly_during_events():
    for script in scripts(6, confounders=CALM, overlap_share=0):
        moving = (script.aus - script.aus[0]).abs().amax((1, 2)) > 1e-4
        inside = torch.zeros(len(moving), dtype=torch.bool)
        for event in script.events.itertuples():
            inside[event.onset : event.offset + 1] = True
        assert torch.equal(moving, inside)


def test_held_expressions_stay_near_their_height():
    scripts_held = scripts(10, held_share=1.0, micro_share=0, overlap_share=0, confounders=CALM)
    assert sum(len(s.events) for s in scripts_held) > 30
    for script in scripts_held:
        strength = (script.aus - script.aus[0]).abs().amax((1, 2))
        for event in script.events.itertuples():
            course = strength[event.onset : event.offset + 1]
            assert 1.5 <= len(course) / 30 <= 6
            assert (course > 0.6 * course.max()).float().mean() > 0.5 and course[-1] < 0.3 * course.max()
            assert strength[event.onset - 1] < 1e-4 or event.onset == 0


def test_confounders_move_faces_without_any_event():
    quiet, lively = scripts(1, events_per_minute=0, confounders=CALM)[0], scripts(1, events_per_minute=0)[0]
    assert not len(quiet.events) and not len(lively.events)
    assert float(quiet.aus.std(0).max()) < 1e-6 and float(lively.aus.std(0).max()) > 0.05
    assert float(quiet.scene["yaw"].std()) < 1e-6 and float(lively.scene["yaw"].std()) > 0.01


def test_talking_moves_the_mouth_in_proportion_to_its_strength():
    mouth = [AU_INDEX[25], AU_INDEX[26], AU_INDEX[18]]
    shares = []
    for strength in (0.3, 1.0, 3.0):
        config = Confounders(talking=strength)
        tracks = [s.aus for s in scripts(8, events_per_minute=0, confounders=config)]
        moving = [(t[:, 0, mouth] - t[0, 0, mouth]).abs().amax(1) > 0.1 for t in tracks]
        shares.append(float(torch.cat(moving).float().mean()))
    assert shares[0] < shares[1] < shares[2]


def test_self_report_disagrees_at_the_set_rate():
    for rate in (0.0, 0.5):
        events = pd.concat(events_of(40, disagreement=rate))
        assert abs((events["emotion"] != events["emotion_self_report"]).mean() - rate) < 0.08


def test_silent_videos_come_at_their_rate():
    silent = np.mean([not len(events) for events in events_of(60, silent_share=0.4, seconds=60)])
    assert 0.2 < silent < 0.6


def test_emotions_differ_in_their_action_units():
    g = torch.Generator().manual_seed(0)
    mean = {e: torch.stack([pick(e, g).mean(0) for _ in range(200)]).mean(0) for e in RECIPES}
    best = {12: "positive", 4: "negative", 2: "surprise", 14: "others"}
    for au, emotion in best.items():
        assert max(mean, key=lambda e: mean[e][AU_INDEX[au]]) == emotion
    assert AUS[int(mean["positive"].argmax())] == 12


def test_a_video_does_not_depend_on_how_many_others_there_are():
    few, many = SynthConfig(subjects=2), SynthConfig(subjects=9, videos=3)
    one, other = write_script(few, 1, 0), write_script(many, 1, 0)
    assert torch.equal(one.aus, other.aus) and one.events.equals(other.events)


def test_a_person_looks_the_same_in_all_videos():
    config = SynthConfig(subjects=2, videos=2)
    first, second, other = write_script(config, 0, 0), write_script(config, 0, 1), write_script(config, 1, 0)
    assert all(torch.equal(first.look[k], second.look[k]) for k in first.look)
    assert not torch.equal(first.aus, second.aus)
    assert not torch.equal(first.look["eye_x"], other.look["eye_x"])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    config = SynthConfig(subjects=2, seconds=3, size=64, events_per_minute=25, silent_share=0)
    return synthesize(tmp_path_factory.mktemp("synth"), config, jobs=1, progress=False), config


def test_files_are_a_dataset_that_the_readers_know(small):
    folder, config = small
    dataset = read_dataset(folder)
    assert sorted(dataset.videos["video"]) == ["s01_01", "s02_01"] and not len(dataset.repairs)
    table, repairs = read_csv(folder / "annotations.csv")
    assert len(table) == len(dataset.annotations) > 0 and not len(repairs)
    frames = list(open_video(folder / "videos" / "s01_01.mp4").frames())
    assert len(frames) == config.n_frames and frames[0].image.shape == (64, 64, 3)


def test_silent_videos_keep_their_subject(tmp_path):
    config = SynthConfig(subjects=2, videos=2, seconds=1, size=32, events_per_minute=0)
    dataset = read_dataset(synthesize(tmp_path, config, jobs=1, progress=False))
    assert sorted(set(dataset.videos["subject"])) == ["s01", "s02"] and len(dataset.videos) == 4


def test_a_run_goes_on_where_it_stopped_and_writes_the_same(small):
    folder, config = small
    first, second = (folder / "videos" / f"{n}.mp4" for n in ("s01_01", "s02_01"))
    before, time = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    synthesize(folder, config, jobs=1, progress=False)
    assert second.read_bytes() == before and first.stat().st_mtime_ns == time


def test_another_configuration_is_refused_with_what_differs(small):
    folder, config = small
    with pytest.raises(InputError, match="seconds=3.*now 4"):
        synthesize(folder, SynthConfig(**{**vars(config), "seconds": 4}), jobs=1, progress=False)
    assert json.loads((folder / "synthetic.json").read_text())["seconds"] == 3


def test_a_folder_of_other_files_is_refused_and_stays_as_it_is(tmp_path):
    (tmp_path / "annotations.csv").write_text("my own labels")
    with pytest.raises(InputError, match="name a new folder"):
        synthesize(tmp_path, SynthConfig(subjects=1, seconds=1), jobs=1, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["annotations.csv"]
    (tmp_path / "annotations.csv").rename(tmp_path / ".hidden")
    (tmp_path / "videos").mkdir()
    synthesize(tmp_path, SynthConfig(subjects=1, seconds=1, size=32), jobs=1, progress=False)
    assert (tmp_path / "videos" / "s01_01.mp4").exists()


@pytest.mark.parametrize("field, value", [("subjects", 0), ("seconds", -1), ("size", 8), ("micro_share", 2)])
def test_impossible_settings_are_quoted(field, value):
    with pytest.raises(InputError, match=f"{field} is {value}"):
        SynthConfig(**{field: value})


def test_confounders_from_text():
    assert parse_confounders("") == Confounders()
    assert parse_confounders("all=0, talking=2") == Confounders(0, 0, 2, 0, 0, 0, 0, 0)
    for bad in ("talk=1", "talking", "talking=much", "head=9"):
        with pytest.raises(InputError):
            parse_confounders(bad)


@pytest.mark.parametrize(
    "key, value, message",
    [("confounders", 3, "confounders: a JSON object"), ("seconds", "long", "seconds is 'long'"),
     ("subjects", -1, "subjects is -1"), ("colour", 1, "unknown colour")],
)  # fmt: skip
def test_a_configuration_of_wrong_type_is_one_line_that_names_the_file(tmp_path, key, value, message):
    claim(tmp_path, SynthConfig())
    path = tmp_path / "synthetic.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    for read in (lambda: claim(tmp_path, SynthConfig()), lambda: name_of(tmp_path)):
        with pytest.raises(InputError, match=message) as caught:
            read()
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_killed_runs_left_is_removed_and_running_ones_keep_theirs(tmp_path, monkeypatch):
    claim(tmp_path, SynthConfig())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    parts = {}
    for process in (ended.pid, os.getppid()):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        parts[process] = {part_of(tmp_path / "videos" / "s01_01.mp4"), part_of(tmp_path / "frames")}
        for part in parts[process]:
            part.touch()
    monkeypatch.undo()
    claim(tmp_path, SynthConfig())
    assert set(tmp_path.rglob(".*")) == parts[os.getppid()]


def test_the_bar_counts_frames_and_work_ends_with_it(tmp_path, capsys):
    frames = iter(np.zeros((40, 2, 2, 3), np.uint8))
    with frame_bar(tmp_path, 40, True) as counter:
        assert sum(1 for _ in itertools.islice(counted(frames, counter), 25)) == 25
    assert "25/40" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        next(counted(frames, counter))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_run_that_is_stopped(tmp_path, stop):
    command = [sys.executable, "-m", "fedet", "synth", str(tmp_path), "--subjects", "2", "--seconds", "600"]
    run = subprocess.Popen([*command, "--jobs", "2"], stderr=subprocess.DEVNULL)
    parts = lambda: list((tmp_path / "videos").glob(".*.part.mp4"))  # noqa: E731
    wait_until(lambda: len(parts()) == 2)
    workers = [int(path.name.split(".")[-3]) for path in parts()]
    run.send_signal(stop)
    run.wait()
    wait_until(lambda: not any(map(is_alive, workers)))
    if stop == signal.SIGTERM:
        assert run.returncode == 143 and not parts()
    claim(tmp_path, SynthConfig(subjects=2, seconds=600))
    assert not parts() and not list((tmp_path / "videos").iterdir())


def is_alive(process):
    """Running, and no zombie that nobody has waited for."""
    status = Path(f"/proc/{process}/stat")
    return is_running(process) and not (status.exists() and status.read_text().split()[2] == "Z")


def wait_until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)

"""Many videos into one folder: earlier rows stay, a bad video ends nothing, a rerun does what is missing."""

import errno
import json
import os
import signal
import threading

import pandas as pd
import pytest
from command import fedet as here
from test_cli import refused

from fedet.annotations.table import read_csv
from fedet.cli.batch import ResultFolder, _in_processes
from fedet.cli.main import stop
from fedet.detection import Detections
from fedet.faces.tracking import missing_spans
from fedet.intervals import empty_table


def detections(name, subject=None, onset=1):
    table = empty_table().reindex(range(1)).assign(video=name, onset=onset, offset=onset + 9, fps=30.0)
    table = table.assign(subject=subject or name, emotion="positive", score=0.5)
    table["expression_type"] = "micro"
    return Detections(table.astype(empty_table().dtypes), missing_spans([], 30), 2.0, 0.5, video=name)


@pytest.fixture
def detected(monkeypatch):
    """Detects one expression in every file that exists; the list of the files that were read."""
    read = []

    def detect(video, detector, subject=None, **options):
        read.append(video.name)
        if "full" in video.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        if "long" in video.name:
            raise OSError(errno.ENAMETOOLONG, "File name too long", str(video))
        return detections(video.stem, subject, 100 if "other" in str(video.parent) else 1)

    monkeypatch.setattr("fedet.detection.detect", detect)
    monkeypatch.setattr("fedet.detection.load_detector", lambda _: None)
    return read


@pytest.fixture
def videos(tmp_path):
    for name in ("one/a.mp4", "one/b.mp4", "other/a.mp4", "bad/full.mp4", "bad/long.mp4", "bad/z.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def rows(out):
    table, repairs = read_csv(out / "detections.csv")
    assert not len(repairs)
    return sorted(zip(table["video"], table["subject"], table["onset"], strict=True))


def test_rows_of_earlier_runs_stay_and_a_rerun_does_only_what_is_missing(videos, detected):
    out = videos / "out"
    assert here("detect", videos / "one" / "b.mp4", "--out", out).returncode == 0
    assert here("detect", videos / "one" / "a.mp4", "--out", out).returncode == 0
    assert rows(out) == [("a", "a", 1), ("b", "b", 1)]
    again = here("detect", videos / "one", "--out", out)
    assert detected == ["b.mp4", "a.mp4"] and "2 of 2 videos are in" in again.stdout
    here("detect", videos / "one", "--out", out, "--threshold", 0.9)
    here("detect", videos / "one" / "a.mp4", "--out", out, "--threshold", 0.9, "--fresh")
    assert len(detected) == 5 and rows(out) == [("a", "a", 1), ("b", "b", 1)]
    (videos / "one" / "a.mp4").write_bytes(b"another video")
    here("detect", videos / "one", "--out", out, "--threshold", 0.9)
    assert len(detected) == 6


def test_a_namesake_of_a_later_run_gets_a_name_of_its_own(videos, detected):
    out = videos / "out"
    for folder in ("one", "other", "one"):
        assert here("detect", videos / folder / "a.mp4", "--out", out).returncode == 0
    assert rows(out) == [("a", "a", 1), ("a", "other/a", 100)]


def test_a_table_of_before_is_added_to_and_cells_of_others_stay_as_they_are(videos, detected):
    out = videos / "out"
    out.mkdir()
    before = "subject,video,fps,onset,offset,emotion,mine\np,v,30,007,20,positive,by hand\n"
    (out / "detections.csv").write_text(before)
    assert here("detect", videos / "one" / "a.mp4", "--out", out).returncode == 0
    table = pd.read_csv(out / "detections.csv", dtype=str)
    assert table.loc[0, ["subject", "onset", "mine"]].tolist() == ["p", "007", "by hand"] and len(table) == 2
    (out / "detections.csv").write_text("no table at all")
    assert "name another --out" in refused(here("detect", videos / "one" / "a.mp4", "--out", out))
    assert (out / "detections.csv").read_text() == "no table at all"


def test_an_error_of_one_video_names_it_and_the_others_go_on(videos, detected):
    result = here("detect", videos / "bad", "--out", videos / "out", "--cache", videos)
    lines = [line for line in result.stderr.splitlines() if line.startswith("fedet: ")]
    assert result.returncode == 2 and rows(videos / "out") == [("z", "z", 1)]
    assert "full.mp4: No space left on device (/" in lines[0] and "long.mp4: File name too long" in lines[1]


@pytest.mark.parametrize("turns", [(0, 1, 2), (2, 0, 1), (2, 1, 0)])
def test_rows_stand_in_the_order_of_the_input_whichever_video_is_finished_first(
    videos, detected, monkeypatch, turns
):
    def out_of_turn(tasks, *_):
        return ((i, detections(tasks[i][0].stem, tasks[i][1])) for i in turns)

    monkeypatch.setattr("fedet.cli.batch.detect_many", out_of_turn)
    paths = [videos / name for name in ("one/b.mp4", "one/a.mp4", "other/a.mp4")]
    here("detect", *paths, "--out", videos / "out")
    table = pd.read_csv(videos / "out" / "detections.csv")
    assert table["subject"].tolist() == ["b", "one/a", "other/a"]
    index = json.loads((videos / "out" / "videos.json").read_text())
    assert list(index) == sorted(index)


class Killer:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


@pytest.mark.slow
def test_a_process_that_is_killed_takes_no_other_video_with_it(videos):
    tasks = [(videos / "one" / "a.mp4", None), (videos / "one" / "b.mp4", Killer()), (videos / "z.mp4", None)]
    options = {"threshold": None, "cache": None, "fps": None, "sources": {}, "abstain": False}
    found = dict(_in_processes(tasks, None, options | {"second_opinion": None}, 2))
    assert "not a video" in found[0] and "process was killed" in found[1] and "no such file" in found[2]


def test_links_to_nothing_are_reported(videos, detected):
    (videos / "one" / "gone.mp4").symlink_to(videos / "annex" / "gone.mp4")
    result = here("detect", videos / "one", "--out", videos / "out")
    assert "gone.mp4: a link to a file that is not here" in refused(result)
    assert len(rows(videos / "out")) == 2


def test_side_signals_that_are_not_there_or_not_read_are_refused(videos, detected):
    for folder, reason in ((videos / "nowhere", "no such folder"), (videos, "does not read it")):
        assert reason in refused(here("detect", videos / "one", "--openface", folder))
    assert not detected


def test_two_runs_at_once_lose_no_row(tmp_path):
    def run(kind):
        for i in range(8):
            name = f"{kind}{i}"
            ResultFolder(tmp_path).add(tmp_path / name, name, detections(name), "x")

    threads = [threading.Thread(target=run, args=(kind,)) for kind in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(tmp_path)) == 16 == len(json.loads((tmp_path / "videos.json").read_text()))


def test_a_cluster_does_the_same_as_one_process(videos, detected):
    from distributed import LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options, host="127.0.0.1", protocol="tcp") as cluster:
        words = ("--scheduler", cluster.scheduler_address)
        result = here("detect", videos / "one", videos / "bad", "--out", videos / "out", *words)
    assert result.returncode == 2 and result.stderr.count("fedet: ") == 2
    assert rows(videos / "out") == [("a", "a", 1), ("b", "b", 1), ("z", "z", 1)]


def test_signals_that_end_a_process_say_so_at_once(capsys):
    for number, error in ((signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)):
        before = signal.getsignal(number)
        with pytest.raises(error):
            stop(number, None)
        signal.signal(number, before)
        assert capsys.readouterr().err == "\nstopping; what is finished is kept\n"


def test_version_and_short_help():
    assert here("--version").stdout.startswith("fedet 0.")
    assert "Usage" in here("-h").stdout and "--jobs" in here("detect", "-h").stdout

"""`convert` and `evaluate` with label files of other people: what counts as read, what is never replaced."""

import json
import os

import pytest
from command import fedet

ROWS = "video,fps,onset,offset,emotion,score\nv,25,1,20,happy,0.5\nv,25,40,30,sad,0.5\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "p.csv").write_text(ROWS)
    (tmp_path / "notes.txt").write_text("notes of mine\n")
    return tmp_path


def refused(*arguments) -> str:
    result = fedet(*arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("fedet: ")]
    assert result.returncode == 2 and len(lines) == 1, result.stderr
    return lines[0]


def test_what_was_read_is_counted_and_the_report_has_every_line(folder):
    rows = ROWS + "".join(f"v,25,{i + 9},{i},sad,0.5\n" for i in range(20))
    (folder / "many.csv").write_text(rows)
    shown = fedet("convert", folder / "many.csv", folder / "out.json", "--report", folder / "r.csv")
    first, *lines = shown.stdout.splitlines()
    assert "1 of 22 read" in first and "21 left out" in first and lines[0].startswith("  left out")
    assert "more (all are in" in shown.stdout
    assert (folder / "r.csv").read_text().count("left out") == 21


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", ROWS.split("\n")[0] + "\n"),
        ("t.json", '{"database": {}}'),
        ("t.csv", "video,fps,onset,offset\nv,25,9,1\n"),
        ("t.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nHello everybody\n"),
        ("t.json", json.dumps({"database": {"v": {"fps": 25, "annotations": [{"segment": [2]}]}}})),
    ],
)
def test_a_truth_of_which_nothing_is_left_is_an_error(folder, name, text):
    (folder / name).write_text(text)
    line = refused("evaluate", folder / "p.csv", folder / name, "--fps", 25, "--resamples", 0)
    assert name in line and ("none of its" in line or "holds no annotations" in line)


def test_a_truth_of_videos_without_events_is_a_truth(folder):
    (folder / "t.json").write_text(json.dumps({"database": {"v": {"fps": 25, "annotations": []}}}))
    shown = fedet("evaluate", folder / "p.csv", folder / "t.json", "--resamples", 0)
    assert shown.returncode == 0 and "0 events" in shown.stdout


@pytest.mark.parametrize("other", ["p.csv", "notes.txt"])
def test_reports_and_evaluations_replace_no_other_file(folder, other):
    before = (folder / other).read_text()
    evaluate = ("evaluate", folder / "p.csv", folder / "p.csv", "--resamples", 0)
    for command in (
        ("convert", folder / "p.csv", folder / "out.json", "--report", folder / other),
        (*evaluate, "--report", folder / other),
        (*evaluate, "--out", folder / other),
    ):
        assert other in refused(*command) and (folder / other).read_text() == before
    assert not (folder / "out.json").exists()
    assert "written" in refused("convert", folder / "p.csv", folder / "o.csv", "--report", folder / "o.csv")


def test_a_report_and_an_evaluation_are_replaced_by_the_next(folder):
    command = ("evaluate", folder / "p.csv", folder / "p.csv", "--resamples", 0)
    for _ in range(2):
        assert fedet(*command, "--report", folder / "r.csv", "--out", folder / "e.json").returncode == 0
    assert json.loads((folder / "e.json").read_text())["schema_version"] == 1


def test_permissions_are_those_of_the_umask_and_of_the_old_file(folder):
    before = os.umask(0o077)
    try:
        assert fedet("convert", folder / "p.csv", folder / "out.json").returncode == 0
    finally:
        os.umask(before)
    assert (folder / "out.json").stat().st_mode & 0o777 == 0o600
    (folder / "out.json").chmod(0o640)
    assert fedet("convert", folder / "p.csv", folder / "out.json").returncode == 0
    assert (folder / "out.json").stat().st_mode & 0o777 == 0o640

"""Files that the version before the move into wings wrote are still read, to the same values."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fedet.annotations.formats import read_intervals, write_intervals
from fedet.annotations.table import read_csv
from fedet.cli.main import app
from fedet.datasets.dataset import read_dataset
from fedet.detection import load_detector, read_inputs
from fedet.errors import InputError
from fedet.explorer.widget import Explorer
from fedet.faces.vectors import load_track
from fedet.intervals import empty_table
from fedet.model import FEDN, FEDNConfig
from fedet.review.review import read_review
from fedet.review.reviewed_dataset import reviewed_dataset
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.training.config import Augmentation, TrainConfig
from fedet.training.training import finished_run

OLD = Path(__file__).parent / "data" / "before_the_move"
EVENTS = [
    ("s01_01", 49, 68, "others"),
    ("s02_01", 26, 37, "surprise"),
    ("s02_01", 62, 76, "surprise"),
]


def events_of(table: pd.DataFrame) -> list[tuple]:
    return list(
        table[["video", "onset", "offset", "emotion"]].astype(object).itertuples(index=False, name=None)
    )


def test_a_generated_set_is_read_and_gone_on_with(tmp_path):
    dataset = read_dataset(OLD / "dataset")
    assert events_of(dataset.annotations) == EVENTS and len(dataset.repairs) == 0
    assert dataset.videos["subject"].tolist() == ["s01", "s02"]
    assert dataset.open("s02_01").fps == 30
    copy = shutil.copytree(OLD / "dataset", tmp_path / "set")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in copy.glob("videos/*")}
    note = json.loads((copy / "synthetic.json").read_text())
    chosen = {
        name: note[name] for name in ("subjects", "videos", "seconds", "seed", "size", "events_per_minute")
    }
    synthesize(copy, SynthConfig(**chosen, silent_share=note["silent_share"]), jobs=1, progress=False)
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert times == {path: path.stat().st_mtime_ns for path in copy.glob("videos/*")}, (
        "a video was drawn again"
    )


def test_vectors_are_read():
    for name in ("s01_01", "s02_01"):
        track = load_track(OLD / "vectors" / f"{name}.f16")
        raw = np.fromfile(OLD / "vectors" / f"{name}.f16", np.float16).reshape(90, 512)
        assert np.array_equal(track.vectors, raw) and track.mask.all()
        assert (track.fps, track.weights, track.problems) == (30, "faces", ())


def test_a_detector_finds_in_old_vectors_what_it_found(tmp_path):
    detector = load_detector(OLD / "detector")
    made_with = json.loads((OLD / "vectors" / "s02_01.json").read_text())["digest"]
    if detector.net.digest != made_with:
        pytest.skip("vectors of other face weights are refused; tests/faces has the test of it")
    call = ["detect", str(OLD / "vectors" / "s02_01.f16"), "--weights", str(OLD / "detector")]
    done = CliRunner().invoke(app, [*call, "--threshold", "0.1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    now, then = (read_csv(folder / "detections.csv")[0] for folder in (tmp_path, OLD))
    assert len(now) == len(then) == 16
    for column in ("onset", "offset"):  # a rounding of another processor may move an end by a frame
        assert (now[column] - then[column]).abs().max() <= 1
    assert now["score"].to_numpy(float) == pytest.approx(then["score"].to_numpy(float), abs=2e-3)
    same = ["video", "subject", "fps", "emotion", "expression_type", "source"]
    assert now[same].equals(then[same])


def test_a_finished_training_is_known_again():
    settings = json.loads((OLD / "detector" / "training.json").read_text())["settings"]
    model = FEDN.from_pretrained(OLD / "detector")
    assert model.config.channels == 8 and 0 < model.config.default_threshold < 0.5
    assert read_inputs(OLD / "detector").reads == "readouts"
    # What a call with the same settings would compare with the folder's own.
    training = settings["training"]
    training = TrainConfig(**training | {"augmentation": Augmentation(**training["augmentation"])})
    today = {
        "config": asdict(FEDNConfig(**settings["config"])),
        "training": asdict(training),
    }
    history, best_epoch = finished_run(OLD / "detector", settings | json.loads(json.dumps(today)))
    assert best_epoch == 1 and history["monitored"].tolist() == [0.2, 1 / 6]


def test_a_review_is_read_and_gone_on_with(tmp_path):
    then = pd.read_csv(OLD / "review" / "rows.csv")
    now = read_review(OLD / "review" / "clip.review.jsonl", "all")
    for column in ("onset", "apex", "offset", "score"):
        assert np.array_equal(now[column].to_numpy(float, na_value=np.nan), then[column], equal_nan=True)
    for column in ("video", "subject", "emotion", "expression_type", "source"):
        assert now[column].tolist() == then[column].tolist()
    assert now["status"].tolist() == ["accepted", "rejected", "corrected", "corrected", "added"]
    assert now["note"].tolist()[3] == "wie zuvor – 表情"
    journal = tmp_path / "clip.review.jsonl"
    shutil.copy(OLD / "review" / "clip.review.jsonl", journal)
    video = OLD / "dataset" / "videos" / "s01_01.mp4"
    explorer = Explorer(video, empty_table(), autosave=journal, reviewer="other")
    again = explorer.review
    assert again.edits == 13 and again.table("all").equals(now)
    again.undo()
    assert again.rows["p3"]["emotion"] == "negative"
    again.accept("p1")
    explorer.close()
    assert read_review(journal).set_index("row_id").loc["p1", "reviewer"] == "other"


def test_decisions_are_learnt_from():
    videos = OLD / "dataset" / "videos"
    for review in (
        "clip.review.jsonl",
        "s01_01.eaf",
        "s01_01.csv",
        "s01_01.json",
        "s01_01.vtt",
        "s01_01.boris.csv",
    ):
        events = events_of(reviewed_dataset(videos / "s01_01.mp4", [OLD / "review" / review]).annotations)
        assert [event[1:] for event in events] == [
            (5, 30, "positive"), (62, 84, "surprise"), (72, 86, "negative"), (84, 88, "positive")
        ], review  # fmt: skip


FILES = sorted(
    path
    for folder in ("labels", "review")
    for suffix in ("eaf", "json", "vtt", "boris.csv")
    for path in (OLD / folder).glob(f"*.{suffix}")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_labels_are_read_as_they_were(path):
    now, _ = read_intervals(path, fps=30.0, video=path.name.split(".")[0])
    then, _ = read_csv(OLD / "labels" / "as_read" / f"{path.parent.name}-{path.name}.csv")
    columns = list(then.columns)
    pd.testing.assert_frame_equal(now[columns], then)


def test_an_elan_file_is_known_as_our_own_and_keeps_what_a_coder_changed(tmp_path):
    path = tmp_path / "s02_01.eaf"
    shutil.copy(OLD / "labels" / "s02_01.eaf", path)
    truth, _ = read_csv(OLD / "dataset" / "annotations.csv")
    truth = truth[truth["video"] == "s02_01"]
    write_intervals(truth, path)
    assert events_of(read_intervals(path, video="s02_01")[0]) == EVENTS[1:]
    text = (OLD / "labels" / "s02_01.eaf").read_text(encoding="utf-8")
    path.write_text(
        text.replace('TIME_VALUE="2567"', 'TIME_VALUE="2600"'), encoding="utf-8"
    )  # as a coder does
    with pytest.raises(InputError, match=r"s02_01\.eaf"):
        write_intervals(truth, path)
    assert events_of(read_intervals(path, video="s02_01")[0])[-1] == ("s02_01", 62, 77, "surprise")


def test_figures_of_a_cross_validation_are_shown():
    shown = CliRunner().invoke(app, ["results", str(OLD / "results.json")])
    assert shown.exit_code == 0, shown.output
    rows = [
        line
        for line in (OLD / "results.md").read_text().splitlines()
        if line.startswith(("| fedn", "| flow"))
    ]
    assert len(rows) == 3
    for row in rows:
        assert row in shown.output.splitlines()

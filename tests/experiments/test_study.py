import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedet.cli.main import app
from fedet.errors import InputError
from fedet.experiments.folds import LeakError
from fedet.experiments.results_page import BEGIN, END
from fedet.experiments.study import open_study
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.training.config import TrainConfig

TINY = {"subjects": 4, "seconds": 5.0, "size": 96, "events_per_minute": 30.0, "silent_share": 0.0, "seed": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return synthesize(folder / "set", SynthConfig(**TINY), jobs=1, progress=False)


@pytest.fixture(scope="module")
def study(made, tmp_path_factory):
    return open_study(made, folder=tmp_path_factory.mktemp("study"), progress=False)


def test_a_study_has_vectors_flow_and_the_shipped_architecture(study):
    assert study.synthetic and "generated faces" in study.label
    assert {r.subject for r in study.records} == {"s01", "s02", "s03", "s04"}
    assert study.config.input_features == study.records[0].vectors.shape[1]
    flow = study.flow_records(progress=False)
    for one, other in zip(study.records, flow, strict=True):
        assert one.video == other.video and len(one.vectors) == len(other.vectors)
        ends = ["onset", "offset", "emotion"]
        assert one.events[ends].reset_index(drop=True).equals(other.events[ends].reset_index(drop=True))
    assert study.flow_records() is flow  # made once


@pytest.mark.parametrize("benchmark", ["unseen", "harder"])
def test_nothing_is_learned_from_unseen_people(benchmark, tmp_path):
    with pytest.raises(InputError, match=f"benchmark '{benchmark}': not one to learn from; choose easy"):
        open_study(folder=tmp_path, benchmark=benchmark, progress=False)
    assert not list(tmp_path.iterdir())


def test_other_settings_and_other_vectors_have_a_folder_of_their_own(study, tmp_path):
    place = study.run_folder(tmp_path, "loso", TrainConfig())
    assert place == study.run_folder(tmp_path, "loso", TrainConfig()) and place.parent == tmp_path / "runs"
    assert place != study.run_folder(tmp_path, "loso", TrainConfig(epochs=3))
    before = study.records[0].vectors.copy()
    study.records[0].vectors[0, 0] += 1
    changed = study.run_folder(tmp_path, "loso", TrainConfig())
    study.records[0].vectors[:] = before
    assert changed != place and np.array_equal(study.records[0].vectors, before)


@pytest.mark.slow
def test_the_command_measures_writes_and_goes_on(made, study, tmp_path):
    out, page = tmp_path / "out", tmp_path / "page.md"
    call = ["crossval", str(made), "--out", str(out), "--method", "fedn", "--method", "flow", "--folds", "2",
            "--seeds", "1", "--epochs", "1", "--cache", str(study.cache)]  # fmt: skip
    first = CliRunner().invoke(app, call)
    assert first.exit_code == 0, first.output
    results = json.loads((out / "results.json").read_text())
    assert set(results["methods"]) == {"fedn", "flow"} and results["data"]["synthetic"]
    assert "--folds 2 --seeds 1" in results["data"]["command"]
    written = {p.name: p.stat().st_mtime_ns for p in out.glob("f*/seed*")}
    assert CliRunner().invoke(app, call).exit_code == 0
    assert written == {p.name: p.stat().st_mtime_ns for p in out.glob("f*/seed*")} and len(written) > 4
    page.write_text(f"{BEGIN}\n{END}\n")
    other = ["crossval", str(made), "--out", str(tmp_path / "other"), "--method", "fedn", "--folds", "2",
             "--seeds", "1", "--epochs", "1", "--cache", str(study.cache), "--adapt", "0.3"]  # fmt: skip
    assert CliRunner().invoke(app, other).exit_code == 0
    again = json.loads((tmp_path / "other" / "results.json").read_text())
    assert again["data"]["command"].endswith("--adapt 0.3") and again["methods"] != results["methods"]
    shown = CliRunner().invoke(app, ["results", str(out / "results.json"), "--write", str(page)])
    assert shown.exit_code == 0 and "| fedn |" in page.read_text() and "CASME2/" in page.read_text()
    refused = CliRunner().invoke(app, [*call, "--method", "svm"])
    assert isinstance(refused.exception, InputError) and "svm" in str(refused.exception)


@pytest.mark.parametrize(
    "option, word",
    [(["--folds", "9"], "with 4 subjects between 2 and 4"), (["--batch-size", "0"], "batch_size")],
)
def test_what_the_table_tells_is_checked_before_a_video_is_read(made, tmp_path, monkeypatch, option, word):
    def read(*args, **options):
        raise AssertionError("a video was read")

    monkeypatch.setattr("fedet.experiments.study.records_of", read)
    result = CliRunner().invoke(app, ["crossval", str(made), "--out", str(tmp_path / "out"), *option])
    assert isinstance(result.exception, InputError) and word in str(result.exception)


def test_failed_folds_end_the_command_with_their_names(made, study, tmp_path, monkeypatch):
    def broken(self, train, validation, seed, folder=None):
        raise OSError("no room")

    monkeypatch.setattr("fedet.experiments.methods.optical_flow.Flow.fit", broken)
    call = ["crossval", str(made), "--out", str(tmp_path), "--method", "flow", "--folds", "2", "--seeds", "1",
            "--cache", str(study.cache)]  # fmt: skip
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 1 and "flow seed0-1of2: OSError: no room" in result.output
    assert "the same command runs these again" in result.output
    assert not (tmp_path / "results.json").exists()


def test_a_leak_ends_everything(study, monkeypatch):
    def leaking(self, train, validation, seed, folder=None):
        raise LeakError("planted")

    monkeypatch.setattr("fedet.experiments.methods.optical_flow.Flow.fit", leaking)
    with pytest.raises(LeakError, match="planted"):
        study.compare(["flow"], folds=2, seeds=1, progress=False)

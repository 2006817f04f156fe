import json
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ramp_videos import CONFIG, people

from fedet.errors import InputError
from fedet.experiments.comparison import evaluate_folds
from fedet.experiments.cross_validation import cross_validate, prove_no_leak
from fedet.experiments.folds import LeakError, make_folds, sealed
from fedet.experiments.jobs import Job, run_job
from fedet.experiments.methods.base import FEDNMethod, Fitted, to_table
from fedet.files import locked
from fedet.training.config import TrainConfig

RECORDS = people(0, 5, videos=1, n_frames=300)
QUICK = TrainConfig(epochs=2, batch_size=4, least_steps=1)
FEDN = FEDNMethod(config=CONFIG, training=QUICK, accelerator="cpu")
FOLDS = {f.name: f for f in make_folds({f"p{i}": 3 for i in range(5)})}


@dataclass(frozen=True)
class Constant:
    """Finds one interval in every video; the threshold is the number of known events."""

    name: str = "constant"
    broken: str = ""  # fails for this left-out subject
    log: str = ""  # a line for every fit

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        known = {r.subject for r in (*train, *validation)}
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{seed}\n")
        if self.broken and self.broken not in known:
            raise ZeroDivisionError("this fold is bad")
        threshold = 0.01 * sum(len(r.events) for r in validation) + 0.001 * seed

        def predict(record):
            n = len(record.vectors)
            frames = np.array([[5, n // 2], [n // 2, n - 5]])
            return to_table(record, frames, np.array([0.9, 0.02]), ["positive", "others"], "constant")

        return Fitted(predict, threshold, {"known": sorted(known)}, pd.DataFrame())


@dataclass(frozen=True)
class Peeking(Constant):
    """A planted leak: it chooses with something of everybody's."""

    records: tuple = field(default=(), repr=False)
    what: str = "events"

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        total = sum(len(getattr(record, self.what)) for record in self.records)
        return replace(super().fit(train, validation, seed), threshold=1 / total)


def sweep(method=None, records=RECORDS, **options):
    return cross_validate(records, method or Constant(), **{"seeds": 2, "progress": False} | options)


# --- no leak


@pytest.mark.parametrize("what", ["events", "vectors", "mask"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_planted_leak_is_caught(what, jobs):
    if jobs == 2 and what != "events":
        pytest.skip("one kind of leak is enough for other processes")
    closed = sealed(RECORDS)
    with pytest.raises(LeakError, match="is left out"):
        sweep(Peeking(records=tuple(closed), what=what), closed, jobs=jobs)


def test_labels_stay_sealed_while_the_test_part_is_predicted():
    @dataclass(frozen=True)
    class Late(Constant):
        def fit(self, train, validation, seed, folder=None):
            fitted = super().fit(train, validation, seed)
            return replace(fitted, predict=lambda r: fitted.predict(r).head(len(r.events)))

    with pytest.raises(LeakError, match="labels of p0"):
        sweep(Late())


def test_a_leak_past_the_seal_is_found_by_scrambled_labels():
    @dataclass(frozen=True)
    class Cheat(Constant):
        def fit(self, train, validation, seed, folder=None):
            fitted = super().fit(train, validation, seed)

            def predict(record):
                own = record.record.events.reset_index(drop=True)  # behind the seal's back
                ends = own[["onset", "offset"]].to_numpy(int)
                return to_table(record, ends, np.full(len(own), 0.9), list(own["emotion"]), "cheat")

            return replace(fitted, predict=predict)

    assert prove_no_leak(RECORDS, Constant(), FOLDS["p2"])["equal"].all()
    with pytest.raises(LeakError, match="predictions changed"):
        prove_no_leak(RECORDS, Cheat(), FOLDS["p2"])


def test_fedn_does_not_depend_on_left_out_labels():
    table = prove_no_leak(RECORDS, FEDN, FOLDS["p1"])
    assert table["equal"].all() and table["true labels"].iloc[2] > 0


# --- the sweep


def test_each_fold_knows_its_part_and_nothing_else():
    run = sweep()
    assert len(run.results) == 10 and not run.failed
    for result in run.results:
        fold = result.job.fold
        assert result.choices["known"] == sorted(fold.train + fold.validation)
        assert set(result.predictions["subject"]) == set(fold.test)
    assert run.seeds == [0, 1]
    pooled = run.predictions(1)
    assert set(pooled["video"]) == {r.video for r in RECORDS} and len(pooled) == 10
    kept = run.predictions(1, above_threshold=True)
    assert (kept["score"] >= kept["threshold"]).all() and len(kept) < len(pooled)
    assert pooled.groupby("fold")["threshold"].nunique().eq(1).all()


def outcome(run) -> list:
    return [(r.job.name, r.threshold, r.predictions.to_csv()) for r in run.results]


def test_processes_do_what_one_process_does():
    assert outcome(sweep(jobs=2)) == outcome(sweep())


@pytest.mark.slow
def test_a_cluster_does_what_one_process_does(tmp_path):
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
    )
    with cluster:
        there = sweep(FEDN, seeds=1, folds=2, scheduler=cluster.scheduler_address)
    assert not there.failed
    assert outcome(there) == outcome(sweep(FEDN, seeds=1, folds=2, threads=1))


def test_no_cluster_is_said_plainly():
    with pytest.raises(InputError, match="no Dask scheduler answers at 'nowhere'"):
        sweep(scheduler="nowhere")


def test_an_address_that_accepts_and_never_answers_is_no_cluster(monkeypatch):
    monkeypatch.setattr("fedet.experiments.cross_validation.HANDSHAKE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Dask scheduler answers at '{address}'"):
            sweep(scheduler=address)


def test_a_sweep_in_which_another_process_writes_is_refused(tmp_path):
    with locked(tmp_path / "constant"), pytest.raises(InputError, match="another process writes there"):
        sweep(out=tmp_path)


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    log = tmp_path / "log"
    method = Constant(log=str(log))
    whole = sweep(method, out=tmp_path / "whole")
    assert len(log.read_text().split()) == 10
    folder = tmp_path / "killed" / "constant"
    sweep(method, out=tmp_path / "killed")
    for name in ("seed0-p3.json", "seed1-p0.json"):  # the note comes last: these were not finished
        (folder / name).unlink()
    log.unlink()
    resumed = sweep(method, out=tmp_path / "killed")
    assert sorted(log.read_text().split()) == ["0", "1"]
    assert outcome(resumed) == outcome(whole)
    log.unlink()
    more = sweep(method, out=tmp_path / "killed", seeds=3)
    assert log.read_text().split() == ["2"] * 5 and len(more.results) == 15


def test_a_failed_fold_is_reported_and_the_rest_finish(tmp_path):
    run = sweep(Constant(broken="p3"), out=tmp_path)
    assert [r.job.fold.name for r in run.failed] == ["p3", "p3"] and len(run.results) == 8
    assert "ZeroDivisionError: this fold is bad" in run.failed[0].error
    assert "this fold is bad" in (tmp_path / "constant" / "seed0-p3.failed.txt").read_text()
    with pytest.raises(InputError, match="folds p3 have no result"):
        evaluate_folds(run, 0)


def test_a_mended_fold_is_run_again(tmp_path):
    @dataclass(frozen=True)
    class Moody(Constant):
        def fit(self, train, validation, seed, folder=None):
            if not (tmp_path / "mended").exists():
                raise OSError("no room")
            return super().fit(train, validation, seed)

    assert len(sweep(Moody(), out=tmp_path).failed) == 10
    (tmp_path / "mended").touch()
    run = sweep(Moody(), out=tmp_path)
    assert len(run.results) == 10 and not list((tmp_path / "constant").glob("*.failed.txt"))


@pytest.mark.parametrize(
    "change, word",
    [
        (dict(folds=2), "folds 'loso', now '2'"),
        (dict(validation=0.5), "validation 0.2, now 0.5"),
        (dict(method=Constant(broken="x")), "broken '', now 'x'"),
        (dict(records=RECORDS[:4]), "other records"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(tmp_path, change, word):
    sweep(out=tmp_path)
    with pytest.raises(InputError, match=word):
        sweep(**{"out": tmp_path} | change)


def test_folds_that_cannot_be_made_do_not_claim_the_folder(tmp_path):
    with pytest.raises(InputError, match="folds=1"):
        sweep(out=tmp_path, folds=1)
    assert sweep(out=tmp_path, folds=2).results


def test_what_is_read_back_is_what_was_written(tmp_path):
    one, two = (sweep(FEDN, seeds=1, folds=2, out=tmp_path) for _ in range(2))
    for a, b in zip(one.results, two.results, strict=True):
        pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)
        pd.testing.assert_frame_equal(a.history, b.history, check_exact=True)
        assert a.threshold == b.threshold and a.choices == b.choices
    note = json.loads((tmp_path / "fedn" / "seed0-1of2.json").read_text())
    assert note["threshold"] == one.results[0].threshold
    assert one.results[0].predictions["score"].min() < 0.05  # average precision has its tail


def test_snapshots_tell_every_epoch_and_the_chosen_one_is_among_them():
    job = Job(FOLDS["p0"], 0)
    result = run_job(job, replace(FEDN, snapshots=True), RECORDS)
    assert not result.error
    assert set(result.epochs["epoch"]) == {1, 2}
    chosen = result.epochs[result.epochs["epoch"] == result.choices["epoch"]]
    columns = ["onset", "offset", "emotion", "score"]
    assert chosen[columns].reset_index(drop=True).equals(result.predictions[columns])
    plain = run_job(job, FEDN, RECORDS)
    assert plain.epochs.empty and plain.predictions.equals(result.predictions)


def test_a_fold_killed_in_the_middle_goes_on(tmp_path):
    job, long = Job(FOLDS["p0"], 0), replace(FEDN, training=replace(QUICK, epochs=3))
    from fedet.experiments.folds import of_subjects
    from fedet.training.training import train

    part = [of_subjects(RECORDS, p) for p in (job.fold.train, job.fold.validation)]
    stopped = train(
        part[0], CONFIG, replace(long.training, seed=0), validation=part[1], out=tmp_path / "run",
        max_steps=2, progress=False, accelerator="cpu",
    )  # fmt: skip
    assert not stopped.finished
    resumed = run_job(job, long, RECORDS, tmp_path / "run")
    assert not resumed.error and resumed.predictions.equals(run_job(job, long, RECORDS).predictions)

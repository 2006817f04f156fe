"""Cross-validation by subject: independent jobs, choices made on training subjects only, no leak.

A job is one fold of one seed of one method. Jobs run in this process, in several, or on a Dask
cluster. Each finished job is a file, so that a killed sweep resumes where it was; a job that fails
is reported and the others finish. A leak stops everything: no figure is worth anything after it.
"""

import asyncio
import json
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.experiments.folds import (
    Fold,
    LeakError,
    SealedVideo,
    events_by_subject,
    make_folds,
    refuse_same_twice,
    sealed,
)
from fedet.experiments.jobs import Job, JobResult, read_result, run_job, write_result
from fedet.experiments.methods.base import Method, method_settings
from fedet.files import atomic_write, locked, read_json_object
from fedet.intervals import COLUMNS, empty_table
from fedet.training.checkpoints import fingerprint
from fedet.windows import VideoFeatures

HANDSHAKE_S = 20.0  # within which a Dask scheduler must answer


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All folds of one method, and what they were run on."""

    method: str
    results: list[JobResult]
    failed: list[JobResult]
    truth: pd.DataFrame  # interval table, at the rate of the vectors
    videos: pd.DataFrame  # subject, video, fps of every video, also of those without events
    settings: dict[str, Any]

    @property
    def seeds(self) -> list[int]:
        return sorted({result.job.seed for result in self.results})

    def of_seed(self, seed: int) -> list[JobResult]:
        return [result for result in self.results if result.job.seed == seed]

    def predictions(self, seed: int, above_threshold: bool = False) -> pd.DataFrame:
        """Predictions of all folds of a seed with the columns fold and threshold.

        Args:
            above_threshold: only those at or above the threshold of their fold.
        """
        tables = [
            result.predictions.assign(fold=result.job.fold.name, threshold=result.threshold)
            for result in self.of_seed(seed)
        ]
        table = pd.concat(tables, ignore_index=True)
        if not above_threshold:
            return table
        return table[table["score"] >= table["threshold"]].reset_index(drop=True)


# --- a sweep


def cross_validate(
    records: Sequence[VideoFeatures],
    method: Method,
    out: str | Path | None = None,
    folds: str | int = "loso",
    seeds: int | Sequence[int] = 3,
    validation: float = 0.2,
    jobs: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
    checkpoints: bool = False,
    progress: bool = True,
) -> CrossValidation:
    """Runs all folds and seeds of a method that are not in `out` yet.

    Args:
        out: folder of the sweep; several methods may share it, each has its own folder there.
            None keeps nothing.
        folds, validation: as for `make_folds`.
        seeds: how many, from 0, or which.
        jobs: processes; -1: one for each core. On a cluster its workers count instead.
        scheduler: address of a Dask scheduler, like tcp://10.0.0.1:8786. The cluster needs the same
            packages; records travel there, results come back, no shared disk is needed.
        threads: of torch in each job; None: 1 if jobs run side by side, else as it is.
        checkpoints: a job killed in the middle resumes at its last epoch; local jobs only.
    Raises:
        InputError: `out` holds another sweep, folds cannot be made, or a person or a video has two
        names (`refuse_same_twice`). LeakError: see `fedet.experiments.folds`.
    """
    refuse_same_twice([r.record if isinstance(r, SealedVideo) else r for r in records])
    guarded = sealed(list(records))
    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not seeds:
        raise InputError("no seed; give a number above 0, or a list")
    planned = [  # first: impossible folds must not claim the folder
        Job(fold, seed)
        for seed in seeds
        for fold in make_folds(events_by_subject(guarded), folds, validation, seed)
    ]
    settings = _settings(guarded, method, folds, validation)
    root = None if out is None else Path(out)
    if root is not None:
        _claim(root, method.name, settings)
    stored = ((job, read_result(root, method.name, job)) for job in planned)
    done = {job.name: result for job, result in stored if result is not None}
    pending = [job for job in planned if job.name not in done]
    threads = threads or (1 if scheduler or jobs != 1 else None)
    folder = root / method.name if root is not None and checkpoints and not scheduler else None
    with locked(root and root / method.name):
        results = _results(pending, method, guarded, folder, threads, jobs, scheduler)
        for result in _with_progress(results, len(pending), method.name, progress):
            done[result.job.name] = result
            if root is not None:
                write_result(root, method.name, result)
    ordered = [done[job.name] for job in planned]
    return CrossValidation(
        method=method.name,
        results=[result for result in ordered if not result.error],
        failed=[result for result in ordered if result.error],
        truth=_truth(guarded),
        videos=_videos(guarded),
        settings=settings | {"seeds": seeds},
    )


def _with_progress(results: Iterator[JobResult], n: int, method: str, progress: bool) -> Iterator[JobResult]:
    """The same n results with a progress bar; failed jobs are reported."""
    from tqdm.auto import tqdm

    with tqdm(total=n, desc=method, unit="fold", disable=not progress or not n) as bar:
        for result in results:
            bar.update()
            if result.error:
                last = result.error.strip().splitlines()[-1]
                bar.write(f"{method} {result.job.name} failed: {last}")
            yield result


def _results(
    pending: list[Job],
    method: Method,
    records: list[SealedVideo],
    folder: Path | None,
    threads: int | None,
    jobs: int,
    scheduler: str | None,
) -> Iterator[JobResult]:
    """Results in the order in which jobs finish."""
    folders = [None if folder is None else folder / f"{job.name}.run" for job in pending]
    if not pending:
        return
    if scheduler:
        yield from _on_cluster(pending, method, records, threads, scheduler)
    elif jobs == 1:
        for job, job_folder in zip(pending, folders, strict=True):
            yield run_job(job, method, records, job_folder, threads)
    else:
        from joblib import Parallel, delayed

        # Arrays above 1 MB are passed as memory maps: all processes share one copy.
        work = Parallel(n_jobs=jobs, return_as="generator_unordered")
        calls = zip(pending, folders, strict=True)
        # joblib restarts processes that have grown, and warns; no job is lost.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            yield from work(delayed(run_job)(j, method, records, p, threads) for j, p in calls)


def _on_cluster(
    pending: list[Job], method: Method, records: list[SealedVideo], threads: int | None, scheduler: str
) -> Iterator[JobResult]:
    from distributed import Client
    from joblib import Parallel, delayed, parallel_config

    check_scheduler(scheduler)
    with Client(scheduler, timeout=HANDSHAKE_S) as client:
        if not client.scheduler_info()["workers"]:
            raise InputError(f"{scheduler}: the scheduler has no workers; start some with 'dask worker'")
        # The records are sent to every worker once, not with every job.
        with parallel_config(backend="dask", scatter=[records]):
            work = Parallel(return_as="generator_unordered")
            yield from work(delayed(run_job)(job, method, records, None, threads) for job in pending)


def check_scheduler(address: str) -> None:
    """Raises InputError where no Dask scheduler answers within `HANDSHAKE_S`.

    Dask's own time limit covers the connection only; another server may accept it and never answer.
    """
    from distributed.comm import connect

    async def greet() -> None:
        await (await asyncio.wait_for(connect(address), HANDSHAKE_S)).close()

    try:
        with ThreadPoolExecutor(1) as pool:  # in a notebook an event loop already runs in this thread
            pool.submit(asyncio.run, greet()).result()
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}); start one with 'dask "
            "scheduler' and give its address"
        ) from error


def prove_no_leak(
    records: Sequence[VideoFeatures], method: Method, fold: Fold, seed: int = 0
) -> pd.DataFrame:
    """Runs a fold twice, once with the test subjects' labels scrambled; nothing may change.

    Unlike sealing this also finds a leak by another route, such as a file or a global variable,
    as long as the labels come from these records. It cannot see files that were made from all labels
    before: tuned face weights, a detector to start from.

    Returns: a row each for threshold, choices and predictions: both values, and whether they are equal.
    Raises: LeakError if anything differs.
    """
    plain = [record.record if isinstance(record, SealedVideo) else record for record in records]
    rng = np.random.default_rng(seed)
    scrambled = [_scramble(r, rng) if r.subject in fold.test else r for r in plain]
    one, two = (run_job(Job(fold, seed), method, videos) for videos in (plain, scrambled))
    for result in (one, two):
        if result.error:
            raise InputError(f"the fold failed: {result.error.strip().splitlines()[-1]}")
    rows = [
        ("threshold", one.threshold, two.threshold),
        ("choices", json.dumps(one.choices), json.dumps(two.choices)),
        ("predictions", len(one.predictions), len(two.predictions)),
    ]
    table = pd.DataFrame(rows, columns=["what", "true labels", "scrambled labels"])
    same = [a == b for _, a, b in rows]
    same[2] = one.predictions.equals(two.predictions)
    table["equal"] = same
    if not all(same):
        changed = ", ".join(table.loc[~table["equal"], "what"])
        raise LeakError(f"fold {fold.name!r}: {changed} changed with labels that must not be known")
    return table


def _scramble(record: VideoFeatures, rng: np.random.Generator) -> VideoFeatures:
    """The record with as many events elsewhere, of other emotions; one where there was none."""
    events, n = record.events.copy(), len(record.vectors)
    if not len(events):
        row = {"subject": record.subject, "video": record.video, "fps": record.fps, "emotion": "positive"}
        events = pd.DataFrame([row], columns=COLUMNS).astype(empty_table().dtypes)
        events["onset"], events["offset"] = 0, n // 2
    length = np.minimum((events["offset"] - events["onset"] + 1).to_numpy(int), n)
    onset = rng.integers(0, n - length + 1)
    events["onset"], events["offset"] = onset, onset + length - 1
    events["apex"] = pd.NA
    events["emotion"] = rng.permutation(events["emotion"].to_numpy())
    return replace(record, events=events.astype(empty_table().dtypes))


# --- settings and tables of a sweep


def _settings(records, method: Method, folds, validation: float) -> dict[str, Any]:
    """The settings that identify a sweep, as JSON reads them back; seeds may be added later."""
    settings = {
        "folds": str(folds),
        "validation": validation,
        "records": fingerprint(records),
        "method": method_settings(method),
    }
    return json.loads(json.dumps(settings))


def _claim(out: Path, name: str, settings: dict[str, Any]) -> None:
    """Writes the settings below `out`, or checks that those stored there are the same."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the results")
    path = out / name / "settings.json"
    if path.is_file():
        before = read_json_object(path)
        if changed := sorted(_differences(before, settings)):
            raise InputError(
                f"{path.parent}: holds a sweep with other settings ({'; '.join(changed[:4])}); name another "
                "folder or delete this one"
            )
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(settings, indent=1) + "\n")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old and not new[key]:
                continue  # a switch that earlier versions lacked, and that is off
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} {old!r}, now {new!r}" if name != "records" else "other records"


def _truth(records) -> pd.DataFrame:
    tables = [r.events.assign(subject=r.subject, video=r.video, fps=r.fps) for r in records if len(r.events)]
    return pd.concat(tables, ignore_index=True) if tables else empty_table()


def _videos(records) -> pd.DataFrame:
    rows = [(r.subject, r.video, r.fps) for r in records]
    return pd.DataFrame(rows, columns=["subject", "video", "fps"])

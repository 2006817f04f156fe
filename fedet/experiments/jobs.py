"""One fold of one seed of one method: fit, predict, and save the result."""

import json
import re
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fedet.errors import InputError
from fedet.experiments.folds import Fold, LeakError, of_subjects, only, sealed
from fedet.experiments.methods.base import Fitted, Method
from fedet.files import atomic_write, read_json_object
from fedet.intervals import empty_table

# Weight initialisation and dropout read torch's global generator, so two jobs in threads of one
# process (a Dask worker with several) would disturb each other.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Job:
    """One fold of one seed."""

    fold: Fold
    seed: int

    @property
    def name(self) -> str:
        """Its name, which its files have too."""
        return re.sub(r"[^\w.-]", "_", f"seed{self.seed}-{self.fold.name}")


@dataclass(frozen=True, eq=False)
class JobResult:
    """The result of a job; `error` is its traceback if it failed, and the rest is empty then."""

    job: Job
    threshold: float
    choices: dict[str, Any]
    seconds: float  # wall time
    predictions: pd.DataFrame  # interval table of the test subjects, down to LOW_SCORE
    history: pd.DataFrame
    epochs: pd.DataFrame  # predictions of every epoch, with a column epoch; for inspection only
    error: str = ""


def run_job(
    job: Job, method: Method, records: Sequence, folder: Path | None = None, threads: int | None = None
) -> JobResult:
    """Fits on the fold's training part and predicts its test part; neither can read other subjects.

    Raises LeakError; every other error is in the result, so that other jobs continue.
    """
    records, fold = sealed(records), job.fold
    train, validation, test = (
        of_subjects(records, subjects) for subjects in (fold.train, fold.validation, fold.test)
    )
    fitting = fold.train + fold.validation
    before = torch.get_num_threads()
    try:
        with _ALONE:
            started = time.perf_counter()
            if threads:
                torch.set_num_threads(threads)
            with only(frames=fitting, labels=fitting):
                fitted = method.fit(train, validation, job.seed, folder)
            with only(frames=fold.test, labels=()):
                predictions = _join([fitted.predict(record) for record in test])
                epochs = _of_epochs(fitted, test)
    except LeakError:
        raise
    except Exception:
        return _failure(job, traceback.format_exc())
    finally:
        torch.set_num_threads(before)
    seconds = time.perf_counter() - started
    threshold, choices = float(fitted.threshold), fitted.choices
    return JobResult(job, threshold, choices, seconds, predictions, fitted.history, epochs)


def _failure(job: Job, text: str) -> JobResult:
    return JobResult(job, float("nan"), {}, 0.0, empty_table(), pd.DataFrame(), pd.DataFrame(), text)


def _join(tables: list[pd.DataFrame]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)] or tables[:1]
    # The same types whether the table comes from a method or from a file.
    return pd.concat(tables, ignore_index=True).astype(empty_table().dtypes)


def _of_epochs(fitted: Fitted, test) -> pd.DataFrame:
    tables = [
        _join([predict(record) for record in test]).assign(epoch=epoch)
        for epoch, predict in fitted.epochs.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


# --- files


def write_result(out: Path, name: str, result: JobResult) -> None:
    """Writes the tables, then the .json that marks the job as finished; a failure goes to .failed.txt."""
    stem = out / name / result.job.name
    failure = stem.with_name(stem.name + ".failed.txt")
    if result.error:
        with atomic_write(failure) as draft:
            draft.write_text(result.error)
        return
    tables = {".csv": result.predictions, ".history.csv": result.history, ".epochs.csv": result.epochs}
    for suffix, table in tables.items():
        if suffix == ".csv" or len(table):
            with atomic_write(stem.with_name(stem.name + suffix)) as draft:
                table.to_csv(draft, index=False)
    note = {"fold": asdict(result.job.fold), "seed": result.job.seed, "threshold": result.threshold}
    note |= {"choices": result.choices, "seconds": result.seconds}
    with atomic_write(stem.with_name(stem.name + ".json")) as draft:
        draft.write_text(json.dumps(note, indent=1) + "\n")
    failure.unlink(missing_ok=True)


def read_result(out: Path | None, name: str, job: Job) -> JobResult | None:
    """The result of a finished job, or None."""
    if out is None:
        return None
    stem = out / name / job.name
    note_path = stem.with_name(stem.name + ".json")
    if not note_path.is_file():
        return None
    note = read_json_object(note_path, "fold", "threshold", "choices", "seconds")
    if {k: tuple(v) if k != "name" else v for k, v in note["fold"].items()} != asdict(job.fold):
        raise InputError(f"{note_path}: another fold; name another folder or delete this one")
    tables = [_table(stem.with_name(stem.name + s)) for s in (".csv", ".history.csv", ".epochs.csv")]
    return JobResult(job, note["threshold"], note["choices"], note["seconds"], *tables)


def _table(path: Path) -> pd.DataFrame:
    """A table as it was written; the columns of interval tables keep their types."""
    if not path.is_file():
        return pd.DataFrame()
    types = dict(empty_table().dtypes.items())
    table = pd.read_csv(path, dtype={c: str(t) for c, t in types.items()})
    return table.astype({c: t for c, t in types.items() if c in table})

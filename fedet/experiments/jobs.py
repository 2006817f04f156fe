"""One fold of one seed of one method: fitted, predicted, and kept as files."""

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
        """Also of its files."""
        return re.sub(r"[^\w.-]", "_", f"seed{self.seed}-{self.fold.name}")


@dataclass(frozen=True, eq=False)
class JobResult:
    """What a job found out; `error` is its traceback if it failed, and the rest is empty then."""

    job: Job
    threshold: float
    choices: dict[str, Any]
    seconds: float  # wall time
    predictions: pd.DataFrame  # canonical, of the test subjects, down to LOW_SCORE
    history: pd.DataFrame
    epochs: pd.DataFrame  # predictions of every epoch, with a column epoch; for looking only
    error: str = ""


def run_job(
    job: Job, method: Method, records: Sequence, folder: Path | None = None, threads: int | None = None
) -> JobResult:
    """Fits on the fold's training part and predicts its test part; both see nothing else.

    Raises LeakError; every other error is in the result, so that other jobs go on.
    """
    records, fold = sealed(records), job.fold
    train, validation, test = (
        of_subjects(records, part) for part in (fold.train, fold.validation, fold.test)
    )
    known = fold.train + fold.validation
    before = torch.get_num_threads()
    try:
        with _ALONE:
            started = time.perf_counter()
            if threads:
                torch.set_num_threads(threads)
            with only(frames=known, labels=known):
                fitted = method.fit(train, validation, job.seed, folder)
            with only(frames=fold.test, labels=()):
                predictions = _joined([fitted.predict(record) for record in test])
                epochs = _of_epochs(fitted, test)
    except LeakError:
        raise
    except Exception:
        return _failure(job, traceback.format_exc())
    finally:
        torch.set_num_threads(before)
    took = time.perf_counter() - started
    threshold, choices = float(fitted.threshold), fitted.choices
    return JobResult(job, threshold, choices, took, predictions, fitted.history, epochs)


def _failure(job: Job, text: str) -> JobResult:
    return JobResult(job, float("nan"), {}, 0.0, empty_table(), pd.DataFrame(), pd.DataFrame(), text)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)] or tables[:1]
    # The same types whether a method has just made it or it is read from a file.
    return pd.concat(tables, ignore_index=True).astype(empty_table().dtypes)


def _of_epochs(fitted: Fitted, test) -> pd.DataFrame:
    parts = [
        _joined([predict(record) for record in test]).assign(epoch=epoch)
        for epoch, predict in fitted.epochs.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


# --- files


def write_result(out: Path, name: str, result: JobResult) -> None:
    """The tables, then the note that makes the job a finished one; a failure is noted elsewhere."""
    stem = out / name / result.job.name
    failure = stem.with_name(stem.name + ".failed.txt")
    if result.error:
        failure.write_text(result.error)
        return
    tables = {".csv": result.predictions, ".history.csv": result.history, ".epochs.csv": result.epochs}
    for suffix, table in tables.items():
        if suffix == ".csv" or len(table):
            with atomic_write(stem.with_name(stem.name + suffix)) as part:
                table.to_csv(part, index=False)
    note = {"fold": asdict(result.job.fold), "seed": result.job.seed, "threshold": result.threshold}
    note |= {"choices": result.choices, "seconds": result.seconds}
    with atomic_write(stem.with_name(stem.name + ".json")) as part:
        part.write_text(json.dumps(note, indent=1) + "\n")
    failure.unlink(missing_ok=True)


def read_result(out: Path | None, name: str, job: Job) -> JobResult | None:
    """A finished job, or None."""
    if out is None:
        return None
    stem = out / name / job.name
    note_at = stem.with_name(stem.name + ".json")
    if not note_at.is_file():
        return None
    note = read_json_object(note_at, "fold", "threshold", "choices", "seconds")
    if {k: tuple(v) if k != "name" else v for k, v in note["fold"].items()} != asdict(job.fold):
        raise InputError(f"{note_at}: another fold; name another folder or delete this one")
    tables = [_table(stem.with_name(stem.name + s)) for s in (".csv", ".history.csv", ".epochs.csv")]
    return JobResult(job, note["threshold"], note["choices"], note["seconds"], *tables)


def _table(path: Path) -> pd.DataFrame:
    """A table as it was written; canonical columns keep their types."""
    if not path.is_file():
        return pd.DataFrame()
    types = dict(empty_table().dtypes.items())
    table = pd.read_csv(path, dtype={c: str(t) for c, t in types.items()})
    return table.astype({c: t for c, t in types.items() if c in table})

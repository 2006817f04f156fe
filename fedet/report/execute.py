"""Runs one notebook of a report: failures, dead kernels and timeouts are returned as text, never raised."""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from uuid import uuid4

import nbformat
from jupyter_client import AsyncKernelManager
from nbformat import NotebookNode

from fedet.explorer.widget import IN_REPORT
from fedet.files import atomic_write
from fedet.report.images import shrink_outputs, write_pictures
from fedet.report.plan import INSTALLED, RUN_NOTE, Chapter

CELL_FILE = re.compile(r"(/[\w.-]{1,60}){0,8}/ipykernel_\d{1,9}/\d{1,12}\.py:\d{1,6}: ")  # of a warning
ERROR_TAG = "papermill-error-cell-tag"  # of the cells that papermill adds around an error


def run_notebook(chapter: Chapter, path: Path, limit_s: int | None = None) -> str | None:
    """Executes a notebook in its own folder and saves it at `path`, whether it succeeds or not.

    Papermill takes an early exit for success. A cell added at the end therefore prints a token, and only a
    notebook that printed it is complete.

    Args:
        chapter: the notebook and its values.
        path: where the executed notebook goes.
        limit_s: seconds that one cell may run; None: no limit.

    Returns:
        None, or the error in one line.
    """
    token = f"complete {uuid4().hex}"
    notebook = nbformat.read(chapter.path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(f"print({token!r})"))
    draft = path.with_name(f".{path.stem}.part.ipynb")
    nbformat.write(notebook, draft)
    start = time.time()
    error = _execute(draft, chapter, limit_s)
    notebook = nbformat.read(draft, as_version=4)
    final = [cell for cell in notebook.cells if token in cell.source]
    printed = [str(output.get("text", "")) for cell in final for output in cell.outputs]
    if error is None and not any(token in text for text in printed):
        error = "it stopped before its last cell"
    notebook.cells = [cell for cell in notebook.cells if cell not in final]
    _remove_local_paths(notebook)
    note = {"complete": error is None, "fingerprint": chapter.fingerprint, "error": error}
    _save(notebook, path, note | {"seconds": round(time.time() - start, 1)})
    draft.unlink()
    return error


def _execute(draft: Path, chapter: Chapter, limit_s: int | None) -> str | None:
    """Runs a notebook file in place through papermill; the error in one line, or None."""
    from nbclient.exceptions import CellTimeoutError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    home = chapter.path.parent
    home = draft.parent if home == INSTALLED else home  # notebooks write into ../data, never into the package
    options = {"cwd": str(home), "progress_bar": sys.stderr.isatty()}
    options |= {"kernel_manager_class": SilentKernelManager, "execution_timeout": limit_s}
    path = str(draft.resolve())
    try:
        with _report_environment(), _quiet_client():
            execute_notebook(path, path, chapter.values, kernel_name="python3", **options)
    except PapermillExecutionError as error:
        return f"{error.ename}: {_one_line(error.evalue)}"
    except CellTimeoutError:
        return _blame_running_cell(
            draft,
            f"ran longer than the {limit_s / 60:g} min allowed; --cell-minutes sets another limit, 0 none",
        )
    except Exception as error:  # a kernel that died or never started must not stop the other notebooks
        return _blame_running_cell(draft, f"{type(error).__name__}: {_one_line(str(error))}")
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _blame_running_cell(draft: Path, reason: str) -> str:
    """The reason with the cell that was running, which also gets it as its output."""
    notebook = nbformat.read(draft, as_version=4)
    started = [i for i, c in enumerate(notebook.cells) if c.metadata.get("papermill", {}).get("start_time")]
    if not started:
        return reason
    cell = notebook.cells[started[-1]]
    error = f"cell {started[-1] + 1} ({_first_statement(cell.source)!r}) {reason}"
    cell.outputs.append(nbformat.v4.new_output("error", ename="Given up", evalue=error, traceback=[]))
    nbformat.write(notebook, draft)
    return error


def _first_statement(source: str) -> str:
    """The first line of a cell that is neither comment nor import, cut to 60 characters."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    statements = [line for line in lines if not line.startswith(("#", "import ", "from "))]
    return (statements or lines or [""])[0][:60]


@contextmanager
def _quiet_client() -> Iterator[None]:
    """nbclient logs a timeout with the whole source of the cell; the report says it in one line."""
    logger = logging.getLogger("papermill")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _report_environment() -> Iterator[None]:
    """Kernels inherit the environment: widgets then know that a report is being made."""
    before = os.environ.get(IN_REPORT)
    os.environ[IN_REPORT] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[IN_REPORT]
        else:
            os.environ[IN_REPORT] = before


def _remove_local_paths(notebook: NotebookNode) -> None:
    """Cuts folders of this machine out of warnings: they mean nothing to the report's readers."""
    for cell in notebook.cells:
        for item in cell.get("outputs", []):
            if item["output_type"] == "stream":
                item["text"] = CELL_FILE.sub("", item["text"].replace(sys.prefix, "..."))


def _save(notebook: NotebookNode, path: Path, note: dict) -> None:
    """Writes the executed notebook, with small pictures and without this machine's paths in its metadata."""
    notebook.metadata.pop("papermill", None)
    notebook.cells = [c for c in notebook.cells if ERROR_TAG not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    notebook.metadata[RUN_NOTE] = note
    shrink_outputs(notebook)
    write_pictures(notebook, path.parents[1] / "figures", path.stem)
    with atomic_write(path) as draft:
        nbformat.write(notebook, draft)


class SilentKernelManager(AsyncKernelManager):
    """Starts kernels without a terminal: an interrupted one would print its traceback there."""

    async def _async_start_kernel(self, **options) -> None:
        await super()._async_start_kernel(**(options | {"stdout": DEVNULL, "stderr": DEVNULL}))

    start_kernel = _async_start_kernel

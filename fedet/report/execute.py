"""Runs one notebook of a report: a failure, a dead kernel or a cell without end is told, never raised."""

import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from uuid import uuid4

from jupyter_client import AsyncKernelManager

from fedet.files import atomic_write
from fedet.report.plan import DONE, Chapter

CELL_FILE = re.compile(r"(/[\w.-]{1,60}){0,8}/ipykernel_\d{1,9}/\d{1,12}\.py:\d{1,6}: ")  # of a warning
IN_REPORT = "FEDET_REPORT"  # set while notebooks run: widgets then leave data for the page


def run(chapter: Chapter, path: Path, limit_s: int | None = None) -> str | None:
    """Executes a notebook in its own folder and keeps it at `path`, whatever comes of it.

    Papermill takes an early exit for success; so a last cell prints a token, and only who printed it
    is complete.

    Args:
        chapter: the notebook and its values.
        path: where the executed notebook goes.
        limit_s: seconds that one cell may run; None: for ever.

    Returns:
        None, or what went wrong in one line.
    """
    import nbformat

    token = f"complete {uuid4().hex}"
    source = nbformat.read(chapter.path, as_version=4)
    source.cells.append(nbformat.v4.new_code_cell(f"print({token!r})"))
    part = path.with_name(f".{path.stem}.part.ipynb")
    nbformat.write(source, part)
    begun = time.time()
    error = _execute(part, chapter, limit_s)
    notebook = nbformat.read(part, as_version=4)
    marks = [c for c in notebook.cells if token in c.source]
    if error is None and not any(token in str(o.get("text", "")) for c in marks for o in c.outputs):
        error = "it stopped before its last cell"
    notebook.cells = [c for c in notebook.cells if c not in marks]
    _forget_places(notebook)
    note = {"complete": error is None, "fingerprint": chapter.fingerprint, "error": error}
    _keep(notebook, path, note | {"seconds": round(time.time() - begun, 1)})
    part.unlink()
    return error


def _forget_places(notebook) -> None:
    """Takes folders of this machine out of warnings: a report goes to people whom they tell nothing."""
    for cell in notebook.cells:
        for item in cell.get("outputs", []):
            if item["output_type"] == "stream":
                text = item["text"].replace(sys.prefix, "...")
                item["text"] = CELL_FILE.sub("", text)


def _execute(part: Path, chapter: Chapter, limit_s: int | None) -> str | None:
    """Runs a notebook file in place through papermill; the error in one line, or None."""
    from nbclient.exceptions import CellTimeoutError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    pass

    options = {"cwd": str(chapter.path.parent), "progress_bar": sys.stderr.isatty()}
    options |= {"kernel_manager_class": SilentKernelManager, "execution_timeout": limit_s}
    place = str(part.resolve())
    try:
        with _in_report(), _quiet_client():
            execute_notebook(place, place, chapter.values, kernel_name="python3", **options)
    except PapermillExecutionError as error:
        return f"{error.ename}: {_short(error.evalue)}"
    except CellTimeoutError:
        allowed = f"the {limit_s / 60:g} min allowed"
        return _blame(part, f"ran longer than {allowed}; --cell-minutes sets another limit, 0 none")
    except Exception as error:  # a kernel that died or never started must not stop the other notebooks
        return _blame(part, f"{type(error).__name__}: {_short(str(error))}")
    return None


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def _blame(part: Path, what: str) -> str:
    """The error with the cell that was running; that cell gets it as its output, to be seen in its place."""
    import nbformat

    notebook = nbformat.read(part, as_version=4)
    begun = [i for i, c in enumerate(notebook.cells) if c.metadata.get("papermill", {}).get("start_time")]
    if not begun:
        return what
    cell = notebook.cells[begun[-1]]
    error = f"cell {begun[-1] + 1} ({_telling(cell.source)!r}) {what}"
    cell.outputs.append(nbformat.v4.new_output("error", ename="Given up", evalue=error, traceback=[]))
    nbformat.write(notebook, part)
    return error


def _telling(source: str) -> str:
    """The first line of a cell that is neither comment nor import, cut to 60 characters."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    does = [line for line in lines if not line.startswith(("#", "import ", "from "))]
    return (does or lines or [""])[0][:60]


@contextmanager
def _quiet_client():
    """nbclient logs a cell's time limit with the cell's whole text; the report tells it in one line."""
    import logging

    logger = logging.getLogger("papermill")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _in_report():
    """Kernels inherit the environment: what is shown knows that a report is being made."""
    before = os.environ.get(IN_REPORT)
    os.environ[IN_REPORT] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[IN_REPORT]
        else:
            os.environ[IN_REPORT] = before


def _keep(notebook, path: Path, note: dict) -> None:
    """Writes the executed notebook, small and without this machine's paths in its metadata."""
    import nbformat

    from fedet.report.images import shrink_outputs, write_pictures

    notebook.metadata.pop("papermill", None)
    marked = "papermill-error-cell-tag"  # cells that papermill adds around an error
    notebook.cells = [c for c in notebook.cells if marked not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    notebook.metadata[DONE] = note
    shrink_outputs(notebook)
    write_pictures(notebook, path.parents[1] / "figures", path.stem)
    with atomic_write(path) as part:
        nbformat.write(notebook, part)


class SilentKernelManager(AsyncKernelManager):
    """Starts kernels without a terminal: one that is interrupted would print its traceback there."""

    async def _async_start_kernel(self, **options) -> None:
        await super()._async_start_kernel(**(options | {"stdout": DEVNULL, "stderr": DEVNULL}))

    start_kernel = _async_start_kernel

"""Runs the notebooks into a report that opens anywhere; a notebook records its figures with `record`.

    from fedet.reports import make_report
    make_report("reports/mine", profile="quick", values=["seed=3"])

Below the report's folder: `report.html` (one file, no network), `notebooks/` (executed), `figures/`,
`results.json` and `parameters.yaml`.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from fedet.cells import replaced
from fedet.errors import InputError
from fedet.headlines import collect, record, record_table
from fedet.report_plan import DONE, Chapter, finished, notebook_folder, plan, select

__all__ = ["build_page", "make_report", "record", "record_table"]

IN_REPORT = "FEDET_REPORT"  # set while notebooks run: widgets then leave data for the page


def make_report(
    out: str | Path,
    profile: str = "quick",
    data: str | Path | None = None,
    values: Iterable[str] = (),
    only: Iterable[str] = (),
    notebooks: str | Path | None = None,
    fresh: bool = False,
    say=print,
) -> dict[str, str]:
    """Runs notebooks and writes the report. What is finished and unchanged is not run again.

    Args:
        out: the report's folder.
        profile: "quick" (minutes) or "standard".
        data: a dataset's folder, for the notebooks with a parameter `data`.
        values: parameters, like "seconds=20"; "00.seconds=20" for one notebook.
        only: numbers or names of notebooks; none: all. Others that are finished stay in the report.
        notebooks: their folder; default: the suite's.
        fresh: run everything again.
        say: is told of every step.

    Returns:
        What became of each notebook by name: "done", "kept", or the error in one line.

    Raises:
        InputError: before anything runs, on parameters that are unknown or of another type, on
            notebooks, profile or data that are not there, and if `out` is a file.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    everything = plan(notebook_folder(notebooks), profile, data, values)
    chosen = select(everything, only)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    start, outcome = time.time(), {}
    waiting = [c for c in chosen if fresh or not finished(_executed(out, c), c)]
    pace = 1.0  # minutes here for an expected minute
    for chapter in chosen:
        if chapter not in waiting:
            say(f"{chapter.name}: kept, nothing has changed")
            outcome[chapter.name] = "kept"
            continue
        left = pace * sum(c.minutes for c in waiting[waiting.index(chapter) :])
        which = f"[{chosen.index(chapter) + 1}/{len(chosen)}]"
        say(f"{which} {chapter.name}: about {told(60 * pace * chapter.minutes)}, {told(60 * left)} in all")
        begun = time.time()
        error = run(chapter, _executed(out, chapter))
        took = time.time() - begun
        outcome[chapter.name] = error or "done"
        say(f"      {'FAILED: ' + error if error else 'done'} after {told(took)}")
        pace = 0.5 * pace + 0.5 * took / 60 / chapter.minutes
    shown = [c for c in everything if c in chosen or finished(_executed(out, c), c)]
    write_results(out, shown, profile, data, time.time() - start, outcome)
    build_page(out)
    return outcome


def told(seconds: float) -> str:
    """ "40 s" or "3 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _executed(out: Path, chapter: Chapter) -> Path:
    return out / "notebooks" / f"{chapter.name}.ipynb"


# ---------------------------------------------------------------- one notebook


def run(chapter: Chapter, path: Path) -> str | None:
    """Executes a notebook in its own folder and keeps it at `path`, whatever comes of it.

    Papermill takes an early exit for success; so a last cell prints a token, and only who printed it
    is complete.

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
    error = _execute(part, chapter)
    notebook = nbformat.read(part, as_version=4)
    marks = [c for c in notebook.cells if token in c.source]
    if error is None and not any(token in str(o.get("text", "")) for c in marks for o in c.outputs):
        error = "it stopped before its last cell"
    notebook.cells = [c for c in notebook.cells if c not in marks]
    note = {"complete": error is None, "fingerprint": chapter.fingerprint, "error": error}
    _keep(notebook, path, note | {"seconds": round(time.time() - begun, 1)})
    part.unlink()
    return error


def _execute(part: Path, chapter: Chapter) -> str | None:
    """Runs a notebook file in place through papermill; the error in one line, or None."""
    from papermill import execute_notebook
    from papermill.exceptions import PapermillException, PapermillExecutionError

    options = {"cwd": str(chapter.path.parent), "progress_bar": sys.stderr.isatty()}
    options["extra_arguments"] = ["--log-level=ERROR"]  # the kernel's warnings are not about the report
    place = str(part.resolve())
    try:
        with _in_report():
            execute_notebook(place, place, chapter.values, kernel_name="python3", **options)
    except PapermillExecutionError as error:
        return f"{error.ename}: {' '.join(error.evalue.split())[:300]}"
    except (PapermillException, RuntimeError, TimeoutError) as error:  # a kernel that died or hung
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


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

    from fedet.pictures import shrink_outputs, write_pictures

    notebook.metadata.pop("papermill", None)
    marked = "papermill-error-cell-tag"  # cells that papermill adds around an error
    notebook.cells = [c for c in notebook.cells if marked not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    notebook.metadata[DONE] = note
    shrink_outputs(notebook)
    write_pictures(notebook, path.parents[1] / "figures", path.stem)
    with replaced(path) as part:
        nbformat.write(notebook, part)


# ---------------------------------------------------------------- what is written beside them


def write_results(
    out: Path, chapters: list[Chapter], profile: str, data, seconds: float, outcome: dict[str, str]
) -> None:
    """Writes `results.json` and `parameters.yaml` of the chapters that were executed."""
    import nbformat
    import yaml

    from fedet.provenance import provenance

    results, values = {}, {}
    for chapter in chapters:
        notebook = nbformat.read(_executed(out, chapter), as_version=4)
        note = notebook.metadata[DONE]
        values[chapter.name] = chapter.all_values()
        entries = [{k: v for k, v in e.items() if k != "html"} for e in collect(notebook)]
        results[chapter.name] = {
            "complete": note["complete"],
            "error": note["error"],
            "seconds": note["seconds"],
            "results": entries,
        }
    total = sum(r["seconds"] for r in results.values())
    made = provenance() | {"profile": profile, "data": Path(data).name if data else "generated"}
    made |= {"notebooks_s": round(total, 1), "this_run_s": round(seconds, 1)}
    text = {"schema_version": "1", "made": made, "notebooks": results}
    with replaced(out / "results.json") as part:
        Path(part).write_text(json.dumps(text, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    with replaced(out / "parameters.yaml") as part:
        shown = {"profile": profile, "notebooks": values}
        Path(part).write_text(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), "utf-8")


def build_page(out: str | Path) -> Path:
    """Writes `report.html` from the executed notebooks, `results.json` and `parameters.yaml`.

    Raises InputError if the folder is no report.
    """
    from fedet.report_page import page

    out = Path(out)
    if not (out / "results.json").is_file():
        raise InputError(f"{out}: no results.json; make the report with `fedet report --out {out}`")
    with replaced(out / "report.html") as part:
        Path(part).write_text(page(out), "utf-8")
    return out / "report.html"

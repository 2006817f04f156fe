"""Runs the notebooks into a report that opens anywhere; a notebook records its figures with `record`.

    from fedet.reports import make_report
    make_report("reports/mine", profile="quick", values=["seed=3"])

Below the report's folder: `report.html` (one file, no network), `notebooks/` (executed), `figures/`,
`results.json` and `parameters.yaml`.
"""

import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.report.execute import IN_REPORT, run
from fedet.report.plan import DONE, Chapter, cell_limit, must_reach, notebook_folder, plan, select, standing
from fedet.report.recorded import collect, record, record_table

__all__ = ["IN_REPORT", "build_page", "make_report", "record", "record_table"]


def make_report(
    out: str | Path,
    profile: str = "quick",
    data: str | Path | None = None,
    values: Iterable[str] = (),
    only: Iterable[str] = (),
    notebooks: str | Path | None = None,
    fresh: bool = False,
    say=partial(print, flush=True),
    cell_minutes: float | None = None,
) -> dict[str, str]:
    """Runs notebooks and writes the report. What is finished and unchanged is not run again.

    The page is written after every notebook, so that a run which is stopped leaves what there was.

    Args:
        out: the report's folder.
        profile: "quick" (minutes) or "standard".
        data: a dataset's folder, for the notebooks with a parameter `data`.
        values: parameters, like "seconds=20"; "00.seconds=20" for one notebook.
        only: numbers or names of notebooks; none: all. Others that are finished stay in the report.
        notebooks: their folder; default: the suite's.
        fresh: run everything again.
        say: is told of every step.
        cell_minutes: how long one cell may run before its notebook is given up and the next one runs;
            0: for ever; None: see `fedet.report.plan.cell_limit`.

    Returns:
        What became of each notebook by name: "done", "kept", or the error in one line.

    Raises:
        InputError: before anything runs, on parameters that are unknown, of another type or of none of
            the notebooks to be run, on notebooks, profile or data that are not there, on a limit below
            0, and if `out` is a file.
    """
    out, values = Path(out), list(values)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    everything = plan(notebook_folder(notebooks), profile, data, values)
    chosen = select(everything, only)
    must_reach(values, chosen, everything)
    limits = {c.name: cell_limit(c, cell_minutes, data is not None) for c in chosen}
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    start, outcome = time.time(), {}
    waiting = [c for c in chosen if fresh or standing(_executed(out, c), c)]
    outcome = {c.name: "kept" for c in chosen if c not in waiting}
    if outcome:
        say(f"kept, for nothing has changed: {', '.join(outcome)}")
    pace = 1.0  # minutes here for an expected minute
    for i, chapter in enumerate(waiting):
        left = pace * sum(c.minutes for c in waiting[i:])
        begin = f"[{i + 1}/{len(waiting)}] {chapter.name}"
        say(f"{begin}: about {told(60 * pace * chapter.minutes)}, {told(60 * left)} in all")
        begun = time.time()
        try:
            error = run(chapter, _executed(out, chapter), limits[chapter.name])
        except KeyboardInterrupt:
            say(f"stopped in {chapter.name}; the same command again keeps what is finished and goes on here")
            raise
        took = time.time() - begun
        outcome[chapter.name] = error or "done"
        say(f"      {'FAILED: ' + error if error else 'done'} after {told(took)}")
        pace = 0.5 * pace + 0.5 * took / 60 / chapter.minutes
        _write(out, everything, outcome, profile, data, time.time() - start)
    if not waiting:
        _write(out, everything, outcome, profile, data, time.time() - start)
    return outcome


def told(seconds: float) -> str:
    """ "40 s" or "3 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _executed(out: Path, chapter: Chapter) -> Path:
    return out / "notebooks" / f"{chapter.name}.ipynb"


# ---------------------------------------------------------------- what is written beside the notebooks


def _write(
    out: Path, everything: list[Chapter], outcome: dict[str, str], profile: str, data, seconds: float
) -> None:
    """Results, parameters and page of what has been run, with the names of what has not."""
    missing = {c.name: standing(_executed(out, c), c) for c in everything if c.name not in outcome}
    missing = {name: why for name, why in missing.items() if why}
    shown = [c for c in everything if c.name not in missing]
    write_results(out, shown, profile, data, seconds, missing)
    build_page(out)


def write_results(
    out: Path, chapters: list[Chapter], profile: str, data, seconds: float, missing: dict[str, str]
) -> None:
    """Writes `results.json` and `parameters.yaml` of the chapters that were executed.

    `missing` names the notebooks of the suite that the report does not show, and why.
    """
    import nbformat
    import yaml

    from fedet.experiments.provenance import provenance

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
    text = {"schema_version": "1", "made": made, "notebooks": results, "missing": missing}
    with atomic_write(out / "results.json") as part:
        Path(part).write_text(json.dumps(text, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    with atomic_write(out / "parameters.yaml") as part:
        shown = {"profile": profile, "notebooks": values}
        Path(part).write_text(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), "utf-8")


def build_page(out: str | Path) -> Path:
    """Writes `report.html` from the executed notebooks, `results.json` and `parameters.yaml`.

    Raises InputError if the folder is no report.
    """
    from fedet.report.page import page

    out = Path(out)
    if not (out / "results.json").is_file():
        raise InputError(f"{out}: no results.json; make the report with `fedet report --out {out}`")
    with atomic_write(out / "report.html") as part:
        Path(part).write_text(page(out), "utf-8")
    return out / "report.html"

"""Runs the notebooks into a report that opens anywhere; a notebook records its figures with `record`.

    from fedet.report import make_report
    make_report("reports/mine", profile="quick", values=["seed=3"])

Below the report's folder: `report.html` (one file, no network), `notebooks/` (executed), `figures/`,
`results.json` and `parameters.yaml`.
"""

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import yaml

from fedet.errors import InputError
from fedet.experiments.provenance import provenance
from fedet.files import atomic_write, named_when_full
from fedet.report.execute import run_notebook
from fedet.report.executed import ExecutedNotebook, read_executed, stale_reason
from fedet.report.page import render_page
from fedet.report.plan import (
    Chapter,
    cell_limit,
    check_values_are_used,
    notebook_folder,
    plan_chapters,
    select,
)


def make_report(
    out: str | Path,
    profile: str = "quick",
    data: str | Path | None = None,
    values: Iterable[str] = (),
    only: Iterable[str] = (),
    notebooks: str | Path | None = None,
    fresh: bool = False,
    say: Callable[[str], object] = partial(print, flush=True),
    cell_minutes: float | None = None,
) -> dict[str, str]:
    """Runs notebooks and writes the report. What is finished and unchanged is not run again.

    The page is written after every notebook, so a stopped run leaves a page of the finished ones.

    Args:
        out: the report's folder.
        profile: "quick" (minutes) or "standard".
        data: a dataset's folder, for the notebooks with a parameter `data`.
        values: parameters, like "seconds=20"; "00.seconds=20" for one notebook.
        only: numbers or names of notebooks; none: all. Others that are finished stay in the report.
        notebooks: their folder; default: the suite's.
        fresh: run everything again.
        say: called with a line of text at every step.
        cell_minutes: how long one cell may run before its notebook is given up and the next one runs;
            0: no limit; None: see `fedet.report.plan.cell_limit`.

    Returns:
        The outcome of each notebook by name: "done", "kept", or the error in one line.

    Raises:
        InputError: before anything runs, on parameters that are unknown, of another type or of none of
            the notebooks to be run, on notebooks, profile or data that do not exist, on a limit below
            0, and if `out` is a file.
    """
    out, values = Path(out), list(values)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    everything = plan_chapters(notebook_folder(notebooks), profile, data, values)
    chosen = select(everything, only)
    check_values_are_used(values, chosen, everything)
    limits = {c.name: cell_limit(c, cell_minutes, data is not None) for c in chosen}
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    report = _Report(out, everything, {"profile": profile, "data": Path(data).name if data else "generated"})
    waiting = [c for c in chosen if fresh or c.name in report.missing]
    outcome = {c.name: "kept" for c in chosen if c not in waiting}
    if outcome:
        say(f"kept, because nothing has changed: {', '.join(outcome)}")
    pace = 1.0  # minutes here for an expected minute
    for i, chapter in enumerate(waiting):
        left = pace * sum(c.minutes for c in waiting[i:])
        step = f"[{i + 1}/{len(waiting)}] {chapter.name}"
        say(f"{step}: about {duration_text(60 * pace * chapter.minutes)}, {duration_text(60 * left)} in all")
        start = time.time()
        try:
            with named_when_full(executed_path(out, chapter)):
                error = run_notebook(chapter, executed_path(out, chapter), limits[chapter.name])
        except KeyboardInterrupt:
            say(f"stopped in {chapter.name}; the same command resumes here and keeps what is finished")
            raise
        took = time.time() - start
        outcome[chapter.name] = error or "done"
        say(f"      {'FAILED: ' + error if error else 'done'} after {duration_text(took)}")
        pace = 0.5 * pace + 0.5 * took / 60 / chapter.minutes
        report.add(chapter)
        report.write()
        if i == 0:
            say(f"      Look at {out / 'report.html'} now; it grows with every notebook")
    if not waiting:
        report.write()
    return outcome


def duration_text(seconds: float) -> str:
    """ "40 s" or "3 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def executed_path(out: Path, chapter: Chapter) -> Path:
    return out / "notebooks" / f"{chapter.name}.ipynb"


class _Report:
    """The executed notebooks of a folder, each read once, and what is written from them."""

    def __init__(self, out: Path, chapters: list[Chapter], facts: dict) -> None:
        self.out, self.chapters, self.facts, self.start = out, chapters, facts, time.time()
        self.executed: dict[str, ExecutedNotebook] = {}
        self.missing: dict[str, str] = {}  # notebooks of the suite that are not shown, and why
        for chapter in chapters:
            try:
                self.add(chapter)
                reason = stale_reason(self.executed[chapter.name], chapter)
            except FileNotFoundError:
                reason = "not run yet"
            except InputError:
                reason = "cut off while it was written"
            if reason:
                self.executed.pop(chapter.name, None)
                self.missing[chapter.name] = reason

    def add(self, chapter: Chapter) -> None:
        path = executed_path(self.out, chapter)
        self.executed[chapter.name] = read_executed(path, chapter.all_values())
        self.missing.pop(chapter.name, None)

    def write(self) -> None:
        """Writes `results.json`, `parameters.yaml` and `report.html`."""
        shown = [self.executed[c.name] for c in self.chapters if c.name in self.executed]
        origin = provenance() | self.facts
        origin["notebooks_s"] = round(sum(executed.note["seconds"] for executed in shown), 1)
        origin["this_run_s"] = round(time.time() - self.start, 1)
        results = {"schema_version": "1", "made": origin, "notebooks": {e.name: _results(e) for e in shown}}
        text = json.dumps(results | {"missing": self.missing}, indent=2, allow_nan=False, ensure_ascii=False)
        _write_text(self.out / "results.json", text + "\n")
        values = {"profile": self.facts["profile"], "notebooks": {e.name: e.values for e in shown}}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        _write_text(self.out / "parameters.yaml", text)
        _write_text(self.out / "report.html", render_page(shown, origin, self.missing))


def _results(executed: ExecutedNotebook) -> dict:
    note = executed.note
    entries = [{k: v for k, v in entry.items() if k != "html"} for entry in executed.entries]
    facts = {key: note[key] for key in ("complete", "error", "seconds")}
    return facts | {"results": entries}


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as draft:
        draft.write_text(text, "utf-8")


def build_page(out: str | Path) -> Path:
    """Writes `report.html` anew from the executed notebooks, `results.json` and `parameters.yaml`.

    Raises InputError if the folder is no report.
    """
    out = Path(out)
    if not (out / "results.json").is_file():
        raise InputError(f"{out}: no results.json; make the report with `fedet report --out {out}`")
    results = json.loads((out / "results.json").read_text("utf-8"))
    values = yaml.safe_load((out / "parameters.yaml").read_text("utf-8"))["notebooks"]
    paths = {name: out / "notebooks" / f"{name}.ipynb" for name in results["notebooks"]}
    executed = [read_executed(path, values[name]) for name, path in paths.items()]
    _write_text(out / "report.html", render_page(executed, results["made"], results.get("missing", {})))
    return out / "report.html"

"""An executed notebook of a report, read once from its file."""

import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from fedet.report.parameters import Parameter, parameters_of
from fedet.report.plan import RUN_NOTE, Chapter, read_notebook
from fedet.report.recorded import collect

SOURCES = ("data", "video", "videos")  # parameters that name a user's own data
GENERATED = "generated faces"


@dataclass(frozen=True, eq=False)
class ExecutedNotebook:
    """A notebook with its outputs, as the page shows it."""

    name: str
    content: NotebookNode
    values: dict  # of the parameters, by name
    parameters: dict[str, Parameter]
    entries: list[dict]  # recorded figures and tables

    def translated(self, key: str):
        """What its metadata have in the language of the run, like `titles: {"ja": ...}`; "" if nothing.

        `titles` and `questions` are texts; `headings` maps the notebook's headings to translated ones.
        """
        return self.options.get(key, {}).get(self.values.get("language"), "")

    @property
    def title(self) -> str:
        first = next((c.source for c in self.content.cells if c.cell_type == "markdown"), "")
        match = re.search(r"^# (.+)$", first, re.M)
        return self.translated("titles") or (match.group(1) if match else self.name)

    @property
    def question(self) -> str:
        text = "\n".join(c.source for c in self.content.cells if c.cell_type == "markdown")
        match = re.search(r"\*\*Question\.\*\*\s*(.+)", text)
        return self.translated("questions") or (match.group(1) if match else "")

    @property
    def note(self) -> dict:
        """What the runner noted: complete, fingerprint, error, seconds."""
        return self.content.metadata.get(RUN_NOTE, {})

    @property
    def options(self) -> dict:
        """Its own metadata for the report, like `first_page` and `print`."""
        return self.content.metadata.get("fedet", {})

    @property
    def first_page(self) -> dict:
        """What of it the first page shows: `found` and `sure` (names of figures), `next` (a sentence), and
        `people` (the parameter that counts generated people)."""
        return self.options.get("first_page", {})

    @property
    def source(self) -> str:
        """Name of the data shown."""
        named = [str(self.values[key]) for key in SOURCES if self.values.get(key)]
        return Path(named[0]).name if named else GENERATED


def read_executed(path: Path, values: dict) -> ExecutedNotebook:
    """Reads the executed notebook at `path`.

    Args:
        values: the parameters that it was run with, by name.

    Raises:
        InputError: the file holds no notebook.
        FileNotFoundError: there is no file.
    """
    notebook = read_notebook(path)
    known = parameters_of(notebook, path.stem)
    return ExecutedNotebook(path.stem, notebook, values, known, collect(notebook))


def stale_reason(executed: ExecutedNotebook, chapter: Chapter) -> str:
    """Why an executed notebook does not count as the chapter's result; "" if it does."""
    if not executed.note.get("complete"):
        return "failed when it was last run"
    same = executed.note.get("fingerprint") == chapter.fingerprint
    return "" if same else "run with other parameters, cells or package"

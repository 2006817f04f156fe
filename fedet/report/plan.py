"""What a report will run: which notebooks, with which parameters, and about how long."""

import difflib
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fedet.errors import InputError
from fedet.report.parameters import Parameter, assign, checked, parameters_of, split, unknown

PROFILES = ("quick", "standard")
MINUTES = 2.0  # of a notebook that does not say
DONE = "fedet_report"  # key in the metadata of an executed notebook


@dataclass(frozen=True, eq=False)
class Chapter:
    """One notebook of a report and the values it gets."""

    path: Path
    parameters: dict[str, Parameter]
    values: dict  # what differs from the defaults
    minutes: float  # expected
    fingerprint: str  # of notebook, values and package: a finished chapter of the same one is kept

    @property
    def name(self) -> str:
        return self.path.stem

    def all_values(self) -> dict:
        return {name: p.default for name, p in self.parameters.items()} | self.values


def notebook_folder(given: str | Path | None = None) -> Path:
    """The folder of the notebooks: the one given, ./notebooks, or the one beside the package."""
    places = [Path(given)] if given else [Path("notebooks"), Path(__file__).parents[2] / "notebooks"]
    for place in places:
        if any(place.glob("[0-9][0-9]_*.ipynb")):
            return place.resolve()
    raise InputError(f"no notebooks like 00_quickstart.ipynb in {' or '.join(map(str, places))}")


def plan(
    folder: Path, profile: str = "quick", data: str | Path | None = None, values: Iterable[str] = ()
) -> list[Chapter]:
    """The chapters in the order of their numbers, all parameters checked.

    A notebook's metadata may say `fedet: {"quick": {parameter: value}, "standard": {...},
    "minutes": {"quick": 1.5}}`; without, its defaults serve. Values given by the user win.

    Args:
        folder: of the notebooks.
        profile: of PROFILES.
        data: passed to every notebook with a parameter `data`.
        values: texts like "seconds=20" or, for one notebook, "00.seconds=20".

    Raises:
        InputError: see `fedet.report.parameters.assign`; or no such profile or data, or a file is no
        notebook.
    """
    if profile not in PROFILES:
        raise InputError(f"--profile {profile!r}: choose {' or '.join(PROFILES)}")
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    notebooks = {path.stem: read_notebook(path) for path in paths}
    known = {name: parameters_of(nb, name) for name, nb in notebooks.items()}
    given = assign(split(values), known)
    source = _data_of(data, known)
    package = package_fingerprint()
    chapters = []
    for path in paths:
        name, notebook = path.stem, notebooks[path.stem]
        chosen = _profile_values(notebook, name, known[name], profile)
        chosen |= {"data": source} if source and "data" in known[name] else {}
        chosen |= given[name]
        minutes = _told(notebook, name, "minutes").get(profile, MINUTES)
        if not isinstance(minutes, int | float) or not minutes > 0:
            raise InputError(f"{name}: its metadata say fedet.minutes.{profile}={minutes!r}; give a number")
        mark = _fingerprint(notebook, chosen, package)
        chapters.append(Chapter(path, known[name], chosen, float(minutes), mark))
    return chapters


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, in version 4.

    Raises:
        InputError: The file holds something else.
        FileNotFoundError: There is none.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        whole = all("source" in cell and "metadata" in cell for cell in notebook.cells)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, nbformat.ValidationError) as error:
        problem = " ".join(str(error).split())[:150]
        raise InputError(f"{path}: not a notebook ({problem}); restore it, or move it away") from error
    if not whole:
        raise InputError(f"{path}: not a notebook (a cell without source); restore it, or move it away")
    return notebook


def _told(notebook, name: str, key: str) -> dict:
    """What a notebook's metadata say for fedet under a key."""
    told = notebook.metadata.get("fedet", {})
    part = told.get(key, {}) if isinstance(told, dict) else told
    if not isinstance(part, dict):
        raise InputError(f"{name}: its metadata fedet.{key} are {part!r:.60}; an object is needed")
    return part


def _data_of(data, known) -> str | None:
    if data is None:
        return None
    if not Path(data).exists():
        raise InputError(f"--data {data}: no such folder")
    if not any("data" in parameters for parameters in known.values()):
        raise InputError(f"--data {data}: no notebook has a parameter 'data'")
    return str(Path(data).resolve())


def _profile_values(notebook, name: str, known: dict[str, Parameter], profile: str) -> dict:
    chosen = {}
    for key, value in _told(notebook, name, profile).items():
        if key not in known:
            raise InputError(f"{name}, profile {profile}: {unknown(key, {name: known})}")
        chosen[key] = checked(value, known[key], f"{name}, profile {profile}")
    return chosen


def select(chapters: list[Chapter], only: Iterable[str] = ()) -> list[Chapter]:
    """The chapters named by number or name, e.g. "01", "1" or "01_explore_data"; all if none is named.

    Raises InputError on a name that is none of theirs.
    """
    wanted = [part.strip() for text in only for part in text.split(",") if part.strip()]
    chosen = set()
    for part in wanted:
        found = [c.name for c in chapters if part in (c.name, _number(c)) or part.zfill(2) == _number(c)]
        if not found:
            names = ", ".join(c.name for c in chapters)
            near = difflib.get_close_matches(part, [c.name for c in chapters], 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {names}"
            raise InputError(f"--only {part}: no such notebook; {hint}")
        chosen.update(found)
    return [c for c in chapters if not wanted or c.name in chosen]


def _number(chapter: Chapter) -> str:
    return chapter.name.split("_")[0]


def must_reach(values: Iterable[str], chosen: list[Chapter], everything: list[Chapter]) -> None:
    """Raises InputError on a value that none of the notebooks to be run takes, though others would."""
    for key, value in split(values).items():
        which, _, name = key.rpartition(".")
        takers = [c for c in everything if name in c.parameters and which in ("", c.name, _number(c))]
        if not set(takers) & set(chosen):
            names = ", ".join(c.name for c in takers)
            raise InputError(f"-p {key}={value}: no notebook of --only takes it, but {names}")


def cell_limit(chapter: Chapter, minutes: float | None, own_data: bool = False) -> int | None:
    """Seconds that one cell of a notebook may run; None: for ever.

    Args:
        chapter: the notebook.
        minutes: as the user wants it; 0: for ever; None: ten times what the whole notebook is expected
            to take and 30 at least, or a day and more where the data are the user's own.
        own_data: whether they are.

    Raises:
        InputError: minutes below 0.
    """
    if minutes is None:
        minutes = max(24 * 60 if own_data else 30, 10 * chapter.minutes)
    if not minutes >= 0:
        raise InputError(f"--cell-minutes {minutes}: give minutes, or 0 for no limit")
    return max(1, math.ceil(60 * minutes)) if minutes and math.isfinite(minutes) else None


def _fingerprint(notebook, values: dict, package: str) -> str:
    sources = [cell.source for cell in notebook.cells]
    text = json.dumps([sources, values, package], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def package_fingerprint() -> str:
    """A digest of the package's files, weights included: results of other code are not mixed in."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".json", ".safetensors", ".js"):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def standing(path: Path, chapter: Chapter) -> str:
    """Why the executed notebook cannot be shown as it is; "" if it is complete, of this code and values."""
    try:
        note = read_notebook(path).metadata.get(DONE, {})
    except FileNotFoundError:
        return "not run yet"
    except InputError:
        return "cut off while it was written"
    if not note.get("complete"):
        return "failed when it was last run"
    same = note.get("fingerprint") == chapter.fingerprint
    return "" if same else "run with other parameters, cells or package"

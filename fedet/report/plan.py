"""What a report will run: which notebooks, with which parameters, and about how long."""

import difflib
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.report.parameters import (
    Parameter,
    assign,
    check_value,
    parameters_of,
    split_assignments,
    unknown_parameter,
)

PROFILES = ("quick", "standard")
MINUTES = 2.0  # of a notebook that does not say
INSTALLED = Path(__file__).parents[1] / "notebooks"  # in a package that was built and installed
RUN_NOTE = "fedet_report"  # key in the metadata of an executed notebook


@dataclass(frozen=True, eq=False)
class Chapter:
    """One notebook of a report and the values it gets."""

    path: Path
    parameters: dict[str, Parameter]
    values: dict  # what differs from the defaults
    minutes: float  # expected
    fingerprint: str  # of notebook, values and package: a finished chapter with the same one is not run again

    @property
    def name(self) -> str:
        return self.path.stem

    def all_values(self) -> dict:
        return {name: p.default for name, p in self.parameters.items()} | self.values


def notebook_folder(folder: str | Path | None = None) -> Path:
    """The folder of the notebooks: the one given, else ./notebooks, else that of the repository or of the
    installed package."""
    usual = [Path("notebooks"), Path(__file__).parents[2] / "notebooks", INSTALLED]
    candidates = [Path(folder)] if folder else usual
    for candidate in candidates:
        if any(candidate.glob("[0-9][0-9]_*.ipynb")):
            return candidate.resolve()
    raise InputError(f"no notebooks like 00_quickstart.ipynb in {' or '.join(map(str, candidates))}")


def plan_chapters(
    folder: Path, profile: str = "quick", data: str | Path | None = None, values: Iterable[str] = ()
) -> list[Chapter]:
    """The chapters in the order of their numbers, all parameters checked.

    A notebook's metadata may say `fedet: {"quick": {parameter: value}, "standard": {...},
    "minutes": {"quick": 1.5}}`; without, its defaults are used. Values given by the user win.

    Args:
        folder: of the notebooks.
        profile: of PROFILES.
        data: a dataset; passed to every notebook with a parameter `data`. Those with `video` or `videos` look
            at its first video with events, or at the folder of all, where these are video files.
        values: texts like "seconds=20" or, for one notebook, "00.seconds=20".

    Raises:
        InputError: see `fedet.report.parameters.assign`; or no such profile or data, or a file is no
        notebook.
    """
    if profile not in PROFILES:
        raise InputError(f"--profile {profile!r}: choose {' or '.join(PROFILES)}")
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    notebooks = {path.stem: read_notebook(path) for path in paths}
    known = {name: parameters_of(notebook, name) for name, notebook in notebooks.items()}
    assigned = assign(split_assignments(values), known)
    own = _own_data(data, known)
    package = package_fingerprint()
    chapters = []
    for path in paths:
        name, notebook = path.stem, notebooks[path.stem]
        chosen = _profile_values(notebook, name, known[name], profile)
        chosen |= {key: value for key, value in own.items() if key in known[name]}
        chosen |= assigned[name]
        minutes = _metadata(notebook, name, "minutes").get(profile, MINUTES)
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
        complete = all("source" in cell and "metadata" in cell for cell in notebook.cells)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, nbformat.ValidationError) as error:
        problem = " ".join(str(error).split())[:150]
        raise InputError(f"{path}: not a notebook ({problem}); restore it, or move it away") from error
    if not complete:
        raise InputError(f"{path}: not a notebook (a cell without source); restore it, or move it away")
    return notebook


def _metadata(notebook: nbformat.NotebookNode, name: str, key: str) -> dict:
    """The object under a key of a notebook's metadata for fedet."""
    metadata = notebook.metadata.get("fedet", {})
    value = metadata.get(key, {}) if isinstance(metadata, dict) else metadata
    if not isinstance(value, dict):
        raise InputError(f"{name}: its metadata fedet.{key} are {value!r:.60}; an object is needed")
    return value


def _own_data(data: str | Path | None, known: dict[str, dict[str, Parameter]]) -> dict[str, str]:
    """The parameters that show a dataset: `data`, and `video` and `videos` where it has video files."""
    if data is None:
        return {}
    if not Path(data).exists():
        raise InputError(f"--data {data}: no such folder")
    if not any("data" in parameters for parameters in known.values()):
        raise InputError(f"--data {data}: no notebook has a parameter 'data'")
    own = {"data": str(Path(data).resolve())}
    dataset = read_dataset(data)
    paths = [Path(path).resolve() for path in dataset.videos["path"].dropna()]
    if not paths or not all(path.is_file() for path in paths):
        return own  # folders of images have no rate of their own
    busy = dataset.videos["video"].isin(set(dataset.annotations["video"]))
    first = dataset.videos[busy & dataset.videos["path"].notna()]["path"]
    own["video"] = str(Path(first.iloc[0]).resolve() if len(first) else paths[0])
    folders = {path.parent for path in paths}
    return own | ({"videos": str(folders.pop())} if len(folders) == 1 else {})


def _profile_values(
    notebook: nbformat.NotebookNode, name: str, known: dict[str, Parameter], profile: str
) -> dict:
    chosen = {}
    for key, value in _metadata(notebook, name, profile).items():
        if key not in known:
            raise InputError(f"{name}, profile {profile}: {unknown_parameter(key, {name: known})}")
        chosen[key] = check_value(value, known[key], f"{name}, profile {profile}")
    return chosen


def select(chapters: list[Chapter], only: Iterable[str] = ()) -> list[Chapter]:
    """The chapters named by number or name, e.g. "01", "1" or "01_explore_data"; all if none is named.

    Raises InputError on a name that is none of theirs.
    """
    wanted = [word.strip() for text in only for word in text.split(",") if word.strip()]
    chosen = set()
    for word in wanted:
        matching = [c.name for c in chapters if word in (c.name, _number(c)) or word.zfill(2) == _number(c)]
        if not matching:
            names = ", ".join(c.name for c in chapters)
            near = difflib.get_close_matches(word, [c.name for c in chapters], 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {names}"
            raise InputError(f"--only {word}: no such notebook; {hint}")
        chosen.update(matching)
    return [c for c in chapters if not wanted or c.name in chosen]


def _number(chapter: Chapter) -> str:
    return chapter.name.split("_")[0]


def check_values_are_used(values: Iterable[str], chosen: list[Chapter], everything: list[Chapter]) -> None:
    """Raises InputError on a value that none of the notebooks to be run takes, though others would."""
    for key, value in split_assignments(values).items():
        number, _, name = key.rpartition(".")
        takers = [c for c in everything if name in c.parameters and number in ("", c.name, _number(c))]
        if not set(takers) & set(chosen):
            names = ", ".join(c.name for c in takers)
            raise InputError(f"-p {key}={value}: no notebook of --only takes it, but {names}")


def cell_limit(chapter: Chapter, minutes: float | None, own_data: bool = False) -> int | None:
    """Seconds that one cell of a notebook may run; None: no limit.

    Args:
        chapter: the notebook.
        minutes: the user's limit; 0: no limit; None: ten times what the whole notebook is expected to take
            and 30 at least, or a day and more with the user's own data.
        own_data: whether the data are the user's.

    Raises:
        InputError: minutes below 0.
    """
    if minutes is None:
        minutes = max(24 * 60 if own_data else 30, 10 * chapter.minutes)
    if not minutes >= 0:
        raise InputError(f"--cell-minutes {minutes}: give minutes, or 0 for no limit")
    return max(1, math.ceil(60 * minutes)) if minutes and math.isfinite(minutes) else None


def _fingerprint(notebook: nbformat.NotebookNode, values: dict, package: str) -> str:
    sources = [cell.source for cell in notebook.cells]
    text = json.dumps([sources, values, package], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def package_fingerprint() -> str:
    """A digest of the package's files, weights included: results of other code do not count."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".json", ".safetensors", ".js"):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

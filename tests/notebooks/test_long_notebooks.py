"""Notebooks that train for minutes run from end to end on few people; nbval runs the others as they are."""

import nbformat
import pytest
from test_notebooks import NOTEBOOKS, ROOT

from fedet.experiments.study import open_study
from fedet.report.execute import run_notebook
from fedet.report.parameters import parameters_of
from fedet.report.plan import Chapter
from fedet.report.recorded import collect

STUDY = {"subjects": 6, "seconds": 10.0, "folds": "2", "epochs": 1, "n_resamples": 50, "jobs": 1}
SMALL = {
    "02_train_and_evaluate": STUDY,
    "03_ablations": STUDY | {"seeds": 1},
    "06_check_protocol": STUDY,
    "08_learn_from_corrections": {
        "minutes": "0.3,0.6", "people": 2, "left_out": 2, "size": 64, "epochs": 2, "folds": 2,
        "n_resamples": 50
    },
    "10_stress_and_explain": {
        "people": 6, "seconds": 4.0, "stressed": 1, "levels": 1, "talkers": 2, "epochs": 1, "n_resamples": 50,
        "jobs": 1
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def study(once):
    """The generated set and the vectors that the notebooks of STUDY would make, each for itself."""
    generated = {name: STUDY[name] for name in ("subjects", "seconds")}
    return once("study", lambda folder: open_study(folder=folder, generated=generated, progress=False))


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem in SMALL], ids=lambda p: p.stem)
def test_it_runs_on_few_people_and_hands_over_the_figures_that_are_stored(path, study, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    if STUDY.items() <= SMALL[path.stem].items():
        for shared in study.iterdir():  # linked, so that each notebook has finished folds of its own
            (folder / shared.name).symlink_to(shared)
    values = SMALL[path.stem] | {"folder": str(folder)}
    known = parameters_of(nbformat.read(path, as_version=4), path.name)
    chapter = Chapter(path, known, {k: v for k, v in values.items() if k in known}, 1.0, "")
    out = tmp_path / "notebooks" / path.name
    out.parent.mkdir()
    assert run_notebook(chapter, out) is None
    made, stored = (collect(nbformat.read(p, as_version=4)) for p in (out, path))
    assert [e["name"] for e in made] == [e["name"] for e in stored]


def test_every_notebook_is_run_by_the_tests_in_one_of_both_ways():
    told = (ROOT / "Makefile").read_text().split("LONG := ")[1].splitlines()[0].split()
    assert told == sorted(name[:2] for name in SMALL)

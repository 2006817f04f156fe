"""Reports: parameters refused, runs resumed, early exits told, and pages that load nothing."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from command import fedet
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fedet.errors import InputError
from fedet.evaluation.tables import short_number
from fedet.report import plan as report_plan
from fedet.report.execute import _remove_local_paths
from fedet.report.images import shrink, thumbnail
from fedet.report.make import build_page, make_report
from fedet.report.markdown import external_references, final_text, mathml, remove_external, render_markdown
from fedet.report.parameters import assign, check_value, parameters_of, split_assignments
from fedet.report.plan import cell_limit, plan_chapters, select
from fedet.report.recorded import MIME, collect, figure_text
from fedet.video.writer import write_video

PARAMETERS = 'seed: int = 1  # of all\nfolder: str = ""  # where\nrate: float = 2.0  # a rate'
HOSTILE = "<script src='https://example.org/x.js'></script><img src=\"//example.org/a.png\">"


def notebook(*cells, parameters=PARAMETERS, **metadata):
    """A notebook with a title, parameters and code cells."""
    code = [nbformat.v4.new_code_cell(source) for source in cells]
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    title = nbformat.v4.new_markdown_cell("# A title\n\n**Question.** What is $x_1^2$?")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}} | metadata
    return nbformat.v4.new_notebook(cells=[title, tagged, *code], metadata=metadata)


def suite(folder, **notebooks):
    """Writes notebooks below `folder`; the names begin with n and their number."""
    folder.mkdir(exist_ok=True)
    for name, content in notebooks.items():
        nbformat.write(content, folder / f"{name.removeprefix('n')}.ipynb")
    return folder


# ---------------------------------------------------------------- parameters


def test_parameters_are_read_with_type_default_and_comment():
    known = parameters_of(notebook(), "a")
    assert [(p.name, p.type, p.default, p.comment) for p in known.values()] == [
        ("seed", "int", 1, "of all"), ("folder", "str", "", "where"), ("rate", "float", 2.0, "a rate"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sede=3", "did you mean 'seed'"),
        ("seed=x", "seed='x' is not an int"),
        ("seed=2.5", "not an int"),
        ("rate=fast", "not a float"),
        ("07.seed=3", "no notebook '07'"),
        ("00.sede=3", "00_a has no parameter 'sede'; did you mean 'seed'"),
        ("00.size=3", "00_a has no parameter 'size', but 01_b has"),
        ("seed", "not like seconds=20"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, text, told):
    folder = suite(tmp_path / "n", n00_a=notebook("1"), n01_b=notebook(parameters="size: int = 1  # s"))
    with pytest.raises(InputError, match=re.escape(told)):
        make_report(tmp_path / "out", values=[text], notebooks=folder)
    assert not (tmp_path / "out").exists()


def test_a_value_goes_to_every_notebook_that_has_it_or_to_the_one_named():
    known = {"00_a": parameters_of(notebook(), "a"), "01_b": parameters_of(notebook(), "b")}
    chosen = assign(split_assignments(["01.seed=5", "seed=4", "rate=3"]), known)
    assert chosen == {"00_a": {"seed": 4, "rate": 3.0}, "01_b": {"seed": 5, "rate": 3.0}}


def test_a_path_from_here_still_means_the_same_in_the_folder_of_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    chosen = assign({"folder": "mine"}, {"00_a": parameters_of(notebook(), "a")})
    assert chosen["00_a"]["folder"] == str((tmp_path / "mine").resolve())


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.text(max_size=5)))
def test_a_checked_value_has_the_type_of_its_parameter_or_is_refused(value):
    for parameter in parameters_of(notebook(), "a").values():
        try:
            found = check_value(value, parameter, "here")
        except InputError:
            continue
        assert type(found).__name__ == parameter.type


def dataset(folder, films=("a", "b"), labels="b,3,9,positive\n"):
    """A set of one's own: grey videos of a second, and labels."""
    for name in films:
        write_video(folder / "videos" / f"{name}.mp4", [np.full((32, 32, 3), 99, np.uint8)] * 25, 25)
    (folder / "annotations.csv").write_text("video,onset,offset,emotion\n" + labels)
    return folder


def test_profiles_and_data_reach_the_notebooks_that_know_them(tmp_path):
    (tmp_path / "set" / "videos").mkdir(parents=True)
    data = dataset(tmp_path / "set").resolve()
    own = notebook(parameters='data: str = ""  # set\nseed: int = 1  # s',
                   fedet={"quick": {"seed": 9}, "minutes": {"quick": 0.5}})  # fmt: skip
    folder = suite(tmp_path / "n", n00_a=notebook(), n01_b=own)
    first, second = plan_chapters(folder, "quick", data=data)
    assert first.values == {} and first.all_values()["seed"] == 1
    assert second.values == {"seed": 9, "data": str(data)} and second.minutes == 0.5
    assert plan_chapters(folder, "standard")[1].values == {}
    assert plan_chapters(folder, "quick", values=["seed=2"])[1].values == {"seed": 2}
    for text in ("01", "1", "01_b"):
        assert [c.name for c in select(plan_chapters(folder), [text])] == ["01_b"]
    assert [c.name for c in select(plan_chapters(folder), ["1", "0"])] == ["00_a", "01_b"]
    for wrong in ({"profile": "fast"}, {"data": tmp_path / "none"}):
        with pytest.raises(InputError):
            plan_chapters(folder, **wrong)
    with pytest.raises(InputError, match="there are 00_a, 01_b"):
        select(plan_chapters(folder), ["7"])
    with pytest.raises(InputError, match="did you mean 01_b"):
        select(plan_chapters(folder), ["01_bb"])


def test_notebooks_that_show_a_video_show_one_of_the_data(tmp_path):
    parameters = 'data: str = ""  # set\nvideo: str = ""  # one\nvideos: str = ""  # all'
    folder = suite(tmp_path / "n", n00_a=notebook(parameters=parameters))
    (tmp_path / "set" / "videos").mkdir(parents=True)
    data = dataset(tmp_path / "set").resolve()
    values = plan_chapters(folder, data=data)[0].values
    assert values == {"data": str(data), "video": str(data / "videos/b.mp4"), "videos": str(data / "videos")}
    assert plan_chapters(folder, data=data, values=["video=x"])[0].values["video"] == "x"
    for film in (data / "videos").iterdir():
        film.unlink()
    (data / "annotations.csv").write_text("video,onset,offset,emotion,fps\nb,3,9,positive,25\n")
    assert set(plan_chapters(folder, data=data)[0].values) == {"data"}


def test_a_value_that_reaches_no_notebook_to_be_run_is_refused(tmp_path):
    folder = suite(tmp_path / "n", n00_a=notebook(), n01_b=notebook(parameters="size: int = 1  # s"))
    with pytest.raises(InputError, match="no notebook of --only takes it, but 01_b"):
        make_report(tmp_path / "out", values=["size=3"], only=["00"], notebooks=folder)
    assert not (tmp_path / "out").exists()


def test_the_time_of_a_cell_is_limited_unless_it_is_wished_otherwise(tmp_path):
    slow = notebook(fedet={"minutes": {"quick": 40.0}})
    first, second = plan_chapters(suite(tmp_path / "n", n00_a=notebook(), n01_b=slow))
    assert [cell_limit(c, None) for c in (first, second)] == [1800, 24000]
    assert cell_limit(first, None, own_data=True) == 86400  # nobody knows how much there is
    assert cell_limit(first, 0) is None and cell_limit(first, 0.5) == 30
    for wrong in (-1, float("nan")):
        with pytest.raises(InputError, match="0 for no limit"):
            cell_limit(first, wrong)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "{}", "[1]", '"text"', "\xff\xfe", '{"nbformat": 99, "cells": []}',
        '{"nbformat": 4, "cells": 3}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "raw"}]}',
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_no_notebook_is_named_before_anything_runs(tmp_path, content):
    folder = suite(tmp_path / "nb", n01_a=notebook("pass"))
    (folder / "02_b.ipynb").write_text(content, "latin-1")
    with pytest.raises(InputError, match="02_b.ipynb: not a notebook .*; restore it, or move it away"):
        make_report(tmp_path / "out", notebooks=folder)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("parameters", "metadata", "told"),
    [
        ("seed: int =", {}, "01_a: the cell of parameters is not Python"),
        ("seed: int", {}, "'seed: int' among the parameters is not a line like"),
        ("a.b = 3", {}, "'a.b = 3' among the parameters is not a line like"),
        ("seed = -'x'", {}, "a parameter is"),
        (PARAMETERS, {"fedet": 3}, "01_a: its metadata fedet.quick are 3"),
        (PARAMETERS, {"fedet": {"minutes": {"quick": "two"}}}, "fedet.minutes.quick='two'; give a number"),
    ],
)
def test_a_notebook_whose_parameters_cannot_be_read_is_refused(tmp_path, parameters, metadata, told):
    folder = suite(tmp_path / "nb", n01_a=notebook("pass", parameters=parameters, **metadata))
    with pytest.raises(InputError, match=told):
        plan_chapters(folder)


def test_a_misspelt_parameter_of_a_profile_is_refused(tmp_path):
    folder = suite(tmp_path / "n", n00_a=notebook(fedet={"quick": {"sead": 1}}))
    with pytest.raises(InputError, match="did you mean 'seed'"):
        plan_chapters(folder, "quick")


# ---------------------------------------------------------------- runs

CODE = """import matplotlib.pyplot as plt
from fedet.report import record, record_table
import pandas as pd
record("f1", 0.51, (0.4, 0.62), label="Spotting F1")
record("undefined", float("nan"))
record_table("rivals", pd.DataFrame({"f1": [0.5, None]}, index=["ours", "flow"]))"""
FIGURE = "plt.plot([1, 2]);"
FOREIGN = f"from IPython.display import HTML\nHTML({HOSTILE + '<b>kept</b>'!r})"


@pytest.fixture(scope="module", autouse=True)
def same_package():
    """Nobody's edits of the package come between two runs of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_plan, "package_fingerprint", lambda: "same")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of three notebooks: one that works, one that fails, one that stops early."""
    folder = tmp_path_factory.mktemp("report")
    notebooks = suite(
        folder / "n",
        n00_works=notebook(CODE, FIGURE, FOREIGN, "print(seed, rate)"),
        n01_fails=notebook("print('before')", "raise ValueError('no <b>luck</b>')", "print('after')"),
        n02_stops=notebook("import sys; sys.exit(0)", "print('never')"),
    )
    said = []
    outcome = make_report(folder / "out", values=["00.seed=7"], notebooks=notebooks, say=said.append)
    return folder, outcome, said


def test_a_failure_is_told_and_the_rest_is_run(made):
    folder, outcome, said = made
    assert outcome["00_works"] == "done"
    assert outcome["01_fails"] == "ValueError: no <b>luck</b>"
    assert "stopped before its last cell" in outcome["02_stops"]  # papermill takes this for success
    assert any("[1/3] 00_works: about" in line and "in all" in line for line in said)
    looks = [i for i, line in enumerate(said) if str(folder / "out" / "report.html") in line]
    assert looks == [2], "the place of the page is printed after the first notebook, once"
    page = (folder / "out" / "report.html").read_text("utf-8")
    assert "2 notebooks did not finish" in page and "no &lt;b&gt;luck&lt;/b&gt;" in page
    results = json.loads((folder / "out" / "results.json").read_text("utf-8"))["notebooks"]
    assert [r["complete"] for r in results.values()] == [True, False, False]


def test_a_cell_without_end_and_a_dead_kernel_are_told_and_the_rest_is_run(tmp_path):
    endless = "# for ever\nimport time\nwhile True: time.sleep(0.1)"
    folder = suite(
        tmp_path / "n",
        n00_hangs=notebook("print('before')", endless, "print('after')"),
        n01_dies=notebook("import os; os._exit(3)"),
        n02_works=notebook("print(seed)"),
    )
    out = tmp_path / "out"
    outcome = make_report(out, notebooks=folder, cell_minutes=0.05, say=lambda _: None)
    assert outcome["02_works"] == "done" and "DeadKernelError" in outcome["01_dies"]
    told = "cell 4 ('while True: time.sleep(0.1)') ran longer than the 0.05 min allowed"
    assert told in outcome["00_hangs"] and "--cell-minutes" in outcome["00_hangs"]
    page = (out / "report.html").read_text("utf-8")
    assert "2 notebooks did not finish" in page
    assert page.count("--cell-minutes sets another limit") == 3  # overview, banner, and the cell itself
    cells = nbformat.read(out / "notebooks" / "00_hangs.ipynb", as_version=4).cells
    assert cells[2].outputs[0].text == "before\n" and cells[4].outputs == []


def test_the_page_stands_after_every_notebook_and_names_what_is_not_there(tmp_path):
    folder = suite(tmp_path / "n", n00_a=notebook("1"), n01_b=notebook("2"))
    out, pages = tmp_path / "out", []

    def say(line):
        if (out / "report.html").is_file():
            pages.append((out / "report.html").read_text("utf-8"))

    options = {"notebooks": folder, "say": say}
    make_report(out, **options)
    assert '<p class="omitted"><strong>Not in this report:</strong> 01_b (not run yet)' in pages[0]
    assert 'id="c-00_a"' in pages[0]
    page = (out / "report.html").read_text("utf-8")
    assert "Not in this report" not in page
    make_report(out, only=["1"], values=["seed=2"], **options)
    page = (out / "report.html").read_text("utf-8")
    assert '<p class="caution"><strong>Not in this report:</strong>' in page
    assert "00_a (run with other parameters, cells or package)" in page and 'id="c-00_a"' not in page


def test_what_is_written_is_complete(made):
    out = made[0] / "out"
    entries = json.loads((out / "results.json").read_text("utf-8"))["notebooks"]["00_works"]["results"]
    by_name = {e["name"]: e for e in entries}
    assert by_name["f1"]["value"] == 0.51 and by_name["f1"]["interval"] == [0.4, 0.62]
    assert by_name["undefined"]["value"] is None
    assert by_name["rivals"]["rows"] == [[0.5], [None]]
    values = yaml.safe_load((out / "parameters.yaml").read_text("utf-8"))["notebooks"]
    assert values["00_works"]["seed"] == 7 and values["01_fails"]["seed"] == 1
    executed = nbformat.read(out / "notebooks" / "00_works.ipynb", as_version=4)
    assert "7 2.0" in executed.cells[-1].outputs[0].text
    assert not any("complete " in c.source for c in executed.cells)
    assert [p.name for p in (out / "figures").iterdir()] == ["00_works_01.png"]
    assert not list(out.rglob(".*"))


def test_the_page_loads_nothing_from_anywhere(made):
    page = (made[0] / "out" / "report.html").read_text("utf-8")
    assert external_references(page) == []
    shown = re.sub(r"<pre>.*?</pre>", "", page, flags=re.S)  # code may name what it likes
    assert not re.search(r"""(?:src|srcset|poster)\s*=\s*["']?(?:https?:)?//""", shown)
    assert not re.search(r"""<link\b|@import|url\(\s*["']?https?:|xmlns""", shown)
    assert "Content-Security-Policy" in page and "default-src 'none'" in page
    assert "<b>kept</b>" in shown and "example.org" not in shown


def test_the_page_has_headlines_maths_and_folded_code(made):
    page = (made[0] / "out" / "report.html").read_text("utf-8")
    assert "Spotting F1" in page and "95 % interval 0.400 to 0.620" in page
    assert "<msubsup>" in page and "$x_1" not in page
    assert page.count('<details class="code">') >= 5
    assert '<table class="parameters">' in page and "(default 1)" in page
    assert "synthetic" in page


def test_what_is_finished_is_kept_and_what_is_not_is_run_again(made):
    folder = made[0]
    repaired = notebook("print('before')", "print('repaired')", "print('after')")
    suite(folder / "n", n01_fails=repaired)
    options = {"notebooks": folder / "n", "say": lambda _: None, "values": ["00.seed=7"]}
    outcome = make_report(folder / "out", only=["00,01"], **options)
    assert outcome == {"00_works": "kept", "01_fails": "done"}
    page = (folder / "out" / "report.html").read_text("utf-8")
    assert "did not finish" not in page and 'id="c-01_fails"' in page and 'id="c-02_stops"' not in page
    broken = folder / "out" / "notebooks" / "00_works.ipynb"
    broken.write_text(broken.read_text("utf-8")[:500], "utf-8")  # cut off by a kill
    assert make_report(folder / "out", only=["00"], **options) == {"00_works": "done"}


def test_the_command_ends_with_1_if_a_notebook_failed_and_2_on_bad_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = suite(tmp_path / "n", n00_fails=notebook("raise ValueError('no')"))
    words = ["report", "--notebooks", folder, "--out", "out"]
    done = fedet(*words)
    assert done.returncode == 1 and "1 of 1 notebooks failed: 00_fails" in done.stderr
    assert "Look at out/report.html" in done.stdout and (tmp_path / "out" / "report.html").is_file()
    done = fedet(*words, "-p", "sead=1")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "'seed'" in done.stderr


def test_a_folder_that_is_no_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="fedet report --out"):
        build_page(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        make_report(tmp_path / "file")


SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


@pytest.mark.skipif(not SAMPLE.exists(), reason="no sample report yet: make sample-report")
def test_the_sample_report_is_small_whole_and_of_no_machine():
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6
    assert external_references((SAMPLE / "report.html").read_text("utf-8")) == []
    results = json.loads((SAMPLE / "results.json").read_text("utf-8"))
    assert results["made"]["profile"] == "quick" and results["made"]["data"] == "generated"
    assert [name for name, r in results["notebooks"].items() if not r["complete"]] == []
    home = str(Path(__file__).parents[2])
    assert not [
        p for p in files if p.suffix in (".html", ".ipynb", ".yaml", ".json") and home in p.read_text("utf-8")
    ]


def test_warnings_do_not_tell_where_they_were_raised():
    text = f"/tmp/ipykernel_98/3499.py:3: UserWarning: a/b.csv: look\n{sys.prefix}/lib/x.py:7: UserWarning"
    output = nbformat.v4.new_output("stream", name="stderr", text=text)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    _remove_local_paths(notebook)
    assert output.text == "UserWarning: a/b.csv: look\n.../lib/x.py:7: UserWarning"


# ---------------------------------------------------------------- records


def recorded(*calls):
    """The entries of a notebook with these outputs."""
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [nbformat.v4.new_output("display_data", data={MIME: entry}) for entry in calls]
    return nbformat.v4.new_notebook(cells=[cell])


def test_of_a_name_recorded_twice_the_last_one_counts():
    first, second = ({"kind": "figure", "name": "f1", "value": v} for v in (1, 2))
    assert collect(recorded(first, second)) == [second]


def test_stored_results_are_shown_with_their_date_and_their_command(tmp_path, monkeypatch, capsys):
    from fedet.report import recorded as records

    shown = []
    monkeypatch.setattr(records, "_show", lambda entry, formats: shown.append(entry))
    figure = {
        "kind": "figure",
        "name": "f1",
        "label": "F1",
        "value": 0.5,
        "interval": [0.4, 0.6],
        "unit": None,
    }
    table = {"kind": "table", "name": "t", "label": "T", "columns": ["a"], "index": ["x"], "rows": [[None]]}
    origin = {"date": "2026-01-02 10:00 UTC", "commit": "abc + changes"}
    stored = {"made": origin, "notebooks": {"02_a": {"results": [figure, table]}}}
    (tmp_path / "results.json").write_text(json.dumps(stored))
    records.record_stored(tmp_path / "results.json", "02_a", "fedet report X")
    assert [(e["name"], e["label"]) for e in shown] == [
        (name, f"{label}; measured 2026-01-02, commit abc + changes")
        for name, label in (("stored_f1", "F1"), ("stored_t", "T"))
    ]
    assert shown[0]["value"] == 0.5 and shown[1]["rows"] == [[None]]
    assert "made anew by: fedet report X" in capsys.readouterr().out
    with pytest.raises(InputError, match="no results of 03_b; make them with: fedet report X"):
        records.record_stored(tmp_path / "results.json", "03_b", "fedet report X")
    records.record_stored(tmp_path / "none.json", "02_a", "fedet report X")
    assert "make them with: fedet report X" in capsys.readouterr().out and len(shown) == 2


def test_records_refuse_what_json_cannot_tell(monkeypatch):
    from fedet.report import recorded as headlines

    shown = []
    monkeypatch.setattr(headlines, "_show", lambda entry, forms: shown.append(entry))
    headlines.record("a", np.float32(0.5), (np.float64(0.25), pd.NA))
    headlines.record("b", pd.NA)
    assert shown[0]["value"] == 0.5 and shown[0]["interval"] == [0.25, None] and shown[1]["value"] is None
    json.dumps(shown, allow_nan=False)
    for wrong in (("", 1), ("a", [1, 2])):
        with pytest.raises(InputError):
            headlines.record(*wrong)
    for wrong in ((1,), (1, 2, 3), ("x", 1)):
        with pytest.raises(InputError, match="interval"):
            headlines.record("a", 1, wrong)


def test_numbers_are_told_with_sense():
    assert [short_number(x) for x in (12345, 0.5194, 33.26, None, "ours", 2.0)] == [
        "12 345", "0.519", "33.3", "-", "ours", "2.000",
    ]  # fmt: skip
    assert figure_text({"label": "rate", "value": 20, "unit": "s"}) == "rate: 20 s"


# ---------------------------------------------------------------- prose and pictures


def test_maths_is_drawn_by_the_browser_and_bad_maths_is_still_readable():
    shown = render_markdown("# T\n\nThe loss $1 - \\frac{a}{b}$ costs $5.\n\n$$\\sum_i x_i$$\n", "p-")
    assert shown.count("<math") == 2 and "<mfrac>" in shown and 'id="p-t"' in shown and "xmlns" not in shown
    assert mathml(r"\left( a") == r"<code>\left( a</code>"


@pytest.mark.parametrize(
    "foreign",
    [
        '<img src="https://a.b/c.png">', "<script src=//a.b/c.js></script>", '<link rel=x href="http://a.b">',
        '<iframe src="https://a.b"></iframe>', "<style>@import 'https://a.b';</style>",
        '<p style="background: url(https://a.b/c)">x</p>', '<img srcset="a.png 1x, https://a.b/c.png 2x">',
        '<meta http-equiv="refresh" content="0; url=https://a.b">', '<image xlink:href="https://a.b"/>',
    ],
)  # fmt: skip
def test_what_loads_from_elsewhere_is_found_and_left_out(foreign):
    text = f"<p>a &amp; b</p>{foreign}<b>c</b>"
    assert external_references(text)
    kept = remove_external(text)
    assert external_references(kept) == [] and "<p>a &amp; b</p>" in kept and "<b>c</b>" in kept


def test_links_and_embedded_pictures_stay():
    text = '<a href="https://arxiv.org">x</a><img src="data:image/png;base64,AA==">'
    assert external_references(text) == [] and remove_external(text) == text


def test_warnings_do_not_tell_where_the_environment_lies():
    made = notebook("1")
    warning = f"{sys.prefix}/lib/python/module.py:3: UserWarning: mind"
    made.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stderr", text=warning)]
    _remove_local_paths(made)
    assert made.cells[-1].outputs[0].text == ".../lib/python/module.py:3: UserWarning: mind"


def test_a_progress_bar_leaves_its_last_state():
    assert final_text("10%\r50%\r100%\ndone\x1b[31m!\x1b[0m\r\n") == "100%\ndone!\n"


def test_pictures_become_smaller_and_stay_what_they_show():
    rng = np.random.default_rng(0)
    drawing = np.full((200, 300, 3), 255, np.uint8)
    drawing[50:60, :, :] = (0, 114, 178)
    y, x = np.mgrid[:200, :300]
    photo = np.stack([128 + 60 * np.sin(x / 30), 128 + 60 * np.cos(y / 25), (x + y) / 2], -1)
    photo = np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
    for pixels, kind in ((drawing, "image/png"), (photo, "image/jpeg")):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found, data = shrink(buffer.getvalue())
        assert found == kind and len(data) <= len(buffer.getvalue())
        again = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
        assert np.abs(again - pixels).mean() < 5
        small = Image.open(io.BytesIO(thumbnail(data, 90, 90)))
        assert max(small.size) == 90 and base64.b64encode(data)

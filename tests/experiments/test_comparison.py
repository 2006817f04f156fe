import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ramp_videos import people

from fedet.errors import InputError
from fedet.evaluation.bootstrap import t_interval
from fedet.evaluation.evaluation import evaluate
from fedet.experiments.comparison import (
    counts,
    evaluate_folds,
    evaluate_pooled,
    read_results,
    results_of,
    summarise,
    write_results,
)
from fedet.experiments.cross_validation import cross_validate
from fedet.experiments.methods.base import Fitted, to_table
from fedet.experiments.results_page import (
    BEGIN,
    END,
    SHOWN,
    claims,
    results_page,
    table,
    typed_table,
    unmeasured,
    update_page,
)

RECORDS = people(0, 4, videos=2, n_frames=400)
DATA = {"name": "ramps", "synthetic": True, "summary": "4 subjects", "command": "fedet crossval ramps/"}


@dataclass(frozen=True)
class Noisy:
    """Knows the truth of everybody (it is given it) and spoils it: something to score."""

    name: str
    spoil: float

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        def predict(record):
            rng = np.random.default_rng((seed, len(record.video), int(record.video[1])))
            told = TRUTH[record.video]
            ends = told[["onset", "offset"]].to_numpy(int)
            ends = ends + rng.integers(-2, 3, ends.shape) * (rng.random(ends.shape) < self.spoil)
            ends[:, 1] = np.maximum(ends[:, 0], ends[:, 1])
            extra = np.array([[200, 220], [330, 340]])
            score = np.concatenate([rng.uniform(0.3, 1, len(ends)), rng.uniform(0, 0.5, 2)])
            lost = rng.random(len(ends)) < self.spoil
            score[: len(ends)][lost] *= 0.2
            names = [*told["emotion"], "positive", "others"]
            return to_table(record, np.concatenate([ends, extra]), score, names, self.name)

        return Fitted(predict, 0.25 + 0.01 * seed, {}, pd.DataFrame())


TRUTH = {record.video: record.events for record in RECORDS}


def runs():
    options = dict(seeds=2, progress=False)
    return {m: cross_validate(RECORDS, Noisy(m, s), **options) for m, s in (("fedn", 0.2), ("other", 0.7))}


RUNS = runs()


def test_counts_are_of_the_kept_and_average_precision_of_all():
    run = RUNS["fedn"]
    pooled = run.predictions(0)
    result = evaluate_folds(run, 0, n_resamples=50)
    kept = evaluate(run.predictions(0, above_threshold=True), run.truth, run.videos, n_resamples=50)
    whole = evaluate(pooled, run.truth, run.videos, n_resamples=50)
    assert len(pooled) > len(run.predictions(0, above_threshold=True))
    for name in result.figures.index:
        source = whole if name.startswith("map") or name.endswith(("ap_50_95", "calibration_error")) else kept
        assert result.value(name) == pytest.approx(source.value(name), nan_ok=True)
        assert np.array_equal(result.samples[name], source.samples[name], equal_nan=True)
    assert whole.value("map") > kept.value("map")
    assert result.spotting.equals(kept.spotting) and result.ap.equals(whole.ap)


def test_thresholds_are_those_of_the_fold():
    run = RUNS["fedn"]
    pooled = run.predictions(0)
    one = pooled["fold"] == "p1"
    none_of_p1 = evaluate_pooled(
        pooled.assign(threshold=pooled["threshold"].mask(one, 2.0)), run.truth, run.videos, n_resamples=0
    )
    row = none_of_p1.subjects.set_index("subject").loc["p1"]
    assert row["tp"] == 0 and row["fp"] == 0 and row["fn"] > 0
    assert none_of_p1.subjects["tp"].sum() > 0


def test_seeds_are_averaged_and_their_interval_is_that_of_the_mean():
    evaluations = [evaluate_folds(RUNS["other"], s, n_resamples=200) for s in (0, 1)]
    found = summarise(evaluations)
    values = [e.value("spotting_f1") for e in evaluations]
    assert found.at["spotting_f1", "mean"] == pytest.approx(np.mean(values))
    assert found.at["spotting_f1", "sd"] == pytest.approx(np.std(values, ddof=1))
    drawn = np.mean([e.samples["spotting_f1"] for e in evaluations], axis=0)
    both = t_interval(np.mean(values), drawn, 4, by_seed=values)
    assert found.at["spotting_f1", "low"] == pytest.approx(max(0, both.low))
    assert both.low < t_interval(np.mean(values), drawn, 4).low or values[0] == values[1]
    assert np.isnan(summarise(evaluations[:1]).at["spotting_f1", "sd"])
    total = counts(evaluations)
    assert total.at["overall", "tp"] == np.mean([e.spotting.at["overall", "tp"] for e in evaluations])
    sides = total.loc["macro"] + total.loc["micro"]
    assert sides.to_numpy() == pytest.approx(total.loc["overall"].to_numpy())


@pytest.fixture(scope="module")
def results():
    return results_of(RUNS, DATA, n_resamples=100)


def test_results_survive_a_file_and_say_how_they_were_made(results, tmp_path):
    again = read_results(write_results(results, tmp_path / "results.json"))
    assert again == json.loads(json.dumps(results))
    for name in ("fedet", "commit", "device", "processor"):
        assert again["made_by"][name]
    assert again["methods"]["fedn"]["seeds"] == [0, 1]
    gap = again["differences"]["fedn - other"]["spotting_f1"]
    first, second = (again["methods"][m]["figures"]["spotting_f1"]["mean"] for m in ("fedn", "other"))
    assert (
        gap["difference"] == pytest.approx(first - second) and gap["low"] <= gap["difference"] <= gap["high"]
    )
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="schema_version"):
        read_results(tmp_path / "bad.json")


def cells(markdown: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in markdown.splitlines()]


def test_the_table_shows_the_figures_it_was_given(results):
    head, line, *rows = cells(table(results))
    assert len({len(row) for row in (head, line, *rows)}) == 1 and [r[0] for r in rows] == ["fedn", "other"]
    told = results["methods"]["fedn"]
    at = head.index(SHOWN["spotting_f1"])
    assert rows[0][at].startswith(f"{told['figures']['spotting_f1']['mean']:.3f} ±")
    tp = rows[0][head.index("TP / FP / FN overall")].split(" / ")[0]
    assert float(tp) == pytest.approx(told["counts"]["overall"]["tp"], abs=0.06)


def test_a_difference_is_a_fact_from_five_seeds_on_only(results):
    assert "No difference here is a fact" in claims(results) and "2 seeds" in claims(results)
    seeds = {name: method | {"seeds": [0, 1, 2, 3, 4]} for name, method in results["methods"].items()}
    five = results | {"methods": seeds}
    said = claims(five)
    for key, gap in five["differences"]["fedn - other"].items():
        if key in SHOWN and gap["low"] is not None:
            facts, chance = said.split("**Could be chance**")
            away = gap["low"] > 0 or gap["high"] < 0
            assert f"fedn - other, {SHOWN[key]}" in (facts if away else chance)
    shown = [g for k, g in five["differences"]["fedn - other"].items() if k in SHOWN and g["low"] is not None]
    assert f"holds {len(shown)} intervals" in said
    before = five | {"protocol": {k: v for k, v in five["protocol"].items() if k != "intervals"}}
    assert "the intervals leave the seeds out" in claims(before)


def test_typed_counts_have_a_table_of_their_own(results):
    head, _, *rows = cells(typed_table(results))
    assert [r[0] for r in rows] == ["fedn", "other"] and head[0] == "typed counting"
    older = {n: {k: v for k, v in m.items() if k != "typed_counts"} for n, m in results["methods"].items()}
    assert typed_table(results | {"methods": older}) == ""


def test_generated_and_real_sets_share_no_table(results):
    real = results | {
        "data": {"name": "CASME2", "synthetic": False, "summary": "22 subjects", "command": "x"}
    }
    page = results_page([real, results])
    made, people_part = page.split("### Real people")
    assert "ramps" in made and "ramps" not in people_part and "CASME2" not in made
    assert "CASME2/" not in page and "fedet crossval CASME3/" in people_part  # the measured row is not empty
    assert "fedet crossval CASME2/" in unmeasured([])
    empty = cells(unmeasured([]))[2:]
    assert all(cell == "" for row in empty for cell in row[1:-1])


def test_a_page_changes_between_its_markers_only(results, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# Title\n\n{BEGIN}\noutdated figures\n{END}\n\nlast line\n")
    update_page(page, results_page([results]))
    once = page.read_text()
    assert once.startswith(f"# Title\n\n{BEGIN}\n") and once.endswith(f"{END}\n\nlast line\n")
    assert "outdated" not in once and "fedn" in once
    update_page(page, results_page([results]))
    assert page.read_text() == once
    page.write_text("nothing")
    with pytest.raises(InputError, match="needs one line"):
        update_page(page, "x")


@pytest.mark.parametrize(
    "text", ['{"schema_version": 1}', '{"schema_version": 1, "methods": 3}', "[" * 100_000]
)
def test_results_that_are_incomplete_are_refused_in_one_line(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match="results.json: (results that are incomplete|no results)"):
        read_results(tmp_path / "results.json")

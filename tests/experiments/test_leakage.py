from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ramp_videos import people
from test_comparison import Noisy

from fedet.errors import InputError
from fedet.experiments import leakage as inflation
from fedet.experiments.comparison import evaluate_folds, evaluate_pooled
from fedet.experiments.cross_validation import cross_validate
from fedet.experiments.folds import make_folds

RECORDS = people(0, 4, videos=2, n_frames=400)


@dataclass(frozen=True)
class Watched(Noisy):
    """Keeps three epochs, of which each is best for somebody."""

    def fit(self, train, validation, seed: int, folder: Path | None = None):
        fitted = super().fit(train, validation, seed)
        spoils = {1: 0.9, 2: 0.1, 3: 0.5}
        epochs = {e: Noisy(self.name, s).fit(train, validation, seed + e).predict for e, s in spoils.items()}
        history = pd.DataFrame({"epoch": [1, 2, 3], "threshold": [0.3, 0.25, 0.4]})
        return type(fitted)(epochs[3], 0.4, {"epoch": 3}, history, epochs)


RUN = cross_validate(RECORDS, Watched("w", 0.5), seeds=2, progress=False)
FOUND = inflation.choices(RUN, n_resamples=100)


def test_choosing_on_the_test_subjects_never_lowers_their_own_f1():
    for result in RUN.results:
        ranking = inflation.ranking_of(result.predictions, RUN, result.job.fold.test)
        best = inflation.best_threshold(ranking)
        tried = [inflation.f1_at(ranking, t) for t in np.linspace(0, 1.01, 60)]
        assert inflation.f1_at(ranking, best) >= np.nanmax(tried) - 1e-12
        values = {}
        for choose in ("threshold", "epoch", "both"):
            table = inflation.choose_on_test(result, RUN, choose)
            own = inflation.ranking_of(table, RUN, result.job.fold.test)
            values[choose] = inflation.f1_at(own, table["threshold"].iloc[0])
        honest = inflation.f1_at(ranking, result.threshold)
        assert values["threshold"] >= honest and values["epoch"] >= honest
        assert values["both"] >= max(values["threshold"], values["epoch"])


def test_gains_are_against_the_honest_figure():
    honest = [e.value("spotting_f1") for e in FOUND[inflation.HONEST]]
    assert honest == [evaluate_folds(RUN, s, n_resamples=0).value("spotting_f1") for s in (0, 1)]
    gained = inflation.gains(FOUND)
    assert list(gained.index) == list(inflation.CHEATS.values())
    for name, row in gained.iterrows():
        values = [e.value("spotting_f1") for e in FOUND[name]]
        assert row["difference"] == pytest.approx(np.mean(values) - np.mean(honest))
    assert gained.at[inflation.CHEATS["both"], "difference"] > 0


def test_the_shared_threshold_is_the_best_single_one():
    pooled = RUN.predictions(0)
    value = FOUND[inflation.CHEATS["shared"]][0].value("spotting_f1")
    for threshold in np.linspace(0.05, 0.95, 10):
        other = evaluate_pooled(pooled.assign(threshold=threshold), RUN.truth, RUN.videos, n_resamples=0)
        assert value >= other.value("spotting_f1") - 1e-12


def test_a_silent_person_wants_no_prediction():
    fold = make_folds({f"p{i}": 1 for i in range(4)})[0]
    silent = type(RUN)(
        RUN.method, RUN.results, [], RUN.truth[~RUN.truth["subject"].isin(fold.test)], RUN.videos, {}
    )
    ranking = inflation.ranking_of(RUN.results[0].predictions, silent, fold.test)
    assert inflation.best_threshold(ranking) == inflation.ABOVE_ALL
    assert np.isnan(inflation.f1_at(ranking, inflation.ABOVE_ALL)) and inflation.f1_at(ranking, 0.0) == 0
    table = inflation.thresholds(silent)
    assert table["best"].isna().sum() == 2 and len(table) == 8


def test_epochs_that_were_not_kept_are_asked_for():
    plain = cross_validate(RECORDS, Noisy("plain", 0.5), seeds=1, progress=False)
    assert list(inflation.choices(plain, n_resamples=0)) == [
        inflation.HONEST, inflation.CHEATS["threshold"], inflation.CHEATS["shared"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="snapshots=True"):
        inflation.choose_on_test(plain.results[0], plain, "both")


def test_conventions_and_overlaps_move_the_same_predictions():
    table = inflation.by_convention(RUN, ["spotting_f1", "uar"])
    assert table.loc["strict", "spotting_f1 change"] == 0
    assert table.loc["strict_greater", "spotting_f1"] <= table.loc["strict", "spotting_f1"]
    assert table.loc["one_to_one", "spotting_f1"] >= table.loc["strict", "spotting_f1"]
    falling = inflation.by_tiou(RUN, ["spotting_f1"])["spotting_f1"]
    assert (np.diff(falling) <= 1e-12).all() and falling.iloc[0] > falling.iloc[-1]


def test_policies_mend_a_truth_that_lost_offsets():
    truth = RUN.truth
    spoilt = inflation.drop_offsets(truth, 0.5, seed=3)
    macro = truth["expression_type"] == "macro"
    lost = spoilt["offset"].isna()
    assert lost.sum() == round(0.5 * macro.sum()) and not (lost & ~macro.reset_index(drop=True)).any()
    assert spoilt["apex"].notna().all() and truth["offset"].notna().all()
    table = inflation.by_missing_offset(RUN, ["spotting_f1"], share=0.5)
    whole = table.loc["all offsets known", "spotting_f1"]
    assert list(table.index)[1:] == ["apex_mirror", "apex", "drop"]
    assert (table["spotting_f1"].iloc[1:] < whole).any()
    untouched = inflation.by_missing_offset(RUN, ["spotting_f1"], share=0.0)
    assert untouched["spotting_f1 change"].tolist() == pytest.approx([0.0] * 4)
    with pytest.raises(InputError, match="share=2"):
        inflation.by_missing_offset(RUN, [], share=2)

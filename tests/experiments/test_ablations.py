import matplotlib
import numpy as np
import pandas as pd
import pytest
from ramp_videos import CONFIG
from test_comparison import RECORDS, Noisy

from fedet.errors import InputError
from fedet.experiments.ablations import GROUPS, WHOLE, ablations, effects, evaluate_runs, verdicts
from fedet.experiments.cross_validation import cross_validate
from fedet.experiments.folds import Fold
from fedet.experiments.jobs import Job, JobResult
from fedet.experiments.plots import failures, plot_learning, plot_thresholds
from fedet.model import FEDN, FEDNConfig
from fedet.training.config import TrainConfig

matplotlib.use("Agg")


@pytest.mark.parametrize("base", [FEDNConfig(), FEDNConfig(motion=8), FEDNConfig(first_stride=2)])
def test_every_variant_is_a_model_of_its_own(base):
    found = ablations(base, groups=",".join(GROUPS))
    assert found[WHOLE].config == base
    assert len({m.name for m in found.values()}) == len(found)
    settings = [(m.config, m.training) for m in found.values()]
    assert all(settings.count(s) == 1 for s in settings)
    for method in found.values():
        FEDN(method.config)  # the sizes fit each other
    assert ("motion over 8 frames" in found) == (base.motion != 8)


def test_a_variant_changes_what_its_row_says_and_nothing_else():
    base, training = CONFIG, TrainConfig(epochs=3)
    found = ablations(base, training, "paper,ours")
    for name in GROUPS["paper"]:
        changed = {k for k, v in vars(found[name].config).items() if v != getattr(base, k)}
        assert changed == set(GROUPS["paper"][name]) and found[name].training == training
    assert found["no augmentation"].config == base and found["no augmentation"].training != training
    with pytest.raises(InputError, match="group of ablations 'all'"):
        ablations(base, groups="all")


def test_effects_are_what_is_lost_without_a_part():
    runs = {n: cross_validate(RECORDS, Noisy(f"m{s}", s), seeds=2, progress=False)
            for n, s in ((WHOLE, 0.1), ("bad", 0.9), ("same", 0.1))}  # fmt: skip
    found = evaluate_runs(runs, n_resamples=200)
    table = effects(found)
    assert list(table.index) == ["bad", "same"]
    means = {n: np.mean([e.value("spotting_f1") for e in es]) for n, es in found.items()}
    assert table.at["bad", "difference"] == pytest.approx(means[WHOLE] - means["bad"])
    assert table.at["same", "difference"] == 0
    assert verdicts(table)["same"] == "could be chance" and (table["seeds"] < 5).all()
    clear = table.assign(low=table["difference"] - 0.01 * (table["difference"] != 0), seeds=5)
    assert verdicts(clear).to_dict() == {"bad": "helps", "same": "could be chance"}
    assert verdicts(clear.assign(seeds=4))["bad"] == "too few seeds"
    flipped = clear.assign(low=-clear["high"], high=-clear["low"])
    assert verdicts(flipped)["bad"] == "hurts"
    with pytest.raises(InputError, match="nothing to compare with"):
        effects({"bad": found["bad"]})


def test_mistakes_are_mistakes_and_the_worst_come_first():
    run = cross_validate(RECORDS, Noisy("m", 0.6), seeds=1, progress=False)
    result = evaluate_runs({WHOLE: run}, n_resamples=0)[WHOLE][0]
    table = failures(result, 3)
    kinds = table["case"].str.replace(r" [\d.]+$", "", regex=True)
    assert kinds.isin(["false alarm", "missed", "wrong emotion"]).all()
    for case in table[kinds == "missed"].itertuples():
        same = result.events[
            (result.events["video"] == case.video) & (result.events["start_s"] == case.start_s)
        ]
        assert len(same) and not same["spotted"].all()
    lengths = (table["end_s"] - table["start_s"])[kinds == "missed"].tolist()
    assert lengths == sorted(lengths, reverse=True) and 0 < len(lengths) <= 3
    wrong = kinds == "wrong emotion"
    assert (table["truth"][~wrong] == "").all() and (table["truth"] != table["emotion"])[wrong].all()
    assert wrong.any()


def job_result(values, epoch, seed=0):
    fold = Fold("f", ("a",), ("b",), ("c",))
    history = pd.DataFrame({"epoch": range(1, len(values) + 1), "monitored": values})
    return JobResult(Job(fold, seed), 0.5, {"epoch": epoch}, 1.0, pd.DataFrame(), history, pd.DataFrame())


def test_learning_curves_mark_the_epoch_that_was_kept():
    ax = plot_learning([job_result([0.1, 0.5, 0.3], 2), job_result([0.2, np.nan, 0.6], 3)])
    dots = [tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [(2, 0.5), (3, 0.6)] and "epoch 2 to 3" in ax.get_title(loc="left")
    assert len(plot_learning([job_result([0.1], 1)], "loss_total").lines) == 0


def test_thresholds_of_silent_parts_are_not_drawn():
    table = pd.DataFrame({"seed": [0, 0, 1], "used": [0.3, 0.4, 0.5], "best": [0.2, np.nan, 0.7]})
    ax = plot_thresholds(table)
    drawn = np.concatenate([c.get_offsets() for c in ax.collections])
    assert {tuple(p) for p in drawn} == {(0.3, 0.2), (0.5, 0.7)}
    assert "0.15 off" in ax.get_title(loc="left")

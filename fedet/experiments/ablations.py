"""Variants of the detector, one part changed in each, and what each part is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.bootstrap import CLAIM_SEEDS
from fedet.evaluation.evaluation import Evaluation, compare
from fedet.experiments.comparison import evaluate_folds
from fedet.experiments.cross_validation import CrossValidation, cross_validate
from fedet.experiments.methods.base import FEDNMethod
from fedet.experiments.methods.paper import ADDED, paper_inputs, paper_method, without
from fedet.experiments.methods.paper import NAME as PAPER
from fedet.experiments.study import Study
from fedet.model import FEDNConfig
from fedet.training.config import Augmentation, TrainConfig

WHOLE = "whole"
TOO_FEW = "too few seeds"  # the interval leaves 0 out, but rests on fewer than CLAIM_SEEDS runs
# Group -> variant -> fields of FEDNConfig that differ; fields of TrainConfig start with "training.".
GROUPS: dict[str, dict[str, dict[str, object]]] = {
    "paper": {
        "no segment attention": {"segment_attention": False},
        "no window attention": {"window_attention": False},
        "IoU for DIoU": {"interval_loss": "iou"},
        "L1 for DIoU": {"interval_loss": "l1"},
        "separate objectness": {"objectness": "separate"},
        "coupled head": {"head": "coupled"},
    },
    "sizes": {
        "4 levels": {"pyramid_levels": 4},
        "6 levels": {"pyramid_levels": 6},
        "first stride 2": {"first_stride": 2},
        "window 128": {"window": 128, "window_stride": 64},
        "segment 4": {"segment": 4},
        "segment 16": {"segment": 16},
    },
    "ours": {
        "no motion channels": {"motion": 0},
        "motion over 8 frames": {"motion": 8},
        "plain cross-entropy": {"focal_gamma": 0.0},
        "one scale": {"scales": (1,)},
        "no decay between emotions": {"cross_class_sigma": None},
        "no augmentation": {"training.augmentation": Augmentation.none()},
    },
}


def ablations(
    config: FEDNConfig,
    training: TrainConfig | None = None,
    groups: str | Sequence[str] = "paper",
    accelerator: str = "auto",
) -> dict[str, FEDNMethod]:
    """The whole detector and its variants, by name; a variant that is the whole one is left out.

    Args:
        groups: names of GROUPS, also as text with commas.
    Raises:
        InputError: no such group.
    """
    training = training or TrainConfig()
    names = [g.strip() for g in groups.split(",")] if isinstance(groups, str) else list(groups)
    if unknown := [g for g in names if g not in GROUPS]:
        raise InputError(f"group of ablations {unknown[0]!r}: one of {', '.join(GROUPS)}")
    variants = {WHOLE: FEDNMethod("fedn", config, training, accelerator=accelerator)}
    for group in names:
        for name, changes in GROUPS[group].items():
            model = {k: v for k, v in changes.items() if not k.startswith("training.")}
            run = {k.removeprefix("training."): v for k, v in changes.items() if k not in model}
            changed, retrained = replace(config, **model), replace(training, **run)
            if (changed, retrained) != (config, training):
                file_name = "fedn-" + name.replace(" ", "-")
                variants[name] = FEDNMethod(file_name, changed, retrained, accelerator=accelerator)
    return variants


def ours_against_paper(
    study: Study, out: str | Path | None, training: TrainConfig, n_resamples: int = 1000, **options
) -> pd.DataFrame:
    """What each of our choices beyond the paper is worth: the whole detector minus the detector without that
    choice, and minus `fedn-paper`, which has none of them.

    Args:
        out: folder of the runs. options: as for `cross_validate`.
    Returns: index: choice; paper, ours, and the columns of `effects` for spotting F1 and, with the prefix
        map_, mAP; whole minus variant, so that a choice that helps is above 0.
    """
    options = {"progress": False} | options
    runs = {WHOLE: study.cross_validate(FEDNMethod("fedn", study.config, training), out, **options)}
    for name in ADDED:
        records = study.records_with(paper_inputs(study.inputs, name), progress=False)
        method = without(name, training, study.config, records[0].vectors.shape[1])
        runs[name] = cross_validate(records, method, out, **options)
    runs[PAPER] = study.cross_validate(paper_method(training, study.config), out, **options)
    evaluations = evaluate_runs(runs, n_resamples=n_resamples)
    chosen = {name: row[:2] for name, row in ADDED.items()} | {PAPER: ("all of the paper's", "all of ours")}
    table = pd.DataFrame.from_dict(chosen, orient="index", columns=["paper", "ours"])
    spotting, detection = (effects(evaluations, figure) for figure in ("spotting_f1", "map"))
    return table.join(spotting).join(detection.add_prefix("map_"))


def evaluate_runs(runs: Mapping[str, CrossValidation], **options) -> dict[str, list[Evaluation]]:
    """By name, the evaluations of all seeds; options as for `fedet.evaluation.evaluation.evaluate`."""
    return {name: [evaluate_folds(run, seed, **options) for seed in run.seeds] for name, run in runs.items()}


def effects(
    evaluations: Mapping[str, Sequence[Evaluation]], figure: str = "spotting_f1", whole: str = WHOLE
) -> pd.DataFrame:
    """What is lost without each part: whole - variant, averaged over seeds, with paired intervals.

    Returns: index: variant; columns first (whole), second (variant), difference, low, high,
    share_above, and spread: standard deviation over seeds of the difference. Largest loss first.
    """
    if whole not in evaluations:
        raise InputError(f"no {whole!r} among {', '.join(evaluations)}: nothing to compare with")
    rows = {}
    for name, variant in evaluations.items():
        if name == whole:
            continue
        row = compare(evaluations[whole], variant).loc[figure]
        pairs = zip(evaluations[whole], variant, strict=True)
        by_seed = [a.value(figure) - b.value(figure) for a, b in pairs]
        rows[name] = pd.concat([row.drop("undefined"), pd.Series({"spread": pd.Series(by_seed).std()})])
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("difference", ascending=False, kind="stable")


def verdicts(table: pd.DataFrame) -> pd.Series:
    """Says "helps", "hurts" or "could be chance" of each part, by whether the interval excludes 0.

    With fewer than CLAIM_SEEDS training runs nothing is claimed: "too few seeds".
    """
    words = pd.Series("could be chance", index=table.index, dtype=object)
    words[table["low"] > 0] = "helps"
    words[table["high"] < 0] = "hurts"
    words[(words != "could be chance") & (table["seeds"] < CLAIM_SEEDS)] = TOO_FEW
    return words

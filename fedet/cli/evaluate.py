"""`fedet crossval`, `fedet results` and `fedet evaluate`."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedet.cli.app import (
    REPORT,
    Adapt,
    Fps,
    Report,
    app,
    check_options,
    check_report,
    report_repairs,
)
from fedet.errors import InputError
from fedet.matching import NAMED_CONVENTIONS, Conventions


@app.command()
def crossval(
    data: Annotated[Path, typer.Argument(help="A dataset's folder: annotations and videos.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions and results.json.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="fedn, fedn-paper, two-stage, actionformer, cnn, frame-wise, flow; can be repeated."
        ),
    ] = None,
    folds: Annotated[str, typer.Option(help="loso, or a number of folds.")] = "loso",
    seeds: Annotated[int, typer.Option(help="Number of training runs of each fold.")] = 3,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, like tcp://host:8786.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, at most.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Windows in a training step; fewer for a small dataset.")
    ] = None,
    layout: Annotated[str, typer.Option(help="casme2, casme3, samm, tidy or own.")] = "",
    missing_offset: Annotated[
        str, typer.Option(help="Events without offset: apex_mirror, apex or drop.")
    ] = "apex_mirror",
    face_weights: Annotated[str, typer.Option(help="Default: those of the shipped detector.")] = "",
    adapt: Adapt = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the frames' vectors; default: OUT/vectors.")
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option(show_default=False, help="Resume a stopped fold at its last epoch.")
    ] = False,
) -> None:
    """Measures methods on subjects left out of training; resumes where it was stopped."""
    from fedet.experiments.comparison import failures, results_of, write_results
    from fedet.experiments.cross_validation import check_scheduler
    from fedet.experiments.methods.registry import METHODS
    from fedet.experiments.results_page import as_text
    from fedet.experiments.study import open_study
    from fedet.files import check_writable
    from fedet.training.config import TrainConfig

    check_options(epochs, jobs, adapt=adapt)
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: at least 1")
    if unknown := [name for name in method or () if name not in METHODS]:
        raise InputError(f"--method {unknown[0]}: one of {', '.join(METHODS)}")
    given = {"epochs": epochs, "batch_size": batch_size}
    changed = {name: value for name, value in given.items() if value is not None}
    training = TrainConfig(**changed) if changed else None
    check_writable(out)
    if scheduler is not None:
        check_scheduler(scheduler)
    study = open_study(
        data, layout, missing_offset, face_weights, out, cache=cache, adapt=adapt or 0.0, folds=folds
    )
    report_repairs(study.dataset.repairs, out / REPORT)
    options = changed if adapt is None else changed | {"adapt": adapt}
    runs = study.compare(
        method or ["fedn"], out, training,
        folds=folds, seeds=seeds, jobs=jobs, scheduler=scheduler, checkpoints=checkpoints,
    )  # fmt: skip
    if failed := failures(runs):
        for line in failed:
            print(f"fedet: {line}", file=sys.stderr)
        print("fedet: the same command runs these again and keeps the rest", file=sys.stderr)
        sys.exit(1)
    methods = " ".join(f"--method {name}" for name in runs)
    command = f"fedet crossval {data.name}/ {methods} --folds {folds} --seeds {seeds} --out {out.name}/"
    command += "".join(f" --{name.replace('_', '-')} {value}" for name, value in options.items())
    figures = results_of(runs, study.data | {"command": command})
    write_results(figures, out / "results.json")
    print(as_text(figures))
    print(f"written: {out / 'results.json'}")


@app.command()
def results(
    found: Annotated[list[Path], typer.Argument(help="results.json files of fedet crossval.")],
    write: Annotated[
        Path | None, typer.Option(help="Write the tables into this file, e.g. README.md.")
    ] = None,
) -> None:
    """Prints results tables, or writes them between the markers of a page."""
    from fedet.experiments.comparison import read_results
    from fedet.experiments.results_page import results_page, update_page

    page = results_page([read_results(path) for path in found])
    if write is None:
        print(page)
    else:
        update_page(write, page)
        print(f"written: {write}")


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Intervals with scores.")],
    truth: Annotated[Path, typer.Argument(help="Annotated intervals, or a dataset's folder.")],
    out: Annotated[Path | None, typer.Option(help="Write everything as JSON here.")] = None,
    tiou: Annotated[float, typer.Option(help="Overlap that counts as a match.")] = 0.5,
    threshold: Annotated[
        float,
        typer.Option(help="Lowest score that counts; average precision and calibration use all scores."),
    ] = 0.0,
    score: Annotated[float | None, typer.Option(help="Score for predictions without one.")] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of subjects.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    fps: Fps = None,
    subset: Annotated[
        str, typer.Option(help="Only the videos of this subset of the truth, like validation.")
    ] = "",
    as_written: Annotated[
        bool, typer.Option(show_default=False, help="Keep the files' own labels instead of four emotions.")
    ] = False,
    convention: Annotated[
        str, typer.Option(help=f"How to count: {', '.join(NAMED_CONVENTIONS)}.")
    ] = "strict",
    emotions: Annotated[
        str, typer.Option(help="Recognition and detection of these only, like positive,negative.")
    ] = "",
    report: Report = None,
) -> None:
    """Scores predictions: spotting, recognition, detection, with intervals over subjects.

    Videos without events that the truth file lists (JSON, BORIS projects) count too.
    """
    from fedet.annotations.formats import read_labels
    from fedet.annotations.repairs import join_repairs
    from fedet.annotations.spellings import AS_WRITTEN
    from fedet.datasets.dataset import read_dataset
    from fedet.evaluation.tables import JSON_BEGINS
    from fedet.experiments.comparison import evaluate_pooled, listed_truth
    from fedet.files import refuse_other_file

    check_options(seed=seed)
    Conventions.parse(convention)  # before any file is read
    asked = [name.strip() for name in emotions.split(",") if name.strip()]
    check_report(report)
    refuse_other_file(out, JSON_BEGINS, "evaluation")
    if math.isnan(threshold):
        raise InputError("--threshold nan: a number, from which predictions count")
    if out is not None and any(out.exists() and out.samefile(p) for p in (predictions, truth) if p.exists()):
        raise InputError(f"--out {out}: is one of the files to be compared; name another file")
    emotion_map = AS_WRITTEN if as_written else None
    found = read_labels(predictions, fps=fps, emotion_map=emotion_map)
    found.refuse_if_nothing_is_left(predictions)
    predicted, read = found.events, f"predictions {found.n_read()}"
    if truth.is_dir():
        if subset:
            raise InputError(f"--subset {subset}: {truth} is a folder, which has no subsets; leave it out")
        dataset = read_dataset(truth, emotion_map=emotion_map)
        annotated, truth_repairs, videos = dataset.annotations, dataset.repairs, dataset.videos
        if not len(videos):
            raise InputError(f"{truth}: holds no annotations and no videos; name another truth")
    else:
        labels = read_labels(truth, fps=fps, emotion_map=emotion_map)
        labels.refuse_if_nothing_is_left(truth)
        if not len(labels.events) and not len(labels.videos):
            raise InputError(f"{truth}: holds no annotations and lists no videos; name another truth")
        predicted, annotated, videos = listed_truth(predicted, labels, truth, subset)
        truth_repairs, read = labels.repairs, f"{read}, truth {labels.n_read()}"
    report_repairs(join_repairs(found.repairs, truth_repairs), report, read)
    if score is not None:
        predicted["score"] = predicted["score"].fillna(score)
    predicted["threshold"] = threshold
    result = evaluate_pooled(
        predicted, annotated, videos, tiou=tiou, fps=fps, n_resamples=resamples, seed=seed,
        conventions=convention, emotions=asked or None,
    )  # fmt: skip
    print(result.format())
    if out is not None:
        result.to_json(out)

"""`fedet train`, `fedet learn` and `fedet pretrain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedet.cli.app import (
    REPORT,
    Adapt,
    OpenFace,
    PyFeat,
    Report,
    app,
    check_options,
    given_folders,
    report_repairs,
)
from fedet.errors import InputError

if TYPE_CHECKING:
    from fedet.datasets.dataset import Dataset
    from fedet.detection import Inputs


def starting_folder(init: str) -> Path:
    """The detector's folder that --init means. Raises InputError where there is none."""
    from fedet.faces.network import shipped
    from fedet.model import read_config

    start = shipped("detector") if init == "shipped" else Path(init)
    if not start.is_dir():
        raise InputError(f"--init {init}: no such folder; name a detector's folder, or 'shipped'")
    read_config(start)
    return start


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(help="Folders of datasets: annotations and videos.")],
    out: Annotated[Path, typer.Option(help="Folder for the detector.")],
    init: Annotated[str, typer.Option(help="Start from this detector's folder, or 'shipped'.")] = "",
    layout: Annotated[str | None, typer.Option(help="casme2, casme3, samm, tidy or own.")] = None,
    face_weights: Annotated[str, typer.Option(help="faces, imagenet or a ResNet18 checkpoint.")] = "faces",
    adapt: Adapt = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, at most.")] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the subjects on whom epoch and threshold are chosen.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the frames' vectors; default: OUT/vectors.")
    ] = None,
    signals: Annotated[
        str, typer.Option(help="Signals to read in addition to the face, like loudness,speech.")
    ] = "",
    openface: OpenFace = None,
    pyfeat: PyFeat = None,
    end_to_end: Annotated[
        bool,
        typer.Option(
            show_default=False, help="Afterwards train the face network too, from OUT/frozen; slow."
        ),
    ] = False,
    tuning_epochs: Annotated[
        int | None, typer.Option(help="Passes over the data of --end-to-end, at most.")
    ] = None,
    report: Report = None,
) -> None:
    """Trains a detector on annotated videos; resumes where it was stopped."""
    from dataclasses import replace

    from fedet.annotations.repairs import join_repairs
    from fedet.datasets.dataset import read_dataset
    from fedet.detection import read_inputs, save_inputs
    from fedet.faces.network import load_facenet
    from fedet.files import check_writable
    from fedet.training.config import TrainConfig
    from fedet.training.fine_tuning import FINE_TUNING
    from fedet.training.records import (
        check_trainable,
        default_config,
        default_inputs,
        join_sets,
        records_of,
    )
    from fedet.training.training import train as fit

    check_options(epochs, seed=seed, adapt=adapt)
    if tuning_epochs is not None and tuning_epochs < 1:
        raise InputError(f"--tuning-epochs {tuning_epochs}: at least 1")
    if not 0 < validation < 1:
        raise InputError(f"--validation {validation}: a share of the subjects, above 0 and below 1")
    start = starting_folder(init) if init else None
    inputs = read_inputs(start) if start else None
    inputs, net = (inputs, load_facenet(inputs.weights)) if inputs else default_inputs(face_weights)
    inputs = inputs if adapt is None else replace(inputs, adapt=adapt)
    if end_to_end and len(data) > 1:
        raise InputError(f"--end-to-end takes one dataset, not {len(data)}; put them into one folder")
    datasets = {str(root): read_dataset(root, layout) for root in data}
    check_trainable(list(datasets.values()))
    check_writable(out)
    report_repairs(join_repairs(*(d.repairs for d in datasets.values())), report or out / REPORT)
    inputs, start = with_signals(inputs, start, signals, openface, pyfeat)
    vectors, sources = cache or out / "vectors", given_folders(openface=openface, pyfeat=pyfeat)
    records = join_sets(
        {n: records_of(d, net, inputs, vectors, sources=sources) for n, d in datasets.items()}
    )
    if start is not None and not isinstance(start, Path):
        start = start(records)
    default = TrainConfig() if start is None else FINE_TUNING
    settings = replace(default, seed=seed, epochs=default.epochs if epochs is None else epochs)
    validated = len({r.subject for r in records}) > 1
    if not validated:
        print("one subject only: no validation; all epochs are run and the threshold is not changed")
    config = default_config(records) if start is None else None
    folder, share = out / "frozen" if end_to_end else out, validation if validated else None
    result = fit(records, config, settings, validation=share, out=folder, init=start)
    save_inputs(folder, inputs)
    print_training(folder, result, result.model)
    if end_to_end:
        tuned = tune(datasets[str(data[0])], folder, out, share, seed, tuning_epochs, sources, cache)
        if share is not None:
            print_tuning_gain(folder, result.history["monitored"].max(), tuned.history["monitored"].max())


def tune(
    dataset: "Dataset",
    frozen: Path,
    out: Path,
    validation: float | None,
    seed: int,
    epochs: int | None,
    sources: dict[str, Path],
    cache: Path | None,
) -> Any:
    """Trains the detector in `frozen` further, with the face network unfrozen, into `out`."""
    import shutil
    from dataclasses import replace

    from fedet.detection import TUNED, load_detector
    from fedet.faces.novelty import FILE
    from fedet.training.config import TuningConfig
    from fedet.training.end_to_end import TUNING, estimate_minutes, train_end_to_end
    from fedet.training.face_crops import face_videos_of
    from fedet.training.model_selection import hold_out
    from fedet.training.novelty import describe_weights

    start = load_detector(frozen)
    crops = cache or out / "crops"
    videos = face_videos_of(dataset, start.net, start.inputs, crops, sources=sources)
    settings = replace(TUNING, seed=seed, epochs=TUNING.epochs if epochs is None else epochs)
    split = hold_out(videos, validation, seed) if validation else (videos, [])
    minutes = estimate_minutes(*split, start, settings, TuningConfig())
    print(f"tuning the face network: about {minutes:.0f} minutes on this processor; if stopped, the same")
    print("command resumes; --tuning-epochs makes it shorter")
    result = train_end_to_end(videos, start, settings, validation=validation, out=out)
    if cache is None:
        shutil.rmtree(crops)  # pictures of faces
    if not (out / TUNED / FILE).exists():
        print("computing feature statistics for the novelty check")
        describe_weights(out / TUNED)
    print_training(out, result, result.detector.model)
    return result


def print_tuning_gain(frozen: Path, before: float, after: float) -> None:
    """Prints the validation figure before and after tuning, and which detector to use if it did not help."""
    advice = "" if after > before else f"; tuning did not help, use the detector in {frozen}"
    print(f"on the validation subjects {before:.3f} before tuning, {after:.3f} after{advice}")


def print_training(out: Path, result, model) -> None:
    print(result.history.tail(3).to_string(index=False, float_format="{:.3g}".format))
    print(f"detector in {out}: epoch {result.best_epoch}, threshold {model.config.default_threshold:.2f}")


@app.command()
def learn(
    videos: Annotated[Path, typer.Argument(help="Folder of the videos, or one video.")],
    reviews: Annotated[
        list[Path],
        typer.Argument(help="Reviews: journals (.review.jsonl), exports or ELAN files, or folders of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the detector.")],
    init: Annotated[str, typer.Option(help="Start from this detector's folder, or 'shipped'.")] = "shipped",
    epochs: Annotated[int | None, typer.Option(help="Passes over the reviewed videos at most.")] = None,
    folds: Annotated[int, typer.Option(help="Folds of subjects, to test whether learning helps.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the frames' vectors; default: OUT/vectors.")
    ] = None,
) -> None:
    """Learns from reviewed videos; keeps only what helps on held-out people."""
    from dataclasses import replace

    from fedet.detection import read_inputs, save_inputs
    from fedet.faces.network import load_facenet
    from fedet.review.reviewed_dataset import reviewed_dataset
    from fedet.training.fine_tuning import FINE_TUNING, minutes_of, save_result, verdict
    from fedet.training.fine_tuning import learn as fine_tune
    from fedet.training.records import records_of

    check_options(epochs, seed=seed)
    if folds < 2:
        raise InputError(f"--folds {folds}: at least 2, one to learn from and one to judge on")
    start = starting_folder(init)
    inputs = read_inputs(start)
    dataset = reviewed_dataset(videos, reviews)
    print(dataset.summary())
    report_repairs(dataset.repairs, out / REPORT)
    records = records_of(dataset, load_facenet(inputs.weights), inputs, cache or out / "vectors")
    print(f"{minutes_of(records):.1f} reviewed minutes")
    config = replace(FINE_TUNING, seed=seed, epochs=FINE_TUNING.epochs if epochs is None else epochs)
    result = fine_tune(records, start, config, folds=folds)
    save_result(result, out)
    save_inputs(out, inputs)
    print(verdict(result))
    print(f"detector in {out}, threshold {result.model.config.default_threshold:.2f}")


def with_signals(inputs: "Inputs", start: Path | None, signals: str, *folders: Path | None):
    """The inputs with the requested side signals, and what training starts from.

    A detector without these signals gets further channels, which it ignores at first. Their scale comes
    from the records, so the start is then a function of the records.
    """
    from dataclasses import replace

    requested = [name for name in signals.split(",") if name]
    given = [name for name, folder in zip(("openface", "pyfeat"), folders, strict=True) if folder]
    requested = tuple(dict.fromkeys([*requested, *given]))
    if not requested or requested == inputs.signals:
        return inputs, start
    if inputs.signals:
        raise InputError(
            f"{start} reads {', '.join(inputs.signals)}; start anew to read {', '.join(requested)}"
        )
    inputs = replace(inputs, signals=requested)
    if start is None:
        return inputs, None

    def widen(records):
        from fedet.model import FEDN
        from fedet.training.records import widen_input
        from fedet.video.side_signals import channels_of

        return widen_input(FEDN.from_pretrained(start), records, len(channels_of(requested)))

    return inputs, widen


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the weights.")],
    people: Annotated[int, typer.Option(help="Generated people, each drawn four times.")] = 24_000,
    families: Annotated[str, typer.Option(help="Renderers, in equal parts.")] = "shapes,relief,mesh",
    passes: Annotated[str, typer.Option(help="Side of the crops in each pass, pixels.")] = "80,80,96,96",
    lr: Annotated[float, typer.Option(help="Learning rate at its highest.")] = 2e-3,
    init: Annotated[str, typer.Option(help="Weights to start from; default: random ones.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of people and training.")] = 1,
    batch_size: Annotated[int, typer.Option(help="People in a step.")] = 32,
    device: Annotated[str, typer.Option(help="Where to generate and train: cpu, cuda.")] = "cpu",
    landmarks: Annotated[
        bool, typer.Option(show_default=False, help="Train the network that finds points of the face.")
    ] = False,
    minutes: Annotated[float, typer.Option(help="With --landmarks: how long it learns.")] = 75.0,
) -> None:
    """Trains the ResNet18 that reads faces, on generated faces alone (about two hours on two cores).

    With --landmarks it is the network that finds points of the face; people are drawn while it learns,
    and an interrupted run resumes.
    """
    kinds = tuple(k.strip() for k in families.split(","))
    if landmarks:
        from fedet.training.landmarks.learning import LandmarkConfig, learn_landmarks

        config = LandmarkConfig(people=people, families=kinds, lr=lr, seed=seed, batch=batch_size)
        print(f"weights in {learn_landmarks(out, config, minutes)}")
        return
    from fedet.training.novelty import describe_weights
    from fedet.training.pretraining import PretrainConfig
    from fedet.training.pretraining import pretrain as fit

    if not all(part.strip().isdigit() for part in passes.split(",")):
        raise InputError(f"--passes is {passes!r}; give sides in pixels, like 80,96")
    sizes = tuple(map(int, passes.split(",")))
    settings = PretrainConfig(people=people, families=kinds, sizes=sizes, lr=lr, seed=seed, batch=batch_size)
    fit(out, settings, init or None, device=device)
    print("computing feature statistics for the novelty check")
    describe_weights(out)
    print(f"weights in {out}; use them with --face-weights {out}")

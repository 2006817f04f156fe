"""The `fedet` command. Heavy modules are imported by the command that needs them."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedet.errors import InputError

app = typer.Typer(
    help="Finds facial expressions in long videos: when each starts and ends, and which emotion it is.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip

OpenFace = Annotated[Path | None, typer.Option(help="OpenFace CSVs, named after the videos.")]
PyFeat = Annotated[Path | None, typer.Option(help="py-feat CSVs, named after the videos.")]
Adapt = Annotated[
    float | None, typer.Option(help="Share of each video's own statistics, 0 to 1; default: 0, or INIT's.")
]
Weights = Annotated[Path | None, typer.Option(help="A detector's folder; default: the shipped one.")]


def main() -> None:
    """Runs the command; bad input ends with one line and exit code 2."""
    try:
        app()
    except InputError as error:
        say(error)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        say(f"{place}{error.strerror or error}; name another place")
        sys.exit(2)


def check_options(
    epochs: int | None = None, jobs: int | None = None, seed: int | None = None, adapt: float | None = None
) -> None:
    """Refuses numbers that no command can use, before any video is read."""
    if epochs is not None and epochs < 1:
        raise InputError(f"--epochs {epochs}: at least 1")
    if jobs == 0:
        raise InputError("--jobs 0: a number of processes, or -1 for one for each core")
    if seed is not None and seed < 0:
        raise InputError(f"--seed {seed}: 0 or more")
    if adapt is not None and not 0 <= adapt <= 1:
        raise InputError(f"--adapt {adapt}: a share, from 0 to 1")


def start_of(init: str) -> Path:
    """The detector's folder that --init means. Raises InputError where there is none."""
    from fedet.features import shipped
    from fedet.model import read_config

    start = shipped("detector") if init == "shipped" else Path(init)
    if not start.is_dir():
        raise InputError(f"--init {init}: no such folder; name a detector's folder, or 'shipped'")
    read_config(start)
    return start


def say(error: Exception | str) -> None:
    print(f"fedet: {' '.join(str(error).split())}", file=sys.stderr)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder for videos/ and annotations.csv.")],
    subjects: Annotated[int, typer.Option(help="Generated people.")] = 4,
    videos: Annotated[int, typer.Option(help="Videos of each.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of each video.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Other people and events for another number.")] = 0,
    renderer: Annotated[
        str, typer.Option(help="Family of faces: shapes, relief, mesh; splats to test.")
    ] = "shapes",
    size: Annotated[int, typer.Option(help="Side of the square pictures, pixels.")] = 144,
    events_per_minute: Annotated[float, typer.Option(help="Mean number of expressions.")] = 6.0,
    intensity: Annotated[float, typer.Option(help="Scales the strength of every expression.")] = 1.0,
    held_share: Annotated[float, typer.Option(help="Share of macro-expressions held for 1.5-6 s.")] = 0.0,
    confounders: Annotated[
        str, typer.Option(help="Strengths, like talking=2,head=0.5; 'all=0' for none.")
    ] = "",
    benchmark: Annotated[str, typer.Option(help="A benchmark: easy, default, hard or unseen.")] = "",
    sound: Annotated[bool, typer.Option(help="A sound track: a voice while the mouth talks.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = -1,
) -> None:
    """Generates face videos with exact annotations; goes on where it was stopped."""
    from fedet.synthetic.generator import SynthConfig, parse_confounders, synthesize

    check_options(jobs=jobs)
    config = SynthConfig(
        subjects=subjects, videos=videos, seconds=seconds, seed=seed, size=size, intensity=intensity,
        renderer=renderer, events_per_minute=events_per_minute, held_share=held_share,
        confounders=parse_confounders(confounders), sound=sound,
    )  # fmt: skip
    if benchmark:
        from fedet.synthetic.benchmark import benchmark_config

        if config != SynthConfig():
            raise InputError("--benchmark sets everything itself; leave the other options out")
        config = benchmark_config(benchmark)
    synthesize(out, config, jobs)
    print(f"{config.subjects * config.videos} videos and annotations.csv are in {out}")


@app.command()
def detect(
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of videos or of frames.")],
    out: Annotated[Path | None, typer.Option(help="Folder for detections.csv; none: only print.")] = None,
    weights: Weights = None,
    threshold: Annotated[float | None, typer.Option(help="Lowest score; default: the detector's.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            "--keep-vectors",
            help="Keep the frames' vectors here; detect reads them again when the frames are deleted.",
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Rate of folders of images; default: 30.")] = None,
    abstain: Annotated[bool, typer.Option(help="Leave out what shows faces unlike all known ones.")] = False,
    thumbnails: Annotated[bool, typer.Option(help="Pictures of the apexes into OUT.")] = False,
    blur_faces: Annotated[bool, typer.Option(help="Make the faces in them unrecognisable.")] = False,
    openface: OpenFace = None,
    pyfeat: PyFeat = None,
) -> None:
    """Finds the expressions in videos: a table of start, end, emotion, type and score."""
    from fedet.detection import detect as detect_one
    from fedet.detection import load_detector
    from fedet.folders import videos_in

    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: a score lies between 0 and 1")
    if (thumbnails or blur_faces) and (out is None or not thumbnails):
        raise InputError("--thumbnails writes into --out DIR; --blur-faces goes with --thumbnails")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    found = list(dict.fromkeys(video for given in videos for video in videos_in(given)))
    detector = load_detector(weights)
    tables, failed = [], 0
    for video, name in zip(found, told_apart(found), strict=True):
        try:
            subject = name if name != plain_name(video) else None
            table = detect_one(
                video, detector, threshold, subject, True, cache, fps,
                sources=named(openface=openface, pyfeat=pyfeat), abstain=abstain,
            )  # fmt: skip
            tables.append(table)
            if out is not None:
                save_detections(out, tables)  # after each video: whatever ends the run, these are there
            print_detections(video, table)
            if thumbnails and len(table) and video.suffix != ".f16":
                save_thumbnails(out / f"{one_part(name)}_apexes.png", video, table, blur_faces)
        except InputError as error:
            say(error)
            failed += 1
    if out is not None and tables:
        print(f"written: {out / 'detections.csv'}, {out / 'missing_faces.csv'}")
    if failed:
        sys.exit(2)


def plain_name(video: Path) -> str:
    """What `fedet.detect` calls a video: a file without its suffix, a folder whole."""
    return video.name if video.is_dir() else video.stem


def one_part(name: str) -> str:
    return name.replace("/", "_")


def told_apart(videos: list[Path]) -> list[str]:
    """A name for each video that no other has, as part of a file's name too: the plain one, else with
    its folder, with its suffix, as a last resort the whole path."""
    from collections import Counter

    ways = [
        [plain_name(v) for v in videos],
        [f"{v.parent.name}/{plain_name(v)}" for v in videos],
        [f"{v.parent.name}/{v.name}" for v in videos],
        [v.as_posix() for v in videos],
    ]
    counts, names, taken = [Counter(map(one_part, way)) for way in ways], [], set()
    for tries in zip(*ways, strict=True):
        alone = [n for n, count in zip(tries, counts, strict=True) if count[one_part(n)] == 1]
        names.append(next((n for n in alone if one_part(n) not in taken), tries[-1]))
        taken.add(one_part(names[-1]))
    return names


def named(**folders: Path | None) -> dict[str, Path]:
    """The folders that were given."""
    return {name: folder for name, folder in folders.items() if folder is not None}


def save_thumbnails(target: Path, video: Path, table, blur: bool) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from fedet.thumbnails import plot_apexes

    target.parent.mkdir(parents=True, exist_ok=True)
    plot_apexes(video, table, blur=blur)[0].figure.savefig(target, dpi=120)
    print(f"  written: {target}")


def print_detections(video: Path, table) -> None:
    notes = table.attrs
    print(f"{video}: {len(table)} expression{'s' * (len(table) != 1)} in {notes['seconds']:.1f} s")
    if len(table):
        shown = table[["onset", "offset", "emotion", "expression_type", "score"]].copy()
        shown.insert(0, "start_s", table["onset"] / table["fps"])
        shown.insert(1, "end_s", (table["offset"] + 1) / table["fps"])
        print(shown.to_string(index=False, float_format="{:.2f}".format))
    missing = notes["missing"]
    if missing and sum(m["end_s"] - m["start_s"] for m in missing) >= notes["seconds"] - 0.05:
        print("  no face was found in this video")
    elif missing:
        spans = ", ".join(f"{m['start_s']:.1f}-{m['end_s']:.1f} s" for m in missing[:8])
        print(f"  no face: {spans}{' ...' if len(missing) > 8 else ''}")
    strange = sum(share > 0.5 for share in notes.get("unfamiliar") or ())
    if strange:
        print(f"  {strange} of them on faces unlike those it learned from: look twice, or --abstain")
    for problem in notes["problems"]:
        print(f"  note: {problem}", file=sys.stderr)


def save_detections(out: Path, tables: list) -> None:
    import pandas as pd

    from fedet.annotations import write_csv
    from fedet.files import replaced

    out.mkdir(parents=True, exist_ok=True)
    write_csv(pd.concat(tables, ignore_index=True), out / "detections.csv")
    spans = [span | {"video": t.attrs["video"]} for t in tables for span in t.attrs["missing"]]
    columns = ["start_frame", "end_frame", "start_s", "end_s", "video"]
    with replaced(out / "missing_faces.csv") as part:
        pd.DataFrame(spans, columns=columns).to_csv(part, index=False)


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(help="Folders of datasets: annotations and videos.")],
    out: Annotated[Path, typer.Option(help="Folder for the detector.")],
    init: Annotated[str, typer.Option(help="Start from this detector's folder, or 'shipped'.")] = "",
    layout: Annotated[str | None, typer.Option(help="casme2, casme3, samm, tidy or own.")] = None,
    face_weights: Annotated[str, typer.Option(help="faces, imagenet or a ResNet18 checkpoint.")] = "faces",
    adapt: Adapt = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at most.")] = None,
    validation: Annotated[float, typer.Option(help="Share of subjects to choose on.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Frames' vectors; default: OUT/vectors.")] = None,
    signals: Annotated[str, typer.Option(help="Read beside the face, like loudness,speech.")] = "",
    openface: OpenFace = None,
    pyfeat: PyFeat = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Then tune the face network too, from OUT/frozen; slow.")
    ] = False,
    tuning_epochs: Annotated[int | None, typer.Option(help="Passes of --end-to-end at most.")] = None,
) -> None:
    """Trains a detector on annotated videos; goes on where it was stopped."""
    from dataclasses import replace

    from fedet.datasets import read_dataset
    from fedet.detection import fresh_config, fresh_inputs, joined, read_inputs, records_of, save_inputs
    from fedet.features import load_facenet
    from fedet.learning import FINE_TUNING
    from fedet.training import TrainConfig
    from fedet.training import train as fit

    check_options(epochs, seed=seed, adapt=adapt)
    if tuning_epochs is not None and tuning_epochs < 1:
        raise InputError(f"--tuning-epochs {tuning_epochs}: at least 1")
    if not 0 < validation < 1:
        raise InputError(f"--validation {validation}: a share of the subjects, above 0 and below 1")
    start = start_of(init) if init else None
    inputs = read_inputs(start) if start else None
    inputs, net = (inputs, load_facenet(inputs.weights)) if inputs else fresh_inputs(face_weights)
    inputs = inputs if adapt is None else replace(inputs, adapt=adapt)
    if end_to_end and len(data) > 1:
        raise InputError(f"--end-to-end takes one dataset, not {len(data)}; put them into one folder")
    datasets = {str(folder): read_dataset(folder, layout) for folder in data}
    for dataset in datasets.values():
        report_repairs(dataset.repairs)
    inputs, start = with_signals(inputs, start, signals, openface, pyfeat)
    kept, sources = cache or out / "vectors", named(openface=openface, pyfeat=pyfeat)
    records = joined({n: records_of(d, net, inputs, kept, sources=sources) for n, d in datasets.items()})
    if start is not None and not isinstance(start, Path):
        start = start(records)
    default = TrainConfig() if start is None else FINE_TUNING
    settings = replace(default, seed=seed, epochs=default.epochs if epochs is None else epochs)
    several = len({r.subject for r in records}) > 1
    if not several:
        print("one subject only: no validation; all epochs are run, the threshold stays as it was")
    config = fresh_config(records) if start is None else None
    place, share = out / "frozen" if end_to_end else out, validation if several else None
    result = fit(records, config, settings, validation=share, out=place, init=start)
    save_inputs(place, inputs)
    print_training(place, result, result.model)
    if end_to_end:
        tuned = tune(datasets[str(data[0])], place, out, share, seed, tuning_epochs, sources, cache)
        if share is not None:
            print_better(place, result.history["monitored"].max(), tuned.history["monitored"].max())


def tune(dataset, frozen: Path, out: Path, validation: float | None, seed, epochs, sources, cache):
    """Goes on from a detector with the face network unfrozen."""
    import shutil
    from dataclasses import replace

    from fedet.crops import face_videos_of
    from fedet.detection import TUNED, load_detector
    from fedet.end_to_end import TUNING, Tuning, estimated_minutes, train_end_to_end
    from fedet.novelty import FILE, recompute
    from fedet.selection import hold_out

    start = load_detector(frozen)
    crops = cache or out / "crops"
    videos = face_videos_of(dataset, start.net, start.inputs, crops, sources=sources)
    settings = replace(TUNING, seed=seed, epochs=TUNING.epochs if epochs is None else epochs)
    parts = hold_out(videos, validation, seed) if validation else (videos, [])
    minutes = estimated_minutes(*parts, start, settings, Tuning())
    print(f"tuning the face network: about {minutes:.0f} minutes on this processor; if stopped, the same")
    print("command goes on; --tuning-epochs makes it shorter")
    result = train_end_to_end(videos, start, settings, validation=validation, out=out)
    if cache is None:
        shutil.rmtree(crops)  # pictures of faces
    if not (out / TUNED / FILE).exists():
        print("describing its vectors, so that unfamiliar faces can be told")
        recompute(out / TUNED)
    print_training(out, result, result.detector.model)
    return result


def print_better(frozen: Path, before: float, after: float) -> None:
    text = f"on the validation subjects {before:.3f} before tuning, {after:.3f} after"
    print(
        text
        + ("" if after > before else f": tuning did not help, the detector in {frozen} is to be preferred")
    )


def print_training(out: Path, result, model) -> None:
    print(result.history.tail(3).to_string(index=False, float_format="{:.3g}".format))
    print(f"detector in {out}: epoch {result.best_epoch}, threshold {model.config.default_threshold:.2f}")


@app.command()
def crossval(
    data: Annotated[Path, typer.Argument(help="A dataset's folder: annotations and videos.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions and results.json.")],
    method: Annotated[
        list[str] | None, typer.Option(help="fedn, two-stage, frame-wise or flow; again for more.")
    ] = None,
    folds: Annotated[str, typer.Option(help="loso, or a number of folds.")] = "loso",
    seeds: Annotated[int, typer.Option(help="How often all is trained.")] = 3,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, like tcp://host:8786.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows in a step; fewer for a small set.")] = None,
    layout: Annotated[str, typer.Option(help="casme2, casme3, samm, tidy or own.")] = "",
    missing_offset: Annotated[str, typer.Option(help="apex_mirror, apex or drop.")] = "apex_mirror",
    face_weights: Annotated[str, typer.Option(help="Default: those of the shipped detector.")] = "",
    adapt: Adapt = None,
    cache: Annotated[Path | None, typer.Option(help="Frames' vectors; default: OUT/vectors.")] = None,
    checkpoints: Annotated[bool, typer.Option(help="Killed folds go on at their last epoch.")] = False,
) -> None:
    """Measures methods on subjects they never saw; goes on where it was stopped."""
    from fedet.comparison import failures, results_of, write_results
    from fedet.loop import TrainConfig
    from fedet.methods import METHODS
    from fedet.results_page import as_text
    from fedet.studies import open_study

    check_options(epochs, jobs, adapt=adapt)
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: at least 1")
    if unknown := [name for name in method or () if name not in METHODS]:
        raise InputError(f"--method {unknown[0]}: one of {', '.join(METHODS)}")
    study = open_study(data, layout, missing_offset, face_weights, out, cache=cache, adapt=adapt or 0.0)
    report_repairs(study.dataset.repairs)
    asked = {"epochs": epochs, "batch_size": batch_size}
    changed = {name: value for name, value in asked.items() if value is not None}
    shown = changed if adapt is None else changed | {"adapt": adapt}
    runs = study.compare(
        method or ["fedn"], out, TrainConfig(**changed) if changed else None,
        folds=folds, seeds=seeds, jobs=jobs, scheduler=scheduler, checkpoints=checkpoints,
    )  # fmt: skip
    if failed := failures(runs):
        for line in failed:
            print(f"fedet: {line}", file=sys.stderr)
        print("fedet: the same command runs these again and keeps the rest", file=sys.stderr)
        sys.exit(1)
    named = " ".join(f"--method {name}" for name in runs)
    command = f"fedet crossval {data.name}/ {named} --folds {folds} --seeds {seeds} --out {out.name}/"
    command += "".join(f" --{name.replace('_', '-')} {value}" for name, value in shown.items())
    found = results_of(runs, study.data | {"command": command})
    write_results(found, out / "results.json")
    print(as_text(found))
    print(f"written: {out / 'results.json'}")


@app.command()
def results(
    found: Annotated[list[Path], typer.Argument(help="results.json of one or more sweeps.")],
    write: Annotated[Path | None, typer.Option(help="Put the tables into this file, e.g. README.md.")] = None,
) -> None:
    """Prints results tables, or writes them between the markers of a page."""
    from fedet.comparison import read_results
    from fedet.results_page import results_page, update_page

    page = results_page([read_results(path) for path in found])
    if write is None:
        print(page)
    else:
        update_page(write, page)
        print(f"written: {write}")


@app.command()
def learn(
    videos: Annotated[Path, typer.Argument(help="Folder of the videos, or one video.")],
    reviews: Annotated[list[Path], typer.Argument(help="Journals, exports, ELAN files; or their folders.")],
    out: Annotated[Path, typer.Option(help="Folder for the detector.")],
    init: Annotated[str, typer.Option(help="Start from this detector's folder, or 'shipped'.")] = "shipped",
    epochs: Annotated[int | None, typer.Option(help="Passes over the reviewed videos at most.")] = None,
    folds: Annotated[int, typer.Option(help="Parts of the subjects that judge what helps.")] = 3,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Frames' vectors; default: OUT/vectors.")] = None,
) -> None:
    """Learns from reviewed videos: keeps what helps on people it did not learn from."""
    import warnings
    from dataclasses import replace

    from fedet.detection import read_inputs, records_of, save_inputs
    from fedet.features import load_facenet
    from fedet.learning import FINE_TUNING, minutes_of, save_lesson, verdict
    from fedet.learning import learn as tune
    from fedet.reviews import reviewed_dataset

    check_options(epochs, seed=seed)
    if folds < 2:
        raise InputError(f"--folds {folds}: at least 2, one to learn from and one to judge on")
    start = start_of(init)
    inputs = read_inputs(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the report of repairs says it, too
        dataset = reviewed_dataset(videos, reviews)
    print(dataset.summary())
    report_repairs(dataset.repairs)
    records = records_of(dataset, load_facenet(inputs.weights), inputs, cache or out / "vectors")
    print(f"{minutes_of(records):.1f} reviewed minutes")
    config = replace(FINE_TUNING, seed=seed, epochs=FINE_TUNING.epochs if epochs is None else epochs)
    lesson = tune(records, start, config, folds=folds)
    save_lesson(lesson, out)
    save_inputs(out, inputs)
    print(verdict(lesson))
    print(f"detector in {out}, threshold {lesson.model.config.default_threshold:.2f}")


def with_signals(inputs, start: Path | None, signals: str, *folders: Path | None):
    """The inputs with the side signals asked for, and what training starts from.

    A detector that did not read them yet gets further channels, which it ignores at first; their
    scale comes from the records, so the start is then a function of these.
    """
    from dataclasses import replace

    wanted = [name for name in signals.split(",") if name]
    given = [name for name, folder in zip(("openface", "pyfeat"), folders, strict=True) if folder]
    wanted = tuple(dict.fromkeys([*wanted, *given]))
    if not wanted or wanted == inputs.signals:
        return inputs, start
    if inputs.signals:
        raise InputError(f"{start} reads {', '.join(inputs.signals)}; start anew to read {', '.join(wanted)}")
    inputs = replace(inputs, signals=wanted)
    if start is None:
        return inputs, None

    def widen(records):
        from fedet.model import FEDN
        from fedet.signals import channels_of, widened

        return widened(FEDN.from_pretrained(start), records, len(channels_of(wanted)))

    return inputs, widen


def report_repairs(repairs) -> None:
    if len(repairs):
        counts = repairs["action"].value_counts()
        print("annotations: " + ", ".join(f"{n} {action}" for action, n in counts.items()))
        print(repairs.head(10).to_string(index=False))


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Intervals with scores.")],
    truth: Annotated[Path, typer.Argument(help="Annotated intervals, or a dataset's folder.")],
    out: Annotated[Path | None, typer.Option(help="Write everything as JSON here.")] = None,
    tiou: Annotated[float, typer.Option(help="Overlap that counts as found.")] = 0.5,
    threshold: Annotated[
        float, typer.Option(help="Count from this score on; average precision and calibration rank all.")
    ] = 0.0,
    score: Annotated[float | None, typer.Option(help="Score of predictions that have none.")] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of subjects.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    fps: Annotated[float | None, typer.Option(help="Frames a second where the files do not say.")] = None,
) -> None:
    """Scores predictions: spotting, recognition, detection, with intervals over subjects."""
    from fedet.comparison import evaluate_pooled
    from fedet.datasets import read_dataset
    from fedet.formats import read_intervals

    check_options(seed=seed)
    if math.isnan(threshold):
        raise InputError("--threshold nan: a number, from which predictions count")
    found, repairs = read_intervals(predictions, fps=fps)
    report_repairs(repairs)
    videos = None
    if truth.is_dir():
        dataset = read_dataset(truth)
        table, repairs, videos = dataset.annotations, dataset.repairs, dataset.videos
    else:
        table, repairs = read_intervals(truth, fps=fps)
    report_repairs(repairs)
    if score is not None:
        found["score"] = found["score"].fillna(score)
    found["threshold"] = threshold
    result = evaluate_pooled(found, table, videos, tiou=tiou, fps=fps, n_resamples=resamples, seed=seed)
    print(result.format())
    if out is not None:
        result.to_json(out)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help=".csv, .tsv, .json, .eaf, .vtt, .srt; folder of .eaf.")],
    target: Annotated[Path, typer.Argument(help="The file to write; its suffix is the format.")],
    fps: Annotated[float | None, typer.Option(help="Frames a second where the source has none.")] = None,
    video: Annotated[
        Path | None, typer.Option(help="The video, or a folder of them: rate, and link in ELAN.")
    ] = None,
) -> None:
    """Converts intervals between CSV, ActivityNet JSON, ELAN, WebVTT and BORIS, frames preserved."""
    from fedet.formats import convert as convert_file

    report_repairs(convert_file(source, target, fps, video))
    print(f"written: {target}")


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the weights.")],
    people: Annotated[int, typer.Option(help="Generated people, each drawn four times.")] = 24_000,
    families: Annotated[str, typer.Option(help="Renderers, in equal parts.")] = "shapes,relief,mesh",
    passes: Annotated[str, typer.Option(help="Side of the crops in each pass, pixels.")] = "80,80,96,96",
    lr: Annotated[float, typer.Option(help="Learning rate at its highest.")] = 2e-3,
    init: Annotated[str, typer.Option(help="Weights to go on from; none: from noise.")] = "",
    seed: Annotated[int, typer.Option(help="Of people and training.")] = 1,
    batch: Annotated[int, typer.Option(help="People in a step.")] = 32,
    device: Annotated[str, typer.Option(help="Where to draw and learn: cpu, cuda.")] = "cpu",
) -> None:
    """Trains the ResNet18 that reads faces, on generated faces alone (about two hours on two cores)."""
    from fedet.errors import InputError
    from fedet.novelty import recompute
    from fedet.pretraining import PretrainConfig
    from fedet.pretraining import pretrain as fit

    if not all(part.strip().isdigit() for part in passes.split(",")):
        raise InputError(f"--passes is {passes!r}; give sides in pixels, like 80,96")
    sizes, kinds = tuple(map(int, passes.split(","))), tuple(k.strip() for k in families.split(","))
    config = PretrainConfig(people=people, families=kinds, sizes=sizes, lr=lr, seed=seed, batch=batch)
    fit(out, config, init or None, device=device)
    print("describing its vectors, so that unfamiliar faces can be told")
    recompute(out)
    print(f"weights in {out}; use them with --face-weights {out}")


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="quick (minutes) or standard.")] = "quick",
    data: Annotated[Path | None, typer.Option(help="A dataset's folder; none: generated faces.")] = None,
    out: Annotated[Path | None, typer.Option(help="The report's folder; default: reports/PROFILE.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", help="Like seed=3; 00.seed=3: of one notebook."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Numbers of notebooks, like 01,03; default: all.")
    ] = None,
    notebooks: Annotated[Path | None, typer.Option(help="Their folder; default: the suite's.")] = None,
    fresh: Annotated[bool, typer.Option(help="Run again what is finished and unchanged.")] = False,
    cell_minutes: Annotated[
        float | None,
        typer.Option(help="Limit for one cell; 0: none. Default: 30, or 10 times its notebook"),
    ] = None,
) -> None:
    """Runs the notebooks into one page that opens anywhere, offline; goes on where it was stopped."""
    from fedet.report.make import make_report

    out = out or Path("reports") / profile
    chosen = {"only": only or (), "values": parameter or ()}
    outcome = make_report(
        out, profile, data, notebooks=notebooks, fresh=fresh, cell_minutes=cell_minutes, **chosen
    )
    failed = [name for name, what in outcome.items() if what not in ("done", "kept")]
    print(f"Look at {out / 'report.html'}")
    if failed:
        print(
            f"fedet: {len(failed)} of {len(outcome)} notebooks failed: {', '.join(failed)}", file=sys.stderr
        )
        sys.exit(1)


if __name__ == "__main__":
    main()

"""`fedet synth` and `fedet convert`."""

from pathlib import Path
from typing import Annotated

import typer

from fedet.cli.app import Fps, Report, app, check_options, check_report, report_repairs
from fedet.errors import InputError


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder for videos/ and annotations.csv.")],
    subjects: Annotated[int, typer.Option(help="Generated people.")] = 4,
    videos: Annotated[int, typer.Option(help="Videos of each.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of each video.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed: another number gives other people and events.")] = 0,
    renderer: Annotated[
        str, typer.Option(help="Kind of faces: shapes, relief or mesh; splats, for tests only.")
    ] = "shapes",
    size: Annotated[int, typer.Option(help="Side of the square pictures, pixels.")] = 144,
    events_per_minute: Annotated[float, typer.Option(help="Mean number of expressions.")] = 6.0,
    intensity: Annotated[float, typer.Option(help="Scales the strength of every expression.")] = 1.0,
    held_share: Annotated[float, typer.Option(help="Share of macro-expressions held for 1.5-6 s.")] = 0.0,
    confounders: Annotated[
        str, typer.Option(help="Strength of distractions, like talking=2,head=0.5; all=0: none.")
    ] = "",
    benchmark: Annotated[
        str, typer.Option(help="A benchmark: easy, default, hard, unseen or people60.")
    ] = "",
    together: Annotated[int, typer.Option(help="People in one picture, side by side.")] = 1,
    sound: Annotated[
        bool, typer.Option(show_default=False, help="Add a sound track: a voice while the mouth talks.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = -1,
) -> None:
    """Generates face videos with exact annotations; resumes where it was stopped."""
    from fedet.synthetic.generator import SynthConfig, parse_confounders, synthesize

    check_options(jobs=jobs)
    config = SynthConfig(
        subjects=subjects, videos=videos, seconds=seconds, seed=seed, size=size, intensity=intensity,
        renderer=renderer, events_per_minute=events_per_minute, held_share=held_share,
        confounders=parse_confounders(confounders), sound=sound, together=together,
    )  # fmt: skip
    if benchmark:
        from fedet.synthetic.benchmark import benchmark_config

        of_people = benchmark == "people60" and seed != SynthConfig.seed  # the seed draws them
        if config != (SynthConfig(seed=seed) if of_people else SynthConfig()):
            raise InputError("--benchmark sets everything itself; leave the other options out")
        config = benchmark_config(benchmark, seed if of_people else None)
    synthesize(out, config, jobs)
    print(f"{config.groups * config.videos} videos and annotations.csv are in {out}")


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(help=".csv, .tsv, .txt, .json, .eaf, .vtt, .srt, .boris; folder of .eaf or .vtt."),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            help="The file to write; its suffix is the format: .csv, .json, .eaf, .vtt, .boris, "
            ".boris.csv, .megc.csv, .srt, .TextGrid."
        ),
    ],
    fps: Fps = None,
    video: Annotated[
        Path | None,
        typer.Option(help="The video, or a folder of videos: gives the frame rate and the link in ELAN."),
    ] = None,
    report: Report = None,
    overwrite: Annotated[
        bool, typer.Option(show_default=False, help="Replace an existing file with other content.")
    ] = False,
    template: Annotated[
        Path | None, typer.Option(help="ELAN: the .etf or .eaf whose tiers a new .eaf begins with.")
    ] = None,
) -> None:
    """Converts intervals between CSV, ActivityNet JSON, ELAN, WebVTT, BORIS and MEGC, frames preserved."""
    from fedet.annotations.formats import convert_labels

    check_report(report)
    if report is not None and report.resolve() == target.resolve():
        raise InputError(f"--report {report}: is the file to be written; name another one")
    labels = convert_labels(source, target, fps, video, overwrite, template)
    report_repairs(labels.repairs, report, labels.n_read())
    print(f"written: {target}")

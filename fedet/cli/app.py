"""The command line application, and options and functions that its commands share.

Each command imports the heavy modules that it needs itself, so that `fedet --help` is quick.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedet import __version__
from fedet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 10  # lines of the report that are printed
OLD_NAMES = {
    "batch": "batch-size",
    "keep-vectors": "cache",
}  # of options: these still work, and are not shown
REPORT = "labels_report.csv"  # the whole report, in an output folder

app = typer.Typer(
    help="Finds facial expressions in long videos: when each starts and ends, and which emotion it is.",
    no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: OLD_NAMES.get(name, name),
    },
)  # fmt: skip


def _print_version(requested: bool) -> None:
    if requested:
        print(f"fedet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


OpenFace = Annotated[Path | None, typer.Option(help="OpenFace CSVs, named after the videos.")]
PyFeat = Annotated[Path | None, typer.Option(help="py-feat CSVs, named after the videos.")]
Adapt = Annotated[
    float | None,
    typer.Option(help="How far the face network adapts to each video, 0 to 1; default: 0, or INIT's."),
]
Weights = Annotated[Path | None, typer.Option(help="A detector's folder; default: the shipped one.")]


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


def print_error(error: Exception | str) -> None:
    print(f"fedet: {' '.join(str(error).split())}", file=sys.stderr)


def given_folders(**folders: Path | None) -> dict[str, Path]:
    """The folders that are not None, by option."""
    return {name: folder for name, folder in folders.items() if folder is not None}


def check_report(report: Path | None) -> None:
    """Refuses a report file that exists and is no report, before any work."""
    from fedet.annotations.repairs import REPAIR_COLUMNS
    from fedet.files import refuse_other_file

    refuse_other_file(report, ",".join(REPAIR_COLUMNS), "report of labels")


def report_repairs(repairs: "pd.DataFrame", report: Path | None = None, read: str = "") -> None:
    """Prints how labels were read: counts, and the first lines, omissions first.

    Args:
        report: The CSV file for the whole report.
        read: How many annotations were read, for the first line.
    """
    from fedet.annotations.repairs import UNREAD_COLUMNS, as_lines
    from fedet.files import atomic_write

    lines = as_lines(repairs)
    if report is not None:
        check_report(report)
        with atomic_write(report) as draft:
            repairs.to_csv(draft, index=False, lineterminator="\n", errors="replace")
    if not lines and not read:
        return
    counts = repairs.loc[repairs["problem"] != UNREAD_COLUMNS, "action"].value_counts()
    of_lines = ", ".join(f"{n} {action}" for action, n in counts.items())
    print("annotations: " + ("; in the report ".join(filter(None, [read, of_lines])) or "all read"))
    for line in lines[:MOST_LINES]:
        print(f"  {line}")
    if len(lines) > MOST_LINES:
        hint = f"all are in {report}" if report is not None else "--report FILE writes all"
        print(f"  ... and {len(lines) - MOST_LINES} more ({hint})")


def parse_fps(text: str) -> float:
    """Parses a frame rate such as 25 or 30000/1001. Raises InputError if it is none."""
    from fedet.annotations.cells import as_fps
    from fedet.annotations.limits import MAX_FPS, MIN_FPS

    try:
        fps = as_fps(text)
    except ValueError:
        fps = None
    if fps is None:
        raise InputError(f"--fps {text}: a number from {MIN_FPS:g} to {MAX_FPS:g}, or like 30000/1001")
    return fps


Fps = Annotated[float | None, typer.Option(
    parser=parse_fps, metavar="FPS", help="Frames a second where the files have none, like 25 or 30000/1001.",
)]  # fmt: skip
Report = Annotated[Path | None, typer.Option(help="Write the whole report of how labels were read here.")]

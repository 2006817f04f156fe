"""The command line application and what its commands share.

Each command imports the heavy modules that it needs itself, so that `fedet --help` is quick.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedet import __version__
from fedet.errors import InputError

app = typer.Typer(
    help="Finds facial expressions in long videos: when each starts and ends, and which emotion it is.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
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
    float | None, typer.Option(help="Share of each video's own statistics, 0 to 1; default: 0, or INIT's.")
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


def say(error: Exception | str) -> None:
    print(f"fedet: {' '.join(str(error).split())}", file=sys.stderr)


def named(**folders: Path | None) -> dict[str, Path]:
    """The folders that were given."""
    return {name: folder for name, folder in folders.items() if folder is not None}


def report_repairs(repairs) -> None:
    if len(repairs):
        counts = repairs["action"].value_counts()
        print("annotations: " + ", ".join(f"{n} {action}" for action, n in counts.items()))
        print(repairs.head(10).to_string(index=False))

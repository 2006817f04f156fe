"""`fedet report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedet.cli.app import app


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="quick (minutes) or standard.")] = "quick",
    data: Annotated[Path | None, typer.Option(help="A dataset's folder; none: generated faces.")] = None,
    out: Annotated[Path | None, typer.Option(help="The report's folder; default: reports/PROFILE.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", help="A notebook's parameter, like seed=3; for one notebook: 00.seed=3."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Numbers of notebooks, like 01,03; default: all.")
    ] = None,
    notebooks: Annotated[
        Path | None, typer.Option(help="Folder of the notebooks; default: those of fedet.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option(show_default=False, help="Also run finished notebooks again.")
    ] = False,
    cell_minutes: Annotated[
        float | None,
        typer.Option(help="Time limit for a cell; 0: none. Default: 30, or ten times its notebook's"),
    ] = None,
) -> None:
    """Runs the notebooks into one page that opens offline; resumes where it was stopped."""
    from fedet.report.make import make_report

    out = out or Path("reports") / profile
    selection = {"only": only or (), "values": parameter or ()}
    outcome = make_report(
        out, profile, data, notebooks=notebooks, fresh=fresh, cell_minutes=cell_minutes, **selection
    )
    failed = [name for name, status in outcome.items() if status not in ("done", "kept")]
    print(f"Look at {out / 'report.html'}")
    if failed:
        print(
            f"fedet: {len(failed)} of {len(outcome)} notebooks failed: {', '.join(failed)}", file=sys.stderr
        )
        sys.exit(1)

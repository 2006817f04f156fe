"""`fedet bench`."""

from pathlib import Path
from typing import Annotated

import typer

from fedet.cli.app import app


@app.command()
def bench(
    out: Annotated[Path, typer.Option(help="Folder for the videos, speed.json and speed.png.")],
    profile: Annotated[str, typer.Option(help="quick (minutes) or standard (an hour).")] = "quick",
    only: Annotated[
        list[str] | None, typer.Option(help="What to measure, like detect; default: all.")
    ] = None,
) -> None:
    """Measures speed and memory in one run, as ratios to the machine's limits and to alternatives."""
    import matplotlib

    from fedet.bench.plots import plot_growth, plot_speed
    from fedet.bench.suite import PARTS, STANDARD, Plan, measure
    from fedet.errors import InputError

    if profile not in ("quick", "standard"):
        raise InputError(f"--profile {profile!r}: quick or standard")
    table = measure(out, STANDARD if profile == "standard" else Plan(), only or PARTS)
    print(table.to_string(index=False, float_format="{:.3g}".format))
    matplotlib.use("Agg")
    plot_speed(table).figure.savefig(out / "speed.png", dpi=120)
    plot_growth(table).figure.savefig(out / "growth.png", dpi=120)
    print(f"written: {out / 'speed.json'}, {out / 'speed.png'}, {out / 'growth.png'}")

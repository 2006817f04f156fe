"""`fedet export`."""

from pathlib import Path
from typing import Annotated

import typer

from fedet.cli.app import Weights, app


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder for faces.onnx, detector.onnx and interface.json.")],
    weights: Weights = None,
) -> None:
    """Writes both networks as ONNX files, for programs without torch, and checks them against it."""
    from fedet.export.onnx import check_packages, export_onnx

    check_packages()
    print("exporting, about a minute ...", flush=True)
    from fedet.detection import load_detector

    for name, most in export_onnx(load_detector(weights), out).items():
        print(f"written: {out / name}, from torch at most {most:.1g} apart")

"""`fedet review`: the explorer in the browser, without a notebook."""

import json
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedet.cli.app import Weights, app
from fedet.errors import InputError

if TYPE_CHECKING:
    from fedet.detection import Detections

LOW = 0.05  # detections from this score on are kept, so that the threshold can be moved later
FOUND, CURVES, FACTS = "detections.csv", "curves.npz", "facts.json"


@app.command()
def review(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of numbered images.")],
    detections: Annotated[
        Path | None, typer.Option(help="Intervals to review, in any format; default: what fedet finds.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Annotations to compare with.")] = None,
    reviewer: Annotated[str | None, typer.Option(help="Your name; default: your login.")] = None,
    weights: Weights = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score shown; default: the detector's.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the address in the browser; default: a free one.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Opens a video in the browser: look, accept, correct, export. No notebook needed.

    Your decisions are saved next to the video, in VIDEO.review.jsonl, and are there the next time. What
    fedet found is kept in the folder VIDEO.fedet, so that the video opens at once the next time.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: a score is between 0 and 1")
    if not video.exists():
        raise InputError(f"{video}: no such file or folder")
    from fedet.annotations.formats import read_intervals
    from fedet.detection import load_detector
    from fedet.explorer.app import serve
    from fedet.explorer.widget import Explorer
    from fedet.video.reader import open_video

    opened = open_video(video)
    limit = threshold if threshold is not None else load_detector(weights).model.config.default_threshold
    if detections is None:
        given = _found(video, weights)
    else:
        given, _ = read_intervals(detections, fps=opened.fps, video=video.stem)
    annotated = None if truth is None else read_intervals(truth, fps=opened.fps, video=video.stem)[0]
    journal = video.with_name(f"{video.stem}.review.jsonl")
    explorer = Explorer(
        video, given, annotated, threshold=limit, reviewer=reviewer, autosave=journal, name=video.stem
    )
    serve(explorer, port=port, on_ready=lambda address: _show(address, browser))
    print(f"\nyour review: {journal if journal.exists() else 'nothing was decided'}")


def _show(address: str, browser: bool) -> None:
    opened = browser and webbrowser.open(address)
    print("the review is open in your browser" if opened else "open this address in your browser")
    print(f"  {address}\nwhen you are done: the button Finish there, or Ctrl-C here", flush=True)


def _found(video: Path, weights: Path | None) -> "Detections":
    """What fedet finds in a video, kept next to it for the next time."""
    from fedet.cli.batch import run_signature
    from fedet.detection import detect
    from fedet.faces.network import shipped

    folder = video.with_name(f"{video.stem}.fedet")
    signature = run_signature(video, weights or shipped("detector"), threshold=LOW)
    kept = _read_found(folder, signature)
    if kept is not None:
        return kept
    print(f"looking for expressions in {video} (once; kept in {folder}) ...", file=sys.stderr, flush=True)
    found = detect(video, weights, threshold=LOW, curves=True, progress=True)
    for note in found.notes:
        print(f"  note: {note}", file=sys.stderr)
    try:
        _keep_found(folder, found, signature)
    except OSError as error:
        print(f"  note: {folder}: {error.strerror or error}; not kept", file=sys.stderr)
    return found


def _keep_found(folder: Path, found: "Detections", signature: str) -> None:
    import numpy as np

    from fedet.annotations.table import write_csv
    from fedet.files import atomic_write

    folder.mkdir(exist_ok=True)
    write_csv(found.table, folder / FOUND)
    with atomic_write(folder / CURVES) as part, part.open("wb") as file:
        curves = (
            {} if found.curves is None else {c: found.curves[c].to_numpy(np.float16) for c in found.curves}
        )
        np.savez_compressed(file, **curves)
    facts = {"signature": signature, "seconds": found.seconds, "threshold": found.threshold,
             "missing": found.missing.to_dict("list"), "notes": list(found.notes)}  # fmt: skip
    with atomic_write(folder / FACTS) as part:
        part.write_text(json.dumps(facts) + "\n", "utf-8")


def _read_found(folder: Path, signature: str) -> "Detections | None":
    """The kept detections; None if there are none, or they are of another video or detector."""
    import numpy as np
    import pandas as pd

    from fedet.annotations.table import read_csv
    from fedet.detection import Detections

    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        if facts["signature"] != signature:
            return None
        with np.load(folder / CURVES) as arrays:
            curves = pd.DataFrame({name: arrays[name].astype(np.float32) for name in arrays.files})
        table, _ = read_csv(folder / FOUND)
        missing = pd.DataFrame(facts["missing"], columns=["start_frame", "end_frame", "start_s", "end_s"])
        return Detections(
            table, missing, facts["seconds"], facts["threshold"], curves, None, tuple(facts["notes"])
        )
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None  # not there, or damaged: found anew

"""`fedet detect`: expressions of many videos into one table."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedet.cli.app import OpenFace, PyFeat, Weights, app, named, say
from fedet.errors import InputError

if TYPE_CHECKING:
    from fedet.detection import Detections


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
    second_opinion: Annotated[
        str | None,
        typer.Option(help="Ask it too: fer, a classifier's YAML file, openface or pyfeat."),
    ] = None,
    openface: OpenFace = None,
    pyfeat: PyFeat = None,
) -> None:
    """Finds the expressions in videos: a table of start, end, emotion, type and score."""
    from fedet.datasets.own_folder import videos_in
    from fedet.detection import detect as detect_one
    from fedet.detection import load_detector

    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: a score lies between 0 and 1")
    if (thumbnails or blur_faces) and (out is None or not thumbnails):
        raise InputError("--thumbnails writes into --out DIR; --blur-faces goes with --thumbnails")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    found = list(dict.fromkeys(video for given in videos for video in videos_in(given)))
    detector = load_detector(weights)
    done, failed = [], 0
    for video, name in zip(found, distinct_names(found), strict=True):
        try:
            subject = name if name != plain_name(video) else None
            detections = detect_one(
                video, detector, threshold, subject, True, cache, fps,
                sources=named(openface=openface, pyfeat=pyfeat), abstain=abstain,
                second_opinion=second_opinion,
            )  # fmt: skip
            done.append(detections)
            if out is not None:
                save_detections(out, done)  # after each video: whatever ends the run, these are there
            print_detections(video, detections)
            if thumbnails and len(detections) and video.suffix != ".f16":
                save_thumbnails(out / f"{one_part(name)}_apexes.png", video, detections.table, blur_faces)
        except InputError as error:
            say(error)
            failed += 1
    if out is not None and done:
        print(f"written: {out / 'detections.csv'}, {out / 'missing_faces.csv'}")
    if failed:
        sys.exit(2)


def plain_name(video: Path) -> str:
    """What `fedet.detect` calls a video: a file without its suffix, a folder whole."""
    return video.name if video.is_dir() else video.stem


def one_part(name: str) -> str:
    return name.replace("/", "_")


def distinct_names(videos: list[Path]) -> list[str]:
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


def save_thumbnails(target: Path, video: Path, table, blur: bool) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from fedet.plots.thumbnails import plot_apexes

    target.parent.mkdir(parents=True, exist_ok=True)
    plot_apexes(video, table, blur=blur)[0].figure.savefig(target, dpi=120)
    print(f"  written: {target}")


def print_detections(video: Path, found: "Detections") -> None:
    from fedet.faces.novelty import MOSTLY_UNFAMILIAR

    table, missing = found.table, found.missing
    print(f"{video}: {len(table)} expression{'s' * (len(table) != 1)} in {found.seconds:.1f} s")
    if len(table):
        shown = table[["onset", "offset", "emotion", "expression_type", "score"]].copy()
        shown.insert(0, "start_s", table["onset"] / table["fps"])
        shown.insert(1, "end_s", (table["offset"] + 1) / table["fps"])
        print(shown.to_string(index=False, float_format="{:.2f}".format))
    if len(missing) and found.missing_s >= found.seconds - 0.05:
        print("  no face was found in this video")
    elif len(missing):
        spans = ", ".join(f"{m.start_s:.1f}-{m.end_s:.1f} s" for m in missing.head(8).itertuples())
        print(f"  no face: {spans}{' ...' if len(missing) > 8 else ''}")
    if found.unfamiliar is not None and (strange := int((found.unfamiliar > MOSTLY_UNFAMILIAR).sum())):
        print(f"  {strange} of them on faces unlike those it learned from: look twice, or --abstain")
    for note in found.notes:
        print(f"  note: {note}", file=sys.stderr)


def save_detections(out: Path, detections: "list[Detections]") -> None:
    import pandas as pd

    from fedet.annotations.table import write_csv
    from fedet.files import atomic_write

    out.mkdir(parents=True, exist_ok=True)
    write_csv(pd.concat([d.table for d in detections], ignore_index=True), out / "detections.csv")
    with atomic_write(out / "missing_faces.csv") as part:
        pd.concat([d.missing.assign(video=d.video) for d in detections]).to_csv(part, index=False)

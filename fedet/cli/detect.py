"""`fedet detect`: expressions of many videos into one table."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedet.cli.app import OpenFace, PyFeat, Weights, app, check_options, named, say
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
    jobs: Annotated[int, typer.Option(help="Videos side by side; -1: one for each core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, like tcp://host:8786.")] = None,
    fresh: Annotated[bool, typer.Option(help="Detect again in videos that OUT already has.")] = False,
) -> None:
    """Finds the expressions in videos: a table of start, end, emotion, type and score.

    Rows of other videos in OUT stay, and a video that is there with the same settings is not read again.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: a score lies between 0 and 1")
    if (thumbnails or blur_faces) and (out is None or not thumbnails):
        raise InputError("--thumbnails writes into --out DIR; --blur-faces goes with --thumbnails")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    check_options(jobs=jobs)
    print("loading the detector ...", file=sys.stderr, flush=True)
    from fedet.cli.batch import ResultFolder, detect_many
    from fedet.datasets.own_folder import videos_in

    sources = named(openface=openface, pyfeat=pyfeat)
    check_sources(weights, sources, second_opinion)
    links = [link for given in videos for link in broken_links(given)]
    for link in links:
        say(f"{link}: a link to a file that is not here; fetch it")
    found = list(dict.fromkeys(v for given in videos for v in videos_in(given) if v not in links))
    results = None if out is None else ResultFolder(out)
    names = [results.subject_of(v) if results else None for v in found]
    distinct = distinct_names(found, results.taken(found) if results else set())
    names = [old or new for old, new in zip(names, distinct, strict=True)]
    options = {"threshold": threshold, "cache": cache, "fps": fps, "sources": sources, "abstain": abstain}
    options["second_opinion"] = second_opinion
    signatures = [signature_of(v, weights, options) for v in found]
    waiting = [
        i
        for i, video in enumerate(found)
        if fresh or results is None or thumbnails or not results.is_current(video, signatures[i])
    ]
    if kept := len(found) - len(waiting):
        print(f"{kept} of {len(found)} videos are in {out} already; --fresh detects again")
    tasks = [(found[i], names[i] if names[i] != plain_name(found[i]) else None) for i in waiting]
    failed, done = len(links), 0
    for number, detections in detect_many(tasks, weights, options, jobs, scheduler) if tasks else ():
        video, name, signature = found[waiting[number]], names[waiting[number]], signatures[waiting[number]]
        if isinstance(detections, str):
            say(detections)
            failed += 1
            continue
        if results is not None:
            results.add(video, name, detections, signature)  # after each: whatever ends the run, it is there
            done += 1
        print_detections(video, detections)
        if thumbnails and len(detections) and video.suffix != ".f16":
            save_thumbnails(out / f"{one_part(name)}_apexes.png", video, detections.table, blur_faces)
    if done:
        print(f"written: {out / 'detections.csv'}, {out / 'missing_faces.csv'}")
    if failed:
        sys.exit(2)


def signature_of(video: Path, weights: Path | None, options: dict) -> str:
    """What the detections of a video depend on; "" if it cannot be read, which detecting will report."""
    from fedet.cli.batch import run_signature
    from fedet.faces.network import shipped

    settings = {name: value for name, value in options.items() if name != "cache"}
    try:
        return run_signature(video, weights or shipped("detector"), **settings)
    except OSError:
        return ""


def check_sources(weights: Path | None, sources: dict[str, Path], second_opinion: str | None) -> None:
    """Refuses folders of side signals that do not exist or that the detector does not read."""
    from fedet.detection import read_inputs
    from fedet.faces.network import shipped

    for name, folder in sources.items():
        if not folder.is_dir():
            raise InputError(f"--{name} {folder}: no such folder")
        if name != second_opinion and name not in read_inputs(weights or shipped("detector")).signals:
            raise InputError(f"--{name} {folder}: this detector does not read it; train one with --{name}")


def broken_links(given: Path) -> list[Path]:
    """Links to nothing in a folder, as git-annex leaves for files that were not fetched."""
    if not given.is_dir():
        return [given] if given.is_symlink() and not given.exists() else []
    return sorted(p for p in given.rglob("[!.]*") if p.is_symlink() and not p.exists())


def plain_name(video: Path) -> str:
    """What `fedet.detect` calls a video: a file without its suffix, a folder whole."""
    return video.name if video.is_dir() else video.stem


def one_part(name: str) -> str:
    return name.replace("/", "_")


def distinct_names(videos: list[Path], taken: Iterable[str] = ()) -> list[str]:
    """A name for each video that no other has, as part of a file's name too: the plain one, else with
    its folder, with its suffix, as a last resort the whole path.

    Args:
        taken: names that are not free.
    """
    from collections import Counter

    candidates = [
        [plain_name(v) for v in videos],
        [f"{v.parent.name}/{plain_name(v)}" for v in videos],
        [f"{v.parent.name}/{v.name}" for v in videos],
        [v.as_posix() for v in videos],
    ]
    counts, names, used = [Counter(map(one_part, c)) for c in candidates], [], set(map(one_part, taken))
    for tries in zip(*candidates, strict=True):
        unique = [n for n, count in zip(tries, counts, strict=True) if count[one_part(n)] == 1]
        names.append(next((n for n in unique if one_part(n) not in used), tries[-1]))
        used.add(one_part(names[-1]))
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

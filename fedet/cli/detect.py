"""`fedet detect`: expressions of many videos into one table."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fedet.cli.app import OpenFace, PyFeat, Weights, app, check_options, given_folders, print_error
from fedet.errors import InputError

if TYPE_CHECKING:
    from fedet.cli.batch import ResultFolder
    from fedet.detection import Detections


@app.command()
def detect(
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of videos or of frames.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; without it they are only printed.")
    ] = None,
    weights: Weights = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score that counts as a detection; default: the detector's.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep the numbers read from each frame here; they can be read again without the video."
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of folders of images; default: 30.")
    ] = None,
    abstain: Annotated[
        bool,
        typer.Option(show_default=False, help="Leave out detections on faces unlike those of the training."),
    ] = False,
    thumbnails: Annotated[
        bool, typer.Option(show_default=False, help="Write pictures of the apexes into OUT.")
    ] = False,
    frames: Annotated[
        str | None, typer.Option(help="Write a table with a row for every frame into OUT: csv or parquet.")
    ] = None,
    landmarks: Annotated[
        bool,
        typer.Option(show_default=False, help="With --frames and --thumbnails: the 65 points of the face."),
    ] = False,
    video_out: Annotated[
        bool, typer.Option(show_default=False, help="Write the video with labels and timeline into OUT.")
    ] = False,
    blur_faces: Annotated[
        bool,
        typer.Option(show_default=False, help="Make the faces in these pictures and videos unrecognisable."),
    ] = False,
    second_opinion: Annotated[
        str | None,
        typer.Option(
            help="Combine with another classifier: landmarks (ours; the shipped detector's "
            "default), fer, a YAML file, openface, pyfeat or none."
        ),
    ] = None,
    openface: OpenFace = None,
    pyfeat: PyFeat = None,
    people: Annotated[
        str, typer.Option(help="Whose face: the largest, all, or the N seen longest.")
    ] = "largest",
    names: Annotated[
        str | None,
        typer.Option(help="Names of the people, as in NAME_people.png: Ann,Ben or left=Ann,right=Ben."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32; bf16, faster on processors that have it; or auto.")
    ] = "fp32",
    jobs: Annotated[int, typer.Option(help="Videos side by side; -1: one for each core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, like tcp://host:8786.")] = None,
    fresh: Annotated[
        bool, typer.Option(show_default=False, help="Detect again in videos whose results are in OUT.")
    ] = False,
) -> None:
    """Finds the expressions in videos: a table of start, end, emotion, type and score.

    OUT keeps the rows of other videos. A video whose results are there, with the same settings, is skipped.

    With --people all everybody is followed; the column subject says who, and NAME_people.png in OUT shows
    who is who.
    """
    print("loading the detector ...", file=sys.stderr, flush=True)  # before the imports, which take a second
    from fedet.faces.people.naming import LARGEST, parse_names, parse_people

    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: a score is between 0 and 1")
    limit = parse_people(people)
    given = {} if names is None else parse_names(names)
    if names is not None and limit == LARGEST:
        raise InputError(f"--names {names}: goes with --people all or a number")
    extras = Extras(thumbnails, frames, video_out, blur_faces, fps, landmarks)
    extras.check(out, several=limit != LARGEST)
    if landmarks:
        check_landmarks(weights, second_opinion)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    check_options(jobs=jobs)
    from fedet.cli.batch import ResultFolder
    from fedet.faces.network import check_precision

    sources = given_folders(openface=openface, pyfeat=pyfeat)
    check_sources(weights, sources, second_opinion)
    files, failed = find_videos(videos)
    results = None if out is None else ResultFolder(out)
    options = {"threshold": threshold, "cache": cache, "fps": fps, "sources": sources, "abstain": abstain}
    options["second_opinion"] = second_opinion
    if (exact := check_precision(precision)) != "fp32":
        options["precision"] = exact
    if limit != LARGEST:  # else the signature is that of earlier versions
        options |= {"people": limit, "names": given}
    named = zip(files, name_videos(files, results), strict=True)
    tasks = [Task(video, name, signature_of(video, weights, options)) for video, name in named]
    repeat = fresh or extras.any or results is None
    options["curves"] = frames is not None
    pending = [task for task in tasks if repeat or not results.is_current(task.video, task.signature)]
    if skipped := len(tasks) - len(pending):
        print(f"{skipped} of {len(tasks)} videos are in {out} already; --fresh detects again")
    done = run_tasks(pending, weights, options, jobs, scheduler)
    if failed + write_results(done, pending, results, out, extras):
        sys.exit(2)


def write_results(
    done: "Iterable[tuple[Task, Detections | str]]",
    pending: "list[Task]",
    results: "ResultFolder | None",
    out: Path | None,
    extras: "Extras",
) -> int:
    """Prints and saves what was found in each video as it finishes; how many failed."""
    finished: dict[Task, Detections] = {}
    failed = 0
    for task, detections in done:
        if isinstance(detections, str):
            print_error(detections)
            failed += 1
            continue
        if results is not None:  # after each video, so that a run that ends early has saved it
            results.add(task.video, task.name, detections, task.signature)
            finished[task] = replace(detections, readings=None, curves=None)
        print_detections(task.video, detections)
        if out is not None:
            failed += extras.write(out, task, detections)
    if finished:
        save_in_order(results, finished, pending)
        print(f"written: {out / 'detections.csv'}, {out / 'missing_faces.csv'}")
    return failed


class Extras(NamedTuple):
    """What is written for each video next to the table."""

    thumbnails: bool
    frames: str | None  # format of the table of frames
    video_out: bool
    blur_faces: bool
    fps: float | None  # of folders of images
    landmarks: bool = False  # in the pictures and the table

    @property
    def any(self) -> bool:
        return self.thumbnails or self.video_out or self.frames is not None

    def check(self, out: Path | None, several: bool) -> None:
        """Raises InputError where there is no place for it; `several`: people are looked for."""
        shows = self.thumbnails or self.video_out
        blurs_nothing = self.blur_faces and not shows and not several
        if (self.any or self.blur_faces) and (out is None or blurs_nothing):
            raise InputError(
                "--thumbnails, --frames and --video-out write into --out DIR; --blur-faces goes with the "
                "first or the last"
            )
        if self.landmarks and not self.thumbnails and self.frames is None:
            raise InputError("--landmarks: goes with --frames csv, --frames parquet or --thumbnails")
        if self.video_out and several:
            raise InputError("--video-out shows one person: leave out --people")
        if self.frames is not None:
            from fedet.faces.frame_table import check_format

            check_format(self.frames)

    def write(self, out: Path, task: "Task", detections: "Detections") -> int:
        """Writes it into `out`; how much of it failed, which is printed."""
        failed, stem, has_pictures = 0, file_name(task.name), task.video.suffix != ".f16"
        if self.thumbnails and len(detections) and has_pictures:
            target = out / f"{stem}_apexes.png"
            failed = int(not save_thumbnails(target, task.video, detections, self.blur_faces, self.landmarks))
        if self.frames is not None:
            failed += int(not save_frames(out / f"{stem}_frames.{self.frames}", detections, self.landmarks))
        if self.video_out and has_pictures:
            target = out / f"{stem}_labelled.mp4"
            save_labelled(target, task.video, detections, self.blur_faces, self.fps)
        if detections.people:
            save_who_is_who(out / f"{stem}_people.png", detections, self.blur_faces)
        return failed


class Task(NamedTuple):
    """A video to detect in, its name in the results, and what its detections depend on."""

    video: Path
    name: str
    signature: str


def save_in_order(results: "ResultFolder", finished: "dict[Task, Detections]", tasks: list[Task]) -> None:
    """Moves the rows of videos that finished out of turn, so that all stand in the order of the input."""
    ordered = [task for task in tasks if task in finished]
    early = next(
        (i for i, pair in enumerate(zip(finished, ordered, strict=True)) if pair[0] != pair[1]), None
    )
    for task in [] if early is None else ordered[early:]:
        results.add(task.video, task.name, finished[task], task.signature)


def find_videos(paths: list[Path]) -> tuple[list[Path], int]:
    """The videos in files and folders, and the number of broken links, each of which is reported."""
    from fedet.datasets.own_folder import videos_in

    links = [link for path in paths for link in broken_links(path)]
    for link in links:
        print_error(f"{link}: a link to a file that is not here; fetch it")
    videos = dict.fromkeys(video for path in paths for video in videos_in(path) if video not in links)
    return list(videos), len(links)


def name_videos(videos: list[Path], results: "ResultFolder | None") -> list[str]:
    """A name for each video: that of its rows in the result folder, else one that is not taken there."""
    if results is None:
        return distinct_names(videos)
    names = distinct_names(videos, results.taken_names(videos))
    return [results.subject_of(video) or name for video, name in zip(videos, names, strict=True)]


def run_tasks(
    tasks: list[Task], weights: Path | None, options: dict, jobs: int, scheduler: str | None
) -> "Iterator[tuple[Task, Detections | str]]":
    """Each task with its detections, or with an error as text, as they finish."""
    from fedet.cli.batch import detect_many

    if not tasks:
        return
    subjects = [(t.video, t.name if t.name != plain_name(t.video) else None) for t in tasks]
    for number, detections in detect_many(subjects, weights, options, jobs, scheduler):
        yield tasks[number], detections


def signature_of(video: Path, weights: Path | None, options: dict) -> str:
    """A digest of what the detections of a video depend on; "" if the video cannot be read."""
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


def check_landmarks(weights: Path | None, second_opinion: str | None) -> None:
    """Raises InputError where the network that finds the points is not used."""
    from fedet.detection import read_inputs
    from fedet.faces.network import shipped

    own = read_inputs(weights or shipped("detector")).second_opinion
    if (opinion := second_opinion or own or "none") != "landmarks":
        raise InputError(
            f"--landmarks: with the second opinion {opinion!r} no points are read; "
            "add --second-opinion landmarks"
        )


def broken_links(path: Path) -> list[Path]:
    """Links to missing files in a folder, such as git-annex leaves for files that were not fetched."""
    if not path.is_dir():
        return [path] if path.is_symlink() and not path.exists() else []
    return sorted(p for p in path.rglob("[!.]*") if p.is_symlink() and not p.exists())


def plain_name(video: Path) -> str:
    """What `fedet.detect` calls a video: a file without its suffix, a folder whole."""
    return video.name if video.is_dir() else video.stem


def file_name(name: str) -> str:
    """A video's name as part of a file's name."""
    return name.replace("/", "_")


def distinct_names(videos: list[Path], taken: Iterable[str] = ()) -> list[str]:
    """A unique name for each video, unique as part of a file's name too: the plain one, else with its
    folder, else with its suffix, as a last resort the whole path.

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
    counts, names, used = [Counter(map(file_name, c)) for c in candidates], [], set(map(file_name, taken))
    for tries in zip(*candidates, strict=True):
        unique = [n for n, count in zip(tries, counts, strict=True) if count[file_name(n)] == 1]
        names.append(next((n for n in unique if file_name(n) not in used), tries[-1]))
        used.add(file_name(names[-1]))
    return names


def save_frames(target: Path, detections: "Detections", landmarks: bool) -> bool:
    """Whether the table of frames could be written; the reason is printed if not."""
    from fedet.faces.frame_table import write_frames

    try:
        write_frames(detections.frames(landmarks), target)
    except InputError as error:  # such as kept vectors without points: the other videos go on
        print_error(error)
        return False
    print(f"  written: {target}")
    return True


def save_labelled(target: Path, video: Path, detections: "Detections", blur: bool, fps: float | None) -> None:
    from fedet.plots.labelled_video import write_labelled_video

    write_labelled_video(video, detections, target, blur, progress=True, fps=fps or 30.0)
    print(f"  written: {target}")


def save_thumbnails(target: Path, video: Path, detections: "Detections", blur: bool, landmarks: bool) -> bool:
    """Whether the pictures could be written; the reason is printed if not."""
    import matplotlib

    matplotlib.use("Agg")
    from fedet.faces.frame_table import apex_points
    from fedet.files import atomic_write
    from fedet.plots.thumbnails import plot_apexes

    try:
        with atomic_write(target) as draft:
            points = apex_points(detections) if landmarks else None
            axes = plot_apexes(video, detections.table, blur=blur, points=points)
            axes[0].figure.savefig(draft, dpi=120)
    except Exception as error:  # whatever it is, the other videos go on
        print_error(error if isinstance(error, InputError) else f"{video}: no pictures of apexes ({error})")
        return False
    print(f"  written: {target}")
    return True


def save_who_is_who(target: Path, detections: "Detections", blur: bool) -> None:
    """Writes the strip that shows who is who, and the same as a table."""
    import matplotlib

    matplotlib.use("Agg")
    from fedet.files import atomic_write
    from fedet.plots.who_is_who import people_table, plot_who_is_who

    with atomic_write(target) as draft:
        plot_who_is_who(detections, blur).figure.savefig(draft, dpi=120, format="png")
    with atomic_write(target.with_suffix(".csv")) as draft:
        people_table(detections).to_csv(draft, index=False)
    print(f"  written: {target} and .csv: who is who")


def print_detections(video: Path, detections: "Detections") -> None:
    """Prints the table, the spans without a face, and the notes."""
    from fedet.faces.novelty import MOSTLY_UNFAMILIAR

    table, missing = detections.table, detections.missing
    print(f"{video}: {len(table)} expression{'s' * (len(table) != 1)} in {detections.seconds:.1f} s")
    if len(table):
        shown = table[["onset", "offset", "emotion", "expression_type", "score"]].copy()
        shown.insert(0, "start_s", table["onset"] / table["fps"])
        shown.insert(1, "end_s", (table["offset"] + 1) / table["fps"])
        if len(detections.people) > 1:
            shown.insert(2, "subject", table["subject"])
        print(shown.to_string(index=False, float_format="{:.2f}".format))
    if len(detections.people) > 1:
        for one in detections.people:
            n, seconds = len(one.detections), one.person.seconds
            share = seconds / max(detections.seconds, 1e-9)
            found = f"{n} expression{'s' * (n != 1)}, seen for {seconds:.1f} s ({share:.0%})"
            print(f"  {one.name}: {found}")
    elif len(missing) and detections.missing_s >= detections.seconds - 0.05:
        print("  no face was found in this video")
    elif len(missing):
        spans = ", ".join(f"{m.start_s:.1f}-{m.end_s:.1f} s" for m in missing.head(8).itertuples())
        print(f"  no face: {spans}{' ...' if len(missing) > 8 else ''}")
    if detections.unfamiliar is not None and (
        strange := int((detections.unfamiliar > MOSTLY_UNFAMILIAR).sum())
    ):
        print(f"  {strange} of them on faces unlike those it learned from: check these, or use --abstain")
    for note in detections.notes:
        print(f"  note: {note}", file=sys.stderr)

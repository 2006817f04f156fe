"""A folder of one's own: `annotations.csv` and `videos/`; and the tidy CSVs of other projects.

Videos are found wherever they lie below `videos/` (without such a folder: below the root). A video
is called after its file or folder; where that is not unique, after the path below `videos/`, parts
joined by `_`. In the table it may be written with suffix, path, other case or lost leading zeros.
"""

import os
import re
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import as_number, csv_grid, find_header, table_of
from fedet.annotations.repairs import empty_repairs, join_repairs, repair
from fedet.annotations.spellings import columns_of
from fedet.annotations.table import csv_table
from fedet.annotations.video_names import composed
from fedet.datasets.layout import Labels, Release, walk
from fedet.errors import InputError
from fedet.video.reader import has_images

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv",
    ".ts", ".mts", ".m2ts", ".3gp", ".flv", ".ogv",
)  # fmt: skip


def read_own(root: Path) -> Release | None:
    """The layout that the generator writes and that users prepare themselves.

    An optional `videos.csv` (video, subject, fps) speaks for the videos without events, too.

    Raises:
        InputError: None of the videos that the table names is there, though others are.
    """
    folder = root if root.is_dir() else root.parent
    videos = find_videos(folder)
    path = _table_file(root, bool(videos))
    if path is None:
        return None
    listing, lines = _filled_table(folder / "videos.csv", videos, folder)
    table, more = _filled_table(path, videos, folder)
    columns = columns_of(table.columns)
    spelled: dict[str, str] = {}
    lines = join_repairs(lines, _listed_rows(folder / "videos.csv", listing, videos, spelled))
    subjects = {name: name for name in videos} | _subfolders(videos, folder)
    subjects |= _first_values(listing, "subject")
    if "video" in columns:
        more = join_repairs(more, _fill_subjects(path, table, columns, subjects))
        told = _first_values(listing, "subject")
        more = join_repairs(more, _one_subject(path, table, columns, videos, told, spelled))
    subjects |= _first_values(table, "subject")
    rates = _first_values(listing, "fps") | _first_values(table, "fps")
    return Release(
        labels=[Labels(path.name, table)],
        folders={(subjects[name], name): file for name, file in videos.items()},
        fps=None,
        first_number=None,
        labels_from=0,
        rates={name: rate for name, cell in rates.items() if (rate := frame_rate(cell))},
        zero_is_missing=(),
        repairs=join_repairs(lines, more),
    )


def _filled_table(path: Path, videos: dict[str, Path], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A CSV with the names of the videos found in its column video; empty if there is none."""
    if not path.is_file():
        return pd.DataFrame(), empty_repairs()
    table = csv_table(path)
    columns = columns_of(table.columns)
    if "video" not in columns:
        return table, empty_repairs()
    return table, _renamed(path, table, columns, videos, folder)


def _listed_rows(
    path: Path, listing: pd.DataFrame, videos: dict[str, Path], spelled: dict[str, str]
) -> pd.DataFrame:
    """What videos.csv says that cannot be used: videos that are not there, rates that are none."""
    columns = columns_of(listing.columns)
    if "video" not in columns:
        return empty_repairs()
    lines = [_one_subject(path, listing, columns, videos, {}, spelled)]
    for row in listing.index:
        video = listing.at[row, columns["video"]]
        where = {"row": int(row), "video": video}
        if video and video not in videos:
            lines.append(repair(path.name, "no such video is there", "left out", **where))
        rate = listing.at[row, columns["fps"]] if "fps" in columns else ""
        if rate and frame_rate(rate) is None:
            lines.append(repair(path.name, "no frame rate", "left out", column="fps", value=rate, **where))
    return join_repairs(*lines)


def _one_subject(
    path: Path,
    table: pd.DataFrame,
    columns: dict,
    videos: dict[str, Path],
    told: dict[str, str],
    spelled: dict[str, str],
) -> pd.DataFrame:
    """One spelling for each subject, in place; returns the report.

    Spellings that differ in case, outer spaces or leading zeros are one subject. Two subjects in one
    video are refused: one face is followed in it, and the events of the other would be lost.

    Args:
        told: video -> subject as videos.csv says. spelled: plain name -> its spelling; filled here.
    """
    header = columns.get("subject")
    if header not in table:
        return empty_repairs()
    lines, known = [], dict(told)
    for row in table.index:
        video, written = table.at[row, columns["video"]], table.at[row, header]
        if not written:
            continue
        plain = re.sub(r"(?<!\d)0+(?=\d)", "", written.strip().casefold())
        subject = table.at[row, header] = spelled.setdefault(plain, written)
        where = {"row": int(row), "video": video, "column": "subject"}
        if subject != written:
            lines.append(repair(path.name, f"read as {subject}", "repaired", value=written, **where))
        if video in videos and known.setdefault(video, subject) != subject:
            raise InputError(
                f"{path}: row {row}: video {video!r} shows subject {written!r}, and {known[video]!r} in "
                "another row or in videos.csv; one face is followed in a video: name one subject, or cut "
                "out a video for each person"
            )
    return join_repairs(*lines)


def _subfolders(videos: dict[str, Path], folder: Path) -> dict[str, str]:
    """Video -> the folder below `videos/` in which it lies: a subject's, we take it."""
    parts = {name: file.relative_to(folder).parts for name, file in videos.items()}
    return {n: p[1] for n, p in parts.items() if len(p) > 2 and p[0].lower() == "videos"}


def _fill_subjects(path: Path, table: pd.DataFrame, columns: dict, subjects: dict[str, str]) -> pd.DataFrame:
    """Puts subjects that are known by other means into empty cells; returns the report."""
    header = columns.setdefault("subject", "subject")
    if header not in table:
        table[header] = ""
    lines = []
    for row in table.index[(table[header] == "").to_numpy()]:
        video = table.at[row, columns["video"]]
        subject = subjects.get(video, "")
        if subject and subject != video:
            table.at[row, header] = subject
            problem = f"empty: {subject}, by videos.csv or folder"
            where = {"row": int(row), "video": video, "column": "subject"}
            lines.append(repair(path.name, problem, "repaired", **where))
    if (table[header] == "").all():
        del table[header]
    return join_repairs(*lines)


def _table_file(root: Path, has_videos: bool) -> Path | None:
    """`annotations.csv`, or else the only CSV of intervals beside videos."""
    if root.is_file():
        wanted = has_videos or root.name.lower() == "annotations.csv"
        return root if root.suffix.lower() == ".csv" and wanted else None
    tables = [f for f in sorted(root.iterdir()) if f.suffix.lower() == ".csv" and f.name[0] != "."]
    named = [f for f in tables if f.name.lower() == "annotations.csv"]
    if named or not has_videos:
        return named[0] if named else None
    fitting = []
    for file in tables:
        columns = columns_of(csv_table(file).columns) if file.stat().st_size else {}
        if "video" in columns and {"onset", "start_s"} & set(columns):
            fitting.append(file)
    if len(fitting) > 1:
        names = ", ".join(f.name for f in fitting)
        raise InputError(f"{root}: {names} may all hold the intervals: call one annotations.csv")
    return fitting[0] if fitting else None


def find_videos(folder: Path) -> dict[str, Path]:
    """Name -> file or folder of images, in natural order, below `folder`/videos or `folder`."""
    base, files = _found_below(folder)
    spellings = [_spellings(f, base) for f in files]
    names: dict[str, Path] = {}
    for file, mine in zip(files, spellings, strict=True):
        others = [s for s in spellings if s is not mine]
        name = next((n for n in mine if not any(n in other for other in others)), mine[-1])
        names[name] = file
    return names


def _found_below(folder: Path) -> tuple[Path, list[Path]]:
    """`folder`/videos, or `folder` where there is none; and the videos below it."""
    below = [d for d in walk(folder, 1) if d.name.lower() == "videos" and d != folder]
    base = below[0] if below else folder
    files: list[Path] = []
    for d in walk(base, 4 if below else 1, lambda p: p != base and has_images(p)):
        files += [d] if d != base and has_images(d) else _films(d)
    return base, files


def _films(folder: Path) -> list[Path]:
    """The video files right in a folder, by name."""
    inside = sorted(os.scandir(folder), key=lambda e: e.name)
    films = [e for e in inside if e.is_file() and e.name[0] != "."]
    return [Path(e.path) for e in films if e.name.lower().endswith(VIDEO_SUFFIXES)]


def _spellings(file: Path, base: Path) -> list[str]:
    """Names of a video, the preferred one first: stem, joined path, the same with suffix."""
    stem = file.name if file.is_dir() else file.stem
    parts = [*file.relative_to(base).parent.parts]
    return [stem, "_".join([*parts, stem]), "_".join([*parts, file.name])]


def _first_values(table: pd.DataFrame, column: str) -> dict[str, str]:
    """The first filled cell of a column for each video."""
    columns = columns_of(table.columns)
    if column not in columns or "video" not in columns:
        return {}
    cells = zip(table[columns["video"]], table[columns[column]], strict=True)
    return {video: cell for video, cell in reversed(list(cells)) if video and cell}


def frame_rate(cell: str) -> float | None:
    """The frames per second in a cell, None if it holds no number above 0."""
    try:
        rate = as_number(cell)
    except ValueError:
        return None
    return rate if rate and rate > 0 else None


def _renamed(
    path: Path, table: pd.DataFrame, columns: dict, videos: dict[str, Path], folder: Path
) -> pd.DataFrame:
    """Puts the names of the videos found into the table, and reports each that was changed."""
    header = columns["video"]
    subjects = table[columns["subject"]] if "subject" in columns else [""] * len(table)
    written = list(zip(subjects, table[header], strict=True))
    meant = {key: _meant(*key, videos) for key in dict.fromkeys(written)}
    if videos and table[header].any() and not any(name in videos for name in meant.values()):
        some = ", ".join(list(dict.fromkeys(v for _, v in written))[:3])
        there = ", ".join(list(videos)[:3])
        raise InputError(
            f"{path}: none of its videos ({some}, ...) is in {folder} ({there}, ...): write the "
            "file names into the column video"
        )
    table[header] = [meant[key] for key in written]
    return join_repairs(*(
        repair(path.name, f"read as {name}", "repaired", column=str(header), value=video)
        for (_, video), name in meant.items() if name != video
    ))  # fmt: skip


def _meant(subject: str, video: str, videos: dict[str, Path]) -> str:
    """The video that a cell names: as it stands, or without path, suffix, case, leading zeros;
    letters with accents written in either way of Unicode."""
    if not video or video in videos:
        return video
    leaf = re.split(r"[/\\]", video)[-1]
    stem = leaf[: -len(Path(leaf).suffix)] if leaf.lower().endswith(VIDEO_SUFFIXES) else leaf
    joined = "_".join([*re.split(r"[/\\]", video)[:-1], stem])
    tries = [f"{subject}_{stem}", joined, video, leaf, stem]
    for wanted in map(_folded, tries):
        hits = [n for n, f in videos.items() if wanted in (_folded(n), _folded(f.name))]
        if len(hits) == 1:
            return hits[0]
    if stem.isdigit():
        hits = [n for n in videos if n.isdigit() and int(n) == int(stem)]
        if len(hits) == 1:
            return hits[0]
    return video


def _folded(name: str) -> str:
    return composed(name).casefold()


def read_tidy(root: Path) -> Release | None:
    """CSV files of other projects, labels only; a video name is all that is known of a video.

    Raises:
        InputError: Two of the files hold the same video.
    """
    files = [root] if root.is_file() else sorted(root.glob("*.[cC][sS][vV]"))
    headers = (
        {"subject", "videoname", "startframe", "endframe"},
        {"subject", "video", "onset", "offset", "emotion"},
    )
    labels = []
    for path in files:
        grid = csv_grid(path) if path.suffix.lower() == ".csv" else []
        at = next((p for h in headers if (p := find_header(grid, h, 1)) is not None), None)
        if at is not None:
            labels.append(Labels(path.name, table_of(grid, at)))
    if not labels:
        return None
    _refuse_shared_videos(root, labels)
    problem = "frame numbers taken as they stand, as if they counted from 0"
    lines = [repair(label.file, problem, "kept") for label in labels]
    return Release(labels, {}, None, 0, repairs=join_repairs(*lines))


def _refuse_shared_videos(root: Path, labels: list[Labels]) -> None:
    """Two files with labels of one video would count its events twice."""
    holder: dict[tuple[str, str], str] = {}
    for label in labels:
        columns = columns_of(label.table.columns)
        cells = label.table[[columns["subject"], columns["video"]]]
        for key in dict.fromkeys(cells.itertuples(index=False, name=None)):
            if key[1] and holder.setdefault(key, label.file) != label.file:
                raise InputError(
                    f"{root}: {holder[key]} and {label.file} both hold video {key[1]!r}: name the "
                    "file you mean (or put its rows into one file)"
                )


def videos_in(path: Path) -> list[Path]:
    """A video file or frame folder itself; of another folder, all videos that `find_videos` knows."""
    if not path.is_dir():
        return [path]
    base, files = _found_below(path)
    own = _films(path)
    if base == path and not own and has_images(path):
        return [path]
    files = files if base == path else own + files
    return files or sorted(path.glob("[!.]*.f16")) or [path]  # vectors that were kept of videos

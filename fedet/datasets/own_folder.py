"""A user's folder: `annotations.csv` and `videos/`; and the tidy CSVs of other projects.

Videos may be anywhere below `videos/` (without such a folder: below the root). A video has the name of
its file or folder; where that is not unique, the path below `videos/`, joined by `_`. The table may give
it with suffix or path, in other case, or without leading zeros.
"""

import os
import re
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import as_number, csv_grid, find_header, table_of
from fedet.annotations.repairs import empty_repairs, join_repairs, repair
from fedet.annotations.sheets import WORKBOOKS
from fedet.annotations.spellings import columns_of
from fedet.annotations.table import label_table
from fedet.annotations.video_names import VIDEO_SUFFIXES, composed
from fedet.datasets.layout import Labels, Release, walk
from fedet.errors import InputError
from fedet.video.reader import has_images


def read_own(root: Path) -> Release | None:
    """The layout that the generator writes and that users prepare themselves.

    An optional `videos.csv` (video, subject, fps) also describes videos without events. A video that shows
    several people has a row for each there, with `face`: which face it is, see
    `fedet.faces.people.naming.person_at`.

    Raises:
        InputError: The folder has videos, but none of those in the table.
    """
    folder = root if root.is_dir() else root.parent
    videos = find_videos(folder)
    path = _table_file(root, bool(videos))
    if path is None:
        return None
    listing, lines = _filled_table(folder / "videos.csv", videos, folder)
    table, repairs = _filled_table(path, videos, folder)
    columns = columns_of(table.columns)
    spellings: dict[str, str] = {}
    lines = join_repairs(lines, _listing_problems(folder / "videos.csv", listing, videos, spellings))
    faces = _faces(folder / "videos.csv", listing)
    subjects = {name: name for name in videos} | _subfolders(videos, folder)
    listed_subjects = _first_values(listing, "subject")
    subjects |= listed_subjects
    if "video" in columns:
        repairs = join_repairs(repairs, _fill_subjects(path, table, columns, subjects, faces))
        repairs = join_repairs(
            repairs, _unify_subjects(path, table, columns, videos, listed_subjects, spellings, faces)
        )
    subjects |= _first_values(table, "subject")
    rates = _first_values(listing, "fps") | _first_values(table, "fps")
    return Release(
        labels=[Labels(path.name, table)],
        folders={
            (subject, name): file
            for name, file in videos.items()
            for subject in _people_of(name, faces) or [subjects[name]]
        },
        fps=None,
        first_number=None,
        labels_from=0,
        rates={name: rate for name, cell in rates.items() if (rate := frame_rate(cell))},
        zero_is_missing=(),
        faces=faces,
        repairs=join_repairs(lines, repairs),
    )


Faces = dict[tuple[str, str], str]  # (subject, video) -> which face


def _people_of(video: str, faces: Faces) -> list[str]:
    """The subjects of a video with several people, in the order of videos.csv."""
    return [subject for subject, name in faces if name == video]


def _faces(path: Path, listing: pd.DataFrame) -> Faces:
    """Which face is whose, from the column face of videos.csv.

    Raises:
        InputError: A video has several subjects, and not each has a face of its own.
    """
    columns = columns_of(listing.columns)
    if "face" not in listing or not {"video", "subject"} <= set(columns):
        return {}
    cells = (listing[c] for c in (columns["subject"], columns["video"], "face"))
    rows = [tuple(str(cell).strip() for cell in row) for row in zip(*cells, strict=True)]
    faces: Faces = {}
    for row, (subject, video, face) in zip(listing.index, rows, strict=True):
        others = [s for s, v, _ in rows if v == video and s != subject]
        if not face and not others:
            continue
        if not (subject and face):
            raise InputError(
                f"{path}: row {row}: video {video!r} shows several people: every row of it needs a subject "
                "and a face: left, right, person-3 or a point in the picture like 320,180"
            )
        twice = [s for (s, v), f in faces.items() if v == video and f == face and s != subject]
        if twice or faces.get((subject, video), face) != face:
            raise InputError(
                f"{path}: row {row}: face {face!r} of video {video!r}: one face for each subject"
            )
        faces[subject, video] = face
    return faces


def _filled_table(path: Path, videos: dict[str, Path], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A CSV, the names in its column video replaced by those of the files, and the report; empty if there
    is no such file."""
    if not path.is_file():
        return pd.DataFrame(), empty_repairs()
    table = label_table(path)
    columns = columns_of(table.columns)
    if "video" not in columns:
        return table, empty_repairs()
    return table, _rename_videos(path, table, columns, videos, folder)


def _listing_problems(
    path: Path, listing: pd.DataFrame, videos: dict[str, Path], spellings: dict[str, str]
) -> pd.DataFrame:
    """Reports rows of videos.csv that cannot be used: missing videos, invalid rates."""
    columns = columns_of(listing.columns)
    if "video" not in columns:
        return empty_repairs()
    lines = [_unify_subjects(path, listing, columns, videos, {}, spellings, None)]
    for row in listing.index:
        video = listing.at[row, columns["video"]]
        position = {"row": int(row), "video": video}
        if video and video not in videos:
            lines.append(repair(path.name, "no such video is there", "left out", **position))
        rate = listing.at[row, columns["fps"]] if "fps" in columns else ""
        if rate and frame_rate(rate) is None:
            lines.append(repair(path.name, "no frame rate", "left out", column="fps", value=rate, **position))
    return join_repairs(*lines)


def _unify_subjects(
    path: Path,
    table: pd.DataFrame,
    columns: dict,
    videos: dict[str, Path],
    listed_subjects: dict[str, str],
    spellings: dict[str, str],
    faces: Faces | None,
) -> pd.DataFrame:
    """One spelling for each subject, in place; returns the report.

    Spellings that differ in case, outer spaces or leading zeros are one subject. Two subjects in one
    video are refused unless videos.csv says which face is whose.

    Args:
        listed_subjects: Video -> subject in videos.csv.
        spellings: Normalised name -> the spelling in use; extended here.
        faces: None where the table is videos.csv itself, which may name several if it has a column face.
    """
    header = columns.get("subject")
    if header not in table:
        return empty_repairs()
    lines, subject_of = [], dict(listed_subjects)
    for row in table.index:
        video, written = table.at[row, columns["video"]], table.at[row, header]
        if not written:
            continue
        plain = re.sub(r"(?<!\d)0+(?=\d)", "", written.strip().casefold())
        subject = table.at[row, header] = spellings.setdefault(plain, written)
        position = {"row": int(row), "video": video, "column": "subject"}
        if subject != written:
            lines.append(repair(path.name, f"read as {subject}", "repaired", value=written, **position))
        if (subject, video) in (faces or {}) or faces is None and "face" in table:
            continue
        if video in videos and subject_of.setdefault(video, subject) != subject:
            raise InputError(
                f"{path}: row {row}: video {video!r} shows subject {written!r}, and {subject_of[video]!r} in "
                "another row or in videos.csv; say which face is whose: a row for each in videos.csv with "
                "video, subject, face (left, right, person-3 or a point like 320,180)"
            )
    return join_repairs(*lines)


def _subfolders(videos: dict[str, Path], folder: Path) -> dict[str, str]:
    """Video -> its folder below `videos/`, taken as the subject (our choice)."""
    parts_of = {name: file.relative_to(folder).parts for name, file in videos.items()}
    return {n: p[1] for n, p in parts_of.items() if len(p) > 2 and p[0].lower() == "videos"}


def _fill_subjects(
    path: Path, table: pd.DataFrame, columns: dict, subjects: dict[str, str], faces: Faces
) -> pd.DataFrame:
    """Fills empty subject cells, in place, from videos.csv and folders; returns the report.

    Raises:
        InputError: The video shows several people, so nobody knows whose the event is.
    """
    header = columns.setdefault("subject", "subject")
    if header not in table:
        table[header] = ""
    lines = []
    for row in table.index[(table[header] == "").to_numpy()]:
        video = table.at[row, columns["video"]]
        if len(people := _people_of(video, faces)) > 1:
            raise InputError(
                f"{path}: row {row}: no subject, and video {video!r} shows {' and '.join(people)}: write "
                "whose expression it is into the column subject"
            )
        subject = subjects.get(video, "")
        if subject and subject != video:
            table.at[row, header] = subject
            problem = f"empty: {subject}, by videos.csv or folder"
            position = {"row": int(row), "video": video, "column": "subject"}
            lines.append(repair(path.name, problem, "repaired", **position))
    if (table[header] == "").all():
        del table[header]
    return join_repairs(*lines)


def _table_file(root: Path, has_videos: bool) -> Path | None:
    """`annotations.csv`, or else `annotations.xlsx`, or else the only CSV of intervals next to videos."""
    if root.is_file():
        is_labels = has_videos or root.stem.lower() == "annotations"
        return root if root.suffix.lower() in (".csv", *WORKBOOKS) and is_labels else None
    files = [f for f in sorted(root.iterdir()) if f.name[0] not in ".~"]
    tables = [f for f in files if f.suffix.lower() == ".csv"]
    exact = [f for f in tables if f.name.lower() == "annotations.csv"]
    exact += [f for f in files if f.stem.lower() == "annotations" and f.suffix.lower() in WORKBOOKS]
    if exact or not has_videos:
        return exact[0] if exact else None
    candidates = []
    for file in tables:
        columns = columns_of(label_table(file).columns) if file.stat().st_size else {}
        if "video" in columns and {"onset", "start_s"} & set(columns):
            candidates.append(file)
    if len(candidates) > 1:
        names = ", ".join(f.name for f in candidates)
        raise InputError(
            f"{root}: {names} may all hold the intervals: call one annotations.csv or annotations.xlsx"
        )
    return candidates[0] if candidates else None


def find_videos(folder: Path) -> dict[str, Path]:
    """Name -> file or folder of images, in natural order, below `folder`/videos or `folder`."""
    base, files = _videos_below(folder)
    spellings = [_spellings(f, base) for f in files]
    names: dict[str, Path] = {}
    for file, own_spellings in zip(files, spellings, strict=True):
        others = [s for s in spellings if s is not own_spellings]
        name = next((n for n in own_spellings if not any(n in other for other in others)), own_spellings[-1])
        names[name] = file
    return names


def _videos_below(folder: Path) -> tuple[Path, list[Path]]:
    """`folder`/videos, or `folder` where there is none; and the videos below it."""
    below = [d for d in walk(folder, 1) if d.name.lower() == "videos" and d != folder]
    base = below[0] if below else folder
    files: list[Path] = []
    for d in walk(base, 4 if below else 1, lambda p: p != base and has_images(p)):
        files += [d] if d != base and has_images(d) else _video_files(d)
    return base, files


def _video_files(folder: Path) -> list[Path]:
    """The video files right in a folder, by name."""
    entries = sorted(os.scandir(folder), key=lambda e: e.name)
    files = [e for e in entries if e.is_file() and e.name[0] != "."]
    return [Path(e.path) for e in files if e.name.lower().endswith(VIDEO_SUFFIXES)]


def _spellings(file: Path, base: Path) -> list[str]:
    """Names of a video, the preferred one first: stem, joined path, the same with suffix."""
    stem = file.name if file.is_dir() else file.stem
    folders = [*file.relative_to(base).parent.parts]
    return [stem, "_".join([*folders, stem]), "_".join([*folders, file.name])]


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


def _rename_videos(
    path: Path, table: pd.DataFrame, columns: dict, videos: dict[str, Path], folder: Path
) -> pd.DataFrame:
    """Replaces the table's video names by those of the files, in place; reports each change."""
    header = columns["video"]
    subjects = table[columns["subject"]] if "subject" in columns else [""] * len(table)
    keys = list(zip(subjects, table[header], strict=True))
    match = {key: _matching_video(*key, videos) for key in dict.fromkeys(keys)}
    if videos and table[header].any() and not any(name in videos for name in match.values()):
        some = ", ".join(list(dict.fromkeys(v for _, v in keys))[:3])
        available = ", ".join(list(videos)[:3])
        raise InputError(
            f"{path}: none of its videos ({some}, ...) is in {folder} ({available}, ...): write the "
            "file names into the column video"
        )
    table[header] = [match[key] for key in keys]
    return join_repairs(*(
        repair(path.name, f"read as {name}", "repaired", column=str(header), value=video)
        for (_, video), name in match.items() if name != video
    ))  # fmt: skip


def _matching_video(subject: str, video: str, videos: dict[str, Path]) -> str:
    """The video that a cell names: exactly, or up to path, suffix, case, leading zeros and Unicode
    normalisation."""
    if not video or video in videos:
        return video
    leaf = re.split(r"[/\\]", video)[-1]
    stem = leaf[: -len(Path(leaf).suffix)] if leaf.lower().endswith(VIDEO_SUFFIXES) else leaf
    joined = "_".join([*re.split(r"[/\\]", video)[:-1], stem])
    candidates = [f"{subject}_{stem}", joined, video, leaf, stem]
    for candidate in map(_casefolded, candidates):
        hits = [n for n, f in videos.items() if candidate in (_casefolded(n), _casefolded(f.name))]
        if len(hits) == 1:
            return hits[0]
    if stem.isdigit():
        hits = [n for n in videos if n.isdigit() and int(n) == int(stem)]
        if len(hits) == 1:
            return hits[0]
    return video


def _casefolded(name: str) -> str:
    return composed(name).casefold()


def read_tidy(root: Path) -> Release | None:
    """CSV files of other projects, labels only; there are no videos.

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
    """Raises InputError if two files label one video: its events would count twice."""
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
    """A video file or frame folder itself; of another folder, its videos as in `find_videos`."""
    if not path.is_dir():
        return [path]
    base, files = _videos_below(path)
    direct = _video_files(path)
    if base == path and not direct and has_images(path):
        return [path]
    files = files if base == path else direct + files
    return files or sorted(path.glob("[!.]*.f16")) or [path]  # cached vectors of videos

"""Sets of annotated videos: a release in its original layout, or a user's folder.

Frames are counted from 0 in what is returned. In a folder of images a frame's number is its FILE
NAME, not its rank: image number n is frame n - first_frame_number, also where other images are
missing. `first_frame_number` belongs to the set: 1 for CAS(ME)^2 and SAMM-LV, 0 for CAS(ME)^3
(whose label numbers begin at 0), in any set 0 if an image 0 exists. `Dataset.open` opens a video
on exactly this axis. SAMM-LV stays at 200 frames per second; it is resampled later, by time.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.cells import header_key
from fedet.annotations.repairs import empty_repairs, join_repairs, repair
from fedet.annotations.spellings import columns_of
from fedet.annotations.table import emotion_words, validate
from fedet.datasets.casme import read_casme2, read_casme3
from fedet.datasets.layout import Labels, Release
from fedet.datasets.own_folder import frame_rate, read_own, read_tidy
from fedet.datasets.samm import read_samm
from fedet.errors import InputError
from fedet.video.reader import IMAGE_SUFFIXES, Video, open_video

VIDEO_COLUMNS = ["subject", "video", "path", "fps", "n_frames", "first_frame_number", "n_missing"]
_VIDEO_DTYPES = {"fps": "Float64", "n_frames": "Int64", "first_frame_number": "Int64",
                 "n_missing": "Int64"}  # fmt: skip
_NAMES = {"casmesq": "casme2", "casmelong": "casme2", "sammlv": "samm", "sammlongvideos": "samm",
          "folder": "own"}  # fmt: skip
# In the order in which they are tried: layout -> its reader and the files that it looks for.
LAYOUTS = {
    "casme2": (read_casme2, "*code_final*.xlsx (frames below rawpic/)"),
    "casme3": (read_casme3, "*part_A*ME*.xlsx, *part_A*MaE*.xlsx or *part_C*.xlsx (frames below "
               "data/spNO.1/a/color/)"),
    "samm": (read_samm, "SAMM_LongVideos*.xlsx (frames below SAMM_longvideos/006_1/)"),
    "own": (read_own, "annotations.csv (and videos/ with mp4, mov, avi, mkv, webm or folders of "
            "images)"),
    "tidy": (read_tidy, "a CSV with the columns subject, video_name, start_frame, end_frame, "
             "type_idx or subject, video, onset, offset, emotion"),
}  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """A set of annotated videos.

    Attributes:
        name: "casme2", "casme3", "samm", "tidy" or "own".
        root: Where it was read from.
        videos: VIDEO_COLUMNS, also videos without events. `path` is missing where there are no
            frames, `n_frames` where unknown. `n_frames` is the length of the axis of frame numbers,
            `n_missing` the number of frames without an image (not counting a frame 0).
        annotations: The canonical table.
        repairs: Report of what was repaired, left out, or kept although doubtful.
        missing_offset: The policy for events without offset.
    """

    name: str
    root: Path
    videos: pd.DataFrame
    annotations: pd.DataFrame
    repairs: pd.DataFrame
    missing_offset: str

    def open(self, video: str) -> Video:
        """Opens a video so that its frame k is the annotations' frame k.

        Raises:
            InputError: The set has no such video, or no frames of it.
        """
        rows = self.videos[self.videos["video"] == video]
        if not len(rows) or pd.isna(rows["path"].iloc[0]):
            raise InputError(f"{self.root}: no frames of a video {video!r}")
        row = rows.iloc[0]
        if not Path(row["path"]).is_dir():
            return open_video(row["path"])
        return open_video(row["path"], float(row["fps"]), int(row["first_frame_number"]))

    def summary(self) -> str:
        """One line: what is in it, and how missing offsets were treated."""
        kinds = self.annotations["expression_type"].value_counts()
        actions = self.repairs["action"].value_counts()
        return (
            f"{self.name}: {self.videos['subject'].nunique()} subjects, {len(self.videos)} videos, "
            f"{len(self.annotations)} events ({kinds.get('macro', 0)} macro, "
            f"{kinds.get('micro', 0)} micro); missing_offset={self.missing_offset}; report: "
            f"{actions.get('repaired', 0)} repaired, {actions.get('left out', 0)} left out, "
            f"{actions.get('kept', 0)} kept"
        )


def read_dataset(
    root: str | Path,
    layout: str | None = None,
    missing_offset: str = "apex_mirror",
    emotion_map: Mapping[str, str] | str | None = None,
    fps: float | None = None,
) -> Dataset:
    """Reads a set of annotated videos.

    Args:
        root: Its folder, or the label file in it.
        layout: "casme2", "casme3", "samm", "tidy", "own"; None recognises it by its files.
        missing_offset: As for `annotations.validate`.
        emotion_map: Label -> emotion, over FINE_TO_COARSE; "as written" merges and refuses none; None
            takes that of `annotations.emotion_words`.
        fps: Frames per second where neither the layout nor the video says.

    Raises:
        InputError: Nothing there is of that layout; the message lists what was looked for.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    emotion_map = emotion_words(root) if emotion_map is None else emotion_map
    name, release = _recognise(root, layout)
    images = _image_numbers(release)
    release.first_number = _first_number(release, images)
    videos, video_repairs = _videos(release, images, fps)
    tables, reports = [], [release.repairs, video_repairs]
    for labels in release.labels:
        table, repairs = validate(
            labels.table,
            _lengths(labels, videos),
            missing_offset=missing_offset,
            source_name=labels.file,
            rows=list(labels.table.index),
            fps=_rates(labels, videos, release.fps or fps),
            first_number=_first_label_number(release),
            zero_is_missing=release.zero_is_missing,
            emotion_map=emotion_map,
            missing_frames=_missing_frames(videos, images),
        )
        tables.append(table)
        reports += [repairs, _fps_conflicts(labels, videos)]
    annotations = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    videos, label_only = _with_label_only(videos, annotations, root)
    return Dataset(name, root, videos, annotations, join_repairs(*reports, label_only), missing_offset)


def _recognise(root: Path, layout: str | None) -> tuple[str, Release]:
    order = list(LAYOUTS)
    if layout is not None:
        name = header_key(layout)
        order = [_NAMES.get(name, name)]
        if order[0] not in LAYOUTS:
            raise InputError(f"layout={layout!r}: one of {', '.join(LAYOUTS)}")
    for name in order:
        release = LAYOUTS[name][0](root)
        if release is not None:
            return name, release
    where = f"{root} and two folders below it" if root.is_dir() else str(root)
    looked = "; ".join(f"{name}: {LAYOUTS[name][1]}" for name in order)
    raise InputError(f"{root}: no layout recognised; looked in {where} for {looked}")


Images = dict[str, np.ndarray]  # video -> sorted numbers of its images


def frame_files(folder: str | Path, first_number: int | None = None) -> dict[int, Path]:
    """Frame -> image of a folder, by the last number in the file's name, ascending.

    Args:
        folder: Folder of numbered images.
        first_number: Number of frame 0; None: 0 if there is an image 0, else 1.
    """
    numbered = _numbered_images(folder)
    if first_number is None:
        first_number = min(1, numbered[0][0]) if numbered else 1
    return {n - first_number: Path(folder, name) for n, name in numbered}


def _numbered_images(folder: str | Path) -> list[tuple[int, str]]:
    """(number, file name) of the images of a folder, ascending."""
    names = [n for n in os.listdir(folder) if n.lower().endswith(IMAGE_SUFFIXES) and n[0] != "."]
    matches = ((re.findall(r"\d+", n.rpartition(".")[0]), n) for n in names)
    return sorted((int(digits[-1]), name) for digits, name in matches if digits)


def _image_numbers(release: Release) -> Images:
    folders = {video: path for (_, video), path in release.folders.items() if path.is_dir()}
    return {v: np.array([n for n, _ in _numbered_images(path)], int) for v, path in folders.items()}


def _first_number(release: Release, images: Images) -> int | None:
    """Number of frame 0 in the set; an image 0 anywhere means that the set counts from 0."""
    if release.first_number is None:
        return None
    return min([release.first_number, *(int(n[0]) for n in images.values() if len(n))])


def _first_label_number(release: Release) -> int:
    return (release.first_number or 0) if release.labels_from is None else release.labels_from


def _videos(release: Release, images: Images, fps: float | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per video found on the disk, and the report."""
    rows, lines = [], []
    for (subject, video), path in release.folders.items():
        row = {"subject": subject, "video": video, "path": str(path)}
        row |= {"face": face} if (face := release.faces.get((subject, video))) else {}
        if video in images:
            facts, problem = _folder(release, path, images[video])
            facts["fps"] = release.fps or release.rates.get(video) or fps or _only_rate(release, path)
        else:
            facts, problem = _file(path)
        if problem:
            lines.append(repair(path.name, problem, "kept", video=video))
        rows.append(row | facts)
    table = _video_table(rows)
    return table, join_repairs(*lines, _gaps(table))


def _gaps(videos: pd.DataFrame) -> pd.DataFrame:
    """One line for all missing images; the column n_missing has the number of each video."""
    gaps = videos[(videos["n_missing"] > 0).fillna(False)]
    if not len(gaps):
        return empty_repairs()
    text = f"{gaps['n_missing'].sum()} frames of {len(gaps)} videos have no image (see n_missing): "
    some = ", ".join(gaps["video"][:3]) + ", ..." * (len(gaps) > 3)
    return join_repairs(repair("videos", text + "frames keep the numbers of their files", "kept", value=some))


def _video_table(rows: list[dict]) -> pd.DataFrame:
    columns = [*VIDEO_COLUMNS, *(["face"] if any("face" in row for row in rows) else [])]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    return table.astype({c: _VIDEO_DTYPES.get(c, "string") for c in columns})


def _folder(release: Release, path: Path, numbers: np.ndarray) -> tuple[dict, str]:
    if not len(numbers):
        return {"path": None}, "no numbered images in the folder: labels only"
    first = release.first_number
    first = min(1, int(numbers[0])) if first is None else first
    n_frames = int(numbers[-1]) - first + 1
    # In a set that counts from 0, a video that begins at 1 lacks no image.
    missing = n_frames - len(np.unique(numbers)) - int(first == 0 and numbers[0] == 1)
    n_duplicates = len(numbers) - len(np.unique(numbers))
    problem = f"{n_duplicates} numbers belong to two images each" if n_duplicates else ""
    return {"n_frames": n_frames, "first_frame_number": first, "n_missing": missing}, problem


def _only_rate(release: Release, path: Path) -> float:
    """The one frame rate in the table, for a folder of images."""
    rates = set(release.rates.values())
    if len(rates) != 1:
        raise InputError(f"{path}: a folder of images has no fps: add a column fps, or pass fps=")
    return rates.pop()


def _file(path: Path) -> tuple[dict, str]:
    try:
        video = open_video(path)
    except InputError as error:
        return {"path": None}, f"cannot be opened: {error}"
    by_time = math.ceil((video.duration_s or 0.0) * video.fps - 1e-6)
    n_frames = max(by_time, video.n_frames_estimate or 0)
    return {"fps": video.fps, "n_frames": n_frames or None, "n_missing": None}, ""


def _missing_frames(videos: pd.DataFrame, images: Images) -> dict[str, set[int]]:
    gaps = videos[(videos["n_missing"] > 0).fillna(False)]
    return {
        row.video: set(range(row.n_frames)) - set(images[row.video] - row.first_frame_number)
        for row in gaps.itertuples()
    }


def _rates(labels: Labels, videos: pd.DataFrame, default: float | None) -> dict[str, float]:
    rate_of = dict(zip(videos["video"], videos["fps"], strict=True))
    column = columns_of(labels.table.columns).get("video")
    names = labels.table[column] if column is not None else []
    rates = {v: default if pd.isna(rate_of.get(v, pd.NA)) else rate_of[v] for v in set(names)}
    return {video: rate for video, rate in rates.items() if rate}


def _label_rates(labels: Labels) -> dict[str, float]:
    """Frames per second by video, where the labels have such a column."""
    columns = columns_of(labels.table.columns)
    if "fps" not in columns or "video" not in columns:
        return {}
    cells = zip(labels.table[columns["video"]], labels.table[columns["fps"]], strict=True)
    return {video: rate for video, cell in cells if (rate := frame_rate(cell))}


def _fps_conflicts(labels: Labels, videos: pd.DataFrame) -> pd.DataFrame:
    rate_of = dict(zip(videos["video"], videos["fps"].fillna(0.0), strict=True))
    return join_repairs(*(
        repair(labels.file, f"the video has {rate_of[video]:g} fps: frames are counted at the "
               "table's", "kept", video=video, column="fps", value=f"{rate:g}")
        for video, rate in _label_rates(labels).items()
        if rate_of.get(video) and abs(rate / rate_of[video] - 1) > 0.005
    ))  # fmt: skip


def _lengths(labels: Labels, videos: pd.DataFrame) -> dict[str, int]:
    """Number of frames of each video, counted at the frame rate of the labels."""
    rates = _label_rates(labels)
    ends = {}
    for row in videos[videos["n_frames"].notna()].itertuples():
        rate = rates.get(row.video, row.fps)
        ends[row.video] = math.ceil(row.n_frames * rate / row.fps - 1e-6)
    return ends


def _with_label_only(
    videos: pd.DataFrame, annotations: pd.DataFrame, root: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adds the videos that occur only in the labels."""
    keys = annotations.drop_duplicates(["subject", "video"])
    label_only = keys[~keys["video"].isin(videos["video"])]
    rows = [{"subject": r.subject, "video": r.video, "fps": r.fps} for r in label_only.itertuples()]
    if not rows:
        return videos, empty_repairs()
    joined = pd.concat([videos, _video_table(rows)], ignore_index=True) if len(videos) else None
    if joined is None:
        return _video_table(rows), join_repairs(repair(root.name, "no frames found: labels only", "kept"))
    problem = "no frames of this video found: labels only"
    return joined, join_repairs(*(repair(root.name, problem, "kept", video=r["video"]) for r in rows))

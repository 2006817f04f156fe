"""Interval tables in other people's formats, chosen by the file's suffix, both ways.

| suffix | format | holds |
| --- | --- | --- |
| .csv | canonical table | many videos |
| .boris.csv | BORIS events (on reading, any CSV with its header) | many videos |
| .json | ActivityNet style, seconds | many videos |
| .eaf | ELAN | one video |
| .vtt | WebVTT | one video |

Read, not written: .tsv and .txt as .csv, .srt as .vtt.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.activitynet import read_json, write_json
from fedet.annotations.boris import is_boris, read_boris, write_boris
from fedet.annotations.cells import natural_key
from fedet.annotations.elan import read_eaf, write_eaf
from fedet.annotations.elan_merge import check_replaceable
from fedet.annotations.repairs import join_repairs, repair
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import own_words, read_csv, write_csv
from fedet.annotations.video_names import VIDEO_SUFFIXES, names_of
from fedet.annotations.webvtt import read_vtt, write_vtt
from fedet.errors import InputError
from fedet.files import shortened
from fedet.video.reader import has_images, open_video

__all__ = ["convert", "read_eaf", "read_intervals", "read_json", "read_boris", "read_vtt",
           "write_boris", "write_eaf", "write_intervals", "write_json", "write_vtt"]  # fmt: skip
_SUFFIXES = (".boris.csv", ".csv", ".json", ".eaf", ".vtt")
_READ_AS = {".tsv": ".csv", ".txt": ".csv", ".srt": ".vtt"}


def format_of(path: str | Path) -> str:
    """The suffix that decides the format.

    Raises:
        InputError: No format has it.
    """
    name = Path(path).name.lower()
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), None)
    if suffix is None:
        hint = "save the table as CSV" if name.endswith((".xlsx", ".xls", ".ods")) else ""
        known = f"no format has this suffix; known are {', '.join(_SUFFIXES)}"
        raise InputError(f"{path}: {hint or known}")
    return suffix


def read_intervals(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: Mapping[str, str] | str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads intervals of any known format: (canonical table, report of repairs).

    Args:
        path: The file.
        fps: Frames per second where the file has none.
        video: Name of the video where the file does not tell it (.eaf, .vtt).
        emotion_map: As for `annotations.validate`; None takes that of `annotations.own_words`.

    Raises:
        InputError: The file is not what its suffix says, or lacks what is needed.
    """
    emotion_map = own_words(Path(path)) if emotion_map is None else emotion_map
    name = Path(path).name.lower()
    kind = next((kind for suffix, kind in _READ_AS.items() if name.endswith(suffix)), "") or format_of(path)
    if kind == ".boris.csv" or (kind == ".csv" and is_boris(path)):
        return read_boris(path, fps=fps, emotion_map=emotion_map)
    if kind == ".csv":
        return read_csv(path, fps=fps, emotion_map=emotion_map)
    if kind == ".json":
        return read_json(path, fps=fps, emotion_map=emotion_map)
    read = read_eaf if kind == ".eaf" else read_vtt
    return read(path, fps=fps, video=video, emotion_map=emotion_map)


def write_intervals(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    media: str | Path | None = None,
    durations: Mapping[str, float] | None = None,
) -> None:
    """Writes a canonical table in the format of the suffix.

    Args:
        table: Canonical table.
        path: The file; it appears whole.
        fps: Frames per second where the table has none.
        media: Video file for ELAN to open.
        durations: Seconds of each video, for JSON and for comparing with an .eaf file that is there.

    Raises:
        InputError: Several videos for a format of one, no frame rate, or an .eaf file is there in
            which somebody did what would be lost (see `handwork.check_replaceable`).
    """
    kind = format_of(path)
    if kind == ".csv":
        rates = table["fps"].fillna(fps) if fps else table["fps"]
        write_csv(table.assign(fps=rates), path)
    elif kind == ".boris.csv":
        write_boris(table, path, fps=fps)
    elif kind == ".json":
        write_json(table, path, fps=fps, durations=durations)
    elif kind == ".eaf":
        check_replaceable(table, path, fps, durations)
        write_eaf(table, path, fps=fps, media=media)
    else:
        write_vtt(table, path, fps=fps)


def convert(
    src: str | Path,
    dst: str | Path,
    fps: float | None = None,
    video: str | Path | None = None,
) -> pd.DataFrame:
    """Converts intervals between formats; labels and frames stay as they are.

    A video is known by subject and name: where people share the name of a video, each has a file of
    its own, called `subject_video`.

    Args:
        src: File, or folder of which all .eaf and .vtt files are read; of an event that two of
            them hold, one stays.
        dst: File; `{video}` in its name writes one file per video. Needed for .eaf and .vtt if
            there are several videos.
        fps: Frames per second where `src` has none.
        video: Video file: tells fps, is linked in ELAN, names the video of a single file that
            does not tell it, and if `src` holds several videos only the one of this name is written
            (where people share it, that of the subject after whom its folder is called). A folder of
            videos tells the rate and the link of each.

    Returns:
        The report of what was repaired, left out or kept.

    Raises:
        InputError: Unknown suffix, unreadable file, several videos for one .eaf or .vtt.
    """
    src, dst = Path(src), Path(dst)
    format_of(dst)
    film, folder = (Path(video), None) if video is not None else (None, None)
    if film and film.is_dir() and not has_images(film):
        film, folder = None, film
    rate = fps or (open_video(film).fps if film else None)
    table, repairs = _read_all(src, rate, film)
    names = names_of(table)
    if film and names.nunique() > 1:
        table = _only(table, names, film, src)
        names = names.loc[table.index]
    media = {n: film or _media(n, folder, src, dst) for n in names.unique()}
    if folder and not any(media.values()):
        raise InputError(
            f"video={folder}: none of {shortened(list(media))} lies in this folder; name another"
        )
    table = _with_rates(table, names, media)
    if "{video}" not in dst.name:
        if format_of(dst) in (".eaf", ".vtt"):
            _one_person(table, names, dst)
        durations = _durations(media) if format_of(dst) == ".json" else None
        link = next(iter(media.values()), None)
        write_intervals(table, dst, fps=rate, media=link, durations=durations)
        return repairs
    for name, path in _paths(dst, list(media)).items():
        write_intervals(table[names == name], path, fps=rate, media=media[name])
    return repairs


def _only(table: pd.DataFrame, names: pd.Series, film: Path, src: Path) -> pd.DataFrame:
    """The rows of the video that a file holds."""
    mine = table["video"] == film.stem
    if not mine.any():
        some = shortened(list(dict.fromkeys(table["video"])))
        raise InputError(f"{src}: has no video {film.stem!r} (video={film}), but {some}")
    if names[mine].nunique() > 1:
        people = ", ".join(dict.fromkeys(table.loc[mine, "subject"]))
        mine &= table["subject"] == film.resolve().parent.name
        if not mine.any():
            raise InputError(
                f"{src}: {film.stem!r} is a video of several people ({people}), and the folder of {film} "
                "is called after none of them: put it into a folder with the subject's name"
            )
    return table[mine]


def _one_person(table: pd.DataFrame, names: pd.Series, dst: Path) -> None:
    """Raises InputError if people who share the name of a video would come into one file."""
    if names.nunique() > 1 and table["video"].nunique() == 1:
        people = ", ".join(list(dict.fromkeys(table["subject"]))[:3])
        raise InputError(
            f"{dst}: {table['video'].iloc[0]!r} is a video of several people ({people}): write one file "
            f"for each, as in {{video}}{dst.suffix}"
        )


def _read_all(src: Path, fps: float | None, film: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not src.exists():
        raise InputError(f"{src}: no such file or folder")
    files = [src]
    if src.is_dir():
        found = [f for f in src.iterdir() if f.suffix.lower() in (".eaf", ".vtt")]
        files = sorted(found, key=lambda f: natural_key(f.name))
        if not files:
            raise InputError(f"{src}: no .eaf or .vtt file in this folder")
    name = film.stem if film and len(files) == 1 else None  # else each file has its own video
    parts = [read_intervals(f, fps=fps, video=name, emotion_map=AS_WRITTEN) for f in files]
    tables = {f.name: t for f, (t, _) in zip(files, parts, strict=True) if len(t)}
    table, twice = _joined(tables or {files[0].name: parts[0][0]})
    return table, join_repairs(*(r for _, r in parts), twice)


def _joined(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of several files (by name) as one; an event that two of them hold is reported,
    and left out where all its cells are the same."""
    table = pd.concat(tables.values(), ignore_index=True)
    files = pd.Series([name for name, t in tables.items() for _ in range(len(t))], dtype=object)
    event = [table[c] for c in ("subject", "video", "onset", "offset", "expression_type", "emotion")]
    first = files.groupby(event, dropna=False).transform("first")
    again, lines = table.duplicated(), []
    for i in table.index[first != files]:
        problem = f"same event as in {first[i]}" + ", other details differ" * (not again[i])
        span = f"{table.at[i, 'onset']}-{table.at[i, 'offset']}"
        lines.append(repair(files[i], problem, "left out" if again[i] else "kept", value=span,
                            video=table.at[i, "video"], column="onset"))  # fmt: skip
    return table[~again].reset_index(drop=True), join_repairs(*lines)


def _media(name: str, given: Path | None, src: Path, dst: Path) -> Path | None:
    """The video file of this name in the folder given, beside the files, or in a folder `videos` there;
    one that people share is not taken for any of them."""
    beside = [src if src.is_dir() else src.parent, dst.parent]
    for folder in dict.fromkeys([given, *beside] if given else beside):
        for place in (folder, folder / "videos"):
            for suffix in ("", *VIDEO_SUFFIXES):
                film = place / f"{Path(name).name}{suffix}"
                if film.is_file() and film.suffix.lower() in VIDEO_SUFFIXES:
                    return film
    return None


def _with_rates(table: pd.DataFrame, names: pd.Series, media: Mapping[str, Path | None]) -> pd.DataFrame:
    """Fills missing frame rates in from the video files."""
    for name in names[table["fps"].isna()].unique():
        if film := media.get(name):
            table.loc[(names == name) & table["fps"].isna(), "fps"] = open_video(film).fps
    return table


def _durations(media: Mapping[str, Path | None]) -> dict[str, float]:
    return {n: d for n, film in media.items() if film and (d := open_video(film).duration_s)}


def _paths(dst: Path, videos: list[str]) -> dict[str, Path]:
    """Video -> its file; characters that no file name may have become `_`."""
    safe = {v: "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in v) for v in videos}
    paths = {v: dst.with_name(dst.name.replace("{video}", name)) for v, name in safe.items()}
    if len(set(paths.values())) < len(paths):
        raise InputError(f"{dst}: two videos would get the same file name; rename one of them")
    return paths

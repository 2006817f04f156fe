"""Interval tables in other people's formats, chosen by the file's suffix, both ways.

| suffix | format | holds |
| --- | --- | --- |
| .csv | canonical table | many videos |
| .megc.csv | results of MEGC (on reading, any CSV with its header) | many videos |
| .boris.csv | BORIS events (on reading, any CSV with its header) | many videos |
| .boris | BORIS project | many videos |
| .json | ActivityNet style, seconds | many videos |
| .eaf | ELAN | one video |
| .vtt | WebVTT | one video |
| .srt, .TextGrid | SubRip, Praat; written with times, emotion, type and score alone | one video |

Read, not written: .tsv, .txt and .xlsx as .csv, ELAN's tab-delimited export by its times; .srt as .vtt.
Subset, length and videos without events are kept by .json, .eaf, .vtt and .boris; losses in other formats are
reported.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedet.annotations.activitynet import read_json, write_json
from fedet.annotations.boris import boris_header, labels_of_grid, write_boris
from fedet.annotations.boris_project import read_boris_project, write_boris_project
from fedet.annotations.cells import header_key, natural_key, table_of
from fedet.annotations.elan.reader import read_eaf
from fedet.annotations.elan.text import is_elan_text, read_elan_text
from fedet.annotations.elan.writer import check_replaceable, write_eaf
from fedet.annotations.repairs import join_repairs, left_out, merged_cells_line, repair
from fedet.annotations.sheets import WORKBOOKS, sheets_of
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import (
    PEOPLE,
    EmotionMap,
    LabelFile,
    all_videos,
    interval_header,
    label_table,
    labels_of_table,
    words_for,
    write_csv,
    write_megc,
)
from fedet.annotations.textgrid import WRITTEN_ONLY, text_of, write_text
from fedet.annotations.video_names import VIDEO_SUFFIXES, distinct_names, names_of
from fedet.annotations.webvtt import read_vtt, write_vtt
from fedet.errors import InputError
from fedet.files import shortened
from fedet.video.reader import has_images, open_video

_SUFFIXES = (".megc.csv", ".boris.csv", ".csv", ".boris", ".json", ".eaf", ".vtt", *WRITTEN_ONLY)
_READ_AS = {".tsv": ".csv", ".txt": ".csv", ".srt": ".vtt"} | dict.fromkeys(WORKBOOKS, ".csv")
_IN_FOLDERS = (".eaf", ".vtt")  # files that are read from a folder of them
_ONE_VIDEO = (*_IN_FOLDERS, *WRITTEN_ONLY)
_KEEP_FACTS = (".json", ".boris", *_IN_FOLDERS)
_PLACE = re.compile(r"(?:^|\s)(left|middle|right|person-\d+)$")  # names that `detect` gives to people
_NO_ROOM = ("apex", "emotion_self_report", "action_units", "source", "confidence", "note", "coder")


def format_of(path: str | Path) -> str:
    """The suffix that decides the format.

    Raises:
        InputError: No format has it.
    """
    name = Path(path).name.lower()
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), None)
    if suffix is None:
        hint = "workbooks are read, not written; write .csv" if name.endswith(WORKBOOKS) else ""
        hint = "save the table as .xlsx or .csv" if name.endswith((".xls", ".ods", ".numbers")) else hint
        unknown = f"no format has this suffix; known are {', '.join(_SUFFIXES)}"
        raise InputError(f"{path}: {hint or unknown}")
    return suffix


def read_intervals(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: EmotionMap = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads intervals of any known format: (canonical table, report of repairs).

    Args:
        path: The file.
        fps: Frames per second where the file has none.
        video: Name of the video where the file does not hold it (.eaf, .vtt).
        emotion_map: As for `annotations.validate`; None takes that of `annotations.emotion_words`.

    Raises:
        InputError: The file does not have the format of its suffix, lacks something required, or none of its
            annotations can be read.
    """
    labels = read_labels(path, fps=fps, video=video, emotion_map=emotion_map)
    labels.refuse_if_nothing_is_left(path)
    return labels.events, labels.repairs


def read_labels(
    path: str | Path,
    *,
    fps: float | None = None,
    video: str | None = None,
    emotion_map: EmotionMap = None,
) -> LabelFile:
    """As `read_intervals`, with all videos of the file, even if no annotation can be read."""
    path, name = Path(path), Path(path).name.lower()
    kind = next((kind for suffix, kind in _READ_AS.items() if name.endswith(suffix)), "") or format_of(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if kind == ".boris":
        return read_boris_project(path, fps=fps, emotion_map=emotion_map)
    if kind == ".json":
        return read_json(path, fps=fps, emotion_map=emotion_map)
    if kind in WRITTEN_ONLY:
        raise InputError(f"{path}: fedet writes this format and does not read it; name the file it is from")
    if kind in _ONE_VIDEO:
        read = read_eaf if kind == ".eaf" else read_vtt
        return read(path, fps=fps, video=video, emotion_map=emotion_map)
    if not name.endswith(WORKBOOKS) and is_elan_text(path):
        return read_elan_text(path, fps=fps, video=video, emotion_map=emotion_map)
    return _read_sheets(path, kind == ".boris.csv", fps, emotion_map)


def _read_sheets(path: Path, is_boris: bool, fps: float | None, emotion_map: EmotionMap) -> LabelFile:
    """The labels in the sheets of a workbook or in a CSV file, each an interval table or events of BORIS.

    Raises:
        InputError: No sheet is one.
    """
    sheets = [sheet for sheet in sheets_of(path) if any(any(cells) for _, cells in sheet.grid)]
    parts, lines = [], []
    for sheet in sheets:
        place = path.with_name(f"{path.name} ({sheet.title})") if len(sheets) > 1 else path
        at, grid = interval_header(sheet.grid), sheet.grid
        if is_boris or boris_header(grid) is not None:
            parts.append(labels_of_grid(grid, place, fps=fps, emotion_map=emotion_map))
        elif at is not None:
            _refuse_released(place, grid[at][1])
            words, _ = words_for(path, emotion_map)
            parts.append(labels_of_table(table_of(grid, at), place.name, fps=fps, emotion_map=words))
        else:
            problem = f"no header with video, onset and offset in the first rows: {len(grid)} rows not read"
            lines.append(repair(place.name, problem, "left out", value=sheet.title))
        lines += [merged_cells_line(place.name, *merged) for merged in sheet.merged]
    if not parts:  # one table, whose missing columns are named
        words, _ = words_for(path, emotion_map)
        return labels_of_table(label_table(path), path.name, fps=fps, emotion_map=words)
    return LabelFile(
        pd.concat([part.events for part in parts], ignore_index=True),
        join_repairs(*(part.repairs for part in parts), *lines),
        pd.concat([part.videos for part in parts], ignore_index=True).drop_duplicates(["subject", "video"]),
        sum(part.n_annotations for part in parts),
    )


def _refuse_released(path: Path, header: list[str]) -> None:
    """Raises InputError for the table of SAMM-LV, whose frames count from 1 and whose names are others."""
    if {"filename", "inducementcode"} <= set(map(header_key, header)):
        raise InputError(f"{path}: the table of a released set; name its folder, which is read as released")


def write_intervals(
    table: pd.DataFrame,
    path: str | Path,
    *,
    fps: float | None = None,
    media: str | Path | None = None,
    durations: Mapping[str, float] | None = None,
    videos: pd.DataFrame | None = None,
    template: str | Path | None = None,
    shared: Collection[str] = (),
) -> pd.DataFrame:
    """Writes a canonical table in the format of the suffix, and reports what it left out.

    Args:
        table: Canonical table.
        path: The file; it appears whole.
        fps: Frames per second where the table has none.
        media: Video file for ELAN to open.
        durations: Seconds of each video, for JSON and for comparing with an .eaf file that is there.
        videos: As `LabelFile.videos`; for formats that keep videos without events and VIDEO_FACTS.
        template: For ELAN: an .etf or .eaf file whose tiers and vocabularies a new file begins with.
        shared: Names of videos that show several people at once: one observation of BORIS each.

    Raises:
        InputError: Several videos for a format of one, no frame rate, or an existing .eaf
            file has edits that would be lost (see `elan.writer.check_replaceable`).
    """
    kind = format_of(path)
    if kind in _ONE_VIDEO:
        facts = {} if videos is None else _facts_of_one(videos)
        name = None if table.shape[0] or not facts else str(facts["video"])
        rate = None if fps is None and pd.isna(facts.get("fps")) else fps or facts["fps"]
        if kind == ".eaf":
            deleted = check_replaceable(table, path, rate, durations)
            return write_eaf(
                table,
                path,
                fps=rate,
                media=media,
                video=name,
                facts=facts,
                deleted=deleted,
                template=template,
            )
        if kind in WRITTEN_ONLY:
            write_text(text_of(table, Path(path), fps=rate, video=name, facts=facts), Path(path))
            return _lost_cells(table, kind, Path(path).name)
        write_vtt(table, path, fps=rate, video=name, facts=facts)
    elif kind == ".json":
        write_json(table, path, fps=fps, durations=durations, videos=videos)
    elif kind == ".boris.csv":
        write_boris(table, path, fps=fps, shared=shared)
    elif kind == ".boris":
        write_boris_project(table, path, fps=fps, videos=videos, shared=shared)
    else:
        rates = table["fps"].fillna(fps) if fps else table["fps"]
        (write_megc if kind == ".megc.csv" else write_csv)(table.assign(fps=rates), path)
    return join_repairs()


def _facts_of_one(videos: pd.DataFrame) -> dict:
    """What is known of the one video of `videos`, with the people it shows where it shows several; {} of
    several videos."""
    if videos["video"].nunique() != 1:
        return {}
    return videos.iloc[0].to_dict() | ({PEOPLE: videos["subject"].tolist()} if len(videos) > 1 else {})


def convert(
    src: str | Path,
    dst: str | Path,
    fps: float | None = None,
    video: str | Path | None = None,
    overwrite: bool = False,
    template: str | Path | None = None,
) -> pd.DataFrame:
    """`convert_labels`, of which it returns the report."""
    return convert_labels(src, dst, fps, video, overwrite, template).repairs


def convert_labels(
    src: str | Path,
    dst: str | Path,
    fps: float | None = None,
    video: str | Path | None = None,
    overwrite: bool = False,
    template: str | Path | None = None,
) -> LabelFile:
    """Converts intervals between formats; labels and frames stay as they are.

    A video is identified by subject and name: where people share the name of a video, each gets a file
    called `subject_video`, unless it shows them at once, see `_shown_at_once`: then all are in one file.
    Videos of one name that ELAN files link in different folders are different
    videos, named with their folders.

    Args:
        src: File, or folder of which all .eaf and .vtt files are read; of an event that two of
            them hold for one video, one stays.
        dst: File; `{video}` in its name writes one file per video. Needed for .eaf and .vtt if
            there are several videos.
        fps: Frames per second where `src` has none.
        video: Video file: gives fps, is linked in ELAN, names the video of a single file that
            does not name it, and if `src` holds several videos only the one of this name is written
            (where people share it, that of the subject after whom its folder is called, or else of all).
            A folder of videos gives the rate and the link of each.
        overwrite: Replace also a file of other intervals, or the source itself.
        template: As for `write_intervals`.

    Returns:
        What was read, with the report of what was repaired, left out, kept or lost.

    Raises:
        InputError: Unknown suffix, unreadable file, no annotation that can be read, several videos for one
            .eaf or .vtt, or an existing file would lose something.
    """
    src, dst = Path(src), Path(dst)
    kind = format_of(dst)
    film, folder = (Path(video), None) if video is not None else (None, None)
    if film and film.is_dir() and not has_images(film):
        film, folder = None, film
    rate = fps or (open_video(film).fps if film else None)
    files, labels, shared = _read_all(src, rate, film)
    table, videos = labels.events, all_videos(labels.events, labels.videos)
    chosen = join_repairs()
    if film and len(videos) > 1:
        videos = _select_video(videos, film, src)
        keys = set(zip(videos["subject"], videos["video"], strict=True))
        of_film = [key in keys for key in zip(table["subject"], table["video"], strict=True)]
        chosen, table = _other_videos(table[[not kept for kept in of_film]], film, src.name), table[of_film]
    shared |= _shown_at_once(videos, film, kind in _ONE_VIDEO and "{video}" not in dst.name)
    names = _names(videos, shared)
    media = {name: film or _media(name, folder, src, dst) for name in names.values()}
    if folder and not any(media.values()):
        raise InputError(
            f"video={folder}: none of {shortened(list(media))} lies in this folder; name another"
        )
    keys = pd.Series(
        list(zip(table["subject"], table["video"], strict=True)), index=table.index, dtype=object
    )
    of_row = keys.map(names)
    table = _with_rates(table, of_row, media)
    report = join_repairs(labels.repairs, chosen, _lost_facts(videos, labels, kind, src.name))
    if "{video}" not in dst.name:
        targets = {dst: (table, videos, next(iter(media.values()), None))}
    else:
        rows = {name: videos[[n == name for n in names.values()]] for name in media}
        paths = _paths(dst, list(media))
        targets = {path: (table[of_row == name], rows[name], media[name]) for name, path in paths.items()}
    for path, (events, _, _) in targets.items():
        if not overwrite:
            _refuse_to_overwrite(path, events, files, rate)
    durations = None
    if kind == ".json":  # has an entry for each person
        seconds = _durations(media)
        ids = _names(videos).items()
        durations = {own: seconds[names[key]] for key, own in ids if names[key] in seconds}
    for path, (events, of_path, link) in targets.items():
        facts = {
            "media": link,
            "durations": durations,
            "videos": of_path,
            "template": template,
            "shared": shared,
        }
        report = join_repairs(report, write_intervals(events, path, fps=rate, **facts))
    return replace(labels, repairs=report)


def _refuse_to_overwrite(path: Path, events: pd.DataFrame, sources: list[Path], fps: float | None) -> None:
    """Raises InputError if the file is a source, or holds intervals that `events` lacks."""
    if not path.exists():
        return
    if any(path.samefile(source) for source in sources):
        raise InputError(f"{path}: is the source itself; name another file, or say --overwrite")
    if format_of(path) == ".eaf":
        return  # write_intervals checks these
    if format_of(path) in WRITTEN_ONLY:
        raise InputError(f"{path}: is there; name another file, move it away, or say --overwrite")
    try:
        old = read_labels(path, fps=fps, emotion_map=AS_WRITTEN)
    except InputError as error:
        raise InputError(
            f"{path}: is there and holds something else ({error}); name another file, move it away, or say "
            "--overwrite"
        ) from error
    columns = ["subject", "video", "onset", "offset", "emotion"]
    before, after = (t[columns].astype("string").fillna("") for t in (old.events, events))
    lost = len(before.merge(after.drop_duplicates(), how="left", indicator=True).query("_merge != 'both'"))
    unread = left_out(old.repairs)
    if lost or len(unread):
        raise InputError(
            f"{path}: is there and holds {max(lost, len(unread))} intervals that would be lost; name another "
            "file, move it away, or say --overwrite"
        )


def _lost_cells(table: pd.DataFrame, kind: str, file: str) -> pd.DataFrame:
    """A line on the cells for which the written format has no room."""
    lost = [c for c in _NO_ROOM if c in table and table[c].notna().any()]
    if not lost:
        return join_repairs()
    return join_repairs(repair(file, f"a {kind} file does not keep {', '.join(lost)}: lost", "left out"))


def _lost_facts(videos: pd.DataFrame, labels: LabelFile, kind: str, file: str) -> pd.DataFrame:
    """A line on the facts about videos that the written format loses."""
    if kind in _KEEP_FACTS:
        return join_repairs()
    names = {"subset": "subset", "duration_s": "length", "n_frames": "number of frames"}
    lost = [f"{text} of {n} videos" for fact, text in names.items() if (n := int(videos[fact].notna().sum()))]
    silent = labels.silent()["video"].tolist()
    if silent:
        lost.append(f"{len(silent)} videos without events ({shortened(silent)})")
    if not lost:
        return join_repairs()
    return join_repairs(repair(file, f"a {kind} file does not keep {', '.join(lost)}: lost", "left out"))


def _select_video(videos: pd.DataFrame, film: Path, src: Path) -> pd.DataFrame:
    """The rows of the video `film`: of the subject after whom its folder is called, else of everybody."""
    matches = videos["video"] == film.stem
    if not matches.any():
        some = shortened(list(dict.fromkeys(videos["video"])))
        raise InputError(f"{src}: has no video {film.stem!r} (video={film}), but {some}")
    of_folder = matches & (videos["subject"] == film.resolve().parent.name)
    return videos[of_folder if of_folder.any() else matches]


def _other_videos(others: pd.DataFrame, film: Path, file: str) -> pd.DataFrame:
    """A line on the rows that are not of the chosen video."""
    if others.empty:
        return join_repairs()
    names = shortened(list(dict.fromkeys(others["video"])))
    problem = f"{len(others)} rows of other videos ({names}): not written, since video={film}"
    return join_repairs(repair(file, problem, "left out"))


def _shown_at_once(videos: pd.DataFrame, film: Path | None, one_file: bool) -> set[str]:
    """The videos of one name and several people that are one recording, not one of each person.

    They are if the people have the names that `detect` gives by place, if one video file is said to be that
    of all, or if all are asked for in one file.
    """
    people = videos.groupby("video")["subject"].apply(set)
    several = people[[len(names) > 1 for names in people]]
    if film is not None or (one_file and len(people) == 1):
        return set(several.index)
    return {video for video, names in several.items() if all(map(_PLACE.search, names))}


def _of_several(labels: LabelFile, file: str) -> set[str]:
    """The videos of which one file of one video, or one entry of a file of many, has several people."""
    people = all_videos(labels.events, labels.videos).groupby("video")["subject"].nunique()
    entries = labels.videos.groupby("video").size()
    one_video = file.lower().endswith((*_IN_FOLDERS, ".srt"))
    return {v for v, n in people.items() if n > 1 and (one_video or entries.get(v) == 1)}


def _names(videos: pd.DataFrame, shared: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """(subject, video) -> `names_of`."""
    keys = zip(videos["subject"], videos["video"], strict=True)
    return dict(zip(keys, names_of(videos, shared), strict=True))


def _read_all(src: Path, fps: float | None, film: Path | None) -> tuple[list[Path], LabelFile, set[str]]:
    """The source files, their joined labels, and the videos of which one file or entry has several people."""
    if not src.exists():
        raise InputError(f"{src}: no such file or folder")
    files = [src]
    if src.is_dir():
        candidates = [f for f in src.iterdir() if f.suffix.lower() in _IN_FOLDERS and f.name[0] != "."]
        files = sorted(candidates, key=lambda f: natural_key(f.name))
        if not files:
            raise InputError(f"{src}: no .eaf or .vtt file in this folder")
    name = film.stem if film and len(files) == 1 else None  # else each file has its own video
    labels = {f.name: read_labels(f, fps=fps, video=name, emotion_map=AS_WRITTEN) for f in files}
    labels, renames = _rename_distinct(labels)
    table, repeats = _join_tables({f: one.events for f, one in labels.items() if len(one.events)})
    joined = LabelFile(
        table if len(table) else next(iter(labels.values())).events,
        join_repairs(*(one.repairs for one in labels.values()), renames, repeats),
        pd.concat([one.videos for one in labels.values()], ignore_index=True),
        sum(one.n_annotations for one in labels.values()),
    )
    joined.refuse_if_nothing_is_left(src)
    return files, joined, {v for f, one in labels.items() for v in _of_several(one, f)}


def _rename_distinct(labels: dict[str, LabelFile]) -> tuple[dict[str, LabelFile], pd.DataFrame]:
    """Renames videos of one name but with different links; and a line for each."""
    links: dict[str, dict[str, None]] = {}
    for one in labels.values():
        for row in one.videos.dropna(subset="link").to_dict("records") if len(labels) > 1 else ():
            links.setdefault(row["video"], {})[row["link"]] = None
    lines = []
    renamed: dict[tuple[str, str], str] = {}
    for video, paths in links.items():
        if len(paths) > 1:
            renamed |= {(video, path): name for path, name in distinct_names(paths).items()}
    for file, one in labels.items():
        keys = [(row["video"], row["link"]) for row in one.videos.to_dict("records")]
        names = {video: renamed[video, link] for video, link in keys if (video, link) in renamed}
        if names:
            video, name = next(iter(names.items()))
            problem = f"videos called {video!r} lie in several folders: this one is called {name!r}"
            lines.append(repair(file, problem, "repaired", video=name))
            unnamed = one.events["subject"] == one.events["video"]
            events = one.events.assign(video=one.events["video"].replace(names))
            events["subject"] = events["subject"].mask(unnamed, events["video"])
            videos = one.videos.assign(video=one.videos["video"].replace(names))
            videos["subject"] = videos["subject"].mask(
                one.videos["subject"] == one.videos["video"], videos["video"]
            )
            labels = labels | {file: replace(one, events=events, videos=videos)}
    return labels, join_repairs(*lines)


def _join_tables(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of several files (by name) as one; an event that two of them hold is reported,
    and left out where all its cells are the same."""
    if not tables:
        return pd.DataFrame(), join_repairs()
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


def _media(name: str, video_folder: Path | None, src: Path, dst: Path) -> Path | None:
    """The video file of this name in `video_folder`, next to the files, or in a folder `videos` there;
    one that people share counts for none of them."""
    nearby = [src if src.is_dir() else src.parent, dst.parent]
    for folder in dict.fromkeys([video_folder, *nearby] if video_folder else nearby):
        for parent in (folder, folder / "videos"):
            for suffix in ("", *VIDEO_SUFFIXES):
                film = parent / f"{Path(name).name}{suffix}"
                if film.suffix.lower() in VIDEO_SUFFIXES and film.is_file():
                    return film
    return None


def _with_rates(table: pd.DataFrame, names: pd.Series, media: Mapping[str, Path | None]) -> pd.DataFrame:
    """Fills in missing frame rates from the video files."""
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

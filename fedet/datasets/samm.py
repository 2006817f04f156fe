"""SAMM Long Videos as released, 200 frames per second, with emotions from the micro FACS codes."""

import re
from pathlib import Path

import pandas as pd

from fedet.annotations.cells import header_key
from fedet.annotations.repairs import empty_repairs, join_repairs, repair
from fedet.datasets.layout import Labels, Release, label_files, newest_of, table_with, walk


def read_samm(root: Path) -> Release | None:
    """SAMM-LV: `SAMM_LongVideos*.xlsx`, emotions from `SAMM_Micro_FACS_Codes*.xlsx`."""
    files = label_files(root, r"SAMM[ _]?Long[ _]?Videos")
    if not files:
        return None
    path, lines = newest_of(files)
    needed = {"filename": "", "onset": "onsetframe", "offset": "offsetframe", "type": ""}
    table, merged_report = table_with(path, needed)
    table = table.rename(columns={c: header_key(c) for c in table if header_key(c) in _SAMM_EXTRA})
    codes, code_lines = _samm_emotions(root)
    keys = [_key(f, t) for f, t in zip(table.filename, table.type, strict=True)]
    previous = table.emotion if "emotion" in table else [""] * len(table)
    table["emotion"] = [codes.get(key) or e for key, e in zip(keys, previous, strict=True)]
    reports = [lines, merged_report, code_lines, _samm_durations(table, path.name)]
    if codes:
        reports.append(_samm_missing_emotions(table, set(codes) - set(keys), path.name))
    matches = [re.match(r"(\d+)_(\d+)", name) for name in table["filename"]]
    unmatched = [i for i, (m, f) in enumerate(zip(matches, table.filename, strict=True)) if f and not m]
    reports += [
        repair(path.name, "no SAMM file name (006_1_1): stays as it is", "kept",
               row=int(table.index[i]), column="Filename", value=table.filename.iloc[i])
        for i in unmatched
    ]  # fmt: skip
    persons = [m.group(1).zfill(3) if m else "" for m in matches]
    reports.append(_samm_subjects(table, persons, path.name))
    table["subject"] = persons
    table["video"] = [
        f"{m.group(1).zfill(3)}_{m.group(2)}" if m else f
        for m, f in zip(matches, table["filename"], strict=True)
    ]
    drop = [c for c in table if header_key(c) in ("filename", "inducementcode", "duration")]
    release = Release([Labels(path.name, table.drop(columns=drop))], _samm_folders(root), 200.0, 1)
    release.repairs = join_repairs(*reports)
    return release


_CODES = r"SAMM.*Micro[ _]?FACS"
_SAMM_EXTRA = ("subject", "duration", "emotion")


def _key(filename: str, kind: str) -> tuple[str, str]:
    """The key of an event in both files: "006_1_1", "Micro - 1/2"."""
    numbers = [str(int(n)) for n in re.findall(r"\d+", filename)]
    return "_".join(numbers) or filename, header_key(kind)


def _samm_emotions(root: Path) -> tuple[dict[tuple[str, str], str], pd.DataFrame]:
    """(Filename, Type) -> emotion of the micro events, and the report."""
    folder = root if root.is_dir() else root.parent
    folders = [folder.parent, *sorted(folder.parent.glob("[Ss][Aa][Mm][Mm]*/"))]
    files = label_files(folder, _CODES) or [f for d in folders for f in label_files(d, _CODES, 0)]
    if not files:
        problem = "no SAMM_Micro_FACS_Codes*.xlsx next to it: no emotions from there"
        return {}, join_repairs(repair(root.name, problem, "kept", column="emotion"))
    spellings = {"filename": "", "type": "micro expressiontype", "emotion": "estimatedemotion"}
    table, merged_report = table_with(files[0], spellings)
    codes: dict[tuple[str, str], str] = {}
    lines = [merged_report]
    for row in table.itertuples():
        first = codes.setdefault(_key(row.filename, row.type), row.emotion)
        if first != row.emotion:
            problem = f"second emotion for {row.filename}, {row.type}: {first} stays"
            lines.append(repair(files[0].name, problem, "left out", row=int(row.Index),
                                column="emotion", value=row.emotion))  # fmt: skip
    return codes, join_repairs(*lines)


def _samm_missing_emotions(table: pd.DataFrame, unused_codes: set, file: str) -> pd.DataFrame:
    lines = []
    for row in table.itertuples():
        if header_key(row.type).startswith("micro") and not row.emotion:
            problem = "no emotion by (Filename, Type) in the micro FACS codes: stays empty"
            lines.append(repair(file, problem, "kept", row=int(row.Index), column="emotion",
                                value=f"{row.filename}, {row.type}"))  # fmt: skip
    if any(not header_key(k).startswith("micro") for k in table.type):
        problem = "the micro FACS codes have no emotion for macro events"
        lines.append(repair(file, problem, "kept", column="emotion"))
    if unused_codes:
        some = ", ".join(sorted(f"{f} {t}" for f, t in unused_codes)[:3])
        problem = f"{len(unused_codes)} micro FACS codes have no event here, e.g. {some}"
        lines.append(repair(file, problem, "left out", column="emotion"))
    return join_repairs(*lines)


def _samm_subjects(table: pd.DataFrame, persons: list[str], file: str) -> pd.DataFrame:
    """Reports rows whose subject differs from that in the file name."""
    subjects = table.get("subject", pd.Series("", index=table.index))
    return join_repairs(*(
        repair(file, f"the file name says {person}, which counts", "kept", row=int(row), column="Subject",
               value=cell)
        for row, cell, person in zip(table.index, subjects, persons, strict=True)
        if cell and person and cell.zfill(3) != person
    ))  # fmt: skip


def _samm_durations(table: pd.DataFrame, file: str) -> pd.DataFrame:
    if "duration" not in table:
        return empty_repairs()
    numbers = table[["onset", "offset", "duration"]].apply(pd.to_numeric, errors="coerce")
    wrong = (numbers.offset - numbers.onset + 1 != numbers.duration) & (numbers.offset > 0)
    return join_repairs(*(
        repair(file, "Duration is not offset - onset + 1: onset and offset count", "kept",
               row=int(row), column="Duration", value=table.duration[row])
        for row in table.index[wrong]
    ))  # fmt: skip


def _samm_folders(root: Path) -> dict[tuple[str, str], Path]:
    is_video = re.compile(r"\d{3}_\d+$")
    start = root if root.is_dir() else root.parent
    folders = [d for d in walk(start, 3, lambda p: bool(is_video.match(p.name))) if is_video.match(d.name)]
    return {(d.name.split("_")[0], d.name): d for d in folders}

"""Side signals: sound, and the AUs of other tools, as input channels next to the face.

Each signal is resampled BY TIME to the detector's 30 frames a second. Where it has no values they are 0
and its last channel, `<signal>_present`, is 0: a gap is marked, never NaN.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.video.reader import TICK_TOLERANCE_S

OPENFACE_AUS = tuple(f"AU{n:02d}_r" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
PYFEAT_AUS = tuple(
    f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
)
COLUMNS = {
    "loudness": ("loudness_db",),  # dB above digital silence (-80), divided by 10
    "speech": ("speech",),  # share of the frame's time in which somebody speaks
    "openface": OPENFACE_AUS,  # intensities 0..5
    "pyfeat": PYFEAT_AUS,  # probabilities 0..1
}
SIGNALS = tuple(COLUMNS)
FROM_FILES = ("openface", "pyfeat")  # need a folder with a CSV for each video
SURE = 0.7  # least confidence (OpenFace) or FaceScore (py-feat) of a frame that counts
HOLD_S = 0.1  # a value is repeated for at most this long until the next one


class FaceBoxes(NamedTuple):
    """Where one person's face is, to find it in files that have several faces a frame."""

    boxes: np.ndarray  # (T, 4) centre x and y, size, tilt, 30 a second, pixels of the video; NaN without
    width: int  # of the video as displayed, pixels

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """(N, 3) centre and size at these seconds; NaN without a face."""
        ticks = np.floor((times_s + TICK_TOLERANCE_S) * 30).astype(int)
        out = np.full((len(ticks), 3), np.nan)
        inside = (ticks >= 0) & (ticks < len(self.boxes))
        out[inside] = self.boxes[ticks[inside], :3]
        return out


class SideSignals(NamedTuple):
    """The side signals of one video."""

    values: np.ndarray  # (T, C) float32, the columns of `channels_of`
    problems: tuple[str, ...]  # missing or broken signals


def check_signals(names: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple. Raises InputError on an unknown or repeated one."""
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"signal {name!r}: choose from {', '.join(SIGNALS)}")
    if len(set(names)) < len(names):
        raise InputError(f"signals {', '.join(names)}: name each once")
    return tuple(names)


def channels_of(names: Sequence[str]) -> list[str]:
    """Names of the channels that these signals add, in order."""
    return [c for name in check_signals(names) for c in (*COLUMNS[name], f"{name}_present")]


def side_signals(
    video: str | Path,
    names: Sequence[str],
    n_frames: int,
    fps: float = 30.0,
    sources: Mapping[str, str | Path] | None = None,
    where: FaceBoxes | None = None,
) -> SideSignals:
    """The named signals of a video on a grid of `n_frames` at `fps`.

    Args:
        sources: for "openface" and "pyfeat", the folder with `<video's stem>.csv`.
        where: whose face it is, in files with several faces a frame; None: they have one.

    Raises:
        InputError: a signal is unknown, its folder is not given, or its file is missing or bad.
    """
    from fedet.video.audio import read_sound

    video = Path(video)
    check_signals(names)
    sound = read_sound(video) if {"loudness", "speech"} & set(names) else None
    columns, problems = [np.zeros((n_frames, 0), np.float32)], list(sound.problems if sound else ())
    for name in names:
        if name in FROM_FILES:
            time, values = _from_file(video, name, sources or {}, where)
        elif sound is None:
            time, values = np.zeros(0), np.zeros((0, 1))
            problems.append(f"no sound in {video.name}: {name} is missing throughout")
        else:
            time = sound.time
            values = ((sound.level + 80) / 10 if name == "loudness" else sound.speech)[:, None]
        columns.append(on_grid(time, values, n_frames, fps))
    return SideSignals(np.concatenate(columns, axis=1), tuple(problems))


def training_signals(
    video: str | Path,
    names: Sequence[str],
    n_frames: int,
    fps: float,
    sources: Mapping | None,
    where: FaceBoxes | None = None,
) -> np.ndarray:
    """The values (T, C) of `side_signals`; its problems become warnings."""
    side = side_signals(video, names, n_frames, fps, sources, where)
    for problem in side.problems:
        warnings.warn(problem, UserWarning, stacklevel=3)
    return side.values


def on_grid(time: np.ndarray, values: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
    """Samples at any times (seconds, ascending) as one row a frame, with a last column "present".

    A frame has the mean of the samples within it; a frame without any repeats the latest one
    before it for `HOLD_S` at most, as a player shows it. (N,), (N, C) -> (n_frames, C + 1).
    """
    frame = np.floor((time + TICK_TOLERANCE_S) * fps).astype(int)
    inside = (frame >= 0) & (frame < n_frames)
    total = np.zeros((n_frames, values.shape[1] + 1))
    np.add.at(total, frame[inside], np.concatenate([values, np.ones((len(values), 1))], 1)[inside])
    count = total[:, -1:]
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)  # last column: 0 or 1
    latest = np.maximum.accumulate(np.where(count[:, 0] > 0, np.arange(n_frames), -1))
    present = (latest >= 0) & (np.arange(n_frames) - latest <= HOLD_S * fps + 1e-6)
    return np.where(present[:, None], mean[np.maximum(latest, 0)], 0).astype(np.float32)


# ---------------------------------------------------------------- files of other tools


def csv_of(video: str | Path, name: str, sources: Mapping[str, str | Path] | None) -> Path:
    """The CSV file that "openface" or "pyfeat" has for a video, in its folder of `sources`.

    Raises InputError where the folder is not given or has no file named after the video.
    """
    folder = (sources or {}).get(name)
    if folder is None:
        raise InputError(f"the signal {name!r} needs the folder of its CSV files: --{name} DIR")
    path = Path(folder) / f"{Path(video).stem}.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {name} needs a CSV named after each video")
    return path


def _from_file(
    video: Path, name: str, sources: Mapping, where: FaceBoxes | None
) -> tuple[np.ndarray, np.ndarray]:
    path = csv_of(video, name, sources)
    if name == "openface":
        return read_openface(path, where)
    from fedet.video.reader import open_video

    return read_pyfeat(path, float(open_video(video).fps), where)


def own_face(
    times_s: np.ndarray, centres: np.ndarray | None, where: FaceBoxes, path: str | Path
) -> np.ndarray:
    """Which rows of a file with several faces a frame are one person's: (N,) bool, one a time at most.

    A row is where its centre lies within the person's box; of several the nearest.

    Args:
        times_s: (N,) of each row. centres: (N, 2) of each row's face in pixels of the video; None: the file
            does not say where its faces are.

    Raises InputError where it does not say but has several faces a frame.
    """
    if centres is None:
        if len(np.unique(times_s)) < len(times_s):
            raise InputError(f"{path}: several faces a frame, and no column says where each is")
        return np.ones(len(times_s), bool)
    box = where.at(times_s)
    away = np.abs(centres - box[:, :2]).max(1) / box[:, 2]
    away = np.where(np.isfinite(away) & (away <= 0.6), away, np.inf)
    rows = pd.DataFrame({"time": times_s, "away": away})
    best = rows[np.isfinite(away)].groupby("time")["away"].idxmin()
    chosen = np.zeros(len(times_s), bool)
    chosen[best.to_numpy()] = True
    return chosen


def _openface_centres(table: pd.DataFrame, path: str | Path) -> np.ndarray | None:
    """(N, 2) mean of the landmarks x_0 ... x_67; None without them."""
    columns = [[c for n in range(68) if (c := f"{axis}_{n}") in table] for axis in "xy"]
    if not all(columns):
        return None
    means = [np.mean([_numbers(table, path, c, empty=True) for c in names], axis=0) for names in columns]
    return np.stack(means, 1)


def pyfeat_centres(table: pd.DataFrame, path: str | Path) -> np.ndarray | None:
    """(N, 2) centres of py-feat's face rectangles; None without them."""
    names = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight")
    if not set(names) <= set(table):
        return None
    x, y, width, height = (_numbers(table, path, c, empty=True) for c in names)
    return np.stack([x + width / 2, y + height / 2], 1)


def read_openface(path: str | Path, where: FaceBoxes | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) in seconds and AU intensities (N, 17) of OpenFace's FeatureExtraction.

    With `where`, also of FaceLandmarkVidMulti, which has a row for each face: that of the person there.

    Frames without success, with a confidence below `SURE` or with an AU that is nan or inf are left out.
    Raises InputError quoting file, line and column.
    """
    table = _read_table(path)
    if where is not None:
        time = _numbers(table, path, "timestamp")
        table = table[own_face(time, _openface_centres(table, path), where, path)]
        table = table.assign(face_id="0").sort_values("timestamp", key=pd.to_numeric)
    time, sure, success = (_numbers(table, path, c) for c in ("timestamp", "confidence", "success"))
    if "face_id" in table and table["face_id"].nunique() > 1:
        raise InputError(f"{path}: column face_id names several faces; keep the rows of one")
    values = np.stack([_numbers(table, path, c, empty=True) for c in OPENFACE_AUS], axis=1)
    _ascending(time, path, "timestamp")
    valid = (success > 0) & (sure >= SURE) & np.isfinite(values).all(axis=1)
    return time[valid], values[valid]


def read_pyfeat(
    path: str | Path, fps: float, where: FaceBoxes | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) in seconds and AU probabilities (N, 20) of py-feat's Fex as CSV.

    Args:
        fps: of the video; py-feat counts frames. Frames without a face (empty cells) or with a
            FaceScore below `SURE` are left out.
        where: whose rows, in a file with several faces a frame.

    Raises InputError quoting file, line and column.
    """
    table = _read_table(path)
    if where is not None:
        time = _numbers(table, path, "frame") / fps
        table = table[own_face(time, pyfeat_centres(table, path), where, path)]
    frame, score = _numbers(table, path, "frame"), _numbers(table, path, "FaceScore", empty=True)
    values = np.stack([_numbers(table, path, c, empty=True) for c in PYFEAT_AUS], axis=1)
    _ascending(frame, path, "frame")
    valid = (score >= SURE) & np.isfinite(values).all(axis=1)
    return frame[valid] / fps, values[valid]


def _read_table(path: str | Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path, dtype=str, skipinitialspace=True, keep_default_na=False, sep=_separator(path)
        )
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    return table.rename(columns=str.strip)  # OpenFace writes ", AU01_r"


def _separator(path: str | Path) -> str:
    """The character between the columns: a semicolon where spreadsheets write it."""
    with open(path, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return ";" if first.count(";") > first.count(",") else ","


def _numbers(table: pd.DataFrame, path: str | Path, column: str, empty: bool = False) -> np.ndarray:
    """A column as float64; `empty`: nothing, nan and inf are NaN instead of an error."""
    if column not in table:
        raise InputError(f"{path}: no column {column!r}; it begins with {', '.join(table.columns[:6])}")
    values = pd.to_numeric(table[column].str.strip(), errors="coerce").to_numpy(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    words = table[column].str.strip().str.lower().str.lstrip("+-")
    blank = words.str.fullmatch(r"(nan(\(.*\))?|inf|infinity|1\.#.*)?").to_numpy(bool) if empty else False
    bad = np.flatnonzero(~np.isfinite(values) & ~np.asarray(blank))
    if len(bad):
        cell = table[column].iloc[bad[0]]
        raise InputError(f"{path}: line {bad[0] + 2}, column {column!r}: {cell!r} is not a number")
    return values


def _ascending(values: np.ndarray, path: str | Path, column: str) -> None:
    bad = np.flatnonzero(np.diff(values) <= 0)
    if len(bad):
        raise InputError(
            f"{path}: line {bad[0] + 3}, column {column!r}: {values[bad[0] + 1]:g} does not come after "
            f"{values[bad[0]]:g}; one row a frame, in order, of one face"
        )

"""Puts predictions and truth on one list of videos, one frame rate and one list of labels.

Every repair and assumption is in `Aligned.notes`, which every evaluation prints.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fedet.annotations.video_names import resolve
from fedet.errors import InputError
from fedet.intervals import EMOTIONS, MICRO_MAX_S, RATE_TOLERANCE, at_rate, nominal_fps
from fedet.matching import MEGC_BORDERS, STRICT, Aligned, Conventions, Events


def align(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    *,
    score: float | None = None,
    label: str = "emotion",
    fps: float | None = None,
    conventions: Conventions = STRICT,
) -> Aligned:
    """Aligns two canonical tables.

    Args:
        predictions: canonical columns; needs video, onset, offset and score.
        truth: canonical columns; needs video, onset, offset.
        videos: all videos of the evaluation, also those without events, with the columns video and,
            if there, subject and fps. None: those of the two tables.
        score: the score of a prediction that has none; None refuses such predictions.
        label: the truth column that names the emotion (emotion or emotion_self_report).
        fps: the rate of videos for which no table gives one.
        conventions: `megc_border` and `file_order` are read here.

    Returns:
        The aligned arrays. Repairs: a missing subject is looked up by the video's name; `a.mp4` and
        `x/a` match `a`; predictions at another frame rate are converted by time, except
        where the rates differ by less than 0.5 % (29.97 is 30); an interval that starts before the
        first frame starts there, and one that ends before it is left out, as when a file is read.

    Raises:
        InputError: a column, frame, score, rate or label is missing or impossible, a video is
            ambiguous or not in `videos`, or the two tables have no video in common.
    """
    predicted, annotated = _side(predictions, "predictions", "emotion"), _side(truth, "truth", label)
    listing = None if videos is None else _names_and_rate(videos, "videos")
    if conventions.file_order:
        predicted["score"] = 1 - np.arange(len(predicted)) / max(1, len(predicted))
    else:
        predicted["score"] = _scores(predictions, score)
    predicted, early = _within_video(predicted, "predictions")
    annotated, early_truth = _within_video(annotated, "truth")
    names, notes = _common_names(predicted, annotated, listing)
    notes = [*early, *early_truth, *notes]
    _common_rate(names, predicted, annotated, listing, fps, notes)
    borders = MEGC_BORDERS if conventions.megc_border else {}
    predicted["micro"] = _micro_by_duration(predicted, names, borders)
    annotated["micro"] = _annotated_micro(annotated, names, notes, borders)
    unlabelled = int(annotated["emotion"].isna().sum())
    if unlabelled:
        notes.append(
            f"events without {label}: {unlabelled} of {len(annotated)}, left out of recognition; in "
            "detection a prediction that finds one counts neither way"
        )
    subjects, classes = tuple(sorted(set(names["subject"]))), _classes(annotated, predicted)
    events = [_events(side, names, subjects, classes) for side in (predicted, annotated)]
    columns = names[["subject", "video", "fps"]]
    return Aligned(events[0], events[1], columns, subjects, classes, tuple(notes))


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    """A column as stripped text, "" where it is missing or empty."""
    if column not in table:
        return pd.Series("", index=range(len(table)), dtype=object)
    cells = table[column].reset_index(drop=True)
    return cells.astype("string").str.strip().fillna("").astype(object)


def _numbers(table: pd.DataFrame, column: str, which: str) -> np.ndarray:
    """A column as float64, NaN where it is missing or empty."""
    if column not in table:
        return np.full(len(table), np.nan)
    try:
        return pd.to_numeric(table[column]).astype("Float64").to_numpy(float, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InputError(f"{which}: column {column} is not all numbers ({error})") from None


def _refuse(bad: np.ndarray, table: pd.DataFrame, which: str, problem: str) -> None:
    """Raises for the first row of the mask, quoting it."""
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        row = table.iloc[at]
        cells = ", ".join(f"{c}={row[c]}" for c in ("video", "onset", "offset", "score") if c in row)
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise InputError(f"{which}, row {at} ({cells}): {problem}{more}")


def _names_and_rate(table: pd.DataFrame, which: str) -> pd.DataFrame:
    if "video" not in table:
        raise InputError(f"{which}: no column video; found {', '.join(map(str, table.columns))}")
    side = pd.DataFrame({"subject": _text(table, "subject"), "video": _text(table, "video")})
    side["fps"] = _numbers(table, "fps", which)
    _refuse((side["video"] == "").to_numpy(), table, which, "no video named")
    _refuse((side["fps"] <= 0).to_numpy(), table, which, "fps must be above 0")
    return side


def _side(table: pd.DataFrame, which: str, label: str) -> pd.DataFrame:
    """One table cleaned: subject, video, fps, onset, offset, emotion (None: unknown), type."""
    missing = [c for c in ("video", "onset", "offset") if c not in table]
    missing += [label] if label != "emotion" and label not in table else []
    if missing:
        columns = ", ".join(map(str, table.columns)) or "none"
        raise InputError(f"{which}: no column {', '.join(missing)}; found {columns}")
    side = _names_and_rate(table, which)
    onset, offset = (_numbers(table, c, which) for c in ("onset", "offset"))
    way_out = "choose a missing_offset policy when reading" if which == "truth" else "fill it in"
    _refuse(np.isnan(onset) | np.isnan(offset), table, which, f"onset or offset empty; {way_out}")
    _refuse((onset % 1 != 0) | (offset % 1 != 0), table, which, "frames must be whole numbers")
    _refuse(offset < onset, table, which, "needs onset <= offset")
    side["onset"], side["offset"] = onset.astype(np.int64), offset.astype(np.int64)
    side["emotion"] = _text(table, label).replace("", None)
    side["type"] = _text(table, "expression_type")
    return side


def _within_video(side: pd.DataFrame, which: str) -> tuple[pd.DataFrame, list[str]]:
    """The table without intervals before the first frame, and a note for each repair."""
    before, outside = side["onset"] < 0, side["offset"] < 0
    clipped = before & ~outside
    side.loc[clipped, "onset"] = 0
    notes = []
    if clipped.any():
        notes.append(f"{which} that start before the first frame: {clipped.sum()}, start there")
    if outside.any():
        notes.append(f"{which} that end before the first frame: {outside.sum()}, left out")
    return side[~outside].reset_index(drop=True), notes


def _scores(predictions: pd.DataFrame, default: float | None) -> np.ndarray:
    scores = _numbers(predictions, "score", "predictions")
    if default is not None:
        scores = np.where(np.isnan(scores), default, scores)
    way_out = "no score: add one, or give a score for all (score=1.0, on the command line --score 1)"
    _refuse(np.isnan(scores), predictions, "predictions", way_out)
    _refuse(np.isinf(scores), predictions, "predictions", "score must be finite")
    return scores


def _keys(side: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(side["subject"], side["video"], strict=True))


def _common_names(
    predicted: pd.DataFrame, annotated: pd.DataFrame, listing: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[str]]:
    """Gives both sides a column `code`, an index into the table of videos, which it returns."""
    listed = None if listing is None else _keys(listing)
    names = resolve(_keys(predicted), _keys(annotated), listed)
    keys = sorted(names.known)
    code = {key: i for i, key in enumerate(keys)}
    predicted["code"] = np.array([code[names.predicted[k]] for k in _keys(predicted)], dtype=np.int64)
    annotated["code"] = np.array([code[names.true[k]] for k in _keys(annotated)], dtype=np.int64)
    if listing is not None:
        listing["code"] = [[code[key] for key in names.listed[k]] for k in _keys(listing)]
    return pd.DataFrame(keys, columns=["subject", "video"], dtype=object), names.notes


def _rates(side: pd.DataFrame, names: pd.DataFrame, which: str) -> np.ndarray:
    """The frame rate of each video, NaN where the table gives none."""
    given = side.loc[side["fps"].notna()].groupby("code")["fps"]
    low, high = given.min(), given.max()
    if (low != high).any():
        at = low.index[low != high][0]
        raise InputError(
            f"{which}: video {names.video[at]!r} has fps {low[at]:g} and {high[at]:g}: one video "
            "has one frame rate"
        )
    return low.reindex(range(len(names))).to_numpy(float)


def _common_rate(
    names: pd.DataFrame,
    predicted: pd.DataFrame,
    annotated: pd.DataFrame,
    listing: pd.DataFrame | None,
    fps: float | None,
    notes: list[str],
) -> None:
    """Sets `names.fps`, that of the truth, and brings the predictions' frames to it."""
    rate_p, rate_t = _rates(predicted, names, "predictions"), _rates(annotated, names, "truth")
    if listing is not None:
        listed = _rates(listing.explode("code"), names, "videos")
        rate_t = np.where(np.isnan(rate_t), listed, rate_t)
    rate_t = np.where(np.isnan(rate_t), rate_p, rate_t)
    if fps is not None:
        rate_t = np.where(np.isnan(rate_t), fps, rate_t)
    names["fps"] = rate_t
    rate_p = np.where(np.isnan(rate_p), rate_t, rate_p)
    close = np.abs(rate_p - rate_t) <= RATE_TOLERANCE * rate_t
    alike = np.flatnonzero(close & (rate_p != rate_t))
    other = np.flatnonzero(~close & ~np.isnan(rate_t))
    for differing, action in ((alike, "taken as one rate"), (other, "predictions converted by time")):
        if len(differing):
            at = differing[0]
            notes.append(
                f"frame rates of {len(differing)} videos differ: {action} (in {names.video[at]!r} the "
                f"predictions have {rate_p[at]:g} fps, the truth {rate_t[at]:g})"
            )
    for video in other:
        rows = predicted["code"] == video
        onset, offset = predicted.loc[rows, "onset"], predicted.loc[rows, "offset"]
        ends = at_rate(onset, offset, rate_p[video], rate_t[video])
        for column, frames in zip(("onset", "offset"), ends, strict=True):
            predicted.loc[rows, column] = frames.astype(predicted[column].dtype)


def _micro_by_duration(side: pd.DataFrame, names: pd.DataFrame, borders: Mapping[float, int]) -> np.ndarray:
    """Whether each interval lasts half a second at most, or the frames of `borders` at its rate."""
    rate = names["fps"].to_numpy(float)[side["code"]]
    if np.isnan(rate).any():
        video = names.video[int(side["code"].to_numpy()[np.isnan(rate)][0])]
        raise InputError(
            f"video {video!r} has no fps, so macro and micro cannot be told apart: add the column "
            "fps, or give one for all (fps=30)"
        )
    frames = (side["offset"] - side["onset"] + 1).to_numpy()
    nominal = nominal_fps(rate)
    longest = MICRO_MAX_S * nominal * (1 + 1e-9)
    for border_rate, border in borders.items():
        longest = np.where(nominal == border_rate, border, longest)
    return frames <= longest


def _annotated_micro(
    truth: pd.DataFrame, names: pd.DataFrame, notes: list[str], borders: Mapping[float, int]
) -> np.ndarray:
    kind = truth["type"].to_numpy(object)
    unknown = sorted(set(kind) - {"", "macro", "micro"})
    if unknown:
        raise InputError(f"truth: expression_type {unknown[0]!r}: macro, micro or empty")
    micro, empty = kind == "micro", kind == ""
    if empty.any():
        micro[empty] = _micro_by_duration(truth[empty], names, borders)
        notes.append(f"events without a type: {empty.sum()}, taken from their duration")
    return micro.astype(bool)


def _classes(truth: pd.DataFrame, predictions: pd.DataFrame) -> tuple[str, ...]:
    """The labels of the truth in our order, then by name; then those only predicted."""
    true = set(truth["emotion"].dropna())
    extra = set(predictions["emotion"].dropna()) - true
    ordered = [e for e in EMOTIONS if e in true] + sorted(true - set(EMOTIONS))
    return (*ordered, *sorted(extra))


def _events(
    side: pd.DataFrame, names: pd.DataFrame, subjects: tuple[str, ...], classes: tuple[str, ...]
) -> Events:
    subject_code = {name: i for i, name in enumerate(subjects)}
    subject = [subject_code[name] for name in names["subject"].to_numpy()[side["code"]]]
    emotion_code = {name: i for i, name in enumerate(classes)}
    emotion = side["emotion"].map(emotion_code).fillna(-1).to_numpy(np.int64)
    scores = side["score"].to_numpy(float) if "score" in side else np.full(len(side), np.nan)
    return Events(
        video=side["code"].to_numpy(np.int64),
        subject=np.array(subject, dtype=np.int64),
        onset=side["onset"].to_numpy(np.int64),
        offset=side["offset"].to_numpy(np.int64),
        emotion=emotion,
        micro=side["micro"].to_numpy(bool),
        score=scores,
    )

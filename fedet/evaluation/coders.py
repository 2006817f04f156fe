"""Several coders of the same videos: who they are in a table, and how far they agree.

Who coded a row says its column `coder`; where there is none, its `source`, in which a reader puts the name
of an ELAN tier. Cohen's kappa compares two coders, Krippendorff's alpha all of them at once (nominal data,
by the package krippendorff): the share of agreement beyond that of chance, 1 at best.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from fedet.annotations.cells import header_key
from fedet.annotations.spellings import FINE_TO_COARSE
from fedet.errors import InputError
from fedet.evaluation.agreement import NONE, coder_agreement
from fedet.intervals import EMOTIONS, at_rate


@dataclass(frozen=True)
class CoderAgreement:
    """Agreement of two coders or more.

    Attributes:
        pairs: A row for each pair: first, second, and the figures of `agreement.Agreement`.
        alpha: Krippendorff's alpha over the frames of all videos, silent ones included; None where it is
            not defined, as if nobody ever used more than one category, or the videos' lengths are unknown.
        coders: Coder -> number of events.
    """

    pairs: pd.DataFrame
    alpha: float | None
    coders: dict[str, int]


def coder_of(table: pd.DataFrame) -> pd.Series:
    """Who coded each row: its `coder`, else its source, else "truth"."""
    source = table["source"].astype("string").fillna("")
    source = source.str.replace(r"^review by (.*?)(?: at .*)?$", r"\1", regex=True)
    named = source.map(lambda text: header_key(text.partition("@")[0]) in FINE_TO_COARSE)
    source = source.where((source != "") & ~named.astype(bool), "truth")  # a tier called after an emotion
    if "coder" not in table:
        return source
    coder = table["coder"].astype("string").fillna("")
    return coder.where(coder != "", source)


def coders_agreement(
    tables: Mapping[str, pd.DataFrame], tiou: float = 0.5, n_frames: Mapping[str, int] | None = None
) -> CoderAgreement:
    """Compares coders, each with the table of what they coded.

    Args:
        tables: Coder -> canonical table; frame rates of others are converted to that of the first.
        tiou: Least overlap of two events that match.
        n_frames: Frames of each video in the rate of the first coder; None: up to the last event of any.

    Raises:
        InputError: Fewer than two coders, or two without a video in common.
    """
    if len(tables) < 2:
        names = ", ".join(tables) or "nobody"
        raise InputError(f"agreement needs two coders or more, and here is {names}")
    lengths = _lengths(tables)
    lengths |= {video: n for video, n in (n_frames or {}).items() if video in lengths}
    rows = []
    for first, second in combinations(tables, 2):
        found = coder_agreement(tables[first], tables[second], tiou, lengths)
        rows.append({"first": first, "second": second} | found.summary().to_dict())
    alpha = _alpha(*_by_person(tables, lengths))
    return CoderAgreement(pd.DataFrame(rows), alpha, {c: len(t) for c, t in tables.items()})


def _by_person(
    tables: Mapping[str, pd.DataFrame], lengths: Mapping[str, int]
) -> tuple[Mapping[str, pd.DataFrame], Mapping[str, int]]:
    """The tables and lengths, each person of a video that shows several as a video of their own."""
    if all(table.groupby("video")["subject"].nunique().le(1).all() for table in tables.values()):
        return tables, lengths
    keyed = {c: t.assign(video=t["video"] + "\t" + t["subject"].fillna("")) for c, t in tables.items()}
    keys = dict.fromkeys(key for table in keyed.values() for key in table["video"])
    return keyed, {key: lengths[key.partition("\t")[0]] for key in keys}


def _rate_of(tables: Mapping[str, pd.DataFrame], video: str) -> float:
    """The frame rate of a video in the first table that has it."""
    for table in tables.values():
        rates = table.loc[table["video"] == video, "fps"].dropna()
        if len(rates):
            return float(rates.iloc[0])
    return 30.0


def _lengths(tables: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """Frames of each video up to the last event of any coder."""
    lengths: dict[str, int] = {}
    for video in dict.fromkeys(v for table in tables.values() for v in table["video"]):
        spans = (_spans(table, video, tables)[1] for table in tables.values())
        last = [frames[1].max() for frames in spans if frames.size]
        lengths[video] = int(max(last, default=0)) + 1
    return lengths


def _spans(
    table: pd.DataFrame, video: str, tables: Mapping[str, pd.DataFrame]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of a video and their (2, N) frames in its common rate."""
    rows = table[table["video"] == video]
    rate = _rate_of(tables, video)
    own = rows["fps"].astype(float).fillna(rate)
    spans = [at_rate([a], [b], f, rate) for a, b, f in zip(rows["onset"], rows["offset"], own, strict=True)]
    return rows, np.array([[int(a[0]), int(b[0])] for a, b in spans], dtype=np.int64).reshape(-1, 2).T


def _alpha(tables: Mapping[str, pd.DataFrame], lengths: Mapping[str, int]) -> float | None:
    """Krippendorff's alpha over frames, from how many coders gave each frame each category."""
    import krippendorff

    said = {str(e) for t in tables.values() for e in t["emotion"].dropna()}
    labels = [*(e for e in EMOTIONS if e in said), *sorted(said - set(EMOTIONS)), "unknown", NONE]
    code = {label: i for i, label in enumerate(labels)}
    counts = []
    for video, length in lengths.items():
        units = np.zeros((length, len(labels)), np.int64)
        for table in tables.values():
            rows, spans = _spans(table, video, tables)
            categories = np.full(length, code[NONE])
            for (onset, offset), emotion in sorted(
                zip(spans.T.tolist(), rows["emotion"], strict=True), key=_onset
            ):
                categories[onset : offset + 1] = code["unknown" if pd.isna(emotion) else str(emotion)]
            units[np.arange(length), categories] += 1
        counts.append(units)
    values = np.concatenate(counts)
    values = values[:, values.any(axis=0)]
    if values.shape[1] < 2:
        return None
    return float(krippendorff.alpha(value_counts=values, level_of_measurement="nominal"))


def _onset(row: tuple) -> int:
    return row[0][0]

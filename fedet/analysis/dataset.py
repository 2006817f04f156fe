"""Tables of the events of an annotated set, one function for each question; for notebook 01.

All read the canonical table (see `fedet.annotations.table`). An event whose value is not known is counted
as "unknown". Frames are inclusive: an event ends at the start of the frame after its offset.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.repairs import ACTIONS
from fedet.datasets.dataset import Dataset, read_dataset
from fedet.errors import InputError
from fedet.evaluation.agreement import LabelAgreement, label_agreement
from fedet.intervals import EMOTIONS, expression_type_of
from fedet.metrics import uf1

UNKNOWN = "unknown"
TYPES = ("macro", "micro")
DEFECTS = 5  # kinds of defects that `add_defects` knows


@dataclass(frozen=True)
class OpenedDataset:
    """A set, and whether its faces are generated."""

    dataset: Dataset
    synthetic: bool

    @property
    def label(self) -> str:
        """For titles: generated faces are always called so."""
        return "generated faces" if self.synthetic else f"{self.dataset.root.name}"


def open_dataset(
    data: str | Path = "",
    layout: str = "",
    missing_offset: str = "apex_mirror",
    folder: str | Path = "../data/explore",
    defects: int = 0,
    fps: float = 0.0,
) -> OpenedDataset:
    """The set at `data`, or a small generated one below `folder`.

    Args:
        data: folder or label file as for `read_dataset`; empty generates 6 subjects with 2 videos
            of 15 s each (a minute of work, once).
        layout: as for `read_dataset`; empty recognises it.
        missing_offset: as for `read_dataset`.
        defects: 0..5, how many defects a copy of the generated set's table gets, so that there is
            something to repair.
        fps: frames per second where neither the layout nor a video has them; 0: none is needed.

    Raises:
        InputError: the set cannot be read, has events without a frame rate, or `defects` is not
            0..5.
    """
    if str(data):
        dataset = read_dataset(data, layout or None, missing_offset, fps=fps or None)
        timeless = dataset.annotations["fps"].isna()
        if timeless.any():
            video = dataset.annotations.loc[timeless, "video"].iloc[0]
            raise InputError(
                f"{data}: {timeless.sum()} events, the first in {video}, have no frame rate, so no "
                "duration: give fps=30 or whatever it was, or a column fps"
            )
        return OpenedDataset(dataset, False)
    from fedet.synthetic.generator import GENERATOR_VERSION, SynthConfig, synthesize

    config = SynthConfig(
        subjects=6, videos=2, seconds=15, size=80, events_per_minute=14, overlap_share=0.2, seed=7
    )
    # each version of the generator has its own folder
    root = synthesize(Path(folder) / f"generated_v{GENERATOR_VERSION}", config, jobs=1, progress=False)
    table = pd.read_csv(root / "annotations.csv", dtype="string")
    defective = root / f"spoilt_{defects}.csv"
    add_defects(table, defects).to_csv(defective, index=False)
    return OpenedDataset(read_dataset(defective, "own", missing_offset), True)


def add_defects(table: pd.DataFrame, defects: int) -> pd.DataFrame:
    """A copy in which one row has each of the first `defects` defects of released sets.

    In this order: no offset, an offset before the onset, an offset far after the end of the video, a
    misspelt emotion, a duplicated row.

    Raises:
        InputError: `defects` is not 0..5, or the table has too few rows.
    """
    if not 0 <= defects <= DEFECTS:
        raise InputError(f"defects={defects!r}: a whole number from 0 to {DEFECTS}")
    if len(table) < defects:
        raise InputError(f"defects={defects}: the table has only {len(table)} rows")
    out = table.astype("string").reset_index(drop=True)
    rows = np.linspace(0, len(out) - 1, DEFECTS).round().astype(int)
    new = {
        0: ("offset", pd.NA),
        1: ("offset", str(int(out["onset"].iloc[rows[1]]) - 3)) if defects > 1 else None,
        2: ("offset", "99999"),
        3: ("emotion", "supprise"),
    }
    for i in range(min(defects, 4)):
        column, value = new[i]
        out.loc[rows[i], column] = value
    return pd.concat([out, out.iloc[[rows[4]]]], ignore_index=True) if defects > 4 else out


def repair_counts(repairs: pd.DataFrame) -> pd.DataFrame:
    """Number of repairs by problem and action, most frequent first; empty if there were none."""
    counts = pd.crosstab(repairs["problem"].astype(object), repairs["action"].astype(object))
    counts = counts.reindex(columns=list(ACTIONS), fill_value=0).rename_axis(columns=None)
    return counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def expression_types(table: pd.DataFrame) -> pd.Series:
    """The type of each event, (N,) object: as annotated, else by its duration, else "unknown"."""
    derived = expression_type_of(table["onset"], table["offset"], table["fps"])
    return table["expression_type"].fillna(derived).fillna(UNKNOWN).astype(object)


def durations_s(table: pd.DataFrame) -> pd.Series:
    """Seconds of each event, (N,) Float64, missing where the frame rate is not known."""
    frames = table["offset"].astype("Float64") - table["onset"].astype("Float64") + 1
    return frames / table["fps"]


def duration_summary(table: pd.DataFrame) -> pd.DataFrame:
    """By type: events, shortest, median and longest (s), and how many contradict the limit of 0.5 s."""
    seconds, kind = durations_s(table), expression_types(table)
    derived = expression_type_of(table["onset"], table["offset"], table["fps"])
    contradicts = (derived != kind).fillna(False).astype(bool) & kind.isin(TYPES)
    rows = [
        {"type": k, "events": int((kind == k).sum()), "shortest_s": seconds[kind == k].min(),
         "median_s": seconds[kind == k].median(), "longest_s": seconds[kind == k].max(),
         "contradict": int(contradicts[kind == k].sum())}
        for k in (*TYPES, UNKNOWN) if k in TYPES or (kind == k).any()
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("type")


def events_per_video(dataset: Dataset) -> pd.DataFrame:
    """One row per video, also of those without events: seconds, events by type, events a minute.

    `seconds` and `per_minute` are missing where the length of a video is not known.
    """
    videos, keys = dataset.videos, ["subject", "video"]
    table = videos[keys].astype(object).assign(seconds=videos["n_frames"] / videos["fps"])
    events = dataset.annotations.assign(kind=expression_types(dataset.annotations))
    for kind in (*TYPES, UNKNOWN):
        of_kind = events[events["kind"] == kind].groupby(keys).size().rename(kind)
        table = table.join(of_kind, on=keys)
        table[kind] = table[kind].fillna(0).astype(int)
    table["events"] = table[[*TYPES, UNKNOWN]].sum(axis=1)
    table["per_minute"] = 60 * table["events"] / table["seconds"]
    return table if table[UNKNOWN].any() else table.drop(columns=UNKNOWN)


def emotion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Events by emotion (rows: EMOTIONS, then other labels of the set, then unknown) and type."""
    label = table["emotion"].fillna(UNKNOWN).astype(object)
    counts = pd.crosstab(label, expression_types(table)).rename_axis(index="emotion", columns=None)
    standard = [e for e in EMOTIONS if e in counts.index]
    other = sorted(set(counts.index) - set(EMOTIONS) - {UNKNOWN})
    unknown = [UNKNOWN] if UNKNOWN in counts.index else []
    columns = [k for k in (*TYPES, UNKNOWN) if k in TYPES or k in counts]
    return counts.reindex(index=standard + other + unknown, columns=columns, fill_value=0).astype(int)


def action_units(text: str | None) -> list[int]:
    """The numbers of the action units in a cell like "4+L10", "AU12 or 14" or "R6B", once each.

    Side and intensity are dropped; text without a number, like "?", gives none.
    """
    if text is None or pd.isna(text):
        return []
    return list(dict.fromkeys(int(n) for n in re.findall(r"(?<!\d)\d{1,2}(?!\d)", str(text))))


def action_unit_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Events that show each action unit (rows, most frequent first) by emotion; "all" is the sum."""
    long = table.assign(au=table["action_units"].map(action_units, na_action=None))
    long = long[["au", "emotion"]].explode("au").dropna(subset="au")
    label = long["emotion"].fillna(UNKNOWN).astype(object)
    counts = pd.crosstab(long["au"].astype(int), label).rename_axis(index="action_unit", columns=None)
    order = [e for e in (*EMOTIONS, *sorted(counts.columns)) if e in counts]
    counts = counts[list(dict.fromkeys(order))].assign(all=counts.sum(axis=1).astype(int))
    return counts.sort_values(["all", "action_unit"], ascending=[False, True], kind="stable")


def overlaps(table: pd.DataFrame) -> pd.DataFrame:
    """Pairs of events of one video that share frames, with the time they share.

    Columns: subject, video, onset, offset, emotion (of the earlier), other_onset, other_offset,
    other_emotion, shared_s (missing without a frame rate).
    """
    names = ["onset", "offset", "emotion"]
    columns = ["subject", "video", *names, *(f"other_{n}" for n in names), "shared_s"]
    pairs = []
    for keys, events in table.sort_values(["onset", "offset"], kind="stable").groupby(["subject", "video"]):
        open_: list = []  # events that may still run when the next begins
        for event in events.itertuples():
            open_ = [e for e in open_ if e.offset >= event.onset]
            for e in open_:
                shared = (min(e.offset, event.offset) - event.onset + 1) / e.fps
                pairs.append((*keys, *(getattr(x, n) for x in (e, event) for n in names), shared))
            open_.append(event)
    return pd.DataFrame(pairs, columns=columns)


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Time between each event and all earlier ones of the video: subject, video, from_s, gap_s.

    An event that begins before an earlier one has ended leaves no gap: it is in `overlaps`. One that
    begins on the next frame leaves a gap of 0 s.
    """
    rows = []
    for keys, events in table.sort_values("onset", kind="stable").groupby(["subject", "video"]):
        ends = events["offset"].cummax().shift()
        frames = (events["onset"] - ends - 1).astype("Float64")
        is_gap = (frames >= 0).fillna(False)
        seconds = pd.DataFrame({"from_s": (ends + 1) / events["fps"], "gap_s": frames / events["fps"]})
        rows += [(*keys, *pair) for pair in seconds[is_gap].itertuples(index=False)]
    return pd.DataFrame(rows, columns=["subject", "video", "from_s", "gap_s"])


def self_agreement(table: pd.DataFrame, n_resamples: int = 1000, seed: int = 0) -> LabelAgreement:
    """Agreement of the expert's and the self-reported emotion, over the events that have both."""
    labels = table["emotion"], table["emotion_self_report"]
    return label_agreement(*labels, table["subject"], n_resamples, seed)


def agreement_by_group(table: pd.DataFrame, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Cohen's kappa of expert and self-report: of all, by type, and of each emotion against the rest.

    Index: name of the group; columns: n (events with both labels), share (of equal labels), value
    (kappa), low, high. In the row of an emotion, `n` counts the events to which the expert gives it,
    `share` is how many of them the person gives it too, and kappa is of "this or not this".
    """
    both = table[table["emotion"].notna() & table["emotion_self_report"].notna()]
    kind, rows = expression_types(both), {}
    groups = {"all": both} | {k: both[kind == k] for k in TYPES}
    for name, group in groups.items():
        agreement = self_agreement(group, n_resamples, seed)
        rows[name] = _row(agreement.n, agreement.share, agreement)
    for emotion in self_agreement(both, 0).confusion.index:
        first, second = both["emotion"] == emotion, both["emotion_self_report"] == emotion
        names = [x.map({True: emotion, False: "rest"}) for x in (first, second)]
        agreement = label_agreement(*names, both["subject"], n_resamples, seed)
        n = int(first.sum())
        rows[emotion] = _row(n, float(second[first].mean()) if n else np.nan, agreement)
    return pd.DataFrame.from_dict(rows, orient="index")


def _row(n: int, share: float, agreement: LabelAgreement) -> dict:
    interval = agreement.kappa_interval
    return {"n": n, "share": share, "value": agreement.kappa, "low": interval.low, "high": interval.high}


def disagreement_bounds(agreement: LabelAgreement) -> pd.DataFrame:
    """Bounds for ANY recogniser that follow from the disagreement of two labels; one row per figure: value.

    A recogniser that always repeats the first label is right on the second in `share` of the events, with
    the UF1 of the confusion. And no recogniser can be right on both where they differ, so its
    accuracies on the two add up to at most 1 + share: their mean is at most (1 + share) / 2.
    """
    rows = {
        "accuracy on self-report of one that repeats the expert": agreement.share,
        "UF1 on self-report of one that repeats the expert": float(uf1(agreement.confusion.to_numpy())),
        "mean of the accuracies on both, of any recogniser, at most": (1 + agreement.share) / 2,
    }
    return pd.DataFrame({"value": rows}).rename_axis("figure")

"""Scores predictions against truth: every figure of the protocol, in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.evaluation.bootstrap import (
    LEVEL,
    N_RESAMPLES,
    paired_difference,
    resampled_sums,
    subject_weights,
    t_interval,
)
from fedet.evaluation.scoring import Figures, figures
from fedet.evaluation.scoring import score as score_aligned
from fedet.evaluation.tables import as_text, notes, tables, write_json
from fedet.matching import STRICT, Conventions, threshold_fraction
from fedet.metrics import mean_defined

SAME_SETTINGS = ("tiou", "conventions", "emotions", "label", "n_resamples", "seed", "level")


@dataclass(frozen=True)
class Evaluation:
    """All results of one method on one set, as tables.

    Attributes:
        settings: tIoU, conventions, label, resamples, seed, level.
        data: counts of videos, subjects, events and predictions, and of videos and subjects without events.
        figures: the headline values. Index: name; columns value, low, high and undefined, the
            number of resamples in which the figure had no value.
        spotting: overall, macro, micro; tp, fp, fn, precision, recall, f1.
        typed: the same by typed counting: macro finds macro only, micro finds micro only.
        detection: overall and by emotion; the same columns.
        confusion: recognition over the spotted events; rows true.
        recognition: by emotion, over the spotted events: events, precision, recall, f1.
        ap: by emotion, and "spotting" over all regardless of emotion; a column per tIoU.
        errors: the breakdown of `fedet.evaluation.diagnosis`; None if it is not defined.
        calibration: reliability tables "spotting" and "detection"; empty if the scores are no
            probabilities.
        subjects: counts and F1 by subject.
        curves: precision-recall points at the main threshold, by emotion and for "spotting".
        events, predictions: every interval, and whether it was matched.
        notes: what was repaired, assumed or left out.
        samples: the resampled figures, (n_resamples,) each, for `compare`.
    """

    settings: dict
    data: dict
    figures: pd.DataFrame
    spotting: pd.DataFrame
    typed: pd.DataFrame
    detection: pd.DataFrame
    confusion: pd.DataFrame
    recognition: pd.DataFrame
    ap: pd.DataFrame
    errors: pd.DataFrame | None
    calibration: dict[str, pd.DataFrame]
    subjects: pd.DataFrame
    curves: pd.DataFrame
    events: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    samples: dict[str, np.ndarray]

    def value(self, name: str) -> float:
        """One headline figure by its name, like "spotting_f1"; NaN where it is not defined."""
        if name not in self.figures.index:
            raise InputError(f"no figure {name!r}: one of {', '.join(self.figures.index)}")
        return float(self.figures.at[name, "value"])

    def format(self) -> str:
        """The results as a page of text."""
        return as_text(self)

    def to_json(self, path: str | Path | None = None) -> str:
        """The results as JSON text, which is also written to `path` if that is given."""
        return write_json(self, path)


def evaluate(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    tiou: float = 0.5,
    *,
    conventions: Conventions | str = STRICT,
    emotions: Sequence[str] | None = None,
    score: float | None = None,
    label: str = "emotion",
    fps: float | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Evaluation:
    """Scores a table of predictions against a table of truth.

    Args:
        predictions, truth, videos, score, label, fps: as for `fedet.evaluation.alignment.align`.
        tiou: the threshold of spotting, recognition and detection; average precision has its own.
        conventions: how intervals are counted; the default is the protocol's. Also as text, like "megc",
            see `fedet.matching.NAMED_CONVENTIONS`.
        emotions: recognition and detection of these only; None: all.
        n_resamples: of the bootstrap over subjects; 0 leaves the intervals out.
        seed: of the resamples. Methods that are compared must share it.
        level: of the intervals.

    Raises:
        InputError: the tables cannot be aligned, or an option has an impossible value.
    """
    threshold_fraction(tiou)
    if n_resamples < 0 or not 0 < level < 1:
        raise InputError(f"n_resamples={n_resamples}, level={level}: needs >= 0, and 0 < level < 1")
    if isinstance(conventions, str):
        conventions = Conventions.parse(conventions)
    options: dict = {"score": score, "label": label, "fps": fps, "conventions": conventions}
    aligned = align(predictions, truth, videos, **options)
    # Before predictions go: who is predicted in a video without events only is still predicted.
    if conventions.skip_subjects_without_predictions:
        aligned = aligned.without_unpredicted_subjects()
    if conventions.skip_videos_without_events:
        aligned = aligned.without_eventless_videos()
    if emotions is not None:
        aligned = aligned.only_emotions(emotions)
    scored = score_aligned(aligned, tiou, conventions)
    values = figures({name: sums.sum(axis=0) for name, sums in scored.sums.items()}, scored, None)
    samples: Figures = {}
    if len(aligned.subjects) > 1 and n_resamples:
        weights = subject_weights(len(aligned.subjects), n_resamples, seed)
        drawn = {name: resampled_sums(weights, sums) for name, sums in scored.sums.items()}
        samples = figures(drawn, scored, weights)
    settings = {"tiou": tiou, "conventions": str(conventions), "emotions": ", ".join(emotions or ())}
    settings |= {"label": label, "n_resamples": n_resamples, "seed": seed, "level": level}
    return Evaluation(
        settings=settings,
        figures=_with_intervals(values, samples, len(aligned.subjects), level),
        notes=notes(scored),
        samples=samples,
        **tables(scored),
    )


def _with_intervals(values: Figures, samples: Figures, subjects: int, level: float) -> pd.DataFrame:
    rows = []
    for name, value in values.items():
        bounds = t_interval(float(value), samples.get(name, np.empty(0)), subjects, level)
        ends = within_range(name, bounds.low, bounds.high)
        rows.append((name, float(value), *ends, bounds.undefined))
    table = pd.DataFrame(rows, columns=["figure", "value", "low", "high", "undefined"])
    return table.set_index("figure")


def within_range(figure: str, low: float, high: float) -> tuple[float, float]:
    """The ends of an interval cut to the values that a figure can have; NaN stays NaN."""
    lowest = -1.0 if figure == "kappa" else 0.0
    return float(np.clip(low, lowest, 1.0)), float(np.clip(high, lowest, 1.0))


def compare(
    first: Evaluation | Sequence[Evaluation], second: Evaluation | Sequence[Evaluation]
) -> pd.DataFrame:
    """Paired differences, first - second, over the same resamples of subjects and over training seeds.

    Args:
        first, second: evaluations of two methods on the same truth with the same settings; or
            several each, one per training seed in the same order, whose figures are averaged.

    Returns:
        Index: figure; columns first, second, difference, low, high, undefined (resamples without
        a difference), share_above, the share of resamples in which the first is higher, and seeds, the
        training runs of the method that has fewer; with 1 the interval is over subjects alone.
    """
    a, b = ([x] if isinstance(x, Evaluation) else list(x) for x in (first, second))
    _refuse_unlike([*a, *b])
    rows = []
    for name in a[0].figures.index:
        if not all(name in e.figures.index for e in [*a, *b]):
            continue
        runs_a, runs_b = (np.array([e.value(name) for e in side]) for side in (a, b))
        mean_a, mean_b = (float(mean_defined(runs)) for runs in (runs_a, runs_b))
        drawn = [mean_defined([e.samples.get(name, np.empty(0)) for e in side], axis=0) for side in (a, b)]
        by_seed = runs_a - (runs_b if len(runs_a) == len(runs_b) else mean_b)
        gap, share = paired_difference(drawn[0], drawn[1])
        bounds = t_interval(mean_a - mean_b, gap, a[0].data["subjects"], a[0].settings["level"], by_seed)
        ends = bounds.low, bounds.high, bounds.undefined
        rows.append((name, mean_a, mean_b, mean_a - mean_b, *ends, share, min(len(a), len(b))))
    columns = ["figure", "first", "second", "difference", "low", "high", "undefined", "share_above", "seeds"]
    return pd.DataFrame(rows, columns=columns).set_index("figure")


def _refuse_unlike(evaluations: list[Evaluation]) -> None:
    first, *rest = evaluations
    event = ["subject", "video", "onset", "offset"]
    for other in rest:
        for name in SAME_SETTINGS:
            if first.settings[name] != other.settings[name]:
                raise InputError(
                    f"{name} is {first.settings[name]!r} and {other.settings[name]!r}: evaluations "
                    "are compared with the same settings"
                )
        if list(first.subjects["subject"]) != list(other.subjects["subject"]):
            raise InputError(
                f"{len(first.subjects)} and {len(other.subjects)} subjects: compare methods on the "
                "same subjects (give the same list of videos to both)"
            )
        if not first.events[event].equals(other.events[event]):
            raise InputError("the two evaluations have different events: score both on one truth")

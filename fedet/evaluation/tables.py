"""An evaluation as tables, notes, a page of text and JSON, all from what was scored."""

import json
import math
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fedet import metrics
from fedet.evaluation.scoring import ALL_THRESHOLDS, Scored, probabilities
from fedet.files import atomic_write
from fedet.matching import Aligned, Events
from fedet.metrics import TYPES

if TYPE_CHECKING:
    from fedet.evaluation.evaluation import Evaluation

JSON_VERSION = 1
JSON_BEGINS = f'{{\n "schema_version": {JSON_VERSION},\n "settings"'  # of a file that `write_json` wrote
HEADLINE = {
    "spotting_f1": "spotting F1",
    "macro_f1": "spotting F1, macro (MaE)",
    "micro_f1": "spotting F1, micro (ME)",
    "typed_spotting_f1": "spotting F1, typed",
    "typed_macro_f1": "spotting F1, typed, macro (MaE)",
    "typed_micro_f1": "spotting F1, typed, micro (ME)",
    "uf1": "recognition UF1",
    "uar": "recognition UAR",
    "accuracy": "recognition accuracy",
    "kappa": "recognition kappa",
    "strs": "STRS",
    "typed_strs": "STRS, typed",
    "detection_f1": "detection F1",
    "map_0.3": "mAP at tIoU 0.3",
    "map_0.4": "mAP at tIoU 0.4",
    "map_0.5": "mAP at tIoU 0.5",
    "map_0.6": "mAP at tIoU 0.6",
    "map_0.7": "mAP at tIoU 0.7",
    "map": "mAP, mean of 0.3 to 0.7",
    "ap_50_95": "AP at 0.5:0.05:0.95",
    "spotting_ap_50_95": "spotting AP at 0.5:0.05:0.95",
    "spotting_calibration_error": "calibration error, spotting",
    "detection_calibration_error": "calibration error, detection",
}
KIND_NAMES = {"macro": "macro (MaE)", "micro": "micro (ME)"}
NOT_PRINTED = ("samples", "curves", "events", "predictions")  # too long for a page or a file
NO_EMOTION = "no emotion"


def tables(scored: Scored) -> dict:
    """The tables of `fedet.evaluation.evaluation.Evaluation`, by attribute."""
    total = {name: sums.sum(axis=0) for name, sums in scored.sums.items()}
    kinds, calibration = scored.diagnosis, {}
    for name in ("spotting", "detection"):
        if f"{name}_calibration" in total:
            calibration[name] = metrics.reliability(total[f"{name}_calibration"])
    confusion = _confusion_table(scored, total["confusion"])
    return {
        "data": _data(scored.aligned),
        "spotting": rates(total["spotting"], TYPES),
        "typed": rates(total["typed"], TYPES),
        "detection": _detection_table(scored, total["detection"]),
        "confusion": confusion,
        "recognition": _recognition_table(confusion),
        "ap": _ap_table(scored),
        "errors": kinds.table if kinds else None,
        "calibration": calibration,
        "subjects": _subject_table(scored),
        "curves": _curves(scored),
        "events": _event_table(scored),
        "predictions": _prediction_table(scored),
    }


def rates(counts: np.ndarray, index: Iterable) -> pd.DataFrame:
    """Counts (K, 3) of tp, fp, fn with their precision, recall and F1."""
    tp, fp, fn = np.reshape(counts, (-1, 3)).T
    columns = {"tp": tp, "fp": fp, "fn": fn, "precision": metrics.precision(tp, fp)}
    columns |= {"recall": metrics.recall(tp, fn), "f1": metrics.f1(tp, fp, fn)}
    return pd.DataFrame(columns, index=pd.Index(index, name="kind"))


def _data(aligned: Aligned) -> dict:
    p, t, videos = aligned.predictions, aligned.truths, np.arange(len(aligned.videos))
    subjects = np.arange(len(aligned.subjects))
    return {
        "subjects": len(subjects),
        "subjects_without_events": int((~np.isin(subjects, t.subject)).sum()),
        "videos": len(videos),
        "videos_without_events": int((~np.isin(videos, t.video)).sum()),
        "videos_without_predictions": int((~np.isin(videos, p.video)).sum()),
        "events": len(t),
        "macro_events": int((~t.micro).sum()),
        "micro_events": int(t.micro.sum()),
        "events_without_emotion": int((t.emotion < 0).sum()),
        "predictions": len(p),
        "predictions_without_emotion": int((p.emotion < 0).sum()),
    }


def _detection_table(scored: Scored, total: np.ndarray) -> pd.DataFrame:
    p, t = scored.aligned.predictions, scored.aligned.truths
    hit, wrong = scored.detected.found_by >= 0, scored.detected.false_positives()
    rows = [total]
    for code in range(len(scored.aligned.classes)):
        of_t, of_p = t.emotion == code, p.emotion == code
        counts = (hit & of_t).sum(), (wrong & of_p).sum(), (~hit & of_t).sum()
        rows.append(np.array(counts) * scored.has_emotions)
    return rates(np.stack(rows), ["overall", *scored.aligned.classes])


def _confusion_table(scored: Scored, total: np.ndarray) -> pd.DataFrame:
    names = [*scored.aligned.classes, NO_EMOTION]
    table = pd.DataFrame(total, index=names, columns=names).drop(index=NO_EMOTION)
    return table if table[NO_EMOTION].any() else table.drop(columns=NO_EMOTION)


def _recognition_table(confusion: pd.DataFrame) -> pd.DataFrame:
    classes = list(confusion.index)
    tp = np.diagonal(confusion[classes].to_numpy())
    fp = confusion[classes].to_numpy().sum(axis=0) - tp
    fn = confusion.to_numpy().sum(axis=1) - tp
    return rates(np.stack([tp, fp, fn], axis=-1), classes).assign(events=tp + fn)


def _ap_table(scored: Scored) -> pd.DataFrame:
    names = dict.fromkeys(name for name, _ in scored.rankings)
    rows = {}
    for name in names:
        points = scored.conventions.recall_points
        aps = {t: metrics.average_precision(scored.rankings[name, t], points) for t in ALL_THRESHOLDS}
        events = int(scored.rankings[name, ALL_THRESHOLDS[0]].events.sum())
        rows[name] = {"events": events} | {f"{t:g}": ap for t, ap in aps.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def _subject_table(scored: Scored) -> pd.DataFrame:
    aligned, sums = scored.aligned, scored.sums
    size = len(aligned.subjects)
    columns: dict[str, object] = {"subject": list(aligned.subjects)}
    columns["videos"] = np.bincount(aligned.video_subjects(), minlength=size)
    columns["events"] = np.bincount(aligned.truths.subject, minlength=size)
    columns["predictions"] = np.bincount(aligned.predictions.subject, minlength=size)
    for i, kind in enumerate(TYPES):
        spotting = rates(sums["spotting"][:, i], range(size)).reset_index(drop=True)
        prefix = f"{kind}_" if i else ""
        columns |= {prefix + name: spotting[name] for name in spotting}
    detection = rates(sums["detection"], range(size))
    columns |= {f"detection_{name}": detection[name].to_numpy() for name in detection}
    return pd.DataFrame(columns)


def _curves(scored: Scored) -> pd.DataFrame:
    parts = []
    names = dict.fromkeys(name for name, _ in scored.rankings)
    for name in names:
        if name == "spotting":
            ranking = metrics.rank_predictions(scored.aligned, scored.spotted)
        else:
            code = scored.aligned.classes.index(name)
            ranking = metrics.rank_predictions(scored.aligned, scored.detected, code)
        curve = metrics.precision_recall_curve(ranking)
        parts.append(curve.assign(kind=name, ap=metrics.average_precision(ranking)))
    return pd.concat(parts, ignore_index=True)


def _intervals(scored: Scored, events: Events) -> pd.DataFrame:
    videos = scored.aligned.videos.iloc[events.video].reset_index(drop=True)
    names = np.array([*scored.aligned.classes, None], dtype=object)
    seconds = {
        "start_s": events.onset / videos["fps"].to_numpy(float),
        "end_s": (events.offset + 1) / videos["fps"].to_numpy(float),
    }
    kind = np.where(events.micro, "micro", "macro")
    columns = {"onset": events.onset, "offset": events.offset} | seconds
    columns |= {"expression_type": kind, "emotion": names[events.emotion]}
    return videos.assign(**columns)


def _event_table(scored: Scored) -> pd.DataFrame:
    spotted, detected = scored.spotted.found_by >= 0, scored.detected.found_by >= 0
    table = _intervals(scored, scored.aligned.truths).assign(spotted=spotted, detected=detected)
    return table.assign(missed=scored.diagnosis.missed if scored.diagnosis else ~spotted)


def _prediction_table(scored: Scored) -> pd.DataFrame:
    spotted, detected = scored.spotted.truth_of >= 0, scored.detected.truth_of >= 0
    table = _intervals(scored, scored.aligned.predictions)
    table = table.assign(score=scored.aligned.predictions.score, spotted=spotted, detected=detected)
    return table.assign(kind=scored.diagnosis.kind if scored.diagnosis else None)


def notes(scored: Scored) -> tuple[str, ...]:
    """The repairs and assumptions that a reader of the figures must know, in plain words."""
    p, t = scored.aligned.predictions, scored.aligned.truths
    lines = list(scored.aligned.notes)
    if not scored.has_emotions:
        side = "prediction" if len(p) and (p.emotion < 0).all() else "event"
        lines.append(f"no {side} names an emotion: recognition and detection are not defined")
    elif (p.emotion < 0).any():
        lines.append(f"predictions without an emotion: {(p.emotion < 0).sum()}, wrong in detection")
    if not probabilities(scored.aligned):
        lines.append("scores are not all in [0, 1]: no calibration")
    _, sizes = np.unique(p.score, return_counts=True)
    if (sizes > 1).any():
        tied = sizes[sizes > 1].sum()
        lines.append(f"predictions with equal scores: {tied}; the earlier onset, then offset, goes first")
    if len(scored.aligned.subjects) == 1:
        lines.append("one subject: no interval can be given")
    extra = [c for i, c in enumerate(scored.aligned.classes) if not (t.emotion == i).any()]
    if extra and len(t):
        lines.append(f"predicted but never annotated, left out of means: {', '.join(extra)}")
    return tuple(lines)


def number(value: object, digits: int = 3) -> str:
    """A cell of a printed table: "-" for what is undefined, whole numbers as they are."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}"
    return str(value)


def short_number(value: float | int | str | None) -> str:
    """Whole numbers as they are, others with three decimals below 10 and one above; "-" for none."""
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "-"
    if float(value).is_integer() and isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def text_table(table: pd.DataFrame, index_name: str = "") -> str:
    """A table in aligned columns, the index first."""
    cells = [[index_name, *map(str, table.columns)]]
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        cells.append([KIND_NAMES.get(str(name), str(name)), *map(number, row)])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = []
    for first, *rest in cells:
        right = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)


def as_text(result: "Evaluation") -> str:
    """The whole evaluation as a page."""
    ap = result.ap.rename(columns=lambda name: f"AP {name}" if name != "events" else name)
    sections = {
        "Spotting": text_table(result.spotting),
        "Spotting, typed (macro finds macro only, micro finds micro only)": text_table(result.typed),
        "Detection": text_table(result.detection),
        "Recognition of the spotted events": text_table(result.recognition),
        "Confusion (rows: truth, columns: predicted)": text_table(result.confusion),
        'Average precision ("spotting" ignores emotions)': text_table(ap[[c for c in ap if len(c) < 7]]),
    }
    if result.errors is not None:
        errors = result.errors.set_index("kind").rename(columns={"f1_if_mended": "F1 if corrected"})
        sections["Errors, and detection F1 if each kind were corrected"] = text_table(errors)
    for name, table in result.calibration.items():
        sections[f"Calibration of the scores, {name}"] = _calibration_text(table)
    columns = ["videos", "events", "predictions", "tp", "fp", "fn", "f1", "detection_f1"]
    sections["Subjects"] = text_table(result.subjects.set_index("subject")[columns])
    if result.notes:
        sections["Notes"] = "\n".join(f"- {note}" for note in result.notes)
    blocks = [_head(result), _headline(result), *(f"{title}\n{text}" for title, text in sections.items())]
    return "\n\n".join(blocks) + "\n"


def _calibration_text(table: pd.DataFrame) -> str:
    filled = table[table["n"] > 0]
    bins = [f"{low:.1f}-{high:.1f}" for low, high in zip(filled["low"], filled["high"], strict=True)]
    return text_table(filled.set_axis(bins).drop(columns=["low", "high"]), "score")


def _head(result: "Evaluation") -> str:
    d, s = result.data, result.settings
    return "\n".join(
        [
            f"{d['subjects']} subjects ({d['subjects_without_events']} without events), "
            f"{d['videos']} videos ({d['videos_without_events']} without events, "
            f"{d['videos_without_predictions']} without predictions)",
            f"{d['events']} events ({d['macro_events']} macro, {d['micro_events']} micro), "
            f"{d['predictions']} predictions",
            f"tIoU {s['tiou']:g}; conventions: {s['conventions']}; label: {s['label']}"
            + (f"; emotions: {s['emotions']}" if s["emotions"] else ""),
        ]
    )


def _headline(result: "Evaluation") -> str:
    s = result.settings
    shown = result.figures.loc[[name for name in HEADLINE if name in result.figures.index]]
    wide = {"map": "mAP, mean of 0.5 to 0.95"} if "wide_map" in s["conventions"] else {}
    table = shown.rename(index=HEADLINE | wide)[["value", "low", "high"]].copy()
    if (shown["undefined"] > 0).any():
        table["undefined in"] = shown["undefined"].to_numpy()
    if not result.samples:
        return "Figures\n" + text_table(table[["value"]])
    return (
        f"Figures with {int(table['low'].notna().sum())} intervals of {100 * s['level']:g} % "
        f"({s['n_resamples']} resamples of subjects, seed {s['seed']}; one training run, whose luck is "
        "not in them)\n" + text_table(table)
    )


def to_plain(value: object) -> object:
    """Tables and numbers as JSON takes them: NaN becomes None."""
    if isinstance(value, pd.DataFrame):
        named = not isinstance(value.index, pd.RangeIndex)
        table = value.reset_index(names=value.index.name or "truth") if named else value
        return [{k: to_plain(v) for k, v in row.items()} for row in table.to_dict("records")]
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return None if value is pd.NA else value


def write_json(result: "Evaluation", path: str | Path | None = None) -> str:
    """The evaluation as JSON text, written to `path` too if that is given."""
    plain: dict[str, object] = {"schema_version": JSON_VERSION}
    for field in fields(result):
        if field.name not in NOT_PRINTED:
            plain[field.name] = to_plain(getattr(result, field.name))
    plain["figures"] = to_plain(result.figures.to_dict("index"))
    text = json.dumps(plain, indent=1, allow_nan=False) + "\n"
    if path is not None:
        with atomic_write(Path(path)) as part:
            part.write_text(text, encoding="utf-8")
    return text

"""The tables and notes of an evaluation, from what was scored."""

import numpy as np
import pandas as pd

from fedet import metrics
from fedet.matching import Aligned, Events
from fedet.metrics import TYPES
from fedet.scoring import ALL_THRESHOLDS, Scored, probabilities

NO_EMOTION = "no emotion"


def tables(found: Scored) -> dict:
    """The tables of `fedet.evaluation.Evaluation`, by attribute."""
    total = {name: sums.sum(axis=0) for name, sums in found.sums.items()}
    kinds, calibration = found.diagnosis, {}
    for name in ("spotting", "detection"):
        if f"{name}_calibration" in total:
            calibration[name] = metrics.reliability(total[f"{name}_calibration"])
    confusion = _confusion_table(found, total["confusion"])
    return {
        "data": _data(found.aligned),
        "spotting": rates(total["spotting"], TYPES),
        "detection": _detection_table(found, total["detection"]),
        "confusion": confusion,
        "recognition": _recognition_table(confusion),
        "ap": _ap_table(found),
        "errors": kinds.table if kinds else None,
        "calibration": calibration,
        "subjects": _subject_table(found),
        "curves": _curves(found),
        "events": _event_table(found),
        "predictions": _prediction_table(found),
    }


def rates(counts: np.ndarray, index) -> pd.DataFrame:
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


def _detection_table(found: Scored, total: np.ndarray) -> pd.DataFrame:
    p, t = found.aligned.predictions, found.aligned.truths
    hit, wrong = found.detected.found_by >= 0, found.detected.misses()
    rows = [total]
    for code in range(len(found.aligned.classes)):
        of_t, of_p = t.emotion == code, p.emotion == code
        counts = (hit & of_t).sum(), (wrong & of_p).sum(), (~hit & of_t).sum()
        rows.append(np.array(counts) * found.named)
    return rates(np.stack(rows), ["overall", *found.aligned.classes])


def _confusion_table(found: Scored, total: np.ndarray) -> pd.DataFrame:
    names = [*found.aligned.classes, NO_EMOTION]
    table = pd.DataFrame(total, index=names, columns=names).drop(index=NO_EMOTION)
    return table if table[NO_EMOTION].any() else table.drop(columns=NO_EMOTION)


def _recognition_table(confusion: pd.DataFrame) -> pd.DataFrame:
    classes = list(confusion.index)
    tp = np.diagonal(confusion[classes].to_numpy())
    fp = confusion[classes].to_numpy().sum(axis=0) - tp
    fn = confusion.to_numpy().sum(axis=1) - tp
    return rates(np.stack([tp, fp, fn], axis=-1), classes).assign(events=tp + fn)


def _ap_table(found: Scored) -> pd.DataFrame:
    names = dict.fromkeys(name for name, _ in found.rankings)
    rows = {}
    for name in names:
        aps = {t: metrics.average_precision(found.rankings[name, t]) for t in ALL_THRESHOLDS}
        events = int(found.rankings[name, ALL_THRESHOLDS[0]].events.sum())
        rows[name] = {"events": events} | {f"{t:g}": ap for t, ap in aps.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def _subject_table(found: Scored) -> pd.DataFrame:
    aligned, sums = found.aligned, found.sums
    size = len(aligned.subjects)
    columns: dict[str, object] = {"subject": list(aligned.subjects)}
    columns["videos"] = np.bincount(aligned.video_subjects(), minlength=size)
    columns["events"] = np.bincount(aligned.truths.subject, minlength=size)
    columns["predictions"] = np.bincount(aligned.predictions.subject, minlength=size)
    for i, kind in enumerate(TYPES):
        part = rates(sums["spotting"][:, i], range(size)).reset_index(drop=True)
        prefix = f"{kind}_" if i else ""
        columns |= {prefix + name: part[name] for name in part}
    detection = rates(sums["detection"], range(size))
    columns |= {f"detection_{name}": detection[name].to_numpy() for name in detection}
    return pd.DataFrame(columns)


def _curves(found: Scored) -> pd.DataFrame:
    parts = []
    names = dict.fromkeys(name for name, _ in found.rankings)
    for name in names:
        if name == "spotting":
            ranking = metrics.ranked(found.aligned, found.spotted)
        else:
            code = found.aligned.classes.index(name)
            ranking = metrics.ranked(found.aligned, found.detected, code)
        curve = metrics.precision_recall_curve(ranking)
        parts.append(curve.assign(kind=name, ap=metrics.average_precision(ranking)))
    return pd.concat(parts, ignore_index=True)


def _intervals(found: Scored, events: Events) -> pd.DataFrame:
    videos = found.aligned.videos.iloc[events.video].reset_index(drop=True)
    names = np.array([*found.aligned.classes, None], dtype=object)
    seconds = {
        "start_s": events.onset / videos["fps"].to_numpy(float),
        "end_s": (events.offset + 1) / videos["fps"].to_numpy(float),
    }
    kind = np.where(events.micro, "micro", "macro")
    columns = {"onset": events.onset, "offset": events.offset} | seconds
    columns |= {"expression_type": kind, "emotion": names[events.emotion]}
    return videos.assign(**columns)


def _event_table(found: Scored) -> pd.DataFrame:
    spotted, detected = found.spotted.found_by >= 0, found.detected.found_by >= 0
    table = _intervals(found, found.aligned.truths).assign(spotted=spotted, detected=detected)
    return table.assign(missed=found.diagnosis.missed if found.diagnosis else ~spotted)


def _prediction_table(found: Scored) -> pd.DataFrame:
    spotted, detected = found.spotted.truth_of >= 0, found.detected.truth_of >= 0
    table = _intervals(found, found.aligned.predictions)
    table = table.assign(score=found.aligned.predictions.score, spotted=spotted, detected=detected)
    return table.assign(kind=found.diagnosis.kind if found.diagnosis else None)


def notes(found: Scored) -> tuple[str, ...]:
    """What a reader of the figures must know, in plain words."""
    p, t = found.aligned.predictions, found.aligned.truths
    said = list(found.aligned.notes)
    if not found.named:
        side = "prediction" if len(p) and (p.emotion < 0).all() else "event"
        said.append(f"no {side} names an emotion: recognition and detection are not defined")
    elif (p.emotion < 0).any():
        said.append(f"predictions without an emotion: {(p.emotion < 0).sum()}, wrong in detection")
    if not probabilities(found.aligned):
        said.append("scores are not all in [0, 1]: no calibration")
    _, sizes = np.unique(p.score, return_counts=True)
    if (sizes > 1).any():
        tied = sizes[sizes > 1].sum()
        said.append(f"predictions with equal scores: {tied}; the earlier onset, then offset, goes first")
    if len(found.aligned.subjects) == 1:
        said.append("one subject: no interval can be given")
    extra = [c for i, c in enumerate(found.aligned.classes) if not (t.emotion == i).any()]
    if extra and len(t):
        said.append(f"predicted but never annotated, left out of means: {', '.join(extra)}")
    return tuple(said)

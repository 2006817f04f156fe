"""An evaluation as a page of text and as JSON; undefined values are "-" and null."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fedet.files import replaced

if TYPE_CHECKING:
    from fedet.evaluation import Evaluation

JSON_VERSION = 1
HEADLINE = {
    "spotting_f1": "spotting F1",
    "macro_f1": "spotting F1, macro (MaE)",
    "micro_f1": "spotting F1, micro (ME)",
    "uf1": "recognition UF1",
    "uar": "recognition UAR",
    "accuracy": "recognition accuracy",
    "kappa": "recognition kappa",
    "strs": "STRS",
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


def number(value: object, digits: int = 3) -> str:
    """A cell of a printed table: "-" for what is undefined, whole numbers as they are."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}"
    return str(value)


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
    parts = [_head(result), _headline(result)]
    parts.append("Spotting\n" + text_table(result.spotting))
    parts.append("Detection\n" + text_table(result.detection))
    parts.append("Recognition of the spotted events\n" + text_table(result.recognition))
    parts.append("Confusion (rows: truth, columns: predicted)\n" + text_table(result.confusion))
    parts.append(
        'Average precision ("spotting" ignores emotions)\n' + text_table(ap[[c for c in ap if len(c) < 7]])
    )
    if result.errors is not None:
        mended = result.errors.set_index("kind").rename(columns={"f1_if_mended": "F1 if mended"})
        parts.append("Errors, and detection F1 if each kind were mended\n" + text_table(mended))
    for name, table in result.calibration.items():
        shown = table[table["n"] > 0]
        bins = [f"{a:.1f}-{b:.1f}" for a, b in zip(shown["low"], shown["high"], strict=True)]
        shown = shown.set_axis(bins).drop(columns=["low", "high"])
        parts.append(f"Calibration of the scores, {name}\n" + text_table(shown, "score"))
    wanted = ["videos", "events", "predictions", "tp", "fp", "fn", "f1", "detection_f1"]
    parts.append("Subjects\n" + text_table(result.subjects.set_index("subject")[wanted]))
    if result.notes:
        parts.append("Notes\n" + "\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts) + "\n"


def _head(result: "Evaluation") -> str:
    d, s = result.data, result.settings
    return "\n".join(
        [
            f"{d['subjects']} subjects ({d['subjects_without_events']} without events), "
            f"{d['videos']} videos ({d['videos_without_events']} without events, "
            f"{d['videos_without_predictions']} without predictions)",
            f"{d['events']} events ({d['macro_events']} macro, {d['micro_events']} micro), "
            f"{d['predictions']} predictions",
            f"tIoU {s['tiou']:g}; conventions: {s['conventions']}; label: {s['label']}",
        ]
    )


def _headline(result: "Evaluation") -> str:
    s = result.settings
    shown = result.figures.loc[[name for name in HEADLINE if name in result.figures.index]]
    table = shown.rename(index=HEADLINE)[["value", "low", "high"]].copy()
    if (shown["undefined"] > 0).any():
        table["undefined in"] = shown["undefined"].to_numpy()
    if not result.samples:
        return "Figures\n" + text_table(table[["value"]])
    return (
        f"Figures with {100 * s['level']:g} % intervals ({s['n_resamples']} resamples of "
        f"subjects, seed {s['seed']})\n" + text_table(table)
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
        with replaced(Path(path)) as part:
            part.write_text(text, encoding="utf-8")
    return text

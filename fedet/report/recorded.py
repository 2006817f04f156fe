"""Figures that a notebook records for the report: shown in the cell, and stored in its output."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedet.errors import InputError
from fedet.evaluation.tables import short_number
from fedet.files import read_json_object

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from pandas import DataFrame

MIME = "application/vnd.fedet.result+json"


def record(
    name: str,
    value: float | int | str | None,
    interval: Sequence[float] | None = None,
    unit: str | None = None,
    label: str | None = None,
) -> None:
    """Shows a figure in one line and records it for the report's first page and `results.json`.

    Args:
        name: key in `results.json`, unique in its notebook, e.g. "spotting_f1".
        value: a number or a text; None or NaN is undefined and shown as "-".
        interval: low and high, e.g. the 95 % interval over subjects.
        unit: e.g. "s"; follows the number.
        label: what the reader sees, e.g. "Spotting F1, synthetic faces"; default: the name.

    Raises:
        InputError: no name, a value that is neither number nor text, or an interval of another shape.
    """
    entry = _entry("figure", name, label) | {"value": _json_value(name, value), "unit": unit}
    if interval is not None:
        ends = [_json_value(name, end) for end in interval]
        if len(ends) != 2 or any(isinstance(end, str) for end in ends):
            raise InputError(f"{name}: interval={interval!r} is not a low and a high number")
        entry["interval"] = ends
    _show(entry, {"text/plain": figure_text(entry)})


def record_table(name: str, table: "DataFrame", label: str | None = None, digits: int = 3) -> None:
    """Shows a small table and puts it on the report's first page, e.g. the method among its rivals.

    Args:
        name: key in `results.json`, unique in its notebook.
        table: a DataFrame; its index names the rows.
        label: its caption; default: the name.
        digits: decimals shown; `results.json` has all of them.
    """
    shown = table.copy()
    for number, kind in enumerate(shown.dtypes):
        if kind.kind == "f" or str(kind).startswith("Float"):
            column = shown.iloc[:, number].astype(float)
            shown.isetitem(number, ["-" if math.isnan(v) else f"{v:.{digits}f}" for v in column])
    entry = _entry("table", name, label) | {
        "columns": [str(c) for c in table.columns],
        "index": [str(i) for i in table.index],
    }
    entry["rows"] = [[_json_value(name, v) for v in row] for row in table.itertuples(index=False)]
    html = shown.to_html(border=0)
    _show(entry | {"html": html}, {"text/html": html, "text/plain": shown.to_string()})


def record_stored(path: str | Path, notebook: str, command: str) -> None:
    """Shows and records what a notebook recorded in an earlier report, each label with its date and commit.

    Args:
        path: `results.json` of the earlier report; if there is none, the command is printed.
        notebook: name in that report, like "02_train_and_evaluate".
        command: makes the earlier report anew.

    Raises:
        InputError: the file is damaged, or does not have this notebook.
    """
    from pandas import DataFrame

    path = Path(path)
    packed = Path(__file__).parents[1] / "reports" / path.parent.name / path.name  # in an installed package
    if not path.is_file() and not packed.is_file():
        print(f"no stored results in {path}; make them with: {command}")
        return
    results = read_json_object(path if path.is_file() else packed, "made", "notebooks")
    if notebook not in results["notebooks"]:
        raise InputError(f"{path}: no results of {notebook}; make them with: {command}")
    origin = f"measured {results['made']['date'][:10]}, commit {results['made']['commit']}"
    for entry in results["notebooks"][notebook]["results"]:
        name, label = f"stored_{entry['name']}", f"{entry['label']}; {origin}"
        if entry["kind"] == "table":
            record_table(name, DataFrame(entry["rows"], entry["index"], entry["columns"]), label)
        else:
            record(name, entry["value"], entry.get("interval"), entry.get("unit"), label)
    print(f"{origin}; made anew by: {command}")


def figure_text(entry: dict) -> str:
    """A recorded figure in words.

    >>> figure_text({"label": "F1", "value": 0.5194, "interval": [0.42, 0.6], "unit": None})
    'F1: 0.519 [0.420, 0.600]'
    """
    text = f"{entry['label']}: {short_number(entry['value'])}"
    if entry.get("interval"):
        low, high = map(short_number, entry["interval"])
        text += f" [{low}, {high}]"
    return f"{text} {entry['unit']}" if entry.get("unit") else text


def collect(notebook: "NotebookNode") -> list[dict]:
    """The entries that an executed notebook recorded, in order; if a name occurs twice, the last one."""
    entries = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            entry = output.get("data", {}).get(MIME)
            if entry is not None:
                entries[entry["name"]] = entry
    return list(entries.values())


def _entry(kind: str, name: str, label: str | None) -> dict[str, Any]:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"a recorded figure needs a name, not {name!r}")
    return {"kind": kind, "name": name, "label": label or name.replace("_", " ")}


def _json_value(name: str, value: Any) -> float | int | str | bool | None:
    """A value that JSON can hold; NaN and pandas' NA become None."""
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "item"):  # numpy, torch
        value = value.item()
    if isinstance(value, bool | int):
        return value
    try:
        value = float(value)
    except (TypeError, ValueError):
        if type(value).__name__ == "NAType":
            return None
        raise InputError(f"{name}: {value!r} is neither a number nor a text") from None
    return value if math.isfinite(value) else None


def _show(entry: dict, formats: dict) -> None:
    """Displays an output that holds the entry next to its readable formats, by MIME type."""
    from IPython.display import display

    display(formats | {MIME: entry}, raw=True)

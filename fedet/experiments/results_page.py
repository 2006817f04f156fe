"""Results tables as text and as Markdown between the markers of a page; no number is typed by hand.

Synthetic and real results never share a table. A set without figures has an empty row
and the command that fills it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedet.errors import InputError
from fedet.evaluation.bootstrap import CLAIM_SEEDS
from fedet.evaluation.tables import number
from fedet.files import atomic_write

BEGIN, END = "<!-- results: made by `fedet results`, do not edit -->", "<!-- end of results -->"
SHOWN = {
    "spotting_f1": "overall F1", "macro_f1": "MaE F1", "micro_f1": "ME F1", "uf1": "recognition UF1",
    "strs": "STRS", "detection_f1": "detection F1", "map": "detection mAP",
}  # fmt: skip
TYPED = {
    "typed_spotting_f1": "overall F1", "typed_macro_f1": "MaE F1", "typed_micro_f1": "ME F1",
    "typed_strs": "STRS",
}  # fmt: skip
OVER_SEEDS = "t over subjects and seeds"  # how the intervals of a results file were made
COUNTED = {"overall": "overall", "macro": "MaE", "micro": "ME"}
LICENSED = {"CAS(ME)²": "CASME2/", "CAS(ME)³": "CASME3/", "SAMM-LV": "SAMM-LV/"}
METHOD_OPTIONS = "--method fedn --method two-stage --method frame-wise --method flow"


def results_page(results: Sequence[Mapping[str, Any]]) -> str:
    """All tables as Markdown: generated sets first, then real ones, also those without figures."""
    generated = [r for r in results if r["data"]["synthetic"]]
    real = [r for r in results if not r["data"]["synthetic"]]
    blocks = [
        "### Generated faces",
        "These figures tell how well the machinery works, not how well it reads people. They are "
        "those of the detector alone, without the landmark network, which the shipped detector also asks.",
    ]
    blocks += [section(r) for r in generated] or ["Nothing is measured yet."]
    blocks += ["### Real people", *[section(r) for r in real], unmeasured([r["data"]["name"] for r in real])]
    return "\n\n".join(block for block in blocks if block)


def section(results: Mapping[str, Any]) -> str:
    """One set: what it is, its table, the differences, and how it was measured."""
    data, machine, protocol = results["data"], results["made_by"], results["protocol"]
    methods = results["methods"]
    head = f"**{data['name']}**. {data['summary']}."
    seeds = sorted({seed for m in methods.values() for seed in m["seeds"]})
    hours = sum(m["seconds"] for m in methods.values()) / 3600
    over = "over subjects and seeds" if _with_seeds(results) else "over subjects alone"
    foot = (
        f"Mean over {len(seeds)} seeds (± their standard deviation), 95 % interval {over} in "
        f"brackets; counts are means over the seeds. Test: {_folds(protocol['folds'])}; epoch, threshold "
        f"and all other choices on {100 * protocol['validation']:g} % of the remaining subjects; tIoU "
        f"0.5, mAP over 0.3 to 0.7. fedet {machine['fedet']}, commit {machine['commit']}, {machine['date']}; "
        f"{hours:.2f} hours of jobs on {_machine(machine)}."
    )
    command = f"`{data['command']}`" if data.get("command") else ""
    tables = table(results), typed_table(results), differences(results), claims(results)
    return "\n\n".join(p for p in (head, *tables, foot, command) if p)


def _with_seeds(results: Mapping[str, Any]) -> bool:
    return results["protocol"].get("intervals") == OVER_SEEDS


def claims(results: Mapping[str, Any]) -> str:
    """Which differences are facts and which are not, and how many intervals the tables hold; "" without
    rivals.

    A fact has an interval over subjects and seeds that leaves 0 out, from CLAIM_SEEDS training runs.
    """
    gaps = {
        (pair, SHOWN[key]): gap
        for pair, row in results["differences"].items()
        for key, gap in row.items()
        if key in SHOWN and gap["low"] is not None
    }
    if not gaps:
        return ""
    seeds = min(len(method["seeds"]) for method in results["methods"].values())
    count = (
        f"The table of differences holds {len(gaps)} intervals: if no method were better than another, "
        f"about {len(gaps) * 0.05:.1f} of them would leave 0 out by chance."
    )
    away = {key: gap for key, gap in gaps.items() if gap["low"] > 0 or gap["high"] < 0}
    if seeds < CLAIM_SEEDS or not _with_seeds(results):
        why = [f"{seeds} seeds, and a fact takes {CLAIM_SEEDS}"] if seeds < CLAIM_SEEDS else []
        why += [] if _with_seeds(results) else ["the intervals leave the seeds out"]
        return (
            f"**No difference here is a fact** ({'; '.join(why)}), also where the interval leaves 0 out, as "
            f"{len(away)} do. {count}"
        )
    facts = [f"{pair}, {figure}: {_gap(gap)}" for (pair, figure), gap in away.items()]
    chance = [f"{pair}, {figure}" for pair, figure in gaps.keys() - away.keys()]
    return (
        f"**Facts** (the interval leaves 0 out): {'; '.join(facts) or 'none'}. **Could be chance**: "
        f"{'; '.join(sorted(chance)) or 'none'}. {count}"
    )


def typed_table(results: Mapping[str, Any]) -> str:
    """The same by typed counting: macro finds macro only, micro finds micro only; "" for older files."""
    rows = []
    for name, method in results["methods"].items():
        if "typed_counts" not in method:
            return ""
        cells = [_cell(method["figures"].get(key)) for key in TYPED]
        rows.append([name, *cells, *_counts(method["typed_counts"])])
    head = ["typed counting", *TYPED.values(), *[f"TP / FP / FN {name}" for name in COUNTED.values()]]
    return markdown(head, rows)


def _counts(counts: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [" / ".join(_count(counts[kind][c]) for c in ("tp", "fp", "fn")) for kind in COUNTED]


def _machine(facts: Mapping[str, Any]) -> str:
    gpu = "" if facts["device"] == "cpu" else f", {facts['device']}"
    return f"{facts['processor']}, {facts['processors']} cores{gpu}"


def _folds(folds: str) -> str:
    return "leave one subject out" if str(folds) == "loso" else f"{folds} parts of subjects"


def table(results: Mapping[str, Any]) -> str:
    """A row per method: figures with intervals, and TP / FP / FN."""
    head = ["method", *SHOWN.values(), *[f"TP / FP / FN {name}" for name in COUNTED.values()]]
    rows = []
    for name, method in results["methods"].items():
        cells = [_cell(method["figures"].get(key)) for key in SHOWN]
        rows.append([name, *cells, *_counts(method["counts"])])
    return markdown(head, rows)


def differences(results: Mapping[str, Any]) -> str:
    """A row per rival: paired differences over the same resamples of subjects; "" without rivals."""
    rows = [[pair, *[_gap(gaps.get(key)) for key in SHOWN]] for pair, gaps in results["differences"].items()]
    return markdown(["paired difference", *SHOWN.values()], rows) if rows else ""


def unmeasured(measured: Sequence[str]) -> str:
    """The licensed sets that have no figures yet, with the command that makes them."""
    rows = [
        [name, *["" for _ in SHOWN], f"`fedet crossval {folder} {METHOD_OPTIONS} --out runs/{folder}`"]
        for name, folder in LICENSED.items()
        if name not in measured and folder.strip("/") not in measured
    ]
    return (
        markdown(["set", *SHOWN.values(), "not measured here; the command that fills the row"], rows)
        if rows
        else ""
    )


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    text = number(figure["mean"])
    if figure["sd"] is not None:
        text += f" ± {figure['sd']:.3f}"
    if figure["low"] is not None:
        text += f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return text


def _gap(figure: Mapping[str, float | None] | None) -> str:
    if figure is None or figure["difference"] is None:
        return "-"
    text = f"{figure['difference']:+.3f}"
    return text + (f" [{figure['low']:+.3f}, {figure['high']:+.3f}]" if figure["low"] is not None else "")


def _count(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def as_text(results: Mapping[str, Any]) -> str:
    """The headline of every method in lines, for a terminal."""
    lines = []
    for name, method in results["methods"].items():
        values = ", ".join(f"{label} {_cell(method['figures'].get(key))}" for key, label in SHOWN.items())
        lines.append(f"{name}: {values}")
    for pair, gaps in results["differences"].items():
        values = ", ".join(f"{label} {_gap(gaps.get(key))}" for key, label in SHOWN.items())
        lines.append(f"{pair}: {values}")
    return "\n".join(lines)


def update_page(path: str | Path, page: str) -> None:
    """Puts the page between the markers of a text file; everything else stays as it is.

    Raises InputError if the file or one of the markers is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise InputError(f"{path}: needs one line {BEGIN!r} and, below it, one line {END!r}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with atomic_write(path) as draft:
        draft.write_text(f"{before}{BEGIN}\n\n{page}\n\n{END}{after}", encoding="utf-8")

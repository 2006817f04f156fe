"""F1 by skin tone, glasses, beard and age of generated people; for notebook 10.

A figure on generated people can show that the detector treats the generator's dark skins, glasses or
wrinkles worse. It cannot show how the detector treats people, whose differences the generator does not
have. A gap here is a warning; no gap here is no clearance.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.annotations.table import write_csv
from fedet.errors import InputError
from fedet.evaluation.bootstrap import Interval, resampled_sums, subject_weights, t_interval
from fedet.files import atomic_write
from fedet.intervals import COLUMNS
from fedet.metrics import f1
from fedet.synthetic.generator import SynthConfig, claim, video_name, write_one, write_script

ENOUGH = 5  # people in a group, for an interval
LIMIT = "synthetic people: a gap is a warning, no gap is no clearance for real people"


def _beard(look: dict) -> str:
    hair = max(float(look[name]) for name in ("stubble", "beard", "moustache"))
    return "beard" if hair > 0.25 else "none"


def _third(value: float, names: tuple[str, str, str]) -> str:
    return names[min(2, int(3 * value))]


# The group of a person by their look; tone and age are uniform between 0 and 1.
ATTRIBUTES: dict[str, Callable[[dict], str]] = {
    "skin tone": lambda look: _third(float(look["tone"]), ("light", "medium", "dark")),
    "glasses": lambda look: "glasses" if float(look["glasses"]) > 0.5 else "none",
    "beard": _beard,
    "age": lambda look: _third(float(look["age"]), ("young", "middle", "old")),
}


def groups_of(config: SynthConfig, subjects: list[int] | None = None) -> pd.DataFrame:
    """The groups of generated people: index subject ("s01"), a column for each of `ATTRIBUTES`.

    Args:
        subjects: their numbers from 0; None: all of the configuration.
    """
    chosen = range(config.subjects) if subjects is None else subjects
    looks = {f"s{s + 1:02d}": write_script(config, s, 0).look for s in chosen}
    rows = {name: {a: group(look) for a, group in ATTRIBUTES.items()} for name, look in looks.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("subject")


def balanced_subjects(config: SynthConfig, n: int) -> list[int]:
    """n of the configuration's subjects, chosen such that small groups have members too.

    In each step the person is added whose groups have the fewest members so far. The choice uses no
    results. Raises InputError if there are fewer than n.
    """
    if not 1 <= n <= config.subjects:
        raise InputError(f"{n} subjects of {config.subjects}: choose between 1 and {config.subjects}")
    groups = groups_of(config)
    left, chosen = list(range(config.subjects)), []
    counts = {a: dict.fromkeys(groups[a].unique(), 0) for a in groups}
    for _ in range(n):
        sizes = [sum(counts[a][groups[a].iloc[s]] for a in groups) for s in left]
        best = left.pop(int(np.argmin(sizes)))
        chosen.append(best)
        for a in groups:
            counts[a][groups[a].iloc[best]] += 1
    return sorted(chosen)


def synthesize_balanced(
    out: str | Path, config: SynthConfig, n: int, jobs: int = 1, progress: bool = True
) -> Path:
    """Like `synthesize`, but only for `balanced_subjects(config, n)`; continues an interrupted run."""
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    out, chosen = Path(out), balanced_subjects(config, n)
    claim(out, config)
    todo = [(s, v) for s in chosen for v in range(config.videos)]
    work = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(write_one)(out, config, s, v, 1) for s, v in todo
    )
    bar = tqdm(work, total=len(todo), desc="generating videos", unit="video", disable=not progress)
    tables = [table for table in bar if len(table)]
    events = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    write_csv(events, out / "annotations.csv")
    rows = [(video_name(s, v), f"s{s + 1:02d}", config.fps) for s, v in todo]
    with atomic_write(out / "videos.csv") as part:
        pd.DataFrame(rows, columns=["video", "subject", "fps"]).to_csv(part, index=False)
    return out


# ---------------------------------------------------------------- figures


def f1_by_group(
    subjects: pd.DataFrame,
    groups: pd.DataFrame,
    prefix: str = "",
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """F1 of each group, and each attribute's gap between its best and its worst group.

    Args:
        subjects: of an `Evaluation`: columns subject, tp, fp, fn.
        groups: of `groups_of`; every subject must be in it.
        prefix: "" spotting, "macro_", "micro_" or "detection_".

    Returns:
        groups: attribute, group, subjects, events, tp, fp, fn, f1, low, high, undefined. Groups of
        fewer than ENOUGH subjects, and gaps to them, have no interval.
        gaps: index attribute; best, worst, gap, low, high, undefined, smallest (subjects in the
        smaller of the two groups). The interval is that of the difference between those two
        groups; because they were picked as the most different ones it is biased away from 0.
        Subjects are resampled as a whole, so the sizes of the groups vary too.
    """
    if absent := sorted(set(subjects["subject"]) - set(groups.index)):
        raise InputError(f"no group is known for subject {absent[0]!r}; was it generated with another set?")
    counts = subjects[[prefix + c for c in ("tp", "fp", "fn")]].to_numpy(float)  # (S, 3)
    weights = subject_weights(len(subjects), n_resamples, seed)
    rows, gaps = [], []
    for attribute in groups:
        names = groups.loc[subjects["subject"], attribute].to_numpy()
        drawn = {}
        for group in sorted(set(names), key=list(names).index):
            of_group = np.where((names == group)[:, None], counts, 0)
            tp, fp, fn = of_group.sum(0)
            drawn[group] = f1(*np.moveaxis(resampled_sums(weights, of_group), -1, 0))
            n = int((names == group).sum())
            value = float(f1(tp, fp, fn))
            rows.append((attribute, group, n, int(tp + fn), int(tp), int(fp), int(fn), value,
                         *_limits(t_interval(value, drawn[group], n), n)))  # fmt: skip
        gaps.append(_gap(attribute, [r for r in rows if r[0] == attribute], drawn))
    columns = ["attribute", "group", "subjects", "events", "tp", "fp", "fn", "f1", "low", "high", "undefined"]
    gap_columns = ["attribute", "best", "worst", "gap", "low", "high", "undefined", "smallest"]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(gaps, columns=gap_columns).set_index("attribute")


def _limits(resampled: Interval, n: int) -> tuple[float, float, int]:
    """low, high, undefined; NaN for a handful of people, whose resamples are too alike for an interval."""
    low, high = (resampled.low, resampled.high) if n >= ENOUGH else (np.nan, np.nan)
    return low, high, resampled.undefined


def _gap(attribute: str, rows: list, drawn: dict) -> tuple:
    defined = [r for r in rows if not np.isnan(r[7])]
    if len(defined) < 2:
        return (attribute, None, None, np.nan, np.nan, np.nan, 0, 0)
    best, worst = max(defined, key=lambda r: r[7]), min(defined, key=lambda r: r[7])
    gap, smallest = best[7] - worst[7], min(best[2], worst[2])
    difference = t_interval(gap, drawn[best[1]] - drawn[worst[1]], smallest)
    return (attribute, best[1], worst[1], gap, *_limits(difference, smallest), smallest)


def gap_in_words(gaps: pd.DataFrame) -> list[str]:
    """One sentence for each attribute; it claims no more than the interval allows."""
    lines = []
    for name, row in gaps.iterrows():
        if np.isnan(row["gap"]):
            lines.append(f"{name}: fewer than two groups with a defined F1")
        elif np.isnan(row["low"]):
            who = "1 subject" if row["smallest"] == 1 else f"{row['smallest']} subjects"
            lines.append(
                f"{name}: {row['best']} above {row['worst']} by {row['gap']:.2f}; "
                f"{who} in the smaller group, too few for an interval"
            )
        else:
            clear = "a gap" if row["low"] > 0 else "no gap that these subjects could show"
            lines.append(
                f"{name}: {clear}; {row['best']} above {row['worst']} by {row['gap']:.2f} "
                f"[{row['low']:.2f}, {row['high']:.2f}], {row['smallest']} subjects in the smaller group"
            )
    return lines

"""Learning from reviewed videos: fine-tuning that is judged on people it did not learn from.

A few reviewed minutes can make a detector better or worse. So the reviewed subjects are parted into
folds; each fold's subjects are predicted by detectors that were tuned on the others, after every
pass, and by the detector as it was. On these predictions alone it is decided how many passes help,
whether any do, and from which score on to report. Then all reviewed subjects teach that many passes.

A handful of people cannot tell the best of nine passes from a lucky one. So the choice leans on what
is right without looking: the schedule is run to its end, and the threshold stays, unless the folds
speak against it by more than their own uncertainty (the rule of one standard error of Breiman et
al., Classification and Regression Trees, 1984; the errors by leaving out one subject at a time).
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.model import FEDN
from fedet.postprocess import predict
from fedet.training.model_selection import figures_of_tables, monitored, spotting_of_tables
from fedet.training.trainer import TrainConfig
from fedet.training.training import train
from fedet.windows import VideoFeatures

# Chosen on held-out reviewed people of a generated set: from 2e-4 on a few minutes are learnt by
# heart within two passes, below 5e-5 eight passes do not get far.
FINE_TUNING = TrainConfig(epochs=8, learning_rate=1e-4, batch_size=8, least_steps=1, ema=0.9)
BEHIND = 1.0  # standard errors: passes at most this far behind the best are as good
AHEAD = 2.0  # standard errors: a new threshold must do better by this


@dataclass(frozen=True, eq=False)
class Lesson:
    """A fine-tuned detector and what decided about it.

    Attributes:
        model: evaluation mode; its `default_threshold` was chosen by the folds.
        epochs: passes that were kept; 0: none helped, the weights are those of the start.
        history: for each number of passes the figures over all folds: threshold, spotting_f1 at it,
            spotting_ap, detection_map, monitored (at the best threshold), behind (the best number of
            passes, in `monitored`), behind_se. They chose, so they are too good to report. Empty
            with events of fewer than two subjects.
        config: of the fine-tuning.
        threshold_before: that of the detector as it was.
    """

    model: FEDN
    epochs: int
    history: pd.DataFrame
    config: TrainConfig
    threshold_before: float


def learn(
    records: Sequence[VideoFeatures],
    start: FEDN | str | Path,
    config: TrainConfig = FINE_TUNING,
    *,
    folds: int = 3,
    progress: bool = True,
) -> Lesson:
    """Fine-tunes a detector on reviewed videos.

    Args:
        records: of the reviewed videos, as `fedet.training.records.records_of` makes them.
        start: the detector to start from.
        config: of the fine-tuning; `monitor` is what decides.
        folds: parts of the subjects; as many as subjects where there are fewer. With events of one
            subject only nothing can be judged: all passes are kept, the threshold stays.

    Raises:
        InputError: no records, fewer than two folds, or no event to learn from.
    """
    records = list(records)
    if folds < 2 or not records:
        raise InputError(f"{len(records)} reviewed videos, folds={folds}: at least one and two are needed")
    model = start if isinstance(start, FEDN) else FEDN.from_pretrained(start)
    parts = _parts(records, folds)
    if len(parts) < 2:
        result = train(records, None, config, init=model, progress=progress)
        return Lesson(result.model, config.epochs, pd.DataFrame(), config, model.config.default_threshold)
    tables: list[dict[str, pd.DataFrame]] = [{} for _ in range(config.epochs + 1)]
    for part in tqdm(parts, desc="folds", unit="fold", disable=not progress):
        rest = [r for r in records if r not in part]
        _predict(model.eval(), part, tables[0])
        train(rest, None, config, init=model, progress=False,
              on_epoch=lambda epoch, tuned, part=part: _predict(tuned, part, tables[epoch]))  # fmt: skip
    history = _history(tables, records, model, config)
    passes = int(history.index[history["behind"] <= BEHIND * history["behind_se"]].max())
    tuned = copy.deepcopy(model) if passes == 0 else _after(records, config, model, passes, progress)
    before, threshold = model.config.default_threshold, float(history["threshold"].iloc[passes])
    tuned.config = replace(tuned.config, default_threshold=threshold)
    return Lesson(tuned.eval(), passes, history, config, before)


def _parts(records: list[VideoFeatures], folds: int) -> list[list[VideoFeatures]]:
    """The records by fold; subjects with the most events are dealt out first, to even parts.

    So the first two of them lie in different parts, and every training part has events. Where fewer
    than two subjects have any, nobody could be held out: one part.
    """
    events: dict[str, int] = {}
    for record in records:
        events[record.subject] = events.get(record.subject, 0) + len(record.events)
    if sum(n > 0 for n in events.values()) < 2:
        return [records]
    order = sorted(events, key=lambda s: (-events[s], s))
    dealt = [order[i::folds] for i in range(min(folds, len(order)))]
    return [[r for r in records if r.subject in part] for part in dealt]


def _key(record: VideoFeatures) -> str:
    return f"{record.subject}/{record.video}"


def _predict(model: FEDN, records: list[VideoFeatures], tables: dict[str, pd.DataFrame]) -> None:
    training = model.training
    model.eval()
    for record in records:
        tables[_key(record)] = predict(model, model.config, record)
    model.train(training)


def _history(
    tables: list[dict[str, pd.DataFrame]], records: list[VideoFeatures], model: FEDN, config: TrainConfig
) -> pd.DataFrame:
    """The columns of `Lesson.history`; everything is reckoned again without each of the subjects."""
    given, named = model.config.default_threshold, len(model.config.emotions) > 1
    subjects = sorted({r.subject for r in records})
    parts = [records] + [[r for r in records if r.subject != s] for s in subjects]
    rows, chosen = [], []  # chosen: (passes, 1 + subjects) of the figure that decides
    for found in tables:
        figures = []
        for part in parts:
            figures.append(figures_of_tables([found[_key(r)] for r in part], part, given, named))
        best = figures[0]["threshold"]
        ahead = [_f1_at(found, part, best) - _f1_at(found, part, given) for part in parts]
        threshold = best if ahead[0] > AHEAD * _jackknife_se(ahead[1:]) else given
        rows.append(figures[0] | {"threshold": threshold, "spotting_f1": _f1_at(found, records, threshold)})
        chosen.append([monitored(f, config.monitor) for f in figures])
    values = np.nan_to_num(np.array(chosen), nan=-1.0)
    behind = values[values[:, 0].argmax()] - values
    history = pd.DataFrame(rows).assign(monitored=values[:, 0], behind=behind[:, 0])
    history["behind_se"] = [_jackknife_se(row) for row in behind[:, 1:]]
    return history.rename_axis("epochs").reset_index()


def _f1_at(found: dict[str, pd.DataFrame], records: list[VideoFeatures], threshold: float) -> float:
    """Spotting F1 of what reaches a threshold; 0 where there is neither event nor prediction."""
    spotted = spotting_of_tables([found[_key(r)] for r in records], records)
    shown = spotted.score >= threshold
    return float(2 * spotted.true_positives[shown].sum() / max(shown.sum() + spotted.events.sum(), 1))


def _jackknife_se(values: Sequence[float]) -> float:
    """Standard error of a statistic from its values without each of n subjects (Tukey, 1958)."""
    off = np.asarray(values) - np.mean(values)
    return float(np.sqrt((len(off) - 1) / len(off) * (off**2).sum()))


def _after(records, config: TrainConfig, model: FEDN, epochs: int, progress: bool) -> FEDN:
    """The detector after so many passes of the schedule that the folds were tuned with."""
    kept: dict[str, torch.Tensor] = {}

    def keep(epoch: int, tuned: FEDN) -> None:
        if epoch == epochs:
            kept.update({name: value.clone() for name, value in tuned.state_dict().items()})

    result = train(records, None, config, init=model, progress=progress, on_epoch=keep)
    result.model.load_state_dict(kept)
    return result.model


def save_lesson(lesson: Lesson, out: str | Path) -> None:
    """Writes a detector's folder: weights, config, and `learning.json` with what decided."""
    lesson.model.save_pretrained(out)
    rows = lesson.history.astype(object).where(lesson.history.notna(), None).to_dict("records")
    told = {"epochs": lesson.epochs, "folds": rows, "training": asdict(lesson.config)}
    told["threshold_before"] = lesson.threshold_before
    (Path(out) / "learning.json").write_text(json.dumps(told, indent=1) + "\n")


def minutes_of(records: Sequence[VideoFeatures]) -> float:
    """Length of the videos together, minutes."""
    return float(np.sum([len(r.mask) / r.fps for r in records])) / 60


def verdict(lesson: Lesson) -> str:
    """What the folds decided, in one sentence."""
    if lesson.history.empty:
        told = f"all {lesson.epochs} passes kept, threshold as it was"
        return f"one subject only has events: nothing to judge by; {told}"
    table = lesson.history.set_index("epochs")
    before, after = table.loc[0], table.loc[lesson.epochs]
    was, now = lesson.threshold_before, lesson.model.config.default_threshold
    threshold = f"threshold {was:.2f} kept" if was == now else f"threshold {was:.2f} -> {now:.2f}"
    if lesson.epochs == 0:
        return (
            f"no pass helped on held-out reviewed subjects (spotting F1 {before['spotting_f1']:.3f}): "
            f"the weights are those of the start, {threshold}"
        )
    return (
        f"{lesson.epochs} passes, {threshold}; on held-out reviewed subjects spotting F1 "
        f"{before['spotting_f1']:.3f} -> {after['spotting_f1']:.3f}, detection mAP "
        f"{before['detection_map']:.3f} -> {after['detection_map']:.3f} (these chose, others must judge)"
    )

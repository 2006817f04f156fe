"""Learning from reviewed videos: fine-tuning that is judged on people it did not learn from.

A few reviewed minutes can make a detector better or worse. So the reviewed subjects are split into
folds; each fold's subjects are predicted by detectors that were tuned on the others, after every
pass, and by the original detector. These predictions alone decide how many passes help, whether any
do, and from which score on to report. Then the detector is tuned on all reviewed subjects for that
many passes.

With a handful of people the best of nine passes may be a lucky one. So there is a default, the
schedule run to its end and the threshold as it is, which stands unless the folds contradict it by more
than their own uncertainty (the rule of one standard error of Breiman et al., Classification and
Regression Trees, 1984; the errors by leaving out one subject at a time).
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.model import FEDN
from fedet.postprocess import predict
from fedet.training.checkpoints import Tensors
from fedet.training.config import TrainConfig
from fedet.training.model_selection import monitored_value, rank_tables, table_metrics
from fedet.training.trainer import copy_of
from fedet.training.training import train
from fedet.windows import VideoFeatures

# Chosen on held-out reviewed people of a generated set: from 2e-4 on two passes overfit a few minutes,
# below 5e-5 eight passes change little.
FINE_TUNING = TrainConfig(epochs=8, learning_rate=1e-4, batch_size=8, least_steps=1, ema=0.9)
PASSES_TOLERANCE = 1.0  # standard errors: passes at most this much worse than the best are as good
THRESHOLD_MARGIN = 2.0  # standard errors: a new threshold must be better by this

Tables = dict[str, pd.DataFrame]  # predictions by record, see `_key`


@dataclass(frozen=True, eq=False)
class LearnResult:
    """A fine-tuned detector and the figures that decided about it.

    Attributes:
        model: evaluation mode; its `default_threshold` was chosen by the folds.
        epochs: the chosen number of passes; 0: none helped, the weights are those of the start.
        history: for each number of passes the metrics over all folds: threshold, spotting_f1 at it,
            spotting_ap, detection_map, monitored (at the best threshold), behind (how far `monitored`
            is below that of the best number of passes), behind_se (its standard error). They decided,
            so they are too good to report. Empty with events of fewer than two subjects.
        config: of the fine-tuning.
        threshold_before: that of the original detector.
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
) -> LearnResult:
    """Fine-tunes a detector on reviewed videos.

    Args:
        records: of the reviewed videos, see `fedet.training.records.records_of`.
        start: the detector to start from.
        config: of the fine-tuning; its `monitor` decides.
        folds: of the subjects; as many as subjects where there are fewer. With events of one subject
            only, nothing can be compared: all passes are run, the threshold stays.

    Raises:
        InputError: no records, fewer than two folds, or no event to learn from.
    """
    records = list(records)
    if folds < 2 or not records:
        raise InputError(
            f"{len(records)} reviewed videos, folds={folds}: at least one video and two folds are needed"
        )
    model = start if isinstance(start, FEDN) else FEDN.from_pretrained(start)
    before, folds_of_records = model.config.default_threshold, _split(records, folds)
    if len(folds_of_records) < 2:
        result = train(records, None, config, init=model, progress=progress)
        return LearnResult(result.model, config.epochs, pd.DataFrame(), config, before)
    tables: list[Tables] = [{} for _ in range(config.epochs + 1)]
    for held_out in tqdm(folds_of_records, desc="folds", unit="fold", disable=not progress):
        rest = [r for r in records if r not in held_out]
        _predict(model.eval(), held_out, tables[0])
        train(rest, None, config, init=model, progress=False,
              on_epoch=lambda epoch, tuned, fold=held_out: _predict(tuned, fold, tables[epoch]))  # fmt: skip
    history = _history(tables, records, model, config)
    passes = int(history.index[history["behind"] <= PASSES_TOLERANCE * history["behind_se"]].max())
    tuned = copy.deepcopy(model) if passes == 0 else _tune(records, config, model, passes, progress)
    tuned.config = replace(tuned.config, default_threshold=float(history["threshold"].iloc[passes]))
    return LearnResult(tuned.eval(), passes, history, config, before)


def _split(records: list[VideoFeatures], folds: int) -> list[list[VideoFeatures]]:
    """The records by fold; subjects with the most events are dealt out first, for folds of like size.

    So the first two of them are in different folds, and every training part has events. Where fewer
    than two subjects have any, nobody could be held out: one fold.
    """
    events: dict[str, int] = {}
    for record in records:
        events[record.subject] = events.get(record.subject, 0) + len(record.events)
    if sum(n > 0 for n in events.values()) < 2:
        return [records]
    order = sorted(events, key=lambda s: (-events[s], s))
    dealt = [order[i::folds] for i in range(min(folds, len(order)))]
    return [[r for r in records if r.subject in subjects] for subjects in dealt]


def _key(record: VideoFeatures) -> str:
    return f"{record.subject}/{record.video}"


def _predict(model: FEDN, records: list[VideoFeatures], tables: Tables) -> None:
    training = model.training
    model.eval()
    for record in records:
        tables[_key(record)] = predict(model, model.config, record)
    model.train(training)


def _history(
    tables: list[Tables], records: list[VideoFeatures], model: FEDN, config: TrainConfig
) -> pd.DataFrame:
    """The columns of `LearnResult.history`; each is computed again without each of the subjects."""
    given, named = model.config.default_threshold, len(model.config.emotions) > 1
    subjects = sorted({r.subject for r in records})
    samples = [records] + [[r for r in records if r.subject != s] for s in subjects]  # jackknife
    rows, decisive = [], []  # decisive: (passes, 1 + subjects) of the monitored metric
    for predictions in tables:
        metrics = [table_metrics([predictions[_key(r)] for r in s], s, given, named) for s in samples]
        best = metrics[0]["threshold"]
        gains = [_f1_at(predictions, s, best) - _f1_at(predictions, s, given) for s in samples]
        threshold = best if gains[0] > THRESHOLD_MARGIN * _jackknife_se(gains[1:]) else given
        f1 = _f1_at(predictions, records, threshold)
        rows.append(metrics[0] | {"threshold": threshold, "spotting_f1": f1})
        decisive.append([monitored_value(m, config.monitor) for m in metrics])
    values = np.nan_to_num(np.array(decisive), nan=-1.0)
    behind = values[values[:, 0].argmax()] - values
    history = pd.DataFrame(rows).assign(monitored=values[:, 0], behind=behind[:, 0])
    history["behind_se"] = [_jackknife_se(row) for row in behind[:, 1:]]
    return history.rename_axis("epochs").reset_index()


def _f1_at(predictions: Tables, records: list[VideoFeatures], threshold: float) -> float:
    """Spotting F1 of predictions from a threshold on; 0 where there is neither event nor prediction."""
    ranking = rank_tables([predictions[_key(r)] for r in records], records)
    reported = ranking.score >= threshold
    return float(2 * ranking.true_positives[reported].sum() / max(reported.sum() + ranking.events.sum(), 1))


def _jackknife_se(values: Sequence[float]) -> float:
    """Standard error of a statistic from its values without each of n subjects (Tukey, 1958)."""
    deviations = np.asarray(values) - np.mean(values)
    return float(np.sqrt((len(deviations) - 1) / len(deviations) * (deviations**2).sum()))


def _tune(
    records: list[VideoFeatures], config: TrainConfig, model: FEDN, epochs: int, progress: bool
) -> FEDN:
    """The detector after the first `epochs` passes of the schedule that the folds were tuned with."""
    weights: Tensors = {}

    def copy_weights(epoch: int, tuned: FEDN) -> None:
        if epoch == epochs:
            weights.update(copy_of(tuned.state_dict()))

    result = train(records, None, config, init=model, progress=progress, on_epoch=copy_weights)
    result.model.load_state_dict(weights)
    return result.model


def save_result(result: LearnResult, out: str | Path) -> None:
    """Writes a detector's folder: weights, config, and `learning.json` with the figures that decided."""
    result.model.save_pretrained(out)
    values = {
        "epochs": result.epochs,
        "folds": result.history.astype(object).where(result.history.notna(), None).to_dict("records"),
        "training": asdict(result.config),
        "threshold_before": result.threshold_before,
    }
    with atomic_write(Path(out) / "learning.json") as part:
        part.write_text(json.dumps(values, indent=1) + "\n")


def minutes_of(records: Sequence[VideoFeatures]) -> float:
    """Length of the videos together, minutes."""
    return float(np.sum([len(r.mask) / r.fps for r in records])) / 60


def verdict(result: LearnResult) -> str:
    """What the folds decided, in one sentence."""
    if result.history.empty:
        return (
            "events of one subject only: nothing to compare on; "
            f"all {result.epochs} passes were run, the threshold stays"
        )
    table = result.history.set_index("epochs")
    before, after = table.loc[0], table.loc[result.epochs]
    was, now = result.threshold_before, result.model.config.default_threshold
    threshold = f"threshold stays at {was:.2f}" if was == now else f"threshold {was:.2f} -> {now:.2f}"
    if result.epochs == 0:
        return (
            f"no pass helped on held-out reviewed subjects (spotting F1 {before['spotting_f1']:.3f}): "
            f"the weights are those of the start, {threshold}"
        )
    return (
        f"{result.epochs} passes, {threshold}; on held-out reviewed subjects spotting F1 "
        f"{before['spotting_f1']:.3f} -> {after['spotting_f1']:.3f}, detection mAP "
        f"{before['detection_map']:.3f} -> {after['detection_map']:.3f} (they decided: measure it on others)"
    )

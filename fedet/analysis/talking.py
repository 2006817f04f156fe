"""False alarms while generated people talk, with and without sound; for notebook 10.

The generator's script says when a mouth talks. A false alarm is a detection that matches no event; it
counts as talking if the person talks in at least half of its frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fedet.analysis.perturbations import generated_config
from fedet.analysis.robustness import at_rates
from fedet.datasets.dataset import Dataset
from fedet.detection import Detector, Inputs
from fedet.errors import InputError
from fedet.evaluation.bootstrap import paired_difference, resampled_sums, subject_weights, t_interval
from fedet.evaluation.evaluation import evaluate
from fedet.metrics import f1
from fedet.model import FEDN
from fedet.postprocess import detect_intervals
from fedet.synthetic.generator import write_script
from fedet.training.config import TrainConfig
from fedet.training.records import records_of, widen_input
from fedet.training.trainer import Run
from fedet.training.training import RunSpec, launch
from fedet.video.side_signals import channels_of
from fedet.windows import VideoFeatures

Talking = Mapping[str, np.ndarray]  # video -> (T,) bool, at the video's frame rate
# Only the weights of the new channels are learned: on a few minutes the others would overfit.
LEARNING = TrainConfig(batch_size=8, least_steps=20, learning_rate=3e-3)
FIGURES = ["f1", "alarms_talking", "alarms_else"]


def talking_frames(dataset: Dataset) -> dict[str, np.ndarray]:
    """For each generated video the frames in which the person talks by its script, (T,) bool."""
    config = generated_config(dataset.root)
    frames = {}
    for name in dataset.videos["video"]:
        subject, video = (int(word.lstrip("s")) - 1 for word in name.split("_"))
        frames[name] = write_script(config, subject, video).speech.numpy() > 0
    return frames


def alarms_by_subject(detected: pd.DataFrame, dataset: Dataset, talking: Talking) -> pd.DataFrame:
    """Counts of each subject: tp, fp, fn; alarms_talking, alarms_else; minutes_talking, minutes_else."""
    result = evaluate(detected, dataset.annotations, dataset.videos, n_resamples=0)
    table = result.subjects.set_index("subject")[["tp", "fp", "fn"]].astype(float)
    for column in ("alarms_talking", "alarms_else", "minutes_talking", "minutes_else"):
        table[column] = 0.0
    for row in result.predictions[~result.predictions["spotted"]].itertuples():
        mostly = talking[row.video][row.onset : row.offset + 1].mean() >= 0.5
        table.loc[row.subject, "alarms_talking" if mostly else "alarms_else"] += 1
    for row in dataset.videos.itertuples():
        frames = talking[row.video]
        table.loc[row.subject, "minutes_talking"] += frames.sum() / float(row.fps) / 60
        table.loc[row.subject, "minutes_else"] += (~frames).sum() / float(row.fps) / 60
    return table


def rates(counts: pd.DataFrame, n_resamples: int = 1000, seed: int = 0) -> tuple[pd.DataFrame, dict]:
    """Spotting F1 and false alarms a minute, while talking and else, with intervals over subjects.

    Args:
        counts: of `alarms_by_subject`.

    Returns:
        a table (index figure; value, low, high), and the resampled values of each figure for differences.
    """
    columns = list(counts)
    weights = subject_weights(len(counts), n_resamples, seed)
    sums = dict(zip(columns, counts.to_numpy().sum(0), strict=True))
    drawn = dict(zip(columns, resampled_sums(weights, counts.to_numpy()).T, strict=True))
    values, samples = _figures(sums), _figures(drawn)
    rows = []
    for name in FIGURES:
        limits = t_interval(float(values[name]), samples[name], len(counts))
        rows.append((name, float(values[name]), limits.low, limits.high))
    return pd.DataFrame(rows, columns=["figure", "value", "low", "high"]).set_index("figure"), samples


def _figures(counts: dict) -> dict:
    def per_minute(name: str):
        minutes = np.asarray(counts[f"minutes_{name}"], float)
        alarms = np.asarray(counts[f"alarms_{name}"], float)
        return np.divide(alarms, minutes, out=np.full_like(minutes, np.nan), where=minutes > 0)

    return {
        "f1": f1(counts["tp"], counts["fp"], counts["fn"]),
        "alarms_talking": per_minute("talking"),
        "alarms_else": per_minute("else"),
    }


# ---------------------------------------------------------------- with and without


def ablate(
    dataset: Dataset,
    detector: Detector,
    signals: Sequence[str] = ("speech",),
    cache: str | Path | None = None,
    epochs: int = 6,
    n_resamples: int = 1000,
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The detector unchanged, and with new channels learned on half of the people.

    Each half of the subjects is tested with the detector that learned from the other half. The weights that
    read the face do not change. The arm "without" learns the same weights in the same way from the same
    videos, but its signals are zero in training and in testing: the two arms differ only in the content of
    the signals.

    Args:
        epochs: of training, each of about twenty steps or of as many as the set has.

    Returns:
        figures: index (arm, figure), arms "as it is", "without", "with"; value, low, high.
        differences: with - without, index figure; value, low, high, share_above.
    """
    if dataset.videos["subject"].nunique() < 2:
        raise InputError(f"{dataset.root}: one subject; an ablation needs two or more")
    config = replace(LEARNING, epochs=epochs)
    inputs = Inputs(**(asdict(detector.inputs) | {"signals": tuple(signals), "second_opinion": None}))
    with_sound = records_of(dataset, detector.net, inputs, cache, progress)
    names = channels_of(signals)
    face_only = [replace(r, vectors=r.vectors[:, : -len(names)]) for r in with_sound]
    silent = [replace(r, vectors=_zero_signals(r.vectors, names)) for r in with_sound]
    talking, tables, resampled = talking_frames(dataset), {}, {}
    for arm, records in (("as it is", face_only), ("without", silent), ("with", with_sound)):
        extra = 0 if records is face_only else len(names)
        detected = _detect_by_halves(records, with_sound, detector.model, extra, config)
        detected = at_rates(detected.assign(apex=pd.NA), dataset.videos)
        tables[arm], resampled[arm] = rates(alarms_by_subject(detected, dataset, talking), n_resamples)
    rows = []
    for name in FIGURES:
        gap, share = paired_difference(resampled["with"][name], resampled["without"][name])
        difference = tables["with"].loc[name, "value"] - tables["without"].loc[name, "value"]
        limits = t_interval(float(difference), gap, dataset.videos["subject"].nunique())
        rows.append((name, difference, limits.low, limits.high, share))
    columns = ["figure", "value", "low", "high", "share_above"]
    return pd.concat(tables, names=["arm"]), pd.DataFrame(rows, columns=columns).set_index("figure")


def _zero_signals(vectors: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The same vectors (T, C) with the last channels, `names`, at zero, except those named "..._present"."""
    out = np.array(vectors)
    for k, name in enumerate(names, start=out.shape[1] - len(names)):
        if not name.endswith("_present"):
            out[:, k] = 0
    return out


def _detect_by_halves(
    records: list[VideoFeatures],
    with_sound: list[VideoFeatures],
    start: FEDN,
    extra: int,
    config: TrainConfig,
) -> pd.DataFrame:
    """Detections at 30 fps on every record by a model that did not learn from its subject.

    Args:
        with_sound: records that give the new channels the same scale in every arm.
        start: the model to begin with.
        extra: channels to learn; 0: `start` is used unchanged.
    """
    people = sorted({r.subject for r in records})
    tables = []
    for half in (people[::2], people[1::2]):
        model = start
        if extra:
            begin = widen_input(start, [r for r in with_sound if r.subject not in half], extra)
            model = _train_new_channels(begin, [r for r in records if r.subject not in half], extra, config)
        for record in (r for r in records if r.subject in half):
            found = detect_intervals(model, model.config, record.vectors, record.mask)
            found = found[found["score"] >= model.config.default_threshold]
            tables.append(found.assign(subject=record.subject, video=record.video, fps=record.fps))
    return pd.concat(tables, ignore_index=True)


class _NewChannels(Run):
    """A training run that changes only the weights of the last `extra` channels."""

    def __init__(self, *args, extra: int) -> None:
        self.extra = extra
        super().__init__(*args)

    def make_optimizer(self, model: FEDN) -> torch.optim.AdamW:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        weight = model.embedding.project.weight.requires_grad_(True)
        mask = torch.zeros_like(weight)
        for half in mask.split(model.config.input_features, dim=1):  # two with `motion`
            half[:, -self.extra :] = 1
        weight.register_hook(lambda gradient: gradient * mask)
        return torch.optim.AdamW([weight], lr=self.config.learning_rate, weight_decay=0.0)


def _train_new_channels(model: FEDN, records: list[VideoFeatures], extra: int, config: TrainConfig) -> FEDN:
    launch(RunSpec(partial(_NewChannels, extra=extra), model, records, None, config), accelerator="cpu")
    return model.eval()

"""The interface of all compared methods: fit on training subjects, choose on validation subjects, then
predict the intervals of a video.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.intervals import SCHEMA_VERSION, empty_table, expression_type_of
from fedet.model import FEDN, FEDNConfig
from fedet.postprocess import Candidates, predict, soft_nms, to_frames
from fedet.training.config import TrainConfig
from fedet.windows import VideoFeatures

LOW_SCORE = 0.01  # predictions are kept down to here, so that average precision has its tail
RULES = ("strength", "product")  # how a strength and probabilities of emotions become scores
Predict = Callable[[VideoFeatures], pd.DataFrame]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method after training."""

    predict: Predict  # interval table of a video, down to LOW_SCORE
    threshold: float  # chosen on the validation subjects
    choices: dict[str, Any]  # other choices made there; plain values
    history: pd.DataFrame  # a row per epoch; empty where nothing is trained
    epochs: Mapping[int, Predict] = field(default_factory=dict)  # the model after each epoch, if stored


class Method(Protocol):
    """A frozen dataclass: its name, and all settings that a run depends on."""

    @property
    def name(self) -> str: ...

    def fit(
        self,
        train: Sequence[VideoFeatures],
        validation: Sequence[VideoFeatures],
        seed: int,
        folder: Path | None = None,
    ) -> Fitted:
        """Trains and chooses; a killed run resumes in `folder` if the method supports it."""
        ...


def method_settings(method: Method) -> dict[str, Any]:
    """The settings of a method as plain values; a field that is no setting has `repr=False`."""
    values = {f.name: getattr(method, f.name) for f in fields(method) if f.repr}  # type: ignore[arg-type]
    plain = {name: asdict(v) if is_dataclass(v) else v for name, v in values.items()}
    return {"kind": type(method).__name__} | plain


def detector_config(config: FEDNConfig | None, records: Sequence[VideoFeatures]) -> FEDNConfig:
    """The config, or the default one for the vectors of these records."""
    return config or FEDNConfig(input_features=records[0].vectors.shape[1])


@dataclass(frozen=True)
class FEDNMethod:
    """The network of the paper."""

    name: str = "fedn"
    config: FEDNConfig | None = None  # None: the defaults
    training: TrainConfig = field(default_factory=TrainConfig)
    snapshots: bool = False  # keep the weights after every epoch, to measure what a choice is worth
    accelerator: str = "auto"

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        from fedet.training.training import train as fit

        states: dict[int, dict] = {}

        def keep(epoch: int, model: FEDN) -> None:
            states[epoch] = {name: value.clone() for name, value in model.state_dict().items()}

        result = fit(
            train,
            detector_config(self.config, train),
            replace(self.training, seed=seed),
            validation=validation,
            out=None if self.snapshots else folder,
            progress=False,
            accelerator=self.accelerator,
            on_epoch=keep if self.snapshots else None,
        )
        epochs = {epoch: predictor(_with_state(result.model, state)) for epoch, state in states.items()}
        threshold, choices = result.model.config.default_threshold, {"epoch": result.best_epoch}
        return Fitted(predictor(result.model), threshold, choices, result.history, epochs)


def _with_state(model: FEDN, state: dict) -> FEDN:
    copy = FEDN(model.config)
    copy.load_state_dict({name: value.cpu() for name, value in state.items()})
    return copy.eval()


def predictor(model: FEDN) -> Predict:
    """Predicts the intervals of a record down to LOW_SCORE."""
    config = replace(model.config, min_score=min(LOW_SCORE, model.config.min_score))
    return lambda record: predict(model, config, record)


# --- shared by the other methods


def to_table(
    record: VideoFeatures, frames: np.ndarray, scores: np.ndarray, emotions: Sequence[str | None], source: str
) -> pd.DataFrame:
    """Predictions of one video as an interval table; frames (N, 2) inclusive."""
    table = empty_table().reindex(range(len(frames)))
    columns = {"onset": frames[:, 0], "offset": frames[:, 1], "score": scores, "emotion": list(emotions)}
    for name, values in columns.items():
        table[name] = pd.Series(values, dtype=table[name].dtype)
    table = table.assign(subject=record.subject, video=record.video, fps=record.fps)
    table["expression_type"] = expression_type_of(table["onset"], table["offset"], record.fps)
    return table.assign(schema_version=SCHEMA_VERSION, source=source)


def name_intervals(
    intervals: np.ndarray, strength: np.ndarray, classes: np.ndarray, rule: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeats each interval for every emotion: intervals (N K, 2), scores (N K,), classes (N K,).

    Args:
        intervals: (N, 2). strength: (N,) confidence that there is an expression.
        classes: (N, K) probabilities of its emotions.
        rule: "strength": the likeliest emotion gets the strength, others their share of it;
            "product": each gets strength times probability.
    """
    if rule not in RULES:
        raise InputError(f"rule={rule!r}: one of {', '.join(RULES)}")
    k = classes.shape[1]
    share = classes / np.maximum(classes.max(1, keepdims=True), 1e-9) if rule == "strength" else classes
    scores = (strength[:, None] * share).ravel()
    return np.repeat(intervals, k, axis=0), scores, np.tile(np.arange(k), len(intervals))


def nms_table(record: VideoFeatures, candidates: Candidates, config: FEDNConfig, source: str) -> pd.DataFrame:
    """Candidates after the soft-NMS of FEDN, as an interval table."""
    low = replace(config, min_score=LOW_SCORE)
    if not len(candidates.scores) or not record.mask.any():
        return to_table(record, np.zeros((0, 2)), np.zeros(0), [], source)
    best = soft_nms(candidates, low)
    frames, valid = to_frames(best, record.mask)
    names = np.array(config.emotions, dtype=object)[best.classes]
    return to_table(record, frames[valid], best.scores[valid], list(names[valid]), source)

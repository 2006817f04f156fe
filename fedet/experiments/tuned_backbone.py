"""Is a tuned face network worth it? Frozen against tuned, on the same folds, seeds and starting weights.

Both arms first train a detector on cached vectors, then continue from it: one on the vectors, the other
end to end. Only the second changes the face network, and augments its pictures.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from fedet.detection import Detector, Inputs
from fedet.evaluation.evaluation import Evaluation
from fedet.experiments.ablations import evaluate_runs
from fedet.experiments.cross_validation import cross_validate
from fedet.experiments.methods.base import Fitted, detector_config, predictor
from fedet.experiments.study import Study
from fedet.faces.network import FaceNet, load_facenet
from fedet.model import FEDNConfig
from fedet.training.config import TrainConfig, TuningConfig
from fedet.training.end_to_end import TUNING, train_end_to_end
from fedet.training.face_crops import face_videos_of, features_with
from fedet.training.training import train as train_detector


@dataclass(frozen=True)
class Tuned:
    """A detector trained on vectors, then tuned; reads `FaceVideo` records, sealed or not."""

    name: str
    net: FaceNet = field(repr=False)  # the settings hold its digest instead
    inputs: Inputs
    config: FEDNConfig | None = None
    first: TrainConfig = field(default_factory=TrainConfig)  # on cached vectors
    second: TrainConfig = TUNING
    tuning: TuningConfig | None = TuningConfig()  # None: the second part too uses cached vectors
    accelerator: str = "auto"
    digest: str = ""

    def fit(self, train, validation, seed: int, folder: Path | None = None) -> Fitted:
        folders = [None if folder is None else folder / part for part in ("first", "second")]
        options = {"validation": validation, "progress": False, "accelerator": self.accelerator}
        config = detector_config(self.config, train)
        trained = train_detector(train, config, replace(self.first, seed=seed), out=folders[0], **options)
        second = replace(self.second, seed=seed)
        if self.tuning is None:
            tuned = train_detector(train, None, second, init=trained.model, out=folders[1], **options)
            predict, model = predictor(tuned.model), tuned.model
        else:
            start = Detector(trained.model, self.net, self.inputs)
            tuned = train_end_to_end(train, start, second, self.tuning, out=folders[1], **options)
            predict, model = self._predictor(tuned.detector), tuned.detector.model
        history = pd.concat([trained.history.assign(part="first"), tuned.history.assign(part="second")])
        choices = {"first epoch": trained.best_epoch, "epoch": tuned.best_epoch}
        return Fitted(predict, model.config.default_threshold, choices, history.reset_index(drop=True))

    def _predictor(self, detector: Detector):
        predict = predictor(detector.model)
        return lambda video: predict(features_with(video, detector.net, self.inputs, labels=False))


def backbone_arms(
    net: FaceNet,
    inputs: Inputs,
    config: FEDNConfig | None = None,
    first: TrainConfig | None = None,
    second: TrainConfig = TUNING,
    tuning: TuningConfig = TuningConfig(),
    accelerator: str = "auto",
) -> dict[str, Tuned]:
    """The two arms by name, "tuned" and "frozen", for `cross_validate` and `ablations.effects`."""
    options = {"first": first or TrainConfig(), "second": second, "accelerator": accelerator}
    arms = {"tuned": tuning, "frozen": None}
    return {
        name: Tuned(name, net, inputs, config, tuning=arm, digest=net.digest, **options)
        for name, arm in arms.items()
    }


def backbone_evaluations(
    study: Study, out: Path, training: TrainConfig, epochs: int, n_resamples: int = 1000, **options
) -> dict[str, list[Evaluation]]:
    """Both arms cross-validated on a study, evaluated by name and seed; nothing where `epochs` is 0.

    Args:
        out: of the sweep, and for the crops. training: of the first part. epochs: of the second.
        options: as for `cross_validate`.
    """
    if not epochs:
        return {}
    inputs, net = study.inputs, load_facenet(study.inputs.weights)
    videos = face_videos_of(study.dataset, net, inputs, study.cache, progress=False)
    arms = backbone_arms(net, inputs, study.config, training, replace(TUNING, epochs=epochs))
    runs = {
        name: cross_validate(videos, arm, Path(out) / f"tuned{epochs}", **options)
        for name, arm in arms.items()
    }
    return evaluate_runs(runs, n_resamples=n_resamples)

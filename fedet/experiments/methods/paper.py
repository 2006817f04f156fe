"""FEDN as the paper has it, next to ours: every choice beyond the paper taken back, together and one by one.

What the paper leaves open (window and segment length, number of levels, loss weights, merging, schedule) has
to be chosen by whoever builds it; there both have our values, so that only what is added differs.
"""

from dataclasses import replace

from fedet.detection import Inputs
from fedet.experiments.methods.base import FEDNMethod
from fedet.model import FEDNConfig
from fedet.training.config import Augmentation, TrainConfig

NAME = "fedn-paper"
# What we add -> (the paper, ours, fields that take it back). Fields of TrainConfig start with "training.",
# of Inputs with "inputs.": these need other vectors.
ADDED: dict[str, tuple[str, str, dict[str, object]]] = {
    "vectors": ("512 numbers of the ResNet18", "its 23 read-outs", {"inputs.reads": "vectors"}),
    "rest": ("the vector itself", "its change from the person's rest", {"inputs.reference": "none"}),
    "motion": ("none", "change over three frames appended", {"motion": 0}),
    "loss": ("plain cross-entropy", "focal weight 2", {"focal_gamma": 0.0}),
    "scales": ("the video as it is", "also every two and four frames as one", {"scales": (1,)}),
    "emotions compete": ("no", "other emotions decay in soft-NMS", {"cross_class_sigma": None}),
    "augmentation": ("none", "windows are varied", {"training.augmentation": Augmentation.none()}),
}
STATED = {  # what the paper says, whatever the config at hand has
    "segment_attention": True, "window_attention": True, "first_stride": 4, "interval_loss": "diou",
    "objectness": "max_class", "head": "decoupled",
}  # fmt: skip


def of_part(part: str, without: str | None = None) -> dict[str, object]:
    """The fields of "model", "training" or "inputs" that take back what we add: all of ADDED, or one."""
    changes = [row[2] for name, row in ADDED.items() if without in (None, name)]
    fields = {key: value for row in changes for key, value in row.items()}
    if part == "model":
        return {key: value for key, value in fields.items() if "." not in key}
    return {key.split(".")[1]: value for key, value in fields.items() if key.startswith(part + ".")}


def paper_inputs(inputs: Inputs, without: str | None = None) -> Inputs:
    """What the paper's detector reads: the vectors of the frozen ResNet18 as they are; or ours less one."""
    fields = of_part("inputs", without) | {"signals": (), "second_opinion": None}
    return replace(inputs, **fields)  # type: ignore[arg-type]


def without(name: str, training: TrainConfig, config: FEDNConfig, input_features: int) -> FEDNMethod:
    """FEDN without one of ADDED, for records of so many numbers a frame."""
    changed = replace(config, **of_part("model", name), input_features=input_features)  # type: ignore[arg-type]
    retrained = replace(training, **of_part("training", name))  # type: ignore[arg-type]
    return FEDNMethod("fedn-without-" + name.replace(" ", "-"), changed, retrained)


def paper_method(training: TrainConfig | None = None, config: FEDNConfig | None = None) -> FEDNMethod:
    """FEDN with what the paper says and nothing of ours; sizes that it leaves open are those of `config`."""
    fields: dict = STATED | of_part("model") | {"input_features": 512}
    retrained = replace(training or TrainConfig(), **of_part("training"))  # type: ignore[arg-type]
    return FEDNMethod(NAME, replace(config or FEDNConfig(), **fields), retrained)

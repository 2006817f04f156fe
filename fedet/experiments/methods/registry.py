"""The methods by name."""

from dataclasses import replace

from fedet.errors import InputError
from fedet.experiments.methods.base import FEDNMethod, Method
from fedet.model import FEDNConfig
from fedet.training.config import TrainConfig

METHODS = (
    "fedn", "fedn-paper", "two-stage", "actionformer", "actionformer-long", "cnn", "frame-wise", "flow"
)  # fmt: skip


def method_named(name: str, training: TrainConfig | None = None, config: FEDNConfig | None = None) -> Method:
    """One of METHODS, all with the same budget. Raises InputError on another name."""
    training = training or TrainConfig()
    if name == "fedn":
        return FEDNMethod(config=config, training=training)
    if name == "fedn-paper":
        from fedet.experiments.methods.paper import paper_method

        return paper_method(training, config)
    if name.startswith("actionformer") and name in METHODS:
        from fedet.experiments.methods.actionformer import LONG, ActionFormer

        schedule = replace(training, **LONG) if name == "actionformer-long" else training
        return ActionFormer(name, config, schedule)
    if name == "cnn":
        from fedet.experiments.methods.frame_wise import ConvolutionalFrameWise

        return ConvolutionalFrameWise(config=config, training=training)
    if name == "two-stage":
        from fedet.experiments.methods.two_stage import TwoStage

        return TwoStage(config=config, training=training)
    if name == "frame-wise":
        from fedet.experiments.methods.frame_wise import FrameWise

        return FrameWise(config=config, training=training)
    if name == "flow":
        from fedet.experiments.methods.optical_flow import Flow

        return Flow()
    raise InputError(f"method {name!r}: one of {', '.join(METHODS)}")

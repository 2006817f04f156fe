"""The settings of training: of a run, of its augmentation, and of tuning the face network too."""

from dataclasses import dataclass, field

from fedet.errors import InputError
from fedet.faces.extraction import CROP
from fedet.files import check_range

MONITORS = ("spotting_f1", "detection_map", "both")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")  # of Lightning Fabric


@dataclass(frozen=True)
class Augmentation:
    """How training windows are varied; all our choice. `Augmentation.none()` leaves them unchanged.

    Strengths in feature space are in units of each feature's spread over the training frames.
    """

    speed: float = 1.25  # time runs slower or faster by up to this factor; 1: never
    reverse: float = 0.0  # share of windows that run backwards; faces rise faster than they fall
    intensity: float = 2.0  # the change vectors are scaled by up to this factor, up or down; 1: never
    features: float = 1.0  # the same for each feature by itself: other faces are not read alike; 1: never
    mixing: float = 0.0  # how much of the other features is mixed into each, at random
    noise: float = 0.2  # white noise on every frame
    baseline: float = 0.2  # a constant shift of a whole window: the baseline is an estimate
    feature_dropout: float = 0.0  # share of features set to 0 in a window

    def __post_init__(self) -> None:
        check_range(self, 1, 100, "speed", "intensity", "features")
        check_range(self, 0, 1, "mixing", "reverse", "noise", "baseline", "feature_dropout")

    @classmethod
    def none(cls) -> "Augmentation":
        """Every window as it is in the video."""
        return cls(speed=1.0, intensity=1.0, noise=0.0, baseline=0.0)


@dataclass(frozen=True)
class TrainConfig:
    """How a detector is trained; all defaults are our choice."""

    epochs: int = 15  # each shows every frame `coverage` times
    coverage: float = 1.0
    batch_size: int = 16  # windows, over all devices together
    least_steps: int = 20  # of an epoch, about: a small set is shown more often in each
    learning_rate: float = 1e-3  # its highest: linear warm-up, then a cosine down to a hundredth
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.05  # AdamW, on matrices only
    clip_norm: float = 1.0  # of the gradient
    ema: float = 0.99  # decay of the exponential average of the weights over the steps; 0: no average
    monitor: str = "both"  # selects the epoch: spotting F1, detection mAP, or "both": their mean
    evaluate_every: int = 1  # epochs
    patience: int = 6  # evaluations without improvement before it stops; 0: never stops early
    seed: int = 0
    precision: str = "32-true"  # of Fabric; "bf16-mixed" is quicker where the CPU or GPU computes in it
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_range(self, 1, 10**6, "epochs", "batch_size", "least_steps", "evaluate_every")
        check_range(self, 1e-12, 1000, "coverage", "learning_rate", "clip_norm")
        check_range(self, 0, 0.999999, "warmup", "ema")
        check_range(self, 0, 10**6, "weight_decay", "patience")
        check_range(self, 0, 2**64 - 1, "seed")
        for name, allowed in (("monitor", MONITORS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")


@dataclass(frozen=True)
class CropAugmentation:
    """Largest changes of a window's face crops; all our choice. `CropAugmentation.none()` makes none."""

    brightness: float = 0.08  # added, of 1
    contrast: float = 0.2  # factor, up or down
    colour: float = 0.1  # factor of each of red, green, blue
    shift: float = 0.05  # of the half side: a detector's box is never quite the same
    zoom: float = 0.06  # factor
    turn: float = 0.08  # radians, in the plane of the picture
    flip: float = 0.5  # share of mirrored windows

    def __post_init__(self) -> None:
        check_range(self, 0, 1, *vars(self))

    @classmethod
    def none(cls) -> "CropAugmentation":
        """Every picture as it was cut."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class TuningConfig:
    """How the face network is tuned; all defaults are our choice."""

    backbone: float = 0.1  # its learning rate, as a share of the detector's; 0: it stays frozen
    # Side of the pictures in training, pixels. Detection and validation use 112: at 64, though quicker,
    # the vectors are clearly different ones.
    size: int = 96
    rest: int = 8  # pictures at rest in a window
    through: float = 0.5  # share of a window's pictures that the gradient flows through
    chunk: int = 32  # pictures at once: memory against speed
    appearance: CropAugmentation = CropAugmentation()

    def __post_init__(self) -> None:
        check_range(self, 0, 1, "backbone", "through")
        check_range(self, 32, CROP, "size")
        check_range(self, 1, 400, "rest")
        check_range(self, 1, 4096, "chunk")

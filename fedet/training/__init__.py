"""Training: the detector, the ResNet18 that reads faces, fine-tuning on reviews."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "TrainConfig": "config",
        "learn": "fine_tuning",
        "records_of": "records",
        "train": "training",
    },
)

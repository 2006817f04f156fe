"""Datasets as their authors distribute them, and folders of one's own."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Dataset": "dataset",
        "read_dataset": "dataset",
    },
)

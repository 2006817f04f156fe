"""Predictions against annotations: scores, intervals over subjects, agreement."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Evaluation": "evaluation",
        "align": "alignment",
        "compare": "evaluation",
        "evaluate": "evaluation",
    },
)

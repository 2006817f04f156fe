"""A second opinion on detections: a frame-wise classifier of the user's choice, or another tool's files.

fedet's own networks learned from generated faces alone. A classifier that learned from real photographs
errs in other places, so the two together find more. It is never needed and never a dependency. The shipped
detector uses our own landmark network, see `fedet.detection.Inputs`.
"""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Classifier": "classifier",
        "emotion_curves": "opinion",
        "fuse": "fusion",
        "opinion_on": "opinion",
        "open_classifier": "classifier",
    },
)

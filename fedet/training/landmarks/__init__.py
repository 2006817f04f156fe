"""The network that finds points of the face: its generated people and its training."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__, {"LandmarkConfig": "learning", "learn_landmarks": "learning", "open_bank": "people"}
)

"""Generated faces: videos with exact annotations, no licence and no real face."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Confounders": "generator",
        "SynthConfig": "generator",
        "synthesize": "generator",
    },
)

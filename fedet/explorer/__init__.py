"""The interval explorer: look at a video's intervals on a time axis, correct them, export them."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Explorer": "widget",
    },
)

"""Reading and writing videos: frames, sound, side signals."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "open_video": "reader",
        "write_video": "writer",
    },
)

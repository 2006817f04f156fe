"""Reviews: edits, their journal, the queue, and the dataset that reviews make."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Review": "review",
        "read_review": "review",
    },
)

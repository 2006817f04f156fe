"""What reviewers decide, how it is kept, and what is learned from it."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "Review": "review",
        "read_review": "review",
    },
)

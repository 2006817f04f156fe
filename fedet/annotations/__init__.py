"""Interval tables and the files of other tools: ELAN, BORIS, WebVTT, ActivityNet, CSV."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "convert": "formats",
        "read_csv": "table",
        "read_intervals": "formats",
        "validate": "table",
        "write_csv": "table",
        "write_intervals": "formats",
    },
)

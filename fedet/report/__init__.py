"""Reports: notebooks run into one page that opens anywhere, offline."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "make_report": "make",
        "record": "recorded",
        "record_table": "recorded",
    },
)

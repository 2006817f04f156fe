"""Figures: one style, one colour per emotion, seconds on the axes."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "plot_apexes": "thumbnails",
        "plot_confusion": "evaluation",
        "plot_durations": "annotations",
        "plot_error_breakdown": "evaluation",
        "plot_events_per_subject": "annotations",
        "plot_forest": "evaluation",
        "plot_onset_apex_offset": "annotations",
        "plot_pr_curves": "evaluation",
        "plot_reliability": "evaluation",
        "plot_strip": "thumbnails",
        "plot_subject_strip": "evaluation",
        "plot_timeline": "annotations",
    },
)

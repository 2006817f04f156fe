"""How fast fedet is, as ratios taken in one run: against the machine's limit, and against other ways."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(__name__, {"measure": "suite", "plot_speed": "plots"})

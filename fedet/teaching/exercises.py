"""The exercises of notebook 05: their answers, and a hint for each."""

import os
from dataclasses import dataclass

import numpy as np

from fedet.errors import InputError
from fedet.explorer.widget import IN_REPORT


@dataclass(frozen=True)
class Exercise:
    """A question's answer and the hint after a wrong one."""

    answer: object  # a number, or a text that is compared without case
    hint: str
    tolerance: float = 0.005


EXERCISES = {
    # [10, 20) and [14, 24): 6 frames shared, 14 in the union
    "tiou": Exercise(6 / 14, "Count the frames that both have, then those that at least one has."),
    "gradient": Exercise("iou", "Which loss is flat where the intervals share no frame?"),
    # tIoU 0.6, sigma 0.3: 0.8 * exp(-0.36 / 0.3)
    "decay": Exercise(0.8 * np.exp(-(0.6**2) / 0.3), "score x exp(-tIoU^2 / sigma), with tIoU squared."),
    # logits 1.0 and -2.0, 0.5, -3.0: sigmoid of the highest
    "objectness": Exercise(1 / (1 + np.exp(-1.0)), "Only the highest class counts: 1 / (1 + e^-z)."),
    "stages": Exercise(0.42, "Both must be right: multiply.", 1e-6),
    "leak": Exercise("b", "Whoever is judged must not have taught anything, neither weights nor threshold."),
}


def check(name: str, answer: object) -> None:
    """Prints whether an exercise's answer is right, or that there is none yet; in a report nothing then.

    Raises InputError if there is no such exercise.
    """
    if name not in EXERCISES:
        raise InputError(f"no exercise {name!r}; there are {', '.join(EXERCISES)}")
    if answer is None and os.environ.get(IN_REPORT):
        return
    print(verdict(EXERCISES[name], answer))


def verdict(exercise: Exercise, answer: object) -> str:
    """ "right", or what to think about."""
    if answer is None or answer == "":
        return "Not answered yet: put your answer in place of None and run the cell again."
    wanted = exercise.answer
    if isinstance(wanted, str):
        right = str(answer).strip().lower() == wanted
    else:
        try:
            right = abs(float(answer) - float(wanted)) <= exercise.tolerance
        except (TypeError, ValueError):
            return f"{answer!r} is not a number."
    return "Right." if right else f"Not yet: {exercise.hint}"

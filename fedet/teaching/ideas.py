"""Small demonstrations for the walkthrough: losses, suppression, two stages, a leaked subject, checks.

Everything is computed by the package's own functions where it has them; what is invented for the
lesson (two stages, the leak) is a simulation and says so.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.intervals import interval_tiou
from fedet.losses import INTERVAL_LOSSES, interval_iou

# ---------------------------------------------------------------- overlap and its gradient


def slide(target: tuple[float, float], length: float, centres: np.ndarray) -> pd.DataFrame:
    """An interval of `length` frames slid along a target: tIoU, losses, and their pull.

    Args:
        target: start and end in frames, continuous.
        centres: (N,) where the interval's centre is put.

    Returns:
        A row a centre: `tiou`; for each of `INTERVAL_LOSSES` its value `<name>` and `<name>_pull`,
        minus its derivative by the centre: where gradient descent moves the interval, 0 for nowhere.
    """
    centre = torch.tensor(np.asarray(centres, np.float64), requires_grad=True)
    guess = torch.stack([centre - length / 2, centre + length / 2], -1)
    goal = torch.tensor(target, dtype=torch.float64).expand_as(guess)
    table = {"centre": centre.detach().numpy(), "tiou": interval_iou(guess, goal).detach().numpy()}
    for name, loss in INTERVAL_LOSSES.items():
        value = loss(guess, goal)
        (slope,) = torch.autograd.grad(value.sum(), centre, retain_graph=True)
        table |= {name: value.detach().numpy(), f"{name}_pull": -slope.numpy()}
    return pd.DataFrame(table)


def fit(
    start: tuple[float, float], target: tuple[float, float], loss: str, steps: int = 120, rate: float = 1.0
) -> pd.DataFrame:
    """Gradient descent of one interval's two ends, with momentum as in training.

    Args:
        start, target: in frames, continuous. loss: of `INTERVAL_LOSSES`. rate: frames a step at most.

    Returns:
        A row a step, from 0: start, end, tiou, loss.

    Raises:
        InputError: no such loss.
    """
    if loss not in INTERVAL_LOSSES:
        raise InputError(f"loss {loss!r}: choose one of {', '.join(INTERVAL_LOSSES)}")
    ends = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    goal = torch.tensor(target, dtype=torch.float64)
    optimiser = torch.optim.Adam([ends], lr=rate)
    rows = []
    for _ in range(steps + 1):
        value = INTERVAL_LOSSES[loss](ends, goal)
        rows.append((*ends.tolist(), interval_iou(ends, goal).item(), value.item()))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return pd.DataFrame(rows, columns=["start", "end", "tiou", "loss"]).rename_axis("step")


# ---------------------------------------------------------------- soft-NMS, step by step


def soft_nms_rounds(intervals: np.ndarray, scores: np.ndarray, sigma: float) -> pd.DataFrame:
    """Gaussian soft-NMS of one class written out: the scores before and after each round.

    Args:
        intervals: (N, 2) in frames, continuous. scores: (N,). sigma: of the decay exp(-tIoU^2 / sigma).

    Returns:
        A row a candidate; columns `start`, `score` at first, then `round 1`, ...: the scores after the
        strongest of those left has been kept and its neighbours have decayed. `attrs["kept"]`: the
        order in which they were kept.
    """
    intervals, left = np.asarray(intervals, float), np.array(scores, float)
    final, waiting, kept = left.copy(), np.ones(len(left), bool), []
    columns = {"start": intervals[:, 0], "end": intervals[:, 1], "score": left.copy()}
    while waiting.any():
        best = int(np.where(waiting, final, -1).argmax())
        waiting[best] = False
        kept.append(best)
        overlap = interval_tiou(intervals[best], intervals)
        final = np.where(waiting, final * np.exp(-(overlap**2) / sigma), final)
        columns[f"round {len(kept)}"] = final.copy()
    table = pd.DataFrame(columns)
    table.attrs["kept"] = kept
    return table


# ---------------------------------------------------------------- two stages


def two_stages(
    spotted: float, named: float, named_loose: float, n: int = 2000, loose: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """A simulated pipeline: a spotter, then a recogniser that learned on exact intervals only.

    Args:
        spotted: chance that an event is found. named: chance that its emotion is right in an exact
            interval; named_loose: in one whose ends are off. loose: share of found events with such
            ends. n: events. seed: of the draws.

    Returns:
        Shares of all events: `spotted`; `alone`, what the recogniser scores on exact intervals, as
        papers on recognition report it; `both`, spotted AND named; `product` = spotted x alone.

    Raises:
        InputError: a chance outside 0..1.
    """
    chances = {"spotted": spotted, "named": named, "named_loose": named_loose, "loose": loose}
    for name, value in chances.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value!r}: a chance lies between 0 and 1")
    rng = np.random.default_rng(seed)
    found, off = rng.random(n) < spotted, rng.random(n) < loose
    luck = rng.random(n)
    right = luck < np.where(off, named_loose, named)
    alone = float((luck < named).mean())
    return {
        "spotted": float(found.mean()),
        "alone": alone,
        "both": float((found & right).mean()),
        "product": float(found.mean()) * alone,
    }


# ---------------------------------------------------------------- one leaked subject


@dataclass(frozen=True, eq=False)
class Leak:
    """F1 per subject without and with the leak, and over all subjects."""

    subjects: pd.DataFrame  # index: subject; honest, leaked
    honest: float
    leaked: float
    subject: str  # the one who leaked


def leak(n_subjects: int = 10, n_windows: int = 60, own: float = 1.6, seed: int = 0) -> Leak:
    """Simulated windows of people who express in their own way; leave one subject out, then leak one.

    A window is a vector: a common direction of expression, a direction of the person's own (of
    strength `own`), the person's looks, and noise. The classifier is logistic regression. Honest: a
    subject is judged by what the others taught. Leaked: half of the first subject's windows are among
    the training data of all, the other half is judged.

    Returns:
        F1 of "expression" on the same windows in both cases; over all subjects from summed counts.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    width = 24
    common = rng.normal(size=width) / np.sqrt(width)
    label = rng.random((n_subjects, n_windows)) < 0.3
    habits = rng.normal(size=(n_subjects, 1, width)) / np.sqrt(width) * own
    looks = rng.normal(size=(n_subjects, 1, width)) * 0.5
    x = label[..., None] * (2.0 * common + 2.0 * habits) + looks
    x = x + 0.45 * rng.normal(size=(n_subjects, n_windows, width))
    half = n_windows // 2
    counts = {name: np.zeros((n_subjects, 3), int) for name in ("honest", "leaked")}
    for who in range(n_subjects):
        others = np.arange(n_subjects) != who
        for name, rows in counts.items():
            train_x, train_y = x[others].reshape(-1, width), label[others].ravel()
            if name == "leaked" and who == 0:
                train_x = np.concatenate([train_x, *[x[0, :half]] * 3])
                train_y = np.concatenate([train_y, *[label[0, :half]] * 3])
            model = LogisticRegression(max_iter=300).fit(train_x, train_y)
            guess, truth = model.predict(x[who, half:]), label[who, half:]
            rows[who] = (guess & truth).sum(), (guess & ~truth).sum(), (~guess & truth).sum()
    names = [f"s{i + 1:02d}" for i in range(n_subjects)]
    table = pd.DataFrame({name: f1(rows) for name, rows in counts.items()}, index=names)
    honest, leaked = (float(f1(rows.sum(0))) for rows in counts.values())
    return Leak(table.rename_axis("subject"), honest, leaked, names[0])


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 of counts (..., 3): tp, fp, fn; 0 without any."""
    tp, fp, fn = np.moveaxis(np.asarray(counts, float), -1, 0)
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


# ---------------------------------------------------------------- exercises


@dataclass(frozen=True)
class Exercise:
    """A question's answer and what to tell those who miss it."""

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


def check(name: str, answer) -> None:
    """Says whether an exercise's answer is right; None is "not answered yet".

    Raises InputError on an exercise that there is not.
    """
    if name not in EXERCISES:
        raise InputError(f"no exercise {name!r}; there are {', '.join(EXERCISES)}")
    print(verdict(EXERCISES[name], answer))


def verdict(exercise: Exercise, answer) -> str:
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

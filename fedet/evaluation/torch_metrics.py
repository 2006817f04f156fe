"""The figures as torchmetrics, for use inside training: they hold state, `fedet.metrics` counts.

Importing this module needs torch and torchmetrics, which take seconds to load; nothing else in the
package imports it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fedet.errors import InputError
from fedet.evaluation.scoring import figures, score
from fedet.intervals import MICRO_MAX_S
from fedet.matching import STRICT, Aligned, Conventions, Events

COLUMNS = ("onset", "offset", "label", "micro", "score")


class ExpressionMetric(Metric):
    """State of all of these metrics: the intervals of whole videos, one entry per video.

    Args:
        tiou: threshold of spotting, recognition and detection F1.
        fps: frames per second, which tells micro- from macro-expressions.
        conventions: how intervals are counted.

    `update(preds, target)` takes a dict per video each:
        preds: `intervals` (N, 2) onset and offset, frames, inclusive; `scores` (N,);
            `labels` (N,) whole numbers, -1 for an unknown emotion.
        target: `intervals` (M, 2); `labels` (M,); `micro` (M,) booleans, optional: without it the
            duration decides.

    `compute()` gives a dict of scalars named as in `fedet.evaluation.evaluation`; undefined ones are NaN.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    names: tuple[str, ...] = ()

    predicted: list[Tensor]
    true: list[Tensor]
    counts: list[Tensor]

    def __init__(self, tiou: float = 0.5, fps: float = 30.0, conventions: Conventions = STRICT, **kwargs):
        super().__init__(**kwargs)
        self.tiou, self.fps, self.conventions = tiou, fps, conventions
        for name in ("predicted", "true", "counts"):
            # Videos stay in order when processes are joined, so counts tell them apart.
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, preds: Sequence[dict], target: Sequence[dict]) -> None:
        if len(preds) != len(target):
            raise InputError(f"{len(preds)} videos predicted, {len(target)} annotated: one each")
        for video, truth in zip(preds, target, strict=True):
            rows = self._rows(video, scored=True), self._rows(truth, scored=False)
            self.predicted.append(rows[0])
            self.true.append(rows[1])
            counts = [[len(rows[0]), len(rows[1])]]
            self.counts.append(torch.tensor(counts, device=self.device))

    def compute(self) -> dict[str, Tensor]:
        found = score(self._aligned(), self.tiou, self.conventions)
        sums = {name: values.sum(axis=0) for name, values in found.sums.items()}
        values = figures(sums, found, None)
        return {name: torch.tensor(float(values[name])) for name in self.names}

    def _rows(self, video: dict, scored: bool) -> Tensor:
        """Intervals as rows of COLUMNS, float64, in which frames and codes are exact."""
        intervals = torch.as_tensor(video["intervals"]).reshape(-1, 2).double()
        n, onset, offset = len(intervals), intervals[:, 0], intervals[:, 1]
        if bool((offset < onset).any()) or bool((onset < 0).any()):
            raise InputError(f"intervals {intervals.tolist()[:3]}: needs 0 <= onset <= offset")
        micro = (offset - onset + 1) <= MICRO_MAX_S * self.fps * (1 + 1e-9)
        if not scored and "micro" in video:
            micro = torch.as_tensor(video["micro"]).reshape(-1)
        scores = torch.as_tensor(video["scores"]) if scored else torch.full((n,), torch.nan)
        parts = [onset, offset, torch.as_tensor(video["labels"]).reshape(-1), micro, scores]
        if any(len(part) != n for part in parts):
            raise InputError(f"{n} intervals need as many labels, scores and micro")
        return torch.stack([part.double().to(self.device) for part in parts], dim=1)

    def _aligned(self) -> Aligned:
        # Joined over processes, a state is one tensor; before that it is a list.
        if isinstance(self.counts, list) and not self.counts:
            predicted = true = np.zeros((0, len(COLUMNS)))
            counts = np.zeros((0, 2), dtype=np.int64)
        else:
            states = (self.predicted, self.true, self.counts)
            predicted, true, counts = (dim_zero_cat(s).cpu().numpy() for s in states)
        sides = [_events(rows, n) for rows, n in zip((predicted, true), counts.T, strict=True)]
        highest = max((int(e.emotion.max()) for e in sides if len(e)), default=-1)
        videos = pd.DataFrame({"subject": "", "video": range(len(counts)), "fps": self.fps})
        classes = tuple(str(code) for code in range(highest + 1))
        return Aligned(sides[0], sides[1], videos, ("",), classes, ())


def _events(rows: np.ndarray, per_video: np.ndarray) -> Events:
    video = np.repeat(np.arange(len(per_video)), per_video)
    onset, offset, label = (rows[:, i].astype(np.int64) for i in range(3))
    micro, scores = rows[:, 3].astype(bool), rows[:, 4]
    return Events(video, np.zeros_like(video), onset, offset, label, micro, scores)


class Spotting(ExpressionMetric):
    """Precision, recall and F1 of the intervals, whatever their emotion; F1 by type."""

    names = ("spotting_precision", "spotting_recall", "spotting_f1", "macro_f1", "micro_f1")


class Recognition(ExpressionMetric):
    """UF1, UAR and accuracy over the spotted true positives, and STRS."""

    names = ("uf1", "uar", "accuracy", "strs")


class Detection(ExpressionMetric):
    """F1 of intervals with the right emotion, mAP at tIoU 0.3 to 0.7, AP at 0.5:0.05:0.95.

    >>> metric = Detection()
    >>> video = {"intervals": [[10, 30]], "labels": [1], "scores": [0.9]}
    >>> metric.update([video], [video])
    >>> float(metric.compute()["map"])
    1.0
    """

    names = (
        "detection_precision",
        "detection_recall",
        "detection_f1",
        "map",
        "map_0.5",
        "ap_50_95",
    )

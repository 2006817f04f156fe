"""What FEDN is trained on: 1D interval losses and binary cross-entropy over the emotions.

Intervals are continuous, [start, end) in frames: an annotation with INCLUSIVE onset and offset is
[onset, offset + 1), so its length is its duration and IoU equals the tIoU counted in frames.
All functions are pure and elementwise over any leading shape (...).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fedet.errors import InputError
from fedet.model import FEDNConfig, FEDNOutput

EPSILON = 1e-6  # frames; keeps 0/0 out of the IoU of two empty intervals


def interval_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of intervals.

    Args:
        a, b: (..., 2) starts and ends in frames, broadcast against each other.
    Returns:
        (...) in 0..1; 0 where they do not touch or both are empty.

    >>> interval_iou(torch.tensor([10.0, 20.0]), torch.tensor([15.0, 25.0]))  # 5 / 15
    tensor(0.3333)
    """
    shared = (torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])).clamp(min=0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    return shared / union.clamp(min=EPSILON)


def iou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - IoU of (..., 2) intervals -> (...) in 0..1; no gradient where they do not touch."""
    return 1 - interval_iou(predicted, target)


def diou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - IoU + (distance of the centres / length of the enclosing interval)^2.

    The Distance-IoU loss of Zheng et al., "Distance-IoU Loss" (AAAI 2020), in one dimension. Unlike
    the IoU's, its gradient does not vanish where the intervals do not touch.

    Args:
        predicted, target: (..., 2) starts and ends in frames.
    Returns:
        (...) in 0..2.
    """
    distance = (predicted.sum(-1) - target.sum(-1)) / 2
    start = torch.minimum(predicted[..., 0], target[..., 0])
    end = torch.maximum(predicted[..., 1], target[..., 1])
    return iou_loss(predicted, target) + (distance / (end - start).clamp(min=EPSILON)) ** 2


def l1_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the two ends over the target's length (..., 2) -> (...).

    Our choice: relative to the length, or a long expression would outweigh a micro-expression.
    """
    length = (target[..., 1] - target[..., 0]).clamp(min=EPSILON)
    return (predicted - target).abs().mean(-1) / length


INTERVAL_LOSSES = {"iou": iou_loss, "diou": diou_loss, "l1": l1_loss}


def class_loss(logits: Tensor, targets: Tensor, gamma: float = 0.0) -> Tensor:
    """Binary cross-entropy, optionally focal: BCE * |target - sigmoid(logit)|^gamma.

    gamma 0 is plain BCE (the paper). Above 0 (our choice by default) it is the quality focal loss
    of Li et al., "Generalized Focal Loss" (2020), which is the focal loss of Lin et al. (2017)
    without its alpha where targets are 0 or 1, and also takes soft targets.

    Args:
        logits, targets: (...); targets in 0..1.
    Returns:
        (...) >= 0.
    """
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if gamma == 0:
        return loss
    return loss * (targets - logits.sigmoid()).abs() ** gamma


class Targets(NamedTuple):
    """What the positions of B windows learn, from `fedet.windows.assign_targets`."""

    classes: Tensor  # (B, P, K) in 0..1: 1 (or soft) at the emotion of a positive position
    intervals: Tensor  # (B, P, 2) [start, end) in frames of the window; 0 where not positive
    positive: Tensor  # (B, P) True: the position belongs to an event
    labelled: Tensor  # (B, P) True: the classes count here (not masked, emotion known, not cut off)


class Losses(NamedTuple):
    """Scalars; total is what is differentiated."""

    total: Tensor
    classes: Tensor
    intervals: Tensor
    objectness: Tensor


def detection_loss(
    output: FEDNOutput,
    targets: Targets,
    centres: Tensor,
    config: FEDNConfig,
    positives_per_window: float | None = None,
) -> Losses:
    """The loss of B windows: classes + interval_weight * intervals (+ objectness if separate).

    With `objectness="max_class"` there is no objectness term: a positive position has target 1 at
    its emotion, a negative one 0 everywhere, so that the highest confidence IS the objectness.
    With "separate" the objectness learns positive against negative, and the classes learn at
    positive positions only.

    Our choice of normaliser: sums are divided by B * positives_per_window, a constant of the
    training set. The loss of a batch then is the mean of its windows' losses, however windows are put
    into batches, on one device or several. None: by the number of positives in this batch.

    Args:
        output: of the model. targets: same B, P, K.
        centres: (P,) or (B, P) the positions' centres in frames of the window.
        positives_per_window: mean number of positive positions, > 0.
    """
    if targets.classes.shape != output.class_logits.shape:
        raise InputError(
            f"targets have shape {tuple(targets.classes.shape)}, outputs {tuple(output.class_logits.shape)}: "
            "they are of different configs; make the targets with the model's own"
        )
    labelled, positive = targets.labelled & output.mask, targets.positive & output.mask
    scale: float | Tensor = 1 / positive.sum().clamp(min=1)
    if positives_per_window is not None:
        scale = 1 / (len(output.mask) * positives_per_window)
    gamma = config.focal_gamma
    objectness = output.distances.new_zeros(())
    if output.objectness is not None:
        # An event of unknown emotion is an object too; one cut off by the border counts neither way.
        counted = labelled | positive
        loss = class_loss(output.objectness.float(), positive.float(), gamma)
        objectness = (loss * counted).sum() * scale
        labelled = labelled & positive
    loss = class_loss(output.class_logits.float(), targets.classes, gamma)
    classes = (loss * labelled[..., None]).sum() * scale
    sign = output.distances.new_tensor([-1.0, 1.0])
    predicted = centres[..., None] + sign * output.distances  # (B, P, 2) [start, end)
    loss = INTERVAL_LOSSES[config.interval_loss](predicted, targets.intervals)
    intervals = torch.where(positive, loss, 0).sum() * scale
    total = classes + config.interval_weight * intervals + objectness
    return Losses(total, classes, intervals, objectness)

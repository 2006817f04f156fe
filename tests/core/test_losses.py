from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedet.errors import InputError
from fedet.losses import (
    INTERVAL_LOSSES,
    Targets,
    class_loss,
    detection_loss,
    diou_loss,
    interval_iou,
    iou_loss,
    l1_loss,
)
from fedet.model import FEDNConfig, FEDNOutput

CONFIG = FEDNConfig(emotions=("a", "b"), focal_gamma=0.0)


def frames(first: int, last: int) -> torch.Tensor:
    """The continuous interval of inclusive frames."""
    return torch.tensor([float(first), float(last + 1)], dtype=torch.float64)


inclusive = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda x: (min(x), max(x)))


@given(inclusive, inclusive)
def test_iou_is_that_of_counted_frames(a, b):
    one, other = (set(range(x[0], x[1] + 1)) for x in (a, b))
    expected = len(one & other) / len(one | other)
    assert interval_iou(frames(*a), frames(*b)).item() == pytest.approx(expected)


@given(inclusive, inclusive, st.integers(-50, 50), st.floats(0.1, 10))
def test_losses_are_the_same_anywhere_at_any_scale(a, b, shift, scale):
    one, other = frames(*a), frames(*b)
    for loss in INTERVAL_LOSSES.values():
        moved = loss(scale * (one + shift), scale * (other + shift))
        torch.testing.assert_close(moved, loss(one, other))


@given(inclusive, inclusive)
def test_diou_is_symmetric_bounded_and_zero_only_when_equal(a, b):
    loss = diou_loss(frames(*a), frames(*b))
    assert loss == diou_loss(frames(*b), frames(*a))
    assert 0 <= loss < 2
    assert (loss < 1e-9) == (a == b)
    assert loss >= iou_loss(frames(*a), frames(*b))


def test_values_by_hand():
    a, b = frames(10, 19), frames(15, 24)  # 5 shared of 15; centres 5 apart, enclosed by 15
    assert iou_loss(a, b).item() == pytest.approx(10 / 15)
    assert diou_loss(a, b).item() == pytest.approx(10 / 15 + (5 / 15) ** 2)
    assert l1_loss(a, b).item() == pytest.approx(5 / 10)
    a, b = frames(0, 3), frames(8, 15)  # apart: centres 2 and 12, enclosed by 16
    assert iou_loss(a, b).item() == 1
    assert diou_loss(a, b).item() == pytest.approx(1 + (10 / 16) ** 2)
    assert l1_loss(a, b).item() == pytest.approx((8 + 12) / 2 / 8)


def test_shapes_broadcast_and_may_be_empty():
    many, one = torch.rand(3, 1, 2).sort(-1).values, torch.rand(4, 2).sort(-1).values
    for loss in INTERVAL_LOSSES.values():
        assert loss(many, one).shape == (3, 4)
        assert loss(torch.zeros(0, 2), torch.zeros(0, 2)).shape == (0,)


def test_two_empty_intervals_are_finite_in_value_and_gradient():
    for loss in INTERVAL_LOSSES.values():
        x = torch.zeros(2, requires_grad=True)
        value = loss(x, torch.zeros(2))
        value.backward()
        assert value.isfinite() and x.grad.isfinite().all()


def test_only_diou_and_l1_pull_where_nothing_touches():
    gradients = {}
    for name, loss in INTERVAL_LOSSES.items():
        x = frames(0, 9).requires_grad_()
        loss(x, frames(20, 29)).backward()
        gradients[name] = x.grad
    assert (gradients["iou"] == 0).all()
    # By hand: (20 / 30)^2, the distance 20 and the enclosing length 30 each depending on the ends.
    assert gradients["diou"].tolist() == pytest.approx([2 / 3 * (20 - 15) / 450, -2 / 3 / 30])
    assert gradients["diou"].sum() < 0  # descending moves the centre to the right
    assert (gradients["l1"] < 0).all()


@pytest.mark.parametrize("name", INTERVAL_LOSSES)
@pytest.mark.parametrize("other", [(12.0, 27.5), (40.0, 55.0), (13.0, 14.0), (-5.0, 60.0)])
def test_gradients_are_right(name, other):
    x = torch.tensor([10.3, 20.1], dtype=torch.float64, requires_grad=True)
    y = torch.tensor(other, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: INTERVAL_LOSSES[name](x, y), x)


def test_class_loss_by_hand_and_its_gradient():
    logits = torch.tensor([0.0, 2.0, -3.0], dtype=torch.float64)
    targets = torch.tensor([1.0, 0.0, 0.25], dtype=torch.float64)
    p = logits.sigmoid()
    bce = -(targets * p.log() + (1 - targets) * (1 - p).log())
    torch.testing.assert_close(class_loss(logits, targets), bce)
    torch.testing.assert_close(class_loss(logits, targets, 2.0), bce * (targets - p) ** 2)
    logits.requires_grad_()
    for gamma in (0.0, 2.0):
        assert torch.autograd.gradcheck(lambda x, g=gamma: class_loss(x, targets, g), logits)


def batch_of(seed: int, batch: int, separate: bool = False):
    """Random outputs and targets of 6 positions, centres at 4, 12 ... 44."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.arange(6) * 8.0 + 4
    positive = torch.rand(batch, 6, generator=g) < 0.4
    intervals = centres[:, None] + 10 * torch.rand(batch, 6, 2, generator=g) * torch.tensor([-1, 1])
    classes = torch.zeros(batch, 6, 2)
    classes[..., 0] = positive.float()
    labelled = torch.rand(batch, 6, generator=g) < 0.8
    targets = Targets(classes, intervals * positive[..., None], positive, labelled)
    output = FEDNOutput(
        torch.randn(batch, 6, 2, generator=g),
        10 * torch.rand(batch, 6, 2, generator=g),
        torch.randn(batch, 6, generator=g) if separate else None,
        torch.rand(batch, 6, generator=g) < 0.9,
    )
    return output, targets, centres


def one(batch, i):
    return type(batch)(*(None if part is None else part[i : i + 1] for part in batch))


@pytest.mark.parametrize("separate", [False, True])
def test_the_loss_of_a_batch_is_the_mean_of_its_windows(separate):
    config = replace(CONFIG, objectness="separate" if separate else "max_class")
    output, targets, centres = batch_of(3, 7, separate)
    together = detection_loss(output, targets, centres, config, 2.5)
    alone = [detection_loss(one(output, i), one(targets, i), centres, config, 2.5) for i in range(7)]
    for part, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(part, torch.stack(parts).mean())


def test_the_loss_by_a_slow_sum():
    output, targets, centres = batch_of(5, 3)
    classes = intervals = 0.0
    positives = 0
    for b in range(3):
        for p in range(6):
            if not output.mask[b, p]:
                continue
            if targets.labelled[b, p]:
                for k in range(2):
                    prob, y = output.class_logits[b, p, k].sigmoid(), targets.classes[b, p, k]
                    classes -= (y * prob.log() + (1 - y) * (1 - prob).log()).item()
            if targets.positive[b, p]:
                positives += 1
                d = output.distances[b, p]
                x = torch.stack([centres[p] - d[0], centres[p] + d[1]])
                intervals += diou_loss(x, targets.intervals[b, p]).item()
    losses = detection_loss(output, targets, centres, CONFIG)
    assert positives > 0
    assert losses.classes.item() == pytest.approx(classes / positives, rel=1e-5)
    assert losses.intervals.item() == pytest.approx(intervals / positives, rel=1e-5)
    assert losses.total.item() == pytest.approx((classes + intervals) / positives, rel=1e-5)
    weighted = detection_loss(output, targets, centres, replace(CONFIG, interval_weight=3.0))
    assert weighted.total.item() == pytest.approx((classes + 3 * intervals) / positives, rel=1e-5)


def test_the_highest_class_is_the_objectness():
    """A negative position is pushed down in every class, a positive one up in its own only."""
    output, targets, centres = batch_of(1, 1)
    logits = output.class_logits.clone().requires_grad_()
    targets = targets._replace(labelled=torch.ones(1, 6, dtype=torch.bool))
    output = output._replace(class_logits=logits, mask=torch.ones(1, 6, dtype=torch.bool))
    detection_loss(output, targets, centres, CONFIG).total.backward()
    assert targets.positive.any() and not targets.positive.all()
    assert (logits.grad[~targets.positive] > 0).all()
    assert (logits.grad[targets.positive][:, 0] < 0).all()
    assert (logits.grad[targets.positive][:, 1] > 0).all()


def test_a_separate_objectness_leaves_the_classes_of_empty_positions_alone():
    config = replace(CONFIG, objectness="separate")
    output, targets, centres = batch_of(1, 1, separate=True)
    everywhere = torch.ones(1, 6, dtype=torch.bool)
    logits, object_logits = (output[i].clone().requires_grad_() for i in (0, 2))
    output = output._replace(class_logits=logits, objectness=object_logits, mask=everywhere)
    targets = targets._replace(labelled=everywhere)
    losses = detection_loss(output, targets, centres, config)
    losses.total.backward()
    assert losses.objectness > 0
    assert (logits.grad[~targets.positive] == 0).all()
    assert ((object_logits.grad < 0) == targets.positive).all()


@pytest.mark.parametrize("separate", [False, True])
def test_masked_and_unlabelled_positions_teach_nothing(separate):
    config = replace(CONFIG, objectness="separate" if separate else "max_class")
    output, targets, centres = batch_of(2, 4, separate)
    logits, distances = (output[i].clone().requires_grad_() for i in (0, 1))
    output = output._replace(class_logits=logits, distances=distances)
    detection_loss(output, targets, centres, config).total.backward()
    silent = ~(targets.labelled & output.mask)
    assert silent.any() and (logits.grad[silent] == 0).all()
    silent = ~(targets.positive & output.mask)
    assert (distances.grad[silent] == 0).all() and (distances.grad[~silent] != 0).any()


def test_without_positives_the_loss_is_finite():
    output, targets, centres = batch_of(2, 2)
    none = torch.zeros_like(targets.positive)
    targets = Targets(torch.zeros_like(targets.classes), targets.intervals, none, targets.labelled)
    losses = detection_loss(output, targets, centres, CONFIG)
    assert losses.intervals == 0 and losses.total.isfinite() and losses.total > 0


def test_targets_of_another_config_are_refused():
    output, targets, centres = batch_of(2, 2)
    with pytest.raises(InputError, match="different configs"):
        detection_loss(output, one(targets, 0), centres, CONFIG)

import math

import pytest
from event_tables import CLASSES, FPS, rows, table, videos
from hypothesis import given, settings

from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate

torch = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")

from fedet.evaluation.torch_metrics import Detection, Recognition, Spotting  # noqa: E402

METRICS = (Spotting, Recognition, Detection)


def batches(predictions, truths):
    """The rows by video, as the metrics take them."""
    made = []
    for place in videos().itertuples():
        sides = []
        for side in (predictions, truths):
            ours = [r for r in side if (r["subject"], r["video"]) == (place.subject, place.video)]
            entry = {
                "intervals": torch.tensor([[r["onset"], r["offset"]] for r in ours]),
                "labels": [-1 if r["emotion"] is None else CLASSES.index(r["emotion"]) for r in ours],
                "micro": torch.tensor([r["type"] == "micro" for r in ours]),
                "scores": torch.tensor([r.get("score", 0.0) for r in ours]),
            }
            sides.append(entry)
        made.append(sides)
    return made


@settings(max_examples=10)
@given(rows(predicted=True), rows(predicted=False))
def test_each_metric_gives_the_figures_of_the_evaluation(predictions, truths):
    expected = evaluate(table(predictions), table(truths), videos(), n_resamples=0)
    for kind in METRICS:
        metric = kind(fps=FPS)
        for video, truth in batches(predictions, truths):
            metric.update([video], [truth])
        for name, value in metric.compute().items():
            wanted = expected.value(name)
            same = math.isnan(value) if math.isnan(wanted) else value == pytest.approx(wanted)
            assert same, name


def example(shift=0):
    truth = {"intervals": [[10, 30], [50, 60]], "labels": [0, 1]}
    video = {"intervals": [[10 + shift, 30], [80, 90]], "labels": [0, 1], "scores": [0.9, 0.4]}
    return [video], [truth]


@pytest.mark.parametrize("kind", METRICS)
def test_state_is_kept_joined_and_reset(kind):
    whole, first, second = kind(), kind(), kind()
    for metric in (whole, first):
        metric.update(*example())
    for metric in (whole, second):
        metric.update(*example(shift=3))
        metric.update([{"intervals": [], "labels": [], "scores": []}], [example()[1][0]])
    first.merge_state(second)
    joined, expected = first.compute(), whole.compute()
    assert {k: float(v) for k, v in joined.items()} == {k: float(v) for k, v in expected.items()}
    whole.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert all(math.isnan(v) for v in whole.compute().values())
    whole.update(*example())
    alone = kind()
    alone.update(*example())
    assert float(whole.compute()[kind.names[0]]) == float(alone.compute()[kind.names[0]])


@pytest.mark.parametrize("kind", METRICS)
def test_two_processes_are_one_with_the_videos_of_both(kind):
    both = {"dist_sync_fn": lambda state, group: [state, state]}
    metric, alone = kind(**both, distributed_available_fn=lambda: True), kind()
    metric.update(*example(shift=3))
    for _ in range(2):
        alone.update(*example(shift=3))
    joined, expected = metric.compute(), alone.compute()
    assert {k: float(v) for k, v in joined.items()} == {k: float(v) for k, v in expected.items()}


def test_videos_are_kept_apart():
    metric = Spotting()
    silent = {"intervals": [], "labels": []}
    metric.update(example()[0] * 2, [example()[1][0], silent])
    values = metric.compute()
    assert values["spotting_precision"] == 0.25 and values["spotting_recall"] == 0.5


def test_inputs_that_do_not_fit_are_refused():
    video, truth = example()
    with pytest.raises(InputError, match="2 videos predicted, 1 annotated"):
        Spotting().update(video * 2, truth)
    with pytest.raises(InputError, match="onset <= offset"):
        Spotting().update([video[0] | {"intervals": [[30, 10], [0, 1]]}], truth)
    with pytest.raises(InputError, match="as many labels"):
        Spotting().update([video[0] | {"labels": [1]}], truth)

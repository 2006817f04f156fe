from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ramp_videos import CONFIG, people

from fedet.detection import Inputs
from fedet.errors import InputError
from fedet.experiments.comparison import evaluate_pooled
from fedet.experiments.methods import frame_wise as fw
from fedet.experiments.methods import two_stage as ts
from fedet.experiments.methods.base import LOW_SCORE, name_intervals, to_table
from fedet.experiments.methods.fitting import fit_network, in_batches
from fedet.experiments.methods.frame_wise import ConvNet, curves_of
from fedet.experiments.methods.paper import ADDED, of_part, paper_inputs, without
from fedet.experiments.methods.registry import METHODS, method_named
from fedet.intervals import EMOTIONS, empty_table
from fedet.model import FEDN, FEDNConfig
from fedet.training.config import Augmentation, TrainConfig
from fedet.windows import VideoFeatures

QUICK = TrainConfig(epochs=2, batch_size=4, least_steps=1)
FEW = people(0, 3, videos=1, n_frames=300)
OTHERS = people(50, 2, videos=1, n_frames=300)


# --- the shared loop


def test_the_loop_learns_keeps_the_best_epoch_and_stops():
    torch.manual_seed(3)
    network = torch.nn.Linear(2, 1)
    x = torch.randn(64, 2)
    y = x @ torch.tensor([[2.0], [-1.0]])
    judged = []

    def judge(model):
        judged.append(-torch.nn.functional.mse_loss(model(x), y).item())
        return {"monitored": judged[-1] if len(judged) < 20 else -100.0}

    config = TrainConfig(epochs=60, learning_rate=0.1, weight_decay=0.0, ema=0.5, patience=5)
    fit = fit_network(
        network, lambda e: [(x[i::4], y[i::4]) for i in range(4)],
        lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]), batch[1]), judge, config,
    )  # fmt: skip
    best = int(np.argmax(judged[:19])) + 1
    assert fit.best_epoch == best and len(fit.history) == best + 5
    assert torch.nn.functional.mse_loss(fit.network(x), y).item() == pytest.approx(
        -max(judged[:19]), rel=1e-4
    )
    assert best > 1 and max(judged[:19]) > 0.1 * judged[0]  # a tenth of the first loss
    assert not fit.network.training


@given(st.integers(1, 40), st.integers(1, 12))
def test_batches_are_whole_and_repeat_nothing(n, size):
    batches = in_batches(list(range(n)), size)
    flat = [i for batch in batches for i in batch]
    assert len(set(flat)) == len(flat) > n - size and {len(b) for b in batches} == {min(n, size)}


# --- names of intervals


def test_names_share_a_strength():
    intervals, classes = np.array([[0.0, 5.0], [9.0, 12.0]]), np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    ends, scores, codes = name_intervals(intervals, np.array([0.5, 1.0]), classes, "strength")
    assert ends.shape == (6, 2) and codes.tolist() == [0, 1, 2] * 2
    assert scores == pytest.approx([0.5, 0.25, 0.5 / 6, 1 / 3, 1 / 3, 1.0])
    assert name_intervals(intervals, np.array([0.5, 1.0]), classes, "product")[1] == pytest.approx(
        [0.3, 0.15, 0.05, 0.2, 0.2, 0.6]
    )
    with pytest.raises(InputError, match="rule='sum'"):
        name_intervals(intervals, np.ones(2), classes, "sum")


# --- frame by frame


def slow_targets(intervals, classes, mask):
    target = []
    for t in range(len(mask)):
        over = [(b - a, i) for i, (a, b) in enumerate(intervals) if a <= t + 0.5 < b]
        value = 0
        if over:
            value = classes[min(over)[1]] + 1 or fw.IGNORED
        target.append(value if mask[t] else fw.IGNORED)
    return target


@given(st.integers(0, 10_000))
def test_frames_learn_the_shortest_event_over_them(seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(-10, 50, 6)
    length = rng.permutation(np.arange(6) * 5.3 + 3)  # all different: no ties
    intervals, classes = np.stack([start, start + length], 1), rng.integers(-1, 4, 6)
    mask = rng.random(60) > 0.2
    assert fw.frame_targets(intervals, classes, mask).tolist() == slow_targets(intervals, classes, mask)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_the_stretches_that_hold(on):
    found = fw.true_runs(np.array(on, dtype=bool))
    again = np.zeros(len(on), dtype=bool)
    for a, b in found:
        assert not again[max(a - 1, 0) : b + 1].any()  # never beside another run
        again[a:b] = True
    assert again.tolist() == on


def curves(*events, n=120):
    """Probabilities of nothing and four emotions; events: start, end, emotion, height."""
    p = np.zeros((n, 5))
    p[:, 0] = 1
    for a, b, emotion, height in events:
        p[a:b, emotion + 1] += height
        p[a:b, 0] -= height
    return p


def test_a_level_cuts_where_the_curve_crosses_it():
    p = curves((10, 30, 2, 0.8), (50, 60, 0, 0.45))
    found = fw.candidates_of(p, 0.0, (0.6,), "strength")
    assert {tuple(i) for i in found.intervals} == {(10, 30)}
    best = found.scores.argmax()
    assert found.classes[best] == 2 and found.scores[best] == pytest.approx(0.8)
    found = fw.candidates_of(p, 0.0, fw.ALL_LEVELS, "product")
    assert {tuple(i) for i in found.intervals} == {(10, 30), (50, 60)}


def test_smoothing_closes_a_gap_and_keeps_the_mass():
    p = curves((10, 20, 1, 0.9), (22, 32, 1, 0.9))
    raw, closed = (fw.candidates_of(p, width, (0.5,), "strength") for width in (0.0, 2.0))
    assert len(np.unique(raw.intervals, axis=0)) == 2 and len(np.unique(closed.intervals, axis=0)) == 1
    smooth = fw.smooth(p, 3.0)
    assert smooth.sum(0) == pytest.approx(p.sum(0), abs=0.01) and smooth.sum(1) == pytest.approx(np.ones(120))


def test_hidden_frames_show_nothing():
    record = FEW[0]
    mask = record.mask.copy()
    mask[40:60] = False
    vectors = record.vectors.copy()
    vectors[40:60] = np.nan
    hidden = VideoFeatures(record.subject, record.video, 30.0, vectors, mask, record.events)
    found = fw.curves_of(fw.FrameNet(CONFIG).eval(), hidden)
    assert np.isfinite(found).all() and (found[40:60, 0] == 1).all() and (found[:40, 0] < 1).all()


# --- two stages


def test_an_interval_is_stretched_whatever_its_length():
    record = FEW[0]
    ramp = np.tile(np.arange(300.0)[:, None], (1, 16)).astype(np.float32)
    record = replace(record, vectors=ramp)
    for start, end in ((100, 108), (100, 180), (100.4, 131.2)):
        x, mask = ts.resample_interval(record, start, end)
        margin = ts.MARGIN * (end - start)
        expected = np.linspace(start - margin, end + margin, 2 * ts.LENGTH + 1)[1::2]
        assert mask.all() and np.abs(x[:, 0] + 0.5 - expected).max() <= 0.5 + 1e-6
    x, mask = ts.resample_interval(record, 290, 310)
    assert 0 < mask.sum() < ts.LENGTH and not x[~mask].any()


def test_each_emotion_of_an_interval_is_told_and_only_one_is_loud():
    found = to_table(FEW[0], np.array([[10, 30], [60, 70]]), np.array([0.8, 0.3]), ["expression"] * 2, "x")
    classes = np.array([[0.5, 0.4, 0.05, 0.05], [0.25, 0.3, 0.25, 0.2]])
    table = ts.with_emotions(FEW[0], found, classes, "strength", CONFIG, "two-stage")
    loud = table.sort_values("score", ascending=False).head(2)
    assert loud["emotion"].tolist() == [EMOTIONS[0], EMOTIONS[1]]
    assert loud["score"].tolist() == pytest.approx([0.8, 0.3])
    quiet = table.drop(loud.index)
    assert len(quiet) and quiet["score"].between(LOW_SCORE, 0.05).all()


# --- all of them


@pytest.mark.parametrize("name", ["fedn", "two-stage", "cnn", "frame-wise"])
def test_a_method_is_a_seed_and_a_canonical_table(name):
    method = method_named(name, QUICK, CONFIG)
    assert method.name == name in METHODS
    one, again = (method.fit(FEW, OTHERS, seed=4) for _ in range(2))
    table = one.predict(OTHERS[0])
    pd.testing.assert_frame_equal(table, again.predict(OTHERS[0]), check_exact=True)
    assert one.threshold == again.threshold and 0 <= one.threshold <= 1
    assert (table["score"] >= LOW_SCORE).all() and (table["offset"] >= table["onset"]).all()
    assert set(table["emotion"]) <= set(EMOTIONS) and set(table["video"]) == {OTHERS[0].video}


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="method 'svm': one of fedn"):
        method_named("svm")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("two-stage", marks=pytest.mark.slow),
        pytest.param("cnn", marks=pytest.mark.slow),
        "frame-wise",
    ],
)
def test_a_rival_learns(name):
    training = TrainConfig(epochs=25, batch_size=8, learning_rate=3e-3, patience=0)
    fitted = method_named(name, training, CONFIG).fit(people(0, 6), people(20, 2), seed=0)
    unseen = people(30, 3, videos=1)
    table = pd.concat([fitted.predict(r) for r in unseen]).assign(threshold=fitted.threshold)
    videos = pd.DataFrame([(r.subject, r.video, 30.0) for r in unseen], columns=["subject", "video", "fps"])
    result = evaluate_pooled(table, pd.concat([r.events for r in unseen]), videos, n_resamples=0)
    assert result.value("spotting_f1") > 0.6 and result.value("accuracy") > 0.8


def test_the_cnn_sees_around_a_frame_and_gives_the_same_in_parts_as_at_once(monkeypatch):
    config = FEDNConfig(input_features=5, channels=16, attention_heads=2, motion=3)
    network = ConvNet(config).eval()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(900, 5)).astype(np.float32)
    mask = np.ones(900, bool)
    mask[300:320] = False
    record = VideoFeatures("s", "v", 30.0, vectors, mask, empty_table())
    whole = curves_of(network, record)
    changed = vectors.copy()
    changed[450] += 5
    moved = np.abs(curves_of(network, replace(record, vectors=changed)) - whole).max(1) > 1e-9
    assert moved[450 - 100] and moved[450 + 100] and not moved[: 450 - network.reach].any()
    junk = np.where(mask[:, None], vectors, 99).astype(np.float32)
    np.testing.assert_allclose(curves_of(network, replace(record, vectors=junk)), whole)
    monkeypatch.setattr("fedet.experiments.methods.frame_wise.FRAMES_AT_ONCE", 250)
    np.testing.assert_allclose(curves_of(network, record), whole, atol=1e-5)


def test_the_cnn_has_about_as_many_weights_as_fedn():
    config = FEDNConfig(input_features=23, motion=3)
    sizes = [sum(p.numel() for p in made(config).parameters()) for made in (ConvNet, FEDN)]
    assert 0.8 < sizes[0] / sizes[1] < 1.25


def test_the_paper_variant_has_nothing_of_ours():
    ours = FEDNConfig(input_features=23, motion=3, scales=(1, 2, 4), first_stride=2, segment=16)
    method = method_named("fedn-paper", TrainConfig(epochs=3), ours)
    paper = method.config
    assert (paper.input_features, paper.motion, paper.scales, paper.focal_gamma) == (512, 0, (1,), 0.0)
    assert paper.cross_class_sigma is None and paper.first_stride == 4
    assert method.training.augmentation == Augmentation.none() and method.training.epochs == 3
    assert paper.segment == 16  # the paper leaves it open
    read = paper_inputs(Inputs(reads="readouts", reference="rest", signals=()))
    assert (read.reads, read.reference) == ("vectors", "none")
    for name in ADDED:  # one at a time: only its own fields differ
        one = without(name, TrainConfig(), ours, 23)
        fields = {k for k, v in vars(one.config).items() if v != getattr(ours, k)}
        assert fields == set(of_part("model", name))
        assert (one.training != TrainConfig()) == bool(of_part("training", name))


def test_actionformer_needs_its_package_and_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "actionformer.modeling", None)
    with pytest.raises(InputError, match="pip install --no-deps actionformer"):
        method_named("actionformer", QUICK, CONFIG).fit(FEW, OTHERS, 0)
    long = method_named("actionformer-long", QUICK)
    assert long.training.epochs == 35 and long.name == "actionformer-long"


def test_actionformer_learns_where_it_is_installed():
    pytest.importorskip("actionformer.modeling", exc_type=ImportError)
    training = TrainConfig(epochs=4, batch_size=4, learning_rate=3e-3, patience=0)
    train, validation = people(0, 6, videos=1, n_frames=600), people(50, 3, videos=1, n_frames=600)
    fitted = method_named("actionformer", training, CONFIG).fit(train, validation, 0)
    assert fitted.history["spotting_f1"].max() > 0.7
    table = fitted.predict(validation[0])
    assert len(table) and (table["offset"] < 600).all() and (table["onset"] >= 0).all()

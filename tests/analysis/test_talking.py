"""Talking as a confounder, and the ablation of speech activity."""

import numpy as np
import pandas as pd
import pytest
import torch

from fedet.analysis import talking
from fedet.analysis.talking import FIGURES, ablate, alarms_by_subject, rates, talking_frames
from fedet.datasets.dataset import Dataset, read_dataset
from fedet.detection import load_detector
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate
from fedet.intervals import empty_table
from fedet.model import FEDN, FEDNConfig
from fedet.postprocess import detect_intervals
from fedet.synthetic.generator import SynthConfig, parse_confounders, synthesize
from fedet.training.config import TrainConfig
from fedet.training.records import widen_input
from fedet.windows import VideoFeatures


def table(rows, score=True) -> pd.DataFrame:
    columns = ["subject", "video", "onset", "offset", "emotion", "fps"] + ["score"] * score
    return pd.DataFrame([row + ((0.9,) if score else ()) for row in rows], columns=columns)


@pytest.fixture
def dataset(tmp_path):
    videos = pd.DataFrame(
        {"subject": ["a", "b"], "video": ["a1", "b1"], "fps": [30.0, 30.0], "n_frames": [1800, 1800]}
    )
    truth = table([("a", "a1", 100, 140, "positive", 30.0)], score=False)
    truth = pd.concat([empty_table(), truth])[empty_table().columns].astype(empty_table().dtypes)
    return Dataset("own", tmp_path, videos, truth, pd.DataFrame(), "drop")


def test_false_alarms_fall_where_the_mouth_was(dataset):
    talking = {name: np.zeros(1800, bool) for name in ("a1", "b1")}
    talking["a1"][600:1200] = True
    found = table([
        ("a", "a1", 100, 140, "positive", 30.0), ("a", "a1", 700, 740, "others", 30.0),
        ("a", "a1", 580, 605, "others", 30.0), ("b", "b1", 5, 30, "negative", 30.0),
    ])  # fmt: skip
    counts = alarms_by_subject(found, dataset, talking)
    assert counts.loc["a", ["tp", "alarms_talking", "alarms_else"]].tolist() == [1, 1, 1]
    assert counts.loc["b", ["tp", "alarms_talking", "alarms_else"]].tolist() == [0, 0, 1]
    assert counts["minutes_talking"].tolist() == pytest.approx([1 / 3, 0])
    figures, samples = rates(counts, n_resamples=40)
    assert figures.loc["alarms_talking", "value"] == pytest.approx(3)
    assert figures.loc["alarms_else", "value"] == pytest.approx(2 / (5 / 3))
    plain = evaluate(found, dataset.annotations, dataset.videos, n_resamples=0)
    assert figures.loc["f1", "value"] == pytest.approx(plain.value("spotting_f1"))
    assert list(samples) == FIGURES and len(samples["f1"]) == 40


@pytest.mark.parametrize("motion", [0, 3])
def test_new_channels_change_nothing_until_they_are_learned(motion):
    config = FEDNConfig(
        input_features=6, channels=16, window=64, window_stride=32, pyramid_levels=3, motion=motion
    )
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 9)).astype(np.float32)
    vectors[:, 7] = 0  # a channel that never moves
    record = VideoFeatures("a", "a1", 30.0, vectors, np.ones(200, bool), empty_table())
    model = FEDN(config).eval()
    wide = widen_input(model, [record], 3)
    assert wide.config.input_features == 9
    one = detect_intervals(model, config, vectors[:, :6], record.mask)
    two = detect_intervals(wide, wide.config, vectors, record.mask)
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-4)
    assert (wide.embedding.scale[6:] > 0).all()


@pytest.mark.slow
def test_the_whole_ablation_runs_and_its_arms_share_everything_else(tmp_path, monkeypatch):
    config = SynthConfig(
        subjects=2, seconds=6, seed=12, sound=True, size=96, silent_share=0, events_per_minute=24,
        confounders=parse_confounders("talking=5"),
    )  # fmt: skip
    made = read_dataset(synthesize(tmp_path / "set", config, jobs=1, progress=False))
    frames = talking_frames(made)
    assert all(len(f) == 180 for f in frames.values()) and sum(f.sum() for f in frames.values()) > 30
    monkeypatch.setattr(talking, "LEARNING", TrainConfig(learning_rate=1e-6, least_steps=1))
    figures, differences = ablate(made, load_detector(), cache=tmp_path / "v", epochs=1, n_resamples=20)
    assert list(dict.fromkeys(figures.index.get_level_values(0))) == ["as it is", "without", "with"]
    assert list(differences.index) == FIGURES
    # Hardly any learning: new channels that start at zero must not have changed a thing.
    assert figures.loc[("with", "f1"), "value"] == pytest.approx(figures.loc[("without", "f1"), "value"])
    assert figures.loc[("with", "f1"), "value"] == figures.loc[("as it is", "f1"), "value"]
    alone = Dataset(**(made.__dict__ | {"videos": made.videos.iloc[:1]}))
    with pytest.raises(InputError, match="one subject"):
        ablate(alone, load_detector())


def test_only_what_reads_the_new_channels_is_learned():
    config = FEDNConfig(
        input_features=8, channels=16, window=64, window_stride=32, pyramid_levels=3, motion=3
    )
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 8)).astype(np.float32)
    names = ["speech", "speech_present"]
    quiet = talking._zero_signals(vectors, names)
    assert (quiet[:, 6] == 0).all() and (quiet[:, 7] == vectors[:, 7]).all()
    assert (quiet[:, :6] == vectors[:, :6]).all() and (vectors[:, 6] != 0).all()
    event = table([("a", "a1", 50, 90, "positive", 30.0)], score=False)
    event = pd.concat([empty_table(), event])[empty_table().columns].astype(empty_table().dtypes)
    for given in (vectors, quiet):
        record = VideoFeatures("a", "a1", 30.0, given, np.ones(200, bool), event)
        model = FEDN(config)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        learning = TrainConfig(epochs=2, batch_size=2, least_steps=2, ema=0)
        after = talking._train_new_channels(model, [record], 2, learning).state_dict()
        changed = [k for k in before if not torch.equal(before[k], after[k])]
        assert changed == ["embedding.project.weight"]
        columns = (before[changed[0]] != after[changed[0]]).any(0).nonzero().flatten().tolist()
        assert columns == [6, 7, 14, 15]

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ramp_videos import CONFIG, C, people, ramp_video

from fedet.errors import InputError
from fedet.evaluation.alignment import align
from fedet.intervals import COLUMNS
from fedet.matching import match, overlap_pairs
from fedet.metrics import Ranking, f1, rank_predictions, spotting_counts
from fedet.model import FEDN
from fedet.postprocess import predict
from fedet.training.checkpoints import fingerprint, read_checkpoint, remove_checkpoint, write_checkpoint
from fedet.training.config import Augmentation, TrainConfig
from fedet.training.model_selection import choose_threshold, hold_out, validation_metrics
from fedet.training.sampling import (
    Draw,
    draw_blend,
    draw_epoch,
    event_arrays,
    feature_scale,
    frame_weights,
    interpolate,
    positives_per_window,
    training_window,
    vary,
)
from fedet.training.trainer import learning_rate, torch_seed
from fedet.training.training import train
from fedet.windows import VideoFeatures, cut_window

QUICK = TrainConfig(epochs=3, batch_size=4, least_steps=1, seed=5)
CPU = {"accelerator": "cpu", "progress": False}
FEW = people(0, 3, n_frames=300)
OTHERS = people(50, 2, videos=1, n_frames=300)


def weights_of(result) -> dict[str, torch.Tensor]:
    return result.model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# --- it learns


def test_it_learns_ramps_and_finds_them_in_people_it_never_saw():
    config = TrainConfig(epochs=25, batch_size=8, learning_rate=3e-3, least_steps=1, seed=1)
    result = train(people(0, 8), CONFIG, config, validation=people(20, 2), **CPU)
    unseen = people(30, 4)
    tables = [predict(result.model, result.model.config, record) for record in unseen]
    found = pd.concat(tables)
    found = found[found["score"] >= result.model.config.default_threshold]
    videos = pd.DataFrame([(r.subject, r.video) for r in unseen], columns=["subject", "video"])
    aligned = align(found, pd.concat([r.events for r in unseen]), videos)
    pairs = overlap_pairs(aligned.predictions, aligned.truths, 0.5)
    overall, macro, micro = f1(*spotting_counts(aligned, match(pairs)).sum(0).T)
    assert overall > 0.9 and macro > 0.9 and micro > 0.85
    assert validation_metrics(result.model, result.model.config, unseen)["detection_map"] > 0.85
    losses = result.history["loss_total"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]


# --- the same again


def test_a_seed_is_a_run_and_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = train(FEW, CONFIG, QUICK, **CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    assert same(weights_of(first), weights_of(train(FEW, CONFIG, QUICK, **CPU)))
    other = train(FEW, CONFIG, replace(QUICK, seed=6), **CPU)
    assert not same(weights_of(first), weights_of(other))


@pytest.mark.parametrize("kills", [(1,), (4, 8), (7, 7, 7)])
def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path, kills):
    whole = train(FEW, CONFIG, QUICK, validation=OTHERS, out=tmp_path / "whole", **CPU)
    assert whole.finished and len(whole.history) == 3
    for max_steps in kills:
        cut_off = train(FEW, CONFIG, QUICK, validation=OTHERS, out=tmp_path / "a", max_steps=max_steps, **CPU)
        assert not cut_off.finished
        assert not (tmp_path / "a" / "model.safetensors").exists()
    resumed = train(FEW, CONFIG, QUICK, validation=OTHERS, out=tmp_path / "a", **CPU)
    assert resumed.finished and resumed.best_epoch == whole.best_epoch
    assert same(weights_of(resumed), weights_of(whole))
    assert resumed.model.config == whole.model.config
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    for name in ("config.json", "model.safetensors", "history.csv", "training.json"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "a"))
        assert one == other, name
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "config.json",
        "history.csv",
        "model.safetensors",
        "training.json",
    ]


def test_a_finished_run_is_read_and_not_run_again(tmp_path):
    first = train(FEW, CONFIG, QUICK, validation=OTHERS, out=tmp_path, **CPU)
    again = train(FEW, CONFIG, QUICK, validation=OTHERS, out=tmp_path, max_steps=0, **CPU)
    assert again.finished and again.best_epoch == first.best_epoch
    assert same(weights_of(first), weights_of(again))
    assert again.model.config == first.model.config == FEDN.from_pretrained(tmp_path).config
    pd.testing.assert_frame_equal(again.history, first.history, check_exact=True)


@pytest.mark.parametrize(
    "change, word",
    [
        (dict(train_config=replace(QUICK, epochs=4)), "epochs 3, now 4"),
        (dict(config=replace(CONFIG, dropout=0.2)), "dropout 0.1, now 0.2"),
        (dict(records=FEW[1:]), "other records"),
        (dict(validation=OTHERS[1:]), "other validation"),
    ],
)
@pytest.mark.parametrize("max_steps", [6, None])
def test_a_folder_of_another_run_is_refused(tmp_path, change, word, max_steps):
    call = dict(records=FEW, config=CONFIG, train_config=QUICK, validation=OTHERS)
    train(**call, out=tmp_path, max_steps=max_steps, **CPU)
    with pytest.raises(InputError, match=word):
        train(**call | change, out=tmp_path, **CPU)


@pytest.mark.slow
def test_two_processes_do_the_work_of_one():
    config = replace(CONFIG, dropout=0.0)
    one = train(FEW, config, QUICK, validation=OTHERS, **CPU)
    two = train(FEW, config, QUICK, validation=OTHERS, devices=2, strategy="ddp_spawn", **CPU)
    for name in ("epoch", "learning_rate", "loss_total", "loss_intervals"):
        assert two.history[name].to_numpy() == pytest.approx(one.history[name].to_numpy(), rel=1e-3)
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(two)[name], value, rtol=1e-2, atol=1e-3)


def test_mixed_precision_trains_too():
    exact = train(FEW, CONFIG, QUICK, **CPU).history["loss_total"]
    mixed = train(FEW, CONFIG, replace(QUICK, precision="bf16-mixed"), **CPU)
    assert mixed.history["loss_total"].to_numpy() == pytest.approx(exact.to_numpy(), rel=0.05)
    assert {value.dtype for value in weights_of(mixed).values()} == {torch.float32}


# --- what validation decides


def test_training_stops_when_validation_no_longer_improves():
    config = TrainConfig(epochs=30, batch_size=4, learning_rate=1e-7, patience=2)
    result = train(FEW, CONFIG, config, validation=OTHERS, **CPU)
    values = result.history["monitored"].to_numpy()
    assert len(values) < 30
    assert result.best_epoch == 1 + values.argmax() == len(values) - 2


def test_the_chosen_epoch_and_threshold_are_those_of_the_weights_kept():
    config = replace(QUICK, epochs=6, learning_rate=3e-3)
    result = train(FEW, CONFIG, config, validation=OTHERS, **CPU)
    row = result.history.set_index("epoch").loc[result.best_epoch]
    assert row["monitored"] == result.history["monitored"].max()
    assert result.model.config.default_threshold == row["threshold"]
    again = validation_metrics(result.model, CONFIG, OTHERS)
    assert again == pytest.approx(row[list(again)].to_dict())


def test_without_validation_the_last_epoch_counts():
    result = train(FEW, CONFIG, QUICK, **CPU)
    assert result.best_epoch == 3 and "monitored" not in result.history
    assert result.model.config.default_threshold == CONFIG.default_threshold


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10), st.booleans())
def test_the_threshold_is_the_best_that_trying_all_would_find(seed, n, ties):
    rng = np.random.default_rng(seed)
    onset = rng.integers(0, 200, n)
    scores = rng.choice([0.2, 0.4, 0.6], n) if ties else rng.uniform(0.1, 1, n)
    table = pd.DataFrame(
        dict(subject="s", video="v", fps=30.0, onset=onset, offset=onset + 12, score=scores)
    ).assign(emotion="positive")
    truth = ramp_video("s", "v", seed, n_frames=250).events
    aligned = align(table, truth)
    threshold, best = choose_threshold(
        rank_predictions(aligned, match(overlap_pairs(aligned.predictions, aligned.truths, 0.5))), 0.5
    )

    def f1_at(threshold: float) -> float:
        kept = align(table[table["score"] >= threshold], truth)
        counts = spotting_counts(kept, match(overlap_pairs(kept.predictions, kept.truths, 0.5)))
        return float(f1(*counts.sum(0)[0]))

    tried = [f1_at(t) for t in (*scores, 0.999)]
    assert best == pytest.approx(max(tried))
    assert f1_at(threshold) == pytest.approx(best)


def test_no_prediction_leaves_the_threshold():
    nothing = Ranking(*(np.zeros(0) for _ in range(4)), np.array([3]))
    assert choose_threshold(nothing, 0.37) == (0.37, 0.0)


def test_held_out_subjects_are_whole_and_seeded():
    records = people(0, 10, n_frames=100)
    for share, n in ((0.2, 2), (0.01, 1), (0.99, 9)):
        kept, held = hold_out(records, share, seed=3)
        one, other = ({r.subject for r in part} for part in (kept, held))
        assert len(other) == n and len(one) == 10 - n and not one & other
        assert len(kept) + len(held) == len(records)
    subjects = [{r.subject for r in hold_out(records, 0.3, seed)[1]} for seed in (0, 0, 1, 2, 3)]
    assert subjects[0] == subjects[1] and any(s != subjects[0] for s in subjects[2:])
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="share"):
            hold_out(records, share)
    with pytest.raises(InputError, match="of 1 subjects"):
        hold_out(records[:2], 0.5)


def test_a_share_holds_subjects_out(tmp_path):
    result = train(FEW, CONFIG, QUICK, validation=0.34, **CPU)
    kept, held = hold_out(FEW, 0.34, QUICK.seed)
    explicit = train(kept, CONFIG, QUICK, validation=held, **CPU)
    assert same(weights_of(result), weights_of(explicit))


# --- windows at random


def test_every_epoch_has_as_many_windows_and_other_ones():
    records = people(0, 3, n_frames=700)
    epochs = [draw_epoch(records, 128, 1.0, 4, epoch) for epoch in range(40)]
    assert len({len(epoch) for epoch in epochs}) == 1
    assert epochs[0] == draw_epoch(records, 128, 1.0, 4, 0) != epochs[1]
    seen = np.zeros(700)
    for draws in epochs:
        for draw in draws:
            if draw.record == 0:
                seen[max(0, draw.start) : draw.start + 128] += 1
    assert seen.min() > 10 and seen.max() < 80  # 40 epochs, each frame about once in each
    assert {d.record for d in epochs[0]} == set(range(6))
    short = draw_epoch(people(0, 1, n_frames=100), 128, 1.0, 4, 0)
    assert all(-128 < draw.start < 100 for draw in short)


@pytest.mark.parametrize("least", [1, 20, 100])
def test_a_small_set_is_shown_more_often_and_evenly(least):
    records = people(0, 3, n_frames=700)  # 6 videos of 5 windows
    draws = draw_epoch(records, 128, 1.0, 4, 0, least)
    assert max(30, 0.9 * least) <= len(draws) <= max(30, 1.1 * least)
    each = np.bincount([draw.record for draw in draws], minlength=6)
    assert each.min() == each.max()
    assert len({draw.seed for draw in draws}) == len(draws)  # varied anew each time


def counted(n: int, *rows) -> VideoFeatures:
    """Feature 0 is the time of each frame's middle, so that a window tells where it is from."""
    vectors = np.zeros((n, C), dtype=np.float32)
    vectors[:, 0] = np.arange(n) + 0.5
    table = pd.DataFrame(rows, columns=["onset", "offset"]).reindex(columns=COLUMNS)
    return VideoFeatures("s", "v", 30.0, vectors, np.ones(n, dtype=bool), table.assign(emotion="others"))


def stretch(record: VideoFeatures, start: int, speed: float, window: int) -> tuple[np.ndarray, np.ndarray]:
    """x (window, C) and mask (window,) of a window in which time runs `speed` times as fast."""
    frames, weights, mask = frame_weights(record.mask, start, speed, window)
    return interpolate(record.vectors, frames, weights) * mask[:, None], mask


@pytest.mark.parametrize("start", [-30, 0, 57, 250])
def test_at_normal_speed_a_window_is_a_cut(start):
    record = ramp_video("s", "v", 3, n_frames=300)
    record.mask[100:110] = False
    x, mask = stretch(record, start, 1.0, 128)
    expected, seen = cut_window(record.vectors, record.mask, start, 128)
    assert np.array_equal(mask, seen)
    assert np.array_equal(x, expected * seen[:, None])


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
@pytest.mark.parametrize("start", [-20, 13, 150])
def test_time_is_stretched_about_the_first_frame(speed, start):
    record = counted(300)
    x, mask = stretch(record, start, speed, 128)
    expected = start + (np.arange(128) + 0.5) * speed
    assert np.array_equal(mask, (expected >= 0.5) & (expected <= 299.5))
    assert x[mask, 0] == pytest.approx(expected[mask], abs=1e-3)


def test_a_masked_frame_stays_masked_at_any_speed():
    record = counted(300)
    record.mask[60:70] = False
    record.vectors[60:70] = np.nan
    for speed in (0.8, 0.93, 1.25):
        x, mask = stretch(record, 0, speed, 200)
        assert np.isfinite(x).all() and not x[~mask].any()
        source = (np.arange(200) + 0.5) * speed
        assert not mask[(source > 60) & (source < 70)].any()
        assert mask[(source > 1) & (source < 59)].all()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("reverse", [0.0, 1.0])
def test_targets_move_with_the_frames(seed, reverse):
    record = counted(450, (150, 169), (230, 260))
    augmentation = replace(Augmentation.none(), speed=1.25, reverse=reverse)
    config = replace(CONFIG, window=256, window_stride=128)
    x, mask, (_, intervals, positive, _) = training_window(
        record,
        event_arrays([record], config)[0],
        Draw(0, 90, (seed, 1)),
        np.ones(C, np.float32),
        config,
        augmentation,
    )
    assert mask.all()
    middles = np.arange(256) + 0.5
    times = np.interp(intervals[positive].ravel(), middles, x[:, 0]).reshape(-1, 2)
    times.sort(axis=1)
    assert {tuple(t) for t in np.rint(times)} == {(150, 170), (230, 261)}


def test_a_draw_is_varied_by_its_own_seed_only():
    record = ramp_video("s", "v", 3)
    scale, (events,) = feature_scale([record]), event_arrays([record], CONFIG)
    one, again, other = (
        training_window(record, events, Draw(0, 50, (1, 2, seed)), scale, CONFIG, Augmentation())[0]
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    plain = training_window(record, events, Draw(0, 50, (0,)), scale, CONFIG, Augmentation.none())[0]
    assert np.array_equal(plain, stretch(record, 50, 1.0, 128)[0])


def test_a_blend_scales_each_feature_by_itself_and_mixes_them_by_their_scales():
    scale = np.array([1.0, 10.0, 0.1], np.float32)
    rng = np.random.default_rng
    assert draw_blend(scale, Augmentation(), rng(0)) is None
    own = draw_blend(scale, replace(Augmentation(), features=2.0), rng(0))
    gains = np.diag(own)
    assert np.array_equal(own, np.diag(gains)) and len(set(gains)) == 3
    assert (gains >= 0.5).all() and (gains <= 2).all()
    leaks = [draw_blend(scale, replace(Augmentation(), mixing=0.3), rng(seed)) for seed in range(400)]
    shares = np.std(leaks, axis=0) * scale[:, None] / scale  # a feature's usual size in units of the other's
    assert shares == pytest.approx(np.full((3, 3), 0.3 / np.sqrt(3)), rel=0.15)
    x = np.ones((4, 3), np.float32)
    varied = vary(x, scale, replace(Augmentation.none(), features=2.0), rng(0))
    assert varied == pytest.approx(x @ own)


def test_features_are_scaled_by_what_is_visible():
    record = counted(200)
    record.vectors[:] = np.random.default_rng(0).normal(size=(200, C)) * np.arange(1, C + 1)
    record.vectors[:, 3] = 0
    record.vectors[150:] = np.nan
    record.mask[150:] = False
    scale = feature_scale([record])
    expected = np.sqrt((record.vectors[:150].astype(float) ** 2).mean(0))
    assert np.delete(scale, 3) == pytest.approx(np.delete(expected, 3), rel=1e-5)
    assert 0 < scale[3] == scale.min()


# --- checkpoints


def test_a_checkpoint_is_replaced_whole_and_read_at_any_moment(tmp_path):
    folder = tmp_path / "checkpoint"
    assert read_checkpoint(folder) is None
    write_checkpoint(folder, {"epoch": 1, "value": float("-inf")}, model={"a": torch.ones(2)})
    write_checkpoint(folder, {"epoch": 2, "value": 0.1}, model={"a": torch.zeros(2)})
    values, tensors = read_checkpoint(folder)
    assert values == {"epoch": 2, "value": 0.1} and not tensors["model"]["a"].any()
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
    folder.rename(tmp_path / "checkpoint.old")  # killed between the two renames
    assert read_checkpoint(folder)[0]["epoch"] == 2
    write_checkpoint(folder, {"epoch": 3}, model={"a": torch.zeros(2)})
    assert read_checkpoint(folder)[0]["epoch"] == 3
    (folder / "state.json").write_text("{")
    with pytest.raises(InputError, match="delete it"):
        read_checkpoint(folder)
    remove_checkpoint(folder)
    assert read_checkpoint(folder) is None and not list(tmp_path.iterdir())


def test_the_fingerprint_sees_every_part_of_a_record():
    record = ramp_video("s", "v", 3)
    prints = {fingerprint([record])}
    vectors = record.vectors.copy()
    vectors[5, 5] += 1
    mask = record.mask.copy()
    mask[7] = False
    events = record.events.copy()
    events.loc[0, "emotion"] = "others" if events.loc[0, "emotion"] != "others" else "positive"
    changes = dict(vectors=vectors, mask=mask, events=events, subject="t", video="w")
    for name, value in changes.items():
        prints.add(fingerprint([replace(record, **{name: value})]))
    prints.add(fingerprint([record, record]))
    assert len(prints) == 2 + len(changes)
    assert fingerprint([ramp_video("s", "v", 3)]) in prints


# --- starting from a model, and settings


def test_training_starts_from_the_weights_it_is_given(tmp_path):
    first = train(FEW, CONFIG, QUICK, **CPU)
    first.model.save_pretrained(tmp_path / "m")
    still = replace(QUICK, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    for init in (first.model, tmp_path / "m", str(tmp_path / "m")):
        result = train(FEW, None, still, init=init, **CPU)
        for name, value in weights_of(result).items():
            torch.testing.assert_close(value, weights_of(first)[name], rtol=0, atol=1e-7)
    with pytest.raises(InputError, match="does not fit.*shape"):
        train(FEW, replace(CONFIG, channels=64), QUICK, init=tmp_path / "m", **CPU)


def test_the_learning_rate_warms_up_and_falls():
    config = TrainConfig(learning_rate=2.0, warmup=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and max(rates) == pytest.approx(2.0)
    assert np.argmax(rates) in (9, 10) and (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 0.03


def test_seeded_blocks_repeat_and_restore():
    state = torch.random.get_rng_state()
    draws = []
    for seed in ((1, 2), (1, 2), (1, 3)):
        with torch_seed(*seed):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def silent(record: VideoFeatures) -> VideoFeatures:
    return replace(record, events=record.events.iloc[:0])


@pytest.mark.parametrize(
    "call, word",
    [
        (dict(records=[]), "no training videos"),
        (dict(records=[silent(FEW[0])]), "no visible event"),
        (dict(validation=[]), "empty list"),
        (dict(validation=FEW[:1]), "'p0' is in training and in validation"),
        (dict(validation=[silent(OTHERS[0])]), "no event"),
        (dict(config=replace(CONFIG, input_features=7)), "vectors of 16 features"),
        (dict(config=replace(CONFIG, fps=25.0)), "30.0 frames a second"),
        (dict(config=replace(CONFIG, emotions=("joy", "anger"))), "none of joy, anger"),
    ],
)
def test_what_cannot_be_trained_is_refused(call, word):
    given = dict(records=FEW, config=CONFIG, train_config=QUICK) | call
    with pytest.raises(InputError, match=word):
        train(**given, **CPU)


@pytest.mark.parametrize(
    "values, word",
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"ema": 1.0}, "ema"),
        ({"monitor": "loss"}, "monitor"),
        ({"precision": "bf8"}, "precision is 'bf8'; it must be one of 32-true"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"batch_size": 10**9}, "batch_size is 1000000000; it must be between 1 and 1,000,000"),
    ],
)
def test_settings_are_checked(values, word):
    with pytest.raises(InputError, match=word):
        TrainConfig(**values)
    with pytest.raises(InputError, match="speed is 0.5; it must be between 1 and 100"):
        Augmentation(speed=0.5)


def test_a_spotter_trains_on_every_event():
    config = replace(CONFIG, emotions=("expression",))
    result = train(FEW, config, QUICK, validation=OTHERS, **CPU)
    assert result.history["detection_map"].isna().all()
    assert (result.history["monitored"] == result.history["spotting_f1"]).all()
    assert set(predict(result.model, result.model.config, FEW[0])["emotion"]) == {"expression"}


def test_positives_are_counted_by_hand():
    record = counted(200, (40, 51), (150, 161))  # 3 positions each, in two windows of 128
    assert positives_per_window([record], event_arrays([record], CONFIG), CONFIG) == 3.0

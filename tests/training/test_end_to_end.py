"""Tuning the face network with the detector, on pictures of nobody: coloured noise with a moving patch."""

import copy
import shutil
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch

import fedet
from fedet.datasets.dataset import read_dataset
from fedet.detection import Detector, Inputs, detect_in, load_detector
from fedet.errors import InputError
from fedet.experiments.cross_validation import cross_validate, prove_no_leak
from fedet.experiments.folds import Fold, LeakError, sealed
from fedet.experiments.jobs import Job, run_job
from fedet.experiments.methods.base import method_settings
from fedet.experiments.tuned_backbone import Tuned, backbone_arms
from fedet.faces.network import adapted_net, load_facenet, normalise, vectors_of
from fedet.intervals import COLUMNS, EMOTIONS, expression_type_of
from fedet.model import FEDN, FEDNConfig
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.training.config import Augmentation, CropAugmentation, TrainConfig, TuningConfig
from fedet.training.crop_augmentation import apply_camera, draw_camera
from fedet.training.end_to_end import EndToEnd, TuneRun, estimate_minutes, train_end_to_end
from fedet.training.face_crops import Crops, FaceVideo, face_videos_of, features_with, track_from_crops
from fedet.training.records import record_of, records_of
from fedet.training.training import train

INPUTS = Inputs(reads="both", context_s=1.0)
CONFIG = FEDNConfig(
    input_features=512 + 23, channels=16, attention_heads=2, window=64, window_stride=32, pyramid_levels=4
)
QUICK = TrainConfig(epochs=2, batch_size=2, least_steps=1, learning_rate=1e-3, seed=3)
ONE = replace(QUICK, epochs=1)
SMALL = TuningConfig(size=32, rest=3, chunk=16, appearance=CropAugmentation.none())
CPU = {"accelerator": "cpu", "progress": False}


@pytest.fixture(scope="module")
def net():
    return load_facenet()


def person(number: int, net, n: int = 100) -> FaceVideo:
    """A face of noise on which a patch grows and fades in every event; two tracks, and a gap."""
    rng = np.random.default_rng(number)
    face = rng.integers(60, 190, (32, 32, 3))
    images, rows = np.repeat(face[None], n, axis=0), []
    for start, emotion in ((12, 0), (55, 2)):
        length = int(rng.integers(16, 28))
        rise = 1 - np.abs(2 * (np.arange(length) + 0.5) / length - 1)
        part = (slice(4, 14), slice(8, 24)) if emotion else (slice(20, 30), slice(8, 24))
        images[start : start + length][:, *part] += (60 * rise[:, None, None, None]).astype(int)
        rows.append((f"p{number}", "v", 30.0, start, start + length - 1, EMOTIONS[emotion]))
    images = np.clip(images, 0, 255).astype(np.uint8)
    state, track = np.zeros(n, np.uint8), np.repeat([0, 1], [45, n - 45]).astype(np.int32)
    state[44:47], track[44:47] = 2, -1
    images[44:47] = 0
    table = pd.DataFrame(rows, columns=["subject", "video", "fps", "onset", "offset", "emotion"])
    table = table.reindex(columns=COLUMNS)
    table["expression_type"] = expression_type_of(table["onset"], table["offset"], 30.0)
    faces = track_from_crops(Crops(images, state, track, 30.0, (), images[::2]), images, net)
    made = record_of(f"p{number}", f"p{number}_v", faces, table, 30.0, net, INPUTS)
    return FaceVideo(**vars(made), crops=images, faces=faces, spread=images[::2])


@pytest.fixture(scope="module")
def people(net):
    return [person(i, net) for i in range(3)]


@pytest.fixture(scope="module")
def start(net):
    torch.manual_seed(0)
    model = FEDN(CONFIG)
    model.embedding.scale.fill_(0.3)
    return Detector(model.eval(), net, INPUTS)


def state_of(result) -> dict[str, torch.Tensor]:
    detector = result.detector
    return {f"{k}.{n}": v for k, m in (("model", detector.model), ("net", detector.net))
            for n, v in m.state_dict().items()}  # fmt: skip


def same(one, other) -> bool:
    one, other = state_of(one), state_of(other)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# --- where it begins


def test_a_frozen_network_without_cameras_is_training_on_kept_vectors(people, start):
    config = replace(QUICK, augmentation=replace(Augmentation(), reverse=0.5, feature_dropout=0.1,
                                                   features=1.5, mixing=0.1))  # fmt: skip
    kept = train(people, None, config, init=start.model, **CPU)
    seen = train_end_to_end(people, start, config, replace(SMALL, backbone=0.0), **CPU)
    columns = [c for c in kept.history if c.startswith("loss")]
    # vectors are kept in half precision
    assert seen.history[columns].to_numpy() == pytest.approx(kept.history[columns].to_numpy(), rel=1e-3)
    # Adam takes a step of full size where a gradient is nearly nothing, hence on average
    first, one, other = ([v.flatten() for v in m.state_dict().values()]
                         for m in (start.model, kept.model, seen.detector.model))  # fmt: skip
    first, one, other = torch.cat(first), torch.cat(one), torch.cat(other)
    assert (one - first).abs().mean() > 5e-4
    assert (one - other).abs().mean() < 0.03 * (one - first).abs().mean()
    for name, value in start.net.state_dict().items():
        assert torch.equal(seen.detector.net.state_dict()[name], value)


def run_of(people, start, tuning, inputs=INPUTS) -> TuneRun:
    from lightning.fabric import Fabric

    model = EndToEnd(copy.deepcopy(start.net), copy.deepcopy(start.model), INPUTS.reads, tuning)
    return TuneRun(Fabric(accelerator="cpu"), model, people, None, QUICK, inputs=inputs, frozen=start.net)


def test_gradients_reach_the_first_convolution_but_no_statistics_and_no_read_out(people, start):
    run = run_of(people, start, replace(SMALL, appearance=CropAugmentation()))
    before = {k: v.clone() for k, v in run.model.face.state_dict().items()}
    run.model.train()
    run.train_step(run.draws(0)[: run.batch_size])
    assert run.model.face.body.conv1.weight.grad.abs().sum() > 0
    after = run.model.face.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    assert "body.conv1.weight" in changed
    assert not any("running" in k or "num_batches" in k or k.startswith("heads") for k in changed)


def test_chunks_and_who_teaches_change_no_vector(people, start):
    run = run_of(people, start, SMALL)
    window = run.window(run.draws(0)[0])[0]
    whole = run.model.vectors(window)
    for chunk, through in ((5, 0.0), (100, 1.0), (7, 0.5)):
        run.model.tuning = replace(SMALL, chunk=chunk)
        teach = torch.rand(len(window.crops), generator=torch.Generator().manual_seed(1)) < through
        torch.testing.assert_close(
            run.model.vectors(window._replace(with_gradient=teach)), whole, rtol=1e-4, atol=1e-4
        )


def test_pictures_are_seen_with_the_statistics_of_their_video(people, start):
    """As `extract` would: what is not yet tuned gives the vectors that were kept of that person."""
    inputs, tuning = replace(INPUTS, adapt=0.4), replace(SMALL, through=1.0)
    run = run_of(people, start, tuning, inputs)
    gradients = []
    for draw in run.draws(0)[:6]:
        window = run.window(draw)[0]
        own = adapted_net(start.net, people[draw.record].spread, inputs.adapt)
        seen = run.model.vectors(window._replace(with_gradient=torch.ones_like(window.with_gradient)))
        expected = vectors_of(own, window.crops.numpy())
        torch.testing.assert_close(seen, expected, rtol=1e-3, atol=2e-3)
        assert not torch.allclose(seen, vectors_of(start.net, window.crops.numpy()), atol=0.02)
        seen.sum().backward()
        gradients.append(run.model.face.body.conv1.weight.grad.abs().sum())
    assert all(gradients)
    for name, values in start.net.state_dict().items():
        assert torch.equal(run.model.face.state_dict()[name], values)


# --- it learns, and does so again


@pytest.mark.slow
def test_tuning_lowers_the_loss_and_moves_the_face_network(people, start):
    config = replace(QUICK, epochs=8, augmentation=Augmentation.none())
    tuned = train_end_to_end(people, start, config, replace(SMALL, through=1.0), **CPU)
    losses = tuned.history["loss_total"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
    moved = tuned.detector.net.body.conv1.weight - start.net.body.conv1.weight
    assert 0 < moved.abs().max() < 0.05
    assert tuned.detector.net.digest != start.net.digest


@pytest.mark.slow
def test_a_killed_run_ends_as_if_nothing_had_happened_and_a_seed_is_a_run(people, start, tmp_path):
    tuning = replace(SMALL, appearance=CropAugmentation())
    call = dict(tuning=tuning, validation=people[2:], **CPU)
    whole = train_end_to_end(people[:2], start, QUICK, **call)
    steps = train_end_to_end(people[:2], start, QUICK, out=tmp_path, max_steps=2, **call)
    assert not steps.finished
    resumed = train_end_to_end(people[:2], start, QUICK, out=tmp_path, **call)
    assert resumed.finished and same(resumed, whole)
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    read = train_end_to_end(people[:2], start, QUICK, out=tmp_path, max_steps=0, **call)
    assert read.finished and same(read, whole) and read.detector.net.digest == whole.detector.net.digest
    with pytest.raises(InputError, match="backbone 0.1, now 0.2"):
        train_end_to_end(
            people[:2], start, QUICK, out=tmp_path, **call | dict(tuning=replace(tuning, backbone=0.2))
        )


def test_mixed_precision_tunes_too(people, start):
    exact = train_end_to_end(people[:1], start, ONE, SMALL, **CPU).history["loss_total"]
    mixed = train_end_to_end(people[:1], start, replace(ONE, precision="bf16-mixed"), SMALL, **CPU)
    assert mixed.history["loss_total"].to_numpy() == pytest.approx(exact.to_numpy(), rel=0.1)
    assert all(v.dtype != torch.bfloat16 for v in state_of(mixed).values())


def test_the_validation_figures_are_those_of_the_detector_that_was_kept(people, start):
    from fedet.training.model_selection import validation_metrics

    tuned = train_end_to_end(people[:2], start, QUICK, SMALL, validation=people[2:], **CPU)
    seen = [features_with(person, tuned.detector.net, INPUTS) for person in people[2:]]
    row = tuned.history.set_index("epoch").loc[tuned.best_epoch]
    again = validation_metrics(tuned.detector.model, CONFIG, seen)
    assert again == pytest.approx(row[list(again)].to_dict(), nan_ok=True)


# --- cameras


def test_a_camera_is_the_same_for_all_frames_and_none_changes_nothing():
    crops = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8))
    rng = np.random.default_rng(1)
    plain = normalise(crops.permute(0, 3, 1, 2).float() / 255)
    assert torch.equal(apply_camera(draw_camera(CropAugmentation.none(), rng), crops, 40), plain)
    camera = draw_camera(CropAugmentation(), rng)
    together = apply_camera(camera, crops, 32)
    torch.testing.assert_close(together[1:2], apply_camera(camera, crops[1:2], 32))
    mirror = draw_camera(replace(CropAugmentation.none(), flip=1.0), rng)
    torch.testing.assert_close(apply_camera(mirror, crops, 40), plain.flip(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("change", [dict(backbone=-1), dict(size=8), dict(through=2), dict(rest=0)])
def test_a_setting_out_of_range_is_told(change):
    with pytest.raises(InputError, match=next(iter(change))):
        TuningConfig(**change)


def test_vectors_without_pictures_or_of_other_weights_are_refused(people, start):
    with pytest.raises(InputError, match="vectors without pictures"):
        train_end_to_end([features_with(people[0], start.net, INPUTS)], start, QUICK, SMALL, **CPU)
    other = copy.deepcopy(start.net)
    other.name = "others"
    with pytest.raises(InputError, match="'faces', but tuning starts from 'others'"):
        train_end_to_end(people, replace(start, net=other), QUICK, SMALL, **CPU)


def test_an_estimate_grows_with_the_work(people, start):
    calls = [(QUICK, SMALL), (replace(QUICK, epochs=40), SMALL)]
    few, many = (estimate_minutes(people, [], start, *call) for call in calls)
    assert 0 < few < many


# --- a folder that detects


@pytest.mark.slow
def test_from_videos_to_a_folder_that_detects_wherever_it_is(tmp_path):
    made = SynthConfig(subjects=2, seconds=5, seed=31, events_per_minute=30, silent_share=0.0)
    dataset = read_dataset(synthesize(tmp_path / "set", made, progress=False))
    shipped = load_detector()
    records = face_videos_of(dataset, shipped.net, shipped.inputs, tmp_path / "crops", progress=False)
    for one, other in zip(
        records, records_of(dataset, shipped.net, shipped.inputs, progress=False), strict=True
    ):
        assert np.array_equal(one.vectors, other.vectors) and np.array_equal(one.mask, other.mask)
    tuned = train_end_to_end(records, shipped, ONE, replace(SMALL, through=0.2), out=tmp_path / "out", **CPU)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    loaded = load_detector(tmp_path / "moved")
    assert loaded.net.digest == tuned.detector.net.digest != shipped.net.digest
    video = dataset.videos["path"].iloc[0]
    tables = [fedet.detect(video, weights, 0.05).table for weights in (tuned.detector, tmp_path / "moved")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    own = adapted_net(loaded.net, records[0].spread, loaded.inputs.adapt)
    faces = track_from_crops(records[0].faces, records[0].crops, own)
    assert len(detect_in(faces, loaded, 0.05)) == len(tables[0])
    crop = np.asarray(records[0].crops[:1])
    assert not torch.equal(vectors_of(loaded.net, crop), vectors_of(shipped.net, crop))


# --- frozen against tuned, and nobody left out is seen


ARMS = dict(
    config=CONFIG,
    first=ONE,
    second=ONE,
    tuning=SMALL,
    accelerator="cpu",
)


def test_both_arms_start_from_the_same_and_choose_without_the_left_out_person(people, net):
    arms = backbone_arms(net, INPUTS, **ARMS)
    assert method_settings(arms["tuned"])["digest"] == net.digest
    fold = Fold("p0", ("p1",), ("p2",), ("p0",))
    found = {name: run_job(Job(fold, 0), arm, people) for name, arm in arms.items()}
    assert not any(result.error for result in found.values()), found
    first = [result.history.query("part == 'first'")["loss_total"].tolist() for result in found.values()]
    assert first[0] == first[1]
    tables = [result.predictions for result in found.values()]
    assert set(tables[0]["subject"]) == {"p0"} and not tables[0]["score"].equals(tables[1]["score"])


@pytest.mark.parametrize("what", ["crops", "faces"])
def test_a_planted_leak_of_pictures_is_found(people, net, what):
    @dataclass(frozen=True)
    class Peeking(Tuned):
        everybody: tuple = field(default=(), repr=False)

        def fit(self, train, validation, seed, folder=None):
            brightness = [getattr(video, what) for video in self.everybody]
            return super().fit(train, validation, seed, folder) if brightness else None

    closed = sealed(people)
    method = Peeking(**vars(backbone_arms(net, INPUTS, **ARMS)["tuned"]), everybody=tuple(closed))
    with pytest.raises(LeakError, match=r"the frames of p\d/p\d_v were read .* is left out"):
        cross_validate(closed, method, seeds=1, progress=False)


def test_left_out_labels_change_nothing(people, net):
    arm = backbone_arms(net, INPUTS, **ARMS)["tuned"]
    assert prove_no_leak(people, arm, Fold("p0", ("p1",), ("p2",), ("p0",)))["equal"].all()

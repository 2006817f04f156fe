"""Vectors: any ResNet18 checkpoint loads or says why not; change is change and not the person."""

import os

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_faces import drawing

from fedet.analysis.explanation import crops_at
from fedet.detection import Detector, Inputs
from fedet.errors import InputError
from fedet.experiments.methods.optical_flow import flow_track
from fedet.faces import extraction
from fedet.faces.extraction import CROP, crops_of, extract, prefetch
from fedet.faces.network import (
    WIDTH,
    FaceNet,
    FaceWeights,
    fold_batch_norms,
    load_facenet,
    pretraining_of,
    read_out_heads,
    save_facenet,
    shipped,
    vectors_of,
)
from fedet.faces.vectors import STATES, FaceTrack, cache_file, read_cached
from fedet.features import change_from_rest, face_channels, lazy_change, rest_order
from fedet.training.face_crops import cut_crops, track_from_crops
from fedet.video.reader import open_video
from fedet.video.writer import write_video


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = FaceNet()
        made.heads = read_out_heads()
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 255, (7, 112, 112, 3), np.uint8)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.encoder."])
@pytest.mark.parametrize("level", [None, "state_dict", "model_state_dict"])
def test_third_party_checkpoints_load_whatever_their_names(tmp_path, net, crops, prefix, level):
    state = {prefix + k: v for k, v in net.body.state_dict().items()}
    state |= {prefix + "fc.weight": torch.zeros(8, 512), prefix + "fc.bias": torch.zeros(8)}
    torch.save({level: state, "epoch": 3} if level else state, tmp_path / "net.pth")
    loaded = load_facenet(tmp_path / "net.pth")
    assert torch.allclose(vectors_of(loaded, crops), vectors_of(net, crops), atol=1e-4)
    assert loaded.heads is None and not any(p.requires_grad for p in loaded.parameters())


def test_the_network_is_torchvisions_resnet18_name_for_name_and_bit_for_bit(net):
    from torchvision.models import resnet18

    theirs = resnet18(weights=None)
    theirs.fc = torch.nn.Identity()
    assert list(theirs.state_dict()) == list(net.body.state_dict())
    theirs.load_state_dict(net.body.state_dict())
    pictures = torch.randn(3, 3, 90, 112, generator=torch.Generator().manual_seed(0))
    assert torch.equal(theirs.eval()(pictures), net(pictures))


def test_saved_weights_come_back_with_their_read_outs(tmp_path, net, crops):
    save_facenet(tmp_path / "w", net, {"note": 1})
    loaded = load_facenet(tmp_path / "w")
    close = (vectors_of(loaded, crops) - vectors_of(net, crops)).norm() / vectors_of(net, crops).norm()
    assert close < 0.01 and loaded.heads is not None


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(InputError, match="nothing_here"):
        load_facenet(tmp_path / "nothing_here")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    for name in ("bad.pth", "bad.safetensors"):
        (tmp_path / name).write_bytes(b"certainly not a checkpoint")
        with pytest.raises(InputError, match=name):
            load_facenet(tmp_path / name)


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="evil.pth"):
        load_facenet(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_what_does_not_fit_is_named(tmp_path, net):
    state = net.body.state_dict()
    torch.save({k: v for k, v in state.items() if "layer4" not in k}, tmp_path / "short.pth")
    with pytest.raises(InputError, match="layer4.0.conv1.weight"):
        load_facenet(tmp_path / "short.pth")
    torch.save(state | {"layer1.0.conv1.weight": torch.zeros(2, 2, 3, 3)}, tmp_path / "wide.pth")
    with pytest.raises(InputError, match=r"layer1.0.conv1.weight has shape \(2, 2, 3, 3\)"):
        load_facenet(tmp_path / "wide.pth")


def test_weights_without_read_outs_say_so(net):
    plain = FaceNet()
    with pytest.raises(InputError, match="read-out"):
        plain.read_aus(torch.zeros(1, WIDTH))


def test_shipped_weights_are_small_and_half_precision():
    size = sum(f.stat().st_size for f in shipped("faces").parent.rglob("*") if f.is_file())
    assert size <= 30e6
    assert load_facenet(FaceWeights.FACES).heads is not None


# ---------------------------------------------------------------- a video's vectors


def test_batch_size_does_not_matter(net, crops):
    together = vectors_of(net, crops)
    alone = torch.cat([vectors_of(net, crops[i : i + 1]) for i in range(len(crops))])
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-4)


def test_folding_changes_neither_the_vectors_nor_the_network_itself(net, crops):
    before = vectors_of(net, crops)
    quick = fold_batch_norms(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in quick.modules())
    assert torch.allclose(vectors_of(quick, crops), before, rtol=1e-3, atol=1e-4)
    assert torch.equal(vectors_of(net, crops), before)


class EverywhereDetector:
    """The middle of the picture is a face while the picture is bright."""

    def detect(self, image, near=None):
        from fedet.faces.detectors import Box

        return [Box(8, 8, 48, 48, 1.0)] if image.mean() > 60 else []


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    dark = range(60, 130)
    frames = (np.full((64, 64, 3), 10 if i in dark else rng.integers(120, 200), np.uint8) for i in range(190))
    write_video(path, frames, 30)
    return path


def test_frames_without_a_face_are_marked_and_their_vectors_empty(clip, net):
    faces = extract(clip, net, EverywhereDetector())
    missing = faces.state == STATES.index("missing")
    assert len(faces.vectors) == len(faces.state) == 190 and faces.fps == pytest.approx(30)
    assert 60 <= missing.sum() <= 75 and missing[65:125].all() and not missing[:55].any()
    assert not faces.vectors[missing].any() and faces.vectors[~missing].any(1).all()


def test_a_small_face_is_looked_for_where_there_is_no_larger_one_whoever_reads(net, tmp_path):
    picture, scene = drawing(), np.full((720, 960, 3), (90, 110, 130), np.uint8)
    for name, scale in (("near", 2.0), ("far", 0.6), ("none", 0)):
        frame = scene.copy()
        if scale:
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frame[100 : 100 + small.shape[0], 200 : 200 + small.shape[1]] = small
        write_video(tmp_path / f"{name}.mp4", (frame for _ in range(12)), 30)
        faces = extract(tmp_path / f"{name}.mp4", net)
        assert faces.mask.all() == bool(scale) and faces.mask.any() == bool(scale)
        assert len(faces.vectors) == 12 and faces.vectors.any(1).all() == bool(scale)
        assert any("no face of 15%" in problem for problem in faces.problems) == (scale < 1)
        cut = cut_crops(tmp_path / f"{name}.mp4", tmp_path / "cut")
        assert np.array_equal(cut.state, faces.state) and cut.problems == faces.problems
        assert np.array_equal(track_from_crops(cut, cut.images, net).vectors, faces.vectors)
        moved = flow_track(tmp_path / f"{name}.mp4", open_video(tmp_path / f"{name}.mp4"))
        assert np.array_equal(moved.state, faces.state)


def test_somebody_as_near_is_told_and_somebody_small_is_not(net, tmp_path):
    picture = drawing()
    for name, scale in (("two", 0.8), ("one", 0.0), ("behind", 0.4)):
        frame = np.full((300, 700, 3), (90, 110, 130), np.uint8)
        frame[: picture.shape[0], : picture.shape[1]] = picture
        if scale:
            other = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frame[: other.shape[0], 400 : 400 + other.shape[1]] = other
        write_video(tmp_path / f"{name}.mp4", (frame for _ in range(75)), 30)
        faces = extract(tmp_path / f"{name}.mp4", net, cache=tmp_path / "kept")
        told = [p for p in faces.problems if "another face about as large" in p]
        assert len(told) == (name == "two") and faces.mask.all()
        assert extract(tmp_path / f"{name}.mp4", net, cache=tmp_path / "kept").problems == faces.problems


def test_the_crops_that_explain_are_those_of_a_small_face_too(net, tmp_path):
    frame = np.full((720, 960, 3), (90, 110, 130), np.uint8)
    small = cv2.resize(drawing(), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    frame[100 : 100 + small.shape[0], 200 : 200 + small.shape[1]] = small
    write_video(tmp_path / "far.mp4", (frame for _ in range(6)), 30)
    detector = Detector(None, net, Inputs())
    cut = cut_crops(tmp_path / "far.mp4", tmp_path / "cut")
    (shown,) = crops_at(tmp_path / "far.mp4", [3], detector)
    assert np.array_equal(shown, cut.images[3])
    with pytest.raises(InputError, match="ends before frame 9"):
        crops_at(tmp_path / "far.mp4", [9], detector)


def test_the_cache_gives_the_same_and_is_used(clip, net, tmp_path):
    first = extract(clip, net, EverywhereDetector(), cache=tmp_path)
    files = {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    second = extract(clip, net, EverywhereDetector(), cache=tmp_path)
    assert files == {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    for name in ("vectors", "rest", "state", "track"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert first.problems == second.problems


def test_a_changed_image_has_other_vectors_and_the_key_of_a_file_stays(clip, net, tmp_path):
    from hashlib import sha256

    (tmp_path / "f").mkdir()
    image = tmp_path / "f" / "1.png"
    image.write_bytes(b"one")
    before = cache_file(tmp_path, tmp_path / "f", net, None, 30.0)
    assert cache_file(tmp_path, tmp_path / "f", net, None, 30.0) == before
    image.write_bytes(b"another")  # in place: the folder's own time stays
    assert cache_file(tmp_path, tmp_path / "f", net, None, 30.0) != before
    stat = clip.stat()
    facts = f"{clip.resolve()} {stat.st_size} {stat.st_mtime_ns} {net.name} {net.digest} NoneType 30.0 3"
    key = sha256(facts.encode()).hexdigest()[:12]
    assert cache_file(tmp_path, clip, net, None, 30.0).name == f"clip-{key}.f16"


def test_a_long_name_is_shortened_in_the_name_of_its_cache(net, tmp_path):
    for stem in ("a" * 250, "\u3042" * 80):
        video = tmp_path / f"{stem}.mp4"
        video.touch()
        name = cache_file(tmp_path, video, net, None, 30.0).name
        assert len(name.encode()) < 240 and name.startswith(stem[:60])


class WideDetector:
    """A face in every picture; notes their sizes."""

    def __init__(self):
        self.sizes = set()

    def detect(self, image, near=None):
        from fedet.faces.detectors import Box

        self.sizes.add(image.shape[:2])
        return [Box(4, 4, image.shape[1] / 60, image.shape[1] / 60, 1.0)]


@pytest.mark.parametrize(("width", "seen"), [(1920, 1920), (3840, 1920)])
def test_only_pictures_larger_than_the_limit_are_reduced_and_kept_under_another_name(
    net, tmp_path, width, seen
):
    height, path = width // 24, tmp_path / "wide.mp4"
    write_video(path, (np.full((height, width, 3), 120, np.uint8) for _ in range(8)), 30)
    detector = WideDetector()
    faces = extract(path, net, detector, cache=tmp_path)
    assert detector.sizes == {(seen // 24, seen)} and faces.mask.all()
    kept = next(tmp_path.glob("*.f16"))
    assert (kept == cache_file(tmp_path, path, net, detector, 30.0)) == (width == seen)
    assert next(crops_of(open_video(path), detector))[0].shape == (CROP, CROP, 3)


@pytest.mark.parametrize("suffix", [".f16", ".json", ".npz"])
def test_damaged_kept_vectors_are_made_anew_or_refused(clip, net, tmp_path, suffix):
    first = np.array(extract(clip, net, EverywhereDetector(), cache=tmp_path).vectors)
    kept = next(tmp_path.glob("*" + suffix))
    os.truncate(kept, kept.stat().st_size // 2)
    with pytest.raises(InputError, match=r"\.f16 .* is damaged .* delete"):
        read_cached(kept.with_suffix(".f16"), net)
    again = extract(clip, net, EverywhereDetector(), cache=tmp_path)
    assert np.array_equal(first, again.vectors)
    cut = np.array(cut_crops(clip, tmp_path, EverywhereDetector()).images)
    kept = next(tmp_path.glob("*.crops")).with_suffix(suffix.replace(".f16", ".crops"))
    kept.write_bytes(b"")
    assert np.array_equal(cut_crops(clip, tmp_path, EverywhereDetector()).images, cut)


def test_reading_in_a_thread_keeps_order_and_passes_errors_on():
    assert list(prefetch(range(1000), ahead=3)) == list(range(1000))

    def failing():
        yield 1
        raise InputError("at two")

    items = prefetch(failing())
    assert next(items) == 1
    with pytest.raises(InputError, match="at two"):
        next(items)


class CountingPictures:
    """A face everywhere; counts the searches."""

    def __init__(self):
        self.searches = 0

    def detect(self, image, near=None):
        from fedet.faces.detectors import Box

        self.searches += 1
        return [Box(8 + image.mean() / 64, 8, 48, 48, 1.0)]


@pytest.mark.parametrize(("fps", "copies"), [(1, 1), (30, 30)])
def test_a_repeated_picture_is_searched_and_read_once(net, tmp_path, monkeypatch, fps, copies):
    """A time-lapse, and a stream that freezes: encoded again and again without a change."""
    pictures = [np.full((64, 64, 3), value, np.uint8) for value in (60, 180, 90, 150, 120)]
    write_video(tmp_path / "slow.mp4", (p for p in pictures for _ in range(copies)), fps, crf=0)
    read = []
    original = extraction.vectors_of
    monkeypatch.setattr(extraction, "vectors_of", lambda n, c: (read.append(len(c)), original(n, c))[1])
    detector = CountingPictures()
    faces = extract(tmp_path / "slow.mp4", net, detector)
    assert len(faces.state) == 150 and faces.mask.all()
    assert sum(read) == 5 and detector.searches <= 12  # near the face and everywhere, once each
    each = faces.vectors.reshape(5, 30, WIDTH)
    assert np.array_equal(each, np.repeat(each[:, :1], 30, 1)) and len(np.unique(each[:, 0], axis=0)) == 5
    assert any("frames a second: an expression" in problem for problem in faces.problems) == (fps == 1)
    assert [face is not None for face, *_ in crops_of(open_video(tmp_path / "slow.mp4"), detector)] == [
        True
    ] * 150


def test_vectors_depend_neither_on_threads_nor_on_the_size_of_batches(clip, net):
    threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            made.append(extract(clip, net, EverywhereDetector(), batch_size=7))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(made[0].vectors, made[1].vectors) and np.array_equal(made[0].rest, made[1].rest)
    other = extract(clip, net, EverywhereDetector(), batch_size=64)
    assert np.allclose(other.vectors, made[0].vectors, rtol=2e-3, atol=2e-3)
    assert np.array_equal(other.state, made[0].state)


def test_a_video_that_cannot_be_read_is_an_input_error(net, tmp_path):
    with pytest.raises(InputError):
        extract(tmp_path / "none.mp4", net)


# ---------------------------------------------------------------- change


def made_track(vectors, rest=None, state=None, track=None):
    n = len(vectors)
    state = np.zeros(n, np.uint8) if state is None else state
    track = np.where(state == 2, -1, 0).astype(np.int32) if track is None else track
    rest = np.zeros(n, np.float32) if rest is None else np.asarray(rest, np.float32)
    return FaceTrack(np.asarray(vectors, np.float16), rest, state, track, 30.0, (), "made")


def expression(n=600, seed=0):
    rng = np.random.default_rng(seed)
    course = np.zeros((n, 1))
    course[300:340, 0] = np.hanning(40) * 3
    direction = rng.normal(size=(1, WIDTH))
    return 0.05 * rng.normal(size=(n, WIDTH)) + course * direction, -course[:, 0]


@settings(max_examples=10)
@given(st.integers(0, 1000), st.sampled_from(["rest", "median"]))
def test_who_it_is_does_not_matter(seed, reference):
    vectors, rest = expression()
    person = np.random.default_rng(seed).normal(size=(1, WIDTH))
    one = change_from_rest(made_track(vectors, rest), reference).astype(float)
    other = change_from_rest(made_track(vectors + person, rest), reference).astype(float)
    assert np.abs(one - other).max() < 0.02


def test_rest_is_near_zero_and_the_expression_stays():
    vectors, rest = expression()
    change = change_from_rest(made_track(vectors, rest)).astype(float)
    assert np.linalg.norm(change[:250], axis=1).mean() < 0.1 * np.linalg.norm(change[320])


def test_a_clip_that_is_mostly_expression_keeps_its_sign():
    vectors = np.zeros((72, WIDTH))
    vectors[17:] = 1.0
    rest = np.where(np.arange(72) < 17, -0.1, -2.0)
    by_rest = change_from_rest(made_track(vectors, rest))
    by_median = change_from_rest(made_track(vectors, rest), "median")
    assert np.allclose(by_rest[:17], 0, atol=0.1) and np.allclose(by_rest[17:], 1, atol=0.1)
    assert np.allclose(by_median[:17], -1)  # why rest is the default


def test_a_face_whose_rest_looks_sad_is_at_rest_where_it_comes_back_to():
    """Posed movements each look more like nothing than the resting face, but none of them recurs."""
    rng = np.random.default_rng(1)
    vectors = np.zeros((600, WIDTH))
    rest = np.full(600, -1.0)
    for number in range(8):
        frames = slice(40 + 70 * number, 75 + 70 * number)
        vectors[frames], rest[frames] = rng.normal(size=WIDTH), rng.uniform(-1.3, -0.7)
    change = change_from_rest(made_track(vectors + 0.01 * rng.normal(size=(600, WIDTH)), rest))
    still = ~vectors.any(1)
    assert np.linalg.norm(change[still], axis=1).mean() < 0.2 * np.linalg.norm(change[~still], axis=1).mean()


def test_the_order_of_rest_is_that_of_its_two_ranks():
    rng = np.random.default_rng(2)
    vectors, rest = rng.normal(size=(41, 6)), rng.normal(size=41)
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    lonely = [sorted(row)[:11] for row in distance]  # itself and a quarter of the others
    ranks = pd.DataFrame({"rest": -rest, "lonely": np.mean(lonely, axis=1)}).rank().sum(axis=1)
    assert (np.diff(ranks[rest_order(vectors, rest)]) >= 0).all()
    mixed = rng.permutation(41)
    kept = rest_order(vectors[mixed] + 3, rest[mixed])[:8]
    assert ranks[mixed[kept]].max() <= np.sort(ranks)[7]


def test_the_change_is_that_of_each_second_looked_at_alone_and_any_slice_of_it_is_the_same():
    rng = np.random.default_rng(3)
    n = 3000
    vectors = np.repeat(rng.normal(size=(n // 60, WIDTH)), 60, 0) + 0.3 * rng.normal(size=(n, WIDTH))
    state = np.zeros(n, np.uint8)
    state[rng.integers(0, n, 40)] = state[1400:1490] = 2
    track = np.where(state == 2, -1, np.where(np.arange(n) < 2000, 0, 1)).astype(np.int32)
    faces = made_track(vectors, rng.normal(size=n).astype(np.float32), state, track)
    whole, lazy = change_from_rest(faces), lazy_change(faces)
    for part in (slice(0, 7), slice(1390, 1500), slice(1990, 2010), slice(2990, 4000), slice(5, 5)):
        assert np.array_equal(lazy[part], whole[part])
    for number in (0, 1):
        frames = np.flatnonzero(track == number)
        for knot in np.arange(frames[0], frames[-1], 30)[::9]:
            if state[knot] == 2:
                continue
            near = frames[(frames >= knot - 600) & (frames < knot + 600)]
            near = near[:: max(1, len(near) // 400)]
            order = near[rest_order(faces.vectors[near], faces.rest[near])]
            rest = faces.vectors[order[: max(1, round(0.2 * len(near)))]].astype(np.float32).mean(0)
            assert np.abs(faces.vectors[knot] - rest - whole[knot]).max() < 0.01


def test_two_people_have_their_own_rest():
    vectors = np.zeros((200, WIDTH))
    vectors[100:] = 5.0
    track = np.repeat([0, 1], 100).astype(np.int32)
    assert np.allclose(change_from_rest(made_track(vectors, track=track)), 0)


def test_missing_frames_are_zero_and_change_nothing():
    vectors, rest = expression()
    state = np.zeros(600, np.uint8)
    state[100:150] = 2
    wild = vectors.copy()
    wild[100:150] = 100
    calm = vectors.copy()
    calm[100:150] = 0
    one = change_from_rest(made_track(wild, rest, state))
    assert np.array_equal(one, change_from_rest(made_track(calm, rest, state)))
    assert not one[100:150].any()


def test_nothing_is_subtracted_on_request_and_nonsense_is_refused():
    vectors, _ = expression()
    track = made_track(vectors)
    assert np.array_equal(change_from_rest(track, "none"), track.vectors)
    with pytest.raises(InputError, match="mean"):
        change_from_rest(track, "mean")


def test_empty_and_faceless_videos_give_nothing():
    assert change_from_rest(made_track(np.zeros((0, WIDTH)))).shape == (0, WIDTH)
    hidden = change_from_rest(made_track(np.ones((9, WIDTH)), state=np.full(9, 2, np.uint8)))
    assert hidden.shape == (9, WIDTH)


def test_read_outs_tell_the_change_of_the_heads_answers(net):
    rest, shown = (torch.randn(5000, WIDTH, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    change = (shown - rest).numpy().astype(np.float32)
    seen = face_channels(change, net, "readouts")
    assert np.allclose(seen[:, :18], (net.read_aus(shown) - net.read_aus(rest)).numpy(), atol=1e-4)
    assert np.array_equal(face_channels(change, net, "both"), np.concatenate([change, seen], 1))
    assert np.array_equal(face_channels(change, net), change)
    with pytest.raises(InputError, match="'pixels'"):
        face_channels(change, net, "pixels")
    with pytest.raises(InputError, match="read-out"):
        face_channels(change, FaceNet(), "both")


def test_what_is_read_of_a_change_is_the_same_with_any_number_of_threads(net):
    from threadpoolctl import threadpool_limits

    change = np.random.default_rng(0).normal(size=(5000, WIDTH)).astype(np.float16)
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            found.append(face_channels(change, net, "readouts"))
    assert all((f == found[0]).all() for f in found)


@pytest.mark.parametrize("content", ["{", "[1]", '{"pretraining": 3}'])
def test_a_damaged_card_of_face_weights_is_named(tmp_path, content):
    assert pretraining_of(tmp_path) == {}
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="config.json: "):
        pretraining_of(tmp_path)

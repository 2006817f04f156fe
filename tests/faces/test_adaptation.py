"""Statistics of a video's own face: against PyTorch's own, and on videos that show few faces or none."""

import numpy as np
import pytest
import torch
from torch import nn

from fedet.analysis.explanation import net_for
from fedet.detection import Detector, Inputs, detect
from fedet.errors import InputError
from fedet.faces import adaptation
from fedet.faces.adaptation import FACES, adapt_batch_norms, spread_faces, statistics_of
from fedet.faces.detectors import Box
from fedet.faces.extraction import extract
from fedet.faces.network import adapted_net, fold_batch_norms, load_facenet, vectors_of
from fedet.faces.tracking import CROP_DOWN, CROP_SCALE
from fedet.faces.vectors import cache_file, read_cached
from fedet.training.face_crops import cut_crops, track_from_crops
from fedet.video.reader import open_video
from fedet.video.writer import write_video

SIDE = 160


class Everywhere:
    """Finds a face in every picture, tells where it was asked to look, and from when on there is one."""

    def __init__(self, least: int = 0):
        self.least, self.near = least, []

    def detect(self, image, near=None):
        self.near.append(near)
        return [Box(30, 20, 90, 90), Box(0, 0, 20, 20)] if image.mean() >= self.least else []


class Framed:
    """Cuts out what `np.pad` put a frame around."""

    def detect(self, image, near=None):
        side = 112 / CROP_SCALE
        return [Box(80 - side / 2, 80 - side / 2 - CROP_DOWN * side, side, side)]


def shades(n: int, seed: int = 0):
    """Noise that gets brighter from picture to picture: their order can be told from their means."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        yield np.clip(rng.normal(40 + 160 * i / n, 20, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def net():
    return load_facenet()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    place = tmp_path_factory.mktemp("shades") / "clip.mp4"
    write_video(place, shades(150), 30)
    return place


def crops(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 112, 112, 3), np.uint8)


# --- the network


def test_all_of_the_share_is_what_batch_norm_does_in_training(net):
    """Momentum 1 makes PyTorch's own running statistics those of the batch: an independent reference."""
    faces = torch.randn(FACES, 3, 48, 48)
    ours = adapt_batch_norms(net, faces, 1.0)
    theirs = load_facenet()
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.train().momentum = 1.0
    with torch.no_grad():
        theirs(faces)
    expected = statistics_of(theirs)
    for name, values in statistics_of(ours).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-2, atol=2e-3)


def test_a_share_lies_between_and_fewer_faces_count_less(net):
    faces, first = torch.randn(FACES, 3, 48, 48), "body.bn1.running_mean"
    stored, full = statistics_of(net)[first], statistics_of(adapt_batch_norms(net, faces, 1.0))[first]
    torch.testing.assert_close(
        statistics_of(adapt_batch_norms(net, faces, 0.4))[first], stored.lerp(full, 0.4)
    )
    some = faces[: FACES // 4]
    whole = statistics_of(adapt_batch_norms(net, some.repeat(4, 1, 1, 1), 0.1))[first]
    torch.testing.assert_close(statistics_of(adapt_batch_norms(net, some, 0.4))[first], whole)


@pytest.mark.parametrize(("faces", "share"), [(0, 0.4), (5, 0.0)])
def test_nothing_seen_or_asked_for_changes_nothing(net, faces, share):
    same = adapted_net(net, crops(faces), share)
    assert torch.equal(vectors_of(same, crops(3)), vectors_of(net, crops(3)))


def test_the_network_itself_stays_as_it_is(net):
    before = {name: values.clone() for name, values in net.state_dict().items()}
    other = adapted_net(net, crops(FACES), 0.5)
    assert other.name == net.name and other.heads is not None and not other.training
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
    assert not torch.allclose(vectors_of(other, crops(3)), vectors_of(net, crops(3)), atol=0.01)


def test_it_may_be_folded(net):
    own, some = adapted_net(net, crops(20), 0.4), crops(4)
    torch.testing.assert_close(
        vectors_of(fold_batch_norms(own), some), vectors_of(own, some), atol=2e-3, rtol=1e-3
    )


def test_the_order_of_the_faces_does_not_matter(net):
    one, other = (adapted_net(net, part, 0.4) for part in (crops(30), crops(30)[::-1].copy()))
    torch.testing.assert_close(vectors_of(one, crops(3)), vectors_of(other, crops(3)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(net, share):
    with pytest.raises(InputError, match=f"adapt is {share}"):
        adapt_batch_norms(net, torch.zeros(1, 3, 32, 32), share)
    with pytest.raises(InputError, match="adapt is"):
        Inputs(adapt=share)


# --- the faces


def test_faces_are_spread_over_the_whole_video(clip):
    found, times_s = spread_faces(open_video(clip), Everywhere(), 32, count=10)
    means = found.mean(axis=(1, 2, 3))
    assert times_s == pytest.approx(np.arange(10) / 2, abs=0.02)
    assert found.shape == (10, 32, 32, 3) and (np.diff(means) > 8).all()
    assert means[0] < 60 and means[-1] > 165


@pytest.mark.parametrize("slow_s", [1.0, 0.0])
def test_pictures_far_apart_are_looked_up_and_are_the_same(clip, monkeypatch, slow_s):
    met = spread_faces(open_video(clip), Everywhere(), 32, count=7)
    monkeypatch.setattr(adaptation, "SEEK_S", 0.1)
    monkeypatch.setattr(adaptation, "SLOW_S", slow_s)
    video, looks = open_video(clip), []
    monkeypatch.setattr(video, "frame_at", lambda *a, f=video.frame_at: (looks.append(a), f(*a))[1])
    sought = spread_faces(video, Everywhere(), 32, count=7)
    assert np.array_equal(sought.crops, met.crops) and sought.times_s == pytest.approx(met.times_s)
    assert len(looks) == (7 if slow_s else 1)  # a file in which looking takes long is read on


def test_a_face_is_looked_for_where_it_was(clip):
    seen = Everywhere(least=100)
    assert 0 < len(spread_faces(open_video(clip), seen, 32, count=10).times_s) < 10
    assert seen.near[:2] == [None, None] and seen.near[-1] == Box(30, 20, 90, 90)


def test_of_a_video_that_is_shorter_every_picture_counts(tmp_path):
    write_video(tmp_path / "short.mp4", shades(7), 30)
    assert len(spread_faces(open_video(tmp_path / "short.mp4"), Everywhere(), 32).crops) == 7


def test_a_length_that_is_not_told_or_wrong_is_no_trouble(clip, monkeypatch):
    video = open_video(clip)
    video.duration_s = video.n_frames_estimate = None
    assert len(spread_faces(video, Everywhere(), 32).crops) == 5  # one a second
    video = open_video(clip)
    video.duration_s = 60.0  # of 5
    monkeypatch.setattr(adaptation, "SEEK_S", 0.1)
    assert 0 < len(spread_faces(video, Everywhere(), 32, count=30).crops) < 5


# --- a video's vectors


def test_vectors_are_those_of_the_network_that_knows_the_video(clip, net, tmp_path):
    plain, own = (extract(clip, net, Everywhere(), adapt=share) for share in (0.0, 0.4))
    assert np.abs(own.vectors.astype(float) - plain.vectors).max() > 0.05
    cut = cut_crops(clip, tmp_path, Everywhere())
    for made, share in ((plain, 0.0), (own, 0.4)):
        again = track_from_crops(cut, cut.images, adapted_net(net, cut.spread, share))
        assert np.array_equal(again.vectors, made.vectors) and np.array_equal(again.rest, made.rest)
    shown = net_for(clip, Detector(None, net, Inputs(adapt=0.4), Everywhere()))
    found = vectors_of(shown, np.array(cut.images[40:44])).numpy()
    assert np.abs(found - own.vectors[40:44]).max() < 0.02  # half precision


def test_kept_vectors_go_by_the_share_and_tell_another_one(clip, net, tmp_path):
    seen = Everywhere()
    own = extract(clip, net, seen, cache=tmp_path, adapt=0.4)
    looks = len(seen.near)
    assert np.array_equal(extract(clip, net, seen, cache=tmp_path, adapt=0.4).vectors, own.vectors)
    assert len(seen.near) == looks
    place = cache_file(tmp_path, clip, net, seen, 30.0, adapt=0.4)
    assert place.is_file() and not cache_file(tmp_path, clip, net, seen, 30.0).exists()
    assert read_cached(place, net, 0.4).problems == own.problems
    (problem,) = read_cached(place, net).problems[len(own.problems) :]
    assert "40% of the video's own statistics, this detector reads with 0%" in problem


def test_a_cartoon_stays_strange_though_the_network_knows_it(net, tmp_path):
    from fedet.faces.novelty import load_distribution, unfamiliar_frames
    from fedet.training.novelty import cartoon_crops

    frame = (24, 24), (24, 24), (0, 0)
    write_video(tmp_path / "drawn.mp4", (np.pad(face, frame) for face in cartoon_crops(60)), 30)
    drawn = extract(tmp_path / "drawn.mp4", net, Framed(), cache=tmp_path / "kept", adapt=0.8)
    assert len(drawn.stored) == 60 and drawn.stored_at.tolist() == list(range(60))
    known = load_distribution()
    assert (known.distance(drawn.vectors) > known.threshold).mean() < 0.3  # it looks like all others
    assert unfamiliar_frames(drawn, known).mean() > 0.7
    again = extract(tmp_path / "drawn.mp4", net, Framed(), cache=tmp_path / "kept", adapt=0.8)
    assert np.array_equal(again.stored, drawn.stored) and np.array_equal(again.stored_at, drawn.stored_at)


def test_a_video_without_a_face_is_read_as_ever(clip, net, tmp_path):
    nobody = extract(clip, net, Everywhere(least=300), adapt=0.4)
    assert not nobody.mask.any() and not nobody.vectors.any()


def test_the_shipped_detector_reads_so_and_twice_the_same(clip, tmp_path):
    from fedet.detection import load_detector

    detector = load_detector(None, Everywhere())
    assert detector.inputs.adapt > 0
    one, other = (detect(clip, detector, threshold=0.02) for _ in range(2))
    assert one.table.equals(other.table)

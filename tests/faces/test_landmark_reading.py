"""Points of a face in the pixels of a video's pictures, and as they are kept with its vectors."""

import numpy as np
import pandas as pd
import pytest

import fedet
from fedet.errors import InputError
from fedet.faces.detectors import Box
from fedet.faces.extraction import extract, read_points
from fedet.faces.geometry import in_pictures
from fedet.faces.landmarks import SIZE, LandmarkNet, load_landmarks, read_landmarks
from fedet.faces.points import POINTS
from fedet.faces.tracking import crop
from fedet.faces.vectors import POINTS_EVERY, load_track
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.video.reader import VideoFile, open_video

DOT = np.array([70.3, 52.8])  # pixels; the centre of the first pixel is at 0.5


class FixedBox:
    """Finds the same face in every picture, or none."""

    def __init__(self, box):
        self.box = box

    def detect(self, image, near=None):
        return [self.box] if self.box else []


@pytest.mark.parametrize("roll", [0, 20, -35])
def test_a_point_of_a_crop_is_where_the_picture_shows_it(roll):
    x, y = (np.arange(n) + 0.5 for n in (160, 120))
    dot = 255 * np.exp(-((x - DOT[0]) ** 2 + (y[:, None] - DOT[1]) ** 2) / 18)
    box = Box(40, 20, 70, 70, 1.0, roll)
    seen = crop(dot.astype(np.uint8), box, SIZE).astype(float)
    at = (np.arange(SIZE) + 0.5) / SIZE
    point = np.array([(seen.sum(0) * at).sum(), (seen.sum(1) * at).sum()]) / seen.sum()
    placed = in_pictures(point[None, None] - 0.5, np.array([[40, 20, 70, roll]]))
    np.testing.assert_allclose(placed[0, 0], DOT, atol=0.3)


def test_every_frame_has_a_row_and_those_without_a_face_have_no_points(tmp_path):
    cv2 = pytest.importorskip("cv2")
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), np.full((80, 100, 3), 40 * i, np.uint8))
    net = LandmarkNet().eval()
    seen = read_landmarks(tmp_path, net, FixedBox(Box(20, 10, 50, 50, 1.0)))
    assert seen.points.shape == (5, len(POINTS), 2) and seen.visible.all()
    assert np.isfinite(seen.points).all() and (seen.spread > 0).all()
    unseen = read_landmarks(tmp_path, net, FixedBox(None))
    assert unseen.points.shape == (5, len(POINTS), 2) and not unseen.visible.any()
    assert np.isnan(unseen.points).all() and np.isnan(unseen.spread).all() and not unseen.state.any()


def test_known_boxes_give_what_a_search_gives(tmp_path):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), rng.integers(0, 255, (80, 100, 3), np.uint8))
    net = LandmarkNet().eval()
    found = read_landmarks(tmp_path, net, FixedBox(Box(20, 10, 50, 50, 1.0, 0)))
    boxes = np.array([[20, 10, 50, 0]] * 3 + [[0, 0, 0, 0]], np.float32)
    placed = read_landmarks(tmp_path, net, boxes=boxes)
    np.testing.assert_allclose(placed.points[:3], found.points[:3], atol=0.1)
    assert placed.visible.tolist() == [True, True, True, False] and np.isnan(placed.points[3]).all()


@pytest.fixture(scope="module")
def points_net():
    return load_landmarks()


def test_the_points_read_with_the_vectors_are_those_of_a_pass_of_their_own(small_set, detector, points_net):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    faces = extract(video, detector.net, landmarks=points_net)
    alone = read_points(open_video(video), points_net, faces.boxes)
    kept, net = faces.points, points_net
    assert kept.digest == alone.digest == net.digest != ""
    assert len(kept.points) == -(-len(faces.state) // POINTS_EVERY) and kept.visible.all()
    np.testing.assert_allclose(kept.points, alone.points, atol=2e-3)
    np.testing.assert_allclose(kept.state, alone.state, atol=2e-3)
    pixels = read_landmarks(video, net, fps=30 / POINTS_EVERY, boxes=faces.boxes)
    np.testing.assert_allclose(kept.state, pixels.state, atol=2e-3)
    placed = in_pictures(kept.points.astype(float), faces.boxes[::POINTS_EVERY])
    np.testing.assert_allclose(placed, pixels.points, atol=0.2)


def test_points_depend_neither_on_batches_nor_on_repeats(tmp_path, detector, points_net):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(2)
    pictures = np.repeat(rng.integers(0, 255, (7, 90, 100, 3), np.uint8), [2, 1, 3, 7, 1, 1, 4], 0)
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), picture)
    found = FixedBox(Box(20, 10, 60, 60, 1.0, 0))
    one, many = (
        extract(tmp_path, detector.net, found, batch_size=n, landmarks=points_net).points for n in (1, 8)
    )
    assert len(one.points) == 7
    np.testing.assert_allclose(one.points, many.points, atol=2e-3)
    np.testing.assert_allclose(one.state, many.state, atol=2e-3)
    same = (pictures[::3][1:] == pictures[::3][:-1]).all((1, 2, 3))
    np.testing.assert_array_equal((one.state[1:] == one.state[:-1]).all(1), same)


def test_kept_points_come_back_and_damaged_ones_are_named(small_set, detector, points_net, tmp_path):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    faces = extract(video, detector.net, landmarks=points_net, cache=tmp_path)
    file = next(tmp_path.glob("*.f16"))
    np.testing.assert_array_equal(load_track(file).points.state, faces.points.state)
    for broken in (faces.points.state[:-1], faces.points.state * np.float16(np.nan)):
        arrays = dict(np.load(file.with_suffix(".npz"))) | {"points_state": broken}
        np.savez(file.with_suffix(".npz"), **arrays)
        with pytest.raises(InputError, match="damaged"):
            load_track(file)
    again = extract(video, detector.net, landmarks=points_net, cache=tmp_path)
    np.testing.assert_allclose(again.points.state, faces.points.state, atol=2e-3)


@pytest.mark.slow
def test_points_of_two_people_are_read_in_the_one_pass_of_their_video(
    tmp_path, detector, points_net, monkeypatch
):
    config = SynthConfig(subjects=2, together=2, seconds=5, size=144, seed=5, silent_share=0)
    synthesize(tmp_path / "set", config, jobs=1, progress=False)
    video = next((tmp_path / "set").rglob("*.mp4"))
    passes, frames = [], VideoFile.lazy_frames
    monkeypatch.setattr(VideoFile, "lazy_frames", lambda *given: passes.append(1) or frames(*given))
    found = fedet.detect(video, detector, 0.02, people="all", cache=tmp_path / "kept")
    assert len(passes) == 1 and len(found.people) == 2
    again = fedet.detect(video, detector, 0.02, people="all", cache=tmp_path / "kept")
    assert len(passes) == 1
    pd.testing.assert_frame_equal(again.table, found.table)
    for one in found.people:
        faces = one.person.faces
        alone = read_points(open_video(video), points_net, faces.boxes)
        np.testing.assert_array_equal(faces.points.visible, faces.mask[::POINTS_EVERY])
        np.testing.assert_allclose(faces.points.points, alone.points, atol=4e-3)
        np.testing.assert_allclose(faces.points.state, alone.state, atol=4e-3)

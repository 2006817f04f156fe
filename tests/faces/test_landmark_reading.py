"""Points of a face in the pixels of a video's pictures."""

import numpy as np
import pytest

from fedet.faces.detectors import Box
from fedet.faces.landmarks import SIZE, LandmarkNet, _in_picture, read_landmarks
from fedet.faces.points import POINTS
from fedet.faces.tracking import crop

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
    np.testing.assert_allclose(_in_picture(point[None], box)[0], DOT, atol=0.3)


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

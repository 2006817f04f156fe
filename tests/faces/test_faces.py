"""The tracker is tested with scripted boxes; the cascade on a face drawn here and on a real clip."""

import itertools
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.faces.detectors import Box, HaarDetector
from fedet.faces.tracking import CROP_DOWN, CROP_SCALE, TrackingConfig, crop, missing_spans, track_faces
from fedet.video.reader import Frame, open_video

CLIPS = Path(os.environ.get("FEDET_REAL_CLIPS", Path(__file__).parents[3] / "shared" / "real_clips"))
FPS = 30


def square(cx: float, cy: float, size: float, score: float = 5.0) -> Box:
    return Box(cx - size / 2, cy - size / 2, size, size, score)


class Scripted:
    """Answers with the boxes of `script(time_s)`; frames carry their time in their pixels."""

    def __init__(self, script) -> None:
        self.script = script
        self.asked: list[float] = []

    def detect(self, image, near=None):
        time_s = float(image[0, 0, 0])
        if not self.asked or self.asked[-1] != time_s:
            self.asked.append(time_s)
        return list(self.script(time_s))


def frames_of(seconds: float, fps: float = FPS):
    for k in range(round(seconds * fps)):
        yield Frame(k, k / fps, np.full((1, 1, 3), k / fps))


def follow(script, seconds: float = 6.0, config: TrackingConfig | None = None, fps: float = FPS):
    return list(track_faces(frames_of(seconds, fps), Scripted(script), config))


def centres(tracked) -> np.ndarray:
    return np.array([[f.box.cx, f.box.cy] for f in tracked])


def states(tracked) -> list[str]:
    return [f.state for f in tracked]


def test_every_frame_comes_out_once_in_order_with_a_face():
    tracked = follow(lambda t: [square(100, 80, 50)])
    assert [f.index for f in tracked] == list(range(180))
    assert [f.time_s for f in tracked] == [k / FPS for k in range(180)]
    assert set(states(tracked)) == {"found"}
    assert {f.track for f in tracked} == {0}
    assert centres(tracked) == pytest.approx(np.tile([100, 80], (180, 1)))
    assert [f.box.size for f in tracked] == pytest.approx([50] * 180)


def test_the_detector_is_asked_every_fifth_frame_and_at_the_last():
    detector = Scripted(lambda t: [square(100, 80, 50)])
    list(track_faces(frames_of(1.1), detector))
    assert detector.asked == pytest.approx([k / FPS for k in (0, 5, 10, 15, 20, 25, 30, 32)])


@pytest.mark.parametrize("seed", range(3))
def test_jitter_is_smoothed_away(seed):
    rng = np.random.default_rng(seed)

    def script(t):
        return [square(100 + rng.normal(0, 1), 80 + rng.normal(0, 1), 100 * rng.normal(1, 0.02))]

    tracked = follow(script, seconds=20)
    path, sizes = centres(tracked), np.array([f.box.size for f in tracked])
    assert np.abs(np.diff(path, axis=0)).mean() < 0.06  # raw: 1.1 px from look to look
    assert path.std(axis=0).max() < 0.6
    assert sizes.std() / 100 < 0.01
    assert np.abs(path - [100, 80])[30:-30].max() < 2


@pytest.mark.parametrize("speed", [-60.0, 0.0, 25.0, 100.0])
def test_a_steady_move_is_followed_without_lag(speed):
    tracked = follow(lambda t: [square(300 + speed * t, 80, 100)])
    truth = np.array([[300 + speed * f.time_s, 80] for f in tracked])
    error = np.abs(centres(tracked) - truth)[:, 0]
    assert error[30:-30].max() < 1.5
    assert error.max() < 0.16 * abs(speed) + 1e-6  # at the ends, a look's distance


def test_a_nod_and_a_quick_turn_stay_inside_the_crop():
    def nod(t):
        return 80 + 10 * math.sin(2 * math.pi * t)

    tracked = follow(lambda t: [square(100 + 50 / (1 + math.exp(-20 * (t - 3))), nod(t), 100)])
    truth = [(100 + 50 / (1 + math.exp(-20 * (f.time_s - 3))), nod(f.time_s)) for f in tracked]
    error = np.abs(centres(tracked) - truth)
    assert error[:, 0].max() < 12  # of a crop of 120
    assert np.sqrt((error[:, 1] ** 2).mean()) < 4


def test_a_single_outlier_moves_nothing():
    tracked = follow(lambda t: [square(100, 80, 50 if abs(t - 3) > 0.01 else 66)])
    assert [f.box.size for f in tracked] == pytest.approx([50] * 180)


def test_a_short_gap_is_bridged_by_interpolation():
    tracked = follow(lambda t: [] if 2.0 < t < 2.8 else [square(100 + 20 * t, 80, 100)])
    assert states(tracked)[:61] == ["found"] * 61
    assert states(tracked)[61:85] == ["bridged"] * 24  # looks at 2.0 and 2.833 saw the face
    assert states(tracked)[85:] == ["found"] * 95
    assert centres(tracked)[60:86, 0] == pytest.approx(100 + 20 * np.arange(60, 86) / 30, abs=1)
    assert {f.track for f in tracked} == {0}


def test_a_long_gap_is_missing_and_the_face_comes_back():
    tracked = follow(lambda t: [] if 2.0 < t < 3.6 else [square(100, 80, 50)])
    gone = [f.index for f in tracked if f.state == "missing"]
    assert gone == list(range(63, 108))  # from the middle between looks to the middle
    assert all(f.box is None and f.track == -1 for f in tracked if f.state == "missing")
    assert {f.track for f in tracked[110:]} == {0}
    assert set(states(tracked)) == {"found", "missing"}


@pytest.mark.parametrize(
    ("place", "size", "until_s", "number"),
    [(100, 50, 4.0, 0), (135, 50, 4.0, 0), (160, 50, 4.0, 1), (100, 90, 4.0, 1), (100, 50, 24.0, 1)],
)
def test_only_who_comes_back_to_the_same_place_in_time_is_the_same_person(place, size, until_s, number):
    def script(t):
        return [square(100, 80, 50)] if t < 2 else [] if t < until_s else [square(place, 80, size)]

    tracked = follow(script, seconds=until_s + 3)
    assert {f.track for f in tracked[:50]} == {0}
    assert {f.track for f in tracked[-60:]} == {number}
    assert centres(tracked[-60:])[:, 0] == pytest.approx([place] * 60)  # the old place pulls at nothing


def test_somebody_in_between_ends_a_track():
    def script(t):
        return [square(100, 80, 50)] if t < 2 or t > 6 else [square(400, 80, 50)] if 3.5 < t < 4.5 else []

    tracked = follow(script, seconds=9)
    assert {f.track for f in tracked[:50]} == {0}
    assert {f.track for f in tracked[-60:]} == {2}


def test_without_a_face_everything_is_missing():
    tracked = follow(lambda t: [])
    assert set(states(tracked)) == {"missing"}
    assert len(tracked) == 180


def test_single_false_alarms_are_left_out():
    def script(t):
        found = [] if t < 2 else [square(100, 80, 50)]
        return found + ([square(400, 300, 200)] if round(t * 30) in (10, 45, 90, 120) else [])

    tracked = follow(script)
    assert set(states(tracked)[:57]) == {"missing"}
    assert set(states(tracked)[60:]) == {"found"}
    assert centres(tracked[60:]) == pytest.approx(np.tile([100, 80], (120, 1)))


def test_false_alarms_inside_the_face_or_of_another_size_are_ignored():
    def script(t):
        inside = square(100, 100, 20)
        return [inside, square(100, 80, 50) if t < 2 or t > 2.7 else square(150, 80, 200)]

    tracked = follow(script)
    assert {f.track for f in tracked} == {0}
    assert tracked[75].box.size == pytest.approx(50, rel=0.01)


def test_the_largest_face_is_followed_whatever_the_order():
    small, large = square(100, 80, 50), square(300, 80, 60)
    for boxes in ([small, large], [large, small]):
        assert centres(follow(lambda t, boxes=boxes: boxes))[:, 0] == pytest.approx([300] * 180)


def test_a_followed_face_is_kept_though_another_is_a_little_larger():
    tracked = follow(lambda t: [square(100, 80, 50)] + ([square(300, 80, 60)] if t > 1 else []), seconds=8)
    assert {f.track for f in tracked} == {0}
    assert centres(tracked)[:, 0] == pytest.approx([100] * 240)


def test_a_passer_by_does_not_take_over_but_a_larger_face_that_stays_does():
    def passing(t):
        return [square(100, 80, 50)] + ([square(300, 80, 90)] if 2 < t < 2.7 else [])

    assert {f.track for f in follow(passing)} == {0}

    def staying(t):
        return [square(100, 80, 50)] + ([square(300, 80, 90)] if t > 2 else [])

    tracked = follow(staying, seconds=8)
    tracks = [f.track for f in tracked]
    switch = tracks.index(1)
    assert 90 <= switch <= 135
    assert tracks == [0] * switch + [1] * (240 - switch)
    assert centres(tracked)[:switch, 0] == pytest.approx([100] * switch)  # no sliding across
    assert centres(tracked)[switch:, 0] == pytest.approx([300] * (240 - switch))
    assert "missing" not in states(tracked)


def test_after_a_cut_the_new_face_is_followed_from_its_first_look():
    tracked = follow(lambda t: [square(100, 80, 50)] if t < 2.99 else [square(400, 80, 50)])
    tracks = [f.track for f in tracked]
    assert tracks == [0] * 88 + [1] * 92
    assert centres(tracked)[:, 0] == pytest.approx([100] * 88 + [400] * 92)


def test_another_person_does_not_get_in_while_the_followed_one_is_hidden():
    def script(t):
        return [square(300, 80, 60)] + ([] if 3 < t < 3.8 else [square(100, 80, 65)])

    tracked = follow(script)
    assert {f.track for f in tracked} == {0}
    assert centres(tracked)[:, 0] == pytest.approx([100] * 180)
    assert "bridged" in states(tracked)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_very_short_videos_have_their_face(n):
    tracked = follow(lambda t: [square(100, 80, 50)], seconds=n / FPS)
    assert states(tracked) == ["found"] * n
    assert follow(lambda t: [], seconds=0) == []


def test_other_frame_rates_give_the_same_path():
    def script(t):
        return [square(100 + 10 * math.sin(t), 80, 50)]

    at_30, at_60 = follow(script), follow(script, fps=60)
    assert centres(at_60)[::2] == pytest.approx(centres(at_30), abs=0.3)
    assert set(states(follow(script, fps=5))) == {"found"}


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), seconds=st.floats(0.04, 6))
def test_what_comes_later_does_not_change_what_was_given_out(seed, seconds):
    """Cut anywhere, the path agrees up to the lookahead; and few frames are held at any time."""
    rng = np.random.default_rng(seed)
    looks = {
        k: [square(*rng.normal((100, 80, 50), (2, 2, 1)))] * int(rng.random() < 0.8)
        + [square(*rng.normal((300, 80, 90), (2, 2, 1)))] * int(rng.random() < 0.2)
        for k in range(200)
    }

    def script(t):
        return looks[round(t * FPS)]

    config = TrackingConfig()
    whole, cut = follow(script, 6), follow(script, seconds)
    assert len(cut) == round(seconds * FPS)
    sure = [i for i, f in enumerate(cut) if f.time_s < cut[-1].time_s - config.lookahead_s - 0.2]
    for i in sure:
        assert cut[i].box == whole[i].box
        assert cut[i][3:] == whole[i][3:]
    taken = 0

    def counted():
        nonlocal taken
        for frame in frames_of(6):
            taken += 1
            yield frame

    for given_out, _ in enumerate(track_faces(counted(), Scripted(script), config)):
        assert taken - given_out <= (config.lookahead_s + 2 * config.every_s) * FPS + 1


# Crops


def ramp(height: int = 200, width: int = 300) -> np.ndarray:
    y, x = np.mgrid[:height, :width] * 0.5
    return np.dstack([x, y, x * 0 + 50]).astype(np.uint8)


def test_a_crop_is_square_and_centred_below_the_box():
    image = ramp()
    cut = crop(image, square(150, 100, 80), size=64)
    assert cut.shape == (64, 64, 3)
    assert cut.dtype == np.uint8
    middle = cut[31:33, 31:33].reshape(-1, 3).mean(axis=0)
    assert middle[0] == pytest.approx(0.5 * (150 - 0.5), abs=1)
    assert middle[1] == pytest.approx(0.5 * (100 + CROP_DOWN * 80 - 0.5), abs=1)
    span = float(cut[32, -1, 0]) - float(cut[32, 0, 0])
    assert span == pytest.approx(0.5 * 80 * CROP_SCALE * 63 / 64, abs=1)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_a_crop_on_the_pixel_grid_is_an_area_average(factor):
    image = np.random.default_rng(0).integers(0, 255, (120, 120, 3)).astype(np.uint8)
    side = 16 * factor
    cut = crop(image, Box(10, 20, side, side), size=16, scale=1.0, down=0.0)
    patch = image[20 : 20 + side, 10 : 10 + side].astype(float)
    expected = patch.reshape(16, factor, 16, factor, 3).mean(axis=(1, 3))
    assert np.abs(cut - expected).max() <= 1


def test_fractions_of_a_pixel_move_the_crop_by_fractions():
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8), (0, 0), 4
    )
    cuts = [crop(image, square(100 + d, 100, 90)).astype(float) for d in np.arange(0, 2.01, 0.25)]
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(cuts)]
    assert max(steps) < 1.5 * min(steps)


def test_beyond_the_edge_the_outermost_pixels_are_repeated():
    image = ramp()
    cut = crop(image, square(0, 0, 100), size=60)
    padded = np.pad(image, ((100, 100), (100, 100), (0, 0)), "edge")
    expected = crop(padded, square(100, 100, 100), size=60)
    assert np.abs(cut.astype(int) - expected).max() <= 1
    assert crop(image[:, :, 0], square(0, 0, 100), size=60).shape == (60, 60)


def test_a_crop_is_the_same_at_every_image_size():
    image = cv2.GaussianBlur(ramp(), (0, 0), 2)
    double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    small, large = crop(image, square(150, 90, 70)), crop(double, square(300, 180, 140))
    assert np.abs(small.astype(int) - large).mean() < 1


@pytest.mark.parametrize("roll", [-50.0, -20.0, 7.0, 35.0])
def test_the_crop_of_a_tilted_head_is_upright(roll):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8), (0, 0), 5
    )
    turn = cv2.getRotationMatrix2D((149.5, 149.5), roll, 1)  # counter-clockwise
    tilted = cv2.warpAffine(image, turn, (300, 300), flags=cv2.INTER_CUBIC)
    upright = crop(image, square(150, 150, 120)).astype(float)
    off = np.abs(crop(tilted, square(150, 150, 120)._replace(roll=roll)) - upright).mean()
    assert off < 1
    assert np.abs(crop(tilted, square(150, 150, 120)) - upright).mean() > 2 * off


# Spans without a face


def test_missing_spans():
    f, b, m = "found", "bridged", "missing"
    table = missing_spans([m, m, f, b, m, f, m], fps=10)
    assert list(table.columns) == ["start_frame", "end_frame", "start_s", "end_s"]
    assert table.values.tolist() == [[0, 1, 0.0, 0.2], [4, 4, 0.4, 0.5], [6, 6, 0.6, 0.7]]
    assert len(missing_spans([f, b], fps=10)) == 0
    assert len(missing_spans([], fps=10)) == 0


@given(st.lists(st.sampled_from(["found", "bridged", "missing"])))
def test_missing_spans_hold_exactly_the_missing_frames(given_states):
    table = missing_spans(given_states, fps=30)
    frames = [k for row in table.itertuples() for k in range(row.start_frame, row.end_frame + 1)]
    assert frames == [k for k, state in enumerate(given_states) if state == "missing"]


# Detectors


def drawing(width: int = 320, height: int = 240, cx: int = 160, cy: int = 110) -> np.ndarray:
    """A face drawn from a few soft ellipses, which the frontal cascade accepts."""
    image = np.full((height, width, 3), (90, 110, 130), np.uint8)

    def spot(x, y, rx, ry, colour, tilt=0):
        cv2.ellipse(image, (cx + x, cy + y), (rx, ry), tilt, 0, 360, colour, -1, cv2.LINE_AA)

    spot(0, -12, 56, 72, (50, 35, 28))
    spot(0, 8, 46, 62, (224, 178, 150))
    for side in (-1, 1):
        spot(side * 20, -18, 13, 3, (60, 40, 30), side * 6)
        spot(side * 19, -5, 10, 5, (150, 105, 90))
        spot(side * 19, -5, 8, 4, (235, 230, 225))
        spot(side * 19, -5, 4, 4, (40, 25, 20))
        spot(side * 5, 22, 3, 2, (130, 80, 70))
    spot(0, 14, 4, 14, (240, 198, 170))
    spot(0, 40, 17, 5, (150, 60, 60))
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def test_the_cascade_finds_a_drawn_face_at_any_size_and_place():
    (box,) = HaarDetector().detect(drawing())
    assert (box.cx, box.cy) == pytest.approx((160, 115), abs=14)
    assert box.size == pytest.approx(105, rel=0.25)
    moved = drawing(cx=210, cy=130)
    (other,) = HaarDetector().detect(moved)
    assert (other.cx - box.cx, other.cy - box.cy) == pytest.approx((50, 20), abs=5)
    large = cv2.resize(drawing(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (threefold,) = HaarDetector().detect(large)
    assert threefold.size == pytest.approx(3 * box.size, rel=0.1)


@pytest.mark.parametrize("near", [(160, 115, 105), (175, 105, 100), (140, 120, 130)])
def test_a_search_near_the_face_agrees_with_the_whole_search(near):
    (box,) = HaarDetector().detect(drawing())
    (close,) = HaarDetector().detect(drawing(), near=square(*near))
    assert (close.cx, close.cy, close.size) == pytest.approx((box.cx, box.cy, box.size), abs=9)


def red_alone() -> np.ndarray:
    """The drawn face in red; green goes the other way, so that the grey picture is all of one grey."""
    red = 96 + 0.5 * cv2.cvtColor(drawing(), cv2.COLOR_RGB2GRAY).astype(np.float64)
    green = 128 - 0.299 / 0.587 * (red - 128)
    return np.rint(np.stack([red, green, np.full_like(red, 128)], axis=-1)).astype(np.uint8)


def test_a_face_that_shows_in_red_alone_is_found():
    (box,) = HaarDetector().detect(drawing())
    image = red_alone()
    assert np.ptp(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) <= 2
    (wide,) = HaarDetector().detect(image)
    (near,) = HaarDetector().detect(image, near=box)
    for found in (wide, near):
        assert (found.cx, found.cy, found.size) == pytest.approx((box.cx, box.cy, box.size), abs=9)
        assert found.roll == 0


def test_the_smallest_patches_can_be_searched():
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    for x in range(-4, 42):
        assert HaarDetector().detect(image, near=square(x, 20, 4)) == []


def tilted_drawing(tilt: float) -> np.ndarray:
    """The drawn face tilted about (160, 120), degrees counter-clockwise."""
    turn = cv2.getRotationMatrix2D((160, 120), tilt, 1)
    return cv2.warpAffine(drawing(), turn, (320, 240), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("tilt", [-40, -25, 25, 40])
def test_a_tilted_head_is_found_and_its_tilt_told(tilt):
    detector = HaarDetector()
    (upright,) = detector.detect(drawing())
    assert upright.roll == 0
    place = cv2.getRotationMatrix2D((160, 120), tilt, 1) @ (upright.cx, upright.cy, 1)
    for near in (None, upright, upright._replace(roll=tilt / 2), upright._replace(roll=tilt)):
        (box,) = detector.detect(tilted_drawing(tilt), near=near)
        assert box.roll == pytest.approx(tilt, abs=15)
        assert (box.cx, box.cy) == pytest.approx(tuple(place), abs=12)
        assert box.size == pytest.approx(upright.size, rel=0.2)
    (again,) = detector.detect(drawing(), near=upright._replace(roll=10 * np.sign(tilt)))
    assert abs(again.roll) <= 10


def test_a_head_that_tilts_and_comes_back_is_followed_upright():
    def frames():
        for k in range(150):
            yield Frame(k, k / FPS, tilted_drawing(35 * math.sin(math.pi * k / 149) ** 2))

    tracked = list(track_faces(frames(), HaarDetector()))
    assert set(states(tracked)) == {"found"}
    assert {f.track for f in tracked} == {0}
    assert tracked[75].box.roll == pytest.approx(35, abs=12)
    assert tracked[5].box.roll == pytest.approx(0, abs=8)
    crops = np.array([crop(f.image, f.box)[20:100, 20:92] for f in tracked], float)
    assert (
        np.abs(crops[75] - crops[5]).mean()
        < 0.6
        * np.abs(crop(tracked[75].image, tracked[75].box._replace(roll=0))[20:100, 20:92] - crops[5]).mean()
    )


def test_a_search_near_another_place_finds_nothing():
    detector = HaarDetector()
    assert detector.detect(drawing(960, 240), near=square(800, 110, 100)) == []
    assert detector.detect(drawing(), near=square(-500, -500, 100)) == []
    assert detector.detect(np.full((240, 320, 3), 128, np.uint8)) == []
    assert detector.detect(np.zeros((16, 16, 3), np.uint8)) == []


def test_a_drawn_video_is_followed_and_cropped_the_same_all_along():
    def frames():
        for k in range(60):
            yield Frame(k, k / FPS, drawing(cx=130 + k, cy=110))

    tracked = list(track_faces(frames(), HaarDetector()))
    assert set(states(tracked)) == {"found"}
    crops = np.array([crop(f.image, f.box) for f in tracked], float)
    assert np.abs(crops[5:-5] - crops[30]).mean() < 6  # the background moves, the face stays
    brows_to_chin = crops[30, 15:105, 40:72]
    assert brows_to_chin[0].mean() > 100


real = pytest.mark.skipif(
    not (CLIPS / "single_face.mp4").exists(),
    reason=f"no real clips at {CLIPS}; set FEDET_REAL_CLIPS",
)


@real
def test_a_real_face_is_found_in_every_frame_and_hardly_jitters():
    video = open_video(CLIPS / "single_face.mp4")
    tracked = list(track_faces(video.frames(fps=30), HaarDetector()))
    assert states(tracked) == ["found"] * 72
    path = np.array([[f.box.cx, f.box.cy, f.box.size] for f in tracked])
    assert np.abs(np.diff(path, axis=0)).mean() < 0.3  # pixels a frame; raw boxes: 1.9
    assert path[:, 0] == pytest.approx(294, abs=8)
    assert path[:, 2] == pytest.approx(194, abs=10)

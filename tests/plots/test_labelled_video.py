"""A labelled video: same times, same sound, boxes where the face is, nobody to be known if blurred."""

import numpy as np
import pandas as pd
import pytest

from fedet.annotations.table import validate
from fedet.detection import Detections
from fedet.errors import InputError
from fedet.faces.frame_table import FrameReadings
from fedet.intervals import EMOTION_COLOURS
from fedet.plots.labelled_video import write_labelled_video
from fedet.video.audio import read_sound
from fedet.video.reader import open_video
from fedet.video.writer import write_timed_video, write_video

NAME = "a person with a very, very long name 名前 " * 4


def pictures(count, height=121, width=211):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return [noise] * count


def found(n=60, people=("Ann",), box=(80, 40, 60)):
    """Detections of people whose face stays in one place."""
    rows = {"video": "clip", "subject": people[0], "fps": 30.0, "onset": [15], "offset": [40],
            "emotion": "positive", "score": 0.9, "source": "fedet"}  # fmt: skip
    boxes = np.tile(np.array([*box, 0], np.float32), (n, 1))
    readings = FrameReadings(np.zeros(n, np.uint8), np.zeros(n, np.int32), 30.0, boxes)
    table = validate(pd.DataFrame(rows))[0]
    return Detections(table, pd.DataFrame(), n / 30, 0.5, video="clip", subject=people[0], readings=readings)


def test_pictures_keep_irregular_times(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(0).choice([1 / 60, 1 / 30, 1 / 10], 40)])
    write_timed_video(tmp_path / "v.mp4", zip(times, pictures(41), strict=True), 30.0)
    write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / "out.mp4")
    for name in ("v.mp4", "out.mp4"):
        got = [frame.time_s for frame in open_video(tmp_path / name).frames()]
        np.testing.assert_allclose(got, times, atol=2e-4)


def test_sound_stays_in_step_and_ends_with_the_picture(tmp_path):
    rate = 48_000
    sound = np.zeros(4 * rate, np.float32)  # longer than the picture
    sound[rate : round(1.2 * rate)] = 0.8 * np.sin(np.arange(round(0.2 * rate)) / 30)
    write_video(tmp_path / "v.mp4", pictures(60), 30.0, sound=(sound, rate))
    write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / "out.mp4")
    heard = [read_sound(tmp_path / name) for name in ("v.mp4", "out.mp4")]
    starts = [one.time[one.level > -20][0] for one in heard]
    assert starts[1] == pytest.approx(starts[0], abs=0.03)
    assert heard[1].time[-1] <= 2.1
    assert open_video(tmp_path / "out.mp4").duration_s == pytest.approx(2.0, abs=0.1)


def test_box_and_expression_are_where_they_belong(tmp_path):
    write_video(tmp_path / "v.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 60, 30.0, crf=10)
    write_labelled_video(tmp_path / "v.mp4", found(box=(120, 80, 100)), tmp_path / "out.mp4")
    made = open_video(tmp_path / "out.mp4")
    assert made.width == 320 and made.height > 240
    colour = np.array([int(EMOTION_COLOURS["positive"][i : i + 2], 16) for i in (1, 3, 5)])

    def is_coloured(time_s):
        image = made.frame_at(time_s).image.astype(int)
        return np.abs(image[120:160, 118:123] - colour).sum(2).min() < 90

    assert [is_coloured(t) for t in (0.2, 0.6, 1.2, 1.6)] == [False, True, True, False]


def test_a_covered_face_is_coarse(tmp_path):
    write_video(tmp_path / "v.mp4", pictures(12), 30.0, crf=5)
    write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / "out.mp4", blur=True)
    write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / "plain.mp4")
    images = [open_video(tmp_path / n).frame_at(0.2).image.astype(float) for n in ("plain.mp4", "out.mp4")]
    rough = [np.abs(np.diff(image[50:90, 90:130], axis=1)).mean() for image in images]
    assert rough[1] < 0.3 * rough[0]


@pytest.mark.parametrize("size", [(41, 33), (240, 320)])
def test_long_names_many_people_and_small_pictures_fit(tmp_path, size):
    write_video(tmp_path / "v.mp4", pictures(6, *size), 30.0)
    table = pd.concat([found(people=(f"{NAME} {i}",)).table for i in range(9)], ignore_index=True)
    write_labelled_video(tmp_path / "v.mp4", table, tmp_path / "out.mp4")
    assert open_video(tmp_path / "out.mp4").width == open_video(tmp_path / "v.mp4").width


def test_the_source_is_never_written_over(tmp_path):
    write_video(tmp_path / "v.mp4", pictures(6), 30.0)
    before = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "v.mp4")
    for name in ("v.mp4", "link.mp4"):
        with pytest.raises(InputError, match="is the video itself"):
            write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / name)
    with pytest.raises(InputError, match=r"\.mp4, \.mov or \.mkv"):
        write_labelled_video(tmp_path / "v.mp4", found(), tmp_path / "out.gif")
    assert (tmp_path / "v.mp4").read_bytes() == before

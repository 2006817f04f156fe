"""Small pictures without recognisable faces, and vectors kept instead of frames."""

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fedet.cli.main import app
from fedet.errors import InputError
from fedet.faces.detectors import HaarDetector
from fedet.faces.network import load_facenet
from fedet.faces.vectors import read_cached
from fedet.plots.thumbnails import blur_faces, frames_near, plot_strip
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.video.writer import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    config = SynthConfig(subjects=1, seconds=5, seed=31, events_per_minute=30, silent_share=0, micro_share=0)
    made = synthesize(tmp_path_factory.mktemp("made"), config, jobs=1, progress=False)
    return next((made / "videos").iterdir())


def test_a_blurred_face_is_coarse_and_the_rest_a_mosaic(video):
    image = frames_near(video, [1.0])[0]
    boxes = HaarDetector().detect(image)
    blurred = blur_faces(image)
    assert boxes and not HaarDetector().detect(blurred)
    box = max(boxes, key=lambda b: b.size)
    inner = tuple(slice(int(a), int(a + box.size)) for a in (box.y, box.x))
    assert len(np.unique(blurred[inner].reshape(-1, 3), axis=0)) <= 64
    assert len(np.unique(blurred.reshape(-1, 3), axis=0)) <= 40 * 40 and blurred.shape == image.shape


def test_a_strip_holds_no_picture_larger_than_full_hd(tmp_path):
    write_video(tmp_path / "a.mp4", [np.full((160, 3840, 3), 90, np.uint8)] * 2, 30)
    assert [p.shape for p in frames_near(tmp_path / "a.mp4", [0.0, 0.05])] == [(80, 1920, 3)] * 2


@pytest.mark.parametrize("size", [90, 200])
def test_a_tilted_face_beside_a_big_one_is_coarse_too(video, size):
    face = frames_near(video, [1.0])[0]
    box = max(HaarDetector().detect(face), key=lambda b: b.size)
    image = np.empty((480, 800, 3), np.uint8)
    for x, side, tilt in ((200, 240, 0), (600, size, 30)):
        turn = cv2.getRotationMatrix2D((box.cx, box.cy), tilt, side / box.size)
        turn[:, 2] += (200 - box.cx, 240 - box.cy)
        image[:, x - 200 : x + 200] = cv2.warpAffine(face, turn, (400, 480), borderMode=cv2.BORDER_REPLICATE)
    assert len(HaarDetector().detect(image)) == 1  # the big one hides the other from a plain search
    inner = blur_faces(image)[240 - size // 4 : 240 + size // 4, 600 - size // 4 : 600 + size // 4]
    assert len(np.unique(inner.reshape(-1, 3), axis=0)) <= 25


def test_a_picture_without_a_found_face_is_made_coarse_as_a_whole():
    image = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    assert len(np.unique(blur_faces(image).reshape(-1, 3), axis=0)) <= 144


def test_titles_of_a_strip_lie_beside_the_pictures(video):
    axes = plot_strip(
        video, [0.2 * i for i in range(20)], ["1.0 s positive\n0.70"] * 20, label="a generated face"
    )
    figure = axes[0].figure
    figure.draw_without_rendering()
    pictures = [ax.get_window_extent() for ax in axes[:20]]
    texts = [ax.title.get_window_extent() for ax in axes[:20]] + [figure._suptitle.get_window_extent()]
    assert not any(text.overlaps(picture) for text in texts for picture in pictures)
    assert not any(text.overlaps(texts[-1]) for text in texts[:-1])


def test_kept_vectors_give_the_same_table_when_the_frames_are_gone(video, tmp_path):
    run = CliRunner().invoke
    film = tmp_path / "film.mp4"
    film.write_bytes(video.read_bytes())
    options = ["--threshold", "0.05", "--second-opinion", "none", "--keep-vectors", str(tmp_path / "kept")]
    first = run(
        app, ["detect", str(film), "--out", str(tmp_path / "a"), "--thumbnails", "--blur-faces", *options]
    )
    assert first.exit_code == 0 and (tmp_path / "a" / "film_apexes.png").stat().st_size > 1000
    film.unlink()
    again = run(app, ["detect", str(tmp_path / "kept"), "--out", str(tmp_path / "b"), "--threshold", "0.05"])
    assert again.exit_code == 0
    one, two = (pd.read_csv(tmp_path / n / "detections.csv").drop(columns=["video", "subject"]) for n in "ab")
    pd.testing.assert_frame_equal(one, two)


def test_kept_vectors_of_other_weights_or_in_part_are_refused(tmp_path):
    net = load_facenet()
    (tmp_path / "a.f16").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.json, a\.npz"):
        read_cached(tmp_path / "a.f16", net)
    np.savez(tmp_path / "a.npz", rest=np.zeros(0), state=np.zeros(0), track=np.zeros(0))
    (tmp_path / "a.json").write_text('{"fps": 30, "problems": [], "weights": "faces", "digest": "older"}')
    with pytest.raises(InputError, match="older"):
        read_cached(tmp_path / "a.f16", net)


def test_blurring_without_pictures_is_refused(video):
    told = CliRunner().invoke(app, ["detect", str(video), "--blur-faces"])
    assert isinstance(told.exception, InputError) and "--thumbnails" in str(told.exception)

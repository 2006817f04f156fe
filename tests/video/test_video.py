"""Videos are made here with PyAV: each frame carries its number as grey stripes."""

import itertools
import os
import pickle
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.errors import InputError
from fedet.video.reader import Frame, Video, _Source, open_video
from fedet.video.writer import write_video

BITS = 9


def numbered(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """An image that spells its number in vertical stripes; the upper left corner is red."""
    image = np.full((height, width, 3), 40, np.uint8)
    edges = np.linspace(width // 4, width, BITS + 1).astype(int)
    for bit in range(BITS):
        image[:, edges[bit] : edges[bit + 1]] = 220 if number >> bit & 1 else 30
    image[: height // 3, : width // 5] = (230, 20, 20)
    return image


def number_of(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    edges = np.linspace(width // 4, width, BITS + 1).astype(int)
    row = image[height // 2].mean(axis=1)
    return sum(
        int(row[a + 1 : b - 1].mean() > 125) << bit for bit, (a, b) in enumerate(itertools.pairwise(edges))
    )


def numbers(frames) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def make(
    path: Path,
    codec: str = "libx264",
    times_ms: list[int] | None = None,
    n: int = 60,
    rate: int = 30,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    options: dict | None = None,
    turn: tuple | None = None,
    ratio: Fraction | None = None,
    muxer: dict | None = None,
) -> Path:
    times = None if times_ms is None else list(times_ms)
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        if turn:
            stream.set_display_rotation(*turn)
        for number in range(len(times) if times else n):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size))
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for _ in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


CONTAINERS = [
    ("a.mp4", "libx264"),
    ("a.mov", "libx264"),
    ("a.mkv", "libx264"),
    ("a.avi", "libx264"),  # B-frames in a container without presentation times
    ("b.avi", "mpeg4"),
    ("a.webm", "libvpx-vp9"),
    ("a.ts", "libx264"),
    ("a.mp4", "mpeg4"),
]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_every_container_gives_all_frames_in_order_at_their_times(tmp_path, name, codec):
    video = open_video(make(tmp_path / name, codec))
    frames = list(video.frames())
    assert (video.width, video.height) == (96, 64)
    assert video.fps == pytest.approx(30)
    assert numbers(frames) == list(range(60))
    assert [f.index for f in frames] == list(range(60))
    assert [f.time_s for f in frames] == pytest.approx(np.arange(60) / 30, abs=0.001)
    assert video.n_frames_estimate == 60
    assert video.problems == []


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_seeking_agrees_with_reading_through(tmp_path, name, codec):
    video = open_video(make(tmp_path / name, codec, n=200, options={"g": "48"}))
    through = list(video.frames())
    for frame in through[::17]:
        there = video.frame_at(frame.time_s)
        assert (there.index, there.time_s) == (frame.index, pytest.approx(frame.time_s))
        assert np.array_equal(there.image, frame.image)
    part = list(video.frames(2.0, 3.0))
    assert [f.index for f in part] == list(range(60, 90))
    assert numbers(part) == list(range(60, 90))
    ticks = list(video.frames(2.0, 3.0, fps=15))
    assert [f.index for f in ticks] == list(range(30, 45))
    assert numbers(ticks) == list(range(60, 90, 2))


def test_times_are_the_frames_own_and_not_index_over_rate(tmp_path):
    times = [0, 100, 110, 400, 1000, 1033, 1500, 2400]
    video = open_video(make(tmp_path / "a.mkv", times_ms=times))
    assert [f.time_s for f in video.frames()] == pytest.approx([t / 1000 for t in times], abs=0.001)
    shown = numbers(video.frames(fps=10, end_s=2.45))
    assert shown == [max(i for i, t in enumerate(times) if t <= 100 * tick) for tick in range(len(shown))]
    assert len(shown) == 25
    assert "gaps without a new frame" in " ".join(video.problems)


def test_nominal_rate_follows_the_stamps_where_the_header_is_wrong(tmp_path):
    video = open_video(make(tmp_path / "a.mkv", times_ms=range(0, 4000, 40), rate=30))
    assert video.fps == pytest.approx(25)


@pytest.mark.parametrize("start_ms", [1000, -500, 7])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_time_zero_is_the_first_shown_frame(tmp_path, name, start_ms):
    times = range(start_ms, start_ms + 2400, 40)
    video = open_video(make(tmp_path / name, times_ms=times))
    frames = list(video.frames())
    first = number_of(frames[0].image)  # mp4 cuts frames of negative time off
    assert numbers(frames) == list(range(first, 60))
    assert [f.time_s for f in frames] == pytest.approx(0.04 * np.arange(60 - first), abs=0.002)
    assert number_of(video.frame_at(1.0).image) == first + 25
    assert video.problems == []


@pytest.mark.parametrize(
    ("turn", "corner", "size"),
    [
        ((0,), (0, 0), (96, 64)),
        ((90,), (-1, 0), (64, 96)),
        ((180,), (-1, -1), (96, 64)),
        ((-90,), (0, -1), (64, 96)),
        ((0, True), (0, -1), (96, 64)),
        ((0, False, True), (-1, 0), (96, 64)),
        ((90, True), (-1, -1), (64, 96)),
        ((90, False, True), (0, 0), (64, 96)),
    ],
)
def test_frames_are_turned_as_displayed(tmp_path, turn, corner, size):
    """The red mark starts in the upper left; turns are counter-clockwise, mirrors come after."""
    video = open_video(make(tmp_path / "a.mp4", n=3, turn=turn))
    plain = open_video(make(tmp_path / "plain.mp4", n=3))
    image, upright = video.frame_at(0).image, plain.frame_at(0).image
    expected = np.rot90(upright, turn[0] // 90)
    expected = expected[:, ::-1] if turn[1:2] == (True,) else expected
    expected = expected[::-1] if turn[2:] == (True,) else expected
    assert (video.width, video.height) == size == image.shape[1::-1]
    assert np.array_equal(image, expected)
    red = image[corner].astype(int)
    assert red[0] > 150 > red[1]
    assert image.flags.c_contiguous


def test_non_square_pixels_are_stretched(tmp_path):
    video = open_video(make(tmp_path / "a.mkv", n=3, ratio=Fraction(4, 3)))
    assert (video.width, video.height) == (128, 64)
    assert numbers(video.frames()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("ffv1", "gray", (96, 64)),
        ("ffv1", "gray16le", (97, 65)),
        ("ffv1", "yuva420p", (97, 65)),
        ("ffv1", "yuv444p16le", (97, 65)),
        ("ffv1", "bgra", (97, 65)),
        ("libx264", "yuv444p", (97, 65)),
        ("libx264", "yuv420p10le", (96, 64)),
        ("png", "rgba64be", (97, 65)),
    ],
)
def test_any_pixel_format_and_size_becomes_rgb(tmp_path, codec, pix_fmt, size):
    name = "a.mov" if codec == "png" else "a.mkv"
    video = open_video(make(tmp_path / name, codec, n=3, pix_fmt=pix_fmt, size=size))
    for number, frame in enumerate(video.frames()):
        assert frame.image.shape == (size[1], size[0], 3)
        assert frame.image.dtype == np.uint8
        assert number_of(frame.image) == number
        if not pix_fmt.startswith("gray"):
            assert np.abs(frame.image.astype(int) - numbered(number, *size)).mean() < 8


def test_a_change_of_size_is_scaled_and_told(tmp_path):
    small = make(tmp_path / "s.ts", n=10).read_bytes()
    large = make(tmp_path / "l.ts", n=10, size=(192, 128)).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(small + large)
    video = open_video(path)
    frames = list(video.frames())
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    assert numbers(frames) == [*range(10), *range(10)]
    assert np.diff([f.time_s for f in frames]) == pytest.approx(np.full(19, 1 / 30), abs=0.002)
    assert any("192x128" in p for p in video.problems)
    assert any("time stamp" in p for p in video.problems)


def test_reduced_frames_keep_the_geometry(tmp_path):
    video = open_video(make(tmp_path / "a.mp4", n=2))
    frame = next(video.frames(max_side=48))
    assert frame.image.shape == (32, 48, 3)
    assert frame.scale == 0.5
    assert number_of(frame.image) == 0
    assert next(video.frames(max_side=1000)).scale == 1.0
    there = video.frame_at(1 / 30, max_side=48)
    assert (there.image.shape, there.scale, number_of(there.image)) == ((32, 48, 3), 0.5, 1)


@pytest.mark.parametrize("source_fps", [10, 25, 30, 60, 200])
def test_resampling_shows_at_each_tick_what_is_on_screen(tmp_path, source_fps):
    video = open_video(make(tmp_path / "a.mkv", n=2 * source_fps, rate=source_fps))
    frames = list(video.frames(fps=30))
    assert [f.index for f in frames] == list(range(60))
    assert [f.time_s for f in frames] == [k / 30 for k in range(60)]
    assert numbers(frames) == [k * source_fps // 30 for k in range(60)]


class Scripted(Video):
    """A video of given times; each image is the frame's number."""

    def __init__(self, times: list[float], lasts_s: float) -> None:
        self.times, self.lasts_s, self.width, self.height = times, lasts_s, 1, 1

    def _sources(self, start_s, scale):
        first = max((i for i, t in enumerate(self.times) if t <= start_s + 0.0011), default=0)
        for i in range(first, len(self.times)):
            yield _Source(i, self.times[i], self.lasts_s, lambda i=i: np.full((1, 1, 3), i))


@settings(max_examples=200)
@given(
    gaps=st.lists(st.integers(0, 300), max_size=30),
    fps=st.sampled_from([1, 7.5, 24, 30, 59.94]),
    start=st.integers(0, 40),
    length=st.integers(0, 40),
)
def test_resampling_against_the_definition(gaps, fps, start, length):
    times = [float(t) / 100 for t in np.cumsum([0, *gaps])]
    video = Scripted(times, lasts_s=0.04)
    whole = list(video.frames(fps=fps))
    for k, frame in enumerate(whole):
        latest = max(i for i, t in enumerate(times) if t <= k / fps + 0.0011)
        assert (frame.index, frame.image[0, 0, 0]) == (k, latest)
    end = times[-1] + 0.04
    assert len(whole) / fps >= end - 0.0011 > (len(whole) - 1) / fps - 1e-9
    part = list(video.frames(start / fps, (start + length) / fps, fps=fps))
    expected = whole[start : start + length]
    assert [(f.index, f.image[0, 0, 0]) for f in part] == [(f.index, f.image[0, 0, 0]) for f in expected]


@settings(max_examples=100)
@given(gaps=st.lists(st.integers(1, 300), max_size=30), cut=st.integers(0, 3000))
def test_parts_of_a_video_make_up_the_whole(gaps, cut):
    video = Scripted([float(t) / 100 for t in np.cumsum([0, *gaps])], lasts_s=0.04)
    parts = [*video.frames(0, cut / 100), *video.frames(cut / 100)]
    assert [f.index for f in parts] == [f.index for f in video.frames()]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_truncated_file_gives_what_is_there_and_says_where_it_ends(tmp_path, name):
    muxer = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    path = make(tmp_path / name, n=300, muxer=muxer)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    video = open_video(path)
    frames = list(video.frames(fps=30))
    assert 60 < len(frames) < 290
    assert numbers(frames) == list(range(len(frames)))
    (problem,) = (p for p in video.problems if p.startswith("ends at"))
    assert f"ends at {len(frames) / 30:.2f} s" in problem
    assert "10.00 s" in problem
    assert list(video.frames()) and video.problems.count(problem) == 1


def test_a_truncated_mp4_without_its_table_is_refused(tmp_path):
    path = make(tmp_path / "a.mp4", n=300)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    with pytest.raises(InputError, match=r"a\.mp4: .*header is cut off"):
        open_video(path)


def test_broken_frames_are_left_out_and_counted(tmp_path):
    """Each PNG frame stands alone: a broken one harms no other."""
    path = make(tmp_path / "a.mov", "png", pix_fmt="rgb24")
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for number in (7, 20, 21):
        at = data.index(packets[number])
        data[at : at + len(packets[number])] = b"\x55" * len(packets[number])
    path.write_bytes(data)
    video = open_video(path)
    frames = list(video.frames())
    assert numbers(frames) == [n for n in range(60) if n not in (7, 20, 21)]
    assert [f.time_s for f in frames] == pytest.approx(
        [n / 30 for n in range(60) if n not in (7, 20, 21)], abs=0.001
    )
    assert video.problems == [
        "3 broken frames or packets skipped",
        "damaged for 0.10 s, from broken frames to the next key frame: 0.23-0.27 s, 0.67-0.73 s; nothing is "
        "found there",
    ]
    resampled = list(video.frames(fps=30))
    assert len(resampled) == 60
    assert numbers(resampled)[6:9] == [6, 6, 8]
    assert [f.index for f in resampled if f.damaged] == [7, 20, 21]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_behind_a_broken_beginning_frames_keep_their_times_and_numbers(tmp_path, name):
    """Without the first key frame nothing before the second can be decoded."""
    path = make(tmp_path / name, n=90, options={"g": "30"})
    with av.open(str(path)) as container:
        first = bytes(next(p for p in container.demux(video=0) if p.size))
    data = path.read_bytes()
    assert data.count(first) == 1
    path.write_bytes(data.replace(first, b"\x55" * len(first)))
    video = open_video(path)
    frames = list(video.frames())
    assert numbers(frames) == [f.index for f in frames] == list(range(30, 90))
    assert frames[0].time_s == pytest.approx(1.0, abs=0.002)
    assert "no frame before 1.00 s can be read; the one there stands in" in video.problems
    assert numbers(video.frames(fps=30)) == [30] * 30 + list(range(30, 90))
    assert video.n_frames_estimate == 90 and number_of(video.frame_at(2.0).image) == 60


def test_frames_that_come_unevenly_are_told(tmp_path):
    times = [t for k in range(30) for t in (100 * k, 100 * k + 33)]  # every third one is left out
    video = open_video(make(tmp_path / "a.mkv", times_ms=times))
    assert numbers(video.frames()) == list(range(60))
    assert any(p.startswith("frames come unevenly, 60 in 2.97 s") for p in video.problems)


def test_frames_that_an_edit_list_cuts_off_are_not_counted(tmp_path):
    video = open_video(make(tmp_path / "a.mp4", times_ms=range(-400, 2000, 40)))
    assert numbers(video.frames()) == list(range(10, 60)) and video.n_frames_estimate == 50


def test_a_stream_that_appears_within_the_file_does_no_harm(tmp_path):
    path = make(tmp_path / "a.ts", "mpeg4", options={"g": "1"})
    data = bytearray(path.read_bytes())
    starts = [at for at in range(0, len(data), 188) if data[at + 1] & 0x5F == 0x41 and data[at + 2] == 0]
    data[starts[-3] + 1 : starts[-3] + 3] = b"\x42\x00"  # a packet of another stream
    path.write_bytes(data)
    shown = numbers(open_video(path).frames())
    assert shown[:56] == list(range(56)) and shown[-1] == 59


def test_the_header_is_believed_where_stamps_are_coarse(tmp_path):
    video = open_video(make(tmp_path / "a.gif", "gif", pix_fmt="rgb8"))  # 3, 3 and 4 hundredths
    assert video.fps == pytest.approx(30) and numbers(video.frames()) == list(range(60))
    assert video.problems == []


def test_interlaced_video_is_told(tmp_path):
    video = open_video(make(tmp_path / "a.mkv", options={"x264-params": "tff=1"}, n=5))
    assert numbers(video.frames()) == list(range(5))
    assert video.problems[0].startswith("marked as interlaced")


def test_odd_file_names_and_foreign_tags_do_no_harm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("12:30 čas.mp4", [numbered(n) for n in range(3)], fps=30)
    assert numbers(open_video("12:30 čas.mp4").frames()) == [0, 1, 2]
    with av.open("tagged.mkv", "w") as container:
        container.metadata["title"] = "CAFE-TITLE"
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(9))))
        container.mux(stream.encode(None))
    data = Path("tagged.mkv").read_bytes()
    assert data.count(b"CAFE-TITLE") == 1
    Path("tagged.mkv").write_bytes(data.replace(b"CAFE-TITLE", b"CAF\xe9-TITLE"))
    assert numbers(open_video("tagged.mkv").frames()) == [9]


def test_two_passes_at_once_do_not_disturb_each_other(tmp_path):
    video = open_video(make(tmp_path / "a.mp4"))
    pairs = zip(video.frames(), video.frames(0.5), strict=False)
    assert all(number_of(a.image) + 15 == number_of(b.image) for a, b in pairs)


def test_sound_beside_the_picture_does_no_harm(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=30)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        for number in range(30):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(number))))
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            wave.sample_rate = 8000
            container.mux(sound.encode(wave))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    video = open_video(path)  # its sound is longer
    assert numbers(video.frames()) == list(range(30))
    assert (video.n_frames_estimate, video.problems) == (30, [])


# Bad input


def one_line(path) -> str:
    with pytest.raises(InputError) as caught:
        open_video(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_bad_files_are_refused_in_one_line(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello\n" * 50)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    empty = tmp_path / "empty.mp4"
    empty.touch()
    still = tmp_path / "still.png"
    import cv2

    cv2.imwrite(str(still), numbered(0))
    assert "no such file" in one_line(tmp_path / "absent.mp4")
    assert "not a video" in one_line(text)
    text.write_text("hello world\n" * 50)  # FFmpeg plays this as a terminal
    assert "a text file" in one_line(text)
    assert "not a video" in one_line(noise)
    assert "empty" in one_line(empty)
    assert "single image" in one_line(still)
    assert "only audio" in one_line(make_sound(tmp_path / "sound.mp4"))
    assert "only audio" in one_line(make_sound(tmp_path / "sound.mkv"))
    tiny = make(tmp_path / "tiny.mkv", "ffv1", n=3, size=(1, 1), pix_fmt="gray")
    assert "1x1" in one_line(tiny)


@pytest.mark.parametrize("name", ["none.mkv", "none.mp4", "none.avi"])
def test_a_video_without_frames_is_refused(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    assert re.search("no frame can be read|before its first frame|holds no pictures, nor", one_line(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_refused(tmp_path):
    path = make(tmp_path / "a.mp4", n=2)
    path.chmod(0)
    assert "Permission denied" in one_line(path)


def test_a_forbidden_file_is_refused_for_root_too(tmp_path, monkeypatch):
    path = make(tmp_path / "a.mp4", n=2)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in one_line(path)


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": float("nan")}, {"start_s": -1.0}, {"max_side": 0}])
def test_impossible_requests_are_refused_at_the_call(tmp_path, wrong):
    video = open_video(make(tmp_path / "a.mp4", n=2))
    with pytest.raises(InputError, match=next(iter(wrong))):
        video.frames(**wrong)


def test_a_frame_beyond_the_end_is_refused(tmp_path):
    video = open_video(make(tmp_path / "a.mp4", n=30))
    assert number_of(video.frame_at(0.999).image) == 29
    with pytest.raises(InputError, match="no frame at 1.5 s"):
        video.frame_at(1.5)
    with pytest.raises(InputError, match="time_s=-1"):
        video.frame_at(-1)


# Folders


def make_folder(path: Path, names: dict[int, str]) -> Path:
    import cv2

    path.mkdir()
    for number, name in names.items():
        assert cv2.imwrite(str(path / name), numbered(number)[:, :, ::-1])
    return path


def test_a_folder_is_read_in_natural_order(tmp_path):
    folder = make_folder(tmp_path / "f", {n: f"img{n + 1}.png" for n in range(12)})
    (folder / "notes.txt").write_text("x")
    video = open_video(folder)
    frames = list(video.frames())
    assert numbers(frames) == list(range(12))
    assert [f.index for f in frames] == list(range(12))
    assert [f.time_s for f in frames] == [n / 30 for n in range(12)]
    assert np.array_equal(frames[5].image, numbered(5))
    assert (video.width, video.height, video.n_frames_estimate) == (96, 64, 12)
    assert video.duration_s == pytest.approx(0.4)
    assert video.problems == []
    assert number_of(video.frame_at(0.21).image) == 6
    assert numbers(video.frames(0.1, 0.2)) == [3, 4, 5]
    assert next(video.frames(max_side=48)).image.shape == (32, 48, 3)


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "bmp", "png"])
def test_names_may_hold_several_numbers_and_zeros(tmp_path, suffix):
    names = {n: f"006_1_{n:04d}.{suffix}" for n in range(3)}
    assert numbers(open_video(make_folder(tmp_path / "f", names)).frames()) == [0, 1, 2]


def test_missing_numbers_repeat_the_image_before(tmp_path):
    folder = make_folder(tmp_path / "f", {n: f"{n}.png" for n in (3, 4, 7)})
    video = open_video(folder, folder_fps=10)
    frames = list(video.frames())
    assert numbers(frames) == [3, 3, 3, 4, 4, 4, 7]  # counted from 1, as image 0 is not there
    assert [f.index for f in frames] == list(range(7))
    assert frames[-1].time_s == pytest.approx(0.6)
    assert video.problems == ["4 of 7 frames have no image; the image before stands in"]
    assert numbers(open_video(folder, first_number=3).frames()) == [3, 4, 4, 4, 7]
    assert numbers(video.frames(fps=5)) == [3, 3, 4, 7]


def test_unreadable_images_repeat_the_one_before(tmp_path):
    folder = make_folder(tmp_path / "f", {n: f"{n}.png" for n in range(5)})
    for number in (0, 2):
        (folder / f"{number}.png").write_bytes(b"nothing")
    video = open_video(folder)
    assert numbers(video.frames()) == [1, 1, 1, 3, 4]
    assert "2 images cannot be read" in video.problems[0]


def test_images_of_another_size_are_scaled_and_told(tmp_path):
    import cv2

    folder = make_folder(tmp_path / "f", {n: f"{n}.png" for n in range(3)})
    cv2.imwrite(str(folder / "1.png"), numbered(1, 192, 128)[:, :, ::-1])
    video = open_video(folder)
    assert {f.image.shape for f in video.frames()} == {(64, 96, 3)}
    assert numbers(video.frames()) == [0, 1, 2]
    assert "differ in size" in video.problems[0]


def test_grey_and_transparent_and_deep_images_become_rgb(tmp_path):
    import cv2

    folder = tmp_path / "f"
    folder.mkdir()
    grey = numbered(0)[:, :, 0]
    cv2.imwrite(str(folder / "0.png"), grey)
    cv2.imwrite(str(folder / "1.png"), np.dstack([numbered(1)[:, :, ::-1], grey]))
    cv2.imwrite(str(folder / "2.png"), numbered(2)[:, :, ::-1].astype(np.uint16) * 257)
    frames = list(open_video(folder).frames())
    assert numbers(frames) == [0, 1, 2]
    assert {(f.image.dtype, f.image.shape) for f in frames} == {(np.dtype(np.uint8), (64, 96, 3))}


@pytest.mark.parametrize("suffix", ["webp", "tif", "tiff"])
def test_other_kinds_of_images_are_frames(tmp_path, suffix):
    assert numbers(
        open_video(make_folder(tmp_path / "f", {n: f"{n}.{suffix}" for n in range(3)})).frames()
    ) == [0, 1, 2]


def test_only_regular_files_are_read(tmp_path):
    folder = make_folder(tmp_path / "f", {n: f"{n}.png" for n in range(4)})
    (folder / "4.png").mkdir()
    (folder / "5.png").symlink_to(tmp_path / "absent.png")
    os.mkfifo(folder / "6.png")
    video = open_video(folder)
    assert numbers(video.frames()) == [0, 1, 2, 3]
    assert (
        video.problems[0].startswith("3 images are folders, pipes")
        and str(folder / "4.png") in video.problems[0]
    )
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "a pipe or device" in one_line(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "absent.mp4")
    assert "a link to a file that is not here" in one_line(tmp_path / "link.mp4")


@pytest.mark.parametrize(
    "head",
    ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n", "<?xml version='1.0'?>\n<MPD>{}</MPD>"],
)
def test_playlists_are_refused_whatever_their_names(tmp_path, head):
    make(tmp_path / "a.mp4", n=5)
    for name in ("list.m3u8", "list.mp4"):
        (tmp_path / name).write_text(head.format("a.mp4"))
        assert "a playlist of other files" in one_line(tmp_path / name)


@pytest.mark.parametrize("rate", [b"F1:1000000", b"F1:4294967295"])
def test_a_header_cannot_claim_hours_for_a_frame(tmp_path, rate):
    path = make(tmp_path / "a.y4m", "rawvideo", n=5)
    data = path.read_bytes()
    assert data.count(b"F30:1") == 1
    path.write_bytes(data.replace(b"F30:1", rate))
    assert len(list(open_video(path).frames(fps=30))) <= 5 * 60 * 30


def test_bad_folders_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty folder" in one_line(tmp_path / "empty")
    assert "without numbered images" in one_line(make_folder(tmp_path / "f", {0: "face.png"}))
    twice = make_folder(tmp_path / "twice", {0: "1.png", 1: "01.png"})
    assert "same number" in one_line(twice)
    stamped = make_folder(tmp_path / "stamped", {0: "s_20240101120000.png", 1: "s_20240101120001.png"})
    assert "look like time stamps" in one_line(stamped)
    broken = make_folder(tmp_path / "broken", {0: "1.png"})
    (broken / "1.png").write_bytes(b"nothing")
    assert "none of its 1 images" in one_line(broken)
    with pytest.raises(InputError, match="folder_fps=0"):
        open_video(twice, folder_fps=0)


# Writing


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "a.mp4"
    assert write_video(path, (numbered(n) for n in range(40)), fps=25) == 40
    video = open_video(path)
    assert video.fps == pytest.approx(25)
    assert video.duration_s == pytest.approx(1.6)
    for number, frame in enumerate(video.frames()):
        assert frame.index == number == number_of(frame.image)
        assert np.abs(frame.image.astype(int) - numbered(number)).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_the_same_frames_make_the_same_file(tmp_path):
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", (numbered(n) for n in range(10)), fps=29.97)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert open_video(tmp_path / "a.mp4").fps == pytest.approx(29.97)


def test_odd_sides_grow_by_a_pixel_and_size_scales(tmp_path):
    write_video(tmp_path / "odd.mp4", [numbered(5, 97, 65)] * 3, fps=30)
    video = open_video(tmp_path / "odd.mp4")
    assert (video.width, video.height) == (98, 66)
    write_video(tmp_path / "half.mp4", [numbered(5, 192, 128)] * 3, fps=30, size=(96, 64))
    assert numbers(open_video(tmp_path / "half.mp4").frames()) == [5, 5, 5]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, [numbered(1)] * 3, fps=30)
    before = path.read_bytes()

    def failing():
        yield numbered(0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_video(path, failing(), fps=30)
    with pytest.raises(InputError, match="no frame"):
        write_video(path, [], fps=30)
    with pytest.raises(InputError, match="frame 1"):
        write_video(path, [numbered(0), numbered(0, 32, 32)], fps=30)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_frames_are_plain_tuples():
    index, time_s, image, scale, damaged = Frame(0, 0.0, numbered(0))
    assert (index, time_s, scale, damaged, image.shape) == (0, 0.0, 1.0, False, (64, 96, 3))


def test_an_open_video_goes_to_another_process(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, [np.full((32, 32, 3), 9 * i, np.uint8) for i in range(12)], 25)
    video = open_video(path)
    list(video.frames())  # also after it was read
    copy = pickle.loads(pickle.dumps(video))
    assert [f.time_s for f in copy.frames()] == [f.time_s for f in video.frames()]

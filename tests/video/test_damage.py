"""Damaged video: generated streams whose packets are broken, in every container."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fedet.faces.detectors import Box
from fedet.faces.extraction import extract
from fedet.faces.network import FaceNet
from fedet.faces.tracking import track_boxes
from fedet.video.reader import open_video
from fedet.video.writer import write_video

GROUP = 20  # frames from key frame to key frame
N = 60


@pytest.fixture(scope="module")
def net() -> FaceNet:
    return FaceNet().eval()


def picture(number: int) -> np.ndarray:
    """A moving texture with a moving square: whatever leans on a wrong picture looks wrong."""
    texture = np.random.default_rng(0).integers(60, 200, (96, 128, 3)).astype(np.uint8)
    image = np.roll(cv2.GaussianBlur(texture, (0, 0), 3), (2 * number, 3 * number), (0, 1))
    image[20:50, 10 + number : 40 + number] = (255, 30, number * 7 % 255)
    return image


def make(path: Path, codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"g": str(GROUP), **options})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(N):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number))))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def break_packet(path: Path, number: int, how: str) -> None:
    """Overwrites a packet in the file, or its second half, or turns over a few bits."""
    data, packet = bytearray(path.read_bytes()), packets(path)[number]
    part = packet if path.suffix != ".ts" else packet[30:120]  # a transport stream cuts packets up
    assert data.count(part) == 1
    at, size = data.index(part), len(part)
    if how == "all":
        data[at : at + size] = b"\x55" * size
    elif how == "half":
        data[at + size // 2 : at + size] = b"\x55" * (size - size // 2)
    else:
        for k in (size // 2, size // 2 + 7):
            data[at + k] ^= 0xFF
    path.write_bytes(data)


def check(path: Path, whole: list, group: int) -> None:
    """What is shown is as in the whole video, and the group from key to key frame is damaged to its end."""
    video = open_video(path)
    frames = list(video.frames(fps=30))
    assert len(frames) == N
    late = path.suffix == ".avi"  # which has no times of its own: a loss delays the frames before it by one
    for at, frame in enumerate(frames):
        if not frame.damaged:
            errors = [
                np.abs(frame.image.astype(int) - f.image).mean() for f in whole[max(0, at - late) : at + 1]
            ]
            assert min(errors) < 1, f"frame {at} is wrong and not called damaged"
    damaged = [frame.index for frame in frames if frame.damaged]
    assert damaged and damaged[-1] == (group + 1) * GROUP - 1
    assert damaged[0] >= group * GROUP - 3  # frames before the key frame may lean on it
    (told,) = (p for p in video.problems if p.startswith("damaged for "))
    assert f"-{(group + 1) * GROUP / 30:.2f} s; nothing is found there" in told
    assert {f.index for f in video.frames()}.isdisjoint(damaged)


CONTAINERS = [
    ("a.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.avi", "libx264"),
    ("a.ts", "libx264"),
    ("b.avi", "mpeg4"),
    ("a.mov", "libx265"),
]
UNNOTICED = (("libx265", "half"), ("libx265", "bits"))


@pytest.mark.parametrize(
    ("name", "codec", "how"),
    # HEVC reads on through bits that were turned over and does not notice.
    [
        (*kind, how)
        for kind in CONTAINERS
        for how in ("all", "half", "bits")
        if (kind[1], how) not in UNNOTICED
    ],
)
def test_what_leans_on_a_broken_frame_is_damaged_up_to_the_next_key_frame(tmp_path, name, codec, how):
    path = make(tmp_path / name, codec, **({"x265-params": "log-level=none"} if codec == "libx265" else {}))
    whole = list(open_video(path).frames(fps=30))
    assert not any(frame.damaged for frame in whole) and not open_video(path).problems
    sizes = [len(p) for p in packets(path)]
    number = GROUP + 2 + int(np.argmax(sizes[GROUP + 2 : GROUP + 12]))  # one that others lean on
    break_packet(path, number, how)
    check(path, whole, 1)


@pytest.mark.parametrize(("name", "codec"), CONTAINERS[:4])
def test_a_broken_key_frame_harms_its_whole_group(tmp_path, name, codec):
    path = make(tmp_path / name, codec)
    whole = list(open_video(path).frames(fps=30))
    break_packet(path, GROUP, "half")
    check(path, whole, 1)


def test_vanished_and_joined_packets_of_a_transport_stream(tmp_path):
    """Whole packets that are gone are noticed by their numbers; files joined to one are no damage."""
    path = make(tmp_path / "a.ts")
    data = path.read_bytes()
    (tmp_path / "joined.ts").write_bytes(data * 2)
    assert not any(f.damaged for f in open_video(tmp_path / "joined.ts").frames(fps=30))
    cells = [data[i : i + 188] for i in range(0, len(data), 188)]
    video = [i for i, cell in enumerate(cells) if (cell[1] & 0x1F) << 8 | cell[2] == 0x100]
    starts = [i for i in video if cells[i][1] & 0x40]
    gone = {i for i in video if starts[GROUP + 4] <= i < starts[GROUP + 5]}
    path.write_bytes(b"".join(cell for i, cell in enumerate(cells) if i not in gone))
    damaged = [f.index for f in open_video(path).frames(fps=30) if f.damaged]
    assert damaged and damaged[-1] == 2 * GROUP - 1 and damaged[0] >= GROUP


def test_a_seek_into_damage_and_beyond_shows_what_reading_through_shows(tmp_path):
    path = make(tmp_path / "a.mkv")
    sizes = [len(p) for p in packets(path)]
    break_packet(path, GROUP + 2 + int(np.argmax(sizes[GROUP + 2 : GROUP + 12])), "all")
    video = open_video(path)
    through = list(video.frames(fps=30))
    for start in (0, 25, 35, 41, 50):
        part = list(video.frames(start / 30, fps=30))
        for one, other in zip(part, through[start:], strict=True):
            assert (one.index, one.damaged) == (other.index, other.damaged)
            assert np.array_equal(one.image, other.image)
    last = [f for f in through if f.damaged][-1]
    assert video.frame_at(last.index / 30).damaged and not video.frame_at(1.5).damaged


def test_in_damage_there_is_no_face_although_one_is_shown_before_and_after(tmp_path):
    class Everywhere:
        def detect(self, image, near=None):
            return [Box(20, 20, 60, 60, 1.0)]

    path = make(tmp_path / "a.mp4")
    break_packet(path, GROUP, "all")
    video = open_video(path)
    frames = list(video.frames(fps=30))
    tracked = list(track_boxes(video.lazy_frames(30), Everywhere()))
    assert [face.state == "missing" for face in tracked] == [frame.damaged for frame in frames]
    assert sum(face.state == "missing" for face in tracked) >= GROUP


@pytest.mark.parametrize(
    ("value", "size", "reason"),
    [(6, 240, "is dark, "), (150, 64, "is tiny, 64 pixels"), (150, 240, "no face that is upright")],
)
def test_why_nobody_was_seen_is_said(tmp_path, net, value, size, reason):
    write_video(tmp_path / "a.mp4", (np.full((size, size, 3), value, np.uint8) for _ in range(12)), 30)
    track = extract(tmp_path / "a.mp4", net)
    (problem,) = (p for p in track.problems if p.startswith("nobody seen: "))
    assert not track.mask.any() and reason in problem


# Several streams


def add(container, size: tuple[int, int], colour: tuple[int, int, int], n: int, disposition=None):
    """Adds a stream; returns a function that writes its frames, to be called when all are added."""
    stream = container.add_stream("libx264" if n > 1 else "mjpeg", rate=30)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p" if n > 1 else "yuvj420p"
    if disposition is not None:
        stream.disposition = disposition

    def write() -> None:
        for number in range(n):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), colour, np.uint8))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


RED, GREEN = (230, 20, 20), (20, 230, 20)
DEFAULT = av.stream.Disposition.default


@pytest.mark.parametrize(
    ("streams", "shown", "told"),
    [
        ([((64, 48), RED, 20, DEFAULT), ((128, 96), GREEN, 20, DEFAULT)], GREEN, True),
        ([((64, 48), RED, 20, DEFAULT), ((128, 96), GREEN, 20, 0)], RED, True),
        ([((128, 96), RED, 20, 0), ((64, 48), GREEN, 20, DEFAULT)], GREEN, True),
        (
            [((320, 240), RED, 1, av.stream.Disposition.attached_pic), ((64, 48), GREEN, 20, None)],
            GREEN,
            False,
        ),
        ([((320, 240), RED, 1, None), ((64, 48), GREEN, 20, None)], GREEN, True),
    ],
)
def test_of_several_streams_the_marked_or_the_largest_is_read_and_the_choice_named(
    tmp_path, streams, shown, told
):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        for write in [add(container, *stream) for stream in streams]:
            write()
    video = open_video(tmp_path / "a.mp4")
    frames = list(video.frames())
    assert len(frames) == 20 and np.abs(frames[5].image.mean((0, 1)) - shown).max() < 40
    assert any("videos in one file" in p for p in video.problems) == told

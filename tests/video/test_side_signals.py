"""Side signals: sound and other tools' CSV files on the detector's grid of frames."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.cli.train import with_signals
from fedet.detection import Inputs, concat_signals, read_inputs, save_inputs
from fedet.errors import InputError
from fedet.faces.network import shipped
from fedet.synthetic.voice import harmonics, voice_track
from fedet.video.audio import RATE, _Track, analyse, read_sound
from fedet.video.side_signals import (
    HOLD_S,
    OPENFACE_AUS,
    PYFEAT_AUS,
    channels_of,
    on_grid,
    read_openface,
    read_pyfeat,
    side_signals,
    training_signals,
)
from fedet.video.writer import write_video

GREY = np.full((32, 32, 3), 90, np.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def film(path, samples, seconds: float, fps: float = 30.0, rate: int = RATE):
    sound = None if samples is None else (np.asarray(samples, np.float32), rate)
    write_video(path, (GREY for _ in range(round(seconds * fps))), fps, sound=sound)
    return path


# ---------------------------------------------------------------- the grid


def slow_grid(time, values, n_frames, fps):
    """Frame by frame, as the docstring of `on_grid` says it."""
    rows, last = [], None
    for k in range(n_frames):
        inside = [v for t, v in zip(time, values, strict=True) if k <= (t + 0.0011) * fps < k + 1]
        if inside:
            last = (k, np.mean(inside, axis=0))
        held = last is not None and k - last[0] <= HOLD_S * fps + 1e-6
        rows.append([*last[1], 1.0] if held else [0.0] * values.shape[1] + [0.0])
    return np.array(rows)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 3), max_size=30), st.sampled_from([24.0, 30.0, 60.0]), st.integers(1, 80))
def test_the_grid_agrees_with_a_slow_reference(times, fps, n_frames):
    time = np.sort(np.array(times))
    values = np.stack([np.sin(time), time], axis=1)
    np.testing.assert_allclose(
        on_grid(time, values, n_frames, fps), slow_grid(time, values, n_frames, fps), atol=1e-5
    )


def test_gaps_are_zero_and_marked_never_nan():
    time = np.array([0.0, 0.5])
    grid = on_grid(time, np.array([[3.0], [4.0]]), 30, 30.0)
    assert np.isfinite(grid).all()
    assert grid[:4].tolist() == [[3.0, 1.0]] * 4 and grid[5].tolist() == [0.0, 0.0]
    assert grid[15].tolist() == [4.0, 1.0] and grid[29].tolist() == [0.0, 0.0]


def test_the_source_rate_does_not_move_a_signal():
    grids = [
        on_grid(t := np.arange(0, 2, 1 / fps), np.sin(t)[:, None], 60, 30.0) for fps in (15, 25, 60, 200)
    ]
    truth = np.sin(np.arange(60) / 30)
    assert all(g[:, 1].all() and np.abs(g[:, 0] - truth).max() < 0.08 for g in grids)


# ---------------------------------------------------------------- sound


def test_loudness_follows_the_power_of_a_tone():
    t = np.arange(RATE) / RATE
    levels = [analyse((a * np.sin(2 * np.pi * 200 * t)).astype(np.float32))[0].mean() for a in (1.0, 0.1)]
    assert levels[0] == pytest.approx(10 * np.log10(0.5), abs=0.1)
    assert levels[0] - levels[1] == pytest.approx(20, abs=0.1)


def test_a_voice_has_a_pitch_and_noise_has_none():
    voice = harmonics(torch.ones(RATE), 140, generator()).numpy()
    hiss = torch.randn(RATE, generator=generator()).numpy()
    high = np.sin(2 * np.pi * 140 * np.arange(RATE) / RATE).astype(np.float32)
    assert analyse(voice)[1].mean() > 0.8 and analyse(high)[1].mean() > 0.8
    assert analyse(hiss)[1].mean() < 0.45


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_speech_in_a_file_is_heard_when_it_is_spoken(tmp_path, suffix):
    speech = torch.zeros(150)
    speech[60:105] = 0.7
    loud = torch.nn.functional.interpolate(speech[None, None], size=5 * RATE)[0, 0]
    samples = harmonics(loud, 120, generator()) + 0.002 * torch.randn(5 * RATE, generator=generator(1))
    side = side_signals(film(tmp_path / f"a.{suffix}", samples, 5.0), ["speech", "loudness"], 150)
    heard = side.values[:, 0] > 0.5
    assert heard[63:102].all() and not heard[:57].any() and not heard[110:].any()
    assert side.values[63:102, 2].min() > side.values[:57, 2].max() + 1  # 10 dB
    assert not side.problems and side.values[5:145, [1, 3]].all()


def test_a_long_track_is_heard_like_its_parts(tmp_path):
    samples = 0.3 * torch.randn(25 * RATE, generator=generator()).numpy()
    time, level, *_ = read_sound(film(tmp_path / "a.mp4", samples.clip(-1, 1), 25.0, fps=5))
    assert np.allclose(np.diff(time), 0.01, atol=1e-6) and abs(time[-1] - 25) < 0.1
    assert np.abs(level[5:-5] - level[5:-5].mean()).max() < 3


def test_no_sound_is_missing_and_told(tmp_path):
    side = side_signals(film(tmp_path / "mute.mp4", None, 1.0), ["loudness"], 30)
    assert not side.values.any() and side.values.shape == (30, 2)
    assert "mute.mp4" in side.problems[0] and "loudness" in side.problems[0]
    with pytest.warns(UserWarning, match=r"mute\.mp4"):
        training_signals(tmp_path / "mute.mp4", ["loudness"], 30, 30.0, None)


def smash(path, which) -> None:
    """Overwrites sound packets."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in which:
        at = data.index(packets[number])
        data[at : at + len(packets[number])] = b"\x55" * len(packets[number])
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_broken_sound_packet_is_a_hole_of_its_length_and_told(tmp_path, suffix):
    samples = (0.3 * torch.randn(6 * RATE, generator=generator()).numpy()).clip(-1, 1)
    path = film(tmp_path / f"a.{suffix}", samples, 6.0)
    whole = read_sound(path)
    smash(path, [40, 41])  # of 64 ms each
    side = side_signals(path, ["loudness"], 180)
    heard = read_sound(path)
    kept = np.isin(whole.time.round(2), heard.time.round(2))
    gone = whole.time[~kept]
    assert (np.diff(heard.time) > 0).all() and 2.45 < gone.min() < 2.6 and 0.1 < np.ptp(gone) < 0.2
    assert np.abs(heard.level - whole.level[kept])[np.abs(heard.time - 2.6) > 0.2].max() < 1
    assert side.problems == heard.problems and len(heard.problems) == 1
    assert f"a.{suffix}: 0.13 s of sound in 2 broken packets" in heard.problems[0]
    assert "from 2.5" in heard.problems[0]


def test_sound_that_is_mostly_broken_is_refused(tmp_path):
    samples = (0.3 * torch.randn(2 * RATE, generator=generator()).numpy()).clip(-1, 1)
    path = film(tmp_path / "a.mkv", samples, 2.0)
    smash(path, range(4, 28))
    with pytest.raises(InputError, match=r"a\.mkv: its sound .*24 broken packets, 0\.\d s decoded"):
        read_sound(path)


@pytest.mark.parametrize("stamps", [[0, None, None], [0, 1.0, 1.7], [0, 1.0, -50.0]])
def test_stamps_of_sound_that_are_missing_or_run_back_do_no_harm(stamps):
    track, second = _Track(Path("a.ts")), np.zeros(RATE, np.float32)
    placed = [track._position(stamp, second) for stamp in stamps]
    ends = [at + len(samples) / RATE for at, samples in placed]
    assert [at for at, _ in placed] == pytest.approx([0, 1, 2])
    assert ends == pytest.approx([1, 2, 2.7 if stamps[2] == 1.7 else 3])


def test_the_generated_voice_is_heard_where_the_mouth_moves(tmp_path):
    speech = torch.zeros(300)
    speech[100:160] = 0.05 + 0.6 * torch.sin(torch.arange(60) * 0.5).abs()
    samples = voice_track(speech, 30.0, generator(4))
    assert len(samples) == 10 * RATE and np.abs(samples).max() <= 1
    heard = side_signals(film(tmp_path / "v.mp4", samples, 10.0), ["speech"], 300).values[:, 0]
    assert heard[104:156].mean() > 0.9


def test_sound_leaves_the_pictures_as_they_were(tmp_path):
    from fedet.video.reader import open_video

    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(40)]
    write_video(tmp_path / "a.mp4", iter(pictures), 30)
    write_video(tmp_path / "b.mp4", iter(pictures), 30, sound=(np.zeros(3 * RATE, np.float32), RATE))
    one, two = (list(open_video(tmp_path / n).frames()) for n in ("a.mp4", "b.mp4"))
    assert len(one) == len(two) == 40
    assert all(
        np.array_equal(a.image, b.image) and abs(a.time_s - b.time_s) < 1e-3
        for a, b in zip(one, two, strict=True)
    )


# ---------------------------------------------------------------- other tools' files


def openface_csv(path, rows=60, fps=60.0, **changes):
    head = ["frame", "face_id", "timestamp", "confidence", "success", *OPENFACE_AUS]
    cells = [
        [k + 1, 0, round(k / fps, 3), 0.98, 1, *[f"{0.1 * i:.2f}" for i in range(17)]] for k in range(rows)
    ]
    for where, value in changes.get("cells", {}).items():
        cells[where[0]][head.index(where[1])] = value
    lines = [", ".join(h for h in head if h != changes.get("without"))]
    keep = [i for i, h in enumerate(head) if h != changes.get("without")]
    path.write_text("\n".join(lines + [", ".join(str(row[i]) for i in keep) for row in cells]) + "\n")
    return path


def test_openface_is_read_by_time_with_blanks_before_its_headers(tmp_path):
    openface_csv(tmp_path / "a.csv", cells={(k, "success"): 0 for k in range(20, 50)})
    film(tmp_path / "a.mp4", None, 1.0)
    side = side_signals(tmp_path / "a.mp4", ["openface"], 30, sources={"openface": tmp_path})
    assert side.values.shape == (30, 18) == (30, len(channels_of(["openface"])))
    np.testing.assert_allclose(side.values[0, :17], np.arange(17) * 0.1, atol=1e-6)
    assert side.values[:10, 17].all() and not side.values[14:25, 17].any() and side.values[25:, 17].all()


@pytest.mark.parametrize("word", ["nan", "-nan", "-nan(ind)", "inf", "-inf", "1.#QNAN", ""])
def test_openface_frames_without_numbers_are_left_out_and_semicolons_read(tmp_path, word):
    path = openface_csv(
        tmp_path / "a.csv", cells={(3, "AU06_r"): word, (7, "AU45_r"): word, (7, "success"): 0}
    )
    time, values = read_openface(path)
    assert len(time) == 58 and np.isfinite(values).all()
    path.write_text(path.read_text().replace(",", ";"))
    assert np.array_equal(read_openface(path)[1], values)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"without": "AU12_r"}, ["AU12_r"]),
        ({"without": "timestamp"}, ["timestamp"]),
        ({"cells": {(3, "AU06_r"): "much"}}, ["line 5", "AU06_r", "much"]),
        ({"cells": {(3, "timestamp"): "nan"}}, ["line 5", "timestamp"]),
        ({"cells": {(9, "timestamp"): 0.01}}, ["line 11", "timestamp"]),
        ({"cells": {(9, "face_id"): 1}}, ["face_id"]),
    ],
)
def test_a_bad_openface_file_is_told_with_line_and_column(tmp_path, changes, words):
    path = openface_csv(tmp_path / "bad.csv", **changes)
    with pytest.raises(InputError) as told:
        read_openface(path)
    assert all(word in str(told.value) for word in ["bad.csv", *words])


def test_pyfeat_counts_frames_and_leaves_faceless_ones_out(tmp_path):
    head = ["frame", "FaceScore", *PYFEAT_AUS]
    rows = [[k, 0.99, *[0.5] * 20] for k in range(10)]
    rows[4][1:] = [""] * 21
    rows[5][1] = 0.2
    lines = [",".join(head), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    time, values = read_pyfeat(tmp_path / "p.csv", 25.0)
    assert time.tolist() == [k / 25 for k in (0, 1, 2, 3, 6, 7, 8, 9)] and values.shape == (8, 20)


def test_a_missing_file_folder_or_name_says_what_to_do(tmp_path):
    film(tmp_path / "a.mp4", None, 0.5)
    with pytest.raises(InputError, match="--openface"):
        side_signals(tmp_path / "a.mp4", ["openface"], 10)
    with pytest.raises(InputError, match="a.csv"):
        side_signals(tmp_path / "a.mp4", ["pyfeat"], 10, sources={"pyfeat": tmp_path})
    with pytest.raises(InputError, match="pulse"):
        Inputs(signals=("pulse",))


# ---------------------------------------------------------------- the detector's inputs


def test_inputs_remember_their_signals(tmp_path):
    save_inputs(tmp_path, Inputs(signals=("speech", "loudness")))
    assert read_inputs(tmp_path).signals == ("speech", "loudness")


def test_signals_stand_behind_the_vectors_and_are_never_forgotten():
    seen, side = np.ones((5, 7), np.float16), np.full((5, 4), 2.0, np.float32)
    inputs = Inputs(signals=("speech", "loudness"))
    both = concat_signals(seen, inputs, side)
    assert both.shape == (5, 11) and both.dtype == np.float16 and (both[:, 7:] == 2).all()
    assert concat_signals(seen, Inputs(), None) is seen
    with pytest.raises(InputError, match="speech, loudness"):
        concat_signals(seen, inputs, None)


def test_training_adds_the_signals_asked_for_and_never_mixes_them_up():
    folder = shipped("detector")
    inputs, start = with_signals(Inputs(), None, "speech,loudness", None, None)
    assert inputs.signals == ("speech", "loudness") and start is None
    inputs, start = with_signals(Inputs(), folder, "", folder, None)
    assert inputs.signals == ("openface",) and callable(start)
    assert with_signals(inputs, folder, "openface", folder, None) == (inputs, folder)
    assert with_signals(Inputs(), folder, "", None, None) == (Inputs(), folder)
    with pytest.raises(InputError, match="pulse"):
        with_signals(Inputs(), None, "pulse", None, None)
    with pytest.raises(InputError, match="start anew"):
        with_signals(Inputs(signals=("speech",)), folder, "loudness", None, None)

"""From video to intervals, with the shipped weights."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedet
from fedet.datasets.dataset import read_dataset
from fedet.detection import Inputs, detect_in, load_detector, read_inputs
from fedet.errors import InputError
from fedet.faces.extraction import extract
from fedet.faces.network import WIDTH
from fedet.faces.vectors import FaceTrack
from fedet.intervals import at_rate
from fedet.synthetic.generator import SynthConfig, synthesize
from fedet.training.records import join_sets, records_of
from fedet.video.reader import open_video
from fedet.video.writer import write_video

REAL = Path(os.environ.get("FEDET_REAL_CLIPS", Path(__file__).parents[3] / "shared" / "real_clips"))


def overlap(a, b) -> float:
    """tIoU of two inclusive intervals."""
    both = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return both / (a[1] - a[0] + b[1] - b[0] + 2 - both)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three generated people with clear expressions."""
    config = SynthConfig(
        subjects=3, seconds=16, seed=31, events_per_minute=20, micro_share=0, silent_share=0, overlap_share=0
    )
    return synthesize(tmp_path_factory.mktemp("made"), config, progress=False)


@pytest.fixture(scope="module")
def tracks(small_set, small_vectors, detector):
    videos = sorted((small_set / "videos").iterdir())
    return {video.stem: extract(video, detector.net, cache=small_vectors) for video in videos}


@pytest.mark.slow
def test_most_clear_expressions_of_unseen_people_are_found(made, detector):
    truth = read_dataset(made).annotations
    tracks = {video.stem: extract(video, detector.net) for video in (made / "videos").iterdir()}
    found = 0
    for event in truth.itertuples():
        table = detect_in(tracks[event.video], detector)
        spans = zip(table["onset"], table["offset"], strict=True)
        found += any(overlap(s, (event.onset, event.offset)) >= 0.5 for s in spans)
    assert len(truth) >= 5 and found / len(truth) >= 0.6


def test_the_table_is_canonical_and_ordered(tracks, detector):
    table = detect_in(tracks["s01_01"], detector, threshold=0.0)
    assert table["onset"].is_monotonic_increasing and len(table)
    assert (table["onset"] <= table["apex"]).all() and (table["apex"] <= table["offset"]).all()
    assert table["score"].between(0, 1).all() and (table["fps"] == 30).all()
    short = (table["offset"] - table["onset"] + 1) <= 15
    assert (short == (table["expression_type"] == "micro")).all()
    assert set(table["emotion"]) <= set(detector.model.config.emotions)


def test_shifting_the_video_shifts_the_detections(tracks, detector):
    faces = tracks["s02_01"]
    shift = detector.model.config.window_stride
    head = np.repeat(faces.vectors[:1], shift, 0)
    later = FaceTrack(
        np.concatenate([head, faces.vectors]), np.concatenate([np.repeat(faces.rest[:1], shift), faces.rest]),
        np.concatenate([np.zeros(shift, np.uint8), faces.state]),
        np.concatenate([np.zeros(shift, np.int32), faces.track]), faces.fps, (), faces.weights,
    )  # fmt: skip
    one, two = (detect_in(t, detector, 0.4) for t in (faces, later))
    inner = one[one["onset"] > 60]
    assert len(inner)
    for event in inner.itertuples():
        spans = zip(two["onset"] - shift, two["offset"] - shift, strict=True)
        assert max(overlap(s, (event.onset, event.offset)) for s in spans) > 0.6


def test_the_same_video_gives_the_same_table(small_set, detector):
    video = small_set / "videos" / "s02_01.mp4"
    one, two = fedet.detect(video, detector), fedet.detect(video, detector)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.seconds == pytest.approx(6, abs=0.1) and not one.notes and one.video == "s02_01"


@pytest.fixture(scope="module")
def found(small_set, small_vectors, detector):
    video = small_set / "videos" / "s02_01.mp4"
    return fedet.detect(video, detector, 0.02, "s02", cache=small_vectors, curves=True)


def test_parts_of_a_table_can_be_joined_again(found):
    table = found.table
    again = pd.concat([table.iloc[:2], table.iloc[2:]])
    pd.testing.assert_frame_equal(again, table)
    assert json.loads(json.dumps(table.attrs)) == table.attrs  # as Parquet keeps them


def test_older_scripts_find_the_facts_in_the_tables_attrs(found):
    attrs = found[found["score"] > 0].attrs
    assert attrs == found.attrs and (attrs["seconds"], attrs["threshold"]) == (found.seconds, 0.02)
    assert attrs["missing"] == found.missing.to_dict("records") and attrs["problems"] == list(found.notes)
    assert attrs["unfamiliar"] == found.unfamiliar.tolist() and len(found.unfamiliar) == len(found)
    pd.testing.assert_frame_equal(pd.DataFrame(attrs["curves"], dtype=np.float32), found.curves)


def test_detections_read_like_their_table_and_go_where_tables_go(small_set, found, tmp_path):
    from fedet.annotations.formats import read_intervals, write_intervals
    from fedet.explorer.widget import Explorer
    from fedet.review.review import Review

    dataset, video = read_dataset(small_set), small_set / "videos" / "s02_01.mp4"
    assert len(found) == len(found.table) > 0 and list(found) == list(found.table) and "onset" in found
    assert found["onset"].equals(found.table["onset"]) and found.iloc[0].equals(found.table.iloc[0])
    assert found._repr_html_() == found.table._repr_html_() and repr(found) == repr(found.table)
    with pytest.raises(AttributeError, match="no_such_name"):
        found.no_such_name  # noqa: B018
    again = pickle.loads(pickle.dumps(found))
    assert again.table.equals(found.table) and again.threshold == 0.02
    one, two = (
        fedet.evaluate(x, dataset.annotations, dataset.videos, n_resamples=0) for x in (found, again.table)
    )
    assert one.spotting.equals(two.spotting)
    for suffix in (".csv", ".json", ".eaf", ".vtt", ".boris.csv"):
        for name, x in (("a", found), ("b", found.table)):
            write_intervals(x, tmp_path / f"{name}{suffix}")
        a, b = (read_intervals(tmp_path / f"{name}{suffix}", fps=30.0, video="v")[0] for name in "ab")
        assert a["onset"].equals(b["onset"]) and len(a) == len(found)
    assert len(Review(found, video="s02_01", fps=30.0).table("all")) == len(found)
    for x in (found, [found, found.table], {"mine": found}, found.table):
        explorer = Explorer(video, x, autosave=False)
        assert explorer.threshold == 0.02 and explorer.lanes.curves[1].shape == found.curves.shape
        assert len(explorer.lanes.missing) == len(found.missing) and len(explorer.review.rows) == len(found)
        explorer.close()


@pytest.mark.slow
def test_other_frame_rates_give_the_same_seconds(made, detector, tmp_path):
    video = made / "videos" / "s01_01.mp4"
    write_video(tmp_path / "s01_01.mp4", (f.image for f in open_video(video).frames(fps=60)), 60)
    # Only what is reported: a candidate below the threshold may come and go with another encoding.
    one, two = fedet.detect(video, detector), fedet.detect(tmp_path / "s01_01.mp4", detector, 0.2)
    assert (two["fps"] == 60).all() and len(one)
    for event in one.itertuples():  # encoded once more, so scores differ, and with them a doubtful emotion
        spans = zip(two["onset"] / 2, two["offset"] / 2, strict=True)
        assert max(overlap(s, (event.onset, event.offset)) for s in spans) > 0.6


def test_no_face_no_detection(detector):
    empty = FaceTrack(
        np.zeros((90, WIDTH), np.float16), np.zeros(90, np.float32), np.full(90, 2, np.uint8),
        np.full(90, -1, np.int32), 25.0, (), "faces",
    )  # fmt: skip
    assert not len(detect_in(empty, detector, 0.0))


def test_one_frame_is_a_video(detector, tmp_path):
    write_video(tmp_path / "one.mp4", iter([np.full((64, 64, 3), 128, np.uint8)]), 30)
    table = fedet.detect(tmp_path / "one.mp4", detector)
    assert not len(table) and len(table.missing) == 1


def test_bad_thresholds_and_missing_files_are_quoted(detector, tmp_path):
    with pytest.raises(InputError, match="1.5"):
        fedet.detect(tmp_path / "x.mp4", detector, threshold=1.5)
    with pytest.raises(InputError, match="x.mp4"):
        fedet.detect(tmp_path / "x.mp4", detector)


@given(st.integers(0, 10_000), st.integers(1, 400), st.sampled_from([24, 25, 29.97, 30, 50, 60, 200]))
def test_frames_carried_to_another_rate_keep_their_time(onset, duration, fps):
    first, last = at_rate([onset], [onset + duration - 1], fps, 30)
    assert abs(first[0] / 30 - onset / fps) <= 0.5 / 30 + 1e-9 and last[0] >= first[0]
    assert abs((last[0] + 1) / 30 - (onset + duration) / fps) <= 1.5 / 30 + 1e-9  # at least one frame
    again = at_rate([onset], [onset + duration - 1], fps, fps)
    assert (again[0][0], again[1][0]) == (onset, onset + duration - 1)


def test_records_carry_every_event_over(small_set, small_vectors, detector):
    dataset = read_dataset(small_set)
    records = records_of(dataset, detector.net, Inputs(), small_vectors, progress=False)
    assert sum(len(r.events) for r in records) == len(dataset.annotations)
    assert all(len(r.vectors) == 180 and r.fps == 30 for r in records)


def test_people_of_the_same_name_in_two_sets_stay_two(small_set, small_vectors, detector):
    options = {"cache": small_vectors, "progress": False, "videos": ["s01_01"]}
    one = records_of(read_dataset(small_set), detector.net, detector.inputs, **options)
    both = join_sets({"a": one, "b": one})
    assert [r.subject for r in both] == ["a/s01", "b/s01"]
    for record, name in zip(both, ("a/s01_01", "b/s01_01"), strict=True):
        assert record.video == name and set(record.events["video"]) <= {name}
        assert np.array_equal(record.vectors, one[0].vectors)
        assert record.events["onset"].tolist() == one[0].events["onset"].tolist()
    assert join_sets({"a": one}) == one


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real clips at {REAL}; set FEDET_REAL_CLIPS")
def test_the_smile_of_a_real_person_is_found_and_nothing_else(detector):
    coded = pd.read_csv(REAL / "annotations.csv").iloc[0]
    table = fedet.detect(REAL / coded["video"], detector)
    assert len(table) == 1 and table["emotion"][0] == "positive"
    assert overlap((table["onset"][0], table["offset"][0]), (coded["onset"], coded["offset"])) >= 0.5


def test_a_folder_of_images_at_200_fps_is_read_at_its_rate(detector, tmp_path):
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(200):
        cv2.imwrite(str(folder / f"{i + 1:04d}.png"), np.full((48, 48, 3), 99, np.uint8))
    table = fedet.detect(folder, detector, fps=200)
    assert table.seconds == pytest.approx(1.0, abs=0.05) and table.missing_s == table.seconds
    assert table.missing[["start_frame", "end_frame"]].values.tolist() == [[0, 199]]
    for fps in (0, -5, float("nan"), float("inf")):
        with pytest.raises(InputError, match="is no frame rate"):
            fedet.detect(folder, detector, fps=fps)


def test_nothing_lies_behind_the_last_frame_and_pictures_are_those_of_its_rate(tracks, detector, tmp_path):
    import cv2

    from fedet.explorer.widget import Explorer
    from fedet.plots.thumbnails import plot_apexes

    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(101):
        cv2.imwrite(str(folder / f"{i:04d}.png"), np.full((48, 48, 3), 2 * i, np.uint8))
    nothing = fedet.detect(folder, detector, fps=200, curves=True)
    assert nothing.missing["end_frame"].max() == 100 and len(nothing.curves) == 101
    face = tracks["s01_01"]
    part = (values[:16] for values in (face.vectors, face.rest, face.state, face.track))
    at_200 = FaceTrack(*part, 200.0, (), "faces")
    assert detect_in(at_200, detector, 0.0)["offset"].max() > 100
    table = detect_in(at_200, detector, 0.0, last=100)
    assert len(table) and table["offset"].max() == 100 and (table["apex"] <= table["offset"]).all()
    shown = table.iloc[:1].assign(apex=73, video="frames", subject="s")
    assert plot_apexes(folder, shown)[0].images[0].get_array()[0, 0, 0] == 146
    explorer = Explorer(folder, shown, autosave=False)
    assert (explorer.video.fps, explorer.lanes.n_frames) == (200, 101)
    explorer.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('["faces"]', "a JSON object like {'weights': ...} is needed"),
        ('{"weights": 3}', "weights is 3; it must be a text"),
        ('{"context_s": "20"}', "context_s is '20'; it must be a number"),
        ('{"context_s": -1}', "context_s is -1; it must be between"),
        ('{"signals": "loudness"}', "signals is 'loudness'; it must be a list, each a text"),
        ('{"signals": [["loudness"]]}', "signals is .*each a text"),
        ('{"reference": "mean"}', "reference is 'mean'; one of rest"),
        ('{"digest": 12}', "digest is 12; it must be a text"),
        ('{"weight": "faces"}', "unknown weight; known are weights"),
        ("{", "not JSON"),
    ],
)
def test_inputs_that_are_none_name_file_and_value(tmp_path, content, expected):
    (tmp_path / "inputs.json").write_text(content)
    with pytest.raises(InputError, match=f"inputs.json: {expected}"):
        read_inputs(tmp_path)


def test_a_detector_finds_its_face_weights_from_anywhere_and_knows_them_again(
    detector, tmp_path, monkeypatch
):
    from fedet.detection import save_inputs
    from fedet.faces.network import save_facenet

    monkeypatch.chdir(tmp_path)
    detector.model.save_pretrained("mine")
    save_facenet("own", detector.net, {})
    save_inputs("mine", Inputs("own"))
    monkeypatch.chdir("/")
    assert read_inputs(tmp_path / "mine") == Inputs(str(tmp_path / "mine" / "face_weights"))
    shutil.rmtree(tmp_path / "own")
    assert load_detector(tmp_path / "mine").net.digest == detector.net.digest
    old = tmp_path / "mine" / "inputs.json"
    values = json.loads(old.read_text())
    for outside in ("../own", "/somewhere/own", "C:\\own", "a/../../own"):  # as earlier versions wrote them
        old.write_text(json.dumps({"weights": outside}))
        assert load_detector(tmp_path / "mine").net.digest == detector.net.digest  # that of the copy
    old.write_text(json.dumps(values | {"digest": "0" * 12}))
    with pytest.raises(InputError, match="inputs.json: the detector learned with other face weights"):
        load_detector(tmp_path / "mine")
    shutil.move(tmp_path / "mine" / "face_weights", tmp_path / "own")
    for outside in ("../own", str(tmp_path / "own"), "..\\own"):
        old.write_text(json.dumps({"weights": outside}))
        with pytest.raises(
            InputError, match="outside of the detector's folder, where nothing is read; .*copy"
        ):
            load_detector(tmp_path / "mine")
    save_inputs(tmp_path, detector.inputs)
    assert "digest" not in json.loads((tmp_path / "inputs.json").read_text())


def test_bfloat16_is_asked_for_keeps_its_own_vectors_and_moves_no_interval_by_more_than_a_frame(
    small_set, detector, tmp_path
):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    exact = fedet.detect(video, detector, cache=tmp_path)
    again = fedet.detect(video, detector, cache=tmp_path, precision="fp32")
    assert len(list(tmp_path.glob("*.f16"))) == 1 and again["score"].equals(exact["score"])
    half = fedet.detect(video, detector, cache=tmp_path, precision="bf16")
    assert len(list(tmp_path.glob("*.f16"))) == 2
    assert len(half) == len(exact) > 0 and half["emotion"].equals(exact["emotion"])
    assert (half[["onset", "offset"]] - exact[["onset", "offset"]]).abs().to_numpy().max() <= 1
    assert np.abs(half["score"] - exact["score"]).max() < 0.01
    with pytest.raises(InputError, match="'half'; one of fp32, bf16, auto"):
        fedet.detect(video, detector, precision="half")

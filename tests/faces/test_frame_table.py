"""One row a frame: what stands in it, on the video's own frames, empty where nothing is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.detection import Detections
from fedet.errors import InputError
from fedet.faces.frame_table import (
    AU_COLUMNS,
    FRAME_COLUMNS,
    POINT_COLUMNS,
    FrameReadings,
    check_format,
    frame_table,
    frames_of,
    points_at,
    write_frames,
)
from fedet.intervals import EMOTIONS, empty_table


def readings(ticks=90, fps=30.0, missing=(30, 40), **more) -> FrameReadings:
    """A face that moves a pixel a reading, away for a while, a broken picture at its end."""
    state = np.zeros(ticks, np.uint8)
    state[slice(*missing)] = 2
    broken = np.zeros(ticks, bool)
    broken[missing[1] - 1] = True
    boxes = np.zeros((ticks, 4), np.float32)
    boxes[:, 0], boxes[:, 2] = np.arange(ticks), 50
    boxes[state == 2] = 0
    aus = np.arange(ticks, dtype=np.float16)[:, None] / 100 + np.zeros(18, np.float16)
    return FrameReadings(state, np.where(state == 2, -1, 3).astype(np.int32), fps, boxes, broken, aus, **more)


@given(st.sampled_from([24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0]), st.integers(45, 200))
def test_a_frame_has_the_reading_of_its_own_time(fps, ticks):
    table = frame_table(readings(ticks, fps), "clip", "Ann")
    assert list(table.columns) == list(FRAME_COLUMNS)
    assert table["frame"].tolist() == list(range(len(table)))
    assert abs(len(table) - ticks / 30 * fps) <= 1
    seen = table[table["success"] == 1]
    middle_s = (seen["frame"] + 0.5) / fps
    assert (seen["FaceRectX"] / 30 <= middle_s + 1e-5).all()
    assert (middle_s <= (seen["FaceRectX"] + 1) / 30 + 1e-5).all()


def test_without_a_face_nothing_is_made_up():
    curves = pd.DataFrame(0.3, index=range(90), columns=list(EMOTIONS))
    table = frame_table(readings(), "clip", "Ann", curves)
    away = table.iloc[30:40]
    assert (away["success"] == 0).all()
    assert away[["face_id", "FaceRectX", "Roll", *AU_COLUMNS, *EMOTIONS, "novelty"]].isna().all(axis=None)
    assert away["state"].tolist() == ["missing"] * 9 + ["damaged"]
    there = table.drop(index=away.index)
    assert there[["face_id", "FaceRectX", *AU_COLUMNS, *EMOTIONS]].notna().all(axis=None)
    assert table["novelty"].isna().all()  # weights that cannot say


def test_the_file_holds_the_table(tmp_path):
    table = frame_table(readings(9000), "=1+1", "Ann").assign(novelty=np.nan)
    write_frames(table, tmp_path / "f.csv")
    got = pd.read_csv(tmp_path / "f.csv")
    assert list(got.columns) == list(FRAME_COLUMNS) and len(got) == 9000
    assert set(got["schema_version"]) == {1} and set(got["video"]) == {"'=1+1"}
    np.testing.assert_allclose(got["AU12"], table["AU12"].astype(float), atol=1e-4)
    assert got["face_id"].isna().sum() == 10
    with pytest.raises(InputError, match=r"f\.xls: no format of a table of frames"):
        write_frames(table, tmp_path / "f.xls")
    with pytest.raises(InputError, match="--frames xls: one of csv, parquet"):
        check_format("xls")
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]


def test_parquet_holds_the_table_or_names_the_package(tmp_path):
    table = frame_table(readings(), "clip", "Ann")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        for write in (lambda: write_frames(table, tmp_path / "f.parquet"), lambda: check_format("parquet")):
            with pytest.raises(InputError, match="pyarrow"):
                write()
        assert not list(tmp_path.iterdir())
    else:
        write_frames(table, tmp_path / "f.parquet")
        assert pd.read_parquet(tmp_path / "f.parquet").shape == table.shape


def test_several_people_stand_one_after_the_other(tmp_path):
    own = [
        SimpleNamespace(video="clip", subject=name, readings=readings(), curves=None)
        for name in ("left", "right")
    ]
    table = frames_of(SimpleNamespace(people=[SimpleNamespace(detections=one) for one in own]))
    assert table.groupby("subject", observed=True)["frame"].max().to_dict() == {"left": 89, "right": 89}
    write_frames(table, tmp_path / "f.csv")
    assert set(pd.read_csv(tmp_path / "f.csv")["subject"]) == {"left", "right"}


def test_detections_give_their_frames():
    found = Detections(
        empty_table(), pd.DataFrame(), 3.0, 0.5, video="clip", subject="Ann", readings=readings()
    )
    table = found.frames()
    assert set(table["video"]) == {"clip"} and set(table["subject"]) == {"Ann"}
    with pytest.raises(InputError, match="without readings of its frames"):
        Detections(empty_table(), pd.DataFrame(), 3.0, 0.5, video="clip").frames()


def moving_points(ticks=90, **more) -> FrameReadings:
    """A face that stands still and whose points move a hundredth of the crop's side a reading."""
    steps = np.arange(-(-ticks // 3), dtype=np.float16) * 3 / 100
    points = np.zeros((len(steps), 65, 2), np.float16)
    points[..., 0] = steps[:, None]
    read = readings(ticks, points=points, **more)
    read.points[~np.isin(np.arange(len(steps)) * 3, np.flatnonzero(read.state == 0))] = np.nan
    read.boxes[:, 0] = 0
    return read


@given(st.sampled_from([25.0, 30.0, 60.0]))
def test_points_between_two_readings_lie_on_the_line_and_never_bridge_a_missing_face(fps):
    read = moving_points(fps=fps)
    table = frame_table(read, "clip", "Ann", landmarks=True)
    assert list(table.columns) == [*FRAME_COLUMNS, *POINT_COLUMNS]
    tick = np.minimum(((table["frame"] + 0.5) / fps * 30).astype(int), 89)
    seen, x = (read.state[tick] == 0), table["x_chin"].to_numpy(float)
    assert np.isnan(x[~seen]).all() and table.loc[~seen, list(POINT_COLUMNS)].isna().all(axis=None)
    between = seen & (tick < 27).to_numpy()  # before the face is lost both neighbours are known
    step = (x[between] - 25) / tick[between]
    np.testing.assert_allclose(step[tick[between] > 0], np.median(step[tick[between] > 0]), rtol=0.02)
    assert np.isfinite(x[seen & (tick != 40).to_numpy() & (tick != 41).to_numpy()]).all()


def test_points_that_were_not_read_are_refused_by_name():
    with pytest.raises(InputError, match="clip: the points of the face were not read"):
        frame_table(readings(), "clip", "Ann", landmarks=True)
    with pytest.raises(InputError, match="clip: the points"):
        points_at(readings(), np.arange(3), "clip")

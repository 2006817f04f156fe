from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from fedet.experiments.methods import optical_flow as flow
from fedet.faces.extraction import CROP
from fedet.intervals import COLUMNS, empty_table
from fedet.windows import VideoFeatures

RNG = np.random.default_rng(0)
TEXTURE = RNG.integers(0, 256, (30, 30, 3)).astype(np.uint8)


def face(dx: float = 0.0, dy: float = 0.0, region: str = "", by: float = 0.0) -> np.ndarray:
    """A textured crop moved by (dx, dy), in which one region is moved down by `by` more."""
    import cv2

    picture = cv2.resize(TEXTURE, (CROP, CROP), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:CROP, :CROP].astype(np.float32)
    if region:
        x0, x1, y0, y1 = (CROP * v for v in flow.REGIONS[region])
        near = np.exp(-(((x - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0)) ** 2))
        y = y - by * near.astype(np.float32)
    return cv2.remap(
        picture, x - np.float32(dx), y - np.float32(dy), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def moved(*crops, states=None, tracks=None) -> np.ndarray:
    n = len(crops)
    states, tracks = states or ["found"] * n, tracks or [0] * n
    return flow.movements(zip(crops, states, tracks, strict=True))[2].reshape(n, -1, 2)


def test_a_moving_head_is_no_expression_and_a_moving_mouth_is_one():
    still, shift = face(), face(1.5, 1.0)
    head = moved(still, shift)[1]
    region = list(flow.REGIONS).index("mouth corner left")
    mouth = moved(still, face(region="mouth corner left", by=1.5))[1]
    both = moved(still, face(1.5, 1.0, region="mouth corner left", by=1.5))[1]
    assert np.abs(head).max() < 0.3
    for found in (mouth, both):
        assert found[region, 1] > 0.6 and abs(found[region, 0]) < 0.4
        assert np.abs(found[[0, 3, 12]]).max() < 0.4  # brows and chin stay


def test_nothing_moves_over_a_gap_or_between_faces():
    a, b = face(), face(region="chin", by=2.0)
    assert np.abs(moved(a, b)[1]).max() > 0.5
    rows = moved(a, None, b, a, states=["found", "missing", "found", "found"], tracks=[0, -1, 0, 1])
    assert not rows.any()


@dataclass(frozen=True)
class Bumps:
    """Where a region is away from its place, in frames."""

    events: tuple = ((100, 140, 4.0), (260, 275, 2.0), (400, 430, 3.0))
    n: int = 600


def bumpy(subject: str, bumps: Bumps = Bumps(), noise: float = 0.05, seed: int = 0) -> VideoFeatures:
    rng = np.random.default_rng(seed)
    away = np.zeros((bumps.n, 2 * len(flow.REGIONS)))
    for start, end, height in bumps.events:
        shape = np.sin(np.pi * (np.arange(end - start) + 0.5) / (end - start))
        away[start:end, 16:20] += height * shape[:, None]
    moved = np.diff(away, axis=0, prepend=0) + noise * rng.normal(size=away.shape)
    table = pd.DataFrame([(s, e - 1) for s, e, _ in bumps.events], columns=["onset", "offset"])
    table = table.reindex(columns=COLUMNS).astype(empty_table().dtypes)
    mask = np.ones(bumps.n, dtype=bool)
    return VideoFeatures(
        subject, f"{subject}_1", 30.0, moved.astype(np.float32), mask, table.assign(fps=30.0)
    )


def test_displacement_sees_bumps_and_forgets_drift():
    record = bumpy("a", noise=0.0)
    curve = flow.displacement(record, 3.0)
    assert curve[120] > 5 * max(curve[40], curve[200], curve[500], 1e-9)
    drift = record.vectors + 0.005
    moving = flow.displacement(replace(record, vectors=drift), 3.0)
    assert np.abs(moving - curve)[120:480].max() < 0.1
    hidden = record.mask.copy()
    hidden[110:130] = False
    assert not flow.displacement(replace(record, mask=hidden), 3.0)[110:130].any()


@pytest.mark.parametrize("width", [0.5, 20.0])
def test_peaks_lie_on_the_bumps(width):
    curve = np.zeros(300)
    for centre, half, height in ((80, 20, 5.0), (200, 10, 2.0)):
        t = np.arange(300)
        curve += height * np.clip(1 - np.abs(t - centre) / half, 0, None)
    frames, strength = flow.peaks_of(curve, flow.Peaks(1.5, 0.0, width, False))
    assert len(frames) == 2 and strength == pytest.approx([5.0, 2.0])
    assert frames.mean(1) == pytest.approx([80, 200], abs=1)
    lengths = [20, 20] if width > 1 else [20, 10]  # half the height of a triangle: half its base
    assert (frames[:, 1] - frames[:, 0]) == pytest.approx(lengths, abs=1)
    assert flow.peaks_of(np.ones(50), flow.Peaks(1.5, 1.0, width, True))[0].shape == (0, 2)


def test_of_overlapping_peaks_the_strongest_stays():
    frames = np.array([[0, 20], [5, 15], [18, 40], [100, 110]])
    assert sorted(flow.suppress_overlaps(frames, np.array([1.0, 3.0, 2.0, 0.1]))) == [1, 2, 3]
    assert flow.suppress_overlaps(frames[:0], np.zeros(0)).shape == (0,)


def test_flow_finds_bumps_of_somebody_else_without_naming_them():
    known = [bumpy(name, seed=i) for i, name in enumerate("abc")]
    fitted = flow.Flow().fit(known[:2], known[2:], seed=0)
    other = bumpy("z", Bumps(((150, 185, 3.5), (330, 360, 3.0))), seed=9)
    table = fitted.predict(other)
    kept = table[table["score"] >= fitted.threshold]
    assert len(kept) == 2 and table["emotion"].isna().all() and table["score"].between(0, 1).all()
    for start, end in ((150, 184), (330, 359)):
        shared = (np.minimum(kept["offset"], end) - np.maximum(kept["onset"], start) + 1).max()
        assert shared > 0.5 * (end - start)
    assert fitted.choices["width"] in {how.width for how in flow.CHOICES}


def test_movements_are_kept_and_read_back(tmp_path):
    from fedet.datasets.dataset import read_dataset
    from fedet.synthetic.generator import SynthConfig, synthesize

    made = synthesize(
        tmp_path / "set", SynthConfig(subjects=1, seconds=2, size=96, events_per_minute=30, silent_share=0),
        jobs=1, progress=False,
    )  # fmt: skip
    dataset = read_dataset(made)
    kept = tmp_path / "kept"
    one, two = (flow.flow_records_of(dataset, kept, progress=False, jobs=jobs) for jobs in (2, 1))
    assert len(list((tmp_path / "kept").glob("*.flow.npz"))) == 1
    assert np.array_equal(one[0].vectors, two[0].vectors) and one[0].vectors.any()
    assert one[0].vectors.shape == (60, 2 * len(flow.REGIONS)) and one[0].mask.mean() > 0.5

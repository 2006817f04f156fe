from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.annotations.table import validate
from fedet.errors import InputError
from fedet.intervals import COLUMNS, EMOTIONS, interval_tiou
from fedet.model import FEDN, FEDNConfig, FEDNOutput
from fedet.postprocess import (
    Candidates,
    decode,
    detect_intervals,
    downsample,
    predict,
    soft_nms,
    to_frames,
    voting_scales,
    weighted_interval_fusion,
)
from fedet.windows import VideoFeatures, assign_targets, classes_of, cut_window, points, window_starts

CONFIG = FEDNConfig(
    input_features=4, channels=16, attention_heads=2, window=128, window_stride=64, dropout=0.0
)
SEEN = np.ones(CONFIG.window, dtype=bool)


def events(*rows) -> pd.DataFrame:
    """A table of (onset, offset, emotion), frames inclusive."""
    table = pd.DataFrame(rows, columns=["onset", "offset", "emotion"])
    return table.reindex(columns=COLUMNS).assign(fps=30.0, subject="s", video="v")


def record(vectors, *rows, mask=None, **changes) -> VideoFeatures:
    mask = np.ones(len(vectors), dtype=bool) if mask is None else mask
    return VideoFeatures(
        **{"subject": "s", "video": "v", "fps": 30.0, "events": events(*rows)}
        | {"vectors": np.asarray(vectors, np.float32), "mask": mask}
        | changes
    )


def oracle(x: torch.Tensor, mask: torch.Tensor, config: FEDNConfig = CONFIG) -> FEDNOutput:
    """Stands in for the network: reads events that are written into the frames themselves.

    Inside an event feature 0 is 1 + its class, features 1 and 2 are the distances to its onset and
    to its end, feature 3 its logit. A position whose centre lies in an event of its level tells it.
    """
    at = points(config)
    frame = torch.from_numpy(at.centre).long()
    low, high = torch.from_numpy(at.low), torch.from_numpy(at.high)
    label, back, on, logit = x[:, frame].unbind(-1)  # each (B, P)
    length = back + on
    found = (label > 0) & mask[:, frame] & (length >= low) & (length < high)
    logits = torch.full((*found.shape, len(config.emotions)), -20.0)
    logits[found, label[found].long() - 1] = logit[found]
    shift = torch.from_numpy(at.centre).float() - frame  # from the frame's start to the centre
    distances = torch.stack([back + shift, on - shift], dim=-1).clamp(min=0)
    valid = torch.cat([mask.view(len(mask), -1, s).any(-1) for s in config.strides], dim=1)
    return FEDNOutput(logits, distances.float(), None, valid)


def written(n_frames: int, *rows, logit: float = 3.0) -> np.ndarray:
    x = np.zeros((n_frames, 4), dtype=np.float32)
    for onset, offset, emotion in rows:
        frames = np.arange(onset, offset + 1)
        x[frames, 0] = 1 + EMOTIONS.index(emotion)
        x[frames, 1] = frames - onset
        x[frames, 2] = offset + 1 - frames
        x[frames, 3] = logit
    return x


def found(table: pd.DataFrame, threshold: float = 0.5) -> list[tuple]:
    strong = table[table["score"] >= threshold].sort_values("onset")
    return list(strong[["onset", "offset", "emotion"]].itertuples(index=False, name=None))


# --- cutting


@pytest.mark.parametrize("n", [1, 64, 127, 128, 129, 192, 193, 1000])
def test_windows_cover_the_video_and_nothing_twice_over(n):
    starts = window_starts(n, CONFIG)
    assert starts[0] == 0 and (np.diff(starts) == CONFIG.window_stride).all()
    assert starts[-1] + CONFIG.window >= n
    assert len(starts) == 1 or starts[-2] + CONFIG.window < n


def test_a_window_is_padded_with_masked_zeros_on_both_sides():
    vectors = np.arange(1, 11, dtype=np.float16)[:, None]
    mask = np.arange(10) != 7
    x, m = cut_window(vectors, mask, 6, 8)
    assert x[:, 0].tolist() == [7, 8, 9, 10, 0, 0, 0, 0] and x.dtype == np.float32
    assert m.tolist() == [True, False, True, True, False, False, False, False]
    x, m = cut_window(vectors, mask, -3, 5)
    assert x[:, 0].tolist() == [0, 0, 0, 1, 2] and m.tolist() == [False] * 3 + [True] * 2
    x, m = cut_window(vectors, mask, 20, 5)
    assert not x.any() and not m.any()


# --- positions and targets


@pytest.mark.parametrize("first_stride, levels", [(4, 5), (2, 5), (4, 3), (2, 6)])
def test_the_positions_of_a_level_tile_the_window_and_durations_have_one_level(first_stride, levels):
    config = replace(CONFIG, first_stride=first_stride, pyramid_levels=levels)
    at = points(config)
    with torch.no_grad():
        x = torch.zeros(1, config.window, 4)
        output = FEDN(config)(x, torch.ones(1, config.window, dtype=torch.bool))
    assert len(at.centre) == output.class_logits.shape[1]
    for stride in config.strides:
        centres = at.centre[at.stride == stride]
        assert centres[0] - stride / 2 == 0 and centres[-1] + stride / 2 == config.window
        assert (np.diff(centres) == stride).all()
    for duration in (1, 9, 17, 33, 64, 118, 5000):
        strides = at.stride[(at.low <= duration) & (duration < at.high)]
        assert len(set(strides)) == 1


def targets_of(*rows, config=CONFIG, mask=SEEN, start=0):
    table = events(*rows)
    intervals = np.array([[a - start, b + 1 - start] for a, b, _ in rows], dtype=float)
    return assign_targets(intervals.reshape(-1, 2), classes_of(table, config), mask, config)


def test_positions_near_the_centre_learn_the_event():
    # 12 frames [40, 52): stride 4 (up to 16 frames), centre 46, radius 1.5 strides = 6 frames
    classes, intervals, positive, labelled = targets_of((40, 51, "surprise"))
    at = points(CONFIG)
    assert at.centre[positive].tolist() == [42, 46, 50]
    assert at.stride[positive].tolist() == [4, 4, 4]
    assert (intervals[positive] == [40, 52]).all()
    assert (classes[positive] == [0, 0, 1, 0]).all() and not classes[~positive].any()
    assert labelled.all()
    _, _, positive, _ = targets_of((40, 51, "surprise"), config=replace(CONFIG, centre_radius=0.5))
    assert at.centre[positive].tolist() == [46]


def test_every_event_reaches_a_position_of_its_level():
    at = points(CONFIG)
    for onset in range(60):
        for length in (1, 2, 9, 17, 33, 60):
            _, _, positive, _ = targets_of((onset, onset + length - 1, "others"))
            assert positive.any(), (onset, length)
            assert ((at.low <= length) & (length < at.high))[positive].all()


def test_the_shortest_event_wins_a_contested_position_in_any_order():
    rows = [(40, 54, "negative"), (42, 52, "positive")]
    at = points(CONFIG)
    for order in (rows, rows[::-1]):
        classes, intervals, positive, _ = targets_of(*order)
        owner = {c: tuple(i) for c, i in zip(at.centre[positive], intervals[positive], strict=True)}
        assert owner[46.0] == (42, 53)
        assert classes[at.centre == 46.0][0].argmax() == EMOTIONS.index("positive")


def test_an_event_cut_by_the_border_teaches_if_enough_of_it_is_seen():
    at = points(CONFIG)
    for hidden, kept in ((3, True), (5, True), (6, False), (9, False)):
        onset = 128 - (10 - hidden)  # 10 frames, the last `hidden` of them beyond the window
        _, intervals, positive, labelled = targets_of((onset, onset + 9, "positive"))
        assert positive.any() == kept
        if kept:
            assert (intervals[positive] == [onset, onset + 10]).all()  # the true end, though unseen
            assert labelled.all()
        else:
            assert (~labelled == (at.centre >= onset)).all()


def test_masked_frames_hide_an_event_as_a_border_does():
    mask = SEEN.copy()
    mask[40:48] = False
    _, _, positive, labelled = targets_of((40, 51, "surprise"), mask=mask)
    at = points(CONFIG)
    assert not positive.any()
    assert not labelled[(at.centre > 40) & (at.centre < 52)].any()
    assert not labelled[(at.stride == 4) & (at.centre < 48) & (at.centre > 40)].any()
    mask[:] = SEEN
    mask[43:45] = False
    _, _, positive, _ = targets_of((40, 51, "surprise"), mask=mask)
    assert positive.any()


def test_an_unknown_emotion_is_located_but_not_classified():
    classes, intervals, positive, labelled = targets_of((40, 51, None))
    assert positive.any() and not labelled[positive].any() and labelled[~positive].all()
    assert not classes.any() and (intervals[positive] == [40, 52]).all()


def test_no_event_is_all_negative():
    classes, intervals, positive, labelled = targets_of()
    assert not classes.any() and not intervals.any() and not positive.any() and labelled.all()


def test_a_spotter_takes_every_event_as_the_same():
    config = replace(CONFIG, emotions=("expression",))
    assert classes_of(events((1, 5, "positive"), (8, 9, None)), config).tolist() == [0, 0]
    assert classes_of(events((1, 5, "others"), (8, 9, None)), CONFIG).tolist() == [3, -1]
    with pytest.raises(InputError, match="'joy' is none of positive, negative"):
        classes_of(events((1, 5, "joy")), CONFIG)


# --- back to the video


@settings(max_examples=40)
@given(
    shift=st.integers(0, 700),
    lengths=st.lists(st.integers(9, 100), min_size=1, max_size=4),
    gap=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_events_come_back_wherever_they_lie_in_the_video(shift, lengths, gap, seed):
    labels = np.random.default_rng(seed).permutation(EMOTIONS)
    rows, onset = [], shift
    for length, label in zip(lengths, labels, strict=False):
        rows.append((onset, onset + length - 1, label))
        onset += length + gap
    x = written(onset + 50, *rows)
    table = detect_intervals(oracle, CONFIG, x, np.ones(len(x), dtype=bool))
    assert found(table) == rows


def test_detections_move_with_the_video_through_the_real_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = FEDN(CONFIG).eval()
    torch.nn.init.normal_(model.head.classes.weight, generator=torch.Generator().manual_seed(1))
    pattern = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    n, tables = 1200, []
    for shift in (256, 256 + 3 * CONFIG.window_stride, 256 + 9 * CONFIG.window_stride):
        x = np.zeros((n, 4), dtype=np.float32)
        x[shift : shift + 90] = pattern
        table = detect_intervals(model, CONFIG, x, np.ones(n, dtype=bool))
        near = table["onset"].between(shift - 60, shift + 150)
        table = table[near & (table["score"] > table["score"].max() / 2)]
        tables.append(table.assign(onset=table["onset"] - shift, offset=table["offset"] - shift))
    assert len(tables[0]) > 0
    for table in tables[1:]:
        assert found(table, 0) == found(tables[0], 0)
        assert table["score"].to_numpy() == pytest.approx(tables[0]["score"].to_numpy(), rel=1e-4)


def test_each_place_of_a_video_belongs_to_one_window():
    n_windows = 4
    at = points(CONFIG)
    p = len(at.centre)
    logits = torch.full((n_windows, p, 4), -20.0)
    logits[..., 0] = 5.0
    everywhere = torch.ones(n_windows, p, dtype=torch.bool)
    output = FEDNOutput(logits, torch.ones(n_windows, p, 2), None, everywhere)
    candidates = decode(output, np.arange(n_windows) * CONFIG.window_stride, n_windows, CONFIG)
    centres = candidates.intervals.mean(1)
    frames = 128 + 3 * 64
    for stride in (4, 8, 16, 32):
        expected = np.arange(0.5, frames / stride) * stride
        assert np.isin(expected, centres).all()
    values, counts = np.unique(centres, return_counts=True)
    assert len(values) == len(centres) and (counts == 1).all()  # strides have different centres


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_nothing(batch_size):
    x = written(900, (100, 130, "positive"), (400, 412, "negative"), (850, 899, "others"))
    mask = np.ones(900, dtype=bool)
    one = detect_intervals(oracle, CONFIG, x, mask, batch_size=batch_size)
    pd.testing.assert_frame_equal(one, detect_intervals(oracle, CONFIG, x, mask))


def slow_soft_nms(candidates: Candidates, config: FEDNConfig) -> list[tuple]:
    left = [list(row) for row in zip(*candidates, strict=True)]
    out = []
    while left:
        best = max(left, key=lambda row: row[1])
        left = [row for row in left if row is not best]
        if best[1] < config.min_score:
            break
        out.append((*best[0], best[1], best[2]))
        for row in left:
            (a, b), (c, d) = best[0], row[0]
            shared = max(0.0, min(b, d) - max(a, c))
            tiou = shared / (b - a + d - c - shared)
            sigma = config.nms_sigma if row[2] == best[2] else config.cross_class_sigma
            if sigma is not None:
                row[1] *= np.exp(-(tiou**2) / sigma)
    return out


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cross", [None, 0.05, 0.5])
def test_soft_nms_is_the_slow_one(seed, cross):
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 60)
    start = rng.uniform(0, 200, n)
    candidates = Candidates(
        np.stack([start, start + rng.uniform(1, 60, n)], 1),
        rng.uniform(0, 1, n),
        rng.integers(0, 3, n),
    )
    config = replace(CONFIG, cross_class_sigma=cross, nms_sigma=0.3)
    merged = soft_nms(candidates, config)
    expected = slow_soft_nms(candidates, config)
    assert [row[3] for row in expected] == merged.classes.tolist()
    assert np.allclose([row[:2] for row in expected], merged.intervals.tolist())
    assert np.allclose([row[2] for row in expected], merged.scores)
    assert (np.diff(merged.scores) <= 0).all()


def test_one_expression_is_not_reported_under_two_emotions():
    twice = Candidates(np.array([[10.0, 40.0]] * 2), np.array([0.9, 0.8]), np.array([0, 1]))
    both = soft_nms(twice, replace(CONFIG, cross_class_sigma=None))
    assert both.scores.tolist() == [0.9, 0.8]
    one = soft_nms(twice, CONFIG)
    assert one.scores[0] == 0.9 and one.scores[1] < 0.1 and one.classes[0] == 0


# --- several scales


def seen_whole(x: torch.Tensor, mask: torch.Tensor) -> FEDNOutput:
    """Stands in for the network: a position in the middle of a run of positive values tells it, as
    far as the window shows it."""
    at = points(CONFIG)
    logits = torch.full((len(x), len(at.centre), len(EMOTIONS)), -20.0)
    distances = torch.zeros(len(x), len(at.centre), 2)
    for b, active in enumerate((x[..., 0] > 0.5).numpy()):
        steps = np.flatnonzero(np.diff(np.concatenate([[0], active, [0]])))
        for start, end in steps.reshape(-1, 2):
            inside = np.abs(at.centre - (start + end) / 2) <= CONFIG.centre_radius * at.stride
            inside &= (at.low <= end - start) & (end - start < at.high)
            logits[b, inside, 0] = 2.0
            ends = np.stack([at.centre - start, end - at.centre], axis=1)[inside]
            distances[b, inside] = torch.from_numpy(ends).float()
    valid = torch.cat([mask.view(len(mask), -1, s).any(-1) for s in CONFIG.strides], dim=1)
    return FEDNOutput(logits, distances, None, valid)


@pytest.mark.parametrize("n", [100, 299, 300, 480])
def test_an_expression_longer_than_the_window_is_found_whole_at_a_slower_scale(n):
    x = np.zeros((1501, 4), dtype=np.float32)
    x[200:230, 0] = x[500 : 500 + n, 0] = 1
    mask = np.ones(len(x), dtype=bool)
    true, overlaps = np.array([500.0, 500 + n]), {}
    for scales in ((1,), (1, 2, 4, 8)):
        table = detect_intervals(seen_whole, replace(CONFIG, scales=scales), x, mask)
        table = table[table["score"] > 0.6].sort_values("onset")
        assert found(table.head(1)) == [(200, 229, "positive")]
        overlaps[scales] = interval_tiou(true, table[["onset", "offset"]].to_numpy()[1:] + [0, 1])
    assert overlaps[1, 2, 4, 8].max() > 0.6
    assert n == 100 or overlaps[(1,)].max(initial=0) < 0.5


def test_the_mean_of_visible_frames():
    x = np.arange(14, dtype=np.float16).reshape(7, 2)
    mask = np.array([True, True, True, False, False, False, True])
    slow, seen = downsample(x, mask, 2)
    assert slow.tolist() == [[1, 2], [4, 5], [0, 0], [12, 13]]
    assert seen.tolist() == [True, True, False, True]
    assert downsample(x, mask, 1)[0] is x


def spotted(*rows) -> Candidates:
    spans, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    spans = np.array(spans, dtype=float).reshape(-1, 2)
    return Candidates(spans, np.array(scores, dtype=float), np.array(labels, dtype=int))


def test_what_two_scales_agree_on_keeps_its_score_and_the_rest_loses_half():
    config = replace(CONFIG, scales=(1, 2))
    one = spotted(((10, 40), 0.8, 0), ((60, 70), 0.6, 1))
    two = spotted(((10, 50), 0.4, 2), ((80, 110), 0.5, 3))
    fused = weighted_interval_fusion({1: one, 2: two}, config)
    assert fused.classes.tolist() == [0, 1, 3]  # the stronger one names it
    assert fused.scores.tolist() == pytest.approx([0.6, 0.3, 0.25])
    assert fused.intervals[0].tolist() == pytest.approx([10, (0.8 * 40 + 0.1 * 50) / 0.9])
    assert weighted_interval_fusion({1: one}, CONFIG) is one
    assert len(weighted_interval_fusion({1: spotted(), 2: spotted()}, config).scores) == 0


def test_long_intervals_are_left_to_the_slower_scales():
    config = replace(CONFIG, scales=(1, 2, 4))
    assert [voting_scales(d, config) for d in (5, 96, 97, 192)] == [(1, 2), (1, 2), (2, 4), (2, 4)]
    assert voting_scales(193, config) == voting_scales(5000, config) == (4,)
    assert voting_scales(5000, CONFIG) == (1,)
    pieces, whole = spotted(((0, 128), 0.9, 0)), spotted(((0, 150), 0.7, 0))
    fused = weighted_interval_fusion({1: pieces, 2: whole, 4: whole}, config)
    assert fused.intervals.tolist() == [[0, 150]] and fused.scores.tolist() == pytest.approx([0.7])


@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(0, 12))
def test_fusing_uses_each_interval_once_and_invents_none(seed, n, m):
    config, rng = replace(CONFIG, scales=(1, 2)), np.random.default_rng(seed)
    sides = []
    for size in (n, m):
        start = rng.uniform(0, 200, size)
        rows = zip(np.stack([start, start + rng.uniform(2, 90, size)], 1), rng.uniform(0.05, 1, size),
                   rng.integers(0, 4, size), strict=True)  # fmt: skip
        sides.append(spotted(*rows))
    fused = weighted_interval_fusion(dict(zip((1, 2), sides, strict=True)), config)
    both = [np.concatenate(parts) for parts in zip(*sides, strict=True)]
    assert 2 * fused.scores.sum() == pytest.approx(both[1].sum())  # nothing counted twice or lost
    assert (np.diff(fused.scores) <= 0).all() and max(n, m) <= len(fused.scores) <= n + m
    for interval in fused.intervals:
        assert interval_tiou(interval, both[0]).max() >= 0.5
    swapped = weighted_interval_fusion({1: sides[1], 2: sides[0]}, config)
    assert sorted(swapped.scores) == pytest.approx(sorted(fused.scores))


@pytest.mark.parametrize("scales", [(), (2,), (2, 1), (1, 1), (1, 0.5), (1, -2)])
def test_scales_that_make_no_sense_are_refused(scales):
    with pytest.raises(InputError, match="scales is .*rise from 1"):
        replace(CONFIG, scales=scales)


def test_ends_are_drawn_in_to_the_face():
    mask = np.ones(100, dtype=bool)
    mask[20:30] = mask[95:] = False
    spans = np.array([[25.0, 50.0], [10.0, 24.4], [21.0, 27.0], [90.0, 150.0], [-7.0, 3.0]])
    candidates = Candidates(spans, np.ones(5), np.zeros(5, dtype=int))
    frames, kept = to_frames(candidates, mask)
    assert kept.tolist() == [True, True, False, True, True]
    assert frames[kept].tolist() == [[30, 49], [10, 19], [90, 94], [0, 2]]


def test_no_face_no_detection():
    x = written(300, (100, 130, "positive"))
    assert found(detect_intervals(oracle, CONFIG, x, np.ones(300, dtype=bool))) != []
    assert len(detect_intervals(oracle, CONFIG, x, np.zeros(300, dtype=bool))) == 0
    mask = np.ones(300, dtype=bool)
    mask[90:140] = False
    assert found(detect_intervals(oracle, CONFIG, x, mask)) == []


def test_a_prediction_is_a_valid_canonical_table():
    rows = [(100, 130, "positive"), (200, 212, "negative")]
    table = predict(oracle, CONFIG, record(written(300, *rows)))
    assert list(table.columns) == COLUMNS
    strong = table[table["score"] > 0.5].sort_values("onset")
    assert strong["expression_type"].tolist() == ["macro", "micro"]
    checked, repairs = validate(table)
    assert len(repairs) == 0 and len(checked) == len(table)
    empty = predict(oracle, CONFIG, record(np.zeros((300, 4))))
    assert list(empty.columns) == COLUMNS and len(empty) == 0
    assert (empty.dtypes == table.dtypes).all()


# --- records


def test_records_that_do_not_fit_are_refused():
    x = np.zeros((50, 4))
    with pytest.raises(InputError, match="s/v: vectors .* must be"):
        record(x, mask=np.ones(49, dtype=bool))
    with pytest.raises(InputError, match="frames 40-50, outside the video's 50"):
        record(x, (40, 50, "positive"))
    with pytest.raises(InputError, match="missing_offset"):
        record(x, (40, None, "positive"))
    with pytest.raises(InputError, match="counts at 30.0 fps"):
        record(x, (4, 9, "positive"), fps=25.0)
    x[7] = np.nan
    with pytest.raises(InputError, match="frame 7"):
        record(x)
    mask = np.arange(50) != 7
    assert record(x, mask=mask).mask.sum() == 49
    with pytest.raises(InputError, match="25.0 frames a second"):
        predict(oracle, CONFIG, record(np.zeros((50, 4)), fps=25.0))


@given(st.integers(0, 10_000))
def test_soft_nms_and_fusion_do_not_depend_on_the_order_of_the_rows(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    start = rng.integers(0, 6, n) * 4.0
    scores, classes = rng.integers(1, 5, n) / 5, rng.integers(0, 2, n)  # ties abound
    made = Candidates(np.stack([start, start + rng.integers(1, 4, n) * 5], axis=1), scores, classes)
    config = FEDNConfig(min_score=0.05, scales=(1, 2))
    order = rng.permutation(n)
    shuffled = Candidates(*(column[order] for column in made))
    merged = [soft_nms(candidates, config) for candidates in (made, shuffled)]
    fused = [weighted_interval_fusion({1: one, 2: one}, config) for one in merged]
    for one, other in (merged, fused):
        for column, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(column, same)


def test_an_event_whose_positions_shorter_ones_won_takes_one_of_theirs():
    plain, mended = FEDNConfig(), FEDNConfig(every_event=True)
    mask = np.ones(plain.window, dtype=bool)
    lost, rescued, events = 0, 0, 0
    rng = np.random.default_rng(0)
    for _ in range(200):
        start = rng.integers(0, 200, 6)
        length = rng.integers(6, 60, 6)
        intervals = np.stack([start, start + length], axis=1).astype(float)
        taught = []
        for config in (plain, mended):
            _, targets, positive, _ = assign_targets(intervals, np.zeros(6, int), mask, config)
            taught.append({tuple(row) for row in targets[positive]})
        assert taught[0] <= taught[1]  # nobody is robbed of the last one
        wanted = {tuple(map(np.float32, i)) for i in intervals}
        lost += len(wanted - taught[0])
        rescued += len(taught[1] - taught[0])
        events += len(wanted)
    assert lost > 0 and rescued > 0.5 * lost


def test_without_contest_every_event_changes_nothing():
    mask = np.ones(256, dtype=bool)
    intervals, classes = np.array([[10.0, 30.0], [100.0, 112.0], [180.0, 240.0]]), np.arange(3)
    for one, other in zip(
        assign_targets(intervals, classes, mask, FEDNConfig()),
        assign_targets(intervals, classes, mask, FEDNConfig(every_event=True)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)

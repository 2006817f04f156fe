import pickle
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ramp_videos import people

from fedet.errors import InputError
from fedet.experiments.cross_validation import cross_validate
from fedet.experiments.folds import (
    Fold,
    LeakError,
    events_by_subject,
    make_folds,
    of_subjects,
    only,
    refuse_same_twice,
    sealed,
)
from fedet.experiments.methods.base import FEDNMethod


@given(st.integers(6, 12), st.integers(2, 12), st.floats(0.05, 0.9), st.integers(0, 5))
def test_every_subject_is_tested_once_and_is_in_one_part(n, k, share, seed):
    events = {f"p{i}": i % 4 for i in range(n)} | {"p0": 2}
    folds = make_folds(events, min(k, n - 1), share, seed)
    assert sorted(s for f in folds for s in f.test) == sorted(events)
    sizes = [len(f.test) for f in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        assert sorted(fold.train + fold.validation + fold.test) == sorted(events)
        assert any(events[s] for s in fold.validation) and any(events[s] for s in fold.train)


def test_leave_one_out_names_who_is_left_out_and_seeds_change_validation_only():
    events = {f"p{i}": 3 for i in range(10)}
    one, same, other = (make_folds(events, "loso", 0.2, seed) for seed in (0, 0, 1))
    assert [f.name for f in one] == sorted(events) and all(f.test == (f.name,) for f in one)
    assert one == same and [f.test for f in one] == [f.test for f in other]
    assert [f.validation for f in one] != [f.validation for f in other]
    assert all(len(f.validation) == 2 for f in one)
    assert [f.test for f in make_folds(events, 3)] == [f.test for f in make_folds(events, 3, seed=5)]


@pytest.mark.parametrize(
    "events, folds, share, word",
    [
        ({"a": 1, "b": 1}, "loso", 0.2, "2 subjects"),
        (dict.fromkeys("abcd", 1), 9, 0.2, "between 2 and 4"),
        (dict.fromkeys("abcd", 1), "all", 0.2, "'loso' or a number"),
        (dict.fromkeys("abcd", 1), 2, 1.0, "validation share"),
        ({"a": 1, "b": 1, "c": 0, "d": 0}, "loso", 0.2, "fewer than two subjects with events"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(events, folds, share, word):
    with pytest.raises(InputError, match=word):
        make_folds(events, folds, share)


@pytest.mark.parametrize("parts", [("ab", "b", "c"), ("ab", "c", "b"), ("a", "bc", "c")])
def test_a_subject_in_two_parts_is_a_leak(parts):
    with pytest.raises(LeakError, match="no subject may be in two parts"):
        Fold("x", *(tuple(p) for p in parts))


def test_a_seal_tells_only_what_may_be_known():
    records = people(0, 3, videos=1, n_frames=120)
    closed = sealed(records)
    known, other = closed[0], closed[1]
    assert np.array_equal(other.vectors, records[1].vectors)  # outside of a fold all is open
    with only(frames=["p0", "p1"], labels=["p0"]):
        assert known.events.equals(records[0].events) and other.mask.all()
        with pytest.raises(LeakError, match="labels of p1/p1_0"):
            other.events  # noqa: B018
        with only(frames=["p0"], labels=[]), pytest.raises(LeakError, match="frames of p1/p1_0"):
            other.vectors  # noqa: B018
        with pytest.raises(LeakError):  # the outer rule holds again
            other.events  # noqa: B018
    assert len(other.events) == len(records[1].events)
    assert events_by_subject(closed) == events_by_subject(records)
    assert [r.video for r in of_subjects(closed, ["p2"])] == ["p2_0"]


def test_a_seal_survives_pickling_and_is_of_its_thread():
    record = sealed(people(0, 1, videos=1, n_frames=120))[0]
    again = pickle.loads(pickle.dumps(record))
    seen = []
    with only(frames=[], labels=[]):
        with pytest.raises(LeakError):
            again.mask  # noqa: B018
        thread = threading.Thread(target=lambda: seen.append(len(again.events)))
        thread.start()
        thread.join()
    assert seen == [len(record.events)]


# --- one person or one video under two names


def test_a_video_under_two_names_is_refused():
    records = people(0, 3, videos=1, n_frames=200)
    refuse_same_twice(records)
    copy = replace(records[0], subject="p9", video="another")
    with pytest.raises(InputError, match="the same video under two names"):
        refuse_same_twice([*records, copy])
    with pytest.raises(InputError, match="is listed twice"):
        refuse_same_twice([*records, records[1]])
    with pytest.raises(InputError, match="the same video under two names"):
        cross_validate([*records, copy], FEDNMethod(), progress=False)


def test_a_copy_that_was_encoded_again_is_asked_about():
    records = people(0, 3, videos=1, n_frames=200)
    rng = np.random.default_rng(0)
    noisy = records[0].vectors + rng.normal(0, 0.002, records[0].vectors.shape).astype(np.float32)
    copy = replace(records[0], subject="p9", video="another", vectors=noisy)
    with pytest.warns(UserWarning, match="run almost alike"):
        refuse_same_twice([*records, copy])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse_same_twice(records)


@pytest.mark.parametrize(("one", "other"), [("s01", "S01"), ("s1", "s01"), ("P 3", "p-3"), ("7", "007")])
def test_one_person_written_in_two_ways_is_asked_about(one, other):
    records = people(0, 2, videos=1, n_frames=200)
    pair = [replace(r, subject=name) for r, name in zip(records, (one, other), strict=True)]
    with pytest.raises(InputError, match="one person or two"):
        refuse_same_twice(pair)


def test_names_that_differ_in_earnest_are_two_people():
    records = people(0, 4, videos=1, n_frames=200)
    names = ("s1", "s10", "s100", "t1")
    refuse_same_twice([replace(r, subject=name) for r, name in zip(records, names, strict=True)])


def test_videos_in_which_nothing_was_seen_need_not_be_one():
    records = people(0, 2, videos=1, n_frames=200)
    blank = [replace(r, vectors=np.zeros_like(r.vectors)) for r in records]
    refuse_same_twice(blank)

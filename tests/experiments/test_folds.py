import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ramp_videos import people

from fedet.errors import InputError
from fedet.experiments.folds import Fold, LeakError, events_by_subject, make_folds, of_subjects, only, sealed


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

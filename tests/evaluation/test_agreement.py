import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_reference import slow_kappa

from fedet.errors import InputError
from fedet.evaluation.agreement import cohen_kappa, label_agreement

labels = st.sampled_from(["positive", "negative", "others"])


@settings(max_examples=100)
@given(st.lists(st.tuples(labels, labels, st.sampled_from(["s1", "s2", "s3"])), max_size=15))
def test_kappa_against_the_slow_reference(made):
    frame = pd.DataFrame(made, columns=["a", "b", "subject"], dtype=object)
    found = label_agreement(frame["a"], frame["b"], frame["subject"], n_resamples=20)
    expected = slow_kappa([(a, b) for a, b, _ in made])
    if expected is None:
        assert math.isnan(found.kappa)
    else:
        assert found.kappa == pytest.approx(expected)
        turned = label_agreement(frame["b"], frame["a"], frame["subject"], n_resamples=0)
        assert turned.kappa == pytest.approx(found.kappa)
    assert found.n == len(made) == found.confusion.to_numpy().sum()


def test_kappa_of_known_tables():
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert cohen_kappa([[5, 0], [0, 5]]) == 1
    assert cohen_kappa([[0, 5], [5, 0]]) == -1
    assert math.isnan(cohen_kappa([[7, 0], [0, 0]]))
    assert cohen_kappa(np.ones((4, 3, 3))).tolist() == [0, 0, 0, 0]


def test_interval_over_subjects_and_unlabelled_events():
    rng = np.random.default_rng(0)
    expert = pd.Series(rng.choice(["positive", "negative"], 400))
    said = expert.where(rng.random(400) < 0.8, "positive")
    said.iloc[:7] = None
    who = pd.Series([f"s{i % 20}" for i in range(400)])
    found = label_agreement(expert, said, who)
    assert found.unlabelled == 7 and found.n == 393
    assert found.kappa_interval.low < found.kappa < found.kappa_interval.high
    assert found.share_interval.low < found.share < found.share_interval.high
    assert found.share == pytest.approx((expert[7:] == said[7:]).mean())
    with pytest.raises(InputError, match="one each"):
        label_agreement(expert, said[:5], who)

"""Faulty media: each is read with a report or refused in one line, within bounds; see `media.py`."""

import json

import pytest
from media import HERE, KINDS, count


def test_a_few_faulty_files_of_every_kind_are_read_or_refused():
    found = count(seed=1, each=2)
    assert not found["lost"] and found["tried"] == 2 * len(KINDS)
    assert found["reported"] + found["refused"] > 5


@pytest.mark.slow
def test_three_hundred_faulty_files_are_read_or_refused_as_the_stored_counts_say():
    found, stored = count(seed=0, each=32), json.loads((HERE / "media_counts.json").read_text())
    assert not found["lost"] and found["tried"] >= 300
    assert stored["tried"] == found["tried"] and not stored["lost"]

"""A short run of the fuzzer of label files, and the page that says what was tried."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from fuzz_labels import COUNTS, SEEDS, fuzz, outcome

from fedet.annotations import limits

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_every_seed_is_read(path):
    assert outcome(path)[0] == ("refused" if path.name == "emotions.csv" else "survived")


def test_no_changed_file_is_lost(tmp_path):
    counts, lost = fuzz(tmp_path, seconds=10.0, tries=40, seed=7, with_coverage=False)
    assert not lost and sum(counts.values()) >= 1


@pytest.mark.slow
def test_none_of_many_changed_files_is_lost(tmp_path):
    counts, lost = fuzz(tmp_path, seconds=60.0, tries=2000, seed=11)
    assert not lost and counts["survived"] and counts["refused"]


def test_counts_are_complete_and_nothing_was_lost():
    for suite, counts in json.loads(COUNTS.read_text()).items():
        assert set(counts) == {"tried", "survived", "refused", "lost", "date"}, suite
        assert counts["tried"] == counts["survived"] + counts["refused"] + counts["lost"] > 0
        assert counts["lost"] == 0 and date.fromisoformat(counts["date"])


def test_the_page_shows_the_limits_that_are_enforced():
    table = PAGE.split("<!-- limits -->")[1].split("<!-- /limits -->")[0]
    shown = [float(number.replace(",", "")) for number in re.findall(r"[\d.,]*\d", table)]
    named = {name: value for name, value in vars(limits).items() if name.startswith("M") and name.isupper()}
    assert sorted(shown) == sorted(named.values())


def test_the_page_names_tests_that_exist():
    root = Path(__file__).parents[2]
    paths = set(re.findall(r"`((?:tests|fedet)/[\w/.]+)`", PAGE))
    assert paths and all((root / path).exists() for path in paths)

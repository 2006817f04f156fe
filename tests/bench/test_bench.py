"""Measuring itself: what is measured is what it is called, and figures are whole."""

import json
import sys

import av
import pandas as pd
import pytest

from fedet.bench.plots import plot_growth, plot_speed
from fedet.bench.processes import python, run_process
from fedet.bench.suite import OVER_LIMIT, Plan, in_turns, made_up_tables, measure, plain_match, row
from fedet.bench.videos import long_video
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate


def test_a_process_is_measured_from_outside():
    code = "import time; x = bytearray(200 * 2**20); print('first', flush=True); time.sleep(0.3)"
    done = run_process(python("-c", code))
    assert done.peak_mb > 200 and done.first_word_s <= done.wall_s - 0.25
    with pytest.raises(InputError, match="no such thing"):
        run_process(python("-c", "raise SystemExit('no such thing')"))
    assert run_process([sys.executable, "-c", ""]).first_word_s > 0


def test_things_take_turns():
    order = []
    took = in_turns(3, a=lambda: order.append("a"), b=lambda: order.append("b"))
    assert order == ["a", "b"] * 3 and took["a"].shape == (3,)
    assert row("x", [3, 1, 2]) == {"name": "x", "value": 2.0, "unit": "ratio", "low": 1.0, "high": 3.0}


def test_the_plain_loops_count_what_the_metrics_count():
    guess, truth = made_up_tables(300, 60)
    counts = evaluate(guess, truth, n_resamples=0).spotting.loc["overall"]
    assert plain_match(guess, truth) == counts["tp"]


def test_a_long_video_is_the_short_one_over_and_over(tmp_path, monkeypatch):
    monkeypatch.setattr("fedet.bench.videos.SECONDS", 1.0)
    path = long_video(tmp_path, 3 / 60)
    with av.open(str(path)) as source:
        times = [float(frame.pts * frame.time_base) for frame in source.decode(video=0)]
    assert len(times) == 90 and times[-1] - times[0] == pytest.approx(89 / 30, abs=1e-3)
    assert sorted(times) == times
    assert long_video(tmp_path, 3 / 60) == path


def test_figures_are_kept_with_their_host_and_drawn(tmp_path):
    table = measure(tmp_path, Plan(turns=2), ["metrics"], progress=False)
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert kept["figures"] == table.to_dict("records") and {"commit", "processor"} <= set(kept["host"])
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert len(plot_speed(table).patches) == len(table)
    assert "No lengths" in plot_growth(table).get_title(loc="left")


def test_the_title_names_the_ratio_to_one_pass():
    rows = [(OVER_LIMIT, 2.16), ("detect / (decode + passes of both networks)", 1.82)]
    table = pd.DataFrame(rows, columns=["name", "value"]).assign(part="detect", unit="ratio")
    ax = plot_speed(table.assign(low=table["value"], high=table["value"]))
    assert ax.get_title(loc="left") == "detect takes 2.16 x decoding and one forward pass"


def test_bad_plans_and_parts_are_quoted(tmp_path):
    with pytest.raises(InputError, match="'speed'"):
        measure(tmp_path, parts=["speed"])
    with pytest.raises(InputError, match="turns=0"):
        Plan(turns=0)

"""CPU seconds that scoring takes at size, and its ratio to the slow reference of the tests.

Run it by hand: python tests/bench/bench_metrics.py [n_predictions n_events]. Not collected by pytest.
"""

import sys
import time
from fractions import Fraction

import numpy as np
import pandas as pd
from slow_reference import slow_match

from fedet.evaluation.alignment import align
from fedet.evaluation.evaluation import evaluate
from fedet.evaluation.scoring import score
from fedet.matching import STRICT, match, overlap_pairs

EMOTIONS = ["positive", "negative", "surprise", "others"]


def tables(n_predictions: int, n_events: int, videos: int, seed: int = 0):
    """Events without overlap of 9-60 frames, and predictions of which half lie near an event."""
    rng = np.random.default_rng(seed)
    per_video = -(-n_events // videos)
    starts = np.cumsum(rng.integers(70, 200, (videos, per_video)), axis=1)
    length = rng.integers(9, 60, (videos, per_video))
    names = np.repeat([f"v{i}" for i in range(videos)], per_video)
    truth = pd.DataFrame({"video": names, "onset": starts.ravel()})
    truth["offset"] = truth["onset"] + length.ravel() - 1
    truth["subject"] = "s" + truth["video"].str[1:].astype(int).floordiv(5).astype(str)
    truth["fps"], truth["emotion"] = 30.0, rng.choice(EMOTIONS, len(truth))
    truth = truth.iloc[:n_events]
    guess = truth.iloc[rng.integers(0, len(truth), n_predictions)].reset_index(drop=True)
    far = rng.random(n_predictions) < 0.5
    shift = np.where(far, rng.integers(-2000, 2000, n_predictions), rng.integers(-9, 9, n_predictions))
    guess["onset"] = np.maximum(guess["onset"] + shift, 0)
    guess["offset"] = guess["onset"] + rng.integers(9, 60, n_predictions)
    guess["score"] = rng.random(n_predictions)
    return guess, truth


def rows(table: pd.DataFrame) -> list[dict]:
    return table.assign(type="macro").to_dict("records")


def seconds(call, *args, **options) -> float:
    start = time.process_time()
    call(*args, **options)
    return time.process_time() - start


def matched(aligned) -> None:
    match(overlap_pairs(aligned.predictions, aligned.truths, 0.5), 0.5)


def main(n_predictions: int = 100_000, n_events: int = 10_000) -> None:
    for videos in (1, 100, 1000):
        guess, truth = tables(n_predictions, n_events, videos)
        aligned = align(guess, truth)
        print(
            f"{len(guess)} predictions, {len(truth)} events, {videos} videos: "
            f"align {seconds(align, guess, truth):.2f} s, "
            f"match at tIoU 0.5 {seconds(matched, aligned):.2f} s, "
            f"all matchings and counts {seconds(score, aligned, 0.5, STRICT):.2f} s, "
            f"evaluate {seconds(evaluate, guess, truth, n_resamples=0):.2f} s, "
            f"with 1,000 resamples {seconds(evaluate, guess, truth):.2f} s"
        )
    guess, truth = tables(2_000, 200, 20)
    aligned = align(guess, truth)
    ours = seconds(matched, aligned)
    slow = seconds(slow_match, rows(guess), rows(truth), Fraction(1, 2), EMOTIONS)
    print(f"2000 predictions, 200 events, 20 videos: {slow / ours:.0f} times as fast as the loops")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

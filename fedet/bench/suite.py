"""What is measured, each part against something else in the same run.

Seconds alone say more of a machine than of a program, and machines are busy; so things to be compared
take turns, and the MEDIAN of the ratios of the turns is reported. `detect` is held against what nobody
can avoid: decoding every frame, and one pass of the ResNet18 over every face.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import torch

from fedet.bench.processes import python, run_process
from fedet.bench.videos import SECONDS, long_video, short_video
from fedet.detection import Detector, load_detector
from fedet.errors import InputError
from fedet.experiments.provenance import provenance
from fedet.faces.detectors import HaarDetector
from fedet.faces.extraction import CROP, crops_of, one_core_each
from fedet.faces.landmarks import SIZE, load_landmarks, read_crops
from fedet.faces.network import fold_batch_norms, vectors_of
from fedet.faces.vectors import FPS, POINTS_EVERY
from fedet.files import atomic_write
from fedet.intervals import EMOTIONS
from fedet.video.reader import open_video
from fedet.windows import window_starts

OVER_LIMIT = "detect / (decode + forward pass)"  # the ratio that headlines name
PARTS = ("detect", "windows", "flow", "generators", "training", "metrics", "growth", "start")
BATCH = 32  # crops at once, as `detect` does


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        minutes: of the video that `detect` is timed on.
        lengths: minutes of the videos that show how time and memory grow.
        turns: how often things that are compared take turns.
        seconds: for one turn of a quick thing.
    """

    minutes: float = 1.0
    lengths: tuple[float, ...] = (0.5, 1.0, 2.0)
    turns: int = 3
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if not self.lengths or min(self.minutes, self.seconds, self.turns, *self.lengths) <= 0:
            raise InputError(f"{self}: every length and number of turns must be above 0")


STANDARD = Plan(minutes=5.0, lengths=(5.0, 20.0, 60.0), turns=5, seconds=10.0)


def measure(
    folder: str | Path, plan: Plan | None = None, parts: Iterable[str] = PARTS, progress: bool = True
) -> pd.DataFrame:
    """Measures the parts; videos are kept in `folder`, the figures as `speed.json`.

    Returns:
        One row a figure: part, name, value, unit ("ratio", "s", "MiB" or "per s"), and low and high, the
        least and the largest of the turns.

    Raises InputError for an unknown part.
    """
    from tqdm.auto import tqdm

    plan, folder = plan or Plan(), Path(folder)
    measures: Mapping[str, Callable] = {
        "detect": _detect, "windows": _windows, "flow": _flow, "generators": _generators,
        "training": _training, "metrics": _metrics, "growth": _growth, "start": _start,
    }  # fmt: skip
    if unknown := [part for part in parts if part not in measures]:
        raise InputError(f"part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for part in (bar := tqdm(list(parts), disable=not progress, unit="part")):
        bar.set_description(part)
        rows += [{"part": part} | row for row in measures[part](folder, plan)]
    table = pd.DataFrame(rows, columns=["part", "name", "value", "unit", "low", "high"])
    facts = provenance() | {"processor": processor(), "threads": torch.get_num_threads()}
    with atomic_write(folder / "speed.json") as path:
        path.write_text(json.dumps({"host": facts, "figures": table.to_dict("records")}, indent=1) + "\n")
    return table


def processor() -> str:
    """The processor's model as the system names it, or ""."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def row(name: str, values: Iterable[float], unit: str = "ratio") -> dict:
    """The median of some turns, with their least and largest."""
    turns = np.array(list(values), float)
    low, high = float(turns.min()), float(turns.max())
    return {"name": name, "value": float(np.median(turns)), "unit": unit, "low": low, "high": high}


def in_turns(turns: int, **calls: Callable[[], object]) -> dict[str, np.ndarray]:
    """Seconds of each call in each turn, (turns,) by name; all take turns, so that a busy moment hits all."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in took.items()}


def rate_of(call: Callable[[], int], seconds: float) -> float:
    """How many things a second, where a call does some and says how many."""
    call()
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        count += call()
    return count / spent


# --- detect against its unavoidable parts


def decode(path: Path) -> int:
    """Decodes every picture of a video and does nothing with it."""
    with av.open(str(path)) as source:
        source.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in source.decode(video=0))


def forward(detector: Detector, n_frames: int) -> None:
    """One pass of the ResNet18 over as many face crops, as `detect` runs it."""
    _in_batches(partial(vectors_of, fold_batch_norms(detector.net)), CROP, n_frames)


def forward_landmarks(n_frames: int) -> None:
    """The landmark network, which the shipped detector asks too, over the share of frames that it reads."""
    _in_batches(partial(read_crops, fold_batch_norms(load_landmarks())), SIZE, -(-n_frames // POINTS_EVERY))


def _in_batches(read: Callable[[np.ndarray], object], side: int, n_crops: int) -> None:
    """Reads so many made-up crops, each batch on one processor core."""
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    with one_core_each(torch.get_num_threads()) as pool:
        list(pool.map(read, (crops[: n_crops - first] for first in range(0, n_crops, BATCH))))


def _detect(folder: Path, plan: Plan) -> list[dict]:
    from fedet.detection import detect

    path, detector = long_video(folder, plan.minutes), load_detector()
    frames = round(plan.minutes * 60 * FPS)
    detect(short_video(folder), detector)  # warm
    detect(path, detector, cache=folder / "kept")
    took = in_turns(
        plan.turns,
        detect=lambda: detect(path, detector),
        decode=lambda: decode(path),
        forward=lambda: forward(detector, frames),
        landmarks=lambda: forward_landmarks(frames),
        kept=lambda: detect(path, detector, cache=folder / "kept"),
    )
    limit = took["decode"] + took["forward"]
    seconds = plan.minutes * 60
    return [
        row(OVER_LIMIT, took["detect"] / limit),
        row("detect / (decode + passes of both networks)", took["detect"] / (limit + took["landmarks"])),
        row("detect, times real time", seconds / took["detect"]),
        row("decode + forward pass, times real time", seconds / limit),
        row("decode, share of the limit", took["decode"] / limit),
        row("detect again with kept vectors, times real time", seconds / took["kept"]),
    ]


def _windows(folder: Path, plan: Plan) -> list[dict]:
    """Every window's frames through the ResNet18 anew, as a detector without kept vectors does."""
    detector = load_detector()
    config, frames = detector.model.config, round(SECONDS * FPS)
    again = sum(
        len(window_starts(-(-frames // scale), config)) * config.window * scale for scale in config.scales
    )
    took = in_turns(
        plan.turns, once=lambda: forward(detector, frames), again=lambda: forward(detector, again)
    )
    return [row("every window anew / every frame once", took["again"] / took["once"])]


# --- against optical flow


def _flow(folder: Path, plan: Plan) -> list[dict]:
    path, detector = short_video(folder), load_detector()
    ways = {"Farneback": _farneback}
    if hasattr(cv2, "optflow"):  # of opencv-contrib alone
        ways["TV-L1"] = _tvl1()
    took = in_turns(
        max(1, plan.turns - 1),
        detect=lambda: detector.read(path),
        **{name: lambda way=way: _follow(path, way) for name, way in ways.items()},
    )
    return [row(f"optical flow ({name}) / detect", took[name] / took["detect"]) for name in ways]


def _farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)


def _tvl1() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    flow = cv2.optflow.createOptFlow_DualTVL1()
    return lambda before, after: flow.calc(before, after, None)


def _follow(path: Path, way: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Decodes, follows the face and takes dense flow between neighbouring crops: the classic pipeline."""
    before = None
    for face, *_ in crops_of(open_video(path), HaarDetector()):
        grey = None if face is None else cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
        if before is not None and grey is not None:
            way(before, grey)
        before = grey


# --- generators, training, metrics


def _generators(folder: Path, plan: Plan) -> list[dict]:
    from fedet.intervals import AUS
    from fedet.synthetic.families import RENDERERS, family
    from fedet.synthetic.scene import sample_scenes, take

    rows = []
    for name in RENDERERS:
        generator = torch.Generator().manual_seed(0)
        drawn, who = family(name), torch.zeros(16, dtype=torch.long)
        look, scene = take(drawn.sample_looks(1, generator), who), take(sample_scenes(1, generator), who)
        aus = torch.rand(16, 2, len(AUS), generator=generator) * 0.5

        def draw(render=drawn.render, arguments=(look, aus, scene, CROP)) -> int:
            with torch.inference_mode():
                return len(render(*arguments))

        rates = [rate_of(draw, plan.seconds) for _ in range(plan.turns)]
        rows.append(row(f"pictures of {name}, {CROP} px", rates, "per s"))
    return rows


def _training(folder: Path, plan: Plan) -> list[dict]:
    """A training step as it is, over forward and backward pass of the same windows alone."""
    from fedet.losses import detection_loss
    from fedet.model import FEDN, FEDNConfig
    from fedet.training.config import TrainConfig
    from fedet.training.sampling import draw_epoch
    from fedet.training.training import train
    from fedet.windows import assign_targets, points, stack_targets

    config = FEDNConfig(input_features=64)
    records = [made_up_record(f"s{i}", config) for i in range(4)]
    settings = TrainConfig(epochs=2)
    draws = draw_epoch(
        records, config.window, settings.coverage, 0, 0, settings.least_steps * settings.batch_size
    )
    steps = settings.epochs * (len(draws) // settings.batch_size)
    model, generator = FEDN(config).train(), torch.Generator().manual_seed(0)
    x = torch.randn(settings.batch_size, config.window, config.input_features, generator=generator)
    seen = np.ones(config.window, bool)
    one = assign_targets(np.array([[100.0, 140.0]]), np.array([0]), seen, config)
    targets = stack_targets([one] * settings.batch_size)
    mask, centres = torch.from_numpy(np.stack([seen] * len(x))), torch.tensor(points(config).centre).float()

    def passes() -> None:
        for _ in range(steps):
            loss = detection_loss(model(x, mask), targets, centres, config, 4.0).total
            model.zero_grad()
            loss.backward()

    took = in_turns(plan.turns, step=lambda: train(records, config, settings, progress=False), limit=passes)
    return [
        row("training / forward and backward passes", took["step"] / took["limit"]),
        row("training steps", steps / took["step"], "per s"),
    ]


def made_up_record(name: str, config, n_frames: int = 1800):
    """A minute of noise with an event every ten seconds, as the detector reads it."""
    from fedet.annotations.table import validate
    from fedet.windows import VideoFeatures

    rng = np.random.default_rng(sum(map(ord, name)))
    vectors = rng.normal(size=(n_frames, config.input_features)).astype(np.float16)
    onset = np.arange(60, n_frames - 60, 300)
    events = pd.DataFrame({"subject": name, "video": name, "fps": config.fps, "onset": onset})
    events = events.assign(offset=onset + 30, emotion=[EMOTIONS[i % 4] for i in range(len(onset))])
    return VideoFeatures(name, name, config.fps, vectors, np.ones(n_frames, bool), validate(events)[0])


def _metrics(folder: Path, plan: Plan) -> list[dict]:
    """Greedy matching against a plain double loop over all pairs of a video."""
    from fedet.evaluation.alignment import align
    from fedet.matching import match, overlap_pairs

    guess, truth = made_up_tables(2000, 200)
    aligned = align(guess, truth)
    took = in_turns(
        plan.turns,
        ours=lambda: match(overlap_pairs(aligned.predictions, aligned.truths, 0.5), 0.5),
        plain=lambda: plain_match(guess, truth),
    )
    return [row("plain loops / matching", took["plain"] / took["ours"])]


def made_up_tables(n_predictions: int, n_events: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions around the events of twenty videos."""
    rng = np.random.default_rng(0)
    onset = np.arange(n_events) // 20 * 200
    truth = pd.DataFrame({"subject": "s", "video": [f"v{i % 20}" for i in range(n_events)], "fps": 30.0})
    truth = truth.assign(onset=onset, offset=onset + 30, emotion="positive")
    guess = truth.iloc[rng.integers(0, n_events, n_predictions)].reset_index(drop=True)
    shift = rng.integers(-30, 30, n_predictions)
    guess["onset"] = np.maximum(guess["onset"] + shift, 0)
    guess["offset"] = guess["onset"] + 30
    return guess.assign(score=rng.random(n_predictions)), truth


def plain_match(guess: pd.DataFrame, truth: pd.DataFrame) -> int:
    """True positives at tIoU 0.5, written as one would write it first."""
    free, hits = [True] * len(truth), 0
    events = list(zip(truth["video"], truth["onset"], truth["offset"], strict=True))
    for one in guess.sort_values("score", ascending=False).itertuples():
        best, at = 0.5, None
        for k, (video, onset, offset) in enumerate(events):
            if free[k] and video == one.video:
                shared = max(0, min(offset, one.offset) - max(onset, one.onset) + 1)
                overlap = shared / (offset - onset + one.offset - one.onset + 2 - shared)
                if overlap >= best and (at is None or overlap > best):
                    best, at = overlap, k
        if at is not None:
            free[at], hits = False, hits + 1
    return hits


# --- whole processes


def _growth(folder: Path, plan: Plan) -> list[dict]:
    rows = []
    for minutes in plan.lengths:
        done = run_process(python("-m", "fedet", "detect", str(long_video(folder, minutes))))
        name = f"{minutes:g} min"
        rows += [row(f"detect {name}", [done.wall_s], "s"), row(f"peak memory {name}", [done.peak_mb], "MiB")]
        rows.append(row(f"processor time / wall time {name}", [done.cpu_s / done.wall_s]))
    return rows


def _start(folder: Path, plan: Plan) -> list[dict]:
    clip = str(short_video(folder))
    commands = {
        "import fedet": python("-c", "import fedet"),
        "fedet --help": python("-m", "fedet", "--help"),
        f"detect {SECONDS:g} s": python("-m", "fedet", "detect", clip),
    }
    rows = []
    for name, words in commands.items():
        done = [run_process(words) for _ in range(plan.turns)]
        rows.append(row(f"{name}, whole process", [p.wall_s for p in done], "s"))
        if "fedet " in name or "detect" in name:
            rows.append(row(f"{name}, first word", [p.first_word_s for p in done], "s"))
    return rows

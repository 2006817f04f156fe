"""Long videos of generated faces with exact annotations: no licence, and no real face.

The timing follows the published annotations of CAS(ME)^2 (357 events in 95 videos, 30 fps): macro-
expressions of 16-118 frames, median 33; micro-expressions of 8-15, median 13; the apex after about
40 % of the duration. Blinks, gaze, talking, head motion, changing light, noise and compression are
always there and never annotated.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fedet.annotations.table import validate, write_csv
from fedet.errors import InputError
from fedet.files import atomic_write, dataclass_from, part_of, read_json_object, remove_unfinished
from fedet.intervals import AU_INDEX, AUS, COLUMNS, EMOTIONS, SCHEMA_VERSION
from fedet.synthetic.expressions import VISEMES, pattern, pick, sample_rest
from fedet.synthetic.families import RENDERERS, family
from fedet.synthetic.scene import Look, Scene, auto_exposure, sample_scenes, take, uniform

GENERATOR_VERSION = "2"  # the same seed and version give the same people, events and pixels
HELD_S = (1.5, 6.0)  # durations of expressions that are held
RESTLESS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 20, 24)  # AUs that fidget
EMOTION_SHARES = {"positive": 0.33, "negative": 0.33, "surprise": 0.17, "others": 0.17}


@dataclass(frozen=True)
class Confounders:
    """Strength of what happens besides the expressions; 1 is the default difficulty, 0 none of it."""

    blinks: float = 1.0  # rate
    gaze: float = 1.0  # size of the jumps of the eyes
    talking: float = 1.0  # share of the time with a speaking mouth, 15 % at 1
    head: float = 1.0  # size of drifts, nods and turns
    light: float = 1.0  # drift and steps of the lamp
    noise: float = 1.0  # of the camera's sensor
    compression: float = 1.0  # H.264 crf 20 at 1, 6 more for each unit
    hand: float = 1.0  # rate of a hand before the mouth
    fidgets: float = 0.0  # small movements of a resting face, and of brows and lips during speech

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not 0 <= value <= 5:
                raise InputError(f"confounder {f.name} is {value!r}; it must be between 0 and 5")


@dataclass(frozen=True)
class SynthConfig:
    """A set of generated videos; saved next to them."""

    subjects: int = 4
    videos: int = 1  # of each subject
    seconds: float = 30.0  # of each video
    seed: int = 0
    fps: float = 30.0
    size: int = 144  # side of the square pictures, pixels
    renderer: str = "shapes"  # family of faces, see `fedet.synthetic.families`; with commas: people in turn
    events_per_minute: float = 6.0  # mean; drawn anew for each video
    micro_share: float = 0.3  # of the events
    held_share: float = 0.0  # of the macro-expressions are held, as posed ones are: 1.5-6 s with a plateau
    silent_share: float = 0.1  # of the videos have no event
    overlap_share: float = 0.05  # of the events start before the one before has ended
    intensity: float = 1.0  # scales the strength of every event
    disagreement: float = 0.2  # share of events whose self-report is another emotion
    confounders: Confounders = field(default_factory=Confounders)
    together: int = 1  # people in one picture, side by side
    sound: bool = False  # a sound track: a voice while the mouth talks, see `fedet.synthetic.voice`

    def __post_init__(self) -> None:
        limits = {
            "subjects": (1, 10_000), "videos": (1, 1000), "seconds": (1, 36_000), "fps": (5, 240),
            "size": (32, 1080), "events_per_minute": (0, 30), "micro_share": (0, 1), "held_share": (0, 1),
            "silent_share": (0, 1), "overlap_share": (0, 1),
            "intensity": (0.05, 1.5), "disagreement": (0, 1), "seed": (0, 2**31),
            "together": (1, 10),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value!r}; it must be between {low} and {high}")
        if unknown := [name for name in self.renderer.split(",") if name not in RENDERERS]:
            raise InputError(f"renderer is {unknown[0]!r}; choose one of {', '.join(RENDERERS)}")

    def of_subject(self, subject: int) -> "SynthConfig":
        """The same with the one family that draws this person."""
        names = self.renderer.split(",")
        return replace(self, renderer=names[subject % len(names)]) if len(names) > 1 else self

    @property
    def groups(self) -> int:
        """How many groups of people there are, each with `videos` videos; of one without `together`."""
        return -(-self.subjects // self.together)

    def members(self, group: int) -> range:
        """The subjects of a group, from left to right."""
        return range(group * self.together, min((group + 1) * self.together, self.subjects))

    @property
    def n_frames(self) -> int:
        """Frames of each video."""
        return round(self.seconds * self.fps)


@dataclass(frozen=True)
class Script:
    """All that happens in one video of T frames."""

    look: Look  # one person, values (1,) or (1, 3)
    aus: Tensor  # (T, 2, 18) intensities of all that shows, expression or not
    scene: Scene  # (T,) or (T, 3)
    noise: float  # standard deviation of the sensor's noise, 0..1
    events: pd.DataFrame  # canonical annotations
    speech: Tensor  # (T,) how far speech opens the mouth, above 0 in a spell of speech, else 0


def generator_for(*numbers: int) -> torch.Generator:
    """A random generator for (seed, subject, video, ...): the same whatever else is drawn."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def video_name(subject: int, video: int) -> str:
    return f"s{subject + 1:02d}_{video + 1:02d}"


def group_name(config: SynthConfig, group: int, video: int) -> str:
    """The video of a group; of one person the person's own."""
    return video_name(group, video) if config.together == 1 else f"g{group + 1:02d}_{video + 1:02d}"


# ---------------------------------------------------------------- the script of a video


def write_script(config: SynthConfig, subject: int, video: int) -> Script:
    """Draws the events and the course of one video; no pixel yet."""
    config = config.of_subject(subject)
    person = generator_for(config.seed, subject)
    look, rest = family(config.renderer).sample_looks(1, person), sample_rest(1, person)
    g = generator_for(config.seed, subject, video)
    n = config.n_frames
    aus = torch.zeros(n, 2, len(AUS))
    events = add_events(aus, config, video_name(subject, video), g)
    events["subject"] = f"s{subject + 1:02d}"
    speech = add_speech(aus, config, g)
    # From a generator a separate generator: sets made without them stay the same.
    add_fidgets(aus, speech, config, generator_for(config.seed, subject, video, 11))
    add_blinks(aus, config, g)
    scene = move_camera_and_head(config, g)
    scene = auto_exposure(take(look, torch.zeros(n, dtype=torch.long)), scene)
    noise = config.confounders.noise * float(uniform(1, 0.004, 0.02, g))
    aus = (rest + aus * (1 - 0.5 * rest)).clamp_(0, 1)
    table, _ = validate(events, {video_name(subject, video): n}, source_name="generator")
    return Script(look, aus, scene, noise, table, speech)


def add_events(aus: Tensor, config: SynthConfig, video: str, g: torch.Generator) -> pd.DataFrame:
    """Adds the expressions to `aus` (T, 2, 18) and returns their annotations."""
    n, fps = config.n_frames, config.fps
    rows: list[dict] = []
    silent = float(torch.rand(1, generator=g)) < config.silent_share
    mean_gap = 60 * fps / max(config.events_per_minute, 1e-6)
    frame = 0 if silent or not config.events_per_minute else sample_gap(mean_gap, fps, g)
    while not silent and config.events_per_minute and frame < n:
        event = sample_event(config, g)
        onset, duration = frame, event["duration"]
        if onset + duration > n - 2:
            break
        emotion, micro, strength = event["emotion"], event["micro"], event["strength"]
        course, rise = held_course(duration, fps, g) if event["held"] else brief_course(duration, g)
        apex = onset + rise
        course = course[:, None, None] * strength * config.intensity
        span = aus[onset : onset + duration]
        shape = pick(emotion, g)
        torch.maximum(span, (course * shape).clamp(max=1), out=span)
        active = [str(au) for au, v in zip(AUS, shape.amax(0) * strength, strict=True) if v > 0.1]
        rows.append({
            "schema_version": SCHEMA_VERSION, "video": video, "fps": fps, "onset": onset, "apex": apex,
            "offset": onset + duration - 1, "expression_type": "micro" if micro else "macro",
            "emotion": emotion, "emotion_self_report": event["self_report"],
            "action_units": "+".join(active), "source": "generator",
        })  # fmt: skip
        overlap = float(torch.rand(1, generator=g)) < config.overlap_share
        frame += duration // 2 if overlap else duration + sample_gap(mean_gap - duration, fps, g)
    return pd.DataFrame(rows, columns=COLUMNS)


def sample_gap(mean: float, fps: float, g: torch.Generator) -> int:
    """Frames until the next event: at least 0.6 s, exponential beyond."""
    rest = max(mean - 0.6 * fps, 0.4 * fps)
    return round(0.6 * fps - rest * math.log(1 - 0.999 * float(torch.rand(1, generator=g))))


def sample_event(config: SynthConfig, g: torch.Generator) -> dict:
    shares = torch.tensor([EMOTION_SHARES[e] for e in EMOTIONS])
    emotion = EMOTIONS[int(torch.multinomial(shares, 1, generator=g))]
    micro = float(torch.rand(1, generator=g)) < config.micro_share
    z = float(torch.randn(1, generator=g))
    seconds = 13 * math.exp(0.2 * z) / 30 if micro else 33 * math.exp(0.52 * z) / 30
    low, high = (0.25, 0.5) if micro else (0.534, 118 / 30)
    duration = math.floor(min(max(seconds, low), high) * config.fps + 1e-6)
    others = [e for e in EMOTIONS if e != emotion]
    differs = float(torch.rand(1, generator=g)) < config.disagreement
    other = others[int(torch.randint(len(others), (1,), generator=g))]
    strength = float(uniform(1, *((0.2, 0.45) if micro else (0.4, 1.0)), g))
    # No draw without the option: sets made without it stay the same.
    held = config.held_share > 0 and not micro and float(torch.rand(1, generator=g)) < config.held_share
    if held:
        duration = round(float(uniform(1, *HELD_S, g)) * config.fps)
    return {
        "emotion": emotion, "micro": micro, "duration": max(duration, 3), "strength": strength,
        "held": held, "self_report": other if differs else emotion,
    }  # fmt: skip


def brief_course(duration: int, g: torch.Generator) -> tuple[Tensor, int]:
    """Intensity (duration,) over an event with a short hold, and how many frames it rises."""
    rise = round(duration * float(uniform(1, 0.3, 0.5, g)))
    hold = float(uniform(1, 0.05, 0.3, g)) * duration
    return intensity_course(duration, rise, hold, g), rise


def held_course(duration: int, fps: float, g: torch.Generator) -> tuple[Tensor, int]:
    """As `brief_course`, but quick to come and go, with a plateau that wavers between."""
    rise = min(round(float(uniform(1, 0.15, 0.8, g)) * fps), duration // 3)
    fall = min(round(float(uniform(1, 0.25, 1.2, g)) * fps), duration // 3)
    waver = (1 + 0.12 * random_walk(duration, 1.5 * fps, g)).clamp(0.6, 1.15)
    return intensity_course(duration, rise, duration - rise - fall, g) * waver, rise


def intensity_course(duration: int, rise: int, hold: float, g: torch.Generator) -> Tensor:
    """Intensity (duration,): up to the apex, the hold, and down."""
    t = torch.arange(duration) + 0.6
    up = (t / max(rise, 1)).clamp(max=1)
    down = ((duration + 0.2 - t) / max(duration - rise - hold, 1)).clamp(0, 1)
    swing = 1 + 0.05 * torch.sin(t * 0.9 + 6 * torch.rand(1, generator=g))
    return (0.5 - 0.5 * torch.cos(math.pi * torch.minimum(up, down))).sqrt() * swing


def add_speech(aus: Tensor, config: SynthConfig, g: torch.Generator) -> Tensor:
    """Spells of speech: mouths that wander between visemes, with small movements of the brows.

    Returns how far they open the mouth, (T,): from 0.05 up within a spell, 0 outside.
    """
    n, fps, strength = config.n_frames, config.fps, config.confounders.talking
    shapes = torch.stack([pattern(v) for v in VISEMES])
    speech = torch.zeros(n)
    frame = 0
    while strength > 0:
        frame += round(-math.log(1 - 0.999 * float(torch.rand(1, generator=g))) * 17 * fps / strength)
        length = round(float(uniform(1, 0.8, 5.0, g)) * fps)
        if frame >= n:
            break
        end = min(frame + length, n)
        rate = float(uniform(1, 3.5, 6.5, g)) / fps  # syllables a frame
        steps = math.ceil(length * rate) + 3
        keys = (
            shapes[torch.randint(len(shapes), (steps,), generator=g)] * uniform(steps, 0.3, 1.0, g)[:, None]
        )
        keys[0] = keys[-2:] = 0
        position = (torch.arange(end - frame) * rate).clamp(max=steps - 1.001)
        low = position.long()
        spoken = torch.lerp(
            keys[low], keys[low + 1], (0.5 - 0.5 * torch.cos(math.pi * (position - low)))[:, None]
        )
        brows = 0.1 * random_walk(end - frame, 0.4 * fps, g).clamp(min=0)
        spoken[:, [AU_INDEX[1], AU_INDEX[2]]] += brows[:, None]
        fade = torch.minimum(torch.arange(end - frame), torch.arange(end - frame).flip(0)).div(0.15 * fps)
        spoken = spoken * fade.clamp(max=1)[:, None]
        torch.maximum(aus[frame:end], spoken[:, None], out=aus[frame:end])
        speech[frame:end] = 0.05 + 0.95 * spoken[:, AU_INDEX[25]].clamp(0, 1)
        frame = end
    return speech


def add_fidgets(aus: Tensor, speech: Tensor, config: SynthConfig, g: torch.Generator) -> None:
    """Adds to `aus` (T, 2, 18) what living faces do without expressing anything.

    At rest all muscles drift a little and one or two twitch now and then; while `speech` (T,) goes
    on, brows stress words and the person's own habit moves the lips beyond the visemes.
    """
    n, fps, strength = config.n_frames, config.fps, config.confounders.fidgets
    if not strength:
        return
    idle = torch.zeros_like(aus)
    spoken = running_mean((speech > 0).float(), 0.3 * fps)
    for au in RESTLESS:
        drift = 0.05 * strength * random_walk(n, 3 * fps, g).clamp(min=0)
        twitch = 0.12 * random_moves(n, fps, 45 / strength, (0.3, 1.5), g).abs()
        both = (drift + twitch)[:, None] * (1 - 0.6 * torch.rand(2, generator=g))
        if au in (1, 2, 4):
            both += 0.2 * (spoken * random_moves(n, fps, 6 / strength, (0.3, 1.0), g).abs())[:, None]
        else:
            habit = 0.25 * strength * float(torch.rand(1, generator=g)) ** 2
            both += habit * (spoken * random_walk(n, 0.3 * fps, g).clamp(min=0))[:, None]
        idle[:, :, AU_INDEX[au]] = both
    torch.maximum(aus, idle.clamp_(max=0.45), out=aus)


def add_blinks(aus: Tensor, config: SynthConfig, g: torch.Generator) -> None:
    n, fps = config.n_frames, config.fps
    eyes = aus[:, :, AU_INDEX[43]]
    frame = 0.0
    while config.confounders.blinks > 0:
        frame += (
            fps
            * (0.8 - 2.8 * math.log(1 - 0.999 * float(torch.rand(1, generator=g))))
            / config.confounders.blinks
        )
        if frame >= n:
            break
        width = float(uniform(1, 0.07, 0.14, g)) * fps
        depth = float(uniform(1, 0.75, 1.0, g))
        t = (torch.arange(n) - frame) / width
        lid = depth * torch.exp(-((t / torch.where(t > 0, 1.3, 0.8)) ** 2) * 1.5)
        torch.maximum(eyes, lid[:, None], out=eyes)


def random_walk(n: int, memory: float, g: torch.Generator) -> Tensor:
    """A smooth random walk (n,) around 0 with unit spread that forgets after `memory` frames."""
    knots = max(4, math.ceil(n / max(memory, 1)) + 3)
    keys = torch.randn(1, 1, knots, generator=g)
    dense = torch.nn.functional.interpolate(keys, size=max(n, 2) * knots // (knots - 2), mode="linear")[0, 0]
    return running_mean(dense, memory / 2)[:n] * 1.25


def running_mean(track: Tensor, width: float) -> Tensor:
    """The running mean of a track (n,) over about `width` frames."""
    half = max(1, int(width / 2))
    padded = torch.nn.functional.pad(track[None], (half, half), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, 2 * half + 1, 1)[0]


def random_moves(
    n: int, fps: float, every_s: float, seconds: tuple[float, float], g: torch.Generator
) -> Tensor:
    """Quick movements there and back (n,) of random sign and unit size, one about every `every_s`."""
    track = torch.zeros(n)
    frame = 0.0
    while True:
        frame += -math.log(1 - 0.999 * float(torch.rand(1, generator=g))) * every_s * fps
        if frame >= n:
            return track
        width = float(uniform(1, *seconds, g)) * fps / 2
        size = float(torch.randn(1, generator=g).clamp(-2, 2))
        track += size * torch.exp(-(((torch.arange(n) - frame) / width) ** 2))


def move_camera_and_head(config: SynthConfig, g: torch.Generator) -> Scene:
    """Pose, gaze, light and hand of all frames, each (T,) or (T, 3)."""
    n, fps, c = config.n_frames, config.fps, config.confounders
    scene = take(sample_scenes(1, g), torch.zeros(n, dtype=torch.long))

    def one(spread: float) -> float:
        return spread * float(torch.randn(1, generator=g))

    slow, quick = 4 * fps, 0.7 * fps
    jumps = (torch.rand(n, generator=g) < 0.8 / fps).cumsum(0)
    looks = 0.3 * c.gaze * torch.randn(int(jumps[-1]) + 1, 2, generator=g).clamp(-2, 2)
    gaze = looks[jumps]
    yaw = one(0.1) + c.head * (0.06 * random_walk(n, slow, g) + 0.012 * random_walk(n, quick, g))
    pitch = one(0.06) + c.head * (0.05 * random_walk(n, slow, g) + 0.01 * random_walk(n, quick, g))
    yaw += c.head * 0.14 * random_moves(n, fps, 14, (0.5, 1.4), g) + 0.06 * c.head * running_mean(
        gaze[:, 0], 0.4 * fps
    )
    pitch += c.head * 0.1 * random_moves(n, fps, 14, (0.4, 1.2), g)
    steps = (torch.rand(n, generator=g) < 1 / (40 * fps)).cumsum(0)
    level = (1 + 0.12 * c.light * torch.randn(int(steps[-1]) + 1, generator=g)).clamp(0.6, 1.5)
    hand = (random_moves(n, fps, 90 / max(c.hand, 1e-6), (0.8, 2.5), g).abs() * 2.5).clamp(0, 1)
    return scene | {
        "yaw": yaw.clamp(-0.55, 0.55), "pitch": pitch.clamp(-0.4, 0.4),
        "roll": one(0.04) + c.head * 0.03 * random_walk(n, slow, g),
        "cx": 0.5 + one(0.02) + c.head * (0.02 * random_walk(n, slow, g) + 0.003 * random_walk(n, quick, g)),
        "cy": 0.46 + one(0.02)
              + c.head * (0.015 * random_walk(n, slow, g) + 0.003 * random_walk(n, quick, g)),
        "scale": 0.3 * (1 + one(0.06) + c.head * 0.02 * random_walk(n, slow, g)).clamp(0.8, 1.25),
        "gaze_x": gaze[:, 0].clamp(-1, 1), "gaze_y": 0.6 * gaze[:, 1].clamp(-1, 1),
        "light_x": scene["light_x"] + 0.12 * c.light * random_walk(n, slow, g),
        "gain": scene["gain"] * level[steps] * (1 + 0.02 * c.light * random_walk(n, quick, g)),
        "hand": (hand > 0.5).float() * (c.hand > 0), "hand_x": 0.3 * random_walk(n, slow, g),
        "hand_y": 2.6 - 1.75 * hand,
    }  # fmt: skip


# ---------------------------------------------------------------- pixels and files


@torch.inference_mode()
def draw_frames(script: Script, config: SynthConfig, seed: int, batch: int = 16) -> Iterator[np.ndarray]:
    """The frames of a script one by one, (size, size, 3) uint8; `batch` at a time are drawn."""
    g, render = generator_for(seed, 7), family(config.renderer).render
    who = take(script.look, torch.zeros(batch, dtype=torch.long))
    for start in range(0, len(script.aus), batch):
        frames = slice(start, start + batch)
        aus = script.aus[frames]
        scene = {name: value[frames] for name, value in script.scene.items()}
        faces = render(take(who, torch.arange(len(aus))), aus, scene, config.size)
        if script.noise:
            faces += script.noise * torch.randn(faces.shape, generator=g)
        yield from (faces.clamp_(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()


class ParentEndedError(Exception):
    """The process that this one draws for has ended."""


def write_one(
    out: Path,
    config: SynthConfig,
    group: int,
    video: int,
    threads: int | None = None,
    counter: Path | None = None,
) -> pd.DataFrame:
    """Draws and encodes one video unless it is there, and returns its annotations.

    Args:
        group: of people, in one picture side by side; of one person without `together`.
        threads: of torch; None: as many as there are.
        counter: the file of `frame_bar`: it gets a byte a frame, and without it the work ends.
    """
    from fedet.video.writer import write_video

    if threads:
        torch.set_num_threads(threads)
    people, name = config.members(group), group_name(config, group, video)
    scripts = [write_script(config.of_subject(subject), subject, video) for subject in people]
    path = out / "videos" / f"{name}.mp4"
    if not path.exists():
        seeds = [config.seed * 1_000_003 + subject * 1009 + video for subject in people]
        crf = min(51, round(14 + 6 * config.confounders.compression))
        sound = None
        if config.sound:
            from fedet.synthetic.voice import RATE, voice_track

            tracks = [
                voice_track(script.speech, config.fps, generator_for(seed, 9))
                for script, seed in zip(scripts, seeds, strict=True)
            ]
            sound = (tracks[0] if len(tracks) == 1 else np.mean(tracks, axis=0), RATE)
        drawn = [
            draw_frames(script, config.of_subject(subject), seed)
            for script, subject, seed in zip(scripts, people, seeds, strict=True)
        ]
        frames = drawn[0] if len(drawn) == 1 else map(np.hstack, zip(*drawn, strict=True))
        if counter is not None:
            frames = counted(frames, counter)
        try:
            write_video(path, frames, config.fps, crf=crf, sound=sound)
        except ParentEndedError:
            os._exit(1)  # nobody is left to take the result, and a worker would wait for its next task
    tables = [script.events.assign(video=name) for script in scripts if len(script.events)]
    return pd.concat(tables, ignore_index=True) if tables else scripts[0].events


def synthesize(
    out: str | Path, config: SynthConfig = SynthConfig(), jobs: int = -1, progress: bool = True
) -> Path:
    """Writes `out`/videos/*.mp4 and `out`/annotations.csv; resumes where an earlier run stopped.

    Args:
        jobs: processes; -1 one for each core.

    Raises:
        InputError: `out` holds a set generated with another configuration or other files, or is
            no folder.
    """
    from joblib import Parallel, delayed

    out = Path(out)
    claim(out, config)
    todo = [(g, v) for g in range(config.groups) for v in range(config.videos)]
    missing = sum(not (out / "videos" / f"{group_name(config, g, v)}.mp4").exists() for g, v in todo)
    parallel = Parallel(n_jobs=min(jobs, len(todo)) if jobs > 0 else jobs)
    try:
        with frame_bar(out, missing * config.n_frames, progress) as counter:
            threads = None if jobs == 1 else 1
            tables = parallel(delayed(write_one)(out, config, g, v, threads, counter) for g, v in todo)
    finally:
        remove_parts(out)
    tables = [table for table in tables if len(table)]
    events = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    write_csv(events, out / "annotations.csv")
    with atomic_write(out / "videos.csv") as path:  # a silent video has its subject nowhere else
        list_videos(config, todo).to_csv(path, index=False)
    return out


def list_videos(config: SynthConfig, todo: list[tuple[int, int]]) -> pd.DataFrame:
    """video, subject, fps of each video and person; with `together` also face, a point in the picture."""
    rows = []
    for group, video in todo:
        people = config.members(group)
        for place, subject in enumerate(people):
            row = {"video": group_name(config, group, video), "subject": f"s{subject + 1:02d}"}
            row |= {"fps": config.fps}
            if config.together > 1:
                row |= {"face": f"{(place + 0.5) / len(people):.3f},0.46"}
            rows.append(row)
    return pd.DataFrame(rows)


@contextmanager
def frame_bar(out: Path, total: int, show: bool) -> Iterator[Path]:
    """A progress bar of frames with the time left, over all processes that draw.

    Yields:
        The file in `out` to which `counted` appends a byte a frame. It is removed at the end, and whoever
        still draws then stops.
    """
    from tqdm.auto import tqdm

    path, ended = part_of(out / "frames"), Event()
    path.write_bytes(b"")
    with tqdm(total=total, desc="generating frames", unit="frame", disable=not show or not total) as bar:

        def follow() -> None:
            while not ended.wait(0.3):
                bar.update(path.stat().st_size - bar.n)

        thread = Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            ended.set()
            thread.join()
            bar.update(path.stat().st_size - bar.n)
            path.unlink(missing_ok=True)


def counted(frames: Iterator[np.ndarray], counter: Path) -> Iterator[np.ndarray]:
    """The frames, each noted in the file of `frame_bar`.

    Raises:
        SystemExit: the file has been removed to stop the work.
        ParentEndedError: the process that started the work has ended.
    """
    parent = int(counter.name.split(".")[-2])
    for frame in frames:
        try:
            file = os.open(counter, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise SystemExit("stopped") from None
        os.write(file, b".")
        os.close(file)
        if parent not in (os.getpid(), os.getppid()):
            raise ParentEndedError
        yield frame


def remove_parts(out: Path) -> None:
    """Removes what runs that were killed left in a set."""
    remove_unfinished(out)
    remove_unfinished(out / "videos")


def claim(out: Path, config: SynthConfig) -> None:
    """Writes the configuration into `out`, or checks that the one there is the same."""
    note = config_to_json(config)
    path = out / "synthetic.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the generated videos")
    if path.exists():
        before = read_config(path)
        changed = [k for k in note if before.get(k) != note[k]]
        if changed:
            was = ", ".join(f"{k}={before.get(k)!r}, now {note[k]!r}" for k in changed)
            raise InputError(f"{out} holds a set with {was}; choose another folder or delete this one")
    elif any(p.is_file() and "/." not in f"/{p.relative_to(out).as_posix()}" for p in out.rglob("*")):
        raise InputError(
            f"{out} is not empty and holds no generated set (no synthetic.json); name a new folder"
        )
    (out / "videos").mkdir(parents=True, exist_ok=True)
    remove_parts(out)
    if not path.exists():  # an older one, without fields that came later, stays as it was written
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(note, indent=2) + "\n")


def config_to_json(config: SynthConfig) -> dict:
    """A configuration with the generator's version, as it reads back from JSON."""
    return json.loads(json.dumps({"generator": GENERATOR_VERSION, **asdict(config)}))


def read_config(path: Path) -> dict:
    """The configuration in a synthetic.json; fields that are younger than the file have their default.

    Raises InputError if the file is damaged or a value is of another type.
    """
    stored = read_json_object(path)
    version = stored.pop("generator", GENERATOR_VERSION)
    confounders = dataclass_from(Confounders, stored.pop("confounders", {}), f"{path}: confounders")
    config = dataclass_from(SynthConfig, stored, str(path))
    return config_to_json(replace(config, confounders=confounders)) | {"generator": version}


def parse_confounders(text: str) -> Confounders:
    """Strengths from text like "talking=2,head=0.5"; "all" sets every one. Raises InputError."""
    names = [f.name for f in fields(Confounders)]
    values: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"confounders: {part!r} is not like talking=2") from None
        if name != "all" and name not in names:
            raise InputError(f"confounders: no {name!r}; there are {', '.join(names)} and all")
        values |= dict.fromkeys(names, number) if name == "all" else {name: number}
    return Confounders(**values)

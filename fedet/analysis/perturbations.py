"""Perturbations of videos by name and strength: camera, codec and head movements; for notebook 10.

A perturbed video is a video file that goes through the same reader, face tracker and network as
any other. Perturbations of pictures work on every video; those of the scene (angle, size) render a
generated video again, with the same person, events and light.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedet.errors import InputError
from fedet.synthetic.generator import Confounders, SynthConfig, draw_frames, read_config, write_script
from fedet.video.reader import open_video
from fedet.video.writer import write_video

Images = Iterator[np.ndarray]  # (H, W, 3) uint8 RGB
CRF = 12  # of perturbed files: good enough that only the perturbation shows


@dataclass(frozen=True)
class Perturbation:
    """How a video is made worse.

    `strengths` go from harmless to severe; `first` is the strength that changes nothing; `phrase` is
    a strength in words.
    """

    unit: str
    first: float
    strengths: tuple[float, ...]
    phrase: str
    images: Callable[[Images, float, np.random.Generator], Images] | None = None
    scene: Callable[[dict, float], dict] | None = None  # of `fedet.synthetic.shapes.Scene` tensors
    rate: Callable[[float, float], float] | None = None  # the file's fps and strength -> fps to read at
    crf: Callable[[float], int] | None = None


# ---------------------------------------------------------------- pictures


def add_noise(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Sensor noise with this standard deviation, in grey levels of 255."""
    for image in images:
        grain = rng.standard_normal(image.shape, dtype=np.float32) * strength
        yield np.clip(image + grain, 0, 255).round().astype(np.uint8)


def defocus(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Out of focus: a Gaussian whose deviation is this percentage of the picture's height."""
    import cv2

    for image in images:
        sigma = strength / 100 * image.shape[0]
        yield cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image


def shake(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Camera shake: a mean along the rows over this percentage of the picture's width."""
    import cv2

    for image in images:
        width = max(1, round(strength / 100 * image.shape[1]))
        yield cv2.blur(image, (width, 1))


def darken(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Less light, in stops: each halves it (in linear light), then 8 bits are left."""
    level = (np.arange(256) / 255) ** 2.2 * 2.0**-strength
    table = np.round(255 * level ** (1 / 2.2)).astype(np.uint8)
    return (table[image] for image in images)


def change_gamma(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Another gamma: grey levels to the power of 1 / strength; above 1 the picture is washed out."""
    table = np.round(255 * (np.arange(256) / 255) ** (1 / max(strength, 1e-3))).astype(np.uint8)
    return (table[image] for image in images)


def tilt(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """The camera, or the head, tilted by this many degrees; the outermost pixels fill the corners."""
    import cv2

    for image in images:
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), strength, 1)
        yield cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def cover_face(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """A grey board in front of this percentage of the face, from the chin upwards.

    The face is detected in every fifth picture; until the next detection the board stays where it was.
    """
    from fedet.faces.detectors import HaarDetector

    detector, box = HaarDetector(), None
    for number, image in enumerate(images):
        if number % 5 == 0:
            box = max(detector.detect(image), key=lambda b: b.size, default=box)
        if box is not None and strength > 0:
            image = image.copy()
            bottom = box.y + 1.05 * box.h  # below the chin
            top = bottom - strength / 100 * 0.95 * box.h
            rows = slice(max(0, round(top)), max(0, round(bottom)))
            image[rows, max(0, round(box.x)) : max(0, round(box.x + box.w))] = 120
        yield image


def freeze(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """This percentage of the frames is lost at random and replaced by the frame before."""
    last = None
    for image in images:
        if last is None or rng.random() >= strength / 100:
            last = image
        yield last


# ---------------------------------------------------------------- scenes of generated videos


def turn_head(scene: dict, strength: float) -> dict:
    """The head turned to the side by this many degrees more."""
    return scene | {"yaw": scene["yaw"] + math.radians(strength)}


def bend_head(scene: dict, strength: float) -> dict:
    """The head bent down by this many degrees more."""
    return scene | {"pitch": scene["pitch"] + math.radians(strength)}


def shrink_face(scene: dict, strength: float) -> dict:
    """The face at this percentage of its size, farther from the camera."""
    return scene | {"scale": scene["scale"] * (strength / 100)}


PERTURBATIONS: Mapping[str, Perturbation] = {
    "noise": Perturbation("grey levels", 0, (10, 20, 40, 80), "noise of {} grey levels", add_noise),
    "blur": Perturbation("% of height", 0, (0.7, 1.5, 3, 6), "a blur of {} % of the height", defocus),
    "motion blur": Perturbation("% of width", 0, (3, 6, 12, 24), "a smear of {} % of the width", shake),
    "darkness": Perturbation("stops", 0, (1.5, 3, 4.5, 6), "{} stops less light", darken),
    "gamma": Perturbation("gamma", 1, (1.5, 2, 3, 5), "a gamma of {}", change_gamma),
    "head turned": Perturbation("degrees", 0, (10, 20, 30, 45), "a turn of {} degrees", scene=turn_head),
    "head bent": Perturbation("degrees", 0, (8, 15, 22, 30), "a bend of {} degrees", scene=bend_head),
    "tilt": Perturbation("degrees", 0, (10, 20, 30, 45), "a tilt of {} degrees", tilt),
    "face size": Perturbation(
        "% of usual", 100, (70, 50, 35, 25), "a face at {} % of its size", scene=shrink_face
    ),
    "occlusion": Perturbation("% of face", 0, (15, 30, 45, 60), "{} % of the face covered", cover_face),
    "compression": Perturbation("H.264 crf", 14, (26, 34, 40, 48), "a compression of crf {}", crf=round),
    "frame rate": Perturbation(
        "frames/s", 30, (15, 10, 6, 3), "{} frames a second", rate=lambda fps, to: min(fps, to)
    ),
    "dropped frames": Perturbation("% of frames", 0, (20, 40, 70, 90), "{} % of the frames frozen", freeze),
}


def perturbation_named(name: str) -> Perturbation:
    """Raises InputError if there is none of that name."""
    if name not in PERTURBATIONS:
        raise InputError(f"perturbation {name!r}: choose one of {', '.join(PERTURBATIONS)}")
    return PERTURBATIONS[name]


def perturb(images: Images, name: str, strength: float, seed: int = 0) -> Images:
    """The perturbed pictures of a video, one by one. Raises InputError for perturbations that need a file."""
    function = perturbation_named(name).images
    if function is None:
        raise InputError(f"{name} does not work on single pictures; use write_perturbed")
    return function(iter(images), strength, np.random.default_rng(seed))


# ---------------------------------------------------------------- files


def generated_config(folder: str | Path) -> SynthConfig:
    """The configuration of the generated videos in a folder. Raises InputError if they were not generated."""
    path = Path(folder) / "synthetic.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; only generated videos can be rendered again")
    values = read_config(path)
    values.pop("generator")
    return SynthConfig(**(values | {"confounders": Confounders(**values["confounders"])}))


def write_perturbed(
    target: Path, source: Path, name: str, strength: float, seed: int = 0, root: Path | None = None
) -> Path:
    """Writes a perturbed copy of one video, unless the file exists.

    Args:
        root: folder of the generated set, for perturbations of the scene.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    how, video = perturbation_named(name), open_video(source)
    if how.scene is not None:
        frames, fps, crf = _render_again(root or source.parents[1], source.stem, how.scene, strength)
    else:
        fps = how.rate(video.fps, strength) if how.rate else video.fps
        frames = (f.image for f in video.frames(fps=fps if how.rate else None))
        frames = perturb(frames, name, strength, seed) if how.images else frames
        crf = how.crf(strength) if how.crf else CRF
    write_video(target, frames, fps, crf=crf)
    return target


def _render_again(
    root: Path, stem: str, change: Callable[[dict, float], dict], strength: float
) -> tuple[Images, float, int]:
    """Frames, fps and crf of a generated video with another scene."""
    config = generated_config(root)
    subject, video = (int(word.lstrip("s")) - 1 for word in stem.split("_"))
    config = config.of_subject(subject)
    script = write_script(config, subject, video)
    script = replace(script, scene=change(script.scene, strength))
    seed = config.seed * 1_000_003 + subject * 1009 + video  # as `synthetic.write_one`: the same noise
    crf = min(51, round(14 + 6 * config.confounders.compression))
    return draw_frames(script, config, seed), config.fps, crf

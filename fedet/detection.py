"""From a video to a table of expressions: face, vectors, change from rest, windows, merged intervals."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.faces.adaptation import check_share
from fedet.faces.detectors import FaceDetector
from fedet.faces.extraction import extract
from fedet.faces.network import FaceNet, FaceWeights, load_facenet, shipped
from fedet.faces.novelty import MOSTLY_UNFAMILIAR, distribution_for, unfamiliar_share
from fedet.faces.tracking import missing_spans
from fedet.faces.vectors import FPS, STATES, FaceTrack, read_cached
from fedet.features import READS, REFERENCES, change_from_rest, face_channels
from fedet.files import dataclass_from
from fedet.intervals import AUS, at_rate, empty_table, expression_type_of, frame_at_rate
from fedet.model import FEDN
from fedet.postprocess import Curves, curve_table, detect_intervals
from fedet.video.reader import Video, open_video
from fedet.video.side_signals import check_signals, side_signals

ACTIVE_AU = 0.2  # an AU whose read-out rose by this much between rest and apex is named
TUNED = "tuned_faces"  # in a detector's folder: the face weights that were tuned with it
NAMED = tuple(w.value for w in FaceWeights)  # face weights that need no path
BLINK = 43  # the one AU that tells nothing about an expression's apex


@dataclass(frozen=True)
class Inputs:
    """What a detector was trained to read; kept beside its weights as `inputs.json`."""

    weights: str = "faces"  # of the ResNet18: a `FaceWeights` value or a path
    reference: str = "rest"  # see `change_from_rest`
    context_s: float = 20.0  # seconds to both sides in which rest is looked for
    reads: str = "vectors"  # see `face_channels`
    signals: tuple[str, ...] = ()  # further channels behind them, see `fedet.video.side_signals`
    adapt: float = 0.0  # share of each video's own statistics in the ResNet18, see `fedet.faces.adaptation`

    def __post_init__(self) -> None:
        check_share(self.adapt)
        object.__setattr__(self, "signals", check_signals(self.signals))
        for name, allowed in (("reference", REFERENCES), ("reads", READS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; one of {', '.join(allowed)}")
        if not self.context_s > 0:
            raise InputError(f"context_s is {self.context_s!r}; it must be above 0")


@dataclass(frozen=True, eq=False)
class Detector:
    """Everything that turns a video into intervals."""

    model: FEDN
    net: FaceNet
    inputs: Inputs
    faces: FaceDetector | None = None  # None: OpenCV's Haar cascade

    def read(self, video: str | Path, **options) -> FaceTrack:
        """The vectors of a video; `options` are those of `fedet.faces.extraction.extract`."""
        return extract(video, self.net, self.faces, adapt=self.inputs.adapt, **options)


def load_detector(weights: str | Path | None = None, faces: FaceDetector | None = None) -> Detector:
    """The detector in a folder that `fedet train` wrote; None is the one shipped with the package.

    Raises InputError if a file is missing or does not fit, or the face weights are others by now.
    """
    folder = shipped("detector") if weights is None else Path(weights)
    model = FEDN.from_pretrained(folder)
    inputs, digest = _read_inputs(folder)
    net = load_facenet(inputs.weights)
    if digest not in (None, net.digest):
        text = f"{folder / 'inputs.json'}: the detector learned with other face weights ({digest}) than"
        raise InputError(f"{text} {inputs.weights} holds now ({net.digest}); put those back, or train anew")
    return Detector(model, net, inputs, faces)


def read_inputs(folder: Path) -> Inputs:
    return _read_inputs(folder)[0]


def _read_inputs(folder: Path) -> tuple[Inputs, str | None]:
    """The inputs, and the digest of the face weights if the file tells it."""
    place = folder / "inputs.json"
    if not place.exists():
        return Inputs(), None
    try:
        told = json.loads(place.read_text())
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); put the file of the training back") from error
    digest = told.pop("digest", None) if isinstance(told, dict) else None
    if not isinstance(digest, str | None):
        raise InputError(f"{place}: digest is {digest!r}; it must be a text, or be left out")
    inputs = dataclass_from(Inputs, told, str(place))
    # Face weights in the detector's folder, like those tuned with it, are found wherever it is now.
    own = inputs.weights not in NAMED and (folder / inputs.weights).exists()
    return replace(inputs, weights=str(folder / inputs.weights)) if own else inputs, digest


def save_inputs(folder: str | Path, inputs: Inputs) -> None:
    told = asdict(inputs)
    if Path(inputs.weights) == Path(folder) / TUNED:
        told["weights"] = TUNED
    elif inputs.weights not in (*NAMED, TUNED):  # a place: found from anywhere, and known again
        told["weights"] = str(Path(inputs.weights).resolve())
        told["digest"] = load_facenet(inputs.weights).digest
    (Path(folder) / "inputs.json").write_text(json.dumps(told, indent=2) + "\n")


def detect(
    video: str | Path,
    weights: str | Path | Detector | None = None,
    threshold: float | None = None,
    subject: str | None = None,
    progress: bool = False,
    cache: str | Path | None = None,
    fps: float | None = None,
    curves: bool = False,
    sources: Mapping[str, str | Path] | None = None,
    abstain: bool = False,
) -> pd.DataFrame:
    """Finds the facial expressions in a video of any length.

    Args:
        video: a video file, a folder of numbered images, or the .f16 file that `cache` kept of one.
        weights: a detector's folder or a loaded `Detector`; None is the shipped one.
        threshold: lowest score that is reported; None is the detector's own.
        subject: whom the video shows; the video's name if None.
        cache: folder that keeps the frames' vectors for the next time.
        fps: rate of a folder of images; 30 if None. Video files tell theirs.
        curves: also keep, for each frame, the highest confidence in each emotion.
        sources: folders of the CSV files of a detector that reads them, see `side_signals`.
        abstain: leave out detections most of whose frames are unlike all training faces (see
            `fedet.faces.novelty`); how many is told in `problems`.

    Returns:
        The canonical table in order of onset, frames counted at the video's nominal rate. Its
        `attrs` are plain values, so that tables can be joined and written as Parquet. They hold
        `missing` (a dict for each span without a face: start_frame, end_frame, counted as in the
        table, start_s, end_s),
        `problems` (what could not be read), `seconds` (length of what was read), `threshold`,
        `unfamiliar` (share of each detection's frames that are out of what the network knows; None
        if its weights come without that knowledge);
        with `curves` also `curves`, for each emotion a list with one value per frame, None without
        a face; `pd.DataFrame` makes a table of it.

    Raises:
        InputError: the file cannot be read, the weights do not fit, or `fps` is not above 0.
    """
    rate, last = FPS if fps is None else fps, None
    if not 0 < rate < math.inf:
        raise InputError(f"{video}: fps={fps!r} is no frame rate; give one above 0, or none for {FPS:g}")
    detector = weights if isinstance(weights, Detector) else load_detector(weights)
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold!r}; a score lies between 0 and 1")
    if Path(video).suffix == ".f16":
        faces = read_cached(video, detector.net, detector.inputs.adapt)
    else:
        opened = open_video(video, folder_fps=rate)
        faces = detector.read(video, progress=progress, cache=cache, opened=opened)
        last = _last_frame(opened, len(faces.state))
    name = Path(video).stem if Path(video).is_file() else Path(video).name
    side = side_signals(video, detector.inputs.signals, len(faces.state), FPS, sources)
    table = detect_in(faces, detector, threshold, curves, side.values, last)
    table["video"], table["subject"] = name, subject or name
    known, problem = distribution_for(detector.net, detector.inputs.weights)
    shares = None if known is None else unfamiliar_share(table, faces, known).tolist()
    left_out = [] if not abstain else [problem] if known is None else []
    if abstain and shares:
        kept = [share <= MOSTLY_UNFAMILIAR for share in shares]
        left_out = [f"{kept.count(False)} detections left out: unfamiliar faces"] if not all(kept) else []
        attrs = table.attrs
        table, shares = table[kept].reset_index(drop=True), [s for s in shares if s <= MOSTLY_UNFAMILIAR]
        table.attrs = attrs
    limit = detector.model.config.default_threshold if threshold is None else threshold
    spans = missing_spans([STATES[s] for s in faces.state], FPS)
    ends = at_rate(spans["start_frame"], spans["end_frame"], FPS, faces.fps)
    spans["start_frame"], spans["end_frame"] = (frame.clip(upper=last) for frame in ends)
    table.attrs |= {
        "video": name,
        "missing": spans.to_dict("records"),
        "problems": [*faces.problems, *side.problems, *left_out],
        "unfamiliar": shares,
        "seconds": len(faces.state) / FPS,
        "threshold": limit,
    }
    return table


def detect_in(
    faces: FaceTrack,
    detector: Detector,
    threshold: float | None = None,
    curves: bool = False,
    side: np.ndarray | None = None,
    last: int | None = None,
) -> pd.DataFrame:
    """Detections in vectors already at hand; the canonical table at the video's frame rate.

    With `curves`, `attrs["curves"]` are those of `detect`. `side` (T, C) are the signals of a
    detector that reads any, see `side_signals`. No frame lies behind `last`, the video's own.
    """
    config = detector.model.config
    limit = config.default_threshold if threshold is None else threshold
    inputs = detector.inputs
    change = change_from_rest(faces, inputs.reference, inputs.context_s)
    seen = concat_signals(face_channels(change, detector.net, inputs.reads), inputs, side)
    heard = Curves(len(seen), config) if curves else None
    listener = None if heard is None else heard.add
    found = detect_intervals(detector.model, config, seen, faces.mask, listener=listener)
    found = found[found["score"] >= limit].sort_values(["onset", "offset"]).reset_index(drop=True)
    apex, units = apex_and_action_units(found, change, faces.mask, detector.net)
    table = empty_table().reindex(range(len(found)))
    ends = at_rate(found["onset"], found["offset"], FPS, faces.fps)
    table["onset"], table["offset"] = (frame.clip(upper=last) for frame in ends)
    table["apex"] = frame_at_rate(apex, FPS, faces.fps).clip(table["onset"], table["offset"])
    table["emotion"], table["score"] = found["emotion"], found["score"].round(4)
    table["action_units"] = units
    table["fps"], table["schema_version"], table["source"] = faces.fps, "1", "fedet"
    table["expression_type"] = expression_type_of(found["onset"], found["offset"], FPS)
    table = table.astype(empty_table().dtypes)
    if heard is not None:
        curve = curve_table(heard, faces.mask, faces.fps).astype(object)
        curve = curve if last is None else curve.iloc[: last + 1]
        table.attrs["curves"] = curve.where(curve.notna(), None).to_dict("list")
    return table


def _last_frame(opened: Video, ticks: int) -> int | None:
    """The video's last frame; None if it does not say, or says fewer than were seen at 30 fps."""
    count = opened.n_frames_estimate
    return count - 1 if count and count >= (ticks - 1) / FPS * opened.fps - 1 else None


def concat_signals(seen: np.ndarray, inputs: Inputs, side: np.ndarray | None) -> np.ndarray:
    """What is read of the face (T, C) and the side signals (T, S) as one: (T, C + S)."""
    if not inputs.signals:
        return seen
    if side is None:
        raise InputError(f"this detector also reads {', '.join(inputs.signals)}: give side=side_signals(...)")
    return np.concatenate([seen, side.astype(seen.dtype)], axis=1)


@torch.inference_mode()
def apex_and_action_units(found: pd.DataFrame, change: np.ndarray, mask: np.ndarray, net: FaceNet):
    """The apex of each detection and the AUs active there, from the change of the read-outs.

    The apex is the frame whose AUs, blinks left out, rose most over three frames. Weights without
    read-outs give the frame of the largest change, and no AUs.
    """
    apexes, units = [], []
    counted = [i for i, au in enumerate(AUS) if au != BLINK]
    for row in found.itertuples():
        part = torch.from_numpy(change[row.onset : row.offset + 1].astype(np.float32))
        seen = torch.from_numpy(mask[row.onset : row.offset + 1])
        if net.heads is None:
            strength, rise = part.norm(dim=1), None
        else:
            rise = part @ net.heads["aus"].weight.T  # (L, 18)
            strength = rise[:, counted].clamp(min=0).sum(1)
        strength = torch.nn.functional.avg_pool1d((strength * seen)[None], 3, 1, 1)[0]
        at = int(strength.argmax())
        apexes.append(row.onset + at)
        names = [] if rise is None else [str(AUS[i]) for i in counted if rise[at, i] >= ACTIVE_AU]
        units.append("+".join(names))
    return apexes, units


# ---------------------------------------------------------------- records for training

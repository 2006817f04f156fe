"""Per-frame vectors of a video's face: a frozen ResNet18, and the change against the person's rest.

A vector tells an expression and, far more loudly, whose face it is. What the detector reads is
therefore the difference from the same person's vectors at rest nearby: see `change_from_rest`.
"""

import copy
import hashlib
import json
import os
import queue
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fedet.adaptation import adapted, check_share, spread_faces
from fedet.boxes import MIN_FACE, SMALL_FACE, SURE_NEIGHBORS, FaceDetector, HaarDetector
from fedet.errors import InputError
from fedet.faces import Counted, crop, track_faces
from fedet.intervals import AUS, EMOTIONS
from fedet.video import IMAGE_SUFFIXES, MOST_SIDE, Video, open_video

FPS = 30.0  # frames a second of every vector sequence; videos are resampled by time
CROP = 112  # side of the face crops, pixels
WIDTH = 512  # length of a vector
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels, as torchvision's weights
STATES = ("found", "bridged", "missing")
DAMAGES = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)  # reading what was kept
FACE_SEARCH = 3  # raised where faces are found or cut out differently: vectors kept before are not used


class FaceWeights(Enum):
    """Where the ResNet18 gets its weights; a path to a checkpoint is the third way."""

    FACES = "faces"  # ours, trained on generated faces; shipped, works offline
    IMAGENET = "imagenet"  # torchvision's; downloaded by torchvision at the first use


class FaceNet(nn.Module):
    """A ResNet18 up to its pooled vector, and what our own weights can read off that vector."""

    def __init__(self):
        super().__init__()
        from torchvision.models import resnet18

        self.body = resnet18(weights=None)
        self.body.fc = nn.Identity()
        self.heads: nn.ModuleDict | None = None  # only our own weights have them
        self.name = "untrained"
        self.digest = ""  # of the weights themselves: a name may come to mean others

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, S, S) normalised crops -> (B, 512)."""
        return self.body(faces)

    def read_aus(self, vectors: Tensor) -> Tensor:
        """(..., 512) -> (..., 18) intensities of the action units `AUS`, about 0..1."""
        return self._heads()["aus"](vectors)

    def rest(self, vectors: Tensor) -> Tensor:
        """(..., 512) -> (...) log-probability that nothing is expressed; compare within a person."""
        return self._heads()["emotion"](vectors).log_softmax(-1)[..., 0]

    def change_read_outs(self) -> Tensor:
        """(23, 512): what 18 AUs and the emotion from change read off a change of the vector."""
        return torch.cat([self._heads()[name].weight for name in ("aus", "change")])

    def _heads(self) -> nn.ModuleDict:
        if self.heads is None:
            raise InputError(f"the weights {self.name!r} have no read-out for AUs; use FaceWeights.FACES")
        return self.heads


def read_out_heads(width: int = WIDTH) -> nn.ModuleDict:
    """AU intensities, the emotion (nothing first), and the emotion from a change of the vector."""
    classes = 1 + len(EMOTIONS)
    return nn.ModuleDict({
        "aus": nn.Linear(width, len(AUS)),
        "emotion": nn.Linear(width, classes),
        "change": nn.Linear(width, classes),
    })  # fmt: skip


# ---------------------------------------------------------------- weights


def shipped(name: str) -> Path:
    """A folder of weights inside the package."""
    return Path(__file__).parent / "weights" / name


def load_facenet(weights: FaceWeights | str | Path = FaceWeights.FACES) -> FaceNet:
    """The frozen network in evaluation mode.

    Args:
        weights: a `FaceWeights`, its value, a folder written by `save_facenet`, or a third-party
            ResNet18 checkpoint (.pt, .pth or .safetensors): prefixes such as `module.` or
            `backbone.` and a `state_dict` level are removed, a classifier is ignored.

    Raises:
        InputError: no such file, or the tensors do not fit, with their names.
    """
    known = {w.value: w for w in FaceWeights}
    choice = known.get(str(weights), weights) if not isinstance(weights, FaceWeights) else weights
    net = FaceNet()
    if choice is FaceWeights.IMAGENET:
        from torchvision.models import ResNet18_Weights

        state, source = ResNet18_Weights.DEFAULT.get_state_dict(progress=True), "imagenet"
    else:
        path = shipped("faces") if choice is FaceWeights.FACES else Path(choice)
        state, source = read_checkpoint(path), str(path)
    heads = {k.removeprefix("heads."): v.float() for k, v in state.items() if k.startswith("heads.")}
    fit_resnet(net, state, source)
    if heads:
        net.heads = read_out_heads()
        net.heads.load_state_dict(heads)
    net.digest = fingerprint(state)
    net.name = choice.value if isinstance(choice, FaceWeights) else net.digest
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or torch file, without running anything in it."""
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise InputError(f"no weights at {path}; name a folder with model.safetensors, or a checkpoint file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise many kinds; all mean the same to the user
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no checkpoint that can be read safely: {first}") from error
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; expected a dict of tensors")
    return {k: v for k, v in content.items() if isinstance(v, Tensor)}


def fit_resnet(net: FaceNet, state: dict[str, Tensor], source: str) -> None:
    """Loads the ResNet18 inside `state`, whatever it is called there."""
    wanted = net.body.state_dict()
    first = [k for k in state if k.endswith("conv1.weight") and "layer" not in k]
    prefix = first[0].removesuffix("conv1.weight") if first else ""
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    found = {k: v.to(wanted[k].dtype) for k, v in found.items() if k in wanted}
    missing = [k for k in wanted if k not in found and "num_batches" not in k]
    wrong = [f"{k} {tuple(v.shape)}" for k, v in found.items() if v.shape != wanted[k].shape]
    if missing or wrong:
        parts = [
            f"lacks {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        ]
        parts = (parts if missing else []) + ([f"other shapes: {', '.join(wrong[:3])}"] if wrong else [])
        raise InputError(f"{source} is no ResNet18: {'; '.join(parts)}")
    net.body.load_state_dict(found, strict=False)


def save_facenet(folder: str | Path, net: FaceNet, card: dict, dtype: torch.dtype = torch.float16) -> None:
    """Writes `model.safetensors`, by default in half precision, and the `card` as config.json."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v if "running" in k else v.to(dtype) for k, v in tensors_of(net).items()}
    part = folder / "model.safetensors.part"
    save_file({k: v.contiguous() for k, v in tensors.items()}, part)
    os.replace(part, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(card, indent=2) + "\n")


def pretraining_of(folder: Path) -> dict:
    """How face weights came about, as their folder's config.json tells; {} if it does not.

    Raises InputError if the file is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text()).get("pretraining", {})
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: no JSON object ({error}); restore it, or delete it") from error
    if not isinstance(told, dict):
        raise InputError(f"{path}: pretraining is {told!r:.60}; an object is needed")
    return told


def tensors_of(net: FaceNet) -> dict[str, Tensor]:
    """The tensors of a network under the names that they have in a file."""
    tensors = {k: v for k, v in net.body.state_dict().items() if "num_batches" not in k}
    return tensors | ({f"heads.{k}": v for k, v in net.heads.state_dict().items()} if net.heads else {})


def fingerprint(state: dict[str, Tensor]) -> str:
    """A short name for weights of unknown origin, from their values."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


# ---------------------------------------------------------------- a video's vectors


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The vectors of one video at 30 frames a second; frames without a face are zero and masked."""

    vectors: np.ndarray  # (T, 512) float16, perhaps mapped from a file
    rest: np.ndarray  # (T,) float32 log-probability that nothing is expressed; NaN-free, 0 if unknown
    state: np.ndarray  # (T,) uint8, index into STATES
    track: np.ndarray  # (T,) int32, which face; -1 where none
    fps: float  # nominal rate of the video itself, for counting its frames
    problems: tuple[str, ...]  # what the video's reader had to say
    weights: str  # name of the network that made the vectors
    # Some of the frames as the network reads them without the video's own statistics, where it has those.
    stored: np.ndarray = field(default_factory=lambda: np.zeros((0, WIDTH), np.float16))  # (N, 512)
    stored_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # (N,) which frames

    @property
    def mask(self) -> np.ndarray:
        """(T,) bool, True where there is a face."""
        return self.state != STATES.index("missing")


def extract(
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None = None,
    batch_size: int = 32,
    progress: bool = False,
    cache: str | Path | None = None,
    opened: Video | None = None,
    adapt: float = 0.0,
) -> FaceTrack:
    """Reads a video, follows its face and turns every frame at 30 fps into a vector.

    Args:
        path: a video file or a folder of numbered images.
        detector: finds faces; None: OpenCV's Haar cascades, once more for small faces in a video in
            which they see none.
        batch_size: crops at once; changes results by rounding only.
        cache: folder in which the vectors are kept for the next time; damaged ones are made anew.
        opened: the video as `Dataset.open` gives it, where a frame folder has a rate and numbering
            of its own; None opens `path`.
        adapt: share of the video's own statistics in the network's batch norms, see `knowing`.

    Memory stays flat: vectors go to a file (1 kB a frame) and are mapped from there, and pictures whose
    longer side is above `MOST_SIDE` are reduced to it as they are decoded.
    Raises InputError where the video cannot be read at all, or `adapt` is no share.
    """
    check_share(adapt)
    video = opened or open_video(path)
    facts = path, net, detector, video.fps, search_of(video), adapt
    place = cache_file(Path(cache), *facts) if cache else None
    if place and place.with_suffix(".json").exists():
        with suppress(InputError):
            return read_track(place)
    handle, name = tempfile.mkstemp(dir=place.parent if place else None, suffix=".f16")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            into = partial(_extract_into, file, video, net, adapt, batch_size, progress)
            found, problems = of_any_size(into, detector)
        fps, problems = float(video.fps or FPS), [*video.problems, *problems]
        notes = {"fps": fps, "problems": problems, "weights": net.name, "digest": net.digest}
        notes["adapt"] = adapt
        if place:
            os.replace(part, place)
            np.savez(place.with_suffix(".npz"), **found._asdict())
            place.with_suffix(".json").write_text(json.dumps(notes) + "\n")
            return read_track(place)
        vectors, told = map_vectors(part, len(found.state)), tuple(problems)
        return FaceTrack(vectors, fps=fps, problems=told, weights=net.name, **found._asdict())
    finally:
        part.unlink(missing_ok=True)  # a mapped file lives until the mapping is dropped


class _Read(NamedTuple):
    """All that is kept of a video beside its vectors; see `FaceTrack`."""

    state: np.ndarray
    track: np.ndarray
    rest: np.ndarray
    stored: np.ndarray
    stored_at: np.ndarray


def _extract_into(file, video, net, adapt, batch_size, progress, detector: FaceDetector) -> _Read:
    """Writes the vectors to `file`."""
    from tqdm.auto import tqdm

    file.seek(0)
    net, *stored = _adapted_to(video, net, detector, adapt)
    total = round(video.duration_s * FPS) if video.duration_s else None
    rest, state, track = [], [], []
    frames = tqdm(
        in_background(crops_of(video, detector)),
        total=total,
        unit="frame",
        disable=not progress,
        desc=Path(video.path).name,
    )
    batch: list[np.ndarray | None] = []
    for face, status, number in frames:
        batch.append(face)
        state.append(STATES.index(status))
        track.append(number)
        if len(batch) == batch_size:
            rest.append(_append(file, net, batch))
            batch = []
    if batch:
        rest.append(_append(file, net, batch))
    joined = np.concatenate(rest) if rest else np.zeros(0, np.float32)
    return _Read(np.array(state, np.uint8), np.array(track, np.int32), joined, *stored)


def of_any_size(read: Callable[[FaceDetector], tuple], detector: FaceDetector | None) -> tuple:
    """What `read(detector)` makes of a video, and a list of problems.

    Where no detector is given it is OpenCV's cascades, and once more for small faces if they see none.
    That somebody else is in the picture is one of the problems.

    Args:
        read: reads the video from its beginning and returns a tuple, first the states of its frames
            as indices into `STATES`.
    """
    seen = Counted(detector or HaarDetector())
    found = read(seen)
    if detector is not None or not len(found[0]) or (found[0] != STATES.index("missing")).any():
        return found, seen.problems()
    searched = f"no face of {MIN_FACE:.0%} of the picture's shorter side or more"
    small = HaarDetector(SURE_NEIGHBORS, min_face=SMALL_FACE)
    return read(small), [f"{searched}: looked for ones from {SMALL_FACE:.0%} on"]


def crops_of(video, detector: FaceDetector) -> Iterator[tuple[np.ndarray | None, str, int]]:
    """Face crop (112, 112, 3) uint8 or None, state and face number of each frame at 30 fps."""
    for f in track_faces(video.frames(fps=FPS, max_side=MOST_SIDE), detector):
        yield (crop(f.image, f.box, CROP) if f.box is not None else None), f.state, f.track


def _append(file, net: FaceNet, batch: list[np.ndarray | None]) -> np.ndarray:
    """Writes the vectors of a batch of crops to `file`; zeros where there is none."""
    seen = [i for i, face in enumerate(batch) if face is not None]
    vectors, rest = np.zeros((len(batch), WIDTH), np.float16), np.zeros(len(batch), np.float32)
    if seen:
        out = vectors_of(net, np.stack([batch[i] for i in seen]))
        vectors[seen] = out.half().numpy()
        if net.heads is not None:
            rest[seen] = net.rest(out).numpy()
    file.write(vectors.tobytes())
    return rest


def folded(net: FaceNet) -> FaceNet:
    """A copy for reading only, each batch normalisation folded into its convolution: same up to rounding.

    A quarter to a third quicker on a processor. The network itself stays as it is, for training and
    for looking inside.
    """
    quick = copy.deepcopy(net).eval()
    for block in list(quick.body.modules()):
        for one, two in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):  # the last pair: downsampling
            if isinstance(getattr(block, two, None), nn.BatchNorm2d):
                setattr(block, one, fuse_conv_bn_eval(getattr(block, one), getattr(block, two)))
                setattr(block, two, nn.Identity())
    return quick.to(memory_format=torch.channels_last)


def _adapted_to(video: Video, net: FaceNet, detector: FaceDetector, adapt: float):
    """The network to read a video with, folded, and what the stored statistics make of some frames."""
    if not adapt:
        return folded(net), np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int32)
    crops, times_s = spread_faces(video, detector, CROP)
    stored = vectors_of(net, crops).half().numpy() if len(crops) else np.zeros((0, WIDTH), np.float16)
    return folded(knowing(net, crops, adapt)), stored, np.round(times_s * FPS).astype(np.int32)


def knowing(net: FaceNet, crops: np.ndarray, adapt: float) -> FaceNet:
    """The network whose batch norms know face crops (N, S, S, 3) uint8 of a video; itself if `adapt` is 0.

    See `fedet.adaptation.adapted`.
    """
    return adapted(net, _pictures(net, crops), adapt) if adapt else net


@torch.inference_mode()
def vectors_of(net: FaceNet, crops: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 RGB crops -> (B, 512) float32."""
    return net(_pictures(net, crops)).float()


def _pictures(net: FaceNet, crops: np.ndarray) -> Tensor:
    """Crops as the network reads them, where it is."""
    faces = torch.from_numpy(crops).to(next(net.parameters()).device).permute(0, 3, 1, 2).float().div(255)
    return normalised(faces).contiguous(memory_format=torch.channels_last)


def normalised(faces: Tensor) -> Tensor:
    """(B, 3, S, S) of 0..1 -> as the network reads it."""
    mean, std = (torch.tensor(values, device=faces.device).view(3, 1, 1) for values in (MEAN, STD))
    return (faces - mean) / std


def in_background(items: Iterable, ahead: int = 128) -> Iterator:
    """The same items, made in a thread: decoding and face search overlap with the network."""
    line: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                while not stop.is_set():
                    try:
                        line.put((item, None), timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
            line.put((None, StopIteration()))
        except BaseException as error:  # handed to the consumer, who raises it
            line.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, end = line.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item
    finally:
        stop.set()


def map_vectors(file: Path, n: int) -> np.ndarray:
    return np.memmap(file, np.float16, "r", shape=(n, WIDTH)) if n else np.zeros((0, WIDTH), np.float16)


def search_of(video: Video) -> str:
    """What the name of anything kept of a video says of how its faces were found."""
    return f"{FACE_SEARCH} {MOST_SIDE}" if max(video.width, video.height) > MOST_SIDE else str(FACE_SEARCH)


def cache_file(
    folder: Path,
    path: str | Path,
    net: FaceNet,
    detector: FaceDetector | None,
    fps: float,
    search: str = str(FACE_SEARCH),
    adapt: float = 0.0,
) -> Path:
    """Where a video's vectors are kept: named after the file, its size and time, and the networks.

    `search` is that of `search_of`; larger pictures have another one than the default. `adapt` as for
    `extract`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    facts = f"{state_of(path)} {net.name} {net.digest}"
    facts += f" {type(detector).__name__} {fps} {search}" + (f" adapt {adapt}" if adapt else "")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.stem}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.f16"


def state_of(path: Path) -> str:
    """Place, size and time of a video; of a folder also those of its images, which may change in it."""
    stat = path.stat()
    facts = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        stats = [(p.name, s.st_size, s.st_mtime_ns) for p in images if (s := p.stat())]
        facts += " " + hashlib.sha256(repr(stats).encode()).hexdigest()
    return facts


def read_kept(place: str | Path, net: FaceNet, adapt: float = 0.0) -> FaceTrack:
    """The vectors of a cache's .f16 file: a video whose frames may have been deleted since.

    That they were made with another `adapt` is one of the problems: they can still be read.
    Raises InputError if a part is missing, or other weights than `net` made them.
    """
    place = Path(place)
    parts = (place.with_suffix(suffix) for suffix in (".f16", ".json", ".npz"))
    if absent := [part.name for part in parts if not part.is_file()]:
        raise InputError(f"{place}: kept vectors are three files side by side; no {', '.join(absent)}")
    kept = read_track(place)
    notes = json.loads(place.with_suffix(".json").read_text())
    if notes.get("digest", net.digest) != net.digest:
        made = f"{notes['weights']!r} ({notes['digest']})"
        raise InputError(f"{place}: made with the face weights {made}, not {net.name!r} ({net.digest})")
    if (made := notes.get("adapt", 0.0)) != adapt:
        told = f"kept with {made:.0%} of the video's own statistics, this detector reads with {adapt:.0%}"
        kept = replace(kept, problems=(*kept.problems, f"{told}: read the video again if you still have it"))
    return kept


def read_track(place: Path) -> FaceTrack:
    """What `extract` kept. Raises InputError where one of its three files is damaged."""
    try:
        notes = json.loads(place.with_suffix(".json").read_text())
        with np.load(place.with_suffix(".npz")) as parts:
            # Vectors kept by earlier releases know no `stored`.
            kept = {name: parts[name] for name in _Read._fields if name in parts or "stored" not in name}
        n = len(kept["state"])
        check_bytes(place, n, 2 * WIDTH)
        notes = {"fps": notes["fps"], "problems": tuple(notes["problems"]), "weights": notes["weights"]}
        return FaceTrack(map_vectors(place, n), **kept, **notes)
    except DAMAGES as error:
        raise damaged(place, error) from error


def check_bytes(place: Path, n: int, each: int) -> None:
    """Raises ValueError where a file does not hold just `n` frames of `each` bytes."""
    if (size := place.stat().st_size) != n * each:
        raise ValueError(f"{size} bytes, not {n * each} for {n} frames")


def damaged(place: Path, error: Exception) -> InputError:
    kept = f"{place} or the .json or .npz beside it is damaged ({type(error).__name__}: {error})"
    return InputError(f"{kept}; delete the three and run again with the video")


# ---------------------------------------------------------------- change against the person's rest

REFERENCES = ("rest", "median", "none")
RECURS_S = 15.0  # length of a video from which on rest is expected to recur, seconds
READS = ("vectors", "readouts", "both")


def change_from_rest(
    faces: FaceTrack,
    reference: str = "rest",
    context_s: float = 20.0,
    share: float = 0.2,
    step_s: float = 1.0,
) -> np.ndarray:
    """Vectors minus the same person's resting vector in the neighbourhood: (T, 512) float16.

    Every `step_s` the frames of the same face within `context_s` to both sides are taken; the
    resting vector is the mean of the `share` of them that look most like rest ("rest", see
    `rest_order`; unlike the median it also holds in a clip that is mostly expression), or the
    median of all ("median", for weights without read-outs). "none" subtracts nothing. Between the
    steps it is interpolated. Our choice; the paper reads the vectors as they are.
    """
    if reference not in REFERENCES:
        raise InputError(f"reference is {reference!r}; one of {', '.join(REFERENCES)}")
    n, mask = len(faces.state), faces.mask
    if reference == "none" or not mask.any():
        return np.array(faces.vectors)
    out = np.zeros((n, WIDTH), np.float16)
    for number in np.unique(faces.track[mask]):
        own = np.flatnonzero(mask & (faces.track == number))
        knots = np.arange(own[0], own[-1] + step_s * FPS, step_s * FPS)
        levels = np.stack([_rest_level(faces, own, k, reference, context_s, share) for k in knots])
        for chunk in np.array_split(own, max(1, len(own) // 4096)):
            place = (chunk - own[0]) / (step_s * FPS)
            low = np.minimum(place.astype(int), len(knots) - 1)
            high = np.minimum(low + 1, len(knots) - 1)
            weight = (place - low)[:, None]
            level = levels[low] * (1 - weight) + levels[high] * weight
            out[chunk] = faces.vectors[chunk].astype(np.float32) - level
    return out


def rest_frames(
    faces: FaceTrack, own: np.ndarray, knot: float, reference: str, context_s: float, share: float = 0.2
) -> np.ndarray:
    """The frames around `knot`, out of `own` of one face, that its resting vector is made of."""
    reach = context_s * FPS
    first, last = np.searchsorted(own, [knot - reach, knot + reach])
    near = own[first:last]
    if not len(near):  # a gap wider than the context: the nearest frames of the same face
        near = own[max(0, first - 30) : first + 30]
    near = near[:: max(1, len(near) // 400)]
    if reference == "median":
        return near
    count = max(1, round(share * len(near)))
    if len(faces.state) < RECURS_S * FPS:
        return near[np.argpartition(-faces.rest[near], count - 1)[:count]]
    return near[rest_order(faces.vectors[near], faces.rest[near])[:count]]


def rest_order(vectors: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Frames (N,) from the most to the least like a face at rest (our choice).

    A resting face looks as if nothing is expressed, and a person comes back to it. So two ranks are
    added: by how likely nothing is expressed, `rest` (N,), and by the distance of a vector (N, C) to
    the quarter of the others that is nearest. The first alone fails on a face whose rest looks sad,
    the second alone in a clip that is mostly expression; so in a video shorter than `RECURS_S` the
    first alone decides.
    """
    x = vectors.astype(np.float64)
    x = x - x.mean(0)
    squares = (x**2).sum(1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))  # (N, N)
    nearest = len(x) // 4
    lonely = np.partition(distance, nearest, axis=1)[:, : nearest + 1].mean(1)
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (-rest, lonely)]
    return np.argsort(ranks[0] + ranks[1], kind="stable")


def _rest_level(faces: FaceTrack, own: np.ndarray, knot: float, reference: str, *where) -> np.ndarray:
    near = faces.vectors[rest_frames(faces, own, knot, reference, *where)].astype(np.float32)
    return near.mean(0) if reference == "rest" else np.median(near, axis=0)


@torch.inference_mode()
def read_change(change: np.ndarray, net: FaceNet, reads: str = "vectors") -> np.ndarray:
    """What the detector is given of a change from rest, (T, 512) -> (T, C) of the same type.

    Args:
        reads: "vectors" all 512 numbers; "readouts" the 23 that the network's heads make of them
            (18 AUs and the emotion from change, without its softmax); "both" one beside the other.
            Read-outs leave behind what a vector knows of its own kind of pictures: our choice
            where videos look unlike the training set.

    Raises InputError on another `reads`, or where the weights have no heads.
    """
    if reads not in READS:
        raise InputError(f"reads is {reads!r}; one of {', '.join(READS)}")
    if reads == "vectors":
        return change
    # In double precision: the last bits of a product in single precision depend on the number of
    # threads, and training would carry them on.
    weights = net.change_read_outs().numpy(force=True).T.astype(np.float64)
    out = np.empty((len(change), weights.shape[1]), change.dtype)
    for start in range(0, len(change), 4096):
        part = slice(start, start + 4096)
        out[part] = change[part].astype(np.float64) @ weights
    return out if reads == "readouts" else np.concatenate([change, out], axis=1)

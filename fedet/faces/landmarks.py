"""The network that finds 65 points of a face, with an uncertainty each, and what moves besides speech."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fedet.errors import InputError
from fedet.faces.detectors import Box, FaceDetector, HaarDetector
from fedet.faces.geometry import DISTANCES, in_pictures
from fedet.faces.network import FaceNet, fingerprint, fold_batch_norms, pictures, read_checkpoint, shipped
from fedet.faces.points import POINTS
from fedet.faces.resnet import BasicBlock, ResNet18
from fedet.faces.tracking import CROP_SCALE, Tracked, crop, track_boxes
from fedet.faces.vectors import FPS, STATES
from fedet.files import atomic_write, tensor_faults
from fedet.intervals import AUS, EMOTIONS
from fedet.video.reader import MAX_SIDE, Frame, LazyFrame, Video, open_video

SIZE = 96  # side of the crops that it reads, pixels
SPREAD = (-6.0, -0.7)  # limits of the log of an uncertainty, in shares of the crop's side
MIDDLE = -2.5  # where that logarithm starts in training
KEPT = 2  # layers of the other network that are not trained further
BATCH = 32  # faces read at once
GEOMETRY_WIDTH = 48  # of the layer that reads distances
WIDE, NARROW, HIDDEN = 160, 48, 256  # channels of the last blocks, before the dense layers, of those


class LandmarkNet(nn.Module):
    """The first half of a ResNet18, and points regressed directly after Wood et al. (ECCV 2022)."""

    def __init__(self):
        super().__init__()
        first = ResNet18()
        self.body = nn.Sequential(
            nn.Sequential(first.conv1, first.bn1, first.relu, first.maxpool), first.layer1, first.layer2,
            BasicBlock(128, WIDE, 2), BasicBlock(WIDE, WIDE, 1),
            nn.Sequential(nn.Conv2d(WIDE, NARROW, 1, bias=False), nn.BatchNorm2d(NARROW)),
            nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        flat = NARROW * (SIZE // 16) ** 2
        self.points = nn.Sequential(nn.Linear(flat, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3 * len(POINTS)))
        self.state = nn.Sequential(nn.Linear(flat, HIDDEN), nn.Tanh())
        self.change = nn.Linear(HIDDEN, len(AUS) + 1 + len(EMOTIONS), bias=False)
        self.speech = nn.Linear(HIDDEN, 1)
        self.digest = ""  # of its weights
        classes = 1 + len(EMOTIONS)
        self.geometry = nn.Sequential(
            nn.Linear(len(DISTANCES), GEOMETRY_WIDTH), nn.Tanh(), nn.Linear(GEOMETRY_WIDTH, classes)
        )

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Faces (B, 3, 96, 96) normalised -> points, uncertainty, state.

        Returns: `points` (B, P, 2) x and y as shares of the crop's side, `spread` (B, P) the standard
        deviation of each in the same unit, and `state` (B, 256); `change` reads its difference between
        two pictures of a person: 18 AUs besides speech, and five logits, nothing first. `geometry` reads
        the same logits from differences of `fedet.faces.geometry.DISTANCES`.
        """
        features = self.body(faces)
        found = self.points(features).float().view(-1, len(POINTS), 3)
        spread = torch.exp((found[..., 2] + MIDDLE).clamp(*SPREAD))
        return found[..., :2] + 0.5, spread, self.state(features).float()

    @torch.inference_mode()
    def emotions(self, state: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Changes from rest, of the state (N, 256) and of distances (N, D) -> (N, 4) confidences in EMOTIONS.

        It is the mean of what the two say.
        """
        seen = self.change(torch.from_numpy(state).float())[:, len(AUS) :]
        measured = self.geometry(torch.from_numpy(distances).float())
        return ((seen.softmax(1) + measured.softmax(1)) / 2)[:, 1:].numpy()

    def start_from(self, net: FaceNet) -> None:
        """Takes over the first layers of the network that reads expressions; the first `KEPT` stay fixed."""
        body = net.body
        first = (nn.Sequential(body.conv1, body.bn1), body.layer1, body.layer2)
        for mine, theirs in zip(self.body[:3], first, strict=True):
            mine.load_state_dict(theirs.state_dict())
        self.body[:KEPT].requires_grad_(False)

    def train(self, mode: bool = True) -> "LandmarkNet":
        """As for any module, but layers that stay as they are keep their statistics too."""
        super().train(mode)
        for layer in self.body[:KEPT]:
            layer.train(mode and any(p.requires_grad for p in layer.parameters()))
        return self


def load_landmarks(folder: str | Path | None = None) -> LandmarkNet:
    """The frozen network in evaluation mode; None: the shipped weights.

    Raises InputError where the folder holds no weights of this network.
    """
    path = shipped("landmarks") if folder is None else Path(folder)
    state, net = read_checkpoint(path), LandmarkNet()
    expected = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    faults = [f"{k} is missing" for k in expected if k not in state]
    faults += [f"{k} is not known" for k in state if k not in expected] or tensor_faults(state, expected)
    if faults:
        raise InputError(f"{path}: no landmark network: {'; '.join(faults[:3])}")
    net.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    net.digest = fingerprint(state)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def save_landmarks(folder: str | Path, net: LandmarkNet, card: dict) -> None:
    """Writes `model.safetensors` in half precision, and the `card` as config.json."""
    from safetensors.torch import save_file

    state = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    state = {k: v if "running" in k else v.half() for k, v in state.items()}
    with atomic_write(Path(folder) / "model.safetensors") as path:
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    (Path(folder) / "config.json").write_text(json.dumps(card, indent=2) + "\n")


class Landmarks(NamedTuple):
    """The points of one face along a video of T frames."""

    points: np.ndarray  # (T, P, 2) float32: x right, y down in pixels of the picture; NaN without a face
    spread: np.ndarray  # (T, P) float32: standard deviation of each, pixels; NaN without a face
    state: np.ndarray  # (T, 256) float32: what `LandmarkNet.change` reads; 0 without a face
    visible: np.ndarray  # (T,) bool: there is a face


def read_landmarks(
    video: str | Path | Video,
    net: LandmarkNet | None = None,
    detector: FaceDetector | None = None,
    fps: float | None = None,
    progress: bool = False,
    boxes: np.ndarray | None = None,
) -> Landmarks:
    """Finds the points of the face in every frame of a video.

    Args:
        net: None: the shipped weights.
        detector: finds faces; None: OpenCV's Haar cascades.
        fps: frames a second that are read; None: every frame of the video.
        boxes: (N, 4) where the face is, as in a `FaceTrack`; None: it is searched and followed.

    Raises InputError where the video cannot be read.
    """
    from tqdm.auto import tqdm

    net = fold_batch_norms(net or load_landmarks())
    opened = video if isinstance(video, Video) else open_video(video)
    total = round(opened.duration_s * (fps or opened.fps)) if opened.duration_s else None
    frames = opened.lazy_frames(fps, MAX_SIDE)
    scale = max(MAX_SIDE, opened.width, opened.height) / MAX_SIDE
    found = track_boxes(frames, detector or HaarDetector())
    followed = found if boxes is None else placed(frames, boxes, 1 / scale)
    places: list[Box | None] = []
    crops: list[np.ndarray] = []
    read: list[tuple[np.ndarray, ...]] = []
    for face in tqdm(followed, total=total, unit="frame", disable=not progress, desc="points of the face"):
        box = face.box
        if box is not None:
            crops.append(crop(face.frame.image, box, SIZE))
        places.append(box)
        if len(crops) == BATCH:
            read.append(read_crops(net, crops))
            crops = []
    if crops:
        read.append(read_crops(net, crops))
    return _in_pictures(places, read, scale)


def placed(frames: Iterable[Frame | LazyFrame], boxes: np.ndarray, scale: float = 1.0) -> Iterator[Tracked]:
    """The frames with boxes (N, 4) that were found at `FPS` before; `scale`: pixels of a frame per theirs."""
    for frame in frames:
        x, y, size, roll = map(float, boxes[min(round(frame.time_s * FPS), len(boxes) - 1)])
        x, y, size, seen = x * scale, y * scale, size * scale, size > 0
        yield Tracked(frame, Box(x, y, size, size, 1.0, roll) if seen else None, STATES[0 if seen else -1], 0)


@torch.inference_mode()
def read_crops(net: LandmarkNet, crops: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """What the network returns of crops (96, 96, 3) uint8, as arrays."""
    return tuple(values.numpy(force=True) for values in net(pictures(net, np.stack(crops))))


def _in_pictures(boxes: list[Box | None], read: list[tuple[np.ndarray, ...]], scale: float) -> Landmarks:
    """What was read in the crops of all visible faces, in pixels of a picture `scale` times as large."""
    visible = np.array([box is not None for box in boxes], bool)
    points = np.full((len(boxes), len(POINTS), 2), np.nan, np.float32)
    spread = np.full((len(boxes), len(POINTS)), np.nan, np.float32)
    state = np.zeros((len(boxes), HIDDEN), np.float32)
    if read:
        found, spread[visible], state[visible] = (
            np.concatenate(values) for values in zip(*read, strict=True)
        )
        faces = [box for box in boxes if box is not None]
        side = np.array([face.size for face in faces])
        corners = [(face.cx - face.size / 2, face.cy - face.size / 2) for face in faces]
        placed = np.column_stack([corners, side, [face.roll for face in faces]])
        points[visible] = scale * in_pictures(found - 0.5, placed)
        spread[visible] *= scale * CROP_SCALE * side[:, None]
    return Landmarks(points, spread, state, visible)

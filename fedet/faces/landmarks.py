"""The network that finds 65 points of a face, with an uncertainty each, and what moves besides speech."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedet.errors import InputError
from fedet.faces.network import FaceNet, read_checkpoint, shipped
from fedet.faces.points import POINTS
from fedet.files import atomic_write, tensor_faults
from fedet.intervals import AUS, EMOTIONS

SIZE = 96  # side of the crops that it reads, pixels
SPREAD = (-6.0, -0.7)  # limits of the log of an uncertainty, in shares of the crop's side
MIDDLE = -2.5  # where that logarithm starts in training
KEPT = 2  # layers of the other network that are not trained further
WIDE, NARROW, HIDDEN = 160, 48, 256  # channels of the last blocks, before the dense layers, of those


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, stride), convolution(outputs, outputs)
        self.around = convolution(inputs, outputs, stride, 1) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, C', S', S')"""
        return F.relu(self.second(F.relu(self.first(x))) + self.around(x))


def convolution(inputs: int, outputs: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class LandmarkNet(nn.Module):
    """The first half of a ResNet18, and points regressed directly after Wood et al. (ECCV 2022)."""

    def __init__(self):
        super().__init__()
        from torchvision.models import resnet18

        first = resnet18(weights=None)
        self.body = nn.Sequential(
            nn.Sequential(first.conv1, first.bn1, first.relu, first.maxpool), first.layer1, first.layer2,
            Block(128, WIDE, 2), Block(WIDE, WIDE, 1),
            convolution(WIDE, NARROW, side=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        flat = NARROW * (SIZE // 16) ** 2
        self.points = nn.Sequential(nn.Linear(flat, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3 * len(POINTS)))
        self.state = nn.Sequential(nn.Linear(flat, HIDDEN), nn.Tanh())
        self.change = nn.Linear(HIDDEN, len(AUS) + 1 + len(EMOTIONS), bias=False)
        self.speech = nn.Linear(HIDDEN, 1)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Faces (B, 3, 96, 96) normalised -> points, uncertainty, state.

        Returns: `points` (B, P, 2) x and y as shares of the crop's side, `spread` (B, P) the standard
        deviation of each in the same unit, and `state` (B, 256); `change` reads its difference between
        two pictures of a person: 18 AUs besides speech, and five logits, nothing first.
        """
        features = self.body(faces)
        found = self.points(features).float().view(-1, len(POINTS), 3)
        spread = torch.exp((found[..., 2] + MIDDLE).clamp(*SPREAD))
        return found[..., :2] + 0.5, spread, self.state(features).float()

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
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def save_landmarks(folder: str | Path, net: LandmarkNet, card: dict) -> None:
    """Writes `model.safetensors` in half precision, and the `card` as config.json."""
    from safetensors.torch import save_file

    state = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    state = {k: v if "running" in k else v.half() for k, v in state.items()}
    with atomic_write(Path(folder) / "model.safetensors") as path:
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    (Path(folder) / "config.json").write_text(json.dumps(card, indent=2) + "\n")

"""The ResNet18 that turns a face crop into a vector, and its weight files."""

import copy
import hashlib
import json
import os
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fedet.errors import InputError
from fedet.faces.adaptation import adapted
from fedet.intervals import AUS, EMOTIONS

WIDTH = 512  # length of a vector
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels, as torchvision's weights


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


def shipped(name: str) -> Path:
    """A folder of weights inside the package."""
    return Path(__file__).parents[1] / "weights" / name


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


def adapted_net(net: FaceNet, crops: np.ndarray, adapt: float) -> FaceNet:
    """The network whose batch norms know face crops (N, S, S, 3) uint8 of a video; itself if `adapt` is 0.

    See `fedet.faces.adaptation.adapted`.
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

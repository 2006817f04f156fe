"""The ResNet18 that turns a face crop into a vector, and its weight files."""

import copy
import hashlib
import json
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fedet.errors import InputError
from fedet.faces.adaptation import Net, adapt_batch_norms
from fedet.faces.resnet import ResNet18
from fedet.files import atomic_write, parse_json, save_tensors, tensor_faults
from fedet.intervals import AUS, EMOTIONS

WIDTH = 512  # length of a vector
PRECISIONS = ("fp32", "bf16", "auto")  # of the network that reads faces
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels, as torchvision's weights


class FaceWeights(Enum):
    """Named weights of the ResNet18; a path to a checkpoint is the third possibility."""

    FACES = "faces"  # ours, trained on generated faces; shipped, works offline
    IMAGENET = "imagenet"  # torchvision's; downloaded by torchvision at the first use


class FaceNet(nn.Module):
    """A ResNet18 up to its pooled vector, and the linear read-outs that our own weights have."""

    def __init__(self):
        super().__init__()
        self.body = ResNet18()
        self.heads: nn.ModuleDict | None = None  # only our own weights have them
        self.name = "untrained"
        self.digest = ""  # of the weights themselves: the file of that name may change

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
        """(23, 512): weights that read 18 AUs and the emotion from a change of the vector."""
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


def load_facenet(weights: FaceWeights | str | Path = FaceWeights.FACES, download: bool = False) -> FaceNet:
    """The frozen network in evaluation mode.

    Args:
        weights: a `FaceWeights`, its value, a folder written by `save_facenet`, or a third-party
            ResNet18 checkpoint (.pt, .pth or .safetensors): prefixes such as `module.` or
            `backbone.` and a `state_dict` level are removed, a classifier is ignored.
        download: torchvision's weights may be fetched; never for what a file asks for.

    Raises:
        InputError: no such file, or the tensors do not fit or are not finite, with their names.
    """
    named = {w.value: w for w in FaceWeights}
    choice = named.get(str(weights), weights) if not isinstance(weights, FaceWeights) else weights
    net = FaceNet()
    if choice is FaceWeights.IMAGENET:
        state, source = _imagenet_weights(download), "imagenet"
    else:
        path = shipped("faces") if choice is FaceWeights.FACES else Path(choice)
        state, source = read_checkpoint(path), str(path)
    heads = {k.removeprefix("heads."): v.float() for k, v in state.items() if k.startswith("heads.")}
    fit_resnet(net, state, source)
    if heads:
        net.heads = read_out_heads()
        expected = net.heads.state_dict()
        faults = [f"{k} is missing" for k in expected if k not in heads] + tensor_faults(heads, expected)
        if faults or heads.keys() - expected.keys():
            faults += [f"{k} is not known" for k in heads if k not in expected]
            raise InputError(f"{source}: its read-outs cannot be used: {'; '.join(faults[:3])}")
        net.heads.load_state_dict(heads)
    net.digest = fingerprint(state)
    net.name = choice.value if isinstance(choice, FaceWeights) else net.digest
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _imagenet_weights(download: bool) -> dict[str, Tensor]:
    """Raises InputError where they were never downloaded and must not be now."""
    from torchvision.models import ResNet18_Weights

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(ResNet18_Weights.DEFAULT.url).name
    if not file.is_file() and not download:
        raise InputError(
            f"face weights 'imagenet': no {file}, and a detector's folder downloads nothing; "
            "load_facenet('imagenet', download=True) fetches them"
        )
    return ResNet18_Weights.DEFAULT.get_state_dict(progress=True)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or torch file; code in it is not run.

    Raises InputError if there is no such file, or it holds no dict of tensors.
    """
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
    """Loads the ResNet18 in `state`, whatever prefix its tensors have.

    Raises InputError naming the first tensors that are missing or have another shape.
    """
    expected = net.body.state_dict()
    first = [k for k in state if k.endswith("conv1.weight") and "layer" not in k]
    prefix = first[0].removesuffix("conv1.weight") if first else ""
    tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    tensors = {k: v for k, v in tensors.items() if k in expected}
    if missing := [k for k in expected if k not in tensors and "num_batches" not in k]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(f"{source} is no ResNet18: lacks {', '.join(missing[:3])}{more}")
    if faults := tensor_faults(tensors, expected):
        raise InputError(f"{source} is no ResNet18 that can be used: {'; '.join(faults[:3])}")
    net.body.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()}, strict=False)


def save_facenet(folder: str | Path, net: FaceNet, card: dict, dtype: torch.dtype = torch.float16) -> None:
    """Writes `model.safetensors`, by default in half precision, and the `card` as config.json."""
    folder = Path(folder)
    tensors = {k: v if "running" in k else v.to(dtype) for k, v in tensors_of(net).items()}
    with atomic_write(folder / "config.json") as draft:
        draft.write_text(json.dumps(card, indent=2) + "\n")
        save_tensors(folder / "model.safetensors", tensors)


def pretraining_of(folder: Path) -> dict:
    """The settings of a pretraining from its folder's config.json; {} if it has none.

    Raises InputError if the file is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        settings = parse_json(path.read_text()).get("pretraining", {})
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: no JSON object ({error}); restore it, or delete it") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: pretraining is {settings!r:.60}; an object is needed")
    return settings


def tensors_of(net: FaceNet) -> dict[str, Tensor]:
    """The tensors of a network by the names that they have in a file."""
    tensors = {k: v for k, v in net.body.state_dict().items() if "num_batches" not in k}
    return tensors | ({f"heads.{k}": v for k, v in net.heads.state_dict().items()} if net.heads else {})


def fingerprint(state: dict[str, Tensor]) -> str:
    """A short name for weights of unknown origin: a digest of their values."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def fold_batch_norms(net: Net) -> Net:
    """A copy for inference, each batch normalisation folded into its convolution: same up to rounding.

    A quarter to a third faster on a processor.
    """
    copied = copy.deepcopy(net).eval()
    for block in list(copied.modules()):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):  # the last pair: downsampling
            if isinstance(getattr(block, norm, None), nn.BatchNorm2d):
                setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    return copied.to(memory_format=torch.channels_last)


def check_precision(precision: str) -> str:
    """ "fp32" or "bf16": "auto" is the second where the processor multiplies such numbers itself.

    Raises InputError on any other.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        can = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"
    return precision


def for_inference(net: FaceNet, precision: str = "fp32") -> FaceNet:
    """A copy with folded batch norms; "bf16": its convolutions in bfloat16, the read-outs as they are."""
    folded = fold_batch_norms(net)
    if precision == "bf16":
        folded.body.bfloat16()
    return folded


def adapted_net(net: FaceNet, crops: np.ndarray, adapt: float) -> FaceNet:
    """The network with batch norms adapted to face crops (N, S, S, 3) uint8; itself if `adapt` is 0.

    See `fedet.faces.adaptation.adapt_batch_norms`.
    """
    return adapt_batch_norms(net, pictures(net, crops), adapt) if adapt else net


@torch.inference_mode()
def vectors_of(net: FaceNet, crops: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 RGB crops -> (B, 512) float32."""
    return net(pictures(net, crops)).float()


def pictures(net: nn.Module, crops: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) as the network reads them, on its device."""
    first = next(net.parameters())
    faces, device = torch.from_numpy(crops), first.device
    if device.type == "cuda":  # pinned memory is copied while the device computes
        faces = faces.pin_memory()
    faces = faces.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div(255)
    return normalise(faces).to(first.dtype).contiguous(memory_format=torch.channels_last)


def normalise(faces: Tensor) -> Tensor:
    """(B, 3, S, S) of 0..1 -> as the network reads it: ImageNet's mean and deviation."""
    mean, std = (torch.tensor(values, device=faces.device).view(3, 1, 1) for values in (MEAN, STD))
    return (faces - mean) / std

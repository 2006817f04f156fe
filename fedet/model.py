"""FEDN, the detector: per-frame vectors of one window in, expression intervals out.

After Fang, Diallo, Shi, Jumelle, Shi, "End-to-End Facial Expression Detection in Long Videos",
arXiv 2504.07660. What the paper states is followed; what it leaves open, or we add, is marked
"our choice" where it is done:

| part     | the paper                                 | our choice                                         |
| -------- | ----------------------------------------- | -------------------------------------------------- |
| frames   | vectors of a frozen ResNet18              | minus the person's vector at rest (`features`);    |
|          |                                           | 30 a second; `motion` appends their change         |
| segments | attention inside, mean replicated to each | dimension reduced before it, not after; sigmoid    |
|          | frame, fully connected scores, reduction  | scores per channel, a residual                     |
| window   | 1D CNN, softmax scores, product           | scores times the number of valid frames            |
| neck     | two blocks of stride 2, then a pyramid of | LayerNorm, GELU, kernel 4; `first_stride` 2        |
|          | stride-2 1D CNNs                          |                                                    |
| head     | decoupled branches, attention and 1D CNN; | the same weights at all levels, distances to onset |
|          | start, end, confidence, emotion           | and offset, first bias (`Head`)                    |
| targets  | -                                         | centre sampling, a range of durations a level, the |
|          |                                           | shortest event wins (`windows`)                    |
| losses   | 1D DIoU; BCE, the highest class           | focal weight, constant normaliser, l1 relative to  |
|          | confidence is the objectness              | the length (`losses`)                              |
| merging  | -                                         | each position from one window; soft-NMS within and |
|          |                                           | across emotions; fusion of scales (`postprocess`)  |
| sizes    | -                                         | all defaults of `FEDNConfig`                       |

Shapes: B windows (batch), T frames, C channels, S segments, L positions of one level,
P positions of all levels, K emotions.

Masked frames (no face, or padding) never influence others: every layer that mixes frames sees
zeros in their place or leaves them out of its softmax or mean, and no layer normalises over time.
Hence what lies under the mask is irrelevant, and masked frames appended to a window change nothing
at the positions that were there before (up to rounding, since sums are taken in another order).
Masked frames put IN FRONT are harmless in the same way only if their number is a multiple of
`FEDNConfig.grid`, because segments and strides are counted from the window's first frame.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fedet.errors import InputError
from fedet.files import atomic_write, check_range, dataclass_from, parse_json, save_tensors, tensor_faults
from fedet.intervals import EMOTIONS

CHOICES = {
    "interval_loss": ("diou", "iou", "l1"),
    "objectness": ("max_class", "separate"),
    "head": ("decoupled", "coupled"),
    "first_stride": (2, 4),
}


@dataclass(frozen=True)
class FEDNConfig:
    """Everything that makes one detector; saved next to its weights. All defaults are our choice."""

    # what goes in
    input_features: int = 512  # length of a frame's vector (512: ResNet18)
    fps: float = 30.0  # frames a second; other rates are resampled before
    emotions: tuple[str, ...] = EMOTIONS  # one label: spotter
    window: int = 256  # frames the network sees at once
    window_stride: int = 128  # frames from one window of a video to the next
    # the network
    channels: int = 128  # width of everything after the first layer
    attention_heads: int = 4  # of every multi-head attention
    dropout: float = 0.1  # inside the attention blocks and before the outputs
    motion: int = 0  # beyond the paper: append x[t] - x[t - motion]; 0 appends nothing
    segment: int = 8  # frames a segment
    segment_attention: bool = True  # False: a frame's vector passes as it is
    window_attention: bool = True  # False: all frames of the window weigh the same
    first_stride: int = 4  # frames a position of the finest level; paper: 4
    pyramid_levels: int = 5  # levels, each of twice the stride of the one before
    head: str = "decoupled"  # "coupled": one branch for classes and intervals
    head_layers: int = 2  # 1D convolutions in a branch
    # targets and loss
    interval_loss: str = "diou"  # "diou" (paper), "iou" or "l1"
    objectness: str = "max_class"  # the highest class confidence (paper), or a "separate" output
    interval_weight: float = 1.0  # of the interval loss against the classification loss
    focal_gamma: float = 2.0  # weight |target - p|^gamma on the BCE; 0: plain BCE (paper)
    centre_radius: float = 1.5  # positions within this many strides of an event's centre learn it
    duration_per_stride: float = 4.0  # a level takes durations up to this many of its strides
    every_event: bool = False  # an event that shorter ones leave no position takes one of theirs
    min_visible: float = 0.5  # an event visible to a smaller share in a window is left out, unpunished
    # merging, in video time
    scales: tuple[int, ...] = (1,)  # beyond the paper: also read the mean of so many frames as one
    nms_sigma: float = 0.3  # soft-NMS: scores decay by exp(-tIoU^2 / sigma) within a class
    cross_class_sigma: float | None = 0.3  # between classes; None: they ignore each other
    min_score: float = 0.02  # weaker detections are never reported
    default_threshold: float = 0.5  # on the score; training sets it on validation subjects

    def __post_init__(self) -> None:
        object.__setattr__(self, "emotions", tuple(self.emotions))
        object.__setattr__(self, "scales", tuple(self.scales))
        self._check_ranges()
        self._check_together()

    def _check_ranges(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; choose one of {allowed}")
        # The upper ends bound time and memory, whatever a foreign file says.
        check_range(self, 1, 16384, "input_features", "window", "window_stride")
        check_range(self, 1, 2048, "channels", "segment")
        check_range(self, 1, 256, "attention_heads")
        check_range(self, 1, 12, "pyramid_levels", "head_layers")
        check_range(self, 0.001, 10_000, "fps", "centre_radius", "duration_per_stride", "nms_sigma")
        check_range(self, 0, 1000, "interval_weight", "focal_gamma", "motion")
        check_range(self, 0, 1, "min_visible", "min_score", "default_threshold")
        check_range(self, 0, 0.999999, "dropout")
        whole = all(isinstance(n, int) and 1 <= n <= 1024 for n in self.scales)
        rising = whole and list(self.scales) == sorted(set(self.scales)) and self.scales[:1] == (1,)
        self._require("scales", rising, "whole numbers that rise from 1, up to 1,024")
        positive = self.cross_class_sigma is None or self.cross_class_sigma > 0
        self._require("cross_class_sigma", positive, "above 0 or None")
        distinct = len(set(self.emotions)) == len(self.emotions) > 0
        self._require("emotions", distinct, "one or more different labels")

    def _check_together(self) -> None:
        fits = self.channels % self.attention_heads == 0
        self._require("channels", fits, f"a multiple of attention_heads={self.attention_heads}")
        # A grid that does not divide the window would give its tail no position.
        multiple = (
            f"a multiple of {self.grid} (the segment {self.segment} and the coarsest stride "
            f"{self.strides[-1]}: first_stride {self.first_stride}, {self.pyramid_levels} levels)"
        )
        self._require("window", self.window % self.grid == 0, multiple)
        self._require("window_stride", self.window_stride % self.grid == 0, multiple)
        fits = self.window_stride <= self.window
        self._require("window_stride", fits, f"at most window={self.window}, or frames go unseen")

    def _require(self, name: str, valid: bool, rule: str) -> None:
        if not valid:
            raise InputError(f"{name} is {getattr(self, name)!r}; it must be {rule}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Frames a position, level by level."""
        return tuple(self.first_stride * 2**level for level in range(self.pyramid_levels))

    @property
    def grid(self) -> int:
        """Frames after which segments and all levels begin anew."""
        return math.lcm(self.segment, self.strides[-1])

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "config") -> "FEDNConfig":
        """The config of a dict, e.g. of JSON. Raises InputError on a key or value that does not fit."""
        return dataclass_from(cls, values, source)


class FEDNOutput(NamedTuple):
    """Levels follow each other along P, finest first; `fedet.windows.points` places them."""

    class_logits: Tensor  # (B, P, K)
    distances: Tensor  # (B, P, 2) frames from the position's centre back to onset, on to offset; >= 0
    objectness: Tensor | None  # (B, P) logits; None where the highest class confidence serves as it
    mask: Tensor  # (B, P) False where a position covers no valid frame

    def scores(self) -> Tensor:
        """(B, P, K) confidences in 0..1, 0 at masked positions."""
        scores = self.class_logits.float().sigmoid()
        if self.objectness is not None:
            scores = scores * self.objectness.float().sigmoid()[..., None]
        return scores * self.mask[..., None]


class Attention(nn.Module):
    """Pre-norm multi-head self-attention with a residual; masked elements are not attended to, and 0."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (N, T, C), (N, T) -> (N, T, C)
        n, t, c = x.shape
        qkv = self.qkv(self.norm(x)).view(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, C / heads)
        # A row without any valid key would be 0/0: let it see all, its result is zeroed below.
        keys = (mask | ~mask.any(-1, keepdim=True))[:, None, None, :]  # (N, 1, 1, T)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        y = y.transpose(1, 2).reshape(n, t, c)  # (N, heads, T, C / heads) -> (N, T, C)
        return (x + F.dropout(self.out(y), self.dropout, self.training)) * mask[..., None]


class ConvBlock(nn.Module):
    """1D convolution, LayerNorm over channels, GELU; stride 1 or 2.

    Our choice: LayerNorm at each position, because statistics over time or batch would let padding
    and neighbours in the batch change a window's result; kernel 4 at stride 2, because it is
    symmetric about a position's centre.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel_size=2 + stride, stride=stride, padding=1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C) -> (B, T / stride, C)
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)  # convolutions want (B, C, T)
        return F.gelu(self.norm(x)) * mask[..., None]  # mask: that of the outgoing positions


def halve(mask: Tensor) -> Tensor:
    """(B, T) -> (B, T / 2): a position is valid if either of its two halves is."""
    return mask.view(mask.shape[0], -1, 2).any(-1)


class FrameEmbedding(nn.Module):
    """Scales the vectors, appends their change over `motion` frames, and projects to C channels.

    Our choice: the paper reduces the dimension after the segment attention; doing it before costs
    a tenth of the time.
    """

    scale: Tensor  # (C_in,)

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        self.motion = config.motion
        # One scale per feature, set from the training data: a LayerNorm of the raw vector would
        # lose its length, which is the intensity of the expression.
        self.register_buffer("scale", torch.ones(config.input_features))
        width = config.input_features * (2 if config.motion else 1)
        self.project = nn.Linear(width, config.channels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C_in) -> (B, T, C)
        x = torch.where(mask[..., None], x, 0) / self.scale  # where: NaN may lie under the mask
        if k := self.motion:
            both = (mask[:, k:] & mask[:, :-k])[..., None]
            change = F.pad((x[:, k:] - x[:, :-k]) * both, (0, 0, k, 0))  # (B, T, C_in)
            x = torch.cat([x, change], dim=-1)  # (B, T, 2 C_in)
        return self.dropout(self.project(x)) * mask[..., None]


class SegmentAttentionFusion(nn.Module):
    """Attention inside each segment, its mean appended to every frame, attention scores, reduction."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.segment = config.segment
        self.attention = Attention(c, config.attention_heads, config.dropout)
        self.score = nn.Linear(2 * c, c)
        self.reduce = nn.Linear(2 * c, c)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        b, t, c = x.shape
        frames = x.reshape(b * t // self.segment, self.segment, c)  # (B S, T / S, C)
        valid = mask.reshape(b * t // self.segment, self.segment)  # (B S, T / S)
        attended = self.attention(frames, valid)
        count = valid.sum(1).clamp(min=1)[:, None]
        pooled = attended.sum(1) / count  # (B S, C), the mean over valid frames
        pooled = pooled[:, None].expand_as(frames)  # replicated to every frame of its segment
        both = torch.cat([frames, pooled], dim=-1).view(b, t, 2 * c)  # (B, T, 2 C)
        # Our choice: sigmoid scores per channel, and a residual.
        return (x + self.score(both).sigmoid() * self.reduce(both)) * mask[..., None]


class WindowAttention(nn.Module):
    """A 1D CNN with a softmax over the window scores its frames; element-wise product."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(config.channels, 1, kernel_size=3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        logits = self.conv(x.transpose(1, 2)).squeeze(1).float()  # (B, C, T) -> (B, T)
        scores = logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(-1)
        # Our choice: softmax scores average 1/T and would shrink the feature T-fold, so they are
        # multiplied by the number of valid frames: even attention leaves the feature as it is.
        scores = scores * mask.sum(-1, keepdim=True)
        return x * (scores * mask)[..., None].to(x.dtype)


class Pyramid(nn.Module):
    """Stride-2 blocks down to the finest level's stride, then one more for each further level."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.neck_strides = (2, config.first_stride // 2)  # paper: (2, 2)
        self.neck = nn.ModuleList([ConvBlock(c, stride) for stride in self.neck_strides])
        self.levels = nn.ModuleList([ConvBlock(c, 2) for _ in range(config.pyramid_levels - 1)])

    def forward(self, x: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        for block, stride in zip(self.neck, self.neck_strides, strict=True):
            mask = halve(mask) if stride == 2 else mask
            x = block(x, mask)
        levels = [(x, mask)]  # (B, T / first_stride, C)
        for block in self.levels:
            mask = halve(mask)
            x = block(x, mask)
            levels.append((x, mask))  # (B, half as many, C)
        return levels


class Branch(nn.Module):
    """Multi-head attention over the positions of a level, then 1D convolutions."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.attention = Attention(c, config.attention_heads, config.dropout)
        self.blocks = nn.ModuleList([ConvBlock(c) for _ in range(config.head_layers)])
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, L, C) -> (B, L, C)
        x = self.attention(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        return self.dropout(x)


class Head(nn.Module):
    """Classes and intervals at each position; the same weights serve every level (our choice)."""

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        c = config.channels
        self.strides = config.strides
        self.classify = Branch(config)
        self.locate = Branch(config) if config.head == "decoupled" else None
        self.classes = nn.Linear(c, len(config.emotions))
        self.interval = nn.Linear(c, 2)
        self.objectness = nn.Linear(c, 1) if config.objectness == "separate" else None
        self.level_scale = nn.Parameter(torch.ones(config.pyramid_levels))
        # Our choice: start at a confidence of 0.02, so that the many empty positions do not drown
        # the first steps, and at intervals of the middle of a level's durations.
        for layer in (self.classes, self.objectness):
            if layer is not None:
                nn.init.constant_(layer.bias, math.log(0.02 / 0.98))
        nn.init.constant_(self.interval.bias, math.log(math.expm1(config.duration_per_stride * 0.4)))

    def forward(self, levels: list[tuple[Tensor, Tensor]]) -> FEDNOutput:
        outputs: list[tuple[Tensor, ...]] = []
        for (x, mask), stride, scale in zip(levels, self.strides, self.level_scale, strict=True):
            class_features = self.classify(x, mask)  # (B, L, C)
            features = self.locate(x, mask) if self.locate is not None else class_features
            distances = F.softplus(self.interval(features).float() * scale) * stride  # frames
            outputs.append((self.classes(class_features), distances, mask, features))
        logits, distances, mask, features = (torch.cat(x, dim=1) for x in zip(*outputs, strict=True))
        objectness = self.objectness(features).squeeze(-1) if self.objectness is not None else None
        return FEDNOutput(logits, distances, objectness, mask)


class FEDN(nn.Module):
    """The whole detector. `forward(x (B, T, C_in), mask (B, T)) -> FEDNOutput` for any T >= 1.

    x: frame vectors as change from the person's rest; mask: True where there is a face.
    A level of stride s has ceil(T / s) positions.
    """

    def __init__(self, config: FEDNConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = FrameEmbedding(config)
        self.segments = SegmentAttentionFusion(config) if config.segment_attention else None
        self.window = WindowAttention(config) if config.window_attention else None
        self.pyramid = Pyramid(config)
        self.head = Head(config)

    def forward(self, x: Tensor, mask: Tensor) -> FEDNOutput:
        if x.ndim != 3 or x.shape[-1] != self.config.input_features or mask.shape != x.shape[:2]:
            raise InputError(
                f"x {tuple(x.shape)} and mask {tuple(mask.shape)} must be "
                f"(B, T, {self.config.input_features}) and (B, T)"
            )
        t = x.shape[1]
        padding = -t % self.config.grid
        x = F.pad(x, (0, 0, 0, padding))  # (B, T', C_in), T' a multiple of the grid
        mask = F.pad(mask, (0, padding))  # (B, T')
        x = self.embedding(x, mask)  # (B, T', C)
        if self.segments is not None:
            x = self.segments(x, mask)
        if self.window is not None:
            x = self.window(x, mask)
        lengths = [math.ceil(t / stride) for stride in self.config.strides]
        levels = self.pyramid(x, mask)  # one (B, T' / stride, C) and its mask a level
        levels = [(x[:, :n], m[:, :n]) for (x, m), n in zip(levels, lengths, strict=True)]
        return self.head(levels)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Writes `config.json` and `model.safetensors` (weights as dtype, e.g. torch.float16)."""
        folder = Path(folder)
        state = {name: value.detach().to("cpu", dtype) for name, value in self.state_dict().items()}
        with atomic_write(folder / "config.json") as draft:
            draft.write_text(json.dumps(asdict(self.config), indent=2) + "\n")
            save_tensors(folder / "model.safetensors", state)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "FEDN":
        """The model of a folder, on the CPU, in evaluation mode, weights as float32.

        Raises InputError if a file is missing, is of another format, or does not fit (says which keys).
        """
        folder = Path(folder)
        model = cls(read_config(folder))
        path = folder / "model.safetensors"
        if not path.is_file():
            raise InputError(f"{path}: no such file; a model folder has it and config.json")
        try:
            state = load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path}: not a safetensors file ({error})") from error
        load_weights(model, state, str(path))
        return model.eval()


def read_config(folder: str | Path) -> FEDNConfig:
    """The config of a model folder. Raises InputError if it is missing, no JSON, or not valid."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a folder that save_pretrained has written")
    try:
        values = parse_json(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    return FEDNConfig.from_dict(values, str(path))


def load_weights(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Loads a state dict into the model. Raises InputError naming each key that does not fit."""
    expected = model.state_dict()
    wrong = [f"{name} is missing" for name in expected if name not in state]
    wrong += [f"{name} is not of this model" for name in state if name not in expected]
    wrong += tensor_faults(state, expected)
    if wrong:
        more = f" and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise InputError(f"{source} does not fit its config.json: {'; '.join(wrong[:6])}{more}")
    model.load_state_dict({name: state[name].to(value.dtype) for name, value in expected.items()})

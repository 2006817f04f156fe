"""Trains the ResNet18 that turns a face crop into a vector, on generated faces alone.

Several pictures of one person are in a batch together, and the losses of the heads compare them as
well as each picture with its labels: how a resting face looks must not count, only its change.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.faces.extraction import prefetch
from fedet.faces.network import FaceNet, load_facenet, normalise, read_out_heads, save_facenet
from fedet.files import check_range, check_writable
from fedet.intervals import AUS, EMOTIONS
from fedet.synthetic.device_tables import to_device
from fedet.synthetic.expressions import sample_rest, sample_states
from fedet.synthetic.families import FAMILIES, check_teaches, family
from fedet.synthetic.scene import auto_exposure, chance, sample_scenes, take, uniform


@dataclass(frozen=True)
class PretrainConfig:
    people: int = 24_000  # generated people; each is drawn `frames` times
    frames: int = 4  # pictures of a person; the first shows no expression
    families: tuple[str, ...] = FAMILIES  # of faces, in equal parts; those held out are refused
    bank: int = 128  # side of the stored pictures, pixels; crops are cut from them at random
    sizes: tuple[int, ...] = (96, 96, 96, 96)  # side of the crops in each pass over the people
    batch: int = 32  # people in a step
    lr: float = 2e-3
    weight_decay: float = 0.03
    seed: int = 1

    def __post_init__(self) -> None:
        check_range(self, 1, 10**8, "people")
        check_range(self, 2, 64, "frames")
        check_range(self, 32, 512, "bank")
        check_range(self, 1, 4096, "batch")
        check_range(self, 1e-9, 10, "lr")
        check_range(self, 0, 10, "weight_decay")
        check_range(self, 0, 2**32, "seed")
        if not self.sizes or not all(32 <= side <= self.bank for side in self.sizes):
            raise InputError(f"sizes is {self.sizes!r}; each must be between 32 and {self.bank} pixels")


Bank = dict[str, np.ndarray]  # one family: images (N, k, 3, bank, bank), aus (N, k, 18), labels (N, k)


def draw_banks(
    config: PretrainConfig, folder: Path, seed: int, people: int, device: str = "cpu"
) -> dict[str, Bank]:
    """Draws `people` people, as many of each family, into files below `folder`; finished files are reused."""
    share = people // len(config.families)
    return {kind: draw_bank(config, folder / kind, seed, share, kind, device) for kind in config.families}


def draw_bank(
    config: PretrainConfig, folder: Path, seed: int, people: int, kind: str, device: str = "cpu"
) -> Bank:
    """Draws `people` x `frames` pictures of one family into memory-mapped files, once.

    Returns: `images` (people, frames, 3, bank, bank) uint8, `aus` (people, frames, 18) the change
    from rest, `labels` (people, frames).
    """
    folder.mkdir(parents=True, exist_ok=True)
    side, k = config.bank, config.frames
    shapes = {
        "images": ((people, k, 3, side, side), np.uint8),
        "aus": ((people, k, len(AUS)), np.float32),
        "labels": ((people, k), np.int64),
    }
    done = folder / f"done-{seed}-{people}-{k}-{side}"
    mode = "r" if done.exists() else "w+"
    bank = {
        name: np.lib.format.open_memmap(folder / f"{name}-{seed}.npy", mode, dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    if done.exists():
        return bank
    generator = torch.Generator().manual_seed(seed)
    step = 16 if device == "cpu" else 256
    for start in tqdm(range(0, people, step), desc=f"drawing people ({kind})", unit=f"x{step}"):
        n = min(step, people - start)
        rows = slice(start, start + n)
        images, aus, labels = draw_people(n, k, side, generator, kind, device)
        bank["images"][rows] = images.view(n, k, 3, side, side).numpy()
        bank["aus"][rows] = aus.view(n, k, -1).numpy()
        bank["labels"][rows] = labels.view(n, k).numpy()
    done.touch()
    return bank


@torch.inference_mode()
def draw_people(
    n: int, k: int, side: int, generator: torch.Generator, kind: str = "shapes", device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """k pictures of each of n new people: images (n k, 3, side, side) uint8, AUs (n k, 18), labels.

    They are drawn on `device` and returned on the CPU.
    """
    look, rest, change, scene, labels = sample_people(n, k, generator, kind)
    aus = (rest + change * (1 - 0.5 * rest)).clamp(0, 1)
    faces = family(kind).render(*to_device((look, aus, scene), device), side)
    return (faces * 255 + 0.5).to(torch.uint8).cpu(), change.mean(1), labels


def sample_people(
    n: int, k: int, generator: torch.Generator, kind: str
) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Tensor], Tensor]:
    """What k pictures of each of n new people show, a row a picture; the first shows no expression.

    Returns: the look, the AUs at rest and their change (n k, 2, 18), the scene, and the labels (n k,).
    """
    who = torch.arange(n).repeat_interleave(k)
    look = take(family(kind).sample_looks(n, generator), who)
    scene = take(sample_scenes(n, generator), who)
    scene = auto_exposure(look, scene)
    change, labels = sample_states(n * k, generator, neutral_first=k)
    rest = sample_rest(n, generator)[who]

    def wander(person: float, frame: float) -> Tensor:
        return person * torch.randn(n, generator=generator)[who] + frame * torch.randn(
            n * k, generator=generator
        )

    scene |= {
        "yaw": wander(0.13, 0.1).clamp(-0.5, 0.5), "pitch": wander(0.1, 0.08).clamp(-0.4, 0.4),
        "roll": wander(0.05, 0.05), "cx": 0.5 + wander(0.02, 0.015), "cy": 0.425 + wander(0.02, 0.015),
        "scale": 0.285 * (1 + wander(0.05, 0.03)).clamp(0.8, 1.25),
        "gaze_x": wander(0.3, 0.4).clamp(-1, 1), "gaze_y": wander(0.2, 0.3).clamp(-1, 1),
        "light_x": scene["light_x"] + wander(0, 0.12), "gain": scene["gain"] * (1 + wander(0, 0.04)),
        "hand": chance(n * k, 0.03, generator) * (torch.rand(n * k, generator=generator) < 0.9),
        "hand_x": uniform(n * k, -0.7, 0.7, generator), "hand_y": uniform(n * k, 0.6, 1.3, generator),
    }  # fmt: skip
    return look, rest, change, scene, labels


# ---------------------------------------------------------------- cameras and crops


def augment_images(images: Tensor, k: int, size: int, generator: torch.Generator) -> Tensor:
    """Crops as a face detector cuts them, taken with another camera.

    Args:
        images: (n k, 3, bank, bank) uint8; each k in a row show one person and share a camera.
        generator: of the CPU, whatever the device of the images.
    Returns: (n k, 3, size, size) float, 0..1, on the device of the images.
    """
    placed = sample_turns(len(images) // k, k, generator).to(images.device)
    return photograph(cut_turned(images, placed, size), k, generator)


def sample_turns(
    n: int,
    k: int,
    generator: torch.Generator,
    zoom: tuple[float, float] = (0.8, 1.02),
    angle: float = 0.12,
    shift: float = 0.12,
) -> Tensor:
    """How a face detector places k crops of each of n people: (n k, 2, 3), crop to picture, both -1..1.

    Half of the people are mirrored. `angle` in radians, `shift` in half sides of the picture.
    """  # fmt: skip
    m = n * k

    def person(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator).repeat_interleave(k)

    def frame(spread: float) -> Tensor:
        return spread * torch.randn(m, generator=generator)

    scale = (person(*zoom) * (1 + frame(0.025))).clamp(zoom[0] - 0.1, zoom[1] + 0.03)
    turn = person(-angle, angle) + frame(0.03)
    flip = (1 - 2 * chance(n, 0.5, generator)).repeat_interleave(k)
    theta = torch.zeros(m, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = scale * torch.cos(turn) * flip, -scale * torch.sin(turn)
    theta[:, 1, 0], theta[:, 1, 1] = scale * torch.sin(turn) * flip, scale * torch.cos(turn)
    theta[:, 0, 2] = person(-shift, shift) + frame(0.02)
    theta[:, 1, 2] = person(-shift, shift) + frame(0.02)
    return theta


def cut_turned(images: Tensor, theta: Tensor, size: int) -> Tensor:
    """Crops (m, 3, size, size) of 0..1 from images (m, 3, bank, bank) uint8, placed by `sample_turns`."""
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images.float() / 255, grid, padding_mode="border", align_corners=False)


def photograph(faces: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Faces (n k, 3, size, size) of 0..1 as other cameras see them, each k in a row by the same one."""
    n, device = len(faces) // k, faces.device

    def person(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator).repeat_interleave(k).to(device)

    def frame(spread: float) -> Tensor:
        return spread * torch.randn(n * k, generator=generator).to(device)

    faces = restyle(degrade(faces, k, generator), k, generator)
    contrast, light = person(0.65, 1.35) * (1 + frame(0.03)), person(-0.08, 0.12) + frame(0.015)
    faces = (faces - 0.5) * contrast[:, None, None, None] + 0.5 + light[:, None, None, None]
    tint = 1 + 0.2 * (torch.rand(n, 3, generator=generator) - 0.5).to(device)
    faces = faces * tint.repeat_interleave(k, 0)[:, :, None, None]
    grey = chance(n, 0.15, generator).repeat_interleave(k).to(device)[:, None, None, None]
    faces = torch.lerp(faces, faces.mean(1, keepdim=True).expand_as(faces), grey)
    noise = person(-0.06, 0.05).clamp(min=0)[:, None, None, None]
    faces = faces + noise * noise_like(faces, generator)
    return erase(faces, generator).clamp_(0, 1)


def noise_like(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Normal noise on the device of the faces, from a generator of that device."""
    if faces.device.type == "cpu":
        return torch.randn(faces.shape, generator=generator)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    on_device = torch.Generator(faces.device).manual_seed(seed)
    return torch.randn(faces.shape, generator=on_device, device=faces.device)


def degrade(faces: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Blur, low resolution or compression on some people, all k pictures of a person alike."""
    groups = faces.view(-1, k, *faces.shape[1:]).clone()
    draw = torch.rand(len(groups), generator=generator)
    side = faces.shape[-1]
    for low, high, change in ((0, 0.2, blurred), (0.2, 0.4, shrunk), (0.4, 0.6, compressed)):
        chosen = (draw >= low) & (draw < high)
        if chosen.any():
            chosen = chosen.to(faces.device)
            strength = float(torch.rand(1, generator=generator))
            groups[chosen] = change(groups[chosen].flatten(0, 1), strength).view(-1, k, 3, side, side)
    return groups.flatten(0, 1)


def restyle(faces: Tensor, k: int, generator: torch.Generator, share: float = 0.35) -> Tensor:
    """Filters some people's pictures with random kernels: other textures and colours, the same shapes.

    After "Robust and Generalizable Visual Representation Learning via Random Convolutions" (Xu et
    al., ICLR 2021): what survives any filter is shape, and shape is what real faces share with ours.
    """
    chosen = chance(len(faces) // k, share, generator).bool().repeat_interleave(k).to(faces.device)
    if not chosen.any():
        return faces
    originals = faces[chosen]
    side = (1, 3, 5)[int(torch.randint(3, (1,), generator=generator))]
    kernel = torch.randn(3, 3, side, side, generator=generator).to(faces.device) / math.sqrt(3 * side * side)
    centred = originals - originals.mean((1, 2, 3), keepdim=True)
    filtered = F.conv2d(centred, kernel, padding=side // 2)
    filtered = filtered / filtered.std((1, 2, 3), keepdim=True).clamp(min=1e-3)
    filtered = filtered * centred.std((1, 2, 3), keepdim=True) + originals.mean((1, 2, 3), keepdim=True)
    mix = uniform(int(chosen.sum()) // k, 0.1, 0.8, generator).repeat_interleave(k).to(faces.device)
    mix = mix[:, None, None, None]
    out = faces.clone()
    out[chosen] = torch.lerp(originals, filtered, mix).clamp(0, 1)
    return out


def blurred(faces: Tensor, strength: float) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    if strength > 0.7:  # motion blur, along the rows
        return F.avg_pool2d(faces, (1, 5), stride=1, padding=(0, 2), count_include_pad=False)
    return gaussian_blur(faces, 7, 0.4 + 2.2 * strength)


def shrunk(faces: Tensor, strength: float) -> Tensor:
    side = faces.shape[-1]
    small = F.interpolate(faces, size=int(side * (0.35 + 0.5 * strength)), mode="area")
    return F.interpolate(small, size=side, mode="bilinear", align_corners=False)


def compressed(faces: Tensor, strength: float) -> Tensor:
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, int(12 + 60 * strength)]
    images = (faces.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy(force=True)
    with ThreadPool() as pool:
        decoded = pool.map(
            lambda image: cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), images
        )
    return torch.from_numpy(np.stack(decoded)).to(faces.device).permute(0, 3, 1, 2).float() / 255


def erase(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Covers a rectangle of some pictures with one colour, like an object in front of the face."""
    m, _, _, side = faces.shape
    for i in torch.nonzero(torch.rand(m, generator=generator) < 0.08)[:, 0].tolist():
        h, w = torch.randint(side // 8, side // 3, (2,), generator=generator).tolist()
        top, left = torch.randint(side - max(h, w), (2,), generator=generator).tolist()
        faces[i, :, top : top + h, left : left + w] = torch.rand(3, 1, 1, generator=generator).to(
            faces.device
        )
    return faces


# ---------------------------------------------------------------- training


def pretraining_losses(
    net: FaceNet, vectors: Tensor, aus: Tensor, labels: Tensor, k: int
) -> dict[str, Tensor]:
    """vectors (n k, 512), aus (n k, 18), labels (n k,); -1 is no class. Means over the pictures.

    `au_change` and `change` compare the k pictures of a person, the first of which is at rest.
    """
    predicted = net.heads["aus"](vectors)
    by_person, truth = predicted.view(-1, k, predicted.shape[1]), aus.view(-1, k, aus.shape[1])
    people = vectors.view(-1, k, vectors.shape[1])
    change = net.heads["change"]((people - people[:, :1])[:, 1:].flatten(0, 1))
    later = labels.view(-1, k)[:, 1:].flatten()
    return {
        "aus": 10 * F.mse_loss(predicted, aus),
        "au_change": 6
        * F.smooth_l1_loss(
            by_person - by_person.mean(1, keepdim=True), truth - truth.mean(1, keepdim=True), beta=0.1
        ),  # a small change counts more than in a squared error: micro-expressions are small
        "emotion": 0.5 * F.cross_entropy(net.heads["emotion"](vectors), labels, ignore_index=-1),
        "change": F.cross_entropy(change, later, ignore_index=-1),
    }


def pretrain(
    out: str | Path,
    config: PretrainConfig = PretrainConfig(),
    init: str | Path | None = None,
    bf16: bool | None = None,
    device: str = "cpu",
) -> Path:
    """Draws the people, trains, and writes `out`/model.safetensors with the figures in config.json.

    Args:
        init: weights to start from, see `load_facenet`; None starts from noise.
        bf16: forward passes in bfloat16; None: where the device has instructions for it.
        device: where faces are drawn and the network is trained, like "cuda"; the same seed draws other
            people there.

    People that are drawn to the end are reused from `out`/bank; a drawing that was interrupted starts
    again. The weights are written after every pass. Raises InputError if a family is held out for tests.
    """
    out = Path(out)
    check_teaches(config.families)
    check_device(device)
    check_writable(out)
    bf16 = supports_bf16(device) if bf16 is None else bf16
    if config.people // len(config.families) < config.batch:
        raise InputError(
            f"people is {config.people}: too few for batches of {config.batch} in each of "
            f"{len(config.families)} families"
        )
    banks = draw_banks(config, out / "bank", config.seed, config.people, device)
    check = draw_banks(config, out / "bank", config.seed + 1000, max(128, config.people // 50), device)
    generator = torch.Generator().manual_seed(config.seed + (2 if init else 0))
    net = initial_network(config.seed, init).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    people = sum(len(bank["labels"]) for bank in banks.values())
    steps = len(config.sizes) * (people // config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: min((i + 1) / 200, 0.5 + 0.5 * math.cos(math.pi * min(1, i / steps))) + 1e-3,
    )
    card = {"pretraining": asdict(config), "init": str(init) if init else None, "history": []}
    for number, size in enumerate(config.sizes):
        net.train()
        batches = prefetch(draw_batches(list(banks.values()), config, size, generator, device), ahead=2)
        bar = tqdm(batches, total=people // config.batch, desc=f"pass {number + 1} of {len(config.sizes)}")
        for faces, aus, labels in bar:
            aus, labels = aus.to(device), labels.to(device)
            losses = pretraining_losses(net, forward(net, faces, bf16), aus, labels, config.frames)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix({name: f"{float(loss.detach()):.3f}" for name, loss in losses.items()})
        metrics = {kind: evaluate_heads(net, bank, config, bf16) for kind, bank in check.items()}
        card["history"].append({"pass": number + 1, **metrics})
        tqdm.write(json.dumps(card["history"][-1]))
        save_facenet(out, net, card)
    return out


def check_device(device: str) -> None:
    """Raises InputError where torch cannot compute on a device of this name."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"device {device!r} cannot be used ({reason:.120}); 'cpu' always can") from error


def supports_bf16(device: str) -> bool:
    """Whether the device has instructions for bfloat16; emulated it is many times slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())


def initial_network(seed: int, init: str | Path | None) -> FaceNet:
    """A network with read-out heads, ready to train; `init` as for `pretrain`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = load_facenet(init) if init else FaceNet()
        net.heads = net.heads or read_out_heads()
    return net.requires_grad_(True).to(memory_format=torch.channels_last)


def draw_batches(
    banks: list[Bank], config: PretrainConfig, size: int, generator: torch.Generator, device: str = "cpu"
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One pass in random order: crops (n k, 3, size, size), AUs (n k, 18), labels (n k,)."""
    ends = np.cumsum([len(bank["labels"]) for bank in banks])
    for chosen in torch.randperm(int(ends[-1]), generator=generator).split(config.batch):
        if len(chosen) < config.batch:
            return
        rows = np.sort(chosen.numpy())
        by_bank = np.split(rows, np.searchsorted(rows, ends[:-1]))
        rows_of = [rows - start for rows, start in zip(by_bank, [0, *ends[:-1]], strict=True)]
        images, aus, labels = (
            torch.from_numpy(np.concatenate([bank[name][r] for bank, r in zip(banks, rows_of, strict=True)]))
            for name in ("images", "aus", "labels")
        )
        crops = augment_images(images.flatten(0, 1).to(device), config.frames, size, generator)
        yield normalise(crops), aus.flatten(0, 1), labels.flatten()


def forward(net: FaceNet, faces: Tensor, bf16: bool) -> Tensor:
    with torch.autocast(faces.device.type, torch.bfloat16, enabled=bf16):
        return net(faces.contiguous(memory_format=torch.channels_last)).float()


@torch.inference_mode()
def evaluate_heads(net: FaceNet, bank: Bank, config: PretrainConfig, bf16: bool) -> dict[str, float]:
    """Metrics on people never trained on: emotion from change, and error of the AUs.

    Returns: `accuracy` of the class (nothing, or one of `EMOTIONS`), `recall_*` of each, `au_error`
    the mean absolute error of the change of an AU.
    """
    net.eval()
    generator, device = torch.Generator().manual_seed(0), net.body.conv1.weight.device
    k, classes = config.frames, ("nothing", *EMOTIONS)
    predicted, truth, error = [], [], 0.0
    for start in range(0, len(bank["images"]), 64):
        rows = slice(start, start + 64)
        images = torch.from_numpy(np.array(bank["images"][rows])).flatten(0, 1).to(device)
        faces = normalise(augment_images(images, k, config.sizes[-1], generator))
        vectors = forward(net, faces, bf16)
        read = net.read_aus(vectors).view(-1, k, len(AUS)).cpu()
        aus = torch.from_numpy(np.array(bank["aus"][rows]))
        error += float(((read - read[:, :1]) - (aus - aus[:, :1])).abs().mean(-1)[:, 1:].sum())
        people = vectors.view(-1, k, vectors.shape[1])
        predicted.append(net.heads["change"](people - people[:, :1])[:, 1:].argmax(-1).flatten().cpu())
        truth.append(torch.from_numpy(np.array(bank["labels"][rows]))[:, 1:].flatten())
    predicted, truth = torch.cat(predicted), torch.cat(truth)
    correct = (predicted == truth).float()
    recalls = {f"recall_{name}": float(correct[truth == i].mean()) for i, name in enumerate(classes)}
    pictures = len(bank["images"]) * (k - 1)
    return {"accuracy": float(correct[truth >= 0].mean()), **recalls, "au_error": error / pictures}

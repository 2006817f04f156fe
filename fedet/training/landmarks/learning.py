"""Trains the landmark network on generated people alone."""

import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from fedet.errors import InputError
from fedet.faces.extraction import prefetch
from fedet.faces.geometry import DISTANCES, distances
from fedet.faces.landmarks import SIZE, LandmarkNet, load_landmarks, save_landmarks
from fedet.faces.network import load_facenet, normalise
from fedet.faces.points import MIRRORED, POINT_INDEX
from fedet.files import atomic_write, check_range, check_writable
from fedet.intervals import AUS
from fedet.synthetic.families import FAMILIES, check_teaches
from fedet.training.landmarks.people import FRAMES, Bank, draw_further, open_bank
from fedet.training.pretraining import cut_turned, photograph, sample_turns, supports_bf16

FIRST = 64  # people of each family drawn before the training begins, and in each turn
GEOMETRY_BATCHES, GEOMETRY_STEPS = 70, 400  # of people, and of steps over all of them
CHECKED = 64  # people of each family that are never learned from
ZOOM, ANGLE, SHIFT = (0.76, 1.08), 0.3, 0.18  # wider than for the vectors: points must say where they are
EYES = [POINT_INDEX[f"pupil_{side}"] for side in ("left", "right")]


@dataclass(frozen=True)
class LandmarkConfig:
    people: int = 12_000  # generated people; each is drawn `FRAMES` times
    families: tuple[str, ...] = FAMILIES  # of faces; those held out are refused
    passes: int = 10  # over the people
    batch: int = 32  # people in a step
    lr: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 1

    def __post_init__(self) -> None:
        check_range(self, 1, 10**7, "people")
        check_range(self, 1, 1000, "passes")
        check_range(self, 1, 4096, "batch")
        check_range(self, 1e-9, 10, "lr")
        check_range(self, 0, 10, "weight_decay")
        check_range(self, 0, 2**32, "seed")
        check_teaches(self.families)
        if self.people // len(self.families) < self.batch:
            raise InputError(f"people is {self.people}: too few for batches of {self.batch}")


def place_points(points: Tensor, theta: Tensor) -> Tensor:
    """Points (m, P, 2) of pictures in the crops that `theta` cuts from them; both in shares of the side."""
    matrix, shift = theta[:, :, :2], theta[:, :, 2]
    inside = (torch.linalg.inv(matrix) @ ((2 * points - 1) - shift[:, None]).mT).mT
    mirrored = torch.linalg.det(matrix) < 0
    inside = torch.where(mirrored[:, None, None], inside[:, list(MIRRORED)], inside)
    return (inside + 1) / 2


def draw_batches(
    banks: list[Bank], batch: int, generator: torch.Generator, augment: bool = True
) -> Iterator[dict[str, Tensor]]:
    """One pass over what is drawn, in random order; a row a picture, `FRAMES` of each person in a row."""
    people = [(b, i) for b, bank in enumerate(banks) for i in range(int(bank["drawn"][0]))]
    order = torch.randperm(len(people), generator=generator).tolist()
    for start in range(0, len(order) - batch + 1, batch):
        rows = [people[i] for i in order[start : start + batch]]
        values = {
            name: torch.from_numpy(np.concatenate([np.array(banks[b][name][i]) for b, i in rows]))
            for name in ("images", "points", "shown", "spoken", "labels")
        }
        theta = sample_turns(batch, FRAMES, generator, ZOOM, ANGLE, SHIFT)
        crops = photograph(cut_turned(values.pop("images"), theta, SIZE), FRAMES, generator)
        values["points"] = place_points(values["points"], theta)
        yield values | {"crops": normalise(crops), "labels": values["labels"].long()}


def landmark_losses(net: LandmarkNet, out: tuple[Tensor, Tensor, Tensor], truth: dict) -> dict[str, Tensor]:
    """Points by the negative log-likelihood of a round normal distribution; changes as in pretraining.

    Expressions are compared with the person's first picture, which shows none; speech is no part of them.
    """
    points, spread, state = out
    distance = ((points - truth["points"]) ** 2).sum(-1)
    likelihood = (2 * torch.log(spread) + distance / (2 * spread**2)).mean()
    people = state.view(-1, FRAMES, state.shape[1])
    change = net.change((people - people[:, :1])[:, 1:].flatten(0, 1))
    later = truth["labels"].view(-1, FRAMES)[:, 1:].flatten()
    shown = truth["shown"].float().mean(1).view(-1, FRAMES, len(AUS))
    shown = (shown - shown[:, :1])[:, 1:].flatten(0, 1)
    speaks = (truth["spoken"].amax((1, 2)) > 0).float()
    return {
        "points": 0.5 * likelihood + 3,
        "aus": 6 * F.smooth_l1_loss(change[:, : len(AUS)], shown, beta=0.1),
        "emotion": 0.4 * F.cross_entropy(change[:, len(AUS) :], later, ignore_index=-1),
        "speech": 0.2 * F.binary_cross_entropy_with_logits(net.speech(state)[:, 0], speaks),
    }


def learn_landmarks(
    out: str | Path, config: LandmarkConfig = LandmarkConfig(), minutes: float | None = None
) -> Path:
    """Draws the people, trains, and writes `out`/model.safetensors with figures in config.json.

    Args:
        minutes: the training ends after this long, however many passes are left, with a learning rate
            that falls to zero by then; None: after `config.passes`.

    Another process draws while this one learns from what is there; each pass takes in what is new.
    Whatever was drawn or learned already is reused from `out`, where an interrupted run goes on.
    """
    out = Path(out)
    check_writable(out)
    check = {k: open_bank(out / "bank" / k, config.seed + 1000, CHECKED) for k in config.families}
    share = config.people // len(config.families)
    banks = {k: open_bank(out / "bank" / k, config.seed, share) for k in config.families}
    drawing = multiprocessing.get_context("spawn").Process(
        target=draw_all, args=(out / "bank", config.families, config.seed, share), daemon=True
    )
    drawing.start()
    try:
        while min(int(bank["drawn"][0]) for bank in (*check.values(), *banks.values())) < FIRST:
            if drawing.exitcode:
                raise RuntimeError("people could not be drawn; the message is above")
            time.sleep(1)
        fit(out, config, list(banks.values()), check, minutes)
        return add_geometry(out, config, list(banks.values()))
    finally:
        drawing.terminate()


def draw_all(folder: Path, families: tuple[str, ...], seed: int, share: int) -> None:
    """Draws the people to check with, then `share` people of each family, in turns."""
    torch.set_num_threads(1)
    for kind in families:
        draw_further(open_bank(folder / kind, seed + 1000, CHECKED), seed + 1000, kind, CHECKED)
    for until in range(FIRST, share + FIRST, FIRST):
        for kind in families:
            draw_further(open_bank(folder / kind, seed, share), seed, kind, until)


def fit(
    out: Path, config: LandmarkConfig, banks: list[Bank], check: dict[str, Bank], minutes: float | None
) -> Path:
    """Trains on banks of people; `check` is read after every pass."""
    torch.manual_seed(config.seed)
    net = LandmarkNet()
    net.start_from(load_facenet())
    net = net.to(memory_format=torch.channels_last)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    done = {"share": 0.0, "pass": 0, "history": []}
    saved = out / "training.pt"
    if saved.is_file():
        kept = torch.load(saved, weights_only=True)
        net.load_state_dict(kept["net"])
        optimizer.load_state_dict(kept["optimizer"])
        done = kept["done"]
    bf16 = supports_bf16("cpu")
    begun, start, stored = time.monotonic(), done["share"], time.monotonic()
    while done["share"] < 1:
        generator = torch.Generator().manual_seed(config.seed * 1000 + done["pass"])
        net.train()
        steps = sum(int(bank["drawn"][0]) for bank in banks) // config.batch
        batches = prefetch(draw_batches(banks, config.batch, generator), ahead=2)
        bar = tqdm(batches, total=steps, desc=f"pass {done['pass'] + 1}", mininterval=5)
        for truth in bar:
            rate = min(1, (done["share"] + 1e-3) * 50) * (0.5 + 0.5 * math.cos(math.pi * done["share"]))
            for group in optimizer.param_groups:
                group["lr"] = config.lr * (rate + 1e-3)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                found = net(truth["crops"].contiguous(memory_format=torch.channels_last))
            losses = landmark_losses(net, found, truth)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(trained, 2.0)
            optimizer.step()
            elapsed = (time.monotonic() - begun) / 60
            done["share"] = min(
                1.0, start + elapsed / minutes if minutes else done["share"] + 1 / (steps * config.passes)
            )
            bar.set_postfix({name: f"{float(loss.detach()):.3f}" for name, loss in losses.items()})
            if time.monotonic() - stored > 120:
                keep(saved, net, optimizer, done)
                save_landmarks(out, net, {"landmarks": asdict(config), **done})
                stored = time.monotonic()
            if done["share"] >= 1:
                break
        done["pass"] += 1
        figures = {kind: evaluate_landmarks(net, bank) for kind, bank in check.items()}
        done["history"].append({"pass": done["pass"], "share": round(done["share"], 4), **figures})
        tqdm.write(json.dumps(done["history"][-1]))
        keep(saved, net, optimizer, done)
        save_landmarks(out, net, {"landmarks": asdict(config), **done})
    return out


def add_geometry(out: Path, config: LandmarkConfig, banks: list[Bank]) -> Path:
    """Teaches `LandmarkNet.geometry` the emotion of changed distances, as the network itself finds them."""
    net, generator = load_landmarks(out), torch.Generator().manual_seed(config.seed)
    change, labels = found_distances(net, banks, config.batch, generator)
    scale = change.std(0).clamp(min=1e-4)
    first, _, last = net.geometry
    reader = net.geometry.requires_grad_(True)
    torch.manual_seed(config.seed)
    for layer in (first, last):
        layer.reset_parameters()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=1e-2, weight_decay=0.05)
    for _ in range(GEOMETRY_STEPS):
        blurred = change / scale + 0.1 * torch.randn(change.shape, generator=generator)
        hidden = F.dropout(torch.tanh(first(blurred)), 0.2)
        optimizer.zero_grad()
        F.cross_entropy(last(hidden), labels).backward()
        optimizer.step()
    with torch.no_grad():
        first.weight /= scale  # it reads distances as they are
    card = json.loads((out / "config.json").read_text())
    save_landmarks(out, net.requires_grad_(False), card | {"geometry": {"pictures": len(labels)}})
    return out


@torch.no_grad()
def found_distances(
    net: LandmarkNet, banks: list[Bank], batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Distances of pictures (N, D) minus those of the same person at rest, and labels (N,), 0 nothing."""
    changes, labels = [], []
    for number, truth in enumerate(draw_batches(banks, batch, generator)):
        if number == GEOMETRY_BATCHES:
            break
        points = net(truth["crops"].contiguous(memory_format=torch.channels_last))[0]
        people = torch.from_numpy(distances(points.numpy())[0]).float().view(-1, FRAMES, len(DISTANCES))
        changes.append((people - people[:, :1])[:, 1:].flatten(0, 1))
        labels.append(truth["labels"].view(-1, FRAMES)[:, 1:].flatten())
    change, label = torch.cat(changes), torch.cat(labels)
    return change[label >= 0], label[label >= 0]


def keep(path: Path, net: LandmarkNet, optimizer: torch.optim.Optimizer, done: dict) -> None:
    with atomic_write(path) as temporary:
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "done": done}, temporary)


@torch.inference_mode()
def evaluate_landmarks(net: LandmarkNet, bank: Bank) -> dict[str, float]:
    """Figures on people never learned from, in crops as they are learned from.

    Returns: `error` mean distance of the points in distances between the pupils, `spread` the same from
    the uncertainties, `aus` mean correlation of the read changes with the shown ones, `accuracy` of
    the emotion, nothing included, and `speech` of speaking or not.
    """
    net.eval()
    errors, spreads, read, shown, right, speech = [], [], [], [], [], []
    for truth in draw_batches([bank], 16, torch.Generator().manual_seed(0)):
        points, spread, state = net(truth["crops"].contiguous(memory_format=torch.channels_last))
        apart = (truth["points"][:, EYES[0]] - truth["points"][:, EYES[1]]).norm(dim=-1)[:, None]
        errors.append(((points - truth["points"]).norm(dim=-1) / apart).mean(1))
        spreads.append((spread * math.sqrt(math.pi / 2) / apart).mean(1))
        people = state.view(-1, FRAMES, state.shape[1])
        change = net.change((people - people[:, :1])[:, 1:].flatten(0, 1))
        later = truth["labels"].view(-1, FRAMES)[:, 1:].flatten()
        right.append((change[:, len(AUS) :].argmax(1) == later)[later >= 0].float())
        read.append(change[:, : len(AUS)])
        shown.append(truth["shown"].float().mean(1).view(-1, FRAMES, len(AUS))[:, 1:].flatten(0, 1))
        speech.append(((net.speech(state)[:, 0] > 0) == (truth["spoken"].amax((1, 2)) > 0)).float())
    pairs = torch.stack([torch.cat(read).T, torch.cat(shown).T], 1)
    alike = [float(torch.corrcoef(p)[0, 1]) for p in pairs if p[1].std() > 0]
    values = {"error": errors, "spread": spreads, "accuracy": right, "speech": speech}
    figures = {name: float(torch.cat(v).mean()) for name, v in values.items()}
    return {n: round(v, 4) for n, v in (figures | {"aus": sum(alike) / len(alike)}).items()}

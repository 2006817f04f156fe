"""How unlike the training faces a picture is, so that a detector may say that it does not know.

A network answers about everything, also about a cartoon. Two questions are put to a face's vector:
how far it lies from those of generated faces (Mahalanobis distance under probabilistic PCA:
Tipping and Bishop 1999), and how far towards those of a few things that are no plain face, such as
a hand before the mouth (Fisher's linear discriminant, one direction a thing; the idea of showing
outliers is Hendrycks' 2019). The strangest answer counts. `python -m fedet.novelty FOLDER`
computes all this anew for the face weights in FOLDER.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fedet.errors import InputError
from fedet.features import (
    CROP,
    WIDTH,
    FaceNet,
    FaceTrack,
    load_facenet,
    normalised,
    pretraining_of,
    shipped,
    vectors_of,
)

FILE = "novelty.safetensors"
DIRECTIONS = 64  # main directions kept
SHARE = 0.99  # of held-out generated faces lie below the threshold
MOSTLY = 0.5  # a detection is out of what is known if this share of its frames is
STRANGE = ("covered", "noise", "tiles", "shuffled")  # what is shown beside faces


@dataclass(frozen=True, eq=False)
class Known:
    """What the vectors of training faces look like."""

    mean: np.ndarray  # (512,)
    directions: np.ndarray  # (D, 512), orthonormal
    variances: np.ndarray  # (D,) along them
    rest: float  # variance along each of the other 512 - D
    towards: np.ndarray  # (K, 512) discriminants, towards each of `STRANGE`
    centres: np.ndarray  # (1 + K,) the median answer to held-out faces, ...
    widths: np.ndarray  # (1 + K,) ... and how far above it their `SHARE` lies
    threshold: float  # distances above it are out of what is known
    digest: str  # of the face weights that it belongs to

    def answers(self, vectors: np.ndarray) -> np.ndarray:
        """(T, 512) -> (T, 1 + K): Mahalanobis distance, and the place along each discriminant."""
        away = np.asarray(vectors, np.float32) - self.mean
        along = away @ self.directions.T  # (T, D)
        beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
        far = np.sqrt(((along**2 / self.variances).sum(1) + beside / self.rest) / WIDTH)
        return np.concatenate([far[:, None], away @ self.towards.T], axis=1)

    def distance(self, vectors: np.ndarray) -> np.ndarray:
        """(T, 512) vectors -> (T,) the strangest answer; around 0 for training faces."""
        out = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), 4096):
            part = slice(start, start + 4096)
            out[part] = ((self.answers(vectors[part]) - self.centres) / self.widths).max(1)
        return out


def describe(
    faces: np.ndarray,
    strange: list[np.ndarray],
    held_out: np.ndarray,
    digest: str,
    directions: int = DIRECTIONS,
) -> Known:
    """The description of training vectors (N, 512).

    Args:
        strange: vectors (., 512) of each thing that is no plain face.
        held_out: vectors (M, 512) of faces of other people; they fix the threshold.

    Raises InputError for fewer vectors than directions.
    """
    if len(faces) <= directions:
        raise InputError(f"{len(faces)} vectors: more than {directions} are needed")
    mean = faces.mean(0)
    _, singular, axes = np.linalg.svd(faces - mean, full_matrices=False)
    variances, axes = singular**2 / (len(faces) - 1), axes[:directions]
    rest = max(float(variances[directions:].sum() / (faces.shape[1] - directions)), 1e-9)
    apart = np.stack([part.mean(0) - mean for part in strange])  # (K, 512)
    along = apart @ axes.T
    towards = (along / variances[:directions] - along / rest) @ axes + apart / rest  # inverse covariance
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    k = 1 + len(strange)
    plain = Known(mean, axes, variances[:directions], rest, towards, np.zeros(k), np.ones(k), np.inf, digest)
    seen = plain.answers(held_out)
    centres = np.median(seen, axis=0)
    scaled = replace(
        plain, centres=centres, widths=np.maximum(np.quantile(seen, SHARE, axis=0) - centres, 1e-6)
    )
    return replace(scaled, threshold=float(np.quantile(scaled.distance(held_out), SHARE)))


# ---------------------------------------------------------------- generated faces, and what is none


def face_vectors(net: FaceNet, people: int, seed: int, families: tuple[str, ...] = ("shapes",)) -> np.ndarray:
    """(4 x people, 512): of each person two pictures degraded as in pretraining, and the same two clean."""
    from fedet.pretraining import augment, draw_people

    generator, parts = torch.Generator().manual_seed(seed), []
    for number, start in enumerate(range(0, people, 16)):
        n = min(16, people - start)
        images = draw_people(n, 2, 128, generator, families[number % len(families)])[0]
        edge = 6 + int(torch.randint(10, (1,), generator=generator))
        clean = images[:, :, edge:-edge, edge:-edge].float() / 255
        clean = torch.nn.functional.interpolate(clean, size=CROP, mode="bilinear", antialias=True)
        both = torch.cat([augment(images, 2, CROP, generator), clean])
        with torch.inference_mode():
            parts.append(net(normalised(both)).float().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def strange_crops(kind: str, n: int, seed: int, families: tuple[str, ...] = ("shapes",)) -> np.ndarray:
    """(n, 112, 112, 3) uint8 of something that is no plain face, see `STRANGE`."""
    rng, side = np.random.default_rng(seed), CROP
    if kind == "noise":
        return rng.integers(0, 256, (n, side, side, 3), np.uint8)
    if kind == "tiles":
        return rng.integers(0, 256, (n, 7, 7, 3), np.uint8).repeat(side // 7, 1).repeat(side // 7, 2)
    if kind not in STRANGE:
        raise InputError(f"kind {kind!r}: one of {', '.join(STRANGE)}")
    faces = np.concatenate([
        _faces(len(part), seed + i, families[i % len(families)], kind == "covered")
        for i, part in enumerate(np.array_split(np.arange(n), max(len(families), -(-n // 16))))
        if len(part)
    ])  # fmt: skip
    if kind == "covered":
        return faces
    cells = faces.reshape(n, 4, 28, 4, 28, 3).swapaxes(2, 3).reshape(n, 16, 28, 28, 3)
    mixed = np.stack([part[rng.permutation(16)] for part in cells])
    return mixed.reshape(n, 4, 4, 28, 28, 3).swapaxes(2, 3).reshape(n, side, side, 3)


def cartoon_crops(n: int, seed: int = 0) -> np.ndarray:
    """(n, 112, 112, 3) uint8 line drawings of smiling faces: never shown to a description, to test it."""
    import cv2

    rng, crops = np.random.default_rng(seed), []
    for _ in range(n):
        image = np.full((CROP, CROP, 3), rng.integers(150, 255, 3), np.uint8)
        skin, black = tuple(int(x) for x in rng.integers(180, 255, 3)), (0, 0, 0)
        cv2.circle(image, (56, 58), 42, skin, -1)
        cv2.circle(image, (56, 58), 42, black, 2)
        for x in (40, 72):
            cv2.circle(image, (x, 48), 9, (255, 255, 255), -1)
            cv2.circle(image, (x + int(rng.integers(-3, 4)), 49), 4, black, -1)
        cv2.ellipse(image, (56, 74), (18, int(rng.integers(5, 14))), 0, 0, 180, black, 3)
        crops.append(image)
    return np.stack(crops)


def _faces(n: int, seed: int, kind: str, covered: bool) -> np.ndarray:
    """(n, 112, 112, 3) uint8 resting faces, with a hand before the mouth or without."""
    from fedet.synthetic.expressions import sample_rest
    from fedet.synthetic.families import family
    from fedet.synthetic.scene import auto_exposure, sample_scenes, uniform

    generator, draw = torch.Generator().manual_seed(seed), family(kind)
    look, scene = draw.sample_looks(n, generator), sample_scenes(n, generator)
    if covered:
        scene |= {
            "hand": torch.ones(n), "hand_x": uniform(n, -0.3, 0.3, generator),
            "hand_y": uniform(n, 0.35, 0.75, generator),
        }  # fmt: skip
    faces = draw.render(look, sample_rest(n, generator), auto_exposure(look, scene), CROP)
    return (faces.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def learn_known(
    net: FaceNet, people: int = 600, seed: int = 77, families: tuple[str, ...] = ("shapes",)
) -> Known:
    """The description of a network's vectors; a fifth of the people is held out for the threshold."""
    held, odd = max(16, people // 5), max(16, people // 6)
    faces = face_vectors(net, people - held, seed, families)
    held_out = face_vectors(net, held, seed + 1, families)
    strange = [vectors_of(net, strange_crops(kind, odd, seed + 2, families)).numpy() for kind in STRANGE]
    return describe(faces, strange, held_out, net.digest)


# ---------------------------------------------------------------- files


def save_known(folder: str | Path, known: Known) -> None:
    """Writes `novelty.safetensors` (about 80 kB) beside the face weights."""
    from safetensors.numpy import save_file

    tensors = {
        "mean": known.mean.astype(np.float16), "directions": known.directions.astype(np.float16),
        "variances": known.variances.astype(np.float32), "towards": known.towards.astype(np.float32),
        "centres": known.centres.astype(np.float32), "widths": known.widths.astype(np.float32),
        "numbers": np.array([known.rest, known.threshold], np.float32),
    }  # fmt: skip
    save_file(tensors, Path(folder) / FILE, metadata={"digest": known.digest})


def load_known(folder: str | Path | None = None) -> Known | None:
    """The description in a folder of face weights, the shipped one if None; None if there is none."""
    from safetensors import SafetensorError, safe_open

    path = (shipped("faces") if folder is None else Path(folder)) / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            parts = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get("digest", "")
        rest, threshold = parts["numbers"].tolist()
        names = ("mean", "directions", "variances", "towards", "centres", "widths")
        mean, directions, variances, towards, centres, widths = (parts[name] for name in names)
        return Known(mean, directions, variances, rest, towards, centres, widths, threshold, digest)
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not readable ({error}); run python -m fedet.novelty {path.parent}"
        ) from error


def known_of(net: FaceNet, weights: str | Path = "faces") -> tuple[Known | None, str]:
    """The description that belongs to a network, or None and the reason in words."""
    folder = shipped("faces") if str(weights) == "faces" else Path(weights)
    known = load_known(folder) if folder.is_dir() else None
    if known is None:
        return None, f"no {FILE} beside the face weights: unfamiliar faces are not marked"
    if known.digest != net.digest:
        return None, f"{FILE} belongs to other face weights; run python -m fedet.novelty {folder.name}"
    return known, ""


# ---------------------------------------------------------------- detections


def strange_frames(faces: FaceTrack, known: Known) -> np.ndarray:
    """(T,) bool, the frames whose face is out of what is known.

    A network that has a video's own statistics no longer tells that all of it is strange, a cartoon. So
    a frame also counts where the nearest of those read with the stored statistics is strange.
    """
    strange = known.distance(faces.vectors) > known.threshold
    if len(faces.stored):
        middles = (faces.stored_at[1:] + faces.stored_at[:-1]) / 2
        nearest = np.searchsorted(middles, np.arange(len(strange)))
        strange |= (known.distance(faces.stored) > known.threshold)[nearest]
    return strange & faces.mask


def unfamiliar_share(table: pd.DataFrame, faces: FaceTrack, known: Known, fps: float = 30.0) -> np.ndarray:
    """(N,) share of each detection's frames, 0..1, that are out of what is known."""
    strange = strange_frames(faces, known)
    first = (table["onset"].to_numpy(float) / faces.fps * fps).astype(int)
    last = np.ceil((table["offset"].to_numpy(float) + 1) / faces.fps * fps).astype(int)
    spans = [slice(min(a, len(strange) - 1), max(a + 1, b)) for a, b in zip(first, last, strict=True)]
    return np.array([strange[s].sum() / max(1, faces.mask[s].sum()) for s in spans])


def recompute(folder: str | Path, people: int = 600, seed: int = 77) -> Known:
    """Describes the face weights in a folder anew, with the families that they were trained on."""
    folder = Path(folder)
    families = pretraining_of(folder).get("families")
    known = learn_known(load_facenet(folder), people, seed, tuple(families or ("shapes",)))
    save_known(folder, known)
    return known


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else shipped("faces")
    made = recompute(place)
    print(f"{place / FILE}: threshold {made.threshold:.2f}, {(place / FILE).stat().st_size / 1000:.0f} kB")

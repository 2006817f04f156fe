"""How unlike the training faces a picture is, so that a detector may say that it does not know.

A network answers about everything, also about a cartoon. Two questions are put to a face's vector:
how far it lies from those of generated faces (Mahalanobis distance under probabilistic PCA:
Tipping and Bishop 1999), and how far towards those of a few things that are no plain face, such as
a hand before the mouth (Fisher's linear discriminant, one direction a thing; the idea of showing
outliers is Hendrycks' 2019). The strangest answer counts. `python -m fedet.training.training.novelty FOLDER`
computes all this anew for the face weights in FOLDER.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.faces.extraction import FaceTrack
from fedet.faces.network import WIDTH, FaceNet, shipped

FILE = "novelty.safetensors"
DIRECTIONS = 64  # main directions kept
SHARE = 0.99  # of held-out generated faces lie below the threshold
MOSTLY = 0.5  # a detection is out of what is known if this share of its frames is
STRANGE = ("covered", "noise", "tiles", "shuffled")  # what is shown beside faces


@dataclass(frozen=True, eq=False)
class FeatureDistribution:
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


# ---------------------------------------------------------------- generated faces, and what is none


# ---------------------------------------------------------------- files


def save_known(folder: str | Path, known: FeatureDistribution) -> None:
    """Writes `novelty.safetensors` (about 80 kB) beside the face weights."""
    from safetensors.numpy import save_file

    tensors = {
        "mean": known.mean.astype(np.float16), "directions": known.directions.astype(np.float16),
        "variances": known.variances.astype(np.float32), "towards": known.towards.astype(np.float32),
        "centres": known.centres.astype(np.float32), "widths": known.widths.astype(np.float32),
        "numbers": np.array([known.rest, known.threshold], np.float32),
    }  # fmt: skip
    save_file(tensors, Path(folder) / FILE, metadata={"digest": known.digest})


def load_known(folder: str | Path | None = None) -> FeatureDistribution | None:
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
        return FeatureDistribution(
            mean, directions, variances, rest, towards, centres, widths, threshold, digest
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not readable ({error}); run python -m fedet.training.novelty {path.parent}"
        ) from error


def known_of(net: FaceNet, weights: str | Path = "faces") -> tuple[FeatureDistribution | None, str]:
    """The description that belongs to a network, or None and the reason in words."""
    folder = shipped("faces") if str(weights) == "faces" else Path(weights)
    known = load_known(folder) if folder.is_dir() else None
    if known is None:
        return None, f"no {FILE} beside the face weights: unfamiliar faces are not marked"
    if known.digest != net.digest:
        return (
            None,
            f"{FILE} belongs to other face weights; run python -m fedet.training.novelty {folder.name}",
        )
    return known, ""


# ---------------------------------------------------------------- detections


def strange_frames(faces: FaceTrack, known: FeatureDistribution) -> np.ndarray:
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


def unfamiliar_share(
    table: pd.DataFrame, faces: FaceTrack, known: FeatureDistribution, fps: float = 30.0
) -> np.ndarray:
    """(N,) share of each detection's frames, 0..1, that are out of what is known."""
    strange = strange_frames(faces, known)
    first = (table["onset"].to_numpy(float) / faces.fps * fps).astype(int)
    last = np.ceil((table["offset"].to_numpy(float) + 1) / faces.fps * fps).astype(int)
    spans = [slice(min(a, len(strange) - 1), max(a + 1, b)) for a, b in zip(first, last, strict=True)]
    return np.array([strange[s].sum() / max(1, faces.mask[s].sum()) for s in spans])

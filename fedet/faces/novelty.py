"""How unlike the training faces a picture is, so that a detector may abstain.

A network has an answer for any picture, also for a cartoon. A face's vector is compared with those of
generated faces (Mahalanobis distance under probabilistic PCA: Tipping and Bishop 1999), and with those of
a few kinds of picture that are no plain face, such as a hand before the mouth (Fisher's linear
discriminant, one direction for each kind; the idea of training on outliers is Hendrycks' 2019). The
largest deviation counts. `python -m fedet.training.novelty FOLDER` computes these statistics anew for the
face weights in FOLDER.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.faces.network import WIDTH, FaceNet, shipped
from fedet.faces.vectors import FaceTrack, forget_pages
from fedet.files import save_tensors

FILE = "novelty.safetensors"
DIRECTIONS = 64  # principal directions
SHARE = 0.99  # of held-out generated faces lie below the threshold
MOSTLY_UNFAMILIAR = 0.5  # a detection is unfamiliar if more than this share of its frames is
UNFAMILIAR_KINDS = ("covered", "noise", "tiles", "shuffled")  # the pictures that are no plain face


@dataclass(frozen=True, eq=False)
class FeatureDistribution:
    """The distribution of the vectors of training faces."""

    mean: np.ndarray  # (512,)
    directions: np.ndarray  # (D, 512), orthonormal
    variances: np.ndarray  # (D,) along them
    rest: float  # variance along each of the other 512 - D
    towards: np.ndarray  # (K, 512) discriminants, towards each of `UNFAMILIAR_KINDS`
    centres: np.ndarray  # (1 + K,) median deviation of held-out faces, ...
    widths: np.ndarray  # (1 + K,) ... and from there to their `SHARE` quantile
    threshold: float  # larger distances are unfamiliar
    digest: str  # of the face weights that it belongs to

    def deviations(self, vectors: np.ndarray) -> np.ndarray:
        """(T, 512) -> (T, 1 + K): Mahalanobis distance, and the position along each discriminant."""
        away = np.asarray(vectors, np.float32) - self.mean
        along = away @ self.directions.T  # (T, D)
        outside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)  # of the span of the directions
        far = np.sqrt(((along**2 / self.variances).sum(1) + outside / self.rest) / WIDTH)
        return np.concatenate([far[:, None], away @ self.towards.T], axis=1)

    def distance(self, vectors: np.ndarray) -> np.ndarray:
        """(T, 512) vectors -> (T,) the largest deviation; around 0 for training faces."""
        out = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), 4096):
            chunk = slice(start, start + 4096)
            out[chunk] = ((self.deviations(vectors[chunk]) - self.centres) / self.widths).max(1)
            forget_pages(vectors)
        return out


# ---------------------------------------------------------------- files


def save_distribution(folder: str | Path, distribution: FeatureDistribution) -> None:
    """Writes `novelty.safetensors` (about 80 kB) next to the face weights."""
    import torch

    types = dict.fromkeys(("mean", "directions"), np.float16)
    types |= dict.fromkeys(("variances", "towards", "centres", "widths"), np.float32)
    tensors = {name: getattr(distribution, name).astype(dtype) for name, dtype in types.items()}
    tensors["numbers"] = np.array([distribution.rest, distribution.threshold], np.float32)
    values = {name: torch.from_numpy(array) for name, array in tensors.items()}
    save_tensors(Path(folder) / FILE, values, {"digest": distribution.digest})


def load_distribution(folder: str | Path | None = None) -> FeatureDistribution | None:
    """The distribution in a folder of face weights, the shipped one if None; None if the file is missing.

    Raises InputError if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = (shipped("faces") if folder is None else Path(folder)) / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get("digest", "")
        rest, threshold = tensors["numbers"].tolist()
        names = ("mean", "directions", "variances", "towards", "centres", "widths")
        mean, directions, variances, towards, centres, widths = (tensors[name] for name in names)
        return FeatureDistribution(
            mean, directions, variances, rest, towards, centres, widths, threshold, digest
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not readable ({error}); run python -m fedet.training.novelty {path.parent}"
        ) from error


def distribution_for(net: FaceNet, weights: str | Path = "faces") -> tuple[FeatureDistribution | None, str]:
    """The distribution that belongs to a network, or None and the reason."""
    folder = shipped("faces") if str(weights) == "faces" else Path(weights)
    distribution = load_distribution(folder) if folder.is_dir() else None
    if distribution is None:
        return None, f"no {FILE} next to the face weights: unfamiliar faces are not marked"
    if distribution.digest != net.digest:
        return None, f"{FILE} is of other face weights; run python -m fedet.training.novelty {folder.name}"
    return distribution, ""


# ---------------------------------------------------------------- detections


def unfamiliar_frames(faces: FaceTrack, distribution: FeatureDistribution) -> np.ndarray:
    """(T,) bool, the frames with a face that is unlike all training faces.

    After adaptation a cartoon no longer looks unfamiliar. So a frame also counts where the nearest of
    the frames read without adaptation is unfamiliar.
    """
    unfamiliar = distribution.distance(faces.vectors) > distribution.threshold
    if len(faces.stored):
        middles = (faces.stored_at[1:] + faces.stored_at[:-1]) / 2
        nearest = np.searchsorted(middles, np.arange(len(unfamiliar)))
        unfamiliar |= (distribution.distance(faces.stored) > distribution.threshold)[nearest]
    return unfamiliar & faces.mask


def unfamiliar_share(
    table: pd.DataFrame, faces: FaceTrack, distribution: FeatureDistribution, fps: float = 30.0
) -> np.ndarray:
    """(N,) share of each detection's frames, 0..1, that are unfamiliar."""
    unfamiliar = unfamiliar_frames(faces, distribution)
    first = (table["onset"].to_numpy(float) / faces.fps * fps).astype(int)
    last = np.ceil((table["offset"].to_numpy(float) + 1) / faces.fps * fps).astype(int)
    spans = [slice(min(a, len(unfamiliar) - 1), max(a + 1, b)) for a, b in zip(first, last, strict=True)]
    return np.array([unfamiliar[s].sum() / max(1, faces.mask[s].sum()) for s in spans])

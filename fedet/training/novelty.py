"""Feature statistics of training faces, for the novelty check of `fedet.faces.novelty`.

`python -m fedet.training.novelty FOLDER` computes them for the face weights in FOLDER.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fedet.errors import InputError
from fedet.faces.extraction import CROP
from fedet.faces.network import FaceNet, load_facenet, normalise, pretraining_of, shipped, vectors_of
from fedet.faces.novelty import (
    DIRECTIONS,
    FILE,
    SHARE,
    UNFAMILIAR_KINDS,
    FeatureDistribution,
    save_distribution,
)


def fit_distribution(
    faces: np.ndarray,
    strange: list[np.ndarray],
    held_out: np.ndarray,
    digest: str,
    directions: int = DIRECTIONS,
) -> FeatureDistribution:
    """The distribution of training vectors (N, 512).

    Args:
        strange: vectors (., 512) of each kind of picture that is no plain face.
        held_out: vectors (M, 512) of faces of other people; they fix the threshold.

    Raises InputError for fewer vectors than directions.
    """
    if len(faces) <= directions:
        raise InputError(
            f"{len(faces)} vectors of faces: more than {directions} are needed; draw more people"
        )
    mean = faces.mean(0)
    _, singular, axes = np.linalg.svd(faces - mean, full_matrices=False)
    variances, axes = singular**2 / (len(faces) - 1), axes[:directions]
    rest = max(float(variances[directions:].sum() / (faces.shape[1] - directions)), 1e-9)
    offsets = np.stack([vectors.mean(0) - mean for vectors in strange])  # (K, 512)
    along = offsets @ axes.T
    towards = (along / variances[:directions] - along / rest) @ axes + offsets / rest  # inverse covariance
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    k = 1 + len(strange)
    unscaled = FeatureDistribution(
        mean, axes, variances[:directions], rest, towards, np.zeros(k), np.ones(k), np.inf, digest
    )
    deviations = unscaled.deviations(held_out)
    centres = np.median(deviations, axis=0)
    widths = np.maximum(np.quantile(deviations, SHARE, axis=0) - centres, 1e-6)
    scaled = replace(unscaled, centres=centres, widths=widths)
    return replace(scaled, threshold=float(np.quantile(scaled.distance(held_out), SHARE)))


def face_vectors(net: FaceNet, people: int, seed: int, families: tuple[str, ...] = ("shapes",)) -> np.ndarray:
    """(4 x people, 512): of each person two pictures degraded as in pretraining, and the same two clean."""
    from fedet.training.pretraining import augment_images, draw_people

    generator, vectors = torch.Generator().manual_seed(seed), []
    for number, start in enumerate(range(0, people, 16)):
        n = min(16, people - start)
        images = draw_people(n, 2, 128, generator, families[number % len(families)])[0]
        edge = 6 + int(torch.randint(10, (1,), generator=generator))
        clean = images[:, :, edge:-edge, edge:-edge].float() / 255
        clean = torch.nn.functional.interpolate(clean, size=CROP, mode="bilinear", antialias=True)
        both = torch.cat([augment_images(images, 2, CROP, generator), clean])
        with torch.inference_mode():
            vectors.append(net(normalise(both)).float().numpy())
    return np.concatenate(vectors)


@torch.inference_mode()
def strange_crops(kind: str, n: int, seed: int, families: tuple[str, ...] = ("shapes",)) -> np.ndarray:
    """(n, 112, 112, 3) uint8 of something that is no plain face, see `UNFAMILIAR_KINDS`."""
    rng, side = np.random.default_rng(seed), CROP
    if kind == "noise":
        return rng.integers(0, 256, (n, side, side, 3), np.uint8)
    if kind == "tiles":
        return rng.integers(0, 256, (n, 7, 7, 3), np.uint8).repeat(side // 7, 1).repeat(side // 7, 2)
    if kind not in UNFAMILIAR_KINDS:
        raise InputError(f"kind {kind!r}: one of {', '.join(UNFAMILIAR_KINDS)}")
    faces = np.concatenate([
        _faces(len(part), seed + i, families[i % len(families)], kind == "covered")
        for i, part in enumerate(np.array_split(np.arange(n), max(len(families), -(-n // 16))))
        if len(part)
    ])  # fmt: skip
    if kind == "covered":
        return faces
    cells = faces.reshape(n, 4, 28, 4, 28, 3).swapaxes(2, 3).reshape(n, 16, 28, 28, 3)
    shuffled = np.stack([face[rng.permutation(16)] for face in cells])
    return shuffled.reshape(n, 4, 4, 28, 28, 3).swapaxes(2, 3).reshape(n, side, side, 3)


def cartoon_crops(n: int, seed: int = 0) -> np.ndarray:
    """(n, 112, 112, 3) uint8 drawings of smiling faces, to test a distribution: none is fitted with them."""
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


def network_distribution(
    net: FaceNet, people: int = 600, seed: int = 77, families: tuple[str, ...] = ("shapes",)
) -> FeatureDistribution:
    """The distribution of a network's vectors; a fifth of the people is held out for the threshold."""
    n_held_out, n_strange = max(16, people // 5), max(16, people // 6)
    faces = face_vectors(net, people - n_held_out, seed, families)
    held_out = face_vectors(net, n_held_out, seed + 1, families)
    strange = [
        vectors_of(net, strange_crops(kind, n_strange, seed + 2, families)).numpy()
        for kind in UNFAMILIAR_KINDS
    ]
    return fit_distribution(faces, strange, held_out, net.digest)


def describe_weights(folder: str | Path, people: int = 600, seed: int = 77) -> FeatureDistribution:
    """Writes the distribution for the face weights in a folder, from the families they were trained on."""
    folder = Path(folder)
    families = pretraining_of(folder).get("families")
    distribution = network_distribution(load_facenet(folder), people, seed, tuple(families or ("shapes",)))
    save_distribution(folder, distribution)
    return distribution


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else shipped("faces")
    fitted = describe_weights(path)
    print(f"{path / FILE}: threshold {fitted.threshold:.2f}, {(path / FILE).stat().st_size / 1000:.0f} kB")

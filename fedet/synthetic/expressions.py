"""What a generated face does: emotions as families of action units (AUs), speech, blinks, rest.

The recipes follow the usual FACS descriptions (Ekman, Friesen and Hager 2002). Some are shared
between emotions, so that recognition is not trivial; the mapping is our choice.
"""

import torch
from torch import Tensor

from fedet.intervals import AU_INDEX, AUS, EMOTIONS
from fedet.synthetic.scene import chance, uniform

# emotion -> (weight, {AU: intensity at the strongest}, both mouth and eyes as people show them)
RECIPES: dict[str, list[tuple[float, dict[int, float]]]] = {
    "positive": [
        (3, {12: 1.0}),
        (3, {6: 0.8, 12: 1.0}),
        (3, {6: 0.8, 12: 1.0, 25: 0.8}),
        (2, {12: 0.9, 25: 0.9}),
        (2, {6: 0.9, 12: 1.0, 25: 1.0, 26: 0.45}),
        (1, {6: 0.6, 7: 0.5, 12: 0.8}),
        (0.5, {12: 0.8, 24: 0.5}),
    ],
    "negative": [
        (3, {4: 1.0}),
        (3, {4: 1.0, 7: 0.7}),
        (2, {4: 0.8, 9: 0.9, 10: 0.5}),
        (1, {10: 1.0, 25: 0.4}),
        (1, {9: 1.0, 25: 0.3}),
        (2, {15: 1.0, 17: 0.7}),
        (2, {1: 0.8, 4: 0.7, 15: 0.8}),
        (1, {4: 0.9, 5: 0.6, 7: 0.6, 24: 0.7}),
        (1, {1: 0.8, 2: 0.6, 4: 0.7, 5: 0.7, 20: 0.9, 25: 0.6}),
        (1, {4: 0.8, 15: 0.8, 17: 0.8}),
        (0.5, {4: 0.9, 24: 0.6}),
        (0.5, {4: 0.8, 10: 0.7, 25: 0.6, 26: 0.4}),
    ],
    "surprise": [
        (3, {1: 1.0, 2: 1.0}),
        (3, {1: 1.0, 2: 1.0, 5: 0.8}),
        (3, {1: 0.9, 2: 0.9, 5: 0.7, 25: 0.8, 26: 0.8}),
        (2, {1: 0.8, 2: 0.8, 25: 0.7, 26: 0.5}),
        (2, {1: 1.0, 2: 1.0, 5: 1.0, 25: 1.0, 26: 1.0}),
        (1, {5: 0.9, 25: 0.7, 26: 0.7}),
    ],
    "others": [
        (2, {14: 1.0}),
        (2, {24: 1.0}),
        (2, {17: 1.0}),
        (2, {17: 0.8, 24: 0.8}),
        (1, {14: 0.7, 17: 0.6}),
        (1, {20: 1.0}),
        (1, {18: 0.9, 24: 0.4}),
        (0.4, {2: 0.9}),
        (0.4, {10: 0.5, 14: 0.6}),
    ],
}
# mouth shapes of speech; talking wanders between them
VISEMES: list[dict[int, float]] = [
    {}, {25: 0.5}, {25: 0.8, 26: 0.25}, {25: 1.0, 26: 0.5}, {18: 0.7, 25: 0.4}, {18: 0.9, 25: 0.6, 26: 0.2},
    {20: 0.35, 25: 0.6}, {24: 0.5}, {10: 0.25, 25: 0.6, 26: 0.15}, {12: 0.15, 25: 0.6}, {17: 0.3, 25: 0.2},
]  # fmt: skip
# how strongly a resting face may look as if these AUs were active, for a person who shows nothing
REST = {1: 0.2, 2: 0.2, 4: 0.4, 5: 0.2, 6: 0.2, 7: 0.35, 10: 0.1, 12: 0.25, 14: 0.2, 15: 0.4, 17: 0.25,
        24: 0.4, 25: 0.3, 43: 0.25}  # fmt: skip
ONE_SIDED = (2, 10, 12, 14)  # AUs that people also show on one side only


def pattern(aus: dict[int, float]) -> Tensor:
    """AU intensities as a vector (18,)."""
    vector = torch.zeros(len(AUS))
    for au, value in aus.items():
        vector[AU_INDEX[au]] = value
    return vector


def pick(emotion: str, generator: torch.Generator) -> Tensor:
    """One way to show an emotion, at full strength: AU intensities (2, 18), left and right side."""
    weights = torch.tensor([float(weight) for weight, _ in RECIPES[emotion]])
    recipe = RECIPES[emotion][int(torch.multinomial(weights, 1, generator=generator))][1]
    vector = pattern(recipe) * (1 + 0.5 * (torch.rand(len(AUS), generator=generator) - 0.5))
    sides = vector * (1 + 0.3 * (torch.rand(2, len(AUS), generator=generator) - 0.5))
    if emotion == "others" and float(torch.rand(1, generator=generator)) < 0.4:
        weak = int(torch.randint(2, (1,), generator=generator))
        sides[weak, [AU_INDEX[au] for au in ONE_SIDED]] *= 0.15
    return sides.clamp(0, 1)


def sample_rest(n: int, generator: torch.Generator) -> Tensor:
    """The resting looks of n people as AU intensities (n, 2, 18); never part of the truth."""
    limit = pattern(REST)
    rest = (
        limit
        * torch.rand(n, len(AUS), generator=generator)
        * chance(n * len(AUS), 0.4, generator).view(n, -1)
    )
    return rest[:, None].expand(n, 2, len(AUS)).clone()


def sample_mouths(n: int, generator: torch.Generator) -> Tensor:
    """Speaking mouths (n, 2, 18): mixtures of two visemes."""
    shapes = torch.stack([pattern(v) for v in VISEMES])
    first, second = torch.randint(len(shapes), (2, n), generator=generator)
    mixed = torch.lerp(shapes[first], shapes[second], torch.rand(n, 1, generator=generator))
    loud = uniform(n, 0.4, 1.1, generator)[:, None]
    return (mixed * loud)[:, None].expand(n, 2, len(AUS)).clamp(0, 1).clone()


def sample_states(n: int, generator: torch.Generator, neutral_first: int) -> tuple[Tensor, Tensor]:
    """Momentary states for pretraining; every `neutral_first`-th one shows no expression.

    Returns: AU intensities (n, 2, 18) and labels (n,): 0 nothing, 1..4 `EMOTIONS`, -1 a mixture
    without a name.
    """
    aus, labels = torch.zeros(n, 2, len(AUS)), torch.zeros(n, dtype=torch.long)
    kind = torch.rand(n, generator=generator)
    kind[::neutral_first] = 1
    named = torch.randint(len(EMOTIONS), (n,), generator=generator)
    strength = uniform(n, 0.12, 1, generator)
    for i in torch.nonzero(kind < 0.62)[:, 0].tolist():
        aus[i] = pick(EMOTIONS[named[i]], generator) * strength[i]
        labels[i] = named[i] + 1
    mixed = (kind >= 0.62) & (kind < 0.8)
    some = torch.rand(n, len(AUS), generator=generator) * chance(n * len(AUS), 0.2, generator).view(n, -1)
    aus[mixed] = some[mixed][:, None].expand(-1, 2, -1)
    labels[mixed] = -1
    talking = chance(n, 0.22, generator).bool() & ((kind >= 0.8) | (chance(n, 0.3, generator) > 0))
    aus[talking] = torch.maximum(aus[talking], sample_mouths(n, generator)[talking])
    blink = chance(n, 0.08, generator) * torch.rand(n, generator=generator)
    aus[:, :, AU_INDEX[43]] = torch.maximum(aus[:, :, AU_INDEX[43]], blink[:, None])
    return aus, labels

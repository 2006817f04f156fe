"""Who is who: the stretches of a video in which one face was followed, joined into people.

The network's vector shows whose face it is far more loudly than what the face does. Two stretches are
compared by the cosine similarity of their mean vectors, whitened by the spread of the training faces
(`FeatureDistribution`), and by place: a face that comes back where it was needs less likeness. The pair
that fits best is joined first; a person is never in two places at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedet.faces.detectors import Box
from fedet.faces.novelty import FeatureDistribution
from fedet.faces.vectors import FPS

SAME = 0.62  # likeness, and what place adds to it, from which on two stretches are one person
GOES_ON = 0.45  # added where one begins right where and when the other ends
BACK = 0.25  # added where one begins where the other ended, whenever
FAR = -0.1  # added where the picture did not change and one begins far from where the other just ended
GOES_ON_S = 1.5  # ... after at most this long
NEAR = 0.8  # box sizes; places that are closer are one place
GROWTH = 1.5  # sizes that differ by less are one size
TOGETHER_S = 0.3  # two stretches that overlap by more are two people
ALIKE = 0.62  # two people this alike are called look-alikes
STEADY = 8  # samples of a face by which its vector is known well; fewer count less


@dataclass
class Stretch:
    """One face, followed without a break."""

    first: int  # frames of the vectors, inclusive
    last: int
    first_box: Box
    last_box: Box
    vectors: list[np.ndarray] = field(default_factory=list)  # (512,) each, of some of its frames
    view: int = 0  # number of the camera's view, see `FacesAt`

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def whitened(vectors: np.ndarray, known: FeatureDistribution | None) -> np.ndarray:
    """(..., 512) vectors so that their cosine tells people apart: (..., C) of unit length.

    Without the distribution of the training faces the vectors are only made shorter: likeness then says
    less.
    """
    x = np.asarray(vectors, np.float64)
    if known is not None:
        x = (x - known.mean) @ known.directions.T / np.sqrt(known.variances)
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class WhoIsWho:
    """People, in order of appearance."""

    person: np.ndarray  # (N,) number of the person of each stretch
    doubts: tuple[str, ...]  # joins and look-alikes that deserve a look, a sentence each


def join_stretches(
    stretches: Sequence[Stretch], known: FeatureDistribution | None, fps: float = FPS
) -> WhoIsWho:
    """Joins the stretches of each person, the best pair first."""
    n = len(stretches)
    if not n:
        return WhoIsWho(np.zeros(0, int), ())
    mean = np.stack([np.mean(s.vectors, axis=0) for s in stretches])
    sums = np.stack([whitened(m, known) for m in mean]) * [[len(s.vectors)] for s in stretches]
    counts = np.array([len(s.vectors) for s in stretches], float)
    apart, place = _apart(stretches, fps), _place(stretches, fps)
    group, doubts = np.arange(n), []
    like = _likeness(sums, counts)
    while True:
        total = np.where(apart, -np.inf, like + place)
        np.fill_diagonal(total, -np.inf)
        a, b = sorted(divmod(int(total.argmax()), n))
        if not total[a, b] >= SAME:
            break
        if doubt := _doubt(stretches, total, like, a, b, fps):
            doubts.append(doubt)
        group[group == b] = a
        sums[a] += sums[b]
        counts[a] += counts[b]
        apart[a], place[a] = apart[a] | apart[b], np.maximum(place[a], place[b])
        apart[:, a], place[:, a] = apart[a], place[a]
        apart[b], apart[:, b] = True, True
        like[a] = like[:, a] = _likeness(sums[[a]], counts[[a]], sums, counts)[0]
    first = {g: min(s.first for s, k in zip(stretches, group, strict=True) if k == g) for g in set(group)}
    order = sorted(first, key=lambda g: (first[g], g))
    person = np.array([order.index(g) for g in group])
    return WhoIsWho(person, tuple(doubts))


def _likeness(
    one: np.ndarray, n_one: np.ndarray, other: np.ndarray | None = None, n_other: np.ndarray | None = None
) -> np.ndarray:
    """Cosine similarities (N, M); of faces seen a few times less, since their vectors are not yet steady."""
    other, n_other = (one, n_one) if other is None or n_other is None else (other, n_other)
    units = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (one, other)]
    known = np.sqrt(np.minimum(1, n_one / STEADY))[:, None] * np.sqrt(np.minimum(1, n_other / STEADY))
    return units[0] @ units[1].T * (0.5 + 0.5 * known)


def _apart(stretches: Sequence[Stretch], fps: float) -> np.ndarray:
    """(N, N) bool, True where two stretches are there at the same time, and so are two people."""
    first, last = (np.array([getattr(s, name) for s in stretches]) for name in ("first", "last"))
    shared = np.minimum(last[:, None], last) - np.maximum(first[:, None], first) + 1
    short = np.minimum(last - first + 1, (last - first + 1)[:, None])
    return shared > np.minimum(TOGETHER_S * fps, 0.5 * short)


def _place(stretches: Sequence[Stretch], fps: float) -> np.ndarray:
    """(N, N) what the places of two stretches say for or against their being one person."""
    first, last = (np.array([getattr(s, name) for s in stretches]) for name in ("first", "last"))
    begin, end = (
        np.array([[b.cx, b.cy, b.size] for b in (getattr(s, name) for s in stretches)])
        for name in ("first_box", "last_box")
    )
    away = np.hypot(*(end[:, None, :2] - begin[None, :, :2]).transpose(2, 0, 1)) / end[:, None, 2]
    growth = np.abs(np.log(end[:, None, 2] / begin[None, :, 2]))
    after_s = (first[None] - last[:, None]) / fps  # from the end of the row's to the begin of the column's
    view = np.array([s.view for s in stretches])
    same = (away <= NEAR) & (growth <= np.log(GROWTH)) & (view[:, None] == view)
    goes_on = same & (np.abs(after_s) <= GOES_ON_S)
    far = ~same & (after_s >= 0) & (after_s <= 0.5) & (view[:, None] == view) & (away > 2)
    value = np.where(goes_on, GOES_ON, np.where(same, BACK, np.where(far, FAR, 0.0)))
    forward = first[:, None] <= first[None]
    return np.where(forward, value, value.T)


def _doubt(
    stretches: Sequence[Stretch], total: np.ndarray, like: np.ndarray, a: int, b: int, fps: float
) -> str:
    """A sentence where another person would have fitted nearly as well, else ""."""
    rivals = total[[a, b]].copy()
    rivals[:, [a, b]] = -np.inf
    best = rivals.max()
    if best < SAME or total[a, b] - best > 0.08 or min(stretches[a].frames, stretches[b].frames) < fps:
        return ""
    rival = int(rivals.max(0).argmax())
    if like[a, rival] >= SAME and like[b, rival] >= SAME:
        return ""  # the three are joined anyhow, or the third is there at the same time and will not be
    at = max(stretches[a].first, stretches[b].first) / fps
    return f"the face from {at:.1f} s on was joined with one seen before, but another fits nearly as well"


def look_alikes(means: Sequence[np.ndarray], known: FeatureDistribution | None) -> list[tuple[int, int]]:
    """Pairs of people whose faces the network can hardly tell apart; (512,) mean vectors."""
    if known is None or len(means) < 2:
        return []
    units = whitened(np.stack(means), known)
    like = units @ units.T
    pairs = zip(*np.nonzero(np.triu(like >= ALIKE, 1)), strict=True)
    return [(int(a), int(b)) for a, b in pairs]

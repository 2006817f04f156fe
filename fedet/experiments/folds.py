"""Who is trained on, who is chosen on, who is tested: parts of subjects, and what guards them.

Three things stand between a left-out subject and what is chosen: a `Fold` refuses a subject in two
parts; while a method is fitted, records of other subjects are sealed and raise `LeakError` when
they are read; and `prove_no_leak` (see `fedet.experiments.cross_validation`) fits twice, once with the
left-out labels
scrambled, and demands the same outcome.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.windows import VideoFeatures


class LeakError(RuntimeError):
    """A choice was about to be made with data of a subject that it must not know."""


@dataclass(frozen=True)
class Fold:
    """Subjects of one fold; no subject may be in two parts."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]  # epoch, threshold and every other choice are made on them
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        owner: dict[str, str] = {}
        for part, subjects in parts.items():
            for subject in subjects:
                if subject in owner:
                    text = f"fold {self.name!r}: subject {subject!r} is in {owner[subject]} and in {part}"
                    raise LeakError(f"{text}; no subject may be in two parts")
                owner[subject] = part
            if not subjects:
                raise InputError(f"fold {self.name!r}: the part {part} is empty; more subjects are needed")


def make_folds(
    events: Mapping[str, int], folds: str | int = "loso", validation: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Leave-one-subject-out, or k parts of subjects; each with validation subjects of its own.

    Args:
        events: number of annotated events of each subject, also of the silent ones.
        folds: "loso", or the number of test parts.
        validation: share of the subjects that are not tested on which choices are made.
        seed: draws the validation subjects, and nothing else: test parts are the same for all seeds.
    Raises:
        InputError: too few subjects (three at least, two of them with events), or no such folds.
    """
    subjects = sorted(events)
    k = _count(folds, len(subjects))
    order = subjects
    if k < len(subjects):
        order = [subjects[i] for i in np.random.default_rng(k).permutation(len(subjects))]
    made = []
    for number in range(k):
        test = tuple(sorted(order[number::k]))
        name = test[0] if k == len(subjects) else f"{number + 1}of{k}"
        rest = [s for s in subjects if s not in test]
        chosen = _validation(rest, events, validation, (seed, number))
        train = tuple(s for s in rest if s not in chosen)
        made.append(Fold(name, train, chosen, test))
    return made


def _count(folds: str | int, n: int) -> int:
    text = str(folds).strip().lower()
    if not (text == "loso" or text.isdigit()):
        raise InputError(f"folds={folds!r}: 'loso' or a number of folds")
    if n < 3:
        raise InputError(f"{n} subjects: training, validation and test need three at least")
    k = n if text == "loso" else int(text)
    if not 2 <= k <= n:
        raise InputError(f"folds={folds}: with {n} subjects between 2 and {n}, or 'loso'")
    return k


def _validation(rest: list[str], events: Mapping[str, int], share: float, seed) -> tuple[str, ...]:
    """Subjects to choose on; at least one with events there, and one left to train on."""
    if not 0 < share < 1:
        raise InputError(f"validation share {share}: above 0 and below 1")
    telling = [s for s in rest if events[s]]
    if len(telling) < 2:
        raise InputError("fewer than two subjects with events are left for training and choosing")
    rng = np.random.default_rng(seed)
    n = min(max(1, round(share * len(rest))), len(rest) - 1)
    first, kept = (telling[i] for i in rng.permutation(len(telling))[:2])
    others = [s for s in rest if s not in (first, kept)]
    more = [others[i] for i in rng.permutation(len(others))[: n - 1]]
    return tuple(sorted([first, *more]))


# --- sealing


class Known(NamedTuple):
    """Whose frames and whose labels may be read."""

    frames: frozenset[str]
    labels: frozenset[str]


# Of this thread; None: everybody's, since outside of a fold the data belong to the caller.
_KNOWN: ContextVar[Known | None] = ContextVar("known subjects", default=None)


@contextmanager
def only(frames: Sequence[str], labels: Sequence[str]) -> Iterator[None]:
    """Inside the block sealed records tell these subjects' frames and labels, and no others."""
    token = _KNOWN.set(Known(frozenset(frames), frozenset(labels)))
    try:
        yield
    finally:
        _KNOWN.reset(token)


class SealedVideo:
    """A `VideoFeatures` that tells of its person only where `only` allows it.

    It guards against mistakes, not against intent. Subject, video and rate are free.
    """

    def __init__(self, record: VideoFeatures) -> None:
        self.record = record
        self.subject, self.video, self.fps = record.subject, record.video, record.fps

    @property
    def vectors(self) -> np.ndarray:
        self._check("frames")
        return self.record.vectors

    @property
    def mask(self) -> np.ndarray:
        self._check("frames")
        return self.record.mask

    @property
    def events(self) -> pd.DataFrame:
        self._check("labels")
        return self.record.events

    @property
    def faces(self):
        """Of a `fedet.training.face_crops.FaceVideo`; as `crops`."""
        self._check("frames")
        return self.record.faces

    @property
    def crops(self) -> np.ndarray:
        self._check("frames")
        return self.record.crops

    @property
    def spread(self) -> np.ndarray:
        self._check("frames")
        return self.record.spread

    def _check(self, what: str) -> None:
        known = _KNOWN.get()
        if known is not None and self.subject not in getattr(known, what):
            text = f"the {what} of {self.subject}/{self.video} were read where this fold must not know them"
            raise LeakError(f"{text}: subject {self.subject!r} is left out")


def sealed(records: Sequence[VideoFeatures | SealedVideo]) -> list[SealedVideo]:
    """The records, each under a seal; one that is sealed stays as it is."""
    return [r if isinstance(r, SealedVideo) else SealedVideo(r) for r in records]


def events_by_subject(records: Sequence[VideoFeatures]) -> dict[str, int]:
    """Number of annotated events of each subject."""
    counts: dict[str, int] = {}
    for record in records:
        counts[record.subject] = counts.get(record.subject, 0) + len(record.events)
    return counts


def of_subjects(records: Sequence[VideoFeatures], subjects: Sequence[str]) -> list[VideoFeatures]:
    """The records of these subjects, in order."""
    return [record for record in records if record.subject in subjects]

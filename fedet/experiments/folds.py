"""Training, validation and test subjects of each fold, and what guards them against leaks.

Four guards keep test subjects out of every choice: `refuse_same_twice` finds one person or one video under
two names, which no split by name can keep apart; a `Fold` refuses a subject in two parts; while a
method is fitted, records of other subjects are sealed and raise `LeakError` when they are read; and
`prove_no_leak` (see `fedet.experiments.cross_validation`) fits twice, once with the test labels
scrambled, and demands the same outcome.

No guard sees what was made from all labels beforehand and is read as a file: face weights tuned on these
people, a detector to start from that has learned from them, a word list or a size chosen by looking at them.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.windows import VideoFeatures


class LeakError(RuntimeError):
    """A choice was about to use data of a subject that is left out."""


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
                    raise LeakError(
                        f"fold {self.name!r}: subject {subject!r} is in {owner[subject]} and in {part}; no "
                        "subject may be in two parts"
                    )
                owner[subject] = part
            if not subjects:
                raise InputError(f"fold {self.name!r}: the part {part} is empty; more subjects are needed")


def make_folds(
    events: Mapping[str, int], folds: str | int = "loso", validation: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Leave-one-subject-out, or k parts of subjects; each fold with its own validation subjects.

    Args:
        events: number of annotated events of each subject, 0 included.
        folds: "loso", or the number of test parts.
        validation: share of the fold's other subjects that serve as validation subjects.
        seed: draws the validation subjects, and nothing else: test parts are the same for all seeds.
    Raises:
        InputError: too few subjects (three at least, two of them with events), or no such folds.
    """
    subjects = sorted(events)
    k = _count(folds, len(subjects))
    order = subjects
    if k < len(subjects):
        order = [subjects[i] for i in np.random.default_rng(k).permutation(len(subjects))]
    result = []
    for number in range(k):
        test = tuple(sorted(order[number::k]))
        name = test[0] if k == len(subjects) else f"{number + 1}of{k}"
        rest = [s for s in subjects if s not in test]
        chosen = _validation(rest, events, validation, (seed, number))
        train = tuple(s for s in rest if s not in chosen)
        result.append(Fold(name, train, chosen, test))
    return result


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
    """Validation subjects; at least one has events, and one with events is left to train on."""
    if not 0 < share < 1:
        raise InputError(f"validation share {share}: above 0 and below 1")
    with_events = [s for s in rest if events[s]]
    if len(with_events) < 2:
        raise InputError("fewer than two subjects with events are left for training and choosing")
    rng = np.random.default_rng(seed)
    n = min(max(1, round(share * len(rest))), len(rest) - 1)
    first, trained = (with_events[i] for i in rng.permutation(len(with_events))[:2])
    others = [s for s in rest if s not in (first, trained)]
    drawn = [others[i] for i in rng.permutation(len(others))[: n - 1]]
    return tuple(sorted([first, *drawn]))


# --- one person or one video under two names

ALIKE = 0.995  # correlation of two records over time, from which a warning is given


def refuse_same_twice(records: Sequence[VideoFeatures]) -> None:
    """Raises InputError where a person or a video has two names, or a video is listed twice.

    Names of subjects that differ only in case, in spaces or marks between, or in zeros before a number are
    taken for one person's. Videos are compared by what the detector reads: the same values, to the last
    digit, are one video; two that run almost alike (a copy that was encoded again) give a warning.
    """
    spelled: dict[str, str] = {}
    for name in sorted({record.subject for record in records}):
        other = spelled.setdefault(_spelling(name), name)
        if other != name:
            raise InputError(
                f"subjects {other!r} and {name!r}: one person or two? Write one person's name in one way, or "
                "give two people names that differ in more than case, marks and leading zeros"
            )
    seen: dict[bytes, VideoFeatures] = {}
    named: set[tuple[str, str]] = set()
    for record in records:
        name = f"{record.subject}/{record.video}"
        if (record.subject, record.video) in named:
            raise InputError(f"{name}: is listed twice; leave one of them out")
        named.add((record.subject, record.video))
        data = _frames(record)
        if not np.any(data):
            continue  # nothing was seen: two such videos need not be one
        first = seen.setdefault(blake2b(np.ascontiguousarray(data).tobytes()).digest(), record)
        if first is not record:
            raise InputError(
                f"{first.subject}/{first.video} and {name}: the same video under two names; leave one out, "
                "or a person may be in training and in test"
            )
    _warn_of_alike(records)


def _spelling(subject: str) -> str:
    """A name without what people vary when they write it: `s01`, `S1` and `s-01` are one."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_.-]+", "", subject.casefold()))


def _frames(record: VideoFeatures) -> np.ndarray:
    """What is read of a video: vectors, or the pictures of a `fedet.training.face_crops.FaceVideo`."""
    return record.vectors if hasattr(record, "vectors") else record.crops


def _warn_of_alike(records: Sequence[VideoFeatures]) -> None:
    """Warns of two videos that run almost alike, whatever the last digits."""
    of_vectors = [r for r in records if hasattr(r, "vectors") and len(r.vectors) >= 64]
    if len({r.vectors.shape[1] for r in of_vectors}) != 1:
        return
    curves = []
    for record in of_vectors:
        parts = np.array_split(np.where(record.mask[:, None], record.vectors, 0).astype(np.float32), 64)
        curve = np.stack([part.mean(0) for part in parts])
        curve -= curve.mean(0)
        curves.append(curve.ravel() / max(float(np.linalg.norm(curve)), 1e-9))
    alike = np.triu(np.stack(curves) @ np.stack(curves).T, 1)
    for i, j in np.argwhere(alike > ALIKE):
        one, other = (f"{of_vectors[k].subject}/{of_vectors[k].video}" for k in (i, j))
        warnings.warn(
            f"{one} and {other} run almost alike (correlation {alike[i, j]:.3f}): if they are one video, "
            "leave one out",
            stacklevel=3,
        )


# --- sealing


class Readable(NamedTuple):
    """Subjects whose frames and whose labels may be read."""

    frames: frozenset[str]
    labels: frozenset[str]


# Of this thread; None: all subjects, since outside of a fold the data belong to the caller.
_READABLE: ContextVar[Readable | None] = ContextVar("readable subjects", default=None)


@contextmanager
def only(frames: Sequence[str], labels: Sequence[str]) -> Iterator[None]:
    """Inside the block sealed records give these subjects' frames and labels, and no others."""
    token = _READABLE.set(Readable(frozenset(frames), frozenset(labels)))
    try:
        yield
    finally:
        _READABLE.reset(token)


class SealedVideo:
    """A `VideoFeatures` whose frames and labels can be read only where `only` allows it.

    It guards against mistakes, not against intent. Subject, video and rate are always readable.
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
    def opinion(self) -> np.ndarray | None:
        self._check("frames")
        return self.record.opinion

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
        readable = _READABLE.get()
        if readable is not None and self.subject not in getattr(readable, what):
            raise LeakError(
                f"the {what} of {self.subject}/{self.video} were read where this fold must not know them: "
                f"subject {self.subject!r} is left out"
            )


def sealed(records: Sequence[VideoFeatures | SealedVideo]) -> list[SealedVideo]:
    """The records as `SealedVideo`; a sealed one stays as it is."""
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

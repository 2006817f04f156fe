"""Names of the people in a video, and which of them count."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedet.errors import InputError
from fedet.faces.people.reading import People, Person

PLACES = {2: ("left", "right"), 3: ("left", "middle", "right")}
OFTEN = 0.5  # people seen for at least this share of the time of the one seen most may be named by place
TOGETHER = 0.5  # ... and seen at the same time for this share of their time
ORDERED = 0.95  # share of that time for which they must stand in one order
LARGEST, ALL = "largest", "all"


def parse_people(value: str | int) -> str | int:
    """Checks whom to follow: "largest", "all", or how many. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"people is {value!r}; 'largest', 'all' or a number from 1 on")
    text = str(value).strip().lower()
    if text in (LARGEST, ALL):
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise InputError(f"people is {value!r}; 'largest', 'all' or a number from 1 on")


def parse_names(text: str) -> dict[str, str] | list[str]:
    """Names from "Ann,Ben", in the order of the strip, or from "left=Ann,right=Ben". Raises InputError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"names {text!r}: an empty name; write them like Ann,Ben or left=Ann,right=Ben")
    if not any("=" in part for part in parts):
        return _distinct(parts, text)
    pairs = [tuple(half.strip() for half in part.partition("=")[::2]) for part in parts]
    if any("=" not in part or not all(pair) for part, pair in zip(parts, pairs, strict=True)):
        raise InputError(f"names {text!r}: write them all like left=Ann, or all like Ann,Ben")
    _distinct([new for _, new in pairs], text)
    _distinct([old for old, _ in pairs], text)
    return dict(pairs)


def _distinct(names: list[str], text: object) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"names {text!r}: {name!r} is there twice; give every person another name")
    return names


def name_people(
    people: People, limit: str | int = ALL, names: Mapping[str, str] | Sequence[str] = ()
) -> tuple[dict[str, Person], list[str]]:
    """People by name, those with a place from left to right first, then by appearance; and notes.

    Two or three people who are seen together for most of the time, in one order, are `left`, `middle` and
    `right` in the picture; all others `person-N`, by order of appearance.

    Args:
        limit: "all", or the number of people who count: those seen longest.
        names: instead of these: by the name otherwise given, or in order.

    Returns:
        The people who count, and a sentence for everybody who was left out or is doubtful.
    """
    persons = dict(enumerate(people.persons))
    chosen = sorted(persons, key=lambda n: (persons[n].seems_still, -persons[n].seconds, n))
    chosen = chosen[: None if limit == ALL else int(limit)]
    places = _places(persons, chosen)
    order = [*places, *sorted(set(persons) - set(places))]
    own = {n: places.get(n, f"person-{n + 1}") for n in order}
    notes = [
        f"{own[n]}, seen for {persons[n].seconds:.1f} s, was left out: only {limit} asked for"
        for n in order
        if n not in chosen
    ]
    order = [n for n in order if n in chosen]
    given, more = _given(names, [own[n] for n in order])
    named = {given.get(own[n], own[n]): persons[n] for n in order}
    if len(named) < len(order):
        raise InputError(f"names {names!r}: two people would get one name; give every person another name")
    still = [
        f"{name} never moves: perhaps a picture or a frozen image"
        for name, p in named.items()
        if p.seems_still
    ]
    return named, [*notes, *more, *still]


def person_at(people: People, face: str, video: object) -> Person:
    """The person whom `face` names: left, right or person-3 as `name_people` does, or a point in the picture.

    A point is x,y in pixels of the video, or as shares of its sides where both are at most 1; the person is
    the one whose face is there longest.

    Raises InputError naming the video where there is no such person.
    """
    named, _ = name_people(people)
    if face.strip() in named:
        return named[face.strip()]
    there = ", ".join(named) or "nobody"
    try:
        x, y = (float(part) for part in face.replace(";", ",").split(","))
    except ValueError:
        raise InputError(
            f"{video}: no face {face!r}; there are {there}, or give a point like 320,180"
        ) from None
    if 0 <= x <= 1 and 0 <= y <= 1:
        x, y = x * people.size[0], y * people.size[1]

    def frames(person: Person) -> int:
        away = np.abs(person.centres[:, :2] - (x, y)).max(1)
        return int((away <= person.centres[:, 2] / 2).sum())

    best = max(named.values(), key=frames, default=None)
    if best is None or not frames(best):
        raise InputError(
            f"{video}: no face at {face}; there are {there}: see fedet detect --people all --out"
        )
    return best


def _places(persons: Mapping[int, Person], chosen: Sequence[int]) -> dict[int, str]:
    """Places in the picture of the main people, from left to right; {} where they have none."""
    if not chosen:
        return {}
    longest = max(persons[n].seconds for n in chosen)
    main = [n for n in chosen if persons[n].seconds >= OFTEN * longest and not persons[n].seems_still]
    if len(main) not in PLACES:
        return {}
    masks = np.stack([persons[n].faces.mask for n in main])
    together = masks.all(0)
    if together.sum() < TOGETHER * masks.sum(1).min():
        return {}
    across = np.stack([persons[n].centres[together, 0] for n in main])  # (P, F)
    rank = np.argsort(np.median(across, axis=1), kind="stable")
    if (np.diff(across[rank], axis=0) > 0).all(0).mean() < ORDERED:
        return {}
    return {main[i]: place for i, place in zip(rank, PLACES[len(main)], strict=True)}


def _given(names: Mapping[str, str] | Sequence[str], own: list[str]) -> tuple[dict[str, str], list[str]]:
    """The names given by the own ones, and notes on names that nobody has."""
    if isinstance(names, Mapping):
        idle = [old for old in names if old not in own]
        notes = [
            f"no {old} to be called {names[old]}: there are {', '.join(own) or 'no people'}" for old in idle
        ]
        return {old: new for old, new in names.items() if old in own}, notes
    names = _distinct([str(name) for name in names], list(names))
    notes = [f"nobody is left to be called {name}" for name in names[len(own) :]]
    return dict(zip(own, names, strict=False)), notes

"""The XML of ELAN documents: tiers, annotations and their times, as fedet reads them.

Format: EAF 3.0, EAF_Annotation_Format_3.0_and_ELAN. Ids are any text. A time-aligned annotation has
two slots; slots between others may have no time: ELAN spreads them evenly. A dependent annotation has its
parent's span, or an even share of it (Symbolic_Subdivision).
"""

import math
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fedet.annotations.cells import read_bytes
from fedet.annotations.limits import MAX_ROWS, MAX_TIERS, MAX_TREE_BYTES, refuse_more
from fedet.errors import InputError

_UNITS_MS = {"milliseconds": 1.0, "PAL-frames": 40.0, "NTSC-frames": 1001 / 30}  # in one unit of time


@dataclass
class Annotation:
    """One annotation: `start` and `end` name time slots, or `parent` the annotation it depends on."""

    id: str
    text: str
    start: str = ""
    end: str = ""
    parent: str = ""
    previous: str = ""


@dataclass
class Tier:
    """A tier; `constraint` is the stereotype of its linguistic type, "" for an independent tier."""

    name: str
    parent: str = ""
    participant: str = ""
    constraint: str = ""
    kind: str = ""
    annotator: str = ""
    annotations: list[Annotation] = field(default_factory=list)


class Span(NamedTuple):
    """Start and end in milliseconds; `spread` if the file has no time for one of them."""

    start: float
    end: float
    spread: bool = False


@dataclass
class Document:
    """An ELAN document.

    Attributes:
        media: Attributes of each linked file, like MEDIA_URL.
        properties: Properties of the header.
        slots: Time slot -> milliseconds, None where it has no time; in the order of time.
        tiers: By name, in the order of the file.
        root: The XML that was read.
    """

    media: list[dict[str, str]] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    slots: dict[str, float | None] = field(default_factory=dict)
    tiers: dict[str, Tier] = field(default_factory=dict)
    root: ElementTree.Element | None = None

    def ancestors(self, tier: str) -> list[str]:
        """The tiers on which a tier depends, the nearest first."""
        chain: dict[str, None] = {}
        while (tier := self.tiers[tier].parent) in self.tiers and tier not in chain:
            chain[tier] = None
        return list(chain)

    def spans(self) -> dict[str, Span]:
        """Annotation -> its span, for those that have one."""
        spans: dict[str, Span] = {}
        order = {slot: i for i, slot in enumerate(self.slots)}
        for tier in self.tiers.values():
            spans |= self._aligned_spans(tier, order)
        for tier in sorted(self.tiers.values(), key=lambda t: len(self.ancestors(t.name))):
            spans |= _dependent_spans(tier, spans)
        return spans

    def _aligned_spans(self, tier: Tier, order: dict[str, int]) -> dict[str, Span]:
        aligned = [a for a in tier.annotations if a.start in order and a.end in order]
        aligned.sort(key=lambda a: order[a.start])
        chain = list(dict.fromkeys(slot for a in aligned for slot in (a.start, a.end)))
        times = self._spread(chain, order)
        spans = {}
        for a in aligned:
            start, end = times[a.start], times[a.end]
            if start is not None and end is not None:
                spans[a.id] = Span(start, end, None in (self.slots[a.start], self.slots[a.end]))
        return spans

    def _spread(self, chain: list[str], order: dict[str, int]) -> dict[str, float | None]:
        """The times of the slots of a tier; those without one are spread evenly between their neighbours."""
        times = {slot: self.slots[slot] for slot in chain}
        at = 0
        while at < len(chain):
            end = at
            while end < len(chain) and self.slots[chain[end]] is None:
                end += 1
            if end > at:
                before = times[chain[at - 1]] if at else self._neighbour(order[chain[at]], -1)
                last = order[chain[end - 1]]
                after = self.slots[chain[end]] if end < len(chain) else self._neighbour(last, 1)
                if before is not None and after is not None:
                    for i, slot in enumerate(chain[at:end], start=1):
                        times[slot] = before + (after - before) * i / (end - at + 1)
            at = end + 1
        return times

    def _neighbour(self, at: int, step: int) -> float | None:
        """The time of the nearest slot before (-1) or after (1) one that has a time."""
        times = list(self.slots.values())
        rest = times[:at][::-1] if step < 0 else times[at + 1 :]
        return next((time for time in rest if time is not None), None)


def _dependent_spans(tier: Tier, spans: dict[str, Span]) -> dict[str, Span]:
    """The spans of dependent annotations: that of the parent, or an even share."""
    groups: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in tier.annotations:
        if annotation.parent in spans:
            groups[annotation.parent].append(annotation)
    dependent = {}
    for parent, members in groups.items():
        start, end, spread = spans[parent]
        shares = len(members) if tier.constraint == "Symbolic_Subdivision" else 1
        for i, annotation in enumerate(_in_order(members)):
            first = start + (end - start) * (i % shares) / shares
            dependent[annotation.id] = Span(first, first + (end - start) / shares, spread or shares > 1)
    return dependent


def _in_order(members: list[Annotation]) -> list[Annotation]:
    """Annotations of one parent, each after the one that it names as previous."""
    follower_of = {a.previous: a for a in members if a.previous}
    ids = {a.id for a in members}
    chain = {a.id: a for a in members if a.previous not in ids}
    rest = list(chain.values())
    while rest and (follower := follower_of.get(rest.pop(0).id)):
        if follower.id not in chain:
            chain[follower.id] = follower
            rest.append(follower)
    return list(chain.values()) if len(chain) == len(members) else members


def read_document(path: Path) -> Document:
    """Reads the XML of an .eaf file.

    Raises:
        InputError: Not an ELAN file, or its times are not in milliseconds.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path, MAX_TREE_BYTES))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: not an ELAN file ({error})") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(f"{path}: not an ELAN file (its root is {root.tag[:60]!r}, not ANNOTATION_DOCUMENT)")
    header = root.find("HEADER")
    if header is None:
        raise InputError(f"{path}: not an ELAN file (it has no HEADER)")
    _times_in_ms(root, header, path)
    refuse_more(len(root.findall("TIER")), MAX_TIERS, "tiers", path)
    refuse_more(len(root.findall("TIER/ANNOTATION")), MAX_ROWS, "annotations", path)
    return Document(
        media=_media(header),
        properties={e.get("NAME", ""): e.text or "" for e in root.iterfind("HEADER/PROPERTY")},
        slots={
            slot.get("TIME_SLOT_ID", ""): _time(slot, path) for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
        },
        tiers=_tiers(root),
        root=root,
    )


def _media(header: ElementTree.Element) -> list[dict[str, str]]:
    """The linked files; those of ELAN 1 stand in MEDIA_FILE, several with a semicolon between."""
    linked = [dict(e.attrib) for e in header.iterfind("MEDIA_DESCRIPTOR")]
    old = (file.strip() for file in header.get("MEDIA_FILE", "").split(";"))
    return linked or [{"MEDIA_URL": file} for file in old if file]


def _times_in_ms(root: ElementTree.Element, header: ElementTree.Element, path: Path) -> None:
    """Replaces times in frames, as early versions of ELAN allow them, by milliseconds."""
    units = header.get("TIME_UNITS") or "milliseconds"
    if units not in _UNITS_MS:
        raise InputError(f"{path}: its times are {units}; save it anew in a current ELAN")
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT") if units != "milliseconds" else ():
        if (time := _time(slot, path)) is not None:
            slot.set("TIME_VALUE", str(round(time * _UNITS_MS[units])))
    header.set("TIME_UNITS", "milliseconds")


def _time(slot: ElementTree.Element, path: Path) -> float | None:
    text = (slot.get("TIME_VALUE") or "").strip()
    try:
        time = float(text) if text else None
        if time is not None and not math.isfinite(time):
            raise ValueError("not finite")
    except ValueError as error:
        name = slot.get("TIME_SLOT_ID")
        raise InputError(f"{path}: time slot {name!r} has the time {text!r}; correct it there") from error
    return time


def _tiers(root: ElementTree.Element) -> dict[str, Tier]:
    constraints = {
        e.get("LINGUISTIC_TYPE_ID", ""): e.get("CONSTRAINTS", "") for e in root.iter("LINGUISTIC_TYPE")
    }
    tiers: dict[str, Tier] = {}
    for element in root.iterfind("TIER"):
        kind = element.get("LINGUISTIC_TYPE_REF", "")
        tier = Tier(
            element.get("TIER_ID", ""),
            element.get("PARENT_REF", ""),
            element.get("PARTICIPANT", ""),
            constraints.get(kind, ""),
            kind,
            element.get("ANNOTATOR", ""),
            [_annotation(e) for e in element.iterfind("ANNOTATION/*")],
        )
        if tier.name in tiers:
            tiers[tier.name].annotations += tier.annotations
        tiers.setdefault(tier.name, tier)
    return tiers


def _annotation(element: ElementTree.Element) -> Annotation:
    value = element.find("ANNOTATION_VALUE")
    names = ("TIME_SLOT_REF1", "TIME_SLOT_REF2", "ANNOTATION_REF", "PREVIOUS_ANNOTATION")
    text = "".join(value.itertext()) if value is not None else ""
    return Annotation(element.get("ANNOTATION_ID", ""), text, *(element.get(name, "") for name in names))

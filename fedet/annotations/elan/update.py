"""Puts fedet's tiers into the XML of an ELAN document and leaves everything else in it as it is.

What somebody prepared stays: tiers, participants, linguistic types, vocabularies, properties and whatever
else a document holds. A tier of fedet's name that is there keeps its type, participant and vocabulary.
"""

import copy
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from fedet.annotations.elan.eaf import Annotation, Document, Tier
from fedet.annotations.elan.tiers import TIERS, base_tier, owner_of
from fedet.errors import InputError
from fedet.files import atomic_write
from fedet.intervals import EMOTIONS

EMOTION_TYPE, KIND_TYPE, REMARK_TYPE = "fedet emotion", "fedet expression type", "fedet remark"
VOCABULARIES = {  # linguistic type -> its vocabulary and the words that are always in it
    EMOTION_TYPE: ("fedet emotions", (*EMOTIONS, "unknown")),
    KIND_TYPE: ("fedet expression types", ("macro", "micro")),
}
EARLIER_TYPES = ("interval", "remark")  # of tiers that earlier versions of fedet wrote
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NO_LANGUAGE = {"LANG_ID": "und", "LANG_DEF": "http://cdb.iso.org/lg/CDB-00130975-001",
                "LANG_LABEL": "undetermined (und)"}  # fmt: skip
_CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps allowed within "
    "this interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to the same "
    "parent are ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are "
    "allowed",
}
_ORDER = [
    "LICENSE",
    "HEADER",
    "TIME_ORDER",
    "TIER",
    "LINGUISTIC_TYPE",
    "LOCALE",
    "LANGUAGE",
    "CONSTRAINT",
    "CONTROLLED_VOCABULARY",
    "LEXICON_REF",
    "REF_LINK_SET",
    "EXTERNAL_REF",
]  # of the elements of a document, as its schema has them


def write_document(document: Document, path: Path) -> None:
    """Writes fedet's tiers as EAF 3.0, into `document.root` if it has one; the file appears whole.

    Each annotation needs two slots with times, or a parent.

    Raises:
        InputError: Annotations of somebody else depend on one that is no longer there.
    """
    root = _skeleton() if document.root is None else copy.deepcopy(document.root)
    root.set("DATE", datetime.now().astimezone().isoformat(timespec="seconds"))
    old = _take_out(root, set(document.tiers), "fedet" in _properties(root))
    _add_types(root, document.tiers.values())
    _add_slots(root, document.slots)
    for tier in document.tiers.values():
        _add_tier(root, tier)
    _check_dependents(root, old, path)
    _set_header(root, document)
    ElementTree.indent(root, "\t")
    with atomic_write(path) as part:
        ElementTree.ElementTree(root).write(part, encoding="UTF-8", xml_declaration=True)


def known_annotations(root: ElementTree.Element | None) -> dict[tuple[str, float, float], Annotation]:
    """(tier, start, end in ms) -> the annotation there, so that unchanged ones keep id and time slots."""
    if root is None:
        return {}
    times = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iterfind("TIME_ORDER/TIME_SLOT")}
    known = {}
    for tier in root.iterfind("TIER"):
        for a in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            slots = [a.get(f"TIME_SLOT_REF{i}", "") for i in (1, 2)]
            start, end = (times.get(slot) for slot in slots)
            if start and end:
                key = tier.get("TIER_ID", ""), float(start), float(end)
                known[key] = Annotation(a.get("ANNOTATION_ID", ""), "", *slots)
    return known


def last_number(root: ElementTree.Element | None) -> int:
    """The highest number in an id of the document, 0 without one."""
    if root is None:
        return 0
    names = [
        *(e.get("ANNOTATION_ID", "") for e in root.iter()),
        *(e.get("TIME_SLOT_ID", "") for e in root.iter()),
    ]
    names.append(_properties(root).get("lastUsedAnnotationId", ""))
    return max((int(n) for name in names if (n := re.sub(r"\D", "", name)) and len(n) < 12), default=0)


def _skeleton() -> ElementTree.Element:
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "fedet", "FORMAT": "3.0", "VERSION": "3.0",
        "xmlns:xsi": _XSI, "xsi:noNamespaceSchemaLocation": _SCHEMA,
    })  # fmt: skip
    ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(root, "TIME_ORDER")
    return root


def _properties(root: ElementTree.Element) -> dict[str, str]:
    return {e.get("NAME", ""): e.text or "" for e in root.iterfind("HEADER/PROPERTY")}


def _insert(root: ElementTree.Element, element: ElementTree.Element) -> ElementTree.Element:
    """Adds an element to the document where the schema wants it."""
    rank = _ORDER.index(element.tag)
    places = [i for i, e in enumerate(root) if e.tag in _ORDER and _ORDER.index(e.tag) <= rank]
    root.insert(places[-1] + 1 if places else 0, element)
    return element


def _take_out(root: ElementTree.Element, written: set[str], is_fedets: bool) -> set[str]:
    """Empties fedet's tiers, and removes those that are neither written nor prepared by somebody; the ids
    of their annotations."""
    parents = {
        tier.get("PARENT_REF") for tier in root.iterfind("TIER") if not owner_of(tier.get("TIER_ID", ""))
    }
    own_types = (EMOTION_TYPE, KIND_TYPE, REMARK_TYPE, *EARLIER_TYPES * is_fedets)
    ids = set()
    for tier in root.findall("TIER"):
        name = tier.get("TIER_ID", "")
        if base_tier(owner_of(name) or name) not in TIERS:
            continue
        ids |= {e.get("ANNOTATION_ID", "") for e in tier.iter() if e.get("ANNOTATION_ID")}
        for annotation in tier.findall("ANNOTATION"):
            tier.remove(annotation)
        has_own_type = tier.get("LINGUISTIC_TYPE_REF") in own_types
        if name not in written and has_own_type and name not in parents:
            root.remove(tier)
        elif tier.get("LINGUISTIC_TYPE_REF") in EARLIER_TYPES and is_fedets:
            tier.attrib.pop("LINGUISTIC_TYPE_REF")
    used = {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iterfind("TIER")}
    for kind in root.findall("LINGUISTIC_TYPE"):
        if is_fedets and kind.get("LINGUISTIC_TYPE_ID") in set(EARLIER_TYPES) - used:
            root.remove(kind)
    slots = {e.get(f"TIME_SLOT_REF{i}") for e in root.iter("ALIGNABLE_ANNOTATION") for i in (1, 2)}
    order = root.find("TIME_ORDER")
    for slot in [] if order is None else order.findall("TIME_SLOT"):
        if slot.get("TIME_SLOT_ID") not in slots:
            order.remove(slot)  # type: ignore[union-attr]
    return ids


def type_of(tier: Tier) -> str:
    """The linguistic type that fedet gives a tier."""
    if not tier.parent:
        return EMOTION_TYPE
    return KIND_TYPE if tier.name.partition("@")[0].endswith("-type") else REMARK_TYPE


def _add_types(root: ElementTree.Element, tiers: Iterable[Tier]) -> None:
    """The linguistic types, constraints and vocabularies that the tiers need, those that are there kept."""
    known = {e.get("LINGUISTIC_TYPE_ID") for e in root.iterfind("LINGUISTIC_TYPE")}
    words: dict[str, dict[str, None]] = {}
    for tier in tiers:
        words.setdefault(type_of(tier), {}).update(dict.fromkeys(a.text for a in tier.annotations))
    for name in words:
        if name not in known:
            attributes = {"LINGUISTIC_TYPE_ID": name, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
            if name != EMOTION_TYPE:
                attributes |= {"TIME_ALIGNABLE": "false", "CONSTRAINTS": "Symbolic_Association"}
            if name in VOCABULARIES:
                attributes["CONTROLLED_VOCABULARY_REF"] = VOCABULARIES[name][0]
            _insert(root, ElementTree.Element("LINGUISTIC_TYPE", attributes))
        if name in VOCABULARIES:
            vocabulary, always = VOCABULARIES[name]
            _add_words(root, vocabulary, [*always, *words[name]])
    stereotypes = {e.get("STEREOTYPE") for e in root.iterfind("CONSTRAINT")}
    for name, description in _CONSTRAINTS.items():
        if name not in stereotypes:
            attributes = {"STEREOTYPE": name, "DESCRIPTION": description}
            _insert(root, ElementTree.Element("CONSTRAINT", attributes))


def _add_words(root: ElementTree.Element, name: str, words: Iterable[str]) -> None:
    """A controlled vocabulary with these words, without repeats; a person's own entries stay."""
    vocabulary = next((e for e in root.iterfind("CONTROLLED_VOCABULARY") if e.get("CV_ID") == name), None)
    if vocabulary is None:
        if not any(e.get("LANG_ID") == "und" for e in root.iterfind("LANGUAGE")):
            _insert(root, ElementTree.Element("LANGUAGE", _NO_LANGUAGE))
        vocabulary = _insert(root, ElementTree.Element("CONTROLLED_VOCABULARY", CV_ID=name))
        ElementTree.SubElement(vocabulary, "DESCRIPTION", LANG_REF="und")
    known = _entries(vocabulary)
    for word in dict.fromkeys(words):
        if word and word not in known:
            key = f"{re.sub(r'[^a-z]+', '-', name)}-{len(vocabulary)}"
            entry = ElementTree.SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=key)
            value = ElementTree.SubElement(entry, "CVE_VALUE", LANG_REF="und", DESCRIPTION="")
            value.text = word


def _entries(vocabulary: ElementTree.Element) -> dict[str, str]:
    """Word -> id of its entry."""
    entries: dict[str, str] = {}
    for entry in vocabulary.iterfind("CV_ENTRY_ML"):
        for value in entry.iterfind("CVE_VALUE"):
            entries.setdefault(value.text or "", entry.get("CVE_ID", ""))
    return entries


def _add_slots(root: ElementTree.Element, slots: Mapping[str, float | None]) -> None:
    """Adds time slots in the order of time; those without a time stay after their neighbour."""
    order = root.find("TIME_ORDER")
    if order is None:
        order = _insert(root, ElementTree.Element("TIME_ORDER"))
    keyed, last = [], 0.0
    for element in list(order):
        last = float(element.get("TIME_VALUE") or last)
        keyed.append((last, element))
    present = {element.get("TIME_SLOT_ID") for _, element in keyed}
    for name, time in ((n, t) for n, t in slots.items() if n not in present):
        attributes = {"TIME_SLOT_ID": name, "TIME_VALUE": f"{time:.0f}"}
        keyed.append((float(attributes["TIME_VALUE"]), ElementTree.Element("TIME_SLOT", attributes)))
    order[:] = [element for _, element in sorted(keyed, key=lambda pair: pair[0])]


def _add_tier(root: ElementTree.Element, tier: Tier) -> None:
    element = next((e for e in root.iterfind("TIER") if e.get("TIER_ID") == tier.name), None)
    if element is None:
        element = _insert(root, ElementTree.Element("TIER", TIER_ID=tier.name))
    types = {e.get("LINGUISTIC_TYPE_ID"): e for e in root.iterfind("LINGUISTIC_TYPE")}
    present = types.get(element.get("LINGUISTIC_TYPE_REF"))
    alignable = (
        present is not None and present.get("TIME_ALIGNABLE") == "true" and not present.get("CONSTRAINTS")
    )
    associated = present is not None and present.get("CONSTRAINTS") == "Symbolic_Association"
    if not (associated if tier.parent else alignable):
        element.set("LINGUISTIC_TYPE_REF", type_of(tier))
        present = types[type_of(tier)]
    element.attrib |= {"PARENT_REF": tier.parent} if tier.parent else {}
    if tier.participant and not element.get("PARTICIPANT"):
        element.set("PARTICIPANT", tier.participant)
    name = present.get("CONTROLLED_VOCABULARY_REF", "") if present is not None else ""
    vocabulary = next((e for e in root.iterfind("CONTROLLED_VOCABULARY") if e.get("CV_ID") == name), None)
    entries = {} if vocabulary is None else _entries(vocabulary)
    for annotation in tier.annotations:
        _add_annotation(element, annotation, entries.get(annotation.text, ""))


def _add_annotation(tier: ElementTree.Element, annotation: Annotation, entry: str) -> None:
    attributes = {"ANNOTATION_ID": annotation.id} | ({"CVE_REF": entry} if entry else {})
    if annotation.parent:
        tag, attributes = "REF_ANNOTATION", attributes | {"ANNOTATION_REF": annotation.parent}
    else:
        tag = "ALIGNABLE_ANNOTATION"
        attributes |= {"TIME_SLOT_REF1": annotation.start, "TIME_SLOT_REF2": annotation.end}
    outer = ElementTree.SubElement(tier, "ANNOTATION")
    inner = ElementTree.SubElement(outer, tag, attributes)
    ElementTree.SubElement(inner, "ANNOTATION_VALUE").text = annotation.text


def _check_dependents(root: ElementTree.Element, old: set[str], path: Path) -> None:
    """Raises InputError if an annotation depends on one of fedet's that is gone."""
    there = {e.get("ANNOTATION_ID") for e in root.iter() if e.get("ANNOTATION_ID")}
    for tier in root.iterfind("TIER"):
        for e in tier.iter("REF_ANNOTATION"):
            if e.get("ANNOTATION_REF") in old - there:
                raise InputError(
                    f"{path}: the tier {tier.get('TIER_ID')} depends on intervals that would go or move; "
                    "name another file or move it away"
                )


def _set_header(root: ElementTree.Element, document: Document) -> None:
    """The links and properties of the document, other properties kept."""
    header = root.find("HEADER")
    if header is None:
        header = _insert(root, ElementTree.Element("HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds"))
    others = [e for e in header if e.tag == "PROPERTY" and e.get("NAME") not in document.properties]
    links = [e for e in header if e.tag not in ("PROPERTY", "MEDIA_DESCRIPTOR")]
    header[:] = [ElementTree.Element("MEDIA_DESCRIPTOR", media) for media in document.media]
    header.extend(links)
    for name, text in document.properties.items():
        ElementTree.SubElement(header, "PROPERTY", NAME=name).text = text
    header.extend(others)

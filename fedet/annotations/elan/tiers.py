"""Names of fedet's tiers, of one person or several: `fedet`, `review-2`, `fedet@left`, `fedet-type@left`.

A tier holds one word for each interval, its emotion. Tiers that depend on it hold what else a coder reads:
expression type, score, action units, note. Where a video shows several people, each has tiers of their own,
named as ELAN names them: the tier, `@`, the participant.
"""

import re
from collections.abc import Mapping

TIERS = ("truth", "fedet", "review")
DEPENDENT = ("type", "score", "AU", "note")  # what the dependent tiers hold
_DEPENDENT = re.compile(rf"-({'|'.join(DEPENDENT)}|details)$")  # earlier versions wrote -details


def tier_of(cells: Mapping[str, str]) -> str:
    """`review` or `fedet` by source, `fedet` also for rows with a score, else `truth`."""
    source = cells.get("source", "").lower()
    if source.startswith("review"):
        return "review"
    return "fedet" if source.startswith("fedet") or cells.get("score") else "truth"


def base_tier(tier: str) -> str:
    """`truth` for truth, truth-2, Truth and truth@left."""
    return re.sub(r"-\d+$", "", tier.partition("@")[0]).lower()


def group_of(tier: str) -> str:
    """The tier without the number that overlapping intervals give it: `truth@left` for truth-2@left."""
    _, at, person = tier.partition("@")
    return base_tier(tier) + at + person


def source_of_tier(tier: str) -> str:
    """The source of an interval that a person adds to a tier."""
    return "" if base_tier(tier) == "truth" else base_tier(tier)


def dependent_tier(tier: str, kind: str) -> str:
    """`fedet-type@left` for fedet@left and type."""
    name, at, person = tier.partition("@")
    return f"{name}-{kind}{at}{person}"


def owner_of(tier: str) -> str:
    """The tier of which this one's name says that it depends on it, "" if it says nothing."""
    name, at, person = tier.partition("@")
    match = _DEPENDENT.search(name)
    return name[: match.start()] + at + person if match else ""

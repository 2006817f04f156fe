"""What people did in an ELAN file since fedet wrote it, and whether writing it again would lose that."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from fedet.annotations.captions import Cells, agreed_fps, cells_of
from fedet.annotations.cells import header_key
from fedet.annotations.elan import (
    TIERS,
    Interval,
    base_tier,
    head_of,
    interval_of,
    media_of,
    parsed,
    tier_of,
    tier_rows,
    written_in,
)
from fedet.annotations.spellings import FINE_TO_COARSE
from fedet.errors import InputError
from fedet.intervals import at_rate

_WAY_OUT = "name another file or move it away"


def check_replaceable(
    table: pd.DataFrame,
    path: str | Path,
    fps: float | None = None,
    durations: Mapping[str, float] | None = None,
) -> None:
    """Raises InputError if writing `table` over an .eaf file would lose what somebody did there.

    That is: tiers that are not fedet's; truth or review where the table has none; intervals that were
    added, moved or changed since fedet wrote the file, unless the table has them so, too; intervals of
    truth or review that were deleted, if the table brings them back; videos that were synchronised.

    Args:
        table: Canonical table that is to be written.
        path: The .eaf file that may be there.
        fps: Frames per second where the table has none.
        durations: Seconds of each video, where known: what ends behind it is read as ending there.
    """
    path = Path(path)
    if not path.is_file():
        return
    eaf, rows = parsed(path), cells_of(table, fps)
    own = _own_tiers(eaf, path, {tier_of(row) for row in rows})
    head = head_of(eaf)
    rate = float(agreed_fps(head.get("fps"), None, path) or (rows[0]["fps"] if rows else fps or 1000))
    length = (durations or {}).get(rows[0]["video"] if rows else "")
    last = round(length * rate) - 1 if length else None
    near = 0 if all(float(row["fps"]) == rate for row in rows) else 1
    base = {"video": "", "fps": str(rate), "subject": ""}
    for tier in TIERS:
        new = _at_rate([row for row in rows if tier in ("fedet", tier_of(row))], rate)
        was = Counter(written_in(head, tier))
        read = [tier_rows(eaf, t, base, path.name, 0)[0] for t in own if base_tier(t) == tier]
        now = Counter(interval_of(cells) for found in read for _, cells in found)
        for one in (now - was).elements():
            clipped = one if last is None else one._replace(offset=min(one.offset, last))
            if not any(_holds(other, clipped, tier, near) for other in new):
                raise InputError(_message(path, one, rate, tier, "added or changed"))
        gone = {one[:4] for one in was - now} - {one[:4] for one in now}
        back = gone & {one[:4] for one in new}
        if back and tier != "fedet":  # what a detector finds comes and goes
            raise InputError(_message(path, Interval(*min(back), ""), rate, tier, "deleted or changed"))


def _own_tiers(eaf, path: Path, kinds: set[str]) -> list[str]:
    """The filled tiers of a file, all of them fedet's; `kinds` are those that are to be written."""
    filled = [tier for tier, (aligned, remarks, *_) in eaf.tiers.items() if aligned or remarks]
    own = [t for t in filled if base_tier(t.removesuffix("-note").removesuffix("-details")) in TIERS]
    if foreign := [tier for tier in filled if tier not in own]:
        raise InputError(f"{path}: holds tiers that are not fedet's ({', '.join(foreign)}); {_WAY_OUT}")
    if lost := {t for t in map(base_tier, own) if t in ("truth", "review")} - kinds:
        text = f"{path}: holds intervals in the tier {min(lost)}, and what is to be written has none"
        raise InputError(f"{text}; {_WAY_OUT}")
    if any(origin for _, origin in media_of(eaf, path)):
        raise InputError(f"{path}: its videos were synchronised in ELAN (an offset); {_WAY_OUT}")
    return own


def _at_rate(rows: Iterable[Cells], rate: float) -> list[Interval]:
    """Intervals in frames of another rate."""
    intervals = []
    for cells in rows:
        one = interval_of(cells)
        onset, offset = at_rate([one.onset], [one.offset], float(cells["fps"]), rate)
        intervals.append(one._replace(onset=int(onset[0]), offset=int(offset[0])))
    return intervals


def _holds(new: Interval, old: Interval, tier: str, near: int) -> bool:
    """Whether an interval to be written tells all that one of the file does, to `near` frames. The type
    of a reviewed one follows from its duration."""
    alike = tier == "review" or old.expression_type in ("", new.expression_type)
    ends = abs(new.onset - old.onset), abs(new.offset - old.offset)
    return alike and max(ends) <= near and _coarse(new) == _coarse(old) and old.note.strip() in new.note


def _coarse(interval: Interval) -> str:
    key = header_key(interval.emotion)
    return FINE_TO_COARSE.get(key, key)


def _message(path: Path, interval: Interval, rate: float, tier: str, what: str) -> str:
    span = f"{interval.onset / rate:.2f} to {(interval.offset + 1) / rate:.2f} s"
    way_out = f"import it first, or {_WAY_OUT}" if tier == "review" else _WAY_OUT
    return f"{path}: the interval from {span} of the tier {tier} was {what} by somebody; {way_out}"

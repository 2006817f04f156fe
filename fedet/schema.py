"""The columns of the interval table, their types, and the spellings under which they are found."""

from collections.abc import Iterable

import pandas as pd

from fedet.cells import header_key

SCHEMA_VERSION = "1"
COLUMNS = [
    "schema_version", "subject", "video", "fps", "onset", "apex", "offset", "expression_type",
    "emotion", "emotion_self_report", "action_units", "score", "source",
]  # fmt: skip
EXTRA_COLUMNS = ["confidence", "note"]  # a coder's own; they stay at the right of the table
FRAMES = ("onset", "apex", "offset")
SECONDS = {"onset": "start_s", "apex": "apex_s", "offset": "end_s"}
_DTYPES = {c: "Int64" for c in FRAMES} | {"fps": "Float64", "score": "Float64"}
_ALIASES = {
    "subject": "sub subj subjectid subjectname subjectno participant participantid person",
    "video": "videoname videoid videofile clip clipname file filename",
    "fps": "framerate framespersecond videofps",
    "onset": "onsetframe startframe frameonset framestart",
    "apex": "apexframe peakframe frameapex",
    "offset": "offsetframe endframe frameoffset frameend",
    "start_s": "startsec startsecs startseconds startsecond onsets onsetsec onsetseconds",
    "apex_s": "apexsec apexseconds",
    "end_s": "endsec endsecs endseconds endsecond offsets offsetsec offsetseconds",
    "expression_type": "type typeidx expression exptype",
    "emotion": "emotions emotionlabel label emotionclass estimatedemotion",
    "emotion_self_report": "selfreport selfreported selfreportedemotion",
    "action_units": "au aus actionunit facs",
    "note": "notes comment comments remark remarks",
}


def _alias_table() -> dict[str, str]:
    names = [*COLUMNS, "start_s", "apex_s", "end_s", *EXTRA_COLUMNS]
    table = {key: name for name in _ALIASES for key in _ALIASES[name].split()}
    return table | {header_key(name): name for name in names}


_BY_KEY = _alias_table()


def dtype_of(column: str) -> str:
    """The dtype of a column of the table."""
    return _DTYPES.get(column, "string")


def empty_table() -> pd.DataFrame:
    """A canonical table without rows, every column with its dtype."""
    return pd.DataFrame({c: pd.Series(dtype=dtype_of(c)) for c in COLUMNS})


def columns_of(headers: Iterable[object]) -> dict[str, object]:
    """Canonical name -> header, for the headers that mean one; the exact name wins.

    >>> columns_of(["Video Name", "start_frame", "hair"])
    {'video': 'Video Name', 'onset': 'start_frame'}
    """
    found: dict[str, object] = {}
    for header in headers:
        name = _BY_KEY.get(header_key(header))
        if name and (name not in found or header == name):
            found[name] = header
    return found

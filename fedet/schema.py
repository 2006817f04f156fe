"""The columns of the interval table, their types, and the spellings under which they are found."""

from collections.abc import Iterable

from fedet.cells import header_key
from fedet.intervals import COLUMNS, EXTRA_COLUMNS

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

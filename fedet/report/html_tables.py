"""Tables of a notebook as the page shows them: one row of headings, words left, figures right."""

import html
import re

from fedet.evaluation.tables import HEADLINE

TABLE = re.compile(r"<table\b.*?</table>", re.S)
ROW = re.compile(r"<tr\b[^>]*>.*?</tr>", re.S)
CELL = re.compile(r"<(t[hd])\b([^>]*)>(.*?)</\1>", re.S)
FIGURE = re.compile(r"[-+\u2212]?[\d.,\s]+(e[-+]?\d+)?( ?%)?|[-\u2212]?inf|nan|-|\u2013|", re.I)
BRACKETS = re.compile(r"\[[^\]]*\]")
JOINT = re.compile(r"(?<=\w)([+_/])(?=\w)")  # where a long word may break
NAMES = HEADLINE | {
    # columns of the tables that the API gives
    "f1": "F1",
    "expression_type": "type",
    "action_units": "action units",
    "per_minute": "per minute",
    "shortest_s": "shortest, s",
    "median_s": "median, s",
    "longest_s": "longest, s",
    "start_s": "start, s",
    "end_s": "end, s",
    "other_onset": "onset of the other",
    "other_offset": "offset of the other",
    "other_emotion": "emotion of the other",
    "shared_s": "shared, s",
    "f1_after": "F1 after",
    "row_id": "row",
    "spotting_ap": "spotting AP",
    "detection_map": "detection mAP",
    "share_above": "share above 0",
    "alarms_talking": "false alarms a minute, talking",
    "alarms_else": "false alarms a minute, else",
    # of two coders
    "kappa_emotions": "kappa of the emotions, matched events",
    "kappa_events": "kappa of all events, unmatched ones included",
    "kappa_frames": "kappa of the frames",
    "onset_frames": "onsets apart, median frames",
    "offset_frames": "offsets apart, median frames",
    # habits of published code, by what each does
    "inclusive": "lengths without the + 1",
    "strict_greater": "overlap above the threshold",
    "one_to_one": "one prediction for several events",
    "dummy_false_positive": "a false alarm in silent videos",
    "skip_videos_without_events": "no videos without events",
    "uar_is_mean_precision": "UAR as a mean of precisions",
    "apex_mirror": "apex mirrored",
}


def tidy(text: str) -> str:
    """The tables that pandas wrote, made easier to read; all other HTML as it is.

    pandas puts the index's name into a second row of headings; it goes into the first one, where there is
    room. Columns that hold words get the class `words`, heading and index included; long words may break at
    a joint. Figures and columns have names for people, where NAMES knows them.
    """
    return TABLE.sub(lambda match: _tidied(match.group()), text)


def _tidied(table: str) -> str:
    if "dataframe" not in table.split(">", 1)[0] or "span=" in table:  # not of pandas, or of several levels
        return table
    rows = [match.group() for match in ROW.finditer(table)]
    merged = _merged(rows)
    words = _word_columns(merged)
    merged = {place: _named(row) for place, row in merged.items()}
    for row in merged:
        table = table.replace(rows[row], _marked(merged[row], words), 1)
    for row in set(range(len(rows))) - set(merged):
        table = table.replace(rows[row], "", 1)
    return table


def _merged(rows: list[str]) -> dict[int, str]:
    """Rows by their place; a row that held the index's name alone is left out, its name in the first."""
    kept = dict(enumerate(rows))
    if len(rows) < 2:
        return kept
    first, second = CELL.findall(rows[0]), CELL.findall(rows[1])
    heads = all(kind == "th" for kind, _, _ in first + second) and len(first) == len(second)
    if heads and first and not first[0][2].strip() and not any(c[2].strip() for c in second[1:]):
        kept[0] = rows[0].replace("<th></th>", f"<th>{second[0][2]}</th>", 1)
        del kept[1]
    return kept


def _word_columns(rows: dict[int, str]) -> set[int]:
    """Places of the columns with a cell below the heading that is no figure."""
    places = set()
    for row in list(rows.values())[1:]:
        for place, (_, _, content) in enumerate(CELL.findall(row)):
            plain = BRACKETS.sub("", html.unescape(re.sub(r"<[^>]*>", "", content))).strip()
            if not FIGURE.fullmatch(plain):
                places.add(place)
    return places


def _named(row: str) -> str:
    """Figures in headings by their names for people: "spotting F1" for spotting_f1."""
    return re.sub(r"(<th[^>]*>)(\w[\w.]*)(?=( change)?</th>)", lambda m: m[1] + NAMES.get(m[2], m[2]), row)


def _marked(row: str, words: set[int]) -> str:
    places = iter(range(len(CELL.findall(row))))

    def mark(match: re.Match) -> str:
        kind, rest, content = match.groups()
        own = next(places) in words and "class=" not in rest
        if own and "<" not in content:
            content = JOINT.sub(r"\1<wbr>", content)
        return f"<{kind}{' class=words' if own else ''}{rest}>{content}</{kind}>"

    return CELL.sub(mark, row)

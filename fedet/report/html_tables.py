"""Tables of a notebook for the page: one row of headings, words to the left, figures to the right."""

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
    # columns of the tables that the API returns
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
    # conventions of published code
    "inclusive": "lengths without the + 1",
    "strict_greater": "overlap above the threshold",
    "one_to_one": "one prediction for several events",
    "dummy_false_positive": "a false alarm in silent videos",
    "skip_videos_without_events": "no videos without events",
    "uar_is_mean_precision": "UAR as a mean of precisions",
    "typed": "macro finds macro only, micro finds micro only",
    "megc": "MEGC: typed, micro up to 16 frames at 30 fps",
    "strs-metric": "the program STRS-Metric",
    "activitynet": "ActivityNet",
    "coco": "COCO",
    "apex_mirror": "apex mirrored",
}


def tidy_tables(text: str) -> str:
    """The tables that pandas wrote, made easier to read; all other HTML unchanged.

    pandas puts the name of the index into a second row of headings; it moves into the first one, where there
    is room. Columns that hold words get the class `words`, heading and index included; long words may break
    at a joint. Headings that NAMES knows are replaced by readable ones.
    """
    return TABLE.sub(lambda match: _tidy_table(match.group()), text)


def _tidy_table(table: str) -> str:
    if "dataframe" not in table.split(">", 1)[0] or "span=" in table:  # not of pandas, or of several levels
        return table
    rows = [match.group() for match in ROW.finditer(table)]
    merged = _merge_headings(rows)
    words = _word_columns(list(merged.values()))
    for number, row in enumerate(rows):
        new = _mark_words(_name_headings(merged[number]), words) if number in merged else ""
        table = table.replace(row, new, 1)
    return table


def _merge_headings(rows: list[str]) -> dict[int, str]:
    """Rows by number; a second row that holds only the name of the index is merged into the first."""
    merged = dict(enumerate(rows))
    if len(rows) < 2:
        return merged
    first, second = CELL.findall(rows[0]), CELL.findall(rows[1])
    headings = all(kind == "th" for kind, _, _ in first + second) and len(first) == len(second)
    if headings and first and not first[0][2].strip() and not any(c[2].strip() for c in second[1:]):
        merged[0] = rows[0].replace("<th></th>", f"<th>{second[0][2]}</th>", 1)
        del merged[1]
    return merged


def _word_columns(rows: list[str]) -> set[int]:
    """Numbers of the columns with a cell below the heading that is no figure."""
    columns = set()
    for row in rows[1:]:
        for column, (_, _, content) in enumerate(CELL.findall(row)):
            text = BRACKETS.sub("", html.unescape(re.sub(r"<[^>]*>", "", content))).strip()
            if not FIGURE.fullmatch(text):
                columns.add(column)
    return columns


def _name_headings(row: str) -> str:
    """Headings by their readable names: "spotting F1" for spotting_f1."""
    return re.sub(r"(<th[^>]*>)(\w[\w.]*)(?=( change)?</th>)", lambda m: m[1] + NAMES.get(m[2], m[2]), row)


def _mark_words(row: str, words: set[int]) -> str:
    columns = iter(range(len(CELL.findall(row))))

    def mark(match: re.Match) -> str:
        kind, attributes, content = match.groups()
        marked = next(columns) in words and "class=" not in attributes
        if marked and "<" not in content:
            content = JOINT.sub(r"\1<wbr>", content)
        return f"<{kind}{' class=words' if marked else ''}{attributes}>{content}</{kind}>"

    return CELL.sub(mark, row)

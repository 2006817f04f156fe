"""Exports of ELAN, BORIS and spreadsheets in the forms that their versions and languages write."""

import json

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.annotations.captions import parse_caption
from fedet.annotations.cells import as_fps, as_seconds
from fedet.annotations.formats import read_labels, write_intervals
from fedet.annotations.table import label_table
from fedet.errors import InputError

OLD_EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2004-01-01T00:00:00+01:00" FORMAT="2.0" VERSION="2.0">
<HEADER MEDIA_FILE="{media}" TIME_UNITS="{units}"/><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="50"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="150"/></TIME_ORDER><TIER LINGUISTIC_TYPE_REF="d" TIER_ID="emo">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>happy</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="d" TIME_ALIGNABLE="true"/></ANNOTATION_DOCUMENT>"""


def spans(labels):
    return labels.events[["video", "onset", "offset"]].values.tolist()


@pytest.mark.parametrize(
    "media", ["file:///C:/data/talk.mpg", "C:\\data\\talk.mpg", "talk.mpg", "talk.mpg;talk.wav"]
)
def test_the_header_of_the_first_elan_names_its_video(tmp_path, media):
    path = tmp_path / "x.eaf"
    path.write_text(OLD_EAF.format(media=media, units="milliseconds"))
    assert read_labels(path, fps=100).events["video"].tolist() == ["talk"]


@pytest.mark.parametrize(("units", "fps"), [("PAL-frames", 25.0), ("NTSC-frames", 29.97)])
def test_times_of_elan_in_frames_are_the_frames_of_the_video(tmp_path, units, fps):
    path = tmp_path / "x.eaf"
    path.write_text(OLD_EAF.format(media="", units=units))
    labels = read_labels(path, fps=fps)
    assert spans(labels) == [["x", 50, 149]]
    write_intervals(labels.events, path)  # into the file that is there
    assert spans(read_labels(path)) == [["x", 50, 149]]


def elan_rows(write, units):
    """Two annotations, from 1 to 2 s and from 63 to 64.48 s, as ELAN exports them."""
    times = [(1000, 2000), (63000, 64480)]
    header = "\t".join(
        ["Ebene", "Teilnehmer", *(f"{name} - {unit}" for name in ("Anfang", "Ende") for unit in units), "T"]
    )
    rows = []
    for (start, end), text in zip(times, ("happy", "sad"), strict=True):
        cells = [write(time, unit) for time in (start, end) for unit in units]
        rows.append("\t".join(["emo", "Anna", *cells, text]))
    return header, rows


def written(ms, unit):
    seconds, rest = divmod(ms, 1000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return {
        "hh:mm:ss.ms": f"{clock}.{rest:03d}",
        "hh:mm:ss:ff (PAL)": f"{clock}:{rest * 25 // 1000:02d}",
        "ss.msec": f"{ms / 1000}",
        "msec": str(ms),
    }[unit]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("with_header", [True, False])
@pytest.mark.parametrize(
    "units",
    [
        ["hh:mm:ss.ms"],
        ["hh:mm:ss:ff (PAL)"],
        ["hh:mm:ss.ms", "ss.msec", "msec"],
        ["hh:mm:ss:ff (PAL)", "msec"],
    ],
)
def test_elan_exports_are_read_in_any_unit_with_a_header_or_without(tmp_path, units, with_header, encoding):
    header, rows = elan_rows(written, units)
    path = tmp_path / "talk.txt"
    path.write_text("\n".join([header] * with_header + rows) + "\n", encoding=encoding)
    assert spans(read_labels(path, fps=25)) == [["talk", 25, 49], ["talk", 1575, 1611]]


@pytest.mark.parametrize(
    ("begin", "end", "length"), [("1.0", "2.5", "1.5"), ("1000", "2500", "1500"), ("1,0", "2,5", "1,5")]
)
def test_an_elan_export_without_header_and_clocks_is_known_by_its_durations(tmp_path, begin, end, length):
    path = tmp_path / "talk.txt"
    path.write_text(f"emo\tAnna\t{begin}\t{end}\t{length}\thappy\n")
    assert spans(read_labels(path, fps=100)) == [["talk", 100, 249]]


def test_an_elan_export_of_several_files_keeps_their_videos_apart(tmp_path):
    rows = [
        f"emo\tAnna\t00:00:01.000\t00:00:02.000\thappy\t/data/{f}.eaf" for f in ("s1/talk", "s2/talk", "b")
    ]
    path = tmp_path / "all.txt"
    path.write_text("\n".join(rows) + "\n")
    labels = read_labels(path, fps=25)
    assert sorted(labels.events["video"]) == ["b", "s1_talk", "s2_talk"]
    assert sorted(labels.videos["video"]) == ["b", "s1_talk", "s2_talk"]


def test_events_of_boris_in_a_workbook_are_read_as_in_its_csv(tmp_path):
    header = [
        "Observation id",
        "Media file",
        "FPS",
        "Subject",
        "Behavior",
        "Behavior type",
        "Start (s)",
        "Stop (s)",
    ]
    row = ["o1", "d/a.mp4", 25, "Ann", "happy", "STATE", 1.0, 2.0]
    book = openpyxl.Workbook()
    book.active.append(header)
    book.active.append(row)
    book.save(tmp_path / "b.xlsx")
    (tmp_path / "b.csv").write_text("\n".join(",".join(map(str, cells)) for cells in (header, row)))
    found, expected = (read_labels(tmp_path / name).events for name in ("b.xlsx", "b.csv"))
    assert found.equals(expected) and found["onset"].tolist() == [25]


def test_the_table_of_a_released_set_is_read_as_its_folder_alone(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(
        ["Subject", "Filename", "InducementCode", "Onset", "Apex", "Offset", "Duration", "Type"]
    )
    book.active.append([6, "006_1_1", 1, 10, 12, 20, 11, "Micro - 1/2"])
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(InputError, match="name its folder"):
        read_labels(tmp_path / "x.xlsx")
    assert label_table(tmp_path / "x.xlsx").shape == (1, 8)


@pytest.mark.parametrize("text", ["90 s", "90s", "90,0 sec", "90000 ms", "1.5 min", "1:30", "00:01:30.000"])
def test_a_time_may_have_a_unit(text):
    assert as_seconds(text) == pytest.approx(90)


@pytest.mark.parametrize(
    "text", ["50", "50 fps", "50p", "50,00 Hz", "50 Bilder/s", "50 frames per second", "100/2"]
)
def test_a_rate_may_have_a_unit(text):
    assert as_fps(text) == pytest.approx(50)


@pytest.mark.parametrize("text", ["happy 83%", "happy 83 %", "happy (83%)", "happy 0.83", "happy 83,0%"])
def test_a_percentage_behind_a_label_is_a_score(text):
    assert parse_caption(text) == ({"emotion": "happy", "score": "0.83"}, "")


def eaf_of_tiers(path, *tiers):
    """An .eaf with a tier for each (name, parent, texts), one second each from 1 s on."""
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{1000 * i}"/>' for i in range(1, 6))
    body = ""
    for name, parent, texts in tiers:
        cells = ""
        for i, text in enumerate(texts, start=1):
            of = (
                f'ANNOTATION_REF="{parent}{i}"'
                if parent
                else f'TIME_SLOT_REF1="ts{i}" TIME_SLOT_REF2="ts{i + 1}"'
            )
            tag = "REF_ANNOTATION" if parent else "ALIGNABLE_ANNOTATION"
            cells += f'<ANNOTATION><{tag} ANNOTATION_ID="{name}{i}" {of}>'
            cells += f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></{tag}></ANNOTATION>"
        owner = f' PARENT_REF="{parent}"' if parent else ""
        kind = "s" if parent else "d"
        body += f'<TIER LINGUISTIC_TYPE_REF="{kind}" TIER_ID="{name}"{owner}>{cells}</TIER>'
    path.write_text(
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{body}"
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="d"/><LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="s" '
        'CONSTRAINTS="Symbolic_Association"/></ANNOTATION_DOCUMENT>'
    )
    return read_labels(path, fps=25).events


@pytest.mark.parametrize(
    "name", ["happy", "Emotion_happy", "expression: happy", "emo-happy@Anna", "Facial expression happy"]
)
def test_a_tier_named_after_an_emotion_holds_it(tmp_path, name):
    events = eaf_of_tiers(tmp_path / "x.eaf", (name, "", ["", "1"]), ("gaze", "", ["left"]))
    assert events["emotion"].tolist() == ["positive", "positive"] and events["onset"].tolist() == [25, 50]


def test_dependent_tiers_of_single_action_units_are_joined(tmp_path):
    tiers = [("AU12", "emo", ["C", ""]), ("emo_AU_06", "emo", ["2", "0"]), ("AU", "emo", ["4+7", ""])]
    events = eaf_of_tiers(tmp_path / "x.eaf", ("emo", "", ["happy", "sad"]), *tiers)
    assert events["action_units"].tolist() == ["AU12C+AU6B+4+7", "AU12"]


def project_of(path, films, events):
    observation = {
        "type": "MEDIA", "file": {"1": list(films)}, "events": events,
        "media_info": {"fps": dict.fromkeys(films, 25), "length": films},
    }  # fmt: skip
    behaviours = {"0": {"type": "State event", "code": "Expression", "category": "emotion"}}
    path.write_text(json.dumps({"observations": {"o": observation}, "behaviors_conf": behaviours}))
    return read_labels(path)


@given(st.lists(st.integers(2, 50), min_size=1, max_size=4), st.data())
def test_an_event_of_a_boris_project_lies_in_the_video_that_was_shown(tmp_path_factory, lengths, data):
    which = data.draw(st.integers(0, len(lengths) - 1))
    start = data.draw(st.integers(0, lengths[which] - 1))
    films = {f"/d/v{i}.mp4": length for i, length in enumerate(lengths)}
    at = sum(lengths[:which]) + start
    events = [[time, "", "Expression", "happy", "", None] for time in (at, at + 1)]
    labels = project_of(tmp_path_factory.mktemp("p") / "x.boris", films, events)
    assert spans(labels) == [[f"v{which}", 25 * start, 25 * start + 24]]
    assert labels.events["action_units"].isna().all()  # the emotion was chosen as a modifier


def test_an_event_that_runs_on_into_the_next_video_is_reported(tmp_path):
    events = [[time, "", "Expression", "happy", "", None] for time in (8, 12)]
    labels = project_of(tmp_path / "x.boris", {"a.mp4": 10, "b.mp4": 10}, events)
    assert not len(labels.events) and "first video" in labels.repairs["problem"].iloc[0]

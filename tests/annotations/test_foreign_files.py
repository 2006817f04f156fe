"""Files as BORIS, ELAN, MEGC and training code write them: what they mean here, and what must not be lost."""

import csv
import json
import math
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedet.annotations.formats import convert, read_intervals, read_labels, write_intervals
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import validate
from fedet.errors import InputError

FPS = 25.0
SUFFIXES = [".csv", ".megc.csv", ".boris.csv", ".boris", ".json", ".eaf", ".vtt"]
ANY_FOLDER = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spans(table):
    """(onset, offset, emotion) of each event, in order."""
    return [
        (int(a), int(b), str(e)) for a, b, e in zip(table.onset, table.offset, table.emotion, strict=True)
    ]


def read(path, **options):
    return read_intervals(path, fps=FPS, emotion_map=AS_WRITTEN, **options)


# --- BORIS


def tabular(path, rows, **columns):
    """Tabular events of rows (code, start, stop, media at start, media at stop), in the order of time."""
    fixed = {
        "Observation id": "o1", "Observation type": "Media file(s)", "Source": "player #1:v1.mp4",
        "Time offset (s)": "0.0", "Media duration (s)": "60.0", "FPS": "25.0", "Subject": "P1",
    } | columns  # fmt: skip
    moving = ["Behavior", "Behavior type", "Time", "Media file name", "Image index"]
    events = [(t, code, kind, film) for code, a, b, *films in rows
              for t, kind, film in ((a, "START", films[0]), (b, "STOP", films[1]))]  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fixed, *moving])
        for t, code, kind, film in sorted(events):
            writer.writerow([*fixed.values(), code, kind, t, film, round(t * FPS)])
    return path


@given(st.sets(st.integers(0, 5)))
@ANY_FOLDER
def test_not_found_is_no_video_wherever_boris_writes_it(tmp_path, gaps):
    films = ["Not found" if i in gaps else "v1.mp4" for i in range(6)]
    rows = [("happy", 2 * i, 2 * i + 1, films[2 * i], films[2 * i + 1]) for i in range(3)]
    labels = read_labels(tabular(tmp_path / "x.csv", rows), emotion_map=AS_WRITTEN)
    assert spans(labels.events) == [(50 * i, 50 * i + 24, "happy") for i in range(3)]
    assert set(labels.events["video"]) == set(labels.videos["video"]) == {"v1"}


@pytest.mark.parametrize("durations", ["60.0;30.0|90.0", "", "NA"])
def test_times_of_an_observation_count_on_through_the_videos_of_its_first_player(tmp_path, durations):
    source = "player #1:v1.mp4;v2.mp4|player #2:side.mp4"
    rows = [("happy", 1, 2, "v1.mp4", "v1.mp4"), ("sad", 61, 62, "v2.mp4", "v2.mp4")]
    columns = {"Source": source, "Media duration (s)": durations, "FPS": "25.0;25.0|50.0"}
    table, repairs = read(tabular(tmp_path / "x.csv", rows, **columns))
    first, second = ("v1", 25, 49, "happy"), ("v2", 25, 49, "sad")
    got = [(video, *span) for video, span in zip(table["video"], spans(table), strict=True)]
    assert got == ([first, second] if durations.startswith("60") else [first])
    assert len(got) + (repairs["action"] == "left out").sum() == 2


@pytest.mark.parametrize("modifier", ["None", "None|None", "", "none"])
def test_a_modifier_that_was_not_chosen_is_no_action_unit(tmp_path, modifier):
    table, _ = read(tabular(tmp_path / "x.csv", [("happy", 1, 2, "v1.mp4", "v1.mp4")], Modifiers=modifier))
    assert table["action_units"].isna().all() or (table["action_units"] == "").all()


def project(path, events, **observation):
    """A project of one observation of v1.mp4 and the state events happy and sad."""
    conf = {str(i): {"type": "State event", "code": code} for i, code in enumerate(["happy", "sad"])}
    info = {"fps": {"v1.mp4": 25.0}, "length": {"v1.mp4": 60.0}}
    seen = {"type": "MEDIA", "file": {"1": ["v1.mp4"]}, "media_info": info, "events": events} | observation
    path.write_text(json.dumps({"observations": {"o1": seen}, "behaviors_conf": conf}))
    return path


@given(st.permutations([(1.0, "happy"), (2.0, "happy"), (1.4, "sad"), (3.0, "sad")]))
@ANY_FOLDER
def test_a_project_pairs_starts_and_stops_in_any_order_of_its_list(tmp_path, order):
    path = project(tmp_path / "x.boris", [[time, "P1", code, "", ""] for time, code in order])
    labels = read_labels(path, emotion_map=AS_WRITTEN)
    assert spans(labels.events) == [(25, 49, "happy"), (35, 74, "sad")]
    assert labels.videos["duration_s"].tolist() == [60.0] and set(labels.events["subject"]) == {"P1"}


def test_a_project_keeps_what_can_be_read_and_names_the_rest(tmp_path):
    path = project(
        tmp_path / "x.boris", [[1, "P1", "happy", "", ""], "x", [2, "P1", "happy", "", ""], [3, "P1", "sad"]]
    )
    table, repairs = read(path)
    assert spans(table) == [(25, 49, "happy")] and len(repairs) >= 2


def test_pictures_are_counted_by_their_number(tmp_path):
    events = [[math.nan, "P1", "happy", "", "", 26], [math.nan, "P1", "happy", "", "", 50]]
    observation = {"type": "IMAGES", "file": {}, "directories_list": ["/d/v1"], "media_info": {}}
    table, _ = read(project(tmp_path / "x.boris", events, **observation))
    assert table["video"].tolist() == ["v1"] and table["emotion"].tolist() == ["happy"]
    assert int(table["offset"][0]) - int(table["onset"][0]) in (23, 24)


# --- ELAN


def eaf(path, slots, tiers, extra=""):
    """An ELAN file.

    Args:
        slots: Id -> ms or None.
        tiers: (name, parent, stereotype, annotations): (id, text, slot, slot) or (id, text, parent's id).
    """
    root = ElementTree.Element("ANNOTATION_DOCUMENT", FORMAT="3.0", VERSION="3.0")
    ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = ElementTree.SubElement(root, "TIME_ORDER")
    for name, ms in slots.items():
        value = {} if ms is None else {"TIME_VALUE": str(ms)}
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name} | value)
    kinds = {}
    for name, parent, stereotype, annotations in tiers:
        kinds[stereotype or "plain"] = stereotype
        dependent = {"PARENT_REF": parent} if parent else {}
        attributes = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": stereotype or "plain"} | dependent
        tier = ElementTree.SubElement(root, "TIER", attributes)
        for key, text, *places in annotations:
            holder = ElementTree.SubElement(tier, "ANNOTATION")
            if len(places) == 2:
                at = dict(zip(("TIME_SLOT_REF1", "TIME_SLOT_REF2"), places, strict=True))
                element = ElementTree.SubElement(holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": key} | at)
            else:
                at = {"ANNOTATION_ID": key, "ANNOTATION_REF": places[0]}
                element = ElementTree.SubElement(holder, "REF_ANNOTATION", at)
            ElementTree.SubElement(element, "ANNOTATION_VALUE").text = text
    for name, stereotype in kinds.items():
        constraint = {"CONSTRAINTS": stereotype} if stereotype else {}
        aligned = {"TIME_ALIGNABLE": "false" if stereotype.startswith("Symbolic") else "true"}
        ElementTree.SubElement(root, "LINGUISTIC_TYPE", {"LINGUISTIC_TYPE_ID": name} | aligned | constraint)
    text = ElementTree.tostring(root, encoding="unicode")
    path.write_text(
        text.replace("</ANNOTATION_DOCUMENT>", extra + "</ANNOTATION_DOCUMENT>"), encoding="utf-8"
    )
    return path


SLOTS = {"start": 1000, "middle": 2000, "later": 3000, "end": 3400}
SYMBOLIC = "Symbolic_Association"


@given(st.integers(0, 3), st.lists(st.sampled_from(["happy", "sad", "surprise"]), min_size=2, max_size=2))
@ANY_FOLDER
def test_emotions_and_types_are_read_however_deep_their_tiers_lie(tmp_path, depth, emotions):
    names = [f"level {i}" for i in range(depth)] + ["emo", "kind"]
    tiers = [("seg", "", "", [("s1", "1", "start", "middle"), ("s2", "2", "later", "end")])]
    above = ["s1", "s2"]
    for i, name in enumerate(names):
        texts = {"emo": emotions, "kind": ["micro", "micro"]}.get(name, ["x7", "x8"])
        ids = [f"{chr(97 + i)}{n}" for n in "xy"]
        notes = [(key, text, parent) for key, text, parent in zip(ids, texts, above, strict=True)]
        tiers.append((name, ["seg", *names][i], SYMBOLIC, notes))
        above = ids
    table, _ = read(eaf(tmp_path / "v1.eaf", SLOTS, tiers))
    assert spans(table) == [(25, 49, emotions[0]), (75, 84, emotions[1])]
    assert table["expression_type"].tolist() == ["micro", "micro"]


def test_a_divided_tier_shares_the_time_of_its_parent(tmp_path):
    parts = [("p1", "happy", "seg1"), ("p2", "sad", "seg1")]
    tiers = [
        ("seg", "", "", [("seg1", "x7", "start", "later")]),
        ("emo", "seg", "Symbolic_Subdivision", parts),
    ]
    table, _ = read(eaf(tmp_path / "v1.eaf", SLOTS, tiers))
    assert spans(table) == [(25, 49, "happy"), (50, 74, "sad")]


def test_slots_without_times_are_read_and_reported(tmp_path):
    slots = {"ts1": 1000, "ts2": None, "ts3": None, "ts4": 4000}
    events = [(f"a{i}", e, f"ts{i}", f"ts{i + 1}") for i, e in enumerate(["happy", "sad", "surprise"], 1)]
    table, repairs = read(eaf(tmp_path / "v1.eaf", slots, [("emotion", "", "", events)]))
    assert spans(table) == [(25, 49, "happy"), (50, 74, "sad"), (75, 99, "surprise")]
    assert (repairs["action"] == "repaired").any()


def test_ids_are_names_and_times_may_be_decimals(tmp_path):
    slots = {"start": 1000.5, "middle": "2000.0"}
    tiers = [("emotion", "", "", [("first", "happy", "start", "middle")])]
    assert spans(read(eaf(tmp_path / "v1.eaf", slots, tiers))[0]) == [(25, 49, "happy")]


@pytest.mark.parametrize("name", ["AU", "AUs", "FACS", "action units"])
def test_action_units_come_from_a_tier_below_the_emotions(tmp_path, name):
    tiers = [
        ("emotion", "", "", [("a1", "happy", "start", "middle")]),
        (name, "emotion", SYMBOLIC, [("b1", "6+12", "a1")]),
    ]
    table, _ = read(eaf(tmp_path / "v1.eaf", SLOTS, tiers))
    assert table["action_units"].tolist() == ["6+12"] and spans(table) == [(25, 49, "happy")]


@pytest.mark.parametrize("text", ["", "1", "b"])
def test_a_tier_called_after_an_emotion_holds_it(tmp_path, text):
    tiers = [("happy", "", "", [("a1", text, "start", "middle")])]
    table, _ = read(eaf(tmp_path / "v1.eaf", SLOTS, tiers))
    assert spans(table) == [(25, 49, "happy")] and table["score"].isna().all()


def elan_export(path, rows, unit):
    """Rows (tier, participant, start ms, end ms, text) as ELAN exports them."""

    def time(ms):
        if unit == "hh:mm:ss.ms":
            return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
        return str(ms) if unit == "msec" else f"{ms / 1000:.3f}"

    header = f"Tier\tParticipant\tBegin Time - {unit}\tEnd Time - {unit}\tAnnotation\n"
    lines = ["\t".join([tier, who, time(a), time(b), text]) for tier, who, a, b, text in rows]
    path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(1, 60), st.sampled_from(["happy", "sad"])), min_size=1
    ),
    st.sampled_from(["hh:mm:ss.ms", "ss.msec", "msec"]),
)
@ANY_FOLDER
def test_an_export_of_elan_holds_what_its_file_holds(tmp_path, events, unit):
    rows, now = [], 0
    for gap, length, emotion in events:
        rows.append((now + 40 * gap, now + 40 * (gap + length), emotion))
        now = rows[-1][1]
    text = elan_export(tmp_path / "v1.txt", [("emotion", "P1", a, b, e) for a, b, e in rows], unit)
    slots = {f"{side}{i}": ms for i, row in enumerate(rows) for side, ms in zip("se", row[:2], strict=True)}
    notes = [(f"a{i}", e, f"s{i}", f"e{i}") for i, (_, _, e) in enumerate(rows)]
    table, _ = read(text)
    assert spans(table) == spans(read(eaf(tmp_path / "v1.eaf", slots, [("emotion", "", "", notes)]))[0])
    assert len(table) == len(rows) and set(table["subject"]) == {"P1"}


def test_types_and_action_units_of_an_export_belong_to_the_emotions_of_the_same_times(tmp_path):
    rows = [("emotion", "P1", 1000, 2000, "happy"), ("type", "P1", 1000, 2000, "micro"),
            ("AU", "P1", 1000, 2000, "12"), ("AU", "P1", 5000, 6000, "4")]  # fmt: skip
    table, repairs = read(elan_export(tmp_path / "v1.txt", rows, "msec"))
    assert table[["expression_type", "action_units"]].to_numpy().tolist() == [["micro", "12"]]
    assert repairs["problem"].str.contains("1 annotations have the times of no emotion").any()


def test_what_somebody_prepared_in_elan_stays(tmp_path):
    table = validate(
        pd.DataFrame({"video": ["v1"], "fps": FPS, "onset": 25, "offset": 49, "emotion": "happy"})
    )[0]
    path = tmp_path / "v1.eaf"
    write_intervals(table, path)
    tier = '<TIER LINGUISTIC_TYPE_REF="interval" TIER_ID="coder2" PARTICIPANT="P9"/>'
    words = ('<CONTROLLED_VOCABULARY CV_ID="emo"><DESCRIPTION LANG_REF="und"/><CV_ENTRY_ML CVE_ID="c0">'
             '<CVE_VALUE LANG_REF="und">happy</CVE_VALUE></CV_ENTRY_ML></CONTROLLED_VOCABULARY>')  # fmt: skip
    text = path.read_text(encoding="utf-8")
    text = text.replace("<LINGUISTIC_TYPE ", tier + "<LINGUISTIC_TYPE ", 1)
    path.write_text(
        text.replace("</ANNOTATION_DOCUMENT>", words + "</ANNOTATION_DOCUMENT>"), encoding="utf-8"
    )
    for _ in range(2):
        write_intervals(pd.concat([table, table.assign(onset=60, offset=70)]), path)
    root = ElementTree.parse(path).getroot()
    (coder,) = [t for t in root.iter("TIER") if t.get("TIER_ID") == "coder2"]
    assert (coder.get("PARTICIPANT"), coder.get("LINGUISTIC_TYPE_REF")) == ("P9", "interval")
    assert [e.get("CVE_ID") for e in root.iter("CV_ENTRY_ML")][-1] == "c0"
    assert spans(read(path)[0]) == [(25, 49, "positive"), (60, 70, "positive")]


def test_a_tier_that_depends_on_fedets_keeps_its_intervals_or_the_file_is_left_alone(tmp_path):
    from pympi.Elan import Eaf

    path = tmp_path / "v1.eaf"
    frames = {"onset": [25, 75], "offset": [49, 90]}
    table = validate(pd.DataFrame({"video": "v1", "fps": FPS, **frames, "emotion": "happy"}))[0]
    write_intervals(table, path)
    document = Eaf(str(path))
    document.add_tier("intensity", "fedet remark", parent="truth")
    document.add_ref_annotation("intensity", "truth", 3100, "strong")
    document.to_file(str(path))
    more = validate(pd.DataFrame({"video": "v1", "fps": FPS, "onset": [5], "offset": [9], "emotion": "sad"}))[
        0
    ]
    write_intervals(pd.concat([more, table]), path)
    assert Eaf(str(path)).get_ref_annotation_data_for_tier("intensity")[0][:3] == (3000, 3640, "strong")
    before = path.read_bytes()
    with pytest.raises(InputError, match="the tier intensity depends on intervals that would go"):
        write_intervals(more, path)
    assert path.read_bytes() == before


def test_the_tiers_of_a_template_are_used_as_they_are(tmp_path):
    import shutil

    from pympi.Elan import Eaf

    template = Eaf()
    template.remove_tier("default")
    template.add_controlled_vocabulary("lab", ["happy", "sad"])
    template.add_linguistic_type("Lab emotions")
    template.add_tier("fedet", "Lab emotions", part="P1")
    template.add_tier("gaze", "Lab emotions", part="P1")
    template.to_file(str(tmp_path / "lab.etf"))
    table = validate(pd.DataFrame({"video": ["v1"], "fps": FPS, "onset": 25, "offset": 49, "emotion": "happy",
                                   "score": 0.8}))[0]  # fmt: skip
    write_intervals(table, tmp_path / "v1.eaf", template=tmp_path / "lab.etf")
    made = Eaf(str(tmp_path / "v1.eaf"))
    assert {"gaze", "fedet"} <= set(made.get_tier_names())
    assert made.tiers["fedet"][2]["LINGUISTIC_TYPE_REF"] == "Lab emotions"
    assert made.tiers["fedet"][2]["PARTICIPANT"] == "P1"
    assert "lab" in made.controlled_vocabularies
    shutil.copy(tmp_path / "lab.etf", tmp_path / "v2.eaf")  # the same where it is the file itself
    write_intervals(table.assign(video="v2"), tmp_path / "v2.eaf")
    assert "gaze" in Eaf(str(tmp_path / "v2.eaf")).get_tier_names()


def test_each_person_has_tiers_with_a_participant(tmp_path):
    from pympi.Elan import Eaf

    rows = {"video": "v1", "fps": FPS, "onset": [5, 5, 30], "offset": [20, 20, 40], "emotion": "happy",
            "subject": ["left", "right", "left"], "score": [0.5, 0.6, 0.7], "source": "fedet"}  # fmt: skip
    table = validate(pd.DataFrame(rows))[0]
    path = tmp_path / "v1.eaf"
    for _ in range(2):
        write_intervals(table, path)
    made = Eaf(str(path))
    people = {n: made.tiers[n][2]["PARTICIPANT"] for n in made.get_tier_names()}
    assert people == {f"{tier}@{who}": who for who in ("left", "right")
                      for tier in ("fedet", "fedet-type", "fedet-score")}  # fmt: skip
    pd.testing.assert_frame_equal(read(path)[0], table)


def test_a_file_of_another_video_is_left_alone(tmp_path):
    table = validate(pd.DataFrame({"video": ["v1"], "fps": FPS, "onset": 5, "offset": 9, "emotion": "sad"}))[
        0
    ]
    write_intervals(table, tmp_path / "v1.eaf")
    with pytest.raises(InputError, match="is about the video 'v1', and what is to be written about 'v2'"):
        write_intervals(table.assign(video="v2"), tmp_path / "v1.eaf")


# --- words of one's own, speech, and nothing left


def written(path, word):
    """A file of one interval, 1 to 2 s, with a word, as somebody else's program writes it."""
    name, s = path.name, path.suffix
    if s == ".eaf":
        return eaf(path, SLOTS, [("emotion", "", "", [("a1", word, "start", "middle")])])
    if name.endswith(".boris.csv"):
        return tabular(path, [(word, 1, 2, "v1.mp4", "v1.mp4")])
    if s == ".boris":
        project(path, [[1, "P1", word, "", ""], [2, "P1", word, "", ""]])
        path.write_text(path.read_text().replace('"code": "happy"', f'"code": "{word}"'))
    elif s == ".txt":
        elan_export(path, [("emotion", "P1", 1000, 2000, word)], "msec")
    elif s == ".json":
        entry = {"fps": 25, "duration": 60, "annotations": [{"segment": [1, 2], "label": word}]}
        path.write_text(json.dumps({"database": {"v1": entry}}))
    elif name.endswith(".megc.csv"):
        path.write_text(f"vid,pred_onset,pred_offset,type,emotion\nv1,25,49,mae,{word}\n")
    elif s == ".csv":
        path.write_text(f"video,onset,offset,emotion\nv1,25,49,{word}\n")
    else:
        head, mark = ("WEBVTT\n\n", ".") if s == ".vtt" else ("1\n", ",")
        path.write_text(f"{head}00:00:01{mark}000 --> 00:00:02{mark}000\n{word}\n")
    return path


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".srt", ".txt"])
def test_words_of_emotions_csv_count_in_every_format(tmp_path, suffix):
    (tmp_path / "emotions.csv").write_text("label,emotion\nfrohgemut,positive\n")
    table, _ = read_intervals(written(tmp_path / f"v1{suffix}", "frohgemut"), fps=FPS)
    assert spans(table) == [(25, 49, "positive")]


@pytest.mark.parametrize("suffix", [".eaf", ".vtt", ".srt", ".txt"])
@pytest.mark.parametrize("speech", ["Hello everybody", "I am so happy to see you all here today, my friends"])
def test_what_somebody_says_is_no_expression_and_nothing_left_is_an_error(tmp_path, suffix, speech):
    path = written(tmp_path / f"v1{suffix}", speech)
    with pytest.raises(InputError, match="none of its"):
        read_intervals(path, fps=FPS)
    with pytest.raises(InputError):
        convert(path, tmp_path / "out.csv", fps=FPS)
    assert not (tmp_path / "out.csv").exists()


# --- what is known of videos


@st.composite
def databases(draw):
    """ActivityNet JSON of videos whose names people may share; some have no events."""
    entries = {}
    pairs = st.tuples(st.sampled_from(["s1", "s2"]), st.sampled_from(["v1", "v2"]))
    for subject, video in draw(st.lists(pairs, min_size=1, unique=True)):
        frames = draw(st.integers(200, 4000))
        starts = draw(st.lists(st.integers(0, 4), unique=True, max_size=3))
        notes = [
            {"segment": [s, s + 1], "label": draw(st.sampled_from(["happy", "sad"]))} for s in sorted(starts)
        ]
        subset = draw(st.sampled_from(["training", "validation", "test", "fold 3"]))
        facts = {"subset": subset, "duration": frames / FPS, "fps": FPS, "frame": frames, "subject": subject}
        entries[f"{subject}_{video}"] = facts | {"video": video, "annotations": notes}
    return entries


def contents(database):
    """(subject, video) -> its facts and annotations."""
    facts = ("subset", "duration", "fps", "frame")
    return {
        (entry["subject"], entry.get("video", name)): (
            [entry[fact] for fact in facts],
            [(a["segment"], a["label"]) for a in entry["annotations"]],
        )
        for name, entry in database.items()
    }


@given(databases(), st.sampled_from([".json", ".boris", "{video}.eaf", "{video}.vtt"]))
@ANY_FOLDER
def test_subset_length_and_videos_without_events_survive(tmp_path_factory, entries, suffix):
    folder = tmp_path_factory.mktemp("x")
    (folder / "a.json").write_text(json.dumps({"database": entries}))
    (folder / "there").mkdir()
    way = folder / "there" / (suffix if "{" in suffix else f"x{suffix}")
    repairs = convert(folder / "a.json", way, overwrite=True)
    convert(way.parent if "{" in suffix else way, folder / "b.json")
    got = json.loads((folder / "b.json").read_text())["database"]
    assert contents(got) == contents(entries)
    assert not repairs["problem"].str.contains("lost").any()


@pytest.mark.parametrize("suffix", [".csv", ".megc.csv", ".boris.csv"])
def test_what_a_format_cannot_keep_is_reported(tmp_path, suffix):
    entry = {"subset": "test", "duration": 60, "fps": 25}
    notes = [{"segment": [1, 2], "label": "sad"}]
    entries = {"v1": entry | {"annotations": notes}, "v2": entry | {"annotations": []}}
    (tmp_path / "a.json").write_text(json.dumps({"database": entries}))
    lost = convert(tmp_path / "a.json", tmp_path / f"b{suffix}")["problem"].str.cat(sep=" ")
    assert "subset of 2 videos" in lost and "length of 2" in lost and "1 videos without events (v2" in lost


@given(
    st.sampled_from(
        [None, {}, {"segment": []}, {"segment": [1]}, {"segment": "1-2"}, {"start": 1, "end": 2}, 7, "x"]
    )
)
@ANY_FOLDER
def test_one_bad_annotation_leaves_the_others(tmp_path, bad):
    good = {"segment": [1, 2], "label": "happy"}
    entries = {"v1": {"fps": 25, "duration": 9, "annotations": [good, bad]}, "v2": 5}
    (tmp_path / "a.json").write_text(json.dumps({"database": entries}))
    table, repairs = read(tmp_path / "a.json")
    assert spans(table) == [(25, 49, "happy")]
    assert (("v1", 2) in set(zip(repairs["video"], repairs["row"].fillna(0), strict=True))) and "v2" in set(
        repairs["video"]
    )


# --- MEGC, formulas, several languages, overwriting


@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 90), st.sampled_from(["macro", "micro"])), min_size=1
    )
)
@ANY_FOLDER
def test_results_of_megc_there_and_back(tmp_path, rows):
    columns = ["video", "fps", "onset", "offset", "expression_type", "emotion"]
    table = pd.DataFrame([("v1", FPS, a, a + n, kind, "sad") for a, n, kind in rows], columns=columns)
    table = validate(table, emotion_map=AS_WRITTEN)[0]
    write_intervals(table, tmp_path / "x.megc.csv")
    with (tmp_path / "x.megc.csv").open() as file:
        assert {row["type"] for row in csv.DictReader(file)} <= {"mae", "me"}
    got, _ = read(tmp_path / "x.megc.csv")
    assert spans(got) == spans(table) and got["expression_type"].tolist() == table["expression_type"].tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("text", ["=1+1", "+4+7", "-x", "@me", "'=x", "'tis"])
def test_a_cell_that_a_spreadsheet_would_compute_comes_back(tmp_path, suffix, text):
    row = {"video": ["v1"], "fps": FPS, "onset": 25, "offset": 49, "emotion": text, "note": text}
    table = validate(pd.DataFrame(row), emotion_map=AS_WRITTEN)[0]
    write_intervals(table, tmp_path / f"v1{suffix}")
    if suffix.endswith(".csv"):
        with (tmp_path / f"v1{suffix}").open(newline="") as file:
            assert not any(cell[:1] in ("=", "+", "@") for line in csv.reader(file) for cell in line)
    got, _ = read(tmp_path / f"v1{suffix}")
    assert got["emotion"].tolist() == [text]
    assert suffix == ".megc.csv" or got["note"].tolist() == [text]


@pytest.mark.parametrize("language", ["en", "de", "pt-BR"])
def test_subtitles_in_a_language_belong_to_their_video(tmp_path, language):
    table, _ = read(written(tmp_path / f"talk.{language}.vtt", "happy"))
    assert table["video"].tolist() == ["talk"]


@pytest.mark.parametrize("fps", ["30000/1001", "25 fps", "29.97"])
def test_rates_as_people_write_them(tmp_path, fps):
    (tmp_path / "x.csv").write_text(
        f"video,fps,start_s,end_s,emotion\nv1,{fps},00:00:01.001,00:00:02.002,sad\n"
    )
    table, _ = read_intervals(tmp_path / "x.csv", emotion_map=AS_WRITTEN)
    rate = 30000 / 1001 if "/" in fps else float(fps.split()[0])
    assert table["fps"][0] == pytest.approx(rate) and spans(table)[0][0] == round(1.001 * rate)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_replaced_unless_overwrite_says_so(tmp_path, suffix):
    src, dst = written(tmp_path / "v1.csv", "happy"), tmp_path / f"out{suffix}"
    src.write_text(src.read_text().replace("happy", "sad"))
    convert(src, dst, fps=FPS)
    convert(src, dst, fps=FPS)  # the same intervals
    before = dst.read_bytes()
    src.write_text(src.read_text().replace("sad", "happy"))
    if suffix != ".eaf":  # of which fedet knows what it wrote itself
        with pytest.raises(InputError, match="overwrite"):
            convert(src, dst, fps=FPS)
    with pytest.raises(InputError, match="is the source itself"):
        convert(dst, dst, fps=FPS)
    assert dst.read_bytes() == before
    convert(src, dst, fps=FPS, overwrite=True)
    assert spans(read(dst)[0]) == [(25, 49, "happy")]
    convert(dst, dst, fps=FPS, overwrite=True)
    assert spans(read(dst)[0]) == [(25, 49, "happy")]

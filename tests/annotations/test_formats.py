"""Round trips through every format, and files as people and other programs write them."""

import json
import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedet.annotations.captions import parse_caption, to_frame, to_ms
from fedet.annotations.elan.eaf import read_document
from fedet.annotations.elan.tiers import TIERS
from fedet.annotations.elan.writer import write_eaf
from fedet.annotations.formats import convert, read_intervals, read_labels, write_intervals
from fedet.annotations.repairs import UNREAD_COLUMNS
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import all_videos, read_csv, validate, write_csv
from fedet.errors import InputError
from fedet.intervals import COLUMNS, EMOTIONS, empty_table
from fedet.video.writer import write_video

RATES = [23.976, 24000 / 1001, 25.0, 29.97, 30000 / 1001, 30.0, 50.0, 59.94, 60.0, 119.88, 200.0]
ONE_VIDEO = [".eaf", ".vtt"]
ALL = [".csv", ".boris.csv", ".json", *ONE_VIDEO]
KEYS = ["subject", "video", "onset", "apex", "offset", "expression_type", "emotion"]

# any text that a table may hold: commas, quotes, newlines, arrows, XML, emoji, control characters
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
texts = st.one_of(
    st.sampled_from(["", "a, b", 'say "so"', "x --> y", "<b>&amp;</b>", "1\n\n2", "a\r\nb", "]]>"]),
    words,
).map(str.strip)


@st.composite
def tables(draw, videos=("clip",), with_text=True):
    """Canonical tables; several events of a video may overlap or touch."""
    rows = []
    rates = {v: draw(st.sampled_from(RATES)) for v in videos}
    for _ in range(draw(st.integers(0, 6))):
        onset = draw(st.one_of(st.integers(0, 60), st.integers(0, 400_000)))
        offset = onset + draw(st.integers(0, 80))
        video = draw(st.sampled_from(videos))
        scored = draw(st.booleans())
        rows.append({
            "video": video, "fps": rates[video], "onset": onset, "offset": offset,
            "apex": draw(st.one_of(st.none(), st.integers(onset, offset))),
            "expression_type": draw(st.sampled_from(["macro", "micro"])),
            "emotion": draw(st.sampled_from([*EMOTIONS, "", "anger", "very odd"])),
            "score": draw(st.floats(0, 1)) if scored else None,
            "source": draw(st.sampled_from(["", "fedet", "review", "expert", "truth"])),
            "subject": draw(texts) if with_text else "s1",
            "emotion_self_report": draw(st.sampled_from(["", "negative", "fear"])),
            "action_units": draw(texts) if with_text else "4+7",
            "note": draw(texts) if with_text else "",
        })  # fmt: skip
    table = pd.DataFrame(rows, columns=[*COLUMNS, "note"]).astype(object)
    return validate(table, emotion_map=AS_WRITTEN)[0]


def same(got, want):
    """Equal in every column; a column of notes without any note may be missing."""
    for table in (got, want):
        if "note" in table and table["note"].isna().all():
            del table["note"]
    pd.testing.assert_frame_equal(got, want)


@pytest.mark.parametrize("suffix", ALL)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_round_trip_is_exact(tmp_path, suffix, table):
    path = tmp_path / f"clip{suffix}"
    path.unlink(missing_ok=True)  # another example's review is not overwritten
    write_intervals(table, path)
    got, repairs = read_intervals(path, emotion_map=AS_WRITTEN)
    same(got, table)
    assert "left out" not in set(repairs["action"])


@pytest.mark.parametrize("suffix", [".boris.csv", ".json"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(videos=("clip", "0101", "a, b"), with_text=False))
def test_several_videos_round_trip(tmp_path, suffix, table):
    path = tmp_path / f"all{suffix}"
    write_intervals(table, path)
    got, _ = read_intervals(path, emotion_map=AS_WRITTEN)
    same(got.sort_values(KEYS).reset_index(drop=True), table.sort_values(KEYS, ignore_index=True))


def _noted(table):
    """The column of notes, if there is any note."""
    return ["note"] if "note" in table and table["note"].notna().any() else []


@pytest.mark.parametrize("suffix", [".eaf", ".vtt", ".json", ".boris.csv"])
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(with_text=False))
def test_csv_there_and_back_through_convert(tmp_path, suffix, table):
    table = table.dropna(axis="columns", how="all").reindex(columns=[*COLUMNS, *_noted(table)])
    there, back = tmp_path / "in.csv", tmp_path / "back.csv"
    write_csv(table, there)
    for old in (tmp_path / f"mid{suffix}", back):
        old.unlink(missing_ok=True)
    convert(there, tmp_path / f"mid{suffix}")
    convert(tmp_path / f"mid{suffix}", back)
    got, want = (read_csv(p, emotion_map=AS_WRITTEN)[0] for p in (back, there))
    pd.testing.assert_frame_equal(got[KEYS], want[KEYS])
    if len(table):
        assert back.read_bytes() == there.read_bytes()


@given(st.integers(0, 2_000_000), st.one_of(st.sampled_from(RATES), st.floats(1, 900)))
def test_a_frame_survives_milliseconds(frame, fps):
    assert to_frame(to_ms(frame, fps), fps) == frame


def intervals(*rows, fps=30, video="clip"):
    """Canonical table of (onset, apex, offset, emotion[, more])."""
    table = pd.DataFrame([
        {"video": video, "subject": "s1", "fps": fps, "onset": r[0], "apex": r[1], "offset": r[2],
         "emotion": r[3], "expression_type": "macro"} | (r[4] if len(r) > 4 else {})
        for r in rows
    ])  # fmt: skip
    return validate(table)[0]


# ELAN


def tier_spans(path):
    """Tier -> its (start, end, value), by pympi."""
    from pympi.Elan import Eaf

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pympi warns of a format that it does not know
        eaf = Eaf(path)
    return {t: eaf.get_annotation_data_for_tier(t) for t in eaf.get_tier_names()}, eaf


def test_eaf_tiers_times_and_readable_values(tmp_path):
    table = intervals(
        (30, 40, 59, "positive"),
        (
            90,
            None,
            104,
            "negative",
            {"source": "fedet", "score": 0.8349, "expression_type": "micro"},
        ),
        (120, None, 149, "others", {"source": "review", "note": "turn & cough <?>"}),
    )
    path = tmp_path / "clip.eaf"
    write_eaf(table, path)
    spans, _ = tier_spans(path)
    assert spans["truth"] == [(1000, 2000, "positive")]
    assert spans["fedet"] == [(3000, 3500, "negative")]
    assert spans["review"] == [(4000, 5000, "others")]
    assert [v[2] for v in spans["review-note"]] == ["turn & cough <?>"]
    assert [v[2] for v in spans["fedet-type"]] == ["micro"] and [v[2] for v in spans["fedet-score"]] == [
        "0.83"
    ]
    types = [f"{tier}-type" for tier in TIERS]
    assert set(spans) == {*TIERS, *types, "review-note", "fedet-score"}  # no empty ones


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_eaf_fulfils_the_schema(tmp_path, table):
    path = tmp_path / "clip.eaf"
    write_eaf(table, path, media=tmp_path / "odd name #1.mp4")
    check_eaf(path)


def check_eaf(path):
    """The rules of EAF 3.0 that concern what we write: order, keys, references, no overlap."""
    root = ElementTree.parse(path).getroot()
    order = ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE",
             "CONSTRAINT", "CONTROLLED_VOCABULARY"]  # fmt: skip
    places = [order.index(e.tag) for e in root]
    assert root.tag == "ANNOTATION_DOCUMENT" and places == sorted(places)
    assert {"DATE", "AUTHOR", "VERSION", "FORMAT"} <= set(root.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", root.get("DATE"))
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is None or not re.search(r"[ #]", media.get("MEDIA_URL"))
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.find("TIME_ORDER")}
    assert list(slots.values()) == sorted(slots.values()) and len(slots) == len(root.find("TIME_ORDER"))
    types = {t.get("LINGUISTIC_TYPE_ID"): t for t in root.iter("LINGUISTIC_TYPE")}
    words = {v.get("CV_ID"): {e.get("CVE_ID"): e[0].text for e in v.iterfind("CV_ENTRY_ML")}
             for v in root.iter("CONTROLLED_VOCABULARY")}  # fmt: skip
    assert all(len(set(entries.values())) == len(entries) for entries in words.values())
    assert root.find("LANGUAGE") is not None or not words
    stereotypes = {c.get("STEREOTYPE") for c in root.iter("CONSTRAINT")}
    assert all(t.get("CONSTRAINTS") in {None, *stereotypes} for t in types.values())
    ids = [a.get("ANNOTATION_ID") for a in root.iter() if a.get("ANNOTATION_ID")]
    last = root.find("HEADER/PROPERTY[@NAME='lastUsedAnnotationId']").text
    assert len(set(ids)) == len(ids) and int(last) >= max([0, *(int(i[1:]) for i in ids)])
    names = [t.get("TIER_ID") for t in root.iter("TIER")]
    assert len(set(names)) == len(names)
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        assert tier.get("PARENT_REF") in {None, *names}
        aligned = types[tier.get("LINGUISTIC_TYPE_REF")].get("TIME_ALIGNABLE") == "true"
        end = 0
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            start = slots[annotation.get("TIME_SLOT_REF1")]
            assert aligned and end <= start < slots[annotation.get("TIME_SLOT_REF2")]
            end = slots[annotation.get("TIME_SLOT_REF2")]
        parents = {
            a.get("ANNOTATION_ID")
            for parent in root.iter("TIER")
            if parent.get("TIER_ID") == tier.get("PARENT_REF")
            for a in parent.iter()
        }
        vocabulary = words.get(types[tier.get("LINGUISTIC_TYPE_REF")].get("CONTROLLED_VOCABULARY_REF"))
        for annotation in tier.iterfind("ANNOTATION/*"):  # every value is a word of the vocabulary
            assert vocabulary is None or vocabulary[annotation.get("CVE_REF")] == annotation[0].text
            assert not (annotation[0].text or "").startswith('{"')
        assert len(tier), "an empty tier"
        for annotation in tier.iter("REF_ANNOTATION"):
            assert not aligned and annotation.get("ANNOTATION_REF") in parents
        assert all(len(a) == 1 for a in tier.iter("ANNOTATION"))


def test_eaf_overlaps_go_to_further_tiers(tmp_path):
    table = intervals((0, None, 50, "positive"), (10, None, 20, "negative"),
                      (15, None, 60, "others"), (51, None, 70, "surprise"))  # fmt: skip
    path = tmp_path / "clip.eaf"
    write_eaf(table, path)
    spans, _ = tier_spans(path)
    assert [len(spans[t]) for t in ("truth", "truth-2", "truth-3")] == [2, 1, 1]
    same(read_intervals(path)[0], table)


def test_eaf_links_its_video(tmp_path):
    film = tmp_path / "my videos" / "clip#1.mp4"
    film.parent.mkdir()
    write_video(film, [np.zeros((32, 32, 3), np.uint8)] * 30, 25)
    path = tmp_path / "out" / "clip.eaf"
    write_eaf(intervals((1, None, 9, "positive"), fps=25), path, media=film)
    media = tier_spans(path)[1].media_descriptors[0]
    assert media["MEDIA_URL"] == film.as_uri() and media["MIME_TYPE"] == "video/mp4"
    assert media["RELATIVE_MEDIA_URL"] == "./../my%20videos/clip%231.mp4"
    # without fedet's own property, rate and name come from the linked video
    path.write_text(re.sub(r'<PROPERTY NAME="fedet">.*?</PROPERTY>', "", path.read_text()))
    table, _ = read_intervals(path)
    assert list(table["fps"]) == [25.0] and list(table["onset"]) == [1]


def edited(path, change):
    """Applies `change` to the pympi document at `path`, as a coder would in ELAN."""
    from pympi.Elan import Eaf

    eaf = Eaf(path)
    change(eaf)
    eaf.to_file(path)


def test_eaf_edited_by_a_coder(tmp_path):
    table = intervals(
        (30, 40, 59, "positive", {"action_units": "12"}),
        (90, 95, 119, "negative", {"source": "fedet", "score": 0.9}),
    )
    path = tmp_path / "clip.eaf"
    write_eaf(table, path)

    def change(eaf):
        (key,) = eaf.tiers["truth"][0]
        start, end, _, svg = eaf.tiers["truth"][0][key]
        eaf.timeslots[end] = 1777  # 53.3 frames: 53, so the last one is 52
        eaf.tiers["truth"][0][key] = (start, end, "Surprise - clear", svg)
        eaf.add_tier("review", "fedet emotion")
        eaf.add_annotation("review", 6000, 6100, "happy micro")
        eaf.add_annotation("review", 7000, 7010, "??")
        eaf.add_tier("Anna")
        eaf.add_annotation("Anna", 8000, 9000, "disgust")
        eaf.add_tier("speech")
        eaf.add_annotation("speech", 100, 900, "hello there")

    edited(path, change)
    got, repairs = read_intervals(path)
    columns = ["onset", "apex", "offset", "emotion", "expression_type", "source"]
    assert got[columns].astype(object).where(got[columns].notna(), None).values.tolist() == [
        [30, 40, 52, "surprise", "macro", None],
        [90, 95, 119, "negative", "macro", "fedet"],
        [180, None, 182, "positive", "micro", "review"],
        [210, None, 210, None, "micro", "review"],
        [240, None, 269, "negative", "macro", "Anna"],
    ]
    assert got["action_units"].iloc[0] == "12" and got["score"].iloc[1] == 0.9
    assert got["note"].iloc[0] == "clear"
    text = " | ".join(repairs["problem"])
    assert "unknown text 'clear'" in text and "'speech' names no emotion" in text
    assert "shorter than a frame" in text and "read as positive" in text


def eaf_of(path, slots, tiers, media="", head=""):
    """An ELAN file as ELAN writes it: `slots` in ms, tiers (name, parent, annotations)."""
    times = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{ms}"/>' for i, ms in enumerate(slots))
    text = ""
    for name, parent, notes in tiers:
        kind = f'LINGUISTIC_TYPE_REF="b" PARENT_REF="{parent}"' if parent else 'LINGUISTIC_TYPE_REF="a"'
        text += f'<TIER TIER_ID="{name}" {kind}>'
        for id, value, *where in notes:
            tag = "REF_ANNOTATION" if parent else "ALIGNABLE_ANNOTATION"
            names = ("ANNOTATION_REF",) if parent else ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
            place = " ".join(f'{name}="{end}"' for name, end in zip(names, where, strict=True))
            text += f'<ANNOTATION><{tag} ANNOTATION_ID="{id}" {place}>'
            text += f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></{tag}></ANNOTATION>"
        text += "</TIER>"
    path.write_text(
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01" FORMAT="3.0" VERSION="3.0" xmlns:xsi='
        '"http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="EAFv3.0.xsd">'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="{head or "milliseconds"}">{media}</HEADER>'
        f"<TIME_ORDER>{times}</TIME_ORDER>{text}"
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="a" TIME_ALIGNABLE="true"/><LINGUISTIC_TYPE '
        'LINGUISTIC_TYPE_ID="b" TIME_ALIGNABLE="false" CONSTRAINTS="Symbolic_Association"/>'
        "</ANNOTATION_DOCUMENT>"
    )
    return path


TWO = ("face", "", [("a1", "macro", "ts0", "ts1"), ("a2", "micro", "ts2", "ts3")])


def test_eaf_emotions_in_a_tier_that_depends_on_the_intervals(tmp_path):
    feels = ("emotion", "face", [("a3", "happy", "a1"), ("a4", "sad", "a2")])
    words = ("remark", "face", [("a5", "nice smile", "a1")])
    path = eaf_of(tmp_path / "x.eaf", [1000, 2000, 3000, 3400], [TWO, feels, words])
    table, repairs = read_intervals(path, fps=25)
    assert list(table["expression_type"]) == ["macro", "micro"]
    assert list(table["emotion"]) == ["positive", "negative"]
    assert list(repairs.loc[repairs["action"] == "left out", "column"]) == ["remark"]


def test_eaf_frames_are_those_of_a_video_that_begins_late(tmp_path):
    film = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///d/{}" MIME_TYPE="x"{}/>'
    late = film.format("b.mp4", ' TIME_ORIGIN="2000"')
    slots = [1000, 2000, 3000, 3400]
    both = film.format("a.wav", "") + film.format("a.mp4", "") + late
    for media, video, first in ((late, None, 75), (both, None, 25), (both, "b", 75)):
        path = eaf_of(tmp_path / "x.eaf", slots, [TWO], media)
        table, repairs = read_intervals(path, fps=25, video=video)
        assert table["onset"].iloc[0] == first
        assert repairs["problem"].str.contains("video begins 2 s late").any() == (first == 75)
    assert table["video"].iloc[0] == "b"


def test_eaf_times_that_are_none_are_told(tmp_path):
    table, repairs = read_intervals(eaf_of(tmp_path / "x.eaf", [2000, 1000, 3000, 3400], [TWO]), fps=25)
    assert list(table["onset"]) == [75] and "ends before it begins" in set(repairs["problem"])
    path = eaf_of(tmp_path / "x.eaf", [1, 2, 3, 4], [TWO], head="weeks")
    with pytest.raises(InputError, match="its times are weeks"):
        read_intervals(path, fps=25)
    for told in ('"fast"', "0", "[25]"):
        head = f'<PROPERTY NAME="fedet">{{"fps": {told}}}</PROPERTY>'
        with pytest.raises(InputError, match="x.eaf: tells fps=.*not a number above 0"):
            read_intervals(eaf_of(tmp_path / "x.eaf", [1, 2, 3, 4], [TWO], head), fps=25)


def test_eaf_tier_of_speech_is_not_one_of_emotions(tmp_path):
    path = tmp_path / "clip.eaf"
    write_eaf(intervals((30, None, 59, "positive")), path)
    tiers = {
        "speech": ["I was so happy", "smile", "no pain, no gain", "and the other one?"],
        "Anna": ["disgust", "Micro-expression: fear", "boredom", "Surprise - clear", "0.5 sad"],
        "gestures": ["happy hands", "nod", ""],
    }

    def change(eaf):
        for tier, words in tiers.items():
            eaf.add_tier(tier)
            for n, word in enumerate(words, start=1):
                eaf.add_annotation(tier, 2000 * n, 2000 * n + 900, word)

    edited(path, change)
    got, repairs = read_intervals(path)
    assert list(got["source"].fillna("")) == ["", *["Anna"] * 5]
    left = repairs[repairs["action"] == "left out"]
    assert list(left["column"]) == ["speech", "gestures"]
    assert "4 intervals not read" in left["problem"].iloc[0]


def test_eaf_backup_is_not_littered_and_file_is_whole(tmp_path):
    path = tmp_path / "clip.eaf"
    for n in (3, 5):
        write_eaf(intervals((n, None, 9, "positive")), path)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.eaf"]
    assert read_intervals(path)[0]["onset"].iloc[0] == 5


@pytest.mark.parametrize("content", ["", "no xml", "<a/>", "<ANNOTATION_DOCUMENT/>"])
def test_what_is_no_elan_file_is_told(tmp_path, content):
    path = tmp_path / "x.eaf"
    path.write_text(content)
    with pytest.raises(InputError, match=r"x\.eaf: not an ELAN file"):
        read_intervals(path)


def test_eaf_needs_a_rate(tmp_path):
    path = tmp_path / "clip.eaf"
    write_eaf(intervals((1, None, 9, "positive")), path)
    with pytest.raises(InputError, match="written at fps=30, not fps=25"):
        read_intervals(path, fps=25)
    path.write_text(re.sub(r'<PROPERTY NAME="fedet">.*?</PROPERTY>', "", path.read_text()))
    with pytest.raises(InputError, match="no fps known"):
        read_intervals(path)
    assert read_intervals(path, fps=60, video="v")[0]["onset"].iloc[0] == 2  # 33 ms at 60 fps


# WebVTT


def test_vtt_as_a_player_sees_it(tmp_path):
    path = tmp_path / "clip.vtt"
    write_intervals(intervals((90, None, 104, "negative"), (30, None, 3629, "positive")), path)
    lines = path.read_text().split("\n")
    assert lines[0] == "WEBVTT" and lines[1] == ""
    cues = [i for i, line in enumerate(lines) if "-->" in line]
    assert [lines[i] for i in cues] == [
        "00:00:01.000 --> 00:02:01.000", "00:00:03.000 --> 00:00:03.500",
    ]  # fmt: skip
    assert [lines[i + 1] for i in cues] == ["positive macro", "negative macro"]


def test_vtt_of_another_program(tmp_path):
    path = tmp_path / "film.vtt"
    path.write_text(
        "\ufeffWEBVTT - made elsewhere\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\nNOTE hello\r\n\r\n"
        "1\r\n00:01.000 --> 00:02.000 align:start\r\n<v Ann>Happy</v>\r\nmicro?\r\n\r\n"
        "01:00:00.500 --> 01:00:01.000\r\nblah &amp; blah\r\n"
    )
    got, repairs = read_intervals(path, fps=30)
    assert list(got["onset"]) == [30, 108015] and list(got["offset"]) == [59, 108029]
    assert got["emotion"].iloc[0] == "positive" and got["expression_type"].iloc[0] == "micro"
    assert list(got["video"]) == ["film", "film"]
    assert "unknown text 'blah & blah'" in " ".join(repairs["problem"])
    with pytest.raises(InputError, match="tells no fps"):
        read_intervals(path)


def test_vtt_cues_without_a_span_are_left_out_and_told(tmp_path):
    path = tmp_path / "film.vtt"
    write_intervals(intervals((30, None, 59, "positive"), video="film"), path)
    with path.open("a") as file:
        for times in (
            "00:00:05.5 --> 00:00:06.5",
            "00:00:10.000 -->",
            "00:00:07.000 --> 00:00:07.000",
            "00:09.000 --> 00:08.000 align:start",
        ):
            file.write(f'\n{times}\nhappy\n\nNOTE fedet {{"value": "happy", "note": "of no cue"}}\n')
        file.write("\n00:20.000 --> 00:21.000\nfear\n")
    got, repairs = read_intervals(path)
    assert got[["onset", "offset", "emotion"]].values.tolist() == [
        [30, 59, "positive"], [600, 629, "negative"],
    ]  # fmt: skip
    assert "note" not in got
    left = repairs[repairs["action"] == "left out"]
    assert list(left["row"]) == [2, 3, 4, 5]
    assert left["value"].iloc[0] == "00:00:05.5 --> 00:00:06.5"
    assert "times cannot be read" in left["problem"].iloc[1]
    assert left["problem"].iloc[3] == "end 00:00:08.000 is not after the start 00:00:09.000"


def test_vtt_keeps_the_frames_of_rows_at_several_fps(tmp_path):
    table = pd.concat([intervals((10, 20, 59, "positive"), fps=fps) for fps in (30, 200)])
    path = tmp_path / "clip.vtt"
    write_intervals(table.reset_index(drop=True), path)
    same(read_intervals(path)[0], table.reset_index(drop=True))


def test_subtitles_as_other_programs_save_them(tmp_path):
    loose = "\ufeffWEBVTT\r\n00:01.500 --> 00:02.000\r\nhappy\r\n00:03,000 --> 00:04,000\r\nsad\r\n"
    (tmp_path / "a.vtt").write_text(loose)  # a cue follows without a blank line
    spans = read_intervals(tmp_path / "a.vtt", fps=30)[0][["onset", "offset"]]
    assert spans.values.tolist() == [[45, 59], [90, 119]]
    srt = "1\n00:00:01,000 --> 00:00:02,000\nhappy\n\n2\n00:00:03,000 --> 00:00:04,000\nsad\n"
    for name in ("b.srt", "c.vtt"):
        (tmp_path / name).write_text(srt)
    table, repairs = read_intervals(tmp_path / "b.srt", fps=30)
    assert list(table["emotion"]) == ["positive", "negative"] and "left out" not in set(repairs["action"])
    with pytest.raises(InputError, match="if it is SubRip, call it .srt"):
        read_intervals(tmp_path / "c.vtt", fps=30)


@pytest.mark.parametrize("suffix", [".tsv", ".txt"])
def test_tables_with_tabs_are_read_whatever_they_are_called(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_text("video\tonset\toffset\temotion\nv\t1\t9\tHAPPY\n", "utf-16")
    assert read_intervals(tmp_path / f"a{suffix}")[0]["emotion"].tolist() == ["positive"]
    with pytest.raises(InputError, match="no format has this suffix"):
        write_intervals(intervals((1, None, 9, "positive")), tmp_path / f"b{suffix}")
    with pytest.raises(InputError, match="a.xlsx: no such file"):
        read_intervals(tmp_path / "a.xlsx")


def test_vtt_that_is_none(tmp_path):
    path = tmp_path / "x.vtt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhappy\n")
    with pytest.raises(InputError, match="not a WebVTT file"):
        read_intervals(path, fps=30)


# ActivityNet JSON


def test_json_as_opentad_reads_it(tmp_path):
    path = tmp_path / "all.json"
    table = intervals((30, 40, 59, "positive"), (60, None, 89, "negative", {"score": 0.25}))
    write_intervals(table, path, durations={"clip": 10.0})
    entry = json.loads(path.read_text())["database"]["clip"]
    assert (entry["subset"], entry["duration"], entry["fps"], entry["frame"]) == (
        "training", 10.0, 30.0, 300,
    )  # fmt: skip
    assert [(a["segment"], a["label"]) for a in entry["annotations"]] == [
        ([1.0, 2.0], "positive"), ([2.0, 3.0], "negative"),
    ]  # fmt: skip
    assert entry["annotations"][1]["score"] == 0.25 and entry["annotations"][0]["apex"] == 40


def test_json_results_of_another_program(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({
        "version": "1", "results": {"v1": [
            {"segment": [0.51, 1.02], "label": "Happiness", "score": 0.9},
            {"segment": [2, 1], "label": "fear", "score": 0.1},
        ]}, "external_data": {},
    }))  # fmt: skip
    got, repairs = read_intervals(path, fps=30)
    assert got[["video", "onset", "offset", "emotion", "score"]].values.tolist() == [
        ["v1", 15, 30, "positive", 0.9]
    ]
    left = repairs[repairs["action"] == "left out"]
    assert list(left["row"]) == [2] and "offset before onset" in left["problem"].iloc[0]
    with pytest.raises(InputError, match="no fps is known"):
        read_intervals(path)


@pytest.mark.parametrize("content", ["[1]", "{}", "{", '{"database": [1]}', "[" * 100_000])
def test_json_of_another_kind(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match="x.json: not ActivityNet-style JSON"):
        read_intervals(path, fps=30)


# BORIS


def test_boris_columns_and_times(tmp_path):
    path = tmp_path / "x.boris.csv"
    write_intervals(intervals((30, 40, 59, "positive", {"note": "a, b"})), path)
    row = pd.read_csv(path).iloc[0]
    assert (row["Observation id"], row["Behavior"], row["Behavior type"]) == (
        "clip", "positive", "STATE",
    )  # fmt: skip
    assert (row["Start (s)"], row["Stop (s)"], row["Duration (s)"]) == (1.0, 2.0, 1.0)
    assert row["Behavioral category"] == "macro" and row["Comment start"] == "a, b"
    plain = path.rename(tmp_path / "x.csv")
    assert list(read_intervals(plain)[0]["apex"]) == [40]  # known by its header


BORIS_HEAD = (
    "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,"
    "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,"
    "Comment stop\n"
)


def test_boris_aggregated_events_of_a_coder(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        BORIS_HEAD + "obs1,2026-01-01,,D:/films/clip 7.mp4,60,29.97,No focal subject,Happy,,,STATE,"
        "1.001,2.002,1.001,see,again\n"
        "obs1,2026-01-01,,D:/films/clip 7.mp4,60,29.97,Ann,nod,,,POINT,3,3,0,,\n"
        "obs1,2026-01-01,,,60,29.97,Ann,micro fear,,,STATE,4,4.3,0.3,,\n"
    )
    got, repairs = read_intervals(path)
    assert got[["video", "subject", "onset", "offset", "emotion"]].values.tolist() == [
        ["clip 7", "clip 7", 30, 59, "positive"], ["clip 7", "Ann", 120, 128, "negative"],
    ]  # fmt: skip
    assert got["note"].iloc[0] == "see again"
    left = repairs[repairs["action"] == "left out"]
    assert list(left["row"]) == [3] and "no duration" in left["problem"].iloc[0]


def test_boris_columns_of_current_exports(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "Observation id,Observation type,Time offset (s),Source,FPS (frame/s),Subject,Behavior,"
        "Modifier #1,Modifier #2,Modifier #3,Behavior type,Start (s),Stop (s),Media file name,Mood\n"
        "o,Media file(s),0.0,,25,Ann,happy,AU12,,left,STATE,1,2,a.mp4,good\n"
        "o,Media file(s),0.0,,25,Ann,sad,,,,STATE,3,4,a.mp4,\n"
    )
    got, repairs = read_intervals(path)
    assert got[["video", "fps", "onset", "offset"]].values.tolist() == [
        ["a", 25, 25, 49], ["a", 25, 75, 99],
    ]  # fmt: skip
    assert got["action_units"].fillna("").tolist() == ["AU12|left", ""]
    left = repairs[repairs["action"] == "left out"]
    assert list(left["value"]) == ["Mood"] and left["problem"].item() == UNREAD_COLUMNS


def test_boris_event_that_ends_before_it_begins_is_left_out(tmp_path):
    path = tmp_path / "events.csv"
    rows = [f"obs1,,,a.mp4,60,30,Ann,happy,,,STATE,{span},,,\n" for span in ("2,2", "5,4.5", "6,7")]
    path.write_text(BORIS_HEAD + "".join(rows))
    got, repairs = read_intervals(path)
    assert list(got["onset"]) == [180]
    left = repairs[repairs["action"] == "left out"]
    assert list(left["problem"]) == ["stop 2 is not after start 2", "stop 4.5 is not after start 5"]


def test_boris_takes_video_names_and_tells_what_times_may_not_mean(tmp_path):
    header = ["Observation id", "FPS (frame/s)", "Time offset (s)", "Subject", "Behavior", "Behavior type",
              "Start (s)", "Stop (s)", "Media file name at start", "Media file name at stop"]  # fmt: skip
    path = tmp_path / "events.tsv"
    rows = [
        ("o1", 25, 10, "s1", "happy", "STATE", 1, 2, "a.mp4", "a.mp4"),
        ("o1", 25, 10, "s1", "sad", "STATE", 58, 62, "a.mp4", "b.mp4"),
        ("o1", 25, 10, "s1", "sad", "STATE", 70, 71, "b.mp4", "b.mp4"),  # 70 s of both, one behind the other
        ("o2", 25, 0, "s1", "sad", "STATE", 3, 4, "b.mp4", "b.mp4"),
    ]
    path.write_text("\n".join("\t".join(map(str, row)) for row in [header, *rows]))
    table, repairs = read_intervals(path)
    assert table[["video", "onset"]].values.tolist() == [["a", 25], ["b", 75]]
    lost = repairs[repairs["problem"].str.startswith("not in the first video")]
    assert list(lost["row"]) == [3, 4] and set(lost["action"]) == {"left out"}
    assert repairs.loc[repairs["value"] == "10", "problem"].str.contains("as they stand").all()


def test_boris_tabular_events_are_paired(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "Observation id,Media file name,FPS,Subject,Behavior,Behavior type,Time,Comment\n"
        "o,clip.mp4,30,Ann,happy,START,1.0,look\n"
        "o,clip.mp4,30,Ann,fear,START,1.5,\n"
        "o,clip.mp4,30,Ann,happy,STOP,2.0,\n"
        "o,clip.mp4,30,Ann,sad,STOP,2.5,\n"
        "o,clip.mp4,30,Ann,fear,STOP,3.0,\n"
        "o,clip.mp4,30,Ann,sad,START,5.0,\n"
    )
    got, repairs = read_intervals(path)
    assert got[["onset", "offset", "emotion"]].values.tolist() == [
        [30, 59, "positive"], [45, 89, "negative"],
    ]  # fmt: skip
    left = repairs[repairs["action"] == "left out"]
    assert sorted(zip(left["row"], left["problem"], strict=True)) == [
        (5, "STOP without START"), (7, "START without STOP"),
    ]  # fmt: skip


# convert


def test_convert_of_several_videos(tmp_path):
    table = pd.concat([intervals((1, None, 9, "positive"), video=v) for v in ("a", "b/c")])
    write_csv(table, tmp_path / "all.csv")
    for suffix in ONE_VIDEO:
        with pytest.raises(InputError, match=r"\{video\}"):
            convert(tmp_path / "all.csv", tmp_path / f"all{suffix}")
        convert(tmp_path / "all.csv", tmp_path / "out" / ("x_{video}" + suffix))
        names = sorted(p.name for p in (tmp_path / "out").glob(f"*{suffix}"))
        assert names == [f"x_a{suffix}", f"x_b_c{suffix}"]
    for p in (tmp_path / "out").glob("*.vtt"):
        p.unlink()
    convert(tmp_path / "out", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_convert_keeps_people_apart_who_share_the_name_of_a_video(tmp_path):
    one = intervals((1, None, 9, "positive"), video="anger1")
    people = [one.assign(subject=subject) for subject in ("s1", "s2")]
    write_csv(pd.concat([*people, intervals((5, None, 9, "others"), video="b")]), tmp_path / "all.csv")
    for suffix in ONE_VIDEO:
        convert(tmp_path / "all.csv", tmp_path / suffix[1:] / ("{video}" + suffix))
        names = sorted(p.name for p in (tmp_path / suffix[1:]).iterdir())
        assert names == [f"b{suffix}", f"s1_anger1{suffix}", f"s2_anger1{suffix}"]
    convert(tmp_path / "all.csv", tmp_path / "all.json")
    database = json.loads((tmp_path / "all.json").read_text())["database"]
    assert [len(database[n]["annotations"]) for n in ("s1_anger1", "s2_anger1", "b")] == [1, 1, 1]
    convert(tmp_path / "all.csv", tmp_path / "all.boris.csv")
    observed = pd.read_csv(tmp_path / "all.boris.csv")["Observation id"]
    assert list(observed) == ["s1_anger1", "s2_anger1", "b"]
    want = read_csv(tmp_path / "all.csv")[0].sort_values(KEYS, ignore_index=True)
    for source in ("eaf", "vtt", "all.json", "all.boris.csv"):
        convert(tmp_path / source, tmp_path / "back.csv")
        same(read_csv(tmp_path / "back.csv")[0].sort_values(KEYS, ignore_index=True), want)


@pytest.fixture
def couple(tmp_path):
    """Two people in one picture, of whom one laughs while the other frowns; a third shows nothing."""
    rows = [(3, 5, 20, "positive"), (40, None, 60, "negative"), (12, None, 33, "others")]
    table = intervals(*rows, fps=25, video="talk")
    table["subject"] = pd.array(["left", "left", "right"], "string")
    table["note"] = pd.array(["to <Ben> & all", None, None], "string")
    write_csv(table, tmp_path / "found.csv")
    return read_csv(tmp_path / "found.csv")[0].sort_values(KEYS, ignore_index=True)


@pytest.mark.parametrize(
    "target", ["talk.eaf", "{video}.eaf", "talk.vtt", "{video}.vtt", "all.json", "all.boris", "all.boris.csv"]
)
def test_several_people_of_one_video_go_there_and_back(tmp_path, couple, target):
    convert(tmp_path / "found.csv", tmp_path / target)
    written = tmp_path / target.replace("{video}", "talk")
    back = read_intervals(written)[0].sort_values(KEYS, ignore_index=True)
    same(back[couple.columns], couple)
    convert(written, tmp_path / "again" / "{video}.vtt")  # whoever wrote the file: one recording
    assert [p.name for p in (tmp_path / "again").iterdir()] == ["talk.vtt"]


def test_several_people_as_other_programs_see_them(tmp_path, couple):
    for suffix in ("eaf", "vtt", "srt", "TextGrid", "boris", "boris.csv", "json"):
        convert(tmp_path / "found.csv", tmp_path / f"talk.{suffix}")
    document = read_document(tmp_path / "talk.eaf")
    assert {t.participant for t in document.tiers.values()} == {"left", "right"}
    assert "<v right>others" in (tmp_path / "talk.vtt").read_text()
    assert "right: others" in (tmp_path / "talk.srt").read_text()
    assert 'name = "truth@left"' in (tmp_path / "talk.TextGrid").read_text()
    observed = pd.read_csv(tmp_path / "talk.boris.csv")
    assert set(observed["Observation id"]) == {"talk"} and set(observed["Subject"]) == {"left", "right"}
    project = json.loads((tmp_path / "talk.boris").read_text())
    assert list(project["observations"]) == ["talk"]
    assert [s["name"] for s in project["subjects_conf"].values()] == ["left", "right"]
    database = json.loads((tmp_path / "talk.json").read_text())["database"]
    assert {n: e["subject"] for n, e in database.items()} == {"left_talk": "left", "right_talk": "right"}
    srt = read_intervals(tmp_path / "talk.srt", fps=25)[0]
    assert dict(zip(srt["onset"], srt["subject"], strict=True)) == {3: "left", 12: "right", 40: "left"}


@pytest.mark.parametrize("suffix", [".eaf", ".vtt", ".boris"])
def test_somebody_without_an_expression_is_not_forgotten(tmp_path, couple, suffix):
    write_intervals(couple, tmp_path / "talk.json", videos=listed_people(couple, "left", "right", "middle"))
    convert(tmp_path / "talk.json", tmp_path / f"talk{suffix}")
    assert set(read_labels(tmp_path / f"talk{suffix}").videos["subject"]) == {"left", "middle", "right"}


def listed_people(table, *people):
    row = all_videos(table).iloc[0].to_dict()
    return pd.DataFrame([row | {"subject": name} for name in people])


VOICES = """WEBVTT

00:01.000 --> 00:02.000
<v.loud Ann &amp; Bo>happy</v>

00:01.500 --> 00:02.500
<v Cy>sad
"""
SPEAKERS = """1
00:00:01,000 --> 00:00:02,000
Ann & Bo: happy

2
00:00:01,500 --> 00:00:02,500
Cy: sad
"""


@pytest.mark.parametrize(("name", "text"), [("a.vtt", VOICES), ("a.srt", SPEAKERS)])
def test_voices_of_other_programs_are_subjects(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    events = read_intervals(tmp_path / name, fps=30)[0]
    assert events[["subject", "emotion"]].values.tolist() == [["Ann & Bo", "positive"], ["Cy", "negative"]]


def test_convert_links_each_person_their_own_video(tmp_path):
    for subject in ("s1", "s2"):
        (tmp_path / "videos" / subject).mkdir(parents=True)
        write_video(tmp_path / "videos" / subject / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 30, 25)
    one = intervals((1, None, 9, "positive"), fps=25, video="a")
    write_csv(pd.concat([one.assign(subject=s) for s in ("s1", "s2")]), tmp_path / "all.csv")
    convert(tmp_path / "all.csv", tmp_path / "one.eaf", video=tmp_path / "videos/s2/a.mp4")
    assert list(read_intervals(tmp_path / "one.eaf")[0]["subject"]) == ["s2"]
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 30, 25)
    convert(tmp_path / "all.csv", tmp_path / "all.eaf", video=tmp_path / "a.mp4")
    spans, document = tier_spans(tmp_path / "all.eaf")
    assert {"truth@s1", "truth@s2"} <= set(spans) and len(document.media_descriptors) == 1
    convert(tmp_path / "all.csv", tmp_path / "{video}.eaf")
    assert tier_spans(tmp_path / "s1_a.eaf")[1].media_descriptors == []  # a.mp4 may be another's


def test_convert_takes_rate_and_link_from_the_video(tmp_path):
    film = tmp_path / "videos" / "clip.mp4"
    film.parent.mkdir()
    write_video(film, [np.zeros((32, 32, 3), np.uint8)] * 50, 25)
    (tmp_path / "annotations.csv").write_text("video,onset,offset,emotion\nclip,5,29,happy\n")
    convert(tmp_path / "annotations.csv", tmp_path / "clip.eaf")
    spans, eaf = tier_spans(tmp_path / "clip.eaf")
    assert spans["truth"][0][:2] == (200, 1200)
    assert eaf.media_descriptors[0]["RELATIVE_MEDIA_URL"] == "./videos/clip.mp4"
    convert(tmp_path / "annotations.csv", tmp_path / "clip.json")
    entry = json.loads((tmp_path / "clip.json").read_text())["database"]["clip"]
    assert entry["fps"] == 25.0 and entry["duration"] == pytest.approx(2.0)


def test_convert_links_each_video_of_a_folder(tmp_path):
    films = tmp_path / "interviews"
    films.mkdir()
    for name in ("a", "b"):
        write_video(films / f"{name}.mp4", [np.zeros((32, 32, 3), np.uint8)] * 50, 25)
    table = pd.concat([intervals((1, None, 9, "positive"), fps=25, video=v) for v in "abc"])
    (tmp_path / "found").mkdir()
    write_csv(table, tmp_path / "found" / "all.csv")
    convert(tmp_path / "found" / "all.csv", tmp_path / "{video}.eaf", video=films)
    links = {v: tier_spans(tmp_path / f"{v}.eaf")[1].media_descriptors for v in "abc"}
    assert [links[v][0]["RELATIVE_MEDIA_URL"] for v in "ab"] == ["./interviews/a.mp4", "./interviews/b.mp4"]
    assert not links["c"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none of a, b, c lies in this folder"):
        convert(tmp_path / "found" / "all.csv", tmp_path / "{video}.eaf", video=tmp_path / "none")


def test_convert_with_one_video_chosen(tmp_path):
    film = tmp_path / "b.mp4"
    write_video(film, [np.zeros((32, 32, 3), np.uint8)] * 50, 25)
    table = pd.concat([intervals((1, None, 9, "positive"), fps=25, video=v) for v in "abc"])
    write_csv(table, tmp_path / "all.csv")
    report = convert(tmp_path / "all.csv", tmp_path / "b.eaf", video=film)
    assert report["problem"].str.contains(r"2 rows of other videos \(a, c\): not written").any()
    assert list(read_intervals(tmp_path / "b.eaf")[0]["video"]) == ["b"]
    with pytest.raises(InputError, match="has no video 'x'"):
        convert(tmp_path / "all.csv", tmp_path / "b.eaf", video=film.rename(tmp_path / "x.mp4"))


def test_convert_of_a_folder_leaves_each_file_its_own_video(tmp_path):
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 90, 25)
    for name in "ab":
        (tmp_path / f"{name}.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nhappy\n")
    convert(tmp_path, tmp_path / "all.csv", fps=25)
    assert list(read_csv(tmp_path / "all.csv")[0]["video"]) == ["a", "b"]
    convert(tmp_path, tmp_path / "one.csv", video=tmp_path / "a.mp4")
    assert list(read_csv(tmp_path / "one.csv")[0]["video"]) == ["a"]


def test_convert_of_a_folder_tells_events_that_two_files_hold(tmp_path):
    table = intervals((1, None, 9, "positive"), (20, None, 30, "negative", {"score": 0.5}))
    other = table.assign(score=[None, 0.75]).astype({"score": "Float64"})
    write_intervals(table, tmp_path / "a.eaf")
    write_intervals(other, tmp_path / "b.vtt")
    repairs = convert(tmp_path, tmp_path / "all.csv")
    assert list(read_csv(tmp_path / "all.csv")[0]["score"].fillna(0)) == [0, 0.5, 0.75]
    twice = repairs[repairs["problem"].str.startswith("same event as in a.eaf")]
    assert twice[["file", "value", "action"]].values.tolist() == [
        ["b.vtt", "1-9", "left out"], ["b.vtt", "20-30", "kept"],
    ]  # fmt: skip


def test_convert_keeps_labels_that_fedet_does_not_know(tmp_path):
    (tmp_path / "in.csv").write_text(
        "subject,video,fps,onset,offset,expression_type,emotion\ns,v,30,1,9,micro,Boredom 2\n"
    )
    convert(tmp_path / "in.csv", tmp_path / "v.eaf")
    convert(tmp_path / "v.eaf", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["emotion"].iloc[0] == "Boredom 2"


def test_convert_errors_say_what_is_wrong(tmp_path):
    (tmp_path / "a.csv").write_text("video,onset,offset\nv,1,2\n")
    for src, dst, text in [
        ("a.csv", "b.xml", "b.xml: no format has this suffix"),
        ("none.csv", "b.eaf", "none.csv: no such file"),
        ("a.csv", "b.eaf", "onset, offset and fps are needed; give fps"),
    ]:
        with pytest.raises(InputError, match=text):
            convert(tmp_path / src, tmp_path / dst)
    assert not list(tmp_path.glob("b.*"))


def test_what_others_put_into_an_eaf_is_not_overwritten(tmp_path):
    import pympi

    path = tmp_path / "clip.eaf"
    found = intervals((10, 15, 20, "positive")).assign(source="fedet", score=0.5)
    reviewed = intervals((10, 15, 20, "positive")).assign(source="review by Ann at 2026-01-01: accepted")
    both = pd.concat([found, reviewed], ignore_index=True)
    for table in (found, found, both, both):  # fedet's own tiers may be replaced
        write_intervals(table, path)
    with pytest.raises(InputError, match="intervals in the tier review, .*name another file"):
        write_intervals(found, path)
    eaf = pympi.Eaf(str(path))
    eaf.add_annotation("review", 5000, 6000, "others")
    eaf.to_file(str(path))
    with pytest.raises(InputError, match=r"5.00 to 6.00 s of the tier review was added .*import it first"):
        write_intervals(both, path)
    write_intervals(read_intervals(path)[0], path)  # read, and written again
    eaf.add_tier("my notes")
    eaf.add_annotation("my notes", 0, 1000, "hat on")
    eaf.to_file(str(path))
    write_intervals(read_intervals(path)[0].iloc[:3], path)
    spans, _ = tier_spans(path)
    assert spans["my notes"] == [(0, 1000, "hat on")] and len(spans["review"]) == 2


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "clip.vtt"
    write_intervals(intervals((1, None, 9, "positive")), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="too fine"):
        write_intervals(intervals((1, None, 9, "positive"), fps=1200), path)
    assert path.read_bytes() == before and list(Path(tmp_path).iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "emotion", "kind", "score", "rest"),
    [
        ("positive macro 0.83", "positive", "macro", "0.83", ""),
        ("MICRO-expression: Disgusted", "disgusted", "micro", None, ""),
        ("  0.5;sad;;", "sad", None, "0.5", ""),
        ("unknown", None, None, None, ""),
        ("maybe happy, 2nd half", "happy", None, None, "maybe 2nd half"),
        ("happy sad", "happy", None, None, "sad"),
        ("what & why?", None, None, None, "what & why?"),
        ("", None, None, None, ""),
    ],
)
def test_a_line_that_a_person_types(text, emotion, kind, score, rest):
    cells, left = parse_caption(text)
    assert (cells.get("emotion"), cells.get("expression_type"), cells.get("score"), left) == (
        emotion, kind, score, rest,
    )  # fmt: skip


def test_an_empty_table_goes_through_every_format(tmp_path):
    for suffix in ALL:
        path = tmp_path / f"empty{suffix}"
        write_intervals(empty_table(), path)
        got, repairs = read_intervals(path)
        pd.testing.assert_frame_equal(got, empty_table())
        assert not len(repairs)

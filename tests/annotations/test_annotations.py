"""The interval table: what is repaired, refused and kept, and that nothing goes in silence."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedet.annotations.repairs import REPAIR_COLUMNS
from fedet.annotations.spellings import AS_WRITTEN, FINE_TO_COARSE
from fedet.annotations.table import read_csv, validate, write_csv
from fedet.errors import InputError
from fedet.intervals import COLUMNS, EMOTIONS, MICRO_MAX_S, empty_table, expression_type_of, nominal_fps


def read(tmp_path, text, encoding="utf-8", **options):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return read_csv(path, **options)


def rows(table, *columns):
    """The table's cells as tuples, missing ones None."""
    cells = table[list(columns)].astype(object)
    return [tuple(None if pd.isna(x) else x for x in r) for r in cells.itertuples(index=False)]


def lines(repairs, **where):
    for column, value in where.items():
        repairs = repairs[repairs[column] == value]
    return rows(repairs, "row", "column", "value", "problem", "action")


def test_empty_table_has_the_columns_in_order_and_passes_through():
    table = empty_table()
    assert list(table) == COLUMNS
    checked, repairs = validate(table)
    pd.testing.assert_frame_equal(checked, table)
    assert list(repairs) == REPAIR_COLUMNS and not len(repairs)


def test_every_finer_label_leads_to_one_of_the_four():
    assert set(FINE_TO_COARSE.values()) == set(EMOTIONS)


def test_words_of_other_languages_are_read_whatever_their_case():
    written = ["Freude", "ÄRGER", "Überraschung", "其他", "开心", "厌恶", "驚き", "その他"]
    table = pd.DataFrame({"video": "a", "fps": 30.0, "onset": range(0, 80, 10), "emotion": written})
    checked, _ = validate(table.assign(offset=table["onset"] + 5))
    known = ["positive", "negative", "surprise", "others", "positive", "negative", "surprise", "others"]
    assert checked["emotion"].tolist() == known


# expression type


@settings(max_examples=50)
@given(st.integers(0, 500), st.integers(0, 300), st.floats(1, 1000))
def test_expression_type_is_micro_up_to_half_a_second(onset, length, fps):
    kind = expression_type_of(onset, onset + length, fps)
    frames, rate = length + 1, nominal_fps(fps)
    if abs(frames / rate - MICRO_MAX_S) > 1e-6:
        assert kind == ("micro" if frames < MICRO_MAX_S * rate else "macro")


def test_expression_type_at_the_border_and_where_unknown():
    assert expression_type_of(0, 14, 30.0) == "micro" and expression_type_of(0, 15, 30) == "macro"
    assert expression_type_of(7, 106, 200) == "micro" and expression_type_of(7, 107, 200) == "macro"
    assert pd.isna(expression_type_of(0, 14, None))
    onset = pd.Series([0, 0, pd.NA], dtype="Int64", index=[5, 3, 9])
    kinds = expression_type_of(onset, onset + 14, np.array([30.0, 10.0, 30.0]))
    assert list(kinds.index) == [5, 3, 9] and list(kinds[:2]) == ["micro", "macro"]
    assert pd.isna(kinds[9])
    assert list(expression_type_of([], [], 30.0)) == []


# reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_dialect_reads_alike(tmp_path, encoding, delimiter, end):
    grid = [["Video", "ONSET", " Offset ", "Emotion", "note"],
            ["Müller", "5", "9.0", "Happy", "a b"]]  # fmt: skip
    text = end.join(delimiter.join(line) for line in grid) + end + delimiter * 4 + end
    table, _ = read(tmp_path, text, encoding)
    assert rows(table, "video", "onset", "offset", "emotion", "note") == [("Müller", 5, 9, "positive", "a b")]


@pytest.mark.parametrize(
    "header",
    ["video,onset,offset", "VIDEO_NAME,Onset Frame,Offset-Frame", "Video Id,start_frame,endFrame",
     "Filename, ONSET ,Offset."],
)  # fmt: skip
def test_headers_in_any_spelling(tmp_path, header):
    table, _ = read(tmp_path, header + "\nclip,3,8\n")
    assert rows(table, "video", "onset", "offset") == [("clip", 3, 8)]


def test_numbers_in_any_writing_and_text_that_looks_like_numbers(tmp_path):
    table, repairs = read(
        tmp_path,
        "subject;video;fps;onset;apex;offset;emotion\n"
        " 07 ; 0101 ;29,97; 5.0 ;7;9 ;negative \n;;;;;;\n07;0101;25;1e1; - ;12,0;negative\n",
    )
    assert rows(table, "subject", "video", "fps", "onset", "apex", "offset", "emotion") == [
        ("07", "0101", 29.97, 5, 7, 9, "negative"),
        ("07", "0101", 25.0, 10, None, 12, "negative"),
    ]
    assert not lines(repairs, action="left out")


def test_frames_with_separators_of_thousands_are_refused(tmp_path):
    table, repairs = read(
        tmp_path,
        "video;fps;onset;apex;offset;score\nv;29,970;1,000;;2,000;\nv;30;5;;2.000;\n"
        "v;30;1.000.000;;1000001;\nv;30;7,0;1.008;1009;0,125\n",
    )
    assert rows(table, "onset", "apex", "offset", "score") == [(7, None, 1009, 0.125)]
    found = [r[:3] for r in lines(repairs) if "thousands or decimals? write 1000" in r[3]]
    assert found == [(2, "onset", "1,000"), (3, "offset", "2.000"), (4, "onset", "1.000.000"),
                     (5, "apex", "1.008")]  # fmt: skip
    seconds = read(tmp_path, "video;fps;start_s;end_s\nv;30;1,000;2,000\n")[0]
    assert rows(seconds, "onset", "offset") == [(30, 59)]


def test_a_title_above_the_header_is_passed_over(tmp_path):
    table, repairs = read(tmp_path, "# coded by Ann, 2026\nMy labels\n\nvideo;onset;offset\nv;1;2\n")
    assert rows(table, "video", "onset", "offset") == [("v", 1, 2)]
    assert not lines(repairs, action="left out")


def test_missing_columns_are_named_with_what_was_found(tmp_path):
    with pytest.raises(InputError, match=r"labels.csv: no column offset; found video, onset, hair"):
        read(tmp_path, "video,onset,hair\nv,1,red\n")
    with pytest.raises(InputError, match="no column video, onset"):
        read(tmp_path, "clip length,offset\nv,1\n")
    for text in ("", "\n\n"):
        with pytest.raises(InputError, match="labels.csv: empty"):
            read(tmp_path, text)
    with pytest.raises(InputError, match="no file.csv: cannot be read"):
        read_csv(tmp_path / "no file.csv")
    with pytest.raises(InputError, match="not a text file"):
        read(tmp_path, b"PK\x03\x04\x00\x00")


@pytest.mark.parametrize("rest", ["", 's,b,3,4,"maybe"\n'])
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path, rest):
    head = 'subject,video,onset,offset,note\ns,a,1,2,5" tall\n"s","a",3,4,"two\nlines"\n'
    assert len(read(tmp_path, head + rest)[0]) == 2 + bool(rest)
    with pytest.raises(InputError, match=r'labels.csv: line 5: a quote \("\) is not closed'):
        read(tmp_path, head + 's,a,10,20,"unsure\ns,a,30,40,\n' + rest)


def test_a_newer_schema_is_refused(tmp_path):
    with pytest.raises(InputError, match="schema_version '2'"):
        read(tmp_path, "schema_version,video,onset,offset\n2,v,1,2\n")


def test_further_columns_are_kept_aside_or_named(tmp_path):
    table, repairs = read(tmp_path, 'video,onset,offset,confidence,note,hair\nv,1,2,0.5,"a, ""b""\nc",red\n')
    assert list(table) == [*COLUMNS, "confidence", "note"]
    assert rows(table, "confidence", "note") == [("0.5", 'a, "b"\nc')]
    assert [(c, a) for _, c, _, _, a in lines(repairs) if c in ("note", "confidence")] == [
        ("confidence", "kept"), ("note", "kept"),
    ]  # fmt: skip
    assert lines(repairs)[-1][2] == "hair"


def test_cells_beyond_the_header_are_reported(tmp_path):
    table, repairs = read(tmp_path, "video,onset,offset\nv,1,2,stray\nw,3,4\n")
    assert rows(table, "video", "onset", "offset") == [("v", 1, 2), ("w", 3, 4)]
    (line,) = lines(repairs, row=2)
    assert line[1:3] == ("column 4", "stray") and "without a header" in line[3]


def test_seconds_become_frames_and_need_a_rate(tmp_path):
    text = "video,start_s,apex_s,end_s,fps\nv,1.0,1.2,2.0,30\nw,0.5,,0.6,25\nx,1,,1,30\n"
    table, repairs = read(tmp_path, text)
    assert rows(table, "onset", "apex", "offset") == [(30, 36, 59), (13, None, 14)]
    assert lines(repairs, row=4, action="left out")[0][1:4] == ("end_s", "1", "offset before onset")
    with pytest.raises(InputError, match="start_s is in seconds, and no fps is known"):
        read(tmp_path, "video,start_s,end_s\nv,1,2\n")
    table, _ = read(tmp_path, "video,start_s,end_s\nv,1,2\n", fps={"v": 50.0})
    assert rows(table, "onset", "offset", "fps") == [(50, 99, 50.0)]


# repairs


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        ("v,9,7", "offset", "offset before onset"),
        ("v,,7", "onset", "no onset"),
        ("v,nan,7", "onset", "no onset"),
        ("v,five,7", "onset", "not a number"),
        ("v,0.53,7", "onset", "not a whole frame"),
        ("v,1,1e40", "offset", "not a whole frame"),
        ("v,120,130", "onset", "beyond the video's end (last frame 99"),
        (",1,7", "video", "no video named"),
        ("v,-9,-7", "offset", "before the first frame"),
        ("v,4,", "offset", "no offset and no apex"),
    ],
)
def test_a_bad_row_is_left_out_once_with_row_and_value(tmp_path, row, column, problem):
    table, repairs = read(
        tmp_path, f"video,onset,offset\nv,1,2\n\n{row}\nv,3,4\n", n_frames={"v": 100, "w": None}
    )
    assert rows(table, "onset", "offset") == [(1, 2), (3, 4)]
    (line,) = lines(repairs, action="left out")
    cells = dict(zip(["video", "onset", "offset"], row.split(","), strict=True))
    written = "" if cells[column] == "nan" else cells[column]
    assert line[:3] == (4, column, written) and problem in line[3]
    assert set(repairs["file"]) == {"labels.csv"}


def test_a_row_that_can_be_mended_is(tmp_path):
    table, repairs = read(
        tmp_path,
        "video,onset,apex,offset,emotion,type,fps,score\n"
        "v,-2,3,8,sad,micro,30,x\nv,90,95,120,Glee,??,30,0.5\nv,5,2,9,others,2,0,\n",
        n_frames={"v": 100},
    )
    assert rows(table, "onset", "apex", "offset", "emotion", "expression_type", "fps") == [
        (0, 3, 8, "negative", "micro", 30.0),
        (90, 95, 99, None, "micro", 30.0),
        (5, None, 9, "others", "micro", None),
    ]
    assert [(r, c, v) for r, c, v, _, a in lines(repairs, action="repaired") if r is not None] == [
        (2, "onset", "-2"), (2, "score", "x"), (3, "offset", "120"),
        (3, "expression_type", "??"), (3, "emotion", "Glee"), (4, "fps", "0"), (4, "apex", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "offset", "action"),
    [("apex_mirror", 30, "repaired"), ("apex", 20, "repaired"), ("drop", None, "left out")],
)
def test_missing_offset_policies(tmp_path, policy, offset, action):
    table, repairs = read(tmp_path, "video,onset,apex,offset\nv,10,20,\n", missing_offset=policy)
    assert rows(table, "onset", "offset") == ([(10, offset)] if offset else [])
    (line,) = lines(repairs, row=2)
    assert f"missing_offset={policy}" in line[3] and line[4] == action


def test_mirrored_offset_ends_with_the_video_and_a_wrong_policy_is_refused(tmp_path):
    text = "video,onset,apex,offset\nv,10,20,\n"
    table, repairs = read(tmp_path, text, n_frames={"v": 25})
    assert rows(table, "offset") == [(24,)] and len(lines(repairs, row=2)) == 2
    with pytest.raises(InputError, match="missing_offset='mirror': one of apex_mirror, apex, drop"):
        read(tmp_path, text, missing_offset="mirror")


def test_numbers_from_one_and_zeros_that_mean_missing():
    table = pd.DataFrame({"video": "v", "onset": [1, 0], "apex": [3, 0], "offset": [0, 8]})
    checked, repairs = validate(table, first_number=1, zero_is_missing=("apex", "offset"))
    assert rows(checked, "onset", "apex", "offset") == [(0, 2, 4), (0, None, 7)]
    assert lines(repairs, row=3, column="onset")[0][2] == "0"  # as it stood in the file


def test_exact_duplicates_go_and_near_ones_stay(tmp_path):
    table, repairs = read(
        tmp_path,
        "video,onset,offset,emotion,au\nv,1,9,sad,4\nv,1,9,sad,4\nv,1,9,sad,7\nv,1,9,happy,4\nw,1,9,sad,4\n",
    )
    assert len(table) == 4
    assert lines(repairs, row=3)[0][3:] == ("same event as row 2", "left out")
    assert lines(repairs, row=4)[0][3:] == ("same event as row 2, other details differ", "kept")
    assert not lines(repairs, row=5) and not lines(repairs, row=6)


def test_predictions_of_one_interval_with_different_scores_both_stay():
    table = pd.DataFrame({"video": "v", "onset": 1, "offset": 9, "emotion": "negative",
                          "score": [0.5, 0.25], "fps": 30.0})  # fmt: skip
    assert list(validate(table)[0]["score"]) == [0.5, 0.25]


def test_labels_are_mapped_overridden_or_left(tmp_path):
    text = "video,onset,offset,emotion,Self-Report\nv,1,9,Fear,happy\nv,2,9,Boredom,POSITIVE\n"
    plain, repairs = read(tmp_path, text)
    assert rows(plain, "emotion", "emotion_self_report") == [
        ("negative", "positive"), (None, "positive"),
    ]  # fmt: skip
    assert lines(repairs, column="emotion", value="Fear")[0][3:] == (
        "read as negative (1 rows)", "kept",
    )  # fmt: skip
    mapped, repairs = read(tmp_path, text, emotion_map={"fear": "surprise", "bore-dom": "others"})
    assert rows(mapped, "emotion") == [("surprise",), ("others",)]
    written, repairs = read(tmp_path, text, emotion_map=AS_WRITTEN)
    assert rows(written, "emotion", "emotion_self_report") == [
        ("Fear", "happy"), ("Boredom", "positive"),
    ]  # fmt: skip
    assert not lines(repairs, column="emotion")
    with pytest.raises(InputError, match="emotion_map='fine'"):
        read(tmp_path, text, emotion_map="fine")


@pytest.mark.parametrize(
    ("written", "kind"),
    [("Makro", "macro"), ("Mikroexpression", "micro"), ("微表情", "micro"), ("Macro", "macro"),
     ("macro-expression", "macro"), ("MaE", "macro"), ("1", "macro"),
     ("Micro - 1/2", "micro"), ("micro_expression ", "micro"), ("ME", "micro"), ("2.0", "micro")],
)  # fmt: skip
def test_expression_types_in_any_spelling(tmp_path, written, kind):
    table, repairs = read(tmp_path, f"video,onset,offset,type\nv,1,500,{written}\n", fps=1000)
    assert rows(table, "expression_type") == [(kind,)]
    assert not lines(repairs, column="expression_type")


def test_a_long_micro_expression_stays_and_is_reported(tmp_path):
    table, repairs = read(tmp_path, "video,onset,offset,type,fps\nv,1,16,micro,30\n")
    assert rows(table, "expression_type") == [("micro",)]
    assert lines(repairs, row=2)[0][3:] == ("micro, but longer than 0.5 s", "kept")


def test_an_event_on_a_missing_frame_is_reported():
    table = pd.DataFrame({"video": ["v", "w"], "onset": 3, "apex": 5, "offset": 9})
    _, repairs = validate(table, missing_frames={"v": {5, 6}})
    assert [line[:2] for line in lines(repairs, problem="the video lacks this frame")] == [(2, "apex")]


# properties

cells = st.one_of(
    st.integers(-5, 130).map(str),
    st.integers(-5, 130).map(lambda n: f" {n}.0 "),
    st.sampled_from(["", "nan", "x", "1.5", "-", "1e300", "inf", "0"]),
)
bad_tables = st.lists(
    st.fixed_dictionaries({
        "video": st.sampled_from(["v", "w", "v ", ""]), "onset": cells, "apex": cells,
        "offset": cells, "emotion": st.sampled_from(["sad", "??", "", "Surprise"]),
        "type": st.sampled_from(["macro", "2", "", "odd"]), "fps": st.sampled_from(["30", "", "a"]),
    }),
    max_size=8,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(bad_tables, st.sampled_from(["apex_mirror", "apex", "drop"]), st.integers(0, 1))
def test_whatever_comes_in_the_table_is_sound_and_no_row_is_lost(raw, policy, first):
    table = pd.DataFrame(raw, columns=["video", "onset", "apex", "offset", "emotion", "type", "fps"])
    checked, repairs = validate(table, {"v": 100}, missing_offset=policy, first_number=first, source_name="f")
    assert (checked["onset"] >= 0).all() and (checked["onset"] <= checked["offset"]).all()
    apex = checked[checked["apex"].notna()]
    assert ((apex["onset"] <= apex["apex"]) & (apex["apex"] <= apex["offset"])).all()
    assert (checked.loc[checked["video"] == "v", "offset"] < 100).all()
    assert set(checked["emotion"].dropna()) <= set(EMOTIONS)
    assert set(checked["expression_type"].dropna()) <= {"macro", "micro"}
    gone = repairs[(repairs["action"] == "left out") & repairs["row"].notna()]
    assert gone["row"].is_unique and len(gone) + len(checked) == len(table)
    again, more = validate(checked, {"v": 100})
    pd.testing.assert_frame_equal(again, checked)
    assert "left out" not in set(more["action"])


def test_rows_are_written_whole_and_in_order(tmp_path):
    table = validate(pd.DataFrame({
        "video": "v", "onset": [3, 1], "offset": [9, 4], "fps": [24000 / 1001, 30], "score": [0.1, 1],
    }))[0]  # fmt: skip
    path = tmp_path / "new" / "out.csv"
    write_csv(table, path)
    first = path.read_text().splitlines()
    assert first[0] == ",".join(COLUMNS)
    assert first[1] == f"1,v,v,{24000 / 1001},3,,9,macro,,,,0.1,".replace("macro", "micro")
    pd.testing.assert_frame_equal(read_csv(path)[0], table)
    assert [p.name for p in path.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("fps", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(tmp_path, fps):
    path = tmp_path / "a.csv"
    path.write_text("video,onset,offset,emotion\na,1,5,happy\n")
    with pytest.raises(InputError, match="fps is"):
        read_csv(path, fps=fps)


def test_seconds_that_are_no_time_in_a_video_and_versions_that_pandas_wrote(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "schema_version,video,fps,start_s,end_s,emotion\n1.0,a,30,1e18,2e18,happy\n1.0,a,30,1,2,happy\n"
    )
    table, repairs = read_csv(path)
    assert table["onset"].tolist() == [30] and "1e18" in " ".join(repairs["value"].dropna().astype(str))


def test_frames_count_and_seconds_that_say_otherwise_are_told(tmp_path):
    path = tmp_path / "a.csv"
    rows = "v,100,120,4,4.84,happy\nv,200,220,6.67,7.37,sad\nv,300,320,x,y,sad\n"  # row 3: at 30 fps
    path.write_text("video,onset,offset,start_s,end_s,emotion\n" + rows)
    table, repairs = read_csv(path, fps=25)
    assert list(table["onset"]) == [100, 200, 300]
    told = repairs.set_index("column").loc["start_s"]
    assert told["value"] == "6.67" and told["action"] == "kept"
    assert told["problem"].startswith("1 rows: not the time of the frame in onset, which counts; in row 3 ")
    assert len(read_csv(path)[0]) == 3  # without a rate


@pytest.mark.parametrize(("encoding", "readable"), [("gbk", False), ("shift_jis", False), ("latin-1", True)])
def test_letters_of_an_unknown_encoding_are_not_guessed(tmp_path, encoding, readable):
    name = "Größe" if readable else "喜び"
    (tmp_path / "a.csv").write_bytes(f"video,onset,offset\n{name},1,9\n".encode(encoding))
    if readable:
        assert list(read_csv(tmp_path / "a.csv")[0]["video"]) == ["Größe"]
    else:
        with pytest.raises(InputError, match="a.csv: in an encoding that is not known; save it as UTF-8"):
            read_csv(tmp_path / "a.csv")

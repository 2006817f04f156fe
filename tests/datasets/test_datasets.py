"""Tiny copies of the released sets, in their very layouts and with their defects."""

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from fedet.annotations.formats import read_intervals
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import read_csv, write_csv
from fedet.datasets.dataset import frame_files, read_dataset
from fedet.datasets.own_folder import videos_in
from fedet.errors import InputError
from fedet.video.writer import write_video


def workbook(path, *sheets, names=()):
    """Writes an xlsx file, one list of rows per sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for i, rows in enumerate(sheets):
        sheet = book.create_sheet(names[i] if i < len(names) else f"Sheet{i + 1}")
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def jpegs(folder, numbers, name="{}.jpg"):
    """Numbered JPEG files of 24x24 pixels, each of which shows its own number as brightness."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        cv2.imwrite(str(folder / name.format(n)), np.full((24, 24, 3), (n * 4) % 256, np.uint8))


def film(path, n_frames, fps=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.zeros((32, 32, 3), np.uint8)] * n_frames, fps)


def events(dataset):
    """(video, onset, apex, offset) of each event, unknown ones None."""
    columns = dataset.annotations[["video", "onset", "apex", "offset"]].astype(object)
    return [tuple(None if pd.isna(x) else x for x in row) for row in columns.itertuples(index=False)]


def problems(dataset, **where):
    """Lines of the report that match, as (row, value, problem, action)."""
    lines = dataset.repairs
    for column, value in where.items():
        lines = lines[lines[column] == value]
    return list(lines[["row", "value", "problem", "action"]].itertuples(index=False, name=None))


# CAS(ME)^2

CASME2 = [
    [1, "anger1_1", 557, 572, 608, "4+7", "negative", "macro-expression", "anger"],
    [1, "anger1_2 ", 570, 0, 620, 4.0, "negative", "macro-expression", "disgust"],  # overlaps
    [1, "disgust1_10", 21, 30, 0, "9", "negative", "macro-expression", "disgust"],  # offset 0
    ["2", "happy1_1", 5, 0, 0, "12", "positive", "macro-expression", "happiness"],  # nothing known
    [2.0, "happy1_2", "12", "15", "22", "12", "Positive ", "micro-expression", "happiness"],
    [None] * 9,
    [2, "happy1_3", 9, 8, 3, "12", "positive", "micro-expression", "happiness"],  # backward
]
RULE1 = [[15, "s15", 1], [16, "s16", 2]]
RULE2 = [["0101", "disgust1"], ["0401", "anger1"], [507, "happy1"]]  # 0507 lost its zero


@pytest.fixture
def casme2(tmp_path):
    workbook(
        tmp_path / "CAS(ME)^2code_final(Updated).xlsx", CASME2, RULE1, RULE2,
        names=["CASFEcode_final", "naming rule1", "naming rule2"],
    )  # fmt: skip
    jpegs(tmp_path / "rawpic/s15/15_0401girlcrashing", range(1, 701), "img{}.jpg")
    jpegs(tmp_path / "rawpic/s15/15_0101disgustingteeth", range(1, 36), "img{}.jpg")
    jpegs(tmp_path / "rawpic/s16/16_0507climbingthewall", range(1, 41), "img{}.jpg")
    jpegs(tmp_path / "rawpic/s16/16_0102eatingworms", range(1, 6), "img{}.jpg")  # no event
    return tmp_path


def test_casme2_counts_frames_from_zero_and_maps_both_naming_rules(casme2):
    data = read_dataset(casme2)
    assert data.name == "casme2"
    assert events(data) == [
        ("15_0401girlcrashing", 556, 571, 607),
        ("15_0401girlcrashing", 569, None, 619),
        ("15_0101disgustingteeth", 20, 29, 34),  # mirrored to 38, the video ends at 34
        ("16_0507climbingthewall", 11, 14, 21),
    ]
    assert list(data.annotations["subject"]) == ["s15", "s15", "s15", "s16"]
    assert list(data.annotations["expression_type"]) == ["macro"] * 3 + ["micro"]
    assert list(data.annotations["emotion"]) == ["negative"] * 3 + ["positive"]
    assert list(data.annotations["emotion_self_report"]) == ["negative"] * 3 + ["positive"]
    assert list(data.annotations["action_units"]) == ["4+7", "4", "9", "12"]


def test_casme2_reports_each_repaired_and_refused_row(casme2):
    data = read_dataset(casme2)
    assert [line[0] for line in problems(data, action="left out")] == [4, 7]
    assert problems(data, row=4)[0][2] == "no offset and no apex"
    assert problems(data, row=7)[0][1:] == ("3", "offset before onset", "left out")
    mirrored, clipped = problems(data, row=3)
    assert "frame 38" in mirrored[2] and "apex_mirror" in mirrored[2]
    assert "last frame 34" in clipped[2] and clipped[3] == "repaired"


@pytest.mark.parametrize(("policy", "offset"), [("apex", 29), ("drop", None)])
def test_casme2_missing_offset_policies(casme2, policy, offset):
    data = read_dataset(casme2, missing_offset=policy)
    ends = {e[3] for e in events(data) if e[0] == "15_0101disgustingteeth"}
    assert ends == ({offset} if offset is not None else set())
    assert policy in data.summary()


def test_casme2_lists_silent_videos_and_natural_order(casme2):
    videos = read_dataset(casme2).videos.set_index("video")
    assert list(videos.index) == [
        "15_0101disgustingteeth", "15_0401girlcrashing",
        "16_0102eatingworms", "16_0507climbingthewall",
    ]  # fmt: skip
    assert videos.loc["16_0102eatingworms", "n_frames"] == 5
    assert set(videos["first_frame_number"]) == {1} and set(videos["fps"]) == {30.0}


def test_casme2_frame_k_is_image_k_plus_1(casme2):
    data = read_dataset(casme2)
    files = frame_files(data.videos["path"].iloc[0], 1)
    assert files[8].name == "img9.jpg" and files[9].name == "img10.jpg"
    frame = next(data.open("15_0101disgustingteeth").frames(start_s=20 / 30))
    assert frame.index == 20 and abs(int(frame.image.mean()) - 21 * 4) <= 2


def test_casme2_keeps_finer_labels_on_request(casme2):
    data = read_dataset(casme2, emotion_map=AS_WRITTEN)
    assert list(data.annotations["emotion_self_report"])[:2] == ["anger", "disgust"]


def test_casme2_without_frames_gives_labels_and_says_so(casme2, tmp_path_factory):
    import shutil

    alone = tmp_path_factory.mktemp("alone")
    shutil.copy(next(casme2.glob("*.xlsx")), alone / "code_final.xlsx")
    data = read_dataset(alone)
    assert len(data.annotations) == 4 and data.videos["path"].isna().all()
    assert ("15_0401", 556, 571, 607) in events(data)
    assert any("labels only" in p[2] for p in problems(data))
    with pytest.raises(InputError, match="no frames of a video '15_0401'"):
        data.open("15_0401")


def test_casme2_unknown_subject_and_video_stay_and_are_reported(tmp_path):
    rows = [[77, "anger1_1", 5, 7, 9, "4", "negative", "macro-expression", "anger"],
            [1, "newclip_3", 5, 7, 9, "4", "negative", "macro-expression", "anger"]]  # fmt: skip
    workbook(tmp_path / "code_final.xlsx", rows, RULE1, RULE2)
    data = read_dataset(tmp_path)
    assert len(data.annotations) == 2
    assert {p[1] for p in problems(data, action="kept")} >= {"77", "newclip"}


def test_casme2_needs_its_three_sheets(tmp_path):
    workbook(tmp_path / "code_final.xlsx", CASME2)
    with pytest.raises(InputError, match="has 1 sheets, needs 3"):
        read_dataset(tmp_path)


def merged(path, *ranges, sheet=0):
    """Merges cells in a sheet of a workbook, as a person does to whom it looks tidier."""
    book = openpyxl.load_workbook(path)
    for cells in ranges:
        book.worksheets[sheet].merge_cells(cells)
    book.save(path)


def test_casme2_merged_subjects_hold_for_all_their_rows(casme2):
    (path,) = casme2.glob("*.xlsx")
    want = read_dataset(casme2).annotations
    merged(path, "A1:A3", "A4:A7")
    data = read_dataset(casme2)
    pd.testing.assert_frame_equal(data.annotations, want)
    filled = "merged cells: taken for all rows to "
    assert problems(data, row=1)[0][1:] == ("1", filled + "3", "repaired")
    assert (4, "2", filled + "7", "repaired") in problems(data, row=4)


def test_casme2_row_without_a_subject_makes_no_person(casme2):
    (path,) = casme2.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    book.worksheets[0]["A2"] = None
    book.save(path)
    data = read_dataset(casme2)
    assert set(data.annotations["subject"]) == {"s15", "s16"} and len(data.annotations) == 3
    assert problems(data, row=2) == [(2, "anger1", "no subject named", "left out")]


# CAS(ME)^3

ME_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
ME = [
    ["spNO.1", "a", 10, 12, 16, "4", "I", "disgust"],
    ["spNO.1", "b", 0, 5, 11, "1+2", "II", "surprise"],  # onset 0 is a frame
    ["spNO.2", " A ", 3, 5, 8, "14", "VI", "happy"],
    ["spNO.2", "a", 3, 5, 8, "14", "VI", "happy"],  # twice
    ["spNO.2", "a", 4, 5, 9, "14", "VI", "boredom"],  # unknown label
]
MAE = [["spNo.1", "a", 20, 25, 40, "fear"], ["spNO.1", "a", 22, "\\", 60, "others"]]


@pytest.fixture
def casme3(tmp_path):
    a = tmp_path / "part_A"
    workbook(
        a / "annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [["read me"]], [ME_HEADER, *ME],
        names=["notes", "label"],
    )  # fmt: skip
    workbook(
        a / "annotation/cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx",
        [["sub", "seq", "onset", "apex", "offset", "emotion"], *MAE],
    )
    jpegs(a / "data/spNO.1/a/color", [n for n in range(1, 51) if n not in (12, 13, 30)])
    jpegs(a / "data/spNO.1/b/color", range(20))
    jpegs(a / "data/spNO.1/b/depth", range(3))
    jpegs(a / "data/spNo.2/a/color", range(20))
    jpegs(a / "data/spNO.10/m/color", range(4))
    return tmp_path


def test_casme3_frame_number_is_the_file_name_not_the_rank(casme3):
    data = read_dataset(casme3)
    assert data.name == "casme3"
    assert events(data)[0] == ("spNO.1_a", 10, 12, 16)
    image = data.open("spNO.1_a").frame_at(16 / 30 + 0.001).image
    assert abs(int(image.mean()) - 16 * 4) <= 2
    row = data.videos.set_index("video").loc["spNO.1_a"]
    assert (row["n_frames"], row["n_missing"], row["first_frame_number"]) == (51, 3, 0)
    # the apex, 12, is among the dropped frames
    assert (2, "12", "the video lacks this frame", "kept") in problems(data, column="apex")


def test_casme3_reads_both_files_of_part_a_whatever_the_spelling(casme3):
    data = read_dataset(casme3)
    assert events(data)[1:] == [
        ("spNO.1_b", 0, 5, 11),
        ("spNO.2_a", 3, 5, 8),
        ("spNO.2_a", 4, 5, 9),
        ("spNO.1_a", 20, 25, 40),
        ("spNO.1_a", 22, None, 50),  # 60 is beyond the last image
    ]
    assert list(data.annotations["expression_type"]) == ["micro"] * 4 + ["macro"] * 2
    assert list(data.annotations["emotion"].fillna("-")) == [
        "negative", "surprise", "positive", "-", "negative", "others"
    ]  # fmt: skip
    assert list(data.videos["video"]) == ["spNO.1_a", "spNO.1_b", "spNO.2_a", "spNO.10_m"]
    assert all(Path(p).name == "color" for p in data.videos["path"])


def test_casme3_reports_duplicate_and_unknown_label(casme3):
    data = read_dataset(casme3)
    assert problems(data, row=5, action="left out")[0][2] == "same event as row 4"
    assert problems(data, row=6, column="emotion")[0][1] == "boredom"
    merged = problems(data, column="emotion", value="disgust")
    assert merged[0][2] == "read as negative (1 rows)"


def test_casme3_merged_subjects_and_videos_hold_for_all_their_rows(casme3):
    (path,) = casme3.glob("**/*_ME_label*.xlsx")
    want = read_dataset(casme3).annotations
    merged(path, "A2:A3", "A4:A6", "B5:B6", sheet=1)
    data = read_dataset(casme3)
    pd.testing.assert_frame_equal(data.annotations, want)
    lines = [p[:2] for p in problems(data) if p[2].startswith("merged cells")]
    assert lines == [(2, "spNO.1"), (4, "spNO.2"), (5, "a")]


def test_casme3_frames_by_the_names_of_their_images(tmp_path):
    rows = [["spNO.1", "a", "10.jpg", "img_0012.JPG", 16, "4", "I", "disgust"]]
    workbook(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [ME_HEADER, *rows])
    data = read_dataset(tmp_path)
    assert events(data) == [("spNO.1_a", 10, 12, 16)]
    assert problems(data, row=2) == [(2, pd.NA, "image names read as their numbers", "repaired")]


def test_casme3_labels_can_be_mapped_otherwise(casme3):
    data = read_dataset(casme3, emotion_map={"Fear": "surprise", "boredom": "others"})
    assert list(data.annotations["emotion"])[3:5] == ["others", "surprise"]


def test_own_words_beside_the_labels(tmp_path):
    (tmp_path / "videos").mkdir()
    text = "subject,video,onset,offset,emotion,fps\na,v,0,20,Bore-dom,30\na,v,40,60,fear,30\n"
    (tmp_path / "annotations.csv").write_text(text + "a,v,70,90,glee,30\n")
    words = tmp_path / "emotions.csv"
    words.write_text("Label,Emotion,note\nboredom,others,\nFEAR,Surprise,ours\n")
    for table in (read_dataset(tmp_path).annotations, read_intervals(tmp_path / "annotations.csv")[0]):
        assert table["emotion"].fillna("").tolist() == ["others", "surprise", ""]
    repairs = read_dataset(tmp_path).repairs
    told = repairs[repairs["value"] == "glee"]["problem"].item()
    assert "emotions.csv" in told
    for bad, message in (
        ("label,emotion\nfear,scared\n", r"emotions\.csv: row 2: 'fear' is 'scared'; an emotion is one"),
        ("label,emotion\nfear,others\nFear,negative\n", r"row 3: 'Fear' is 'negative', and 'others' above"),
        ("word,means\nfear,others\n", r"has the columns word, means; needs a header: label,emotion"),
    ):
        words.write_text(bad)
        with pytest.raises(InputError, match=message):
            read_dataset(tmp_path)


def test_casme3_part_c_has_no_apex_and_no_emotion(tmp_path):
    rows = [["sub", "count", "onset", "offset", "au", "PHY"], [1, 1, 7, 15, "4", "p1"],
            ["2", 1, 9, 0, "7", "p2"]]  # fmt: skip
    workbook(tmp_path / "part_C/CAS(ME)3_part_C_ME.xlsx", rows)
    jpegs(tmp_path / "part_C/data/01/a/color", range(1, 30))
    data = read_dataset(tmp_path)
    assert events(data) == [("C1_a", 7, None, 15)]
    assert data.annotations["emotion"].isna().all()
    assert data.annotations["action_units"].iloc[0] == "4"
    assert problems(data, row=3)[0][2] == "no offset and no apex"
    assert data.videos["path"].iloc[0].endswith("01/a/color")


# SAMM-LV

SAMM_HEADER = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration",
               "Type", "Action Units", "Notes"]  # fmt: skip
SAMM = [
    [6, "006_1_1", 1, 10, 20, 49, 40, "Micro - 1/2", "AU4", None],
    [6, "006_1_2", 1, 0, 3, 60, 61, "Macro", "AU12", 'long, "odd"'],  # begins before the video
    [7, "007_3_1", 2, 30, 35, 44, 14, "Micro - 1/2", "AU6", None],  # wrong duration
    [7, "007_3_2", 2, 46, 47, 58, 13, "Micro", "AU6", None],  # not among the codes
]
CODES = [
    ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
     "Action Units", "Estimated Emotion", "Objective Classes"],
    ["006", "006_1_1", 1, 2, 3, 3, "Micro - 1/2", "AU4", "Anger", "III"],
    ["006", "006_1_1", 1, 2, 3, 3, "Micro", "AU4", "Happiness", "I"],
    ["007", "007_3_1", 1, 2, 3, 3, "Micro - 1/2", "AU4", "Surprise", "II"],
]  # fmt: skip
NOTES = [["SAMM Long Videos"], [], ["Release notes"], [], ["200 fps"], [], ["x"], ["y"], []]


@pytest.fixture(params=["row 10, V3", "row 1, V1"])
def samm(tmp_path, request):
    late = request.param == "row 10, V3"
    name = "SAMM_LongVideos_V3_Release.xlsx" if late else "SAMM_LongVideos_V1_Release.xlsx"
    workbook(tmp_path / name, [*(NOTES if late else []), SAMM_HEADER, *SAMM])
    workbook(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [["notes"], [], *CODES])
    for video in ("006_1", "007_3", "008_1"):
        jpegs(tmp_path / "SAMM_longvideos" / video, range(1, 61), video + "_{:04d}.jpg")
    return tmp_path


def test_samm_finds_its_header_joins_emotions_and_starts_with_the_video(samm):
    data = read_dataset(samm)
    assert data.name == "samm" and set(data.videos["fps"]) == {200.0}
    assert events(data) == [
        ("006_1", 9, 19, 48), ("006_1", 0, 2, 59), ("007_3", 29, 34, 43), ("007_3", 45, 46, 57),
    ]  # fmt: skip
    assert list(data.annotations["emotion"].fillna("-")) == ["negative", "-", "surprise", "-"]
    assert list(data.annotations["expression_type"]) == ["micro", "macro", "micro", "micro"]
    assert list(data.annotations["subject"]) == ["006", "006", "007", "007"]
    assert list(data.videos["video"]) == ["006_1", "007_3", "008_1"]
    assert data.annotations["note"].iloc[1] == 'long, "odd"'


def test_samm_reports_rows_as_the_spreadsheet_numbers_them(samm):
    data = read_dataset(samm)
    first = 11 if any("V3" in f for f in data.repairs["file"]) else 2
    begins = problems(data, row=first + 1, column="onset")
    assert begins == [(first + 1, "0", "before the first frame: starts there", "repaired")]
    assert problems(data, row=first + 2)[0][1:2] == ("14",)
    assert "by (Filename, Type)" in problems(data, row=first + 3)[0][2]


def test_samm_merged_cells_hold_for_all_their_rows_and_a_merged_remark_makes_none(samm):
    path = next(samm.glob("SAMM_LongVideos*.xlsx"))
    first = 11 if "V3" in path.name else 2
    want = read_dataset(samm).annotations
    book = openpyxl.load_workbook(path)
    book.active.append(["* Duration = offset - onset + 1"])
    book.save(path)
    merged(path, f"A{first}:A{first + 1}", f"C{first}:C{first + 1}", f"A{first + 4}:J{first + 6}")
    data = read_dataset(samm)
    pd.testing.assert_frame_equal(data.annotations, want)
    filled = f"merged cells: taken for all rows to {first + 1}"
    assert problems(data, row=first)[0][1:] == ("6", filled, "repaired")
    assert [p[2] for p in problems(data, row=first + 4)] == ["no video named"]


def test_samm_subject_that_is_not_that_of_the_file_name_is_told(samm):
    path = next(samm.glob("SAMM_LongVideos*.xlsx"))
    first = 11 if "V3" in path.name else 2
    book = openpyxl.load_workbook(path)
    book.active.cell(first, 1).value = 9
    book.save(path)
    data = read_dataset(samm)
    assert data.annotations["subject"].iloc[0] == "006"
    told = problems(data, row=first, column="Subject")
    assert told == [(first, "9", "the file name says 006, which counts", "kept")]


def test_samm_without_codes_says_that_emotions_are_missing(samm):
    (samm / "SAMM_Micro_FACS_Codes_v2.xlsx").unlink()
    data = read_dataset(samm)
    assert data.annotations["emotion"].isna().all()
    assert any("SAMM_Micro_FACS_Codes" in p[2] for p in problems(data))


def test_samm_takes_the_newest_release_and_names_the_others(samm):
    workbook(samm / "SAMM_LongVideos_V2_Release.xlsx", [SAMM_HEADER, *SAMM[:1]])
    workbook(samm / "SAMM_LongVideos_V9_Release.xlsx", [SAMM_HEADER, *SAMM[:2]])
    data = read_dataset(samm)
    assert len(data.annotations) == 2
    assert {p[2] for p in problems(data, action="left out")} >= {
        "another version of SAMM_LongVideos_V9_Release.xlsx: not read"
    }


# tidy CSV files


def test_tidy_csv_with_types_by_number(tmp_path):
    path = tmp_path / "casme2.csv"
    path.write_bytes(
        "\ufeffSubject; Video_Name ;start_frame;apex_frame;end_frame;type_idx;au\r\n"
        "s15;15_0101;10;15;0;1;4+7\r\n;;;;;;\r\ns15;0102;3;5;9,0;2;12\r\n"
        "s15;0102;3;5;8;3;12\r\n".encode()
    )
    data = read_dataset(path, fps=30)
    assert data.name == "tidy"
    assert events(data) == [("15_0101", 10, 15, 20), ("0102", 3, 5, 9), ("0102", 3, 5, 8)]
    assert list(data.annotations["expression_type"]) == ["macro", "micro", "micro"]
    assert problems(data, row=5)[0][1] == "3"
    assert events(read_dataset(tmp_path)) == events(data)


def test_tidy_csv_with_emotions(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "subject,video,onset,offset,emotion\ns1,v1,10,20,happy\ns1,v1,30,0,anger\n"
    )
    data = read_dataset(tmp_path)
    assert data.name == "tidy" and events(data) == [("v1", 10, None, 20)]
    assert problems(data, row=3)[0][2] == "no offset and no apex"
    assert data.annotations["expression_type"].isna().all()  # no fps, no duration in seconds


def test_tidy_files_that_share_a_video_are_refused(tmp_path):
    head = "subject,video,onset,offset,emotion\n"
    (tmp_path / "coderA.csv").write_text(head + "s1,v1,10,20,happy\ns1,v2,10,20,happy\n")
    (tmp_path / "coderB.csv").write_text(head + "s2,v1,10,20,happy\n")
    assert len(read_dataset(tmp_path).annotations) == 3
    (tmp_path / "coderA_backup.csv").write_text(head + "s1,v2,10,21,happy\n")
    with pytest.raises(InputError, match="coderA.csv and coderA_backup.csv both hold video 'v2'"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path / "coderA.csv").annotations) == 2


# a folder of one's own


@pytest.fixture
def own(tmp_path):
    film(tmp_path / "videos/clip.mp4", 60)
    film(tmp_path / "videos/0101.avi", 50, 25)
    film(tmp_path / "videos/silent.mkv", 40)
    jpegs(tmp_path / "videos/frames", range(1, 31), "f_{:03d}.png")
    return tmp_path


def test_own_folder_with_the_smallest_table(own):
    (own / "annotations.csv").write_text(
        "video,onset,offset,emotion,fps\nclip.mp4,5,15,happy,\n101,5,40,sad,\n"
        "frames,2,29,surprise,30\nCLIP,20,70,others,\n"
    )
    data = read_dataset(own)
    assert data.name == "own"
    assert events(data) == [
        ("clip", 5, None, 15),
        ("0101", 5, None, 40),
        ("frames", 2, None, 29),
        ("clip", 20, None, 59),
    ]
    assert list(data.annotations["fps"]) == [30, 25, 30, 30]
    assert list(data.annotations["expression_type"]) == ["micro", "macro", "macro", "macro"]
    assert set(data.videos["video"]) == {"clip", "0101", "silent", "frames"}
    assert list(data.videos["subject"]) == list(data.videos["video"])
    assert {p[1] for p in problems(data, column="video")} == {"clip.mp4", "101", "CLIP"}


def test_own_silent_videos_get_their_subject_from_videos_csv(own):
    (own / "videos.csv").write_text("video,subject\nsilent.mkv,bob\n0101,bob\n")
    (own / "annotations.csv").write_text(
        "subject,video,onset,offset,emotion\nann,clip,5,15,happy\n,0101,5,15,happy\n"
    )
    data = read_dataset(own, fps=30)
    subjects = data.videos.set_index("video")["subject"]
    assert dict(subjects) == {"clip": "ann", "0101": "bob", "silent": "bob", "frames": "frames"}
    assert list(data.annotations["subject"]) == ["ann", "bob"]
    assert problems(data, column="subject")[0][0] == 3


def test_own_subfolder_names_the_subject(tmp_path):
    film(tmp_path / "videos/ann/smile.mp4", 40)
    film(tmp_path / "videos/ann/rest.mp4", 40)
    (tmp_path / "annotations.csv").write_text("video,onset,offset,emotion\nsmile,5,15,happy\n")
    data = read_dataset(tmp_path)
    assert set(data.videos["subject"]) == {"ann"} == set(data.annotations["subject"])


def test_own_folder_in_seconds_counts_at_the_video_rate(own):
    (own / "annotations.csv").write_text(
        "video,start_s,end_s,emotion\n0101,0.4,1.2,happy\nclip,0.5,1.0,happy\n"
    )
    assert events(read_dataset(own, fps=30)) == [("0101", 10, None, 29), ("clip", 15, None, 29)]


def test_own_canonical_table_is_read_without_a_repair(own):
    table, _ = read_csv_of("schema_version,subject,video,fps,onset,apex,offset,expression_type,"
                           "emotion\n1,ann,clip,30,5,8,15,micro,positive\n", own)  # fmt: skip
    write_csv(table, own / "annotations.csv")
    data = read_dataset(own, fps=30)
    pd.testing.assert_frame_equal(data.annotations, table)
    assert not len(data.repairs)
    assert data.videos.set_index("video").loc["clip", "subject"] == "ann"


def read_csv_of(text, folder):
    path = folder / "text.csv"
    path.write_text(text)
    result = read_csv(path)
    path.unlink()
    return result


def test_own_folder_of_images_needs_a_rate(own):
    (own / "annotations.csv").write_text("video,onset,offset,emotion\nclip,5,15,happy\n")
    with pytest.raises(InputError, match="frames: a folder of images has no fps"):
        read_dataset(own)


def test_own_labels_of_no_video_at_all_are_an_error(own):
    (own / "annotations.csv").write_text("video,onset,offset,emotion\nother,5,15,happy\n")
    with pytest.raises(InputError, match=r"none of its videos \(other.*clip"):
        read_dataset(own, fps=30)


def test_own_label_of_one_missing_video_stays(own):
    (own / "annotations.csv").write_text("video,onset,offset,emotion\nother,5,15,happy\nclip,5,15,happy\n")
    data = read_dataset(own, fps=30)
    assert len(data.annotations) == 2
    assert problems(data, video="other")[0][2] == "no frames of this video found: labels only"


def test_own_videos_of_one_name_are_told_apart_by_subject(tmp_path):
    film(tmp_path / "videos/ann/a.mp4", 40)
    film(tmp_path / "videos/bob/a.mp4", 30)
    (tmp_path / "annotations.csv").write_text(
        "subject,video,onset,offset,emotion\nann,a,5,15,happy\nbob,a.mp4,5,35,happy\n"
    )
    data = read_dataset(tmp_path)
    assert events(data) == [("ann_a", 5, None, 15), ("bob_a", 5, None, 29)]
    assert list(data.videos["subject"]) == ["ann", "bob"]


@pytest.mark.parametrize("written", ["M\u00fcller", "Mu\u0308ller", "m\u00dcLLER.mp4"])
@pytest.mark.parametrize("name", ["M\u00fcller", "Mu\u0308ller"])
def test_own_video_with_an_umlaut_is_found_however_it_is_written(tmp_path, name, written):
    film(tmp_path / f"videos/{name}.mp4", 40)
    (tmp_path / "annotations.csv").write_text(
        f"video,onset,offset,emotion\n{written},5,15,happy\n", encoding="utf-8"
    )
    data = read_dataset(tmp_path)
    assert list(data.annotations["video"]) == list(data.videos["video"]) == [name]


def test_own_broken_video_is_listed_and_reported(own):
    (own / "videos/broken.mp4").write_bytes(b"no film")
    (own / "annotations.csv").write_text("video,onset,offset,emotion,fps\nclip,5,15,happy,30\n")
    data = read_dataset(own)
    assert pd.isna(data.videos.set_index("video").loc["broken", "path"])
    assert "cannot be opened" in problems(data, video="broken")[0][2]


def test_own_rate_that_differs_from_the_video_counts_and_is_reported(own):
    (own / "annotations.csv").write_text(
        "video,onset,offset,emotion,fps\nclip,10,118,happy,60\nframes,1,2,happy,30\n"
    )
    data = read_dataset(own)
    assert events(data)[0] == ("clip", 10, None, 118)  # 60 frames at 30 are 120 at 60
    assert "the video has 30 fps" in problems(data, video="clip", column="fps")[0][2]


# recognition


def test_wrong_folder_lists_what_was_looked_for_in_each_layout(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(InputError) as error:
        read_dataset(tmp_path)
    text = str(error.value)
    assert str(tmp_path) in text and "\n" not in text
    for word in ("code_final", "part_A", "SAMM_LongVideos", "annotations.csv", "video_name"):
        assert word in text


def test_named_layout_that_is_not_there(casme2):
    with pytest.raises(InputError, match="SAMM_LongVideos"):
        read_dataset(casme2, layout="SAMM-LV")
    with pytest.raises(InputError, match="layout='casme9'"):
        read_dataset(casme2, layout="casme9")
    with pytest.raises(InputError, match="no such file or folder"):
        read_dataset(casme2 / "nowhere")
    assert read_dataset(casme2, layout="CAS(ME)^2").name == "casme2"
    assert read_dataset(next(casme2.glob("*.xlsx"))).name == "casme2"


def test_old_excel_format_says_what_to_do(tmp_path):
    (tmp_path / "SAMM_LongVideos_V3_Release.xls").write_bytes(b"old")
    with pytest.raises(InputError, match="save it as .xlsx"):
        read_dataset(tmp_path)


def test_broken_workbook_names_the_file(tmp_path):
    (tmp_path / "code_final.xlsx").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="code_final.xlsx: not a readable xlsx"):
        read_dataset(tmp_path)


def test_own_subjects_that_a_spreadsheet_spells_differently_are_one(own):
    (own / "videos.csv").write_text("video,subject,fps\nsilent,1,\nsilnt,02,\nframes,,abc\n")
    (own / "annotations.csv").write_text(
        "subject,video,onset,offset,emotion\n01,clip,5,15,happy\n1,clip,20,40,sad\n001,0101,5,15,happy\n"
    )
    data = read_dataset(own, fps=30)
    assert data.annotations["subject"].tolist() == ["1"] * 3
    assert dict(data.videos.set_index("video")["subject"])["silent"] == "1"
    assert {p[1] for p in problems(data, column="subject")} == {"01", "001"}
    text = " ".join(data.repairs["problem"])
    assert "no such video is there" in text and "no frame rate" in text


@pytest.mark.parametrize("listed", ["", "video,subject\nclip,ann\n"])
def test_own_video_of_two_people_needs_to_say_which_face_is_whose(own, listed):
    if listed:
        (own / "videos.csv").write_text(listed)
    rows = "bob,clip,20,40,sad\n" if listed else "ann,clip,5,15,happy\nbob,clip,20,40,sad\n"
    (own / "annotations.csv").write_text("subject,video,onset,offset,emotion\n" + rows)
    with pytest.raises(InputError, match="'bob'.*'ann'.*face"):
        read_dataset(own, fps=30)


def test_own_video_of_two_people_has_a_row_for_each_with_the_face(own):
    (own / "videos.csv").write_text('video,subject,face\nclip,ann,left\nclip,bob,"0.7,0.5"\n')
    (own / "annotations.csv").write_text(
        "subject,video,onset,offset,emotion\nann,clip,5,15,happy\nbob,clip,20,40,sad\n"
    )
    data = read_dataset(own, fps=30)
    rows = data.videos[data.videos["video"] == "clip"]
    assert list(zip(rows["subject"], rows["face"], strict=True)) == [("ann", "left"), ("bob", "0.7,0.5")]
    assert rows["path"].nunique() == 1 and set(data.annotations["subject"]) == {"ann", "bob"}


@pytest.mark.parametrize(
    "listed",
    ["clip,ann,left\nclip,bob,left\n", "clip,ann,left\nclip,bob,\n", "clip,ann,left\nclip,ann,right\n"],
)
def test_own_video_with_unclear_faces_is_refused(own, listed):
    (own / "videos.csv").write_text("video,subject,face\n" + listed)
    (own / "annotations.csv").write_text("subject,video,onset,offset,emotion\nann,clip,5,15,happy\n")
    with pytest.raises(InputError, match=r"videos.csv: row .*face"):
        read_dataset(own, fps=30)


def test_own_event_of_nobody_in_a_video_of_two_is_refused(own):
    (own / "videos.csv").write_text("video,subject,face\nclip,ann,left\nclip,bob,right\n")
    (own / "annotations.csv").write_text("subject,video,onset,offset,emotion\n,clip,5,15,happy\n")
    with pytest.raises(InputError, match="ann and bob"):
        read_dataset(own, fps=30)


def test_people_without_frames_may_share_the_names_of_their_videos(tmp_path):
    (tmp_path / "l.csv").write_text(
        "subject,video,onset,offset,emotion\ns1,anger1,10,40,positive\ns2,anger1,5,60,surprise\n"
    )
    data = read_dataset(tmp_path, fps=30)
    assert list(zip(data.videos["subject"], data.videos["video"], strict=True)) == [
        ("s1", "anger1"),
        ("s2", "anger1"),
    ]


def test_the_videos_to_detect_in_are_those_that_a_dataset_has(tmp_path):
    for name in ("a.mp4", "s2/b.TS", "s2/deeper/c.3gp"):
        film_file = tmp_path / "videos" / name
        film_file.parent.mkdir(parents=True, exist_ok=True)
        film_file.write_bytes(b"x")
    jpegs(tmp_path / "videos/v1", (1, 2), "{}.jpeg")
    names = {"a.mp4", "b.TS", "c.3gp", "v1"}
    assert {p.name for p in videos_in(tmp_path)} == names
    (tmp_path / "own.mp4").write_bytes(b"x")
    (tmp_path / "own1_apexes.png").write_bytes(b"x")
    assert {p.name for p in videos_in(tmp_path)} == names | {"own.mp4"}
    frames = tmp_path / "videos/v1"
    assert videos_in(frames) == [frames] and videos_in(tmp_path / "videos/s2/deeper/c.3gp")
    (frames / "out").mkdir()
    (frames / "out" / "x.mp4").write_bytes(b"x")
    assert videos_in(frames) == [frames]

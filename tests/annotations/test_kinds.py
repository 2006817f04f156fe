"""Members of each kind of trouble in label files: a right reading, or one line that says what is wrong."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedet.annotations import limits
from fedet.annotations.cells import csv_grid, label_key
from fedet.annotations.formats import read_intervals, read_labels
from fedet.errors import InputError

ANY_FOLDER = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = "video,fps,onset,offset,emotion\n"


def labels_of(path, text, encoding="utf-8", **options):
    path.write_bytes(text.encode(encoding))
    return read_labels(path, fps=25, **options)


# --- encodings and separators


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_encodings_give_one_table(tmp_path, encoding, separator, end):
    text = (HEADER + "clip one,25,1,20,happy\n").replace(",", separator).replace("\n", end)
    events = labels_of(tmp_path / "a.csv", text, encoding).events
    assert events[["video", "onset", "emotion"]].to_numpy().tolist() == [["clip one", 1, "positive"]]


WORDS = {
    "gb18030": "视频 高兴 悲伤 惊讶 张三",
    "shift_jis": "ビデオ 喜び 怒り 驚き アア さくら",
    "big5": "影片 高興 悲傷 驚訝",
    "euc_kr": "영상 기쁨 슬픔 놀람",
    "koi8_r": "радость печаль удивление",
}


@given(st.data())
@ANY_FOLDER
def test_another_script_is_refused_and_never_read_as_wrong_letters(tmp_path, data):
    encoding = data.draw(st.sampled_from(sorted(WORDS)))
    words = data.draw(st.lists(st.sampled_from(WORDS[encoding].split()), min_size=1, max_size=6))
    rows = "".join(f"v{i},25,{i},20,{word}\n" for i, word in enumerate(words))
    with pytest.raises(InputError, match="in an encoding that is not known; save it as UTF-8"):
        labels_of(tmp_path / "a.csv", HEADER + rows, encoding)


@pytest.mark.parametrize(
    "name", ["Größe", "süß", "été", "naïve", "“quoted”", "señor", "Åse", "L’été", "£5", "½"]
)
def test_letters_of_western_languages_are_read(tmp_path, name):
    text = HEADER + f"{name},25,1,20,happy\n"
    assert labels_of(tmp_path / "a.csv", text, "cp1252").events["video"][0] == name


# --- labels


@given(
    st.sampled_from(["überrascht", "glücklich", "ärger"]), st.sampled_from(["NFC", "NFD", "upper", "title"])
)
@ANY_FOLDER
def test_a_word_is_one_word_however_it_is_composed(word, form):
    import unicodedata

    forms = {"upper": str.upper, "title": str.title}
    written = forms[form](word) if form in forms else unicodedata.normalize(form, word)
    assert label_key(written) == label_key(word)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".vtt", ".srt"])
@pytest.mark.parametrize(("first", "second"), [("😀", "😢"), (":-)", ":-("), ("☺\ufe0f", "☹"), ("+", "-")])
def test_signs_of_emotions_csv_are_words(tmp_path, suffix, first, second):
    (tmp_path / "emotions.csv").write_text(f"label,emotion\n{first},positive\n{second},negative\n", "utf-8")
    cues = [f"00:00:0{2 * i}.000 --> 00:00:0{2 * i + 1}.000\n{x}" for i, x in enumerate((first, second))]
    entries = [{"segment": [2 * i, 2 * i + 1], "label": x} for i, x in enumerate((first, second))]
    text = {
        ".csv": HEADER + f"v,25,0,24,{first}\nv,25,50,74,{second}\n",
        ".json": json.dumps({"database": {"v": {"annotations": entries}}}),
        ".vtt": "WEBVTT\n\n" + "\n\n".join(cues),
        ".srt": "1\n" + "\n\n2\n".join(cues).replace(".000", ",000"),
    }[suffix]
    events = labels_of(tmp_path / f"v{suffix}", text).events
    assert events["emotion"].tolist() == ["positive", "negative"]


@pytest.mark.parametrize(
    "text", ["{\\an8}happy", "<i>happy</i>", "<v Anna>happy</v>", "<c.loud>happy</c>", "♪happy♪"]
)
def test_styles_of_subtitles_are_no_words(tmp_path, text):
    cues = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n2\n00:00:03,000 --> 00:00:04,000\nsad\n"
    events = labels_of(tmp_path / "talk.en.srt", cues).events
    assert events["emotion"].tolist() == ["positive", "negative"] and set(events["video"]) == {"talk"}


# --- BORIS


BORIS = (
    "Observation id,Media file,FPS,Subject,Behavior,Behavioral category,Modifiers,Behavior type,Start (s),"
    "Stop (s)\n"
)


def boris(rows):
    """Aggregated events of (behaviour, category, modifiers), a second each."""
    lines = [f"o,v.mp4,25,P,{b},{c},{m},STATE,{2 * i},{2 * i + 1}\n" for i, (b, c, m) in enumerate(rows)]
    return BORIS + "".join(lines)


OTHER = ["talks", "looks left", "parle", "gaze"]
EXPRESSIONS = [("happy", "", "None"), ("Sad", "", ""), ("micro", "", ""), ("smirk", "emotion", ""),
               ("AU12", "", ""), ("nod", "micro", ""), ("Facial expression", "", "None"),
               ("unknown", "", "")]  # fmt: skip


@given(st.lists(st.sampled_from(EXPRESSIONS), max_size=5), st.lists(st.sampled_from(OTHER), max_size=5))
@ANY_FOLDER
def test_gaze_and_speech_are_no_expressions_and_each_is_counted(tmp_path, expressions, others):
    rows = [*expressions, *((other, "", "None") for other in others)]
    labels = labels_of(tmp_path / "b.csv", boris(rows))
    assert len(labels.events) == len(expressions) and labels.n_annotations == len(rows)
    left_out = labels.repairs[labels.repairs["action"] == "left out"]
    assert set(left_out["value"]) == set(others)


def test_behaviours_of_which_none_is_an_expression_are_refused_and_emotions_csv_names_them(tmp_path):
    text = boris([("joie", "", ""), ("parle", "", "")])
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(
        InputError, match=r"none of its 2 annotations .*'joie' names no emotion.*emotions\.csv"
    ):
        read_intervals(tmp_path / "b.csv")
    (tmp_path / "emotions.csv").write_text("label,emotion\njoie,positive\n")
    assert read_intervals(tmp_path / "b.csv")[0]["emotion"].tolist() == ["positive"]


@pytest.mark.parametrize("modifiers", ["happy", "strong|happy", "Happy|None"])
def test_an_emotion_among_the_modifiers_counts_where_the_behaviour_names_none(tmp_path, modifiers):
    rows = [("Facial expression", "", modifiers), ("sad", "", modifiers)]
    events = labels_of(tmp_path / "b.csv", boris(rows)).events
    assert events["emotion"].tolist() == ["positive", "negative"]


# --- JSON


def test_a_video_that_stands_twice_keeps_both_entries(tmp_path):
    entry = '"v": {"annotations": [{"segment": [%d, %d], "label": "happy"}]}'
    text = '{"database": {' + entry % (1, 2) + "," + entry % (3, 4) + "}}"
    labels = labels_of(tmp_path / "a.json", text)
    assert labels.events["onset"].tolist() == [25, 75] and len(labels.videos) == 1


def test_a_key_that_stands_twice_is_reported(tmp_path):
    text = '{"database": {"v": {"fps": 25, "annotations": [{"segment": [1, 2]}], "annotations": []}}}'
    labels = labels_of(tmp_path / "a.json", text)
    assert len(labels.events) == 1 and "'annotations' stands in it twice" in " ".join(
        labels.repairs["problem"]
    )


@pytest.mark.parametrize("segment", [["1.0", "2.0"], ["00:01", "00:02"], ["1,0", "2,0"], [1, 2]])
def test_times_of_a_segment_in_any_writing(tmp_path, segment):
    database = {"v": {"annotations": [{"segment": segment, "label": "happy"}]}}
    events = labels_of(tmp_path / "a.json", json.dumps({"database": database})).events
    assert events[["onset", "offset"]].to_numpy().tolist() == [[25, 49]]


# --- limits


def test_what_is_beyond_a_limit_is_refused_with_the_reason(tmp_path, monkeypatch):
    files = {
        "rows.csv": HEADER + "v,25,1,2,happy\n" * 30,
        "lines.csv": HEADER + "\n" * 30,
        "cues.vtt": "WEBVTT\n\n" + "00:00:01.000 --> 00:00:02.000\nhappy\n\n" * 30,
        "list.json": json.dumps({"database": {"v": {"annotations": [{"segment": [1, 2]}] * 30}}}),
        "empty.json": '{"database": {"v": {"annotations": [' + "[]," * 30 + "1]}}}",
    }
    for module in ("activitynet", "cells", "table", "webvtt"):
        monkeypatch.setattr(f"fedet.annotations.{module}.MAX_ROWS", 20)
    for name, text in files.items():
        with pytest.raises(InputError, match=f"{name}: .*(at most 20|more than .* 20 rows).*split the file"):
            labels_of(tmp_path / name, text)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.vtt", "a.eaf", "a.boris"])
def test_a_file_of_too_many_bytes_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text(HEADER)
    monkeypatch.setattr("fedet.annotations.cells.checked_size.__defaults__", (1,))
    for module in ("activitynet", "boris_project", "webvtt", "elan.eaf"):
        monkeypatch.setattr(f"fedet.annotations.{module}.MAX_TREE_BYTES", 1)
    monkeypatch.setattr("fedet.annotations.cells.read_bytes.__defaults__", (1,))
    monkeypatch.setattr("fedet.annotations.cells.read_text.__defaults__", (1,))
    with pytest.raises(InputError, match="bytes, at most 1 are read"):
        read_intervals(tmp_path / name, fps=25)


def test_a_cell_of_too_many_letters_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + "v,25,1,2," + "x" * (limits.MAX_TEXT + 1))
    with pytest.raises(InputError, match="a.csv: line 2: not a CSV file"):
        csv_grid(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".vtt", ".boris.csv"])
def test_ten_thousand_bad_annotations_are_reported_each(tmp_path, suffix):
    n, boris = 10_000, "Observation id,Media file,FPS,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
    text = {
        ".csv": HEADER + "".join(f"v,25,{i + 9},{i},happy\n" for i in range(n)),
        ".json": json.dumps({"database": {"v": {"annotations": [{"segment": [i]} for i in range(n)]}}}),
        ".vtt": "WEBVTT\n\n" + "00:00:02.000 --> 00:00:01.000\nhappy\n\n" * n,
        ".boris.csv": boris + "".join(f"o,v.mp4,25,P,happy,STATE,{i + 2},{i}\n" for i in range(n)),
    }[suffix]
    labels = labels_of(tmp_path / f"a{suffix}", text)
    assert len(labels.events) == 0 and labels.n_annotations == n
    assert (labels.repairs["action"] == "left out").sum() == n

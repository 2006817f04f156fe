"""Reviews gathered into a dataset, and a detector tuned on it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from command import fedet
from explorer_data import FPS, predicted, truth, write_clip

from fedet.annotations.formats import write_intervals
from fedet.annotations.table import read_csv, write_csv
from fedet.errors import InputError
from fedet.explorer.widget import Explorer
from fedet.model import FEDN, FEDNConfig
from fedet.review.review import Review, read_review
from fedet.review.reviewed_dataset import reviewed_dataset
from fedet.review.simulated_reviewer import simulate_review
from fedet.training import fine_tuning as learning
from fedet.training.config import TrainConfig
from fedet.training.fine_tuning import LearnResult, learn, save_result, verdict
from fedet.windows import VideoFeatures

SPANS = ["onset", "offset", "emotion"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of which one was reviewed, in every format."""
    place = tmp_path_factory.mktemp("reviewed")
    (place / "videos").mkdir()
    for name in ("clip", "other"):
        write_clip(place / "videos" / f"{name}.mp4", 600 if name == "clip" else 90)
    explorer = Explorer(place / "videos" / "clip.mp4", predicted(subject="s01"), reviewer="Ann",
                        autosave=place / "clip.review.jsonl")  # fmt: skip
    simulate_review(explorer.review, truth(), threshold=0.5)
    for suffix in ("csv", "eaf", "json", "vtt", "boris.csv"):
        explorer.export(place / f"clip.{suffix}")
    explorer.export(place / "everything.csv", include="all")
    explorer.close()
    return place


def spans(dataset) -> list:
    return sorted(map(tuple, dataset.annotations[SPANS].astype(object).to_numpy().tolist()))


FILES = [
    "clip.review.jsonl",
    "clip.csv",
    "clip.eaf",
    "clip.json",
    "clip.vtt",
    "clip.boris.csv",
    "everything.csv",
]


@pytest.mark.parametrize("file", FILES)
def test_what_is_decided_is_learnt_from_in_every_format(folder, file):
    dataset = reviewed_dataset(folder / "videos", [folder / file])
    assert spans(dataset) == sorted(map(tuple, truth()[SPANS].astype(object).to_numpy().tolist()))
    assert dataset.videos["video"].tolist() == ["clip"], "a video that nobody reviewed teaches nothing"
    assert dataset.open("clip").fps == FPS and dataset.videos["fps"].tolist() == [FPS]


def test_the_same_review_in_two_files_counts_once(folder):
    both = reviewed_dataset(folder / "videos", [folder / "clip.eaf", folder / "clip.review.jsonl"])
    assert spans(both) == spans(reviewed_dataset(folder / "videos", [folder / "clip.eaf"]))


def test_a_folder_of_reviews_is_taken_whole(folder, tmp_path):
    for name in ("clip.review.jsonl", "clip.eaf"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert len(reviewed_dataset(folder / "videos", [tmp_path]).annotations) == len(truth())


def test_reviews_that_differ_are_refused(folder, tmp_path):
    write_csv(truth(source="review: accepted").iloc[:2], tmp_path / "ben.csv")
    with pytest.raises(InputError, match="differ about 'clip'"):
        reviewed_dataset(folder / "videos", [folder / "clip.eaf", tmp_path / "ben.csv"])


def test_a_review_of_a_video_that_is_not_there_is_refused(folder, tmp_path):
    write_csv(truth(video="lost", source="review: accepted"), tmp_path / "lost.csv")
    with pytest.raises(InputError, match="a review of 'lost'.*clip, other"):
        reviewed_dataset(folder / "videos", [tmp_path / "lost.csv"])


def test_a_video_in_which_all_was_rejected_is_a_silent_one(folder, tmp_path):
    explorer = Explorer(folder / "videos" / "other.mp4", predicted([(3, 9, "others", 0.8)], video="other"),
                        reviewer="Ann", autosave=tmp_path / "other.review.jsonl")  # fmt: skip
    explorer.review.reject("p0")
    explorer.close()
    dataset = reviewed_dataset(folder / "videos", [tmp_path])
    assert dataset.videos["video"].tolist() == ["other"] and dataset.annotations.empty


def test_an_elan_export_in_which_nothing_was_decided_teaches_nothing(folder, tmp_path):
    explorer = Explorer(folder / "videos" / "other.mp4", predicted([(3, 9, "others", 0.8)], video="other"),
                        reviewer="Ann", autosave=False)  # fmt: skip
    for _ in ("open", "rejected"):
        file = explorer.export(tmp_path / "other.eaf")
        with pytest.raises(InputError, match="other.eaf: nothing in it is reviewed; put .* the tier review"):
            reviewed_dataset(folder / "videos", [file])
        explorer.review.reject("p0")
    both = pd.concat([truth(video="other").iloc[:1], predicted([(3, 9, "others", 0.8)], video="other")])
    write_intervals(both, tmp_path / "coded.eaf", fps=FPS)
    dataset = reviewed_dataset(folder / "videos", [tmp_path / "coded.eaf"])
    assert dataset.annotations["onset"].tolist() == [60]
    assert dataset.repairs["problem"].str.contains("1 detections that nobody decided").any()


@pytest.mark.parametrize("file", ["clip.review.jsonl", "table.csv"])
def test_the_columns_of_a_review_are_no_loss(folder, tmp_path, file):
    read_review(folder / "clip.review.jsonl").to_csv(tmp_path / "table.csv", index=False)
    place = folder if file.endswith("jsonl") else tmp_path
    assert not (reviewed_dataset(folder / "videos", [place / file]).repairs["action"] == "left out").any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: no review"),
        ('{"fedet_rev', "line 1: no review"),
        ('{"fedet_review": 1}\n', "line 1 has no 'base'"),
        ('HEAD{"op": "undo", "id": "x"}\n', "line 2: nothing is left to undo"),
    ],
)
def test_a_damaged_journal_is_refused_by_file_and_line(folder, tmp_path, content, message):
    head = (folder / "clip.review.jsonl").read_text().splitlines(keepends=True)[0]
    (tmp_path / "clip.review.jsonl").write_text(content.replace("HEAD", head))
    with pytest.raises(InputError, match=f"clip.review.jsonl: {message}"):
        reviewed_dataset(folder / "videos", [tmp_path])


def test_a_half_finished_review_is_told_with_the_count_of_its_open_rows(folder, tmp_path):
    table = predicted(
        [(3, 9, "others", 0.8), (20, 30, "others", 0.9), (40, 50, "others", 0.7), (60, 70, "others", 0.1)],
        video="other",
    )
    explorer = Explorer(folder / "videos" / "other.mp4", table, reviewer="Ann",
                        autosave=tmp_path / "other.review.jsonl")  # fmt: skip
    explorer.review.note("p0", "unsure")  # no decision
    notice = "4 of 4 intervals were never decided, the highest scores 0.90"
    assert reviewed_dataset(folder / "videos", [tmp_path]).repairs["problem"].str.contains(notice).any()
    explorer.review.accept("p2")
    (tmp_path / "b").mkdir()
    export = explorer.export(tmp_path / "b" / "other.csv", include="all")
    for file in (tmp_path / "other.review.jsonl", export):
        dataset = reviewed_dataset(folder / "videos", [file])
        assert len(dataset.annotations) == 1
        assert dataset.repairs["problem"].str.contains("2 of 4 .*others from 0.70 on were").sum() == 1
    explorer.review.reject("p0")
    explorer.review.reject("p1")
    explorer.close()
    repairs = reviewed_dataset(folder / "videos", [tmp_path]).repairs
    assert not repairs["problem"].str.contains("never decided").any()


def test_videos_csv_says_who_is_in_a_video(folder, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "clip.mp4").symlink_to(folder / "videos" / "clip.mp4")
    (videos / "videos.csv").write_text("video,subject\nclip.mp4,p07\n")
    dataset = reviewed_dataset(videos, [folder / "clip.csv"])
    assert dataset.videos["subject"].tolist() == ["p07"] == sorted(set(dataset.annotations["subject"]))


@pytest.mark.parametrize("beside", ["videos", "reviews"])
def test_a_reviewers_own_words_are_read_from_emotions_csv(folder, tmp_path, beside):
    for name in ("videos", "reviews"):
        (tmp_path / name).mkdir()
    (tmp_path / "videos" / "clip.mp4").symlink_to(folder / "videos" / "clip.mp4")
    table = read_csv(folder / "clip.csv")[0]
    write_csv(table.assign(emotion="glee"), tmp_path / "reviews" / "clip.csv")
    (tmp_path / beside / "emotions.csv").write_text("label,emotion\nGlee,positive\n")
    annotations = reviewed_dataset(tmp_path / "videos", [tmp_path / "reviews"]).annotations
    assert len(annotations) and set(annotations["emotion"]) == {"positive"}


def test_no_review_at_all_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no review"):
        reviewed_dataset(folder / "videos", [tmp_path])
    with pytest.raises(InputError, match="no such review"):
        reviewed_dataset(folder / "videos", [tmp_path / "nothing.eaf"])


# ---- learning

SMALL = FEDNConfig(input_features=6, channels=16, attention_heads=2, window=128, window_stride=64,
                   segment=4, first_stride=4, pyramid_levels=3, head_layers=1)  # fmt: skip


def people(n: int, seed: int, strength: float = 1.0) -> list[VideoFeatures]:
    """Videos in which each emotion is a bump in one feature."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        x = 0.1 * rng.standard_normal((400, 6)).astype(np.float32)
        rows = [
            (on, on + 20, e) for on, e in zip(range(30, 390, 60), np.resize(SMALL.emotions, 6), strict=True)
        ]
        for on, off, emotion in rows:
            x[on : off + 1, SMALL.emotions.index(emotion)] += strength
        table = predicted([(on, off, e, 1.0) for on, off, e in rows], video=f"v{i}", subject=f"s{i}")
        made.append(VideoFeatures(f"s{i}", f"v{i}", FPS, x, np.ones(400, bool), table))
    return made


@pytest.fixture(scope="module")
def start():
    from fedet.training.training import train

    config = TrainConfig(epochs=20, learning_rate=5e-3, batch_size=4, coverage=2.0, least_steps=1, ema=0.5)
    return train(people(4, 0), SMALL, config, progress=False).model


def weights(model: FEDN) -> dict:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return all((a[name] == b[name]).all() for name in a)


def test_learning_chooses_on_held_out_people_and_leaves_the_start_alone(start, tmp_path):
    before = weights(start)
    config = TrainConfig(epochs=3, learning_rate=1e-3, batch_size=4, least_steps=1)
    lesson = learn(people(4, 1, strength=0.4), start, config, folds=2, progress=False)
    assert same(before, weights(start))
    history = lesson.history
    assert history["epochs"].tolist() == [0, 1, 2, 3]
    good = history["behind"] <= history["behind_se"]
    assert good[history["monitored"].idxmax()] and history["behind"].min() == 0
    assert lesson.epochs == history["epochs"][good].max()
    assert lesson.model.config.default_threshold == history["threshold"][lesson.epochs]
    assert lesson.threshold_before == start.config.default_threshold
    assert same(before, weights(lesson.model)) == (lesson.epochs == 0)
    save_result(lesson, tmp_path)
    assert same(weights(FEDN.from_pretrained(tmp_path)), weights(lesson.model))
    assert "held-out reviewed subjects" in verdict(lesson)


def test_the_error_of_a_mean_by_leaving_out_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(size=9)
    without = [np.delete(values, i).mean() for i in range(9)]
    assert learning._jackknife_se(without) == pytest.approx(values.std(ddof=1) / 3)


def test_a_threshold_stays_unless_another_is_better_beyond_doubt(start):
    """Scores of 0.3 and truth below the threshold of 0.5: for all people it must come down, for one not."""
    records = people(6, 4)
    config = TrainConfig(epochs=1)

    def found(low: int) -> dict[str, pd.DataFrame]:
        tables = {}
        for i, r in enumerate(records):
            score = 0.3 if i < low else 0.9
            rows = [(e.onset, e.offset, e.emotion, score) for e in r.events.itertuples()]
            junk = [(e.onset + 25, e.offset + 25, e.emotion, 0.2) for e in r.events.itertuples()]
            table = predicted(rows + junk, video=r.video, subject=r.subject)
            tables[f"{r.subject}/{r.video}"] = table.assign(score=[row[3] for row in rows + junk])
        return tables

    model = FEDN(replace(start.config, default_threshold=0.5))
    history = learning._history([found(6), found(1), found(0)], records, model, config)
    assert history["threshold"][0] == pytest.approx(0.25)
    assert history["spotting_f1"][0] == 1
    assert history["threshold"][1] == history["threshold"][2] == 0.5
    assert history["spotting_f1"][1] < 1 == history["spotting_f1"][2]


def test_a_pass_that_does_not_help_is_not_kept(start):
    ruin = TrainConfig(epochs=1, learning_rate=30.0, batch_size=4, least_steps=1, ema=0.0)
    before = start.config
    lesson = learn(people(2, 2), start, ruin, folds=2, progress=False)
    assert lesson.epochs == 0 and same(weights(start), weights(lesson.model))
    assert start.config == before and lesson.model is not start


def test_with_one_subject_nothing_is_judged(start):
    lesson = learn(people(1, 3), start, TrainConfig(epochs=1, batch_size=2, least_steps=1), progress=False)
    assert isinstance(lesson, LearnResult) and lesson.history.empty
    assert lesson.model.config.default_threshold == start.config.default_threshold
    with pytest.raises(InputError):
        learn([], start)


def test_events_of_one_subject_among_several_are_learnt_without_a_judge(start):
    silent = [replace(r, events=r.events.iloc[:0]) for r in people(3, 3)[1:]]
    config = TrainConfig(epochs=1, batch_size=2, least_steps=1)
    lesson = learn([people(3, 3)[0], *silent], start, config, progress=False)
    assert lesson.history.empty and "events of one subject only" in verdict(lesson)
    with pytest.raises(InputError, match="no visible event"):
        learn(silent, start, config, progress=False)


# ---- the command


@pytest.mark.slow
def test_one_command_leads_from_reviews_to_a_detector(small_set, small_vectors, tmp_path):
    events, _ = read_csv(small_set / "annotations.csv")
    for video, table in events.groupby("video"):
        review = Review(table.iloc[:0], video=video, fps=30.0, journal=tmp_path / f"{video}.review.jsonl")
        simulate_review(review, table)
        review.close()
    reviews = [tmp_path / f"{video}.review.jsonl" for video in events["video"].unique()]
    done = fedet(
        "learn",
        small_set,
        *reviews,
        "--out",
        tmp_path / "mine",
        "--epochs",
        1,
        "--folds",
        2,
        "--cache",
        small_vectors,
    )
    assert done.returncode == 0, done.stderr
    assert "0.2 reviewed minutes" in done.stdout and "held-out reviewed subjects" in done.stdout
    assert FEDN.from_pretrained(tmp_path / "mine").config.emotions
    found = fedet("detect", small_set / "videos" / "s01_01.mp4", "--weights", tmp_path / "mine")
    assert found.returncode == 0, found.stderr
    wrong = fedet("learn", small_set, tmp_path / "nothing.eaf", "--out", tmp_path / "other")
    assert wrong.returncode == 2 and "no such review" in wrong.stderr and "Traceback" not in wrong.stderr


def test_rows_that_cannot_be_learnt_from_are_told(folder, tmp_path):
    (tmp_path / "other.csv").write_text(
        "video,onset,offset,emotion\nother,5,15,happy\nother,60,50,sad\nother,20,x,sad\n"
        "other,200,230,fear\nother,70,300,gespannt\n"
    )
    dataset = reviewed_dataset(folder / "videos", [tmp_path])
    assert dataset.annotations[["onset", "offset"]].to_numpy().tolist() == [[5, 15], [70, 89]]
    assert dataset.annotations["emotion"].isna().tolist() == [False, True]
    left_out = dataset.repairs[dataset.repairs["action"] == "left out"]
    assert len(left_out) == 3 and "gespannt" in " ".join(dataset.repairs["value"].dropna())


def test_a_table_of_several_videos_takes_its_rates_from_them(folder, tmp_path):
    (tmp_path / "all.csv").write_text("video,onset,offset,emotion\nclip,5,15,happy\nother,10,40,sad\n")
    dataset = reviewed_dataset(folder / "videos", [tmp_path])
    assert dataset.annotations["fps"].tolist() == [FPS, FPS]


def test_names_with_dots_and_torn_journals(folder, tmp_path):
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "P01.session1.mp4", 60)
    (tmp_path / "P01.session1.vtt").write_text("WEBVTT\n\n00:00.200 --> 00:00.600\nhappy\n")
    found = reviewed_dataset(tmp_path / "videos", [tmp_path / "P01.session1.vtt"])
    assert found.annotations["video"].tolist() == ["P01.session1"]
    torn = tmp_path / "clip.review.jsonl"
    torn.write_text("")
    with pytest.raises(InputError, match="clip.review.jsonl"):
        reviewed_dataset(folder / "videos", [torn])
    lines = (folder / "clip.review.jsonl").read_text().splitlines(keepends=True)
    torn.write_text(lines[0] + '{"op": "undo"}\n')
    with pytest.raises(InputError, match="line 2 has no 'id'"):
        reviewed_dataset(folder / "videos", [torn])

"""What somebody did in ELAN after fedet wrote a file is not lost by writing the file again."""

import pandas as pd
import pytest
from explorer_data import N_FRAMES, predicted, truth
from pympi.Elan import Eaf

from fedet.annotations.formats import convert, read_intervals, write_intervals
from fedet.annotations.spellings import AS_WRITTEN
from fedet.annotations.table import validate, write_csv
from fedet.errors import InputError
from fedet.explorer.exchange import changes_from, decided_rows, read_reviewed, write_review
from fedet.explorer.timeline import prepare
from fedet.review.review import Review

MS = 1000 / 30


@pytest.fixture
def review():
    made = Review(predicted(), video="clip", fps=30.0, n_frames=N_FRAMES, reviewer="Ann")
    made.accept("p0")
    made.accept("p4")
    return made


@pytest.fixture
def lanes():
    return prepare(predicted(), truth(), fps=30.0, duration_s=N_FRAMES / 30)


def edited(path, change) -> None:
    """Applies `change` to the document as a coder would in ELAN."""
    eaf = Eaf(str(path))
    change(eaf)
    eaf.to_file(str(path))


def changed(tier: str, rank: int, onset=None, offset=None, text=None):
    """Moves an annotation's ends (frames) or types another text into it."""

    def change(eaf):
        key = sorted(eaf.tiers[tier][0], key=lambda k: eaf.timeslots[eaf.tiers[tier][0][k][0]])[rank]
        start, end, old, svg = eaf.tiers[tier][0][key]
        eaf.timeslots["ts9001"] = eaf.timeslots[start] if onset is None else round(onset * MS)
        eaf.timeslots["ts9002"] = eaf.timeslots[end] if offset is None else round((offset + 1) * MS)
        eaf.tiers[tier][0][key] = ("ts9001", "ts9002", text or old, svg)

    return change


def deleted(tier: str, rank: int):
    def change(eaf):
        key = sorted(eaf.tiers[tier][0], key=lambda k: eaf.timeslots[eaf.tiers[tier][0][k][0]])[rank]
        for child in [name for name in eaf.tiers if name.startswith(f"{tier}-")]:
            remarks = eaf.tiers[child][1]
            for own in [k for k, remark in remarks.items() if remark[0] == key]:
                del remarks[own]
        del eaf.tiers[tier][0][key]

    return change


def noted(eaf):
    key = next(iter(eaf.tiers["review"][0]))
    eaf.add_tier("review-note", "fedet remark", parent="review")
    eaf.tiers["review-note"][1]["a9000"] = (key, "unsure", None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("review", 0, onset=59), "1.97 to 3.20 s of the tier review was added .*import it first"),
        (changed("review", 1, offset=400), "10.17 to 13.37 s of the tier review was added or changed"),
        (changed("review", 0, offset=N_FRAMES + 8), "1.93 to 20.30 s"),  # a little behind the end
        (changed("review", 0, text="others"), "1.93 to 3.20 s of the tier review was added or changed"),
        (deleted("review", 0), "1.93 to 3.20 s of the tier review was deleted or changed"),
        (noted, "1.93 to 3.20 s of the tier review was added or changed"),
        (lambda eaf: eaf.add_annotation("review", 8000, 8500, "happy"), "8.00 to 8.50 s of the tier review"),
    ],
)
def test_an_export_over_a_review_edited_in_elan_waits_for_its_import(
    tmp_path, review, lanes, change, message
):
    path = tmp_path / "clip.eaf"
    for _ in range(2):  # its own file is replaced
        write_review(path, review.table(), predicted(), lanes, None)
    edited(path, change)
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        write_review(path, review.table(), predicted(), lanes, None)
    assert path.read_bytes() == before
    review.apply("replace", changes=changes_from(read_reviewed(path, lanes, []), review))
    want = review.table()
    review.add(450, 460, "others")
    write_review(path, review.table(), predicted(), lanes, None)
    assert len(read_reviewed(path, lanes, [])) == len(want) + 1


@pytest.mark.parametrize("tier", ["truth", "fedet"])
def test_an_edge_dragged_in_another_tier_is_not_overwritten(tmp_path, review, lanes, tier):
    path = tmp_path / "clip.eaf"
    write_review(path, review.table(), predicted(), lanes, None)
    edited(path, changed(tier, 1, offset=170))
    with pytest.raises(InputError, match=f"5.70 s of the tier {tier} was added .*; name another file"):
        write_review(path, review.table(), predicted(), lanes, None)


def test_detections_come_and_go_and_a_review_goes_on(tmp_path, review, lanes):
    path = tmp_path / "clip.eaf"
    write_review(path, review.table(), predicted(), lanes, None)
    edited(path, deleted("fedet", 0))
    review.move("p0", onset=57)
    review.reject("p4")
    for found in (predicted().iloc[3:], predicted(), predicted()):
        write_review(path, review.table(), found, lanes, None)
        assert list(read_reviewed(path, lanes, [])["onset"]) == [57]
    table = read_intervals(path, emotion_map=AS_WRITTEN)[0]
    onsets = table.loc[table["source"] == "fedet", "onset"].tolist()
    assert onsets == predicted()["onset"].iloc[1:].tolist()


def test_convert_does_not_overwrite_what_was_changed_in_elan(tmp_path):
    rows = {"video": "clip", "fps": 25.0, "onset": [10, 50], "offset": [19, 59], "emotion": ["happy", "sad"]}
    write_csv(validate(pd.DataFrame(rows))[0], tmp_path / "clip.csv")
    path = tmp_path / "clip.eaf"
    for _ in range(2):
        convert(tmp_path / "clip.csv", path)
    edited(path, lambda eaf: changed("truth", 0, text="positive macro")(eaf))
    with pytest.raises(InputError, match="0.40 to 0.80 s of the tier truth was added or changed"):
        convert(tmp_path / "clip.csv", path)
    convert(path, tmp_path / "clip.csv")  # the way back takes the change along
    convert(tmp_path / "clip.csv", path)


def test_a_file_that_fedet_did_not_write_is_all_handwork(tmp_path):
    path = tmp_path / "clip.eaf"
    eaf = Eaf()
    eaf.remove_tier("default")
    eaf.add_tier("review")
    eaf.add_annotation("review", 0, 500, "happy")
    eaf.to_file(str(path))
    other = predicted().assign(source="review by Ann at 2026-01-01: accepted")
    with pytest.raises(InputError, match="0.00 to 0.50 s of the tier review was added or changed"):
        write_intervals(other, path)


def test_what_somebody_linked_stays_linked_and_synchronised_videos_are_left_alone(tmp_path, review, lanes):
    path = tmp_path / "clip.eaf"
    write_review(path, review.table(), predicted(), lanes, None)
    edited(path, lambda eaf: eaf.add_linked_file("file:///data/voice.wav", "./voice.wav", "audio/x-wav"))
    write_review(path, review.table(), predicted(), lanes, None)
    assert [m["MEDIA_URL"] for m in Eaf(str(path)).media_descriptors] == ["file:///data/voice.wav"]
    edited(path, lambda eaf: eaf.media_descriptors[0].update(TIME_ORIGIN="1500"))
    with pytest.raises(InputError, match="synchronised in ELAN"):
        write_review(path, review.table(), predicted(), lanes, None)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".eaf", ".vtt", ".boris.csv"])
def test_open_and_rejected_rows_of_an_export_decide_nothing(tmp_path, review, lanes, suffix):
    path = tmp_path / f"clip{suffix}"
    review.reject("p1")
    write_review(path, review.table("all"), predicted(), lanes, None)
    assert changes_from(read_reviewed(path, lanes, []), review) == {}
    assert len(decided_rows(read_reviewed(path, lanes, []))) == 2
    review.accept("p3")  # after the export
    assert changes_from(read_reviewed(path, lanes, []), review) == {}


def test_an_open_row_that_was_dragged_in_elan_is_a_correction(tmp_path, review, lanes):
    path = tmp_path / "clip.eaf"
    write_review(path, review.table("all"), predicted(), lanes, None)
    rank = review.table("all")["row_id"].tolist().index("p3")
    edited(path, changed("review", rank - 1, offset=250))  # p1 overlaps p0: it is in review-2
    changes = changes_from(read_reviewed(path, lanes, []), review)
    assert {i: (r["status"], r["offset"]) for i, r in changes.items()} == {"p3": ("corrected", 250)}

"""Several people in one picture: following, joining and naming them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedet.errors import InputError
from fedet.faces.detectors import Box
from fedet.faces.people.identity import Stretch, join_stretches
from fedet.faces.people.naming import name_people, parse_names, parse_people, person_at
from fedet.faces.people.reading import People, Person
from fedet.faces.people.tracking import track_all
from fedet.faces.vectors import STATES, FaceTrack
from fedet.video.reader import Frame

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


class SquareDetector:
    """Finds the squares of `COLOURS`; like real ones near a face only those about there."""

    def detect(self, image, near=None):
        boxes = []
        for colour in COLOURS:
            y, x = np.nonzero((image == colour).all(-1))
            if len(y) > 20:
                side = float(max(np.ptp(x), np.ptp(y)) + 1)
                boxes.append(Box(float(x.min()), float(y.min()), side, side, 1.0))
        if near is not None:
            boxes = [b for b in boxes if abs(b.cx - near.cx) + abs(b.cy - near.cy) < 1.6 * near.size]
        return boxes


def scene(count, places, size=(90, 240), side=30, back=128):
    """Frames at 30 a second; `places(i)` gives the left and upper corner of each face, or None."""
    for i in range(count):
        image = np.full((*size, 3), back if np.isscalar(back) else back(i), np.uint8)
        for corner, colour in zip(places(i), COLOURS, strict=False):
            if corner is not None:
                x, y = corner
                image[y : y + side, x : x + side] = colour
        yield Frame(i, i / 30, image)


def follow(frames):
    """Fragment -> frames and centres of its sightings."""
    out = {}
    for number, (_, faces, _) in enumerate(track_all(frames, (SquareDetector(),))):
        for face in faces:
            out.setdefault(face.fragment, []).append((number, face.box.cx))
    return out


def test_each_face_is_followed_from_its_first_frame_to_its_last():
    found = follow(scene(90, lambda i: [(20, 20), (150, 30) if 30 <= i < 60 else None]))
    assert sorted(len(seen) for seen in found.values()) == pytest.approx([30, 90], abs=5)
    longest = max(found.values(), key=len)
    assert np.allclose([x for _, x in longest], 35, atol=1)


def test_a_single_false_alarm_is_nobody():
    assert len(follow(scene(60, lambda i: [(20, 20), (150, 30) if i == 0 else None]))) == 1


def test_faces_that_touch_and_part_begin_anew():
    found = follow(scene(120, lambda i: [(10 + i, 20), (180 - i, 24)]))
    for seen in found.values():  # within a fragment a face moves one way
        steps = np.diff([x for _, x in seen])
        assert (steps > -0.3).mean() > 0.95 or (steps < 0.3).mean() > 0.95
    assert len(found) >= 4


def test_a_cut_ends_all_and_a_view_that_returns_has_its_number():
    frames = scene(90, lambda i: [(20, 20)], back=lambda i: 30 if 30 <= i < 60 else 220)
    views = [view for _, _, view in track_all(frames, (SquareDetector(),))]
    assert views[:30] == [0] * 30 and views[30:60] == [1] * 30 and views[60:] == [0] * 30


def stretch(first, last, who, x=0.0, view=0, noise=0.05, seed=0):
    rng = np.random.default_rng(seed + 1000 * who + first)
    base = np.random.default_rng(who).normal(size=512)
    vectors = [base + noise * rng.normal(size=512) for _ in range(8)]
    box = Box(x, 0.0, 40.0, 40.0)
    return Stretch(first, last, box, box, vectors, view)


def test_a_person_is_found_again_wherever_and_never_in_two_places_at_once():
    parts = [stretch(0, 99, 1), stretch(0, 99, 2, 200), stretch(150, 250, 2, 0), stretch(150, 250, 1, 200)]
    assert join_stretches(parts, None).person.tolist() == [0, 1, 1, 0]
    twins = [stretch(0, 99, 1), stretch(50, 150, 1, 200)]
    assert join_stretches(twins, None).person.tolist() == [0, 1]


def test_strangers_in_one_place_stay_strangers():
    assert join_stretches([stretch(0, 99, 1), stretch(110, 200, 2)], None).person.tolist() == [0, 1]


@given(st.permutations(range(5)))
def test_who_is_who_does_not_depend_on_the_order_of_the_stretches(order):
    parts = [stretch(60 * i, 60 * i + 50, 1 + i % 2, 100.0 * (i % 2)) for i in range(5)]
    person = join_stretches([parts[i] for i in order], None).person
    assert [person[order.index(i)] for i in range(5)] == [0, 1, 0, 1, 0]


def person(frames, x, mask=None, change=9.0):
    mask = np.ones(frames, bool) if mask is None else mask
    state = np.where(mask, STATES.index("found"), STATES.index("missing")).astype(np.uint8)
    boxes = np.where(mask[:, None], (x - 20.0, 30.0, 40.0, 0.0), 0.0).astype(np.float32)
    track = FaceTrack(
        np.zeros((frames, 512), np.float16), np.zeros(frames, np.float32), state,
        np.where(mask, 0, -1).astype(np.int32), 30.0, (), "none", boxes=boxes,
    )  # fmt: skip
    return Person(track, np.zeros((112, 112, 3), np.uint8), change)


def group(*persons, frames=300):
    return People(tuple(persons), frames, 30.0, (640, 360), ())


def test_two_are_left_and_right_and_a_passer_by_has_a_number():
    late = np.arange(300) > 250
    people = group(person(300, 500), person(300, 100), person(300, 300, late))
    assert list(name_people(people)[0]) == ["left", "right", "person-3"]
    named, notes = name_people(people, 2)
    assert list(named) == ["left", "right"] and "person-3" in notes[0]
    assert list(name_people(people, names=["Ann", "Ben"])[0]) == ["Ann", "Ben", "person-3"]
    assert list(name_people(people, names={"right": "Ben"})[0]) == ["left", "Ben", "person-3"]


def test_people_who_swap_sides_or_never_meet_have_numbers():
    first = np.arange(300) < 150
    people = group(person(300, 100, first), person(300, 500, ~first))
    assert list(name_people(people)[0]) == ["person-1", "person-2"]


def test_a_face_that_never_moves_is_reported_and_counts_last():
    people = group(person(300, 100, change=0.1), person(300, 500, np.arange(300) < 200))
    assert list(name_people(people, 1)[0]) == ["person-2"]
    assert any("never moves" in note for note in name_people(people)[1])


def test_a_face_is_named_or_pointed_at():
    people = group(person(300, 500), person(300, 100))
    assert person_at(people, "left", "v") is people.persons[1]
    assert person_at(people, "500,50", "v") is people.persons[0]
    assert person_at(people, "0.16,0.14", "v") is people.persons[1]
    for wrong in ("middle", "320,350"):
        with pytest.raises(InputError, match="left, right"):
            person_at(people, wrong, "v")


def test_people_and_names_are_checked():
    assert [parse_people(p) for p in ("ALL", "largest", "2", 3)] == ["all", "largest", 2, 3]
    for wrong in ("0", "two", -1, "1.5", True):
        with pytest.raises(InputError, match="largest"):
            parse_people(wrong)
    assert parse_names("Ann, Ben") == ["Ann", "Ben"]
    assert parse_names("left=Ann") == {"left": "Ann"}
    for wrong in ("Ann,", "Ann,Ann", "left=Ann,Ben", "=Ann"):
        with pytest.raises(InputError, match="names"):
            parse_names(wrong)

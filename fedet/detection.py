"""From a video to its expressions.

In this order: `Inputs`, what a detector was trained to read, and the file that holds it; `Detector`, the
networks; `Detections`, the result; `detect` for a video, `detect_in` for vectors that were read before.
"""

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fedet.errors import InputError
from fedet.faces.adaptation import check_share
from fedet.faces.detectors import FaceDetector
from fedet.faces.extraction import extract, one_core_each, points_by
from fedet.faces.frame_table import FrameReadings, frame_readings, frames_of
from fedet.faces.landmarks import load_landmarks
from fedet.faces.network import FaceNet, FaceWeights, check_precision, load_facenet, shipped
from fedet.faces.novelty import MOSTLY_UNFAMILIAR, distribution_for, unfamiliar_share
from fedet.faces.people.naming import LARGEST, name_people, parse_people
from fedet.faces.people.reading import People, Person, read_people
from fedet.faces.tracking import missing_spans
from fedet.faces.vectors import FPS, STATES, FaceTrack, empty_track, read_cached
from fedet.features import CHUNK, READS, REFERENCES, Change, face_channels, lazy_change
from fedet.files import atomic_write, check_range, dataclass_from, parse_json
from fedet.intervals import AUS, SCHEMA_VERSION, at_rate, empty_table, expression_type_of, frame_at_rate
from fedet.model import FEDN
from fedet.postprocess import ScoreCurves, detect_intervals
from fedet.second_opinion.fusion import fuse
from fedet.second_opinion.opinion import opinion_on
from fedet.video.reader import Video, open_video
from fedet.video.side_signals import FaceBoxes, check_signals, side_signals

ACTIVE_AU = 0.2  # an AU whose read-out rose by this much between rest and apex is named
TUNED = "tuned_faces"  # in a detector's folder: the face weights that were tuned with it
OWN = "face_weights"  # in a detector's folder: a copy of those it learned with
NAMED = tuple(w.value for w in FaceWeights)  # face weights that need no path
OWN_OPINIONS = (None, "landmarks")  # that a detector may ask by itself: those that need no file of anybody
BLINK = 43  # the AU that says nothing about an expression's apex
COUNTED = [i for i, au in enumerate(AUS) if au != BLINK]


@dataclass(frozen=True)
class Inputs:
    """What a detector was trained to read; saved next to its weights as `inputs.json`."""

    weights: str = "faces"  # of the ResNet18: a `FaceWeights` value or a path
    reference: str = "rest"  # see `change_from_rest`
    context_s: float = 20.0  # seconds to both sides in which rest is looked for
    reads: str = "vectors"  # see `face_channels`
    signals: tuple[str, ...] = ()  # further channels, see `fedet.video.side_signals`
    adapt: float = 0.0  # share of each video's own statistics in the ResNet18, see `fedet.faces.adaptation`
    second_opinion: str | None = None  # "landmarks": fused with the scores before any threshold was chosen

    def __post_init__(self) -> None:
        check_share(self.adapt)
        object.__setattr__(self, "signals", check_signals(self.signals))
        for name, allowed in (("reference", REFERENCES), ("reads", READS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; one of {', '.join(allowed)}")
        check_range(self, 0.1, 3600, "context_s")
        if self.second_opinion not in OWN_OPINIONS:
            raise InputError(
                f"second_opinion is {self.second_opinion!r}; one of {', '.join(map(str, OWN_OPINIONS))}"
            )


def read_inputs(folder: Path) -> Inputs:
    """The inputs of the detector in a folder; the defaults if it has no `inputs.json`.

    Raises InputError if the file is not JSON or a value does not fit.
    """
    return _read_inputs_and_digest(folder)[0]


def _read_inputs_and_digest(folder: Path) -> tuple[Inputs, str | None]:
    """The inputs, and the digest of the face weights if the file has one."""
    path = folder / "inputs.json"
    if not path.exists():
        return Inputs(), None
    try:
        values = parse_json(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); put the file of the training back") from error
    digest = values.pop("digest", None) if isinstance(values, dict) else None
    if not isinstance(digest, str | None):
        raise InputError(f"{path}: digest is {digest!r}; it must be a text, or be left out")
    inputs = dataclass_from(Inputs, values, str(path))
    if inputs.weights not in NAMED:
        inputs = replace(inputs, weights=str(_inside(folder, inputs.weights)))
    return inputs, digest


def _inside(folder: Path, weights: str) -> Path:
    """The face weights that `inputs.json` names; only a file in the detector's folder is accepted.

    Earlier versions named weights outside of it: `OWN` in the folder may hold a copy.
    """
    parts = re.split(r"[/\\]", weights)
    if ".." not in parts and parts[0] and ":" not in parts[0]:
        return folder / weights
    copies = (folder / OWN, folder / OWN / parts[-1])
    for copied in copies:
        if copied.is_file() or (copied / "model.safetensors").is_file():
            return copied
    raise InputError(
        f"{folder / 'inputs.json'}: the face weights {weights!r} are outside of the detector's folder, where "
        f"nothing is read; if you trust them, copy them to {copies['.' in parts[-1]]}"
    )


def save_inputs(folder: str | Path, inputs: Inputs) -> None:
    """Writes `inputs.json`; face weights outside of the folder are copied into it."""
    folder, weights = Path(folder), Path(inputs.weights)
    values = asdict(inputs)
    if inputs.weights not in NAMED:
        if not weights.resolve().is_relative_to(folder.resolve()):
            weights = _copy_weights(weights, folder / OWN)
        values["weights"] = weights.resolve().relative_to(folder.resolve()).as_posix()
        values["digest"] = load_facenet(weights).digest
    with atomic_write(folder / "inputs.json") as draft:
        draft.write_text(json.dumps(values, indent=2) + "\n")


def _copy_weights(source: Path, target: Path) -> Path:
    """Copies face weights, a folder or a checkpoint file, into a detector's folder; returns their place."""
    files = [f for f in source.iterdir() if f.is_file()] if source.is_dir() else [source]
    for file in files:
        with atomic_write(target / file.name) as draft:
            shutil.copyfile(file, draft)
    return target if source.is_dir() else target / source.name


@dataclass(frozen=True, eq=False)
class Detector:
    """The networks that turn a video into intervals."""

    model: FEDN
    net: FaceNet
    inputs: Inputs
    faces: FaceDetector | None = None  # None: OpenCV's Haar cascade
    precision: str = "fp32"  # of the ResNet18, see `fedet.faces.network.check_precision`

    def read(self, video: str | Path, **options: Any) -> FaceTrack:
        """The vectors of a video; `options` are those of `fedet.faces.extraction.extract`."""
        adapt = self.inputs.adapt
        return extract(video, self.net, self.faces, adapt=adapt, precision=self.precision, **options)

    def read_people(self, video: str | Path, **options: Any) -> People:
        """The vectors of everybody; `options` are those of `fedet.faces.people.reading.read_people`."""
        searches = None if self.faces is None else (self.faces,)
        weights, options = self.inputs.weights, options | {"precision": self.precision}
        return read_people(video, self.net, weights, searches, adapt=self.inputs.adapt, **options)


def load_detector(weights: str | Path | None = None, faces: FaceDetector | None = None) -> Detector:
    """The detector in a folder that `fedet train` wrote; None is the one shipped with the package.

    Raises InputError if a file is missing or does not fit, or the face weights have changed.
    """
    folder = shipped("detector") if weights is None else Path(weights)
    model = FEDN.from_pretrained(folder)
    inputs, digest = _read_inputs_and_digest(folder)
    net = load_facenet(inputs.weights)
    if digest not in (None, net.digest):
        raise InputError(
            f"{folder / 'inputs.json'}: the detector learned with other face weights ({digest}) than "
            f"{inputs.weights} holds now ({net.digest}); put those back, or train anew"
        )
    return Detector(model, net, inputs, faces)


@dataclass(frozen=True, eq=False)
class Detections:
    """The expressions found in one video, and what else there is to know about it.

    It shows and reads like its `table`: `len(detections)`, `detections["score"]`, `for column in
    detections`, and every other name that is not a field here, like `loc` or `to_csv`, are the table's.
    Functions of fedet that take a table also take a `Detections`. Functions of pandas that want a
    DataFrame, like `pd.concat`, want `detections.table`; so does whoever adds a column.
    """

    table: pd.DataFrame  # canonical, by onset; frames counted at the video's nominal rate
    missing: pd.DataFrame  # spans without a face: start_frame, end_frame (as in the table), start_s, end_s
    seconds: float  # length of what was read
    threshold: float  # lowest score that counts as a detection
    curves: pd.DataFrame | None = None  # a row per frame: highest score in each emotion, NaN without a face
    unfamiliar: np.ndarray | None = None  # (N,) share of unfamiliar frames; None: the weights cannot say
    notes: tuple[str, ...] = ()  # what could not be read or was left out, a sentence each
    video: str | None = None  # its name in the table; None for vectors without one
    subject: str | None = None  # whom it shows
    readings: FrameReadings | None = None  # of the face, frame by frame
    people: tuple["PersonDetections", ...] = ()  # one by one, where more than the largest face is followed

    def frames(self, landmarks: bool = False) -> pd.DataFrame:
        """What is known of every frame, see `fedet.faces.frame_table`; the emotions need `curves=True`.

        `landmarks`: also the 65 points of the face. Raises InputError for detections that were kept
        without it.
        """
        if len(self.people) > 1:
            tables = [one.detections.frames(landmarks) for one in self.people]
            kinds = {c: "category" for c, kind in tables[0].dtypes.items() if kind == "category"}
            return pd.concat(tables, ignore_index=True).astype(kinds)
        return frames_of(self, landmarks)

    def without_vectors(self) -> "Detections":
        """The same without the vectors of `people`, which are large, to be sent or kept."""
        none = np.zeros((0, 0), np.float16)
        faces = [replace(one.person.faces, vectors=none, stored=none) for one in self.people]
        persons = [replace(o.person, faces=f) for o, f in zip(self.people, faces, strict=True)]
        people = [replace(o, person=p) for o, p in zip(self.people, persons, strict=True)]
        return replace(self, people=tuple(people))

    @property
    def missing_s(self) -> float:
        """Seconds without a face."""
        return float((self.missing["end_s"] - self.missing["start_s"]).sum())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # protocols of Python and Jupyter are the class's own
        return getattr(object.__getattribute__(self, "table"), name)

    def __getitem__(self, key: Any) -> Any:
        return self.table[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str | None:
        return self.table._repr_html_()  # type: ignore[operator]  # pandas writes it for Jupyter


@dataclass(frozen=True, eq=False)
class PersonDetections:
    """One person of a video: the name, and the person's own expressions."""

    name: str  # `subject` in the tables
    person: Person  # vectors, boxes and a thumbnail
    detections: Detections  # of this person alone


def detect(
    video: str | Path,
    weights: str | Path | Detector | None = None,
    threshold: float | None = None,
    subject: str | None = None,
    progress: bool = False,
    cache: str | Path | None = None,
    fps: float | None = None,
    curves: bool = False,
    sources: Mapping[str, str | Path] | None = None,
    abstain: bool = False,
    second_opinion: str | Path | None = None,
    people: str | int = LARGEST,
    names: Mapping[str, str] | Sequence[str] = (),
    precision: str | None = None,
) -> Detections:
    """Finds the facial expressions in a video of any length.

    Args:
        video: a video file, a folder of numbered images, or the .f16 file that `cache` kept of one.
        weights: a detector's folder or a loaded `Detector`; None is the shipped one.
        threshold: lowest score that is reported; None is the detector's own.
        subject: whom the video shows; the video's name if None.
        cache: folder that keeps the frames' vectors for the next time.
        fps: rate of a folder of images; 30 if None. Video files have their own.
        curves: also give, for each frame, the highest score in each emotion.
        sources: folders of the CSV files of OpenFace and py-feat, for a detector that reads them (see
            `side_signals`) or as a second opinion.
        abstain: leave out detections most of whose frames are unlike all training faces (see
            `fedet.faces.novelty`); `notes` says how many.
        second_opinion: other emotions, fused with the scores before the threshold is applied:
            "landmarks" (our own second network), "fer", the YAML file of a classifier, "openface",
            "pyfeat" or "none"; None is the detector's own, see `Inputs` and `fedet.second_opinion`.
        people: whose face: the "largest", "all", or the N seen longest. Several people are `left`, `right`,
            `person-3` in the column `subject`, see `fedet.faces.people.naming`; each has their own rest and
            baseline. Where only one is found, the subject is that of "largest".
        names: of the people, in the order of `Detections.people` or by the name otherwise given.
        precision: of the ResNet18, "fp32", "bf16" or "auto"; None is the detector's own, "fp32". In bf16 a
            video takes a fifth less time on processors that have it, and a score near the threshold may fall
            on its other side.

    Raises:
        InputError: the file cannot be read, the weights do not fit, or `threshold` or `fps` is no
            such number.
    """
    if fps is not None and not 0 < fps < math.inf:
        raise InputError(f"{video}: fps={fps!r} is no frame rate; give one above 0, or none for {FPS:g}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold!r}; a score is between 0 and 1")
    limit = parse_people(people)
    detector = weights if isinstance(weights, Detector) else load_detector(weights)
    if precision is not None:
        detector = replace(detector, precision=check_precision(precision))
    asked = _Request(threshold, curves, sources, abstain, second_opinion, fps, progress)
    name = Path(video).stem if Path(video).is_file() else Path(video).name
    if limit != LARGEST:
        return _fill_attrs(_detect_everybody(video, detector, asked, cache, subject, name, limit, names))
    faces, last = _read_faces(video, detector, asked, cache)
    detections = _detect_person(video, faces, detector, asked, last)
    return _fill_attrs(_named(detections, name, subject or name))


class _Request(NamedTuple):
    """The arguments of `detect` that are the same for each person."""

    threshold: float | None
    curves: bool
    sources: Mapping[str, str | Path] | None
    abstain: bool
    second_opinion: str | Path | None
    fps: float | None
    progress: bool


def _named(detections: Detections, video: str, subject: str) -> Detections:
    """The same with the names of the video and of the person."""
    table = detections.table.assign(video=video, subject=subject)
    return replace(detections, table=table, video=video, subject=subject)


def _detect_person(
    video: str | Path,
    faces: FaceTrack,
    detector: Detector,
    asked: _Request,
    last: int | None,
    where: FaceBoxes | None = None,
) -> Detections:
    """The detections of one person in a video; `where` the face is, if there are others."""
    threshold, curves, sources, abstain, by_name, fps, progress = asked
    side = side_signals(video, detector.inputs.signals, len(faces.state), FPS, sources, where)
    second_opinion, notes = _chosen_opinion(by_name, detector, video, faces)
    lowest = threshold if second_opinion is None else 0.0
    detections = detect_in(faces, detector, lowest, curves, side.values, last)
    detections = replace(detections, notes=(*faces.problems, *side.problems, *notes))
    if second_opinion is not None:
        limit = detector.model.config.default_threshold if threshold is None else threshold
        opinion = opinion_on(video, second_opinion, len(faces.state), sources, fps, progress, faces, where)
        detections = _with_opinion(detections, opinion, limit, by_name is not None)
    return _with_novelty(detections, faces, detector, abstain)


def _detect_everybody(
    video: str | Path,
    detector: Detector,
    asked: _Request,
    cache: str | Path | None,
    subject: str | None,
    name: str,
    limit: str | int,
    names: Mapping[str, str] | Sequence[str],
) -> Detections:
    """The detections of several people, all in one table."""
    if Path(video).suffix == ".f16":
        raise InputError(f"{video}: kept vectors are those of one face; give the video, or people='largest'")
    opened = open_video(video, folder_fps=asked.fps or FPS)
    read = detector.read_people(video, **_reading_options(detector, asked, cache, opened))
    last = _last_frame(opened, read.frames)
    named, notes = name_people(read, limit, names)
    if len(named) == 1 and not names:  # one person has the name that `largest` gives
        named = {subject or name: next(iter(named.values()))}
    elif subject:
        named = {f"{subject} {own}": person for own, person in named.items()}
    notes = [*read.problems, *notes]
    if not named:
        nobody = empty_track(read.frames, read.fps, tuple(notes), detector.net.name)
        return _named(_detect_person(video, nobody, detector, asked, last), name, subject or name)
    found = []
    for own, person in named.items():
        where = FaceBoxes(person.centres, read.size[0])
        detections = _detect_person(video, person.faces, detector, asked, last, where)
        found.append(PersonDetections(own, person, _named(detections, name, own)))
    return _together(found, notes)


def _together(found: list[PersonDetections], notes: Sequence[str]) -> Detections:
    """Everybody's detections in one table, by onset."""
    every = [one.detections for one in found]
    table = pd.concat([d.table for d in every], ignore_index=True)
    order = table.reset_index().sort_values(["onset", "offset", "index"])["index"].to_numpy()
    shares = [d.unfamiliar for d in every if d.unfamiliar is not None]
    missing = pd.concat([d.missing.assign(subject=one.name) for one, d in zip(found, every, strict=True)])
    own = [note for d in every for note in d.notes]
    return replace(
        every[0],
        table=table.iloc[order].reset_index(drop=True),
        missing=missing.reset_index(drop=True) if len(found) > 1 else every[0].missing,
        curves=every[0].curves if len(found) == 1 else None,
        subject=every[0].subject if len(found) == 1 else None,
        readings=every[0].readings if len(found) == 1 else None,
        unfamiliar=np.concatenate(shares)[order] if len(shares) == len(every) else None,
        notes=tuple(dict.fromkeys([*notes, *own])),
        people=tuple(found),
    )


def _fill_attrs(detections: Detections) -> Detections:
    """Until the next release the same facts also travel in the table's `attrs`, for older scripts."""
    curves, shares = detections.curves, detections.unfamiliar
    detections.table.attrs |= {
        "video": detections.video,
        "missing": detections.missing.to_dict("records"),
        "problems": list(detections.notes),
        "unfamiliar": None if shares is None else shares.tolist(),
        "seconds": detections.seconds,
        "threshold": detections.threshold,
    }
    if curves is not None:
        values = curves.astype(object).where(curves.notna(), None)
        detections.table.attrs["curves"] = values.to_dict("list")
    return detections


def _read_faces(
    video: str | Path, detector: Detector, asked: _Request, cache: str | Path | None
) -> tuple[FaceTrack, int | None]:
    """The vectors of a video, and the number of its last frame if that is known."""
    if Path(video).suffix == ".f16":
        return read_cached(video, detector.net, detector.inputs.adapt), None
    opened = open_video(video, folder_fps=asked.fps or FPS)
    faces = detector.read(video, **_reading_options(detector, asked, cache, opened))
    return faces, _last_frame(opened, len(faces.state))


def _reading_options(
    detector: Detector, asked: _Request, cache: str | Path | None, opened: Video
) -> dict[str, Any]:
    """For `Detector.read` and `read_people`; with the landmark network where it is asked for its opinion."""
    opinion = asked.second_opinion or detector.inputs.second_opinion
    landmarks = load_landmarks() if opinion == "landmarks" else None
    return {"progress": asked.progress, "cache": cache, "opened": opened, "landmarks": landmarks}


def _last_frame(video: Video, ticks: int) -> int | None:
    """The video's last frame; None if it does not say, or says fewer than were read at 30 fps."""
    count = video.n_frames_estimate
    return count - 1 if count and count >= (ticks - 1) / FPS * video.fps - 1 else None


def detect_in(
    faces: FaceTrack,
    detector: Detector,
    threshold: float | None = None,
    curves: bool = False,
    side: np.ndarray | None = None,
    last: int | None = None,
) -> Detections:
    """Detections in vectors that were read before, as `Detector.read` gives them.

    Args:
        threshold, curves: as for `detect`.
        side: (T, S) values of the signals that the detector also reads, see `side_signals`.
        last: the video's last frame, where everything is clipped; None: no limit.

    Raises InputError if the detector reads signals and `side` is not given.
    """
    config, inputs = detector.model.config, detector.inputs
    threshold = config.default_threshold if threshold is None else threshold
    change = lazy_change(faces, inputs.reference, inputs.context_s)
    channels, rise = _read_change(change, faces.mask, detector.net, inputs.reads)
    channels = concat_signals(channels, inputs, side)
    scores = ScoreCurves(len(channels), config) if curves else None
    listener = None if scores is None else scores.add
    with one_core_each(1) as pool:  # its layers are small: several cores would wait for each other
        read = partial(detect_intervals, detector.model, config, channels, faces.mask, listener=listener)
        found = pool.submit(read).result()
    found = found[found["score"] >= threshold].sort_values(["onset", "offset"]).reset_index(drop=True)
    apex, units = apex_and_action_units(found, rise)
    spans = missing_spans([STATES[state] for state in faces.state], FPS)
    first, end = _at_video_rate(spans["start_frame"], spans["end_frame"], faces.fps, last)
    stop = None if last is None else last + 1
    return Detections(
        table=_event_table(found.assign(apex=apex, action_units=units), faces.fps, last),
        missing=spans.assign(start_frame=first, end_frame=end),
        seconds=len(faces.state) / FPS,
        threshold=threshold,
        curves=None if scores is None else scores.table(faces.mask, faces.fps).iloc[:stop],
        notes=tuple(faces.problems),
        readings=frame_readings(faces, rise.aus),
    )


def _event_table(found: pd.DataFrame, fps: float, last: int | None) -> pd.DataFrame:
    """The canonical table at the video's rate of intervals found at the detector's."""
    table = empty_table().reindex(range(len(found)))
    table["onset"], table["offset"] = _at_video_rate(found["onset"], found["offset"], fps, last)
    table["apex"] = frame_at_rate(found["apex"], FPS, fps).clip(table["onset"], table["offset"])
    table["emotion"], table["score"] = found["emotion"], found["score"].round(4)
    table["action_units"] = found["action_units"]
    table["fps"], table["schema_version"], table["source"] = fps, SCHEMA_VERSION, "fedet"
    table["expression_type"] = expression_type_of(found["onset"], found["offset"], FPS)
    return table.astype(empty_table().dtypes)


def _at_video_rate(
    onset: pd.Series, offset: pd.Series, fps: float, last: int | None
) -> tuple[pd.Series, pd.Series]:
    """Inclusive frames of the vectors, counted at the video's rate and clipped to its last frame."""
    onset, offset = at_rate(onset, offset, FPS, fps)
    return onset.clip(upper=last), offset.clip(upper=last)


def _chosen_opinion(
    by_name: str | Path | None, detector: Detector, video: str | Path, faces: FaceTrack
) -> tuple[str | Path | None, list[str]]:
    """The second opinion to use, and a note where the detector's own is not available."""
    if by_name is not None:
        return (None if by_name == "none" else by_name), []
    own = detector.inputs.second_opinion
    is_kept = own == "landmarks" and points_by(load_landmarks(), faces)
    if own and Path(video).suffix == ".f16" and not is_kept:
        return None, [f"kept vectors hold no pictures: the second opinion, {own}, was not used"]
    return own, []


def _with_opinion(detections: Detections, curves: np.ndarray, threshold: float, by_name: bool) -> Detections:
    """Scores fused with a second opinion, (T, 4) at 30 fps; what then reaches the threshold.

    What it changed is noted where the caller named it (`by_name`).
    """
    table, notes = fuse(detections.table, curves)
    table = table[table["score"] >= threshold].reset_index(drop=True)
    notes = [*detections.notes, *(notes if by_name else [])]
    return replace(detections, table=table, threshold=threshold, notes=tuple(notes))


def _with_novelty(detections: Detections, faces: FaceTrack, detector: Detector, abstain: bool) -> Detections:
    """The same with each detection's share of unfamiliar frames; with `abstain` without those
    detections that lie mostly on such frames."""
    known, problem = distribution_for(detector.net, detector.inputs.weights)
    if known is None:
        return replace(detections, notes=(*detections.notes, problem)) if abstain else detections
    shares = unfamiliar_share(detections.table, faces, known)
    if detections.readings is not None:
        readings = detections.readings.with_novelty(known.distance(faces.vectors), known.threshold)
        detections = replace(detections, readings=readings)
    familiar = shares <= MOSTLY_UNFAMILIAR
    if not abstain or familiar.all():
        return replace(detections, unfamiliar=shares)
    return replace(
        detections,
        table=detections.table[familiar].reset_index(drop=True),
        unfamiliar=shares[familiar],
        notes=(*detections.notes, f"{(~familiar).sum()} detections left out: unfamiliar faces"),
    )


def concat_signals(channels: np.ndarray, inputs: Inputs, side: np.ndarray | None) -> np.ndarray:
    """The channels of the face (T, C) and the side signals (T, S) as one: (T, C + S).

    Raises InputError if the detector reads signals and `side` is None.
    """
    if not inputs.signals:
        return channels
    if side is None:
        raise InputError(f"this detector also reads {', '.join(inputs.signals)}: give side=side_signals(...)")
    return np.concatenate([channels, side.astype(channels.dtype)], axis=1)


class _Rise(NamedTuple):
    """How far a face rose above rest in each frame."""

    aus: np.ndarray | None  # (T, 18) float32; None: the weights have no read-outs
    strength: np.ndarray  # (T,) float32: sum of the AUs but blinks, or length of the change; 0 without a face


def _read_change(
    change: Change | np.ndarray, mask: np.ndarray, net: FaceNet, reads: str
) -> tuple[np.ndarray, _Rise]:
    """The channels of the face, and the rise, from the change (T, 512), which is read once."""
    weight = None if net.heads is None else net.heads["aus"].get_parameter("weight").numpy(force=True).T
    channels: list[np.ndarray] = []
    aus, strengths = [], []
    for start in range(0, max(1, len(change)), CHUNK):
        part = change[start : start + CHUNK]
        channels.append(face_channels(part, net, reads))
        if weight is None:
            strengths.append(np.linalg.norm(part.astype(np.float32), axis=1))
        else:
            aus.append(part.astype(np.float32) @ weight)
            strengths.append(np.maximum(aus[-1][:, COUNTED], 0).sum(1))
    rise = _Rise(np.concatenate(aus) if aus else None, np.concatenate(strengths) * mask)
    return np.concatenate(channels) if len(channels) > 1 else channels[0], rise


def apex_and_action_units(found: pd.DataFrame, rise: _Rise) -> tuple[list[int], list[str]]:
    """The apex of each detection and the AUs active there.

    The apex is the frame whose AUs, blinks left out, rose most over three frames. Weights without
    read-outs give the frame of the largest change, and no AUs.

    Args:
        found: N rows with onset and offset.
    Returns:
        N frames, and N texts like "6+12".
    """
    apexes, units = [], []
    for onset, offset in zip(found["onset"], found["offset"], strict=True):
        around = np.pad(rise.strength[onset : offset + 1], 1)
        at = onset + int((around[:-2] + around[1:-1] + around[2:]).argmax())
        apexes.append(at)
        names = [] if rise.aus is None else [str(AUS[i]) for i in COUNTED if rise.aus[at, i] >= ACTIVE_AU]
        units.append("+".join(names))
    return apexes, units

"""Records for training: a dataset's videos as the detector reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fedet.annotations.table import validate
from fedet.datasets.dataset import Dataset
from fedet.detection import Inputs, concat_signals, read_inputs
from fedet.errors import InputError
from fedet.faces.extraction import extract
from fedet.faces.landmarks import load_landmarks
from fedet.faces.network import FaceNet, load_facenet, shipped
from fedet.faces.people.naming import person_at
from fedet.faces.people.reading import People, read_people
from fedet.faces.vectors import FPS, FaceTrack
from fedet.features import change_from_rest, face_channels
from fedet.intervals import table_at_rate
from fedet.model import FEDN, FEDNConfig, read_config
from fedet.second_opinion.opinion import opinion_on
from fedet.training.sampling import feature_scale
from fedet.video.side_signals import FROM_FILES, FaceBoxes, training_signals
from fedet.windows import VideoFeatures


def default_inputs(face_weights: str = "faces", adapt: float = 0.0) -> tuple[Inputs, FaceNet]:
    """Inputs and face network of a new detector: as the shipped one's; without read-outs from the median.

    `adapt` is 0 by default: a detector that learns from the videos at hand needs no adaptation to them.
    """
    shipped_inputs = replace(read_inputs(shipped("detector")), second_opinion=None)
    inputs = replace(shipped_inputs, weights=face_weights or "faces", adapt=adapt)
    net = load_facenet(inputs.weights, download=True)  # the caller named them
    return (inputs if net.heads is not None else Inputs(inputs.weights, "median", adapt=adapt)), net


def default_config(records: Sequence[VideoFeatures]) -> FEDNConfig:
    """The shipped detector's configuration for the vectors of these records, no threshold chosen yet."""
    return replace(
        read_config(shipped("detector")),
        input_features=records[0].vectors.shape[1],
        default_threshold=FEDNConfig.default_threshold,
    )


def records_of(
    dataset: Dataset,
    net: FaceNet,
    inputs: Inputs,
    cache: str | Path | None = None,
    progress: bool = True,
    videos: Sequence[str] | None = None,
    sources: Mapping[str, str | Path] | None = None,
) -> list[VideoFeatures]:
    """Vectors and events of a dataset's videos, at 30 fps, as `training.train` reads them.

    `sources` are as for `detect`. Raises InputError for videos without frames: none is left out silently.
    """
    check_source_files(dataset, inputs.signals, sources or {})
    records = []
    landmarks = load_landmarks() if inputs.second_opinion == "landmarks" else None
    reading: dict = {"cache": cache, "adapt": inputs.adapt, "landmarks": landmarks}
    read: tuple[str, People] | None = None  # the latest video with several people: its rows follow each other
    for row, events in videos_of(dataset, videos, progress):
        opened, where = dataset.open(row.video), None
        if face := face_of(row):
            if read is None or read[0] != row.path:
                read = row.path, read_people(row.path, net, inputs.weights, opened=opened, **reading)
            person = person_at(read[1], face, row.path)
            faces = person.faces
            where = FaceBoxes(person.centres, read[1].size[0])
        else:
            faces = extract(row.path, net, opened=opened, **reading)
        side = training_signals(row.path, inputs.signals, len(faces.state), FPS, sources, where)
        record = record_of(row.subject, row.video, faces, events, float(row.fps), net, inputs, side)
        if landmarks is not None:
            opinion = opinion_on(row.path, "landmarks", len(faces.state), faces=faces, where=where)
            record = replace(record, opinion=opinion)
        records.append(record)
    return records


def face_of(row: Any) -> str:
    """Which face a row of `Dataset.videos` means; "" where the video shows one person."""
    face = getattr(row, "face", None)
    return "" if face is None or pd.isna(face) else str(face)


def check_source_files(dataset: Dataset, signals: Sequence[str], sources: Mapping[str, str | Path]) -> None:
    """Raises InputError before any video is read where a signal's CSV file of one of them is missing."""
    for name in set(signals) & sources.keys() & set(FROM_FILES):
        paths = [Path(sources[name]) / f"{Path(path).stem}.csv" for path in dataset.videos["path"].dropna()]
        if missing := [path for path in paths if not path.is_file()]:
            raise InputError(
                f"{missing[0]}: no such file ({len(missing)} of {len(paths)} missing); {name} needs a CSV "
                "named after each video"
            )


def check_trainable(datasets: Sequence[Dataset]) -> None:
    """Raises InputError before any video is read where there is nothing to learn."""
    roots = ", ".join(str(dataset.root) for dataset in datasets)
    if not sum(len(dataset.videos) for dataset in datasets):
        raise InputError(f"{roots}: no video; put some there, and their intervals into annotations.csv")
    if not sum(len(dataset.annotations) for dataset in datasets):
        raise InputError(f"{roots}: no annotated event; there is nothing to learn")


def join_sets(sets: Mapping[str, Sequence[VideoFeatures]]) -> list[VideoFeatures]:
    """The records of several sets as one list.

    Where there are several, names of subjects and videos are prefixed with that of their set: people and
    videos of the same name in two sets are not the same.
    """
    if len(sets) == 1:
        return list(next(iter(sets.values())))
    return [_prefix(name, record) for name, records in sets.items() for record in records]


def _prefix(name: str, record: VideoFeatures) -> VideoFeatures:
    subject, video = f"{name}/{record.subject}", f"{name}/{record.video}"
    return replace(
        record, subject=subject, video=video, events=record.events.assign(subject=subject, video=video)
    )


def videos_of(
    dataset: Dataset,
    videos: Sequence[str] | None = None,
    progress: bool = False,
    what: str = "reading videos",
) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Row and events of each video, or of those in `videos`. Raises InputError where frames are missing."""
    from tqdm.auto import tqdm

    rows, table = dataset.videos, dataset.annotations
    if videos is not None:
        rows = rows[rows["video"].isin(videos)]
    absent = rows[rows["path"].isna()]
    if len(absent):
        raise InputError(
            f"{dataset.root}: no frames of {len(absent)} videos, e.g. {absent['video'].iloc[0]!r}; put them "
            "there, or take these videos out of the table"
        )
    for row in tqdm(list(rows.itertuples()), desc=what, unit="video", disable=not progress):
        yield row, table[(table["video"] == row.video) & (table["subject"] == row.subject)]


def record_of(
    subject: str,
    video: str,
    faces: FaceTrack,
    events: pd.DataFrame,
    fps: float,
    net: FaceNet,
    inputs: Inputs,
    side: np.ndarray | None = None,
) -> VideoFeatures:
    """One video's record; events counted at `fps` are converted to 30 by time."""
    change = change_from_rest(faces, inputs.reference, inputs.context_s)
    change = concat_signals(face_channels(change, net, inputs.reads), inputs, side)
    n = len(change)
    events = table_at_rate(events.assign(fps=fps), FPS)
    events["offset"] = events["offset"].clip(upper=n - 1)
    events, _ = validate(events, {video: n}, source_name=video)
    return VideoFeatures(subject, video, FPS, change, faces.mask, events)


def widen_input(model: FEDN, records: Sequence[VideoFeatures], extra: int) -> FEDN:
    """The same detector with `extra` further input channels at the end, which it ignores at first.

    Args:
        records: training videos with these channels; they give the scale.
    """
    old = model.config
    new = FEDN(replace(old, input_features=old.input_features + extra))
    state = dict(model.state_dict())
    scale = torch.from_numpy(feature_scale(records)[-extra:])
    state["embedding.scale"] = torch.cat([state["embedding.scale"], scale])
    halves = state["embedding.project.weight"].split(old.input_features, dim=1)  # two with `motion`
    columns = [c for half in halves for c in (half, half.new_zeros(len(half), extra))]
    state["embedding.project.weight"] = torch.cat(columns, dim=1)
    new.load_state_dict(state)
    return new.eval()

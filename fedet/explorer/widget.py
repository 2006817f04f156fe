"""The interval explorer: view a video's intervals on a time axis, correct them, export them.

    from fedet.explorer import Explorer
    explorer = Explorer("video.mp4", predictions, truth=truth, scores=curves,
                        reviewer="Ann", autosave="ann.review.jsonl")
    explorer                               # the last line of a notebook cell shows it
    explorer.review.table()                # the intervals that the reviewer confirmed
    explorer.export("video.eaf")           # or .csv, .json, .vtt, .boris.csv
    explorer.to_html("video.html")         # without kernel and network
    explorer.figure()                      # static

In the widget `?` shows the keys. Settings are traits: `explorer.threshold = 0.4`.
"""

import base64
import os
import warnings
from dataclasses import replace
from pathlib import Path

import anywidget
import pandas as pd
import traitlets as t

from fedet.errors import InputError
from fedet.evaluation.agreement import Agreement, coder_agreement
from fedet.explorer import timeline as lane_data
from fedet.explorer.filters import metrics_table, suppressed_rows
from fedet.explorer.html_page import fragment, script, style, whole_page
from fedet.explorer.messages import MessageServer, page_data
from fedet.intervals import table_of
from fedet.review.review import Review
from fedet.review.triage import Effort, queue
from fedet.video.reader import Video, open_video

IN_REPORT = "FEDET_REPORT"  # set while a report runs notebooks: nobody answers then
PAGE_MIME = "application/vnd.fedet.explorer+json"
REPORT_THUMBNAILS = 12
FOLDER_FPS = 30.0  # of a folder of images, if nothing says more


class Explorer(anywidget.AnyWidget):
    """A Jupyter widget to view and correct a video's intervals.

    Args:
        video: Path of the video, or None to show the lanes alone.
        predictions: Canonical intervals; several tables (dict or list) are several seeds, of which
            the first is reviewed.
        truth: Canonical intervals, for metrics and marks.
        scores: Score curves, one row per frame, a column per emotion, 0 ... 1; default: those
            of the predictions, if they are what `fedet.detect(..., curves=True)` returned.
        missing: Spans without a face, as `fedet.faces.tracking.missing_spans` gives them; default: those
            of the predictions, if they are what `fedet.detect` returned.
        reviewer: Name on every edit; default: the login name.
        autosave: Journal of the review, created by the first edit and continued if it exists.
            Default: `<video>.review.jsonl` in the working directory; False: nothing is saved.
        name: The video's name in the tables, if it is not the file's.
        fps, duration_s: If neither tables nor video state them, as for a folder of images.
        threshold, nms, tiou: First settings: lowest score kept (default: the threshold of
            `fedet.detect` if the predictions are from there, else 0.5); intervals of one emotion
            that overlap a better one by more than `nms` are dropped (1: none); overlap from which
            a prediction counts as right.
        effort: Assumptions of the queue; the time of a decision is measured once there are some.
        cropper: Cuts the face out of a frame; default: found by the Haar cascade.

    Attributes:
        review: The `Review`; edits made on it in Python show at once.
        frame: The frame shown; set it to go there.
        selected: Id of the selected interval.

    Raises:
        InputError: See `fedet.explorer.timeline.prepare`, `fedet.review.review.Review`,
        `fedet.video.reader.open_video`.
    """

    _esm = script()
    _css = style()
    threshold = t.Float(0.5, min=0.0, max=1.0).tag(sync=True)
    nms = t.Float(1.0, min=0.0, max=1.0).tag(sync=True)
    tiou = t.Float(0.5, min=0.01, max=1.0).tag(sync=True)
    emotion = t.Bool(False, help="a match needs the same emotion").tag(sync=True)
    classes = t.List(t.Unicode()).tag(sync=True)
    types = t.List(t.Unicode(), default_value=["macro", "micro"]).tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    selected = t.Unicode("").tag(sync=True)
    reviewer = t.Unicode("").tag(sync=True)

    def __init__(
        self,
        video: str | Path | Video | None,
        predictions,
        truth: pd.DataFrame | None = None,
        scores=None,
        missing=None,
        *,
        reviewer: str | None = None,
        autosave: str | Path | bool | None = None,
        name: str | None = None,
        fps: float | None = None,
        duration_s: float | None = None,
        threshold: float | None = None,
        nms: float = 1.0,
        tiou: float = 0.5,
        effort: Effort | None = None,
        cropper=None,
    ):
        rate = _rate_of(_first_of(predictions)) or fps or FOLDER_FPS
        opened = video if video is None or isinstance(video, Video) else open_video(video, rate)
        detections = _first_of(predictions)
        missing = _fact(detections, "missing") if missing is None else missing
        scores = _fact(detections, "curves") if scores is None else scores
        threshold = _fact(detections, "threshold", 0.5) if threshold is None else threshold
        self.lanes = lane_data.prepare(
            predictions,
            truth,
            scores,
            missing,
            video=opened,
            name=name,
            fps=fps,
            duration_s=duration_s,
        )
        for what, value in (("threshold", threshold), ("nms", nms), ("tiou", tiou)):
            if not 0 <= value <= 1 or (what == "tiou" and value == 0):
                raise InputError(f"{what}={value!r}: must lie in 0 ... 1")
        self.video, self.effort = opened, effort or Effort()
        self.review = self._start_review(reviewer, autosave)
        settings = {"threshold": threshold, "nms": nms, "tiou": tiou}
        super().__init__(classes=list(self.lanes.labels), reviewer=self.review.reviewer, **settings)
        self.messages = MessageServer(self, cropper)

    def _start_review(self, reviewer, autosave) -> Review:
        lanes = self.lanes
        if autosave is None or autosave is True:
            autosave = f"{Path(lanes.name).name}.review.jsonl"
        return Review(
            lanes.predictions[0][1],
            video=lanes.name,
            fps=lanes.fps,
            n_frames=lanes.n_frames,
            reviewer=reviewer,
            journal=autosave or None,
            labels=lanes.labels,
        )

    @t.observe("reviewer")
    def _reviewer_changed(self, change) -> None:
        if change["new"].strip():
            self.review.reviewer = change["new"].strip()

    # ---- results

    def visible(self) -> pd.DataFrame:
        """The predictions that pass the settings."""
        table = self.lanes.predictions[0][1]
        return table[self._kept(table) & self._passing(table)].reset_index(drop=True)

    def metrics(self) -> pd.DataFrame:
        """Precision, recall and F1 against truth under the settings; rows all, macro, micro."""
        if self.lanes.truth is None:
            raise InputError(f"{self.lanes.name}: no truth to compare with; give truth=")
        table, truth = self.lanes.predictions[0][1], self.lanes.truth
        kept = table[self._kept(table) & self._named(table)]
        return metrics_table(kept, truth[self._named(truth)], self.tiou, self.emotion)

    def queue(self) -> pd.DataFrame:
        """Open intervals and empty stretches, the best use of time first (`fedet.review.triage.queue`)."""
        rows = self.review.table("all")
        dropped = {f"p{i}" for i in suppressed_rows(self.lanes.predictions[0][1], self.nms)}
        rows = rows[~(rows["row_id"].isin(dropped) & (rows["status"] == "open"))]
        seen = [(r["onset"], r["offset"]) for r in self.review.rows.values()
                if r["status"] == "seen"]  # fmt: skip
        pace = self.review.pace_s
        return queue(
            rows,
            self.threshold,
            self.lanes.fps,
            self.lanes.n_frames,
            others=tuple(table for _, table in self.lanes.predictions[1:]),
            covered=(*seen, *self.lanes.missing),
            effort=self.effort if pace is None else replace(self.effort, decide_s=pace, watch=0.0),
        )

    def agreement(self, other, tiou: float = 0.5) -> Agreement:
        """Agreement with a second reviewer: a table, or the path of a journal or label file."""
        from fedet.explorer.exchange import decided_rows

        theirs = other if isinstance(other, pd.DataFrame) else decided_rows(self._read(other))
        return coder_agreement(self.review.table(), theirs, tiou, {self.lanes.name: self.lanes.n_frames})

    def export(self, path: str | Path, include=None) -> Path:
        """Writes the review by suffix: .csv, .json (ActivityNet), .eaf (ELAN), .vtt, .boris.csv.

        Args:
            path: File to write.
            include: Statuses to write; default: confirmed ones (accepted, corrected,
                added). "all" writes open and rejected rows too.

        ELAN files also get truth and prediction as tiers.
        """
        from fedet.explorer.exchange import write_review

        rows = self.review.table() if include is None else self.review.table(include)
        found = self.visible()
        found["subject"] = found["subject"].replace(self.review.new_names())
        return write_review(Path(path), rows, found, self.lanes, self.video)

    def import_review(self, path: str | Path, reviewer: str | None = None) -> int:
        """Imports a review, e.g. an .eaf edited in ELAN; one undo reverts all of it.

        Intervals of the file are matched with the review's rows by overlap: unchanged ones stay,
        others become `corrected` or `added`; decided rows that the file lacks are deleted; its open
        and rejected rows change nothing. Rows that could not be read are warnings, and `notices`
        of the review.

        Returns:
            The number of rows that changed.
        """
        from fedet.explorer.exchange import changes_from

        changes = changes_from(self._read(path), self.review)
        if changes:
            self.review.apply("replace", by=reviewer, changes=changes)
        return len(changes)

    def _read(self, path: str | Path) -> pd.DataFrame:
        from fedet.explorer.exchange import read_reviewed

        notices: list[str] = []
        table = read_reviewed(Path(path), self.lanes, notices)
        for notice in notices:
            warnings.warn(notice, UserWarning, stacklevel=3)
        self.review.notices += notices
        return table

    # ---- static

    def figure(self, start_s: float = 0.0, end_s: float | None = None):
        """The lanes as a matplotlib Figure; `start_s`, `end_s` limit it."""
        from fedet.explorer.static_figure import draw_figure

        rows = self.review.table("all")
        return draw_figure(self.lanes, self.visible(), rows, self.threshold, start_s, end_s)

    def html(self, thumbnails: int = 0) -> str:
        """The page of `to_html` as a fragment of HTML, for a report."""
        return fragment(page_data(self, thumbnails), self.figure())

    def to_html(self, path: str | Path, thumbnails: int = 24) -> Path:
        """Writes one file that opens without kernel and network: lanes, hover, zoom, threshold.

        Args:
            path: File to write.
            thumbnails: Pictures to store, at the intervals first; 0 for none. They show faces:
                consider who gets the file.
        """
        from fedet.files import atomic_write

        path = Path(path)
        text = whole_page(page_data(self, thumbnails), self.lanes.name, self.figure())
        with atomic_write(path) as temporary:
            Path(temporary).write_text(text, "utf-8")
        return path

    def _repr_mimebundle_(self, **kwargs):
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        # For viewers without widgets, e.g. the notebook on a web page.
        image = {"image/png": base64.b64encode(self.figure()._repr_png_()).decode()}
        if os.environ.get(IN_REPORT):  # the report's page shows the timeline without a kernel
            image[PAGE_MIME] = page_data(self, REPORT_THUMBNAILS)
        return bundle | image, metadata

    def close(self) -> None:
        """Closes the journal and the video."""
        if hasattr(self, "messages"):  # ipywidgets closes widgets whose __init__ failed, too
            self.messages.close()
            self.review.close()
        super().close()

    # ---- settings, in tables

    def _kept(self, table: pd.DataFrame) -> pd.Series:
        keep = table["score"].fillna(1.0) >= self.threshold
        return keep & ~table.index.isin(suppressed_rows(table, self.nms))

    def _named(self, table: pd.DataFrame) -> pd.Series:
        every = set(self.lanes.labels) <= set(self.classes)
        return table["emotion"].isin(self.classes) | (table["emotion"].isna() & every)

    def _passing(self, table: pd.DataFrame) -> pd.Series:
        return self._named(table) & table["expression_type"].isin(self.types)


def _first_of(predictions):
    """The reviewed table, of one or several."""
    several = list(predictions.values()) if isinstance(predictions, dict) else predictions
    return several[0] if isinstance(several, list | tuple) and several else several


def _fact(detections, name: str, default=None):
    """A fact about the video from a `fedet.Detections`, or from the `attrs` of its table."""
    if isinstance(detections, pd.DataFrame):
        return detections.attrs.get(name, default)
    return getattr(detections, name, default)


def _rate_of(detections) -> float | None:
    """Frames per second of a table's first interval, None without."""
    table = table_of(detections)
    if not isinstance(table, pd.DataFrame) or "fps" not in table:
        return None
    rates = pd.to_numeric(table["fps"], errors="coerce").dropna()
    return float(rates.iloc[0]) if len(rates) else None

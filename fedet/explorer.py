"""The interval explorer: look at a video's intervals on a time axis, correct them, export them.

    from fedet.explorer import Explorer
    explorer = Explorer("video.mp4", predictions, truth=truth, scores=curves,
                        reviewer="Ann", autosave="ann.review.jsonl")
    explorer                               # the last line of a notebook cell shows it
    explorer.review.table()                # what the reviewer stands behind, as a table
    explorer.export("video.eaf")           # or .csv, .json, .vtt
    explorer.to_html("video.html")         # without kernel and network
    explorer.figure()                      # static

In the widget `?` shows the keys. Settings are traits: `explorer.threshold = 0.4`.
"""

import base64
import io
from dataclasses import replace
from pathlib import Path

import anywidget
import pandas as pd
import traitlets as t

from fedet import lanes as lane_data
from fedet.agreement import Agreement, agreement
from fedet.controls import controls
from fedet.errors import InputError
from fedet.frames import FaceCropper, FrameServer
from fedet.page import page
from fedet.review import Review
from fedet.suppression import figures_of, suppressed
from fedet.triage import Effort, queue
from fedet.video import Video, open_video

STATIC = Path(__file__).parent / "static"
FORMATS = ("csv", "json", "eaf", "vtt")
QUEUE_SHOWN = 200


class Explorer(anywidget.AnyWidget):
    """A video's intervals to see, doubt and correct, as a Jupyter widget.

    Args:
        video: Path of the video, or None to show the lanes alone.
        predictions: Canonical intervals; several tables (dict or list) are several seeds, of which
            the first is reviewed.
        truth: Canonical intervals, for figures and marks.
        scores: Score curves, one row per frame, a column per emotion, 0 ... 1.
        missing: Spans without a face, as `fedet.faces.missing_spans` gives them.
        reviewer: Name on every edit; default: the login name.
        autosave: Journal of the review, created by the first edit and gone on with if it is there.
            Default: `<video>.review.jsonl` in the working directory; False: nothing is saved.
        name: The video's name in the tables, if it is not the file's.
        fps, duration_s: Where neither tables nor video say them.
        threshold, nms, tiou: First settings: scores kept from here on; intervals of one emotion
            that overlap a better one by more than `nms` are dropped (1: none); overlap from which
            a prediction counts as right.
        effort: Assumptions of the queue; the time of a decision is measured once there are some.
        cropper: Cuts the face out of a frame; default: found by the Haar cascade.

    Attributes:
        review: The `Review`; edits made on it in Python show at once.
        frame: The frame shown; set it to go there.
        selected: Id of the selected interval.

    Raises:
        InputError: See `fedet.lanes.prepare`, `fedet.review.Review`, `fedet.video.open_video`.
    """

    _esm = STATIC / "explorer.js"
    _css = STATIC / "explorer.css"
    threshold = t.Float(0.5, min=0.0, max=1.0).tag(sync=True)
    nms = t.Float(1.0, min=0.0, max=1.0).tag(sync=True)
    tiou = t.Float(0.5, min=0.01, max=1.0).tag(sync=True)
    emotion = t.Bool(False, help="a match needs the same emotion").tag(sync=True)
    classes = t.List(t.Unicode()).tag(sync=True)
    types = t.List(t.Unicode(), default_value=["macro", "micro"]).tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    selected = t.Unicode("").tag(sync=True)
    reviewer = t.Unicode("")

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
        threshold: float = 0.5,
        nms: float = 1.0,
        tiou: float = 0.5,
        effort: Effort | None = None,
        cropper=None,
    ):
        opened = video if video is None or isinstance(video, Video) else open_video(video)
        extra = {"video": opened, "name": name, "fps": fps, "duration_s": duration_s}
        self.lanes = lane_data.prepare(predictions, truth, scores, missing, **extra)
        for what, value in (("threshold", threshold), ("nms", nms), ("tiou", tiou)):
            if not 0 <= value <= 1 or (what == "tiou" and value == 0):
                raise InputError(f"{what}={value!r}: must lie in 0 ... 1")
        self.video, self.effort = opened, effort or Effort()
        self.review = self._start_review(reviewer, autosave)
        self.review.listeners.append(self._changed)
        settings = {"threshold": threshold, "nms": nms, "tiou": tiou}
        super().__init__(classes=list(self.lanes.labels), reviewer=self.review.reviewer, **settings)
        self._server = None
        if opened is not None:
            send = self._send_picture
            self._server = FrameServer(opened, self.lanes.fps, send, cropper or FaceCropper())
        self.controls = controls(self, [lane_data.colour_of(x) for x in self.lanes.labels])
        self.on_msg(self._received)

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
        """The predictions that the settings leave."""
        table = self.lanes.predictions[0][1]
        return table[self._kept(table) & self._passing(table)].reset_index(drop=True)

    def figures(self) -> pd.DataFrame:
        """Precision, recall and F1 against truth under the settings; rows all, macro, micro."""
        if self.lanes.truth is None:
            raise InputError(f"{self.lanes.name}: no truth to compare with; give truth=")
        table, truth = self.lanes.predictions[0][1], self.lanes.truth
        chosen = table[self._kept(table) & self._named(table)]
        return figures_of(chosen, truth[self._named(truth)], self.tiou, self.emotion)

    def queue(self) -> pd.DataFrame:
        """What to review first, most expected gain per minute first (`fedet.triage.queue`)."""
        rows = self.review.table("all")
        dropped = {f"p{i}" for i in suppressed(self.lanes.predictions[0][1], self.nms)}
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
        theirs = other if isinstance(other, pd.DataFrame) else self._read(other)
        own = self.review.table()
        return agreement(own, theirs, tiou, {self.lanes.name: self.lanes.n_frames})

    def export(self, path: str | Path, include=None) -> Path:
        """Writes the review by suffix: .csv, .json (ActivityNet), .eaf (ELAN), .vtt.

        Args:
            path: File to write.
            include: Statuses to write; default: what a person stands behind (accepted, corrected,
                added). "all" writes open and rejected rows too.

        ELAN files also get truth and prediction as tiers.
        """
        from fedet.exchange import write_review

        rows = self.review.table() if include is None else self.review.table(include)
        return write_review(Path(path), rows, self.visible(), self.lanes, self.video)

    def import_review(self, path: str | Path, reviewer: str | None = None) -> int:
        """Takes a review back, e.g. an .eaf edited in ELAN; one undo takes it all out again.

        Intervals of the file are joined with the review's rows by overlap: unchanged ones stay,
        others become `corrected` or `added`; decided rows that the file lacks are deleted.

        Returns:
            The number of rows that changed.
        """
        from fedet.exchange import changes_from

        changes = changes_from(self._read(path), self.review)
        if changes:
            self.review.apply("replace", by=reviewer, changes=changes)
        return len(changes)

    def _read(self, path: str | Path) -> pd.DataFrame:
        from fedet.exchange import read_reviewed

        return read_reviewed(Path(path), self.lanes)

    # ---- static

    def figure(self, start_s: float = 0.0, end_s: float | None = None):
        """The lanes as a matplotlib Figure; `start_s`, `end_s` show a part."""
        from fedet.still import still

        rows = self.review.table("all")
        return still(self.lanes, self.visible(), rows, self.threshold, start_s, end_s)

    def page_data(self, thumbnails: int = 0) -> dict:
        """What a page without kernel needs, as plain values; with so many pictures of the video."""
        data = self._data() | {"alone": True, "readonly": True, "controls": True}
        if data["scores"]:
            data["scores"]["base64"] = lane_data.curve_text(self.lanes)
        decided = any(row["status"] != "open" for row in self.review.rows.values())
        data["review"] |= {"hidden": not decided, "key": ""}
        data["picture"] = {"available": False, "face": False, "thumbs": self._thumbs(thumbnails)}
        data["queue"] = self._queue_message()
        return data

    def to_html(self, path: str | Path, thumbnails: int = 24) -> Path:
        """Writes one file that opens without kernel and network: lanes, hover, zoom, threshold.

        Args:
            path: File to write.
            thumbnails: Pictures to store, at the intervals first; 0 for none. They show faces:
                mind who gets the file.
        """
        from fedet.cells import replaced

        path = Path(path)
        text = page(self.page_data(thumbnails), self.lanes.name, self.figure())
        with replaced(path) as part:
            Path(part).write_text(text, "utf-8")
        return path

    def _thumbs(self, count: int) -> list[dict]:
        if not count or self._server is None:
            return []
        table = self.visible()
        middles = table["apex"].fillna((table["onset"] + table["offset"]) // 2).tolist()
        even = [int((i + 0.5) * self.lanes.n_frames / count) for i in range(count)]
        chosen = sorted([*middles[:count], *even[: count - len(middles[:count])]])
        pictures = [(k, self._server.picture(int(k), 240)) for k in dict.fromkeys(chosen)]
        url = "data:image/jpeg;base64,"
        return [{"frame": int(k), "src": url + base64.b64encode(p).decode()}
                for k, p in pictures if p]  # fmt: skip

    def _repr_mimebundle_(self, **kwargs):
        bundle = self.controls.panel._repr_mimebundle_(**kwargs)
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png", dpi=80)
        # For viewers without widgets, e.g. the notebook on a web page.
        image = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
        return bundle if bundle is None else bundle | image

    def close(self) -> None:
        """Lets go of the journal and of the video."""
        if self._server is not None:
            self._server.close()
        self.review.close()
        super().close()

    # ---- settings, in tables

    def _kept(self, table: pd.DataFrame) -> pd.Series:
        keep = table["score"].fillna(1.0) >= self.threshold
        return keep & ~table.index.isin(suppressed(table, self.nms))

    def _named(self, table: pd.DataFrame) -> pd.Series:
        every = set(self.lanes.labels) <= set(self.classes)
        return table["emotion"].isin(self.classes) | (table["emotion"].isna() & every)

    def _passing(self, table: pd.DataFrame) -> pd.Series:
        return self._named(table) & table["expression_type"].isin(self.types)

    # ---- the browser

    def _data(self) -> dict:
        video, review = self.video, self.review
        undo, redo = review.depth
        settings = {k: getattr(self, k) for k in
                    ("threshold", "nms", "tiou", "emotion", "classes", "types")}  # fmt: skip
        picture = {"available": False, "width": 0, "face": False}
        if video is not None:
            picture = {"available": True, "width": video.width, "face": True, "start_face": False}
        return lane_data.payload(self.lanes) | {
            "review": {
                "rows": review_columns(review.rows),
                "undo": undo,
                "redo": redo,
                "key": review.key,
                "hidden": False,
            },
            "settings": settings,
            "picture": picture,
            "formats": list(FORMATS),
            "notices": [*self.lanes.notices, *review.notices],
            "alone": False,
            "readonly": False,
            "controls": False,
        }

    def _received(self, _, content, buffers) -> None:
        kind = content.get("kind")
        if kind == "hello":
            self._greet(content)
        elif kind == "edit":
            self._edit(content["command"])
        elif kind == "frames" and self._server is not None:
            keys = ("frames", "width", "view", "key")
            self._server.want(*(content[k] for k in keys), who=content.get("who", ""))
        elif kind == "queue":
            self.send(self._queue_message())
        elif kind == "export":
            self._export(content["format"])

    def _greet(self, content) -> None:
        known = self.review.known(content.get("pending", []))
        message = {"kind": "state", "to": content.get("from"), "data": self._data(), "known": known}
        self.send(message, buffers=[lane_data.curve_bytes(self.lanes)])

    def _edit(self, command: dict) -> None:
        command = dict(command)
        op, id = command.pop("op", None), str(command.pop("id", ""))
        try:
            if not self.review.apply(str(op), id=id, **command):
                self._changed(id, str(op), {})
        except (InputError, OSError) as error:
            row = self.review.rows.get(str(command.get("row")))
            rows = {} if row is None else {command["row"]: row}
            self.send(self._answer("refused", id, rows, f"Not done: {error}"))

    def _changed(self, id: str, op: str, changes: dict) -> None:
        """After every edit, wherever it was made: tells all views."""
        new = [row for row in changes if row.startswith(("a", "s"))]
        message = self._answer("ack", id, changes, op)
        self.send(message | {"select": new[-1] if op in ("add", "split") and new else None})

    def _answer(self, kind: str, id: str, changes: dict, message: str) -> dict:
        undo, redo = self.review.depth
        path, edits = self.review.path, self.review.edits
        saved = f"{edits} edits saved in {path.name}" if path else "not saved: autosave is off"
        return {
            "kind": kind,
            "ids": [id],
            "rows": review_columns({k: v for k, v in changes.items() if v is not None}),
            "gone": [k for k, v in changes.items() if v is None],
            "undo": undo,
            "redo": redo,
            "message": message,
            "saved": saved,
        }

    def _queue_message(self) -> dict:
        items = self.queue()
        now, shown = items.attrs["f1_now"], items.head(QUEUE_SHOWN)
        expect = ""
        if now is not None and len(items):
            ten = items[items["minutes"].cumsum() <= 10]
            then = ten["f1_after"].iloc[-1] if len(ten) else now
            spent = ten["minutes"].sum()
            expect = f"expected F1 {now:.2f} → {then:.2f} after {spent:.0f} min"
        rows = [
            {"kind": r.kind, "row_id": None if pd.isna(r.row_id) else r.row_id,
             "s": int(r.onset), "e": int(r.offset) + 1, "mistakes": float(r.mistakes),
             "minutes": float(r.minutes), "per_minute": float(r.per_minute), "why": r.why}
            for r in shown.itertuples()
        ]  # fmt: skip
        note = self.effort.sentence()
        return {"kind": "queue", "items": rows, "note": note, "expect": expect}

    def _export(self, suffix: str) -> None:
        folder = self.review.path.parent if self.review.path else Path()
        path = folder / f"{Path(self.lanes.name).name}.review.{suffix}"
        try:
            if suffix not in FORMATS:
                raise InputError(f"format {suffix!r}: one of {', '.join(FORMATS)}")
            self.export(path)
            message = f"Wrote {len(self.review.table())} intervals to {path.resolve()}"
        except (InputError, OSError) as error:
            message = f"Not exported: {error}"
        self.send({"kind": "exported", "message": message, "path": str(path)})

    def _send_picture(self, frame: int, key: str, data: bytes | None) -> None:
        content = {"kind": "frame", "frame": frame, "key": key}
        self.send(content, buffers=None if data is None else [data])


def review_columns(rows: dict) -> dict[str, list]:
    """Rows of a review as columns for the browser."""
    values = list(rows.values())
    same = ("apex", "emotion", "score", "status", "note", "reviewer")
    return {
        "id": list(rows),
        "s": [row["onset"] for row in values],
        "e": [row["offset"] + 1 for row in values],
        "type": [row["expression_type"] for row in values],
        "at": [row["reviewed_at"] for row in values],
        **{name: [row[name] for row in values] for name in same},
    }

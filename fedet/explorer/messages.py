"""Messages between the explorer and its views in the browser.

| from the browser | answer |
| --- | --- |
| hello | state: all data; the score curves as a binary buffer |
| edit | ack: the rows as they are now, or refused: why, and the row as it is |
| frames | frame: one JPEG as a binary buffer for each, or none beyond the video's end |
| sound | sound: samples of one chunk each; soundtrack: waveform and speech |
| queue | queue: what to review first |
| export | exported: where to, or why not |

Every edit has an id, so that one that is sent again after a broken connection is applied once.
"""

import base64
from pathlib import Path

import pandas as pd

from fedet.errors import InputError
from fedet.explorer import timeline as lane_data
from fedet.explorer.frame_server import FaceCropper, FrameServer, PointPainter
from fedet.explorer.sound_server import CHUNK_S, SoundServer
from fedet.video.audio import RATE, has_sound

FORMATS = ("csv", "json", "eaf", "vtt", "boris.csv")
QUEUE_SHOWN = 200
WORTH = 1.0  # mistakes that a minute on an entry is expected to correct; others are not listed
QUEUE_MINUTES = 10  # for which the expected gain is reported
PAGE_SOUND_S = 180.0  # of sound in a page without kernel; 21 kB a second
THUMB_WIDTH = 240  # pixels
SETTINGS = ("threshold", "nms", "tiou", "emotion", "classes", "types", "reviewer")


class MessageServer:
    """Answers the messages of an explorer's views and sends them every edit.

    Args:
        explorer: The `fedet.explorer.widget.Explorer`.
        cropper: Cuts the face out of a frame; None: found by the Haar cascade.
    """

    def __init__(self, explorer, cropper=None):
        self.explorer, self.review = explorer, explorer.review
        self.server, self.sound = None, None
        if explorer.video is not None:
            crop = cropper or FaceCropper()
            self.server = FrameServer(explorer.video, explorer.lanes.fps, self._picture, crop, PointPainter())
            if has_sound(explorer.video.path):
                self.sound = SoundServer(explorer.video.path, explorer.lanes.fps, explorer.send)
        self.review.listeners.append(self._changed)
        explorer.on_msg(self._received)

    def close(self) -> None:
        """Stops serving frames and sound."""
        for server in (self.server, self.sound):
            if server is not None:
                server.close()

    def _received(self, _, content: dict, buffers) -> None:
        kind = content.get("kind")
        if kind == "hello":
            self._greet(content)
        elif kind == "edit":
            self._edit(dict(content["command"]))
        elif kind == "frames" and self.server is not None:
            request = (content[key] for key in ("frames", "width", "view", "key"))
            self.server.request(*request, client=content.get("client", ""))
        elif kind == "sound" and self.sound is not None:
            self.sound.request(content.get("chunks"))
        elif kind == "queue":
            self.explorer.send(queue_message(self.explorer))
        elif kind == "export":
            self._export(content["format"])

    def _greet(self, content: dict) -> None:
        applied = self.review.applied(content.get("pending", []))
        data = scene_data(self.explorer)
        if self.sound is not None:
            data["sound"] = {"rate": RATE, "chunk_s": CHUNK_S}
        message = {"kind": "state", "to": content.get("from"), "data": data, "applied": applied}
        self.explorer.send(message, buffers=[lane_data.curve_bytes(self.explorer.lanes)])

    def _edit(self, command: dict) -> None:
        op, id = str(command.pop("op", "")), str(command.pop("id", ""))
        try:
            if self.review.applied([id]):
                self._changed(id, op, {})
            else:
                self.review.apply(op, id=id, **command)
        except (InputError, OSError) as error:
            row_id = command.get("row")
            row = self.review.rows.get(row_id) if isinstance(row_id, str) else None
            rows = {} if row is None else {row_id: row}
            self.explorer.send(self._answer("refused", id, rows, f"Not done: {error}"))

    def _changed(self, id: str, op: str, changes: dict) -> None:
        """Sends every edit, whatever its origin, to all views."""
        new = [row for row in changes if row.startswith(("a", "s"))]
        select = new[-1] if op in ("add", "split") and new else None
        self.explorer.send(self._answer("ack", id, changes, op) | {"select": select})

    def _answer(self, kind: str, id: str, changes: dict, message: str) -> dict:
        undo, redo = self.review.depth
        return {
            "kind": kind,
            "ids": [id],
            "rows": review_columns({k: v for k, v in changes.items() if v is not None}),
            "gone": [k for k, v in changes.items() if v is None],
            "undo": undo,
            "redo": redo,
            "message": message,
            "saved": saved_text(self.review),
        }

    def _export(self, suffix: str) -> None:
        explorer, data = self.explorer, b""
        folder = self.review.path.parent if self.review.path else Path()
        path = folder / f"{Path(explorer.lanes.name).name}.review.{suffix}"
        try:
            if suffix not in FORMATS:
                raise InputError(f"format {suffix!r}: one of {', '.join(FORMATS)}")
            data = explorer.export(path).read_bytes()
            message = f"Wrote {len(self.review.table())} reviewed intervals to {path.resolve()}"
        except (InputError, OSError) as error:
            message = f"Not exported: {error}"
        content = {"kind": "exported", "message": message, "path": str(path), "name": path.name}
        explorer.send(content, buffers=[data] if data else None)

    def _picture(self, frame: int, key: str, data: bytes | None) -> None:
        content = {"kind": "frame", "frame": frame, "key": key}
        self.explorer.send(content, buffers=None if data is None else [data])


def scene_data(explorer) -> dict:
    """Everything that a view shows except pictures and the values of the score curves."""
    video, review = explorer.video, explorer.review
    undo, redo = review.depth
    picture: dict = {"available": False, "width": 0, "face": False}
    if video is not None:
        picture = {"available": True, "width": video.width, "face": True, "points": True, "start_face": False}
        picture["aspect"] = video.width / video.height
    return lane_data.payload(explorer.lanes) | {
        "review": {
            "rows": review_columns(review.rows),
            "undo": undo,
            "redo": redo,
            "key": review.key,
            "hidden": False,
            "saved": saved_text(review),
        },
        "settings": {name: getattr(explorer, name) for name in SETTINGS},
        "picture": picture,
        "formats": list(FORMATS),
        "notices": [*explorer.lanes.notices, *review.notices],
        "alone": False,  # a page without a kernel
        "readonly": False,
    }


def page_data(explorer, thumbnails: int = 0) -> dict:
    """The data of a page without kernel, plain values, with `thumbnails` pictures of the video."""
    data = scene_data(explorer) | {"alone": True, "readonly": True}
    if data["scores"]:
        data["scores"]["base64"] = lane_data.curve_text(explorer.lanes)
    decided = any(row["status"] != "open" for row in explorer.review.rows.values())
    data["review"] |= {"hidden": not decided, "key": "", "saved": "", "undo": 0, "redo": 0}
    thumbs = _thumbs(explorer, thumbnails)
    aspect = data["picture"].get("aspect")
    data["picture"] = {"available": False, "face": False, "thumbs": thumbs, "aspect": aspect}
    data["queue"] = queue_message(explorer)
    if explorer.messages.sound is not None:
        data["sound"] = {"rate": RATE, "chunk_s": CHUNK_S}
        data["soundtrack"] = explorer.messages.sound.whole(PAGE_SOUND_S)
    data["notices"] = list(explorer.lanes.notices)
    return data


def _thumbs(explorer, count: int) -> list[dict]:
    """Stored pictures: at the apexes (or middles) of the visible intervals, then evenly spread."""
    server = explorer.messages.server
    if not count or server is None:
        return []
    table = explorer.visible()
    middles = table["apex"].fillna((table["onset"] + table["offset"]) // 2).tolist()[:count]
    more = count - len(middles)
    even = [int((i + 0.5) * explorer.lanes.n_frames / more) for i in range(more)]
    frames = sorted({int(frame) for frame in [*middles, *even]})
    pictures = [(frame, server.picture(frame, THUMB_WIDTH, cursor="film")) for frame in frames]
    head = "data:image/jpeg;base64,"
    return [{"frame": frame, "src": head + base64.b64encode(data).decode()}
            for frame, data in pictures if data]  # fmt: skip


def queue_message(explorer) -> dict:
    """The queue's first entries, and the gain expected of them."""
    every = explorer.queue()
    items = every[every["per_minute"] >= WORTH]
    now, expect = every.attrs["f1_now"], ""
    soon = items[items["minutes"].cumsum() <= QUEUE_MINUTES]
    if now is not None and len(soon):
        then, spent = soon["f1_after"].iloc[-1], soon["minutes"].sum()
        time = f"{60 * spent:.0f} s" if spent < 1 else f"{spent:.0f} min"
        expect = f"expected F1 {now:.2f} → {then:.2f} in {time}"
    rows = [
        {
            "kind": row.kind,
            "row_id": None if pd.isna(row.row_id) else row.row_id,
            "s": int(row.onset),
            "e": int(row.offset) + 1,
            "mistakes": float(row.mistakes),
            "minutes": float(row.minutes),
            "per_minute": float(row.per_minute),
            "why": row.why,
        }
        for row in items.head(QUEUE_SHOWN).itertuples()
    ]
    note = f"Gain: {every.attrs['assumptions'][0].lower()}{every.attrs['assumptions'][1:]}"
    if rest := len(every) - len(items):
        note = f"{rest} more are worth less than one mistake a minute. {note}"
    return {"kind": "queue", "items": rows, "note": note, "expect": expect}


def review_columns(rows: dict) -> dict[str, list]:
    """Rows of a review as columns for the browser; half-open, as in `fedet.explorer.timeline.payload`."""
    values = list(rows.values())
    unchanged = ("apex", "emotion", "score", "status", "note", "reviewer", "subject")
    return {
        "id": list(rows),
        "s": [row["onset"] for row in values],
        "e": [row["offset"] + 1 for row in values],
        "type": [row["expression_type"] for row in values],
        "at": [row["reviewed_at"] for row in values],
        **{name: [row[name] for row in values] for name in unchanged},
    }


def saved_text(review) -> str:
    """Where the edits are saved."""
    if review.path is None:
        return "edits are not saved: autosave is off"
    if not review.edits:
        return f"edits will be saved in {review.path.name}"
    return f"{review.edits} edit{'s' * (review.edits > 1)} saved in {review.path.name}"

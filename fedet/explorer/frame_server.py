"""Frames of a video as small JPEG pictures, on demand, for the explorer.

Only requested frames are decoded, in a thread, so that edits are answered meanwhile; a new request
replaces the rest of the one before.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fedet.errors import InputError
from fedet.video.reader import Frame, Video

if TYPE_CHECKING:
    from fedet.faces.detectors import Box, FaceDetector
    from fedet.faces.landmarks import LandmarkNet

QUALITY = 82  # of JPEG; a frame of 480 x 270 pixels has about 15 kB
MAX_SKIP_S = 0.7  # frames up to this far ahead are reached by decoding; others by seeking
CACHE_BYTES = 64e6
FACE_INTERVAL_S = 0.5  # between two face detections

Sender = Callable[[int, str, bytes | None], None]  # frame, key of the request, JPEG or None


class Cropper(Protocol):
    """Cuts the face out of a frame: (H, W, 3) uint8, its time in seconds, side in pixels."""

    def __call__(self, image: np.ndarray, time_s: float, size: int) -> np.ndarray: ...


Painter = Callable[[np.ndarray], np.ndarray]  # draws on a face (S, S, 3) uint8


class FrameServer:
    """Serves pictures of one video.

    Args:
        video: From `fedet.video.reader.open_video`.
        fps: The rate in which frames are counted; frame k is the picture at k / fps seconds.
        send: Called in the server's thread with each picture; None: the video has no such frame.
        cropper: For the views "face" and "points"; None: they show the whole picture.
        painter: Draws on a face for the view "points".
    """

    def __init__(
        self,
        video: Video,
        fps: float,
        send: Sender,
        cropper: Cropper | None = None,
        painter: Painter | None = None,
    ):
        self.video, self.fps, self.send = video, fps, send
        self.cropper, self.painter = cropper, painter
        self._cache: OrderedDict[tuple[str, int], bytes | None] = OrderedDict()
        self._bytes = 0
        self._cursors: dict[str, tuple[int | None, int, Iterator[Frame]]] = {}
        self._requests: dict[str, tuple[list[int], int, str, str]] = {}
        self._wake = threading.Condition()
        self._decoding = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def request(self, frames: list[int], width: int, view: str, key: str, client: str = "") -> None:
        """Requests pictures, most urgent first; replaces what `client` requested before.

        Clients whose name starts with "film" are served when no other waits.
        """
        with self._wake:
            self._requests[client] = (list(frames), width, view, key)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, name="frames", daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Stops the thread after the current picture."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def picture(self, frame: int, width: int, view: str = "whole", cursor: str = "main") -> bytes | None:
        """One frame as JPEG, at most `width` pixels wide; None beyond the video's end.

        Each `cursor` continues decoding from its last frame.
        """
        key = (f"{width}:{view}", frame)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        with self._decoding:
            face = view in ("face", "points") and self.cropper is not None
            image = self._image(frame, None if face else self._side(width), cursor)
            if image is not None and face and self.cropper is not None:
                cut = self.cropper(image, frame / self.fps, min(width, 480))
                paints = view == "points" and self.painter is not None and cut is not image
                image = self.painter(cut) if paints and self.painter else cut
        data = None if image is None else jpeg(image, width)
        self._store(key, data)
        return data

    def _side(self, width: int) -> int:
        """The longer side of a picture that is `width` wide."""
        return max(width, round(width * self.video.height / self.video.width))

    def _image(self, frame: int, side: int | None, cursor: str) -> np.ndarray | None:
        """The picture of a frame; decodes on from the last one where that is quicker than seeking."""
        at = self._cursors.get(cursor)
        if at is None or at[0] != side or not at[1] <= frame <= at[1] + MAX_SKIP_S * self.fps:
            source = self.video.frames(frame / self.fps, fps=self.fps, max_side=side)
            at = (side, frame, source)
        for decoded in at[2]:
            if decoded.index >= frame:
                self._cursors[cursor] = (side, decoded.index + 1, at[2])
                return decoded.image if decoded.index == frame else None
        self._cursors.pop(cursor, None)
        return None

    def _store(self, key: tuple[str, int], data: bytes | None) -> None:
        self._cache[key] = data
        self._bytes += len(data or b"")
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._bytes -= len(old or b"")

    def _next(self) -> tuple[str, int, int, str, str] | None:
        """The next picture to decode, clients in turn; None when closed."""
        with self._wake:
            while not self._closed:
                for client in sorted(self._requests, key=lambda client: client.startswith("film")):
                    frames, width, view, key = self._requests.pop(client)
                    if frames:
                        self._requests[client] = (frames[1:], width, view, key)  # now last in turn
                        return client, frames[0], width, view, key
                self._wake.wait()
        return None

    def _serve(self) -> None:
        while (todo := self._next()) is not None:
            client, frame, width, view, key = todo
            try:
                cursor = "film" if client.startswith("film") else "main"
                data = self.picture(frame, width, view, cursor)
            except (InputError, OSError):
                data = None  # a frame that cannot be read is shown as missing
            self.send(frame, key, data)


class FaceCropper:
    """Cuts the face out, detected twice a second; in between the last box counts.

    For viewing, not for measuring: `fedet.faces.tracking.track_faces` follows a face properly.
    """

    def __init__(self, detector: "FaceDetector | None" = None):
        self._detector = detector
        self._boxes: dict[int, Box | None] = {}

    def __call__(self, image: np.ndarray, time_s: float, size: int) -> np.ndarray:
        """The face, (size, size, 3) uint8; the whole picture where no face is found."""
        from fedet.faces.detectors import HaarDetector
        from fedet.faces.tracking import crop

        if self._detector is None:
            self._detector = HaarDetector()
        step = int(time_s / FACE_INTERVAL_S)
        if step not in self._boxes:
            boxes = self._detector.detect(image)
            self._boxes[step] = max(boxes, key=lambda box: box.size, default=None)
        near = (self._boxes.get(k) for k in (step, step - 1, step + 1, step - 2))
        box = next((box for box in near if box), None)
        return image if box is None else crop(image, box, size)


class PointPainter:
    """Draws the points of a face that `FaceCropper` cut out, each in a ring of its standard deviation."""

    COLOUR = (255, 214, 10)

    def __init__(self) -> None:
        self._net: LandmarkNet | None = None

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """(S, S, 3) uint8 with the points on it."""
        import cv2

        from fedet.faces.landmarks import SIZE, load_landmarks, read_crops

        self._net = self._net or load_landmarks()
        small = cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        points, spread, _ = (values[0] for values in read_crops(self._net, [small]))
        rings, side = face.copy(), len(face)
        at = [(int(16 * side * x), int(16 * side * y)) for x, y in points]  # in sixteenths of a pixel
        for centre, deviation in zip(at, spread, strict=True):
            cv2.circle(rings, centre, int(16 * side * deviation), self.COLOUR, 1, cv2.LINE_AA, shift=4)
        drawn = cv2.addWeighted(rings, 0.4, face, 0.6, 0)
        for centre in at:
            cv2.circle(drawn, centre, max(16, side // 12), self.COLOUR, -1, cv2.LINE_AA, shift=4)
        return drawn


def jpeg(image: np.ndarray, width: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG, at most `width` pixels wide."""
    import cv2

    if image.shape[1] > width:
        size = (width, max(1, round(width * image.shape[0] / image.shape[1])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise InputError(f"a picture of {image.shape} cannot be written as JPEG")
    return data.tobytes()

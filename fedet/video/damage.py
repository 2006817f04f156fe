"""Which frames of a stream can be trusted: a broken one harms all that lean on it, up to the next key frame.

Frames lean on frames that were decoded before them, some of which are shown after them. So everything here
counts in the order of decoding, and a frame is handed on once all that was decoded before it is known.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import av

MOST_LATE = 16  # frames that a decoder may hold back to put them in order
JOINT = 2  # a container calls packets corrupt up to so many before another file was appended
# In streams of these kinds each packet becomes a frame; others have packets that are never shown.
A_FRAME_EACH = ("hevc",)


class Decoded(NamedTuple):
    """A frame as it came from the decoder, or the place of one that was lost."""

    frame: av.VideoFrame | None  # None: lost
    pts: int | None  # when it is shown, in the stream's time base; None if unknown
    damaged: bool  # broken, or leaning on a broken one


class _Sent(NamedTuple):
    """A packet that was given to the decoder."""

    number: int
    pts: int | None


class Damage:
    """Follows the packets into a decoder and the frames out of it.

    Args:
        codec: FFmpeg's name of it.
        shown_at: whether the packets say when they are shown.

    Attributes: broken, how many frames or packets were broken.
    """

    def __init__(self, codec: str, shown_at: bool) -> None:
        self.broken = 0
        self._shown_at = shown_at
        self._a_frame_each = codec in A_FRAME_EACH
        self._sent: dict[int, _Sent] = {}  # packets whose frames have not come out
        self._keys: list[int] = []  # numbers of key frames, ascending, ...
        self._key_pts: dict[int, int | None] = {}  # ... and when they are shown
        self._bad: list[int] = []  # numbers of broken frames, ascending
        self._suspects: deque[int] = deque()  # numbers of packets that the container calls corrupt
        self._refused = 0  # packets that the decoder refused and that are not known yet
        self._next = 0
        self._held: deque[tuple[int, Decoded]] = deque()  # with their numbers

    def send(self, packet: av.Packet) -> None:
        """To be called for each packet before it is decoded; numbers it."""
        packet.opaque = self._next
        pts = self._pts(packet)
        self._sent[self._next] = _Sent(self._next, pts)
        if packet.is_keyframe:
            self._add_key(self._next, pts)
        if packet.is_corrupt:  # something is missing next to it
            self._suspects.append(self._next)
        if self._suspects and packet.is_keyframe:
            self._suspects.clear()  # two files were joined here
        if self._suspects and self._next - self._suspects[0] >= JOINT:
            self._mark(self._suspects.popleft())
            self.broken += 1
        self._next += 1

    def refuse(self) -> None:
        """To be called when the decoder raised an error, perhaps for an earlier packet than the last."""
        self.broken += 1
        self._refused += 1

    def receive(self, frame: av.VideoFrame) -> Iterator[Decoded]:
        """Takes a frame from the decoder; yields the frames about which all is known, in their order."""
        number = self._number_of(frame)
        pts = self._pts(frame)
        self._sent.pop(number, None)
        if frame.key_frame:
            self._add_key(number, pts)
        for lost in self._lost_before(number, pts):
            later = (i for i, (held, _) in enumerate(self._held) if held > lost.number)
            at = next(later, len(self._held)) if lost.pts is None else len(self._held)
            self._held.insert(at, (lost.number, Decoded(None, lost.pts, True)))
        if frame.is_corrupt:
            self.broken += 1
            self._mark(number)
        self._held.append((number, Decoded(frame, pts, False)))
        yield from self._known()

    def flush(self) -> Iterator[Decoded]:
        """At the end: the frames that are still held."""
        self._suspects.clear()
        for sent in self._sent.values():
            self._is_lost(sent)
        self._sent.clear()
        yield from self._known()

    def _pts(self, item: av.Packet | av.VideoFrame) -> int | None:
        return item.pts if self._shown_at else None

    def _number_of(self, frame: av.VideoFrame) -> int:
        """The number of the packet that a frame was decoded from."""
        if isinstance(frame.opaque, int):
            return frame.opaque
        pts = self._pts(frame)
        same = (n for n, sent in self._sent.items() if pts is not None and sent.pts == pts)
        return next(same, min(self._sent, default=self._next))

    def _lost_before(self, number: int, pts: int | None) -> list[_Sent]:
        """Packets that should have been shown before this frame; those that were broken count as lost."""
        most = 2 * MOST_LATE if self._shown_at else MOST_LATE // 2
        late = [
            sent
            for sent in self._sent.values()
            if sent.number < number - most
            or (sent.number < number and sent.pts is not None and pts is not None and sent.pts < pts)
        ]
        for sent in late:
            del self._sent[sent.number]
        lost = [sent for sent in late if self._is_lost(sent)]
        return sorted(lost, key=lambda sent: sent.number if sent.pts is None else sent.pts)

    def _is_lost(self, sent: _Sent) -> bool:
        """Whether a packet without a frame was broken, and not one that is never shown."""
        if self._refused:
            self._refused -= 1
        elif self._a_frame_each and not self._leads(sent.number, sent.pts):
            self.broken += 1
        else:
            return False
        self._mark(sent.number)
        return True

    def _known(self) -> Iterator[Decoded]:
        """Releases held frames, in order, before which nothing is open."""
        while self._held:
            number, decoded = self._held[0]
            if len(self._held) <= MOST_LATE and (
                any(sent < number for sent in self._sent) or (self._suspects and self._suspects[0] <= number)
            ):
                return
            self._held.popleft()
            yield decoded._replace(damaged=decoded.frame is None or self._leans(number, decoded.pts))

    def _add_key(self, number: int, pts: int | None) -> None:
        if number not in self._key_pts:
            insort(self._keys, number)
            self._key_pts[number] = pts

    def _mark(self, number: int) -> None:
        if number not in self._bad[-2 * MOST_LATE :]:
            insort(self._bad, number)

    def _leads(self, number: int, pts: int | None) -> bool:
        """Whether a frame is shown before the key frame that was decoded before it."""
        at = bisect_right(self._keys, number)
        key_pts = self._key_pts[self._keys[at - 1]] if at else None
        return pts is not None and key_pts is not None and pts < key_pts

    def _leans(self, number: int, pts: int | None) -> bool:
        """Whether something broken was decoded before a frame, from the last key frame on.

        Frames that are shown before that key frame may lean on what precedes it.
        """
        at = bisect_right(self._keys, number) - (2 if self._leads(number, pts) else 1)
        since = self._keys[at] if at >= 0 else 0
        bad = bisect_right(self._bad, number) - 1
        return bad >= 0 and self._bad[bad] >= since

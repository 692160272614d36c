"""The newest notices of a replica, each with its frame, which is encoded once for all readers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from helix_ray.core.about import hears
from helix_ray.core.access import Principal
from helix_ray.core.notices import Filter, Notice
from helix_ray.wire.events import frame_of

RING_NOTICES_MAX = 10_000
RING_BYTES_MAX = 16 << 20
# A piece ends with the frame that reaches this.
PIECE_BYTES_MAX = 128 * 1024


class View(NamedTuple):
    """What decides which notices a reader gets; readers with equal views share their pieces. `by` is without
    what does not matter for that: the session, the name."""

    by: Principal
    wanted: Filter

    def shows(self, notice: Notice) -> bool:
        """Say whether the reader hears of a notice, and wants it."""
        return self.wanted.wants(notice) and hears(self.by, notice.about.audience)


class FramePiece(NamedTuple):
    """The frames between two cursors that a reader gets; `cursor` is the later one."""

    frames: bytes
    cursor: int


class NoticeRing:
    """Has all notices with seqs above `after`, up to `through`."""

    def __init__(self, start: int) -> None:
        self.after = start
        self.through = start
        self._seqs: list[int] = []
        self._notices: list[Notice] = []
        self._frames: list[bytes] = []
        self._bytes = 0
        self._pieces: dict[tuple[View, int], FramePiece] = {}

    def add(self, notices: Iterable[Notice], through: int) -> None:
        """Add the notices up to a cursor, and drop the oldest where there are too many."""
        for notice in notices:
            frame = frame_of(notice)
            self._seqs.append(notice.seq)
            self._notices.append(notice)
            self._frames.append(frame)
            self._bytes += len(frame)
        self.through = through
        self._pieces.clear()
        self._drop()

    def _drop(self) -> None:
        """Drop half at a time: removing from the front of a list costs as much as the rest is long."""
        while len(self._seqs) > 1 and (len(self._seqs) > RING_NOTICES_MAX or self._bytes > RING_BYTES_MAX):
            count = max(len(self._seqs) // 2, 1)
            self.after = self._seqs[count - 1]
            self._bytes -= sum(map(len, self._frames[:count]))
            del self._seqs[:count], self._notices[:count], self._frames[:count]

    def piece(self, view: View, cursor: int) -> FramePiece:
        """Return what a reader gets after a cursor, which is not before `after`."""
        found = self._pieces.get((view, cursor))
        if found is None:
            found = self._pieces[view, cursor] = self._piece(view, cursor)
        return found

    def _piece(self, view: View, cursor: int) -> FramePiece:
        frames: list[bytes] = []
        size = 0
        for place in range(bisect_right(self._seqs, cursor), len(self._seqs)):
            if view.shows(self._notices[place]):
                frames.append(self._frames[place])
                size += len(self._frames[place])
                if size >= PIECE_BYTES_MAX:
                    return FramePiece(b"".join(frames), self._seqs[place])
        return FramePiece(b"".join(frames), self.through)

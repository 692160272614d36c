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
# A piece ends with the frame that reaches this: a reader that takes nothing holds one piece.
PIECE_BYTES_MAX = 128 * 1024
# Pieces that are kept for other readers with the same view.
PIECES_BYTES_MAX = 16 << 20


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
        self.kept_bytes = 0

    @property
    def kept(self) -> int:
        """How many pieces are kept, of `kept_bytes` together."""
        return len(self._pieces)

    def add(self, notices: Iterable[Notice], through: int) -> None:
        """Add the notices up to a cursor, and drop the oldest where there are too many."""
        for notice in notices:
            frame = frame_of(notice)
            self._seqs.append(notice.seq)
            self._notices.append(notice)
            self._frames.append(frame)
            self._bytes += len(frame)
        self.through = through
        self._forget_pieces()
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
            if self.kept_bytes >= PIECES_BYTES_MAX:
                self._forget_pieces()
            found = self._pieces[view, cursor] = self._piece(view, cursor)
            self.kept_bytes += len(found.frames)
        return found

    def _piece(self, view: View, cursor: int) -> FramePiece:
        places = range(bisect_right(self._seqs, cursor), len(self._seqs))
        shown = (place for place in places if view.shows(self._notices[place]))
        return _joined(((self._frames[place], self._seqs[place]) for place in shown), self.through)

    def _forget_pieces(self) -> None:
        self._pieces.clear()
        self.kept_bytes = 0


def piece_of(notices: Iterable[Notice], view: View, through: int) -> FramePiece:
    """Return what a reader gets of notices that were read up to a cursor."""
    return _joined(((frame_of(each), each.seq) for each in notices if view.shows(each)), through)


def _joined(frames: Iterable[tuple[bytes, int]], through: int) -> FramePiece:
    """Join frames, each with its seq, up to the size of a piece; all of them lead to `through`."""
    joined: list[bytes] = []
    size = 0
    for frame, seq in frames:
        joined.append(frame)
        size += len(frame)
        if size >= PIECE_BYTES_MAX:
            return FramePiece(b"".join(joined), seq)
    return FramePiece(b"".join(joined), through)

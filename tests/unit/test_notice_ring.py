"""The ring gives each reader exactly what is theirs between two cursors, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import serve_app.notice_ring
from helix_ray.core.about import About, Audience
from helix_ray.core.access import Principal
from helix_ray.core.notices import Filter, Notice
from helix_ray.wire.events import frame_of
from serve_app.notice_ring import NoticeRing, View, piece_of

USERS = ("user-1", "user-2")


def notice(seq: int, user: str) -> Notice:
    """Return a notice that one user hears of."""
    return Notice(seq, 0.0, "task.created", f"task-{seq}", {}, About(Audience("tasks", (user,))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(USERS)), max_size=6), max_size=8),
    st.integers(0, 40),
)
def test_a_reader_gets_everything_after_its_cursor_once(
    monkeypatch: pytest.MonkeyPatch, batches: list[list[tuple[int, str]]], cursor: int
) -> None:
    """In order, up to the end of the ring; what the ring dropped, it says."""
    monkeypatch.setattr(serve_app.notice_ring, "RING_NOTICES_MAX", 12)
    monkeypatch.setattr(serve_app.notice_ring, "PIECE_BYTES_MAX", 300)
    monkeypatch.setattr(serve_app.notice_ring, "PIECES_BYTES_MAX", 600)
    ring, seq, known = NoticeRing(0), 0, []
    for batch in batches:
        made = []
        for step, user in batch:
            seq += step
            made.append(notice(seq, user))
        known += made
        ring.add(made, seq)
    view = View(Principal(USERS[0]), Filter())
    cursor = max(min(cursor, ring.through), ring.after)
    expected = b"".join(frame_of(each) for each in known if each.seq > cursor and view.shows(each))
    found = b""
    while cursor < ring.through:
        piece = ring.piece(view, cursor)
        assert piece.cursor > cursor
        found, cursor = found + piece.frames, piece.cursor
    assert found == expected


def test_readers_with_equal_views_share_their_pieces() -> None:
    """Five hundred readers of the same cost what one does, but for the writing."""
    ring = NoticeRing(0)
    ring.add([notice(1, USERS[0])], 1)
    views = [View(Principal(USERS[0], roles=("developer",)), Filter(("task.created",))) for _ in range(2)]
    assert ring.piece(views[0], 0) is ring.piece(views[1], 0)
    other = View(Principal(USERS[1], roles=("developer",)), Filter(("task.created",)))
    assert ring.piece(other, 0).frames == b""


def test_pieces_are_kept_up_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user with a hundred filters has the replica keep no hundred copies of the ring."""
    monkeypatch.setattr(serve_app.notice_ring, "PIECES_BYTES_MAX", 10_000)
    ring = NoticeRing(0)
    ring.add([notice(seq, USERS[0]) for seq in range(1, 21)], 20)
    kept = [
        ring.piece(View(Principal(USERS[0]), Filter(types=("", str(number)))), 0) for number in range(100)
    ]
    assert ring.kept_bytes == sum(len(each.frames) for each in kept[-ring.kept :])
    assert ring.kept_bytes < 10_000 + len(kept[0].frames)


def test_what_was_read_from_the_journal_is_cut_into_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes nothing holds one piece, not all that was read; the rest is behind its cursor."""
    monkeypatch.setattr(serve_app.notice_ring, "PIECE_BYTES_MAX", 1_000)
    notices = [notice(seq, USERS[seq % 2]) for seq in range(1, 101)]
    view = View(Principal(USERS[0]), Filter())
    cursor, found = 0, b""
    while cursor < 120:
        piece = piece_of([each for each in notices if each.seq > cursor], view, 120)
        assert len(piece.frames) < 1_000 + len(frame_of(notices[-1]))
        found, cursor = found + piece.frames, piece.cursor
    assert found == b"".join(frame_of(each) for each in notices if view.shows(each))

"""The reader of events: where it begins, what it does after a break, and when it gives up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from helix_ray.client import Client
from helix_ray.client.errors import CursorGone, Invalid, NotSignedIn, Unavailable
from tests.unit.client.wire import Wire

Answer = httpx.Response | Exception


def frame(seq: int, event: str = "task.created") -> str:
    data = {"seq": seq, "event": event, "timestamp": "2025-11-07T11:00:00.000Z", "subject": f"task-{seq}"}
    return f"id: {seq}\nevent: {event}\ndata: {json.dumps({**data, 'project_id': None, 'data': {}})}\n\n"


def bookmark(seq: int) -> str:
    return f'id: {seq}\nevent: bookmark\ndata: {{"seq":{seq}}}\n\n'


def stream(*frames: str, broken: bool = False) -> httpx.Response:
    """Return a response with some frames, which ends, or breaks, after them."""

    def pieces() -> Iterator[bytes]:
        yield "".join(frames).encode()
        if broken:
            raise httpx.ReadError("reset")

    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=pieces())


def refusal(status: int, code: str, **details: object) -> httpx.Response:
    error = {"code": code, "message": "No", "details": details}
    return httpx.Response(status, json={"error": error, "request_id": "req-1"})


def cursors(wire: Wire) -> list[str | None]:
    """Return the cursors with which a client has asked."""
    return [request.headers.get("Last-Event-ID") for request in wire.requests]


def seqs(events: Iterator[object], count: int) -> list[int]:
    return [event["seq"] for event in itertools.islice(events, count)]  # type: ignore[index]


def test_it_goes_on_after_the_last_whole_event() -> None:
    """What a break cut off comes again; a bookmark moves the cursor, and is not given."""
    wire = Wire(
        stream("retry: 1500\n\n", bookmark(3), frame(4), frame(5)[:-1], broken=True),
        stream(bookmark(4), frame(5), bookmark(9)),
        stream(bookmark(9), frame(10)),
    )
    with wire.client().events(after=3) as events:
        assert seqs(events, 3) == [4, 5, 10]
        assert events.cursor == 10
    assert cursors(wire) == ["3", "4", "9"]
    assert [request.url.params["after"] for request in wire.requests] == ["3", "4", "9"]


def test_without_a_cursor_it_begins_where_the_server_is() -> None:
    """That is known before the first event, so a break before it loses nothing."""
    wire = Wire(stream("retry: 10\n\n", bookmark(7), broken=True), stream(bookmark(7), frame(8)))
    with wire.client().events() as events:
        assert events.cursor == 7
        assert seqs(events, 1) == [8]
    assert cursors(wire) == [None, "7"]


def test_it_waits_as_long_as_the_server_asks_and_longer_for_one_that_tells_nothing() -> None:
    """Connections that end without a frame are opened at doubling intervals; a frame sets them back."""
    retry = stream("retry: 1500\n\n")
    empty = [stream("retry: 1500\n\n") for _ in range(7)]
    wire = Wire(retry, *empty, stream("retry: 1500\n\n", frame(1)), stream(frame(2)))
    with wire.client().events(after=0) as events:
        assert seqs(events, 2) == [1, 2]
    assert wire.pauses == [1.5, 3.0, 6.0, 12.0, 24.0, 30.0, 30.0, 30.0, 1.5]


def test_a_token_that_ended_is_exchanged_and_one_that_cannot_be_is_said() -> None:
    """A stream that ended because its session did raises when it is opened again."""
    wire = Wire(stream(frame(1)), refusal(401, "UNAUTHORIZED"))
    events = wire.client().events(after=0)
    assert next(events)["seq"] == 1
    with pytest.raises(NotSignedIn):
        next(events)
    events.close()


def test_a_cursor_that_is_gone_says_where_to_start() -> None:
    """Or the reader starts there by itself, where that was asked for; never twice at the same place."""

    def gone(after: int) -> httpx.Response:
        return refusal(410, "GONE", after=after, earliest=40, latest=90)

    with pytest.raises(CursorGone) as refused:
        Wire(gone(5)).client().events(after=5)
    assert (refused.value.details["earliest"], refused.value.details["latest"]) == (40, 90)
    wire = Wire(gone(5), stream(bookmark(40), frame(41)))
    with wire.client().events(after=5, from_earliest=True) as events:
        assert seqs(events, 1) == [41]
    assert cursors(wire) == ["5", "40"]
    with pytest.raises(CursorGone):
        Wire(gone(5), gone(40)).client().events(after=5, from_earliest=True)


def test_a_server_that_is_away_is_asked_for_a_minute() -> None:
    """A place that is taken and a connection that is refused are the same; then the cursor is still known."""
    full = [refusal(503, "SERVICE_UNAVAILABLE", retry_after_s=5) for _ in range(2)]
    away = [httpx.ConnectError("refused") for _ in range(100)]
    wire = Wire(stream(frame(1)), *full, stream(frame(2)), *away)
    events = wire.client().events(after=0)
    assert seqs(events, 2) == [1, 2]
    with pytest.raises(Unavailable):
        next(events)
    assert events.cursor == 2
    assert 50 < sum(wire.pauses[-30:]) < 80


def test_a_refused_filter_is_raised_at_once() -> None:
    """Not when the first event is waited for."""
    with pytest.raises(Invalid):
        Wire(refusal(400, "VALIDATION_ERROR")).client().events("task.finished")


@pytest.mark.parametrize(
    ("ask", "query"),
    [
        (lambda c: c.events("task.*", after=1), {"events": "task.*", "after": "1"}),
        (lambda c: c.events(["a", "b"], after=1), {"events": "a,b", "after": "1"}),
        (
            lambda c: c.events(
                project="p", type=["t", "u"], labels={"k": "v", "l": "w"}, status="s", after=1
            ),
            {"project": "p", "type": "t,u", "label": "k=v,l=w", "status": "s", "after": "1"},
        ),
        (lambda c: c.events([], labels={}, after=1), {"after": "1"}),
    ],
)
def test_filters_as_they_are_sent(ask: Callable[[Client], object], query: dict[str, str]) -> None:
    """Lists are joined with commas; what is empty is not sent."""
    wire = Wire(stream(frame(2)))
    ask(wire.client())
    (request,) = wire.requests
    assert dict(request.url.params) == query
    assert request.headers["Accept"] == "text/event-stream"


def test_after_close_there_is_nothing_more() -> None:
    """Also of what was read already."""
    events = Wire(stream(frame(1), frame(2))).client().events(after=0)
    assert next(events)["seq"] == 1
    events.close()
    events.close()
    assert list(events) == []

"""The transport: what is sent again, when, and under which key."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import httpx
import pytest

from helix_ray.client import Client
from helix_ray.client.errors import (
    CODES,
    KINDS,
    Conflict,
    HelixError,
    Invalid,
    RateLimited,
    ServerFault,
    Unreachable,
    error_from_answer,
)
from helix_ray.client.transport import Request, retry_after
from tests.unit.client.wire import Wire

Handler = Callable[[httpx.Request], httpx.Response]


def envelope(status: int, code: str, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"error": {"code": code, "message": "No", "details": {"field": "title"}}, "request_id": "req-1"}
    return httpx.Response(status, json=body, headers=headers)


def test_a_post_keeps_its_key_over_retries() -> None:
    """A POST that is sent again after a broken connection carries the key of the first try."""
    wire = Wire(
        httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(201, json={"id": "t"})
    )
    reply = wire.transport().send(Request("POST", "/tasks", body={"title": "x"}))
    assert (reply.data, reply.attempts) == ({"id": "t"}, 3)
    keys = {request.headers["Idempotency-Key"] for request in wire.requests}
    assert len(keys) == 1
    assert len(keys.pop()) >= 16


def test_every_call_has_its_own_key() -> None:
    """Two calls with the same body are two requests."""
    wire = Wire(httpx.Response(201, json={}), httpx.Response(201, json={}))
    transport = wire.transport()
    for _ in range(2):
        transport.send(Request("POST", "/tasks", body={"title": "x"}))
    assert len({request.headers["Idempotency-Key"] for request in wire.requests}) == 2


def test_a_trace_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What TRACEPARENT says goes with every request."""
    wire = Wire(httpx.Response(200, json={}), httpx.Response(200, json={}))
    transport = wire.transport()
    transport.send(Request("GET", "/tasks"))
    monkeypatch.setenv("TRACEPARENT", given := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    transport.send(Request("GET", "/tasks"))
    assert [request.headers.get("traceparent") for request in wire.requests] == [None, given]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_answers_are_tried_again(status: int) -> None:
    """429 and the answers of an overloaded or restarting server are tried again."""
    wire = Wire(httpx.Response(status), httpx.Response(200, json={}))
    assert wire.transport().send(Request("GET", "/tasks")).data == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500])
def test_refusals_are_not_tried_again(status: int) -> None:
    """What another try cannot change is raised at once."""
    wire = Wire(httpx.Response(status))
    with pytest.raises(HelixError):
        wire.transport().send(Request("GET", "/tasks"))
    assert wire.pauses == []


def test_retry_after_is_kept_to() -> None:
    """No request goes out before the server's Retry-After is over."""
    wire = Wire(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json={}))
    wire.transport().send(Request("GET", "/tasks"))
    assert wire.pauses == [7.0]


def test_a_retry_after_beyond_the_limit_is_raised() -> None:
    """A wait that would outlast the call's time is not begun; the error says how long it would be."""
    wire = Wire(envelope(429, "RATE_LIMIT_EXCEEDED", {"Retry-After": "600"}))
    with pytest.raises(RateLimited) as caught:
        wire.transport(total_s_max=60).send(Request("GET", "/tasks"))
    assert caught.value.retry_after_s == 600
    assert caught.value.details == {"field": "title", "retry_after_s": 600.0}
    assert wire.pauses == []


def test_pauses_grow_and_end() -> None:
    """Pauses double up to their maximum, and the call ends within its time."""
    wire = Wire(*[httpx.ConnectError("refused")] * 100)
    with pytest.raises(Unreachable, match="cannot reach http://h/api/v1: refused"):
        wire.transport(total_s_max=20, pause_s=0.1, pause_s_max=2).send(Request("GET", "/tasks"))
    assert sum(wire.pauses) <= 20
    assert all(
        0.5 * longest <= pause <= longest
        for pause, longest in zip(wire.pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2], strict=False)
    )


def test_a_wrong_address_is_hopeless() -> None:
    """An address that no transport speaks is not tried again."""
    wire = Wire(httpx.UnsupportedProtocol("ftp"))
    with pytest.raises(Unreachable):
        wire.transport().send(Request("GET", "/tasks"))
    assert wire.pauses == []


def test_an_answer_of_something_else_is_an_error_too() -> None:
    """A proxy's page, without our envelope, still ends as a HelixError with a short message."""
    error = error_from_answer(500, b"<html>\n<p>Bad  luck</p></html>", "req-9")
    assert isinstance(error, ServerFault)
    assert str(error) == "INTERNAL_ERROR: HTTP 500: <html> <p>Bad luck</p></html> (request req-9)"


def test_the_envelope_becomes_the_exception() -> None:
    """Code, message, details and request id come from the envelope."""
    wire = Wire(envelope(400, "VALIDATION_ERROR"))
    with pytest.raises(Invalid) as caught:
        wire.transport().send(Request("POST", "/tasks"))
    error = caught.value
    assert (error.code, error.message, error.details, error.request_id) == (
        "VALIDATION_ERROR",
        "No",
        {"field": "title"},
        "req-1",
    )


@pytest.mark.parametrize("code", sorted(KINDS))
def test_errors_survive_pickling(code: str) -> None:
    """Every exception of the tree comes back from a pickle as it was."""
    error = KINDS[code](code, "m", {"a": 1}, "req-2")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.details) == (type(error), str(error), error.details)


@pytest.mark.parametrize("remove", [Client.delete, Client.remove_worker])
def test_a_repeated_delete_that_finds_nothing_has_deleted(remove: Callable[[Client, str], None]) -> None:
    """When the answer to a DELETE is lost, the second try's NOT_FOUND means that it is done;
    the first one's does not."""
    wire = Wire(httpx.ReadError("lost"), envelope(404, "NOT_FOUND"), envelope(404, "NOT_FOUND"))
    client = Client("http://h", "token")
    client._session.transport = wire.transport()
    remove(client, "task-1")
    with pytest.raises(HelixError, match="NOT_FOUND"):
        remove(client, "task-1")
    client.close()


def test_every_status_has_a_code_with_an_exception() -> None:
    """The table for foreign answers names only codes of the tree."""
    assert set(CODES.values()) <= set(KINDS)
    assert KINDS[CODES[409]] is Conflict


def test_retry_after_takes_seconds_and_dates() -> None:
    """Both forms of RFC 9110 are read; anything else is no advice."""
    assert retry_after("12") == 12.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_a_stream_is_opened_again_but_not_repeated() -> None:
    """Only the opening of a stream is tried again: pieces that were given are not given twice."""
    wire = Wire(httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, text="hello"))
    with wire.transport().stream(Request("GET", "/tasks/t/logs")) as pieces:
        assert "".join(pieces) == "hello"
    assert len(wire.requests) == 3


def test_a_refused_stream_raises() -> None:
    """A stream that is refused raises what any call does."""
    wire = Wire(envelope(404, "NOT_FOUND"))
    with pytest.raises(HelixError, match="NOT_FOUND"), wire.transport().stream(Request("GET", "/x")):
        pass


@pytest.mark.parametrize("value", ["²", "soon", ""])
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    """A header from a broken proxy does not break the client."""
    assert retry_after(value) is None

"""How requests to receivers end, and on which connections they travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpcore
import pytest
from httpcore._synchronization import AsyncLock

from helix_ray.outward.addresses import Allowed, networks_of
from helix_ray.outward.checking import Target, target_of
from helix_ray.outward.outcome import RESPONSE_BYTES_KEPT, PostOutcome
from helix_ray.outward.transport import Sender, connection_to
from tests.receivers import UNASKED, Receiver, authority, receiving

HERE = Allowed(networks_of(["127.0.0.0/8", "::1"]), http=True)


def run(test: Callable[[Receiver, Sender], Awaitable[None]], allowed: Allowed = HERE) -> None:
    """Run a test with a receiver and a sender."""

    async def whole() -> None:
        async with receiving() as receiver:
            sender = Sender(allowed)
            try:
                await test(receiver, sender)
            finally:
                await sender.aclose()

    asyncio.run(whole())


async def posted(sender: Sender, url: str, timeout_s: float = 60.0, ca: str | None = None) -> PostOutcome:
    """Send a small request."""
    return await sender.post(url, b'{"a":1}', {"X-Own": "mine"}, timeout_s=timeout_s, ca=ca)


def test_a_receiver_gets_the_body_and_the_headers() -> None:
    """With a Host of the URL and the length, and nothing of ours that was not asked for."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        outcome = await posted(sender, receiver.url("/ok?a=b"))
        assert (outcome.status, outcome.failure, outcome.body) == (200, None, b"thank you")
        assert outcome.address == "127.0.0.1"
        [request] = receiver.requests
        assert (request.path, request.body) == ("/ok?a=b", b'{"a":1}')
        assert request.headers == {
            "host": f"127.0.0.1:{receiver.port}", "content-length": "7", "x-own": "mine",
            "accept-encoding": "identity",
        }  # fmt: skip

    run(test)


@pytest.mark.parametrize(
    ("path", "failure", "status"),
    [
        ("/fail", "http_5xx", 500),
        ("/gone", "http_4xx", 410),
        ("/busy", "http_4xx", 429),
        ("/redirect", "redirect", 302),
        ("/hang", "timeout", None),
        ("/slowloris", "timeout", None),
        ("/reset", "reset", None),
        ("/half", "half_body", 200),
        ("/huge", "too_large", 200),
        ("/heads", "too_large", None),
        ("/crumbs", "too_large", 200),
    ],
)
def test_each_failure_has_its_class(path: str, failure: str, status: int | None) -> None:
    """A redirect is not followed, a response is not read beyond 64 KiB, and of it 4 KiB are kept. One that
    comes in crumbs, or never begins, is not read on: it would keep the processor from other receivers."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        timeout_s = 0.5 if failure == "timeout" else 60.0
        outcome = await posted(sender, receiver.url(path), timeout_s=timeout_s)
        assert (outcome.failure, outcome.status) == (failure, status)
        # Far less than bytes that drip for ever would keep it, on a busy machine too.
        assert outcome.seconds < 10.0
        assert len(outcome.body) <= RESPONSE_BYTES_KEPT
        assert len(receiver.requests) == 1
        assert receiver.sent_bytes < 8 << 20

    run(test)


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("soon", None), ("-1", None), ("9" * 40, 604_800.0)]
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    """In seconds, and within a bound."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        receiver.retry_after = value
        assert (await posted(sender, receiver.url("/busy"))).retry_after_s == seconds
        receiver.retry_after = "Fri, 27 Nov 2020 00:00:00 GMT"
        assert (await posted(sender, receiver.url("/busy"))).retry_after_s == 0.0
        # By the receiver's clock, whatever ours shows.
        receiver.retry_after += "\r\nDate: Thu, 26 Nov 2020 23:59:00 GMT"
        assert (await posted(sender, receiver.url("/busy"))).retry_after_s == 60.0

    run(test)


def test_a_date_of_retry_after_is_of_no_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP's dates are UTC, also where a receiver writes `-0000`."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        receiver.retry_after = format_datetime(datetime.now(UTC) + timedelta(minutes=10)).replace("+", "-")
        found = (await posted(sender, receiver.url("/busy"))).retry_after_s
        assert found is not None
        assert 590.0 < found <= 600.0

    with monkeypatch.context() as here:
        here.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        run(test)
    time.tzset()


def test_a_connection_is_used_again() -> None:
    """Also after refusals with a whole response, and not after a response whose end was not read."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        for path in ("/ok", "/fail", "/created", "/ok"):
            await posted(sender, receiver.url(path))
        assert receiver.connections == 1
        await posted(sender, receiver.url("/half"))
        await posted(sender, receiver.url("/ok"))
        assert receiver.connections == 2

    run(test)


def test_a_connection_that_the_receiver_closed_is_opened_anew() -> None:
    """A receiver may close what is idle at any time; that costs no try."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        await posted(sender, receiver.url("/ok"))
        # The second request reaches a connection that is reset when it is read.
        count = 0

        async def reset_once(_: object) -> None:
            nonlocal count
            count += 1
            if count == 1:
                raise ConnectionResetError

        receiver.on_request = reset_once
        assert (await posted(sender, receiver.url("/ok"))).failure is None
        assert receiver.connections == 2

    run(test)


def test_an_answer_that_nobody_asked_for_answers_nothing() -> None:
    """Whether it came with the answer before, or since, or only a part of it: the next request goes over a
    connection of its own, and its own answer counts."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        assert (await posted(sender, receiver.url("/twice"))).status == 200
        assert (await posted(sender, receiver.url("/ok"))).body == b"thank you"
        assert receiver.connections == 2
        for count, unasked in enumerate((UNASKED, UNASKED[:5], b"\r\n"), 3):
            # In the socket, which the loop has not read.
            receiver.say(unasked)
            assert (await posted(sender, receiver.url("/ok"))).body == b"thank you"
            assert receiver.connections == count
        assert len(receiver.requests) == 5

    run(test)


def test_nothing_listens() -> None:
    """A refused connection is told from a name without addresses."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        assert (await posted(sender, "http://127.0.0.1:1/")).failure == "refused"
        assert (await posted(sender, "http://none.invalid/")).failure == "dns"

    run(test)


def test_headers_cannot_change_the_request() -> None:
    """Line breaks, lengths and hosts of one's own are refused before anything is sent."""

    async def test(receiver: Receiver, sender: Sender) -> None:
        for headers in (
            {"X-A": "b\r\nX-C: d"}, {"X-A\r\nX-C": "d"}, {"X-A": "b\n"}, {"X-A": "b\x00"}, {"X A": "b"},
            {"": "b"},
            {"Host": "other"}, {"content-length": "0"}, {"Transfer-Encoding": "chunked"},
            {"Connection": "close"},
            {"X-A": "é"}, {"X-A:": "b"},
        ):  # fmt: skip
            outcome = await sender.post(receiver.url("/ok"), b"{}", headers, timeout_s=60.0)
            assert outcome.failure == "request", headers
        assert receiver.connections == 0
        await sender.post(receiver.url("/ok"), b"{}", {"x-a": "theirs", "X-A": " ours "}, timeout_s=60.0)
        assert receiver.requests[0].headers["x-a"] == "ours"

    run(test)


def test_nothing_is_sent_where_it_is_not_allowed() -> None:
    """http and addresses of this machine each need their setting, and the reason names it."""

    async def closed(receiver: Receiver, sender: Sender) -> None:
        outcome = await posted(sender, receiver.url("/ok", host="localhost"))
        assert outcome.failure == "url"
        assert "HELIX_WEBHOOK_ALLOW_HTTP=true" in outcome.reason
        assert "HELIX_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8,::1/128" in outcome.reason
        assert receiver.connections == 0

    async def without_network(receiver: Receiver, sender: Sender) -> None:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            outcome = await posted(sender, receiver.url("/ok", host=host))
            assert outcome.failure == "forbidden_address"
            assert "HELIX_WEBHOOK_ALLOW_NETWORKS" in outcome.reason
        assert receiver.connections == 0

    run(closed, Allowed())
    run(without_network, Allowed(http=True))


def test_certificates_are_checked_by_name(tmp_path: Path) -> None:
    """Against the receiver's own authority where one is given, and against the public ones otherwise."""
    (tmp_path / "other").mkdir()
    own, other = authority(tmp_path, "localhost"), authority(tmp_path / "other", "localhost")

    async def whole() -> None:
        async with receiving(own.context()) as receiver:
            sender = Sender(HERE)
            url = receiver.url("/ok", host="localhost")
            assert (await posted(sender, url, ca=own.ca)).failure is None
            assert (await posted(sender, url, ca=own.ca)).failure is None
            assert receiver.connections == 1
            assert (await posted(sender, url)).failure == "tls"
            assert (await posted(sender, url, ca=other.ca)).failure == "tls"
            assert (await posted(sender, receiver.url("/ok"), ca=own.ca)).failure == "tls"
            assert (await posted(sender, url, ca="no certificate")).failure == "tls"
            assert len(receiver.requests) == 2
            await sender.aclose()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("days", "why"), [((-3, -1), "certificate has expired"), ((1, 3), "certificate is not yet valid")]
)
def test_a_certificate_of_another_time_gets_no_request(
    tmp_path: Path, days: tuple[int, int], why: str
) -> None:
    """The class is that of TLS, and the sentence says what is wrong with the certificate."""
    own = authority(tmp_path, "localhost", days=days)

    async def whole() -> None:
        async with receiving(own.context()) as receiver:
            sender = Sender(HERE)
            outcome = await posted(sender, receiver.url("/ok", host="localhost"), ca=own.ca)
            assert (outcome.failure, outcome.status, receiver.requests) == ("tls", None, [])
            assert why in outcome.reason
            await sender.aclose()

    asyncio.run(whole())


def test_a_handshake_that_hangs_ends_with_the_request() -> None:
    """A receiver that accepts connections and says nothing keeps none of them."""

    async def whole() -> None:
        left = asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                pass
            writer.close()
            left.set()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sender = Sender(HERE)
        outcome = await posted(sender, f"https://localhost:{port}/", timeout_s=0.5)
        assert (outcome.failure, outcome.status) == ("timeout", None)
        await asyncio.wait_for(left.wait(), 60.0)
        await sender.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(whole())


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect where it likes."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def test(receiver: Receiver, sender: Sender) -> None:
        assert (await posted(sender, receiver.url("/ok"))).failure is None

    run(test)


def test_the_library_s_parts_have_the_names_that_are_used() -> None:
    """The client takes the lock away from connections (transport.py); under another name it would come back.
    What was read and not used is in their state."""
    target = target_of("http://localhost/")
    assert isinstance(target, Target)
    stream = httpcore.AsyncMockStream([])
    plain = httpcore.AsyncHTTP11Connection(httpcore.Origin(b"http", b"localhost", 80), stream)
    assert isinstance(plain._state_lock, AsyncLock)
    assert [name for name, value in vars(plain).items() if isinstance(value, AsyncLock)] == ["_state_lock"]
    assert plain._h11_state.trailing_data == (b"", False)
    ours = connection_to(target, stream)  # type: ignore[arg-type]
    assert not any(isinstance(value, AsyncLock) for value in vars(ours).values())

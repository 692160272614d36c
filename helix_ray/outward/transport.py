"""Sends requests to receivers, and says how they ended.

Redirects are not followed, proxies of the environment are not used, and of a response only its beginning is
read. Connections are kept, each for one host, address and certificate authority: the name is looked up and
every answer checked at each request all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpcore

from helix_ray.core.errors import Rejected
from helix_ray.outward import outcome as ends
from helix_ray.outward.addresses import Address, Allowed
from helix_ray.outward.checking import Target, check_headers, check_target, target_of
from helix_ray.outward.connecting import CheckedStream, Connector
from helix_ray.outward.outcome import RESPONSE_BYTES_KEPT, PostFailed, PostOutcome
from helix_ray.outward.parked import Key, Parked

RESPONSE_BYTES_READ_MAX: Final = 65_536
# Each part costs some microseconds, and nothing else runs meanwhile: a byte at a time is too many.
RESPONSE_PARTS_MAX: Final = 1024
RETRY_AFTER_S_MAX: Final = 7 * 86_400.0


class _Response(NamedTuple):
    """What came back: its status, headers and the bytes that were kept, and what was wrong with its end."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    failure: str | None


class Sender:
    """Sends requests, within what an administrator allows."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._connector = Connector(allowed)
        self._parked = Parked()

    async def aclose(self) -> None:
        """Close all connections that are kept."""
        await self._parked.aclose()
        self._connector.close()

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        ca: str | None = None,
        limit: asyncio.Timeout | None = None,
    ) -> PostOutcome:
        """Send a POST and return how it ended within `timeout_s`; never raises for what others did.

        With a `limit`, that is what ends it; `timeout_s` is then what its sentence says.
        """
        began = time.monotonic()
        where: list[Address] = []
        try:
            async with limit or asyncio.timeout(timeout_s):
                response = await self._sent(url, body, headers, ca, where)
        except PostFailed as failed:
            return _failed(failed, began, where)
        except TimeoutError:
            reason = f"No whole response within {timeout_s:g} s"
            return _failed(PostFailed(ends.TIMEOUT, reason), began, where)
        return _ended(response, began, where)

    async def _sent(
        self, url: str, body: bytes, headers: Mapping[str, str], ca: str | None, where: list[Address]
    ) -> _Response:
        target = _checked(url, self._allowed)
        request = request_to(target, headers, body)
        addresses = await self._connector.addresses(target)
        for address in addresses:
            kept = await self._parked.take(_key(target, address, ca))
            if kept is not None:
                where[:] = [address]
                try:
                    return await self._answered(kept, request, _key(target, address, ca))
                except _ClosedWhileParked:
                    break
        where[:] = addresses[-1:]
        address, stream = await self._connector.connect(target, addresses, ca)
        where[:] = [address]
        fresh = connection_to(target, stream)
        return await self._answered(fresh, request, _key(target, address, ca), is_fresh=True)

    async def _answered(
        self,
        connection: httpcore.AsyncHTTP11Connection,
        request: httpcore.Request,
        key: Key,
        *,
        is_fresh: bool = False,
    ) -> _Response:
        """Return the response of one connection; keep the connection where its end was read."""
        try:
            try:
                response = await connection.handle_async_request(request)
            except (OSError, httpcore.RemoteProtocolError) as error:
                is_cut = isinstance(error, OSError) or "disconnected" in str(error)
                if is_cut and not is_fresh:
                    raise _ClosedWhileParked from None
                raise _broken(error, is_cut=is_cut) from None
            read = await _read(response)
        except BaseException:
            await connection.aclose()
            raise
        if read.failure is None and connection.is_idle() and not _has_more(connection):
            await self._parked.park(key, connection)
        else:
            await connection.aclose()
        return read


def _has_more(connection: httpcore.AsyncHTTP11Connection) -> bool:
    """Say whether more came with a response than belongs to it: it would be taken for the answer to the next
    request."""
    more, _ = connection._h11_state.trailing_data
    return bool(more)


class _ClosedWhileParked(Exception):
    """The receiver closed a connection that was kept, before it answered: another one is opened."""


def _checked(url: str, allowed: Allowed) -> Target:
    target = target_of(url)
    if isinstance(target, Rejected):
        raise PostFailed(ends.URL, target.message)
    refused = check_target(target, allowed)
    if refused is None:
        return target
    is_scheme = target.scheme == "http" and not allowed.http
    raise PostFailed(ends.URL if is_scheme else ends.FORBIDDEN_ADDRESS, refused.message)


def _key(target: Target, address: Address, ca: str | None) -> Key:
    return (target.scheme, target.host, target.port, address, ca)


def connection_to(target: Target, stream: CheckedStream) -> httpcore.AsyncHTTP11Connection:
    """Return a connection of HTTP over an open stream."""
    origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
    connection = httpcore.AsyncHTTP11Connection(origin, stream)
    # It has one request at a time. Its own lock lets others go on before the request and after the response,
    # which is not noted then.
    connection._state_lock = contextlib.nullcontext()  # type: ignore[assignment]
    return connection


def request_to(
    target: Target, headers: Mapping[str, str], body: bytes = b"", method: str = "POST"
) -> httpcore.Request:
    """Return a request with the transport's own headers and those given; raises PostFailed for bad ones."""
    refused = check_headers(headers)
    if refused is not None:
        raise PostFailed(ends.REQUEST, refused.message)
    # Where two names differ only in their case, the last one counts.
    own = {name.lower(): (name.encode(), value.strip(" \t").encode()) for name, value in headers.items()}
    fixed = [(b"Host", target.authority().encode())]
    if method == "POST":
        fixed.append((b"Content-Length", b"%d" % len(body)))
    own.setdefault("accept-encoding", (b"Accept-Encoding", b"identity"))
    url = httpcore.URL(
        scheme=target.scheme.encode(),
        host=target.host.encode(),
        port=target.port,
        target=target.path.encode(),
    )
    return httpcore.Request(method.encode(), url, headers=[*fixed, *own.values()], content=body)


def allow_body(response: httpcore.Response, size: float) -> None:
    """Let so many bytes be read after the head of a response, of its body and what goes around it."""
    stream = response.extensions["network_stream"]
    if isinstance(stream, CheckedStream):
        stream.allow(size)


async def _read(response: httpcore.Response) -> _Response:
    """Read a response to its end or to its bound."""
    kept = bytearray()
    size = count = 0
    failure = None
    allow_body(response, 2 * RESPONSE_BYTES_READ_MAX)
    try:
        async for part in response.aiter_stream():
            kept += part[: RESPONSE_BYTES_KEPT - len(kept)]
            size += len(part)
            count += 1
            if size > RESPONSE_BYTES_READ_MAX or count > RESPONSE_PARTS_MAX:
                failure = ends.TOO_LARGE
                break
    except PostFailed:
        failure = ends.TOO_LARGE
    except (OSError, httpcore.RemoteProtocolError):
        failure = ends.HALF_BODY
    finally:
        await response.aclose()
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
    return _Response(response.status, headers, bytes(kept), failure)


def _broken(error: Exception, *, is_cut: bool) -> PostFailed:
    if is_cut:
        return PostFailed(ends.RESET, "The receiver closed the connection before it answered")
    return PostFailed(ends.PROTOCOL, f"The receiver does not answer with HTTP: {error}"[:200])


def _ended(response: _Response, began: float, where: list[Address]) -> PostOutcome:
    failure, reason = _judged(response)
    return PostOutcome(
        response.status, failure, reason, response.headers, response.body, time.monotonic() - began,
        str(where[0]) if where else None, _retry_after_s(response.headers),
    )  # fmt: skip


def _judged(response: _Response) -> tuple[str | None, str]:
    """Return the class of failure and a sentence; the status says more than an end that was not read."""
    status = response.status
    if 300 <= status < 400:
        return ends.REDIRECT, f"The receiver answered {status}; redirects are not followed"
    if 400 <= status < 500:
        return ends.HTTP_4XX, f"The receiver answered {status}"
    if status >= 500:
        return ends.HTTP_5XX, f"The receiver answered {status}"
    if not 200 <= status < 300:
        return ends.PROTOCOL, f"The receiver answered {status}, which is not a final response"
    if response.failure == ends.HALF_BODY:
        return ends.HALF_BODY, f"The receiver answered {status} and closed the connection before the end"
    if response.failure == ends.TOO_LARGE:
        most = f"{RESPONSE_BYTES_READ_MAX} bytes or {RESPONSE_PARTS_MAX} parts"
        return ends.TOO_LARGE, f"The receiver answered {status} with more than {most}"
    return None, f"The receiver answered {status}"


def _failed(failed: PostFailed, began: float, where: list[Address]) -> PostOutcome:
    address = str(where[0]) if where else None
    seconds = time.monotonic() - began
    return PostOutcome(None, failed.failure, failed.reason, (), b"", seconds, address, None)


def _retry_after_s(headers: tuple[tuple[str, str], ...]) -> float | None:
    """Return the seconds of Retry-After, which may be a date; None where there is none that can be read.

    A date is one of the receiver's clock, as `Date` has it: ours may have been set, or theirs.
    """
    given = {name.lower(): value.strip() for name, value in reversed(headers)}
    text = given.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), RETRY_AFTER_S_MAX)
    until, answered_at = _epoch_of(text), _epoch_of(given.get("date", ""))
    if until is None:
        return None
    seconds = until - (time.time() if answered_at is None else answered_at)
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def _epoch_of(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None

"""Fetches a file from its URL, from hosts that the operator lists.

A server fetches from its own place in the network: without rules, whoever sends a URL could read what only
the server reaches. So nothing is fetched unless HELIX_MODEL_URL_HOSTS lists its host:

    models.example.com           https, at a public address
    *.example.com                any host below it, the same
    http://10.0.0.5:9000         exactly this origin, at a private address, too

Addresses are those of helix_ray/outward: a name is looked up once, every answer checked, and one of them
connected to. A redirect is a URL like the first one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from helix_ray.core.errors import Refused, Rejected, invalid
from helix_ray.outward.addresses import Allowed
from helix_ray.outward.checking import Target, target_of
from helix_ray.outward.outcome import DNS, FORBIDDEN_ADDRESS, PostFailed

if TYPE_CHECKING:
    import httpcore

REDIRECTS_MAX: Final = 3
CONNECT_S_MAX: Final = 10.0
SILENT_S_MAX: Final = 30.0
SETTING: Final = "HELIX_MODEL_URL_HOSTS"
FIELD: Final = "url"
URL_CHARS_SHOWN: Final = 200
HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "Helix-Ray/1"}
# Of hosts that are listed by their name, and of origins that are listed as they are.
PUBLIC: Final = Allowed()
PRIVATE: Final = Allowed((ip_network("0.0.0.0/0"), ip_network("::/0")), http=True)


async def fetched(url: str, hosts: Sequence[str], seconds_max: float) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a file; `hosts` are those of the setting.

    Raises Refused (VALIDATION_ERROR) for a URL that is not allowed, does not answer with a file, or takes
    longer than `seconds_max`.
    """
    import httpcore  # the replicas of most clusters never need it

    try:
        async with asyncio.timeout(seconds_max):
            connection, response = await _answer(url, hosts)
            try:
                parts = response.aiter_stream()
                while (part := await _next(parts)) is not None:
                    yield part
            finally:
                await connection.aclose()
    except TimeoutError:
        raise Refused(_refusal(f"The file did not arrive within {seconds_max:g} s", url)) from None
    except PostFailed as failed:
        raise Refused(_refusal(f"The URL cannot be fetched: {failed.reason}", url)) from None
    except (OSError, httpcore.RemoteProtocolError) as error:
        raise Refused(_refusal(f"The URL cannot be fetched ({type(error).__name__})", url)) from None


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    async with asyncio.timeout(SILENT_S_MAX):
        return await anext(parts, None)


async def _answer(url: str, hosts: Sequence[str]) -> tuple[httpcore.AsyncHTTP11Connection, httpcore.Response]:
    """Return the response that has the file, after redirects, and the connection to close."""
    for _ in range(REDIRECTS_MAX + 1):
        target, allowed = _checked(url, hosts)
        connection, response = await _asked(target, allowed, url)
        location = dict(response.headers).get(b"Location") or dict(response.headers).get(b"location")
        if response.status == 200:
            return connection, response
        await connection.aclose()
        if not 300 <= response.status < 400 or location is None:
            raise Refused(_refusal(f"The URL answers with status {response.status}", url))
        url = urljoin(url, location.decode("latin-1"))
    raise Refused(_refusal(f"The URL leads to more than {REDIRECTS_MAX} redirects", url))


async def _asked(
    target: Target, allowed: Allowed, url: str
) -> tuple[httpcore.AsyncHTTP11Connection, httpcore.Response]:
    from helix_ray.outward.connecting import Connector
    from helix_ray.outward.transport import allow_body, connection_to, request_to

    connector = Connector(allowed)
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            addresses = await connector.addresses(target)
            _, stream = await connector.connect(target, addresses, None)
    except PostFailed as failed:
        if failed.failure == FORBIDDEN_ADDRESS:
            raise Refused(_refusal(f"{target.host} is at an address inside the network", url)) from None
        if failed.failure == DNS:
            raise Refused(_refusal(f"The host {target.host} is not known", url)) from None
        raise
    finally:
        connector.close()
    connection = connection_to(target, stream)
    try:
        response = await connection.handle_async_request(request_to(target, HEADERS, method="GET"))
        allow_body(response, math.inf)
        return connection, response
    except BaseException:
        await connection.aclose()
        raise


def _checked(url: str, hosts: Sequence[str]) -> tuple[Target, Allowed]:
    """Return where an allowed URL leads, and which addresses it may have; raise Refused for any other."""
    target = target_of(url)
    if isinstance(target, Rejected):
        raise Refused(_refusal(target.message, url))
    if f"{target.scheme}://{target.authority()}" in hosts:
        return target, PRIVATE
    if target.scheme == "https" and _is_listed(target.host, hosts):
        return target, PUBLIC
    raise Refused(_refusal(f"Models are not fetched from {target.host}: {SETTING} does not list it", url))


def _is_listed(host: str, hosts: Sequence[str]) -> bool:
    return any(
        host == each or (each.startswith("*.") and host.endswith(each[1:]) and host != each[2:])
        for each in hosts
    )


def _refusal(message: str, url: str) -> Rejected:
    return invalid(message, field=FIELD, url=url[:URL_CHARS_SHOWN])

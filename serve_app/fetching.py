"""Fetches a file from its URL, from hosts that the operator lists.

A server fetches from its own place in the network: without rules, whoever sends a URL could read what only
the server reaches. So nothing is fetched unless HELIX_MODEL_URL_HOSTS lists its host:

    models.example.com           https, at a public address
    *.example.com                any host below it, the same
    http://10.0.0.5:9000         exactly this origin, at a private address, too

A name is resolved once, its address checked, and that address is connected to, so that a second answer of the
name server cannot lead elsewhere. A redirect is a URL like the first one. Addresses of the link (where clouds
answer with credentials) are never connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from helix_ray.core.errors import Refused, Rejected, invalid

if TYPE_CHECKING:
    import httpx

REDIRECTS_MAX: Final = 3
CONNECT_S_MAX: Final = 10.0
SILENT_S_MAX: Final = 30.0
SETTING: Final = "HELIX_MODEL_URL_HOSTS"
FIELD: Final = "url"
URL_CHARS_SHOWN: Final = 200
_PORTS: Final = {"https": 443, "http": 80}


class _Place(NamedTuple):
    """Where a URL leads: the host of its name, and the address to connect to."""

    host: str
    address: str


async def fetched(url: str, hosts: Sequence[str], seconds_max: float) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a file; `hosts` are those of the setting.

    Raises Refused (VALIDATION_ERROR) for a URL that is not allowed, does not answer with a file, or takes
    longer than `seconds_max`.
    """
    import httpx  # the replicas of most clusters never need it

    timeout = httpx.Timeout(SILENT_S_MAX, connect=CONNECT_S_MAX)
    try:
        async with (
            asyncio.timeout(seconds_max),
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
        ):
            response = await _answer(client, httpx.URL(url), hosts)
            try:
                async for data in response.aiter_raw():
                    yield data
            finally:
                await response.aclose()
    except TimeoutError:
        raise Refused(_refusal(f"The file did not arrive within {seconds_max:g} s", url)) from None
    except httpx.InvalidURL:
        raise Refused(_refusal("Invalid URL", url)) from None
    except httpx.HTTPError as error:
        raise Refused(_refusal(f"The URL cannot be fetched ({type(error).__name__})", url)) from None


async def _answer(client: httpx.AsyncClient, url: httpx.URL, hosts: Sequence[str]) -> httpx.Response:
    """Return the response that has the file, after redirects."""
    for _ in range(REDIRECTS_MAX + 1):
        place = await _checked(url, hosts)
        request = client.build_request(
            "GET",
            url.copy_with(host=place.address),
            headers={"Host": url.netloc.decode(), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": place.host},
        )
        response = await client.send(request, stream=True)
        location = response.headers.get("Location")
        if response.is_redirect and location is not None:
            await response.aclose()
            url = url.join(location)
        elif response.status_code == 200:
            return response
        else:
            await response.aclose()
            raise Refused(_refusal(f"The URL answers with status {response.status_code}", str(url)))
    raise Refused(_refusal(f"The URL leads to more than {REDIRECTS_MAX} redirects", str(url)))


async def _checked(url: httpx.URL, hosts: Sequence[str]) -> _Place:
    """Return where an allowed URL leads; raise Refused for any other."""
    if url.scheme not in _PORTS or not url.host or url.userinfo:
        raise Refused(_refusal("A URL must begin with https:// and a host, without a password", str(url)))
    is_exact = _origin(url) in hosts
    if not is_exact and not (url.scheme == "https" and _is_listed(url.host, hosts)):
        message = f"Models are not fetched from {url.host}: {SETTING} does not list it"
        raise Refused(_refusal(message, str(url)))
    loop, port = asyncio.get_running_loop(), url.port or _PORTS[url.scheme]
    try:
        found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Refused(_refusal(f"The host {url.host} is not known", str(url))) from None
    for *_, address in found:
        if _is_reachable(str(address[0]), private=is_exact):
            return _Place(url.host, str(address[0]))
    raise Refused(_refusal(f"{url.host} is at an address inside the network", str(url)))


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _is_listed(host: str, hosts: Sequence[str]) -> bool:
    return any(
        host == each or (each.startswith("*.") and host.endswith(each[1:]) and host != each[2:])
        for each in hosts
    )


def _is_reachable(text: str, *, private: bool) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = address if mapped is None else mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return private or address.is_global


def _refusal(message: str, url: str) -> Rejected:
    return invalid(message, field=FIELD, url=url[:URL_CHARS_SHOWN])

"""Finds the client's address, the key for rate limits and for the audit.

It is the address of the socket's peer. X-Forwarded-For counts only from a trusted proxy, read from the right:
each trusted proxy vouches for the entry before its own, and the first address that is not a trusted proxy is
the client. An IPv6 client is keyed by its /64 network, in which one household or host may choose any address.

The server must not change `scope["client"]`. By default uvicorn trusts X-Forwarded-For from loopback: start
it with `proxy_headers=False`, or where its options cannot be reached (Ray Serve) with FORWARDED_ALLOW_IPS
empty in its environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

FORWARDED_HOPS_MAX = 20
ADDRESSES_CACHED_MAX = 8_192
IPV6_PREFIX_BITS = 64
LOCAL = "local"


class ClientAddress:
    """Finds the client of a request; raise ValueError at the start for a trusted proxy that
    is not an address or CIDR."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(proxy, strict=False) for proxy in trusted_proxies)

    def find(self, scope: Mapping[str, Any], forwarded_for: bytes | None) -> str:
        """Return the key of the client: an IPv4 address, an IPv6 /64, or LOCAL for a Unix socket."""
        peer = scope.get("client")
        if not peer or not peer[0]:
            return LOCAL
        if not self._trusted or forwarded_for is None:
            return key_of(peer[0])
        return self._walk(peer[0], forwarded_for)

    def _walk(self, peer: str, forwarded_for: bytes) -> str:
        """Walk from the socket towards the client while each hop is trusted; an
        invalid entry ends the walk."""
        client = peer
        entries = forwarded_for.decode("latin-1").rsplit(",", FORWARDED_HOPS_MAX)[-FORWARDED_HOPS_MAX:]
        for entry in reversed(entries):
            if not self._is_trusted(client):
                break
            address = _parse(_without_port(entry.strip()))
            if address is None:
                break
            client = str(address)
        return key_of(client)

    def _is_trusted(self, host: str) -> bool:
        address = _parse(host)
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def key_of(host: str) -> str:
    """Return the key of an address; a host name (of a test client) is its own key."""
    address = _parse(host)
    if address is None:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))


def _parse(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(entry: str) -> str:
    """Read `1.2.3.4:5678`, `[2001:db8::1]:5678` and `[2001:db8::1]` as proxies write them."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    if entry.count(":") == 1:
        return entry.partition(":")[0]
    return entry

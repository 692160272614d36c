"""Finds the client's address, for the audit; limits count it by its network (helix_ray/core/networks.py).

It is the address of the socket's peer. X-Forwarded-For counts only from a trusted proxy, read from the right:
each trusted proxy vouches for the entry before its own, and the first address that is not a trusted proxy is
the client.

The server must not change `scope["client"]`. By default uvicorn trusts X-Forwarded-For from loopback: start
it with `proxy_headers=False`, or where its options cannot be reached (Ray Serve) with FORWARDED_ALLOW_IPS
empty in its environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from helix_ray.core.networks import LOCAL, parsed, plain_address

FORWARDED_HOPS_MAX = 20


class ClientAddress:
    """Finds the client of a request; raise ValueError at the start for a trusted proxy that
    is not an address or CIDR."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(proxy, strict=False) for proxy in trusted_proxies)

    def find(self, scope: Mapping[str, Any], forwarded_for: bytes | None) -> str:
        """Return the address of the client, or LOCAL for a Unix socket."""
        peer = scope.get("client")
        if not peer or not peer[0]:
            return LOCAL
        if not self._trusted or forwarded_for is None:
            return plain_address(peer[0])
        return self._walk(peer[0], forwarded_for)

    def _walk(self, peer: str, forwarded_for: bytes) -> str:
        """Walk from the socket towards the client while each hop is trusted; an
        invalid entry ends the walk."""
        client = peer
        entries = forwarded_for.decode("latin-1").rsplit(",", FORWARDED_HOPS_MAX)[-FORWARDED_HOPS_MAX:]
        for entry in reversed(entries):
            if not self._is_trusted(client):
                break
            address = parsed(_without_port(entry.strip()))
            if address is None:
                break
            client = str(address)
        return plain_address(client)

    def _is_trusted(self, host: str) -> bool:
        address = parsed(host)
        return address is not None and any(address in network for network in self._trusted)


def _without_port(entry: str) -> str:
    """Read `1.2.3.4:5678`, `[2001:db8::1]:5678` and `[2001:db8::1]` as proxies write them."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    if entry.count(":") == 1:
        return entry.partition(":")[0]
    return entry

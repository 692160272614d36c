"""Addresses of clients in one spelling, and the networks by which they are counted.

In an IPv6 /64 one household or host may choose any address: whatever counts clients counts these together.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

ADDRESSES_CACHED_MAX: Final = 8_192
IPV6_PREFIX_BITS: Final = 64
# Stands for the other end of a Unix socket.
LOCAL: Final = "local"


def parsed(host: str) -> IPv4Address | IPv6Address | None:
    """Return an address without its zone, one of IPv4 within IPv6 as such; None where it is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def plain_address(host: str) -> str:
    """Return an address as it is recorded and compared; a host name (of a test client) as it is."""
    address = parsed(host)
    return host if address is None else str(address)


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def network_of(host: str) -> str:
    """Return by what an address is counted: itself, an IPv6 one by its /64, anything else as it is."""
    address = parsed(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))
    return host if address is None else str(address)


def is_this_machine(host: str) -> bool:
    """Say whether a client's address is one of the loopback, or the other end of a Unix socket."""
    address = parsed(host)
    return host == LOCAL if address is None else address.is_loopback

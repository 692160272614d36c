"""Limits for one connection, one address and all connections of a listening process."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from helix_ray.config import Settings

OPEN_FILES = 65_536
# Files that are not connections: the link to the master, Ray's sockets and logs.
OPEN_FILES_KEPT = 128
# One in this many of the rest is reserved for closing connections.
ENDING_PART = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Sizes in bytes, times in seconds; the settings of the same names
    (HELIX_*) are described in docs/settings.md."""

    header_bytes_max: int = 65_536
    header_count_max: int = 100
    header_read_s_max: float = 10.0
    body_read_s_max: float = 60.0
    # A body that takes longer must arrive at this average rate, and a response must be read at it.
    body_bytes_per_s_min: int = 16_384
    # For a body whose response came before it was read: the largest limit of any path.
    unread_bytes_max: int = 8 * 1024 * 1024
    answer_stalled_s_max: float = 30.0
    connection_idle_s_max: float = 75.0
    connections_max: int = 4_096
    connections_per_address_max: int = 1_024
    # Closing connections whose clients have not closed them yet; not counted among those above.
    connections_ending_max: int = 1_024
    # Addresses and CIDRs that stand for many clients: only the total limits them.
    trusted_proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        """Return the limits of the settings, reduced to what this process may open."""
        ending_max = _openable() // ENDING_PART
        return cls(
            header_bytes_max=settings.header_bytes_max,
            header_count_max=settings.header_count_max,
            header_read_s_max=settings.header_read_s_max,
            body_read_s_max=settings.body_read_s_max,
            body_bytes_per_s_min=settings.body_bytes_per_s_min,
            unread_bytes_max=max(settings.body_bytes_max, settings.batch_body_bytes_max),
            answer_stalled_s_max=settings.answer_stalled_s_max,
            connection_idle_s_max=settings.connection_idle_s_max,
            connections_max=min(settings.connections_max, _openable() - ending_max),
            connections_per_address_max=settings.connections_per_address_max,
            connections_ending_max=min(settings.connections_max, ending_max),
            trusted_proxies=tuple(p.strip() for p in settings.trusted_proxies.split(",") if p.strip()),
        )

    def stands_for_many(self, host: str) -> bool:
        """Say whether an address belongs to a trusted proxy."""
        return _within(host, self.trusted_proxies)


def _openable() -> int:
    """Raise this process's limit of open files as far as allowed; return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return OPEN_FILES if soft < 0 else max(soft - OPEN_FILES_KEPT, soft // 2)


def _within(host: str, networks: Iterable[str]) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)

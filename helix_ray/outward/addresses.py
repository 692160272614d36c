"""Which addresses a server may connect to when users name the place.

A server stands inside a network: whoever has it send a request could reach what only the server reaches. So
only globally routed unicast addresses are allowed, and those of the networks that an administrator lists.
An IPv6 address that carries an IPv4 address is judged by both. `is_global` alone is not the rule: it is
true for translated addresses (64:ff9b::169.254.169.254), some multicast and the address at which Azure
answers with credentials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Never connected to, whatever networks are listed: the link, groups, and clouds' credentials.
_NEVER: Final = {
    "0.0.0.0/32": "is the unspecified address",
    "169.254.0.0/16": "is a link-local address, where clouds answer with credentials",
    "168.63.129.16/32": "is where Azure answers its machines",
    "100.100.100.200/32": "is where Alibaba Cloud answers with credentials",
    "192.0.0.192/32": "is where Oracle Cloud answers with credentials",
    "224.0.0.0/4": "is a multicast address",
    "255.255.255.255/32": "is the broadcast address",
    "::/128": "is the unspecified address",
    "fe80::/10": "is a link-local address",
    "fd00:ec2::/32": "is where AWS answers with credentials",
    "fd20:ce::254/128": "is where Google Cloud answers with credentials",
    "fd00:42::42/128": "is where Scaleway answers with credentials",
    "ff00::/8": "is a multicast address",
}
_FORBIDDEN: Final = {
    "0.0.0.0/8": "is an address of this network",
    "10.0.0.0/8": "is a private address",
    "100.64.0.0/10": "is a carrier's internal address",
    "127.0.0.0/8": "is a loopback address",
    "172.16.0.0/12": "is a private address",
    "192.0.0.0/24": "is a reserved address",
    "192.0.2.0/24": "is an address for documentation",
    "192.88.99.0/24": "is a relay of 6to4",
    "192.168.0.0/16": "is a private address",
    "198.18.0.0/15": "is an address for benchmarks",
    "198.51.100.0/24": "is an address for documentation",
    "203.0.113.0/24": "is an address for documentation",
    "240.0.0.0/4": "is a reserved address",
    "::1/128": "is a loopback address",
    "::/96": "is an IPv4-compatible address",
    "64:ff9b:1::/48": "is a translated address of a local network",
    "fc00::/7": "is a private address",
    "fec0::/10": "is a site-local address",
    "2001::/23": "is a reserved address",
    "2001:db8::/32": "is an address for documentation",
    "3fff::/20": "is an address for documentation",
}
_UNICAST: Final = IPv6Network("2000::/3")
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_LOCAL_TRANSLATED: Final = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = IPv6Network("::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
# The interface identifiers of ISATAP, before the IPv4 address.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_FOUR: Final = 0xFFFF_FFFF


def _table(rows: dict[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), reason) for network, reason in rows.items())


_NEVER_NETWORKS: Final = _table(_NEVER)
_FORBIDDEN_NETWORKS: Final = _table(_FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an administrator allows beside public addresses and https."""

    networks: tuple[Network, ...] = ()
    http: bool = False


def networks_of(names: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as 127.0.0.0/8 and ::1; raises ValueError with a message."""
    return tuple(ip_network(name) for name in names)


def address_of(text: str) -> Address:
    """Read an answer of a name server; an address with a zone is one of a link. Raises ValueError."""
    return ip_address(text.partition("%")[0])


def forbidden(address: Address) -> str | None:
    """Return why an address is not public, as the end of a sentence; None for one that is."""
    return refusal(address, Allowed())


def refusal(address: Address, allowed: Allowed) -> str | None:
    """Return why an address may not be connected to; None for one that may."""
    for each in (address, *carried(address)):
        reason = _of_table(each, _NEVER_NETWORKS) or _unlisted(each, allowed.networks)
        if reason is not None:
            return reason if each == address else f"carries {each}, which {reason}"
    return None


def is_never(address: Address) -> bool:
    """Return whether an address stays forbidden whatever networks are listed."""
    return any(_of_table(each, _NEVER_NETWORKS) for each in (address, *carried(address)))


def is_listed(address: Address, allowed: Allowed) -> bool:
    """Return whether an administrator lists an address."""
    return any(address in network for network in allowed.networks)


def carried(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address stands for: mapped, translated or tunnelled."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    last = IPv4Address(number & _FOUR)
    if address.ipv4_mapped is not None or address in _TRANSLATED or address in _LOCAL_TRANSLATED:
        return (last,)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _FOUR),)
    if address in _TEREDO:
        return (IPv4Address(number >> 64 & _FOUR), IPv4Address(~number & _FOUR))
    if address in _COMPATIBLE and number >> 16:  # not ::1
        return (last,)
    return (last,) if number >> 32 & _FOUR in _ISATAP else ()


def _of_table(address: Address, table: tuple[tuple[Network, str], ...]) -> str | None:
    return next((reason for network, reason in table if address in network), None)


def _unlisted(address: Address, listed: tuple[Network, ...]) -> str | None:
    if any(address in network for network in listed):
        return None
    reason = _of_table(address, _FORBIDDEN_NETWORKS)
    if reason is not None or isinstance(address, IPv4Address):
        return reason
    is_carrier = address.ipv4_mapped is not None or address in _TRANSLATED
    return None if is_carrier or address in _UNICAST else "is not a public address"

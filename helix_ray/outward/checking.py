"""Which URLs and headers may be sent to receivers.

A URL is read strictly: what two readers might read differently (a user before the host, escapes and blanks in
it, numbers in other bases than ten) is refused, so that what was checked is what is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

import idna

from helix_ray.core.errors import Rejected, invalid
from helix_ray.outward.addresses import Address, Allowed, is_never, refusal
from helix_ray.outward.outcome import SETTING_HTTP, SETTING_NETWORKS

FIELD: Final = "url"
URL_CHARS_MAX: Final = 2048
URL_CHARS_SHOWN: Final = 200
HOST_CHARS_MAX: Final = 253
HEADER_CHARS_MAX: Final = 4096
PORTS: Final = {"https": 443, "http": 80}
# The transport's own: they say where a request ends and on which connection.
HEADERS_OF_TRANSPORT: Final = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_URL: Final = re.compile(r"(?i:(https?))://([^/?#]*)([^#]*)")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?")
_NAMED: Final = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Printable ASCII without what a browser, a shell or another reader takes for a separator.
_UNREADABLE: Final = re.compile(r"[\x00-\x20\x7f\\]|[\u0080-\u00a0\u2000-\u200f\u2028-\u202f\u3000\ufeff]")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")


class Target(NamedTuple):
    """Where a URL leads: `address` where its host is one, and the path with its query."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None

    def authority(self) -> str:
        """Return the host as the header has it, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(url: str, allowed: Allowed) -> Rejected | None:
    """Refuse a URL that may not be asked, without looking its name up: that is done at each request."""
    target = target_of(url)
    return target if isinstance(target, Rejected) else check_target(target, allowed)


def check_target(target: Target, allowed: Allowed) -> Rejected | None:
    """Refuse the scheme or the address of a target, and say which settings would allow them."""
    needed = []
    reasons = []
    if target.scheme == "http" and not allowed.http:
        reasons.append("must begin with https://")
        needed.append(f"{SETTING_HTTP}=true")
    address = target.address or _of_this_machine(target.host)
    reason = None if address is None else refusal(address, allowed)
    if address is not None and reason is not None:
        reasons.append(f"leads to {target.host}, which {reason}")
        if not is_never(address):
            needed.append(f"{SETTING_NETWORKS}={_network_of(address)}")
    if not reasons:
        return None
    message = f"The URL {' and '.join(reasons)}"
    if len(needed) == len(reasons):
        message += f". To allow that, an administrator sets {' and '.join(needed)}"
    return invalid(message, field=FIELD, settings=[each.partition("=")[0] for each in needed])


def target_of(url: str) -> Target | Rejected:
    """Read a URL strictly."""
    if len(url) > URL_CHARS_MAX:
        return invalid(f"The URL must have at most {URL_CHARS_MAX} characters", field=FIELD)
    if _UNREADABLE.search(url):
        return _bad("must not contain spaces, control characters or backslashes", url)
    found = _URL.fullmatch(url.partition("#")[0])
    if found is None or not found[2]:
        return _bad("must begin with https:// and a host", url)
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if "@" in authority:
        return _bad("must be without a password or user before its host; send them in a header", "")
    place = _BRACKETED.fullmatch(authority) or _NAMED.fullmatch(authority)
    if place is None or "%" in authority:
        return _bad("must have a host name or an address, and optionally a port", url)
    port = int(place[2] or PORTS[scheme])
    if not 1 <= port <= 65_535:
        return _bad("must have a port from 1 to 65535", url)
    host = _address_host(place[1]) if authority.startswith("[") else host_of(place[1])
    if host is None:
        return _bad("must have a valid host name, or an address in its usual form", url)
    if not path.isascii():
        return _bad("must have other than ASCII characters escaped in its path", url)
    path = path if path.startswith("/") else "/" + path
    return Target(scheme, host, port, path, _literal(host))


def host_of(text: str) -> str | None:
    """Return a host name in lower case and ASCII, or an IPv4 address; None for what is neither."""
    try:
        name = text if text.isascii() else idna.encode(text, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > HOST_CHARS_MAX or not all(map(_LABEL.fullmatch, labels)):
        return None
    if not _NUMBER.fullmatch(labels[-1]):
        return name
    # What ends in a number is an address for many readers: 127.1, 0x7f.1, 2130706433, 0177.0.0.1.
    try:
        return name if text.isascii() and str(IPv4Address(name)) == name else None
    except AddressValueError:
        return None


def check_headers(headers: Mapping[str, str]) -> Rejected | None:
    """Refuse headers that would change the request itself."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            return invalid(f"{name[:80]!r} is not a valid name of a header", field="headers")
        if name.lower() in HEADERS_OF_TRANSPORT:
            return invalid(f"The header {name} cannot be set", field="headers")
        if len(value) > HEADER_CHARS_MAX or not _HEADER_VALUE.fullmatch(value.strip(" \t")):
            most = f"at most {HEADER_CHARS_MAX} printable ASCII characters"
            return invalid(f"The value of the header {name[:80]} must have {most}", field="headers")
    return None


def _address_host(text: str) -> str | None:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        return None


def _literal(host: str) -> Address | None:
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if _NUMBER.fullmatch(host.rpartition(".")[2]) else None


def _of_this_machine(host: str) -> Address | None:
    return IPv4Address("127.0.0.1") if host == "localhost" or host.endswith(".localhost") else None


def _network_of(address: Address) -> str:
    if address.is_loopback:
        return "127.0.0.0/8,::1/128"
    return f"{address}/{address.max_prefixlen}"


def _bad(message: str, url: str) -> Rejected:
    return invalid(f"The URL {message}", field=FIELD, **({"url": url[:URL_CHARS_SHOWN]} if url else {}))

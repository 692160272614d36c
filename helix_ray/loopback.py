"""Whether only processes of this machine can connect to an address."""

from __future__ import annotations

import socket

from helix_ray.core.networks import is_this_machine


def is_loopback(host: str) -> bool:
    """Say whether an address, or every address of a name, is one of the loopback; a name that nobody knows
    is not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(host) and all(is_this_machine(str(address[0])) for *_, address in found)

"""The request id: the client's where it is well-formed, else a generated one."""

from __future__ import annotations

import os
import re

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def choose(sent: bytes | None) -> str:
    """Return a well-formed X-Request-ID as it is; otherwise `req-` and 12 hex digits."""
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent.decode("ascii")
    return "req-" + os.urandom(6).hex()

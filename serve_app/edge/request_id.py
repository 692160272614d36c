"""A name for every request: the caller's where it is well-formed, else ours."""

from __future__ import annotations

import os
import re

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def choose(sent: bytes | None) -> str:
    """Keep a well-formed X-Request-ID; make `req-` and 12 hex digits for none and for any other."""
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent.decode("ascii")
    return "req-" + os.urandom(6).hex()

"""Cursors: positions in the list of changes of a scope, authenticated so that only we can make one.

A device keeps a cursor as it is and sends it back. What it names may be gone by then: the file of the changes
was lost (`generation`), or the device follows something else, or may see something else (`scope`). Then the
device must start again, and is told so.
"""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import NamedTuple

from helix_ray.core.sync_questions import CURSOR_CHARS_MAX

MAC_BYTES = 12
SCOPE_BYTES = 9


class Cursor(NamedTuple):
    """`position` in the list of the scope with this hash; a first pull has no tombstones up to `first`."""

    generation: str
    scope: str
    position: int
    first: int


def scope_hash(text: str) -> str:
    """Return a short hash of a scope's text."""
    return _encoded(sha256(text.encode()).digest()[:SCOPE_BYTES])


def written(cursor: Cursor, key: bytes) -> str:
    """Return a cursor as text for a URL."""
    body = f"{cursor.generation}.{cursor.scope}.{cursor.position}.{cursor.first}"
    return f"{body}.{_mac(body, key)}"


def read(text: str, key: bytes) -> Cursor | None:
    """Return the cursor of a text; None where we did not make it."""
    if len(text) > CURSOR_CHARS_MAX:
        return None
    body, _, mac = text.rpartition(".")
    if not hmac.compare_digest(_mac(body, key).encode(), mac.encode()):
        return None
    generation, scope, position, first = body.split(".")
    return Cursor(generation, scope, int(position), int(first))


def _mac(body: str, key: bytes) -> str:
    return _encoded(hmac.digest(key, body.encode(), "sha256")[:MAC_BYTES])


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

"""Seeds from which new ids are made, and fingerprints of request bodies."""

from __future__ import annotations

import secrets
import time
from hashlib import sha256

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_seed() -> str:
    """Return 20 characters, base 32: 9 of milliseconds since the epoch, 11 (55 bits) of randomness.

    Ids made from it sort by time; the chance of guessing one is 2^-55 for each millisecond.
    """
    value = (int(time.time() * 1000) << 55) | secrets.randbits(55)
    out = []
    for _ in range(20):
        out.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(out))


def fingerprint(*parts: bytes) -> str:
    """Return 16 hex digits that identify a request: the same key with another fingerprint is a conflict."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]

"""One-time codes with which a user enrols a device: ten characters that can be read aloud.

They are Crockford's base 32 (no I, L, O, U), 50 random bits; what people mistype for one another is the same
character. Only an HMAC with the server's secret is stored, so a copy of the journal does not tell a code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

CODE_CHARS: Final = 10
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def make_code() -> str:
    """Make a random code: `XXXXX-XXXXX`."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARS))
    return f"{text[:5]}-{text[5:]}"


def hash_code(secret: bytes, code: str) -> str:
    """Return the HMAC-SHA256 of a code in hex, however it is typed."""
    plain = code.upper().translate(_ALIKE)
    return hmac.digest(secret, b"device-code\0" + plain.encode(), hashlib.sha256).hex()

"""API tokens: `helix_pat_`, 30 random characters, 6 of checksum.

The prefix is for secret scanners; with the checksum (CRC32 of the 30 in base 62, as in GitHub's tokens) a
mistyped or invented token is refused without a look-up. 30 characters in base 62 are 178 random bits, so
storing a plain SHA-256 is safe: it cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from typing import Final

from helix_ray.core.decide.tokens import TOKEN_PREFIX
from helix_ray.core.errors import ErrorCode, Refused, Rejected

SECRET_CHARS: Final = 30
CHECKSUM_CHARS: Final = 6
SHOWN_CHARS: Final = 4

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHARS: Final = frozenset(_ALPHABET)


def make_api_token() -> str:
    """Make a random token."""
    return _whole("".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARS)))


def derive_api_token(secret: bytes, *values: str) -> str:
    """Derive a token from a secret and the given strings: the same request gets the same token."""
    seed = hmac.digest(secret, b"api-token\0" + "\0".join(values).encode(), hashlib.sha256)
    number = int.from_bytes(seed)
    return _whole(_base62(number % 62**SECRET_CHARS, SECRET_CHARS))


def is_api_token(token: str) -> bool:
    """Say whether a bearer token has the form of an API token."""
    return token.startswith(TOKEN_PREFIX)


def hash_api_token(token: str) -> str:
    """Return the SHA-256 of a token in hex; raise Refused (UNAUTHORIZED) for one whose checksum is wrong."""
    body = token[len(TOKEN_PREFIX) :]
    secret = body[:SECRET_CHARS]
    if len(body) != SECRET_CHARS + CHECKSUM_CHARS or not _CHARS.issuperset(body) or token != _whole(secret):
        raise Refused(Rejected(ErrorCode.UNAUTHORIZED, "Invalid API token", {"reason": "checksum"}))
    return hashlib.sha256(token.encode()).hexdigest()


def shown_of(token: str) -> str:
    """Return the first characters, which identify a token in listings."""
    return token[len(TOKEN_PREFIX) : len(TOKEN_PREFIX) + SHOWN_CHARS]


def _whole(secret: str) -> str:
    return TOKEN_PREFIX + secret + _base62(zlib.crc32(secret.encode()), CHECKSUM_CHARS)


def _base62(number: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

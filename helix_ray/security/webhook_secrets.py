"""Signing secrets of webhooks: `whsec_` and 32 random bytes in base64, as Standard Webhooks has them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from helix_ray.core.webhooks import SIGNING_KEY_PREFIX

KEY_BYTES: Final = 32
FINGERPRINT_CHARS: Final = 16


def make_signing_secret() -> str:
    """Make a random signing secret."""
    return _whole(secrets.token_bytes(KEY_BYTES))


def derive_signing_secret(secret: bytes, *values: str) -> str:
    """Derive a signing secret from a secret and the given strings: the same request gets the same one."""
    return _whole(hmac.digest(secret, b"webhook\0" + "\0".join(values).encode(), hashlib.sha256))


def fingerprint_of(signing_secret: str) -> str:
    """Return what names a signing secret, and does not tell it."""
    return hashlib.sha256(b"webhook\0" + signing_secret.encode()).hexdigest()[:FINGERPRINT_CHARS]


def _whole(key: bytes) -> str:
    return SIGNING_KEY_PREFIX + base64.b64encode(key).decode()

"""What a sealed text looks like (helix_ray/security/vault.py seals it); nobody but a vault can read it."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "helix-sealed:"
# The nonce before the sealed bytes and the tag after them.
OVERHEAD_BYTES: Final = 12 + 16


def is_sealed(text: str) -> bool:
    """Say whether a text is sealed. Text from a user is always sealed, even if it looks like this, so nobody
    can forge it."""
    return text.startswith(PREFIX)


def sealed_bytes(text: str) -> int:
    """Return how many bytes are in a sealed text, without opening it."""
    return decoded_bytes(text.rpartition(":")[2]) - OVERHEAD_BYTES


def decoded_bytes(text: str) -> int:
    """Return how many bytes a base64 text has, without decoding it."""
    return len(text) * 3 // 4 - text[-2:].count("=")

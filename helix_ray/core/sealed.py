"""What a sealed text looks like (helix_ray/security/vault.py seals it); nobody but a vault can read it."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "helix-sealed:"
# A nonce before and a tag behind what is sealed.
OVERHEAD_BYTES: Final = 12 + 16


def is_sealed(text: str) -> bool:
    """Say whether a text is sealed. Text from a user is always sealed, even if it looks like this, so nobody
    can forge it."""
    return text.startswith(PREFIX)


def sealed_bytes(text: str) -> int:
    """Return how many bytes are in a sealed text, without opening it."""
    body = text.rpartition(":")[2]
    return len(body) * 3 // 4 - body[-2:].count("=") - OVERHEAD_BYTES

"""What a sealed text looks like (helix_ray/security/vault.py seals it); nobody but a vault can read it."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "helix-sealed:"


def is_sealed(text: str) -> bool:
    """Say whether a text is sealed. Text from a user is always sealed, even if it looks like this, so nobody
    can forge it."""
    return text.startswith(PREFIX)

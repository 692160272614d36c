"""What a sealed text looks like (helix_ray/security/vault.py seals it); nobody but a vault can read it."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "helix-sealed:"


def is_sealed(text: str) -> bool:
    """Say whether a text is sealed. What a user gives is sealed whatever it looks like, so it is no
    forgery."""
    return text.startswith(PREFIX)

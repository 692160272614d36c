"""Digests: how files are named."""

from __future__ import annotations

import re

DIGEST_PATTERN = r"[0-9a-f]{64}"

_DIGEST = re.compile(DIGEST_PATTERN)


def is_digest(value: object) -> bool:
    """Say whether a value is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None

"""Values to JSON bytes and back, never refusing what JSON can say.

The gate (core/admission.py) lets nothing in that orjson refuses. Should something come
past it, it must not stop the writer: it takes the slow way through the standard library,
and comes back escaped (helix_ray/plain.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """Return a value (or a dataclass of values) as JSON; raise TypeError for what is not JSON at all."""
    try:
        return orjson.dumps(value)
    except TypeError:
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        return json.dumps(plain, separators=(",", ":")).encode()


def from_json(data: bytes) -> Any:
    """Return the value that to_json wrote."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)

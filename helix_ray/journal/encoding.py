"""Converts values to JSON bytes and back, without refusing any valid JSON.

core/admission.py refuses everything that orjson cannot write. Should such a value get past it, it must not
stop the writer: it is written with the standard library, and read back escaped (helix_ray/plain.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """Return a value (or a dataclass of values) as JSON; raise TypeError for a value that is not JSON."""
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


def reaching(sizes: Iterable[int], bytes_max: int) -> int:
    """Return how many facts there are up to the one whose body reaches `bytes_max`, by the bytes of each."""
    count = 0
    for size in sizes:
        count += 1
        bytes_max -= size
        if bytes_max <= 0:
            break
    return count

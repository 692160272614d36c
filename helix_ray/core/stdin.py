"""The standard input of a command: its forms, `run.stdin` for text and `run.stdin_base64` for bytes, and its
limit.

It travels in the journal with the task, sealed like values of `env`, so it is bounded.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from helix_ray.core.bounds import WRONG_FORM, Breach
from helix_ray.core.sealed import decoded_bytes, is_sealed, sealed_bytes
from helix_ray.core.specs import CommandRun

# Fits in either form into the largest body of a request.
STDIN_BYTES_MAX = 512 * 1024
TOO_LARGE = f"the limit is {STDIN_BYTES_MAX}: let the command open a file that the nodes can read"


def too_large(size: int) -> str:
    """Return the words for an input of so many bytes."""
    return f"it has {size} bytes; {TOO_LARGE}"


def stdin_fields(data: str | bytes) -> CommandRun:
    """Return the one field for an input, bytes in the shorter form.

    Raises ValueError beyond the limit, TypeError for what is neither text nor bytes.
    """
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"stdin must be str or bytes, not {type(data).__name__}")
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    if len(raw) > STDIN_BYTES_MAX:
        raise ValueError(f"stdin has {len(raw)} bytes; {TOO_LARGE}")
    if isinstance(data, str):
        return {"stdin": data}
    encoded = base64.b64encode(raw).decode()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return {"stdin_base64": encoded}
    # Control characters take six characters each in JSON.
    is_shorter = len(json.dumps(text, ensure_ascii=False).encode()) <= len(encoded) + len("_base64")
    return {"stdin": text} if is_shorter else {"stdin_base64": encoded}


def decoded(text: str) -> bytes:
    """Return the bytes of a `stdin_base64`; raises ValueError if it is not valid base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not valid base64") from None


def breach_of(run: Mapping[str, Any]) -> Breach | None:
    """Return what is wrong with the field: its type, its length, the other one beside it; values may be
    sealed."""
    for name, bytes_of in (("stdin", _bytes_of_text), ("stdin_base64", _bytes_of_base64)):
        value = run.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            return WRONG_FORM.within(name)
        if (size := bytes_of(value)) > STDIN_BYTES_MAX:
            return Breach(too_large(size), {"bytes_max": STDIN_BYTES_MAX}, name)
    both = run.get("stdin") is not None and run.get("stdin_base64") is not None
    return Breach("only one of stdin and stdin_base64 can be given", path="stdin_base64") if both else None


def _bytes_of_text(text: str) -> int:
    return sealed_bytes(text) if is_sealed(text) else len(text.encode("utf-8", "surrogatepass"))


def _bytes_of_base64(text: str) -> int:
    """Return the number of bytes, of a sealed text at most two too few: its padding is not known."""
    if is_sealed(text):
        return sealed_bytes(text) * 3 // 4 - 2
    return decoded_bytes(text)

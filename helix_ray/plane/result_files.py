"""Reads the files of large results from the head's store."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import orjson

from helix_ray.core.model_records import FileRef
from helix_ray.core.result_files import contained
from helix_ray.core.specs import JsonObject
from helix_ray.plane.calls import Calls
from helix_ray.plane.responses import UNKNOWN, Response, Unknown, response_of


async def read_result(calls: Calls, task_id: str, file: FileRef) -> Response[JsonObject]:
    """Return the result of a task from its file; UNKNOWN where that is gone, damaged, or another task's."""
    pieces: list[bytes] = []
    size = 0
    while size < file["bytes"]:
        piece: Response[bytes] = response_of(await calls.file(file["digest"], size))
        if not isinstance(piece, bytes):
            return piece
        if not piece:
            return UNKNOWN
        pieces.append(piece)
        size += len(piece)
    return await asyncio.to_thread(_result_in, b"".join(pieces), task_id, file)


def _result_in(data: bytes, task_id: str, file: FileRef) -> JsonObject | Unknown:
    if sha256(data).hexdigest() != file["digest"]:
        return UNKNOWN
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return UNKNOWN
    result = contained(found, task_id)
    return UNKNOWN if result is None else result

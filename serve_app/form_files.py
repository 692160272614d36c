"""Files in multipart forms: they go to the blob store as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from helix_ray.blobs.errors import BlobError, StoreFull
from helix_ray.core.decide.datasets import no_room_for_files
from helix_ray.core.errors import ErrorCode, Refused, Rejected, invalid
from helix_ray.core.model_records import FileRef
from helix_ray.core.questions import GetStored
from helix_ray.core.values import shown_text
from helix_ray.ports import Blobs
from serve_app.deps import Caller
from serve_app.multipart import too_large

BINARY: Final = {"type": "string", "format": "binary"}
RETRY_AFTER_S: Final = 10
SHOWN_CHARS_MAX: Final = 64


class FileRoom(NamedTuple):
    """How many bytes a file may have, and the refusal of one that has more."""

    bytes_max: int
    refusal: Rejected


async def room_for(name: str, bytes_max: int, project_id: str | None, caller: Caller) -> FileRoom:
    """Return the room for a file of a project, or of the caller's own: no more than a file may have, and than
    may still be stored there. The order decides again, with what has come in between."""
    found = await caller.query(GetStored(project_id))
    left = max(0, found["limit_bytes"] - found["stored_bytes"])
    if left >= bytes_max:
        return FileRoom(bytes_max, too_large(name, bytes_max))
    return FileRoom(left, no_room_for_files(found["project_id"], found["stored_bytes"], found["limit_bytes"]))


async def stored(pieces: AsyncIterator[bytes], name: str, room: FileRoom, blobs: Blobs) -> FileRef:
    """Write a file to the store; raise Refused where it is too large, or the store has no room."""

    async def bounded() -> AsyncIterator[bytes]:
        size = 0
        async for data in pieces:
            size += len(data)
            if size > room.bytes_max:
                raise Refused(room.refusal)
            yield data

    try:
        digest, size = await blobs.write(bounded())
    except StoreFull as error:
        raise Refused(unavailable(f"There is no room for the {name}: {error}")) from None
    except (BlobError, OSError) as error:
        raise Refused(unavailable(f"The {name} could not be stored: {error}")) from error
    return {"digest": digest, "bytes": size}


def unknown_field(name: str, allowed: Sequence[str]) -> Rejected:
    """Return the refusal of a field that a form does not have."""
    shown = shown_text(name)[:SHOWN_CHARS_MAX]
    return invalid(f"Unknown field of the form: {shown}", field="body", allowed_values=list(allowed))


def unavailable(message: str) -> Rejected:
    """Return the refusal of what the store cannot do at the moment."""
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, message, {"retry_after_s": RETRY_AFTER_S})

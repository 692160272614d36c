"""Files in multipart forms: they go to the blob store as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from helix_ray.blobs.errors import BlobError, StoreFull
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.model_records import FileRef
from helix_ray.ports import Blobs
from serve_app.multipart import MultipartForm, too_large

BINARY: Final = {"type": "string", "format": "binary"}
RETRY_AFTER_S: Final = 10


async def stored(form: MultipartForm, name: str, bytes_max: int, blobs: Blobs) -> FileRef:
    """Write a part to the store; raise Refused where it is too large, or the store has no room."""

    async def bounded() -> AsyncIterator[bytes]:
        size = 0
        async for data in form.data():
            size += len(data)
            if size > bytes_max:
                raise Refused(too_large(name, bytes_max))
            yield data

    try:
        digest, size = await blobs.write(bounded())
    except StoreFull as error:
        raise Refused(unavailable(f"There is no room for the {name}: {error}")) from None
    except (BlobError, OSError) as error:
        raise Refused(unavailable(f"The {name} could not be stored: {error}")) from error
    return {"digest": digest, "bytes": size}


def unavailable(message: str) -> Rejected:
    """Return the refusal of what the store cannot do at the moment."""
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, message, {"retry_after_s": RETRY_AFTER_S})

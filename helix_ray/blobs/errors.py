"""What can go wrong with a blob.

BlobError
  +-- BlobMissing    there is none of this digest here
  +-- BlobDamaged    its bytes do not have its digest any more; it has been set aside
  +-- StoreFull      the disk or the budget has no room for it
  +-- UploadLost     an upload was given up before it ended
  +-- BlobsAway      the head's store does not respond
"""

from __future__ import annotations


class BlobError(Exception):
    """A blob cannot be read or written; the message is one line that may be shown to anybody."""


class BlobMissing(BlobError):
    """There is no blob of this digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"there is no file with the digest {self.digest}"


class BlobDamaged(BlobError):
    """A blob's bytes do not have its digest; it has been set aside, so that it can be written again."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"the file with the digest {self.digest} is damaged: upload it again"


class StoreFull(BlobError):
    """There is no room for more; the message says of what there is too little."""


class UploadLost(BlobError):
    """An upload was given up before it ended: begin again."""


class BlobsAway(BlobError):
    """The blob store of the head does not respond, or cannot start; the message says why."""

"""Leaves large results of inferences in the node's folder of blobs: the head has them before they are
reported, so no node takes the result of an attempt that has ended with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from helix_ray import plain
from helix_ray.blobs.errors import BlobError
from helix_ray.blobs.store import BlobStore
from helix_ray.core.model_records import FileRef
from helix_ray.core.result_files import contents, referring
from helix_ray.execution.assignment import Assignment, ErrorInfo, Outcome

if TYPE_CHECKING:
    from helix_ray.core.inference_result import InferenceResult


def outcome_of(task: Assignment, result: InferenceResult, inline_bytes_max: int) -> Outcome:
    """Return the outcome of an inference: with its result, or with a reference to its file beyond
    `inline_bytes_max` bytes of JSON."""
    data = plain.write(contents(task.task_id, result))
    if len(data) <= inline_bytes_max or not task.blobs_dir:
        return Outcome(True, result)
    try:
        file = left_in(Path(task.blobs_dir), data)
    except (BlobError, OSError) as error:
        message = f"the result has {len(data)} bytes, and cannot be stored: {error}"
        return Outcome(False, error=ErrorInfo("not_stored", type(error).__name__, message))
    return Outcome(True, referring(result, file), blobs=(file["digest"],))


def left_in(folder: Path, data: bytes) -> FileRef:
    """Leave bytes in a folder of blobs. Raises BlobError and OSError."""
    incoming = BlobStore(folder).begin(len(data))
    try:
        incoming.write(data)
        digest, size = incoming.finish()
    finally:
        incoming.abandon()
    return {"digest": digest, "bytes": size}

"""Results of inferences that are too large for the journal: each is a file on the head (docs/models.md), and
the task's result is a reference to it, with how the rows were run.

The file names its task: a reference in the result of another one reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from helix_ray.core.digests import is_digest
from helix_ray.core.gathering import VALUES
from helix_ray.core.inference_result import InferenceResult
from helix_ray.core.model_records import FileRef
from helix_ray.core.specs import JsonObject

if TYPE_CHECKING:
    from helix_ray.core.state import Task

STORED_FILE = "file"


def contents(task_id: str, result: InferenceResult) -> JsonObject:
    """Return what the file of a result has."""
    return {"task_id": task_id, "result": {"success": True, **result}}


def contained(found: Any, task_id: str) -> JsonObject | None:
    """Return the result in a file's JSON; None where it is not that of the task."""
    if not isinstance(found, dict) or found.get("task_id") != task_id:
        return None
    result = found.get("result")
    return result if isinstance(result, dict) else None


def referring(result: InferenceResult, file: FileRef) -> JsonObject:
    """Return a result with a reference to its file in the place of its values."""
    said = {name: value for name, value in result.items() if name not in VALUES}
    return {**said, "stored": STORED_FILE, **file}


def file_of_result(result: object) -> FileRef | None:
    """Return the file to which a result refers; None where it has its values itself."""
    if not isinstance(result, Mapping) or result.get("stored") != STORED_FILE:
        return None
    digest, size = result.get("digest"), result.get("bytes")
    if not isinstance(digest, str) or not is_digest(digest) or type(size) is not int:
        return None
    return {"digest": digest, "bytes": size}


def result_files(tasks: Iterable[Task]) -> Iterator[str]:
    """Yield the digests of the files that the results of tasks refer to; those of shards are with them."""
    for task in tasks:
        if (file := file_of_result(task.result)) is not None:
            yield file["digest"]

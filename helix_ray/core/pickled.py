"""Pickled objects in results and errors: only Python inside the cluster reads them."""

from __future__ import annotations

from typing import Any, Final

from helix_ray.core.specs import TaskError

# Where a result or an error has its object, in base64.
PICKLED: Final = "pickled"


def without_object(result: Any) -> Any:
    """Return a result without pickled objects, also those of its shards."""
    if not isinstance(result, dict):
        return result
    parts = result.get("shards")
    if PICKLED not in result and not isinstance(parts, list):
        return result
    shown = {name: value for name, value in result.items() if name != PICKLED}
    if isinstance(parts, list):
        shown["shards"] = [_without(part) for part in parts]
    return shown


def _without(part: Any) -> Any:
    if isinstance(part, dict) and PICKLED in part:
        return {name: value for name, value in part.items() if name != PICKLED}
    return part


def readable(error: TaskError | None) -> TaskError | None:
    """Return an error without the pickled exception, also in its cause, the error of a shard."""
    if error is None or (PICKLED not in error and "cause" not in error):
        return error
    shown = error.copy()
    shown.pop("pickled", None)
    cause = shown.get("cause")
    # A worker may have put anything there.
    if isinstance(cause, dict):
        shown["cause"] = readable(cause) or cause
    return shown

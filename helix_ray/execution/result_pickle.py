"""Pickles of what functions return."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle

from helix_ray.execution.jsonable import NotSerialisable


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler, for values that outlive this process."""

    def reducer_override(self, obj: Any) -> Any:
        """Refuse references to Ray's objects: these end with this process, whose end nobody sees."""
        if is_reference(obj):
            raise NotSerialisable(
                "result: a ray.ObjectRef cannot be returned; return its value, ray.get(ref)"
            )
        return super().reducer_override(obj)


def result_pickle(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """Return the pickle of a result; with `buffer_callback` large buffers are given to it instead.

    Raises NotSerialisable, and whatever the value's own code raises.
    """
    file = io.BytesIO()
    _ResultPickler(file, protocol=5, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


def is_reference(value: Any) -> bool:
    """Say whether a value is a ray.ObjectRef; Ray is not imported for the question."""
    ray = sys.modules.get("ray")
    return ray is not None and isinstance(value, getattr(ray, "ObjectRef", ()))

"""Pickles of calls: cloudpickle, with local modules by value and Ray's object references as Ray passes them.

A reference that is an argument arrives as its value; one inside another argument arrives as a reference. Its
object lives as long as the program that made it, as with Ray.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import cloudpickle

from helix_ray.execution.result_pickle import is_reference


class CallPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler for calls; that alone writes a reference without its owner, never found.

    `by_value` are the functions that it has pickled with their code.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.by_value: list[FunctionType] = []

    def reducer_override(self, obj: Any) -> Any:
        """Return how a reference travels, and what cloudpickle says for everything else."""
        if is_reference(obj):
            from helix_ray.plane.ray_objects import travelling

            return travelling(obj)
        reduced = super().reducer_override(obj)
        if isinstance(obj, FunctionType) and reduced is not NotImplemented:
            self.by_value.append(obj)
        return reduced


def dumped(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    functions: list[FunctionType] | None = None,
) -> bytes:
    """Return the pickle of a value; with `buffer_callback` large buffers are given to it instead, and
    `functions` gets those that are pickled with their code."""
    file = io.BytesIO()
    pickler = CallPickler(file, protocol=5, buffer_callback=buffer_callback)
    pickler.dump(value)
    if functions is not None:
        functions += pickler.by_value
    return file.getvalue()


def by_value(argument: Any) -> Any:
    """Return an argument as it travels: a reference is replaced by its value when it arrives."""
    if not is_reference(argument):
        return argument
    from helix_ray.plane.ray_objects import Arriving

    return Arriving(argument)

"""References to objects in Ray's object store, inside the pickled calls of tasks.

Imports Ray, so it is imported only in processes of a Ray cluster.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import ray
from ray import cloudpickle as ray_pickle


class Arriving:
    """A reference that is an argument: it is unpickled as its value."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return value_of, (self._reference,)


def value_of(reference: Any) -> Any:
    """Return the value of a reference; raises RuntimeError where its object is gone."""
    try:
        return ray.get(reference)
    except ray.exceptions.ObjectLostError as error:
        message = (
            f"an argument was {reference}, whose object is gone: it lives as long as the program that made it"
        )
        raise RuntimeError(message) from error


def travelling(reference: Any) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
    """Return how a reference is unpickled in another process of the cluster: with its owner, who is asked
    for the object.

    Ray keeps the object from then on for as long as this process lives.
    """
    return pickle.loads, (ray_pickle.dumps(reference),)

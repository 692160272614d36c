"""References to objects in Ray's object store, inside the pickled calls of tasks.

Imports Ray, so it is imported only in processes of a Ray cluster.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import ray
from ray import cloudpickle as ray_pickle

from helix_ray.execution.failure import ArgumentsLost
from helix_ray.execution.pickle_parts import joined
from helix_ray.plane.names import NAMESPACE, node_worker


class Arriving:
    """A reference that is an argument: it is unpickled as its value."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return value_of, (self._reference,)


def value_of(reference: Any) -> Any:
    """Return the value of a reference; raises ArgumentsLost where its object is gone: no retry is tried."""
    try:
        return ray.get(reference)
    except ray.exceptions.ObjectLostError as error:
        message = (
            f"an argument was {reference}, whose object is gone: it lives as long as the program that made it"
        )
        raise ArgumentsLost(message) from error


def travelling(reference: Any) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
    """Return how a reference is unpickled in another process of the cluster: with its owner, who is asked
    for the object.

    Ray keeps the object from then on for as long as this process lives.
    """
    return pickle.loads, (ray_pickle.dumps(reference),)


class Kept:
    """A call whose arguments a node worker keeps: it is unpickled as the call itself."""

    def __init__(self, namespace: str, node_id: str, key: str) -> None:
        self._place = (namespace, node_id, key)

    def __reduce__(self) -> tuple[Callable[[str, str, str], Any], tuple[str, str, str]]:
        return kept_call, self._place


def kept_call(namespace: str, node_id: str, key: str) -> Any:
    """Return a call whose arguments a node worker keeps.

    Raises ArgumentsLost where they are gone, so that no retry is tried, and RayError where the node worker
    does not respond at the moment.
    """
    try:
        keeper: Any = ray.get_actor(node_worker(node_id), namespace=namespace)
        references = ray.get(keeper.argument.remote(key))
        if not isinstance(references, list) or not references:
            # A node worker that has started again has none, and says NotReady before.
            raise LookupError(key)
        parts = ray.get(references[0])
    except ray.exceptions.ActorUnavailableError:
        raise
    except (LookupError, ValueError, ray.exceptions.RayError) as error:
        message = f"the arguments were stored on node {node_id[:12]}, and are gone: submit the call again"
        raise ArgumentsLost(message) from error
    return joined(parts)


def keep_result(task_id: str, attempt: int, parts: list[Any]) -> None:
    """Hand a large result, as parts of a pickle, to the worker of this process's node. Raises RayError."""
    context = ray.get_runtime_context()
    keeper: Any = ray.get_actor(node_worker(context.get_node_id()), namespace=NAMESPACE)
    ray.get(keeper.keep_result.remote(task_id, attempt, parts))

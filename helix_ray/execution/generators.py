"""Functions that yield: their items, one by one, from generators and asynchronous generators."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeAlias

from helix_ray.execution.assignment import Reason
from helix_ray.execution.failure import type_name
from helix_ray.execution.item_file import ItemsFull, ItemWriter
from helix_ray.execution.jsonable import NotSerialisable, sized_json
from helix_ray.execution.progress import raise_if_cancelled
from helix_ray.execution.result_pickle import result_pickle

Yielding: TypeAlias = "GeneratorType[Any, Any, Any] | AsyncGeneratorType[Any, Any]"

# Their pickles need none of the user's code, and their types are known to every reader.
_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})


class ItemRefused(Exception):
    """An item cannot be handed on: the attempt fails with `reason`; `kind` is the type of its cause."""

    def __init__(self, reason: Reason, kind: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.kind = kind


def yields(value: object) -> bool:
    """Say whether a function's value is a generator, whose items are what the function has to give."""
    return isinstance(value, GeneratorType | AsyncGeneratorType)


def each(generator: Yielding, take: Callable[[Any], None]) -> None:
    """Call `take` with each item as soon as it is yielded, and close the generator however that ends.

    Raises what the generator or `take` raises, and Cancelled between two items of a cancelled attempt.
    """
    if isinstance(generator, AsyncGeneratorType):
        asyncio.run(_each_later(generator, take))
        return
    with contextlib.closing(generator):
        for item in generator:
            take(item)
            raise_if_cancelled()


async def _each_later(generator: AsyncGeneratorType[Any, Any], take: Callable[[Any], None]) -> None:
    async with contextlib.aclosing(generator):
        async for item in generator:
            take(item)
            raise_if_cancelled()


def written(generator: Yielding, writer: ItemWriter) -> None:
    """Write each item to a file; raises ItemRefused, and what the generator raises."""
    process = os.getpid()

    def take(item: Any) -> None:
        # A fork that goes on yielding has nothing to say: the items are the parent's.
        if os.getpid() == process:
            _write(item, writer)

    with contextlib.closing(writer):
        each(generator, take)


def _write(item: Any, writer: ItemWriter) -> None:
    try:
        pickled = pickle.dumps(item, protocol=5) if type(item) in _PLAIN else result_pickle(item)
    except Exception as error:
        message = f"item {writer.items}: type {type(item).__qualname__} cannot be pickled: {error}"
        raise ItemRefused("not_serialisable", type_name(error), message) from error
    try:
        writer.write(pickled)
    except ItemsFull as full:
        raise ItemRefused("items_full", type_name(full), str(full)) from full
    except OSError as error:
        message = f"item {writer.items} cannot be written on the node: {error.strerror}"
        raise ItemRefused("not_stored", type_name(error), message) from error


def listed(generator: Yielding, bytes_max: int) -> list[Any]:
    """Return the items as JSON values; raises ItemRefused as soon as they are over `bytes_max` bytes of
    JSON, and what the generator raises."""
    items: list[Any] = []
    used = 2  # the brackets

    def take(item: Any) -> None:
        nonlocal used
        try:
            value, size = sized_json(item, bytes_max, f"result[{len(items)}]")
        except NotSerialisable as error:
            raise ItemRefused("not_serialisable", type_name(error), str(error)) from error
        used += size + 1  # a comma
        if used > bytes_max:
            message = f"result: more than {bytes_max} bytes of JSON were yielded, the limit"
            raise ItemRefused("not_serialisable", NotSerialisable.__name__, message)
        items.append(value)

    each(generator, take)
    return items

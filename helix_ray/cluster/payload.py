"""Functions, arguments, results and exceptions as bytes.

Modules from the working directory and the main module's folder are pickled by value, so that executors need
not be able to import them. Installed modules are pickled by name.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import RLock
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from helix_ray.cluster.errors import PayloadTooLarge, ResultLostError, TaskCancelledError, TaskFailedError
from helix_ray.cluster.lazy_imports import sources_of
from helix_ray.cluster.pickling import by_value, dumped
from helix_ray.cluster.program import belongs, program_folders
from helix_ray.core.names import shard_id
from helix_ray.core.pickled import readable
from helix_ray.core.result_files import file_of_result
from helix_ray.core.specs import TaskError
from helix_ray.core.views.tasks import ResultView, stays_on_node
from helix_ray.execution.carried_modules import Sources, digest_of, loaded
from helix_ray.execution.pickle_parts import Parts, in_parts, joined

# A function with its arguments is stored in the journal; larger ones are kept by a node worker.
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024

Call = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]

# cloudpickle's list of modules to pickle by value is global to the process.
_registering = RLock()


class Frozen:
    """A pickled function, with the modules that it imports while it runs: pickled once for many calls."""

    __slots__ = ("data", "digest", "sources")

    def __init__(self, function: Callable[..., Any]) -> None:
        reached: list[FunctionType] = []
        with _local_modules_by_value():
            self.data: bytes = dumped(plain(function), functions=reached)
        self.sources: Sources = sources_of(reached)
        self.digest = digest_of(self.sources)

    def with_more(self, sources: Sources) -> Frozen:
        """Return it with further modules, which its arguments need."""
        other = Frozen.__new__(Frozen)
        other.data, other.sources = self.data, {**self.sources, **sources}
        other.digest = digest_of(other.sources)
        return other

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self.sources:
            return cloudpickle.loads, (self.data,)
        return loaded, (self.data, self.sources, self.digest)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function under @helix_ray.function."""
    inner: Callable[..., Any] = getattr(function, "__helix_function__", function)
    return inner


def name_of(function: Callable[..., Any]) -> str:
    """Return "module:name", for display."""
    inner = plain(function)
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{getattr(inner, '__module__', None) or type(inner).__module__}:{name}"


def pack(
    function: Frozen, args: Sequence[Any], kwargs: Mapping[str, Any], keep: Callable[[Parts], str] | None
) -> str:
    """Return base64 of a pickled call, or for one above PAYLOAD_BYTES_MAX what `keep` returns for its parts.

    Raises PayloadTooLarge where nobody keeps them.
    """
    named = {name: by_value(argument) for name, argument in kwargs.items()}
    reached: list[FunctionType] = []
    with _local_modules_by_value():
        call = (function, tuple(map(by_value, args)), named)
        data = dumped(call, functions=reached)
        more = sources_of(reached) if reached else {}
        if not more.keys() <= function.sources.keys():
            call = (function.with_more(more), *call[1:])
            data = dumped(call)
        parts = in_parts(partial(dumped, call)) if keep and len(data) > PAYLOAD_BYTES_MAX else None
    if keep and parts is not None:
        return keep(parts)
    if len(data) > PAYLOAD_BYTES_MAX:
        message = f"the function and its arguments are {len(data)} bytes; the limit is {PAYLOAD_BYTES_MAX}"
        raise PayloadTooLarge(f"{message}; put large data in a file that the nodes can read")
    return base64.b64encode(data).decode()


def value_of(outcome: ResultView) -> Any:
    """Return a finished task's value, or raise its exception.

    A function's value is the object that it returned, or the list of what it yielded; the value of a command
    or an inference is its result, a dict; that of a sharded task is the list of its shards' values.
    """
    if outcome["status"] == "cancelled":
        raise TaskCancelledError(f"{outcome['id']} was cancelled")
    if outcome["status"] != "completed":
        raise exception_of(outcome)
    outcomes = shard_outcomes(outcome)
    if outcomes is not None:
        return [value_of(part) for part in outcomes]
    result = outcome["result"]
    if not isinstance(result, dict):
        return result
    if "pickled" in result:
        pickled = result["pickled"]
        return joined(pickled) if isinstance(pickled, list) else cloudpickle.loads(base64.b64decode(pickled))
    if yielded(outcome) is not None and "pickles" in result:
        return [cloudpickle.loads(pickled) for pickled in result["pickles"]]
    if stored(outcome):
        where = outcome["assigned_worker"] or "a node"
        if file_of_result(result) is not None:
            where = "a file of the head"
        raise ResultLostError(f"{outcome['id']}: its result was stored on {where}, which is gone")
    return result["value"] if set(result) >= {"success", "value"} else result


def stored(outcome: ResultView) -> bool:
    """Say whether a result, or that of a shard, was too large for the journal, and is stored on its node or
    in a file."""
    results = [one["result"] for one in (outcome, *(shard_outcomes(outcome) or ()))]
    return any(stays_on_node(result) or file_of_result(result) is not None for result in results)


def yielded(outcome: ResultView) -> int | None:
    """Return how many items a function has yielded; None where it did not yield."""
    result = outcome["result"]
    if not isinstance(result, dict) or result.get("stored") != "items":
        return None
    items = result.get("items")
    return items if isinstance(items, int) else None


def shard_outcomes(outcome: ResultView) -> list[ResultView] | None:
    """Return the outcomes of a completed task's shards, in order; None for a task without shards.

    Only a parent has no worker, and a result of exactly this form.
    """
    result = outcome["result"]
    if outcome["assigned_worker"] is not None or not isinstance(result, dict):
        return None
    if set(result) != {"success", "shards"}:
        return None
    return [
        {**outcome, "id": shard_id(outcome["id"], index), "result": part}
        for index, part in enumerate(result["shards"])
    ]


def absent(outcome: ResultView) -> bool:
    """Say whether a result, or that of a shard, is on a node: stored, or yielded."""
    outcomes = (outcome, *(shard_outcomes(outcome) or ()))
    return stored(outcome) or any(yielded(one) is not None for one in outcomes)


def exception_of(outcome: ResultView) -> Exception:
    """Return the exception of a failed task, with a note of its traceback; TaskFailedError
    if it cannot be unpickled."""
    error: TaskError = outcome["error"] or {}
    where, cause = outcome["id"], error
    of_shard = error.get("cause")
    if error.get("reason") == "shard_failed" and isinstance(of_shard, dict):
        where, cause = str(error.get("shard")), of_shard
    raised = _unpickled(cause.get("pickled"))
    if raised is None:
        return TaskFailedError(outcome["id"], readable(error) or {}, outcome["result"])
    trace = cause.get("traceback")
    raised.add_note(f"raised in {where}" + (f", there:\n{trace}" if trace else ""))
    return raised


def _unpickled(text: str | None) -> Exception | None:
    if text is None:
        return None
    try:
        raised = cloudpickle.loads(base64.b64decode(text))
    except Exception:
        # Its class cannot be imported here, or its constructor takes other arguments.
        return None
    # SystemExit and the like would end the program that reads the result.
    return raised if isinstance(raised, Exception) else None


@contextmanager
def _local_modules_by_value() -> Iterator[None]:
    with _registering:
        known = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in _local_modules() if module.__name__ not in known]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


_found: tuple[tuple[int, tuple[str, ...]], list[ModuleType]] = ((0, ()), [])


def _local_modules() -> list[ModuleType]:
    """Return the modules that were imported from the folders of this program."""
    global _found
    folders = program_folders()
    present = (len(sys.modules), folders)
    if _found[0] != present:
        _found = (present, _scan(folders))
    return _found[1]


def _scan(folders: tuple[str, ...]) -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and isinstance(module, ModuleType)
        and module.__name__ == name
        and _local(module, folders)
    ]


def _local(module: ModuleType, folders: tuple[str, ...]) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and belongs(module.__name__, str(file), folders)

"""Runs one function: by an allowed name with JSON in and out, or as a payload from inside the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn

import cloudpickle

from helix_ray.execution.allow import Allow, NotAllowed, NotThere
from helix_ray.execution.assignment import Assignment, ErrorInfo, Outcome, Reason
from helix_ray.execution.carried_modules import withdraw
from helix_ray.execution.deadline import Deadline, Interrupted
from helix_ray.execution.failure import ArgumentsLost, describe, type_name
from helix_ray.execution.generators import ItemRefused, Yielding, listed, written, yields
from helix_ray.execution.item_file import ITEMS_BYTES_MAX, ItemWriter, items_path
from helix_ray.execution.jsonable import RESULT_BYTES_MAX, NotSerialisable, to_json
from helix_ray.execution.pickle_parts import Parts, in_parts
from helix_ray.execution.progress import Cancelled
from helix_ray.execution.result_pickle import result_pickle

_KEYS = {"kind", "function", "args", "kwargs", "timeout_s", "fresh"}


KEPT_BYTES_MIN = 8 * 1024 * 1024
"""Pickled results above it do not go through the socket to the node worker, in bytes."""

KEPT_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""Largest pickled result that a node worker keeps, in bytes."""

Keep = Callable[[str, int, Parts], None]


class BadCall(ValueError):
    """The run object is not a valid call; the message says which field and why."""


class FunctionRunner:
    """Runs functions on the thread that constructed `deadline`."""

    def __init__(
        self,
        allow: Allow,
        deadline: Deadline,
        result_bytes_max: int = RESULT_BYTES_MAX,
        keep: Keep | None = None,
        yield_bytes_max: int = ITEMS_BYTES_MAX,
    ) -> None:
        """`keep` hands a large result to the node worker, with the task's id and the attempt;
        `yield_bytes_max` bounds what a generator from inside the cluster yields."""
        self._yield_bytes_max = yield_bytes_max
        self._keep = keep
        self._allow = allow
        self._deadline = deadline
        self._result_bytes_max = result_bytes_max

    def run(self, assignment: Assignment) -> Outcome:
        """Return the outcome of the call; never raises the function's errors."""
        try:
            return self.guard(partial(self._call, assignment), assignment.timeout_s)
        finally:
            withdraw()

    def guard(self, call: Callable[[], Outcome], timeout_s: float | None) -> Outcome:
        """Return call(), or the outcome of its exception. It runs in a context of its own.

        Of a call that forks, this returns in the parent only: a child that comes back has nothing to say.
        """
        whole = partial(contextvars.copy_context().run, _in_parent_only, call)
        try:
            outcome: Outcome = self._deadline.call(whole, timeout_s)
        except BaseException as error:
            return self._failure(error, timeout_s)
        return outcome

    def _call(self, assignment: Assignment) -> Outcome:
        """Find the function, run it, and take its result apart: each may run the user's code."""
        payload = assignment.payload
        try:
            call = self._named(assignment.run) if payload is None else _unpickled(payload)
        except (NotAllowed, NotThere, BadCall) as error:
            reason: Reason = "not_allowed" if isinstance(error, NotAllowed) else "bad_spec"
            return Outcome(False, error=ErrorInfo(reason, type_name(error), str(error)))
        except ArgumentsLost as error:
            return Outcome(False, error=ErrorInfo("arguments_lost", type_name(error), str(error)))
        value = call()
        if yields(value):
            return self._items(assignment, value)
        try:
            return self._as_json(value) if payload is None else self._as_pickle(assignment, value)
        except NotSerialisable as error:
            return Outcome(False, error=ErrorInfo("not_serialisable", type_name(error), str(error)))
        except Exception as error:
            message = f"result: type {type(value).__qualname__} cannot be pickled: {error}"
            return Outcome(False, error=ErrorInfo("not_serialisable", type_name(error), message))

    def _named(self, run: Mapping[str, object]) -> Callable[[], Any]:
        if not run.keys() <= _KEYS:
            raise BadCall(f"unknown fields: {', '.join(sorted(run.keys() - _KEYS))}")
        name, args, kwargs = run.get("function"), run.get("args") or (), run.get("kwargs") or {}
        if not isinstance(name, str):
            raise BadCall('function must be a name in the form "pkg.mod:name"')
        if not isinstance(args, list | tuple):
            raise BadCall("args must be a list")
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
            raise BadCall("kwargs must be an object")
        return partial(_invoke, self._allow.resolve(name), args, kwargs)

    def _items(self, assignment: Assignment, generator: Yielding) -> Outcome:
        """Return the outcome of a function that yields, which runs only now."""
        try:
            if assignment.payload is None:
                return Outcome(True, listed(generator, self._result_bytes_max))
            path = items_path(assignment.log_dir, assignment.task_id, assignment.attempt)
            writer = ItemWriter(path, self._yield_bytes_max)
            written(generator, writer)
        except ItemRefused as error:
            return Outcome(False, error=ErrorInfo(error.reason, error.kind, str(error)))
        return Outcome(True, yielded=(writer.items, writer.written_bytes))

    def _as_json(self, value: Any) -> Outcome:
        return Outcome(True, to_json(value, self._result_bytes_max))

    def _as_pickle(self, assignment: Assignment, value: Any) -> Outcome:
        data = result_pickle(value)
        if self._keep is not None and KEPT_BYTES_MIN < len(data) <= KEPT_BYTES_MAX:
            self._keep(assignment.task_id, assignment.attempt, in_parts(partial(result_pickle, value)))
            return Outcome(True, kept_bytes=len(data))
        if len(data) > self._result_bytes_max:
            raise NotSerialisable(
                f"result: {len(data)} bytes of pickle; the limit is {self._result_bytes_max}"
            )
        return Outcome(True, None, data)

    def _failure(self, error: BaseException, timeout_s: float | None) -> Outcome:
        if isinstance(error, Cancelled):
            return Outcome(False, error=ErrorInfo("cancelled", "Cancelled", str(error)))
        if self._deadline.fired or isinstance(error, Interrupted):
            trace = describe(error).traceback
            return Outcome(
                False, error=ErrorInfo("timeout", "TimedOut", f"timed out after {timeout_s} s", trace)
            )
        return Outcome(False, error=describe(error))


def _in_parent_only(call: Callable[[], Outcome]) -> Outcome:
    """Return call(); a fork of this process that comes back from it ends as a script would."""
    caller = os.getpid()
    try:
        outcome = call()
    except BaseException as error:
        if os.getpid() != caller:
            _end_fork(error)
        raise
    if os.getpid() != caller:
        _end_fork(None)
    return outcome


def _end_fork(error: BaseException | None) -> NoReturn:
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _unpickled(payload: bytes) -> Callable[[], Any]:
    function, args, kwargs = cloudpickle.loads(payload)
    return partial(_invoke, getattr(function, "__helix_function__", function), args, kwargs)


def _invoke(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    value = function(*args, **kwargs)
    if type(value) is CoroutineType:
        return asyncio.run(value)
    return value

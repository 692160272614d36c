"""The messages between a node worker and its executors.

Node worker -> executor: `Run`, `Cancel`, `GiveBack`. Executor -> node worker: `Hello`, `Report`,
`Returned`. Every message is converted to a tuple of plain values (`to_plain`) and back (`from_plain`), so
that a frame never names a class.

What is built for each attempt is not frozen, because a frozen dataclass takes two to three times as long to
build; no code changes one that was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from helix_ray.core.model_records import ModelFiles

Reason: TypeAlias = Literal[
    "failed", "timeout", "cancelled", "memory", "lost", "not_allowed", "not_serialisable", "bad_spec",
    "items_full", "not_stored", "arguments_lost",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an attempt failed.

    `type` is the exception's qualified name, or a short word where there was no exception. `pickled` is the
    exception itself, only where it could be pickled and unpickled again.
    """

    reason: Reason
    type: str
    message: str
    traceback: str | None = None
    pickled: bytes | None = None


@dataclass(slots=True)
class Outcome:
    """The outcome of an attempt.

    `result` is a JSON value; `pickled` is the cloudpickled result of a function that came as a payload.
    `output_tail` is the last 4 KiB of a command's output. `log_bytes` counts all written output,
    including dropped parts. `kept_bytes` is the size of a large result, which the node worker has already.
    `yielded` is how many items of how many bytes a generator left in the attempt's item file. `blobs` are
    digests of files that it left in the node's folder of blobs: the head has them before this is reported.
    """

    ok: bool
    result: Any = None
    pickled: bytes | None = None
    error: ErrorInfo | None = None
    exit_code: int | None = None
    output_tail: str | None = None
    log_bytes: int = 0
    kept_bytes: int | None = None
    yielded: tuple[int, int] | None = None
    blobs: tuple[str, ...] = ()


@dataclass(slots=True)
class Assignment:
    """One attempt to run.

    `run` is the task's run object; `payload` is a cloudpickled (function, args, kwargs) and comes from inside
    the cluster only. `timeout_s` is in seconds; None waits for ever. `log_dir` is the folder of the attempt's
    log. `shard` is (index, count) of a shard of a larger task. `input_dirs` are the folders below which an
    inference may read files. Its code acts for `owner` in `project`, by a capability with this `mac`. `blobs`
    are digests of files that it needs: each is `blobs_dir / digest` on its node, verified and kept there
    until the attempt has ended. `model_files` says what those of the model are that an inference names.
    `traceparent` is what its code hands on (core/traceparent.py).
    """

    task_id: str
    attempt: int
    run: Mapping[str, object] = field(repr=False)
    timeout_s: float | None
    log_dir: str
    payload: bytes | None = field(default=None, repr=False)
    shard: tuple[int, int] | None = None
    input_dirs: tuple[str, ...] = ()
    owner: str = ""
    project: str | None = None
    mac: str = field(default="", repr=False)
    blobs: tuple[str, ...] = ()
    blobs_dir: str = ""
    model_files: ModelFiles | None = None
    traceparent: str | None = None

    @property
    def is_command(self) -> bool:
        """Say whether a starter runs it, and no executor."""
        return self.payload is None and self.run.get("kind") == "command"


@dataclass(slots=True)
class Started:
    """The attempt runs now: said of one with a time limit, which is watched from outside, and of a command
    that does not end before the report leaves."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """The progress of the running code in percent (0 to 100)."""

    task_id: str
    attempt: int
    percent: float
    note: str | None = None


@dataclass(slots=True)
class Finished:
    """The attempt has ended; times are epoch seconds by this host's clock.

    `spent` says why the executor must not run another attempt: it has begun none behind this one, and ends.
    """

    task_id: str
    attempt: int
    outcome: Outcome
    started_at: float
    ended_at: float
    spent: str | None = None
    may_still_run: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """The code waits for the tasks `on`, and needs no CPUs until `all` or `any` of them have ended, or until
    Unblocked (`unblocked`). A later one replaces it."""

    task_id: str
    attempt: int
    on: tuple[str, ...]
    until: str


@dataclass(frozen=True, slots=True)
class Unblocked:
    """The code waits for no task any more."""

    task_id: str
    attempt: int


ReportItem: TypeAlias = Started | Progressed | Blocked | Unblocked | Finished


def says_it_all(item: ReportItem, before: ReportItem) -> bool:
    """Say whether an item is the end of the attempt whose beginning the one before it says."""
    return (
        isinstance(item, Finished)
        and isinstance(before, Started)
        and item.task_id == before.task_id
        and item.attempt == before.attempt
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Run these attempts in this order, after those already queued."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel this attempt; one that has not started is answered at once, an unknown one is ignored."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give back attempts that have not started."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of an executor; `devices` are the variables that say which accelerators are its own."""

    executor_id: str
    pid: int
    devices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """The events since the last report, in order."""

    items: tuple[ReportItem, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """The (task_id, attempt) pairs that were queued and will not run here."""

    attempts: tuple[tuple[str, int], ...]


Message: TypeAlias = Run | Cancel | GiveBack | Hello | Report | Returned
Plain: TypeAlias = tuple[Any, ...]

_assignment = attrgetter(
    "task_id", "attempt", "run", "timeout_s", "log_dir", "payload", "shard", "input_dirs", "owner", "project",
    "mac", "blobs", "blobs_dir", "model_files", "traceparent",
)  # fmt: skip
_error = attrgetter("reason", "type", "message", "traceback", "pickled")


def _outcome(outcome: Outcome) -> Plain:
    error = None if outcome.error is None else _error(outcome.error)
    return (
        outcome.ok,
        outcome.result,
        outcome.pickled,
        error,
        outcome.exit_code,
        outcome.output_tail,
        outcome.log_bytes,
        outcome.kept_bytes,
        outcome.yielded,
        outcome.blobs,
    )


def _item(item: ReportItem) -> Plain:
    if isinstance(item, Finished):
        end = (item.started_at, item.ended_at, item.spent, item.may_still_run)
        return ("F", item.task_id, item.attempt, _outcome(item.outcome), *end)
    if isinstance(item, Started):
        return ("S", item.task_id, item.attempt)
    if isinstance(item, Blocked):
        return ("B", item.task_id, item.attempt, item.on, item.until)
    if isinstance(item, Unblocked):
        return ("U", item.task_id, item.attempt)
    return ("P", item.task_id, item.attempt, item.percent, item.note)


def _to_item(plain: Plain) -> ReportItem:
    if plain[0] == "F":
        _, task_id, attempt, outcome, started_at, ended_at, spent, may_still_run = plain
        return Finished(task_id, attempt, _to_outcome(outcome), started_at, ended_at, spent, may_still_run)
    return _SMALL_ITEMS[plain[0]](*plain[1:])


_SMALL_ITEMS: dict[str, Callable[..., ReportItem]] = {
    "S": Started, "P": Progressed, "B": Blocked, "U": Unblocked
}  # fmt: skip


def _to_outcome(plain: Plain) -> Outcome:
    ok, result, pickled, error, *rest = plain
    return Outcome(ok, result, pickled, error and ErrorInfo(*error), *rest)


def to_plain(message: Message) -> Plain:
    """Return the message as a tuple of plain values, its tag first."""
    match message:
        case Report():
            return ("report", *map(_item, message.items))
        case Run():
            return ("run", *map(_assignment, message.assignments))
        case Cancel():
            return ("cancel", message.task_id, message.attempt)
        case GiveBack():
            return ("give_back",)
        case Returned():
            return ("returned", *message.attempts)
        case Hello():
            return ("hello", message.executor_id, message.pid, message.devices)


_FROM: dict[str, Callable[[Plain], Message]] = {
    "report": lambda fields: Report(tuple(map(_to_item, fields))),
    "run": lambda fields: Run(tuple(Assignment(*plain) for plain in fields)),
    "cancel": lambda fields: Cancel(*fields),
    "give_back": lambda fields: GiveBack(),
    "returned": lambda fields: Returned(fields),
    "hello": lambda fields: Hello(*fields),
}


def from_plain(plain: Plain) -> Message:
    """Return the message that `to_plain` wrote; raises ValueError for an unknown tag or missing fields."""
    try:
        return _FROM[plain[0]](plain[1:])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"not a message: {str(plain)[:100]}") from error

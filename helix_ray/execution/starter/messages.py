"""What a node worker and its starter say to each other, in frames.

Node worker -> starter: `RunCommands`, `CancelCommand`, `AskBackCommands`, `CloseSlot`. Starter -> node
worker: `StarterReady` or `StarterRefused`, `SlotReport`, `SlotReturned`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import Any, TypeAlias

from helix_ray.execution.assignment import (
    Assignment,
    Plain,
    Report,
    ReportItem,
    Run,
    from_plain,
    to_plain,
)
from helix_ray.execution.starter.levels import CellSpec


@dataclass(frozen=True, slots=True)
class RunCommands:
    """Run these in this order in the slot's cell; `variables` are the slot's own, accelerators among them."""

    slot_id: str
    spec: CellSpec
    variables: dict[str, str]
    assignments: tuple[Assignment, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """End this attempt; one that is not started is reported at once, an unknown one is ignored."""

    slot_id: str
    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AskBackCommands:
    """Hand back what has not been started; `SlotReturned` follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class CloseSlot:
    """End the slot's cell with everything in it; nothing more is said about it."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class StarterReady:
    """First message of a starter: its process, what isolation is in force, why no stronger one, and where the
    folders of attempts are kept."""

    pid: int
    isolation: str
    why: str
    attempts: str


@dataclass(frozen=True, slots=True)
class StarterRefused:
    """The only message of a starter that does not start: the isolation that was asked for is not offered."""

    why: str


@dataclass(frozen=True, slots=True)
class SlotReport:
    """What happened in a slot since the last report, in order."""

    slot_id: str
    items: tuple[ReportItem, ...]


@dataclass(frozen=True, slots=True)
class SlotReturned:
    """The (task_id, attempt) pairs that were queued and will not run here."""

    slot_id: str
    attempts: tuple[tuple[str, int], ...]


Message: TypeAlias = (
    RunCommands
    | CancelCommand
    | AskBackCommands
    | CloseSlot
    | StarterReady
    | StarterRefused
    | SlotReport
    | SlotReturned
)


def to_frame(message: Message) -> Plain:
    """Return the message as a tuple of plain values, its tag first."""
    match message:
        case RunCommands():
            run = to_plain(Run(message.assignments))
            return ("run", message.slot_id, astuple(message.spec), message.variables, run)
        case SlotReport():
            return ("report", message.slot_id, to_plain(Report(message.items)))
        case SlotReturned():
            return ("returned", message.slot_id, *message.attempts)
        case CancelCommand():
            return ("cancel", message.slot_id, message.task_id, message.attempt)
        case AskBackCommands():
            return ("ask_back", message.slot_id)
        case CloseSlot():
            return ("close", message.slot_id)
        case StarterRefused():
            return ("refused", message.why)
        case StarterReady():
            return ("ready", message.pid, message.isolation, message.why, message.attempts)


def _run(fields: Plain) -> Message:
    slot_id, spec, variables, plain = fields
    run = from_plain(plain)
    assert isinstance(run, Run)
    return RunCommands(slot_id, CellSpec(*spec), variables, run.assignments)


def _report(fields: Plain) -> Message:
    report = from_plain(fields[1])
    assert isinstance(report, Report)
    return SlotReport(fields[0], report.items)


_FROM: dict[str, Callable[[Plain], Message]] = {
    "run": _run,
    "report": _report,
    "returned": lambda fields: SlotReturned(fields[0], fields[1:]),
    "cancel": lambda fields: CancelCommand(*fields),
    "ask_back": lambda fields: AskBackCommands(*fields),
    "close": lambda fields: CloseSlot(*fields),
    "refused": lambda fields: StarterRefused(*fields),
    "ready": lambda fields: StarterReady(*fields),
}


def from_frame(plain: Any) -> Message:
    """Return the message that `to_frame` wrote; raises ValueError for an unknown tag or missing fields."""
    try:
        return _FROM[plain[0]](plain[1:])
    except (KeyError, IndexError, TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"not a message: {str(plain)[:100]}") from error

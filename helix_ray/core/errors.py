"""Refusals as values, and the one exception that carries a refusal across a call stack.

Rejected            a value: a stable code, a sentence for people, details for programs
  +-- NotInMemory   the same, with the archived tasks that are needed for a decision
Exception
  +-- Refused       raised where a value cannot be returned (dependencies, clients); wraps a Rejected
  +-- IllegalMove   a fact that the lifecycle table forbids: a bug, never shown to a user
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Stable codes of errors; docs/api.md has the HTTP status of each."""

    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    CONFLICT = "CONFLICT"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An order or question that was refused; returned, not raised, so that it survives pickling."""

    code: ErrorCode
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotInMemory(Rejected):
    """A refusal because an order needs tasks that have left memory; the plane retries with their records.

    `task_ids` are those tasks; `causes` are tasks whose dependants are needed as well. The plane recalls both
    and sends the order again; without a history it is shown as a conflict.
    """

    task_ids: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


class Refused(Exception):
    """A Rejected as an exception; its constructor is positional so that it can be pickled."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected)
        self.rejected = rejected

    def __str__(self) -> str:
        return f"{self.rejected.code}: {self.rejected.message}{shown_details(self.rejected.details)}"


class IllegalMove(Exception):
    """A fact asks for a status change that the lifecycle table does not have."""


# Details that a person needs to put it right; those that end so are limits.
_SHOWN = (
    "field", "fields", "unknown", "allowed_values", "asked", "largest_node", "matches", "limit", "minimum",
    "minimum_above", "maximum", "min", "max", "retry_after_s",
)  # fmt: skip
_LIMITS = ("_max", "_min")
_SHOWN_VALUES_MAX = 20


def shown_details(details: Mapping[str, Any]) -> str:
    """Return what the details of a refusal add to its message: ` [field: cpu, largest_node: cpu=4]` or ""."""
    names = [name for name in _SHOWN if name in details]
    names += [name for name in details if name.endswith(_LIMITS)]
    shown = (
        f"{name}: {_shown_value(details[name])}" for name in names if details[name] not in (None, "", [], {})
    )
    text = ", ".join(shown)
    return f" [{text}]" if text else ""


def _shown_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_shown_value(each)}" for name, each in [*value.items()][:_SHOWN_VALUES_MAX])
    if isinstance(value, list | tuple):
        more = ", ..." if len(value) > _SHOWN_VALUES_MAX else ""
        return ", ".join(map(_shown_value, value[:_SHOWN_VALUES_MAX])) + more
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def invalid(message: str, **details: Any) -> Rejected:
    """Refuse bad input."""
    return Rejected(ErrorCode.VALIDATION_ERROR, message, details)


def conflict(message: str, **details: Any) -> Rejected:
    """Refuse an order that the current state does not allow."""
    return Rejected(ErrorCode.CONFLICT, message, details)


def not_found(what: str, identifier: str) -> Rejected:
    """Refuse an id that does not exist, or that the caller may not see: the answer is the same."""
    return Rejected(ErrorCode.NOT_FOUND, f"{what} not found", {"id": identifier})


def forbidden(message: str, **details: Any) -> Rejected:
    """Refuse an order that the principal's roles do not allow."""
    return Rejected(ErrorCode.FORBIDDEN, message, details)

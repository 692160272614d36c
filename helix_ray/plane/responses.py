"""Responses of the sources of what the master does not have: the history, the nodes, SyncDevices.

A source may be down, which is neither yes nor no. So its response is one of

    an answer           the source has it
    UNKNOWN             the source responds that no such thing exists
    SourceUnavailable   the source does not respond: the caller gets SERVICE_UNAVAILABLE
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias, TypeVar

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Recalled

RETRY_AFTER_S = 2

Who = Literal["history", "node", "sync", "files", "webhooks"]
WHERE: dict[Who, str] = {
    "history": "The task history",
    "files": "The store of files",
    "node": "The node that stores this task's logs and results",
    "sync": "The service of synced devices",
    "webhooks": "The delivery of webhooks",
}


class Unknown(Enum):
    """The type of UNKNOWN."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class SourceUnavailable:
    """The source does not respond at the moment: `who` names it, `why` may be shown to any caller."""

    who: Who
    why: str = ""

    def rejected(self) -> Rejected:
        """Return the refusal for the caller."""
        details: dict[str, object] = {"unavailable": self.who, "retry_after_s": RETRY_AFTER_S}
        message = f"{WHERE[self.who]} does not respond. Try again"
        return Rejected(
            ErrorCode.SERVICE_UNAVAILABLE, message, details | ({"reason": self.why} if self.why else {})
        )


T = TypeVar("T")
# What an actor returns: None means that no such thing exists.
Reply: TypeAlias = T | SourceUnavailable | None
# What the historian returns for an order about tasks that have left memory.
RecallReply = Recalled | SourceUnavailable
Response: TypeAlias = T | Unknown | SourceUnavailable


def response_of(reply: Reply[T]) -> Response[T]:
    """Return an actor's reply as one of the three cases."""
    return UNKNOWN if reply is None else reply


def as_answer(found: Response[T]) -> T | Rejected:
    """Return a response as an answer; the caller must have handled UNKNOWN before."""
    if isinstance(found, SourceUnavailable):
        return found.rejected()
    if isinstance(found, Unknown):
        raise TypeError("this source always has an answer")
    return found

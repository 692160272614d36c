"""What comes back from those who know what the master does not.

Whoever knows may be asked and not answer, which is neither yes nor no. So all that is asked
comes back as one of

    an answer       whoever knows has said it
    UNKNOWN         whoever knows has said that there is no such thing
    SourceUnavailable     whoever knows does not respond: the asker gets SERVICE_UNAVAILABLE, and nothing is concluded from it
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from helix_ray.core.answers import Answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Recalled

RETRY_AFTER_S = 2

Who = Literal["history", "node"]
WHERE: dict[Who, str] = {
    "history": "The task history",
    "node": "The node that stores this task's logs and results",
}


class Unknown(Enum):
    """The type of UNKNOWN."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class SourceUnavailable:
    """The source of an answer does not respond now: `who` says which one, `why` is safe
    to show to any caller."""

    who: Who
    why: str = ""

    def rejected(self) -> Rejected:
        """Return it as the refusal that an asker gets."""
        details: dict[str, Any] = {"unavailable": self.who, "retry_after_s": RETRY_AFTER_S}
        message = f"{WHERE[self.who]} does not respond. Try again"
        return Rejected(
            ErrorCode.SERVICE_UNAVAILABLE, message, details | ({"reason": self.why} if self.why else {})
        )


# What an actor returns: None says that it knows of no such thing.
Reply = dict[str, Any] | SourceUnavailable | None
# What the historian returns where orders are about tasks that have left memory.
RecallReply = Recalled | SourceUnavailable
Told = dict[str, Any] | Unknown | SourceUnavailable


def told(reply: Reply) -> Told:
    """Return an actor's reply by its three cases."""
    return UNKNOWN if reply is None else reply


def as_answer(found: Told) -> Answer:
    """Return what was told as an answer; UNKNOWN has to be dealt with before."""
    if isinstance(found, SourceUnavailable):
        return found.rejected()
    if isinstance(found, Unknown):
        raise TypeError("whoever keeps it always knows an answer")
    return found

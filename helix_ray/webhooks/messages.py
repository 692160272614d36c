"""What the outbox stores: messages, their tries, and where each webhook stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# States of a message.
WAITING, SENDING, DELIVERED, FAILED, DROPPED = range(5)
STATES = ("waiting", "sending", "delivered", "failed", "dropped")


class Match(NamedTuple):
    """A fact that a webhook wants."""

    seq: int
    event: str


class HookMessage(NamedTuple):
    """A message to send; `number` is None until its first try."""

    hook: str
    seq: int
    event: str
    number: int | None
    tries: int


class Try(NamedTuple):
    """How one try ended; `body` is the beginning of the response."""

    at: float
    number: int
    seconds: float
    status: int | None
    failure: str | None
    reason: str
    address: str | None = None
    headers: str = ""
    body: bytes = b""


class Settled(NamedTuple):
    """What became of a message; `due_at` where it waits again, `why` where it was dropped."""

    message: HookMessage
    state: int
    due_at: float = 0.0
    why: str | None = None
    made: Try | None = None


class Mark(NamedTuple):
    """Everything up to a seq is finished for a webhook; the next message gets the next number."""

    through: int
    number: int


Matches = Mapping[str, Sequence[Match]]


class Standing(NamedTuple):
    """Since when a webhook has had nothing but failures, and until when its receiver wants no request."""

    failing_since: float | None = None
    quiet_until: float = 0.0


NEW = Standing()
START = Mark(0, 0)


@dataclass(slots=True)
class HookPlace:
    """Where one webhook stands; `cursor` is None while it is level."""

    cursor: int | None
    number: int = 0
    held: int = 0
    standing: Standing = NEW
    waiting: int = 0
    # No message up to this seq waits for its first delivery, as far as somebody has looked.
    finished: int = 0
    # The seqs of the messages that are being sent.
    sending: set[int] = field(default_factory=set)

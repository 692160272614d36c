"""The plane's connections: a link to the master, and calls of other actors by name.

A link does not retry; a failed call ends in one of two ways.

    LinkLost      there is no connection, or it broke; the call may or may not have been carried out
    CallFailed    the other end raised an exception: a bug, so a retry does not help
"""

from __future__ import annotations

from typing import Any, Protocol, TypedDict


class LinkLost(ConnectionError):
    """The connection is gone; the call may or may not have been carried out."""


class CallFailed(Exception):
    """The other end raised an exception: a bug of ours, described in its log."""


class MasterInfo(TypedDict):
    """What a master says of itself: how far its journal is (None while it does not live), the socket for
    callers of its host ("": there is none), and its read board."""

    pid: int
    epoch: int | None
    seq: int | None
    socket: str
    board: str | None


class MasterLink(Protocol):
    """A connection to one process of the master."""

    @property
    def board(self) -> str | None:
        """The path of the master's read board (read_board.py); None where it cannot be mapped here."""
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the master. Raises LinkLost or CallFailed."""
        ...

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        ...


class Links(Protocol):
    """Connects this process to the actors."""

    async def master(self) -> MasterLink:
        """Connect to the master. Raises LinkLost where there is none."""
        ...

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Call a method of a named actor (names.py). Raises LinkLost or CallFailed."""
        ...

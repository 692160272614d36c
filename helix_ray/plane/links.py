"""What the plane needs of the world: a link to the master, and calls of other actors by name.

A link does not retry and has no patience of its own: it says in one of two ways what became of a call.

    LinkLost      the other end is not there, or went away; what was asked may or may not have been done
    CallFailed    the other end raised: a bug, and asking again would meet it again
"""

from __future__ import annotations

from typing import Any, Protocol


class LinkLost(ConnectionError):
    """The other end is gone; what was asked may or may not have been done."""


class CallFailed(Exception):
    """The other end failed on a call: a bug of ours, told in its log."""


class MasterLink(Protocol):
    """One connection to one life of the master."""

    @property
    def board(self) -> str | None:
        """Where the master's read board can be mapped from here (read_board.py); None where it cannot."""
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the master. Raises LinkLost or CallFailed."""
        ...

    def close(self) -> None:
        """Let go of it; safe to call twice."""
        ...


class Links(Protocol):
    """How this process reaches the actors."""

    async def master(self) -> MasterLink:
        """Connect to the master. Raises LinkLost where there is none."""
        ...

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Call a method of a named actor (names.py). Raises LinkLost or CallFailed."""
        ...

"""The origin and the outcome of an order, which stand in the header of every fact with its author.

A header is kept as long as the journal, even when the body is erased. So an origin is small, and values
that are too long are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from helix_ray.core.compact import compact

ADDRESS_CHARS_MAX = 64
CREDENTIAL_CHARS_MAX = 64
USER_AGENT_CHARS_MAX = 160

# The outcome of an order: carried out, or refused and recorded.
Outcome = Literal["ok", "refused"]
OK: Final = "ok"
REFUSED: Final = "refused"


@compact
@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an order. Each part may be empty; all are for orders from inside the cluster.

    `address` is the client's (an IPv4 address, an IPv6 /64), `credential` the id of the session or API token
    (`TASK#ATTEMPT` for code of an attempt), `user_agent` the name that the client sent.
    """

    address: str = ""
    credential: str = ""
    user_agent: str = ""

    def __post_init__(self) -> None:
        for name, chars_max in _CHARS_MAX:
            text = getattr(self, name)
            if len(text) > chars_max or not text.isprintable():
                object.__setattr__(self, name, printable(text[:chars_max]))


def printable(text: str) -> str:
    """Return a client's text with "?" for control characters and for bytes that are not UTF-8."""
    return "".join(character if character.isprintable() else "?" for character in text)


_CHARS_MAX: Final = (
    ("address", ADDRESS_CHARS_MAX),
    ("credential", CREDENTIAL_CHARS_MAX),
    ("user_agent", USER_AGENT_CHARS_MAX),
)

NOWHERE = Origin()

"""Where an order came from, and how it ended: what the header of every fact says beside its author.

A header is kept for as long as the journal is, also where the body is erased. So an origin is small and
bounded, and what is too long for it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from helix_ray.core.compact import compact

ADDRESS_CHARS_MAX = 64
CREDENTIAL_CHARS_MAX = 64
USER_AGENT_CHARS_MAX = 160

# How an order ended: it was carried out, or it was refused and the refusal is on record.
Outcome = Literal["ok", "refused"]
OK: Final = "ok"
REFUSED: Final = "refused"


@compact
@dataclass(frozen=True, slots=True)
class Origin:
    """Where an order came from. Each part may be empty, and all are for what comes from inside the cluster.

    `address` is the client's as the edge keys it (an IPv4 address, an IPv6 /64), `credential` the id of the
    session or API token that was used, `user_agent` what the client calls itself.
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
    """Return text from outside with "?" for what a terminal obeys and what is no UTF-8."""
    return "".join(character if character.isprintable() else "?" for character in text)


_CHARS_MAX: Final = (
    ("address", ADDRESS_CHARS_MAX),
    ("credential", CREDENTIAL_CHARS_MAX),
    ("user_agent", USER_AGENT_CHARS_MAX),
)

NOWHERE = Origin()

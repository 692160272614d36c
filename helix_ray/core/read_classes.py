"""Classes of sensitive data, whose reads a policy has recorded in the audit.

audit       records of the audit: always recorded
tasks       a task with its arguments
results     results, and what was yielded
logs        output of attempts
documents   documents of devices, and their conflicts
users       accounts
sessions    open sessions
tokens      API tokens, without their secrets
webhooks    webhooks, without their secrets, and what was delivered
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

ReadClass = Literal[
    "audit", "tasks", "results", "logs", "documents", "users", "sessions", "tokens", "webhooks"
]
READ_CLASSES: Final[tuple[ReadClass, ...]] = get_args(ReadClass)
ALWAYS: Final[frozenset[ReadClass]] = frozenset({"audit"})
EVERY_CLASS: Final = "all"


def recorded(names: Iterable[str]) -> frozenset[ReadClass]:
    """Return the classes whose reads are recorded by a policy. Raises ValueError."""
    wanted = set(names)
    if EVERY_CLASS in wanted:
        return frozenset(READ_CLASSES)
    if unknown := sorted(wanted.difference(READ_CLASSES)):
        raise ValueError(f"{unknown[0]} is not a class of reads: {', '.join((*READ_CLASSES, EVERY_CLASS))}")
    return ALWAYS.union(name for name in READ_CLASSES if name in wanted)

"""The leases that external workers have had on a task, and how each ended: what tells a late
report from a present one.

A worker whose lease ended may not know yet. What it still says must not count for whoever has the task
now, who may well be another worker of the same user. So a task remembers its newest leases; what it forgot
is answered without a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

LEASES_REMEMBERED = 8

# How a lease ended, as refusals of late reports say it. "returned": its worker gave the task back, and says
# no more of it.
LEASE_EXPIRED: Final = "lease_expired"
CANCELLED: Final = "cancelled"
REPORTED: Final = "reported"
RETURNED: Final = "returned"
# What ends an attempt without its worker, by the reason in the task's error; a deadline or timeout goes
# by its own name.
_OF_REASON: Final = {"lost": LEASE_EXPIRED, "timeout": "timeout", "deadline": "deadline"}
_OF_CAUSE: Final = {"lost": LEASE_EXPIRED, "retry": REPORTED, "returned": RETURNED}


class Lease(NamedTuple):
    """An attempt that an external worker of `owner` was given; `ended` is empty while it runs."""

    attempt: int
    worker: str
    owner: str
    ended: str = ""


def begin(leases: Sequence[Lease], lease: Lease) -> list[Lease]:
    """Return the leases with one more, without the oldest where there are too many."""
    return [*leases, lease][-LEASES_REMEMBERED:]


def end(leases: Sequence[Lease], how: str) -> list[Lease]:
    """Return the leases with the one that runs ended."""
    return [lease if lease.ended else lease._replace(ended=how) for lease in leases]


def ended_by_requeue(cause: str) -> str:
    """Return how a lease ended whose task was queued again."""
    return _OF_CAUSE.get(cause, cause)


def ended_by_end(status: str, error: Mapping[str, Any] | None) -> str:
    """Return how the last attempt of a task ended, by the task's status and error."""
    if status == CANCELLED:
        return CANCELLED
    return _OF_REASON.get(str((error or {}).get("reason")), REPORTED)

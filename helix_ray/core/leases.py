"""The leases of external workers on a task, and how each ended: they distinguish late
reports from current ones.

A worker may not know yet that its lease has ended. Its reports must not count for the worker that has the
task now, perhaps of the same user. So a task remembers its newest leases; a report about a forgotten one is
refused without a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

LEASES_REMEMBERED = 8

# How a lease ended, as in refusals of late reports. "returned": its worker gave the task back.
LEASE_EXPIRED: Final = "lease_expired"
CANCELLED: Final = "cancelled"
REPORTED: Final = "reported"
RETURNED: Final = "returned"
# Endings that do not come from the worker, by the reason in the task's error; a deadline or
# timeout keeps its name.
_OF_REASON: Final = {"lost": LEASE_EXPIRED, "timeout": "timeout", "deadline": "deadline"}
_OF_CAUSE: Final = {"lost": LEASE_EXPIRED, "retry": REPORTED, "returned": RETURNED}


class Lease(NamedTuple):
    """An attempt that was assigned to an external worker of `owner`; `ended` is empty while it runs."""

    attempt: int
    worker: str
    owner: str
    ended: str = ""


def begin(leases: Sequence[Lease], lease: Lease) -> tuple[Lease, ...]:
    """Return the leases with a new one, without the oldest where there are too many."""
    return (*leases, lease)[-LEASES_REMEMBERED:]


def end(leases: Sequence[Lease], how: str) -> tuple[Lease, ...]:
    """Return the leases with the open one ended."""
    return tuple(lease if lease.ended else lease._replace(ended=how) for lease in leases)


def ended_by_requeue(cause: str) -> str:
    """Return how the lease of a task that was queued again ended."""
    return _OF_CAUSE.get(cause, cause)


def ended_by_end(status: str, error: Mapping[str, Any] | None) -> str:
    """Return how the last lease of a task ended, by the task's status and error."""
    if status == CANCELLED:
        return CANCELLED
    return _OF_REASON.get(str((error or {}).get("reason")), REPORTED)

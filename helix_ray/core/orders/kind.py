"""What is known of every kind of order, beside who may give it (core/access.py)."""

from __future__ import annotations

from typing import ClassVar, Literal

from helix_ray.core.access import Verb

# How much of a task an order brings: what a listing shows of it; its record; its record with what it runs, and those
# of its shards and of what it depends on, so that it may be queued again.
Detail = Literal["line", "record", "run"]
RefusalKind = Literal["login", "token", "forbidden", "late_report"]


class OrderKind(Verb):
    """A kind of order; what has no default here is said by each kind, and a test reminds of it."""

    __slots__ = ()

    # The master's answer can be lost after it has carried an order out. One that is sent again then is
    # recognised by a key of ours that the state keeps with the receipt; False only where it is recognised by
    # what it says itself.
    needs_key: ClassVar[bool]
    # Whether it may use the last room on the disk up: somebody must be able to log in and look, and
    # to end a session.
    vital: ClassVar[bool] = False
    # How much it has to know of tasks that have left memory.
    recalled_as: ClassVar[Detail] = "record"
    # As what a refusal because of the present state (CONFLICT) is kept for the audit; None:
    # it is not (core/refusals.py).
    conflict_kept_as: ClassVar[RefusalKind | None] = None

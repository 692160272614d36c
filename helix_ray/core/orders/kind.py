"""The properties of every kind of order, besides its roles (core/access.py), and what its receipt says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypedDict, TypeVar

from helix_ray.core.access import Verb

if TYPE_CHECKING:
    from helix_ray.core.state import State

# How much of a task an order brings: what a listing shows of it; its record; its record with what it runs,
# and those of its shards and of what it depends on, so that it may be queued again.
Detail = Literal["line", "record", "run"]
RefusalKind = Literal["login", "token", "forbidden", "late_report"]


Data = TypeVar("Data", bound=Mapping[str, object])
Data_co = TypeVar("Data_co", bound=Mapping[str, object], covariant=True)


class NoData(TypedDict):
    """The data of a receipt that says only that the order was carried out."""


class IdData(TypedDict):
    """The id of what an order created or changed."""

    id: str


class OrderKind(Verb, Generic[Data_co]):
    """A kind of order; `Data_co` is the data of its receipt.

    Each kind must set the properties without a default; a test checks that.
    """

    __slots__ = ()

    # The master's response can be lost after it has carried out an order. The resent order is then
    # recognised by a key of ours, which the state stores with the receipt; False only where its content is
    # enough to recognise it.
    needs_key: ClassVar[bool]
    # Whether it may use the reserved disk space: an operator must be able to log in, and to end sessions.
    vital: ClassVar[bool] = False
    # How much it has to know of tasks that have left memory.
    recalled_as: ClassVar[Detail] = "record"
    # The audit kind of refusals with CONFLICT; None: they are not recorded (core/refusals.py).
    conflict_kept_as: ClassVar[RefusalKind | None] = None

    def work(self) -> int:
        """Return how much work it is without the state, in tasks (core/weight.py)."""
        return 1

    def work_in(self, state: State) -> int:
        """Return the same with the state, which knows what else ends with a task or a worker."""
        return self.work()

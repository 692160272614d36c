"""The cluster of the last `connect`, to which decorated functions are submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from helix_ray.cluster.errors import ClusterUnavailable

if TYPE_CHECKING:
    from helix_ray.cluster.handles import Handle
    from helix_ray.cluster.inferring import Inferred


class Taker(Protocol):
    """The part of a Cluster that a decorated function needs."""

    def submit(
        self, function: Callable[..., Any], *args: Any, kwargs: Mapping[str, Any] | None = None
    ) -> Handle:
        """Run a function."""
        ...

    def map(self, function: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """Run a function for every item."""
        ...

    @property
    def infer(self) -> Callable[..., Inferred]:
        """Run a model, and return arrays."""
        ...


_open: list[Taker] = []


def opened(cluster: Taker) -> None:
    """Record an opened connection."""
    _open.append(cluster)


def closed(cluster: Taker) -> None:
    """Remove a closed connection; safe to call twice."""
    if cluster in _open:
        _open.remove(cluster)


def connected() -> Taker:
    """Return the cluster of the latest open connection; raises ClusterUnavailable when there is none."""
    if not _open:
        raise ClusterUnavailable("not connected: call helix_ray.connect() first")
    return _open[-1]

"""@helix_ray.function: a function that can be submitted to the cluster and still be called locally."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from helix_ray.cluster.current import connected
from helix_ray.cluster.options import Options

if TYPE_CHECKING:
    from helix_ray.cluster.handles import Handle

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """A function with the options of its tasks."""

    def __init__(self, inner: Callable[P, R], options: Options) -> None:
        update_wrapper(self, inner)
        self.__helix_function__ = inner
        self.task_options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it in this process."""
        return self.__helix_function__(*args, **kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Handle:
        """Submit it to the cluster of the last `connect`; the task is durable when this returns."""
        return connected().submit(self, *args, kwargs=kwargs)

    def map(self, *iterables: Iterable[Any]) -> Iterator[R]:
        """Run it for every item and iterate over the values in order, as Cluster.map does."""
        return connected().map(self, *iterables)

    def options(self, **options: Unpack[Options]) -> Function[P, R]:
        """Return the same function with additional options for its tasks."""
        return Function(self.__helix_function__, {**self.task_options, **options})

    def __repr__(self) -> str:
        return f"<helix_ray.function {self.__helix_function__!r}>"


@overload
def function(inner: Callable[P, R], /) -> Function[P, R]: ...
@overload
def function(**options: Unpack[Options]) -> Callable[[Callable[P, R]], Function[P, R]]: ...
def function(
    inner: Callable[..., Any] | None = None, /, **options: Unpack[Options]
) -> Function[..., Any] | Callable[[Callable[..., Any]], Function[..., Any]]:
    """Decorate a function: `@function` or `@function(cpu=2, max_retries=3)`; Options lists the arguments."""
    if inner is not None:
        return Function(inner, options)
    return lambda given: Function(given, options)


def options_of(function: Callable[..., Any]) -> Options:
    """Return the options that a function was decorated with."""
    return cast(Options, getattr(function, "task_options", {}))

"""Can what concurrent clients saw be put into one order? (Wing and Gong's search, with the
memory that Lowe added.)

Every operation took effect at one moment between its beginning and its answer. One without an answer (a
broken connection, a refusal that says nothing) took effect at some moment after its beginning and before its
end, which may never come, or not at all. A history is linearizable when there is an order that keeps all of
that and in which each answer is the one that the model gives.

The search tries, among what may come next, each operation whose answer fits; a pair of (what is left, state)
that has failed once is not tried again. A read that fits is taken at once, and nothing else tried: it changes
nothing, so whatever order there is with the read later is an order with the read now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

S = TypeVar("S", bound=Hashable)

STATES_MAX = 300_000


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client asked, in seconds of one clock; `answer` is None where none came, and
    `ended` then mostly inf."""

    kind: str
    argument: Any
    began: float
    ended: float
    answer: str | None
    door: str = ""


# Gives (answer, next state) for every way in which an operation may go in a state; none
# where it cannot happen.
Step = Callable[[S, Operation], Iterable[tuple[str, S]]]


class TooManyStates(Exception):
    """The search was given up: the history is too long, or too much of it overlaps."""


def stuck_at(
    operations: Sequence[Operation], initial: S, step: Step[S], reads: Collection[str] = ()
) -> list[Operation] | None:
    """Return None for a linearizable history; else the longest order that was found,
    which nothing can follow.

    `reads` are the kinds of operations that never change a state.
    """
    ordered = sorted(operations, key=lambda each: each.began)
    needed = sum(1 << i for i, each in enumerate(ordered) if each.answer is not None)
    seen: set[tuple[int, S]] = set()
    longest: list[Operation] = []
    # Depth first: what is left, the state, and the order that led there.
    open_: list[tuple[int, S, tuple[Operation, ...]]] = [((1 << len(ordered)) - 1, initial, ())]
    while open_:
        left, state, so_far = open_.pop()
        if not left & needed:
            return None
        if (left, state) in seen:
            continue
        seen.add((left, state))
        if len(seen) > STATES_MAX:
            raise TooManyStates(f"{len(ordered)} operations")
        if len(so_far) > len(longest):
            longest = list(so_far)
        for i, after in _next(ordered, left, state, step, reads):
            open_.append((left & ~(1 << i), after, (*so_far, ordered[i])))
    return longest


def _next(
    ordered: Sequence[Operation], left: int, state: S, step: Step[S], reads: Collection[str]
) -> list[tuple[int, S]]:
    """Return what may happen now, and the state after it."""
    found: list[tuple[int, S]] = []
    for i in _may_be_next(ordered, left):
        each = ordered[i]
        for answer, after in step(state, each):
            if each.answer is None:
                # One that changes nothing is as if it had never happened.
                found += [(i, after)] if after != state else []
            elif each.answer == answer:
                if each.kind in reads:
                    return [(i, after)]
                found.append((i, after))
    return found


def _may_be_next(ordered: Sequence[Operation], left: int) -> list[int]:
    """Return what began before anything that has to come was answered, and has not
    ended before what came began."""
    indices = [i for i in range(len(ordered)) if left >> i & 1]
    first_end = min((ordered[i].ended for i in indices if ordered[i].answer is not None), default=inf)
    latest = max((ordered[i].began for i in range(len(ordered)) if not left >> i & 1), default=-inf)
    return [i for i in indices if ordered[i].began <= first_end and ordered[i].ended >= latest]

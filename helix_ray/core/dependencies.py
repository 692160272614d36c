"""Dependencies of tasks that come in together: `depends_on` names known tasks, or `#3` for number 3 of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.lifecycle import Status
from helix_ray.core.state import State, Task

# For each spec: the ids it waits for, or why it is refused.
Resolved = list[list[str] | Rejected]
# Longer `#` references than any batch has tasks for.
BATCH_DIGITS_MAX = 9


def resolve(
    state: State,
    specs: Sequence[dict[str, Any]],
    ids: Sequence[str],
    may_name: Callable[[Task], bool],
    refused: Sequence[Rejected | None],
    settled: Set[str] = frozenset(),
) -> Resolved:
    """Return what each spec waits for. Unknown ids, failed tasks and cycles refuse the spec, and so does a
    dependency on a refused spec; `refused` holds what is refused already. Tasks that the asker `may_name` not
    count as unknown. `settled` names completed tasks that are not in the state any more."""
    resolved: Resolved = [
        refusal
        if refusal is not None
        else _known(state, _unsettled(spec, state, settled), len(ids), may_name)
        for spec, refusal in zip(specs, refused, strict=True)
    ]
    inner = {
        i: siblings
        for i, spec in enumerate(specs)
        if not isinstance(resolved[i], Rejected) and (siblings := _siblings(spec))
    }
    users: dict[int, list[int]] = {}
    for i, js in inner.items():
        for j in js:
            users.setdefault(j, []).append(i)
    for i in _in_cycles(inner, users):
        resolved[i] = invalid("Dependencies form a cycle", field="depends_on")
    _spread_refusals(resolved, users)
    for i, siblings in inner.items():
        waits = resolved[i]
        if not isinstance(waits, Rejected):
            waits.extend(ids[j] for j in siblings)
    return resolved


def with_ids(spec: dict[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """Return a spec whose `#i` references are the ids they stand for."""
    names = [ids[i] if (i := _number(name)) is not None else name for name in spec.get("depends_on") or ()]
    return {**spec, "depends_on": list(dict.fromkeys(names))}


def _number(name: str) -> int | None:
    """Return the batch number that a name refers to, None for an id; -1 for a `#` without a sensible number."""
    if name[:1] != "#":
        return None
    digits = name[1:]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= BATCH_DIGITS_MAX else -1


def _siblings(spec: dict[str, Any]) -> list[int]:
    numbers = (_number(name) for name in spec.get("depends_on") or ())
    return list(dict.fromkeys(i for i in numbers if i is not None))


def _unsettled(spec: dict[str, Any], state: State, settled: Set[str]) -> list[str]:
    return [name for name in spec.get("depends_on") or () if name in state.tasks or name not in settled]


def _known(
    state: State, names: Sequence[str], count: int, may_name: Callable[[Task], bool]
) -> list[str] | Rejected:
    waits: list[str] = []
    for name in dict.fromkeys(names):
        number = _number(name)
        if number is not None:
            if not 0 <= number < count:
                return invalid(f"Unknown dependency {name}", field="depends_on", unknown=[name])
            continue
        task = state.tasks.get(name)
        if task is None or not may_name(task):
            return invalid(f"Unknown dependency {name}", field="depends_on", unknown=[name])
        if task.status in (Status.FAILED, Status.CANCELLED):
            return conflict(
                f"Dependency {name} is {task.status}", field="depends_on", id=name, status=task.status
            )
        if task.status is not Status.COMPLETED:
            waits.append(name)
    return waits


def _in_cycles(edges: dict[int, list[int]], users: dict[int, list[int]]) -> set[int]:
    """Return the specs that cannot be ordered: those left when specs without unmet siblings are taken away."""
    left = {i: set(js) for i, js in edges.items()}
    free = [j for j in users if j not in left]
    while free:
        done = free.pop()
        for i in users.get(done, ()):
            left[i].discard(done)
            if not left[i]:
                del left[i]
                free.append(i)
    return set(left)


def _spread_refusals(resolved: Resolved, users: dict[int, list[int]]) -> None:
    bad = [i for i, waits in enumerate(resolved) if isinstance(waits, Rejected)]
    while bad:
        cause = bad.pop()
        for i in users.get(cause, ()):
            if not isinstance(resolved[i], Rejected):
                message = f"Dependency #{cause} was refused"
                resolved[i] = invalid(message, field="depends_on", unknown=[f"#{cause}"])
                bad.append(i)

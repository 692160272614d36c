"""Dependencies of tasks that come in together: `depends_on` names known tasks, or `#3` for number 3 of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.lifecycle import Status
from helix_ray.core.state import State

# For each spec: the ids it waits for, or why it is refused.
Resolved = list[list[str] | Rejected]


def resolve(state: State, specs: Sequence[dict[str, Any]], ids: Sequence[str], owner: str | None) -> Resolved:
    """Return what each spec waits for. Unknown ids, failed tasks and cycles refuse the spec, and so does a
    dependency on a refused spec. With `owner`, tasks of other owners count as unknown."""
    resolved: Resolved = [_known(state, spec.get("depends_on") or (), len(ids), owner) for spec in specs]
    inner = {i: _siblings(spec) for i, spec in enumerate(specs) if _siblings(spec)}
    for i in _in_cycles(inner):
        resolved[i] = invalid("Dependencies form a cycle", field="depends_on")
    _spread_refusals(resolved, inner)
    for i, siblings in inner.items():
        waits = resolved[i]
        if not isinstance(waits, Rejected):
            waits.extend(ids[j] for j in siblings)
    return resolved


def _siblings(spec: dict[str, Any]) -> list[int]:
    return [int(name[1:]) for name in spec.get("depends_on") or () if name[:1] == "#" and name[1:].isdigit()]


def _known(state: State, names: Sequence[str], count: int, owner: str | None) -> list[str] | Rejected:
    waits: list[str] = []
    for name in dict.fromkeys(names):
        if name[:1] == "#":
            if not name[1:].isdigit() or int(name[1:]) >= count:
                return invalid(f"Unknown dependency {name}", field="depends_on", unknown=[name])
            continue
        task = state.tasks.get(name)
        if task is None or (owner is not None and task.owner != owner):
            return invalid(f"Unknown dependency {name}", field="depends_on", unknown=[name])
        if task.status in (Status.FAILED, Status.CANCELLED):
            return conflict(
                f"Dependency {name} is {task.status}", field="depends_on", id=name, status=task.status
            )
        if task.status is not Status.COMPLETED:
            waits.append(name)
    return waits


def _in_cycles(edges: dict[int, list[int]]) -> set[int]:
    """Return the specs that cannot be ordered: those left when specs without unmet siblings are taken away."""
    left = {i: set(js) for i, js in edges.items()}
    users: dict[int, list[int]] = {}
    for i, js in edges.items():
        for j in js:
            users.setdefault(j, []).append(i)
    free = [j for j in users if j not in left]
    while free:
        done = free.pop()
        for i in users.get(done, ()):
            left[i].discard(done)
            if not left[i]:
                del left[i]
                free.append(i)
    return set(left)


def _spread_refusals(resolved: Resolved, edges: dict[int, list[int]]) -> None:
    changed = True
    while changed:
        changed = False
        for i, js in edges.items():
            if isinstance(resolved[i], Rejected):
                continue
            bad = next((j for j in js if isinstance(resolved[j], Rejected)), None)
            if bad is not None:
                resolved[i] = invalid(
                    f"Dependency #{bad} was refused", field="depends_on", unknown=[f"#{bad}"]
                )
                changed = True

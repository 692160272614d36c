"""Resolves the dependencies of a batch: `depends_on` names existing tasks, or `#3`
for number 3 of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.lifecycle import Status
from helix_ray.core.specs import TaskSpec
from helix_ray.core.state import State, Task

# For each spec: the ids for which it waits, or its refusal.
Resolved = list[list[str] | Rejected]
# Longer `#` references than any batch needs.
BATCH_DIGITS_MAX = 9
NAMES_SHARED_MAX = 16_384


def resolve(
    state: State,
    specs: Sequence[TaskSpec],
    ids: Sequence[str],
    task_of: Callable[[str], Task | None],
    may_name: Callable[[Task], bool],
    refused: Sequence[Rejected | None],
    dependents_max: int,
) -> Resolved:
    """Return what each spec waits for. Unknown ids, failed tasks and cycles refuse the spec, and so does a
    dependency on a refused spec; `refused` holds what is refused already. Tasks that the asker `may_name` not
    count as unknown; `task_of` knows tasks of memory and of the history. A task for which `dependents_max`
    others wait takes no more of them."""
    resolved: Resolved = []
    inner: dict[int, list[int]] = {}
    for i, (spec, refusal) in enumerate(zip(specs, refused, strict=True)):
        names = spec.get("depends_on")
        if refusal is not None or not names:
            resolved.append(refusal if refusal is not None else [])
            continue
        siblings, others = _split(names)
        waits = _unknown_sibling(siblings, len(ids)) or _known(
            state, others, task_of, may_name, dependents_max
        )
        resolved.append(waits)
        if siblings and not isinstance(waits, Rejected):
            inner[i] = list(siblings)
    users: dict[int, list[int]] = {}
    for i, js in inner.items():
        for j in js:
            users.setdefault(j, []).append(i)
    for i in _in_cycles(inner, users):
        resolved[i] = invalid("The dependencies form a cycle", field="depends_on")
    _spread_refusals(resolved, users)
    for i, numbers in inner.items():
        waits = resolved[i]
        if not isinstance(waits, Rejected):
            waits.extend(ids[j] for j in numbers)
    return resolved


def with_ids(spec: TaskSpec, ids: Sequence[str]) -> TaskSpec:
    """Return a spec with ids in place of its `#i` references."""
    names = spec.get("depends_on") or ()
    known = [name if (i := _number(name)) is None else ids[i] for name in names]
    return {**spec, "depends_on": known if len(known) < 2 else list(dict.fromkeys(known))}


def _number(name: str) -> int | None:
    """Return the batch number that a name refers to, None for an id; -1 for a `#` without a valid number."""
    return _number_of(name) if name[:1] == "#" else None


# A batch mostly refers to a few names, each more than once.
@lru_cache(maxsize=NAMES_SHARED_MAX)
def _number_of(name: str) -> int:
    digits = name[1:]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= BATCH_DIGITS_MAX else -1


def _split(names: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    """Return the batch numbers with their original text, and the ids; each once."""
    siblings: dict[int, str] = {}
    others: dict[str, None] = {}
    for name in names:
        number = _number(name)
        if number is None:
            others[name] = None
        else:
            siblings.setdefault(number, name)
    return siblings, [*others]


def _unknown_sibling(siblings: dict[int, str], count: int) -> Rejected | None:
    for number, name in siblings.items():
        if not 0 <= number < count:
            return unknown_dependency(name)
    return None


def unknown_dependency(name: str) -> Rejected:
    """Refuse a dependency that does not exist, or that the asker may not see."""
    return invalid(f"Unknown dependency {name}", field="depends_on", unknown=[name])


def _known(
    state: State,
    names: Sequence[str],
    task_of: Callable[[str], Task | None],
    may_name: Callable[[Task], bool],
    dependents_max: int,
) -> list[str] | Rejected:
    waits: list[str] = []
    for name in names:
        task = task_of(name)
        if task is None or not may_name(task):
            return unknown_dependency(name)
        status = task.status
        if status in (Status.FAILED, Status.CANCELLED):
            return conflict(f"Dependency {name} is {status}", field="depends_on", id=name, status=status)
        if len(state.dependents.get(name, ())) >= dependents_max:
            return conflict(
                f"Too many tasks depend on {name}", field="depends_on", id=name, dependents_max=dependents_max
            )
        if task.status is not Status.COMPLETED:
            waits.append(name)
    return waits


def _in_cycles(edges: dict[int, list[int]], users: dict[int, list[int]]) -> set[int]:
    """Return the specs that cannot be ordered: those left when specs without
    unmet siblings are taken away."""
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
                message = f"Dependency #{cause} was rejected"
                resolved[i] = invalid(message, field="depends_on", unknown=[f"#{cause}"])
                bad.append(i)

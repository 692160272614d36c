"""Folds facts about erasures, and erased facts.

Only facts about objects that have left the state are erased, and only those that a snapshot covers, so a
start from that snapshot never meets one. But a journal that is folded from its beginning has them (after an
update to another FOLD_VERSION). Then

    an object whose first fact is erased   is absent; its remaining facts are ignored
    effects of its facts on others         remain: its dependents continue, members of projects are removed
    counts                                 are too low: archived tasks, durations, a worker's totals

So the state is that of a journal that never had the object, even after a kill between the erasures of one
request.
"""

from __future__ import annotations

from collections.abc import Callable

from helix_ray.core import events as ev
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.devices import end_devices
from helix_ray.core.evolve.sessions import end_sessions
from helix_ray.core.evolve.standing import doom, end_blocks_on
from helix_ray.core.evolve.tokens import end_tokens
from helix_ray.core.evolve.webhooks import end_webhooks
from helix_ray.core.state import State

# Completed erasures that are kept in the state; the journal has all of them.
ERASURES_REMEMBERED = 1_000
# A node that missed more of them removes their logs by age (HELIX_LOG_KEEP_S).
ERASED_TASKS_REMEMBERED = 20_000

_BEGINNINGS = frozenset({
    "TaskSubmitted", "WorkerRegistered", "UserCreated", "SessionOpened", "TokenCreated", "WebhookCreated",
    "DeviceEnrolled",
})  # fmt: skip
_ENDS = frozenset({
    "TaskDeleted", "WorkerRetired", "UserRemoved", "SessionClosed", "TokenRevoked", "WebhookDeleted",
    "DeviceRevoked",
})  # fmt: skip


def _requested(state: State, event: ev.ErasureRequested, fact: ev.Fact) -> None:
    state.erasures[event.id] = Erasure(
        id=event.id,
        tasks=event.tasks,
        users=event.users,
        reason=event.reason,
        seq=fact.seq,
        by=fact.actor,
        request_id=fact.request_id,
        requested_at=fact.at,
    )
    for shelf in (state.client_receipts, state.internal_receipts):
        for key in [
            key for key in shelf if event.users and key.startswith(tuple(f"{u}:" for u in event.users))
        ]:
            del shelf[key]
    while len(state.erasures) > ERASURES_REMEMBERED:
        oldest = next((e.id for e in state.erasures.values() if e.completed_at is not None), None)
        if oldest is None:
            return
        del state.erasures[oldest]


def _facts_erased(state: State, event: ev.FactsErased, fact: ev.Fact) -> None:
    for task_id in event.tasks:
        state.erased_tasks[task_id] = fact.seq
        state.erased_tasks.move_to_end(task_id)
    while len(state.erased_tasks) > ERASED_TASKS_REMEMBERED:
        state.erased_tasks.popitem(last=False)
    # All their facts come before this one.
    state.absent.difference_update(event.tasks, event.others)
    erasure = state.erasures.get(event.erasure)
    if erasure is not None:
        erasure.facts += len(event.seqs)


def _completed(state: State, event: ev.ErasureCompleted, fact: ev.Fact) -> None:
    erasure = state.erasures[event.id]
    erasure.kept, erasure.copies, erasure.completed_at = event.kept, event.copies, fact.at


def _erased(state: State, event: ev.Erased, fact: ev.Fact) -> None:
    if event.kind in _BEGINNINGS:
        state.absent.add(event.id)
    pass_over(state, event.id, event.kind, fact)


def is_passed_over(state: State, event: ev.Event | ev.Erased) -> bool:
    """Say whether a fact is ignored because the first fact of its subject is erased. A fact that creates the
    subject again is folded."""
    subject = ev.subject_of(event)
    if subject not in state.absent or isinstance(event, ev.Erased):
        return False
    if type(event).__name__ in _BEGINNINGS or isinstance(event, ev.TaskRestored):
        state.absent.discard(subject)
        return False
    return True


def pass_over(state: State, subject: str, kind: str, fact: ev.Fact) -> None:
    """Fold the effects on other objects of a fact about an absent one."""
    effect = _ON_OTHERS.get(kind)
    if effect is not None:
        effect(state, subject, fact)
    if kind in _ENDS:
        state.absent.discard(subject)


def _free_dependents(state: State, task_id: str, fact: ev.Fact) -> None:
    for other_id in state.dependents.pop(task_id, ()):
        other = state.tasks[other_id]
        other.waits_for -= {task_id}
        if not other.waits_for:
            state.freed[other_id] = None
    end_blocks_on(state, task_id)


def _doom_dependents(state: State, task_id: str, fact: ev.Fact) -> None:
    doom(state, task_id)
    end_blocks_on(state, task_id)


def _end_user(state: State, user_id: str, fact: ev.Fact) -> None:
    for project in state.projects.values():
        project.members.pop(user_id, None)
    end_sessions(state, user_id, None, "user_removed", fact.at)
    end_tokens(state, user_id, "user_removed", fact.at)
    end_webhooks(state, user_id)
    end_devices(state, user_id)
    state.user_removed_seq = fact.seq


_ON_OTHERS: dict[str, Callable[[State, str, ev.Fact], None]] = {
    "TaskCompleted": _free_dependents,
    "TaskFailed": _doom_dependents,
    "TaskCancelled": _doom_dependents,
    "TaskDeleted": _doom_dependents,
    "UserRemoved": _end_user,
}

ERASURE_FACTS: Appliers = {
    ev.ErasureRequested: _requested,
    ev.FactsErased: _facts_erased,
    ev.ErasureCompleted: _completed,
    ev.Erased: _erased,
}

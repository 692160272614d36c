"""Folds facts into the state: total and without policy. One function for each kind; the lifecycle
table decides about statuses.

Policy belongs to decide: if it were here, a changed policy would change the past.
"""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.attempts import ATTEMPT_FACTS
from helix_ray.core.evolve.audit import AUDIT_FACTS
from helix_ray.core.evolve.blocked import BLOCKED_FACTS
from helix_ray.core.evolve.datasets import DATASET_FACTS
from helix_ray.core.evolve.devices import DEVICE_FACTS
from helix_ray.core.evolve.erasures import ERASURE_FACTS, is_passed_over, pass_over
from helix_ray.core.evolve.models import MODEL_FACTS
from helix_ray.core.evolve.projects import PROJECT_FACTS
from helix_ray.core.evolve.quotas import QUOTA_FACTS
from helix_ray.core.evolve.receipts import RECEIPT_FACTS
from helix_ray.core.evolve.record import RECORD_FACTS
from helix_ray.core.evolve.restored import RETRY_FACTS
from helix_ray.core.evolve.sessions import SESSION_FACTS
from helix_ray.core.evolve.tasks import TASK_FACTS
from helix_ray.core.evolve.tokens import TOKEN_FACTS
from helix_ray.core.evolve.users import USER_FACTS
from helix_ray.core.evolve.webhooks import WEBHOOK_FACTS
from helix_ray.core.evolve.workers import WORKER_FACTS
from helix_ray.core.state import State

APPLY: Appliers = {
    **TASK_FACTS,
    **ATTEMPT_FACTS,
    **BLOCKED_FACTS,
    **RETRY_FACTS,
    **WORKER_FACTS,
    **QUOTA_FACTS,
    **PROJECT_FACTS,
    **MODEL_FACTS,
    **DATASET_FACTS,
    **USER_FACTS,
    **SESSION_FACTS,
    **TOKEN_FACTS,
    **DEVICE_FACTS,
    **RECEIPT_FACTS,
    **RECORD_FACTS,
    **AUDIT_FACTS,
    **ERASURE_FACTS,
    **WEBHOOK_FACTS,
}

# Their `id` is a task's; TasksRetired is about many tasks and marks them itself.
ABOUT_A_TASK = frozenset({*TASK_FACTS, *ATTEMPT_FACTS, *BLOCKED_FACTS, *RETRY_FACTS} - {ev.TasksRetired})


def evolve(state: State, fact: ev.Fact) -> None:
    """Fold one fact into the state. Raises IllegalMove and changes nothing for a
    move that the table lacks."""
    event = fact.event
    if state.absent and is_passed_over(state, event):
        pass_over(state, ev.subject_of(event), type(event).__name__, fact)
    else:
        _apply(state, event, fact)
    state.seq = fact.seq
    state.at = fact.at


def _apply(state: State, event: ev.Event | ev.Erased, fact: ev.Fact) -> None:
    APPLY[type(event)](state, event, fact)
    if type(event) in ABOUT_A_TASK:
        state.changed.append(event.id)  # type: ignore[union-attr]  # each of them has one

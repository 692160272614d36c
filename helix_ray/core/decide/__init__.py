"""Orders into facts: `decide(state, order, now, policy)`, pure. One function for each
order, collected in one table.

Steps: the author must exist and be authorised (core/authority.py); a known key gets its first receipt
again; the order's own function decides; the receipt of an order with a key is recorded with its facts.
Nothing here changes the state.

A key of our own plane is checked before the author: the plane resends an order when the master's response was
lost, and that order may have been the author's own logout.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core.authority import admit
from helix_ray.core.decide.attempts import ATTEMPT_ORDERS
from helix_ray.core.decide.audit import AUDIT_ORDERS
from helix_ray.core.decide.certificates import CERTIFICATE_ORDERS
from helix_ray.core.decide.datasets import DATASET_ORDERS
from helix_ray.core.decide.devices import DEVICE_ORDERS
from helix_ray.core.decide.erasures import ERASURE_ORDERS
from helix_ray.core.decide.model_tasks import MODEL_TASK_ORDERS
from helix_ray.core.decide.models import MODEL_ORDERS
from helix_ray.core.decide.mutations import MUTATION_ORDERS
from helix_ray.core.decide.outcome import AnyDecision, Context, Decider, Decision
from helix_ray.core.decide.placement import PLACEMENT_ORDERS
from helix_ray.core.decide.projects import PROJECT_ORDERS
from helix_ray.core.decide.quotas import QUOTA_ORDERS
from helix_ray.core.decide.reads import READ_ORDERS
from helix_ray.core.decide.refusals import REFUSAL_ORDERS
from helix_ray.core.decide.sessions import SESSION_ORDERS
from helix_ray.core.decide.submit import SUBMIT_ORDERS
from helix_ray.core.decide.tasks import TASK_ORDERS
from helix_ray.core.decide.tokens import TOKEN_ORDERS
from helix_ray.core.decide.users import USER_ORDERS
from helix_ray.core.decide.webhooks import WEBHOOK_ORDERS
from helix_ray.core.decide.workers import WORKER_ORDERS
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected, conflict
from helix_ray.core.events import ReceiptKept
from helix_ray.core.orders import AnyOrder, AnyReceipt, Recalled, Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.state import State

DECIDERS: dict[type, Decider] = {
    **SUBMIT_ORDERS,
    **TASK_ORDERS,
    **ATTEMPT_ORDERS,
    **WORKER_ORDERS,
    **PLACEMENT_ORDERS,
    **QUOTA_ORDERS,
    **PROJECT_ORDERS,
    **MODEL_ORDERS,
    **MODEL_TASK_ORDERS,
    **DATASET_ORDERS,
    **USER_ORDERS,
    **SESSION_ORDERS,
    **TOKEN_ORDERS,
    **DEVICE_ORDERS,
    **MUTATION_ORDERS,
    **REFUSAL_ORDERS,
    **READ_ORDERS,
    **CERTIFICATE_ORDERS,
    **AUDIT_ORDERS,
    **ERASURE_ORDERS,
    **WEBHOOK_ORDERS,
}


def decide(state: State, order: AnyOrder, now: float, policy: Policy) -> AnyDecision | Rejected | AnyReceipt:
    """Return the facts of an order, its refusal, or the receipt that it had before."""
    if order.key is not None and order.key.startswith("~"):
        kept = _kept(state, order, now)
        if kept is not None:
            return kept
    by = admit(state, order.by, type(order.body), now)
    if isinstance(by, Rejected):
        return by
    if order.key is not None:
        kept = _kept(state, order, now)
        if kept is not None:
            return kept
    if by is not order.by:
        order = replace(order, by=by)
    if order.recalled is not None and (behind := _behind(state, order.recalled)) is not None:
        return behind
    decided = DECIDERS[type(order.body)](order.body, Context(state, order, now, policy))
    if isinstance(decided, Decision) and order.key is not None:
        ttl = policy.internal_receipt_ttl_s if order.key.startswith("~") else policy.client_receipt_ttl_s
        decided.events.append(ReceiptKept(order.key, order.fingerprint, decided.data, now + ttl))
    return decided


def _behind(state: State, recalled: Recalled) -> NotInMemory | None:
    """Return what must be recalled again: since then more tasks were archived or deleted
    than the state remembers."""
    if recalled.through >= max(state.archived_through, state.rewritten_dropped):
        return None
    message = "The task was changed at the same time: try again"
    return NotInMemory(ErrorCode.CONFLICT, message, {}, tuple(recalled.tasks), tuple(recalled.causes))


def _kept(state: State, order: AnyOrder, now: float) -> AnyReceipt | Rejected | None:
    """Return the receipt of a key, or the conflict when it was used with another request."""
    key = order.key or ""
    kept = state.receipts(key).get(key)
    if kept is None or kept.until < now:
        return None
    if kept.fingerprint != order.fingerprint:
        return conflict("This Idempotency-Key was used with another request", header="Idempotency-Key")
    return Receipt(state.seq, kept.data, replayed=True)

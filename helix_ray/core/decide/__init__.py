"""Orders into facts: `decide(state, order, now, policy)`, pure. One function an order, one table.

Steps: a key that was seen gets its first receipt again; the roles are asked; the order's own function decides;
a keyed order leaves its receipt beside its facts. Nothing here changes the state.
"""

from __future__ import annotations

from helix_ray.core.access import may
from helix_ray.core.decide.accounts import ACCOUNT_ORDERS
from helix_ray.core.decide.attempts import ATTEMPT_ORDERS
from helix_ray.core.decide.harmony import HARMONY_ORDERS
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.submit import submit
from helix_ray.core.decide.tasks import TASK_ORDERS
from helix_ray.core.decide.workers import WORKER_ORDERS
from helix_ray.core.errors import Rejected, conflict, forbidden
from helix_ray.core.events import ReceiptKept
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.policy import Policy
from helix_ray.core.state import State

DECIDERS: dict[type, Decider] = {
    SubmitTasks: submit,
    **TASK_ORDERS,
    **ATTEMPT_ORDERS,
    **WORKER_ORDERS,
    **HARMONY_ORDERS,
    **ACCOUNT_ORDERS,
}


def decide(state: State, order: Order, now: float, policy: Policy) -> Decision | Rejected | Receipt:
    """Return the facts that an order leads to, why it is refused, or the receipt it had before."""
    if order.key is not None:
        kept = state.receipts(order.key).get(order.key)
        if kept is not None and kept.until >= now:
            if kept.fingerprint != order.fingerprint:
                return conflict(
                    "This Idempotency-Key was used with another request", header="Idempotency-Key"
                )
            return Receipt(state.seq, kept.data, replayed=True)
    name = type(order.body).__name__
    if not may(order.by, name):
        return forbidden("Your role does not allow this", roles=list(order.by.roles), action=name)
    decided = DECIDERS[type(order.body)](order.body, Context(state, order, now, policy))
    if isinstance(decided, Decision) and order.key is not None:
        ttl = policy.internal_receipt_ttl_s if order.key.startswith("~") else policy.client_receipt_ttl_s
        decided.events.append(ReceiptKept(order.key, order.fingerprint, decided.data, now + ttl))
    return decided

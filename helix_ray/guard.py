"""What the engine does with the key of the control plane: it seals, opens, and authenticates.

Secrets of orders are sealed before anything keeps them (ADR 57), and a capability of an attempt is believed
only if the control plane made it (ADR 66). The fingerprint of a request with an idempotency key is kept as a
MAC: whoever has only a backup cannot find out by trial what a short request contained. Without a vault
nothing is sealed, and no capability is believed.
"""

from __future__ import annotations

from dataclasses import replace
from secrets import token_bytes

from helix_ray.core.access import Principal, claim
from helix_ray.core.answers.picture import no_mac
from helix_ray.core.ended import refusal
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import AnyOrder
from helix_ray.core.origin import Origin
from helix_ray.core.questions import QuestionKind, View
from helix_ray.core.secrets import rewritten
from helix_ray.core.state import State
from helix_ray.ports import Vault


class Guard:
    """The engine's use of a vault."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault
        self.mac = no_mac if vault is None else vault.mac

    def key_of(self, purpose: str) -> bytes:
        """Return a key for a purpose: the same after a restart with the same vault, else any."""
        return token_bytes(32) if self._vault is None else self._vault.mac(purpose).encode()

    def forged(self, by: Principal) -> Rejected | None:
        """Return the refusal of a caller with a capability that the control plane has not made."""
        capability = by.capability
        if capability is None:
            return None
        text = claim(by.id, capability.task_id, capability.attempt)
        if self._vault is not None and self._vault.genuine(text, capability.mac):
            return None
        return refusal("not_genuine", None)

    def sealed(self, order: AnyOrder) -> AnyOrder:
        """Return the order with its secrets sealed: from here on nothing has them in plain text."""
        if self._vault is None or not order.body.sealed_fields:
            return order
        body = rewritten(order.body, order.body.sealed_fields, self._vault.seal)
        return order if body is order.body else replace(order, body=body)

    def authenticated(self, order: AnyOrder, state: State, now: float) -> AnyOrder:
        """Return an order with a client's key with its fingerprint as a MAC.

        Where the receipt of the key has another form, it is compared in that form: as it came, if an older
        release kept it so, or with the key that was current then.
        """
        key, fingerprint = order.key, order.fingerprint
        if self._vault is None or not fingerprint or key is None or key.startswith("~"):
            return order
        text = f"request {fingerprint}"
        receipt = state.receipts(key).get(key)
        if receipt is not None and receipt.until >= now:
            if receipt.fingerprint == fingerprint:
                return order
            if self._vault.genuine(text, receipt.fingerprint):
                return replace(order, fingerprint=receipt.fingerprint)
        return replace(order, fingerprint=self._vault.mac(text))

    def opened(self, question: QuestionKind[View], reply: View | Rejected) -> View | Rejected:
        """Return an answer with those of its secrets opened that are for who asked."""
        if self._vault is None or not question.sealed_fields or isinstance(reply, Rejected):
            return reply
        return rewritten(reply, question.sealed_fields, self._vault.open)


def with_origin(order: AnyOrder) -> AnyOrder:
    """Return an order of an attempt's code with the attempt as its origin, whatever it says of itself."""
    if order.by.capability is None:
        return order
    return replace(order, origin=Origin(credential=order.by.credential))

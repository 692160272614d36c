"""Makes orders safe to send twice: the master's response may be lost after an order was carried out.

Each kind of order declares whether it needs a key for that (core/orders/kind.py). If it does, it gets a
generated key, which the state stores with the receipt: a repeated order gets the first answer. The others are
recognised by their content.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core.orders import AnyOrder


def keyed(order: AnyOrder) -> AnyOrder:
    """Return the order with a key, so that it may be sent twice."""
    if order.key is None and order.body.needs_key:
        return replace(order, key=f"~{order.seed}", fingerprint=order.seed)
    return order

"""Orders may be sent twice: the master's answer can be lost after it has carried an order out.

A kind of order says whether it needs a key for that (core/orders/kind.py). One that does gets a key of
ours, which the state keeps with the receipt: the second time it has the first answer. The others are
recognised by what they say themselves.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core.orders import Order


def keyed(order: Order) -> Order:
    """Return an order that may be sent twice."""
    if order.key is None and order.body.needs_key:
        return replace(order, key=f"~{order.seed}", fingerprint=order.seed)
    return order

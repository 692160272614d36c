"""Every kind of order may be sent twice: with a key, or because it is recognised by what it says."""

from __future__ import annotations

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CancelTask, Order, SubmitTasks
from helix_ray.plane.keys import keyed


def test_a_key_of_ours_is_the_orders_seed() -> None:
    """The same order has the same key however often it is sent; a caller's own key stays."""
    order = Order(CancelTask("task-1"), SYSTEM, "req-1", "seed")
    assert (keyed(order).key, keyed(order).fingerprint) == ("~seed", "seed")
    theirs = Order(CancelTask("task-1"), SYSTEM, "req-1", "seed", "user-1:k", "f")
    assert keyed(theirs) is theirs
    assert keyed(Order(SubmitTasks(()), SYSTEM, "req-1", "seed")).key is None

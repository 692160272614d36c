"""Every kind of order may be sent twice: with a key, or because it is recognised by what it says."""

from __future__ import annotations

from typing import get_args

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CancelTask, Order, OrderBody, SubmitTasks
from helix_ray.plane.keys import NEEDS_KEY, RECOGNISED, keyed


def test_every_kind_of_order_is_in_one_list() -> None:
    """A kind that somebody adds must say how a lost answer is made up for."""
    assert set(NEEDS_KEY) | set(RECOGNISED) == set(get_args(OrderBody))
    assert not set(NEEDS_KEY) & set(RECOGNISED)
    assert len(set(NEEDS_KEY)) == len(NEEDS_KEY)


def test_a_key_of_ours_is_the_orders_seed() -> None:
    """The same order has the same key however often it is sent; a caller's own key stays."""
    order = Order(CancelTask("task-1"), SYSTEM, "req-1", "seed")
    assert (keyed(order).key, keyed(order).fingerprint) == ("~seed", "seed")
    theirs = Order(CancelTask("task-1"), SYSTEM, "req-1", "seed", "user-1:k", "f")
    assert keyed(theirs) is theirs
    assert keyed(Order(SubmitTasks(()), SYSTEM, "req-1", "seed")).key is None

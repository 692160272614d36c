"""Rejects demands that no node could ever meet, instead of queueing them for ever."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.placement.fit import ever_fits
from helix_ray.core.placement.units import impossible
from helix_ray.core.state import Demand


def unplaceable(demand: Demand, ctx: Context) -> Rejected | None:
    """Return why no node could ever meet a demand; None if one could, and before
    the first node has registered."""
    # What nodes have or had, and what the operator declares for nodes to come.
    types = [dict(capacity) for capacity in (*ctx.state.node_types, *ctx.policy.node_types)]
    no_amount = _no_amount(demand)
    if no_amount is not None or not types or ever_fits(demand, [capacity.items() for capacity in types]):
        return no_amount
    largest = {name: max(capacity.get(name, 0.0) for capacity in types) for name, _ in demand}
    over = [name for name, amount in demand if amount > largest[name]]
    # Each alone may fit on some node, but no single node has all of them.
    field = f"resources.{over[0]}" if over else "resources"
    return invalid("No node can ever run this task", field=field, asked=dict(demand), largest_node=largest)


def _no_amount(demand: Demand) -> Rejected | None:
    """Refuse amounts that are not valid on any node."""
    for name, amount in demand:
        why = impossible(name, amount)
        if why is not None:
            return invalid(f"Invalid amount of {name}: {why}", field=f"resources.{name}", asked=amount)
    return None

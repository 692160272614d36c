"""Whether any node could ever run a task: a demand that no node could meet is
rejected, not queued for ever."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.placement.fit import ever_fits
from helix_ray.core.placement.units import impossible
from helix_ray.core.state import Demand


def unplaceable(demand: Demand, ctx: Context) -> Rejected | None:
    """Return why no node could ever meet a demand; None if one could, and before
    the first node has registered."""
    # What nodes have or had, and what the operator says may come.
    types = [dict(capacity) for capacity in (*ctx.state.node_types, *ctx.policy.node_types)]
    no_amount = _no_amount(demand)
    if no_amount is not None or not types or ever_fits(demand, [capacity.items() for capacity in types]):
        return no_amount
    largest = {name: max(capacity.get(name, 0.0) for capacity in types) for name, _ in demand}
    over = [name for name, amount in demand if amount > largest[name]]
    # Each alone may fit somewhere, but no one node has them all.
    field = f"resources.{over[0]}" if over else "resources"
    return invalid("No node can ever run this task", field=field, asked=dict(demand), largest_node=largest)


def _no_amount(demand: Demand) -> Rejected | None:
    """Refuse what is no amount of a resource on any node, whatever it has."""
    for name, amount in demand:
        why = impossible(name, amount)
        if why is not None:
            return invalid(f"Invalid amount of {name}: {why}", field=f"resources.{name}", asked=amount)
    return None

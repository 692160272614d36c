"""Facts as a principal may see them: those about objects that they see (core/about.py), with MASK
in place of every secret.

    the system itself          all facts unmasked: its followers fold them
    everybody else             facts about objects that they see, masked; the origin only of their own
                               facts, or of all for administrators
    facts about what is gone   those who see all objects of that kind, and those who saw the object, as
                               long as the state remembers it

Only the system sees receipts, and only administrators see refusals and erasures.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core import events as ev
from helix_ray.core.about import about, hears
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.origin import NOWHERE
from helix_ray.core.secrets import masked
from helix_ray.core.state import State
from helix_ray.core.visibility import administers


def shown_to(by: Principal, facts: tuple[ev.Fact, ...], state: State) -> tuple[ev.Fact, ...]:
    """Return the facts that `by` may see, masked. `by` must have the current roles."""
    if by == SYSTEM:
        return facts
    return tuple(_shown(fact, by) for fact in facts if hears(by, about(state, fact.event).audience))


def _shown(fact: ev.Fact, by: Principal) -> ev.Fact:
    origin = fact.origin if fact.actor == by.id or administers(by) else NOWHERE
    return replace(fact, event=masked(fact.event), origin=origin)

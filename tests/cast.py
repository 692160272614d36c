"""Principals of tests as users of a state: an order or a question of somebody who is not
in the state is refused."""

from __future__ import annotations

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.events import Fact, UserCreated
from helix_ray.core.evolve.users import index_user
from helix_ray.core.state import State, User
from helix_ray.engine import Engine


def enrol(engine: Engine, *people: Principal) -> None:
    """Make users of principals, with the ids that they have, by facts of the engine's journal."""
    seq, now = engine.state.seq, engine.clock.wall()
    made = [UserCreated(who.id, who.name, "argon", list(who.roles)) for who in people]
    facts = [Fact(seq + n, now, SYSTEM.id, "req-cast", event) for n, event in enumerate(made, 1)]
    engine.journal.append(facts)
    engine.recover()


def slot(state: State, *people: Principal) -> None:
    """Put users for principals into a state, with the ids that they have and without a fact."""
    for who in people:
        state.users[who.id] = User(who.id, who.name, "argon", who.roles, state.at)
        index_user(state, state.users[who.id])

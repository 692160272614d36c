"""Facts that do not affect the state."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import State


def _refused(state: State, event: ev.LoginRefused | ev.RequestsRefused, fact: ev.Fact) -> None:
    """Do nothing: for the audit only."""


RECORD_FACTS: Appliers = {
    ev.LoginRefused: _refused,
    ev.RequestsRefused: _refused,
}

"""Folds facts about quotas."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import Quota, State


def _quota_set(state: State, event: ev.QuotaSet, fact: ev.Fact) -> None:
    if event.limits or event.weight != 1.0:
        state.quotas[event.id] = Quota(dict(event.limits), event.weight)
    else:
        state.quotas.pop(event.id, None)


QUOTA_FACTS: Appliers = {ev.QuotaSet: _quota_set}

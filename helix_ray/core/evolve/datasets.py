"""Folds facts about data sets."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.datasets import DataSet, added, without
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import State


def _uploaded(state: State, event: ev.DatasetUploaded, fact: ev.Fact) -> None:
    upload = DataSet(event.id, event.owner, event.project, event.bytes, fact.at)
    state.datasets[event.id] = added(state.datasets.get(event.id, ()), upload)


def _deleted(state: State, event: ev.DatasetDeleted, fact: ev.Fact) -> None:
    left = without(state.datasets.pop(event.id, ()), event.owner, event.project)
    if left:
        state.datasets[event.id] = left


DATASET_FACTS: Appliers = {ev.DatasetUploaded: _uploaded, ev.DatasetDeleted: _deleted}

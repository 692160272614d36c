"""The models in the nodes' own folders (HELIX_MODELS_DIR), which nobody pushed; nodes tell their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what starts a node needs the label's name, and no state
    from helix_ray.core.state import State

# The label of a node worker with the names, in one text. A node that has more of them tells none.
MODELS_LABEL = "helix-models"
SEPARATOR = ","
NAMES_MAX = 200


def models_label(names: Iterable[str]) -> str | None:
    """Return the label of a node with these models."""
    named = sorted(set(names))
    return SEPARATOR.join(named) if len(named) <= NAMES_MAX else None


def may_be_in_folder(state: State, name: str) -> bool:
    """Say whether a node may have a model in its folder: one that lives says so or does not tell, or none
    lives."""
    known = False
    for label in _labels(state):
        if label is None or name in label.split(SEPARATOR):
            return True
        known = True
    return not known


def folder_models(state: State) -> set[str]:
    """Return the names that nodes which live have named."""
    return {name for label in _labels(state) if label for name in label.split(SEPARATOR)}


def _labels(state: State) -> Iterator[str | None]:
    for worker in state.workers.values():
        if worker.kind == "node" and not worker.lost:
            yield worker.labels.get(MODELS_LABEL)

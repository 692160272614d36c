"""The classes of the nodes that live: on each of them a version that tasks get is tuned."""

from __future__ import annotations

from helix_ray.core.models import NODE_CLASS_LABEL
from helix_ray.core.state import State


def node_classes(state: State) -> list[str]:
    """Return the classes of the nodes that live."""
    found = {
        worker.labels[NODE_CLASS_LABEL]: None
        for worker in state.workers.values()
        if worker.kind == "node" and not worker.lost and NODE_CLASS_LABEL in worker.labels
    }
    return list(found)

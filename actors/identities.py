"""Assigns worker ids to nodes: a name belongs to one live node at a time.

A host whose raylet was killed returns as another Ray node before Ray has declared the old one dead. The new
node waits and takes over the name. When both are still alive after HELD_S_MAX, two hosts have the same name:
the later one gets another id and keeps it, so neither changes its id while it is alive.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors import names

# Longer than Ray needs to declare any raylet dead (15 s as configured by `helix node start` and `helix up`).
HELD_S_MAX = 60.0


class Identities:
    """The assigned worker ids by Ray node id."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._waiting_since: dict[str, float] = {}

    def assign(
        self, labels: Mapping[str, str | None], registered: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """Return the worker ids of the live nodes, without those that must wait for their name.

        `labels` has every live node's name or None, `registered` the registered worker ids by node: a
        restarted supervisor must not change them.
        """
        self._ids = {node: given for node, given in self._ids.items() if node in labels}
        self._ids.update({node: known for node, known in registered.items() if node in labels})
        self._waiting_since = {node: t for node, t in self._waiting_since.items() if node in labels}
        taken = set(self._ids.values())
        for node in sorted(set(labels) - set(self._ids)):
            wanted = names.worker_id(node, labels[node])
            if wanted in taken:
                if now - self._waiting_since.setdefault(node, now) < HELD_S_MAX:
                    continue
                wanted = names.worker_id(node)
            self._ids[node] = wanted
            taken.add(wanted)
        return dict(self._ids)

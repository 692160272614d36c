"""What calls need that is too large for the journal: a node worker keeps it in Ray."""

from __future__ import annotations

import asyncio
import pickle
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from helix_ray.cluster.background import Background
from helix_ray.cluster.errors import ClusterUnavailable, PayloadTooLarge
from helix_ray.core.specs import TaskSpec
from helix_ray.execution.pickle_parts import Parts
from helix_ray.plane.control import Plane
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.wire.ids import new_seed

KEEP_S_MAX = 300.0
"""How long a node may take for the arguments of one call, in seconds."""


class Arguments:
    """Hands the arguments of large calls, and uploaded packages, to a node worker; its methods are for any
    thread."""

    def __init__(self, plane: Plane, background: Background, node_id: str | None, namespace: str) -> None:
        """`node_id` is that of this program's Ray node; None where there is none."""
        self._plane = plane
        self._background = background
        self._node_id = node_id
        self._namespace = namespace
        # The keys of kept arguments by the payloads that name them, until their tasks are known.
        self._unnamed: dict[str, str] = {}

    @property
    def possible(self) -> bool:
        """Say whether there is a node worker to keep them."""
        return self._node_id is not None

    def keep(self, parts: Parts) -> str:
        """Hand the parts of a pickled call to the node worker; return the payload that stands for them.

        Raises PayloadTooLarge where it has no room, ClusterUnavailable where it does not respond.
        """
        from helix_ray.plane.ray_objects import Kept

        node_id, key = str(self._node_id), new_seed()
        call = self._plane.calls.node(node_id, "keep_argument", key, parts, wait_s=KEEP_S_MAX)
        reply: Any = self._background.run(call)
        if isinstance(reply, SourceUnavailable) or reply is None:
            raise ClusterUnavailable("this program's node does not take the arguments of the call")
        if reply["refused"] is not None:
            raise PayloadTooLarge(reply["refused"])
        payload = b64encode(pickle.dumps(Kept(self._namespace, node_id, key))).decode()
        self._unnamed[payload] = key
        return payload

    def keep_packages(self, uris: Sequence[str]) -> None:
        """Have the node worker keep uploaded packages beyond the end of this program; without effect where
        nobody can."""
        if self._node_id is not None:
            self._background.run(self._plane.calls.node(self._node_id, "keep_packages", tuple(uris)))

    async def named(self, specs: Sequence[TaskSpec], task_ids: Sequence[str]) -> None:
        """Tell the node worker which tasks need what it keeps; on the background's loop."""
        if not self._unnamed:
            return
        keys = [
            (self._unnamed.pop(payload), task_id)
            for spec, task_id in zip(specs, task_ids, strict=True)
            if (payload := _payload(spec)) in self._unnamed
        ]
        calls = (self._plane.calls.node(str(self._node_id), "argument_of", *pair) for pair in keys)
        await asyncio.gather(*calls)


def _payload(spec: TaskSpec) -> str:
    run = spec.get("run")
    return str(run.get("payload") or "") if run is not None and run["kind"] == "function" else ""

"""Keeps a node worker on every live node, and reports nodes that are gone to the control plane.

Every ping of a node contains Ray's free resources there: one call to Ray each second for the whole cluster.
If each node asked, it would get the figures of all nodes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

import ray

from actors import labels as known_labels
from actors import names, ray_seams
from actors.devices import BYTES_PER_MB
from actors.gateway import RayControlPlane
from actors.identities import Identities
from actors.life import reason_of
from actors.node_worker import NodeSaid, NodeWorker
from actors.ray_nodes import RayNode, listed
from actors.usage import NodeOffer
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import LoseWorker, Order
from helix_ray.core.placement.units import ACCELERATION
from helix_ray.core.questions import ListWorkers
from helix_ray.core.views.workers import WorkerView
from helix_ray.ports import STARTING
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

EVERY_S = 1.0
FIRST_S = 0.1
PING_S_MAX = 30.0
# Every node has these capabilities; more come from its resources and labels.
CAPABILITIES = ("command", "function", "inference")
GENERAL = ("cpu", "memory_mb", known_labels.GPU_MEMORY)
# Ray's own resource names, and those that it adds for internal use.
OURS = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}
NOT_RESOURCES = ("node:", "accelerator_type:", "object_store_memory", "bundle", "memory")


class NodeCare:
    """Reconciles node workers with Ray's nodes; `look` is called repeatedly."""

    def __init__(self, settings: Settings, plane: RayControlPlane) -> None:
        self._settings = settings
        self._plane = plane
        self._handles: dict[str, Any] = {}
        self._waiting: dict[str, str] = {}
        self._identities = Identities()
        self._cares: dict[str, asyncio.Task[None]] = {}

    def registered(self) -> list[str]:
        """Return the nodes with a registered worker."""
        return sorted(self._handles)

    def waiting(self) -> dict[str, str]:
        """Return why a node's worker is not registered yet, by node."""
        return dict(self._waiting)

    def stop(self) -> None:
        """Cancel calls under way; node workers stay."""
        for care in self._cares.values():
            care.cancel()

    async def look(self) -> None:
        """Reconcile once, and return when the next time is due."""
        await self._reconcile()
        await asyncio.sleep(EVERY_S if self._handles else FIRST_S)

    async def _reconcile(self) -> None:
        nodes = {node["NodeID"]: node for node in await asyncio.to_thread(listed)}
        alive = {node_id: node for node_id, node in nodes.items() if node["Alive"]}
        answer = await self._plane.query(ListWorkers(), SYSTEM)
        if isinstance(answer, Rejected):
            return
        workers = [worker for worker in answer["workers"] if worker["kind"] == "node"]
        ids = self._identify(alive, workers)
        free = await asyncio.to_thread(_free_by_node)
        for node_id in ids.keys() - self._cares.keys():
            care = self._care_for(alive[node_id], ids[node_id], free.get(node_id))
            self._cares[node_id] = asyncio.get_running_loop().create_task(care)
            self._cares[node_id].add_done_callback(partial(self._cared, node_id))
        if self._cares:
            # A node that does not respond, because its link is cut, does not delay the others.
            await asyncio.wait(list(self._cares.values()), timeout=EVERY_S)
        for node_id in (set(self._handles) | set(self._waiting)) - set(alive):
            self._handles.pop(node_id, None)
            self._waiting.pop(node_id, None)
        # When a worker registers, an older worker with the same id on another node loses its tasks.
        left = [w for w in workers if w["node_id"] not in alive and w["id"] not in ids.values()]
        await self._lose(left, set(nodes))

    def _identify(self, alive: dict[str, RayNode], workers: list[WorkerView]) -> dict[str, str]:
        labels = {node_id: _labels(node).get(known_labels.NODE) for node_id, node in alive.items()}
        registered = {
            worker["node_id"]: worker["id"]
            for worker in workers
            if worker["status"] != "lost" and worker["node_id"] is not None
        }
        ids = self._identities.assign(labels, registered, time.monotonic())
        for node_id in set(alive) - set(ids):
            self._waiting[node_id] = f"another live node is already named {labels[node_id]}"
            log.info("node %s waits: %s", node_id[:12], self._waiting[node_id])
        return ids

    def _cared(self, node_id: str, care: asyncio.Task[None]) -> None:
        del self._cares[node_id]
        if not care.cancelled() and care.exception() is not None:
            log.error("reconciling node %s failed; continuing", node_id[:12], exc_info=care.exception())

    async def _care_for(self, node: RayNode, worker_id: str, free: dict[str, float] | None) -> None:
        """Start the node's worker if there is none; it reports when it is registered."""
        node_id = node["NodeID"]
        try:
            handle: Any = self._handles.get(node_id)
            if handle is None:
                options = names.detached(names.node_worker(node_id), node_id)
                made: Any = ray.remote(NodeWorker)
                handle = await asyncio.to_thread(
                    made.options(**options).remote, self._settings, offer_of(node, worker_id)
                )
            said: NodeSaid = await asyncio.wait_for(handle.ping.remote(free), PING_S_MAX)
            if said["registered"]:
                self._handles[node_id] = handle
                self._waiting.pop(node_id, None)
            else:
                self._waiting[node_id] = said["refused"] or said["reason"] or STARTING
        except (ray.exceptions.RayError, ValueError, TimeoutError) as error:
            if isinstance(error, ray.exceptions.ActorDiedError):
                # Ray has given it up: drop the handle, which would never respond again.
                self._handles.pop(node_id, None)
            self._waiting[node_id] = reason_of(error)
            log.info("the worker of node %s does not respond yet: %s", node_id[:12], self._waiting[node_id])

    async def _lose(self, workers: list[WorkerView], known: set[str]) -> None:
        for worker in workers:
            if worker["status"] != "lost":
                why = "its node died" if worker["node_id"] in known else "its node left the cluster"
                order = Order(LoseWorker(worker["id"], why), SYSTEM, f"req-{names.SUPERVISOR}", new_seed())
                await self._plane.execute(order)


def _labels(node: RayNode) -> dict[str, str]:
    return {str(k): str(v) for k, v in (node.get("Labels") or {}).items()}


def _free_by_node() -> dict[str, dict[str, float]]:
    """Return Ray's free resources by node, under our names."""
    return {node_id: in_our_names(amounts) for node_id, amounts in ray_seams.free_by_node().items()}


def in_our_names(amounts: dict[str, float]) -> dict[str, float]:
    """Return Ray's resources under our names: cpu, memory_mb (whole MiB), gpu, npu,
    and custom names unchanged."""
    resources = {"cpu": 0.0, "memory_mb": float(int(amounts.get("memory", 0.0) // BYTES_PER_MB))}
    resources |= {"gpu": 0.0, "npu": 0.0}
    resources |= {OURS.get(n, n): amount for n, amount in amounts.items() if not n.startswith(NOT_RESOURCES)}
    return resources


def offer_of(node: RayNode, worker_id: str) -> NodeOffer:
    """Return the offer of a node's worker: resources under our names, labels, capabilities."""
    labels = _labels(node)
    resources = in_our_names(node["Resources"])
    capabilities = set(CAPABILITIES)
    # Each resource other than CPUs and memory is also a capability that tasks may require.
    capabilities.update(n.lower() for n, amount in resources.items() if amount > 0 and n not in GENERAL)
    capabilities.update(
        name
        for name in labels.get(known_labels.CAPABILITIES, "").split(known_labels.CAPABILITY_SEPARATOR)
        if name
    )
    if capabilities & {"gpu", "npu"}:
        # Not in the label, whose separator is an underscore.
        capabilities.add(ACCELERATION)
    return {
        "worker_id": worker_id,
        "node_id": node["NodeID"],
        "hostname": node["NodeManagerHostname"],
        "resources": resources,
        "labels": labels,
        "capabilities": sorted(capabilities),
    }

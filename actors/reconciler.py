"""Keeps one node worker on every live node, and tells the control plane of nodes that are gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ray

from actors import names
from actors.gateway import RayControlPlane
from actors.logs import set_up
from actors.node_worker import NodeWorker
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import LoseWorker, Order
from helix_ray.core.questions import ListWorkers
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

EVERY_S = 1.0
FIRST_S = 0.1
PING_S_MAX = 30.0
BYTES_PER_MB = 1024 * 1024
# Every node runs these kinds of work; more capabilities come from its resources and labels.
CAPABILITIES = ("command", "function", "inference")
CAPABILITY_LABEL = "helix-capabilities"
NOT_RESOURCES = ("node:", "accelerator_type:", "object_store_memory", "bundle", "CPU", "GPU", "NPU", "memory")


class Reconciler:
    """Compares Ray's nodes with the workers there are, once a second."""

    def __init__(self, settings: Settings) -> None:
        set_up()
        self._settings = settings
        self._handles: dict[str, Any] = {}
        self._loop: asyncio.Task[None] | None = None

    async def ping(self) -> list[str]:
        """Start the loop where it does not run yet; return the nodes whose worker is registered."""
        if self._loop is None:
            self._plane = RayControlPlane()
            self._loop = asyncio.get_running_loop().create_task(self._run())
        return sorted(self._handles)

    async def stop(self) -> None:
        """End the loop; node workers stay."""
        if self._loop is not None:
            self._loop.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._reconcile()
            except Exception:
                log.exception("reconciling failed and goes on")
            await asyncio.sleep(EVERY_S if self._handles else FIRST_S)

    async def _reconcile(self) -> None:
        listed: list[dict[str, Any]] = await asyncio.to_thread(ray.nodes)
        nodes = {node["NodeID"]: node for node in listed}
        alive = {node_id: node for node_id, node in nodes.items() if node["Alive"]}
        await asyncio.gather(*(self._care_for(node_id, node) for node_id, node in alive.items()))
        for node_id in set(self._handles) - set(alive):
            del self._handles[node_id]
        await self._lose_workers_of_dead_nodes(set(alive), set(nodes))

    async def _care_for(self, node_id: str, node: dict[str, Any]) -> None:
        """Make the node's worker if there is none; its loops start with the first ping of every life."""
        try:
            handle: Any = self._handles.get(node_id)
            if handle is None:
                options = names.detached(names.node_worker(node_id), node_id)
                made: Any = ray.remote(NodeWorker)
                handle = await asyncio.to_thread(
                    made.options(**options).remote, self._settings, offer_of(node)
                )
            said = await asyncio.wait_for(handle.ping.remote(), PING_S_MAX)
            if said["registered"]:
                self._handles[node_id] = handle
        except (ray.exceptions.RayError, ValueError, TimeoutError) as error:
            log.info("worker of node %s does not answer yet: %s", node_id[:12], str(error).splitlines()[:1])

    async def _lose_workers_of_dead_nodes(self, alive: set[str], known: set[str]) -> None:
        answer = await self._plane.query(ListWorkers(), SYSTEM)
        if isinstance(answer, Rejected):
            return
        for worker in answer["workers"]:
            dead = worker["node_id"] not in alive
            if worker["kind"] == "node" and worker["status"] != "lost" and dead:
                why = "its node died" if worker["node_id"] in known else "its node left the cluster"
                order = Order(LoseWorker(worker["id"], why), SYSTEM, f"req-{names.RECONCILER}", new_seed())
                await self._plane.execute(order)


def offer_of(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a node's worker registers: resources in our names, labels, capabilities."""
    total: dict[str, float] = node["Resources"]
    labels = {str(k): str(v) for k, v in (node.get("Labels") or {}).items()}
    resources: dict[str, float] = {
        "cpu": total.get("CPU", 0.0),
        "memory_mb": float(int(total.get("memory", 0.0) // BYTES_PER_MB)),
        "gpu": total.get("GPU", 0.0),
        "npu": total.get("NPU", 0.0),
    }
    resources.update({name: amount for name, amount in total.items() if not name.startswith(NOT_RESOURCES)})
    capabilities = set(CAPABILITIES)
    capabilities.update(name for name in ("gpu", "npu") if resources[name] > 0)
    capabilities.update(name for name in labels.get(CAPABILITY_LABEL, "").split("_") if name)
    return {
        "worker_id": names.worker_id(node["NodeID"]),
        "node_id": node["NodeID"],
        "hostname": node["NodeManagerHostname"],
        "resources": resources,
        "labels": labels,
        "capabilities": sorted(capabilities),
    }

"""Ray's processes on this machine: a head and further raylets, bound to 127.0.0.1, children of this process."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray

from actors import ray_seams
from actors.names import NAMESPACE
from launcher.up.nodes import NodeSpec

LOOPBACK = "127.0.0.1"
# A killed raylet is noticed in about 3 s; one that only stalls has 15 s.
SYSTEM_CONFIG = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


class LocalCluster:
    """Starts with `start`, is asked for its dead with `lost`; its end is its parent's business (keeper.py)."""

    def __init__(self, specs: list[NodeSpec], temp_dir: Path) -> None:
        self._specs = specs
        self._temp_dir = temp_dir
        self._nodes: dict[int, ray_seams.Node] = {}
        # One thread: nodes that start at once choose the same names for sockets and logs. It stays: the kernel ends what
        # a thread has started when that thread ends (PR_SET_PDEATHSIG).
        self._starter = ThreadPoolExecutor(1, "raylet")
        self._coming: list[Future[ray_seams.Node]] = []
        self._lost: set[int] = set()

    def start(self) -> str:
        """Start the head, connect this process as a driver and begin to start the others; return the cluster's address."""
        # Ray reports as errors what a node of logical resources cannot have, such as an NPU's driver.
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        self._nodes[0] = self._start_node(self._specs[0], head=True)
        self._coming = [self._starter.submit(self._start_node, spec, head=False) for spec in self._specs[1:]]
        address = str(self._nodes[0].gcs_address)
        connect(address)
        return address

    def wait_for_all(self) -> None:
        """Wait until every node has joined; raises what kept one from it."""
        for index, coming in enumerate(self._coming, 1):
            self._nodes[index] = coming.result()
        self._coming = []

    def start_again(self, index: int) -> None:
        """Start a node in the place of one that has ended; not the head, which takes the cluster with it."""
        ray_seams.end_node(self._nodes[index])
        self._nodes[index] = self._start_node(self._specs[index], head=False)
        self._lost.discard(index)

    def _start_node(self, spec: NodeSpec, *, head: bool) -> ray_seams.Node:
        params: dict[str, Any] = {
            "gcs_address": None if head else self._nodes[0].gcs_address,
            "node_ip_address": LOOPBACK,
            "num_cpus": spec.cpus,
            "num_gpus": spec.gpus,
            "memory": spec.memory_bytes,
            "object_store_memory": spec.object_store_bytes,
            "resources": spec.resources,
            "labels": spec.labels,
            "temp_dir": str(self._temp_dir),
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,
            "dashboard_host": LOOPBACK,
            "dashboard_port": 0,
            "dashboard_agent_listen_port": 0,
            "min_worker_port": 0,
            "max_worker_port": 0,
            "_system_config": SYSTEM_CONFIG if head else None,
        }
        return ray_seams.start_node(params, head=head)

    def lost(self) -> list[int]:
        """Return the indexes of nodes of which a process has ended since the last call."""
        dead = {i for i, node in self._nodes.items() if not node.remaining_processes_alive()}
        fresh = sorted(dead - self._lost)
        self._lost |= dead
        return fresh


def connect(address: str, environment: dict[str, str] | None = None) -> None:
    """Connect this process as a driver; `environment` is for workers of a cluster that was not started by us."""
    ray.init(
        address=address,
        namespace=NAMESPACE,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": environment} if environment else None,
    )

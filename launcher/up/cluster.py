"""Ray's processes on this machine: a head and further raylets, bound to
127.0.0.1, children of this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray

from actors import ray_seams
from actors.life import reason_of
from actors.names import NAMESPACE
from launcher.up.nodes import NodeSpec

LOOPBACK = "127.0.0.1"
HEAD = 0
# A killed raylet is noticed in about 3 s; one that stalls is given 15 s.
SYSTEM_CONFIG = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}
# Pauses between attempts to restart a node.
AGAIN_S_MIN = 1.0
AGAIN_S_MAX = 30.0


class LocalCluster:
    """`start` starts it, `tend` keeps it up; the keeper ends it (keeper.py)."""

    def __init__(
        self,
        specs: list[NodeSpec],
        temp_dir: Path,
        monotonic: Callable[[], float] = time.monotonic,
        starter: Executor | None = None,
    ) -> None:
        self._specs = specs
        self._temp_dir = temp_dir
        # None: the node has ended, and a restart is under way or due. The head is never None.
        self._nodes: dict[int, ray_seams.Node | None] = {}
        # One thread, because nodes that start at the same time choose the same names for sockets and logs. It
        # lives as long as the cluster: the kernel kills the children of a thread that ends
        # (PR_SET_PDEATHSIG).
        self._starter = starter or ThreadPoolExecutor(1, "raylet")
        self._coming: dict[int, Future[ray_seams.Node]] = {}
        self._monotonic = monotonic
        # For each node that failed to restart: the last pause, and when the next attempt is due.
        self._paused_s: dict[int, float] = {}
        self._again_at: dict[int, float] = {}

    def start(self) -> str:
        """Start the head, connect this process as a driver and begin to start the
        others; return the cluster's address."""
        # Ray logs errors for what a node with logical resources lacks, such as the driver of an NPU.
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        head = self._nodes[HEAD] = self._start_node(self._specs[0], None)
        self._address = str(head.gcs_address)
        for index in range(1, len(self._specs)):
            self._begin(index)
        connect(self._address)
        return self._address

    def wait_for_all(self) -> None:
        """Wait until every node has joined; raises the error that prevented it."""
        for index, coming in list(self._coming.items()):
            self._nodes[index] = coming.result()
            del self._coming[index]

    def head_lives(self) -> bool:
        """Say whether all processes of the head are alive."""
        return self._lives(HEAD)

    def _lives(self, index: int) -> bool:
        node = self._nodes.get(index)
        return node is not None and bool(node.remaining_processes_alive())

    def tend(self, say: Callable[[str], None]) -> bool:
        """Restart nodes that have ended; False when the head has ended, and with it the cluster.

        A node that does not start is logged and tried again later; the other nodes keep running.
        """
        for index in list(self._nodes):
            if index not in self._coming and not self._lives(index):
                if index == HEAD:
                    return False
                if self._monotonic() >= self._again_at.get(index, 0.0):
                    self._start_again(index, say)
            if index in self._coming and self._coming[index].done():
                self._note_start(index, say)
        return True

    def _start_again(self, index: int, say: Callable[[str], None]) -> None:
        """Begin a restart in the background: a failing one takes half a minute, and other nodes need care."""
        say(f"Ray node {index} has exited and is being restarted")
        # Ray calls a node alive that has no processes left, so ended processes are removed from its list.
        ended, self._nodes[index] = self._nodes[index], None
        if ended is not None:
            ray_seams.end_node(ended)
        self._begin(index)

    def _begin(self, index: int) -> None:
        self._coming[index] = self._starter.submit(self._start_node, self._specs[index], self._address)

    def _note_start(self, index: int, say: Callable[[str], None]) -> None:
        try:
            self._nodes[index] = self._coming.pop(index).result()
        except Exception as error:
            pause_s = min(2 * self._paused_s.get(index, AGAIN_S_MIN / 2), AGAIN_S_MAX)
            self._paused_s[index] = pause_s
            self._again_at[index] = self._monotonic() + pause_s
            say(f"Ray node {index} did not start; retrying in {pause_s:g} s: {reason_of(error)}")
        else:
            self._paused_s.pop(index, None)
            self._again_at.pop(index, None)

    def _start_node(self, spec: NodeSpec, gcs_address: str | None) -> ray_seams.Node:
        """Start a node for this GCS; without a GCS, start the head with one."""
        head = gcs_address is None
        params: dict[str, Any] = {
            "gcs_address": gcs_address,
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


def connect(address: str, environment: dict[str, str] | None = None) -> None:
    """Connect this process as a driver; `environment` is for workers of a cluster that somebody else
    started."""
    ray.init(
        address=address,
        namespace=NAMESPACE,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": environment} if environment else None,
    )

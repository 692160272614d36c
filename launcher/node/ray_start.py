"""The command line of `ray start`, and the environment of everything below it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.up import environment

# Three failed health checks of at most 4 s each declare a node dead.
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3,
}
# A raylet exits after this time without its GCS, which has declared it dead by then (HEALTH_CHECKS).
GCS_RECONNECT_S = 30
# What Ray prints when the node has joined the cluster.
STARTED = b"Ray runtime started."


@dataclass(frozen=True, slots=True, kw_only=True)
class RayStartPlan:
    """One node: the head where `address` is None."""

    address: str | None
    node_ip: str
    port: int
    api_port: int
    data_dir: Path
    autoscaling_config: str | None
    declared: list[str]
    more: list[str]

    @property
    def head_address(self) -> str:
        """Return where the head listens, as HOST:PORT."""
        return self.address or f"{self.node_ip}:{self.port}"


def command(plan: RayStartPlan) -> list[str]:
    """Return `ray start --block ...`: no dashboard, no usage statistics, health checks that notice a
    lost node in 15 s."""
    words = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        f"--node-ip-address={plan.node_ip}",
    ]
    words += ["--dashboard-agent-listen-port=0", "--include-log-monitor=false", "--disable-usage-stats"]
    if plan.address is None:
        config = HEALTH_CHECKS | {"gcs_rpc_server_reconnect_timeout_s": GCS_RECONNECT_S}
        words += ["--head", f"--port={plan.port}", "--include-dashboard=false", "--dashboard-host=127.0.0.1"]
        words += [f"--system-config={json.dumps(config)}"]
        words += [f"--autoscaling-config={plan.autoscaling_config}"] if plan.autoscaling_config else []
    else:
        words.append(f"--address={plan.address}")
    return [*words, *plan.declared, *plan.more]


def below(plan: RayStartPlan, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Ray's processes on this node; actors, API replicas and tasks inherit it."""
    made = environment.quiet() | environment.serving(plan.api_port)
    made |= {
        "RAY_AUTH_MODE": "token",
        # With version 2 the launcher never starts the workers of a cluster of one's own machines (Ray 2.60).
        "RAY_enable_autoscaler_v2": "0",
        "HELIX_DATA_DIR": str(plan.data_dir),
        "HELIX_NODE_DATA_DIR": str(plan.data_dir),  # actors/node_worker.py
    }
    kept = dict(inherited)
    environment.take_secrets(kept)
    return kept | made

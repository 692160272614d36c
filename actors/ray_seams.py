"""What we use of Ray beyond its public API: a node's processes, free resources by
node, and its NVML binding."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.seams import Seam

if TYPE_CHECKING:
    from ray._private.node import Node as Node

NODE = Seam(
    "ray",
    "ray._private.node",
    "Node",
    (
        "ray_params", "head", "shutdown_at_exit", "spawn_reaper", "connect_only", "default_worker",
        "ray_init_cluster",
    ),
)  # fmt: skip
NODE_LIVES = Seam("ray", "ray._private.node", "Node.remaining_processes_alive", ())
NODE_END = Seam(
    "ray", "ray._private.node", "Node.kill_all_processes", ("check_alive", "allow_graceful", "wait")
)
RAY_PARAMS = Seam("ray", "ray._private.parameter", "RayParams", None, ("worker_path", "env_vars"))
FREE = Seam("ray", "ray._private.state", "available_resources_per_node", ())
ACTORS = Seam("ray", "ray._private.state", "actors", ("actor_id", "job_id", "actor_state_name"))
SESSION = Seam("ray", "ray._private.worker", "_global_node")
KEEP_PACKAGE = Seam("ray", "ray.experimental.internal_kv", "_pin_runtime_env_uri", ("uri", "expiration_s"))
NVML = Seam("ray", "ray._private.thirdparty.pynvml", "nvmlInit", ())

API_SERVER = Seam(
    "ray", "ray._private.node", "Node.start_api_server", ("include_dashboard", "raise_on_failure")
)
LACKS_DASHBOARD = Seam("ray", "ray._private.utils", "get_dashboard_dependency_error", ())

AGENT_COMMAND = Seam(
    "ray",
    "ray._private.services",
    "_build_python_executable_command_memory_profileable",
    ("component", "session_dir", "unbuffered"),
)

PRELOAD = "HELIX_WORKERS_LOAD"
AGENTS = ("dashboard_agent", "runtime_env_agent")
# Files, because the raylet knows no modules.
AGENT_PROGRAM = str(Path(__file__).with_name("ray_agent.py"))
WORKER_PROGRAM = {"worker_path": str(Path(__file__).with_name("worker_template.py"))}
# What the actors of the head and Serve's processes load; no name that a package of a user could have.
OF_THE_HEAD = (
    "helix_ray.engine", "helix_ray.plane.control", "helix_ray.checkpoints", "helix_ray.blobs.store",
    "helix_ray.blobs.incoming", "helix_ray.accelerators.sampler", "helix_ray.execution.node_state",
    "helix_ray.execution.executor", "helix_ray.config", "cloudpickle", "fastapi.applications",
    "opentelemetry.sdk.trace", "pydantic_settings", "uvicorn.main",
)  # fmt: skip

SEAMS = (
    AGENT_COMMAND,
    API_SERVER,
    LACKS_DASHBOARD,
    NODE,
    NODE_LIVES,
    NODE_END,
    RAY_PARAMS,
    FREE,
    SESSION,
    ACTORS,
    KEEP_PACKAGE,
    NVML,
)


def start_node(params: dict[str, Any], *, head: bool) -> Node:
    """Start the processes of one Ray node as children of this process, which the kernel kills when it ends.

    `ray start` and ray.cluster_utils use the same class, which knows every process that it starts.
    """
    NODE_LIVES.find()
    without_dashboard()
    # spawn_reaper is PR_SET_PDEATHSIG on Linux.
    preload = {"env_vars": {PRELOAD: ",".join(OF_THE_HEAD)}} if head else {}
    node: Node = NODE.find()(
        RAY_PARAMS.find()(**params, **WORKER_PROGRAM, **preload),
        head=head,
        shutdown_at_exit=False,
        spawn_reaper=True,
    )
    return node


def end_node(node: Node) -> None:
    """Kill the remaining processes of a node that has lost one: they occupy ports and shared memory."""
    NODE_END.find()(node, check_alive=False, allow_graceful=False)


def without_dashboard() -> None:
    """Make Ray start as it does without the dashboard's packages: no API server, and
    agents that load nothing of Ray before they are asked (actors/ray_agent.py).

    We do not use them, and the API server alone costs 70 MiB and most of a second of CPU time.
    """

    def lacks_dashboard() -> ImportError:
        return ImportError("the dashboard is disabled here")

    def without_api_server(self: Any, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        self._webui_url = ""

    def python_command(component: str, session_dir: str, unbuffered: bool = True) -> list[str]:
        command = [sys.executable, *(["-u"] if unbuffered else [])]
        return [*command, "-S", AGENT_PROGRAM] if component in AGENTS else command

    AGENT_COMMAND.replace(python_command)
    LACKS_DASHBOARD.replace(lacks_dashboard)
    API_SERVER.replace(without_api_server)


def free_by_node() -> dict[str, dict[str, float]]:
    """Return Ray's free resources by node id and Ray's names, with one call for the whole cluster."""
    free: dict[str, dict[str, float]] = FREE.find()()
    return free


def nvml() -> Any:
    """Return the NVML binding with which Ray itself detects GPUs."""
    import ray._private.thirdparty.pynvml as binding

    NVML.find()
    return binding


def process_of(actor: Any) -> int | None:
    """Return the process id of an actor as Ray's GCS has it, on whichever host; None where it has none."""
    return ACTORS.find()(actor._actor_id.hex()).get("Pid") or None


def keep_package(uri: str, seconds: int) -> None:
    """Have Ray keep an uploaded package for so long, whatever becomes of its job."""
    KEEP_PACKAGE.find()(uri, expiration_s=seconds)


def session_folder() -> str | None:
    """Return the folder of Ray's sockets and logs, as this process was told; None where it was not."""
    node = SESSION.find()
    return None if node is None else str(node.get_session_dir_path())

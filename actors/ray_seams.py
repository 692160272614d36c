"""What we use of Ray that is not its public API: processes of a node, free resources by node, and its NVML binding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.seams import Seam

if TYPE_CHECKING:
    from ray._private.node import Node as Node

NODE = Seam(
    "ray",
    "ray._private.node",
    "Node",
    (
        "ray_params", "head", "shutdown_at_exit", "spawn_reaper", "connect_only", "default_worker", "ray_init_cluster",
    ),
)  # fmt: skip
NODE_LIVES = Seam("ray", "ray._private.node", "Node.remaining_processes_alive", ())
NODE_END = Seam(
    "ray", "ray._private.node", "Node.kill_all_processes", ("check_alive", "allow_graceful", "wait")
)
RAY_PARAMS = Seam("ray", "ray._private.parameter", "RayParams")
FREE = Seam("ray", "ray._private.state", "available_resources_per_node", ())
NVML = Seam("ray", "ray._private.thirdparty.pynvml", "nvmlInit", ())

API_SERVER = Seam(
    "ray", "ray._private.node", "Node.start_api_server", ("include_dashboard", "raise_on_failure")
)
LACKS_DASHBOARD = Seam("ray", "ray._private.utils", "get_dashboard_dependency_error", ())

SEAMS = (API_SERVER, LACKS_DASHBOARD, NODE, NODE_LIVES, NODE_END, RAY_PARAMS, FREE, NVML)


def start_node(params: dict[str, Any], *, head: bool) -> Node:
    """Start the processes of one Ray node, children of this process that ask the kernel for their end with ours.

    It is what `ray start` and ray.cluster_utils are made of, and knows every process that it starts.
    `agent` is the program that stands in for the dashboard's agent.
    """
    NODE_LIVES.find()
    _without_dashboard()
    # spawn_reaper is PR_SET_PDEATHSIG on Linux.
    node: Node = NODE.find()(
        RAY_PARAMS.find()(**params), head=head, shutdown_at_exit=False, spawn_reaper=True
    )
    return node


def end_node(node: Node) -> None:
    """Kill what is left of a node of which a process has ended: it keeps ports and shared memory."""
    NODE_END.find()(node, check_alive=False, allow_graceful=False)


def _without_dashboard() -> None:
    """Have Ray start as it does where the dashboard's packages are not installed: no API server, agents that serve nothing.

    Nothing here asks them, and the API server alone costs 70 MiB and most of a second of CPU.
    """

    def lacks_dashboard() -> ImportError:
        return ImportError("the dashboard is not wanted here")

    def without_api_server(self: Any, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        self._webui_url = ""

    LACKS_DASHBOARD.replace(lacks_dashboard)
    API_SERVER.replace(without_api_server)


def free_by_node() -> dict[str, dict[str, float]]:
    """Return what Ray has not given out, by node id and Ray's resource names; one question for the whole cluster."""
    free: dict[str, dict[str, float]] = FREE.find()()
    return free


def nvml() -> Any:
    """Return the NVML binding that Ray itself finds GPUs with."""
    import ray._private.thirdparty.pynvml as binding

    NVML.find()
    return binding

"""What we use or replace in Ray Serve beyond its public API: how its processes
listen, and its actors' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors import seams
from actors.seams import Seam

_CONSTANTS = "ray.serve._private.constants"
_START = ("app", "http_options", "event_loop", "enable_so_reuseport")

CONTROLLER = Seam("ray", _CONSTANTS, "SERVE_CONTROLLER_NAME")
NAMESPACE = Seam("ray", _CONSTANTS, "SERVE_NAMESPACE")
REPLICA_START = Seam("ray", "ray.serve._private.replica", "start_asgi_http_server", _START)
PROXY_START = Seam("ray", "ray.serve._private.proxy", "start_asgi_http_server", _START)
PROXY_NODES = Seam(
    "ray", "ray.serve._private.proxy_state", "ProxyStateManager._get_target_nodes", ("proxy_nodes",)
)
REPLICA_CALLS = Seam("ray", "ray.serve._private.replica", "add_port_to_grpc_server", ("server", "address"))
# Variables of launcher/up/environment.py: Serve stores each under its name, and ignores unknown ones.
VARIABLES = tuple(
    Seam("ray", _CONSTANTS, f"RAY_SERVE_{name}")
    for name in (
        "ENABLE_DIRECT_INGRESS", "THROUGHPUT_OPTIMIZED", "DIRECT_INGRESS_MIN_HTTP_PORT",
        "DIRECT_INGRESS_MAX_HTTP_PORT", "PORT_QUARANTINE_S", "DIRECT_INGRESS_MIN_DRAINING_PERIOD_S",
        "HTTP_PROXY_CALLBACK_IMPORT_PATH", "CONTROLLER_CALLBACK_IMPORT_PATH",
    )
)  # fmt: skip

SEAMS = (CONTROLLER, NAMESPACE, PROXY_NODES, REPLICA_START, REPLICA_CALLS, *VARIABLES)


def check() -> None:
    """Raise SeamMoved where this version of Serve differs from what is expected here."""
    seams.check(SEAMS)


def controller() -> tuple[str, str]:
    """Return the name and the namespace of Serve's controller."""
    return CONTROLLER.find(), NAMESPACE.find()


def start_replicas_with(start: Callable[..., Any]) -> None:
    """Make replicas listen with a function that has the signature of Serve's own."""
    REPLICA_START.replace(start)


def start_proxies_with(start: Callable[..., Any]) -> None:
    """Make Serve's proxies listen with a function that has the signature of Serve's own."""
    PROXY_START.replace(start)


def without_proxies() -> None:
    """Make Serve's controller, in whose process this is called, run no proxies.

    Serve has a setting for that, with which the replicas do not listen either.
    """

    def on_no_node(self: Any, proxy_nodes: Any) -> list[Any]:
        return []

    PROXY_NODES.replace(on_no_node)


def bind_replica_calls_to_loopback() -> None:
    """Bind the port for calls from other deployments to loopback; the API has no such callers."""
    add_port = REPLICA_CALLS.find()

    def add_loopback_port(server: Any, address: str) -> Any:
        return add_port(server, "127.0.0.1:0")

    REPLICA_CALLS.replace(add_loopback_port)

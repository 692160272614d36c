"""The API as a Ray Serve application: the only file that knows Serve.

`serve run serve_app.deployment:app` (and KubeRay) deploy it like any other application, in any of Serve's
modes, with settings from HELIX_* variables. `helix up` calls `deploy`.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.types import ASGIApp

from actors import logs
from actors.gateway import RayControlPlane
from actors.quota_server import QuotaServerLink
from actors.ray_nodes import listed
from helix_ray.config import Settings
from helix_ray.environment import read_settings
from helix_ray.security.keys import load_or_create_key
from serve_app.public_port import serve_seams

log = logging.getLogger(__name__)

# Makes the ASGI application on the replica, on the event loop that serves it.
AppFactory = Callable[[Settings], ASGIApp]

NAME = "helix"
GC_THRESHOLD = 50_000
REQUESTS_AT_ONCE_MAX = 4096
REPLICAS_MAX = 8
CORES_A_REPLICA = 3
# A dead replica is replaced when its next health check fails; one that hangs, after three timeouts.
HEALTH_CHECK_PERIOD_S = 0.5
HEALTH_CHECK_TIMEOUT_S = 10.0
DRAIN_S_MAX = 1.0
WATCH_EVERY_S = 5.0
# Ray gives this resource to the head node only.
HEAD_RESOURCE = "node:__internal_head__"


def control_plane_app(settings: Settings) -> ASGIApp:
    """Build the product's API over the actors of this cluster."""
    from serve_app.app import build_asgi
    from serve_app.edge.limiter import LeasingLimiter
    from serve_app.public_port import certificate_record

    logs.set_up()
    plane = RayControlPlane(process="api", cached=True, sync_shards=settings.sync_shards)
    certificate_record.record_with(plane)
    keys = load_or_create_key(settings.data_dir)
    limiter = LeasingLimiter(settings.rate_limits(), QuotaServerLink())
    wrapped: ASGIApp = build_asgi(
        plane, settings, keys, limiter, reporting=plane.report_replica, tracing=plane.report_traces
    )
    # Imported modules live for ever: each garbage collection of them would pause requests
    # for tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return wrapped


def watched_app(settings: Settings) -> ASGIApp:
    """Like control_plane_app, but without `helix up`: each replica watches the supervisor, in a thread."""
    from actors import boot

    watch = boot.Watch(settings, _head_node())

    def look_on() -> None:
        while True:
            try:
                watch.look()
            except Exception:
                # Fatal reasons too: /readyz reports them, and the platform decides
                # whether to replace replicas.
                log.exception("the control plane cannot continue or cannot be monitored")
            time.sleep(WATCH_EVERY_S)

    threading.Thread(target=look_on, name="watch", daemon=True).start()
    return control_plane_app(settings)


def load_factory(name: str) -> AppFactory:
    """Find `module:function`; raises ImportError or AttributeError naming what is missing."""
    module, _, function = name.partition(":")
    factory: AppFactory = getattr(importlib.import_module(module), function)
    return factory


def application(
    settings: Settings, factory: AppFactory, options: dict[str, Any] | None = None, replicas: int = 1
) -> serve.Application:
    """Bind the deployment; `options` are the Ray actor options of each replica beside num_cpus=0."""
    # The cluster stores deployments, so they must not contain the password.
    kept = settings.without_password()

    def build() -> ASGIApp:
        # The replica loads it anyway, and no other process needs it.
        from serve_app.public_port import layers

        made = factory(kept)
        layers.answer_with(made)
        return made

    @serve.deployment(
        name="Api",
        num_replicas=replicas,
        max_ongoing_requests=REQUESTS_AT_ONCE_MAX,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        # A log line costs as much as the request itself; the journal has the audit trail.
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=DRAIN_S_MAX,
        ray_actor_options={"num_cpus": 0} | (options or {}),
    )
    @serve.ingress(build)
    class Api:
        """One replica: the application, without any state."""

    # The decorator's type is the plain class.
    bound: serve.Application = Api.bind()  # type: ignore[attr-defined]
    return bound


def app(arguments: dict[str, str]) -> serve.Application:
    """Return the application for `serve run` and KubeRay, after starting its actors on the head node.

    Serve calls this in a task on any node (KubeRay), or in a program that is not connected yet (`serve run`).
    """
    from actors import boot

    # Serve's own proxy listens, wherever it was told to.
    settings = replace(read_settings(), host="")
    if not ray.is_initialized():
        ray.init(address="auto", log_to_driver=False)
    password = boot.start(settings, _head_node(), all_nodes=False)
    if password is not None:
        print(f"administrator: admin, password: {password} (shown only once)", flush=True)
    # The keys and the master's socket are on the head's disk.
    here = {"resources": {HEAD_RESOURCE: 0.001}}
    return application(settings, watched_app, here, settings.api_replicas or 1)


def replicas_for(settings: Settings) -> int:
    """Return how many replicas share the public port: the setting, or a number by the cores of this machine.

    An event loop uses one core; the master, the quota server and the tasks need the others.
    """
    cores = len(os.sched_getaffinity(0))
    return settings.api_replicas or max(1, min(REPLICAS_MAX, cores // CORES_A_REPLICA))


def _head_node() -> str:
    return next(node["NodeID"] for node in listed() if node["Alive"] and HEAD_RESOURCE in node["Resources"])


def running() -> bool:
    """Say whether Serve already runs on the connected cluster."""
    name, namespace = serve_seams.controller()
    try:
        ray.get_actor(name, namespace=namespace)
    except ValueError:
        return False
    return True


def deploy(settings: Settings, factory: AppFactory = control_plane_app) -> None:
    """Start Serve and the API on the node of the calling driver; returns when the replica listens.

    Needs the environment of launcher.up.environment.serving in Ray's processes. Raises RuntimeError when the
    application does not come up.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(
        http_options=HTTPOptions(
            host=settings.host,
            port=0,  # Serve's proxy would listen on it: `helix up` runs none
            ssl_certfile=_path(settings.tls_cert),
            ssl_keyfile=_path(settings.tls_key),
            ssl_ca_certs=_path(settings.tls_client_ca),
        )
    )
    here = {"label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()}}
    serve.run(application(settings, factory, here, replicas_for(settings)), name=NAME, route_prefix="/")


def withdraw() -> None:
    """Shut down the API and Serve; requests under way have DRAIN_S_MAX to finish."""
    serve.shutdown()


def _path(path: Any) -> str | None:
    return None if path is None else str(path.resolve())

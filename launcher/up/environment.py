"""The environment of every process below `helix up`: settings that Ray and Serve read only there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from launcher.up import data_dir as home
from launcher.up.password import FILE_VARIABLE, VARIABLE
from serve_app.public_port import shared_socket

MARKER = "HELIX_UP_ID"
TOKEN_BYTES = 32
NAMES = 512
# glibc gives allocating threads up to eight arenas a core, and free memory in one is lost to the others.
# Python's objects are not in them, so two are enough: this saves 1 to 3 MiB in each of Ray's processes.
HEAPS = {"MALLOC_ARENA_MAX": "2"}
# Only for the process that the user started; tasks must not inherit them.
SECRETS = (VARIABLE, FILE_VARIABLE)

# Settings that Serve's processes read from their environment before they import the application.
EDGE = (
    "HELIX_HEADER_", "HELIX_BODY_", "HELIX_ANSWER_", "HELIX_CONNECTION", "HELIX_TRUSTED_PROXIES",
)  # fmt: skip


def serving(port: int, ports: int = 1) -> dict[str, str]:
    """Return variables that make each replica listen itself, on one of `ports` ports from `port` (direct
    ingress, ray#60118).

    Without the quarantine the successor of a dead replica gets its port at once. There is no draining period:
    no proxy in front of the replica has to learn that it ends.
    """
    return {
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port),
        # The range is half open.
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port + ports),
        "RAY_SERVE_PORT_QUARANTINE_S": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.public_port.layers.middlewares",
        # Its proxy would serve nothing: a process of 80 MiB.
        "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serve_app.public_port.serve_seams.without_proxies",
        # uvicorn trusts X-Forwarded-For from 127.0.0.1 by default. Here the edge decides whom to trust.
        "FORWARDED_ALLOW_IPS": "none",
    }


def sharing(public_socket: Path) -> dict[str, str]:
    """Return variables that make all replicas accept from the socket that `public_socket` hands out.

    The ports that Serve assigns are then names only: nothing listens on them.
    """
    return serving(1, NAMES) | {shared_socket.VARIABLE: str(public_socket)}


def ray(data_dir: Path) -> dict[str, str]:
    """Return variables that bind Ray's ports to this machine, require the token, and keep Ray quiet.

    Drivers on this machine that join the cluster later need the same variables.
    """
    return {
        # Without this Ray replaces 127.0.0.1 by the machine's external address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token_file(data_dir)),
    } | quiet()


def quiet() -> dict[str, str]:
    """Return the variables of all Ray processes, on one machine or several."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Several nodes start at the same time, perhaps on a busy machine.
        "RAY_raylet_start_wait_time_s": "60",
        # Ray's own metrics; ours are at /metrics.
        "RAY_enable_metrics_collection": "0",
        # Ray runs its workers at niceness 15 by default, our master and API included.
        # Executors set their own.
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def _token_file(data_dir: Path) -> Path:
    """Return the path of the cluster's token, which is made at the first start (mode 0600)."""
    path = data_dir / home.TOKEN_FILE
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES))
    return path


def local(public_socket: Path, data_dir: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a session that starts its own cluster, without the shell's RAY_*
    variables.

    The shell's value for arenas is kept: functions that allocate in many native threads may need more.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("RAY_")}
    return HEAPS | kept | ray(data_dir) | sharing(public_socket)


def joined(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that workers of a cluster started by somebody else need: how to serve, and the
    edge's settings."""
    edge = {name: value for name, value in inherited.items() if name.startswith(EDGE)}
    return sharing(Path(inherited[shared_socket.VARIABLE])) | edge


def take_secrets(environment: MutableMapping[str, str]) -> None:
    """Remove the secrets from an environment."""
    for name in SECRETS:
        environment.pop(name, None)

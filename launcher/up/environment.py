"""The environment of every process below `helix up`: how Ray and Serve are told what they only read there."""

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
# glibc gives threads that allocate heaps of their own, up to eight a core, and what is free in one
# is of no use to others. Python's objects are not in them, and two are enough: 1 to 3 MiB less in
# each of Ray's processes.
HEAPS = {"MALLOC_ARENA_MAX": "2"}
# For the process that the user started; tasks run in processes that inherit what is left.
SECRETS = (VARIABLE, FILE_VARIABLE)

# Settings that Serve's processes read from their environment, before the application is there.
EDGE = (
    "HELIX_HEADER_", "HELIX_BODY_", "HELIX_ANSWER_", "HELIX_CONNECTION", "HELIX_TRUSTED_PROXIES",
)  # fmt: skip


def serving(port: int, ports: int = 1) -> dict[str, str]:
    """Return what makes each of Serve's replicas listen itself, on `ports` ports
    from `port` (direct ingress, ray#60118).

    Without the quarantine a replica that died may take its port again at once. No draining period: nothing
    stands before the replica that would have to be told.
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
        # uvicorn trusts X-Forwarded-For from 127.0.0.1 unless told whom to trust; the edge
        # decides that, so: nobody.
        "FORWARDED_ALLOW_IPS": "none",
    }


def sharing(public_socket: Path) -> dict[str, str]:
    """Return what makes the replicas accept from the socket that is to be had at
    `public_socket`, however many they are.

    The ports that Serve gives out are names then, of which there are enough: nobody listens on them.
    """
    return serving(1, NAMES) | {shared_socket.VARIABLE: str(public_socket)}


def ray(data_dir: Path) -> dict[str, str]:
    """Return what keeps Ray's ports to this machine and to holders of the token, and Ray quiet.

    Drivers on this machine that join the cluster later need the same.
    """
    return {
        # Ray turns 127.0.0.1 into the machine's outer address wherever it meets it, except with this.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token_file(data_dir)),
    } | quiet()


def quiet() -> dict[str, str]:
    """Return what all of Ray's processes get, on one machine or many."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Several nodes start at once, and a machine may be busy with other things.
        "RAY_raylet_start_wait_time_s": "60",
        # Of Ray's own figures; ours are at /metrics.
        "RAY_enable_metrics_collection": "0",
        # Ray runs its workers at niceness 15, and with them our master and API;
        # executors lower themselves again.
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def _token_file(data_dir: Path) -> Path:
    """Return the file that holds the cluster's token, made at the first start (mode 0600)."""
    path = data_dir / home.TOKEN_FILE
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES))
    return path


def local(public_socket: Path, data_dir: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a session that starts its own cluster; the shell's RAY_* is not for it.

    The shell's word on heaps is: tasks whose functions allocate in many native threads may want more.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("RAY_")}
    return HEAPS | kept | ray(data_dir) | sharing(public_socket)


def joined(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what workers of a cluster that was not started by us need of ours: how to
    serve, and the edge's settings."""
    edge = {name: value for name, value in inherited.items() if name.startswith(EDGE)}
    return sharing(Path(inherited[shared_socket.VARIABLE])) | edge


def take_secrets(environment: MutableMapping[str, str]) -> None:
    """Remove what no other process should read in its environment."""
    for name in SECRETS:
        environment.pop(name, None)

"""The environment of every process below `helix up`: how Ray and Serve are told what they only read there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from launcher.up import data_dir as home
from launcher.up.password import FILE_VARIABLE, VARIABLE

MARKER = "HELIX_UP_ID"
TOKEN_BYTES = 32
# For the process that the user started; tasks run in processes that inherit what is left.
SECRETS = (VARIABLE, FILE_VARIABLE)


def serving(port: int) -> dict[str, str]:
    """Return what makes Serve's replica listen on the public port itself (direct ingress, ray#60118).

    The range is half open, so its end is port + 1. Without the quarantine a replica that died may take its port again at
    once. No draining period: nothing stands before the replica that would have to be told.
    """
    return {
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port + 1),
        "RAY_SERVE_PORT_QUARANTINE_S": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.public_port.layers.middlewares",
        # uvicorn trusts X-Forwarded-For from 127.0.0.1 unless told whom to trust; the edge decides that, so: nobody.
        "FORWARDED_ALLOW_IPS": "none",
    }


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
        # Ray runs its workers at niceness 15, and with them our master and API; executors lower themselves again.
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


def local(port: int, data_dir: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a session that starts its own cluster; the shell's RAY_* is not for it."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("RAY_")}
    return kept | ray(data_dir) | serving(port)


def take_secrets(environment: MutableMapping[str, str]) -> None:
    """Remove what no other process should read in its environment."""
    for name in SECRETS:
        environment.pop(name, None)

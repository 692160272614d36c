"""The environment in which a program on this machine can join the cluster of `helix up`."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path

DATA_DIR = "~/.helix-ray"
# Written by launcher/up/data_dir.py, which the library cannot import.
STATE_FILE = "up.json"
TOKEN_FILE = "ray.token"
LOOPBACK = "127.0.0.1:"


CONNECT_S_MAX = 5.0


def ray_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set before Ray is imported; none where they are set
    already or nothing runs here."""
    if "RAY_ADDRESS" in environment:
        return {}
    data_dir = Path(environment.get("HELIX_DATA_DIR", DATA_DIR)).expanduser().resolve()
    try:
        address = json.loads((data_dir / STATE_FILE).read_bytes())["ray_address"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not address:
        return {}
    found = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token"}
    if not address.startswith(LOOPBACK):
        # A cluster that `helix up` has joined: the token is where Ray looks for it.
        return found
    return found | {
        "RAY_AUTH_TOKEN_PATH": str(data_dir / TOKEN_FILE),
        # Without it Ray replaces 127.0.0.1 by the machine's external address, and waits for ever.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def silent(address: str | None) -> str | None:
    """Return why nothing listens at "host:port", which Ray would wait minutes for; None where something does,
    and for an address of another form."""
    host, _, port = (address or "").rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S_MAX).close()
    except OSError as error:
        return f"nothing responds at {address}: {error}"
    return None


def imported_too_early(missing: Mapping[str, str]) -> str:
    """Return what to do where Ray was imported without these variables, which it reads only then."""
    names = " ".join(f"{name}={value}" for name, value in missing.items())
    return f"ray was imported before helix_ray.connect(): import it after, or start the program with {names}"

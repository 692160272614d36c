"""The configuration of a node's starter: the operator's settings, and paths that commands must not see."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from actors.ray_seams import session_folder
from helix_ray.config import Settings
from helix_ray.execution.starter.begin import Config
from helix_ray.execution.starter.bubblewrap import is_fresh
from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import Wanted
from helix_ray.socket_folders import folder_of_all

FOLDER = "commands"
RAY_TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"
SHORT_TEMPORARY = "/tmp"  # noqa: S108 - where the launcher has its sockets, whatever TMPDIR is
OPEN_PARENT = "/var/tmp"  # noqa: S108 - a folder of our own below it


def starter_config(settings: Settings, home: Path, worker_id: str) -> Config:
    """Return the starter's configuration; `home` is where this node keeps its things."""
    wanted = Wanted(settings.isolation, settings.run_as, _hidden(settings, home), settings.writable_folders())
    limits = CommandLimits(settings.log_bytes_max, settings.kill_grace_s, settings.kill_grace_s_max)
    root = home.resolve() / FOLDER / worker_id
    return Config(wanted, limits, str(root), f"{OPEN_PARENT}/helix-ray-{os.geteuid()}-{worker_id}")


def _hidden(settings: Settings, home: Path) -> tuple[str, ...]:
    """Return the control plane's own: data directory, keys, Ray's session folder and token."""
    named = [settings.data_dir, home, settings.tls_key, settings.admin_password_file, session_folder()]
    named += [os.environ.get(RAY_TOKEN_FILE)]
    temporary = tempfile.gettempdir()
    if not is_fresh(temporary):
        named.append(temporary)  # sockets are made there while cells live
    for place in sorted({temporary, SHORT_TEMPORARY}):
        named += [folder_of_all(place), Path(place, "ray")]
    return (*(str(path) for path in named if path), *settings.hidden_paths())

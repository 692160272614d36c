"""`helix down`: needs no setting but the data directory, and reads no other.

A wrong setting keeps nobody from stopping a server, and what reads settings takes longer to load than that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from helix_ray.home import DATA_DIR
from launcher.up import data_dir as home

VARIABLE = "HELIX_DATA_DIR"
DOWN_S_MAX = 15.0
KILLED_S_MAX = 15.0


class DoesNotStop(Exception):
    """What runs on a data directory does not stop, or none is named."""


def data_dir_of(environ: Mapping[str, str]) -> Path:
    """Return the data directory that the environment names. Raises DoesNotStop for an empty name, which would
    be the current folder."""
    name = environ.get(VARIABLE, DATA_DIR)
    if not name:
        raise DoesNotStop(f"{VARIABLE} must name a folder")
    return Path(name).expanduser().resolve()


def down(data_dir: Path) -> int:
    """Stop the instance on a data directory, and wait until it has ended; no instance is not an error.

    Raises DoesNotStop, or OSError where the directory cannot be used.
    """
    state = home.DATA_DIR.read(data_dir) if data_dir.exists() else None
    if state is None or not state.runs():
        if (data_dir / home.DATA_DIR.lock_file).exists() and not home.DATA_DIR.wait_until_free(
            data_dir, KILLED_S_MAX
        ):
            raise DoesNotStop(f"{data_dir} is locked by a process that does not stop")
        print(f"nothing is running on {data_dir}", file=sys.stderr)
        return 0
    os.kill(state.pid, signal.SIGTERM)
    if home.DATA_DIR.wait_until_free(data_dir, DOWN_S_MAX):
        return 0
    # The keeper ends everything when the front is gone, even when it was killed.
    if state.runs():
        os.kill(state.pid, signal.SIGKILL)
    if home.DATA_DIR.wait_until_free(data_dir, KILLED_S_MAX):
        return 0
    raise DoesNotStop(f"pid {state.pid} on {data_dir} does not stop")

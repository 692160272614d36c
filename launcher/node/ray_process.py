"""One life of Ray on this host: `ray start --block` and everything below it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from helix_ray.private import make_file
from launcher.node.ray_start import STARTED
from launcher.up import process_tree

# `ray start` itself looks once a second; a process that it has not seen die by then, it takes for one that
# `ray stop` ended.
ORDERLY_S = 3.0
STOP_S_MAX = 10.0


class RayProcess:
    """Starts Ray when constructed; `vital` are the names of processes without which this is not a node."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], log: Path, vital: frozenset[str]
    ) -> None:
        self._vital = vital
        self._log = log
        self._missing_since: float | None = None
        self._ready = False
        parent = os.getpid()
        make_file(log)
        with log.open("ab") as output:
            self._offset = output.tell()
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: process_tree.die_with_parent(
                    parent
                ),  # preexec_fn is safe: there is only one thread
            )

    @property
    def pid(self) -> int:
        """Return the process id of `ray start`."""
        return self._process.pid

    def ready(self) -> bool:
        """Say whether the node has become part of its cluster."""
        if not self._ready:
            with self._log.open("rb") as file:
                self._ready = _skip(file, self._offset).find(STARTED) >= 0
        return self._ready

    def crashed(self) -> bool:
        """Say whether `ray start` has ended: it does when one of its processes dies."""
        return self._process.poll() is not None

    def stopped(self, now: float) -> bool:
        """Say whether `ray stop` was run: Ray's processes are gone, and `ray start` still waits."""
        if not self.ready() or self._vital <= process_tree.names_below(self.pid):
            self._missing_since = None
            return False
        if self._missing_since is None:
            self._missing_since = now
        return now - self._missing_since > ORDERLY_S and not self.crashed()

    def stop(self) -> None:
        """Ask Ray to shut down, and wait; the supervisor kills what is left."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            give_up = time.monotonic() + STOP_S_MAX
            while self._process.poll() is None and time.monotonic() < give_up:
                time.sleep(0.05)


def _skip(file: IO[bytes], offset: int) -> bytes:
    file.seek(offset)
    return file.read()

"""The API beside the head's Ray: `helix up` in its joined mode, on the same data directory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from launcher.up import password, process_tree

# The keeper gives a session in a joined cluster 20 s to end.
STOP_S_MAX = 30.0
SWEEP_S_MAX = 30.0
READ_BYTES = 65_536


class ApiProcess:
    """Starts the process when constructed; `given` is the administrator's password."""

    def __init__(self, flags: list[str], environment: Mapping[str, str], given: str | None) -> None:
        parent = os.getpid()
        with password.handed_on(given, environment) as (own, handles):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "launcher.up", *flags],
                env=own,
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
                # When this process dies, the keeper below notices it and shuts everything down. preexec_fn is
                # safe: there is only one thread.
                preexec_fn=lambda: process_tree.die_with_parent(parent),
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """Return the process id of the front of `helix up`."""
        return self._process.pid

    def said(self) -> str:
        """Return the lines that it has printed since the last call."""
        assert self._process.stdout is not None
        try:
            return os.read(self._process.stdout.fileno(), READ_BYTES).decode(errors="replace")
        except BlockingIOError:
            return ""

    def exit_code(self) -> int | None:
        """Return its exit code; None while it runs. 0 means that it was stopped with `helix down`."""
        return self._process.poll()

    def stop(self) -> None:
        """Shut it down: finish requests, stop workers, take a last snapshot."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S_MAX)


def sweep(environment: Mapping[str, str], temp_dir: Path) -> None:
    """Remove the actors and the Serve application that a killed API left in the cluster."""
    command = [sys.executable, "-m", "launcher.up.session", "--temp-dir", str(temp_dir), "--sweep"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=SWEEP_S_MAX)

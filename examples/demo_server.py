"""A `helix up` of the demonstration's own: a temporary data directory, a free port, a
password nobody needs to know."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

import psutil

from launcher.up import process_tree

NODES = 3
READY_S_MAX = 120.0
STOP_S_MAX = 30.0
LINES_KEPT = 20
SAID = "helix up: "
# More than the demonstration asks for: some thousand requests, where a user has 1,000 an hour.
RATE_LIMIT = 1_000_000


class ServerFailed(Exception):
    """`helix up` did not start, or did not stop; the message is for the user."""


class DemoServer:
    """Starts with `with`, and is gone after it, whatever happens between."""

    def __init__(self, data_dir: Path) -> None:
        self.username, self.password = "admin", secrets.token_urlsafe(16)
        self.url = ""
        self._data_dir = data_dir / "data"
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._ready = threading.Event()
        self._told: Callable[[str], None] = lambda line: None

    def __enter__(self) -> DemoServer:
        # What loses its parent becomes ours, so that `processes_left` finds it.
        process_tree.adopt_orphans()
        command = [sys.executable, "-m", "launcher.up", "--nodes", str(NODES), "--port", str(free_port())]
        self._process = subprocess.Popen(
            [*command, "--data-dir", str(self._data_dir)],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A session of its own: Ctrl-C reaches us only, and we stop it in order.
            start_new_session=True,
            # Only one thread runs here yet, so this is safe: it ends when we are killed.
            preexec_fn=partial(process_tree.die_with_parent, os.getpid()),
        )
        self._reader = threading.Thread(target=self._read, name="helix-up-output", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except ServerFailed:
            # What went wrong first is what the user has to hear of.
            if error is None:
                raise
        finally:
            process_tree.kill_descendants()

    def wait_until_ready(self, told: Callable[[str], None]) -> None:
        """Return once requests are served; `told` gets each line of progress. Raises ServerFailed."""
        self._told = told
        self._ready.wait(READY_S_MAX)
        if not self.url:
            said = "\n".join(self._lines) or "it said nothing"
            raise ServerFailed(f"helix up did not become ready:\n{said}")

    def stop(self) -> None:
        """Ask it to end and wait until it has; safe to call twice. Raises ServerFailed when
        it does not, or not well."""
        if self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"helix up did not stop within {STOP_S_MAX:.0f} s") from None
        if code != 0:
            raise ServerFailed(f"helix up ended with exit code {code}:\n" + "\n".join(self._lines))

    def _environment(self) -> dict[str, str]:
        ours = ("HELIX_", "RAY_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "HELIX_ADMIN_PASSWORD": self.password,
            "HELIX_RATE_LIMIT_AUTHENTICATED": str(RATE_LIMIT),
            "HELIX_RATE_LIMIT_UNAUTHENTICATED": str(RATE_LIMIT),
            "HELIX_RATE_LIMIT_STREAMS": str(RATE_LIMIT),
            # Isolated commands have a /tmp of their own; these sources may be below the machine's.
            "HELIX_ISOLATION_WRITABLE": str(Path(__file__).parent),
        }

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.rstrip()
            self._lines.append(text)
            if text.startswith("ready "):
                self.url = text.split()[1]
                self._ready.set()
            elif text.startswith(SAID) and not self.url:
                self._told(text.removeprefix(SAID))
        self._ready.set()


def free_port() -> int:
    """Return a port on 127.0.0.1 that is free with its successor, below the range that
    outgoing connections take."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def processes_left() -> list[str]:
    """Return what runs below this process, orphans included; a list that ought to be empty."""
    found = []
    for pid in process_tree.descendants(os.getpid()):
        try:
            found.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())[:120]}")
        except psutil.Error:
            continue  # it has ended meanwhile
    return found

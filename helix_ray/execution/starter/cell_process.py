"""The starter's end of one cell: its process, its socket, and the certainty that all of it is gone."""

from __future__ import annotations

import array
import contextlib
import fcntl
import itertools
import marshal
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helix_ray.execution.environment import SESSION_MARK
from helix_ray.execution.starter import cgroups
from helix_ray.execution.starter.isolation import cell_command
from helix_ray.execution.starter.levels import CellFolders, CellSpec, Isolation, Wanted

INLINE_BYTES_MAX = 64 * 1024
"""A request beyond this goes in a file of memory: a datagram's size is limited."""

ANSWER_BYTES_MAX = 64 * 1024
GONE_S_MAX = 5.0
"""How long the end of a killed cell is waited for, in seconds; a process in uninterruptible sleep may
take for ever."""

NICENESS = 10
SIGTERM_ALL, SIGKILL_ALL = b"T", b"K"

_READ_ONLY = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL

_numbers = itertools.count(1)
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class CellRequest:
    """A command to start: `folder` None for the attempt's own; `stdin` is what it can read."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: str | None
    own_folder: str
    stdin: bytes = b""


class CellProcess:
    """One cell. `process_id` is known once it has said that it is ready."""

    def __init__(self, wanted: Wanted, isolation: Isolation, spec: CellSpec, folders: CellFolders) -> None:
        self.spec = spec
        self.group = cgroups.make(next(_numbers), spec)
        self.folders = folders
        self.process_id: int | None = None
        self._handle: int | None = None
        self.connection, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.connection.setblocking(False)
        self._words = os.memfd_create("words")
        with inner:
            argv = cell_command(wanted, isolation, spec, folders, inner.fileno())
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=self._words, stderr=self._words, env=_environment(),
                cwd="/", umask=0o022, pass_fds=(inner.fileno(),), start_new_session=True,
            )  # fmt: skip

    @property
    def pids(self) -> set[int]:
        """Return the processes of this cell that are ours."""
        return {self._process.pid, self.process_id or self._process.pid}

    def start(self, request: CellRequest, output: int) -> None:
        """Have the cell start a command whose output goes to the descriptor; raises OSError."""
        body = marshal.dumps(
            (list(request.argv), dict(request.environment), request.folder, request.own_folder)
        )
        with contextlib.ExitStack() as files:
            streams = [output, _readable("stdin", request.stdin, files)] if request.stdin else [output]
            if len(body) <= INLINE_BYTES_MAX:
                self._send(b"R" + body, *streams)
            else:
                self._send(b"M", *streams, _readable("request", body, files))

    def signal(self, which: bytes) -> None:
        """Send SIGTERM_ALL or SIGKILL_ALL to everything that runs in the cell."""
        with contextlib.suppress(OSError):
            self.connection.send(which)

    def receive(self) -> str | None:
        """Return the next answer, "" where the cell has hung up, None where there is none yet."""
        try:
            data, control, _, _ = self.connection.recvmsg(
                ANSWER_BYTES_MAX, socket.CMSG_SPACE(_CREDENTIALS.size)
            )
        except BlockingIOError:
            return None
        except OSError:
            return ""
        if self.process_id is None and data:
            self._meet(control)
        return data.decode("utf-8", "replace")

    def end(self) -> None:
        """Kill the cell, and return when it and, where it is contained, everything in it is gone."""
        with contextlib.suppress(OSError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                select.select([self._handle], [], [], GONE_S_MAX)
            else:
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GONE_S_MAX)
        self.connection.close()
        if self.group is not None:
            self.group.remove()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def last_words(self) -> str:
        """Return what the cell or bubblewrap wrote before it ended, once."""
        words = os.pread(self._words, 2000, 0).decode("utf-8", "replace").strip()
        os.close(self._words)
        return words

    def _meet(self, control: Sequence[tuple[int, int, bytes]]) -> None:
        for _, kind, data in control:
            if kind == socket.SCM_CREDENTIALS:
                self.process_id = _CREDENTIALS.unpack(data)[0]
                with contextlib.suppress(OSError):
                    self._handle = os.pidfd_open(self.process_id)
                    if self.group is not None:
                        self.group.add(self.process_id)
                    os.setpriority(os.PRIO_PROCESS, self.process_id, NICENESS)

    def _send(self, data: bytes, *descriptors: int) -> None:
        rights = array.array("i", descriptors)
        self.connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _readable(name: str, content: bytes, files: contextlib.ExitStack) -> int:
    """Return a descriptor of a file of memory, from which its content can only be read, for as long as
    `files` is open. It is sealed, since a command could open it again for writing, below /proc."""
    made = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(made, "wb") as writer:
        writer.write(content)
        writer.flush()
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, _READ_ONLY)
        descriptor = os.open(f"/proc/self/fd/{made}", os.O_RDONLY | os.O_CLOEXEC)
    files.callback(os.close, descriptor)
    return descriptor


def _environment() -> dict[str, str]:
    """Return what a cell itself needs: no more can be read from it."""
    return {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", SESSION_MARK) if name in os.environ
    }

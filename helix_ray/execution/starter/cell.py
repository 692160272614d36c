"""Starts commands one at a time and ends every process of each: `cell.py SOCKET PARENT UID GID ATTEMPTS...`.

The one process of ours behind the isolation. In a namespace of process ids it is the first process,
elsewhere a subreaper, so that every orphan of a command becomes its child, whatever session or group that
made for itself.

It is run by its path with `python -I -S`, and uses what is built in and some C modules: it is there in 15
ms, has 8 MiB, and reads no file of ours once it runs as somebody else. It trusts what it receives and is
not trusted itself: answers are short texts. On the socket, one datagram each:

    request   R + marshal of (argv, environment, folder or None, attempt's folder), with the descriptors that
              take the output and, if there is any, give the input; M + nothing, with a last descriptor that
              contains the same
              T: SIGTERM to all, and wait for all; K: SIGKILL to all
    answer    H: ready. S PID: started. E TEXT: cannot be started, TEXT says why.
              X STATUS CLEAN: no process of the command is left; its wait status, and whether nothing else
              is left
"""

import marshal
import posix  # built in, where `os` would have to be read from disk
import sys

# The heart of ctypes, without the 5 ms that the package itself takes.
from _ctypes import call_function, dlopen, dlsym
from _signal import (  # type: ignore[import-not-found]
    SIG_IGN,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGSTOP,
    SIGTERM,
    pidfd_send_signal,
    set_wakeup_fd,
    signal,
    valid_signals,
)
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, socket
from errno import ECHILD, ENOEXEC
from select import POLLIN, poll

# <linux/prctl.h>
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522  # <linux/capability.h>
MESSAGE_BYTES_MAX = 256 * 1024
CANNOT_EXECUTE = 126  # as a shell says it
DESCRIPTORS_MAX = 3
EXECUTABLE = 1  # X_OK
REGULAR, FOLDER, KIND = 0o100000, 0o040000, 0o170000
# Where a command may leave files that the next one would see.
SHARED_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue")  # noqa: S108
SYSV_TABLES = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")
LEFT_ENTRIES_MAX = 1000

CellRequest = tuple[list[str], dict[str, str], str | None, str]


class CannotExecute(Exception):
    """The command cannot be started; the message says why."""


class Cell:
    """Serves the starter until the socket ends."""

    def __init__(self, connection: socket, alone: bool, attempts: str, kept: list[str]) -> None:
        self._connection = connection
        # In a namespace of its own: every process that it sees is one of the command.
        self._alone = alone
        # The attempts' own folders are below it: one at a time, which the starter takes away.
        self._attempts = attempts
        # Folders in which a command may leave what it likes: the operator's writable ones.
        self._kept = kept
        self._own_folder = ""
        self._leader = 0
        self._status: int | None = None
        self._waits = False  # SIGTERM was sent: what is left has time to end
        self._woken, wake = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal(SIGCHLD, lambda *_: None)
        self._signals = [number for number in valid_signals() if number not in (SIGKILL, SIGSTOP)]
        self._as_begun = self._left() if alone else []

    def serve(self) -> None:
        """Answer requests; return when the starter has hung up."""
        self._say("H")
        events = poll()
        events.register(self._connection.fileno(), POLLIN)
        events.register(self._woken, POLLIN)
        while True:
            for descriptor, _ in events.poll():
                if descriptor == self._woken:
                    posix.read(self._woken, 4096)
                    self._reap()
                elif not self._take():
                    return

    def _say(self, text: str) -> None:
        self._connection.send(text.encode("utf-8", "backslashreplace"))

    def _take(self) -> bool:
        data, control, _, _ = self._connection.recvmsg(
            MESSAGE_BYTES_MAX, CMSG_SPACE(4 * DESCRIPTORS_MAX), MSG_CMSG_CLOEXEC
        )
        if not data:
            return False
        if data == b"T":
            self._waits = True
            self._signal_all(SIGTERM)
        elif data == b"K":
            self._waits = False
            self._signal_all(SIGKILL)
        else:
            self._start(
                data, [_int(part[at : at + 4]) for _, _, part in control for at in range(0, len(part), 4)]
            )
        return True

    def _start(self, data: bytes, descriptors: list[int]) -> None:
        try:
            is_whole = data[:1] == b"R"
            body = data[1:] if is_whole else _read_all(descriptors[-1])
            streams = descriptors if is_whole else descriptors[:-1]
            self._spawn(marshal.loads(body), *streams)  # noqa: S302 - the starter is trusted
        except CannotExecute as error:
            self._say(f"E {error}")
        finally:
            for descriptor in descriptors:
                posix.close(descriptor)

    def _spawn(self, request: CellRequest, output: int, given: int | None = None) -> None:
        argv, environment, folder, own_folder = request
        self._waits, self._status, self._own_folder = False, None, own_folder
        _enter(folder if folder is not None else own_folder, given=folder is not None)
        program = _find(argv[0], environment.get("PATH", ""))
        actions = [
            (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0)
            if given is None
            else (posix.POSIX_SPAWN_DUP2, given, 0),
            (posix.POSIX_SPAWN_DUP2, output, 1),
            (posix.POSIX_SPAWN_DUP2, output, 2),
        ]
        try:
            self._leader = posix.posix_spawn(
                program,
                argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=self._signals,
            )
        except OSError as error:
            if error.errno != ENOEXEC:
                raise CannotExecute(f"{program} cannot be executed: {error.strerror}") from error
            posix.write(output, f"{program}: {error.strerror}\n".encode())
            self._say("S 0")
            self._say(f"X {CANNOT_EXECUTE << 8} 1")
        else:
            self._say(f"S {self._leader}")
        finally:
            posix.chdir("/")

    def _reap(self) -> None:
        if not self._leader:
            _wait_for_all()
            return
        for pid, status in _wait_for_all():
            if pid == self._leader:
                self._status = status
        if self._status is None:
            return
        if _has_children():
            if not self._waits:
                self._signal_all(SIGKILL)
            return
        self._leader = 0
        clean = int(not self._alone or self._left() == self._as_begun)
        self._say(f"X {self._status} {clean}")

    def _left(self) -> list[str]:
        return _left([*SHARED_FOLDERS, self._attempts], self._kept, self._own_folder)

    def _signal_all(self, number: int) -> None:
        if self._alone:
            try:
                posix.kill(-1, number)
            except ProcessLookupError:
                return
        else:
            for pid in _descendants():
                _signal(pid, number)


def _int(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _read_all(descriptor: int) -> bytes:
    data = b""
    while part := posix.pread(descriptor, 1 << 20, len(data)):
        data += part
    return data


def _enter(folder: str, *, given: bool) -> None:
    try:
        posix.chdir(folder)
    except OSError as error:
        name = "working_dir" if given else "the attempt's folder"
        why = (
            "is not a directory on this node"
            if isinstance(error, FileNotFoundError | NotADirectoryError)
            else (f"cannot be entered: {error.strerror}")
        )
        raise CannotExecute(f"{name} {folder!r} {why}") from error


def _find(program: str, path: str) -> str:
    """Return the file that argv[0] names in the command's own PATH and folder; raises CannotExecute."""
    folders = [""] if "/" in program else [f"{folder or '.'}/" for folder in path.split(":")]
    candidates = [folder + program for folder in folders]
    for candidate in candidates:
        try:
            if posix.stat(candidate).st_mode & KIND == REGULAR and posix.access(candidate, EXECUTABLE):
                return candidate
        except (OSError, ValueError):
            continue
    raise CannotExecute(f"program {program!r} does not exist or cannot be executed (PATH is {path})")


def _wait_for_all() -> list[tuple[int, int]]:
    """Return (pid, wait status) of every child that has ended."""
    ended = []
    try:
        while (one := posix.waitpid(-1, posix.WNOHANG))[0]:
            ended.append(one)
    except ChildProcessError:
        pass
    return ended


def _has_children() -> bool:
    try:
        posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
    except OSError as error:
        return error.errno != ECHILD
    return True


def _parents() -> dict[int, list[int]]:
    """Return the children of each process, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for name in posix.listdir("/proc"):
        if name.isdigit() and (parent := _parent(int(name))):
            children.setdefault(parent, []).append(int(name))
    return children


def _parent(pid: int) -> int:
    """Return the parent of a process, 0 where it is gone (proc_pid_stat(5): 4 is the parent)."""
    try:
        file = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return 0
    try:
        stat = posix.read(file, 4096)
    except OSError:
        return 0
    finally:
        posix.close(file)
    return int(stat[stat.rindex(b")") + 2 :].split(b" ", 2)[1])


def _descendants() -> list[int]:
    children = _parents()
    found = list(children.get(posix.getpid(), ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def _signal(pid: int, number: int) -> None:
    try:
        handle = posix.pidfd_open(pid)
    except OSError:
        return
    try:
        pidfd_send_signal(handle, number)
    except OSError:
        pass
    finally:
        posix.close(handle)


def _left(shared: list[str], kept: list[str], own: str) -> list[str]:
    """Return what is in the folders and tables that commands of this cell share, `kept` and an attempt's
    own folder left out, and the modes of these folders: the next command must be able to use them."""
    folders = [folder for folder in shared if folder not in kept]
    left = [f"{folder} {_mode(folder):o}" for folder in folders]
    folders = [folder for folder in folders if _is_ours(folder)]
    for folder in folders:
        try:
            entries = posix.listdir(folder)
        except OSError:
            continue  # it is itself in the list
        for name in entries:
            path = f"{folder}/{name}"
            if path == own and _is_folder(path):
                continue
            left.append(path)
            if path not in kept and _is_folder(path):
                folders.append(path)
        if len(left) > LEFT_ENTRIES_MAX:
            break
    for table in SYSV_TABLES:
        try:
            file = posix.open(table, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            continue
        left.append(str(posix.read(file, 65536).count(b"\n")))
        posix.close(file)
    return sorted(left)


def _is_folder(path: str) -> bool:
    return _mode(path) & KIND == FOLDER


def _mode(path: str) -> int:
    try:
        return posix.lstat(path).st_mode
    except OSError:
        return 0


def _is_ours(folder: str) -> bool:
    return posix.access(folder, 7)


def _control(option: int, value: int) -> None:
    call_function(dlsym(dlopen(None, 0), "prctl"), (option, value, 0, 0, 0))  # type: ignore[arg-type]


def _become(uid: int, gid: int) -> None:
    """Become another user for good. What could be inherited of the capabilities that it took is given up
    by itself."""
    if uid >= 0 and posix.getuid() != uid:
        posix.setgroups([gid])
        posix.setresgid(gid, gid, gid)
        posix.setresuid(uid, uid, uid)
        header = CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
        call_function(dlsym(dlopen(None, 0), "capset"), (header, bytes(24)))  # type: ignore[arg-type]


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    descriptor, parent, uid, gid = map(int, sys.argv[1:5])
    connection = socket(AF_UNIX, SOCK_SEQPACKET, 0, descriptor)
    posix.set_inheritable(descriptor, False)
    alone = posix.getpid() == 1
    for number in (SIGHUP, SIGINT, SIGTERM):
        signal(number, SIG_IGN)
    _become(uid, gid)
    _control(PR_SET_NO_NEW_PRIVS, 1)
    # Nobody of the same user may trace it or read its memory.
    _control(PR_SET_DUMPABLE, 0)
    _control(PR_SET_CHILD_SUBREAPER, 1)
    if not alone:
        _control(PR_SET_PDEATHSIG, SIGKILL)
        if posix.getppid() != parent:
            posix._exit(1)
    posix.umask(0o022)
    posix.chdir("/")
    Cell(connection, alone, sys.argv[5], sys.argv[6:]).serve()


if __name__ == "__main__":
    main()

"""Every line of SECURITY.md's table of commands: a command tries it, and gets nowhere.

The control plane is played by a process of the server's user, with a secret in its environment, and a data
directory with a key and a socket in it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helix_ray.execution.starter import bubblewrap
from helix_ray.execution.starter.isolation import in_force
from helix_ray.execution.starter.levels import CellFolders, CellSpec, Isolation, NotOffered, Wanted, Wish
from tests.unit.execution.starter_end import StarterEnd, needs

SECRET = "ba5eba11-the-signing-key"
NOBODY = 65534
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SYSTEM_PYTHON = "/usr/bin/python3"

PTRACE, PTRACE_ATTACH = {"x86_64": 101, "aarch64": 117}.get(os.uname().machine, -1), 16
DIAL = """perl -MSocket -e 'socket(S, FAMILY, SOCK_STREAM, 0) or die; connect(S, ADDRESS) or die "$!"'"""
CONNECT = DIAL.replace("FAMILY", "AF_UNIX").replace("ADDRESS", "pack_sockaddr_un(shift)")
LOCALHOST = 'pack_sockaddr_in(shift, inet_aton("127.0.0.1"))'
CONNECT_PORT = DIAL.replace("FAMILY", "AF_INET").replace("ADDRESS", LOCALHOST)
TRACE = f"""perl -e 'exit(syscall({PTRACE}, {PTRACE_ATTACH}, shift, 0, 0) == -1)'"""


@dataclass
class World:
    """A starter at one level, and the control plane's things."""

    level: str
    end: StarterEnd
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def contained(self) -> bool:
        return self.level != "user"

    def fails(self, shell: str, **more: object) -> str:
        """Return the output of a line that must fail, and must not have shown the secret."""
        outcome = self.end.run({"shell": shell, **more})
        assert not outcome.ok, outcome
        assert SECRET not in (outcome.output_tail or "")
        return outcome.output_tail or ""


@dataclass(frozen=True)
class Level:
    """A level of isolation, whom the server runs as, and what it must be called."""

    wanted: Wish
    run_as: str | None
    ordinary: bool
    name: str


LEVELS = {
    "namespaces": Level("namespaces", None, False, "namespaces"),
    "namespaces as another user": Level("namespaces", "nobody", False, "namespaces as nobody"),
    "namespaces of an ordinary user": Level("namespaces", None, True, "namespaces"),
    "user": Level("user", None, False, "user as nobody"),
}
# What another user alone does not give (SECURITY.md) is promised by these only.
CONTAINED = [name for name in LEVELS if name != "user"]


def needed(condition: object, what: str) -> None:
    """Skip on a laptop, fail in CI, where something is missing."""
    if not condition:
        assert "CI" not in os.environ, f"{what} is missing"
        pytest.skip(f"needs {what}")


def folder_for(user: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hx-", dir="/var/tmp"))
    os.chown(folder, user, user)
    return folder


@pytest.fixture(scope="module", params=LEVELS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    level = LEVELS[request.param]
    needs(level.wanted)
    needed(os.geteuid() == 0, "root")
    needed(shutil.which("perl") and shutil.which("setpriv") and PTRACE > 0, "perl and setpriv")
    before, python, user = (), sys.executable, 0
    if level.ordinary:
        needed(os.path.exists(SYSTEM_PYTHON), "a Python that every user may run")
        before, python, user = AS_NOBODY, SYSTEM_PYTHON, NOBODY
    folder = folder_for(user)
    for name in ("data", "home", "home/.ssh", "scratch"):
        (folder / name).mkdir(mode=0o700)
    for name in ("data/jwt.key", "home/.ssh/id_rsa"):
        (folder / name).write_text(SECRET)
        (folder / name).chmod(0o600)
    for place in (folder, *folder.rglob("*")):
        os.chown(place, user, user)
    (folder / "scratch").chmod(0o777)
    if level.wanted == "user":
        folder.chmod(0o711)
    hidden = (str(folder / "data"), str(folder / "node"), str(folder / "logs"))
    wanted = Wanted(level.wanted, level.run_as, hidden, (str(folder / "scratch"),))
    with listening(folder / "data" / "door"):
        os.chown(folder / "data" / "door", user, user)
        victim = subprocess.Popen([*before, "sleep", "10000"], env={**os.environ, "SECRET": SECRET})
        end = StarterEnd(folder, wanted, before=before, python=python, HOME=str(folder / "home"))
        assert end.ready is not None
        assert end.ready.isolation == level.name
        yield World(request.param, end, folder, victim)
        end.close()
        assert victim.poll() is None, "the control plane's process lives"
        victim.kill()
        victim.wait()
    shutil.rmtree(folder)


class listening:  # noqa: N801 - reads as a verb
    """A Unix socket at a path, or a TCP port of 127.0.0.1, that accepts whoever comes."""

    def __init__(self, path: Path | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self.socket.bind(("127.0.0.1", 0) if path is None else str(path))
        self.socket.listen(16)

    def __enter__(self) -> socket.socket:
        return self.socket

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def test_it_reads_its_input(world: World) -> None:
    """A file of memory reaches it behind every isolation, as another user too."""
    assert world.end.run({"argv": ["cat"], "stdin": "given"}).output_tail == "given"


def test_it_cannot_read_the_data_directory(world: World) -> None:
    """Keys, tokens, journal, logs, other attempts' folders."""
    world.fails(f"cat {world.folder}/data/jwt.key")
    world.fails(f"ls -A {world.folder}/data | grep .")
    world.fails(f"cat {world.folder}/logs/*.log")
    world.end.output(f"echo {SECRET} > kept", task_id="other")
    assert world.end.ready is not None
    world.fails(f"cat {world.end.ready.attempts}/other.1/kept", slot="s2")


def test_it_cannot_read_credentials(world: World) -> None:
    """Those of the server's user, and the system's."""
    world.fails(f"cat {world.folder}/home/.ssh/id_rsa")
    world.fails("grep . /etc/shadow")


def test_credentials_are_hidden_where_the_home_is_not() -> None:
    """Whoever reads the session that `helix login` has stored is that user, an administrator perhaps."""
    needs("namespaces")
    folder = folder_for(os.geteuid())
    session = folder / "home" / ".config" / "helix-ray" / "session.json"
    session.parent.mkdir(parents=True)
    session.write_text(SECRET)
    end = StarterEnd(folder, Wanted("namespaces", writable=(str(folder),)), HOME=f"{folder}/home")
    try:
        assert end.output(f"ls -A {folder}/home") == ".config\n"
        assert not end.run({"shell": f"cat {session}"}).ok
    finally:
        end.close()
        shutil.rmtree(folder)


def test_it_cannot_touch_processes_of_the_control_plane(world: World) -> None:
    """Neither see (but for another user), nor signal, nor trace, nor read environment and memory."""
    pid = world.process.pid
    for target in (pid, world.end.process.pid):
        if world.contained:
            world.fails(f"ls /proc/{target}")
        for line in (
            f"cat /proc/{target}/environ",
            f"head -c 1 /proc/{target}/mem",
            f"{TRACE} {target}",
            f"kill -9 {target}",
        ):
            world.fails(line)
        assert os.path.exists(f"/proc/{target}")


@pytest.mark.parametrize("world", CONTAINED, indirect=True)
def test_it_cannot_touch_other_attempts(world: World) -> None:
    """In another slot, at the same time."""
    other = world.end.submit({"argv": ["sleep", "4242.5"]}, slot="other")
    world.end.started(other)
    world.fails("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 4242[.]5")
    world.end.cancel(other, slot="other")
    world.end.finished(other)


def test_it_cannot_connect_to_sockets_of_the_control_plane(world: World) -> None:
    """They are not there."""
    world.fails(f"{CONNECT} {world.folder}/data/door")
    if world.contained:
        assert world.end.output("find /run /tmp -type s | wc -l") == "0\n"


def test_it_cannot_write_outside_its_folders(world: World) -> None:
    """The product's own code is one such place; the operator's writable folder and /tmp are none."""
    world.fails("touch /usr/planted")
    for place in (Path(__file__).parents[3] / "helix_ray", Path("/usr"), Path("/etc"), world.folder / "data"):
        # Below /tmp, which is another one inside, it may seem to work.
        world.end.run({"shell": f"touch {place}/planted"})
        assert not (place / "planted").exists()
    assert world.end.output("touch /tmp/x own && rm /tmp/x && ls") == "own\n"
    if world.contained:
        world.end.output(f"echo shared > {world.folder}/scratch/x")
        assert (world.folder / "scratch" / "x").read_text() == "shared\n"


def test_it_cannot_change_the_kernel(world: World) -> None:
    """A setting of root's is not writable by a command of root, which has no capability but the same user
    id."""
    setting = "/proc/sys/kernel/core_pattern"
    world.fails(f'value=$(cat {setting}); echo "$value" > {setting}')
    world.fails("echo h > /proc/sysrq-trigger")
    world.fails("mount -t tmpfs tmpfs /mnt")


def test_it_cannot_gain_privileges(world: World) -> None:
    """No set-user-id program helps, and there is no capability to begin with."""
    status = world.end.output("cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["NoNewPrivs"] == "1"
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}


def test_it_cannot_forge_its_exit_code(world: World) -> None:
    """The cell, its parent, is neither traced nor killed: the exit code is the command's."""
    world.fails(f"{TRACE} $PPID")
    world.fails("cat /proc/$PPID/environ")
    outcome = world.end.run({"shell": "kill -9 $PPID; sleep 0.2; exit 3"})
    if world.contained:
        assert outcome.exit_code == 3
    else:
        assert outcome.error is not None
        assert outcome.error.reason == "lost"


MSGGET = {"x86_64": 68}.get(os.uname().machine, 186)
LEFT_BEHIND = {
    "a file in /tmp": "touch /tmp/left",
    "a folder in /var/tmp": "mkdir /var/tmp/left",
    "shared memory": "echo x > /dev/shm/left",
    "a System V queue": f"perl -e 'syscall({MSGGET}, 77, 0666 | 01000) >= 0 or die'",
    "a process": "setsid sleep 4243.5 &",
    "a file beside its folder": "touch ../left",
    "a link in place of its folder": "cd /; rm -r $HELIX_ATTEMPT_DIR; ln -s /usr $HELIX_ATTEMPT_DIR",
    "a folder of attempts that is closed": "chmod 0 ..",
    "a folder of its own that is closed": "touch left; chmod 0 .",
    "a /tmp that is closed": "chmod 0 /tmp || true",
    "a file in a /tmp that is closed": "touch /tmp/left; chmod 0 /tmp || true",
    "a device node that leads elsewhere": "ln -sf /usr /dev/stdout || true",
    "a file in /dev": "touch /dev/left || true",
}
LOOK = (
    "stat -c '%a %n' /tmp /var/tmp /dev/shm ..; readlink /dev/stdout; ls -A .. | grep -vc $HELIX_TASK_ID;"
    " ls -A /dev; ls -A /tmp /var/tmp /dev/shm; cat /proc/sysvipc/*;"
    " cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 4243[.]5"
)


@pytest.mark.parametrize("world", CONTAINED, indirect=True)
@pytest.mark.parametrize("left", LEFT_BEHIND)
def test_it_cannot_leave_anything_behind(world: World, left: str) -> None:
    """The next command in the slot meets what the first one met."""
    before = world.end.run({"shell": LOOK}).output_tail
    world.end.output(LEFT_BEHIND[left])
    assert world.end.run({"shell": LOOK}).output_tail == before


def test_it_has_no_network_if_its_task_says_so(world: World) -> None:
    """A port of the host is reached with the network, and not without; a level that cannot take it away
    says so."""
    with listening() as server:
        port = server.getsockname()[1]
        world.end.output(f"{CONNECT_PORT} {port}")
        said = world.end.run({"shell": f"{CONNECT_PORT} {port}", "network": False})
    assert not said.ok
    if not world.contained:
        assert said.error is not None
        assert "cannot take the network" in said.error.message


def test_devices_are_for_those_that_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cell without accelerators has a /dev of its own, with none of their nodes; one with them has
    those."""
    node = tmp_path / "nvidia0"
    node.touch()
    monkeypatch.setattr(bubblewrap, "DEVICE_NODES", (str(tmp_path / "nvidia*"),))
    folders = CellFolders("/t", "/v", "/a", "/s")
    isolation = Isolation("namespaces", own_userns=True)
    plain = bubblewrap.bubblewrap(Wanted(), isolation, CellSpec(), folders, ())
    assert "--dev" in plain
    assert str(node) not in plain
    assert str(node) in bubblewrap.bubblewrap(Wanted(), isolation, CellSpec(devices=True), folders, ())


def test_an_isolation_that_is_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named is kept or refused with what to do; auto says why it is not stronger."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(NotOffered, match="install bubblewrap"):
        in_force(Wanted("namespaces"))
    auto = in_force(Wanted("auto"))
    assert auto.level == "none"
    assert "bwrap is not on the PATH" in auto.why
    if os.geteuid() == 0:
        assert "HELIX_RUN_AS" in auto.why
        assert in_force(Wanted("auto", "nobody")).name == "user as nobody"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert in_force(Wanted("auto")).level == "none"
    with pytest.raises(NotOffered, match="only root"):
        in_force(Wanted("user"))
    assert in_force(Wanted("none")).level == "none"


def test_a_user_that_is_none_is_refused() -> None:
    """Neither an unknown one nor root."""
    needed(os.geteuid() == 0, "root")
    for name, words in (("no-such-user", "not a user of this node"), ("root", "another user than root")):
        with pytest.raises(NotOffered, match=words):
            in_force(Wanted("user", name))


KERNELS = {
    # A user namespace in which no further one may be made, and a root without capabilities.
    "without user namespaces": (
        "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces;"
        ' exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"\' sh',
        "none",
    ),
    # As in a container: part of /proc is masked, so the kernel refuses another one.
    "with a masked /proc": (
        "unshare -m sh -c 'mount --bind /dev/null /proc/timer_list;"
        ' exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"\' sh',
        "namespaces without /proc",
    ),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_that_offers_less_is_no_end(kernel: str) -> None:
    """`auto` takes what is left, says what and why, and runs commands."""
    needed(os.geteuid() == 0 and os.path.exists(SYSTEM_PYTHON), "root, and a Python for every user")
    needs("namespaces")
    line, expected = KERNELS[kernel]
    folder = folder_for(NOBODY if "65534" in line else 0)
    (folder / "data").mkdir()
    (folder / "data" / "key").write_text(SECRET)
    wanted = Wanted("auto", hidden=(str(folder / "data"), str(folder / "node")))
    before = ["sh", "-c", f'exec {line} "$@"', "sh"]
    with contextlib.closing(StarterEnd(folder, wanted, before=before, python=SYSTEM_PYTHON)) as end:
        assert end.ready is not None
        assert end.ready.isolation == expected
        assert end.ready.why
        assert end.output("echo runs") == "runs\n"
        if expected != "none":
            assert not end.run({"shell": f"cat {folder}/data/key"}).ok
            assert not end.run({"shell": "ls -A /proc | grep ."}).ok
    shutil.rmtree(folder)

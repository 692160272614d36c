"""Hosts on one machine: network, pid, mount and uts namespaces with an sshd each, on a bridge of their own.

Enough for `ray up` over ssh, for killing a machine's processes, and for cutting its link. The root file
system is shared but for /tmp, /dev/shm and root's home, so a virtual environment is seen by every host at the
same path. Needs root, and a folder that does not lie under /tmp.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from launcher.up import process_tree
from tests.ray.signals import until

TOOLS = ("sshd", "ssh", "ssh-keygen", "rsync", "ip", "unshare", "nsenter")
ROOT = Path(__file__).parents[2]
# Of this user of the machine alone: other bridges and networks are left as they are.
BRIDGE = "hx78"
NETWORK = "10.78.0"
GATEWAY = f"{NETWORK}.254"
SHARED_MEMORY = "2g"
STOP_S_MAX = 20.0
HOSTS_MAX = 8
LOCK = Path("/run/lock/helix-ray-hosts")


def run(*command: str, check: bool = True) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@dataclass
class Host:
    """One host; `number` is the last part of its address."""

    number: int
    folder: Path
    sshd: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    @property
    def namespace(self) -> str:
        return f"{BRIDGE}n{self.number}"

    @property
    def link(self) -> str:
        return f"{BRIDGE}v{self.number}"

    def up(self, public_key: str) -> None:
        """Make the namespaces and start sshd in them."""
        inner = f"{BRIDGE}e{self.number}"
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", inner)
        run("ip", "link", "set", self.link, "master", BRIDGE, "up")
        run("ip", "link", "set", inner, "netns", self.namespace)
        for words in (
            ("addr", "add", f"{self.address}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
            # Without a default route Ray takes 127.0.0.1 for the node's address.
            ("route", "add", "default", "via", GATEWAY),
        ):
            run("ip", "-n", self.namespace, *words)
        for name in ("tmp", "home"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "authorized_keys").write_text(public_key)
        # root's home on this host; the real one may hold the interpreter that everything runs with.
        users = [
            line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")
        ]
        me = f"root:x:0:0:root:{self.folder}/home:/bin/bash"
        (self.folder / "passwd").write_text("\n".join([me, *users, ""]))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        isolate = ["unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
        parent = os.getpid()
        with (self.folder / "sshd.log").open("wb") as log:
            self.sshd = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *isolate, "bash", "-ec", self._script()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A run of tests that is killed leaves no host behind.
                preexec_fn=lambda: process_tree.die_with_parent(parent),
            )
        until(lambda: "listening on" in (self.folder / "sshd.log").read_text())

    def _script(self) -> str:
        folder = self.folder
        options = [
            f"AuthorizedKeysFile={folder}/authorized_keys",
            "StrictModes=no",
            "UsePAM=no",
            "PermitRootLogin=yes",
            "PidFile=none",
            f"ListenAddress={self.address}",
        ]
        flags = " ".join(f"-o {option}" for option in options)
        # The code that is tested may lie under /tmp, which is about to be another.
        keep = (
            f"mkdir -p '{folder}{ROOT}' && mount --bind '{ROOT}' '{folder}{ROOT}'"
            if ROOT.parts[1] == "tmp"
            else ""
        )
        return f"""
            hostname host{self.number}
            mkdir -p /run/sshd
            {keep}
            mount --bind '{folder}/passwd' /etc/passwd
            mount -t tmpfs -o size={SHARED_MEMORY} tmpfs /dev/shm
            mount --rbind '{folder}/tmp' /tmp
            exec {shutil.which("sshd")} -D -e -h '{folder}/key' {flags}
        """

    def pid(self) -> int:
        """Return the first process inside, by this machine's count."""
        assert self.sshd is not None
        (child,) = psutil.Process(self.sshd.pid).children()
        return child.pid

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the host's processes, sshd and its sessions left out, whose command
        line has all these words."""
        found = []
        for process in psutil.Process(self.pid()).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                line = " ".join(process.cmdline())
                if line and "sshd" not in line.split()[0] and all(word in line for word in words):
                    found.append(process)
        return found

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a shell line inside, as root with its home there."""
        enter = [
            "nsenter",
            "--target",
            str(self.pid()),
            "--all",
            "env",
            "-i",
            f"HOME={self.folder}/home",
            f"PATH={os.defpath}",
        ]
        return subprocess.run([*enter, "bash", "-c", line], capture_output=True, text=True, check=False)

    def process(self, *words: str) -> psutil.Process:
        """Return the one process whose command line has these words."""
        found: list[psutil.Process] = []

        def alone() -> bool:
            # What it has just forked carries its words until it is another program.
            found[:] = self.processes(*words)
            return len(found) == 1

        until(alone)
        return found[0]

    def cut(self) -> None:
        """Pull the plug of its network."""
        run("ip", "link", "set", self.link, "down")

    def join(self) -> None:
        """Put it in again."""
        run("ip", "link", "set", self.link, "up")

    def down(self) -> None:
        """End every process inside, and remove its network."""
        if self.sshd is not None:
            # The first process's end is the end of its pid namespace.
            with contextlib.suppress(psutil.Error, ValueError):
                psutil.Process(self.pid()).kill()
            self.sshd.wait(STOP_S_MAX)
        remove(self.number)


def remove(number: int) -> None:
    """Remove a host's network, as far as it is there."""
    run("ip", "netns", "del", f"{BRIDGE}n{number}", check=False)
    run("ip", "link", "del", f"{BRIDGE}v{number}", check=False)


@dataclass
class Hosts:
    """Some hosts on one bridge, `key` opens all of them."""

    folder: Path
    key: Path
    hosts: dict[int, Host] = field(default_factory=dict)

    def add(self, number: int) -> Host:
        """Bring one more up."""
        host = Host(number, self.folder / f"host{number}")
        self.hosts[number] = host
        host.up(self.key.with_suffix(".pub").read_text())
        return host


@contextlib.contextmanager
def hosts(folder: Path, count: int) -> Iterator[Hosts]:
    """Bring hosts 1 to `count` up, and all of them down at last."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    made = Hosts(folder, key)
    lock = LOCK.open("w")
    # One at a time on this machine; what a killed run has left is by these names.
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        for number in range(1, HOSTS_MAX + 1):
            remove(number)
        run("ip", "link", "del", BRIDGE, check=False)
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for number in range(1, count + 1):
            made.add(number)
        yield made
    finally:
        for host in made.hosts.values():
            host.down()
        run("ip", "link", "del", BRIDGE, check=False)
        lock.close()

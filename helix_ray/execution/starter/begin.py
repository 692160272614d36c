"""How a starter begins: its configuration, and the command line that starts it."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helix_ray.execution.descendants import adopt_orphans
from helix_ray.execution.frames import encode_plain
from helix_ray.execution.starter import cgroups
from helix_ray.execution.starter.folders import Folders
from helix_ray.execution.starter.isolation import in_force
from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import NotOffered, Wanted
from helix_ray.execution.starter.loop import Starter, be_still
from helix_ray.execution.starter.messages import StarterRefused, to_frame

PROGRAM = str(Path(__file__).with_name("program.py"))


@dataclass(frozen=True, slots=True)
class Config:
    """A starter's configuration: what to keep apart and how, where folders go, and the operator's bounds.

    `open_root` takes the place of `root` where another user must reach it.
    """

    wanted: Wanted
    limits: CommandLimits
    root: str
    open_root: str

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def from_text(text: str) -> Config:
    """Return what `Config.text` wrote."""
    read: dict[str, Any] = json.loads(text)
    wanted = read["wanted"]
    return Config(
        Wanted(wanted["wish"], wanted["run_as"], tuple(wanted["hidden"]), tuple(wanted["writable"])),
        CommandLimits(**read["limits"]),
        read["root"],
        read["open_root"],
    )


def starter_command(descriptor: int, config: Config) -> list[str]:
    """Return the argv of a starter that serves the socket with this descriptor."""
    return [sys.executable, "-I", "-S", PROGRAM, str(descriptor), config.text()]


def begin(descriptor: int, text: str) -> None:
    """Be a starter until the connection ends, or say that the isolation wanted is not offered."""
    os.set_inheritable(descriptor, False)
    be_still()
    cgroups.sweep()
    adopt_orphans()
    config = from_text(text)
    try:
        isolation = in_force(config.wanted)
    except NotOffered as error:
        with socket.socket(fileno=descriptor) as connection:
            connection.sendall(encode_plain(to_frame(StarterRefused(str(error)))))
        return
    root = config.open_root if isolation.level == "user" else config.root
    folders = Folders(Path(root), isolation)
    with socket.socket(fileno=descriptor) as connection:
        Starter(connection, config.wanted, isolation, folders, config.limits).serve()

"""The host whose devices are read, and the interface of a family of devices."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from helix_ray.accelerators.counters import Counters
from helix_ray.accelerators.device import Device, Reading

TOOL_S_MAX = 2.0

# Runs a vendor's tool and returns its output; None where it is missing, fails or takes too long.
RunTool = Callable[[Sequence[str]], str | None]


def run_tool(argv: Sequence[str]) -> str | None:
    """Return the output of a vendor's tool, which is ended after TOOL_S_MAX."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=TOOL_S_MAX, check=True, text=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout


@dataclass(slots=True)
class Host:
    """Where the host's file system begins, its counters so far, and how its tools are run."""

    root: Path = Path("/")
    clock: Callable[[], float] = time.monotonic
    tool: RunTool = run_tool
    counters: Counters = field(init=False)

    def __post_init__(self) -> None:
        """Begin without samples."""
        self.counters = Counters(self.clock)

    def at(self, path: str) -> Path:
        """Return the place of a path of the host."""
        return self.root / path.lstrip("/")


class Family(Protocol):
    """The devices of one maker that are read in one way."""

    @property
    def name(self) -> str:
        """What a log line calls it."""
        ...

    def find(self, host: Host) -> Sequence[Device]:
        """Return the devices that there are."""
        ...

    def readings(self, host: Host) -> Sequence[Reading]:
        """Return what can be read of each."""
        ...


@dataclass(frozen=True, slots=True)
class FileFamily:
    """Devices that are found and read one by one in files."""

    name: str
    finds: Callable[[Host], Sequence[Device]]
    reads: Callable[[Host, Device], Reading]

    def find(self, host: Host) -> Sequence[Device]:
        """Return the devices that there are."""
        return self.finds(host)

    def readings(self, host: Host) -> Sequence[Reading]:
        """Return what can be read of each."""
        return [self.reads(host, device) for device in self.finds(host)]

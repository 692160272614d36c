"""Makes the files of a host's kernel below a folder, and a clock that a test moves."""

from __future__ import annotations

from pathlib import Path

from helix_ray.accelerators.device import Reading
from helix_ray.accelerators.families import families
from helix_ray.accelerators.host import Family, Host

MEMINFO = "MemTotal:       16777216 kB\nMemFree:  1 kB\n"
MEMORY_MB = 16384


class Tree:
    """A made host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0
        self.said: dict[tuple[str, ...], str] = {}
        self.host = Host(root, lambda: self.now, lambda argv: self.said.get(tuple(argv)))
        self.file("proc/meminfo", MEMINFO)

    def file(self, path: str, content: object) -> Path:
        """Write a file."""
        at = self.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(str(content))
        return at

    def device(self, entry: str, driver: str | None, slot: str | None = None, **files: object) -> str:
        """Make an entry of a class whose `device` is a link, as sysfs has it; return the device's folder."""
        name = slot or f"{entry.rpartition('/')[2]}.device"
        folder = f"sys/devices/{name}"
        event = "".join(
            f"{key}={value}\n" for key, value in (("DRIVER", driver), ("PCI_SLOT_NAME", slot)) if value
        )
        self.file(f"{folder}/uevent", event)
        for file, content in files.items():
            self.file(f"{folder}/{file}", content)
        (self.root / entry).mkdir(parents=True, exist_ok=True)
        (self.root / entry / "device").symlink_to(self.root / folder)
        return folder

    def client(self, pid: int, number: int, opened: str, **fields: object) -> None:
        """Make an open device file of a process; `_` in the name of a field stands for a dash."""
        link = self.root / f"proc/{pid}/fd/{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(opened)
        lines = "".join(f"drm-{name.replace('_', '-')}:\t{value}\n" for name, value in fields.items())
        self.file(f"proc/{pid}/fdinfo/{number}", f"pos:\t0\nflags:\t02\n{lines}")

    def readings(self, of: list[Family] | None = None) -> list[Reading]:
        """Read every family once."""
        return [reading for family in of or FAMILIES for reading in family.readings(self.host)]

    def one(self, of: list[Family] | None = None) -> Reading:
        """Read every family once; there is exactly one device."""
        (reading,) = self.readings(of)
        return reading

    def one_later(self, seconds: float = 2.0) -> Reading:
        """Read again after some time."""
        self.now += seconds
        return self.one()


FAMILIES = families()

"""Reads the kernel's files: what is missing, unreadable or not a number is None."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

FILE_BYTES_MAX = 64 << 10
KB_PER_MB = 1024
BYTES_PER_MB = 1 << 20
# No device has as much: a larger size is a driver's mistake.
BYTES_MAX = 1 << 60


def text(path: Path) -> str | None:
    """Return a file's text without surrounding blanks; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode(errors="replace").strip().strip("\0")
    except OSError:
        return None


def number(path: Path) -> float | None:
    """Return a file's number; None where it cannot be read or has none."""
    return as_number(text(path))


def as_number(said: str | None) -> float | None:
    """Return a text as a finite number; None where it is none."""
    try:
        found = float(said or "")
    except ValueError:
        return None
    return found if isfinite(found) else None


def whole_mb(size_bytes: float | None) -> int | None:
    """Return bytes in MiB; None for what is no size."""
    if size_bytes is None or not 0 <= size_bytes < BYTES_MAX:
        return None
    return int(size_bytes) // BYTES_PER_MB


def uevent(device: Path) -> dict[str, str]:
    """Return the fields of a device's uevent."""
    lines = (text(device / "uevent") or "").splitlines()
    return {name: value for name, found, value in (line.partition("=") for line in lines) if found}


def driver_of(device: Path) -> str | None:
    """Return the name of a device's driver."""
    said = uevent(device).get("DRIVER")
    if said:
        return said
    link = device / "driver"
    return link.resolve().name if link.exists() else None


def identity(device: Path) -> str:
    """Return a device's PCI address, or its name in the kernel."""
    return uevent(device).get("PCI_SLOT_NAME") or device.resolve().name


def vendor_of(device: Path) -> str | None:
    """Return the PCI vendor, like 0x8086."""
    found = text(device / "vendor")
    return found.lower() if found else None


def is_suspended(device: Path) -> bool:
    """Say whether the kernel has put a device to sleep; reading this does not wake it."""
    return text(device / "power" / "runtime_status") == "suspended"


def memory_kb(root: Path) -> dict[str, int]:
    """Return the fields of /proc/meminfo in KiB."""
    said = text(root / "proc/meminfo") or ""
    return {name: int(amount) for name, amount in re.findall(r"^(\w+):\s+(\d+) kB", said, re.MULTILINE)}


def system_memory_mb(root: Path) -> int | None:
    """Return the host's memory in MiB."""
    total = memory_kb(root).get("MemTotal")
    return None if total is None else total // KB_PER_MB


def pci_name(device: Path, names: dict[str, str], maker: str) -> str | None:
    """Return a device's name by its PCI device id, or the maker with that id."""
    found = text(device / "device")
    return None if found is None else names.get(found.lower(), f"{maker} {found.lower()}")


def entries(root: Path, pattern: str, name: str = "") -> Iterator[Path]:
    """Give the entries that match a pattern, in order; `name` is a regular expression for their last part."""
    for path in sorted(root.glob(pattern)):
        if not name or re.fullmatch(name, path.name):
            yield path


def shown(root: Path, path: Path) -> str:
    """Return a path below the root as it is on the host."""
    return "/" + str(path.relative_to(root))

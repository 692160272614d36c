"""What a host's network interfaces have received and sent, from /proc/net/dev.

Every byte counts once. On a machine, its network cards count, and bonds in the place of their members: what
bridges, tunnels, VLANs and containers send goes through these. In a container no interface is a card, and
all of them count that copy no other one's traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helix_ray.accelerators.files import text

# Positions after the name: received bytes, and sent bytes.
_RX, _TX, _FIELDS = 0, 8, 16
_LOOPBACK_TYPE = "772"
# Interfaces of the kernel that repeat the traffic of others, or drop it.
_COPIES = ("ifb", "dummy")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of the interfaces that count: since boot, or in a window."""

    counts: Mapping[str, float]
    interfaces: list[str]

    def total(self, way: str) -> int:
        """Return the bytes of one way, `rx` or `tx`."""
        return int(sum(count for name, count in self.counts.items() if name.startswith(f"{way}.")))


def traffic(root: Path) -> Traffic | None:
    """Return the traffic of a host; None where the kernel does not say."""
    said = text(root / "proc/net/dev")
    if said is None:
        return None
    rows = {}
    for line in said.splitlines():
        name, found, rest = line.partition(":")
        fields = rest.split()
        if found and len(fields) >= _FIELDS:
            rows[name.strip()] = (float(fields[_RX]), float(fields[_TX]))
    free = [name for name in rows if _counts(root, name)]
    cards = [name for name in free if _is_card(root, name)]
    interfaces = cards or free
    counts = {f"{way}.{name}": rows[name][at] for name in interfaces for at, way in enumerate(("rx", "tx"))}
    return Traffic(counts, interfaces)


def _is_card(root: Path, name: str) -> bool:
    at = root / "sys/class/net" / name
    return (at / "device").exists() or (at / "bonding").exists()


def _counts(root: Path, name: str) -> bool:
    at = root / "sys/class/net" / name
    if name == "lo" or text(at / "type") == _LOOPBACK_TYPE or name.startswith(_COPIES):
        return False
    return not (at / "master").exists() and not (root / "proc/net/vlan" / name).exists()

"""Graphics devices of the kernel (class drm), and what their clients have used of them (drm-usage-stats)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helix_ray.accelerators.device import Utilization, percent, unknown
from helix_ray.accelerators.files import driver_of, entries, identity, text, vendor_of
from helix_ray.accelerators.host import Host

NS_PER_S = 1e9
NODES = r"card[0-9]+|renderD[0-9]+"
OPENED = ("/dev/dri/", "/dev/accel/")
OWN_ONLY = "only processes that this user may read are counted"
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}


@dataclass(frozen=True, slots=True)
class Card:
    """An entry of the class; a framebuffer without a driver of its own has neither vendor nor driver."""

    path: Path
    device: Path
    driver: str | None
    vendor: str | None
    id: str


def cards(host: Host) -> Iterator[Card]:
    """Give each graphics device once, whichever of its nodes (card, render) there are."""
    seen: set[str] = set()
    for path in entries(host.root, "sys/class/drm/*", NODES):
        device = path / "device"
        if not device.exists() or (name := identity(device)) in seen:
            continue
        seen.add(name)
        yield Card(path, device, driver_of(device), vendor_of(device), name)


# ------------------------------------------------------------------------------------------ clients


@dataclass(frozen=True, slots=True)
class Clients:
    """The fields of each client of a device once, and whether some processes could not be read."""

    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    incomplete: bool = False


def clients_of(host: Host, device_id: str, driver: str) -> Clients:
    """Return the clients of one device: by PCI address, or by driver where it has none."""
    found: dict[str, dict[str, str]] = {}
    incomplete = False
    # A host has thousands of open files: no paths are made of those that are not devices.
    processes = f"{host.root}/proc"
    for process in filter(str.isdecimal, os.listdir(processes)):
        folder = f"{processes}/{process}"
        try:
            opened = os.listdir(f"{folder}/fd")
        except OSError as error:
            incomplete = incomplete or isinstance(error, PermissionError)
            continue
        for number in opened:
            fields = _client(folder, number)
            if fields.get("drm-driver") != driver or fields.get("drm-pdev", device_id) != device_id:
                continue
            found[fields.get("drm-client-id", "")] = fields
    return Clients(found, incomplete)


def _client(process: str, number: str) -> dict[str, str]:
    try:
        target = os.readlink(f"{process}/fd/{number}")
    except OSError:
        return {}
    if not target.startswith(OPENED):
        return {}
    lines = (text(Path(process, "fdinfo", number)) or "").splitlines()
    return {name: value.strip() for name, found, value in (line.partition(":") for line in lines) if found}


def resident_mb(clients: Clients, regions: str) -> int | None:
    """Return the resident memory of all clients in regions (a regular expression); None where none says."""
    sizes = [
        _bytes(value)
        for fields in clients.fields.values()
        for name, value in fields.items()
        if re.fullmatch(f"drm-resident-({regions})", name)
    ]
    return sum(sizes) >> 20 if sizes else None


def _bytes(value: str) -> int:
    found = re.fullmatch(r"(\d+)\s*(KiB|MiB)?", value)
    return int(found[1]) * _SIZES[found[2] or ""] if found else 0


# ------------------------------------------------------------------------------------------ engines


def busiest_engine(host: Host, device_id: str, clients: Clients, *, by_cycles: bool = False) -> Utilization:
    """Return the utilization of the busiest engine, over all clients.

    Clients come and go, so the difference is taken client by client: the counters of one that is gone are
    left out, and one that came since the last sample has used the device since then only.
    """
    if by_cycles:
        counts, source, share = _cycles(clients), "fdinfo drm-cycles", _cycles_share
    else:
        counts, source, share = _times(clients), "fdinfo drm-engine", _time_share
    used = host.counters.measure(f"{device_id} {source}", counts, share, source)
    if clients.incomplete and used.value is not None:
        return percent(used.value, source, used.window_s, OWN_ONLY)
    return unknown(f"{used.reason}; {OWN_ONLY}", source) if clients.incomplete else used


def _of(clients: Clients, prefix: str) -> Iterator[tuple[str, str, float]]:
    """Give client, engine and count of the fields with a prefix."""
    for client, fields in clients.fields.items():
        for name, value in fields.items():
            engine = name.removeprefix(prefix)
            if engine != name and (count := re.match(r"\d+", value)):
                yield client, engine, float(count[0])


def _capacity(clients: Clients, engine: str) -> float:
    """Return how many of an engine there are."""
    said = (fields.get(f"drm-engine-capacity-{engine}", "") for fields in clients.fields.values())
    return max((float(text) for text in said if text.isdecimal()), default=1.0) or 1.0


def _times(clients: Clients) -> dict[str, float]:
    """Return busy seconds by `client engine`, each as a share of the engine's capacity."""
    return {
        f"{client} {engine}": count / NS_PER_S / _capacity(clients, engine)
        for client, engine, count in _of(clients, "drm-engine-")
        if not engine.startswith("capacity-")
    }


def _time_share(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> float | None:
    if _went_back(before, now):
        return None
    spent: dict[str, float] = {}
    for key, count in now.items():
        engine = key.partition(" ")[2]
        spent[engine] = spent.get(engine, 0.0) + count - before.get(key, 0.0)
    return 100.0 * max(spent.values(), default=0.0) / seconds


def _went_back(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    """Say whether the count of a client that is still there has become smaller: the driver was reset."""
    return any(count < before.get(key, 0.0) for key, count in now.items())


def _cycles(clients: Clients) -> dict[str, float]:
    """Return busy cycles by `busy client engine` and the engine's own by `total client engine`."""
    counts = {f"total {c} {engine}": count for c, engine, count in _of(clients, "drm-total-cycles-")}
    for client, engine, count in _of(clients, "drm-cycles-"):
        counts[f"busy {client} {engine}"] = count / _capacity(clients, engine)
    return counts


def _cycles_share(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> float | None:
    """The engine's own cycles are the same for all clients: one that stays tells how many passed."""
    if _went_back(before, now):
        return None
    spent: dict[str, float] = {}
    passed: dict[str, float] = {}
    for key, count in now.items():
        kind, _, rest = key.partition(" ")
        engine = rest.partition(" ")[2]
        if kind == "busy":
            spent[engine] = spent.get(engine, 0.0) + count - before.get(key, 0.0)
        elif key in before:
            passed[engine] = max(passed.get(engine, 0.0), count - before[key])
    shares = [100.0 * amount / passed[engine] for engine, amount in spent.items() if passed.get(engine)]
    # Without clients nothing was used; with new ones only, nothing tells how many cycles passed.
    return max(shares) if shares else (0.0 if not any(spent.values()) else None)

"""Answers how the hosts of the cluster are, from the last heartbeat of each node.

Several nodes may share a host: it counts once, with the figures of the node that was heard last. Figures of
several hosts are added up; the usage of all processors is weighted by their number, and the temperature is
that of the warmest host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.host_sample import DiskSample, HostSample, ProcessSample, percent_full
from helix_ray.core.state import Worker
from helix_ray.core.views.monitoring import (
    CpuView,
    DiskView,
    FiguresView,
    HostView,
    MachineView,
    MemoryView,
    NetworkView,
    ProcessesView,
    SystemView,
)

# How many hosts an answer lists; the others are only counted.
HOSTS_LISTED_MAX = 200
DISKS_LISTED_MAX = 50

N = TypeVar("N", int, float)


def _figures(picture: Picture, question: q.SystemFigures, by: Principal) -> SystemView | Rejected:
    nodes = [worker for worker in picture.nodes() if not worker.lost]
    if question.node_id is not None:
        worker = picture.state.workers.get(question.node_id)
        if worker is None or worker.kind != "node":
            return not_found("Node", question.node_id)
        nodes = [node for node in nodes if node.hostname == worker.hostname] or [worker]
    hosts = [_host(picture, hostname, those) for hostname, those in _by_host(nodes)]
    known = [host for host in hosts if host["measured_at"] is not None]
    return {
        **_together(known),
        "node": question.node_id,
        "count": len(hosts),
        "known": len(known),
        "hosts": hosts[:HOSTS_LISTED_MAX],
        "processes": _processes([each for host in hosts for each in host["processes"]]),
        "history": None,
    }


def _by_host(nodes: Iterable[Worker]) -> list[tuple[str, list[Worker]]]:
    found: dict[str, list[Worker]] = {}
    for node in nodes:
        found.setdefault(node.hostname, []).append(node)
    return list(found.items())


def _host(picture: Picture, hostname: str, nodes: Sequence[Worker]) -> HostView:
    heard = [pulse for node in nodes if (pulse := picture.pulse(node)) is not None and "host" in pulse.usage]
    newest = max(heard, key=lambda pulse: pulse.mono, default=None)
    sample: HostSample = {} if newest is None else newest.usage["host"]
    return {
        **figures_of(sample),
        "hostname": hostname,
        "nodes": [node.id for node in nodes],
        "measured_at": None if newest is None else newest.wall,
        "machine": _machine(sample),
        "over": {figure: level for node in nodes for figure, level in node.over.items()},
        "processes": _processes(
            [_of_node(each) for pulse in heard for each in pulse.usage.get("processes", [])]
        ),
    }


def _of_node(sample: ProcessSample) -> ProcessesView:
    return {
        "role": sample["role"],
        "count": sample["count"],
        "cpu": sample.get("cpu_percent"),
        "memory": sample["memory_mb"],
    }


def _processes(found: Iterable[ProcessesView]) -> list[ProcessesView]:
    """Return the sums by role."""
    by_role: dict[str, list[ProcessesView]] = {}
    for each in found:
        by_role.setdefault(each["role"], []).append(each)
    return [
        {
            "role": role,
            "count": sum(each["count"] for each in those),
            "cpu": _rounded(_sum(each["cpu"] for each in those)),
            "memory": round(sum(each["memory"] for each in those), 1),
        }
        for role, those in sorted(by_role.items())
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def figures_of(sample: HostSample) -> FiguresView:
    """Return a sample as an answer has it: what it lacks is None."""
    return {
        "cpu": {
            "usage": sample.get("cpu_percent"),
            "cores": _whole(sample.get("cores")),
            "temperature": sample.get("temperature"),
            "temperature_source": sample.get("temperature_source"),
            "per_core": sample.get("cpu_per_core", []),
            "load": sample.get("load", []),
            "window_s": sample.get("cpu_window_s"),
            "source": sample.get("cpu_source"),
        },
        "memory": _memory(sample),
        "disk": _disk(sample.get("disks", [])),
        "network": {
            "rx_bytes": sample.get("rx_bytes"),
            "tx_bytes": sample.get("tx_bytes"),
            "rx_bytes_per_s": sample.get("rx_bytes_per_s"),
            "tx_bytes_per_s": sample.get("tx_bytes_per_s"),
            "interfaces": sample.get("interfaces", []),
        },
    }


def _memory(sample: HostSample) -> MemoryView:
    total, used = sample.get("memory_total_mb"), sample.get("memory_used_mb")
    return {
        "total": total,
        "used": used,
        "available": sample.get("memory_available_mb"),
        "percentage": _share(used, total),
        "swap_total": sample.get("swap_total_mb"),
        "swap_used": sample.get("swap_used_mb"),
        "source": sample.get("memory_source"),
    }


def _disk(disks: Sequence[DiskSample]) -> DiskView:
    used, available = _sum(disk["used_mb"] for disk in disks), _sum(disk["available_mb"] for disk in disks)
    return {
        "total": _sum(disk["total_mb"] for disk in disks),
        "used": used,
        "available": available,
        "percentage": percent_full(used, available),
        "disks": [*disks[:DISKS_LISTED_MAX]],
    }


def _machine(sample: HostSample) -> MachineView | None:
    if "machine_cores" not in sample and "machine_memory_total_mb" not in sample:
        return None
    return {
        "cores": sample.get("machine_cores", round(sample.get("cores", 0))),
        "usage": sample.get("machine_cpu_percent", sample.get("cpu_percent")),
        "memory_total": sample.get("machine_memory_total_mb"),
        "memory_available": sample.get("machine_memory_available_mb"),
    }


def _together(hosts: Sequence[HostView]) -> FiguresView:
    if len(hosts) == 1:
        [host] = hosts
        return {
            "cpu": host["cpu"],
            "memory": host["memory"],
            "disk": host["disk"],
            "network": host["network"],
        }
    return {
        "cpu": _cpu_of([host["cpu"] for host in hosts]),
        "memory": _memory_of([host["memory"] for host in hosts]),
        "disk": _disk_of([host["disk"] for host in hosts]),
        "network": _network_of([host["network"] for host in hosts]),
    }


def _cpu_of(all_cpus: Sequence[CpuView]) -> CpuView:
    busy = [(cpu["usage"], cpu["cores"]) for cpu in all_cpus]
    weighed = [(usage * cores, cores) for usage, cores in busy if usage is not None and cores]
    warmest = max(all_cpus, key=lambda cpu: cpu["temperature"] or float("-inf"), default=None)
    cores = sum(cores for _, cores in weighed)
    return {
        "usage": round(sum(part for part, _ in weighed) / cores, 1) if cores else None,
        "cores": _whole(_sum(cpu["cores"] for cpu in all_cpus)),
        "temperature": None if warmest is None else warmest["temperature"],
        "temperature_source": None if warmest is None else warmest["temperature_source"],
        "per_core": [],
        "load": [],
        "window_s": max((cpu["window_s"] or 0.0 for cpu in all_cpus), default=0.0) or None,
        "source": _sources(cpu["source"] for cpu in all_cpus),
    }


def _memory_of(all_memory: Sequence[MemoryView]) -> MemoryView:
    total, used = _sum(m["total"] for m in all_memory), _sum(m["used"] for m in all_memory)
    return {
        "total": total,
        "used": used,
        "available": _sum(m["available"] for m in all_memory),
        "percentage": _share(used, total),
        "swap_total": _sum(m["swap_total"] for m in all_memory),
        "swap_used": _sum(m["swap_used"] for m in all_memory),
        "source": _sources(m["source"] for m in all_memory),
    }


def _disk_of(all_disks: Sequence[DiskView]) -> DiskView:
    used, available = _sum(d["used"] for d in all_disks), _sum(d["available"] for d in all_disks)
    return {
        "total": _sum(d["total"] for d in all_disks),
        "used": used,
        "available": available,
        "percentage": percent_full(used, available),
        "disks": [],
    }


def _network_of(all_networks: Sequence[NetworkView]) -> NetworkView:
    return {
        "rx_bytes": _sum(n["rx_bytes"] for n in all_networks),
        "tx_bytes": _sum(n["tx_bytes"] for n in all_networks),
        "rx_bytes_per_s": _sum(n["rx_bytes_per_s"] for n in all_networks),
        "tx_bytes_per_s": _sum(n["tx_bytes_per_s"] for n in all_networks),
        "interfaces": [],
    }


def _sum(amounts: Iterable[N | None]) -> N | None:
    """Return the sum of what is known; None where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _whole(amount: float | None) -> float | None:
    """Return an amount as an integer if it is one: typed clients refuse 8.0 where they expect one."""
    return int(amount) if amount is not None and amount == int(amount) else amount


def _share(part: float | None, total: float | None) -> float | None:
    return round(100.0 * part / total, 1) if part is not None and total else None


def _sources(all_sources: Iterable[str | None]) -> str | None:
    return ", ".join(sorted({source for source in all_sources if source})) or None


MONITORING_ANSWERS: Answerers = {q.SystemFigures: _figures}

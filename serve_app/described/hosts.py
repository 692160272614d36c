"""What the fields of the figures of hosts mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "SystemOut HostOut": {
        "cpu": "Its processors.",
        "memory": "Its memory.",
        "disk": "The file systems with the data directory and `/`.",
        "network": "Its network cards.",
        "processes": "What the product itself uses, by role.",
    },
    "SystemOut": {
        "node": "The node whose host is described; null: all hosts, added up.",
        "count": "How many hosts there are.",
        "known": "How many of them were measured.",
        "hosts": "Each host, at most 200.",
        "history": "How they were; null unless the query has `since`.",
    },
    "HostOut": {
        "nodes": "Ids of the nodes that run on the host.",
        "measured_at": "When it was measured, in ISO 8601; null: it was not yet.",
        "machine": ("The whole machine, where the figures are those of a container; null: they are not."),
        "over": "Its figures that are over a threshold, as `warning` or `critical` by name.",
    },
    "CpuOut": {
        "usage": "How busy all cores are, in percent; null before the second sample.",
        "cores": "How many cores there are, in a container those that it may use; null: not known.",
        "temperature": "Degrees Celsius, of several hosts those of the warmest; null: no sensor gives them.",
        "temperature_source": "The sensor that gives the temperature; null: none does.",
        "per_core": "How busy each core is, in percent; empty for several hosts.",
        "load": "Load averages of 1, 5 and 15 minutes; empty for several hosts.",
        "window_s": "The seconds over which the usage was measured; null: it was not.",
        "source": "Where the usage was read; null: nowhere.",
    },
    "MemoryOut DiskOut": {
        "total": "What there is, in MiB; null: not known.",
        "used": "What is in use, in MiB; null: not known.",
        "available": "What programs can still use, in MiB; null: not known.",
    },
    "MemoryOut": {
        "percentage": "How much of it is in use, in percent; null: not known.",
        "swap_total": "Swap space, in MiB; null: not known.",
        "swap_used": "Swap space in use, in MiB; null: not known.",
        "source": "Where it was read; null: nowhere.",
    },
    "DiskOut": {
        "percentage": "How full they are, in percent as `df` counts; null: not known.",
        "disks": "Each file system, at most 50; empty for several hosts.",
    },
    "OneDiskOut": {
        "path": "A folder in the file system.",
        "total_mb": "Its size, in MiB.",
        "used_mb": "What is in use, in MiB.",
        "available_mb": "What programs without privileges can still use, in MiB.",
    },
    "NetworkOut": {
        "rx_bytes": "Bytes received since the host started; null: not known.",
        "tx_bytes": "Bytes sent since the host started; null: not known.",
        "rx_bytes_per_s": "Bytes received per second; null: not known, or a counter went back.",
        "tx_bytes_per_s": "Bytes sent per second; null: not known, or a counter went back.",
        "interfaces": "The names of the cards that are counted; empty for several hosts.",
    },
    "MachineOut": {
        "cores": "How many cores the machine has.",
        "usage": "How busy they are, in percent; null before the second sample.",
        "memory_total": "Memory of the machine, in MiB; null: not known.",
        "memory_available": "Memory that programs can still use, in MiB; null: not known.",
    },
    "ProcessesOut": {
        "role": "What they do: `master`, `api`, `historian`, `executor` and others.",
        "count": "How many processes there are.",
        "cpu": "What they use, in percent of one core; null before the second sample.",
        "memory": "What they have for themselves, in MiB.",
    },
    "HistoryOut": {
        "since": "When the first point begins, in ISO 8601.",
        "until": "When the last point ends, in ISO 8601.",
        "step": "The seconds of a point.",
        "hosts": "The points of each host, at most 50.",
    },
    "HostHistoryOut": {
        "cpu": "How busy all cores were, in percent; null is a gap.",
        "cpu_max": "How busy they were in the busiest second, in percent; null is a gap.",
        "memory_used": "Memory in use, in MiB; null is a gap.",
        "memory_total": "Memory in all, in MiB; null is a gap.",
        "swap_used": "Swap space in use, in MiB; null is a gap.",
        "disk_used": "Disk space in use, in MiB; null is a gap.",
        "disk_total": "Disk space in all, in MiB; null is a gap.",
        "rx_bytes_per_s": "Bytes received per second; null is a gap.",
        "tx_bytes_per_s": "Bytes sent per second; null is a gap.",
        "load": "The load average of one minute; null is a gap.",
        "temperature": "Degrees Celsius; null is a gap.",
    },
}

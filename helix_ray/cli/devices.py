"""Devices in the tables of commands."""

from __future__ import annotations


def device_load(utilization: float | None) -> str:
    """Return a utilization as a cell; empty where it is not known."""
    return "" if utilization is None else f"{utilization:g} %"


def device_memory(used_mb: int | None, total_mb: int | None, *, shared: bool = False) -> str:
    """Return used and total memory as a cell; `shared`: it is the host's."""
    if used_mb is None and total_mb is None:
        return ""
    used, total = ("?" if size is None else size for size in (used_mb, total_mb))
    return f"{used} of {total} MiB{' shared' if shared else ''}"

"""helix system: how the hosts of the cluster are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, print_table
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.monitoring import HostOut

COLUMNS = Columns(
    ("HOST", "CPU", "CORES", "MEMORY", "DISK", "IN", "OUT", "TEMP", "NODES"),
    ("TEMP", "NODES", "OUT", "IN", "CORES"),
)
NodeOption = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Of this node's host only.")]
MB_PER_GB = 1024
BYTES_PER_MB = 1 << 20


def system(node: NodeOption = None, as_json: Json = False) -> None:
    """Show how the hosts of the cluster are: processors, memory, disks, network, temperature."""
    with connect() as client:
        found = client.system(node)
    print_json(found) if as_json else print_table(COLUMNS, map(_row, found["hosts"]))


def _row(host: HostOut) -> tuple[Any, ...]:
    cpu, memory, disk, network = host["cpu"], host["memory"], host["disk"], host["network"]
    return (
        host["hostname"],
        _percent(cpu["usage"]),
        None if cpu["cores"] is None else f"{cpu['cores']:g}",
        _of(memory["used"], memory["total"]),
        _of(disk["used"], disk["total"]),
        _rate(network["rx_bytes_per_s"]),
        _rate(network["tx_bytes_per_s"]),
        None if cpu["temperature"] is None else f"{cpu['temperature']:g} C",
        len(host["nodes"]),
    )


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:g} %"


def _of(used_mb: int | None, total_mb: int | None) -> str | None:
    if used_mb is None or total_mb is None:
        return None
    return f"{used_mb / MB_PER_GB:.1f} of {total_mb / MB_PER_GB:.1f} GiB"


def _rate(bytes_per_s: float | None) -> str | None:
    return None if bytes_per_s is None else f"{bytes_per_s / BYTES_PER_MB:.1f} MiB/s"

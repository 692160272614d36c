"""helix acceleration: the accelerators of the cluster, and what models run with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.devices import device_load, device_memory
from helix_ray.cli.output import Json, print_json, print_table, put
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.acceleration import AccelerationOut, Accelerator, DeviceOut, NodeDevice

COLUMNS = Columns(
    ("NODE", "DEVICE", "NAME", "LOAD", "MEMORY", "SOURCE", "REASON"),
    ("SOURCE", "MEMORY"),
    cut="REASON",
)
NodeOption = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Of this node only.")]


def acceleration(node: NodeOption = None, as_json: Json = False) -> None:
    """Show the accelerators of the cluster, how busy they are, and what models run with."""
    with connect() as client:
        found = client.acceleration(node)
    print_json(found) if as_json else _print(found)


def _print(found: AccelerationOut) -> None:
    for kind, of in (("npu", found["npu"]), ("gpu", found["gpu"])):
        put(f"{kind}: {_summary(of)}")
    ways = found["optimizations"]
    put(f"quantization {ways['quantization']}{_why(ways['quantization_reason'])}")
    put(f"pruning {ways['pruning']}{_why(ways['pruning_reason'])}")
    compute = "" if ways["compute"] == ways["precision"] else f", computed in {ways['compute']}"
    put(f"precision {ways['precision']}{compute}{_why(ways['precision_reason'])}")
    devices = [*found["npu"]["devices"], *found["gpu"]["devices"]]
    if devices:
        print_table(COLUMNS, map(_row, devices))


def _summary(of: Accelerator) -> str:
    if not of["available"]:
        return f"not available{_why(of['reason'])}"
    load = "load unknown" if of["utilization"] is None else f"{of['utilization']:g} % busy"
    return f"{of['count']} x {of['model']}, {load}{_why(of['reason'])}"


def _why(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def device_row(device: DeviceOut) -> tuple[Any, ...]:
    """Return a device as the columns from DEVICE on show it."""
    memory = device_memory(device["memory_used_mb"], device["memory_total_mb"], shared=device["unified"])
    kind, why = f"{device['kind']} {device['index']}", device["reason"] or device["note"]
    name = device["name"] or device["vendor"]
    return kind, name, device_load(device["utilization"]), memory, device["source"], why


def _row(device: NodeDevice) -> tuple[Any, ...]:
    kind, name, *figures = device_row(device)
    return device["node"], kind, "logical" if device["simulated"] else name, *figures

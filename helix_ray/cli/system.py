"""helix system: how the hosts of the cluster are, and were."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.habits import moment, seconds
from helix_ray.cli.output import Json, print_json, print_table, when
from helix_ray.cli.tables import Columns
from helix_ray.wire.times import epoch_of, iso, iso_or_none

if TYPE_CHECKING:
    from helix_ray.wire.monitoring import HistoryOut, HostOut

COLUMNS = Columns(
    ("HOST", "CPU", "CORES", "MEMORY", "DISK", "IN", "OUT", "TEMP", "NODES"),
    ("TEMP", "NODES", "OUT", "IN", "CORES"),
)
HISTORY_COLUMNS = Columns(
    ("TIME", "HOST", "CPU", "HIGHEST", "MEMORY", "DISK", "IN", "OUT", "LOAD"), ("LOAD", "OUT", "IN", "DISK")
)
# Lines of a history, if the step is not given.
LINES = 60
NodeOption = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Of this node's host only.")]
MB_PER_GB = 1024
BYTES_PER_MB = 1 << 20


def system(
    node: NodeOption = None,
    since: Annotated[str | None, typer.Option("--since", help="Show how they were since this time (ISO 8601) "
                                              "or for so long: 30m, 1h, 7d.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time, or so long ago.")] = None,
    step: Annotated[str | None, typer.Option("--step", help="Time of a line, such as 10s or 5m; without it, "
                                             "some 60 lines.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show how the hosts of the cluster are, or were: processors, memory, disks, network, temperature."""
    now = time.time()
    begin, end = moment(since, now), moment(until, now)
    step_s = _step_s(step, begin, end or now, as_json)
    with connect() as client:
        found = client.system(node, since=iso_or_none(begin), until=iso_or_none(end), step=step_s)
    if as_json:
        print_json(found)
    elif found["history"] is None:
        print_table(COLUMNS, map(_row, found["hosts"]))
    else:
        print_table(HISTORY_COLUMNS, _lines(found["history"]))


def _step_s(step: str | None, begin: float | None, end: float, as_json: bool) -> int | None:
    if step is not None:
        return max(1, round(seconds(step)))
    return None if begin is None or as_json else max(1, round((end - begin) / LINES))


def _lines(history: HistoryOut) -> list[tuple[Any, ...]]:
    since, step = epoch_of(history["since"]), history["step"]
    return [
        (
            when(iso(since + place * step)),
            host["hostname"],
            _percent(host["cpu"][place]),
            _percent(host["cpu_max"][place]),
            _of(host["memory_used"][place], host["memory_total"][place]),
            _of(host["disk_used"][place], host["disk_total"][place]),
            _rate(host["rx_bytes_per_s"][place]),
            _rate(host["tx_bytes_per_s"][place]),
            host["load"][place],
        )
        for host in history["hosts"]
        for place in range(len(host["cpu"]))
    ]


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

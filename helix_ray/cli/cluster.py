"""helix cluster: the master and its nodes; nodes, node, drain, undrain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from helix_ray.cli.acceleration import device_row
from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, amounts, print_fields, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.acceleration import DeviceOut
    from helix_ray.wire.nodes import NodeLine, NodeOut

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="Show the cluster and its nodes, and drain nodes. Without a subcommand, show the status.",
)
STATUS_COLUMNS = Columns(("NODE", "STATUS", "LOAD", "TASKS COMPLETED"), ("TASKS COMPLETED", "LOAD"))
NODE_COLUMNS = Columns(
    ("NODE", "STATUS", "LOAD", "RESOURCES", "FREE", "OTHERS USE", "RUNNING", "DONE", "FAILED"),
    ("DONE", "FAILED", "OTHERS USE", "RESOURCES", "LOAD", "RUNNING", "FREE"),
)
DEVICE_COLUMNS = Columns(
    ("DEVICE", "NAME", "LOAD", "MEMORY", "SOURCE", "REASON"), ("SOURCE", "MEMORY"), "REASON"
)
NodeId = Annotated[str, typer.Argument(metavar="NODE", help="Node id, as `helix cluster nodes` lists it.")]


@app.callback()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the cluster and its nodes, and drain nodes. Without a subcommand, show the status."""
    if ctx.invoked_subcommand is not None:
        return
    with connect() as client:
        answer = client.cluster_status()
    if as_json:
        print_json(answer)
        return
    master = answer["master_node"]
    up = timedelta(seconds=master["uptime"])
    put(f"{master['id']} {master['status']}, up {up} (epoch {master['epoch']})")
    put(f"{answer['active_nodes']} of {answer['total_nodes']} nodes are active, including the master")
    rows = [(n["id"], n["status"], _load(n), n["tasks_completed"]) for n in answer["worker_nodes"]]
    print_table(STATUS_COLUMNS, rows)


@app.command()
def nodes(as_json: Json = False) -> None:
    """List nodes with their resources, what is free, and external usage."""
    with connect() as client:
        found = client.nodes()
    print_json({"nodes": found}) if as_json else print_table(NODE_COLUMNS, map(_row, found))


@app.command()
def node(node_id: NodeId, as_json: Json = False) -> None:
    """Show one node."""
    with connect() as client:
        found = client.node(node_id)
    if as_json:
        print_json(found)
        return
    said = {name: amounts(found[name]) for name in ("resources", "free", "allocated", "foreign")}
    times = {name: when(found[name]) for name in ("rests_until", "last_heartbeat", "registered_at")}
    lost = ", ".join(map(when, found["lost_at"]))
    devices = cast("list[DeviceOut]", found["usage"].get("devices") or [])
    usage = {name: value for name, value in found["usage"].items() if name != "devices"}
    print_fields({**found, **said, **times, "lost_at": lost, "current_load": _load(found), "usage": usage})
    if devices:
        put("")
        print_table(DEVICE_COLUMNS, map(device_row, devices))


@app.command()
def drain(node_id: NodeId, as_json: Json = False) -> None:
    """Drain a node: it gets no more tasks, and its running tasks finish."""
    with connect() as client:
        found = client.drain_node(node_id)
    print_json(found) if as_json else say(
        f"{node_id} is draining: it gets no more tasks; {found['running_total']} are still running"
    )


@app.command()
def undrain(node_id: NodeId, as_json: Json = False) -> None:
    """Undrain a node: it gets tasks again."""
    with connect() as client:
        found = client.undrain_node(node_id)
    print_json(found) if as_json else say(f"{node_id} gets tasks again; its status is {found['status']}")


def _load(found: NodeLine) -> str:
    load = found["current_load"]
    return "" if load is None else f"{100 * load:.0f} %"


def _row(found: NodeOut) -> tuple[Any, ...]:
    return (
        found["id"],
        found["status"],
        _load(found),
        amounts(found["resources"]),
        amounts(found["free"]),
        amounts(found["foreign"]),
        found["running_total"],
        found["tasks_completed"],
        found["tasks_failed"],
    )

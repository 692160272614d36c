"""helix task explain, helix task distribute: where a task is placed, and why it waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.devices import device_load, device_memory
from helix_ray.cli.exits import Exit
from helix_ray.cli.output import Json, amount, amounts, print_fields, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns
from helix_ray.core.strategy_names import Name as Strategy

if TYPE_CHECKING:
    from helix_ray.core.placement.changes import Change
    from helix_ray.wire.placement import DistributeOut, ExplainOut, NodeVerdict, ReasonCount

    Placed = ExplainOut | DistributeOut

NODE_COLUMNS = Columns(
    ("NODE", "VERDICT", "DIMENSION", "ASKED", "HAS", "DEFICIT", "KIND"), ("KIND", "HAS", "ASKED", "DEFICIT")
)
DEVICE_COLUMNS = Columns(
    ("NODE", "DEVICE", "NAME", "LOAD", "IN 5 MINUTES", "MEMORY", "REASON"), ("NAME", "MEMORY"), "REASON"
)
HISTORY_COLUMNS = Columns(("WAITED FOR", "FROM", "UNTIL"), ("UNTIL",), "WAITED FOR")
KIND_WORDS = {"never": "can never fit it", "waiting": "cannot fit it now"}
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id.")]


def explain(task_id: TaskId, as_json: Json = False) -> None:
    """Explain the placement of a task: for each node, what would place it now, and what it has waited for."""
    with connect() as client:
        answer = client.explain(task_id)
    if as_json:
        print_json(answer)
        return
    put(f"{answer['id']} {answer['status']}: {answer['summary']}")
    print_fields(_facts(answer))
    if answer["nodes"]:
        put("")
        print_table(NODE_COLUMNS, _node_rows(answer["nodes"]))
        _say_unlisted(answer)
    if devices := [*_device_rows(answer["nodes"])]:
        put("")
        print_table(DEVICE_COLUMNS, devices)
    if waits := answer.get("history"):
        put("")
        print_table(HISTORY_COLUMNS, [(w["reason"], when(w["since"]), when(w["until"])) for w in waits])


def distribute(
    task_id: TaskId,
    strategy: Annotated[
        Strategy | None,
        typer.Option(help="Placement strategy; default: the task's, otherwise the cluster's."),
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="Additional capability that its nodes must have.")
    ] = None,
    max_nodes: Annotated[int | None, typer.Option(min=1, help="Maximum number of nodes to use.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show where it would run without starting it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a pending task now, its shards on several nodes. Exit code 1 with the reason if it does not fit.

    A task that already runs on suitable nodes stays there.
    """
    with connect() as client:
        answer = client.distribute(task_id, strategy, capability or (), max_nodes, dry_run)
    if as_json:
        print_json(answer)
    elif answer["fits"]:
        print_fields(_distributed(answer))
    if not answer["fits"]:
        for line in _why_not(task_id, answer):
            say(line)
        raise typer.Exit(Exit.TASK_FAILED)


def change_line(change: Change) -> str:
    """Return one part of the smallest change as text."""
    if change["change"] == "reduce":
        asked = change["to"] + change["by"]
        return f"request {amount(change['to'])} {change['resource']} instead of {amount(asked)}"
    if change["change"] == "drop_label":
        return f"do not request the label {change['name']}={change['value']}"
    if change["change"] == "drop_capability":
        return f"do not request the capability {change['name']}"
    if change["change"] == "fewer_shards":
        return f"start {change['to']} shards together instead of {change['to'] + change['by']}"
    if change["change"] == "raise_quota":
        return f"raise the quota of {change['project_id']}: {change['resource']} by {amount(change['by'])}"
    return f"undrain {change['node']}" if change["change"] == "undrain" else str(change)


def _change(answer: Placed) -> str:
    """Return the smallest change as text; empty where there is none."""
    changes = answer.get("change") or ()
    where = (
        f", which makes it fit on {answer['change_node']}" if changes and answer.get("change_node") else ""
    )
    return " and ".join(map(change_line, changes)) + where


def _expected_free(answer: Placed) -> str:
    free = answer.get("expected_free")
    if not free:
        return ""
    lacks = f"until then it lacks {amounts(free['missing'])}"
    if free["in_s"] is None:
        late = f"what runs there has taken {_seconds(free['overrun_s'])} longer than usual"
        return f"{free['node']}, but {late}, so when is not known ({lacks})"
    return f"{free['node']} in {_seconds(free['in_s'])} ({lacks})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"


def _facts(answer: ExplainOut) -> dict[str, object]:
    preempts, inherits = answer.get("preempts"), answer.get("inherits")
    return {
        "verdict": answer["verdict"],
        "worker": answer["assigned_worker"],
        "waits for": " ".join(answer.get("waits_for") or ()),
        "blocked on": " ".join(answer.get("blocked_on") or ()),
        "inherits": f"priority {inherits['priority']} of {inherits['task']}" if inherits else "",
        "not before": when(answer.get("not_before")),
        "tasks ahead of it": answer.get("queued_ahead") or None,
        "smallest change": _change(answer),
        "expected capacity": _expected_free(answer),
        "would preempt": f"{' '.join(preempts['tasks'])} on {preempts['node']}" if preempts else "",
        "reserved for it": " ".join(answer.get("holds") or ()),
        "expected start": when(answer.get("estimated_start")),
        "expected end": _end(answer),
    }


def _end(answer: Placed) -> str:
    middle, most = answer.get("estimated_completion"), answer.get("estimated_completion_p90")
    return f"{when(middle)} (90th percentile {when(most)})" if middle else ""


def _device_rows(nodes: Iterable[NodeVerdict]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each device that the task could use."""
    for found in nodes:
        for device in found.get("devices") or ():
            load = device_load(device["utilization"]), device_load(device["utilization_5m"])
            memory = device_memory(device["memory_used_mb"], device["memory_total_mb"])
            name = f"{device['kind']} {device['index']}"
            yield found["node"], name, device["name"], *load, memory, device["reason"]


def _node_rows(nodes: Iterable[NodeVerdict]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each failing dimension; the first names the node."""
    for found in nodes:
        head = (found["node"], found["verdict"])
        if not found["failing"]:
            yield (*head, None, amount(None), amount(None), amount(None), None)
        for unmet in found["failing"]:
            asked, has, deficit = amount(unmet["asked"]), amount(unmet["has"]), amount(unmet["deficit"])
            yield (*head, unmet["dimension"], asked, has, deficit, unmet["kind"])
            head = ("", "")


def _say_unlisted(answer: ExplainOut) -> None:
    more = answer["nodes_total"] - len(answer["nodes"])
    if more > 0:
        say(f"and {more} more nodes; over all nodes: " + "; ".join(map(_reason_line, answer["reasons"])))


def _reason_line(reason: ReasonCount) -> str:
    count = reason["nodes"]
    return f"{reason['dimension']}: {count} {'node' if count == 1 else 'nodes'} {KIND_WORDS[reason['kind']]}"


def _distributed(answer: DistributeOut) -> dict[str, object]:
    started = "would start on" if answer["dry_run"] else "started on"
    where = "already running on" if answer.get("already_running") else started
    return {
        where: " ".join(answer["assigned_nodes"]),
        "strategy": answer["strategy"],
        "shards waiting": answer.get("shards_waiting") or None,
        "expected end": _end(answer) or f"unknown: {answer['estimated_completion_reason']}",
    }


def _why_not(task_id: str, answer: DistributeOut) -> Iterator[str]:
    yield f"helix: {task_id} does not fit on any node now: {answer.get('summary')}"
    for reason in answer.get("reasons") or ():
        yield f"  {_reason_line(reason)}"
    change, free = _change(answer), _expected_free(answer)
    if change:
        yield f"  smallest change: {change}"
    if free:
        yield f"  expected capacity: {free}"

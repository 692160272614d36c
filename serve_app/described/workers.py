"""What the fields of workers, of nodes and of the cluster mean, and of the quotas of projects."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "WorkerIn": {
        "hostname": "The name of the worker's host.",
        "capabilities": "What it can do: types of tasks, and capabilities that tasks require.",
        "resources": (
            "What it has, as amounts by name; `true` is one, null is not stated. Null: nothing is stated."
        ),
        "labels": "Its labels, as values by name; null: none.",
        "worker_id": "The id that it had, or that it chooses; null: the server gives it one.",
        "boot": "A text that differs after each start of it; another one queues its tasks again. Null: none.",
    },
    "HeartbeatIn": {
        "worker_id": "The id of the worker.",
        "status": "`idle` where it takes a task; null: the same.",
        "current_task": "The id of the task that it runs; null: none.",
        "resources": "What it measured of itself, by name; null: nothing.",
        "boot": "The `boot` of its registration, so that a replaced process is refused; null: not checked.",
    },
    "HeartbeatOut": {
        "acknowledged": "Whether the heartbeat was taken, always true.",
        "assigned_task": "The id of the task that it is to run; null: none.",
        "next_heartbeat_s": "In how many seconds the next heartbeat is due.",
        "attempt": "The number of its attempt at the task, for its reports; missing without a task.",
        "lease_expires_at": (
            "When the task is taken from it unless a heartbeat comes; missing without a task."
        ),
    },
    "WorkerRegisteredOut": {"worker_id": "The id of the worker, for its heartbeats."},
    "DrainIn": {"draining": "Whether it gets no more tasks, true unless given."},
    "DrainOut": {
        "worker_id": "The id of the worker.",
        "draining": "Whether it gets no more tasks.",
    },
    "WorkersOut": {"workers": "The nodes of the cluster and external workers."},
    "WorkerOut": {
        "id": "The id of the worker.",
        "kind": "`node` of the cluster, or `external`.",
        "status": "`idle`, `busy`, `draining` or `lost`.",
        "resources": "What it has, as amounts by resource name; null: not stated.",
        "usage": "What it measured of itself at its last heartbeat, by name: percent and MiB.",
    },
    "NodeOut NodeLine": {
        "id": "The id of the node, which is that of its worker.",
        "status": "`active`, `draining`, `resting` after repeated losses, or `lost`.",
        "current_load": "The busy share of its processors, 0 to 1; null before a measurement and while lost.",
    },
    "NodeOut WorkerOut": {
        "capabilities": "What it can do, as tasks may require it.",
        "labels": "Its labels, as values by name.",
        "node_id": "Its id in Ray; null: it is not of the Ray cluster.",
        "last_heartbeat": "When it was last heard of, in ISO 8601.",
        "running": "Ids of the tasks that it runs and the caller may see, at most 100.",
        "running_total": "How many tasks it runs.",
        "tasks_failed": "How many tasks have failed on it.",
    },
    "NodeOut": {
        "resources": "What it has, as amounts by resource name.",
        "free": "What is left for tasks, as amounts by resource name.",
        "allocated": "What tasks of Helix Ray use, as amounts by resource name.",
        "foreign": "What other programs on the Ray cluster use, as amounts by resource name.",
        "simulated": "Names of resources that are only logical, with no hardware behind them.",
        "usage": "What it measured of itself at its last heartbeat: percent, MiB, devices.",
        "draining": "Whether it was told to take no more tasks.",
        "lost_at": "When it was lost lately, in ISO 8601, oldest first.",
        "rests_until": (
            "When the quarantine after its repeated losses ends or has ended, in ISO 8601; null: it had none."
        ),
        "held_for": "The id of the task for which it is reserved; null: it is not reserved.",
    },
    "NodesOut": {"nodes": "All nodes."},
    "MasterNode": {
        "id": "The id of the master.",
        "status": "Always `active`: it gives this answer.",
        "uptime": "Whole seconds since this master started.",
        "started_at": "When this master started, in ISO 8601.",
        "epoch": "The number of this master's term; a restart begins another.",
    },
    "ClusterStatusOut": {
        "master_node": "The control plane.",
        "worker_nodes": "All nodes, whatever their status.",
        "total_nodes": "How many nodes there are, with the master.",
        "active_nodes": "How many of them are active, with the master.",
    },
    "QuotaIn": {
        "limits": (
            "The most that the project may use at a time, by resource name; also `tasks` (running), `queued` "
            "(unfinished) and `stored_mb`."
        ),
        "weight": "By what its share is divided before projects are compared, 1 unless given.",
    },
    "QuotaOut QuotaSetOut": {
        "project_id": "The id of the project, or of a user for what has no project.",
        "limits": "The most that it may use at a time, by resource name; what is not named has no limit.",
        "weight": "By what its share is divided before projects are compared.",
    },
    "QuotaOut": {
        "used": "What it uses now, by resource name; also `tasks` (running) and `stored_mb`.",
        "queued": "How many of its tasks have not ended.",
        "share": "Its largest share of any resource of the cluster, divided by its weight.",
    },
    "QuotasOut": {"quotas": "Projects with their limits and what they use."},
}

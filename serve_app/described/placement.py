"""What the fields of explanations and distributions mean: where a task goes, and why."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "DistributeIn": {
        "task_id": "The id of the pending task to start.",
        "distribution_strategy": (
            "How nodes are chosen among those that fit; null: the task's strategy, else HELIX_STRATEGY."
        ),
        "required_capabilities": "Capabilities that nodes must have beside the task's; null: none.",
        "max_nodes": "How many nodes its shards may be on at most; null: any number.",
        "dry_run": "Whether only to say where it would go; null: false.",
    },
    "DistributeOut ExplainOut": {
        "change_node": "The node on which it would be placed with `change`; null: on none.",
    },
    "DistributeOut": {
        "distributed": "Whether the task was started or runs already; false for a dry run of a pending task.",
        "already_running": "Whether it ran on suitable nodes already, so that nothing was changed.",
        "assigned_nodes": "Ids of the nodes that it is on, or in a dry run would be on, each once.",
        "estimated_completion": (
            "When the last shard is expected to end (median), in ISO 8601; null: the reason is beside it."
        ),
        "estimated_completion_p90": (
            "The time by which it ends in nine out of ten cases, in ISO 8601; null: there is no estimate."
        ),
        "estimated_completion_reason": "On what it is based, or why there is none; null: not known.",
        "strategy": "How the nodes were chosen.",
        "dry_run": "Whether nothing was changed because only the placement was asked for.",
        "fits": "Whether the task fits, for a gang all of it.",
        "shards_waiting": "How many shards do not fit yet and are started later; missing where nothing fits.",
        "summary": "Why it does not fit, in a sentence; missing where it fits.",
        "reasons": "How many nodes each constraint excludes; missing where the task fits.",
        "nodes": "What is unmet on each node; missing where the task fits.",
        "change": "The smallest changes that would place it now; null: only waiting helps.",
        "expected_free": "Where it is expected to fit first; null: not known.",
    },
    "ExplainOut": {
        "id": "The id of the task.",
        "status": "The status of the task.",
        "assigned_worker": (
            "The id of the worker that runs it, or ran it when it ended; null: none does, or did."
        ),
        "verdict": "Why it is where it is, in one word; docs/api.md has the list.",
        "summary": "Why it is where it is, in a sentence.",
        "nodes": "What is unmet on each node, those that nearly fit first, at most 100; none unless pending.",
        "nodes_total": "How many nodes were examined.",
        "reasons": "How many nodes each constraint excludes, the most frequent first.",
        "change": "The smallest changes that would place it now; null: none would, or it is not pending.",
        "expected_free": "Where it is expected to fit first; null: not known.",
        "preempts": "Whose place it would take; null: nobody's.",
        "holds": "Ids of the nodes that are reserved for it; missing unless it is pending.",
        "queued_ahead": "How many tasks are ahead of it in the queue; missing unless it is pending.",
        "estimated_start": "When it is expected to start, in ISO 8601; null: nothing was measured yet.",
        "estimated_completion": (
            "The time by which it ends in half of all cases, in ISO 8601; null: nothing was measured yet."
        ),
        "estimated_completion_p90": (
            "The time by which it ends in nine out of ten cases, in ISO 8601; null: nothing was measured yet."
        ),
        "history": "Why tasks of its class have waited so far; missing unless it is pending.",
        "waits_for": "Ids of the unfinished tasks on which it depends; missing unless it is `waiting`.",
        "blocked_on": "Ids of the unfinished tasks for which its code waits; missing unless it is `blocked`.",
        "inherits": "The priority that it has from a task which waits for it; missing where it has none.",
        "not_before": "When its retry is due, in ISO 8601; missing unless it is `delayed`.",
    },
    "UnmetConstraintOut ReasonCount": {
        "dimension": (
            "What does not fit: `resources.NAME`, `labels.NAME`, `capabilities.NAME`, `node` or `lanes`."
        ),
        "kind": "`waiting` where it fits once something ends, `never` where waiting does not help.",
    },
    "UnmetConstraintOut": {
        "asked": "What the task asks for.",
        "has": "What is free now (`waiting`), or what the node has in all (`never`); null: no such thing.",
        "deficit": "By how much the node falls short; null: what is required is not an amount.",
    },
    "ReasonCount": {"nodes": "How many nodes it excludes."},
    "NodeVerdict": {
        "node": "The id of the node, or of an external worker.",
        "verdict": "`fits`, `waiting` until something ends there, or `never`.",
        "failing": "The constraints that are not met; none where the task fits.",
        "devices": "Its accelerators of the kinds that the task asks for; missing without any.",
    },
    "DeviceLoad": {
        "kind": "`gpu` or `npu`.",
        "index": "The number of the device among those of its kind on the node, from 0.",
        "name": "What its maker calls it; null: not known.",
        "utilization": "How busy it is, in percent; null: not known.",
        "utilization_5m": "How busy it was in the last five minutes, in percent; null: not known.",
        "reason": "Why a figure is null or partial; null: there is nothing to say.",
        "memory_used_mb": "Memory in use, in MiB; null: not known.",
        "memory_total_mb": "Memory in all, in MiB; null: not known.",
    },
    "Change": {
        "change": (
            "What to change; the fields beside it, such as `resource`, `to` and `by`, depend on it: "
            "docs/api.md has the table."
        ),
    },
    "ExpectedFree": {
        "node": "The id of the node that is expected to have room first.",
        "in_s": "In how many seconds; null where what runs there should have ended already.",
        "missing": "What it lacks until then, as amounts by resource name.",
        "overrun_s": "By how many seconds what runs there has exceeded its estimate; 0: it has not.",
    },
    "Preempts": {
        "node": "The id of the node on which it would be placed.",
        "tasks": "Ids of the tasks that would be queued again.",
    },
    "WaitOut": {
        "reason": "For what they waited: `no_room`, `quota` or `held`, a reservation for another task.",
        "since": "From when on, in ISO 8601.",
        "until": "Until when that was last found to be so, in ISO 8601.",
    },
    "Inherited": {
        "priority": "The priority with which the task is queued.",
        "task": "The id of the task that waits for it and has this priority.",
    },
}

"""What the fields of tasks, their results and their logs mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "TaskIn TaskUpdateIn TaskOut TaskLine TaskCreated": {
        "title": "What the task is called, for people.",
        "type": "The kind of work, one of HELIX_TASK_TYPES; external workers have types as capabilities.",
    },
    "TaskOut TaskLine TaskCreated TaskUpdated TaskRetried ResultOut": {
        "id": "The id of the task.",
        "status": (
            "Where it is in its life: `waiting` for other tasks, `pending` until it is placed, `running`, "
            "or how it ended."
        ),
    },
    "TaskIn TaskUpdateIn TaskOut": {
        "description": "What the task is about, for people; null: nothing was said.",
        "labels": "Labels, as values by name, which a node or worker must have too; null: none.",
        "retry_backoff_s": (
            "Seconds before the first retry, doubled before each further one; null: HELIX_RETRY_BACKOFF_S."
        ),
        "timeout_s": "Seconds after which a running attempt is stopped; null: never.",
        "deadline": "When the task fails unless it has ended, in ISO 8601; null: never.",
        "required_capabilities": "Capabilities that a node or worker must have to get it; null: none.",
    },
    "TaskIn TaskOut": {
        "max_retries": "How many times a failed attempt is tried again, 0 where it is missing or null.",
        "strategy": "How a node is chosen among those that fit; null: HELIX_STRATEGY.",
        "preemptible": "Whether a more urgent task may take its place; true where it is missing or null.",
    },
    "TaskIn": {
        "priority": "How urgent it is; null: `normal`.",
        "depends_on": (
            "Ids of tasks that must be completed first, or `#3` for number 3, from 0, of the same batch; "
            "null: none."
        ),
        "project_id": "The project to which it belongs; null: it is its owner's own.",
        "run": "What to run; null: an external worker or a person does the work.",
        "resources": "What it uses while it runs; null: nothing in particular.",
        "shards": "Into how many parts it goes, as a number or an object; null: it is not split.",
    },
    "TaskUpdateIn": {
        "status": "The status to set; null: it stays.",
        "progress": "How far it is, in percent; null: it stays.",
        "result": "What the work produced, any JSON.",
        "error": "Why it failed; a text alone is the message. Null: nothing was said.",
        "attempt": (
            "The number of the attempt that the report is about, from 1; it is refused if that has ended. "
            "Null: not said."
        ),
        "worker_id": "The worker that reports; it is refused if the task has another one. Null: not said.",
        "max_retries": "How many times a failed attempt is tried again.",
        "project_id": "The project to which it moves; null: it is its owner's own.",
        "resources": "What it uses while it runs; null: nothing in particular.",
    },
    "ErrorIn": {
        "reason": "The cause in one word, for programs; `failed` unless given.",
        "type": "The class of the exception.",
        "message": "What happened, for people.",
    },
    "TaskOut TaskLine": {
        "project_id": "The project to which it belongs; null: it is its owner's own.",
        "progress": "How far it is, in percent.",
    },
    "TaskUpdated TaskRetried": {"progress": "How far it is, in percent, after the change."},
    "TaskOut TaskLine ResultOut": {
        "assigned_worker": (
            "The id of the worker that runs it, or ran it when it ended; null: none does, or did."
        ),
    },
    "TaskOut": {
        "progress_note": "What it is doing, in its own words; null: it has not said.",
        "owner": "The id of the user whose task it is.",
        "attempt": "The number of the newest attempt; 0: it has not been started.",
        "failures": "How many failed attempts were tried again since a user last queued it.",
        "losses": "How many attempts were lost with their worker since a user last queued it.",
        "preemptions": "How many attempts gave way to a more urgent task since a user last queued it.",
        "started_at": "When the newest attempt began, in ISO 8601; null: none has, or it was queued again.",
        "not_before": "The earliest start of its next attempt, in ISO 8601; null: any time.",
        "depends_on": "Ids of the tasks that must be completed first; missing or null where there are none.",
        "waits_for": "Ids of unfinished tasks on which it depends.",
        "blocked_on": "Ids of unfinished tasks for which its code waits; missing where it waits for none.",
        "error": (
            "Why it or its last attempt failed: `reason`, `message` and more; null: nothing has failed."
        ),
        "run": (
            "What it runs, without inputs, and with `***` for values of `env` and standard input; "
            "null: work of others."
        ),
        "resources": "What it uses while it runs, by name; missing or null where it asks for nothing.",
        "traceparent": "The trace within which it was submitted (W3C Trace Context); missing without one.",
        "shards": "Its shards; missing where it has none.",
        "shard": "Which shard of which task it is; missing where it is none.",
    },
    "TaskOut ResultOut": {"finished_at": "When it ended, in ISO 8601; null: it has not."},
    "ResultOut": {
        "attempt": "The number of the attempt that ended it; 0: it was never started.",
        "result": "What it produced, any JSON; null where it produced nothing.",
        "error": "Why it failed or was cancelled, with `reason` and `message`; null: it did not.",
    },
    "ShardsIn ShardsOut ShardOut": {
        "gang": "Whether all shards start together, or none does.",
    },
    "ShardsIn": {"count": "Into how many shards it goes."},
    "ShardsOut ShardOut": {"count": "How many shards the parent has."},
    "ShardsOut": {"completed": "How many of them are completed."},
    "ShardOut": {"of": "The id of the parent.", "index": "The number of the shard, from 0."},
    "TaskPage": {
        "tasks": "The tasks of the page, newest first.",
        "total": "How many tasks match the filters on all pages.",
        "limit": "How many tasks a page has at most.",
        "offset": "How many tasks come before the page.",
    },
    "BatchIn": {"tasks": "The tasks to submit; each is accepted or refused by itself."},
    "BatchOut": {
        "tasks": "What became of each task, in the order of the request.",
        "accepted": "How many were accepted.",
        "rejected": "How many were refused.",
    },
    "TaskRefused": {"error": "Why the task was refused."},
    "RetryIn": {
        "dependants": "Whether tasks that failed because of it are queued again, false unless given."
    },
    "TaskRetried": {
        "queued": "Ids of the tasks that were queued again, the nearest first; only with `dependants`.",
        "not_queued": "Tasks that failed because of it and were not queued again; only with `dependants`.",
    },
    "NotQueued": {"id": "The id of the task.", "error": "Why it was not queued again."},
    "LogOut": {
        "id": "The id of the task.",
        "attempt": "The number of the attempt that wrote it, from 1.",
        "text": "The output, in which invalid UTF-8 is U+FFFD.",
        "offset": "The byte of the complete output with which `text` begins.",
        "next_offset": "The `offset` with which to read on.",
        "eof": "Whether the attempt has ended and this is the end of its output.",
        "cut_bytes": "How many bytes were removed from the middle of the output so far.",
    },
}

"""Odd texts and values, and every field of a request that one can be sent in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.http.api_server import Api

TASK = {"title": "t", "type": "planning"}


class Raw(NamedTuple):
    """A JSON text that is sent as it stands; `value` is what it says."""

    text: str
    value: Any


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value), value)


def deep(levels: int) -> Raw:
    return Raw("[" * levels + "]" * levels, f"{levels} levels")


TEXTS = {
    "lone surrogate": raw("caf\udce9"),
    "nul": raw("a\0b"),
    "control characters": raw("\x1b[31m\x07\x85"),
    "empty": raw(""),
    "1 MB": raw("x" * 1_000_000),
}

VALUES = {
    **TEXTS,
    "lone surrogate in a key": raw({"caf\udce9": 1}),
    "empty key": raw({"": {"": 1}}),
    "depth 100": Raw("[" * 99 + "1" + "]" * 99, None),
    "depth 200": deep(200),
    "depth 1,000": deep(1_000),
    "depth 100,000": deep(100_000),
    "2^53+1": raw(2**53 + 1),
    "2^63": raw(2**63),
    "2^64": raw(2**64),
    "10^400": raw(10**400),
    "1e400": Raw("1e400", None),
    "-1e400": Raw("[-1e400]", None),
    "nan": Raw("NaN", None),
    "infinity": Raw("[Infinity]", None),
    "-0.0": raw(-0.0),
}


class Door(NamedTuple):
    """A field of a request: where it is sent, the body with HERE for the value, and what reads it again."""

    method: str
    path: str
    body: Any
    read: Callable[[dict[str, Any], Api], Any] | None = None


HERE = "\u2603"


def _task(*names: str) -> Callable[[dict[str, Any], Api], Any]:
    def read(answer: dict[str, Any], api: Api) -> Any:
        found = api.plane.engine.state.tasks[answer["tasks"][0]["id"] if "tasks" in answer else answer["id"]]
        value: Any = {**found.spec, "result": found.result, "error": found.error}
        for name in names:
            value = value[int(name) if name.isdigit() else name]
        return value

    return read


def a_command(**run: Any) -> dict[str, Any]:
    return {**TASK, "run": {"kind": "command", "argv": ["true"], **run}}


def a_function(**run: Any) -> dict[str, Any]:
    return {**TASK, "run": {"kind": "function", "function": "helix_ray.samples:add", **run}}


def a_webhook(**fields: Any) -> dict[str, Any]:
    return {"url": "https://example.com/odd", "events": ["*"], **fields}


TEXT_DOORS = {
    "title": Door("POST", "/tasks", {**TASK, "title": HERE}, _task("title")),
    "description": Door("POST", "/tasks", {**TASK, "description": HERE}, _task("description")),
    "project_id": Door("POST", "/tasks", {**TASK, "project_id": HERE}, _task("project_id")),
    "label": Door("POST", "/tasks", {**TASK, "labels": {"a": HERE}}, _task("labels", "a")),
    "label name": Door("POST", "/tasks", {**TASK, "labels": {HERE: "a"}}),
    "capability": Door("POST", "/tasks", {**TASK, "required_capabilities": [HERE]}),
    "depends_on": Door("POST", "/tasks", {**TASK, "depends_on": [HERE]}),
    "unknown field": Door("POST", "/tasks", {**TASK, HERE: 1}),
    "argv": Door("POST", "/tasks", a_command(argv=["true", HERE]), _task("run", "argv", "1")),
    "env": Door("POST", "/tasks", a_command(env={"A": HERE}), _task("run", "env", "A")),
    "stdin": Door("POST", "/tasks", a_command(stdin=HERE), _task("run", "stdin")),
    "stdin_base64": Door("POST", "/tasks", a_command(stdin_base64=HERE), _task("run", "stdin_base64")),
    "env name": Door("POST", "/tasks", a_command(env={HERE: "a"})),
    "working_dir": Door("POST", "/tasks", a_command(working_dir=HERE), _task("run", "working_dir")),
    "function": Door("POST", "/tasks", a_function(function=HERE)),
    "batch title": Door("POST", "/tasks/batch", {"tasks": [{**TASK, "title": HERE}]}, _task("title")),
    "edited title": Door("PUT", "/tasks/{task}", {"title": HERE}, _task("title")),
    "edited label": Door("PUT", "/tasks/{task}", {"labels": {"a": HERE}}, _task("labels", "a")),
    "error": Door("PUT", "/tasks/{task}", {"status": "failed", "error": HERE}, _task("error", "message")),
    "hostname": Door("POST", "/workers/register", {"hostname": HERE, "capabilities": ["planning"]}),
    "worker capability": Door("POST", "/workers/register", {"hostname": "h", "capabilities": [HERE]}),
    "worker_id": Door("POST", "/workers/register", {"hostname": "h", "capabilities": [], "worker_id": HERE}),
    "worker label": Door(
        "POST", "/workers/register", {"hostname": "h", "capabilities": [], "labels": {"a": HERE}}
    ),
    "boot": Door("POST", "/workers/register", {"hostname": "h", "capabilities": [], "boot": HERE}),
    "heartbeat worker_id": Door("POST", "/workers/heartbeat", {"worker_id": HERE}),
    "heartbeat status": Door("POST", "/workers/heartbeat", {"worker_id": "worker_x", "status": HERE}),
    "heartbeat current_task": Door(
        "POST", "/workers/heartbeat", {"worker_id": "worker_x", "current_task": HERE}
    ),
    "heartbeat usage": Door(
        "POST", "/workers/heartbeat", {"worker_id": "worker_x", "resources": {"gpu_name": HERE}}
    ),
    "username": Door(
        "POST", "/users", {"username": HERE, "password": "another password", "roles": ["viewer"]}
    ),
    "login": Door("POST", "/auth/login", {"username": HERE, "password": "wrong password"}),
    "project": Door("POST", "/projects", {"id": HERE, "name": "n"}),
    "project name": Door("POST", "/projects", {"id": "p-odd", "name": HERE}),
    "member": Door("POST", "/projects", {"id": "p-odd2", "name": "n", "members": [HERE]}),
    "token name": Door("POST", "/auth/tokens", {"name": HERE}),
    "erasure reason": Door("POST", "/aurora/erasures", {"tasks": ["task-x"], "reason": HERE}),
    "erased task": Door("POST", "/aurora/erasures", {"tasks": [HERE], "reason": "r"}),
    "erased user": Door("POST", "/aurora/erasures", {"users": [HERE], "reason": "r"}),
    "distribute": Door("POST", "/harmony/distribute", {"task_id": HERE}),
    "webhook name": Door("POST", "/webhooks", a_webhook(name=HERE)),
    "webhook url": Door("POST", "/webhooks", a_webhook(url=HERE)),
    "webhook event": Door("POST", "/webhooks", a_webhook(events=[HERE])),
    "webhook project": Door("POST", "/webhooks", a_webhook(projects=[HERE])),
    "webhook label": Door("POST", "/webhooks", a_webhook(labels={HERE: HERE})),
    "webhook secret": Door("POST", "/webhooks", a_webhook(secret=HERE)),
    "webhook header": Door("POST", "/webhooks", a_webhook(headers={"X-Odd": HERE})),
    "webhook header name": Door("POST", "/webhooks", a_webhook(headers={HERE: "odd"})),
    "webhook ca": Door("POST", "/webhooks", a_webhook(ca=HERE)),
    "device code": Door("POST", "/devices", {"code": HERE, "name": "n"}),
    "device name": Door("POST", "/devices", {"code": "7K2QD-M4XN9", "name": HERE}),
}  # fmt: skip

VALUE_DOORS = {
    "args": Door("POST", "/tasks", a_function(args=[HERE]), _task("run", "args", "0")),
    "kwargs": Door("POST", "/tasks", a_function(kwargs={"a": HERE}), _task("run", "kwargs", "a")),
    "batch args": Door(
        "POST", "/tasks/batch", {"tasks": [a_function(args=[HERE])]}, _task("run", "args", "0")
    ),
    "inputs": Door(
        "POST", "/tasks", {**TASK, "run": {"kind": "inference", "model": "m", "inputs": {"a": HERE}}},
        _task("run", "inputs", "a"),
    ),
    "result": Door(
        "PUT", "/tasks/{task}", {"status": "completed", "result": {"a": HERE}}, _task("result", "a")
    ),
    "error field": Door(
        "PUT", "/tasks/{task}", {"status": "failed", "error": {"a": HERE}}, _task("error", "a")
    ),
    "progress": Door("PUT", "/tasks/{task}", {"progress": HERE}),
    "attempt": Door("PUT", "/tasks/{task}", {"progress": 5, "attempt": HERE}),
    "cpu": Door("POST", "/tasks", {**TASK, "resources": {"cpu": HERE}}),
    "max_retries": Door("POST", "/tasks", {**TASK, "max_retries": HERE}),
    "deadline": Door("POST", "/tasks", {**TASK, "deadline": HERE}),
    "shards": Door("POST", "/tasks", {**a_function(), "shards": HERE}),
    "worker resource": Door(
        "POST", "/workers/register", {"hostname": "h", "capabilities": [], "resources": {"a": HERE}}
    ),
    "worker usage": Door("POST", "/workers/heartbeat", {"worker_id": "worker_x", "resources": {"a": HERE}}),
    "quota": Door("PUT", "/harmony/quotas/p-1", {"limits": {"cpu": HERE}}),
    "whole body": Door("POST", "/tasks", HERE),
}  # fmt: skip

DOORS = [
    *((name, door, VALUES) for name, door in VALUE_DOORS.items()),
    *((name, door, TEXTS) for name, door in TEXT_DOORS.items()),
]

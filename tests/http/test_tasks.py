"""Tasks over HTTP: what is accepted, what is refused and why, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import AttemptReport, RegisterWorker, ReportAttempts
from helix_ray.core.questions import GetTask
from helix_ray.core.values import VALUE_DEPTH_MAX
from helix_ray.wire.task_answers import ResultOut, TaskCreated, TaskOut, TaskPage, TaskUpdated
from tests.http.api_server import TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

WHOLE = {
    **TASK,
    "description": "d",
    "project_id": "project-1",
    "run": {"kind": "command", "argv": ["true"], "env": {"A": "b"}, "stdin": "c", "timeout_s": 5},
    "resources": {"cpu": 0.5, "memory_mb": 64, "gpu": 0, "npu": 0, "custom": {"tape": 1}},
    "required_capabilities": ["avx2"],
    "labels": {"team": "blue"},
    "max_retries": 2,
    "retry_backoff_s": 0.5,
    "timeout_s": 60,
    "deadline": "2100-01-01T00:00:00Z",
}


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# what is sent beside title and type, and the field that the answer names
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "a priority in capitals": ({"priority": "HIGH"}, "priority"),
    "an unknown type": ({"type": "cooking"}, "type"),
    "a type in capitals": ({"type": "Building"}, "type"),
    "an unknown field": ({"colour": "red"}, "colour"),
    "an empty title": ({"title": ""}, "title"),
    "a title of 501 characters": ({"title": "x" * 501}, "title"),
    "a null title": ({"title": None}, "title"),
    "a title that is a number": ({"title": 5}, "title"),
    "a long description": ({"description": "x" * 65_537}, "description"),
    "cpu below zero": ({"resources": {"cpu": -1}}, "resources.cpu"),
    "cpu a text": ({"resources": {"cpu": "1"}}, "resources.cpu"),
    "cpu true": ({"resources": {"cpu": True}}, "resources.cpu"),
    "an unknown resource": ({"resources": {"tape": 1}}, "resources.tape"),
    "65 labels": ({"labels": {f"l{i}": "x" for i in range(65)}}, "labels"),
    "a label that is a number": ({"labels": {"a": 1}}, "labels.a"),
    "33 custom resources": (
        {"resources": {"custom": {f"c{i}": 1 for i in range(33)}}},
        "resources.custom",
    ),
    "retries below zero": ({"max_retries": -1}, "max_retries"),
    "retries half": ({"max_retries": 1.5}, "max_retries"),
    "no time at all": ({"timeout_s": 0}, "timeout_s"),
    "a deadline in words": ({"deadline": "tomorrow"}, "deadline"),
    "a deadline as a number": ({"deadline": 1}, "deadline"),
    "a deadline before 1970": ({"deadline": "1969-12-31T23:59:59Z"}, "deadline"),
    "an unknown dependency": ({"depends_on": ["task-none"]}, "depends_on"),
    "a number of no batch": ({"depends_on": ["#7"]}, "depends_on"),
    "itself": ({"depends_on": ["#0"]}, "depends_on"),
    "an unknown kind of run": ({"run": {"kind": "magic"}}, "run.kind"),
    "no kind of run": ({"run": {"argv": ["x"]}}, "run.kind"),
    "a run that is a text": ({"run": "true"}, "run"),
    "argv and shell": ({"run": {"kind": "command", "argv": ["x"], "shell": "x"}}, "run"),
    "neither argv nor shell": ({"run": {"kind": "command"}}, "run"),
    "an empty argv": ({"run": {"kind": "command", "argv": []}}, "run.argv"),
    "an argument that is a number": ({"run": {"kind": "command", "argv": [1]}}, "run.argv.0"),
    "a zero byte": ({"run": {"kind": "command", "argv": ["a\0b"]}}, "run.argv.0"),
    "a variable with =": (
        {"run": {"kind": "command", "argv": ["x"], "env": {"A=": "x"}}},
        "run.env.A=.[key]",
    ),
    "an input that is too large": (
        {"run": {"kind": "command", "argv": ["x"], "stdin": "é" * 262_145}},
        "run.stdin",
    ),
    "an input that is not base64": (
        {"run": {"kind": "command", "argv": ["x"], "stdin_base64": "aGk"}},
        "run.stdin_base64",
    ),
    "two inputs": (
        {"run": {"kind": "command", "argv": ["x"], "stdin": "", "stdin_base64": ""}},
        "run",
    ),
    "an unknown field of a run": ({"run": {"kind": "command", "argv": ["x"], "cwd": "/"}}, "run.cwd"),
    "a function without a module": ({"run": {"kind": "function", "function": "f"}}, "run.function"),
    "a pickle": (
        {"run": {"kind": "function", "function": "m:f", "payload": "gASV"}},
        "run.payload",
    ),
    "a runtime environment": (
        {"run": {"kind": "function", "function": "m:f", "runtime_env": "{}"}},
        "run.runtime_env",
    ),
    "arguments nested deep": (
        {"run": {"kind": "function", "function": "helix_ray.samples:add", "args": nested(101)}},
        "run.args" + ".0" * 12 + "....",
    ),
    "a model with a path": ({"run": {"kind": "inference", "model": "../x", "inputs": 1}}, "run.model"),
    "no inputs": ({"run": {"kind": "inference", "model": "x"}}, "run"),
}


@pytest.mark.parametrize(("fields", "field"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_task_is_refused_with_the_field_named(
    admin: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    error = error_of(admin.post("/tasks", json={**TASK, **fields}), 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == field
    # The whole way: "Invalid task 1" would not say that the second argument of argv is meant.
    assert field in error["message"] or "." not in field


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "Missing request body"),
    "not JSON": (b"{", "Malformed JSON"),
    "NaN": (b'{"title": NaN}', "Malformed JSON"),
    "a lone surrogate": (b'{"title": "\\ud800"}', "Malformed JSON"),
    "not UTF-8": (b'{"title": "\xff"}', "Malformed JSON"),
    "a list": (b"[]", "Invalid request body: must be an object"),
    "null": (b"null", "Invalid request body: must be an object"),
    "nested without end": (b"[" * 5_000, "Malformed JSON"),
}


@pytest.mark.parametrize(("content", "message"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("path", ["/tasks", "/workers/register", "/auth/login"])
def test_a_body_that_is_no_object_is_refused(
    admin: httpx.Client, path: str, content: bytes, message: str
) -> None:
    answer = admin.post(path, content=content, headers={"content-type": "application/json"})
    assert error_of(answer, 400, "VALIDATION_ERROR")["message"] == message


REPEATED: dict[str, tuple[bytes, str]] = {
    "a field": (b'{"title": "a", "type": "building", "title": "b"}', "title"),
    "one that is escaped": (b'{"title": "a", "type": "building", "\\u0074itle": "b:\\u003a"}', "title"),
    "beside a long number": (b'{"deadline": 12345678901234567890123, "title": "a", "title": "b"}', "title"),
    "a label": (b'{"title": "a", "type": "building", "labels": {"a": "1", "a": "2"}}', "a"),
}


@pytest.mark.parametrize(("content", "field"), REPEATED.values(), ids=REPEATED.keys())
@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch", "/webhooks", "/auth/login"])
def test_a_field_that_is_given_twice_is_refused(
    admin: httpx.Client, path: str, content: bytes, field: str
) -> None:
    """Which of its values counts differs between programs: one that looks at requests in front of the server
    may have taken another."""
    answer = admin.post(path, content=content, headers={"content-type": "application/json"})
    error = error_of(answer, 400, "VALIDATION_ERROR")
    assert (error["message"], error["details"]["field"]) == ("Repeated field in the request body", field)


def test_other_content_types_are_refused(admin: httpx.Client) -> None:
    for headers in ({"content-type": "text/plain"}, {}):
        answer = admin.post("/tasks", content=b'{"title": "x", "type": "building"}', headers=headers)
        assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == "Content-Type"


def test_all_fields_but_secrets_come_back(api: Api, admin: httpx.Client) -> None:
    answer = admin.post("/tasks", json=WHOLE)
    assert answer.status_code == 201
    assert int(answer.headers["x-helix-seq"]) > 0
    shaped(TaskCreated, answer.json())
    task = admin.get(f"/tasks/{answer.json()['id']}").json()
    shaped(TaskOut, task)
    # Values of the environment and the input are secret: they go to the task, and are never shown.
    run = {**WHOLE["run"], "env": {"A": "***"}, "stdin": "***"}
    expected = {**WHOLE, "deadline": "2100-01-01T00:00:00.000Z", "run": run}
    assert {name: task[name] for name in expected} == expected


def test_a_task_keeps_the_trace_of_its_request(api: Api, admin: httpx.Client) -> None:
    """Every task of a batch too; a `traceparent` that is not valid, or two of them, is as good as none."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    admin.headers["traceparent"] = given
    try:
        ids = [api.submit(admin)]
        ids += [
            task["id"] for task in admin.post("/tasks/batch", json={"tasks": [TASK, TASK]}).json()["tasks"]
        ]
        assert [admin.get(f"/tasks/{task_id}").json()["traceparent"] for task_id in ids] == [given] * 3
        assert "traceparent" not in admin.get("/tasks").json()["tasks"][0]
    finally:
        del admin.headers["traceparent"]
    for headers in ([("traceparent", "00-0-0-0")], [("traceparent", given), ("traceparent", given)]):
        answer = admin.post("/tasks", json=TASK, headers=headers)
        assert "traceparent" not in admin.get(f"/tasks/{answer.json()['id']}").json()
    answer = admin.post("/tasks", json={**TASK, "traceparent": given})
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == "traceparent"


def test_null_fields_are_fields_not_given(api: Api, admin: httpx.Client) -> None:
    task_id = api.submit(admin, **dict.fromkeys(set(WHOLE) - {"title", "type"}))
    stored = api.plane.engine.state.tasks[task_id].spec
    assert stored == {name: TASK[name] for name in ("title", "type")}


def test_arguments_of_the_deepest_level_are_kept_and_shown(api: Api, admin: httpx.Client) -> None:
    args = nested(VALUE_DEPTH_MAX)
    task_id = api.submit(admin, run={"kind": "function", "function": "helix_ray.samples:add", "args": args})
    assert admin.get(f"/tasks/{task_id}").json()["run"]["args"] == args


def test_a_worker_result_and_error_of_any_shape_are_kept(api: Api, admin: httpx.Client) -> None:
    for result in ({"success": True, "output": "x"}, [1, {"a": None}], "text", 1.5, True):
        task_id = api.submit(admin)
        assert (
            admin.put(f"/tasks/{task_id}", json={"status": "completed", "result": result}).status_code == 200
        )
        view = admin.get(f"/tasks/{task_id}/result").json()
        shaped(ResultOut, view)
        assert (view["result"], view["error"]) == (result, None)
    for error, kept in (
        ("out of paper", {"reason": "failed", "message": "out of paper"}),
        ({"type": "E", "line": 4}, {"reason": "failed", "message": "", "type": "E", "line": 4}),
    ):
        task_id = api.submit(admin)
        assert admin.put(f"/tasks/{task_id}", json={"status": "failed", "error": error}).status_code == 200
        assert admin.get(f"/tasks/{task_id}/result").json()["error"] == kept


class TestChange:
    def test_fields_can_be_edited_and_cleared(self, api: Api, admin: httpx.Client) -> None:
        task_id = api.submit(admin, description="before", labels={"a": "b"}, deadline="2100-01-01T00:00:00Z")
        change = {"title": "T", "description": None, "labels": None, "deadline": None, "priority": "critical"}
        answer = admin.put(f"/tasks/{task_id}", json=change)
        shaped(TaskUpdated, answer.json())
        task = admin.get(f"/tasks/{task_id}").json()
        assert {name: task[name] for name in change} == change

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "waiting"}, {"status": "done"}, {"progress": 101}, {"progress": -1}, {"progress": "5"},
            {"attempt": 0}, {"title": None}, {"max_retries": None}, {"id": "task-1"}, {"run": None},
            {"depends_on": []},
            {"error": 5}, {"error": {"message": 5}}, {"type": "cooking"},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_cannot_be_set_is_refused(
        self, api: Api, admin: httpx.Client, change: dict[str, Any]
    ) -> None:
        answer = admin.put(f"/tasks/{api.submit(admin)}", json=change)
        (name,) = change
        assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"].partition(".")[0] == name

    def test_an_empty_change_is_none(self, api: Api, admin: httpx.Client) -> None:
        task_id = api.submit(admin)
        before = admin.get(f"/tasks/{task_id}").json()
        answer = admin.put(f"/tasks/{task_id}", json={})
        assert answer.json()["updated_at"] == before["updated_at"]

    def test_a_finished_task_stays_as_it_is(self, api: Api, admin: httpx.Client) -> None:
        task_id = api.submit(admin)
        done = {"status": "completed", "progress": 100}
        assert admin.put(f"/tasks/{task_id}", json=done).status_code == 200
        assert admin.put(f"/tasks/{task_id}", json=done).status_code == 200
        error_of(admin.put(f"/tasks/{task_id}", json={"status": "running"}), 409, "CONFLICT")
        error_of(admin.put(f"/tasks/{task_id}", json={"title": "x"}), 409, "CONFLICT")
        error_of(admin.post(f"/tasks/{task_id}/cancel"), 409, "CONFLICT")

    def test_the_answer_is_the_state_after_the_change(self, api: Api, admin: httpx.Client) -> None:
        task_id = api.submit(admin)
        steps: list[dict[str, Any]] = [
            {"progress": 10}, {"progress": 5}, {"title": "x"}, {"status": "pending"}, {"status": "running"},
            {"status": "failed", "error": "x"},
        ]  # fmt: skip
        for step in steps:
            said = admin.put(f"/tasks/{task_id}", json=step).json()
            seen = admin.get(f"/tasks/{task_id}").json()
            assert said == {name: seen[name] for name in said}, step
        said = admin.post(f"/tasks/{task_id}/retry").json()
        seen = admin.get(f"/tasks/{task_id}").json()
        assert said == {name: seen[name] for name in said}
        assert said["status"] == "pending"
        said = admin.post(f"/tasks/{task_id}/cancel", json={}).json()
        seen = admin.get(f"/tasks/{task_id}").json()
        assert said == {name: seen[name] for name in said}
        assert said["status"] == "cancelled"

    def test_a_retry_of_what_has_not_failed_is_a_conflict(self, api: Api, admin: httpx.Client) -> None:
        error_of(admin.post(f"/tasks/{api.submit(admin)}/retry"), 409, "CONFLICT")

    def test_a_result_of_what_is_not_finished_is_a_conflict(self, api: Api, admin: httpx.Client) -> None:
        error_of(admin.get(f"/tasks/{api.submit(admin)}/result"), 409, "CONFLICT")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"),
         ("GET", "/result"), ("GET", "/logs")],
    )  # fmt: skip
    def test_an_unknown_task_is_not_found(self, admin: httpx.Client, method: str, path: str) -> None:
        body = {} if method == "PUT" else None
        answer = admin.request(method, f"/tasks/task-none{path}", json=body)
        error_of(answer, 404, "NOT_FOUND")


class TestList:
    @pytest.fixture
    def listed(self) -> Iterator[tuple[Api, httpx.Client]]:
        with serving_api() as api:
            client = api.client()
            for i in range(12):
                priority = ("low", "normal", "high", "critical")[i % 4]
                api.submit(
                    client,
                    title=f"t{i}",
                    priority=priority,
                    type="building" if i < 6 else "testing",
                    project_id=f"p{i % 3}",
                )
            yield api, client

    def test_filters(self, listed: tuple[Api, httpx.Client]) -> None:
        _, client = listed

        def titles(**query: Any) -> list[str]:
            page = client.get("/tasks", params=query).json()
            shaped(TaskPage, page)
            return [task["title"] for task in page["tasks"]]

        assert titles() == [f"t{i}" for i in range(11, -1, -1)]
        assert titles(priority="critical") == ["t11", "t7", "t3"]
        assert titles(type="testing", project_id="p0") == ["t9", "t6"]
        assert titles(limit=2, offset=3) == ["t8", "t7"]
        assert titles(status="running") == []
        client.put(f"/tasks/{client.get('/tasks').json()['tasks'][0]['id']}", json={"status": "completed"})
        assert titles(status="completed") == ["t11"]
        assert titles(assigned_worker="worker-none") == []

    def test_times(self, listed: tuple[Api, httpx.Client]) -> None:
        api, client = listed
        tasks = list(api.plane.engine.state.tasks.values())
        # Between two tasks: a time on the wire has microseconds, a task's has a little more.
        moment = datetime.fromtimestamp((tasks[4].created_at + tasks[5].created_at) / 2, UTC).isoformat()
        since = client.get("/tasks", params={"created_since": moment, "limit": 1}).json()
        until = client.get("/tasks", params={"created_until": moment, "limit": 1}).json()
        assert (since["total"], until["total"]) == (7, 5)
        assert since["tasks"][0]["title"] == "t11"
        assert until["tasks"][0]["title"] == "t4"

    @pytest.mark.parametrize(
        "query",
        ["status=gone", "priority=urgent", "limit=0", "limit=1001", "limit=x", "offset=-1", "created_since=x",
         "colour=red", "type=A", "limit=1&limit=x", "type=testing&type=planning"],
    )  # fmt: skip
    def test_a_wrong_query_is_refused_by_name(self, admin: httpx.Client, query: str) -> None:
        error = error_of(admin.get(f"/tasks?{query}"), 400, "VALIDATION_ERROR")
        assert error["details"]["field"] == query.partition("=")[0]


def test_what_only_python_can_read_does_not_leave_the_cluster(api: Api, admin: httpx.Client) -> None:
    """Pickled results are a conflict with a reason, and pickled exceptions are left out of errors."""
    api.plane.give(
        RegisterWorker(
            "n", ("x",), {"cpu": 8.0}, worker_id="worker-node-x", kind="node", node_id="node-x", boot="boot"
        )
    )
    for outcome, result, error in (
        ("completed", {"success": True, "pickled": "gASV"}, None),
        ("failed", None, {"reason": "failed", "type": "E", "message": "m", "pickled": "gASV"}),
    ):
        task_id = api.submit(admin, run={"kind": "function", "function": "helix_ray.samples:add"})
        task = api.plane.ask(GetTask(task_id), SYSTEM)
        assert isinstance(task, dict)
        report = AttemptReport(task_id, task["attempt"], outcome, result, error)
        api.plane.give(ReportAttempts("worker-node-x", "boot", (report,)))
        answer = admin.get(f"/tasks/{task_id}/result")
        if outcome == "completed":
            assert "inside the cluster" in error_of(answer, 409, "CONFLICT")["message"]
        else:
            assert answer.json()["error"] == {"reason": "failed", "type": "E", "message": "m"}
            assert "gASV" not in admin.get(f"/tasks/{task_id}").text
    (worker,) = [w for w in admin.get("/workers").json()["workers"] if w["kind"] == "node"]
    assert worker["tasks_completed"] == 1


def test_a_role_that_may_not_run_commands_is_told_so(api: Api) -> None:
    worker = api.add("hand", "worker", "viewer")
    error_of(worker.post("/tasks", json=TASK), 403, "FORBIDDEN")
    developer = api.add("dora", "developer")
    answer = developer.post(
        "/tasks", json={**TASK, "run": {"kind": "function", "function": "os:system", "args": ["id"]}}
    )
    assert error_of(answer, 403, "FORBIDDEN")["details"]["field"] == "run.function"

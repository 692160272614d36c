"""Users and their roles on a live server: who may do what, whose tasks are whose, and sessions that end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from helix_ray.inference.node_class import node_class
from tests.e2e.live import Json, Live, add_user, count, ended, error_of, function, serving, shell, submit

ROLES = ("developer", "viewer", "worker")
PLAIN: Json = {"title": "plain", "type": "design"}
# What the issue promises of logout and of a changed password.
EFFECTIVE_S_MAX = 1.0
OLD, CHANGED = "an old password", "a changed password"


@dataclass
class People:
    """A live server, its administrator, and one user of each other role beside a second developer."""

    live: Live
    admin: httpx.Client
    passwords: dict[str, str] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def add(self, username: str, role: str) -> httpx.Client:
        """Add a user and log in."""
        self.passwords[username] = add_user(self.admin, username, role)
        self.clients[username] = self.again(username)
        return self.clients[username]

    def again(self, username: str) -> httpx.Client:
        """Log a user in once more: a session of its own."""
        return self.live.client(username, self.passwords[username])

    def __getitem__(self, username: str) -> httpx.Client:
        return self.clients[username]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    settings = {"command_roles": "admin", "docs_open": "false", "isolation_writable": ""}
    with serving(tmp_path_factory.mktemp("roles") / "data", **settings) as live:
        found = People(live, live.client())
        for role in ROLES:
            found.add(role, role)
        found.add("neighbour", "developer")
        yield found


def test_the_tasks_of_others_do_not_exist_for_a_developer(people: People) -> None:
    """404 for every verb, whatever runs; not listed, not counted, not to be depended
    on; the owner is unharmed."""
    running, plain, done = submit(
        people["neighbour"], function("sleep_until_cancelled", 600), PLAIN, function("add", 1, 2)
    )
    ended(people["neighbour"], done)
    developer = people["developer"]
    for task_id in (running, plain, done):
        for method, path, body in (
            ("GET", "", None), ("GET", "/result", None), ("GET", "/logs", None), ("DELETE", "", None),
            ("PUT", "", {"title": "mine"}), ("PUT", "", {"status": "completed"}), ("POST", "/cancel", None),
            ("POST", "/retry", None),
        ):  # fmt: skip
            answer = developer.request(method, f"/tasks/{task_id}{path}", json=body)
            unknown = developer.request(method, f"/tasks/task-unknown{path}", json=body)
            details = error_of(answer, 404, "NOT_FOUND")
            assert details == {**error_of(unknown, 404, "NOT_FOUND"), "id": task_id}
    answer = developer.post("/tasks", json={**PLAIN, "depends_on": [plain]})
    error_of(answer, 400, "VALIDATION_ERROR")
    assert count(developer) == 0
    assert count(people["neighbour"]) == 3
    assert people["neighbour"].get(f"/tasks/{plain}").json()["title"] == "plain"
    assert people["neighbour"].post(f"/tasks/{running}/cancel").json()["status"] == "cancelled"


def test_a_viewer_sees_all_and_changes_nothing(people: People) -> None:
    """Every read works on anybody's tasks; every write is FORBIDDEN and says so of the verb."""
    viewer = people["viewer"]
    (task_id,) = submit(people["neighbour"], function("echo", "seen"))
    ended(viewer, task_id)
    assert viewer.get(f"/tasks/{task_id}/result").json()["result"]["value"] == "seen"
    assert viewer.get(f"/tasks/{task_id}/logs").status_code == 200
    assert viewer.get("/workers").status_code == 200
    assert count(viewer) >= 1
    for method, path in (
        ("POST", "/tasks"), ("POST", "/tasks/batch"), ("PUT", f"/tasks/{task_id}"),
        ("DELETE", f"/tasks/{task_id}"),
        ("POST", f"/tasks/{task_id}/cancel"), ("POST", f"/tasks/{task_id}/retry"),
        ("POST", "/workers/register"),
        ("POST", "/workers/heartbeat"), ("POST", "/users"), ("GET", "/users"), ("DELETE", "/users/developer"),
    ):  # fmt: skip
        details = error_of(viewer.request(method, path), 403, "FORBIDDEN")
        assert details["roles"] == ["viewer"]


def test_a_worker_reads_and_reports_what_it_holds_and_nothing_else(people: People) -> None:
    """Others' tasks do not exist for it until they are handed to it; it cannot
    edit, list, submit or drain."""
    worker = people["worker"]
    (task_id,) = submit(people["neighbour"], {**PLAIN, "type": "porting"})
    error_of(worker.get(f"/tasks/{task_id}"), 404, "NOT_FOUND")
    hello: Json = {"hostname": "h", "capabilities": ["porting"]}
    worker_id = worker.post("/workers/register", json=hello).json()["worker_id"]
    beat = {"worker_id": worker_id, "status": "idle", "current_task": None}
    assert worker.post("/workers/heartbeat", json=beat).json()["assigned_task"] == task_id
    assert worker.get(f"/tasks/{task_id}").json()["title"] == "plain"
    error_of(worker.put(f"/tasks/{task_id}", json={"title": "mine"}), 403, "FORBIDDEN")
    for method, path in (
        ("GET", "/tasks"), ("POST", "/tasks"), ("DELETE", f"/tasks/{task_id}"),
        ("POST", f"/tasks/{task_id}/cancel"),
        ("GET", "/workers"), ("POST", f"/workers/{worker_id}/drain"),
    ):  # fmt: skip
        error_of(worker.request(method, path), 403, "FORBIDDEN")
    done = worker.put(f"/tasks/{task_id}", json={"status": "completed", "progress": 100})
    assert done.json()["status"] == "completed"
    other = people["developer"].post("/workers/heartbeat", json=beat)
    error_of(other, 403, "FORBIDDEN")


def test_commands_are_for_the_roles_that_the_setting_names(people: People) -> None:
    """With HELIX_COMMAND_ROLES=admin a developer runs functions but no shell; in a batch
    each is refused by itself."""
    developer = people["developer"]
    error_of(developer.post("/tasks", json=shell("echo no")), 403, "FORBIDDEN")
    batch = developer.post("/tasks/batch", json={"tasks": [shell("echo no"), function("add", 1, 2)]}).json()
    assert batch["tasks"][0]["error"]["code"] == "FORBIDDEN"
    assert (batch["accepted"], batch["rejected"]) == (1, 1)
    assert ended(developer, batch["tasks"][1]["id"])["status"] == "completed"
    (task_id,) = submit(people.admin, shell("echo yes"))
    ended(people.admin, task_id)
    assert people.admin.get(f"/tasks/{task_id}/logs").text == "yes\n"


def test_a_command_finds_neither_keys_nor_processes_nor_sockets(people: People) -> None:
    """Who may submit commands is no administrator by that: what signs and what is trusted is not there."""
    workers = people.admin.get("/workers").json()["workers"]
    (labels,) = [w["labels"] for w in workers if "helix-isolation" in w["labels"]]
    isolation = labels["helix-isolation"]
    assert labels["helix-inference-class"] == node_class(gpus=[]).name
    if isolation == "none":
        assert "CI" not in os.environ, "bubblewrap is missing"
        pytest.skip("needs bubblewrap")
    data_dir, pid = people.live.data_dir, people.live.process.pid
    files = " ".join(
        f"{data_dir}/{name}" for name in ("jwt.key", "env.secret", "ray.token", "journal.sqlite")
    )
    line = (
        f"cat {files}; cat /proc/{pid}/environ; kill -0 {pid}; find / -xdev -type s; find /tmp /run -type s"
    )
    (task_id,) = submit(people.admin, shell(f"({line}) 2>/dev/null; true"))
    assert ended(people.admin, task_id)["status"] == "completed"
    assert people.admin.get(f"/tasks/{task_id}/result").json()["result"]["output"] == ""


def test_functions_off_the_allow_list_are_refused(people: People) -> None:
    """No role gets round it, and payloads are for the inside of the cluster only."""
    for run, status, code in (
        ({"kind": "function", "function": "os:system", "args": ["true"]}, 403, "FORBIDDEN"),
        ({"kind": "function", "function": "x", "payload": "gASVAAAA"}, 400, "VALIDATION_ERROR"),
    ):
        answer = people.admin.post("/tasks", json={"title": "t", "type": "building", "run": run})
        error_of(answer, status, code)


def refused_within(client: httpx.Client) -> float:
    """Ask until the session counts no more; return the seconds until that question, all
    answers being 200 or 401."""
    began = time.monotonic()
    while True:
        asked = time.monotonic() - began
        answer = client.get("/auth/me")
        if answer.status_code == 401:
            error_of(answer, 401, "UNAUTHORIZED")
            return asked
        assert answer.status_code == 200, answer.text
        assert asked < 30, "the session never ended"


def test_logout_ends_one_session_within_a_second(people: People) -> None:
    """The token is refused from then on, also with its refresh token; another session of the user goes on."""
    people.passwords["leaver"] = add_user(people.admin, "leaver", "developer")
    leaving, staying = people.again("leaver"), people.again("leaver")
    login = {"username": "leaver", "password": people.passwords["leaver"]}
    refresh = people.live.anonymous().post("/auth/login", json=login).json()
    third = people.live.anonymous()
    third.headers["Authorization"] = f"Bearer {refresh['token']}"
    assert third.post("/auth/logout").status_code == 204
    assert refused_within(third) < EFFECTIVE_S_MAX
    again = people.live.anonymous().post("/auth/refresh", json={"refresh_token": refresh["refresh_token"]})
    error_of(again, 401, "UNAUTHORIZED")
    assert leaving.post("/auth/logout").status_code == 204
    assert refused_within(leaving) < EFFECTIVE_S_MAX
    assert staying.get("/auth/me").json()["username"] == "leaver"


def test_a_changed_password_ends_the_other_sessions_within_a_second(people: People) -> None:
    """The session that changed it goes on; the old password is refused, the other one works."""
    assert people.admin.post(
        "/users", json={"username": "changer", "password": OLD, "roles": ["viewer"]}
    ).status_code == 201  # fmt: skip
    here, elsewhere = (people.live.client("changer", OLD) for _ in range(2))
    assert elsewhere.get("/auth/me").status_code == 200
    wrong = {"current_password": "not it at all", "new_password": CHANGED}
    error_of(here.put("/auth/password", json=wrong), 403, "FORBIDDEN")
    change = {"current_password": OLD, "new_password": CHANGED}
    assert here.put("/auth/password", json=change).status_code == 204
    assert refused_within(elsewhere) < EFFECTIVE_S_MAX
    assert here.get("/auth/me").status_code == 200
    old = people.live.anonymous().post("/auth/login", json={"username": "changer", "password": OLD})
    error_of(old, 401, "UNAUTHORIZED")
    people.live.client("changer", CHANGED)


def test_a_removed_user_is_out_within_a_second(people: People) -> None:
    """The token of a user that is gone is worth nothing, and the name can be given again: to another user."""
    gone = people.add("gone", "developer")
    (task_id,) = submit(gone, PLAIN)
    assert people.admin.delete("/users/gone").status_code == 204
    assert refused_within(gone) < EFFECTIVE_S_MAX
    namesake = people.add("gone", "developer")
    error_of(namesake.get(f"/tasks/{task_id}"), 404, "NOT_FOUND")
    error_of(people.admin.delete("/users/admin"), 409, "CONFLICT")


def test_documentation_can_be_closed(people: People) -> None:
    """With HELIX_DOCS_OPEN=false it is for those with a token."""
    for path in ("/openapi.json", "/docs"):
        url = f"{people.live.url}{path}"
        error_of(httpx.get(url, timeout=60), 401, "UNAUTHORIZED")
        authorization = {"Authorization": people["viewer"].headers["Authorization"]}
        assert httpx.get(url, headers=authorization, timeout=60).status_code == 200

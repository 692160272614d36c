"""Projects over HTTP and by the `helix` program: defined by administrators, used by members."""

from __future__ import annotations

import httpx
import pytest

from helix_ray.wire.projects import ProjectOut, ProjectsOut
from tests.http.api_server import TASK, error_of, serving_api
from tests.http.running_node import Helix
from tests.http.shapes import shaped


def test_a_project_from_its_definition_to_its_end() -> None:
    """Members submit, others do not; the last project that goes opens the install again."""
    with serving_api() as api:
        admin, ada, ben = api.client(), api.add("ada", "developer"), api.add("ben", "developer")
        for client in (ada, ben):
            api.submit(client, project_id="project-123")
        made = admin.post("/projects", json={"id": "team-a", "name": "Team A", "members": ["ada"]})
        assert made.status_code == 201
        project = shaped(ProjectOut, made.json())
        assert (project["id"], project["name"], project["members"]) == ("team-a", "Team A", ["ada"])
        mine = api.submit(ada, project_id="team-a")
        for project_id in ("team-a", "project-123"):
            refused = ben.post("/tasks", json={**TASK, "project_id": project_id})
            error = error_of(refused, 403, "FORBIDDEN")
            assert error["message"] == "You are not a member of this project"
            assert error["details"]["project_id"] == project_id
        batch = ben.post("/tasks/batch", json={"tasks": [TASK, {**TASK, "project_id": "team-a"}]}).json()
        assert batch["tasks"][1]["error"]["code"] == "FORBIDDEN"
        own = api.submit(ben)
        error_of(ben.put(f"/tasks/{own}", json={"project_id": "team-a"}), 403, "FORBIDDEN")
        error_of(ben.get("/projects/team-a"), 404, "NOT_FOUND")
        assert ben.get("/projects").json() == {"projects": []}
        joined = admin.put("/projects/team-a/members/ben")
        assert shaped(ProjectOut, joined.json())["members"] == ["ada", "ben"]
        shaped(ProjectsOut, ben.get("/projects").json())
        assert ben.put(f"/tasks/{own}", json={"project_id": "team-a"}).status_code == 200
        assert admin.delete("/projects/team-a/members/ben").status_code == 204
        ben.post(f"/tasks/{own}/cancel")
        error_of(ben.post(f"/tasks/{own}/retry"), 403, "FORBIDDEN")
        # What is not a member's to see is what it was: tasks are their owners'.
        error_of(ben.get(f"/tasks/{mine}"), 404, "NOT_FOUND")
        changed = admin.put("/projects/team-a", json={"members": ["ben"]})
        assert (changed.json()["name"], changed.json()["members"]) == ("Team A", ["ben"])
        assert admin.delete("/projects/team-a").status_code == 204
        api.submit(ada, project_id="team-a")


def test_without_projects_any_id_is_taken() -> None:
    """As the reference has it: at submit, in a batch, in an edit, and at a retry, by
    whoever may submit at all."""
    ids = ("project-123", "team-a", "Any text, with spaces", "ünï", "x" * 100)
    with serving_api() as api:
        admin, ada, ben = api.client(), api.add("ada", "developer"), api.add("ben", "developer")
        for client in (admin, ada, ben):
            tasks = [api.submit(client, project_id=name) for name in ids]
            assert [client.get(f"/tasks/{i}").json()["project_id"] for i in tasks] == list(ids)
        batch = ben.post("/tasks/batch", json={"tasks": [{**TASK, "project_id": name} for name in ids]})
        made = [ben.get(f"/tasks/{task['id']}").json() for task in batch.json()["tasks"]]
        assert [task["project_id"] for task in made] == list(ids)
        mine = api.submit(ada)
        assert ada.get(f"/tasks/{mine}").json().get("project_id") is None
        for name in ids:
            assert ada.put(f"/tasks/{mine}", json={"project_id": name}).status_code == 200
            assert ada.get(f"/tasks/{mine}").json()["project_id"] == name
        ada.post(f"/tasks/{mine}/cancel")
        assert ada.post(f"/tasks/{mine}/retry").json()["status"] == "pending"
        assert {task["project_id"] for task in ada.get("/tasks").json()["tasks"]} == set(ids)
        assert ada.get("/tasks", params={"project_id": "team-a"}).json()["total"] == 1
        assert ada.get("/projects").json() == {"projects": []}
        assert admin.put("/harmony/quotas/team-a", json={"limits": {"queued": 3}}).status_code == 200
        full = ben.post("/tasks", json={**TASK, "project_id": "team-a"})
        assert error_of(full, 429, "RATE_LIMIT_EXCEEDED")["message"] == "The project's queue is full"


def test_of_other_users_ids_none_is_taken() -> None:
    """The one thing that an install without projects refuses: a user's own share is theirs."""
    with serving_api() as api:
        ada, ben = api.add("ada", "developer"), api.add("ben", "developer")
        ids = {name: client.get("/auth/me").json()["id"] for name, client in (("ada", ada), ("ben", ben))}
        api.submit(ada, project_id=ids["ada"])
        refused = ben.post("/tasks", json={**TASK, "project_id": ids["ada"]})
        assert error_of(refused, 403, "FORBIDDEN")["details"]["project_id"] == ids["ada"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "user-1"}, "id"),
        ({"id": "x", "members": ["nobody"]}, "members.0"),
        ({"id": "x", "members": "ada"}, "members"),
        ({"id": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_is_no_project_is_refused(admin: httpx.Client, body: dict[str, object], field: str) -> None:
    """The field is named."""
    error = error_of(admin.post("/projects", json=body), 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == field


def test_the_program_manages_projects(signed_in: Helix, monkeypatch: pytest.MonkeyPatch) -> None:
    """create, list, show, add, remove and delete, with what a script reads."""
    monkeypatch.setenv("HELIX_NEW_PASSWORD", "long enough")
    for name in ("ada", "ben"):
        assert signed_in("user", "add", name).code == 0
    made = signed_in("project", "create", "team-a", "--name", "Team A", "--member", "ada", "--json")
    assert made.json["members"] == ["ada"]
    assert signed_in("project", "add", "team-a", "ben").code == 0
    assert signed_in("project", "show", "team-a", "--json").json["members"] == ["ada", "ben"]
    assert signed_in("project", "remove", "team-a", "ada", "ben").code == 0
    assert "team-a" in signed_in("project", "list").out
    assert [p["id"] for p in signed_in("project", "list", "--json").json["projects"]] == ["team-a"]
    assert signed_in("project", "delete", "team-a").code == 0
    refused = signed_in("project", "show", "team-a")
    assert refused.code != 0
    assert "Project not found" in refused.err

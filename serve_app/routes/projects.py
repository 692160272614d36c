"""Projects and their members: administrators define them, members see theirs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import (
    AddMember,
    ChangeProject,
    CreateProject,
    OrderBody,
    RemoveMember,
    RemoveProject,
)
from helix_ray.core.questions import GetProject, ListProjects
from helix_ray.wire import projects as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/projects", tags=["projects"])


@router.post("", **verb("CreateProject", body=shapes.ProjectIn, answers=shapes.ProjectOut, status=201))
async def create_project(caller: SignedIn) -> Response:
    """Define a project. From the first on, only members and administrators submit to projects."""
    sent = await read(caller.request)
    project = sent.validated(shapes.PROJECT, "project")
    body = CreateProject(project["id"], project.get("name") or "", tuple(project.get("members") or ()))
    return await _changed(project["id"], body, caller, sent, 201)


@router.get("", **verb("ListProjects", answers=shapes.ProjectsOut))
async def list_projects(caller: SignedIn) -> Response:
    """Give the projects that the caller is a member of; all of them to those who see all tasks."""
    answer = await caller.query(ListProjects())
    return json_answer({"projects": [shapes.project_out(project) for project in answer["projects"]]})


@router.get("/{project_id}", **verb("GetProject", answers=shapes.ProjectOut))
async def get_project(project_id: str, caller: SignedIn) -> Response:
    """Give one project; one that the caller is no member of does not exist for them."""
    return json_answer(shapes.project_out(await caller.query(GetProject(project_id))))


@router.put("/{project_id}", **verb("ChangeProject", body=shapes.ProjectUpdateIn, answers=shapes.ProjectOut))
async def change_project(project_id: str, caller: SignedIn) -> Response:
    """Change the name of a project, or all its members."""
    sent = await read(caller.request)
    change = sent.validated(shapes.PROJECT_UPDATE, "project")
    members = change.get("members")
    body = ChangeProject(project_id, change.get("name"), None if members is None else tuple(members))
    return await _changed(project_id, body, caller, sent)


@router.delete("/{project_id}", **verb("RemoveProject", status=204))
async def remove_project(project_id: str, caller: SignedIn) -> Response:
    """Define a project no longer; its tasks go on."""
    return no_content(await caller.execute(RemoveProject(project_id)))


@router.put("/{project_id}/members/{username}", **verb("AddMember", answers=shapes.ProjectOut))
async def add_member(project_id: str, username: str, caller: SignedIn) -> Response:
    """Let a user submit to a project."""
    return await _changed(project_id, AddMember(project_id, username), caller)


@router.delete("/{project_id}/members/{username}", **verb("RemoveMember", status=204))
async def remove_member(project_id: str, username: str, caller: SignedIn) -> Response:
    """Let a user submit to a project no longer; what they submitted goes on."""
    return no_content(await caller.execute(RemoveMember(project_id, username)))


async def _changed(
    project_id: str, body: OrderBody, caller: Caller, sent: Body | None = None, status: int = 200
) -> Response:
    """Carry out an order and answer with the project as it is then."""
    receipt = await caller.execute(body, sent)
    return json_answer(shapes.project_out(await caller.query(GetProject(project_id))), status, receipt)
